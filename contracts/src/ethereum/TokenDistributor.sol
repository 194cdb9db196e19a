// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {ITokenDistributor} from "../interfaces/ITokenDistributor.sol";
import {Wired} from "../libraries/Wired.sol";
import {GPUToken} from "./GPUToken.sol";
import {TokenEmission} from "./TokenEmission.sol";
import {TokenVesting} from "./TokenVesting.sol";

/// @title The only minter of GPUTOKEN: genesis allocations, emission, and what becomes of protocol fees
/// @dev Owner: the timelock. It withdraws the treasury, revokes what was created revocable, starts the emission once, and sets its
///      shares and rates within the bounds of the code. It can't mint.
contract TokenDistributor is TokenEmission, Wired {
    /// @inheritdoc ITokenDistributor
    uint256 public totalBurned;

    constructor(
        GPUToken token_,
        address owner_,
        uint256 genesisTotal_,
        Emission memory emission_,
        RewardParameters memory parameters_,
        LoyaltyTier[] memory tiers_
    ) Ownable(owner_) TokenVesting(token_, genesisTotal_) TokenEmission(emission_) {
        _setRewardParameters(parameters_, tiers_);
    }

    function wire(address gpuRental_, address stakingManager_) external wiresOnce {
        gpuRental = _nonZero(gpuRental_);
        stakingManager = _nonZero(stakingManager_);
    }

    /// @inheritdoc ITokenDistributor
    function onFee(uint256 amount) external {
        if (msg.sender != gpuRental) revert NotGPURental(msg.sender);
        uint256 burned = amount / 2;
        treasury += amount - burned;
        totalBurned += burned;
        feesReceived += amount;
        emit FeeReceived(amount, burned, amount - burned);
        token.burn(burned);
    }
}
