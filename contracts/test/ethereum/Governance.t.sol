// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IOutbox} from "../../src/interfaces/IBridge.sol";
import {IGPURental, IRentalTerms} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {IStakePools, IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";
import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {IRentalTotals} from "../utils/World.sol";

interface IGovernance {
    struct Settings {
        uint48 votingDelaySeconds;
        uint32 votingPeriodSeconds;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint48 lateQuorumExtensionSeconds;
    }

    function castVote(uint256 proposalId, uint8 support) external returns (uint256);
    function execute(address[] memory, uint256[] memory, bytes[] memory, bytes32) external payable returns (uint256);
    function getVotes(address account, uint256 timepoint) external view returns (uint256);
    function lateQuorumVoteExtension() external view returns (uint48);
    function proposalDeadline(uint256 proposalId) external view returns (uint256);
    function proposalThreshold() external view returns (uint256);
    function proposalVotes(uint256 proposalId) external view returns (uint256 no, uint256 yes, uint256 abstain);
    function propose(address[] memory, uint256[] memory, bytes[] memory, string memory) external returns (uint256);
    function queue(address[] memory, uint256[] memory, bytes[] memory, bytes32) external returns (uint256);
    function quorum(uint256 timepoint) external view returns (uint256);
    function quorumNumerator() external view returns (uint256);
    function setLateQuorumVoteExtension(uint48 extension) external;
    function setProposalThreshold(uint256 threshold) external;
    function setVotingDelay(uint48 delay) external;
    function setVotingPeriod(uint32 period) external;
    function state(uint256 proposalId) external view returns (uint8);
    function updateQuorumNumerator(uint256 numerator) external;
    function votingDelay() external view returns (uint256);
    function votingPeriod() external view returns (uint256);
}

interface ITimelock {
    function PROPOSER_ROLE() external view returns (bytes32);
    function getMinDelay() external view returns (uint256);
    function grantRole(bytes32 role, address account) external;
    function schedule(address, uint256, bytes memory, bytes32, bytes32, uint256) external;
    function updateDelay(uint256 delay) external;
}

interface IOwnable {
    function owner() external view returns (address);
    function transferOwnership(address owner) external;
}

interface ICourtSettings {
    function parameters() external view returns (IRentalCourt.Parameters memory);
    function setParameters(IRentalCourt.Parameters calldata parameters) external;
}

/// @dev Everything that Governance is for, done by proposals that are voted on, queued and executed.
contract GovernanceTest is StakingWorld {
    uint8 private constant SUCCEEDED = 4;
    uint8 private constant DEFEATED = 3;
    uint8 private constant EXECUTED = 7;

    IGovernance private governance;
    address private timelock;
    address private king;
    address[] private targets;
    bytes[] private calls;
    uint256 private proposals;

    function setUp() public override {
        super.setUp();
        address[] memory none = new address[](0);
        timelock = deployCode(
            "TimelockController.sol:TimelockController", abi.encode(uint256(60), none, new address[](1), address(this))
        );
        IGovernance.Settings memory settings = IGovernance.Settings(10, 100, 1000 * UNIT, 4, 20);
        governance = IGovernance(deployCode("Governance.sol:Governance", abi.encode(token, staking, timelock, settings)));
        ITimelock(timelock).grantRole(ITimelock(timelock).PROPOSER_ROLE(), address(governance));
        king = _staker("king", KING, 150_000 * UNIT);
        vm.prank(king);
        staking.delegate(king);
        // A fee for the treasury, as GPURental pays it.
        vm.prank(renter);
        token.transfer(address(distributor), 100 * UNIT);
        vm.prank(address(rental));
        distributor.onFee(100 * UNIT);
        address[4] memory owned = [address(staking), address(rental), address(court), address(distributor)];
        for (uint256 i; i < 4; ++i) {
            IOwnable(owned[i]).transferOwnership(timelock);
        }
        vm.warp(block.timestamp + 1);
    }

    function _add(address target, bytes memory data) private {
        targets.push(target);
        calls.push(data);
    }

    function _values() private view returns (uint256[] memory) {
        return new uint256[](targets.length);
    }

    function _propose() private returns (uint256 id, string memory title) {
        title = vm.toString(++proposals);
        vm.prank(king);
        id = governance.propose(targets, _values(), calls, title);
        vm.warp(block.timestamp + governance.votingDelay() + 1);
    }

    /// @dev By staked votes alone, from the proposal to its execution.
    function _pass() private {
        (uint256 id, string memory title) = _propose();
        bytes32 hash = keccak256(bytes(title));
        vm.prank(king);
        governance.castVote(id, 1);
        vm.warp(governance.proposalDeadline(id) + 1);
        assertEq(governance.state(id), SUCCEEDED);
        governance.queue(targets, _values(), calls, hash);
        vm.expectRevert();
        governance.execute(targets, _values(), calls, hash);
        vm.warp(block.timestamp + ITimelock(timelock).getMinDelay() + 1);
        governance.execute(targets, _values(), calls, hash);
        assertEq(governance.state(id), EXECUTED);
        delete targets;
        delete calls;
    }

    // ------------------------------------------------------------------------------------------- votes

    function test_stakedVotesCountOnceBesideHeldOnes() public {
        vm.prank(renter);
        token.transfer(king, 30_000 * UNIT);
        vm.prank(king);
        token.delegate(king);
        vm.warp(block.timestamp + 1);
        assertEq(governance.getVotes(king, block.timestamp - 1), 180_000 * UNIT);
        // Staking what it held changes nothing, in the very block.
        vm.prank(king);
        staking.addStake(30_000 * UNIT);
        vm.warp(block.timestamp + 1);
        assertEq(governance.getVotes(king, block.timestamp - 1), 180_000 * UNIT);
        // Unstaking takes the votes away until the tokens are held again.
        vm.prank(king);
        staking.requestUnstake(80_000 * UNIT);
        vm.warp(block.timestamp + 1 days);
        assertEq(governance.getVotes(king, block.timestamp - 1), 100_000 * UNIT);
        vm.prank(king);
        staking.withdraw();
        vm.warp(block.timestamp + 1);
        assertEq(governance.getVotes(king, block.timestamp - 1), 180_000 * UNIT);
    }

    function test_quorumIsOfTheWholeSupply() public {
        uint256 supply = token.totalSupply();
        assertEq(governance.quorum(block.timestamp - 1), (supply * 4) / 100, "staked tokens are in it once");
        vm.prank(king);
        staking.requestUnstake(140_000 * UNIT);
        vm.warp(block.timestamp + 1);
        assertEq(governance.quorum(block.timestamp - 1), (supply * 4) / 100);
        _add(timelock, "");
        (uint256 id,) = _propose();
        vm.prank(king);
        governance.castVote(id, 1);
        vm.warp(governance.proposalDeadline(id) + 1);
        assertEq(governance.state(id), DEFEATED, "10,000 votes are not 4 % of the supply");
    }

    function test_votesAreThoseOfTheSnapshot() public {
        _add(timelock, "");
        (uint256 id,) = _propose();
        address late = _staker("late", KING, 400_000 * UNIT);
        vm.startPrank(late);
        staking.delegate(late);
        vm.warp(block.timestamp + 1);
        governance.castVote(id, 0);
        vm.stopPrank();
        vm.prank(king);
        staking.requestUnstake(150_000 * UNIT);
        vm.prank(king);
        governance.castVote(id, 1);
        (uint256 no, uint256 yes,) = governance.proposalVotes(id);
        assertEq(no, 0, "stake after the snapshot");
        assertEq(yes, 150_000 * UNIT, "stake at the snapshot");
        vm.prank(king);
        vm.expectRevert();
        governance.castVote(id, 1);
    }

    function test_delegatorsVoteThemselves() public {
        address delegator = _funded("delegator", 100_000 * UNIT);
        vm.prank(king);
        staking.announceCommission(0);
        _delegateTo(delegator, king, 100_000 * UNIT);
        _add(timelock, "");
        vm.warp(block.timestamp + 1);
        (uint256 id,) = _propose();
        vm.prank(delegator);
        governance.castVote(id, 0);
        vm.prank(king);
        governance.castVote(id, 1);
        (uint256 no, uint256 yes,) = governance.proposalVotes(id);
        assertEq(no, 100_000 * UNIT);
        assertEq(yes, 150_000 * UNIT);
    }

    function test_thresholdIsMetByStake() public {
        _add(timelock, "");
        address small = _staker("small", PROVIDER, 1000 * UNIT);
        vm.startPrank(small);
        vm.expectRevert();
        governance.propose(targets, _values(), calls, "no votes");
        staking.delegate(small);
        vm.warp(block.timestamp + 1);
        governance.propose(targets, _values(), calls, "votes");
    }

    function test_lateQuorumExtendsTheVote() public {
        _add(timelock, "");
        (uint256 id,) = _propose();
        uint256 deadline = governance.proposalDeadline(id);
        vm.warp(deadline - 1);
        vm.prank(king);
        governance.castVote(id, 1);
        assertEq(governance.proposalDeadline(id), block.timestamp + 20);
    }

    function test_nobodyElseGoverns() public {
        bytes memory data = abi.encodeCall(IStakePools.setParameters, (_stakingParameters()));
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", address(this)));
        staking.setParameters(_stakingParameters());
        vm.prank(king);
        vm.expectRevert();
        ITimelock(timelock).schedule(address(staking), 0, data, 0, 0, 60);
        vm.expectRevert();
        governance.setVotingDelay(1);
    }

    // -------------------------------------------------------------------------------------- what it does

    function test_changesEveryParameterOnEthereum() public {
        IStakingManager.Parameters memory p = staking.parameters();
        (p.unbondingPeriod, p.burnBps, p.treasuryBps) = (2 days, 6000, 4000);
        _add(address(staking), abi.encodeCall(IStakePools.setParameters, (p)));
        _add(address(staking), abi.encodeCall(IStakePools.setClass, (2, uint128(7 * UNIT))));
        _add(address(staking), abi.encodeCall(IStakePools.setKingCourt, (kingCourt)));
        IGPURental.Parameters memory r = rental.parameters();
        r.protocolFeeBps = 300;
        _add(address(rental), abi.encodeCall(IRentalTotals.setParameters, (r)));
        IGPURental.Safeguards memory s = rental.safeguards();
        s.outageShareBps = 4000;
        _add(address(rental), abi.encodeCall(IRentalTotals.setSafeguards, (s)));
        _add(address(rental), abi.encodeCall(IRentalTerms.setWithdrawalLimit, (uint96(50 * UNIT), 1 hours)));
        _add(address(rental), abi.encodeCall(IRentalTerms.pauseWithdrawals, (uint64(block.timestamp + 1 hours))));
        IRentalCourt.Parameters memory c = _courtParameters();
        c.committeeSize = 5;
        _add(address(court), abi.encodeCall(ICourtSettings.setParameters, (c)));
        _add(address(distributor), abi.encodeCall(ITokenDistributor.revoke, (2)));
        _add(address(governance), abi.encodeCall(IGovernance.setVotingDelay, (11)));
        _add(address(governance), abi.encodeCall(IGovernance.setVotingPeriod, (101)));
        _add(address(governance), abi.encodeCall(IGovernance.setProposalThreshold, (1001 * UNIT)));
        _add(address(governance), abi.encodeCall(IGovernance.updateQuorumNumerator, (5)));
        _add(address(governance), abi.encodeCall(IGovernance.setLateQuorumVoteExtension, (21)));
        _add(timelock, abi.encodeCall(ITimelock.updateDelay, (61)));
        _pass();
        assertEq(staking.parameters().unbondingPeriod, 2 days);
        assertEq(staking.parameters().treasuryBps, 4000);
        assertEq(staking.requiredStake(2), 7 * UNIT);
        assertEq(rental.parameters().protocolFeeBps, 300);
        assertEq(rental.safeguards().outageShareBps, 4000);
        assertEq(ICourtSettings(address(court)).parameters().committeeSize, 5);
        uint256 vested = distributor.vestedAt(2, uint64(block.timestamp));
        assertEq(distributor.treasury(), 50 * UNIT + 1e6 * UNIT - vested, "what had not vested is back");
        assertEq(governance.votingDelay(), 11);
        assertEq(governance.votingPeriod(), 101);
        assertEq(governance.proposalThreshold(), 1001 * UNIT);
        assertEq(governance.quorumNumerator(), 5);
        assertEq(governance.lateQuorumVoteExtension(), 21);
        assertEq(ITimelock(timelock).getMinDelay(), 61);
        vm.prank(kingCourt);
        staking.slashKing(king, 1, address(0));
        assertEq(_staked(king), 0, "the court that was named may slash");
    }

    function test_outOfBoundsIsRefusedWhateverTheVote() public {
        IStakingManager.Parameters memory p = staking.parameters();
        p.unbondingPeriod = 0;
        _add(address(staking), abi.encodeCall(IStakePools.setParameters, (p)));
        (uint256 id, string memory title) = _propose();
        vm.prank(king);
        governance.castVote(id, 1);
        vm.warp(governance.proposalDeadline(id) + 1);
        governance.queue(targets, _values(), calls, keccak256(bytes(title)));
        vm.warp(block.timestamp + 61);
        vm.expectRevert(IStakingManager.InvalidParameters.selector);
        governance.execute(targets, _values(), calls, keccak256(bytes(title)));
    }

    /// @dev The timelock is who sends it, which is what the far side trusts.
    function test_sendsParametersToClassic() public {
        bytes memory body = abi.encodePacked(uint8(6), abi.encode(uint32(2), _workParameters()));
        _add(address(ethOutbox), abi.encodeCall(IOutbox.dispatch, (CLASSIC, address(work), body)));
        collect();
        uint256 before = sent[address(ethOutbox)].length;
        _pass();
        collect();
        assertEq(sent[address(ethOutbox)].length, before + 1);
        assertEq(sent[address(ethOutbox)][before].sender, timelock);
        assertEq(sent[address(ethOutbox)][before].recipient, address(work));
        assertEq(sent[address(ethOutbox)][before].body, body);
    }

    function test_paysFromTheTreasury() public {
        _add(address(distributor), abi.encodeCall(ITokenDistributor.withdrawTreasury, (owner, 50 * UNIT)));
        _pass();
        assertEq(token.balanceOf(owner), 50 * UNIT);
        assertEq(distributor.treasury(), 0);
    }

    function test_slashesByVoteAndSpendsTheTreasuryShareOfSlashes() public {
        address accused = _staker("accused", PROVIDER, 10_000 * UNIT);
        vm.prank(accused);
        uint64 device = staking.registerDevice(CLASS, worker);
        IStakingManager.Parameters memory p = staking.parameters();
        (p.burnBps, p.treasuryBps) = (5000, 5000);
        _add(address(staking), abi.encodeCall(IStakePools.setParameters, (p)));
        _add(address(staking), abi.encodeCall(IStakePools.slashByVote, (accused, 1000 * UNIT, PEER)));
        uint256 supply = token.totalSupply();
        _pass();
        assertEq(_staked(accused), 9000 * UNIT);
        assertEq(token.totalSupply(), supply - 1000 * UNIT);
        _fault(device, 1, address(0), address(0));
        _add(address(staking), abi.encodeCall(IStakePools.withdrawTreasury, (owner, 250 * UNIT)));
        _pass();
        assertEq(token.balanceOf(owner), 250 * UNIT);
        _assertSolvent();
    }
}
