// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IWorkVerification} from "../interfaces/IWorkVerification.sol";

/// @title Reads the timestamp out of an RLP-encoded block header
/// @dev The caller checks the header's hash. Bytes that are not a header make it revert, never read out of bounds.
library HeaderReader {
    uint256 private constant TIMESTAMP_FIELD = 11;

    function timestamp(bytes calldata header) internal pure returns (uint64) {
        (uint256 position, uint256 length, bool isList) = _item(header, 0);
        uint256 end = position + length;
        if (!isList || end != header.length) revert IWorkVerification.MalformedHeader();
        for (uint256 field; field < TIMESTAMP_FIELD; ++field) {
            (uint256 payload, uint256 size,) = _item(header, position);
            position = payload + size;
        }
        (position, length, isList) = _item(header, position);
        if (isList || length > 8) revert IWorkVerification.MalformedHeader();
        uint256 value;
        for (uint256 i; i < length; ++i) {
            value = (value << 8) | uint8(header[position + i]);
        }
        return uint64(value);
    }

    /// @return payload where the item's content starts.
    /// @return length of the content.
    function _item(bytes calldata data, uint256 position) private pure returns (uint256 payload, uint256 length, bool isList) {
        if (position >= data.length) revert IWorkVerification.MalformedHeader();
        uint256 prefix = uint8(data[position]);
        if (prefix < 0x80) return (position, 1, false);
        isList = prefix >= 0xc0;
        uint256 short = prefix - (isList ? 0xc0 : 0x80);
        payload = position + 1;
        length = short;
        if (short > 55) {
            uint256 lengthBytes = short - 55;
            // Four bytes of length are more than any transaction can carry.
            if (lengthBytes > 4 || payload + lengthBytes > data.length) revert IWorkVerification.MalformedHeader();
            length = 0;
            for (uint256 i; i < lengthBytes; ++i) {
                length = (length << 8) | uint8(data[payload + i]);
            }
            payload += lengthBytes;
        }
        if (payload + length > data.length) revert IWorkVerification.MalformedHeader();
    }
}
