//! A King's pen: signs the state of one chain's Outbox at final blocks.
//!
//! A checkpoint is recorded before it leaves the process, and for one count of one set epoch there is never a second one: check and
//! record are one write. Kings sign at multiples of the stride, so that they agree on counts without talking. Whoever signed what its
//! chain no longer holds stops until an operator has looked.

mod error;
mod finality;
pub mod halt;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{B256, B512},
    signers::{SignerSync, local::PrivateKeySigner},
};

pub use self::{error::SignerError, finality::Finality};
use self::{
    finality::outflows,
    halt::{Finding, HALTS, Halt},
};
use super::{
    checkpoints::CheckpointBook,
    commands,
    index::{ChainIndex, SentMessage},
    peers::Peers,
    unix_seconds,
};
use crate::{
    chain::{BlockInfo, Chain, ChainError},
    store::{Recorded, Store, StoreError, Table},
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Health, Metrics, Severity},
    types::{
        AddressBook, ChainKind, Coded,
        abi::{KingSet, Outbox},
        signing::{Checkpoint, compact},
        wire::{CheckpointData, CheckpointSignature, GossipMessage},
    },
};

/// Signed checkpoints by origin chain id, set epoch and count.
pub const SIGNED: Table<(u64, (u64, u32)), CheckpointSignature> = Table::new("signed_checkpoints");
/// Entries read from the store at a time.
const SCAN_STEP: usize = 256;
/// Due checkpoints that are signed one by one after an absence; of more, only the newest. Old ones cost reads of old state that nodes
/// may not keep, and the newest covers every message.
const MAX_BACKLOG: usize = 32;
/// The contract's count of messages is compared with the own one this often.
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// Pause between two rescans of a chain's logs. Shorter reads the same history over and over while an endpoint lies.
const RESCAN_PAUSE: Duration = Duration::from_secs(20);
/// The verifying chain's King set changes over days; looked at this often.
const EPOCH_EVERY: Duration = Duration::from_secs(5);
/// Own checkpoints that have no quorum yet are asked for this often: gossip may have missed them.
const ASK_EVERY: Duration = Duration::from_secs(30);

pub struct CheckpointSigner {
    pub chain: Chain,
    /// The chain that will verify the signatures: its King set decides the epoch.
    pub verifier: Chain,
    pub index: ChainIndex,
    pub verifier_index: ChainIndex,
    pub book: AddressBook,
    pub checkpoints: CheckpointBook,
    pub finality: Finality,
    pub key: PrivateKeySigner,
    pub store: Store,
    pub peers: Peers,
    pub data_dir: PathBuf,
    pub alerts: Alerts,
    pub health: Health,
    pub metrics: Metrics,
    pub state: SignerState,
}

/// What the loop remembers between rounds; all of it is found again after a restart.
#[derive(Default)]
pub struct SignerState {
    /// Set epoch that is signed for, with the newest checkpoint of it.
    epoch: Option<u64>,
    epoch_read: Option<Instant>,
    counted: Option<Instant>,
    last: Option<CheckpointData>,
    /// Messages that need no signature of this King any more.
    covered: u32,
    acknowledged: u32,
    rescanned: Option<Instant>,
    asked: Option<Instant>,
}

impl CheckpointSigner {
    async fn look(&mut self) -> Result<(), SignerError> {
        self.take_command()?;
        let views_count = self.index.views().bridge.tree().count();
        self.metrics.bridge_count(self.chain.kind().name(), "seen", views_count);
        if let Some(halt) = self.store.get(&HALTS, &self.chain.chain_id())? {
            self.tell_halt(&halt);
            return Ok(());
        }
        self.health.ready(self.name());
        self.follow_epoch().await?;
        self.check_signed().await?;
        self.check_index().await?;
        self.sign_due().await?;
        self.ask_for_missing().await;
        Ok(())
    }

    /// The set that the other chain will verify with. A new one starts where the old one got accepted.
    async fn follow_epoch(&mut self) -> Result<(), SignerError> {
        if self.state.epoch.is_some() && self.state.epoch_read.is_some_and(|at| at.elapsed() < EPOCH_EVERY) {
            return Ok(());
        }
        // What a new epoch starts from is in the logs of the block that installed it, so it is read where the index has arrived.
        let number = self.verifier.agreed_head_number().await?.min(self.verifier_index.newest().number);
        if number == 0 {
            return Ok(());
        }
        let at = self.verifier.agreed_block(number).await?;
        let king_set = self.book.bridge(self.verifier.kind()).king_set;
        let epoch = self.verifier.agreed_call(king_set, KingSet::currentEpochCall {}, at.hash).await?;
        self.checkpoints.kings().follow_agreed(&self.verifier, &self.verifier_index, king_set, at.hash).await?;
        self.state.epoch_read = Some(Instant::now());
        if self.state.epoch == Some(epoch) {
            return Ok(());
        }
        let me = self.key.address();
        let is_member = self.checkpoints.kings().get(epoch).is_some_and(|set| set.contains(me));
        if !is_member {
            return Err(SignerError::NotInSet { chain: self.verifier.kind(), epoch, key: me });
        }
        self.state.last = self.restore(epoch)?;
        self.state.acknowledged = halt::acknowledged_count(&self.store, self.chain.chain_id(), epoch)?;
        let accepted = self.verifier_index.views().bridge.newest_accepted().unwrap_or(0);
        self.state.covered = self.state.last.map_or(0, |last| last.count).max(accepted);
        self.state.epoch = Some(epoch);
        tracing::info!(chain = %self.chain.kind(), epoch, covered = self.state.covered, "signs for this set epoch");
        Ok(())
    }

    /// The newest block that was signed must still be part of the chain.
    async fn check_signed(&mut self) -> Result<(), SignerError> {
        let Some(last) = self.state.last.filter(|last| last.count > self.state.acknowledged) else { return Ok(()) };
        let now = self.chain.agreed_block(last.block_number).await?;
        if now.hash == last.block_hash { Ok(()) } else { self.halt(last, Finding::BlockGone { hash_now: now.hash }).await }
    }

    /// The own view must hold every message that the contract counts: an endpoint may leave logs out.
    async fn check_index(&mut self) -> Result<(), SignerError> {
        let has_gap = self.index.views().bridge.has_gap();
        if !has_gap && self.state.counted.is_some_and(|at| at.elapsed() < COUNT_EVERY) {
            return Ok(());
        }
        self.state.counted = Some(Instant::now());
        let number = self.index.newest().number.min(self.chain.agreed_head_number().await?);
        let block = self.chain.agreed_block(number).await?;
        let count = self.chain.agreed_call(self.book.bridge(self.chain.kind()).outbox, Outbox::countCall {}, block.hash).await?;
        if has_gap || count > self.index.views().bridge.count_at(number) {
            tracing::warn!(chain = %self.chain.kind(), block = number, count, "messages are missing in the logs");
            self.rescan();
        }
        Ok(())
    }

    /// Signs every stride block that is final and holds new messages.
    async fn sign_due(&mut self) -> Result<(), SignerError> {
        let mut due = self.due().await?;
        if due.len() > MAX_BACKLOG {
            tracing::warn!(chain = %self.chain.kind(), skipped = due.len() - 1, "far behind: signs the newest checkpoint only");
            due = due.split_off(due.len() - 1);
        }
        for (block, count) in due {
            self.sign(block, count).await?;
        }
        Ok(())
    }

    /// Stride blocks with new messages that are deep enough, with their counts.
    async fn due(&self) -> Result<Vec<(u64, u32)>, SignerError> {
        if self.index.views().bridge.tree().count() <= self.state.covered {
            return Ok(Vec::new());
        }
        let newest_indexed = self.index.newest().number;
        let final_block = match self.chain.kind() {
            ChainKind::Ethereum => self.chain.agreed_finalized().await?.number,
            ChainKind::Classic => self.chain.agreed_head_number().await?,
        };
        let views = self.index.views();
        let sent = views.bridge.sent();
        let outflows = outflows(sent, &self.book);
        let (mut covered, mut due) = (self.state.covered, Vec::new());
        while let Some(next) = usize::try_from(covered).ok().and_then(|position| sent.get(position)) {
            let Some(block) = self.stride_block(next) else { break };
            if block > newest_indexed || !self.finality.is_deep_enough(self.chain.kind(), block, final_block, &outflows) {
                break;
            }
            covered = views.bridge.count_at(block);
            due.push((block, covered));
        }
        Ok(due)
    }

    fn stride_block(&self, sent: &SentMessage) -> Option<u64> {
        sent.block_number.div_ceil(self.finality.stride).checked_mul(self.finality.stride)
    }

    async fn sign(&mut self, block_number: u64, count: u32) -> Result<(), SignerError> {
        let Some(epoch) = self.state.epoch else { return Ok(()) };
        let chain = self.chain.kind();
        let outbox = self.book.bridge(chain).outbox;
        let block = self.chain.agreed_block(block_number).await?;
        let root = self.chain.agreed_call(outbox, Outbox::rootCall {}, block.hash).await?;
        let own_root = self.index.views().bridge.tree().root_at(count);
        if own_root != Some(root) {
            self.rescan();
            return Err(SignerError::RootMismatch { chain, block: block_number, count });
        }
        self.check_history(root).await?;
        self.check_still_final(&block).await?;
        let checkpoint = CheckpointData {
            origin_chain_id: self.chain.chain_id(),
            outbox,
            set_epoch: epoch,
            root,
            count,
            block_number,
            block_hash: block.hash,
            block_timestamp: block.timestamp,
        };
        let signature = self.key.sign_hash_sync(&Checkpoint::from(checkpoint).digest())?;
        let signed = CheckpointSignature { checkpoint, signer: self.key.address(), signature: B512::from(compact(&signature)) };
        let recorded = match self.store.put_if_absent(&SIGNED, &(checkpoint.origin_chain_id, (epoch, count)), signed)? {
            Recorded::New(signed) => signed,
            Recorded::Existing(existing) if existing.checkpoint == checkpoint => existing,
            Recorded::Existing(existing) => return self.halt(existing.checkpoint, Finding::AnotherSigned { root_now: root }).await,
        };
        self.state.covered = count;
        self.state.last = Some(recorded.checkpoint);
        tracing::info!(%chain, block_number, count, %root, epoch, "checkpoint signed");
        self.metrics.event("checkpoint", "signed");
        self.metrics.bridge_count(chain.name(), "signed", count);
        self.publish(recorded).await;
        Ok(())
    }

    /// What is signed must contain what was signed in this epoch: two roots that differ below both counts are what Kings are slashed for.
    /// The own tree was just compared with the contract's root, so it tells.
    async fn check_history(&mut self, root: B256) -> Result<(), SignerError> {
        let Some(last) = self.state.last else { return Ok(()) };
        let root_now = self.index.views().bridge.tree().root_at(last.count);
        if root_now == Some(last.root) {
            return Ok(());
        }
        if last.count <= self.state.acknowledged {
            return Err(SignerError::NeedsEpoch { chain: self.chain.kind(), epoch: last.set_epoch, count: last.count });
        }
        self.halt(last, Finding::HistoryChanged { root_now: root_now.unwrap_or(root) }).await
    }

    /// The last look before the pen touches paper: still the same block, still deep enough, on a majority of the endpoints.
    async fn check_still_final(&self, block: &BlockInfo) -> Result<(), SignerError> {
        let chain = self.chain.kind();
        let final_block = match chain {
            ChainKind::Ethereum => self.chain.agreed_finalized().await?.number,
            ChainKind::Classic => self.chain.agreed_head_number().await?,
        };
        let outflows = outflows(self.index.views().bridge.sent(), &self.book);
        let deep = self.finality.is_deep_enough(chain, block.number, final_block, &outflows);
        let now = self.chain.agreed_block(block.number).await?;
        if deep && now.hash == block.hash { Ok(()) } else { Err(SignerError::Moved { chain, block: block.number }) }
    }

    /// Gossip is speed only: whoever misses it asks for the signature.
    async fn publish(&self, signed: CheckpointSignature) {
        self.checkpoints.add(&signed);
        if let Err(error) = self.peers.net.publish(&GossipMessage::Checkpoint(signed)).await {
            tracing::debug!(%error, "checkpoint was not gossiped");
        }
    }

    /// What was signed in `epoch` before the last stop is offered again; the newest of it.
    fn restore(&self, epoch: u64) -> Result<Option<CheckpointData>, StoreError> {
        let origin = self.chain.chain_id();
        let mut last: Option<CheckpointData> = None;
        loop {
            let from = last.map_or(0, |last| last.count + 1);
            let step = self.store.scan(&SIGNED, Some(&(origin, (epoch, from))), SCAN_STEP)?;
            let own = step.into_iter().take_while(|((chain, (of, _)), _)| *chain == origin && *of == epoch);
            let before = last;
            for (_, signed) in own {
                self.checkpoints.add(&signed);
                last = Some(signed.checkpoint);
            }
            if last == before {
                return Ok(last);
            }
        }
    }

    /// Other Kings' signatures under what this one signed, so that it can hand them to whoever asks.
    async fn ask_for_missing(&mut self) {
        let Some(last) = self.state.last else { return };
        let origin = self.chain.chain_id();
        let accepted = self.verifier_index.views().bridge.newest_accepted().unwrap_or(0);
        self.metrics.bridge_count(self.chain.kind().name(), "accepted", accepted);
        let is_done = accepted >= last.count || self.checkpoints.best(origin, last.count - 1).is_some();
        if is_done || self.state.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            return;
        }
        self.state.asked = Some(Instant::now());
        for signed in self.peers.checkpoints(origin, last.count).await {
            self.checkpoints.add(&signed);
        }
    }

    /// The own view of the messages contradicts the contract: the endpoint that gave the logs left some out or invented some.
    fn rescan(&mut self) {
        if self.state.rescanned.is_some_and(|at| at.elapsed() < RESCAN_PAUSE) {
            return;
        }
        self.state.rescanned = Some(Instant::now());
        self.metrics.event("logs", "rescan");
        self.index.read_again_above(self.state.last.map_or(0, |last| last.block_number));
    }

    /// Stores the fact, so that no restart forgets it.
    async fn halt(&mut self, signed: CheckpointData, finding: Finding) -> Result<(), SignerError> {
        let head_number = self.chain.agreed_head_number().await?;
        let halt = Halt { origin: self.chain.kind(), signed, finding, head_number, at: unix_seconds() };
        self.metrics.reorg_depth(self.chain.kind().name(), head_number.saturating_sub(signed.block_number));
        let halt = self.store.put_if_absent(&HALTS, &self.chain.chain_id(), halt)?.into_inner();
        self.tell_halt(&halt);
        Err(SignerError::Halted { chain: self.chain.kind(), what: halt.describe() })
    }

    fn tell_halt(&self, halt: &Halt) {
        let what = halt.describe();
        self.health.not_ready(self.name(), format!("halted: {what}"));
        let message = format!("this King signs nothing of {} any more: {what}; see `gpumkt king resume`", halt.origin);
        self.alerts.raise("king_halted", Severity::Critical, halt.origin.name(), message);
    }

    fn take_command(&mut self) -> Result<(), SignerError> {
        let name = halt::command_name(self.chain.kind());
        let Some(halt::Resume { halt }) = commands::waiting(&self.data_dir, &name) else { return Ok(()) };
        if halt::end(&self.store, self.chain.chain_id(), &halt, unix_seconds())? {
            tracing::warn!(chain = %self.chain.kind(), "an operator ended the halt");
            // Everything is looked at anew, as after a restart.
            self.state = SignerState::default();
        } else {
            tracing::warn!(chain = %self.chain.kind(), "a command to resume names no halt of this King, ignored");
        }
        commands::done(&self.data_dir, &name);
        Ok(())
    }
}

#[async_trait::async_trait]
impl Service for CheckpointSigner {
    fn name(&self) -> &'static str {
        match self.chain.kind() {
            ChainKind::Ethereum => "ethereum-signer",
            ChainKind::Classic => "classic-signer",
        }
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.index.head();
        loop {
            match self.look().await {
                // The next look finds the halt in the store.
                Ok(()) | Err(SignerError::Halted { .. }) => {}
                Err(error @ SignerError::Store(_)) => return Err(Fault::fatal(error)),
                Err(error) => self.tell(&error),
            }
            // Commands and other endpoints' answers come without a new block, too.
            let wait = tokio::time::timeout(self.chain.poll_interval() * 4, head.changed());
            match shutdown.or_stop(wait).await {
                None | Some(Ok(Err(_))) => return Ok(()),
                Some(_) => {}
            }
        }
    }
}

impl CheckpointSigner {
    /// Nothing was signed; the next look tries again.
    fn tell(&self, error: &SignerError) {
        let chain = self.chain.kind();
        if let SignerError::Chain(ChainError::Disagreement { .. }) = error {
            self.metrics.event("rpc_disagreement", chain.name());
        }
        if let SignerError::NotInSet { .. } | SignerError::NeedsEpoch { .. } = error {
            self.alerts.raise("king_waits", Severity::Warning, format!("{chain} {}", error.code()), error.to_string());
        }
        tracing::warn!(%chain, code = error.code(), %error, next_step = error.next_step(), "nothing was signed");
    }
}
