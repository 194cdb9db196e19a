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

    /// @dev Masks that swap neighbours of 16, 32 and 64 bits: three of the four stages that reverse a word's lanes.
    uint256 private constant SWAP_16 = 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
    uint256 private constant SWAP_32 = 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
    uint256 private constant SWAP_64 = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
    /// @dev Where the nine preimages end and the sums of the eight columns begin, and where those end.
    uint256 private constant SUMS = 0x120;
    uint256 private constant SUMS_END = 0x220;

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
        uint256 saved = _enter(roundSeed, row, fold);
        uint256 words = innerSize / 32;
        for (uint256 first; first < words; first += 256) {
            _addBlock(first, words - first < 256 ? words - first : 256);
        }
        h = _foldSums();
        _leave(saved);
    }

    /// @dev Lays out nine preimages of 32 bytes from address 0 on, the row's and those of the eight columns, each a key with its
    ///      last four bytes cleared, and eight sums behind them. Fixed addresses save an addition per access. What Solidity
    ///      keeps in these words (the free memory pointer among it) is copied behind the end of the used memory and put back by
    ///      `_leave`; in between runs no code that allocates. None of these blocks claims to be memory-safe, so the compiler
    ///      keeps no local variable in memory, where they could destroy it.
    function _enter(bytes32 roundSeed, uint256 row, uint256 fold) private pure returns (uint256 saved) {
        assembly {
            saved := mload(0x40)
            if lt(saved, SUMS_END) { saved := SUMS_END }
            for { let i := 0x40 } lt(i, SUMS_END) { i := add(i, 0x20) } {
                mstore(add(saved, i), mload(i))
                mstore(i, 0)
            }
            let scratch := add(saved, SUMS_END)
            mstore(scratch, roundSeed)
            mstore(add(scratch, 0x20), or(shl(248, 0x41), shl(184, row)))
            mstore(0x00, shl(32, shr(32, keccak256(scratch, 41))))
            let tail := or(shl(248, 0x42), shl(187, fold))
            for { let i := 0x20 } lt(i, SUMS) { i := add(i, 0x20) } {
                mstore(add(scratch, 0x20), tail)
                mstore(i, shl(32, shr(32, keccak256(scratch, 41))))
                tail := add(tail, shl(184, 1))
            }
        }
    }

    function _leave(uint256 saved) private pure {
        assembly {
            for { let i := 0x40 } lt(i, SUMS_END) { i := add(i, 0x20) } { mstore(i, mload(add(saved, i))) }
        }
    }

    /// @dev Adds the products of the words `first` … `first + length - 1`. `first` is a multiple of 256 and `length` at most 256,
    ///      so that within the block only the last byte of a preimage changes. Words are taken two at a time, which halves the
    ///      loads and stores of the sums; a function for what is repeated would cost a jump per hash.
    function _addBlock(uint256 first, uint256 length) private pure {
        uint256 pairs = length & ~uint256(1);
        assembly {
            for { let i := 0x1e } lt(i, SUMS) { i := add(i, 0x20) } { mstore8(i, shr(8, first)) }
            let b
            let c
            for { let w := 0 } lt(w, pairs) { w := add(w, 2) } {
                let next := add(w, 1)
                mstore8(0x1f, w)
                b := keccak256(0x00, 0x20)
                b := or(shl(16, and(b, SWAP_16)), and(shr(16, b), SWAP_16))
                b := or(shl(32, and(b, SWAP_32)), and(shr(32, b), SWAP_32))
                b := or(shl(64, and(b, SWAP_64)), and(shr(64, b), SWAP_64))
                b := or(shl(128, b), shr(128, b))
                let low0 := and(b, LANES)
                let high0 := and(shr(8, b), LANES)
                mstore8(0x1f, next)
                c := keccak256(0x00, 0x20)
                c := or(shl(16, and(c, SWAP_16)), and(shr(16, c), SWAP_16))
                c := or(shl(32, and(c, SWAP_32)), and(shr(32, c), SWAP_32))
                c := or(shl(64, and(c, SWAP_64)), and(shr(64, c), SWAP_64))
                c := or(shl(128, c), shr(128, c))
                let low1 := and(c, LANES)
                let high1 := and(shr(8, c), LANES)
                // forgefmt: disable-start
                mstore8(0x3f, w) b := keccak256(0x20, 0x20)
                mstore8(0x3f, next) c := keccak256(0x20, 0x20)
                b := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                c := add(shr(240, mul(and(c, LANES), low1)), shr(240, mul(and(shr(8, c), LANES), high1)))
                mstore(0x120, add(mload(0x120), add(b, c)))
                mstore8(0x5f, w) b := keccak256(0x40, 0x20)
                mstore8(0x5f, next) c := keccak256(0x40, 0x20)
                b := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                c := add(shr(240, mul(and(c, LANES), low1)), shr(240, mul(and(shr(8, c), LANES), high1)))
                mstore(0x140, add(mload(0x140), add(b, c)))
                mstore8(0x7f, w) b := keccak256(0x60, 0x20)
                mstore8(0x7f, next) c := keccak256(0x60, 0x20)
                b := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                c := add(shr(240, mul(and(c, LANES), low1)), shr(240, mul(and(shr(8, c), LANES), high1)))
                mstore(0x160, add(mload(0x160), add(b, c)))
                mstore8(0x9f, w) b := keccak256(0x80, 0x20)
                mstore8(0x9f, next) c := keccak256(0x80, 0x20)
                b := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                c := add(shr(240, mul(and(c, LANES), low1)), shr(240, mul(and(shr(8, c), LANES), high1)))
                mstore(0x180, add(mload(0x180), add(b, c)))
                mstore8(0xbf, w) b := keccak256(0xa0, 0x20)
                mstore8(0xbf, next) c := keccak256(0xa0, 0x20)
                b := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                c := add(shr(240, mul(and(c, LANES), low1)), shr(240, mul(and(shr(8, c), LANES), high1)))
                mstore(0x1a0, add(mload(0x1a0), add(b, c)))
                mstore8(0xdf, w) b := keccak256(0xc0, 0x20)
                mstore8(0xdf, next) c := keccak256(0xc0, 0x20)
                b := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                c := add(shr(240, mul(and(c, LANES), low1)), shr(240, mul(and(shr(8, c), LANES), high1)))
                mstore(0x1c0, add(mload(0x1c0), add(b, c)))
                mstore8(0xff, w) b := keccak256(0xe0, 0x20)
                mstore8(0xff, next) c := keccak256(0xe0, 0x20)
                b := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                c := add(shr(240, mul(and(c, LANES), low1)), shr(240, mul(and(shr(8, c), LANES), high1)))
                mstore(0x1e0, add(mload(0x1e0), add(b, c)))
                mstore8(0x11f, w) b := keccak256(0x100, 0x20)
                mstore8(0x11f, next) c := keccak256(0x100, 0x20)
                b := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                c := add(shr(240, mul(and(c, LANES), low1)), shr(240, mul(and(shr(8, c), LANES), high1)))
                mstore(0x200, add(mload(0x200), add(b, c)))
                // forgefmt: disable-end
            }
        }
        if (pairs != length) _addWord(pairs);
    }

    /// @dev The last word of an odd number.
    function _addWord(uint256 w) private pure {
        assembly {
            let b
            mstore8(0x1f, w)
            b := keccak256(0x00, 0x20)
            b := or(shl(16, and(b, SWAP_16)), and(shr(16, b), SWAP_16))
            b := or(shl(32, and(b, SWAP_32)), and(shr(32, b), SWAP_32))
            b := or(shl(64, and(b, SWAP_64)), and(shr(64, b), SWAP_64))
            b := or(shl(128, b), shr(128, b))
            let low0 := and(b, LANES)
            let high0 := and(shr(8, b), LANES)
            for { let i := 0x20 } lt(i, SUMS) { i := add(i, 0x20) } {
                mstore8(add(i, 0x1f), w)
                b := keccak256(i, 0x20)
                let dot := add(shr(240, mul(and(b, LANES), low0)), shr(240, mul(and(shr(8, b), LANES), high0)))
                mstore(add(i, 0x100), add(mload(add(i, 0x100)), dot))
            }
        }
    }

    /// @dev For each column in order: h = rotl64((h XOR c) * ODD, 29).
    function _foldSums() private pure returns (uint64 h) {
        assembly {
            for { let i := SUMS } lt(i, SUMS_END) { i := add(i, 0x20) } {
                h := and(mul(xor(h, mload(i)), ODD), 0xffffffffffffffff)
                h := and(or(shl(29, h), shr(35, h)), 0xffffffffffffffff)
            }
        }
    }

    function _isInTree(MatmulOpening calldata opening, uint256 index, uint256 depth, bytes32 root) private pure returns (bool) {
        return KernelTree.verify(KernelTree.leafOfBytes(index, opening.leaf), index, depth, opening.path, root);
    }

    function _claimed(bytes calldata leaf, uint256 slot) private pure returns (uint64) {
        return uint64(bytes8(leaf[slot * 8:slot * 8 + 8]));
    }
}
