// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {WorkReport} from "../../src/types/Protocol.sol";
import {IRentalTotals} from "../utils/World.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";

/// @dev The compensation reserve and declared maintenance.
contract RentalReserveTest is RentalWorld {
    function _safeguards() private view returns (IGPURental.Safeguards memory) {
        return rental.safeguards();
    }

    function _set(IGPURental.Safeguards memory s) private {
        IRentalTotals(address(rental)).setSafeguards(s);
    }

    // ----------------------------------------------------------------------------------------- reserve

    function test_reserveIsLockedAtRentAndFreeAfterwards() public {
        _deposit(1e18);
        assertEq(rental.reserveOf(deviceId), 1e18);
        uint64 id = _active(600);
        assertEq(rental.details(id).reserved, 600 * uint256(PRICE));
        assertEq(rental.reserveOf(deviceId), 1e18 - 600 * uint256(PRICE));
        vm.startPrank(provider);
        uint256 free = 1e18 - 600 * uint256(PRICE);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.ReserveTooSmall.selector, deviceId, free, free + 1));
        rental.withdrawReserve(deviceId, uint128(free + 1));
        vm.stopPrank();
        _report(id, 600, 600, 3, 3, true);
        assertEq(rental.reserveOf(deviceId), 1e18);
        uint256 credit = rental.credit(provider);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotProvider.selector, operator, provider));
        rental.withdrawReserve(deviceId, 1e18);
        vm.prank(provider);
        rental.withdrawReserve(deviceId, 1e18);
        assertEq(rental.credit(provider), credit + 1e18);
        _assertBooks(id);
        vm.expectRevert(IGPURental.ZeroAmount.selector);
        rental.depositReserve(deviceId, 0);
        vm.expectRevert(IGPURental.ZeroAmount.selector);
        rental.withdrawReserve(deviceId, 0);
    }

    function test_extensionLocksMore() public {
        _deposit(1e18);
        uint64 id = _active(600);
        _approveAll(renter);
        vm.prank(renter);
        rental.extend(id, 100, type(uint256).max);
        assertEq(rental.details(id).reserved, 700 * uint256(PRICE));
        _report(id, 700, 700, 3, 3, true);
        assertEq(rental.reserveOf(deviceId), 1e18);
    }

    function test_requiredReserveKeepsOthersOut() public {
        IGPURental.Safeguards memory s = _safeguards();
        s.reserveSeconds = 300;
        _set(s);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.ReserveTooSmall.selector, deviceId, 0, 300 * uint256(PRICE)));
        vm.prank(renter);
        rental.rent(offerId, 600, sessionKey, type(uint256).max);
        _deposit(300 * uint256(PRICE));
        uint64 id = _active(600);
        assertEq(rental.details(id).reserved, 300 * uint256(PRICE));
    }

    function test_abortPaysTheRentOfTheUnverifiedTime() public {
        _deposit(1e18);
        uint64 id = _active(600);
        _report(id, 100, 100, 1, 1, false);
        vm.warp(T0 + 200);
        vm.prank(operator);
        rental.abortRental(id);
        _report(id, 200, 150, 2, 2, true);
        IGPURental.Rental memory r = rental.rental(id);
        // What was not verified of the 600 s that were bought.
        uint256 compensation = 450 * uint256(PRICE);
        assertEq(rental.credit(renter), uint256(r.refunded) + compensation);
        assertEq(rental.reserveOf(deviceId), 1e18 - compensation);
        _assertClosed(id, IGPURental.CloseReason.Aborted);
    }

    function test_compensationIsBoundedByTheReserve() public {
        _deposit(10 * uint256(PRICE));
        uint64 id = _active(600);
        vm.prank(operator);
        rental.abortRental(id);
        _report(id, 0, 0, 1, 0, true);
        assertEq(rental.credit(renter), uint256(rental.rental(id).refunded) + 10 * uint256(PRICE));
        assertEq(rental.reserveOf(deviceId), 0);
        _assertClosed(id, IGPURental.CloseReason.Aborted);
    }

    function test_compensationIsBoundedByTime() public {
        IGPURental.Safeguards memory s = _safeguards();
        s.compensationSeconds = 100;
        _set(s);
        _deposit(1e18);
        uint64 id = _active(600);
        vm.prank(operator);
        rental.abortRental(id);
        _report(id, 0, 0, 1, 0, true);
        assertEq(rental.credit(renter), uint256(rental.rental(id).refunded) + 100 * uint256(PRICE));
    }

    function test_firstMissIsFreeTheSecondIsNot() public {
        _deposit(10e18);
        uint64 first = _active(600);
        _report(first, 500, 500, 2, 2, false);
        _report(first, 600, 500, 3, 2, true);
        assertEq(rental.reserveOf(deviceId), 10e18, "the first is free");
        assertEq(rental.credit(renter), rental.rental(first).refunded);
        vm.warp(T0 + 700);
        _fresh();
        uint256 before = rental.credit(renter);
        uint64 second = _active(600);
        _report(second, 500, 500, 2, 2, false);
        vm.expectEmit(address(rental));
        emit IGPURental.Compensated(second, renter, 100 * uint256(PRICE));
        _report(second, 600, 500, 3, 2, true);
        uint256 gained = rental.credit(renter) - before;
        assertEq(gained, uint256(rental.rental(second).refunded) + 100 * uint256(PRICE));
        _assertClosed(second, IGPURental.CloseReason.Completed);
    }

    function test_afterTheGraceWindowTheNextMissIsFreeAgain() public {
        _deposit(10e18);
        uint64 first = _active(600);
        _report(first, 600, 0, 1, 0, true);
        vm.warp(T0 + 31 days);
        _fresh();
        uint64 second = _active(600);
        _report(second, 600, 0, 1, 0, true);
        assertEq(rental.reserveOf(deviceId), 10e18);
    }

    function test_severalMissesInOneRentalAreNotOneFault() public {
        _deposit(1e18);
        uint64 id = _active(600);
        _report(id, 600, 0, 3, 0, true);
        assertEq(rental.reserveOf(deviceId), 1e18 - 600 * uint256(PRICE));
        assertEq(uint8(rental.details(id).fault), uint8(IGPURental.Fault.ClosingMissed));
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    /// @dev One report, the final one: that some challenges were passed does not hide that the closing one was missed.
    function test_aMissedClosingIsAFaultWhateverWasPassedBefore() public {
        _deposit(UNIT);
        uint64 id = _active(600);
        vm.warp(T0 + 600);
        uint256 clean = vm.snapshotState();
        _finalReport(id, true);
        assertTrue(rental.details(id).fault == IGPURental.Fault.ClosingMissed);
        assertEq(token.balanceOf(address(rental)), rental.credit(provider) + rental.credit(renter) + rental.credit(relay)
            + rental.credit(address(distributor)) + rental.reserveOf(deviceId));
        assertEq(rental.reserveOf(deviceId), UNIT - 400 * uint256(PRICE), "the rent of the unverified time");
        vm.revertToState(clean);
        _finalReport(id, false);
        assertTrue(rental.details(id).fault == IGPURental.Fault.None);
        assertEq(rental.reserveOf(deviceId), UNIT);
    }

    /// @dev Kept through a complaint, the report still says so.
    function test_aMissedClosingIsRememberedWhileFrozen() public {
        _seatQueens(5);
        _deposit(UNIT);
        uint64 id = _active(600);
        vm.warp(T0 + 500);
        uint256 caseId = _complain(id);
        vm.warp(T0 + 600);
        _finalReport(id, true);
        assertTrue(rental.details(id).fault == IGPURental.Fault.None);
        _judge(caseId, false);
        assertTrue(rental.details(id).fault == IGPURental.Fault.ClosingMissed);
    }

    function _finalReport(uint64 id, bool closingMissed) private {
        WorkReport memory report = WorkReport(id, 1, T0 + 600, 200, 4, 2, 1000, true, 0, closingMissed);
        _deliver(address(rental), 16, abi.encode(report));
    }

    function test_missesBeforeAPassedClosingCostOnlyTheRent() public {
        _deposit(1e18);
        uint64 id = _active(600);
        _report(id, 500, 200, 4, 1, false);
        _report(id, 600, 300, 5, 2, true);
        assertEq(rental.reserveOf(deviceId), 1e18);
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    // ------------------------------------------------------------------------------------- maintenance

    function _maintainable() private returns (uint64 id) {
        IGPURental.Safeguards memory s = _safeguards();
        s.maintenanceNotice = 60;
        s.maintenanceBudget = 300;
        _set(s);
        id = _active(1000);
    }

    function _declare(uint64 id, uint64 from, uint64 until) private {
        vm.prank(operator);
        rental.declareMaintenance(id, T0 + from, T0 + until);
    }

    function test_maintenanceIsNeitherBilledNorHeldAgainstTheProvider() public {
        _deposit(10e18);
        uint64 id = _maintainable();
        vm.expectEmit(address(rental));
        emit IGPURental.MaintenanceDeclared(id, T0 + 200, T0 + 400);
        _declare(id, 200, 400);
        assertEq(rental.rental(id).termsVersion, 2);
        _report(id, 100, 100, 1, 1, false);
        // The challenges within were missed, the next was passed.
        _report(id, 500, 300, 4, 2, false);
        assertEq(rental.rental(id).paid, 300 * uint256(PRICE));
        assertEq(rental.rental(id).refunded, 200 * uint256(PRICE));
        _report(id, 1000, 800, 5, 3, true);
        assertEq(rental.rental(id).paid, 800 * uint256(PRICE));
        assertEq(rental.reserveOf(deviceId), 10e18);
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function test_pausedTimeIsNotPaidEvenIfItWasVerified() public {
        uint64 id = _maintainable();
        _declare(id, 200, 400);
        _report(id, 1000, 1000, 5, 5, true);
        assertEq(rental.rental(id).paid, 800 * uint256(PRICE));
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function test_maintenanceRefusals() public {
        uint64 id = _maintainable();
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotProvider.selector, address(this), provider));
        rental.declareMaintenance(id, T0 + 100, T0 + 200);
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidMaintenance.selector, T0 + 59, T0 + 100));
        rental.declareMaintenance(id, T0 + 59, T0 + 100);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidMaintenance.selector, T0 + 100, T0 + 100));
        rental.declareMaintenance(id, T0 + 100, T0 + 100);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidMaintenance.selector, T0 + 900, T0 + 1000));
        rental.declareMaintenance(id, T0 + 900, T0 + 1000);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.MaintenanceBudgetExceeded.selector, 300, 301));
        rental.declareMaintenance(id, T0 + 100, T0 + 401);
        rental.declareMaintenance(id, T0 + 100, T0 + 300);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidMaintenance.selector, T0 + 299, T0 + 310));
        rental.declareMaintenance(id, T0 + 299, T0 + 310);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.MaintenanceBudgetExceeded.selector, 100, 101));
        rental.declareMaintenance(id, T0 + 300, T0 + 401);
        for (uint64 i; i < 7; ++i) {
            rental.declareMaintenance(id, T0 + 400 + 2 * i, T0 + 401 + 2 * i);
        }
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooMany.selector, 9, 8));
        rental.declareMaintenance(id, T0 + 500, T0 + 501);
        assertEq(rental.details(id).pauses.length, 8);
    }

    function test_budgetIsPerMonth() public {
        uint64 id = _maintainable();
        _declare(id, 100, 400);
        _report(id, 1000, 700, 5, 3, true);
        vm.warp(T0 + 30 days);
        _fresh();
        id = _active(1000);
        vm.prank(operator);
        rental.declareMaintenance(id, T0 + 30 days + 100, T0 + 30 days + 400);
    }

    function test_renterLeavesMaintenanceWithoutAMinimumBill() public {
        uint64 id = _maintainable();
        _declare(id, 100, 200);
        vm.warp(T0 + 10);
        vm.prank(renter);
        rental.endRental(id);
        assertEq(rental.credit(renter), 990 * uint256(PRICE));
        _report(id, 10, 0, 1, 0, true);
        assertEq(uint8(rental.details(id).fault), uint8(IGPURental.Fault.None), "the closing challenge may lie in it");
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function test_safeguardsHaveBoundsAndApplyOnlyToLaterRentals() public {
        uint64 id = _active(600);
        IGPURental.Safeguards memory s = _safeguards();
        s.hardDeadline = 1;
        _set(s);
        assertEq(rental.safeguardsOf(id).hardDeadline, 30 days);
        s.compensationSeconds = 1 days + 1;
        vm.expectRevert(abi.encodeWithSignature("InvalidParameters()"));
        _set(s);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", renter));
        IRentalTotals(address(rental)).setSafeguards(s);
    }
}
