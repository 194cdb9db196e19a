// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IWorkVerification} from "../../src/interfaces/IWorkVerification.sol";
import {CHEATS} from "../utils/Cheats.sol";
import {WorkWorld} from "../utils/WorkWorld.sol";

/// @dev Takes coin and tries to take more while it does.
contract Greedy {
    IWorkVerification private immutable work;
    uint256 private amount;
    bool public tried;

    constructor(IWorkVerification work_) {
        work = work_;
    }

    function take(uint256 amount_) external {
        amount = amount_;
        _take();
    }

    receive() external payable {
        tried = true;
        _take();
    }

    function _take() private {
        (bool success,) = address(work).call(abi.encodeWithSignature("withdraw(address,uint256)", address(this), amount));
        require(success || tried, "first");
    }
}

/// @dev Gas that providers prepay for what others send on their behalf.
contract WorkFundTest is WorkWorld {
    uint256 private constant CAP = 1e9;

    function setUp() public override {
        super.setUp();
        vm.deal(address(this), 10 ether);
        vm.txGasPrice(3 * CAP);
    }

    function test_openSealAndReportAreRefundedAtTheCappedPrice() public {
        work.deposit{value: 1 ether}(provider);
        assertEq(work.fundOf(provider), 1 ether);
        (uint64 b, bytes32 hash) = openChallenge();
        uint256 opened = work.fundOf(address(this));
        assertGt(opened, 21_000 * CAP);
        assertLt(opened, 400_000 * CAP, "at the cap, not at the price paid");
        assertEq(work.fundOf(provider), 1 ether - opened);
        _commitMeasured(b, hash, 1, 60);
        vm.roll(b + 10);
        CHEATS.setBlockhash(b + 9, sealHashOf(b));
        work.seal(b);
        uint256 sealed_ = work.fundOf(address(this));
        assertGt(sealed_, opened);
        work.seal(b);
        assertEq(work.fundOf(address(this)), sealed_, "nothing for a second one");
        vm.roll(b + 30);
        work.reportDevice(DEVICE);
        uint256 reported = work.fundOf(address(this));
        assertGt(reported, sealed_);
        missChallenge();
        uint256 missed = work.fundOf(address(this));
        vm.roll(block.number + 20);
        work.reportDevice(DEVICE);
        assertGt(missed, reported);
        assertEq(work.fundOf(address(this)), missed, "one report in six hours");
    }

    function test_emptyFundBlocksNothing() public {
        work.deposit{value: 5}(provider);
        openChallenge();
        assertEq(work.fundOf(address(this)), 5, "as far as it goes");
        assertEq(work.fundOf(provider), 0);
        vm.roll(block.number + 20);
        openChallenge();
        assertEq(work.challengeCount(), 2);
    }

    function test_fundIsItsOwners() public {
        work.deposit{value: 3 ether}(provider);
        vm.startPrank(provider);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.FundTooSmall.selector, 3 ether, 4 ether));
        work.withdraw(relay, 4 ether);
        vm.expectRevert(IWorkVerification.ZeroAddress.selector);
        work.withdraw(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.TransferFailed.selector, address(etcOutbox)));
        work.withdraw(address(etcOutbox), 1);
        work.withdraw(relay, 1 ether);
        vm.stopPrank();
        assertEq(relay.balance, 1 ether);
        assertEq(work.fundOf(provider), 2 ether);
        vm.prank(worker);
        vm.expectRevert(abi.encodeWithSelector(IWorkVerification.FundTooSmall.selector, 0, 1));
        work.withdraw(worker, 1);
        vm.expectRevert(IWorkVerification.ZeroAddress.selector);
        work.deposit{value: 1}(address(0));
        vm.expectRevert(IWorkVerification.ZeroAddress.selector);
        work.deposit{value: 1}(address(work));
    }

    function test_coinWithoutAPurposeIsSentBack() public {
        (bool success, bytes memory reason) = address(work).call{value: 1}("");
        assertFalse(success);
        assertEq(reason, abi.encodeWithSelector(IWorkVerification.NoPurpose.selector, 1));
    }

    function test_withdrawalsCannotBeNested() public {
        Greedy greedy = new Greedy(work);
        work.deposit{value: 1 ether}(address(greedy));
        work.deposit{value: 1 ether}(provider);
        greedy.take(1 ether);
        assertTrue(greedy.tried());
        assertEq(address(greedy).balance, 1 ether);
        assertEq(address(work).balance, 1 ether);
    }

    function testFuzz_coinIsConserved(uint96 first, uint96 second, uint96 out) public {
        vm.deal(address(this), uint256(first) + second);
        work.deposit{value: first}(provider);
        work.deposit{value: second}(relay);
        out = uint96(bound(out, 0, first));
        vm.prank(provider);
        work.withdraw(owner, out);
        assertEq(work.fundOf(provider) + work.fundOf(relay), address(work).balance);
        assertEq(owner.balance, out);
    }
}
