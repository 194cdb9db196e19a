// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Merkle trees of the two kernels (docs/protocol.md, section 3)
library KernelTree {
    /// @return whether `leaf` is leaf number `index` of the tree of 2^depth leaves under `root`; the path's length is fixed.
    function verify(bytes32 leaf, uint256 index, uint256 depth, bytes32[] calldata path, bytes32 root)
        internal
        pure
        returns (bool)
    {
        if (path.length != depth || index >> depth != 0) return false;
        bytes32 hash = leaf;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore8(buffer, 0x01)
            let left := add(buffer, 0x01)
            let right := add(buffer, 0x21)
            for {
                let at_ := path.offset
                let end := add(at_, shl(5, depth))
            } lt(at_, end) { at_ := add(at_, 0x20) } {
                switch and(index, 1)
                case 0 {
                    mstore(left, hash)
                    calldatacopy(right, at_, 0x20)
                }
                default {
                    calldatacopy(left, at_, 0x20)
                    mstore(right, hash)
                }
                hash := keccak256(buffer, 0x41)
                index := shr(1, index)
            }
        }
        return hash == root;
    }

    /// @dev `0x00 || be64(index) || content`.
    function leafOfWord(uint256 index, bytes32 content) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), uint64(index), content));
    }

    function leafOfBytes(uint256 index, bytes calldata content) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), uint64(index), content));
    }

    /// @return depth smallest with 2^depth >= x.
    function log2Up(uint256 x) internal pure returns (uint256 depth) {
        while (1 << depth < x) ++depth;
    }
}
