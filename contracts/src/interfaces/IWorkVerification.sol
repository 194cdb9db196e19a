// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ClassProfile, CommitInput, ReceiptSignature, WorkParameters, WorkProof} from "../types/Protocol.sol";

/// @title Challenges, commits, proofs and reports on Ethereum Classic: what both halves of WorkVerification share
interface IWorkVerification {
    enum CommitStatus {
        None,
        Committed,
        Proven,
        Voided
    }

    enum Outcome {
        /// @dev A window on the challenge is still open.
        Pending,
        Passed,
        Missed,
        /// @dev Neutral: decided by the next measured challenge.
        Unmeasured
    }

    struct Challenge {
        uint64 blockNumber;
        uint64 timestamp;
        /// @dev Version of the parameters and epoch of the Queen set that the challenge was opened under.
        uint32 parametersVersion;
        uint64 queenEpoch;
        bytes32 blockHash;
        /// @dev blockhash(blockNumber + commitWindow + 1); zero until sealed.
        bytes32 sealHash;
    }

    struct Commit {
        bytes32 root;
        uint64 rentalId;
        uint64 committedBlock;
        uint32 elapsedMs;
        uint8 mode;
        /// @dev False without receipts of two thirds of the committee.
        bool measured;
        CommitStatus status;
    }

    struct Device {
        address provider;
        /// @dev `worker` answers for challenges later than this, `previousWorker` for the others.
        uint64 workerSince;
        address worker;
        uint32 classVersion;
        uint64 registeredAt;
        uint64 removedAt;
        /// @dev Next challenge index that settle looks at.
        uint64 settledIndex;
        uint64 lastFullPass;
        uint32 performancePermille;
        uint32 faults;
        address previousWorker;
    }

    struct RentalState {
        uint64 deviceId;
        uint32 termsVersion;
        uint64 start;
        uint64 end;
        /// @dev Next challenge index that report looks at, once located.
        uint64 cursor;
        bool located;
        uint64 coveredUntil;
        uint64 verifiedSeconds;
        uint32 due;
        uint32 passed;
        uint32 finalVersion;
    }

    event ChallengeOpened(uint64 indexed index, uint64 indexed blockNumber, bytes32 blockHash, uint64 timestamp);
    event WorkCommitted(
        uint64 indexed challengeBlock,
        uint64 indexed deviceId,
        uint8 mode,
        uint64 rentalId,
        bytes32 root,
        uint32 elapsedMs,
        bool measured,
        uint256 receipts
    );
    event ChallengeSealed(uint64 indexed blockNumber, bytes32 sealHash);
    event WorkProven(uint64 indexed challengeBlock, uint64 indexed deviceId);
    event CommitVoided(uint64 indexed challengeBlock, uint64 indexed deviceId, uint8 reason);
    event DeviceSettled(uint64 indexed deviceId, uint64 indexed challengeBlock, Outcome outcome);
    event DeviceReported(uint64 indexed deviceId, uint64 lastFullPass, uint32 reputationPpm, uint32 messageIndex);
    event RentalReported(
        uint64 indexed rentalId,
        uint32 termsVersion,
        uint64 coveredUntil,
        uint64 verifiedSeconds,
        uint32 due,
        uint32 passed,
        bool isFinal,
        uint32 messageIndex
    );
    event DeviceAdded(uint64 indexed deviceId, address indexed provider, address worker, uint32 classVersion);
    event DeviceDropped(uint64 indexed deviceId, uint64 removedAt);
    event TermsUpdated(uint64 indexed rentalId, uint64 indexed deviceId, uint32 termsVersion, uint64 start, uint64 end);
    event ClassProfileAdded(uint32 indexed classVersion);
    event WorkerKeySet(uint64 indexed deviceId, address worker, uint64 changedAt);
    event ParametersAdopted(uint32 indexed version, WorkParameters parameters);
    event QueensSeated(uint64 indexed epoch, address[] operators);

    error NotChallengeBlock(uint64 blockNumber);
    error TooCloseToPrevious(uint64 blockNumber, uint64 previous);
    error OutsideWindow(uint64 blockNumber, uint64 current);
    error HeaderMismatch(bytes32 expected, bytes32 actual);
    error MalformedHeader();
    error UnknownChallenge(uint64 blockNumber);
    error UnknownDevice(uint64 deviceId);
    error UnknownRental(uint64 rentalId);
    error UnknownClass(uint32 classVersion);
    error NotWorker(address caller, address worker);
    error WrongBlockHash(bytes32 expected, bytes32 actual);
    error AlreadyCommitted(uint64 challengeBlock, uint64 deviceId);
    error InvalidMode(uint8 mode);
    error ReceiptsNotAscending(uint256 position);
    error NotInCommittee(uint16 queenIndex);
    error InvalidReceipt(uint256 position, address recovered);
    error NotSealed(uint64 blockNumber);
    error SealTooEarly(uint64 blockNumber, uint64 current);
    error NotDrawn(uint64 challengeBlock, uint64 deviceId);
    error AnswerWindowClosed(uint64 challengeBlock, uint64 closedAt);
    error WrongHint(uint64 hint);
    error NothingNew();
    error InvalidProfile(uint32 classVersion, uint8 mode);
    error InvalidParameters();
    /// @param position of a seat that is empty or taken, or the number of seats if that is zero or too large.
    error InvalidQueen(uint256 position);
    error UnknownParameters(uint32 version);
    error ZeroAddress();
    error NoCode(address account);
}

/// @title What WorkVerification's own code answers: challenges, commits, proofs
interface IWorkCourse is IWorkVerification {
    /// @notice Records challenge block `blockNumber`; permissionless, until half the commit window.
    /// @param header RLP of the block header; its keccak256 is the block hash, its 12th field the timestamp.
    function open(uint64 blockNumber, bytes calldata header) external returns (uint64 index);

    /// @notice Commits a device to its work; opens the challenge if `header` is given and nobody did.
    /// @param receipts in ascending order of queenIndex; may be empty (the commit is then unmeasured).
    function commit(CommitInput calldata input, ReceiptSignature[] calldata receipts, bytes calldata header) external;

    /// @notice Records the block hash that draws the samples; permissionless, within 256 blocks.
    function seal(uint64 blockNumber) external;

    /// @notice Answers the samples drawn for a commit, worker only; seals first if needed. A wrong answer voids the commit.
    function prove(uint64 challengeBlock, uint64 deviceId, WorkProof calldata proof) external;

    /// @notice Parameters of the challenges opened from now on.
    function parameters() external view returns (WorkParameters memory);
    function parametersVersion() external view returns (uint32);
    function isChallengeBlock(bytes32 blockHash) external view returns (bool);
    function challengeCount() external view returns (uint64);
    function challengeAt(uint64 index) external view returns (Challenge memory);
    /// @return index plus one, 0 if the block is not an opened challenge.
    function challengeIndexPlusOne(uint64 blockNumber) external view returns (uint64);
    function seedOf(bytes32 blockHash, uint64 deviceId, uint8 mode) external view returns (bytes32);
    /// @notice Queens of the committee of a challenge opened now, as indices into the Queen set, ascending.
    function committee(bytes32 blockHash, uint64 deviceId) external view returns (uint16[] memory);
    /// @notice Queens of the challenges opened from now on.
    function queens() external view returns (address[] memory);
    function queenEpoch() external view returns (uint64);
    function outcome(uint64 index, uint64 deviceId) external view returns (Outcome);
    /// @notice Whether the commit must be proven on chain, and until which block.
    function drawn(uint64 challengeBlock, uint64 deviceId) external view returns (bool isDrawn, uint64 answerUntil);
}

/// @title What WorkSettlement's code answers at WorkVerification's address: reports, and what is known of devices and rentals
interface IWorkSettlement is IWorkVerification {
    /// @notice Settles the device's challenges up to the newest closed one; updates reputation, dispatches a DeviceReport.
    function reportDevice(uint64 deviceId) external returns (uint32 messageIndex);

    /// @notice Dispatches a cumulative WorkReport for a rental.
    /// @param hint index of the first challenge with timestamp >= start; read only by the first report.
    function reportRental(uint64 rentalId, uint64 hint) external returns (uint32 messageIndex);

    /// @notice What a challenge was opened under.
    function parametersAt(uint32 version) external view returns (WorkParameters memory);
    function device(uint64 deviceId) external view returns (Device memory);
    function rental(uint64 rentalId) external view returns (RentalState memory);
    function classProfile(uint32 classVersion) external view returns (ClassProfile memory);
    function queensAt(uint64 epoch) external view returns (address[] memory);
    function commitOf(uint64 challengeBlock, uint64 deviceId) external view returns (Commit memory);
}

interface IWork is IWorkCourse, IWorkSettlement {}
