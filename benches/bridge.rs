//! Throughput and latency of the bridge, on private chains: a King set of each size, messages both ways, one relay. Prints one JSON
//! object. Up to four Kings are processes of their own; of more, one process holds the other keys and signs what it reads from the chains.

// A bench fails as a test does.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, dead_code)]

#[path = "../tests/it/chaos/byzantine.rs"]
mod byzantine;
#[path = "../tests/it/clock.rs"]
mod clock;
#[path = "../tests/it/poll.rs"]
mod poll;
#[path = "../tests/it/scrape.rs"]
mod scrape;
#[path = "../tests/it/chaos/world.rs"]
mod world;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, B512, U256, hex},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolCall,
};
use gpumkt::{
    chain::BlockId,
    types::{
        ChainKind,
        abi::{Inbox, Outbox},
        signing::{Checkpoint, compact},
        wire::CheckpointSignature,
    },
};
use serde_json::{Map, json};

use self::{
    byzantine::Byzantine,
    world::{KINGS, MIN_DEPTH, STRIDE, World, until, until_within},
};

const SIZES: [usize; 3] = [1, 13, 21];
/// One node writes for all Kings beyond three. At this pace it stays below what others take of one writer, ten messages a second.
const BLOCK_MILLIS: u64 = 1_200;
/// Messages of a block of each chain while the flow is measured.
const FLOW: u32 = 10;
/// Calls an Outbox `n` times in one transaction: calldata is the address, `n`, and the call.
const REPEATER: &[u8] = &hex!("60298060095f395ff36040360360405f376020355b5f5f604036035f5f5f355af1156025576001900380600b57005b5f5ffd");
/// Messages of one such transaction, and its gas: more than a block of Ethereum Classic has, so the bench asks for larger blocks.
const REPEATED: u32 = 500;
const REPEATED_GAS: u64 = 30_000_000;
const FLOW_GAS: u64 = 2_000_000;
/// Reading everything may take long on a busy machine.
const LONG: Duration = Duration::from_secs(1_800);
/// No chain has this id: a message to it stays in the tree and is nobody's to deliver.
const NOWHERE: u64 = 7;

fn messages() -> usize {
    from_environment("GPUMKT_BENCH_MESSAGES").unwrap_or(600)
}

fn past_messages() -> usize {
    from_environment("GPUMKT_BENCH_PAST").unwrap_or(100_000)
}

fn from_environment(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::main]
async fn main() {
    let mut figures = Map::new();
    let only = from_environment("GPUMKT_BENCH_KINGS");
    for size in SIZES.into_iter().filter(|size| only.is_none_or(|only| only == *size)) {
        eprintln!("{size} Kings");
        let folder = tempfile::tempdir().unwrap();
        let extra: Vec<PrivateKeySigner> = (KINGS as usize..size).map(|_| PrivateKeySigner::random()).collect();
        let others: Vec<Address> = extra.iter().map(PrivateKeySigner::address).collect();
        let mut world = World::start_with(folder.path(), size.min(KINGS as usize), &others, BLOCK_MILLIS).await;
        measure(&mut world, extra, size, &mut figures).await;
    }
    let folder = tempfile::tempdir().unwrap();
    measure_catching_up(&mut World::start_with(folder.path(), 1, &[], BLOCK_MILLIS).await, &mut figures).await;
    println!("{}", serde_json::Value::Object(figures));
}

async fn measure(world: &mut World, extra: Vec<PrivateKeySigner>, size: usize, figures: &mut Map<String, serde_json::Value>) {
    let many = if extra.is_empty() {
        for number in 1..=size {
            world.start_node(&format!("king-{number}"), true).await;
        }
        None
    } else {
        world.start_kings(&["king-1", "king-2", "king-3"]).await;
        Some(Byzantine::start(world, "king-4").await)
    };
    world.start_node("relay-1", true).await;
    let mut repeaters = [Address::ZERO; 2];
    for origin in ChainKind::BOTH {
        repeaters[origin as usize] = world.create(origin, REPEATER).await;
    }
    // No more than a quorum takes, two thirds and one; three of it are processes, one is the writer's own.
    let others = &extra[..extra.len().min((size * 2 / 3 + 1).saturating_sub(KINGS as usize))];
    let shared: &World = world;
    let signing = async {
        match &many {
            Some(node) => sign_honestly(node, shared, others).await,
            None => std::future::pending().await,
        }
    };
    let run = async {
        shared.dispatch_both(1).await;
        shared.all_delivered("the first messages", [&[], &[]]).await;
        let cpu = usage(shared);
        let began = Instant::now();
        tokio::join!(flow(shared, ChainKind::Ethereum, &repeaters), flow(shared, ChainKind::Classic, &repeaters));
        shared.all_delivered("the measured messages", [&[], &[]]).await;
        (cpu, began.elapsed().as_secs_f64())
    };
    let (cpu, seconds) = tokio::select! {
        done = run => done,
        () = signing => unreachable!("it signs for ever"),
    };
    let key = |name: &str| format!("bridge_{size}_kings_{name}");
    for (node, used) in usage(world) {
        let role = node.split('-').next().unwrap_or_default();
        if node.ends_with("-1") {
            let share = (used.cpu_seconds - cpu.get(&node).map_or(0.0, |before| before.cpu_seconds)) / seconds;
            figures.insert(key(&format!("{role}_cpu_cores")), json!(share));
            figures.insert(key(&format!("{role}_rss_mib")), json!(used.rss_mib));
        }
    }
    figures.insert(key("messages_per_second"), json!(2.0 * messages() as f64 / seconds));
    for origin in ChainKind::BOTH {
        let mut latencies = latencies(world, origin).await;
        latencies.sort_by(f64::total_cmp);
        figures.insert(key(&format!("from_{origin}_latency_median_s")), json!(latencies[latencies.len() / 2]));
        figures.insert(key(&format!("from_{origin}_latency_max_s")), json!(latencies.last()));
    }
    world.kill("relay-1");
    std::fs::remove_dir_all(world.folder.join("relay-1")).unwrap();
    let began = Instant::now();
    world.start_node("relay-1", true).await;
    for origin in ChainKind::BOTH {
        let count = f64::from(world.count(origin).await);
        let series = format!("gpumkt_bridge_count{{origin=\"{origin}\",stage=\"delivered\"}}");
        until("a relay that has caught up", async || (world.metric("relay-1", &series).await >= count).then_some(())).await;
    }
    figures.insert(key("relay_caught_up_s"), json!(began.elapsed().as_secs_f64()));
}

/// As many messages to a counter on the other side as are measured, several in each block.
async fn flow(world: &World, origin: ChainKind, repeaters: &[Address; 2]) {
    let target = world.count(origin).await + messages() as u32;
    while world.count(origin).await < target {
        let times = FLOW.min(target - world.count(origin).await);
        let (destination, recipient) = (world.chains.of(origin.other()).chain_id(), world.counters[origin.other() as usize]);
        let call = Outbox::dispatchCall { destination, recipient, body: vec![1; 64].into() };
        repeat(world, origin, repeaters[origin as usize], times, call, FLOW_GAS).await;
    }
}

async fn repeat(world: &World, origin: ChainKind, repeater: Address, times: u32, call: Outbox::dispatchCall, gas: u64) {
    let outbox = world.book.bridge(origin).outbox;
    let data = [outbox.into_word().to_vec(), B256::from(U256::from(times)).to_vec(), call.abi_encode()].concat();
    world.transact_with(origin, Some(repeater), data.into(), gas).await;
}

/// A King and a relay that start with nothing, and a King that starts again, on a chain that has sent many messages.
async fn measure_catching_up(world: &mut World, figures: &mut Map<String, serde_json::Value>) {
    let origin = ChainKind::Classic;
    let repeater = world.create(origin, REPEATER).await;
    let call = Outbox::dispatchCall { destination: NOWHERE, recipient: Address::repeat_byte(1), body: vec![1; 64].into() };
    world.chains.of(origin).ask("evm_setBlockGasLimit", json!([format!("{REPEATED_GAS:#x}")])).await.unwrap();
    while (world.count(origin).await as usize) < past_messages() {
        let left = past_messages() as u32 - world.count(origin).await;
        repeat(world, origin, repeater, left.min(REPEATED), call.clone(), REPEATED_GAS).await;
    }
    let count = f64::from(world.count(origin).await);
    let seen = format!("gpumkt_bridge_count{{origin=\"{origin}\",stage=\"seen\"}}");
    for name in ["king_caught_up_with_past_s", "king_restarted_with_past_s"] {
        let began = Instant::now();
        world.start_node("king-1", false).await;
        until_within(LONG, "a King that has caught up", async || (world.metric("king-1", &seen).await >= count).then_some(())).await;
        figures.insert(format!("bridge_{name}"), json!(began.elapsed().as_secs_f64()));
        if name.starts_with("king_caught") {
            world.kill("king-1");
        }
    }
    world.dispatch(origin).await;
    let index = world.count(origin).await - 1;
    let began = Instant::now();
    world.start_node("relay-1", true).await;
    until_within(LONG, "a delivery by a new relay", async || world.is_delivered(origin, index).await.then_some(())).await;
    figures.insert("bridge_relay_delivers_with_past_s".into(), json!(began.elapsed().as_secs_f64()));
    figures.insert("bridge_past_messages".into(), json!(count));
    for (node, used) in usage(world) {
        let role = node.split('-').next().unwrap_or_default();
        figures.insert(format!("bridge_{role}_rss_with_past_mib"), json!(used.rss_mib));
    }
}

/// Signs what the Outboxes hold at final stride blocks, for this node's King and for `others`: as many honest Kings, without their reads.
async fn sign_honestly(node: &Byzantine, world: &World, others: &[PrivateKeySigner]) {
    let mut signed = [0u32; 2];
    // Kings sign the first stride block that holds a count. Whoever skips one when it is late signs another checkpoint than they do.
    let mut next = [0u64; 2];
    for origin in ChainKind::BOTH {
        next[origin as usize] = world.head(origin).await.next_multiple_of(STRIDE) - STRIDE;
    }
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        for origin in ChainKind::BOTH {
            let depth = if origin == ChainKind::Classic { MIN_DEPTH } else { 2 };
            let block = next[origin as usize];
            if block + depth > world.head(origin).await {
                continue;
            }
            let Ok(block) = world.chain(origin).block(block).await else { continue };
            let (outbox, at) = (world.book.bridge(origin).outbox, BlockId::hash(block.hash));
            let Ok(count) = world.chain(origin).call(outbox, Outbox::countCall {}, at).await else { continue };
            let Ok(root) = world.chain(origin).call(outbox, Outbox::rootCall {}, at).await else { continue };
            next[origin as usize] += STRIDE;
            if count <= signed[origin as usize] {
                continue;
            }
            signed[origin as usize] = count;
            let mut data = node.sign(world, origin, count, root).checkpoint;
            (data.block_number, data.block_hash, data.block_timestamp) = (block.number, block.hash, block.timestamp);
            let digest = Checkpoint::from(data).digest();
            for key in others.iter().chain([&node.key]) {
                let signature = B512::from(compact(&key.sign_hash_sync(&digest).unwrap()));
                node.publish(CheckpointSignature { checkpoint: data, signer: key.address(), signature }).await;
            }
        }
    }
}

/// Chain seconds from the block whose arrival made a message final to the block that holds its delivery.
async fn latencies(world: &World, origin: ChainKind) -> Vec<f64> {
    let (here, there) = (world.book.bridge(origin), world.book.bridge(origin.other()));
    let final_after = if origin == ChainKind::Classic { MIN_DEPTH } else { 2 };
    let sent = world.logs(origin, here.outbox).await;
    let mut blocks = BTreeMap::new();
    for log in &sent {
        if let Some(event) = log.decode::<Outbox::MessageDispatched>() {
            blocks.insert(event.index, log.block_number.next_multiple_of(STRIDE) + final_after);
        }
    }
    let mut found = Vec::new();
    for log in world.logs(origin.other(), there.inbox).await {
        let Some(event) = log.decode::<Inbox::MessageDelivered>() else { continue };
        let final_at = world.chain(origin).block(blocks[&event.index]).await.unwrap().timestamp;
        let delivered_at = world.chain(origin.other()).block(log.block_number).await.unwrap().timestamp;
        found.push(delivered_at as f64 - final_at as f64);
    }
    found
}

struct Usage {
    cpu_seconds: f64,
    rss_mib: f64,
}

fn usage(world: &World) -> BTreeMap<String, Usage> {
    let mut found = BTreeMap::new();
    for (name, node) in &world.nodes {
        let pid = node.process.pid();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<f64> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        // Fields 14 and 15 of the line; the state letter is no number, so the list begins with field 4. A tick is 10 ms.
        let ticks = fields.get(10).copied().unwrap_or_default() + fields.get(11).copied().unwrap_or_default();
        found.insert(name.clone(), Usage { cpu_seconds: ticks / 100.0, rss_mib: rss.unwrap_or_default() / 1024.0 });
    }
    found
}
