//! Real nodes on the loopback interface, all in this process: every protocol of a node, real TCP, real encryption.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, B512};
use gpumkt::{
    net::{Multiaddr, NetConfig, NetEvent, NetHandle, Network, Verdict},
    task::{Service, Shutdown},
    telemetry::Metrics,
    types::wire::{CheckpointData, CheckpointSignature, GossipMessage},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

/// Nodes that each one joins by.
const JOINS: usize = 3;
/// Connections of each node: with the usual 512 all would know all, which needs more descriptors than one process often may have, and is
/// not how a network of thousands looks.
const CONNECTIONS: u32 = 64;
/// Messages whose way is timed, and the pause between two. All nodes share this machine's cores: in a shorter one, messages would wait for
/// those before them.
const MESSAGES: u32 = 40;
const PAUSE: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_secs(20);
const DELIVERED_WITHIN: Duration = Duration::from_secs(20);

struct Observed {
    published: Mutex<HashMap<u32, Instant>>,
    waits: Mutex<Vec<Duration>>,
    received: AtomicU64,
}

pub fn run(count: usize) -> Map<String, Value> {
    // Each node has a listener and a few connections, both ends of which are in this process.
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(count))
}

async fn measure(count: usize) -> Map<String, Value> {
    let observed = Arc::new(Observed { published: Mutex::default(), waits: Mutex::default(), received: AtomicU64::new(0) });
    let mut random = StdRng::seed_from_u64(1);
    let before_kib = memory_kib();
    let started = Instant::now();
    let shutdown = Shutdown::new();
    let mut nodes: Vec<(NetHandle, Multiaddr)> = Vec::new();
    for number in 0..count {
        let joins = (0..JOINS.min(nodes.len())).map(|_| nodes[random.random_range(0..nodes.len())].1.clone()).collect();
        nodes.push(start(number, joins, &observed, &shutdown).await);
    }
    let started_s = started.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let mut connections = Vec::new();
    for (handle, _) in &nodes {
        connections.push(handle.connected_peers().await.unwrap().len() as f64);
    }
    let grown_kib = memory_kib().saturating_sub(before_kib) as f64;
    let total: f64 = connections.iter().sum();
    let (cpu_before, idle) = (cpu_seconds(), Instant::now());
    tokio::time::sleep(IDLE).await;
    let idle_permille = (cpu_seconds() - cpu_before) / idle.elapsed().as_secs_f64() / count as f64 * 1_000.0;

    let cpu_before = cpu_seconds();
    for number in 0..MESSAGES {
        let (author, _) = &nodes[random.random_range(0..nodes.len())];
        observed.published.lock().unwrap().insert(number, Instant::now());
        author.publish(&checkpoint(number)).await.unwrap();
        tokio::time::sleep(PAUSE).await;
    }
    let expected = u64::from(MESSAGES) * (count as u64 - 1);
    let deadline = Instant::now() + DELIVERED_WITHIN;
    while observed.received.load(Ordering::Relaxed) < expected && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let gossip_cpu_us = (cpu_seconds() - cpu_before) / expected as f64 * 1_000_000.0;
    let mut waits = std::mem::take(&mut *observed.waits.lock().unwrap());
    waits.sort_unstable();
    let at = |share: f64| waits.get(((waits.len() as f64 - 1.0) * share) as usize).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1_000.0);
    shutdown.intake.cancel();
    shutdown.drain.cancel();
    let figures = json!({
        "nodes": count,
        "nodes_started_s": started_s,
        "connections_per_node": total / count as f64,
        "memory_per_node_kib": grown_kib / count as f64,
        "memory_per_peer_kib": grown_kib / total.max(1.0),
        "idle_cpu_per_node_permille": idle_permille,
        "gossip_delivered_share": observed.received.load(Ordering::Relaxed) as f64 / expected as f64,
        "gossip_p50_ms": at(0.5),
        "gossip_p99_ms": at(0.99),
        "gossip_max_ms": at(1.0),
        "gossip_cpu_per_delivery_us": gossip_cpu_us,
    });
    figures.as_object().unwrap().clone()
}

async fn start(number: usize, joins: Vec<Multiaddr>, observed: &Arc<Observed>, shutdown: &Shutdown) -> (NetHandle, Multiaddr) {
    let config = NetConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        bootstrap: joins,
        local_network: true,
        max_connections: CONNECTIONS,
        ..NetConfig::default()
    };
    let mut seed = [0u8; 32];
    seed[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
    let (handle, mut events, mut event_loop) = Network::start(config, seed, Metrics::default()).unwrap();
    let stop = shutdown.clone();
    tokio::spawn(async move { event_loop.run(&stop).await });
    let (observed, accepting) = (Arc::clone(observed), handle.clone());
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let NetEvent::Gossip { message, ticket, .. } = event else { continue };
            if let GossipMessage::Checkpoint(signed) = &message
                && let Some(since) = observed.published.lock().unwrap().get(&signed.checkpoint.count)
            {
                observed.waits.lock().unwrap().push(since.elapsed());
                observed.received.fetch_add(1, Ordering::Relaxed);
            }
            if accepting.decide(ticket, Verdict::Accept).await.is_err() {
                return;
            }
        }
    });
    let mut addresses = handle.addresses();
    let bound = addresses.wait_for(|addresses| !addresses.listen.is_empty()).await.unwrap().listen[0].clone();
    (handle, bound)
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

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// Processor time of all threads.
fn cpu_seconds() -> f64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}
