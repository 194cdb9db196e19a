// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {World} from "./utils/World.sol";

/// @dev What an audit of a deployment reads: who trusts whom, and under which numbers.
contract WiringTest is World {
    function _word(address target, bytes memory call) private view returns (uint256) {
        (bool success, bytes memory answer) = target.staticcall(call);
        assertTrue(success && answer.length == 32, "a view of the wiring");
        return abi.decode(answer, (uint256));
    }

    function _names(address target, string memory view_, address expected) private view {
        assertEq(address(uint160(_word(target, abi.encodeWithSignature(view_)))), expected, view_);
    }

    function test_theRentalsNameWhomTheyTrust() public {
        onEthereum();
        address target = address(rental);
        _names(target, "token()", address(token));
        _names(target, "stakingManager()", address(staking));
        _names(target, "distributor()", address(distributor));
        _names(target, "inbox()", address(ethInbox));
        _names(target, "outbox()", address(ethOutbox));
        _names(target, "workVerification()", address(work));
        _names(target, "court()", address(court));
        assertEq(_word(target, abi.encodeWithSignature("classicChainId()")), CLASSIC);
        assertEq(_word(target, abi.encodeWithSignature("offerCount()")), 0);
    }

    function test_theWorkNamesWhomItTrusts() public {
        onClassic();
        address target = address(work);
        _names(target, "inbox()", address(etcInbox));
        _names(target, "outbox()", address(etcOutbox));
        _names(target, "stakingManager()", address(staking));
        _names(target, "gpuRental()", address(rental));
        _names(target, "court()", address(court));
        _names(target, "governance()", address(this));
        assertEq(_word(target, abi.encodeWithSignature("ethereumChainId()")), ETHEREUM);
    }

    function test_nothingIsEmittedBeforeTheStart() public {
        onEthereum();
        assertEq(_word(address(distributor), abi.encodeWithSignature("emitted()")), 0);
        assertEq(_word(address(distributor), abi.encodeWithSignature("rentalRewards()")), 0);
    }

    function test_votesAreCountedByTimestamps() public {
        onEthereum();
        (bool success, bytes memory answer) = address(token).staticcall(abi.encodeWithSignature("CLOCK_MODE()"));
        assertTrue(success);
        assertEq(abi.decode(answer, (string)), "mode=timestamp", "as ERC-6372 spells it");
    }

    function test_theWorkHoldsNoCoinThatNobodyDeposited() public {
        onClassic();
        vm.deal(address(this), 1);
        (bool success, bytes memory answer) = address(work).call{value: 1}("");
        assertFalse(success);
        assertEq(answer, abi.encodeWithSignature("NoPurpose(uint256)", 1));
        assertEq(address(work).balance, 0);
    }
}
