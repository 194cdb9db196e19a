//! What is known about connected peers.

use std::{collections::HashMap, time::Duration};

use libp2p::{PeerId, core::ConnectedPoint, swarm::ConnectionId};

/// Bytes of what a peer says it runs; the rest is cut off.
const MAX_AGENT_BYTES: usize = 64;

#[derive(Default)]
struct Acquaintance {
    round_trip: Option<Duration>,
    agent: Option<String>,
    /// Connections, and whether they lead through a relay. Bounded by the connections that one peer may have.
    paths: HashMap<ConnectionId, bool>,
}

/// Connected peers. Bounded by the connections that the node may have.
#[derive(Default)]
pub(super) struct Acquaintances {
    peers: HashMap<PeerId, Acquaintance>,
}

impl Acquaintances {
    pub(super) fn connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        self.peers.entry(peer).or_default().paths.insert(connection, endpoint.is_relayed());
    }

    pub(super) fn closed(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.paths.remove(&connection);
            if known.paths.is_empty() {
                self.peers.remove(&peer);
            }
        }
    }

    pub(super) fn measured(&mut self, peer: PeerId, round_trip: Duration) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.round_trip = Some(round_trip);
        }
    }

    /// What others say ends up in an operator's terminal: nothing but printable ASCII is kept.
    pub(super) fn identified(&mut self, peer: PeerId, agent: &str) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.agent = Some(agent.chars().filter(char::is_ascii_graphic).take(MAX_AGENT_BYTES).collect());
        }
    }

    pub(super) fn round_trip(&self, peer: &PeerId) -> Option<Duration> {
        self.peers.get(peer)?.round_trip
    }

    pub(super) fn agent(&self, peer: &PeerId) -> Option<String> {
        self.peers.get(peer)?.agent.clone()
    }

    /// Whether there is no path to the peer but through a relay.
    pub(super) fn is_relayed(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|known| known.paths.values().all(|is_relayed| *is_relayed))
    }
}

#[cfg(test)]
mod tests {
    use libp2p::{Multiaddr, core::Endpoint};

    use super::*;

    #[test]
    fn a_direct_path_ends_being_relayed_and_agents_are_cut_and_cleaned() {
        let (mut known, peer) = (Acquaintances::default(), PeerId::random());
        let listener = |text: &str| {
            let address: Multiaddr = text.parse().unwrap();
            ConnectedPoint::Dialer { address, role_override: Endpoint::Dialer, port_use: Default::default() }
        };
        let relay = PeerId::random();
        let (first, second) = (ConnectionId::new_unchecked(1), ConnectionId::new_unchecked(2));
        known.connected(peer, first, &listener(&format!("/ip4/1.2.3.4/tcp/1/p2p/{relay}/p2p-circuit/p2p/{peer}")));
        assert!(known.is_relayed(&peer));
        known.connected(peer, second, &listener("/ip4/1.2.3.5/tcp/1"));
        assert!(!known.is_relayed(&peer));
        known.identified(peer, &format!("\u{1b}[31mgpumkt/1{}", "x".repeat(100)));
        let agent = known.agent(&peer).unwrap();
        assert!(agent.starts_with("[31mgpumkt/1x") && agent.len() == MAX_AGENT_BYTES);
        known.closed(peer, first);
        known.closed(peer, second);
        assert!(known.agent(&peer).is_none() && !known.is_relayed(&peer));
        known.measured(peer, Duration::from_millis(1));
        assert_eq!(known.round_trip(&peer), None, "nothing is kept about strangers");
    }
}
