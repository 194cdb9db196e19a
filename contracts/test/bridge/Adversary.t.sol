// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet} from "../../src/interfaces/IBridge.sol";
import {Checkpoint, Message, Quorum} from "../../src/types/Protocol.sol";
import {Recipient} from "../utils/Recipient.sol";
import {TreeReference} from "../utils/TreeReference.sol";
import {BridgeBase} from "./BridgeBase.sol";

/// @dev What somebody tries who wants a message delivered that was not sent, or one that was to fail.
contract AdversaryTest is BridgeBase {
    // ------------------------------------------------------------------------------------------ proofs

    /// @dev Delivered exactly when the reference, level by level, gives the accepted root.
    function testFuzz_deliveredOnlyWhereTheReferenceAgrees(uint8 index, uint8 claimed, uint8 change, uint256 which) public {
        _dispatchMany(20);
        bytes32 root = _accept();
        index = uint8(bound(index, 0, 19));
        Message memory m = messages[index];
        (, bytes32[32] memory proof) = TreeReference.open(ids, index);
        change %= 4;
        if (change == 0) proof[which % 32] ^= bytes32(1 << ((which >> 8) % 256));
        else if (change == 1) m.index = uint32(bound(claimed, 0, 19));
        else if (change == 2) (proof[which % 32], proof[(which >> 8) % 32]) = (proof[(which >> 8) % 32], proof[which % 32]);
        else m.body = abi.encodePacked(uint256(bound(which, 0, 30)));
        bool expected = _reference(m, proof) == root;
        (bool success,) = address(inbox).call(abi.encodeCall(IInbox.deliver, (m, root, proof)));
        assertEq(success, expected);
        assertEq(recipient.handled(), expected ? 1 : 0);
    }

    /// @dev A node is no leaf: with a subtree's hash for a message nothing is proven, at any height.
    function test_nodesAreNoLeaves() public {
        _dispatchMany(8);
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        Message memory m = messages[0];
        for (uint256 height = 1; height < 32; ++height) {
            bytes32[32] memory shorter;
            for (uint256 i; i + height < 32; ++i) {
                shorter[i] = proof[i + height];
            }
            vm.expectPartialRevert(IInbox.InvalidProof.selector);
            inbox.deliver(m, root, shorter);
        }
    }

    /// @dev Each range of each tree of up to nine messages: all alignments of both edges.
    function test_rangesOfEveryAlignment() public {
        for (uint256 count = 1; count <= 9; ++count) {
            _dispatch(abi.encodePacked(count));
            bytes32 root = _accept();
            uint256 clean = vm.snapshotState();
            for (uint256 first; first < count; ++first) {
                for (uint256 length = 1; first + length <= count; ++length) {
                    inbox.deliverRange(_slice(first, length), root, TreeReference.openRange(ids, first, length));
                    assertEq(recipient.handled(), length);
                    vm.revertToState(clean);
                    clean = vm.snapshotState();
                }
            }
        }
    }

    function test_theRangeNeedsItsOrderAndNoGaps() public {
        _dispatchMany(4);
        bytes32 root = _accept();
        bytes32[] memory siblings = TreeReference.openRange(ids, 0, 2);
        Message[] memory range = new Message[](2);
        (range[0], range[1]) = (messages[1], messages[0]);
        vm.expectRevert(abi.encodeWithSelector(IInbox.NotConsecutive.selector, 0));
        inbox.deliverRange(range, root, siblings);
        (range[0], range[1]) = (messages[0], messages[2]);
        vm.expectRevert(abi.encodeWithSelector(IInbox.NotConsecutive.selector, 2));
        inbox.deliverRange(range, root, siblings);
        range[1] = messages[0];
        vm.expectRevert(abi.encodeWithSelector(IInbox.NotConsecutive.selector, 0));
        inbox.deliverRange(range, root, siblings);
    }

    // --------------------------------------------------------------------------------------- positions

    /// @dev Words of the bitmap, bytes and the end of the tree: the leaf stands alone in an otherwise empty tree.
    function test_positionsWhereCountsWrap() public {
        uint32 max = type(uint32).max;
        uint32[9] memory positions = [uint32(0), 254, 255, 256, 65_535, 65_536, 1 << 24, 1 << 31, max - 1];
        for (uint256 i; i < 9; ++i) {
            (Message memory m, Checkpoint memory c, bytes32[32] memory proof) = _lonely(positions[i]);
            inbox.submitCheckpoint(c, _sign(c, 7));
            assertTrue(inbox.deliver(m, c.root, proof));
            assertTrue(inbox.delivered(positions[i]));
            assertEq(recipient.handled(), i + 1);
            vm.expectRevert(abi.encodeWithSelector(IInbox.AlreadyDelivered.selector, positions[i]));
            inbox.deliver(m, c.root, proof);
        }
        assertEq(inbox.latestCount(), max);
        assertFalse(inbox.delivered(1) || inbox.delivered(257) || inbox.delivered(max));
        (Message memory last,, bytes32[32] memory path) = _lonely(max);
        bytes32 root = _reference(last, path);
        vm.expectRevert(abi.encodeWithSelector(IInbox.RootNotAccepted.selector, root));
        inbox.deliver(last, root, path);
    }

    /// @dev Checkpoints around multiples of 256, delivered under each of them and in ranges across.
    function test_rangesAcrossTheBitmapsWords() public {
        _dispatchMany(250);
        for (uint256 i; i < 14; ++i) {
            _dispatch(abi.encodePacked("late", i));
        }
        bytes32 root = _accept();
        inbox.deliverRange(_slice(250, 14), root, TreeReference.openRange(ids, 250, 14));
        assertEq(recipient.handled(), 14);
        for (uint32 i = 245; i < 264; ++i) {
            assertEq(inbox.delivered(i), i >= 250);
        }
    }

    // ------------------------------------------------------------------------------------------ quorum

    /// @dev Three signatures of one King where three Kings should have signed.
    function test_oneKingSigningForThreeIsRefused() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, 1);
        q.signatures = abi.encodePacked(q.signatures, q.signatures, q.signatures);
        q.signerBitmap = 7;
        vm.expectRevert(abi.encodeWithSelector(IKingSet.InvalidSigner.selector, 1, vm.addr(keys[0])));
        inbox.submitCheckpoint(c, q);
        q.members[1] = q.members[0];
        vm.expectPartialRevert(IKingSet.SetHashMismatch.selector);
        inbox.submitCheckpoint(c, q);
    }

    function test_nobodySignedIsNoQuorum() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, 0);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.QuorumNotReached.selector, 0, 400));
        inbox.submitCheckpoint(c, q);
        c.setEpoch = 0;
        vm.expectRevert(abi.encodeWithSelector(IKingSet.UnknownSet.selector, 0));
        inbox.submitCheckpoint(c, q);
    }

    /// @dev Every field is signed: with any of them changed the signatures are somebody else's.
    function testFuzz_everyFieldOfACheckpointIsSigned(uint8 field, uint64 value) public {
        _dispatchMany(3);
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, 15);
        bytes32 before = kings.checkpointDigest(c);
        field %= 5;
        if (field == 0) c.root = keccak256(abi.encode(value));
        else if (field == 1) c.count = uint32(bound(value, 4, type(uint32).max));
        else if (field == 2) c.blockNumber = value;
        else if (field == 3) c.blockHash = bytes32(uint256(value));
        else c.blockTimestamp = value;
        vm.assume(kings.checkpointDigest(c) != before);
        vm.expectPartialRevert(IKingSet.InvalidSigner.selector);
        inbox.submitCheckpoint(c, q);
    }

    /// @dev Bits above a field's type: refused, or a digest that nobody signed; never read as the value below them.
    function testFuzz_dirtyFieldsAreRefused(uint8 word, uint8 bit) public {
        uint8[5] memory words = [0, 1, 2, 4, 5];
        uint16[5] memory bits = [uint16(64), 160, 64, 32, 64];
        word %= 5;
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        bytes memory data = abi.encodeCall(IInbox.submitCheckpoint, (c, _sign(c, 7)));
        uint256 offset = 36 + 32 * uint256(words[word]);
        uint256 dirt = 1 << bound(bit, bits[word], 255);
        assembly ("memory-safe") {
            mstore(add(data, offset), or(mload(add(data, offset)), dirt))
        }
        (bool success,) = address(inbox).call(data);
        assertFalse(success);
        assertEq(inbox.latestCount(), 0);
    }

    // ----------------------------------------------------------------------------------------- handlers

    /// @dev A megabyte of revert data costs what memory of that size costs its own call, and is cut in the event.
    function test_revertDataIsCut() public {
        recipient.set(Recipient.Mode.Bomb, "");
        _dispatch("a");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        vm.expectEmit();
        emit IInbox.MessageFailed(0, ids[0], address(recipient), new bytes(1024));
        assertFalse(inbox.deliver(messages[0], root, proof));
        assertFalse(inbox.delivered(0));
    }

    /// @dev One bad handler takes nothing from the messages around it, whatever it does with its gas.
    function test_batchOutlivesEveryKindOfHandler() public {
        Recipient bomb = new Recipient();
        bomb.set(Recipient.Mode.Bomb, "");
        Recipient burner = new Recipient();
        burner.set(Recipient.Mode.Burn, "");
        _dispatch("a");
        _dispatchTo(address(bomb), "b");
        _dispatchTo(address(burner), "c");
        _dispatchTo(address(0xdead), "d");
        _dispatch("e");
        Checkpoint memory c = _checkpoint();
        bytes32[] memory siblings = TreeReference.openRange(ids, 0, 5);
        Quorum memory q = _sign(c, 7);
        inbox.submitAndDeliverRange{gas: 400_000_000}(c, q, messages, siblings);
        assertEq(recipient.handled(), 2);
        for (uint32 i; i < 5; ++i) {
            assertEq(inbox.delivered(i), i == 0 || i == 4);
        }
    }

    /// @dev The handler brings its own message again, in every way there is.
    function test_reentrantHandlersDeliverNothingTwice() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        bytes32 root = _accept();
        Quorum memory none;
        bytes32[32][] memory proofs = new bytes32[32][](1);
        (, proofs[0]) = TreeReference.open(ids, 0);
        bytes32[] memory siblings = TreeReference.openRange(ids, 0, 1);
        bytes[3] memory ways = [
            abi.encodeCall(IInbox.deliverRange, (messages, root, siblings)),
            abi.encodeCall(IInbox.submitAndDeliver, (c, none, messages, proofs)),
            abi.encodeCall(IInbox.submitAndDeliverRange, (c, none, messages, siblings))
        ];
        for (uint256 i; i < 3; ++i) {
            uint256 clean = vm.snapshotState();
            recipient.set(Recipient.Mode.Repeat, ways[i]);
            assertTrue(inbox.deliver(messages[0], root, proofs[0]));
            assertEq(recipient.handled(), 1);
            vm.revertToState(clean);
        }
    }

    /// @dev A handler that brings the next message of the same batch: it arrives once.
    function test_reentrantHandlerMayBringTheNextMessage() public {
        _dispatch("a");
        _dispatch("b");
        Checkpoint memory c = _checkpoint();
        bytes32[32][] memory proofs = new bytes32[32][](2);
        (, proofs[0]) = TreeReference.open(ids, 0);
        (, proofs[1]) = TreeReference.open(ids, 1);
        Quorum memory q = _sign(c, 7);
        recipient.set(Recipient.Mode.Repeat, abi.encodeCall(IInbox.deliver, (messages[1], c.root, proofs[1])));
        inbox.submitAndDeliver(c, q, messages, proofs);
        assertEq(recipient.handled(), 2);
        assertTrue(inbox.delivered(0) && inbox.delivered(1));
    }

    // ---------------------------------------------------------------------------------------- helpers

    function _dispatchMany(uint256 count) private {
        for (uint256 i; i < count; ++i) {
            _dispatch(abi.encodePacked(i));
        }
    }

    function _idOf(Message memory m) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(1), m.index, m.origin, m.sender, m.destination, m.recipient, m.body));
    }

    /// @dev The root that a message's proof gives, by the words of the specification.
    function _reference(Message memory m, bytes32[32] memory proof) private pure returns (bytes32 hash) {
        hash = keccak256(abi.encodePacked(bytes1(0x00), _idOf(m)));
        for (uint256 i; i < 32; ++i) {
            bool right = (m.index >> i) % 2 == 1;
            hash = keccak256(
                right ? abi.encodePacked(bytes1(0x01), proof[i], hash) : abi.encodePacked(bytes1(0x01), hash, proof[i])
            );
        }
    }

    /// @dev The message at `index` of a tree that is empty but for it.
    function _lonely(uint32 index) private view returns (Message memory m, Checkpoint memory c, bytes32[32] memory proof) {
        m = Message(index, ORIGIN, address(this), HERE, address(recipient), abi.encodePacked(index));
        bytes32 empty;
        for (uint256 i; i < 32; ++i) {
            proof[i] = empty;
            empty = keccak256(abi.encodePacked(bytes1(0x01), empty, empty));
        }
        uint32 count = index == type(uint32).max ? index : index + 1;
        c = Checkpoint(ORIGIN, address(outbox), 1, _reference(m, proof), count, 10, keccak256("block"), 1000);
    }
}
