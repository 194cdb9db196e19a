// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice Every structure that crosses a chain or is hashed by the protocol. docs/protocol.md gives the bytes.

/// @dev Challenge modes.
uint8 constant MODE_FULL = 1;
uint8 constant MODE_LIGHT = 2;

/// @dev First byte of every bridge message body.
uint8 constant KIND_DEVICE_REGISTERED = 1;
uint8 constant KIND_DEVICE_REMOVED = 2;
uint8 constant KIND_WORKER_KEY_CHANGED = 3;
uint8 constant KIND_RENTAL_TERMS = 4;
uint8 constant KIND_CLASS_PROFILE_SET = 5;
uint8 constant KIND_PARAMETER_SET = 6;
uint8 constant KIND_QUEEN_SET_ROTATED = 7;
uint8 constant KIND_KING_SET_ROTATED = 8;
uint8 constant KIND_RENTER_RECORD = 9;
uint8 constant KIND_WORK_REPORT = 16;
uint8 constant KIND_DEVICE_REPORT = 17;
uint8 constant KIND_FAULT_PROVEN = 18;

/// @dev Reasons of a proven fault.
uint8 constant FAULT_WRONG_PROOF = 1;
uint8 constant FAULT_MISSING_ANSWER = 2;

/// @notice Size and time limits of one challenge mode of a device class.
struct Profile {
    /// @dev Bytes of device memory that are filled and walked; a multiple of 128 * windows.
    uint64 memoryBytes;
    /// @dev keccak256 iterations per 32-byte unit (r).
    uint32 hashIterations;
    /// @dev Parallel walks (L), a power of two.
    uint32 lanes;
    /// @dev Steps per lane (T), a multiple of 256 * windows * cycles.
    uint32 steps;
    /// @dev Buffers the memory is split into.
    uint32 windows;
    /// @dev How often each window is walked.
    uint32 cycles;
    /// @dev M = N of the matrix product, a power of two.
    uint32 matrixSize;
    /// @dev K of the matrix product, a multiple of 32.
    uint32 innerSize;
    /// @dev Chained products (R).
    uint32 rounds;
    /// @dev Time of the reference device, milliseconds.
    uint32 referenceMs;
    /// @dev Median elapsed time up to which a commit passes, milliseconds.
    uint32 passMs;
    /// @dev Median elapsed time up to which a commit is unmeasured instead of missed; >= passMs.
    uint32 unmeasuredMs;
}

/// @notice A device class: one profile per mode. Versions are never changed, only added.
struct ClassProfile {
    uint32 classVersion;
    /// @dev Stake that a device of the class locks, wei of GPUTOKEN: its weight where challenges are judged as a whole.
    uint128 stake;
    Profile full;
    Profile light;
}

/// @notice Governed numbers of WorkVerification. A challenge keeps the version that it was opened under.
struct WorkParameters {
    /// @dev A block is a challenge block with probability 1 / beaconPeriod.
    uint64 beaconPeriod;
    /// @dev Least distance between two opened challenge blocks; >= commitWindow / 2 + 1.
    uint64 beaconSpacing;
    /// @dev Blocks after the challenge block in which a commit is accepted (W).
    uint64 commitWindow;
    /// @dev Blocks after the commit window in which a sample may be demanded.
    uint64 disputeWindow;
    // ----
    /// @dev Blocks for an answer, before what all open answers of the challenge need is added.
    uint64 answerWindow;
    /// @dev One commit in proofRate is drawn for an on-chain proof.
    uint32 proofRate;
    /// @dev Samples per drawn or disputed commit.
    uint32 proofSamples;
    uint32 committeeSize;
    /// @dev Queens per shard; a set of no more than that is one shard.
    uint32 shardSize;
    /// @dev Owners below which a challenge is never void for all.
    uint32 minOwners;
    /// @dev Challenges looked at by one call of a report.
    uint32 maxPerCall;
    // ----
    /// @dev Seconds around a rental's time in which both modes are admissible.
    uint64 modeSlack;
    /// @dev Seconds a bridge message may take before a light commit without terms counts as missed.
    uint64 bridgeMax;
    /// @dev Seconds in which missing answers and unmeasured commits of a device add up.
    uint64 graceWindow;
    /// @dev Blocks of a window for `valueCap`: the stride at which Kings sign.
    uint64 capWindow;
    // ----
    /// @dev Most wei of GPUTOKEN that reports make newly due within a window; an eighth of it per provider.
    uint128 valueCap;
    /// @dev Bond of a dispute, wei of the chain's coin; >= 1.2 * answerGas * gasPriceCap.
    uint128 disputeBond;
    // ----
    /// @dev Most wei per gas that refunds of the gas fund and the dispute bond are reckoned with.
    uint64 gasPriceCap;
    /// @dev Gas of an answer with `proofSamples` samples of the largest class.
    uint32 answerGas;
    /// @dev Gas limit of a block.
    uint32 blockGas;
    /// @dev Disputes that one Queen may have open at once.
    uint32 openDisputes;
}

// ---------------------------------------------------------------------------------------------- bridge

struct Message {
    uint32 index;
    uint64 origin;
    address sender;
    uint64 destination;
    address recipient;
    bytes body;
}

struct Checkpoint {
    uint64 originChainId;
    address outbox;
    uint64 setEpoch;
    bytes32 root;
    uint32 count;
    uint64 blockNumber;
    bytes32 blockHash;
    uint64 blockTimestamp;
}

/// @notice A King quorum over one checkpoint.
/// @param members the whole set in ascending address order, each `address << 96 | weight`.
/// @param signerBitmap bit i set: member i signed.
/// @param signatures 64-byte compact signatures (EIP-2098) of the signers, in ascending order.
struct Quorum {
    bytes32[] members;
    uint256 signerBitmap;
    bytes signatures;
}

/// @notice The next King set, signed by the one before it. Valid on both chains of the bridge that it names.
struct KingSetRotation {
    /// @dev `IKingSet.bridgeId`: which deployment.
    bytes32 bridge;
    /// @dev Of the new set.
    uint64 setEpoch;
    bytes32 setHash;
    uint64 nominatedAt;
    uint64 expiresAt;
}

/// @notice The signing set as a new epoch, in which everything accepted of one Outbox beyond `forkCount` is revoked.
struct BridgeRecovery {
    uint64 originChainId;
    address outbox;
    /// @dev The new epoch.
    uint64 setEpoch;
    uint32 forkCount;
}

/// @notice Nothing of this Outbox is accepted or delivered for a while.
struct BridgePause {
    uint64 originChainId;
    address outbox;
    uint64 setEpoch;
    uint64 until;
}

// ------------------------------------------------------------------------------- Ethereum -> Classic

struct DeviceRegistered {
    uint64 deviceId;
    address provider;
    address worker;
    uint32 classVersion;
    uint64 registeredAt;
}

struct DeviceRemoved {
    uint64 deviceId;
    uint64 removedAt;
}

/// @notice Another key answers for the device at challenges after `changedAt`.
struct WorkerKeyChanged {
    uint64 deviceId;
    address worker;
    uint64 changedAt;
}

/// @notice Complete terms of a rental; the highest termsVersion wins whatever the order of arrival.
struct RentalTerms {
    uint64 rentalId;
    uint64 deviceId;
    uint32 termsVersion;
    uint64 start;
    uint64 end;
    address renter;
    /// @dev The highest price of any segment, wei of GPUTOKEN: an upper bound on what a second is worth.
    uint96 pricePerSecond;
}

/// @notice A new device class; one that is known is never changed.
struct ClassProfileSet {
    ClassProfile profile;
}

/// @notice Parameters for challenges opened from now on; the highest version wins whatever the order of arrival.
struct ParameterSet {
    uint32 version;
    WorkParameters parameters;
}

/// @notice The Queens' hot keys for challenges opened from now on; the highest epoch wins whatever the order of arrival.
struct QueenSetRotated {
    uint64 epoch;
    address[] operators;
}

/// @notice Cumulative: complaints of a renter that Queens rejected.
struct RenterRecord {
    address renter;
    uint32 complaintsLost;
}

// ------------------------------------------------------------------------------- Classic -> Ethereum

/// @notice Cumulative: a late report is ignored, a lost one is repaired by the next.
struct WorkReport {
    uint64 rentalId;
    uint32 termsVersion;
    uint64 coveredUntil;
    uint64 verifiedSeconds;
    uint32 due;
    uint32 passed;
    uint32 performancePermille;
    bool isFinal;
    /// @dev Upper bound, in wei of GPUTOKEN, of what this report makes newly due beyond the rental's last one.
    uint128 value;
    /// @dev The closing challenge was missed. Only a final report says so.
    bool closingMissed;
}

struct DeviceReport {
    uint64 deviceId;
    uint64 lastFullPass;
    uint32 reputationPpm;
    uint32 performancePermille;
    uint32 faults;
    uint64 settledIndex;
}

struct FaultProven {
    uint64 deviceId;
    uint64 challengeBlock;
    /// @dev 1: a wrong proof; 2: a missing answer.
    uint8 reason;
    /// @dev Who opened the dispute that showed the fault, or zero.
    address reporter;
    /// @dev Whose rental of the device covered the challenge, or zero.
    address renter;
}

// ------------------------------------------------------------------------------------- proof of work

/// @notice What a Queen saw: `elapsedMs` from its start request to the arrival of the root, less the round trip.
struct WorkReceipt {
    uint64 challengeBlock;
    uint64 deviceId;
    bytes32 blockHash;
    bytes32 root;
    uint32 elapsedMs;
}

/// @notice One Queen's signature under a WorkReceipt whose other fields are those of the commit.
struct ReceiptSignature {
    uint16 queenIndex;
    uint32 elapsedMs;
    /// @dev EIP-2098 compact signature.
    bytes32 r;
    bytes32 vs;
}

struct CommitInput {
    uint64 challengeBlock;
    uint64 deviceId;
    uint8 mode;
    /// @dev Informative: the rental the provider believes covers the block, 0 for none.
    uint64 rentalId;
    bytes32 blockHash;
    /// @dev keccak256(memoryRoot, matmulRoot_1, ..., matmulRoot_R).
    bytes32 root;
}

/// @notice Opening of one fold of the product.
struct MatmulOpening {
    /// @dev The whole leaf: up to 128 folds of 8 bytes, big-endian.
    bytes leaf;
    bytes32[] path;
}

/// @notice Opening of one 256-step segment of a lane.
struct SegmentOpening {
    /// @dev State before the segment; ignored for segment 0, which starts from the lane's initial state.
    bytes32 startState;
    bytes32[] startPath;
    bytes32 endState;
    bytes32[] endPath;
}

/// @notice Answer to all samples drawn for one commit. Sample i is matmul[i] with first[i] and second[i].
struct WorkProof {
    bytes32 memoryRoot;
    bytes32[] matmulRoots;
    MatmulOpening[] matmul;
    SegmentOpening[] first;
    SegmentOpening[] second;
}
