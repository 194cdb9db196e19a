// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";

import {Receipts} from "../../src/libraries/Receipts.sol";
import {WorkReceipt} from "../../src/types/Protocol.sol";

/// @dev Against docs/protocol.md, section 6, written down one operation at a time.
contract ReceiptsTest is Test {
    function testFuzz_committeeMatchesTheReference(bytes32 blockHash, address provider, uint64 deviceId, uint8 queens, uint8 size)
        public
        pure
    {
        uint256 n = 1 + uint256(queens) % 64;
        uint256 c = 1 + uint256(size) % 24;
        uint16[] memory members = Receipts.committee(blockHash, provider, deviceId, n, c);
        uint256[] memory expected = _committee(blockHash, provider, deviceId, n, c < n ? c : n);
        assertEq(members.length, expected.length);
        for (uint256 i; i < expected.length; ++i) {
            assertEq(members[i], expected[i]);
            assertTrue(Receipts.contains(members, members[i]));
        }
        assertFalse(Receipts.contains(members, uint16(n)));
    }

    function testFuzz_digestMatchesTheReference(bytes32 domain, WorkReceipt memory receipt) public pure {
        bytes32 structHash = Receipts.structHash(receipt);
        bytes memory prepared = Receipts.layout(domain, receipt.challengeBlock, receipt.deviceId, receipt.blockHash, receipt.root);
        // Used for another receipt before.
        Receipts.digestOf(prepared, ~receipt.elapsedMs);
        assertEq(Receipts.digestOf(prepared, receipt.elapsedMs), keccak256(abi.encodePacked(hex"1901", domain, structHash)));
    }

    function _committee(bytes32 blockHash, address provider, uint64 deviceId, uint256 n, uint256 c)
        private
        pure
        returns (uint256[] memory members)
    {
        bytes32 seed = keccak256(abi.encode(keccak256("gpumkt/committee/v1"), blockHash, provider, deviceId));
        uint256[] memory idx = new uint256[](n);
        for (uint256 i; i < n; ++i) {
            idx[i] = i;
        }
        for (uint256 i; i < c; ++i) {
            uint256 j = i + uint256(keccak256(abi.encode(seed, i))) % (n - i);
            (idx[i], idx[j]) = (idx[j], idx[i]);
        }
        members = new uint256[](c);
        uint256 length;
        for (uint256 queen; queen < n; ++queen) {
            for (uint256 i; i < c; ++i) {
                if (idx[i] == queen) members[length++] = queen;
            }
        }
    }
}
