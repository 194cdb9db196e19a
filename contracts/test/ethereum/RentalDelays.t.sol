// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";

/// @dev Large credits of reports wait, so that somebody can look at them before they leave.
contract RentalDelaysTest is RentalWorld {
    uint64 private id;
    uint256 private constant PAY = 600 * uint256(PRICE);
    uint32 private constant DELAY = 1 days;

    function setUp() public override {
        super.setUp();
        rental.setVeto(uint96(PAY), DELAY);
        id = _active(600);
    }

    /// @dev The next whole hour after the delay.
    function _availableAt() private view returns (uint64) {
        return uint64((block.timestamp + DELAY + 3599) / 3600 * 3600);
    }

    function test_aLargeCreditWaitsAndIsThenReleasedByAnybody() public {
        uint64 availableAt = _availableAt();
        vm.expectEmit(address(rental));
        emit IGPURental.CreditDelayed(provider, id, PAY, availableAt);
        _report(id, 600, 600, 3, 3, true);
        assertEq(rental.credit(provider), 2e15, "only the ready fee");
        assertEq(rental.delayedCredit(provider, availableAt), PAY);
        _assertClosed(id, IGPURental.CloseReason.Completed);
        vm.warp(availableAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooEarly.selector, availableAt));
        rental.releaseDelayed(provider, availableAt);
        vm.warp(availableAt);
        vm.expectEmit(address(rental));
        emit IGPURental.DelayedReleased(provider, availableAt, PAY);
        vm.prank(relay);
        rental.releaseDelayed(provider, availableAt);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NothingToClaim.selector, provider));
        rental.releaseDelayed(provider, availableAt);
        uint256 before = token.balanceOf(provider);
        vm.prank(provider);
        rental.claim(provider);
        assertEq(token.balanceOf(provider) - before, PAY + 2e15);
        _assertBooks(id);
    }

    function test_aSmallerCreditDoesNotWait() public {
        _report(id, 599, 599, 3, 3, false);
        assertEq(rental.credit(provider), 2e15 + 599 * uint256(PRICE));
    }

    function test_creditsOfOneHourWaitTogether() public {
        rental.setVeto(1 gwei, DELAY);
        uint64 availableAt = _availableAt();
        _report(id, 100, 100, 1, 1, false);
        _report(id, 200, 200, 2, 2, false);
        assertEq(rental.delayedCredit(provider, availableAt), 200 * uint256(PRICE));
        vm.warp(T0 + 3600);
        _report(id, 300, 300, 3, 3, false);
        assertEq(
            rental.delayedCredit(provider, availableAt), 200 * uint256(PRICE), "a later one does not hold up the earlier ones"
        );
        vm.warp(availableAt);
        assertEq(rental.releaseDelayed(provider, availableAt), 200 * uint256(PRICE));
    }

    function test_theKingsMayPauseWhileItWaits() public {
        uint64 availableAt = _availableAt();
        _report(id, 600, 600, 3, 3, true);
        vm.warp(availableAt - 10);
        vm.prank(address(court));
        rental.pauseWithdrawals(availableAt + 5 days);
        vm.warp(availableAt);
        rental.releaseDelayed(provider, availableAt);
        vm.startPrank(provider);
        assertEq(rental.claim(provider), 2e15, "what reports did not create is not held");
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NothingToClaim.selector, provider));
        rental.claim(provider);
        vm.warp(availableAt + 5 days + 1);
        assertEq(rental.claim(provider), PAY);
        vm.stopPrank();
    }

    function test_theBucketStillHolds() public {
        rental.setWithdrawalLimit(uint96(PAY / 3), 1000);
        uint64 availableAt = _availableAt();
        _report(id, 600, 600, 3, 3, true);
        vm.warp(availableAt);
        rental.releaseDelayed(provider, availableAt);
        vm.startPrank(provider);
        assertEq(rental.claim(provider), 2e15 + PAY / 3);
        vm.warp(block.timestamp + 1000);
        assertEq(rental.claim(provider), PAY / 3);
        vm.stopPrank();
    }

    function test_largeRefundsOfReportsWaitAsWell() public {
        uint64 availableAt = _availableAt();
        _report(id, 600, 0, 3, 0, true);
        assertEq(rental.delayedCredit(renter, availableAt), PAY);
        assertGt(rental.credit(renter), 0, "the fee that was not earned is a credit of its own");
    }

    function test_refundsOfTheRentersOwnMovesDoNotWait() public {
        rental.setVeto(1 gwei, DELAY);
        vm.warp(T0 + 100);
        uint256 before = token.balanceOf(renter);
        vm.startPrank(renter);
        rental.endRental(id);
        rental.claim(renter);
        vm.stopPrank();
        assertEq(token.balanceOf(renter) - before, 500 * uint256(PRICE));
    }

    function test_whatASessionMakesDueWaits() public {
        vm.warp(T0 + 700);
        _report(id, 600, 600, 3, 3, true);
        _fresh();
        id = rentAs(renter, offerId, 600);
        readyAs(id);
        _report(id, 600, 600, 3, 3, false);
        uint64 availableAt = _availableAt();
        openSession(id);
        assertEq(rental.delayedCredit(provider, availableAt), 2 * PAY, "this one and the rental before");
    }

    function test_largeFeesWaitBeforeTheyAreBurned() public {
        rental.setVeto(1 gwei, DELAY);
        uint64 availableAt = _availableAt();
        _report(id, 600, 600, 3, 3, true);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NothingToClaim.selector, address(distributor)));
        rental.collectFees();
        vm.warp(availableAt);
        rental.releaseDelayed(address(distributor), availableAt);
        rental.collectFees();
        assertEq(distributor.feesReceived(), PAY * 5 / 100);
    }

    function test_theVetoIsLiftedForWhatComes() public {
        uint64 availableAt = _availableAt();
        rental.setVeto(1 gwei, DELAY);
        _report(id, 300, 300, 1, 1, false);
        vm.expectEmit(address(rental));
        emit IGPURental.VetoSet(0, 0);
        rental.setVeto(0, 0);
        _report(id, 600, 600, 3, 3, true);
        assertEq(rental.credit(provider), 2e15 + 300 * uint256(PRICE));
        assertEq(rental.delayedCredit(provider, availableAt), 300 * uint256(PRICE), "what waits keeps its time");
    }

    function test_boundsOfTheVeto() public {
        bytes4 invalid = bytes4(keccak256("InvalidParameters()"));
        vm.expectRevert(invalid);
        rental.setVeto(1 gwei + 1, DELAY);
        vm.expectRevert(invalid);
        rental.setVeto(1 gwei, 7 days + 1);
        vm.expectRevert(invalid);
        rental.setVeto(uint96(1 gwei) * (uint96(1) << 64), DELAY);
        rental.setVeto(uint96(1 gwei) * ((uint96(1) << 64) - 1), 7 days);
        (uint96 amount, uint32 delay) = rental.veto();
        assertEq(amount, uint96(1 gwei) * ((uint96(1) << 64) - 1));
        assertEq(delay, 7 days);
    }

    /// @dev Whatever is reported and whenever it is taken out, nobody waits for longer than the delay and an hour, and nothing is lost.
    function testFuzz_everyCreditBecomesClaimable(uint96 amount, uint32 delay, uint64 at, uint64 verified) public {
        delay = uint32(bound(delay, 0, 7 days));
        rental.setVeto(uint96(bound(amount, 1, uint96(PAY) / 1 gwei)) * 1 gwei, delay);
        vm.warp(bound(at, T0, T0 + 600));
        _report(id, 600, uint64(bound(verified, 0, 600)), 4, 2, true);
        uint64 hour = uint64(block.timestamp) / 3600 * 3600;
        address[4] memory accounts = [provider, renter, relay, address(distributor)];
        uint64 latest = uint64(block.timestamp) + delay + 1 hours;
        vm.warp(latest);
        for (uint64 time = hour; time <= latest; time += 1 hours) {
            for (uint256 i; i < accounts.length; ++i) {
                if (rental.delayedCredit(accounts[i], time) != 0) rental.releaseDelayed(accounts[i], time);
            }
        }
        for (uint256 i; i < 3; ++i) {
            if (rental.credit(accounts[i]) == 0) continue;
            vm.prank(accounts[i]);
            rental.claim(accounts[i]);
        }
        if (rental.credit(address(distributor)) != 0) rental.collectFees();
        assertEq(token.balanceOf(address(rental)), 0);
        _assertBooks(id);
    }
}
