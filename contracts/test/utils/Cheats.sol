// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @dev Cheatcodes that are newer than the forge-std in use.
interface Cheats {
    function setBlockhash(uint256 blockNumber, bytes32 blockHash) external;
    function setEvmVersion(string calldata evm) external;
}

interface EnvironmentCheats {
    function envOr(string calldata name, bool otherwise) external view returns (bool);
}

Cheats constant CHEATS = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));

/// @dev From here on opcodes that Ethereum Classic does not have fail. Not while coverage is measured, where all contracts are compiled
///      alike (scripts/coverage.sh).
function classicRules() {
    if (EnvironmentCheats(address(CHEATS)).envOr("GPUMKT_COVERAGE", false)) return;
    CHEATS.setEvmVersion("shanghai");
}
