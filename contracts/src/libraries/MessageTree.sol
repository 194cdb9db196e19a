// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Message} from "../types/Protocol.sol";

/// @title Hashes of the bridge's message tree (docs/protocol.md, section 8)
library MessageTree {
    uint256 internal constant DEPTH = 32;
    uint8 private constant MESSAGE_VERSION = 1;

    /// @dev `0x01 || be32(index) || be64(origin) || sender || be64(destination) || recipient || body`.
    function messageId(uint32 index, uint64 from, address sender, uint64 destination, address recipient, bytes calldata body)
        internal
        pure
        returns (bytes32 id)
    {
        assembly ("memory-safe") {
            // Behind the used memory, which this doesn't claim. Each store overwrites the zeros that the one before left.
            let buffer := mload(0x40)
            mstore(buffer, shl(248, MESSAGE_VERSION))
            mstore(add(buffer, 1), shl(224, index))
            mstore(add(buffer, 5), shl(192, from))
            mstore(add(buffer, 13), shl(96, sender))
            mstore(add(buffer, 33), shl(192, destination))
            mstore(add(buffer, 41), shl(96, recipient))
            calldatacopy(add(buffer, 61), body.offset, body.length)
            id := keccak256(buffer, add(61, body.length))
        }
    }

    function messageId(Message calldata m) internal pure returns (bytes32) {
        return messageId(m.index, m.origin, m.sender, m.destination, m.recipient, m.body);
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

    function rootOf(bytes32 id, uint32 index, bytes32[32] calldata proof) internal pure returns (bytes32) {
        return rootOfLeaf(leaf(id), index, proof);
    }

    /// @dev One buffer for all levels, each sibling copied straight into its half.
    function rootOfLeaf(bytes32 hash_, uint32 index, bytes32[32] calldata proof) internal pure returns (bytes32 hash) {
        hash = hash_;
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

    /// @dev What the tree's root was when leaf `index` was its last one, from that leaf's proof under any later root: what then lay
    ///      to the left is complete and never changes, what lay to the right was empty.
    function rootWhenLast(bytes32 leaf_, uint32 index, bytes32[32] calldata proof) internal pure returns (bytes32 hash) {
        hash = leaf_;
        bytes32 empty;
        for (uint256 height; height < DEPTH; ++height) {
            hash = (index >> height) & 1 == 1 ? node(proof[height], hash) : node(hash, empty);
            empty = node(empty, empty);
        }
    }

    /// @dev The leaves `first` … `first + ids.length - 1` and, per level, the siblings of the range's edges that lie outside of it.
    ///      How many there are follows from the range alone; with any other number the proof is refused. `ids` is overwritten.
    /// @return hash zero, which is no root, if the range or the number of siblings is impossible.
    function rootOfRange(bytes32[] memory ids, uint256 first, bytes32[] calldata siblings) internal pure returns (bytes32 hash) {
        uint256 length = ids.length;
        if (length == 0 || first + length > 1 << DEPTH) return 0;
        for (uint256 i; i < length; ++i) {
            ids[i] = leaf(ids[i]);
        }
        uint256 used;
        for (uint256 height; height < DEPTH; ++height) {
            uint256 last = first + length - 1;
            uint256 above;
            for (uint256 at_ = first & ~uint256(1); at_ <= last; at_ += 2) {
                // A node outside of the range, at its left or right edge, comes from the proof.
                if ((at_ < first || at_ + 1 > last) && used == siblings.length) return 0;
                bytes32 left = at_ < first ? siblings[used++] : ids[at_ - first];
                if (at_ + 1 > last && used == siblings.length) return 0;
                bytes32 right = at_ + 1 > last ? siblings[used++] : ids[at_ + 1 - first];
                ids[above++] = node(left, right);
            }
            first >>= 1;
            length = above;
        }
        return used == siblings.length ? ids[0] : bytes32(0);
    }
}
