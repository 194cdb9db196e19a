//! A relay's hands: takes messages of one chain to the other, under a checkpoint that a King quorum signed.
//!
//! A message goes through five stages, each with a bound: scanned (seen and not delivered), checkpoint (a root covers it), build (a
//! batch is worth its gas), include (a transaction is on its way), final (the destination says so). Nothing here is trusted by the
//! contracts: a message is delivered once, whoever brings it. What was done is read back from the destination's logs, so a lost
//! database, a restart or a second relay costs at most a refused simulation, and what a reorganisation drops is built again.

mod call;
mod record;
mod stages;
mod verdict;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

pub use record::{BATCHES, Built, MESSAGES, MessageRecord, Records, Retry, Stage, command_name};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{
    checkpoints::CheckpointBook,
    commands,
    index::ChainIndex,
    peers::Peers,
    sender::{Mined, SendError, Sender},
    unix_seconds,
};
use crate::{
    chain::Chain,
    config::Delivery,
    rules::batch::BatchPolicy,
    store::{Batch, Store, StoreError},
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Metrics},
    types::{AddressBook, ChainKind, wire::CheckpointSignature},
};

/// Looks for signatures that arrived without a new block.
const TICK: Duration = Duration::from_millis(250);
/// Messages under way at a time; further ones wait on the chain. Fewer slow a catch-up, more only take memory.
const MAX_TRACKED: usize = 2_048;

pub struct Deliverer {
    pub origin: ChainIndex,
    pub origin_chain: Chain,
    pub destination: ChainIndex,
    pub book: AddressBook,
    pub policy: Delivery,
    pub batches: BatchPolicy,
    pub max_in_flight: usize,
    /// What a rental's settlement credits to whoever delivers it, wei of the destination's coin.
    pub fee_wei: u128,
    pub checkpoints: CheckpointBook,
    pub peers: Peers,
    pub sender: Sender,
    pub store: Store,
    pub data_dir: PathBuf,
    pub alerts: Alerts,
    pub metrics: Metrics,
    pub state: DeliveryState,
}

/// What the loop remembers between rounds; all that matters of it is in the store, or on the chains.
#[derive(Default)]
pub struct DeliveryState {
    tracked: BTreeMap<u32, MessageRecord>,
    /// Every message below was delivered, unless the destination was folded anew since.
    scanned_below: u32,
    generation: u64,
    next_batch: u64,
    in_flight: usize,
    /// Delivered by a transaction in this block, which the index has to reach before anybody judges.
    awaited: BTreeMap<u32, u64>,
    not_before: Option<Instant>,
    failures: u32,
    is_asking: bool,
    asked: Option<Instant>,
    rescanned: Option<Instant>,
    counted: Option<Instant>,
}

/// What tasks beside the loop come back with.
enum Done {
    Sent(Box<Built>, Result<Mined, SendError>),
    Asked(Vec<CheckpointSignature>),
}

impl Deliverer {
    fn records(&self) -> Records {
        Records { store: self.store.clone(), origin: self.book.chain_id(self.origin.chain) }
    }

    fn queue_name(&self) -> &'static str {
        match self.origin.chain {
            ChainKind::Ethereum => "ethereum_to_classic",
            ChainKind::Classic => "classic_to_ethereum",
        }
    }

    /// Takes up what an earlier run left: the same intents, so that no message gets a second transaction.
    fn resume(&mut self, tasks: &mut JoinSet<Done>) -> Result<(), StoreError> {
        let records = self.records();
        self.state = DeliveryState::default();
        self.state.tracked = records.messages()?.into_iter().filter(|(_, record)| record.stage != Stage::Delivered).collect();
        let built = records.built()?;
        self.state.next_batch = built.iter().map(|built| built.number + 1).max().unwrap_or(0);
        let under_way: Vec<u32> = built.iter().flat_map(|built| built.indices.iter().copied()).collect();
        for (index, record) in &mut self.state.tracked {
            // A record that says sent without a transaction was written by a run that died in between.
            if record.stage == Stage::Sent && !under_way.contains(index) {
                record.stage = Stage::Waiting;
            }
        }
        for built in built {
            tracing::info!(from = %self.origin.chain, indices = ?built.indices, "goes on with a delivery of an earlier run");
            self.send(built, tasks);
        }
        Ok(())
    }

    fn send(&mut self, built: Built, tasks: &mut JoinSet<Done>) {
        self.state.in_flight += 1;
        let sender = self.sender.clone();
        tasks.spawn(async move {
            let outcome = sender.submit(built.intent.clone()).await;
            Done::Sent(Box::new(built), outcome)
        });
    }

    async fn round(&mut self, tasks: &mut JoinSet<Done>) -> Result<(), StoreError> {
        self.take_command()?;
        self.check_index().await;
        self.scan()?;
        self.show();
        if self.state.not_before.is_some_and(|moment| moment > Instant::now()) {
            return Ok(());
        }
        while self.state.in_flight < self.max_in_flight {
            let Some(built) = self.build(tasks).await? else { break };
            self.send(built, tasks);
        }
        Ok(())
    }

    async fn finish(&mut self, done: Done) -> Result<(), StoreError> {
        match done {
            Done::Asked(signatures) => {
                self.state.is_asking = false;
                for signed in &signatures {
                    self.checkpoints.add(signed);
                }
                Ok(())
            }
            Done::Sent(built, outcome) => {
                self.state.in_flight = self.state.in_flight.saturating_sub(1);
                match outcome {
                    Ok(mined) => self.book_mined(&built, &mined).await,
                    Err(error) => self.book_failed(&built, &error).await,
                }
            }
        }
    }

    fn take_command(&mut self) -> Result<(), StoreError> {
        let name = command_name(self.origin.chain);
        let Some(Retry { indices }) = commands::waiting(&self.data_dir, &name) else { return Ok(()) };
        let mut batch = Batch::default();
        let records = self.records();
        for (index, record) in &mut self.state.tracked {
            let is_meant = indices.as_ref().map_or(record.stage == Stage::Dead, |indices| indices.contains(index));
            if is_meant && record.stage != Stage::Sent {
                (record.stage, record.attempts, record.not_before) = (Stage::Waiting, 0, 0);
                records.put(&mut batch, [(*index, &*record)])?;
                tracing::info!(from = %self.origin.chain, index, "an operator has a message tried again");
            }
        }
        self.store.commit(batch)?;
        self.state.not_before = None;
        commands::done(&self.data_dir, &name);
        Ok(())
    }

    /// Queue lengths and ages, for `/metrics`.
    fn show(&self) {
        let (name, now) = (self.queue_name(), unix_seconds());
        let staged = |stage: Stage| self.state.tracked.values().filter(move |record| record.stage == stage);
        let waiting = staged(Stage::Waiting).count();
        self.metrics.queue_length(name, waiting + staged(Stage::Sent).count());
        self.metrics.queue_length(&format!("{name}_waiting"), waiting);
        self.metrics.queue_length(&format!("{name}_sent"), staged(Stage::Sent).count());
        self.metrics.queue_length(&format!("{name}_final"), self.state.awaited.len());
        self.metrics.queue_length(&format!("{name}_dead"), staged(Stage::Dead).count());
        let oldest = self.state.tracked.values().filter(|record| record.stage != Stage::Dead).map(|record| record.first_seen).min();
        self.metrics.pending_age(name, oldest.map_or(0, |oldest| now.saturating_sub(oldest)));
        self.metrics.bridge_count(self.origin.chain.name(), "seen", self.origin.views().bridge.tree().count());
        self.metrics.bridge_count(self.origin.chain.name(), "delivered", self.destination.views().bridge.delivered_count());
    }
}

#[async_trait::async_trait]
impl Service for Deliverer {
    fn name(&self) -> &'static str {
        match self.origin.chain {
            ChainKind::Ethereum => "deliver-to-classic",
            ChainKind::Classic => "deliver-to-ethereum",
        }
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        // Dropped with this run; what it was about is in the store.
        let mut tasks = JoinSet::new();
        self.resume(&mut tasks).map_err(Fault::fatal)?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.intake.cancelled() => return Ok(()),
                Some(done) = tasks.join_next() => {
                    if let Ok(done) = done {
                        self.finish(done).await.map_err(Fault::fatal)?;
                    }
                }
                _ = tick.tick() => {
                    if let Some(round) = shutdown.or_stop(self.round(&mut tasks)).await {
                        round.map_err(Fault::fatal)?;
                    }
                }
            }
        }
    }
}
