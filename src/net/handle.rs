//! How the rest of the node talks to the network.

use std::{sync::Arc, time::Duration};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, request_response::ResponseChannel};
use libp2p_stream::Control;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{
    InboundStreams, NetError, NetStream, Published, RelayGate, Responder, ValidationTicket, Verdict, limits::OpenRequest, streams,
};
use crate::types::wire::{GossipMessage, Request, Response, Topic};

/// Outgoing operations at a time; more wait. Each holds at most one response. A Queen times all its providers at once, and has one
/// operation under way for each of them.
const MAX_OPERATIONS: usize = 1024 + 256;
/// Time for a connection, over all addresses of a peer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// What only the event loop can do.
pub(super) enum Command {
    Publish { topic: Topic, bytes: Vec<u8>, reply: oneshot::Sender<Result<Published, NetError>> },
    Decide { ticket: ValidationTicket, verdict: Verdict },
    Request { peer: PeerId, addresses: Vec<Multiaddr>, request: Request, reply: oneshot::Sender<Result<Response, NetError>> },
    Respond { channel: ResponseChannel<Response>, response: Response, open: OpenRequest },
    Connect { peer: PeerId, addresses: Vec<Multiaddr>, reply: oneshot::Sender<Result<(), NetError>> },
    Accept { protocol: &'static str, reply: oneshot::Sender<Result<InboundStreams, NetError>> },
    Peers { reply: oneshot::Sender<Vec<PeerInfo>> },
    ChooseRelays { relays: Vec<Multiaddr>, reply: oneshot::Sender<Result<(), NetError>> },
    Block { peer: PeerId },
    Unblock { peer: PeerId },
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerInfo {
    pub peer: PeerId,
    /// The last measured one.
    pub round_trip: Option<Duration>,
    /// Standing in gossip: below zero is bad, below -80 the peer is not heard any more.
    pub score: Option<f64>,
    /// What it says it runs, printable and short.
    pub agent: Option<String>,
    /// Reached through a relay only.
    pub is_relayed: bool,
}

/// Where this node can be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Addresses bound on this machine.
    pub listen: Vec<Multiaddr>,
    /// Addresses that others are known to reach.
    pub external: Vec<Multiaddr>,
}

impl Addresses {
    /// Whether others reach this node without a relay.
    pub fn is_direct(&self) -> bool {
        self.external.iter().any(|address| !is_circuit(address))
    }

    /// Whether this node holds a reservation at `relay`.
    pub fn is_through(&self, relay: PeerId) -> bool {
        self.listen.iter().any(|address| is_circuit(address) && address.iter().any(|part| part == Protocol::P2p(relay)))
    }

    /// What to tell others: reachable addresses if there are any, bound ones otherwise.
    pub fn advertised(&self) -> &[Multiaddr] {
        if self.external.is_empty() { &self.listen } else { &self.external }
    }
}

/// Whether an address leads through a relay.
pub fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Something a peer did.
#[derive(Debug)]
pub enum NetEvent {
    /// A message held until [`NetHandle::decide`]. `source` wrote and signed it.
    Gossip {
        topic: Topic,
        source: PeerId,
        message: GossipMessage,
        ticket: ValidationTicket,
    },
    Request {
        peer: PeerId,
        request: Request,
        responder: Responder,
    },
    /// May be missed under overload; [`NetHandle::connected_peers`] tells the truth.
    PeerConnected {
        peer: PeerId,
    },
    /// May be missed under overload.
    PeerDisconnected {
        peer: PeerId,
    },
}

/// What peers did, in order.
#[derive(Debug)]
pub struct NetEvents {
    pub(super) receiver: mpsc::Receiver<NetEvent>,
}

impl NetEvents {
    /// `None` once the network has stopped.
    pub async fn next(&mut self) -> Option<NetEvent> {
        self.receiver.recv().await
    }
}

/// Cloneable access to the network of this node.
#[derive(Clone)]
pub struct NetHandle {
    local: PeerId,
    commands: mpsc::Sender<Command>,
    addresses: watch::Receiver<Addresses>,
    streams: Control,
    operations: Arc<Semaphore>,
    request_timeout: Duration,
    gate: RelayGate,
}

impl std::fmt::Debug for NetHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetHandle").field("local", &self.local).finish_non_exhaustive()
    }
}

impl NetHandle {
    pub(super) fn new(
        local: PeerId,
        commands: mpsc::Sender<Command>,
        addresses: watch::Receiver<Addresses>,
        streams: Control,
        request_timeout: Duration,
        gate: RelayGate,
    ) -> Self {
        Self { local, commands, addresses, streams, operations: Arc::new(Semaphore::new(MAX_OPERATIONS)), request_timeout, gate }
    }

    pub fn local_peer_id(&self) -> PeerId {
        self.local
    }

    /// Addresses bound so far.
    pub fn listen_addrs(&self) -> Vec<Multiaddr> {
        self.addresses.borrow().listen.clone()
    }

    /// Follows where this node can be found, so that its record can follow.
    pub fn addresses(&self) -> watch::Receiver<Addresses> {
        self.addresses.clone()
    }

    /// Publishes an own message; with nobody listening it waits a while.
    pub async fn publish(&self, message: &GossipMessage) -> Result<Published, NetError> {
        self.publish_bytes(message.topic(), message.encode().map_err(NetError::own)?).await
    }

    /// Publishes bytes that are already encoded.
    pub async fn publish_bytes(&self, topic: Topic, bytes: Vec<u8>) -> Result<Published, NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Publish { topic, bytes, reply }).await?;
        answer.await.map_err(|_| NetError::Stopped)?
    }

    /// Says what becomes of a held message.
    pub async fn decide(&self, ticket: ValidationTicket, verdict: Verdict) -> Result<(), NetError> {
        self.send(Command::Decide { ticket, verdict }).await
    }

    /// Asks `peer`; `addresses` help where it is not connected. A refusal comes back as [`NetError::Refused`].
    pub async fn request(&self, peer: PeerId, addresses: &[Multiaddr], request: Request) -> Result<Response, NetError> {
        let _operation = self.operation().await?;
        request.encode().map_err(NetError::own)?;
        let what = request.label();
        let (reply, answer) = oneshot::channel();
        self.send(Command::Request { peer, addresses: addresses.to_vec(), request, reply }).await?;
        let limit = self.request_timeout + CONNECT_TIMEOUT;
        let waited = tokio::time::timeout(limit, answer).await.map_err(|_| NetError::Timeout { peer, what: what.into() })?;
        match waited.map_err(|_| NetError::Stopped)?? {
            Response::Refused { code, reason } => Err(NetError::Refused { peer, code: code.into(), reason: reason.into() }),
            response => Ok(response),
        }
    }

    /// Makes sure that `peer` is connected.
    pub async fn connect(&self, peer: PeerId, addresses: &[Multiaddr]) -> Result<(), NetError> {
        let _operation = self.operation().await?;
        self.connect_unbounded(peer, addresses).await
    }

    async fn connect_unbounded(&self, peer: PeerId, addresses: &[Multiaddr]) -> Result<(), NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Connect { peer, addresses: addresses.to_vec(), reply }).await?;
        let waited = tokio::time::timeout(CONNECT_TIMEOUT, answer).await;
        waited.map_err(|_| NetError::Timeout { peer, what: "the call".into() })?.map_err(|_| NetError::Stopped)?
    }

    /// Time to `peer` and back: the last measured one, or one measured now over a connection that stands.
    pub async fn round_trip(&self, peer: PeerId, addresses: &[Multiaddr]) -> Result<Duration, NetError> {
        self.connect(peer, addresses).await?;
        let known = self.connected_peers().await?.into_iter().find(|info| info.peer == peer).and_then(|info| info.round_trip);
        if let Some(round_trip) = known {
            return Ok(round_trip);
        }
        let started = std::time::Instant::now();
        self.request(peer, &[], Request::Ping).await?;
        Ok(started.elapsed())
    }

    /// Opens a byte stream of `protocol`, connecting first where needed.
    pub async fn open_stream(&self, peer: PeerId, addresses: &[Multiaddr], protocol: &'static str) -> Result<NetStream, NetError> {
        let _operation = self.operation().await?;
        self.connect_unbounded(peer, addresses).await?;
        streams::open(&mut self.streams.clone(), peer, protocol).await
    }

    /// Accepts streams of `protocol` until the result is dropped.
    pub async fn accept_streams(&self, protocol: &'static str) -> Result<InboundStreams, NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Accept { protocol, reply }).await?;
        answer.await.map_err(|_| NetError::Stopped)?
    }

    pub async fn connected_peers(&self) -> Result<Vec<PeerInfo>, NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Peers { reply }).await?;
        answer.await.map_err(|_| NetError::Stopped)
    }

    /// Who may be reached through this node.
    pub fn relay_gate(&self) -> &RelayGate {
        &self.gate
    }

    /// Listens through exactly these relays from now on, besides those of the configuration. Each address ends in the relay's peer id.
    pub async fn choose_relays(&self, relays: Vec<Multiaddr>) -> Result<(), NetError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::ChooseRelays { relays, reply }).await?;
        answer.await.map_err(|_| NetError::Stopped)?
    }

    /// Disconnects `peer` and refuses it until [`NetHandle::unblock`].
    pub async fn block(&self, peer: PeerId) -> Result<(), NetError> {
        self.send(Command::Block { peer }).await
    }

    pub async fn unblock(&self, peer: PeerId) -> Result<(), NetError> {
        self.send(Command::Unblock { peer }).await
    }

    async fn operation(&self) -> Result<tokio::sync::SemaphorePermit<'_>, NetError> {
        self.operations.acquire().await.map_err(|_| NetError::Stopped)
    }

    async fn send(&self, command: Command) -> Result<(), NetError> {
        self.commands.send(command).await.map_err(|_| NetError::Stopped)
    }
}
