// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {CHEATS} from "../utils/Cheats.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";

interface ICourtAdmin {
    function setParameters(IRentalCourt.Parameters calldata parameters) external;
}

interface ICourtRecord {
    function complaintsLost(address renter) external view returns (uint32);
}

/// @dev Complaints, and Queens who stand in for a renter that never came.
contract RentalCourtTest is RentalWorld {
    uint256 private constant BOND = 100 * UNIT;
    uint256 private constant FEE = 10 * UNIT;

    // -------------------------------------------------------------------------------------- complaints

    function test_complaintFreezesOnlyTheTimeAfterIt() public {
        _seatQueens(5);
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        uint256 caseId = _complain(id);
        assertEq(rental.details(id).frozenFrom, T0 + 200);
        assertEq(court.openComplaint(id), caseId);
        assertEq(token.balanceOf(address(court)), BOND);
        _report(id, 400, 400, 2, 2, false);
        assertEq(rental.rental(id).paid, 200 * uint256(PRICE), "up to the complaint");
        _report(id, 600, 550, 3, 2, true);
        assertTrue(rental.rental(id).state == IGPURental.State.Active, "the final report waits for the verdict");
        _assertBooks(id);
    }

    function test_upheldComplaintEndsTheRentalWhereItWasFrozen() public {
        _deposit(1e18);
        _seatQueens(5);
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        uint256 caseId = _complain(id);
        _report(id, 400, 400, 2, 2, false);
        _judge(caseId, true);
        assertTrue(court.caseOf(caseId).status == IRentalCourt.Status.Upheld);
        IGPURental.Rental memory r = rental.rental(id);
        assertEq(r.end, T0 + 200);
        assertEq(r.paid, 200 * uint256(PRICE));
        assertEq(r.refunded, 400 * uint256(PRICE));
        assertEq(court.credit(renter), BOND - FEE, "the bond but for the judges' fee");
        _report(id, 200, 200, 2, 2, true);
        _assertClosed(id, IGPURental.CloseReason.Judged);
        assertEq(rental.reserveOf(deviceId), 1e18 - 400 * uint256(PRICE), "compensation for the rest of the rental");
        _assertCourtBooks();
    }

    function test_rejectedComplaintGoesIntoTheRentersRecord() public {
        _seatQueens(5);
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        uint256 caseId = _complain(id);
        relayAll(ethOutbox);
        onEthereum();
        _judge(caseId, false);
        assertEq(ICourtRecord(address(court)).complaintsLost(renter), 1);
        relayAll(ethOutbox);
        assertEq(reputation.renterOf(renter).complaintsLost, 1, "on Ethereum Classic");
        onEthereum();
        caseId = _complain(id);
        _judge(caseId, true);
        assertEq(ICourtRecord(address(court)).complaintsLost(renter), 1, "a complaint that was right is none");
    }

    function test_rejectedComplaintPaysTheProviderAndCostsTheBond() public {
        _seatQueens(5);
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        uint256 caseId = _complain(id);
        _report(id, 600, 600, 3, 3, true);
        _judge(caseId, false);
        _assertClosed(id, IGPURental.CloseReason.Completed);
        assertEq(rental.rental(id).paid, 600 * uint256(PRICE), "the report that waited counts");
        assertEq(rental.credit(relay), 1e15, "and earns its deliverer the bridge fee");
        assertEq(court.credit(provider), BOND - FEE);
        assertEq(court.openComplaint(id), 0);
        _assertCourtBooks();
    }

    function test_withoutAVerdictTheReportsDecideAndTheBondReturns() public {
        _seatQueens(5);
        uint64 id = _active(600);
        uint256 caseId = _complain(id);
        address[] memory committee = _draw(caseId);
        vm.prank(committee[0]);
        court.vote(caseId, true);
        _report(id, 600, 600, 3, 3, true);
        uint64 until = court.caseOf(caseId).verdictUntil;
        assertEq(until, uint64(block.timestamp) + 2 days);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.TooEarly.selector, until + 1));
        court.expire(caseId);
        vm.warp(until + 1);
        vm.prank(committee[1]);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.TooLate.selector, until));
        court.vote(caseId, true);
        court.expire(caseId);
        assertEq(court.credit(renter), BOND);
        assertEq(rental.rental(id).paid, 600 * uint256(PRICE));
        _assertClosed(id, IGPURental.CloseReason.Completed);
        _assertCourtBooks();
    }

    function test_withoutQueensAComplaintExpires() public {
        uint64 id = _active(600);
        uint256 caseId = _complain(id);
        assertEq(_draw(caseId).length, 0);
        vm.warp(block.timestamp + 2 days + 1);
        court.expire(caseId);
        assertEq(court.credit(renter), BOND);
        assertEq(rental.details(id).frozenFrom, 0);
    }

    function test_onlyThePartiesAndOnlyWhileItRuns() public {
        _seatQueens(3);
        uint64 id = rentAs(renter, offerId, 600);
        _approveAll(renter);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.WrongState.selector, id, IGPURental.State.Requested));
        court.complain(id, 0);
        readyAs(id);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.NotParty.selector, id, address(this)));
        court.complain(id, 0);
        uint256 caseId = _complain(id);
        vm.startPrank(renter);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.CaseAlreadyOpen.selector, id, caseId));
        court.complain(id, 0);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.ComplaintOpen.selector, id));
        rental.extend(id, 10, type(uint256).max);
        vm.stopPrank();
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.ComplaintOpen.selector, id));
        rental.declareMaintenance(id, T0 + 100, T0 + 200);
        vm.warp(T0 + 30 days);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.ComplaintOpen.selector, id));
        rental.closeAfterDeadline(id);
        court.expire(caseId);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooLate.selector, T0 + 600));
        court.complain(id, 0);
    }

    function test_complaintsPerRentalAreBounded() public {
        _seatQueens(3);
        uint64 id = _active(3600);
        for (uint256 i; i < 4; ++i) {
            _judge(_complain(id), false);
        }
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.TooManyCases.selector, id, 4));
        court.complain(id, 0);
    }

    function test_renterMayLeaveWhileItsComplaintIsOpen() public {
        _deposit(1e18);
        _seatQueens(3);
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        uint256 caseId = _complain(id);
        vm.warp(T0 + 300);
        vm.prank(renter);
        rental.endRental(id);
        assertEq(rental.credit(renter), 300 * uint256(PRICE));
        _judge(caseId, true);
        assertEq(rental.rental(id).end, T0 + 200);
        _report(id, 200, 200, 1, 1, true);
        _assertClosed(id, IGPURental.CloseReason.Judged);
        assertEq(rental.reserveOf(deviceId), 1e18 - 400 * uint256(PRICE), "who left after complaining left for cause");
    }

    function test_verdictOnAClosedRentalMovesOnlyTheBond() public {
        _seatQueens(3);
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        uint256 caseId = _complain(id);
        vm.prank(renter);
        rental.endRental(id);
        _assertClosed(id, IGPURental.CloseReason.NeverOpened);
        uint256 credit = rental.credit(renter);
        _judge(caseId, true);
        assertEq(rental.credit(renter), credit);
        assertEq(court.credit(renter), BOND - FEE);
        _assertClosed(id, IGPURental.CloseReason.NeverOpened);
    }

    // --------------------------------------------------------------------------------------- committee

    function test_committeeIsDrawnByALaterBlockFromQueensOfBefore() public {
        _seatQueens(5);
        uint64 id = _active(600);
        uint256 caseId = _complain(id);
        uint64 drawBlock = court.caseOf(caseId).drawBlock;
        assertEq(drawBlock, block.number + 2);
        vm.roll(drawBlock);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.TooEarly.selector, drawBlock + 1));
        court.draw(caseId);
        address[] memory committee = _draw(caseId);
        assertEq(committee.length, 3);
        for (uint256 i; i < 3; ++i) {
            for (uint256 j; j < i; ++j) {
                assertTrue(committee[i] != committee[j], "each once");
            }
        }
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.AlreadyDrawn.selector, caseId));
        court.draw(caseId);
    }

    function test_missedDrawNamesAnotherBlock() public {
        _seatQueens(3);
        uint64 id = _active(600);
        uint256 caseId = _complain(id);
        vm.roll(block.number + 300);
        CHEATS.setBlockhash(court.caseOf(caseId).drawBlock, 0);
        court.draw(caseId);
        assertEq(court.caseOf(caseId).drawBlock, block.number + 2);
        assertEq(_draw(caseId).length, 3);
    }

    function test_votesCountOnceAndOnlyOfTheCommittee() public {
        _seatQueens(4);
        uint64 id = _active(600);
        uint256 caseId = _complain(id);
        vm.prank(vm.addr(judgeKeys[0]));
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.NotInCommittee.selector, caseId, vm.addr(judgeKeys[0])));
        court.vote(caseId, true);
        address[] memory committee = _draw(caseId);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.NotInCommittee.selector, caseId, address(0)));
        court.vote(caseId, true);
        vm.startPrank(committee[0]);
        court.vote(caseId, true);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.AlreadyVoted.selector, caseId, committee[0]));
        court.vote(caseId, true);
        vm.stopPrank();
        vm.prank(committee[1]);
        court.vote(caseId, false);
        vm.prank(committee[2]);
        court.vote(caseId, false);
        assertTrue(court.caseOf(caseId).status == IRentalCourt.Status.Rejected);
        for (uint256 i; i < 3; ++i) {
            assertEq(court.credit(committee[i]), FEE / 3, "each judge the same, whatever it voted");
        }
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.WrongStatus.selector, caseId, IRentalCourt.Status.Rejected));
        court.expire(caseId);
        vm.startPrank(committee[0]);
        vm.expectRevert(IRentalCourt.ZeroAddress.selector);
        court.claim(address(0));
        court.claim(address(0xc0ffee));
        assertEq(token.balanceOf(address(0xc0ffee)), FEE / 3);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.NothingToClaim.selector, committee[0]));
        court.claim(committee[0]);
        vm.stopPrank();
        _assertCourtBooks();
    }

    function test_queensMadeAfterTheCaseAndThePartiesDoNotJudge() public {
        _seatQueens(2);
        uint64 id = _active(600);
        uint256 caseId = _complain(id);
        vm.warp(block.timestamp + 10);
        _seatQueens(5);
        assertEq(_draw(caseId).length, 2, "only the Queens of before");
    }

    function test_formerQueensAreNotDrawn() public {
        _seatQueens(4);
        vm.prank(vm.addr(judgeKeys[1]));
        staking.requestUnstake(5000 * UNIT);
        assertEq(staking.queensBefore(uint64(block.timestamp)).length, 3);
        address queen = vm.addr(judgeKeys[1]);
        vm.prank(renter);
        token.transfer(queen, 5000 * UNIT);
        stakeAs(queen, IStakingManager.Role.Queen, 5000 * UNIT, queen);
        assertEq(staking.queensBefore(uint64(block.timestamp)).length, 3, "since now, not before");
    }

    // ------------------------------------------------------------------------------------ reachability

    function _receipts(uint256 caseId, uint64 time, uint256 count) private view returns (IRentalCourt.Receipt[] memory list) {
        IRentalCourt.Case memory c = court.caseOf(caseId);
        list = new IRentalCourt.Receipt[](count);
        bytes32 digest = court.reachableDigest(c.rentalId, time);
        for (uint256 i; i < count; ++i) {
            for (uint256 j; j < judgeKeys.length; ++j) {
                if (vm.addr(judgeKeys[j]) != c.committee[i]) continue;
                (bytes32 r, bytes32 vs) = vm.signCompact(judgeKeys[j], digest);
                list[i] = IRentalCourt.Receipt(uint8(i), r, vs);
            }
        }
    }

    function _witnessed() private returns (uint64 id, uint256 caseId) {
        _seatQueens(5);
        _approveAll(provider);
        vm.prank(provider);
        token.approve(address(court), type(uint256).max);
        id = rentAs(renter, offerId, 600);
        readyAs(id);
        vm.prank(provider);
        caseId = court.requestWitness(id);
    }

    function test_receiptsOfTwoThirdsStandInForTheRenter() public {
        (uint64 id, uint256 caseId) = _witnessed();
        _report(id, 300, 300, 1, 1, false);
        assertEq(rental.rental(id).paid, 0);
        uint64 time = uint64(block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.NotDrawn.selector, caseId));
        court.submitReceipts(caseId, time, new IRentalCourt.Receipt[](2));
        _draw(caseId);
        IRentalCourt.Receipt[] memory one = _receipts(caseId, time, 1);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.TooFewReceipts.selector, 1, 3));
        court.submitReceipts(caseId, time, one);
        IRentalCourt.Receipt[] memory two = _receipts(caseId, time, 2);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.TooLate.selector, time));
        court.submitReceipts(caseId, time + 1, two);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.TooEarly.selector, time));
        court.submitReceipts(caseId, time - 1, two);
        (two[0], two[1]) = (two[1], two[0]);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.ReceiptsNotAscending.selector, 1));
        court.submitReceipts(caseId, time, two);
        (two[0], two[1]) = (two[1], two[0]);
        court.submitReceipts(caseId, time, two);
        assertEq(rental.rental(id).openedAt, time);
        assertEq(rental.rental(id).paid, 300 * uint256(PRICE), "verified time is due now");
        assertEq(court.credit(court.caseOf(caseId).committee[0]), FEE / 2);
        _report(id, 600, 600, 2, 2, true);
        _assertClosed(id, IGPURental.CloseReason.Completed);
        _assertCourtBooks();
    }

    function test_receiptsOfOthersAreRefused() public {
        (, uint256 caseId) = _witnessed();
        _draw(caseId);
        uint64 time = uint64(block.timestamp);
        IRentalCourt.Receipt[] memory two = _receipts(caseId, time, 2);
        (two[1].r, two[1].vs) = vm.signCompact(renterKey, court.reachableDigest(1, time));
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.InvalidReceipt.selector, 1, renter));
        court.submitReceipts(caseId, time, two);
        two[1].vs = bytes32(type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.InvalidReceipt.selector, 1, address(0)));
        court.submitReceipts(caseId, time, two);
        two[1].member = 3;
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.NotInCommittee.selector, caseId, address(0)));
        court.submitReceipts(caseId, time, two);
        vm.prank(court.caseOf(caseId).committee[0]);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.WrongKind.selector, caseId, IRentalCourt.Kind.Reachability));
        court.vote(caseId, true);
    }

    function test_aRenterThatCameMakesTheReceiptsMoot() public {
        (uint64 id, uint256 caseId) = _witnessed();
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.CaseAlreadyOpen.selector, id, caseId));
        court.requestWitness(id);
        openSession(id);
        court.expire(caseId);
        assertEq(court.credit(provider), FEE);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.SessionKnown.selector, id));
        court.requestWitness(id);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.NotParty.selector, id, renter));
        vm.prank(renter);
        court.requestWitness(id);
        _assertCourtBooks();
    }

    // ------------------------------------------------------------------------------------------- owner

    function test_parametersHaveBounds() public {
        IRentalCourt.Parameters memory p = court.parameters();
        ICourtAdmin admin = ICourtAdmin(address(court));
        p.verdictWindow = 48 hours + 1;
        vm.expectRevert(IRentalCourt.InvalidParameters.selector);
        admin.setParameters(p);
        p = court.parameters();
        p.committeeSize = 32;
        vm.expectRevert(IRentalCourt.InvalidParameters.selector);
        admin.setParameters(p);
        p = court.parameters();
        p.judgeFee = p.bond + 1;
        vm.expectRevert(IRentalCourt.InvalidParameters.selector);
        admin.setParameters(p);
        p = court.parameters();
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", renter));
        admin.setParameters(p);
        p.bond = uint128(UNIT * 200);
        admin.setParameters(p);
        assertEq(court.parameters().bond, 200 * UNIT);
    }

    /// @dev With no case open, the court holds what it owes and nothing else.
    function _assertCourtBooks() private view {
        uint256 owed = court.credit(renter) + court.credit(provider);
        for (uint256 i; i < judgeKeys.length; ++i) {
            bool seen;
            for (uint256 j; j < i; ++j) {
                if (judgeKeys[j] == judgeKeys[i]) seen = true;
            }
            if (!seen) owed += court.credit(vm.addr(judgeKeys[i]));
        }
        assertLe(owed, token.balanceOf(address(court)), "solvent");
        assertLe(token.balanceOf(address(court)) - owed, 0, "nothing left over");
    }
}
