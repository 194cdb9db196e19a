//! A relay's hands: takes messages of one chain to the other, under a checkpoint that a King quorum signed.
//!
//! Nothing here is trusted by the contracts: a message is delivered once, whoever brings it. What was done is read back from the
//! destination's logs, so a restart or a second relay costs at most a refused simulation.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy::{primitives::B256, sol_types::SolCall};
use tokio::time::MissedTickBehavior;

use super::{
    checkpoints::CheckpointBook,
    index::{ChainIndex, SentMessage},
    peers::Peers,
    sender::{Intent, Sender},
};
use crate::{
    config::Delivery,
    rules::{quorum::QuorumSignatures, tree::DEPTH},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{AddressBook, ChainKind, abi::Inbox, wire::CheckpointData},
};

/// Messages of one transaction. More would pass ETC's block gas limit with large handlers.
const MAX_BATCH: usize = 8;
/// First pause after a message failed; doubles up to `MAX_BACKOFF`.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(3_600);
/// Looks for signatures that arrived without a new block.
const TICK: Duration = Duration::from_millis(250);
/// Time without a quorum after which Kings are asked for their signatures.
const ASK_AFTER: Duration = Duration::from_secs(1);

struct Waiting {
    since: Instant,
    attempts: u32,
    not_before: Instant,
}

pub struct Deliverer {
    pub origin: ChainIndex,
    pub destination: ChainIndex,
    pub book: AddressBook,
    pub policy: Delivery,
    pub checkpoints: CheckpointBook,
    pub peers: Peers,
    pub sender: Sender,
    pub metrics: Metrics,
    pub state: DeliveryState,
}

/// What the loop remembers between rounds; losing it costs nothing but a pause.
#[derive(Default)]
pub struct DeliveryState {
    waiting: BTreeMap<u32, Waiting>,
    asked: Option<Instant>,
    /// Block of the last delivery: its effect is not judged before it is indexed.
    wait_for_block: u64,
}

impl Deliverer {
    /// Undelivered messages that this relay wants to bring, oldest first.
    fn pending(&mut self) -> Vec<SentMessage> {
        let destination = self.book.chain_id(self.destination.chain);
        let views = self.origin.views();
        let delivered = self.destination.views();
        let pending: Vec<SentMessage> = views
            .bridge
            .sent()
            .iter()
            .filter(|sent| sent.message.destination == destination && !delivered.bridge.is_delivered(sent.message.index))
            .filter(|sent| self.policy == Delivery::All || self.carries_fee(sent))
            .cloned()
            .collect();
        let now = Instant::now();
        self.state.waiting.retain(|index, _| pending.iter().any(|sent| sent.message.index == *index));
        for sent in &pending {
            self.state.waiting.entry(sent.message.index).or_insert(Waiting { since: now, attempts: 0, not_before: now });
        }
        self.metrics.queue_length(self.queue_name(), pending.len());
        pending
    }

    /// Rentals escrow a bridge fee for their reports and terms; other messages are brought along by whoever needs them.
    fn carries_fee(&self, sent: &SentMessage) -> bool {
        let kind = sent.message.body.first();
        matches!(kind, Some(4 | 16)) && (sent.message.sender == self.book.ethereum.gpu_rental || self.origin.chain == ChainKind::Classic)
    }

    fn queue_name(&self) -> &'static str {
        match self.origin.chain {
            ChainKind::Ethereum => "ethereum_to_classic",
            ChainKind::Classic => "classic_to_ethereum",
        }
    }

    async fn deliver_due(&mut self) {
        if self.destination.newest().number < self.state.wait_for_block {
            return;
        }
        let pending = self.pending();
        let now = Instant::now();
        let ready: Vec<SentMessage> = pending
            .into_iter()
            .filter(|sent| self.state.waiting.get(&sent.message.index).is_some_and(|waiting| waiting.not_before <= now))
            .collect();
        let Some(first) = ready.first() else { return };
        let origin = self.book.chain_id(self.origin.chain);
        let Some((checkpoint, quorum)) = self.checkpoints.best(origin, first.message.index) else {
            self.ask_kings(origin, first.message.index + 1).await;
            return;
        };
        let covered: Vec<SentMessage> = ready.into_iter().filter(|sent| sent.message.index < checkpoint.count).take(MAX_BATCH).collect();
        self.deliver(checkpoint, quorum, covered).await;
    }

    async fn deliver(&mut self, checkpoint: CheckpointData, quorum: QuorumSignatures, messages: Vec<SentMessage>) {
        let Some(call) = self.call(&checkpoint, &quorum, &messages) else { return };
        let attempt: u32 =
            messages.iter().filter_map(|sent| self.state.waiting.get(&sent.message.index)).map(|waiting| waiting.attempts).sum();
        let indices: Vec<u32> = messages.iter().map(|sent| sent.message.index).collect();
        let id = format!("deliver:{}:{}:{:?}:{attempt}", self.origin.chain, checkpoint.root, indices);
        let intent = Intent::call(id, "deliver", self.book.bridge(self.destination.chain).inbox, call);
        match self.sender.submit(intent).await {
            Ok(mined) => {
                self.state.wait_for_block = mined.block_number;
                let delivered = mined.logs.iter().filter(|log| log.decode::<Inbox::MessageDelivered>().is_some()).count();
                self.metrics.event("message", "delivered");
                tracing::info!(from = %self.origin.chain, ?indices, delivered, gas = mined.gas_used, tx = %mined.hash, "messages delivered");
                for event in mined.logs.iter().filter_map(|log| log.decode::<Inbox::MessageFailed>()) {
                    let reason = crate::types::abi::decode_revert(&event.reason).unwrap_or_else(|| event.reason.to_string());
                    tracing::warn!(index = event.index, reason, "a message's handler refused it");
                    self.back_off(event.index);
                }
            }
            Err(error) => {
                tracing::warn!(?indices, %error, "delivery failed");
                self.metrics.event("message", "failed");
                indices.iter().for_each(|index| self.back_off(*index));
            }
        }
    }

    fn call(&self, checkpoint: &CheckpointData, quorum: &QuorumSignatures, messages: &[SentMessage]) -> Option<Vec<u8>> {
        let views = self.origin.views();
        let proofs: Option<Vec<[B256; DEPTH]>> =
            messages.iter().map(|sent| views.bridge.tree().proof(sent.message.index, checkpoint.count)).collect();
        let call = Inbox::submitAndDeliverCall {
            checkpoint: Inbox::Checkpoint {
                originChainId: checkpoint.origin_chain_id,
                outbox: checkpoint.outbox,
                setEpoch: checkpoint.set_epoch,
                root: checkpoint.root,
                count: checkpoint.count,
                blockNumber: checkpoint.block_number,
                blockHash: checkpoint.block_hash,
                blockTimestamp: checkpoint.block_timestamp,
            },
            quorum: Inbox::Quorum {
                members: quorum.members.clone(),
                signerBitmap: quorum.signer_bitmap,
                signatures: quorum.signatures.clone().into(),
            },
            messages: messages
                .iter()
                .map(|sent| Inbox::Message {
                    index: sent.message.index,
                    origin: sent.message.origin,
                    sender: sent.message.sender,
                    destination: sent.message.destination,
                    recipient: sent.message.recipient,
                    body: sent.message.body.clone(),
                })
                .collect(),
            proofs: proofs?,
        };
        Some(call.abi_encode())
    }

    fn back_off(&mut self, index: u32) {
        if let Some(waiting) = self.state.waiting.get_mut(&index) {
            let pause = MIN_BACKOFF.saturating_mul(1 << waiting.attempts.min(12)).min(MAX_BACKOFF);
            waiting.attempts += 1;
            waiting.not_before = Instant::now() + pause;
        }
    }

    /// Gossip may have missed us: Kings answer for what they signed.
    async fn ask_kings(&mut self, origin: u64, from_count: u32) {
        let oldest = self.state.waiting.values().map(|waiting| waiting.since).min();
        let recently = |moment: Instant| moment.elapsed() < ASK_AFTER;
        if oldest.is_none_or(recently) || self.state.asked.is_some_and(recently) {
            return;
        }
        self.state.asked = Some(Instant::now());
        for signed in self.peers.checkpoints(origin, from_count).await {
            self.checkpoints.add(&signed);
        }
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
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.or_stop(tick.tick()).await.is_some() {
            self.deliver_due().await;
        }
        Ok(())
    }
}
