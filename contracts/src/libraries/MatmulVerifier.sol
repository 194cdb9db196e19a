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

    function verify(
        Profile memory p,
        bytes32 roundSeed,
        bytes32 root,
        uint256 row,
        uint256 fold,
        MatmulOpening calldata opening
    ) internal pure returns (bool) {
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
        for (uint256 column = fold * 8; column < fold * 8 + 8; column += 2) {
            (uint256 first, uint256 second) =
                _dotProducts(vectors, words, _key(roundSeed, 0x42, column), _key(roundSeed, 0x42, column + 1));
            folded = _mix(_mix(folded, first), second);
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

    /// @dev Per word of the row two vectors, lanes reversed: the low bytes, then the high bytes of each 16-bit lane.
    /// @return vectors memory offset of 2 * words words beyond the free memory pointer, which stays where it is: the next call
    ///         overwrites them.
    function _rowVectors(uint256 key, uint256 words) private pure returns (uint256 vectors) {
        assembly ("memory-safe") {
            vectors := mload(0x40)
            let target := vectors
            let m16 := 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff
            let m32 := 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff
            let m64 := 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
            for { let end := add(key, words) } lt(key, end) { key := add(key, 1) } {
                mstore(0x00, key)
                let x := keccak256(0x00, 0x20)
                // Reverse the order of the sixteen lanes.
                x := or(shl(16, and(x, m16)), and(shr(16, x), m16))
                x := or(shl(32, and(x, m32)), and(shr(32, x), m32))
                x := or(shl(64, and(x, m64)), and(shr(64, x), m64))
                x := or(shl(128, x), shr(128, x))
                mstore(target, and(x, LANES))
                mstore(add(target, 0x20), and(shr(8, x), LANES))
                target := add(target, 0x40)
            }
        }
    }

    /// @dev Two columns at once, so that each of the row's vectors is loaded once for both.
    function _dotProducts(uint256 vectors, uint256 words, uint256 keyA, uint256 keyB)
        private
        pure
        returns (uint256 sumA, uint256 sumB)
    {
        assembly ("memory-safe") {
            let mask := LANES
            for { let end := add(vectors, shl(6, words)) } lt(vectors, end) { vectors := add(vectors, 0x40) } {
                let low := mload(vectors)
                let high := mload(add(vectors, 0x20))
                mstore(0x00, keyA)
                let b := keccak256(0x00, 0x20)
                sumA := add(
                    sumA,
                    add(shr(240, mul(low, and(b, mask))), shr(240, mul(high, and(shr(8, b), mask))))
                )
                mstore(0x00, keyB)
                b := keccak256(0x00, 0x20)
                sumB := add(
                    sumB,
                    add(shr(240, mul(low, and(b, mask))), shr(240, mul(high, and(shr(8, b), mask))))
                )
                keyA := add(keyA, 1)
                keyB := add(keyB, 1)
            }
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
