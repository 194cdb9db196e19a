// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakingManager} from "./IStakingManager.sol";

/// @title Where minted GPUTOKEN goes: genesis allocations, staking rewards, rewards of rentals; and what becomes of protocol fees
/// @dev Trusts GPURental for what a rental paid, the owner (the timelock) for shares and rates within the bounds of the code.
///      Whatever the owner sets, one rental earns all accounts together at most 80 % of the protocol fee that it paid, all rentals
///      together at most 80 % of the fees that arrived here, and never more is minted than the cap leaves after genesis.
interface ITokenDistributor {
    enum Category {
        Team,
        Investors,
        Advisors,
        Community,
        Treasury
    }

    struct Allocation {
        /// @dev Zero for the treasury that this contract keeps; only in that category.
        address beneficiary;
        uint128 amount;
        uint64 start;
        /// @dev Seconds after start before which nothing vests.
        uint64 cliff;
        /// @dev Seconds after start at which everything has vested; 0 vests at start.
        uint64 duration;
        bool revocable;
        Category category;
    }

    struct Vesting {
        Allocation allocation;
        uint128 released;
        /// @dev Zero unless revoked; vesting stopped there.
        uint64 revokedAt;
    }

    /// @notice Fixed at deployment. An epoch has 30 days.
    struct Emission {
        /// @dev Budget of the first epoch.
        uint128 initialPerEpoch;
        /// @dev Each epoch's budget is this part of the one before.
        uint16 decayBps;
    }

    /// @notice Shares of the emission, together at most all of it, and how much of a fee comes back.
    struct RewardParameters {
        /// @dev Minted as time passes, for the stakes of each role.
        uint16 providerStakingBps;
        uint16 queenStakingBps;
        uint16 kingStakingBps;
        /// @dev Most that the rentals settled within an epoch earn; what they do not earn is never minted.
        uint16 rentalBps;
        /// @dev Most of a rental's protocol fee that its provider is rewarded with.
        uint16 providerFeeBps;
    }

    /// @notice Of the protocol fees that a renter's rentals paid within an epoch, the part above `fees` earns `rewardBps` of itself.
    struct LoyaltyTier {
        uint128 fees;
        uint16 rewardBps;
    }

    event AllocationCreated(
        uint256 indexed id,
        address indexed beneficiary,
        Category indexed category,
        uint256 amount,
        uint64 start,
        uint64 cliff,
        uint64 duration,
        bool revocable
    );
    event Released(uint256 indexed id, address indexed beneficiary, uint256 amount);
    event Revoked(uint256 indexed id, address indexed beneficiary, uint256 returned);
    event FeeReceived(uint256 amount, uint256 burned, uint256 kept);
    event TreasuryWithdrawn(address indexed to, uint256 amount);
    event EmissionStartSet(uint64 start);
    event RewardParametersSet(RewardParameters parameters, LoyaltyTier[] tiers);
    event ClassRewardSet(uint32 indexed classVersion, uint256 perHour);
    event StakingRewarded(IStakingManager.Role indexed role, uint256 amount);
    event RentalRewarded(
        uint64 indexed rentalId, address indexed provider, address indexed renter, uint256 fee, uint256 reward, uint256 loyalty
    );
    event Claimed(address indexed account, address indexed to, uint256 amount);

    error GenesisAlreadyDone();
    error InvalidAllocation(uint256 position);
    error GenesisMismatch(uint256 allocated, uint256 genesisTotal);
    error TooManyAllocations(uint256 length, uint256 limit);
    error UnknownAllocation(uint256 id);
    error NothingToRelease(uint256 id);
    error NotRevocable(uint256 id);
    error NotGPURental(address caller);
    error InsufficientTreasury(uint256 available, uint256 needed);
    error ZeroAddress();
    error EmissionExceedsCap(uint256 emission, uint256 left);
    error InvalidDecay(uint16 decayBps, uint16 minimum, uint16 maximum);
    error EmissionRunning(uint64 start);
    error InvalidStart(uint64 start, uint64 earliest, uint64 latest);
    error EmissionNotStarted(uint64 start);
    error SharesExceeded(uint256 sharesBps, uint256 limitBps);
    error InvalidTier(uint256 position);
    error NothingToDistribute();
    error RentalNotClosed(uint64 rentalId);
    error RentalAlreadySettled(uint64 rentalId);
    /// @notice It paid no protocol fee, so it earns nothing.
    error NoFeePaid(uint64 rentalId);
    /// @notice Rewards follow fees: GPURental.collectFees first.
    error FeesOutstanding(uint256 rewards, uint256 allowed);
    /// @notice The rental can be settled in a later epoch.
    error BudgetExhausted(uint256 epoch, uint256 left, uint256 needed);
    error NothingToClaim(address account);

    /// @notice Owner, once: mints and records all allocations, which must add up to `genesisTotal`. What has vested is paid at once.
    function genesis(Allocation[] calldata allocations) external;
    /// @notice Anybody: pays the beneficiary of allocation `id` what has vested.
    function release(uint256 id) external returns (uint256 amount);
    /// @notice Owner: stops the vesting of a revocable allocation; the unvested part goes to the treasury.
    function revoke(uint256 id) external returns (uint256 returned);

    /// @notice GPURental has transferred a protocol fee: half is burned, half belongs to the treasury.
    function onFee(uint256 amount) external;
    function withdrawTreasury(address to, uint256 amount) external;

    /// @notice Owner: when the first epoch begins, at most a year ahead, 0 for now; can be moved until then.
    function startEmission(uint64 start) external;
    /// @notice Owner. What has accrued to stakes until now keeps the shares it accrued under; rentals are rewarded by what is in force
    ///         when they are settled.
    /// @param tiers ascending in both fields, at most 4.
    function setRewardParameters(RewardParameters calldata parameters, LoyaltyTier[] calldata tiers) external;
    /// @notice Owner: what a provider earns per verified hour on a device of the class; 0 for nothing.
    function setClassReward(uint32 classVersion, uint128 perHour) external;

    /// @notice Anybody: mints what has accrued for the stakes of all roles and hands it to StakingManager.
    function distributeStaking() external returns (uint256 amount);
    /// @notice Anybody, once per closed rental: credits its provider (unless it was at fault) and its renter.
    function settleRental(uint64 rentalId) external returns (uint256 reward, uint256 loyalty);
    /// @notice Mints the caller's credit.
    function claim(address to) external returns (uint256 amount);

    function allocationCount() external view returns (uint256);
    function vesting(uint256 id) external view returns (Vesting memory);
    /// @return amount of allocation `id` that has vested at `time`, released or not.
    function vestedAt(uint256 id, uint64 time) external view returns (uint256 amount);
    /// @notice Fees kept for the treasury and revoked allocations, not withdrawn yet.
    function treasury() external view returns (uint256);
    function totalBurned() external view returns (uint256);
    /// @notice Protocol fees that ever arrived.
    function feesReceived() external view returns (uint256);
    /// @notice Rewards that rentals ever earned, claimed or not.
    function rentalRewards() external view returns (uint256);
    /// @notice Staking rewards and rewards of rentals, minted or not.
    function emitted() external view returns (uint256);
    function emission() external view returns (uint128 initial, uint16 decay, uint64 start);
    /// @notice Budget of an epoch, and of it the part for rentals under the shares in force.
    function budgetOf(uint256 epoch) external view returns (uint256 budget, uint256 forRentals);
    function rewardParameters() external view returns (RewardParameters memory parameters, LoyaltyTier[] memory loyalty);
    function classReward(uint32 classVersion) external view returns (uint256 perHour);
    function settled(uint64 rentalId) external view returns (bool);
    function credit(address account) external view returns (uint256);
    /// @notice Protocol fees that the renter's settled rentals paid within the current epoch.
    function loyaltyOf(address renter) external view returns (uint256 fees);
}

/// @title The side of StakingManager that receives rewards
interface IRewardPool {
    /// @notice TokenDistributor has minted `amount` to this contract for the stakes of a role.
    function notifyReward(IStakingManager.Role role, uint256 amount) external;
}
