//! Gossip: topics, scores, and what waits until somebody listens.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use libp2p::{
    PeerId,
    gossipsub::{
        Behaviour, ConfigBuilder, IdentTopic, IdentityTransform, MessageAcceptance, MessageAuthenticity, MessageId, PeerScoreParams,
        PeerScoreThresholds, TopicHash, TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter, score_parameter_decay,
    },
    identity::Keypair,
};

use super::NetError;
use crate::types::wire::{MAX_GOSSIP_BYTES, Topic};

pub(super) type Gossip = Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

const HEARTBEAT: Duration = Duration::from_secs(1);
/// Heartbeats a message waits for its verdict. Shorter than a slow RPC endpoint's answer, and honest messages die.
const VALIDATION_HEARTBEATS: usize = 15;
/// Messages with the same author and number are taken once in this time. Readers must still bear repetitions.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// One frame holds several messages and control lists.
const MAX_FRAME_BYTES: usize = 16 * MAX_GOSSIP_BYTES;
/// An invalid message is remembered this long.
const MEMORY_OF_INVALID: Duration = Duration::from_secs(600);
/// Score of one invalid message; it grows with the square of their number. Four of them silence a peer.
const INVALID_WEIGHT: f64 = -10.0;
/// Messages that wait for a listener.
const MAX_WAITING: usize = 64;
/// After this long a waiting message is news no more; its content can be asked for by request.
const MAX_WAIT: Duration = Duration::from_secs(120);

pub(super) fn topic_hash(topic: Topic) -> TopicHash {
    IdentTopic::new(topic.name()).hash()
}

pub(super) fn topic_of(hash: &TopicHash) -> Option<Topic> {
    Topic::ALL.into_iter().find(|topic| topic_hash(*topic) == *hash)
}

pub(super) fn behaviour(identity: &Keypair) -> Result<Gossip, NetError> {
    let setup = |reason: String| NetError::Setup { reason };
    let config = ConfigBuilder::default()
        .heartbeat_interval(HEARTBEAT)
        .heartbeat_initial_delay(Duration::from_millis(200))
        .history_length(VALIDATION_HEARTBEATS)
        .validate_messages()
        .validation_mode(ValidationMode::Strict)
        .duplicate_cache_time(DUPLICATE_WINDOW)
        .max_transmit_size(MAX_FRAME_BYTES)
        .flood_publish(true)
        .build()
        .map_err(|error| setup(error.to_string()))?;
    let known: HashSet<TopicHash> = Topic::ALL.into_iter().map(topic_hash).collect();
    let authenticity = MessageAuthenticity::Signed(identity.clone());
    let mut gossip = Gossip::new_with_subscription_filter(authenticity, config, WhitelistSubscriptionFilter(known))
        .map_err(|error| setup(error.to_string()))?;
    gossip.with_peer_score(score_params(), PeerScoreThresholds::default()).map_err(setup)?;
    for topic in Topic::ALL {
        gossip.subscribe(&IdentTopic::new(topic.name())).map_err(|error| setup(error.to_string()))?;
    }
    Ok(gossip)
}

fn score_params() -> PeerScoreParams {
    let topic = TopicScoreParams {
        // Our topics are quiet: a peer that delivers little is no bad peer.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_weight: 0.01,
        time_in_mesh_cap: 300.0,
        first_message_deliveries_cap: 20.0,
        invalid_message_deliveries_weight: INVALID_WEIGHT,
        invalid_message_deliveries_decay: score_parameter_decay(MEMORY_OF_INVALID),
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: Topic::ALL.into_iter().map(|name| (topic_hash(name), topic.clone())).collect::<HashMap<_, _>>(),
        // Earned trust must not outweigh offences for long.
        topic_score_cap: 10.0,
        app_specific_weight: 1.0,
        // All nodes of a devnet share these addresses.
        ip_colocation_factor_whitelist: HashSet::from([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]),
        ..PeerScoreParams::default()
    }
}

/// What becomes of a held message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Accept,
    /// Drop it and hold it against the peer that forwarded it.
    Reject,
    /// Drop it and blame nobody.
    Ignore,
}

impl Verdict {
    /// Short name for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Accept => "accepted",
            Verdict::Reject => "rejected",
            Verdict::Ignore => "ignored",
        }
    }
}

impl From<Verdict> for MessageAcceptance {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Reject => MessageAcceptance::Reject,
            Verdict::Ignore => MessageAcceptance::Ignore,
        }
    }
}

/// Stands for a held message until [`super::NetHandle::decide`]. A ticket that is dropped lets the message lapse.
#[derive(Debug)]
pub struct ValidationTicket {
    pub(super) id: MessageId,
    pub(super) forwarder: PeerId,
}

/// What became of an own message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// On its way to at least one peer.
    Sent,
    /// Nobody listens yet; sent when somebody does.
    Waiting,
}

/// Own messages that nobody could take yet; the oldest gives way.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(Instant, Topic, Vec<u8>)>,
}

impl Outbox {
    pub(super) fn push(&mut self, topic: Topic, bytes: Vec<u8>, now: Instant) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((now, topic, bytes));
    }

    /// Everything still fresh, for another attempt; what fails again keeps its age with [`Outbox::put_back`].
    pub(super) fn take(&mut self, now: Instant) -> Vec<(Instant, Topic, Vec<u8>)> {
        self.waiting.drain(..).filter(|(since, _, _)| now.saturating_duration_since(*since) < MAX_WAIT).collect()
    }

    pub(super) fn put_back(&mut self, entry: (Instant, Topic, Vec<u8>)) {
        self.waiting.push_back(entry);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_messages_are_bounded_and_age() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for number in 0..100u8 {
            outbox.push(Topic::Records, vec![number], now);
        }
        assert_eq!(outbox.len(), MAX_WAITING);
        let fresh = outbox.take(now);
        assert_eq!(fresh.first().map(|entry| entry.2[0]), Some(36));
        fresh.into_iter().for_each(|entry| outbox.put_back(entry));
        assert!(outbox.take(now + MAX_WAIT).is_empty());
    }

    #[test]
    fn scores_are_valid_and_every_topic_is_known() {
        assert!(score_params().validate().is_ok());
        assert!(behaviour(&Keypair::generate_ed25519()).is_ok());
        assert!(Topic::ALL.into_iter().all(|topic| topic_of(&topic_hash(topic)) == Some(topic)));
        assert_eq!(topic_of(&TopicHash::from_raw("/gpumkt/2/records")), None);
    }
}
