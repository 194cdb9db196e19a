// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Message} from "../types/Protocol.sol";

/// @title Offers, rentals, escrow and settlement on Ethereum: what both halves of GPURental share
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
        DeadlinePassed,
        /// @dev The provider ended it.
        Aborted,
        /// @dev A complaint was upheld.
        Judged,
        /// @dev No report could arrive until the hard deadline.
        BridgeDown
    }

    /// @notice What a rental's provider is held responsible for; decides whether its reserve pays.
    enum Fault {
        None,
        ClosingMissed,
        Aborted,
        Judged
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
        /// @dev Seconds after the end at which the unreported part may be asked back.
        uint64 settleTimeout;
    }

    /// @notice What protects both sides when something goes wrong. Versioned with Parameters: a rental keeps what it was made under.
    struct Safeguards {
        /// @dev Most rent that a compensation amounts to, seconds; at most a day.
        uint32 compensationSeconds;
        /// @dev Rent that a device's reserve must cover to be rentable, seconds; 0 leaves the reserve to the provider.
        uint32 reserveSeconds;
        /// @dev A missed closing challenge is free if the device had no fault for this long, seconds.
        uint32 graceWindow;
        /// @dev Least time between the declaration of maintenance and its start, seconds.
        uint32 maintenanceNotice;
        /// @dev Maintenance of one device per 30 days, seconds.
        uint32 maintenanceBudget;
        /// @dev Time between the request of a refund by deadline and its execution, seconds.
        uint32 deadlineNotice;
        /// @dev Seconds after the end at which the unreported part is split, report or not.
        uint32 hardDeadline;
        /// @dev The provider's share of that split.
        uint16 outageShareBps;
    }

    struct RentRequest {
        uint64 offerId;
        uint32 duration;
        address sessionKey;
    }

    /// @dev A zero deadline stands for no permit.
    struct PermitInput {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice Time that is neither billed nor held against the provider.
    struct Pause {
        uint64 from;
        uint64 until;
    }

    /// @notice Time that was bought later, at the price of then, up to the next segment or the end.
    struct Segment {
        uint64 from;
        uint128 pricePerSecond;
    }

    /// @notice What `rental` does not say.
    struct Details {
        /// @dev May extend and complain besides the renter.
        address delegate;
        /// @dev Part of the device's reserve that stands behind this rental.
        uint128 reserved;
        /// @dev Time after which nothing is paid or refunded while a complaint is open; 0 if none is.
        uint64 frozenFrom;
        uint64 deadlineRequestedAt;
        Fault fault;
        bool endedByRenter;
        Pause[] pauses;
        Segment[] segments;
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
    event RentalExtended(
        uint64 indexed rentalId, address indexed payer, uint32 addedSeconds, uint128 pricePerSecond, uint256 cost
    );
    event DelegateSet(uint64 indexed rentalId, address indexed delegate);
    event MaintenanceDeclared(uint64 indexed rentalId, uint64 from, uint64 until);
    /// @notice The provider is held responsible; whether the reserve pays is decided when the rental closes.
    event FaultRecorded(uint64 indexed rentalId, uint64 indexed deviceId, Fault fault);
    event Compensated(uint64 indexed rentalId, address indexed renter, uint256 amount);
    event ReserveChanged(uint64 indexed deviceId, uint256 free);
    event RentalFrozen(uint64 indexed rentalId, uint64 from);
    event RentalUnfrozen(uint64 indexed rentalId, bool upheld);
    event WithdrawalLimitSet(uint96 capacity, uint32 window);
    event WithdrawalsPaused(address indexed by, uint64 until);
    event VetoSet(uint96 amount, uint32 delay);
    /// @notice Besides Credited: this credit can't be claimed before `availableAt`, and only after `releaseDelayed`.
    event CreditDelayed(address indexed account, uint64 indexed rentalId, uint256 amount, uint64 availableAt);
    event DelayedReleased(address indexed account, uint64 availableAt, uint256 amount);
    event DeadlineRequested(uint64 indexed rentalId, uint64 executableAt);
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
    error ZeroAmount();
    /// @notice GPURentalTerms works on GPURental's storage only.
    error CalledDirectly();
    error NotCourt(address caller);
    error TooMany(uint256 length, uint256 limit);
    /// @notice An end was set already: what was given back can't be bought again.
    error AlreadyEnded(uint64 rentalId);
    error ComplaintOpen(uint64 rentalId);
    error InvalidMaintenance(uint64 from, uint64 until);
    error MaintenanceBudgetExceeded(uint64 left, uint64 needed);
    error ReserveTooSmall(uint64 deviceId, uint256 free, uint256 needed);
    error DeadlineNotRequested(uint64 rentalId);
    error ForeignMessage(address recipient);
}

/// @title The ordinary course of a rental
interface IRentalCourse is IGPURental {
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
    /// @notice Several rentals in one transaction, under one permit over `maxCost` (none if its deadline is zero).
    function rentMany(RentRequest[] calldata requests, uint256 maxCost, PermitInput calldata permit)
        external
        returns (uint64[] memory rentalIds);
    /// @notice Provider: the renter can log in now. Starts the meter, dispatches termsVersion 1.
    function ready(uint64 rentalId) external;
    /// @notice Anybody, with the session key's EIP-712 signature under SessionOpened(rentalId, time).
    function sessionOpened(uint64 rentalId, uint64 time, bytes calldata signature) external;
    /// @notice Renter: end now; the time after now is refunded in this transaction. Without a session and within startWindow
    ///         the rental closes at once: only the ready fee and the protocol fee stay.
    function endRental(uint64 rentalId) external;
    /// @notice Renter, or anybody once readyWindow has passed without `ready`.
    function cancel(uint64 rentalId) external;
    /// @notice RentalCourt: the verdict. Upheld ends the rental where it was frozen; a rental that closed meanwhile is left alone.
    function unfreeze(uint64 rentalId, bool upheld) external;
    /// @notice Pays out the caller's credit.
    function claim(address to) external returns (uint256 amount);
    /// @notice `Inbox.deliver` of a work report, unless that has happened already, and `claim`, in one transaction.
    /// @dev The first three arguments are those of `IInbox.deliver`. The caller earns the bridge fee if the report is the final one.
    function claimWithReport(Message calldata message, bytes32 root, bytes32[32] calldata proof, address to)
        external
        returns (uint256 amount);
    /// @notice Anybody: hands the protocol fees of closed rentals to the TokenDistributor, which burns its part.
    function collectFees() external returns (uint256 amount);

    function quote(uint64 offerId, uint32 duration)
        external
        view
        returns (uint256 rentCost, uint256 protocolFee, uint256 bridgeFee, uint256 readyFee, uint256 total);
    function offerCount() external view returns (uint64);
    function rentalCount() external view returns (uint64);
    function rental(uint64 rentalId) external view returns (Rental memory);
    /// @return rentalId the rental that holds the device, 0 if none.
    function activeRental(uint64 deviceId) external view returns (uint64 rentalId);
    /// @return what `claim` may pay, now or as the limit and pauses allow; credits that wait are in `delayedCredit`.
    function credit(address account) external view returns (uint256);
    function parameters() external view returns (Parameters memory);
    function sessionOpenedDigest(uint64 rentalId, uint64 time) external view returns (bytes32);
}

/// @title Offers, and what leaves a rental's ordinary course
interface IRentalTerms is IGPURental {
    function createOffer(
        uint64 deviceId,
        uint128 pricePerSecond,
        uint32 minDuration,
        uint32 maxDuration,
        bytes32 region,
        string calldata attributes
    ) external returns (uint64 offerId);
    function changeOffer(uint64 offerId, uint128 pricePerSecond, bool paused) external;
    /// @notice Anybody may add to what a device compensates its renters from. It is not slashable.
    function depositReserve(uint64 deviceId, uint128 amount) external;
    /// @notice Provider's owner: takes back what stands behind no rental that a fault could still close.
    function withdrawReserve(uint64 deviceId, uint128 amount) external;

    /// @notice Renter or delegate, any time before the end: more time at the offer's price of now. Earlier time keeps its price.
    function extend(uint64 rentalId, uint32 addedSeconds, uint256 maxCost) external;
    function extendWithPermit(uint64 rentalId, uint32 addedSeconds, uint256 maxCost, PermitInput calldata permit) external;
    /// @notice Renter: who else may extend and complain; zero for nobody.
    function setDelegate(uint64 rentalId, address delegate) external;
    /// @notice Provider: end now. Counts as the provider's fault; the rest is refunded and the reserve compensates.
    function abortRental(uint64 rentalId) external;
    /// @notice Provider: the device will be away. Not billed, not held against the provider; within the device's monthly budget,
    ///         announced ahead, and never over the rental's end. The renter may leave without a minimum bill.
    function declareMaintenance(uint64 rentalId, uint64 from, uint64 until) external;
    /// @notice Anybody: refunds what was not reported, deadlineNotice after the court noted that the bridge works and no report
    ///         came; or splits it, hardDeadline after that point could have been reached.
    function closeAfterDeadline(uint64 rentalId) external;

    /// @notice Anybody: makes credits claimable that waited until `availableAt`.
    function releaseDelayed(address account, uint64 availableAt) external returns (uint256 amount);

    // What the court decides. Its cases, votes and proofs are in IRentalCourt.

    /// @notice A complaint was filed: money for the time after now waits for the verdict.
    function freeze(uint64 rentalId) external;
    /// @notice Queens reached the session's door at `time`: stands in for SessionOpened.
    function witnessSession(uint64 rentalId, uint64 time) external;
    /// @notice The bridge was seen working after the deadline of this rental.
    function noteDeadline(uint64 rentalId) external;

    /// @notice Owner: credits that work reports created leave at most `capacity` at once, refilled over `window` seconds. It delays
    ///         withdrawals, never the acceptance of a report. 0 lifts it.
    function setWithdrawalLimit(uint96 capacity, uint32 window) external;
    /// @notice Owner: what one report credits to one account at once, if it is `amount` (in whole gwei) or more, waits for `delay`, at
    ///         most 7 days, rounded up to the hour. Withdrawals may be paused meanwhile. 0 lifts it.
    function setVeto(uint96 amount, uint32 delay) external;
    /// @notice Owner, or the court for a third of the Kings: such credits do not leave until `until`, at most 7 days ahead.
    function pauseWithdrawals(uint64 until) external;
    /// @notice The bucket; `level` is that of the last withdrawal.
    function withdrawalLimit() external view returns (uint96 capacity, uint96 level, uint32 window, uint64 pausedUntil);
    function veto() external view returns (uint96 amount, uint32 delay);
    function delayedCredit(address account, uint64 availableAt) external view returns (uint256);
    function safeguards() external view returns (Safeguards memory);
    /// @notice The safeguards that a rental was made under.
    function safeguardsOf(uint64 rentalId) external view returns (Safeguards memory);
    /// @notice The parameters that a rental was made under.
    function parametersOf(uint64 rentalId) external view returns (Parameters memory);
    function offer(uint64 offerId) external view returns (Offer memory);
    function details(uint64 rentalId) external view returns (Details memory);
    /// @return free part of a device's reserve that stands behind no rental.
    function reserveOf(uint64 deviceId) external view returns (uint256 free);
    /// @return time from which the refund of what was not reported can be asked for.
    function deadlineOf(uint64 rentalId) external view returns (uint64 time);
}

/// @title All of GPURental
interface IRental is IRentalCourse, IRentalTerms {}
