// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {CommitInput, QueenSetRotated, ReceiptSignature, RefusalSignature, WorkReceipt} from "../../src/types/Protocol.sol";
import {IWorkDigest} from "../utils/World.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev Six Queens in two shards of three: only those of the provider's shard time it, and only they may say that it refused them.
contract WorkShardsTest is WorkWorld {
    function setUp() public override {
        super.setUp();
        address[] memory queens = new address[](6);
        for (uint256 i; i < 6; ++i) {
            if (i >= 3) queenKeys.push(uint256(keccak256(abi.encode("queen", i))));
            queens[i] = vm.addr(queenKeys[i]);
        }
        _message(STAKING, 7, abi.encode(QueenSetRotated(2, queens)));
    }

    /// @dev Seats of the other shard: of two shards, number s has the seats s, s + 2 and s + 4.
    function _others(bytes32 hash) private view returns (uint16[] memory seats) {
        seats = work.committee(hash, DEVICE);
        assertEq(seats.length, 3);
        uint16 shard = seats[0] % 2;
        for (uint256 i; i < 3; ++i) {
            assertEq(seats[i] % 2, shard, "one shard");
            seats[i] ^= 1;
        }
    }

    function _receipts(CommitInput memory input, uint16[] memory seats)
        private
        view
        returns (ReceiptSignature[] memory receipts)
    {
        WorkReceipt memory receipt = WorkReceipt(input.challengeBlock, DEVICE, input.blockHash, input.root, 60);
        bytes32 digest = IWorkDigest(address(work)).receiptDigest(receipt);
        receipts = new ReceiptSignature[](seats.length);
        for (uint256 i; i < seats.length; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(queenKeys[seats[i]], digest);
            receipts[i] = ReceiptSignature(seats[i], 60, r, vs);
        }
    }

    function _refusals(uint64 b, bytes32 hash, uint16[] memory seats) private view returns (RefusalSignature[] memory s) {
        bytes32 digest = work.refusalDigest(b, DEVICE, hash, keccak256("root"));
        s = new RefusalSignature[](seats.length);
        for (uint256 i; i < seats.length; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(queenKeys[seats[i]], digest);
            s[i] = RefusalSignature(seats[i], r, vs);
        }
    }

    function test_onlyTheProvidersShardTimesIt() public {
        (uint64 b, bytes32 hash) = openChallenge();
        CommitInput memory input = _input(b, hash, 1);
        uint16[] memory others = _others(hash);
        ReceiptSignature[] memory foreign = _receipts(input, others);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotInCommittee.selector, others[0]));
        work.commit(input, foreign, "");
        ReceiptSignature[] memory own = _receipts(input, work.committee(hash, DEVICE));
        vm.prank(worker);
        work.commit(input, own, "");
        assertTrue(work.commitOf(b, DEVICE).measured);
    }

    function test_onlyTheProvidersShardSaysThatItWasRefused() public {
        (uint64 b, bytes32 hash) = openChallenge();
        vm.prank(worker);
        work.commit(_input(b, hash, 1), new ReceiptSignature[](0), "");
        vm.roll(b + 3);
        uint16[] memory others = _others(hash);
        RefusalSignature[] memory foreign = _refusals(b, hash, others);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotInCommittee.selector, others[0]));
        work.refuse(b, DEVICE, keccak256("root"), foreign);
        work.refuse(b, DEVICE, keccak256("root"), _refusals(b, hash, work.committee(hash, DEVICE)));
        assertEq(work.demands(b, DEVICE)[0].opener, address(0));
    }
}
