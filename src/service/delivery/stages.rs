//! The stages of a delivery, each on what the one before left.

use std::time::{Duration, Instant};

use alloy::{primitives::utils::format_ether, sol_types::SolCall};
use rand::Rng;
use tokio::task::JoinSet;

use super::{
    Built, Deliverer, Done, MAX_TRACKED, MessageRecord, Records, Stage,
    call::{Cover, encode},
    verdict::{Trouble, judge},
};
use crate::{
    chain::{BlockId, TxRequest},
    config::Delivery,
    rules::{batch::Ready, retry},
    service::{
        index::SentMessage,
        sender::{Intent, Mined, SendError},
        unix_seconds,
    },
    store::{Batch, StoreError},
    telemetry::Severity,
    types::{
        abi::{Inbox, Outbox, decode_revert},
        bridge::{Body, BridgeMessage},
    },
};

/// Time a message waits without a quorum before Kings are asked, and then between two questions.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// Pause between two rescans of the origin's logs, and between two looks at its count.
const RESCAN_PAUSE: Duration = Duration::from_secs(20);
const COUNT_EVERY: Duration = Duration::from_secs(15);
/// Pauses of the whole direction when nothing can be sent at all; they double.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Deliverer {
    /// Scan: undelivered messages that this relay wants to bring, oldest first; what the destination has is booked.
    pub(super) fn scan(&mut self) -> Result<(), StoreError> {
        let destination = self.book.chain_id(self.destination.chain);
        let (now, records) = (unix_seconds(), self.records());
        let mut batch = Batch::default();
        {
            let (views, delivered) = (self.origin.views(), self.destination.views());
            if delivered.generation != self.state.generation {
                (self.state.generation, self.state.scanned_below) = (delivered.generation, 0);
            }
            let newest = self.destination.newest().number;
            self.state.awaited.retain(|_, block| *block > newest);
            let sent = views.bridge.sent();
            while delivered.bridge.is_delivered(self.state.scanned_below) {
                self.state.scanned_below += 1;
            }
            let gone = |index: &u32| delivered.bridge.is_delivered(*index) || sent.len() <= *index as usize;
            let done: Vec<u32> = self.state.tracked.iter().filter(|(i, r)| r.stage != Stage::Sent && gone(i)).map(|(i, _)| *i).collect();
            for index in done {
                if let Some(record) = self.state.tracked.remove(&index) {
                    // What this relay brought stays on record, for its cost.
                    if record.transaction.is_none() {
                        records.forget(&mut batch, index);
                    }
                }
            }
            for message in sent.iter().skip(self.state.scanned_below as usize) {
                if self.state.tracked.len() >= MAX_TRACKED {
                    break;
                }
                let index = message.message.index;
                let is_done = self.state.tracked.contains_key(&index)
                    || self.state.awaited.contains_key(&index)
                    || delivered.bridge.is_delivered(index);
                if is_done || message.message.destination != destination || !self.is_wanted(message) {
                    continue;
                }
                // Brought before, and dropped by a reorganisation: its number of transactions goes on.
                let known = self.store.get(&super::MESSAGES, &(records.origin, index))?;
                let record = known.map_or_else(|| MessageRecord::seen(now), |known| MessageRecord { stage: Stage::Waiting, ..known });
                records.put(&mut batch, [(index, &record)])?;
                self.state.tracked.insert(index, record);
            }
        }
        if batch.is_empty() { Ok(()) } else { self.store.commit(batch) }
    }

    /// Rentals escrow a bridge fee for their reports and terms; other messages are brought along by whoever needs them.
    fn is_wanted(&self, sent: &SentMessage) -> bool {
        let has_fee_kind = matches!(sent.message.body.first(), Some(4 | 16));
        let ours = sent.message.sender == self.book.ethereum.gpu_rental || sent.message.sender == self.book.classic.work_verification;
        self.policy == Delivery::All || (has_fee_kind && ours)
    }

    /// The own view of the origin must hold what the origin says it sent.
    pub(super) async fn check_index(&mut self) {
        let has_gap = self.origin.views().bridge.has_gap();
        let is_due = self.state.counted.is_none_or(|at| at.elapsed() > COUNT_EVERY);
        if !has_gap && !is_due {
            return;
        }
        self.state.counted = Some(Instant::now());
        let king_set = self.book.bridge(self.destination.chain).king_set;
        if let Err(error) = self.checkpoints.kings().follow(self.sender.chain(), &self.destination, king_set).await {
            tracing::debug!(%error, "the King set cannot be read");
        }
        if has_gap || self.lacks_messages().await {
            self.rescan();
        }
    }

    async fn lacks_messages(&self) -> bool {
        let block = self.origin.newest().number;
        let outbox = self.book.bridge(self.origin.chain).outbox;
        let count = self.origin_chain.call(outbox, Outbox::countCall {}, BlockId::number(block)).await;
        count.is_ok_and(|count| count > self.origin.views().bridge.count_at(block))
    }

    fn rescan(&mut self) {
        if self.state.rescanned.is_none_or(|at| at.elapsed() > RESCAN_PAUSE) {
            self.state.rescanned = Some(Instant::now());
            self.metrics.event("logs", "rescan");
            self.origin.read_again_above(0);
        }
    }

    /// Checkpoint: the root that covers `index`, accepted ones first because they need no signatures. Asks Kings where there is none.
    fn cover(&mut self, index: u32, tasks: &mut JoinSet<Done>) -> Option<Cover> {
        let accepted = self.destination.views().bridge.accepted_root(index);
        let origin = self.book.chain_id(self.origin.chain);
        let signed = || self.checkpoints.best(origin, index).map(|signed| Cover::Signed(Box::new(signed)));
        let cover = accepted.map(|(count, root)| Cover::Accepted { count, root }).or_else(signed);
        let Some(cover) = cover else {
            self.ask_kings(origin, index + 1, tasks);
            return None;
        };
        let own = self.origin.views().bridge.tree().root_at(cover.count());
        match own {
            Some(root) if root == cover.root() => Some(cover),
            // Messages that were signed are missing here, or are others.
            Some(_) => {
                self.rescan();
                None
            }
            None => None,
        }
    }

    /// Gossip may have missed us: Kings answer for what they signed.
    fn ask_kings(&mut self, origin: u64, from_count: u32, tasks: &mut JoinSet<Done>) {
        if self.state.is_asking || self.state.asked.is_some_and(|at| at.elapsed() < ASK_AFTER) {
            return;
        }
        (self.state.is_asking, self.state.asked) = (true, Some(Instant::now()));
        let peers = self.peers.clone();
        tasks.spawn(async move { Done::Asked(peers.checkpoints(origin, from_count).await) });
    }

    /// Build: the next batch that is worth its gas, stored with its messages before anything is sent.
    pub(super) async fn build(&mut self, tasks: &mut JoinSet<Done>) -> Result<Option<Built>, StoreError> {
        let now = unix_seconds();
        let first = self.state.tracked.iter().find(|(_, record)| record.is_ready(now)).map(|(index, _)| *index);
        let Some(cover) = first.and_then(|first| self.cover(first, tasks)) else { return Ok(None) };
        let ready: Vec<Ready> = self
            .state
            .tracked
            .iter()
            .filter(|(index, record)| record.is_ready(now) && **index < cover.count())
            .map(|(index, record)| Ready {
                index: *index,
                waited_seconds: now.saturating_sub(record.first_seen),
                fee_wei: self.fee_of(*index),
                is_alone: record.is_alone || record.attempts > 0,
            })
            .collect();
        let gas_price = if self.fee_wei == 0 { 0 } else { self.sender.chain().fee().await.map_or(u128::MAX, |fee| fee.max_per_gas_wei()) };
        let mut indices = self.batches.choose(&ready, gas_price);
        // One proof serves neighbours only.
        let run = indices.windows(2).take_while(|pair| pair[1] == pair[0] + 1).count() + 1;
        indices.truncate(run);
        if let [index] = indices[..]
            && !self.would_be_handled(index, &cover).await?
        {
            return Ok(None);
        }
        let (messages, call) = {
            let views = self.origin.views();
            let sent = views.bridge.sent();
            let messages: Vec<BridgeMessage> =
                indices.iter().filter_map(|index| Some(sent.get(*index as usize)?.message.clone())).collect();
            let call = encode(&cover, &messages, views.bridge.tree());
            (messages, call)
        };
        match call {
            Some(call) if !messages.is_empty() => self.store_built(indices, call).map(Some),
            _ => Ok(None),
        }
    }

    fn fee_of(&self, index: u32) -> u128 {
        let views = self.origin.views();
        let body = views.bridge.sent().get(index as usize).and_then(|sent| sent.message.decode_body());
        if matches!(body, Some(Body::WorkReport(report)) if report.isFinal) { self.fee_wei } else { 0 }
    }

    fn store_built(&mut self, indices: Vec<u32>, call: Vec<u8>) -> Result<Built, StoreError> {
        let records = self.records();
        let mut batch = Batch::default();
        let mut builds = 0u64;
        for index in &indices {
            if let Some(record) = self.state.tracked.get_mut(index) {
                record.stage = Stage::Sent;
                record.builds += 1;
                builds += u64::from(record.builds);
                records.put(&mut batch, [(*index, &*record)])?;
            }
        }
        let number = self.state.next_batch;
        self.state.next_batch += 1;
        let id = format!("deliver:{}:{}:{indices:?}:{builds}:{}", self.origin.chain, number, unix_seconds());
        let intent = Intent::call(id, "deliver", self.book.bridge(self.destination.chain).inbox, call);
        let built = Built { number, indices, intent };
        records.put_built(&mut batch, &built)?;
        self.store.commit(batch)?;
        Ok(built)
    }

    /// A message that its handler refused before is tried without paying first.
    async fn would_be_handled(&mut self, index: u32, cover: &Cover) -> Result<bool, StoreError> {
        let failed_before = self.state.tracked.get(&index).is_some_and(|record| record.attempts > 0);
        let Cover::Accepted { root, .. } = cover else { return Ok(true) };
        if !failed_before {
            return Ok(true);
        }
        let call = {
            let views = self.origin.views();
            views.bridge.sent().get(index as usize).and_then(|sent| encode(cover, std::slice::from_ref(&sent.message), views.bridge.tree()))
        };
        let Some(call) = call else { return Ok(true) };
        let request = TxRequest::call(self.book.bridge(self.destination.chain).inbox, call);
        let answer = self.sender.chain().simulate(self.sender.account(), &request, BlockId::latest()).await;
        // Whatever else it says, the sender finds out for itself.
        let handled = answer.ok().and_then(|output| Inbox::deliverCall::abi_decode_returns(&output).ok()).unwrap_or(true);
        if !handled {
            tracing::debug!(index, %root, "its handler would refuse it again");
            let mut batch = Batch::default();
            self.back_off(&mut batch, index, "the handler still refuses it")?;
            self.store.commit(batch)?;
        }
        Ok(handled)
    }

    /// Final: what the mined transaction did, by its events.
    pub(super) async fn book_mined(&mut self, built: &Built, mined: &Mined) -> Result<(), StoreError> {
        (self.state.failures, self.state.not_before) = (0, None);
        let delivered: Vec<u32> = mined.logs.iter().filter_map(|log| Some(log.decode::<Inbox::MessageDelivered>()?.index)).collect();
        let refused: Vec<(u32, String)> = mined
            .logs
            .iter()
            .filter_map(|log| log.decode::<Inbox::MessageFailed>())
            .map(|event| (event.index, decode_revert(&event.reason).unwrap_or_else(|| format!("handler reverted with {}", event.reason))))
            .collect();
        let cost_wei = u128::from(mined.gas_used).saturating_mul(mined.gas_price_wei) / built.indices.len().max(1) as u128;
        self.metrics.message_cost(self.destination.chain.name(), format_ether(cost_wei).parse().unwrap_or_default());
        tracing::info!(from = %self.origin.chain, indices = ?built.indices, delivered = delivered.len(), gas = mined.gas_used,
            cost = format_ether(cost_wei), tx = %mined.hash, "messages delivered");
        let (records, mut batch) = (self.records(), Batch::default());
        records.forget_built(&mut batch, built.number);
        for index in &built.indices {
            let reason = refused.iter().find(|(refused, _)| refused == index).map(|(_, reason)| reason.clone());
            if delivered.contains(index) {
                self.metrics.event("message", "delivered");
                self.state.awaited.insert(*index, mined.block_number);
                if let Some(mut record) = self.state.tracked.remove(index) {
                    (record.stage, record.transaction, record.cost_wei) = (Stage::Delivered, Some(mined.hash), cost_wei);
                    record.last_error = None;
                    records.put(&mut batch, [(*index, &record)])?;
                }
                self.forget_old(&mut batch, *index)?;
            } else if let Some(reason) = reason {
                tracing::warn!(index, reason, "a message's handler refused it");
                self.back_off(&mut batch, *index, &reason)?;
            } else {
                self.settle_unclear(&mut batch, *index, "the transaction did not touch it").await?;
            }
        }
        self.store.commit(batch)
    }

    /// One delivered message in, one old record out.
    fn forget_old(&self, batch: &mut Batch, newest: u32) -> Result<(), StoreError> {
        let records = self.records();
        let oldest = self.store.scan(&super::MESSAGES, Some(&(records.origin, 0)), 2)?;
        for ((origin, index), record) in oldest {
            if origin == records.origin && record.stage == Stage::Delivered && Records::is_old(index, newest) {
                records.forget(batch, index);
            }
        }
        Ok(())
    }

    /// No event tells: either somebody else brought it, or it goes back to build.
    async fn settle_unclear(&mut self, batch: &mut Batch, index: u32, why: &str) -> Result<(), StoreError> {
        let inbox = self.book.bridge(self.destination.chain).inbox;
        let chain = self.sender.chain();
        let is_delivered = chain.call(inbox, Inbox::deliveredCall { index }, BlockId::latest()).await;
        match is_delivered {
            Ok(true) => {
                self.metrics.event("message", "delivered_by_others");
                let head = chain.head().await.map_or(u64::MAX, |head| head.number);
                self.state.awaited.insert(index, head);
                self.state.tracked.remove(&index);
                self.records().forget(batch, index);
                Ok(())
            }
            Ok(false) => self.back_off(batch, index, why),
            Err(_) => self.wait_again(batch, index),
        }
    }

    fn wait_again(&mut self, batch: &mut Batch, index: u32) -> Result<(), StoreError> {
        let records = self.records();
        if let Some(record) = self.state.tracked.get_mut(&index) {
            record.stage = Stage::Waiting;
            records.put(batch, [(index, &*record)])?;
        }
        Ok(())
    }

    /// Include failed: who is to blame decides who waits.
    pub(super) async fn book_failed(&mut self, built: &Built, error: &SendError) -> Result<(), StoreError> {
        let trouble = judge(error);
        if trouble == Trouble::Stopped {
            // The next run goes on with it.
            return Ok(());
        }
        tracing::warn!(from = %self.origin.chain, indices = ?built.indices, %error, "delivery failed");
        self.metrics.event("message", "failed");
        let (records, mut batch) = (self.records(), Batch::default());
        records.forget_built(&mut batch, built.number);
        for index in &built.indices {
            match &trouble {
                Trouble::AlreadyDelivered => self.settle_unclear(&mut batch, *index, "somebody was said to be faster").await?,
                Trouble::Message(reason) if built.indices.len() == 1 => self.back_off(&mut batch, *index, reason)?,
                Trouble::Message(_) => {
                    // One of them spoils the batch: each goes alone, and only that one fails again.
                    if let Some(record) = self.state.tracked.get_mut(index) {
                        record.is_alone = true;
                    }
                    self.wait_again(&mut batch, *index)?;
                }
                _ => self.wait_again(&mut batch, *index)?,
            }
        }
        self.store.commit(batch)?;
        self.pause(&trouble);
        Ok(())
    }

    /// What is nobody's message's fault holds up the direction, not the messages.
    fn pause(&mut self, trouble: &Trouble) {
        let (alert, severity, text) = match trouble {
            Trouble::Funds(text) => ("low_gas", Severity::Critical, text),
            Trouble::Checkpoint(text) => ("checkpoint_refused", Severity::Warning, text),
            Trouble::Passing(text) => ("", Severity::Info, text),
            _ => return,
        };
        if !alert.is_empty() {
            self.alerts.raise(alert, severity, format!("relay {}", self.queue_name()), text.clone());
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.state.failures.min(8)).min(LONGEST_PAUSE);
        self.state.failures += 1;
        self.state.not_before = Some(Instant::now() + pause.mul_f64(rand::rng().random_range(0.75..1.25)));
    }

    /// This message's own fault: it waits longer each time, and in the end for a person.
    fn back_off(&mut self, batch: &mut Batch, index: u32, reason: &str) -> Result<(), StoreError> {
        let records = self.records();
        let origin = self.origin.chain;
        let Some(record) = self.state.tracked.get_mut(&index) else { return Ok(()) };
        record.attempts += 1;
        record.note_error(reason);
        record.stage = Stage::Waiting;
        record.not_before = unix_seconds() + retry::pause_after(record.attempts, rand::rng().random_range(0.0..1.0)).as_secs();
        if retry::is_dead(record.attempts) {
            record.stage = Stage::Dead;
            let attempts = record.attempts;
            let message = format!("message {index} of {origin} failed {attempts} times, last: {reason}; see `gpumkt relay messages`");
            self.alerts.raise("dead_letter", Severity::Warning, format!("{origin} {index}"), message);
        }
        records.put(batch, [(index, &*record)])
    }
}
