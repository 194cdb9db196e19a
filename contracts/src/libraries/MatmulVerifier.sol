// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {MatmulOpening, Profile} from "../types/Protocol.sol";
import {KernelTree} from "./KernelTree.sol";

/// @title Recomputes one fold (eight entries) of the matrix product (docs/protocol.md, section 5)
/// @dev Entries have 6 bits. The even and the odd bytes of a word are two vectors of 16 lanes of 16 bits; with one side's
///      lanes in reverse, the top lane of ONE wrapping 256-bit product is the dot product of the two (16 * 63^2 < 2^16).
library MatmulVerifier {
    bytes32 private constant MATMUL_TAG = keccak256("gpumkt/matmul/v1");
    uint256 private constant ODD = 0x9E3779B97F4A7C15;
    uint256 private constant LEAF_FOLDS = 128;
    /// @dev The low 6 bits of every 16-bit lane.
    uint256 private constant LANES = 0x003f003f003f003f003f003f003f003f003f003f003f003f003f003f003f003f;

    /// @return seeds of the rounds 1 … n; each needs the root of the round before it.
    function roundSeeds(bytes32 seed, bytes32 memoryRoot, bytes32[] calldata roots)
        internal
        pure
        returns (bytes32[] memory seeds)
    {
        seeds = new bytes32[](roots.length);
        bytes32 previous = memoryRoot;
        for (uint256 i; i < roots.length; ++i) {
            seed = keccak256(abi.encode(MATMUL_TAG, seed, previous));
            seeds[i] = seed;
            previous = roots[i];
        }
    }

    function verify(Profile memory p, bytes32 roundSeed, bytes32 root, uint256 row, uint256 fold, MatmulOpening calldata opening)
        internal
        pure
        returns (bool)
    {
        uint256 foldsPerRow = p.matrixSize / 8;
        uint256 leafFolds = foldsPerRow < LEAF_FOLDS ? foldsPerRow : LEAF_FOLDS;
        if (opening.leaf.length != leafFolds * 8) return false;
        uint256 leavesPerRow = foldsPerRow / leafFolds;
        uint256 depth = KernelTree.log2Up(uint256(p.matrixSize) * leavesPerRow);
        if (!_isInTree(opening, row * leavesPerRow + fold / leafFolds, depth, root)) return false;
        return foldOf(roundSeed, row, fold, p.innerSize) == _claimed(opening.leaf, fold % leafFolds);
    }

    /// @return h the fold of C[row][8 * fold … 8 * fold + 7].
    function foldOf(bytes32 roundSeed, uint256 row, uint256 fold, uint256 innerSize) internal pure returns (uint64 h) {
        uint256 words = innerSize / 32;
        uint256 vectors = _rowVectors(_key(roundSeed, 0x41, row), words);
        uint256 folded;
        for (uint256 column = fold * 8; column < fold * 8 + 8; column += 4) {
            uint256[4] memory sums = [
                _key(roundSeed, 0x42, column),
                _key(roundSeed, 0x42, column + 1),
                _key(roundSeed, 0x42, column + 2),
                _key(roundSeed, 0x42, column + 3)
            ];
            _dotProducts(vectors, words, sums);
            for (uint256 i; i < 4; ++i) {
                folded = _mix(folded, sums[i]);
            }
        }
        return uint64(folded);
    }

    function _isInTree(MatmulOpening calldata opening, uint256 index, uint256 depth, bytes32 root) private pure returns (bool) {
        return KernelTree.verify(KernelTree.leafOfBytes(index, opening.leaf), index, depth, opening.path, root);
    }

    function _claimed(bytes calldata leaf, uint256 slot) private pure returns (uint64) {
        return uint64(bytes8(leaf[slot * 8:slot * 8 + 8]));
    }

    /// @return key keccak(seed || tag || be64(i)) with its last four bytes cleared, ready to take a word number.
    function _key(bytes32 roundSeed, uint256 tag, uint256 i) private pure returns (uint256 key) {
        assembly ("memory-safe") {
            mstore(0x00, roundSeed)
            mstore(0x20, or(shl(248, tag), shl(184, i)))
            key := shl(32, shr(32, keccak256(0x00, 41)))
        }
    }

    /// @dev Per word of the row two vectors, lanes reversed: the low bytes, then the high bytes of each 16-bit lane. An odd
    ///      number of words is filled up with zeros, so that they can be taken two at a time.
    function _rowVectors(uint256 key, uint256 words) private pure returns (uint256 vectors) {
        assembly ("memory-safe") {
            vectors := mload(0x40)
            let target := vectors
            for { let end := add(key, words) } lt(key, end) { key := add(key, 1) } {
                mstore(0x00, key)
                let x := keccak256(0x00, 0x20)
                // Reverse the order of the sixteen lanes.
                let m := 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff
                x := or(shl(16, and(x, m)), and(shr(16, x), m))
                m := 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff
                x := or(shl(32, and(x, m)), and(shr(32, x), m))
                m := 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
                x := or(shl(64, and(x, m)), and(shr(64, x), m))
                x := or(shl(128, x), shr(128, x))
                mstore(target, and(x, LANES))
                mstore(add(target, 0x20), and(shr(8, x), LANES))
                target := add(target, 0x40)
            }
            mstore(target, 0)
            mstore(add(target, 0x20), 0)
            mstore(0x40, add(target, 0x40))
        }
    }

    /// @dev Four columns and two words at once: the row's vectors are loaded once for all of them.
    /// @param io the keys of the columns going in, the dot products coming out.
    function _dotProducts(uint256 vectors, uint256 words, uint256[4] memory io) private pure {
        assembly ("memory-safe") {
            let keyA := mload(io)
            let keyB := mload(add(io, 0x20))
            let keyC := mload(add(io, 0x40))
            let keyD := mload(add(io, 0x60))
            let sumA := 0
            let sumB := 0
            let sumC := 0
            let sumD := 0
            let b
            for { let end := add(vectors, shl(6, words)) } lt(vectors, end) { vectors := add(vectors, 0x80) } {
                let low := mload(vectors)
                let high := mload(add(vectors, 0x20))
                mstore(0x00, keyA)
                b := keccak256(0x00, 0x20)
                sumA := add(add(shr(240, mul(and(b, LANES), low)), shr(240, mul(and(shr(8, b), LANES), high))), sumA)
                mstore(0x00, keyB)
                b := keccak256(0x00, 0x20)
                sumB := add(add(shr(240, mul(and(b, LANES), low)), shr(240, mul(and(shr(8, b), LANES), high))), sumB)
                mstore(0x00, keyC)
                b := keccak256(0x00, 0x20)
                sumC := add(add(shr(240, mul(and(b, LANES), low)), shr(240, mul(and(shr(8, b), LANES), high))), sumC)
                mstore(0x00, keyD)
                b := keccak256(0x00, 0x20)
                sumD := add(add(shr(240, mul(and(b, LANES), low)), shr(240, mul(and(shr(8, b), LANES), high))), sumD)
                low := mload(add(vectors, 0x40))
                high := mload(add(vectors, 0x60))
                mstore(0x00, add(keyA, 1))
                b := keccak256(0x00, 0x20)
                sumA := add(add(shr(240, mul(and(b, LANES), low)), shr(240, mul(and(shr(8, b), LANES), high))), sumA)
                keyA := add(keyA, 2)
                mstore(0x00, add(keyB, 1))
                b := keccak256(0x00, 0x20)
                sumB := add(add(shr(240, mul(and(b, LANES), low)), shr(240, mul(and(shr(8, b), LANES), high))), sumB)
                keyB := add(keyB, 2)
                mstore(0x00, add(keyC, 1))
                b := keccak256(0x00, 0x20)
                sumC := add(add(shr(240, mul(and(b, LANES), low)), shr(240, mul(and(shr(8, b), LANES), high))), sumC)
                keyC := add(keyC, 2)
                mstore(0x00, add(keyD, 1))
                b := keccak256(0x00, 0x20)
                sumD := add(add(shr(240, mul(and(b, LANES), low)), shr(240, mul(and(shr(8, b), LANES), high))), sumD)
                keyD := add(keyD, 2)
            }
            mstore(io, sumA)
            mstore(add(io, 0x20), sumB)
            mstore(add(io, 0x40), sumC)
            mstore(add(io, 0x60), sumD)
        }
    }

    /// @dev rotl64((h XOR c) * ODD, 29)
    function _mix(uint256 h, uint256 c) private pure returns (uint256) {
        unchecked {
            uint256 x = uint64((h ^ c) * ODD);
            return uint64((x << 29) | (x >> 35));
        }
    }
}
