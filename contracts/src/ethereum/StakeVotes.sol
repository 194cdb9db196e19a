// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IStakingManager} from "../interfaces/IStakingManager.sol";

/// @title Votes of staked tokens, by checkpoints in seconds
/// @dev Own stake votes through whom its account named. Delegated stake votes for its delegator: shares times the price of a
///      share, both as they were, so that a slash of a pool lowers the votes of all its delegators by one write.
abstract contract StakeVotes is IStakingManager {
    using Checkpoints for Checkpoints.Trace160;
    using Checkpoints for Checkpoints.Trace208;

    /// @dev Price of a share that was never slashed, as a fraction of 2^96.
    uint256 internal constant PRICE_ONE = 1 << 96;

    mapping(address account => address) internal voteDelegates;
    mapping(address delegatee => Checkpoints.Trace208) private ownVotes;
    mapping(address delegator => Checkpoints.Trace208) private shareHistory;
    /// @dev Which account the shares were delegated to; it changes only while there are none.
    mapping(address delegator => Checkpoints.Trace160) private poolHistory;
    mapping(address account => Checkpoints.Trace208) private priceHistory;

    // ERC-6372
    function clock() public view returns (uint48) {
        return uint48(block.timestamp);
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() external pure returns (string memory) {
        return "mode=timestamp";
    }

    function _delegateVotes(address account, address delegatee, uint256 staked) internal {
        address before = voteDelegates[account];
        voteDelegates[account] = delegatee;
        emit DelegateChanged(account, before, delegatee);
        if (before == delegatee) return;
        _changeVotes(before, staked, 0);
        _changeVotes(delegatee, 0, staked);
    }

    /// @dev The own stake of `account` was `before` and is `next` now.
    function _moveVotes(address account, uint256 before, uint256 next) internal {
        if (before != next) _changeVotes(voteDelegates[account], before, next);
    }

    function _recordShares(address delegator, address account, uint256 shares) internal {
        shareHistory[delegator].push(clock(), uint208(shares));
        if (address(poolHistory[delegator].latest()) != account) poolHistory[delegator].push(uint96(clock()), uint160(account));
    }

    function _recordPrice(address account, uint256 total, uint256 shares) internal {
        priceHistory[account].push(clock(), uint208((total << 96) / shares));
    }

    function _votesNow(address account) internal view returns (uint256 votes) {
        votes = ownVotes[account].latest();
        uint256 shares = shareHistory[account].latest();
        if (shares != 0) votes += (shares * priceHistory[address(poolHistory[account].latest())].latest()) >> 96;
    }

    function _votesAt(address account, uint256 timepoint) internal view returns (uint256 votes) {
        if (timepoint >= clock()) revert FutureLookup(timepoint, clock());
        uint48 time = uint48(timepoint);
        votes = _lookUp(ownVotes[account], time);
        uint256 shares = _lookUp(shareHistory[account], time);
        if (shares == 0) return votes;
        address target = address(poolHistory[account].upperLookupRecent(time));
        votes += (shares * _lookUp(priceHistory[target], time)) >> 96;
    }

    /// @dev What few voters have changed since a proposal's snapshot: the newest entry is looked at before the history is searched.
    function _lookUp(Checkpoints.Trace208 storage history, uint48 time) private view returns (uint256) {
        (, uint48 since, uint208 value) = history.latestCheckpoint();
        return since <= time ? value : history.upperLookupRecent(time);
    }

    function _changeVotes(address delegatee, uint256 minus, uint256 plus) private {
        if (delegatee == address(0)) return;
        uint256 before = ownVotes[delegatee].latest();
        uint256 next = before + plus - minus;
        ownVotes[delegatee].push(clock(), uint208(next));
        emit DelegateVotesChanged(delegatee, before, next);
    }
}
