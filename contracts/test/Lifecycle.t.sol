// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../src/interfaces/IGPURental.sol";
import {IStakingManager} from "../src/interfaces/IStakingManager.sol";
import {IWorkVerification} from "../src/interfaces/IWorkVerification.sol";
import {WorkProof} from "../src/types/Protocol.sol";
import {World} from "./utils/World.sol";

/// @dev A rental from the registration of the device to the provider's claim, over both chains and the bridge.
contract LifecycleTest is World {
    function test_rentalIsVerifiedAndPaid() public {
        uint64 deviceId = freshDevice();
        assertEq(staking.device(deviceId).lastFullPass, 999_990, "full pass known on Ethereum");
        uint64 offerId = makeOffer(deviceId);
        uint64 rentalId = rentAs(renter, offerId, 600);
        uint256 before = token.balanceOf(provider);
        readyAs(rentalId);
        relayAll(ethOutbox);
        openSession(rentalId);

        vm.warp(1_000_200);
        passChallenge(deviceId, 2, rentalId);
        work.reportRental(rentalId, 1);
        relayAll(etcOutbox);
        assertEq(rental.rental(rentalId).paid, 200 * PRICE, "first verified challenge releases pay");

        vm.warp(1_000_650);
        passChallenge(deviceId, 1, 0);
        work.reportRental(rentalId, 0);
        relayAll(etcOutbox);
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertTrue(r.state == IGPURental.State.Completed && r.closeReason == IGPURental.CloseReason.Completed);
        assertEq(r.paid, 600 * PRICE);
        assertEq(r.refunded, 0);
        assertEq(r.escrowed, uint256(r.paid) + r.refunded + r.fees);
        vm.prank(provider);
        uint256 claimed = rental.claim(provider);
        assertEq(claimed, 600 * uint256(PRICE) + 2e15, "rent and ready fee");
        assertEq(token.balanceOf(provider), before + claimed);
        assertEq(rental.credit(relay), 1e15, "bridge fee for the deliverer");
        uint256 fee = 600 * uint256(PRICE) / 20;
        assertEq(rental.collectFees(), fee);
        assertEq(distributor.totalBurned() + distributor.treasury(), fee);
        assertEq(rental.activeRental(deviceId), 0);
    }

    function test_missedTimeIsRefunded() public {
        uint64 deviceId = freshDevice();
        uint64 rentalId = rentAs(renter, makeOffer(deviceId), 600);
        readyAs(rentalId);
        relayAll(ethOutbox);
        openSession(rentalId);
        vm.warp(1_000_200);
        passChallenge(deviceId, 2, rentalId);
        vm.warp(1_000_500);
        missChallenge();
        vm.warp(1_000_700);
        passChallenge(deviceId, 1, 0);
        work.reportRental(rentalId, 1);
        relayAll(etcOutbox);
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertEq(r.paid, (200 + 100) * uint256(PRICE));
        uint256 unspentFee = uint256(r.protocolFee) - 300 * uint256(PRICE) / 20;
        assertEq(r.refunded, 300 * uint256(PRICE) + unspentFee);
        assertEq(r.due, 3);
        assertEq(r.passed, 2);
        assertEq(r.escrowed, uint256(r.paid) + r.refunded + r.fees);
    }

    /// @dev The renter leaves early; a challenge settled under the longer terms must not be paid beyond the new end.
    function test_earlyEndIsSettledByItsOwnTerms() public {
        uint64 deviceId = freshDevice();
        uint64 rentalId = rentAs(renter, makeOffer(deviceId), 600);
        readyAs(rentalId);
        relayAll(ethOutbox);
        openSession(rentalId);
        vm.warp(1_000_100);
        passChallenge(deviceId, 2, rentalId);
        onEthereum();
        vm.warp(1_000_150);
        vm.prank(renter);
        rental.endRental(rentalId);
        assertEq(rental.credit(renter), 450 * uint256(PRICE), "time after the end is refunded at once");

        vm.warp(1_000_300);
        passChallenge(deviceId, 2, rentalId);
        // Ethereum Classic has not heard of the new end yet.
        work.reportRental(rentalId, 1);
        assertEq(work.rental(rentalId).verifiedSeconds, 300);
        relayAll(ethOutbox);
        assertEq(work.rental(rentalId).verifiedSeconds, 0, "counted again from the start");
        relayAll(etcOutbox);
        assertEq(rental.rental(rentalId).paid, 150 * uint256(PRICE));
        onClassic();
        work.reportRental(rentalId, 0);
        assertEq(work.rental(rentalId).verifiedSeconds, 150);
        relayAll(etcOutbox);
        IGPURental.Rental memory r = rental.rental(rentalId);
        assertTrue(r.state == IGPURental.State.Completed);
        assertEq(r.paid, 150 * uint256(PRICE));
        assertEq(r.escrowed, uint256(r.paid) + r.refunded + r.fees);
    }

    function test_wrongProofIsSlashedOnEthereum() public {
        uint64 deviceId = registerDevice();
        (uint64 blockNumber, bytes32 hash) = openChallenge();
        WorkProof memory proof = commitAs(blockNumber, hash, deviceId, 1, 0, 60);
        proof.second[0].startState ^= bytes32(uint256(1));
        sealAndProve(blockNumber, deviceId, proof);
        assertTrue(work.commitOf(blockNumber, deviceId).status == IWorkVerification.CommitStatus.Voided);
        uint256 supply = token.totalSupply();
        relayAll(etcOutbox);
        assertEq(token.totalSupply(), supply - 500 * UNIT, "class stake is burned");
        IStakingManager.Staker memory s = staking.staker(provider);
        assertEq(s.staked, 1500 * UNIT);
        assertEq(s.locked, 0);
        assertEq(staking.device(deviceId).lockedStake, 0);
        assertEq(staking.device(deviceId).faults, 1);
        vm.roll(blockNumber + 14);
        onClassic();
        work.reportDevice(deviceId);
        relayAll(etcOutbox);
        assertEq(reputation.recordOf(provider).faults, 1);
        assertLt(staking.device(deviceId).reputationPpm, 500_000);
    }
}
