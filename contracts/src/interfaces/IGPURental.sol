// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Offers, rentals, escrow and settlement on Ethereum
interface IGPURental {
    enum State {
        None,
        /// @dev Paid, waiting for the provider's `ready`.
        Requested,
        Active,
        Completed,
        Cancelled
    }

    enum CloseReason {
        None,
        Completed,
        NotReady,
        NeverOpened,
        DeadlinePassed
    }

    struct Parameters {
        uint16 protocolFeeBps;
        /// @dev Escrowed per rental, paid to whoever delivers the final report.
        uint128 bridgeFee;
        /// @dev Paid to the provider at `ready`.
        uint128 readyFee;
        uint64 readyWindow;
        uint64 startWindow;
        /// @dev Least verified time a renter pays for once a session was opened, seconds.
        uint64 minimumBill;
        /// @dev Age up to which a full pass makes a device rentable, seconds.
        uint64 freshness;
        /// @dev Seconds after the end at which the unreported part is refunded.
        uint64 settleTimeout;
    }

    struct Offer {
        uint64 deviceId;
        address provider;
        uint32 classVersion;
        uint128 pricePerSecond;
        uint32 minDuration;
        uint32 maxDuration;
        bytes32 region;
        bool paused;
    }

    struct Rental {
        address renter;
        address sessionKey;
        address provider;
        uint64 deviceId;
        uint64 offerId;
        State state;
        CloseReason closeReason;
        uint32 termsVersion;
        uint32 duration;
        uint64 requestedAt;
        uint64 start;
        uint64 end;
        uint64 openedAt;
        uint64 coveredUntil;
        uint64 verifiedSeconds;
        uint32 due;
        uint32 passed;
        uint128 pricePerSecond;
        uint128 protocolFee;
        uint128 bridgeFee;
        uint128 readyFee;
        uint16 protocolFeeBps;
        /// @dev All that the renter ever paid in.
        uint128 escrowed;
        uint128 paid;
        uint128 refunded;
        uint128 fees;
    }

    event OfferCreated(
        uint64 indexed offerId,
        uint64 indexed deviceId,
        address indexed provider,
        uint32 classVersion,
        uint128 pricePerSecond,
        uint32 minDuration,
        uint32 maxDuration,
        bytes32 region,
        string attributes
    );
    event OfferChanged(uint64 indexed offerId, uint128 pricePerSecond, bool paused);
    event RentalRequested(
        uint64 indexed rentalId,
        uint64 indexed offerId,
        address indexed renter,
        address provider,
        uint64 deviceId,
        address sessionKey,
        uint32 duration,
        uint256 escrowed
    );
    event RentalReady(uint64 indexed rentalId, uint64 start, uint64 end, uint32 messageIndex);
    event SessionWasOpened(uint64 indexed rentalId, uint64 time);
    event TermsChanged(
        uint64 indexed rentalId, uint32 termsVersion, uint64 start, uint64 end, uint256 refunded, uint32 messageIndex
    );
    event WorkReportApplied(
        uint64 indexed rentalId,
        uint32 termsVersion,
        uint64 coveredUntil,
        uint64 verifiedSeconds,
        uint32 due,
        uint32 passed,
        uint256 paid,
        uint256 refunded,
        bool isFinal
    );
    event RentalClosed(uint64 indexed rentalId, CloseReason reason, uint256 paid, uint256 refunded, uint256 fees);
    event Credited(address indexed account, uint64 indexed rentalId, uint256 amount);
    event Claimed(address indexed account, address indexed to, uint256 amount);

    error UnknownOffer(uint64 offerId);
    error UnknownRental(uint64 rentalId);
    error NotProvider(address caller, address provider);
    error NotRenter(address caller, address renter);
    error OfferIsPaused(uint64 offerId);
    error InvalidPrice();
    error InvalidDuration(uint32 duration, uint32 minimum, uint32 maximum);
    error DeviceNotRentable(uint64 deviceId, uint64 lastFullPass);
    error DeviceBusy(uint64 deviceId, uint64 rentalId);
    error MaxCostExceeded(uint256 cost, uint256 maxCost);
    error WrongState(uint64 rentalId, State state);
    error TooEarly(uint64 notBefore);
    error TooLate(uint64 notAfter);
    error InvalidSessionSignature(address recovered, address expected);
    error AttributesTooLong(uint256 length);
    error NothingToClaim(address account);
    error ZeroAddress();

    function createOffer(
        uint64 deviceId,
        uint128 pricePerSecond,
        uint32 minDuration,
        uint32 maxDuration,
        bytes32 region,
        string calldata attributes
    ) external returns (uint64 offerId);
    function changeOffer(uint64 offerId, uint128 pricePerSecond, bool paused) external;

    /// @param maxCost refuses a price that rose in the meantime.
    function rent(uint64 offerId, uint32 duration, address sessionKey, uint256 maxCost) external returns (uint64 rentalId);
    function rentWithPermit(
        uint64 offerId,
        uint32 duration,
        address sessionKey,
        uint256 maxCost,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint64 rentalId);
    /// @notice Provider: the renter can log in now. Starts the meter, dispatches termsVersion 1.
    function ready(uint64 rentalId) external;
    /// @notice Anybody, with the session key's EIP-712 signature under SessionOpened(rentalId, time).
    function sessionOpened(uint64 rentalId, uint64 time, bytes calldata signature) external;
    /// @notice Renter: end now; the time after now is refunded in this transaction.
    function endRental(uint64 rentalId) external;
    /// @notice Renter, or anybody once readyWindow has passed without `ready`.
    function cancel(uint64 rentalId) external;
    /// @notice Anybody, settleTimeout after the end without a final report.
    function closeAfterDeadline(uint64 rentalId) external;
    function claim(address to) external returns (uint256 amount);

    function quote(uint64 offerId, uint32 duration)
        external
        view
        returns (uint256 rentCost, uint256 protocolFee, uint256 bridgeFee, uint256 readyFee, uint256 total);
    function offer(uint64 offerId) external view returns (Offer memory);
    function offerCount() external view returns (uint64);
    function rental(uint64 rentalId) external view returns (Rental memory);
    function rentalCount() external view returns (uint64);
    /// @return rentalId the rental that holds the device, 0 if none.
    function activeRental(uint64 deviceId) external view returns (uint64 rentalId);
    function credit(address account) external view returns (uint256);
    function parameters() external view returns (Parameters memory);
    function sessionOpenedDigest(uint64 rentalId, uint64 time) external view returns (bytes32);
}
