// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {EIP712} from "solady/utils/EIP712.sol";

import {IOutbox} from "../interfaces/IBridge.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {IWorkVerification} from "../interfaces/IWorkVerification.sol";
import {ProfileRules} from "../libraries/ProfileRules.sol";
import {Receipts} from "../libraries/Receipts.sol";
import {Wired} from "../libraries/Wired.sol";
import {ClassProfile, MODE_FULL, MODE_LIGHT, Profile, WorkReceipt} from "../types/Protocol.sol";

/// @title State, parameters and views of WorkVerification
abstract contract WorkStore is IWorkVerification, EIP712, Wired {
    bytes32 private constant SEED_TAG = keccak256("gpumkt/seed/v1");
    bytes32 private constant BEACON_TAG = keccak256("gpumkt/beacon/v1");
    /// @dev Block hashes are readable for 256 blocks; a window that leans on one stays clear of the edge.
    uint64 internal constant HASH_WINDOW = 250;
    uint256 internal constant QUEEN_LIMIT = 256;
    /// @dev Storage slots of a Challenge: two numbers in one, two hashes.
    uint256 private constant CHALLENGE_SLOTS = 3;

    /// @dev Union of all termsVersions of a rental: an early end must not void a commit made before it.
    struct Coverage {
        uint64 deviceId;
        uint64 start;
        uint64 end;
    }

    /// @dev What a report needs beyond RentalState to walk again from the start.
    struct Walk {
        uint64 firstIndex;
        /// @dev Outcome of the last counted challenge; decides a closing challenge that nobody could measure.
        bool lastPassed;
    }

    IReputationSystem public immutable reputation;
    IProofVerifier public immutable verifier;
    address public inbox;
    IOutbox public outbox;
    uint64 public ethereumChainId;
    address public stakingManager;
    address public gpuRental;

    Parameters internal _parameters;
    /// @dev Index of the first challenge that may still need its seal.
    uint64 internal sealCursor;
    address[] internal _queens;
    Challenge[] internal challenges;
    mapping(uint64 blockNumber => uint64 indexPlusOne) internal challengeIndex;
    mapping(uint64 blockNumber => mapping(uint64 deviceId => Commit)) internal commits;
    mapping(uint64 deviceId => Device) internal devices;
    mapping(uint64 rentalId => RentalState) internal rentals;
    mapping(uint64 rentalId => Coverage) internal coverageOf;
    mapping(uint64 rentalId => Walk) internal walks;
    mapping(uint64 deviceId => uint64[]) internal rentalsOfDevice;
    mapping(uint32 classVersion => ClassProfile) internal classes;

    error InvalidParameters();
    error InvalidQueen(uint256 position);
    error ZeroAddress();

    constructor(
        Parameters memory parameters_,
        ClassProfile[] memory classProfiles,
        address[] memory queens_,
        IReputationSystem reputation_,
        IProofVerifier verifier_
    ) {
        if (address(reputation_) == address(0) || address(verifier_) == address(0)) {
            revert ZeroAddress();
        }
        _requireParameters(parameters_);
        _parameters = parameters_;
        reputation = reputation_;
        verifier = verifier_;
        for (uint256 i; i < classProfiles.length; ++i) {
            _addClass(classProfiles[i]);
        }
        if (queens_.length == 0 || queens_.length > QUEEN_LIMIT) revert InvalidQueen(queens_.length);
        for (uint256 i; i < queens_.length; ++i) {
            if (queens_[i] == address(0)) revert InvalidQueen(i);
            // One key in two seats would witness twice.
            for (uint256 j; j < i; ++j) {
                if (queens_[j] == queens_[i]) revert InvalidQueen(i);
            }
        }
        _queens = queens_;
    }

    function wire(address inbox_, address outbox_, uint64 ethereumChainId_, address stakingManager_, address gpuRental_)
        external
        wiresOnce
    {
        inbox = _nonZero(inbox_);
        outbox = IOutbox(_nonZero(outbox_));
        ethereumChainId = ethereumChainId_;
        stakingManager = _nonZero(stakingManager_);
        gpuRental = _nonZero(gpuRental_);
    }

    // ------------------------------------------------------------------------------------------- views

    function parameters() external view returns (Parameters memory) {
        return _parameters;
    }

    /// @inheritdoc IWorkVerification
    function isChallengeBlock(bytes32 blockHash) public view returns (bool) {
        return uint256(keccak256(abi.encode(BEACON_TAG, blockHash))) <= type(uint256).max / _parameters.beaconPeriod;
    }

    function challengeCount() external view returns (uint64) {
        return uint64(challenges.length);
    }

    function challengeAt(uint64 index) external view returns (Challenge memory) {
        if (index >= challenges.length) revert WrongHint(index);
        return challenges[index];
    }

    function challengeIndexPlusOne(uint64 blockNumber) external view returns (uint64) {
        return challengeIndex[blockNumber];
    }

    function commitOf(uint64 challengeBlock, uint64 deviceId) external view returns (Commit memory) {
        return commits[challengeBlock][deviceId];
    }

    function device(uint64 deviceId) external view returns (Device memory) {
        return _device(deviceId);
    }

    function rental(uint64 rentalId) external view returns (RentalState memory) {
        return _rental(rentalId);
    }

    function classProfile(uint32 classVersion) external view returns (ClassProfile memory) {
        if (classes[classVersion].classVersion == 0) revert UnknownClass(classVersion);
        return classes[classVersion];
    }

    function queens() external view returns (address[] memory) {
        return _queens;
    }

    /// @inheritdoc IWorkVerification
    function committee(bytes32 blockHash, uint64 deviceId) public view returns (uint16[] memory) {
        return Receipts.committee(blockHash, _device(deviceId).provider, deviceId, _queens.length, _parameters.committeeSize);
    }

    /// @inheritdoc IWorkVerification
    function seedOf(bytes32 blockHash, uint64 deviceId, uint8 mode) public view returns (bytes32) {
        Device storage d = _device(deviceId);
        if (mode != MODE_FULL && mode != MODE_LIGHT) revert InvalidMode(mode);
        return keccak256(
            abi.encode(
                SEED_TAG,
                blockHash,
                block.chainid,
                address(this),
                d.provider,
                deviceId,
                d.classVersion,
                mode,
                _profile(d.classVersion, mode)
            )
        );
    }

    /// @notice EIP-712 digest that a Queen signs.
    function receiptDigest(WorkReceipt calldata receipt) external view returns (bytes32) {
        return _hashTypedData(Receipts.structHash(receipt));
    }

    // ---------------------------------------------------------------------------------------- internal

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("gpumkt", "1");
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

    function _addClass(ClassProfile memory c) private {
        if (c.classVersion == 0 || classes[c.classVersion].classVersion != 0) revert UnknownClass(c.classVersion);
        if (!ProfileRules.isValid(c.full)) revert InvalidProfile(c.classVersion, MODE_FULL);
        if (!ProfileRules.isValid(c.light) || !ProfileRules.isValidPair(c)) revert InvalidProfile(c.classVersion, MODE_LIGHT);
        classes[c.classVersion] = c;
        emit ClassProfileAdded(c.classVersion);
    }

    function _requireParameters(Parameters memory p) private pure {
        bool beacon = p.beaconPeriod != 0 && p.commitWindow >= 2 && p.beaconSpacing >= p.commitWindow / 2 + 1;
        // The seal's hash must still be readable when the last answer comes in.
        bool windows = p.commitWindow <= HASH_WINDOW && p.answerWindow != 0 && p.answerWindow <= HASH_WINDOW;
        // Too many samples would make an honest answer cost more gas than a block has.
        bool proofs = p.proofRate != 0 && p.proofSamples != 0 && p.proofSamples <= 8;
        bool counts = p.committeeSize != 0 && p.maxPerCall != 0;
        if (!beacon || !windows || !proofs || !counts) revert InvalidParameters();
    }
}
