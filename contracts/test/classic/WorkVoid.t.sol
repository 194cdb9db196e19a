// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {CommitInput, ReceiptSignature, WorkParameters, WorkProof} from "../../src/types/Protocol.sol";
import {CHEATS} from "../utils/Cheats.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev Challenges that are nobody's fault: commits that could not be measured, and outages of many at once.
contract WorkVoidTest is WorkWorld {
    uint64[] private all;
    /// @dev Whether unmeasured commits are made with work that can be proven; the reference that makes it is slow.
    bool private proving;

    function setUp() public override {
        super.setUp();
        all.push(DEVICE);
        for (uint64 i = 1; i < 6; ++i) {
            _register(DEVICE + i, address(uint160(0xa000 + i)));
            all.push(DEVICE + i);
        }
    }

    function _workParameters() internal pure override returns (WorkParameters memory p) {
        p = super._workParameters();
        p.minOwners = 3;
        // Nobody has to prove here: what is drawn is tested elsewhere.
        p.proofRate = type(uint32).max;
    }

    /// @dev The first `count` devices commit, the first `unmeasured` of them without receipts, which they prove if they are drawn; then
    ///      all windows pass.
    function _challengeOf(uint256 count, uint256 unmeasured) private returns (uint64 b) {
        bytes32 hash;
        (b, hash) = openChallenge();
        WorkProof[] memory proofs = new WorkProof[](unmeasured);
        for (uint256 i; i < count; ++i) {
            CommitInput memory input = CommitInput(b, all[i], 1, 0, hash, keccak256(abi.encode(i)));
            if (proving && i < unmeasured) (input.root, proofs[i]) = proofFor(b, hash, all[i], 1);
            ReceiptSignature[] memory receipts = receiptsFor(input, 60, i < unmeasured ? 0 : 3);
            vm.prank(worker);
            work.commit(input, receipts, "");
        }
        vm.roll(b + 10);
        CHEATS.setBlockhash(b + 9, sealHashOf(b));
        work.seal(b);
        for (uint256 i; proving && i < unmeasured; ++i) {
            (bool isDrawn,) = work.drawn(b, all[i]);
            if (!isDrawn) continue;
            vm.prank(worker);
            work.prove(b, all[i], proofs[i]);
        }
        vm.roll(b + 40);
    }

    function _of(uint64 index, uint256 device) private view returns (IWorkVerification.Outcome) {
        return work.outcome(index, all[device]);
    }

    function test_outageOfMostIsNobodysFault() public {
        _challengeOf(6, 0);
        _challengeOf(6, 0);
        // Owners are capped at a tenth: six equal ones count 300 each of 3000.
        assertEq(work.challengeAt(1).weight, 1800);
        assertEq(work.challengeAt(1).totalWeight, 3000);
        assertEq(work.challengeAt(1).owners, 6);
        _challengeOf(3, 0);
        assertTrue(work.challengeAt(2).verdict == IWorkVerification.Verdict.Valid, "half is enough");
        assertTrue(_of(2, 5) == IWorkVerification.Outcome.Missed);
        _challengeOf(1, 0);
        assertTrue(work.challengeAt(3).verdict == IWorkVerification.Verdict.Void);
        assertTrue(_of(3, 0) == IWorkVerification.Outcome.Void, "for all");
        assertTrue(_of(3, 5) == IWorkVerification.Outcome.Void);
        uint32 before = reputation.recordOf(address(0xa005)).challenges;
        work.reportDevice(all[5]);
        assertEq(reputation.recordOf(address(0xa005)).challenges, before + 3, "a void challenge is not in the record");
    }

    function test_fewOwnersAreNeverExcused() public {
        _challengeOf(2, 0);
        _challengeOf(2, 0);
        _challengeOf(0, 0);
        assertTrue(work.challengeAt(2).verdict == IWorkVerification.Verdict.Valid);
        assertTrue(_of(2, 0) == IWorkVerification.Outcome.Missed);
    }

    function test_oneLargeOwnerIsNoNetwork() public {
        for (uint64 i; i < 14; ++i) {
            _register(1000 + i, provider);
            all.push(1000 + i);
        }
        (all[1], all[2], all[3], all[4], all[5]) = (1000, 1001, 1002, 1003, 1004);
        (all[6], all[7], all[8], all[9], all[10]) = (DEVICE + 1, DEVICE + 2, DEVICE + 3, DEVICE + 4, DEVICE + 5);
        _challengeOf(20, 0);
        _challengeOf(20, 0);
        assertEq(work.challengeAt(1).totalWeight, 10_000);
        assertEq(work.challengeAt(1).weight, 1000 + 5 * 500, "fifteen devices of one owner count a tenth");
        // The large owner alone is a tenth of all, whatever it has.
        _challengeOf(6, 0);
        assertTrue(work.challengeAt(2).verdict == IWorkVerification.Verdict.Void);
    }

    function test_whoIsLeftIsTheNetworkInTheEnd() public {
        _challengeOf(6, 0);
        _challengeOf(6, 0);
        for (uint64 i; i < 12; ++i) {
            _challengeOf(1, 0);
            assertTrue(work.challengeAt(2 + i).verdict == IWorkVerification.Verdict.Void);
        }
        _challengeOf(1, 0);
        assertTrue(work.challengeAt(14).verdict == IWorkVerification.Verdict.Valid);
    }

    function test_voidTimeIsPaidBetweenTwoPassedChallenges() public {
        _challengeOf(6, 0);
        _challengeOf(6, 0);
        _terms(1, 1, START, START + 1000);
        vm.warp(START + 100);
        _challengeOf(6, 0);
        vm.warp(START + 200);
        _challengeOf(1, 0);
        vm.warp(START + 300);
        _challengeOf(6, 0);
        work.reportRental(1, 0);
        assertEq(work.rental(1).verifiedSeconds, 300);
        assertEq(work.rental(1).due, 4, "two at the start, and two");
        vm.warp(START + 400);
        (all[0], all[5]) = (all[5], all[0]);
        _challengeOf(5, 0);
        vm.warp(START + 500);
        _challengeOf(1, 0);
        (all[0], all[5]) = (all[5], all[0]);
        vm.warp(START + 600);
        _challengeOf(6, 0);
        work.reportRental(1, 0);
        // Missed at 400, void at 500, passed at 600: only the last hundred seconds are verified.
        assertEq(work.rental(1).verifiedSeconds, 400);
        assertEq(work.rental(1).coveredUntil, START + 600);
    }

    function test_twoUnmeasuredCommitsAreNeutralAndAThirdIsMissed() public {
        proving = true;
        for (uint64 i; i < 4; ++i) {
            vm.warp(START + 400 * i);
            _challengeOf(6, 1);
            assertTrue(_of(i, 0) == IWorkVerification.Outcome.Unmeasured);
        }
        work.reportDevice(DEVICE);
        assertTrue(_of(1, 0) == IWorkVerification.Outcome.Unmeasured);
        assertTrue(_of(2, 0) == IWorkVerification.Outcome.Missed, "the third within a thousand seconds");
        assertTrue(_of(3, 0) == IWorkVerification.Outcome.Unmeasured, "the first one is past");
        assertEq(reputation.recordOf(provider).challenges, 1);
        assertEq(work.device(DEVICE).lastFullPass, 0, "no freshness");
        assertEq(work.device(DEVICE).performancePermille, 0);
    }

    function _isDrawn(uint64 b) private view returns (bool isDrawn) {
        (isDrawn,) = work.drawn(b, DEVICE);
    }

    function test_mostUnmeasuredExcusesAll() public {
        assertTrue(_isDrawn(_challengeOf(6, 3)), "half are not most");
        assertTrue(_of(0, 0) == IWorkVerification.Outcome.Missed, "drawn, and not answered");
        assertFalse(_isDrawn(_challengeOf(6, 4)), "drawn at the common rate only");
        assertTrue(_of(1, 0) == IWorkVerification.Outcome.Void);
        assertTrue(_of(1, 5) == IWorkVerification.Outcome.Passed, "who was measured passed");
        assertTrue(_isDrawn(_challengeOf(4, 4)), "four owners are too few");
    }
}
