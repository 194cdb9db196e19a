// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {StakingWorld} from "../utils/StakingWorld.sol";

interface IVotedGovernance {
    function castVote(uint256 proposalId, uint8 support) external returns (uint256);
    function hasVoted(uint256 proposalId, address account) external view returns (bool);
    function proposalSnapshot(uint256 proposalId) external view returns (uint256);
    function proposalVotes(uint256 proposalId) external view returns (uint256 no, uint256 yes, uint256 abstain);
    function propose(address[] memory, uint256[] memory, bytes[] memory, string memory) external returns (uint256);
    function state(uint256 proposalId) external view returns (uint8);
}

interface IVotedToken {
    function getPastTotalSupply(uint256 timepoint) external view returns (uint256);
}

/// @dev People who vote on one proposal after the other, and between their votes hold, stake, unstake, delegate and pass their tokens
///      on, as often as they like and to each other. Whatever they do, a token is one vote.
contract GovernanceInvariantTest is StakingWorld {
    struct Settings {
        uint48 votingDelaySeconds;
        uint32 votingPeriodSeconds;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint48 lateQuorumExtensionSeconds;
    }

    uint256 private constant EACH = 100_000 * UNIT;
    uint8 private constant ACTIVE = 1;
    IVotedGovernance private governance;
    address[] private people;
    uint256[] private proposals;
    bool private votedTwice;

    function setUp() public override {
        super.setUp();
        address[] memory none = new address[](0);
        bytes memory arguments = abi.encode(uint256(60), none, none, address(0));
        address timelock = deployCode("TimelockController.sol:TimelockController", arguments);
        arguments = abi.encode(token, staking, timelock, Settings(10, 30 days, 0, 4, 20));
        governance = IVotedGovernance(deployCode("Governance.sol:Governance", arguments));
        for (uint256 i; i < 6; ++i) {
            address account = _funded(string.concat("voter", vm.toString(i)), EACH);
            people.push(account);
            vm.startPrank(account);
            token.delegate(account);
            staking.delegate(account);
            vm.stopPrank();
        }
        vm.prank(people[0]);
        staking.stake(KING, EACH / 2, people[0], PEER);
        _open(people[0], 1000);
        vm.warp(block.timestamp + 1);
        actPropose();
        bytes4[] memory actions = new bytes4[](9);
        actions[0] = this.actVote.selector;
        actions[1] = this.actVote.selector;
        actions[2] = this.actPropose.selector;
        actions[3] = this.actPass.selector;
        actions[4] = this.actStake.selector;
        actions[5] = this.actDelegateStake.selector;
        actions[6] = this.actNameAnother.selector;
        actions[7] = this.actLeave.selector;
        actions[8] = this.actWait.selector;
        targetSelector(FuzzSelector(address(this), actions));
        targetContract(address(this));
    }

    function _person(uint256 seed) private view returns (address) {
        return people[seed % people.length];
    }

    function actPropose() public {
        if (proposals.length == 8) return;
        address[] memory targets = new address[](1);
        vm.prank(people[0]);
        proposals.push(governance.propose(targets, new uint256[](1), new bytes[](1), vm.toString(proposals.length)));
    }

    function actVote(uint256 which, uint256 who, uint8 support) external {
        uint256 id = proposals[which % proposals.length];
        bool before = governance.hasVoted(id, _person(who));
        vm.prank(_person(who));
        try governance.castVote(id, support % 3) {
            if (before) votedTwice = true;
        } catch {}
    }

    function actPass(uint256 who, uint256 to, uint96 amount) external {
        address account = _person(who);
        uint256 balance = token.balanceOf(account);
        vm.prank(account);
        token.transfer(_person(to), bound(amount, 0, balance));
    }

    function actStake(uint256 who, uint96 amount) external {
        address account = _person(who);
        uint256 balance = token.balanceOf(account);
        if (balance == 0) return;
        vm.prank(account);
        try staking.stake(KING, bound(amount, 1, balance), account, PEER) {} catch {}
    }

    function actDelegateStake(uint256 who, uint96 amount) external {
        address account = _person(who);
        uint256 balance = token.balanceOf(account);
        if (balance == 0) return;
        vm.prank(account);
        try staking.delegateStake(people[0], bound(amount, 1, balance)) {} catch {}
    }

    function actNameAnother(uint256 who, uint256 to, bool staked) external {
        vm.prank(_person(who));
        if (staked) staking.delegate(_person(to));
        else token.delegate(_person(to));
    }

    function actLeave(uint256 who, uint8 what) external {
        address account = _person(who);
        uint256 staked = _staked(account);
        uint256 shares = staking.delegation(account).shares;
        vm.startPrank(account);
        if (what % 4 == 0) try staking.requestUnstake(staked) {} catch {}
        if (what % 4 == 1) try staking.withdraw() {} catch {}
        if (what % 4 == 2) try staking.undelegateStake(shares) {} catch {}
        if (what % 4 == 3) try staking.withdrawDelegation() {} catch {}
        vm.stopPrank();
    }

    function actWait(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 1, 2 days));
    }

    /// forge-config: deep.invariant.depth = 40
    function invariant_aTokenIsOneVotePerProposal() public view {
        assertFalse(votedTwice);
        for (uint256 i; i < proposals.length; ++i) {
            if (governance.state(proposals[i]) < ACTIVE) continue;
            (uint256 no, uint256 yes, uint256 abstain) = governance.proposalVotes(proposals[i]);
            // Theirs is all that anybody ever put into these hands.
            assertLe(no + yes + abstain, people.length * EACH);
            assertLe(
                no + yes + abstain, IVotedToken(address(token)).getPastTotalSupply(governance.proposalSnapshot(proposals[i]))
            );
        }
    }
}
