// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IMessageRecipient} from "../../src/interfaces/IBridge.sol";

/// @title A handler that does what a test needs it to do
contract Recipient is IMessageRecipient {
    enum Mode {
        Accept,
        Revert,
        Burn,
        Bomb,
        Reenter,
        Repeat
    }

    Mode public mode;
    uint256 public handled;
    address public deliverer;
    bytes32 public bodyHash;
    bytes private again;

    function set(Mode mode_, bytes calldata again_) external {
        mode = mode_;
        again = again_;
    }

    function handle(uint64, address, bytes calldata body, address deliverer_) external {
        if (mode == Mode.Revert) revert UnknownKind(9);
        if (mode == Mode.Burn) {
            while (true) {}
        }
        if (mode == Mode.Bomb) {
            assembly {
                revert(0x10000, 1000000)
            }
        }
        if (mode == Mode.Reenter) {
            (bool success,) = msg.sender.call(again);
            require(!success, "delivered twice");
        }
        if (mode == Mode.Repeat) {
            mode = Mode.Accept;
            (bool success,) = msg.sender.call(again);
            success;
        }
        handled += 1;
        deliverer = deliverer_;
        bodyHash = keccak256(body);
    }
}
