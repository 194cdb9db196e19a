//! What both chains say, folded from their logs: bridge, work, market.
//!
//! Logs are stored as they come and folded into views in memory; a reorg drops the logs of the dead branch and folds again. Views can
//! therefore be lost at any time. Services wake on [`ChainIndex::head`] and compare the views with what they have done.

mod bridge;
mod kings;
mod market;
mod work;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

pub use bridge::{BridgeView, SentMessage};
pub use kings::{KingsView, Nomination};
pub use market::{MarketView, RentalInfo};
use tokio::sync::watch;
pub use work::{ChallengeInfo, CommitInfo, DemandInfo, DeviceInfo, QueenSet, TermsInfo, WorkParameters, WorkView};

use super::follower::{ChainEvent, Rescan, Subscription};
use crate::{
    chain::LogEntry,
    store::{Batch, Store, StoreError, Table},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{AddressBook, ChainKind},
};

/// Logs of one chain by (block, position in the block).
pub const LOG_TABLES: [Table<(u64, u64), LogEntry>; 2] = [Table::new("ethereum_logs"), Table::new("classic_logs")];
/// Entries read from the store at a time while folding.
const SCAN_STEP: usize = 4_096;

/// All that is folded from one chain.
#[derive(Debug, Clone, Default)]
pub struct Views {
    pub bridge: BridgeView,
    pub work: WorkView,
    pub market: MarketView,
    pub kings: KingsView,
    /// Grows whenever everything was folded anew, as after a reorganisation: what was seen before may not hold any more.
    pub generation: u64,
}

impl Views {
    fn apply(&mut self, log: &LogEntry, chain: ChainKind, book: &AddressBook) {
        let bridge = book.bridge(chain);
        if log.address == bridge.outbox || log.address == bridge.inbox {
            self.bridge.apply(log, book.chain_id(chain));
        } else if log.address == bridge.king_set {
            self.kings.apply(log);
        } else if chain == ChainKind::Classic && log.address == book.classic.work_verification {
            self.work.apply(log);
        } else if chain == ChainKind::Ethereum && log.address == book.ethereum.gpu_rental {
            self.market.apply(log);
        }
    }
}

/// Newest block whose logs are in the views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub timestamp: u64,
}

/// Cloneable reader of one chain's views.
#[derive(Clone)]
pub struct ChainIndex {
    pub chain: ChainKind,
    views: Arc<RwLock<Views>>,
    head: watch::Receiver<Head>,
    rescan: Option<Rescan>,
}

impl ChainIndex {
    /// Lets whoever finds the views wrong have the logs read again.
    pub fn with_rescan(self, rescan: Rescan) -> Self {
        Self { rescan: Some(rescan), ..self }
    }

    /// The views contradict the chain: drops what was folded from blocks above `to_block` and reads it again.
    pub fn read_again_above(&self, to_block: u64) {
        if let Some(rescan) = &self.rescan {
            rescan.above(to_block);
        }
    }

    /// Do not hold the guard across an await.
    pub fn views(&self) -> RwLockReadGuard<'_, Views> {
        self.views.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes after every block that the views have taken in.
    pub fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    pub fn newest(&self) -> Head {
        *self.head.borrow()
    }
}

/// Feeds the views of one chain.
pub struct Indexer {
    chain: ChainKind,
    store: Store,
    book: AddressBook,
    events: Subscription,
    views: Arc<RwLock<Views>>,
    head: watch::Sender<Head>,
    metrics: Metrics,
    pending: Vec<LogEntry>,
}

impl Indexer {
    /// Folds what the store holds, so that the index answers before the first new block.
    pub fn new(
        chain: ChainKind,
        store: Store,
        book: AddressBook,
        events: Subscription,
        metrics: Metrics,
    ) -> Result<(Self, ChainIndex), StoreError> {
        let (head, reader) = watch::channel(Head::default());
        let views: Arc<RwLock<Views>> = Arc::default();
        let index = ChainIndex { chain, views: Arc::clone(&views), head: reader, rescan: None };
        let indexer = Self { chain, store, book, events, views, head, metrics, pending: Vec::new() };
        indexer.fold_all()?;
        Ok((indexer, index))
    }

    fn table(&self) -> &'static Table<(u64, u64), LogEntry> {
        match self.chain {
            ChainKind::Ethereum => &LOG_TABLES[0],
            ChainKind::Classic => &LOG_TABLES[1],
        }
    }

    fn fold_all(&self) -> Result<(), StoreError> {
        let mut views = Views::default();
        let mut from = (0u64, 0u64);
        loop {
            let step = self.store.scan(self.table(), Some(&from), SCAN_STEP)?;
            for (_, log) in &step {
                views.apply(log, self.chain, &self.book);
            }
            match step.last() {
                Some(((block, position), _)) if step.len() == SCAN_STEP => from = (*block, position + 1),
                _ => break,
            }
        }
        let mut current = self.views.write().unwrap_or_else(PoisonError::into_inner);
        views.generation = current.generation + 1;
        views.bridge.remember(std::mem::take(&mut current.bridge));
        *current = views;
        Ok(())
    }

    fn take(&mut self, event: ChainEvent) -> Result<(), StoreError> {
        match event {
            ChainEvent::Log(log) => {
                self.pending.push(log.log);
                Ok(())
            }
            ChainEvent::Block(block) => {
                self.store_pending()?;
                self.metrics.chain_head(self.chain.name(), block.number);
                self.head.send_replace(Head { number: block.number, timestamp: block.timestamp });
                Ok(())
            }
            ChainEvent::Reorg { to_block } => self.roll_back(to_block),
        }
    }

    fn store_pending(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut fresh = Vec::new();
        for log in std::mem::take(&mut self.pending) {
            let key = (log.block_number, log.log_index);
            // The follower may repeat a block after a restart.
            if self.store.get(self.table(), &key)?.is_none() {
                batch.put(self.table(), &key, &log)?;
                fresh.push(log);
            }
        }
        self.store.commit(batch)?;
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        for log in &fresh {
            views.apply(log, self.chain, &self.book);
        }
        Ok(())
    }

    /// The follower says this at every start, too: then there is usually nothing above.
    fn roll_back(&mut self, to_block: u64) -> Result<(), StoreError> {
        self.pending.clear();
        let mut dropped = 0;
        loop {
            let dead = self.store.scan(self.table(), Some(&(to_block + 1, 0)), SCAN_STEP)?;
            if dead.is_empty() {
                break;
            }
            let mut batch = Batch::default();
            for (key, _) in &dead {
                batch.delete(self.table(), key);
            }
            self.store.commit(batch)?;
            dropped += dead.len();
        }
        if dropped == 0 {
            return Ok(());
        }
        tracing::warn!(chain = %self.chain, to_block, dropped, "logs of a dead branch were dropped, folding again");
        self.fold_all()
    }
}

#[async_trait::async_trait]
impl Service for Indexer {
    fn name(&self) -> &'static str {
        match self.chain {
            ChainKind::Ethereum => "ethereum-indexer",
            ChainKind::Classic => "classic-indexer",
        }
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        while let Some(Some(event)) = shutdown.or_stop(self.events.next()).await {
            self.take(event).map_err(Fault::fatal)?;
        }
        Ok(())
    }
}
