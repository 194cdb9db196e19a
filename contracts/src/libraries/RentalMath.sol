// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title What a report amounts to, in seconds and in money (docs/protocol.md, section 10)
/// @dev Times are seconds since the rental's start.
library RentalMath {
    /// @notice Price of a rental's time from `from` to `until`.
    struct Piece {
        uint256 from;
        uint256 until;
        uint256 price;
    }

    /// @notice Verified and missed seconds after a report, both at least as before and together within `length`.
    /// @param length of the rental, or up to where it is frozen.
    function count(uint256 length, uint256 covered, uint256 verifiedReported, uint256 verifiedBefore, uint256 missedBefore)
        internal
        pure
        returns (uint256 verified, uint256 missed)
    {
        verified = verifiedReported < covered ? verifiedReported : covered;
        missed = covered - verified;
        if (covered > length) {
            // Made for terms with a later end: of both kinds, as many seconds may lie beyond the end as the report goes beyond it.
            uint256 beyond = covered - length;
            verified = verified > beyond ? verified - beyond : 0;
            missed = missed > beyond ? missed - beyond : 0;
        }
        if (verified < verifiedBefore) verified = verifiedBefore;
        if (missed < missedBefore) missed = missedBefore;
        if (verified > length - missedBefore) verified = length - missedBefore;
        if (missed > length - verified) missed = length - verified;
    }

    /// @notice Money for the time from `from` to `until` of which `verified` seconds were verified.
    /// @dev A report says how many seconds of an interval were verified, not which. Paused time is taken for missed first, and where
    ///      the price changes within the interval the verified seconds are counted at the lower price: pay never exceeds what was
    ///      verified, whichever seconds they were.
    /// @param pieces ascending, without gaps.
    /// @param pauses pairs of from and until, ascending, not overlapping.
    /// @return earned for the verified seconds that were not paused.
    /// @return value of the whole interval; what is not earned of it goes back to the renter.
    function settle(Piece[] memory pieces, uint256[2][] memory pauses, uint256 from, uint256 until, uint256 verified)
        internal
        pure
        returns (uint256 earned, uint256 value)
    {
        uint256[] memory billable = new uint256[](pieces.length);
        for (uint256 i; i < pieces.length; ++i) {
            uint256 first = _max(pieces[i].from, from);
            uint256 last = _min(pieces[i].until, until);
            if (last <= first) continue;
            value += (last - first) * pieces[i].price;
            billable[i] = last - first;
            for (uint256 j; j < pauses.length; ++j) {
                uint256 paused = _max(pauses[j][0], first);
                uint256 resumed = _min(pauses[j][1], last);
                if (resumed > paused) billable[i] -= resumed - paused;
            }
        }
        while (verified != 0) {
            uint256 best = pieces.length;
            for (uint256 i; i < pieces.length; ++i) {
                if (billable[i] != 0 && (best == pieces.length || pieces[i].price < pieces[best].price)) best = i;
            }
            if (best == pieces.length) break;
            uint256 taken = _min(billable[best], verified);
            earned += taken * pieces[best].price;
            billable[best] -= taken;
            verified -= taken;
        }
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }
}
