// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../../src/interfaces/IBridge.sol";
import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {DeviceReport, FaultProven, WorkReport} from "../../src/types/Protocol.sol";
import {IRentalTotals, World} from "../utils/World.sol";

contract RentalTest is World {
    uint64 private deviceId;
    uint64 private offerId;

    function setUp() public override {
        super.setUp();
        deviceId = registerDevice();
        onEthereum();
        vm.warp(1_000_000);
        _fresh(1_000_000, 1);
        offerId = makeOffer(deviceId);
    }

    function _deliver(address to, uint8 kind, bytes memory fields) private {
        vm.prank(address(ethInbox));
        IMessageRecipient(to).handle(CLASSIC, address(work), abi.encodePacked(kind, fields), relay);
    }

    function _fresh(uint64 lastFullPass, uint64 index) private {
        _deliver(address(staking), 17, abi.encode(DeviceReport(deviceId, lastFullPass, 700_000, 1000, 0, index)));
    }

    function _report(uint64 rentalId, uint32 version, uint64 covered, uint64 verified, bool isFinal) private {
        IGPURental.Rental memory r = rental.rental(rentalId);
        uint32 passed = verified == covered ? 3 : 2;
        WorkReport memory report = WorkReport(rentalId, version, r.start + covered, verified, 3, passed, 1000, isFinal, 0, false);
        _deliver(address(rental), 16, abi.encode(report));
    }

    function _active(uint32 duration) private returns (uint64 rentalId) {
        rentalId = rentAs(renter, offerId, duration);
        readyAs(rentalId);
        openSession(rentalId);
    }

    function _assertClosed(uint64 rentalId, IGPURental.CloseReason reason) private view {
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertTrue(r.closeReason == reason, "close reason");
        assertEq(r.escrowed, uint256(r.paid) + r.refunded + r.fees, "conservation");
        IRentalTotals totals = IRentalTotals(address(rental));
        assertEq(token.balanceOf(address(rental)), totals.totalCredit() + totals.totalHeld() + totals.totalReserve(), "solvency");
    }

    // ------------------------------------------------------------------------------------------ offers

    function test_offersNeedTheirProviderAndSaneTerms() public {
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotProvider.selector, address(this), provider));
        rental.createOffer(deviceId, PRICE, 1, 2, "", "");
        vm.startPrank(provider);
        vm.expectRevert(IGPURental.InvalidPrice.selector);
        rental.createOffer(deviceId, 0, 1, 2, "", "");
        vm.expectRevert(IGPURental.InvalidPrice.selector);
        rental.createOffer(deviceId, type(uint128).max, 1, 2, "", "");
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidDuration.selector, 3, 1, 2));
        rental.createOffer(deviceId, PRICE, 3, 2, "", "");
        vm.expectRevert(abi.encodeWithSelector(IGPURental.AttributesTooLong.selector, 2049));
        rental.createOffer(deviceId, PRICE, 1, 2, "", string(new bytes(2049)));
        rental.changeOffer(offerId, 2 * PRICE, true);
        assertEq(rental.offer(offerId).pricePerSecond, 2 * PRICE);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotProvider.selector, address(this), provider));
        rental.changeOffer(offerId, PRICE, false);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.OfferIsPaused.selector, offerId));
        rental.rent(offerId, 600, sessionKey, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.UnknownOffer.selector, 9));
        rental.rent(9, 600, sessionKey, type(uint256).max);
    }

    // ----------------------------------------------------------------------------------------- renting

    function test_rentTakesExactlyTheQuote() public {
        (uint256 cost, uint256 fee, uint256 bridgeFee, uint256 readyFee, uint256 total) = rental.quote(offerId, 600);
        assertEq(cost, 600 * uint256(PRICE));
        assertEq(total, cost + fee + bridgeFee + readyFee);
        uint256 before = token.balanceOf(renter);
        uint64 rentalId = rentAs(renter, offerId, 600);
        assertEq(token.balanceOf(renter), before - total);
        assertEq(rental.activeRental(deviceId), rentalId);
        assertEq(rental.rental(rentalId).escrowed, total);
    }

    function test_rentWithPermitIsOneTransaction() public {
        (,,,, uint256 total) = rental.quote(offerId, 600);
        bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typehash, renter, rental, total, 0, block.timestamp));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(renterKey, digest);
        vm.prank(renter);
        rental.rentWithPermit(offerId, 600, sessionKey, total, block.timestamp, v, r, s);
        assertEq(rental.rentalCount(), 1);
    }

    function test_rentRefusals() public {
        vm.startPrank(renter);
        token.approve(address(rental), type(uint256).max);
        (,,,, uint256 total) = rental.quote(offerId, 600);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.MaxCostExceeded.selector, total, total - 1));
        rental.rent(offerId, 600, sessionKey, total - 1);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidDuration.selector, 59, 60, 3600));
        rental.rent(offerId, 59, sessionKey, total);
        vm.expectRevert(IGPURental.ZeroAddress.selector);
        rental.rent(offerId, 600, address(0), total);
        uint64 rentalId = rental.rent(offerId, 600, sessionKey, total);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.DeviceBusy.selector, deviceId, rentalId));
        rental.rent(offerId, 600, sessionKey, total);
    }

    function test_staleSlashedOrRemovedDevicesAreNotRentable() public {
        bytes memory refusal = abi.encodeWithSelector(IGPURental.DeviceNotRentable.selector, deviceId, 1_000_000);
        uint256 clean = vm.snapshotState();
        vm.warp(1_000_000 + 1 days + 1);
        vm.expectRevert(refusal);
        rental.rent(offerId, 600, sessionKey, type(uint256).max);
        vm.revertToState(clean);
        _deliver(address(staking), 18, abi.encode(FaultProven(deviceId, 1, 1, address(0), address(0))));
        vm.expectRevert(refusal);
        rental.rent(offerId, 600, sessionKey, type(uint256).max);
        vm.revertToState(clean);
        vm.prank(provider);
        staking.removeDevice(deviceId);
        vm.expectRevert(refusal);
        rental.rent(offerId, 600, sessionKey, type(uint256).max);
        vm.prank(provider);
        vm.expectRevert(refusal);
        rental.createOffer(deviceId, PRICE, 1, 2, "", "");
    }

    function test_readyStartsTheMeterAndPaysTheFee() public {
        uint64 rentalId = rentAs(renter, offerId, 600);
        vm.warp(block.timestamp + 10);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotProvider.selector, address(this), provider));
        rental.ready(rentalId);
        readyAs(rentalId);
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertEq(r.start, 1_000_010);
        assertEq(r.end, 1_000_610);
        assertEq(r.termsVersion, 1);
        assertEq(rental.credit(provider), 2e15);
        relayAll(ethOutbox);
        assertEq(work.rental(rentalId).end, 1_000_610);
        onEthereum();
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.WrongState.selector, rentalId, IGPURental.State.Active));
        rental.ready(rentalId);
    }

    function test_lateReadyIsRefusedAndAnybodyCancels() public {
        uint64 rentalId = rentAs(renter, offerId, 600);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooEarly.selector, 1_000_061));
        rental.cancel(rentalId);
        vm.warp(1_000_061);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooLate.selector, 1_000_060));
        rental.ready(rentalId);
        rental.cancel(rentalId);
        assertEq(rental.credit(renter), rental.rental(rentalId).escrowed);
        _assertClosed(rentalId, IGPURental.CloseReason.NotReady);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.WrongState.selector, rentalId, IGPURental.State.Cancelled));
        rental.cancel(rentalId);
    }

    function test_renterCancelsBeforeReady() public {
        uint64 rentalId = rentAs(renter, offerId, 600);
        vm.prank(renter);
        rental.cancel(rentalId);
        _assertClosed(rentalId, IGPURental.CloseReason.NotReady);
        assertEq(rental.activeRental(deviceId), 0);
    }

    /// @dev A request nobody answered does not block the device for the next renter.
    function test_expiredRequestIsCancelledByTheNextRent() public {
        uint64 first = rentAs(renter, offerId, 600);
        vm.warp(1_000_061);
        uint64 second = rentAs(renter, offerId, 600);
        _assertClosed(first, IGPURental.CloseReason.NotReady);
        assertEq(rental.activeRental(deviceId), second);
    }

    // ----------------------------------------------------------------------------------------- session

    function test_sessionOpenedNeedsTheSessionKey() public {
        uint64 rentalId = rentAs(renter, offerId, 600);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.WrongState.selector, rentalId, IGPURental.State.Requested));
        rental.sessionOpened(rentalId, 1_000_000, "");
        readyAs(rentalId);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(renterKey, rental.sessionOpenedDigest(rentalId, 1_000_000));
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidSessionSignature.selector, renter, sessionKey));
        rental.sessionOpened(rentalId, 1_000_000, abi.encodePacked(r, s, v));
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidSessionSignature.selector, address(0), sessionKey));
        rental.sessionOpened(rentalId, 1_000_000, "short");
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooLate.selector, 1_000_600));
        rental.sessionOpened(rentalId, 1_000_601, "");
        bytes32 vs;
        (r, vs) = vm.signCompact(sessionSecret, rental.sessionOpenedDigest(rentalId, 999_000));
        rental.sessionOpened(rentalId, 999_000, abi.encodePacked(r, vs));
        assertEq(rental.rental(rentalId).openedAt, 1_000_000, "bounded by the start");
        openSession(rentalId);
    }

    function test_withoutASessionNothingIsPaid() public {
        uint64 rentalId = rentAs(renter, offerId, 600);
        readyAs(rentalId);
        _report(rentalId, 1, 600, 600, true);
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertEq(r.paid, 0);
        assertEq(r.fees, 3e15, "ready and bridge fee");
        _assertClosed(rentalId, IGPURental.CloseReason.NeverOpened);
    }

    function test_verifiedTimeIsPaidOnceTheSessionIsKnown() public {
        uint64 rentalId = rentAs(renter, offerId, 600);
        readyAs(rentalId);
        _report(rentalId, 1, 200, 200, false);
        assertEq(rental.rental(rentalId).paid, 0);
        openSession(rentalId);
        assertEq(rental.rental(rentalId).paid, 200 * uint256(PRICE));
    }

    // --------------------------------------------------------------------------------------------- end

    function test_renterWithoutASessionLeavesFree() public {
        uint64 rentalId = rentAs(renter, offerId, 600);
        readyAs(rentalId);
        vm.warp(1_000_120);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotRenter.selector, address(this), renter));
        rental.endRental(rentalId);
        vm.prank(renter);
        rental.endRental(rentalId);
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertEq(r.refunded, r.escrowed - 2e15 - 30 * uint256(PRICE), "all but the ready fee and the protocol fee");
        _assertClosed(rentalId, IGPURental.CloseReason.NeverOpened);
    }

    function test_earlyEndKeepsTheMinimumBill() public {
        uint64 rentalId = _active(600);
        vm.warp(1_000_010);
        vm.prank(renter);
        rental.endRental(rentalId);
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertEq(r.end, r.start + 60);
        assertEq(r.refunded, 540 * uint256(PRICE));
        assertEq(r.termsVersion, 2);
        vm.warp(1_000_060);
        assertEq(rental.activeRental(deviceId), 0);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooLate.selector, 1_000_060));
        rental.endRental(rentalId);
    }

    function test_earlyEndNeverTakesBackWhatWasVerified() public {
        uint64 rentalId = _active(600);
        vm.warp(1_000_100);
        // The other chain's clock may be a little ahead.
        _report(rentalId, 1, 105, 105, false);
        vm.prank(renter);
        rental.endRental(rentalId);
        assertEq(rental.rental(rentalId).end, 1_000_105);
        _report(rentalId, 2, 105, 105, true);
        _assertClosed(rentalId, IGPURental.CloseReason.Completed);
    }

    function test_reportsForOtherTermsAndOldReportsDoNoHarm() public {
        uint64 rentalId = _active(600);
        _report(rentalId, 1, 300, 250, false);
        _report(rentalId, 1, 200, 200, false);
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertEq(r.verifiedSeconds, 250);
        assertEq(r.paid, 250 * uint256(PRICE));
        assertEq(r.refunded, 50 * uint256(PRICE));
        _report(rentalId, 2, 600, 600, true);
        assertTrue(rental.rental(rentalId).state == IGPURental.State.Active, "terms that do not exist");
        vm.warp(1_000_400);
        vm.prank(renter);
        rental.endRental(rentalId);
        _report(rentalId, 1, 600, 550, true);
        r = rental.rental(rentalId);
        assertTrue(r.state == IGPURental.State.Active, "final for older terms is an ordinary report");
        assertEq(r.paid, 350 * uint256(PRICE));
        _report(rentalId, 2, 400, 350, true);
        _assertClosed(rentalId, IGPURental.CloseReason.Completed);
        _report(rentalId, 2, 400, 400, true);
        assertEq(rental.rental(rentalId).paid, 350 * uint256(PRICE), "closed is closed");
    }

    function test_fullyVerifiedRentalKeepsTheDeviceRentable() public {
        uint64 rentalId = _active(600);
        _report(rentalId, 1, 600, 600, true);
        vm.warp(1_000_000 + 1 days + 300);
        rentAs(renter, offerId, 600);
    }

    function test_messagesOfOthersAreRefused() public {
        IMessageRecipient to = IMessageRecipient(address(rental));
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.NotInbox.selector, address(this)));
        to.handle(CLASSIC, address(work), hex"10", relay);
        vm.startPrank(address(ethInbox));
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UntrustedSender.selector, CLASSIC, address(1)));
        to.handle(CLASSIC, address(1), hex"10", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 17));
        to.handle(CLASSIC, address(work), hex"11", relay);
    }

    function test_claimPaysCreditOnce() public {
        uint64 rentalId = rentAs(renter, offerId, 600);
        vm.prank(renter);
        rental.cancel(rentalId);
        vm.startPrank(renter);
        vm.expectRevert(IGPURental.ZeroAddress.selector);
        rental.claim(address(0));
        rental.claim(address(0xc0ffee));
        assertEq(token.balanceOf(address(0xc0ffee)), rental.rental(rentalId).escrowed);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NothingToClaim.selector, renter));
        rental.claim(renter);
    }

    function test_parametersHaveBoundsAndApplyOnlyToLaterRentals() public {
        uint64 rentalId = _active(600);
        IGPURental.Parameters memory p = _rentalParameters();
        p.protocolFeeBps = 2000;
        IRentalTotals(address(rental)).setParameters(p);
        _report(rentalId, 1, 600, 600, true);
        assertEq(rental.rental(rentalId).fees, 3e15 + 30 * uint256(PRICE));
        p.protocolFeeBps = 2001;
        vm.expectRevert(abi.encodeWithSignature("InvalidParameters()"));
        IRentalTotals(address(rental)).setParameters(p);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", renter));
        IRentalTotals(address(rental)).setParameters(p);
    }

    /// @dev Whatever a report says, money is conserved, nothing is paid twice, and never more than the escrow.
    function testFuzz_anySequenceOfReportsConservesMoney(uint64[6] memory covered, uint64[6] memory verified, uint8 endAt)
        public
    {
        uint64 rentalId = _active(600);
        uint256 paidBefore;
        for (uint256 i; i < 6; ++i) {
            if (i == endAt % 8) {
                vm.warp(block.timestamp + uint256(endAt) * 2);
                if (block.timestamp < rental.rental(rentalId).end) {
                    vm.prank(renter);
                    rental.endRental(rentalId);
                }
            }
            uint32 version = rental.rental(rentalId).termsVersion;
            _report(rentalId, i == 5 ? version : 1, covered[i] % 1000, verified[i] % 1000, i == 5);
            IGPURental.Rental memory r = rental.rental(rentalId);
            assertGe(r.paid, paidBefore);
            paidBefore = r.paid;
        }
        _assertClosed(rentalId, IGPURental.CloseReason.Completed);
    }
}
