// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IInbox} from "../../src/interfaces/IBridge.sol";
import {IGPURental} from "../../src/interfaces/IGPURental.sol";
import {Checkpoint, Message, Quorum} from "../../src/types/Protocol.sol";
import {RentalWorld} from "../utils/RentalWorld.sol";
import {TreeReference} from "../utils/TreeReference.sol";

/// @dev A claim that brings its report along, over the real bridge.
contract RentalClaimsTest is RentalWorld {
    uint64 private id;
    uint256 private constant PAY = 600 * uint256(PRICE);

    function setUp() public override {
        super.setUp();
        id = _active(600);
        vm.warp(T0 + 600);
    }

    /// @dev Under an accepted root, not delivered.
    function _send(address from, address to, bytes memory body)
        private
        returns (Message memory message, bytes32 root, bytes32[32] memory proof)
    {
        onClassic();
        vm.prank(from);
        uint32 index = etcOutbox.dispatch(ETHEREUM, to, body);
        collect();
        Checkpoint memory c = checkpointOf(etcOutbox);
        onEthereum();
        Quorum memory q = sign(c, 7);
        ethInbox.submitCheckpoint(c, q);
        message = sent[address(etcOutbox)][index];
        (root, proof) = TreeReference.open(ids[address(etcOutbox)], index);
    }

    function _finalReport() private view returns (bytes memory) {
        return _bodyOf(id, 600, 600, 3, 3, true);
    }

    function test_theProviderBringsItsOwnReport() public {
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(address(work), address(rental), _finalReport());
        uint256 before = token.balanceOf(relay);
        vm.expectEmit(address(rental));
        emit IGPURental.Claimed(provider, relay, PAY + 2e15 + 1e15);
        vm.prank(provider);
        rental.claimWithReport(message, root, proof, relay);
        assertEq(token.balanceOf(relay) - before, PAY + 2e15 + 1e15, "pay, ready fee, and the bridge fee of who brought it");
        assertTrue(ethInbox.delivered(message.index));
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }

    function test_aReportThatSomebodyElseBroughtIsNoObstacle() public {
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(address(work), address(rental), _finalReport());
        vm.prank(relay);
        ethInbox.deliver(message, root, proof);
        vm.prank(provider);
        assertEq(rental.claimWithReport(message, root, proof, provider), PAY + 2e15);
        assertEq(rental.credit(relay), 1e15);
    }

    function test_aStrangerGetsTheBridgeFeeAndNothingElse() public {
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(address(work), address(rental), _finalReport());
        address stranger = makeAddr("stranger");
        vm.prank(stranger);
        assertEq(rental.claimWithReport(message, root, proof, stranger), 1e15);
        assertEq(rental.credit(provider), PAY + 2e15);
        assertEq(rental.credit(address(rental)), 0);
    }

    function test_nobodyIsNoPayee() public {
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(address(work), address(rental), _finalReport());
        vm.prank(provider);
        vm.expectRevert(IGPURental.ZeroAddress.selector);
        rental.claimWithReport(message, root, proof, address(0));
        assertFalse(ethInbox.delivered(message.index));
    }

    function test_onlyReportsForRentalsComeAlong() public {
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(address(work), address(staking), "x");
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.ForeignMessage.selector, address(staking)));
        rental.claimWithReport(message, root, proof, provider);
    }

    function test_aForgedReportIsRefused() public {
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(address(work), address(rental), _finalReport());
        message.body = _bodyOf(id, 600, 599, 3, 3, true);
        vm.prank(provider);
        vm.expectPartialRevert(IInbox.InvalidProof.selector);
        rental.claimWithReport(message, root, proof, provider);
        vm.prank(provider);
        vm.expectPartialRevert(IInbox.RootNotAccepted.selector);
        rental.claimWithReport(message, keccak256("root"), proof, provider);
        assertEq(rental.credit(provider), 2e15);
    }

    /// @dev The Inbox keeps a message whose handler reverts; the claim pays what there is.
    function test_aMessageThatIsNoReportChangesNothing() public {
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(relay, address(rental), _finalReport());
        vm.prank(provider);
        assertEq(rental.claimWithReport(message, root, proof, provider), 2e15);
        assertFalse(ethInbox.delivered(message.index));
        vm.prank(provider);
        vm.expectRevert(abi.encodeWithSelector(IGPURental.NothingToClaim.selector, provider));
        rental.claimWithReport(message, root, proof, provider);
    }

    function test_theLimitHoldsHereToo() public {
        rental.setWithdrawalLimit(uint96(PAY / 2), 1000);
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(address(work), address(rental), _finalReport());
        vm.prank(provider);
        assertEq(rental.claimWithReport(message, root, proof, provider), 2e15 + PAY / 2);
    }

    /// @dev A recipient of another message calls back into every door that pays while it is being handled.
    function test_aRecipientThatComesBackTakesNothing() public {
        Intruder intruder = new Intruder(address(rental), renter);
        (Message memory message, bytes32 root, bytes32[32] memory proof) = _send(address(work), address(rental), _finalReport());
        intruder.carry(abi.encodeCall(rental.claimWithReport, (message, root, proof, address(intruder))));
        (Message memory bait, bytes32 other, bytes32[32] memory path) = _send(relay, address(intruder), "");
        ethInbox.deliver(bait, other, path);
        assertEq(intruder.calls(), 3);
        // It brought the report, so the bridge fee is its own; the rest is where it belongs.
        assertEq(token.balanceOf(address(intruder)), 1e15);
        assertEq(rental.credit(provider), PAY + 2e15);
        _assertClosed(id, IGPURental.CloseReason.Completed);
    }
}

contract Intruder {
    address private immutable rental;
    address private immutable victim;
    bytes private carried;
    uint256 public calls;

    constructor(address rental_, address victim_) {
        rental = rental_;
        victim = victim_;
    }

    function carry(bytes calldata data) external {
        carried = data;
    }

    function handle(uint64, address, bytes calldata, address) external {
        bytes[3] memory doors =
            [abi.encodeWithSignature("claim(address)", address(this)), carried, abi.encodeWithSignature("collectFees()")];
        for (uint256 i; i < doors.length; ++i) {
            ++calls;
            // Whether it works is for the books to say.
            (bool success,) = rental.call(doors[i]);
            success;
        }
    }
}
