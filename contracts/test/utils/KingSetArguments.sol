// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Constructor arguments of KingSet, with the times of the tests
library KingSetArguments {
    uint64 internal constant FIRST_EPOCH = 1;
    uint32 internal constant OVERLAP = 2 days;
    uint32 internal constant WINDOW = 1 days;
    uint32 internal constant DELAY = 7 days;
    uint32 internal constant LIFETIME = 365 days;

    struct Ends {
        address inbox;
        address outbox;
        uint64 farChainId;
        address farOutbox;
        address stakes;
    }

    function encode(bytes32[] memory members, uint64 expiry, Ends memory ends) internal pure returns (bytes memory) {
        return abi.encode(members, FIRST_EPOCH, expiry, ends, [OVERLAP, DELAY, WINDOW, LIFETIME]);
    }

    /// @dev A set that is asked for digests and hashes only.
    function alone(bytes32[] memory members) internal view returns (bytes memory) {
        Ends memory ends = Ends(address(1), address(2), uint64(block.chainid) + 1, address(3), address(0));
        return encode(members, uint64(block.timestamp) + LIFETIME, ends);
    }
}
