// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IMessageRecipient, IOutbox} from "../interfaces/IBridge.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {Wired} from "../libraries/Wired.sol";
import {
    DeviceRegistered,
    DeviceRemoved,
    DeviceReport,
    FaultProven,
    KIND_DEVICE_REGISTERED,
    KIND_DEVICE_REMOVED,
    KIND_DEVICE_REPORT,
    KIND_FAULT_PROVEN
} from "../types/Protocol.sol";
import {GPUToken} from "./GPUToken.sol";
import {KingRegistry} from "./KingRegistry.sol";
import {QueenRegistry} from "./QueenRegistry.sol";

/// @title Stakes, their owners' hot keys, and the devices that stand behind class stakes
/// @dev Trusts WorkVerification's messages (through the Inbox) for reports and faults, and the owner (the timelock) for
///      minimum stakes, class stakes and the unbonding period.
contract StakingManager is IStakingManager, IMessageRecipient, KingRegistry, QueenRegistry, Ownable, Wired {
    using SafeERC20 for GPUToken;

    struct Parameters {
        uint128 minimumProviderStake;
        uint128 minimumQueenStake;
        uint128 minimumKingStake;
        /// @dev Seconds a requested unstake stays slashable; must outlast the latest possible fault message.
        uint64 unbondingPeriod;
    }

    struct ClassStake {
        uint32 classVersion;
        uint128 requiredStake;
    }

    uint64 private constant UNBONDING_LIMIT = 90 days;

    GPUToken public immutable token;
    address public inbox;
    IOutbox public outbox;
    uint64 public classicChainId;
    address public workVerification;
    uint64 public deviceCount;
    Parameters private _parameters;

    mapping(address account => Staker) private stakers;
    /// @dev Owner of a hot key. An account is always its own key and never entered here.
    mapping(address operator => address) private operatorOwner;
    mapping(uint64 deviceId => Device) private devices;
    mapping(uint32 classVersion => uint256) public requiredStake;

    event ParametersSet(Parameters parameters);

    error UnbondingTooLong(uint64 period, uint64 limit);
    error PeerIdMissing();

    constructor(GPUToken token_, address owner_, Parameters memory parameters_, ClassStake[] memory classes) Ownable(owner_) {
        if (address(token_) == address(0)) revert ZeroAddress();
        token = token_;
        _setParameters(parameters_);
        for (uint256 i; i < classes.length; ++i) {
            _setClass(classes[i].classVersion, classes[i].requiredStake);
        }
    }

    function wire(address inbox_, address outbox_, uint64 classicChainId_, address workVerification_) external wiresOnce {
        inbox = _nonZero(inbox_);
        outbox = IOutbox(_nonZero(outbox_));
        classicChainId = classicChainId_;
        workVerification = _nonZero(workVerification_);
    }

    // ------------------------------------------------------------------------------------------ stakes

    /// @inheritdoc IStakingManager
    function stake(Role role, uint256 amount, address operator, bytes32 peerIdHash) external {
        _stake(role, amount, operator, peerIdHash);
    }

    /// @inheritdoc IStakingManager
    function stakeWithPermit(
        Role role,
        uint256 amount,
        address operator,
        bytes32 peerIdHash,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        // A permit that somebody else sent first has done its work: the transfer below decides.
        try token.permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _stake(role, amount, operator, peerIdHash);
    }

    /// @inheritdoc IStakingManager
    function requestUnstake(uint256 amount) external {
        Staker storage s = stakers[msg.sender];
        if (amount == 0) revert ZeroAmount();
        uint256 free = s.staked > s.locked ? s.staked - s.locked : 0;
        if (amount > free) revert InsufficientStake(free, amount);
        uint256 left = s.staked - amount;
        uint256 minimum = minimumStake(s.role);
        if (left != 0 && left < minimum) revert BelowMinimum(left, minimum);

        s.staked = uint128(left);
        s.unbonding += uint128(amount);
        // One bucket: a second request restarts the clock of the first, so nothing leaves early.
        s.unbondsAt = uint64(block.timestamp) + _parameters.unbondingPeriod;
        _refreshRole(msg.sender);
        emit UnstakeRequested(msg.sender, amount, s.unbondsAt);
    }

    /// @inheritdoc IStakingManager
    function withdraw() external {
        Staker storage s = stakers[msg.sender];
        uint256 amount = s.unbonding;
        if (amount == 0) revert ZeroAmount();
        if (block.timestamp < s.unbondsAt) revert StillUnbonding(s.unbondsAt);
        s.unbonding = 0;
        // Devices that still lock stake keep the record, even if a slash took all of it.
        if (s.staked == 0 && s.locked == 0) {
            if (s.operator != msg.sender) delete operatorOwner[s.operator];
            delete stakers[msg.sender];
        }
        emit Withdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    // ----------------------------------------------------------------------------------------- devices

    /// @inheritdoc IStakingManager
    function registerDevice(uint32 classVersion, address worker) external returns (uint64 deviceId) {
        address provider = accountOf(msg.sender);
        Staker storage s = stakers[provider];
        if (s.role != Role.Provider) revert RoleMismatch(s.role, Role.Provider);
        if (worker == address(0)) revert ZeroAddress();
        uint256 required = requiredStake[classVersion];
        if (required == 0) revert UnknownClass(classVersion);
        uint256 free = s.staked > s.locked ? s.staked - s.locked : 0;
        if (free < required) revert InsufficientStake(free, required);

        s.locked += uint128(required);
        deviceId = ++deviceCount;
        Device storage d = devices[deviceId];
        d.provider = provider;
        d.worker = worker;
        d.classVersion = classVersion;
        d.registeredAt = uint64(block.timestamp);
        d.lockedStake = uint128(required);
        uint32 index = _dispatch(
            KIND_DEVICE_REGISTERED,
            abi.encode(DeviceRegistered(deviceId, provider, worker, classVersion, uint64(block.timestamp)))
        );
        emit DeviceAdded(deviceId, provider, worker, classVersion, index);
    }

    /// @notice Frees the class stake. It stays slashable for this device's faults until it is unstaked and withdrawn.
    /// @inheritdoc IStakingManager
    function removeDevice(uint64 deviceId) external {
        Device storage d = _device(deviceId);
        if (accountOf(msg.sender) != d.provider) revert NotDeviceOwner(msg.sender, d.provider);
        if (d.removedAt != 0) revert DeviceAlreadyRemoved(deviceId);
        d.removedAt = uint64(block.timestamp);
        stakers[d.provider].locked -= d.lockedStake;
        uint32 index = _dispatch(KIND_DEVICE_REMOVED, abi.encode(DeviceRemoved(deviceId, uint64(block.timestamp))));
        emit DeviceRetired(deviceId, uint64(block.timestamp), index);
    }

    /// @inheritdoc IMessageRecipient
    function handle(uint64 origin, address sender, bytes calldata body, address) external {
        if (msg.sender != inbox) revert NotInbox(msg.sender);
        if (origin != classicChainId || sender != workVerification) revert UntrustedSender(origin, sender);
        (uint8 kind, bytes calldata fields) = MessageBody.split(body);
        if (kind == KIND_DEVICE_REPORT) _applyReport(abi.decode(fields, (DeviceReport)));
        else if (kind == KIND_FAULT_PROVEN) _applyFault(abi.decode(fields, (FaultProven)));
        else revert UnknownKind(kind);
    }

    // ------------------------------------------------------------------------------------------- owner

    function setParameters(Parameters calldata parameters_) external onlyOwner {
        _setParameters(parameters_);
    }

    /// @notice Stake that a device of the class locks from now on; 0 closes the class to new devices.
    function setClass(uint32 classVersion, uint128 required) external onlyOwner {
        _setClass(classVersion, required);
    }

    // ------------------------------------------------------------------------------------------- views

    function staker(address account) external view returns (Staker memory) {
        return stakers[account];
    }

    /// @inheritdoc IStakingManager
    function accountOf(address key) public view returns (address) {
        if (stakers[key].role != Role.None) return key;
        return operatorOwner[key];
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

    function parameters() external view returns (Parameters memory) {
        return _parameters;
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
        return role != Role.None && s.role == role && s.staked >= minimumStake(role) && s.staked >= s.locked;
    }

    /// @inheritdoc IStakingManager
    function kingSet(uint256 limit) external view returns (address[] memory operators, uint256[] memory stakes) {
        (operators, stakes) = _topKings(limit);
        for (uint256 i; i < operators.length; ++i) {
            operators[i] = stakers[operators[i]].operator;
        }
    }

    /// @inheritdoc IStakingManager
    function queensBefore(uint64 time) external view returns (address[] memory accounts) {
        return _queensBefore(time);
    }

    // ---------------------------------------------------------------------------------------- internal

    function _stake(Role role, uint256 amount, address operator, bytes32 peerIdHash) private {
        if (role == Role.None) revert InvalidRole();
        if (amount == 0) revert ZeroAmount();
        if (operator == address(0)) revert ZeroAddress();
        if (peerIdHash == 0) revert PeerIdMissing();
        Staker storage s = stakers[msg.sender];
        if (s.role != Role.None && s.role != role) revert RoleMismatch(s.role, role);
        uint256 total = s.staked + amount;
        uint256 minimum = minimumStake(role);
        if (total < minimum) revert BelowMinimum(total, minimum);

        s.role = role;
        s.staked = uint128(total);
        _setOperator(s, operator, peerIdHash);
        _refreshRole(msg.sender);
        emit Staked(msg.sender, role, amount, total);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    function _setOperator(Staker storage s, address operator, bytes32 peerIdHash) private {
        address previous = s.operator;
        if (previous != operator) {
            if (previous != address(0) && previous != msg.sender) delete operatorOwner[previous];
            // An account is always its own key, so nobody can bar it from staking by naming it as a hot key first.
            if (operator != msg.sender) {
                if (operatorOwner[operator] != address(0) || stakers[operator].role != Role.None) revert OperatorTaken(operator);
                operatorOwner[operator] = msg.sender;
            }
            s.operator = operator;
        } else if (s.peerIdHash == peerIdHash) {
            return;
        }
        s.peerIdHash = peerIdHash;
        emit OperatorSet(msg.sender, operator, peerIdHash);
    }

    function _refreshRole(address account) private {
        Staker storage s = stakers[account];
        if (s.role == Role.King) _setKing(account, s.staked >= _parameters.minimumKingStake);
        if (s.role == Role.Queen) _setQueen(account, s.staked >= _parameters.minimumQueenStake);
    }

    function _applyReport(DeviceReport memory report) private {
        Device storage d = _device(report.deviceId);
        // Reports are cumulative and may arrive in any order: an older one says nothing new.
        if (report.settledIndex <= d.settledIndex) return;
        d.settledIndex = report.settledIndex;
        if (report.lastFullPass > d.lastFullPass) d.lastFullPass = report.lastFullPass;
        d.reputationPpm = report.reputationPpm;
        d.performancePermille = report.performancePermille;
        if (report.faults > d.faults) d.faults = report.faults;
        emit DeviceReportApplied(report.deviceId, d.lastFullPass, d.reputationPpm, d.performancePermille, d.faults);
    }

    /// @dev A proven fault costs all of the class stake that is still there; it is burned, so nobody gains by a fault.
    function _applyFault(FaultProven memory fault) private {
        Device storage d = _device(fault.deviceId);
        address provider = d.provider;
        Staker storage s = stakers[provider];
        uint256 owed = d.lockedStake;
        uint256 available = uint256(s.staked) + s.unbonding;
        uint256 amount = owed < available ? owed : available;
        d.faults += 1;
        if (d.removedAt == 0) s.locked -= d.lockedStake;
        d.lockedStake = 0;
        // Stake that is on its way out goes first: the rest still backs other devices.
        uint256 fromUnbonding = amount < s.unbonding ? amount : s.unbonding;
        s.unbonding -= uint128(fromUnbonding);
        s.staked -= uint128(amount - fromUnbonding);
        _refreshRole(provider);
        emit Slashed(provider, fault.deviceId, amount, fault.reason, fault.reporter);
        if (amount != 0) token.burn(amount);
    }

    function _setParameters(Parameters memory parameters_) private {
        if (parameters_.unbondingPeriod > UNBONDING_LIMIT) {
            revert UnbondingTooLong(parameters_.unbondingPeriod, UNBONDING_LIMIT);
        }
        if (parameters_.minimumProviderStake == 0 || parameters_.minimumQueenStake == 0 || parameters_.minimumKingStake == 0) {
            revert ZeroAmount();
        }
        _parameters = parameters_;
        emit ParametersSet(parameters_);
    }

    function _setClass(uint32 classVersion, uint256 required) private {
        requiredStake[classVersion] = required;
        emit ClassSet(classVersion, required);
    }

    function _dispatch(uint8 kind, bytes memory fields) private returns (uint32) {
        return outbox.dispatch(classicChainId, workVerification, MessageBody.encode(kind, fields));
    }

    function _device(uint64 deviceId) private view returns (Device storage d) {
        d = devices[deviceId];
        if (d.provider == address(0)) revert UnknownDevice(deviceId);
    }

    function _stakeOf(address account) internal view override returns (uint256) {
        return stakers[account].staked;
    }
}
