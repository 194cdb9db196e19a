//! Follows one chain: blocks and the logs of a set of contracts, in order, with reorganisations.
//!
//! Delivery is at least once. A subscriber acknowledges an event by asking for the next one; the stored cursor moves only over what
//! all subscribers acknowledged. The first event of a run is always `Reorg { to_block: cursor }`: "what you hold from blocks above
//! this one may be stale, it comes again". So consumers keep their state by block and treat events as idempotent.

mod history;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use alloy::primitives::{Address, B256};
use futures::future::try_join_all;
pub use history::COLUMNS;
use tokio::sync::mpsc;

use self::history::{Cursor, History, StepRecord};
use crate::{
    chain::{BlockInfo, Chain, ChainError, LogBatch, LogEntry, LogQuery},
    store::{Store, StoreError},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::Coded,
};

/// Blocks of one step near the head. Too many hold the head back behind a slow step.
const STEP_BLOCKS: u64 = 32;
/// Blocks of one step far behind the head, where only logs are fetched.
const FAR_STEP_BLOCKS: u64 = 2_000;
/// Blocks behind the head of which every header is fetched and kept: a reorganisation up to this depth is rolled back to the common
/// ancestor, a deeper one starts the replay at the deployment's first block again.
const DEFAULT_WINDOW_BLOCKS: u64 = 512;

/// What happened, in chain order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainEvent {
    /// Follows all logs of the block. Within the window of the head every block has one, before it only some.
    Block(BlockRef),
    Log(LogEvent),
    /// Blocks above `to_block` are no longer part of the chain, or come again.
    Reorg {
        to_block: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRef {
    pub number: u64,
    pub hash: B256,
    pub parent_hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    pub log: LogEntry,
    /// Timestamp of its block, Unix seconds.
    pub timestamp: u64,
}

impl std::ops::Deref for LogEvent {
    type Target = LogEntry;

    fn deref(&self) -> &LogEntry {
        &self.log
    }
}

impl From<&BlockInfo> for BlockRef {
    fn from(block: &BlockInfo) -> Self {
        Self { number: block.number, hash: block.hash, parent_hash: block.parent_hash, timestamp: block.timestamp }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("follower {name}: {source}")]
    Chain { name: &'static str, source: ChainError },
    #[error("follower {name}: {chain_view}")]
    Inconsistent { name: &'static str, chain_view: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for FollowError {
    fn code(&self) -> &'static str {
        match self {
            Self::Chain { source, .. } => source.code(),
            Self::Inconsistent { .. } => "E-FOLLOW-001",
            Self::Store(error) => error.code(),
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Chain { source, .. } => source.next_step(),
            Self::Inconsistent { .. } => "nothing, unless it lasts: then one of the endpoints mixes answers of different nodes".into(),
            Self::Store(error) => error.next_step(),
        }
    }
}

/// Receiving end of a follower.
pub struct Subscription {
    events: mpsc::Receiver<(u64, ChainEvent)>,
    taken: u64,
    acknowledged: Arc<AtomicU64>,
}

impl Subscription {
    /// Acknowledges the event that was returned before and waits for the next one. `None` when the follower is gone.
    pub async fn next(&mut self) -> Option<ChainEvent> {
        self.acknowledged.store(self.taken, Ordering::Release);
        let (sequence, event) = self.events.recv().await?;
        self.taken = sequence;
        Some(event)
    }
}

struct Subscriber {
    events: mpsc::Sender<(u64, ChainEvent)>,
    acknowledged: Arc<AtomicU64>,
}

/// The service. Its `name` is the id of its cursor: two followers of one store need two names.
pub struct Follower {
    chain: Chain,
    history: History,
    name: &'static str,
    addresses: Vec<Address>,
    start_block: u64,
    window_blocks: u64,
    confirmations: u64,
    from_start: bool,
    metrics: Option<Metrics>,
    subscribers: Vec<Subscriber>,
    /// Newest block that was handed out; `None` before the first.
    position: Option<Cursor>,
    /// Hashes of handed out blocks within the window.
    recent: BTreeMap<u64, B256>,
    sequence: u64,
    unacknowledged: VecDeque<StepRecord>,
    started: bool,
    rescans: Option<mpsc::Receiver<u64>>,
}

/// Asks a follower to read its logs again: what it handed out cannot be right.
#[derive(Debug, Clone)]
pub struct Rescan {
    requests: mpsc::Sender<u64>,
}

impl Rescan {
    /// Everything above `to_block` comes again, from another endpoint where there is one. A request that is under way is enough.
    pub fn above(&self, to_block: u64) {
        let _ = self.requests.try_send(to_block);
    }
}

impl Follower {
    /// Follows the logs of `addresses` from `start_block` on, or from where this `name` stopped.
    pub fn new(chain: Chain, store: Store, name: &'static str, addresses: Vec<Address>, start_block: u64) -> Self {
        let history = History::new(store, chain.chain_id(), name);
        Self {
            chain,
            history,
            name,
            addresses,
            start_block,
            window_blocks: DEFAULT_WINDOW_BLOCKS,
            confirmations: 0,
            from_start: false,
            metrics: None,
            subscribers: Vec::new(),
            position: None,
            recent: BTreeMap::new(),
            sequence: 0,
            unacknowledged: VecDeque::new(),
            started: false,
            rescans: None,
        }
    }

    /// Replays everything at every start, for consumers that keep their state in memory.
    pub fn replay_from_start(mut self) -> Self {
        self.from_start = true;
        self
    }

    /// Stays this many blocks behind the head.
    pub fn with_confirmations(mut self, blocks: u64) -> Self {
        self.confirmations = blocks;
        self
    }

    /// Depth up to which a reorganisation is rolled back exactly.
    pub fn with_window(mut self, blocks: u64) -> Self {
        self.window_blocks = blocks.max(1);
        self
    }

    /// Reports the head.
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Adds a consumer; before the service starts. When its `capacity` is used up, the follower waits for it.
    pub fn subscribe(&mut self, capacity: usize) -> Subscription {
        let (events, receiver) = mpsc::channel(capacity.max(1));
        let acknowledged = Arc::new(AtomicU64::new(0));
        self.subscribers.push(Subscriber { events, acknowledged: acknowledged.clone() });
        Subscription { events: receiver, taken: 0, acknowledged }
    }

    /// A handle to ask for a rescan; before the service starts.
    pub fn rescan(&mut self) -> Rescan {
        let (requests, receiver) = mpsc::channel(1);
        self.rescans = Some(receiver);
        Rescan { requests }
    }

    async fn emit(&mut self, event: ChainEvent) {
        self.sequence += 1;
        let mut gone = Vec::new();
        for (position, subscriber) in self.subscribers.iter().enumerate() {
            if subscriber.events.send((self.sequence, event.clone())).await.is_err() {
                gone.push(position);
            }
        }
        for position in gone.into_iter().rev() {
            self.subscribers.remove(position);
        }
    }

    async fn start(&mut self) -> Result<(), FollowError> {
        if self.started {
            return Ok(());
        }
        if !self.from_start {
            self.position = self.history.cursor()?;
            self.recent = self.history.load_recent()?;
        }
        let to_block = self.position.as_ref().map_or(self.start_block.saturating_sub(1), |cursor| cursor.number);
        self.started = true;
        self.emit(ChainEvent::Reorg { to_block }).await;
        Ok(())
    }

    /// One look at the chain; `true` when there is more to fetch at once.
    async fn step(&mut self) -> Result<bool, FollowError> {
        self.store_acknowledged()?;
        if let Some(to_block) = self.rescans.as_mut().and_then(|rescans| rescans.try_recv().ok()) {
            self.go_back(to_block).await;
        }
        let head = self.chain.head().await.map_err(|source| self.failed(source))?.number;
        if let Some(metrics) = &self.metrics {
            metrics.chain_head(self.chain.kind().name(), head);
        }
        let target = head.saturating_sub(self.confirmations);
        if self.roll_back_if_needed(target).await? {
            return Ok(true);
        }
        let from = self.position.as_ref().map_or(self.start_block, |cursor| cursor.number + 1);
        if from > target {
            return Ok(false);
        }
        let near = target - from < self.window_blocks;
        let span = if near { STEP_BLOCKS } else { FAR_STEP_BLOCKS.min(target - self.window_blocks - from + 1) };
        let to = target.min(from + span - 1);
        let covered = if near { self.fetch_near(from, to).await? } else { self.fetch_far(from, to).await? };
        Ok(covered < target)
    }

    /// Compares the newest handed out block with the chain; on a difference goes back to the common ancestor.
    async fn roll_back_if_needed(&mut self, target: u64) -> Result<bool, FollowError> {
        let Some(position) = self.position.clone() else { return Ok(false) };
        let here = self.chain.find_block(position.number).await.map_err(|source| self.failed(source))?;
        match here {
            Some(block) if block.hash == position.hash => return Ok(false),
            // A node that is behind says nothing about our branch.
            None if target < position.number => return Ok(false),
            _ => {}
        }
        // One endpoint's word is not enough to throw away what was read: it may lie, or stand on a branch of its own.
        if self.block_of_most(position.number).await?.is_some_and(|block| block.hash == position.hash) {
            return Ok(false);
        }
        let mut ancestor = None;
        for (&number, &hash) in self.recent.range(..position.number).rev() {
            let block = self.block_of_most(number).await?;
            if block.is_some_and(|block| block.hash == hash) {
                ancestor = Some(Cursor { number, hash });
                break;
            }
        }
        let to_block = ancestor.as_ref().map_or(self.start_block.saturating_sub(1), |cursor| cursor.number);
        let depth = position.number.saturating_sub(to_block);
        tracing::warn!(follower = self.name, chain = %self.chain.kind(), from = position.number, to_block, depth, "reorganisation");
        if let Some(metrics) = &self.metrics {
            metrics.event("reorg", self.chain.kind().name());
            metrics.reorg_depth(self.chain.kind().name(), depth);
        }
        self.continue_from(ancestor).await;
        Ok(true)
    }

    /// What a majority of the endpoints has at `number`; without a majority, because too many are silent, what one of them has: following
    /// must go on, and nothing is signed without a majority.
    async fn block_of_most(&self, number: u64) -> Result<Option<BlockInfo>, FollowError> {
        match self.chain.agreed_block(number).await {
            Ok(block) => Ok(Some(block)),
            Err(_) => self.chain.find_block(number).await.map_err(|source| self.failed(source)),
        }
    }

    /// Forgets what was handed out above `to_block`, or above the newest block before it whose hash is known.
    async fn go_back(&mut self, to_block: u64) {
        let known = self.recent.range(..=to_block).next_back();
        let cursor = known.map(|(&number, &hash)| Cursor { number, hash });
        tracing::warn!(follower = self.name, chain = %self.chain.kind(), to_block, "reads its logs again");
        self.chain.change_log_endpoint();
        self.continue_from(cursor).await;
    }

    async fn continue_from(&mut self, cursor: Option<Cursor>) {
        let to_block = cursor.as_ref().map_or(self.start_block.saturating_sub(1), |cursor| cursor.number);
        self.recent.split_off(&(to_block + 1));
        self.position = cursor.clone();
        self.emit(ChainEvent::Reorg { to_block }).await;
        self.finish_step(StepRecord { sequence: self.sequence, cursor, truncate_above: Some(to_block), blocks: Vec::new() });
    }

    /// Every block of the range with its header.
    async fn fetch_near(&mut self, from: u64, to: u64) -> Result<u64, FollowError> {
        let headers = try_join_all((from..=to).map(|number| self.chain.block(number))).await.map_err(|source| self.failed(source))?;
        let mut parent = self.position.as_ref().map(|cursor| cursor.hash);
        for block in &headers {
            if parent.is_some_and(|parent| parent != block.parent_hash) {
                return Err(self.inconsistent(format!("block {} does not follow the one before", block.number)));
            }
            parent = Some(block.hash);
        }
        let batch = self.fetch_logs(from, to).await?;
        let blocks: Vec<&BlockInfo> = headers.iter().filter(|block| block.number <= batch.covered_to).collect();
        if headers.last().is_some_and(|last| last.hash != batch.to_hash) {
            return Err(self.inconsistent(format!("block {to} changed while it was read")));
        }
        self.hand_out(&blocks, batch.logs).await?;
        Ok(batch.covered_to)
    }

    /// Only blocks with logs, and the last of the range.
    async fn fetch_far(&mut self, from: u64, to: u64) -> Result<u64, FollowError> {
        let batch = self.fetch_logs(from, to).await?;
        let mut numbers: Vec<u64> = batch.logs.iter().map(|log| log.block_number).chain([batch.covered_to]).collect();
        numbers.dedup();
        let mut headers = Vec::with_capacity(numbers.len());
        for chunk in numbers.chunks(STEP_BLOCKS as usize) {
            let fetched = try_join_all(chunk.iter().map(|number| self.chain.block(*number))).await;
            headers.extend(fetched.map_err(|source| self.failed(source))?);
        }
        self.hand_out(&headers.iter().collect::<Vec<_>>(), batch.logs).await?;
        Ok(batch.covered_to)
    }

    async fn fetch_logs(&self, from: u64, to: u64) -> Result<LogBatch, FollowError> {
        let query = LogQuery { addresses: self.addresses.clone(), topics: Vec::new(), from, to };
        self.chain.logs(&query).await.map_err(|source| self.failed(source))
    }

    /// Emits logs and blocks in order. Nothing is emitted unless every log belongs to one of the blocks.
    async fn hand_out(&mut self, blocks: &[&BlockInfo], logs: Vec<LogEntry>) -> Result<(), FollowError> {
        let by_number: BTreeMap<u64, &BlockInfo> = blocks.iter().map(|block| (block.number, *block)).collect();
        if let Some(stray) = logs.iter().find(|log| by_number.get(&log.block_number).is_none_or(|block| block.hash != log.block_hash)) {
            return Err(self.inconsistent(format!("a log of block {} is from another branch", stray.block_number)));
        }
        let mut logs = logs.into_iter().peekable();
        for block in blocks {
            while let Some(log) = logs.next_if(|log| log.block_number == block.number) {
                self.emit(ChainEvent::Log(LogEvent { log, timestamp: block.timestamp })).await;
            }
            self.emit(ChainEvent::Block(BlockRef::from(*block))).await;
        }
        let hashes: Vec<(u64, B256)> = blocks.iter().map(|block| (block.number, block.hash)).collect();
        self.recent.extend(hashes.iter().copied());
        let Some(last) = blocks.last() else { return Ok(()) };
        let cursor = Cursor { number: last.number, hash: last.hash };
        self.position = Some(cursor.clone());
        let oldest = last.number.saturating_sub(self.window_blocks);
        self.recent = self.recent.split_off(&oldest);
        self.finish_step(StepRecord { sequence: self.sequence, cursor: Some(cursor), truncate_above: None, blocks: hashes });
        Ok(())
    }

    fn finish_step(&mut self, record: StepRecord) {
        if !self.from_start {
            self.unacknowledged.push_back(record);
        }
    }

    /// Stores the steps that every subscriber is through with.
    fn store_acknowledged(&mut self) -> Result<(), FollowError> {
        let slowest =
            self.subscribers.iter().map(|subscriber| subscriber.acknowledged.load(Ordering::Acquire)).min().unwrap_or(self.sequence);
        let done = self.unacknowledged.iter().take_while(|record| record.sequence <= slowest).count();
        if done == 0 {
            return Ok(());
        }
        let records: Vec<StepRecord> = self.unacknowledged.drain(..done).collect();
        Ok(self.history.apply(&records, self.window_blocks)?)
    }

    fn failed(&self, source: ChainError) -> FollowError {
        FollowError::Chain { name: self.name, source }
    }

    /// Blocks and logs may come from two endpoints, of which one lies or stands elsewhere: the next attempt asks another pair.
    fn inconsistent(&self, chain_view: String) -> FollowError {
        self.chain.change_log_endpoint();
        FollowError::Inconsistent { name: self.name, chain_view }
    }
}

/// Steps that may fail in a row before the supervisor takes over with its back-off.
const PATIENCE: u32 = 5;

#[async_trait::async_trait]
impl Service for Follower {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        if let Some(started) = shutdown.or_stop(self.start()).await {
            started.map_err(Fault::fatal)?;
        }
        let poll = self.chain.poll_interval();
        let mut failures = 0;
        loop {
            let Some(stepped) = shutdown.or_stop(self.step()).await else { break };
            let more = match stepped {
                Ok(more) => {
                    failures = 0;
                    more
                }
                Err(error @ FollowError::Store(_)) => return Err(Fault::fatal(error)),
                // The chain moved under our eyes, or an endpoint hiccuped: look again.
                Err(error) if failures < PATIENCE => {
                    tracing::debug!(code = error.code(), %error, "step failed");
                    failures += 1;
                    false
                }
                Err(error) => return Err(Fault::recover(error)),
            };
            if !more && !shutdown.pause(poll).await {
                break;
            }
        }
        self.store_acknowledged().map_err(Fault::fatal)
    }
}
