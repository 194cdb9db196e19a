// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IOutbox} from "../../src/interfaces/IBridge.sol";
import {IStaking, IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {QueenSetRotated} from "../../src/types/Protocol.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

contract StakingSetsTest is StakingWorld {
    function _queens(uint256 count, uint256 amount) private {
        for (uint256 i; i < count; ++i) {
            _staker(string.concat("queen", vm.toString(i)), QUEEN, amount);
        }
    }

    function test_queensAreAnnouncedByAnybody() public {
        _queens(2, 5000 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.TooFewQueens.selector, 2, 3));
        staking.announceQueens();
        address third = _staker("queen2", QUEEN, 5000 * UNIT);
        vm.prank(third);
        staking.setOperator(relay, PEER);
        address[] memory operators = new address[](3);
        (operators[0], operators[1], operators[2]) = (makeAddr("queen0"), makeAddr("queen1"), relay);
        bytes memory body = abi.encodePacked(uint8(7), abi.encode(QueenSetRotated(2, operators)));
        vm.expectCall(address(ethOutbox), abi.encodeCall(IOutbox.dispatch, (CLASSIC, address(work), body)));
        vm.prank(renter);
        assertEq(staking.announceQueens(), 2);
        uint64 earliest = uint64(block.timestamp + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.TooEarly.selector, earliest));
        staking.announceQueens();
        vm.warp(earliest);
        assertEq(staking.announceQueens(), 3);
    }

    function test_queensWithoutTheMinimumAreNotAnnounced() public {
        _queens(4, 5000 * UNIT);
        IStakingManager.Parameters memory p = staking.parameters();
        p.minimumQueenStake = uint128(6000 * UNIT);
        staking.setParameters(p);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.TooFewQueens.selector, 0, 3));
        staking.announceQueens();
        assertEq(staking.queensBefore(type(uint64).max).length, 0);
        // Until anybody tells the contract, they keep earning by the stake that they had.
        staking.refresh(makeAddr("queen0"));
        (uint256 weight,,) = staking.rewardState(QUEEN);
        assertEq(weight, 15_000 * UNIT);
    }

    /// @dev A hundred seats: who comes later needs more than the least of those who sit.
    function test_seatsAreBoundedAndGoToTheLargerStake() public {
        _queens(100, 5001 * UNIT);
        vm.warp(block.timestamp + 1);
        _staker("poor", QUEEN, 5001 * UNIT);
        assertEq(staking.queensBefore(type(uint64).max).length, 100);
        (uint256 weight,,) = staking.rewardState(QUEEN);
        assertEq(weight, 100 * 5001 * UNIT, "without a seat nothing is earned");
        address rich = _funded("rich", 5002 * UNIT);
        vm.expectEmit(address(staking));
        emit IStakingManager.SeatLost(QUEEN, makeAddr("queen0"));
        vm.expectEmit(address(staking));
        emit IStakingManager.SeatTaken(QUEEN, rich);
        vm.prank(rich);
        staking.stake(QUEEN, 5002 * UNIT, rich, PEER);
        (weight,,) = staking.rewardState(QUEEN);
        assertEq(weight, (100 * 5001 + 1) * UNIT);
        assertTrue(staking.hasRole(makeAddr("queen0"), QUEEN), "the stake is still there");
        // A seat that is given up goes to whoever asks first.
        vm.prank(rich);
        staking.requestUnstake(5002 * UNIT);
        staking.refresh(makeAddr("poor"));
        address[] memory seated = staking.queensBefore(type(uint64).max);
        assertEq(seated[99], makeAddr("poor"));
        uint256 before = gasleft();
        staking.announceQueens();
        assertLt(before - gasleft(), 3_000_000, "a full set fits into a block many times");
    }

    function test_kingMembersArePackedAndAscending() public {
        _staker("a", KING, 20_000 * UNIT);
        _staker("b", KING, 30_000 * UNIT);
        address c = _staker("c", KING, 10_000 * UNIT);
        address delegator = _funded("delegator", 15_000 * UNIT);
        _open(c, 100);
        _delegateTo(delegator, c, 15_000 * UNIT);
        (address[] memory operators, uint256[] memory stakes) = staking.kingSet(2);
        assertEq(operators[0], makeAddr("b"));
        assertEq(operators[1], c, "delegated stake counts");
        assertEq(stakes[1], 25_000 * UNIT);
        bytes32[] memory members = staking.kingMembers(2);
        assertTrue(members[0] < members[1]);
        for (uint256 i; i < 2; ++i) {
            address king = address(uint160(uint256(members[i]) >> 96));
            assertEq(uint96(uint256(members[i])), king == c ? 25_000 * UNIT : 30_000 * UNIT);
        }
        assertEq(staking.kingSetHash(2), keccak256(abi.encodePacked(members[0], members[1])));
        assertEq(staking.kingMembers(21).length, 3);
        assertEq(staking.kingSetHash(0), keccak256(""));
    }

    function _refused(IStakingManager.Parameters memory p) private {
        vm.expectRevert(IStakingManager.InvalidParameters.selector);
        staking.setParameters(p);
    }

    function test_parametersHaveBounds() public {
        IStakingManager.Parameters memory good = staking.parameters();
        IStakingManager.Parameters memory p = staking.parameters();
        p.unbondingPeriod = 59;
        _refused(p);
        p.unbondingPeriod = 90 days + 1;
        _refused(p);
        p.unbondingPeriod = 34 days;
        vm.chainId(1);
        _refused(p);
        onEthereum();
        staking.setParameters(p);
        p.minimumProviderStake = uint128(UNIT - 1);
        _refused(p);
        p.minimumProviderStake = 1 << 96;
        _refused(p);
        (p.minimumProviderStake, p.minimumQueenStake) = (good.minimumProviderStake, 1);
        _refused(p);
        (p.minimumQueenStake, p.minimumKingStake) = (good.minimumQueenStake, 1);
        _refused(p);
        (p.minimumKingStake, p.missingAnswerPenalty) = (good.minimumKingStake, 0);
        _refused(p);
        (p.missingAnswerPenalty, p.passFreshness) = (1, 0);
        _refused(p);
        p.passFreshness = 30 days + 1;
        _refused(p);
        (p.passFreshness, p.queenSetInterval) = (1 days, 59);
        _refused(p);
        p.queenSetInterval = 30 days + 1;
        _refused(p);
        (p.queenSetInterval, p.queenSetMinimum) = (1 hours, 0);
        _refused(p);
        p.queenSetMinimum = 101;
        _refused(p);
        (p.queenSetMinimum, p.voteSlashCapBps) = (1, 5001);
        _refused(p);
        p.voteSlashCapBps = 5000;
        vm.expectEmit(address(staking));
        emit IStakingManager.ParametersSet(p);
        staking.setParameters(p);
        assertEq(staking.parameters().unbondingPeriod, 34 days);
    }

    function test_splitHasBounds() public {
        IStakingManager.Parameters memory p = staking.parameters();
        p.burnBps = 9999;
        _refused(p);
        (p.burnBps, p.renterBps, p.reporterBps) = (4999, 3001, 2000);
        _refused(p);
        (p.burnBps, p.renterBps, p.reporterBps) = (5000, 2999, 2001);
        _refused(p);
        (p.burnBps, p.treasuryBps, p.renterBps, p.reporterBps) = (0, 5000, 3000, 2000);
        staking.setParameters(p);
    }

    function test_classesHaveBounds() public {
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InvalidClassStake.selector, UNIT - 1));
        staking.setClass(2, uint128(UNIT - 1));
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InvalidClassStake.selector, 1 << 96));
        staking.setClass(2, 1 << 96);
        staking.setClass(2, uint128(UNIT));
        assertEq(staking.requiredStake(2), UNIT);
        staking.setClass(2, 0);
        stakeAs(provider, PROVIDER, 1000 * UNIT, operator);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownClass.selector, 2));
        staking.registerDevice(2, worker);
    }

    function test_deploymentRefusesMissingParts() public {
        IStakingManager.ClassStake[] memory none = new IStakingManager.ClassStake[](0);
        bytes memory arguments = abi.encode(token, address(this), _stakingParameters(), none, makeAddr("nobody"));
        vm.expectRevert();
        deployCode("StakingManager.sol:StakingManager", arguments);
        vm.expectRevert();
        deployCode("StakingPools.sol:StakingPools", abi.encode(address(0)));
    }

    /// @dev The half without storage knows nobody and holds nothing.
    function test_otherHalfCalledDirectlyRefuses() public {
        IStaking half = IStaking(deployCode("StakingPools.sol:StakingPools", abi.encode(token)));
        vm.prank(address(distributor));
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.NotDistributor.selector, distributor));
        half.notifyReward(KING, 1);
        vm.startPrank(renter);
        token.approve(address(half), UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RoleMismatch.selector, IStakingManager.Role.None, PROVIDER));
        half.delegateStake(provider, UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.NothingToClaim.selector, renter));
        half.claimRewards(renter);
    }
}
