//! What one peer may do to this node, and what happens when it does more.

use std::{num::NonZeroUsize, sync::Arc, time::Instant};

use libp2p::PeerId;
use lru::LruCache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Peers remembered. More than the connections a node can have, so that nobody outlives a grudge by reconnecting.
const MAX_PEERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);
/// Requests that all peers together may have open. Each may hold a response of 4 MiB.
const MAX_OPEN_REQUESTS: usize = 256;
/// Requests one peer may have open. Below 4 a Queen with several devices to start at one peer would wait.
const MAX_OPEN_PER_PEER: usize = 16;
/// Offences after which a peer is shut out.
const MAX_DEMERITS: u32 = 20;

/// Requests: sustained rate and burst.
const REQUESTS: Rate = Rate { per_second: 20.0, burst: 100.0 };
/// Gossip that one peer forwards, whoever wrote it.
const FORWARDS: Rate = Rate { per_second: 200.0, burst: 1000.0 };
/// Gossip that one peer wrote, whoever forwards it.
const WRITES: Rate = Rate { per_second: 10.0, burst: 100.0 };

#[derive(Clone, Copy)]
struct Rate {
    per_second: f64,
    burst: f64,
}

/// Token bucket.
struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: rate.burst, filled_at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate.per_second).min(self.rate.burst);
        self.filled_at = now;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

struct Conduct {
    requests: Bucket,
    forwards: Bucket,
    slots: Arc<Semaphore>,
    demerits: u32,
}

/// Slots of an open request; given back when it is answered.
pub(super) struct OpenRequest {
    _node: OwnedSemaphorePermit,
    _peer: OwnedSemaphorePermit,
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    Rate,
    Open,
}

impl Excess {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Excess::Rate => "too many requests per second",
            Excess::Open => "too many open requests",
        }
    }
}

/// Books about all peers.
pub(super) struct Limits {
    peers: LruCache<PeerId, Conduct>,
    writers: LruCache<PeerId, Bucket>,
    open: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { peers: LruCache::new(MAX_PEERS), writers: LruCache::new(MAX_PEERS), open: Arc::new(Semaphore::new(MAX_OPEN_REQUESTS)) }
    }
}

impl Limits {
    pub(super) fn request(&mut self, peer: PeerId, now: Instant) -> Result<OpenRequest, Excess> {
        let open = self.open.clone();
        let conduct = self.conduct(peer, now);
        if !conduct.requests.take(now) {
            return Err(Excess::Rate);
        }
        let of_peer = conduct.slots.clone().try_acquire_owned().map_err(|_| Excess::Open)?;
        let of_node = open.try_acquire_owned().map_err(|_| Excess::Open)?;
        Ok(OpenRequest { _node: of_node, _peer: of_peer })
    }

    pub(super) fn gossip(&mut self, forwarder: PeerId, writer: PeerId, now: Instant) -> bool {
        let forwarded = self.conduct(forwarder, now).forwards.take(now);
        forwarded && self.writers.get_or_insert_mut(writer, || Bucket::new(WRITES, now)).take(now)
    }

    /// Counts an offence; `Some` with the score that gossip gives the peer for it, and whether it is to be shut out.
    pub(super) fn offence(&mut self, peer: PeerId, now: Instant) -> (f64, bool) {
        let conduct = self.conduct(peer, now);
        conduct.demerits += 1;
        let shut_out = conduct.demerits >= MAX_DEMERITS;
        let score = -f64::from(conduct.demerits);
        if shut_out {
            conduct.demerits = 0;
        }
        (score, shut_out)
    }

    fn conduct(&mut self, peer: PeerId, now: Instant) -> &mut Conduct {
        self.peers.get_or_insert_mut(peer, || Conduct {
            requests: Bucket::new(REQUESTS, now),
            forwards: Bucket::new(FORWARDS, now),
            slots: Arc::new(Semaphore::new(MAX_OPEN_PER_PEER)),
            demerits: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_greedy_peer_is_limited_and_others_are_not() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let (greedy, modest) = (PeerId::random(), PeerId::random());
        let mut held = Vec::new();
        for _ in 0..MAX_OPEN_PER_PEER {
            held.push(limits.request(greedy, now).ok().unwrap());
        }
        assert_eq!(limits.request(greedy, now).err(), Some(Excess::Open));
        assert!(limits.request(modest, now).is_ok());
        held.clear();
        let granted = (0..200).filter(|_| limits.request(greedy, now).is_ok()).count();
        assert_eq!(granted, 100 - MAX_OPEN_PER_PEER - 1, "the refused one cost a token as well");
        assert!(limits.request(greedy, now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_writer_is_limited_through_all_its_forwarders() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let writer = PeerId::random();
        let granted = (0..300).filter(|_| limits.gossip(PeerId::random(), writer, now)).count();
        assert_eq!(granted, 100);
        assert!(limits.gossip(PeerId::random(), PeerId::random(), now));
    }

    #[test]
    fn offenders_are_shut_out() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let peer = PeerId::random();
        let outcomes: Vec<bool> = (0..MAX_DEMERITS).map(|_| limits.offence(peer, now).1).collect();
        assert!(outcomes.last().is_some_and(|last| *last) && outcomes.iter().filter(|out| **out).count() == 1);
    }
}
