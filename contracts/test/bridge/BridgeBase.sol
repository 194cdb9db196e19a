// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox, IKingSet, IOutbox} from "../../src/interfaces/IBridge.sol";
import {Checkpoint, Message, Quorum} from "../../src/types/Protocol.sol";
import {classicRules} from "../utils/Cheats.sol";
import {KingSetArguments} from "../utils/KingSetArguments.sol";
import {Recipient} from "../utils/Recipient.sol";
import {TreeReference} from "../utils/TreeReference.sol";
import {Test} from "forge-std/Test.sol";

/// @title One direction of the bridge, with Shanghai's rules and four Kings
abstract contract BridgeBase is Test {
    uint64 internal constant ORIGIN = 31_337;
    uint64 internal constant HERE = 61_613;
    uint64 internal constant EXPIRY = 300 days;
    IOutbox internal outbox;
    IOutbox internal localOutbox;
    IInbox internal inbox;
    IKingSet internal kings;
    Recipient internal recipient;
    address internal governor = makeAddr("governor");
    uint256[] internal keys;
    uint96[] internal weights;
    bytes32[] internal members;
    Message[] internal messages;
    bytes32[] internal ids;

    function setUp() public virtual {
        classicRules();
        weights = [100, 100, 100, 100];
        _makeKings();
        vm.chainId(HERE);
        outbox = IOutbox(deployCode("Outbox.sol:Outbox"));
        localOutbox = IOutbox(deployCode("Outbox.sol:Outbox"));
        _deployInbox();
        recipient = new Recipient();
    }

    // ---------------------------------------------------------------------------------------- helpers

    function _expectRefused(Checkpoint memory c, uint256 bitmap, bytes memory reason) internal {
        Quorum memory q = _sign(c, bitmap);
        vm.expectRevert(reason);
        inbox.submitCheckpoint(c, q);
    }

    function _makeKings() internal {
        delete members;
        delete keys;
        for (uint256 i; i < 4; ++i) {
            keys.push(uint256(keccak256(abi.encode("king", i))));
        }
        for (uint256 i; i < 4; ++i) {
            for (uint256 j = i + 1; j < 4; ++j) {
                if (vm.addr(keys[j]) < vm.addr(keys[i])) (keys[i], keys[j]) = (keys[j], keys[i]);
            }
            members.push(bytes32((uint256(uint160(vm.addr(keys[i]))) << 96) | weights[i]));
        }
    }

    function _deployInbox() internal {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        KingSetArguments.Ends memory ends = KingSetArguments.Ends(next, address(localOutbox), ORIGIN, address(outbox), address(0));
        kings = IKingSet(deployCode("KingSet.sol:KingSet", KingSetArguments.encode(members, EXPIRY, ends)));
        inbox = IInbox(deployCode("Inbox.sol:Inbox", abi.encode(ORIGIN, outbox, kings, localOutbox, governor)));
    }

    function _dispatch(bytes memory body) internal {
        _dispatchTo(address(recipient), body);
    }

    function _dispatchTo(address to, bytes memory body) internal {
        vm.chainId(ORIGIN);
        uint32 index = outbox.dispatch(HERE, to, body);
        vm.chainId(HERE);
        messages.push(Message(index, ORIGIN, address(this), HERE, to, body));
        ids.push(keccak256(abi.encodePacked(uint8(1), index, ORIGIN, address(this), HERE, to, body)));
    }

    function _checkpoint() internal view returns (Checkpoint memory) {
        return Checkpoint(ORIGIN, address(outbox), 1, outbox.root(), outbox.count(), 10, keccak256("block"), 1000);
    }

    function _slice(uint256 first, uint256 length) internal view returns (Message[] memory range) {
        range = new Message[](length);
        for (uint256 i; i < length; ++i) {
            range[i] = messages[first + i];
        }
    }

    /// @dev Proof of a message in the tree of the first `count` ones.
    function _proofAt(uint32 index, uint256 count) internal view returns (bytes32[32] memory proof) {
        bytes32[] memory first = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            first[i] = ids[i];
        }
        (, proof) = TreeReference.open(first, index);
    }

    function _accept() internal returns (bytes32) {
        Checkpoint memory c = _checkpoint();
        inbox.submitCheckpoint(c, _sign(c, 7));
        return c.root;
    }

    function _sign(Checkpoint memory c, uint256 bitmap) internal view returns (Quorum memory) {
        return _signDigest(kings.checkpointDigest(c), bitmap);
    }

    function _signDigest(bytes32 digest, uint256 bitmap) internal view returns (Quorum memory q) {
        q.members = members;
        q.signerBitmap = bitmap;
        for (uint256 i; i < keys.length; ++i) {
            if ((bitmap >> i) & 1 == 0) continue;
            (bytes32 r, bytes32 vs) = vm.signCompact(keys[i], digest);
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }
}
