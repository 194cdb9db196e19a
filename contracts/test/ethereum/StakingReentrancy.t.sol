// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStaking, IStakingManager} from "../../src/interfaces/IStakingManager.sol";
import {IStakingAdmin} from "../utils/World.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

/// @dev A token that tells the receiver, as GPUToken never does.
contract HookToken {
    mapping(address account => uint256) public balanceOf;
    uint256 public supply;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        supply += amount;
    }

    function burn(uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        supply -= amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        if (to.code.length != 0) Reentrant(to).received();
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        if (from.code.length != 0) Reentrant(from).received();
        return true;
    }
}

/// @dev Calls every way out again whenever tokens move.
contract Reentrant {
    IStaking private immutable target;
    bytes[] private attempts;
    bool private busy;
    uint256 public succeeded;
    bool public armed;

    constructor(IStaking target_) {
        target = target_;
        attempts.push(abi.encodeCall(target_.withdraw, ()));
        attempts.push(abi.encodeCall(target_.withdrawDelegation, ()));
        attempts.push(abi.encodeCall(target_.claimRewards, (address(this))));
        attempts.push(abi.encodeCall(target_.claimCredit, (address(this))));
    }

    function arm(bool on) external {
        armed = on;
    }

    function act(bytes calldata data) external {
        (bool success, bytes memory answer) = address(target).call(data);
        if (!success) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function received() external {
        if (!armed || busy) return;
        busy = true;
        for (uint256 i; i < attempts.length; ++i) {
            (bool success,) = address(target).call(attempts[i]);
            if (success) ++succeeded;
        }
        busy = false;
    }
}

contract StakingReentrancyTest is StakingWorld {
    HookToken private hooks;
    IStaking private hooked;
    Reentrant private attacker;
    address private king;

    function setUp() public override {
        super.setUp();
        hooks = new HookToken();
        IStakingManager.ClassStake[] memory none = new IStakingManager.ClassStake[](0);
        address pools = deployCode("StakingPools.sol:StakingPools", abi.encode(hooks));
        bytes memory arguments = abi.encode(hooks, address(this), _stakingParameters(), none, pools);
        hooked = IStaking(deployCode("StakingManager.sol:StakingManager", arguments));
        IStakingAdmin(address(hooked))
            .wire(address(ethInbox), address(ethOutbox), CLASSIC, address(work), address(this), address(rental));
        attacker = new Reentrant(hooked);
        king = makeAddr("king");
        hooks.mint(address(attacker), 30_000 * UNIT);
        hooks.mint(king, 50_000 * UNIT);
        vm.startPrank(king);
        hooked.stake(KING, 50_000 * UNIT, king, PEER);
        hooked.announceCommission(0);
        vm.stopPrank();
    }

    function _act(bytes memory data) private {
        attacker.act(data);
        assertEq(hooks.balanceOf(address(hooked)), hooked.totalHeld());
    }

    /// @dev Each way out pays once, whatever is called while the tokens move.
    function test_everyWayOutPaysOnce() public {
        _act(abi.encodeCall(hooked.stake, (QUEEN, 20_000 * UNIT, address(attacker), PEER)));
        _act(abi.encodeCall(hooked.delegateStake, (king, 10_000 * UNIT)));
        hooks.mint(address(hooked), 20 * UNIT);
        hooked.notifyReward(QUEEN, 20 * UNIT);
        _act(abi.encodeCall(hooked.requestUnstake, (20_000 * UNIT)));
        _act(abi.encodeCall(hooked.undelegateStake, (10_000 * UNIT)));
        vm.warp(block.timestamp + 1 days);
        attacker.arm(true);
        _act(abi.encodeCall(hooked.withdraw, ()));
        // While `withdraw` paid, the delegation and the rewards were taken as well: each once.
        assertEq(attacker.succeeded(), 2);
        assertEq(hooks.balanceOf(address(attacker)), 30_020 * UNIT);
        assertEq(hooks.balanceOf(address(hooked)), 50_000 * UNIT, "the King's stake is untouched");
        vm.expectRevert(IStakingManager.ZeroAmount.selector);
        attacker.act(abi.encodeCall(hooked.withdraw, ()));
    }

    function test_reenteringStakeGainsNothing() public {
        attacker.arm(true);
        _act(abi.encodeCall(hooked.stake, (QUEEN, 20_000 * UNIT, address(attacker), PEER)));
        _act(abi.encodeCall(hooked.delegateStake, (king, 10_000 * UNIT)));
        assertEq(attacker.succeeded(), 0);
        assertEq(hooks.balanceOf(address(hooked)), 80_000 * UNIT);
    }
}
