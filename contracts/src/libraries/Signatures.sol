// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Recovery of EIP-2098 compact signatures
/// @dev Compiles for Shanghai. A high-s or zero signature recovers to the zero address, which no caller accepts.
library Signatures {
    /// @dev secp256k1 group order, halved: a signature above it has a twin and is refused (EIP-2).
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    uint256 private constant S_MASK = (1 << 255) - 1;

    /// @return signer zero if the signature is malformed.
    function recover(bytes32 digest, bytes32 r, bytes32 vs) internal pure returns (address signer) {
        uint256 s = uint256(vs) & S_MASK;
        if (s > HALF_ORDER) return address(0);
        // forge-lint: disable-next-line(unsafe-typecast)
        uint8 v = uint8(uint256(vs) >> 255) + 27;
        signer = ecrecover(digest, v, r, bytes32(s));
    }
}
