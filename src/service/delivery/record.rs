//! What a relay stores about messages: enough to go on after a crash, to back off over restarts, and to tell an operator.

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{
    service::sender::Intent,
    store::{Batch, Store, StoreError, Table},
};

/// Messages that this relay has under way, failed with, or brought, by origin chain id and index.
pub const MESSAGES: Table<(u64, u32), MessageRecord> = Table::new("relay_messages");
/// Transactions that were built and whose outcome is not booked yet, by origin chain id and number.
pub const BATCHES: Table<(u64, u64), Built> = Table::new("relay_batches");
/// Records of delivered messages that are kept behind the newest. Fewer tell an operator less, more take disk.
const KEPT: u32 = 4_096;
/// Longest text of an error that is kept.
const MAX_ERROR: usize = 300;

/// How far a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Seen; waits for a checkpoint, for its turn, or after a failure.
    #[default]
    Waiting,
    /// In a transaction.
    Sent,
    /// Brought by this relay; the transaction is as deep as configured.
    Delivered,
    /// Given up until an operator says otherwise.
    Dead,
}

/// One message, as this relay knows it. Times are Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    pub stage: Stage,
    pub first_seen: u64,
    /// Transactions built with it so far: part of their ids, so that each attempt is one of its own.
    pub builds: u32,
    /// Attempts that failed through its own fault.
    pub attempts: u32,
    pub not_before: u64,
    /// A batch with it failed: it goes alone.
    pub is_alone: bool,
    pub last_error: Option<String>,
    pub transaction: Option<B256>,
    /// Its share of the transaction's cost, wei of the destination's coin.
    pub cost_wei: u128,
}

impl MessageRecord {
    pub fn seen(now: u64) -> Self {
        Self { first_seen: now, ..Self::default() }
    }

    pub fn is_ready(&self, now: u64) -> bool {
        self.stage == Stage::Waiting && self.not_before <= now
    }

    pub fn note_error(&mut self, text: &str) {
        self.last_error = Some(text.chars().take(MAX_ERROR).collect());
    }
}

/// A transaction with the messages it brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    pub number: u64,
    pub indices: Vec<u32>,
    pub intent: Intent,
}

/// The tables, for one direction.
#[derive(Debug, Clone)]
pub struct Records {
    pub store: Store,
    pub origin: u64,
}

impl Records {
    pub fn messages(&self) -> Result<Vec<(u32, MessageRecord)>, StoreError> {
        let found = self.store.scan(&MESSAGES, Some(&(self.origin, 0)), usize::MAX)?;
        Ok(found.into_iter().take_while(|((origin, _), _)| *origin == self.origin).map(|((_, index), record)| (index, record)).collect())
    }

    pub fn built(&self) -> Result<Vec<Built>, StoreError> {
        let found = self.store.scan(&BATCHES, Some(&(self.origin, 0)), usize::MAX)?;
        Ok(found.into_iter().take_while(|((origin, _), _)| *origin == self.origin).map(|(_, built)| built).collect())
    }

    pub fn put<'a>(&self, batch: &mut Batch, records: impl IntoIterator<Item = (u32, &'a MessageRecord)>) -> Result<(), StoreError> {
        for (index, record) in records {
            batch.put(&MESSAGES, &(self.origin, index), record)?;
        }
        Ok(())
    }

    pub fn put_built(&self, batch: &mut Batch, built: &Built) -> Result<(), StoreError> {
        batch.put(&BATCHES, &(self.origin, built.number), built)
    }

    pub fn forget_built(&self, batch: &mut Batch, number: u64) {
        batch.delete(&BATCHES, &(self.origin, number));
    }

    pub fn forget(&self, batch: &mut Batch, index: u32) {
        batch.delete(&MESSAGES, &(self.origin, index));
    }

    /// Whether the record of a delivered message is old enough to go.
    pub fn is_old(index: u32, newest: u32) -> bool {
        index.saturating_add(KEPT) < newest
    }
}

/// An operator's wish to try dead or waiting messages again, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// `None` for all dead letters.
    pub indices: Option<Vec<u32>>,
}

/// Name of the command for one direction.
pub fn command_name(origin: crate::types::ChainKind) -> String {
    format!("retry-{}", origin.name())
}
