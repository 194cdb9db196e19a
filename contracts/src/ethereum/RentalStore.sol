// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IOutbox} from "../interfaces/IBridge.sol";
import {IGPURental} from "../interfaces/IGPURental.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {Wired} from "../libraries/Wired.sol";
import {GPUToken} from "./GPUToken.sol";
import {TokenDistributor} from "./TokenDistributor.sol";

/// @title State, parameters and views of GPURental
abstract contract RentalStore is IGPURental, EIP712, Ownable, Wired {
    bytes32 internal constant SESSION_OPENED_TYPEHASH = keccak256("SessionOpened(uint64 rentalId,uint64 time)");
    uint16 internal constant FEE_LIMIT_BPS = 2000;
    uint64 internal constant WINDOW_LIMIT = 1 days;
    uint64 internal constant SETTLE_LIMIT = 30 days;

    GPUToken public immutable token;
    IStakingManager public immutable stakingManager;
    TokenDistributor public immutable distributor;
    address public inbox;
    IOutbox public outbox;
    uint64 public classicChainId;
    address public workVerification;

    uint64 public offerCount;
    uint64 public rentalCount;
    /// @notice Sum of all credits not claimed yet.
    uint256 public totalCredit;
    /// @notice Escrow of open rentals that is neither paid, refunded nor spent on fees yet.
    uint256 public totalHeld;

    /// @dev Only added to: a rental keeps the version it was made under.
    Parameters[] internal parameterVersions;
    mapping(uint64 rentalId => uint256 version) internal parameterVersionOf;
    mapping(uint64 offerId => Offer) internal offers;
    mapping(uint64 rentalId => Rental) internal rentals;
    /// @dev The newest rental of a device; whether it still holds the device is for `activeRental` to say.
    mapping(uint64 deviceId => uint64 rentalId) internal newestRental;
    /// @dev Ends of rentals in which every challenge passed: as good as a full pass for the next one.
    mapping(uint64 deviceId => uint64 time) internal verifiedUntil;
    mapping(address account => uint256) internal credits;

    event ParametersSet(uint256 indexed version, Parameters parameters);

    error InvalidParameters();

    constructor(
        GPUToken token_,
        IStakingManager stakingManager_,
        TokenDistributor distributor_,
        address owner_,
        Parameters memory parameters_
    ) EIP712("gpumkt", "1") Ownable(owner_) {
        if (address(token_) == address(0) || address(stakingManager_) == address(0) || address(distributor_) == address(0)) {
            revert ZeroAddress();
        }
        token = token_;
        stakingManager = stakingManager_;
        distributor = distributor_;
        _setParameters(parameters_);
    }

    function wire(address inbox_, address outbox_, uint64 classicChainId_, address workVerification_) external wiresOnce {
        inbox = _nonZero(inbox_);
        outbox = IOutbox(_nonZero(outbox_));
        classicChainId = classicChainId_;
        workVerification = _nonZero(workVerification_);
    }

    /// @notice Applies to rentals made from now on.
    function setParameters(Parameters calldata parameters_) external onlyOwner {
        _setParameters(parameters_);
    }

    /// @inheritdoc IGPURental
    function quote(uint64 offerId, uint32 duration)
        public
        view
        returns (uint256 rentCost, uint256 protocolFee, uint256 bridgeFee, uint256 readyFee, uint256 total)
    {
        Offer storage o = _offer(offerId);
        Parameters storage p = parameterVersions[parameterVersions.length - 1];
        rentCost = uint256(o.pricePerSecond) * duration;
        protocolFee = (rentCost * p.protocolFeeBps) / 10_000;
        bridgeFee = p.bridgeFee;
        readyFee = p.readyFee;
        total = rentCost + protocolFee + bridgeFee + readyFee;
    }

    function offer(uint64 offerId) external view returns (Offer memory) {
        return _offer(offerId);
    }

    function rental(uint64 rentalId) external view returns (Rental memory) {
        return _rental(rentalId);
    }

    /// @inheritdoc IGPURental
    function activeRental(uint64 deviceId) public view returns (uint64 rentalId) {
        rentalId = newestRental[deviceId];
        if (rentalId == 0) return 0;
        Rental storage r = rentals[rentalId];
        bool waiting = r.state == State.Requested && block.timestamp <= _readyUntil(rentalId, r);
        // A rental that is over and waits for its last report does not hold the device any more.
        bool running = r.state == State.Active && block.timestamp < r.end;
        if (!waiting && !running) return 0;
    }

    function credit(address account) external view returns (uint256) {
        return credits[account];
    }

    function parameters() external view returns (Parameters memory) {
        return parameterVersions[parameterVersions.length - 1];
    }

    /// @notice The parameters that a rental was made under.
    function parametersOf(uint64 rentalId) external view returns (Parameters memory) {
        _rental(rentalId);
        return _terms(rentalId);
    }

    /// @inheritdoc IGPURental
    function sessionOpenedDigest(uint64 rentalId, uint64 time) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(SESSION_OPENED_TYPEHASH, rentalId, time)));
    }

    function _terms(uint64 rentalId) internal view returns (Parameters storage) {
        return parameterVersions[parameterVersionOf[rentalId]];
    }

    function _readyUntil(uint64 rentalId, Rental storage r) internal view returns (uint64) {
        return r.requestedAt + _terms(rentalId).readyWindow;
    }

    function _offer(uint64 offerId) internal view returns (Offer storage o) {
        o = offers[offerId];
        if (o.provider == address(0)) revert UnknownOffer(offerId);
    }

    function _rental(uint64 rentalId) internal view returns (Rental storage r) {
        r = rentals[rentalId];
        if (r.state == State.None) revert UnknownRental(rentalId);
    }

    function _requireProvider(address provider) internal view {
        if (stakingManager.accountOf(msg.sender) != provider) revert NotProvider(msg.sender, provider);
    }

    function _setParameters(Parameters memory p) private {
        bool windows =
            p.readyWindow != 0 && p.readyWindow <= WINDOW_LIMIT && p.startWindow <= WINDOW_LIMIT && p.minimumBill <= WINDOW_LIMIT;
        bool times = p.freshness != 0 && p.freshness <= SETTLE_LIMIT && p.settleTimeout != 0 && p.settleTimeout <= SETTLE_LIMIT;
        // 2^96 wei is far above any fee; it keeps the escrow of a rental within its 128 bits.
        bool fees = p.protocolFeeBps <= FEE_LIMIT_BPS && p.bridgeFee < 1 << 96 && p.readyFee < 1 << 96;
        if (!windows || !times || !fees) revert InvalidParameters();
        parameterVersions.push(p);
        emit ParametersSet(parameterVersions.length - 1, p);
    }
}
