// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../../src/interfaces/IBridge.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {DeviceReport, FaultProven} from "../../src/types/Protocol.sol";
import {World} from "./World.sol";

/// @title Stakers with tokens, and messages that say what a test wants
abstract contract StakingWorld is World {
    IStakingManager.Role internal constant PROVIDER = IStakingManager.Role.Provider;
    IStakingManager.Role internal constant QUEEN = IStakingManager.Role.Queen;
    IStakingManager.Role internal constant KING = IStakingManager.Role.King;
    bytes32 internal constant PEER = keccak256("peer");

    address internal kingCourt = makeAddr("king court");
    uint64 private reports;

    function setUp() public virtual override {
        super.setUp();
        onEthereum();
        vm.warp(1_000_000);
    }

    /// @dev An account with tokens that StakingManager may take.
    function _funded(string memory name, uint256 amount) internal returns (address account) {
        account = makeAddr(name);
        vm.prank(renter);
        token.transfer(account, amount);
        vm.prank(account);
        token.approve(address(staking), type(uint256).max);
    }

    function _staker(string memory name, IStakingManager.Role role, uint256 amount) internal returns (address account) {
        account = _funded(name, amount);
        vm.prank(account);
        staking.stake(role, amount, account, PEER);
    }

    /// @dev The provider's own device, known on Ethereum only.
    function _device() internal returns (uint64 deviceId) {
        vm.prank(provider);
        return staking.registerDevice(CLASS, worker);
    }

    function _message(uint8 kind, bytes memory fields) internal {
        vm.prank(address(ethInbox));
        IMessageRecipient(address(staking)).handle(CLASSIC, address(work), abi.encodePacked(kind, fields), relay);
    }

    function _pass(uint64 deviceId) internal {
        _message(17, abi.encode(DeviceReport(deviceId, uint64(block.timestamp), 700_000, 1000, 0, ++reports)));
    }

    function _fault(uint64 deviceId, uint8 reason, address reporter, address wronged) internal {
        _message(18, abi.encode(FaultProven(deviceId, 1, reason, reporter, wronged)));
    }

    function _notify(IStakingManager.Role role, uint256 amount) internal {
        vm.startPrank(address(distributor));
        token.mint(address(staking), amount);
        staking.notifyReward(role, amount);
        vm.stopPrank();
    }

    function _setSplit(uint16 burn, uint16 toTreasury, uint16 toRenter, uint16 toReporter) internal {
        IStakingManager.Parameters memory p = staking.parameters();
        (p.burnBps, p.treasuryBps, p.renterBps, p.reporterBps) = (burn, toTreasury, toRenter, toReporter);
        staking.setParameters(p);
    }

    function _open(address account, uint16 commissionBps) internal {
        vm.prank(account);
        staking.announceCommission(commissionBps);
    }

    function _delegateTo(address delegator, address account, uint256 amount) internal {
        vm.prank(delegator);
        staking.delegateStake(account, amount);
    }

    function _staked(address account) internal view returns (uint256) {
        return staking.staker(account).staked;
    }

    function _assertSolvent() internal view {
        assertEq(token.balanceOf(address(staking)), staking.totalHeld(), "what is held is what is owed");
    }
}
