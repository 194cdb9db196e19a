// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IKingSet} from "../../src/interfaces/IBridge.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {Checkpoint, KingSetRotation, Quorum} from "../../src/types/Protocol.sol";
import {KingSetArguments} from "../utils/KingSetArguments.sol";
import {World} from "../utils/World.sol";

interface IOtherKings {
    function kingSet() external view returns (IKingSet);
}

/// @dev Rotation where the stakes are: what is nominated is what StakingManager says, and the same signatures rotate both chains.
contract KingSetTest is World {
    uint64 private constant NOW = 2_000_000;
    IKingSet private kings;
    IKingSet private classicKings;
    uint256[] private stakerKeys;
    mapping(address key => uint256) private secretOf;

    function setUp() public override {
        super.setUp();
        onEthereum();
        kings = IKingSet(ethKingSet);
        classicKings = IOtherKings(address(etcInbox)).kingSet();
        vm.warp(NOW);
        for (uint256 i; i < 5; ++i) {
            _stakeKing(i, 20_000 + i);
        }
    }

    function test_bothChainsNameTheSameBridge() public view {
        assertEq(kings.bridgeId(), classicKings.bridgeId());
        bytes32 id = keccak256(abi.encode(uint256(ETHEREUM), ethOutbox, uint256(CLASSIC), etcOutbox));
        assertEq(kings.bridgeId(), id);
    }

    function test_nominatedIsWhatTheStakesSay() public {
        bytes32[] memory expected = _expected(5);
        bytes32 hash = keccak256(abi.encodePacked(expected));
        vm.expectEmit();
        emit IKingSet.KingSetNominated(2, hash, expected, NOW, NOW + KingSetArguments.LIFETIME);
        KingSetRotation memory r = kings.nominate();
        assertEq(r.bridge, kings.bridgeId());
        assertEq(r.setEpoch, 2);
        assertEq(r.setHash, hash);
        assertEq(r.nominatedAt, NOW);
        assertEq(r.expiresAt, NOW + KingSetArguments.LIFETIME);
    }

    /// @dev The 21 highest stakes, whatever the order they came in.
    function test_noMoreThanTwentyOneAreNominated() public {
        for (uint256 i = 5; i < 25; ++i) {
            _stakeKing(i, 20_000 + (i * 7) % 25);
        }
        KingSetRotation memory r = kings.nominate();
        bytes32[] memory expected = _expected(21);
        assertEq(expected.length, 21);
        assertEq(r.setHash, keccak256(abi.encodePacked(expected)));
    }

    function test_fewerThanFourAreNoSet() public {
        for (uint256 i; i < 2; ++i) {
            address account = vm.addr(stakerKeys[i]);
            vm.startPrank(account);
            staking.requestUnstake((20_000 + i) * UNIT);
            vm.stopPrank();
        }
        vm.expectRevert(abi.encodeWithSelector(IKingSet.TooFewMembers.selector, 3, 4));
        kings.nominate();
    }

    function test_oneSetOfSignaturesRotatesBothChains() public {
        KingSetRotation memory r = kings.nominate();
        bytes32[] memory next = _expected(5);
        Quorum memory q = _quorum(kings.rotationDigest(r));
        kings.rotate(r, next, q);
        onClassic();
        classicKings.rotate(r, next, q);
        assertEq(kings.setHash(2), classicKings.setHash(2));
        assertEq(classicKings.currentEpoch(), 2);

        // The new Kings, by the weight of their stakes.
        onEthereum();
        ethOutbox.dispatch(CLASSIC, address(1), "x");
        Checkpoint memory c = checkpointOf(ethOutbox);
        c.setEpoch = 2;
        members = next;
        delete kingKeys;
        for (uint256 i; i < 5; ++i) {
            kingKeys.push(secretOf[address(uint160(uint256(next[i]) >> 96))]);
        }
        Quorum memory few = _signed(kings.checkpointDigest(c), 7);
        Quorum memory enough = _signed(kings.checkpointDigest(c), 15);
        onClassic();
        vm.expectPartialRevert(IKingSet.QuorumNotReached.selector);
        etcInbox.submitCheckpoint(c, few);
        etcInbox.submitCheckpoint(c, enough);
        assertEq(etcInbox.acceptedCount(c.root), 1);
    }

    /// @dev More stake after the nomination changes nothing: nobody can keep a rotation from being installed.
    function test_stakesMayMoveAfterTheNomination() public {
        KingSetRotation memory r = kings.nominate();
        bytes32[] memory next = _expected(5);
        _stakeKing(9, 90_000);
        kings.rotate(r, next, _quorum(kings.rotationDigest(r)));
        assertEq(kings.currentEpoch(), 2);
    }

    function test_onlyTheNominatedSetIsInstalled() public {
        KingSetRotation memory r = kings.nominate();
        bytes32 nominated = _hash(r);
        bytes32[] memory next = _expected(5);
        next[0] = bytes32(uint256(next[0]) + 1);
        r.setHash = keccak256(abi.encodePacked(next));
        Quorum memory q = _quorum(kings.rotationDigest(r));
        vm.expectRevert(abi.encodeWithSelector(IKingSet.NotNominated.selector, nominated, _hash(r)));
        kings.rotate(r, next, q);
    }

    function test_nothingIsInstalledWithoutANomination() public {
        bytes32[] memory next = _expected(5);
        KingSetRotation memory r =
            KingSetRotation(kings.bridgeId(), 2, keccak256(abi.encodePacked(next)), NOW, NOW + KingSetArguments.LIFETIME);
        Quorum memory q = _quorum(kings.rotationDigest(r));
        vm.expectRevert(abi.encodeWithSelector(IKingSet.NotNominated.selector, bytes32(0), _hash(r)));
        kings.rotate(r, next, q);
    }

    /// @dev Whoever brought a rotation to the other chain at the last moment leaves a whole window to bring it here.
    function test_theChainOfTheStakesWaitsAnotherWindow() public {
        KingSetRotation memory r = kings.nominate();
        bytes32[] memory next = _expected(5);
        Quorum memory q = _quorum(kings.rotationDigest(r));
        uint64 closes = NOW + 2 * KingSetArguments.WINDOW;
        vm.warp(closes);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.NominationTooEarly.selector, closes + 1));
        kings.nominate();
        uint256 clean = vm.snapshotState();
        kings.rotate(r, next, q);
        vm.revertToState(clean);
        vm.warp(closes + 1);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.NominationClosed.selector, NOW, closes));
        kings.rotate(r, next, q);
        assertEq(kings.nominate().nominatedAt, closes + 1);
    }

    function test_nominationsKeepTheirDistance() public {
        KingSetRotation memory r = kings.nominate();
        kings.rotate(r, _expected(5), _quorum(kings.rotationDigest(r)));
        uint64 next = NOW + KingSetArguments.DELAY;
        vm.warp(next - 1);
        vm.expectRevert(abi.encodeWithSelector(IKingSet.NominationTooEarly.selector, next));
        kings.nominate();
        vm.warp(next);
        assertEq(kings.nominate().setEpoch, 3);
    }

    // ---------------------------------------------------------------------------------------- helpers

    function _stakeKing(uint256 number, uint256 amount) private {
        uint256 secret = uint256(keccak256(abi.encode("staker", number)));
        address account = vm.addr(secret);
        stakerKeys.push(secret);
        secretOf[account] = secret;
        vm.prank(renter);
        token.transfer(account, amount * UNIT);
        stakeAs(account, IStakingManager.Role.King, amount * UNIT, account);
    }

    /// @dev From the stakes themselves: sorted by stake, cut, packed, sorted by address.
    function _expected(uint256 limit) private view returns (bytes32[] memory packed) {
        uint256 length = stakerKeys.length;
        address[] memory accounts = new address[](length);
        for (uint256 i; i < length; ++i) {
            accounts[i] = vm.addr(stakerKeys[i]);
        }
        for (uint256 i; i < length; ++i) {
            for (uint256 j = i + 1; j < length; ++j) {
                (uint256 a, uint256 b) = (staking.staker(accounts[i]).staked, staking.staker(accounts[j]).staked);
                if (b > a || (b == a && accounts[j] < accounts[i])) (accounts[i], accounts[j]) = (accounts[j], accounts[i]);
            }
        }
        if (limit > length) limit = length;
        packed = new bytes32[](limit);
        for (uint256 i; i < limit; ++i) {
            packed[i] = bytes32((uint256(uint160(accounts[i])) << 96) | (staking.staker(accounts[i]).staked / UNIT));
        }
        for (uint256 i; i < limit; ++i) {
            for (uint256 j = i + 1; j < limit; ++j) {
                if (packed[j] < packed[i]) (packed[i], packed[j]) = (packed[j], packed[i]);
            }
        }
    }

    function _hash(KingSetRotation memory r) private pure returns (bytes32) {
        bytes32 typehash =
            keccak256("KingSetRotation(bytes32 bridge,uint64 setEpoch,bytes32 setHash,uint64 nominatedAt,uint64 expiresAt)");
        return keccak256(abi.encode(typehash, r));
    }

    function _quorum(bytes32 digest) private view returns (Quorum memory) {
        return _signed(digest, 7);
    }

    function _signed(bytes32 digest, uint256 bitmap) private view returns (Quorum memory q) {
        q.members = members;
        q.signerBitmap = bitmap;
        for (uint256 i; i < kingKeys.length; ++i) {
            if ((bitmap >> i) & 1 == 0) continue;
            (bytes32 r, bytes32 vs) = vm.signCompact(kingKeys[i], digest);
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }
}
