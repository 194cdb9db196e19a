// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Stakes of Kings, Queens and Providers, and the devices of Providers
interface IStakingManager {
    enum Role {
        None,
        Provider,
        Queen,
        King
    }

    struct Staker {
        Role role;
        /// @dev Hot key that signs for this account on Ethereum and on the network.
        address operator;
        /// @dev sha2-256 or identity multihash of the libp2p key, hashed with keccak256.
        bytes32 peerIdHash;
        uint128 staked;
        uint128 locked;
        uint128 unbonding;
        uint64 unbondsAt;
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
        uint64 settledIndex;
        uint128 lockedStake;
    }

    event Staked(address indexed account, Role indexed role, uint256 amount, uint256 total);
    event OperatorSet(address indexed account, address indexed operator, bytes32 peerIdHash);
    event UnstakeRequested(address indexed account, uint256 amount, uint64 unbondsAt);
    event Withdrawn(address indexed account, uint256 amount);
    event DeviceAdded(
        uint64 indexed deviceId, address indexed provider, address worker, uint32 classVersion, uint32 messageIndex
    );
    event DeviceRetired(uint64 indexed deviceId, uint64 removedAt, uint32 messageIndex);
    event DeviceReportApplied(
        uint64 indexed deviceId, uint64 lastFullPass, uint32 reputationPpm, uint32 performancePermille, uint32 faults
    );
    event Slashed(address indexed account, uint64 indexed deviceId, uint256 amount, uint8 reason, address reporter);
    event ClassSet(uint32 indexed classVersion, uint256 requiredStake);

    error InvalidRole();
    error RoleMismatch(Role current, Role requested);
    error BelowMinimum(uint256 total, uint256 minimum);
    error ZeroAmount();
    error ZeroAddress();
    error OperatorTaken(address operator);
    error NotOperator(address caller);
    error InsufficientStake(uint256 available, uint256 needed);
    error StillUnbonding(uint64 unbondsAt);
    error UnknownClass(uint32 classVersion);
    error UnknownDevice(uint64 deviceId);
    error DeviceAlreadyRemoved(uint64 deviceId);
    error NotDeviceOwner(address caller, address provider);

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
    function requestUnstake(uint256 amount) external;
    function withdraw() external;
    /// @notice Called by the provider's owner or operator.
    function registerDevice(uint32 classVersion, address worker) external returns (uint64 deviceId);
    function removeDevice(uint64 deviceId) external;

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
    /// @notice Whether `account` holds at least the minimum stake of `role`.
    function hasRole(address account, Role role) external view returns (bool);
    /// @notice Accounts that have held a Queen's minimum stake without a break since before `time`.
    function queensBefore(uint64 time) external view returns (address[] memory accounts);
    /// @notice Kings by stake, highest first, at most `limit`.
    function kingSet(uint256 limit) external view returns (address[] memory operators, uint256[] memory stakes);
}
