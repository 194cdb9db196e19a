// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {EmissionMath} from "../src/libraries/EmissionMath.sol";
import {RentalMath} from "../src/libraries/RentalMath.sol";

/// @dev For halmos (scripts/symbolic.sh): every `check_` holds for all arguments of its types, not for samples of them. The types are
///      as wide as the solver answers for in minutes; what multiplies is narrower than what only adds and compares.
contract SettlementCheck {
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

    /// @dev One price, one pause: pay is never above the interval's value, nor above what was verified at its price. Prices of 3 bits.
    function check_payStaysBelowWhatWasVerified(uint8 from, uint8 until, uint8 paused, uint8 resumed, uint8 verified, uint8 price)
        external
        pure
    {
        price &= 7;
        if (from > until || paused > resumed) return;
        RentalMath.Piece[] memory pieces = new RentalMath.Piece[](1);
        pieces[0] = RentalMath.Piece(0, type(uint40).max, price);
        uint256[2][] memory pauses = new uint256[2][](1);
        pauses[0] = [uint256(paused), resumed];
        (uint256 earned, uint256 value) = RentalMath.settle(pieces, pauses, from, until, verified);
        assert(value == (uint256(until) - from) * price);
        assert(earned <= value);
        assert(earned <= uint256(verified) * price);
    }

    /// @dev Two prices of 2 bits and times of 5: the same, at the higher one.
    function check_payStaysBelowWithTwoPrices(uint8 from, uint8 border, uint8 until, uint8 verified, uint8 low, uint8 high)
        external
        pure
    {
        (from, border, until, verified) = (from & 31, border & 31, until & 31, verified & 31);
        (low, high) = (low & 3, high & 3);
        if (from > border || border > until || low > high) return;
        RentalMath.Piece[] memory pieces = new RentalMath.Piece[](2);
        pieces[0] = RentalMath.Piece(0, border, low);
        pieces[1] = RentalMath.Piece(border, type(uint40).max, high);
        (uint256 earned, uint256 value) = RentalMath.settle(pieces, new uint256[2][](0), from, until, verified);
        assert(earned <= value);
        assert(earned <= uint256(verified) * high);
    }

    /// @dev Nothing before the cliff, all in the end, never more than there is. Durations and amounts of 5 bits.
    function check_vestingKeepsItsBounds(uint8 amount, uint8 start, uint8 cliff, uint8 duration, uint8 time) external pure {
        (amount, duration) = (amount & 31, duration & 31);
        if (cliff > duration) return;
        uint256 vested = EmissionMath.vested(amount, start, cliff, duration, time);
        assert(vested <= amount);
        if (time < uint256(start) + cliff) assert(vested == 0);
        else if (time >= uint256(start) + duration) assert(vested == amount);
    }

    /// @dev What has vested stays vested. All of 4 bits: the quotients of two times are compared.
    function check_vestingNeverRunsBackwards(uint8 amount, uint8 cliff, uint8 duration, uint8 a, uint8 b) external pure {
        (amount, cliff, duration, a, b) = (amount & 15, cliff & 15, duration & 15, a & 15, b & 15);
        if (cliff > duration || a > b) return;
        assert(EmissionMath.vested(amount, 0, cliff, duration, a) <= EmissionMath.vested(amount, 0, cliff, duration, b));
    }

    /// @dev Within an epoch the schedule grows, and stays below what the cap was checked against.
    function check_theFirstEpochsScheduleIsBounded(uint8 initial, uint8 a, uint8 b) external pure {
        if (a > b) return;
        uint256 first = EmissionMath.scheduled(initial, 9750, a);
        uint256 second = EmissionMath.scheduled(initial, 9750, b);
        assert(first <= second);
        assert(second <= EmissionMath.total(initial, 9750));
    }
}
