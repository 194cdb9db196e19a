// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ITokenDistributor} from "../../src/interfaces/ITokenDistributor.sol";
import {IToken, World} from "../utils/World.sol";

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

    /// @dev Whatever comes later: votes of a time are what was held then, from before the first checkpoint to the newest.
    function testFuzz_pastVotesAreThoseOfTheirTime(uint64[12] memory amounts) public {
        address holder = makeAddr("holder");
        vm.prank(holder);
        token.delegate(holder);
        uint256 first = vm.getBlockTimestamp();
        uint256[12] memory held;
        for (uint256 i; i < 12; ++i) {
            vm.warp(first + 10 * (i + 1));
            vm.prank(provider);
            token.transfer(holder, amounts[i]);
            held[i] = token.balanceOf(holder);
        }
        vm.warp(first + 1000);
        assertEq(token.getPastVotes(holder, first + 9), 0, "before the first");
        for (uint256 i; i < 12; ++i) {
            assertEq(token.getPastVotes(holder, first + 10 * (i + 1)), held[i], "at a change");
            assertEq(token.getPastVotes(holder, first + 10 * (i + 1) + 9), held[i], "just before the next");
        }
        assertEq(token.getPastVotes(holder, first + 999), held[11]);
        assertEq(token.getPastVotes(makeAddr("nobody"), first), 0);
        vm.expectRevert(abi.encodeWithSignature("ERC5805FutureLookup(uint256,uint48)", block.timestamp, block.timestamp));
        token.getPastVotes(holder, block.timestamp);
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
        calls[0] = abi.encodeCall(ITokenDistributor.withdrawTreasury, (owner, 7));
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
