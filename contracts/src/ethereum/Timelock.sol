// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

// Brings OpenZeppelin's TimelockController into the build: it owns the market and executes what Governance decided.
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
