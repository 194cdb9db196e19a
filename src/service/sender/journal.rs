//! What was signed, under which nonce, and what became of it. Written before the first broadcast.

use alloy::primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use super::{Intent, Mined, Outcome, SendError};
use crate::{
    chain::{Fee, SignedTx},
    store::{Batch, Store, StoreError, Table},
};

const ENTRIES: Table<(B256, u64), Entry> = Table::new("journal");
const NONCES: Table<(B256, String), u64> = Table::new("journal_ids");
/// Columns the store must be opened with.
pub const COLUMNS: [&str; 2] = [ENTRIES.name(), NONCES.name()];

/// Settled entries that are kept so that a repeated id is still known. Fewer forget sooner, more take disk.
const KEPT: u64 = 4_096;

/// One nonce of the account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub intent: Intent,
    pub nonce: u64,
    pub gas_limit: u64,
    pub fee: Fee,
    /// The original and its replacements: each has this nonce, so at most one can take effect.
    pub signed: Vec<SignedTx>,
    pub settled: Option<Settled>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Settled {
    Mined(Mined),
    Failed { hash: B256, block_number: u64, reason: String },
}

impl Entry {
    pub fn outcome(&self) -> Option<Outcome> {
        self.settled.as_ref().map(|settled| match settled {
            Settled::Mined(mined) => Ok(mined.clone()),
            Settled::Failed { hash, block_number, reason } => Err(SendError::Failed {
                label: self.intent.label.clone(),
                hash: *hash,
                block_number: *block_number,
                reason: reason.clone(),
            }),
        })
    }
}

/// The journal of one account on one chain.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    store: Store,
    lane: B256,
}

impl Journal {
    pub fn new(store: Store, chain_id: u64, account: Address) -> Self {
        Self { store, lane: keccak256([&chain_id.to_be_bytes()[..], account.as_slice()].concat()) }
    }

    pub fn find(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        let Some(nonce) = self.store.get(&NONCES, &(self.lane, id.to_string()))? else { return Ok(None) };
        self.store.get(&ENTRIES, &(self.lane, nonce))
    }

    /// What was sent under a nonce.
    pub fn entry(&self, nonce: u64) -> Result<Option<Entry>, StoreError> {
        self.store.get(&ENTRIES, &(self.lane, nonce))
    }

    pub fn outcome(&self, intent: &Intent) -> Result<Option<Outcome>, SendError> {
        Ok(self.matching(intent)?.and_then(|entry| entry.outcome()))
    }

    pub fn knows(&self, intent: &Intent) -> Result<bool, SendError> {
        Ok(self.matching(intent)?.is_some())
    }

    /// The entry of the intent's id; an error when it stands for something else.
    pub fn matching(&self, intent: &Intent) -> Result<Option<Entry>, SendError> {
        match self.find(&intent.id)? {
            Some(entry) if entry.intent.request != intent.request => Err(SendError::IdReused { id: intent.id.clone() }),
            found => Ok(found),
        }
    }

    pub fn put(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.put_in(&mut batch, entry)?;
        self.store.commit(batch)
    }

    fn put_in(&self, batch: &mut Batch, entry: &Entry) -> Result<(), StoreError> {
        batch.put(&ENTRIES, &(self.lane, entry.nonce), entry)?;
        batch.put(&NONCES, &(self.lane, entry.intent.id.clone()), &entry.nonce)
    }

    /// Puts the entry under another nonce: its old one was taken by a transaction that is not ours.
    pub fn relocate(&self, old_nonce: u64, entry: &Entry) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.delete(&ENTRIES, &(self.lane, old_nonce));
        self.put_in(&mut batch, entry)?;
        self.store.commit(batch)
    }

    /// Records the outcome and forgets the one that is `KEPT` nonces older.
    pub fn settle(&self, entry: &Entry) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.put_in(&mut batch, entry)?;
        if let Some(old_nonce) = entry.nonce.checked_sub(KEPT) {
            let old = self.store.get(&ENTRIES, &(self.lane, old_nonce))?;
            if let Some(old) = old.filter(|old| old.settled.is_some()) {
                batch.delete(&ENTRIES, &(self.lane, old_nonce));
                batch.delete(&NONCES, &(self.lane, old.intent.id));
            }
        }
        self.store.commit(batch)
    }

    /// All entries in order of their nonces.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let found = self.store.scan(&ENTRIES, Some(&(self.lane, 0)), usize::MAX)?;
        Ok(found.into_iter().take_while(|((lane, _), _)| *lane == self.lane).map(|(_, entry)| entry).collect())
    }
}
