// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet, IMessageRecipient, IOutbox} from "../../src/interfaces/IBridge.sol";
import {Checkpoint, Message, Quorum} from "../../src/types/Protocol.sol";
import {KingSetArguments} from "../utils/KingSetArguments.sol";
import {Recipient} from "../utils/Recipient.sol";
import {TreeReference} from "../utils/TreeReference.sol";
import {BridgeBase} from "./BridgeBase.sol";

/// @dev The whole bridge in one direction, with Shanghai's rules: what leaves chain 1 through the Outbox arrives on chain 2.
contract BridgeTest is BridgeBase {
    // ------------------------------------------------------------------------------------------ outbox

    function test_emptyRootIsThatOfNoLeaves() public view {
        (bytes32 root,) = TreeReference.open(new bytes32[](0), 0);
        assertEq(outbox.root(), root);
    }

    function testFuzz_rootMatchesTheReference(uint8 count) public {
        count = uint8(bound(count, 1, 70));
        for (uint256 i; i < count; ++i) {
            _dispatch(abi.encodePacked(i));
        }
        (bytes32 root,) = TreeReference.open(ids, 0);
        assertEq(outbox.root(), root);
        assertEq(outbox.count(), count);
    }

    function test_dispatchRefusesLongBodiesAndItsOwnChain() public {
        vm.expectRevert(abi.encodeWithSelector(IOutbox.BodyTooLong.selector, 4097, 4096));
        outbox.dispatch(HERE + 1, address(recipient), new bytes(4097));
        vm.expectRevert(abi.encodeWithSelector(IOutbox.DestinationIsOrigin.selector, HERE));
        outbox.dispatch(HERE, address(recipient), "");
        outbox.dispatch(HERE + 1, address(recipient), new bytes(4096));
    }

    // ------------------------------------------------------------------------------------------ quorum

    function test_exactlyTwoThirdsIsNoQuorum() public {
        weights = [200, 100, 100, 200];
        _makeKings();
        _deployInbox();
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        _expectRefused(c, 9, abi.encodeWithSelector(IKingSet.QuorumNotReached.selector, 400, 600));
        inbox.submitCheckpoint(c, _sign(c, 13));
        assertEq(inbox.latestCount(), 1);
    }

    function test_threeOfFourIsAQuorumAndTwoAreNot() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        _expectRefused(c, 3, abi.encodeWithSelector(IKingSet.QuorumNotReached.selector, 200, 400));
        inbox.submitCheckpoint(c, _sign(c, 7));
        assertEq(inbox.acceptedCount(c.root), 1);
    }

    function test_quorumWithSignaturesOfOthersIsRefused() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, 7);
        q.signerBitmap = 13;
        vm.expectPartialRevert(IKingSet.InvalidSigner.selector);
        inbox.submitCheckpoint(c, q);
        q = _sign(c, 7);
        q.signerBitmap |= 1 << 200;
        vm.expectRevert(abi.encodeWithSelector(IKingSet.MalformedSignatures.selector, 192, 3));
        inbox.submitCheckpoint(c, q);
        q = _sign(c, 7);
        q.signatures = abi.encodePacked(q.signatures, bytes1(0));
        vm.expectRevert(abi.encodeWithSelector(IKingSet.MalformedSignatures.selector, 193, 3));
        inbox.submitCheckpoint(c, q);
        q = _sign(c, 7);
        q.members[0] = bytes32(uint256(q.members[0]) + 1);
        vm.expectPartialRevert(IKingSet.SetHashMismatch.selector);
        inbox.submitCheckpoint(c, q);
        q.members = new bytes32[](0);
        vm.expectPartialRevert(IKingSet.SetHashMismatch.selector);
        inbox.submitCheckpoint(c, q);
    }

    /// @dev The same point with s mirrored is a valid ECDSA signature of the same key, and must not count.
    function test_highSSignatureIsRefused() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, 7);
        bytes memory signatures = q.signatures;
        bytes32 vs;
        assembly ("memory-safe") {
            vs := mload(add(signatures, 0x40))
        }
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        bytes32 mirrored = bytes32((order - s) | (uint256(vs) ^ (1 << 255)) & (1 << 255));
        assembly ("memory-safe") {
            mstore(add(signatures, 0x40), mirrored)
        }
        vm.expectPartialRevert(IKingSet.InvalidSigner.selector);
        inbox.submitCheckpoint(c, q);
        assembly ("memory-safe") {
            mstore(add(signatures, 0x40), 0)
            mstore(add(signatures, 0x20), 0)
        }
        vm.expectRevert(abi.encodeWithSelector(IKingSet.InvalidSigner.selector, 0, address(0)));
        inbox.submitCheckpoint(c, q);
    }

    function test_unknownEpochAndExpiredSetAreRefused() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        c.setEpoch = 2;
        _expectRefused(c, 7, abi.encodeWithSelector(IKingSet.UnknownSet.selector, 2));
        c.setEpoch = 1;
        Quorum memory q = _sign(c, 7);
        vm.warp(EXPIRY + 1);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.SetExpired.selector, 1, EXPIRY));
        inbox.submitCheckpoint(c, q);
    }

    function test_setsMustAscendAndHaveWeight() public {
        bytes32[] memory set = new bytes32[](0);
        vm.expectRevert(IKingSet.EmptySet.selector);
        this.deployKings(set);
        set = new bytes32[](2);
        (set[0], set[1]) = (members[1], members[0]);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.MembersNotAscending.selector, 1));
        this.deployKings(set);
        (set[0], set[1]) = (members[0], members[0]);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.MembersNotAscending.selector, 1));
        this.deployKings(set);
        set[1] = bytes32(uint256(members[1]) >> 96 << 96);
        vm.expectRevert(abi.encodeWithSignature("ZeroMember(uint256)", 1));
        this.deployKings(set);
        set[0] = bytes32(uint256(7));
        vm.expectRevert(abi.encodeWithSignature("ZeroMember(uint256)", 0));
        this.deployKings(set);
    }

    function deployKings(bytes32[] memory set) external returns (address) {
        return vm.deployCode("KingSet.sol:KingSet", KingSetArguments.alone(set));
    }

    // ------------------------------------------------------------------------------------- checkpoints

    function test_sameCheckpointTwiceIsNotAnError() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        inbox.submitCheckpoint(c, _sign(c, 7));
        inbox.submitCheckpoint(c, _sign(c, 14));
        Quorum memory none;
        inbox.submitCheckpoint(c, none);
    }

    function test_conflictingCheckpointIsRefused() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        inbox.submitCheckpoint(c, _sign(c, 7));
        c.root = keccak256("other");
        _expectRefused(c, 7, abi.encodeWithSelector(IInbox.CheckpointConflict.selector, 1, c.root));
    }

    function test_rootThatIsKnownWithAnotherCountIsRefused() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        inbox.submitCheckpoint(c, _sign(c, 7));
        c.count = 2;
        _expectRefused(c, 7, abi.encodeWithSelector(IInbox.RootConflict.selector, c.root, 1, 2));
        bytes32[32][] memory proofs = new bytes32[32][](1);
        (, proofs[0]) = TreeReference.open(ids, 0);
        Quorum memory q = _sign(c, 7);
        vm.expectRevert(abi.encodeWithSelector(IInbox.RootConflict.selector, c.root, 1, 2));
        inbox.submitAndDeliver(c, q, messages, proofs);
    }

    /// @dev Roots are compared in full.
    function testFuzz_rootThatDiffersInOneBitIsAnother(uint8 bit) public {
        _dispatch("a");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        bytes32 twin = root ^ bytes32(uint256(1) << bit);
        vm.expectRevert(abi.encodeWithSelector(IInbox.RootNotAccepted.selector, twin));
        inbox.deliver(messages[0], twin, proof);
        assertEq(inbox.acceptedCount(twin), 0);
        Checkpoint memory c = _checkpoint();
        c.root = twin;
        Quorum memory none;
        bytes32[32][] memory proofs = new bytes32[32][](1);
        proofs[0] = proof;
        vm.expectRevert(abi.encodeWithSelector(IInbox.CheckpointConflict.selector, 1, twin));
        inbox.submitAndDeliver(c, none, messages, proofs);
    }

    /// @dev A relay that comes late needs no new signatures, whichever accepted root it has, and none can be put in its place.
    function test_everyMessageIsDeliveredUnderTheRootOfItsTimeHundredsLater() public {
        bytes32[] memory rootAt = new bytes32[](320);
        for (uint256 i; i < 320; ++i) {
            _dispatch(abi.encodePacked(i));
            if (i % 40 == 0 || i > 310) rootAt[i] = _accept();
        }
        assertEq(inbox.latestCount(), 320);
        for (uint256 i; i < 320; ++i) {
            if (rootAt[i] == 0) continue;
            assertEq(inbox.acceptedCount(rootAt[i]), i + 1);
            assertTrue(inbox.deliver(messages[i], rootAt[i], _proofAt(uint32(i), i + 1)));
        }
        (, bytes32[32] memory proof) = TreeReference.open(ids, 1);
        assertTrue(inbox.deliver(messages[1], rootAt[319], proof), "one between under the newest root");
    }

    function test_olderCheckpointThanTheNewestIsStale() public {
        _dispatch("a");
        Checkpoint memory old = _checkpoint();
        _dispatch("b");
        _accept();
        _expectRefused(old, 7, abi.encodeWithSelector(IInbox.CheckpointStale.selector, 1, 2));
    }

    /// @dev Whatever order checkpoints come in: those that grow are accepted and stay so, all others are refused.
    function testFuzz_everyAcceptedRootIsFoundForGood(uint32[8] memory counts) public {
        uint32 latest;
        for (uint256 i; i < 8; ++i) {
            Checkpoint memory c = _checkpoint();
            c.count = i == 7 ? type(uint32).max : uint32(bound(counts[i], 1, type(uint32).max - 1));
            c.root = keccak256(abi.encode(c.count, i));
            if (c.count > latest) {
                inbox.submitCheckpoint(c, _sign(c, 7));
                latest = c.count;
                counts[i] = c.count;
            } else {
                bytes4 reason = c.count == latest ? IInbox.CheckpointConflict.selector : IInbox.CheckpointStale.selector;
                Quorum memory q = _sign(c, 7);
                vm.expectPartialRevert(reason);
                inbox.submitCheckpoint(c, q);
                counts[i] = 0;
            }
            assertEq(inbox.latestCount(), latest);
            for (uint256 j; j <= i; ++j) {
                bytes32 root = keccak256(abi.encode(counts[j], j));
                if (counts[j] != 0) assertEq(inbox.acceptedCount(root), counts[j]);
            }
        }
    }

    function test_foreignOrEmptyCheckpointIsRefused() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        c.originChainId = ORIGIN + 1;
        _expectRefused(c, 7, abi.encodeWithSelector(IInbox.WrongOrigin.selector, ORIGIN + 1, outbox));
        c = _checkpoint();
        c.outbox = address(localOutbox);
        _expectRefused(c, 7, abi.encodeWithSelector(IInbox.WrongOrigin.selector, ORIGIN, localOutbox));
        c = _checkpoint();
        c.root = 0;
        _expectRefused(c, 7, abi.encodeWithSelector(IInbox.ZeroRoot.selector));
        c = _checkpoint();
        c.count = 0;
        _expectRefused(c, 7, abi.encodeWithSelector(IInbox.EmptyCheckpoint.selector));
    }

    // ---------------------------------------------------------------------------------------- delivery

    function testFuzz_everyMessageIsDeliveredOnce(uint8 count, uint8 index) public {
        count = uint8(bound(count, 1, 40));
        index = uint8(bound(index, 0, count - 1));
        for (uint256 i; i < count; ++i) {
            _dispatch(abi.encodePacked(i));
        }
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, index);
        vm.prank(address(0xbeef));
        assertTrue(inbox.deliver(messages[index], root, proof));
        assertEq(recipient.handled(), 1);
        assertEq(recipient.deliverer(), address(0xbeef));
        assertEq(recipient.bodyHash(), keccak256(messages[index].body));
        vm.expectRevert(abi.encodeWithSelector(IInbox.AlreadyDelivered.selector, index));
        inbox.deliver(messages[index], root, proof);
    }

    function test_alteredMessagesAreRefused() public {
        _dispatch("a");
        _dispatch("b");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        Message memory m = messages[0];
        m.body = "x";
        vm.expectPartialRevert(IInbox.InvalidProof.selector);
        inbox.deliver(m, root, proof);
        m = messages[0];
        m.sender = address(1);
        vm.expectPartialRevert(IInbox.InvalidProof.selector);
        inbox.deliver(m, root, proof);
        m = messages[0];
        m.index = 1;
        vm.expectPartialRevert(IInbox.InvalidProof.selector);
        inbox.deliver(m, root, proof);
        m = messages[0];
        m.index = 2;
        vm.expectRevert(abi.encodeWithSelector(IInbox.IndexBeyondCount.selector, 2, 2));
        inbox.deliver(m, root, proof);
        m = messages[0];
        m.destination = HERE + 1;
        vm.expectRevert(abi.encodeWithSelector(IInbox.WrongDestination.selector, HERE + 1));
        inbox.deliver(m, root, proof);
        m = messages[0];
        m.origin = ORIGIN + 1;
        vm.expectRevert(abi.encodeWithSelector(IInbox.WrongOrigin.selector, ORIGIN + 1, outbox));
        inbox.deliver(m, root, proof);
        vm.expectRevert(abi.encodeWithSelector(IInbox.RootNotAccepted.selector, keccak256("root")));
        inbox.deliver(messages[0], keccak256("root"), proof);
        proof[31] = keccak256("sibling");
        vm.expectPartialRevert(IInbox.InvalidProof.selector);
        inbox.deliver(messages[0], root, proof);
    }

    function test_theBridgeCannotBeARecipient() public {
        address[3] memory forbidden = [address(inbox), address(localOutbox), address(kings)];
        for (uint256 i; i < 3; ++i) {
            _dispatchTo(forbidden[i], "a");
        }
        bytes32 root = _accept();
        for (uint256 i; i < 3; ++i) {
            (, bytes32[32] memory proof) = TreeReference.open(ids, i);
            vm.expectRevert(abi.encodeWithSelector(IInbox.ForbiddenRecipient.selector, forbidden[i]));
            inbox.deliver(messages[i], root, proof);
        }
    }

    function test_failedMessageCanBeTriedAgain() public {
        _dispatch("a");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        recipient.set(Recipient.Mode.Revert, "");
        vm.expectEmit();
        emit IInbox.MessageFailed(
            0, ids[0], address(recipient), abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 9)
        );
        assertFalse(inbox.deliver(messages[0], root, proof));
        assertFalse(inbox.delivered(0));
        recipient.set(Recipient.Mode.Accept, "");
        assertTrue(inbox.deliver(messages[0], root, proof));
        assertTrue(inbox.delivered(0));
    }

    function test_tooLittleGasDoesNotUseUpAMessage() public {
        _dispatch("a");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        recipient.set(Recipient.Mode.Burn, "");
        assertFalse(inbox.deliver{gas: 2_000_000}(messages[0], root, proof));
        assertFalse(inbox.delivered(0));
    }

    function testFuzz_anyGasDeliversOrLeavesTheMessage(uint256 gas_) public {
        _dispatch("a");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        try inbox.deliver{gas: bound(gas_, 20_000, 300_000)}(messages[0], root, proof) {} catch {}
        assertEq(inbox.delivered(0), recipient.handled() == 1);
    }

    function test_reentrantDeliveryFails() public {
        _dispatch("a");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        recipient.set(Recipient.Mode.Reenter, abi.encodeCall(IInbox.deliver, (messages[0], root, proof)));
        assertTrue(inbox.deliver(messages[0], root, proof));
        assertEq(recipient.handled(), 1);
    }

    function test_accountWithoutCodeIsNoRecipient() public {
        _dispatchTo(address(0xdead), "a");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        assertFalse(inbox.deliver(messages[0], root, proof));
        assertFalse(inbox.delivered(0));
    }

    function test_batchSkipsDeliveredAndOutlivesFailures() public {
        Recipient bad = new Recipient();
        bad.set(Recipient.Mode.Revert, "");
        _dispatch("a");
        _dispatchTo(address(bad), "b");
        _dispatch("c");
        bytes32 root = _accept();
        bytes32[32][] memory proofs = new bytes32[32][](3);
        for (uint256 i; i < 3; ++i) {
            (, proofs[i]) = TreeReference.open(ids, i);
        }
        inbox.deliver(messages[0], root, proofs[0]);
        Checkpoint memory c = _checkpoint();
        inbox.submitAndDeliver(c, _sign(c, 7), messages, proofs);
        assertEq(recipient.handled(), 2);
        assertTrue(inbox.delivered(0) && !inbox.delivered(1) && inbox.delivered(2));
        Message[] memory none;
        Quorum memory q = _sign(c, 7);
        vm.expectRevert(abi.encodeWithSignature("LengthMismatch(uint256,uint256)", 0, 3));
        inbox.submitAndDeliver(c, q, none, proofs);
    }

    function testFuzz_rangeIsDeliveredAsOneByOne(uint8 count, uint8 first, uint8 length) public {
        count = uint8(bound(count, 1, 40));
        first = uint8(bound(first, 0, count - 1));
        length = uint8(bound(length, 1, count - first));
        for (uint256 i; i < count; ++i) {
            _dispatch(abi.encodePacked(i));
        }
        bytes32 root = _accept();
        for (uint32 i = first; i < uint256(first) + length; ++i) {
            vm.expectEmit(address(inbox));
            emit IInbox.MessageDelivered(i, ids[i], address(recipient), address(this));
        }
        inbox.deliverRange(_slice(first, length), root, TreeReference.openRange(ids, first, length));
        assertEq(recipient.handled(), length);
        for (uint32 i; i < count; ++i) {
            assertEq(inbox.delivered(i), i >= first && i < first + length);
        }
        inbox.deliverRange(_slice(first, length), root, TreeReference.openRange(ids, first, length));
        assertEq(recipient.handled(), length, "nothing twice");
    }

    /// @dev Any change of a right range: a sibling, their number, a message, the order, the root.
    function testFuzz_alteredRangeIsRefused(uint8 first, uint8 length, uint8 change, uint256 which) public {
        first = uint8(bound(first, 0, 9));
        length = uint8(bound(length, 2, 10));
        for (uint256 i; i < 20; ++i) {
            _dispatch(abi.encodePacked(i));
        }
        bytes32 root = _accept();
        Message[] memory range = _slice(first, length);
        bytes32[] memory siblings = TreeReference.openRange(ids, first, length);
        Message memory m = range[which % length];
        if (change % 7 == 0) {
            siblings[which % siblings.length] ^= bytes32(1 << (which >> 8) % 256);
        } else if (change % 7 == 1) {
            siblings = TreeReference.openRange(ids, first, length - 1);
        } else if (change % 7 == 2) {
            siblings = abi.decode(abi.encodePacked(uint256(32), siblings.length + 1, siblings, bytes32(0)), (bytes32[]));
        } else if (change % 7 == 3) {
            m.body = "forged";
        } else if (change % 7 == 4) {
            m.sender = address(this) == address(1) ? address(2) : address(1);
        } else if (change % 7 == 5) {
            m.index += 1;
        } else {
            root = keccak256("root");
        }
        vm.expectRevert();
        inbox.deliverRange(range, root, siblings);
        assertEq(recipient.handled(), 0);
    }

    function test_rangeOutlivesFailuresAndTakesItsCheckpointAlong() public {
        Recipient bad = new Recipient();
        bad.set(Recipient.Mode.Revert, "");
        _dispatch("a");
        _dispatchTo(address(bad), "b");
        _dispatch("c");
        Checkpoint memory c = _checkpoint();
        bytes32[] memory siblings = TreeReference.openRange(ids, 0, 3);
        inbox.submitAndDeliverRange(c, _sign(c, 7), messages, siblings);
        assertEq(recipient.handled(), 2);
        assertTrue(inbox.delivered(0) && !inbox.delivered(1) && inbox.delivered(2));
        vm.expectRevert(abi.encodeWithSignature("EmptyRange()"));
        inbox.deliverRange(new Message[](0), c.root, siblings);
        _dispatch("d");
        c = _checkpoint();
        Quorum memory q = _sign(c, 3);
        vm.expectPartialRevert(IKingSet.QuorumNotReached.selector);
        inbox.submitAndDeliverRange(c, q, messages, siblings);
    }

    function test_bridgeContractsAndForeignMessagesAreRefusedInRangesToo() public {
        _dispatchTo(address(inbox), "a");
        bytes32 root = _accept();
        bytes32[] memory siblings = TreeReference.openRange(ids, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IInbox.ForbiddenRecipient.selector, inbox));
        inbox.deliverRange(messages, root, siblings);
        messages[0].destination = HERE + 1;
        vm.expectRevert(abi.encodeWithSelector(IInbox.WrongDestination.selector, HERE + 1));
        inbox.deliverRange(messages, root, siblings);
    }

    // ---------------------------------------------------------------------------------------- quorum, by fuzzing

    /// @dev Any bitmap: accepted exactly when the signers' weight exceeds two thirds.
    function testFuzz_quorumIsCountedByWeight(uint8 bitmap, uint8[4] memory heavier) public {
        for (uint256 i; i < 4; ++i) {
            weights[i] = 1 + uint96(heavier[i]);
        }
        _makeKings();
        _deployInbox();
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, bitmap % 16);
        (uint256 signed, uint256 total) = (0, 0);
        for (uint256 i; i < 4; ++i) {
            total += uint96(uint256(members[i]));
            if ((bitmap >> i) & 1 == 1) signed += uint96(uint256(members[i]));
        }
        if (signed * 3 <= total * 2) vm.expectRevert(abi.encodeWithSelector(IKingSet.QuorumNotReached.selector, signed, total));
        inbox.submitCheckpoint(c, q);
    }

    /// @dev One flipped bit of a signature, a signature too few or twice, a stray bit of the bitmap.
    function testFuzz_alteredSignaturesAreRefused(uint8 change, uint256 which) public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, 15);
        if (change % 4 == 0) q.signatures[which % 256] ^= bytes1(uint8(1 << (which >> 8) % 8));
        else if (change % 4 == 1) q.signatures = _sign(c, 7).signatures;
        else if (change % 4 == 2) q.signatures = abi.encodePacked(_sign(c, 7).signatures, _sign(c, 4).signatures);
        else q.signerBitmap |= 1 << bound(which, 4, 255);
        vm.expectRevert();
        inbox.submitCheckpoint(c, q);
    }

    function test_missingSignatureIsNamed() public {
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, 7);
        q.signerBitmap = 15;
        vm.expectRevert(abi.encodeWithSelector(IKingSet.MalformedSignatures.selector, 192, 4));
        inbox.submitCheckpoint(c, q);
    }
}
