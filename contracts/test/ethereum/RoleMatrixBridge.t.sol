// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet, IOutbox} from "../../src/interfaces/IBridge.sol";
import {IKingCourt, LeafOpening, SignedCheckpoint} from "../../src/interfaces/IKingCourt.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {BridgePause, BridgeRecovery, Checkpoint, KingSetRotation, Message, Quorum} from "../../src/types/Protocol.sol";
import {Recipient} from "../utils/Recipient.sol";
import {RoleMatrix} from "../utils/RoleMatrix.sol";
import {TreeReference} from "../utils/TreeReference.sol";
import {World} from "../utils/World.sol";

/// @dev The bridge's functions by every kind of caller. With a quorum, a proof or evidence anybody may do what they prove; without
///      them nobody may, Kings and Governance included.
contract RoleMatrixBridgeTest is World, RoleMatrix {
    uint256 private constant GOVERNOR = 1;
    uint256 private constant INBOX = 2;
    uint256 private constant OUTSIDERS = 4 + 8 + 16 + 32 + 64;
    uint256 private constant ANYBODY = GOVERNOR + INBOX + OUTSIDERS;

    IKingSet private kings;
    address private handler;
    uint256[] private stakedKeys;
    bytes32 private firstRoot;

    function setUp() public override {
        super.setUp();
        onEthereum();
        vm.warp(2_000_000);
        kings = IKingSet(ethKingSet);
        handler = address(new Recipient());
        for (uint256 i; i < 4; ++i) {
            uint256 key = uint256(keccak256(abi.encode("staked king", i)));
            stakedKeys.push(key);
            address account = vm.addr(key);
            vm.prank(renter);
            token.transfer(account, 20_000 * UNIT);
            stakeAs(account, IStakingManager.Role.King, 20_000 * UNIT, account);
        }
        address member = vm.addr(kingKeys[0]);
        callers = [address(this), address(ethInbox), ethKingSet, member, vm.addr(stakedKeys[0]), address(ethOutbox), relay];
        collect();
        _dispatch(2);
        Checkpoint memory c = checkpointOf(etcOutbox);
        ethInbox.submitCheckpoint(c, sign(c, 7));
        firstRoot = c.root;
        _dispatch(1);
    }

    function _dispatch(uint256 count) private {
        onClassic();
        for (uint256 i; i < count; ++i) {
            etcOutbox.dispatch(ETHEREUM, handler, abi.encode(i));
        }
        onEthereum();
        collect();
    }

    /// @dev The first two messages, under the newest root or the one before.
    function _messages() private view returns (Message[] memory messages) {
        messages = new Message[](2);
        messages[0] = sent[address(etcOutbox)][0];
        messages[1] = sent[address(etcOutbox)][1];
    }

    function _idsUntil(uint256 count) private view returns (bytes32[] memory list) {
        list = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            list[i] = ids[address(etcOutbox)][i];
        }
    }

    function _quorumOf(bytes32 digest) private view returns (Quorum memory q) {
        q.members = members;
        q.signerBitmap = 7;
        for (uint256 i; i < 3; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(kingKeys[i], digest);
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }

    function test_inbox() public {
        _deliveries();
        _submissions();
        BridgeRecovery memory r = BridgeRecovery(CLASSIC, address(etcOutbox), 2, 1);
        _doneRow("recover", abi.encodeCall(IInbox.recover, (r, _quorumOf(kings.recoveryDigest(r)))), ANYBODY, OPEN);
        uint64 until = uint64(block.timestamp) + 1 days;
        Quorum memory pausing = _quorumOf(kings.pauseDigest(BridgePause(CLASSIC, address(etcOutbox), 1, until)));
        _doneRow("pause", abi.encodeCall(IInbox.pause, (until, pausing)), ANYBODY, OPEN);
        bytes4 notGovernor = IInbox.NotGovernor.selector;
        _doneRow("pauseByGovernor", abi.encodeCall(IInbox.pauseByGovernor, (until)), GOVERNOR, notGovernor);
        _walkRows(address(ethInbox));
        ethInbox.pauseByGovernor(until);
        _doneRow("resume", abi.encodeCall(IInbox.resume, ()), GOVERNOR, notGovernor);
        _walk(address(ethInbox), "Inbox");
    }

    /// @dev Under the root that is accepted.
    function _deliveries() private {
        Message[] memory messages = _messages();
        bytes32[] memory two = _idsUntil(2);
        (, bytes32[32] memory path) = TreeReference.open(two, 0);
        _doneRow("deliver", abi.encodeCall(IInbox.deliver, (messages[0], firstRoot, path)), ANYBODY, OPEN);
        bytes memory data = abi.encodeCall(IInbox.deliverRange, (messages, firstRoot, TreeReference.openRange(two, 0, 2)));
        _doneRow("deliverRange", data, ANYBODY, OPEN);
    }

    /// @dev Under a newer one that comes along.
    function _submissions() private {
        Checkpoint memory c = checkpointOf(etcOutbox);
        Quorum memory q = sign(c, 7);
        Message[] memory messages = _messages();
        bytes32[] memory all = _idsUntil(3);
        bytes32[32][] memory paths = new bytes32[32][](2);
        for (uint256 i; i < 2; ++i) {
            (, paths[i]) = TreeReference.open(all, i);
        }
        _doneRow("submitCheckpoint", abi.encodeCall(IInbox.submitCheckpoint, (c, q)), ANYBODY, OPEN);
        bytes memory data = abi.encodeCall(IInbox.submitAndDeliver, (c, q, messages, paths));
        _doneRow("submitAndDeliver", data, ANYBODY, OPEN);
        data = abi.encodeCall(IInbox.submitAndDeliverRange, (c, q, messages, TreeReference.openRange(all, 0, 2)));
        _doneRow("submitAndDeliverRange", data, ANYBODY, OPEN);
    }

    /// @dev The same without what must be proven: nobody gets anything done, whoever it is.
    function test_inboxWithoutAQuorum() public {
        Checkpoint memory c = checkpointOf(etcOutbox);
        Quorum memory few = sign(c, 3);
        Message[] memory none = new Message[](0);
        bytes4 refusal = IKingSet.QuorumNotReached.selector;
        _row("submitCheckpoint", abi.encodeCall(IInbox.submitCheckpoint, (c, few)), 0, refusal);
        bytes memory data = abi.encodeCall(IInbox.submitAndDeliver, (c, few, none, new bytes32[32][](0)));
        _row("submitAndDeliver", data, 0, refusal);
        data = abi.encodeCall(IInbox.submitAndDeliverRange, (c, few, none, new bytes32[](0)));
        _row("submitAndDeliverRange", data, 0, refusal);
        bytes32[32] memory path;
        data = abi.encodeCall(IInbox.deliver, (_messages()[0], firstRoot, path));
        _row("deliver", data, 0, IInbox.InvalidProof.selector);
        data = abi.encodeCall(IInbox.deliverRange, (_messages(), firstRoot, TreeReference.openRange(_idsUntil(3), 0, 2)));
        _row("deliverRange", data, 0, IInbox.InvalidProof.selector);
        BridgeRecovery memory r = BridgeRecovery(CLASSIC, address(etcOutbox), 2, 1);
        Quorum memory wrong = _quorumOf(keccak256("something else"));
        _row("recover", abi.encodeCall(IInbox.recover, (r, wrong)), 0, IKingSet.InvalidSigner.selector);
        data = abi.encodeCall(IInbox.pause, (uint64(block.timestamp) + 1, wrong));
        _row("pause", data, 0, IKingSet.InvalidSigner.selector);
        _walkRows(address(ethInbox));
    }

    function test_outbox() public {
        _doneRow("dispatch", abi.encodeCall(IOutbox.dispatch, (CLASSIC, relay, "x")), ANYBODY, OPEN);
        _walk(address(ethOutbox), "Outbox");
    }

    function test_kingSet() public {
        _doneRow("nominate", abi.encodeCall(IKingSet.nominate, ()), ANYBODY, OPEN);
        // Of messages that come in, only together with the Inbox that revokes them; of those that leave, by anybody.
        BridgeRecovery memory r = BridgeRecovery(CLASSIC, address(etcOutbox), 2, 1);
        Quorum memory q = _quorumOf(kings.recoveryDigest(r));
        _doneRow("recover", abi.encodeCall(IKingSet.recover, (r, q)), INBOX, IKingSet.NotInbox.selector);
        r = BridgeRecovery(ETHEREUM, address(ethOutbox), 2, 0);
        q = _quorumOf(kings.recoveryDigest(r));
        _doneRow("recover", abi.encodeCall(IKingSet.recover, (r, q)), ANYBODY, OPEN);
        q.signatures = abi.encodePacked(q.signatures, q.signatures);
        _row("recover", abi.encodeCall(IKingSet.recover, (r, q)), 0, IKingSet.MalformedSignatures.selector);
        _walkRows(ethKingSet);
        KingSetRotation memory rotation = kings.nominate();
        bytes32[] memory next = _nominees();
        q = _quorumOf(kings.rotationDigest(rotation));
        _doneRow("rotate", abi.encodeCall(IKingSet.rotate, (rotation, next, q)), ANYBODY, OPEN);
        q = _quorumOf(kings.checkpointDigest(checkpointOf(etcOutbox)));
        _row("rotate", abi.encodeCall(IKingSet.rotate, (rotation, next, q)), 0, IKingSet.InvalidSigner.selector);
        _walk(ethKingSet, "KingSet");
    }

    function _nominees() private view returns (bytes32[] memory next) {
        next = new bytes32[](4);
        for (uint256 i; i < 4; ++i) {
            bytes32 member = bytes32((uint256(uint160(vm.addr(stakedKeys[i]))) << 96) | 20_000);
            uint256 at = i;
            for (; at != 0 && next[at - 1] > member; --at) {
                next[at] = next[at - 1];
            }
            next[at] = member;
        }
    }

    function test_kingCourt() public {
        bytes memory arguments = abi.encode(staking, ethKingSet, ethOutbox, CLASSIC, etcOutbox);
        IKingCourt kingCourt = IKingCourt(deployCode("KingCourt.sol:KingCourt", arguments));
        staking.setKingCourt(address(kingCourt));
        SignedCheckpoint memory first = _signed(_of(etcOutbox, 3, "one"));
        SignedCheckpoint memory second = _signed(_of(etcOutbox, 3, "two"));
        _doneRow("reportConflict", abi.encodeCall(IKingCourt.reportConflict, (first, second)), ANYBODY, OPEN);
        bytes memory data = abi.encodeCall(IKingCourt.reportConflict, (first, first));
        _row("reportConflict", data, 0, IKingCourt.NoContradiction.selector);
        _forkRow();
        first = _signed(_of(ethOutbox, 1000, "invented"));
        _doneRow("reportBeyondOutbox", abi.encodeCall(IKingCourt.reportBeyondOutbox, (first)), ANYBODY, OPEN);
        _doneRow("recordOutbox", abi.encodeCall(IKingCourt.recordOutbox, ()), ANYBODY, OPEN);
        _falseRootRows(kingCourt);
        _walk(address(kingCourt), "KingCourt");
    }

    function _forkRow() private {
        bytes32[] memory a = _leaves("a");
        bytes32[] memory b = _leaves("b");
        (bytes32 root, bytes32[32] memory path) = TreeReference.open(a, 1);
        SignedCheckpoint memory first = _signed(_of(etcOutbox, 3, root));
        LeafOpening memory underA = LeafOpening(keccak256(abi.encodePacked(bytes1(0), a[1])), path);
        (root, path) = TreeReference.open(b, 1);
        SignedCheckpoint memory second = _signed(_of(etcOutbox, 3, root));
        LeafOpening memory underB = LeafOpening(keccak256(abi.encodePacked(bytes1(0), b[1])), path);
        bytes memory data = abi.encodeCall(IKingCourt.reportFork, (first, second, 1, underA, underB));
        _doneRow("reportFork", data, ANYBODY, OPEN);
    }

    function _falseRootRows(IKingCourt kingCourt) private {
        uint32 count = ethOutbox.dispatch(CLASSIC, address(1), "") + 1;
        kingCourt.recordOutbox();
        collect();
        bytes32[] memory own = ids[address(ethOutbox)];
        (, bytes32[32] memory path) = TreeReference.open(own, count - 1);
        LeafOpening memory last = LeafOpening(keccak256(abi.encodePacked(bytes1(0), own[count - 1])), path);
        SignedCheckpoint memory signed = _signed(_of(ethOutbox, count, "garbage"));
        bytes memory data = abi.encodeCall(IKingCourt.reportFalseRoot, (signed, count, last));
        _doneRow("reportFalseRoot", data, ANYBODY, OPEN);
        signed = _signed(_of(ethOutbox, count, ethOutbox.root()));
        data = abi.encodeCall(IKingCourt.reportFalseRoot, (signed, count, last));
        _row("reportFalseRoot", data, 0, IKingCourt.NoContradiction.selector);
    }

    function _leaves(bytes32 salt) private pure returns (bytes32[] memory list) {
        list = new bytes32[](3);
        for (uint256 i; i < 3; ++i) {
            list[i] = keccak256(abi.encode(salt, i));
        }
    }

    function _of(IOutbox outbox, uint32 count, bytes32 root) private view returns (Checkpoint memory) {
        uint64 origin = outbox == ethOutbox ? ETHEREUM : CLASSIC;
        return Checkpoint(origin, address(outbox), 1, root, count, 10, keccak256("block"), 1000);
    }

    /// @dev By a King that has its stake on Ethereum.
    function _signed(Checkpoint memory c) private view returns (SignedCheckpoint memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(stakedKeys[0], kings.checkpointDigest(c));
        return SignedCheckpoint(c, r, vs);
    }
}
