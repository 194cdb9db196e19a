// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../../src/interfaces/IBridge.sol";
import {IReputationSystem} from "../../src/interfaces/IReputationSystem.sol";
import {IWork, IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {
    ClassProfile,
    ClassProfileSet,
    DeviceRegistered,
    ParameterSet,
    Profile,
    QueenSetRotated,
    ReceiptSignature,
    RenterRecord,
    WorkParameters,
    WorkerKeyChanged
} from "../../src/types/Protocol.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev What Ethereum says, and what it may not say.
contract WorkMessagesTest is WorkWorld {
    // --------------------------------------------------------------------------------------- messages

    function test_newWorkerKeyAnswersForLaterChallengesOnly() public {
        address other = makeAddr("other worker");
        (uint64 b, bytes32 hash) = openChallenge();
        _message(STAKING, 3, abi.encode(WorkerKeyChanged(DEVICE, other, START)));
        ReceiptSignature[] memory none;
        vm.prank(other);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotWorker.selector, other, worker));
        work.commit(_input(b, hash, 1), none, "");
        sealAndProve(b, DEVICE, _commitMeasured(b, hash, 1, 60));
        vm.roll(b + 14);
        vm.warp(START + 1);
        (b, hash) = openChallenge();
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NotWorker.selector, worker, other));
        work.commit(_input(b, hash, 1), none, "");
        _message(STAKING, 3, abi.encode(WorkerKeyChanged(DEVICE, relay, START)));
        assertEq(work.device(DEVICE).worker, other, "a change that is not later changes nothing");
        vm.expectRevert(IWorkVerification.ZeroAddress.selector);
        _message(STAKING, 3, abi.encode(WorkerKeyChanged(DEVICE, address(0), START + 1)));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownDevice.selector, 99));
        _message(STAKING, 3, abi.encode(WorkerKeyChanged(99, other, START)));
    }

    function test_parametersApplyToLaterChallenges() public {
        (uint64 b, bytes32 hash) = openChallenge();
        WorkParameters memory p = _workParameters();
        p.commitWindow = 4;
        _message(TIMELOCK, 6, abi.encode(ParameterSet(2, p)));
        assertEq(work.parametersVersion(), 2);
        assertEq(work.parameters().commitWindow, 4);
        assertEq(work.parametersAt(1).commitWindow, 8);
        vm.roll(b + 8);
        _commitMeasured(b, hash, 1, 60);
        assertTrue(work.commitOf(b, DEVICE).measured, "the window that the challenge was opened under");
        (b, hash) = openChallenge();
        assertEq(work.challengeAt(1).parametersVersion, 2);
        vm.roll(b + 5);
        ReceiptSignature[] memory none;
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.OutsideWindow.selector, b, b + 5));
        work.commit(_input(b, hash, 1), none, "");
        _message(TIMELOCK, 6, abi.encode(ParameterSet(1, _workParameters())));
        assertEq(work.parametersVersion(), 2, "an older version changes nothing");
        p.proofSamples = 0;
        vm.expectRevert(IWorkVerification.InvalidParameters.selector);
        _message(TIMELOCK, 6, abi.encode(ParameterSet(3, p)));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownParameters.selector, 3));
        work.parametersAt(3);
    }

    function test_queensWitnessWhereTheySatWhenItWasOpened() public {
        (uint64 b, bytes32 hash) = openChallenge();
        ReceiptSignature[] memory receipts = receiptsFor(_input(b, hash, 1), 60, 3);
        address[] memory others = new address[](2);
        (others[0], others[1]) = (makeAddr("q0"), makeAddr("q1"));
        _message(STAKING, 7, abi.encode(QueenSetRotated(2, others)));
        assertEq(work.queens(), others);
        assertEq(work.queensAt(1).length, 3);
        vm.prank(worker);
        work.commit(_input(b, hash, 1), receipts, "");
        assertTrue(work.commitOf(b, DEVICE).measured);
        vm.roll(b + 14);
        (b, hash) = openChallenge();
        assertEq(work.challengeAt(1).queenEpoch, 2);
        receipts[0].queenIndex = 0;
        vm.prank(worker);
        vm.expectPartialRevert(IWorkVerification.InvalidReceipt.selector);
        work.commit(_input(b, hash, 1), receipts, "");
        others[1] = others[0];
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidQueen.selector, 1));
        _message(STAKING, 7, abi.encode(QueenSetRotated(3, others)));
        others[1] = address(0);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidQueen.selector, 1));
        _message(STAKING, 7, abi.encode(QueenSetRotated(3, others)));
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidQueen.selector, 125));
        _message(STAKING, 7, abi.encode(QueenSetRotated(3, new address[](125))));
        _message(STAKING, 7, abi.encode(QueenSetRotated(2, new address[](0))));
        assertEq(work.queenEpoch(), 2, "an epoch that is not newer changes nothing");
    }

    function test_classesAreAddedAndNeverChanged() public {
        ClassProfile memory c = ClassProfile(2, uint128(700 * UNIT), _profile(200), _profile(80));
        _message(TIMELOCK, 5, abi.encode(ClassProfileSet(c)));
        assertEq(work.classProfile(2).stake, 700 * UNIT);
        assertEq(work.classProfile(2).full.referenceMs, 200);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownClass.selector, 2));
        _message(TIMELOCK, 5, abi.encode(ClassProfileSet(c)));
        c.classVersion = 3;
        c.full.lanes = 3;
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidProfile.selector, 3, 1));
        _message(TIMELOCK, 5, abi.encode(ClassProfileSet(c)));
    }

    function test_complaintsThatARenterLostAreKept() public {
        _message(COURT, 9, abi.encode(RenterRecord(renter, 2)));
        _message(COURT, 9, abi.encode(RenterRecord(renter, 1)));
        assertEq(reputation.renterOf(renter).complaintsLost, 2);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotWorkVerification.selector, address(this)));
        reputation.recordComplaints(renter, 3);
    }

    function test_otherHalfCalledDirectlyRefuses() public {
        address half = _half();
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.NotInbox.selector, address(this)));
        IMessageRecipient(half).handle(ETHEREUM, STAKING, hex"01", relay);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownDevice.selector, DEVICE));
        IWork(half).reportDevice(DEVICE);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownRental.selector, 1));
        IWork(half).reportRental(1, 0);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownChallenge.selector, 1));
        IWork(half).dispute(1, DEVICE, 0);
        address disputes = deployCode("WorkDisputes.sol:WorkDisputes", abi.encode(reputation, half));
        vm.expectRevert(IWorkVerification.CalledDirectly.selector);
        IWork(disputes).deposit(provider);
    }

    function test_halfMustHaveCode() public {
        ClassProfile[] memory classes = new ClassProfile[](0);
        address[] memory queens = new address[](1);
        bytes memory arguments = abi.encode(_workParameters(), classes, queens, reputation, relay, relay);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.NoCode.selector, relay));
        this.deployFrom(arguments);
    }

    function deployFrom(bytes calldata arguments) external returns (address) {
        return vm.deployCode("WorkVerification.sol:WorkVerification", arguments);
    }

    function test_messagesOfOthersAreRefused() public {
        IMessageRecipient to = IMessageRecipient(address(work));
        vm.prank(relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.NotInbox.selector, relay));
        to.handle(ETHEREUM, STAKING, hex"01", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UntrustedSender.selector, 1, STAKING));
        to.handle(1, STAKING, hex"01", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UntrustedSender.selector, ETHEREUM, relay));
        to.handle(ETHEREUM, relay, hex"01", relay);
        // Each sender may say only what is its own.
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 1));
        to.handle(ETHEREUM, RENTAL, hex"01", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 4));
        to.handle(ETHEREUM, STAKING, hex"04", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 6));
        to.handle(ETHEREUM, COURT, hex"06", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 9));
        to.handle(ETHEREUM, TIMELOCK, hex"09", relay);
        vm.expectRevert();
        to.handle(ETHEREUM, STAKING, "", relay);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.UnknownClass.selector, 9));
        _message(STAKING, 1, abi.encode(DeviceRegistered(9, provider, worker, 9, START)));
        _message(STAKING, 1, abi.encode(DeviceRegistered(DEVICE, relay, relay, CLASS, START)));
        assertEq(work.device(DEVICE).worker, worker, "a device is added once");
    }

    function test_reputationIsWrittenByWorkVerificationOnly() public {
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotWorkVerification.selector, address(this)));
        reputation.record(provider, 1, true, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IReputationSystem.NotWorkVerification.selector, address(this)));
        reputation.recordFault(provider, 1, 1);
    }

    function test_reputationHalvesInItsHalfLife() public {
        assertEq(reputation.scorePpm(provider), 500_000);
        vm.startPrank(address(work));
        reputation.record(provider, 1, true, 1000, 10);
        for (uint256 i; i < 100; ++i) {
            reputation.record(provider, 1, false, 0, 0);
        }
        assertApproxEqAbs(reputation.recordOf(provider).passedPpm, 500_000, 100);
        assertLt(reputation.scorePpm(provider), 30_000);
    }

    // ------------------------------------------------------------------------------------ constructor

    function test_invalidProfilesAreRefused() public {
        Profile[11] memory p;
        for (uint256 i; i < p.length; ++i) {
            p[i] = _profile(100);
        }
        p[0].windows = 0;
        p[1].memoryBytes += 1;
        p[2].lanes = 3;
        p[3].steps = 4097;
        p[4].matrixSize = 4;
        p[5].innerSize = 33;
        p[6].innerSize = 16_416;
        p[7].rounds = 0;
        p[8].passMs = 99;
        p[9].lanes = 2;
        p[10].steps = 2048;
        for (uint256 i; i < p.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidProfile.selector, CLASS, 1));
            this.deployWork(_workParameters(), p[i]);
        }
        vm.chainId(61);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.InvalidProfile.selector, CLASS, 2));
        this.deployWork(_workParameters(), _profile(100));
    }

    function test_invalidParametersAreRefused() public {
        WorkParameters[12] memory p;
        for (uint256 i; i < p.length; ++i) {
            p[i] = _workParameters();
        }
        p[0].beaconPeriod = 0;
        p[1].beaconSpacing = 4;
        p[2].commitWindow = 251;
        p[2].beaconSpacing = 300;
        p[3].answerWindow = 2049;
        p[4].proofSamples = 9;
        p[5].maxPerCall = 0;
        p[6].shardSize = 2;
        p[7].graceWindow = 366 days;
        p[8].capWindow = 0;
        p[9].valueCap = 7;
        p[10].disputeBond -= 1;
        p[11].blockGas = p[11].answerGas - 1;
        for (uint256 i; i < p.length; ++i) {
            vm.expectRevert(IWorkVerification.InvalidParameters.selector);
            this.deployWork(p[i], _profile(100));
        }
    }

    function deployWork(WorkParameters memory p, Profile memory full) external returns (address) {
        return _deployWork(p, full);
    }
}
