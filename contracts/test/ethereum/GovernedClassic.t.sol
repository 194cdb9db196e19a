// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IOutbox} from "../../src/interfaces/IBridge.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {
    ClassProfile,
    ClassProfileSet,
    CommitInput,
    ParameterSet,
    ReceiptSignature,
    WorkParameters
} from "../../src/types/Protocol.sol";
import {World} from "../utils/World.sol";

interface IVotingGovernance {
    function castVote(uint256 proposalId, uint8 support) external returns (uint256);
    function execute(address[] memory, uint256[] memory, bytes[] memory, bytes32) external payable returns (uint256);
    function proposalDeadline(uint256 proposalId) external view returns (uint256);
    function propose(address[] memory, uint256[] memory, bytes[] memory, string memory) external returns (uint256);
    function queue(address[] memory, uint256[] memory, bytes[] memory, bytes32) external returns (uint256);
}

/// @dev What Governance decides on Ethereum, all the way until WorkVerification on Ethereum Classic goes by it.
contract GovernedClassicTest is World {
    struct Settings {
        uint48 votingDelaySeconds;
        uint32 votingPeriodSeconds;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint48 lateQuorumExtensionSeconds;
    }

    IVotingGovernance private governance;
    address private timelock;
    address private king = makeAddr("king");

    function setUp() public override {
        super.setUp();
        onEthereum();
        vm.prank(renter);
        token.transfer(king, 150_000 * UNIT);
        stakeAs(king, IStakingManager.Role.King, 150_000 * UNIT, king);
        vm.prank(king);
        staking.delegate(king);
        vm.warp(block.timestamp + 1);
    }

    /// @dev As it is deployed: Governance proposes, anybody executes, nobody but the timelock hands out roles.
    function _timelock() internal override returns (address) {
        address[] memory proposers = new address[](1);
        proposers[0] = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        bytes memory arguments = abi.encode(uint256(60), proposers, new address[](1), address(0));
        timelock = deployCode("TimelockController.sol:TimelockController", arguments);
        arguments = abi.encode(token, staking, timelock, Settings(10, 100, 1000 * UNIT, 4, 20));
        governance = IVotingGovernance(deployCode("Governance.sol:Governance", arguments));
        assertEq(address(governance), proposers[0]);
        return timelock;
    }

    function _decide(bytes memory body, string memory title) private {
        onEthereum();
        address[] memory targets = new address[](1);
        uint256[] memory values = new uint256[](1);
        bytes[] memory calls = new bytes[](1);
        targets[0] = address(ethOutbox);
        calls[0] = abi.encodeCall(IOutbox.dispatch, (CLASSIC, address(work), body));
        vm.prank(king);
        uint256 id = governance.propose(targets, values, calls, title);
        vm.warp(block.timestamp + 11);
        vm.prank(king);
        governance.castVote(id, 1);
        vm.warp(governance.proposalDeadline(id) + 1);
        governance.queue(targets, values, calls, keccak256(bytes(title)));
        vm.warp(block.timestamp + 61);
        governance.execute(targets, values, calls, keccak256(bytes(title)));
    }

    /// @dev Proposed, voted on, queued, executed, signed by the Kings, relayed, applied.
    function test_aParameterOfClassicFromTheProposalToWhereItCounts() public {
        uint64 deviceId = registerDevice();
        WorkParameters memory p = _workParameters();
        p.commitWindow = 6;
        _decide(abi.encodePacked(uint8(6), abi.encode(ParameterSet(2, p))), "commit window");
        assertEq(work.parametersVersion(), 1, "not before it has crossed");
        relayAll(ethOutbox);
        assertEq(work.parametersVersion(), 2);
        assertEq(work.parameters().commitWindow, 6);
        // The next challenge goes by it: seven blocks later is too late.
        (uint64 b, bytes32 hash) = openChallenge();
        assertEq(work.challengeAt(0).parametersVersion, 2);
        vm.roll(b + 7);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.OutsideWindow.selector, b, b + 7));
        work.commit(CommitInput(b, deviceId, 1, 0, hash, "root"), new ReceiptSignature[](0), "");
    }

    function test_aClassFromTheProposalToClassic() public {
        ClassProfile memory c = ClassProfile(2, uint128(700 * UNIT), _profile(200), _profile(80));
        _decide(abi.encodePacked(uint8(5), abi.encode(ClassProfileSet(c))), "class 2");
        relayAll(ethOutbox);
        assertEq(work.classProfile(2).full.referenceMs, 200);
    }

    /// @dev What WorkVerification's bounds refuse stays an undelivered message, and holds up none of the others.
    function test_aParameterOutOfBoundsIsVotedForInVain() public {
        WorkParameters memory p = _workParameters();
        p.proofSamples = 0;
        uint32 index = ethOutbox.count();
        _decide(abi.encodePacked(uint8(6), abi.encode(ParameterSet(2, p))), "no samples");
        p.proofSamples = 2;
        _decide(abi.encodePacked(uint8(6), abi.encode(ParameterSet(3, p))), "two samples");
        relayAll(ethOutbox);
        assertFalse(etcInbox.delivered(index));
        assertTrue(etcInbox.delivered(index + 1));
        assertEq(work.parametersVersion(), 3);
        assertEq(work.parameters().proofSamples, 2);
    }

    /// @dev The same message from anybody but the timelock is delivered to a handler that refuses it.
    function test_aParameterOfSomebodyElseIsRefusedThere() public {
        onEthereum();
        bytes memory body = abi.encodePacked(uint8(6), abi.encode(ParameterSet(2, _workParameters())));
        uint32 index = ethOutbox.count();
        vm.prank(king);
        ethOutbox.dispatch(CLASSIC, address(work), body);
        relayAll(ethOutbox);
        assertFalse(etcInbox.delivered(index));
        assertEq(work.parametersVersion(), 1);
    }
}
