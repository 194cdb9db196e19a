// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient, IOutbox} from "../interfaces/IBridge.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {IWorkSettlement} from "../interfaces/IWorkVerification.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {
    ClassProfile,
    ClassProfileSet,
    DeviceRegistered,
    DeviceRemoved,
    DeviceReport,
    KIND_CLASS_PROFILE_SET,
    KIND_DEVICE_REGISTERED,
    KIND_DEVICE_REMOVED,
    KIND_DEVICE_REPORT,
    KIND_PARAMETER_SET,
    KIND_QUEEN_SET_ROTATED,
    KIND_RENTAL_TERMS,
    KIND_RENTER_RECORD,
    KIND_WORKER_KEY_CHANGED,
    KIND_WORK_REPORT,
    MODE_FULL,
    ParameterSet,
    QueenSetRotated,
    RentalTerms,
    RenterRecord,
    WorkParameters,
    WorkReport,
    WorkerKeyChanged
} from "../types/Protocol.sol";
import {WorkOutcome} from "./WorkOutcome.sol";

/// @title The half of WorkVerification that settles and reports, and that takes messages from Ethereum
/// @dev Runs on WorkVerification's storage (see there). Called directly it finds an empty storage, and refuses.
contract WorkSettlement is WorkOutcome, IWorkSettlement, IMessageRecipient {
    /// @dev Further challenges that may decide a closing challenge which nobody could measure.
    uint64 private constant CLOSING_LOOKAHEAD = 3;
    uint256 private constant PERFORMANCE_LIMIT = 1_000_000;

    constructor(IReputationSystem reputation_, IProofVerifier verifier_) WorkOutcome(reputation_, verifier_) {}

    /// @inheritdoc IWorkSettlement
    function reportDevice(uint64 deviceId) external returns (uint32 messageIndex) {
        Device storage d = _device(deviceId);
        _sealDue();
        uint64 from = d.settledIndex;
        uint64 to = _settle(deviceId, d);
        if (to == from) revert NothingNew();
        d.settledIndex = to;
        uint32 score = reputation.scorePpm(d.provider);
        DeviceReport memory report = DeviceReport(deviceId, d.lastFullPass, score, d.performancePermille, d.faults, to);
        messageIndex = _dispatch(_stakingManager, KIND_DEVICE_REPORT, abi.encode(report));
        emit DeviceReported(deviceId, d.lastFullPass, score, messageIndex);
    }

    /// @inheritdoc IWorkSettlement
    function reportRental(uint64 rentalId, uint64 hint) external returns (uint32 messageIndex) {
        RentalState storage r = _rental(rentalId);
        Device storage d = _device(r.deviceId);
        _sealDue();
        if (!r.located) _locate(rentalId, r, hint);
        if (r.finalVersion == r.termsVersion || !_walk(rentalId, r)) revert NothingNew();

        bool isFinal = r.finalVersion == r.termsVersion;
        WorkReport memory report = WorkReport(
            rentalId,
            r.termsVersion,
            r.coveredUntil,
            r.verifiedSeconds,
            r.due,
            r.passed,
            d.performancePermille,
            isFinal,
            _newlyDue(rentalId, r),
            isFinal && !walks[rentalId].lastPassed
        );
        messageIndex = _dispatch(_gpuRental, KIND_WORK_REPORT, abi.encode(report));
        if (isFinal && !walks[rentalId].completed) {
            // An extension may make another report final.
            walks[rentalId].completed = true;
            reputation.recordRental(coverageOf[rentalId].renter);
        }
        emit RentalReported(rentalId, r.termsVersion, r.coveredUntil, r.verifiedSeconds, r.due, r.passed, isFinal, messageIndex);
    }

    /// @inheritdoc IMessageRecipient
    function handle(uint64 origin, address sender, bytes calldata body, address) external {
        if (msg.sender != _inbox) revert NotInbox(msg.sender);
        if (origin != _ethereumChainId) revert UntrustedSender(origin, sender);
        (uint8 kind, bytes calldata fields) = MessageBody.split(body);
        if (sender == _stakingManager) _fromStaking(kind, fields);
        else if (sender == _governance) _fromGovernance(kind, fields);
        else if (sender == _gpuRental && kind == KIND_RENTAL_TERMS) _setTerms(abi.decode(fields, (RentalTerms)));
        else if (sender == _court && kind == KIND_RENTER_RECORD) _setRenter(abi.decode(fields, (RenterRecord)));
        else if (sender == _gpuRental || sender == _court) revert UnknownKind(kind);
        else revert UntrustedSender(origin, sender);
    }

    // ------------------------------------------------------------------------------------------- views

    function inbox() external view returns (address) {
        return _inbox;
    }

    function outbox() external view returns (IOutbox) {
        return _outbox;
    }

    function ethereumChainId() external view returns (uint64) {
        return _ethereumChainId;
    }

    function stakingManager() external view returns (address) {
        return _stakingManager;
    }

    function gpuRental() external view returns (address) {
        return _gpuRental;
    }

    /// @notice Governance's timelock on Ethereum.
    function governance() external view returns (address) {
        return _governance;
    }

    function court() external view returns (address) {
        return _court;
    }

    /// @inheritdoc IWorkSettlement
    function parametersAt(uint32 version) external view returns (WorkParameters memory) {
        if (parametersOf[version].beaconPeriod == 0) revert UnknownParameters(version);
        return parametersOf[version];
    }

    function queensAt(uint64 epoch) external view returns (address[] memory) {
        return queensOf[epoch];
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

    // ------------------------------------------------------------------------------------------ settle

    /// @return index the first challenge that is not settled yet.
    function _settle(uint64 deviceId, Device storage d) private returns (uint64 index) {
        index = d.settledIndex;
        uint256 end = uint256(index) + _current().maxPerCall;
        if (end > challenges.length) end = challenges.length;
        for (; index < end; ++index) {
            Challenge storage c = challenges[index];
            if (d.removedAt != 0 && c.timestamp >= d.removedAt) break;
            Outcome result = _outcome(index, deviceId);
            if (result == Outcome.Pending) break;
            if (result != Outcome.Unmeasured) _score(index, deviceId, d, result == Outcome.Passed);
            emit DeviceSettled(deviceId, c.blockNumber, result);
        }
    }

    function _score(uint64 index, uint64 deviceId, Device storage d, bool passed) private {
        Challenge storage c = challenges[index];
        if (!passed) {
            reputation.record(d.provider, deviceId, false, 0, 0);
            return;
        }
        Commit storage m = commits[c.blockNumber][deviceId];
        uint32 performance;
        if (m.mode == MODE_FULL) {
            performance = _performance(_profile(d.classVersion, MODE_FULL).referenceMs, m.elapsedMs);
            d.performancePermille = performance;
            if (c.timestamp > d.lastFullPass) d.lastFullPass = c.timestamp;
        }
        uint64 since = index == 0 ? c.timestamp : challenges[index - 1].timestamp;
        if (since < d.registeredAt) since = d.registeredAt;
        uint64 proven = c.timestamp > since ? c.timestamp - since : 0;
        reputation.record(d.provider, deviceId, true, performance, proven);
    }

    /// @dev 1000 is the speed of the reference device.
    function _performance(uint32 referenceMs, uint32 elapsedMs) private pure returns (uint32) {
        uint256 permille = (uint256(referenceMs) * 1000) / (elapsedMs == 0 ? 1 : elapsedMs);
        return uint32(permille > PERFORMANCE_LIMIT ? PERFORMANCE_LIMIT : permille);
    }

    // ----------------------------------------------------------------------------------------- rentals

    /// @dev Time that is decided is paid or refunded: both are due.
    function _newlyDue(uint64 rentalId, RentalState storage r) private returns (uint128 value) {
        uint256 total = uint256(r.coveredUntil - r.start) * coverageOf[rentalId].pricePerSecond;
        uint256 before = walks[rentalId].reportedValue;
        if (total <= before) return 0;
        // 64 bits of seconds and 96 of price are more than fits; no rental comes near.
        if (total > type(uint128).max) total = type(uint128).max;
        walks[rentalId].reportedValue = uint128(total);
        return uint128(total - before);
    }

    function _locate(uint64 rentalId, RentalState storage r, uint64 hint) private {
        bool inRange = hint < challenges.length && challenges[hint].timestamp >= r.start;
        if (!inRange || (hint != 0 && challenges[hint - 1].timestamp >= r.start)) revert WrongHint(hint);
        r.located = true;
        r.cursor = hint;
        walks[rentalId].firstIndex = hint;
    }

    /// @dev docs/protocol.md, section 10: passed verifies the time since the mark, missed only moves the mark, unmeasured
    ///      leaves it to the next challenge.
    /// @return moved whether there is anything to report.
    function _walk(uint64 rentalId, RentalState storage r) private returns (bool moved) {
        uint64 index = r.cursor;
        uint256 last = uint256(index) + _current().maxPerCall;
        if (last > challenges.length) last = challenges.length;
        for (; index < last; ++index) {
            Challenge storage c = challenges[index];
            bool closing = c.timestamp >= r.end;
            Outcome result = closing ? _closingOutcome(rentalId, r.deviceId, index) : _outcome(index, r.deviceId);
            if (result == Outcome.Pending) break;
            moved = true;
            if (result != Outcome.Unmeasured) {
                uint64 mark = closing ? r.end : c.timestamp;
                bool passed = result == Outcome.Passed;
                if (mark > r.coveredUntil) {
                    if (passed) r.verifiedSeconds += mark - r.coveredUntil;
                    r.coveredUntil = mark;
                }
                r.due += 1;
                if (passed) r.passed += 1;
                walks[rentalId].lastPassed = passed;
            }
            if (closing) {
                r.finalVersion = r.termsVersion;
                break;
            }
        }
        r.cursor = index;
    }

    /// @dev Never Unmeasured: the next measured challenge decides, and failing that the previous one.
    function _closingOutcome(uint64 rentalId, uint64 deviceId, uint64 index) private view returns (Outcome result) {
        result = _outcome(index, deviceId);
        for (uint64 i = 1; result == Outcome.Unmeasured && i <= CLOSING_LOOKAHEAD; ++i) {
            if (index + i >= challenges.length) return Outcome.Pending;
            result = _outcome(index + i, deviceId);
        }
        if (result == Outcome.Unmeasured) return walks[rentalId].lastPassed ? Outcome.Passed : Outcome.Missed;
    }

    // ---------------------------------------------------------------------------------------- messages

    function _fromStaking(uint8 kind, bytes calldata fields) private {
        if (kind == KIND_DEVICE_REGISTERED) _addDevice(abi.decode(fields, (DeviceRegistered)));
        else if (kind == KIND_DEVICE_REMOVED) _dropDevice(abi.decode(fields, (DeviceRemoved)));
        else if (kind == KIND_WORKER_KEY_CHANGED) _setWorker(abi.decode(fields, (WorkerKeyChanged)));
        else if (kind == KIND_QUEEN_SET_ROTATED) _rotate(abi.decode(fields, (QueenSetRotated)));
        else revert UnknownKind(kind);
    }

    function _fromGovernance(uint8 kind, bytes calldata fields) private {
        if (kind == KIND_CLASS_PROFILE_SET) _addClass(abi.decode(fields, (ClassProfileSet)).profile);
        else if (kind == KIND_PARAMETER_SET) _setParameters(abi.decode(fields, (ParameterSet)));
        else revert UnknownKind(kind);
    }

    /// @dev A version that is not newer says nothing new.
    function _setParameters(ParameterSet memory m) private {
        if (m.version > _parametersVersion) _adoptParameters(m.version, m.parameters);
    }

    function _rotate(QueenSetRotated memory m) private {
        if (m.epoch > _queenEpoch) _seatQueens(m.epoch, m.operators);
    }

    function _setRenter(RenterRecord memory m) private {
        reputation.recordComplaints(m.renter, m.complaintsLost);
    }

    function _setWorker(WorkerKeyChanged memory m) private {
        Device storage d = _device(m.deviceId);
        if (m.worker == address(0)) revert ZeroAddress();
        if (m.changedAt <= d.workerSince) return;
        d.previousWorker = d.worker;
        d.worker = m.worker;
        d.workerSince = m.changedAt;
        emit WorkerKeySet(m.deviceId, m.worker, m.changedAt);
    }

    function _addDevice(DeviceRegistered memory m) private {
        if (devices[m.deviceId].provider != address(0)) return;
        // Reverting keeps the message undelivered until the class is known here.
        if (classes[m.classVersion].classVersion == 0) revert UnknownClass(m.classVersion);
        Device storage d = devices[m.deviceId];
        d.provider = m.provider;
        d.worker = m.worker;
        d.classVersion = m.classVersion;
        d.registeredAt = m.registeredAt;
        // A device answers only for challenges that were opened after it could know of them.
        d.settledIndex = uint64(challenges.length);
        emit DeviceAdded(m.deviceId, m.provider, m.worker, m.classVersion);
    }

    function _dropDevice(DeviceRemoved memory m) private {
        Device storage d = _device(m.deviceId);
        if (d.removedAt != 0) return;
        d.removedAt = m.removedAt;
        emit DeviceDropped(m.deviceId, m.removedAt);
    }

    function _setTerms(RentalTerms memory m) private {
        RentalState storage r = rentals[m.rentalId];
        Coverage storage v = coverageOf[m.rentalId];
        if (r.termsVersion == 0) {
            rentalsOfDevice[m.deviceId].push(m.rentalId);
            v.deviceId = m.deviceId;
            v.start = m.start;
            v.renter = m.renter;
            r.deviceId = m.deviceId;
            r.start = m.start;
            r.coveredUntil = m.start;
        }
        // Even terms that arrive late widen what a commit of their time may lean on.
        if (m.end > v.end) v.end = m.end;
        if (m.pricePerSecond > v.pricePerSecond) v.pricePerSecond = m.pricePerSecond;
        if (m.termsVersion <= r.termsVersion) return;
        // The closing challenge of the old terms, or time beyond the new end, was counted: count again from the start.
        if (r.finalVersion != 0 || m.end < r.coveredUntil) _rewind(m.rentalId, r);
        r.termsVersion = m.termsVersion;
        r.end = m.end;
        emit TermsUpdated(m.rentalId, m.deviceId, m.termsVersion, m.start, m.end);
    }

    function _rewind(uint64 rentalId, RentalState storage r) private {
        r.cursor = walks[rentalId].firstIndex;
        r.coveredUntil = r.start;
        r.verifiedSeconds = 0;
        r.due = 0;
        r.passed = 0;
        r.finalVersion = 0;
        walks[rentalId].lastPassed = false;
    }
}
