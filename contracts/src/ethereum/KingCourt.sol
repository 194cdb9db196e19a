// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IKingSet, IOutbox} from "../interfaces/IBridge.sol";
import {
    IKingCourt,
    IKingSlasher,
    LeafOpening,
    SignedCheckpoint,
    SLASH_EQUIVOCATION,
    SLASH_FALSE_CHECKPOINT
} from "../interfaces/IKingCourt.sol";
import {MessageTree} from "../libraries/MessageTree.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Checkpoint} from "../types/Protocol.sol";

/// @title Convicts Kings of what no honest King ever signs
contract KingCourt is IKingCourt {
    IKingSlasher public immutable slasher;
    IKingSet public immutable kingSet;
    IOutbox public immutable outbox;
    uint64 public immutable farChainId;
    address public immutable farOutbox;

    /// @inheritdoc IKingCourt
    mapping(uint32 count => bytes32) public recordedRoot;
    mapping(bytes32 offence => bool) private convictions;

    constructor(IKingSlasher slasher_, IKingSet kingSet_, IOutbox outbox_, uint64 farChainId_, address farOutbox_) {
        bool incomplete = address(slasher_) == address(0) || address(kingSet_) == address(0) || address(outbox_) == address(0);
        if (incomplete || farOutbox_ == address(0)) revert ZeroAddress();
        (slasher, kingSet, outbox, farChainId, farOutbox) = (slasher_, kingSet_, outbox_, farChainId_, farOutbox_);
    }

    /// @inheritdoc IKingCourt
    function reportConflict(SignedCheckpoint calldata first, SignedCheckpoint calldata second) external {
        address king = _signerOfBoth(first, second);
        if (first.checkpoint.count != second.checkpoint.count || first.checkpoint.root == second.checkpoint.root) {
            revert NoContradiction();
        }
        _convict(king, SLASH_EQUIVOCATION, first.checkpoint);
    }

    /// @inheritdoc IKingCourt
    function reportFork(
        SignedCheckpoint calldata first,
        SignedCheckpoint calldata second,
        uint32 index,
        LeafOpening calldata underFirst,
        LeafOpening calldata underSecond
    ) external {
        address king = _signerOfBoth(first, second);
        // Beyond its count a root says nothing: a King that signed 5 messages and then 10 has not contradicted itself at index 7.
        if (index >= first.checkpoint.count || index >= second.checkpoint.count) {
            revert IndexNotCovered(index, first.checkpoint.count, second.checkpoint.count);
        }
        if (underFirst.leaf == underSecond.leaf) revert NoContradiction();
        _requireOpening(underFirst, index, first.checkpoint.root);
        _requireOpening(underSecond, index, second.checkpoint.root);
        _convict(king, SLASH_EQUIVOCATION, first.checkpoint);
    }

    /// @inheritdoc IKingCourt
    function reportBeyondOutbox(SignedCheckpoint calldata signed) external {
        address king = _signerOfOurs(signed);
        uint32 held = outbox.count();
        if (signed.checkpoint.count <= held) revert NoContradiction();
        _convict(king, SLASH_FALSE_CHECKPOINT, signed.checkpoint);
    }

    /// @inheritdoc IKingCourt
    function reportFalseRoot(SignedCheckpoint calldata signed, uint32 recordedCount, LeafOpening calldata last) external {
        address king = _signerOfOurs(signed);
        uint32 count = signed.checkpoint.count;
        if (count == 0) revert EmptyCheckpoint();
        bytes32 recorded = recordedRoot[recordedCount];
        if (recorded == 0) revert RootNotRecorded(recordedCount);
        if (count > recordedCount) revert CountNotCovered(count, recordedCount);
        _requireOpening(last, count - 1, recorded);
        if (MessageTree.rootWhenLast(last.leaf, count - 1, last.proof) == signed.checkpoint.root) revert NoContradiction();
        _convict(king, SLASH_FALSE_CHECKPOINT, signed.checkpoint);
    }

    /// @inheritdoc IKingCourt
    function recordOutbox() external returns (uint32 count, bytes32 root) {
        (count, root) = (outbox.count(), outbox.root());
        if (recordedRoot[count] != 0) return (count, root);
        recordedRoot[count] = root;
        emit OutboxRecorded(count, root);
    }

    /// @inheritdoc IKingCourt
    function convicted(address king, uint8 reason, uint64 originChainId, uint64 setEpoch) external view returns (bool) {
        return convictions[_offence(king, reason, originChainId, setEpoch)];
    }

    // ---------------------------------------------------------------------------------------- evidence

    /// @dev Both about the same Outbox, in the same epoch: after a recovery the same King may sign another root for a count.
    function _signerOfBoth(SignedCheckpoint calldata first, SignedCheckpoint calldata second)
        private
        view
        returns (address king)
    {
        Checkpoint calldata a = first.checkpoint;
        Checkpoint calldata b = second.checkpoint;
        bool ours = a.originChainId == block.chainid && a.outbox == address(outbox);
        bool theirs = a.originChainId == farChainId && a.outbox == farOutbox;
        if (!ours && !theirs) revert UnknownOutbox(a.originChainId, a.outbox);
        if (a.originChainId != b.originChainId || a.outbox != b.outbox || a.setEpoch != b.setEpoch) revert DifferentStatements();
        king = _signer(first);
        address other = _signer(second);
        if (king != other) revert DifferentSigners(king, other);
    }

    function _signerOfOurs(SignedCheckpoint calldata signed) private view returns (address) {
        Checkpoint calldata c = signed.checkpoint;
        if (c.originChainId != block.chainid || c.outbox != address(outbox)) revert NotThisOutbox(c.originChainId, c.outbox);
        return _signer(signed);
    }

    function _signer(SignedCheckpoint calldata signed) private view returns (address signer) {
        signer = Signatures.recover(kingSet.checkpointDigest(signed.checkpoint), signed.r, signed.vs);
        if (signer == address(0)) revert InvalidSignature();
    }

    function _requireOpening(LeafOpening calldata opening, uint32 index, bytes32 root) private pure {
        if (MessageTree.rootOfLeaf(opening.leaf, index, opening.proof) != root) revert InvalidOpening(root);
    }

    /// @dev Once per King, kind of offence, Outbox and epoch: one wrong night is not many offences.
    function _convict(address king, uint8 reason, Checkpoint calldata c) private {
        bytes32 offence = _offence(king, reason, c.originChainId, c.setEpoch);
        if (convictions[offence]) revert AlreadyConvicted(king, reason, c.originChainId, c.setEpoch);
        convictions[offence] = true;
        emit KingConvicted(king, reason, c.originChainId, c.setEpoch, msg.sender);
        slasher.slashKing(king, reason, msg.sender);
    }

    function _offence(address king, uint8 reason, uint64 originChainId, uint64 setEpoch) private pure returns (bytes32) {
        return keccak256(abi.encode(king, reason, originChainId, setEpoch));
    }
}
