//! What the event loop does about each event of the swarm.

use std::time::Instant;

use libp2p::{
    Multiaddr, PeerId,
    gossipsub::{self, MessageAcceptance},
    identify, kad, mdns,
    metrics::Recorder,
    multiaddr::Protocol,
    ping, request_response,
    swarm::{ConnectionId, DialError, SwarmEvent, dial_opts::DialOpts},
};

use super::{
    Addresses, BAD_REQUEST_CODE, BUSY_CODE, NetError, NetEvent, Responder, ValidationTicket,
    behaviour::{self, NodeBehaviourEvent},
    event_loop::EventLoop,
    gossip::topic_of,
    request::outbound_error,
};
use crate::types::wire::{GossipMessage, Request, Response, WireError};

/// Addresses taken from what a peer says about itself.
const MAX_IDENTIFIED_ADDRESSES: usize = 8;
/// Addresses this node tells others about itself.
const MAX_OWN_ADDRESSES: usize = 32;

impl EventLoop {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<NodeBehaviourEvent>) {
        self.swarm_metrics.record(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, num_established, .. } => {
                self.acquaintances.connected(peer_id, connection_id, &endpoint);
                self.on_connected(peer_id, num_established.get() == 1);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                self.acquaintances.closed(peer_id, connection_id);
                if num_established > 0 {
                    return;
                }
                tracing::debug!(peer = %peer_id, cause = cause.map(|cause| cause.to_string()), "peer disconnected");
                self.on_disconnected(peer_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, connection_id, error } => self.on_dial_failed(peer_id, connection_id, &error),
            SwarmEvent::NewListenAddr { address, .. } => self.on_new_address(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                if self.config.local_network {
                    self.swarm.remove_external_address(&address);
                }
                self.publish_addresses();
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                if let Err(error) = reason {
                    tracing::warn!(%error, "a listener closed");
                }
                self.redial.listener_closed(listener_id);
                self.publish_addresses();
            }
            SwarmEvent::ExternalAddrConfirmed { .. } | SwarmEvent::ExternalAddrExpired { .. } => self.publish_addresses(),
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: NodeBehaviourEvent) {
        match event {
            NodeBehaviourEvent::Gossip(event) => {
                self.swarm_metrics.record(&event);
                self.on_gossip_event(event);
            }
            NodeBehaviourEvent::Requests(event) => self.on_request_event(event),
            NodeBehaviourEvent::Identify(event) => {
                self.swarm_metrics.record(&event);
                if let identify::Event::Received { peer_id, info, .. } = event {
                    self.on_identified(peer_id, info);
                }
            }
            NodeBehaviourEvent::Ping(event) => {
                self.swarm_metrics.record(&event);
                if let ping::Event { peer, result: Ok(round_trip), .. } = event
                    && self.swarm.is_connected(&peer)
                {
                    self.acquaintances.measured(peer, round_trip);
                }
            }
            NodeBehaviourEvent::Kad(event) => {
                self.swarm_metrics.record(&event);
                if let kad::Event::InboundRequest { request: kad::InboundRequest::PutRecord { source, .. } } = event {
                    tracing::debug!(peer = %source, "a record for the routing table's store was dropped");
                }
            }
            NodeBehaviourEvent::Mdns(mdns::Event::Discovered(found)) => self.on_discovered(found),
            NodeBehaviourEvent::RelayServer(event) => self.swarm_metrics.record(&event),
            NodeBehaviourEvent::Dcutr(event) => self.swarm_metrics.record(&event),
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, is_first: bool) {
        self.redial.connected(peer, Instant::now());
        let waiting: Vec<ConnectionId> =
            self.connects.iter().filter(|(_, (waiting, _))| *waiting == peer).map(|(connection, _)| *connection).collect();
        for connection in waiting {
            if let Some((_, reply)) = self.connects.remove(&connection) {
                let _ = reply.send(Ok(()));
            }
        }
        if is_first {
            self.metrics.event("net_peer", "connected");
            let _ = self.events.try_send(NetEvent::PeerConnected { peer });
        }
    }

    fn on_disconnected(&mut self, peer: PeerId) {
        self.redial.disconnected(peer, Instant::now());
        self.metrics.event("net_peer", "disconnected");
        let _ = self.events.try_send(NetEvent::PeerDisconnected { peer });
    }

    fn on_dial_failed(&mut self, peer: Option<PeerId>, connection: ConnectionId, error: &DialError) {
        let reason = dial_reason(error);
        if let Some((peer, reply)) = self.connects.remove(&connection) {
            let _ = reply.send(Err(NetError::Dial { peer, reason: reason.clone() }));
        }
        if let Some(peer) = peer {
            tracing::debug!(%peer, reason, "call failed");
            self.failed_dials.push(peer, reason);
        }
    }

    fn on_new_address(&mut self, address: Multiaddr) {
        tracing::info!(%address, "listening");
        let is_circuit = address.iter().any(|part| part == Protocol::P2pCircuit);
        if self.config.local_network && !is_circuit {
            self.swarm.add_external_address(address);
        }
        self.publish_addresses();
    }

    fn publish_addresses(&mut self) {
        let local = *self.swarm.local_peer_id();
        let with_peer = |address: &Multiaddr| address.clone().with_p2p(local).unwrap_or_else(|other| other);
        let now = Addresses {
            listen: self.swarm.listeners().take(MAX_OWN_ADDRESSES).map(with_peer).collect(),
            external: self.swarm.external_addresses().take(MAX_OWN_ADDRESSES).map(with_peer).collect(),
        };
        self.addresses.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }

    fn on_identified(&mut self, peer: PeerId, info: identify::Info) {
        self.acquaintances.identified(peer, &info.agent_version);
        if !behaviour::routes(&info.protocols) {
            return;
        }
        let local_network = self.config.local_network;
        let usable = info.listen_addrs.into_iter().filter(|address| behaviour::is_routable(address, local_network));
        for address in usable.take(MAX_IDENTIFIED_ADDRESSES) {
            self.swarm.behaviour_mut().kad.add_address(&peer, address);
        }
    }

    fn on_discovered(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        for (peer, address) in found.into_iter().take(MAX_IDENTIFIED_ADDRESSES) {
            self.swarm.behaviour_mut().kad.add_address(&peer, address.clone());
            // Already connected or already being called: nothing to do.
            let _ = self.swarm.dial(DialOpts::peer_id(peer).addresses(vec![address]).build());
        }
    }

    fn on_gossip_event(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let ticket = ValidationTicket { id: message_id, forwarder: propagation_source };
                self.on_gossip_message(ticket, message);
            }
            gossipsub::Event::Subscribed { .. } => self.flush_outbox(),
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "peer is slow");
                self.metrics.event("net_peer", "slow");
            }
            _ => {}
        }
    }

    fn on_gossip_message(&mut self, ticket: ValidationTicket, message: gossipsub::Message) {
        let (Some(topic), Some(source)) = (topic_of(&message.topic), message.source) else {
            return self.drop_gossip(&ticket, "unknown_topic", MessageAcceptance::Ignore);
        };
        if !self.limits.gossip(ticket.forwarder, source, Instant::now()) {
            return self.drop_gossip(&ticket, "limited", MessageAcceptance::Ignore);
        }
        let message = match GossipMessage::decode(topic, &message.data) {
            Ok(message) => message,
            Err(error) if error.is_innocent() => return self.drop_gossip(&ticket, "unknown_version", MessageAcceptance::Ignore),
            Err(error) => {
                tracing::debug!(topic = topic.label(), %source, forwarder = %ticket.forwarder, %error, "malformed gossip");
                return self.drop_gossip(&ticket, "malformed", MessageAcceptance::Reject);
            }
        };
        if let Ok(place) = self.events.try_reserve() {
            return place.send(NetEvent::Gossip { topic, source, message, ticket });
        }
        self.drop_gossip(&ticket, "overload", MessageAcceptance::Ignore);
    }

    fn drop_gossip(&mut self, ticket: &ValidationTicket, outcome: &str, acceptance: MessageAcceptance) {
        self.metrics.event("net_gossip", outcome);
        self.swarm.behaviour_mut().gossip.report_message_validation_result(&ticket.id, &ticket.forwarder, acceptance);
    }

    fn on_request_event(&mut self, event: request_response::Event<Result<Request, WireError>, Response>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request { request_id, request, channel } => {
                    self.open_inbound.insert(request_id);
                    match request {
                        Ok(request) => self.on_request(peer, request, channel),
                        Err(error) => self.on_bad_request(peer, &error, channel),
                    }
                }
                request_response::Message::Response { request_id, response } => {
                    if let Some((_, reply)) = self.requests.remove(&request_id) {
                        let _ = reply.send(Ok(response));
                    }
                }
            },
            request_response::Event::OutboundFailure { peer, request_id, error, .. } => {
                if let Some((what, reply)) = self.requests.remove(&request_id) {
                    let dialled = self.failed_dials.get(&peer).cloned();
                    let _ = reply.send(Err(outbound_error(peer, error, what, dialled)));
                }
            }
            request_response::Event::InboundFailure { request_id, .. } | request_response::Event::ResponseSent { request_id, .. } => {
                self.open_inbound.remove(&request_id);
            }
        }
    }

    fn on_request(&mut self, peer: PeerId, request: Request, channel: request_response::ResponseChannel<Response>) {
        let refusal = if self.is_closing {
            "this node is stopping"
        } else {
            match (self.limits.request(peer, Instant::now()), self.events.try_reserve()) {
                (Ok(_), _) if request == Request::Ping => {
                    let _ = self.swarm.behaviour_mut().requests.send_response(channel, Response::Pong);
                    return;
                }
                (Ok(open), Ok(place)) => {
                    self.metrics.event("net_request", request.label());
                    let responder = Responder::new(channel, open, self.command_sender.clone());
                    return place.send(NetEvent::Request { peer, request, responder });
                }
                (Err(excess), _) => excess.reason(),
                (_, Err(_)) => "this node is overloaded",
            }
        };
        self.metrics.event("net_request", "refused");
        let _ = self.swarm.behaviour_mut().requests.send_response(channel, Response::refused(BUSY_CODE, refusal));
    }

    fn on_bad_request(&mut self, peer: PeerId, error: &WireError, channel: request_response::ResponseChannel<Response>) {
        tracing::debug!(%peer, %error, "bad request");
        let _ = self.swarm.behaviour_mut().requests.send_response(channel, Response::refused(BAD_REQUEST_CODE, error));
        if error.is_innocent() {
            self.metrics.event("net_request", "unknown_version");
        } else {
            self.metrics.event("net_request", "malformed");
            self.on_offence(peer);
        }
    }
}

/// One line instead of a list of nested errors.
fn dial_reason(error: &DialError) -> String {
    match error {
        DialError::Transport(attempts) => {
            let mut lines: Vec<String> = attempts.iter().take(3).map(|(address, error)| format!("{address}: {error}")).collect();
            if attempts.len() > lines.len() {
                lines.push(format!("and {} more", attempts.len() - lines.len()));
            }
            lines.join("; ")
        }
        DialError::NoAddresses => "no address of it is known".into(),
        other => other.to_string(),
    }
}
