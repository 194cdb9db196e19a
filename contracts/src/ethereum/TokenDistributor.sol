// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {Wired} from "../libraries/Wired.sol";
import {GPUToken} from "./GPUToken.sol";

/// @title Genesis allocations with vesting, and what becomes of protocol fees
/// @dev Owner: the timelock. It can withdraw the treasury and revoke what was created revocable, nothing else.
contract TokenDistributor is Ownable, Wired {
    using SafeERC20 for GPUToken;

    struct Allocation {
        address beneficiary;
        uint128 amount;
        uint64 start;
        /// @dev Seconds after start before which nothing vests.
        uint64 cliff;
        /// @dev Seconds after start at which everything has vested; 0 vests at start.
        uint64 duration;
        bool revocable;
    }

    struct Vesting {
        Allocation allocation;
        uint128 released;
        /// @dev Zero unless revoked; vesting stopped there.
        uint64 revokedAt;
    }

    uint256 private constant ALLOCATION_LIMIT = 200;

    GPUToken public immutable token;
    address public gpuRental;
    bool public genesisDone;
    /// @notice Fees kept for the treasury and revoked allocations, not withdrawn yet.
    uint256 public treasury;
    uint256 public totalBurned;
    Vesting[] private vestings;

    event AllocationCreated(
        uint256 indexed id,
        address indexed beneficiary,
        uint256 amount,
        uint64 start,
        uint64 cliff,
        uint64 duration,
        bool revocable
    );
    event Released(uint256 indexed id, address indexed beneficiary, uint256 amount);
    event Revoked(uint256 indexed id, address indexed beneficiary, uint256 returned);
    event FeeReceived(uint256 amount, uint256 burned, uint256 kept);
    event TreasuryWithdrawn(address indexed to, uint256 amount);

    error GenesisAlreadyDone();
    error InvalidAllocation(uint256 position);
    error TooManyAllocations(uint256 length, uint256 limit);
    error UnknownAllocation(uint256 id);
    error NothingToRelease(uint256 id);
    error NotRevocable(uint256 id);
    error NotGPURental(address caller);
    error InsufficientTreasury(uint256 available, uint256 needed);
    error ZeroAddress();

    constructor(GPUToken token_, address owner_) Ownable(owner_) {
        token = token_;
    }

    function wire(address gpuRental_) external wiresOnce {
        gpuRental = _nonZero(gpuRental_);
    }

    /// @notice Mints and records all allocations, once. What has vested already is paid out at once.
    function genesis(Allocation[] calldata allocations) external onlyOwner {
        if (genesisDone) revert GenesisAlreadyDone();
        if (allocations.length > ALLOCATION_LIMIT) revert TooManyAllocations(allocations.length, ALLOCATION_LIMIT);
        genesisDone = true;
        uint256 total;
        for (uint256 i; i < allocations.length; ++i) {
            Allocation calldata a = allocations[i];
            if (a.beneficiary == address(0) || a.amount == 0 || a.cliff > a.duration) revert InvalidAllocation(i);
            // Far beyond any schedule; keeps start + duration from overflowing.
            if (a.start > type(uint48).max || a.duration > type(uint48).max) revert InvalidAllocation(i);
            total += a.amount;
            vestings.push(Vesting(a, 0, 0));
            emit AllocationCreated(i, a.beneficiary, a.amount, a.start, a.cliff, a.duration, a.revocable);
        }
        token.mint(address(this), total);
        for (uint256 i; i < allocations.length; ++i) {
            _release(i);
        }
    }

    /// @notice Pays the beneficiary of allocation `id` what has vested; anybody may call it.
    function release(uint256 id) external returns (uint256 amount) {
        if (id >= vestings.length) revert UnknownAllocation(id);
        amount = _release(id);
        if (amount == 0) revert NothingToRelease(id);
    }

    /// @notice Stops the vesting of a revocable allocation; the unvested part goes to the treasury.
    function revoke(uint256 id) external onlyOwner returns (uint256 returned) {
        if (id >= vestings.length) revert UnknownAllocation(id);
        Vesting storage v = vestings[id];
        if (!v.allocation.revocable || v.revokedAt != 0) revert NotRevocable(id);
        returned = v.allocation.amount - vestedAt(id, uint64(block.timestamp));
        v.revokedAt = uint64(block.timestamp);
        treasury += returned;
        emit Revoked(id, v.allocation.beneficiary, returned);
    }

    /// @notice GPURental has transferred a protocol fee: half is burned, half belongs to the treasury.
    function onFee(uint256 amount) external {
        if (msg.sender != gpuRental) revert NotGPURental(msg.sender);
        uint256 burned = amount / 2;
        treasury += amount - burned;
        totalBurned += burned;
        emit FeeReceived(amount, burned, amount - burned);
        token.burn(burned);
    }

    function withdrawTreasury(address to, uint256 amount) external onlyOwner {
        if (to == address(0)) revert ZeroAddress();
        if (amount > treasury) revert InsufficientTreasury(treasury, amount);
        treasury -= amount;
        emit TreasuryWithdrawn(to, amount);
        token.safeTransfer(to, amount);
    }

    function allocationCount() external view returns (uint256) {
        return vestings.length;
    }

    function vesting(uint256 id) external view returns (Vesting memory) {
        if (id >= vestings.length) revert UnknownAllocation(id);
        return vestings[id];
    }

    /// @return amount of allocation `id` that has vested at `time`, released or not.
    function vestedAt(uint256 id, uint64 time) public view returns (uint256 amount) {
        if (id >= vestings.length) revert UnknownAllocation(id);
        Vesting storage v = vestings[id];
        Allocation storage a = v.allocation;
        if (v.revokedAt != 0 && time > v.revokedAt) time = v.revokedAt;
        if (time < a.start + a.cliff) return 0;
        uint256 elapsed = time - a.start;
        if (elapsed >= a.duration) return a.amount;
        return (uint256(a.amount) * elapsed) / a.duration;
    }

    function _release(uint256 id) private returns (uint256 amount) {
        Vesting storage v = vestings[id];
        amount = vestedAt(id, uint64(block.timestamp)) - v.released;
        if (amount == 0) return 0;
        v.released += uint128(amount);
        emit Released(id, v.allocation.beneficiary, amount);
        token.safeTransfer(v.allocation.beneficiary, amount);
    }
}
