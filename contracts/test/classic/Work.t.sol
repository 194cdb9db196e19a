// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IWork, IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {CommitInput, ReceiptSignature, WorkParameters, WorkProof} from "../../src/types/Protocol.sol";
import {CHEATS} from "../utils/Cheats.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev Challenges, commits, proofs, and what a commit amounts to.
contract WorkTest is WorkWorld {
    // ------------------------------------------------------------------------------------------- open

    function test_openRecordsHashAndTime() public {
        (uint64 blockNumber, bytes32 hash) = openChallenge();
        IWorkVerification.Challenge memory c = work.challengeAt(0);
        assertEq(c.blockNumber, blockNumber);
        assertEq(c.blockHash, hash);
        assertEq(c.timestamp, START);
        assertEq(work.challengeIndexPlusOne(blockNumber), 1);
        assertEq(uint256(work.open(blockNumber, "")), 0, "a second open is told the index");
    }

    function test_openRefusals() public {
        (uint64 first,) = openChallenge();
        vm.roll(first + 6);
        uint64 next = first + 5;
        bytes memory header = headerOf(next, START);
        CHEATS.setBlockhash(next, keccak256(header));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.TooCloseToPrevious.selector, next, first));
        work.open(next, header);
        next = first + 6;
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.OutsideWindow.selector, next, next));
        work.open(next, header);
        vm.roll(next + 5);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.OutsideWindow.selector, next, next + 5));
        work.open(next, header);
        vm.roll(next + 4);
        CHEATS.setBlockhash(next, keccak256("other"));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.HeaderMismatch.selector, keccak256("other"), keccak256(header)));
        work.open(next, header);
    }

    function test_onlyBeaconBlocksOpen() public {
        WorkParameters memory p = _workParameters();
        p.beaconPeriod = 1 << 60;
        IWork rare = IWork(_deployWork(p, _profile(100)));
        bytes memory header = headerOf(999, START);
        CHEATS.setBlockhash(999, keccak256(header));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotChallengeBlock.selector, 999));
        rare.open(999, header);
    }

    /// @dev Whatever bytes hash to the block hash, they are parsed or refused, never misread or out of bounds.
    function testFuzz_hostileHeadersAreRefused(bytes memory header) public {
        CHEATS.setBlockhash(999, keccak256(header));
        try work.open(999, header) {}
        catch (bytes memory reason) {
            assertEq(bytes4(reason), IWorkVerification.MalformedHeader.selector);
        }
    }

    function testFuzz_cutOrFlippedHeadersNeverPanic(uint256 cut, uint256 at_, bytes1 flip) public {
        bytes memory header = headerOf(999, START);
        at_ = bound(at_, 0, header.length - 1);
        header[at_] ^= flip;
        uint256 length = bound(cut, 0, header.length);
        assembly ("memory-safe") {
            mstore(header, length)
        }
        CHEATS.setBlockhash(999, keccak256(header));
        try work.open(999, header) {}
        catch (bytes memory reason) {
            assertEq(bytes4(reason), IWorkVerification.MalformedHeader.selector);
        }
    }

    // ----------------------------------------------------------------------------------------- commit

    function test_commitKeepsTheMedianOfTheCommittee() public {
        (uint64 b, bytes32 hash) = openChallenge();
        CommitInput memory input = _input(b, hash, 1);
        ReceiptSignature[] memory receipts = receiptsFor(input, 90, 3);
        receipts[0] = receiptsFor(input, 500, 1)[0];
        vm.prank(worker);
        work.commit(input, receipts, "");
        IWorkVerification.Commit memory m = work.commitOf(b, DEVICE);
        assertEq(m.elapsedMs, 90);
        assertTrue(m.measured);
        assertEq(m.root, bytes25(input.root));
    }

    function test_leavingOutSlowReceiptsGainsNothing() public {
        (uint64 b, bytes32 hash) = openChallenge();
        CommitInput memory input = _input(b, hash, 1);
        ReceiptSignature[] memory receipts = receiptsFor(input, 90, 2);
        receipts[0] = receiptsFor(input, 1, 1)[0];
        vm.prank(worker);
        work.commit(input, receipts, "");
        IWorkVerification.Commit memory m = work.commitOf(b, DEVICE);
        assertTrue(m.measured);
        assertEq(m.elapsedMs, 90);
    }

    function test_commitOpensTheChallenge() public {
        bytes memory header = headerOf(999, START);
        CHEATS.setBlockhash(999, keccak256(header));
        ReceiptSignature[] memory none;
        vm.prank(worker);
        work.commit(_input(999, keccak256(header), 1), none, header);
        assertEq(work.challengeCount(), 1);
        assertFalse(work.commitOf(999, DEVICE).measured);
    }

    function test_commitRefusals() public {
        (uint64 b, bytes32 hash) = openChallenge();
        ReceiptSignature[] memory none;
        CommitInput memory input = _input(b, hash, 1);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotWorker.selector, address(this), worker));
        work.commit(input, none, "");
        vm.startPrank(worker);
        input.deviceId = 8;
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownDevice.selector, 8));
        work.commit(input, none, "");
        input = _input(b, hash, 3);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidMode.selector, 3));
        work.commit(input, none, "");
        input = _input(b - 1, hash, 1);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownChallenge.selector, b - 1));
        work.commit(input, none, "");
        input = _input(b, keccak256("orphan"), 1);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.WrongBlockHash.selector, hash, keccak256("orphan")));
        work.commit(input, none, "");
        input = _input(b, hash, 1);
        work.commit(input, none, "");
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.AlreadyCommitted.selector, b, DEVICE));
        work.commit(input, none, "");
        vm.roll(b + 9);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.OutsideWindow.selector, b, b + 9));
        work.commit(input, none, "");
    }

    function test_receiptRefusals() public {
        (uint64 b, bytes32 hash) = openChallenge();
        CommitInput memory input = _input(b, hash, 1);
        ReceiptSignature[] memory receipts = receiptsFor(input, 90, 3);
        (receipts[0], receipts[1]) = (receipts[1], receipts[0]);
        vm.startPrank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.ReceiptsNotAscending.selector, 1));
        work.commit(input, receipts, "");
        receipts[0] = receipts[1];
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.ReceiptsNotAscending.selector, 1));
        work.commit(input, receipts, "");
        receipts = receiptsFor(input, 90, 3);
        receipts[2].queenIndex = 3;
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotInCommittee.selector, 3));
        work.commit(input, receipts, "");
        receipts = receiptsFor(input, 90, 3);
        receipts[1].elapsedMs = 1;
        vm.expectPartialRevert(IWorkVerification.InvalidReceipt.selector);
        work.commit(input, receipts, "");
        receipts = receiptsFor(input, 90, 3);
        input.root = keccak256("other root");
        vm.expectPartialRevert(IWorkVerification.InvalidReceipt.selector);
        work.commit(input, receipts, "");
    }

    function test_twoOfThreeMeasureAndOneDoesNot() public {
        (uint64 b, bytes32 hash) = openChallenge();
        CommitInput memory input = _input(b, hash, 1);
        ReceiptSignature[] memory receipts = receiptsFor(input, 90, 2);
        uint256 clean = vm.snapshotState();
        vm.prank(worker);
        work.commit(input, receipts, "");
        assertTrue(work.commitOf(b, DEVICE).measured);
        vm.revertToState(clean);
        receipts = receiptsFor(input, 90, 1);
        vm.prank(worker);
        work.commit(input, receipts, "");
        assertFalse(work.commitOf(b, DEVICE).measured);
    }

    // --------------------------------------------------------------------------------- seal and prove

    function test_sealWaitsForItsBlockAndExpires() public {
        (uint64 b,) = openChallenge();
        vm.roll(b + 9);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.SealTooEarly.selector, b, b + 9));
        work.seal(b);
        vm.roll(b + 10);
        uint256 clean = vm.snapshotState();
        CHEATS.setBlockhash(b + 9, keccak256("seal"));
        work.seal(b);
        work.seal(b);
        assertEq(work.challengeAt(0).sealHash, keccak256("seal"));
        vm.revertToState(clean);
        vm.roll(b + 9 + 257);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.OutsideWindow.selector, b, b + 9 + 257));
        work.seal(b);
    }

    function test_rightProofPasses() public {
        passChallenge(DEVICE, 1, 0);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Passed));
    }

    function test_proveRefusals() public {
        (uint64 b, bytes32 hash) = openChallenge();
        WorkProof memory proof = _commitMeasured(b, hash, 1, 60);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotWorker.selector, address(this), worker));
        work.prove(b, DEVICE, proof);
        vm.roll(b + 9);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.SealTooEarly.selector, b, b + 9));
        work.prove(b, DEVICE, proof);
        vm.roll(b + 9 + 18);
        CHEATS.setBlockhash(b + 9, sealHashOf(b));
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.AnswerWindowClosed.selector, b, b + 26));
        work.prove(b, DEVICE, proof);
        sealAndProve(b, DEVICE, proof);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotDrawn.selector, b, DEVICE));
        work.prove(b, DEVICE, proof);
    }

    function test_unansweredDrawIsMissed() public {
        (uint64 b, bytes32 hash) = openChallenge();
        _commitMeasured(b, hash, 1, 60);
        vm.roll(b + 13);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Pending), "may still be sealed");
        CHEATS.setBlockhash(b + 9, sealHashOf(b));
        work.seal(b);
        (bool isDrawn, uint64 until) = work.drawn(b, DEVICE);
        assertTrue(isDrawn);
        vm.roll(until);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Pending));
        vm.roll(until + 1);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Missed));
    }

    function test_unsealedDrawsNobody() public {
        (uint64 b, bytes32 hash) = openChallenge();
        _commitMeasured(b, hash, 1, 60);
        vm.roll(b + 9 + 257);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Passed));
    }

    function test_wrongProofVoidsForGood() public {
        (uint64 b, bytes32 hash) = openChallenge();
        WorkProof memory proof = _commitMeasured(b, hash, 1, 60);
        WorkProof memory right = proof;
        bytes32 kept = right.memoryRoot;
        proof.memoryRoot = keccak256("wrong");
        uint32 messages = etcOutbox.count();
        sealAndProve(b, DEVICE, proof);
        assertEq(etcOutbox.count(), messages + 1, "the fault is on its way to Ethereum");
        assertEq(reputation.recordOf(provider).faults, 1);
        proof.memoryRoot = kept;
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotDrawn.selector, b, DEVICE));
        work.prove(b, DEVICE, right);
        vm.roll(b + 13);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Missed));
    }

    // ---------------------------------------------------------------------------------------- outcome

    function test_timeDecidesTheOutcome() public {
        uint32[5] memory elapsed = [uint32(1), 200, 201, 400, 401];
        IWorkVerification.Outcome[5] memory expected = [
            IWorkVerification.Outcome.Passed,
            IWorkVerification.Outcome.Passed,
            IWorkVerification.Outcome.Unmeasured,
            IWorkVerification.Outcome.Unmeasured,
            IWorkVerification.Outcome.Missed
        ];
        for (uint64 i; i < 5; ++i) {
            (uint64 b, bytes32 hash) = openChallenge();
            sealAndProve(b, DEVICE, _commitMeasured(b, hash, 1, elapsed[i]));
            vm.roll(b + 12);
            assertEq(_outcome(i), uint256(IWorkVerification.Outcome.Pending), "dispute window");
            vm.roll(b + 13);
            assertEq(_outcome(i), uint256(expected[i]));
        }
        missChallenge();
        assertEq(_outcome(5), uint256(IWorkVerification.Outcome.Missed));
    }

    function test_lightCommitNeedsTerms() public {
        passChallenge(DEVICE, 2, 0);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Pending), "terms may be on their way");
        uint256 clean = vm.snapshotState();
        _terms(1, 1, START + 3, START + 100);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Passed), "within the slack before the start");
        vm.revertToState(clean);
        _terms(1, 1, START + 4, START + 100);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Pending), "outside of the slack");
        vm.warp(START + 31);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Missed));
        vm.revertToState(clean);
        _terms(1, 1, START - 50, START - 3);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Pending));
        _terms(1, 2, START - 50, START - 2);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Passed), "within the slack after the end");
        _terms(1, 3, START - 50, START - 40);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Passed), "an early end voids no commit");
    }
}
