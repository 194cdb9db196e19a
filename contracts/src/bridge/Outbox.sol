// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IOutbox} from "../interfaces/IBridge.sol";
import {MessageTree} from "../libraries/MessageTree.sol";

/// @title Append-only Merkle tree of the messages that leave this chain
/// @dev Permissionless: a recipient trusts `(origin, sender)`, never the mere existence of a message.
contract Outbox is IOutbox {
    /// @dev Bounds what one delivery can cost; the largest protocol message is 257 bytes.
    uint256 public constant BODY_LIMIT = 4096;

    uint32 public count;
    /// @dev Left siblings of the next leaf's path, by height.
    bytes32[32] private branch;

    /// @inheritdoc IOutbox
    function dispatch(uint64 destination, address recipient, bytes calldata body) external returns (uint32 index) {
        uint64 origin = uint64(block.chainid);
        if (destination == origin) revert DestinationIsOrigin(destination);
        if (body.length > BODY_LIMIT) revert BodyTooLong(body.length, BODY_LIMIT);
        index = count;
        if (index == type(uint32).max) revert TreeFull();
        count = index + 1;

        bytes32 id = MessageTree.messageId(index, origin, msg.sender, destination, recipient, body);
        _insert(MessageTree.leaf(id), index + 1);
        emit MessageDispatched(index, id, msg.sender, destination, recipient, body);
    }

    /// @inheritdoc IOutbox
    function root() external view returns (bytes32 hash) {
        uint256 size = count;
        bytes32 zero;
        for (uint256 height; height < MessageTree.DEPTH; ++height) {
            hash = (size >> height) & 1 == 1 ? MessageTree.node(branch[height], hash) : MessageTree.node(hash, zero);
            zero = MessageTree.node(zero, zero);
        }
    }

    /// @dev `size` counts the new leaf; the lowest set bit is where its completed subtree is kept.
    function _insert(bytes32 hash, uint256 size) private {
        uint256 height;
        while (size & 1 == 0) {
            hash = MessageTree.node(branch[height], hash);
            size >>= 1;
            ++height;
        }
        branch[height] = hash;
    }
}
