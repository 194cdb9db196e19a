// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";

import {IInbox, IKingSet, IMessageRecipient} from "../../src/interfaces/IBridge.sol";
import {BridgePause, BridgeRecovery, Checkpoint, Message, Quorum} from "../../src/types/Protocol.sol";
import {KingSetArguments} from "../utils/KingSetArguments.sol";
import {TreeReference} from "../utils/TreeReference.sol";

/// @dev An origin that is reorganised below what its Kings signed, Kings who recover and pause, relays that bring whatever they can
///      find: live, dead, revoked and forged messages. A model says what the Inbox must do with each; it must do exactly that. It is
///      the target contract itself, so that it is the recipient too.
contract BridgeInvariantTest is Test, IMessageRecipient {
    struct Branch {
        Message[] messages;
        bytes32[] ids;
    }

    struct Signed {
        bytes32 root;
        uint32 count;
        uint64 setEpoch;
        uint256 branch;
    }

    uint64 private constant ORIGIN = 31_337;
    uint64 private constant HERE = 61_613;
    address private constant OUTBOX = address(0x0b0);
    uint256 private constant MOST_MESSAGES = 40;

    IInbox private inbox;
    IKingSet private kings;
    uint256[] private keys;
    bytes32[] private members;
    Branch[] private branches;
    Signed[] private accepted;
    /// @dev Signed in an epoch that a recovery has ended, and never submitted.
    Signed[] private stash;
    uint256 private live;
    uint32 private forkCount;
    bool private reorganised;
    uint256 private nonce;

    uint32 private latest;
    uint64 private floorEpoch;
    uint32 private floorCount = type(uint32).max;
    uint64 private pausedUntil;
    mapping(uint32 index => uint256) private times;
    mapping(bytes32 id => bool) private wasSent;
    bool private strangerDelivered;
    bool private notSent;
    bool private differs;

    function setUp() public {
        vm.chainId(HERE);
        vm.warp(30 days);
        for (uint256 i; i < 4; ++i) {
            keys.push(uint256(keccak256(abi.encode("king", i))));
        }
        for (uint256 i; i < 4; ++i) {
            for (uint256 j = i + 1; j < 4; ++j) {
                if (vm.addr(keys[j]) < vm.addr(keys[i])) (keys[i], keys[j]) = (keys[j], keys[i]);
            }
            members.push(bytes32((uint256(uint160(vm.addr(keys[i]))) << 96) | 1));
        }
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        KingSetArguments.Ends memory ends = KingSetArguments.Ends(next, address(1), ORIGIN, OUTBOX, address(0));
        uint64 expiry = uint64(block.timestamp) + KingSetArguments.LIFETIME;
        kings = IKingSet(deployCode("KingSet.sol:KingSet", KingSetArguments.encode(members, expiry, ends)));
        inbox = IInbox(deployCode("Inbox.sol:Inbox", abi.encode(ORIGIN, OUTBOX, kings, address(1), address(0))));
        branches.push();
        _dispatch(3);
        bytes4[] memory actions = new bytes4[](11);
        actions[0] = this.actDispatch.selector;
        actions[1] = this.actCheckpoint.selector;
        actions[2] = this.actDeliver.selector;
        actions[3] = this.actDeliverRange.selector;
        actions[4] = this.actForge.selector;
        actions[5] = this.actReorg.selector;
        actions[6] = this.actRecover.selector;
        actions[7] = this.actStash.selector;
        actions[8] = this.actPause.selector;
        actions[9] = this.actWait.selector;
        // Twice as often: without roots and deliveries there is nothing to break.
        actions[10] = this.actDeliver.selector;
        targetSelector(FuzzSelector(address(this), actions));
        targetContract(address(this));
    }

    // ----------------------------------------------------------------------------------------- actions

    function actDispatch(uint8 count) external {
        _dispatch(bound(count, 1, 4));
    }

    function actCheckpoint(uint8 bitmap, uint256 back) external {
        // Kings that saw the reorg sign nothing before they recovered.
        uint256 length = branches[live].ids.length;
        if (reorganised || length == 0) return;
        uint32 count = uint32(length - (back % 4 == 0 ? bound(back, 0, length - 1) : 0));
        Signed memory s = Signed(_rootOf(live, count), count, kings.currentEpoch(), live);
        bool known = _isAccepted(s.root);
        bool expected = !_paused() && (known || (count > latest && _signers(bitmap) >= 3));
        (bool success,) = address(inbox).call(abi.encodeCall(IInbox.submitCheckpoint, (_checkpoint(s), _quorum(s, bitmap))));
        if (success != expected) differs = true;
        if (success && !known) _remember(s);
    }

    function actDeliver(uint256 which, uint32 index, uint256 from) external {
        if (accepted.length == 0) return;
        Signed memory s = accepted[which % accepted.length];
        // Mostly the branch that was signed, sometimes another one's message.
        uint256 branch = from % 4 == 0 ? from % branches.length : s.branch;
        uint256 length = branches[branch].ids.length;
        if (length == 0) return;
        index = uint32(index % length);
        Message memory m = branches[branch].messages[index];
        (, bytes32[32] memory proof) = TreeReference.open(_ids(s.branch, s.count), index);
        bool inTree = index < s.count && branches[s.branch].ids[index] == branches[branch].ids[index];
        bool expected = !_paused() && _isValid(s) && inTree && times[index] == 0;
        (bool success, bytes memory answer) = address(inbox).call(abi.encodeCall(IInbox.deliver, (m, s.root, proof)));
        if (success && !abi.decode(answer, (bool))) success = false;
        if (success != expected) differs = true;
    }

    function actDeliverRange(uint256 which, uint32 first, uint256 count) external {
        if (accepted.length == 0) return;
        Signed memory s = accepted[which % accepted.length];
        first = uint32(first % s.count);
        count = bound(count, 1, s.count - first);
        Message[] memory range = new Message[](count);
        for (uint256 i; i < count; ++i) {
            range[i] = branches[s.branch].messages[first + i];
        }
        bytes32[] memory siblings = TreeReference.openRange(_ids(s.branch, s.count), first, count);
        (bool success,) = address(inbox).call(abi.encodeCall(IInbox.deliverRange, (range, s.root, siblings)));
        if (success != (!_paused() && _isValid(s))) differs = true;
    }

    /// @dev A right message and proof with one thing changed.
    function actForge(uint256 which, uint32 index, uint256 change) external {
        if (accepted.length == 0) return;
        Signed memory s = accepted[which % accepted.length];
        index = uint32(index % s.count);
        Message memory m = branches[s.branch].messages[index];
        (, bytes32[32] memory proof) = TreeReference.open(_ids(s.branch, s.count), index);
        uint256 kind = change % 5;
        if (kind == 0) m.body = abi.encodePacked(m.body, uint8(change));
        else if (kind == 1) m.sender = address(uint160(m.sender) + 1);
        else if (kind == 2) m.index += uint32(1 + change % 100);
        else if (kind == 3) proof[(change >> 8) % 32] ^= bytes32(1 << ((change >> 16) % 256));
        else s.root ^= bytes32(1 << ((change >> 16) % 256));
        (bool success,) = address(inbox).call(abi.encodeCall(IInbox.deliver, (m, s.root, proof)));
        if (success) differs = true;
    }

    function actReorg(uint256 depth) external {
        uint256 length = branches[live].ids.length;
        if (reorganised || branches.length == 8) return;
        uint256 kept = length - bound(depth, 0, length);
        uint256 dead = live;
        branches.push();
        live = branches.length - 1;
        for (uint256 i; i < kept; ++i) {
            branches[live].messages.push(branches[dead].messages[i]);
            branches[live].ids.push(branches[dead].ids[i]);
        }
        (reorganised, forkCount) = (true, uint32(kept));
        if (length == 0) return;
        stash.push(Signed(_rootOf(dead, uint32(length)), uint32(length), kings.currentEpoch(), dead));
    }

    function actRecover(uint8 bitmap) external {
        if (!reorganised) return;
        BridgeRecovery memory r = BridgeRecovery(ORIGIN, OUTBOX, kings.currentEpoch() + 1, forkCount);
        Quorum memory q = _sign(kings.recoveryDigest(r), bitmap);
        (bool success,) = address(inbox).call(abi.encodeCall(IInbox.recover, (r, q)));
        if (success != (_signers(bitmap) >= 3)) differs = true;
        if (!success) return;
        reorganised = false;
        floorEpoch = r.setEpoch;
        if (forkCount < floorCount) floorCount = forkCount;
        if (forkCount < latest) latest = forkCount;
    }

    /// @dev Signatures of an ended epoch: nothing new comes of them.
    function actStash(uint256 which) external {
        if (stash.length == 0) return;
        Signed memory s = stash[which % stash.length];
        bool known = _isAccepted(s.root);
        bool expected = !_paused() && (known || (s.setEpoch >= floorEpoch && s.count > latest));
        (bool success,) = address(inbox).call(abi.encodeCall(IInbox.submitCheckpoint, (_checkpoint(s), _quorum(s, 15))));
        if (success != expected) differs = true;
        if (success && !known) _remember(s);
    }

    function actPause(uint8 bitmap, uint64 until, uint256 often) external {
        if (often % 4 != 0) return;
        until = uint64(bound(until, block.timestamp, block.timestamp + 4 days));
        Quorum memory q = _sign(kings.pauseDigest(BridgePause(ORIGIN, OUTBOX, kings.currentEpoch(), until)), bitmap);
        (bool success,) = address(inbox).call(abi.encodeCall(IInbox.pause, (until, q)));
        bool inTime = until > block.timestamp && until <= block.timestamp + 3 days;
        bool rested = pausedUntil == 0 || block.timestamp >= pausedUntil + 3 days;
        if (success != (inTime && rested && _signers(bitmap) >= 3)) differs = true;
        if (success) pausedUntil = until;
    }

    function actWait(uint32 time) external {
        // Within the life of the only set, whatever the length of a run.
        vm.warp(block.timestamp + bound(time, 1 hours, 1 days));
    }

    function handle(uint64, address, bytes calldata body, address) external {
        if (msg.sender != address(inbox)) strangerDelivered = true;
        (uint32 index, bytes32 salt) = abi.decode(body, (uint32, bytes32));
        times[index] += 1;
        if (!wasSent[keccak256(abi.encode(index, salt))]) notSent = true;
    }

    // -------------------------------------------------------------------------------------- invariants

    /// @dev All of them after every step of one campaign: as many campaigns as invariants would repeat the steps, which cost more.
    function invariant_all() public view {
        eachIndexIsDeliveredAtMostOnce();
        onlyWhatWasDispatched();
        theInboxDoesWhatTheModelSays();
    }

    function eachIndexIsDeliveredAtMostOnce() public view {
        for (uint32 i; i < MOST_MESSAGES; ++i) {
            assertLe(times[i], 1);
            assertEq(inbox.delivered(i), times[i] == 1);
        }
    }

    function onlyWhatWasDispatched() public view {
        assertFalse(notSent);
        assertFalse(strangerDelivered);
    }

    /// @dev Only under signed roots, never under revoked ones, and always where the model says so.
    function theInboxDoesWhatTheModelSays() public view {
        assertFalse(differs);
        assertEq(inbox.latestCount(), latest);
        for (uint256 i; i < accepted.length; ++i) {
            assertEq(inbox.acceptedCount(accepted[i].root) != 0, _isAccepted(accepted[i].root));
        }
    }

    // ---------------------------------------------------------------------------------------- helpers

    function _dispatch(uint256 count) private {
        for (uint256 i; i < count && branches[live].ids.length < MOST_MESSAGES; ++i) {
            uint32 index = uint32(branches[live].ids.length);
            bytes32 salt = keccak256(abi.encode(++nonce));
            bytes memory body = abi.encode(index, salt);
            wasSent[keccak256(body)] = true;
            branches[live].messages.push(Message(index, ORIGIN, address(2), HERE, address(this), body));
            branches[live].ids.push(keccak256(abi.encodePacked(uint8(1), index, ORIGIN, address(2), HERE, address(this), body)));
        }
    }

    function _remember(Signed memory s) private {
        accepted.push(s);
        latest = s.count;
    }

    function _isValid(Signed memory s) private view returns (bool) {
        return s.setEpoch >= floorEpoch || s.count <= floorCount || _isAccepted(s.root);
    }

    /// @dev A root may have been accepted a second time, in a later epoch.
    function _isAccepted(bytes32 root) private view returns (bool valid) {
        for (uint256 i; i < accepted.length; ++i) {
            Signed memory s = accepted[i];
            if (s.root == root && (s.setEpoch >= floorEpoch || s.count <= floorCount)) return true;
        }
    }

    function _paused() private view returns (bool) {
        return block.timestamp < pausedUntil;
    }

    function _ids(uint256 branch, uint256 count) private view returns (bytes32[] memory first) {
        first = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            first[i] = branches[branch].ids[i];
        }
    }

    function _rootOf(uint256 branch, uint32 count) private view returns (bytes32 root) {
        (root,) = TreeReference.open(_ids(branch, count), 0);
    }

    function _checkpoint(Signed memory s) private pure returns (Checkpoint memory) {
        return Checkpoint(ORIGIN, OUTBOX, s.setEpoch, s.root, s.count, 10, keccak256("block"), 1000);
    }

    function _quorum(Signed memory s, uint8 bitmap) private view returns (Quorum memory) {
        return _sign(kings.checkpointDigest(_checkpoint(s)), bitmap);
    }

    function _signers(uint8 bitmap) private pure returns (uint256 signers) {
        for (uint256 i; i < 4; ++i) {
            signers += (bitmap >> i) & 1;
        }
    }

    function _sign(bytes32 digest, uint8 bitmap) private view returns (Quorum memory q) {
        q.members = members;
        q.signerBitmap = bitmap % 16;
        for (uint256 i; i < 4; ++i) {
            if ((bitmap >> i) & 1 == 0) continue;
            (bytes32 r, bytes32 vs) = vm.signCompact(keys[i], digest);
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }
}
