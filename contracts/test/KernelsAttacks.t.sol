// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IWorkVerification} from "../src/interfaces/IWorkVerification.sol";
import {ClassProfile, CommitInput, Profile, ReceiptSignature, WorkProof} from "../src/types/Protocol.sol";
import {World} from "./utils/World.sol";

interface IProfileRulesHarness {
    function isValidPair(ClassProfile memory c) external view returns (bool);
}

/// @dev Attacks of docs/verification.md that need the contracts' memory of a challenge or its money.
contract KernelsAttacksTest is World {
    uint64 private device;
    IProfileRulesHarness private rules;
    /// @dev Root and proof of the first challenge, computed once for all runs: the kernels in Solidity take a third of a second.
    bytes32 private firstHash;
    bytes private firstResult;

    function setUp() public override {
        super.setUp();
        device = registerDevice();
        rules = IProfileRulesHarness(deployCode("ProfileRulesHarness.sol:ProfileRulesHarness"));
        onClassic();
        uint64 blockNumber = uint64(block.number) - 1;
        firstHash = keccak256(headerOf(blockNumber, uint64(block.timestamp)));
        (bytes32 root, WorkProof memory proof) = proofFor(blockNumber, firstHash, device, 1);
        firstResult = abi.encode(root, proof);
    }

    function _input(uint64 blockNumber, bytes32 hash) private view returns (CommitInput memory input, WorkProof memory proof) {
        if (hash == firstHash) (input.root, proof) = abi.decode(firstResult, (bytes32, WorkProof));
        else (input.root, proof) = proofFor(blockNumber, hash, device, 1);
        input.challengeBlock = blockNumber;
        input.deviceId = device;
        input.mode = 1;
        input.blockHash = hash;
    }

    function _commit(CommitInput memory input, uint32 elapsedMs) private {
        ReceiptSignature[] memory receipts = receiptsFor(input, elapsedMs, 3);
        vm.prank(worker);
        work.commit(input, receipts, "");
    }

    /// @dev A second commit could draw other samples, if the root decided over them or the second commit stood.
    function testFuzz_aSecondCommitDrawsNothingElse(bytes32 otherRoot) public {
        (uint64 blockNumber, bytes32 hash) = openChallenge();
        (CommitInput memory input, WorkProof memory proof) = _input(blockNumber, hash);
        _commit(input, 60);
        CommitInput memory second = abi.decode(abi.encode(input), (CommitInput));
        second.root = otherRoot;
        ReceiptSignature[] memory receipts = receiptsFor(second, 60, 3);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.AlreadyCommitted.selector, blockNumber, device));
        work.commit(second, receipts, "");
        // A commit keeps 25 bytes of its root.
        assertEq(bytes25(work.commitOf(blockNumber, device).root), bytes25(input.root));
        sealAndProve(blockNumber, device, proof);
        assertEq(uint8(work.commitOf(blockNumber, device).status), uint8(IWorkVerification.CommitStatus.Proven));
    }

    /// @dev The root of an earlier challenge, with the very proof that was right then.
    function test_anEarlierResultIsAFaultThatCostsMoreThanItSaves() public {
        (uint64 first, bytes32 hash) = openChallenge();
        (CommitInput memory input, WorkProof memory proof) = _input(first, hash);
        _commit(input, 60);
        sealAndProve(first, device, proof);
        vm.roll(first + 14);
        uint64 second;
        (second, hash) = openChallenge();
        input.challengeBlock = second;
        input.blockHash = hash;
        _commit(input, 60);
        uint256 before = staking.staker(provider).staked;
        sealAndProve(second, device, proof);
        assertEq(uint8(work.commitOf(second, device).status), uint8(IWorkVerification.CommitStatus.Voided));
        vm.roll(second + 14);
        assertEq(uint8(work.outcome(1, device)), uint8(IWorkVerification.Outcome.Missed));
        relayAll(etcOutbox);
        uint256 lost = before - staking.staker(provider).staked;
        // What an interval pays at most: PRICE per second for the blocks between the two challenges, at 13 s each.
        uint256 saved = uint256(second - first) * 13 * PRICE;
        assertGt(lost, 100 * saved, "a wrong answer costs a hundred intervals");
        assertEq(lost, 500 * UNIT);
    }

    /// @dev Whoever signed for another root, challenge or device signed nothing that this commit can use.
    function test_receiptsOfAnotherRootChallengeOrDeviceAreRefused() public {
        (uint64 blockNumber, bytes32 hash) = openChallenge();
        (CommitInput memory input,) = _input(blockNumber, hash);
        for (uint256 i; i < 3; ++i) {
            CommitInput memory other = abi.decode(abi.encode(input), (CommitInput));
            if (i == 0) other.root = keccak256("other");
            else if (i == 1) other.challengeBlock -= 1;
            else other.blockHash = keccak256("other");
            ReceiptSignature[] memory receipts = receiptsFor(input, 60, 3);
            ReceiptSignature[] memory foreign = _receiptsOf(other, input);
            vm.prank(worker);
            vm.expectPartialRevert(IWorkVerification.InvalidReceipt.selector);
            work.commit(input, foreign, "");
            assertEq(receipts.length, foreign.length);
        }
    }

    /// @dev Receipts under `signed` from the committee of `committed`.
    function _receiptsOf(CommitInput memory signed, CommitInput memory committed)
        private
        view
        returns (ReceiptSignature[] memory receipts)
    {
        receipts = receiptsFor(signed, 60, 3);
        uint16[] memory members = work.committee(committed.blockHash, device);
        for (uint256 i; i < 3; ++i) {
            receipts[i].queenIndex = members[i];
        }
    }

    /// @dev One Queen of three that lies, in either direction, moves the time no further than to the next honest one.
    function testFuzz_oneLyingQueenSetsNoTime(uint32 lie, uint32 a, uint32 b) public {
        a = uint32(bound(a, 10, 100));
        b = uint32(bound(b, 10, 100));
        (uint64 blockNumber, bytes32 hash) = openChallenge();
        (CommitInput memory input,) = _input(blockNumber, hash);
        ReceiptSignature[] memory receipts = receiptsFor(input, a, 3);
        receipts[1] = receiptsFor(input, b, 3)[1];
        receipts[2] = receiptsFor(input, lie, 3)[2];
        vm.prank(worker);
        work.commit(input, receipts, "");
        uint32 elapsed = work.commitOf(blockNumber, device).elapsedMs;
        assertGe(elapsed, a < b ? a : b);
        assertLe(elapsed, a < b ? b : a);
    }

    /// @dev A provider that gives no openings gets no receipts: it is always drawn, and what it does not answer counts as missed.
    function test_refusedOpeningsEndInAProofOnChain() public {
        (uint64 blockNumber, bytes32 hash) = openChallenge();
        (CommitInput memory input,) = _input(blockNumber, hash);
        vm.prank(worker);
        work.commit(input, new ReceiptSignature[](0), "");
        vm.roll(blockNumber + 10);
        work.seal(blockNumber);
        (bool isDrawn, uint64 answerUntil) = work.drawn(blockNumber, device);
        assertTrue(isDrawn);
        vm.roll(answerUntil + 1);
        assertEq(uint8(work.outcome(0, device)), uint8(IWorkVerification.Outcome.Missed));
        assertEq(work.device(device).lastFullPass, 0);
    }

    // -------------------------------------------------------------------------------- two identities

    /// @dev Times in milliseconds; the head start is how much earlier than the Queens a provider may know a block.
    uint256 private constant HEAD_START = 1200;

    function _pair(uint32 full, uint32 fullPass, uint32 light, uint32 lightPass) private pure returns (ClassProfile memory c) {
        c.classVersion = 1;
        c.full.matrixSize = 1024;
        c.light.matrixSize = 1024;
        (c.full.referenceMs, c.full.passMs) = (full, fullPass);
        (c.light.referenceMs, c.light.passMs) = (light, lightPass);
    }

    /// @dev Whether a device of the class's speed answers two challenges of one block in time, one after the other.
    function _passesTwice(Profile memory first, Profile memory second) private pure returns (bool) {
        return uint256(first.referenceMs) + second.referenceMs <= second.passMs + HEAD_START;
    }

    function _servesTwo(ClassProfile memory c) private pure returns (bool) {
        return _passesTwice(c.full, c.full) || _passesTwice(c.light, c.light) || _passesTwice(c.full, c.light)
            || _passesTwice(c.light, c.full);
    }

    function testFuzz_oneDeviceNeverPassesForTwo(uint256 full, uint256 fullPass, uint256 light, uint256 lightPass) public {
        vm.chainId(61);
        full = bound(full, 1, 20_000);
        light = bound(light, 1, 20_000);
        fullPass = bound(fullPass, full, 3 * full);
        lightPass = bound(lightPass, light, 3 * light);
        ClassProfile memory c = _pair(uint32(full), uint32(fullPass), uint32(light), uint32(lightPass));
        assertEq(rules.isValidPair(c), !_servesTwo(c));
    }

    /// @dev Full at 8 s passes up to 10 s, light at 4 s up to 6 s; each bound broken by itself is refused.
    function test_pairsThatOneDeviceCouldServeAreRefused() public {
        vm.chainId(61);
        assertTrue(rules.isValidPair(_pair(8000, 10_000, 4000, 6000)));
        assertFalse(rules.isValidPair(_pair(8000, 14_800, 4000, 6000)), "full after full");
        assertFalse(rules.isValidPair(_pair(8000, 10_000, 4000, 6800)), "light after light");
        assertFalse(rules.isValidPair(_pair(8000, 10_800, 4000, 6000)), "full after light");
        assertFalse(rules.isValidPair(_pair(8000, 10_000, 20_000, 30_000)), "light after full");
        vm.chainId(63);
        assertTrue(rules.isValidPair(_pair(1, 10, 1, 10)), "test networks have toy classes");
    }
}
