//! What nodes do about cases of RentalCourt by themselves.
//!
//! A provider's node carries on the cases about its own rentals, which nobody else has a reason to: it draws the committee, collects the
//! signatures of Queens that came to its door, and ends what is over, so that no money stays frozen for want of a transaction. A Queen's
//! node tries doors when it is asked, and tells its operator about complaints to vote on: those are for people.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, B512, U256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolStruct},
};
use futures::future::join_all;
use tokio::sync::Semaphore;

use super::{
    index::ChainIndex,
    peers::{PeerError, Peers},
    sender::{Intent, SendError, Sender},
    session::{Login, LoginAnswer, SESSION_PROTOCOL, read_login_frame, write_frame},
};
use crate::{
    chain::{BlockId, Chain, ChainError},
    net::BUSY_CODE,
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Metrics, Severity},
    types::{
        Coded, RentalId,
        abi::{GPURental, RentalCourt, rental_court::IRentalCourt},
        signing::{Reachable, compact, contract_domain, recover_compact},
        wire::{Request, Response},
    },
};

/// Pause between two looks at the cases. The shortest verdict takes hours.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// Cases looked back at when a node starts.
const LOOK_BACK: u64 = 512;
/// Doors tried at a time. Each takes a connection and some seconds.
const MAX_DOORS: usize = 4;
/// Time a door has to open.
const DOOR_WITHIN: Duration = Duration::from_secs(20);
/// Time a Queen has to come to a door.
const RECEIPT_WITHIN: Duration = Duration::from_secs(40);
/// How far the time to be signed may be from the newest block, seconds.
const TIME_SLACK: u64 = 300;
/// Pause before doors are asked to be tried again.
const ASK_AGAIN: Duration = Duration::from_secs(60);
const COMPLAINT: u8 = 1;
const REACHABILITY: u8 = 2;
const OPEN: u8 = 1;

#[derive(Debug, thiserror::Error)]
pub enum CourtError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("case {case} is no open question about the door of rental {rental} that this Queen is asked")]
    NotAsked { case: u64, rental: RentalId },
    #[error("the time {time} is not now")]
    NotNow { time: u64 },
    #[error("the door of rental {rental} did not open: {reason}")]
    Closed { rental: RentalId, reason: String },
    #[error("the key cannot sign: {0}")]
    Key(#[from] alloy::signers::Error),
}

impl Coded for CourtError {
    fn code(&self) -> &'static str {
        match self {
            CourtError::Chain(error) => error.code(),
            CourtError::Send(error) => error.code(),
            CourtError::Peer(error) => error.code(),
            CourtError::NotAsked { .. } => "E-COURT-001",
            CourtError::NotNow { .. } => "E-COURT-002",
            CourtError::Closed { .. } => "E-COURT-003",
            CourtError::Key(_) => "E-COURT-004",
        }
    }

    fn next_step(&self) -> String {
        match self {
            CourtError::Chain(error) => error.next_step(),
            CourtError::Send(error) => error.next_step(),
            CourtError::Peer(error) => error.next_step(),
            CourtError::NotAsked { case, .. } => format!("see `gpumkt court show {case}` for whom it asks"),
            CourtError::NotNow { .. } => "set this machine's clock by NTP, or wait until its endpoint has caught up".into(),
            CourtError::Closed { .. } => "`gpumkt doctor provider` tells the provider what keeps renters out".into(),
            CourtError::Key(_) => "check the operator keystore".into(),
        }
    }
}

/// Reads the court. Cheap to clone.
#[derive(Clone)]
pub struct Court {
    /// Ethereum.
    pub chain: Chain,
    pub contract: Address,
    pub rentals: Address,
}

impl Court {
    async fn case(&self, case: u64) -> Result<IRentalCourt::Case, ChainError> {
        self.chain.call(self.contract, RentalCourt::caseOfCall { caseId: U256::from(case) }, BlockId::latest()).await
    }

    async fn provider_of(&self, rental: RentalId) -> Result<Address, ChainError> {
        Ok(self.chain.call(self.rentals, GPURental::rentalCall { rentalId: rental }, BlockId::latest()).await?.provider)
    }

    fn digest(&self, rental: RentalId, time: u64) -> B256 {
        let statement = Reachable { rentalId: rental, time };
        statement.eip712_signing_hash(&contract_domain(self.chain.chain_id(), self.contract))
    }
}

/// A Queen's hand on doors.
pub struct DoorTester {
    pub court: Court,
    pub account: Address,
    pub key: PrivateKeySigner,
    pub peers: Peers,
    pub metrics: Metrics,
    pub doors: Semaphore,
}

impl DoorTester {
    pub fn new(court: Court, account: Address, key: PrivateKeySigner, peers: Peers, metrics: Metrics) -> Self {
        Self { court, account, key, peers, metrics, doors: Semaphore::new(MAX_DOORS) }
    }

    pub async fn answer(&self, case: u64, rental: RentalId, time: u64) -> Response {
        let Ok(_door) = self.doors.try_acquire() else { return Response::refused(BUSY_CODE, "other doors are being tried, ask again") };
        match self.try_door(case, rental, time).await {
            Ok(receipt) => {
                self.metrics.event("door", "open");
                receipt
            }
            Err(error) => {
                self.metrics.event("door", "refused");
                tracing::info!(case, rental, code = error.code(), %error, "no word for this door");
                Response::refused(error.code(), error)
            }
        }
    }

    async fn try_door(&self, case: u64, rental: RentalId, time: u64) -> Result<Response, CourtError> {
        let asked = self.court.case(case).await?;
        let position = asked.committee.iter().position(|member| *member == self.account);
        let is_asked = asked.rentalId == rental && asked.kind == REACHABILITY && asked.status == OPEN;
        let Some(member) = position.filter(|_| is_asked).and_then(|position| u8::try_from(position).ok()) else {
            return Err(CourtError::NotAsked { case, rental });
        };
        // The chain's clock counts: a Queen whose own is wrong must not sign what the contract refuses.
        let now = self.court.chain.head().await?.timestamp;
        if time < asked.openedAt || time.abs_diff(now) > TIME_SLACK {
            return Err(CourtError::NotNow { time });
        }
        let provider = self.court.provider_of(rental).await?;
        let tried = tokio::time::timeout(DOOR_WITHIN, self.knock(provider, rental));
        tried.await.map_err(|_| CourtError::Closed { rental, reason: "no answer in time".into() })??;
        let signature = self.key.sign_hash_sync(&self.court.digest(rental, time))?;
        Ok(Response::Reachable { member, signature: B512::from(compact(&signature)) })
    }

    /// Goes a renter's whole way: the provider's record, a connection to its addresses, a stream, a login. The login is refused, as this
    /// Queen holds no key of the rental; that the door answers at all is what is asked.
    async fn knock(&self, provider: Address, rental: RentalId) -> Result<(), CourtError> {
        let closed = |reason: String| CourtError::Closed { rental, reason };
        let (peer, addresses) = self.peers.find(provider).await?;
        let net = &self.peers.net;
        let mut stream = net.open_stream(peer, &addresses, SESSION_PROTOCOL).await.map_err(|error| closed(error.to_string()))?;
        let login = Login {
            rental,
            public_key: net.local_peer_id().to_bytes(),
            expiry: 0,
            key_signature: vec![0; 64],
            opened_at: 0,
            opened_signature: vec![0; 64],
            ssh_keys: Vec::new(),
        };
        write_frame(&mut stream, &login).await.map_err(|error| closed(error.to_string()))?;
        read_login_frame::<LoginAnswer>(&mut stream).await.map(drop).map_err(|error| closed(error.to_string()))
    }
}

/// What a node does with open cases.
pub enum Side {
    /// Carries on those about its own rentals.
    Provider { peers: Box<Peers>, sender: Sender },
    /// Tells about those that it is to vote on.
    Queen { alerts: Alerts },
}

/// Follows the cases that concern an account.
pub struct CourtService {
    pub court: Court,
    pub ethereum: ChainIndex,
    pub account: Address,
    pub side: Arc<Side>,
    pub metrics: Metrics,
    /// The first case not looked at yet.
    pub next: Option<u64>,
    pub open: BTreeSet<u64>,
    /// When doors were last asked to be tried.
    pub asked: Option<Instant>,
}

impl CourtService {
    pub fn new(court: Court, ethereum: ChainIndex, account: Address, side: Side, metrics: Metrics) -> Self {
        Self { court, ethereum, account, side: Arc::new(side), metrics, next: None, open: BTreeSet::new(), asked: None }
    }

    async fn look(&mut self) -> Result<(), CourtError> {
        let count = self.court.chain.call(self.court.contract, RentalCourt::caseCountCall {}, BlockId::latest()).await?;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let next = self.next.unwrap_or_else(|| count.saturating_sub(LOOK_BACK) + 1);
        for case in next..=count {
            // A Queen is named only when the committee is drawn, so every open case stays in view.
            if self.court.case(case).await?.status == OPEN {
                self.open.insert(case);
            }
            self.next = Some(case + 1);
        }
        for case in self.open.clone() {
            let found = self.court.case(case).await?;
            if found.status != OPEN {
                self.open.remove(&case);
            } else if let Err(error) = self.attend(case, &found).await {
                tracing::warn!(case, code = error.code(), %error, "a case did not go on");
            }
        }
        Ok(())
    }

    async fn attend(&mut self, case: u64, found: &IRentalCourt::Case) -> Result<(), CourtError> {
        match &*Arc::clone(&self.side) {
            Side::Queen { alerts } => {
                if found.kind == COMPLAINT && found.committee.contains(&self.account) {
                    let message = format!(
                        "case {case} about rental {} asks for this Queen's vote until {}: `gpumkt court show {case}`",
                        found.rentalId, found.verdictUntil
                    );
                    alerts.raise("court_case", Severity::Warning, case.to_string(), message);
                }
                Ok(())
            }
            Side::Provider { peers, sender } => {
                if self.court.provider_of(found.rentalId).await? == self.account {
                    self.carry_on(case, found, peers, sender).await?;
                }
                Ok(())
            }
        }
    }

    async fn carry_on(&mut self, case: u64, found: &IRentalCourt::Case, peers: &Peers, sender: &Sender) -> Result<(), CourtError> {
        let head = self.ethereum.newest();
        let id = U256::from(case);
        if head.timestamp > found.verdictUntil {
            return self.send(sender, format!("expire:{case}"), "expire", RentalCourt::expireCall { caseId: id }.abi_encode()).await;
        }
        if found.committee.is_empty() {
            if head.number <= found.drawBlock {
                return Ok(());
            }
            // Each block that a draw waited for in vain is an attempt of its own.
            let label = format!("draw:{case}:{}", found.drawBlock);
            return self.send(sender, label, "draw", RentalCourt::drawCall { caseId: id }.abi_encode()).await;
        }
        if found.kind != REACHABILITY || self.asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
            return Ok(());
        }
        self.asked = Some(Instant::now());
        let time = head.timestamp.max(found.openedAt);
        let receipts = self.receipts(case, found, time, peers).await;
        if receipts.len() * 3 < found.committee.len() * 2 {
            tracing::info!(case, receipts = receipts.len(), committee = found.committee.len(), "too few Queens came to the door");
            return Ok(());
        }
        let call = RentalCourt::submitReceiptsCall { caseId: id, time, receipts };
        self.send(sender, format!("door:{case}:{time}"), "submitReceipts", call.abi_encode()).await
    }

    /// Signatures of the committee, ascending by place; one bad one would have the contract refuse all.
    async fn receipts(&self, case: u64, found: &IRentalCourt::Case, time: u64, peers: &Peers) -> Vec<IRentalCourt::Receipt> {
        let digest = self.court.digest(found.rentalId, time);
        let asked = found.committee.iter().enumerate().map(|(position, queen)| async move {
            let request = Request::Reachable { case_id: case, rental_id: found.rentalId, time };
            let answer = tokio::time::timeout(RECEIPT_WITHIN, peers.ask(*queen, request)).await;
            let Ok(Ok(Response::Reachable { member, signature })) = answer else { return None };
            let signer = recover_compact(digest, signature.as_slice())?;
            let is_theirs = usize::from(member) == position && peers.stakes.account_of(signer).await == Some(*queen);
            let (r, vs) = signature.as_slice().split_at(32);
            is_theirs.then(|| IRentalCourt::Receipt { member, r: B256::from_slice(r), vs: B256::from_slice(vs) })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn send(&self, sender: &Sender, id: String, label: &'static str, data: Vec<u8>) -> Result<(), CourtError> {
        let mined = sender.submit(Intent::call(format!("court:{id}"), label, self.court.contract, data)).await?;
        self.metrics.event("court", label);
        tracing::info!(tx = %mined.hash, id, "a case goes on");
        Ok(())
    }
}

#[async_trait::async_trait]
impl Service for CourtService {
    fn name(&self) -> &'static str {
        "court"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        loop {
            if let Some(Err(error)) = shutdown.or_stop(self.look()).await {
                tracing::warn!(code = error.code(), %error, "the court could not be read");
            }
            if !shutdown.pause(LOOK_EVERY).await {
                return Ok(());
            }
        }
    }
}
