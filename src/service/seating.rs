//! Tells Ethereum Classic who the Queens are: when stakes have changed who sits, a relay has the new set announced over the bridge.
//!
//! Anybody may announce; the contract decides who is in the set and how often. A relay looks first, so that an unchanged set costs nobody
//! a message, and waits while one is under way.

use std::{collections::BTreeSet, time::Duration};

use alloy::{primitives::Address, sol_types::SolCall};

use super::sender::{Intent, Sender};
use crate::{
    chain::{BlockId, Chain, ChainError},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{
        AddressBook, Coded,
        abi::{StakingManager, WorkVerification},
    },
};

/// The shortest interval that a deployment may set is a minute.
const LOOK_EVERY: Duration = Duration::from_secs(20);
const LABEL: &str = "announce_queens";

pub struct Seating {
    /// Of Ethereum.
    pub sender: Sender,
    pub classic: Chain,
    pub book: AddressBook,
    pub metrics: Metrics,
}

/// What both chains say about the set of Queens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seats {
    /// Of the set that Ethereum announced last, and of the one that sits on Ethereum Classic.
    announced_epoch: u64,
    seated_epoch: u64,
    standing: BTreeSet<Address>,
    seated: BTreeSet<Address>,
}

impl Seats {
    /// A set that is under way is waited for, one that would be too small is refused anyway.
    fn is_outdated(&self, minimum: usize) -> bool {
        self.announced_epoch <= self.seated_epoch && self.standing.len() >= minimum && self.standing != self.seated
    }
}

impl Seating {
    async fn stake<C: SolCall>(&self, call: C) -> Result<C::Return, ChainError> {
        self.sender.chain().call(self.book.ethereum.staking_manager, call, BlockId::latest()).await
    }

    async fn work<C: SolCall>(&self, call: C) -> Result<C::Return, ChainError> {
        self.classic.call(self.book.classic.work_verification, call, BlockId::latest()).await
    }

    async fn look(&self) -> Result<(), ChainError> {
        let rules = self.stake(StakingManager::parametersCall {}).await?;
        let last = self.stake(StakingManager::queensAnnouncedAtCall {}).await?;
        let now = self.sender.chain().head().await?.timestamp;
        if last != 0 && now < last.saturating_add(rules.queenSetInterval) {
            return Ok(());
        }
        let seats = Seats {
            announced_epoch: self.stake(StakingManager::queenEpochCall {}).await?,
            seated_epoch: self.work(WorkVerification::queenEpochCall {}).await?,
            standing: self.standing().await?,
            seated: self.work(WorkVerification::queensCall {}).await?.into_iter().collect(),
        };
        if seats.is_outdated(rules.queenSetMinimum.into()) {
            self.announce(&seats, now).await;
        }
        Ok(())
    }

    /// Operators of all Queens with a seat, as the contract would list them: one whose key stands for another account now is left out.
    async fn standing(&self) -> Result<BTreeSet<Address>, ChainError> {
        let mut standing = BTreeSet::new();
        for account in self.stake(StakingManager::queensBeforeCall { time: u64::MAX }).await? {
            let operator = self.stake(StakingManager::stakerCall { account }).await?.operator;
            if self.stake(StakingManager::accountOfCall { key: operator }).await? == account {
                standing.insert(operator);
            }
        }
        Ok(standing)
    }

    async fn announce(&self, seats: &Seats, now: u64) {
        let call = StakingManager::announceQueensCall {};
        let id = format!("{LABEL}:{}:{now}", seats.announced_epoch);
        match self.sender.submit(Intent::call(id, LABEL, self.book.ethereum.staking_manager, call.abi_encode())).await {
            Ok(mined) => {
                self.metrics.event(LABEL, "announced");
                tracing::info!(queens = seats.standing.len(), before = seats.seated.len(), tx = %mined.hash, "Queens announced");
            }
            // Another relay may have been faster.
            Err(error) => tracing::debug!(code = error.code(), %error, "Queens are not announced"),
        }
    }
}

#[async_trait::async_trait]
impl Service for Seating {
    fn name(&self) -> &'static str {
        "seating"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        loop {
            match shutdown.or_stop(self.look()).await {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(code = error.code(), %error, "the set of Queens cannot be read"),
            }
            if !shutdown.pause(LOOK_EVERY).await {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: &[u8]) -> BTreeSet<Address> {
        members.iter().map(|member| Address::repeat_byte(*member)).collect()
    }

    #[test]
    fn a_set_is_announced_once_and_never_below_the_minimum() {
        let seats = Seats { announced_epoch: 1, seated_epoch: 1, standing: set(&[1, 2, 3, 4]), seated: set(&[3, 1, 2]) };
        assert!(seats.is_outdated(3));
        assert!(!seats.is_outdated(5), "too few");
        assert!(!Seats { announced_epoch: 2, ..seats.clone() }.is_outdated(3), "it is under way");
        assert!(!Seats { standing: set(&[1, 2, 3]), ..seats.clone() }.is_outdated(3), "the same Queens in another order");
        assert!(Seats { standing: set(&[1, 2, 9]), ..seats }.is_outdated(3), "as many, but others");
    }
}
