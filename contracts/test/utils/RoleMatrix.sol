// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";

/// @title Functions that change anything × callers
/// @dev A function of `abi/` that no row names fails the test, so that none is added without saying who may call it.
abstract contract RoleMatrix is Test {
    struct Row {
        string name;
        bytes data;
        /// @dev Callers that get past the gate, one bit each.
        uint256 allowed;
        /// @dev What the others are told.
        bytes4 refusal;
        /// @dev Whether the allowed ones must also be done with it, or may fail for a reason of their own.
        bool done;
    }

    bytes4 internal constant NOT_WIRER = bytes4(keccak256("NotWirer(address,address)"));
    bytes4 internal constant NOT_OWNER = bytes4(keccak256("OwnableUnauthorizedAccount(address)"));
    /// @dev For rows without a gate: an error that no contract has.
    bytes4 internal constant OPEN = 0xffffffff;

    address[] internal callers;
    Row[] internal rows;
    uint256 private walked;

    function _row(string memory name, bytes memory data, uint256 allowed, bytes4 refusal) internal {
        rows.push(Row(name, data, allowed, refusal, false));
    }

    /// @dev Of an action that succeeds for whom it is allowed.
    function _doneRow(string memory name, bytes memory data, uint256 allowed, bytes4 refusal) internal {
        rows.push(Row(name, data, allowed, refusal, true));
    }

    /// @dev The rows that were added since the last walk, from the state that there is now.
    function _walkRows(address target) internal {
        for (; walked < rows.length; ++walked) {
            Row memory row = rows[walked];
            for (uint256 j; j < callers.length; ++j) {
                uint256 clean = vm.snapshotState();
                vm.prank(callers[j]);
                (bool success, bytes memory answer) = target.call(row.data);
                bool refused = !success && bytes4(answer) == row.refusal;
                bool allowed = (row.allowed >> j) & 1 == 1;
                string memory name = string.concat(row.name, " by ", vm.toString(j));
                assertEq(refused, !allowed, name);
                if (allowed && row.done) assertTrue(success, name);
                vm.revertToState(clean);
            }
        }
    }

    function _walk(address target, string memory artifact) internal {
        _walkRows(target);
        _assertComplete(artifact);
    }

    /// @dev Every function of the artifact that changes anything has a row.
    function _assertComplete(string memory artifact) internal view {
        string memory json = vm.readFile(string.concat("abi/", artifact, ".json"));
        for (uint256 i; vm.keyExistsJson(json, _key(i, "type")); ++i) {
            if (keccak256(bytes(vm.parseJsonString(json, _key(i, "type")))) != keccak256("function")) continue;
            bytes32 mutability = keccak256(bytes(vm.parseJsonString(json, _key(i, "stateMutability"))));
            if (mutability == keccak256("view") || mutability == keccak256("pure")) continue;
            string memory name = vm.parseJsonString(json, _key(i, "name"));
            assertTrue(_hasRow(name), string.concat(artifact, ".", name, " is not in the matrix"));
        }
    }

    function _hasRow(string memory name) private view returns (bool known) {
        for (uint256 j; j < rows.length && !known; ++j) {
            known = keccak256(bytes(rows[j].name)) == keccak256(bytes(name));
        }
    }

    function _key(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".abi[", vm.toString(i), "].", field);
    }
}
