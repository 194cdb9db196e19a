// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title The message tree built level by level from all of its leaves
library TreeReference {
    function open(bytes32[] memory ids, uint256 index) internal pure returns (bytes32 root, bytes32[32] memory proof) {
        bytes32[] memory level = new bytes32[](ids.length);
        for (uint256 i; i < ids.length; ++i) {
            level[i] = keccak256(abi.encodePacked(bytes1(0x00), ids[i]));
        }
        bytes32 empty;
        for (uint256 h; h < 32; ++h) {
            proof[h] = (index ^ 1) < level.length ? level[index ^ 1] : empty;
            bytes32[] memory next = new bytes32[]((level.length + 1) / 2);
            for (uint256 i; i < next.length; ++i) {
                bytes32 right = 2 * i + 1 < level.length ? level[2 * i + 1] : empty;
                next[i] = keccak256(abi.encodePacked(bytes1(0x01), level[2 * i], right));
            }
            empty = keccak256(abi.encodePacked(bytes1(0x01), empty, empty));
            level = next;
            index /= 2;
        }
        root = level.length == 0 ? empty : level[0];
    }

    /// @dev Of the full proofs of both edges, what lies outside of the range at its height, left before right.
    function openRange(bytes32[] memory ids, uint256 first, uint256 count) internal pure returns (bytes32[] memory siblings) {
        (, bytes32[32] memory left) = open(ids, first);
        (, bytes32[32] memory right) = open(ids, first + count - 1);
        siblings = new bytes32[](64);
        uint256 length;
        uint256 last = first + count - 1;
        for (uint256 h; h < 32; ++h) {
            if ((first >> h) % 2 == 1) siblings[length++] = left[h];
            if ((last >> h) % 2 == 0) siblings[length++] = right[h];
        }
        assembly ("memory-safe") {
            mstore(siblings, length)
        }
    }
}
