// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {Quorum} from "../../src/types/Protocol.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";

/// @dev What a bridge that lies could take out, and how fast.
contract RentalLimitsTest is RentalWorld {
    uint64 private id;

    function setUp() public override {
        super.setUp();
        id = _active(600);
        _report(id, 600, 600, 3, 3, true);
        vm.prank(provider);
        rental.claim(provider);
        vm.warp(T0 + 600);
        _fresh();
    }

    function _earn() private {
        id = _active(600);
        _report(id, 600, 600, 3, 3, true);
    }

    function _claimed() private returns (uint256) {
        vm.prank(provider);
        return rental.claim(provider);
    }

    function _pauseOrder(uint64 until, uint256 signers) private view returns (Quorum memory q) {
        bytes32 digest = court.pauseDigest(1, until);
        q.members = members;
        for (uint256 i; i < signers; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(kingKeys[i], digest);
            q.signerBitmap |= 1 << i;
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }

    function test_reportedCreditsLeaveAtMostByTheBucket() public {
        uint256 capacity = 100 * uint256(PRICE);
        rental.setWithdrawalLimit(uint96(capacity), 1000);
        _earn();
        uint256 credit = rental.credit(provider);
        assertEq(_claimed(), 2e15 + capacity, "the ready fee is free, of the pay a bucket full");
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NothingToClaim.selector, provider));
        rental.claim(provider);
        vm.warp(block.timestamp + 500);
        assertEq(_claimed(), capacity / 2, "refilled over the window");
        vm.warp(block.timestamp + 10_000);
        assertEq(_claimed(), capacity, "never more than the bucket holds");
        assertEq(rental.credit(provider), credit - 2e15 - capacity * 5 / 2, "nothing is lost");
        rental.setWithdrawalLimit(0, 0);
        _claimed();
        assertEq(rental.credit(provider), 0);
        _assertBooks(id);
    }

    function test_refundsOfTheRentersOwnMovesAreNotLimited() public {
        rental.setWithdrawalLimit(1, 1000);
        rental.pauseWithdrawals(uint64(block.timestamp) + 7 days);
        id = rentAs(renter, offerId, 600);
        vm.startPrank(renter);
        rental.cancel(id);
        assertEq(rental.claim(renter), rental.rental(id).escrowed);
        vm.stopPrank();
    }

    function test_reportsAreAcceptedWhileWithdrawalsPause() public {
        uint64 until = uint64(block.timestamp) + 1 days;
        rental.pauseWithdrawals(until);
        _earn();
        assertEq(_claimed(), 2e15);
        vm.warp(until);
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NothingToClaim.selector, provider));
        rental.claim(provider);
        vm.warp(until + 1);
        assertEq(_claimed(), 600 * uint256(PRICE));
    }

    function test_aThirdOfTheKingsPausesOnceInAWhile() public {
        uint64 until = uint64(block.timestamp) + 7 days;
        Quorum memory q = _pauseOrder(until, 1);
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.TooLittleWeight.selector, 100, 400));
        court.pauseWithdrawals(until, q);
        q = _pauseOrder(until, 2);
        court.pauseWithdrawals(until, q);
        (,,, uint64 pausedUntil) = rental.withdrawalLimit();
        assertEq(pausedUntil, until);
        vm.warp(until + 1);
        q = _pauseOrder(until + 7 days, 4);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooEarly.selector, until + 7 days + 1));
        court.pauseWithdrawals(until + 7 days, q);
        rental.pauseWithdrawals(0);
        court.pauseWithdrawals(until + 7 days, q);
    }

    function test_pauseOrdersOfOthersAreRefused() public {
        uint64 until = uint64(block.timestamp) + 7 days;
        Quorum memory q = _pauseOrder(until, 2);
        vm.expectPartialRevert(IRentalCourt.InvalidSigner.selector);
        court.pauseWithdrawals(until - 1, q);
        q.signerBitmap = 7;
        vm.expectRevert(abi.encodeWithSelector(IRentalCourt.MalformedSignatures.selector, 128, 3));
        court.pauseWithdrawals(until, q);
        q.members[0] = q.members[1];
        vm.expectPartialRevert(IRentalCourt.NotTheKings.selector);
        court.pauseWithdrawals(until, q);
        q = _pauseOrder(until + 1, 4);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooLate.selector, until));
        court.pauseWithdrawals(until + 1, q);
    }
}
