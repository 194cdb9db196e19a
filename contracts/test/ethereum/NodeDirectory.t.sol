// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {INodeDirectory} from "../../src/interfaces/INodeDirectory.sol";
import {NodeDirectory} from "../../src/ethereum/NodeDirectory.sol";
import {RoleMatrix} from "../utils/RoleMatrix.sol";
import {StakingWorld} from "../utils/StakingWorld.sol";

contract NodeDirectoryTest is StakingWorld, RoleMatrix {
    string private constant PLACE = "/dns4/king.example/tcp/7700/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";

    INodeDirectory private directory;

    function setUp() public override {
        super.setUp();
        directory = INodeDirectory(deployCode("NodeDirectory.sol:NodeDirectory", abi.encode(address(staking))));
    }

    function _announce(address king, string memory place) private {
        vm.prank(king);
        directory.announce(place);
    }

    function test_kingsSayWhereTheyAre() public {
        address poor = _staker("poor", KING, 20_000 * UNIT);
        address rich = _staker("rich", KING, 30_000 * UNIT);
        _staker("silent", KING, 25_000 * UNIT);
        _announce(poor, "/ip4/203.0.113.7/tcp/7700");
        vm.expectEmit(address(directory));
        emit INodeDirectory.PlaceAnnounced(rich, PLACE);
        _announce(rich, PLACE);
        (address[] memory operators, string[] memory places) = directory.kings(21);
        assertEq(operators.length, 2, "who said nothing is left out");
        assertEq(operators[0], rich);
        assertEq(places[0], PLACE);
        assertEq(places[1], "/ip4/203.0.113.7/tcp/7700");
        (operators, places) = directory.kings(1);
        assertEq(places.length, 1);
        assertEq(operators[0], rich);
        _announce(rich, "");
        (, places) = directory.kings(21);
        assertEq(places.length, 1, "taken back");
        assertEq(directory.placeOf(poor), "/ip4/203.0.113.7/tcp/7700");
    }

    /// @dev A place stands for as long as its King does.
    function test_whoStopsBeingAKingIsNotListed() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        _announce(king, PLACE);
        vm.prank(king);
        staking.requestUnstake(20_000 * UNIT);
        (address[] memory operators,) = directory.kings(21);
        assertEq(operators.length, 0);
        vm.expectRevert(abi.encodeWithSelector(INodeDirectory.NotKing.selector, king));
        _announce(king, PLACE);
    }

    /// @dev The key that runs the node speaks for it; once it is replaced, it no longer does.
    function test_theOperatorKeySpeaks() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        address hot = makeAddr("hot");
        vm.prank(king);
        staking.setOperator(hot, PEER);
        _announce(hot, PLACE);
        (address[] memory operators,) = directory.kings(21);
        assertEq(operators[0], hot);
        vm.prank(king);
        staking.setOperator(makeAddr("hotter"), PEER);
        (operators,) = directory.kings(21);
        assertEq(operators.length, 0);
        vm.expectRevert(abi.encodeWithSelector(INodeDirectory.NotKing.selector, hot));
        _announce(hot, PLACE);
    }

    function test_aPlaceIsBounded() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        _announce(king, string(new bytes(400)));
        vm.expectRevert(abi.encodeWithSelector(INodeDirectory.PlaceTooLong.selector, 401, 400));
        _announce(king, string(new bytes(401)));
    }

    function test_roles() public {
        address king = _staker("king", KING, 20_000 * UNIT);
        address queen = _staker("queen", QUEEN, 5000 * UNIT);
        callers = [king, queen, provider, renter, address(staking), address(this)];
        _doneRow("announce", abi.encodeCall(INodeDirectory.announce, (PLACE)), 1, INodeDirectory.NotKing.selector);
        _walk(address(directory), "NodeDirectory");
    }
}
