// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Checkpoint} from "../types/Protocol.sol";

/// @dev Reasons of a slash, beside those of proven faults.
uint8 constant SLASH_EQUIVOCATION = 16;
uint8 constant SLASH_FALSE_CHECKPOINT = 17;

/// @notice A checkpoint with one King's signature.
struct SignedCheckpoint {
    Checkpoint checkpoint;
    bytes32 r;
    /// @dev EIP-2098.
    bytes32 vs;
}

/// @notice A leaf under a checkpoint's root.
struct LeafOpening {
    bytes32 leaf;
    bytes32[32] proof;
}

/// @title Takes the stake of a King
interface IKingSlasher {
    /// @param king a King's account or the operator key that signed for it.
    /// @param reporter who is rewarded.
    function slashKing(address king, uint8 reason, address reporter) external;
}

/// @title Proves what no honest King ever signs
/// @notice An honest King signs one root per number of messages in an epoch, each root extends the one before it, and of this
///         chain's Outbox only what it holds. A checkpoint that a reorg of the other chain made wrong is not an offence.
/// @dev Permissionless. Trusts nobody: evidence is two signatures, or one and this chain's Outbox. Whoever sees evidence in a pending
///      transaction can copy it; the King is slashed all the same.
interface IKingCourt {
    event OutboxRecorded(uint32 indexed count, bytes32 root);
    event KingConvicted(
        address indexed king, uint8 indexed reason, uint64 originChainId, uint64 setEpoch, address indexed reporter
    );

    error ZeroAddress();
    error InvalidSignature();
    error DifferentSigners(address first, address second);
    error UnknownOutbox(uint64 originChainId, address outbox);
    error NotThisOutbox(uint64 originChainId, address outbox);
    error DifferentStatements();
    error NoContradiction();
    error IndexNotCovered(uint32 index, uint32 first, uint32 second);
    error InvalidOpening(bytes32 root);
    error EmptyCheckpoint();
    error RootNotRecorded(uint32 count);
    error CountNotCovered(uint32 claimed, uint32 recorded);
    error AlreadyConvicted(address king, uint8 reason, uint64 originChainId, uint64 setEpoch);

    /// @notice Two roots for the same number of messages.
    function reportConflict(SignedCheckpoint calldata first, SignedCheckpoint calldata second) external;
    /// @notice Two roots that hold different leaves at an index that both cover.
    function reportFork(
        SignedCheckpoint calldata first,
        SignedCheckpoint calldata second,
        uint32 index,
        LeafOpening calldata underFirst,
        LeafOpening calldata underSecond
    ) external;
    /// @notice More messages than this chain's Outbox has.
    function reportBeyondOutbox(SignedCheckpoint calldata signed) external;
    /// @notice A root that this chain's Outbox did not have at that count.
    /// @param recordedCount of an Outbox root that `recordOutbox` kept, at least the checkpoint's count.
    /// @param last leaf number `count - 1` under the recorded root.
    function reportFalseRoot(SignedCheckpoint calldata signed, uint32 recordedCount, LeafOpening calldata last) external;
    /// @notice Keeps the Outbox's present root, so that evidence against it can't be outrun by another message.
    function recordOutbox() external returns (uint32 count, bytes32 root);

    /// @return root zero if it was not recorded.
    function recordedRoot(uint32 count) external view returns (bytes32 root);
    function convicted(address king, uint8 reason, uint64 originChainId, uint64 setEpoch) external view returns (bool);
}
