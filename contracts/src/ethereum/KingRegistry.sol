// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title The list of accounts with a King's stake, to be ranked by a view
/// @dev Only accounts that hold the minimum stake are on it, so its length costs whoever wants to stuff it real stake.
abstract contract KingRegistry {
    address[] private kings;
    /// @dev Position in `kings` plus one.
    mapping(address account => uint256) private kingPosition;

    function _setKing(address account, bool listed) internal {
        uint256 position = kingPosition[account];
        if (listed == (position != 0)) return;
        if (listed) {
            kings.push(account);
            kingPosition[account] = kings.length;
            return;
        }
        address last = kings[kings.length - 1];
        kings[position - 1] = last;
        kingPosition[last] = position;
        kings.pop();
        delete kingPosition[account];
    }

    /// @dev Highest stake first, ties by ascending account. Selection by rank: meant for views.
    function _topKings(uint256 limit) internal view returns (address[] memory accounts, uint256[] memory stakes) {
        uint256 length = kings.length;
        if (limit > length) limit = length;
        address[] memory pool = kings;
        accounts = new address[](limit);
        stakes = new uint256[](limit);
        for (uint256 rank; rank < limit; ++rank) {
            uint256 best = rank;
            uint256 bestStake = _stakeOf(pool[rank]);
            for (uint256 i = rank + 1; i < length; ++i) {
                uint256 candidate = _stakeOf(pool[i]);
                if (candidate > bestStake || (candidate == bestStake && pool[i] < pool[best])) {
                    best = i;
                    bestStake = candidate;
                }
            }
            (pool[rank], pool[best]) = (pool[best], pool[rank]);
            accounts[rank] = pool[rank];
            stakes[rank] = bestStake;
        }
    }

    function _stakeOf(address account) internal view virtual returns (uint256);
}
