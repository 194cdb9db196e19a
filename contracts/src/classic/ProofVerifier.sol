// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {MatmulVerifier} from "../libraries/MatmulVerifier.sol";
import {MemoryVerifier} from "../libraries/MemoryVerifier.sol";
import {Profile, WorkProof} from "../types/Protocol.sol";

/// @title Recomputes the samples of a commit from its seed
/// @dev Stateless, so a verdict can be replayed by an eth_call of anybody.
contract ProofVerifier is IProofVerifier {
    struct Sample {
        uint256 round;
        uint256 row;
        uint256 fold;
        uint256 lane;
        uint256 segment;
    }

    /// @inheritdoc IProofVerifier
    function verify(
        Profile calldata profile,
        bytes32 seed,
        bytes32 root,
        bytes32 sampleSeed,
        uint32 samples,
        WorkProof calldata proof
    ) external pure returns (bool) {
        if (proof.matmulRoots.length != profile.rounds || proof.matmul.length != samples) return false;
        if (proof.first.length != samples || proof.second.length != samples) return false;
        if (keccak256(abi.encodePacked(proof.memoryRoot, proof.matmulRoots)) != root) return false;

        Profile memory p = profile;
        bytes32[] memory roundSeeds = MatmulVerifier.roundSeeds(seed, proof.memoryRoot, proof.matmulRoots);
        for (uint256 i; i < samples; ++i) {
            Sample memory s = sample(p, sampleSeed, i);
            bytes32 roundRoot = proof.matmulRoots[s.round - 1];
            if (!MatmulVerifier.verify(p, roundSeeds[s.round - 1], roundRoot, s.row, s.fold, proof.matmul[i])) return false;
            if (!MemoryVerifier.verify(p, seed, proof.memoryRoot, s.lane, 0, proof.first[i])) return false;
            if (!MemoryVerifier.verify(p, seed, proof.memoryRoot, s.lane, s.segment, proof.second[i])) return false;
        }
        return true;
    }

    /// @notice The fold, lane and segment that sample `index` opens (docs/protocol.md, section 7).
    function sample(Profile memory p, bytes32 sampleSeed, uint256 index) public pure returns (Sample memory s) {
        uint256 h = uint256(keccak256(abi.encode(sampleSeed, index)));
        s.round = 1 + uint32(h) % p.rounds;
        s.row = uint32(h >> 32) % p.matrixSize;
        s.fold = uint32(h >> 64) % (p.matrixSize / 8);
        s.lane = uint32(h >> 96) % p.lanes;
        s.segment = 1 + uint32(h >> 128) % (p.steps / 256 - 1);
    }
}
