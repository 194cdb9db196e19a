// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Test} from "forge-std/Test.sol";

import {IKingSet} from "../src/interfaces/IBridge.sol";
import {IGPURental, IRental} from "../src/interfaces/IGPURental.sol";
import {IProofVerifier} from "../src/interfaces/IProofVerifier.sol";
import {IWork, IWorkVerification} from "../src/interfaces/IWorkVerification.sol";
import {MessageTree} from "../src/libraries/MessageTree.sol";
import {Receipts} from "../src/libraries/Receipts.sol";
import {
    BridgePause,
    BridgeRecovery,
    Checkpoint,
    ClassProfile,
    KingSetRotation,
    Message,
    Profile,
    WorkParameters,
    WorkProof,
    WorkReceipt
} from "../src/types/Protocol.sol";
import {KingSetArguments} from "./utils/KingSetArguments.sol";
import {TreeReference} from "./utils/TreeReference.sol";

interface IReceiptDigest {
    function receiptDigest(WorkReceipt calldata receipt) external view returns (bytes32);
    function wire(address inbox, address outbox, uint64 chainId, address[4] calldata senders) external;
}

/// @dev The same vectors are checked by the Rust suite: both sides agree byte for byte, or one of them fails here.
contract VectorsTest is Test {
    string private json;

    function setUp() public {
        json = vm.readFile("test/vectors.json");
    }

    function root(bytes32[32] calldata proof, bytes32 id, uint32 index) external pure returns (bytes32) {
        return MessageTree.rootOf(id, index, proof);
    }

    function idOf(Message calldata message) external pure returns (bytes32) {
        return MessageTree.messageId(message);
    }

    function test_beacon() public {
        for (uint256 i; _has("beacon", i); ++i) {
            WorkParameters memory p = _parameters();
            p.beaconPeriod = uint64(_number("beacon", i, "period"));
            address where = makeAddr(vm.toString(i));
            _deployWork(where, p, _profile("seed", 0), 1);
            bool actual = IWork(where).isChallengeBlock(_word("beacon", i, "block_hash"));
            assertEq(actual, vm.parseJsonBool(json, _key("beacon", i, "is_challenge")), "beacon");
        }
    }

    function test_seed() public {
        for (uint256 i; _has("seed", i); ++i) {
            uint256 clean = vm.snapshotState();
            address where = _account("seed", i, "contract");
            vm.chainId(_number("seed", i, "chain_id"));
            uint64 deviceId = uint64(_number("seed", i, "device_id"));
            uint32 class_ = uint32(_number("seed", i, "class_version"));
            _deployWork(where, _parameters(), _profile("seed", i), class_);
            _addDevice(where, deviceId, _account("seed", i, "provider"), class_);
            bytes32 actual = IWork(where).seedOf(_word("seed", i, "block_hash"), deviceId, uint8(_number("seed", i, "mode")));
            assertEq(actual, _word("seed", i, "seed"), "seed");
            vm.revertToState(clean);
        }
    }

    function test_kernel() public {
        IProofVerifier verifier = IProofVerifier(vm.deployCode("ProofVerifier.sol:ProofVerifier"));
        for (uint256 i; _has("kernel", i); ++i) {
            WorkProof memory proof = abi.decode(vm.parseJsonBytes(json, _key("kernel", i, "proof")), (WorkProof));
            assertEq(proof.memoryRoot, _word("kernel", i, "memory_root"), "memory root");
            bytes32[] memory roots = vm.parseJsonBytes32Array(json, _key("kernel", i, "matmul_roots"));
            assertEq(keccak256(abi.encode(proof.matmulRoots)), keccak256(abi.encode(roots)), "matmul roots");
            assertTrue(_verify(verifier, i, _word("kernel", i, "seed"), proof), "kernel");
            assertFalse(_verify(verifier, i, keccak256("another seed"), proof), "kernel, other seed");
        }
    }

    function test_committee() public view {
        for (uint256 i; _has("committee", i); ++i) {
            uint16[] memory members = Receipts.committee(
                _word("committee", i, "block_hash"),
                _account("committee", i, "provider"),
                uint64(_number("committee", i, "device_id")),
                _number("committee", i, "queens"),
                _number("committee", i, "committee_size")
            );
            uint256[] memory expected = vm.parseJsonUintArray(json, _key("committee", i, "members"));
            assertEq(members.length, expected.length, "committee size");
            for (uint256 k; k < members.length; ++k) {
                assertEq(members[k], expected[k], "committee member");
            }
        }
    }

    function test_message() public view {
        for (uint256 i; _has("message", i); ++i) {
            Message memory m = Message(
                uint32(_number("message", i, "index")),
                uint64(_number("message", i, "origin")),
                _account("message", i, "sender"),
                uint64(_number("message", i, "destination")),
                _account("message", i, "recipient"),
                vm.parseJsonBytes(json, _key("message", i, "body"))
            );
            assertEq(this.idOf(m), _word("message", i, "id"), "message id");
            assertEq(MessageTree.leaf(_word("message", i, "id")), _word("message", i, "leaf"), "message leaf");
        }
    }

    function test_tree() public view {
        for (uint256 i; _has("tree", i); ++i) {
            bytes32[] memory leaves = vm.parseJsonBytes32Array(json, _key("tree", i, "leaves"));
            bytes32[] memory proof = vm.parseJsonBytes32Array(json, _key("tree", i, "proof"));
            uint32 index = uint32(_number("tree", i, "proof_index"));
            (bytes32 expected, bytes32[32] memory ours) = TreeReference.open(leaves, index);
            assertEq(expected, _word("tree", i, "root"), "tree root");
            assertEq(proof.length, 32, "proof length");
            for (uint256 k; k < 32; ++k) {
                assertEq(proof[k], ours[k], "proof");
            }
            assertEq(this.root(ours, leaves[index], index), expected, "proof to root");
        }
    }

    function test_kingsOtherStatements() public {
        bytes32[] memory members = new bytes32[](1);
        members[0] = bytes32((uint256(1) << 96) | 1);
        IKingSet kings = IKingSet(vm.deployCode("KingSet.sol:KingSet", KingSetArguments.alone(members)));
        for (uint256 i; _has("king_set_rotation", i); ++i) {
            KingSetRotation memory r;
            r.bridge = _word("king_set_rotation", i, "bridge");
            r.setEpoch = uint64(_number("king_set_rotation", i, "set_epoch"));
            r.setHash = _word("king_set_rotation", i, "set_hash");
            r.nominatedAt = uint64(_number("king_set_rotation", i, "nominated_at"));
            r.expiresAt = uint64(_number("king_set_rotation", i, "expires_at"));
            assertEq(kings.rotationDigest(r), _word("king_set_rotation", i, "digest"), "rotation digest");
        }
        for (uint256 i; _has("bridge_recovery", i); ++i) {
            BridgeRecovery memory r;
            r.originChainId = uint64(_number("bridge_recovery", i, "origin_chain_id"));
            r.outbox = _account("bridge_recovery", i, "outbox");
            r.setEpoch = uint64(_number("bridge_recovery", i, "set_epoch"));
            r.forkCount = uint32(_number("bridge_recovery", i, "fork_count"));
            assertEq(kings.recoveryDigest(r), _word("bridge_recovery", i, "digest"), "recovery digest");
        }
        for (uint256 i; _has("bridge_pause", i); ++i) {
            BridgePause memory p;
            p.originChainId = uint64(_number("bridge_pause", i, "origin_chain_id"));
            p.outbox = _account("bridge_pause", i, "outbox");
            p.setEpoch = uint64(_number("bridge_pause", i, "set_epoch"));
            p.until = uint64(_number("bridge_pause", i, "until"));
            assertEq(kings.pauseDigest(p), _word("bridge_pause", i, "digest"), "pause digest");
        }
    }

    function test_checkpoint() public {
        bytes32[] memory members = new bytes32[](1);
        members[0] = bytes32((uint256(1) << 96) | 1);
        IKingSet kings = IKingSet(vm.deployCode("KingSet.sol:KingSet", KingSetArguments.alone(members)));
        for (uint256 i; _has("checkpoint", i); ++i) {
            Checkpoint memory c;
            c.originChainId = uint64(_number("checkpoint", i, "origin_chain_id"));
            c.outbox = _account("checkpoint", i, "outbox");
            c.setEpoch = uint64(_number("checkpoint", i, "set_epoch"));
            c.root = _word("checkpoint", i, "root");
            c.count = uint32(_number("checkpoint", i, "count"));
            c.blockNumber = uint64(_number("checkpoint", i, "block_number"));
            c.blockHash = _word("checkpoint", i, "block_hash");
            c.blockTimestamp = uint64(_number("checkpoint", i, "block_timestamp"));
            assertEq(kings.checkpointDigest(c), _word("checkpoint", i, "digest"), "checkpoint digest");
        }
    }

    function test_receipt() public {
        for (uint256 i; _has("receipt", i); ++i) {
            uint256 clean = vm.snapshotState();
            address where = _account("receipt", i, "contract");
            vm.chainId(_number("receipt", i, "chain_id"));
            _deployWork(where, _parameters(), _profile("seed", 0), 1);
            WorkReceipt memory r = WorkReceipt(
                uint64(_number("receipt", i, "challenge_block")),
                uint64(_number("receipt", i, "device_id")),
                _word("receipt", i, "block_hash"),
                _word("receipt", i, "root"),
                uint32(_number("receipt", i, "elapsed_ms"))
            );
            assertEq(IReceiptDigest(where).receiptDigest(r), _word("receipt", i, "digest"), "receipt digest");
            vm.revertToState(clean);
        }
    }

    function test_sessionOpened() public {
        for (uint256 i; _has("session_opened", i); ++i) {
            address where = _account("session_opened", i, "contract");
            vm.chainId(_number("session_opened", i, "chain_id"));
            IGPURental.Parameters memory p = IGPURental.Parameters(0, 0, 0, 1, 1, 1, 1, 1);
            bytes memory arguments = abi.encode(address(1), address(1), address(1), address(1), p, address(this));
            deployCodeTo("GPURental.sol:GPURental", arguments, where);
            bytes32 actual = IRental(where)
                .sessionOpenedDigest(
                    uint64(_number("session_opened", i, "rental_id")), uint64(_number("session_opened", i, "time"))
                );
            assertEq(actual, _word("session_opened", i, "digest"), "session opened digest");
        }
    }

    function test_kingSet() public {
        for (uint256 i; _has("king_set", i); ++i) {
            uint256 length;
            while (_hasMember(i, length)) ++length;
            bytes32[] memory members = new bytes32[](length);
            for (uint256 k; k < length; ++k) {
                string memory at_ = string.concat(_key("king_set", i, "members["), vm.toString(k), "]");
                uint256 account = uint160(vm.parseJsonAddress(json, string.concat(at_, ".address")));
                members[k] = bytes32((account << 96) | vm.parseJsonUint(json, string.concat(at_, ".weight")));
            }
            IKingSet kings = IKingSet(vm.deployCode("KingSet.sol:KingSet", KingSetArguments.alone(members)));
            assertEq(kings.setHash(1), _word("king_set", i, "hash"), "king set hash");
        }
    }

    // ---------------------------------------------------------------------------------------- helpers

    function _verify(IProofVerifier verifier, uint256 i, bytes32 seed, WorkProof memory proof) private view returns (bool) {
        return verifier.verify(
            _profile("kernel", i),
            seed,
            _word("kernel", i, "work_root"),
            _word("kernel", i, "sample_seed"),
            uint32(_number("kernel", i, "samples")),
            proof
        );
    }

    function _parameters() private pure returns (WorkParameters memory) {
        return WorkParameters(3, 6, 8, 4, 16, 1, 1, 3, 3, 20, 16, 3, 30, 1000, 2, 8, 0, 0, 1, 1, 1);
    }

    function _deployWork(address where, WorkParameters memory p, Profile memory profile, uint32 class_) private {
        ClassProfile[] memory classes = new ClassProfile[](1);
        classes[0] = ClassProfile(class_, 1, profile, profile);
        address[] memory queens = new address[](1);
        queens[0] = makeAddr("queen");
        address half = deployCode("WorkSettlement.sol:WorkSettlement", abi.encode(address(1), address(1)));
        bytes memory arguments = abi.encode(p, classes, queens, address(1), address(1), half);
        deployCodeTo("WorkVerification.sol:WorkVerification", arguments, where);
    }

    function _addDevice(address where, uint64 deviceId, address provider, uint32 class_) private {
        IReceiptDigest(where).wire(address(this), address(1), 1, [address(2), address(3), address(4), address(5)]);
        bytes memory body = abi.encodePacked(uint8(1), abi.encode(deviceId, provider, address(4), class_, uint64(1)));
        (bool success,) =
            where.call(abi.encodeWithSignature("handle(uint64,address,bytes,address)", uint64(1), address(2), body, address(5)));
        assertTrue(success, "device");
    }

    function _profile(string memory section, uint256 i) private view returns (Profile memory) {
        uint256[] memory n = vm.parseJsonUintArray(json, _key(section, i, "profile"));
        assertEq(n.length, 12, "profile");
        return abi.decode(abi.encodePacked(n), (Profile));
    }

    function _key(string memory section, uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".", section, "[", vm.toString(i), "].", field);
    }

    function _has(string memory section, uint256 i) private view returns (bool) {
        bool present = vm.keyExistsJson(json, string.concat(".", section, "[", vm.toString(i), "]"));
        // A section that is there must not be empty: it would pass without checking anything.
        assertTrue(i != 0 || present, string.concat("no vectors: ", section));
        return present;
    }

    function _hasMember(uint256 i, uint256 k) private view returns (bool) {
        return vm.keyExistsJson(json, string.concat(_key("king_set", i, "members["), vm.toString(k), "]"));
    }

    function _word(string memory section, uint256 i, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, _key(section, i, field));
    }

    function _number(string memory section, uint256 i, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, _key(section, i, field));
    }

    function _account(string memory section, uint256 i, string memory field) private view returns (address) {
        return vm.parseJsonAddress(json, _key(section, i, field));
    }
}
