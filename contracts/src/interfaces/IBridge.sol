// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {BridgePause, BridgeRecovery, Checkpoint, KingSetRotation, Message, Quorum} from "../types/Protocol.sol";

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
/// @dev Trusts the King set of its chain. Roots stay accepted for good, unless a recovery revokes them.
interface IInbox {
    event CheckpointAccepted(
        uint64 indexed origin, bytes32 indexed root, uint32 count, uint64 blockNumber, uint64 blockTimestamp, uint256 signerBitmap
    );
    event MessageDelivered(uint32 indexed index, bytes32 indexed messageId, address indexed recipient, address deliverer);
    /// @notice The handler reverted; the message stays undelivered and can be tried again.
    event MessageFailed(uint32 indexed index, bytes32 indexed messageId, address indexed recipient, bytes reason);
    /// @notice Roots of more than `forkCount` messages that sets before `setEpoch` signed deliver nothing any more.
    event RootsRevoked(uint64 indexed setEpoch, uint32 forkCount);
    event Paused(address indexed by, uint64 until);
    event Resumed(address indexed by);

    error WrongOrigin(uint64 origin, address outbox);
    error WrongDestination(uint64 destination);
    error ZeroRoot();
    error EmptyCheckpoint();
    error RootNotAccepted(bytes32 root);
    error IndexBeyondCount(uint32 index, uint32 count);
    error InvalidProof(bytes32 messageId);
    error AlreadyDelivered(uint32 index);
    error ForbiddenRecipient(address recipient);
    error LengthMismatch(uint256 messages, uint256 proofs);
    error EmptyRange();
    error NotConsecutive(uint32 index);
    /// @dev The root of `latest` messages was accepted; it covers whatever this checkpoint would.
    error CheckpointStale(uint32 count, uint32 latest);
    /// @dev Another root of as many messages was accepted.
    error CheckpointConflict(uint32 count, bytes32 submitted);
    /// @dev This root was accepted for another number of messages.
    error RootConflict(bytes32 root, uint32 accepted, uint32 submitted);
    /// @dev A recovery made all epochs before `floor` worthless for this Outbox.
    error EpochRevoked(uint64 setEpoch, uint64 floor);
    error IsPaused(uint64 until);
    error InvalidPause(uint64 until, uint64 earliest, uint64 latest);
    error PausedTooSoon(uint64 notBefore);
    error NotPaused();
    error NotGovernor(address caller);
    error ZeroAddress();

    /// @notice Accepts a root, once. Counts only grow: the newest root covers every message that an older one does.
    function submitCheckpoint(Checkpoint calldata checkpoint, Quorum calldata quorum) external;
    /// @param root an accepted root with count > message.index, the newest or any other.
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
    /// @notice After a reorg of the origin below what Kings had signed: they start a new epoch, and what they signed in earlier ones
    ///         beyond `forkCount` is void. Messages that were delivered stay delivered.
    function recover(BridgeRecovery calldata recovery, Quorum calldata quorum) external;
    /// @notice Nothing is accepted or delivered before `until`, on the word of a King quorum.
    function pause(uint64 until, Quorum calldata quorum) external;
    /// @notice The same by the governor, where there is one; it may also extend a pause.
    function pauseByGovernor(uint64 until) external;
    /// @notice By the governor: ends a pause early.
    function resume() external;

    function delivered(uint32 index) external view returns (bool);
    /// @return count messages under an accepted root, 0 if the root is not accepted or was revoked.
    function acceptedCount(bytes32 root) external view returns (uint32 count);
    /// @notice Messages under the newest accepted root.
    function latestCount() external view returns (uint32);
    function pausedUntil() external view returns (uint64);
    /// @notice Checkpoints of earlier epochs are refused.
    function epochFloor() external view returns (uint64);
}

/// @title Who signs, with which weight, per set epoch
/// @dev Trusts more than two thirds of each set's weight. On the chain of the stakes a new set is what the stakes say; the other
///      chain believes the signatures of the set before it.
interface IKingSet {
    /// @param members `address << 96 | weight`, ascending.
    event KingSetInstalled(uint64 indexed setEpoch, bytes32 setHash, bytes32[] members, uint256 totalWeight, uint64 expiresAt);
    /// @notice All that Kings sign as `KingSetRotation`, but for the bridge's id.
    event KingSetNominated(uint64 indexed setEpoch, bytes32 setHash, bytes32[] members, uint64 nominatedAt, uint64 expiresAt);
    /// @notice The set of the epoch before goes on as `setEpoch`.
    event KingSetRecovered(uint64 indexed setEpoch, uint64 indexed originChainId, address outbox, uint32 forkCount);

    error UnknownSet(uint64 setEpoch);
    error SetExpired(uint64 setEpoch, uint64 expiresAt);
    error SetHashMismatch(bytes32 expected, bytes32 actual);
    error EmptySet();
    error TooManyMembers(uint256 members, uint256 limit);
    error TooFewMembers(uint256 members, uint256 minimum);
    error ZeroMember(uint256 position);
    error MembersNotAscending(uint256 position);
    error InvalidSigner(uint256 position, address recovered);
    error MalformedSignatures(uint256 length, uint256 signers);
    error QuorumNotReached(uint256 signed, uint256 total);
    error InvalidTimes();
    error InvalidExpiry(uint64 expiresAt, uint64 earliest, uint64 latest);
    error WrongBridge(bytes32 expected, bytes32 actual);
    error WrongEpoch(uint64 expected, uint64 actual);
    error NominationTooEarly(uint64 notBefore);
    error NominationElsewhere();
    error NominationClosed(uint64 opensAt, uint64 closesAt);
    error NotNominated(bytes32 expected, bytes32 actual);
    error NotInbox(address caller);
    error UnknownOutbox(uint64 originChainId, address outbox);

    /// @notice Reverts unless more than two thirds of the set's weight signed the checkpoint.
    function verify(Checkpoint calldata checkpoint, Quorum calldata quorum) external view;
    /// @notice The same for a pause, by the current set alone.
    function verifyPause(BridgePause calldata pause, Quorum calldata quorum) external view;
    /// @notice Draws the next set from the stakes and fixes what Kings sign. For anybody, on the chain of the stakes.
    function nominate() external returns (KingSetRotation memory rotation);
    /// @notice Installs the next set. The one before stays valid for the overlap.
    /// @param members of the new set, `address << 96 | weight`, ascending.
    /// @param quorum of the current set.
    function rotate(KingSetRotation calldata rotation, bytes32[] calldata members, Quorum calldata quorum) external;
    /// @notice Continues the current set as a new epoch. For an Outbox of the other chain only through that Outbox's Inbox here.
    function recover(BridgeRecovery calldata recovery, Quorum calldata quorum) external;

    function checkpointDigest(Checkpoint calldata checkpoint) external pure returns (bytes32);
    function rotationDigest(KingSetRotation calldata rotation) external pure returns (bytes32);
    function recoveryDigest(BridgeRecovery calldata recovery) external pure returns (bytes32);
    function pauseDigest(BridgePause calldata pause) external pure returns (bytes32);
    function bridgeId() external view returns (bytes32);
    function setHash(uint64 setEpoch) external view returns (bytes32);
    /// @notice Last second in which the set's signatures count.
    function expiresAt(uint64 setEpoch) external view returns (uint64);
    function currentEpoch() external view returns (uint64);
    /// @notice Of the current set; the next one must be nominated at least the minimum delay later.
    function nominatedAt() external view returns (uint64);
}

/// @title What a King set is drawn from
interface IKingStakes {
    /// @notice Kings by stake, highest first, at most `limit`.
    function kingSet(uint256 limit) external view returns (address[] memory operators, uint256[] memory stakes);
}

/// @title Receives messages from the Inbox of its chain
interface IMessageRecipient {
    error NotInbox(address caller);
    error UntrustedSender(uint64 origin, address sender);
    error UnknownKind(uint8 kind);

    /// @param deliverer who pays for this delivery, so that a fee can be credited to it.
    function handle(uint64 origin, address sender, bytes calldata body, address deliverer) external;
}
