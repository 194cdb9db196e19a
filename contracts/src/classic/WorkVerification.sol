// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../interfaces/IBridge.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {IWorkVerification} from "../interfaces/IWorkVerification.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {Receipts} from "../libraries/Receipts.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {
    ClassProfile,
    CommitInput,
    DeviceRegistered,
    DeviceRemoved,
    DeviceReport,
    FAULT_WRONG_PROOF,
    FaultProven,
    KIND_DEVICE_REGISTERED,
    KIND_DEVICE_REMOVED,
    KIND_DEVICE_REPORT,
    KIND_FAULT_PROVEN,
    KIND_RENTAL_TERMS,
    KIND_WORK_REPORT,
    MODE_FULL,
    MODE_LIGHT,
    ReceiptSignature,
    RentalTerms,
    WorkProof,
    WorkReport
} from "../types/Protocol.sol";
import {WorkOutcome} from "./WorkOutcome.sol";

/// @title Commits, proofs and reports of the work that devices do
/// @dev Trusts StakingManager and GPURental on Ethereum (through the Inbox) for devices and terms, and the Queens for times,
///      two thirds of a committee at once. Everything else is recomputed here or follows from block hashes.
contract WorkVerification is WorkOutcome, IMessageRecipient {
    /// @dev Further challenges that may decide a closing challenge which nobody could measure.
    uint64 private constant CLOSING_LOOKAHEAD = 3;
    uint256 private constant PERFORMANCE_LIMIT = 1_000_000;

    constructor(
        Parameters memory parameters_,
        ClassProfile[] memory classProfiles,
        address[] memory queens_,
        IReputationSystem reputation_,
        IProofVerifier verifier_
    ) WorkOutcome(parameters_, classProfiles, queens_, reputation_, verifier_) {}

    /// @inheritdoc IWorkVerification
    function commit(CommitInput calldata input, ReceiptSignature[] calldata receipts, bytes calldata header) external {
        Device storage d = _device(input.deviceId);
        if (msg.sender != d.worker) revert NotWorker(msg.sender, d.worker);
        if (input.mode != MODE_FULL && input.mode != MODE_LIGHT) revert InvalidMode(input.mode);
        if (header.length != 0 && challengeIndex[input.challengeBlock] == 0) _open(input.challengeBlock, header);
        Challenge storage c = _challenge(input.challengeBlock);
        if (block.number > c.blockNumber + _parameters.commitWindow) {
            revert OutsideWindow(c.blockNumber, uint64(block.number));
        }
        // A commit made for the other side of a reorg must not stand for this one.
        if (input.blockHash != c.blockHash) revert WrongBlockHash(c.blockHash, input.blockHash);
        if (commits[input.challengeBlock][input.deviceId].status != CommitStatus.None) {
            revert AlreadyCommitted(input.challengeBlock, input.deviceId);
        }
        _store(input, receipts);
    }

    /// @inheritdoc IWorkVerification
    function prove(uint64 challengeBlock, uint64 deviceId, WorkProof calldata proof) external {
        Device storage d = _device(deviceId);
        if (msg.sender != d.worker) revert NotWorker(msg.sender, d.worker);
        Challenge storage c = _challenge(challengeBlock);
        Commit storage m = commits[challengeBlock][deviceId];
        if (m.status != CommitStatus.Committed) revert NotDrawn(challengeBlock, deviceId);
        _seal(c);
        (bool isDrawn, uint64 answerUntil) = drawn(challengeBlock, deviceId);
        if (!isDrawn) revert NotDrawn(challengeBlock, deviceId);
        if (block.number > answerUntil) revert AnswerWindowClosed(challengeBlock, answerUntil);

        bool right = verifier.verify(
            _profile(d.classVersion, m.mode),
            seedOf(c.blockHash, deviceId, m.mode),
            m.root,
            sampleSeed(challengeBlock, deviceId),
            _parameters.proofSamples,
            proof
        );
        if (right) {
            m.status = CommitStatus.Proven;
            emit WorkProven(challengeBlock, deviceId);
            return;
        }
        m.status = CommitStatus.Voided;
        d.faults += 1;
        emit CommitVoided(challengeBlock, deviceId, FAULT_WRONG_PROOF);
        reputation.recordFault(d.provider, deviceId, FAULT_WRONG_PROOF);
        FaultProven memory fault = FaultProven(deviceId, challengeBlock, FAULT_WRONG_PROOF, address(0), address(0));
        _dispatch(stakingManager, KIND_FAULT_PROVEN, abi.encode(fault));
    }

    /// @inheritdoc IWorkVerification
    function reportDevice(uint64 deviceId) external returns (uint32 messageIndex) {
        Device storage d = _device(deviceId);
        _sealDue();
        uint64 from = d.settledIndex;
        uint64 to = _settle(deviceId, d);
        if (to == from) revert NothingNew();
        d.settledIndex = to;
        uint32 score = reputation.scorePpm(d.provider);
        DeviceReport memory report = DeviceReport(deviceId, d.lastFullPass, score, d.performancePermille, d.faults, to);
        messageIndex = _dispatch(stakingManager, KIND_DEVICE_REPORT, abi.encode(report));
        emit DeviceReported(deviceId, d.lastFullPass, score, messageIndex);
    }

    /// @inheritdoc IWorkVerification
    function reportRental(uint64 rentalId, uint64 hint) external returns (uint32 messageIndex) {
        RentalState storage r = _rental(rentalId);
        Device storage d = _device(r.deviceId);
        _sealDue();
        if (!r.located) _locate(rentalId, r, hint);
        if (r.finalVersion == r.termsVersion || !_walk(rentalId, r)) revert NothingNew();

        bool isFinal = r.finalVersion == r.termsVersion;
        WorkReport memory report = WorkReport(
            rentalId, r.termsVersion, r.coveredUntil, r.verifiedSeconds, r.due, r.passed, d.performancePermille, isFinal
        );
        messageIndex = _dispatch(gpuRental, KIND_WORK_REPORT, abi.encode(report));
        emit RentalReported(rentalId, r.termsVersion, r.coveredUntil, r.verifiedSeconds, r.due, r.passed, isFinal, messageIndex);
    }

    /// @inheritdoc IMessageRecipient
    function handle(uint64 origin, address sender, bytes calldata body, address) external {
        if (msg.sender != inbox) revert NotInbox(msg.sender);
        if (origin != ethereumChainId || (sender != stakingManager && sender != gpuRental)) {
            revert UntrustedSender(origin, sender);
        }
        (uint8 kind, bytes calldata fields) = MessageBody.split(body);
        bool fromStaking = sender == stakingManager;
        if (kind == KIND_DEVICE_REGISTERED && fromStaking) _addDevice(abi.decode(fields, (DeviceRegistered)));
        else if (kind == KIND_DEVICE_REMOVED && fromStaking) _dropDevice(abi.decode(fields, (DeviceRemoved)));
        else if (kind == KIND_RENTAL_TERMS && !fromStaking) _setTerms(abi.decode(fields, (RentalTerms)));
        else revert UnknownKind(kind);
    }

    // ----------------------------------------------------------------------------------------- commits

    function _store(CommitInput calldata input, ReceiptSignature[] calldata receipts) private {
        (bool measured, uint32 elapsedMs) = _measure(input, receipts);
        Commit storage m = commits[input.challengeBlock][input.deviceId];
        m.root = input.root;
        // The second slot of a Commit in one write, its fields from the lowest bits on; the compiler would write each of them.
        uint256 packed = uint256(input.rentalId) | (block.number & type(uint64).max) << 64 | uint256(elapsedMs) << 128;
        packed |= uint256(input.mode) << 160 | (measured ? 1 << 168 : 0) | uint256(CommitStatus.Committed) << 176;
        assembly ("memory-safe") {
            sstore(add(m.slot, 1), packed)
        }
        emit WorkCommitted(
            input.challengeBlock, input.deviceId, input.mode, input.rentalId, input.root, elapsedMs, measured, receipts.length
        );
    }

    /// @return measured whether two thirds of the committee signed.
    /// @return elapsedMs the committee's median, 0 if not measured.
    function _measure(CommitInput calldata input, ReceiptSignature[] calldata receipts)
        private
        view
        returns (bool measured, uint32 elapsedMs)
    {
        if (receipts.length == 0) return (false, 0);
        uint16[] memory members = committee(input.blockHash, input.deviceId);
        uint32[] memory times = new uint32[](receipts.length);
        bytes memory receipt =
            Receipts.layout(_domainSeparator(), input.challengeBlock, input.deviceId, input.blockHash, input.root);
        for (uint256 i; i < receipts.length; ++i) {
            ReceiptSignature calldata s = receipts[i];
            if (i != 0 && s.queenIndex <= receipts[i - 1].queenIndex) revert ReceiptsNotAscending(i);
            if (!Receipts.contains(members, s.queenIndex)) revert NotInCommittee(s.queenIndex);
            address recovered = Signatures.recover(Receipts.digestOf(receipt, s.elapsedMs), s.r, s.vs);
            // Queens are never zero, so a signature that recovers to zero can't match.
            if (recovered != _queens[s.queenIndex]) revert InvalidReceipt(i, recovered);
            times[i] = s.elapsedMs;
        }
        measured = receipts.length * 3 >= members.length * 2;
        elapsedMs = measured ? Receipts.median(times, members.length) : 0;
    }

    // ------------------------------------------------------------------------------------------ settle

    /// @return index the first challenge that is not settled yet.
    function _settle(uint64 deviceId, Device storage d) private returns (uint64 index) {
        index = d.settledIndex;
        uint256 end = uint256(index) + _parameters.maxPerCall;
        if (end > challenges.length) end = challenges.length;
        for (; index < end; ++index) {
            Challenge storage c = challenges[index];
            if (d.removedAt != 0 && c.timestamp >= d.removedAt) break;
            Outcome result = outcome(index, deviceId);
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
        uint256 last = uint256(index) + _parameters.maxPerCall;
        if (last > challenges.length) last = challenges.length;
        for (; index < last; ++index) {
            Challenge storage c = challenges[index];
            bool closing = c.timestamp >= r.end;
            Outcome result = closing ? _closingOutcome(rentalId, r.deviceId, index) : outcome(index, r.deviceId);
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
        result = outcome(index, deviceId);
        for (uint64 i = 1; result == Outcome.Unmeasured && i <= CLOSING_LOOKAHEAD; ++i) {
            if (index + i >= challenges.length) return Outcome.Pending;
            result = outcome(index + i, deviceId);
        }
        if (result == Outcome.Unmeasured) return walks[rentalId].lastPassed ? Outcome.Passed : Outcome.Missed;
    }

    // ---------------------------------------------------------------------------------------- messages

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
            r.deviceId = m.deviceId;
            r.start = m.start;
            r.coveredUntil = m.start;
        }
        // Even terms that arrive late widen what a commit of their time may lean on.
        if (m.end > v.end) v.end = m.end;
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

    function _dispatch(address recipient, uint8 kind, bytes memory fields) private returns (uint32) {
        return outbox.dispatch(ethereumChainId, recipient, MessageBody.encode(kind, fields));
    }
}
