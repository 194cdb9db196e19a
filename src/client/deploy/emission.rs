//! Genesis and emission of a deployment: who is minted what, and how much may be minted later.

use alloy::primitives::{Address, U256};
use serde::Deserialize;

use super::{
    DeployError,
    config::{DeployConfig, tokens, wei},
};
use crate::types::{Amount, abi::token_distributor::ITokenDistributor};

/// Whole of a share in basis points.
const BPS: u64 = 10_000;
/// Most of a protocol fee that a rental may earn anybody, in basis points; TokenDistributor has the same.
const REWARD_LIMIT_BPS: u16 = 8000;
const DECAY_BPS: std::ops::RangeInclusive<u16> = 5000..=9990;
const TIER_LIMIT: usize = 4;

/// Whom an allocation is for; the order is that of `ITokenDistributor.Category`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    Team,
    Investors,
    Advisors,
    Community,
    Treasury,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    pub category: Category,
    /// Absent for the treasury that TokenDistributor keeps.
    #[serde(default)]
    pub beneficiary: Address,
    #[serde(deserialize_with = "tokens")]
    pub amount: Amount,
    /// Unix seconds; 0 is long ago.
    #[serde(default)]
    pub start: u64,
    #[serde(default)]
    pub cliff_seconds: u64,
    #[serde(default)]
    pub duration_seconds: u64,
    #[serde(default)]
    pub revocable: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmissionSettings {
    /// Budget of the first epoch of 30 days.
    #[serde(deserialize_with = "tokens")]
    pub initial_per_epoch: Amount,
    /// Each epoch's budget is this part of the one before.
    pub decay_bps: u16,
    /// Otherwise Governance starts it.
    #[serde(default)]
    pub start_at_deployment: bool,
    pub provider_staking_bps: u16,
    pub queen_staking_bps: u16,
    pub king_staking_bps: u16,
    pub rental_bps: u16,
    /// Most of a rental's protocol fee that its provider is rewarded with.
    pub provider_fee_bps: u16,
    #[serde(default)]
    pub loyalty: Vec<LoyaltyTier>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoyaltyTier {
    /// Protocol fees of a renter within an epoch, from which on the tier counts.
    #[serde(deserialize_with = "tokens")]
    pub fees: Amount,
    pub reward_bps: u16,
}

/// Refuses what TokenDistributor would refuse, before anything is sent.
pub(super) fn check(config: &DeployConfig) -> Result<(), DeployError> {
    let refuse = |reason: String| Err(DeployError::Config { reason });
    let (token, emission) = (&config.token, &config.emission);
    let allocated = token.genesis.iter().fold(U256::ZERO, |sum, share| sum + share.amount.wei());
    if allocated != token.genesis_total.wei() {
        return refuse(format!("the allocations add up to {}, genesis_total is {}", Amount(allocated), token.genesis_total));
    }
    if token.genesis.iter().any(|share| share.beneficiary == Address::ZERO && share.category != Category::Treasury) {
        return refuse("an allocation has no beneficiary".into());
    }
    if !DECAY_BPS.contains(&emission.decay_bps) {
        return refuse(format!("decay_bps is {}, it must be {} to {}", emission.decay_bps, DECAY_BPS.start(), DECAY_BPS.end()));
    }
    let all = emission.initial_per_epoch.wei() * U256::from(BPS) / U256::from(BPS - u64::from(emission.decay_bps));
    let genesis = config.genesis_total();
    if genesis + all > token.cap.wei() {
        return refuse(format!("genesis {} and emission {} exceed the cap of {} tokens", Amount(genesis), Amount(all), token.cap));
    }
    let stakes = [emission.provider_staking_bps, emission.queen_staking_bps, emission.king_staking_bps];
    let shares = stakes.iter().fold(u64::from(emission.rental_bps), |sum, share| sum + u64::from(*share));
    if shares > BPS {
        return refuse(format!("the shares of the emission add up to {shares} of {BPS} basis points"));
    }
    let ascending = |pair: &[LoyaltyTier]| pair[0].fees.wei() < pair[1].fees.wei() && pair[0].reward_bps <= pair[1].reward_bps;
    if emission.loyalty.len() > TIER_LIMIT || !emission.loyalty.windows(2).all(ascending) {
        return refuse(format!("loyalty has at most {TIER_LIMIT} tiers, ascending"));
    }
    let highest = emission.loyalty.last().map_or(0, |tier| tier.reward_bps);
    if emission.provider_fee_bps.saturating_add(highest) > REWARD_LIMIT_BPS {
        return refuse(format!("provider_fee_bps and the highest loyalty tier exceed {REWARD_LIMIT_BPS} basis points of a fee"));
    }
    Ok(())
}

impl DeployConfig {
    /// The allocations and what the faucet gives away.
    pub(super) fn genesis_total(&self) -> U256 {
        self.token.genesis_total.wei() + self.faucet.as_ref().map_or(U256::ZERO, |faucet| faucet.supply.wei())
    }

    /// Those of the file, then the faucet's.
    pub(super) fn allocations(&self, faucet: Option<Address>) -> Vec<ITokenDistributor::Allocation> {
        let convert = |share: &Allocation| ITokenDistributor::Allocation {
            beneficiary: share.beneficiary,
            amount: wei(share.amount),
            start: share.start,
            cliff: share.cliff_seconds,
            duration: share.duration_seconds,
            revocable: share.revocable,
            category: share.category as u8,
        };
        let mut allocations: Vec<_> = self.token.genesis.iter().map(convert).collect();
        if let (Some(settings), Some(beneficiary)) = (&self.faucet, faucet) {
            let (amount, category) = (wei(settings.supply), Category::Community as u8);
            let (start, cliff, duration) = (0, 0, 0);
            allocations.push(ITokenDistributor::Allocation { beneficiary, amount, start, cliff, duration, revocable: false, category });
        }
        allocations
    }

    pub(super) fn emission(&self) -> ITokenDistributor::Emission {
        ITokenDistributor::Emission { initialPerEpoch: wei(self.emission.initial_per_epoch), decayBps: self.emission.decay_bps }
    }

    pub(super) fn reward_parameters(&self) -> ITokenDistributor::RewardParameters {
        let emission = &self.emission;
        ITokenDistributor::RewardParameters {
            providerStakingBps: emission.provider_staking_bps,
            queenStakingBps: emission.queen_staking_bps,
            kingStakingBps: emission.king_staking_bps,
            rentalBps: emission.rental_bps,
            providerFeeBps: emission.provider_fee_bps,
        }
    }

    pub(super) fn loyalty_tiers(&self) -> Vec<ITokenDistributor::LoyaltyTier> {
        let convert = |tier: &LoyaltyTier| ITokenDistributor::LoyaltyTier { fees: wei(tier.fees), rewardBps: tier.reward_bps };
        self.emission.loyalty.iter().map(convert).collect()
    }
}
