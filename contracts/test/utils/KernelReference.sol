// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {MatmulOpening, Profile, SegmentOpening, WorkProof} from "../../src/types/Protocol.sol";

/// @title Both kernels written down as docs/protocol.md states them, one operation at a time
/// @dev Builds what one sample opens: the whole lane and the whole leaf are computed, the rest of the trees is noise, which no
///      verifier that sees only this sample can tell from the truth.
library KernelReference {
    uint64 private constant ODD = 0x9E3779B97F4A7C15;

    struct Sample {
        uint256 round;
        uint256 row;
        uint256 fold;
        uint256 lane;
        uint256 segment;
    }

    function sample(Profile memory p, bytes32 sampleSeed) internal pure returns (Sample memory s) {
        uint256 h = uint256(keccak256(abi.encode(sampleSeed, uint256(0))));
        s.round = 1 + (h & 0xffffffff) % p.rounds;
        s.row = ((h >> 32) & 0xffffffff) % p.matrixSize;
        s.fold = ((h >> 64) & 0xffffffff) % (p.matrixSize / 8);
        s.lane = ((h >> 96) & 0xffffffff) % p.lanes;
        s.segment = 1 + ((h >> 128) & 0xffffffff) % (p.steps / 256 - 1);
    }

    function build(Profile memory p, bytes32 seed, bytes32 sampleSeed)
        internal
        pure
        returns (bytes32 root, WorkProof memory proof)
    {
        Sample memory s = sample(p, sampleSeed);
        proof.first = new SegmentOpening[](1);
        proof.second = new SegmentOpening[](1);
        proof.matmul = new MatmulOpening[](1);
        proof.matmulRoots = new bytes32[](p.rounds);
        proof.memoryRoot = _openLane(p, seed, s, proof);
        bytes32 previous = proof.memoryRoot;
        for (uint256 r = 1; r <= p.rounds; ++r) {
            seed = keccak256(abi.encode(keccak256("gpumkt/matmul/v1"), seed, previous));
            previous = r == s.round ? _openFold(p, seed, s, proof) : keccak256(abi.encode("noise", r, seed));
            proof.matmulRoots[r - 1] = previous;
        }
        root = keccak256(abi.encodePacked(proof.memoryRoot, proof.matmulRoots));
    }

    // ------------------------------------------------------------------------------------------ memory

    function walk(Profile memory p, bytes32 seed, uint256 lane, uint256 steps) internal pure returns (bytes32[] memory points) {
        points = new bytes32[](steps / 256);
        uint64[4] memory x = _words(keccak256(abi.encodePacked(seed, bytes1(0x4c), uint64(lane))));
        uint64 key = _words(keccak256(abi.encodePacked(seed, bytes1(0x6b), uint64(lane))))[0];
        uint256 lines = p.memoryBytes / 128 / p.windows;
        uint256 perWindow = p.steps / (p.windows * p.cycles);
        unchecked {
            for (uint256 t; t < steps; ++t) {
                uint256 window = (t / perWindow) % p.windows;
                x[0] = x[0] ^ x[1] ^ x[2] ^ x[3] ^ (key + uint64(t) * ODD);
                uint256 line = window * lines + ((uint256(x[0]) * lines) >> 64);
                for (uint256 k; k < 4; ++k) {
                    uint64[4] memory w = _words(unit(p, seed, 4 * line + k));
                    for (uint256 j; j < 4; ++j) {
                        x[j] = _rotate((x[j] ^ w[j]) * ODD);
                    }
                }
                if (t % 256 == 255) points[t / 256] = bytes32(abi.encodePacked(x[0], x[1], x[2], x[3]));
            }
        }
    }

    function unit(Profile memory p, bytes32 seed, uint256 number) internal pure returns (bytes32 h) {
        h = keccak256(abi.encodePacked(seed, bytes1(0x4d), uint64(number)));
        for (uint256 i = 1; i < p.hashIterations; ++i) {
            h = keccak256(abi.encodePacked(h));
        }
    }

    function _openLane(Profile memory p, bytes32 seed, Sample memory s, WorkProof memory proof)
        private
        pure
        returns (bytes32 root)
    {
        bytes32[] memory points = walk(p, seed, s.lane, p.steps);
        uint256 perLane = 1;
        while (perLane < points.length) perLane *= 2;
        bytes32[] memory leaves = new bytes32[](perLane);
        for (uint256 i; i < points.length; ++i) {
            leaves[i] = keccak256(abi.encodePacked(bytes1(0), uint64(s.lane * perLane + i), points[i]));
        }
        uint256 upper = _log2(p.lanes);
        proof.first[0].endState = points[0];
        (root, proof.first[0].endPath) = _climb(leaves, 0, s.lane, upper);
        proof.second[0].startState = points[s.segment - 1];
        (, proof.second[0].startPath) = _climb(leaves, s.segment - 1, s.lane, upper);
        proof.second[0].endState = points[s.segment];
        (, proof.second[0].endPath) = _climb(leaves, s.segment, s.lane, upper);
    }

    // ------------------------------------------------------------------------------------------ matmul

    /// @dev Word `number` of row or column `line`.
    function word(bytes32 roundSeed, bytes1 side, uint256 line, uint256 number) internal pure returns (bytes32) {
        bytes32 key = keccak256(abi.encodePacked(roundSeed, side, uint64(line)));
        return keccak256(abi.encodePacked(bytes28(key), uint32(number)));
    }

    function fold(bytes32 roundSeed, uint256 row, uint256 number, uint256 innerSize) internal pure returns (uint64 h) {
        for (uint256 column = 8 * number; column < 8 * number + 8; ++column) {
            uint256 c;
            for (uint256 w; w < innerSize / 32; ++w) {
                bytes32 a = word(roundSeed, 0x41, row, w);
                bytes32 b = word(roundSeed, 0x42, column, w);
                for (uint256 t; t < 32; ++t) {
                    c += uint256(uint8(a[t]) & 0x3f) * (uint8(b[t]) & 0x3f);
                }
            }
            unchecked {
                h = _rotate((h ^ uint64(c)) * ODD);
            }
        }
    }

    function _openFold(Profile memory p, bytes32 roundSeed, Sample memory s, WorkProof memory proof)
        private
        pure
        returns (bytes32 root)
    {
        uint256 perRow = p.matrixSize / 8;
        uint256 perLeaf = perRow < 128 ? perRow : 128;
        bytes memory content;
        for (uint256 g; g < perLeaf; ++g) {
            uint64 value = g == s.fold % perLeaf ? fold(roundSeed, s.row, s.fold, p.innerSize) : uint64(g);
            content = abi.encodePacked(content, value);
        }
        uint256 index = s.row * (perRow / perLeaf) + s.fold / perLeaf;
        bytes32[] memory leaves = new bytes32[](1);
        leaves[0] = keccak256(abi.encodePacked(bytes1(0), uint64(index), content));
        proof.matmul[0].leaf = content;
        (root, proof.matmul[0].path) = _climb(leaves, 0, index, _log2(p.matrixSize * (perRow / perLeaf)));
    }

    // ------------------------------------------------------------------------------------------- trees

    /// @dev Path of `leaves[i]` to the root of its subtree, then `upper` more levels with made-up siblings.
    function _climb(bytes32[] memory leaves, uint256 i, uint256 subtree, uint256 upper)
        private
        pure
        returns (bytes32 root, bytes32[] memory path)
    {
        uint256 lower = _log2(leaves.length);
        path = new bytes32[](lower + upper);
        bytes32[] memory level = leaves;
        for (uint256 h; h < lower; ++h) {
            path[h] = level[i ^ 1];
            bytes32[] memory next = new bytes32[](level.length / 2);
            for (uint256 k; k < next.length; ++k) {
                next[k] = _node(level[2 * k], level[2 * k + 1]);
            }
            level = next;
            i /= 2;
        }
        root = level[0];
        for (uint256 h; h < upper; ++h) {
            bytes32 sibling = keccak256(abi.encode("sibling", h));
            path[lower + h] = sibling;
            root = (subtree >> h) & 1 == 1 ? _node(sibling, root) : _node(root, sibling);
        }
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x01), left, right));
    }

    function _words(bytes32 b) private pure returns (uint64[4] memory w) {
        for (uint256 i; i < 4; ++i) {
            w[i] = uint64(uint256(b) >> (192 - 64 * i));
        }
    }

    function _rotate(uint64 x) private pure returns (uint64) {
        return (x << 29) | (x >> 35);
    }

    function _log2(uint256 x) private pure returns (uint256 n) {
        while (1 << n < x) ++n;
    }
}
