// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {
    FaultProven,
    MatmulOpening,
    ReceiptSignature,
    RefusalSignature,
    SegmentOpening,
    WorkParameters,
    WorkProof
} from "../../src/types/Protocol.sol";
import {CHEATS} from "../utils/Cheats.sol";
import {KernelReference} from "../utils/KernelReference.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev Samples that somebody demands, and answers that are wrong or do not come.
contract WorkDisputesTest is WorkWorld {
    uint256 private constant BOND = 1.2e15;
    address private queen;

    function setUp() public override {
        super.setUp();
        queen = vm.addr(queenKeys[0]);
        vm.deal(queen, 1 ether);
        vm.deal(renter, 1 ether);
    }

    function _seedOfSeal(uint64 b) private pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("gpumkt/sample/v1"), sealHashOf(b), b, DEVICE));
    }

    function _proven() private returns (uint64 b, WorkProof memory proof) {
        bytes32 hash;
        (b, hash) = openChallenge();
        proof = _commitMeasured(b, hash, 1, 60);
        sealAndProve(b, DEVICE, proof);
    }

    function _dispute(address opener, uint64 b) private {
        bytes32 seed = _seedOfSeal(b);
        vm.prank(opener);
        work.dispute{value: BOND}(b, DEVICE, seed);
    }

    function _answer(uint64 b, uint256 position, WorkProof memory proof) private {
        vm.prank(worker);
        work.answer(b, DEVICE, position, proof);
    }

    function _lastFault() private returns (FaultProven memory) {
        return abi.decode(_lastBody(18), (FaultProven));
    }

    function test_rightAnswerEarnsTheBond() public {
        (uint64 b, WorkProof memory proof) = _proven();
        _dispute(queen, b);
        assertEq(work.openDisputesOf(queen), 1);
        IWorkVerification.Demand memory demand = work.demands(b, DEVICE)[0];
        // One drawn answer and this one, at a quarter of a block's gas: one block.
        assertEq(demand.answerUntil, block.number + 16 + 1);
        vm.roll(b + 13);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Pending), "an answer may come");
        _answer(b, 0, proof);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Passed), "the window closes with the answer");
        assertEq(work.fundOf(provider), BOND);
        assertEq(work.openDisputesOf(queen), 0);
        vm.prank(provider);
        work.withdraw(provider, BOND);
        assertEq(provider.balance, BOND);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownDemand.selector, b, DEVICE, 0));
        work.answer(b, DEVICE, 0, proof);
    }

    function test_wrongAnswerVoidsAndNamesWhoAsked() public {
        _terms(1, 1, START, START + 100);
        (uint64 b, WorkProof memory proof) = _proven();
        _dispute(queen, b);
        _dispute(renter, b);
        proof.memoryRoot = keccak256("wrong");
        _answer(b, 0, proof);
        FaultProven memory fault = _lastFault();
        assertEq(fault.reporter, queen);
        assertEq(fault.renter, renter);
        assertEq(fault.reason, 1);
        assertEq(work.fundOf(queen), BOND, "both bonds are back");
        assertEq(work.fundOf(renter), BOND);
        assertEq(work.openDisputesOf(renter), 0);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownDemand.selector, b, DEVICE, 1));
        work.answer(b, DEVICE, 1, proof);
        vm.roll(b + 13);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Missed));
    }

    function test_missingAnswerOfADisputeIsARecordedMiss() public {
        (uint64 b,) = _proven();
        _dispute(queen, b);
        vm.roll(b + 10 + 17);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Pending));
        vm.roll(b + 10 + 18);
        assertEq(_outcome(0), uint256(IWorkVerification.Outcome.Missed));
        uint32 messages = etcOutbox.count();
        vm.expectEmit(address(work));
        emit IWorkVerification.CommitVoided(b, DEVICE, 2);
        vm.expectEmit(address(work));
        emit IWorkVerification.AnswerMissing(b, DEVICE, 1);
        work.reportDevice(DEVICE);
        assertEq(etcOutbox.count(), messages + 1, "a report, no fault");
        assertEq(work.fundOf(queen), BOND);
        assertEq(work.device(DEVICE).faults, 0);
    }

    function _unanswered(uint64 time) private {
        vm.warp(time);
        (uint64 b, bytes32 hash) = openChallenge();
        _commitMeasured(b, hash, 1, 60);
        vm.roll(b + 10);
        CHEATS.setBlockhash(b + 9, sealHashOf(b));
        work.seal(b);
        vm.roll(b + 9 + 18);
        work.reportDevice(DEVICE);
    }

    function test_thirdMissingAnswerWithinTheWindowIsAFault() public {
        _unanswered(START);
        _unanswered(START + 400);
        assertEq(work.device(DEVICE).faults, 0);
        _unanswered(START + 999);
        assertEq(work.device(DEVICE).faults, 1);
        assertEq(reputation.recordOf(provider).faults, 1);
        _unanswered(START + 1000);
        assertEq(work.device(DEVICE).faults, 1, "counted anew");
    }

    function test_missingAnswersFarApartAreNoFault() public {
        _unanswered(START);
        _unanswered(START + 500);
        _unanswered(START + 1000);
        _unanswered(START + 1501);
        assertEq(work.device(DEVICE).faults, 0);
    }

    function test_renterOfTheTimeMayDispute() public {
        (uint64 b,) = _proven();
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotQueenNorRenter.selector, renter));
        work.dispute{value: BOND}(b, DEVICE, 0);
        _terms(1, 1, START, START + 100);
        _dispute(renter, b);
        assertEq(work.demands(b, DEVICE)[0].opener, renter);
    }

    function test_disputeRefusals() public {
        (uint64 b, bytes32 hash) = openChallenge();
        vm.startPrank(queen);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotCommitted.selector, b, DEVICE));
        work.dispute{value: BOND}(b, DEVICE, 0);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownChallenge.selector, 1));
        work.dispute{value: BOND}(1, DEVICE, 0);
        vm.stopPrank();
        WorkProof memory proof = _commitMeasured(b, hash, 1, 60);
        vm.startPrank(queen);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.WrongBond.selector, BOND - 1, BOND));
        work.dispute{value: BOND - 1}(b, DEVICE, 0);
        vm.stopPrank();
        vm.deal(relay, 1 ether);
        vm.prank(relay);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotQueenNorRenter.selector, relay));
        work.dispute{value: BOND}(b, DEVICE, 0);
        _dispute(queen, b);
        vm.startPrank(queen);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.AlreadyDemanded.selector, b, DEVICE));
        work.dispute{value: BOND}(b, DEVICE, 0);
        vm.roll(b + 13);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.OutsideWindow.selector, b, b + 13));
        work.dispute{value: BOND}(b, DEVICE, 0);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotWorker.selector, address(this), worker));
        work.answer(b, DEVICE, 0, proof);
        vm.roll(work.demands(b, DEVICE)[0].answerUntil + 1);
        vm.prank(worker);
        vm.expectPartialRevert(IWorkVerification.AnswerWindowClosed.selector);
        work.answer(b, DEVICE, 0, proof);
    }

    function test_openDisputesOfOneQueenAreBounded() public {
        (uint64 b, bytes32 hash) = openChallenge();
        for (uint64 id = 100; id < 105; ++id) {
            _register(id, provider);
            commitAs(b, hash, id, 1, 0, 60);
            vm.prank(queen);
            if (id == 104) vm.expectRevert(abi.encodeWithSelector(IWorkVerification.TooManyDemands.selector, 4));
            work.dispute{value: BOND}(b, id, 0);
        }
    }

    // ------------------------------------------------------------------------------------- no openings

    function _refusals(uint64 b, bytes32 hash, bytes32 root, uint256 count) private view returns (RefusalSignature[] memory s) {
        uint16[] memory members = work.committee(hash, DEVICE);
        bytes32 digest = work.refusalDigest(b, DEVICE, hash, root);
        s = new RefusalSignature[](count);
        for (uint256 i; i < count; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(queenKeys[members[i]], digest);
            s[i] = RefusalSignature(members[i], r, vs);
        }
    }

    /// @dev A block hash under which the three samples are one, so that the reference can open them.
    function _samplesThatCoincide(uint64 b) private pure returns (bytes32 blockHash, bytes32 seed) {
        for (uint256 i;; ++i) {
            blockHash = keccak256(abi.encode("refusal", i));
            seed = keccak256(abi.encode(keccak256("gpumkt/refusal/v1"), blockHash, b, DEVICE));
            bytes32 first = _picked(seed, 0);
            if (_picked(seed, 1) == first && _picked(seed, 2) == first) return (blockHash, seed);
        }
    }

    function _picked(bytes32 seed, uint256 number) private pure returns (bytes32) {
        uint256 h = uint256(keccak256(abi.encode(seed, number)));
        return bytes32(uint256(((uint32(h >> 32) % 8) << 8) | (uint32(h >> 128) % 15)));
    }

    function _thrice(WorkProof memory one) private pure returns (WorkProof memory proof) {
        proof =
            WorkProof(one.memoryRoot, one.matmulRoots, new MatmulOpening[](3), new SegmentOpening[](3), new SegmentOpening[](3));
        for (uint256 i; i < 3; ++i) {
            (proof.matmul[i], proof.first[i], proof.second[i]) = (one.matmul[0], one.first[0], one.second[0]);
        }
    }

    function test_committeeThatWasRefusedDrawsThreeSamplesWithoutABond() public {
        (uint64 b, bytes32 hash) = openChallenge();
        (bytes32 blockHash, bytes32 seed) = _samplesThatCoincide(b);
        (bytes32 root, WorkProof memory one) =
            KernelReference.build(work.classProfile(CLASS).full, work.seedOf(hash, DEVICE, 1), seed);
        _commitRoot(b, hash, root);
        vm.roll(b + 3);
        CHEATS.setBlockhash(b + 2, blockHash);
        work.refuse(b, DEVICE, root, _refusals(b, hash, root, 2));
        IWorkVerification.Demand memory demand = work.demands(b, DEVICE)[0];
        assertEq(demand.samples, 3);
        assertEq(demand.sampleSeed, seed);
        assertEq(demand.opener, address(0));
        WorkProof memory proof = _thrice(one);
        uint256 clean = vm.snapshotState();
        _answer(b, 0, proof);
        assertTrue(work.demands(b, DEVICE)[0].answered);
        assertEq(work.fundOf(provider), 0, "nobody put up a bond");
        vm.revertToState(clean);
        _answer(b, 0, one);
        assertEq(_lastFault().reporter, address(0), "one sample instead of three is wrong");
        RefusalSignature[] memory again = _refusals(b, hash, root, 2);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotCommitted.selector, b, DEVICE));
        work.refuse(b, DEVICE, root, again);
    }

    function _commitRoot(uint64 b, bytes32 hash, bytes32 root) private {
        ReceiptSignature[] memory none;
        vm.prank(worker);
        work.commit(_inputOf(b, hash, root), none, "");
    }

    function test_refusalsThatDoNotCount() public {
        (uint64 b, bytes32 hash) = openChallenge();
        bytes32 root = keccak256("root");
        _commitRoot(b, hash, root);
        RefusalSignature[] memory s = _refusals(b, hash, root, 1);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.TooFewRefusals.selector, 1, 3));
        work.refuse(b, DEVICE, root, s);
        s = _refusals(b, hash, root, 3);
        (s[0], s[1]) = (s[1], s[0]);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.ReceiptsNotAscending.selector, 1));
        work.refuse(b, DEVICE, root, s);
        s = _refusals(b, hash, root, 3);
        s[2].queenIndex = 3;
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotInCommittee.selector, 3));
        work.refuse(b, DEVICE, root, s);
        s = _refusals(b, hash, keccak256("other"), 3);
        vm.expectPartialRevert(IWorkVerification.InvalidReceipt.selector);
        work.refuse(b, DEVICE, root, s);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotCommitted.selector, b, DEVICE));
        work.refuse(b, DEVICE, keccak256("other"), s);
    }
}
