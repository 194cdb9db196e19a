// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Profile, SegmentOpening} from "../types/Protocol.sol";
import {KernelTree} from "./KernelTree.sol";

/// @title Replays one segment (256 steps) of a lane's walk through memory (docs/protocol.md, section 4)
/// @dev The four u64 of a state are the four 64-bit lanes of one word, x_0 on top: the bytes of a checkpoint. The walk keeps the
///      even lanes (x_1, x_3) and the odd ones (x_0, x_2) in two words, each lane in the upper half of 128 bits; whatever stands
///      in the lower half is noise that the next masking removes. Absorbing a word takes, for two lanes at once:
///      1. `and(…, EVEN_LANES)`: x XOR word, moved to the lower halves, so that a product has room.
///      2. `mul(…, ODD_29)`: the product with ODD, already shifted left by 29. A lane has a product of 157 bits; the 29 that enter
///         the lane above lie below that lane's own product, whose 29 lowest bits are zero: no carry reaches the bits used.
///      3. `and(…, PRODUCT_64)`: the 64 bits of the product modulo 2^64, now 29 bits higher up.
///      4. `mul(…, TWICE)`: adds the same 64 bits 64 places higher up, which overlaps nowhere; the upper half of each 128 bits
///         then holds them rotated by 29.
library MemoryVerifier {
    uint256 private constant ODD = 0x9E3779B97F4A7C15;
    uint256 private constant SEGMENT_STEPS = 256;
    uint256 private constant LINE_BYTES = 128;
    /// @dev ODD, and all bits, in the uppermost 64 bits.
    uint256 private constant ODD_TOP = 0x9e3779b97f4a7c15000000000000000000000000000000000000000000000000;
    uint256 private constant TOP_64 = 0xffffffffffffffff000000000000000000000000000000000000000000000000;
    uint256 private constant EVEN_LANES = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
    uint256 private constant ODD_29 = 0x13c6ef372fe94f82a0000000;
    /// @dev Bits 29 … 92 of each half.
    uint256 private constant PRODUCT_64 = 0x000000001fffffffffffffffe0000000000000001fffffffffffffffe0000000;
    uint256 private constant TWICE = 0x10000000000000001;

    function verify(
        Profile memory p,
        bytes32 seed,
        bytes32 memoryRoot,
        uint256 lane,
        uint256 segment,
        SegmentOpening calldata opening
    ) internal pure returns (bool) {
        uint256 perLane = 1 << KernelTree.log2Up(p.steps / SEGMENT_STEPS);
        uint256 depth = KernelTree.log2Up(uint256(p.lanes) * perLane);
        uint256 leaf = lane * perLane + segment;
        bytes32 state;
        if (segment == 0) {
            state = initialState(seed, lane);
        } else {
            state = opening.startState;
            bytes32 start = KernelTree.leafOfWord(leaf - 1, state);
            if (!KernelTree.verify(start, leaf - 1, depth, opening.startPath, memoryRoot)) return false;
        }
        bytes32 end = KernelTree.leafOfWord(leaf, opening.endState);
        if (!KernelTree.verify(end, leaf, depth, opening.endPath, memoryRoot)) return false;
        return replay(p, seed, lane, segment, state) == opening.endState;
    }

    function initialState(bytes32 seed, uint256 lane) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(seed, uint8(0x4c), uint64(lane)));
    }

    /// @return the state after the 256 steps of the segment.
    function replay(Profile memory p, bytes32 seed, uint256 lane, uint256 segment, bytes32 state)
        internal
        pure
        returns (bytes32)
    {
        (uint256 firstLine, uint256 lines) = _window(p, segment);
        return bytes32(_walk(seed, uint256(state), _firstKey(seed, lane, segment), firstLine, lines, p.hashIterations));
    }

    /// @dev Steps per window and cycle are a multiple of 256, so a segment stays within one window.
    function _window(Profile memory p, uint256 segment) private pure returns (uint256 firstLine, uint256 lines) {
        lines = p.memoryBytes / LINE_BYTES / p.windows;
        firstLine = (segment * SEGMENT_STEPS / (p.steps / (uint256(p.windows) * p.cycles))) % p.windows * lines;
    }

    /// @return stepKey laneKey + t * ODD for the segment's first step t; only its low 64 bits matter.
    function _firstKey(bytes32 seed, uint256 lane, uint256 segment) private pure returns (uint256 stepKey) {
        uint256 laneKey = uint256(keccak256(abi.encodePacked(seed, uint8(0x6b), uint64(lane)))) >> 192;
        unchecked {
            stepKey = laneKey + segment * SEGMENT_STEPS * ODD;
        }
    }

    /// @dev A step mixes the key in, takes the address, reads and absorbs the line's four units. Two steps are one iteration of a
    ///      loop, unrolled for the usual numbers of hash iterations; the others pay for loops. A unit's preimage of 41 bytes lies
    ///      at 0x20, a hash that is hashed again at 0x00. The preimage runs over the free memory pointer, which is put back at
    ///      the end; the blocks don't claim to be memory-safe, so the compiler keeps no variable in memory meanwhile.
    ///      `base` plus a unit's number is the last word of its preimage: 23 bytes of the seed, 0x4d, be64(number).
    ///      x_0 takes in x_1, x_2, x_3 and the key in the uppermost 64 bits, where the key wraps by itself.
    function _walk(bytes32 seed, uint256 state, uint256 key, uint256 firstLine, uint256 lines, uint256 iterations)
        private
        pure
        returns (uint256)
    {
        uint256 base = (uint256(seed) << 72) | (0x4d << 64) | (firstLine << 2);
        key <<= 192;
        if (iterations == 1) return _walkOnce(seed, state, key, base, lines);
        if (iterations == 4) return _walkFour(seed, state, key, base, lines);
        return _walkAny(seed, state, key, base, lines, iterations);
    }

    /// @dev One hash per unit.
    function _walkOnce(bytes32 seed, uint256 state, uint256 key, uint256 base, uint256 lines)
        private
        pure
        returns (uint256 result)
    {
        assembly {
            let pointer := mload(0x40)
            mstore(0x20, seed)
            let even := shl(64, state)
            let odd := state
            let x
            let position
            for { let last := add(key, mul(SEGMENT_STEPS, ODD_TOP)) } xor(key, last) {} {
                // A step.
                odd := xor(odd, and(xor(xor(even, shl(128, xor(even, odd))), key), TOP_64))
                position := add(base, shl(2, shr(64, mul(shr(192, odd), lines))))
                mstore(0x29, position)
                x := keccak256(0x20, 41)
                even := and(mul(and(xor(shr(64, even), x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 1))
                x := keccak256(0x20, 41)
                even := and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 2))
                x := keccak256(0x20, 41)
                even := and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 3))
                x := keccak256(0x20, 41)
                even := mul(and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                key := add(key, ODD_TOP)
                // The next one.
                odd := xor(odd, and(xor(xor(even, shl(128, xor(even, odd))), key), TOP_64))
                position := add(base, shl(2, shr(64, mul(shr(192, odd), lines))))
                mstore(0x29, position)
                x := keccak256(0x20, 41)
                even := and(mul(and(xor(shr(64, even), x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 1))
                x := keccak256(0x20, 41)
                even := and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 2))
                x := keccak256(0x20, 41)
                even := and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 3))
                x := keccak256(0x20, 41)
                even := mul(and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                key := add(key, ODD_TOP)
            }
            result := or(and(shr(64, even), EVEN_LANES), and(odd, not(EVEN_LANES)))
            mstore(0x40, pointer)
        }
    }

    /// @dev Four hashes per unit.
    function _walkFour(bytes32 seed, uint256 state, uint256 key, uint256 base, uint256 lines)
        private
        pure
        returns (uint256 result)
    {
        assembly {
            let pointer := mload(0x40)
            mstore(0x20, seed)
            let even := shl(64, state)
            let odd := state
            let x
            let position
            for { let last := add(key, mul(SEGMENT_STEPS, ODD_TOP)) } xor(key, last) {} {
                // A step.
                odd := xor(odd, and(xor(xor(even, shl(128, xor(even, odd))), key), TOP_64))
                position := add(base, shl(2, shr(64, mul(shr(192, odd), lines))))
                mstore(0x29, position)
                x := keccak256(0x20, 41)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                even := and(mul(and(xor(shr(64, even), x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 1))
                x := keccak256(0x20, 41)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                even := and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 2))
                x := keccak256(0x20, 41)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                even := and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 3))
                x := keccak256(0x20, 41)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                even := mul(and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                key := add(key, ODD_TOP)
                // The next one.
                odd := xor(odd, and(xor(xor(even, shl(128, xor(even, odd))), key), TOP_64))
                position := add(base, shl(2, shr(64, mul(shr(192, odd), lines))))
                mstore(0x29, position)
                x := keccak256(0x20, 41)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                even := and(mul(and(xor(shr(64, even), x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 1))
                x := keccak256(0x20, 41)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                even := and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 2))
                x := keccak256(0x20, 41)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                even := and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64)
                even := or(even, shr(64, even))
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                mstore(0x29, add(position, 3))
                x := keccak256(0x20, 41)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                mstore(0x00, x)
                x := keccak256(0x00, 0x20)
                even := mul(and(mul(and(xor(even, x), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                key := add(key, ODD_TOP)
            }
            result := or(and(shr(64, even), EVEN_LANES), and(odd, not(EVEN_LANES)))
            mstore(0x40, pointer)
        }
    }

    /// @dev `base` leaves room for the number in its low 64 bits, so `position` can't overflow for a profile that fits memory.
    function _walkAny(bytes32 seed, uint256 state, uint256 key, uint256 base, uint256 lines, uint256 iterations)
        private
        pure
        returns (uint256 result)
    {
        assembly {
            let pointer := mload(0x40)
            mstore(0x20, seed)
            let even := shl(64, state)
            let odd := state
            let x
            let position
            for { let last := add(key, mul(SEGMENT_STEPS, ODD_TOP)) } xor(key, last) { key := add(key, ODD_TOP) } {
                odd := xor(odd, and(xor(xor(even, shl(128, xor(even, odd))), key), TOP_64))
                position := add(base, shl(2, shr(64, mul(shr(192, odd), lines))))
                for { let end := add(position, 4) } lt(position, end) { position := add(position, 1) } {
                    mstore(0x29, position)
                    x := keccak256(0x20, 41)
                    for { let i := 1 } lt(i, iterations) { i := add(i, 1) } {
                        mstore(0x00, x)
                        x := keccak256(0x00, 0x20)
                    }
                    even := mul(and(mul(and(xor(shr(64, even), x), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                    odd := mul(and(mul(and(shr(64, xor(odd, x)), EVEN_LANES), ODD_29), PRODUCT_64), TWICE)
                }
            }
            result := or(and(shr(64, even), EVEN_LANES), and(odd, not(EVEN_LANES)))
            mstore(0x40, pointer)
        }
    }
}
