//! Everything that both chains say about the market, for whoever serves it: all contracts' logs in the store, folded into views.
//!
//! The logs are what is stored; a view is a fold of them and holds nothing else. A reorganisation drops the logs of the dead branch and
//! folds again, a lost store is filled again from the chains, and both end at the same views. Kings run this; other roles keep the
//! smaller `service::index`.

pub mod bridge;
pub mod describe;
pub mod market;
mod rental;
pub mod stakes;
pub mod token;
pub mod votes;
pub mod work;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::{bridge::BridgeEnd, describe::Described, market::Market, stakes::Stakes, token::Distribution, votes::Votes, work::Work};
use super::follower::{ChainEvent, Subscription};
use crate::{
    chain::LogEntry,
    store::{Batch, Store, StoreError, Table},
    task::{Fault, Service, Shutdown},
    types::{AddressBook, ChainKind},
};

/// Logs of one chain by (block, position in the block).
pub const TABLES: [Table<Position, StoredLog>; 2] = [Table::new("market_ethereum"), Table::new("market_classic")];
/// Entries read from the store at a time while folding.
const SCAN_STEP: usize = 4_096;
/// Places kept per rental and per account. Whoever floods an account with events only pushes out its own oldest ones.
const MAX_PLACES: usize = 10_000;

/// Block, and position of the log in it.
pub type Position = (u64, u64);

/// A log with the time of its block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLog {
    pub log: LogEntry,
    pub timestamp: u64,
}

impl StoredLog {
    pub fn position(&self) -> Position {
        (self.log.block_number, self.log.log_index)
    }
}

/// Newest block that is in the views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub timestamp: u64,
    pub hash: B256,
}

/// Where the events of rentals and accounts stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    pub by_rental: BTreeMap<u64, Vec<Place>>,
    pub by_account: BTreeMap<Address, Vec<Place>>,
}

/// Time and position of a log: what two chains can be merged by.
pub type Place = (u64, Position);

impl Places {
    fn add(&mut self, position: Place, rental: Option<u64>, accounts: &[Option<Address>]) {
        if let Some(rental) = rental {
            push_bounded(self.by_rental.entry(rental).or_default(), position);
        }
        for account in accounts.iter().flatten() {
            let places = self.by_account.entry(*account).or_default();
            if places.last() != Some(&position) {
                push_bounded(places, position);
            }
        }
    }
}

fn push_bounded(places: &mut Vec<Place>, position: Place) {
    if places.len() == MAX_PLACES {
        places.drain(..MAX_PLACES / 10);
    }
    places.push(position);
}

/// What one chain says.
#[derive(Debug, Clone, Default)]
pub struct ChainView {
    pub head: Head,
    /// Grows with every fold from the beginning.
    pub generation: u64,
    /// Newest log that is folded in.
    pub last: Option<Position>,
    pub places: Places,
    pub bridge: BridgeEnd,
    /// Ethereum only.
    pub market: Market,
    pub stakes: Stakes,
    pub votes: Votes,
    pub distribution: Distribution,
    /// Ethereum Classic only.
    pub work: Work,
}

impl ChainView {
    fn apply(&mut self, stored: &StoredLog, chain: ChainKind, book: &AddressBook) {
        let address = stored.log.address;
        let bridge = book.bridge(chain);
        if address == bridge.outbox || address == bridge.inbox || address == bridge.king_set {
            self.bridge.apply(stored, book.chain_id(chain));
        } else if chain == ChainKind::Ethereum {
            self.apply_ethereum(stored, address, book);
        } else {
            self.work.apply(stored);
        }
        self.last = Some(stored.position());
        if let Some(described) = describe::describe(stored, chain, book) {
            self.note((stored.timestamp, stored.position()), &described);
        }
    }

    fn apply_ethereum(&mut self, stored: &StoredLog, address: Address, book: &AddressBook) {
        let eth = &book.ethereum;
        if address == eth.gpu_rental {
            self.market.apply(stored);
        } else if address == eth.rental_court {
            self.market.apply_court(stored);
        } else if address == eth.staking_manager {
            self.stakes.apply(stored);
        } else if address == eth.governance {
            self.votes.apply(stored);
        } else if address == eth.token_distributor {
            self.distribution.apply(stored);
        }
    }

    fn note(&mut self, position: Place, described: &Described) {
        let rental = described.rental.and_then(|id| self.market.rentals.get(&id));
        let of_rental = rental.map(|rental| (rental.renter, rental.provider)).unzip();
        let of_device = described.device.and_then(|id| {
            let on_ethereum = self.stakes.devices.get(&id).map(|device| device.provider);
            on_ethereum.or_else(|| self.work.devices.get(&id).map(|device| device.provider))
        });
        self.places.add(position, described.rental, &[described.account, described.provider, of_rental.0, of_rental.1, of_device]);
    }
}

/// Cloneable reader of both chains' views, and of the logs behind them.
#[derive(Clone)]
pub struct MarketIndex {
    pub book: AddressBook,
    store: Store,
    views: [Arc<RwLock<ChainView>>; 2],
    changed: watch::Receiver<u64>,
    change: Arc<watch::Sender<u64>>,
}

impl MarketIndex {
    pub fn new(store: Store, book: AddressBook) -> Self {
        let (change, changed) = watch::channel(0);
        Self { book, store, views: [Arc::default(), Arc::default()], changed, change: Arc::new(change) }
    }

    /// Do not hold the guard across an await. Whoever needs both takes Ethereum's first.
    pub fn view(&self, chain: ChainKind) -> RwLockReadGuard<'_, ChainView> {
        self.views[chain as usize].read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the blocks and reorganisations that the views have taken in.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    pub fn log(&self, chain: ChainKind, position: Position) -> Result<Option<StoredLog>, StoreError> {
        self.store.get(&TABLES[chain as usize], &position)
    }

    /// Logs after `position`, in order, at most `limit`; only such as the views hold.
    pub fn logs_after(&self, chain: ChainKind, position: Position, limit: usize) -> Result<Vec<StoredLog>, StoreError> {
        let from = (position.0, position.1.saturating_add(1));
        let found = self.store.scan(&TABLES[chain as usize], Some(&from), limit)?;
        let last = self.view(chain).last;
        Ok(found.into_iter().map(|(_, stored)| stored).filter(|stored| Some(stored.position()) <= last).collect())
    }

    fn tell(&self) {
        self.change.send_modify(|count| *count += 1);
    }
}

/// Feeds one chain's view.
pub struct MarketIndexer {
    chain: ChainKind,
    index: MarketIndex,
    events: Subscription,
    pending: Vec<StoredLog>,
}

impl MarketIndexer {
    /// Folds what the store holds, so that the index answers before the first new block.
    pub fn new(chain: ChainKind, index: MarketIndex, events: Subscription) -> Result<Self, StoreError> {
        let indexer = Self { chain, index, events, pending: Vec::new() };
        indexer.fold_all()?;
        Ok(indexer)
    }

    fn table(&self) -> &'static Table<Position, StoredLog> {
        match self.chain {
            ChainKind::Ethereum => &TABLES[0],
            ChainKind::Classic => &TABLES[1],
        }
    }

    fn fold_all(&self) -> Result<(), StoreError> {
        let mut view = ChainView::default();
        let mut from = (0, 0);
        let mut newest = Head::default();
        loop {
            let step = self.index.store.scan(self.table(), Some(&from), SCAN_STEP)?;
            for (_, stored) in &step {
                view.apply(stored, self.chain, &self.index.book);
            }
            if let Some((_, stored)) = step.last() {
                newest = Head { number: stored.log.block_number, timestamp: stored.timestamp, hash: stored.log.block_hash };
            }
            match step.last() {
                Some((last, _)) if step.len() == SCAN_STEP => from = (last.0, last.1 + 1),
                _ => break,
            }
        }
        let mut current = self.index.views[self.chain as usize].write().unwrap_or_else(PoisonError::into_inner);
        view.generation = current.generation + 1;
        // After a start no block has come yet, and on a chain that stands still none will: what is stored was read up to here at least.
        view.head = if current.head.number == 0 { newest } else { current.head };
        *current = view;
        Ok(())
    }

    fn take(&mut self, event: ChainEvent) -> Result<(), StoreError> {
        match event {
            ChainEvent::Log(event) => {
                self.pending.push(StoredLog { timestamp: event.timestamp, log: event.log });
                Ok(())
            }
            ChainEvent::Block(block) => {
                self.take_block(Head { number: block.number, timestamp: block.timestamp, hash: block.hash })?;
                self.index.tell();
                Ok(())
            }
            ChainEvent::Reorg { to_block } => {
                self.roll_back(to_block)?;
                self.index.tell();
                Ok(())
            }
        }
    }

    /// Logs and head become visible together.
    fn take_block(&mut self, head: Head) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let mut fresh = Vec::new();
        for stored in std::mem::take(&mut self.pending) {
            // The follower may repeat a block after a restart.
            if self.index.store.get(self.table(), &stored.position())?.is_none() {
                batch.put(self.table(), &stored.position(), &stored)?;
                fresh.push(stored);
            }
        }
        if !batch.is_empty() {
            self.index.store.commit(batch)?;
        }
        let mut view = self.index.views[self.chain as usize].write().unwrap_or_else(PoisonError::into_inner);
        for stored in &fresh {
            view.apply(stored, self.chain, &self.index.book);
        }
        view.head = head;
        Ok(())
    }

    /// The follower says this at every start, too: then there is usually nothing above.
    fn roll_back(&mut self, to_block: u64) -> Result<(), StoreError> {
        self.pending.clear();
        let mut dropped = 0;
        loop {
            let dead = self.index.store.scan(self.table(), Some(&(to_block + 1, 0)), SCAN_STEP)?;
            if dead.is_empty() {
                break;
            }
            let mut batch = Batch::default();
            for (key, _) in &dead {
                batch.delete(self.table(), key);
            }
            self.index.store.commit(batch)?;
            dropped += dead.len();
        }
        if dropped == 0 {
            return Ok(());
        }
        tracing::warn!(chain = %self.chain, to_block, dropped, "market logs of a dead branch were dropped, folding again");
        self.fold_all()
    }
}

#[async_trait::async_trait]
impl Service for MarketIndexer {
    fn name(&self) -> &'static str {
        match self.chain {
            ChainKind::Ethereum => "ethereum-market",
            ChainKind::Classic => "classic-market",
        }
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        while let Some(Some(event)) = shutdown.or_stop(self.events.next()).await {
            self.take(event).map_err(Fault::fatal)?;
        }
        Ok(())
    }
}

/// The contracts whose logs the market's index needs.
pub fn addresses(book: &AddressBook, chain: ChainKind) -> Vec<Address> {
    let bridge = book.bridge(chain);
    let mut all = vec![bridge.outbox, bridge.inbox, bridge.king_set];
    match chain {
        ChainKind::Ethereum => {
            let eth = &book.ethereum;
            all.extend([eth.gpu_rental, eth.rental_court, eth.staking_manager, eth.king_court, eth.token_distributor, eth.governance]);
        }
        ChainKind::Classic => all.extend([book.classic.work_verification, book.classic.reputation_system]),
    }
    all
}
