//! The owner of the swarm: takes commands, hands up what peers do, keeps connections alive.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, SelectAll},
};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    gossipsub::{IdentTopic, PublishError},
    identity::Keypair,
    metrics::Metrics as SwarmMetrics,
    request_response::{InboundRequestId, OutboundRequestId},
    swarm::{
        ConnectionId,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use lru::LruCache;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Addresses, NetConfig, NetError, NetEvent, NetEvents, NetHandle, PeerInfo, Published, ValidationTicket, Verdict,
    acquaintance::Acquaintances,
    behaviour::{self, NodeBehaviour},
    config::peer_of,
    gossip::Outbox,
    handle::Command,
    limits::Limits,
    listen::check_free,
    redial::Redial,
    streams::{self, Arrival},
};
use crate::{
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::wire::{Response, Topic, WireError},
};

/// Commands waiting for the event loop; callers wait beyond.
const MAX_COMMANDS: usize = 256;
/// Events waiting for their reader; beyond, requests are refused and gossip is dropped.
const MAX_EVENTS: usize = 1024;
/// How often connections and waiting messages are looked after.
const UPKEEP: Duration = Duration::from_millis(250);
/// Time for answers that are on their way when the node stops.
const FAREWELL: Duration = Duration::from_secs(3);
/// An answer that was written is still on its way through buffers on both sides, and nobody acknowledges it: closing at once loses it.
const LINGER: Duration = Duration::from_millis(200);
/// How long an offender is shut out.
const SHUT_OUT: Duration = Duration::from_secs(600);
/// Peers shut out at a time; the one longest ago comes back first.
const MAX_BLOCKED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// Failed calls remembered for error messages.
const MAX_FAILED_DIALS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);
/// Streams being handed over at a time.
const MAX_HAND_OVERS: usize = 128;

pub(super) type Reply<T> = oneshot::Sender<Result<T, NetError>>;

/// Constructs the network of a node.
pub struct Network;

impl Network {
    /// Binds all listen addresses. Nothing happens on them before the event loop runs.
    ///
    /// Must be called inside a tokio runtime. `identity_seed` is the ed25519 secret of the node.
    pub fn start(config: NetConfig, mut identity_seed: [u8; 32], metrics: Metrics) -> Result<(NetHandle, NetEvents, EventLoop), NetError> {
        // Clears the copy that was passed in as well.
        let identity = Keypair::ed25519_from_bytes(&mut identity_seed).map_err(|error| NetError::Setup { reason: error.to_string() })?;
        let redial = Redial::new(&config.bootstrap, &config.relays, Instant::now())?;
        let mut swarm = behaviour::swarm(&config, &identity)?;
        listen(&mut swarm, &config)?;
        for (peer, addresses) in redial.peers() {
            swarm.behaviour_mut().limits.bypass_peer_id(&peer);
            for address in addresses {
                swarm.behaviour_mut().kad.add_address(&peer, address.clone());
            }
        }
        let swarm_metrics = metrics.with_registry(SwarmMetrics::new);
        let (command_sender, commands) = mpsc::channel(MAX_COMMANDS);
        let (events, receiver) = mpsc::channel(MAX_EVENTS);
        let (addresses, watched) = watch::channel(Addresses::default());
        let control = swarm.behaviour().streams.new_control();
        let gate = config.relay_gate.clone().unwrap_or_default();
        let handle = NetHandle::new(*swarm.local_peer_id(), command_sender.clone(), watched, control, config.request_timeout, gate);
        let event_loop = EventLoop {
            swarm,
            config,
            metrics,
            swarm_metrics,
            commands,
            command_sender,
            events,
            addresses,
            redial,
            limits: Limits::default(),
            outbox: Outbox::default(),
            requests: HashMap::new(),
            connects: HashMap::new(),
            open_inbound: HashSet::new(),
            arrivals: SelectAll::new(),
            hand_overs: FuturesUnordered::new(),
            acquaintances: Acquaintances::default(),
            failed_dials: LruCache::new(MAX_FAILED_DIALS),
            blocked: LruCache::new(MAX_BLOCKED),
            is_closing: false,
        };
        Ok((handle, NetEvents { receiver }, event_loop))
    }
}

fn listen(swarm: &mut Swarm<NodeBehaviour>, config: &NetConfig) -> Result<(), NetError> {
    for address in &config.listen {
        check_free(address)?;
        let failed = |error: libp2p::TransportError<_>| NetError::Listen { address: address.clone(), reason: error.to_string() };
        swarm.listen_on(address.clone()).map_err(failed)?;
    }
    for address in &config.external {
        swarm.add_external_address(address.clone());
    }
    Ok(())
}

/// Runs the network until shutdown.
pub struct EventLoop {
    pub(super) swarm: Swarm<NodeBehaviour>,
    pub(super) config: NetConfig,
    pub(super) metrics: Metrics,
    pub(super) swarm_metrics: SwarmMetrics,
    commands: mpsc::Receiver<Command>,
    pub(super) command_sender: mpsc::Sender<Command>,
    pub(super) events: mpsc::Sender<NetEvent>,
    pub(super) addresses: watch::Sender<Addresses>,
    pub(super) redial: Redial,
    pub(super) limits: Limits,
    outbox: Outbox,
    /// Own requests with the name of what they ask for. Bounded by the handle's operations, as are `connects`.
    pub(super) requests: HashMap<OutboundRequestId, (&'static str, Reply<Response>)>,
    pub(super) connects: HashMap<ConnectionId, (PeerId, Reply<()>)>,
    /// Requests of peers whose answer has not left yet. Bounded by `limits`.
    pub(super) open_inbound: HashSet<InboundRequestId>,
    arrivals: SelectAll<BoxStream<'static, Arrival>>,
    hand_overs: FuturesUnordered<BoxFuture<'static, bool>>,
    pub(super) acquaintances: Acquaintances,
    pub(super) failed_dials: LruCache<PeerId, String>,
    /// Until when; `None` is until somebody says otherwise.
    blocked: LruCache<PeerId, Option<Instant>>,
    pub(super) is_closing: bool,
}

#[async_trait::async_trait]
impl Service for EventLoop {
    fn name(&self) -> &'static str {
        "network"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut upkeep = tokio::time::interval(UPKEEP);
        upkeep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !shutdown.intake.is_cancelled() {
            tokio::select! {
                () = shutdown.intake.cancelled() => {}
                _ = upkeep.tick() => self.upkeep(),
                () = self.step() => {}
            }
        }
        self.say_farewell(shutdown).await;
        Ok(())
    }
}

impl EventLoop {
    async fn step(&mut self) {
        tokio::select! {
            event = self.swarm.select_next_some() => self.on_swarm_event(event),
            Some(command) = self.commands.recv() => self.on_command(command),
            Some(arrival) = self.arrivals.next(), if !self.arrivals.is_empty() => self.on_arrival(arrival),
            Some(handed) = self.hand_overs.next(), if !self.hand_overs.is_empty() => {
                self.metrics.event("net_stream", if handed { "accepted" } else { "lost" });
            }
        }
    }

    /// Takes no new requests, lets the answers leave that somebody works on, then closes the connections.
    async fn say_farewell(&mut self, shutdown: &Shutdown) {
        self.is_closing = true;
        let drain = shutdown.drain.clone();
        let finish = async {
            while !self.open_inbound.is_empty() {
                self.step().await;
            }
            let lingered = tokio::time::sleep(LINGER);
            tokio::pin!(lingered);
            while !lingered.is_elapsed() {
                tokio::select! {
                    () = &mut lingered => {}
                    () = self.step() => {}
                }
            }
            let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
            for peer in connected {
                // Gone by itself meanwhile: just as well.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            while self.swarm.connected_peers().next().is_some() {
                self.step().await;
            }
        };
        tokio::select! {
            () = finish => {}
            () = drain.cancelled() => {}
            () = tokio::time::sleep(FAREWELL) => {}
        }
    }

    fn upkeep(&mut self) {
        let now = Instant::now();
        for (peer, addresses) in self.redial.due(now) {
            if !self.swarm.is_connected(&peer) {
                let options = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::DisconnectedAndNotDialing);
                // A refusal to dial now is as good as a failed dial: the next attempt is booked.
                let _ = self.swarm.dial(options.build());
            }
        }
        for address in self.redial.due_reservations(now) {
            match self.swarm.listen_on(address.clone()) {
                Ok(listener) => self.redial.reserved(&address, listener),
                Err(error) => tracing::warn!(%address, %error, "cannot listen through relay"),
            }
        }
        let expired: Vec<PeerId> =
            self.blocked.iter().filter(|(_, until)| until.is_some_and(|until| until <= now)).map(|(peer, _)| *peer).collect();
        for peer in expired {
            self.unblock(peer);
        }
        self.flush_outbox();
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish { topic, bytes, reply } => {
                let _ = reply.send(self.publish(topic, bytes));
            }
            Command::Decide { ticket, verdict } => self.decide(&ticket, verdict),
            Command::Request { peer, addresses, request, reply } => {
                let what = request.label();
                let id = self.swarm.behaviour_mut().requests.send_request_with_addresses(&peer, Ok(request), addresses);
                self.requests.insert(id, (what, reply));
            }
            Command::Respond { channel, response, open } => {
                self.metrics.event("net_response", response.label());
                // A peer that gave up waiting shows up as an inbound failure.
                let _ = self.swarm.behaviour_mut().requests.send_response(channel, response);
                drop(open);
            }
            Command::Connect { peer, addresses, reply } => self.connect(peer, addresses, reply),
            Command::Accept { protocol, reply } => {
                let mut control = self.swarm.behaviour().streams.new_control();
                let _ = reply.send(streams::accept(&mut control, protocol).map(|(inbound, arrivals)| {
                    self.arrivals.push(arrivals);
                    inbound
                }));
            }
            Command::Peers { reply } => {
                let _ = reply.send(self.peers());
            }
            Command::ChooseRelays { relays, reply } => {
                let _ = reply.send(self.choose_relays(&relays));
            }
            Command::Block { peer } => self.block(peer, None),
            Command::Unblock { peer } => self.unblock(peer),
        }
    }

    fn publish(&mut self, topic: Topic, bytes: Vec<u8>) -> Result<Published, NetError> {
        let (size, limit) = (bytes.len(), topic.max_bytes());
        if size > limit {
            return Err(NetError::own(WireError::Oversize { bytes: size, limit }));
        }
        match self.swarm.behaviour_mut().gossip.publish(IdentTopic::new(topic.name()), bytes.clone()) {
            Ok(_) => Ok(Published::Sent),
            Err(PublishError::NoPeersSubscribedToTopic | PublishError::AllQueuesFull(_)) => {
                self.outbox.push(topic, bytes, Instant::now());
                self.metrics.queue_length("net_outbox", self.outbox.len());
                Ok(Published::Waiting)
            }
            Err(error) => Err(NetError::Setup { reason: format!("a message cannot be published: {error}") }),
        }
    }

    pub(super) fn flush_outbox(&mut self) {
        if self.outbox.len() == 0 {
            return;
        }
        for (since, topic, bytes) in self.outbox.take(Instant::now()) {
            let published = self.swarm.behaviour_mut().gossip.publish(IdentTopic::new(topic.name()), bytes.clone());
            if let Err(PublishError::NoPeersSubscribedToTopic | PublishError::AllQueuesFull(_)) = published {
                self.outbox.put_back((since, topic, bytes));
            }
        }
        self.metrics.queue_length("net_outbox", self.outbox.len());
    }

    pub(super) fn decide(&mut self, ticket: &ValidationTicket, verdict: Verdict) {
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        let held = gossip.report_message_validation_result(&ticket.id, &ticket.forwarder, verdict.into());
        self.metrics.event("net_gossip", if held { verdict.label() } else { "lapsed" });
    }

    fn connect(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, reply: Reply<()>) {
        if self.swarm.is_connected(&peer) {
            let _ = reply.send(Ok(()));
            return;
        }
        let options =
            DialOpts::peer_id(peer).addresses(addresses).extend_addresses_through_behaviour().condition(PeerCondition::Always).build();
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.connects.insert(connection, (peer, reply));
            }
            Err(error) => {
                let _ = reply.send(Err(NetError::Dial { peer, reason: error.to_string() }));
            }
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        if self.hand_overs.len() < MAX_HAND_OVERS && !self.is_closing {
            self.hand_overs.push(streams::hand_over(arrival));
        } else {
            self.metrics.event("net_stream", "overload");
        }
    }

    fn peers(&self) -> Vec<PeerInfo> {
        let info = |peer: &PeerId| PeerInfo {
            peer: *peer,
            round_trip: self.acquaintances.round_trip(peer),
            agent: self.acquaintances.agent(peer),
            is_relayed: self.acquaintances.is_relayed(peer),
            score: self.swarm.behaviour().gossip.peer_score(peer),
        };
        self.swarm.connected_peers().map(info).collect()
    }

    /// Reservations at these relays are made as soon as they are connected; others that were chosen before are given up.
    fn choose_relays(&mut self, relays: &[Multiaddr]) -> Result<(), NetError> {
        for listener in self.redial.choose_relays(relays, Instant::now())? {
            self.swarm.remove_listener(listener);
        }
        for relay in relays {
            let peer = peer_of(relay)?;
            if self.swarm.is_connected(&peer) {
                self.redial.connected(peer, Instant::now());
            }
        }
        Ok(())
    }

    /// Counts an offence outside gossip, which keeps its own books.
    pub(super) fn on_offence(&mut self, peer: PeerId) {
        let (score, shut_out) = self.limits.offence(peer, Instant::now());
        self.swarm.behaviour_mut().gossip.set_application_score(&peer, score);
        if shut_out {
            tracing::warn!(%peer, "peer is shut out: too many invalid messages");
            self.metrics.event("net_peer", "shut_out");
            self.block(peer, Some(Instant::now() + SHUT_OUT));
        }
    }

    fn block(&mut self, peer: PeerId, until: Option<Instant>) {
        self.swarm.behaviour_mut().blocked.block_peer(peer);
        if let Some((evicted, _)) = self.blocked.push(peer, until)
            && evicted != peer
        {
            self.swarm.behaviour_mut().blocked.unblock_peer(evicted);
        }
    }

    fn unblock(&mut self, peer: PeerId) {
        self.blocked.pop(&peer);
        self.swarm.behaviour_mut().blocked.unblock_peer(peer);
    }
}
