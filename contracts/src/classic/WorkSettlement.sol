// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../interfaces/IBridge.sol";
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
    FAULT_MISSING_ANSWER,
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

/// @title The part of WorkVerification that settles and reports, and that takes messages from Ethereum
/// @dev Runs on WorkVerification's storage (see there). Called directly it finds an empty storage, and refuses.
contract WorkSettlement is WorkOutcome, IWorkSettlement, IMessageRecipient {
    /// @dev Further challenges that may decide a closing challenge which nobody could measure.
    uint64 private constant CLOSING_LOOKAHEAD = 3;
    uint256 private constant PERFORMANCE_LIMIT = 1_000_000;
    /// @dev Rentals that may have to move when terms arrive out of order.
    uint256 private constant SORT_LIMIT = 16;
    /// @dev Seconds between two reports of a device whose gas is refunded.
    uint256 private constant REFUND_INTERVAL = 6 hours;
    /// @dev Of what may become due in a window, one in this many parts per provider.
    uint128 private constant PROVIDER_SHARE = 8;

    /// @notice The next part.
    address public immutable disputes;

    constructor(IReputationSystem reputation_, IProofVerifier verifier_, address disputes_) WorkOutcome(reputation_, verifier_) {
        // A call to an account without code would look like success.
        if (disputes_.code.length == 0) revert NoCode(disputes_);
        disputes = disputes_;
    }

    /// @dev Calls of IWorkDisputes.
    fallback() external payable {
        address target = disputes;
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, 0, calldatasize())
            let success := delegatecall(gas(), target, data, calldatasize(), 0, 0)
            returndatacopy(data, 0, returndatasize())
            if iszero(success) { revert(data, returndatasize()) }
            return(data, returndatasize())
        }
    }

    /// @dev Coin comes in with a call that says what it is for.
    receive() external payable {
        revert NoPurpose(msg.value);
    }

    /// @inheritdoc IWorkSettlement
    function reportDevice(uint64 deviceId) external returns (uint32 messageIndex) {
        uint256 gasBefore = gasleft();
        Device storage d = _device(deviceId);
        _settle(deviceId, d);
        uint64 to = d.settledIndex;
        if (to == d.reportedIndex) revert NothingNew();
        d.reportedIndex = uint32(to);
        uint32 score = reputation.scorePpm(d.provider);
        DeviceReport memory report = DeviceReport(deviceId, d.lastFullPass, score, d.performancePermille, d.faults, to);
        messageIndex = _dispatch(_stakingManager, KIND_DEVICE_REPORT, abi.encode(report));
        emit DeviceReported(deviceId, d.lastFullPass, score, messageIndex);
        if (block.timestamp < d.refundedAt + REFUND_INTERVAL) return messageIndex;
        d.refundedAt = uint32(block.timestamp);
        _refund(d.provider, gasBefore);
    }

    /// @inheritdoc IWorkSettlement
    function reportRental(uint64 rentalId, uint64 hint) external returns (uint32 messageIndex) {
        uint256 gasBefore = gasleft();
        RentalState storage r = _rental(rentalId);
        Device storage d = _device(r.deviceId);
        _settle(r.deviceId, d);
        if (!r.located) _locate(rentalId, r, hint);
        if (r.finalVersion == r.termsVersion) revert NothingNew();
        uint128 room = _room(d.provider);
        (bool moved, bool capped) = _walk(rentalId, r, d, room);
        if (!moved && capped) revert ValueCapReached(room);
        if (!moved) revert NothingNew();
        messageIndex = _sendReport(rentalId, r, d);
        if (r.finalVersion == r.termsVersion) _refund(d.provider, gasBefore);
    }

    function _sendReport(uint64 rentalId, RentalState storage r, Device storage d) private returns (uint32 messageIndex) {
        Walk storage w = walks[rentalId];
        Coverage storage v = coverageOf[rentalId];
        bool isFinal = r.finalVersion == r.termsVersion;
        uint128 value = _spend(d.provider, w, r, v.pricePerSecond);
        WorkReport memory report = WorkReport(
            rentalId,
            r.termsVersion,
            r.coveredUntil,
            r.verifiedSeconds,
            r.due,
            r.passed,
            d.performancePermille,
            isFinal,
            value,
            isFinal && w.closingMissed
        );
        messageIndex = _dispatch(_gpuRental, KIND_WORK_REPORT, abi.encode(report));
        if (isFinal && !w.completed) {
            // An extension may make another report final.
            w.completed = true;
            reputation.recordRental(v.renter);
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

    // ------------------------------------------------------------------------------------------ settle

    /// @dev In order, up to the first challenge with an open window; a challenge that was not judged yet waits for its verdict.
    function _settle(uint64 deviceId, Device storage d) private {
        _sealDue();
        uint64 index = d.settledIndex;
        uint256 end = uint256(index) + _current().maxPerCall;
        if (end > _reference.sealCursor) end = _reference.sealCursor;
        for (; index < end; ++index) {
            Challenge storage c = _storedChallenge(index);
            if (d.removedAt != 0 && c.timestamp >= d.removedAt) break;
            Outcome result = _outcome(index, deviceId);
            if (result == Outcome.Pending) break;
            result = _count(index, deviceId, d, result);
            emit DeviceSettled(deviceId, c.blockNumber, result);
        }
        d.settledIndex = index;
    }

    /// @return counted what the outcome amounts to once the device's record is looked at.
    function _count(uint64 index, uint64 deviceId, Device storage d, Outcome result) private returns (Outcome counted) {
        if (result == Outcome.Void) return result;
        Challenge storage c = _storedChallenge(index);
        Commit storage m = commits[c.blockNumber][deviceId];
        if (result == Outcome.Passed) {
            _score(index, deviceId, d);
            return result;
        }
        if (result == Outcome.Unmeasured) {
            uint64 since = _since(c);
            // Two within the window are nobody's fault.
            if (d.neutralBefore <= since) {
                (d.neutralBefore, d.neutralAt) = (d.neutralAt, c.timestamp);
                return result;
            }
            m.status = CommitStatus.Neglected;
        } else if (m.status == CommitStatus.Committed || m.status == CommitStatus.Proven) {
            (, bool missing, address reporter) = _unanswered(c, m, d, deviceId);
            if (missing) _missing(c, m, d, deviceId, reporter);
        }
        reputation.record(d.provider, deviceId, false, 0, 0);
        return Outcome.Missed;
    }

    /// @dev The first two within the window are recorded misses, with the penalty that a missed challenge has; the third is a fault.
    function _missing(Challenge storage c, Commit storage m, Device storage d, uint64 deviceId, address reporter) private {
        m.status = CommitStatus.Voided;
        emit CommitVoided(c.blockNumber, deviceId, FAULT_MISSING_ANSWER);
        _returnBonds(c, m, deviceId);
        uint64 since = _since(c);
        uint256 times = 1 + (d.missingAt > since ? 1 : 0) + (d.missingBefore > since ? 1 : 0);
        emit AnswerMissing(c.blockNumber, deviceId, times);
        if (times < 3) {
            (d.missingBefore, d.missingAt) = (d.missingAt, c.timestamp);
            return;
        }
        (d.missingBefore, d.missingAt) = (0, 0);
        _fault(c, deviceId, FAULT_MISSING_ANSWER, reporter);
    }

    /// @dev Start of the grace window that ends with the challenge.
    function _since(Challenge storage c) private view returns (uint64) {
        uint64 window = _rules(c).graceWindow;
        return c.timestamp > window ? c.timestamp - window : 0;
    }

    function _score(uint64 index, uint64 deviceId, Device storage d) private {
        Challenge storage c = _storedChallenge(index);
        Commit storage m = commits[c.blockNumber][deviceId];
        uint32 performance;
        if (m.mode == MODE_FULL) {
            performance = _performance(_profile(d.classVersion, MODE_FULL).referenceMs, m.elapsedMs);
            d.performancePermille = performance;
            if (c.timestamp > d.lastFullPass) d.lastFullPass = c.timestamp;
        }
        uint64 since = index == 0 ? c.timestamp : _storedChallenge(index - 1).timestamp;
        if (since < d.registeredAt) since = d.registeredAt;
        uint64 proven = c.timestamp > since ? c.timestamp - since : 0;
        reputation.record(d.provider, deviceId, true, performance, proven);
    }

    /// @dev 1000 is the speed of the reference device.
    function _performance(uint32 referenceMs, uint32 elapsedMs) private pure returns (uint32) {
        uint256 permille = (uint256(referenceMs) * 1000) / (elapsedMs == 0 ? 1 : elapsedMs);
        return uint32(permille > PERFORMANCE_LIMIT ? PERFORMANCE_LIMIT : permille);
    }

    // ------------------------------------------------------------------------------------------- value

    /// @return what may become due to the provider's rentals in this window.
    function _room(address provider) private view returns (uint128) {
        WorkParameters storage rules = _current();
        uint64 window = uint64(block.number / rules.capWindow);
        uint128 all = _left(_spent, window, rules.valueCap);
        uint128 own = _left(spentOf[provider], window, rules.valueCap / PROVIDER_SHARE);
        return all < own ? all : own;
    }

    function _left(Spent storage spent, uint64 window, uint128 cap) private view returns (uint128) {
        uint128 used = spent.window == window ? spent.value : 0;
        return used < cap ? cap - used : 0;
    }

    /// @dev Time that is decided is paid or refunded: both are due.
    function _spend(address provider, Walk storage w, RentalState storage r, uint96 price) private returns (uint128 value) {
        uint64 from = w.reportedUntil > r.start ? w.reportedUntil : r.start;
        if (r.coveredUntil <= from) return 0;
        w.reportedUntil = r.coveredUntil;
        value = uint128(uint256(r.coveredUntil - from) * price);
        uint64 window = uint64(block.number / _current().capWindow);
        _charge(_spent, window, value);
        _charge(spentOf[provider], window, value);
    }

    function _charge(Spent storage spent, uint64 window, uint128 value) private {
        if (spent.window != window) (spent.window, spent.value) = (window, value);
        else spent.value += value;
    }

    // ----------------------------------------------------------------------------------------- rentals

    function _locate(uint64 rentalId, RentalState storage r, uint64 hint) private {
        bool inRange = hint < challenges.length && challenges[hint].timestamp >= r.start;
        if (!inRange || (hint != 0 && challenges[hint - 1].timestamp >= r.start)) revert WrongHint(hint);
        r.located = true;
        r.cursor = hint;
        walks[rentalId].firstIndex = hint;
    }

    /// @dev docs/protocol.md, section 10: passed verifies the time since the mark, missed only moves the mark, unmeasured
    ///      leaves it to the next challenge, void to both neighbours. What the room has no place for is left to a later report.
    /// @return moved whether there is anything to report.
    /// @return capped whether the room ended the walk.
    function _walk(uint64 rentalId, RentalState storage r, Device storage d, uint128 room)
        private
        returns (bool moved, bool capped)
    {
        uint64 index = r.cursor;
        uint256 last = uint256(index) + _current().maxPerCall;
        // Challenges of a removed device are not settled, but still decide its rentals.
        uint256 decided = d.removedAt == 0 ? d.settledIndex : challenges.length;
        if (last > decided) last = decided;
        uint64 horizon = _horizon(rentalId, r, room);
        for (; index < last; ++index) {
            Challenge storage c = _storedChallenge(index);
            bool closing = c.timestamp >= r.end;
            Outcome result = closing ? _closingOutcome(rentalId, d, r.deviceId, index) : _outcome(index, r.deviceId);
            if (result == Outcome.Pending) break;
            if (result == Outcome.Void) walks[rentalId].voidAt = c.timestamp;
            if (result == Outcome.Passed || result == Outcome.Missed) {
                uint64 mark = closing ? r.end : c.timestamp;
                capped = mark > horizon;
                uint64 before = r.coveredUntil;
                _cover(walks[rentalId], r, capped ? horizon : mark, result == Outcome.Passed);
                if (r.coveredUntil != before) moved = true;
                if (capped) break;
                _decide(walks[rentalId], r, result == Outcome.Passed);
            }
            moved = true;
            if (closing) {
                walks[rentalId].closingMissed = result == Outcome.Missed;
                r.finalVersion = r.termsVersion;
                break;
            }
        }
        r.cursor = index;
    }

    /// @dev Latest time that may be decided now: what was reported before costs no room again.
    function _horizon(uint64 rentalId, RentalState storage r, uint128 room) private view returns (uint64) {
        uint256 price = coverageOf[rentalId].pricePerSecond;
        uint64 reported = walks[rentalId].reportedUntil;
        uint256 from = reported > r.start ? reported : r.start;
        uint256 horizon = price == 0 ? type(uint64).max : from + room / price;
        return horizon > type(uint64).max ? type(uint64).max : uint64(horizon);
    }

    /// @dev Decides the time up to `mark`. Time before a void challenge needs a passed one on both sides.
    function _cover(Walk storage w, RentalState storage r, uint64 mark, bool passed) private {
        uint64 from = r.coveredUntil;
        if (mark <= from) return;
        r.coveredUntil = mark;
        if (!passed) return;
        if (w.voidAt > from && r.due != 0 && !w.lastPassed) from = w.voidAt < mark ? w.voidAt : mark;
        r.verifiedSeconds += mark - from;
    }

    function _decide(Walk storage w, RentalState storage r, bool passed) private {
        r.due += 1;
        if (passed) r.passed += 1;
        w.lastPassed = passed;
        w.voidAt = 0;
    }

    /// @dev Passed, Missed or Pending: the next measured challenge decides, and failing that the previous one.
    function _closingOutcome(uint64 rentalId, Device storage d, uint64 deviceId, uint64 index)
        private
        view
        returns (Outcome result)
    {
        result = _outcome(index, deviceId);
        for (uint64 i = 1; _isNeutral(result) && i <= CLOSING_LOOKAHEAD; ++i) {
            uint256 decided = d.removedAt == 0 ? d.settledIndex : challenges.length;
            if (index + i >= decided) return Outcome.Pending;
            result = _outcome(index + i, deviceId);
        }
        if (_isNeutral(result)) return walks[rentalId].lastPassed ? Outcome.Passed : Outcome.Missed;
    }

    function _isNeutral(Outcome result) private pure returns (bool) {
        return result == Outcome.Unmeasured || result == Outcome.Void;
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
        d.weight = _weightOf(classes[m.classVersion].stake);
        // A device answers only for challenges that were opened after it could know of them.
        d.settledIndex = uint64(challenges.length);
        d.reportedIndex = uint32(challenges.length);
        deviceList.push(m.deviceId);
        d.position = uint32(deviceList.length);
        // Written now, once, so that a commit finds storage that exists.
        if (tallies[m.provider].evenIndex == 0) tallies[m.provider].evenIndex = type(uint64).max;
        emit DeviceAdded(m.deviceId, m.provider, m.worker, m.classVersion);
    }

    function _dropDevice(DeviceRemoved memory m) private {
        Device storage d = _device(m.deviceId);
        if (d.removedAt != 0) return;
        d.removedAt = m.removedAt;
        uint64 last = deviceList[deviceList.length - 1];
        deviceList[d.position - 1] = last;
        devices[last].position = d.position;
        deviceList.pop();
        emit DeviceDropped(m.deviceId, m.removedAt);
    }

    function _setTerms(RentalTerms memory m) private {
        RentalState storage r = rentals[m.rentalId];
        Coverage storage v = coverageOf[m.rentalId];
        if (r.termsVersion == 0) {
            v.deviceId = m.deviceId;
            v.start = m.start;
            v.renter = m.renter;
            _insert(rentalsOfDevice[m.deviceId], m.rentalId, m.start);
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

    /// @dev Terms arrive nearly in order; whoever delivers them decides, and gains nothing by leaving one for last.
    function _insert(uint64[] storage ids, uint64 rentalId, uint64 start) private {
        ids.push(rentalId);
        uint256 at = ids.length - 1;
        for (uint256 moved; at != 0 && moved < SORT_LIMIT && coverageOf[ids[at - 1]].start > start; ++moved) {
            ids[at] = ids[at - 1];
            --at;
        }
        ids[at] = rentalId;
    }

    function _rewind(uint64 rentalId, RentalState storage r) private {
        r.cursor = walks[rentalId].firstIndex;
        r.coveredUntil = r.start;
        r.verifiedSeconds = 0;
        r.due = 0;
        r.passed = 0;
        r.finalVersion = 0;
        walks[rentalId].lastPassed = false;
        walks[rentalId].voidAt = 0;
        walks[rentalId].closingMissed = false;
    }
}
