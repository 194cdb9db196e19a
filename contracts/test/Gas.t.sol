// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../src/interfaces/IBridge.sol";
import {IGPURental} from "../src/interfaces/IGPURental.sol";
import {IStakingManager} from "../src/interfaces/IStakingManager.sol";
import {
    Checkpoint,
    CommitInput,
    DeviceReport,
    Message,
    Profile,
    Quorum,
    ReceiptSignature,
    WorkProof,
    WorkReport
} from "../src/types/Protocol.sol";
import {BridgeBench} from "./utils/BridgeBench.sol";
import {CHEATS} from "./utils/Cheats.sol";
import {IRentalTotals, World} from "./utils/World.sol";
import {TreeReference} from "./utils/TreeReference.sol";

/// @dev Not declared pure, so that each call is a transaction.
interface IVerifierHarness {
    function foldOf(bytes32 roundSeed, uint256 row, uint256 fold, uint256 innerSize) external returns (uint64);
    function replay(Profile memory p, bytes32 seed, uint256 lane, uint256 segment, bytes32 state) external returns (bytes32);
}

interface IGovernorVote {
    function castVote(uint256 proposalId, uint8 support) external returns (uint256);
    function propose(address[] memory, uint256[] memory, bytes[] memory, string memory) external returns (uint256);
}

/// @dev Gas of whole transactions, run with --isolate. Writes snapshots/measured.json; scripts/gas.mjs compares it with what is
///      checked in.
contract GasTest is World, BridgeBench {
    string private constant OUT = "snapshots/measured.json";
    string private constant OBJECT = "gas";

    function test_everyActionIsMeasured() public {
        (uint64 deviceId, uint64 offerId) = _measureDevice();
        _measureRental(deviceId, offerId);
        _measureVerifiers();
        _measureSteadyBridge();
        _measureStakes();
        vm.writeJson(_measureVote(), OUT);
    }

    function _measureDevice() private returns (uint64 deviceId, uint64 offerId) {
        onEthereum();
        vm.startPrank(provider);
        token.approve(address(staking), type(uint256).max);
        staking.stake(IStakingManager.Role.Provider, 2000 * UNIT, operator, keccak256("peer"));
        _record("stake");
        vm.stopPrank();
        vm.prank(operator);
        deviceId = staking.registerDevice(CLASS, worker);
        _record("register_device");
        ethOutbox.dispatch(CLASSIC, address(1), new bytes(161));
        _record("dispatch");
        _measureBridge();

        (uint64 blockNumber, bytes32 hash) = _measureOpen();
        WorkProof memory proof = _measureCommit(blockNumber, hash, deviceId);
        vm.roll(blockNumber + 10);
        CHEATS.setBlockhash(blockNumber + 9, sealHashOf(blockNumber));
        work.seal(blockNumber);
        _record("seal");
        vm.prank(worker);
        work.prove(blockNumber, deviceId, proof);
        vm.roll(blockNumber + 14);
        work.reportDevice(deviceId);
        _record("report_device");
        relayAll(etcOutbox);
        offerId = makeOffer(deviceId);
    }

    /// @dev What comes after the first stake, and delegation to a pool that somebody is in already. `_voting`: the account has
    ///      named who votes with its stake and with its tokens, so both histories get an entry.
    function _measureStakes() private {
        // Later than all that came before: vote checkpoints only go forward.
        vm.warp(1_001_000);
        onEthereum();
        vm.startPrank(provider);
        token.approve(address(staking), type(uint256).max);
        staking.addStake(100 * UNIT);
        staking.addStake(100 * UNIT);
        _record("stake_more");
        staking.announceCommission(500);
        staking.delegate(provider);
        token.delegate(provider);
        vm.warp(block.timestamp + 1);
        staking.addStake(100 * UNIT);
        vm.warp(block.timestamp + 1);
        staking.addStake(100 * UNIT);
        _record("stake_more_voting");
        token.transfer(relay, 100 * UNIT);
        vm.stopPrank();
        vm.startPrank(relay);
        token.approve(address(staking), type(uint256).max);
        staking.delegateStake(provider, 100 * UNIT);
        vm.stopPrank();
        vm.startPrank(renter);
        token.approve(address(staking), type(uint256).max);
        staking.delegateStake(provider, 100 * UNIT);
        _record("delegate_stake");
        vm.warp(block.timestamp + 1);
        staking.delegateStake(provider, 100 * UNIT);
        _record("delegate_stake_more");
        vm.stopPrank();
        bytes memory body = abi.encodePacked(uint8(17), abi.encode(DeviceReport(1, uint64(block.timestamp), 1, 1, 0, 1 << 40)));
        vm.prank(address(ethInbox));
        IMessageRecipient(address(staking)).handle(CLASSIC, address(work), body, relay);
        vm.startPrank(address(distributor));
        token.mint(address(staking), UNIT);
        staking.notifyReward(IStakingManager.Role.Provider, UNIT);
        _record("notify_reward");
        vm.stopPrank();
        vm.prank(provider);
        staking.claimRewards(provider);
        _record("claim_rewards");
        vm.prank(renter);
        staking.claimRewards(renter);
        _record("claim_rewards_delegator");
        vm.prank(provider);
        staking.requestUnstake(100 * UNIT);
        vm.warp(block.timestamp + 1);
        vm.prank(provider);
        staking.requestUnstake(100 * UNIT);
        _record("unstake");
    }

    /// @dev Checkpoint and delivery of the registration, apart.
    function _measureBridge() private {
        collect();
        onClassic();
        Checkpoint memory c = checkpointOf(ethOutbox);
        Quorum memory q = sign(c, 7);
        etcInbox.submitCheckpoint(c, q);
        _record("checkpoint_3_of_4");
        (, bytes32[32] memory path) = TreeReference.open(ids[address(ethOutbox)], 0);
        etcInbox.deliver(sent[address(ethOutbox)][0], c.root, path);
        _record("deliver");
        relayed[address(ethOutbox)] = 2;
    }

    /// @dev The bridge with Ethereum Classic's rules, as it is after a while: a delivery finds its word of the bitmap, an Inbox has
    ///      accepted before. Each checkpoint writes one new slot, as each root is kept for good. `checkpoint_3_of_4`, `deliver` and
    ///      `dispatch` above are the first of all, and `deliver` includes what its handler does; here the handler does nothing.
    function _measureSteadyBridge() private {
        CHEATS.setEvmVersion("shanghai");
        _warmUp(13, 9);
        submitCheckpoint(9);
        _record("checkpoint_9_of_13");
        _warmUp(21, 15);
        submitCheckpoint(15);
        _record("checkpoint_15_of_21");
        deliverOne(queued() - 1);
        _record("deliver_first_of_256");
        dispatchOne();
        _record("dispatch_steady");
        for (uint256 i; i < 59; ++i) {
            dispatchOne();
        }
        _recordEach("deliver_batch20_each", queued() - 20, true);
        _recordEach("deliver_range20_each", queued() - 40, false);
        dispatchOne();
        submitCheckpoint(15);
        deliverOne(queued() - 1);
        _record("deliver_steady");
        CHEATS.setEvmVersion("osaka");
    }

    /// @dev One checkpoint 15 of 21 and twenty messages in one transaction.
    function _recordEach(string memory action, uint256 first, bool each) private {
        checkpointAndDeliver(15, first, 20, each);
        vm.serializeUint(OBJECT, action, vm.lastCallGas().gasTotalUsed / 20);
    }

    /// @dev A checkpoint of 40 messages, the first of them delivered; then as many more as a word of the bitmap has bits.
    function _warmUp(uint256 kings, uint256 signers) private {
        deployBridge(kings);
        for (uint256 i; i < 40; ++i) {
            dispatchOne();
        }
        submitCheckpoint(signers);
        deliverOne(0);
        for (uint256 i; i < 256; ++i) {
            dispatchOne();
        }
    }

    function _measureOpen() private returns (uint64 blockNumber, bytes32 hash) {
        (blockNumber, hash) = openChallenge();
        _record("open");
    }

    function _measureCommit(uint64 blockNumber, bytes32 hash, uint64 deviceId) private returns (WorkProof memory proof) {
        CommitInput memory input;
        (input.root, proof) = proofFor(blockNumber, hash, deviceId, 1);
        input.challengeBlock = blockNumber;
        input.deviceId = deviceId;
        input.mode = 1;
        input.blockHash = hash;
        ReceiptSignature[] memory receipts = receiptsFor(input, 60, 3);
        vm.prank(worker);
        work.commit(input, receipts, "");
        _record("commit_3_receipts");
    }

    function _measureRental(uint64 deviceId, uint64 offerId) private {
        vm.warp(1_000_000);
        // A device that was rented before, in a market that holds money already: what most renters meet. It is this renter's first.
        uint64 other = rentAs(provider, offerId, 600);
        vm.prank(provider);
        rental.cancel(other);
        _record("cancel");
        uint64 id = _rentWithPermit(offerId);
        vm.prank(operator);
        rental.ready(id);
        _record("ready");
        openSession(id);
        _record("session_opened");
        vm.startPrank(renter);
        token.approve(address(rental), type(uint256).max);
        rental.extend(id, 100, type(uint256).max);
        _record("extend");
        vm.stopPrank();
        vm.warp(1_000_200);
        vm.prank(renter);
        rental.endRental(id);
        _record("end_rental");
        relayAll(ethOutbox);
        passChallenge(deviceId, 1, 0);
        work.reportRental(id, 1);
        _record("report_rental");
        onEthereum();
        _handle(WorkReport(id, 3, 1_000_200, 200, 1, 1, 1000, true, 1e17, false));
        _record("apply_report_final_first");
        vm.prank(provider);
        rental.claim(provider);
        rental.collectFees();
        _record("collect_fees");
        _measureReports(offerId);
        _measureDisputes(offerId);
    }

    /// @dev What the handler of a report costs, sent as a transaction of its own. The `first` one above writes the accounts of a new
    ///      market. From here on every account has had credit before, and the rental has had a report: what most reports meet.
    function _measureReports(uint64 offerId) private {
        uint64 id = _rentAndOpen(offerId, 600);
        _handle(WorkReport(id, 1, 1_000_300, 100, 1, 1, 1000, false, 1e17, false));
        _record("apply_report_first");
        _handle(WorkReport(id, 1, 1_000_400, 200, 2, 2, 1000, false, 1e17, false));
        _record("apply_report");
        vm.prank(provider);
        rental.claim(provider);
        _record("claim");
        _handle(WorkReport(id, 1, 1_000_500, 300, 3, 3, 1000, false, 1e17, false));
        _handle(WorkReport(id, 1, 1_000_800, 550, 5, 4, 1000, true, 1e17, false));
        _record("apply_report_final");
        rental.collectFees();
        _measureRewards(id);
        _measureDeliveries(offerId);
    }

    /// @dev The same reports with the delivery around them: by a relay, and by the provider that claims in the same transaction. The
    ///      word of the Inbox's bitmap exists.
    function _measureDeliveries(uint64 offerId) private {
        vm.warp(1_000_800);
        uint64 id = _rentAndOpen(offerId, 600);
        uint32 index = _dispatch(WorkReport(id, 1, 1_000_900, 100, 1, 1, 1000, false, 1e17, false));
        _dispatch(WorkReport(id, 1, 1_001_000, 200, 2, 2, 1000, false, 1e17, false));
        _dispatch(WorkReport(id, 1, 1_001_100, 300, 3, 3, 1000, false, 1e17, false));
        _dispatch(WorkReport(id, 1, 1_001_400, 550, 5, 4, 1000, true, 1e17, false));
        collect();
        Checkpoint memory c = checkpointOf(etcOutbox);
        onEthereum();
        Quorum memory q = sign(c, 7);
        ethInbox.submitCheckpoint(c, q);
        for (uint32 i; i < 4; ++i) {
            (, bytes32[32] memory path) = TreeReference.open(ids[address(etcOutbox)], index + i);
            Message memory message = sent[address(etcOutbox)][index + i];
            if (i < 2) {
                vm.prank(relay);
                ethInbox.deliver(message, c.root, path);
                if (i == 1) _record("deliver_report");
            } else {
                vm.prank(provider);
                rental.claimWithReport(message, c.root, path, provider);
                _record(i == 2 ? "claim_with_report" : "claim_with_report_final");
            }
        }
        relayed[address(etcOutbox)] = ids[address(etcOutbox)].length;
        rental.collectFees();
        distributor.settleRental(id);
        _record("settle_rental");
        vm.warp(1_000_200);
    }

    function _measureRewards(uint64 id) private {
        distributor.startEmission(uint64(block.timestamp));
        distributor.setClassReward(CLASS, uint128(UNIT));
        distributor.settleRental(id);
        _record("settle_rental_first");
        vm.prank(provider);
        distributor.claim(provider);
        _record("claim_reward");
    }

    function _rentAndOpen(uint64 offerId, uint32 duration) private returns (uint64 id) {
        id = rentAs(renter, offerId, duration);
        readyAs(id);
        openSession(id);
    }

    function _handle(WorkReport memory report) private {
        bytes memory body = abi.encodePacked(uint8(16), abi.encode(report));
        vm.prank(address(ethInbox));
        IMessageRecipient(address(rental)).handle(CLASSIC, address(work), body, relay);
    }

    function _dispatch(WorkReport memory report) private returns (uint32 index) {
        onClassic();
        vm.prank(address(work));
        index = etcOutbox.dispatch(ETHEREUM, address(rental), abi.encodePacked(uint8(16), abi.encode(report)));
    }

    /// @dev What leaves the ordinary course of a rental.
    function _measureDisputes(uint64 offerId) private {
        vm.startPrank(provider);
        token.approve(address(rental), type(uint256).max);
        rental.depositReserve(1, 1e18);
        _record("deposit_reserve");
        vm.stopPrank();
        IGPURental.Safeguards memory s = rental.safeguards();
        s.maintenanceNotice = 10;
        IRentalTotals(address(rental)).setSafeguards(s);
        uint64 id = rentAs(renter, offerId, 600);
        readyAs(id);
        openSession(id);
        vm.startPrank(operator);
        rental.declareMaintenance(id, 1_000_300, 1_000_400);
        _record("declare_maintenance");
        vm.stopPrank();
        vm.startPrank(renter);
        token.approve(address(court), type(uint256).max);
        court.complain(id, keccak256("evidence"));
        _record("complain");
        vm.stopPrank();
        vm.prank(operator);
        rental.abortRental(id);
        _record("abort_rental");
    }

    function _rentWithPermit(uint64 offerId) private returns (uint64 id) {
        onEthereum();
        (,,,, uint256 total) = rental.quote(offerId, 600);
        bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typehash, renter, rental, total, 0, block.timestamp));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(renterKey, digest);
        vm.prank(renter);
        id = rental.rentWithPermit(offerId, 600, sessionKey, total, block.timestamp, v, r, s);
        _record("rent_with_permit");
    }

    /// @dev The harness is compiled as ProofVerifier is; what a transaction costs before its code runs is taken off.
    function _measureVerifiers() private {
        IVerifierHarness harness = IVerifierHarness(deployCode("VerifierHarness.sol:VerifierHarness"));
        harness.foldOf(keccak256("seed"), 1, 2, 16_384);
        _record("matmul_fold_k16384");
        Profile memory p = Profile(1 << 33, 4, 1 << 17, 12_288, 4, 4, 16_384, 8192, 16, 1, 1, 1);
        harness.replay(p, keccak256("seed"), 3, 5, keccak256("state"));
        _record("memory_segment_256_r4");
        _measureProof();
    }

    /// @dev A whole `prove` of the class of the devnet.
    function _measureProof() private {
        (uint64 blockNumber, bytes32 hash) = openChallenge();
        WorkProof memory proof = commitAs(blockNumber, hash, 1, 1, 0, 60);
        sealAndProve(blockNumber, 1, proof);
        _record("prove_cpu_test");
    }

    function _measureVote() private returns (string memory json) {
        onEthereum();
        address[] memory none = new address[](0);
        address timelock =
            deployCode("TimelockController.sol:TimelockController", abi.encode(uint256(60), none, none, address(this)));
        uint256[5] memory settings = [uint256(10), 100, UNIT, 4, 20];
        IGovernorVote governance =
            IGovernorVote(deployCode("Governance.sol:Governance", abi.encode(token, staking, timelock, settings)));
        vm.prank(renter);
        token.delegate(renter);
        vm.warp(block.timestamp + 1);
        address[] memory targets = new address[](1);
        vm.prank(renter);
        uint256 id = governance.propose(targets, new uint256[](1), new bytes[](1), "x");
        vm.warp(block.timestamp + 11);
        vm.prank(renter);
        governance.castVote(id, 1);
        _record("vote_first");
        // The quorum is there and the tally is not zero: what all voters but the first few meet.
        vm.prank(provider);
        governance.castVote(id, 1);
        json = vm.serializeUint(OBJECT, "vote", vm.lastCallGas().gasTotalUsed);
    }

    /// @dev The class of the devnet, with its real sizes.
    function _profile(uint32 referenceMs) internal pure override returns (Profile memory) {
        return Profile(16 << 20, 1, 512, 4096, 4, 1, 512, 512, 2, referenceMs, referenceMs * 2, referenceMs * 4);
    }

    function _record(string memory action) private {
        vm.serializeUint(OBJECT, action, vm.lastCallGas().gasTotalUsed);
    }
}
