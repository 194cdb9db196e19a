// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../../src/interfaces/IBridge.sol";
import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {Checkpoint, DeviceReport, Quorum, WorkReport} from "../../src/types/Protocol.sol";
import {CHEATS} from "./Cheats.sol";
import {IRentalTotals, World} from "./World.sol";

/// @title A device on offer, and reports that say what a test wants
abstract contract RentalWorld is World {
    uint64 internal constant T0 = 1_000_000;

    uint64 internal deviceId;
    uint64 internal offerId;
    address internal delegate = makeAddr("delegate");
    uint256[] internal judgeKeys;

    function setUp() public virtual override {
        super.setUp();
        deviceId = registerDevice();
        onEthereum();
        vm.warp(T0);
        _fresh();
        offerId = makeOffer(deviceId);
    }

    function _deliver(address to, uint8 kind, bytes memory fields) internal {
        vm.prank(address(ethInbox));
        IMessageRecipient(to).handle(CLASSIC, address(work), abi.encodePacked(kind, fields), relay);
    }

    function _fresh() internal {
        uint64 time = uint64(block.timestamp);
        _deliver(address(staking), 17, abi.encode(DeviceReport(deviceId, time, 700_000, 1000, 0, time)));
    }

    /// @dev `covered` and `verified` are seconds since the start.
    function _report(uint64 id, uint64 covered, uint64 verified, uint32 due, uint32 passed, bool isFinal) internal {
        bytes memory body = _bodyOf(id, covered, verified, due, passed, isFinal);
        vm.prank(address(ethInbox));
        IMessageRecipient(address(rental)).handle(CLASSIC, address(work), body, relay);
    }

    function _bodyOf(uint64 id, uint64 covered, uint64 verified, uint32 due, uint32 passed, bool isFinal)
        internal
        view
        returns (bytes memory)
    {
        IGPURental.Rental memory r = rental.rental(id);
        // The challenges since the last report were all missed, so the closing one was.
        bool closingMissed = isFinal && due > r.due && passed <= r.passed;
        WorkReport memory report =
            WorkReport(id, r.termsVersion, r.start + covered, verified, due, passed, 1000, isFinal, 0, closingMissed);
        return abi.encodePacked(uint8(16), abi.encode(report));
    }

    function _active(uint32 duration) internal returns (uint64 id) {
        id = rentAs(renter, offerId, duration);
        readyAs(id);
        openSession(id);
    }

    function _approveAll(address account) internal {
        vm.startPrank(account);
        token.approve(address(rental), type(uint256).max);
        token.approve(address(court), type(uint256).max);
        vm.stopPrank();
    }

    function _deposit(uint256 amount) internal {
        _approveAll(provider);
        vm.prank(provider);
        rental.depositReserve(deviceId, uint128(amount));
    }

    function _reason(uint64 id) internal view returns (IGPURental.CloseReason) {
        return rental.rental(id).closeReason;
    }

    /// @dev Money that the rental moved is conserved, and the contract can pay all it owes.
    function _assertBooks(uint64 id) internal view {
        IGPURental.Rental memory r = rental.rental(id);
        uint256 out = uint256(r.paid) + r.refunded + r.fees;
        if (r.state > IGPURental.State.Active) assertEq(r.escrowed, out, "conservation");
        else assertLe(out, r.escrowed, "never more than the escrow");
        IRentalTotals totals = IRentalTotals(address(rental));
        uint256 owed = totals.totalCredit() + totals.totalHeld() + totals.totalReserve();
        assertEq(token.balanceOf(address(rental)), owed, "solvency");
    }

    function _assertClosed(uint64 id, IGPURental.CloseReason reason) internal view {
        assertTrue(_reason(id) == reason, "close reason");
        assertTrue(rental.rental(id).state > IGPURental.State.Active, "closed");
        _assertBooks(id);
    }

    /// @dev Queens on Ethereum, with stake since a second ago.
    function _seatQueens(uint256 count) internal {
        // Asked for by a cheatcode: the compiler may read `block.timestamp` again after the warp.
        uint256 time = vm.getBlockTimestamp();
        vm.warp(time - 1);
        for (uint256 i; i < count; ++i) {
            uint256 key = uint256(keccak256(abi.encode("judge", i)));
            address queen = vm.addr(key);
            judgeKeys.push(key);
            vm.prank(renter);
            token.transfer(queen, 5000 * UNIT);
            stakeAs(queen, IStakingManager.Role.Queen, 5000 * UNIT, queen);
        }
        vm.warp(time);
    }

    function _complain(uint64 id) internal returns (uint256 caseId) {
        _approveAll(renter);
        vm.prank(renter);
        caseId = court.complain(id, keccak256("evidence"));
    }

    function _draw(uint256 caseId) internal returns (address[] memory committee) {
        vm.roll(court.caseOf(caseId).drawBlock + 1);
        CHEATS.setBlockhash(block.number - 1, keccak256("drawn"));
        court.draw(caseId);
        return court.caseOf(caseId).committee;
    }

    /// @dev Votes until the verdict stands.
    function _judge(uint256 caseId, bool upheld) internal {
        address[] memory committee = _draw(caseId);
        for (uint256 i; i < committee.length && court.caseOf(caseId).status == IRentalCourt.Status.Open; ++i) {
            vm.prank(committee[i]);
            court.vote(caseId, upheld);
        }
    }

    function _requestDeadline(uint64 id) internal {
        onClassic();
        if (etcOutbox.count() == 0) etcOutbox.dispatch(ETHEREUM, address(1), "x");
        Checkpoint memory c = checkpointOf(etcOutbox);
        onEthereum();
        Quorum memory q = sign(c, 7);
        ethInbox.submitCheckpoint(c, q);
        court.requestDeadline(id, c, q);
    }
}
