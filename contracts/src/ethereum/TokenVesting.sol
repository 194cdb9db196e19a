// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {ITokenDistributor} from "../interfaces/ITokenDistributor.sol";
import {EmissionMath} from "../libraries/EmissionMath.sol";
import {GPUToken} from "./GPUToken.sol";

/// @title Genesis allocations: a cliff, then linear vesting, revocable where the allocation says so
abstract contract TokenVesting is ITokenDistributor, Ownable {
    using SafeERC20 for GPUToken;

    uint256 private constant ALLOCATION_LIMIT = 200;

    GPUToken public immutable token;
    /// @notice What all allocations add up to.
    uint256 public immutable genesisTotal;
    bool public genesisDone;
    /// @inheritdoc ITokenDistributor
    uint256 public treasury;
    Vesting[] private vestings;

    constructor(GPUToken token_, uint256 genesisTotal_) {
        token = token_;
        genesisTotal = genesisTotal_;
    }

    /// @inheritdoc ITokenDistributor
    function genesis(Allocation[] calldata allocations) external onlyOwner {
        if (genesisDone) revert GenesisAlreadyDone();
        if (allocations.length > ALLOCATION_LIMIT) revert TooManyAllocations(allocations.length, ALLOCATION_LIMIT);
        genesisDone = true;
        uint256 allocated;
        for (uint256 i; i < allocations.length; ++i) {
            Allocation calldata a = allocations[i];
            bool kept = a.beneficiary == address(0);
            if (a.amount == 0 || a.cliff > a.duration || (kept && a.category != Category.Treasury)) revert InvalidAllocation(i);
            // Far beyond any schedule; keeps start + duration from overflowing.
            if (a.start > type(uint48).max || a.duration > type(uint48).max) revert InvalidAllocation(i);
            allocated += a.amount;
            vestings.push(Vesting(a, 0, 0));
            emit AllocationCreated(i, a.beneficiary, a.category, a.amount, a.start, a.cliff, a.duration, a.revocable);
        }
        if (allocated != genesisTotal) revert GenesisMismatch(allocated, genesisTotal);
        token.mint(address(this), allocated);
        for (uint256 i; i < allocations.length; ++i) {
            _release(i);
        }
    }

    /// @inheritdoc ITokenDistributor
    function release(uint256 id) external returns (uint256 amount) {
        if (id >= vestings.length) revert UnknownAllocation(id);
        amount = _release(id);
        if (amount == 0) revert NothingToRelease(id);
    }

    /// @inheritdoc ITokenDistributor
    function revoke(uint256 id) external onlyOwner returns (uint256 returned) {
        if (id >= vestings.length) revert UnknownAllocation(id);
        Vesting storage v = vestings[id];
        if (!v.allocation.revocable || v.revokedAt != 0) revert NotRevocable(id);
        returned = v.allocation.amount - vestedAt(id, uint64(block.timestamp));
        v.revokedAt = uint64(block.timestamp);
        treasury += returned;
        emit Revoked(id, v.allocation.beneficiary, returned);
    }

    /// @inheritdoc ITokenDistributor
    function withdrawTreasury(address to, uint256 amount) external onlyOwner {
        if (to == address(0)) revert ZeroAddress();
        if (amount > treasury) revert InsufficientTreasury(treasury, amount);
        treasury -= amount;
        emit TreasuryWithdrawn(to, amount);
        token.safeTransfer(to, amount);
    }

    /// @inheritdoc ITokenDistributor
    function allocationCount() external view returns (uint256) {
        return vestings.length;
    }

    /// @inheritdoc ITokenDistributor
    function vesting(uint256 id) external view returns (Vesting memory) {
        if (id >= vestings.length) revert UnknownAllocation(id);
        return vestings[id];
    }

    /// @inheritdoc ITokenDistributor
    function vestedAt(uint256 id, uint64 time) public view returns (uint256 amount) {
        if (id >= vestings.length) revert UnknownAllocation(id);
        Vesting storage v = vestings[id];
        Allocation storage a = v.allocation;
        if (v.revokedAt != 0 && time > v.revokedAt) time = v.revokedAt;
        return EmissionMath.vested(a.amount, a.start, a.cliff, a.duration, time);
    }

    function _release(uint256 id) private returns (uint256 amount) {
        Vesting storage v = vestings[id];
        amount = vestedAt(id, uint64(block.timestamp)) - v.released;
        if (amount == 0) return 0;
        v.released += uint128(amount);
        address beneficiary = v.allocation.beneficiary;
        emit Released(id, beneficiary, amount);
        if (beneficiary == address(0)) treasury += amount;
        else token.safeTransfer(beneficiary, amount);
    }
}
