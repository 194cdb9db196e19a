// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {EIP712} from "solady/utils/EIP712.sol";

import {IOutbox} from "../interfaces/IBridge.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {IWorkCourse} from "../interfaces/IWorkVerification.sol";
import {Receipts} from "../libraries/Receipts.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {
    ClassProfile,
    CommitInput,
    FAULT_WRONG_PROOF,
    FaultProven,
    KIND_FAULT_PROVEN,
    MODE_FULL,
    MODE_LIGHT,
    ReceiptSignature,
    WorkParameters,
    WorkProof,
    WorkReceipt
} from "../types/Protocol.sol";
import {WorkOutcome} from "./WorkOutcome.sol";

/// @title Challenges, commits and proofs of the work that devices do
/// @dev Trusts four senders on Ethereum (through the Inbox): StakingManager for devices and Queens, GPURental for terms,
///      Governance's timelock for classes and parameters, RentalCourt for complaints; and the Queens for times, two thirds of a
///      committee at once. Everything else is recomputed here or follows from block hashes.
///
///      The code is more than one contract may hold, so messages, settlement and reports stand in WorkSettlement, which works on
///      this contract's storage by delegatecall. Its address is fixed at deployment: this is not a way to replace code. Both have
///      the same bases in the same order, hence the same storage.
contract WorkVerification is WorkOutcome, IWorkCourse, EIP712 {
    bytes32 private constant SEED_TAG = keccak256("gpumkt/seed/v1");

    /// @notice The other half.
    address public immutable settlement;

    constructor(
        WorkParameters memory parameters_,
        ClassProfile[] memory classProfiles,
        address[] memory queens_,
        IReputationSystem reputation_,
        IProofVerifier verifier_,
        address settlement_
    ) WorkOutcome(reputation_, verifier_) {
        // A call to an account without code would look like success.
        if (settlement_.code.length == 0) revert NoCode(settlement_);
        settlement = settlement_;
        _adoptParameters(1, parameters_);
        for (uint256 i; i < classProfiles.length; ++i) {
            _addClass(classProfiles[i]);
        }
        _seatQueens(1, queens_);
    }

    /// @dev Calls of IWorkSettlement and IMessageRecipient.
    fallback() external {
        address target = settlement;
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, 0, calldatasize())
            let success := delegatecall(gas(), target, data, calldatasize(), 0, 0)
            returndatacopy(data, 0, returndatasize())
            if iszero(success) { revert(data, returndatasize()) }
            return(data, returndatasize())
        }
    }

    /// @param senders on Ethereum: StakingManager, GPURental, Governance's timelock, RentalCourt.
    function wire(address inbox_, address outbox_, uint64 ethereumChainId_, address[4] calldata senders) external wiresOnce {
        _inbox = _nonZero(inbox_);
        _outbox = IOutbox(_nonZero(outbox_));
        _ethereumChainId = ethereumChainId_;
        _stakingManager = _nonZero(senders[0]);
        _gpuRental = _nonZero(senders[1]);
        _governance = _nonZero(senders[2]);
        _court = _nonZero(senders[3]);
    }

    /// @inheritdoc IWorkCourse
    function open(uint64 blockNumber, bytes calldata header) external returns (uint64 index) {
        uint64 plusOne = challengeIndex[blockNumber];
        // Many may try at once; the one that comes second has what it wanted.
        return plusOne != 0 ? plusOne - 1 : _open(blockNumber, header);
    }

    /// @inheritdoc IWorkCourse
    function commit(CommitInput calldata input, ReceiptSignature[] calldata receipts, bytes calldata header) external {
        Device storage d = _device(input.deviceId);
        if (input.mode != MODE_FULL && input.mode != MODE_LIGHT) revert InvalidMode(input.mode);
        if (header.length != 0 && challengeIndex[input.challengeBlock] == 0) _open(input.challengeBlock, header);
        Challenge storage c = _challenge(input.challengeBlock);
        _requireWorker(d, c);
        WorkParameters storage rules = _rules(c);
        if (block.number > c.blockNumber + rules.commitWindow) {
            revert OutsideWindow(c.blockNumber, uint64(block.number));
        }
        // A commit made for the other side of a reorg must not stand for this one.
        if (input.blockHash != c.blockHash) revert WrongBlockHash(c.blockHash, input.blockHash);
        if (commits[input.challengeBlock][input.deviceId].status != CommitStatus.None) {
            revert AlreadyCommitted(input.challengeBlock, input.deviceId);
        }
        _store(input, receipts, d.provider, c.queenEpoch, rules.committeeSize);
    }

    /// @inheritdoc IWorkCourse
    function seal(uint64 blockNumber) external {
        _seal(_challenge(blockNumber));
    }

    /// @inheritdoc IWorkCourse
    function prove(uint64 challengeBlock, uint64 deviceId, WorkProof calldata proof) external {
        Device storage d = _device(deviceId);
        Challenge storage c = _challenge(challengeBlock);
        _requireWorker(d, c);
        Commit storage m = commits[challengeBlock][deviceId];
        if (m.status != CommitStatus.Committed) revert NotDrawn(challengeBlock, deviceId);
        _seal(c);
        (bool isDrawn, uint64 answerUntil) = _drawn(challengeBlock, deviceId);
        if (!isDrawn) revert NotDrawn(challengeBlock, deviceId);
        if (block.number > answerUntil) revert AnswerWindowClosed(challengeBlock, answerUntil);

        bool right = verifier.verify(
            _profile(d.classVersion, m.mode),
            seedOf(c.blockHash, deviceId, m.mode),
            m.root,
            _sampleSeed(c, deviceId),
            _rules(c).proofSamples,
            proof
        );
        if (right) {
            m.status = CommitStatus.Proven;
            emit WorkProven(challengeBlock, deviceId);
            return;
        }
        m.status = CommitStatus.Voided;
        d.faults += 1;
        emit CommitVoided(challengeBlock, deviceId, FAULT_WRONG_PROOF);
        reputation.recordFault(d.provider, deviceId, FAULT_WRONG_PROOF);
        FaultProven memory fault = FaultProven(deviceId, challengeBlock, FAULT_WRONG_PROOF, address(0), _renterAt(m, deviceId, c));
        _dispatch(_stakingManager, KIND_FAULT_PROVEN, abi.encode(fault));
    }

    // ------------------------------------------------------------------------------------------- views

    function parameters() external view returns (WorkParameters memory) {
        return _current();
    }

    function parametersVersion() external view returns (uint32) {
        return _parametersVersion;
    }

    function isChallengeBlock(bytes32 blockHash) external view returns (bool) {
        return _isChallengeBlock(blockHash);
    }

    function challengeCount() external view returns (uint64) {
        return uint64(challenges.length);
    }

    function challengeAt(uint64 index) external view returns (Challenge memory) {
        if (index >= challenges.length) revert WrongHint(index);
        return challenges[index];
    }

    function challengeIndexPlusOne(uint64 blockNumber) external view returns (uint64) {
        return challengeIndex[blockNumber];
    }

    function queens() external view returns (address[] memory) {
        return queensOf[_queenEpoch];
    }

    function queenEpoch() external view returns (uint64) {
        return _queenEpoch;
    }

    /// @inheritdoc IWorkCourse
    function committee(bytes32 blockHash, uint64 deviceId) external view returns (uint16[] memory) {
        uint256 seats = queensOf[_queenEpoch].length;
        return Receipts.committee(blockHash, _device(deviceId).provider, deviceId, seats, _current().committeeSize);
    }

    /// @inheritdoc IWorkCourse
    function seedOf(bytes32 blockHash, uint64 deviceId, uint8 mode) public view returns (bytes32) {
        Device storage d = _device(deviceId);
        if (mode != MODE_FULL && mode != MODE_LIGHT) revert InvalidMode(mode);
        return keccak256(
            abi.encode(
                SEED_TAG,
                blockHash,
                block.chainid,
                address(this),
                d.provider,
                deviceId,
                d.classVersion,
                mode,
                _profile(d.classVersion, mode)
            )
        );
    }

    function outcome(uint64 index, uint64 deviceId) external view returns (Outcome) {
        return _outcome(index, deviceId);
    }

    /// @inheritdoc IWorkCourse
    function drawn(uint64 challengeBlock, uint64 deviceId) external view returns (bool isDrawn, uint64 answerUntil) {
        return _drawn(challengeBlock, deviceId);
    }

    /// @notice Seed of the samples drawn for a commit; the challenge must be sealed.
    function sampleSeed(uint64 challengeBlock, uint64 deviceId) external view returns (bytes32) {
        Challenge storage c = _challenge(challengeBlock);
        if (c.sealHash == 0) revert NotSealed(challengeBlock);
        return _sampleSeed(c, deviceId);
    }

    /// @notice EIP-712 digest that a Queen signs.
    function receiptDigest(WorkReceipt calldata receipt) external view returns (bytes32) {
        return _hashTypedData(Receipts.structHash(receipt));
    }

    // ----------------------------------------------------------------------------------------- commits

    /// @dev Who changes the key shortly after a block still answers with the old one.
    function _requireWorker(Device storage d, Challenge storage c) private view {
        address expected = c.timestamp > d.workerSince ? d.worker : d.previousWorker;
        if (msg.sender != expected) revert NotWorker(msg.sender, expected);
    }

    function _renterAt(Commit storage m, uint64 deviceId, Challenge storage c) private view returns (address) {
        return coverageOf[_covering(m.rentalId, deviceId, c.timestamp, 0)].renter;
    }

    function _store(
        CommitInput calldata input,
        ReceiptSignature[] calldata receipts,
        address provider,
        uint64 epoch,
        uint256 committeeSize
    ) private {
        address[] storage seats = queensOf[epoch];
        uint16[] memory members = Receipts.committee(input.blockHash, provider, input.deviceId, seats.length, committeeSize);
        (bool measured, uint32 elapsedMs) = _measure(input, receipts, seats, members);
        Commit storage m = commits[input.challengeBlock][input.deviceId];
        m.root = input.root;
        // The second slot of a Commit in one write, its fields from the lowest bits on; the compiler would write each of them.
        uint256 packed = uint256(input.rentalId) | (block.number & type(uint64).max) << 64 | uint256(elapsedMs) << 128;
        packed |= uint256(input.mode) << 160 | (measured ? 1 << 168 : 0) | uint256(CommitStatus.Committed) << 176;
        assembly ("memory-safe") {
            sstore(add(m.slot, 1), packed)
        }
        emit WorkCommitted(
            input.challengeBlock, input.deviceId, input.mode, input.rentalId, input.root, elapsedMs, measured, receipts.length
        );
    }

    /// @return measured whether two thirds of the committee signed.
    /// @return elapsedMs the committee's median, 0 if not measured.
    function _measure(
        CommitInput calldata input,
        ReceiptSignature[] calldata receipts,
        address[] storage seats,
        uint16[] memory members
    ) private view returns (bool measured, uint32 elapsedMs) {
        if (receipts.length == 0) return (false, 0);
        uint32[] memory times = new uint32[](receipts.length);
        bytes memory receipt =
            Receipts.layout(_domainSeparator(), input.challengeBlock, input.deviceId, input.blockHash, input.root);
        for (uint256 i; i < receipts.length; ++i) {
            ReceiptSignature calldata s = receipts[i];
            if (i != 0 && s.queenIndex <= receipts[i - 1].queenIndex) revert ReceiptsNotAscending(i);
            if (!Receipts.contains(members, s.queenIndex)) revert NotInCommittee(s.queenIndex);
            address recovered = Signatures.recover(Receipts.digestOf(receipt, s.elapsedMs), s.r, s.vs);
            // Queens are never zero, so a signature that recovers to zero can't match.
            if (recovered != seats[s.queenIndex]) revert InvalidReceipt(i, recovered);
            times[i] = s.elapsedMs;
        }
        measured = receipts.length * 3 >= members.length * 2;
        elapsedMs = measured ? Receipts.median(times, members.length) : 0;
    }

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("gpumkt", "1");
    }
}
