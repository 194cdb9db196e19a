//! Brings Kings to court that signed what no honest King signs: the thief loses its stake, whoever reports it is rewarded.
//!
//! Evidence is stored before anything follows from it. Kings wait in turn, so that not all of them pay for one report; what the court has
//! decided is asked before each attempt.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use alloy::{
    primitives::{B256, keccak256},
    sol_types::SolCall,
};

use super::{
    checkpoints::CheckpointBook,
    docket::{Docket, Evidence, FALSE_CHECKPOINT, Offence, Opening, fork},
    index::ChainIndex,
    sender::{Intent, SendError, Sender},
};
use crate::{
    chain::{BlockId, Chain, ChainError},
    store::StoreError,
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Metrics, Severity},
    types::{
        AddressBook, ChainKind, Coded,
        abi::{KingCourt, Outbox},
        wire::{CheckpointData, CheckpointSignature},
    },
};

/// Blocks that a signature must contradict this node's view before it counts as evidence: the view may be behind, the King need not lie.
const PATIENCE_BLOCKS: u64 = 8;
/// Blocks of Ethereum between the turns of two reporters.
const TURN_BLOCKS: u64 = 3;
/// Pauses after a failed attempt; they double.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// Checkpoints whose first contradiction is remembered. More would be a flood, which only delays evidence against whoever floods.
const MAX_SUSPECTS: usize = 4_096;

#[derive(Debug, thiserror::Error)]
pub enum ProsecutorError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Send(#[from] SendError),
}

pub struct Prosecutor {
    /// Ethereum: the stakes are there.
    pub chain: Chain,
    pub ethereum_index: ChainIndex,
    pub classic_index: ChainIndex,
    pub book: AddressBook,
    pub checkpoints: CheckpointBook,
    pub docket: Docket,
    pub sender: Sender,
    pub alerts: Alerts,
    pub metrics: Metrics,
    pub state: ProsecutorState,
}

/// What the loop remembers between rounds; evidence is in the store, verdicts are on the chain.
#[derive(Default)]
pub struct ProsecutorState {
    suspects: BTreeMap<(u32, B256), u64>,
    closed: BTreeSet<Offence>,
    cases: BTreeMap<Offence, Case>,
}

#[derive(Default)]
struct Case {
    since_block: u64,
    attempts: u32,
    not_before: Option<Instant>,
}

impl Prosecutor {
    async fn look(&mut self) -> Result<(), ProsecutorError> {
        self.find_false_checkpoints().await?;
        self.find_forks()?;
        for (offence, evidence) in self.docket.all()? {
            if !self.state.closed.contains(&offence) {
                self.pursue(offence, &evidence).await?;
            }
        }
        Ok(())
    }

    fn enter(&self, evidence: &Evidence) -> Result<(), StoreError> {
        if self.docket.take(evidence)? {
            let king = evidence.offence().0;
            let message = format!("King {king} signed {}; it is reported to the court: {evidence:?}", evidence.label());
            self.alerts.raise("king_offence", Severity::Critical, king.to_string(), message);
        }
        Ok(())
    }

    /// What is signed of Ethereum's Outbox must be what it holds: honest Kings sign what is final.
    async fn find_false_checkpoints(&mut self) -> Result<(), ProsecutorError> {
        let head = self.ethereum_index.newest().number;
        let suspicious: Vec<(CheckpointData, Vec<CheckpointSignature>)> = {
            let views = self.ethereum_index.views();
            let tree = views.bridge.tree();
            let all = self.checkpoints.all(self.chain.chain_id()).into_iter();
            all.filter(|(data, _)| tree.root_at(data.count) != Some(data.root)).collect()
        };
        let known: BTreeSet<(u32, B256)> = suspicious.iter().map(|(data, _)| (data.count, data.root)).collect();
        self.state.suspects.retain(|suspect, _| known.contains(suspect));
        for (data, signatures) in suspicious {
            if self.state.suspects.len() >= MAX_SUSPECTS {
                break;
            }
            let since = *self.state.suspects.entry((data.count, data.root)).or_insert(head);
            if head < since.saturating_add(PATIENCE_BLOCKS) {
                continue;
            }
            let undecided = |signed: &&CheckpointSignature| {
                let offence = (signed.signer, (FALSE_CHECKPOINT, (data.origin_chain_id, data.set_epoch)));
                !self.state.closed.contains(&offence) && !self.state.cases.contains_key(&offence)
            };
            let accused: Vec<CheckpointSignature> = signatures.iter().filter(undecided).copied().collect();
            if accused.is_empty() {
                continue;
            }
            let held = self.held().await?;
            for signed in accused {
                // At or below the contract's count the root decides, and this node's tree must hold that many.
                let is_beyond = data.count > held;
                if !is_beyond && self.ethereum_index.views().bridge.tree().count() < data.count {
                    continue;
                }
                self.enter(&if is_beyond { Evidence::Beyond { signed } } else { Evidence::FalseRoot { signed } })?;
            }
        }
        Ok(())
    }

    /// Kings that signed a branch of Ethereum Classic that was dropped, and the one that took its place, in one set epoch.
    fn find_forks(&self) -> Result<(), ProsecutorError> {
        let views = self.classic_index.views();
        let live = views.bridge.tree();
        for dead in views.bridge.dead_trees() {
            let all = self.checkpoints.all(self.book.chain_id(ChainKind::Classic));
            let under = |tree: &crate::rules::tree::MessageTree| -> Vec<CheckpointSignature> {
                all.iter().filter(|(data, _)| tree.root_at(data.count) == Some(data.root)).flat_map(|(_, signed)| signed.clone()).collect()
            };
            let (of_live, of_dead) = (under(live), under(dead));
            for second in of_dead.iter().filter(|signed| live.root_at(signed.checkpoint.count) != Some(signed.checkpoint.root)) {
                let same = of_live
                    .iter()
                    .filter(|first| first.signer == second.signer && first.checkpoint.set_epoch == second.checkpoint.set_epoch);
                if let Some(evidence) = same.filter_map(|first| fork(first, live, second, dead)).next() {
                    self.enter(&evidence)?;
                }
            }
        }
        Ok(())
    }

    /// One step of one case: done if the court has decided, else an attempt when it is this node's turn.
    async fn pursue(&mut self, offence: Offence, evidence: &Evidence) -> Result<(), ProsecutorError> {
        let head = self.ethereum_index.newest().number;
        let turn = self.turn();
        let case = self.state.cases.entry(offence).or_insert_with(|| Case { since_block: head, ..Case::default() });
        let is_due = case.not_before.is_none_or(|at| at <= Instant::now()) && head >= case.since_block.saturating_add(turn);
        if !is_due {
            return Ok(());
        }
        let (king, (reason, (origin, epoch))) = offence;
        let court = self.book.ethereum.king_court;
        let call = KingCourt::convictedCall { king, reason, originChainId: origin, setEpoch: epoch };
        if self.chain.call(court, call, BlockId::latest()).await? {
            tracing::warn!(%king, what = evidence.label(), "a King was convicted");
            self.metrics.event("king", "convicted");
            self.state.closed.insert(offence);
            self.state.cases.remove(&offence);
            return Ok(());
        }
        let attempt = self.state.cases.get(&offence).map_or(0, |case| case.attempts);
        let outcome = match self.accusation(evidence).await? {
            Some(data) => self.submit(format!("court:{}:{attempt}", case_id(&offence)), "report a King", data).await,
            None => self.submit(format!("record:{}:{attempt}", case_id(&offence)), "record the Outbox", record_outbox()).await,
        };
        let case = self.state.cases.entry(offence).or_default();
        case.attempts = case.attempts.saturating_add(1);
        if let Err(error) = outcome {
            let pause = FIRST_PAUSE.saturating_mul(1 << case.attempts.min(10)).min(LONGEST_PAUSE);
            case.not_before = Some(Instant::now() + pause);
            tracing::warn!(%king, code = error.code(), %error, ?pause, "a King was not reported");
        }
        Ok(())
    }

    /// Messages that the Outbox holds; where there are several endpoints, a majority must say so, as one that lies would accuse the innocent.
    async fn held(&self) -> Result<u32, ChainError> {
        let outbox = self.book.ethereum.bridge.outbox;
        if self.chain.config().rpc.len() < 2 {
            return self.chain.call(outbox, Outbox::countCall {}, BlockId::latest()).await;
        }
        let block = self.chain.agreed_block(self.chain.agreed_head_number().await?).await?;
        self.chain.agreed_call(outbox, Outbox::countCall {}, block.hash).await
    }

    /// Blocks that this reporter leaves to those before it: relays first, then Kings in the order of their set.
    fn turn(&self) -> u64 {
        let me = self.sender.account();
        let position = self.checkpoints.kings().newest().and_then(|set| set.members().iter().position(|member| member.address == me));
        position.map_or(0, |position| (position as u64 + 1) * TURN_BLOCKS)
    }

    async fn submit(&self, id: String, label: &str, data: Vec<u8>) -> Result<(), SendError> {
        self.sender.submit(Intent::call(id, label, self.book.ethereum.king_court, data)).await.map(drop)
    }

    /// Calldata of the report; `None` while the court has recorded no root of the Outbox that covers it.
    async fn accusation(&self, evidence: &Evidence) -> Result<Option<Vec<u8>>, ProsecutorError> {
        Ok(match evidence {
            Evidence::Conflict { first, second } => {
                Some(KingCourt::reportConflictCall { first: for_court(first), second: for_court(second) }.abi_encode())
            }
            Evidence::Fork { first, second, index, under_first, under_second } => {
                let call = opening(under_first).zip(opening(under_second)).map(|(under_first, under_second)| {
                    let (first, second) = (for_court(first), for_court(second));
                    KingCourt::reportForkCall { first, second, index: *index, underFirst: under_first, underSecond: under_second }
                });
                call.map(|call| call.abi_encode())
            }
            Evidence::Beyond { signed } => {
                let held = self.held().await?;
                if signed.checkpoint.count > held {
                    Some(KingCourt::reportBeyondOutboxCall { signed: for_court(signed) }.abi_encode())
                } else {
                    // The Outbox has grown past the claim since: its root tells.
                    self.false_root(signed).await?
                }
            }
            Evidence::FalseRoot { signed } => self.false_root(signed).await?,
        })
    }

    async fn false_root(&self, signed: &CheckpointSignature) -> Result<Option<Vec<u8>>, ProsecutorError> {
        let count = self.ethereum_index.views().bridge.tree().count();
        let claimed = signed.checkpoint.count;
        for recorded in (claimed..=count).rev().take(RECORDED_LOOKED_AT) {
            let root =
                self.chain.call(self.book.ethereum.king_court, KingCourt::recordedRootCall { count: recorded }, BlockId::latest()).await?;
            let views = self.ethereum_index.views();
            if root.is_zero() || views.bridge.tree().root_at(recorded) != Some(root) {
                continue;
            }
            let last = claimed.checked_sub(1).and_then(|index| Opening::of(views.bridge.tree(), index, recorded));
            let Some(last) = last.as_ref().and_then(opening) else { continue };
            let call = KingCourt::reportFalseRootCall { signed: for_court(signed), recordedCount: recorded, last };
            return Ok(Some(call.abi_encode()));
        }
        Ok(None)
    }
}

/// Counts below the newest one for which the court may hold a root; it is recorded right before it is needed.
const RECORDED_LOOKED_AT: usize = 32;

fn record_outbox() -> Vec<u8> {
    KingCourt::recordOutboxCall {}.abi_encode()
}

fn case_id(offence: &Offence) -> B256 {
    let (king, (reason, (origin, epoch))) = offence;
    keccak256([king.as_slice(), &[*reason], &origin.to_be_bytes(), &epoch.to_be_bytes()].concat())
}

fn for_court(signed: &CheckpointSignature) -> KingCourt::SignedCheckpoint {
    let CheckpointData { origin_chain_id, outbox, set_epoch, root, count, block_number, block_hash, block_timestamp } = signed.checkpoint;
    KingCourt::SignedCheckpoint {
        checkpoint: KingCourt::Checkpoint {
            originChainId: origin_chain_id,
            outbox,
            setEpoch: set_epoch,
            root,
            count,
            blockNumber: block_number,
            blockHash: block_hash,
            blockTimestamp: block_timestamp,
        },
        r: B256::from_slice(&signed.signature.0[..32]),
        vs: B256::from_slice(&signed.signature.0[32..]),
    }
}

fn opening(opening: &Opening) -> Option<KingCourt::LeafOpening> {
    Some(KingCourt::LeafOpening { leaf: opening.leaf, proof: opening.siblings()? })
}

#[async_trait::async_trait]
impl Service for Prosecutor {
    fn name(&self) -> &'static str {
        "prosecutor"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.ethereum_index.head();
        loop {
            match self.look().await {
                Ok(()) => {}
                Err(ProsecutorError::Store(error)) => return Err(Fault::fatal(error)),
                Err(ProsecutorError::Send(SendError::Stopped)) => return Ok(()),
                Err(error) => tracing::debug!(%error, "evidence was not looked at"),
            }
            if !matches!(shutdown.or_stop(head.changed()).await, Some(Ok(()))) {
                return Ok(());
            }
        }
    }
}
