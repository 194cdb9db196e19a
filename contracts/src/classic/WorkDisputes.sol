// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {EIP712} from "solady/utils/EIP712.sol";

import {IOutbox} from "../interfaces/IBridge.sol";
import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {IWorkDisputes} from "../interfaces/IWorkVerification.sol";
import {Receipts} from "../libraries/Receipts.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {ClassProfile, RefusalSignature, WorkParameters, WorkProof, WorkReceipt} from "../types/Protocol.sol";
import {WorkOutcome} from "./WorkOutcome.sol";

/// @title The part of WorkVerification in which samples are demanded and answered, the gas fund, and views
/// @dev Runs on WorkVerification's storage (see there). Called directly it finds an empty storage, and refuses. Bonds of open disputes
///      are held as the fund of WorkVerification's own address.
contract WorkDisputes is WorkOutcome, IWorkDisputes, EIP712 {
    bytes32 private constant REFUSAL_TAG = keccak256("gpumkt/refusal/v1");
    /// @dev Bounds what settling a commit costs.
    uint256 private constant DEMANDS_PER_COMMIT = 8;
    uint8 private constant REFUSAL_SAMPLES = 3;

    address private immutable self = address(this);

    constructor(IReputationSystem reputation_, IProofVerifier verifier_) WorkOutcome(reputation_, verifier_) {}

    // ----------------------------------------------------------------------------------------- demands

    /// @inheritdoc IWorkDisputes
    function dispute(uint64 challengeBlock, uint64 deviceId, bytes32 sampleSeed) external payable {
        Challenge storage c = _challenge(challengeBlock);
        WorkParameters storage rules = _rules(c);
        Commit storage m = _disputable(c, rules, deviceId);
        bool isRenter = coverageOf[_covering(deviceId, c.timestamp, 0)].renter == msg.sender;
        if (!isRenter && !_isQueen(c.queenEpoch, msg.sender)) revert NotQueenNorRenter(msg.sender);
        if (msg.value != rules.disputeBond) revert WrongBond(msg.value, rules.disputeBond);
        if (openDisputes[msg.sender] >= rules.openDisputes) revert TooManyDemands(rules.openDisputes);

        openDisputes[msg.sender] += 1;
        funds[address(this)] += msg.value;
        _demand(c, m, deviceId, Demand(msg.sender, 0, uint8(rules.proofSamples), false, sampleSeed));
    }

    /// @inheritdoc IWorkDisputes
    function refuse(uint64 challengeBlock, uint64 deviceId, bytes32 root, RefusalSignature[] calldata signatures) external {
        Challenge storage c = _challenge(challengeBlock);
        WorkParameters storage rules = _rules(c);
        Commit storage m = _disputable(c, rules, deviceId);
        if (bytes25(root) != m.root) revert NotCommitted(challengeBlock, deviceId);
        _requireRefusals(c, rules, deviceId, root, signatures);
        // The provider learns the samples only now.
        bytes32 sampleSeed = keccak256(abi.encode(REFUSAL_TAG, blockhash(block.number - 1), challengeBlock, deviceId));
        _demand(c, m, deviceId, Demand(address(0), 0, REFUSAL_SAMPLES, false, sampleSeed));
    }

    /// @inheritdoc IWorkDisputes
    function answer(uint64 challengeBlock, uint64 deviceId, uint256 position, WorkProof calldata proof) external {
        Device storage d = _device(deviceId);
        Challenge storage c = _challenge(challengeBlock);
        _requireWorker(d, c);
        Commit storage m = commits[challengeBlock][deviceId];
        Demand[] storage list = demandsOf[challengeBlock][deviceId];
        if (position >= list.length || list[position].answered || m.status == CommitStatus.Voided) {
            revert UnknownDemand(challengeBlock, deviceId, position);
        }
        Demand storage demand = list[position];
        if (block.number > demand.answerUntil) revert AnswerWindowClosed(challengeBlock, demand.answerUntil);

        if (!_verify(c, m, deviceId, demand.sampleSeed, demand.samples, proof)) {
            _voidWrong(c, m, deviceId, demand.opener);
            return;
        }
        demand.answered = true;
        emit DemandAnswered(challengeBlock, deviceId, position);
        if (demand.opener == address(0)) return;
        openDisputes[demand.opener] -= 1;
        _move(address(this), d.provider, _rules(c).disputeBond);
    }

    function _demand(Challenge storage c, Commit storage m, uint64 deviceId, Demand memory demand) private {
        Demand[] storage list = demandsOf[c.blockNumber][deviceId];
        uint256 position = list.length;
        if (position == DEMANDS_PER_COMMIT) revert TooManyDemands(DEMANDS_PER_COMMIT);
        for (uint256 i; i < position; ++i) {
            if (list[i].opener == demand.opener) revert AlreadyDemanded(c.blockNumber, deviceId);
        }
        WorkParameters storage rules = _rules(c);
        if (c.demands != type(uint16).max) c.demands += 1;
        (,, uint64 extra) = _load(c, rules, c.demands);
        demand.answerUntil = uint40(block.number + rules.answerWindow + extra);
        list.push(demand);
        m.demanded = true;
        emit SampleDemanded(
            c.blockNumber, deviceId, position, demand.opener, demand.sampleSeed, demand.samples, demand.answerUntil
        );
    }

    function _disputable(Challenge storage c, WorkParameters storage rules, uint64 deviceId)
        private
        view
        returns (Commit storage m)
    {
        m = commits[c.blockNumber][deviceId];
        if (m.status != CommitStatus.Committed && m.status != CommitStatus.Proven) {
            revert NotCommitted(c.blockNumber, deviceId);
        }
        if (block.number > c.blockNumber + rules.commitWindow + rules.disputeWindow) {
            revert OutsideWindow(c.blockNumber, uint64(block.number));
        }
    }

    function _isQueen(uint256 epoch, address account) private view returns (bool) {
        address[] storage seats = queensOf[epoch];
        uint256 length = seats.length;
        for (uint256 i; i < length; ++i) {
            if (seats[i] == account) return true;
        }
        return false;
    }

    function _requireRefusals(
        Challenge storage c,
        WorkParameters storage rules,
        uint64 deviceId,
        bytes32 root,
        RefusalSignature[] calldata signatures
    ) private view {
        uint256 epoch = c.queenEpoch;
        uint16[] memory members = _committee(c.blockHash, _device(deviceId).provider, deviceId, epoch, rules);
        if (signatures.length * 3 < members.length * 2) revert TooFewRefusals(signatures.length, members.length);
        bytes32 digest = refusalDigest(c.blockNumber, deviceId, c.blockHash, root);
        for (uint256 i; i < signatures.length; ++i) {
            RefusalSignature calldata s = signatures[i];
            if (i != 0 && s.queenIndex <= signatures[i - 1].queenIndex) revert ReceiptsNotAscending(i);
            if (!Receipts.contains(members, s.queenIndex)) revert NotInCommittee(s.queenIndex);
            address recovered = Signatures.recover(digest, s.r, s.vs);
            if (recovered != queensOf[epoch][s.queenIndex]) revert InvalidReceipt(i, recovered);
        }
    }

    // -------------------------------------------------------------------------------------------- fund

    /// @inheritdoc IWorkDisputes
    function deposit(address account) external payable {
        if (address(this) == self) revert CalledDirectly();
        if (account == address(0) || account == address(this)) revert ZeroAddress();
        funds[account] += msg.value;
        emit FundDeposited(account, msg.sender, msg.value);
    }

    /// @inheritdoc IWorkDisputes
    function withdraw(address to, uint256 amount) external {
        if (to == address(0)) revert ZeroAddress();
        uint256 held = funds[msg.sender];
        if (amount > held) revert FundTooSmall(held, amount);
        funds[msg.sender] = held - amount;
        emit FundWithdrawn(msg.sender, to, amount);
        (bool success,) = to.call{value: amount}("");
        if (!success) revert TransferFailed(to);
    }

    // ------------------------------------------------------------------------------------------- views

    function inbox() external view returns (address) {
        return _inbox;
    }

    function outbox() external view returns (IOutbox) {
        return _outbox;
    }

    function ethereumChainId() external view returns (uint64) {
        return _ethereumChainId;
    }

    function stakingManager() external view returns (address) {
        return _stakingManager;
    }

    function gpuRental() external view returns (address) {
        return _gpuRental;
    }

    /// @notice Governance's timelock on Ethereum.
    function governance() external view returns (address) {
        return _governance;
    }

    function court() external view returns (address) {
        return _court;
    }

    /// @inheritdoc IWorkDisputes
    function parametersAt(uint32 version) external view returns (WorkParameters memory) {
        if (parametersOf[version].beaconPeriod == 0) revert UnknownParameters(version);
        return parametersOf[version];
    }

    function queensAt(uint64 epoch) external view returns (address[] memory) {
        return queensOf[epoch];
    }

    function shardSeedAt(uint64 epoch) external view returns (bytes32) {
        return shardSeedOf[epoch];
    }

    function commitOf(uint64 challengeBlock, uint64 deviceId) external view returns (Commit memory) {
        return commits[challengeBlock][deviceId];
    }

    function device(uint64 deviceId) external view returns (Device memory) {
        return _device(deviceId);
    }

    function rental(uint64 rentalId) external view returns (RentalState memory) {
        return _rental(rentalId);
    }

    function classProfile(uint32 classVersion) external view returns (ClassProfile memory) {
        if (classes[classVersion].classVersion == 0) revert UnknownClass(classVersion);
        return classes[classVersion];
    }

    function fundOf(address account) external view returns (uint256) {
        return funds[account];
    }

    function demands(uint64 challengeBlock, uint64 deviceId) external view returns (Demand[] memory) {
        return demandsOf[challengeBlock][deviceId];
    }

    function openDisputesOf(address opener) external view returns (uint256) {
        return openDisputes[opener];
    }

    /// @inheritdoc IWorkDisputes
    function committee(bytes32 blockHash, uint64 deviceId) external view returns (uint16[] memory) {
        return _committee(blockHash, _device(deviceId).provider, deviceId, _queenEpoch, _current());
    }

    /// @inheritdoc IWorkDisputes
    function receiptDigest(WorkReceipt calldata receipt) external view returns (bytes32) {
        return _hashTypedData(Receipts.structHash(receipt));
    }

    /// @inheritdoc IWorkDisputes
    function refusalDigest(uint64 challengeBlock, uint64 deviceId, bytes32 blockHash, bytes32 root)
        public
        view
        returns (bytes32)
    {
        return _hashTypedData(Receipts.refusalHash(challengeBlock, deviceId, blockHash, root));
    }

    function _domainNameAndVersion() internal pure override returns (string memory name, string memory version) {
        return ("gpumkt", "1");
    }
}
