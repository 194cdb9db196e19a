// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {IOutbox} from "../interfaces/IBridge.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {Wired} from "../libraries/Wired.sol";
import {GPUToken} from "./GPUToken.sol";
import {StakeVotes} from "./StakeVotes.sol";

/// @title Storage of StakingManager and what both halves of its code do with it
/// @dev Amounts are below 2^96 because the token's cap is, so sums and the 1e18-fold of a reward fit their types.
abstract contract StakingStore is StakeVotes, Ownable, Wired {
    /// @dev Accounts of one elected role, at most SEAT_LIMIT.
    struct Seats {
        address[] list;
        /// @dev Position in `list` plus one.
        mapping(address account => uint256) position;
        mapping(address account => uint64) since;
    }

    /// @dev What shares the next reward, and up to where earlier ones are settled.
    struct Earning {
        uint96 weight;
        /// @dev Providers: the reward round that `weight` belongs to.
        uint32 round;
        /// @dev Queens and Kings: reward per unit up to which this account is settled.
        uint128 index;
    }

    struct RewardPot {
        uint128 weight;
        uint128 kept;
        /// @dev Queens and Kings: reward per unit of weight so far, times SCALE.
        uint128 index;
        /// @dev Providers: rewards that were shared out.
        uint32 round;
    }

    uint256 internal constant SCALE = 1e18;
    /// @dev Least that a minimum, a class stake or a delegation may be: keeps dust out and rewards per unit in their type.
    uint256 internal constant AMOUNT_FLOOR = 1e18;
    uint256 internal constant BPS = 10_000;
    uint256 internal constant SEAT_LIMIT = 100;

    GPUToken public immutable token;
    address public inbox;
    IOutbox public outbox;
    uint64 public classicChainId;
    address public workVerification;
    uint64 public deviceCount;
    address public distributor;
    address public gpuRental;
    address public kingCourt;
    uint256 public totalHeld;
    uint256 public treasury;
    Parameters internal _parameters;

    mapping(address account => Staker) internal stakers;
    /// @dev The account that a hot key belongs to or last belonged to: what an old key signed can still be punished. An account
    ///      is always its own key and never entered here.
    mapping(address operator => address) internal operatorOwner;
    mapping(uint64 deviceId => Device) internal devices;
    mapping(uint32 classVersion => uint256) public requiredStake;
    mapping(address account => Pool) internal pools;
    mapping(address delegator => Delegation) internal delegations;

    mapping(address account => Earning) internal earnings;
    mapping(Role role => RewardPot) internal pots;
    /// @dev Providers: reward per unit of weight of a round, times SCALE.
    mapping(uint32 round => uint256) internal roundIndex;
    mapping(address account => uint256) internal rewards;
    mapping(address account => uint256) public credits;

    Seats internal queens;
    Seats internal kings;
    /// @notice Of the newest Queen set that was announced. Ethereum Classic was deployed with the first.
    uint64 public queenEpoch = 1;
    uint64 public queensAnnouncedAt;

    constructor(GPUToken token_) {
        if (address(token_) == address(0)) revert ZeroAddress();
        token = token_;
    }

    // ----------------------------------------------------------------------------------------- reading

    function staker(address account) external view returns (Staker memory) {
        return stakers[account];
    }

    function device(uint64 deviceId) external view returns (Device memory) {
        return _device(deviceId);
    }

    /// @inheritdoc IStakingManager
    function rentability(uint64 deviceId) external view returns (address provider, uint64 lastFullPass, bool eligible) {
        Device storage d = _device(deviceId);
        provider = d.provider;
        lastFullPass = d.lastFullPass;
        eligible = d.removedAt == 0 && d.lockedStake != 0 && hasRole(provider, Role.Provider);
    }

    /// @inheritdoc IStakingManager
    function queensBefore(uint64 time) external view returns (address[] memory accounts) {
        accounts = queens.list;
        uint256 kept;
        for (uint256 i; i < accounts.length; ++i) {
            address account = accounts[i];
            if (queens.since[account] < time && hasRole(account, Role.Queen)) accounts[kept++] = account;
        }
        assembly ("memory-safe") {
            mstore(accounts, kept)
        }
    }

    function minimumStake(Role role) public view returns (uint256) {
        if (role == Role.Provider) return _parameters.minimumProviderStake;
        if (role == Role.Queen) return _parameters.minimumQueenStake;
        if (role == Role.King) return _parameters.minimumKingStake;
        return 0;
    }

    /// @inheritdoc IStakingManager
    /// @dev A slash can leave less stake than devices lock; such an account holds no role until it is made up.
    function hasRole(address account, Role role) public view returns (bool) {
        Staker storage s = stakers[account];
        return role != Role.None && s.role == role && s.staked >= minimumStake(role) && _backing(account, s) >= s.locked;
    }

    /// @inheritdoc IStakingManager
    function accountOf(address key) public view returns (address) {
        if (stakers[key].role != Role.None) return key;
        address owner_ = operatorOwner[key];
        return stakers[owner_].operator == key ? owner_ : address(0);
    }

    function _device(uint64 deviceId) internal view returns (Device storage d) {
        d = devices[deviceId];
        if (d.provider == address(0)) revert UnknownDevice(deviceId);
    }

    /// @dev Delegated tokens that are not on their way out.
    function _activeIn(Pool storage p) internal view returns (uint256) {
        uint256 shares = p.shares;
        return shares == 0 ? 0 : (uint256(p.total) * (shares - p.unbondingShares)) / shares;
    }

    /// @dev Stake that stands behind `account`, its own and delegated.
    function _backing(address account, Staker storage s) internal view returns (uint256) {
        return s.staked + _activeIn(pools[account]);
    }

    // ----------------------------------------------------------------------------------------- rewards

    /// @dev Brings in what `account` has earned so far. Comes before every change of its stake, delegated stake or weight.
    function _settle(address account) internal {
        Staker storage s = stakers[account];
        Earning storage e = earnings[account];
        uint256 reward = _unsettled(s.role, e);
        if (s.role == Role.Provider) {
            uint32 round = pots[Role.Provider].round;
            if (e.round != round) (e.round, e.weight) = (round, 0);
        } else if (s.role != Role.None) {
            e.index = pots[s.role].index;
        }
        if (reward != 0) _share(account, s, reward);
        Pool storage p = pools[account];
        uint64 changesAt = p.commissionChangesAt;
        // Only after sharing: what was earned before the change bears the commission of then.
        if (changesAt != 0 && block.timestamp >= changesAt) (p.commissionBps, p.commissionChangesAt) = (p.nextCommissionBps, 0);
    }

    function _unsettled(Role role, Earning storage e) internal view returns (uint256) {
        if (e.weight == 0) return 0;
        if (role != Role.Provider) return (uint256(e.weight) * (pots[role].index - e.index)) / SCALE;
        if (e.round == pots[role].round) return 0;
        return (e.weight * roundIndex[e.round]) / SCALE;
    }

    /// @dev Splits a reward between the account's own stake and its delegators, who pay commission.
    function _split(address account, Staker storage s, uint256 reward) internal view returns (uint256 own, uint256 perShare) {
        Pool storage p = pools[account];
        uint256 active = _activeIn(p);
        if (active == 0) return (reward, 0);
        uint256 theirs = (reward * active) / (s.staked + active);
        theirs -= (theirs * p.commissionBps) / BPS;
        return (reward - theirs, (theirs * SCALE) / (p.shares - p.unbondingShares));
    }

    function _share(address account, Staker storage s, uint256 reward) private {
        (uint256 own, uint256 perShare) = _split(account, s, reward);
        rewards[account] += own;
        if (perShare != 0) pools[account].rewardIndex += perShare;
    }

    function _setWeight(Role role, address account, uint256 weight) internal {
        Earning storage e = earnings[account];
        uint256 before = e.weight;
        if (before == weight) return;
        RewardPot storage pot = pots[role];
        pot.weight = uint128(pot.weight + weight - before);
        e.weight = uint96(weight);
    }

    /// @dev Takes a device's class stake out of the running round.
    function _uncount(Device storage d, uint256 amount) internal {
        uint32 round = pots[Role.Provider].round;
        if (d.countedRound != round + 1) return;
        uint256 weight = earnings[d.provider].weight;
        _setWeight(Role.Provider, d.provider, weight > amount ? weight - amount : 0);
    }

    /// @dev The account must be settled.
    function _count(uint64 deviceId, Device storage d) internal {
        uint32 round = pots[Role.Provider].round;
        bool recent = d.lastFullPass != 0 && uint256(d.lastFullPass) + _parameters.passFreshness >= block.timestamp;
        if (!recent || d.removedAt != 0 || d.countedRound == round + 1 || !hasRole(d.provider, Role.Provider)) return;
        d.countedRound = round + 1;
        uint256 weight = d.lockedStake;
        _setWeight(Role.Provider, d.provider, earnings[d.provider].weight + weight);
        emit DeviceCounted(deviceId, round, weight);
    }

    // ------------------------------------------------------------------------------------------- seats

    /// @dev Seat and weight after a change of stake. The account must be settled.
    function _refresh(address account) internal {
        Staker storage s = stakers[account];
        Role role = s.role;
        if (role == Role.Provider) {
            if (earnings[account].weight != 0 && !hasRole(account, role)) _setWeight(role, account, 0);
        } else if (role != Role.None) {
            uint256 backing = _backing(account, s);
            bool seated = _seat(role, account, s.staked >= minimumStake(role), backing);
            _setWeight(role, account, seated ? backing : 0);
        }
    }

    function _seat(Role role, address account, bool qualified, uint256 backing) private returns (bool) {
        Seats storage seats = role == Role.King ? kings : queens;
        if (seats.position[account] != 0) {
            if (!qualified) _unseat(seats, role, account);
            return qualified;
        }
        if (!qualified) return false;
        if (seats.list.length == SEAT_LIMIT) {
            (address least, uint256 weight) = _least(seats);
            if (weight >= backing) return false;
            _settle(least);
            _setWeight(role, least, 0);
            _unseat(seats, role, least);
        }
        seats.list.push(account);
        seats.position[account] = seats.list.length;
        seats.since[account] = uint64(block.timestamp);
        emit SeatTaken(role, account);
        return true;
    }

    function _unseat(Seats storage seats, Role role, address account) private {
        uint256 position = seats.position[account];
        address last = seats.list[seats.list.length - 1];
        seats.list[position - 1] = last;
        seats.position[last] = position;
        seats.list.pop();
        delete seats.position[account];
        delete seats.since[account];
        emit SeatLost(role, account);
    }

    /// @dev The weight of who is seated is its backing.
    function _least(Seats storage seats) private view returns (address least, uint256 weight) {
        weight = type(uint256).max;
        for (uint256 i; i < SEAT_LIMIT; ++i) {
            address candidate = seats.list[i];
            uint256 candidateWeight = earnings[candidate].weight;
            if (candidateWeight < weight) (least, weight) = (candidate, candidateWeight);
        }
    }

    // ----------------------------------------------------------------------------------------- slashes

    /// @dev Takes up to `wanted` from an account's own stake and its delegators', in proportion. Of its own stake, what is on
    ///      its way out goes first: the rest still backs other devices. The account must be settled.
    function _take(address account, uint256 wanted) internal returns (uint256 taken) {
        Staker storage s = stakers[account];
        Pool storage p = pools[account];
        uint256 delegated = p.total;
        uint256 all = uint256(s.staked) + s.unbonding + delegated;
        taken = wanted < all ? wanted : all;
        if (taken == 0) return 0;
        uint256 theirs = (taken * delegated) / all;
        if (theirs != 0) {
            p.total = uint128(delegated - theirs);
            _recordPrice(account, p.total, p.shares);
        }
        uint256 own = taken - theirs;
        uint256 fromUnbonding = own < s.unbonding ? own : s.unbonding;
        uint256 staked = s.staked;
        s.unbonding -= uint128(fromUnbonding);
        s.staked = uint128(staked - (own - fromUnbonding));
        _moveVotes(account, staked, s.staked);
        _refresh(account);
    }

    /// @dev Divides what was taken; the shares are paid out by pull, the rest is burned. A share without a taker is burned too.
    function _divide(address account, uint256 taken, address renter, address reporter) internal {
        Parameters storage p = _parameters;
        uint256 toTreasury = (taken * p.treasuryBps) / BPS;
        uint256 toRenter = renter == address(0) ? 0 : (taken * p.renterBps) / BPS;
        uint256 toReporter = reporter == address(0) ? 0 : (taken * p.reporterBps) / BPS;
        treasury += toTreasury;
        if (toRenter != 0) credits[renter] += toRenter;
        if (toReporter != 0) credits[reporter] += toReporter;
        uint256 burned = taken - toTreasury - toRenter - toReporter;
        emit SlashDivided(account, burned, toTreasury, toRenter, toReporter);
        _burn(burned);
    }

    function _burn(uint256 amount) internal {
        if (amount == 0) return;
        totalHeld -= amount;
        token.burn(amount);
    }

    // ------------------------------------------------------------------------------------------ shared

    function _dispatch(uint8 kind, bytes memory fields) internal returns (uint32) {
        return outbox.dispatch(classicChainId, workVerification, MessageBody.encode(kind, fields));
    }

    function _setParameters(Parameters memory p) internal {
        uint256 floor = block.chainid == 1 ? 35 days : 1 minutes;
        bool times = p.unbondingPeriod >= floor && p.unbondingPeriod <= 90 days && p.passFreshness != 0
            && p.passFreshness <= 30 days && p.queenSetInterval >= 1 minutes && p.queenSetInterval <= 30 days;
        bool stakes = _isStake(p.minimumProviderStake) && _isStake(p.minimumQueenStake) && _isStake(p.minimumKingStake)
            && p.missingAnswerPenalty != 0 && p.missingAnswerPenalty < 1 << 96;
        bool limits = p.queenSetMinimum != 0 && p.queenSetMinimum <= SEAT_LIMIT && p.voteSlashCapBps <= 5000;
        uint256 kept = uint256(p.burnBps) + p.treasuryBps;
        // At least half is lost to whoever is slashed, even if it is the renter and the reporter itself.
        bool split = kept + p.renterBps + p.reporterBps == BPS && kept >= BPS / 2 && p.reporterBps <= BPS / 5;
        if (!times || !stakes || !limits || !split) revert InvalidParameters();
        _parameters = p;
        emit ParametersSet(p);
    }

    function _setClass(uint32 classVersion, uint256 required) internal {
        if (required != 0 && !_isStake(required)) revert InvalidClassStake(required);
        requiredStake[classVersion] = required;
        emit ClassSet(classVersion, required);
    }

    function _isStake(uint256 amount) private pure returns (bool) {
        return amount >= AMOUNT_FLOOR && amount < 1 << 96;
    }
}
