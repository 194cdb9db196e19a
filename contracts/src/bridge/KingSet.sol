// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IKingSet} from "../interfaces/IBridge.sol";
import {Checkpoint, Quorum} from "../types/Protocol.sol";

/// @title The Kings whose quorum makes a checkpoint acceptable
/// @dev Only the hash of a set is stored: whoever submits a quorum brings the members along.
contract KingSet is IKingSet {
    /// @dev A quorum's bitmap has one bit per member.
    uint256 public constant MEMBER_LIMIT = 256;

    uint256 private constant WEIGHT_MASK = 0xffffffffffffffffffffffff;
    uint256 private constant S_MASK = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff;
    /// @dev Half the group order of secp256k1.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

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
        Set storage set = sets[checkpoint.setEpoch];
        bytes32 expected = set.hash;
        if (expected == 0) revert UnknownSet(checkpoint.setEpoch);
        uint64 expiry = set.expiresAt;
        if (block.timestamp > expiry) revert SetExpired(checkpoint.setEpoch, expiry);
        bytes32 actual = _hash(quorum.members);
        if (actual != expected) revert SetHashMismatch(expected, actual);

        (uint256 signed, uint256 total) = _countWeight(quorum, checkpointDigest(checkpoint));
        if (signed * 3 <= total * 2) revert QuorumNotReached(signed, total);
    }

    /// @inheritdoc IKingSet
    function checkpointDigest(Checkpoint calldata checkpoint) public pure returns (bytes32 digest) {
        bytes32 typehash = CHECKPOINT_TYPEHASH;
        bytes32 domain = DOMAIN_SEPARATOR;
        assembly ("memory-safe") {
            // Behind the used memory, which this doesn't claim. The eight fields are words one after the other, as they are hashed;
            // a field with bits beyond its type gives a digest that no King signs.
            let buffer := mload(0x40)
            mstore(buffer, typehash)
            calldatacopy(add(buffer, 0x20), checkpoint, 0x100)
            let structHash := keccak256(buffer, 0x120)
            mstore(buffer, shl(240, 0x1901))
            mstore(add(buffer, 2), domain)
            mstore(add(buffer, 34), structHash)
            digest := keccak256(buffer, 66)
        }
    }

    function setHash(uint64 setEpoch) external view returns (bytes32) {
        return sets[setEpoch].hash;
    }

    function expiresAt(uint64 setEpoch) external view returns (uint64) {
        return sets[setEpoch].expiresAt;
    }

    function _hash(bytes32[] calldata members) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            // Behind the used memory, which this doesn't claim. Decoding checked that all of the array is there.
            let buffer := mload(0x40)
            let length := shl(5, members.length)
            calldatacopy(buffer, members.offset, length)
            hash := keccak256(buffer, length)
        }
    }

    /// @dev Members ascend (checked when the set was installed), hence so do the signers: nobody counts twice.
    function _countWeight(Quorum calldata quorum, bytes32 digest) private view returns (uint256 signed, uint256 total) {
        bytes calldata signatures = quorum.signatures;
        bytes32[] calldata members = quorum.members;
        uint256 bitmap = quorum.signerBitmap;
        // Where the next signature lies, and the first member in question whose signature is none of its own.
        uint256 next;
        uint256 wrong;
        // Decoding checked that all members and signature bytes are there. Sums can't overflow: a set has at most 256 members (its
        // hash was compared) of 96-bit weights. A signature beyond the end of `signatures` is other calldata or zeros; it is one
        // too many for the length compared below, whatever it recovers to.
        assembly ("memory-safe") {
            // The precompile's input, behind the used memory, which it doesn't claim: digest, v, r, s.
            let input := mload(0x40)
            mstore(input, digest)
            mstore(0x00, 0)
            next := signatures.offset
            let end := add(members.offset, shl(5, members.length))
            for { let at_ := members.offset } lt(at_, end) { at_ := add(at_, 0x20) } {
                let member := calldataload(at_)
                total := add(total, and(member, WEIGHT_MASK))
                if and(bitmap, 1) {
                    let s := calldataload(add(next, 0x20))
                    mstore(add(input, 0x20), add(27, shr(255, s)))
                    mstore(add(input, 0x40), calldataload(next))
                    s := and(s, S_MASK)
                    mstore(add(input, 0x60), s)
                    // What isn't a signature returns nothing and leaves the last signer's address there, or zero: this member's it
                    // is neither, as members ascend from above zero. One with a high s has a twin, and counts as none (EIP-2).
                    pop(staticcall(gas(), 1, input, 0x80, 0x00, 0x20))
                    if or(xor(mload(0x00), shr(96, member)), gt(s, HALF_ORDER)) {
                        wrong := at_
                        if or(iszero(returndatasize()), gt(s, HALF_ORDER)) { mstore(0x00, 0) }
                        break
                    }
                    signed := add(signed, and(member, WEIGHT_MASK))
                    next := add(next, 64)
                }
                bitmap := shr(1, bitmap)
            }
            next := sub(next, signatures.offset)
            if wrong { wrong := add(shr(5, sub(wrong, members.offset)), 1) }
        }
        if (wrong != 0) {
            if (signatures.length < next + 64) revert MalformedSignatures(signatures.length, next / 64 + 1);
            address recovered;
            assembly ("memory-safe") {
                recovered := mload(0x00)
            }
            revert InvalidSigner(wrong - 1, recovered);
        }
        // Bits that are left name no member.
        if (bitmap != 0 || signatures.length != next) revert MalformedSignatures(signatures.length, next / 64);
    }
}
