// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {RentalWorld} from "./RentalWorld.sol";

/// @title A market whose emission runs, with rentals that come to an end
abstract contract RewardWorld is RentalWorld {
    uint256 internal constant EPOCH = 30 days;
    /// @dev Far more than any rental's fee, so that the fee is what limits a reward.
    uint128 internal constant PER_HOUR = uint128(100 * UNIT);

    function setUp() public virtual override {
        super.setUp();
        distributor.startEmission(T0);
        distributor.setClassReward(CLASS, PER_HOUR);
    }

    /// @dev A rental that was paid in full, `duration` seconds after now.
    function _complete(address account, uint32 duration) internal returns (uint64 id) {
        _fresh();
        id = rentAs(account, offerId, duration);
        readyAs(id);
        openSession(id);
        vm.warp(block.timestamp + duration);
        _report(id, duration, duration, 3, 3, true);
    }

    function _collectFees() internal {
        if (rental.credit(address(distributor)) != 0) rental.collectFees();
    }

    /// @dev The protocol fee that a closed rental was charged.
    function _feeOf(uint64 id) internal view returns (uint256) {
        IGPURental.Rental memory r = rental.rental(id);
        return (uint256(r.paid) * r.protocolFeeBps) / 10_000;
    }

    function _parameters() internal view returns (ITokenDistributor.RewardParameters memory p) {
        (p,) = distributor.rewardParameters();
    }

    function _tiers() internal view returns (ITokenDistributor.LoyaltyTier[] memory t) {
        (, t) = distributor.rewardParameters();
    }
}
