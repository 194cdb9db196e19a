// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";

import {IProofVerifier} from "../../src/interfaces/IProofVerifier.sol";
import {Profile, WorkProof} from "../../src/types/Protocol.sol";
import {classicRules} from "../utils/Cheats.sol";
import {KernelReference} from "../utils/KernelReference.sol";

interface IVerifierHarness {
    function foldOf(bytes32 roundSeed, uint256 row, uint256 fold, uint256 innerSize) external pure returns (uint64);
    function replay(Profile memory p, bytes32 seed, uint256 lane, uint256 segment, bytes32 state) external pure returns (bytes32);
}

contract KernelsTest is Test {
    IProofVerifier private verifier;
    IVerifierHarness private harness;
    bytes32 private constant SEED = keccak256("seed");
    bytes32 private constant SAMPLE = keccak256("sample");

    function setUp() public {
        classicRules();
        verifier = IProofVerifier(vm.deployCode("ProofVerifier.sol:ProofVerifier"));
        harness = IVerifierHarness(vm.deployCode("VerifierHarness.sol:VerifierHarness"));
    }

    function _profile() private pure returns (Profile memory) {
        return Profile(32_768, 1, 4, 1024, 2, 1, 16, 64, 2, 1, 1, 1);
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: deep.fuzz.runs = 10000
    function testFuzz_foldMatchesTheReference(bytes32 seed, uint32 row, uint16 fold, uint8 words) public view {
        uint256 innerSize = 32 * (1 + uint256(words) % 9);
        assertEq(harness.foldOf(seed, row, fold, innerSize), KernelReference.fold(seed, row, fold, innerSize));
    }

    /// @dev Blocks of 256 words, whole and broken, with an even and an odd number of words.
    function test_foldMatchesTheReferenceAroundABlockOfWords() public view {
        uint16[8] memory words = [1, 2, 255, 256, 257, 258, 511, 512];
        for (uint256 i; i < words.length; ++i) {
            uint256 size = 32 * uint256(words[i]);
            assertEq(harness.foldOf(SEED, i, 3 * i, size), KernelReference.fold(SEED, i, 3 * i, size), vm.toString(size));
        }
    }

    /// forge-config: default.fuzz.runs = 32
    /// forge-config: deep.fuzz.runs = 1000
    function testFuzz_segmentMatchesTheReference(bytes32 seed, uint8 lane, uint8 iterations, uint8 windows) public view {
        Profile memory p = _profile();
        p.hashIterations = 1 + iterations % 9;
        p.windows = 1 + windows % 2;
        p.cycles = 1;
        bytes32[] memory points = KernelReference.walk(p, seed, lane, 768);
        assertEq(harness.replay(p, seed, lane, 1, points[0]), points[1]);
        assertEq(harness.replay(p, seed, lane, 2, points[1]), points[2]);
    }

    /// forge-config: default.fuzz.runs = 32
    /// forge-config: deep.fuzz.runs = 1000
    function testFuzz_rightProofPasses(bytes32 seed, bytes32 sampleSeed) public view {
        Profile memory p = _profile();
        (bytes32 root, WorkProof memory proof) = KernelReference.build(p, seed, sampleSeed);
        assertTrue(verifier.verify(p, seed, root, sampleSeed, 1, proof));
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: deep.fuzz.runs = 1000
    /// @dev Any one bit of any part of a right proof, or a path that is one too long or too short.
    function testFuzz_corruptedProofIsRefused(bytes32 seed, uint8 part, uint256 position, uint8 iterations) public view {
        Profile memory p = _profile();
        p.hashIterations = 1 + iterations % 5;
        (bytes32 root, WorkProof memory proof) = KernelReference.build(p, seed, SAMPLE);
        _corrupt(proof, part % 11, position);
        assertFalse(verifier.verify(p, seed, root, SAMPLE, 1, proof), vm.toString(part % 11));
    }

    function _corrupt(WorkProof memory proof, uint256 part, uint256 position) private pure {
        bytes32 bit = bytes32(1 << (position % 256));
        bytes memory leaf = proof.matmul[0].leaf;
        if (part == 0) proof.memoryRoot ^= bit;
        else if (part == 1) proof.matmulRoots[position % proof.matmulRoots.length] ^= bit;
        else if (part == 2) leaf[position % leaf.length] ^= bytes1(uint8(1 << (position >> 8) % 8));
        else if (part == 3) _flip(proof.matmul[0].path, position, bit);
        else if (part == 4) proof.first[0].endState ^= bit;
        else if (part == 5) _flip(proof.first[0].endPath, position, bit);
        else if (part == 6) proof.second[0].startState ^= bit;
        else if (part == 7) _flip(proof.second[0].startPath, position, bit);
        else if (part == 8) proof.second[0].endState ^= bit;
        else if (part == 9) _flip(proof.second[0].endPath, position, bit);
        else proof.second[0].endPath = new bytes32[](proof.second[0].endPath.length + 1 - 2 * (position % 2));
    }

    function _flip(bytes32[] memory path, uint256 position, bytes32 bit) private pure {
        path[(position >> 8) % path.length] ^= bit;
    }

    function test_anotherSeedRootOrSampleFails() public view {
        Profile memory p = _profile();
        (bytes32 root, WorkProof memory proof) = KernelReference.build(p, SEED, SAMPLE);
        assertTrue(verifier.verify(p, SEED, root, SAMPLE, 1, proof));
        assertFalse(verifier.verify(p, keccak256("other"), root, SAMPLE, 1, proof), "seed");
        assertFalse(verifier.verify(p, SEED, keccak256("other"), SAMPLE, 1, proof), "root");
        assertFalse(verifier.verify(p, SEED, root, keccak256("other"), 1, proof), "sample");
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 2, proof), "fewer answers than samples");
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 0, proof), "more answers than samples");
    }

    /// @dev Wrong dimensions: every number of the profile is checked by something the proof contains.
    function test_anotherProfileFails() public view {
        (bytes32 root, WorkProof memory proof) = KernelReference.build(_profile(), SEED, SAMPLE);
        Profile[8] memory others;
        for (uint256 i; i < 8; ++i) {
            others[i] = _profile();
        }
        others[0].memoryBytes *= 2;
        others[1].hashIterations = 2;
        others[2].lanes = 8;
        others[3].steps = 2048;
        others[4].matrixSize = 32;
        others[5].innerSize = 96;
        others[6].rounds = 3;
        others[7].lanes = 2;
        for (uint256 i; i < 8; ++i) {
            assertFalse(verifier.verify(others[i], SEED, root, SAMPLE, 1, proof), vm.toString(i));
        }
    }

    function test_changedStatesFoldsAndPathsFail() public view {
        Profile memory p = _profile();
        (bytes32 root, WorkProof memory proof) = KernelReference.build(p, SEED, SAMPLE);
        proof.first[0].endState ^= bytes32(uint256(1));
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 1, proof), "first end");
        (root, proof) = KernelReference.build(p, SEED, SAMPLE);
        proof.second[0].startState ^= bytes32(uint256(1));
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 1, proof), "second start");
        (root, proof) = KernelReference.build(p, SEED, SAMPLE);
        proof.matmul[0].leaf[0] ^= 0x01;
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 1, proof), "leaf");
        (root, proof) = KernelReference.build(p, SEED, SAMPLE);
        proof.second[0].endPath = new bytes32[](proof.second[0].endPath.length + 1);
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 1, proof), "longer path");
        (root, proof) = KernelReference.build(p, SEED, SAMPLE);
        proof.matmul[0].path = new bytes32[](0);
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 1, proof), "no path");
        (root, proof) = KernelReference.build(p, SEED, SAMPLE);
        proof.matmul[0].leaf = new bytes(8);
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 1, proof), "short leaf");
    }

    /// @dev Jump at a checkpoint: the tree is consistent, but one segment does not follow from the one before.
    function test_invalidSegmentUnderAConsistentTreeFails() public view {
        Profile memory p = _profile();
        p.steps = 512;
        p.lanes = 1;
        (, WorkProof memory proof) = KernelReference.build(p, SEED, SAMPLE);
        bytes32 forged = keccak256("forged");
        bytes32 left = keccak256(abi.encodePacked(bytes1(0), uint64(0), proof.first[0].endState));
        bytes32 right = keccak256(abi.encodePacked(bytes1(0), uint64(1), forged));
        proof.memoryRoot = keccak256(abi.encodePacked(bytes1(0x01), left, right));
        proof.first[0].endPath[0] = right;
        proof.second[0].endState = forged;
        bytes32 root = keccak256(abi.encodePacked(proof.memoryRoot, proof.matmulRoots));
        assertFalse(verifier.verify(p, SEED, root, SAMPLE, 1, proof));
    }
}
