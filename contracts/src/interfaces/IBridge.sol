// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Checkpoint, Message, Quorum} from "../types/Protocol.sol";

/// @title Append-only message tree of the origin chain
interface IOutbox {
    event MessageDispatched(
        uint32 indexed index, bytes32 indexed messageId, address indexed sender, uint64 destination, address recipient, bytes body
    );

    error DestinationIsOrigin(uint64 destination);
    error BodyTooLong(uint256 length, uint256 limit);
    error TreeFull();

    /// @notice Appends a message and returns its index.
    function dispatch(uint64 destination, address recipient, bytes calldata body) external returns (uint32 index);
    function root() external view returns (bytes32);
    function count() external view returns (uint32);
}

/// @title Accepts King-signed checkpoints and delivers messages under them
interface IInbox {
    event CheckpointAccepted(
        uint64 indexed origin, bytes32 indexed root, uint32 count, uint64 blockNumber, uint64 blockTimestamp, uint256 signerBitmap
    );
    event MessageDelivered(uint32 indexed index, bytes32 indexed messageId, address indexed recipient, address deliverer);
    /// @notice The handler reverted; the message stays undelivered and can be tried again.
    event MessageFailed(uint32 indexed index, bytes32 indexed messageId, address indexed recipient, bytes reason);

    error WrongOrigin(uint64 origin, address outbox);
    error WrongDestination(uint64 destination);
    error ZeroRoot();
    error RootNotAccepted(bytes32 root);
    error IndexBeyondCount(uint32 index, uint32 count);
    error InvalidProof(bytes32 messageId);
    error AlreadyDelivered(uint32 index);
    error ForbiddenRecipient(address recipient);
    /// @dev At least 256 messages older than a checkpoint that took its place.
    error CheckpointStale(uint32 count, uint32 newer);
    /// @param accepted upper 232 bits of the accepted root.
    error CheckpointConflict(uint32 count, bytes32 accepted, bytes32 submitted);

    function submitCheckpoint(Checkpoint calldata checkpoint, Quorum calldata quorum) external;
    /// @param root an accepted root with count > message.index. Roots are kept until a checkpoint whose count is a multiple of 256
    ///        greater replaces them; `submitAndDeliver` needs none. The closer the count to the index, the cheaper the search.
    function deliver(Message calldata message, bytes32 root, bytes32[32] calldata proof) external returns (bool handled);
    /// @notice A checkpoint and the messages that wait for it, in one transaction.
    function submitAndDeliver(
        Checkpoint calldata checkpoint,
        Quorum calldata quorum,
        Message[] calldata messages,
        bytes32[32][] calldata proofs
    ) external;
    /// @notice Consecutive messages under one accepted root, with one proof for all of them.
    /// @dev Delivered ones are passed over (their neighbours' proof needs them), and a handler that reverts leaves only its own
    ///      message undelivered, as with `deliver`. A message that is not in the tree reverts the whole call.
    /// @param siblings of the range's left and right edge, in this order, from the leaves upwards, where the edge has one outside
    ///        of the range.
    function deliverRange(Message[] calldata messages, bytes32 root, bytes32[] calldata siblings) external;
    function submitAndDeliverRange(
        Checkpoint calldata checkpoint,
        Quorum calldata quorum,
        Message[] calldata messages,
        bytes32[] calldata siblings
    ) external;
    function delivered(uint32 index) external view returns (bool);
    /// @notice For calls from outside: looks through all accepted roots.
    /// @return count messages under an accepted root, 0 if the root is not accepted or was overwritten by newer ones.
    function acceptedCount(bytes32 root) external view returns (uint32 count);
    /// @notice For calls from outside: looks through all accepted roots.
    function latestCount() external view returns (uint32);
}

/// @title Who signs, with which weight, per set epoch
interface IKingSet {
    event KingSetInstalled(uint64 indexed setEpoch, bytes32 setHash, uint256 members, uint256 totalWeight, uint64 expiresAt);

    error UnknownSet(uint64 setEpoch);
    error SetExpired(uint64 setEpoch, uint64 expiresAt);
    error SetHashMismatch(bytes32 expected, bytes32 actual);
    error EmptySet();
    error MembersNotAscending(uint256 position);
    error InvalidSigner(uint256 position, address recovered);
    error MalformedSignatures(uint256 length, uint256 signers);
    error QuorumNotReached(uint256 signed, uint256 total);

    /// @notice Reverts unless more than two thirds of the set's weight signed the checkpoint.
    function verify(Checkpoint calldata checkpoint, Quorum calldata quorum) external view;
    function checkpointDigest(Checkpoint calldata checkpoint) external pure returns (bytes32);
    function setHash(uint64 setEpoch) external view returns (bytes32);
    function currentEpoch() external view returns (uint64);
}

/// @title Receives messages from the Inbox of its chain
interface IMessageRecipient {
    error NotInbox(address caller);
    error UntrustedSender(uint64 origin, address sender);
    error UnknownKind(uint8 kind);

    /// @param deliverer who pays for this delivery, so that a fee can be credited to it.
    function handle(uint64 origin, address sender, bytes calldata body, address deliverer) external;
}
