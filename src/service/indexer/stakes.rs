//! StakingManager: stakes, pools, devices, slashes. Slashes are divided as the contract divides them, so the sums are exact.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolEvent,
};

use super::{
    StoredLog,
    market::{add, take},
};
use crate::types::abi::{StakingManager as Contract, staking_manager::IStakingManager::Parameters};

/// What a slash by vote is told as; devices' faults have the contract's numbers.
pub const BY_VOTE: u8 = u8::MAX;
/// A wrong proof costs the whole class stake.
const WRONG_PROOF: u8 = 1;

#[derive(Debug, Clone, Default)]
pub struct Pool {
    pub total: U256,
    pub shares: U256,
    pub unbonding_shares: U256,
    pub is_open: bool,
    pub commission_bps: u16,
    /// What is announced, and from when it counts.
    pub next: Option<(u16, u64)>,
}

#[derive(Debug, Clone, Default)]
pub struct Staker {
    pub role: u8,
    pub operator: Address,
    pub peer_id_hash: B256,
    pub staked: U256,
    pub locked: U256,
    pub unbonding: U256,
    pub unbonds_at: Option<u64>,
    pub retiring: U256,
    pub retires_at: Option<u64>,
    pub is_seated: bool,
    pub pool: Pool,
    pub slashed: U256,
    pub since: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Delegation {
    pub account: Address,
    pub shares: U256,
    pub unbonding_shares: U256,
    pub unbonds_at: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Device {
    pub id: u64,
    pub provider: Address,
    pub worker: Address,
    pub class_version: u32,
    pub registered_at: u64,
    pub removed_at: Option<u64>,
    pub locked: U256,
    pub last_full_pass: u64,
    pub reputation_ppm: u32,
    pub performance_permille: u32,
    pub faults: u32,
}

#[derive(Debug, Clone)]
pub struct Slash {
    pub account: Address,
    pub device: u64,
    pub amount: U256,
    pub reason: u8,
    pub reporter: Address,
    pub renter: Address,
    pub timestamp: u64,
    pub transaction: B256,
}

#[derive(Debug, Clone, Default)]
pub struct Stakes {
    pub stakers: BTreeMap<Address, Staker>,
    pub delegations: BTreeMap<Address, Delegation>,
    pub devices: BTreeMap<u64, Device>,
    pub slashes: Vec<Slash>,
    pub class_stakes: BTreeMap<u32, U256>,
    pub parameters: Option<Parameters>,
    pub delegates: BTreeMap<Address, Address>,
    /// Shares of slashes that may be claimed.
    pub credits: BTreeMap<Address, U256>,
    /// Parties of the slash that was told last: the next log says how it was divided.
    slashed_for: Option<(Address, Address)>,
}

impl Stakes {
    pub fn minimum(&self, role: u8) -> U256 {
        let Some(parameters) = &self.parameters else { return U256::MAX };
        U256::from(match role {
            1 => parameters.minimumProviderStake,
            2 => parameters.minimumQueenStake,
            _ => parameters.minimumKingStake,
        })
    }

    /// At least the minimum of its role, and all that its devices lock.
    pub fn has_role(&self, account: Address) -> bool {
        self.stakers.get(&account).is_some_and(|staker| {
            let backing = staker.staked.saturating_add(if staker.role == 1 { staker.pool.total } else { U256::ZERO });
            staker.staked >= self.minimum(staker.role) && backing >= staker.locked
        })
    }

    pub(super) fn apply(&mut self, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        let topic = *log.topics.first()?;
        match topic {
            Contract::Staked::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Staked>()?;
                let staker = self.stakers.entry(event.account).or_default();
                if staker.role == 0 {
                    staker.since = stored.timestamp;
                }
                (staker.role, staker.staked) = (event.role, event.total);
            }
            Contract::OperatorSet::SIGNATURE_HASH => {
                let event = log.decode::<Contract::OperatorSet>()?;
                let staker = self.stakers.entry(event.account).or_default();
                (staker.operator, staker.peer_id_hash) = (event.operator, event.peerIdHash);
            }
            Contract::UnstakeRequested::SIGNATURE_HASH => {
                let event = log.decode::<Contract::UnstakeRequested>()?;
                let staker = self.stakers.get_mut(&event.account)?;
                staker.staked = staker.staked.saturating_sub(event.amount);
                staker.unbonding = staker.unbonding.saturating_add(event.amount);
                staker.unbonds_at = Some(event.unbondsAt);
            }
            Contract::Withdrawn::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Withdrawn>()?;
                let staker = self.stakers.get_mut(&event.account)?;
                (staker.unbonding, staker.unbonds_at) = (U256::ZERO, None);
                if staker.staked.is_zero() && staker.locked.is_zero() && staker.retiring.is_zero() && staker.pool.shares.is_zero() {
                    self.stakers.remove(&event.account);
                }
            }
            Contract::SeatTaken::SIGNATURE_HASH => {
                let event = log.decode::<Contract::SeatTaken>()?;
                self.stakers.entry(event.account).or_default().is_seated = true;
            }
            Contract::SeatLost::SIGNATURE_HASH => {
                let event = log.decode::<Contract::SeatLost>()?;
                self.stakers.entry(event.account).or_default().is_seated = false;
            }
            Contract::ClassSet::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ClassSet>()?;
                self.class_stakes.insert(event.classVersion, event.requiredStake);
            }
            Contract::ParametersSet::SIGNATURE_HASH => self.parameters = Some(log.decode::<Contract::ParametersSet>()?.parameters),
            Contract::DelegateChanged::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DelegateChanged>()?;
                self.delegates.insert(event.delegator, event.toDelegate);
            }
            _ if self.apply_device(topic, stored).is_some() => {}
            _ => self.apply_pool(topic, stored)?,
        }
        Some(())
    }

    fn apply_device(&mut self, topic: B256, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match topic {
            Contract::DeviceAdded::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceAdded>()?;
                let locked = self.class_stakes.get(&event.classVersion).copied().unwrap_or_default();
                let device = Device {
                    id: event.deviceId,
                    provider: event.provider,
                    worker: event.worker,
                    class_version: event.classVersion,
                    registered_at: stored.timestamp,
                    removed_at: None,
                    locked,
                    last_full_pass: 0,
                    reputation_ppm: 0,
                    performance_permille: 0,
                    faults: 0,
                };
                self.devices.insert(event.deviceId, device);
                let staker = self.stakers.entry(event.provider).or_default();
                staker.locked = staker.locked.saturating_add(locked);
            }
            Contract::DeviceRetired::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceRetired>()?;
                let unbonding = self.parameters.as_ref().map_or(0, |parameters| parameters.unbondingPeriod);
                let device = self.devices.get_mut(&event.deviceId)?;
                device.removed_at = Some(event.removedAt);
                let staker = self.stakers.get_mut(&device.provider)?;
                staker.locked = staker.locked.saturating_sub(device.locked);
                staker.retiring = staker.retiring.saturating_add(device.locked);
                staker.retires_at = staker.retires_at.max(Some(event.removedAt.saturating_add(unbonding)));
            }
            Contract::DeviceReleased::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceReleased>()?;
                let device = self.devices.get_mut(&event.deviceId)?;
                device.locked = U256::ZERO;
                let staker = self.stakers.get_mut(&device.provider)?;
                staker.retiring = staker.retiring.saturating_sub(event.amount);
            }
            Contract::WorkerChanged::SIGNATURE_HASH => {
                let event = log.decode::<Contract::WorkerChanged>()?;
                self.devices.get_mut(&event.deviceId)?.worker = event.worker;
            }
            Contract::DeviceReportApplied::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceReportApplied>()?;
                let device = self.devices.get_mut(&event.deviceId)?;
                device.last_full_pass = event.lastFullPass;
                device.reputation_ppm = event.reputationPpm;
                device.performance_permille = event.performancePermille;
                device.faults = event.faults;
            }
            _ => return None,
        }
        Some(())
    }

    fn apply_pool(&mut self, topic: B256, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match topic {
            Contract::CommissionAnnounced::SIGNATURE_HASH => {
                let event = log.decode::<Contract::CommissionAnnounced>()?;
                let pool = &mut self.stakers.get_mut(&event.account)?.pool;
                if pool.is_open {
                    pool.next = Some((event.commissionBps, event.changesAt));
                } else {
                    (pool.is_open, pool.commission_bps) = (true, event.commissionBps);
                }
            }
            Contract::StakeDelegated::SIGNATURE_HASH => {
                let event = log.decode::<Contract::StakeDelegated>()?;
                let pool = &mut self.stakers.get_mut(&event.account)?.pool;
                pool.total = pool.total.saturating_add(event.amount);
                pool.shares = pool.shares.saturating_add(event.shares);
                let delegation = self.delegations.entry(event.delegator).or_default();
                delegation.account = event.account;
                delegation.shares = delegation.shares.saturating_add(event.shares);
            }
            Contract::UndelegationRequested::SIGNATURE_HASH => {
                let event = log.decode::<Contract::UndelegationRequested>()?;
                let pool = &mut self.stakers.get_mut(&event.account)?.pool;
                pool.unbonding_shares = pool.unbonding_shares.saturating_add(event.shares);
                let delegation = self.delegations.get_mut(&event.delegator)?;
                delegation.shares = delegation.shares.saturating_sub(event.shares);
                delegation.unbonding_shares = delegation.unbonding_shares.saturating_add(event.shares);
                delegation.unbonds_at = Some(event.unbondsAt);
            }
            Contract::DelegationWithdrawn::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DelegationWithdrawn>()?;
                let delegation = self.delegations.get_mut(&event.delegator)?;
                let shares = std::mem::take(&mut delegation.unbonding_shares);
                delegation.unbonds_at = None;
                if delegation.shares.is_zero() {
                    self.delegations.remove(&event.delegator);
                }
                let pool = &mut self.stakers.get_mut(&event.account)?.pool;
                pool.total = pool.total.saturating_sub(event.amount);
                pool.shares = pool.shares.saturating_sub(shares);
                pool.unbonding_shares = pool.unbonding_shares.saturating_sub(shares);
            }
            _ => self.apply_slash(topic, stored)?,
        }
        Some(())
    }

    fn apply_slash(&mut self, topic: B256, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match topic {
            Contract::Slashed::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Slashed>()?;
                self.bind_less(event.deviceId, event.reason);
                self.slashed_for = Some((event.renter, event.reporter));
                self.slash(Slash {
                    account: event.account,
                    device: event.deviceId,
                    amount: event.amount,
                    reason: event.reason,
                    reporter: event.reporter,
                    renter: event.renter,
                    timestamp: stored.timestamp,
                    transaction: log.tx_hash,
                });
            }
            Contract::SlashedByVote::SIGNATURE_HASH => {
                let event = log.decode::<Contract::SlashedByVote>()?;
                self.slash(Slash {
                    account: event.account,
                    device: 0,
                    amount: event.amount,
                    reason: BY_VOTE,
                    reporter: Address::ZERO,
                    renter: Address::ZERO,
                    timestamp: stored.timestamp,
                    transaction: log.tx_hash,
                });
            }
            Contract::SlashDivided::SIGNATURE_HASH => {
                let event = log.decode::<Contract::SlashDivided>()?;
                let (renter, reporter) = self.slashed_for.take()?;
                add(&mut self.credits, renter, event.toRenter);
                add(&mut self.credits, reporter, event.toReporter);
            }
            Contract::CreditClaimed::SIGNATURE_HASH => {
                let event = log.decode::<Contract::CreditClaimed>()?;
                take(&mut self.credits, event.account, event.amount);
            }
            _ => {}
        }
        Some(())
    }

    /// A device's fault eats its class stake: all of it for a wrong proof, the penalty for a missing answer once it is out of service.
    fn bind_less(&mut self, device: u64, reason: u8) {
        let penalty = self.parameters.as_ref().map_or(0, |parameters| parameters.missingAnswerPenalty);
        let Some(device) = self.devices.get_mut(&device) else { return };
        device.faults = device.faults.saturating_add(1);
        let is_whole = reason == WRONG_PROOF;
        let owed = if is_whole { device.locked } else { device.locked.min(U256::from(penalty)) };
        let Some(staker) = self.stakers.get_mut(&device.provider) else { return };
        if device.removed_at.is_some() {
            device.locked -= owed;
            staker.retiring = staker.retiring.saturating_sub(owed);
        } else if is_whole {
            device.locked = U256::ZERO;
            staker.locked = staker.locked.saturating_sub(owed);
        }
    }

    /// From own and delegated stake in proportion; of its own, what is on its way out goes first.
    fn slash(&mut self, slash: Slash) {
        if let Some(staker) = self.stakers.get_mut(&slash.account) {
            let all = staker.staked.saturating_add(staker.unbonding).saturating_add(staker.pool.total);
            let theirs = slash.amount.saturating_mul(staker.pool.total).checked_div(all).unwrap_or_default();
            let own = slash.amount.saturating_sub(theirs);
            let from_unbonding = own.min(staker.unbonding);
            staker.pool.total = staker.pool.total.saturating_sub(theirs);
            staker.unbonding -= from_unbonding;
            staker.staked = staker.staked.saturating_sub(own - from_unbonding);
            staker.slashed = staker.slashed.saturating_add(slash.amount);
        }
        self.slashes.push(slash);
    }
}
