// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IDistributor, IToken, World} from "../utils/World.sol";

interface IGovernance {
    struct Settings {
        uint48 votingDelaySeconds;
        uint32 votingPeriodSeconds;
        uint256 proposalThreshold;
        uint256 quorumPercent;
        uint48 lateQuorumExtensionSeconds;
    }

    function castVote(uint256 proposalId, uint8 support) external returns (uint256);
    function execute(address[] memory, uint256[] memory, bytes[] memory, bytes32) external payable returns (uint256);
    function propose(address[] memory, uint256[] memory, bytes[] memory, string memory) external returns (uint256);
    function queue(address[] memory, uint256[] memory, bytes[] memory, bytes32) external returns (uint256);
    function state(uint256 proposalId) external view returns (uint8);
}

interface ITimelock {
    function PROPOSER_ROLE() external view returns (bytes32);
    function grantRole(bytes32 role, address account) external;
}

interface IOwned {
    function owner() external view returns (address);
    function transferOwnership(address owner) external;
}

contract TokenTest is World {
    function setUp() public override {
        super.setUp();
        onEthereum();
    }

    function test_onlyTheDistributorMintsAndNeverBeyondTheCap() public {
        vm.expectRevert(abi.encodeWithSignature("NotMinter(address)", address(this)));
        token.mint(address(this), 1);
        uint256 left = token.cap() - token.totalMinted();
        vm.startPrank(address(distributor));
        vm.expectRevert(abi.encodeWithSignature("CapExceeded(uint256,uint256)", token.cap() + 1, token.cap()));
        token.mint(address(distributor), left + 1);
        token.mint(address(distributor), left);
        token.burn(left);
        vm.expectRevert(abi.encodeWithSignature("CapExceeded(uint256,uint256)", token.cap() + 1, token.cap()));
        token.mint(address(distributor), 1);
    }

    function test_wiringHappensOnce() public {
        vm.expectRevert(abi.encodeWithSignature("NotWirer(address,address)", address(this), address(0)));
        token.wire(address(this));
        IToken fresh = IToken(deployCode("GPUToken.sol:GPUToken", abi.encode(1)));
        vm.prank(renter);
        vm.expectRevert(abi.encodeWithSignature("NotWirer(address,address)", renter, address(this)));
        fresh.wire(renter);
        vm.expectRevert(abi.encodeWithSignature("ZeroWiring()"));
        fresh.wire(address(0));
    }

    function test_genesisHappensOnce() public {
        IDistributor.Allocation[] memory none = new IDistributor.Allocation[](0);
        vm.expectRevert(abi.encodeWithSignature("GenesisAlreadyDone()"));
        distributor.genesis(none);
    }

    function test_vestingWaitsForTheCliffAndIsLinear() public {
        assertEq(distributor.vestedAt(2, 1_000_099), 0);
        assertEq(distributor.vestedAt(2, 1_000_100), 1e5 * UNIT);
        assertEq(distributor.vestedAt(2, 1_000_500), 5e5 * UNIT);
        assertEq(distributor.vestedAt(2, 9_000_000), 1e6 * UNIT);
        vm.expectRevert(abi.encodeWithSignature("NothingToRelease(uint256)", 2));
        distributor.release(2);
        vm.warp(1_000_500);
        distributor.release(2);
        assertEq(token.balanceOf(owner), 5e5 * UNIT);
        distributor.revoke(2);
        assertEq(distributor.treasury(), 5e5 * UNIT);
        vm.warp(9_000_000);
        assertEq(distributor.vestedAt(2, 9_000_000), 5e5 * UNIT);
        vm.expectRevert(abi.encodeWithSignature("NotRevocable(uint256)", 2));
        distributor.revoke(2);
        vm.expectRevert(abi.encodeWithSignature("NotRevocable(uint256)", 0));
        distributor.revoke(0);
    }

    function testFuzz_neverMoreVestedThanAllocated(uint64 a, uint64 b) public view {
        if (a > b) (a, b) = (b, a);
        assertLe(distributor.vestedAt(2, a), distributor.vestedAt(2, b));
        assertLe(distributor.vestedAt(2, b), 1e6 * UNIT);
    }

    function test_feesAreHalfBurned() public {
        vm.prank(renter);
        token.transfer(address(distributor), 101);
        vm.expectRevert(abi.encodeWithSignature("NotGPURental(address)", address(this)));
        distributor.onFee(101);
        vm.prank(address(rental));
        distributor.onFee(101);
        assertEq(distributor.totalBurned(), 50);
        assertEq(distributor.treasury(), 51);
        vm.expectRevert(abi.encodeWithSignature("InsufficientTreasury(uint256,uint256)", 51, 52));
        distributor.withdrawTreasury(owner, 52);
        distributor.withdrawTreasury(owner, 51);
        assertEq(token.balanceOf(owner), 51);
    }

    function test_tokenHoldersGovernTheTreasury() public {
        address[] memory none = new address[](0);
        address[] memory anyone = new address[](1);
        address timelock =
            deployCode("TimelockController.sol:TimelockController", abi.encode(uint256(60), none, anyone, address(this)));
        IGovernance governance = IGovernance(
            deployCode(
                "Governance.sol:Governance", abi.encode(token, staking, timelock, IGovernance.Settings(10, 100, UNIT, 4, 20))
            )
        );
        ITimelock(timelock).grantRole(ITimelock(timelock).PROPOSER_ROLE(), address(governance));
        distributor.revoke(2);
        IOwned(address(distributor)).transferOwnership(timelock);
        vm.prank(renter);
        token.delegate(renter);
        vm.warp(block.timestamp + 1);

        address[] memory targets = new address[](1);
        targets[0] = address(distributor);
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IDistributor.withdrawTreasury, (owner, 7));
        uint256[] memory values = new uint256[](1);
        vm.prank(renter);
        uint256 id = governance.propose(targets, values, calls, "pay");
        vm.warp(block.timestamp + 11);
        vm.prank(renter);
        governance.castVote(id, 1);
        vm.warp(block.timestamp + 101);
        governance.queue(targets, values, calls, keccak256("pay"));
        vm.expectRevert();
        governance.execute(targets, values, calls, keccak256("pay"));
        vm.warp(block.timestamp + 61);
        governance.execute(targets, values, calls, keccak256("pay"));
        assertEq(governance.state(id), 7);
        assertEq(token.balanceOf(owner), 7);
    }
}
