//! TokenDistributor: allocations, emission, rewards, fees.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolEvent,
};

use super::{
    StoredLog,
    market::{add, take},
};
use crate::types::abi::{
    TokenDistributor as Contract,
    token_distributor::ITokenDistributor::{LoyaltyTier, RewardParameters},
};

#[derive(Debug, Clone)]
pub struct Allocation {
    pub id: U256,
    pub beneficiary: Address,
    pub category: u8,
    pub amount: U256,
    pub start: u64,
    pub cliff: u64,
    pub duration: u64,
    pub is_revocable: bool,
    pub revoked_at: Option<u64>,
    pub released: U256,
    pub transaction: B256,
}

impl Allocation {
    /// As the contract counts at `time`.
    pub fn vested_at(&self, time: u64) -> U256 {
        let time = self.revoked_at.map_or(time, |revoked| time.min(revoked));
        if time < self.start.saturating_add(self.cliff) {
            return U256::ZERO;
        }
        let elapsed = time - self.start;
        if elapsed >= self.duration {
            return self.amount;
        }
        self.amount.saturating_mul(U256::from(elapsed)) / U256::from(self.duration)
    }
}

#[derive(Debug, Clone, Default)]
pub struct Distribution {
    pub allocations: BTreeMap<U256, Allocation>,
    pub emission_start: Option<u64>,
    pub fees_received: U256,
    pub burned: U256,
    /// By role number.
    pub staking: BTreeMap<u8, U256>,
    pub rental_rewards: U256,
    pub loyalty_rewards: U256,
    pub claimed: U256,
    pub credits: BTreeMap<Address, U256>,
    pub rewards: Option<(RewardParameters, Vec<LoyaltyTier>)>,
    pub class_rewards: BTreeMap<u32, U256>,
}

impl Distribution {
    pub(super) fn apply(&mut self, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match *log.topics.first()? {
            Contract::AllocationCreated::SIGNATURE_HASH => {
                let event = log.decode::<Contract::AllocationCreated>()?;
                let allocation = Allocation {
                    id: event.id,
                    beneficiary: event.beneficiary,
                    category: event.category,
                    amount: event.amount,
                    start: event.start,
                    cliff: event.cliff,
                    duration: event.duration,
                    is_revocable: event.revocable,
                    revoked_at: None,
                    released: U256::ZERO,
                    transaction: log.tx_hash,
                };
                self.allocations.insert(event.id, allocation);
            }
            Contract::Released::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Released>()?;
                let allocation = self.allocations.get_mut(&event.id)?;
                allocation.released = allocation.released.saturating_add(event.amount);
            }
            Contract::Revoked::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Revoked>()?;
                self.allocations.get_mut(&event.id)?.revoked_at = Some(stored.timestamp);
            }
            Contract::FeeReceived::SIGNATURE_HASH => {
                let event = log.decode::<Contract::FeeReceived>()?;
                self.fees_received = self.fees_received.saturating_add(event.amount);
                self.burned = self.burned.saturating_add(event.burned);
            }
            Contract::EmissionStartSet::SIGNATURE_HASH => {
                self.emission_start = Some(log.decode::<Contract::EmissionStartSet>()?.start);
            }
            Contract::RewardParametersSet::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RewardParametersSet>()?;
                self.rewards = Some((event.parameters, event.tiers));
            }
            Contract::ClassRewardSet::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ClassRewardSet>()?;
                self.class_rewards.insert(event.classVersion, event.perHour);
            }
            Contract::StakingRewarded::SIGNATURE_HASH => {
                let event = log.decode::<Contract::StakingRewarded>()?;
                let sum = self.staking.entry(event.role).or_default();
                *sum = sum.saturating_add(event.amount);
            }
            Contract::RentalRewarded::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalRewarded>()?;
                self.rental_rewards = self.rental_rewards.saturating_add(event.reward);
                self.loyalty_rewards = self.loyalty_rewards.saturating_add(event.loyalty);
                add(&mut self.credits, event.provider, event.reward);
                add(&mut self.credits, event.renter, event.loyalty);
            }
            Contract::Claimed::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Claimed>()?;
                self.claimed = self.claimed.saturating_add(event.amount);
                take(&mut self.credits, event.account, event.amount);
            }
            _ => {}
        }
        Some(())
    }
}
