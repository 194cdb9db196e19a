// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title What StakingManager keeps, says and refuses. docs/staking.md explains it.
/// @dev What can be called is in IStakes and IStakePools, one for each half of the code; IStaking is all of it.
interface IStakingManager {
    enum Role {
        None,
        Provider,
        Queen,
        King
    }

    struct Parameters {
        uint128 minimumProviderStake;
        uint128 minimumQueenStake;
        uint128 minimumKingStake;
        /// @dev What the fault "missing answer" costs, at most the device's class stake.
        uint128 missingAnswerPenalty;
        /// @dev Seconds from a request to a withdrawal, and from a device's removal to the release of its class stake.
        uint64 unbondingPeriod;
        /// @dev A device earns in a reward round if a full pass at most this old is known.
        uint64 passFreshness;
        /// @dev Seconds between two announcements of the Queen set.
        uint64 queenSetInterval;
        /// @dev No Queen set smaller than this is announced.
        uint16 queenSetMinimum;
        /// @dev Most that one vote may slash of an account's stake.
        uint16 voteSlashCapBps;
        /// @dev Where a slash goes; the four sum to 10,000.
        uint16 burnBps;
        uint16 treasuryBps;
        uint16 renterBps;
        uint16 reporterBps;
    }

    struct ClassStake {
        uint32 classVersion;
        uint128 requiredStake;
    }

    struct Staker {
        Role role;
        /// @dev Hot key that signs for this account on Ethereum and on the network.
        address operator;
        /// @dev sha2-256 or identity multihash of the libp2p key, hashed with keccak256.
        bytes32 peerIdHash;
        uint128 staked;
        /// @dev Class stake of devices in service.
        uint128 locked;
        uint128 unbonding;
        /// @dev Class stake of removed devices that a fault may still arrive for.
        uint128 retiring;
        uint64 unbondsAt;
        /// @dev When the last of the removed devices is released.
        uint64 retiresAt;
    }

    struct Device {
        address provider;
        address worker;
        uint32 classVersion;
        uint64 registeredAt;
        uint64 removedAt;
        uint64 lastFullPass;
        uint32 reputationPpm;
        uint32 performancePermille;
        uint32 faults;
        /// @dev Reward round, plus one, in which the class stake last counted.
        uint32 countedRound;
        uint64 settledIndex;
        uint128 lockedStake;
        /// @dev Zero until it is removed; from then on its class stake may be released.
        uint64 releasesAt;
    }

    /// @notice Stake that others delegated to one account. A share is worth `total / shares`; only slashes lower that.
    struct Pool {
        uint128 total;
        uint128 shares;
        /// @dev The part of `shares` that is on its way out: it earns and votes nothing and is slashed like the rest.
        uint128 unbondingShares;
        uint16 commissionBps;
        uint16 nextCommissionBps;
        /// @dev When `nextCommissionBps` takes effect, with the first settlement after it; zero if nothing is announced.
        uint64 commissionChangesAt;
        bool isOpen;
        /// @dev Rewards per share that is not unbonding, times 1e18.
        uint256 rewardIndex;
    }

    struct Delegation {
        address account;
        uint64 unbondsAt;
        uint128 shares;
        uint128 unbondingShares;
        uint256 rewardIndex;
    }

    event Staked(address indexed account, Role indexed role, uint256 amount, uint256 total);
    event OperatorSet(address indexed account, address indexed operator, bytes32 peerIdHash);
    event UnstakeRequested(address indexed account, uint256 amount, uint64 unbondsAt);
    event Withdrawn(address indexed account, uint256 amount);
    event DeviceAdded(
        uint64 indexed deviceId, address indexed provider, address worker, uint32 classVersion, uint32 messageIndex
    );
    event DeviceRetired(uint64 indexed deviceId, uint64 removedAt, uint32 messageIndex);
    event DeviceReleased(uint64 indexed deviceId, uint256 amount);
    event WorkerChanged(uint64 indexed deviceId, address indexed worker, uint32 messageIndex);
    event DeviceReportApplied(
        uint64 indexed deviceId, uint64 lastFullPass, uint32 reputationPpm, uint32 performancePermille, uint32 faults
    );
    /// @dev deviceId is zero where no device is at fault.
    event Slashed(
        address indexed account, uint64 indexed deviceId, uint256 amount, uint8 reason, address reporter, address renter
    );
    event SlashedByVote(address indexed account, uint256 amount, bytes32 indexed evidence);
    event SlashDivided(address indexed account, uint256 burned, uint256 toTreasury, uint256 toRenter, uint256 toReporter);
    event CreditClaimed(address indexed account, address indexed to, uint256 amount);
    event TreasuryWithdrawn(address indexed to, uint256 amount);
    event SeatTaken(Role indexed role, address indexed account);
    event SeatLost(Role indexed role, address indexed account);
    event QueensAnnounced(uint64 indexed epoch, uint256 count, uint32 messageIndex);
    event CommissionAnnounced(address indexed account, uint16 commissionBps, uint64 changesAt);
    event StakeDelegated(address indexed delegator, address indexed account, uint256 amount, uint256 shares);
    event UndelegationRequested(address indexed delegator, address indexed account, uint256 shares, uint64 unbondsAt);
    event DelegationWithdrawn(address indexed delegator, address indexed account, uint256 amount);
    /// @dev `kept` is what nobody could earn; it is added to the next notice of the role.
    event RewardNotified(Role indexed role, uint256 amount, uint256 weight, uint256 kept);
    event DeviceCounted(uint64 indexed deviceId, uint32 indexed round, uint256 weight);
    event RewardsClaimed(address indexed account, address indexed to, uint256 amount);
    event ClassSet(uint32 indexed classVersion, uint256 requiredStake);
    event ParametersSet(Parameters parameters);
    event KingCourtSet(address kingCourt);
    /// @dev As ERC-5805 has them; only own stake is among these votes, delegated stake votes by `getPastVotes`.
    event DelegateChanged(address indexed delegator, address indexed fromDelegate, address indexed toDelegate);
    event DelegateVotesChanged(address indexed delegate, uint256 previousVotes, uint256 newVotes);

    error InvalidRole();
    error RoleMismatch(Role current, Role requested);
    error BelowMinimum(uint256 total, uint256 minimum);
    error ZeroAmount();
    error ZeroAddress();
    error PeerIdMissing();
    error OperatorTaken(address operator);
    error InsufficientStake(uint256 available, uint256 needed);
    error StillUnbonding(uint64 unbondsAt);
    error UnknownClass(uint32 classVersion);
    error UnknownDevice(uint64 deviceId);
    error DeviceAlreadyRemoved(uint64 deviceId);
    error DeviceInService(uint64 deviceId);
    error DeviceRented(uint64 deviceId, uint64 rentalId);
    error NotDeviceOwner(address caller, address provider);
    error UnknownFault(uint8 reason);
    error UnknownStaker(address account);
    error UnknownKing(address king);
    error NotKingCourt(address caller);
    error KingCourtAlreadySet(address kingCourt);
    error NotDistributor(address caller);
    error RewardNotReceived(uint256 balance, uint256 needed);
    error NothingToClaim(address account);
    error SlashAboveCap(uint256 amount, uint256 cap);
    error EvidenceMissing();
    error InsufficientTreasury(uint256 available, uint256 needed);
    error TooEarly(uint64 earliest);
    error TooFewQueens(uint256 count, uint256 minimum);
    error CommissionTooHigh(uint16 commissionBps, uint16 limit);
    error PoolClosed(address account);
    error SelfDelegation();
    error DelegatedElsewhere(address account);
    error NotDelegated(address delegator);
    error InvalidParameters();
    error InvalidClassStake(uint256 requiredStake);
    error NoCode(address account);
    error FutureLookup(uint256 timepoint, uint48 clock);

    function staker(address account) external view returns (Staker memory);
    /// @return the account whose operator (or owner) `key` is, zero if none.
    function accountOf(address key) external view returns (address);
    function device(uint64 deviceId) external view returns (Device memory);
    /// @return provider the device's account.
    /// @return lastFullPass as in `device`.
    /// @return eligible registered, backed by its class stake, and its provider holds the role.
    function rentability(uint64 deviceId) external view returns (address provider, uint64 lastFullPass, bool eligible);
    function deviceCount() external view returns (uint64);
    function requiredStake(uint32 classVersion) external view returns (uint256);
    function minimumStake(Role role) external view returns (uint256);
    /// @notice Whether `account` holds at least the minimum stake of `role`, and all that its devices lock.
    function hasRole(address account, Role role) external view returns (bool);
    /// @notice Accounts that have held a Queen's seat without a break since before `time`.
    function queensBefore(uint64 time) external view returns (address[] memory accounts);
    /// @notice Everything that stakers, delegators, the treasury and the rewarded are owed; the token balance covers it.
    function totalHeld() external view returns (uint256);
    /// @notice The treasury's shares of slashes; the owner withdraws them.
    function treasury() external view returns (uint256);
    /// @notice Shares of slashes that `account` may claim.
    function credits(address account) external view returns (uint256);
}

/// @title Own stakes and devices
interface IStakes is IStakingManager {
    /// @notice Stakes for `role`; names the hot key and the libp2p key, which later calls may change.
    function stake(Role role, uint256 amount, address operator, bytes32 peerIdHash) external;
    function stakeWithPermit(
        Role role,
        uint256 amount,
        address operator,
        bytes32 peerIdHash,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    /// @notice Adds to the caller's stake, without naming anything again.
    function addStake(uint256 amount) external;
    /// @notice Changes the caller's hot key and libp2p key. The old hot key stays answerable for what it signed.
    function setOperator(address operator, bytes32 peerIdHash) external;
    function requestUnstake(uint256 amount) external;
    function withdraw() external;
    /// @notice Called by the provider's owner or operator.
    function registerDevice(uint32 classVersion, address worker) external returns (uint64 deviceId);
    /// @notice Takes a device that is not rented out of service. Its class stake backs no other device until `releaseDevice`.
    function removeDevice(uint64 deviceId) external;
    /// @notice Frees the class stake of a removed device when no fault of it can arrive any more; anybody may call it.
    function releaseDevice(uint64 deviceId) external;
    /// @notice Changes the key that proves the device on Ethereum Classic, for challenges from now on.
    function changeWorker(uint64 deviceId, address worker) external;

    /// @notice Votes at a past second: own stake that was delegated to `account`, and stake that it delegated to a pool itself.
    function getPastVotes(address account, uint256 timepoint) external view returns (uint256);
    function getVotes(address account) external view returns (uint256);
    /// @notice Who votes with the own stake of `account`; nobody until it says so, as with the token.
    function delegates(address account) external view returns (address);
}

/// @title Delegated stake, rewards, slashes that are no device's, sets, and what the owner decides
interface IStakePools is IStakingManager {
    /// @notice Gives the votes of the caller's own stake to `delegatee`; zero gives them to nobody.
    function delegate(address delegatee) external;

    /// @notice Opens the caller's account to delegation, or announces another commission, an unbonding period ahead.
    function announceCommission(uint16 commissionBps) external;
    /// @notice Delegates stake to a Provider or King. An address delegates to one account at a time.
    function delegateStake(address account, uint256 amount) external;
    function undelegateStake(uint256 shares) external;
    function withdrawDelegation() external returns (uint256 amount);

    /// @notice The TokenDistributor has transferred or minted `amount` for the stakers of `role`.
    function notifyReward(Role role, uint256 amount) external;
    /// @notice Counts a device for its provider's share of this reward round, if its last full pass is recent; anybody may call it.
    function countDevice(uint64 deviceId) external;
    /// @notice Pays what the caller's own stake, commission and delegation have earned.
    function claimRewards(address to) external returns (uint256 amount);
    /// @notice Pays the caller's shares of slashes, as reporter or wronged renter.
    function claimCredit(address to) external returns (uint256 amount);
    /// @notice Brings an account's seat, weight and earnings up to date; anybody may call it.
    function refresh(address account) external;

    /// @notice Takes the whole stake of the King whose owner or operator key `king` is or was.
    function slashKing(address king, uint8 reason, address reporter) external;
    /// @notice Burns a part of a stake by vote; never more than the governed cap, never paid to anybody.
    function slashByVote(address account, uint256 amount, bytes32 evidence) external;
    /// @notice Tells Ethereum Classic the operators of the seated Queens.
    function announceQueens() external returns (uint64 epoch);

    function setParameters(Parameters calldata parameters) external;
    /// @notice Stake that a device of the class locks from now on; 0 closes the class to new devices.
    function setClass(uint32 classVersion, uint128 required) external;
    /// @notice Names the only contract that may slash Kings, once.
    function setKingCourt(address court) external;
    function withdrawTreasury(address to, uint256 amount) external;

    function parameters() external view returns (Parameters memory);
    function pool(address account) external view returns (Pool memory);
    function delegation(address delegator) external view returns (Delegation memory);
    /// @notice What `claimRewards` would pay `account` now.
    function earned(address account) external view returns (uint256);
    /// @return weight what shares the next reward of `role`.
    /// @return kept earlier rewards that nobody could earn.
    /// @return round of Providers: how many rewards were shared out.
    function rewardState(Role role) external view returns (uint256 weight, uint256 kept, uint32 round);
    /// @notice Kings by stake, highest first, at most `limit`.
    function kingSet(uint256 limit) external view returns (address[] memory operators, uint256[] memory stakes);
    /// @notice The same Kings as the bridge takes them: `operator << 96 | stake`, ascending.
    function kingMembers(uint256 limit) external view returns (bytes32[] memory members);
    /// @notice keccak256 of the concatenated `kingMembers`.
    function kingSetHash(uint256 limit) external view returns (bytes32);
}

/// @title Everything that answers at StakingManager's address
interface IStaking is IStakes, IStakePools {}
