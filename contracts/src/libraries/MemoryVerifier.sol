// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Profile, SegmentOpening} from "../types/Protocol.sol";
import {KernelTree} from "./KernelTree.sol";

/// @title Replays one segment (256 steps) of a lane's walk through memory (docs/protocol.md, section 4)
/// @dev The four u64 of a state are the four 64-bit lanes of one word, x_0 on top: the bytes of a checkpoint. Multiplying the
///      even lanes and the odd lanes apart leaves each product room, so one MUL does two of them.
library MemoryVerifier {
    uint256 private constant ODD = 0x9E3779B97F4A7C15;
    uint256 private constant SEGMENT_STEPS = 256;
    uint256 private constant LINE_BYTES = 128;
    uint256 private constant MASK_64 = 0xffffffffffffffff;
    uint256 private constant EVEN_LANES = 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
    uint256 private constant ODD_LANES = 0xffffffffffffffff0000000000000000ffffffffffffffff0000000000000000;
    /// @dev What a rotation by 29 moves up and what comes in from below, in each lane.
    uint256 private constant HIGH_35 = 0xffffffffe0000000ffffffffe0000000ffffffffe0000000ffffffffe0000000;
    uint256 private constant LOW_29 = 0x000000001fffffff000000001fffffff000000001fffffff000000001fffffff;

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

    /// @dev One iteration of the loop is one step: mix the key in, take the address, read and absorb the line's four units.
    ///      Everything is unrolled for the usual numbers of hash iterations; the others pay for a loop.
    function _walk(bytes32 seed, uint256 state, uint256 stepKey, uint256 firstLine, uint256 lines, uint256 iterations)
        private
        pure
        returns (uint256)
    {
        assembly ("memory-safe") {
            // The preimage of a unit: seed, 0x4d, be64(number); its last 9 bytes lie in the second word.
            function unit(preimage, position) -> h {
                mstore(add(preimage, 0x20), position)
                h := keccak256(preimage, 41)
            }
            function again(word) -> h {
                mstore(0x00, word)
                h := keccak256(0x00, 0x20)
            }
            // All four lanes: x = rotl64((x XOR word) * ODD, 29).
            function absorb(before, word) -> after_ {
                let x := xor(before, word)
                let even := and(x, EVEN_LANES)
                x := or(and(mul(even, ODD), EVEN_LANES), and(mul(xor(x, even), ODD), ODD_LANES))
                after_ := or(and(shl(29, x), HIGH_35), and(shr(35, x), LOW_29))
            }
            // The state after the step's key was mixed in, and the number of the line's first unit behind its 0x4d byte.
            function step(before, key, first, count) -> after_, position {
                let x := xor(before, shr(128, before))
                // x_0 XOR x_1 XOR x_2 XOR x_3 XOR key, in the low 64 bits.
                x := and(xor(xor(x, shr(64, x)), key), MASK_64)
                after_ := or(shl(192, x), shr(64, shl(64, before)))
                position := or(shl(248, 0x4d), shl(186, add(first, shr(64, mul(x, count)))))
            }

            let preimage := mload(0x40)
            mstore(preimage, seed)
            let position
            let last := add(stepKey, mul(SEGMENT_STEPS, ODD))
            switch iterations
            case 1 {
                for {} lt(stepKey, last) { stepKey := add(stepKey, ODD) } {
                    state, position := step(state, stepKey, firstLine, lines)
                    state := absorb(state, unit(preimage, position))
                    state := absorb(state, unit(preimage, add(position, shl(184, 1))))
                    state := absorb(state, unit(preimage, add(position, shl(184, 2))))
                    state := absorb(state, unit(preimage, add(position, shl(184, 3))))
                }
            }
            case 4 {
                for {} lt(stepKey, last) { stepKey := add(stepKey, ODD) } {
                    state, position := step(state, stepKey, firstLine, lines)
                    state := absorb(state, again(again(again(unit(preimage, position)))))
                    state := absorb(state, again(again(again(unit(preimage, add(position, shl(184, 1)))))))
                    state := absorb(state, again(again(again(unit(preimage, add(position, shl(184, 2)))))))
                    state := absorb(state, again(again(again(unit(preimage, add(position, shl(184, 3)))))))
                }
            }
            default {
                for {} lt(stepKey, last) { stepKey := add(stepKey, ODD) } {
                    state, position := step(state, stepKey, firstLine, lines)
                    for { let end := add(position, shl(186, 1)) } lt(position, end) { position := add(position, shl(184, 1)) } {
                        let h := unit(preimage, position)
                        for { let i := 1 } lt(i, iterations) { i := add(i, 1) } { h := again(h) }
                        state := absorb(state, h)
                    }
                }
            }
        }
        return state;
    }
}
