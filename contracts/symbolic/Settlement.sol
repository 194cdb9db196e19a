// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {EmissionMath} from "../src/libraries/EmissionMath.sol";
import {RentalMath} from "../src/libraries/RentalMath.sol";

/// @dev For halmos (scripts/symbolic.sh): every `check_` holds for all arguments of its types, not for samples of them. The types are
///      as wide as the solver answers for in minutes; what multiplies is narrower than what only adds and compares.
contract SettlementCheck {
    uint256 private constant AMOUNT = 1000e18;
    uint256 private constant START = 1_700_000_000;
    uint256 private constant CLIFF = 365 days;
    /// @dev A little more than four years; a power of two, because solvers follow shifts, not quotients.
    uint256 private constant DURATION = 1 << 27;

    /// @dev Seconds of both kinds never shrink and never exceed the rental; none is verified that was not reported as such.
    function check_countKeepsItsBounds(uint16 length, uint16 covered, uint16 reported, uint16 verifiedBefore, uint16 missedBefore)
        external
        pure
    {
        if (uint256(verifiedBefore) + missedBefore > length) return;
        (uint256 verified, uint256 missed) = RentalMath.count(length, covered, reported, verifiedBefore, missedBefore);
        assert(verified >= verifiedBefore);
        assert(missed >= missedBefore);
        assert(verified + missed <= length);
        assert(verified <= verifiedBefore || verified <= reported);
    }

    /// @dev The same report a second time changes nothing.
    function check_countTakesAReportOnce(uint64 length, uint64 covered, uint64 reported) external pure {
        (uint256 verified, uint256 missed) = RentalMath.count(length, covered, reported, 0, 0);
        (uint256 again, uint256 missedAgain) = RentalMath.count(length, covered, reported, verified, missed);
        assert(again == verified);
        assert(missedAgain == missed);
    }

    /// @dev One price, one pause: never more is paid than the interval holds, nor than was verified. What is paid is the price times
    ///      seconds by construction, so a price of one says it for all.
    function check_payStaysBelowWhatWasVerified(uint32 from, uint32 until, uint32 paused, uint32 resumed, uint32 verified)
        external
        pure
    {
        if (from > until || paused > resumed) return;
        RentalMath.Piece[] memory pieces = new RentalMath.Piece[](1);
        pieces[0] = RentalMath.Piece(0, type(uint40).max, 1);
        uint256[2][] memory pauses = new uint256[2][](1);
        pauses[0] = [uint256(paused), resumed];
        (uint256 earned, uint256 value) = RentalMath.settle(pieces, pauses, from, until, verified);
        assert(value == uint256(until) - from);
        assert(earned <= value);
        assert(earned <= verified);
    }

    /// @dev A price of one and one of two, in either order: the same, at the higher one.
    function check_payStaysBelowWithTwoPrices(uint8 border, uint8 until, uint8 verified, bool rises) external pure {
        if (border > until) return;
        (uint256 first, uint256 second) = rises ? (1, 2) : (2, 1);
        RentalMath.Piece[] memory pieces = new RentalMath.Piece[](2);
        pieces[0] = RentalMath.Piece(0, border, first);
        pieces[1] = RentalMath.Piece(border, type(uint40).max, second);
        (uint256 earned, uint256 value) = RentalMath.settle(pieces, new uint256[2][](0), 0, until, verified);
        assert(earned <= value);
        assert(earned <= uint256(verified) * 2);
    }

    /// @dev Four years of a thousand tokens with a cliff of a year: nothing before it, all in the end, never more than there is.
    function check_vestingKeepsItsBounds(uint32 time) external pure {
        uint256 vested = EmissionMath.vested(AMOUNT, START, CLIFF, DURATION, time);
        assert(vested <= AMOUNT);
        if (time < START + CLIFF) assert(vested == 0);
        else if (time >= START + DURATION) assert(vested == AMOUNT);
    }

    /// @dev Of the same schedule: what has vested stays vested.
    function check_vestingNeverRunsBackwards(uint32 time, uint16 later) external pure {
        uint256 before = EmissionMath.vested(AMOUNT, START, CLIFF, DURATION, time);
        assert(before <= EmissionMath.vested(AMOUNT, START, CLIFF, DURATION, uint256(time) + later));
    }
}
