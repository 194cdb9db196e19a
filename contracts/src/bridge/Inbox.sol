// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet, IMessageRecipient} from "../interfaces/IBridge.sol";
import {MessageTree} from "../libraries/MessageTree.sol";
import {BridgePause, BridgeRecovery, Checkpoint, Message, Quorum} from "../types/Protocol.sol";

/// @title Accepts checkpoints of one Outbox on the other chain and delivers its messages
/// @dev There is one origin and one Outbox, so `delivered` is keyed by index alone: two branches of a reorg share the keys.
contract Inbox is IInbox {
    /// @dev Longest pause, and the least time between the end of one and the next that Kings order.
    uint64 public constant PAUSE_LIMIT = 3 days;
    /// @dev Bytes of a handler's revert data that are kept, so that a handler can't make its failure expensive.
    uint256 private constant REASON_LIMIT = 1024;

    /// @dev What is looked at by every call; one slot.
    struct State {
        uint32 latestCount;
        /// @dev Roots that earlier epochs signed count only up to `floorCount`.
        uint64 epochFloor;
        uint32 floorCount;
        uint64 pausedUntil;
    }

    struct Accepted {
        /// @dev Zero: not accepted.
        uint32 count;
        uint64 setEpoch;
    }

    uint64 public immutable originChainId;
    address public immutable originOutbox;
    IKingSet public immutable kingSet;
    address public immutable localOutbox;
    /// @notice May pause and resume; zero where governance does not reach.
    address public immutable governor;

    State private state;
    mapping(bytes32 root => Accepted) private roots;
    mapping(uint256 word => uint256) private deliveredBits;

    constructor(uint64 originChainId_, address originOutbox_, IKingSet kingSet_, address localOutbox_, address governor_) {
        if (originOutbox_ == address(0) || address(kingSet_) == address(0) || localOutbox_ == address(0)) revert ZeroAddress();
        if (originChainId_ == block.chainid) revert WrongOrigin(originChainId_, originOutbox_);
        originChainId = originChainId_;
        originOutbox = originOutbox_;
        kingSet = kingSet_;
        localOutbox = localOutbox_;
        governor = governor_;
        state.floorCount = type(uint32).max;
    }

    modifier onlyGovernor() {
        if (msg.sender != governor) revert NotGovernor(msg.sender);
        _;
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
        _requireDeliverable(message, root, _openCount(root));
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
        _deliverRange(messages, root, siblings, _openCount(root));
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

    /// @inheritdoc IInbox
    function recover(BridgeRecovery calldata recovery, Quorum calldata quorum) external {
        if (recovery.originChainId != originChainId || recovery.outbox != originOutbox) {
            revert WrongOrigin(recovery.originChainId, recovery.outbox);
        }
        // Checks the signatures, and that the epoch is the one after the current: a recovery happens once.
        kingSet.recover(recovery, quorum);
        uint32 forkCount = recovery.forkCount;
        state.epochFloor = recovery.setEpoch;
        // The lowest of all recoveries: what lies between two of them is signed anew rather than kept apart.
        if (forkCount < state.floorCount) state.floorCount = forkCount;
        if (forkCount < state.latestCount) state.latestCount = forkCount;
        emit RootsRevoked(recovery.setEpoch, forkCount);
    }

    /// @inheritdoc IInbox
    function pause(uint64 until, Quorum calldata quorum) external {
        uint64 last = state.pausedUntil;
        if (last != 0 && block.timestamp < last + PAUSE_LIMIT) revert PausedTooSoon(last + PAUSE_LIMIT);
        _requirePausable(until);
        kingSet.verifyPause(BridgePause(originChainId, originOutbox, kingSet.currentEpoch(), until), quorum);
        state.pausedUntil = until;
        emit Paused(msg.sender, until);
    }

    /// @inheritdoc IInbox
    function pauseByGovernor(uint64 until) external onlyGovernor {
        _requirePausable(until);
        state.pausedUntil = until;
        emit Paused(msg.sender, until);
    }

    /// @inheritdoc IInbox
    function resume() external onlyGovernor {
        if (block.timestamp >= state.pausedUntil) revert NotPaused();
        // From now on counts the time until Kings may pause again, so that the same order can't be used twice.
        state.pausedUntil = uint64(block.timestamp);
        emit Resumed(msg.sender);
    }

    // ------------------------------------------------------------------------------------------- views

    function delivered(uint32 index) public view returns (bool) {
        return (deliveredBits[index >> 8] >> (index & 255)) & 1 == 1;
    }

    /// @inheritdoc IInbox
    function acceptedCount(bytes32 root) external view returns (uint32 count) {
        return _countUnder(root, state);
    }

    /// @inheritdoc IInbox
    function latestCount() external view returns (uint32) {
        return state.latestCount;
    }

    /// @inheritdoc IInbox
    function pausedUntil() external view returns (uint64) {
        return state.pausedUntil;
    }

    /// @inheritdoc IInbox
    function epochFloor() external view returns (uint64) {
        return state.epochFloor;
    }

    // ------------------------------------------------------------------------------------- checkpoints

    function _requirePausable(uint64 until) private view {
        uint64 earliest = uint64(block.timestamp) + 1;
        uint64 latest = uint64(block.timestamp) + PAUSE_LIMIT;
        if (until < earliest || until > latest) revert InvalidPause(until, earliest, latest);
    }

    /// @return whether the Kings' signatures are needed: the checkpoint is well-formed, fits to what was accepted, and is new.
    function _isNew(Checkpoint calldata checkpoint) private view returns (bool) {
        if (checkpoint.originChainId != originChainId || checkpoint.outbox != originOutbox) {
            revert WrongOrigin(checkpoint.originChainId, checkpoint.outbox);
        }
        bytes32 root = checkpoint.root;
        uint32 count = checkpoint.count;
        if (root == 0) revert ZeroRoot();
        if (count == 0) revert EmptyCheckpoint();
        State memory s = state;
        if (block.timestamp < s.pausedUntil) revert IsPaused(s.pausedUntil);
        uint32 known = _countUnder(root, s);
        if (known == count) return false;
        if (known != 0) revert RootConflict(root, known, count);
        if (count < s.latestCount) revert CheckpointStale(count, s.latestCount);
        if (count == s.latestCount) revert CheckpointConflict(count, root);
        if (checkpoint.setEpoch < s.epochFloor) revert EpochRevoked(checkpoint.setEpoch, s.epochFloor);
        return true;
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

    /// @dev The checkpoint is new and its quorum was verified.
    function _accept(Checkpoint calldata checkpoint, Quorum calldata quorum) private {
        bytes32 root = checkpoint.root;
        uint32 count = checkpoint.count;
        roots[root] = Accepted(count, checkpoint.setEpoch);
        state.latestCount = count;
        emit CheckpointAccepted(
            originChainId, root, count, checkpoint.blockNumber, checkpoint.blockTimestamp, quorum.signerBitmap
        );
    }

    /// @return count zero if the root is not accepted, or not any more.
    function _countUnder(bytes32 root, State memory s) private view returns (uint32 count) {
        Accepted memory known = roots[root];
        count = known.count;
        if (known.setEpoch < s.epochFloor && count > s.floorCount) return 0;
    }

    /// @dev For a delivery under a root that was accepted before.
    function _openCount(bytes32 root) private view returns (uint32) {
        State memory s = state;
        if (block.timestamp < s.pausedUntil) revert IsPaused(s.pausedUntil);
        return _countUnder(root, s);
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
