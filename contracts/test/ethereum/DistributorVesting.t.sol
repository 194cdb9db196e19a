// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {IDistributor, IToken, World} from "../utils/World.sol";

interface IRevert {
    error OwnableUnauthorizedAccount(address account);
}

contract DistributorVestingTest is World {
    IToken private coin;
    IDistributor private fresh;

    function setUp() public override {
        super.setUp();
        onEthereum();
    }

    /// @dev A distributor without genesis, with nothing to emit.
    function _deploy(uint256 cap, uint256 genesisTotal) private {
        coin = IToken(deployCode("GPUToken.sol:GPUToken", abi.encode(cap)));
        fresh = IDistributor(_create(coin, genesisTotal, 0, 9750));
        coin.wire(address(fresh));
    }

    function _create(IToken coin_, uint256 genesisTotal, uint128 initial, uint16 decayBps) private returns (address) {
        ITokenDistributor.Emission memory e = ITokenDistributor.Emission(initial, decayBps);
        ITokenDistributor.RewardParameters memory p;
        ITokenDistributor.LoyaltyTier[] memory none = new ITokenDistributor.LoyaltyTier[](0);
        bytes memory arguments = abi.encode(coin_, address(this), genesisTotal, e, p, none);
        return deployCode("TokenDistributor.sol:TokenDistributor", arguments);
    }

    function _one(address beneficiary, uint128 amount, uint64 start, uint64 cliff, uint64 duration)
        private
        pure
        returns (ITokenDistributor.Allocation[] memory list)
    {
        list = new ITokenDistributor.Allocation[](1);
        list[0] = ITokenDistributor.Allocation(beneficiary, amount, start, cliff, duration, true, TEAM);
    }

    function test_genesisMintsExactlyWhatWasAnnouncedOnce() public {
        _deploy(1000, 600);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.GenesisMismatch.selector, 599, 600));
        fresh.genesis(_one(owner, 599, 0, 0, 0));
        vm.expectEmit(address(fresh));
        emit ITokenDistributor.AllocationCreated(0, owner, TEAM, 600, 0, 0, 0, true);
        fresh.genesis(_one(owner, 600, 0, 0, 0));
        assertEq(coin.balanceOf(owner), 600);
        assertEq(coin.totalMinted(), 600);
        assertEq(fresh.allocationCount(), 1);
        vm.expectRevert(ITokenDistributor.GenesisAlreadyDone.selector);
        fresh.genesis(_one(owner, 600, 0, 0, 0));
    }

    function test_genesisIsTheOwners() public {
        _deploy(1000, 600);
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSelector(IRevert.OwnableUnauthorizedAccount.selector, renter));
        fresh.genesis(_one(renter, 600, 0, 0, 0));
    }

    function test_theTreasurysAllocationStaysHereAndVests() public {
        _deploy(1000, 600);
        ITokenDistributor.Allocation[] memory list = _one(address(0), 600, 1_000_000, 0, 1000);
        list[0].category = ITokenDistributor.Category.Treasury;
        fresh.genesis(list);
        assertEq(fresh.treasury(), 0);
        vm.warp(1_000_500);
        fresh.release(0);
        assertEq(fresh.treasury(), 300);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.InsufficientTreasury.selector, 300, 301));
        fresh.withdrawTreasury(owner, 301);
        fresh.withdrawTreasury(owner, 300);
        assertEq(coin.balanceOf(owner), 300);
        vm.expectRevert(ITokenDistributor.ZeroAddress.selector);
        fresh.withdrawTreasury(address(0), 0);
    }

    function test_malformedAllocationsAreRefused() public {
        _deploy(1000, 600);
        bytes memory refused = abi.encodeWithSelector(ITokenDistributor.InvalidAllocation.selector, 0);
        vm.expectRevert(refused);
        fresh.genesis(_one(owner, 0, 0, 0, 0));
        vm.expectRevert(refused);
        fresh.genesis(_one(owner, 600, 0, 2, 1));
        vm.expectRevert(refused);
        fresh.genesis(_one(address(0), 600, 0, 0, 0));
        vm.expectRevert(refused);
        fresh.genesis(_one(owner, 600, uint64(1) << 48, 0, 0));
        vm.expectRevert(refused);
        fresh.genesis(_one(owner, 600, 0, 0, uint64(1) << 48));
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.TooManyAllocations.selector, 201, 200));
        fresh.genesis(new ITokenDistributor.Allocation[](201));
    }

    function test_emissionFitsBelowTheCap() public {
        coin = IToken(deployCode("GPUToken.sol:GPUToken", abi.encode(1000)));
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.EmissionExceedsCap.selector, 404, 400));
        this.create(600, 101, 7500);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.EmissionExceedsCap.selector, 4, 0));
        this.create(1001, 1, 7500);
        this.create(600, 100, 7500);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.InvalidDecay.selector, 4999, 5000, 9990));
        this.create(0, 1, 4999);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.InvalidDecay.selector, 9991, 5000, 9990));
        this.create(0, 1, 9991);
    }

    /// @dev deployCode swallows the constructor's reason.
    function create(uint256 genesisTotal, uint128 initial, uint16 decayBps) external {
        ITokenDistributor.Emission memory e = ITokenDistributor.Emission(initial, decayBps);
        ITokenDistributor.RewardParameters memory p;
        ITokenDistributor.LoyaltyTier[] memory none = new ITokenDistributor.LoyaltyTier[](0);
        bytes memory code = abi.encodePacked(
            vm.getCode("TokenDistributor.sol:TokenDistributor"), abi.encode(coin, address(this), genesisTotal, e, p, none)
        );
        assembly ("memory-safe") {
            if iszero(create(0, add(code, 32), mload(code))) {
                let data := mload(0x40)
                returndatacopy(data, 0, returndatasize())
                revert(data, returndatasize())
            }
        }
    }

    function test_vestingWaitsForTheCliffAndIsLinear() public {
        assertEq(distributor.vestedAt(2, 1_000_099), 0);
        assertEq(distributor.vestedAt(2, 1_000_100), 1e5 * UNIT);
        assertEq(distributor.vestedAt(2, 1_000_500), 5e5 * UNIT);
        assertEq(distributor.vestedAt(2, 9_000_000), 1e6 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NothingToRelease.selector, 2));
        distributor.release(2);
        vm.warp(1_000_500);
        // By anybody, to the beneficiary.
        vm.prank(relay);
        distributor.release(2);
        assertEq(token.balanceOf(owner), 5e5 * UNIT);
        assertEq(distributor.vesting(2).released, 5e5 * UNIT);
    }

    function test_revokingStopsVestingAndReturnsTheRest() public {
        vm.warp(1_000_400);
        vm.expectEmit(address(distributor));
        emit ITokenDistributor.Revoked(2, owner, 6e5 * UNIT);
        distributor.revoke(2);
        assertEq(distributor.treasury(), 6e5 * UNIT);
        vm.warp(9_000_000);
        assertEq(distributor.vestedAt(2, 9_000_000), 4e5 * UNIT);
        distributor.release(2);
        assertEq(token.balanceOf(owner), 4e5 * UNIT, "what had vested is still the beneficiary's");
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NotRevocable.selector, 2));
        distributor.revoke(2);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NotRevocable.selector, 0));
        distributor.revoke(0);
    }

    function test_unknownAllocations() public {
        bytes memory unknown = abi.encodeWithSelector(ITokenDistributor.UnknownAllocation.selector, 3);
        vm.expectRevert(unknown);
        distributor.release(3);
        vm.expectRevert(unknown);
        distributor.revoke(3);
        vm.expectRevert(unknown);
        distributor.vesting(3);
        vm.expectRevert(unknown);
        distributor.vestedAt(3, 0);
    }

    /// @dev Whenever it is released and revoked, beneficiary and treasury together get the allocation, to the wei.
    function testFuzz_anAllocationIsConserved(uint128 amount, uint64 cliff, uint64 duration, uint64 at, uint64 revokedAt) public {
        amount = uint128(bound(amount, 1, 1e28));
        duration = uint64(bound(duration, 1, 10 * 365 days));
        cliff = uint64(bound(cliff, 0, duration));
        _deploy(type(uint96).max, amount);
        vm.warp(1_000_000);
        fresh.genesis(_one(owner, amount, 1_000_000, cliff, duration));
        at = 1_000_000 + uint64(bound(at, 0, 2 * uint256(duration)));
        revokedAt = uint64(bound(revokedAt, at, uint256(at) + 2 * duration));
        vm.warp(at);
        if (fresh.vestedAt(0, at) > coin.balanceOf(owner)) fresh.release(0);
        assertEq(coin.balanceOf(owner), fresh.vestedAt(0, at));
        vm.warp(revokedAt);
        fresh.revoke(0);
        vm.warp(uint256(revokedAt) + 20 * 365 days);
        if (fresh.vestedAt(0, uint64(block.timestamp)) > coin.balanceOf(owner)) fresh.release(0);
        assertEq(coin.balanceOf(owner) + fresh.treasury(), amount);
        assertEq(coin.balanceOf(address(fresh)), fresh.treasury());
    }

    function testFuzz_vestingNeverRunsBackwards(uint64 a, uint64 b) public view {
        if (a > b) (a, b) = (b, a);
        assertLe(distributor.vestedAt(2, a), distributor.vestedAt(2, b));
        assertLe(distributor.vestedAt(2, b), 1e6 * UNIT);
    }

    function test_feesAreHalfBurned() public {
        vm.prank(renter);
        token.transfer(address(distributor), 101);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.NotGPURental.selector, address(this)));
        distributor.onFee(101);
        vm.prank(address(rental));
        distributor.onFee(101);
        assertEq(distributor.totalBurned(), 50);
        assertEq(distributor.treasury(), 51);
        assertEq(distributor.feesReceived(), 101);
        vm.expectRevert(abi.encodeWithSelector(ITokenDistributor.InsufficientTreasury.selector, 51, 52));
        distributor.withdrawTreasury(owner, 52);
        distributor.withdrawTreasury(owner, 51);
        assertEq(token.balanceOf(owner), 51);
    }
}
