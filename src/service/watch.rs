//! Looks at what a node needs to go on earning: gas, stake, chains that move. Raises an alert where a person has to act.

use std::time::Duration;

use alloy::primitives::{Address, U256, utils::format_units};

use super::{index::ChainIndex, unix_seconds};
use crate::{
    chain::{BlockId, Chain, ChainError},
    config::AlertsSection,
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Metrics, Severity},
    types::{ChainKind, Coded, abi::StakingManager, record::CLOCK_SKEW_SECONDS},
};

/// Pause between two looks. Gas runs out over hours, not seconds.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const GWEI: u64 = 1_000_000_000;
/// A clock this far from blocks that just came is wrong: Ethereum's are at most 12 s old, Ethereum Classic's rarely more than a minute, and
/// the nearer of the two counts.
const WRONG_CLOCK_SECONDS: u64 = 60;

/// One chain, with the keys that pay gas there.
pub struct WatchedChain {
    pub chain: Chain,
    pub index: ChainIndex,
    pub keys: Vec<Address>,
}

pub struct WatchService {
    pub chains: Vec<WatchedChain>,
    pub staking: Address,
    /// `None` for nodes without a stake.
    pub account: Option<Address>,
    /// As it is now: it may change while the node runs.
    pub config: tokio::sync::watch::Receiver<AlertsSection>,
    pub alerts: Alerts,
    pub metrics: Metrics,
    /// Stake at the last look.
    pub stake_wei: Option<U256>,
    /// Newest blocks of both chains at the last look.
    pub heads: Vec<u64>,
}

/// By how many seconds this machine's clock is off, if both chains agree about it: ahead of them where positive.
fn clock_error(now: u64, heads: &[u64]) -> Option<i64> {
    let errors = || heads.iter().map(|head| now.cast_signed().saturating_sub(head.cast_signed()));
    let least = errors().min_by_key(|error| error.unsigned_abs())?;
    let agreed = least.unsigned_abs() > WRONG_CLOCK_SECONDS && errors().all(|error| error.signum() == least.signum());
    agreed.then_some(least)
}

impl WatchService {
    async fn look(&mut self) {
        let before = std::mem::take(&mut self.heads);
        self.heads = self.chains.iter().map(|watched| watched.index.newest().number).collect();
        let has_moved = |position: usize| before.get(position).is_some_and(|number| self.heads.get(position) > Some(number));
        // Blocks that keep coming are new, whatever the clock says.
        if (0..self.chains.len()).all(has_moved) {
            self.look_at_clock();
        }
        for (position, watched) in self.chains.iter().enumerate() {
            if !has_moved(position) {
                self.look_at_head(watched);
            }
            for key in &watched.keys {
                if let Err(error) = self.look_at_gas(watched, *key).await {
                    tracing::debug!(code = error.code(), %error, "a balance could not be read");
                }
            }
        }
        if let Err(error) = self.look_at_stake().await {
            tracing::debug!(code = error.code(), %error, "the stake could not be read");
        }
    }

    fn look_at_clock(&self) {
        let heads: Vec<u64> = self.chains.iter().map(|watched| watched.index.newest().timestamp).collect();
        let Some(error) = clock_error(unix_seconds(), &heads) else { return };
        let (seconds, direction) = (error.unsigned_abs(), if error > 0 { "ahead of" } else { "behind" });
        let message = format!(
            "this machine's clock is {seconds} s {direction} the newest blocks of both chains: set it by NTP; beyond {CLOCK_SKEW_SECONDS} s other \
             nodes and this one refuse each other's records and logins"
        );
        self.alerts.raise("wrong_clock", Severity::Critical, direction, message);
    }

    fn look_at_head(&self, watched: &WatchedChain) {
        let head = watched.index.newest();
        let silent_seconds = unix_seconds().saturating_sub(head.timestamp);
        if head.timestamp != 0 && silent_seconds > self.config.borrow().silent_chain_seconds {
            let name = watched.index.chain.name();
            let message = format!("no new block of {name} for {silent_seconds} s: check its endpoints; running rentals go on");
            self.alerts.raise("silent_chain", Severity::Critical, name, message);
        }
    }

    async fn look_at_gas(&self, watched: &WatchedChain, key: Address) -> Result<(), ChainError> {
        let balance = watched.chain.balance(key).await?;
        let coins = format_units(balance, 18).unwrap_or_default();
        let name = watched.index.chain.name();
        self.metrics.balance(name, coins.parse().unwrap_or_default());
        let low_gas_gwei = match watched.index.chain {
            ChainKind::Ethereum => self.config.borrow().low_gas_ethereum_gwei,
            ChainKind::Classic => self.config.borrow().low_gas_classic_gwei,
        };
        if balance < U256::from(low_gas_gwei) * U256::from(GWEI) {
            let coin = if watched.index.chain == ChainKind::Ethereum { "ETH" } else { "ETC" };
            let message = format!("{key} holds {coins} {coin}: send gas, or its transactions stop");
            self.alerts.raise("low_gas", Severity::Warning, format!("{name} {key}"), message);
        }
        Ok(())
    }

    async fn look_at_stake(&mut self) -> Result<(), ChainError> {
        let (Some(account), Some(watched)) = (self.account, self.chains.iter().find(|watched| watched.index.chain == ChainKind::Ethereum))
        else {
            return Ok(());
        };
        let call = StakingManager::stakerCall { account };
        let staker = watched.chain.call(self.staking, call, BlockId::latest()).await?;
        let stake_wei = U256::from(staker.staked) + U256::from(staker.unbonding);
        if let Some(before) = self.stake_wei.filter(|before| stake_wei < *before) {
            let lost = format_units(before - stake_wei, 18).unwrap_or_default();
            // Withdrawals are the operator's own, but cost nothing to tell.
            let message = format!("the stake of {account} fell by {lost} GPUTOKEN: slashed or withdrawn");
            self.alerts.raise("stake_fell", Severity::Critical, format!("{account} {stake_wei}"), message);
        }
        self.stake_wei = Some(stake_wei);
        Ok(())
    }
}

#[async_trait::async_trait]
impl Service for WatchService {
    fn name(&self) -> &'static str {
        "watch"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        loop {
            self.look().await;
            if !shutdown.pause(LOOK_EVERY).await {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_where_both_chains_say_so() {
        assert_eq!(clock_error(10_000, &[9_990, 9_950]), None);
        assert_eq!(clock_error(10_000, &[9_000, 9_990]), None, "one chain stands still");
        assert_eq!(clock_error(10_000, &[9_000, 9_900]), Some(100));
        assert_eq!(clock_error(10_000, &[13_600, 13_590]), Some(-3_590));
        assert_eq!(clock_error(10_000, &[9_000, 11_000]), None, "they contradict each other");
        assert_eq!(clock_error(0, &[u64::MAX, 0]), None);
        assert_eq!(clock_error(10_000, &[]), None);
    }
}
