// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet} from "../../src/interfaces/IBridge.sol";
import {BridgePause, BridgeRecovery, Checkpoint, KingSetRotation, Message, Quorum} from "../../src/types/Protocol.sol";
import {KingSetArguments} from "../utils/KingSetArguments.sol";
import {TreeReference} from "../utils/TreeReference.sol";
import {BridgeBase} from "./BridgeBase.sol";

/// @dev What the Kings do when the origin was reorganised below what they had signed, and how they stop the bridge meanwhile.
contract RecoveryTest is BridgeBase {
    uint64 private constant NOW = 30 days;
    uint64 private constant LIMIT = 3 days;

    function setUp() public override {
        super.setUp();
        vm.warp(NOW);
    }

    // ---------------------------------------------------------------------------------------- recovery

    function test_recoveryRevokesWhatIsBeyondTheForkAndKeepsTheRest() public {
        (bytes32 good, bytes32 dead) = _twoRoots();
        bytes32[32] memory deadProof = _proofAt(4, 5);
        _recover(2, 2);
        assertEq(inbox.acceptedCount(good), 2);
        assertEq(inbox.acceptedCount(dead), 0);
        assertEq(inbox.latestCount(), 2);
        assertEq(inbox.epochFloor(), 2);
        vm.expectRevert(abi.encodeWithSelector(IInbox.RootNotAccepted.selector, dead));
        inbox.deliver(messages[4], dead, deadProof);
        Message[] memory range = _slice(3, 2);
        bytes32[] memory siblings = TreeReference.openRange(ids, 3, 2);
        vm.expectRevert(abi.encodeWithSelector(IInbox.RootNotAccepted.selector, dead));
        inbox.deliverRange(range, dead, siblings);
        assertTrue(inbox.deliver(messages[1], good, _proofAt(1, 2)), "below the fork, under a root of the old epoch");
    }

    function test_theLiveBranchIsAcceptedInTheNewEpoch() public {
        _twoRoots();
        inbox.deliver(messages[3], outbox.root(), _proofAt(3, 5));
        _recover(2, 2);
        // The live branch: another message at index 2, and again one at 3.
        bytes32[] memory live = new bytes32[](4);
        Message[] memory replaced = new Message[](4);
        for (uint32 i; i < 4; ++i) {
            replaced[i] = messages[i];
            if (i >= 2) replaced[i].body = abi.encodePacked("live", i);
            live[i] = keccak256(abi.encodePacked(uint8(1), i, ORIGIN, address(this), HERE, recipient, replaced[i].body));
        }
        (bytes32 root, bytes32[32] memory proof) = TreeReference.open(live, 2);
        Checkpoint memory c = _checkpoint();
        (c.root, c.count) = (root, 4);
        _expectRefused(c, 15, abi.encodeWithSelector(IInbox.EpochRevoked.selector, 1, 2));
        c.setEpoch = 2;
        inbox.submitCheckpoint(c, _sign(c, 7));
        assertTrue(inbox.deliver(replaced[2], root, proof));
        (, proof) = TreeReference.open(live, 3);
        vm.expectRevert(abi.encodeWithSelector(IInbox.AlreadyDelivered.selector, 3));
        inbox.deliver(replaced[3], root, proof);
    }

    /// @dev Signatures for the dead branch that nobody had submitted yet.
    function test_oldSignaturesDoNotOutliveARecovery() public {
        _twoRoots();
        _dispatch("dead too");
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _sign(c, 15);
        _recover(2, 2);
        vm.expectRevert(abi.encodeWithSelector(IInbox.EpochRevoked.selector, 1, 2));
        inbox.submitCheckpoint(c, q);
        c = _checkpoint();
        c.setEpoch = 2;
        inbox.submitCheckpoint(c, _sign(c, 7));
        assertEq(inbox.acceptedCount(c.root), 6, "in the new epoch the same root may be right");
    }

    function test_aRevokedRootCanBeAcceptedAgain() public {
        (, bytes32 root) = _twoRoots();
        _recover(2, 2);
        Checkpoint memory c = _checkpoint();
        c.setEpoch = 2;
        inbox.submitCheckpoint(c, _sign(c, 7));
        assertEq(inbox.acceptedCount(root), 5);
        assertTrue(inbox.deliver(messages[4], root, _proofAt(4, 5)));
    }

    function test_severalRecoveriesKeepTheLowestFork() public {
        (bytes32 good, bytes32 dead) = _twoRoots();
        _recover(2, 3);
        Checkpoint memory c = _checkpoint();
        c.setEpoch = 2;
        inbox.submitCheckpoint(c, _sign(c, 7));
        _recover(3, 1);
        assertEq(inbox.acceptedCount(good), 0);
        assertEq(inbox.acceptedCount(dead), 0);
        assertEq(inbox.latestCount(), 1);
        _recover(4, 7);
        assertEq(inbox.acceptedCount(good), 0, "what was revoked stays revoked");
        assertEq(inbox.latestCount(), 1);
    }

    /// @dev Whatever is accepted, and wherever the fork is: what counts afterwards is what lies below it.
    function testFuzz_recoveryCutsAtTheFork(uint8 count, uint8 fork) public {
        count = uint8(bound(count, 1, 12));
        bytes32[] memory roots = new bytes32[](count + 1);
        for (uint256 i; i < count; ++i) {
            _dispatch(abi.encodePacked(i));
            roots[i + 1] = _accept();
        }
        fork = uint8(bound(fork, 0, count + 2));
        _recover(2, fork);
        for (uint256 i = 1; i <= count; ++i) {
            assertEq(inbox.acceptedCount(roots[i]), i <= fork ? i : 0);
        }
        assertEq(inbox.latestCount(), fork < count ? fork : count);
    }

    function test_recoveryNeedsAQuorumTheNextEpochAndThisOutbox() public {
        BridgeRecovery memory r = BridgeRecovery(ORIGIN, address(outbox), 2, 0);
        Quorum memory q = _signDigest(kings.recoveryDigest(r), 3);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.QuorumNotReached.selector, 200, 400));
        inbox.recover(r, q);
        r.setEpoch = 3;
        q = _signDigest(kings.recoveryDigest(r), 7);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.WrongEpoch.selector, 2, 3));
        inbox.recover(r, q);
        r = BridgeRecovery(ORIGIN, address(localOutbox), 2, 0);
        q = _signDigest(kings.recoveryDigest(r), 7);
        vm.expectRevert(abi.encodeWithSelector(IInbox.WrongOrigin.selector, ORIGIN, localOutbox));
        inbox.recover(r, q);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.UnknownOutbox.selector, ORIGIN, localOutbox));
        kings.recover(r, q);
        r.outbox = address(outbox);
        q = _signDigest(kings.recoveryDigest(r), 7);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.NotInbox.selector, address(this)));
        kings.recover(r, q);
        inbox.recover(r, q);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.WrongEpoch.selector, 3, 2));
        inbox.recover(r, q);
    }

    /// @dev A reorg of this chain concerns the other chain's Inbox; here only the epoch moves on.
    function test_theOtherDirectionMovesTheEpochOnly() public {
        _twoRoots();
        BridgeRecovery memory r = BridgeRecovery(HERE, address(localOutbox), 2, 0);
        vm.expectEmit();
        emit IKingSet.KingSetRecovered(2, HERE, address(localOutbox), 0);
        kings.recover(r, _signDigest(kings.recoveryDigest(r), 7));
        assertEq(kings.currentEpoch(), 2);
        assertEq(kings.setHash(2), kings.setHash(1));
        assertEq(inbox.epochFloor(), 0);
        assertEq(inbox.latestCount(), 5);
        _dispatch("x");
        _accept();
        assertEq(inbox.latestCount(), 6, "the old epoch's signatures of this direction stay good for the overlap");
    }

    function test_noSetProlongsItsLifeByRecovering() public {
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            _recover(epoch, 0);
            assertEq(kings.expiresAt(epoch), EXPIRY);
        }
        assertEq(kings.expiresAt(3), NOW + KingSetArguments.OVERLAP);
        vm.warp(EXPIRY + 1);
        BridgeRecovery memory r = BridgeRecovery(ORIGIN, address(outbox), 5, 0);
        Quorum memory q = _signDigest(kings.recoveryDigest(r), 15);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.SetExpired.selector, 4, EXPIRY));
        inbox.recover(r, q);
    }

    /// @dev Exempt from the delay, and without effect on it.
    function test_recoveryRightAfterARotation() public {
        KingSetRotation memory r = KingSetRotation(kings.bridgeId(), 2, kings.setHash(1), NOW, NOW + 100 days);
        kings.rotate(r, members, _signDigest(kings.rotationDigest(r), 7));
        _recover(3, 0);
        assertEq(kings.currentEpoch(), 3);
        assertEq(kings.nominatedAt(), NOW);
    }

    // ------------------------------------------------------------------------------------------- pause

    function test_kingsStopCheckpointsAndDeliveriesUntilThePauseEnds() public {
        _dispatch("a");
        bytes32 root = _accept();
        _dispatch("b");
        Checkpoint memory c = _checkpoint();
        uint64 until = NOW + 1 days;
        Quorum memory q = _pauseOrder(until, 7);
        vm.expectEmit();
        emit IInbox.Paused(address(this), until);
        inbox.pause(until, q);
        assertEq(inbox.pausedUntil(), until);
        vm.warp(until - 1);
        bytes memory paused = abi.encodeWithSelector(IInbox.IsPaused.selector, until);
        _expectRefused(c, 7, paused);
        bytes32[32] memory proof = _proofAt(0, 1);
        vm.expectRevert(paused);
        inbox.deliver(messages[0], root, proof);
        Message[] memory one = _slice(0, 1);
        bytes32[] memory siblings = TreeReference.openRange(ids, 0, 1);
        vm.expectRevert(paused);
        inbox.deliverRange(one, root, siblings);
        q = _sign(c, 7);
        vm.expectRevert(paused);
        inbox.submitAndDeliverRange(c, q, one, siblings);
        vm.expectRevert(paused);
        inbox.submitAndDeliver(c, q, one, new bytes32[32][](1));
        vm.warp(until);
        assertTrue(inbox.deliver(messages[0], root, proof), "over by itself");
        inbox.submitCheckpoint(c, q);
    }

    function test_pauseIsBoundedInTimeAndRate() public {
        uint64 until = NOW + LIMIT;
        Quorum memory q = _pauseOrder(until + 1, 7);
        vm.expectRevert(abi.encodeWithSelector(IInbox.InvalidPause.selector, until + 1, NOW + 1, until));
        inbox.pause(until + 1, q);
        q = _pauseOrder(NOW, 7);
        vm.expectRevert(abi.encodeWithSelector(IInbox.InvalidPause.selector, NOW, NOW + 1, until));
        inbox.pause(NOW, q);
        inbox.pause(until, _pauseOrder(until, 7));
        vm.warp(until + LIMIT - 1);
        q = _pauseOrder(until + LIMIT + 1, 7);
        vm.expectRevert(abi.encodeWithSelector(IInbox.PausedTooSoon.selector, until + LIMIT));
        inbox.pause(until + LIMIT + 1, q);
        vm.warp(until + LIMIT);
        inbox.pause(until + LIMIT + 1, q);
    }

    function test_pauseNeedsAQuorumOfTheCurrentSetForThisOutbox() public {
        uint64 until = NOW + 1 days;
        Quorum memory q = _pauseOrder(until, 3);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.QuorumNotReached.selector, 200, 400));
        inbox.pause(until, q);
        q = _signDigest(kings.pauseDigest(BridgePause(HERE, address(localOutbox), 1, until)), 7);
        vm.expectPartialRevert(IKingSet.InvalidSigner.selector);
        inbox.pause(until, q);
        q = _pauseOrder(until, 7);
        _recover(2, 0);
        vm.expectPartialRevert(IKingSet.InvalidSigner.selector);
        inbox.pause(until, q);
        BridgePause memory old = BridgePause(ORIGIN, address(outbox), 1, until);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.WrongEpoch.selector, 2, 1));
        kings.verifyPause(old, q);
    }

    function test_theGovernorEndsAPauseAndTheSameOrderIsSpent() public {
        uint64 until = NOW + LIMIT;
        Quorum memory q = _pauseOrder(until, 7);
        inbox.pause(until, q);
        vm.warp(NOW + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(IInbox.NotGovernor.selector, address(this)));
        inbox.resume();
        vm.prank(governor);
        vm.expectEmit();
        emit IInbox.Resumed(governor);
        inbox.resume();
        _dispatch("a");
        _accept();
        vm.expectRevert(abi.encodeWithSelector(IInbox.PausedTooSoon.selector, NOW + 1 hours + LIMIT));
        inbox.pause(until, q);
        vm.warp(NOW + 1 hours + LIMIT);
        vm.expectPartialRevert(IInbox.InvalidPause.selector);
        inbox.pause(until, q);
    }

    function test_theGovernorPausesForAsLongAtMostAndMayExtend() public {
        uint64 until = NOW + LIMIT;
        vm.expectRevert(abi.encodeWithSelector(IInbox.NotGovernor.selector, address(this)));
        inbox.pauseByGovernor(until);
        vm.startPrank(governor);
        vm.expectRevert(IInbox.NotPaused.selector);
        inbox.resume();
        vm.expectRevert(abi.encodeWithSelector(IInbox.InvalidPause.selector, until + 1, NOW + 1, until));
        inbox.pauseByGovernor(until + 1);
        inbox.pauseByGovernor(until);
        vm.warp(NOW + 1 days);
        inbox.pauseByGovernor(until + 1 days);
        assertEq(inbox.pausedUntil(), until + 1 days);
    }

    function test_recoveryWorksWhilePaused() public {
        _twoRoots();
        inbox.pause(NOW + 1 days, _pauseOrder(NOW + 1 days, 7));
        _recover(2, 2);
        assertEq(inbox.latestCount(), 2);
    }

    // ---------------------------------------------------------------------------------------- helpers

    /// @dev Roots of two and of five messages, both accepted.
    function _twoRoots() private returns (bytes32 good, bytes32 dead) {
        _dispatch("a");
        _dispatch("b");
        good = _accept();
        for (uint256 i; i < 3; ++i) {
            _dispatch(abi.encodePacked("dead", i));
        }
        dead = _accept();
    }

    function _recover(uint64 epoch, uint32 fork) private {
        BridgeRecovery memory r = BridgeRecovery(ORIGIN, address(outbox), epoch, fork);
        Quorum memory q = _signDigest(kings.recoveryDigest(r), 7);
        vm.expectEmit();
        emit IInbox.RootsRevoked(epoch, fork);
        inbox.recover(r, q);
    }

    function _pauseOrder(uint64 until, uint256 bitmap) private view returns (Quorum memory) {
        BridgePause memory order = BridgePause(ORIGIN, address(outbox), kings.currentEpoch(), until);
        return _signDigest(kings.pauseDigest(order), bitmap);
    }
}
