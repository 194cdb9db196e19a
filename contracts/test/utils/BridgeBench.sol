// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";

import {IInbox, IKingSet, IMessageRecipient, IOutbox} from "../../src/interfaces/IBridge.sol";
import {Checkpoint, Message, Quorum} from "../../src/types/Protocol.sol";
import {KingSetArguments} from "./KingSetArguments.sol";
import {TreeReference} from "./TreeReference.sol";

/// @dev A handler that does nothing, so that a delivery's gas is the bridge's own.
contract IdleRecipient is IMessageRecipient {
    function handle(uint64, address, bytes calldata, address) external {}
}

/// @title A bridge with any number of Kings, of which each call that is measured is one call of the test contract
abstract contract BridgeBench is Test {
    uint64 private constant FROM = 31_337;
    uint64 private constant TO = 61_613;
    /// @dev As long as the report of a rental.
    uint256 private constant BODY_BYTES = 257;

    IOutbox private source;
    IInbox internal benchInbox;
    IKingSet private kings;
    address private recipient;
    uint256[] private secrets;
    bytes32[] private set;
    Message[] private queue;
    bytes32[] private queueIds;

    function deployBridge(uint256 count) internal {
        delete secrets;
        delete set;
        delete queue;
        delete queueIds;
        for (uint256 i; i < count; ++i) {
            secrets.push(uint256(keccak256(abi.encode("bench king", i))));
        }
        for (uint256 i; i < count; ++i) {
            for (uint256 j = i + 1; j < count; ++j) {
                if (vm.addr(secrets[j]) < vm.addr(secrets[i])) (secrets[i], secrets[j]) = (secrets[j], secrets[i]);
            }
            set.push(bytes32((uint256(uint160(vm.addr(secrets[i]))) << 96) | 100));
        }
        vm.chainId(TO);
        source = IOutbox(deployCode("Outbox.sol:Outbox"));
        address local = deployCode("Outbox.sol:Outbox");
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        KingSetArguments.Ends memory ends = KingSetArguments.Ends(next, local, FROM, address(source), address(0));
        uint64 expiry = uint64(block.timestamp) + KingSetArguments.LIFETIME;
        kings = IKingSet(deployCode("KingSet.sol:KingSet", KingSetArguments.encode(set, expiry, ends)));
        benchInbox = IInbox(deployCode("Inbox.sol:Inbox", abi.encode(FROM, source, kings, local, address(0))));
        recipient = address(new IdleRecipient());
    }

    function dispatchOne() internal {
        bytes memory body = new bytes(BODY_BYTES);
        for (uint256 i; i < BODY_BYTES; i += 8) {
            body[i] = 0xff;
        }
        vm.chainId(FROM);
        uint32 index = uint32(queue.length);
        queue.push(Message(index, FROM, address(this), TO, recipient, body));
        queueIds.push(keccak256(abi.encodePacked(uint8(1), index, FROM, address(this), TO, recipient, body)));
        source.dispatch(TO, recipient, body);
    }

    /// @dev Every King signs alike, so the last `signers` of the set are as good as any.
    function submitCheckpoint(uint256 signers) internal {
        (Checkpoint memory c, Quorum memory q) = signedCheckpoint(signers);
        vm.chainId(TO);
        benchInbox.submitCheckpoint(c, q);
    }

    function signedCheckpoint(uint256 signers) internal view returns (Checkpoint memory c, Quorum memory q) {
        c = Checkpoint(FROM, address(source), 1, source.root(), source.count(), 7_000_000, keccak256("block"), 1_700_000_000);
        q.members = set;
        bytes32 digest = kings.checkpointDigest(c);
        for (uint256 i = set.length - signers; i < set.length; ++i) {
            q.signerBitmap |= 1 << i;
            (bytes32 r, bytes32 vs) = vm.signCompact(secrets[i], digest);
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }

    function deliverOne(uint256 index) internal {
        (bytes32 root, bytes32[32] memory proof) = TreeReference.open(queueIds, index);
        vm.chainId(TO);
        benchInbox.deliver(queue[index], root, proof);
    }

    /// @dev `each` with a whole proof per message, otherwise one for the range.
    function checkpointAndDeliver(uint256 signers, uint256 first, uint256 count, bool each) internal {
        (Checkpoint memory c, Quorum memory q) = signedCheckpoint(signers);
        Message[] memory messages = new Message[](count);
        bytes32[32][] memory proofs = new bytes32[32][](count);
        for (uint256 i; i < count; ++i) {
            messages[i] = queue[first + i];
            if (each) (, proofs[i]) = TreeReference.open(queueIds, first + i);
        }
        vm.chainId(TO);
        if (each) benchInbox.submitAndDeliver(c, q, messages, proofs);
        else benchInbox.submitAndDeliverRange(c, q, messages, TreeReference.openRange(queueIds, first, count));
    }

    function queued() internal view returns (uint256) {
        return queue.length;
    }
}
