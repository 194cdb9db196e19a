//! Throughput and latency of the bridge, on private chains: a King set of each size, messages both ways, one relay. Prints one JSON
//! object. Four Kings are processes of their own; of more, one process holds the other keys and signs what it reads from the chains.

// A bench fails as a test does.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, dead_code)]

#[path = "../tests/it/chaos/byzantine.rs"]
mod byzantine;
#[path = "../tests/it/chaos/world.rs"]
mod world;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy::{
    primitives::B512,
    signers::{SignerSync, local::PrivateKeySigner},
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
    world::{KINGS, MIN_DEPTH, STRIDE, World, until},
};

const SIZES: [usize; 3] = [4, 13, 21];

fn messages() -> usize {
    std::env::var("GPUMKT_BENCH_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

#[tokio::main]
async fn main() {
    let mut figures = Map::new();
    for size in SIZES {
        let folder = tempfile::tempdir().unwrap();
        let extra: Vec<PrivateKeySigner> = (KINGS as usize..size).map(|_| PrivateKeySigner::random()).collect();
        let mut world = World::start_with(folder.path(), &extra.iter().map(PrivateKeySigner::address).collect::<Vec<_>>()).await;
        measure(&mut world, extra, size, &mut figures).await;
    }
    println!("{}", serde_json::Value::Object(figures));
}

async fn measure(world: &mut World, extra: Vec<PrivateKeySigner>, size: usize, figures: &mut Map<String, serde_json::Value>) {
    world.start_kings(&["king-1", "king-2", "king-3"]).await;
    let many = if extra.is_empty() {
        world.start_node("king-4", true).await;
        None
    } else {
        Some(Byzantine::start(world, "king-4").await)
    };
    world.start_node("relay-1", true).await;
    let signing = async {
        match &many {
            Some(node) => sign_honestly(node, world, &extra).await,
            None => std::future::pending().await,
        }
    };
    let run = async {
        world.dispatch_both(1).await;
        world.all_delivered("the first messages", [&[], &[]]).await;
        let cpu = usage(world);
        let began = Instant::now();
        world.dispatch_both(messages()).await;
        world.all_delivered("the measured messages", [&[], &[]]).await;
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

/// Signs what the Outboxes hold at final stride blocks, for this node's King and for `others`: as many honest Kings, without their reads.
async fn sign_honestly(node: &Byzantine, world: &World, others: &[PrivateKeySigner]) {
    let mut signed = [0u32; 2];
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tick.tick().await;
        for origin in ChainKind::BOTH {
            let depth = if origin == ChainKind::Classic { MIN_DEPTH } else { 2 };
            let block = world.head(origin).await.saturating_sub(depth) / STRIDE * STRIDE;
            let Ok(block) = world.chain(origin).block(block).await else { continue };
            let (outbox, at) = (world.book.bridge(origin).outbox, BlockId::hash(block.hash));
            let count = world.chain(origin).call(outbox, Outbox::countCall {}, at).await.unwrap_or(0);
            if count <= signed[origin as usize] {
                continue;
            }
            let Ok(root) = world.chain(origin).call(outbox, Outbox::rootCall {}, at).await else { continue };
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
