// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IProofVerifier} from "../interfaces/IProofVerifier.sol";
import {IReputationSystem} from "../interfaces/IReputationSystem.sol";
import {HeaderReader} from "../libraries/HeaderReader.sol";
import {MessageBody} from "../libraries/MessageBody.sol";
import {MODE_LIGHT, Profile, WorkParameters} from "../types/Protocol.sol";
import {WorkStore} from "./WorkStore.sol";

/// @title Challenges: how they open, what draws a commit, and what a commit amounts to
abstract contract WorkOutcome is WorkStore {
    bytes32 private constant DRAW_TAG = keccak256("gpumkt/draw/v1");
    bytes32 private constant SAMPLE_TAG = keccak256("gpumkt/sample/v1");
    /// @dev Seals made along with another call; bounds what a caller pays for others.
    uint256 private constant SEALS_PER_CALL = 4;
    /// @dev Rentals of a device, newest arrivals first, that are searched when the commit's own hint does not cover it.
    uint256 private constant RENTALS_SEARCHED = 16;

    constructor(IReputationSystem reputation_, IProofVerifier verifier_) WorkStore(reputation_, verifier_) {}

    function _drawn(uint64 challengeBlock, uint64 deviceId) internal view returns (bool isDrawn, uint64 answerUntil) {
        Challenge storage c = _challenge(challengeBlock);
        Commit storage m = commits[challengeBlock][deviceId];
        if (m.status == CommitStatus.None || c.sealHash == 0) return (false, 0);
        isDrawn = _isUnmeasured(m, _profile(_device(deviceId).classVersion, m.mode))
            || uint256(_hashSeal(DRAW_TAG, c, deviceId)) % _rules(c).proofRate == 0;
        answerUntil = isDrawn ? _sealBlock(c) + _rules(c).answerWindow : 0;
    }

    function _outcome(uint64 index, uint64 deviceId) internal view returns (Outcome) {
        if (index >= challenges.length) revert WrongHint(index);
        Device storage d = _device(deviceId);
        Challenge storage c = challenges[index];
        WorkParameters storage rules = _rules(c);
        if (block.number <= c.blockNumber + rules.commitWindow + rules.disputeWindow) return Outcome.Pending;
        Commit storage m = commits[c.blockNumber][deviceId];
        if (m.status == CommitStatus.None || m.status == CommitStatus.Voided) return Outcome.Missed;
        if (m.status == CommitStatus.Committed) {
            // Only a seal tells whether the commit was drawn; once its block hash is out of reach, nobody was.
            if (c.sealHash == 0 && block.number <= _sealBlock(c) + 256) return Outcome.Pending;
            (bool isDrawn, uint64 answerUntil) = _drawn(c.blockNumber, deviceId);
            if (isDrawn) return block.number <= answerUntil ? Outcome.Pending : Outcome.Missed;
        }
        Profile storage p = _profile(d.classVersion, m.mode);
        if (m.measured && m.elapsedMs > p.unmeasuredMs) return Outcome.Missed;
        if (m.mode == MODE_LIGHT && _covering(m.rentalId, deviceId, c.timestamp, rules.modeSlack) == 0) {
            // The terms may still be on their way over the bridge.
            return block.timestamp <= c.timestamp + rules.bridgeMax ? Outcome.Pending : Outcome.Missed;
        }
        return _isUnmeasured(m, p) ? Outcome.Unmeasured : Outcome.Passed;
    }

    function _sampleSeed(Challenge storage c, uint64 deviceId) internal view returns (bytes32) {
        return _hashSeal(SAMPLE_TAG, c, deviceId);
    }

    function _open(uint64 blockNumber, bytes calldata header) internal returns (uint64 index) {
        uint64 current = uint64(block.number);
        WorkParameters storage rules = _current();
        if (blockNumber >= current || current > blockNumber + rules.commitWindow / 2) {
            revert OutsideWindow(blockNumber, current);
        }
        uint256 length = challenges.length;
        if (length != 0) {
            uint64 previous = challenges[length - 1].blockNumber;
            if (blockNumber < previous + rules.beaconSpacing) revert TooCloseToPrevious(blockNumber, previous);
        }
        bytes32 hash = blockhash(blockNumber);
        if (!_isChallengeBlock(hash)) revert NotChallengeBlock(blockNumber);
        bytes32 actual = keccak256(header);
        if (actual != hash) revert HeaderMismatch(hash, actual);
        uint64 timestamp = HeaderReader.timestamp(header);
        index = uint64(length);
        challenges.push(Challenge(blockNumber, timestamp, _parametersVersion, _queenEpoch, hash, 0));
        challengeIndex[blockNumber] = index + 1;
        emit ChallengeOpened(index, blockNumber, hash, timestamp);
        _sealDue();
    }

    /// @dev Seals what can be sealed, in order; what nobody sealed in time stays unsealed and is passed over.
    function _sealDue() internal {
        uint64 cursor = sealCursor;
        uint256 length = challenges.length;
        for (uint256 done; cursor < length && done < SEALS_PER_CALL; ++done) {
            Challenge storage c = challenges[cursor];
            if (c.sealHash == 0) {
                uint64 sealBlock = _sealBlock(c);
                if (block.number <= sealBlock) break;
                bytes32 hash = blockhash(sealBlock);
                if (hash != 0) _recordSeal(c, hash);
            }
            ++cursor;
        }
        sealCursor = cursor;
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

    function _isUnmeasured(Commit storage m, Profile storage p) internal view returns (bool) {
        if (!m.measured) return true;
        return m.elapsedMs > p.passMs && m.elapsedMs <= p.unmeasuredMs;
    }

    /// @dev The commit's own rental is looked at first: its provider has every reason to name the right one.
    /// @return rentalId a rental of the device that covers the time, give or take `slack` seconds; 0 if there is none.
    function _covering(uint64 hint, uint64 deviceId, uint64 timestamp, uint64 slack) internal view returns (uint64 rentalId) {
        if (_covers(coverageOf[hint], deviceId, timestamp, slack)) return hint;
        uint64[] storage ids = rentalsOfDevice[deviceId];
        uint256 length = ids.length;
        uint256 first = length > RENTALS_SEARCHED ? length - RENTALS_SEARCHED : 0;
        for (uint256 i = length; i > first; --i) {
            if (_covers(coverageOf[ids[i - 1]], deviceId, timestamp, slack)) return ids[i - 1];
        }
    }

    function _covers(Coverage storage v, uint64 deviceId, uint64 timestamp, uint64 slack) private view returns (bool) {
        return v.deviceId == deviceId && timestamp + slack >= v.start && timestamp < v.end + slack;
    }

    function _recordSeal(Challenge storage c, bytes32 hash) private {
        c.sealHash = hash;
        emit ChallengeSealed(c.blockNumber, hash);
    }

    function _hashSeal(bytes32 tag, Challenge storage c, uint64 deviceId) private view returns (bytes32) {
        return keccak256(abi.encode(tag, c.sealHash, c.blockNumber, deviceId));
    }

    function _dispatch(address recipient, uint8 kind, bytes memory fields) internal returns (uint32) {
        return _outbox.dispatch(_ethereumChainId, recipient, MessageBody.encode(kind, fields));
    }
}
