// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IKingSet, IOutbox} from "../interfaces/IBridge.sol";
import {IGPURental, IRental} from "../interfaces/IGPURental.sol";
import {IRentalCourt} from "../interfaces/IRentalCourt.sol";
import {IStakingManager} from "../interfaces/IStakingManager.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Checkpoint, KIND_RENTER_RECORD, Quorum, RenterRecord} from "../types/Protocol.sol";
import {GPUToken} from "./GPUToken.sol";

/// @dev What the court reads of the Inbox.
interface IInboxOrigin {
    function acceptedCount(bytes32 root) external view returns (uint32);
    function kingSet() external view returns (IKingSet);
    function originChainId() external view returns (uint64);
    function originOutbox() external view returns (address);
}

interface IRentalWiring {
    function classicChainId() external view returns (uint64);
    function inbox() external view returns (address);
    function outbox() external view returns (IOutbox);
    function workVerification() external view returns (address);
}

/// @title Complaints and reachability judged by Queens; deadlines judged by checkpoints
contract RentalCourt is IRentalCourt, EIP712, Ownable {
    using SafeERC20 for GPUToken;

    struct CaseRecord {
        uint64 rentalId;
        Kind kind;
        Status status;
        uint8 size;
        uint8 ayes;
        uint8 nays;
        uint64 openedAt;
        uint64 drawBlock;
        // ----
        address opener;
        uint64 verdictUntil;
        uint32 voted;
        // ----
        uint128 bond;
        uint128 judgeFee;
        // ----
        bytes32 evidence;
    }

    bytes32 private constant REACHABLE_TYPEHASH = keccak256("Reachable(uint64 rentalId,uint64 time)");
    bytes32 private constant PAUSE_TYPEHASH = keccak256("Pause(uint64 setEpoch,uint64 until)");
    bytes32 private constant COURT_TAG = keccak256("gpumkt/court/v1");
    uint256 private constant COMMITTEE_LIMIT = 31;
    uint32 private constant VERDICT_LIMIT = 48 hours;
    /// @dev Cases of each kind about one rental; a complaint costs its bond when it is rejected.
    uint256 private constant CASES_PER_RENTAL = 4;

    GPUToken public immutable token;
    IStakingManager public immutable stakingManager;
    IRental public immutable rental;

    uint256 public caseCount;
    Parameters private _parameters;
    mapping(uint256 caseId => CaseRecord) private cases;
    mapping(uint256 caseId => address[]) private committees;
    mapping(uint64 rentalId => uint256 caseId) private complaintOf;
    mapping(uint64 rentalId => uint256 caseId) private witnessOf;
    mapping(uint64 rentalId => mapping(Kind kind => uint256)) private filed;
    mapping(address account => uint256) private credits;
    /// @notice Complaints of a renter that were rejected.
    mapping(address renter => uint32) public complaintsLost;

    constructor(GPUToken token_, IStakingManager stakingManager_, IRental rental_, address owner_, Parameters memory parameters_)
        EIP712("gpumkt", "1")
        Ownable(owner_)
    {
        if (address(token_) == address(0) || address(stakingManager_) == address(0) || address(rental_) == address(0)) {
            revert ZeroAddress();
        }
        token = token_;
        stakingManager = stakingManager_;
        rental = rental_;
        _setParameters(parameters_);
    }

    // ------------------------------------------------------------------------------------------- cases

    /// @inheritdoc IRentalCourt
    function complain(uint64 rentalId, bytes32 evidence) external returns (uint256 caseId) {
        if (msg.sender != rental.rental(rentalId).renter && msg.sender != rental.details(rentalId).delegate) {
            revert NotParty(rentalId, msg.sender);
        }
        _requireFree(rentalId, Kind.Complaint, complaintOf[rentalId]);
        caseId = _openCase(rentalId, Kind.Complaint, _parameters.bond, evidence);
        complaintOf[rentalId] = caseId;
        rental.freeze(rentalId);
        token.safeTransferFrom(msg.sender, address(this), _parameters.bond);
    }

    /// @inheritdoc IRentalCourt
    function requestWitness(uint64 rentalId) external returns (uint256 caseId) {
        IGPURental.Rental memory r = rental.rental(rentalId);
        if (stakingManager.accountOf(msg.sender) != r.provider) revert NotParty(rentalId, msg.sender);
        if (r.state != IGPURental.State.Active || r.openedAt != 0) revert SessionKnown(rentalId);
        if (block.timestamp >= r.end) revert TooLate(r.end);
        _requireFree(rentalId, Kind.Reachability, witnessOf[rentalId]);
        caseId = _openCase(rentalId, Kind.Reachability, _parameters.judgeFee, 0);
        witnessOf[rentalId] = caseId;
        token.safeTransferFrom(msg.sender, address(this), _parameters.judgeFee);
    }

    /// @inheritdoc IRentalCourt
    function draw(uint256 caseId) external {
        CaseRecord storage c = _openRecord(caseId);
        if (c.size != 0) revert AlreadyDrawn(caseId);
        if (block.number <= c.drawBlock) revert TooEarly(c.drawBlock + 1);
        bytes32 hash = blockhash(c.drawBlock);
        if (hash == 0) {
            c.drawBlock = uint64(block.number) + _parameters.drawDelay;
            emit DrawRepeated(caseId, c.drawBlock);
            return;
        }
        IGPURental.Rental memory r = rental.rental(c.rentalId);
        address[] memory members = _draw(keccak256(abi.encode(COURT_TAG, hash, caseId)), c.openedAt, r.renter, r.provider);
        // Nobody to ask: the case expires, and the work reports decide.
        c.size = uint8(members.length);
        committees[caseId] = members;
        emit CommitteeDrawn(caseId, members);
    }

    /// @inheritdoc IRentalCourt
    function vote(uint256 caseId, bool upheld) external {
        CaseRecord storage c = _openRecord(caseId);
        if (c.kind != Kind.Complaint) revert WrongKind(caseId, c.kind);
        if (block.timestamp > c.verdictUntil) revert TooLate(c.verdictUntil);
        address queen = stakingManager.accountOf(msg.sender);
        uint256 position = _position(caseId, queen);
        uint32 bit = uint32(1 << position);
        if (c.voted & bit != 0) revert AlreadyVoted(caseId, queen);
        c.voted |= bit;
        if (upheld) c.ayes += 1;
        else c.nays += 1;
        emit Voted(caseId, queen, upheld);
        if (uint256(c.ayes) * 2 > c.size) _judge(caseId, c, true);
        else if (uint256(c.nays) * 2 > c.size) _judge(caseId, c, false);
    }

    /// @inheritdoc IRentalCourt
    function submitReceipts(uint256 caseId, uint64 time, Receipt[] calldata receipts) external {
        CaseRecord storage c = _openRecord(caseId);
        if (c.kind != Kind.Reachability) revert WrongKind(caseId, c.kind);
        if (block.timestamp > c.verdictUntil) revert TooLate(c.verdictUntil);
        // Doors are tried after the case was opened, and not in the future.
        if (time < c.openedAt) revert TooEarly(c.openedAt);
        if (time > block.timestamp) revert TooLate(uint64(block.timestamp));
        uint256 size = c.size;
        if (size == 0) revert NotDrawn(caseId);
        if (receipts.length * 3 < size * 2) revert TooFewReceipts(receipts.length, size);
        bytes32 digest = reachableDigest(c.rentalId, time);
        for (uint256 i; i < receipts.length; ++i) {
            Receipt calldata s = receipts[i];
            if (i != 0 && s.member <= receipts[i - 1].member) revert ReceiptsNotAscending(i);
            if (s.member >= size) revert NotInCommittee(caseId, address(0));
            address queen = committees[caseId][s.member];
            address recovered = Signatures.recover(digest, s.r, s.vs);
            if (recovered == address(0) || stakingManager.accountOf(recovered) != queen) revert InvalidReceipt(i, recovered);
            c.voted |= uint32(1 << s.member);
        }
        c.ayes = uint8(receipts.length);
        c.status = Status.Upheld;
        _payJudges(caseId, c);
        emit CaseClosed(caseId, c.rentalId, Status.Upheld);
        rental.witnessSession(c.rentalId, time);
    }

    /// @inheritdoc IRentalCourt
    function expire(uint256 caseId) external {
        CaseRecord storage c = _openRecord(caseId);
        bool moot = c.kind == Kind.Reachability && rental.rental(c.rentalId).openedAt != 0;
        if (!moot && block.timestamp <= c.verdictUntil) revert TooEarly(c.verdictUntil + 1);
        c.status = Status.Expired;
        _credit(c.opener, caseId, c.bond);
        emit CaseClosed(caseId, c.rentalId, Status.Expired);
        if (c.kind == Kind.Complaint) rental.unfreeze(c.rentalId, false);
    }

    /// @inheritdoc IRentalCourt
    function requestDeadline(uint64 rentalId, Checkpoint calldata checkpoint, Quorum calldata quorum) external {
        IInboxOrigin inbox = IInboxOrigin(IRentalWiring(address(rental)).inbox());
        if (checkpoint.originChainId != inbox.originChainId() || checkpoint.outbox != inbox.originOutbox()) {
            revert NotACheckpointOf(checkpoint.originChainId, checkpoint.outbox);
        }
        // Its messages could be delivered: the root was accepted.
        if (checkpoint.count == 0 || inbox.acceptedCount(checkpoint.root) != checkpoint.count) {
            revert NotACheckpointOf(checkpoint.originChainId, checkpoint.outbox);
        }
        uint64 deadline = rental.deadlineOf(rentalId);
        uint64 notBefore = deadline - _parameters.finalitySeconds;
        if (checkpoint.blockTimestamp < notBefore) revert CheckpointTooOld(checkpoint.blockTimestamp, notBefore);
        inbox.kingSet().verify(checkpoint, quorum);
        rental.noteDeadline(rentalId);
    }

    /// @inheritdoc IRentalCourt
    function pauseWithdrawals(uint64 until, Quorum calldata quorum) external {
        IKingSet kings = IInboxOrigin(IRentalWiring(address(rental)).inbox()).kingSet();
        uint64 setEpoch = kings.currentEpoch();
        bytes32 expected = kings.setHash(setEpoch);
        bytes32 actual = keccak256(abi.encodePacked(quorum.members));
        if (actual != expected) revert NotTheKings(expected, actual);
        (uint256 signed, uint256 total) = _weigh(quorum, pauseDigest(setEpoch, until));
        if (signed * 3 < total) revert TooLittleWeight(signed, total);
        rental.pauseWithdrawals(until);
    }

    /// @inheritdoc IRentalCourt
    function claim(address to) external returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        amount = credits[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        credits[msg.sender] = 0;
        emit Claimed(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    /// @notice Applies to cases opened from now on.
    function setParameters(Parameters calldata parameters_) external onlyOwner {
        _setParameters(parameters_);
    }

    // ------------------------------------------------------------------------------------------- views

    function caseOf(uint256 caseId) external view returns (Case memory) {
        CaseRecord storage c = cases[caseId];
        if (c.status == Status.None) revert UnknownCase(caseId);
        return Case(
            c.rentalId,
            c.kind,
            c.status,
            c.opener,
            c.openedAt,
            c.drawBlock,
            c.bond,
            c.judgeFee,
            c.verdictUntil,
            c.ayes,
            c.nays,
            c.evidence,
            committees[caseId]
        );
    }

    /// @inheritdoc IRentalCourt
    function openComplaint(uint64 rentalId) external view returns (uint256 caseId) {
        caseId = complaintOf[rentalId];
        if (cases[caseId].status != Status.Open) return 0;
    }

    function credit(address account) external view returns (uint256) {
        return credits[account];
    }

    function parameters() external view returns (Parameters memory) {
        return _parameters;
    }

    /// @inheritdoc IRentalCourt
    function pauseDigest(uint64 setEpoch, uint64 until) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(PAUSE_TYPEHASH, setEpoch, until)));
    }

    /// @inheritdoc IRentalCourt
    function reachableDigest(uint64 rentalId, uint64 time) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(REACHABLE_TYPEHASH, rentalId, time)));
    }

    // ---------------------------------------------------------------------------------------- internal

    function _openCase(uint64 rentalId, Kind kind, uint128 bond, bytes32 evidence) private returns (uint256 caseId) {
        caseId = ++caseCount;
        CaseRecord storage c = cases[caseId];
        c.rentalId = rentalId;
        c.kind = kind;
        c.status = Status.Open;
        c.openedAt = uint64(block.timestamp);
        c.drawBlock = uint64(block.number) + _parameters.drawDelay;
        c.opener = msg.sender;
        c.verdictUntil = uint64(block.timestamp) + _parameters.verdictWindow;
        c.bond = bond;
        c.judgeFee = _parameters.judgeFee;
        c.evidence = evidence;
        emit CaseOpened(caseId, rentalId, kind, msg.sender, c.drawBlock, evidence);
    }

    function _requireFree(uint64 rentalId, Kind kind, uint256 previous) private {
        if (previous != 0 && cases[previous].status == Status.Open) revert CaseAlreadyOpen(rentalId, previous);
        uint256 count = ++filed[rentalId][kind];
        if (count > CASES_PER_RENTAL) revert TooManyCases(rentalId, CASES_PER_RENTAL);
    }

    /// @dev The lowest scores of all Queens but the parties'. Who became a Queen after the case was opened does not take part:
    ///      otherwise an account could be made to fit the hash.
    function _draw(bytes32 seed, uint64 openedAt, address renter, address provider) private view returns (address[] memory) {
        address[] memory queens = stakingManager.queensBefore(openedAt);
        uint256 size = _parameters.committeeSize;
        address[] memory members = new address[](size);
        bytes32[] memory scores = new bytes32[](size);
        uint256 found;
        for (uint256 i; i < queens.length; ++i) {
            address queen = queens[i];
            if (queen == renter || queen == provider) continue;
            bytes32 score = keccak256(abi.encode(seed, queen));
            if (found == size && score >= scores[size - 1]) continue;
            uint256 at = found < size ? found++ : size - 1;
            for (; at > 0 && scores[at - 1] > score; --at) {
                scores[at] = scores[at - 1];
                members[at] = members[at - 1];
            }
            scores[at] = score;
            members[at] = queen;
        }
        assembly ("memory-safe") {
            mstore(members, found)
        }
        return members;
    }

    function _judge(uint256 caseId, CaseRecord storage c, bool upheld) private {
        c.status = upheld ? Status.Upheld : Status.Rejected;
        uint256 rest = c.bond - _payJudges(caseId, c);
        // A rejected complaint kept the provider waiting for its money.
        _credit(upheld ? c.opener : rental.rental(c.rentalId).provider, caseId, rest);
        emit CaseClosed(caseId, c.rentalId, c.status);
        if (!upheld) _recordRenter(rental.rental(c.rentalId).renter);
        rental.unfreeze(c.rentalId, upheld);
    }

    /// @dev For the renter's record on Ethereum Classic. Cumulative, so a message that is never delivered is no loss.
    function _recordRenter(address renter) private {
        uint32 lost = ++complaintsLost[renter];
        IRentalWiring wiring = IRentalWiring(address(rental));
        bytes memory body = MessageBody.encode(KIND_RENTER_RECORD, abi.encode(RenterRecord(renter, lost)));
        uint32 messageIndex = wiring.outbox().dispatch(wiring.classicChainId(), wiring.workVerification(), body);
        emit RenterRecordSent(renter, lost, messageIndex);
    }

    /// @dev Equal shares whatever they voted, so that no verdict pays better than the other.
    function _payJudges(uint256 caseId, CaseRecord storage c) private returns (uint256 spent) {
        uint256 judges = uint256(c.ayes) + c.nays;
        uint256 share = c.judgeFee / judges;
        address[] storage members = committees[caseId];
        for (uint256 i; i < c.size; ++i) {
            if ((c.voted >> i) & 1 == 0) continue;
            _credit(members[i], caseId, share);
            spent += share;
        }
        // What does not divide goes back with the bond; a reachability case has none.
        if (c.kind == Kind.Reachability) _credit(c.opener, caseId, c.bond - spent);
    }

    function _credit(address account, uint256 caseId, uint256 amount) private {
        if (amount == 0) return;
        credits[account] += amount;
        emit Credited(account, caseId, amount);
    }

    /// @dev Members ascend (checked when the set was installed), so nobody counts twice.
    function _weigh(Quorum calldata quorum, bytes32 digest) private pure returns (uint256 signed, uint256 total) {
        uint256 signers;
        for (uint256 i; i < quorum.members.length; ++i) {
            uint256 member = uint256(quorum.members[i]);
            total += uint96(member);
            if ((quorum.signerBitmap >> i) & 1 == 0) continue;
            uint256 offset = 64 * signers++;
            if (quorum.signatures.length < offset + 64) revert MalformedSignatures(quorum.signatures.length, signers);
            bytes calldata signature = quorum.signatures[offset:offset + 64];
            address recovered = Signatures.recover(digest, bytes32(signature[:32]), bytes32(signature[32:]));
            if (recovered != address(uint160(member >> 96))) revert InvalidSigner(i, recovered);
            signed += uint96(member);
        }
    }

    function _position(uint256 caseId, address queen) private view returns (uint256) {
        address[] storage members = committees[caseId];
        uint256 size = members.length;
        for (uint256 i; i < size; ++i) {
            if (members[i] == queen && queen != address(0)) return i;
        }
        revert NotInCommittee(caseId, queen);
    }

    function _openRecord(uint256 caseId) private view returns (CaseRecord storage c) {
        c = cases[caseId];
        if (c.status == Status.None) revert UnknownCase(caseId);
        if (c.status != Status.Open) revert WrongStatus(caseId, c.status);
    }

    function _setParameters(Parameters memory p) private {
        bool committee = p.committeeSize != 0 && p.committeeSize <= COMMITTEE_LIMIT && p.drawDelay != 0;
        bool times = p.verdictWindow != 0 && p.verdictWindow <= VERDICT_LIMIT && p.finalitySeconds <= 30 days;
        if (!committee || !times || p.judgeFee > p.bond) revert InvalidParameters();
        _parameters = p;
        emit ParametersSet(p);
    }
}
