// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

contract StakingRewardsTest is StakingWorld {
    function _claim(address account) private returns (uint256) {
        vm.prank(account);
        return staking.claimRewards(account);
    }

    function test_onlyTheDistributorNotifiesAndOnlyWhatCame() public {
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.NotDistributor.selector, address(this)));
        staking.notifyReward(KING, 1);
        vm.startPrank(address(distributor));
        vm.expectRevert(IStakingManager.InvalidRole.selector);
        staking.notifyReward(IStakingManager.Role.None, 1);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RewardNotReceived.selector, 0, 1));
        staking.notifyReward(KING, 1);
        vm.stopPrank();
        // Stakes are not a reward that came.
        _staker("king", KING, 10_000 * UNIT);
        vm.prank(address(distributor));
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RewardNotReceived.selector, 10_000 * UNIT, 10_000 * UNIT + 1));
        staking.notifyReward(KING, 1);
    }

    function test_stakesShareByWeightAndRole() public {
        address small = _staker("small", KING, 10_000 * UNIT);
        address large = _staker("large", KING, 30_000 * UNIT);
        address queen = _staker("queen", QUEEN, 5000 * UNIT);
        vm.startPrank(address(distributor));
        token.mint(address(staking), 400 * UNIT);
        vm.expectEmit(address(staking));
        emit IStakingManager.RewardNotified(KING, 400 * UNIT, 40_000 * UNIT, 0);
        staking.notifyReward(KING, 400 * UNIT);
        vm.stopPrank();
        _notify(QUEEN, 7 * UNIT);
        // Who comes later has no part in it.
        address late = _staker("late", KING, 30_000 * UNIT);
        assertEq(staking.earned(small), 100 * UNIT);
        assertEq(staking.earned(late), 0);
        assertEq(_claim(small), 100 * UNIT);
        assertEq(_claim(large), 300 * UNIT);
        assertEq(_claim(queen), 7 * UNIT);
        vm.prank(late);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.NothingToClaim.selector, late));
        staking.claimRewards(late);
        vm.prank(small);
        vm.expectRevert(IStakingManager.ZeroAddress.selector);
        staking.claimRewards(address(0));
        _assertSolvent();
    }

    function test_whatNobodyCanEarnWaits() public {
        _notify(QUEEN, 5 * UNIT);
        (uint256 weight, uint256 kept,) = staking.rewardState(QUEEN);
        assertEq(weight, 0);
        assertEq(kept, 5 * UNIT);
        address queen = _staker("queen", QUEEN, 5000 * UNIT);
        assertEq(staking.earned(queen), 0);
        _notify(QUEEN, UNIT);
        assertEq(_claim(queen), 6 * UNIT);
        _notify(PROVIDER, UNIT);
        (, kept,) = staking.rewardState(PROVIDER);
        assertEq(kept, UNIT);
    }

    function test_unbondingAndSlashedStakeEarnsNothing() public {
        staking.setKingCourt(kingCourt);
        address leaving = _staker("leaving", KING, 20_000 * UNIT);
        address slashed = _staker("slashed", KING, 20_000 * UNIT);
        address staying = _staker("staying", KING, 10_000 * UNIT);
        _notify(KING, 50 * UNIT);
        vm.prank(leaving);
        staking.requestUnstake(10_000 * UNIT);
        vm.prank(kingCourt);
        staking.slashKing(slashed, 1, address(0));
        _notify(KING, 20 * UNIT);
        assertEq(_claim(leaving), 30 * UNIT);
        assertEq(_claim(slashed), 20 * UNIT, "what was earned before the offence stays");
        assertEq(_claim(staying), 20 * UNIT);
        _assertSolvent();
    }

    function test_withoutTheMinimumNothingIsEarned() public {
        address king = _staker("king", KING, 10_000 * UNIT);
        address other = _staker("other", KING, 10_000 * UNIT);
        staking.slashByVote(king, 1, PEER);
        _notify(KING, UNIT);
        assertEq(staking.earned(king), 0);
        assertEq(_claim(other), UNIT);
    }

    // --------------------------------------------------------------------------------------- Providers

    function test_providersEarnByVerifiedDevices() public {
        stakeAs(provider, PROVIDER, 3000 * UNIT, operator);
        address other = _staker("other", PROVIDER, 1000 * UNIT);
        vm.prank(other);
        uint64 foreign = staking.registerDevice(CLASS, worker);
        uint64 first = _device();
        uint64 second = _device();
        _device();
        vm.expectEmit(address(staking));
        emit IStakingManager.DeviceCounted(first, 0, 500 * UNIT);
        _pass(first);
        _pass(second);
        _pass(foreign);
        _pass(foreign);
        _notify(PROVIDER, 90 * UNIT);
        assertEq(staking.earned(provider), 60 * UNIT, "not by stake, nor by unproven devices");
        assertEq(_claim(other), 30 * UNIT);
        (uint256 weight,, uint32 round) = staking.rewardState(PROVIDER);
        assertEq(weight, 0, "each round starts anew");
        assertEq(round, 1);
        // A recent pass that is known already counts for the next round when somebody asks.
        vm.prank(relay);
        staking.countDevice(first);
        _notify(PROVIDER, UNIT);
        assertEq(_claim(provider), 61 * UNIT);
        vm.warp(block.timestamp + 1 days + 1);
        staking.countDevice(first);
        (weight,,) = staking.rewardState(PROVIDER);
        assertEq(weight, 0, "the pass is too old");
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownDevice.selector, 99));
        staking.countDevice(99);
        _assertSolvent();
    }

    function test_removedAndSlashedDevicesStopEarningAtOnce() public {
        stakeAs(provider, PROVIDER, 3000 * UNIT, operator);
        uint64 removed = _device();
        uint64 slashed = _device();
        uint64 kept = _device();
        _pass(removed);
        _pass(slashed);
        _pass(kept);
        vm.prank(provider);
        staking.removeDevice(removed);
        _fault(slashed, 1, address(0), address(0));
        (uint256 weight,,) = staking.rewardState(PROVIDER);
        assertEq(weight, 500 * UNIT);
        // A removed device is not counted again.
        staking.countDevice(removed);
        (weight,,) = staking.rewardState(PROVIDER);
        assertEq(weight, 500 * UNIT);
    }

    function test_providerThatFallsShortLosesTheRound() public {
        stakeAs(provider, PROVIDER, 1000 * UNIT, operator);
        uint64 device = _device();
        _pass(device);
        staking.slashByVote(provider, 1, PEER);
        (uint256 weight,,) = staking.rewardState(PROVIDER);
        assertEq(weight, 0);
        staking.countDevice(device);
        _notify(PROVIDER, UNIT);
        assertEq(staking.earned(provider), 0);
    }

    // -------------------------------------------------------------------------------------- commission

    function test_delegatorsShareAndPayCommission() public {
        address king = _staker("king", KING, 10_000 * UNIT);
        address delegator = _funded("delegator", 30_000 * UNIT);
        _open(king, 1000);
        _delegateTo(delegator, king, 30_000 * UNIT);
        _notify(KING, 400 * UNIT);
        assertEq(staking.earned(king), 130 * UNIT);
        assertEq(staking.earned(delegator), 270 * UNIT);
        assertEq(_claim(king), 130 * UNIT);
        assertEq(_claim(delegator), 270 * UNIT);
        _assertSolvent();
    }

    function test_dearerCommissionComesAnnouncedAndOnlyForLaterRewards() public {
        address king = _staker("king", KING, 10_000 * UNIT);
        address delegator = _funded("delegator", 10_000 * UNIT);
        _open(king, 0);
        _delegateTo(delegator, king, 10_000 * UNIT);
        vm.startPrank(king);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.CommissionTooHigh.selector, 5001, 5000));
        staking.announceCommission(5001);
        uint64 changesAt = uint64(block.timestamp + 1 days);
        vm.expectEmit(address(staking));
        emit IStakingManager.CommissionAnnounced(king, 5000, changesAt);
        staking.announceCommission(5000);
        vm.stopPrank();
        _notify(KING, 100 * UNIT);
        vm.warp(changesAt);
        // Settled after the change, earned before it.
        assertEq(_claim(delegator), 50 * UNIT);
        _notify(KING, 100 * UNIT);
        assertEq(_claim(delegator), 25 * UNIT);
        assertEq(_claim(king), 125 * UNIT);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RoleMismatch.selector, IStakingManager.Role.None, PROVIDER));
        staking.announceCommission(1);
    }

    function test_whoDelegatesLaterHasNoPartInEarlierRewards() public {
        address king = _staker("king", KING, 10_000 * UNIT);
        address early = _funded("early", 10_000 * UNIT);
        address late = _funded("late", 20_000 * UNIT);
        _open(king, 0);
        _delegateTo(early, king, 10_000 * UNIT);
        _notify(KING, 100 * UNIT);
        _delegateTo(late, king, 20_000 * UNIT);
        _notify(KING, 100 * UNIT);
        vm.prank(early);
        staking.undelegateStake(10_000 * UNIT);
        _notify(KING, 30 * UNIT);
        assertEq(_claim(early), 75 * UNIT);
        assertEq(_claim(late), 70 * UNIT);
        assertEq(_claim(king), 85 * UNIT);
        _assertSolvent();
    }

    function testFuzz_neverMorePaidThanNotified(uint96[4] memory stakes, uint96[3] memory amounts, uint16 commission) public {
        address[4] memory people;
        for (uint256 i; i < 3; ++i) {
            string memory name = string.concat("king", vm.toString(i));
            people[i] = _staker(name, KING, bound(stakes[i], 10_000 * UNIT, 200_000 * UNIT));
        }
        uint256 delegated = bound(stakes[3], UNIT, 200_000 * UNIT);
        people[3] = _funded("delegator", delegated);
        _open(people[0], uint16(bound(commission, 0, 5000)));
        _delegateTo(people[3], people[0], delegated);
        uint256 notified;
        for (uint256 i; i < 3; ++i) {
            uint256 amount = bound(amounts[i], 1, 1e6 * UNIT);
            notified += amount;
            _notify(KING, amount);
        }
        uint256 paid;
        for (uint256 i; i < 4; ++i) {
            uint256 due = staking.earned(people[i]);
            if (due == 0) continue;
            assertEq(_claim(people[i]), due, "the view says what is paid");
            paid += due;
        }
        (, uint256 kept,) = staking.rewardState(KING);
        assertLe(paid + kept, notified);
        // What is lost to rounding is less than a share's worth of each division.
        assertLe(notified - paid - kept, 1e6);
        _assertSolvent();
    }
}
