// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {
    ClassProfile,
    CommitInput,
    ReceiptSignature,
    RefusalSignature,
    WorkParameters,
    WorkProof,
    WorkReceipt
} from "../types/Protocol.sol";

/// @title Challenges, commits, proofs and reports on Ethereum Classic: what all parts of WorkVerification share
interface IWorkVerification {
    enum CommitStatus {
        None,
        Committed,
        /// @dev The samples that the seal drew were answered.
        Proven,
        /// @dev A wrong or missing answer.
        Voided,
        /// @dev One unmeasured commit too many: it counts as missed.
        Neglected
    }

    enum Outcome {
        /// @dev A window on the challenge is still open.
        Pending,
        Passed,
        Missed,
        /// @dev Neutral: decided by the next measured challenge.
        Unmeasured,
        /// @dev Nobody's fault: too few devices answered, or most could not be measured. Paid between two passed challenges.
        Void
    }

    enum Verdict {
        /// @dev The commit window may be open, or nobody called since.
        Open,
        Valid,
        /// @dev Less than half of the weight that answered the last valid challenge.
        Void
    }

    /// @dev Weights are stakes of classes in whole tokens.
    struct Challenge {
        uint40 blockNumber;
        uint40 timestamp;
        /// @dev Weight of all commits, each owner's capped at a tenth of the last valid challenge's total.
        uint32 weight;
        uint32 totalWeight;
        uint16 owners;
        uint16 commits;
        uint16 unmeasured;
        uint16 demands;
        /// @dev Version of the parameters and epoch of the Queen set that the challenge was opened under.
        uint16 parametersVersion;
        uint16 queenEpoch;
        Verdict verdict;
        // ----
        bytes32 blockHash;
        /// @dev blockhash(blockNumber + commitWindow + 1); zero until sealed.
        bytes32 sealHash;
    }

    struct Commit {
        /// @dev The root's first 25 bytes: to find two roots that share them is 2^100 work.
        bytes25 root;
        /// @dev The largest value stands for all that is no less.
        uint24 elapsedMs;
        uint8 mode;
        /// @dev False without receipts of two thirds of the committee.
        bool measured;
        /// @dev Somebody demanded samples beside those that the seal draws.
        bool demanded;
        CommitStatus status;
    }

    /// @notice Samples that a Queen, a renter or a committee demanded of a commit.
    struct Demand {
        /// @dev Zero for a committee that was refused openings off chain.
        address opener;
        uint40 answerUntil;
        uint8 samples;
        bool answered;
        bytes32 sampleSeed;
    }

    struct Device {
        address provider;
        /// @dev `worker` answers for challenges later than this, `previousWorker` for the others.
        uint64 workerSince;
        /// @dev Stake of the class in whole tokens.
        uint32 weight;
        // ----
        address worker;
        uint32 classVersion;
        uint64 registeredAt;
        // ----
        uint64 removedAt;
        /// @dev Next challenge index that settle looks at.
        uint64 settledIndex;
        uint64 lastFullPass;
        uint32 performancePermille;
        uint32 faults;
        // ----
        address previousWorker;
        /// @dev Up to where the last DeviceReport covered.
        uint32 reportedIndex;
        /// @dev Position in the list of devices that pay for opening and sealing, plus one.
        uint32 position;
        /// @dev When a report was last refunded from the gas fund.
        uint32 refundedAt;
        // ----
        /// @dev Times of the last two unmeasured commits that were neutral, and of the last two answers that were missing.
        uint64 neutralAt;
        uint64 neutralBefore;
        uint64 missingAt;
        uint64 missingBefore;
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
    event QueensSeated(uint64 indexed epoch, bytes32 shardSeed, address[] operators);
    event ChallengeJudged(uint64 indexed blockNumber, Verdict verdict, uint32 weight, uint32 totalWeight, uint16 owners);
    event SampleDemanded(
        uint64 indexed challengeBlock,
        uint64 indexed deviceId,
        uint256 indexed position,
        address opener,
        bytes32 sampleSeed,
        uint8 samples,
        uint64 answerUntil
    );
    event DemandAnswered(uint64 indexed challengeBlock, uint64 indexed deviceId, uint256 indexed position);
    /// @param times how often within the grace window; the third is a fault.
    event AnswerMissing(uint64 indexed challengeBlock, uint64 indexed deviceId, uint256 times);
    event FundDeposited(address indexed account, address indexed by, uint256 amount);
    event FundWithdrawn(address indexed account, address to, uint256 amount);
    event FundMoved(address indexed from, address indexed to, uint256 amount);

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
    error CalledDirectly();
    error NoPurpose(uint256 amount);
    error NotQueenNorRenter(address caller);
    error WrongBond(uint256 sent, uint256 bond);
    error TooManyDemands(uint256 limit);
    error AlreadyDemanded(uint64 challengeBlock, uint64 deviceId);
    error UnknownDemand(uint64 challengeBlock, uint64 deviceId, uint256 position);
    error NotCommitted(uint64 challengeBlock, uint64 deviceId);
    error TooFewRefusals(uint256 signatures, uint256 committee);
    error FundTooSmall(uint256 held, uint256 wanted);
    error TransferFailed(address to);
    error ValueCapReached(uint128 cap);
    error NumberTooLarge(uint64 number);
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
    /// @notice Queens of the challenges opened from now on.
    function queens() external view returns (address[] memory);
    function queenEpoch() external view returns (uint64);
    function outcome(uint64 index, uint64 deviceId) external view returns (Outcome);
    /// @notice Whether the commit must be proven on chain, and until which block.
    function drawn(uint64 challengeBlock, uint64 deviceId) external view returns (bool isDrawn, uint64 answerUntil);
}

/// @title What WorkSettlement's code answers at WorkVerification's address: messages, settlement and reports
interface IWorkSettlement is IWorkVerification {
    /// @notice Settles the device's challenges up to the newest closed one; updates reputation, dispatches a DeviceReport. The gas
    ///         is refunded from the provider's fund, at most once in six hours.
    function reportDevice(uint64 deviceId) external returns (uint32 messageIndex);

    /// @notice Settles the device, then dispatches a cumulative WorkReport for a rental, as far as the value cap allows. The gas of
    ///         a final report is refunded from the provider's fund.
    /// @param hint index of the first challenge with timestamp >= start; read only by the first report.
    function reportRental(uint64 rentalId, uint64 hint) external returns (uint32 messageIndex);
}

/// @title What WorkDisputes' code answers at WorkVerification's address: demanded samples, the gas fund, and what is known of devices and rentals
interface IWorkDisputes is IWorkVerification {
    /// @notice Demands that a commit opens the samples of `sampleSeed`, under a bond that a right answer earns.
    /// @dev A Queen of the challenge's set, or whose rental of the device covers the challenge. A wrong or missing answer returns the
    ///      bond and names the opener as reporter. The opener may choose the samples: no choice makes honest work wrong.
    function dispute(uint64 challengeBlock, uint64 deviceId, bytes32 sampleSeed) external payable;

    /// @notice Demands three samples without a bond, on the word of two thirds of the committee that it was refused openings.
    /// @param root the committed root, in full.
    /// @param signatures in ascending order of queenIndex.
    function refuse(uint64 challengeBlock, uint64 deviceId, bytes32 root, RefusalSignature[] calldata signatures) external;

    /// @notice Answers demand number `position` of a commit, worker only. A wrong answer voids the commit.
    function answer(uint64 challengeBlock, uint64 deviceId, uint256 position, WorkProof calldata proof) external;

    /// @notice Adds to the fund that pays for what others send on the account's behalf.
    function deposit(address account) external payable;
    function withdraw(address to, uint256 amount) external;

    /// @notice What a challenge was opened under.
    function parametersAt(uint32 version) external view returns (WorkParameters memory);
    function device(uint64 deviceId) external view returns (Device memory);
    function rental(uint64 rentalId) external view returns (RentalState memory);
    function classProfile(uint32 classVersion) external view returns (ClassProfile memory);
    function queensAt(uint64 epoch) external view returns (address[] memory);
    /// @notice What decides which shard is whose in an epoch.
    function shardSeedAt(uint64 epoch) external view returns (bytes32);
    function commitOf(uint64 challengeBlock, uint64 deviceId) external view returns (Commit memory);
    function fundOf(address account) external view returns (uint256);
    function demands(uint64 challengeBlock, uint64 deviceId) external view returns (Demand[] memory);
    function openDisputesOf(address opener) external view returns (uint256);
    /// @notice Queens of the committee of a challenge opened now, as indices into the Queen set, ascending.
    function committee(bytes32 blockHash, uint64 deviceId) external view returns (uint16[] memory);
    /// @notice EIP-712 digest that a Queen signs.
    function receiptDigest(WorkReceipt calldata receipt) external view returns (bytes32);
    /// @notice EIP-712 digest that a Queen signs whom a provider refused openings.
    function refusalDigest(uint64 challengeBlock, uint64 deviceId, bytes32 blockHash, bytes32 root)
        external
        view
        returns (bytes32);
}

interface IWork is IWorkCourse, IWorkSettlement, IWorkDisputes {}
