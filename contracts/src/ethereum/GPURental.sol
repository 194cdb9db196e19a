// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IMessageRecipient} from "../interfaces/IBridge.sol";
import {IGPURental} from "../interfaces/IGPURental.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {KIND_RENTAL_TERMS, KIND_WORK_REPORT, RentalTerms, WorkReport} from "../types/Protocol.sol";
import {GPUToken} from "./GPUToken.sol";
import {RentalStore} from "./RentalStore.sol";
import {TokenDistributor} from "./TokenDistributor.sol";

/// @title Offers, rentals, escrow and settlement
/// @dev All money leaves through `claim`. Every open rental reaches an end without the help of any one party.
contract GPURental is RentalStore, IMessageRecipient {
    using SafeERC20 for GPUToken;

    uint256 private constant ATTRIBUTES_LIMIT = 2048;
    /// @dev With 32-bit durations this keeps price * duration far below 2^128.
    uint128 private constant PRICE_LIMIT = 1 << 80;

    constructor(
        GPUToken token_,
        IStakingManager stakingManager_,
        TokenDistributor distributor_,
        address owner_,
        Parameters memory parameters_
    ) RentalStore(token_, stakingManager_, distributor_, owner_, parameters_) {}

    // ------------------------------------------------------------------------------------------ offers

    /// @inheritdoc IGPURental
    function createOffer(
        uint64 deviceId,
        uint128 pricePerSecond,
        uint32 minDuration,
        uint32 maxDuration,
        bytes32 region,
        string calldata attributes
    ) external returns (uint64 offerId) {
        IStakingManager.Device memory d = stakingManager.device(deviceId);
        _requireProvider(d.provider);
        if (d.removedAt != 0) revert DeviceNotRentable(deviceId, d.lastFullPass);
        _requirePrice(pricePerSecond);
        if (minDuration == 0 || minDuration > maxDuration) revert InvalidDuration(minDuration, 1, maxDuration);
        if (bytes(attributes).length > ATTRIBUTES_LIMIT) revert AttributesTooLong(bytes(attributes).length);
        offerId = ++offerCount;
        offers[offerId] = Offer(deviceId, d.provider, d.classVersion, pricePerSecond, minDuration, maxDuration, region, false);
        emit OfferCreated(
            offerId, deviceId, d.provider, d.classVersion, pricePerSecond, minDuration, maxDuration, region, attributes
        );
    }

    /// @inheritdoc IGPURental
    function changeOffer(uint64 offerId, uint128 pricePerSecond, bool paused) external {
        Offer storage o = _offer(offerId);
        _requireProvider(o.provider);
        _requirePrice(pricePerSecond);
        o.pricePerSecond = pricePerSecond;
        o.paused = paused;
        emit OfferChanged(offerId, pricePerSecond, paused);
    }

    // ----------------------------------------------------------------------------------------- renting

    /// @inheritdoc IGPURental
    function rent(uint64 offerId, uint32 duration, address sessionKey, uint256 maxCost) external returns (uint64 rentalId) {
        return _rent(offerId, duration, sessionKey, maxCost);
    }

    /// @inheritdoc IGPURental
    function rentWithPermit(
        uint64 offerId,
        uint32 duration,
        address sessionKey,
        uint256 maxCost,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint64 rentalId) {
        // A permit that somebody else sent first has done its work: the transfer below decides.
        try token.permit(msg.sender, address(this), maxCost, deadline, v, r, s) {} catch {}
        return _rent(offerId, duration, sessionKey, maxCost);
    }

    /// @inheritdoc IGPURental
    function ready(uint64 rentalId) external {
        Rental storage r = _rental(rentalId);
        _requireProvider(r.provider);
        if (r.state != State.Requested) revert WrongState(rentalId, r.state);
        uint64 notAfter = _readyUntil(rentalId, r);
        if (block.timestamp > notAfter) revert TooLate(notAfter);
        r.state = State.Active;
        r.termsVersion = 1;
        r.start = uint64(block.timestamp);
        r.end = uint64(block.timestamp) + r.duration;
        r.coveredUntil = r.start;
        r.fees = r.readyFee;
        _release(rentalId, r.provider, r.readyFee);
        emit RentalReady(rentalId, r.start, r.end, _dispatchTerms(rentalId, r));
    }

    /// @inheritdoc IGPURental
    function sessionOpened(uint64 rentalId, uint64 time, bytes calldata signature) external {
        Rental storage r = _rental(rentalId);
        if (r.state != State.Active) revert WrongState(rentalId, r.state);
        if (time > r.end) revert TooLate(r.end);
        address recovered = _recover(sessionOpenedDigest(rentalId, time), signature);
        if (recovered != r.sessionKey) revert InvalidSessionSignature(recovered, r.sessionKey);
        // Both sides may send it: the second one is late, not wrong.
        if (r.openedAt != 0) return;
        // The time is the renter's clock; the chain's bounds it.
        if (time < r.start) time = r.start;
        r.openedAt = time > block.timestamp ? uint64(block.timestamp) : time;
        emit SessionWasOpened(rentalId, r.openedAt);
        // What was verified before the renter's word arrived is due now.
        _payVerified(rentalId, r);
    }

    /// @inheritdoc IGPURental
    function endRental(uint64 rentalId) external {
        Rental storage r = _rental(rentalId);
        if (msg.sender != r.renter) revert NotRenter(msg.sender, r.renter);
        if (r.state != State.Active) revert WrongState(rentalId, r.state);
        if (block.timestamp >= r.end) revert TooLate(r.end);
        Parameters storage p = _terms(rentalId);
        bool neverOpened = r.openedAt == 0;
        uint64 end = uint64(block.timestamp);
        // Time that a report has decided already stays decided.
        if (end < r.coveredUntil) end = r.coveredUntil;
        if (!neverOpened && end < r.start + p.minimumBill) end = r.start + p.minimumBill;
        if (end > r.end) end = r.end;
        r.end = end;
        r.termsVersion += 1;
        uint256 refunded = _refundDue(rentalId, r);
        emit TermsChanged(rentalId, r.termsVersion, r.start, end, refunded, _dispatchTerms(rentalId, r));
        // A renter that never got in owes nothing but the ready fee while the start window lasts.
        if (neverOpened && block.timestamp <= r.start + p.startWindow) _close(rentalId, r, CloseReason.NeverOpened, address(0));
    }

    /// @inheritdoc IGPURental
    function cancel(uint64 rentalId) external {
        Rental storage r = _rental(rentalId);
        if (r.state != State.Requested) revert WrongState(rentalId, r.state);
        uint64 notAfter = _readyUntil(rentalId, r);
        if (msg.sender != r.renter && block.timestamp <= notAfter) revert TooEarly(notAfter + 1);
        _close(rentalId, r, CloseReason.NotReady, address(0));
    }

    /// @inheritdoc IGPURental
    function closeAfterDeadline(uint64 rentalId) external {
        Rental storage r = _rental(rentalId);
        if (r.state != State.Active) revert WrongState(rentalId, r.state);
        uint64 deadline = r.end + _terms(rentalId).settleTimeout;
        if (block.timestamp <= deadline) revert TooEarly(deadline + 1);
        _close(rentalId, r, CloseReason.DeadlinePassed, address(0));
    }

    /// @inheritdoc IMessageRecipient
    function handle(uint64 origin, address sender, bytes calldata body, address deliverer) external {
        if (msg.sender != inbox) revert NotInbox(msg.sender);
        if (origin != classicChainId || sender != workVerification) revert UntrustedSender(origin, sender);
        (uint8 kind, bytes calldata fields) = MessageBody.split(body);
        if (kind != KIND_WORK_REPORT) revert UnknownKind(kind);
        _applyReport(abi.decode(fields, (WorkReport)), deliverer);
    }

    /// @inheritdoc IGPURental
    function claim(address to) external returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        amount = credits[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        credits[msg.sender] = 0;
        totalCredit -= amount;
        emit Claimed(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    // ---------------------------------------------------------------------------------------- internal

    function _rent(uint64 offerId, uint32 duration, address sessionKey, uint256 maxCost) private returns (uint64 rentalId) {
        Offer storage o = _offer(offerId);
        if (sessionKey == address(0)) revert ZeroAddress();
        if (o.paused) revert OfferIsPaused(offerId);
        if (duration < o.minDuration || duration > o.maxDuration) {
            revert InvalidDuration(duration, o.minDuration, o.maxDuration);
        }
        _requireRentable(o, o.deviceId);
        rentalId = _record(o, offerId, duration, sessionKey);
        uint256 total = _escrow(rentals[rentalId], offerId, duration);
        if (total > maxCost) revert MaxCostExceeded(total, maxCost);
        emit RentalRequested(rentalId, offerId, msg.sender, o.provider, o.deviceId, sessionKey, duration, total);
        token.safeTransferFrom(msg.sender, address(this), total);
    }

    function _escrow(Rental storage r, uint64 offerId, uint32 duration) private returns (uint256 total) {
        uint256 protocolFee;
        uint256 bridgeFee;
        uint256 readyFee;
        (, protocolFee, bridgeFee, readyFee, total) = quote(offerId, duration);
        r.protocolFee = uint128(protocolFee);
        r.bridgeFee = uint128(bridgeFee);
        r.readyFee = uint128(readyFee);
        r.escrowed = uint128(total);
        totalHeld += total;
    }

    function _record(Offer storage o, uint64 offerId, uint32 duration, address sessionKey) private returns (uint64 rentalId) {
        rentalId = ++rentalCount;
        uint256 version = parameterVersions.length - 1;
        parameterVersionOf[rentalId] = version;
        newestRental[o.deviceId] = rentalId;
        Rental storage r = rentals[rentalId];
        r.renter = msg.sender;
        r.sessionKey = sessionKey;
        r.provider = o.provider;
        r.deviceId = o.deviceId;
        r.offerId = offerId;
        r.state = State.Requested;
        r.duration = duration;
        r.requestedAt = uint64(block.timestamp);
        r.pricePerSecond = o.pricePerSecond;
        r.protocolFeeBps = parameterVersions[version].protocolFeeBps;
    }

    /// @dev Free, staked, not slashed, and proven not long ago. A request that its provider let pass is cancelled on the way.
    function _requireRentable(Offer storage o, uint64 deviceId) private {
        uint64 holder = activeRental(deviceId);
        if (holder != 0) revert DeviceBusy(deviceId, holder);
        uint64 newest = newestRental[deviceId];
        if (newest != 0 && rentals[newest].state == State.Requested) {
            _close(newest, rentals[newest], CloseReason.NotReady, address(0));
        }
        IStakingManager.Device memory d = stakingManager.device(deviceId);
        uint64 proven = d.lastFullPass > verifiedUntil[deviceId] ? d.lastFullPass : verifiedUntil[deviceId];
        uint64 freshness = parameterVersions[parameterVersions.length - 1].freshness;
        bool fresh = proven != 0 && proven + freshness >= block.timestamp;
        bool staked = d.lockedStake != 0 && stakingManager.hasRole(o.provider, IStakingManager.Role.Provider);
        if (!fresh || !staked || d.removedAt != 0) revert DeviceNotRentable(deviceId, d.lastFullPass);
    }

    /// @dev Reports are cumulative and may come late, twice or in another order: seconds only ever grow.
    function _applyReport(WorkReport memory report, address deliverer) private {
        Rental storage r = rentals[report.rentalId];
        // A report for a rental that is closed is acknowledged without effect; reverting would keep it undelivered for ever.
        if (r.state != State.Active || report.termsVersion > r.termsVersion) return;
        (uint64 verified, uint64 missed) = _countSeconds(r, report);
        r.verifiedSeconds = verified;
        r.coveredUntil = r.start + verified + missed;
        if (report.due > r.due) r.due = report.due;
        if (report.passed > r.passed) r.passed = report.passed;
        bool isFinal = report.isFinal && report.termsVersion == r.termsVersion;

        uint256 paid = _payVerified(report.rentalId, r);
        uint256 refunded = _refundDue(report.rentalId, r);
        emit WorkReportApplied(
            report.rentalId, report.termsVersion, r.coveredUntil, verified, report.due, report.passed, paid, refunded, isFinal
        );
        if (!isFinal) return;
        if (r.due != 0 && r.passed == r.due) verifiedUntil[r.deviceId] = r.end;
        _close(report.rentalId, r, r.openedAt == 0 ? CloseReason.NeverOpened : CloseReason.Completed, deliverer);
    }

    /// @dev Verified and missed seconds after the report, both at least as before and together within the rental.
    function _countSeconds(Rental storage r, WorkReport memory report) private view returns (uint64 verified, uint64 missed) {
        uint64 length = r.end - r.start;
        uint64 covered = report.coveredUntil > r.start ? report.coveredUntil - r.start : 0;
        verified = report.verifiedSeconds < covered ? report.verifiedSeconds : covered;
        missed = covered - verified;
        if (covered > length) {
            // Made for terms with a later end: of both kinds, as many seconds may lie beyond the end as the report goes beyond it.
            uint64 beyond = covered - length;
            verified = verified > beyond ? verified - beyond : 0;
            missed = missed > beyond ? missed - beyond : 0;
        }
        uint64 verifiedBefore = r.verifiedSeconds;
        uint64 missedBefore = r.coveredUntil - r.start - verifiedBefore;
        if (verified < verifiedBefore) verified = verifiedBefore;
        if (missed < missedBefore) missed = missedBefore;
        if (verified > length - missedBefore) verified = length - missedBefore;
        if (missed > length - verified) missed = length - verified;
    }

    /// @dev Without the session key's word that a session was opened, nothing is ever paid.
    function _payVerified(uint64 rentalId, Rental storage r) private returns (uint256 amount) {
        if (r.openedAt == 0) return 0;
        uint256 target = uint256(r.verifiedSeconds) * r.pricePerSecond;
        amount = target - r.paid;
        r.paid = uint128(target);
        _release(rentalId, r.provider, amount);
    }

    /// @dev Refunds missed time, and the time between an early end and the one that was paid for.
    function _refundDue(uint64 rentalId, Rental storage r) private returns (uint256 amount) {
        uint256 missed = r.coveredUntil - r.start - r.verifiedSeconds;
        uint256 cutOff = r.start + r.duration - r.end;
        uint256 target = (missed + cutOff) * r.pricePerSecond;
        amount = target - r.refunded;
        r.refunded = uint128(target);
        _release(rentalId, r.renter, amount);
    }

    /// @dev Whatever was not paid and not spent on fees goes back, so escrowed == paid + refunded + fees exactly.
    /// @param deliverer of the final report, who earns the bridge fee; zero if there was none.
    function _close(uint64 rentalId, Rental storage r, CloseReason reason, address deliverer) private {
        r.state = reason == CloseReason.NotReady ? State.Cancelled : State.Completed;
        r.closeReason = reason;
        uint256 protocolFee = (uint256(r.paid) * r.protocolFeeBps) / 10_000;
        uint256 bridgeFee = deliverer == address(0) ? 0 : r.bridgeFee;
        uint256 fees = r.fees + protocolFee + bridgeFee;
        uint256 refunded = r.escrowed - r.paid - fees;
        uint256 refund = refunded - r.refunded;
        r.fees = uint128(fees);
        r.refunded = uint128(refunded);
        _release(rentalId, deliverer, bridgeFee);
        _release(rentalId, r.renter, refund);
        totalHeld -= protocolFee;
        emit RentalClosed(rentalId, reason, r.paid, refunded, fees);
        if (protocolFee != 0) {
            token.safeTransfer(address(distributor), protocolFee);
            distributor.onFee(protocolFee);
        }
    }

    /// @dev Moves escrow to an account's credit.
    function _release(uint64 rentalId, address account, uint256 amount) private {
        if (amount == 0) return;
        totalHeld -= amount;
        totalCredit += amount;
        credits[account] += amount;
        emit Credited(account, rentalId, amount);
    }

    function _dispatchTerms(uint64 rentalId, Rental storage r) private returns (uint32 index) {
        RentalTerms memory terms = RentalTerms(rentalId, r.deviceId, r.termsVersion, r.start, r.end);
        return outbox.dispatch(classicChainId, workVerification, MessageBody.encode(KIND_RENTAL_TERMS, abi.encode(terms)));
    }

    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address recovered) {
        if (signature.length == 64) {
            (recovered,,) = ECDSA.tryRecover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
        } else {
            (recovered,,) = ECDSA.tryRecover(digest, signature);
        }
    }

    function _requirePrice(uint128 pricePerSecond) private pure {
        if (pricePerSecond == 0 || pricePerSecond > PRICE_LIMIT) revert InvalidPrice();
    }
}
