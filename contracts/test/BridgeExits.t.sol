// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet} from "../src/interfaces/IBridge.sol";
import {IGPURental} from "../src/interfaces/IGPURental.sol";
import {IStakingManager} from "../src/interfaces/IStakingManager.sol";
import {BridgePause, BridgeRecovery, Checkpoint, Message, Quorum} from "../src/types/Protocol.sol";
import {TreeReference} from "./utils/TreeReference.sol";
import {IRentalTotals, World} from "./utils/World.sol";

/// @dev The ways out of a rental whose verdict crosses the bridge, each by real messages, proofs and signatures: what comes, what comes
///      late, and what never comes. The name of a test is that of its exit in docs/bridge.md.
contract BridgeExitsTest is World {
    uint64 private constant START = 1_000_000;
    uint256 private constant READY_FEE = 2e15;
    uint256 private constant BRIDGE_FEE = 1e15;
    uint64 private id;
    uint64 private device;

    /// @dev A rental of 600 seconds, of which Ethereum knows the first 200.
    function setUp() public override {
        super.setUp();
        device = freshDevice();
        id = rentAs(renter, makeOffer(device), 600);
        readyAs(id);
        relayAll(ethOutbox);
        openSession(id);
        vm.warp(START + 200);
        passChallenge(device, 2, id);
        work.reportRental(id, 1);
        relayAll(etcOutbox);
    }

    /// @dev The closing challenge passes, and the report leaves Ethereum Classic.
    function _sendFinalReport() private {
        vm.warp(START + 650);
        passChallenge(device, 1, 0);
        work.reportRental(id, 0);
        onEthereum();
    }

    /// @dev The newest checkpoint of Ethereum Classic, as Kings sign it now; nobody delivers anything under it.
    function _checkpoint() private returns (Checkpoint memory c, Quorum memory q) {
        c = checkpointOf(etcOutbox);
        q = sign(c, 7);
    }

    function _quorumOf(bytes32 digest, uint256 signers) private view returns (Quorum memory q) {
        q.members = members;
        for (uint256 i; i < signers; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(kingKeys[i], digest);
            q.signerBitmap |= 1 << i;
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }

    function _assertClosed(IGPURental.CloseReason reason, uint256 paidSeconds) private view {
        IGPURental.Rental memory r = rental.rental(id);
        assertTrue(r.state != IGPURental.State.Active, "closed");
        assertTrue(r.closeReason == reason, "reason");
        assertEq(r.paid, paidSeconds * PRICE, "paid");
        assertEq(r.escrowed, uint256(r.paid) + r.refunded + r.fees, "conserved");
        assertEq(IRentalTotals(address(rental)).totalHeld(), 0, "nothing is held");
        uint256 owed = IRentalTotals(address(rental)).totalCredit() + IRentalTotals(address(rental)).totalReserve();
        assertEq(token.balanceOf(address(rental)), owed, "solvent");
    }

    // ----------------------------------------------------------------------------------------- reports

    function test_exit_theReportArrives() public {
        _sendFinalReport();
        relayAll(etcOutbox);
        _assertClosed(IGPURental.CloseReason.Completed, 600);
        assertEq(rental.credit(relay), BRIDGE_FEE);
    }

    /// @dev No relay at all: the payee submits the checkpoint and brings its report along.
    function test_exit_thePayeeBringsTheReport() public {
        _sendFinalReport();
        collect();
        uint256 last = sent[address(etcOutbox)].length - 1;
        (Checkpoint memory c, Quorum memory q) = _checkpoint();
        ethInbox.submitCheckpoint(c, q);
        (, bytes32[32] memory path) = TreeReference.open(ids[address(etcOutbox)], last);
        Message memory m = sent[address(etcOutbox)][last];
        uint256 before = token.balanceOf(provider);
        vm.prank(provider);
        rental.claimWithReport(m, c.root, path, provider);
        assertEq(token.balanceOf(provider), before + 600 * uint256(PRICE) + READY_FEE + BRIDGE_FEE);
        _assertClosed(IGPURental.CloseReason.Completed, 600);
    }

    /// @dev A report that was lost is repaired by the next, which says all that the lost one said.
    function test_exit_aLostReportIsRepairedByTheNext() public {
        vm.warp(START + 400);
        passChallenge(device, 2, id);
        work.reportRental(id, 0);
        collect();
        relayed[address(etcOutbox)] = sent[address(etcOutbox)].length;
        _sendFinalReport();
        relayAll(etcOutbox);
        _assertClosed(IGPURental.CloseReason.Completed, 600);
    }

    // --------------------------------------------------------------------------------------- deadlines

    /// @dev The bridge works, and no report came: a checkpoint of that time shows it, and a day later the renter has its money.
    function test_exit_deadlineRefund() public {
        uint64 deadline = rental.deadlineOf(id);
        vm.warp(deadline + 1);
        (Checkpoint memory c, Quorum memory q) = _checkpoint();
        ethInbox.submitCheckpoint(c, q);
        court.requestDeadline(id, c, q);
        vm.warp(block.timestamp + 1 days - 1);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.TooEarly.selector, deadline + 1 + 1 days));
        rental.closeAfterDeadline(id);
        vm.warp(deadline + 1 + 1 days);
        vm.prank(relay);
        rental.closeAfterDeadline(id);
        _assertClosed(IGPURental.CloseReason.DeadlinePassed, 200);
    }

    function test_exit_reportBetweenRequestAndExecutionWins() public {
        _sendFinalReport();
        onClassic();
        etcOutbox.dispatch(ETHEREUM, address(1), "something else");
        onEthereum();
        vm.warp(rental.deadlineOf(id) + 1);
        (Checkpoint memory c, Quorum memory q) = _checkpoint();
        ethInbox.submitCheckpoint(c, q);
        court.requestDeadline(id, c, q);
        vm.warp(block.timestamp + 1 days);
        collect();
        uint256 index = sent[address(etcOutbox)].length - 2;
        (, bytes32[32] memory path) = TreeReference.open(ids[address(etcOutbox)], index);
        assertTrue(ethInbox.deliver(sent[address(etcOutbox)][index], c.root, path));
        _assertClosed(IGPURental.CloseReason.Completed, 600);
        vm.expectPartialRevert(IGPURental.WrongState.selector);
        rental.closeAfterDeadline(id);
    }

    /// @dev After the refund the report is acknowledged: it is delivered, so that it can't come again, and moves nothing.
    function test_exit_reportAfterTheRefundHasNoEffect() public {
        _sendFinalReport();
        vm.warp(rental.deadlineOf(id) + 1);
        (Checkpoint memory c, Quorum memory q) = _checkpoint();
        ethInbox.submitCheckpoint(c, q);
        court.requestDeadline(id, c, q);
        vm.warp(block.timestamp + 1 days);
        rental.closeAfterDeadline(id);
        uint256 credit = rental.credit(provider);
        collect();
        uint256 index = sent[address(etcOutbox)].length - 1;
        (, bytes32[32] memory path) = TreeReference.open(ids[address(etcOutbox)], index);
        assertTrue(ethInbox.deliver(sent[address(etcOutbox)][index], c.root, path));
        assertTrue(ethInbox.delivered(uint32(index)));
        assertEq(rental.credit(provider), credit);
        _assertClosed(IGPURental.CloseReason.DeadlinePassed, 200);
    }

    /// @dev No checkpoint: the deadline moves, at most to the hard one, and what nobody reported on is split.
    function test_exit_hardDeadlineWhileTheBridgeIsDown() public {
        uint64 hard = rental.deadlineOf(id) + 30 days;
        vm.warp(hard);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.DeadlineNotRequested.selector, id));
        rental.closeAfterDeadline(id);
        vm.warp(hard + 1);
        vm.prank(relay);
        rental.closeAfterDeadline(id);
        _assertClosed(IGPURental.CloseReason.BridgeDown, 400);
    }

    // ------------------------------------------------------------------------------------ pauses, limits

    /// @dev Kings stop the bridge at once; what waited is delivered afterwards, and nothing is lost.
    function test_exit_bridgePausedByAQuorum() public {
        _sendFinalReport();
        uint64 until = uint64(block.timestamp) + 2 days;
        bytes32 digest = IKingSet(ethKingSet).pauseDigest(BridgePause(CLASSIC, address(etcOutbox), 1, until));
        ethInbox.pause(until, _quorumOf(digest, 3));
        (Checkpoint memory c, Quorum memory q) = _checkpoint();
        vm.expectRevert(abi.encodeWithSelector(IInbox.IsPaused.selector, until));
        ethInbox.submitCheckpoint(c, q);
        vm.warp(until);
        relayAll(etcOutbox);
        _assertClosed(IGPURental.CloseReason.Completed, 600);
    }

    function test_exit_bridgePausedByGovernance() public {
        _sendFinalReport();
        uint64 until = uint64(block.timestamp) + 3 days;
        ethInbox.pauseByGovernor(until);
        (Checkpoint memory c, Quorum memory q) = _checkpoint();
        vm.expectRevert(abi.encodeWithSelector(IInbox.IsPaused.selector, until));
        ethInbox.submitCheckpoint(c, q);
        ethInbox.resume();
        relayAll(etcOutbox);
        _assertClosed(IGPURental.CloseReason.Completed, 600);
    }

    /// @dev The report is accepted whatever the limit says; the money leaves by the bucket.
    function test_exit_withdrawalLimitDelaysTheMoneyOnly() public {
        uint256 capacity = 100 * uint256(PRICE);
        rental.setWithdrawalLimit(uint96(capacity), 1000);
        _sendFinalReport();
        relayAll(etcOutbox);
        _assertClosed(IGPURental.CloseReason.Completed, 600);
        uint256 before = token.balanceOf(provider);
        vm.prank(provider);
        rental.claim(provider);
        assertEq(token.balanceOf(provider), before + capacity + READY_FEE);
        for (uint256 i; i < 5; ++i) {
            vm.warp(vm.getBlockTimestamp() + 1000);
            vm.prank(provider);
            rental.claim(provider);
        }
        assertEq(token.balanceOf(provider), before + 600 * uint256(PRICE) + READY_FEE);
    }

    /// @dev A large credit waits; while it does, a third of the Kings' weight may hold it up, for a bounded time.
    function test_exit_vetoDelayAndAThirdOfTheKings() public {
        rental.setVeto(uint96(400 * uint256(PRICE)), 1 days);
        _sendFinalReport();
        uint64 availableAt = uint64((block.timestamp + 1 days + 3599) / 3600 * 3600);
        relayAll(etcOutbox);
        assertEq(rental.delayedCredit(provider, availableAt), 400 * uint256(PRICE));
        uint64 until = availableAt + 2 days;
        bytes32 digest = court.pauseDigest(1, until);
        court.pauseWithdrawals(until, _quorumOf(digest, 2));
        vm.warp(availableAt);
        rental.releaseDelayed(provider, availableAt);
        vm.prank(provider);
        rental.claim(provider);
        assertEq(rental.credit(provider), 600 * uint256(PRICE));
        vm.warp(until + 1);
        vm.prank(provider);
        rental.claim(provider);
        assertEq(rental.credit(provider), 0);
        _assertClosed(IGPURental.CloseReason.Completed, 600);
    }

    // ----------------------------------------------------------------------------------- reorgs and Kings

    /// @dev Ethereum Classic went below what was signed: a recovery revokes the dead branch, and the report crosses in the new epoch.
    function test_exit_recoveryAfterAReorg() public {
        uint32 fork = etcOutbox.count();
        Checkpoint memory dead = checkpointOf(etcOutbox);
        (dead.root, dead.count) = (keccak256("dead branch"), fork + 1);
        ethInbox.submitCheckpoint(dead, sign(dead, 7));
        BridgeRecovery memory r = BridgeRecovery(CLASSIC, address(etcOutbox), 2, fork);
        ethInbox.recover(r, _quorumOf(IKingSet(ethKingSet).recoveryDigest(r), 3));
        assertEq(ethInbox.acceptedCount(dead.root), 0);
        _sendFinalReport();
        collect();
        uint256 index = sent[address(etcOutbox)].length - 1;
        (Checkpoint memory c,) = _checkpoint();
        c.setEpoch = 2;
        ethInbox.submitCheckpoint(c, sign(c, 7));
        (, bytes32[32] memory path) = TreeReference.open(ids[address(etcOutbox)], index);
        ethInbox.deliver(sent[address(etcOutbox)][index], c.root, path);
        _assertClosed(IGPURental.CloseReason.Completed, 600);
    }

    /// @dev The Kings are gone for good and their set has expired: the rental ends, the device is released, and the stake leaves.
    function test_exit_withoutKingsEverybodyLeaves() public {
        onClassic();
        etcOutbox.dispatch(ETHEREUM, address(1), "a new message");
        onEthereum();
        vm.warp(uint256(IKingSet(ethKingSet).expiresAt(1)) + 1);
        (Checkpoint memory c, Quorum memory q) = _checkpoint();
        vm.expectPartialRevert(IKingSet.SetExpired.selector);
        ethInbox.submitCheckpoint(c, q);
        rental.closeAfterDeadline(id);
        _assertClosed(IGPURental.CloseReason.BridgeDown, 400);
        vm.prank(renter);
        rental.claim(renter);
        vm.startPrank(provider);
        rental.claim(provider);
        staking.removeDevice(device);
        staking.requestUnstake(2000 * UNIT);
        vm.warp(vm.getBlockTimestamp() + 30 days);
        staking.releaseDevice(device);
        staking.withdraw();
        vm.stopPrank();
        assertTrue(staking.staker(provider).role == IStakingManager.Role.None);
        assertEq(token.balanceOf(address(staking)), 0);
        assertEq(token.balanceOf(address(rental)), rental.credit(address(distributor)));
    }

    /// @dev A handler that fails leaves its message where it is; once the reason is gone anybody delivers it again.
    function test_exit_aFailedDeliveryIsTriedAgain() public {
        _sendFinalReport();
        collect();
        uint256 index = sent[address(etcOutbox)].length - 1;
        (Checkpoint memory c, Quorum memory q) = _checkpoint();
        ethInbox.submitCheckpoint(c, q);
        (, bytes32[32] memory path) = TreeReference.open(ids[address(etcOutbox)], index);
        Message memory m = sent[address(etcOutbox)][index];
        // Too little gas for the handler; where it is too little for the Inbox as well, nothing happened at all.
        try ethInbox.deliver{gas: 110_000}(m, c.root, path) returns (bool handled) {
            assertFalse(handled);
        } catch {}
        assertFalse(ethInbox.delivered(uint32(index)));
        assertTrue(ethInbox.deliver(m, c.root, path));
        _assertClosed(IGPURental.CloseReason.Completed, 600);
    }
}
