//! A King that has signed what its chain no longer holds stops, and says why, until an operator has looked.

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{
    store::{Batch, Store, StoreError, Table},
    types::{ChainKind, wire::CheckpointData},
};

/// Why nothing is signed any more, by origin chain id.
pub const HALTS: Table<u64, Halt> = Table::new("king_halts");
/// Halts that an operator has ended, by origin chain id and time.
pub const ENDED: Table<(u64, u64), EndedHalt> = Table::new("king_halts_ended");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// The block that was signed is no longer part of the chain.
    BlockGone { hash_now: B256 },
    /// The messages under the signed root are others now.
    HistoryChanged { root_now: B256 },
    /// The record says that another checkpoint was signed for this count.
    AnotherSigned { root_now: B256 },
}

/// What happened, as it was seen when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    pub origin: ChainKind,
    /// The signed checkpoint that does not hold any more.
    pub signed: CheckpointData,
    pub finding: Finding,
    /// Newest block that the endpoints agreed on.
    pub head_number: u64,
    /// Unix seconds.
    pub at: u64,
}

impl Halt {
    /// For the alert, the log and the operator.
    pub fn describe(&self) -> String {
        let CheckpointData { count, block_number, block_hash, root, .. } = self.signed;
        let found = match self.finding {
            Finding::BlockGone { hash_now } => format!("block {block_number} is {hash_now} now, it was {block_hash}"),
            Finding::HistoryChanged { root_now } => format!("the root of {count} messages is {root_now} now, {root} was signed"),
            Finding::AnotherSigned { root_now } => format!("{root} was signed for {count} messages before, {root_now} is due now"),
        };
        format!("{} was reorganised below signed block {block_number} (seen at block {}): {found}", self.origin, self.head_number)
    }
}

/// An operator's decision to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedHalt {
    pub halt: Halt,
    pub ended_at: u64,
}

/// The command that ends a halt. It names what the operator has seen, so that it cannot end a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    pub halt: Halt,
}

/// Name of the command for one chain.
pub fn command_name(origin: ChainKind) -> String {
    format!("resume-{}", origin.name())
}

/// Ends the stored halt if it is the one that the operator saw.
pub(super) fn end(store: &Store, origin: u64, seen: &Halt, now: u64) -> Result<bool, StoreError> {
    let Some(halt) = store.get(&HALTS, &origin)?.filter(|halt| halt == seen) else { return Ok(false) };
    let mut batch = Batch::default();
    batch.delete(&HALTS, &origin);
    batch.put(&ENDED, &(origin, now), &EndedHalt { halt, ended_at: now })?;
    store.commit(batch)?;
    Ok(true)
}

/// The counts, signed in `epoch`, up to which an operator has looked at reorganisations and went on.
pub(super) fn acknowledged_count(store: &Store, origin: u64, epoch: u64) -> Result<u32, StoreError> {
    let ended = store.scan(&ENDED, Some(&(origin, 0)), usize::MAX)?;
    let signed = ended.iter().filter(|((chain, _), _)| *chain == origin).map(|(_, ended)| ended.halt.signed);
    Ok(signed.filter(|signed| signed.set_epoch == epoch).map(|signed| signed.count).max().unwrap_or(0))
}
