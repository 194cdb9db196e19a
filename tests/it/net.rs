//! Real swarms on the loopback interface.

// The helpers of tests fail like tests do; clippy's exemption only knows the tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use alloy::primitives::{Address, B256, B512};
use gpumkt::{
    net::{
        Multiaddr, NetConfig, NetError, NetEvent, NetEvents, NetHandle, Network, PeerId, Published, RelayGate, ValidationTicket, Verdict,
    },
    task::{Service, Shutdown},
    telemetry::Metrics,
    types::{
        Coded,
        wire::{CheckpointData, CheckpointSignature, GossipMessage, Heartbeat, MAX_RESPONSE_BYTES, Request, Response, Topic, VERSION},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::timeout,
};

use crate::poll;

const DEADLINE: Duration = Duration::from_secs(30);
/// A request that the reader of the events must answer.
const RECORD: Request = Request::Record { account: None };
const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

struct Node {
    handle: NetHandle,
    events: NetEvents,
    metrics: Metrics,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

impl Node {
    fn start(seed: u8, config: NetConfig) -> Self {
        let metrics = Metrics::default();
        let (handle, events, mut event_loop) = Network::start(config, [seed; 32], metrics.clone()).unwrap();
        let shutdown = Shutdown::new();
        let running = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { event_loop.run(&shutdown).await.unwrap() }
        });
        Self { handle, events, metrics, shutdown, running }
    }

    fn peer(&self) -> PeerId {
        self.handle.local_peer_id()
    }

    /// The first bound address, with the peer id.
    async fn address(&self) -> Multiaddr {
        let mut addresses = self.handle.addresses();
        let bound = timeout(DEADLINE, addresses.wait_for(|addresses| !addresses.listen.is_empty())).await.unwrap().unwrap();
        bound.listen[0].clone()
    }

    async fn is_connected(&self, peer: PeerId) -> bool {
        self.handle.connected_peers().await.unwrap().iter().any(|info| info.peer == peer)
    }

    /// The next event of interest; connections are not.
    async fn next(&mut self) -> NetEvent {
        let interesting = async {
            loop {
                match self.events.next().await.expect("the network runs") {
                    NetEvent::PeerConnected { .. } | NetEvent::PeerDisconnected { .. } => {}
                    event => return event,
                }
            }
        };
        timeout(DEADLINE, interesting).await.expect("an event before the deadline")
    }

    async fn next_gossip(&mut self) -> (PeerId, GossipMessage, ValidationTicket) {
        match self.next().await {
            NetEvent::Gossip { source, message, ticket, .. } => (source, message, ticket),
            other => panic!("expected gossip, got {other:?}"),
        }
    }

    fn counted(&self, name: &str, outcome: &str) -> bool {
        self.metrics.encode().contains(&format!("gpumkt_events_total{{name=\"{name}\",outcome=\"{outcome}\"}}"))
    }

    async fn stop(self) {
        self.shutdown.intake.cancel();
        timeout(DEADLINE, self.running).await.unwrap().unwrap();
    }
}

fn config(bootstrap: &[Multiaddr]) -> NetConfig {
    NetConfig { listen: vec![LOOPBACK.parse().unwrap()], bootstrap: bootstrap.to_vec(), local_network: true, ..NetConfig::default() }
}

/// A node that nobody calls.
fn caller(bootstrap: &[Multiaddr]) -> NetConfig {
    NetConfig { listen: Vec::new(), bootstrap: bootstrap.to_vec(), local_network: true, ..NetConfig::default() }
}

async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    poll::until(what, DEADLINE, async || condition().await).await;
}

fn heartbeat(device_id: u64) -> GossipMessage {
    GossipMessage::Heartbeat(Heartbeat { device_id, load_permille: 1, temperature_celsius: Some(60), timestamp: 7 })
}

fn checkpoint(count: u32) -> GossipMessage {
    let checkpoint = CheckpointData {
        origin_chain_id: 61,
        outbox: Address::repeat_byte(1),
        set_epoch: 2,
        root: B256::repeat_byte(3),
        count,
        block_number: 5,
        block_hash: B256::repeat_byte(6),
        block_timestamp: 7,
    };
    GossipMessage::Checkpoint(CheckpointSignature { checkpoint, signer: Address::repeat_byte(8), signature: B512::repeat_byte(9) })
}

/// Answers every request of `node` until the test ends.
fn answer(mut node: Node, reply: impl Fn(&Request) -> Response + Send + 'static) -> (NetHandle, JoinHandle<()>) {
    let handle = node.handle.clone();
    let task = tokio::spawn(async move {
        while let Some(event) = node.events.next().await {
            if let NetEvent::Request { request, responder, .. } = event {
                responder.send(reply(&request)).await.unwrap();
            }
        }
    });
    (handle, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_find_each_other_through_one() {
    let hub = Node::start(1, config(&[]));
    let address = hub.address().await;
    let (a, b) = (Node::start(2, config(std::slice::from_ref(&address))), Node::start(3, config(&[address])));
    until("both know the hub", async || a.is_connected(hub.peer()).await && b.is_connected(hub.peer()).await).await;
    until("a knows b, which only the hub could tell", async || a.is_connected(b.peer()).await).await;
    until("the round trip is measured", async || {
        a.handle.connected_peers().await.unwrap().iter().any(|info| info.peer == hub.peer() && info.round_trip.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_is_forwarded_only_once_accepted() {
    let mut middle = Node::start(11, config(&[]));
    let address = middle.address().await;
    // Neither of the outer nodes listens, so everything goes through the middle.
    let author = Node::start(12, caller(std::slice::from_ref(&address)));
    let mut reader = Node::start(13, caller(&[address]));
    assert_eq!(author.handle.publish(&checkpoint(1)).await.unwrap(), Published::Waiting, "nobody listens yet");
    until("both are connected", async || middle.handle.connected_peers().await.unwrap().len() == 2).await;

    let (source, message, ticket) = middle.next_gossip().await;
    assert_eq!((source, message), (author.peer(), checkpoint(1)), "the waiting message was sent when somebody listened");
    middle.handle.decide(ticket, Verdict::Reject).await.unwrap();

    until("somebody listens", async || author.handle.publish(&heartbeat(2)).await.unwrap() == Published::Sent).await;
    let (_, message, ticket) = middle.next_gossip().await;
    assert_eq!(message, heartbeat(2));
    middle.handle.decide(ticket, Verdict::Ignore).await.unwrap();

    // Gossip promises nothing about a reader whose subscription is still on its way, so the author goes on until one message arrives.
    let publish = async {
        let mut ticks = poll::every(Duration::from_millis(200));
        for count in 3.. {
            ticks.tick().await;
            author.handle.publish(&checkpoint(count)).await.unwrap();
        }
    };
    let accept = async {
        loop {
            let (_, _, ticket) = middle.next_gossip().await;
            middle.handle.decide(ticket, Verdict::Accept).await.unwrap();
        }
    };
    let (source, message, _) = tokio::select! {
        received = reader.next_gossip() => received,
        () = publish => panic!("does not end"),
        () = accept => panic!("does not end"),
    };
    assert_eq!(source, author.peer());
    assert!(
        matches!(message, GossipMessage::Checkpoint(signed) if signed.checkpoint.count >= 3),
        "the first thing that arrives is an accepted message, got {message:?}"
    );
    assert!(middle.counted("net_gossip", "rejected") && middle.counted("net_gossip", "accepted"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_gossip_costs_its_sender_and_newer_versions_do_not() {
    let judge = Node::start(21, config(&[]));
    let address = judge.address().await;
    let sender = Node::start(22, caller(std::slice::from_ref(&address)));
    until("connected", async || judge.is_connected(sender.peer()).await).await;
    let score = async |peer: PeerId| {
        let peers = judge.handle.connected_peers().await.unwrap();
        peers.iter().find(|info| info.peer == peer).and_then(|info| info.score).unwrap_or_default()
    };

    sender.handle.publish_bytes(Topic::Records, vec![VERSION + 1, 1, 2, 3]).await.unwrap();
    until("unknown version counted", async || judge.counted("net_gossip", "unknown_version")).await;
    assert!(score(sender.peer()).await >= 0.0, "a newer version is no offence");
    assert!(!judge.counted("net_gossip", "malformed"));

    sender.handle.publish_bytes(Topic::Records, vec![VERSION, 1, 2, 3]).await.unwrap();
    until("malformed counted", async || judge.counted("net_gossip", "malformed")).await;
    until("sender penalised", async || score(sender.peer()).await < 0.0).await;

    let oversize = sender.handle.publish_bytes(Topic::Heartbeats(0), vec![VERSION; 100]).await.unwrap_err();
    assert_eq!(oversize.code(), "E-NET-007");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_refused_and_bounded() {
    let server = Node::start(31, config(&[]));
    let (address, peer) = (server.address().await, server.peer());
    let (_held, _task) = answer(server, |request| match request {
        Request::Openings { samples: 1, .. } => Response::Openings(vec![7; MAX_RESPONSE_BYTES - 64].into()),
        Request::Openings { .. } => Response::Openings(vec![7; MAX_RESPONSE_BYTES].into()),
        _ => Response::refused("E-TEST-001", "not today"),
    });
    let client = Node::start(32, caller(&[]));
    let ask = async |request| client.handle.request(peer, std::slice::from_ref(&address), request).await;
    let openings = |samples| Request::Openings { challenge_block: 1, device_id: 2, sample_seed: B256::ZERO, samples };

    assert_eq!(ask(Request::Ping).await.unwrap(), Response::Pong, "the request itself connected");
    match ask(Request::Record { account: None }).await.unwrap_err() {
        NetError::Refused { code, reason, .. } => assert_eq!((&*code, &*reason), ("E-TEST-001", "not today")),
        other => panic!("{other}"),
    }
    assert!(matches!(ask(openings(1)).await.unwrap(), Response::Openings(bytes) if bytes.len() == MAX_RESPONSE_BYTES - 64));
    assert!(matches!(ask(openings(2)).await.unwrap_err(), NetError::Refused { code, .. } if &*code == "E-NET-007"), "too large to send");
    assert_eq!(ask(openings(0)).await.unwrap_err().code(), "E-NET-016", "an invalid request does not leave the node");

    assert!(client.handle.round_trip(peer, &[]).await.unwrap() < Duration::from_secs(5));
    let nobody = client.handle.request(PeerId::random(), &[], Request::Ping).await.unwrap_err();
    assert_eq!(nobody.code(), "E-NET-004");
    let closed = client.handle.connect(PeerId::random(), &["/ip4/127.0.0.1/tcp/1".parse().unwrap()]).await.unwrap_err();
    assert_eq!(closed.code(), "E-NET-004");
    assert!(closed.is_transient());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_times_out_and_a_dropped_responder_refuses() {
    let mut server = Node::start(41, NetConfig { request_timeout: Duration::from_secs(2), ..config(&[]) });
    let (address, peer) = (server.address().await, server.peer());
    let client = Node::start(42, NetConfig { request_timeout: Duration::from_secs(1), ..caller(&[]) });
    client.handle.connect(peer, &[address]).await.unwrap();

    let (answer, event) = tokio::join!(client.handle.request(peer, &[], RECORD), server.next());
    let NetEvent::Request { responder, .. } = event else { panic!("expected a request") };
    assert_eq!(answer.unwrap_err().code(), "E-NET-005", "the responder is still held");
    until("the responder learns that nobody waits", async || !responder.is_wanted()).await;

    let dropped = async {
        if let NetEvent::Request { responder, .. } = server.next().await {
            drop(responder);
        }
    };
    let (answer, ()) = tokio::join!(client.handle.request(peer, &[], RECORD), dropped);
    assert!(matches!(answer.unwrap_err(), NetError::Refused { code, .. } if &*code == gpumkt::net::UNANSWERED_CODE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_requests_is_refused_not_queued() {
    let mut server = Node::start(51, config(&[]));
    let (address, peer) = (server.address().await, server.peer());
    let client = Node::start(52, caller(&[]));
    client.handle.connect(peer, &[address]).await.unwrap();
    let asked: Vec<_> = (0..24)
        .map(|_| {
            let handle = client.handle.clone();
            tokio::spawn(async move { handle.request(peer, &[], RECORD).await })
        })
        .collect();
    let mut held = Vec::new();
    for _ in 0..16 {
        match server.next().await {
            NetEvent::Request { responder, .. } => held.push(responder),
            other => panic!("{other:?}"),
        }
    }
    until("the rest is refused", async || asked.iter().filter(|task| task.is_finished()).count() == 8).await;
    for responder in held {
        responder.send(Response::Pong).await.unwrap();
    }
    let (mut answered, mut refused) = (0, 0);
    for task in asked {
        match timeout(DEADLINE, task).await.unwrap().unwrap() {
            Ok(Response::Pong) => answered += 1,
            Err(error) if error.is_transient() => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((answered, refused), (16, 8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_echo_a_mebibyte() {
    const ECHO: &str = "/gpumkt/test/echo";
    let server = Node::start(61, NetConfig { listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()], ..config(&[]) });
    let client = Node::start(62, caller(&[]));
    let (address, peer) = (server.address().await, server.peer());
    let none = client.handle.open_stream(peer, std::slice::from_ref(&address), ECHO).await.unwrap_err();
    assert_eq!(none.code(), "E-NET-008", "nobody accepts yet: {none}");

    let mut inbound = server.handle.accept_streams(ECHO).await.unwrap();
    assert_eq!(server.handle.accept_streams(ECHO).await.unwrap_err().code(), "E-NET-014");
    let echo = tokio::spawn(async move {
        while let Some((_, stream)) = inbound.next().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(stream);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
    });
    // Several at once: none may get lost although the acceptor takes one at a time.
    let streams = futures::future::join_all((0..8).map(|_| client.handle.open_stream(peer, &[], ECHO))).await;
    for (number, stream) in streams.into_iter().enumerate() {
        let (mut read, mut write) = tokio::io::split(stream.unwrap());
        let sent: Vec<u8> = (0..1usize << 20).map(|index| (index % 251 + number) as u8).collect();
        let mut received = Vec::new();
        let send = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        timeout(DEADLINE, async { tokio::join!(send, async { read.read_to_end(&mut received).await.unwrap() }) }).await.unwrap();
        assert!(received == sent);
    }
    echo.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_is_found_again() {
    let hub = Node::start(71, config(&[]));
    let (address, peer) = (hub.address().await, hub.peer());
    let node = Node::start(72, config(std::slice::from_ref(&address)));
    until("connected", async || node.is_connected(peer).await).await;
    hub.stop().await;
    until("the loss is noticed", async || !node.is_connected(peer).await).await;

    // Same identity, same port: what a restart looks like.
    let listen: Multiaddr = address.iter().take(2).collect();
    let hub = Node::start(71, NetConfig { listen: vec![listen], ..config(&[]) });
    assert_eq!(hub.peer(), peer);
    until("connected again", async || node.is_connected(peer).await).await;
    let (_held, _task) = answer(hub, |_| Response::Pong);
    assert_eq!(node.handle.request(peer, &[], Request::Ping).await.unwrap(), Response::Pong);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_port_and_bad_addresses_are_refused_with_their_code() {
    let first = Node::start(81, config(&[]));
    let listen: Multiaddr = first.address().await.iter().take(2).collect();
    let start = |config| Network::start(config, [82; 32], Metrics::default()).map(|_| ()).unwrap_err();
    let busy = start(NetConfig { listen: vec![listen.clone()], ..NetConfig::default() });
    assert_eq!(busy.code(), "E-NET-001");
    let port = listen.to_string().rsplit('/').next().unwrap().to_string();
    assert!(busy.to_string().contains(&port) && busy.next_step().contains(&port), "{busy}");
    assert_eq!(start(config(&[listen])).code(), "E-NET-002", "a node to join by needs a peer id");
    assert_eq!(start(NetConfig { listen: vec!["/ip4/203.0.113.9/tcp/7".parse().unwrap()], ..NetConfig::default() }).code(), "E-NET-003");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_peer_stays_out() {
    let hub = Node::start(91, config(&[]));
    let (address, peer) = (hub.address().await, hub.peer());
    let node = Node::start(92, caller(std::slice::from_ref(&address)));
    until("connected", async || hub.is_connected(node.peer()).await).await;
    hub.handle.block(node.peer()).await.unwrap();
    until("thrown out", async || !hub.is_connected(node.peer()).await).await;
    assert!(node.handle.request(peer, std::slice::from_ref(&address), Request::Ping).await.is_err());
    hub.handle.unblock(node.peer()).await.unwrap();
    until("let in again, by the redial alone", async || hub.is_connected(node.peer()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_behind_nat_is_reached_through_its_relay() {
    const ECHO: &str = "/gpumkt/test/echo";
    let relay = Node::start(101, NetConfig { relay_server: true, ..config(&[]) });
    let through = relay.address().await;
    let hidden = Node::start(102, NetConfig { relays: vec![through], ..caller(&[]) });
    let mut inbound = hidden.handle.accept_streams(ECHO).await.unwrap();
    let address = hidden.address().await;
    assert!(address.to_string().contains("p2p-circuit"), "{address}");
    let client = Node::start(103, caller(&[]));
    let mut stream = client.handle.open_stream(hidden.peer(), &[address], ECHO).await.unwrap();
    let (from, mut accepted) = timeout(DEADLINE, inbound.next()).await.unwrap().unwrap();
    assert_eq!(from, client.peer());
    stream.write_all(b"hello").await.unwrap();
    let mut received = [0; 5];
    timeout(DEADLINE, accepted.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(&received, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_keeps_sending_garbage_is_shut_out() {
    use futures::{AsyncWriteExt as _, StreamExt as _};
    use libp2p::{StreamProtocol, SwarmBuilder, noise, tcp, yamux};

    let server = Node::start(111, config(&[]));
    let address = server.address().await;
    // No node of ours can send such bytes, so this one is built by hand.
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(DEADLINE))
        .build();
    let (garbage, mut control) = (*swarm.local_peer_id(), swarm.behaviour().new_control());
    swarm.dial(address).unwrap();
    let running = tokio::spawn(async move { while swarm.next().await.is_some() {} });
    until("connected", async || server.is_connected(garbage).await).await;
    for _ in 0..20 {
        let mut stream = control.open_stream(server.peer(), StreamProtocol::new("/gpumkt/1/request")).await.unwrap();
        // The connection may be gone by the last ones.
        let _ = stream.write_all(&[VERSION, 200, 1]).await;
        let _ = stream.close().await;
    }
    until("shut out", async || !server.is_connected(garbage).await).await;
    assert!(server.counted("net_request", "malformed") && server.counted("net_peer", "shut_out"));
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_finishes_its_answers_and_takes_no_new_requests() {
    let mut server = Node::start(121, config(&[]));
    let (address, peer) = (server.address().await, server.peer());
    let client = Node::start(122, caller(&[]));
    client.handle.connect(peer, &[address]).await.unwrap();
    let first = tokio::spawn({
        let handle = client.handle.clone();
        async move { handle.request(peer, &[], RECORD).await }
    });
    let NetEvent::Request { responder, .. } = server.next().await else { panic!("expected a request") };
    server.shutdown.intake.cancel();
    let second = client.handle.request(peer, &[], RECORD).await.unwrap_err();
    assert!(second.is_transient(), "{second}");
    responder.send(Response::Record(None)).await.unwrap();
    assert_eq!(timeout(DEADLINE, first).await.unwrap().unwrap().unwrap(), Response::Record(None));
    timeout(DEADLINE, server.running).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_carries_for_those_it_has_admitted_and_a_node_can_change_its_relays() {
    let gate = RelayGate::default();
    let relay = |seed| Node::start(seed, NetConfig { relay_server: true, relay_gate: Some(gate.clone()), ..config(&[]) });
    let (first, second) = (relay(131), relay(132));
    let through = [first.address().await, second.address().await];
    let hidden = Node::start(133, caller(&[]));
    hidden.handle.choose_relays(vec![through[0].clone()]).await.unwrap();
    until("asked in vain", async || first.is_connected(hidden.peer()).await && hidden.is_connected(first.peer()).await).await;
    let mut addresses = hidden.handle.addresses();
    let refused = timeout(Duration::from_secs(2), addresses.wait_for(|addresses| addresses.is_through(first.peer()))).await.is_err();
    assert!(refused, "nobody has admitted it");

    gate.admit(hidden.peer());
    timeout(DEADLINE, addresses.wait_for(|addresses| addresses.is_through(first.peer()))).await.unwrap().unwrap();
    assert!(!addresses.borrow().is_direct());
    let client = Node::start(134, caller(&[]));
    let circuit = addresses.borrow().advertised()[0].clone();
    client.handle.connect(hidden.peer(), &[circuit]).await.unwrap();
    let info = client.handle.connected_peers().await.unwrap().into_iter().find(|info| info.peer == hidden.peer()).unwrap();
    assert!(info.is_relayed, "a node that listens nowhere is reached through its relay only");
    until("what it runs is told", async || {
        let peers = client.handle.connected_peers().await.unwrap();
        peers.iter().any(|info| info.agent.as_deref().is_some_and(|agent| agent.starts_with("gpumkt/")))
    })
    .await;

    hidden.handle.choose_relays(vec![through[1].clone()]).await.unwrap();
    let moved = addresses.wait_for(|addresses| addresses.is_through(second.peer()) && !addresses.is_through(first.peer()));
    timeout(DEADLINE, moved).await.unwrap().unwrap();
    let bad = hidden.handle.choose_relays(vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()]).await.unwrap_err();
    assert_eq!(bad.code(), "E-NET-002", "a relay needs a peer id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_gossip_is_dropped_and_others_are_still_heard() {
    let mut judge = Node::start(141, config(&[]));
    let address = judge.address().await;
    let (flooding, modest) = (Node::start(142, caller(std::slice::from_ref(&address))), Node::start(143, caller(&[address])));
    until("both are connected", async || judge.handle.connected_peers().await.unwrap().len() == 2).await;
    until("somebody listens", async || flooding.handle.publish(&checkpoint(0)).await.unwrap() == Published::Sent).await;
    for count in 1..400 {
        flooding.handle.publish(&checkpoint(count)).await.unwrap();
    }
    until("the flood is cut", async || judge.counted("net_gossip", "limited")).await;
    // Whoever floods spends an allowance of its own.
    let publish = async {
        let mut ticks = poll::every(Duration::from_millis(200));
        for count in 1_000.. {
            ticks.tick().await;
            modest.handle.publish(&checkpoint(count)).await.unwrap();
        }
    };
    let heard = async {
        loop {
            let (source, _, ticket) = judge.next_gossip().await;
            judge.handle.decide(ticket, Verdict::Ignore).await.unwrap();
            if source == modest.peer() {
                return;
            }
        }
    };
    tokio::select! {
        () = heard => {}
        () = publish => panic!("does not end"),
    }
}
