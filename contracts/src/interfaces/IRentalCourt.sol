// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Checkpoint, Quorum} from "../types/Protocol.sol";

/// @title What a rental's contract can't see by itself: complaints, reachability, and whether the bridge works
/// @dev Trusts the Queens of StakingManager, drawn by a block hash that nobody knew when the case was opened, and the Kings for
///      the time of a checkpoint. It never holds a rental's money, only the bonds of its cases.
interface IRentalCourt {
    enum Kind {
        None,
        /// @dev By the renter: the device or the access to it is not what was rented.
        Complaint,
        /// @dev By the provider: the renter never came, though the door was open.
        Reachability
    }

    enum Status {
        None,
        Open,
        Upheld,
        Rejected,
        /// @dev No verdict in time: the bond went back, the work reports decide.
        Expired
    }

    struct Parameters {
        /// @dev Paid in with a complaint.
        uint128 bond;
        /// @dev Shared by the Queens who judged, whatever they judged. Of a complaint's bond; all that a reachability case costs.
        uint128 judgeFee;
        /// @dev At most 31.
        uint8 committeeSize;
        /// @dev Blocks between a case and the block whose hash draws its committee.
        uint8 drawDelay;
        /// @dev Seconds from the case to the last moment of a verdict; at most 48 hours.
        uint32 verdictWindow;
        /// @dev How long before a deadline a checkpoint may have been made that proves a working bridge, seconds.
        uint32 finalitySeconds;
    }

    struct Case {
        uint64 rentalId;
        Kind kind;
        Status status;
        address opener;
        uint64 openedAt;
        uint64 drawBlock;
        uint128 bond;
        uint128 judgeFee;
        uint64 verdictUntil;
        uint8 ayes;
        uint8 nays;
        bytes32 evidence;
        /// @dev Accounts of Queens; empty until drawn.
        address[] committee;
    }

    /// @notice A Queen's EIP-712 signature under Reachable(rentalId, time).
    struct Receipt {
        /// @dev Position in the committee.
        uint8 member;
        bytes32 r;
        bytes32 vs;
    }

    event CaseOpened(
        uint256 indexed caseId, uint64 indexed rentalId, Kind kind, address opener, uint64 drawBlock, bytes32 evidence
    );
    event CommitteeDrawn(uint256 indexed caseId, address[] committee);
    event DrawRepeated(uint256 indexed caseId, uint64 drawBlock);
    event Voted(uint256 indexed caseId, address indexed queen, bool upheld);
    event RenterRecordSent(address indexed renter, uint32 complaintsLost, uint32 messageIndex);
    event CaseClosed(uint256 indexed caseId, uint64 indexed rentalId, Status status);
    event Credited(address indexed account, uint256 indexed caseId, uint256 amount);
    event Claimed(address indexed account, address indexed to, uint256 amount);
    event ParametersSet(Parameters parameters);

    error InvalidParameters();
    error NotParty(uint64 rentalId, address caller);
    error CaseAlreadyOpen(uint64 rentalId, uint256 caseId);
    error TooManyCases(uint64 rentalId, uint256 limit);
    error SessionKnown(uint64 rentalId);
    error UnknownCase(uint256 caseId);
    error WrongStatus(uint256 caseId, Status status);
    error WrongKind(uint256 caseId, Kind kind);
    error AlreadyDrawn(uint256 caseId);
    error NotDrawn(uint256 caseId);
    error TooEarly(uint64 notBefore);
    error TooLate(uint64 notAfter);
    error NotInCommittee(uint256 caseId, address queen);
    error AlreadyVoted(uint256 caseId, address queen);
    error ReceiptsNotAscending(uint256 position);
    error InvalidReceipt(uint256 position, address recovered);
    error TooFewReceipts(uint256 receipts, uint256 committee);
    error NotACheckpointOf(uint64 origin, address outbox);
    error CheckpointTooOld(uint64 blockTimestamp, uint64 notBefore);
    error NotTheKings(bytes32 expected, bytes32 actual);
    error InvalidSigner(uint256 position, address recovered);
    error MalformedSignatures(uint256 length, uint256 signers);
    error TooLittleWeight(uint256 signed, uint256 total);
    error NothingToClaim(address account);
    error ZeroAddress();

    /// @notice Renter or delegate, while the rental runs: freezes the money for the time after now. Takes the bond.
    /// @param evidence hash of what the Queens will be shown.
    function complain(uint64 rentalId, bytes32 evidence) external returns (uint256 caseId);
    /// @notice Provider, of a rental without a session: asks Queens to try its door. Takes the judges' fee.
    function requestWitness(uint64 rentalId) external returns (uint256 caseId);
    /// @notice Anybody, once the case's block has passed. If its hash is out of reach already, another block is named.
    function draw(uint256 caseId) external;
    /// @notice A committee member's owner or operator; on complaints.
    function vote(uint256 caseId, bool upheld) external;
    /// @notice Anybody: receipts of two thirds of the committee stand in for SessionOpened.
    function submitReceipts(uint256 caseId, uint64 time, Receipt[] calldata receipts) external;
    /// @notice Anybody, after the last moment of a verdict, or once the case has lost its object.
    function expire(uint256 caseId) external;
    /// @notice Anybody: an accepted checkpoint from after the rental's deadline shows that its report could have come.
    function requestDeadline(uint64 rentalId, Checkpoint calldata checkpoint, Quorum calldata quorum) external;
    /// @notice Anybody, with EIP-712 signatures of a third of the current Kings' weight under Pause(setEpoch, until): what reports
    ///         credited does not leave until then.
    function pauseWithdrawals(uint64 until, Quorum calldata quorum) external;
    function claim(address to) external returns (uint256 amount);

    function caseOf(uint256 caseId) external view returns (Case memory);
    function caseCount() external view returns (uint256);
    /// @return caseId the open complaint about a rental, 0 if there is none.
    function openComplaint(uint64 rentalId) external view returns (uint256 caseId);
    function credit(address account) external view returns (uint256);
    function parameters() external view returns (Parameters memory);
    function pauseDigest(uint64 setEpoch, uint64 until) external view returns (bytes32);
    function reachableDigest(uint64 rentalId, uint64 time) external view returns (bytes32);
}
