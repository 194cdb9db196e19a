// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title The accounts with a Queen's stake, and since when they have it
/// @dev Only accounts that hold the minimum stake are on it, so its length costs whoever wants to stuff it real stake.
abstract contract QueenRegistry {
    address[] private queens;
    /// @dev Position in `queens` plus one, and the time of entry.
    mapping(address account => uint256) private queenPosition;
    mapping(address account => uint64) private queenSince;

    function _setQueen(address account, bool listed) internal {
        uint256 position = queenPosition[account];
        if (listed == (position != 0)) return;
        if (listed) {
            queens.push(account);
            queenPosition[account] = queens.length;
            queenSince[account] = uint64(block.timestamp);
            return;
        }
        address last = queens[queens.length - 1];
        queens[position - 1] = last;
        queenPosition[last] = position;
        queens.pop();
        delete queenPosition[account];
        delete queenSince[account];
    }

    function _queensBefore(uint64 time) internal view returns (address[] memory accounts) {
        accounts = queens;
        uint256 kept;
        for (uint256 i; i < accounts.length; ++i) {
            if (queenSince[accounts[i]] < time) accounts[kept++] = accounts[i];
        }
        assembly ("memory-safe") {
            mstore(accounts, kept)
        }
    }
}
