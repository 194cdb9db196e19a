// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet, IMessageRecipient} from "../interfaces/IBridge.sol";
import {MessageTree} from "../libraries/MessageTree.sol";
import {Checkpoint, Message, Quorum} from "../types/Protocol.sol";

/// @title Accepts checkpoints of one Outbox on the other chain and delivers its messages
/// @dev There is one origin and one Outbox, so `delivered` is keyed by index alone: two branches of a reorg share the keys.
contract Inbox is IInbox {
    /// @dev Bytes of a handler's revert data that are kept, so that a handler can't make its failure expensive.
    uint256 private constant REASON_LIMIT = 1024;

    uint64 public immutable originChainId;
    address public immutable originOutbox;
    IKingSet public immutable kingSet;
    address public immutable localOutbox;

    uint32 public latestCount;
    mapping(bytes32 root => uint32) public acceptedCount;
    mapping(uint64 setEpoch => mapping(uint32 count => bytes32)) private rootAt;
    mapping(uint256 word => uint256) private deliveredBits;

    error EmptyCheckpoint();
    error LengthMismatch(uint256 messages, uint256 proofs);
    error ZeroAddress();

    constructor(uint64 originChainId_, address originOutbox_, IKingSet kingSet_, address localOutbox_) {
        if (originOutbox_ == address(0) || address(kingSet_) == address(0) || localOutbox_ == address(0)) revert ZeroAddress();
        if (originChainId_ == block.chainid) revert WrongOrigin(originChainId_, originOutbox_);
        originChainId = originChainId_;
        originOutbox = originOutbox_;
        kingSet = kingSet_;
        localOutbox = localOutbox_;
    }

    /// @inheritdoc IInbox
    function submitCheckpoint(Checkpoint calldata checkpoint, Quorum calldata quorum) external {
        _accept(checkpoint, quorum);
    }

    /// @inheritdoc IInbox
    function deliver(Message calldata message, bytes32 root, bytes32[32] calldata proof) external returns (bool handled) {
        if (delivered(message.index)) revert AlreadyDelivered(message.index);
        return _deliver(message, root, proof);
    }

    /// @inheritdoc IInbox
    function submitAndDeliver(
        Checkpoint calldata checkpoint,
        Quorum calldata quorum,
        Message[] calldata messages,
        bytes32[32][] calldata proofs
    ) external {
        _accept(checkpoint, quorum);
        deliverBatch(messages, checkpoint.root, proofs);
    }

    /// @inheritdoc IInbox
    function deliverBatch(Message[] calldata messages, bytes32 root, bytes32[32][] calldata proofs) public {
        if (messages.length != proofs.length) revert LengthMismatch(messages.length, proofs.length);
        for (uint256 i; i < messages.length; ++i) {
            // Another relay was faster: not an error, and no reason to hold back the rest.
            if (!delivered(messages[i].index)) _deliver(messages[i], root, proofs[i]);
        }
    }

    function delivered(uint32 index) public view returns (bool) {
        return (deliveredBits[index >> 8] >> (index & 255)) & 1 == 1;
    }

    function _accept(Checkpoint calldata checkpoint, Quorum calldata quorum) private {
        if (checkpoint.originChainId != originChainId || checkpoint.outbox != originOutbox) {
            revert WrongOrigin(checkpoint.originChainId, checkpoint.outbox);
        }
        bytes32 root = checkpoint.root;
        uint32 count = checkpoint.count;
        if (root == 0) revert ZeroRoot();
        if (count == 0) revert EmptyCheckpoint();
        bytes32 known = rootAt[checkpoint.setEpoch][count];
        if (known == root) return;
        kingSet.verify(checkpoint, quorum);
        if (known != 0) revert CheckpointConflict(count, known, root);
        uint32 accepted = acceptedCount[root];
        // One root can't stand for two sizes of the same tree.
        if (accepted != 0 && accepted != count) revert CheckpointConflict(count, root, root);

        rootAt[checkpoint.setEpoch][count] = root;
        acceptedCount[root] = count;
        if (count > latestCount) latestCount = count;
        emit CheckpointAccepted(
            originChainId, root, count, checkpoint.blockNumber, checkpoint.blockTimestamp, quorum.signerBitmap
        );
    }

    function _deliver(Message calldata message, bytes32 root, bytes32[32] calldata proof) private returns (bool handled) {
        if (message.origin != originChainId) revert WrongOrigin(message.origin, originOutbox);
        if (message.destination != block.chainid) revert WrongDestination(message.destination);
        address recipient = message.recipient;
        if (recipient == address(this) || recipient == localOutbox || recipient == address(kingSet)) {
            revert ForbiddenRecipient(recipient);
        }
        uint32 count = acceptedCount[root];
        if (count == 0) revert RootNotAccepted(root);
        if (message.index >= count) revert IndexBeyondCount(message.index, count);
        bytes32 id = MessageTree.messageId(message);
        if (MessageTree.rootOf(id, message.index, proof) != root) revert InvalidProof(id);

        // Set before the call, so that the handler can't have the message delivered a second time.
        uint256 bit = 1 << (message.index & 255);
        deliveredBits[message.index >> 8] |= bit;
        bytes memory reason;
        (handled, reason) = _call(
            recipient, abi.encodeCall(IMessageRecipient.handle, (message.origin, message.sender, message.body, msg.sender))
        );
        if (handled) {
            emit MessageDelivered(message.index, id, recipient, msg.sender);
        } else {
            // Whatever made the call fail, too little gas included, the message can be tried again.
            deliveredBits[message.index >> 8] &= ~bit;
            emit MessageFailed(message.index, id, recipient, reason);
        }
    }

    /// @dev A call to an account without code would "succeed"; it must not use up a message.
    function _call(address recipient, bytes memory data) private returns (bool success, bytes memory reason) {
        if (recipient.code.length == 0) return (false, "");
        uint256 limit = REASON_LIMIT;
        assembly ("memory-safe") {
            success := call(gas(), recipient, 0, add(data, 0x20), mload(data), 0, 0)
            if iszero(success) {
                let size := returndatasize()
                if gt(size, limit) { size := limit }
                reason := mload(0x40)
                mstore(reason, size)
                returndatacopy(add(reason, 0x20), 0, size)
                mstore(0x40, and(add(add(reason, size), 0x3f), not(0x1f)))
            }
        }
    }
}
