// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

interface IPermitToken {
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
}

/// @dev Amounts and moments at their edges, and people who only want to be in the way of stakers.
contract StakingHostileTest is StakingWorld {
    uint256 private constant SMALLEST = 1e18;

    function test_aStakingPermitSentByAnotherFirstIsNoObstacle() public {
        bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        uint256 amount = 1000 * UNIT;
        bytes32 fields = keccak256(abi.encode(typehash, renter, staking, amount, token.nonces(renter), block.timestamp));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(renterKey, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), fields)));
        vm.prank(relay);
        IPermitToken(address(token)).permit(renter, address(staking), amount, block.timestamp, v, r, s);
        vm.prank(renter);
        staking.stakeWithPermit(PROVIDER, amount, renter, PEER, block.timestamp, v, r, s);
        assertEq(_staked(renter), amount);
    }

    function test_nothingIsNoAmount() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        _open(king, 0);
        address delegator = _funded("delegator", 100 * UNIT);
        _delegateTo(delegator, king, UNIT);
        vm.startPrank(king);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.addStake(0);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.requestUnstake(0);
        vm.stopPrank();
        vm.startPrank(delegator);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.BelowMinimum.selector, 0, SMALLEST));
        staking.delegateStake(king, 0);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.undelegateStake(0);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.withdrawDelegation();
        vm.stopPrank();
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.slashByVote(king, 0, PEER);
        _assertSolvent();
    }

    /// @dev All the tokens there are, in one stake and one pool.
    function test_theWholeSupplyCanBeStakedDelegatedSlashedAndTakenOut() public {
        vm.startPrank(address(distributor));
        token.mint(renter, token.cap() - token.totalMinted());
        vm.stopPrank();
        uint256 half = token.balanceOf(renter) / 2;
        address king = _staker("king", KING, half);
        _open(king, 5000);
        uint256 rest = token.balanceOf(renter);
        vm.startPrank(renter);
        token.approve(address(staking), rest);
        staking.delegateStake(king, rest);
        staking.delegate(renter);
        vm.stopPrank();
        uint256 time = vm.getBlockTimestamp();
        vm.warp(time + 1);
        assertEq(staking.getPastVotes(renter, time), rest);
        staking.slashByVote(king, half / 10, PEER);
        _assertSolvent();
        uint256 shares = staking.delegation(renter).shares;
        uint256 left = _staked(king);
        vm.prank(renter);
        staking.undelegateStake(shares);
        vm.prank(king);
        staking.requestUnstake(left);
        vm.warp(block.timestamp + 2 days);
        vm.prank(renter);
        uint256 back = staking.withdrawDelegation();
        vm.prank(king);
        staking.withdraw();
        assertApproxEqAbs(back + left, half + rest - half / 10, 2);
        _assertSolvent();
    }

    function test_moreThanOneHasIsRefusedByTheToken() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        _open(king, 0);
        bytes4 balance = bytes4(keccak256("ERC20InsufficientBalance(address,uint256,uint256)"));
        address poor = _funded("poor", 0);
        vm.startPrank(poor);
        vm.expectPartialRevert(balance);
        staking.stake(QUEEN, 10_000_000 * UNIT, poor, PEER);
        vm.expectPartialRevert(balance);
        staking.delegateStake(king, type(uint96).max);
        vm.expectRevert();
        staking.delegateStake(king, type(uint256).max);
        vm.expectRevert();
        staking.stake(QUEEN, type(uint256).max, poor, PEER);
        vm.stopPrank();
        _assertSolvent();
    }

    /// @dev Many who delegate the least there is cost a King nothing, and neither its rewards nor its way out.
    function test_dustDelegationsBlockNobody() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        _open(king, 1000);
        for (uint256 i; i < 40; ++i) {
            address dust = _funded(string.concat("dust", vm.toString(i)), SMALLEST);
            _delegateTo(dust, king, SMALLEST);
        }
        _notify(KING, 100 * UNIT);
        uint256 before = gasleft();
        vm.prank(king);
        staking.claimRewards(king);
        assertLt(before - gasleft(), 150_000, "however many there are");
        assertGt(token.balanceOf(king), 99 * UNIT);
        vm.prank(king);
        staking.requestUnstake(20_000 * UNIT);
        vm.warp(block.timestamp + 1 days);
        vm.prank(king);
        staking.withdraw();
        assertGt(token.balanceOf(king), 20_099 * UNIT);
        _assertSolvent();
    }

    /// @dev Tokens that are sent without a call are nobody's; they move no share's price.
    function test_tokensSentDirectlyChangeNoShare() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        _open(king, 0);
        address first = _funded("first", SMALLEST);
        _delegateTo(first, king, SMALLEST);
        vm.prank(renter);
        token.transfer(address(staking), 1000 * UNIT);
        address second = _funded("second", 100 * UNIT);
        _delegateTo(second, king, 100 * UNIT);
        assertEq(staking.delegation(second).shares, 100 * UNIT);
        assertEq(token.balanceOf(address(staking)), staking.totalHeld() + 1000 * UNIT);
        vm.prank(address(distributor));
        staking.notifyReward(KING, 1000 * UNIT);
        _assertSolvent();
    }

    function test_theLastSecondOfUnbonding() public {
        address queen = _staker("queen", QUEEN, 10_000 * UNIT);
        vm.startPrank(queen);
        staking.requestUnstake(10_000 * UNIT);
        uint64 until = uint64(block.timestamp) + 1 days;
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.StillUnbonding.selector, until));
        staking.withdraw();
        vm.warp(until);
        staking.withdraw();
        vm.stopPrank();
        assertEq(token.balanceOf(queen), 10_000 * UNIT);
    }

    function test_theLastSecondOfADelegation() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        _open(king, 0);
        address delegator = _funded("delegator", 100 * UNIT);
        _delegateTo(delegator, king, 100 * UNIT);
        vm.startPrank(delegator);
        staking.undelegateStake(100 * UNIT);
        uint64 until = uint64(block.timestamp) + 1 days;
        vm.warp(until - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.StillUnbonding.selector, until));
        staking.withdrawDelegation();
        vm.warp(until);
        assertEq(staking.withdrawDelegation(), 100 * UNIT);
        vm.stopPrank();
    }

    function test_theSecondInWhichADearerCommissionCounts() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        _open(king, 0);
        address delegator = _funded("delegator", 20_000 * UNIT);
        _delegateTo(delegator, king, 20_000 * UNIT);
        _open(king, 5000);
        uint256 since = vm.getBlockTimestamp() + 1 days;
        vm.warp(since - 1);
        _notify(KING, 100 * UNIT);
        staking.refresh(king);
        assertApproxEqAbs(staking.earned(delegator), 50 * UNIT, 1e3, "the old commission until then");
        vm.warp(since);
        // With the first settlement from then on, for what comes after it.
        staking.refresh(king);
        _notify(KING, 100 * UNIT);
        staking.refresh(king);
        assertApproxEqAbs(staking.earned(delegator), 75 * UNIT, 1e3, "the new one from then on");
    }
}
