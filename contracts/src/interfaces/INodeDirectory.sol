// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Where Kings can be reached
/// @notice What a node joins by that knows the chain and nobody on the network: Kings are few, known, and have the most to lose.
/// @dev A place is text, multiaddrs with peer ids with a space between two. Nothing here vouches for it: whoever calls it meets a peer
///      whose record and stake are checked like any other's.
interface INodeDirectory {
    event PlaceAnnounced(address indexed operator, string place);

    error NotKing(address operator);
    error PlaceTooLong(uint256 length, uint256 limit);

    /// @notice Says where the caller, a King's operator key, can be reached. Empty text takes it back.
    function announce(string calldata place) external;

    function placeOf(address operator) external view returns (string memory);

    /// @notice Places of the `limit` Kings with the largest stakes, largest first; those that announced nothing are left out.
    function kings(uint256 limit) external view returns (address[] memory operators, string[] memory places);
}
