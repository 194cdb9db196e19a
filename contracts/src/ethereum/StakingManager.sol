// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IMessageRecipient, IOutbox} from "../interfaces/IBridge.sol";
import {IRental} from "../interfaces/IGPURental.sol";
import {IStakes} from "../interfaces/IStakingManager.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {
    DeviceRegistered,
    DeviceRemoved,
    DeviceReport,
    FAULT_MISSING_ANSWER,
    FAULT_WRONG_PROOF,
    FaultProven,
    KIND_DEVICE_REGISTERED,
    KIND_DEVICE_REMOVED,
    KIND_DEVICE_REPORT,
    KIND_FAULT_PROVEN,
    KIND_WORKER_KEY_CHANGED,
    WorkerKeyChanged
} from "../types/Protocol.sol";
import {GPUToken} from "./GPUToken.sol";
import {StakingStore} from "./StakingStore.sol";

/// @title Stakes, their owners' hot keys, and the devices that stand behind class stakes
/// @dev Trusts WorkVerification's messages (through the Inbox) for reports and faults, TokenDistributor for rewards, KingCourt
///      for Kings' offences, and the owner (the timelock) for the parameters within their bounds.
///
///      The code is more than one contract may hold, so its other half stands in StakingPools, which works on this
///      contract's storage by delegatecall. Its address is fixed at deployment: this is not a way to replace code.
contract StakingManager is StakingStore, IStakes, IMessageRecipient {
    using SafeERC20 for GPUToken;

    /// @notice The other half: delegation, rewards, sets, slashes that are no device's, parameters.
    address public immutable stakingPools;

    constructor(
        GPUToken token_,
        address owner_,
        Parameters memory parameters_,
        ClassStake[] memory classes,
        address stakingPools_
    ) StakingStore(token_) Ownable(owner_) {
        // A call to an account without code would look like success.
        if (stakingPools_.code.length == 0) revert NoCode(stakingPools_);
        stakingPools = stakingPools_;
        _setParameters(parameters_);
        for (uint256 i; i < classes.length; ++i) {
            _setClass(classes[i].classVersion, classes[i].requiredStake);
        }
    }

    /// @dev Calls of IStakePools.
    fallback() external {
        address target = stakingPools;
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, 0, calldatasize())
            let success := delegatecall(gas(), target, data, calldatasize(), 0, 0)
            returndatacopy(data, 0, returndatasize())
            if iszero(success) { revert(data, returndatasize()) }
            return(data, returndatasize())
        }
    }

    function wire(
        address inbox_,
        address outbox_,
        uint64 classicChainId_,
        address workVerification_,
        address distributor_,
        address gpuRental_
    ) external wiresOnce {
        inbox = _nonZero(inbox_);
        outbox = IOutbox(_nonZero(outbox_));
        classicChainId = classicChainId_;
        workVerification = _nonZero(workVerification_);
        distributor = _nonZero(distributor_);
        gpuRental = _nonZero(gpuRental_);
    }

    // ------------------------------------------------------------------------------------------ stakes

    /// @inheritdoc IStakes
    function stake(Role role, uint256 amount, address operator, bytes32 peerIdHash) external {
        _stake(role, amount, operator, peerIdHash);
    }

    /// @inheritdoc IStakes
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

    /// @inheritdoc IStakes
    function addStake(uint256 amount) external {
        Staker storage s = stakers[msg.sender];
        if (s.role == Role.None) revert UnknownStaker(msg.sender);
        _addStake(s, amount);
    }

    /// @inheritdoc IStakes
    function setOperator(address operator, bytes32 peerIdHash) external {
        Staker storage s = stakers[msg.sender];
        if (s.role == Role.None) revert UnknownStaker(msg.sender);
        _setOperator(s, operator, peerIdHash);
    }

    /// @inheritdoc IStakes
    function requestUnstake(uint256 amount) external {
        Staker storage s = stakers[msg.sender];
        if (amount == 0) revert ZeroAmount();
        uint256 staked = s.staked;
        uint256 backing = _backing(msg.sender, s);
        uint256 free = backing > s.locked ? backing - s.locked : 0;
        if (free > staked) free = staked;
        if (amount > free) revert InsufficientStake(free, amount);
        uint256 left = staked - amount;
        uint256 minimum = minimumStake(s.role);
        // Devices keep their provider's own minimum behind them, however much is delegated.
        if ((left != 0 || s.locked != 0) && left < minimum) revert BelowMinimum(left, minimum);

        _settle(msg.sender);
        s.staked = uint128(left);
        s.unbonding += uint128(amount);
        // One bucket: a second request restarts the clock of the first. Never before removed devices' class stake is free.
        uint64 unbondsAt = uint64(block.timestamp) + _parameters.unbondingPeriod;
        if (unbondsAt < s.retiresAt) unbondsAt = s.retiresAt;
        if (unbondsAt < s.unbondsAt) unbondsAt = s.unbondsAt;
        s.unbondsAt = unbondsAt;
        _moveVotes(msg.sender, staked, left);
        _refresh(msg.sender);
        emit UnstakeRequested(msg.sender, amount, unbondsAt);
    }

    /// @inheritdoc IStakes
    function withdraw() external {
        Staker storage s = stakers[msg.sender];
        uint256 amount = s.unbonding;
        if (amount == 0) revert ZeroAmount();
        if (block.timestamp < s.unbondsAt) revert StillUnbonding(s.unbondsAt);
        _settle(msg.sender);
        s.unbonding = 0;
        // Devices and delegators keep the record, even if a slash took all of the stake.
        if (s.staked == 0 && s.locked == 0 && s.retiring == 0 && pools[msg.sender].shares == 0) {
            delete stakers[msg.sender];
            delete pools[msg.sender];
        }
        totalHeld -= amount;
        emit Withdrawn(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    // ----------------------------------------------------------------------------------------- devices

    /// @inheritdoc IStakes
    function registerDevice(uint32 classVersion, address worker) external returns (uint64 deviceId) {
        address provider = accountOf(msg.sender);
        Staker storage s = stakers[provider];
        if (s.role != Role.Provider) revert RoleMismatch(s.role, Role.Provider);
        if (worker == address(0)) revert ZeroAddress();
        uint256 required = requiredStake[classVersion];
        if (required == 0) revert UnknownClass(classVersion);
        uint256 minimum = minimumStake(Role.Provider);
        if (s.staked < minimum) revert BelowMinimum(s.staked, minimum);
        uint256 backing = _backing(provider, s);
        uint256 bound = uint256(s.locked) + s.retiring;
        uint256 free = backing > bound ? backing - bound : 0;
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

    /// @inheritdoc IStakes
    function removeDevice(uint64 deviceId) external {
        Device storage d = _ownDevice(deviceId);
        // Challenges of a running rental, and so its faults, would otherwise outlive the class stake.
        uint64 rentalId = IRental(gpuRental).activeRental(deviceId);
        if (rentalId != 0) revert DeviceRented(deviceId, rentalId);
        address provider = d.provider;
        Staker storage s = stakers[provider];
        _settle(provider);
        uint128 amount = d.lockedStake;
        uint64 releasesAt = uint64(block.timestamp) + _parameters.unbondingPeriod;
        d.removedAt = uint64(block.timestamp);
        d.releasesAt = releasesAt;
        s.locked -= amount;
        s.retiring += amount;
        if (s.retiresAt < releasesAt) s.retiresAt = releasesAt;
        _uncount(d, amount);
        uint32 index = _dispatch(KIND_DEVICE_REMOVED, abi.encode(DeviceRemoved(deviceId, uint64(block.timestamp))));
        emit DeviceRetired(deviceId, uint64(block.timestamp), index);
    }

    /// @inheritdoc IStakes
    function releaseDevice(uint64 deviceId) external {
        Device storage d = _device(deviceId);
        if (d.removedAt == 0) revert DeviceInService(deviceId);
        if (block.timestamp < d.releasesAt) revert StillUnbonding(d.releasesAt);
        uint128 amount = d.lockedStake;
        if (amount == 0) revert ZeroAmount();
        d.lockedStake = 0;
        stakers[d.provider].retiring -= amount;
        emit DeviceReleased(deviceId, amount);
    }

    /// @inheritdoc IStakes
    function changeWorker(uint64 deviceId, address worker) external {
        Device storage d = _ownDevice(deviceId);
        if (worker == address(0)) revert ZeroAddress();
        d.worker = worker;
        uint32 index = _dispatch(KIND_WORKER_KEY_CHANGED, abi.encode(WorkerKeyChanged(deviceId, worker, uint64(block.timestamp))));
        emit WorkerChanged(deviceId, worker, index);
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

    // ------------------------------------------------------------------------------------------- views

    /// @inheritdoc IStakes
    function getPastVotes(address account, uint256 timepoint) external view returns (uint256) {
        return _votesAt(account, timepoint);
    }

    /// @inheritdoc IStakes
    function getVotes(address account) external view returns (uint256) {
        return _votesNow(account);
    }

    /// @inheritdoc IStakes
    function delegates(address account) external view returns (address) {
        return voteDelegates[account];
    }

    // ---------------------------------------------------------------------------------------- internal

    function _stake(Role role, uint256 amount, address operator, bytes32 peerIdHash) private {
        if (role == Role.None) revert InvalidRole();
        Staker storage s = stakers[msg.sender];
        if (s.role != Role.None && s.role != role) revert RoleMismatch(s.role, role);
        s.role = role;
        _setOperator(s, operator, peerIdHash);
        _addStake(s, amount);
    }

    function _addStake(Staker storage s, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        uint256 staked = s.staked;
        uint256 total = staked + amount;
        uint256 minimum = minimumStake(s.role);
        if (total < minimum) revert BelowMinimum(total, minimum);

        _settle(msg.sender);
        s.staked = uint128(total);
        totalHeld += amount;
        _moveVotes(msg.sender, staked, total);
        _refresh(msg.sender);
        emit Staked(msg.sender, s.role, amount, total);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    function _setOperator(Staker storage s, address operator, bytes32 peerIdHash) private {
        if (operator == address(0)) revert ZeroAddress();
        if (peerIdHash == 0) revert PeerIdMissing();
        if (s.operator == operator && s.peerIdHash == peerIdHash) return;
        // An account is always its own key, so nobody can bar it from staking by naming it as a hot key first.
        if (s.operator != operator && operator != msg.sender) {
            address holder = operatorOwner[operator];
            // A key stays with the account that it last signed for until that account has left.
            bool held = holder != address(0) && holder != msg.sender && stakers[holder].role != Role.None;
            if (held || stakers[operator].role != Role.None) revert OperatorTaken(operator);
            if (holder != msg.sender) operatorOwner[operator] = msg.sender;
        }
        s.operator = operator;
        s.peerIdHash = peerIdHash;
        emit OperatorSet(msg.sender, operator, peerIdHash);
    }

    function _ownDevice(uint64 deviceId) private view returns (Device storage d) {
        d = _device(deviceId);
        if (accountOf(msg.sender) != d.provider) revert NotDeviceOwner(msg.sender, d.provider);
        if (d.removedAt != 0) revert DeviceAlreadyRemoved(deviceId);
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
        _settle(d.provider);
        _count(report.deviceId, d);
    }

    /// @dev A wrong proof costs the class stake, a missing answer the governed penalty; never more than the class stake that is
    ///      still there, whether the device was removed or not.
    function _applyFault(FaultProven memory fault) private {
        Device storage d = _device(fault.deviceId);
        address provider = d.provider;
        Staker storage s = stakers[provider];
        bool whole = fault.reason == FAULT_WRONG_PROOF;
        if (!whole && fault.reason != FAULT_MISSING_ANSWER) revert UnknownFault(fault.reason);
        uint256 owed = d.lockedStake;
        if (!whole && owed > _parameters.missingAnswerPenalty) owed = _parameters.missingAnswerPenalty;

        _settle(provider);
        d.faults += 1;
        if (d.removedAt != 0) {
            d.lockedStake -= uint128(owed);
            s.retiring -= uint128(owed);
        } else if (whole) {
            d.lockedStake = 0;
            s.locked -= uint128(owed);
            _uncount(d, owed);
        }
        uint256 taken = _take(provider, owed);
        emit Slashed(provider, fault.deviceId, taken, fault.reason, fault.reporter, fault.renter);
        _divide(provider, taken, fault.renter, fault.reporter);
    }
}
