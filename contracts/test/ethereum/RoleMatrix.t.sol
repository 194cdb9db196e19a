// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Vm} from "forge-std/Vm.sol";

import {IMessageRecipient} from "../../src/interfaces/IBridge.sol";
import {IGPURental, IRentalCourse, IRentalTerms} from "../../src/interfaces/IGPURental.sol";
import {IRentalCourt} from "../../src/interfaces/IRentalCourt.sol";
import {IStakePools, IStakes, IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {Checkpoint, Message, Quorum} from "../../src/types/Protocol.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";
import {RoleMatrix} from "../utils/RoleMatrix.sol";
import {IRentalTotals} from "../utils/World.sol";

interface IOwned {
    function transferOwnership(address owner) external;
    function renounceOwnership() external;
}

interface ICourtOwner {
    function setParameters(IRentalCourt.Parameters calldata parameters) external;
}

/// @dev Every function of the money contracts that changes anything, called by every kind of caller.
contract RoleMatrixTest is RentalWorld, RoleMatrix {
    uint256 private constant OWNER = 1;
    uint256 private constant PROVIDER = 2;
    uint256 private constant OPERATOR = 4;
    uint256 private constant RENTER = 8;
    uint256 private constant DELEGATE = 16;
    uint256 private constant QUEEN = 32;
    uint256 private constant KING = 64;
    uint256 private constant WORKER = 128;
    uint256 private constant INBOX = 256;
    uint256 private constant COURT = 512;
    uint256 private constant STRANGER = 1024;
    uint256 private constant ANYBODY = 2047;

    uint64 private id;
    uint256 private caseId;

    function setUp() public override {
        super.setUp();
        _seatQueens(1);
        id = _active(600);
        vm.prank(renter);
        rental.setDelegate(id, delegate);
        address queen = vm.addr(judgeKeys[0]);
        address king = makeAddr("king");
        address inbox = address(ethInbox);
        callers = [address(this), provider, operator, renter, delegate, queen, king, worker, inbox, address(court), relay];
        vm.prank(renter);
        token.transfer(king, 10_000 * UNIT);
        stakeAs(king, IStakingManager.Role.King, 10_000 * UNIT, king);
    }

    function _ownership() private {
        _row("transferOwnership", abi.encodeCall(IOwned.transferOwnership, (relay)), OWNER, NOT_OWNER);
        _row("renounceOwnership", abi.encodeCall(IOwned.renounceOwnership, ()), OWNER, NOT_OWNER);
    }

    function _wiring() private {
        bytes4 four = bytes4(keccak256("wire(address,address,uint64,address)"));
        _row("wire", abi.encodeWithSelector(four, relay, relay, 1, relay), 0, NOT_WIRER);
    }

    function test_rental() public {
        bytes4 notProvider = IGPURental.NotProvider.selector;
        bytes4 notRenter = IGPURental.NotRenter.selector;
        bytes4 notCourt = IGPURental.NotCourt.selector;
        IGPURental.PermitInput memory none;
        uint64 from = uint64(block.timestamp) + 2 days;
        _ownership();
        _wiring();
        _row("setCourt", abi.encodeCall(IRentalTotals.setCourt, (relay)), OWNER, NOT_OWNER);
        _row("setParameters", abi.encodeCall(IRentalTotals.setParameters, (_rentalParameters())), OWNER, NOT_OWNER);
        _row("setSafeguards", abi.encodeCall(IRentalTotals.setSafeguards, (rental.safeguards())), OWNER, NOT_OWNER);
        bytes memory data = abi.encodeCall(IRentalTerms.createOffer, (deviceId, PRICE, 1, 2, "", ""));
        _row("createOffer", data, PROVIDER | OPERATOR, notProvider);
        _row("changeOffer", abi.encodeCall(IRentalTerms.changeOffer, (offerId, PRICE, true)), PROVIDER | OPERATOR, notProvider);
        _row("depositReserve", abi.encodeCall(IRentalTerms.depositReserve, (deviceId, 1)), ANYBODY, notProvider);
        _row("withdrawReserve", abi.encodeCall(IRentalTerms.withdrawReserve, (deviceId, 1)), PROVIDER, notProvider);
        _row("rent", abi.encodeCall(IRentalCourse.rent, (offerId, 600, relay, 0)), ANYBODY, notRenter);
        data = abi.encodeCall(IRentalCourse.rentWithPermit, (offerId, 600, relay, 0, 0, 0, 0, 0));
        _row("rentWithPermit", data, ANYBODY, notRenter);
        data = abi.encodeCall(IRentalCourse.rentMany, (new IGPURental.RentRequest[](1), 0, none));
        _row("rentMany", data, ANYBODY, notRenter);
        _row("extend", abi.encodeCall(IRentalTerms.extend, (id, 1, 0)), RENTER | DELEGATE, notRenter);
        _row("extendWithPermit", abi.encodeCall(IRentalTerms.extendWithPermit, (id, 1, 0, none)), RENTER | DELEGATE, notRenter);
        _row("setDelegate", abi.encodeCall(IRentalTerms.setDelegate, (id, relay)), RENTER, notRenter);
        _row("ready", abi.encodeCall(IRentalCourse.ready, (id)), PROVIDER | OPERATOR, notProvider);
        _row("sessionOpened", abi.encodeCall(IRentalCourse.sessionOpened, (id, 1, "")), ANYBODY, notRenter);
        _row("endRental", abi.encodeCall(IRentalCourse.endRental, (id)), RENTER, notRenter);
        _row("abortRental", abi.encodeCall(IRentalTerms.abortRental, (id)), PROVIDER | OPERATOR, notProvider);
        data = abi.encodeCall(IRentalTerms.declareMaintenance, (id, from, from + 1));
        _row("declareMaintenance", data, PROVIDER | OPERATOR, notProvider);
        _row("closeAfterDeadline", abi.encodeCall(IRentalTerms.closeAfterDeadline, (id)), ANYBODY, notRenter);
        data = abi.encodeCall(IMessageRecipient.handle, (CLASSIC, address(work), hex"10", relay));
        _row("handle", data, INBOX, IMessageRecipient.NotInbox.selector);
        _row("claim", abi.encodeCall(IRentalCourse.claim, (relay)), ANYBODY, notRenter);
        _row("setWithdrawalLimit", abi.encodeCall(IRentalTerms.setWithdrawalLimit, (1, 1)), OWNER, NOT_OWNER);
        _row("pauseWithdrawals", abi.encodeCall(IRentalTerms.pauseWithdrawals, (T0)), OWNER | COURT, notCourt);
        _row("collectFees", abi.encodeCall(IRentalCourse.collectFees, ()), ANYBODY, notRenter);
        _row("setVeto", abi.encodeCall(IRentalTerms.setVeto, (1 gwei, 1)), OWNER, NOT_OWNER);
        _row("releaseDelayed", abi.encodeCall(IRentalTerms.releaseDelayed, (provider, T0)), ANYBODY, notRenter);
        Message memory m;
        bytes32[32] memory path;
        _row("claimWithReport", abi.encodeCall(IRentalCourse.claimWithReport, (m, 0, path, relay)), ANYBODY, notRenter);
        _row("freeze", abi.encodeCall(IRentalTerms.freeze, (id)), COURT, notCourt);
        _row("unfreeze", abi.encodeCall(IRentalCourse.unfreeze, (id, true)), COURT, notCourt);
        _row("witnessSession", abi.encodeCall(IRentalTerms.witnessSession, (id, T0)), COURT, notCourt);
        _row("noteDeadline", abi.encodeCall(IRentalTerms.noteDeadline, (id)), COURT, notCourt);
        // Of a running rental; who may cancel a request is below.
        _row("cancel", abi.encodeCall(IRentalCourse.cancel, (id)), ANYBODY, notRenter);
        _walk(address(rental), "GPURental");
        _assertComplete("GPURentalTerms");
    }

    /// @dev A contract that is deployed has its rows here, or in the matrices of the bridge, of Governance or of Ethereum Classic.
    function test_everyContractHasAMatrix() public view {
        string[20] memory known = [
            "GPURental",
            "GPURentalTerms",
            "TokenDistributor",
            "RentalCourt",
            "StakingManager",
            "StakingPools",
            "Inbox",
            "Outbox",
            "KingSet",
            "KingCourt",
            "NodeDirectory",
            "GPUToken",
            "Faucet",
            "Governance",
            "TimelockController",
            "WorkVerification",
            "WorkSettlement",
            "WorkDisputes",
            "ReputationSystem",
            "ProofVerifier"
        ];
        Vm.DirEntry[] memory files = vm.readDir("abi");
        for (uint256 i; i < files.length; ++i) {
            bool found;
            for (uint256 j; j < known.length && !found; ++j) {
                string memory path = string.concat(vm.projectRoot(), "/abi/", known[j], ".json");
                found = keccak256(bytes(files[i].path)) == keccak256(bytes(path));
            }
            assertTrue(found, files[i].path);
        }
        assertEq(files.length, known.length);
    }

    function test_cancelOfARequestInTime() public {
        _report(id, 600, 600, 3, 3, true);
        vm.warp(T0 + 601);
        id = rentAs(renter, offerId, 600);
        _row("cancel", abi.encodeCall(IRentalCourse.cancel, (id)), RENTER, IGPURental.TooEarly.selector);
        for (uint256 j; j < callers.length; ++j) {
            vm.prank(callers[j]);
            (bool success,) = address(rental).call(rows[0].data);
            assertEq(success, callers[j] == renter);
        }
    }

    function test_distributor() public {
        ITokenDistributor.Allocation[] memory none = new ITokenDistributor.Allocation[](0);
        ITokenDistributor.LoyaltyTier[] memory tiers = new ITokenDistributor.LoyaltyTier[](0);
        ITokenDistributor.RewardParameters memory p;
        bytes4 two = bytes4(keccak256("wire(address,address)"));
        bytes4 zero = ITokenDistributor.ZeroAddress.selector;
        uint64 soon = uint64(block.timestamp);
        _ownership();
        _row("wire", abi.encodeWithSelector(two, relay, relay), 0, NOT_WIRER);
        _row("genesis", abi.encodeCall(ITokenDistributor.genesis, (none)), OWNER, NOT_OWNER);
        _row("revoke", abi.encodeCall(ITokenDistributor.revoke, (2)), OWNER, NOT_OWNER);
        _row("withdrawTreasury", abi.encodeCall(ITokenDistributor.withdrawTreasury, (relay, 0)), OWNER, NOT_OWNER);
        _row("startEmission", abi.encodeCall(ITokenDistributor.startEmission, (soon)), OWNER, NOT_OWNER);
        bytes memory data = abi.encodeCall(ITokenDistributor.setRewardParameters, (p, tiers));
        _row("setRewardParameters", data, OWNER, NOT_OWNER);
        _row("setClassReward", abi.encodeCall(ITokenDistributor.setClassReward, (CLASS, 1)), OWNER, NOT_OWNER);
        _row("onFee", abi.encodeCall(ITokenDistributor.onFee, (0)), 0, ITokenDistributor.NotGPURental.selector);
        _row("release", abi.encodeCall(ITokenDistributor.release, (2)), ANYBODY, zero);
        _row("distributeStaking", abi.encodeCall(ITokenDistributor.distributeStaking, ()), ANYBODY, zero);
        _row("settleRental", abi.encodeCall(ITokenDistributor.settleRental, (id)), ANYBODY, zero);
        _row("claim", abi.encodeCall(ITokenDistributor.claim, (relay)), ANYBODY, zero);
        _walk(address(distributor), "TokenDistributor");
    }

    /// @dev Nothing is owned by the half without storage, and nothing happens there.
    function test_otherHalfCalledDirectlyRefuses() public {
        address terms = deployCode("GPURentalTerms.sol:GPURentalTerms", abi.encode(token, staking, distributor));
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.UnknownRental.selector, id));
        IRentalTerms(terms).extend(id, 1, type(uint256).max);
        vm.prank(address(court));
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NotCourt.selector, address(court)));
        IRentalTerms(terms).freeze(id);
        // The offer would be recorded where nobody rents; money is not taken.
        vm.prank(provider);
        token.approve(terms, type(uint256).max);
        vm.prank(provider);
        vm.expectRevert(IGPURental.CalledDirectly.selector);
        IRentalTerms(terms).depositReserve(deviceId, 1);
    }

    function test_court() public {
        caseId = _complain(id);
        _draw(caseId);
        Checkpoint memory c;
        Quorum memory q;
        c.originChainId = CLASSIC;
        bytes4 notParty = IRentalCourt.NotParty.selector;
        _ownership();
        bytes memory data = abi.encodeCall(ICourtOwner.setParameters, (_courtParameters()));
        _row("setParameters", data, OWNER, NOT_OWNER);
        _row("complain", abi.encodeCall(IRentalCourt.complain, (id, 0)), RENTER | DELEGATE, notParty);
        _row("requestWitness", abi.encodeCall(IRentalCourt.requestWitness, (id)), PROVIDER | OPERATOR, notParty);
        _row("draw", abi.encodeCall(IRentalCourt.draw, (caseId)), ANYBODY, notParty);
        _row("vote", abi.encodeCall(IRentalCourt.vote, (caseId, true)), QUEEN, IRentalCourt.NotInCommittee.selector);
        data = abi.encodeCall(IRentalCourt.submitReceipts, (caseId, T0, new IRentalCourt.Receipt[](0)));
        _row("submitReceipts", data, ANYBODY, notParty);
        _row("expire", abi.encodeCall(IRentalCourt.expire, (caseId)), ANYBODY, notParty);
        _row("requestDeadline", abi.encodeCall(IRentalCourt.requestDeadline, (id, c, q)), ANYBODY, notParty);
        _row("pauseWithdrawals", abi.encodeCall(IRentalCourt.pauseWithdrawals, (T0, q)), ANYBODY, notParty);
        _row("claim", abi.encodeCall(IRentalCourt.claim, (relay)), ANYBODY, notParty);
        _walk(address(court), "RentalCourt");
    }

    function test_staking() public {
        IStakingManager.Role queenRole = IStakingManager.Role.Queen;
        bytes4 mismatch = IStakingManager.RoleMismatch.selector;
        _ownership();
        bytes4 six = bytes4(keccak256("wire(address,address,uint64,address,address,address)"));
        _row("wire", abi.encodeWithSelector(six, relay, relay, 1, relay, relay, relay), 0, NOT_WIRER);
        _row("setParameters", abi.encodeCall(IStakePools.setParameters, (_stakingParameters())), OWNER, NOT_OWNER);
        _row("setClass", abi.encodeCall(IStakePools.setClass, (2, 1)), OWNER, NOT_OWNER);
        _row("setKingCourt", abi.encodeCall(IStakePools.setKingCourt, (relay)), OWNER, NOT_OWNER);
        _row("withdrawTreasury", abi.encodeCall(IStakePools.withdrawTreasury, (relay, 1)), OWNER, NOT_OWNER);
        _row("slashByVote", abi.encodeCall(IStakePools.slashByVote, (provider, 1, "x")), OWNER, NOT_OWNER);
        uint256 others = ANYBODY & ~(PROVIDER | KING);
        _row("stake", abi.encodeCall(IStakes.stake, (queenRole, UNIT, address(this), "x")), others, mismatch);
        bytes memory data = abi.encodeCall(IStakes.stakeWithPermit, (queenRole, UNIT, address(this), "x", 0, 0, 0, 0));
        _row("stakeWithPermit", data, others, mismatch);
        // On one's own account only: there is no way to name another.
        bytes4 insufficient = IStakingManager.InsufficientStake.selector;
        bytes4 unknown = IStakingManager.UnknownStaker.selector;
        uint256 stakers = PROVIDER | QUEEN | KING;
        _row("addStake", abi.encodeCall(IStakes.addStake, (1)), stakers, unknown);
        _row("setOperator", abi.encodeCall(IStakes.setOperator, (relay, "x")), stakers, unknown);
        _row("requestUnstake", abi.encodeCall(IStakes.requestUnstake, (1000 * UNIT)), stakers, insufficient);
        _row("withdraw", abi.encodeCall(IStakes.withdraw, ()), 0, IStakingManager.ZeroAmount.selector);
        data = abi.encodeCall(IStakes.registerDevice, (CLASS, relay));
        _row("registerDevice", data, PROVIDER | OPERATOR, mismatch);
        bytes4 notOwner = IStakingManager.NotDeviceOwner.selector;
        _row("removeDevice", abi.encodeCall(IStakes.removeDevice, (deviceId)), PROVIDER | OPERATOR, notOwner);
        _row("changeWorker", abi.encodeCall(IStakes.changeWorker, (deviceId, relay)), PROVIDER | OPERATOR, notOwner);
        _row("releaseDevice", abi.encodeCall(IStakes.releaseDevice, (deviceId)), 0, IStakingManager.DeviceInService.selector);
        data = abi.encodeCall(IMessageRecipient.handle, (CLASSIC, address(work), hex"10", relay));
        _row("handle", data, INBOX, IMessageRecipient.NotInbox.selector);
        _pools(mismatch);
        _walk(address(staking), "StakingManager");
        _assertComplete("StakingPools");
    }

    function _pools(bytes4 mismatch) private {
        staking.setKingCourt(address(court));
        bytes4 notCourt = IStakingManager.NotKingCourt.selector;
        bytes4 nothing = IStakingManager.NothingToClaim.selector;
        bytes4 zero = IStakingManager.ZeroAmount.selector;
        _row("slashKing", abi.encodeCall(IStakePools.slashKing, (makeAddr("king"), 1, relay)), COURT, notCourt);
        bytes memory data = abi.encodeCall(IStakePools.notifyReward, (IStakingManager.Role.King, 0));
        _row("notifyReward", data, 0, IStakingManager.NotDistributor.selector);
        _row("announceCommission", abi.encodeCall(IStakePools.announceCommission, (1)), PROVIDER | KING, mismatch);
        data = abi.encodeCall(IStakePools.delegateStake, (provider, UNIT));
        // Nobody opened a pool; a provider could not delegate to itself.
        _row("delegateStake", data, PROVIDER, IStakingManager.PoolClosed.selector);
        _row("undelegateStake", abi.encodeCall(IStakePools.undelegateStake, (1)), 0, IStakingManager.InsufficientStake.selector);
        _row("withdrawDelegation", abi.encodeCall(IStakePools.withdrawDelegation, ()), 0, zero);
        _row("claimRewards", abi.encodeCall(IStakePools.claimRewards, (relay)), 0, nothing);
        _row("claimCredit", abi.encodeCall(IStakePools.claimCredit, (relay)), 0, nothing);
        _row("announceQueens", abi.encodeCall(IStakePools.announceQueens, ()), 0, IStakingManager.TooFewQueens.selector);
        _row("delegate", abi.encodeCall(IStakePools.delegate, (relay)), ANYBODY, zero);
        _row("countDevice", abi.encodeCall(IStakePools.countDevice, (deviceId)), ANYBODY, zero);
        _row("refresh", abi.encodeCall(IStakePools.refresh, (provider)), ANYBODY, zero);
    }
}
