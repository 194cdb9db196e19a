// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IStakePools} from "../interfaces/IStakingManager.sol";
import {KIND_QUEEN_SET_ROTATED, QueenSetRotated} from "../types/Protocol.sol";
import {GPUToken} from "./GPUToken.sol";
import {StakingStore} from "./StakingStore.sol";

/// @title The other half of StakingManager: delegation, rewards, sets, slashes that are no device's, parameters
/// @dev Runs on StakingManager's storage. Called directly it owns nothing and knows nobody.
contract StakingPools is StakingStore, IStakePools {
    using SafeERC20 for GPUToken;

    uint16 private constant COMMISSION_LIMIT_BPS = 5000;
    /// @dev A pool of which a slash left less than this fraction takes no new stake: shares would outgrow their type.
    uint256 private constant RUIN = 1e9;

    constructor(GPUToken token_) StakingStore(token_) Ownable(msg.sender) {}

    // ------------------------------------------------------------------------------------------- votes

    /// @inheritdoc IStakePools
    function delegate(address delegatee) external {
        _delegateVotes(msg.sender, delegatee, stakers[msg.sender].staked);
    }

    // -------------------------------------------------------------------------------------- delegation

    /// @inheritdoc IStakePools
    function announceCommission(uint16 commissionBps) external {
        Role role = stakers[msg.sender].role;
        if (role != Role.Provider && role != Role.King) revert RoleMismatch(role, Role.Provider);
        if (commissionBps > COMMISSION_LIMIT_BPS) revert CommissionTooHigh(commissionBps, COMMISSION_LIMIT_BPS);
        _settle(msg.sender);
        Pool storage p = pools[msg.sender];
        uint64 changesAt;
        if (p.isOpen) {
            // Who does not agree can be out by then.
            changesAt = uint64(block.timestamp) + _parameters.unbondingPeriod;
            (p.nextCommissionBps, p.commissionChangesAt) = (commissionBps, changesAt);
        } else {
            (p.isOpen, p.commissionBps) = (true, commissionBps);
        }
        emit CommissionAnnounced(msg.sender, commissionBps, changesAt);
    }

    /// @inheritdoc IStakePools
    function delegateStake(address account, uint256 amount) external {
        Role role = stakers[account].role;
        Pool storage p = pools[account];
        Delegation storage d = delegations[msg.sender];
        if (account == msg.sender) revert SelfDelegation();
        if ((role != Role.Provider && role != Role.King) || !hasRole(account, role)) revert RoleMismatch(role, Role.Provider);
        (uint256 total, uint256 all) = (p.total, p.shares);
        if (!p.isOpen || total * RUIN < all) revert PoolClosed(account);
        if (amount < AMOUNT_FLOOR) revert BelowMinimum(amount, AMOUNT_FLOOR);
        if (d.account != address(0) && d.account != account) revert DelegatedElsewhere(d.account);

        d.account = account;
        _settleDelegation(msg.sender);
        uint256 shares = all == 0 ? amount : (amount * all) / total;
        p.total = uint128(total + amount);
        p.shares = uint128(all + shares);
        d.shares += uint128(shares);
        totalHeld += amount;
        if (all == 0) _recordPrice(account, amount, shares);
        _recordShares(msg.sender, account, d.shares);
        _refresh(account);
        emit StakeDelegated(msg.sender, account, amount, shares);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IStakePools
    function undelegateStake(uint256 shares) external {
        Delegation storage d = delegations[msg.sender];
        address account = d.account;
        if (shares == 0) revert ZeroAmount();
        if (shares > d.shares) revert InsufficientStake(d.shares, shares);
        _settleDelegation(msg.sender);
        d.shares -= uint128(shares);
        d.unbondingShares += uint128(shares);
        pools[account].unbondingShares += uint128(shares);
        uint64 unbondsAt = uint64(block.timestamp) + _parameters.unbondingPeriod;
        if (unbondsAt < stakers[account].retiresAt) unbondsAt = stakers[account].retiresAt;
        if (unbondsAt < d.unbondsAt) unbondsAt = d.unbondsAt;
        d.unbondsAt = unbondsAt;
        _recordShares(msg.sender, account, d.shares);
        _refresh(account);
        emit UndelegationRequested(msg.sender, account, shares, unbondsAt);
    }

    /// @inheritdoc IStakePools
    function withdrawDelegation() external returns (uint256 amount) {
        Delegation storage d = delegations[msg.sender];
        address account = d.account;
        uint256 shares = d.unbondingShares;
        if (shares == 0) revert ZeroAmount();
        if (block.timestamp < d.unbondsAt) revert StillUnbonding(d.unbondsAt);
        _settleDelegation(msg.sender);
        Pool storage p = pools[account];
        amount = (shares * p.total) / p.shares;
        p.total -= uint128(amount);
        p.shares -= uint128(shares);
        p.unbondingShares -= uint128(shares);
        if (d.shares == 0) delete delegations[msg.sender];
        else d.unbondingShares = 0;
        totalHeld -= amount;
        // Rounding leaves at most a wei with those who stay.
        _refresh(account);
        emit DelegationWithdrawn(msg.sender, account, amount);
        token.safeTransfer(msg.sender, amount);
    }

    function _settleDelegation(address delegator) private {
        Delegation storage d = delegations[delegator];
        _settle(d.account);
        uint256 index = pools[d.account].rewardIndex;
        uint256 reward = (d.shares * (index - d.rewardIndex)) / SCALE;
        d.rewardIndex = index;
        if (reward != 0) rewards[delegator] += reward;
    }

    // ----------------------------------------------------------------------------------------- rewards

    /// @inheritdoc IStakePools
    function notifyReward(Role role, uint256 amount) external {
        if (msg.sender != distributor) revert NotDistributor(msg.sender);
        if (role == Role.None) revert InvalidRole();
        uint256 needed = totalHeld + amount;
        uint256 balance = token.balanceOf(address(this));
        if (balance < needed) revert RewardNotReceived(balance, needed);
        totalHeld = needed;
        RewardPot storage pot = pots[role];
        uint256 weight = pot.weight;
        uint256 sum = pot.kept + amount;
        // What nobody can earn waits for the next notice, what does not divide too.
        uint256 perUnit = weight < AMOUNT_FLOOR ? 0 : (sum * SCALE) / weight;
        // Rounded up, because an account that settles several notices at once is rounded down once.
        uint256 kept = sum - (perUnit * weight + SCALE - 1) / SCALE;
        pot.kept = uint128(kept);
        if (perUnit != 0) {
            if (role == Role.Provider) {
                roundIndex[pot.round] = perUnit;
                pot.round += 1;
                pot.weight = 0;
            } else {
                pot.index += uint128(perUnit);
            }
        }
        emit RewardNotified(role, amount, weight, kept);
    }

    /// @inheritdoc IStakePools
    function countDevice(uint64 deviceId) external {
        _settle(_device(deviceId).provider);
        _count(deviceId, devices[deviceId]);
    }

    /// @inheritdoc IStakePools
    function refresh(address account) external {
        _settle(account);
        _refresh(account);
    }

    /// @inheritdoc IStakePools
    function claimRewards(address to) external returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        _settle(msg.sender);
        if (delegations[msg.sender].account != address(0)) _settleDelegation(msg.sender);
        amount = rewards[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        rewards[msg.sender] = 0;
        totalHeld -= amount;
        emit RewardsClaimed(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    /// @inheritdoc IStakePools
    function claimCredit(address to) external returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        amount = credits[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        credits[msg.sender] = 0;
        totalHeld -= amount;
        emit CreditClaimed(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    // ------------------------------------------------------------------------------------------- court

    /// @inheritdoc IStakePools
    function slashKing(address king, uint8 reason, address reporter) external {
        if (msg.sender != kingCourt) revert NotKingCourt(msg.sender);
        // A key that signed as a hot key may have staked itself since: both answer for it.
        address holder = operatorOwner[king];
        bool isKing = stakers[king].role == Role.King;
        bool holderIsKing = holder != address(0) && stakers[holder].role == Role.King;
        if (!isKing && !holderIsKing) revert UnknownKing(king);
        if (isKing) _slashAll(king, reason, reporter);
        if (holderIsKing) _slashAll(holder, reason, reporter);
    }

    function _slashAll(address account, uint8 reason, address reporter) private {
        _settle(account);
        uint256 taken = _take(account, type(uint256).max);
        emit Slashed(account, 0, taken, reason, reporter, address(0));
        _divide(account, taken, address(0), reporter);
    }

    /// @inheritdoc IStakePools
    function slashByVote(address account, uint256 amount, bytes32 evidence) external onlyOwner {
        if (evidence == 0) revert EvidenceMissing();
        if (amount == 0) revert ZeroAmount();
        Staker storage s = stakers[account];
        uint256 stake = uint256(s.staked) + s.unbonding + pools[account].total;
        uint256 cap = (stake * _parameters.voteSlashCapBps) / BPS;
        if (amount > cap) revert SlashAboveCap(amount, cap);
        _settle(account);
        _take(account, amount);
        emit SlashedByVote(account, amount, evidence);
        _burn(amount);
    }

    // -------------------------------------------------------------------------------------------- sets

    /// @inheritdoc IStakePools
    function announceQueens() external returns (uint64 epoch) {
        uint64 earliest = queensAnnouncedAt + _parameters.queenSetInterval;
        if (queensAnnouncedAt != 0 && block.timestamp < earliest) revert TooEarly(earliest);
        (address[] memory operators,) = _standing(queens.list, Role.Queen);
        uint256 minimum = _parameters.queenSetMinimum;
        if (operators.length < minimum) revert TooFewQueens(operators.length, minimum);
        queensAnnouncedAt = uint64(block.timestamp);
        epoch = ++queenEpoch;
        uint32 index = _dispatch(KIND_QUEEN_SET_ROTATED, abi.encode(QueenSetRotated(epoch, operators)));
        emit QueensAnnounced(epoch, operators.length, index);
    }

    /// @inheritdoc IStakePools
    function kingSet(uint256 limit) public view returns (address[] memory operators, uint256[] memory stakes) {
        (operators, stakes) = _standing(kings.list, Role.King);
        uint256 length = operators.length;
        if (limit > length) limit = length;
        // Selection by rank; ties by ascending operator.
        for (uint256 rank; rank < limit; ++rank) {
            uint256 best = rank;
            for (uint256 i = rank + 1; i < length; ++i) {
                if (stakes[i] > stakes[best] || (stakes[i] == stakes[best] && operators[i] < operators[best])) best = i;
            }
            (operators[rank], operators[best]) = (operators[best], operators[rank]);
            (stakes[rank], stakes[best]) = (stakes[best], stakes[rank]);
        }
        assembly ("memory-safe") {
            mstore(operators, limit)
            mstore(stakes, limit)
        }
    }

    /// @inheritdoc IStakePools
    function kingMembers(uint256 limit) public view returns (bytes32[] memory members) {
        (address[] memory operators, uint256[] memory stakes) = kingSet(limit);
        members = new bytes32[](operators.length);
        for (uint256 i; i < members.length; ++i) {
            bytes32 member = bytes32((uint256(uint160(operators[i])) << 96) | stakes[i]);
            uint256 j = i;
            for (; j != 0 && members[j - 1] > member; --j) {
                members[j] = members[j - 1];
            }
            members[j] = member;
        }
    }

    /// @inheritdoc IStakePools
    function kingSetHash(uint256 limit) external view returns (bytes32) {
        return keccak256(abi.encodePacked(kingMembers(limit)));
    }

    /// @dev Hot keys and stakes of those on the list that hold the role now. A hot key that has staked itself since is its own.
    function _standing(address[] memory accounts, Role role)
        private
        view
        returns (address[] memory operators, uint256[] memory stakes)
    {
        operators = accounts;
        stakes = new uint256[](accounts.length);
        uint256 kept;
        for (uint256 i; i < accounts.length; ++i) {
            address account = accounts[i];
            Staker storage s = stakers[account];
            if (!hasRole(account, role) || accountOf(s.operator) != account) continue;
            operators[kept] = s.operator;
            stakes[kept++] = _backing(account, s);
        }
        assembly ("memory-safe") {
            mstore(operators, kept)
            mstore(stakes, kept)
        }
    }

    // ------------------------------------------------------------------------------------------- owner

    /// @inheritdoc IStakePools
    function setParameters(Parameters calldata parameters_) external onlyOwner {
        _setParameters(parameters_);
    }

    /// @inheritdoc IStakePools
    function setClass(uint32 classVersion, uint128 required) external onlyOwner {
        _setClass(classVersion, required);
    }

    /// @inheritdoc IStakePools
    function setKingCourt(address court) external onlyOwner {
        if (kingCourt != address(0)) revert KingCourtAlreadySet(kingCourt);
        if (court == address(0)) revert ZeroAddress();
        kingCourt = court;
        emit KingCourtSet(court);
    }

    /// @inheritdoc IStakePools
    function withdrawTreasury(address to, uint256 amount) external onlyOwner {
        if (to == address(0)) revert ZeroAddress();
        if (amount > treasury) revert InsufficientTreasury(treasury, amount);
        treasury -= amount;
        totalHeld -= amount;
        emit TreasuryWithdrawn(to, amount);
        token.safeTransfer(to, amount);
    }

    // ------------------------------------------------------------------------------------------- views

    function parameters() external view returns (Parameters memory) {
        return _parameters;
    }

    function pool(address account) external view returns (Pool memory) {
        return pools[account];
    }

    function delegation(address delegator) external view returns (Delegation memory) {
        return delegations[delegator];
    }

    /// @inheritdoc IStakePools
    function earned(address account) external view returns (uint256 amount) {
        (uint256 own,) = _pending(account);
        amount = rewards[account] + own;
        Delegation storage d = delegations[account];
        (, uint256 perShare) = _pending(d.account);
        amount += (d.shares * (pools[d.account].rewardIndex + perShare - d.rewardIndex)) / SCALE;
    }

    function _pending(address account) private view returns (uint256 own, uint256 perShare) {
        Staker storage s = stakers[account];
        uint256 reward = _unsettled(s.role, earnings[account]);
        if (reward != 0) (own, perShare) = _split(account, s, reward);
    }

    /// @inheritdoc IStakePools
    function rewardState(Role role) external view returns (uint256 weight, uint256 kept, uint32 round) {
        RewardPot storage pot = pots[role];
        return (pot.weight, pot.kept, pot.round);
    }
}
