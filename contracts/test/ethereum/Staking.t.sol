// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient, IOutbox} from "../../src/interfaces/IBridge.sol";
import {IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {DeviceReport, FaultProven} from "../../src/types/Protocol.sol";
import {World} from "../utils/World.sol";

contract StakingTest is World {
    IStakingManager.Role private constant PROVIDER = IStakingManager.Role.Provider;
    bytes32 private constant PEER = keccak256("peer");

    function setUp() public override {
        super.setUp();
        onEthereum();
    }

    function _stake(uint256 amount) private {
        stakeAs(provider, PROVIDER, amount, operator);
    }

    function _fund(address account) private returns (address) {
        vm.prank(renter);
        token.transfer(account, 100_000 * UNIT);
        return account;
    }

    function test_stakeSetsRoleKeyAndPeer() public {
        _stake(1000 * UNIT);
        IStakingManager.Staker memory s = staking.staker(provider);
        assertEq(s.staked, 1000 * UNIT);
        assertEq(s.operator, operator);
        assertEq(staking.accountOf(operator), provider);
        assertEq(staking.accountOf(provider), provider);
        assertEq(staking.accountOf(address(1)), address(0));
        assertTrue(staking.hasRole(provider, PROVIDER));
        assertFalse(staking.hasRole(provider, IStakingManager.Role.King));
        assertFalse(staking.hasRole(renter, IStakingManager.Role.None));
    }

    function test_stakeWithPermit() public {
        onEthereum();
        bytes32 typehash = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typehash, renter, staking, 1000 * UNIT, 0, block.timestamp));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(renterKey, digest);
        vm.prank(renter);
        staking.stakeWithPermit(PROVIDER, 1000 * UNIT, operator, PEER, block.timestamp, v, r, s);
        assertEq(staking.staker(renter).staked, 1000 * UNIT);
    }

    function test_stakeRefusesWhatMakesNoSense() public {
        vm.startPrank(provider);
        token.approve(address(staking), type(uint256).max);
        vm.expectRevert(IStakingManager.InvalidRole.selector);
        staking.stake(IStakingManager.Role.None, UNIT, operator, PEER);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.stake(PROVIDER, 0, operator, PEER);
        vm.expectRevert(IStakingManager.ZeroAddress.selector);
        staking.stake(PROVIDER, UNIT, address(0), PEER);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.BelowMinimum.selector, UNIT, 1000 * UNIT));
        staking.stake(PROVIDER, UNIT, operator, PEER);
        staking.stake(PROVIDER, 1000 * UNIT, operator, PEER);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RoleMismatch.selector, PROVIDER, IStakingManager.Role.King));
        staking.stake(IStakingManager.Role.King, 10_000 * UNIT, operator, PEER);
    }

    function test_nobodyCanTakeAnothersKey() public {
        _stake(1000 * UNIT);
        address thief = _fund(makeAddr("thief"));
        vm.startPrank(thief);
        token.approve(address(staking), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.OperatorTaken.selector, operator));
        staking.stake(PROVIDER, 1000 * UNIT, operator, PEER);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.OperatorTaken.selector, provider));
        staking.stake(PROVIDER, 1000 * UNIT, provider, PEER);
        // Naming an account that has not staked yet does not keep it from staking.
        staking.stake(PROVIDER, 1000 * UNIT, renter, PEER);
        vm.stopPrank();
        stakeAs(renter, PROVIDER, 1000 * UNIT, renter);
        assertEq(staking.accountOf(renter), renter);
    }

    function test_operatorCanBeChanged() public {
        _stake(1000 * UNIT);
        stakeAs(provider, PROVIDER, 1, makeAddr("new operator"));
        assertEq(staking.accountOf(operator), address(0));
        assertEq(staking.accountOf(makeAddr("new operator")), provider);
    }

    function test_unstakeWaitsAndWithdraws() public {
        _stake(2500 * UNIT);
        vm.startPrank(provider);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.BelowMinimum.selector, 500 * UNIT, 1000 * UNIT));
        staking.requestUnstake(2000 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InsufficientStake.selector, 2500 * UNIT, 2500 * UNIT + 1));
        staking.requestUnstake(2500 * UNIT + 1);
        staking.requestUnstake(1000 * UNIT);
        uint64 until = uint64(block.timestamp + 1 days);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.StillUnbonding.selector, until));
        staking.withdraw();
        vm.warp(until);
        uint256 before = token.balanceOf(provider);
        staking.withdraw();
        assertEq(token.balanceOf(provider), before + 1000 * UNIT);
        staking.requestUnstake(1500 * UNIT);
        vm.warp(until + 1 days);
        staking.withdraw();
        assertTrue(staking.staker(provider).role == IStakingManager.Role.None);
        assertEq(staking.accountOf(operator), address(0));
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.withdraw();
    }

    function test_devicesLockStake() public {
        _stake(1000 * UNIT);
        vm.startPrank(operator);
        staking.registerDevice(CLASS, worker);
        uint64 second = staking.registerDevice(CLASS, worker);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InsufficientStake.selector, 0, 500 * UNIT));
        staking.registerDevice(CLASS, worker);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownClass.selector, 9));
        staking.registerDevice(9, worker);
        vm.expectRevert(IStakingManager.ZeroAddress.selector);
        staking.registerDevice(CLASS, address(0));
        vm.stopPrank();
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InsufficientStake.selector, 0, 1));
        staking.requestUnstake(1);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.NotDeviceOwner.selector, address(this), provider));
        staking.removeDevice(second);
        vm.startPrank(operator);
        staking.removeDevice(second);
        assertEq(staking.staker(provider).locked, 500 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.DeviceAlreadyRemoved.selector, second));
        staking.removeDevice(second);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownDevice.selector, 9));
        staking.removeDevice(9);
    }

    function test_onlyProvidersRegisterDevices() public {
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.RoleMismatch.selector, IStakingManager.Role.None, PROVIDER));
        staking.registerDevice(CLASS, worker);
    }

    function test_devicesReachClassic() public {
        uint64 deviceId = registerDevice();
        assertEq(work.device(deviceId).worker, worker);
        assertEq(work.device(deviceId).provider, provider);
        onEthereum();
        vm.prank(operator);
        staking.removeDevice(deviceId);
        relayAll(ethOutbox);
        assertEq(work.device(deviceId).removedAt, block.timestamp);
    }

    function test_kingsAreRankedByStake() public {
        uint256[4] memory amounts = [uint256(20_000), 30_000, 10_000, 30_000];
        address[4] memory kings;
        for (uint256 i; i < 4; ++i) {
            kings[i] = _fund(makeAddr(string.concat("king", vm.toString(i))));
            stakeAs(kings[i], IStakingManager.Role.King, amounts[i] * UNIT, kings[i]);
        }
        (address first, address second) = kings[1] < kings[3] ? (kings[1], kings[3]) : (kings[3], kings[1]);
        (address[] memory operators, uint256[] memory stakes) = staking.kingSet(3);
        assertEq(operators.length, 3);
        assertEq(operators[0], first);
        assertEq(operators[1], second);
        assertEq(operators[2], kings[0]);
        assertEq(stakes[2], 20_000 * UNIT);
        vm.prank(first);
        staking.requestUnstake(30_000 * UNIT);
        (operators,) = staking.kingSet(21);
        assertEq(operators.length, 3);
        assertEq(operators[0], second);
        assertEq(operators[2], kings[2]);
    }

    function _deliver(uint8 kind, bytes memory fields) private {
        vm.prank(address(ethInbox));
        IMessageRecipient(address(staking)).handle(CLASSIC, address(work), abi.encodePacked(kind, fields), relay);
    }

    function test_reportsAreCumulative() public {
        uint64 deviceId = registerDevice();
        onEthereum();
        _deliver(17, abi.encode(DeviceReport(deviceId, 500, 700_000, 950, 0, 5)));
        _deliver(17, abi.encode(DeviceReport(deviceId, 400, 100_000, 100, 0, 4)));
        IStakingManager.Device memory d = staking.device(deviceId);
        assertEq(d.lastFullPass, 500);
        assertEq(d.reputationPpm, 700_000);
        assertEq(d.settledIndex, 5);
    }

    function test_messagesOfOthersAreRefused() public {
        IMessageRecipient to = IMessageRecipient(address(staking));
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.NotInbox.selector, address(this)));
        to.handle(CLASSIC, address(work), hex"11", relay);
        vm.startPrank(address(ethInbox));
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UntrustedSender.selector, CLASSIC, address(1)));
        to.handle(CLASSIC, address(1), hex"11", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UntrustedSender.selector, 1, address(work)));
        to.handle(1, address(work), hex"11", relay);
        vm.expectRevert(abi.encodeWithSelector(IMessageRecipient.UnknownKind.selector, 16));
        to.handle(CLASSIC, address(work), hex"10", relay);
        vm.expectRevert();
        to.handle(CLASSIC, address(work), "", relay);
    }

    /// @dev Removing the device and asking for the stake back does not get it away from a fault that is still under way.
    function test_removedDeviceIsStillSlashed() public {
        uint64 deviceId = registerDevice();
        onEthereum();
        vm.prank(operator);
        staking.removeDevice(deviceId);
        vm.prank(provider);
        staking.requestUnstake(2000 * UNIT);
        uint256 supply = token.totalSupply();
        _deliver(18, abi.encode(FaultProven(deviceId, 1, 1, address(0), address(0))));
        assertEq(staking.staker(provider).unbonding, 1500 * UNIT);
        assertEq(token.totalSupply(), supply - 500 * UNIT);
        _deliver(18, abi.encode(FaultProven(deviceId, 2, 1, address(0), address(0))));
        assertEq(staking.staker(provider).unbonding, 1500 * UNIT, "never more than the class stake");
    }

    /// @dev The class stake of a removed device backs nothing else while a fault of it may arrive.
    function test_removedDevicesStakeIsNotLockedTwice() public {
        _stake(1000 * UNIT);
        vm.startPrank(operator);
        uint64 first = staking.registerDevice(CLASS, worker);
        staking.registerDevice(CLASS, worker);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.DeviceInService.selector, first));
        staking.releaseDevice(first);
        staking.removeDevice(first);
        assertEq(staking.staker(provider).retiring, 500 * UNIT);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.InsufficientStake.selector, 0, 500 * UNIT));
        staking.registerDevice(CLASS, worker);
        uint64 until = uint64(block.timestamp + 1 days);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.StillUnbonding.selector, until));
        staking.releaseDevice(first);
        vm.warp(until);
        staking.releaseDevice(first);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.releaseDevice(first);
        staking.registerDevice(CLASS, worker);
        vm.stopPrank();
        _deliver(18, abi.encode(FaultProven(first, 1, 1, address(0), address(0))));
        assertEq(staking.staker(provider).staked, 1000 * UNIT, "released stake answers for its new device only");
    }

    /// @dev A shorter unbonding period for later requests does not let stake out ahead of a device that was removed before.
    function test_stakeDoesNotLeaveBeforeRemovedDevicesAreReleased() public {
        _stake(2000 * UNIT);
        vm.prank(operator);
        uint64 id = staking.registerDevice(CLASS, worker);
        vm.prank(operator);
        staking.removeDevice(id);
        uint64 releasesAt = staking.device(id).releasesAt;
        IStakingManager.Parameters memory p = staking.parameters();
        p.unbondingPeriod = 1 hours;
        staking.setParameters(p);
        vm.prank(provider);
        staking.requestUnstake(1000 * UNIT);
        assertEq(staking.staker(provider).unbondsAt, releasesAt);
    }

    function test_rentedDeviceIsNotRemoved() public {
        uint64 deviceId = freshDevice();
        onEthereum();
        uint64 rentalId = rentAs(renter, makeOffer(deviceId), 600);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.DeviceRented.selector, deviceId, rentalId));
        staking.removeDevice(deviceId);
        vm.prank(renter);
        rental.cancel(rentalId);
        vm.prank(operator);
        staking.removeDevice(deviceId);
        assertEq(staking.device(deviceId).removedAt, block.timestamp);
    }

    function test_hotKeyChangesWithoutStakingMore() public {
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownStaker.selector, provider));
        staking.setOperator(operator, PEER);
        _stake(1000 * UNIT);
        vm.startPrank(provider);
        vm.expectRevert(IStakingManager.ZeroAddress.selector);
        staking.setOperator(address(0), PEER);
        vm.expectRevert(IStakingManager.PeerIdMissing.selector);
        staking.setOperator(operator, 0);
        vm.expectEmit(address(staking));
        emit IStakingManager.OperatorSet(provider, relay, PEER);
        staking.setOperator(relay, PEER);
        assertEq(staking.accountOf(relay), provider);
        assertEq(staking.accountOf(operator), address(0));
        staking.setOperator(provider, PEER);
        assertEq(staking.accountOf(relay), address(0));
        staking.setOperator(operator, PEER);
        assertEq(staking.accountOf(operator), provider);
        assertEq(staking.staker(provider).staked, 1000 * UNIT);
    }

    function test_addStakeNamesNothingAgain() public {
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.UnknownStaker.selector, provider));
        staking.addStake(1);
        _stake(1000 * UNIT);
        vm.startPrank(provider);
        token.approve(address(staking), 7);
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        staking.addStake(0);
        staking.addStake(7);
        assertEq(staking.staker(provider).staked, 1000 * UNIT + 7);
    }

    function test_workerKeyChangesAndIsTold() public {
        _stake(1000 * UNIT);
        vm.prank(operator);
        uint64 id = staking.registerDevice(CLASS, worker);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.NotDeviceOwner.selector, address(this), provider));
        staking.changeWorker(id, relay);
        vm.startPrank(operator);
        vm.expectRevert(IStakingManager.ZeroAddress.selector);
        staking.changeWorker(id, address(0));
        bytes memory body = abi.encodePacked(uint8(3), abi.encode(id, relay, uint64(block.timestamp)));
        vm.expectCall(address(ethOutbox), abi.encodeCall(IOutbox.dispatch, (CLASSIC, address(work), body)));
        staking.changeWorker(id, relay);
        assertEq(staking.device(id).worker, relay);
        staking.removeDevice(id);
        vm.expectRevert(abi.encodeWithSelector(IStakingManager.DeviceAlreadyRemoved.selector, id));
        staking.changeWorker(id, worker);
    }

    /// @dev What the contract holds is exactly what accounts have staked and are getting back.
    function testFuzz_balanceIsStakesPlusUnbonding(uint96 amount, uint96 out, bool slash) public {
        amount = uint96(bound(amount, 2000 * UNIT, 100_000 * UNIT));
        _stake(amount);
        vm.prank(operator);
        uint64 deviceId = staking.registerDevice(CLASS, worker);
        out = uint96(bound(out, 1, amount - 1000 * UNIT));
        vm.prank(provider);
        staking.requestUnstake(out);
        if (slash) _deliver(18, abi.encode(FaultProven(deviceId, 1, 1, address(0), address(0))));
        IStakingManager.Staker memory s = staking.staker(provider);
        assertEq(token.balanceOf(address(staking)), uint256(s.staked) + s.unbonding);
    }
}
