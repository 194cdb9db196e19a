// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {Quorum, WorkReport} from "../../src/types/Protocol.sol";
import {IRentalTotals} from "../utils/World.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";

/// @dev Renter, provider, Queens, Kings, Governance, thief, time, and a bridge that reports whatever it likes. It is the target
///      contract itself, so that it has the helpers of the world.
contract RentalInvariantTest is RentalWorld {
    mapping(uint64 rentalId => uint256) private paidBefore;
    bool private paidDecreased;
    bool private thiefGotIn;
    bool private leftTooFast;
    bool private leftWhilePaused;
    bool private pausedTooLong;
    uint256 private limitSetAt;
    uint256 private reportedOut;
    /// @dev At most this of an account's credit is its own money back, which nothing holds up.
    mapping(address account => uint256) private freeOf;
    address private thief = makeAddr("thief");
    /// @dev The hours at which delayed credit becomes free, as far as any was seen.
    uint64[] private dueHours;
    mapping(uint64 hour => bool) private isDue;

    function setUp() public override {
        super.setUp();
        IGPURental.Safeguards memory s = rental.safeguards();
        s.maintenanceNotice = 30;
        IRentalTotals(address(rental)).setSafeguards(s);
        _seatQueens(4);
        _approveAll(renter);
        _deposit(UNIT);
        bytes4[] memory actions = new bytes4[](21);
        actions[0] = this.actRent.selector;
        actions[1] = this.actReady.selector;
        actions[2] = this.actOpen.selector;
        actions[3] = this.actEnd.selector;
        actions[4] = this.actCancel.selector;
        actions[5] = this.actClose.selector;
        actions[6] = this.actReport.selector;
        actions[7] = this.actClaim.selector;
        actions[8] = this.actWait.selector;
        actions[9] = this.actExtend.selector;
        actions[10] = this.actAbort.selector;
        actions[11] = this.actMaintain.selector;
        actions[12] = this.actReserve.selector;
        actions[13] = this.actComplain.selector;
        actions[14] = this.actJudge.selector;
        actions[15] = this.actExpire.selector;
        actions[16] = this.actThief.selector;
        // Twice as often: without reports nothing is ever paid.
        actions[17] = this.actReport.selector;
        actions[18] = this.actKings.selector;
        actions[19] = this.actGovern.selector;
        actions[20] = this.actRelease.selector;
        targetSelector(FuzzSelector(address(this), actions));
        targetContract(address(this));
    }

    /// @dev Around whatever credits without a report.
    modifier counted() {
        _noteHour();
        uint256[3] memory before = [rental.credit(renter), rental.credit(provider), rental.credit(relay)];
        _;
        address[3] memory accounts = [renter, provider, relay];
        for (uint256 i; i < 3; ++i) {
            uint256 credit = rental.credit(accounts[i]);
            if (credit > before[i]) freeOf[accounts[i]] += credit - before[i];
        }
    }

    function actRent(uint32 duration, bool wholeWay) external counted {
        _fresh();
        if (rental.activeRental(deviceId) != 0) return;
        uint64 id = rentAs(renter, offerId, uint32(bound(duration, 60, 3600)));
        _approveAll(renter);
        if (!wholeWay) return;
        readyAs(id);
        openSession(id);
    }

    function actReady(uint256 seed) external counted {
        uint64 id = _pick(seed);
        vm.prank(operator);
        try rental.ready(id) {} catch {}
    }

    function actOpen(uint256 seed) external {
        uint64 id = _pick(seed);
        if (id == 0 || rental.rental(id).state != IGPURental.State.Active) return;
        _noteHour();
        if (block.timestamp <= rental.rental(id).end) openSession(id);
        _watch(id);
    }

    function actEnd(uint256 seed) external counted {
        uint64 id = _pick(seed);
        vm.prank(renter);
        try rental.endRental(id) {} catch {}
        _watch(id);
    }

    function actCancel(uint256 seed, bool byOther) external counted {
        uint64 id = _pick(seed);
        vm.prank(byOther ? relay : renter);
        try rental.cancel(id) {} catch {}
    }

    function actClose(uint256 seed, bool request) external counted {
        uint64 id = _pick(seed);
        if (id == 0) return;
        if (request && rental.rental(id).state == IGPURental.State.Active && block.timestamp > rental.deadlineOf(id)) {
            _requestDeadline(id);
        }
        try rental.closeAfterDeadline(id) {} catch {}
        _watch(id);
    }

    function actReport(uint256 seed, uint32 version, uint64 covered, uint64 verified, uint32 due, uint32 passed, bool isFinal)
        external
    {
        uint64 id = _pick(seed);
        if (id == 0) return;
        uint64 start = rental.rental(id).start;
        WorkReport memory report =
            WorkReport(id, version % 6, start + covered % 4000, verified % 4000, due % 9, passed % 9, 1000, isFinal, 0, false);
        _noteHour();
        _deliver(address(rental), 16, abi.encode(report));
        _watch(id);
    }

    /// @dev What leaves beyond an account's free credit was reported: nothing of it in a pause, and no more than the bucket gives.
    function actClaim(uint256 who) external {
        address account = [renter, provider, relay, operator][who % 4];
        (uint96 capacity,, uint32 window, uint64 pausedUntil) = rental.withdrawalLimit();
        vm.prank(account);
        try rental.claim(address(0xc0ffee)) returns (uint256 amount) {
            if (amount > freeOf[account]) {
                reportedOut += amount - freeOf[account];
                if (block.timestamp <= pausedUntil) leftWhilePaused = true;
            }
            freeOf[account] = 0;
        } catch {}
        if (capacity != 0 && reportedOut > capacity + uint256(capacity) * (block.timestamp - limitSetAt) / window) {
            leftTooFast = true;
        }
    }

    /// @dev A third of the Kings holds up what reports made due; never for longer than a week at a time.
    function actKings(uint32 time, uint256 signers) external {
        uint64 until = uint64(block.timestamp) + time % 8 days;
        Quorum memory q = _pauseOrder(until, signers % 5);
        try court.pauseWithdrawals(until, q) {
            if (signers % 5 < 2) thiefGotIn = true;
        } catch {}
        (,,, uint64 pausedUntil) = rental.withdrawalLimit();
        if (pausedUntil > block.timestamp + 7 days) pausedTooLong = true;
    }

    function actGovern(uint256 capacity, uint32 window, uint256 veto, uint32 delay, uint256 which) external {
        if (which % 3 == 0) {
            rental.setWithdrawalLimit(uint96(bound(capacity, 0, 2000 * uint256(PRICE))), uint32(bound(window, 1, 2 days)));
            (limitSetAt, reportedOut) = (block.timestamp, 0);
        } else if (which % 3 == 1) {
            rental.setVeto(uint96(bound(veto, 0, 1000 * uint256(PRICE)) / 1 gwei * 1 gwei), delay % 7 days);
        } else {
            rental.pauseWithdrawals(0);
        }
    }

    function actRelease(uint256 seed, uint256 who) external {
        if (dueHours.length == 0) return;
        uint64 hour = dueHours[seed % dueHours.length];
        address account = [renter, provider, relay, address(distributor)][who % 4];
        bool early = block.timestamp < hour;
        try rental.releaseDelayed(account, hour) {
            if (early) leftTooFast = true;
        } catch {}
    }

    /// @dev By the Kings whose number is `signers`, in the order of the set.
    function _pauseOrder(uint64 until, uint256 signers) private view returns (Quorum memory q) {
        bytes32 digest = court.pauseDigest(1, until);
        q.members = members;
        for (uint256 i; i < signers && i < KINGS; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(kingKeys[i], digest);
            q.signerBitmap |= 1 << i;
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }

    /// @dev What is credited now may become free at this hour.
    function _noteHour() private {
        (, uint32 delay) = rental.veto();
        uint64 hour = uint64((block.timestamp + delay + 1 hours - 1) / 1 hours * 1 hours);
        if (isDue[hour]) return;
        isDue[hour] = true;
        dueHours.push(hour);
    }

    function _delayed() private view returns (uint256 sum) {
        address[4] memory accounts = [renter, provider, relay, address(distributor)];
        for (uint256 i; i < dueHours.length; ++i) {
            for (uint256 j; j < 4; ++j) {
                sum += rental.delayedCredit(accounts[j], dueHours[i]);
            }
        }
    }

    function actWait(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 1, time % 8 == 0 ? 20 days : 20 minutes));
    }

    function actExtend(uint256 seed, uint32 added, uint128 price) external counted {
        vm.prank(provider);
        rental.changeOffer(offerId, uint128(bound(price, 1, 5 * uint256(PRICE))), false);
        uint64 id = _pick(seed);
        uint32 time = uint32(bound(added, 1, 600));
        vm.prank(renter);
        try rental.extend(id, time, type(uint256).max) {} catch {}
    }

    function actAbort(uint256 seed) external counted {
        // Rarely: it ends what the other actors could still do.
        if (seed % 5 != 0) return;
        uint64 id = _pick(seed);
        vm.prank(operator);
        try rental.abortRental(id) {} catch {}
        _watch(id);
    }

    function actMaintain(uint256 seed, uint16 ahead, uint16 length) external {
        uint64 from = uint64(block.timestamp) + 30 + ahead % 600;
        uint64 id = _pick(seed);
        vm.prank(operator);
        try rental.declareMaintenance(id, from, from + 1 + length % 600) {} catch {}
    }

    function actReserve(uint256 amount, bool takeOut) external counted {
        amount = bound(amount, 1, UNIT);
        vm.prank(provider);
        if (!takeOut) rental.depositReserve(deviceId, uint128(amount));
        else try rental.withdrawReserve(deviceId, uint128(amount)) {} catch {}
    }

    function actComplain(uint256 seed) external {
        uint64 id = _pick(seed);
        vm.prank(renter);
        try court.complain(id, 0) {} catch {}
    }

    function actJudge(uint256 seed, bool upheld) external counted {
        uint256 count = court.caseCount();
        if (count == 0) return;
        uint256 caseId = 1 + seed % count;
        IRentalCourt.Case memory c = court.caseOf(caseId);
        if (c.status != IRentalCourt.Status.Open || block.timestamp > c.verdictUntil) return;
        if (c.committee.length == 0) c.committee = _draw(caseId);
        for (uint256 i; i < c.committee.length; ++i) {
            vm.prank(c.committee[i]);
            try court.vote(caseId, upheld) {} catch {}
        }
        _watch(c.rentalId);
    }

    function actExpire(uint256 seed) external counted {
        uint256 count = court.caseCount();
        if (count == 0) return;
        try court.expire(1 + seed % count) {} catch {}
    }

    /// @dev Whoever holds no part in a rental can do nothing to it.
    function actThief(uint256 seed) external {
        uint64 id = _pick(seed);
        vm.startPrank(thief);
        try rental.claim(thief) {
            thiefGotIn = true;
        } catch {}
        try rental.endRental(id) {
            thiefGotIn = true;
        } catch {}
        try rental.abortRental(id) {
            thiefGotIn = true;
        } catch {}
        try rental.extend(id, 1, type(uint256).max) {
            thiefGotIn = true;
        } catch {}
        try rental.setDelegate(id, thief) {
            thiefGotIn = true;
        } catch {}
        try rental.withdrawReserve(deviceId, 1) {
            thiefGotIn = true;
        } catch {}
        try rental.freeze(id) {
            thiefGotIn = true;
        } catch {}
        try rental.unfreeze(id, true) {
            thiefGotIn = true;
        } catch {}
        try rental.pauseWithdrawals(1) {
            thiefGotIn = true;
        } catch {}
        try rental.noteDeadline(id) {
            thiefGotIn = true;
        } catch {}
        try rental.witnessSession(id, uint64(block.timestamp)) {
            thiefGotIn = true;
        } catch {}
        try court.complain(id, 0) {
            thiefGotIn = true;
        } catch {}
        try court.claim(thief) {
            thiefGotIn = true;
        } catch {}
        vm.stopPrank();
    }

    /// @dev All of them after every step of one campaign: as many campaigns as invariants would repeat the steps, which cost more.
    /// forge-config: deep.invariant.depth = 40
    function invariant_all() public view {
        solvency();
        conservation();
        paidNeverDecreases();
        reportedMoneyLeavesByItsLimits();
        outsidersGetNothing();
    }

    /// @dev Everything the contract holds is owed to somebody, and it can pay all of it.
    function solvency() public view {
        IRentalTotals totals = IRentalTotals(address(rental));
        uint256 owed = totals.totalHeld() + totals.totalCredit() + totals.totalReserve();
        assertEq(token.balanceOf(address(rental)), owed);
        uint256 credits = rental.credit(renter) + rental.credit(provider) + rental.credit(relay);
        assertEq(totals.totalCredit(), credits + rental.credit(address(distributor)) + _delayed());
    }

    function conservation() public view {
        uint256 held;
        uint256 reserved = rental.reserveOf(deviceId);
        for (uint64 id = 1; id <= rental.rentalCount(); ++id) {
            IGPURental.Rental memory r = rental.rental(id);
            IGPURental.Details memory d = rental.details(id);
            uint256 out = uint256(r.paid) + r.refunded + r.fees;
            assertLe(out, r.escrowed);
            bool open = r.state == IGPURental.State.Requested || r.state == IGPURental.State.Active;
            if (open) held += r.escrowed - out;
            else assertEq(out, r.escrowed);
            reserved += d.reserved;
            assertLe(r.coveredUntil, r.end);
            assertLe(r.start + r.verifiedSeconds, r.coveredUntil);
            // Without reports for 30 days the unreported part is split; everything else that is paid was verified.
            if (r.closeReason == IGPURental.CloseReason.BridgeDown) continue;
            uint256 highest = r.pricePerSecond;
            for (uint256 i; i < d.segments.length; ++i) {
                if (d.segments[i].pricePerSecond > highest) highest = d.segments[i].pricePerSecond;
            }
            assertLe(r.paid, uint256(r.verifiedSeconds) * highest);
        }
        assertEq(held, IRentalTotals(address(rental)).totalHeld());
        assertEq(reserved, IRentalTotals(address(rental)).totalReserve());
    }

    function paidNeverDecreases() public view {
        assertFalse(paidDecreased);
    }

    /// @dev Neither the bucket nor a pause of the Kings lets more out than it says, and none holds money for good.
    function reportedMoneyLeavesByItsLimits() public view {
        assertFalse(leftTooFast);
        assertFalse(leftWhilePaused);
        assertFalse(pausedTooLong);
    }

    function outsidersGetNothing() public view {
        assertFalse(thiefGotIn);
        assertEq(token.balanceOf(thief), 0);
    }

    /// @dev No state without an exit: with time alone, and by anybody, every rental closes and every bond returns. Afterwards only
    ///      the reserve is left.
    function afterInvariant() external {
        vm.warp(block.timestamp + 100 days);
        for (uint256 caseId = 1; caseId <= court.caseCount(); ++caseId) {
            if (court.caseOf(caseId).status == IRentalCourt.Status.Open) court.expire(caseId);
        }
        for (uint64 id = 1; id <= rental.rentalCount(); ++id) {
            IGPURental.State state = rental.rental(id).state;
            if (state == IGPURental.State.Requested) rental.cancel(id);
            if (state == IGPURental.State.Active) rental.closeAfterDeadline(id);
            IGPURental.Rental memory r = rental.rental(id);
            assertTrue(r.state == IGPURental.State.Completed || r.state == IGPURental.State.Cancelled, "closed");
            assertEq(r.escrowed, uint256(r.paid) + r.refunded + r.fees);
        }
        _noteHour();
        rental.setWithdrawalLimit(0, 0);
        vm.warp(block.timestamp + 8 days);
        for (uint256 i; i < dueHours.length; ++i) {
            address[4] memory owners = [renter, provider, relay, address(distributor)];
            for (uint256 j; j < 4; ++j) {
                if (rental.delayedCredit(owners[j], dueHours[i]) != 0) rental.releaseDelayed(owners[j], dueHours[i]);
            }
        }
        if (rental.credit(address(distributor)) != 0) rental.collectFees();
        address[3] memory payees = [renter, provider, relay];
        for (uint256 i; i < 3; ++i) {
            vm.prank(payees[i]);
            try rental.claim(payees[i]) {} catch {}
        }
        assertEq(token.balanceOf(address(rental)), rental.reserveOf(deviceId), "only the reserve is left");
    }

    function _watch(uint64 id) private {
        if (id == 0) return;
        uint256 paid = rental.rental(id).paid;
        if (paid < paidBefore[id]) paidDecreased = true;
        paidBefore[id] = paid;
    }

    function _pick(uint256 seed) private view returns (uint64) {
        uint64 count = rental.rentalCount();
        // Mostly the newest: the others are mostly closed.
        if (count == 0) return 0;
        return seed % 3 != 0 ? count : uint64(1 + (seed / 3) % count);
    }
}
