// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title One-time wiring by the deployer, for addresses that are known only after deployment
/// @dev Contracts that know each other can't all take the other's address in their constructor. Once wired, nobody holds this
///      right any more.
abstract contract Wired {
    /// @notice Who may still wire this contract; zero once it is wired.
    address public wirer;

    event Wiring(address indexed by);

    error NotWirer(address caller, address wirer);
    error ZeroWiring();

    constructor() {
        wirer = msg.sender;
    }

    modifier wiresOnce() {
        if (msg.sender != wirer || wirer == address(0)) revert NotWirer(msg.sender, wirer);
        wirer = address(0);
        emit Wiring(msg.sender);
        _;
    }

    function _nonZero(address account) internal pure returns (address) {
        if (account == address(0)) revert ZeroWiring();
        return account;
    }
}
