// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient, IOutbox} from "../../src/interfaces/IBridge.sol";
import {IReputationSystem} from "../../src/interfaces/IReputationSystem.sol";
import {IWork} from "../../src/interfaces/IWorkVerification.sol";
import {
    ClassProfile,
    CommitInput,
    DeviceRegistered,
    Profile,
    ReceiptSignature,
    RentalTerms,
    WorkParameters,
    WorkProof,
    WorkReport
} from "../../src/types/Protocol.sol";
import {classicRules} from "./Cheats.sol";
import {IWiring, World} from "./World.sol";

/// @dev Ethereum Classic's side alone, with Shanghai's rules; the test contract stands in for the Inbox.
abstract contract WorkWorld is World {
    address internal constant STAKING = address(0x51);
    address internal constant RENTAL = address(0x52);
    address internal constant TIMELOCK = address(0x53);
    address internal constant COURT = address(0x54);
    uint64 internal constant DEVICE = 7;
    uint64 internal constant START = 1_000_000;

    function setUp() public virtual override {
        classicRules();
        vm.roll(1000);
        vm.warp(START);
        onClassic();
        _makeKeys();
        renter = makeAddr("renter");
        etcOutbox = IOutbox(deployCode("Outbox.sol:Outbox"));
        reputation = IReputationSystem(deployCode("ReputationSystem.sol:ReputationSystem", abi.encode(100, 1e6)));
        work = IWork(_deployWork(_workParameters(), _profile(100)));
        IWiring(address(reputation)).wire(address(work));
        IWiring(address(work)).wire(address(this), address(etcOutbox), ETHEREUM, [STAKING, RENTAL, TIMELOCK, COURT]);
        _register(DEVICE, provider);
        vm.recordLogs();
    }

    function _deployWork(WorkParameters memory p, Profile memory full) internal returns (address) {
        ClassProfile[] memory classes = new ClassProfile[](1);
        classes[0] = ClassProfile(CLASS, uint128(500 * UNIT), full, _profile(50));
        address[] memory queens = new address[](3);
        for (uint256 i; i < 3; ++i) {
            queens[i] = vm.addr(queenKeys[i]);
        }
        return
            vm.deployCode(
                "WorkVerification.sol:WorkVerification", abi.encode(p, classes, queens, reputation, _verifier(), _half())
            );
    }

    function _verifier() internal returns (address) {
        return deployCode("ProofVerifier.sol:ProofVerifier");
    }

    /// @dev What WorkVerification hands its other calls to.
    function _half() internal returns (address) {
        address verifier = _verifier();
        address disputes = deployCode("WorkDisputes.sol:WorkDisputes", abi.encode(reputation, verifier));
        return deployCode("WorkSettlement.sol:WorkSettlement", abi.encode(reputation, verifier, disputes));
    }

    function _message(address sender, uint8 kind, bytes memory fields) internal {
        IMessageRecipient(address(work)).handle(ETHEREUM, sender, abi.encodePacked(kind, fields), relay);
    }

    function _register(uint64 deviceId, address account) internal {
        _message(STAKING, 1, abi.encode(DeviceRegistered(deviceId, account, worker, CLASS, START - 5)));
    }

    function _terms(uint64 rentalId, uint32 version, uint64 start, uint64 end) internal {
        _message(RENTAL, 4, abi.encode(RentalTerms(rentalId, DEVICE, version, start, end, renter, uint96(PRICE))));
    }

    function _input(uint64 blockNumber, bytes32 hash, uint8 mode) internal pure returns (CommitInput memory) {
        return CommitInput(blockNumber, DEVICE, mode, 0, hash, keccak256("root"));
    }

    function _inputOf(uint64 blockNumber, bytes32 hash, bytes32 root) internal pure returns (CommitInput memory) {
        return CommitInput(blockNumber, DEVICE, 1, 0, hash, root);
    }

    function _commitMeasured(uint64 blockNumber, bytes32 hash, uint8 mode, uint32 elapsedMs) internal returns (WorkProof memory) {
        return commitAs(blockNumber, hash, DEVICE, mode, 0, elapsedMs);
    }

    function _outcome(uint64 index) internal view returns (uint256) {
        return uint256(work.outcome(index, DEVICE));
    }

    /// @dev An unmeasured commit, proven, and settled as far as time goes.
    function _unmeasured(uint64 time) internal {
        vm.warp(time);
        (uint64 b, bytes32 hash) = openChallenge();
        sealAndProve(b, DEVICE, _commitMeasured(b, hash, 1, 300));
        vm.roll(b + 14);
    }

    function _lastReport() internal returns (WorkReport memory) {
        return abi.decode(_lastBody(16), (WorkReport));
    }

    /// @dev Body of the newest message to Ethereum, without its kind byte.
    function _lastBody(uint8 kind) internal returns (bytes memory fields) {
        collect();
        bytes memory body = sent[address(etcOutbox)][sent[address(etcOutbox)].length - 1].body;
        assertEq(uint8(body[0]), kind, "kind");
        fields = new bytes(body.length - 1);
        for (uint256 i; i < fields.length; ++i) {
            fields[i] = body[i + 1];
        }
    }
}
