// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {RewardWorld} from "../utils/RewardWorld.sol";

contract DistributorRewardsTest is RewardWorld {
    // -------------------------------------------------------------------------------------------- rentals

    function test_aClosedRentalIsRewardedOnceByAnybody() public {
        uint64 id = _complete(renter, 600);
        _collectFees();
        uint256 fee = _feeOf(id);
        assertEq(fee, 3e16, "5 % of 600 s");
        vm.expectEmit(address(distributor));
        emit ITokenDistributor.RentalRewarded(id, provider, renter, fee, fee / 2, fee / 10);
        vm.prank(relay);
        distributor.settleRental(id);
        assertTrue(distributor.settled(id));
        assertEq(distributor.credit(provider), fee / 2);
        assertEq(distributor.credit(renter), fee / 10);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.RentalAlreadySettled.selector, id));
        distributor.settleRental(id);
    }

    function test_rewardsAreMintedWhenTheyAreClaimed() public {
        uint64 id = _complete(renter, 600);
        _collectFees();
        distributor.settleRental(id);
        uint256 minted = token.totalMinted();
        vm.expectEmit(address(distributor));
        emit ITokenDistributor.Claimed(provider, relay, 15e15);
        vm.prank(provider);
        distributor.claim(relay);
        assertEq(token.balanceOf(relay), 15e15);
        assertEq(token.totalMinted(), minted + 15e15);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NothingToClaim.selector, provider));
        distributor.claim(relay);
        vm.prank(renter);
        vm.expectRevert(ITokenDistributor.ZeroAddress.selector);
        distributor.claim(address(0));
    }

    function test_theRateOfTheClassPerVerifiedHour() public {
        distributor.setClassReward(CLASS, 6e16);
        _fresh();
        uint64 id = _active(600);
        vm.warp(T0 + 600);
        // Half of the time was verified, so half an hour's sixth is rewarded.
        _report(id, 600, 300, 4, 2, true);
        _collectFees();
        distributor.settleRental(id);
        assertEq(distributor.credit(provider), 6e16 / 12);
    }

    function test_aClassWithoutRateEarnsNothing() public {
        distributor.setClassReward(CLASS, 0);
        uint64 id = _complete(renter, 600);
        _collectFees();
        distributor.settleRental(id);
        assertEq(distributor.credit(provider), 0);
        assertGt(distributor.credit(renter), 0);
    }

    function test_openRentalsAreNotSettled() public {
        bytes4 selector = ITokenDistributor.RentalNotClosed.selector;
        uint64 id = rentAs(renter, offerId, 600);
        vm.expectRevert(abi.encodeWithSelector(selector, id));
        distributor.settleRental(id);
        readyAs(id);
        vm.expectRevert(abi.encodeWithSelector(selector, id));
        distributor.settleRental(id);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.UnknownRental.selector, id + 1));
        distributor.settleRental(id + 1);
    }

    function test_rentalsThatPaidNothingEarnNothing() public {
        uint64 id = rentAs(renter, offerId, 600);
        vm.prank(renter);
        rental.cancel(id);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NoFeePaid.selector, id));
        distributor.settleRental(id);
        // Who leaves without a session leaves the whole protocol fee behind, but nothing was rented.
        id = rentAs(renter, offerId, 600);
        readyAs(id);
        vm.prank(renter);
        rental.endRental(id);
        assertGt(rental.credit(address(distributor)), 0);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NoFeePaid.selector, id));
        distributor.settleRental(id);
    }

    function test_aProviderAtFaultIsNotRewarded() public {
        uint64 id = _active(600);
        vm.warp(T0 + 300);
        vm.prank(operator);
        rental.abortRental(id);
        _report(id, 300, 300, 2, 2, true);
        assertTrue(_reason(id) == IGPURental.CloseReason.Aborted);
        _collectFees();
        distributor.settleRental(id);
        assertEq(distributor.credit(provider), 0);
        assertEq(distributor.credit(renter), _feeOf(id) / 10, "the renter did nothing wrong");
    }

    function test_rewardsWaitForTheFees() public {
        uint64 id = _complete(renter, 600);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.FeesOutstanding.selector, 18e15, 0));
        distributor.settleRental(id);
        rental.collectFees();
        distributor.settleRental(id);
    }

    function test_loyaltyGrowsWithTheFeesOfAnEpoch() public {
        vm.prank(provider);
        rental.changeOffer(offerId, 100 * PRICE, false);
        // 600 s at 0.1 cost 60; the fee is 3, of which 1 earns a tenth and 2 earn three tenths.
        uint64 id = _complete(renter, 600);
        _collectFees();
        distributor.settleRental(id);
        assertEq(distributor.credit(renter), UNIT / 10 + 2 * UNIT * 3 / 10);
        assertEq(distributor.loyaltyOf(renter), 3 * UNIT);
        id = _complete(renter, 600);
        _collectFees();
        distributor.settleRental(id);
        assertEq(distributor.credit(renter), UNIT / 10 + 5 * UNIT * 3 / 10);
        vm.warp(T0 + EPOCH);
        assertEq(distributor.loyaltyOf(renter), 0, "an epoch's fees count in that epoch");
        id = _complete(renter, 600);
        _collectFees();
        distributor.settleRental(id);
        assertEq(distributor.credit(renter), 2 * (UNIT / 10) + 7 * UNIT * 3 / 10);
    }

    /// @dev Neither the order nor the cut of a renter's rentals changes what they earn together.
    function testFuzz_loyaltyDoesNotDependOnTheOrder(uint32 a, uint32 b, uint256 price) public {
        vm.prank(provider);
        rental.changeOffer(offerId, uint128(bound(price, 1, 1e18)), false);
        uint64 first = _complete(renter, uint32(bound(a, 60, 3600)));
        uint64 second = _complete(renter, uint32(bound(b, 60, 3600)));
        _collectFees();
        if (_feeOf(first) == 0 || _feeOf(second) == 0) return;
        uint256 clean = vm.snapshotState();
        distributor.settleRental(first);
        distributor.settleRental(second);
        uint256 forwards = distributor.credit(renter);
        vm.revertToState(clean);
        distributor.settleRental(second);
        distributor.settleRental(first);
        assertApproxEqAbs(distributor.credit(renter), forwards, 1, "but for a wei of rounding");
    }

    function test_anEpochsBudgetIsNotExceededAndTheNextOneOpens() public {
        (uint256 budget, uint256 forRentals) = distributor.budgetOf(0);
        assertEq(budget, 1e6 * UNIT);
        assertEq(forRentals, 5e5 * UNIT);
        ITokenDistributor.RewardParameters memory p = _parameters();
        // A tenth of a millionth of the budget: a little more than one of the rentals below earns.
        distributor.setRewardParameters(ITokenDistributor.RewardParameters(0, 0, 0, 1, p.providerFeeBps), _tiers());
        vm.prank(provider);
        rental.changeOffer(offerId, 2000 * PRICE, false);
        uint64 first = _complete(renter, 3600);
        uint64 second = _complete(provider, 3600);
        _collectFees();
        (, forRentals) = distributor.budgetOf(0);
        assertEq(forRentals, 100 * UNIT);
        // Each would earn more than the whole epoch has, so it earns that at most.
        (uint256 reward, uint256 loyalty) = distributor.settleRental(first);
        assertApproxEqAbs(reward + loyalty, forRentals, 2);
        vm.expectPartialRevert(ITokenDistributor.BudgetExhausted.selector);
        distributor.settleRental(second);
        vm.warp(T0 + EPOCH);
        (reward, loyalty) = distributor.settleRental(second);
        (, forRentals) = distributor.budgetOf(1);
        assertEq(forRentals, 97.5e18);
        assertApproxEqAbs(reward + loyalty, forRentals, 2);
    }

    // ----------------------------------------------------------------------------------------- the market

    /// @dev Provider, renter, deliverer of the bridge fee, all in one hand: whatever they do, each rental costs them at least a fifth
    ///      of its protocol fee.
    function testFuzz_rentingFromOneselfLosesMoney(uint256 price, uint32 duration, uint256 perHour, uint16 verified, uint8 times)
        public
    {
        distributor.setClassReward(CLASS, uint128(bound(perHour, 0, type(uint128).max)));
        ITokenDistributor.LoyaltyTier[] memory tiers = _tiers();
        tiers[1].rewardBps = 8000 - _parameters().providerFeeBps;
        distributor.setRewardParameters(_parameters(), tiers);
        vm.prank(provider);
        rental.changeOffer(offerId, uint128(bound(price, 1, 1e18)), false);
        duration = uint32(bound(duration, 60, 3600));
        address[4] memory hands = [provider, renter, relay, operator];
        uint256 before = _wealth(hands);
        uint256 fees;
        for (uint256 i; i <= times % 4; ++i) {
            _fresh();
            uint64 id = _active(duration);
            vm.warp(block.timestamp + duration);
            _report(id, duration, uint64(bound(verified, 0, duration)), 3, 2, true);
            _collectFees();
            fees += _feeOf(id);
            if (_feeOf(id) != 0) distributor.settleRental(id);
        }
        assertLe(_wealth(hands) + (fees * 2000) / 10_000, before);
    }

    function _wealth(address[4] memory hands) private view returns (uint256 sum) {
        for (uint256 i; i < hands.length; ++i) {
            sum += token.balanceOf(hands[i]) + rental.credit(hands[i]) + distributor.credit(hands[i]);
        }
    }

    // ------------------------------------------------------------------------------------------ schedule

    function test_theScheduleDecaysByEpoch() public view {
        (uint256 first,) = distributor.budgetOf(0);
        (uint256 second,) = distributor.budgetOf(1);
        (uint256 third,) = distributor.budgetOf(2);
        assertEq(first, 1e6 * UNIT);
        assertEq(second, 975_000 * UNIT);
        assertEq(third, 950_625 * UNIT);
        (uint256 far,) = distributor.budgetOf(type(uint256).max);
        assertEq(far, 0);
    }

    function test_theStartIsGovernedUntilItHasPassed() public {
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.EmissionRunning.selector, T0));
        distributor.startEmission(T0 + 1);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NothingToDistribute.selector));
        distributor.distributeStaking();
    }

    function test_sharesHaveBounds() public {
        ITokenDistributor.RewardParameters memory p = ITokenDistributor.RewardParameters(5000, 2000, 2000, 1001, 0);
        ITokenDistributor.LoyaltyTier[] memory tiers = _tiers();
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.SharesExceeded.selector, 10_001, 10_000));
        distributor.setRewardParameters(p, tiers);
        p.rentalBps = 1000;
        p.providerFeeBps = 5001;
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.SharesExceeded.selector, 8001, 8000));
        distributor.setRewardParameters(p, tiers);
        p.providerFeeBps = 8001;
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.SharesExceeded.selector, 8001, 8000));
        distributor.setRewardParameters(p, new ITokenDistributor.LoyaltyTier[](0));
        p.providerFeeBps = 5000;
        vm.expectEmit(address(distributor));
        emit ITokenDistributor.RewardParametersSet(p, tiers);
        distributor.setRewardParameters(p, tiers);
    }

    function test_tiersAscend() public {
        ITokenDistributor.RewardParameters memory p = _parameters();
        ITokenDistributor.LoyaltyTier[] memory tiers = _tiers();
        tiers[0].rewardBps = 3001;
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.InvalidTier.selector, 1));
        distributor.setRewardParameters(p, tiers);
        tiers = _tiers();
        tiers[0].fees = tiers[1].fees;
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.InvalidTier.selector, 1));
        distributor.setRewardParameters(p, tiers);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.InvalidTier.selector, 4));
        distributor.setRewardParameters(p, new ITokenDistributor.LoyaltyTier[](5));
    }
}

