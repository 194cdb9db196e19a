// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Test, Vm} from "forge-std/Test.sol";

import {IInbox, IKingSet, IOutbox} from "../../src/interfaces/IBridge.sol";
import {IGPURental, IRental} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {IReputationSystem} from "../../src/interfaces/IReputationSystem.sol";
import {IStaking, IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {IWork, IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {
    Checkpoint,
    ClassProfile,
    CommitInput,
    Message,
    Profile,
    Quorum,
    ReceiptSignature,
    WorkParameters,
    WorkProof,
    WorkReceipt
} from "../../src/types/Protocol.sol";
import {CHEATS} from "./Cheats.sol";
import {KernelReference} from "./KernelReference.sol";
import {KingSetArguments} from "./KingSetArguments.sol";
import {TreeReference} from "./TreeReference.sol";

interface IToken {
    function approve(address spender, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function burn(uint256 amount) external;
    function cap() external view returns (uint256);
    function delegate(address to) external;
    function getPastVotes(address account, uint256 timepoint) external view returns (uint256);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function mint(address to, uint256 amount) external;
    function nonces(address owner) external view returns (uint256);
    function totalMinted() external view returns (uint256);
    function totalSupply() external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
    function wire(address minter) external;
}

interface IDistributor is ITokenDistributor {
    function wire(address rental, address staking) external;
}

interface IWiring {
    function transferOwnership(address owner) external;
    function wire(address inbox, address outbox, uint64 chainId, address workVerification) external;
    function wire(address inbox, address outbox, uint64 chainId, address[4] calldata senders) external;
    function wire(address workVerification) external;
}

interface IRentalTotals {
    function setCourt(address court) external;
    function setParameters(IGPURental.Parameters calldata parameters) external;
    function setSafeguards(IGPURental.Safeguards calldata safeguards) external;
    function totalCredit() external view returns (uint256);
    function totalHeld() external view returns (uint256);
    function totalReserve() external view returns (uint256);
}

interface IStakingAdmin {
    function wire(address inbox, address outbox, uint64 chainId, address workVerification, address distributor, address rental)
        external;
}

interface IWorkDigest {
    function receiptDigest(WorkReceipt calldata receipt) external view returns (bytes32);
    function sampleSeed(uint64 challengeBlock, uint64 deviceId) external view returns (bytes32);
}

/// @title Both chains on one EVM: `onEthereum` and `onClassic` switch the chain id
/// @dev Contracts are deployed from artifacts, each compiled for its own EVM. Block hashes are set, so challenges and draws are
///      whatever a test needs.
abstract contract World is Test {
    uint64 internal constant ETHEREUM = 31_337;
    uint64 internal constant CLASSIC = 61_613;
    uint256 internal constant KINGS = 4;
    uint32 internal constant CLASS = 1;
    uint256 internal constant UNIT = 1e18;
    uint128 internal constant PRICE = 1e15;
    ITokenDistributor.Category internal constant TEAM = ITokenDistributor.Category.Team;
    ITokenDistributor.Category internal constant COMMUNITY = ITokenDistributor.Category.Community;

    IToken internal token;
    IDistributor internal distributor;
    IStaking internal staking;
    IRental internal rental;
    IRentalCourt internal court;
    IOutbox internal ethOutbox;
    IInbox internal ethInbox;
    IOutbox internal etcOutbox;
    IInbox internal etcInbox;
    IWork internal work;
    IReputationSystem internal reputation;
    address internal ethKingSet;

    uint256[] internal kingKeys;
    bytes32[] internal members;
    uint256[] internal queenKeys;
    address internal owner = makeAddr("owner");
    address internal provider = makeAddr("provider");
    address internal operator = makeAddr("operator");
    address internal worker = makeAddr("worker");
    address internal relay = makeAddr("relay");
    address internal renter;
    uint256 internal renterKey;
    address internal sessionKey;
    uint256 internal sessionSecret;

    mapping(address outbox => Message[]) internal sent;
    mapping(address outbox => bytes32[]) internal ids;
    mapping(address outbox => uint256) internal relayed;
    uint64 internal checkpointBlock;

    function setUp() public virtual {
        vm.roll(1000);
        vm.warp(999_990);
        (renter, renterKey) = makeAddrAndKey("renter");
        (sessionKey, sessionSecret) = makeAddrAndKey("session");
        _makeKeys();
        _deployEthereum();
        _deployClassic();
        _wire();
        vm.recordLogs();
    }

    function onEthereum() internal {
        vm.chainId(ETHEREUM);
    }

    function onClassic() internal {
        vm.chainId(CLASSIC);
    }

    // ------------------------------------------------------------------------------------------ deploy

    function _makeKeys() internal {
        for (uint256 i; i < KINGS; ++i) {
            kingKeys.push(uint256(keccak256(abi.encode("king", i))));
        }
        for (uint256 i; i < KINGS; ++i) {
            for (uint256 j = i + 1; j < KINGS; ++j) {
                if (vm.addr(kingKeys[j]) < vm.addr(kingKeys[i])) (kingKeys[i], kingKeys[j]) = (kingKeys[j], kingKeys[i]);
            }
            members.push(bytes32((uint256(uint160(vm.addr(kingKeys[i]))) << 96) | 100));
        }
        for (uint256 i; i < 3; ++i) {
            queenKeys.push(uint256(keccak256(abi.encode("queen", i))));
        }
    }

    function _deployEthereum() private {
        onEthereum();
        token = IToken(deployCode("GPUToken.sol:GPUToken", abi.encode(1e9 * UNIT)));
        distributor = IDistributor(_deployDistributor());
        token.wire(address(distributor));
        ITokenDistributor.Allocation[] memory allocations = new ITokenDistributor.Allocation[](3);
        allocations[0] = ITokenDistributor.Allocation(provider, uint128(1e6 * UNIT), 0, 0, 0, false, COMMUNITY);
        allocations[1] = ITokenDistributor.Allocation(renter, uint128(1e6 * UNIT), 0, 0, 0, false, COMMUNITY);
        allocations[2] = ITokenDistributor.Allocation(owner, uint128(1e6 * UNIT), 1_000_000, 100, 1000, true, TEAM);
        distributor.genesis(allocations);
        ethOutbox = IOutbox(deployCode("Outbox.sol:Outbox"));
        IStakingManager.ClassStake[] memory classes = new IStakingManager.ClassStake[](1);
        classes[0] = IStakingManager.ClassStake(CLASS, uint128(500 * UNIT));
        address pools = deployCode("StakingPools.sol:StakingPools", abi.encode(token));
        bytes memory stakingArguments = abi.encode(token, address(this), _stakingParameters(), classes, pools);
        staking = IStaking(deployCode("StakingManager.sol:StakingManager", stakingArguments));
        address terms = deployCode("GPURentalTerms.sol:GPURentalTerms", abi.encode(token, staking, distributor));
        bytes memory arguments = abi.encode(token, staking, distributor, address(this), _rentalParameters(), terms);
        rental = IRental(deployCode("GPURental.sol:GPURental", arguments));
        distributor.wire(address(rental), address(staking));
        court = IRentalCourt(
            deployCode("RentalCourt.sol:RentalCourt", abi.encode(token, staking, rental, address(this), _courtParameters()))
        );
        IRentalTotals(address(rental)).setCourt(address(court));
    }

    /// @dev Genesis 3 million, an emission of at most 40 million; nothing is emitted until a test starts it.
    function _deployDistributor() private returns (address) {
        ITokenDistributor.Emission memory e = ITokenDistributor.Emission(uint128(1e6 * UNIT), 9750);
        ITokenDistributor.RewardParameters memory p = ITokenDistributor.RewardParameters(3000, 1000, 1000, 5000, 5000);
        ITokenDistributor.LoyaltyTier[] memory tiers = new ITokenDistributor.LoyaltyTier[](2);
        tiers[0] = ITokenDistributor.LoyaltyTier(0, 1000);
        tiers[1] = ITokenDistributor.LoyaltyTier(uint128(UNIT), 3000);
        bytes memory arguments = abi.encode(token, address(this), 3e6 * UNIT, e, p, tiers);
        return deployCode("TokenDistributor.sol:TokenDistributor", arguments);
    }

    function _deployClassic() private {
        onClassic();
        etcOutbox = IOutbox(deployCode("Outbox.sol:Outbox"));
        (, etcInbox) = _deployInbox(etcOutbox, ETHEREUM, ethOutbox, address(0), address(0));
        address verifier = deployCode("ProofVerifier.sol:ProofVerifier");
        reputation = IReputationSystem(deployCode("ReputationSystem.sol:ReputationSystem", abi.encode(100, 1e6)));
        ClassProfile[] memory classes = new ClassProfile[](1);
        classes[0] = ClassProfile(CLASS, uint128(500 * UNIT), _profile(100), _profile(50));
        address[] memory queens = new address[](queenKeys.length);
        for (uint256 i; i < queens.length; ++i) {
            queens[i] = vm.addr(queenKeys[i]);
        }
        address disputes = deployCode("WorkDisputes.sol:WorkDisputes", abi.encode(reputation, verifier));
        address settlement = deployCode("WorkSettlement.sol:WorkSettlement", abi.encode(reputation, verifier, disputes));
        bytes memory arguments = abi.encode(_workParameters(), classes, queens, reputation, verifier, settlement);
        work = IWork(deployCode("WorkVerification.sol:WorkVerification", arguments));
        onEthereum();
        (ethKingSet, ethInbox) = _deployInbox(ethOutbox, CLASSIC, etcOutbox, address(staking), address(this));
    }

    function _deployInbox(IOutbox near, uint64 farChain, IOutbox far, address stakes, address governor)
        private
        returns (address kings, IInbox inbox)
    {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        KingSetArguments.Ends memory ends = KingSetArguments.Ends(next, address(near), farChain, address(far), stakes);
        uint64 expiry = uint64(block.timestamp) + KingSetArguments.LIFETIME;
        kings = deployCode("KingSet.sol:KingSet", KingSetArguments.encode(members, expiry, ends));
        inbox = IInbox(deployCode("Inbox.sol:Inbox", abi.encode(farChain, far, kings, near, governor)));
    }

    function _wire() private {
        IStakingAdmin(address(staking))
            .wire(address(ethInbox), address(ethOutbox), CLASSIC, address(work), address(distributor), address(rental));
        IWiring(address(rental)).wire(address(ethInbox), address(ethOutbox), CLASSIC, address(work));
        IWiring(address(reputation)).wire(address(work));
        address[4] memory senders = [address(staking), address(rental), _timelock(), address(court)];
        IWiring(address(work)).wire(address(etcInbox), address(etcOutbox), ETHEREUM, senders);
    }

    /// @dev Whose word on parameters Ethereum Classic takes; the token and the stakes are deployed.
    function _timelock() internal virtual returns (address) {
        return address(this);
    }

    /// @dev A fault burns all it takes, unless a test says otherwise.
    function _stakingParameters() internal pure virtual returns (IStakingManager.Parameters memory p) {
        p.minimumProviderStake = uint128(1000 * UNIT);
        p.minimumQueenStake = uint128(5000 * UNIT);
        p.minimumKingStake = uint128(10_000 * UNIT);
        p.missingAnswerPenalty = uint128(20 * UNIT);
        p.unbondingPeriod = 1 days;
        p.passFreshness = 1 days;
        p.queenSetInterval = 1 hours;
        p.queenSetMinimum = 3;
        p.voteSlashCapBps = 1000;
        p.burnBps = 10_000;
    }

    function _rentalParameters() internal pure virtual returns (IGPURental.Parameters memory) {
        return IGPURental.Parameters(500, 1e15, 2e15, 60, 120, 60, 1 days, 2 days);
    }

    function _courtParameters() internal pure virtual returns (IRentalCourt.Parameters memory) {
        return IRentalCourt.Parameters(uint128(100 * UNIT), uint128(10 * UNIT), 3, 2, 2 days, 1 hours);
    }

    /// @dev Beacon period 1: every block is a challenge block, so a test chooses which ones to open.
    function _workParameters() internal pure virtual returns (WorkParameters memory p) {
        p.beaconPeriod = 1;
        p.beaconSpacing = 6;
        p.commitWindow = 8;
        p.disputeWindow = 4;
        p.answerWindow = 16;
        p.proofRate = 1;
        p.proofSamples = 1;
        p.committeeSize = 3;
        p.shardSize = 3;
        p.minOwners = 20;
        p.maxPerCall = 16;
        p.modeSlack = 3;
        p.bridgeMax = 30;
        p.graceWindow = 1000;
        p.capWindow = 2;
        p.valueCap = uint128(1e6 * UNIT);
        p.gasPriceCap = 1e9;
        p.answerGas = 1_000_000;
        p.blockGas = 8_000_000;
        p.disputeBond = 1.2e15;
        p.openDisputes = 4;
    }

    function _profile(uint32 referenceMs) internal pure virtual returns (Profile memory) {
        return Profile(32_768, 1, 1, 4096, 1, 1, 8, 32, 1, referenceMs, referenceMs * 2, referenceMs * 4);
    }

    // ------------------------------------------------------------------------------------------ bridge

    /// @dev Takes the messages dispatched since the last call out of the recorded logs.
    function collect() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IOutbox.MessageDispatched.selector) continue;
            (uint64 destination, address recipient, bytes memory body) = abi.decode(logs[i].data, (uint64, address, bytes));
            address from = logs[i].emitter;
            uint64 origin = destination == CLASSIC ? ETHEREUM : CLASSIC;
            address sender = address(uint160(uint256(logs[i].topics[3])));
            sent[from].push(Message(uint32(uint256(logs[i].topics[1])), origin, sender, destination, recipient, body));
            ids[from].push(logs[i].topics[2]);
        }
    }

    function checkpointOf(IOutbox outbox) internal returns (Checkpoint memory c) {
        c.originChainId = outbox == ethOutbox ? ETHEREUM : CLASSIC;
        c.outbox = address(outbox);
        c.setEpoch = 1;
        c.root = outbox.root();
        c.count = outbox.count();
        c.blockNumber = ++checkpointBlock;
        c.blockTimestamp = uint64(block.timestamp);
    }

    function sign(Checkpoint memory c, uint256 bitmap) internal view returns (Quorum memory q) {
        bytes32 digest = IKingSet(ethKingSet).checkpointDigest(c);
        q.members = members;
        q.signerBitmap = bitmap;
        for (uint256 i; i < KINGS; ++i) {
            if ((bitmap >> i) & 1 == 0) continue;
            (bytes32 r, bytes32 vs) = vm.signCompact(kingKeys[i], digest);
            q.signatures = abi.encodePacked(q.signatures, r, vs);
        }
    }

    /// @dev One checkpoint, then every message that was not relayed yet, as a relay does.
    function relayAll(IOutbox outbox) internal {
        collect();
        if (outbox == ethOutbox) onClassic();
        else onEthereum();
        IInbox inbox = outbox == ethOutbox ? etcInbox : ethInbox;
        uint256 first = relayed[address(outbox)];
        uint256 length = sent[address(outbox)].length - first;
        Message[] memory messages = new Message[](length);
        bytes32[32][] memory proofs = new bytes32[32][](length);
        for (uint256 i; i < length; ++i) {
            messages[i] = sent[address(outbox)][first + i];
            (, proofs[i]) = TreeReference.open(ids[address(outbox)], first + i);
        }
        Checkpoint memory c = checkpointOf(outbox);
        Quorum memory q = sign(c, 7);
        vm.prank(relay);
        inbox.submitAndDeliver(c, q, messages, proofs);
        relayed[address(outbox)] = first + length;
    }

    // ------------------------------------------------------------------------------------------ people

    function stakeAs(address account, IStakingManager.Role role, uint256 amount, address hotKey) internal {
        onEthereum();
        vm.startPrank(account);
        token.approve(address(staking), amount);
        staking.stake(role, amount, hotKey, keccak256(abi.encode(hotKey)));
        vm.stopPrank();
    }

    function registerDevice() internal returns (uint64 deviceId) {
        stakeAs(provider, IStakingManager.Role.Provider, 2000 * UNIT, operator);
        vm.prank(operator);
        deviceId = staking.registerDevice(CLASS, worker);
        relayAll(ethOutbox);
    }

    function makeOffer(uint64 deviceId) internal returns (uint64 offerId) {
        onEthereum();
        vm.prank(operator);
        offerId = rental.createOffer(deviceId, PRICE, 60, 3600, "eu", "{}");
    }

    function rentAs(address account, uint64 offerId, uint32 duration) internal returns (uint64 rentalId) {
        onEthereum();
        (,,,, uint256 total) = rental.quote(offerId, duration);
        vm.startPrank(account);
        token.approve(address(rental), total);
        rentalId = rental.rent(offerId, duration, sessionKey, total);
        vm.stopPrank();
    }

    function readyAs(uint64 rentalId) internal {
        onEthereum();
        vm.prank(operator);
        rental.ready(rentalId);
    }

    function openSession(uint64 rentalId) internal {
        onEthereum();
        uint64 time = uint64(block.timestamp);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(sessionSecret, rental.sessionOpenedDigest(rentalId, time));
        rental.sessionOpened(rentalId, time, abi.encodePacked(r, s, v));
    }

    // -------------------------------------------------------------------------------------- challenges

    /// @dev An RLP header whose 12th field is `time`.
    function headerOf(uint64 blockNumber, uint64 time) internal pure returns (bytes memory) {
        bytes memory word = abi.encodePacked(bytes1(0xa0), keccak256(abi.encode(blockNumber)));
        bytes memory fields = abi.encodePacked(word, word, hex"94", bytes20(0), word, word, word);
        fields = abi.encodePacked(fields, hex"b90100", new bytes(256), hex"83020000");
        fields = abi.encodePacked(fields, hex"88", blockNumber, hex"837a1200", hex"80", hex"88", time);
        fields = abi.encodePacked(fields, hex"8361626f", word, hex"880000000000000001");
        return abi.encodePacked(hex"f9", uint16(fields.length), fields);
    }

    /// @dev Makes the previous block a challenge block with the current time, and opens it.
    function openChallenge() internal returns (uint64 blockNumber, bytes32 hash) {
        onClassic();
        blockNumber = uint64(block.number) - 1;
        bytes memory header = headerOf(blockNumber, uint64(block.timestamp));
        hash = keccak256(header);
        CHEATS.setBlockhash(blockNumber, hash);
        work.open(blockNumber, header);
    }

    /// @dev The hash that will seal a challenge; tests know it ahead of time, the protocol's users don't.
    function sealHashOf(uint64 blockNumber) internal pure returns (bytes32) {
        return keccak256(abi.encode("seal", blockNumber));
    }

    function proofFor(uint64 blockNumber, bytes32 hash, uint64 deviceId, uint8 mode)
        internal
        view
        returns (bytes32 root, WorkProof memory proof)
    {
        bytes32 sampleSeed = keccak256(abi.encode(keccak256("gpumkt/sample/v1"), sealHashOf(blockNumber), blockNumber, deviceId));
        ClassProfile memory c = work.classProfile(CLASS);
        return KernelReference.build(mode == 1 ? c.full : c.light, work.seedOf(hash, deviceId, mode), sampleSeed);
    }

    function receiptsFor(CommitInput memory input, uint32 elapsedMs, uint256 count)
        internal
        view
        returns (ReceiptSignature[] memory receipts)
    {
        uint16[] memory committee = work.committee(input.blockHash, input.deviceId);
        receipts = new ReceiptSignature[](count);
        for (uint256 i; i < count; ++i) {
            WorkReceipt memory receipt = WorkReceipt(input.challengeBlock, input.deviceId, input.blockHash, input.root, elapsedMs);
            (bytes32 r, bytes32 vs) = vm.signCompact(queenKeys[committee[i]], IWorkDigest(address(work)).receiptDigest(receipt));
            receipts[i] = ReceiptSignature(committee[i], elapsedMs, r, vs);
        }
    }

    function commitAs(uint64 blockNumber, bytes32 hash, uint64 deviceId, uint8 mode, uint64 rentalId, uint32 elapsedMs)
        internal
        returns (WorkProof memory proof)
    {
        onClassic();
        CommitInput memory input;
        (input.root, proof) = proofFor(blockNumber, hash, deviceId, mode);
        input.challengeBlock = blockNumber;
        input.deviceId = deviceId;
        input.mode = mode;
        input.rentalId = rentalId;
        input.blockHash = hash;
        ReceiptSignature[] memory receipts = receiptsFor(input, elapsedMs, 3);
        vm.prank(worker);
        work.commit(input, receipts, "");
    }

    function sealAndProve(uint64 blockNumber, uint64 deviceId, WorkProof memory proof) internal {
        onClassic();
        vm.roll(blockNumber + 10);
        CHEATS.setBlockhash(blockNumber + 9, sealHashOf(blockNumber));
        vm.prank(worker);
        work.prove(blockNumber, deviceId, proof);
    }

    /// @dev A whole challenge, from its block to the end of its windows; time passes at 13 s a block.
    function passChallenge(uint64 deviceId, uint8 mode, uint64 rentalId) internal returns (uint64 blockNumber) {
        bytes32 hash;
        (blockNumber, hash) = openChallenge();
        WorkProof memory proof = commitAs(blockNumber, hash, deviceId, mode, rentalId, 60);
        sealAndProve(blockNumber, deviceId, proof);
        vm.roll(blockNumber + 14);
    }

    /// @dev A challenge that the device lets pass.
    function missChallenge() internal returns (uint64 blockNumber) {
        (blockNumber,) = openChallenge();
        vm.roll(blockNumber + 14);
    }

    /// @dev A registered device with a full pass that Ethereum knows of.
    function freshDevice() internal returns (uint64 deviceId) {
        deviceId = registerDevice();
        passChallenge(deviceId, 1, 0);
        work.reportDevice(deviceId);
        relayAll(etcOutbox);
        vm.warp(1_000_000);
    }
}
