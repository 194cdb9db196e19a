//! A Queen's second look at commits that it gave no receipt for: it asks for samples again, disputes what is wrong, and puts to its committee what is
//! refused.
//!
//! What an audit found is recorded before anything follows from it, so a restart neither asks anew nor says something else.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    primitives::{Address, B256, B512, Bytes, U256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolStruct},
};
use rand::Rng;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{
    challenges::Challenges,
    committee::RECEIPTS,
    index::{ChainIndex, ChallengeInfo, CommitInfo, DeviceInfo},
    next_block,
    peers::{PeerError, Peers},
    sender::{Intent, SendError, Sender},
};
use crate::{
    chain::{ChainError, TxRequest},
    rules::{committee::is_measured, kernel::verify_proof},
    store::{Recorded, Store, StoreError, Table},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{
        Coded, DeviceId,
        abi::WorkVerification,
        signing::{NoOpening, compact, contract_domain, recover_compact},
        wire::{Request, Response},
        work::{Mode, WorkProof},
    },
};

/// What audits found, by (challenge block hash, device).
pub const AUDITS: Table<(B256, DeviceId), Finding> = Table::new("audits");
/// Statements that a provider opened nothing. Never beside a receipt of this Queen for the same commit.
pub const REFUSALS: Table<(B256, DeviceId), SignedRefusal> = Table::new("refusals");
/// Sets of samples per audit, as many samples each as a dispute demands: a set that fails here fails on chain.
const SETS: u32 = 8;
/// Blocks waited for an answer before a provider counts as one that refuses. Fewer would take a busy minute for a refusal.
const ATTEMPTS: usize = 3;
/// Commits audited at once.
const MAX_PARALLEL: usize = 16;

/// What came of asking for samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    Right,
    /// These samples are wrong.
    Wrong {
        sample_seed: B256,
    },
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRefusal {
    pub root: B256,
    pub queen_index: u16,
    pub signature: B512,
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the key cannot sign: {0}")]
    Key(#[from] alloy::signers::Error),
    #[error("the check of device {device}'s samples was cut off")]
    Stopped { device: DeviceId },
}

impl Coded for AuditError {
    fn code(&self) -> &'static str {
        match self {
            AuditError::Chain(error) => error.code(),
            AuditError::Store(error) => error.code(),
            AuditError::Send(error) => error.code(),
            AuditError::Peer(error) => error.code(),
            AuditError::Key(_) => "E-AUDIT-001",
            AuditError::Stopped { .. } => "E-AUDIT-002",
        }
    }

    fn next_step(&self) -> String {
        match self {
            AuditError::Chain(error) => error.next_step(),
            AuditError::Store(error) => error.next_step(),
            AuditError::Send(error) => error.next_step(),
            AuditError::Peer(error) => error.next_step(),
            AuditError::Key(_) => "check the operator keystore".into(),
            AuditError::Stopped { .. } => "nothing: the commit is audited again at the next block".into(),
        }
    }
}

/// One commit to look at.
#[derive(Debug, Clone, Copy)]
struct Suspect {
    challenge: ChallengeInfo,
    id: DeviceId,
    device: DeviceInfo,
    commit: CommitInfo,
    own: u16,
}

impl Suspect {
    fn key(&self) -> (B256, DeviceId) {
        (self.challenge.block_hash, self.id)
    }
}

pub struct Auditor {
    pub classic: ChainIndex,
    pub chain_id: u64,
    pub key: PrivateKeySigner,
    pub store: Store,
    pub peers: Peers,
    pub sender: Sender,
    pub metrics: Metrics,
    pub challenges: Challenges,
}

impl Auditor {
    /// Commits of this Queen's committees that may still be disputed and that it signed no receipt for.
    fn suspects(&self) -> Result<Vec<Suspect>, StoreError> {
        let newest = self.classic.newest().number;
        let recent: Vec<(ChallengeInfo, DeviceId, DeviceInfo, CommitInfo)> = {
            let views = self.classic.views();
            let open = |block: u64| views.work.parameters_of(block).is_some_and(|rules| newest <= block + rules.settle_blocks());
            let challenges = views.work.challenges.iter().rev().take_while(|challenge| open(challenge.block_number));
            let commits = challenges.flat_map(|challenge| {
                let all = views.work.commits.range((challenge.block_number, 0)..=(challenge.block_number, u64::MAX));
                all.map(move |((_, id), commit)| (*challenge, *id, *commit))
            });
            let with_device = |(challenge, id, commit): (ChallengeInfo, DeviceId, CommitInfo)| {
                Some((challenge, id, *views.work.devices.get(&id)?, commit))
            };
            commits.filter(|(_, _, commit)| !commit.is_voided).filter_map(with_device).collect()
        };
        let mut suspects = Vec::new();
        for (challenge, id, device, commit) in recent {
            let committee = self.challenges.committee(challenge.block_number, challenge.block_hash, id, device.provider);
            let Some((own, _)) = committee.into_iter().find(|(_, operator)| *operator == self.key.address()) else { continue };
            let receipt = self.store.get(&RECEIPTS, &(challenge.block_hash, id))?;
            if receipt.is_none_or(|receipt| receipt.root != commit.root) {
                suspects.push(Suspect { challenge, id, device, commit, own });
            }
        }
        Ok(suspects)
    }

    async fn pursue(self: Arc<Self>, suspect: Suspect) -> (B256, DeviceId) {
        let block = suspect.challenge.block_number;
        let result = match self.finding(&suspect).await {
            Ok(Finding::Right) => Ok(()),
            Ok(Finding::Wrong { sample_seed }) => self.dispute(&suspect, sample_seed).await,
            Ok(Finding::Refused) => self.refuse(&suspect).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::warn!(block, device = suspect.id, code = error.code(), %error, "audit goes on at the next block");
        }
        suspect.key()
    }

    async fn finding(&self, suspect: &Suspect) -> Result<Finding, AuditError> {
        if let Some(known) = self.store.get(&AUDITS, &suspect.key())? {
            return Ok(known);
        }
        let found = self.look(suspect).await?;
        self.metrics.event(
            "audit",
            match found {
                Finding::Right => "right",
                Finding::Wrong { .. } => "wrong",
                Finding::Refused => "refused",
            },
        );
        tracing::info!(block = suspect.challenge.block_number, device = suspect.id, ?found, "commit audited");
        match self.store.put_if_absent(&AUDITS, &suspect.key(), found)? {
            Recorded::New(found) | Recorded::Existing(found) => Ok(found),
        }
    }

    async fn look(&self, suspect: &Suspect) -> Result<Finding, AuditError> {
        let Some(mode) = Mode::from_u8(suspect.commit.mode) else { return Ok(Finding::Right) };
        let profile = self.challenges.profile(suspect.device.class_version, mode).await?;
        let seed = self.challenges.seed(suspect.challenge.block_hash, suspect.id, &suspect.device, mode, &profile);
        let samples = self.challenges.parameters(suspect.challenge.block_number).proof_samples;
        let root = suspect.commit.root;
        for _ in 0..SETS {
            let sample_seed = B256::from(rand::rng().random::<[u8; 32]>());
            let Some(bytes) = self.openings(suspect, sample_seed, samples).await else { return Ok(Finding::Refused) };
            let Ok(proof) = WorkProof::abi_decode(&bytes) else { return Ok(Finding::Wrong { sample_seed }) };
            let check = move || verify_proof(&profile, seed, root, sample_seed, samples, &proof);
            let verdict = tokio::task::spawn_blocking(check).await.map_err(|_| AuditError::Stopped { device: suspect.id })?;
            if verdict.is_err() {
                return Ok(Finding::Wrong { sample_seed });
            }
        }
        Ok(Finding::Right)
    }

    /// `None` once the provider has let several blocks pass without an answer.
    async fn openings(&self, suspect: &Suspect, sample_seed: B256, samples: u32) -> Option<Bytes> {
        let mut head = self.classic.head();
        for attempt in 0..ATTEMPTS {
            if attempt != 0 && head.changed().await.is_err() {
                return None;
            }
            let block = suspect.challenge.block_number;
            let ask = Request::Openings { challenge_block: block, device_id: suspect.id, sample_seed, samples };
            match self.peers.ask(suspect.device.provider, ask).await {
                Ok(Response::Openings(bytes)) => return Some(bytes),
                Ok(other) => tracing::debug!(block, device = suspect.id, answer = other.label(), "no openings"),
                Err(error) => tracing::debug!(block, device = suspect.id, code = error.code(), %error, "no openings"),
            }
        }
        None
    }

    fn demanded_by(&self, suspect: &Suspect, opener: Address) -> bool {
        let views = self.classic.views();
        let demands = views.work.demands.get(&(suspect.challenge.block_number, suspect.id));
        demands.is_some_and(|demands| demands.iter().any(|demand| demand.opener == opener))
    }

    async fn dispute(&self, suspect: &Suspect, sample_seed: B256) -> Result<(), AuditError> {
        if self.demanded_by(suspect, self.key.address()) {
            return Ok(());
        }
        let block = suspect.challenge.block_number;
        let call = WorkVerification::disputeCall { challengeBlock: block, deviceId: suspect.id, sampleSeed: sample_seed };
        let bond = U256::from(self.challenges.parameters(block).dispute_bond_wei);
        let request = TxRequest { to: Some(self.challenges.contract()), data: call.abi_encode().into(), value_wei: bond };
        let id = format!("dispute:{}:{}", suspect.challenge.block_hash, suspect.id);
        self.sender.submit(Intent { id, request, label: "dispute".into(), gas_limit: None }).await?;
        self.metrics.event("dispute", "opened");
        tracing::warn!(block, device = suspect.id, "commit disputed: samples were wrong");
        Ok(())
    }

    /// Signs, and once two thirds of the committee say the same, brings it to the chain.
    async fn refuse(&self, suspect: &Suspect) -> Result<(), AuditError> {
        let own = self.sign_refusal(suspect)?;
        if self.demanded_by(suspect, Address::ZERO) {
            return Ok(());
        }
        let (block, hash, root) = (suspect.challenge.block_number, suspect.challenge.block_hash, suspect.commit.root);
        let committee = self.challenges.committee(block, hash, suspect.id, suspect.device.provider);
        let digest = self.digest(suspect);
        let mut signed = vec![(own.queen_index, own.signature)];
        for (index, operator) in committee.iter().filter(|(index, _)| *index != suspect.own) {
            let Some(account) = self.peers.stakes.account_of(*operator).await else { continue };
            let ask = Request::Refusal { challenge_block: block, device_id: suspect.id, block_hash: hash, root };
            if let Ok(Response::Refusal { signature, .. }) = self.peers.ask(account, ask).await
                && recover_compact(digest, signature.as_slice()) == Some(*operator)
            {
                signed.push((*index, signature));
            }
        }
        if !is_measured(signed.len(), committee.len()) {
            return Ok(());
        }
        signed.sort_unstable_by_key(|(index, _)| *index);
        let signatures = signed.into_iter().map(|(index, signature)| WorkVerification::RefusalSignature {
            queenIndex: index,
            r: B256::from_slice(&signature[..32]),
            vs: B256::from_slice(&signature[32..]),
        });
        let call = WorkVerification::refuseCall { challengeBlock: block, deviceId: suspect.id, root, signatures: signatures.collect() };
        let id = format!("refuse:{hash}:{}", suspect.id);
        self.sender.submit(Intent::call(id, "refuse", self.challenges.contract(), call.abi_encode())).await?;
        self.metrics.event("dispute", "refused");
        Ok(())
    }

    fn digest(&self, suspect: &Suspect) -> B256 {
        let statement = NoOpening {
            challengeBlock: suspect.challenge.block_number,
            deviceId: suspect.id,
            blockHash: suspect.challenge.block_hash,
            root: suspect.commit.root,
        };
        statement.eip712_signing_hash(&contract_domain(self.chain_id, self.challenges.contract()))
    }

    fn sign_refusal(&self, suspect: &Suspect) -> Result<SignedRefusal, AuditError> {
        if let Some(known) = self.store.get(&REFUSALS, &suspect.key())? {
            return Ok(known);
        }
        let signature = B512::from(compact(&self.key.sign_hash_sync(&self.digest(suspect))?));
        let signed = SignedRefusal { root: suspect.commit.root, queen_index: suspect.own, signature };
        match self.store.put_if_absent(&REFUSALS, &suspect.key(), signed)? {
            Recorded::New(signed) | Recorded::Existing(signed) => Ok(signed),
        }
    }

    /// What another Queen of the committee gets that asks.
    pub fn answer_refusal(&self, block_hash: B256, device: DeviceId, root: B256) -> Response {
        match self.store.get(&REFUSALS, &(block_hash, device)) {
            Ok(Some(signed)) if signed.root == root => Response::Refusal { queen_index: signed.queen_index, signature: signed.signature },
            Ok(_) => Response::refused("E-AUDIT-003", "this Queen was not refused openings"),
            Err(error) => Response::refused(error.code(), error),
        }
    }
}

/// Looks for suspects at every block.
pub struct AuditService {
    pub auditor: Arc<Auditor>,
}

#[async_trait::async_trait]
impl Service for AuditService {
    fn name(&self) -> &'static str {
        "audits"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.auditor.classic.head();
        let mut running = BTreeSet::new();
        let mut audits = JoinSet::new();
        loop {
            for suspect in self.auditor.suspects().map_err(Fault::recover)? {
                if audits.len() < MAX_PARALLEL && running.insert(suspect.key()) {
                    audits.spawn(Arc::clone(&self.auditor).pursue(suspect));
                }
            }
            if !next_block(&mut head, shutdown).await {
                return Ok(());
            }
            while let Some(ended) = audits.try_join_next() {
                // A task that died is a defect that the panic hook reports; its commit is not looked at again before a restart.
                if let Ok(key) = ended {
                    running.remove(&key);
                }
            }
        }
    }
}
