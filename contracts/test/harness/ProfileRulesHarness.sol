// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ProfileRules} from "../../src/libraries/ProfileRules.sol";
import {ClassProfile} from "../../src/types/Protocol.sol";

/// @dev The rule by itself, without a deployment.
contract ProfileRulesHarness {
    function isValidPair(ClassProfile memory c) external view returns (bool) {
        return ProfileRules.isValidPair(c);
    }
}
