//! Faults of the network thrown at the whole of it, on real processes. `make chaos-net` runs it and shows the summary.

use std::{
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, B512, U256},
    signers::local::PrivateKeySigner,
};
use gpumkt::{
    chain::BlockId,
    client::{
        court,
        rent::{self, RentalState, SessionKeys},
    },
    keys::Strength,
    net::Multiaddr,
    types::{
        Role,
        abi::{GPURental, GPUToken},
        wire::{CheckpointData, CheckpointSignature, GossipMessage, Heartbeat, Request, Topic, VERSION},
    },
};
use serde_json::{Value, json};

use super::{
    actor::{Actor, Setup, Stakes},
    whole::{HERE, Whole, host_of},
};
use crate::poll;

/// Time for the next verdict. A challenge comes every nine seconds, and is settled some ten blocks later.
const VERDICT_WITHIN: Duration = Duration::from_secs(240);
/// How long an attack floods.
const ATTACK: Duration = Duration::from_secs(25);
/// How long a fault lasts.
const FAULT_CHALLENGES: u64 = 1;
/// How wrong clocks are, in both directions: what the protocol bears is 120 s.
const OFF_S: i64 = 100;
/// By how much a Queen's clock hurries.
const LIE: i64 = 5;
/// Identities without a stake that an attacker takes on.
const SYBILS: u8 = 6;

/// Between two looks at all verdicts, and at one thing on a chain.
const VERDICT_PACE: Duration = Duration::from_secs(3);
const CHAIN_PACE: Duration = Duration::from_millis(500);

/// Waits for `count` further passed challenges.
async fn passes(whole: &Whole, count: usize) {
    let passed = async || whole.verdicts().await.get("passed").copied().unwrap_or_default();
    let wanted = passed().await + count;
    poll::find("verdicts", VERDICT_WITHIN, VERDICT_PACE, async || (passed().await >= wanted).then_some(())).await;
}

/// Waits until `count` further challenges are open.
async fn challenges(whole: &Whole, count: u64) {
    let wanted = whole.opened().await + count;
    poll::find("challenges", VERDICT_WITHIN, CHAIN_PACE, async || (whole.opened().await >= wanted).then_some(())).await;
}

async fn missed(whole: &Whole) -> usize {
    whole.verdicts().await.get("missed").copied().unwrap_or_default()
}

/// A row of the summary: what was missed since `before`.
async fn fault(whole: &Whole, name: impl Into<Value>, before: usize) -> Value {
    json!({ "fault": name.into(), "missed": missed(whole).await - before })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_of_an_attacker_counts_and_no_honest_provider_is_failed() {
    let _alone = crate::WHOLE_NETWORK.lock().await;
    // Stays for whoever wants to read the nodes' logs.
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chaos-net");
    let folder = results.join("run");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let mut whole = Whole::start(&folder).await;
    passes(&whole, 1).await;
    let witnessed_s = witnessed(&whole).await;
    let mut faults = partitions(&whole).await;
    faults.push(bad_lines(&whole).await);
    faults.extend(wrong_clocks(&mut whole).await);

    let before = missed(&whole).await;
    let sent = attack(&mut whole).await;
    passes(&whole, 1).await;
    let name = "a flood, garbage and identities without a stake";
    faults.push(json!({ "fault": name, "sent": sent, "missed": missed(&whole).await - before }));

    // A Queen that withholds all receipts, for ever.
    let before = missed(&whole).await;
    whole.kill("queen-3");
    passes(&whole, 2).await;
    faults.push(fault(&whole, "a Queen withholds its receipts", before).await);

    let (credited, failed, audit) = (credited(&whole).await, missed(&whole).await, whole.audit().await);
    assert_eq!(audit["disagreements"].as_array().map(Vec::len), Some(0), "{audit:#}");
    let summary = json!({
        "faults": faults,
        "verdicts": whole.verdicts().await,
        "door_witnessed_s": witnessed_s,
        "honest_providers_failed_by_the_network": failed,
        "attackers_credited_wei": credited.to_string(),
    });
    std::fs::write(results.join("summary.json"), serde_json::to_string_pretty(&summary).unwrap()).unwrap();
    println!("{summary:#}");
    assert_eq!((failed, credited), (0, U256::ZERO));
}

/// Cuts between machines, each for some challenges, one after the other.
async fn partitions(whole: &Whole) -> Vec<Value> {
    let queens: Vec<u8> = (1..=3).map(|number| host_of(&format!("queen-{number}"))).collect();
    let (provider, kings) = (host_of("provider"), [host_of("king-1"), host_of("king-2"), host_of("king-3"), host_of("king-4")]);
    let both_ways = |a: u8, others: &[u8]| others.iter().flat_map(|b| [(a, *b), (*b, a)]).collect::<Vec<_>>();
    let cuts = [
        ("a Queen is cut off from everybody", both_ways(queens[0], &[&kings[..], &queens[1..], &[provider, HERE]].concat())),
        ("the provider is cut off from all Queens", both_ways(provider, &queens)),
        ("the provider does not reach a Queen, which reaches it", vec![(provider, queens[1])]),
        ("two Kings are cut off from the others", [both_ways(kings[0], &kings[2..]), both_ways(kings[1], &kings[2..])].concat()),
    ];
    let mut faults = Vec::new();
    for (name, pairs) in cuts {
        println!("{name}: {:?}", whole.verdicts().await);
        let before = missed(whole).await;
        whole.lab.cut(&pairs);
        challenges(whole, FAULT_CHALLENGES).await;
        whole.lab.cut(&[]);
        passes(whole, 1).await;
        faults.push(fault(whole, name, before).await);
    }
    faults
}

async fn bad_lines(whole: &Whole) -> Value {
    println!("bad lines: {:?}", whole.verdicts().await);
    let before = missed(whole).await;
    let set = |delay_ms: u64, loss_permille: u64| {
        for line in whole.lines.values() {
            line.delay_ms.store(delay_ms, Ordering::Relaxed);
            line.loss_permille.store(loss_permille, Ordering::Relaxed);
        }
    };
    set(200, 20);
    challenges(whole, FAULT_CHALLENGES).await;
    passes(whole, 1).await;
    set(0, 0);
    fault(whole, "200 ms and 2 % loss on every line to the chains", before).await
}

/// Wall clocks that are wrong, and a Queen that lies about time: for it, five seconds pass in one.
async fn wrong_clocks(whole: &mut Whole) -> Vec<Value> {
    let mut faults = Vec::new();
    for seconds in [OFF_S, -OFF_S, 0] {
        println!("clocks {seconds} s off: {:?}", whole.verdicts().await);
        let before = missed(whole).await;
        ["queen-1", "provider"].iter().for_each(|name| whole.clocks[name].shift(seconds));
        challenges(whole, FAULT_CHALLENGES).await;
        passes(whole, 1).await;
        faults.push(fault(whole, format!("clocks of a Queen and the provider are {seconds} s off"), before).await);
    }
    for (factor, name) in [(LIE, "a Queen shows five times the time that passed"), (1, "it tells the truth again")] {
        println!("{name}: {:?}", whole.verdicts().await);
        let before = missed(whole).await;
        whole.kill("queen-2");
        whole.clocks["queen-2"].hurry(factor);
        whole.revive("queen-2").await;
        challenges(whole, FAULT_CHALLENGES).await;
        passes(whole, 1).await;
        faults.push(fault(whole, name, before).await);
    }
    faults
}

/// A renter pays and never comes: Queens come to the door in its place. Answers how long that took.
async fn witnessed(whole: &Whole) -> f64 {
    let (renter, provider) = (whole.clients("renter").await, whole.clients("provider").await);
    let sessions = SessionKeys {
        folder: whole.network.folder.join("sessions"),
        password: whole.network.accounts.password(),
        strength: Strength::Devnet,
    };
    let rental = poll::find("a rental, once the first pass has crossed the bridge", VERDICT_WITHIN, CHAIN_PACE, async || {
        let quote = rent::quote(&renter, 1, 600).await.unwrap();
        let rented = rent::rent(&renter, &quote, &sessions).await;
        rented.map(|(rental, _)| rental).map_err(|error| println!("not yet: {error}")).ok()
    })
    .await;
    rent::wait_for(&renter, rental, RentalState::Active, "active", VERDICT_WITHIN).await.unwrap();
    let (case, _) = court::request_witness(&provider, rental).await.unwrap();
    let started = Instant::now();
    poll::find("Queens at the door", VERDICT_WITHIN, CHAIN_PACE, async || {
        (court::case(&provider, case).await.unwrap().status == "upheld").then_some(())
    })
    .await;
    assert!(rent::rental(&renter, rental).await.unwrap().opened_at > 0, "the door counts as opened");
    let took = started.elapsed().as_secs_f64();
    rent::end(&renter, rental).await.unwrap();
    took
}

/// What the attackers' accounts hold, as tokens and as credit of rentals.
async fn credited(whole: &Whole) -> U256 {
    let clients = whole.clients("renter").await;
    let mut total = U256::ZERO;
    for number in 0..=SYBILS {
        let account = Actor::account(200 + number);
        let (eth, latest) = (&clients.book.ethereum, BlockId::latest());
        total += clients.ethereum.call(eth.gpu_token, GPUToken::balanceOfCall { account }, latest).await.unwrap();
        total += clients.ethereum.call(eth.gpu_rental, GPURental::creditCall { account }, latest).await.unwrap();
    }
    total
}

/// Several identities on one machine: records and heartbeats without a stake, forged checkpoints, garbage, more requests than anybody
/// answers. Answers how many messages were sent.
async fn attack(whole: &mut Whole) -> u64 {
    let machine = whole.lab.public_machine(66);
    let bootstrap: Vec<Multiaddr> = whole.bootstrap.iter().map(|text| text.parse().unwrap()).collect();
    let attacker = machine.run(move || async move {
        let mut sent = 0;
        let actors: Vec<Actor> = (0..=SYBILS)
            .map(|number| {
                let setup = Setup {
                    seed: 200 + number,
                    // Claimed only: the stakes are the attacker's own invention.
                    role: [Role::King, Role::Queen, Role::Provider][usize::from(number) % 3],
                    listen: Vec::new(),
                    external: Vec::new(),
                    bootstrap: bootstrap.clone(),
                    stakes: Stakes::default(),
                };
                Actor::start(setup)
            })
            .collect();
        let until = Instant::now() + ATTACK;
        let mut ticks = poll::every(Duration::from_millis(50));
        while Instant::now() < until {
            ticks.tick().await;
            for actor in &actors {
                for message in [forged(sent as u32), GossipMessage::Heartbeat(heartbeat(sent))] {
                    sent += u64::from(actor.net.publish(&message).await.is_ok());
                }
                sent += u64::from(actor.net.publish_bytes(Topic::Records, vec![VERSION; 200]).await.is_ok());
                sent += u64::from(actor.net.publish_bytes(Topic::Checkpoints, vec![VERSION + 1; 64]).await.is_ok());
                for info in actor.net.connected_peers().await.unwrap() {
                    let (net, block_hash) = (actor.net.clone(), B256::repeat_byte(1));
                    tokio::spawn(async move {
                        let request = Request::Receipt { challenge_block: 1, device_id: 1, block_hash, root: B256::ZERO };
                        drop(net.request(info.peer, &[], request).await);
                    });
                    sent += 1;
                }
            }
        }
        sent
    });
    tokio::task::spawn_blocking(move || attacker.join().unwrap()).await.unwrap()
}

fn heartbeat(device_id: u64) -> Heartbeat {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Heartbeat { device_id, load_permille: 0, temperature_celsius: None, timestamp: now }
}

/// A checkpoint of everything, signed by a key of nobody's.
fn forged(count: u32) -> GossipMessage {
    let checkpoint = CheckpointData {
        origin_chain_id: 31361,
        outbox: Address::repeat_byte(1),
        set_epoch: 0,
        root: B256::repeat_byte(3),
        count,
        block_number: 5,
        block_hash: B256::repeat_byte(6),
        block_timestamp: 7,
    };
    let signer = PrivateKeySigner::random().address();
    GossipMessage::Checkpoint(CheckpointSignature { checkpoint, signer, signature: B512::repeat_byte(9) })
}
