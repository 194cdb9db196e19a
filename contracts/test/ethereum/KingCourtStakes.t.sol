// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IKingSet} from "../../src/interfaces/IBridge.sol";
import {IKingCourt, SignedCheckpoint, SLASH_EQUIVOCATION, SLASH_FALSE_CHECKPOINT} from "../../src/interfaces/IKingCourt.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {Checkpoint} from "../../src/types/Protocol.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

/// @dev Evidence against a King, down to what StakingManager does with its stake.
contract KingCourtStakesTest is StakingWorld {
    uint256 private constant SECRET = uint256(keccak256("hot key of a king"));
    IKingCourt private judge;
    address private king;
    address private hotKey = vm.addr(SECRET);
    address private reporter = makeAddr("reporter");

    function setUp() public override {
        super.setUp();
        judge = IKingCourt(deployCode("KingCourt.sol:KingCourt", abi.encode(staking, ethKingSet, ethOutbox, CLASSIC, etcOutbox)));
        staking.setKingCourt(address(judge));
        _setSplit(5000, 3000, 0, 2000);
        king = _funded("king", 200_000 * UNIT);
        vm.prank(king);
        staking.stake(KING, 100_000 * UNIT, hotKey, PEER);
    }

    function _sign(Checkpoint memory c) private view returns (SignedCheckpoint memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(SECRET, IKingSet(ethKingSet).checkpointDigest(c));
        return SignedCheckpoint(c, r, vs);
    }

    function _classic(bytes32 root, uint64 epoch) private view returns (SignedCheckpoint memory) {
        return _sign(Checkpoint(CLASSIC, address(etcOutbox), epoch, root, 5, 10, keccak256("block"), 1000));
    }

    function _report(uint64 epoch) private {
        SignedCheckpoint memory first = _classic("one", epoch);
        SignedCheckpoint memory second = _classic("two", epoch);
        vm.prank(reporter);
        judge.reportConflict(first, second);
    }

    /// @dev Signed with the hot key: the account behind it loses all of its stake, of which the reporter gets its share.
    function test_twoRootsCostTheKingItsStake() public {
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(staking));
        emit IStakingManager.Slashed(king, 0, 100_000 * UNIT, SLASH_EQUIVOCATION, reporter, address(0));
        _report(1);
        assertEq(_staked(king), 0);
        assertFalse(staking.hasRole(king, KING));
        (address[] memory operators,) = staking.kingSet(21);
        assertEq(operators.length, 0, "not nominated any more");
        assertEq(token.totalSupply(), supply - 50_000 * UNIT);
        assertEq(staking.treasury(), 30_000 * UNIT);
        assertEq(staking.credits(reporter), 20_000 * UNIT);
        vm.prank(reporter);
        staking.claimCredit(reporter);
        assertEq(token.balanceOf(reporter), 20_000 * UNIT);
        _assertSolvent();
    }

    function test_stakeOnItsWayOutAnswersAsWell() public {
        vm.prank(king);
        staking.requestUnstake(100_000 * UNIT);
        SignedCheckpoint memory signed =
            _sign(Checkpoint(ETHEREUM, address(ethOutbox), 1, "invented", 1000, 10, keccak256("block"), 1000));
        vm.prank(reporter);
        judge.reportBeyondOutbox(signed);
        assertTrue(judge.convicted(hotKey, SLASH_FALSE_CHECKPOINT, ETHEREUM, 1));
        vm.warp(block.timestamp + 10 days);
        vm.prank(king);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.withdraw();
        _assertSolvent();
    }

    /// @dev Delegators chose whom they trusted with their stake.
    function test_delegatorsOfAConvictedKingLoseTheirPart() public {
        vm.prank(king);
        staking.announceCommission(0);
        address delegator = _funded("delegator", 50_000 * UNIT);
        _delegateTo(delegator, king, 50_000 * UNIT);
        _report(1);
        assertEq(staking.pool(king).total, 0);
        assertEq(staking.credits(reporter), 30_000 * UNIT);
        _assertSolvent();
    }

    function test_aSecondOffenceTakesWhatWasStakedSince() public {
        _report(1);
        vm.prank(king);
        staking.stake(KING, 20_000 * UNIT, hotKey, PEER);
        SignedCheckpoint memory first = _classic("one", 1);
        SignedCheckpoint memory second = _classic("three", 1);
        vm.expectPartialRevert(IKingCourt.AlreadyConvicted.selector);
        judge.reportConflict(first, second);
        assertEq(_staked(king), 20_000 * UNIT, "one wrong night is one offence");
        _report(2);
        assertEq(_staked(king), 0);
        _assertSolvent();
    }

    /// @dev A key that never had a stake: the evidence stands, there is nothing to take, and it may be brought again later.
    function test_aSignerWithoutAStakeIsNoKing() public {
        vm.prank(king);
        staking.setOperator(makeAddr("another hot key"), PEER);
        SignedCheckpoint memory first;
        SignedCheckpoint memory second;
        (first, second) = (_classic("one", 1), _classic("two", 1));
        // The old hot key stays answerable.
        judge.reportConflict(first, second);
        assertEq(_staked(king), 0);
        uint256 other = uint256(keccak256("nobody"));
        bytes32 digest = IKingSet(ethKingSet).checkpointDigest(first.checkpoint);
        (first.r, first.vs) = vm.signCompact(other, digest);
        (second.r, second.vs) = vm.signCompact(other, IKingSet(ethKingSet).checkpointDigest(second.checkpoint));
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownKing.selector, vm.addr(other)));
        judge.reportConflict(first, second);
        assertFalse(judge.convicted(vm.addr(other), SLASH_EQUIVOCATION, CLASSIC, 1));
    }
}
