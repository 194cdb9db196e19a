// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @dev Cheatcodes that are newer than the forge-std in use.
interface Cheats {
    function setBlockhash(uint256 blockNumber, bytes32 blockHash) external;
    function setEvmVersion(string calldata evm) external;
}

Cheats constant CHEATS = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));
