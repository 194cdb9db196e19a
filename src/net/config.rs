//! What an operator chooses about the network.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use super::{NetError, RelayGate, behaviour::is_routable};
use crate::config::NetworkSection;

/// Time from sending a request to its answer. Below 30 s a provider's answer to a full challenge would be missed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Established connections. Each costs about 100 KiB; too few and a popular Queen turns providers away.
const MAX_CONNECTIONS: u32 = 512;

#[derive(Debug, Clone)]
pub struct NetConfig {
    /// Empty for nodes that only call others, such as renters.
    pub listen: Vec<Multiaddr>,
    /// Addresses that others can reach where they differ from `listen`.
    pub external: Vec<Multiaddr>,
    /// Nodes to join by; each ends in `/p2p/<peer id>` and is called again for ever.
    pub bootstrap: Vec<Multiaddr>,
    /// Relays through which this node listens when it is behind NAT; each ends in `/p2p/<peer id>`.
    pub relays: Vec<Multiaddr>,
    /// Finds peers on the local network; only for a devnet.
    pub mdns: bool,
    /// All nodes share one machine or one private network: listen addresses count as reachable.
    pub local_network: bool,
    /// Carries traffic for nodes behind NAT and probes others' reachability.
    pub relay_server: bool,
    /// Who may be reached through this node; everybody where left out.
    pub relay_gate: Option<RelayGate>,
    pub max_connections: u32,
    /// New connections are refused while the process holds more memory; `None` for nodes whose memory belongs to a device's work.
    pub max_memory_bytes: Option<usize>,
    pub request_timeout: Duration,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            external: Vec::new(),
            bootstrap: Vec::new(),
            relays: Vec::new(),
            mdns: false,
            local_network: false,
            relay_server: false,
            relay_gate: None,
            max_connections: MAX_CONNECTIONS,
            max_memory_bytes: None,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

impl NetConfig {
    /// What the configuration file says; the role adds the rest.
    pub fn from_section(section: &NetworkSection) -> Result<Self, NetError> {
        Ok(Self {
            listen: parse_addresses(&section.listen)?,
            external: parse_addresses(&section.external)?,
            bootstrap: parse_addresses(&section.bootstrap)?,
            relays: parse_addresses(&section.relays)?,
            mdns: section.mdns,
            ..Self::default()
        })
    }
}

/// Parses addresses from configuration or from a node record.
pub fn parse_addresses<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<Vec<Multiaddr>, NetError> {
    let parse = |text: &String| text.parse().map_err(|error: libp2p::multiaddr::Error| bad(text, error));
    texts.into_iter().map(parse).collect()
}

/// Addresses with peer ids out of text that others wrote: what is none, and what leads nowhere from here, is passed over.
pub fn announced_addresses(text: &str, local_network: bool) -> impl Iterator<Item = Multiaddr> + '_ {
    let parsed = text.split_whitespace().filter_map(|word| word.parse::<Multiaddr>().ok());
    parsed.filter(move |address| peer_of(address).is_ok() && is_routable(address, local_network))
}

/// The peer an address ends in, if it does.
pub fn peer_in(address: &Multiaddr) -> Option<PeerId> {
    peer_of(address).ok()
}

/// The address with `peer` at its end; one that ends in another is refused.
pub fn with_peer(address: &Multiaddr, peer: PeerId) -> Result<Multiaddr, NetError> {
    address.clone().with_p2p(peer).map_err(|address| bad(address, "it ends in another peer id than this node's"))
}

/// The peer an address ends in.
pub(super) fn peer_of(address: &Multiaddr) -> Result<PeerId, NetError> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Ok(peer),
        _ => Err(bad(address, "it does not end in /p2p/<peer id>")),
    }
}

fn bad(text: impl ToString, reason: impl ToString) -> NetError {
    NetError::BadAddress { text: text.to_string(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Coded;

    #[test]
    fn the_default_configuration_is_usable() {
        let config = NetConfig::from_section(&NetworkSection::default()).unwrap();
        assert_eq!(config.listen.len(), 2, "TCP and QUIC");
    }

    #[test]
    fn of_announced_text_only_what_leads_somewhere_counts() {
        let peer = PeerId::random();
        let (public, private) = (format!("/ip4/8.8.8.8/tcp/7700/p2p/{peer}"), format!("/ip4/127.0.0.1/tcp/7700/p2p/{peer}"));
        let text = format!("nonsense /ip4/8.8.8.8/tcp/1 \n{private}\t{public}  /p2p-circuit");
        let found = |local| announced_addresses(&text, local).map(|address| address.to_string()).collect::<Vec<_>>();
        assert_eq!(found(false), std::slice::from_ref(&public));
        assert_eq!(found(true), [private, public]);
        assert_eq!(announced_addresses("", true).count(), 0);
    }

    #[test]
    fn bad_addresses_are_named() {
        let error = parse_addresses(&["/ip4/127.0.0.1/tcp/1".to_string(), "127.0.0.1:7700".to_string()]).unwrap_err();
        assert_eq!(error.code(), "E-NET-002");
        assert!(error.to_string().contains("127.0.0.1:7700"));
        assert!(peer_of(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()).is_err());
    }
}
