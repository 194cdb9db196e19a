// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Decayed record of every provider and counts of every renter, written by WorkVerification only
interface IReputationSystem {
    struct Record {
        /// @dev Decayed counts, 1e6 = one challenge.
        uint64 passedPpm;
        uint64 failedPpm;
        uint64 provenSeconds;
        uint32 performancePermille;
        uint32 faults;
        uint32 challenges;
    }

    /// @dev Of a renter.
    struct RenterStanding {
        uint32 rentalsCompleted;
        uint32 complaintsLost;
    }

    event RenterRecorded(address indexed renter, uint32 rentalsCompleted, uint32 complaintsLost);
    event ReputationUpdated(address indexed provider, uint64 indexed deviceId, bool passed, uint32 scorePpm);
    event FaultRecorded(address indexed provider, uint64 indexed deviceId, uint8 reason);

    error NotWorkVerification(address caller);

    function record(address provider, uint64 deviceId, bool passed, uint32 performancePermille, uint64 provenSeconds) external;
    function recordFault(address provider, uint64 deviceId, uint8 reason) external;
    /// @notice A rental of the renter's has its final report.
    function recordRental(address renter) external;
    /// @param lost cumulative; fewer than before say nothing new.
    function recordComplaints(address renter, uint32 lost) external;
    /// @return parts per million: (passed + prior) / (passed + failed + 2 * prior).
    function scorePpm(address provider) external view returns (uint32);
    function recordOf(address provider) external view returns (Record memory);
    function renterOf(address renter) external view returns (RenterStanding memory);
}
