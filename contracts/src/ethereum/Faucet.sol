// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {GPUToken} from "./GPUToken.sol";

/// @title Gives GPUTOKEN to those who try it, on networks where it is worth nothing
/// @dev Nobody owns it. One account gets `amount` once per `interval`, all accounts together at most `dailyLimit` per day: whoever
///      makes many accounts empties a day's share, not the faucet.
contract Faucet {
    using SafeERC20 for GPUToken;

    GPUToken public immutable token;
    uint256 public immutable amount;
    uint64 public immutable interval;
    uint256 public immutable dailyLimit;

    /// @notice When an account may ask again.
    mapping(address account => uint256) public nextAt;
    mapping(uint256 day => uint256) private givenOn;

    event Given(address indexed to, uint256 amount, uint256 nextAt);

    error ForbiddenChain(uint256 chainId);
    error InvalidLimits(uint256 amount, uint64 interval, uint256 dailyLimit);
    error TooEarly(address account, uint256 nextAt);
    error DailyLimitReached(uint256 dailyLimit);
    error FaucetEmpty(uint256 left, uint256 needed);

    /// @dev The real networks are refused by chain id, whatever a deployment file says.
    constructor(GPUToken token_, uint256 amount_, uint64 interval_, uint256 dailyLimit_) {
        if (block.chainid == 1 || block.chainid == 61) revert ForbiddenChain(block.chainid);
        if (amount_ == 0 || interval_ == 0 || amount_ > dailyLimit_) revert InvalidLimits(amount_, interval_, dailyLimit_);
        token = token_;
        amount = amount_;
        interval = interval_;
        dailyLimit = dailyLimit_;
    }

    /// @notice Sends `amount` to the caller.
    function request() external {
        uint256 earliest = nextAt[msg.sender];
        if (block.timestamp < earliest) revert TooEarly(msg.sender, earliest);
        if (leftToday() < amount) revert DailyLimitReached(dailyLimit);
        uint256 left = token.balanceOf(address(this));
        if (left < amount) revert FaucetEmpty(left, amount);

        uint256 next = block.timestamp + interval;
        nextAt[msg.sender] = next;
        givenOn[block.timestamp / 1 days] += amount;
        emit Given(msg.sender, amount, next);
        token.safeTransfer(msg.sender, amount);
    }

    /// @return what the daily limit leaves until midnight, UTC.
    function leftToday() public view returns (uint256) {
        return dailyLimit - givenOn[block.timestamp / 1 days];
    }
}
