// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IInbox, IMessageRecipient, IOutbox} from "../interfaces/IBridge.sol";
import {IRentalCourse} from "../interfaces/IGPURental.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {ITokenDistributor} from "../interfaces/ITokenDistributor.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {KIND_WORK_REPORT, Message, WorkReport} from "../types/Protocol.sol";
import {GPUToken} from "./GPUToken.sol";
import {RentalReports} from "./RentalReports.sol";
import {RentalStore} from "./RentalStore.sol";

/// @title Offers, rentals, escrow and settlement
/// @dev All money leaves through `claim`. Every open rental reaches an end without the help of any one party (docs/rentals.md).
///
///      The code is more than one contract may hold, so its less used half stands in GPURentalTerms, which works on
///      this contract's storage by delegatecall. Its address is fixed at deployment: this is not a way to
///      replace code. Both halves have the same bases in the same order, hence the same storage; what this half adds to it
///      (EIP712) comes after all of that.
contract GPURental is RentalReports, IRentalCourse, IMessageRecipient, EIP712 {
    using SafeERC20 for GPUToken;

    bytes32 private constant SESSION_OPENED_TYPEHASH = keccak256("SessionOpened(uint64 rentalId,uint64 time)");
    /// @dev Bounds what one transaction of a renter does.
    uint256 private constant RENTALS_PER_CALL = 16;

    error NoCode(address account);

    /// @notice The other half: offers, and what leaves a rental's ordinary course.
    address public immutable terms;

    constructor(
        GPUToken token_,
        IStakingManager stakingManager_,
        ITokenDistributor distributor_,
        address owner_,
        Parameters memory parameters_,
        address terms_
    ) RentalStore(token_, stakingManager_, distributor_) EIP712("gpumkt", "1") Ownable(owner_) {
        if (address(token_) == address(0) || address(stakingManager_) == address(0) || address(distributor_) == address(0)) {
            revert ZeroAddress();
        }
        // A call to an account without code would look like success.
        if (terms_.code.length == 0) revert NoCode(terms_);
        terms = terms_;
        ParameterRecord memory p;
        _pack(p, parameters_);
        _pack(p, Safeguards(1 days, 0, 30 days, 1 days, 8 hours, 1 days, 30 days, 5000));
        parameterVersions.push(p);
        emit ParametersSet(0, parameters_);
    }

    /// @dev Calls of IRentalTerms.
    fallback() external {
        address target = terms;
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, 0, calldatasize())
            let success := delegatecall(gas(), target, data, calldatasize(), 0, 0)
            returndatacopy(data, 0, returndatasize())
            if iszero(success) { revert(data, returndatasize()) }
            return(data, returndatasize())
        }
    }

    function wire(address inbox_, address outbox_, uint64 classicChainId_, address workVerification_) external wiresOnce {
        _inbox = _nonZero(inbox_);
        _outbox = IOutbox(_nonZero(outbox_));
        _classicChainId = classicChainId_;
        _workVerification = _nonZero(workVerification_);
    }

    // --------------------------------------------------------------------------------------------- renting

    /// @inheritdoc IRentalCourse
    function rent(uint64 offerId, uint32 duration, address sessionKey, uint256 maxCost) external returns (uint64 rentalId) {
        return _rent(offerId, duration, sessionKey, maxCost);
    }

    /// @inheritdoc IRentalCourse
    function rentWithPermit(
        uint64 offerId,
        uint32 duration,
        address sessionKey,
        uint256 maxCost,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint64 rentalId) {
        _permit(maxCost, PermitInput(deadline, v, r, s));
        return _rent(offerId, duration, sessionKey, maxCost);
    }

    /// @inheritdoc IRentalCourse
    function rentMany(RentRequest[] calldata requests, uint256 maxCost, PermitInput calldata permit)
        external
        returns (uint64[] memory rentalIds)
    {
        if (requests.length == 0) revert ZeroAmount();
        if (requests.length > RENTALS_PER_CALL) revert TooMany(requests.length, RENTALS_PER_CALL);
        _permit(maxCost, permit);
        rentalIds = new uint64[](requests.length);
        uint256 total;
        for (uint256 i; i < requests.length; ++i) {
            uint256 cost;
            (rentalIds[i], cost) = _request(requests[i].offerId, requests[i].duration, requests[i].sessionKey);
            total += cost;
        }
        _collect(total, maxCost);
    }

    /// @inheritdoc IRentalCourse
    function ready(uint64 rentalId) external {
        Record storage r = _rental(rentalId);
        address provider = offers[r.offerId].provider;
        _requireProvider(provider);
        if (r.state != State.Requested) revert WrongState(rentalId, r.state);
        uint64 notAfter = _readyUntil(r);
        if (block.timestamp > notAfter) revert TooLate(notAfter);
        r.state = State.Active;
        r.termsVersion = 1;
        r.start = uint40(block.timestamp);
        r.end = uint40(block.timestamp + r.duration);
        _release(rentalId, provider, _terms(r).readyFee);
        emit RentalReady(rentalId, r.start, r.end, _dispatchTerms(rentalId, r));
    }

    /// @inheritdoc IRentalCourse
    function sessionOpened(uint64 rentalId, uint64 time, bytes calldata signature) external {
        Record storage r = _active(rentalId);
        if (time > r.end) revert TooLate(r.end);
        address recovered = _recover(sessionOpenedDigest(rentalId, time), signature);
        if (recovered != r.sessionKey) revert InvalidSessionSignature(recovered, r.sessionKey);
        _open(rentalId, r, time);
    }

    // ------------------------------------------------------------------------------------------------ ends

    /// @inheritdoc IRentalCourse
    function endRental(uint64 rentalId) external {
        Record storage r = _rental(rentalId);
        _requireRenter(r);
        _requireRunning(rentalId, r);
        ParameterRecord storage p = _terms(r);
        uint256 end = block.timestamp;
        // A renter that never got in owes nothing for time while the start window lasts.
        bool leavesFree = r.openedAt == 0 && end <= uint256(r.start) + p.startWindow;
        uint256 billed = uint256(r.start) + p.minimumBill;
        if (!leavesFree && r.pauses == 0 && end < billed) end = billed;
        r.endedByRenter = true;
        _endAt(rentalId, r, end);
        if (leavesFree) _close(rentalId, r, CloseReason.NeverOpened, address(0), true);
    }

    /// @inheritdoc IRentalCourse
    function cancel(uint64 rentalId) external {
        Record storage r = _rental(rentalId);
        if (r.state != State.Requested) revert WrongState(rentalId, r.state);
        uint64 notAfter = _readyUntil(r);
        if (msg.sender != r.renter && block.timestamp <= notAfter) revert TooEarly(notAfter + 1);
        _close(rentalId, r, CloseReason.NotReady, address(0), false);
    }

    /// @inheritdoc IMessageRecipient
    function handle(uint64 origin, address sender, bytes calldata body, address deliverer) external {
        if (msg.sender != _inbox) revert NotInbox(msg.sender);
        if (origin != _classicChainId || sender != _workVerification) revert UntrustedSender(origin, sender);
        (uint8 kind, bytes calldata fields) = MessageBody.split(body);
        if (kind != KIND_WORK_REPORT) revert UnknownKind(kind);
        if (deliverer == address(this)) deliverer = _bringer;
        _reporting = true;
        _applyReport(abi.decode(fields, (WorkReport)), deliverer);
        _reporting = false;
    }

    /// @inheritdoc IRentalCourse
    function unfreeze(uint64 rentalId, bool upheld) external onlyCourt {
        Record storage r = _rental(rentalId);
        uint256 from = r.frozenFrom;
        if (from == 0) return;
        r.frozenFrom = 0;
        emit RentalUnfrozen(rentalId, upheld);
        if (r.state != State.Active) return;
        if (upheld) {
            _recordFault(rentalId, r, Fault.Judged);
            // Who left after complaining left for cause.
            r.endedByRenter = false;
            _endAt(rentalId, r, from);
        }
        _reporting = true;
        _applyKept(rentalId);
        _reporting = false;
    }

    /// @inheritdoc IRentalCourse
    function claim(address to) external returns (uint256 amount) {
        return _claim(to);
    }

    /// @inheritdoc IRentalCourse
    function claimWithReport(Message calldata message, bytes32, bytes32[32] calldata, address to)
        external
        returns (uint256 amount)
    {
        if (message.recipient != address(this)) revert ForeignMessage(message.recipient);
        // Somebody else may have brought it in the meantime.
        if (!IInbox(_inbox).delivered(message.index)) {
            _bringer = msg.sender;
            _forwardToInbox();
            _bringer = address(0);
        }
        amount = _claim(to);
    }

    /// @inheritdoc IRentalCourse
    function collectFees() external returns (uint256 amount) {
        amount = _takeCredit(address(_distributor));
        emit Claimed(address(_distributor), address(_distributor), amount);
        _token.safeTransfer(address(_distributor), amount);
        _distributor.onFee(amount);
    }

    // ----------------------------------------------------------------------------------------------- views

    /// @inheritdoc IRentalCourse
    function quote(uint64 offerId, uint32 duration)
        external
        view
        returns (uint256 rentCost, uint256 protocolFee, uint256 bridgeFee, uint256 readyFee, uint256 total)
    {
        ParameterRecord storage p = _newest();
        rentCost = uint256(_offer(offerId).pricePerSecond) * duration;
        protocolFee = _protocolFee(p, rentCost);
        bridgeFee = p.bridgeFee;
        readyFee = p.readyFee;
        total = rentCost + protocolFee + bridgeFee + readyFee;
    }

    function rental(uint64 rentalId) external view returns (Rental memory v) {
        Record storage r = _rental(rentalId);
        OfferRecord storage o = offers[r.offerId];
        ParameterRecord storage p = _terms(r);
        v.renter = r.renter;
        v.sessionKey = r.sessionKey;
        v.provider = o.provider;
        v.deviceId = o.deviceId;
        v.offerId = r.offerId;
        v.state = r.state;
        v.closeReason = r.closeReason;
        v.termsVersion = r.termsVersion;
        v.duration = r.duration;
        v.requestedAt = r.requestedAt;
        v.start = r.start;
        v.end = r.end;
        v.openedAt = r.openedAt;
        v.coveredUntil = r.start + r.coveredSeconds;
        v.verifiedSeconds = r.verifiedSeconds;
        v.due = r.due;
        v.passed = r.passed;
        v.pricePerSecond = r.pricePerSecond;
        uint256 rentCost = _valueOf(rentalId, r, 0, r.duration);
        v.protocolFee = uint128(_protocolFee(p, rentCost));
        v.bridgeFee = p.bridgeFee;
        v.readyFee = p.readyFee;
        v.protocolFeeBps = p.protocolFeeBps;
        v.escrowed = uint128(rentCost) + v.protocolFee + v.bridgeFee + v.readyFee;
        v.paid = uint128(_paid(r));
        v.refunded = r.refunded;
        v.fees = r.state > State.Active ? v.escrowed - v.paid - v.refunded : r.state == State.Active ? v.readyFee : 0;
    }

    /// @inheritdoc IRentalCourse
    function activeRental(uint64 deviceId) external view returns (uint64 rentalId) {
        rentalId = deviceRecords[deviceId].newestRental;
        if (rentalId != 0 && !_holdsDevice(rentals[rentalId])) return 0;
    }

    function credit(address account) external view returns (uint256) {
        return uint256(accounts[account].free) + accounts[account].reported;
    }

    function parameters() external view returns (Parameters memory) {
        return _parametersOf(_newest());
    }

    function token() external view returns (GPUToken) {
        return _token;
    }

    function stakingManager() external view returns (IStakingManager) {
        return _stakingManager;
    }

    function distributor() external view returns (ITokenDistributor) {
        return _distributor;
    }

    function inbox() external view returns (address) {
        return _inbox;
    }

    function outbox() external view returns (IOutbox) {
        return _outbox;
    }

    function classicChainId() external view returns (uint64) {
        return _classicChainId;
    }

    function workVerification() external view returns (address) {
        return _workVerification;
    }

    /// @notice RentalCourt; set once. Without it there are no complaints, no receipts, and no refund before the hard deadline.
    function court() external view returns (address) {
        return _court;
    }

    function offerCount() external view returns (uint64) {
        return _offerCount;
    }

    function rentalCount() external view returns (uint64) {
        return _rentalCount;
    }

    /// @notice Sum of all credits not claimed yet.
    function totalCredit() external view returns (uint256) {
        return _totalCredit;
    }

    /// @notice Escrow of open rentals that is neither paid, refunded nor spent on fees yet.
    function totalHeld() external view returns (uint256) {
        return _totalHeld;
    }

    /// @notice Reserves of all devices, free or behind rentals.
    function totalReserve() external view returns (uint256) {
        return _totalReserve;
    }

    /// @inheritdoc IRentalCourse
    function sessionOpenedDigest(uint64 rentalId, uint64 time) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(SESSION_OPENED_TYPEHASH, rentalId, time)));
    }

    // -------------------------------------------------------------------------------------------- internal

    function _rent(uint64 offerId, uint32 duration, address sessionKey, uint256 maxCost) private returns (uint64 rentalId) {
        uint256 cost;
        (rentalId, cost) = _request(offerId, duration, sessionKey);
        _collect(cost, maxCost);
    }

    function _request(uint64 offerId, uint32 duration, address sessionKey) private returns (uint64 rentalId, uint256 total) {
        OfferRecord storage o = _offer(offerId);
        if (sessionKey == address(0)) revert ZeroAddress();
        if (o.paused) revert OfferIsPaused(offerId);
        if (duration < o.minDuration || duration > o.maxDuration) {
            revert InvalidDuration(duration, o.minDuration, o.maxDuration);
        }
        uint256 version = parameterVersions.length - 1;
        ParameterRecord storage p = parameterVersions[version];
        _requireRentable(o, p);

        rentalId = ++_rentalCount;
        deviceRecords[o.deviceId].newestRental = rentalId;
        Record storage r = rentals[rentalId];
        r.renter = msg.sender;
        r.pricePerSecond = o.pricePerSecond;
        r.state = State.Requested;
        r.sessionKey = sessionKey;
        r.duration = duration;
        r.offerId = offerId;
        r.requestedAt = uint40(block.timestamp);
        r.parameterVersion = uint32(version);
        _reserve(o.deviceId, r, p);
        uint256 rentCost = uint256(o.pricePerSecond) * duration;
        total = rentCost + _protocolFee(p, rentCost) + p.bridgeFee + p.readyFee;
        _hold(total);
        emit RentalRequested(rentalId, offerId, msg.sender, o.provider, o.deviceId, sessionKey, duration, total);
    }

    /// @dev Free, staked, not slashed, and proven not long ago. A request that its provider let pass is cancelled on the way.
    function _requireRentable(OfferRecord storage o, ParameterRecord storage p) private {
        uint64 deviceId = o.deviceId;
        DeviceRecord storage record = deviceRecords[deviceId];
        uint64 newest = record.newestRental;
        if (newest != 0) {
            Record storage n = rentals[newest];
            if (_holdsDevice(n)) revert DeviceBusy(deviceId, newest);
            if (n.state == State.Requested) _close(newest, n, CloseReason.NotReady, address(0), false);
        }
        (, uint64 lastFullPass, bool eligible) = _stakingManager.rentability(deviceId);
        uint64 proven = lastFullPass > record.verifiedUntil ? lastFullPass : record.verifiedUntil;
        bool fresh = proven != 0 && proven + p.freshness >= block.timestamp;
        if (!fresh || !eligible) revert DeviceNotRentable(deviceId, lastFullPass);
    }

    /// @dev Only for a call whose arguments begin with those of `IInbox.deliver`: passes them on as they came. The Inbox decodes them
    ///      with all checks; what follows them is nothing to it.
    function _forwardToInbox() private {
        address target = _inbox;
        uint256 selector = uint32(IInbox.deliver.selector);
        assembly ("memory-safe") {
            let input := mload(0x40)
            mstore(input, shl(224, selector))
            calldatacopy(add(input, 4), 4, sub(calldatasize(), 4))
            if iszero(call(gas(), target, 0, input, calldatasize(), 0, 0)) {
                returndatacopy(input, 0, returndatasize())
                revert(input, returndatasize())
            }
        }
    }

    function _recover(bytes32 digest, bytes calldata signature) private pure returns (address recovered) {
        if (signature.length == 64) {
            (recovered,,) = ECDSA.tryRecover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
        } else {
            (recovered,,) = ECDSA.tryRecover(digest, signature);
        }
    }
}
