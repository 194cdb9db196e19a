// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title One kind byte followed by the ABI encoding of that kind's struct
library MessageBody {
    error EmptyBody();

    function encode(uint8 kind, bytes memory fields) internal pure returns (bytes memory) {
        return abi.encodePacked(kind, fields);
    }

    function split(bytes calldata body) internal pure returns (uint8 kind, bytes calldata fields) {
        if (body.length == 0) revert EmptyBody();
        kind = uint8(body[0]);
        fields = body[1:];
    }
}
