// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {EmissionMath} from "../../src/libraries/EmissionMath.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";

/// @dev The schedule by itself, and before it starts.
contract DistributorEmissionTest is RentalWorld {
    function test_nothingHappensBeforeTheStart() public {
        vm.expectRevert(ITokenDistributor.NothingToDistribute.selector);
        distributor.distributeStaking();
        uint64 id = _active(600);
        _report(id, 600, 600, 3, 3, true);
        rental.collectFees();
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.EmissionNotStarted.selector, 0));
        distributor.settleRental(id);
        assertEq(distributor.loyaltyOf(renter), 0);
        distributor.startEmission(T0 + 10);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.EmissionNotStarted.selector, T0 + 10));
        distributor.settleRental(id);
        vm.warp(T0 + 10);
        distributor.settleRental(id);
    }

    function test_theStartLiesAheadWithinAYearAndMovesUntilItIsReached() public {
        uint64 latest = T0 + 365 days;
        bytes4 invalid = ITokenDistributor.InvalidStart.selector;
        vm.expectRevert(abi.encodeWithSelector(invalid, T0 - 1, T0, latest));
        distributor.startEmission(T0 - 1);
        vm.expectRevert(abi.encodeWithSelector(invalid, latest + 1, T0, latest));
        distributor.startEmission(latest + 1);
        distributor.startEmission(latest);
        vm.expectEmit(address(distributor));
        emit ITokenDistributor.EmissionStartSet(T0 + 1);
        distributor.startEmission(T0 + 1);
        (,, uint64 start) = distributor.emission();
        assertEq(start, T0 + 1);
        distributor.startEmission(0);
        (,, start) = distributor.emission();
        assertEq(start, T0, "now");
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.EmissionRunning.selector, T0));
        distributor.startEmission(T0 + 1);
    }

    function test_aRunningEmissionIsNotMoved() public {
        distributor.startEmission(T0 + 1);
        vm.warp(T0 + 1);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.EmissionRunning.selector, T0 + 1));
        distributor.startEmission(T0 + 2);
    }

    /// @dev What has been scheduled never shrinks, and never exceeds what the cap was checked against.
    function testFuzz_theScheduleGrowsUpToItsSum(uint128 initial, uint16 decayBps, uint64 a, uint64 b) public pure {
        decayBps = uint16(bound(decayBps, 5000, 9990));
        initial = uint128(bound(initial, 0, 1e36));
        a = uint64(bound(a, 0, 100 * 365 days));
        b = uint64(bound(b, a, 200 * 365 days));
        uint256 first = EmissionMath.scheduled(initial, decayBps, a);
        uint256 second = EmissionMath.scheduled(initial, decayBps, b);
        // Powers are rounded to 18 decimals, each by less than a wei per unit of the base.
        assertLe(first, second + initial / 1e14);
        assertLe(second, EmissionMath.total(initial, decayBps));
    }

    /// @dev An epoch's budget is what the schedule gains within it.
    function testFuzz_budgetsAddUpToTheSchedule(uint128 initial, uint16 decayBps, uint8 epoch) public pure {
        decayBps = uint16(bound(decayBps, 5000, 9990));
        initial = uint128(bound(initial, 1e18, 1e30));
        uint256 gained = EmissionMath.scheduled(initial, decayBps, (uint256(epoch) + 1) * 30 days)
            - EmissionMath.scheduled(initial, decayBps, uint256(epoch) * 30 days);
        assertApproxEqAbs(gained, EmissionMath.budget(initial, decayBps, epoch), initial / 1e13);
    }
}
