// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {INodeDirectory} from "../interfaces/INodeDirectory.sol";
import {IStakePools, IStakingManager} from "../interfaces/IStakingManager.sol";

/// @title Where Kings can be reached
contract NodeDirectory is INodeDirectory {
    /// @dev Room for an address of each transport. Readers call this off chain; the bound keeps their answers small.
    uint256 public constant MAX_BYTES = 400;

    IStakePools public immutable stakes;

    /// @inheritdoc INodeDirectory
    mapping(address operator => string) public placeOf;

    constructor(IStakePools stakes_) {
        stakes = stakes_;
    }

    /// @inheritdoc INodeDirectory
    function announce(string calldata place) external {
        if (bytes(place).length > MAX_BYTES) revert PlaceTooLong(bytes(place).length, MAX_BYTES);
        address account = stakes.accountOf(msg.sender);
        if (account == address(0) || !stakes.hasRole(account, IStakingManager.Role.King)) revert NotKing(msg.sender);
        placeOf[msg.sender] = place;
        emit PlaceAnnounced(msg.sender, place);
    }

    /// @inheritdoc INodeDirectory
    function kings(uint256 limit) external view returns (address[] memory operators, string[] memory places) {
        (operators,) = stakes.kingSet(limit);
        places = new string[](operators.length);
        uint256 kept;
        for (uint256 i; i < operators.length; ++i) {
            string memory place = placeOf[operators[i]];
            if (bytes(place).length == 0) continue;
            (operators[kept], places[kept]) = (operators[i], place);
            ++kept;
        }
        assembly ("memory-safe") {
            mstore(operators, kept)
            mstore(places, kept)
        }
    }
}
