// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Decayed record of every provider, written by WorkVerification only
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

    event ReputationUpdated(address indexed provider, uint64 indexed deviceId, bool passed, uint32 scorePpm);
    event FaultRecorded(address indexed provider, uint64 indexed deviceId, uint8 reason);

    error NotWorkVerification(address caller);

    function record(address provider, uint64 deviceId, bool passed, uint32 performancePermille, uint64 provenSeconds) external;
    function recordFault(address provider, uint64 deviceId, uint8 reason) external;
    /// @return parts per million: (passed + prior) / (passed + failed + 2 * prior).
    function scorePpm(address provider) external view returns (uint32);
    function recordOf(address provider) external view returns (Record memory);
}
