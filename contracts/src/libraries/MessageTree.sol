// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Message} from "../types/Protocol.sol";

/// @title Hashes of the bridge's message tree (docs/protocol.md, section 8)
library MessageTree {
    uint256 internal constant DEPTH = 32;
    uint8 private constant MESSAGE_VERSION = 1;

    function messageId(Message memory message) internal pure returns (bytes32) {
        return keccak256(
            abi.encodePacked(
                MESSAGE_VERSION,
                message.index,
                message.origin,
                message.sender,
                message.destination,
                message.recipient,
                message.body
            )
        );
    }

    /// @dev `0x00 || id`: leaves and nodes hash in separate domains.
    function leaf(bytes32 id) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore8(0x00, 0x00)
            mstore(0x01, id)
            hash := keccak256(0x00, 33)
        }
    }

    /// @dev `0x01 || left || right`.
    function node(bytes32 left, bytes32 right) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            // 65 bytes run into the free memory pointer's slot, so they are built above it.
            let buffer := mload(0x40)
            mstore8(buffer, 0x01)
            mstore(add(buffer, 1), left)
            mstore(add(buffer, 33), right)
            hash := keccak256(buffer, 65)
        }
    }

    /// @dev One buffer for all levels, each sibling copied straight into its half.
    function rootOf(bytes32 id, uint32 index, bytes32[32] calldata proof) internal pure returns (bytes32 hash) {
        hash = leaf(id);
        assembly ("memory-safe") {
            // Behind the used memory, which these 65 bytes don't claim.
            let buffer := mload(0x40)
            mstore8(buffer, 0x01)
            let left := add(buffer, 0x01)
            let right := add(buffer, 0x21)
            let path := index
            // A static array of 32 words: calldata decoding checked that all of it is there.
            let sibling := proof
            for { let end := add(sibling, 0x400) } lt(sibling, end) { sibling := add(sibling, 0x20) } {
                // The hash goes to the right half where the bit is set, its sibling to the other one.
                let shift := shl(5, and(path, 1))
                mstore(add(left, shift), hash)
                calldatacopy(sub(right, shift), sibling, 0x20)
                hash := keccak256(buffer, 0x41)
                path := shr(1, path)
            }
        }
    }
}
