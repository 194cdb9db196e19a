//! What a follower stores: its cursor and the hashes of recent blocks, in one batch per step.

use std::collections::BTreeMap;

use alloy::primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::store::{Batch, Store, StoreError, Table};

const CURSORS: Table<B256, Cursor> = Table::new("follower_cursors");
const BLOCKS: Table<(B256, u64), B256> = Table::new("follower_blocks");
/// Columns the store must be opened with.
pub const COLUMNS: [&str; 2] = [CURSORS.name(), BLOCKS.name()];

/// Newest block that all consumers are through with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub number: u64,
    pub hash: B256,
}

/// What becomes durable once every event up to `sequence` is acknowledged.
pub(super) struct StepRecord {
    pub sequence: u64,
    /// `None` goes back to the start.
    pub cursor: Option<Cursor>,
    pub truncate_above: Option<u64>,
    pub blocks: Vec<(u64, B256)>,
}

pub(super) struct History {
    store: Store,
    /// Chain and name in one key of fixed width.
    id: B256,
    /// Rows of this follower as they stand in the store.
    stored: BTreeMap<u64, B256>,
}

impl History {
    pub fn new(store: Store, chain_id: u64, name: &str) -> Self {
        Self { store, id: keccak256([&chain_id.to_be_bytes()[..], name.as_bytes()].concat()), stored: BTreeMap::new() }
    }

    pub fn cursor(&self) -> Result<Option<Cursor>, StoreError> {
        self.store.get(&CURSORS, &self.id)
    }

    pub fn load_recent(&mut self) -> Result<BTreeMap<u64, B256>, StoreError> {
        let found = self.store.scan(&BLOCKS, Some(&(self.id, 0)), usize::MAX)?;
        let own = found.into_iter().take_while(|((id, _), _)| *id == self.id);
        self.stored = own.map(|((_, number), hash)| (number, hash)).collect();
        Ok(self.stored.clone())
    }

    pub fn apply(&mut self, records: &[StepRecord], window_blocks: u64) -> Result<(), StoreError> {
        let mut blocks = self.stored.clone();
        for record in records {
            if let Some(above) = record.truncate_above {
                blocks.split_off(&(above + 1));
            }
            blocks.extend(record.blocks.iter().copied());
        }
        let Some(last) = records.last() else { return Ok(()) };
        let mut batch = Batch::default();
        match &last.cursor {
            Some(cursor) => {
                blocks = blocks.split_off(&cursor.number.saturating_sub(window_blocks));
                batch.put(&CURSORS, &self.id, cursor)?;
            }
            None => batch.delete(&CURSORS, &self.id),
        }
        for (number, hash) in &blocks {
            if self.stored.get(number) != Some(hash) {
                batch.put(&BLOCKS, &(self.id, *number), hash)?;
            }
        }
        for number in self.stored.keys().filter(|number| !blocks.contains_key(number)) {
            batch.delete(&BLOCKS, &(self.id, *number));
        }
        self.store.commit(batch)?;
        self.stored = blocks;
        Ok(())
    }
}
