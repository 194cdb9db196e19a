// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IKingSet, IKingStakes} from "../interfaces/IBridge.sol";
import {BridgePause, BridgeRecovery, Checkpoint, KingSetRotation, Quorum} from "../types/Protocol.sol";

/// @title The Kings whose quorum makes a checkpoint acceptable
/// @dev Only the hash of a set is stored: whoever submits a quorum brings the members along. Each epoch follows from the one before
///      it, by that one's signatures alone: there is no owner.
contract KingSet is IKingSet {
    /// @dev Members of a set. More would make a checkpoint dearer for everybody.
    uint256 public constant MEMBER_LIMIT = 21;
    /// @dev Members of a set that follows another one: with fewer, one key that is lost stops the bridge.
    uint256 public constant MEMBER_MINIMUM = 4;
    /// @dev Stake that weighs one.
    uint256 public constant WEIGHT_UNIT = 1e18;
    /// @dev On the public chains the overlap must outlast the finality of Ethereum Classic.
    uint64 private constant LEAST_OVERLAP = 2 days;
    uint64 private constant MOST_DELAY = 90 days;
    uint64 private constant MOST_LIFETIME = 400 days;

    uint256 private constant WEIGHT_MASK = 0xffffffffffffffffffffffff;
    uint256 private constant S_MASK = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff;
    /// @dev Half the group order of secp256k1.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    bytes32 private constant CHECKPOINT_TYPEHASH = keccak256(
        "Checkpoint(uint64 originChainId,address outbox,uint64 setEpoch,bytes32 root,uint32 count,uint64 blockNumber,bytes32 blockHash,uint64 blockTimestamp)"
    );
    bytes32 private constant ROTATION_TYPEHASH =
        keccak256("KingSetRotation(bytes32 bridge,uint64 setEpoch,bytes32 setHash,uint64 nominatedAt,uint64 expiresAt)");
    bytes32 private constant RECOVERY_TYPEHASH =
        keccak256("BridgeRecovery(uint64 originChainId,address outbox,uint64 setEpoch,uint32 forkCount)");
    bytes32 private constant PAUSE_TYPEHASH =
        keccak256("BridgePause(uint64 originChainId,address outbox,uint64 setEpoch,uint64 until)");
    /// @dev No chain id: every struct names its bridge or its origin and Outbox, and both chains verify the same signature.
    bytes32 private constant DOMAIN_SEPARATOR =
        keccak256(abi.encode(keccak256("EIP712Domain(string name,string version)"), keccak256("gpumkt bridge"), keccak256("1")));

    struct Set {
        bytes32 hash;
        /// @dev Brought forward to the end of the overlap when the next set is installed.
        uint64 expiresAt;
    }

    /// @notice What stands at both ends of the bridge.
    struct Ends {
        address inbox;
        address outbox;
        uint64 farChainId;
        address farOutbox;
        /// @dev Zero on the chain that has no stakes.
        IKingStakes stakes;
    }

    /// @notice Seconds; the same on both chains.
    struct Times {
        /// @dev How long a set stays valid after the next one was installed.
        uint32 overlap;
        /// @dev From one nomination that was installed to the next.
        uint32 minimumDelay;
        /// @dev How long a nomination may be installed; twice as long on the chain of the stakes.
        uint32 signingWindow;
        /// @dev Of a set, from its nomination.
        uint32 lifetime;
    }

    address public immutable inbox;
    address public immutable outbox;
    uint64 public immutable farChainId;
    address public immutable farOutbox;
    IKingStakes public immutable stakes;
    /// @inheritdoc IKingSet
    bytes32 public immutable bridgeId;
    uint32 private immutable overlap;
    uint32 private immutable minimumDelay;
    uint32 private immutable signingWindow;
    uint32 private immutable lifetime;

    /// @inheritdoc IKingSet
    uint64 public currentEpoch;
    /// @inheritdoc IKingSet
    uint64 public nominatedAt;
    /// @notice When `nomination` was drawn.
    uint64 public pendingSince;
    /// @notice Hash of the rotation that Kings may sign, as EIP-712 hashes the struct.
    bytes32 public nomination;
    mapping(uint64 setEpoch => Set) private sets;

    /// @param members of the first set, `address << 96 | weight`, ascending by address.
    constructor(bytes32[] memory members, uint64 setEpoch, uint64 expiry, Ends memory ends, Times memory times_) {
        // No more than two sets are valid at a time.
        bool ordered = times_.signingWindow != 0 && times_.overlap != 0
            && uint256(times_.overlap) + times_.signingWindow <= times_.minimumDelay
            && uint256(times_.minimumDelay) + 2 * uint256(times_.signingWindow) <= times_.lifetime;
        bool isPublic = block.chainid == 1 || block.chainid == 61;
        bool bounded = times_.minimumDelay <= MOST_DELAY && times_.lifetime <= MOST_LIFETIME;
        if (!ordered || !bounded || (isPublic && times_.overlap < LEAST_OVERLAP)) revert InvalidTimes();
        if (ends.inbox == address(0) || ends.outbox == address(0) || ends.farOutbox == address(0)) {
            revert UnknownOutbox(ends.farChainId, ends.farOutbox);
        }
        (inbox, outbox, farChainId, farOutbox, stakes) = (ends.inbox, ends.outbox, ends.farChainId, ends.farOutbox, ends.stakes);
        (overlap, minimumDelay) = (times_.overlap, times_.minimumDelay);
        (signingWindow, lifetime) = (times_.signingWindow, times_.lifetime);
        // The end with the lower chain id first, so that both chains give the same.
        bridgeId = block.chainid < ends.farChainId
            ? keccak256(abi.encode(block.chainid, ends.outbox, ends.farChainId, ends.farOutbox))
            : keccak256(abi.encode(ends.farChainId, ends.farOutbox, block.chainid, ends.outbox));
        uint64 latest = uint64(block.timestamp) + times_.lifetime;
        if (expiry <= block.timestamp || expiry > latest) revert InvalidExpiry(expiry, uint64(block.timestamp) + 1, latest);
        _install(members, setEpoch, expiry);
    }

    /// @inheritdoc IKingSet
    function verify(Checkpoint calldata checkpoint, Quorum calldata quorum) external view {
        _requireQuorum(checkpoint.setEpoch, checkpointDigest(checkpoint), quorum);
    }

    /// @inheritdoc IKingSet
    function verifyPause(BridgePause calldata pause, Quorum calldata quorum) external view {
        if (pause.setEpoch != currentEpoch) revert WrongEpoch(currentEpoch, pause.setEpoch);
        _requireQuorum(pause.setEpoch, pauseDigest(pause), quorum);
    }

    /// @inheritdoc IKingSet
    function nominate() external returns (KingSetRotation memory rotation) {
        if (address(stakes) == address(0)) revert NominationElsewhere();
        // An earlier nomination that the other chain may have installed can be installed here for as long again.
        uint256 notBefore = pendingSince == 0 ? 0 : uint256(pendingSince) + 2 * uint256(signingWindow) + 1;
        if (block.timestamp < notBefore) revert NominationTooEarly(uint64(notBefore));
        notBefore = nominatedAt == 0 ? 0 : uint256(nominatedAt) + minimumDelay;
        if (block.timestamp < notBefore) revert NominationTooEarly(uint64(notBefore));

        bytes32[] memory members = _drawn();
        _requireEnough(members.length);
        uint64 now_ = uint64(block.timestamp);
        rotation = KingSetRotation(bridgeId, currentEpoch + 1, _hashOf(members), now_, now_ + lifetime);
        nomination = _rotationHash(rotation);
        pendingSince = now_;
        emit KingSetNominated(rotation.setEpoch, rotation.setHash, members, now_, rotation.expiresAt);
    }

    /// @inheritdoc IKingSet
    function rotate(KingSetRotation calldata rotation, bytes32[] calldata members, Quorum calldata quorum) external {
        uint64 epoch = currentEpoch;
        if (rotation.bridge != bridgeId) revert WrongBridge(bridgeId, rotation.bridge);
        if (rotation.setEpoch != epoch + 1) revert WrongEpoch(epoch + 1, rotation.setEpoch);
        _requireEnough(members.length);
        bytes32 hash = _hash(members);
        if (hash != rotation.setHash) revert SetHashMismatch(rotation.setHash, hash);
        _requireOpen(rotation);
        _requireQuorum(epoch, rotationDigest(rotation), quorum);

        nominatedAt = rotation.nominatedAt;
        (pendingSince, nomination) = (0, 0);
        _retire(epoch);
        _install(members, rotation.setEpoch, rotation.expiresAt);
    }

    /// @inheritdoc IKingSet
    function recover(BridgeRecovery calldata recovery, Quorum calldata quorum) external {
        bool incoming = recovery.originChainId == farChainId && recovery.outbox == farOutbox;
        // The Inbox revokes in the same transaction: no checkpoint of the new epoch comes before that.
        if (incoming && msg.sender != inbox) revert NotInbox(msg.sender);
        if (!incoming && (recovery.originChainId != block.chainid || recovery.outbox != outbox)) {
            revert UnknownOutbox(recovery.originChainId, recovery.outbox);
        }
        uint64 epoch = currentEpoch;
        if (recovery.setEpoch != epoch + 1) revert WrongEpoch(epoch + 1, recovery.setEpoch);
        _requireQuorum(epoch, recoveryDigest(recovery), quorum);

        // The same expiry: no set prolongs its own life. A nomination named the epoch that this is now.
        Set memory set = sets[epoch];
        (pendingSince, nomination) = (0, 0);
        _retire(epoch);
        sets[recovery.setEpoch] = set;
        currentEpoch = recovery.setEpoch;
        emit KingSetRecovered(recovery.setEpoch, recovery.originChainId, recovery.outbox, recovery.forkCount);
    }

    // ------------------------------------------------------------------------------------------- views

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

    /// @inheritdoc IKingSet
    function rotationDigest(KingSetRotation calldata rotation) public pure returns (bytes32) {
        return _digest(_rotationHash(rotation));
    }

    /// @inheritdoc IKingSet
    function recoveryDigest(BridgeRecovery calldata recovery) public pure returns (bytes32) {
        return _digest(keccak256(abi.encode(RECOVERY_TYPEHASH, recovery)));
    }

    /// @inheritdoc IKingSet
    function pauseDigest(BridgePause calldata pause) public pure returns (bytes32) {
        return _digest(keccak256(abi.encode(PAUSE_TYPEHASH, pause)));
    }

    /// @inheritdoc IKingSet
    function setHash(uint64 setEpoch) external view returns (bytes32) {
        return sets[setEpoch].hash;
    }

    /// @inheritdoc IKingSet
    function expiresAt(uint64 setEpoch) external view returns (uint64) {
        return sets[setEpoch].expiresAt;
    }

    function times() external view returns (Times memory) {
        return Times(overlap, minimumDelay, signingWindow, lifetime);
    }

    // -------------------------------------------------------------------------------------------- sets

    /// @dev The stakes decide who, on their chain; on the other one it is who the outgoing set signed, in bounds that a set whose
    ///      keys are lost can't leave.
    function _requireOpen(KingSetRotation calldata rotation) private view {
        uint64 since = rotation.nominatedAt;
        bool drawnHere = address(stakes) != address(0);
        if (drawnHere) {
            bytes32 submitted = _rotationHash(rotation);
            if (submitted != nomination) revert NotNominated(nomination, submitted);
        } else if (nominatedAt != 0 && since < uint256(nominatedAt) + minimumDelay) {
            revert NominationTooEarly(nominatedAt + minimumDelay);
        }
        uint256 closes = uint256(since) + (drawnHere ? 2 * uint256(signingWindow) : signingWindow);
        if (block.timestamp < since || block.timestamp > closes) revert NominationClosed(since, uint64(closes));
        uint256 latest = uint256(since) + lifetime;
        if (rotation.expiresAt <= block.timestamp || rotation.expiresAt > latest) {
            revert InvalidExpiry(rotation.expiresAt, uint64(block.timestamp) + 1, uint64(latest));
        }
    }

    function _requireEnough(uint256 members) private pure {
        if (members < MEMBER_MINIMUM) revert TooFewMembers(members, MEMBER_MINIMUM);
    }

    function _retire(uint64 epoch) private {
        uint64 overlapEnd = uint64(block.timestamp) + overlap;
        if (overlapEnd < sets[epoch].expiresAt) sets[epoch].expiresAt = overlapEnd;
    }

    function _install(bytes32[] memory members, uint64 setEpoch, uint64 expiry) private {
        uint256 total = _totalWeight(members);
        bytes32 hash = _hashOf(members);
        sets[setEpoch] = Set(hash, expiry);
        currentEpoch = setEpoch;
        emit KingSetInstalled(setEpoch, hash, members, total, expiry);
    }

    /// @dev Reverts unless this is a set.
    function _totalWeight(bytes32[] memory members) private pure returns (uint256 total) {
        if (members.length == 0) revert EmptySet();
        if (members.length > MEMBER_LIMIT) revert TooManyMembers(members.length, MEMBER_LIMIT);
        uint256 previous;
        for (uint256 i; i < members.length; ++i) {
            uint256 account = uint256(members[i]) >> 96;
            uint256 weight = uint96(uint256(members[i]));
            if (account == 0 || weight == 0) revert ZeroMember(i);
            if (account <= previous) revert MembersNotAscending(i);
            previous = account;
            total += weight;
        }
    }

    /// @dev The highest stakes in whole tokens, sorted by address.
    function _drawn() private view returns (bytes32[] memory members) {
        (address[] memory operators, uint256[] memory amounts) = stakes.kingSet(MEMBER_LIMIT);
        // Highest first: what is too little to weigh anything is at the end.
        uint256 length = operators.length;
        while (length != 0 && amounts[length - 1] < WEIGHT_UNIT) --length;
        members = new bytes32[](length);
        for (uint256 i; i < length; ++i) {
            uint256 weight = amounts[i] / WEIGHT_UNIT;
            if (weight > type(uint64).max) weight = type(uint64).max;
            bytes32 member = bytes32((uint256(uint160(operators[i])) << 96) | weight);
            uint256 position = i;
            for (; position != 0 && members[position - 1] > member; --position) {
                members[position] = members[position - 1];
            }
            members[position] = member;
        }
        _totalWeight(members);
    }

    function _hashOf(bytes32[] memory members) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(members));
    }

    function _rotationHash(KingSetRotation memory rotation) private pure returns (bytes32) {
        return keccak256(abi.encode(ROTATION_TYPEHASH, rotation));
    }

    function _digest(bytes32 structHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR, structHash));
    }

    // ---------------------------------------------------------------------------------------- quorums

    /// @dev More than two thirds of the weight of a set that is still valid.
    function _requireQuorum(uint64 setEpoch, bytes32 digest, Quorum calldata quorum) private view {
        Set storage set = sets[setEpoch];
        bytes32 expected = set.hash;
        if (expected == 0) revert UnknownSet(setEpoch);
        uint64 expiry = set.expiresAt;
        if (block.timestamp > expiry) revert SetExpired(setEpoch, expiry);
        bytes32 actual = _hash(quorum.members);
        if (actual != expected) revert SetHashMismatch(expected, actual);
        (uint256 signed, uint256 total) = _countWeight(quorum, digest);
        if (signed * 3 <= total * 2) revert QuorumNotReached(signed, total);
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
        // Decoding checked that all members and signature bytes are there. Sums can't overflow: a set has at most 21 members (its
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
