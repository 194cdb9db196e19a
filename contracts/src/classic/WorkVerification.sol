// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {EIP712} from "solady/utils/EIP712.sol";

import {IOutbox} from "../interfaces/IBridge.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {IWorkCourse} from "../interfaces/IWorkVerification.sol";
import {HeaderReader} from "../libraries/HeaderReader.sol";
import {Receipts} from "../libraries/Receipts.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {
    ClassProfile,
    CommitInput,
    MODE_FULL,
    MODE_LIGHT,
    Profile,
    ReceiptSignature,
    WorkParameters,
    WorkProof
} from "../types/Protocol.sol";
import {WorkOutcome} from "./WorkOutcome.sol";

/// @title Challenges, commits and proofs of the work that devices do
/// @dev Trusts four senders on Ethereum (through the Inbox): StakingManager for devices and Queens, GPURental for terms,
///      Governance's timelock for classes and parameters, RentalCourt for complaints; and the Queens for times, two thirds of a
///      committee at once. Everything else is recomputed here or follows from block hashes.
///
///      The code is more than one contract may hold. Messages, settlement and reports stand in WorkSettlement, demanded samples and
///      the gas fund in WorkDisputes; both work on this contract's storage by delegatecall, the second one through the first. Their
///      addresses are fixed at deployment: this is not a way to replace code. All have the same bases in the same order, hence
///      the same storage.
contract WorkVerification is WorkOutcome, IWorkCourse, EIP712 {
    /// @dev Most of a challenge's weight that one owner can have: a tenth of the last valid challenge's.
    uint256 private constant OWNER_SHARE = 10;

    /// @notice The next part.
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

    /// @dev Calls of IWorkSettlement, IMessageRecipient and IWorkDisputes.
    fallback() external payable {
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

    /// @dev Coin comes in with a call that says what it is for.
    receive() external payable {
        revert NoPurpose(msg.value);
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
        uint256 gasBefore = gasleft();
        uint64 plusOne = challengeIndex[blockNumber];
        // Many may try at once; the one that comes second has what it wanted.
        if (plusOne != 0) return plusOne - 1;
        index = _open(blockNumber, header);
        _refund(_payer(_storedChallenge(index).blockHash), gasBefore);
    }

    /// @inheritdoc IWorkCourse
    function commit(CommitInput calldata input, ReceiptSignature[] calldata receipts, bytes calldata header) external {
        Device storage d = _device(input.deviceId);
        if (input.mode != MODE_FULL && input.mode != MODE_LIGHT) revert InvalidMode(input.mode);
        if (header.length != 0 && challengeIndex[input.challengeBlock] == 0) _open(input.challengeBlock, header);
        uint64 index = _indexOf(input.challengeBlock);
        Challenge storage c = _storedChallenge(index);
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
        _store(input, receipts, d, c, index);
    }

    /// @inheritdoc IWorkCourse
    function seal(uint64 blockNumber) external {
        uint256 gasBefore = gasleft();
        Challenge storage c = _challenge(blockNumber);
        bool isNew = c.sealHash == 0;
        _seal(c);
        _sealDue();
        if (isNew) _refund(_payer(c.sealHash), gasBefore);
    }

    /// @inheritdoc IWorkCourse
    function prove(uint64 challengeBlock, uint64 deviceId, WorkProof calldata proof) external {
        Device storage d = _device(deviceId);
        Challenge storage c = _challenge(challengeBlock);
        _requireWorker(d, c);
        Commit storage m = commits[challengeBlock][deviceId];
        if (m.status != CommitStatus.Committed) revert NotDrawn(challengeBlock, deviceId);
        _seal(c);
        (bool isDrawn, uint64 answerUntil) = _drawn(c, m, d, deviceId);
        if (!isDrawn) revert NotDrawn(challengeBlock, deviceId);
        if (block.number > answerUntil) revert AnswerWindowClosed(challengeBlock, answerUntil);

        if (_verify(c, m, deviceId, _sampleSeed(c, deviceId), _rules(c).proofSamples, proof)) {
            m.status = CommitStatus.Proven;
            emit WorkProven(challengeBlock, deviceId);
        } else {
            _voidWrong(c, m, deviceId, address(0));
        }
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
    function seedOf(bytes32 blockHash, uint64 deviceId, uint8 mode) external view returns (bytes32) {
        if (mode != MODE_FULL && mode != MODE_LIGHT) revert InvalidMode(mode);
        return _seed(_device(deviceId), blockHash, deviceId, mode);
    }

    function outcome(uint64 index, uint64 deviceId) external view returns (Outcome) {
        return _outcome(index, deviceId);
    }

    /// @inheritdoc IWorkCourse
    function drawn(uint64 challengeBlock, uint64 deviceId) external view returns (bool isDrawn, uint64 answerUntil) {
        return _drawn(_challenge(challengeBlock), commits[challengeBlock][deviceId], _device(deviceId), deviceId);
    }

    /// @notice Seed of the samples drawn for a commit; the challenge must be sealed.
    function sampleSeed(uint64 challengeBlock, uint64 deviceId) external view returns (bytes32) {
        Challenge storage c = _challenge(challengeBlock);
        if (c.sealHash == 0) revert NotSealed(challengeBlock);
        return _sampleSeed(c, deviceId);
    }

    // ----------------------------------------------------------------------------------------- commits

    function _open(uint64 blockNumber, bytes calldata header) private returns (uint64 index) {
        uint64 current = uint64(block.number);
        WorkParameters storage rules = _current();
        if (blockNumber >= current || current > blockNumber + rules.commitWindow / 2) {
            revert OutsideWindow(blockNumber, current);
        }
        index = uint64(challenges.length);
        if (index != 0) {
            uint64 previous = _storedChallenge(index - 1).blockNumber;
            if (blockNumber < previous + rules.beaconSpacing) revert TooCloseToPrevious(blockNumber, previous);
        }
        bytes32 hash = blockhash(blockNumber);
        if (!_isChallengeBlock(hash)) revert NotChallengeBlock(blockNumber);
        bytes32 actual = keccak256(header);
        if (actual != hash) revert HeaderMismatch(hash, actual);
        Challenge memory c;
        c.blockNumber = uint40(blockNumber);
        c.timestamp = uint40(HeaderReader.timestamp(header));
        c.parametersVersion = _parametersVersion;
        c.queenEpoch = _queenEpoch;
        c.blockHash = hash;
        challenges.push(c);
        challengeIndex[blockNumber] = index + 1;
        emit ChallengeOpened(index, blockNumber, hash, c.timestamp);
        _sealDue();
    }

    /// @dev A device drawn by the hash bears the cost of what is done for all of them, if its owner's fund has anything.
    function _payer(bytes32 hash) private view returns (address) {
        uint256 length = deviceList.length;
        return length == 0 ? address(0) : devices[deviceList[uint256(hash) % length]].provider;
    }

    function _store(
        CommitInput calldata input,
        ReceiptSignature[] calldata receipts,
        Device storage d,
        Challenge storage c,
        uint64 index
    ) private {
        (bool measured, uint32 elapsedMs) = _measure(input, receipts, d.provider, c);
        Commit storage m = commits[input.challengeBlock][input.deviceId];
        uint24 kept = elapsedMs > type(uint24).max ? type(uint24).max : uint24(elapsedMs);
        commits[input.challengeBlock][input.deviceId] =
            Commit(bytes25(input.root), kept, input.mode, measured, false, CommitStatus.Committed);
        _tally(c, index, d.provider, d.weight, _isUnmeasured(m, _profile(d.classVersion, input.mode)));
        emit WorkCommitted(
            input.challengeBlock, input.deviceId, input.mode, input.rentalId, input.root, elapsedMs, measured, receipts.length
        );
    }

    /// @dev Adds a commit to what its challenge is judged by. The counts of a Challenge are changed in one write.
    function _tally(Challenge storage c, uint64 index, address provider, uint32 weight, bool unmeasured) private {
        OwnerTally memory own = tallies[provider];
        bool isEven = index & 1 == 0;
        bool isFirst = (isEven ? own.evenIndex : own.oddIndex) != index + 1;
        uint256 before = isFirst ? 0 : isEven ? own.evenWeight : own.oddWeight;
        uint256 total = before + weight;
        if (isEven) (own.evenIndex, own.evenWeight) = (index + 1, uint64(total));
        else (own.oddIndex, own.oddWeight) = (index + 1, uint64(total));
        tallies[provider] = own;
        uint256 last = _reference.totalWeight;
        uint256 cap = last == 0 ? type(uint256).max : (last + OWNER_SHARE - 1) / OWNER_SHARE;
        uint256 added = (total < cap ? total : cap) - (before < cap ? before : cap);
        _add(c, added, weight, isFirst, unmeasured);
    }

    function _add(Challenge storage c, uint256 capped, uint256 weight, bool newOwner, bool unmeasured) private {
        uint256 word;
        assembly ("memory-safe") {
            word := sload(c.slot)
        }
        // Fields of a Challenge from the lowest bits on; each saturates rather than run into the next.
        word = _increase(word, 80, 32, capped);
        word = _increase(word, 112, 32, weight);
        word = _increase(word, 144, 16, newOwner ? 1 : 0);
        word = _increase(word, 160, 16, 1);
        word = _increase(word, 176, 16, unmeasured ? 1 : 0);
        assembly ("memory-safe") {
            sstore(c.slot, word)
        }
    }

    function _increase(uint256 word, uint256 shift, uint256 bits, uint256 by) private pure returns (uint256) {
        uint256 mask = (1 << bits) - 1;
        uint256 value = ((word >> shift) & mask) + by;
        if (value > mask) value = mask;
        return (word & ~(mask << shift)) | (value << shift);
    }

    /// @return measured whether two thirds of the committee signed.
    /// @return elapsedMs the committee's median, 0 if not measured.
    function _measure(CommitInput calldata input, ReceiptSignature[] calldata receipts, address provider, Challenge storage c)
        private
        view
        returns (bool measured, uint32 elapsedMs)
    {
        if (receipts.length == 0) return (false, 0);
        uint256 epoch = c.queenEpoch;
        address[] storage seats = queensOf[epoch];
        uint16[] memory members = _committee(input.blockHash, provider, input.deviceId, epoch, _rules(c));
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
