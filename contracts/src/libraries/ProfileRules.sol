// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ClassProfile, Profile} from "../types/Protocol.sol";

/// @title Which profiles make sense (docs/protocol.md, section 2)
library ProfileRules {
    uint256 private constant LINE_BYTES = 128;
    uint256 private constant SEGMENT_STEPS = 256;
    uint256 private constant CLASSIC_MAINNET = 61;
    /// @dev How much earlier than the others a provider may know a block, milliseconds.
    uint256 private constant HEAD_START_MS = 1200;

    function isValid(Profile memory p) internal pure returns (bool) {
        if (p.windows == 0 || p.cycles == 0 || p.hashIterations == 0 || p.rounds == 0 || p.memoryBytes == 0) return false;
        if (p.memoryBytes % (LINE_BYTES * p.windows) != 0) return false;
        if (!_powerOfTwo(p.lanes) || !_powerOfTwo(p.matrixSize) || p.matrixSize < 8) return false;
        if (p.steps < 2 * SEGMENT_STEPS || p.steps % (SEGMENT_STEPS * p.windows * p.cycles) != 0) return false;
        if (p.innerSize == 0 || p.innerSize % 32 != 0 || p.innerSize > 16_384) return false;
        if (p.referenceMs == 0 || p.referenceMs > p.passMs || p.passMs > p.unmeasuredMs) return false;
        uint256 lines = p.memoryBytes / LINE_BYTES;
        // More lanes could be sorted by address and served in batches.
        if (p.lanes > lines / 256) return false;
        // With fewer visits per line, touching only the visited lines beats storing all of them.
        return uint256(p.lanes) * p.steps >= lines * 16;
    }

    /// @dev On the main network one GPU must not be fast enough to serve two identities, so toy profiles are refused there.
    function isValidPair(ClassProfile memory c) internal view returns (bool) {
        if (block.chainid != CLASSIC_MAINNET) return true;
        bool sizes = c.full.matrixSize % 1024 == 0 && c.light.matrixSize % 1024 == 0;
        bool alike = _isTooLongAfter(c.full, c.full) && _isTooLongAfter(c.light, c.light);
        bool mixed = _isTooLongAfter(c.light, c.full) && _isTooLongAfter(c.full, c.light);
        return sizes && alike && mixed;
    }

    /// @dev Whether a device of the class's speed misses `second` if it computes `first` before it.
    function _isTooLongAfter(Profile memory first, Profile memory second) private pure returns (bool) {
        return uint256(first.referenceMs) + second.referenceMs > second.passMs + HEAD_START_MS;
    }

    function _powerOfTwo(uint256 x) private pure returns (bool) {
        return x != 0 && x & (x - 1) == 0;
    }
}
