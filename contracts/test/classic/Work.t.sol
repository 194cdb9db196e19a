// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient, IOutbox} from "../../src/interfaces/IBridge.sol";
import {IReputationSystem} from "../../src/interfaces/IReputationSystem.sol";
import {IWork, IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {
    ClassProfile,
    ClassProfileSet,
    CommitInput,
    DeviceRegistered,
    DeviceRemoved,
    FaultProven,
    ParameterSet,
    Profile,
    QueenSetRotated,
    ReceiptSignature,
    RentalTerms,
    RenterRecord,
    WorkParameters,
    WorkProof,
    WorkReport,
    WorkerKeyChanged
} from "../../src/types/Protocol.sol";
import {CHEATS} from "../utils/Cheats.sol";
import {IWiring, World} from "../utils/World.sol";

/// @dev Ethereum Classic's side alone, with Shanghai's rules; this contract stands in for the Inbox.
contract WorkTest is World {
    address private constant STAKING = address(0x51);
    address private constant RENTAL = address(0x52);
    address private constant TIMELOCK = address(0x53);
    address private constant COURT = address(0x54);
    uint64 private constant DEVICE = 7;
    uint64 private constant START = 1_000_000;

    function setUp() public override {
        CHEATS.setEvmVersion("shanghai");
        vm.roll(1000);
        vm.warp(START);
        onClassic();
        _makeKeys();
        etcOutbox = IOutbox(deployCode("Outbox.sol:Outbox"));
        reputation = IReputationSystem(deployCode("ReputationSystem.sol:ReputationSystem", abi.encode(100, 1e6)));
        work = IWork(_deployWork(_workParameters(), _profile(100)));
        IWiring(address(reputation)).wire(address(work));
        IWiring(address(work)).wire(address(this), address(etcOutbox), ETHEREUM, [STAKING, RENTAL, TIMELOCK, COURT]);
        _message(STAKING, 1, abi.encode(DeviceRegistered(DEVICE, provider, worker, CLASS, START - 5)));
    }

    function _deployWork(WorkParameters memory p, Profile memory full) private returns (address) {
        ClassProfile[] memory classes = new ClassProfile[](1);
        classes[0] = ClassProfile(CLASS, uint128(500 * UNIT), full, _profile(50));
        address[] memory queens = new address[](3);
        for (uint256 i; i < 3; ++i) {
            queens[i] = vm.addr(queenKeys[i]);
        }
        address verifier = deployCode("ProofVerifier.sol:ProofVerifier");
        address settlement = deployCode("WorkSettlement.sol:WorkSettlement", abi.encode(reputation, verifier));
        bytes memory arguments = abi.encode(p, classes, queens, reputation, verifier, settlement);
        return vm.deployCode("WorkVerification.sol:WorkVerification", arguments);
    }

    function deployWork(WorkParameters memory p, Profile memory full) external returns (address) {
        return _deployWork(p, full);
    }

    function _message(address sender, uint8 kind, bytes memory fields) private {
        IMessageRecipient(address(work)).handle(ETHEREUM, sender, abi.encodePacked(kind, fields), relay);
    }

    function _terms(uint64 rentalId, uint32 version, uint64 start, uint64 end) private {
        _message(RENTAL, 4, abi.encode(RentalTerms(rentalId, DEVICE, version, start, end, renter, uint96(PRICE))));
    }

    function _input(uint64 blockNumber, bytes32 hash, uint8 mode) private pure returns (CommitInput memory) {
        return CommitInput(blockNumber, DEVICE, mode, 0, hash, keccak256("root"));
    }

    function _commitMeasured(uint64 blockNumber, bytes32 hash, uint8 mode, uint32 elapsedMs) private returns (WorkProof memory) {
        return commitAs(blockNumber, hash, DEVICE, mode, 0, elapsedMs);
    }

    function _outcome(uint64 index) private view returns (uint256) {
        return uint256(work.outcome(index, DEVICE));
    }

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
        assembly {
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
        assertEq(m.root, input.root);
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
        vm.roll(b + 9 + 17);
        CHEATS.setBlockhash(b + 9, sealHashOf(b));
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.AnswerWindowClosed.selector, b, b + 25));
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

    function _unmeasured(uint64 time) private {
        vm.warp(time);
        (uint64 b, bytes32 hash) = openChallenge();
        sealAndProve(b, DEVICE, _commitMeasured(b, hash, 1, 300));
        vm.roll(b + 14);
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
            _unmeasured(START + 100 * i);
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

    // --------------------------------------------------------------------------------------- messages

    /// @dev Body of the newest message to Ethereum, without its kind byte.
    function _lastBody(uint8 kind) private returns (bytes memory fields) {
        collect();
        bytes memory body = sent[address(etcOutbox)][sent[address(etcOutbox)].length - 1].body;
        assertEq(uint8(body[0]), kind, "kind");
        fields = new bytes(body.length - 1);
        for (uint256 i; i < fields.length; ++i) {
            fields[i] = body[i + 1];
        }
    }

    function test_newWorkerKeyAnswersForLaterChallengesOnly() public {
        address other = makeAddr("other worker");
        (uint64 b, bytes32 hash) = openChallenge();
        _message(STAKING, 3, abi.encode(WorkerKeyChanged(DEVICE, other, START)));
        ReceiptSignature[] memory none;
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotWorker.selector, other, worker));
        work.commit(_input(b, hash, 1), none, "");
        sealAndProve(b, DEVICE, _commitMeasured(b, hash, 1, 60));
        vm.roll(b + 14);
        vm.warp(START + 1);
        (b, hash) = openChallenge();
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotWorker.selector, worker, other));
        work.commit(_input(b, hash, 1), none, "");
        _message(STAKING, 3, abi.encode(WorkerKeyChanged(DEVICE, relay, START)));
        assertEq(work.device(DEVICE).worker, other, "a change that is not later changes nothing");
        vm.expectRevert(IWorkVerification.ZeroAddress.selector);
        _message(STAKING, 3, abi.encode(WorkerKeyChanged(DEVICE, address(0), START + 1)));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownDevice.selector, 99));
        _message(STAKING, 3, abi.encode(WorkerKeyChanged(99, other, START)));
    }

    function test_parametersApplyToLaterChallenges() public {
        (uint64 b, bytes32 hash) = openChallenge();
        WorkParameters memory p = _workParameters();
        p.commitWindow = 4;
        _message(TIMELOCK, 6, abi.encode(ParameterSet(2, p)));
        assertEq(work.parametersVersion(), 2);
        assertEq(work.parameters().commitWindow, 4);
        assertEq(work.parametersAt(1).commitWindow, 8);
        vm.roll(b + 8);
        _commitMeasured(b, hash, 1, 60);
        assertTrue(work.commitOf(b, DEVICE).measured, "the window that the challenge was opened under");
        (b, hash) = openChallenge();
        assertEq(work.challengeAt(1).parametersVersion, 2);
        vm.roll(b + 5);
        ReceiptSignature[] memory none;
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.OutsideWindow.selector, b, b + 5));
        work.commit(_input(b, hash, 1), none, "");
        _message(TIMELOCK, 6, abi.encode(ParameterSet(1, _workParameters())));
        assertEq(work.parametersVersion(), 2, "an older version changes nothing");
        p.proofSamples = 0;
        vm.expectRevert(IWorkVerification.InvalidParameters.selector);
        _message(TIMELOCK, 6, abi.encode(ParameterSet(3, p)));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownParameters.selector, 3));
        work.parametersAt(3);
    }

    function test_queensWitnessWhereTheySatWhenItWasOpened() public {
        (uint64 b, bytes32 hash) = openChallenge();
        ReceiptSignature[] memory receipts = receiptsFor(_input(b, hash, 1), 60, 3);
        address[] memory others = new address[](2);
        (others[0], others[1]) = (makeAddr("q0"), makeAddr("q1"));
        _message(STAKING, 7, abi.encode(QueenSetRotated(2, others)));
        assertEq(work.queens(), others);
        assertEq(work.queensAt(1).length, 3);
        vm.prank(worker);
        work.commit(_input(b, hash, 1), receipts, "");
        assertTrue(work.commitOf(b, DEVICE).measured);
        vm.roll(b + 14);
        (b, hash) = openChallenge();
        assertEq(work.challengeAt(1).queenEpoch, 2);
        receipts[0].queenIndex = 0;
        vm.prank(worker);
        vm.expectPartialRevert(IWorkVerification.InvalidReceipt.selector);
        work.commit(_input(b, hash, 1), receipts, "");
        others[1] = others[0];
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidQueen.selector, 1));
        _message(STAKING, 7, abi.encode(QueenSetRotated(3, others)));
        others[1] = address(0);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidQueen.selector, 1));
        _message(STAKING, 7, abi.encode(QueenSetRotated(3, others)));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidQueen.selector, 125));
        _message(STAKING, 7, abi.encode(QueenSetRotated(3, new address[](125))));
        _message(STAKING, 7, abi.encode(QueenSetRotated(2, new address[](0))));
        assertEq(work.queenEpoch(), 2, "an epoch that is not newer changes nothing");
    }

    function test_classesAreAddedAndNeverChanged() public {
        ClassProfile memory c = ClassProfile(2, uint128(700 * UNIT), _profile(200), _profile(80));
        _message(TIMELOCK, 5, abi.encode(ClassProfileSet(c)));
        assertEq(work.classProfile(2).stake, 700 * UNIT);
        assertEq(work.classProfile(2).full.referenceMs, 200);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownClass.selector, 2));
        _message(TIMELOCK, 5, abi.encode(ClassProfileSet(c)));
        c.classVersion = 3;
        c.full.lanes = 3;
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidProfile.selector, 3, 1));
        _message(TIMELOCK, 5, abi.encode(ClassProfileSet(c)));
    }

    function test_complaintsThatARenterLostAreKept() public {
        _message(COURT, 9, abi.encode(RenterRecord(renter, 2)));
        _message(COURT, 9, abi.encode(RenterRecord(renter, 1)));
        assertEq(reputation.renterOf(renter).complaintsLost, 2);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotWorkVerification.selector, address(this)));
        reputation.recordComplaints(renter, 3);
    }

    function test_faultNamesTheRenterWhoseTimeItWas() public {
        vm.recordLogs();
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

    function test_reportSaysWhatItMakesNewlyDue() public {
        vm.recordLogs();
        _terms(1, 1, START, START + 300);
        vm.warp(START + 50);
        passChallenge(DEVICE, 2, 1);
        work.reportRental(1, 0);
        WorkReport memory report = abi.decode(_lastBody(16), (WorkReport));
        assertEq(report.value, 50 * uint256(PRICE));
        assertFalse(report.closingMissed);
        vm.warp(START + 200);
        missChallenge();
        work.reportRental(1, 0);
        report = abi.decode(_lastBody(16), (WorkReport));
        assertEq(report.value, 150 * uint256(PRICE), "a refund is due as well");
        assertFalse(report.closingMissed, "only a final report says so");
        vm.warp(START + 300);
        missChallenge();
        work.reportRental(1, 0);
        report = abi.decode(_lastBody(16), (WorkReport));
        assertEq(report.value, 100 * uint256(PRICE));
        assertTrue(report.isFinal && report.closingMissed);
        assertEq(work.device(DEVICE).faults, 0);
        assertEq(reputation.renterOf(renter).rentalsCompleted, 1);
    }

    function test_otherHalfCalledDirectlyRefuses() public {
        address verifier = deployCode("ProofVerifier.sol:ProofVerifier");
        address half = deployCode("WorkSettlement.sol:WorkSettlement", abi.encode(reputation, verifier));
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.NotInbox.selector, address(this)));
        IMessageRecipient(half).handle(ETHEREUM, STAKING, hex"01", relay);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownDevice.selector, DEVICE));
        IWork(half).reportDevice(DEVICE);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownRental.selector, 1));
        IWork(half).reportRental(1, 0);
    }

    function test_halfMustHaveCode() public {
        ClassProfile[] memory classes = new ClassProfile[](0);
        address[] memory queens = new address[](1);
        bytes memory arguments = abi.encode(_workParameters(), classes, queens, reputation, relay, relay);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NoCode.selector, relay));
        this.deployFrom(arguments);
    }

    function deployFrom(bytes calldata arguments) external returns (address) {
        return vm.deployCode("WorkVerification.sol:WorkVerification", arguments);
    }

    function test_messagesOfOthersAreRefused() public {
        IMessageRecipient to = IMessageRecipient(address(work));
        vm.prank(relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.NotInbox.selector, relay));
        to.handle(ETHEREUM, STAKING, hex"01", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UntrustedSender.selector, 1, STAKING));
        to.handle(1, STAKING, hex"01", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UntrustedSender.selector, ETHEREUM, relay));
        to.handle(ETHEREUM, relay, hex"01", relay);
        // Each sender may say only what is its own.
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 1));
        to.handle(ETHEREUM, RENTAL, hex"01", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 4));
        to.handle(ETHEREUM, STAKING, hex"04", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 6));
        to.handle(ETHEREUM, COURT, hex"06", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 9));
        to.handle(ETHEREUM, TIMELOCK, hex"09", relay);
        vm.expectRevert();
        to.handle(ETHEREUM, STAKING, "", relay);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownClass.selector, 9));
        _message(STAKING, 1, abi.encode(DeviceRegistered(9, provider, worker, 9, START)));
        _message(STAKING, 1, abi.encode(DeviceRegistered(DEVICE, relay, relay, CLASS, START)));
        assertEq(work.device(DEVICE).worker, worker, "a device is added once");
    }

    function test_reputationIsWrittenByWorkVerificationOnly() public {
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotWorkVerification.selector, address(this)));
        reputation.record(provider, 1, true, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotWorkVerification.selector, address(this)));
        reputation.recordFault(provider, 1, 1);
    }

    function test_reputationHalvesInItsHalfLife() public {
        assertEq(reputation.scorePpm(provider), 500_000);
        vm.startPrank(address(work));
        reputation.record(provider, 1, true, 1000, 10);
        for (uint256 i; i < 100; ++i) {
            reputation.record(provider, 1, false, 0, 0);
        }
        assertApproxEqAbs(reputation.recordOf(provider).passedPpm, 500_000, 100);
        assertLt(reputation.scorePpm(provider), 30_000);
    }

    // ------------------------------------------------------------------------------------ constructor

    function test_invalidProfilesAreRefused() public {
        Profile[11] memory p;
        for (uint256 i; i < 11; ++i) {
            p[i] = _profile(100);
        }
        p[0].windows = 0;
        p[1].memoryBytes += 1;
        p[2].lanes = 3;
        p[3].steps = 4097;
        p[4].matrixSize = 4;
        p[5].innerSize = 33;
        p[6].innerSize = 16_416;
        p[7].rounds = 0;
        p[8].passMs = 99;
        p[9].lanes = 2;
        p[10].steps = 2048;
        for (uint256 i; i < 11; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidProfile.selector, CLASS, 1));
            this.deployWork(_workParameters(), p[i]);
        }
        vm.chainId(61);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidProfile.selector, CLASS, 2));
        this.deployWork(_workParameters(), _profile(100));
    }

    function test_invalidParametersAreRefused() public {
        WorkParameters[12] memory p;
        for (uint256 i; i < p.length; ++i) {
            p[i] = _workParameters();
        }
        p[0].beaconPeriod = 0;
        p[1].beaconSpacing = 4;
        p[2].commitWindow = 251;
        p[2].beaconSpacing = 300;
        p[3].answerWindow = 2049;
        p[4].proofSamples = 9;
        p[5].maxPerCall = 0;
        p[6].shardSize = 2;
        p[7].graceWindow = 366 days;
        p[8].capWindow = 0;
        p[9].valueCap = 7;
        p[10].disputeBond -= 1;
        p[11].blockGas = p[11].answerGas - 1;
        for (uint256 i; i < p.length; ++i) {
            vm.expectRevert(IWorkVerification.InvalidParameters.selector);
            this.deployWork(p[i], _profile(100));
        }
    }
}
