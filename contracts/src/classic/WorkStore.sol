// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IOutbox} from "../interfaces/IBridge.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {IWorkVerification} from "../interfaces/IWorkVerification.sol";
import {ProfileRules} from "../libraries/ProfileRules.sol";
import {Wired} from "../libraries/Wired.sol";
import {ClassProfile, MODE_FULL, MODE_LIGHT, Profile, WorkParameters} from "../types/Protocol.sol";

/// @title State and parameters of WorkVerification, as both halves of it see them
abstract contract WorkStore is IWorkVerification, Wired {
    bytes32 private constant BEACON_TAG = keccak256("gpumkt/beacon/v1");
    /// @dev Block hashes are readable for 256 blocks; a window that leans on one stays clear of the edge.
    uint64 internal constant HASH_WINDOW = 250;
    /// @dev What one bridge message can carry.
    uint256 internal constant QUEEN_LIMIT = 124;
    uint64 private constant ANSWER_LIMIT = 2048;
    uint64 private constant GRACE_LIMIT = 365 days;
    /// @dev Storage slots of a Challenge: two numbers in one, two hashes.
    uint256 private constant CHALLENGE_SLOTS = 3;

    /// @dev Union of all termsVersions of a rental: an early end must not void a commit made before it.
    struct Coverage {
        uint64 deviceId;
        uint64 start;
        uint64 end;
        address renter;
        uint96 pricePerSecond;
    }

    /// @dev What a report needs beyond RentalState to walk again from the start.
    struct Walk {
        uint64 firstIndex;
        /// @dev Outcome of the last counted challenge; decides a closing challenge that nobody could measure.
        bool lastPassed;
        /// @dev The rental is in its renter's record.
        bool completed;
        /// @dev Worth of all time that reports have decided so far, wei of GPUTOKEN.
        uint128 reportedValue;
    }

    IReputationSystem public immutable reputation;
    IProofVerifier public immutable verifier;
    address internal _inbox;
    IOutbox internal _outbox;
    uint64 internal _ethereumChainId;
    address internal _stakingManager;
    address internal _gpuRental;
    /// @dev Governance's timelock on Ethereum.
    address internal _governance;
    address internal _court;
    uint32 internal _parametersVersion;
    uint64 internal _queenEpoch;
    mapping(uint32 version => WorkParameters) internal parametersOf;
    mapping(uint64 epoch => address[]) internal queensOf;
    /// @dev Index of the first challenge that may still need its seal.
    uint64 internal sealCursor;
    Challenge[] internal challenges;
    mapping(uint64 blockNumber => uint64 indexPlusOne) internal challengeIndex;
    mapping(uint64 blockNumber => mapping(uint64 deviceId => Commit)) internal commits;
    mapping(uint64 deviceId => Device) internal devices;
    mapping(uint64 rentalId => RentalState) internal rentals;
    mapping(uint64 rentalId => Coverage) internal coverageOf;
    mapping(uint64 rentalId => Walk) internal walks;
    mapping(uint64 deviceId => uint64[]) internal rentalsOfDevice;
    mapping(uint32 classVersion => ClassProfile) internal classes;

    constructor(IReputationSystem reputation_, IProofVerifier verifier_) {
        if (address(reputation_) == address(0) || address(verifier_) == address(0)) {
            revert ZeroAddress();
        }
        reputation = reputation_;
        verifier = verifier_;
    }

    function _isChallengeBlock(bytes32 blockHash) internal view returns (bool) {
        return uint256(keccak256(abi.encode(BEACON_TAG, blockHash))) <= type(uint256).max / _current().beaconPeriod;
    }

    function _current() internal view returns (WorkParameters storage) {
        return parametersOf[_parametersVersion];
    }

    /// @dev What the challenge was opened under.
    function _rules(Challenge storage c) internal view returns (WorkParameters storage) {
        return parametersOf[c.parametersVersion];
    }

    function _profile(uint32 classVersion, uint8 mode) internal view returns (Profile storage) {
        ClassProfile storage c = classes[classVersion];
        return mode == MODE_FULL ? c.full : c.light;
    }

    function _device(uint64 deviceId) internal view returns (Device storage d) {
        d = devices[deviceId];
        if (d.provider == address(0)) revert UnknownDevice(deviceId);
    }

    function _rental(uint64 rentalId) internal view returns (RentalState storage r) {
        r = rentals[rentalId];
        if (r.termsVersion == 0) revert UnknownRental(rentalId);
    }

    function _challenge(uint64 blockNumber) internal view returns (Challenge storage) {
        uint64 plusOne = challengeIndex[blockNumber];
        if (plusOne == 0) revert UnknownChallenge(blockNumber);
        return _storedChallenge(plusOne - 1);
    }

    /// @dev `challenges[index]` without the bounds check, which costs a cold read: for an index that the contract itself stored
    ///      when it appended the challenge. Challenges are never removed.
    function _storedChallenge(uint64 index) private pure returns (Challenge storage c) {
        assembly ("memory-safe") {
            mstore(0x00, challenges.slot)
            c.slot := add(keccak256(0x00, 0x20), mul(index, CHALLENGE_SLOTS))
        }
    }

    function _addClass(ClassProfile memory c) internal {
        if (c.classVersion == 0 || classes[c.classVersion].classVersion != 0) revert UnknownClass(c.classVersion);
        if (!ProfileRules.isValid(c.full)) revert InvalidProfile(c.classVersion, MODE_FULL);
        if (!ProfileRules.isValid(c.light) || !ProfileRules.isValidPair(c)) revert InvalidProfile(c.classVersion, MODE_LIGHT);
        classes[c.classVersion] = c;
        emit ClassProfileAdded(c.classVersion);
    }

    function _adoptParameters(uint32 version, WorkParameters memory p) internal {
        _requireParameters(p);
        parametersOf[version] = p;
        _parametersVersion = version;
        emit ParametersAdopted(version, p);
    }

    function _seatQueens(uint64 epoch, address[] memory operators) internal {
        uint256 length = operators.length;
        if (length == 0 || length > QUEEN_LIMIT) revert InvalidQueen(length);
        for (uint256 i; i < length; ++i) {
            if (operators[i] == address(0)) revert InvalidQueen(i);
            // One key in two seats would witness twice.
            for (uint256 j; j < i; ++j) {
                if (operators[j] == operators[i]) revert InvalidQueen(i);
            }
        }
        queensOf[epoch] = operators;
        _queenEpoch = epoch;
        emit QueensSeated(epoch, operators);
    }

    function _requireParameters(WorkParameters memory p) private pure {
        bool beacon = p.beaconPeriod != 0 && p.commitWindow >= 2 && p.beaconSpacing >= p.commitWindow / 2 + 1;
        // The block whose hash seals must be readable when the commit window is over.
        bool windows = p.commitWindow <= HASH_WINDOW && p.disputeWindow <= ANSWER_LIMIT;
        windows = windows && p.answerWindow != 0 && p.answerWindow <= ANSWER_LIMIT;
        // Too many samples would make an honest answer cost more gas than a block has.
        bool proofs = p.proofRate != 0 && p.proofSamples != 0 && p.proofSamples <= 8;
        proofs = proofs && p.answerGas != 0 && p.blockGas >= p.answerGas;
        bool counts = p.committeeSize != 0 && p.maxPerCall != 0 && p.shardSize >= p.committeeSize;
        bool times = p.graceWindow <= GRACE_LIMIT && p.capWindow != 0;
        // An eighth of it must let any provider be paid at all.
        bool money = p.valueCap >= 8 && uint256(p.disputeBond) * 10 >= uint256(p.answerGas) * p.gasPriceCap * 12;
        if (!beacon || !windows || !proofs || !counts || !times || !money) revert InvalidParameters();
    }
}
