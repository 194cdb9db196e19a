// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {WorkReceipt} from "../types/Protocol.sol";

/// @title Who witnesses a commit, and what their times amount to (docs/protocol.md, section 6)
library Receipts {
    bytes32 private constant COMMITTEE_TAG = keccak256("gpumkt/committee/v1");
    bytes32 private constant SHARD_TAG = keccak256("gpumkt/shard/v1");
    bytes32 private constant REFUSAL_TYPEHASH =
        keccak256("NoOpening(uint64 challengeBlock,uint64 deviceId,bytes32 blockHash,bytes32 root)");
    bytes32 private constant RECEIPT_TYPEHASH =
        keccak256("WorkReceipt(uint64 challengeBlock,uint64 deviceId,bytes32 blockHash,bytes32 root,uint32 elapsedMs)");

    function structHash(WorkReceipt memory receipt) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                RECEIPT_TYPEHASH, receipt.challengeBlock, receipt.deviceId, receipt.blockHash, receipt.root, receipt.elapsedMs
            )
        );
    }

    function refusalHash(uint64 challengeBlock, uint64 deviceId, bytes32 blockHash, bytes32 root)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(REFUSAL_TYPEHASH, challengeBlock, deviceId, blockHash, root));
    }

    /// @dev Of `shards` shards, number s seats the Queens s, s + shards, s + 2 * shards and so on.
    function shardOf(bytes32 shardSeed, address provider, uint256 shards) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(SHARD_TAG, shardSeed, provider))) % shards;
    }

    /// @notice The committee among the Queens of the provider's shard.
    function shardCommittee(
        bytes32 blockHash,
        address provider,
        uint64 deviceId,
        uint256 queens,
        uint256 size,
        uint256 shards,
        bytes32 shardSeed
    ) internal pure returns (uint16[] memory members) {
        uint256 shard = shardOf(shardSeed, provider, shards);
        members = committee(blockHash, provider, deviceId, (queens + shards - 1 - shard) / shards, size);
        for (uint256 i; i < members.length; ++i) {
            members[i] = uint16(members[i] * shards + shard);
        }
    }

    /// @dev What is the same in every receipt of a commit, laid out for `digestOf`: the struct's six words, of which the last is left
    ///      to each receipt, then `0x1901`, the domain separator and room for the struct's hash.
    function layout(bytes32 domain, uint64 challengeBlock, uint64 deviceId, bytes32 blockHash, bytes32 root)
        internal
        pure
        returns (bytes memory)
    {
        bytes32[5] memory fields =
            [RECEIPT_TYPEHASH, bytes32(uint256(challengeBlock)), bytes32(uint256(deviceId)), blockHash, root];
        return abi.encodePacked(fields, bytes32(0), hex"1901", domain, bytes32(0));
    }

    /// @return digest that a Queen signs.
    function digestOf(bytes memory prepared, uint32 elapsedMs) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            // `prepared` has 258 bytes of content: 192 of the struct, 2, 32, 32.
            let content := add(prepared, 0x20)
            mstore(add(content, 160), and(elapsedMs, 0xffffffff))
            mstore(add(content, 226), keccak256(content, 192))
            digest := keccak256(add(content, 192), 66)
        }
    }

    /// @return members indices into the Queen set, ascending.
    function committee(bytes32 blockHash, address provider, uint64 deviceId, uint256 queens, uint256 size)
        internal
        pure
        returns (uint16[] memory members)
    {
        if (size > queens) size = queens;
        bytes32 seed = keccak256(abi.encode(COMMITTEE_TAG, blockHash, provider, deviceId));
        uint256[] memory index = new uint256[](queens);
        members = new uint16[](size);
        // Positions stay below `queens` and `size`, the lengths of the two arrays: i < size <= queens, and i <= j < queens.
        assembly ("memory-safe") {
            let list := add(index, 0x20)
            for { let i := 1 } lt(i, queens) { i := add(i, 1) } { mstore(add(list, shl(5, i)), i) }
            mstore(0x00, seed)
            for { let i := 0 } lt(i, size) { i := add(i, 1) } {
                mstore(0x20, i)
                let at_ := add(list, shl(5, i))
                let other := add(at_, shl(5, mod(keccak256(0x00, 0x40), sub(queens, i))))
                let member := mload(other)
                mstore(other, mload(at_))
                mstore(at_, member)
                // Insertion into the members before it, which ascend.
                let to := add(add(members, 0x20), shl(5, i))
                for {} and(gt(to, add(members, 0x20)), gt(mload(sub(to, 0x20)), member)) { to := sub(to, 0x20) } {
                    mstore(to, mload(sub(to, 0x20)))
                }
                mstore(to, member)
            }
        }
    }

    function contains(uint16[] memory members, uint16 member) internal pure returns (bool) {
        uint256 length = members.length;
        // The index stays below the length.
        unchecked {
            for (uint256 i; i < length; ++i) {
                if (members[i] == member) return true;
            }
        }
        return false;
    }

    /// @dev The median of a committee of `size`, missing receipts counted as the slowest, so that leaving out receipts gains nothing. Of an
    /// even number, the upper of the two in the middle. Two thirds of the committee must be there. `times` is sorted in place.
    function median(uint32[] memory times, uint256 size) internal pure returns (uint32) {
        for (uint256 i = 1; i < times.length; ++i) {
            uint32 time = times[i];
            uint256 j = i;
            for (; j > 0 && times[j - 1] > time; --j) {
                times[j] = times[j - 1];
            }
            times[j] = time;
        }
        return times[size / 2];
    }
}
