// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {MatmulVerifier} from "../../src/libraries/MatmulVerifier.sol";
import {MemoryVerifier} from "../../src/libraries/MemoryVerifier.sol";
import {Profile} from "../../src/types/Protocol.sol";

/// @dev One step of a verification at a time, compiled as ProofVerifier is.
contract VerifierHarness {
    function foldOf(bytes32 roundSeed, uint256 row, uint256 fold, uint256 innerSize) external pure returns (uint64) {
        return MatmulVerifier.foldOf(roundSeed, row, fold, innerSize);
    }

    function replay(Profile memory p, bytes32 seed, uint256 lane, uint256 segment, bytes32 state)
        external
        pure
        returns (bytes32)
    {
        return MemoryVerifier.replay(p, seed, lane, segment, state);
    }
}
