// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IKingSet} from "../interfaces/IBridge.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Checkpoint, Quorum} from "../types/Protocol.sol";

/// @title The Kings whose quorum makes a checkpoint acceptable
/// @dev Only the hash of a set is stored: whoever submits a quorum brings the members along.
contract KingSet is IKingSet {
    /// @dev A quorum's bitmap has one bit per member.
    uint256 public constant MEMBER_LIMIT = 256;

    bytes32 private constant CHECKPOINT_TYPEHASH = keccak256(
        "Checkpoint(uint64 originChainId,address outbox,uint64 setEpoch,bytes32 root,uint32 count,uint64 blockNumber,bytes32 blockHash,uint64 blockTimestamp)"
    );
    /// @dev No chain id: origin and outbox are in the struct, and both chains verify the same signature.
    bytes32 private constant DOMAIN_SEPARATOR =
        keccak256(abi.encode(keccak256("EIP712Domain(string name,string version)"), keccak256("gpumkt bridge"), keccak256("1")));

    struct Set {
        bytes32 hash;
        uint64 expiresAt;
    }

    uint64 public currentEpoch;
    mapping(uint64 setEpoch => Set) private sets;

    error TooManyMembers(uint256 members, uint256 limit);
    error ZeroMember(uint256 position);

    /// @param members `address << 96 | weight`, ascending by address.
    constructor(bytes32[] memory members, uint64 setEpoch, uint64 expiry) {
        if (members.length == 0) revert EmptySet();
        if (members.length > MEMBER_LIMIT) revert TooManyMembers(members.length, MEMBER_LIMIT);
        uint256 previous;
        uint256 total;
        for (uint256 i; i < members.length; ++i) {
            uint256 account = uint256(members[i]) >> 96;
            uint256 weight = uint96(uint256(members[i]));
            if (account == 0 || weight == 0) revert ZeroMember(i);
            if (account <= previous) revert MembersNotAscending(i);
            previous = account;
            total += weight;
        }
        bytes32 hash = keccak256(abi.encodePacked(members));
        sets[setEpoch] = Set(hash, expiry);
        currentEpoch = setEpoch;
        emit KingSetInstalled(setEpoch, hash, members.length, total, expiry);
    }

    /// @inheritdoc IKingSet
    function verify(Checkpoint calldata checkpoint, Quorum calldata quorum) external view {
        Set memory set = sets[checkpoint.setEpoch];
        if (set.hash == 0) revert UnknownSet(checkpoint.setEpoch);
        if (block.timestamp > set.expiresAt) revert SetExpired(checkpoint.setEpoch, set.expiresAt);
        bytes32 actual = keccak256(abi.encodePacked(quorum.members));
        if (actual != set.hash) revert SetHashMismatch(set.hash, actual);

        (uint256 signed, uint256 total) = _countWeight(quorum, checkpointDigest(checkpoint));
        if (signed * 3 <= total * 2) revert QuorumNotReached(signed, total);
    }

    /// @inheritdoc IKingSet
    function checkpointDigest(Checkpoint calldata checkpoint) public pure returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(
                CHECKPOINT_TYPEHASH,
                checkpoint.originChainId,
                checkpoint.outbox,
                checkpoint.setEpoch,
                checkpoint.root,
                checkpoint.count,
                checkpoint.blockNumber,
                checkpoint.blockHash,
                checkpoint.blockTimestamp
            )
        );
        return keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR, structHash));
    }

    function setHash(uint64 setEpoch) external view returns (bytes32) {
        return sets[setEpoch].hash;
    }

    function expiresAt(uint64 setEpoch) external view returns (uint64) {
        return sets[setEpoch].expiresAt;
    }

    /// @dev Members ascend (checked when the set was installed), hence so do the signers: nobody counts twice.
    function _countWeight(Quorum calldata quorum, bytes32 digest) private pure returns (uint256 signed, uint256 total) {
        bytes calldata signatures = quorum.signatures;
        bytes32[] calldata set = quorum.members;
        uint256 members = set.length;
        uint256 bitmap = quorum.signerBitmap;
        uint256 offset;
        // Nothing overflows: a set has at most 256 members (its hash was checked) of 96-bit weights, and `offset` grows by 64 for
        // each of them that signed.
        unchecked {
            for (uint256 i; i < members; ++i) {
                uint256 member;
                // `i < members`, the length that calldata decoding checked.
                assembly ("memory-safe") {
                    member := calldataload(add(set.offset, shl(5, i)))
                }
                total += uint96(member);
                if ((bitmap >> i) & 1 == 0) continue;
                if (signatures.length < offset + 64) revert MalformedSignatures(signatures.length, offset / 64 + 1);
                bytes32 r;
                bytes32 vs;
                // The 64 bytes from `offset` on lie within `signatures`, as checked above.
                assembly ("memory-safe") {
                    r := calldataload(add(signatures.offset, offset))
                    vs := calldataload(add(add(signatures.offset, offset), 0x20))
                }
                address recovered = Signatures.recover(digest, r, vs);
                // Set members are never zero, so a signature that recovers to zero can't match.
                if (recovered != address(uint160(member >> 96))) revert InvalidSigner(i, recovered);
                signed += uint96(member);
                offset += 64;
            }
        }
        bool stray = members < MEMBER_LIMIT && bitmap >> members != 0;
        if (stray || signatures.length != offset) revert MalformedSignatures(signatures.length, offset / 64);
    }
}
