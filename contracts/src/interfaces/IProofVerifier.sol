// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Profile, WorkProof} from "../types/Protocol.sol";

/// @title Recomputes samples of both kernels from the seed
interface IProofVerifier {
    /// @notice Whether `proof` answers every sample that `sampleSeed` draws for a commit to `root`.
    /// @dev Never reverts on a wrong proof of acceptable size.
    function verify(
        Profile calldata profile,
        bytes32 seed,
        bytes32 root,
        bytes32 sampleSeed,
        uint32 samples,
        WorkProof calldata proof
    ) external pure returns (bool);
}
