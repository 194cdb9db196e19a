// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {RoleMatrix} from "../utils/RoleMatrix.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

/// @dev The token, the faucet, Governance and its timelock by every kind of caller.
contract RoleMatrixGovernanceTest is StakingWorld, RoleMatrix {
    uint256 private constant MINTER = 1;
    uint256 private constant VOTER = 2;
    uint256 private constant GOVERNANCE = 4;
    uint256 private constant TIMELOCK = 8;
    uint256 private constant STRANGER = 16;
    uint256 private constant ANYBODY = 31;
    bytes4 private constant NO_ROLE = bytes4(keccak256("AccessControlUnauthorizedAccount(address,bytes32)"));
    bytes4 private constant ONLY_EXECUTOR = bytes4(keccak256("GovernorOnlyExecutor(address)"));

    struct Settings {
        uint48 votingDelaySeconds;
        uint32 votingPeriodSeconds;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint48 lateQuorumExtensionSeconds;
    }

    address private governance;
    address private timelock;
    address private voter;

    function setUp() public override {
        super.setUp();
        uint256 nonce = vm.getNonce(address(this));
        address[] memory proposers = new address[](1);
        proposers[0] = vm.computeCreateAddress(address(this), nonce + 1);
        // As it is deployed: Governance proposes and cancels, anybody executes, nobody hands out roles but the timelock itself.
        bytes memory arguments = abi.encode(uint256(60), proposers, new address[](1), address(0));
        timelock = deployCode("TimelockController.sol:TimelockController", arguments);
        arguments = abi.encode(token, staking, timelock, Settings(10, 100, 1000 * UNIT, 4, 20));
        governance = deployCode("Governance.sol:Governance", arguments);
        assertEq(governance, proposers[0]);
        voter = _staker("voter", KING, 50_000 * UNIT);
        vm.prank(voter);
        staking.delegate(voter);
        vm.warp(block.timestamp + 1);
        callers = [address(distributor), voter, governance, timelock, relay];
    }

    function _call(string memory signature) private pure returns (bytes memory) {
        return abi.encodeWithSignature(signature);
    }

    function test_token() public {
        bytes memory data = abi.encodeWithSignature("mint(address,uint256)", relay, 1);
        _doneRow("mint", data, MINTER, bytes4(keccak256("NotMinter(address)")));
        _row("wire", abi.encodeWithSignature("wire(address)", relay), 0, NOT_WIRER);
        // On one's own account, of which these callers' holds nothing: nobody can name another's without its signature or allowance.
        bytes4 balance = bytes4(keccak256("ERC20InsufficientBalance(address,uint256,uint256)"));
        bytes4 allowance = bytes4(keccak256("ERC20InsufficientAllowance(address,uint256,uint256)"));
        uint256 holders = VOTER | MINTER;
        _row("transfer", abi.encodeWithSignature("transfer(address,uint256)", owner, 1), holders, balance);
        _row("burn", abi.encodeWithSignature("burn(uint256)", 1), holders, balance);
        data = abi.encodeWithSignature("transferFrom(address,address,uint256)", renter, relay, 1);
        _row("transferFrom", data, 0, allowance);
        _row("burnFrom", abi.encodeWithSignature("burnFrom(address,uint256)", renter, 1), 0, allowance);
        _doneRow("approve", abi.encodeWithSignature("approve(address,uint256)", relay, 1), ANYBODY, OPEN);
        _doneRow("delegate", abi.encodeWithSignature("delegate(address)", relay), ANYBODY, OPEN);
        string memory permit = "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)";
        data = abi.encodeWithSignature(permit, renter, relay, 1, block.timestamp, 27, bytes32(0), bytes32(0));
        bytes4 invalid = bytes4(keccak256("ECDSAInvalidSignature()"));
        _row("permit", data, 0, invalid);
        string memory bySig = "delegateBySig(address,uint256,uint256,uint8,bytes32,bytes32)";
        data = abi.encodeWithSignature(bySig, relay, 0, block.timestamp, 27, bytes32(0), bytes32(0));
        _row("delegateBySig", data, 0, invalid);
        vm.prank(address(distributor));
        token.mint(voter, 1);
        _walk(address(token), "GPUToken");
    }

    function test_faucet() public {
        address faucet = deployCode("Faucet.sol:Faucet", abi.encode(token, UNIT, uint64(1 hours), 10 * UNIT));
        vm.prank(address(distributor));
        token.mint(faucet, 10 * UNIT);
        _doneRow("request", _call("request()"), ANYBODY, OPEN);
        _walk(faucet, "Faucet");
    }

    function test_governance() public {
        uint256 id = _proposal();
        uint256[] memory values = new uint256[](1);
        bytes[] memory calls = new bytes[](1);
        string memory lists = "(address[],uint256[],bytes[],string)";
        bytes memory data = abi.encodeWithSignature(string.concat("propose", lists), _targets(), values, calls, "another");
        bytes4 refusal = bytes4(keccak256("GovernorInsufficientProposerVotes(address,uint256,uint256)"));
        _doneRow("propose", data, VOTER, refusal);
        // While it is pending, its proposer may take it back.
        lists = "(address[],uint256[],bytes[],bytes32)";
        data = abi.encodeWithSignature(string.concat("cancel", lists), _targets(), values, calls, keccak256("one"));
        _doneRow("cancel", data, VOTER, bytes4(keccak256("GovernorUnableToCancel(uint256,address)")));
        _settings();
        _hooks();
        _walkRows(governance);
        vm.warp(block.timestamp + 11);
        _votes(id);
        _walkRows(governance);
        vm.prank(voter);
        (bool success,) = governance.call(abi.encodeWithSignature("castVote(uint256,uint8)", id, 1));
        assertTrue(success);
        vm.warp(block.timestamp + 200);
        data = abi.encodeWithSignature(string.concat("queue", lists), _targets(), values, calls, keccak256("one"));
        bytes4 state = bytes4(keccak256("GovernorUnexpectedProposalState(uint256,uint8,bytes32)"));
        // 50,000 votes are less than a quorum: nobody queues or executes what was not decided.
        _row("queue", data, 0, state);
        data = abi.encodeWithSignature(string.concat("execute", lists), _targets(), values, calls, keccak256("one"));
        _row("execute", data, 0, state);
        _walk(governance, "Governance");
    }

    function _targets() private view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = relay;
    }

    function _proposal() private returns (uint256) {
        string memory propose = "propose(address[],uint256[],bytes[],string)";
        vm.prank(voter);
        (bool success, bytes memory answer) =
            governance.call(abi.encodeWithSignature(propose, _targets(), new uint256[](1), new bytes[](1), "one"));
        assertTrue(success);
        return abi.decode(answer, (uint256));
    }

    /// @dev By a decision alone. The timelock's own call is none: it must be one that Governance queued.
    function _settings() private {
        bytes memory data = abi.encodeWithSignature("relay(address,uint256,bytes)", relay, 0, "");
        _row("relay", data, TIMELOCK, ONLY_EXECUTOR);
        data = abi.encodeWithSignature("setLateQuorumVoteExtension(uint48)", 1);
        _row("setLateQuorumVoteExtension", data, TIMELOCK, ONLY_EXECUTOR);
        data = abi.encodeWithSignature("setProposalThreshold(uint256)", 1);
        _row("setProposalThreshold", data, TIMELOCK, ONLY_EXECUTOR);
        _row("setVotingDelay", abi.encodeWithSignature("setVotingDelay(uint48)", 1), TIMELOCK, ONLY_EXECUTOR);
        _row("setVotingPeriod", abi.encodeWithSignature("setVotingPeriod(uint32)", 1), TIMELOCK, ONLY_EXECUTOR);
        data = abi.encodeWithSignature("updateQuorumNumerator(uint256)", 1);
        _row("updateQuorumNumerator", data, TIMELOCK, ONLY_EXECUTOR);
        _row("updateTimelock", abi.encodeWithSignature("updateTimelock(address)", relay), TIMELOCK, ONLY_EXECUTOR);
    }

    /// @dev Governance holds nothing: what is sent to it goes back.
    function _hooks() private {
        bytes4 refusal = bytes4(keccak256("GovernorDisabledDeposit()"));
        uint256[] memory none = new uint256[](0);
        bytes memory data = abi.encodeWithSignature("onERC721Received(address,address,uint256,bytes)", relay, relay, 1, "");
        _row("onERC721Received", data, 0, refusal);
        data = abi.encodeWithSignature("onERC1155Received(address,address,uint256,uint256,bytes)", relay, relay, 1, 1, "");
        _row("onERC1155Received", data, 0, refusal);
        string memory batch = "onERC1155BatchReceived(address,address,uint256[],uint256[],bytes)";
        _row("onERC1155BatchReceived", abi.encodeWithSignature(batch, relay, relay, none, none, ""), 0, refusal);
    }

    /// @dev Anybody votes, with the votes of the snapshot, which may be none; for another only with its signature.
    function _votes(uint256 id) private {
        _doneRow("castVote", abi.encodeWithSignature("castVote(uint256,uint8)", id, 1), ANYBODY, OPEN);
        bytes memory data = abi.encodeWithSignature("castVoteWithReason(uint256,uint8,string)", id, 1, "why");
        _doneRow("castVoteWithReason", data, ANYBODY, OPEN);
        data = abi.encodeWithSignature("castVoteWithReasonAndParams(uint256,uint8,string,bytes)", id, 1, "why", "");
        _doneRow("castVoteWithReasonAndParams", data, ANYBODY, OPEN);
        bytes4 refusal = bytes4(keccak256("GovernorInvalidSignature(address)"));
        data = abi.encodeWithSignature("castVoteBySig(uint256,uint8,address,bytes)", id, 1, voter, "");
        _row("castVoteBySig", data, 0, refusal);
        string memory signature = "castVoteWithReasonAndParamsBySig(uint256,uint8,address,string,bytes,bytes)";
        data = abi.encodeWithSignature(signature, id, 1, voter, "why", "", "");
        _row("castVoteWithReasonAndParamsBySig", data, 0, refusal);
    }

    function test_timelock() public {
        address[] memory none = new address[](0);
        uint256[] memory values = new uint256[](0);
        bytes[] memory calls = new bytes[](0);
        string memory signature = "schedule(address,uint256,bytes,bytes32,bytes32,uint256)";
        bytes32 zero;
        bytes memory data = abi.encodeWithSignature(signature, relay, 0, "", zero, zero, 60);
        _doneRow("schedule", data, GOVERNANCE, NO_ROLE);
        signature = "scheduleBatch(address[],uint256[],bytes[],bytes32,bytes32,uint256)";
        data = abi.encodeWithSignature(signature, none, values, calls, zero, zero, 60);
        _doneRow("scheduleBatch", data, GOVERNANCE, NO_ROLE);
        _row("cancel", abi.encodeWithSignature("cancel(bytes32)", zero), GOVERNANCE, NO_ROLE);
        // Whoever it is, only what was scheduled, and not before its time.
        bytes4 state = bytes4(keccak256("TimelockUnexpectedOperationState(bytes32,bytes32)"));
        data = abi.encodeWithSignature("execute(address,uint256,bytes,bytes32,bytes32)", relay, 0, "", zero, zero);
        _row("execute", data, 0, state);
        signature = "executeBatch(address[],uint256[],bytes[],bytes32,bytes32)";
        _row("executeBatch", abi.encodeWithSignature(signature, none, values, calls, zero, zero), 0, state);
        _row("updateDelay", abi.encodeWithSignature("updateDelay(uint256)", 1), TIMELOCK, _timelockOnly());
        _doneRow("grantRole", abi.encodeWithSignature("grantRole(bytes32,address)", zero, relay), TIMELOCK, NO_ROLE);
        _doneRow("revokeRole", abi.encodeWithSignature("revokeRole(bytes32,address)", zero, relay), TIMELOCK, NO_ROLE);
        bytes4 confirmation = bytes4(keccak256("AccessControlBadConfirmation()"));
        data = abi.encodeWithSignature("renounceRole(bytes32,address)", zero, governance);
        _doneRow("renounceRole", data, GOVERNANCE, confirmation);
        data = abi.encodeWithSignature("onERC721Received(address,address,uint256,bytes)", relay, relay, 1, "");
        _doneRow("onERC721Received", data, ANYBODY, OPEN);
        data = abi.encodeWithSignature("onERC1155Received(address,address,uint256,uint256,bytes)", relay, relay, 1, 1, "");
        _doneRow("onERC1155Received", data, ANYBODY, OPEN);
        signature = "onERC1155BatchReceived(address,address,uint256[],uint256[],bytes)";
        data = abi.encodeWithSignature(signature, relay, relay, values, values, "");
        _doneRow("onERC1155BatchReceived", data, ANYBODY, OPEN);
        _walk(timelock, "TimelockController");
    }

    function _timelockOnly() private pure returns (bytes4) {
        return bytes4(keccak256("TimelockUnauthorizedCaller(address)"));
    }
}
