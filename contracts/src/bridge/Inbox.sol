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
    /// @dev Positions for accepted roots.
    uint256 private constant RING = 256;
    uint256 private constant COUNT_MASK = 0xffffff;

    uint64 public immutable originChainId;
    address public immutable originOutbox;
    IKingSet public immutable kingSet;
    address public immutable localOutbox;

    /// @dev Accepted roots, each at the position of the last byte of its count: the upper 232 bits of the root, then the rest of
    ///      the count. A newer checkpoint overwrites what stands there, so that accepting one costs no new storage. 232 bits of
    ///      a hash are no weaker a link than the 160 of a King's address.
    uint256[RING] private accepted;
    mapping(uint256 word => uint256) private deliveredBits;

    error EmptyCheckpoint();
    error LengthMismatch(uint256 messages, uint256 proofs);
    error EmptyRange();
    error NotConsecutive(uint32 index);
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
        if (_isNew(checkpoint)) {
            _forwardToKings();
            _accept(checkpoint, quorum);
        }
    }

    /// @inheritdoc IInbox
    function deliver(Message calldata message, bytes32 root, bytes32[32] calldata proof) external returns (bool handled) {
        if (delivered(message.index)) revert AlreadyDelivered(message.index);
        _requireDeliverable(message, root, _countUnder(root, message.index));
        bytes32 id = MessageTree.messageId(message);
        if (MessageTree.rootOf(id, message.index, proof) != root) revert InvalidProof(id);
        return _deliver(message, id);
    }

    /// @inheritdoc IInbox
    function submitAndDeliver(
        Checkpoint calldata checkpoint,
        Quorum calldata quorum,
        Message[] calldata messages,
        bytes32[32][] calldata proofs
    ) external {
        if (messages.length != proofs.length) revert LengthMismatch(messages.length, proofs.length);
        if (_isNew(checkpoint)) {
            kingSet.verify(checkpoint, quorum);
            _accept(checkpoint, quorum);
        }
        bytes32 root = checkpoint.root;
        for (uint256 i; i < messages.length; ++i) {
            // Another relay was faster: not an error, and no reason to hold back the rest.
            if (delivered(messages[i].index)) continue;
            _requireDeliverable(messages[i], root, checkpoint.count);
            bytes32 id = MessageTree.messageId(messages[i]);
            if (MessageTree.rootOf(id, messages[i].index, proofs[i]) != root) revert InvalidProof(id);
            _deliver(messages[i], id);
        }
    }

    /// @inheritdoc IInbox
    function deliverRange(Message[] calldata messages, bytes32 root, bytes32[] calldata siblings) external {
        _deliverRange(messages, root, siblings, messages.length == 0 ? 0 : _countUnder(root, messages[0].index));
    }

    /// @inheritdoc IInbox
    function submitAndDeliverRange(
        Checkpoint calldata checkpoint,
        Quorum calldata quorum,
        Message[] calldata messages,
        bytes32[] calldata siblings
    ) external {
        if (_isNew(checkpoint)) {
            kingSet.verify(checkpoint, quorum);
            _accept(checkpoint, quorum);
        }
        _deliverRange(messages, checkpoint.root, siblings, checkpoint.count);
    }

    function delivered(uint32 index) public view returns (bool) {
        return (deliveredBits[index >> 8] >> (index & 255)) & 1 == 1;
    }

    /// @inheritdoc IInbox
    function acceptedCount(bytes32 root) external view returns (uint32 count) {
        return _countUnder(root, 0);
    }

    /// @inheritdoc IInbox
    function latestCount() external view returns (uint32 latest) {
        for (uint256 i; i < RING; ++i) {
            uint256 entry = accepted[i];
            uint32 count = _countOf(entry, i);
            if (entry != 0 && count > latest) latest = count;
        }
    }

    // ------------------------------------------------------------------------------------- checkpoints

    /// @return whether the Kings' signatures are needed: the checkpoint is well-formed and not accepted yet.
    function _isNew(Checkpoint calldata checkpoint) private view returns (bool) {
        if (checkpoint.originChainId != originChainId || checkpoint.outbox != originOutbox) {
            revert WrongOrigin(checkpoint.originChainId, checkpoint.outbox);
        }
        if (checkpoint.root == 0) revert ZeroRoot();
        if (checkpoint.count == 0) revert EmptyCheckpoint();
        return accepted[checkpoint.count % RING] != _entry(checkpoint.root, checkpoint.count);
    }

    /// @dev Only for a call whose arguments are those of `IKingSet.verify`: passes them on as they came, instead of decoding and
    ///      encoding them. The Kings' contract decodes them with all checks.
    function _forwardToKings() private view {
        address kings = address(kingSet);
        uint256 selector = uint32(IKingSet.verify.selector);
        assembly ("memory-safe") {
            // Behind the used memory, which this doesn't claim.
            let input := mload(0x40)
            mstore(input, shl(224, selector))
            calldatacopy(add(input, 4), 4, sub(calldatasize(), 4))
            // An account without code would agree to anything.
            if iszero(extcodesize(kings)) { revert(0, 0) }
            if iszero(staticcall(gas(), kings, input, calldatasize(), 0, 0)) {
                returndatacopy(input, 0, returndatasize())
                revert(input, returndatasize())
            }
        }
    }

    /// @dev The quorum was verified.
    function _accept(Checkpoint calldata checkpoint, Quorum calldata quorum) private {
        bytes32 root = checkpoint.root;
        uint32 count = checkpoint.count;
        uint256 known = accepted[count % RING];
        if (known != 0) {
            uint32 other = _countOf(known, count % RING);
            // One size of the tree has one root. Of sizes further back than the ring remembers nobody could tell.
            if (other == count) revert CheckpointConflict(count, bytes32(known & ~COUNT_MASK), root);
            if (other > count) revert CheckpointStale(count, other);
        }
        accepted[count % RING] = _entry(root, count);
        emit CheckpointAccepted(
            originChainId, root, count, checkpoint.blockNumber, checkpoint.blockTimestamp, quorum.signerBitmap
        );
    }

    function _entry(bytes32 root, uint32 count) private pure returns (uint256) {
        return (uint256(root) & ~COUNT_MASK) | (count >> 8);
    }

    function _countOf(uint256 entry, uint256 position) private pure returns (uint32) {
        return uint32(((entry & COUNT_MASK) << 8) | position);
    }

    /// @dev Looks at all positions, from the first count that covers `index` on: a message is mostly brought soon after.
    /// @return count zero if the root is not accepted.
    function _countUnder(bytes32 root, uint32 index) private view returns (uint32 count) {
        uint256 upper = uint256(root) & ~COUNT_MASK;
        if (upper == 0) return 0;
        for (uint256 i = 1; i <= RING; ++i) {
            uint256 position = (uint256(index) + i) % RING;
            uint256 entry = accepted[position];
            if (entry & ~COUNT_MASK == upper) return _countOf(entry, position);
        }
    }

    // ---------------------------------------------------------------------------------------- delivery

    function _requireDeliverable(Message calldata message, bytes32 root, uint32 count) private view {
        if (message.origin != originChainId) revert WrongOrigin(message.origin, originOutbox);
        if (message.destination != block.chainid) revert WrongDestination(message.destination);
        address recipient = message.recipient;
        if (recipient == address(this) || recipient == localOutbox || recipient == address(kingSet)) {
            revert ForbiddenRecipient(recipient);
        }
        if (count == 0) revert RootNotAccepted(root);
        if (message.index >= count) revert IndexBeyondCount(message.index, count);
    }

    function _deliverRange(Message[] calldata messages, bytes32 root, bytes32[] calldata siblings, uint32 count) private {
        uint256 length = messages.length;
        if (length == 0) revert EmptyRange();
        bytes32[] memory ids = new bytes32[](length);
        uint32 first = messages[0].index;
        for (uint256 i; i < length; ++i) {
            _requireDeliverable(messages[i], root, count);
            if (messages[i].index != first + i) revert NotConsecutive(messages[i].index);
            ids[i] = MessageTree.messageId(messages[i]);
        }
        // Overwrites the ids.
        if (MessageTree.rootOfRange(ids, first, siblings) != root) revert InvalidProof(MessageTree.messageId(messages[0]));
        for (uint256 i; i < length; ++i) {
            if (!delivered(messages[i].index)) _deliver(messages[i], MessageTree.messageId(messages[i]));
        }
    }

    /// @dev The message was proven.
    function _deliver(Message calldata message, bytes32 id) private returns (bool handled) {
        // Set before the call, so that the handler can't have the message delivered a second time.
        uint256 bit = 1 << (message.index & 255);
        deliveredBits[message.index >> 8] |= bit;
        bytes memory reason;
        (handled, reason) = _call(message);
        if (handled) {
            emit MessageDelivered(message.index, id, message.recipient, msg.sender);
        } else {
            // Whatever made the call fail, too little gas included, the message can be tried again.
            deliveredBits[message.index >> 8] &= ~bit;
            emit MessageFailed(message.index, id, message.recipient, reason);
        }
    }

    /// @dev `IMessageRecipient.handle` with the message's fields. A call to an account without code would "succeed"; it must not use
    ///      up a message.
    function _call(Message calldata message) private returns (bool success, bytes memory reason) {
        address recipient = message.recipient;
        if (recipient.code.length == 0) return (false, "");
        uint256 selector = uint32(IMessageRecipient.handle.selector);
        uint256 from = message.origin;
        address sender = message.sender;
        bytes calldata body = message.body;
        assembly ("memory-safe") {
            // Behind the used memory, which this doesn't claim: selector, origin, sender, offset of the body, deliverer, body.
            let input := mload(0x40)
            mstore(input, shl(224, selector))
            mstore(add(input, 0x04), from)
            mstore(add(input, 0x24), sender)
            mstore(add(input, 0x44), 0x80)
            mstore(add(input, 0x64), caller())
            mstore(add(input, 0x84), body.length)
            let data := add(input, 0xa4)
            calldatacopy(data, body.offset, body.length)
            // The padding of the last word.
            mstore(add(data, body.length), 0)
            let length := add(0xa4, and(add(body.length, 0x1f), not(0x1f)))
            success := call(gas(), recipient, 0, input, length, 0, 0)
            if iszero(success) {
                let size := returndatasize()
                if gt(size, REASON_LIMIT) { size := REASON_LIMIT }
                reason := mload(0x40)
                mstore(reason, size)
                returndatacopy(add(reason, 0x20), 0, size)
                mstore(0x40, and(add(add(reason, size), 0x3f), not(0x1f)))
            }
        }
    }
}
