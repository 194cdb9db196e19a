// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

contract StakingSlashTest is StakingWorld {
    address private reporter = makeAddr("reporter");
    address private wronged = makeAddr("wronged");
    uint64 private device;

    function setUp() public override {
        super.setUp();
        stakeAs(provider, PROVIDER, 2000 * UNIT, operator);
        device = _device();
        _setSplit(4000, 3000, 2000, 1000);
    }

    function test_wrongProofCostsTheClassStakeAndIsDivided() public {
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(staking));
        emit IStakingManager.Slashed(provider, device, 500 * UNIT, 1, reporter, wronged);
        vm.expectEmit(address(staking));
        emit IStakingManager.SlashDivided(provider, 200 * UNIT, 150 * UNIT, 100 * UNIT, 50 * UNIT);
        _fault(device, 1, reporter, wronged);
        assertEq(_staked(provider), 1500 * UNIT);
        assertEq(staking.staker(provider).locked, 0);
        assertEq(token.totalSupply(), supply - 200 * UNIT);
        assertEq(staking.credits(wronged), 100 * UNIT);
        assertEq(staking.credits(reporter), 50 * UNIT);
        assertEq(staking.device(device).faults, 1);
        _assertSolvent();
        _fault(device, 1, reporter, wronged);
        assertEq(_staked(provider), 1500 * UNIT, "never more than the class stake");
    }

    function test_creditsAndTreasuryAreClaimed() public {
        _fault(device, 1, reporter, wronged);
        vm.prank(reporter);
        vm.expectRevert(IStakingManager.ZeroAddress.selector);
        staking.claimCredit(address(0));
        vm.prank(reporter);
        assertEq(staking.claimCredit(relay), 50 * UNIT);
        assertEq(token.balanceOf(relay), 50 * UNIT);
        vm.prank(reporter);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.NothingToClaim.selector, reporter));
        staking.claimCredit(relay);
        vm.expectRevert(IStakingManager.ZeroAddress.selector);
        staking.withdrawTreasury(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InsufficientTreasury.selector, 150 * UNIT, 150 * UNIT + 1));
        staking.withdrawTreasury(owner, 150 * UNIT + 1);
        staking.withdrawTreasury(owner, 150 * UNIT);
        assertEq(token.balanceOf(owner), 150 * UNIT);
        _assertSolvent();
    }

    function test_sharesWithoutATakerAreBurned() public {
        uint256 supply = token.totalSupply();
        _fault(device, 1, address(0), address(0));
        assertEq(token.totalSupply(), supply - 350 * UNIT);
        assertEq(staking.credits(address(0)), 0);
        _assertSolvent();
    }

    function test_missingAnswerCostsThePenalty() public {
        _fault(device, 2, address(0), wronged);
        assertEq(_staked(provider), 1980 * UNIT);
        assertEq(staking.staker(provider).locked, 500 * UNIT, "the device stays in service");
        assertEq(staking.credits(wronged), 4 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownFault.selector, 3));
        _fault(device, 3, address(0), wronged);
    }

    function test_missingAnswersOfARemovedDeviceNeverExceedItsClassStake() public {
        vm.prank(provider);
        staking.removeDevice(device);
        for (uint256 i; i < 30; ++i) {
            _fault(device, 2, address(0), address(0));
        }
        assertEq(_staked(provider), 1500 * UNIT);
        assertEq(staking.staker(provider).retiring, 0);
        assertEq(staking.device(device).lockedStake, 0);
    }

    function test_stakeOnItsWayOutGoesFirst() public {
        vm.prank(provider);
        staking.requestUnstake(300 * UNIT);
        _fault(device, 1, reporter, wronged);
        assertEq(staking.staker(provider).unbonding, 0);
        assertEq(_staked(provider), 1500 * UNIT);
        _assertSolvent();
    }

    /// @dev Own stake and delegated stake, each with its part on the way out, in proportion.
    function test_delegatorsBearTheirPart() public {
        address delegator = _funded("delegator", 2000 * UNIT);
        _open(provider, 0);
        _delegateTo(delegator, provider, 2000 * UNIT);
        vm.prank(delegator);
        staking.undelegateStake(500 * UNIT);
        _fault(device, 1, reporter, wronged);
        assertEq(_staked(provider), 1750 * UNIT);
        assertEq(staking.pool(provider).total, 1750 * UNIT);
        vm.warp(block.timestamp + 1 days);
        vm.prank(delegator);
        assertEq(staking.withdrawDelegation(), 437.5e18, "what was on its way out bore its part");
        _assertSolvent();
    }

    // ------------------------------------------------------------------------------------------- Kings

    function _kingSlashed(address key, address account) private {
        vm.prank(kingCourt);
        staking.slashKing(key, 7, reporter);
        assertEq(_staked(account), 0);
        assertEq(staking.staker(account).unbonding, 0);
        assertFalse(staking.hasRole(account, KING));
        _assertSolvent();
    }

    function test_kingLosesEverythingEvenOnItsWayOut() public {
        staking.setKingCourt(kingCourt);
        address king = _staker("king", KING, 30_000 * UNIT);
        address delegator = _funded("delegator", 10_000 * UNIT);
        _open(king, 0);
        _delegateTo(delegator, king, 10_000 * UNIT);
        vm.prank(king);
        staking.requestUnstake(15_000 * UNIT);
        vm.expectEmit(address(staking));
        emit IStakingManager.Slashed(king, 0, 40_000 * UNIT, 7, reporter, address(0));
        _kingSlashed(king, king);
        assertEq(staking.credits(reporter), 4000 * UNIT);
        (address[] memory operators,) = staking.kingSet(21);
        assertEq(operators.length, 0);
        // The ruined pool takes nobody in and lets everybody out.
        vm.prank(king);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.withdraw();
        vm.startPrank(delegator);
        staking.undelegateStake(10_000 * UNIT);
        vm.warp(block.timestamp + 1 days);
        assertEq(staking.withdrawDelegation(), 0);
        assertEq(staking.delegation(delegator).account, address(0));
    }

    function test_ruinedPoolTakesNobodyIn() public {
        staking.setKingCourt(kingCourt);
        address king = _staker("king", KING, 30_000 * UNIT);
        address delegator = _funded("delegator", 10_000 * UNIT);
        _open(king, 0);
        _delegateTo(delegator, king, UNIT);
        _kingSlashed(king, king);
        vm.prank(renter);
        token.transfer(king, 30_000 * UNIT);
        vm.prank(king);
        staking.addStake(30_000 * UNIT);
        vm.prank(delegator);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.PoolClosed.selector, king));
        staking.delegateStake(king, UNIT);
    }

    function test_oldHotKeyStaysAnswerable() public {
        staking.setKingCourt(kingCourt);
        address king = _staker("king", KING, 20_000 * UNIT);
        address hot = makeAddr("hot");
        vm.startPrank(king);
        staking.setOperator(hot, PEER);
        staking.setOperator(makeAddr("next"), PEER);
        vm.stopPrank();
        assertEq(staking.accountOf(hot), address(0));
        address thief = _funded("thief", 20_000 * UNIT);
        vm.prank(thief);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.OperatorTaken.selector, hot));
        staking.stake(KING, 10_000 * UNIT, hot, PEER);
        _kingSlashed(hot, king);
    }

    /// @dev A hot key that stakes a little for itself does not draw the slash away from the account that it signed for.
    function test_hotKeyThatStakesItselfDoesNotShieldItsAccount() public {
        staking.setKingCourt(kingCourt);
        address king = _staker("king", KING, 20_000 * UNIT);
        address hot = _funded("hot", 10_000 * UNIT);
        vm.prank(king);
        staking.setOperator(hot, PEER);
        vm.prank(hot);
        staking.stake(KING, 10_000 * UNIT, hot, PEER);
        (address[] memory operators,) = staking.kingSet(21);
        assertEq(operators.length, 1, "no key twice");
        _kingSlashed(hot, king);
        assertEq(_staked(hot), 0);
    }

    function test_onlyTheCourtSlashesKings() public {
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.NotKingCourt.selector, address(this)));
        staking.slashKing(provider, 1, reporter);
        vm.expectRevert(IStakingManager.ZeroAddress.selector);
        staking.setKingCourt(address(0));
        staking.setKingCourt(kingCourt);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.KingCourtAlreadySet.selector, kingCourt));
        staking.setKingCourt(relay);
        vm.prank(kingCourt);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownKing.selector, provider));
        staking.slashKing(provider, 1, reporter);
    }

    // -------------------------------------------------------------------------------------------- vote

    function test_voteBurnsAtMostTheCap() public {
        uint256 supply = token.totalSupply();
        vm.expectRevert(IStakingManager.EvidenceMissing.selector);
        staking.slashByVote(provider, 1, 0);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.slashByVote(provider, 0, PEER);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.SlashAboveCap.selector, 200 * UNIT + 1, 200 * UNIT));
        staking.slashByVote(provider, 200 * UNIT + 1, PEER);
        vm.expectEmit(address(staking));
        emit IStakingManager.SlashedByVote(provider, 200 * UNIT, PEER);
        staking.slashByVote(provider, 200 * UNIT, PEER);
        assertEq(_staked(provider), 1800 * UNIT);
        assertEq(token.totalSupply(), supply - 200 * UNIT, "burned, paid to nobody");
        _assertSolvent();
    }

    /// @dev A slash that leaves less than devices lock costs the role until it is made up.
    function test_slashBelowTheLockedStakeCostsTheRole() public {
        vm.startPrank(provider);
        staking.registerDevice(CLASS, worker);
        staking.registerDevice(CLASS, worker);
        staking.registerDevice(CLASS, worker);
        vm.stopPrank();
        staking.slashByVote(provider, 100 * UNIT, PEER);
        assertFalse(staking.hasRole(provider, PROVIDER));
        (,, bool eligible) = staking.rentability(device);
        assertFalse(eligible);
        stakeAs(provider, PROVIDER, 100 * UNIT, operator);
        assertTrue(staking.hasRole(provider, PROVIDER));
    }

    function testFuzz_slashesAreProportionalAndSolvent(uint96 own, uint96 delegated, uint96 unbonding, uint8 reason) public {
        own = uint96(bound(own, 1, 100_000 * UNIT));
        delegated = uint96(bound(delegated, UNIT, 100_000 * UNIT));
        stakeAs(provider, PROVIDER, own, operator);
        address delegator = _funded("delegator", delegated);
        _open(provider, 0);
        _delegateTo(delegator, provider, delegated);
        unbonding = uint96(bound(unbonding, 1, delegated));
        vm.prank(delegator);
        staking.undelegateStake(unbonding);
        uint256 before = _staked(provider);
        _fault(device, uint8(bound(reason, 1, 2)), reporter, wronged);
        uint256 fromOwn = before - _staked(provider);
        uint256 fromPool = delegated - staking.pool(provider).total;
        // Rounding is the operator's to bear.
        assertGe(fromOwn * delegated, fromPool * before);
        assertLt(fromOwn * delegated, fromPool * before + before + delegated);
        _assertSolvent();
        vm.warp(block.timestamp + 1 days);
        vm.startPrank(delegator);
        if (unbonding < delegated) staking.undelegateStake(delegated - unbonding);
        vm.warp(block.timestamp + 1 days);
        assertEq(staking.withdrawDelegation(), delegated - fromPool, "the last one out leaves nothing behind");
        _assertSolvent();
    }
}
