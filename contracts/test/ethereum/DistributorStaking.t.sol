// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {EmissionMath} from "../../src/libraries/EmissionMath.sol";
import {RewardWorld} from "../utils/RewardWorld.sol";

/// @dev The stream of the stakes, into the real StakingManager.
contract DistributorStakingTest is RewardWorld {
    function setUp() public override {
        super.setUp();
        _seatQueens(2);
    }

    function test_stakesOfEachRoleGetTheirShareOfTheTimeThatPassed() public {
        vm.warp(T0 + EPOCH / 2);
        uint256 before = token.balanceOf(address(staking));
        vm.expectEmit(address(distributor));
        emit ITokenDistributor.StakingRewarded(IStakingManager.Role.Provider, 150_000 * UNIT);
        vm.expectEmit(address(distributor));
        emit ITokenDistributor.StakingRewarded(IStakingManager.Role.Queen, 50_000 * UNIT);
        vm.expectEmit(address(distributor));
        emit ITokenDistributor.StakingRewarded(IStakingManager.Role.King, 50_000 * UNIT);
        vm.prank(relay);
        assertEq(distributor.distributeStaking(), 250_000 * UNIT);
        assertEq(token.balanceOf(address(staking)) - before, 250_000 * UNIT);
        vm.expectRevert(ITokenDistributor.NothingToDistribute.selector);
        distributor.distributeStaking();
    }

    /// @dev Called often or once, the same is minted, but for a wei per call and role.
    function testFuzz_howOftenItIsCalledChangesNothing(uint32[5] memory waits) public {
        uint256 minted = token.totalMinted();
        uint256 calls;
        for (uint256 i; i < waits.length; ++i) {
            vm.warp(vm.getBlockTimestamp() + bound(waits[i], 1, 60 days));
            distributor.distributeStaking();
            ++calls;
        }
        uint256 scheduled = EmissionMath.scheduled(1e6 * UNIT, 9750, block.timestamp - T0);
        assertApproxEqAbs(token.totalMinted() - minted, scheduled / 2, 3 * calls);
        assertLe(token.totalMinted() - minted, scheduled / 2);
    }

    function test_aChangeOfSharesDoesNotReachBack() public {
        vm.warp(T0 + EPOCH / 2);
        distributor.setRewardParameters(ITokenDistributor.RewardParameters(0, 0, 10_000, 0, 0), _tiers());
        vm.warp(T0 + EPOCH);
        // Half an epoch under the old shares (half of the emission for stakes), half under the new ones.
        assertEq(distributor.distributeStaking(), 750_000 * UNIT);
    }

    /// @dev Shares that move to and fro within an epoch can't mint more than the epoch has.
    function test_sharesThatMoveStayWithinTheSchedule() public {
        distributor.setRewardParameters(ITokenDistributor.RewardParameters(10_000, 0, 0, 0, 0), _tiers());
        vm.prank(provider);
        rental.changeOffer(offerId, 100 * PRICE, false);
        vm.warp(T0 + EPOCH - 700);
        uint64 id = _complete(renter, 600);
        _collectFees();
        vm.warp(T0 + EPOCH - 1);
        distributor.distributeStaking();
        distributor.setRewardParameters(ITokenDistributor.RewardParameters(0, 0, 0, 10_000, 5000), _tiers());
        // The fee of 3 would earn 1.5 and loyalty, the epoch has the second that is left: 0.38.
        vm.expectPartialRevert(ITokenDistributor.BudgetExhausted.selector);
        distributor.settleRental(id);
        vm.warp(T0 + EPOCH);
        distributor.settleRental(id);
    }

    /// @dev No rental moves what stakes accrue.
    function test_rentalsDoNotChangeWhatStakesGet() public {
        uint256 clean = vm.snapshotState();
        vm.warp(T0 + 1 days);
        uint256 without = distributor.distributeStaking();
        vm.revertToState(clean);
        for (uint256 i; i < 5; ++i) {
            uint64 id = _complete(i % 2 == 0 ? renter : provider, 3600);
            _collectFees();
            distributor.settleRental(id);
        }
        vm.warp(T0 + 1 days);
        assertEq(distributor.distributeStaking(), without);
    }
}
