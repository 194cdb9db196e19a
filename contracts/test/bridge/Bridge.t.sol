// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet, IMessageRecipient, IOutbox} from "../../src/interfaces/IBridge.sol";
import {Checkpoint, Message, Quorum} from "../../src/types/Protocol.sol";
import {CHEATS} from "../utils/Cheats.sol";
import {Recipient} from "../utils/Recipient.sol";
import {TreeReference} from "../utils/TreeReference.sol";
import {Test} from "forge-std/Test.sol";

/// @dev The whole bridge in one direction, with Shanghai's rules: what leaves chain 1 through the Outbox arrives on chain 2.
contract BridgeTest is Test {
    uint64 private constant ORIGIN = 31_337;
    uint64 private constant HERE = 61_613;
    IOutbox private outbox;
    IOutbox private localOutbox;
    IInbox private inbox;
    IKingSet private kings;
    Recipient private recipient;
    uint256[] private keys;
    uint96[] private weights;
    bytes32[] private members;
    Message[] private messages;
    bytes32[] private ids;

    function setUp() public {
        CHEATS.setEvmVersion("shanghai");
        weights = [100, 100, 100, 100];
        _makeKings();
        vm.chainId(HERE);
        outbox = IOutbox(deployCode("Outbox.sol:Outbox"));
        localOutbox = IOutbox(deployCode("Outbox.sol:Outbox"));
        _deployInbox();
        recipient = new Recipient();
    }

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
        assembly {
            vs := mload(add(signatures, 0x40))
        }
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        bytes32 mirrored = bytes32((order - s) | (uint256(vs) ^ (1 << 255)) & (1 << 255));
        assembly {
            mstore(add(signatures, 0x40), mirrored)
        }
        vm.expectPartialRevert(IKingSet.InvalidSigner.selector);
        inbox.submitCheckpoint(c, q);
        assembly {
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
        vm.warp(uint256(type(uint32).max) + 1);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.SetExpired.selector, 1, type(uint32).max));
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
        return vm.deployCode("KingSet.sol:KingSet", abi.encode(set, 1, type(uint64).max));
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
        bytes32 accepted = bytes32(uint256(c.root) >> 24 << 24);
        c.root = keccak256("other");
        _expectRefused(c, 7, abi.encodeWithSelector(IInbox.CheckpointConflict.selector, 1, accepted, c.root));
    }

    /// @dev A root that shares everything the Inbox remembers with an accepted one delivers nothing: no message proves to it.
    function test_rootThatDiffersInForgottenBitsDeliversNothing() public {
        _dispatch("a");
        bytes32 root = _accept();
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        bytes32 twin = root ^ bytes32(uint256(1));
        vm.expectPartialRevert(IInbox.InvalidProof.selector);
        inbox.deliver(messages[0], twin, proof);
        Checkpoint memory c = _checkpoint();
        c.root = twin;
        Quorum memory none;
        bytes32[32][] memory proofs = new bytes32[32][](1);
        proofs[0] = proof;
        vm.expectPartialRevert(IInbox.InvalidProof.selector);
        inbox.submitAndDeliver(c, none, messages, proofs);
    }

    function test_checkpoint256MessagesLaterTakesThePlaceAndTheOldOneIsStale() public {
        _dispatch("a");
        Checkpoint memory old = _checkpoint();
        inbox.submitCheckpoint(old, _sign(old, 7));
        for (uint256 i; i < 256; ++i) {
            _dispatch(abi.encodePacked(i));
        }
        assertEq(inbox.latestCount(), 1);
        bytes32 root = _accept();
        assertEq(inbox.latestCount(), 257);
        assertEq(inbox.acceptedCount(root), 257);
        assertEq(inbox.acceptedCount(old.root), 0);
        _expectRefused(old, 7, abi.encodeWithSelector(IInbox.CheckpointStale.selector, 1, 257));
        (, bytes32[32] memory proof) = TreeReference.open(ids, 0);
        assertTrue(inbox.deliver(messages[0], root, proof));
        (, proof) = TreeReference.open(ids, 256);
        assertTrue(inbox.deliver(messages[256], root, proof));
    }

    function testFuzz_everyAcceptedRootIsFound(uint32[8] memory counts) public {
        for (uint256 i; i < 8; ++i) {
            Checkpoint memory c = _checkpoint();
            c.count = uint32(bound(counts[i], 1, type(uint32).max));
            c.root = keccak256(abi.encode(c.count));
            Quorum memory q = _sign(c, 7);
            try inbox.submitCheckpoint(c, q) {
                assertEq(inbox.acceptedCount(c.root), c.count);
                assertGe(inbox.latestCount(), c.count);
            } catch {}
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
        _expectRefused(c, 7, abi.encodeWithSignature("EmptyCheckpoint()"));
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
        c.count = 2;
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

    // ---------------------------------------------------------------------------------------- helpers

    function _expectRefused(Checkpoint memory c, uint256 bitmap, bytes memory reason) private {
        Quorum memory q = _sign(c, bitmap);
        vm.expectRevert(reason);
        inbox.submitCheckpoint(c, q);
    }

    function _makeKings() private {
        delete members;
        delete keys;
        for (uint256 i; i < 4; ++i) {
            keys.push(uint256(keccak256(abi.encode("king", i))));
        }
        for (uint256 i; i < 4; ++i) {
            for (uint256 j = i + 1; j < 4; ++j) {
                if (vm.addr(keys[j]) < vm.addr(keys[i])) (keys[i], keys[j]) = (keys[j], keys[i]);
            }
            members.push(bytes32((uint256(uint160(vm.addr(keys[i]))) << 96) | weights[i]));
        }
    }

    function _deployInbox() private {
        kings = IKingSet(deployCode("KingSet.sol:KingSet", abi.encode(members, 1, type(uint32).max)));
        inbox = IInbox(deployCode("Inbox.sol:Inbox", abi.encode(ORIGIN, outbox, kings, localOutbox)));
    }

    function _dispatch(bytes memory body) private {
        _dispatchTo(address(recipient), body);
    }

    function _dispatchTo(address to, bytes memory body) private {
        vm.chainId(ORIGIN);
        uint32 index = outbox.dispatch(HERE, to, body);
        vm.chainId(HERE);
        messages.push(Message(index, ORIGIN, address(this), HERE, to, body));
        ids.push(keccak256(abi.encodePacked(uint8(1), index, ORIGIN, address(this), HERE, to, body)));
    }

    function _checkpoint() private view returns (Checkpoint memory) {
        return Checkpoint(ORIGIN, address(outbox), 1, outbox.root(), outbox.count(), 10, keccak256("block"), 1000);
    }

    function _slice(uint256 first, uint256 length) private view returns (Message[] memory range) {
        range = new Message[](length);
        for (uint256 i; i < length; ++i) {
            range[i] = messages[first + i];
        }
    }

    function _accept() private returns (bytes32) {
        Checkpoint memory c = _checkpoint();
        inbox.submitCheckpoint(c, _sign(c, 7));
        return c.root;
    }

    function _sign(Checkpoint memory c, uint256 bitmap) private view returns (Quorum memory q) {
        bytes32 digest = kings.checkpointDigest(c);
        q.members = members;
        q.signerBitmap = bitmap;
        for (uint256 i; i < 4; ++i) {
            if ((bitmap >> i) & 1 == 0) continue;
            (bytes32 r, bytes32 vs) = vm.signCompact(keys[i], digest);
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }
}
