// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IKingSet} from "../../src/interfaces/IBridge.sol";
import {Checkpoint, KingSetRotation, Quorum} from "../../src/types/Protocol.sol";
import {KingSetArguments} from "../utils/KingSetArguments.sol";
import {BridgeBase} from "./BridgeBase.sol";

/// @dev Rotation on the chain that has no stakes: the signatures of the outgoing set decide.
contract RotationTest is BridgeBase {
    uint64 private constant NOW = 30 days;
    uint256[] private nextKeys;
    bytes32[] private nextMembers;

    function setUp() public override {
        super.setUp();
        vm.warp(NOW);
        for (uint256 i; i < 4; ++i) {
            nextKeys.push(uint256(keccak256(abi.encode("next king", i))));
        }
        for (uint256 i; i < 4; ++i) {
            for (uint256 j = i + 1; j < 4; ++j) {
                if (vm.addr(nextKeys[j]) < vm.addr(nextKeys[i])) (nextKeys[i], nextKeys[j]) = (nextKeys[j], nextKeys[i]);
            }
            nextMembers.push(bytes32((uint256(uint160(vm.addr(nextKeys[i]))) << 96) | 1));
        }
    }

    function test_theOutgoingSetInstallsTheNextAndStaysForTheOverlap() public {
        KingSetRotation memory r = _rotation();
        vm.expectEmit();
        emit IKingSet.KingSetInstalled(2, r.setHash, nextMembers, 4, r.expiresAt);
        _rotate(r);
        assertEq(kings.currentEpoch(), 2);
        assertEq(kings.setHash(2), r.setHash);
        assertEq(kings.expiresAt(2), r.expiresAt);
        assertEq(kings.expiresAt(1), NOW + KingSetArguments.OVERLAP);
        assertEq(kings.nominatedAt(), NOW);

        _dispatch("a");
        Checkpoint memory old = _checkpoint();
        vm.warp(NOW + KingSetArguments.OVERLAP);
        inbox.submitCheckpoint(old, _sign(old, 7));
        _dispatch("b");
        Checkpoint memory c = _checkpoint();
        c.setEpoch = 2;
        _useNext();
        inbox.submitCheckpoint(c, _sign(c, 7));
        assertEq(inbox.latestCount(), 2);
    }

    function test_afterTheOverlapTheOldSetIsExpired() public {
        _rotate(_rotation());
        _dispatch("a");
        Checkpoint memory c = _checkpoint();
        vm.warp(NOW + KingSetArguments.OVERLAP + 1);
        uint64 end = NOW + KingSetArguments.OVERLAP;
        _expectRefused(c, 15, abi.encodeWithSelector(IKingSet.SetExpired.selector, 1, end));
    }

    /// @dev Nobody outside the current set rotates: neither the set before it nor the one to come.
    function test_onlyTheCurrentSetRotates() public {
        KingSetRotation memory r = _rotation();
        Quorum memory q = _signDigest(kings.rotationDigest(r), 3);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.QuorumNotReached.selector, 200, 400));
        kings.rotate(r, nextMembers, q);
        _rotate(r);
        vm.warp(NOW + KingSetArguments.OVERLAP);
        r = _rotation();
        r.setEpoch = 3;
        q = _signDigest(kings.rotationDigest(r), 15);
        vm.expectPartialRevert(IKingSet.NominationTooEarly.selector);
        kings.rotate(r, nextMembers, q);
        r.nominatedAt = NOW + KingSetArguments.DELAY;
        vm.warp(r.nominatedAt);
        q = _signDigest(kings.rotationDigest(r), 15);
        vm.expectPartialRevert(IKingSet.SetHashMismatch.selector);
        kings.rotate(r, nextMembers, q);
    }

    function test_theSameRotationWorksOnce() public {
        KingSetRotation memory r = _rotation();
        _rotate(r);
        Quorum memory q = _signDigest(kings.rotationDigest(r), 7);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.WrongEpoch.selector, 3, 2));
        kings.rotate(r, nextMembers, q);
    }

    function test_anExpiredSetRotatesNothing() public {
        vm.warp(EXPIRY + 1);
        KingSetRotation memory r = _rotation();
        Quorum memory q = _signDigest(kings.rotationDigest(r), 15);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.SetExpired.selector, 1, EXPIRY));
        kings.rotate(r, nextMembers, q);
    }

    function test_anotherBridgesRotationIsRefused() public {
        KingSetRotation memory r = _rotation();
        r.bridge = keccak256("another deployment");
        _expectRotationRefused(r, abi.encodeWithSelector(IKingSet.WrongBridge.selector, kings.bridgeId(), r.bridge));
    }

    function test_skippedEpochsAndOtherMembersAreRefused() public {
        KingSetRotation memory r = _rotation();
        r.setEpoch = 3;
        _expectRotationRefused(r, abi.encodeWithSelector(IKingSet.WrongEpoch.selector, 2, 3));
        r = _rotation();
        bytes32 hash = r.setHash;
        nextMembers[0] = bytes32(uint256(nextMembers[0]) + 1);
        bytes32 actual = keccak256(abi.encodePacked(nextMembers));
        _expectRotationRefused(r, abi.encodeWithSelector(IKingSet.SetHashMismatch.selector, hash, actual));
    }

    function test_nominationIsOpenFromItsTimeToTheEndOfTheWindow() public {
        KingSetRotation memory r = _rotation();
        uint64 closes = NOW + KingSetArguments.WINDOW;
        bytes memory closed = abi.encodeWithSelector(IKingSet.NominationClosed.selector, NOW, closes);
        vm.warp(NOW - 1);
        _expectRotationRefused(r, closed);
        vm.warp(closes + 1);
        _expectRotationRefused(r, closed);
        vm.warp(closes);
        _rotate(r);
    }

    function test_lifetimeIsBounded() public {
        KingSetRotation memory r = _rotation();
        uint64 latest = NOW + KingSetArguments.LIFETIME;
        r.expiresAt = latest + 1;
        _expectRotationRefused(r, abi.encodeWithSelector(IKingSet.InvalidExpiry.selector, latest + 1, NOW + 1, latest));
        r.expiresAt = NOW;
        _expectRotationRefused(r, abi.encodeWithSelector(IKingSet.InvalidExpiry.selector, NOW, NOW + 1, latest));
        r.expiresAt = NOW + 1;
        _rotate(r);
    }

    function test_rotationsKeepTheirDistance() public {
        _rotate(_rotation());
        _useNext();
        uint64 next = NOW + KingSetArguments.DELAY;
        vm.warp(next);
        KingSetRotation memory r = _rotation();
        r.setEpoch = 3;
        r.nominatedAt = next - 1;
        _expectRotationRefused(r, abi.encodeWithSelector(IKingSet.NominationTooEarly.selector, next));
        r.nominatedAt = next;
        _rotate(r);
        assertEq(kings.currentEpoch(), 3);
        assertLt(kings.expiresAt(1), block.timestamp, "never more than two valid sets");
    }

    function test_setsOfTooFewOrTooManyAreRefused() public {
        nextMembers.pop();
        _expectRotationRefused(_rotation(), abi.encodeWithSelector(IKingSet.TooFewMembers.selector, 3, 4));
        nextMembers = new bytes32[](0);
        _expectRotationRefused(_rotation(), abi.encodeWithSelector(IKingSet.TooFewMembers.selector, 0, 4));
        for (uint256 i = 1; i <= 22; ++i) {
            nextMembers.push(bytes32((i << 96) | 1));
        }
        _expectRotationRefused(_rotation(), abi.encodeWithSelector(IKingSet.TooManyMembers.selector, 22, 21));
        nextMembers.pop();
        (nextMembers[0], nextMembers[1]) = (nextMembers[1], nextMembers[0]);
        _expectRotationRefused(_rotation(), abi.encodeWithSelector(IKingSet.MembersNotAscending.selector, 1));
        (nextMembers[0], nextMembers[1]) = (nextMembers[1], nextMembers[0]);
        _rotate(_rotation());
    }

    /// @dev Signatures under one purpose serve no other.
    function test_purposesAreApart() public {
        _dispatch("a");
        KingSetRotation memory r = _rotation();
        Checkpoint memory c = _checkpoint();
        Quorum memory q = _signDigest(kings.rotationDigest(r), 15);
        vm.expectPartialRevert(IKingSet.InvalidSigner.selector);
        inbox.submitCheckpoint(c, q);
        q = _sign(c, 15);
        vm.expectPartialRevert(IKingSet.InvalidSigner.selector);
        kings.rotate(r, nextMembers, q);
    }

    function test_nothingIsNominatedWithoutStakes() public {
        vm.expectRevert(IKingSet.NominationElsewhere.selector);
        kings.nominate();
    }

    function test_constructorBounds() public {
        _expectTimesRefused([uint32(0), 7 days, 1 days, 365 days]);
        _expectTimesRefused([uint32(2 days), 7 days, 0, 365 days]);
        _expectTimesRefused([uint32(6 days + 1), 7 days, 1 days, 365 days]);
        _expectTimesRefused([uint32(2 days), 7 days, 1 days, 9 days - 1]);
        _expectTimesRefused([uint32(2 days), 91 days, 1 days, 365 days]);
        _expectTimesRefused([uint32(2 days), 7 days, 1 days, 401 days]);
        vm.chainId(61);
        _expectTimesRefused([uint32(2 days - 1), 7 days, 1 days, 365 days]);
        this.deploy(EXPIRY, address(1), [uint32(2 days), 7 days, 1 days, 365 days]);
        uint64 latest = NOW + 365 days;
        vm.expectRevert(abi.encodeWithSelector(IKingSet.InvalidExpiry.selector, latest + 1, NOW + 1, latest));
        this.deploy(latest + 1, address(1), [uint32(2 days), 7 days, 1 days, 365 days]);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.InvalidExpiry.selector, NOW, NOW + 1, latest));
        this.deploy(NOW, address(1), [uint32(2 days), 7 days, 1 days, 365 days]);
        vm.expectPartialRevert(IKingSet.UnknownOutbox.selector);
        this.deploy(EXPIRY, address(0), [uint32(2 days), 7 days, 1 days, 365 days]);
    }

    function deploy(uint64 expiry, address inbox_, uint32[4] calldata times) external {
        KingSetArguments.Ends memory ends = KingSetArguments.Ends(inbox_, address(2), ORIGIN, address(3), address(0));
        vm.deployCode("KingSet.sol:KingSet", abi.encode(members, 1, expiry, ends, times));
    }

    function _expectTimesRefused(uint32[4] memory times) private {
        vm.expectRevert(IKingSet.InvalidTimes.selector);
        this.deploy(EXPIRY, address(1), times);
    }

    // ---------------------------------------------------------------------------------------- helpers

    function _rotation() private view returns (KingSetRotation memory) {
        uint64 now_ = uint64(block.timestamp);
        bytes32 hash = keccak256(abi.encodePacked(nextMembers));
        return KingSetRotation(kings.bridgeId(), 2, hash, now_, now_ + KingSetArguments.LIFETIME);
    }

    function _rotate(KingSetRotation memory r) private {
        kings.rotate(r, nextMembers, _signDigest(kings.rotationDigest(r), 7));
    }

    function _expectRotationRefused(KingSetRotation memory r, bytes memory reason) private {
        Quorum memory q = _signDigest(kings.rotationDigest(r), 7);
        vm.expectRevert(reason);
        kings.rotate(r, nextMembers, q);
    }

    function _useNext() private {
        (keys, members) = (nextKeys, nextMembers);
    }
}
