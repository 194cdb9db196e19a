// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../../src/interfaces/IBridge.sol";
import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {DeviceReport, WorkReport} from "../../src/types/Protocol.sol";
import {IRentalTotals, World} from "../utils/World.sol";

/// @dev Renter, provider, thief, time, and a bridge that reports whatever it likes. It is the target contract itself, so that
///      it has the helpers of the world.
contract RentalInvariantTest is World {
    uint64 private offerId;
    uint64 private deviceId;
    mapping(uint64 rentalId => uint256) private paidBefore;
    bool private paidDecreased;

    function setUp() public override {
        super.setUp();
        deviceId = registerDevice();
        onEthereum();
        _refresh();
        offerId = makeOffer(deviceId);
        bytes4[] memory actions = new bytes4[](9);
        actions[0] = this.actRent.selector;
        actions[1] = this.actReady.selector;
        actions[2] = this.actOpen.selector;
        actions[3] = this.actEnd.selector;
        actions[4] = this.actCancel.selector;
        actions[5] = this.actClose.selector;
        actions[6] = this.actReport.selector;
        actions[7] = this.actClaim.selector;
        actions[8] = this.actWait.selector;
        targetSelector(FuzzSelector(address(this), actions));
        targetContract(address(this));
    }

    function actRent(uint32 duration) external {
        _refresh();
        if (rental.activeRental(deviceId) != 0) return;
        rentAs(renter, offerId, uint32(bound(duration, 60, 3600)));
    }

    function actReady(uint256 seed) external {
        vm.prank(operator);
        try rental.ready(_pick(seed)) {} catch {}
    }

    function actOpen(uint256 seed) external {
        uint64 id = _pick(seed);
        if (id == 0 || rental.rental(id).state != IGPURental.State.Active) return;
        if (block.timestamp <= rental.rental(id).end) openSession(id);
        _watch(id);
    }

    function actEnd(uint256 seed) external {
        uint64 id = _pick(seed);
        vm.prank(renter);
        try rental.endRental(id) {} catch {}
        _watch(id);
    }

    function actCancel(uint256 seed, bool thief) external {
        vm.prank(thief ? relay : renter);
        try rental.cancel(_pick(seed)) {} catch {}
    }

    function actClose(uint256 seed) external {
        uint64 id = _pick(seed);
        try rental.closeAfterDeadline(id) {} catch {}
        _watch(id);
    }

    function actReport(uint256 seed, uint32 version, uint64 covered, uint64 verified, bool isFinal) external {
        uint64 id = _pick(seed);
        if (id == 0) return;
        uint64 start = rental.rental(id).start;
        WorkReport memory report = WorkReport(id, version % 4, start + covered % 4000, verified % 4000, 1, 1, 1000, isFinal);
        _deliver(address(rental), 16, abi.encode(report));
        _watch(id);
    }

    function actClaim(uint256 who) external {
        vm.prank([renter, provider, relay, operator][who % 4]);
        try rental.claim(address(0xc0ffee)) {} catch {}
    }

    function actWait(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 1, 6 hours));
    }

    /// @dev Everything the contract holds is owed to somebody, and it can pay all of it.
    function invariant_solvency() public view {
        IRentalTotals totals = IRentalTotals(address(rental));
        assertEq(token.balanceOf(address(rental)), totals.totalHeld() + totals.totalCredit() + totals.totalReserve());
    }

    function invariant_conservation() public view {
        uint256 held;
        for (uint64 id = 1; id <= rental.rentalCount(); ++id) {
            IGPURental.Rental memory r = rental.rental(id);
            uint256 out = uint256(r.paid) + r.refunded + r.fees;
            assertLe(out, r.escrowed);
            bool open = r.state == IGPURental.State.Requested || r.state == IGPURental.State.Active;
            if (open) held += r.escrowed - out;
            else assertEq(out, r.escrowed);
            assertLe(r.paid, uint256(r.verifiedSeconds) * r.pricePerSecond);
            assertLe(r.start + r.verifiedSeconds, r.coveredUntil);
            assertLe(r.coveredUntil, r.end);
        }
        assertEq(held, IRentalTotals(address(rental)).totalHeld());
    }

    function invariant_paidNeverDecreases() public view {
        assertFalse(paidDecreased);
    }

    function _watch(uint64 id) private {
        if (id == 0) return;
        uint256 paid = rental.rental(id).paid;
        if (paid < paidBefore[id]) paidDecreased = true;
        paidBefore[id] = paid;
    }

    function _pick(uint256 seed) private view returns (uint64) {
        uint64 count = rental.rentalCount();
        return count == 0 ? 0 : uint64(1 + seed % count);
    }

    function _refresh() private {
        DeviceReport memory report = DeviceReport(deviceId, uint64(block.timestamp), 700_000, 1000, 0, uint64(block.timestamp));
        _deliver(address(staking), 17, abi.encode(report));
    }

    function _deliver(address to, uint8 kind, bytes memory fields) private {
        vm.prank(address(ethInbox));
        IMessageRecipient(to).handle(CLASSIC, address(work), abi.encodePacked(kind, fields), relay);
    }
}
