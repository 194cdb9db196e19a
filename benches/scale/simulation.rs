//! One challenge, event by event, for many providers: committees by the protocol's rule, messages at their encoded sizes, the time and
//! bytes of checking samples as measured here, gas as the contracts' snapshot has it.

use std::{cmp::Reverse, collections::BinaryHeap, fs, path::Path, time::Instant};

use alloy::primitives::{Address, B256, B512, U256};
use gpumkt::{
    rules::{
        committee::{Shards, is_measured},
        kernel::{compute, verify_proof},
    },
    service::committee::{MAX_PARALLEL, SAMPLES},
    types::{
        wire::{Request, Response},
        work::cpu_test_class,
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::plot::{Curve, svg};

const QUEENS: u16 = 300;
const PROVIDERS: [usize; 6] = [300, 1_000, 3_000, 10_000, 30_000, 100_000];
/// `config/chains/mainnet.toml`.
const SHARD_SIZE: u16 = 60;
const COMMITTEE: u16 = 15;
const COMMIT_WINDOW_BLOCKS: f64 = 40.0;
const BLOCK_S: f64 = 13.0;
const BLOCK_GAS: f64 = 8e6;
const PROOF_RATE: f64 = 16.0;
/// Time a device takes for a full challenge, and by how much devices differ.
const DEVICE_S: f64 = 20.0;
const DEVICE_SPREAD: f64 = 0.3;
/// From a block to a node that sees it.
const SEEN_S: f64 = 2.0;
const ROUND_TRIP_S: f64 = 0.08;
/// Cores of a Queen that check samples.
const CORES: usize = 4;
/// A receipt more than three: recovering a signature, its calldata, the median.
const GAS_PER_RECEIPT: f64 = 5_500.0;
/// A commit inside a batch that one transaction brings for many devices: its word of storage, its calldata, its share of the event.
/// Modelled, not built: receipts would be checked only where a commit is drawn.
const BATCHED_COMMIT_GAS: f64 = 26_000.0;

/// What one receipt costs both sides.
struct Costs {
    /// Bytes of all messages, both ways, without the transport's own.
    bytes: f64,
    messages: f64,
    /// Processor time of a Queen for checking samples.
    check_s: f64,
}

struct Outcome {
    per_queen: f64,
    busiest_queen: usize,
    last_receipt_s: f64,
    /// Of the moments at which Queens asked for work, those at which the device was done already: their clocks show nothing.
    late_starts: f64,
    /// Providers that were measured in time.
    measured: f64,
    queen_cpu_s: f64,
}

pub fn run(plots: &Path) -> Map<String, Value> {
    let costs = costs();
    let gas: Value = serde_json::from_str(include_str!("../../contracts/snapshots/gas.json")).unwrap();
    let of = |name: &str| gas[name].as_f64().unwrap();
    let commit_gas = of("commit_3_receipts") + 7.0 * GAS_PER_RECEIPT;
    let window_gas = BLOCK_GAS * COMMIT_WINDOW_BLOCKS;
    let mut summary = Map::new();
    let mut curves: [Vec<(f64, f64)>; 7] = Default::default();
    for providers in PROVIDERS {
        let outcome = challenge(providers, &costs, MAX_PARALLEL);
        let count = providers as f64;
        let single = (count * commit_gas + count / PROOF_RATE * of("prove_cpu_test") + of("open") + of("seal")) / window_gas;
        let batched = (count * BATCHED_COMMIT_GAS + count / PROOF_RATE * of("prove_cpu_test") + of("open") + of("seal")) / window_gas;
        let points = [
            outcome.per_queen * costs.messages,
            outcome.per_queen * costs.bytes / 1024.0,
            outcome.queen_cpu_s,
            outcome.last_receipt_s,
            single,
            batched,
            1.0,
        ];
        for (curve, value) in curves.iter_mut().zip(points) {
            curve.push((count, value));
        }
        summary.insert(
            format!("providers_{providers}"),
            json!({
                "providers_per_queen": outcome.per_queen,
                "providers_at_busiest_queen": outcome.busiest_queen,
                "queen_messages": points[0],
                "queen_kib": points[1],
                "queen_cpu_s": outcome.queen_cpu_s,
                "provider_messages": f64::from(COMMITTEE) * costs.messages,
                "provider_kib": f64::from(COMMITTEE) * costs.bytes / 1024.0,
                "last_receipt_s": outcome.last_receipt_s,
                "late_starts_share": outcome.late_starts,
                "measured_share": outcome.measured,
                "chain_share_single_commits": single,
                "chain_share_batched_commits": batched,
            }),
        );
    }
    summary.insert("check_ms".into(), json!(costs.check_s * 1_000.0));
    summary.insert("bytes_per_receipt".into(), json!(costs.bytes));
    let window_s = COMMIT_WINDOW_BLOCKS * BLOCK_S;
    summary.insert("providers_per_queen_core".into(), json!((window_s - DEVICE_S * (1.0 + DEVICE_SPREAD)) / costs.check_s));
    summary.insert("providers_until_chain_is_full".into(), json!(window_gas / (commit_gas + of("prove_cpu_test") / PROOF_RATE)));
    draw(plots, curves, window_s);
    summary
}

fn draw(plots: &Path, curves: [Vec<(f64, f64)>; 7], window_s: f64) {
    fs::create_dir_all(plots).unwrap();
    let [messages, kib, cpu, last, single, batched, full] = curves;
    let window = last.iter().map(|(x, _)| (*x, window_s)).collect();
    let named = |name, points| Curve { name, points };
    let load = [named("messages", messages), named("KiB", kib), named("CPU seconds", cpu)];
    let time = [named("last receipt, s", last), named("commit window, s", window)];
    let chain = [named("a transaction per commit", single), named("batched (modelled)", batched), named("all gas there is", full)];
    let x = "providers, with 300 Queens";
    fs::write(plots.join("queen.svg"), svg("What a challenge costs one Queen", x, "per challenge", &load)).unwrap();
    fs::write(plots.join("time.svg"), svg("When the last receipt is signed", x, "seconds after the block", &time)).unwrap();
    fs::write(plots.join("chain.svg"), svg("Share of Ethereum Classic's gas", x, "of all blocks of a commit window", &chain)).unwrap();
}

/// Encodes one of each message, and checks samples of a real proof.
fn costs() -> Costs {
    let (profile, _) = cpu_test_class();
    let seed = B256::repeat_byte(1);
    let output = compute(&profile, seed);
    let proof = output.prove(seed, SAMPLES).unwrap();
    let root = output.roots.work_root();
    let rounds = 10;
    let started = Instant::now();
    for _ in 0..rounds {
        verify_proof(&profile, seed, root, seed, SAMPLES, &proof).unwrap();
    }
    let check_s = started.elapsed().as_secs_f64() / f64::from(rounds);
    let (block, device, hash) = (20_000_000, 100_000, B256::repeat_byte(2));
    let requests = [
        Request::Ping,
        Request::Start { challenge_block: block, block_hash: hash, device_id: device, mode: 1 },
        Request::Openings { challenge_block: block, device_id: device, sample_seed: hash, samples: SAMPLES },
        Request::Receipt { challenge_block: block, device_id: device, block_hash: hash, root },
    ];
    let openings = proof.abi_encode();
    let responses = [
        Response::Pong,
        Response::Root { root, mode: 1 },
        Response::Openings(openings.into()),
        Response::Receipt { queen_index: 200, elapsed_ms: 20_000, signature: B512::ZERO },
    ];
    let sizes = requests.iter().map(|request| request.encode().unwrap().len());
    let bytes: usize = sizes.chain(responses.iter().map(|response| response.encode().unwrap().len())).sum();
    Costs { bytes: bytes as f64, messages: 8.0, check_s }
}

/// Devices start when they see the block; a Queen asks `parallel` of its devices at a time, and checks on its cores whoever has answered.
fn challenge(providers: usize, costs: &Costs, parallel: usize) -> Outcome {
    let mut random = StdRng::seed_from_u64(providers as u64);
    let shards = Shards { queens: QUEENS, shard_size: SHARD_SIZE, seed: B256::repeat_byte(7) };
    let hash = B256::repeat_byte(9);
    let mut of_queen: Vec<Vec<usize>> = vec![Vec::new(); usize::from(QUEENS)];
    let mut done_s = Vec::with_capacity(providers);
    for number in 0..providers {
        let account = Address::from_word(B256::from(U256::from(number + 1)));
        for queen in shards.committee(hash, account, number as u64 + 1, COMMITTEE) {
            of_queen[usize::from(queen)].push(number);
        }
        let device_s = DEVICE_S * random.random_range(1.0 - DEVICE_SPREAD..1.0 + DEVICE_SPREAD);
        done_s.push(random.random_range(0.0..SEEN_S) + device_s);
    }
    let (mut receipts, mut late, mut last_receipt_s) = (vec![0usize; providers], 0usize, 0f64);
    for devices in &of_queen {
        let seen_s = random.random_range(0.0..SEEN_S);
        let mut asking: BinaryHeap<Reverse<u64>> = (0..parallel).map(|_| Reverse(micros(seen_s))).collect();
        let mut cores: BinaryHeap<Reverse<u64>> = (0..CORES).map(|_| Reverse(0)).collect();
        for device in devices {
            let asked_s = seconds(asking.pop().unwrap().0) + ROUND_TRIP_S;
            late += usize::from(asked_s > done_s[*device]);
            // The answer, the question for samples and their way back, a free core, the check.
            let openings_s = asked_s.max(done_s[*device]) + 1.5 * ROUND_TRIP_S;
            let core_s = seconds(cores.pop().unwrap().0).max(openings_s);
            let signed_s = core_s + costs.check_s;
            cores.push(Reverse(micros(signed_s)));
            asking.push(Reverse(micros(signed_s)));
            last_receipt_s = last_receipt_s.max(signed_s);
            receipts[*device] += usize::from(signed_s + ROUND_TRIP_S < COMMIT_WINDOW_BLOCKS * BLOCK_S);
        }
    }
    let asked: usize = of_queen.iter().map(Vec::len).sum();
    let per_queen = asked as f64 / f64::from(QUEENS);
    Outcome {
        per_queen,
        busiest_queen: of_queen.iter().map(Vec::len).max().unwrap_or_default(),
        last_receipt_s,
        late_starts: late as f64 / asked as f64,
        measured: receipts.iter().filter(|count| is_measured(**count, usize::from(COMMITTEE))).count() as f64 / providers as f64,
        queen_cpu_s: per_queen * costs.check_s,
    }
}

fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
