// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IRentalTerms} from "../interfaces/IGPURental.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {ITokenDistributor} from "../interfaces/ITokenDistributor.sol";
import {GPUToken} from "./GPUToken.sol";
import {RentalSettlement} from "./RentalSettlement.sol";
import {RentalStore} from "./RentalStore.sol";

/// @title The half of GPURental that is used less: offers, parameters, and what leaves a rental's ordinary course
/// @dev Runs on GPURental's storage (see there). Called directly it finds an empty storage, and refuses.
contract GPURentalTerms is RentalSettlement, IRentalTerms {
    using SafeERC20 for GPUToken;

    uint256 private constant ATTRIBUTES_LIMIT = 2048;
    /// @dev With 32-bit durations this keeps price * duration far below 2^128.
    uint128 private constant PRICE_LIMIT = 1 << 80;
    /// @dev Bounds what settling a rental costs whoever delivers its reports.
    uint8 private constant SEGMENT_LIMIT = 8;
    uint8 private constant PAUSE_LIMIT = 8;
    uint64 private constant BUDGET_PERIOD = 30 days;
    /// @dev Longest pause of withdrawals, and the least time between two that the court orders.
    uint64 private constant PAUSE_SECONDS = 7 days;
    uint256 private constant VETO_LIMIT = 7 days;

    constructor(GPUToken token_, IStakingManager stakingManager_, ITokenDistributor distributor_)
        RentalStore(token_, stakingManager_, distributor_)
        Ownable(msg.sender)
    {}

    // ---------------------------------------------------------------------------------------------- offers

    /// @inheritdoc IRentalTerms
    function createOffer(
        uint64 deviceId,
        uint128 pricePerSecond,
        uint32 minDuration,
        uint32 maxDuration,
        bytes32 region,
        string calldata attributes
    ) external returns (uint64 offerId) {
        IStakingManager.Device memory d = _stakingManager.device(deviceId);
        _requireProvider(d.provider);
        if (d.removedAt != 0) revert DeviceNotRentable(deviceId, d.lastFullPass);
        _requirePrice(pricePerSecond);
        if (minDuration == 0 || minDuration > maxDuration) revert InvalidDuration(minDuration, 1, maxDuration);
        if (bytes(attributes).length > ATTRIBUTES_LIMIT) revert AttributesTooLong(bytes(attributes).length);
        offerId = ++_offerCount;
        OfferRecord storage o = offers[offerId];
        o.provider = d.provider;
        o.pricePerSecond = uint80(pricePerSecond);
        o.deviceId = deviceId;
        o.classVersion = d.classVersion;
        o.minDuration = minDuration;
        o.maxDuration = maxDuration;
        o.region = region;
        emit OfferCreated(
            offerId, deviceId, d.provider, d.classVersion, pricePerSecond, minDuration, maxDuration, region, attributes
        );
    }

    /// @inheritdoc IRentalTerms
    function changeOffer(uint64 offerId, uint128 pricePerSecond, bool paused) external {
        OfferRecord storage o = _offer(offerId);
        _requireProvider(o.provider);
        _requirePrice(pricePerSecond);
        o.pricePerSecond = uint80(pricePerSecond);
        o.paused = paused;
        emit OfferChanged(offerId, pricePerSecond, paused);
    }

    /// @inheritdoc IRentalTerms
    function depositReserve(uint64 deviceId, uint128 amount) external {
        if (amount == 0) revert ZeroAmount();
        if (parameterVersions.length == 0) revert CalledDirectly();
        _stakingManager.device(deviceId);
        DeviceRecord storage d = deviceRecords[deviceId];
        uint256 free = uint256(d.reserve) + amount;
        if (free > type(uint96).max) revert InvalidPrice();
        d.reserve = uint96(free);
        _addReserve(amount);
        emit ReserveChanged(deviceId, free);
        _token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IRentalTerms
    function withdrawReserve(uint64 deviceId, uint128 amount) external {
        if (amount == 0) revert ZeroAmount();
        address provider = _stakingManager.device(deviceId).provider;
        // The hot key may not move money.
        if (msg.sender != provider) revert NotProvider(msg.sender, provider);
        DeviceRecord storage d = deviceRecords[deviceId];
        if (amount > d.reserve) revert ReserveTooSmall(deviceId, d.reserve, amount);
        d.reserve -= uint96(amount);
        emit ReserveChanged(deviceId, d.reserve);
        _releaseReserve(0, provider, amount);
    }

    // --------------------------------------------------------------------------------------------- changes

    /// @inheritdoc IRentalTerms
    function extend(uint64 rentalId, uint32 addedSeconds, uint256 maxCost) external {
        _extend(rentalId, addedSeconds, maxCost);
    }

    /// @inheritdoc IRentalTerms
    function extendWithPermit(uint64 rentalId, uint32 addedSeconds, uint256 maxCost, PermitInput calldata permit) external {
        _permit(maxCost, permit);
        _extend(rentalId, addedSeconds, maxCost);
    }

    /// @inheritdoc IRentalTerms
    function setDelegate(uint64 rentalId, address delegate) external {
        Record storage r = _rental(rentalId);
        _requireRenter(r);
        r.delegate = delegate;
        emit DelegateSet(rentalId, delegate);
    }

    /// @inheritdoc IRentalTerms
    function abortRental(uint64 rentalId) external {
        Record storage r = _rental(rentalId);
        _requireProvider(offers[r.offerId].provider);
        _requireRunning(rentalId, r);
        _recordFault(rentalId, r, Fault.Aborted);
        _endAt(rentalId, r, block.timestamp);
        if (r.openedAt == 0) _close(rentalId, r, CloseReason.Aborted, address(0), false);
    }

    /// @inheritdoc IRentalTerms
    function declareMaintenance(uint64 rentalId, uint64 from, uint64 until) external {
        Record storage r = _rental(rentalId);
        OfferRecord storage o = offers[r.offerId];
        _requireProvider(o.provider);
        _requireUndisturbed(rentalId, r);
        if (r.pauses == PAUSE_LIMIT) revert TooMany(PAUSE_LIMIT + 1, PAUSE_LIMIT);
        ParameterRecord storage p = _terms(r);
        PauseRecord[] storage list = pausesOf[rentalId];
        uint256 earliest = block.timestamp + p.maintenanceNotice;
        uint256 free = uint256(r.start) + (r.pauses == 0 ? r.coveredSeconds : list[r.pauses - 1].untilSecond);
        if (from < earliest || from < free || until <= from || until >= r.end) revert InvalidMaintenance(from, until);
        _useBudget(deviceRecords[o.deviceId], p.maintenanceBudget, until - from);
        list.push(PauseRecord(uint40(from - r.start), uint40(until - r.start)));
        r.pauses += 1;
        r.termsVersion += 1;
        emit MaintenanceDeclared(rentalId, from, until);
        emit TermsChanged(rentalId, r.termsVersion, r.start, r.end, 0, _dispatchTerms(rentalId, r));
    }

    /// @inheritdoc IRentalTerms
    function closeAfterDeadline(uint64 rentalId) external {
        Record storage r = _active(rentalId);
        if (r.frozenFrom != 0) revert ComplaintOpen(rentalId);
        ParameterRecord storage p = _terms(r);
        uint64 hardDeadline = r.end + p.settleTimeout + p.hardDeadline;
        if (r.deadlineRequestedAt != 0) {
            uint64 executableAt = r.deadlineRequestedAt + p.deadlineNotice;
            if (block.timestamp < executableAt) revert TooEarly(executableAt);
            _close(rentalId, r, CloseReason.DeadlinePassed, address(0), false);
        } else if (block.timestamp > hardDeadline) {
            _split(rentalId, r, p.outageShareBps);
            _close(rentalId, r, CloseReason.BridgeDown, address(0), false);
        } else {
            uint64 deadline = r.end + p.settleTimeout;
            if (block.timestamp <= deadline) revert TooEarly(deadline + 1);
            revert DeadlineNotRequested(rentalId);
        }
    }

    // --------------------------------------------------------------------------------------------- credits

    /// @inheritdoc IRentalTerms
    function releaseDelayed(address account, uint64 availableAt) external returns (uint256 amount) {
        if (block.timestamp < availableAt) revert TooEarly(availableAt);
        amount = delayedCredits[account][availableAt];
        if (amount == 0) revert NothingToClaim(account);
        delayedCredits[account][availableAt] = 0;
        accounts[account].reported += uint128(amount);
        emit DelayedReleased(account, availableAt, amount);
    }

    // ----------------------------------------------------------------------------------------------- court

    /// @inheritdoc IRentalTerms
    function freeze(uint64 rentalId) external onlyCourt {
        Record storage r = _rental(rentalId);
        _requireUndisturbed(rentalId, r);
        // What was decided before the complaint stays decided.
        uint256 decided = uint256(r.start) + r.coveredSeconds;
        r.frozenFrom = uint40(block.timestamp > decided ? block.timestamp : decided);
        emit RentalFrozen(rentalId, r.frozenFrom);
    }

    /// @inheritdoc IRentalTerms
    function witnessSession(uint64 rentalId, uint64 time) external onlyCourt {
        Record storage r = _active(rentalId);
        if (time > r.end) revert TooLate(r.end);
        _open(rentalId, r, time);
    }

    /// @inheritdoc IRentalTerms
    function noteDeadline(uint64 rentalId) external onlyCourt {
        Record storage r = _active(rentalId);
        uint64 deadline = r.end + _terms(r).settleTimeout;
        if (block.timestamp <= deadline) revert TooEarly(deadline + 1);
        if (r.deadlineRequestedAt != 0) return;
        r.deadlineRequestedAt = uint40(block.timestamp);
        emit DeadlineRequested(rentalId, uint64(block.timestamp) + _terms(r).deadlineNotice);
    }

    // ----------------------------------------------------------------------------------------------- owner

    /// @notice Names the RentalCourt, once.
    function setCourt(address court_) external onlyOwner {
        if (_court != address(0)) revert CourtAlreadySet(_court);
        _court = _nonZero(court_);
        emit CourtSet(court_);
    }

    /// @inheritdoc IRentalTerms
    function setVeto(uint96 amount, uint32 delay) external onlyOwner {
        uint256 inGwei = amount / 1 gwei;
        if (amount % 1 gwei != 0 || inGwei > type(uint64).max || delay > VETO_LIMIT) revert InvalidParameters();
        _vetoGwei = uint64(inGwei);
        _vetoDelay = uint24(delay);
        emit VetoSet(amount, delay);
    }

    /// @inheritdoc IRentalTerms
    function setWithdrawalLimit(uint96 capacity, uint32 window) external onlyOwner {
        if (capacity != 0 && window == 0) revert InvalidParameters();
        _limited = capacity != 0;
        _limit = Limit(capacity, capacity, window, uint32(block.timestamp));
        emit WithdrawalLimitSet(capacity, window);
    }

    /// @inheritdoc IRentalTerms
    function pauseWithdrawals(uint64 until) external {
        bool byOwner = msg.sender == owner();
        if (!byOwner && msg.sender != _court) revert NotCourt(msg.sender);
        // A third of the Kings must not be able to hold everybody's money for good.
        uint64 earliest = uint64(_pausedUntil) + PAUSE_SECONDS;
        if (!byOwner && _pausedUntil != 0 && block.timestamp <= earliest) revert TooEarly(earliest + 1);
        if (until > block.timestamp + PAUSE_SECONDS) revert TooLate(uint64(block.timestamp) + PAUSE_SECONDS);
        _pausedUntil = uint40(until);
        emit WithdrawalsPaused(msg.sender, until);
    }

    /// @notice Applies to rentals made from now on.
    function setParameters(Parameters calldata parameters_) external onlyOwner {
        ParameterRecord memory p = _newest();
        _pack(p, parameters_);
        parameterVersions.push(p);
        emit ParametersSet(parameterVersions.length - 1, parameters_);
    }

    /// @notice Applies to rentals made from now on.
    function setSafeguards(Safeguards calldata safeguards_) external onlyOwner {
        ParameterRecord memory p = _newest();
        _pack(p, safeguards_);
        parameterVersions.push(p);
        emit SafeguardsSet(parameterVersions.length - 1, safeguards_);
    }

    // ----------------------------------------------------------------------------------------------- views

    /// @inheritdoc IRentalTerms
    function offer(uint64 offerId) external view returns (Offer memory) {
        OfferRecord storage o = _offer(offerId);
        return Offer(o.deviceId, o.provider, o.classVersion, o.pricePerSecond, o.minDuration, o.maxDuration, o.region, o.paused);
    }

    /// @inheritdoc IRentalTerms
    function details(uint64 rentalId) external view returns (Details memory v) {
        Record storage r = _rental(rentalId);
        v.delegate = r.delegate;
        v.reserved = r.reserved;
        v.frozenFrom = r.frozenFrom;
        v.deadlineRequestedAt = r.deadlineRequestedAt;
        v.fault = r.fault;
        v.endedByRenter = r.endedByRenter;
        v.pauses = new Pause[](r.pauses);
        for (uint256 i; i < v.pauses.length; ++i) {
            PauseRecord storage p = pausesOf[rentalId][i];
            v.pauses[i] = Pause(r.start + p.fromSecond, r.start + p.untilSecond);
        }
        v.segments = new Segment[](r.segments);
        for (uint256 i; i < v.segments.length; ++i) {
            SegmentRecord storage s = segmentsOf[rentalId][i];
            v.segments[i] = Segment(r.start + s.fromSecond, s.pricePerSecond);
        }
    }

    /// @inheritdoc IRentalTerms
    function withdrawalLimit() external view returns (uint96 capacity, uint96 level, uint32 window, uint64 pausedUntil) {
        return (_limit.capacity, _limit.level, _limit.window, _pausedUntil);
    }

    /// @inheritdoc IRentalTerms
    function veto() external view returns (uint96 amount, uint32 delay) {
        return (uint96(_vetoGwei) * 1 gwei, _vetoDelay);
    }

    /// @inheritdoc IRentalTerms
    function delayedCredit(address account, uint64 availableAt) external view returns (uint256) {
        return delayedCredits[account][availableAt];
    }

    /// @inheritdoc IRentalTerms
    function reserveOf(uint64 deviceId) external view returns (uint256 free) {
        return deviceRecords[deviceId].reserve;
    }

    /// @inheritdoc IRentalTerms
    function deadlineOf(uint64 rentalId) external view returns (uint64 time) {
        Record storage r = _rental(rentalId);
        if (r.state != State.Active) revert WrongState(rentalId, r.state);
        return r.end + _terms(r).settleTimeout;
    }

    /// @notice The parameters that a rental was made under.
    function parametersOf(uint64 rentalId) external view returns (Parameters memory) {
        return _parametersOf(_terms(_rental(rentalId)));
    }

    function safeguards() external view returns (Safeguards memory) {
        return _safeguardsOf(_newest());
    }

    /// @notice The safeguards that a rental was made under.
    function safeguardsOf(uint64 rentalId) external view returns (Safeguards memory) {
        return _safeguardsOf(_terms(_rental(rentalId)));
    }

    // -------------------------------------------------------------------------------------------- internal

    function _extend(uint64 rentalId, uint32 addedSeconds, uint256 maxCost) private {
        Record storage r = _rental(rentalId);
        if (msg.sender != r.renter && msg.sender != r.delegate) revert NotRenter(msg.sender, r.renter);
        _requireUndisturbed(rentalId, r);
        uint64 offerId = r.offerId;
        OfferRecord storage o = offers[offerId];
        if (o.paused) revert OfferIsPaused(offerId);
        uint32 longest = o.maxDuration - r.duration;
        if (addedSeconds == 0 || addedSeconds > longest) revert InvalidDuration(addedSeconds, 1, longest);
        uint80 price = o.pricePerSecond;
        uint256 cost = _costOf(rentalId, r, uint256(price) * addedSeconds);
        if (cost > maxCost) revert MaxCostExceeded(cost, maxCost);
        _addSegment(rentalId, r, price);
        r.duration += addedSeconds;
        r.end += addedSeconds;
        r.termsVersion += 1;
        _reserve(o.deviceId, r, _terms(r));
        _hold(cost);
        emit RentalExtended(rentalId, msg.sender, addedSeconds, price, cost);
        emit TermsChanged(rentalId, r.termsVersion, r.start, r.end, 0, _dispatchTerms(rentalId, r));
        _collect(cost, maxCost);
    }

    /// @dev The fee of the sum, not a sum of rounded fees: what is paid at the end is computed from the sum.
    function _costOf(uint64 rentalId, Record storage r, uint256 added) private view returns (uint256) {
        uint256 before = _valueOf(rentalId, r, 0, r.duration);
        ParameterRecord storage p = _terms(r);
        return added + _protocolFee(p, before + added) - _protocolFee(p, before);
    }

    /// @dev Running, not ended by anybody, and no complaint open.
    function _requireUndisturbed(uint64 rentalId, Record storage r) private view {
        _requireRunning(rentalId, r);
        if (r.frozenFrom != 0) revert ComplaintOpen(rentalId);
        if (r.endedByRenter || r.fault != Fault.None) revert AlreadyEnded(rentalId);
    }

    function _addSegment(uint64 rentalId, Record storage r, uint80 price) private {
        uint8 count = r.segments;
        SegmentRecord[] storage list = segmentsOf[rentalId];
        uint80 last = count == 0 ? r.pricePerSecond : list[count - 1].pricePerSecond;
        if (price == last) return;
        if (count == SEGMENT_LIMIT) revert TooMany(SEGMENT_LIMIT + 1, SEGMENT_LIMIT);
        list.push(SegmentRecord(r.duration, price));
        r.segments = count + 1;
    }

    /// @dev The provider's governed share of the time nobody could report on: an outage of the bridge is worth nothing to either side.
    function _split(uint64 rentalId, Record storage r, uint256 shareBps) private {
        if (r.openedAt == 0) return;
        uint256 length = r.end - r.start;
        (uint256 billable,) = _settle(rentalId, r, r.coveredSeconds, length, length - r.coveredSeconds);
        uint256 share = (billable * shareBps) / 10_000;
        r.earned += uint128(share);
        _release(rentalId, offers[r.offerId].provider, share);
    }

    function _useBudget(DeviceRecord storage d, uint256 budget, uint256 needed) private {
        if (d.budgetFrom == 0 || block.timestamp >= uint256(d.budgetFrom) + BUDGET_PERIOD) {
            d.budgetFrom = uint40(block.timestamp);
            d.budgetUsed = 0;
        }
        uint256 left = budget > d.budgetUsed ? budget - d.budgetUsed : 0;
        if (needed > left) revert MaintenanceBudgetExceeded(uint64(left), uint64(needed));
        d.budgetUsed += uint40(needed);
    }

    function _safeguardsOf(ParameterRecord storage p) private view returns (Safeguards memory) {
        return Safeguards(
            p.compensationSeconds,
            p.reserveSeconds,
            p.graceWindow,
            p.maintenanceNotice,
            p.maintenanceBudget,
            p.deadlineNotice,
            p.hardDeadline,
            p.outageShareBps
        );
    }

    function _requirePrice(uint128 pricePerSecond) private pure {
        if (pricePerSecond == 0 || pricePerSecond >= PRICE_LIMIT) revert InvalidPrice();
    }
}
