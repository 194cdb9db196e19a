// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {World} from "../utils/World.sol";

interface IFaucet {
    event Given(address indexed to, uint256 amount, uint256 nextAt);

    error ForbiddenChain(uint256 chainId);
    error InvalidLimits(uint256 amount, uint64 interval, uint256 dailyLimit);
    error TooEarly(address account, uint256 nextAt);
    error DailyLimitReached(uint256 dailyLimit);
    error FaucetEmpty(uint256 left, uint256 needed);

    function request() external;
    function leftToday() external view returns (uint256);
    function nextAt(address account) external view returns (uint256);
}

contract FaucetTest is World {
    uint256 private constant AMOUNT = 1000 * UNIT;
    uint64 private constant INTERVAL = 1 hours;
    uint256 private constant DAILY = 3000 * UNIT;

    IFaucet private faucet;

    function setUp() public override {
        super.setUp();
        onEthereum();
        faucet = IFaucet(deploy(AMOUNT, INTERVAL, DAILY));
        vm.prank(address(distributor));
        token.mint(address(faucet), 5000 * UNIT);
        vm.warp(10 days);
    }

    function deploy(uint256 amount, uint64 interval, uint256 daily) private returns (address) {
        return deployCode("Faucet.sol:Faucet", abi.encode(token, amount, interval, daily));
    }

    function ask(address account) private {
        vm.prank(account);
        faucet.request();
    }

    function test_givesTheAmountOncePerInterval() public {
        vm.expectEmit(address(faucet));
        emit IFaucet.Given(address(0xa1), AMOUNT, 10 days + INTERVAL);
        ask(address(0xa1));
        assertEq(token.balanceOf(address(0xa1)), AMOUNT);
        assertEq(faucet.leftToday(), DAILY - AMOUNT);

        vm.warp(10 days + INTERVAL - 1);
        vm.expectRevert(abi.encodeWithSelector(IFaucet.TooEarly.selector, address(0xa1), 10 days + INTERVAL));
        ask(address(0xa1));
        vm.warp(10 days + INTERVAL);
        ask(address(0xa1));
        assertEq(token.balanceOf(address(0xa1)), 2 * AMOUNT);
    }

    function test_manyAccountsShareTheDay() public {
        for (uint160 i = 1; i <= 3; ++i) {
            ask(address(0xa0 + i));
        }
        vm.expectRevert(abi.encodeWithSelector(IFaucet.DailyLimitReached.selector, DAILY));
        ask(address(0xa9));
        assertEq(token.balanceOf(address(0xa9)), 0);
        vm.warp(11 days);
        ask(address(0xa9));
        assertEq(token.balanceOf(address(0xa9)), AMOUNT);
    }

    function test_saysThatItIsEmpty() public {
        for (uint160 i; i < 5; ++i) {
            vm.warp((20 + i) * 1 days);
            ask(address(0xa1));
        }
        vm.warp(30 days);
        vm.expectRevert(abi.encodeWithSelector(IFaucet.FaucetEmpty.selector, 0, AMOUNT));
        ask(address(0xa1));
    }

    function test_theRealNetworksHaveNone() public {
        for (uint256 i; i < 2; ++i) {
            uint256 real = i == 0 ? 1 : 61;
            vm.chainId(real);
            vm.expectRevert(abi.encodeWithSelector(IFaucet.ForbiddenChain.selector, real));
            deploy(AMOUNT, INTERVAL, DAILY);
        }
        onEthereum();
        deploy(AMOUNT, INTERVAL, DAILY);
    }

    function test_limitsMustMakeSense() public {
        uint256[2] memory amounts = [uint256(0), DAILY + 1];
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IFaucet.InvalidLimits.selector, amounts[i], INTERVAL, DAILY));
            deploy(amounts[i], INTERVAL, DAILY);
        }
        vm.expectRevert(abi.encodeWithSelector(IFaucet.InvalidLimits.selector, AMOUNT, 0, DAILY));
        deploy(AMOUNT, 0, DAILY);
    }
}
