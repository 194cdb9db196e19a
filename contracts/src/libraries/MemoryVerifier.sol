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

    /// @dev One iteration of the outer loop is one step: mix the key in, take the address, read and absorb four units.
    function _walk(bytes32 seed, uint256 state, uint256 stepKey, uint256 firstLine, uint256 lines, uint256 iterations)
        private
        pure
        returns (uint256)
    {
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            mstore(preimage, seed)
            let tail := add(preimage, 0x20)
            let even := 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff
            for { let step := 0 } lt(step, 256) { step := add(step, 1) } {
                let x := xor(state, shr(128, state))
                // x_0 XOR x_1 XOR x_2 XOR x_3 XOR key, in the low 64 bits.
                x := and(xor(xor(x, shr(64, x)), stepKey), MASK_64)
                stepKey := add(stepKey, ODD)
                state := or(shl(192, x), shr(64, shl(64, state)))
                // 0x4d, then the number of the line's first unit as be64; the line is scaled from x_0.
                let unit := or(shl(248, 0x4d), shl(186, add(firstLine, shr(64, mul(x, lines)))))
                for { let last := add(unit, shl(186, 1)) } lt(unit, last) { unit := add(unit, shl(184, 1)) } {
                    mstore(tail, unit)
                    let h := keccak256(preimage, 41)
                    for { let i := 1 } lt(i, iterations) { i := add(i, 1) } {
                        mstore(0x00, h)
                        h := keccak256(0x00, 0x20)
                    }
                    h := xor(h, state)
                    let odd := not(even)
                    h := or(and(mul(and(h, even), ODD), even), and(mul(and(h, odd), ODD), odd))
                    // Rotate all four lanes left by 29.
                    state := or(
                        and(shl(29, h), 0xffffffffe0000000ffffffffe0000000ffffffffe0000000ffffffffe0000000),
                        and(shr(35, h), 0x000000001fffffff000000001fffffff000000001fffffff000000001fffffff)
                    )
                }
            }
        }
        return state;
    }
}
