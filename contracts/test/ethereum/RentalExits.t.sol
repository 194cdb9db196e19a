// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {IKingSet} from "../../src/interfaces/IBridge.sol";
import {Checkpoint, Quorum} from "../../src/types/Protocol.sol";
import {IRentalTotals} from "../utils/World.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";

/// @dev Every edge of docs/rentals.md, in its order: who may move a rental from where to where, and where the money goes.
contract RentalExitsTest is RentalWorld {
    uint256 private constant READY_FEE = 2e15;
    uint256 private constant BRIDGE_FEE = 1e15;

    function _cost(uint256 time) private pure returns (uint256) {
        return time * PRICE;
    }

    function _check(uint64 id, IGPURental.CloseReason reason, uint256 paid, uint256 fees) private view {
        IGPURental.Rental memory r = rental.rental(id);
        assertEq(r.paid, paid, "paid");
        assertEq(r.fees, fees, "fees");
        assertEq(r.refunded, r.escrowed - paid - fees, "refunded");
        assertEq(rental.credit(renter), r.refunded, "the renter's credit");
        assertEq(rental.credit(provider), paid + (r.start == 0 ? 0 : READY_FEE), "the provider's credit");
        _assertClosed(id, reason);
    }

    // --------------------------------------------------------------------------------------- requested

    function test_requested_renterCancels() public {
        uint64 id = rentAs(renter, offerId, 600);
        vm.prank(renter);
        rental.cancel(id);
        _check(id, IGPURental.CloseReason.NotReady, 0, 0);
    }

    function test_requested_anybodyCancelsAfterReadyWindow() public {
        uint64 id = rentAs(renter, offerId, 600);
        vm.warp(T0 + 61);
        vm.prank(relay);
        rental.cancel(id);
        _check(id, IGPURental.CloseReason.NotReady, 0, 0);
    }

    function test_requested_nextRentCancels() public {
        uint64 id = rentAs(renter, offerId, 600);
        vm.warp(T0 + 61);
        uint64 next = rentAs(renter, offerId, 600);
        _check(id, IGPURental.CloseReason.NotReady, 0, 0);
        assertTrue(rental.rental(next).state == IGPURental.State.Requested);
    }

    function test_requested_readyMakesItActive() public {
        uint64 id = rentAs(renter, offerId, 600);
        vm.warp(T0 + 60);
        readyAs(id);
        assertTrue(rental.rental(id).state == IGPURental.State.Active);
        assertEq(rental.credit(provider), READY_FEE);
    }

    // ------------------------------------------------------------------------------ active, no session

    function test_unopened_renterLeavesWithinTheStartWindow() public {
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        vm.warp(T0 + 120);
        vm.prank(renter);
        rental.endRental(id);
        _check(id, IGPURental.CloseReason.NeverOpened, 0, READY_FEE + _cost(30));
    }

    function test_unopened_renterLeavesLaterAndReceiptsDecide() public {
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        vm.warp(T0 + 121);
        vm.prank(renter);
        rental.endRental(id);
        assertTrue(rental.rental(id).state == IGPURental.State.Active);
        _report(id, 121, 121, 1, 1, true);
        _check(id, IGPURental.CloseReason.NeverOpened, 0, READY_FEE + BRIDGE_FEE);
    }

    function test_unopened_finalReportRefundsAll() public {
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        _report(id, 600, 600, 3, 3, true);
        _check(id, IGPURental.CloseReason.NeverOpened, 0, READY_FEE + BRIDGE_FEE);
    }

    function test_unopened_providerAborts() public {
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        vm.prank(operator);
        rental.abortRental(id);
        _check(id, IGPURental.CloseReason.Aborted, 0, READY_FEE);
    }

    function test_unopened_sessionOpens() public {
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        _report(id, 300, 300, 1, 1, false);
        openSession(id);
        assertEq(rental.rental(id).paid, _cost(300));
    }

    // ------------------------------------------------------------------------------------------ active

    function test_active_finalReportCompletes() public {
        uint64 id = _active(600);
        _report(id, 600, 500, 3, 2, true);
        _check(id, IGPURental.CloseReason.Completed, _cost(500), READY_FEE + BRIDGE_FEE + _cost(25));
        assertEq(rental.credit(relay), BRIDGE_FEE);
    }

    function test_active_renterEndsThenFinalReport() public {
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        vm.prank(renter);
        rental.endRental(id);
        _report(id, 200, 200, 2, 2, true);
        _check(id, IGPURental.CloseReason.Completed, _cost(200), READY_FEE + BRIDGE_FEE + _cost(10));
    }

    function test_active_providerAbortsThenFinalReport() public {
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        vm.prank(operator);
        rental.abortRental(id);
        _report(id, 200, 200, 2, 2, true);
        _check(id, IGPURental.CloseReason.Aborted, _cost(200), READY_FEE + BRIDGE_FEE + _cost(10));
    }

    // ------------------------------------------------------------------------------------------ frozen

    function test_frozen_upheld() public {
        _seatQueens(3);
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        _judge(_complain(id), true);
        _report(id, 200, 200, 2, 2, true);
        _check(id, IGPURental.CloseReason.Judged, _cost(200), READY_FEE + BRIDGE_FEE + _cost(10));
    }

    function test_frozen_rejected() public {
        _seatQueens(3);
        uint64 id = _active(600);
        uint256 caseId = _complain(id);
        _report(id, 600, 600, 3, 3, true);
        _judge(caseId, false);
        _check(id, IGPURental.CloseReason.Completed, _cost(600), READY_FEE + BRIDGE_FEE + _cost(30));
    }

    function test_frozen_expired() public {
        uint64 id = _active(600);
        uint256 caseId = _complain(id);
        _report(id, 600, 600, 3, 3, true);
        vm.warp(T0 + 2 days + 1);
        court.expire(caseId);
        _check(id, IGPURental.CloseReason.Completed, _cost(600), READY_FEE + BRIDGE_FEE + _cost(30));
    }

    function test_frozen_upheldAndNeverReported() public {
        _seatQueens(3);
        uint64 id = _active(600);
        _report(id, 100, 100, 1, 1, false);
        vm.warp(T0 + 200);
        _judge(_complain(id), true);
        vm.warp(T0 + 200 + 2 days + 1);
        _requestDeadline(id);
        vm.warp(block.timestamp + 1 days);
        rental.closeAfterDeadline(id);
        _check(id, IGPURental.CloseReason.DeadlinePassed, _cost(100), READY_FEE + _cost(5));
    }

    // ---------------------------------------------------------------------------------------- deadline

    function test_deadline_bridgeWorksAndNoReportCame() public {
        uint64 id = _active(600);
        _report(id, 200, 200, 1, 1, false);
        uint64 deadline = rental.deadlineOf(id);
        assertEq(deadline, T0 + 600 + 2 days);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.DeadlineNotRequested.selector, id));
        rental.closeAfterDeadline(id);
        _requestDeadline(id);
        uint64 executable = uint64(block.timestamp) + 1 days;
        vm.warp(executable - 1);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooEarly.selector, executable));
        rental.closeAfterDeadline(id);
        vm.warp(executable);
        rental.closeAfterDeadline(id);
        _check(id, IGPURental.CloseReason.DeadlinePassed, _cost(200), READY_FEE + _cost(10));
        _report(id, 600, 600, 3, 3, true);
        assertEq(rental.rental(id).paid, _cost(200), "a report after it has no effect");
    }

    function test_deadline_reportInBetweenWins() public {
        uint64 id = _active(600);
        vm.warp(rental.deadlineOf(id) + 1);
        _requestDeadline(id);
        _report(id, 600, 600, 3, 3, true);
        _check(id, IGPURental.CloseReason.Completed, _cost(600), READY_FEE + BRIDGE_FEE + _cost(30));
    }

    function test_deadline_bridgeDownSplitsWhatWasNotReported() public {
        uint64 id = _active(600);
        _report(id, 200, 200, 1, 1, false);
        uint64 hard = rental.deadlineOf(id) + 30 days;
        vm.warp(hard);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.DeadlineNotRequested.selector, id));
        rental.closeAfterDeadline(id);
        vm.warp(hard + 1);
        rental.closeAfterDeadline(id);
        _check(id, IGPURental.CloseReason.BridgeDown, _cost(400), READY_FEE + _cost(20));
    }

    function test_deadline_bridgeDownWithoutASession() public {
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        vm.warp(rental.deadlineOf(id) + 30 days + 1);
        rental.closeAfterDeadline(id);
        _check(id, IGPURental.CloseReason.BridgeDown, 0, READY_FEE);
    }

    function test_deadline_needsACheckpointOfThenFromTheKings() public {
        uint64 id = _active(600);
        _report(id, 200, 200, 1, 1, false);
        uint64 deadline = rental.deadlineOf(id);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooEarly.selector, deadline + 1));
        rental.closeAfterDeadline(id);
        onClassic();
        etcOutbox.dispatch(ETHEREUM, address(1), "x");
        Checkpoint memory c = checkpointOf(etcOutbox);
        onEthereum();
        vm.warp(deadline + 1);
        Quorum memory q = sign(c, 7);
        bytes memory refusal = abi.encodeWithSelector(IRentalCourt.NotACheckpointOf.selector, CLASSIC, address(etcOutbox));
        vm.expectRevert(refusal);
        court.requestDeadline(id, c, q);
        ethInbox.submitCheckpoint(c, q);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.CheckpointTooOld.selector, c.blockTimestamp, deadline - 1 hours));
        court.requestDeadline(id, c, q);
        c.blockTimestamp = deadline - 1 hours;
        // The time is under the Kings' signatures.
        vm.expectRevert();
        court.requestDeadline(id, c, q);
        q = sign(c, 3);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.QuorumNotReached.selector, 200, 400));
        court.requestDeadline(id, c, q);
        q = sign(c, 7);
        Checkpoint memory other = c;
        court.requestDeadline(id, other, q);
        assertEq(rental.details(id).deadlineRequestedAt, block.timestamp);
        vm.warp(block.timestamp + 100);
        court.requestDeadline(id, c, q);
        assertEq(rental.details(id).deadlineRequestedAt, block.timestamp - 100, "a second request changes nothing");
        c.outbox = address(1);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.NotACheckpointOf.selector, CLASSIC, address(1)));
        court.requestDeadline(id, c, q);
    }

    function test_deadline_notBeforeItHasPassed() public {
        uint64 id = _active(600);
        uint64 deadline = rental.deadlineOf(id);
        vm.warp(deadline - 10);
        onClassic();
        etcOutbox.dispatch(ETHEREUM, address(1), "x");
        Checkpoint memory c = checkpointOf(etcOutbox);
        onEthereum();
        Quorum memory q = sign(c, 7);
        ethInbox.submitCheckpoint(c, q);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooEarly.selector, deadline + 1));
        court.requestDeadline(id, c, q);
    }

    function test_closed_staysClosed() public {
        uint64 id = _active(600);
        _report(id, 600, 600, 3, 3, true);
        bytes memory refusal = abi.encodeWithSelector(IGPURental.WrongState.selector, id, IGPURental.State.Completed);
        vm.startPrank(renter);
        vm.expectRevert(refusal);
        rental.endRental(id);
        vm.expectRevert(refusal);
        rental.extend(id, 1, type(uint256).max);
        vm.expectRevert(refusal);
        rental.cancel(id);
        vm.stopPrank();
        vm.startPrank(operator);
        vm.expectRevert(refusal);
        rental.ready(id);
        vm.expectRevert(refusal);
        rental.abortRental(id);
        vm.expectRevert(refusal);
        rental.declareMaintenance(id, T0 + 1, T0 + 2);
        vm.stopPrank();
        vm.expectRevert(refusal);
        rental.closeAfterDeadline(id);
        vm.expectRevert(refusal);
        rental.sessionOpened(id, T0, "");
        vm.expectRevert(refusal);
        rental.deadlineOf(id);
        assertEq(IRentalTotals(address(rental)).totalHeld(), 0);
    }
}
