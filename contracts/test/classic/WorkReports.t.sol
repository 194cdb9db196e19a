// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IReputationSystem} from "../../src/interfaces/IReputationSystem.sol";
import {IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {DeviceRegistered, DeviceRemoved, FaultProven, WorkProof, WorkReport} from "../../src/types/Protocol.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev What the verdicts of challenges do to devices and rentals.
contract WorkReportsTest is WorkWorld {
    // ---------------------------------------------------------------------------------------- reports

    function test_deviceReportSettlesEachChallengeOnce() public {
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportDevice(DEVICE);
        passChallenge(DEVICE, 1, 0);
        vm.warp(START + 100);
        missChallenge();
        work.reportDevice(DEVICE);
        IWorkVerification.Device memory d = work.device(DEVICE);
        assertEq(d.settledIndex, 2);
        assertEq(d.lastFullPass, START);
        assertEq(d.performancePermille, 1666);
        IReputationSystem.Record memory r = reputation.recordOf(provider);
        assertEq(r.challenges, 2);
        assertLt(reputation.scorePpm(provider), 500_000 + 1000);
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportDevice(DEVICE);
    }

    /// @dev One slow or one lucky challenge moves no price: of an even number, the lower one in the middle.
    function test_performanceIsTheMedianOfTheLastEight() public {
        uint32[9] memory figures = [uint32(2000), 1250, 2500, 1000, 5000, 1666, 1111, 3333, 1428];
        uint32[9] memory medians = [uint32(2000), 1250, 2000, 1250, 2000, 1666, 1666, 1666, 1428];
        for (uint256 i; i < 9; ++i) {
            vm.prank(address(work));
            reputation.record(provider, DEVICE, true, figures[i], 1);
            assertEq(reputation.recordOf(provider).performancePermille, medians[i]);
        }
    }

    function test_devicesAnswerOnlyForLaterChallengesAndUntilRemoved() public {
        passChallenge(DEVICE, 1, 0);
        _message(STAKING, 1, abi.encode(DeviceRegistered(8, provider, worker, CLASS, START)));
        assertEq(work.device(8).settledIndex, 1);
        _message(STAKING, 2, abi.encode(DeviceRemoved(8, START + 50)));
        vm.warp(START + 60);
        missChallenge();
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportDevice(8);
    }

    function test_rentalReportWalksTheChallenges() public {
        _terms(1, 1, START, START + 300);
        vm.warp(START + 50);
        passChallenge(DEVICE, 2, 1);
        vm.warp(START + 150);
        missChallenge();
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.WrongHint.selector, 1));
        work.reportRental(1, 1);
        work.reportRental(1, 0);
        IWorkVerification.RentalState memory r = work.rental(1);
        assertEq(r.verifiedSeconds, 50);
        assertEq(r.coveredUntil, START + 150);
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportRental(1, 0);
        vm.warp(START + 250);
        passChallenge(DEVICE, 2, 1);
        vm.warp(START + 999);
        passChallenge(DEVICE, 1, 0);
        work.reportRental(1, 0);
        r = work.rental(1);
        assertEq(r.verifiedSeconds, 200);
        assertEq(r.coveredUntil, START + 300);
        assertEq(r.due, 4);
        assertEq(r.passed, 3);
        assertEq(r.finalVersion, 1);
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportRental(1, 0);
    }

    function test_unmeasuredLeavesItsTimeToTheNextMeasured() public {
        _terms(1, 1, START, START + 1000);
        _unmeasured(START + 100);
        vm.warp(START + 300);
        passChallenge(DEVICE, 1, 0);
        work.reportRental(1, 0);
        IWorkVerification.RentalState memory r = work.rental(1);
        assertEq(r.verifiedSeconds, 300);
        assertEq(r.due, 1);
    }

    function test_unmeasuredClosingIsDecidedByTheNextMeasured() public {
        _terms(1, 1, START, START + 100);
        _unmeasured(START + 100);
        vm.expectRevert(IWorkVerification.NothingNew.selector);
        work.reportRental(1, 0);
        _unmeasured(START + 200);
        vm.warp(START + 300);
        passChallenge(DEVICE, 1, 0);
        work.reportRental(1, 0);
        assertEq(work.rental(1).verifiedSeconds, 100);
        assertEq(work.rental(1).finalVersion, 1);
    }

    function test_closingThatNobodyMeasuresIsDecidedByThePrevious() public {
        _terms(1, 1, START, START + 100);
        vm.warp(START + 50);
        passChallenge(DEVICE, 1, 0);
        for (uint64 i = 1; i < 5; ++i) {
            // Far enough apart that each is neutral.
            _unmeasured(START + 600 * i - 500);
        }
        work.reportRental(1, 0);
        assertEq(work.rental(1).verifiedSeconds, 100);
    }

    function test_earlierEndIsCountedAgain() public {
        _terms(1, 1, START, START + 1000);
        vm.warp(START + 100);
        missChallenge();
        vm.warp(START + 200);
        passChallenge(DEVICE, 1, 0);
        work.reportRental(1, 0);
        assertEq(work.rental(1).verifiedSeconds, 100);
        _terms(1, 2, START, START + 120);
        work.reportRental(1, 0);
        IWorkVerification.RentalState memory r = work.rental(1);
        assertEq(r.verifiedSeconds, 20);
        assertEq(r.finalVersion, 2);
        _terms(1, 1, START, START + 1000);
        assertEq(uint256(work.rental(1).end), START + 120, "old terms change nothing");
    }

    function test_reportSaysWhatItMakesNewlyDue() public {
        _terms(1, 1, START, START + 300);
        vm.warp(START + 50);
        passChallenge(DEVICE, 2, 1);
        work.reportRental(1, 0);
        WorkReport memory report = _lastReport();
        assertEq(report.value, 50 * uint256(PRICE));
        assertFalse(report.closingMissed);
        vm.warp(START + 200);
        missChallenge();
        work.reportRental(1, 0);
        report = _lastReport();
        assertEq(report.value, 150 * uint256(PRICE), "a refund is due as well");
        assertFalse(report.closingMissed, "only a final report says so");
        vm.warp(START + 300);
        missChallenge();
        work.reportRental(1, 0);
        report = _lastReport();
        assertEq(report.value, 100 * uint256(PRICE));
        assertTrue(report.isFinal && report.closingMissed);
        assertEq(work.device(DEVICE).faults, 0);
        assertEq(reputation.renterOf(renter).rentalsCompleted, 1);
    }

    function test_faultNamesTheRenterWhoseTimeItWas() public {
        _terms(1, 1, START, START + 100);
        (uint64 b, bytes32 hash) = openChallenge();
        WorkProof memory proof = _commitMeasured(b, hash, 2, 60);
        proof.memoryRoot = keccak256("wrong");
        sealAndProve(b, DEVICE, proof);
        FaultProven memory fault = abi.decode(_lastBody(18), (FaultProven));
        assertEq(fault.renter, renter);
        assertEq(fault.deviceId, DEVICE);
        assertEq(fault.challengeBlock, b);
        assertEq(fault.reason, 1);
        vm.roll(b + 14);
        vm.warp(START + 100);
        (b, hash) = openChallenge();
        proof = _commitMeasured(b, hash, 1, 60);
        proof.memoryRoot = keccak256("wrong");
        sealAndProve(b, DEVICE, proof);
        assertEq(abi.decode(_lastBody(18), (FaultProven)).renter, address(0), "after the end");
    }
}
