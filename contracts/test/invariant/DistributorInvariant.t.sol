// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {EmissionMath} from "../../src/libraries/EmissionMath.sol";
import {IRentalTotals} from "../utils/World.sol";
import {RewardWorld} from "../utils/RewardWorld.sol";

/// @dev A ring of accounts in one hand: provider with its hot key, two renters, the Queens who judge, and the relay that delivers
///      reports. They rent from each other, at any price, through every way a rental can end, while Governance moves rates and shares
///      within the bounds of the code and time passes. Whatever they do, they can't earn.
contract DistributorInvariantTest is RewardWorld {
    address private second = makeAddr("second renter");
    address private thief = makeAddr("thief");
    address[] private ring;
    uint256 private wealthBefore;
    uint256 private supplyBefore;
    bool private thiefGotIn;
    bool private settledTwice;
    bool private overRewarded;

    function setUp() public override {
        super.setUp();
        _seatQueens(4);
        vm.prank(renter);
        token.transfer(second, 10_000 * UNIT);
        _approveAll(renter);
        _approveAll(second);
        _deposit(10 * UNIT);
        ring = [provider, operator, renter, second, relay];
        for (uint256 i; i < judgeKeys.length; ++i) {
            ring.push(vm.addr(judgeKeys[i]));
        }
        wealthBefore = _wealth();
        supplyBefore = token.totalMinted();
        bytes4[] memory actions = new bytes4[](11);
        actions[0] = this.actRent.selector;
        actions[1] = this.actRent.selector;
        actions[2] = this.actReport.selector;
        actions[3] = this.actReport.selector;
        actions[4] = this.actSettle.selector;
        actions[5] = this.actLeave.selector;
        actions[6] = this.actComplain.selector;
        actions[7] = this.actClaim.selector;
        actions[8] = this.actGovern.selector;
        actions[9] = this.actWait.selector;
        actions[10] = this.actThief.selector;
        targetSelector(FuzzSelector(address(this), actions));
        targetContract(address(this));
    }

    function actRent(uint256 who, uint32 duration, uint256 price, bool open) external {
        if (rental.activeRental(deviceId) != 0) return;
        _fresh();
        vm.prank(provider);
        rental.changeOffer(offerId, uint128(bound(price, 1, 1000 * uint256(PRICE))), false);
        uint64 id = rentAs(who % 2 == 0 ? renter : second, offerId, uint32(bound(duration, 60, 3600)));
        _approveAll(renter);
        _approveAll(second);
        readyAs(id);
        if (open) openSession(id);
    }

    function actReport(uint256 seed, uint64 covered, uint64 verified, bool isFinal) external {
        uint64 id = _pick(seed);
        if (id == 0 || rental.rental(id).state != IGPURental.State.Active) return;
        _report(id, covered % 4000, verified % 4000, 3, uint32(seed % 4), isFinal);
    }

    /// @dev Mostly what closed last; with its fees collected or not.
    function actSettle(uint256 seed, bool collectFirst) external {
        if (collectFirst) _collectFees();
        uint64 id = _pick(seed);
        bool before = distributor.settled(id);
        try distributor.settleRental(id) returns (uint256 reward, uint256 loyalty) {
            if (before) settledTwice = true;
            if (reward + loyalty > _feeOf(id) * 8000 / 10_000) overRewarded = true;
        } catch {}
    }

    function actLeave(uint256 seed, bool byProvider) external {
        uint64 id = _pick(seed);
        if (id == 0) return;
        vm.prank(byProvider ? operator : rental.rental(id).renter);
        if (byProvider) try rental.abortRental(id) {} catch {} else try rental.endRental(id) {} catch {}
    }

    function actComplain(uint256 seed, bool upheld) external {
        uint64 id = _pick(seed);
        if (id == 0) return;
        vm.prank(rental.rental(id).renter);
        try court.complain(id, 0) returns (uint256 caseId) {
            _judge(caseId, upheld);
        } catch {}
    }

    function actClaim(uint256 who) external {
        address account = ring[who % ring.length];
        vm.startPrank(account);
        try rental.claim(account) {} catch {}
        try distributor.claim(account) {} catch {}
        try court.claim(account) {} catch {}
        vm.stopPrank();
    }

    /// @dev Anything that the code lets Governance set.
    function actGovern(uint16 a, uint16 b, uint16 rentals, uint16 back, uint16 low, uint16 high, uint128 perHour) external {
        ITokenDistributor.RewardParameters memory p;
        p.rentalBps = rentals % 10_001;
        p.providerStakingBps = a % (10_001 - p.rentalBps);
        p.queenStakingBps = b % (10_001 - p.rentalBps - p.providerStakingBps);
        p.providerFeeBps = back % 8001;
        ITokenDistributor.LoyaltyTier[] memory tiers = new ITokenDistributor.LoyaltyTier[](2);
        tiers[1] = ITokenDistributor.LoyaltyTier(uint128(UNIT), high % (8001 - p.providerFeeBps));
        tiers[0].rewardBps = low % (tiers[1].rewardBps + 1);
        distributor.setRewardParameters(p, tiers);
        distributor.setClassReward(CLASS, perHour);
    }

    function actWait(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 1, time % 4 == 0 ? 40 days : 40 minutes));
    }

    function actThief(uint256 seed) external {
        vm.startPrank(thief);
        try distributor.claim(thief) {
            thiefGotIn = true;
        } catch {}
        try distributor.onFee(seed) {
            thiefGotIn = true;
        } catch {}
        try distributor.withdrawTreasury(thief, 1) {
            thiefGotIn = true;
        } catch {}
        try distributor.setClassReward(CLASS, type(uint128).max) {
            thiefGotIn = true;
        } catch {}
        try distributor.settleRental(_pick(seed)) {} catch {}
        vm.stopPrank();
    }

    /// @dev All of them after every step of one campaign: as many campaigns as invariants would repeat the steps, which cost more.
    function invariant_all() public view {
        aRingOnlyLoses();
        rewardsStayBelowTheFees();
        supplyStaysWithinTheSchedule();
        theDistributorCanPayAllItOwes();
        outsidersGetNothing();
    }

    /// @dev Everything the ring holds or has coming, against what it had: it is short of a fifth of every fee that it paid.
    function aRingOnlyLoses() public view {
        assertLe(_wealth() + distributor.feesReceived() / 5, wealthBefore);
    }

    function rewardsStayBelowTheFees() public view {
        assertFalse(overRewarded, "of one rental");
        assertFalse(settledTwice);
        assertLe(distributor.rentalRewards() * 10, distributor.feesReceived() * 8, "of all rentals");
    }

    /// @dev Nothing is minted ahead of the schedule, and what is credited but not minted still fits below the cap.
    function supplyStaysWithinTheSchedule() public view {
        (uint128 initial, uint16 decayBps, uint64 start) = distributor.emission();
        uint256 epochs = (block.timestamp - start) / EPOCH + 1;
        assertLe(distributor.emitted(), EmissionMath.scheduled(initial, decayBps, epochs * EPOCH));
        assertLe(token.totalMinted() - supplyBefore, distributor.emitted());
        assertLe(supplyBefore + EmissionMath.total(initial, decayBps), token.cap());
        assertLe(token.totalMinted(), token.cap());
    }

    function theDistributorCanPayAllItOwes() public view {
        uint256 unvested;
        for (uint256 i; i < distributor.allocationCount(); ++i) {
            ITokenDistributor.Vesting memory v = distributor.vesting(i);
            unvested += v.allocation.amount - v.released;
        }
        assertEq(token.balanceOf(address(distributor)), unvested + distributor.treasury());
        uint256 credits = token.totalMinted() - supplyBefore;
        for (uint256 i; i < ring.length; ++i) {
            credits += distributor.credit(ring[i]);
        }
        assertEq(credits, distributor.rentalRewards());
    }

    function outsidersGetNothing() public view {
        assertFalse(thiefGotIn);
        assertEq(token.balanceOf(thief) + distributor.credit(thief), 0);
    }

    /// @dev When everything has come to its end, the loss is there in tokens: all open escrow and bonds have come back by then.
    function afterInvariant() external {
        vm.warp(block.timestamp + 100 days);
        for (uint256 caseId = 1; caseId <= court.caseCount(); ++caseId) {
            if (court.caseOf(caseId).status == IRentalCourt.Status.Open) court.expire(caseId);
        }
        for (uint64 id = 1; id <= rental.rentalCount(); ++id) {
            if (rental.rental(id).state == IGPURental.State.Active) rental.closeAfterDeadline(id);
        }
        _collectFees();
        for (uint64 id = 1; id <= rental.rentalCount(); ++id) {
            try distributor.settleRental(id) {} catch {}
        }
        uint256 held;
        for (uint256 i; i < ring.length; ++i) {
            this.actClaim(i);
            held += token.balanceOf(ring[i]);
        }
        assertEq(IRentalTotals(address(rental)).totalHeld(), 0);
        assertLe(held + rental.reserveOf(deviceId) + distributor.feesReceived() / 5, wealthBefore);
    }

    /// @dev Balances, credits, bonds, reserves, and all escrow, which is the ring's own.
    function _wealth() private view returns (uint256 sum) {
        for (uint256 i; i < ring.length; ++i) {
            sum += token.balanceOf(ring[i]) + distributor.credit(ring[i]);
        }
        IRentalTotals totals = IRentalTotals(address(rental));
        sum += totals.totalHeld() + totals.totalCredit() + totals.totalReserve() - rental.credit(address(distributor));
        sum += token.balanceOf(address(court));
    }

    function _pick(uint256 seed) private view returns (uint64) {
        uint64 count = rental.rentalCount();
        if (count == 0) return 0;
        return seed % 3 != 0 ? count : uint64(1 + (seed / 3) % count);
    }
}
