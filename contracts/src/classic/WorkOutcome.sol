// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {
    FAULT_WRONG_PROOF,
    FaultProven,
    KIND_FAULT_PROVEN,
    MODE_LIGHT,
    Profile,
    WorkParameters,
    WorkProof
} from "../types/Protocol.sol";
import {WorkStore} from "./WorkStore.sol";

/// @title How challenges are sealed and judged, what draws a commit, and what a commit amounts to
abstract contract WorkOutcome is WorkStore {
    bytes32 private constant SEED_TAG = keccak256("gpumkt/seed/v1");
    bytes32 private constant DRAW_TAG = keccak256("gpumkt/draw/v1");
    bytes32 private constant SAMPLE_TAG = keccak256("gpumkt/sample/v1");
    /// @dev Seals made along with another call; bounds what a caller pays for others.
    uint256 private constant SEALS_PER_CALL = 4;
    /// @dev Owners below which a majority of unmeasured commits excuses nobody.
    uint256 private constant MAJORITY_OWNERS = 5;
    uint8 private constant VOID_LIMIT = 12;
    /// @dev Share of a block's gas that answers are reckoned to get.
    uint256 private constant GAS_SHARE = 4;

    constructor(IReputationSystem reputation_, IProofVerifier verifier_) WorkStore(reputation_, verifier_) {}

    // ----------------------------------------------------------------------------------- seal and judge

    /// @dev Seals and judges what is due, in order; what nobody sealed in time stays unsealed and draws nobody.
    function _sealDue() internal {
        Reference memory ref = _reference;
        uint256 length = challenges.length;
        uint256 done;
        for (; ref.sealCursor < length && done < SEALS_PER_CALL; ++done) {
            Challenge storage c = _storedChallenge(ref.sealCursor);
            uint64 sealBlock = _sealBlock(c);
            if (block.number <= sealBlock) break;
            if (c.sealHash == 0) {
                bytes32 hash = blockhash(sealBlock);
                if (hash != 0) _recordSeal(c, hash);
            }
            _judgeChallenge(c, ref);
            ++ref.sealCursor;
        }
        if (done != 0) _reference = ref;
    }

    /// @dev The commit window is over, so the weights are final. After VOID_LIMIT void challenges in a row whoever is still there is
    ///      the network, or nothing would count for ever once half of it had left.
    function _judgeChallenge(Challenge storage c, Reference memory ref) private {
        uint256 expected = ref.weight;
        // Owners were capped by a larger total then: full attendance must never look like an outage.
        if (ref.totalWeight < ref.cappedBy) expected = expected * ref.totalWeight / ref.cappedBy;
        bool applies = ref.owners >= _rules(c).minOwners && ref.voids < VOID_LIMIT;
        if (applies && uint256(c.weight) * 2 < expected) {
            c.verdict = Verdict.Void;
            ++ref.voids;
        } else {
            c.verdict = Verdict.Valid;
            // The very first weight is capped by nothing, so nothing is compared with it.
            ref.weight = ref.totalWeight == 0 ? 0 : c.weight;
            (ref.cappedBy, ref.totalWeight, ref.owners, ref.voids) = (ref.totalWeight, c.totalWeight, c.owners, 0);
        }
        emit ChallengeJudged(c.blockNumber, c.verdict, c.weight, c.totalWeight, c.owners);
    }

    function _seal(Challenge storage c) internal {
        if (c.sealHash != 0) return;
        uint64 sealBlock = _sealBlock(c);
        if (block.number <= sealBlock) revert SealTooEarly(c.blockNumber, uint64(block.number));
        bytes32 hash = blockhash(sealBlock);
        if (hash == 0) revert OutsideWindow(c.blockNumber, uint64(block.number));
        _recordSeal(c, hash);
    }

    function _sealBlock(Challenge storage c) internal view returns (uint64) {
        return c.blockNumber + _rules(c).commitWindow + 1;
    }

    function _recordSeal(Challenge storage c, bytes32 hash) private {
        c.sealHash = hash;
        emit ChallengeSealed(c.blockNumber, hash);
    }

    // -------------------------------------------------------------------------------------------- draw

    /// @dev One commit in `rate` is drawn, one unmeasured commit in `unmeasuredRate`. Draws that would not fit into the longest answer
    ///      window are dropped by raising both. `extra` blocks are what the drawn answers and `more` others need on top of the window.
    function _load(Challenge storage c, WorkParameters storage rules, uint256 more)
        internal
        view
        returns (uint256 rate, uint256 unmeasuredRate, uint64 extra)
    {
        rate = rules.proofRate;
        unmeasuredRate = _isMostlyUnmeasured(c) ? rate : 1;
        uint256 expected = c.unmeasured / unmeasuredRate + (c.commits - c.unmeasured + rate - 1) / rate;
        uint256 room = ANSWER_LIMIT - rules.answerWindow;
        uint256 capacity = room * rules.blockGas / GAS_SHARE / rules.answerGas;
        if (expected > capacity) {
            // At least one answer fits: a block's gas is at least an answer's, and `room` blocks are shared by four.
            uint256 factor = capacity == 0 ? expected : (expected + capacity - 1) / capacity;
            rate *= factor;
            unmeasuredRate *= factor;
            expected = capacity;
        }
        uint256 blocks = ((expected + more) * GAS_SHARE * rules.answerGas + rules.blockGas - 1) / rules.blockGas;
        extra = uint64(blocks < room ? blocks : room);
    }

    /// @dev Something else than these devices was at fault.
    function _isMostlyUnmeasured(Challenge storage c) internal view returns (bool) {
        return c.owners >= MAJORITY_OWNERS && uint256(c.unmeasured) * 2 > c.commits;
    }

    function _drawn(Challenge storage c, Commit storage m, Device storage d, uint64 deviceId)
        internal
        view
        returns (bool isDrawn, uint64 answerUntil)
    {
        if (m.status == CommitStatus.None || c.sealHash == 0) return (false, 0);
        WorkParameters storage rules = _rules(c);
        (uint256 rate, uint256 unmeasuredRate, uint64 extra) = _load(c, rules, 0);
        if (_isUnmeasured(m, _profile(d.classVersion, m.mode))) rate = unmeasuredRate;
        isDrawn = uint256(_hashSeal(DRAW_TAG, c, deviceId)) % rate == 0;
        answerUntil = isDrawn ? _sealBlock(c) + rules.answerWindow + extra : 0;
    }

    function _sampleSeed(Challenge storage c, uint64 deviceId) internal view returns (bytes32) {
        return _hashSeal(SAMPLE_TAG, c, deviceId);
    }

    function _hashSeal(bytes32 tag, Challenge storage c, uint64 deviceId) private view returns (bytes32) {
        return keccak256(abi.encode(tag, c.sealHash, c.blockNumber, deviceId));
    }

    // ----------------------------------------------------------------------------------------- outcome

    function _outcome(uint64 index, uint64 deviceId) internal view returns (Outcome result) {
        if (index >= challenges.length) revert WrongHint(index);
        Challenge storage c = _storedChallenge(index);
        WorkParameters storage rules = _rules(c);
        if (block.number <= c.blockNumber + rules.commitWindow + rules.disputeWindow) return Outcome.Pending;
        Commit storage m = commits[c.blockNumber][deviceId];
        // A wrong answer is a fault whatever became of the others.
        if (m.status == CommitStatus.Voided) return Outcome.Missed;
        result = _ownOutcome(c, rules, m, deviceId);
        if (result != Outcome.Pending && c.verdict == Verdict.Void) return Outcome.Void;
        if (result == Outcome.Unmeasured && _isMostlyUnmeasured(c)) return Outcome.Void;
    }

    function _ownOutcome(Challenge storage c, WorkParameters storage rules, Commit storage m, uint64 deviceId)
        private
        view
        returns (Outcome)
    {
        if (m.status == CommitStatus.None || m.status == CommitStatus.Neglected) return Outcome.Missed;
        Device storage d = _device(deviceId);
        (bool waiting, bool missing,) = _unanswered(c, m, d, deviceId);
        if (waiting) return Outcome.Pending;
        if (missing) return Outcome.Missed;
        Profile storage p = _profile(d.classVersion, m.mode);
        if (m.measured && _isTooSlow(m, p)) return Outcome.Missed;
        if (m.mode == MODE_LIGHT && _covering(deviceId, c.timestamp, rules.modeSlack) == 0) {
            // The terms may still be on their way over the bridge.
            return block.timestamp <= c.timestamp + rules.bridgeMax ? Outcome.Pending : Outcome.Missed;
        }
        return _isUnmeasured(m, p) ? Outcome.Unmeasured : Outcome.Passed;
    }

    /// @return waiting an answer may still come in.
    /// @return missing one did not.
    /// @return reporter who demanded the one that is missing; zero for the seal and for a committee.
    function _unanswered(Challenge storage c, Commit storage m, Device storage d, uint64 deviceId)
        internal
        view
        returns (bool waiting, bool missing, address reporter)
    {
        if (m.demanded) {
            Demand[] storage list = demandsOf[c.blockNumber][deviceId];
            for (uint256 i; i < list.length; ++i) {
                Demand storage demand = list[i];
                if (demand.answered) continue;
                if (block.number <= demand.answerUntil) waiting = true;
                else if (!missing) (missing, reporter) = (true, demand.opener);
            }
        }
        if (m.status != CommitStatus.Committed) return (waiting, missing, reporter);
        // Only a seal tells whether the commit was drawn; once its block hash is out of reach, nobody was.
        if (c.sealHash == 0) return (waiting || block.number <= _sealBlock(c) + 256, missing, reporter);
        (bool isDrawn, uint64 answerUntil) = _drawn(c, m, d, deviceId);
        if (!isDrawn) return (waiting, missing, reporter);
        if (block.number <= answerUntil) return (true, missing, reporter);
        return (waiting, true, reporter);
    }

    function _isUnmeasured(Commit storage m, Profile storage p) internal view returns (bool) {
        return !m.measured || (m.elapsedMs > p.passMs && !_isTooSlow(m, p));
    }

    function _isTooSlow(Commit storage m, Profile storage p) private view returns (bool) {
        return m.elapsedMs > p.unmeasuredMs || m.elapsedMs == type(uint24).max;
    }

    /// @dev A device's rentals ascend by start and do not overlap, so the last that starts no later than the time, give or take
    ///      `slack`, covers it or none does, but for one before it within the slack.
    /// @return rentalId 0 if there is none.
    function _covering(uint64 deviceId, uint64 timestamp, uint64 slack) internal view returns (uint64 rentalId) {
        uint64[] storage ids = rentalsOfDevice[deviceId];
        uint256 after_ = ids.length;
        // The newest one is nearly always it.
        if (after_ != 0 && coverageOf[ids[after_ - 1]].start > timestamp + slack) {
            uint256 low;
            while (low < after_) {
                uint256 middle = (low + after_) / 2;
                if (coverageOf[ids[middle]].start > timestamp + slack) after_ = middle;
                else low = middle + 1;
            }
        }
        for (uint256 back = 1; back <= 2 && back <= after_; ++back) {
            uint64 id = ids[after_ - back];
            if (timestamp < coverageOf[id].end + slack) return id;
        }
    }

    // ------------------------------------------------------------------------------------------- proofs

    /// @dev Who changes the key shortly after a block still answers with the old one.
    function _requireWorker(Device storage d, Challenge storage c) internal view {
        address expected = c.timestamp > d.workerSince ? d.worker : d.previousWorker;
        if (msg.sender != expected) revert NotWorker(msg.sender, expected);
    }

    function _seed(Device storage d, bytes32 blockHash, uint64 deviceId, uint8 mode) internal view returns (bytes32) {
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

    /// @return right whether the proof opens every sample of `sampleSeed` under the committed root.
    function _verify(
        Challenge storage c,
        Commit storage m,
        uint64 deviceId,
        bytes32 sampleSeed,
        uint32 samples,
        WorkProof calldata proof
    ) internal view returns (bool right) {
        bytes32 root = keccak256(abi.encodePacked(proof.memoryRoot, proof.matmulRoots));
        if (bytes25(root) != m.root) return false;
        Device storage d = devices[deviceId];
        bytes32 seed = _seed(d, c.blockHash, deviceId, m.mode);
        return verifier.verify(_profile(d.classVersion, m.mode), seed, root, sampleSeed, samples, proof);
    }

    /// @param reporter who demanded the samples; zero for the seal and for a committee.
    function _voidWrong(Challenge storage c, Commit storage m, uint64 deviceId, address reporter) internal {
        m.status = CommitStatus.Voided;
        emit CommitVoided(c.blockNumber, deviceId, FAULT_WRONG_PROOF);
        _returnBonds(c, m, deviceId);
        _fault(c, deviceId, FAULT_WRONG_PROOF, reporter);
    }

    function _fault(Challenge storage c, uint64 deviceId, uint8 reason, address reporter) internal {
        Device storage d = devices[deviceId];
        d.faults += 1;
        reputation.recordFault(d.provider, deviceId, reason);
        address renter = coverageOf[_covering(deviceId, c.timestamp, 0)].renter;
        FaultProven memory fault = FaultProven(deviceId, c.blockNumber, reason, reporter, renter);
        _dispatch(_stakingManager, KIND_FAULT_PROVEN, abi.encode(fault));
    }

    /// @dev The commit is void: nobody owes an answer any more, and who asked in vain has its bond back.
    function _returnBonds(Challenge storage c, Commit storage m, uint64 deviceId) internal {
        if (!m.demanded) return;
        uint128 bond = _rules(c).disputeBond;
        Demand[] storage list = demandsOf[c.blockNumber][deviceId];
        for (uint256 i; i < list.length; ++i) {
            Demand storage demand = list[i];
            if (demand.answered || demand.opener == address(0)) continue;
            demand.answered = true;
            openDisputes[demand.opener] -= 1;
            _move(address(this), demand.opener, bond);
        }
    }

    function _dispatch(address recipient, uint8 kind, bytes memory fields) internal returns (uint32) {
        return _outbox.dispatch(_ethereumChainId, recipient, MessageBody.encode(kind, fields));
    }
}
