//! A provider's answer to challenges: run the kernels, tell the Queens, commit, prove.
//!
//! What was promised on chain is read back from the chain: after a restart, an unproven commit is computed again from its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol_types::{SolCall, SolValue},
};
use futures::future::join_all;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;

use super::{
    challenges::{Challenges, SeenChallenge},
    index::{ChainIndex, ChallengeInfo, CommitInfo, DeviceInfo},
    next_block,
    peers::Peers,
    sender::{Intent, SendError, Sender},
    tenants::Tenants,
    worker::{GpuWorker, WorkerError},
};
use crate::{
    chain::{BlockId, Chain, ChainError},
    rules::{
        beacon,
        kernel::{NoSuchSample, WorkOutput, is_drawn, sample_seed},
    },
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Metrics, Severity},
    types::{
        Coded, DeviceId,
        abi::WorkVerification,
        wire::{Request, Response},
        work::{Mode, WorkProof},
    },
};

/// Finished challenges kept for openings; older ones are computed again when asked for.
const MAX_FINISHED: usize = 16;
/// Blocks for which a contract can read the hash of another: whoever seals later draws nobody.
const HASH_REACH_BLOCKS: u64 = 256;
/// Names of failed transactions that are kept.
const MAX_FAILED: usize = 256;
/// Blocks after which nothing about a challenge can be open: the longest windows of the contract together.
const MAX_ANSWER_BLOCKS: u64 = 4_352;
/// How much earlier than this node a Queen may see a block.
const BLOCK_WAIT: Duration = Duration::from_secs(8);

#[derive(Debug, thiserror::Error)]
pub enum ProverError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Sample(#[from] NoSuchSample),
    #[error("device {device} is not one of this node's")]
    NotOurs { device: DeviceId },
    #[error("block {block} is not a challenge this node has seen")]
    UnknownChallenge { block: u64 },
    #[error("the root of device {device} at block {block} differs from the one committed")]
    RootChanged { device: DeviceId, block: u64 },
    #[error("the proof cannot be encoded: {0}")]
    Encoding(#[from] alloy::sol_types::Error),
}

impl Coded for ProverError {
    fn code(&self) -> &'static str {
        match self {
            ProverError::Chain(error) => error.code(),
            ProverError::Worker(error) => error.code(),
            ProverError::Send(error) => error.code(),
            ProverError::Sample(error) => Coded::code(error),
            ProverError::NotOurs { .. } => "E-WORK-002",
            ProverError::UnknownChallenge { .. } => "E-WORK-003",
            ProverError::RootChanged { .. } => "E-WORK-004",
            ProverError::Encoding(_) => "E-WORK-005",
        }
    }

    fn next_step(&self) -> String {
        match self {
            ProverError::Chain(error) => error.next_step(),
            ProverError::Worker(error) => error.next_step(),
            ProverError::Send(error) => error.next_step(),
            ProverError::Sample(error) => Coded::next_step(error),
            ProverError::NotOurs { .. } => "ask the node that serves this device".into(),
            ProverError::UnknownChallenge { .. } => "compare the two nodes' ETC endpoints: one may be behind or on another branch".into(),
            ProverError::RootChanged { .. } => "test the device with `gpumkt bench`: it does not compute the same twice".into(),
            ProverError::Encoding(_) => "report this: it is a defect of this build".into(),
        }
    }
}

/// A challenge that was computed.
#[derive(Clone)]
pub struct Finished {
    pub block_hash: B256,
    pub mode: Mode,
    pub root: B256,
    output: Arc<WorkOutput>,
}

type Slot = watch::Receiver<Option<Finished>>;

/// Everything the loop and the answers to Queens share.
pub struct Prover {
    pub chain: Chain,
    pub classic: ChainIndex,
    pub ethereum: ChainIndex,
    pub account: Address,
    pub worker_key: Address,
    pub gpu: GpuWorker,
    pub peers: Peers,
    pub sender: Sender,
    pub metrics: Metrics,
    pub alerts: Alerts,
    pub tenants: Tenants,
    work: Mutex<BTreeMap<(u64, DeviceId), Slot>>,
    /// How often what has this name failed.
    failed: Mutex<BTreeMap<String, u32>>,
    announced: Notify,
    /// Held while the OpenCL device works: a renter's container stands still for its own challenge only, not for those before it.
    turn: Mutex<()>,
    challenges: Challenges,
}

pub struct ProverParts {
    pub chain: Chain,
    pub classic: ChainIndex,
    pub ethereum: ChainIndex,
    pub account: Address,
    pub worker_key: Address,
    pub gpu: GpuWorker,
    pub peers: Peers,
    pub sender: Sender,
    pub metrics: Metrics,
    pub alerts: Alerts,
    /// Containers that stand still while a rented device is challenged.
    pub tenants: Tenants,
    pub challenges: Challenges,
}

impl Prover {
    pub fn new(parts: ProverParts) -> Arc<Self> {
        let ProverParts { chain, classic, ethereum, account, worker_key, gpu, peers, sender, metrics, alerts, tenants, challenges } = parts;
        let (work, failed, announced, turn) = (Mutex::default(), Mutex::default(), Notify::new(), Mutex::default());
        Arc::new(Self {
            chain,
            classic,
            ethereum,
            account,
            worker_key,
            gpu,
            peers,
            sender,
            metrics,
            alerts,
            tenants,
            work,
            failed,
            announced,
            turn,
            challenges,
        })
    }

    /// Devices of this account whose worker key this node holds, before or after a change of the key.
    pub fn devices(&self) -> Vec<(DeviceId, DeviceInfo)> {
        let views = self.classic.views();
        let ours = |device: &DeviceInfo| {
            let holds = device.worker == self.worker_key || device.previous_worker == self.worker_key;
            device.provider == self.account && holds && !device.is_removed
        };
        views.work.devices.iter().filter(|(_, device)| ours(device)).map(|(id, device)| (*id, *device)).collect()
    }

    fn device(&self, id: DeviceId) -> Result<DeviceInfo, ProverError> {
        self.devices().into_iter().find(|(ours, _)| *ours == id).map(|(_, device)| device).ok_or(ProverError::NotOurs { device: id })
    }

    /// Light while a rental of the device covers the block, full otherwise.
    fn mode_at(&self, device: DeviceId, timestamp: u64) -> (Mode, u64) {
        let views = self.ethereum.views();
        let covering =
            views.market.rentals.iter().find(|(_, rental)| rental.device == device && !rental.is_closed && rental.covers(timestamp));
        covering.map_or((Mode::Full, 0), |(id, _)| (Mode::Light, *id))
    }

    /// Root of a challenge, once it is computed.
    pub async fn answer_start(&self, block: u64, block_hash: B256, device: DeviceId) -> Result<Response, ProverError> {
        self.device(device)?;
        let finished = self.finished(block, device).await?;
        if finished.block_hash != block_hash {
            // The Queen is on another branch of the chain.
            return Err(ProverError::UnknownChallenge { block });
        }
        Ok(Response::Root { root: finished.root, mode: finished.mode as u8 })
    }

    /// Openings of samples that a Queen chose.
    pub async fn answer_openings(&self, block: u64, device: DeviceId, sample_seed: B256, samples: u32) -> Result<Response, ProverError> {
        self.device(device)?;
        let output = self.finished(block, device).await?.output;
        // Regenerating rows and lanes takes milliseconds to seconds of one core.
        let proof = tokio::task::spawn_blocking(move || output.prove(sample_seed, samples))
            .await
            .map_err(|_| ProverError::UnknownChallenge { block })??;
        Ok(Response::Openings(proof.abi_encode().into()))
    }

    async fn finished(&self, block: u64, device: DeviceId) -> Result<Finished, ProverError> {
        let mut slot = self.slot(block, device).await.ok_or(ProverError::UnknownChallenge { block })?;
        let finished = slot.wait_for(Option::is_some).await.map_err(|_| ProverError::UnknownChallenge { block })?;
        finished.clone().ok_or(ProverError::UnknownChallenge { block })
    }

    /// A Queen may see a block earlier than this node does: its question waits for the block instead of being refused.
    async fn slot(&self, block: u64, device: DeviceId) -> Option<Slot> {
        let deadline = tokio::time::Instant::now() + BLOCK_WAIT;
        loop {
            let announced = self.announced.notified();
            if let Some(slot) = self.work.lock().await.get(&(block, device)).cloned() {
                return Some(slot);
            }
            tokio::time::timeout_at(deadline, announced).await.ok()?;
        }
    }

    /// Registers the slots before any kernel runs, so that Queens that ask early wait instead of being refused.
    async fn announce(&self, challenge: &SeenChallenge) -> Vec<(DeviceId, DeviceInfo, watch::Sender<Option<Finished>>)> {
        let mut work = self.work.lock().await;
        let answers = self.devices().into_iter().filter(|(_, device)| device.worker_at(challenge.timestamp) == self.worker_key);
        let announced = answers.map(|(id, device)| {
            let (sender, receiver) = watch::channel(None);
            work.insert((challenge.block_number, id), receiver);
            (id, device, sender)
        });
        let announced = announced.collect();
        while work.len() > MAX_FINISHED {
            work.pop_first();
        }
        self.announced.notify_waiters();
        announced
    }

    async fn answer(self: Arc<Self>, challenge: SeenChallenge) {
        let announced = self.announce(&challenge).await;
        // The next device's kernels run while receipts for the one before are gathered and its commit is sent.
        join_all(announced.into_iter().map(|(id, device, slot)| self.answer_or_alert(&challenge, id, device, slot))).await;
    }

    /// What fails for one device says so, and leaves the others alone.
    async fn answer_or_alert(&self, challenge: &SeenChallenge, id: DeviceId, device: DeviceInfo, slot: watch::Sender<Option<Finished>>) {
        if let Err(error) = self.answer_one(challenge, id, &device, slot).await {
            self.metrics.event("challenge", "failed");
            let message = format!("challenge {} was not answered: {} {error}", challenge.block_number, error.code());
            self.alerts.raise("challenge_missed", Severity::Critical, format!("device {id}"), message);
        }
    }

    async fn answer_one(
        &self,
        challenge: &SeenChallenge,
        id: DeviceId,
        device: &DeviceInfo,
        slot: watch::Sender<Option<Finished>>,
    ) -> Result<(), ProverError> {
        let (mode, rental) = self.mode_at(id, challenge.timestamp);
        let turn = self.turn.lock().await;
        let compute = self.compute(challenge.block_hash, id, device, mode);
        let finished = match mode {
            // The renter's work stands still for these seconds, so that the device answers at its full speed.
            Mode::Light => self.tenants.paused(rental, compute).await?,
            Mode::Full => compute.await?,
        };
        drop(turn);
        let root = finished.root;
        slot.send_replace(Some(finished));
        let queens = self.challenges.committee(challenge.block_number, challenge.block_hash, id, device.provider);
        let (block, block_hash) = (challenge.block_number, challenge.block_hash);
        let request = Request::Receipt { challenge_block: block, device_id: id, block_hash, root };
        let gather = self.peers.receipts(&queens, request, self.until_late(block));
        let (receipts, ()) = tokio::join!(gather, self.open_if_nobody_does(challenge));
        tracing::info!(block = challenge.block_number, device = id, ?mode, receipts = receipts.len(), %root, "challenge computed");
        let signatures = receipts
            .into_iter()
            .map(|receipt| WorkVerification::ReceiptSignature {
                queenIndex: receipt.queen_index,
                elapsedMs: receipt.elapsed_ms,
                r: B256::from_slice(&receipt.signature[..32]),
                vs: B256::from_slice(&receipt.signature[32..]),
            })
            .collect();
        let is_open = self.classic.views().work.challenge(challenge.block_number).is_some();
        let call = WorkVerification::commitCall {
            input: WorkVerification::CommitInput {
                challengeBlock: challenge.block_number,
                deviceId: id,
                mode: mode as u8,
                rentalId: rental,
                blockHash: challenge.block_hash,
                root,
            },
            receipts: signatures,
            header: if is_open { Bytes::new() } else { challenge.header_rlp.clone() },
        };
        self.send(format!("commit:{}:{id}", challenge.block_hash), "commit", call.abi_encode()).await?;
        self.metrics.event("challenge", "committed");
        Ok(())
    }

    /// Two thirds of the commit window are over: the rest is what a transaction may take.
    async fn until_late(&self, block: u64) {
        let late = block.saturating_add(self.challenges.parameters(block).commit_window * 2 / 3);
        let mut head = self.classic.head();
        while self.classic.newest().number < late && head.changed().await.is_ok() {}
    }

    /// Queens open challenges; one that they leave closed until the last block would be lost while receipts are gathered.
    async fn open_if_nobody_does(&self, challenge: &SeenChallenge) {
        let last = beacon::open_until(challenge.block_number, self.challenges.parameters(challenge.block_number).commit_window);
        let mut head = self.classic.head();
        let is_open = || self.classic.views().work.challenge(challenge.block_number).is_some();
        while !is_open() && self.classic.newest().number + 1 < last {
            if head.changed().await.is_err() {
                return;
            }
        }
        if is_open() {
            return;
        }
        let call = WorkVerification::openCall { blockNumber: challenge.block_number, header: challenge.header_rlp.clone() };
        if let Err(error) = self.send(format!("open:{}", challenge.block_hash), "open", call.abi_encode()).await {
            tracing::debug!(block = challenge.block_number, %error, "challenge was not opened by this provider");
        }
    }

    async fn compute(&self, block_hash: B256, id: DeviceId, device: &DeviceInfo, mode: Mode) -> Result<Finished, ProverError> {
        let profile = self.challenges.profile(device.class_version, mode).await?;
        let seed = self.challenges.seed(block_hash, id, device, mode, &profile);
        let run = self.gpu.run(profile, seed).await?;
        self.metrics.stage_seconds("proof", run.timings.total_us as f64 / 1e6);
        Ok(Finished { block_hash, mode, root: run.output.roots.work_root(), output: Arc::new(run.output) })
    }

    /// Own commits that may have to be answered for, with the challenge they belong to.
    fn answerable(&self) -> Vec<(ChallengeInfo, DeviceId, CommitInfo)> {
        let newest = self.classic.newest().number;
        let views = self.classic.views();
        let ours = |challenge: &ChallengeInfo, id: &DeviceId| {
            views.work.devices.get(id).is_some_and(|device| device.worker_at(challenge.timestamp) == self.worker_key)
        };
        views
            .work
            .challenges
            .iter()
            .rev()
            .take_while(|challenge| is_recent(challenge.block_number, newest))
            .flat_map(|challenge| {
                let commits = views.work.commits.range((challenge.block_number, 0)..=(challenge.block_number, u64::MAX));
                commits.map(|((_, id), commit)| (*challenge, *id, *commit))
            })
            .filter(|(challenge, id, commit)| ours(challenge, id) && !commit.is_voided)
            .collect()
    }

    /// Proves every drawn commit whose samples are known. `done` remembers what needs no proof, or gets none any more; after a
    /// reorganisation the same block is another challenge.
    async fn prove_due(&self, done: &mut BTreeSet<(u64, B256, DeviceId)>) -> Result<(), ProverError> {
        let newest = self.classic.newest().number;
        for (challenge, id, commit) in self.answerable() {
            let key = (challenge.block_number, challenge.block_hash, id);
            let parameters = self.challenges.parameters(challenge.block_number);
            let seal_block = beacon::seal_block(challenge.block_number, parameters.commit_window);
            // Whoever seals too late draws nobody: the hash is out of the contract's reach. A seal that is there keeps it.
            let is_out_of_reach = !challenge.is_sealed && newest > seal_block + HASH_REACH_BLOCKS;
            if commit.is_proven || done.contains(&key) || seal_block >= newest || is_out_of_reach {
                continue;
            }
            let seal_hash = self.chain.block(seal_block).await?.hash;
            let until = self.answer_until(&commit, id, challenge.block_number, seal_hash).await?;
            if until.is_some_and(|until| newest >= until) {
                tracing::warn!(block = challenge.block_number, device = id, until, "too late to prove this challenge: it is missed");
                self.metrics.event("challenge", "proof_late");
            } else if until.is_some()
                && let Err(error) = self.prove(&challenge, id, &commit, seal_hash).await
            {
                // The next commit's proof is due as well.
                tracing::warn!(block = challenge.block_number, device = id, code = error.code(), %error, "proof not sent, trying again");
                continue;
            }
            done.insert(key);
        }
        done.retain(|(block, ..)| is_recent(*block, newest));
        Ok(())
    }

    /// Until which block the commit may be proven; `None` if it need not be.
    /// A seal that is on the chain says it itself: how many unmeasured commits are drawn depends on the others. Before that, all are
    /// reckoned with, and a proof of one that is not drawn is refused without a cost.
    async fn answer_until(&self, commit: &CommitInfo, id: DeviceId, block: u64, seal_hash: B256) -> Result<Option<u64>, ProverError> {
        if self.classic.views().work.challenge(block).is_some_and(|challenge| challenge.is_sealed) {
            let call = WorkVerification::drawnCall { challengeBlock: block, deviceId: id };
            let drawn = self.chain.call(self.challenges.contract(), call, BlockId::latest()).await?;
            return Ok(drawn.isDrawn.then_some(drawn.answerUntil));
        }
        let rules = self.challenges.parameters(block);
        let may_be_drawn = !commit.is_measured || is_drawn(seal_hash, block, id, rules.proof_rate.into());
        Ok(may_be_drawn.then(|| beacon::seal_block(block, rules.commit_window) + HASH_REACH_BLOCKS))
    }

    /// Answers every demand on own commits. `done` remembers what was answered.
    async fn answer_due(&self, done: &mut BTreeSet<(u64, B256, DeviceId, u64)>) -> Result<(), ProverError> {
        let newest = self.classic.newest().number;
        for (challenge, id, commit) in self.answerable() {
            let block = challenge.block_number;
            let demands = self.classic.views().work.demands.get(&(block, id)).cloned().unwrap_or_default();
            for demand in demands {
                let key = (block, challenge.block_hash, id, demand.position);
                if demand.is_answered || demand.answer_until <= newest || done.contains(&key) {
                    continue;
                }
                let proof = self.open_samples(&challenge, id, &commit, demand.sample_seed, demand.samples).await?;
                let call = WorkVerification::answerCall {
                    challengeBlock: block,
                    deviceId: id,
                    position: U256::from(demand.position),
                    proof: WorkVerification::WorkProof::abi_decode(&proof.abi_encode())?,
                };
                self.send(format!("answer:{}:{id}:{}", challenge.block_hash, demand.position), "answer", call.abi_encode()).await?;
                self.metrics.event("challenge", "answered");
                done.insert(key);
            }
        }
        done.retain(|(block, ..)| is_recent(*block, newest));
        Ok(())
    }

    async fn prove(&self, challenge: &ChallengeInfo, id: DeviceId, commit: &CommitInfo, seal_hash: B256) -> Result<(), ProverError> {
        let block = challenge.block_number;
        let samples = self.challenges.parameters(block).proof_samples;
        let proof = self.open_samples(challenge, id, commit, sample_seed(seal_hash, block, id), samples).await?;
        let call = WorkVerification::proveCall {
            challengeBlock: block,
            deviceId: id,
            proof: WorkVerification::WorkProof::abi_decode(&proof.abi_encode())?,
        };
        self.send(format!("prove:{}:{id}", challenge.block_hash), "prove", call.abi_encode()).await?;
        self.metrics.event("challenge", "proven");
        Ok(())
    }

    /// Opens samples of a commit; computes the challenge again if this node has not done so since its start.
    async fn open_samples(
        &self,
        challenge: &ChallengeInfo,
        id: DeviceId,
        commit: &CommitInfo,
        sample_seed: B256,
        samples: u32,
    ) -> Result<WorkProof, ProverError> {
        let block = challenge.block_number;
        let device = self.device(id)?;
        let finished = match self.finished_now(block, id).await {
            Some(finished) => finished,
            None => {
                let mode = Mode::from_u8(commit.mode).ok_or(ProverError::UnknownChallenge { block })?;
                self.compute(challenge.block_hash, id, &device, mode).await?
            }
        };
        if finished.root != commit.root {
            return Err(ProverError::RootChanged { device: id, block });
        }
        let output = finished.output;
        let opened = tokio::task::spawn_blocking(move || output.prove(sample_seed, samples)).await;
        Ok(opened.map_err(|_| ProverError::UnknownChallenge { block })??)
    }

    async fn finished_now(&self, block: u64, id: DeviceId) -> Option<Finished> {
        self.work.lock().await.get(&(block, id))?.borrow().clone()
    }

    /// What failed in its block, although it had succeeded before it, goes under a new name the next time: what was sent under one name
    /// is never sent again.
    async fn send(&self, name: String, label: &str, data: Vec<u8>) -> Result<(), SendError> {
        let attempt = self.failed.lock().await.get(&name).copied().unwrap_or_default();
        let intent = Intent::call(format!("{name}:{attempt}"), label, self.challenges.contract(), data);
        let sent = self.sender.submit(intent).await;
        if matches!(sent, Err(SendError::Failed { .. })) {
            let mut failed = self.failed.lock().await;
            if failed.len() >= MAX_FAILED {
                failed.clear();
            }
            failed.insert(name, attempt + 1);
        }
        let mined = sent?;
        tracing::info!(label, gas = mined.gas_used, tx = %mined.hash, block = mined.block_number, "sent");
        Ok(())
    }
}

/// Whether anything about the challenge of this block may be open.
fn is_recent(block: u64, newest: u64) -> bool {
    newest.saturating_sub(block) <= MAX_ANSWER_BLOCKS
}

/// Watches for challenge blocks.
pub struct ProverService {
    pub prover: Arc<Prover>,
}

#[async_trait::async_trait]
impl Service for ProverService {
    fn name(&self) -> &'static str {
        "prover"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut challenges = self.prover.challenges.clone();
        let mut head = self.prover.classic.head();
        let mut answers = JoinSet::new();
        let mut done = BTreeSet::new();
        let mut answered = BTreeSet::new();
        loop {
            for challenge in challenges.poll().await.map_err(Fault::recover)? {
                answers.spawn(Arc::clone(&self.prover).answer(challenge));
            }
            if let Err(error) = self.prover.prove_due(&mut done).await {
                tracing::warn!(code = error.code(), %error, "a proof was not sent, trying again at the next block");
            }
            if let Err(error) = self.prover.answer_due(&mut answered).await {
                tracing::warn!(code = error.code(), %error, "a demand was not answered, trying again at the next block");
            }
            while answers.try_join_next().is_some() {}
            if !next_block(&mut head, shutdown).await {
                // What was computed is still committed: the grace period is longer than that takes.
                while answers.join_next().await.is_some() {}
                return Ok(());
            }
        }
    }
}
