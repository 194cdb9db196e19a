// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental, IRental} from "../interfaces/IGPURental.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {IRewardPool, ITokenDistributor} from "../interfaces/ITokenDistributor.sol";
import {EmissionMath} from "../libraries/EmissionMath.sol";
import {TokenVesting} from "./TokenVesting.sol";

/// @title What is minted after genesis: for stakes as time passes, for rentals as their fees arrive
/// @dev Settling is apart from renting: nobody's rental waits for its reward, and no reward makes a rental dearer. A rental's rewards
///      are a part of the fee that it has irrevocably paid, so a set of accounts that rents from itself loses at least the rest of it.
abstract contract TokenEmission is TokenVesting {
    struct Spending {
        uint64 epoch;
        uint128 amount;
    }

    uint16 private constant DECAY_MINIMUM = 5000;
    uint16 private constant DECAY_MAXIMUM = 9990;
    /// @dev Of a protocol fee; all that a rental may earn anybody.
    uint256 private constant REWARD_LIMIT_BPS = 8000;
    uint256 private constant TIER_LIMIT = 4;
    uint64 private constant START_LIMIT = 365 days;
    uint256 private constant BPS = 10_000;

    address public gpuRental;
    address public stakingManager;
    uint128 private immutable initialPerEpoch;
    uint16 private immutable decayBps;

    uint64 private emissionStart;
    RewardParameters private _parameters;
    LoyaltyTier[] private tiers;
    /// @inheritdoc ITokenDistributor
    mapping(uint32 classVersion => uint256) public classReward;
    /// @inheritdoc ITokenDistributor
    uint256 public feesReceived;
    /// @dev Both within the cap, which has fewer bits.
    uint128 private _rentalRewards;
    uint128 private _emitted;
    /// @dev Of the schedule; up to here staking rewards have accrued.
    uint256 private accruedUntil;
    mapping(IStakingManager.Role role => uint256) private stakingDue;
    /// @dev Of the epoch's budget for rentals.
    Spending private spending;
    mapping(address renter => Spending) private loyaltyFees;
    mapping(uint256 word => uint256) private settledBits;
    /// @inheritdoc ITokenDistributor
    mapping(address account => uint256) public credit;

    constructor(Emission memory emission_) {
        if (emission_.decayBps < DECAY_MINIMUM || emission_.decayBps > DECAY_MAXIMUM) {
            revert InvalidDecay(emission_.decayBps, DECAY_MINIMUM, DECAY_MAXIMUM);
        }
        uint256 all = EmissionMath.total(emission_.initialPerEpoch, emission_.decayBps);
        uint256 cap = token.cap();
        uint256 left = cap > genesisTotal ? cap - genesisTotal : 0;
        if (all > left) revert EmissionExceedsCap(all, left);
        initialPerEpoch = emission_.initialPerEpoch;
        decayBps = emission_.decayBps;
    }

    // --------------------------------------------------------------------------------------------- owner

    /// @inheritdoc ITokenDistributor
    function startEmission(uint64 start) external onlyOwner {
        uint64 current = emissionStart;
        if (current != 0 && block.timestamp >= current) revert EmissionRunning(current);
        uint64 earliest = uint64(block.timestamp);
        if (start == 0) start = earliest;
        if (start < earliest || start > earliest + START_LIMIT) revert InvalidStart(start, earliest, earliest + START_LIMIT);
        emissionStart = start;
        emit EmissionStartSet(start);
    }

    /// @inheritdoc ITokenDistributor
    function setRewardParameters(RewardParameters calldata parameters, LoyaltyTier[] calldata tiers_) external onlyOwner {
        _setRewardParameters(parameters, tiers_);
    }

    /// @inheritdoc ITokenDistributor
    function setClassReward(uint32 classVersion, uint128 perHour) external onlyOwner {
        classReward[classVersion] = perHour;
        emit ClassRewardSet(classVersion, perHour);
    }

    // ------------------------------------------------------------------------------------------- rewards

    /// @inheritdoc ITokenDistributor
    function distributeStaking() external returns (uint256 amount) {
        _accrue();
        uint256[4] memory due;
        for (uint256 i = 1; i < 4; ++i) {
            IStakingManager.Role role = IStakingManager.Role(i);
            due[i] = stakingDue[role];
            amount += due[i];
            stakingDue[role] = 0;
            if (due[i] != 0) emit StakingRewarded(role, due[i]);
        }
        if (amount == 0) revert NothingToDistribute();
        token.mint(stakingManager, amount);
        for (uint256 i = 1; i < 4; ++i) {
            if (due[i] != 0) IRewardPool(stakingManager).notifyReward(IStakingManager.Role(i), due[i]);
        }
    }

    /// @inheritdoc ITokenDistributor
    function settleRental(uint64 rentalId) external returns (uint256 reward, uint256 loyalty) {
        IGPURental.Rental memory r = IRental(gpuRental).rental(rentalId);
        if (r.state == IGPURental.State.Requested || r.state == IGPURental.State.Active) revert RentalNotClosed(rentalId);
        if (settled(rentalId)) revert RentalAlreadySettled(rentalId);
        uint64 epoch = _currentEpoch();
        // As GPURental computes it where the fee is that of what was paid; where it is not, nothing was paid.
        uint256 fee = (uint256(r.paid) * r.protocolFeeBps) / BPS;
        if (fee == 0) revert NoFeePaid(rentalId);
        bool atFault = IRental(gpuRental).details(rentalId).fault != IGPURental.Fault.None;
        if (!atFault) reward = _providerReward(r, fee);
        loyalty = _addLoyalty(r.renter, epoch, fee);
        (reward, loyalty) = _spend(epoch, reward, loyalty);
        settledBits[rentalId >> 8] |= 1 << (rentalId & 255);
        credit[r.provider] += reward;
        credit[r.renter] += loyalty;
        emit RentalRewarded(rentalId, r.provider, r.renter, fee, reward, loyalty);
    }

    /// @inheritdoc ITokenDistributor
    function claim(address to) external returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        amount = credit[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        credit[msg.sender] = 0;
        emit Claimed(msg.sender, to, amount);
        token.mint(to, amount);
    }

    // --------------------------------------------------------------------------------------------- views

    /// @inheritdoc ITokenDistributor
    function emission() external view returns (uint128 initial, uint16 decay, uint64 start) {
        return (initialPerEpoch, decayBps, emissionStart);
    }

    /// @inheritdoc ITokenDistributor
    function budgetOf(uint256 epoch) public view returns (uint256 budget, uint256 forRentals) {
        budget = EmissionMath.budget(initialPerEpoch, decayBps, epoch);
        forRentals = (budget * _parameters.rentalBps) / BPS;
    }

    /// @inheritdoc ITokenDistributor
    function rewardParameters() external view returns (RewardParameters memory parameters, LoyaltyTier[] memory loyalty) {
        return (_parameters, tiers);
    }

    /// @inheritdoc ITokenDistributor
    function rentalRewards() external view returns (uint256) {
        return _rentalRewards;
    }

    /// @inheritdoc ITokenDistributor
    function emitted() external view returns (uint256) {
        return _emitted;
    }

    /// @inheritdoc ITokenDistributor
    function settled(uint64 rentalId) public view returns (bool) {
        return (settledBits[rentalId >> 8] >> (rentalId & 255)) & 1 == 1;
    }

    /// @inheritdoc ITokenDistributor
    function loyaltyOf(address renter) external view returns (uint256) {
        Spending memory s = loyaltyFees[renter];
        return emissionStart != 0 && block.timestamp >= emissionStart && s.epoch == _currentEpoch() ? s.amount : 0;
    }

    // ------------------------------------------------------------------------------------------ internal

    function _setRewardParameters(RewardParameters memory parameters, LoyaltyTier[] memory tiers_) internal {
        uint256 shares = uint256(parameters.providerStakingBps) + parameters.queenStakingBps + parameters.kingStakingBps
            + parameters.rentalBps;
        if (shares > BPS) revert SharesExceeded(shares, BPS);
        if (tiers_.length > TIER_LIMIT) revert InvalidTier(TIER_LIMIT);
        for (uint256 i = 1; i < tiers_.length; ++i) {
            bool ascends = tiers_[i].fees > tiers_[i - 1].fees && tiers_[i].rewardBps >= tiers_[i - 1].rewardBps;
            if (!ascends) revert InvalidTier(i);
        }
        uint256 highest = tiers_.length == 0 ? 0 : tiers_[tiers_.length - 1].rewardBps;
        uint256 returned = parameters.providerFeeBps + highest;
        if (returned > REWARD_LIMIT_BPS) revert SharesExceeded(returned, REWARD_LIMIT_BPS);
        _accrue();
        _parameters = parameters;
        delete tiers;
        for (uint256 i; i < tiers_.length; ++i) {
            tiers.push(tiers_[i]);
        }
        emit RewardParametersSet(parameters, tiers_);
    }

    function _currentEpoch() private view returns (uint64) {
        uint64 start = emissionStart;
        if (start == 0 || block.timestamp < start) revert EmissionNotStarted(start);
        return uint64((block.timestamp - start) / EmissionMath.EPOCH);
    }

    /// @dev What the schedule leaves for the rest of the epoch. Shares that change within an epoch can't add up to more.
    function _room() private view returns (uint256) {
        uint256 whole = (uint256(_currentEpoch()) + 1) * EmissionMath.EPOCH;
        uint256 limit = EmissionMath.scheduled(initialPerEpoch, decayBps, whole);
        return limit > _emitted ? limit - _emitted : 0;
    }

    /// @dev Splits what the schedule added since the last time, so that a change of shares does not reach back.
    function _accrue() private {
        uint64 start = emissionStart;
        if (start == 0 || block.timestamp <= start) return;
        uint256 until = EmissionMath.scheduled(initialPerEpoch, decayBps, block.timestamp - start);
        if (until <= accruedUntil) return;
        uint256 added = until - accruedUntil;
        accruedUntil = until;
        uint256 room = _room();
        RewardParameters memory p = _parameters;
        uint16[3] memory shares = [p.providerStakingBps, p.queenStakingBps, p.kingStakingBps];
        for (uint256 i; i < 3; ++i) {
            uint256 amount = (added * shares[i]) / BPS;
            if (amount > room) amount = room;
            if (amount == 0) continue;
            room -= amount;
            _emitted += uint128(amount);
            stakingDue[IStakingManager.Role(i + 1)] += amount;
        }
    }

    function _providerReward(IGPURental.Rental memory r, uint256 fee) private view returns (uint256 reward) {
        uint32 classVersion = IRental(gpuRental).offer(r.offerId).classVersion;
        reward = (classReward[classVersion] * r.verifiedSeconds) / 1 hours;
        uint256 most = (fee * _parameters.providerFeeBps) / BPS;
        if (reward > most) reward = most;
    }

    /// @dev By brackets, so that neither the order nor the number of a renter's rentals changes what they earn together.
    function _addLoyalty(address renter, uint64 epoch, uint256 fee) private returns (uint256 loyalty) {
        Spending storage s = loyaltyFees[renter];
        uint256 from = s.epoch == epoch ? s.amount : 0;
        uint256 until = from + fee;
        s.epoch = epoch;
        s.amount = uint128(until);
        uint256 count = tiers.length;
        for (uint256 i; i < count; ++i) {
            uint256 low = tiers[i].fees < from ? from : tiers[i].fees;
            uint256 high = i + 1 < count && tiers[i + 1].fees < until ? tiers[i + 1].fees : until;
            if (high > low) loyalty += (high - low) * tiers[i].rewardBps;
        }
        loyalty /= BPS;
    }

    /// @dev All or nothing: whoever settles somebody else's rental can't make it earn less than waiting would.
    function _spend(uint64 epoch, uint256 reward, uint256 loyalty) private returns (uint256, uint256) {
        (, uint256 budget) = budgetOf(epoch);
        uint256 needed = reward + loyalty;
        if (needed > budget) {
            // More than any epoch from now on has: waiting would not help.
            reward = (reward * budget) / needed;
            loyalty = (loyalty * budget) / needed;
            needed = reward + loyalty;
        }
        uint256 spent = spending.epoch == epoch ? spending.amount : 0;
        uint256 left = budget > spent ? budget - spent : 0;
        uint256 room = _room();
        if (room < left) left = room;
        if (needed > left) revert BudgetExhausted(epoch, left, needed);
        uint256 allowed = (feesReceived * REWARD_LIMIT_BPS) / BPS;
        if (_rentalRewards + needed > allowed) revert FeesOutstanding(_rentalRewards + needed, allowed);
        spending = Spending(epoch, uint128(spent + needed));
        _rentalRewards += uint128(needed);
        _emitted += uint128(needed);
        return (reward, loyalty);
    }
}
