//! The one writer of an account on a chain: every transaction is in the journal before it is broadcast, under a nonce of its own.
//!
//! A caller names its intent with an id; the same id never leads to two transactions that both take effect, over crashes,
//! replacements and reorganisations. Simulation happens in the caller's task, so that a slow endpoint holds up nobody else.

mod error;
mod journal;
mod lane;

use std::time::Duration;

use alloy::{
    eips::BlockId,
    primitives::{Address, B256, Bytes, U256},
};
pub use error::SendError;
pub use journal::COLUMNS;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use self::{journal::Journal, lane::Lane};
use crate::{
    chain::{AccountSigner, Chain, Fee, LogEntry, TxRequest},
    store::Store,
    task::{Fault, Service, Shutdown},
    types::Coded,
};

/// Something that shall happen on the chain once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Idempotency key: a second intent with the same id gets the outcome of the first. Another attempt needs another id.
    pub id: String,
    pub request: TxRequest,
    /// What it is for, in logs and errors.
    pub label: String,
    /// `None` simulates and estimates first. `Some` for a transaction that depends on one still in flight.
    pub gas_limit: Option<u64>,
}

impl Intent {
    pub fn call(id: impl Into<String>, label: impl Into<String>, to: Address, data: impl Into<Bytes>) -> Self {
        Self { id: id.into(), request: TxRequest::call(to, data), label: label.into(), gas_limit: None }
    }

    pub fn transfer(id: impl Into<String>, label: impl Into<String>, to: Address, value_wei: U256) -> Self {
        let request = TxRequest { to: Some(to), data: Bytes::new(), value_wei };
        Self { id: id.into(), request, label: label.into(), gas_limit: None }
    }
}

/// An intent that took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mined {
    pub hash: B256,
    pub block_number: u64,
    pub block_hash: B256,
    pub gas_used: u64,
    pub gas_price_wei: u128,
    /// 0 on Ethereum Classic, 2 on Ethereum.
    pub tx_type: u8,
    /// Always true in an `Ok` of [`Sender::submit`]; a failed transaction is [`SendError::Failed`].
    pub status: bool,
    pub contract_address: Option<Address>,
    pub logs: Vec<LogEntry>,
}

#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// Blocks, its own included, after which a transaction counts as settled. Too few promise what a reorganisation takes back.
    pub confirmations: u64,
    /// Blocks without inclusion after which the fee rises. Too few overpay, too many wait.
    pub bump_after_blocks: u64,
    /// Rise per replacement, percent; clients refuse less than 10.
    pub bump_percent: u32,
    /// Price per gas that is never exceeded, wei.
    pub max_gas_price_wei: u128,
    /// Intents that may wait. When full, `submit` waits.
    pub queue: usize,
    /// Transactions that may be unsettled at once. Nodes keep 16 to 64 per account.
    pub max_in_flight: usize,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self { confirmations: 1, bump_after_blocks: 8, bump_percent: 13, max_gas_price_wei: 500_000_000_000, queue: 64, max_in_flight: 16 }
    }
}

pub(super) type Outcome = Result<Mined, SendError>;

pub(super) struct Prepared {
    intent: Intent,
    /// `None` when the intent is already in the journal.
    terms: Option<(u64, Fee)>,
    reply: oneshot::Sender<Outcome>,
}

/// Handle of a [`SenderService`]. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    chain: Chain,
    account: Address,
    journal: Journal,
    requests: mpsc::Sender<Prepared>,
}

/// Owns the account's nonces. Runs under the supervisor.
pub struct SenderService {
    lane: Lane,
    requests: mpsc::Receiver<Prepared>,
    poll: Duration,
}

/// Makes the writer of `signer`'s account on `chain`. There must be one per account and chain.
pub fn sender(chain: Chain, store: Store, signer: AccountSigner, config: SenderConfig) -> (Sender, SenderService) {
    let (requests, receiver) = mpsc::channel(config.queue.max(1));
    let journal = Journal::new(store, chain.chain_id(), signer.address());
    let handle = Sender { chain: chain.clone(), account: signer.address(), journal: journal.clone(), requests };
    let poll = chain.poll_interval();
    (handle, SenderService { lane: Lane::new(chain, signer, journal, config), requests: receiver, poll })
}

impl Sender {
    pub fn account(&self) -> Address {
        self.account
    }

    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Waits until the intent is settled. Dropping the future does not withdraw an intent that is in the journal.
    ///
    /// An error before the journal (a revert in simulation, missing funds, no endpoint) used no nonce: the same id may be tried again.
    pub async fn submit(&self, intent: Intent) -> Outcome {
        if let Some(outcome) = self.journal.outcome(&intent)? {
            return outcome;
        }
        let terms = if self.journal.knows(&intent)? { None } else { Some(self.prepare(&intent).await?) };
        let (reply, answer) = oneshot::channel();
        let prepared = Prepared { intent, terms, reply };
        self.requests.send(prepared).await.map_err(|_| SendError::Stopped)?;
        answer.await.map_err(|_| SendError::Stopped)?
    }

    async fn prepare(&self, intent: &Intent) -> Result<(u64, Fee), SendError> {
        let failed = |source| SendError::Chain { label: intent.label.clone(), source };
        let gas_limit = match intent.gas_limit {
            Some(gas_limit) => gas_limit,
            None => {
                self.chain.simulate(self.account, &intent.request, BlockId::latest()).await.map_err(failed)?;
                self.chain.estimate_gas(self.account, &intent.request).await.map_err(failed)?
            }
        };
        let fee = self.chain.fee().await.map_err(failed)?;
        self.chain.check_funds(self.account, &intent.request, gas_limit, fee).await.map_err(failed)?;
        Ok((gas_limit, fee))
    }
}

#[async_trait::async_trait]
impl Service for SenderService {
    fn name(&self) -> &'static str {
        "sender"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        self.lane.resume().await.map_err(to_fault)?;
        let mut ticks = tokio::time::interval(self.poll);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Everything unsettled is in the journal: the next start goes on from there.
                () = shutdown.intake.cancelled() => return Ok(()),
                _ = ticks.tick() => self.lane.poll().await.map_err(to_fault)?,
                request = self.requests.recv(), if self.lane.has_room() => match request {
                    Some(prepared) => self.lane.accept(prepared).await.map_err(to_fault)?,
                    // No handle is left: only what is in flight remains.
                    None if self.lane.is_idle() => { shutdown.intake.cancelled().await; return Ok(()); }
                    None => { ticks.tick().await; self.lane.poll().await.map_err(to_fault)?; }
                },
            }
        }
    }
}

fn to_fault(error: SendError) -> Fault {
    tracing::debug!(code = error.code(), %error, "sender stops");
    match error {
        error @ SendError::Store(_) => Fault::fatal(error),
        error => Fault::recover(error),
    }
}
