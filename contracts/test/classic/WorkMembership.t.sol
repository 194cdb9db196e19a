// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {CommitInput, ReceiptSignature, WorkParameters, WorkReport} from "../../src/types/Protocol.sol";
import {CHEATS} from "../utils/Cheats.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev Which challenge decides which time, in which order, and how much of it at once. Time decides, not arrival.
contract WorkMembershipTest is WorkWorld {
    function _workParameters() internal pure override returns (WorkParameters memory p) {
        p = super._workParameters();
        p.capWindow = 100;
        // A hundred seconds of one provider per window.
        p.valueCap = 8 * 100 * PRICE;
    }

    function _nextWindow() private {
        vm.roll((block.number / 100 + 1) * 100);
    }

    function test_shortRentalIsDecidedByItsClosingChallenge() public {
        _terms(1, 1, START + 10, START + 20);
        vm.warp(START + 100);
        passChallenge(DEVICE, 1, 0);
        work.reportRental(1, 0);
        WorkReport memory report = _lastReport();
        assertTrue(report.isFinal && !report.closingMissed);
        assertEq(report.verifiedSeconds, 10);
        assertEq(report.due, 1);
    }

    function test_termsThatArriveLateCountAsIfTheyHadBeenThere() public {
        vm.warp(START + 50);
        passChallenge(DEVICE, 2, 1);
        vm.warp(START + 79);
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportDevice(DEVICE);
        _terms(1, 1, START, START + 80);
        work.reportRental(1, 0);
        assertEq(_lastReport().verifiedSeconds, 50);
    }

    /// @dev Messages may overtake each other; each time still belongs to the rental that holds it.
    function test_termsOfThreeRentalsArriveNewestFirst() public {
        _terms(3, 1, START + 700, START + 750);
        _terms(2, 1, START + 400, START + 450);
        _terms(1, 1, START, START + 50);
        uint64[3] memory starts = [START, START + 400, START + 700];
        for (uint64 i; i < 3; ++i) {
            vm.warp(starts[i] + 40);
            passChallenge(DEVICE, 2, i + 1);
        }
        vm.warp(START + 1000);
        passChallenge(DEVICE, 1, 0);
        for (uint64 i; i < 3; ++i) {
            _nextWindow();
            work.reportRental(i + 1, i);
            WorkReport memory report = _lastReport();
            assertTrue(report.isFinal);
            assertEq(report.rentalId, i + 1);
            assertEq(report.verifiedSeconds, 50, "each by its own challenge and the next of its device");
            assertEq(report.due, 2);
        }
    }

    function test_rentedAgainBeforeTheClosingChallenge() public {
        _terms(1, 1, START, START + 50);
        _terms(2, 1, START + 60, START + 90);
        vm.warp(START + 70);
        passChallenge(DEVICE, 2, 2);
        work.reportRental(1, 0);
        assertTrue(_lastReport().isFinal, "a light commit closes the one before");
        assertEq(_lastReport().verifiedSeconds, 50);
        work.reportRental(2, 0);
        assertFalse(_lastReport().isFinal);
        assertEq(_lastReport().verifiedSeconds, 10);
    }

    function test_extensionOnItsWayMakesNoCommitInvalid() public {
        _terms(1, 1, START, START + 50);
        vm.warp(START + 70);
        passChallenge(DEVICE, 2, 1);
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportRental(1, 0);
        _terms(1, 2, START, START + 90);
        work.reportRental(1, 0);
        assertFalse(_lastReport().isFinal, "the challenge is within the rental now");
        assertEq(_lastReport().verifiedSeconds, 70);
    }

    function test_extensionAfterAFinalReportGoesOn() public {
        _terms(1, 1, START, START + 50);
        vm.warp(START + 52);
        passChallenge(DEVICE, 2, 1);
        work.reportRental(1, 0);
        assertTrue(_lastReport().isFinal);
        _terms(1, 2, START, START + 90);
        work.reportRental(1, 0);
        WorkReport memory report = _lastReport();
        assertFalse(report.isFinal);
        assertEq(report.verifiedSeconds, 52);
        assertEq(report.value, 2 * uint256(PRICE), "only what is new is newly due");
        vm.warp(START + 90);
        passChallenge(DEVICE, 1, 0);
        work.reportRental(1, 0);
        assertTrue(_lastReport().isFinal);
        assertEq(reputation.renterOf(renter).rentalsCompleted, 1, "one rental, however often it ended");
    }

    function test_earlyEndMakesNoCommitInvalid() public {
        _terms(1, 1, START, START + 90);
        vm.warp(START + 60);
        passChallenge(DEVICE, 2, 1);
        _terms(1, 2, START, START + 40);
        work.reportRental(1, 0);
        assertTrue(_lastReport().isFinal);
        assertEq(_lastReport().verifiedSeconds, 40);
    }

    function test_laterChallengesWaitForEarlierOnes() public {
        (uint64 b, bytes32 hash) = openChallenge();
        _commitMeasured(b, hash, 1, 60);
        vm.roll(b + 10);
        CHEATS.setBlockhash(b + 9, sealHashOf(b));
        work.seal(b);
        vm.roll(b + 11);
        passChallenge(DEVICE, 1, 0);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Pending), "unproven, but its window is open");
        assertEq(_outcome(1), uint256(IWorkVerification.Outcome.Passed));
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportDevice(DEVICE);
        vm.roll(b + 27);
        work.reportDevice(DEVICE);
        assertEq(work.device(DEVICE).settledIndex, 2);
    }

    /// @dev Ethereum Classic reorganises: the same block number with another hash is another challenge.
    function test_commitOfADeadBranchDoesNotStand() public {
        uint256 clean = vm.snapshotState();
        (uint64 b, bytes32 dead) = openChallenge();
        vm.revertToState(clean);
        vm.warp(START + 1);
        (uint64 again, bytes32 alive) = openChallenge();
        assertEq(again, b);
        assertTrue(alive != dead);
        ReceiptSignature[] memory none;
        CommitInput memory input = _input(b, dead, 1);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.WrongBlockHash.selector, alive, dead));
        work.commit(input, none, "");
    }

    function test_removedDeviceStillDecidesItsRental() public {
        _terms(1, 1, START, START + 50);
        _message(STAKING, 2, abi.encode(DEVICE, START + 40));
        vm.warp(START + 60);
        passChallenge(DEVICE, 1, 0);
        work.reportRental(1, 0);
        assertTrue(_lastReport().isFinal);
        assertEq(_lastReport().verifiedSeconds, 50);
        assertEq(work.device(DEVICE).settledIndex, 0);
    }

    // --------------------------------------------------------------------------------------- value cap

    function test_valueBeyondTheCapGoesWithLaterReports() public {
        _terms(1, 1, START, START + 1000);
        vm.warp(START + 250);
        passChallenge(DEVICE, 2, 1);
        _nextWindow();
        work.reportRental(1, 0);
        WorkReport memory report = _lastReport();
        assertEq(report.value, 100 * uint256(PRICE));
        assertEq(report.coveredUntil, START + 100);
        assertEq(report.verifiedSeconds, 100);
        assertEq(report.due, 0, "the challenge is not told in full");
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.ValueCapReached.selector, 0));
        work.reportRental(1, 0);
        _nextWindow();
        work.reportRental(1, 0);
        _nextWindow();
        work.reportRental(1, 0);
        report = _lastReport();
        assertEq(report.value, 50 * uint256(PRICE));
        assertEq(report.coveredUntil, START + 250);
        assertEq(report.verifiedSeconds, 250);
        assertEq(report.due, 1);
        assertEq(report.passed, 1);
    }

    function test_providersShareTheWindow() public {
        _nextWindow();
        for (uint64 i = 1; i < 10; ++i) {
            _register(DEVICE + i, address(uint160(0xa000 + i)));
            bytes memory terms = abi.encode(i, DEVICE + i, uint32(1), START, START + 100, renter, uint96(PRICE));
            _message(RENTAL, 4, terms);
        }
        vm.warp(START + 200);
        uint64 b = missChallenge();
        vm.roll(b + 40);
        CHEATS.setBlockhash(b + 9, sealHashOf(b));
        for (uint64 i = 1; i < 9; ++i) {
            work.reportRental(i, 0);
            assertEq(_lastReport().value, 100 * uint256(PRICE));
        }
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.ValueCapReached.selector, 0));
        work.reportRental(9, 0);
        _nextWindow();
        work.reportRental(9, 0);
        assertTrue(_lastReport().isFinal);
    }

    /// @dev However time is cut into reports, their values add up to what was decided, and each fits its window.
    function testFuzz_valuesAddUp(uint16 end, uint16 first, uint8 windows) public {
        uint64 length = uint64(bound(end, 1, 1500));
        uint64 at = uint64(bound(first, 1, 2000));
        _terms(1, 1, START, START + length);
        vm.warp(START + at);
        passChallenge(DEVICE, at < length ? 2 : 1, 1);
        uint256 sum;
        for (uint256 i; i < uint256(windows) % 24; ++i) {
            _nextWindow();
            try work.reportRental(1, 0) {
                WorkReport memory report = _lastReport();
                sum += report.value;
                assertLe(report.value, 100 * uint256(PRICE));
                assertEq(sum, (report.coveredUntil - START) * uint256(PRICE));
                assertEq(report.verifiedSeconds, report.coveredUntil - START);
            } catch (bytes memory reason) {
                assertEq(bytes4(reason), IWorkVerification.NothingNew.selector);
                assertEq(work.rental(1).coveredUntil, START + (at < length ? at : length), "all of it was told");
            }
        }
    }
}
