// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IKingSet} from "../../src/interfaces/IBridge.sol";
import {
    IKingCourt,
    IKingSlasher,
    LeafOpening,
    SignedCheckpoint,
    SLASH_EQUIVOCATION,
    SLASH_FALSE_CHECKPOINT
} from "../../src/interfaces/IKingCourt.sol";
import {Checkpoint} from "../../src/types/Protocol.sol";
import {TreeReference} from "../utils/TreeReference.sol";
import {World} from "../utils/World.sol";

/// @dev Remembers who was slashed, so that the court is seen apart from what stakes do about it.
contract SlashLog is IKingSlasher {
    address public king;
    uint8 public reason;
    address public reporter;
    uint256 public slashes;
    bool private refuses;

    function refuse() external {
        refuses = true;
    }

    function slashKing(address king_, uint8 reason_, address reporter_) external {
        require(!refuses, "nothing left");
        (king, reason, reporter) = (king_, reason_, reporter_);
        slashes += 1;
    }
}

/// @dev Evidence against Kings, and honest Kings that no evidence can be made against.
contract KingCourtTest is World {
    uint256 private constant SECRET = uint256(keccak256("a king"));
    IKingCourt private kingCourt;
    SlashLog private slasher;
    address private king = vm.addr(SECRET);
    address private reporter = makeAddr("reporter");
    bytes32[] private leaves;

    function setUp() public override {
        super.setUp();
        onEthereum();
        slasher = new SlashLog();
        kingCourt =
            IKingCourt(deployCode("KingCourt.sol:KingCourt", abi.encode(slasher, ethKingSet, ethOutbox, CLASSIC, etcOutbox)));
    }

    // ------------------------------------------------------------------------------------ equivocation

    function test_twoRootsForOneCount() public {
        SignedCheckpoint memory first = _sign(_classic(5, keccak256("one")));
        SignedCheckpoint memory second = _sign(_classic(5, keccak256("two")));
        vm.expectEmit();
        emit IKingCourt.KingConvicted(king, SLASH_EQUIVOCATION, CLASSIC, 1, reporter);
        vm.prank(reporter);
        kingCourt.reportConflict(first, second);
        assertEq(slasher.king(), king);
        assertEq(slasher.reason(), SLASH_EQUIVOCATION);
        assertEq(slasher.reporter(), reporter);
        assertTrue(kingCourt.convicted(king, SLASH_EQUIVOCATION, CLASSIC, 1));
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.AlreadyConvicted.selector, king, SLASH_EQUIVOCATION, CLASSIC, 1));
        kingCourt.reportConflict(second, first);
        assertEq(slasher.slashes(), 1);
    }

    function test_differentLeavesBelowBothCounts() public {
        bytes32[] memory a = _ids(5, 5);
        bytes32[] memory b = _ids(10, 3);
        SignedCheckpoint memory first = _sign(_classic(5, _root(a)));
        SignedCheckpoint memory second = _sign(_classic(10, _root(b)));
        for (uint32 index; index < 3; ++index) {
            LeafOpening memory same = _open(a, index);
            LeafOpening memory other = _open(b, index);
            vm.expectRevert(IKingCourt.NoContradiction.selector);
            kingCourt.reportFork(first, second, index, same, other);
        }
        LeafOpening memory one = _open(a, 3);
        LeafOpening memory two = _open(b, 3);
        vm.prank(reporter);
        kingCourt.reportFork(first, second, 3, one, two);
        assertEq(slasher.king(), king);
        assertEq(slasher.reason(), SLASH_EQUIVOCATION);
    }

    /// @dev Counts 5 and 10 of one history: whatever index and leaves somebody brings, nothing is proven.
    function test_aKingThatSignedFiveAndTenIsNotCaughtAtSeven() public {
        bytes32[] memory ten = _ids(10, 10);
        bytes32[] memory five = _cut(ten, 5);
        SignedCheckpoint memory first = _sign(_classic(5, _root(five)));
        SignedCheckpoint memory second = _sign(_classic(10, _root(ten)));
        // Index 7 is an empty leaf under the older root.
        (, bytes32[32] memory path) = TreeReference.open(five, 7);
        LeafOpening memory empty = LeafOpening(0, path);
        LeafOpening memory full = _open(ten, 7);
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.IndexNotCovered.selector, 7, 5, 10));
        kingCourt.reportFork(first, second, 7, empty, full);
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.IndexNotCovered.selector, 7, 10, 5));
        kingCourt.reportFork(second, first, 7, full, empty);
        assertEq(slasher.slashes(), 0);
    }

    function test_evidenceOfOthersAndOfOtherThingsIsRefused() public {
        Checkpoint memory c = _classic(5, keccak256("one"));
        SignedCheckpoint memory first = _sign(c);
        Checkpoint memory d = _classic(5, keccak256("two"));
        SignedCheckpoint memory second = _signBy(d, kingKeys[0]);
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.DifferentSigners.selector, king, vm.addr(kingKeys[0])));
        kingCourt.reportConflict(first, second);
        d.setEpoch = 2;
        second = _sign(d);
        vm.expectRevert(IKingCourt.DifferentStatements.selector);
        kingCourt.reportConflict(first, second);
        d = _classic(5, keccak256("two"));
        d.originChainId = ETHEREUM;
        d.outbox = address(ethOutbox);
        second = _sign(d);
        vm.expectRevert(IKingCourt.DifferentStatements.selector);
        kingCourt.reportConflict(first, second);
        d = _classic(6, keccak256("two"));
        second = _sign(d);
        vm.expectRevert(IKingCourt.NoContradiction.selector);
        kingCourt.reportConflict(first, second);
        // The same root again, at a later block.
        d = _classic(5, keccak256("one"));
        d.blockNumber = 99;
        d.blockHash = keccak256("later");
        second = _sign(d);
        vm.expectRevert(IKingCourt.NoContradiction.selector);
        kingCourt.reportConflict(first, second);
        // Another deployment's Outbox.
        c.outbox = address(0xbeef);
        first = _sign(c);
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.UnknownOutbox.selector, CLASSIC, address(0xbeef)));
        kingCourt.reportConflict(first, second);
        c.originChainId = 5;
        first = _sign(c);
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.UnknownOutbox.selector, 5, address(0xbeef)));
        kingCourt.reportConflict(first, second);
    }

    function test_malformedSignaturesConvictNobody() public {
        SignedCheckpoint memory first = _sign(_classic(5, keccak256("one")));
        SignedCheckpoint memory second = _sign(_classic(5, keccak256("two")));
        (first.r, first.vs) = (0, 0);
        (second.r, second.vs) = (0, 0);
        vm.expectRevert(IKingCourt.InvalidSignature.selector);
        kingCourt.reportConflict(first, second);
    }

    function test_forgedOpeningsAreRefused() public {
        bytes32[] memory a = _ids(5, 5);
        bytes32[] memory b = _ids(10, 3);
        SignedCheckpoint memory first = _sign(_classic(5, _root(a)));
        SignedCheckpoint memory second = _sign(_classic(10, _root(b)));
        LeafOpening memory one = _open(a, 2);
        LeafOpening memory two = _open(b, 3);
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.InvalidOpening.selector, _root(b)));
        kingCourt.reportFork(first, second, 2, one, two);
        one.leaf = keccak256("made up");
        two = _open(b, 2);
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.InvalidOpening.selector, _root(a)));
        kingCourt.reportFork(first, second, 2, one, two);
    }

    // -------------------------------------------------------------------------------- false checkpoints

    function test_moreMessagesThanTheOutboxHas() public {
        _dispatch(3);
        SignedCheckpoint memory signed = _sign(_ours(4, keccak256("invented")));
        vm.prank(reporter);
        kingCourt.reportBeyondOutbox(signed);
        assertEq(slasher.king(), king);
        assertEq(slasher.reason(), SLASH_FALSE_CHECKPOINT);
        assertTrue(kingCourt.convicted(king, SLASH_FALSE_CHECKPOINT, ETHEREUM, 1));
    }

    function test_beyondTheOutboxIsFalseOnlyUntilItIsReached() public {
        _dispatch(3);
        SignedCheckpoint memory signed = _sign(_ours(3, ethOutbox.root()));
        vm.expectRevert(IKingCourt.NoContradiction.selector);
        kingCourt.reportBeyondOutbox(signed);
        signed = _sign(_classic(400, keccak256("x")));
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.NotThisOutbox.selector, CLASSIC, etcOutbox));
        kingCourt.reportBeyondOutbox(signed);
    }

    /// @dev A root that nobody could open: the Outbox's own later root shows what it should have been.
    function test_aRootThatTheOutboxNeverHad() public {
        _dispatch(5);
        SignedCheckpoint memory signed = _sign(_ours(3, keccak256("garbage")));
        _dispatch(6);
        vm.expectEmit();
        emit IKingCourt.OutboxRecorded(11, ethOutbox.root());
        kingCourt.recordOutbox();
        // Evidence does not age with the next message.
        LeafOpening memory last = _open(leaves, 2);
        _dispatch(1);
        vm.prank(reporter);
        kingCourt.reportFalseRoot(signed, 11, last);
        assertEq(slasher.king(), king);
        assertEq(slasher.reporter(), reporter);
        assertEq(slasher.reason(), SLASH_FALSE_CHECKPOINT);
    }

    function test_falseRootNeedsARecordedRootThatCoversIt() public {
        _dispatch(5);
        kingCourt.recordOutbox();
        LeafOpening memory last = _open(leaves, 2);
        SignedCheckpoint memory signed = _sign(_ours(3, keccak256("garbage")));
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.RootNotRecorded.selector, 4));
        kingCourt.reportFalseRoot(signed, 4, last);
        signed = _sign(_ours(6, keccak256("garbage")));
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.CountNotCovered.selector, 6, 5));
        kingCourt.reportFalseRoot(signed, 5, last);
        signed = _sign(_ours(0, keccak256("garbage")));
        vm.expectRevert(IKingCourt.EmptyCheckpoint.selector);
        kingCourt.reportFalseRoot(signed, 5, last);
        signed = _sign(_ours(4, keccak256("garbage")));
        bytes32 root = ethOutbox.root();
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.InvalidOpening.selector, root));
        kingCourt.reportFalseRoot(signed, 5, last);
        signed = _sign(_classic(3, keccak256("garbage")));
        vm.expectRevert(abi.encodeWithSelector(IKingCourt.NotThisOutbox.selector, CLASSIC, etcOutbox));
        kingCourt.reportFalseRoot(signed, 5, last);
    }

    function test_recordingTwiceChangesNothing() public {
        _dispatch(2);
        (uint32 count, bytes32 root) = kingCourt.recordOutbox();
        assertEq(count, 2);
        assertEq(root, ethOutbox.root());
        kingCourt.recordOutbox();
        assertEq(kingCourt.recordedRoot(2), root);
        assertEq(kingCourt.recordedRoot(3), 0);
    }

    /// @dev A King that signs what the Outbox holds, at any counts, whatever comes later: no evidence convicts it.
    function testFuzz_honestHistoriesAreSafe(uint8 a, uint8 b, uint8 later, uint32 index, bytes32 forged, uint256 seed) public {
        a = uint8(bound(a, 1, 24));
        b = uint8(bound(b, 1, 24));
        if (a > b) (a, b) = (b, a);
        _dispatch(a);
        SignedCheckpoint memory first = _sign(_ours(a, ethOutbox.root()));
        _dispatch(b - a);
        SignedCheckpoint memory second = _sign(_ours(b, ethOutbox.root()));
        second.checkpoint.blockNumber = first.checkpoint.blockNumber;
        second = _sign(second.checkpoint);
        _dispatch(bound(later, 0, 8));
        kingCourt.recordOutbox();

        _expectNothing(abi.encodeCall(IKingCourt.reportConflict, (first, second)));
        _expectNothing(abi.encodeCall(IKingCourt.reportBeyondOutbox, (first)));
        _expectNothing(abi.encodeCall(IKingCourt.reportBeyondOutbox, (second)));
        uint32 recorded = uint32(leaves.length);
        for (uint32 i; i < recorded; ++i) {
            LeafOpening memory last = _open(leaves, i);
            _expectNothing(abi.encodeCall(IKingCourt.reportFalseRoot, (first, recorded, last)));
            _expectNothing(abi.encodeCall(IKingCourt.reportFalseRoot, (second, recorded, last)));
        }
        index = uint32(bound(index, 0, 30));
        (, bytes32[32] memory pathA) = TreeReference.open(_cut(leaves, a), index);
        (, bytes32[32] memory pathB) = TreeReference.open(_cut(leaves, b), index);
        bytes32 leafA = index < a ? _leaf(leaves[index]) : bytes32(0);
        bytes32 leafB = index < b ? _leaf(leaves[index]) : bytes32(0);
        if (seed % 4 == 1) leafA = forged;
        if (seed % 4 == 2) leafB = forged;
        if (seed % 4 == 3) pathA[seed % 32] = forged;
        LeafOpening memory underA = LeafOpening(leafA, pathA);
        LeafOpening memory underB = LeafOpening(leafB, pathB);
        _expectNothing(abi.encodeCall(IKingCourt.reportFork, (first, second, index, underA, underB)));
        _expectNothing(abi.encodeCall(IKingCourt.reportFork, (second, first, index, underB, underA)));
    }

    /// @dev Any other root for a count that the Outbox has passed is proven false by one opening.
    function testFuzz_everyFalseRootIsCaught(uint8 count, uint8 later, uint8 bit) public {
        count = uint8(bound(count, 1, 24));
        _dispatch(count);
        bytes32 root = ethOutbox.root() ^ bytes32(uint256(1) << bit);
        SignedCheckpoint memory signed = _sign(_ours(count, root));
        _dispatch(bound(later, 0, 24));
        kingCourt.recordOutbox();
        kingCourt.reportFalseRoot(signed, uint32(leaves.length), _open(leaves, count - 1));
        assertEq(slasher.king(), king);
    }

    /// @dev Two histories that part at a random place: the first leaf that differs convicts.
    function testFuzz_everyForkIsCaught(uint8 a, uint8 b, uint8 fork) public {
        a = uint8(bound(a, 1, 24));
        b = uint8(bound(b, 1, 24));
        fork = uint8(bound(fork, 0, (a < b ? a : b) - 1));
        bytes32[] memory one = _ids(a, a);
        bytes32[] memory two = _ids(b, fork);
        SignedCheckpoint memory first = _sign(_classic(a, _root(one)));
        SignedCheckpoint memory second = _sign(_classic(b, _root(two)));
        kingCourt.reportFork(first, second, fork, _open(one, fork), _open(two, fork));
        assertEq(slasher.king(), king);
    }

    /// @dev Offences of other kinds, Outboxes and epochs are offences of their own.
    function test_eachOffenceCountsOnce() public {
        _dispatch(3);
        kingCourt.reportConflict(_sign(_classic(5, "1")), _sign(_classic(5, "2")));
        kingCourt.reportConflict(_sign(_ours(2, "1")), _sign(_ours(2, "2")));
        kingCourt.reportBeyondOutbox(_sign(_ours(9, "1")));
        Checkpoint memory c = _ours(9, "1");
        c.setEpoch = 2;
        kingCourt.reportBeyondOutbox(_sign(c));
        assertEq(slasher.slashes(), 4);
        kingCourt.recordOutbox();
        SignedCheckpoint memory signed = _sign(_ours(1, "3"));
        LeafOpening memory last = _open(leaves, 0);
        vm.expectPartialRevert(IKingCourt.AlreadyConvicted.selector);
        kingCourt.reportFalseRoot(signed, 3, last);
    }

    function test_aSlashThatFailsIsNoConviction() public {
        slasher.refuse();
        SignedCheckpoint memory first = _sign(_classic(5, "1"));
        SignedCheckpoint memory second = _sign(_classic(5, "2"));
        vm.expectRevert("nothing left");
        kingCourt.reportConflict(first, second);
        assertFalse(kingCourt.convicted(king, SLASH_EQUIVOCATION, CLASSIC, 1));
    }

    function test_courtKnowsAllItNeeds() public {
        bytes[5] memory incomplete = [
            abi.encode(address(0), ethKingSet, ethOutbox, CLASSIC, etcOutbox),
            abi.encode(slasher, address(0), ethOutbox, CLASSIC, etcOutbox),
            abi.encode(slasher, ethKingSet, address(0), CLASSIC, etcOutbox),
            abi.encode(slasher, ethKingSet, ethOutbox, CLASSIC, address(0)),
            abi.encode(address(0), address(0), address(0), CLASSIC, address(0))
        ];
        for (uint256 i; i < 5; ++i) {
            vm.expectRevert(IKingCourt.ZeroAddress.selector);
            this.deploy(incomplete[i]);
        }
    }

    function deploy(bytes calldata arguments) external {
        vm.deployCode("KingCourt.sol:KingCourt", arguments);
    }

    // ---------------------------------------------------------------------------------------- helpers

    function _expectNothing(bytes memory report) private {
        (bool success,) = address(kingCourt).call(report);
        assertFalse(success, "convicted");
        assertEq(slasher.slashes(), 0);
    }

    function _dispatch(uint256 count) private {
        for (uint256 i; i < count; ++i) {
            bytes memory body = abi.encodePacked("message", leaves.length);
            uint32 index = ethOutbox.dispatch(CLASSIC, address(1), body);
            leaves.push(keccak256(abi.encodePacked(uint8(1), index, ETHEREUM, address(this), CLASSIC, address(1), body)));
        }
    }

    /// @dev Ids of `count` messages, of which those from `fork` on are another branch's.
    function _ids(uint256 count, uint256 fork) private pure returns (bytes32[] memory list) {
        list = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            list[i] = keccak256(abi.encode(i, i >= fork));
        }
    }

    function _cut(bytes32[] memory list, uint256 count) private pure returns (bytes32[] memory cut) {
        cut = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            cut[i] = list[i];
        }
    }

    function _leaf(bytes32 id) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(bytes1(0x00), id));
    }

    function _root(bytes32[] memory list) private pure returns (bytes32 root) {
        (root,) = TreeReference.open(list, 0);
    }

    function _open(bytes32[] memory list, uint256 index) private pure returns (LeafOpening memory) {
        (, bytes32[32] memory proof) = TreeReference.open(list, index);
        return LeafOpening(_leaf(list[index]), proof);
    }

    function _classic(uint32 count, bytes32 root) private view returns (Checkpoint memory) {
        return Checkpoint(CLASSIC, address(etcOutbox), 1, root, count, 10, keccak256("block"), 1000);
    }

    function _ours(uint32 count, bytes32 root) private view returns (Checkpoint memory) {
        return Checkpoint(ETHEREUM, address(ethOutbox), 1, root, count, 10, keccak256("block"), 1000);
    }

    function _sign(Checkpoint memory c) private view returns (SignedCheckpoint memory) {
        return _signBy(c, SECRET);
    }

    function _signBy(Checkpoint memory c, uint256 secret) private view returns (SignedCheckpoint memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(secret, IKingSet(ethKingSet).checkpointDigest(c));
        return SignedCheckpoint(c, r, vs);
    }
}
