// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {RewardWorld} from "../utils/RewardWorld.sol";

interface IPermit {
    function allowance(address owner, address spender) external view returns (uint256);
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
}

/// @dev Amounts and moments at their edges, and people who only want to be in the way.
contract RentalHostileTest is RewardWorld {
    function _sign(uint256 amount) private view returns (IGPURental.PermitInput memory p) {
        bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        p.deadline = block.timestamp;
        bytes32 fields = keccak256(abi.encode(typehash, renter, rental, amount, token.nonces(renter), p.deadline));
        (p.v, p.r, p.s) = vm.sign(renterKey, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), fields)));
    }

    function test_aPermitSentByAnotherFirstIsNoObstacle() public {
        (,,,, uint256 total) = rental.quote(offerId, 600);
        IGPURental.PermitInput memory p = _sign(total);
        vm.prank(relay);
        IPermit(address(token)).permit(renter, address(rental), total, p.deadline, p.v, p.r, p.s);
        vm.prank(renter);
        uint64 id = rental.rentWithPermit(offerId, 600, sessionKey, total, p.deadline, p.v, p.r, p.s);
        assertEq(rental.rental(id).escrowed, total);
        assertEq(IPermit(address(token)).allowance(renter, address(rental)), 0);
    }

    /// @dev The same for an extension, and for several devices at once.
    function test_permitsOfOtherCallsSentFirstAreNoObstacle() public {
        (,,,, uint256 total) = rental.quote(offerId, 600);
        IGPURental.RentRequest[] memory requests = new IGPURental.RentRequest[](1);
        requests[0] = IGPURental.RentRequest(offerId, 600, sessionKey);
        IGPURental.PermitInput memory p = _sign(total);
        vm.prank(relay);
        IPermit(address(token)).permit(renter, address(rental), total, p.deadline, p.v, p.r, p.s);
        vm.prank(renter);
        uint64 id = rental.rentMany(requests, total, p)[0];
        readyAs(id);
        uint256 cost = 100 * uint256(PRICE) * 105 / 100;
        p = _sign(cost);
        vm.prank(relay);
        IPermit(address(token)).permit(renter, address(rental), cost, p.deadline, p.v, p.r, p.s);
        vm.prank(renter);
        rental.extendWithPermit(id, 100, cost, p);
        assertEq(rental.rental(id).escrowed, total + cost);
        assertEq(IPermit(address(token)).allowance(renter, address(rental)), 0);
    }

    function test_aPermitOfOneIsNothingToAnother() public {
        (,,,, uint256 total) = rental.quote(offerId, 600);
        IGPURental.PermitInput memory p = _sign(total);
        vm.prank(relay);
        vm.expectPartialRevert(bytes4(keccak256("ERC20InsufficientAllowance(address,uint256,uint256)")));
        rental.rentWithPermit(offerId, 600, sessionKey, total, p.deadline, p.v, p.r, p.s);
        assertEq(IPermit(address(token)).allowance(renter, address(rental)), 0);
    }

    function test_theHighestPriceForTheLongestTimeFailsForLackOfMoneyOnly() public {
        vm.startPrank(operator);
        uint128 price = (uint128(1) << 80) - 1;
        uint64 dear = rental.createOffer(deviceId, price, 1, type(uint32).max, "", "");
        vm.stopPrank();
        (uint256 rentCost,,,,) = rental.quote(dear, type(uint32).max);
        assertEq(rentCost, uint256(price) * type(uint32).max);
        _approveAll(renter);
        vm.prank(renter);
        vm.expectPartialRevert(bytes4(keccak256("ERC20InsufficientBalance(address,uint256,uint256)")));
        rental.rent(dear, type(uint32).max, sessionKey, type(uint256).max);
        assertEq(rental.activeRental(deviceId), 0);
    }

    function test_nothingIsNoAmount() public {
        uint64 id = _active(600);
        _approveAll(renter);
        vm.startPrank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.InvalidDuration.selector, 0, 1, 3000));
        rental.extend(id, 0, type(uint256).max);
        vm.expectRevert(IGPURental.ZeroAmount.selector);
        rental.depositReserve(deviceId, 0);
        vm.stopPrank();
        vm.prank(provider);
        vm.expectRevert(IGPURental.ZeroAmount.selector);
        rental.withdrawReserve(deviceId, 0);
        vm.prank(operator);
        vm.expectRevert(IGPURental.InvalidPrice.selector);
        rental.changeOffer(offerId, 0, false);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NothingToClaim.selector, address(this)));
        rental.claim(address(this));
        _assertBooks(id);
    }

    /// @dev One wei a second: every part is rounded in nobody's favour, and the books balance.
    function test_dustRentalsCloseToTheWeiAndEarnNothing() public {
        vm.prank(provider);
        rental.changeOffer(offerId, 1, false);
        uint64 id = _active(61);
        vm.warp(T0 + 61);
        _report(id, 61, 19, 3, 1, true);
        _assertClosed(id, IGPURental.CloseReason.Completed);
        assertEq(rental.rental(id).paid, 19);
        assertEq(rental.credit(address(distributor)), 0);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NoFeePaid.selector, id));
        distributor.settleRental(id);
    }

    /// @dev Dust for somebody else's account, sent again and again, only makes the account richer.
    function test_dustDepositsBlockNobody() public {
        _approveAll(renter);
        vm.startPrank(renter);
        for (uint256 i; i < 20; ++i) {
            rental.depositReserve(deviceId, 1);
        }
        vm.stopPrank();
        vm.prank(provider);
        rental.withdrawReserve(deviceId, 20);
        assertEq(rental.credit(provider), 20);
        assertEq(token.balanceOf(address(rental)), 20, "solvency");
    }

    /// @dev A renter whose code refuses every call holds up neither its provider nor the fee.
    function test_aRenterThatRefusesEveryCallBlocksNobody() public {
        address wall = makeAddr("wall");
        vm.etch(wall, hex"60006000fd");
        vm.prank(renter);
        token.transfer(wall, UNIT * 10);
        uint64 id = rentAs(wall, offerId, 600);
        readyAs(id);
        openSession(id);
        vm.warp(T0 + 600);
        _report(id, 600, 300, 3, 2, true);
        _assertClosed(id, IGPURental.CloseReason.Completed);
        vm.prank(provider);
        rental.claim(provider);
        rental.collectFees();
        distributor.settleRental(id);
        assertGt(rental.credit(wall), 0, "its credit waits for it");
    }

    function test_readyAtTheLastSecondAndAfter() public {
        uint64 id = rentAs(renter, offerId, 600);
        vm.warp(T0 + 60);
        uint256 clean = vm.snapshotState();
        readyAs(id);
        vm.revertToState(clean);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooEarly.selector, T0 + 61));
        vm.prank(relay);
        rental.cancel(id);
        vm.warp(T0 + 61);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooLate.selector, T0 + 60));
        rental.ready(id);
        vm.prank(relay);
        rental.cancel(id);
    }

    function test_theLastSecondOfARental() public {
        uint64 id = _active(600);
        vm.warp(T0 + 599);
        uint256 clean = vm.snapshotState();
        vm.prank(renter);
        rental.endRental(id);
        vm.revertToState(clean);
        _approveAll(renter);
        vm.prank(renter);
        rental.extend(id, 1, type(uint256).max);
        vm.revertToState(clean);
        vm.warp(T0 + 600);
        bytes memory late = abi.encodeWithSelector(IGPURental.TooLate.selector, T0 + 600);
        vm.startPrank(renter);
        vm.expectRevert(late);
        rental.endRental(id);
        vm.expectRevert(late);
        rental.extend(id, 1, type(uint256).max);
        vm.stopPrank();
        vm.prank(operator);
        vm.expectRevert(late);
        rental.abortRental(id);
    }

    function test_freeLeaveAtTheLastSecondOfTheStartWindow() public {
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        vm.warp(T0 + 120);
        uint256 clean = vm.snapshotState();
        vm.prank(renter);
        rental.endRental(id);
        assertTrue(_reason(id) == IGPURental.CloseReason.NeverOpened);
        vm.revertToState(clean);
        vm.warp(T0 + 121);
        vm.prank(renter);
        rental.endRental(id);
        assertTrue(rental.rental(id).state == IGPURental.State.Active, "the reports decide");
    }
}
