// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title How much may be minted until when, and how much of an allocation has vested (docs/economics.md)
/// @dev Everything is rounded down: no sequence of calls adds up to more than the exact schedule.
library EmissionMath {
    /// @notice Length of an emission epoch, which is also the period of loyalty.
    uint256 internal constant EPOCH = 30 days;
    uint256 internal constant BPS = 10_000;
    uint256 private constant WAD = 1e18;

    /// @notice Budget of epoch number `epoch`: initial * (decayBps / 10,000)^epoch.
    function budget(uint256 initial, uint256 decayBps, uint256 epoch) internal pure returns (uint256) {
        return (initial * power(decayBps, epoch)) / WAD;
    }

    /// @notice All that epochs without end add up to.
    function total(uint256 initial, uint256 decayBps) internal pure returns (uint256) {
        return (initial * BPS) / (BPS - decayBps);
    }

    /// @notice What the schedule amounts to `elapsed` seconds after its start; linear within an epoch.
    function scheduled(uint256 initial, uint256 decayBps, uint256 elapsed) internal pure returns (uint256) {
        uint256 factor = power(decayBps, elapsed / EPOCH);
        uint256 whole = (initial * (WAD - factor) * BPS) / ((BPS - decayBps) * WAD);
        return whole + ((initial * factor) / WAD) * (elapsed % EPOCH) / EPOCH;
    }

    /// @notice (decayBps / 10,000)^exponent with 18 decimals.
    function power(uint256 decayBps, uint256 exponent) internal pure returns (uint256 result) {
        uint256 base = (decayBps * WAD) / BPS;
        result = WAD;
        for (; exponent != 0; exponent >>= 1) {
            if (exponent & 1 == 1) result = (result * base) / WAD;
            base = (base * base) / WAD;
        }
    }

    /// @notice Part of `amount` that has vested at `time`: nothing before the cliff, then linear from `start`, all after `duration`.
    function vested(uint256 amount, uint256 start, uint256 cliff, uint256 duration, uint256 time)
        internal
        pure
        returns (uint256)
    {
        if (time < start + cliff) return 0;
        uint256 elapsed = time - start;
        return elapsed >= duration ? amount : (amount * elapsed) / duration;
    }
}
