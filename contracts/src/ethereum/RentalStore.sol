// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {IOutbox} from "../interfaces/IBridge.sol";
import {IGPURental} from "../interfaces/IGPURental.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {ITokenDistributor} from "../interfaces/ITokenDistributor.sol";
import {RentalMath} from "../libraries/RentalMath.sol";
import {Wired} from "../libraries/Wired.sol";
import {GPUToken} from "./GPUToken.sol";

/// @title State, parameters and views of GPURental
/// @dev A rental is three words until `ready`; what follows from its offer and its parameters is not stored but computed.
abstract contract RentalStore is IGPURental, Ownable, Wired {
    struct OfferRecord {
        address provider;
        uint80 pricePerSecond;
        bool paused;
        uint64 deviceId;
        uint32 classVersion;
        uint32 minDuration;
        uint32 maxDuration;
        bytes32 region;
    }

    struct Record {
        address renter;
        uint80 pricePerSecond;
        State state;
        CloseReason closeReason;
        // ----
        address sessionKey;
        /// @dev All that was ever bought.
        uint32 duration;
        uint64 offerId;
        // ----
        uint40 requestedAt;
        uint40 start;
        uint40 end;
        uint40 openedAt;
        uint32 termsVersion;
        uint32 parameterVersion;
        uint8 segments;
        uint8 pauses;
        Fault fault;
        bool endedByRenter;
        // ----
        uint40 coveredSeconds;
        uint40 verifiedSeconds;
        uint32 due;
        uint32 passed;
        uint40 frozenFrom;
        uint40 deadlineRequestedAt;
        // ----
        /// @dev Due to the provider once a session is known; `paid` from then on.
        uint128 earned;
        uint128 refunded;
        // ----
        address delegate;
        uint96 reserved;
    }

    struct DeviceRecord {
        /// @dev The newest rental; whether it still holds the device is for `activeRental` to say.
        uint64 newestRental;
        /// @dev End of the last rental in which every challenge passed: as good as a full pass for the next one.
        uint40 verifiedUntil;
        uint40 lastFaultAt;
        /// @dev Free part of the reserve.
        uint96 reserve;
        // ----
        uint40 budgetFrom;
        uint40 budgetUsed;
    }

    /// @dev Parameters and Safeguards of one version in two words.
    struct ParameterRecord {
        uint96 bridgeFee;
        uint96 readyFee;
        uint16 protocolFeeBps;
        uint24 readyWindow;
        uint24 startWindow;
        // ----
        uint24 minimumBill;
        uint24 freshness;
        uint24 settleTimeout;
        uint24 compensationSeconds;
        uint24 reserveSeconds;
        uint24 graceWindow;
        uint24 maintenanceNotice;
        uint24 maintenanceBudget;
        uint24 deadlineNotice;
        uint24 hardDeadline;
        uint16 outageShareBps;
    }

    struct Account {
        uint128 free;
        /// @dev Created by work reports, so as trustworthy as the bridge: withdrawn within the limit, and not while paused.
        uint128 reported;
    }

    /// @dev A token bucket; capacity 0 stands for no limit.
    struct Limit {
        uint96 capacity;
        uint96 level;
        uint32 window;
        uint32 updatedAt;
    }

    struct SegmentRecord {
        uint40 fromSecond;
        uint80 pricePerSecond;
    }

    struct PauseRecord {
        uint40 fromSecond;
        uint40 untilSecond;
    }

    uint16 internal constant FEE_LIMIT_BPS = 2000;
    uint64 internal constant WINDOW_LIMIT = 1 days;
    uint64 internal constant SETTLE_LIMIT = 30 days;

    GPUToken internal immutable _token;
    IStakingManager internal immutable _stakingManager;
    ITokenDistributor internal immutable _distributor;
    address internal _inbox;
    uint64 internal _classicChainId;
    IOutbox internal _outbox;
    address internal _workVerification;
    /// @dev Beside it, because every report reads that word: what a report credits at once from this amount on waits for `_vetoDelay`.
    ///      In gwei; 0 for no such amount.
    uint64 internal _vetoGwei;
    uint24 internal _vetoDelay;
    /// @notice RentalCourt; set once. Without it there are no complaints, receipts or refunds before the hard deadline.
    address internal _court;

    uint64 internal _offerCount;
    uint64 internal _rentalCount;
    /// @notice Reserves of all devices, free or behind rentals.
    uint128 internal _totalReserve;
    /// @notice Sum of all credits not claimed yet, those that wait included.
    /// @dev 96 bits each hold the cap of GPUTOKEN (which it bounds itself), hence whatever can have been paid in.
    uint96 internal _totalCredit;
    /// @notice Escrow of open rentals that is neither paid, refunded nor spent on fees yet.
    uint96 internal _totalHeld;
    uint40 internal _pausedUntil;
    /// @dev Whether `_limit` has a capacity: in the word that a claim writes anyway.
    bool internal _limited;

    /// @dev Only added to: a rental keeps the version it was made under.
    ParameterRecord[] internal parameterVersions;
    mapping(uint64 offerId => OfferRecord) internal offers;
    mapping(uint64 rentalId => Record) internal rentals;
    mapping(uint64 rentalId => SegmentRecord[]) internal segmentsOf;
    mapping(uint64 rentalId => PauseRecord[]) internal pausesOf;
    mapping(uint64 deviceId => DeviceRecord) internal deviceRecords;
    mapping(address account => Account) internal accounts;
    /// @dev Credits of reports that wait until `availableAt`, a whole hour: those of one hour wait together, so that there is no list.
    mapping(address account => mapping(uint64 availableAt => uint128)) internal delayedCredits;
    Limit internal _limit;
    /// @dev Set while a work report is applied: credits of that time count as reported.
    bool internal transient _reporting;
    /// @dev Set while a claim brings a report along: who earns that report's fee.
    address internal transient _bringer;

    event ParametersSet(uint256 indexed version, Parameters parameters);
    event SafeguardsSet(uint256 indexed version, Safeguards safeguards);
    event CourtSet(address indexed court);

    error InvalidParameters();
    error CourtAlreadySet(address court);

    modifier onlyCourt() {
        if (msg.sender != _court) revert NotCourt(msg.sender);
        _;
    }

    constructor(GPUToken token_, IStakingManager stakingManager_, ITokenDistributor distributor_) {
        _token = token_;
        _stakingManager = stakingManager_;
        _distributor = distributor_;
    }

    // ---------------------------------------------------------------------------------------- internal

    function _newest() internal view returns (ParameterRecord storage) {
        return parameterVersions[parameterVersions.length - 1];
    }

    function _terms(Record storage r) internal view returns (ParameterRecord storage) {
        return parameterVersions[r.parameterVersion];
    }

    function _protocolFee(ParameterRecord storage p, uint256 rentCost) internal view returns (uint256) {
        return (rentCost * p.protocolFeeBps) / 10_000;
    }

    function _readyUntil(Record storage r) internal view returns (uint64) {
        return r.requestedAt + _terms(r).readyWindow;
    }

    /// @dev A rental that is over and waits for its last report does not hold the device any more.
    function _holdsDevice(Record storage r) internal view returns (bool) {
        if (r.state == State.Requested) return block.timestamp <= _readyUntil(r);
        return r.state == State.Active && block.timestamp < r.end;
    }

    /// @dev Without a session nothing is paid, whatever was earned.
    function _paid(Record storage r) internal view returns (uint256) {
        return r.openedAt == 0 ? 0 : r.earned;
    }

    function _valueOf(uint64 rentalId, Record storage r, uint256 from, uint256 until) internal view returns (uint256 value) {
        (, value) = _settle(rentalId, r, from, until, 0);
    }

    /// @dev RentalMath.settle; a rental that was neither extended nor paused takes the short way.
    function _settle(uint64 rentalId, Record storage r, uint256 from, uint256 until, uint256 verified)
        internal
        view
        returns (uint256 earned, uint256 value)
    {
        uint256 extensions = r.segments;
        uint256 pauses = r.pauses;
        if (extensions == 0 && pauses == 0) {
            uint256 price = r.pricePerSecond;
            return (verified * price, (until - from) * price);
        }
        RentalMath.Piece[] memory pieces = new RentalMath.Piece[](extensions + 1);
        pieces[0] = RentalMath.Piece(0, type(uint40).max, r.pricePerSecond);
        for (uint256 i; i < extensions; ++i) {
            SegmentRecord storage s = segmentsOf[rentalId][i];
            pieces[i].until = s.fromSecond;
            pieces[i + 1] = RentalMath.Piece(s.fromSecond, type(uint40).max, s.pricePerSecond);
        }
        uint256[2][] memory paused = new uint256[2][](pauses);
        for (uint256 i; i < pauses; ++i) {
            PauseRecord storage p = pausesOf[rentalId][i];
            paused[i] = [uint256(p.fromSecond), p.untilSecond];
        }
        return RentalMath.settle(pieces, paused, from, until, verified);
    }

    function _hold(uint256 amount) internal {
        _totalHeld += uint96(amount);
    }

    /// @dev Moves escrow to an account's credit.
    function _release(uint64 rentalId, address account, uint256 amount) internal {
        if (amount == 0) return;
        _totalHeld -= uint96(amount);
        _creditTo(rentalId, account, amount);
    }

    /// @dev Moves reserve to an account's credit.
    function _releaseReserve(uint64 rentalId, address account, uint256 amount) internal {
        _totalReserve -= uint128(amount);
        _creditTo(rentalId, account, amount);
    }

    function _addReserve(uint256 amount) internal {
        _totalReserve += uint128(amount);
    }

    function _takeCredit(address account) internal returns (uint256 amount) {
        Account memory a = accounts[account];
        uint256 reported = _withdrawable(a.reported);
        amount = a.free + reported;
        if (amount == 0) revert NothingToClaim(account);
        accounts[account] = Account(0, a.reported - uint128(reported));
        _totalCredit -= uint96(amount);
    }

    function _offer(uint64 offerId) internal view returns (OfferRecord storage o) {
        o = offers[offerId];
        if (o.provider == address(0)) revert UnknownOffer(offerId);
    }

    function _rental(uint64 rentalId) internal view returns (Record storage r) {
        r = rentals[rentalId];
        if (r.state == State.None) revert UnknownRental(rentalId);
    }

    /// @dev Open, and its meter was started.
    function _active(uint64 rentalId) internal view returns (Record storage r) {
        r = _rental(rentalId);
        if (r.state != State.Active) revert WrongState(rentalId, r.state);
    }

    function _requireProvider(address provider) internal view {
        if (_stakingManager.accountOf(msg.sender) != provider) revert NotProvider(msg.sender, provider);
    }

    /// @dev Takes from the bucket what it holds, at most `reported`.
    function _withdrawable(uint256 reported) private returns (uint256) {
        if (reported == 0 || block.timestamp <= _pausedUntil) return 0;
        if (!_limited) return reported;
        Limit memory l = _limit;
        uint256 level = l.level + (uint256(l.capacity) * (block.timestamp - l.updatedAt)) / l.window;
        if (level > l.capacity) level = l.capacity;
        if (reported > level) reported = level;
        _limit.level = uint96(level - reported);
        _limit.updatedAt = uint32(block.timestamp);
        return reported;
    }

    function _creditTo(uint64 rentalId, address account, uint256 amount) private {
        _totalCredit += uint96(amount);
        if (!_reporting) {
            accounts[account].free += uint128(amount);
        } else if (_vetoGwei == 0 || amount < uint256(_vetoGwei) * 1 gwei) {
            accounts[account].reported += uint128(amount);
        } else {
            uint64 availableAt = uint64((block.timestamp + _vetoDelay + 1 hours - 1) / 1 hours) * 1 hours;
            delayedCredits[account][availableAt] += uint128(amount);
            emit CreditDelayed(account, rentalId, amount, availableAt);
        }
        emit Credited(account, rentalId, amount);
    }

    function _pack(ParameterRecord memory r, Parameters memory p) internal pure {
        bool windows =
            p.readyWindow != 0 && p.readyWindow <= WINDOW_LIMIT && p.startWindow <= WINDOW_LIMIT && p.minimumBill <= WINDOW_LIMIT;
        bool times = p.freshness != 0 && p.freshness <= SETTLE_LIMIT && p.settleTimeout != 0 && p.settleTimeout <= SETTLE_LIMIT;
        // 2^96 wei is far above any fee; it keeps the escrow of a rental within its 128 bits.
        bool fees = p.protocolFeeBps <= FEE_LIMIT_BPS && p.bridgeFee < 1 << 96 && p.readyFee < 1 << 96;
        if (!windows || !times || !fees) revert InvalidParameters();
        r.protocolFeeBps = p.protocolFeeBps;
        r.bridgeFee = uint96(p.bridgeFee);
        r.readyFee = uint96(p.readyFee);
        r.readyWindow = uint24(p.readyWindow);
        r.startWindow = uint24(p.startWindow);
        r.minimumBill = uint24(p.minimumBill);
        r.freshness = uint24(p.freshness);
        r.settleTimeout = uint24(p.settleTimeout);
    }

    function _pack(ParameterRecord memory r, Safeguards memory s) internal pure {
        bool reserves = s.compensationSeconds <= 1 days && s.reserveSeconds <= s.compensationSeconds;
        bool away = s.maintenanceBudget <= 10 days && s.maintenanceNotice <= SETTLE_LIMIT && s.graceWindow <= 90 days;
        bool deadlines =
            s.deadlineNotice <= 7 days && s.hardDeadline != 0 && s.hardDeadline <= 90 days && s.outageShareBps <= 10_000;
        if (!reserves || !away || !deadlines) revert InvalidParameters();
        r.compensationSeconds = uint24(s.compensationSeconds);
        r.reserveSeconds = uint24(s.reserveSeconds);
        r.graceWindow = uint24(s.graceWindow);
        r.maintenanceNotice = uint24(s.maintenanceNotice);
        r.maintenanceBudget = uint24(s.maintenanceBudget);
        r.deadlineNotice = uint24(s.deadlineNotice);
        r.hardDeadline = uint24(s.hardDeadline);
        r.outageShareBps = s.outageShareBps;
    }
}
