//! A Queen's watch: opens challenges, times providers, checks samples of their work, signs receipts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, B512},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolStruct},
};
use rand::Rng;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use super::{
    challenges::{Challenges, SeenChallenge},
    index::{ChainIndex, DeviceInfo},
    next_block,
    peers::{PeerError, Peers},
    sender::{Intent, Sender},
};
use crate::{
    chain::ChainError,
    rules::kernel::{VerifyError, verify_proof},
    store::{Recorded, Store, StoreError, Table},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{
        Coded, DeviceId,
        abi::WorkVerification,
        signing::{WorkReceipt, compact, contract_domain},
        wire::{Request, Response},
        work::{Mode, WorkProof},
    },
};

/// Receipts signed, by (challenge block hash, device). Never two roots for one challenge.
pub const RECEIPTS: Table<(B256, DeviceId), SignedReceipt> = Table::new("receipts");
/// Samples of each kind asked from a provider before its receipt is signed.
pub const SAMPLES: u32 = 8;
/// Most of the round trip that is taken off, so that nobody is paid for being far away.
const MAX_ROUND_TRIP_MS: u64 = 200;
/// How long a provider that asks for a receipt is kept waiting for the samples to be checked.
const RECEIPT_WAIT: Duration = Duration::from_secs(10);
/// Providers timed at once. A device starts its work when it sees the block, so a Queen that asks it later than that measures too little:
/// below the number of providers that a Queen has, its clocks show nothing. Each costs a few KiB while its device computes.
pub const MAX_PARALLEL: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SignedReceipt {
    pub challenge_block: u64,
    pub root: B256,
    pub elapsed_ms: u32,
    pub signature: B512,
}

#[derive(Debug, thiserror::Error)]
pub enum CommitteeError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("samples of device {device} at block {block} are wrong: {reason}")]
    WrongSamples { device: DeviceId, block: u64, reason: VerifyError },
    #[error("the provider of device {device} answered {request} with something else")]
    UnexpectedAnswer { device: DeviceId, request: &'static str },
    #[error("the key cannot sign: {0}")]
    Key(#[from] alloy::signers::Error),
}

impl Coded for CommitteeError {
    fn code(&self) -> &'static str {
        match self {
            CommitteeError::Chain(error) => error.code(),
            CommitteeError::Store(error) => error.code(),
            CommitteeError::Peer(error) => error.code(),
            CommitteeError::WrongSamples { .. } => "E-QUEEN-001",
            CommitteeError::UnexpectedAnswer { .. } => "E-QUEEN-002",
            CommitteeError::Key(_) => "E-QUEEN-003",
        }
    }

    fn next_step(&self) -> String {
        match self {
            CommitteeError::Chain(error) => error.next_step(),
            CommitteeError::Store(error) => error.next_step(),
            CommitteeError::Peer(error) => error.next_step(),
            CommitteeError::WrongSamples { .. } => "no receipt is signed; the commit will be drawn for a proof on chain".into(),
            CommitteeError::UnexpectedAnswer { .. } => "no receipt is signed; the provider may run another version".into(),
            CommitteeError::Key(_) => "check the operator keystore".into(),
        }
    }
}

pub struct Committee {
    pub classic: ChainIndex,
    pub chain_id: u64,
    pub key: PrivateKeySigner,
    pub store: Store,
    pub peers: Peers,
    pub sender: Sender,
    pub metrics: Metrics,
    pub challenges: Challenges,
    pub signed: Notify,
    /// As many as the machine has.
    pub cores: Semaphore,
}

impl Committee {
    async fn attend(self: Arc<Self>, challenge: SeenChallenge) {
        let Some(own) = self.challenges.seat(challenge.block_number, self.key.address()) else { return };
        let devices: Vec<(DeviceId, DeviceInfo)> = {
            let views = self.classic.views();
            views.work.devices.iter().filter(|(_, device)| !device.is_removed).map(|(id, device)| (*id, *device)).collect()
        };
        let mut timing = JoinSet::new();
        for (id, device) in devices {
            let committee = self.challenges.committee(challenge.block_number, challenge.block_hash, id, device.provider);
            if !committee.iter().any(|(index, _)| *index == own) {
                continue;
            }
            if timing.len() >= MAX_PARALLEL {
                timing.join_next().await;
            }
            let (this, challenge) = (Arc::clone(&self), challenge.clone());
            timing.spawn(async move {
                match this.time(&challenge, id, &device).await {
                    Ok(receipt) => {
                        this.metrics.event("receipt", "signed");
                        tracing::info!(block = challenge.block_number, device = id, elapsed_ms = receipt.elapsed_ms, "receipt signed");
                    }
                    Err(error) => {
                        this.metrics.event("receipt", "refused");
                        tracing::warn!(block = challenge.block_number, device = id, code = error.code(), %error, "no receipt");
                    }
                }
                this.signed.notify_waiters();
            });
        }
        self.open_in_turn(&challenge, own).await;
        while timing.join_next().await.is_some() {}
    }

    /// Queens open in turn, a block apart; a commit opens the challenge too, so a failure is harmless.
    async fn open_in_turn(&self, challenge: &SeenChallenge, own: u16) {
        let count = self.challenges.queens(challenge.block_number).operators.len().max(1) as u64;
        let turn = (challenge.block_number + u64::from(own)) % count;
        let mut head = self.classic.head();
        let is_open = || self.classic.views().work.challenge(challenge.block_number).is_some();
        while !is_open() && self.classic.newest().number < challenge.block_number + turn {
            if head.changed().await.is_err() {
                return;
            }
        }
        if is_open() {
            return;
        }
        let call = WorkVerification::openCall { blockNumber: challenge.block_number, header: challenge.header_rlp.clone() };
        let intent = Intent::call(format!("open:{}", challenge.block_hash), "open", self.challenges.contract(), call.abi_encode());
        if let Err(error) = self.sender.submit(intent).await {
            tracing::debug!(block = challenge.block_number, %error, "challenge was not opened by this Queen");
        }
    }

    /// Runs the clock of one device, checks samples, signs.
    async fn time(&self, challenge: &SeenChallenge, id: DeviceId, device: &DeviceInfo) -> Result<SignedReceipt, CommitteeError> {
        let block = challenge.block_number;
        let start = Request::Start { challenge_block: block, block_hash: challenge.block_hash, device_id: id, mode: Mode::Full as u8 };
        let round_trip = self.peers.round_trip(device.provider).await?;
        let started = Instant::now();
        let answer = self.peers.ask(device.provider, start).await?;
        let elapsed = started.elapsed();
        let Response::Root { root, mode } = answer else {
            return Err(CommitteeError::UnexpectedAnswer { device: id, request: "start" });
        };
        let mode = Mode::from_u8(mode).ok_or(CommitteeError::UnexpectedAnswer { device: id, request: "start" })?;
        let travel_ms = (round_trip.as_millis() as u64).min(MAX_ROUND_TRIP_MS);
        let elapsed_ms = u32::try_from((elapsed.as_millis() as u64).saturating_sub(travel_ms)).unwrap_or(u32::MAX);
        self.metrics.stage_seconds("provider_answer", elapsed.as_secs_f64());
        self.check_samples(challenge, id, device, mode, root).await?;
        self.sign(challenge, id, root, elapsed_ms)
    }

    async fn check_samples(
        &self,
        challenge: &SeenChallenge,
        id: DeviceId,
        device: &DeviceInfo,
        mode: Mode,
        root: B256,
    ) -> Result<(), CommitteeError> {
        let block = challenge.block_number;
        let sample_seed = B256::from(rand::rng().random::<[u8; 32]>());
        let ask = Request::Openings { challenge_block: block, device_id: id, sample_seed, samples: SAMPLES };
        let Response::Openings(bytes) = self.peers.ask(device.provider, ask).await? else {
            return Err(CommitteeError::UnexpectedAnswer { device: id, request: "openings" });
        };
        let proof = WorkProof::abi_decode(&bytes).map_err(|_| CommitteeError::UnexpectedAnswer { device: id, request: "openings" })?;
        let profile = self.challenges.profile(device.class_version, mode).await?;
        let seed = self.challenges.seed(challenge.block_hash, id, device, mode, &profile);
        // Many devices are done at the same moment; more checks than cores would only slow each other down.
        let _core = self.cores.acquire().await;
        let started = Instant::now();
        let verdict = tokio::task::spawn_blocking(move || verify_proof(&profile, seed, root, sample_seed, SAMPLES, &proof))
            .await
            .map_err(|_| CommitteeError::UnexpectedAnswer { device: id, request: "openings" })?;
        self.metrics.stage_seconds("verify_samples", started.elapsed().as_secs_f64());
        verdict.map_err(|reason| CommitteeError::WrongSamples { device: id, block, reason })
    }

    fn sign(&self, challenge: &SeenChallenge, id: DeviceId, root: B256, elapsed_ms: u32) -> Result<SignedReceipt, CommitteeError> {
        let receipt = WorkReceipt {
            challengeBlock: challenge.block_number,
            deviceId: id,
            blockHash: challenge.block_hash,
            root,
            elapsedMs: elapsed_ms,
        };
        let digest = receipt.eip712_signing_hash(&contract_domain(self.chain_id, self.challenges.contract()));
        let signature = B512::from(compact(&self.key.sign_hash_sync(&digest)?));
        let signed = SignedReceipt { challenge_block: challenge.block_number, root, elapsed_ms, signature };
        match self.store.put_if_absent(&RECEIPTS, &(challenge.block_hash, id), signed)? {
            Recorded::New(signed) | Recorded::Existing(signed) => Ok(signed),
        }
    }

    /// What a provider gets that asks for its receipt; waits while the samples are being checked.
    pub async fn answer_receipt(&self, block: u64, block_hash: B256, device: DeviceId, root: B256) -> Response {
        let Some(own) = self.challenges.seat(block, self.key.address()) else {
            return Response::refused("E-QUEEN-004", "not in the Queen set");
        };
        let deadline = tokio::time::Instant::now() + RECEIPT_WAIT;
        loop {
            let signed = self.signed.notified();
            match self.store.get(&RECEIPTS, &(block_hash, device)) {
                Ok(Some(receipt)) if receipt.root == root => {
                    return Response::Receipt { queen_index: own, elapsed_ms: receipt.elapsed_ms, signature: receipt.signature };
                }
                Ok(Some(_)) => return Response::refused("E-QUEEN-005", "another root was received for this challenge"),
                Ok(None) => {}
                Err(error) => return Response::refused(error.code(), error),
            }
            if tokio::time::timeout_at(deadline, signed).await.is_err() {
                return Response::refused("E-QUEEN-006", "no receipt was signed for this challenge");
            }
        }
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }
}

/// Watches for challenge blocks.
pub struct CommitteeService {
    pub committee: Arc<Committee>,
}

#[async_trait::async_trait]
impl Service for CommitteeService {
    fn name(&self) -> &'static str {
        "committee"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut challenges = self.committee.challenges.clone();
        let mut head = self.committee.classic.head();
        let mut attended = JoinSet::new();
        loop {
            for challenge in challenges.poll().await.map_err(Fault::recover)? {
                attended.spawn(Arc::clone(&self.committee).attend(challenge));
            }
            while attended.try_join_next().is_some() {}
            if !next_block(&mut head, shutdown).await {
                return Ok(());
            }
        }
    }
}
