// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

contract StakingVotesTest is StakingWorld {
    address private king;
    address private delegator;

    function setUp() public override {
        super.setUp();
        king = _staker("king", KING, 20_000 * UNIT);
        delegator = _funded("delegator", 50_000 * UNIT);
    }

    function _pastVotes(address account) private returns (uint256) {
        vm.warp(block.timestamp + 1);
        return staking.getPastVotes(account, block.timestamp - 1);
    }

    function test_ownStakeVotesThroughWhomItNames() public {
        assertEq(_pastVotes(king), 0, "nobody until it says so");
        vm.expectEmit(address(staking));
        emit IStakingManager.DelegateChanged(king, address(0), king);
        vm.expectEmit(address(staking));
        emit IStakingManager.DelegateVotesChanged(king, 0, 20_000 * UNIT);
        vm.prank(king);
        staking.delegate(king);
        assertEq(staking.delegates(king), king);
        assertEq(staking.getVotes(king), 20_000 * UNIT);
        assertEq(_pastVotes(king), 20_000 * UNIT);
        vm.prank(king);
        staking.delegate(relay);
        assertEq(_pastVotes(king), 0);
        assertEq(staking.getPastVotes(relay, block.timestamp - 1), 20_000 * UNIT);
        assertEq(staking.getPastVotes(king, block.timestamp - 2), 20_000 * UNIT, "the past does not change");
        vm.prank(king);
        staking.delegate(address(0));
        assertEq(_pastVotes(relay), 0);
    }

    function test_stakeUnstakeAndSlashMoveVotes() public {
        vm.startPrank(king);
        staking.delegate(king);
        staking.requestUnstake(5000 * UNIT);
        vm.stopPrank();
        assertEq(_pastVotes(king), 15_000 * UNIT, "what is on its way out does not vote");
        // The slash takes what is on its way out first.
        staking.slashByVote(king, 1000 * UNIT, PEER);
        assertEq(_pastVotes(king), 15_000 * UNIT);
        vm.prank(renter);
        token.transfer(king, UNIT);
        vm.prank(king);
        staking.addStake(UNIT);
        assertEq(_pastVotes(king), 15_001 * UNIT);
        staking.setKingCourt(kingCourt);
        vm.prank(kingCourt);
        staking.slashKing(king, 1, address(0));
        assertEq(_pastVotes(king), 0);
    }

    function test_delegatedStakeVotesForItsDelegator() public {
        _open(king, 0);
        _delegateTo(delegator, king, 10_000 * UNIT);
        vm.prank(king);
        staking.delegate(king);
        assertEq(_pastVotes(delegator), 10_000 * UNIT);
        assertEq(staking.getVotes(delegator), 10_000 * UNIT);
        assertEq(_pastVotes(king), 20_000 * UNIT, "and not for the King");
        vm.prank(delegator);
        staking.undelegateStake(4000 * UNIT);
        assertEq(_pastVotes(delegator), 6000 * UNIT);
        uint256 before = block.timestamp - 1;
        // One write to the pool lowers the votes of all its delegators.
        staking.slashByVote(king, 3000 * UNIT, PEER);
        assertApproxEqAbs(_pastVotes(delegator), 5400 * UNIT, 1);
        assertEq(_pastVotes(king), 18_000 * UNIT);
        assertEq(staking.getPastVotes(delegator, before), 6000 * UNIT, "the past does not change");
    }

    function test_votesFollowTheDelegatorToAnotherAccount() public {
        address other = _staker("other", KING, 10_000 * UNIT);
        _open(king, 0);
        _open(other, 0);
        _delegateTo(delegator, king, 10_000 * UNIT);
        vm.startPrank(delegator);
        staking.undelegateStake(10_000 * UNIT);
        uint256 first = block.timestamp - 1;
        vm.warp(block.timestamp + 1 days);
        staking.withdrawDelegation();
        staking.delegateStake(other, 3000 * UNIT);
        vm.stopPrank();
        staking.slashByVote(king, 1000 * UNIT, PEER);
        assertEq(_pastVotes(delegator), 3000 * UNIT);
        assertEq(staking.getPastVotes(delegator, first), 0, "there was none before");
    }

    /// @dev Delegated anew after everybody had left a pool that was slashed: full price again.
    function test_emptiedPoolStartsAtFullPrice() public {
        _open(king, 0);
        _delegateTo(delegator, king, 10_000 * UNIT);
        staking.slashByVote(king, 3000 * UNIT, PEER);
        vm.startPrank(delegator);
        staking.undelegateStake(10_000 * UNIT);
        vm.warp(block.timestamp + 1 days);
        assertEq(staking.withdrawDelegation(), 9000 * UNIT);
        staking.delegateStake(king, 100 * UNIT);
        assertEq(staking.delegation(delegator).shares, 100 * UNIT);
        vm.stopPrank();
        assertEq(_pastVotes(delegator), 100 * UNIT);
    }

    function test_theContractItselfNeverVotes() public {
        vm.prank(king);
        staking.delegate(king);
        vm.warp(block.timestamp + 1);
        assertGt(token.balanceOf(address(staking)), 0);
        assertEq(IVotesView(address(token)).getPastVotes(address(staking), block.timestamp - 1), 0);
        assertEq(IVotesView(address(token)).delegates(address(staking)), address(0));
        assertEq(staking.getPastVotes(address(staking), block.timestamp - 1), 0);
    }

    function test_onlyThePastIsAsked() public {
        uint48 time = uint48(block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.FutureLookup.selector, time, time));
        staking.getPastVotes(king, time);
        assertEq(IVotesView(address(staking)).clock(), time);
        assertEq(IVotesView(address(staking)).CLOCK_MODE(), "mode=timestamp");
    }

    function testFuzz_votesNeverExceedWhatIsThere(uint96[3] memory amounts, uint16[3] memory slashes, uint8 order) public {
        _open(king, 0);
        vm.prank(king);
        staking.delegate(king);
        address[3] memory people;
        for (uint256 i; i < 3; ++i) {
            uint256 amount = bound(amounts[i], UNIT, 100_000 * UNIT);
            people[i] = _funded(string.concat("delegator", vm.toString(i)), amount);
            _delegateTo(people[i], king, amount);
            uint256 stake = _staked(king) + staking.pool(king).total;
            staking.slashByVote(king, bound(slashes[i], 1, stake / 10), PEER);
            vm.prank(renter);
            token.transfer(king, 10_000 * UNIT);
            vm.prank(king);
            staking.addStake(10_000 * UNIT);
        }
        address leaving = people[order % 3];
        uint256 half = staking.delegation(leaving).shares / 2;
        vm.prank(leaving);
        staking.undelegateStake(half);
        uint256 votes = _pastVotes(king);
        assertEq(votes, _staked(king));
        IStakingManager.Pool memory p = staking.pool(king);
        uint256 delegated;
        for (uint256 i; i < 3; ++i) {
            delegated += staking.getPastVotes(people[i], block.timestamp - 1);
        }
        uint256 active = uint256(p.total) * (p.shares - p.unbondingShares) / p.shares;
        assertLe(delegated, active);
        assertApproxEqAbs(delegated, active, 1e3);
    }
}

interface IVotesView {
    function clock() external view returns (uint48);
    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() external view returns (string memory);
    function delegates(address account) external view returns (address);
    function getPastVotes(address account, uint256 timepoint) external view returns (uint256);
}
