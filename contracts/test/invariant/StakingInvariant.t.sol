// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

interface ITokenVotes {
    function getPastVotes(address account, uint256 timepoint) external view returns (uint256);
    function getPastTotalSupply(uint256 timepoint) external view returns (uint256);
}

/// @dev Stakers of each role, delegators, a thief, whoever slashes, governance and time. It is the target contract itself, so
///      that it has the helpers of the world.
contract StakingInvariantTest is StakingWorld {
    address[] private people;
    uint64[] private deviceIds;
    uint256 private notified;
    uint256 private paid;
    bool private thiefGotIn;
    bool private votedTwice;
    address private thief = makeAddr("thief");

    function setUp() public override {
        super.setUp();
        for (uint256 i; i < 8; ++i) {
            address account = _funded(string.concat("person", vm.toString(i)), 100_000 * UNIT);
            people.push(account);
            vm.startPrank(account);
            token.delegate(account);
            staking.delegate(account);
            vm.stopPrank();
        }
        _setSplit(4000, 3000, 2000, 1000);
        staking.setKingCourt(kingCourt);
        bytes4[] memory actions = new bytes4[](17);
        actions[0] = this.actStake.selector;
        actions[1] = this.actUnstake.selector;
        actions[2] = this.actWithdraw.selector;
        actions[3] = this.actOpen.selector;
        actions[4] = this.actDelegate.selector;
        actions[5] = this.actUndelegate.selector;
        actions[6] = this.actWithdrawDelegation.selector;
        actions[7] = this.actDevice.selector;
        actions[8] = this.actRemove.selector;
        actions[9] = this.actFault.selector;
        actions[10] = this.actSlash.selector;
        actions[11] = this.actNotify.selector;
        actions[12] = this.actClaim.selector;
        actions[13] = this.actGovern.selector;
        actions[14] = this.actThief.selector;
        actions[15] = this.actWait.selector;
        actions[16] = this.actVoteDelegate.selector;
        targetSelector(FuzzSelector(address(this), actions));
        targetContract(address(this));
        // So that most sequences start with all roles, a pool and a device.
        for (uint8 i; i < 6; ++i) {
            actStake(i, i % 3, uint96(50_000 * UNIT));
        }
        actOpen(0, 1000);
        actOpen(2, 0);
        actDelegate(6, 0, uint96(20_000 * UNIT));
        actDelegate(7, 2, uint96(20_000 * UNIT));
        actDevice(0);
    }

    function _person(uint256 seed) private view returns (address) {
        return people[seed % people.length];
    }

    function actStake(uint256 who, uint8 role, uint96 amount) public {
        address account = _person(who);
        IStakingManager.Role wanted = staking.staker(account).role;
        if (wanted == IStakingManager.Role.None) wanted = IStakingManager.Role(1 + (role % 3));
        uint256 balance = token.balanceOf(account);
        if (balance == 0) return;
        vm.prank(account);
        try staking.stake(wanted, bound(amount, 1, balance), account, PEER) {} catch {}
    }

    function actUnstake(uint256 who, uint96 amount, bool all) external {
        address account = _person(who);
        uint256 staked = _staked(account);
        vm.prank(account);
        try staking.requestUnstake(all ? staked : bound(amount, 0, staked)) {} catch {}
    }

    function actWithdraw(uint256 who) external {
        vm.prank(_person(who));
        try staking.withdraw() {} catch {}
    }

    function actOpen(uint256 who, uint16 commission) public {
        vm.prank(_person(who));
        try staking.announceCommission(commission % 5001) {} catch {}
    }

    function actDelegate(uint256 who, uint256 to, uint96 amount) public {
        address delegator = _person(who);
        uint256 balance = token.balanceOf(delegator);
        if (balance == 0) return;
        address target = staking.delegation(delegator).account;
        if (target == address(0)) target = _person(to);
        vm.prank(delegator);
        try staking.delegateStake(target, bound(amount, 1, balance)) {} catch {}
    }

    function actUndelegate(uint256 who, uint128 shares, bool all) external {
        address delegator = _person(who);
        uint256 held = staking.delegation(delegator).shares;
        vm.prank(delegator);
        try staking.undelegateStake(all ? held : bound(shares, 0, held)) {} catch {}
    }

    function actWithdrawDelegation(uint256 who) external {
        vm.prank(_person(who));
        try staking.withdrawDelegation() {} catch {}
    }

    function actDevice(uint256 who) public {
        vm.prank(_person(who));
        try staking.registerDevice(CLASS, worker) returns (uint64 id) {
            deviceIds.push(id);
            _pass(id);
        } catch {}
    }

    function actRemove(uint256 which, bool release) external {
        if (deviceIds.length == 0) return;
        uint64 id = deviceIds[which % deviceIds.length];
        vm.prank(staking.device(id).provider);
        if (release) try staking.releaseDevice(id) {} catch {} else try staking.removeDevice(id) {} catch {}
    }

    function actFault(uint256 which, bool whole, uint256 reporter, uint256 wronged) external {
        if (deviceIds.length == 0) return;
        uint64 id = deviceIds[which % deviceIds.length];
        _fault(id, whole ? 1 : 2, _person(reporter), wronged % 3 == 0 ? address(0) : _person(wronged));
    }

    function actSlash(uint256 who, uint256 amount, bool king, uint256 reporter) external {
        address account = _person(who);
        if (king) {
            vm.prank(kingCourt);
            try staking.slashKing(account, 1, _person(reporter)) {} catch {}
        } else {
            uint256 stake = _staked(account) + staking.staker(account).unbonding + staking.pool(account).total;
            try staking.slashByVote(account, bound(amount, 0, stake / 10), PEER) {} catch {}
        }
    }

    function actNotify(uint8 role, uint96 amount) external {
        amount = uint96(bound(amount, 1, 10_000 * UNIT));
        notified += amount;
        _notify(IStakingManager.Role(1 + (role % 3)), amount);
    }

    function actClaim(uint256 who, bool credit) external {
        address account = _person(who);
        vm.startPrank(account);
        if (credit) {
            try staking.claimCredit(account) {} catch {}
        } else {
            try staking.claimRewards(account) returns (uint256 amount) {
                paid += amount;
            } catch {}
        }
        vm.stopPrank();
    }

    function actGovern(uint64 unbonding, uint128 minimum, uint128 penalty, uint256 which) external {
        IStakingManager.Parameters memory p = staking.parameters();
        p.unbondingPeriod = uint64(bound(unbonding, 1 minutes, 3 days));
        if (which % 3 == 0) p.minimumKingStake = uint128(bound(minimum, UNIT, 60_000 * UNIT));
        if (which % 3 == 1) p.minimumQueenStake = uint128(bound(minimum, UNIT, 60_000 * UNIT));
        if (which % 3 == 2) p.minimumProviderStake = uint128(bound(minimum, UNIT, 60_000 * UNIT));
        p.missingAnswerPenalty = uint128(bound(penalty, 1, 1000 * UNIT));
        staking.setParameters(p);
        staking.refresh(_person(which / 3));
        if (staking.treasury() != 0) staking.withdrawTreasury(owner, staking.treasury());
    }

    /// @dev Everything that pays, tried by somebody who has nothing.
    function actThief(uint256 which) external {
        vm.startPrank(thief);
        bytes[8] memory attempts = [
            abi.encodeCall(staking.withdraw, ()),
            abi.encodeCall(staking.withdrawDelegation, ()),
            abi.encodeCall(staking.claimRewards, (thief)),
            abi.encodeCall(staking.claimCredit, (thief)),
            abi.encodeCall(staking.withdrawTreasury, (thief, 1)),
            abi.encodeCall(staking.requestUnstake, (1)),
            abi.encodeCall(staking.undelegateStake, (1)),
            abi.encodeCall(staking.slashByVote, (_person(which), 1, PEER))
        ];
        (bool success,) = address(staking).call(attempts[which % 8]);
        if (success) thiefGotIn = true;
        vm.stopPrank();
    }

    function actVoteDelegate(uint256 who, uint256 to) external {
        vm.prank(_person(who));
        staking.delegate(_person(to));
    }

    function actWait(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 1, 2 days));
        _countVotes();
    }

    /// @dev All votes of the last second, token's and staked ones: never more than there are tokens.
    function _countVotes() private {
        uint256 time = block.timestamp - 1;
        uint256 sum = ITokenVotes(address(token)).getPastVotes(address(staking), time);
        for (uint256 i; i < people.length; ++i) {
            sum += ITokenVotes(address(token)).getPastVotes(people[i], time) + staking.getPastVotes(people[i], time);
        }
        if (sum > ITokenVotes(address(token)).getPastTotalSupply(time)) votedTwice = true;
        if (sum > people.length * 100_000 * UNIT + notified) votedTwice = true;
    }

    function _credits() private view returns (uint256 sum) {
        for (uint256 i; i < people.length; ++i) {
            sum += staking.credits(people[i]);
        }
    }

    // -------------------------------------------------------------------------------------- invariants

    /// @dev All of them after every step of one campaign: as many campaigns as invariants would repeat the steps, which cost more.
    function invariant_all() public view {
        everythingHeldIsOwed();
        poolsAreTheirDelegators();
        votesCountOnce();
        noRoleWithoutMinimum();
        locksAreThoseOfDevices();
        noMoreRewardsThanNotified();
        outsidersGetNothing();
    }

    /// @dev Stakes, delegated stakes, rewards, credits and the treasury are what the contract holds; rounding leaves dust in it.
    function everythingHeldIsOwed() public view {
        uint256 owed = staking.treasury() + _credits();
        for (uint256 i; i < people.length; ++i) {
            IStakingManager.Staker memory s = staking.staker(people[i]);
            owed += uint256(s.staked) + s.unbonding + staking.pool(people[i]).total + staking.earned(people[i]);
        }
        for (uint8 role = 1; role < 4; ++role) {
            (, uint256 kept,) = staking.rewardState(IStakingManager.Role(role));
            owed += kept;
        }
        assertEq(token.balanceOf(address(staking)), staking.totalHeld());
        assertLe(owed, staking.totalHeld());
        assertApproxEqAbs(owed, staking.totalHeld(), 1e9);
    }

    function poolsAreTheirDelegators() public view {
        for (uint256 i; i < people.length; ++i) {
            IStakingManager.Pool memory p = staking.pool(people[i]);
            uint256 shares;
            uint256 unbonding;
            for (uint256 j; j < people.length; ++j) {
                IStakingManager.Delegation memory d = staking.delegation(people[j]);
                if (d.account != people[i]) continue;
                shares += uint256(d.shares) + d.unbondingShares;
                unbonding += d.unbondingShares;
            }
            assertEq(p.shares, shares);
            assertEq(p.unbondingShares, unbonding);
        }
    }

    function votesCountOnce() public view {
        assertFalse(votedTwice);
    }

    function noRoleWithoutMinimum() public view {
        for (uint256 i; i < people.length; ++i) {
            IStakingManager.Staker memory s = staking.staker(people[i]);
            if (!staking.hasRole(people[i], s.role)) continue;
            assertGe(s.staked, staking.minimumStake(s.role));
            IStakingManager.Pool memory p = staking.pool(people[i]);
            assertGe(uint256(s.staked) + p.total, s.locked);
        }
        (address[] memory operators,) = staking.kingSet(100);
        for (uint256 i; i < operators.length; ++i) {
            assertTrue(staking.hasRole(staking.accountOf(operators[i]), KING));
        }
        address[] memory queens = staking.queensBefore(type(uint64).max);
        for (uint256 i; i < queens.length; ++i) {
            assertTrue(staking.hasRole(queens[i], QUEEN));
        }
    }

    /// @dev The stake of devices in service and of removed ones that may still be at fault is there, or was slashed.
    function locksAreThoseOfDevices() public view {
        for (uint256 i; i < people.length; ++i) {
            uint256 locked;
            uint256 retiring;
            for (uint256 j; j < deviceIds.length; ++j) {
                IStakingManager.Device memory d = staking.device(deviceIds[j]);
                if (d.provider != people[i]) continue;
                if (d.removedAt == 0) locked += d.lockedStake;
                else retiring += d.lockedStake;
            }
            assertEq(staking.staker(people[i]).locked, locked);
            assertEq(staking.staker(people[i]).retiring, retiring);
        }
    }

    function noMoreRewardsThanNotified() public view {
        uint256 due;
        for (uint256 i; i < people.length; ++i) {
            due += staking.earned(people[i]);
        }
        assertLe(paid + due, notified);
    }

    function outsidersGetNothing() public view {
        assertFalse(thiefGotIn);
        assertEq(token.balanceOf(thief), 0);
    }

    /// @dev With time alone everybody gets everything out.
    function afterInvariant() external {
        for (uint256 i; i < deviceIds.length; ++i) {
            address provider_ = staking.device(deviceIds[i]).provider;
            if (staking.device(deviceIds[i]).removedAt != 0) continue;
            vm.prank(provider_);
            staking.removeDevice(deviceIds[i]);
        }
        for (uint256 i; i < people.length; ++i) {
            vm.startPrank(people[i]);
            uint256 staked = _staked(people[i]);
            if (staked != 0) staking.requestUnstake(staked);
            uint256 shares = staking.delegation(people[i]).shares;
            if (shares != 0) staking.undelegateStake(shares);
            vm.stopPrank();
        }
        vm.warp(block.timestamp + 10 days);
        for (uint256 i; i < people.length; ++i) {
            vm.startPrank(people[i]);
            if (staking.delegation(people[i]).account != address(0)) staking.withdrawDelegation();
            if (staking.staker(people[i]).unbonding != 0) staking.withdraw();
            if (staking.earned(people[i]) != 0) staking.claimRewards(people[i]);
            if (staking.credits(people[i]) != 0) staking.claimCredit(people[i]);
            vm.stopPrank();
        }
        if (staking.treasury() != 0) staking.withdrawTreasury(owner, staking.treasury());
        uint256 kept;
        for (uint8 role = 1; role < 4; ++role) {
            (, uint256 waiting,) = staking.rewardState(IStakingManager.Role(role));
            kept += waiting;
        }
        assertApproxEqAbs(token.balanceOf(address(staking)), kept, 1e9, "only rewards that nobody could earn are left");
    }
}
