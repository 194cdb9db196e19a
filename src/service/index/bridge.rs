//! One chain's end of the bridge: messages sent from here, messages delivered here.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{primitives::B256, sol_types::SolEvent};

use crate::{
    chain::LogEntry,
    rules::tree::MessageTree,
    types::{
        abi::{Inbox, Outbox},
        bridge::BridgeMessage,
    },
};

/// Dropped branches that are remembered. Each holds all messages up to its end.
const MAX_DEAD: usize = 4;

/// A message with the place it was sent at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    pub message: BridgeMessage,
    pub block_number: u64,
    pub transaction: B256,
}

#[derive(Debug, Clone, Default)]
pub struct BridgeView {
    tree: MessageTree,
    sent: Vec<SentMessage>,
    /// Indices of the other chain's messages that were delivered here.
    delivered: BTreeSet<u32>,
    /// Roots of the other chain's Outbox accepted here, by count.
    accepted: BTreeMap<u32, B256>,
    has_gap: bool,
    dead: Vec<MessageTree>,
}

impl BridgeView {
    pub(super) fn apply(&mut self, log: &LogEntry, chain_id: u64) {
        match log.topics.first() {
            Some(topic) if *topic == Outbox::MessageDispatched::SIGNATURE_HASH => self.apply_sent(log, chain_id),
            Some(topic) if *topic == Inbox::MessageDelivered::SIGNATURE_HASH => {
                if let Some(event) = log.decode::<Inbox::MessageDelivered>() {
                    self.delivered.insert(event.index);
                }
            }
            Some(topic) if *topic == Inbox::CheckpointAccepted::SIGNATURE_HASH => {
                if let Some(event) = log.decode::<Inbox::CheckpointAccepted>() {
                    self.accepted.insert(event.count, event.root);
                }
            }
            Some(topic) if *topic == Inbox::RootsRevoked::SIGNATURE_HASH => {
                if let Some(event) = log.decode::<Inbox::RootsRevoked>() {
                    self.accepted.split_off(&event.forkCount.saturating_add(1));
                }
            }
            _ => {}
        }
    }

    fn apply_sent(&mut self, log: &LogEntry, chain_id: u64) {
        let Some(event) = log.decode::<Outbox::MessageDispatched>() else { return };
        if event.index != self.tree.count() {
            // Whoever needs the messages has the logs read again.
            tracing::error!(index = event.index, expected = self.tree.count(), "message index out of order");
            self.has_gap = true;
            return;
        }
        let message = BridgeMessage {
            index: event.index,
            origin: chain_id,
            sender: event.sender,
            destination: event.destination,
            recipient: event.recipient,
            body: event.body,
        };
        self.tree.push(message.leaf());
        self.sent.push(SentMessage { message, block_number: log.block_number, transaction: log.tx_hash });
    }

    pub fn tree(&self) -> &MessageTree {
        &self.tree
    }

    /// Logs are missing or invented: a message came out of order.
    pub fn has_gap(&self) -> bool {
        self.has_gap
    }

    pub fn sent(&self) -> &[SentMessage] {
        &self.sent
    }

    /// Messages sent up to and including `block`.
    pub fn count_at(&self, block: u64) -> u32 {
        u32::try_from(self.sent.partition_point(|sent| sent.block_number <= block)).unwrap_or(u32::MAX)
    }

    pub fn is_delivered(&self, index: u32) -> bool {
        self.delivered.contains(&index)
    }

    /// Messages under the newest root of the other chain's Outbox that was accepted here.
    pub fn newest_accepted(&self) -> Option<u32> {
        self.accepted.keys().next_back().copied()
    }

    /// Messages of the other chain that were delivered here.
    pub fn delivered_count(&self) -> u32 {
        u32::try_from(self.delivered.len()).unwrap_or(u32::MAX)
    }

    /// Messages under the newest accepted root that `origin` still has: where a recovery goes back to.
    pub fn newest_shared(&self, origin: &MessageTree) -> u32 {
        let shared = self.accepted.iter().rev().find(|(count, root)| origin.root_at(**count) == Some(**root));
        shared.map_or(0, |(count, _)| *count)
    }

    /// What a reorganisation took away, as long as it is remembered: trees that held other messages, or more.
    pub fn dead_trees(&self) -> &[MessageTree] {
        &self.dead
    }

    /// Keeps the tree of a branch that was just dropped: a King that signs both branches is convicted by what they hold.
    pub(super) fn remember(&mut self, before: Self) {
        self.dead = before.dead;
        if before.tree.count() > self.tree.count() {
            self.dead.push(before.tree);
            if self.dead.len() > MAX_DEAD {
                self.dead.remove(0);
            }
        }
    }

    /// An accepted root that covers `index`, the newest one, with its count.
    pub fn accepted_root(&self, index: u32) -> Option<(u32, B256)> {
        self.accepted.iter().next_back().filter(|(count, _)| **count > index).map(|(count, root)| (*count, *root))
    }
}
