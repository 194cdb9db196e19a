// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {RentalMath} from "../libraries/RentalMath.sol";
import {WorkReport} from "../types/Protocol.sol";
import {RentalSettlement} from "./RentalSettlement.sol";

/// @title What the work reports from Ethereum Classic do to a rental
abstract contract RentalReports is RentalSettlement {
    /// @dev The newest report that arrived while a rental was frozen, for after the verdict.
    struct KeptReport {
        address deliverer;
        uint40 verifiedSeconds;
        uint32 termsVersion;
        // ----
        uint64 coveredUntil;
        uint32 due;
        uint32 passed;
        bool isFinal;
        bool closingMissed;
    }

    mapping(uint64 rentalId => KeptReport) private keptReports;

    /// @dev Reports are cumulative and may come late, twice or in another order: seconds only ever grow.
    function _applyReport(WorkReport memory report, address deliverer) internal {
        Record storage r = rentals[report.rentalId];
        // A report for a rental that is closed is acknowledged without effect; reverting would keep it undelivered for ever.
        if (r.state != State.Active || report.termsVersion > r.termsVersion) return;
        bool isFinal = report.isFinal && report.termsVersion == r.termsVersion;
        if (r.frozenFrom != 0) {
            _keep(report, deliverer, isFinal);
            isFinal = false;
        } else {
            if (report.due > r.due) r.due = report.due;
            if (report.passed > r.passed) r.passed = report.passed;
        }
        (uint256 paid, uint256 refunded) = _cover(report, r);
        emit WorkReportApplied(
            report.rentalId,
            report.termsVersion,
            r.start + r.coveredSeconds,
            r.verifiedSeconds,
            report.due,
            report.passed,
            paid,
            refunded,
            isFinal
        );
        if (isFinal) _conclude(report.rentalId, r, report.closingMissed, deliverer);
    }

    /// @dev Time up to the report's mark is decided: verified time is earned, the rest of it goes back.
    function _cover(WorkReport memory report, Record storage r) private returns (uint256 paid, uint256 refunded) {
        uint256 from = r.coveredSeconds;
        uint256 before = r.verifiedSeconds;
        uint256 horizon = r.frozenFrom != 0 && r.frozenFrom < r.end ? r.frozenFrom : r.end;
        uint256 covered = report.coveredUntil > r.start ? report.coveredUntil - r.start : 0;
        (uint256 verified, uint256 missed) =
            RentalMath.count(horizon - r.start, covered, report.verifiedSeconds, before, from - before);
        (uint256 earned, uint256 value) = _settle(report.rentalId, r, from, verified + missed, verified - before);
        r.coveredSeconds = uint40(verified + missed);
        r.verifiedSeconds = uint40(verified);
        r.earned += uint128(earned);
        if (r.openedAt != 0) {
            paid = earned;
            _release(report.rentalId, offers[r.offerId].provider, earned);
        }
        refunded = _refund(report.rentalId, r, value - earned);
    }

    function _conclude(uint64 rentalId, Record storage r, bool closingMissed, address deliverer) private {
        DeviceRecord storage d = deviceRecords[offers[r.offerId].deviceId];
        if (r.due != 0 && r.passed == r.due) d.verifiedUntil = r.end;
        // Where the renter cut the rental short, maintenance may lie at its end.
        bool excused = r.pauses != 0 && r.endedByRenter;
        if (closingMissed && r.openedAt != 0 && r.fault == Fault.None && !excused) {
            uint256 last = d.lastFaultAt;
            d.lastFaultAt = uint40(block.timestamp);
            // The first fault is free; in a rental with maintenance the count can't tell which challenge was missed.
            bool again = last != 0 && last + _terms(r).graceWindow >= block.timestamp;
            if (again || (r.pauses == 0 && r.due > r.passed + 1)) _recordFault(rentalId, r, Fault.ClosingMissed);
        }
        CloseReason reason = r.openedAt == 0 ? CloseReason.NeverOpened : CloseReason.Completed;
        if (r.fault == Fault.Aborted) reason = CloseReason.Aborted;
        if (r.fault == Fault.Judged) reason = CloseReason.Judged;
        _close(rentalId, r, reason, deliverer, false);
    }

    function _keep(WorkReport memory report, address deliverer, bool isFinal) private {
        KeptReport storage k = keptReports[report.rentalId];
        // Of several the one that says most: a final one, or one that reaches further.
        if (k.termsVersion == report.termsVersion && k.isFinal && !isFinal) return;
        if (report.termsVersion < k.termsVersion) return;
        if (report.termsVersion == k.termsVersion && report.coveredUntil < k.coveredUntil) return;
        k.deliverer = deliverer;
        k.verifiedSeconds = report.verifiedSeconds > type(uint40).max ? type(uint40).max : uint40(report.verifiedSeconds);
        k.termsVersion = report.termsVersion;
        k.coveredUntil = report.coveredUntil;
        k.due = report.due;
        k.passed = report.passed;
        k.isFinal = report.isFinal;
        k.closingMissed = report.closingMissed;
    }

    /// @dev After the verdict: what arrived meanwhile counts now.
    function _applyKept(uint64 rentalId) internal {
        KeptReport memory k = keptReports[rentalId];
        if (k.termsVersion == 0) return;
        delete keptReports[rentalId];
        _applyReport(
            WorkReport(rentalId, k.termsVersion, k.coveredUntil, k.verifiedSeconds, k.due, k.passed, 0, k.isFinal, 0, k.closingMissed),
            k.deliverer
        );
    }
}
