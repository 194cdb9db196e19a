// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {Wired} from "../libraries/Wired.sol";

/// @title Decayed counts of passed and failed challenges per provider
/// @dev Every count loses half of its weight in `halfLife` challenges. All arithmetic rounds down and is deterministic.
contract ReputationSystem is IReputationSystem, Wired {
    /// @dev Weight of one challenge.
    uint256 private constant UNIT = 1e6;
    uint256 private constant WAD = 1e18;
    uint32 private constant HALF_LIFE_LIMIT = 1_000_000;
    /// @dev A new performance figure moves the kept one by 1/8, so that one lucky run decides little.
    uint256 private constant PERFORMANCE_WEIGHT = 8;

    uint32 public immutable halfLife;
    /// @notice Challenges, in millionths, that every provider starts with on both sides.
    uint64 public immutable priorPpm;
    /// @notice What a count is multiplied with per challenge, 1e18 = 1.
    uint256 public immutable decayWad;
    address public workVerification;
    mapping(address provider => Record) private records;
    mapping(address renter => RenterStanding) private standings;

    error InvalidHalfLife(uint32 halfLife);
    error InvalidPrior(uint64 priorPpm);

    constructor(uint32 halfLife_, uint64 priorPpm_) {
        if (halfLife_ == 0 || halfLife_ > HALF_LIFE_LIMIT) revert InvalidHalfLife(halfLife_);
        if (priorPpm_ == 0 || priorPpm_ > 1000 * UNIT) revert InvalidPrior(priorPpm_);
        halfLife = halfLife_;
        priorPpm = priorPpm_;
        decayWad = _halfLifeRoot(halfLife_);
    }

    function wire(address workVerification_) external wiresOnce {
        workVerification = _nonZero(workVerification_);
    }

    modifier onlyWorkVerification() {
        if (msg.sender != workVerification) revert NotWorkVerification(msg.sender);
        _;
    }

    /// @inheritdoc IReputationSystem
    function record(address provider, uint64 deviceId, bool passed, uint32 performancePermille, uint64 provenSeconds)
        external
        onlyWorkVerification
    {
        Record memory r = records[provider];
        _count(r, passed);
        if (passed) r.provenSeconds += provenSeconds;
        if (passed && performancePermille != 0) {
            uint256 kept = r.performancePermille;
            r.performancePermille = kept == 0
                ? performancePermille
                : uint32((kept * (PERFORMANCE_WEIGHT - 1) + performancePermille) / PERFORMANCE_WEIGHT);
        }
        if (r.challenges != type(uint32).max) r.challenges += 1;
        records[provider] = r;
        emit ReputationUpdated(provider, deviceId, passed, _score(r));
    }

    /// @inheritdoc IReputationSystem
    function recordFault(address provider, uint64 deviceId, uint8 reason) external onlyWorkVerification {
        Record storage r = records[provider];
        if (r.faults != type(uint32).max) r.faults += 1;
        emit FaultRecorded(provider, deviceId, reason);
    }

    /// @inheritdoc IReputationSystem
    function recordRental(address renter) external onlyWorkVerification {
        RenterStanding storage r = standings[renter];
        r.rentalsCompleted += 1;
        emit RenterRecorded(renter, r.rentalsCompleted, r.complaintsLost);
    }

    /// @inheritdoc IReputationSystem
    function recordComplaints(address renter, uint32 lost) external onlyWorkVerification {
        RenterStanding storage r = standings[renter];
        if (lost <= r.complaintsLost) return;
        r.complaintsLost = lost;
        emit RenterRecorded(renter, r.rentalsCompleted, r.complaintsLost);
    }

    function renterOf(address renter) external view returns (RenterStanding memory) {
        return standings[renter];
    }

    function scorePpm(address provider) external view returns (uint32) {
        return _score(records[provider]);
    }

    function recordOf(address provider) external view returns (Record memory) {
        return records[provider];
    }

    function _count(Record memory r, bool passed) private view {
        // Below halfLife / ln 2 challenges each, so 64 bits hold them.
        r.passedPpm = uint64((r.passedPpm * decayWad) / WAD + (passed ? UNIT : 0));
        r.failedPpm = uint64((r.failedPpm * decayWad) / WAD + (passed ? 0 : UNIT));
    }

    function _score(Record memory r) private view returns (uint32) {
        uint256 good = uint256(r.passedPpm) + priorPpm;
        return uint32((good * 1_000_000) / (good + r.failedPpm + priorPpm));
    }

    /// @return root the largest wad with root^n <= 1/2.
    function _halfLifeRoot(uint256 n) private pure returns (uint256 root) {
        for (uint256 step = 1 << 59; step != 0; step >>= 1) {
            if (root + step <= WAD && _power(root + step, n) <= WAD / 2) root += step;
        }
    }

    function _power(uint256 base, uint256 n) private pure returns (uint256 result) {
        result = WAD;
        for (; n != 0; n >>= 1) {
            if (n & 1 == 1) result = (result * base) / WAD;
            base = (base * base) / WAD;
        }
    }
}
