//! A King's seat: signs who follows the present set, and what its operator orders.
//!
//! Ethereum's contract draws the next set from the stakes; Kings sign what it has nominated, once that is final. For an epoch a King signs
//! either a rotation or a recovery, and never two sets that could both be installed: what it chose is recorded before it is signed.
//! Signatures go out over gossip and are handed to whoever asks; relays carry them to the chains.

pub mod book;
pub mod carrier;
mod error;
mod obey;
mod order;
pub mod record;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, B512},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolStruct,
};

use self::{
    book::{Heard, StatementBook},
    record::SPOKEN,
};
pub use self::{error::CouncilError, order::Order};
use super::{index::ChainIndex, peers::Peers, signer::Finality};
use crate::{
    chain::{BlockInfo, Chain, ChainError},
    rules::succession::{Seen, renewed_nomination},
    store::Store,
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Metrics, Severity},
    types::{
        AddressBook, ChainKind, Coded,
        abi::{KingSet, king_set},
        signing::{KingSetRotation, compact},
        wire::{GossipMessage, Statement, StatementSignature},
    },
};

/// Longest pause that the contracts take: of an Inbox, of withdrawals.
const PAUSE_SECONDS: u64 = 3 * 86_400;
const WITHDRAWALS_SECONDS: u64 = 7 * 86_400;
/// Own signatures are gossiped again this often while they are worth something: who was away then hears them.
const REPEAT_EVERY: Duration = Duration::from_secs(60);
/// Statements that are gossiped again. Older ones are handed out when asked for.
const REPEATED: usize = 4;
/// A set that has less than this part of its lifetime left should have been followed by another one.
const EXPIRY_WARNING: u64 = 4;
const EXPIRY_CRITICAL: u64 = 12;

pub struct Council {
    pub ethereum: Chain,
    pub classic: Chain,
    pub ethereum_index: ChainIndex,
    pub classic_index: ChainIndex,
    pub book: AddressBook,
    pub statements: StatementBook,
    pub finality: Finality,
    pub key: PrivateKeySigner,
    pub store: Store,
    pub peers: Peers,
    pub data_dir: PathBuf,
    pub alerts: Alerts,
    pub metrics: Metrics,
    pub state: CouncilState,
}

/// What the loop remembers between rounds.
#[derive(Default)]
pub struct CouncilState {
    restored_for: Option<u64>,
    repeated: Option<Instant>,
    times: Option<king_set::KingSet::Times>,
    told: BTreeSet<Statement>,
}

/// What one chain's King set says, at a block that will stay.
struct Standing {
    block: BlockInfo,
    epoch: u64,
    expires_at: u64,
}

impl Council {
    async fn look(&mut self) -> Result<(), CouncilError> {
        // What was signed for a set counts once that set is known here, which after a start takes a look at the chains.
        let newest = self.statements.kings().newest().map(|set| set.epoch);
        if self.state.restored_for != newest {
            self.restore()?;
            self.state.restored_for = newest;
        }
        self.take_orders().await?;
        self.repeat().await;
        self.tell_others();
        let (ethereum, classic) = tokio::try_join!(self.standing(ChainKind::Ethereum), self.standing(ChainKind::Classic))?;
        let times = self.times(&ethereum.block).await?;
        for (kind, standing) in [(ChainKind::Ethereum, &ethereum), (ChainKind::Classic, &classic)] {
            self.watch_expiry(kind, standing, u64::from(times.lifetime));
        }
        self.follow_rotation(&ethereum, &classic, u64::from(times.signingWindow)).await
    }

    fn chain(&self, kind: ChainKind) -> (&Chain, &ChainIndex) {
        match kind {
            ChainKind::Ethereum => (&self.ethereum, &self.ethereum_index),
            ChainKind::Classic => (&self.classic, &self.classic_index),
        }
    }

    /// A block that will stay: the finalized one, or one below the least depth.
    async fn settled_block(&self, kind: ChainKind) -> Result<BlockInfo, ChainError> {
        match kind {
            ChainKind::Ethereum => self.ethereum.agreed_finalized().await,
            ChainKind::Classic => {
                let head = self.classic.agreed_head_number().await?;
                self.classic.agreed_block(head.saturating_sub(self.finality.depth.min_depth)).await
            }
        }
    }

    async fn standing(&self, kind: ChainKind) -> Result<Standing, ChainError> {
        let (chain, _) = self.chain(kind);
        let block = self.settled_block(kind).await?;
        let contract = self.book.bridge(kind).king_set;
        let epoch = chain.agreed_call(contract, KingSet::currentEpochCall {}, block.hash).await?;
        let expires_at = chain.agreed_call(contract, KingSet::expiresAtCall { setEpoch: epoch }, block.hash).await?;
        Ok(Standing { block, epoch, expires_at })
    }

    /// Immutable in the contract, the same on both chains.
    async fn times(&mut self, block: &BlockInfo) -> Result<king_set::KingSet::Times, ChainError> {
        if let Some(times) = &self.state.times {
            return Ok(times.clone());
        }
        let times = self.ethereum.agreed_call(self.book.ethereum.bridge.king_set, KingSet::timesCall {}, block.hash).await?;
        self.state.times = Some(times.clone());
        Ok(times)
    }

    /// A set that expires kills the bridge: nothing can follow it any more.
    fn watch_expiry(&self, kind: ChainKind, standing: &Standing, lifetime: u64) {
        let left = standing.expires_at.saturating_sub(standing.block.timestamp);
        let severity = match left {
            left if left < lifetime / EXPIRY_CRITICAL => Severity::Critical,
            left if left < lifetime / EXPIRY_WARNING => Severity::Warning,
            _ => return,
        };
        let message = format!(
            "King set {} of {kind} expires at {} (in {left} s): rotations need more than two thirds of its weight and a relay; without one the bridge stops for good",
            standing.epoch, standing.expires_at
        );
        self.alerts.raise("king_set_expires", severity, kind.name(), message);
    }

    /// Signs what Ethereum has nominated, and again what it has installed and Ethereum Classic has missed.
    async fn follow_rotation(&mut self, ethereum: &Standing, classic: &Standing, window: u64) -> Result<(), CouncilError> {
        let epoch = classic.epoch.saturating_add(1);
        let contract = self.book.ethereum.bridge.king_set;
        let installed = self.ethereum.agreed_call(contract, KingSet::setHashCall { setEpoch: epoch }, ethereum.block.hash).await?;
        let seen = Seen {
            ethereum_epoch: ethereum.epoch,
            classic_epoch: classic.epoch,
            ethereum_time: ethereum.block.timestamp,
            classic_time: classic.block.timestamp,
            signing_window: window,
            installed,
        };
        let wanted = if ethereum.epoch == classic.epoch {
            self.nominated(epoch, ethereum, window).await?
        } else if ethereum.epoch == epoch {
            self.missed(epoch, &seen).await?
        } else {
            None
        };
        match wanted {
            Some(statement) => self.say(statement, Some((epoch, &seen))).await,
            None => Ok(()),
        }
    }

    /// The rotation that the contract has fixed, while it can still be installed on both chains.
    async fn nominated(&self, epoch: u64, ethereum: &Standing, window: u64) -> Result<Option<Statement>, CouncilError> {
        let contract = self.book.ethereum.bridge.king_set;
        let hash = self.ethereum.agreed_call(contract, KingSet::nominationCall {}, ethereum.block.hash).await?;
        if hash.is_zero() {
            return Ok(None);
        }
        let bridge = self.ethereum.agreed_call(contract, KingSet::bridgeIdCall {}, ethereum.block.hash).await?;
        let nominations = self.ethereum_index.views().kings.nominations(epoch);
        let found = nominations.into_iter().map(|nomination| (nomination.rotation(bridge), nomination.nominated_at));
        let found = found.into_iter().find(|(rotation, _)| rotation_of(rotation).eip712_hash_struct() == hash);
        // The index follows the head, so it has the event unless it is being read again.
        Ok(found.filter(|(_, since)| ethereum.block.timestamp <= since.saturating_add(window)).map(|(rotation, _)| rotation))
    }

    /// The installed set, with a later time, for the chain that missed its window.
    async fn missed(&self, epoch: u64, seen: &Seen) -> Result<Option<Statement>, CouncilError> {
        let contract = self.book.ethereum.bridge.king_set;
        let block = self.settled_block(ChainKind::Ethereum).await?;
        let bridge = self.ethereum.agreed_call(contract, KingSet::bridgeIdCall {}, block.hash).await?;
        let nominations = self.ethereum_index.views().kings.nominations(epoch);
        let installed = nominations.into_iter().rev().find(|nomination| nomination.set_hash() == seen.installed);
        let Some(nomination) = installed else { return Ok(None) };
        let later = renewed_nomination(nomination.nominated_at, seen.signing_window, seen.classic_time);
        Ok(later.map(|nominated_at| match nomination.rotation(bridge) {
            Statement::Rotation { bridge, set_epoch, set_hash, expires_at, .. } => {
                Statement::Rotation { bridge, set_epoch, set_hash, nominated_at, expires_at }
            }
            other => other,
        }))
    }

    /// Records, signs, publishes. What decides about an epoch is checked against what was chosen for it before.
    async fn say(&mut self, statement: Statement, choice: Option<(u64, &Seen)>) -> Result<(), CouncilError> {
        let signing_epoch = statement.signing_epoch();
        let is_member = self.statements.kings().get(signing_epoch).is_some_and(|set| set.contains(self.key.address()));
        if !is_member {
            return if choice.is_some_and(|_| matches!(statement, Statement::Rotation { .. })) {
                Ok(())
            } else {
                Err(CouncilError::NotInSet { epoch: signing_epoch })
            };
        }
        let digest = statement.digest(&self.book);
        if self.store.get(&SPOKEN, &digest)?.is_some() {
            return Ok(());
        }
        if let Some((epoch, seen)) = choice
            && let Some(previous) = record::choose(&self.store, epoch, statement, seen)?
        {
            return Err(CouncilError::Bound { epoch, previous: previous.label(), next: statement.label() });
        }
        let signature = self.key.sign_hash_sync(&digest)?;
        let signed = StatementSignature { statement, signer: self.key.address(), signature: B512::from(compact(&signature)) };
        let signed = self.store.put_if_absent(&SPOKEN, &digest, signed)?.into_inner();
        tracing::info!(statement = statement.label(), ?statement, "statement signed");
        self.metrics.event("statement", "signed");
        self.statements.add(&signed);
        self.publish(signed).await;
        Ok(())
    }

    async fn publish(&self, signed: StatementSignature) {
        if let Err(error) = self.peers.net.publish(&GossipMessage::Statement(signed)).await {
            tracing::debug!(%error, "statement was not gossiped");
        }
    }

    /// What was signed before the last stop is offered again.
    fn restore(&self) -> Result<(), CouncilError> {
        for (_, signed) in self.store.scan(&SPOKEN, None, usize::MAX)? {
            self.statements.add(&signed);
        }
        Ok(())
    }

    async fn repeat(&mut self) {
        if self.state.repeated.is_some_and(|at| at.elapsed() < REPEAT_EVERY) {
            return;
        }
        self.state.repeated = Some(Instant::now());
        let newest = self.statements.kings().newest().map_or(0, |set| set.epoch);
        let own = self.statements.all().into_iter().filter(|signed| signed.signer == self.key.address());
        let alive: Vec<StatementSignature> = own.filter(|signed| signed.statement.signing_epoch() >= newest).collect();
        for signed in alive.iter().rev().take(REPEATED) {
            self.publish(*signed).await;
        }
        for signed in self.peers.statements().await {
            if self.statements.add(&signed) == Heard::New {
                tracing::debug!(signer = %signed.signer, statement = signed.statement.label(), "statement heard");
            }
        }
    }

    /// Another King's operator has ordered something: a person decides whether this King joins.
    fn tell_others(&mut self) {
        let me = self.key.address();
        for (statement, signers) in self.statements.heard() {
            if matches!(statement, Statement::Rotation { .. }) || signers.contains(&me) || !self.state.told.insert(statement) {
                continue;
            }
            let who: Vec<String> = signers.iter().map(Address::to_string).collect();
            let message = format!("Kings {} have signed {statement:?}; {}", who.join(", "), how_to_join(&statement));
            self.alerts.raise("king_order", Severity::Warning, format!("{statement:?}"), message);
        }
        while self.state.told.len() > REPEATED * 64 {
            self.state.told.pop_first();
        }
    }
}

/// The command that makes this King sign the same.
fn how_to_join(statement: &Statement) -> String {
    match statement {
        Statement::Recovery { fork_count, .. } => format!("`gpumkt king recover --fork-count {fork_count}` joins, after you have looked"),
        Statement::Pause { until, .. } => format!("`gpumkt king pause --until {until}` joins"),
        Statement::Withdrawals { until, .. } => format!("`gpumkt king pause --withdrawals --until {until}` joins"),
        Statement::Rotation { .. } => "Kings sign rotations by themselves".into(),
    }
}

/// As the contract hashes it.
fn rotation_of(statement: &Statement) -> KingSetRotation {
    match *statement {
        Statement::Rotation { bridge, set_epoch, set_hash, nominated_at, expires_at } => {
            KingSetRotation { bridge, setEpoch: set_epoch, setHash: set_hash, nominatedAt: nominated_at, expiresAt: expires_at }
        }
        _ => KingSetRotation { bridge: B256::ZERO, setEpoch: 0, setHash: B256::ZERO, nominatedAt: 0, expiresAt: 0 },
    }
}

#[async_trait::async_trait]
impl Service for Council {
    fn name(&self) -> &'static str {
        "council"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.ethereum_index.head();
        loop {
            match self.look().await {
                Ok(()) => {}
                Err(CouncilError::Store(error)) => return Err(Fault::fatal(error)),
                Err(error) if error.is_passing() => tracing::debug!(code = error.code(), %error, "no statement was signed"),
                Err(error) => tracing::warn!(code = error.code(), %error, next_step = error.next_step(), "no statement was signed"),
            }
            // Orders come without a new block, too.
            let wait = tokio::time::timeout(self.ethereum.poll_interval() * 4, head.changed());
            match shutdown.or_stop(wait).await {
                None | Some(Ok(Err(_))) => return Ok(()),
                Some(_) => {}
            }
        }
    }
}
