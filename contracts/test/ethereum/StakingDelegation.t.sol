// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

contract StakingDelegationTest is StakingWorld {
    address private king;
    address private delegator;

    function setUp() public override {
        super.setUp();
        king = _staker("king", KING, 10_000 * UNIT);
        delegator = _funded("delegator", 50_000 * UNIT);
    }

    function test_delegationNeedsAnOpenPoolOfAKingOrProvider() public {
        vm.startPrank(delegator);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.PoolClosed.selector, king));
        staking.delegateStake(king, UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RoleMismatch.selector, IStakingManager.Role.None, PROVIDER));
        staking.delegateStake(relay, UNIT);
        vm.stopPrank();
        address queen = _staker("queen", QUEEN, 5000 * UNIT);
        vm.prank(queen);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RoleMismatch.selector, QUEEN, PROVIDER));
        staking.announceCommission(0);
        _open(king, 0);
        vm.startPrank(delegator);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.BelowMinimum.selector, UNIT - 1, UNIT));
        staking.delegateStake(king, UNIT - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RoleMismatch.selector, QUEEN, PROVIDER));
        staking.delegateStake(queen, UNIT);
        vm.stopPrank();
        vm.prank(king);
        vm.expectRevert(IStakingManager.SelfDelegation.selector);
        staking.delegateStake(king, UNIT);
        staking.slashByVote(king, 1, PEER);
        vm.prank(delegator);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RoleMismatch.selector, KING, PROVIDER));
        staking.delegateStake(king, UNIT);
    }

    function test_oneAccountAtATime() public {
        address other = _staker("other", KING, 10_000 * UNIT);
        _open(king, 0);
        _open(other, 0);
        _delegateTo(delegator, king, 5 * UNIT);
        vm.startPrank(delegator);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.DelegatedElsewhere.selector, king));
        staking.delegateStake(other, UNIT);
        staking.undelegateStake(5 * UNIT);
        vm.warp(block.timestamp + 1 days);
        staking.withdrawDelegation();
        staking.delegateStake(other, UNIT);
        assertEq(staking.delegation(delegator).account, other);
    }

    function test_undelegationWaitsLikeAnyStake() public {
        _open(king, 0);
        _delegateTo(delegator, king, 50 * UNIT);
        vm.startPrank(delegator);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.withdrawDelegation();
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.undelegateStake(0);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InsufficientStake.selector, 50 * UNIT, 50 * UNIT + 1));
        staking.undelegateStake(50 * UNIT + 1);
        uint64 until = uint64(block.timestamp + 1 days);
        vm.expectEmit(address(staking));
        emit IStakingManager.UndelegationRequested(delegator, king, 20 * UNIT, until);
        staking.undelegateStake(20 * UNIT);
        (, uint256[] memory stakes) = staking.kingSet(1);
        assertEq(stakes[0], 10_030 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.StillUnbonding.selector, until));
        staking.withdrawDelegation();
        vm.warp(until);
        uint256 before = token.balanceOf(delegator);
        staking.withdrawDelegation();
        assertEq(token.balanceOf(delegator), before + 20 * UNIT);
        assertEq(staking.delegation(delegator).shares, 30 * UNIT);
        vm.stopPrank();
        _assertSolvent();
    }

    /// @dev Delegated stake backs devices; the provider's own minimum stays behind them.
    function test_delegatedStakeBacksDevices() public {
        stakeAs(provider, PROVIDER, 1000 * UNIT, operator);
        _open(provider, 0);
        _device();
        _device();
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InsufficientStake.selector, 0, 500 * UNIT));
        vm.prank(provider);
        staking.registerDevice(CLASS, worker);
        _delegateTo(delegator, provider, 1000 * UNIT);
        uint64 third = _device();
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.BelowMinimum.selector, 500 * UNIT, 1000 * UNIT));
        staking.requestUnstake(500 * UNIT);
        // Delegators may leave at any time; the provider is short then, and its devices are not rentable.
        vm.prank(delegator);
        staking.undelegateStake(1000 * UNIT);
        (,, bool eligible) = staking.rentability(third);
        assertFalse(eligible);
        assertFalse(staking.hasRole(provider, PROVIDER));
        // What is on its way out still answers for a fault of a device that it stood behind.
        _fault(third, 1, address(0), address(0));
        assertEq(staking.pool(provider).total, 750 * UNIT);
    }

    function test_minimumIsOfOwnStake() public {
        address poor = _funded("poor", 9000 * UNIT);
        vm.startPrank(poor);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.BelowMinimum.selector, 9000 * UNIT, 10_000 * UNIT));
        staking.stake(KING, 9000 * UNIT, poor, PEER);
        vm.stopPrank();
        _open(king, 0);
        _delegateTo(delegator, king, 50_000 * UNIT);
        vm.prank(king);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.BelowMinimum.selector, 9999 * UNIT, 10_000 * UNIT));
        staking.requestUnstake(UNIT);
        // A King may leave altogether; its delegators then earn nothing and leave when they like.
        vm.prank(king);
        staking.requestUnstake(10_000 * UNIT);
        assertEq(staking.kingMembers(21).length, 0);
        vm.warp(block.timestamp + 1 days);
        vm.prank(king);
        staking.withdraw();
        assertTrue(staking.staker(king).role == KING, "the record stays while others' stake is here");
        vm.startPrank(delegator);
        staking.undelegateStake(50_000 * UNIT);
        vm.warp(block.timestamp + 1 days);
        assertEq(staking.withdrawDelegation(), 50_000 * UNIT);
        vm.stopPrank();
        _assertSolvent();
    }

    function test_removedDevicesHoldDelegatedStakeToo() public {
        stakeAs(provider, PROVIDER, 1000 * UNIT, operator);
        _open(provider, 0);
        _delegateTo(delegator, provider, 1000 * UNIT);
        uint64 device = _device();
        vm.prank(provider);
        staking.removeDevice(device);
        IStakingManager.Parameters memory p = staking.parameters();
        p.unbondingPeriod = 1 hours;
        staking.setParameters(p);
        vm.prank(delegator);
        staking.undelegateStake(1000 * UNIT);
        assertEq(staking.delegation(delegator).unbondsAt, staking.device(device).releasesAt);
    }

    /// @dev After a slash new stake buys more shares; nobody's stake changes hands by that.
    function testFuzz_newStakeTakesNothingFromOld(uint96 first, uint96 second, uint96 slash) public {
        first = uint96(bound(first, UNIT, 400_000 * UNIT));
        second = uint96(bound(second, UNIT, 400_000 * UNIT));
        address one = _funded("one", first);
        address two = _funded("two", second);
        _open(king, 0);
        _delegateTo(one, king, first);
        slash = uint96(bound(slash, 1, (10_000 * UNIT + uint256(first)) / 10));
        staking.slashByVote(king, slash, PEER);
        uint256 left = staking.pool(king).total;
        vm.prank(renter);
        token.transfer(king, slash);
        vm.prank(king);
        staking.addStake(slash);
        _delegateTo(two, king, second);
        uint256[2] memory out;
        for (uint256 i; i < 2; ++i) {
            address who = i == 0 ? two : one;
            uint256 shares = staking.delegation(who).shares;
            vm.prank(who);
            staking.undelegateStake(shares);
        }
        vm.warp(block.timestamp + 1 days);
        vm.prank(two);
        out[0] = staking.withdrawDelegation();
        vm.prank(one);
        out[1] = staking.withdrawDelegation();
        assertApproxEqAbs(out[0], second, 2);
        assertApproxEqAbs(out[1], left, 2);
        assertLe(out[0], second, "rounding favours who was there before");
        assertEq(out[0] + out[1], left + second);
        _assertSolvent();
    }
}
