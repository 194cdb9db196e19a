// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {IRentalTotals} from "../utils/World.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";

/// @dev Extension, abort, several devices, delegate.
contract RentalTermsTest is RentalWorld {
    function _extend(address by, uint64 id, uint32 added) private {
        vm.prank(by);
        rental.extend(id, added, type(uint256).max);
    }

    function _change(uint128 price, bool paused) private {
        vm.prank(provider);
        rental.changeOffer(offerId, price, paused);
    }

    function test_extendBuysTimeAtThePriceOfNow() public {
        uint64 id = _active(600);
        _approveAll(renter);
        _change(2 * PRICE, false);
        uint256 before = token.balanceOf(renter);
        vm.expectEmit(address(rental));
        emit IGPURental.RentalExtended(id, renter, 300, 2 * PRICE, 600 * uint256(PRICE) * 105 / 100);
        _extend(renter, id, 300);
        assertEq(before - token.balanceOf(renter), 600 * uint256(PRICE) * 105 / 100, "price and fee of the added time only");
        IGPURental.Rental memory r = rental.rental(id);
        assertEq(r.end, T0 + 900);
        assertEq(r.duration, 900);
        assertEq(r.termsVersion, 2);
        assertEq(r.pricePerSecond, PRICE, "earlier time keeps its price");
        IGPURental.Segment[] memory segments = rental.details(id).segments;
        assertEq(segments.length, 1);
        assertEq(segments[0].from, T0 + 600);
        assertEq(segments[0].pricePerSecond, 2 * PRICE);

        _report(id, 900, 900, 3, 3, true);
        r = rental.rental(id);
        assertEq(r.paid, (600 + 2 * 300) * uint256(PRICE));
        assertEq(r.refunded, 0);
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function test_extendByDelegateAtTheSamePriceNeedsNoSegment() public {
        uint64 id = _active(600);
        vm.prank(relay);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotRenter.selector, relay, renter));
        rental.setDelegate(id, relay);
        vm.prank(renter);
        rental.setDelegate(id, delegate);
        vm.prank(renter);
        token.transfer(delegate, UNIT);
        _approveAll(delegate);
        for (uint256 i; i < 10; ++i) {
            _extend(delegate, id, 10);
        }
        assertEq(rental.details(id).segments.length, 0);
        assertEq(rental.rental(id).end, T0 + 700);
        _report(id, 700, 650, 3, 2, true);
        assertEq(rental.rental(id).paid, 650 * uint256(PRICE));
        assertGt(rental.credit(renter), 0, "refunds go to the renter, whoever paid");
        assertEq(rental.credit(delegate), 0);
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function test_extendRefusals() public {
        uint64 id = rentAs(renter, offerId, 600);
        _approveAll(renter);
        vm.startPrank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.WrongState.selector, id, IGPURental.State.Requested));
        rental.extend(id, 10, type(uint256).max);
        vm.stopPrank();
        readyAs(id);
        vm.prank(relay);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotRenter.selector, relay, renter));
        rental.extend(id, 10, type(uint256).max);
        vm.startPrank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidDuration.selector, 3001, 1, 3000));
        rental.extend(id, 3001, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidDuration.selector, 0, 1, 3000));
        rental.extend(id, 0, type(uint256).max);
        uint256 cost = 10 * uint256(PRICE) * 105 / 100;
        vm.expectRevert(abi.encodeWithSelector(IGPURental.MaxCostExceeded.selector, cost, cost - 1));
        rental.extend(id, 10, cost - 1);
        vm.stopPrank();
        _change(PRICE, true);
        vm.startPrank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.OfferIsPaused.selector, offerId));
        rental.extend(id, 10, type(uint256).max);
        vm.stopPrank();
        _change(PRICE, false);
        openSession(id);
        vm.startPrank(renter);
        rental.endRental(id);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.AlreadyEnded.selector, id));
        rental.extend(id, 10, type(uint256).max);
        vm.warp(T0 + 60);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooLate.selector, T0 + 60));
        rental.extend(id, 10, type(uint256).max);
    }

    function test_priceChangesAreBounded() public {
        uint64 id = _active(600);
        _approveAll(renter);
        for (uint128 i = 1; i <= 8; ++i) {
            _change(PRICE + i, false);
            _extend(renter, id, 10);
        }
        _change(PRICE, false);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooMany.selector, 9, 8));
        rental.extend(id, 10, type(uint256).max);
        _change(PRICE + 8, false);
        _extend(renter, id, 10);
        _report(id, 690, 690, 3, 3, true);
        _assertClosed(id, IGPURental.CloseReason.Completed);
        assertEq(rental.rental(id).refunded, 0);
    }

    /// @dev A report that spans the change of price does not say which seconds were verified.
    function test_verifiedTimeAcrossAPriceChangeCountsAtTheLowerPrice() public {
        uint64 id = _active(600);
        _approveAll(renter);
        _change(3 * PRICE, false);
        _extend(renter, id, 100);
        _report(id, 500, 500, 1, 1, false);
        _report(id, 700, 620, 3, 2, true);
        // 200 s in question, 120 of them verified: 100 at the low price, 20 at the high one.
        assertEq(rental.rental(id).paid, (500 + 100 + 3 * 20) * uint256(PRICE));
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function test_earlyEndAfterExtensionRefundsEachSecondAtItsPrice() public {
        uint64 id = _active(600);
        _approveAll(renter);
        _change(3 * PRICE, false);
        _extend(renter, id, 100);
        vm.warp(T0 + 650);
        vm.prank(renter);
        rental.endRental(id);
        assertEq(rental.credit(renter), 50 * 3 * uint256(PRICE));
        _report(id, 650, 650, 3, 3, true);
        assertEq(rental.rental(id).paid, (600 + 3 * 50) * uint256(PRICE));
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function test_extendWithPermit() public {
        uint64 id = _active(600);
        uint256 cost = 100 * uint256(PRICE) * 105 / 100;
        IGPURental.PermitInput memory permit = _sign(cost);
        vm.prank(renter);
        rental.extendWithPermit(id, 100, cost, permit);
        assertEq(rental.rental(id).end, T0 + 700);
    }

    function test_severalDevicesUnderOnePermit() public {
        vm.prank(operator);
        uint64 second = staking.registerDevice(CLASS, makeAddr("worker2"));
        (uint64 firstDevice, uint64 firstOffer) = (deviceId, offerId);
        deviceId = second;
        _fresh();
        uint64 secondOffer = makeOffer(second);
        IGPURental.RentRequest[] memory requests = new IGPURental.RentRequest[](2);
        requests[0] = IGPURental.RentRequest(firstOffer, 600, sessionKey);
        requests[1] = IGPURental.RentRequest(secondOffer, 700, sessionKey);
        (,,,, uint256 total) = rental.quote(firstOffer, 1300);
        total += 3e15;
        IGPURental.PermitInput memory permit = _sign(total);
        vm.startPrank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.MaxCostExceeded.selector, total, total - 1));
        rental.rentMany(requests, total - 1, IGPURental.PermitInput(0, 0, 0, 0));
        uint64[] memory ids = rental.rentMany(requests, total, permit);
        vm.stopPrank();
        assertEq(ids.length, 2);
        assertEq(rental.activeRental(firstDevice), ids[0]);
        assertEq(rental.activeRental(second), ids[1]);
        assertEq(uint256(rental.rental(ids[0]).escrowed) + rental.rental(ids[1]).escrowed, total);
        _assertBooks(ids[0]);
        vm.expectRevert(IGPURental.ZeroAmount.selector);
        rental.rentMany(new IGPURental.RentRequest[](0), 0, permit);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooMany.selector, 17, 16));
        rental.rentMany(new IGPURental.RentRequest[](17), 0, permit);
    }

    function test_oneOfSeveralThatIsTakenFailsAll() public {
        IGPURental.RentRequest[] memory requests = new IGPURental.RentRequest[](2);
        requests[0] = IGPURental.RentRequest(offerId, 600, sessionKey);
        requests[1] = requests[0];
        _approveAll(renter);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.DeviceBusy.selector, deviceId, 1));
        rental.rentMany(requests, type(uint256).max, IGPURental.PermitInput(0, 0, 0, 0));
        assertEq(rental.rentalCount(), 0);
    }

    function test_abortRefundsTheRestAndIsAFault() public {
        uint64 id = _active(600);
        vm.warp(T0 + 200);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotProvider.selector, address(this), provider));
        rental.abortRental(id);
        vm.expectEmit(address(rental));
        emit IGPURental.FaultRecorded(id, deviceId, IGPURental.Fault.Aborted);
        vm.prank(operator);
        rental.abortRental(id);
        assertEq(rental.credit(renter), 400 * uint256(PRICE));
        assertEq(rental.rental(id).end, T0 + 200);
        assertEq(rental.activeRental(deviceId), 0);
        _report(id, 200, 150, 2, 1, true);
        assertEq(rental.rental(id).paid, 150 * uint256(PRICE), "verified time is paid");
        _assertClosed(id, IGPURental.CloseReason.Aborted);
    }

    function test_abortWithoutASessionClosesAtOnce() public {
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        vm.prank(operator);
        rental.abortRental(id);
        IGPURental.Rental memory r = rental.rental(id);
        assertEq(r.refunded, r.escrowed - 2e15, "all but the ready fee");
        _assertClosed(id, IGPURental.CloseReason.Aborted);
    }

    /// @dev Whatever is bought when and reported how, sums are exact and pay never exceeds what was verified.
    function testFuzz_extendedRentalsConserveMoney(uint64[5] memory covered, uint64[5] memory verified, uint80[3] memory prices)
        public
    {
        uint64 id = _active(600);
        _approveAll(renter);
        uint256 highest = PRICE;
        for (uint256 i; i < 5; ++i) {
            if (i < 3) {
                uint128 price = uint128(bound(prices[i], 1, 10 * uint256(PRICE)));
                if (price > highest) highest = price;
                _change(price, false);
                _extend(renter, id, uint32(1 + covered[i] % 300));
            }
            uint64 length = rental.rental(id).duration;
            uint256 before = rental.rental(id).paid;
            _report(id, covered[i] % (length + 200), verified[i] % (length + 200), 1, 1, i == 4);
            IGPURental.Rental memory r = rental.rental(id);
            assertGe(r.paid, before);
            assertLe(r.paid, uint256(r.verifiedSeconds) * highest);
            _assertBooks(id);
        }
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function _sign(uint256 amount) private view returns (IGPURental.PermitInput memory p) {
        bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        uint256 nonce = token.nonces(renter);
        bytes32 structHash = keccak256(abi.encode(typehash, renter, rental, amount, nonce, block.timestamp));
        p.deadline = block.timestamp;
        (p.v, p.r, p.s) = vm.sign(renterKey, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash)));
    }
}
