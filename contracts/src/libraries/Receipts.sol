// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {WorkReceipt} from "../types/Protocol.sol";

/// @title Who witnesses a commit, and what their times amount to (docs/protocol.md, section 6)
library Receipts {
    bytes32 private constant COMMITTEE_TAG = keccak256("gpumkt/committee/v1");
    bytes32 private constant RECEIPT_TYPEHASH =
        keccak256("WorkReceipt(uint64 challengeBlock,uint64 deviceId,bytes32 blockHash,bytes32 root,uint32 elapsedMs)");

    function structHash(WorkReceipt memory receipt) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                RECEIPT_TYPEHASH, receipt.challengeBlock, receipt.deviceId, receipt.blockHash, receipt.root, receipt.elapsedMs
            )
        );
    }

    /// @return members indices into the Queen set, ascending.
    function committee(bytes32 blockHash, address provider, uint64 deviceId, uint256 queens, uint256 size)
        internal
        pure
        returns (uint16[] memory members)
    {
        if (size > queens) size = queens;
        bytes32 seed = keccak256(abi.encode(COMMITTEE_TAG, blockHash, provider, deviceId));
        uint16[] memory index = new uint16[](queens);
        for (uint256 i; i < queens; ++i) {
            index[i] = uint16(i);
        }
        members = new uint16[](size);
        for (uint256 i; i < size; ++i) {
            uint256 j = i + uint256(keccak256(abi.encode(seed, i))) % (queens - i);
            (index[i], index[j]) = (index[j], index[i]);
            _insertSorted(members, i, index[i]);
        }
    }

    function contains(uint16[] memory members, uint16 member) internal pure returns (bool) {
        for (uint256 i; i < members.length; ++i) {
            if (members[i] == member) return true;
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

    function _insertSorted(uint16[] memory members, uint256 length, uint16 member) private pure {
        for (; length > 0 && members[length - 1] > member; --length) {
            members[length] = members[length - 1];
        }
        members[length] = member;
    }
}
