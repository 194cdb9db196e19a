// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../../src/interfaces/IBridge.sol";
import {IReputationSystem} from "../../src/interfaces/IReputationSystem.sol";
import {IWorkCourse, IWorkDisputes, IWorkSettlement, IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {CommitInput, ReceiptSignature, RefusalSignature, WorkProof} from "../../src/types/Protocol.sol";
import {RoleMatrix} from "../utils/RoleMatrix.sol";
import {IWiring} from "../utils/World.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev The functions of Ethereum Classic's side by every kind of caller.
contract RoleMatrixWorkTest is WorkWorld, RoleMatrix {
    uint256 private constant INBOX = 1;
    uint256 private constant WORKER = 2;
    uint256 private constant QUEEN = 4;
    uint256 private constant RENTER = 8;
    uint256 private constant WORK = 64;
    uint256 private constant ANYBODY = 127;

    uint64 private challenge;
    bytes32 private hash;

    function setUp() public override {
        super.setUp();
        callers = [address(this), worker, vm.addr(queenKeys[0]), renter, provider, relay, address(work)];
        for (uint256 i; i < callers.length; ++i) {
            vm.deal(callers[i], 1 ether);
        }
        _terms(1, 1, START, START + 600);
        (challenge, hash) = openChallenge();
    }

    function test_work() public {
        CommitInput memory input = _input(challenge, hash, 1);
        bytes memory data = abi.encodeCall(IWorkCourse.commit, (input, new ReceiptSignature[](0), ""));
        _doneRow("commit", data, WORKER, IWorkVerification.NotWorker.selector);
        // Many may try at once: of a challenge that is open the call changes nothing.
        _doneRow("open", abi.encodeCall(IWorkCourse.open, (challenge, "")), ANYBODY, OPEN);
        data = abi.encodeCall(IMessageRecipient.handle, (ETHEREUM, STAKING, hex"99", relay));
        _row("handle", data, INBOX, IMessageRecipient.NotInbox.selector);
        bytes4 wire = bytes4(keccak256("wire(address,address,uint64,address[4])"));
        address[4] memory senders = [relay, relay, relay, relay];
        _row("wire", abi.encodeWithSelector(wire, relay, relay, ETHEREUM, senders), 0, NOT_WIRER);
        data = abi.encodeCall(IWorkDisputes.deposit, (provider));
        _doneRow("deposit", data, ANYBODY, OPEN);
        // Of one's own fund.
        data = abi.encodeCall(IWorkDisputes.withdraw, (relay, 1));
        _row("withdraw", data, 0, IWorkVerification.FundTooSmall.selector);
        _walkRows(address(work));
        _afterTheCommit();
        _walk(address(work), "WorkVerification");
        _assertComplete("WorkSettlement");
        _assertComplete("WorkDisputes");
    }

    function _afterTheCommit() private {
        WorkProof memory proof = commitAs(challenge, hash, DEVICE, 1, 0, 60);
        bytes memory data = abi.encodeCall(IWorkDisputes.dispute, (challenge, DEVICE, "seed"));
        _row("dispute", data, QUEEN | RENTER, IWorkVerification.NotQueenNorRenter.selector);
        data = abi.encodeCall(IWorkDisputes.refuse, (challenge, DEVICE, 0, new RefusalSignature[](0)));
        _row("refuse", data, 0, IWorkVerification.NotCommitted.selector);
        data = abi.encodeCall(IWorkDisputes.answer, (challenge, DEVICE, 0, proof));
        _row("answer", data, WORKER, IWorkVerification.NotWorker.selector);
        _walkRows(address(work));
        vm.roll(challenge + 10);
        _doneRow("seal", abi.encodeCall(IWorkCourse.seal, (challenge)), ANYBODY, OPEN);
        data = abi.encodeCall(IWorkCourse.prove, (challenge, DEVICE, proof));
        _row("prove", data, WORKER, IWorkVerification.NotWorker.selector);
        _walkRows(address(work));
        sealAndProve(challenge, DEVICE, proof);
        vm.roll(challenge + 14);
        _doneRow("reportDevice", abi.encodeCall(IWorkSettlement.reportDevice, (DEVICE)), ANYBODY, OPEN);
        _row("reportRental", abi.encodeCall(IWorkSettlement.reportRental, (1, 0)), ANYBODY, OPEN);
    }

    function test_reputation() public {
        bytes4 refusal = IReputationSystem.NotWorkVerification.selector;
        bytes memory data = abi.encodeCall(IReputationSystem.record, (provider, 1, true, 1, 1));
        _doneRow("record", data, WORK, refusal);
        data = abi.encodeCall(IReputationSystem.recordFault, (provider, 1, 1));
        _doneRow("recordFault", data, WORK, refusal);
        _doneRow("recordRental", abi.encodeCall(IReputationSystem.recordRental, (renter)), WORK, refusal);
        _doneRow("recordComplaints", abi.encodeCall(IReputationSystem.recordComplaints, (renter, 1)), WORK, refusal);
        bytes4 wire = bytes4(keccak256("wire(address)"));
        _row("wire", abi.encodeWithSelector(wire, relay), 0, NOT_WIRER);
        _walk(address(reputation), "ReputationSystem");
    }

    /// @dev Nothing changes a verifier.
    function test_verifier() public view {
        _assertComplete("ProofVerifier");
    }
}
