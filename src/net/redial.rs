//! Nodes that this one calls again for ever: those to join by and its relays.

use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId, core::transport::ListenerId, multiaddr::Protocol};
use rand::Rng;

use super::{NetError, config::peer_of};

/// First pause after a failed call. Smaller hammers a node that restarts.
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause. Larger leaves this node alone for long after an outage.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A connection that lasted this long was a success, so that the next pause is the first one again.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Relays chosen at a time.
const MAX_CHOSEN: usize = 4;

struct Backoff {
    next: Instant,
    pause: Duration,
}

impl Backoff {
    fn new(now: Instant) -> Self {
        Self { next: now, pause: MIN_PAUSE }
    }

    /// Whether it is time; books the next attempt.
    fn due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + self.pause.mul_f64(rand::rng().random_range(0.75..1.25));
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        true
    }

    fn reset(&mut self, now: Instant) {
        *self = Self::new(now);
    }
}

struct Target {
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    /// Only as long as it is a chosen relay.
    is_chosen: bool,
    backoff: Backoff,
    connected_at: Option<Instant>,
}

struct Reservation {
    address: Multiaddr,
    /// By the node, not by its configuration.
    is_chosen: bool,
    backoff: Backoff,
    listener: Option<ListenerId>,
}

/// Keeps the books; the event loop acts.
pub(super) struct Redial {
    targets: Vec<Target>,
    reservations: Vec<Reservation>,
}

impl Redial {
    pub(super) fn new(bootstrap: &[Multiaddr], relays: &[Multiaddr], now: Instant) -> Result<Self, NetError> {
        let mut targets: Vec<Target> = Vec::new();
        for address in bootstrap.iter().chain(relays) {
            let peer = peer_of(address)?;
            match targets.iter_mut().find(|target| target.peer == peer) {
                Some(target) => target.addresses.push(address.clone()),
                None => {
                    let addresses = vec![address.clone()];
                    targets.push(Target { peer, addresses, is_chosen: false, backoff: Backoff::new(now), connected_at: None });
                }
            }
        }
        let reservation = |address: &Multiaddr| Reservation {
            address: address.clone().with(Protocol::P2pCircuit),
            is_chosen: false,
            backoff: Backoff::new(now),
            listener: None,
        };
        Ok(Self { targets, reservations: relays.iter().map(reservation).collect() })
    }

    /// Replaces the relays that were chosen before by `relays`; answers the listeners of those that are given up.
    pub(super) fn choose_relays(&mut self, relays: &[Multiaddr], now: Instant) -> Result<Vec<ListenerId>, NetError> {
        let wanted =
            relays.iter().take(MAX_CHOSEN).map(|address| Ok((peer_of(address)?, address))).collect::<Result<Vec<_>, NetError>>()?;
        let circuit = |address: &Multiaddr| address.clone().with(Protocol::P2pCircuit);
        let is_wanted = |entry: &Reservation| !entry.is_chosen || wanted.iter().any(|(_, address)| circuit(address) == entry.address);
        let given_up = self.reservations.iter().filter(|entry| !is_wanted(entry)).filter_map(|entry| entry.listener).collect();
        self.reservations.retain(is_wanted);
        self.targets.retain(|target| !target.is_chosen || wanted.iter().any(|(peer, _)| *peer == target.peer));
        for (peer, address) in wanted {
            if !self.targets.iter().any(|target| target.peer == peer) {
                let addresses = vec![address.clone()];
                self.targets.push(Target { peer, addresses, is_chosen: true, backoff: Backoff::new(now), connected_at: None });
            }
            let address = circuit(address);
            if !self.reservations.iter().any(|entry| entry.address == address) {
                self.reservations.push(Reservation { address, is_chosen: true, backoff: Backoff::new(now), listener: None });
            }
        }
        Ok(given_up)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (PeerId, &[Multiaddr])> {
        self.targets.iter().map(|target| (target.peer, target.addresses.as_slice()))
    }

    /// Peers to call now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let missing = self.targets.iter_mut().filter(|target| target.connected_at.is_none());
        missing.filter_map(|target| target.backoff.due(now).then(|| (target.peer, target.addresses.clone()))).collect()
    }

    /// Circuit addresses to listen on now. The relay itself must be connected, or each attempt would call it a second time.
    pub(super) fn due_reservations(&mut self, now: Instant) -> Vec<Multiaddr> {
        let connected: Vec<PeerId> = self.targets.iter().filter(|target| target.connected_at.is_some()).map(|target| target.peer).collect();
        let is_ready = |address: &Multiaddr| address.iter().any(|part| matches!(part, Protocol::P2p(peer) if connected.contains(&peer)));
        let missing = self.reservations.iter_mut().filter(|entry| entry.listener.is_none() && is_ready(&entry.address));
        missing.filter_map(|entry| entry.backoff.due(now).then(|| entry.address.clone())).collect()
    }

    pub(super) fn reserved(&mut self, address: &Multiaddr, listener: ListenerId) {
        if let Some(entry) = self.reservations.iter_mut().find(|entry| entry.address == *address) {
            entry.listener = Some(listener);
        }
    }

    pub(super) fn listener_closed(&mut self, listener: ListenerId) {
        if let Some(entry) = self.reservations.iter_mut().find(|entry| entry.listener == Some(listener)) {
            entry.listener = None;
        }
    }

    pub(super) fn connected(&mut self, peer: PeerId, now: Instant) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.peer == peer) {
            target.connected_at.get_or_insert(now);
        }
    }

    pub(super) fn disconnected(&mut self, peer: PeerId, now: Instant) {
        let Some(target) = self.targets.iter_mut().find(|target| target.peer == peer) else { return };
        if target.connected_at.take().is_some_and(|since| now.saturating_duration_since(since) >= STABLE_AFTER) {
            target.backoff.reset(now);
        }
        for entry in &mut self.reservations {
            if entry.address.iter().any(|part| part == Protocol::P2p(peer)) {
                entry.backoff.reset(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_for_ever_with_growing_pauses() {
        let (peer, start) = (PeerId::random(), Instant::now());
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}").parse().unwrap();
        let mut redial = Redial::new(&[address], &[], start).unwrap();
        let mut calls = Vec::new();
        for tick in 0..4 * 600 {
            let now = start + Duration::from_millis(250 * tick);
            if !redial.due(now).is_empty() {
                calls.push(now);
            }
        }
        assert!((20..60).contains(&calls.len()), "{} calls in 10 minutes", calls.len());
        assert!(*calls.last().unwrap() > start + Duration::from_secs(540), "does not give up");

        redial.connected(peer, start);
        assert!(redial.due(start + Duration::from_secs(1_000)).is_empty());
        redial.disconnected(peer, start + Duration::from_secs(1_000));
        assert_eq!(redial.due(start + Duration::from_secs(1_000)).len(), 1, "a lost peer is called at once");
    }
}
