// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {MessageBody} from "../libraries/MessageBody.sol";
import {KIND_RENTAL_TERMS, RentalTerms} from "../types/Protocol.sol";
import {GPUToken} from "./GPUToken.sol";
import {RentalStore} from "./RentalStore.sol";

/// @title How ends and faults move a rental's escrow
/// @dev escrowed == paid + refunded + fees for every rental that is closed. Compensation comes from the device's reserve and is
///      apart from it.
abstract contract RentalSettlement is RentalStore {
    using SafeERC20 for GPUToken;

    // -------------------------------------------------------------------------------------------- ends

    /// @dev Moves the end to `end`, not before what is decided already, and refunds the time behind it.
    function _endAt(uint64 rentalId, Record storage r, uint256 end) internal {
        uint256 decided = uint256(r.start) + r.coveredSeconds;
        if (end < decided) end = decided;
        if (end > r.end) end = r.end;
        uint256 start = r.start;
        uint256 value = _valueOf(rentalId, r, end - start, r.end - start);
        r.end = uint40(end);
        r.termsVersion += 1;
        uint256 refunded = _refund(rentalId, r, value);
        emit TermsChanged(rentalId, r.termsVersion, r.start, r.end, refunded, _dispatchTerms(rentalId, r));
    }

    function _recordFault(uint64 rentalId, Record storage r, Fault fault) internal {
        r.fault = fault;
        uint64 deviceId = offers[r.offerId].deviceId;
        deviceRecords[deviceId].lastFaultAt = uint40(block.timestamp);
        emit FaultRecorded(rentalId, deviceId, fault);
    }

    /// @dev Whatever was not paid and not spent on fees goes back, so escrowed == paid + refunded + fees exactly.
    /// @param deliverer of the final report, who earns the bridge fee; zero if there was none.
    /// @param wholeFee the protocol fee is that of the whole rental, not of what was paid.
    function _close(uint64 rentalId, Record storage r, CloseReason reason, address deliverer, bool wholeFee) internal {
        r.state = reason == CloseReason.NotReady ? State.Cancelled : State.Completed;
        r.closeReason = reason;
        ParameterRecord storage p = _terms(r);
        uint256 rentCost = _valueOf(rentalId, r, 0, r.duration);
        uint256 paid = _paid(r);
        uint256 protocolFee = _protocolFee(p, wholeFee ? rentCost : paid);
        uint256 bridgeFee = deliverer == address(0) ? 0 : p.bridgeFee;
        uint256 fees = protocolFee + bridgeFee + (r.start == 0 ? 0 : p.readyFee);
        uint256 refunded = rentCost + _protocolFee(p, rentCost) + p.bridgeFee + p.readyFee - paid - fees;
        uint256 refund = refunded - r.refunded;
        r.refunded = uint128(refunded);
        _release(rentalId, deliverer, bridgeFee);
        _release(rentalId, r.renter, refund);
        _release(rentalId, address(_distributor), protocolFee);
        if (r.reserved != 0) _settleReserve(rentalId, r);
        emit RentalClosed(rentalId, reason, paid, refunded, fees);
    }

    /// @dev After a fault the reserve pays the rent of the time that was not verified, as far as it was locked; the rest is free.
    function _settleReserve(uint64 rentalId, Record storage r) private {
        uint256 reserved = r.reserved;
        uint256 amount;
        if (r.fault != Fault.None) {
            // Time that the renter gave back was not the provider's to deliver.
            uint256 length = r.endedByRenter || r.fault == Fault.ClosingMissed ? r.end - r.start : r.duration;
            (uint256 billable,) = _settle(rentalId, r, 0, length, length);
            amount = billable > r.earned ? billable - r.earned : 0;
            if (amount > reserved) amount = reserved;
        }
        r.reserved = 0;
        uint64 deviceId = offers[r.offerId].deviceId;
        DeviceRecord storage d = deviceRecords[deviceId];
        d.reserve += uint96(reserved - amount);
        emit ReserveChanged(deviceId, d.reserve);
        if (amount == 0) return;
        _releaseReserve(rentalId, r.renter, amount);
        emit Compensated(rentalId, r.renter, amount);
    }

    function _refund(uint64 rentalId, Record storage r, uint256 amount) internal returns (uint256) {
        if (amount != 0) {
            r.refunded += uint128(amount);
            _release(rentalId, r.renter, amount);
        }
        return amount;
    }

    function _dispatchTerms(uint64 rentalId, Record storage r) internal returns (uint32 index) {
        uint96 price = r.pricePerSecond;
        SegmentRecord[] storage segments = segmentsOf[rentalId];
        for (uint256 i = segments.length; i != 0;) {
            uint96 other = segments[--i].pricePerSecond;
            if (other > price) price = other;
        }
        RentalTerms memory terms =
            RentalTerms(rentalId, offers[r.offerId].deviceId, r.termsVersion, r.start, r.end, r.renter, price);
        return _outbox.dispatch(_classicChainId, _workVerification, MessageBody.encode(KIND_RENTAL_TERMS, abi.encode(terms)));
    }

    /// @dev Locks what a compensation may take: at most a governed time's rent, and what the device has.
    function _reserve(uint64 deviceId, Record storage r, ParameterRecord storage p) internal {
        DeviceRecord storage d = deviceRecords[deviceId];
        uint256 free = d.reserve;
        uint256 duration = r.duration;
        uint256 price = r.pricePerSecond;
        uint256 needed = (duration < p.reserveSeconds ? duration : p.reserveSeconds) * price;
        uint256 wanted = (duration < p.compensationSeconds ? duration : p.compensationSeconds) * price;
        uint256 held = r.state == State.Requested ? 0 : r.reserved;
        if (free + held < needed) revert ReserveTooSmall(deviceId, free, needed);
        if (wanted <= held || free == 0) return;
        uint256 added = wanted - held < free ? wanted - held : free;
        d.reserve = uint96(free - added);
        r.reserved = uint96(held + added);
        emit ReserveChanged(deviceId, free - added);
    }

    /// @dev Both sides may bring the proof of a session: the second one is late, not wrong.
    function _open(uint64 rentalId, Record storage r, uint64 time) internal {
        if (r.openedAt != 0) return;
        // The time is the renter's clock; the chain's bounds it.
        if (time < r.start) time = r.start;
        r.openedAt = time > block.timestamp ? uint40(block.timestamp) : uint40(time);
        emit SessionWasOpened(rentalId, r.openedAt);
        // What was verified before the word arrived is due now.
        _reporting = true;
        _release(rentalId, offers[r.offerId].provider, r.earned);
        _reporting = false;
    }

    function _permit(uint256 amount, PermitInput memory p) internal {
        if (p.deadline == 0) return;
        // A permit that somebody else sent first has done its work: the transfer decides.
        try _token.permit(msg.sender, address(this), amount, p.deadline, p.v, p.r, p.s) {} catch {}
    }

    function _claim(address to) internal returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        amount = _takeCredit(msg.sender);
        emit Claimed(msg.sender, to, amount);
        _token.safeTransfer(to, amount);
    }

    function _collect(uint256 cost, uint256 maxCost) internal {
        if (cost > maxCost) revert MaxCostExceeded(cost, maxCost);
        _token.safeTransferFrom(msg.sender, address(this), cost);
    }

    /// @dev Active and before its end.
    function _requireRunning(uint64 rentalId, Record storage r) internal view {
        if (r.state != State.Active) revert WrongState(rentalId, r.state);
        if (block.timestamp >= r.end) revert TooLate(r.end);
    }

    function _requireRenter(Record storage r) internal view {
        if (msg.sender != r.renter) revert NotRenter(msg.sender, r.renter);
    }

    function _parametersOf(ParameterRecord storage p) internal view returns (Parameters memory) {
        return Parameters(
            p.protocolFeeBps, p.bridgeFee, p.readyFee, p.readyWindow, p.startWindow, p.minimumBill, p.freshness, p.settleTimeout
        );
    }
}
