// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {Wired} from "../libraries/Wired.sol";

/// @title GPUTOKEN: what rentals are paid in, stakes are made of and votes are counted by
/// @dev Vote checkpoints are by timestamp. The cap is on everything ever minted: what is burned can't be minted again.
contract GPUToken is ERC20, ERC20Permit, ERC20Votes, ERC20Burnable, Wired {
    uint256 public immutable cap;
    address public minter;
    uint256 public totalMinted;

    error NotMinter(address caller);
    error CapExceeded(uint256 minted, uint256 cap);

    constructor(uint256 cap_) ERC20("GPUTOKEN", "GPUTOKEN") ERC20Permit("GPUTOKEN") {
        // StakingManager and the bridge keep weights in 96 bits.
        if (cap_ == 0 || cap_ > type(uint96).max) revert CapExceeded(cap_, type(uint96).max);
        cap = cap_;
    }

    /// @param distributor the TokenDistributor, the only minter for ever.
    function wire(address distributor) external wiresOnce {
        minter = _nonZero(distributor);
    }

    function mint(address to, uint256 amount) external {
        if (msg.sender != minter) revert NotMinter(msg.sender);
        uint256 minted = totalMinted + amount;
        if (minted > cap) revert CapExceeded(minted, cap);
        totalMinted = minted;
        _mint(to, amount);
    }

    function clock() public view override returns (uint48) {
        return uint48(block.timestamp);
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    /// @dev Few voters have changed what they hold since a proposal's snapshot: the newest entry is looked at before the history is
    ///      searched.
    function getPastVotes(address account, uint256 timepoint) public view override returns (uint256) {
        uint48 time = _validateTimepoint(timepoint);
        uint32 count = _numCheckpoints(account);
        if (count == 0) return 0;
        Checkpoints.Checkpoint208 memory newest = _checkpoints(account, count - 1);
        return newest._key <= time ? newest._value : super.getPastVotes(account, timepoint);
    }

    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) {
        super._update(from, to, value);
    }
}
