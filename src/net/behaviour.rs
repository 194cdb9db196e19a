//! The protocols of a node and how they are set up.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport, allow_block_list, autonat, connection_limits,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade},
    dcutr, dns, identify,
    identity::Keypair,
    kad, mdns, memory_connection_limits, noise, ping, quic, relay, request_response,
    swarm::{self, NetworkBehaviour, behaviour::toggle::Toggle},
    tcp, yamux,
};

use super::{
    NetConfig, NetError,
    gossip::{self, Gossip},
    request::WireCodec,
};
use crate::types::wire::REQUEST_PROTOCOL;

const IDENTIFY_PROTOCOL: &str = "/gpumkt/1";
const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/gpumkt/1/kad");
/// Time without any stream after which a connection is closed. Shorter makes Queens redial their providers for every challenge.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// Round trips are measured this often; receipts subtract them.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Request streams open on one connection at a time.
const MAX_REQUEST_STREAMS: usize = 32;
/// Connections to one peer: both sides may dial at once over two transports.
const MAX_PER_PEER: u32 = 4;
/// Connections being set up. Each costs a handshake.
const MAX_PENDING: u32 = 64;
/// Bytes of one relayed connection; 0 is no limit. Where no direct path is found, a renter's whole work runs through it: a model of
/// hundreds of GiB is copied in one piece, and at a limit the copy would die near its end. What a relay carries is bounded by the number
/// of circuits, and by whom it lets be reached ([`super::RelayGate`]).
const MAX_CIRCUIT_BYTES: u64 = 0;
/// The longest rental and a day: whoever cuts a circuit cuts the renter's terminal.
const MAX_CIRCUIT_DURATION: Duration = Duration::from_secs(31 * 24 * 3600);

#[derive(NetworkBehaviour)]
pub(super) struct NodeBehaviour {
    // Limits come first: a connection they deny never reaches the rest.
    pub(super) blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: Toggle<memory_connection_limits::Behaviour>,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) kad: kad::Behaviour<kad::store::MemoryStore>,
    pub(super) gossip: Gossip,
    pub(super) requests: request_response::Behaviour<WireCodec>,
    pub(super) streams: libp2p_stream::Behaviour,
    pub(super) relay_client: relay::client::Behaviour,
    pub(super) relay_server: Toggle<relay::Behaviour>,
    pub(super) dcutr: dcutr::Behaviour,
    pub(super) autonat_client: Toggle<autonat::v2::client::Behaviour>,
    pub(super) autonat_server: Toggle<autonat::v2::server::Behaviour>,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
}

/// Whether `protocols`, as a peer lists them, hold the routing protocol.
pub(super) fn routes(protocols: &[StreamProtocol]) -> bool {
    protocols.contains(&KAD_PROTOCOL)
}

/// Every layer of the transport is boxed: one concrete type per layer, or the compiler instantiates all below it again and again.
type Connections = Boxed<(PeerId, StreamMuxerBox)>;

pub(super) fn swarm(config: &NetConfig, identity: &Keypair) -> Result<Swarm<NodeBehaviour>, NetError> {
    let peer = identity.public().to_peer_id();
    let (relayed, relay_client) = relay::client::new(peer);
    let relayed = relayed.upgrade(upgrade::Version::V1Lazy).authenticate(encryption(identity)?).multiplex(yamux::Config::default()).boxed();
    let transport = either(relayed, with_names(identity)?);
    let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT);
    Ok(Swarm::new(transport, node_behaviour(config, identity, relay_client)?, peer, settings))
}

/// Without a resolver configuration the machine can still use numeric addresses.
fn with_names(identity: &Keypair) -> Result<Connections, NetError> {
    let resolving = match dns::tokio::Transport::system(direct(identity)?) {
        Ok(system) => system,
        Err(_) => dns::tokio::Transport::custom(direct(identity)?, dns::ResolverConfig::default(), dns::ResolverOpts::default()),
    };
    Ok(resolving.boxed())
}

fn direct(identity: &Keypair) -> Result<Connections, NetError> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(encryption(identity)?)
        .multiplex(yamux::Config::default())
        .boxed();
    let quic = quic::tokio::Transport::new(quic::Config::new(identity));
    Ok(either(tcp, quic.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection))).boxed()))
}

fn either(first: Connections, second: Connections) -> Connections {
    first.or_transport(second).map(|either, _| either.into_inner()).boxed()
}

fn encryption(identity: &Keypair) -> Result<noise::Config, NetError> {
    noise::Config::new(identity).map_err(|error| NetError::Setup { reason: error.to_string() })
}

fn node_behaviour(config: &NetConfig, identity: &Keypair, relay_client: relay::client::Behaviour) -> Result<NodeBehaviour, NetError> {
    let peer = identity.public().to_peer_id();
    let identify = identify::Config::new(IDENTIFY_PROTOCOL.into(), identity.public())
        .with_agent_version(concat!("gpumkt/", env!("CARGO_PKG_VERSION")).into())
        .with_push_listen_addr_updates(true);
    let requests =
        request_response::Config::default().with_request_timeout(config.request_timeout).with_max_concurrent_streams(MAX_REQUEST_STREAMS);
    let mdns = match config.mdns {
        true => Some(
            mdns::tokio::Behaviour::new(mdns::Config::default(), peer).map_err(|error| NetError::Setup { reason: error.to_string() })?,
        ),
        false => None,
    };
    // Where all share one network, nobody needs to be asked whether an address is reachable.
    let probe = !config.local_network;
    Ok(NodeBehaviour {
        blocked: allow_block_list::Behaviour::default(),
        limits: connection_limits::Behaviour::new(connection_limits(config)),
        memory: config.max_memory_bytes.map(memory_connection_limits::Behaviour::with_max_bytes).into(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL)),
        kad: routing(peer, config),
        gossip: gossip::behaviour(identity)?,
        requests: request_response::Behaviour::new(
            [(StreamProtocol::new(REQUEST_PROTOCOL), request_response::ProtocolSupport::Full)],
            requests,
        ),
        streams: libp2p_stream::Behaviour::new(),
        relay_client,
        relay_server: config.relay_server.then(|| relay::Behaviour::new(peer, relay_config(config))).into(),
        dcutr: dcutr::Behaviour::new(peer),
        autonat_client: probe.then(autonat::v2::client::Behaviour::default).into(),
        autonat_server: (probe && config.relay_server).then(autonat::v2::server::Behaviour::default).into(),
        mdns: mdns.into(),
    })
}

/// A quarter of the places is kept for calls of our own, so that strangers cannot cut a node off.
fn connection_limits(config: &NetConfig) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_established(Some(config.max_connections))
        .with_max_established_incoming(Some(config.max_connections - config.max_connections / 4))
        .with_max_established_per_peer(Some(MAX_PER_PEER))
        .with_max_pending_incoming(Some(MAX_PENDING))
        .with_max_pending_outgoing(Some(MAX_PENDING))
}

/// Kademlia only finds peers here: records of strangers are not stored.
fn routing(peer: PeerId, config: &NetConfig) -> kad::Behaviour<kad::store::MemoryStore> {
    let mut settings = kad::Config::new(KAD_PROTOCOL);
    settings.set_record_filtering(kad::StoreInserts::FilterBoth);
    settings.set_query_timeout(Duration::from_secs(30));
    let mut routing = kad::Behaviour::with_config(peer, kad::store::MemoryStore::new(peer), settings);
    if config.local_network {
        routing.set_mode(Some(kad::Mode::Server));
    }
    routing
}

fn relay_config(config: &NetConfig) -> relay::Config {
    let minute = Duration::from_secs(60);
    let per_peer = NonZeroU32::MIN.saturating_add(29);
    let mut relay = relay::Config {
        max_reservations: (config.max_connections / 2) as usize,
        max_circuits: (config.max_connections / 4) as usize,
        max_circuits_per_peer: 8,
        max_circuit_duration: MAX_CIRCUIT_DURATION,
        max_circuit_bytes: MAX_CIRCUIT_BYTES,
        ..relay::Config::default()
    };
    if config.local_network {
        // The limits per address would hit all nodes of the machine together.
        relay.reservation_rate_limiters.clear();
        relay.circuit_src_rate_limiters.clear();
        relay = relay.reservation_rate_per_peer(per_peer, minute).circuit_src_per_peer(per_peer, minute);
    }
    if let Some(gate) = config.relay_gate.clone() {
        relay.reservation_rate_limiters.insert(0, Box::new(move |peer: PeerId, _: &Multiaddr, _: Instant| gate.is_admitted(peer)));
    }
    relay
}

/// Whether others could use `address`: routing tables must not fill with what leads nowhere.
pub(super) fn is_routable(address: &Multiaddr, local_network: bool) -> bool {
    use libp2p::multiaddr::Protocol;
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => {
            !ip.is_unspecified() && (local_network || !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_multicast()))
        }
        Some(Protocol::Ip6(ip)) => {
            !ip.is_unspecified()
                && (local_network || !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast()))
        }
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)) => true,
        _ => false,
    }
}
