//! Faults of processes, endpoints, money and people.

use alloy::primitives::{B256, Bytes, U256};
use gpumkt::{
    chain::{AccountSigner, TxRequest},
    devnet::proxy::{EndpointFault, FaultProxy},
    types::{
        ChainKind,
        abi::{KingCourt, StakingManager},
    },
};
use serde_json::{Value, json};

use crate::clock::WrongClock;

use super::{
    byzantine::Byzantine,
    summary::Summary,
    world::{World, until},
};

/// Sends the transactions that fill blocks.
const CROWD_ACCOUNT: usize = 21;
const CROWDED_BLOCKS: u64 = 12;

/// kill -9 of the relay where it has just stored, sent, or waited; of Kings before, and right after, a signature is on disk.
pub async fn processes_are_killed(world: &mut World, summary: &mut Summary) {
    for method in ["eth_estimateGas", "eth_sendRawTransaction", "eth_getTransactionReceipt"] {
        let seen = |proxy: &FaultProxy| proxy.seen(method);
        let before = world.relay_proxies.each_ref().map(seen);
        world.dispatch_both(1).await;
        until(method, async || (seen(&world.relay_proxies[0]) > before[0] || seen(&world.relay_proxies[1]) > before[1]).then_some(()))
            .await;
        world.kill("relay-1");
        world.start_node("relay-1", true).await;
        summary.fault(format!("relay killed at {method}"));
        world.all_delivered(method, [&[], &[]]).await;
    }
    a_relay_dies_around_its_broadcast(world, summary).await;
    kings_die_around_a_signature(world, summary).await;
}

/// The relay has stored a transaction and is killed before it, or its answer, went through.
pub async fn a_relay_dies_around_its_broadcast(world: &mut World, summary: &mut Summary) {
    for fault in [EndpointFault::Refuse("eth_sendRawTransaction"), EndpointFault::LoseAnswer("eth_sendRawTransaction")] {
        world.relay_proxies.iter().for_each(|proxy| proxy.set(fault));
        let before: u64 = world.relay_proxies.iter().map(FaultProxy::unanswered).sum();
        world.dispatch_both(1).await;
        let unanswered = async || world.relay_proxies.iter().map(FaultProxy::unanswered).sum::<u64>();
        until("a broadcast without an answer", async || (unanswered().await > before).then_some(())).await;
        world.kill("relay-1");
        world.honest_again();
        world.start_node("relay-1", true).await;
        summary.fault(format!("relay killed, broadcast {fault:?}"));
        world.all_delivered("after a lost broadcast", [&[], &[]]).await;
    }
}

/// One King dies before it signs, another one right after its signature is on disk.
pub async fn kings_die_around_a_signature(world: &mut World, summary: &mut Summary) {
    let signed = world.logged("king-1", "checkpoint signed");
    world.dispatch_both(1).await;
    world.kill("king-2");
    summary.fault("king killed before it signs");
    until("a signature of king-1", async || (world.logged("king-1", "checkpoint signed") > signed).then_some(())).await;
    world.kill("king-1");
    summary.fault("king killed after it signed");
    world.start_kings(&["king-1", "king-2"]).await;
    world.all_delivered("after Kings were killed", [&[], &[]]).await;
}

/// One of a King's three endpoints invents blocks and state.
pub async fn an_endpoint_lies(world: &World, summary: &mut Summary) {
    world.king_fault(0, EndpointFault::LieAboutState);
    world.dispatch_both(1).await;
    summary.fault("endpoint 1: LieAboutState");
    world.all_delivered("beside a lying endpoint", [&[], &[]]).await;
    world.honest_again();
}

/// One of a King's three endpoints does whatever it likes: the other two agree, so messages go on.
pub async fn endpoints_misbehave(world: &mut World, summary: &mut Summary) {
    let head = world.head(ChainKind::Ethereum).await.min(world.head(ChainKind::Classic).await);
    let faults = [
        EndpointFault::LieAboutState,
        EndpointFault::Down,
        EndpointFault::TruncateLogs,
        EndpointFault::Stale(head),
        EndpointFault::CutAnswers,
        EndpointFault::Stall,
        EndpointFault::WrongChainId(1),
    ];
    // The last one is no King's favourite for blocks and logs; the first one is every King's.
    for (position, fault) in faults.into_iter().enumerate().map(|(number, fault)| (if number % 2 == 0 { 2 } else { 0 }, fault)) {
        if matches!(fault, EndpointFault::WrongChainId(_)) {
            // A chain id is asked again once an endpoint has failed.
            world.king_fault(position, EndpointFault::CutAnswers);
            world.reach(ChainKind::Ethereum, world.head(ChainKind::Ethereum).await + 2).await;
        }
        world.king_fault(position, fault);
        world.dispatch_both(1).await;
        summary.fault(format!("endpoint {}: {fault:?}", position + 1));
        world.all_delivered(&format!("{fault:?}"), [&[], &[]]).await;
        world.honest_again();
    }
    // A log that the favourite endpoint hides is missed, noticed and read from another one.
    world.king_fault(0, EndpointFault::TruncateLogs);
    world.dispatch_both(1).await;
    summary.fault("endpoint 1: TruncateLogs");
    world.all_delivered("missed logs", [&[], &[]]).await;
    world.honest_again();
    // A relay with one endpoint waits for it.
    world.relay_proxies.iter().for_each(|proxy| proxy.set(EndpointFault::Stall));
    world.dispatch_both(1).await;
    world.reach(ChainKind::Ethereum, world.head(ChainKind::Ethereum).await + 4).await;
    world.honest_again();
    summary.fault("relay's endpoint: Stall");
    world.all_delivered("after a stalled endpoint", [&[], &[]]).await;
}

/// One endpoint is down, one lies about blocks and state: what is left is no majority, so nothing may be signed.
pub async fn a_liar_and_a_dead_endpoint_leave_no_quorum(world: &mut World, summary: &mut Summary) {
    world.king_fault(0, EndpointFault::LieAboutState);
    world.king_fault(1, EndpointFault::Down);
    let kings = ["king-1", "king-2", "king-3", "king-4"];
    let signatures = |world: &World| kings.map(|king| world.logged(king, "checkpoint signed"));
    let refusals = |world: &World| kings.map(|king| world.logged(king, "nothing was signed"));
    // What was already being signed when the fault began.
    world.reach(ChainKind::Ethereum, world.head(ChainKind::Ethereum).await + 4).await;
    let (signed, refused) = (signatures(world), refusals(world));
    world.dispatch_both(1).await;
    let accepted = (world.accepted(ChainKind::Ethereum).await, world.accepted(ChainKind::Classic).await);
    // Every King has looked at the new messages several times and found no agreement.
    until("refusals of all Kings", async || refusals(world).iter().zip(&refused).all(|(now, before)| *now >= before + 4).then_some(()))
        .await;
    world.reach(ChainKind::Classic, world.head(ChainKind::Classic).await + 8).await;
    assert_eq!(signatures(world), signed, "a King signed without a majority");
    assert_eq!((world.accepted(ChainKind::Ethereum).await, world.accepted(ChainKind::Classic).await), accepted);
    let mut disagreements = 0.0;
    for chain in ["ethereum", "classic"] {
        disagreements += world.metric("king-1", &format!("gpumkt_events_total{{name=\"rpc_disagreement\",outcome=\"{chain}\"}}")).await;
    }
    assert!(disagreements > 0.0, "a disagreement shows in the metrics");
    world.honest_again();
    summary.fault("one endpoint lies, one is down");
    world.all_delivered("once endpoints agree again", [&[], &[]]).await;
}

/// Another program of the relay's key takes a nonce; the price of gas jumps.
pub async fn money_is_contested(world: &mut World, summary: &mut Summary) {
    let key: AccountSigner = std::sync::Arc::new(world.accounts.signer("relay").unwrap());
    world.relay_proxies.iter().for_each(|proxy| proxy.set(EndpointFault::Refuse("eth_sendRawTransaction")));
    let before: Vec<u64> = world.relay_proxies.iter().map(|proxy| proxy.seen("eth_sendRawTransaction")).collect();
    world.dispatch_both(1).await;
    for kind in ChainKind::BOTH {
        let proxy = &world.relay_proxies[kind as usize];
        until("a broadcast", async || (proxy.seen("eth_sendRawTransaction") > before[kind as usize]).then_some(())).await;
        let chain = world.chain(kind);
        let nonce = chain.nonce(key.address(), gpumkt::chain::BlockId::latest()).await.unwrap();
        let request = TxRequest { to: Some(world.refusers[kind as usize].create(1)), data: Bytes::new(), value_wei: U256::from(1) };
        let thief = chain.build_and_sign(&key, nonce, &request).await.unwrap();
        chain.broadcast(key.address(), &thief).await.unwrap();
    }
    world.honest_again();
    summary.fault("nonce taken by another program of the relay's key");
    world.all_delivered("after a stolen nonce", [&[], &[]]).await;

    world.dispatch_both(1).await;
    let base = world.chains.ethereum.ask("eth_getBlockByNumber", json!(["latest", false])).await.unwrap()["baseFeePerGas"].clone();
    let base = u128::from_str_radix(base.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let steep = base.max(1_000_000_000) * 12;
    world.chains.ethereum.ask("anvil_setNextBlockBaseFeePerGas", json!([format!("{steep:#x}")])).await.unwrap();
    summary.fault("the base fee rises twelvefold");
    world.all_delivered("after a fee spike", [&[], &[]]).await;
    blocks_are_full(world, summary).await;
}

/// Others outbid the relay for every block: it waits, raises its fee within its cap, and gets in.
async fn blocks_are_full(world: &World, summary: &mut Summary) {
    for kind in ChainKind::BOTH {
        let anvil = world.chains.of(kind);
        let block = anvil.ask("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
        let limit = u64::from_str_radix(block["gasLimit"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        // Pieces that use all of their gas, none larger than a transaction may be, and no room for another one between them.
        let pieces = limit.div_ceil(16_000_000);
        let gas = limit / pieces;
        let sender = anvil.ask("eth_accounts", json!([])).await.unwrap()[CROWD_ACCOUNT].clone();
        for _ in 0..CROWDED_BLOCKS * pieces {
            let filler = json!({ "from": sender, "data": "0xfe", "gas": format!("{gas:#x}"), "gasPrice": "0x5d21dba000" });
            anvil.ask("eth_sendTransaction", json!([filler])).await.unwrap();
        }
    }
    summary.fault("the mempool is full of dearer transactions");
    world.dispatch_both(1).await;
    world.all_delivered("through full blocks", [&[], &[]]).await;
}

/// A chain's clock runs an hour ahead at once; a King and the relay stand still for a while, as on a machine that was suspended.
pub async fn clocks_jump(world: &mut World, summary: &mut Summary) {
    for kind in ChainKind::BOTH {
        world.chains.of(kind).ask("evm_increaseTime", json!([3_600])).await.unwrap();
        summary.fault(format!("the clock of {kind} jumps by an hour"));
    }
    world.dispatch_both(1).await;
    world.all_delivered("after the chains' clocks jumped", [&[], &[]]).await;
    let frozen = ["king-1", "relay-1"];
    frozen.iter().for_each(|name| world.signal(name, nix::sys::signal::Signal::SIGSTOP));
    world.dispatch_both(1).await;
    for kind in ChainKind::BOTH {
        world.reach(kind, world.head(kind).await + 20).await;
    }
    frozen.iter().for_each(|name| world.signal(name, nix::sys::signal::Signal::SIGCONT));
    summary.fault("a King and the relay stand still for twenty blocks");
    world.all_delivered("after they woke up", [&[], &[]]).await;

    // The wall clocks of a King and the relay, while they run.
    world.clock = Some(WrongClock::new(&world.folder, "clock"));
    for name in ["king-1", "relay-1"] {
        world.kill(name);
        world.start_node(name, true).await;
    }
    for seconds in [1_800, -1_800, 0] {
        world.clock.as_ref().unwrap().shift(seconds);
        summary.fault(format!("clocks of a King and the relay are {seconds} s off"));
        world.dispatch_both(1).await;
        world.all_delivered("with shifted clocks", [&[], &[]]).await;
    }
    world.clock = None;
}

/// A King turns against the others; then one, then two of four are gone.
pub async fn kings_are_missing_or_hostile(world: &mut World, summary: &mut Summary) {
    world.kill("king-4");
    let byzantine = Byzantine::start(world, "king-4").await;
    let counts = [world.count(ChainKind::Ethereum).await, world.count(ChainKind::Classic).await];
    // Nobody listens to it any more once it is convicted of one of these, so they come at once.
    for origin in ChainKind::BOTH {
        // The count that honest Kings will sign next, with a root of its own, and then with another.
        let next = counts[origin as usize] + 1;
        byzantine.publish(byzantine.sign(world, origin, next, B256::repeat_byte(0x66))).await;
        byzantine.publish(byzantine.sign(world, origin, next, B256::repeat_byte(0x67))).await;
        byzantine.publish(byzantine.sign(world, origin, 1, B256::repeat_byte(0x69))).await;
    }
    for origin in ChainKind::BOTH {
        let count = counts[origin as usize];
        let mut garbage = byzantine.sign(world, origin, count + 2, B256::repeat_byte(0x68));
        garbage.signature.0[5] ^= 0xff;
        byzantine.try_publish(garbage).await;
        let old = byzantine.sign(world, origin, 1, B256::repeat_byte(0x69));
        for _ in 0..3 {
            byzantine.try_publish(old).await;
        }
        for number in 0..600 {
            byzantine.try_publish(byzantine.sign(world, origin, count + 10 + number, B256::repeat_byte(0x70))).await;
        }
        world.dispatch(origin).await;
    }
    summary.fault("a King equivocates, replays, floods and signs garbage");
    world.all_delivered("against a hostile King", [&[], &[]]).await;
    until("an alert about the equivocation", async || {
        ["king-1", "king-2", "king-3", "relay-1"].iter().any(|node| world.logged(node, "king_contradiction") > 0).then_some(())
    })
    .await;
    until("all convictions", async || {
        let mut all = true;
        for (reason, origin) in [(16, ChainKind::Ethereum), (16, ChainKind::Classic), (17, ChainKind::Ethereum)] {
            let (king, set_epoch) = (byzantine.key.address(), world.book.kings.set_epoch);
            let call = KingCourt::convictedCall { king, reason, originChainId: world.book.chain_id(origin), setEpoch: set_epoch };
            let court = world.book.ethereum.king_court;
            all &= world.chain(ChainKind::Ethereum).call(court, call, gpumkt::chain::BlockId::latest()).await.unwrap();
        }
        all.then_some(())
    })
    .await;
    summary.fault("a hostile King is convicted by the court");
    byzantine.stop().await;
    // Each offence is punished once per epoch, so the next rounds only fine what is not staked again.
    let staked = StakingManager::stakerCall { account: world.accounts.signer("king-4").unwrap().address() };
    let staked = world.chain(ChainKind::Ethereum).call(world.book.ethereum.staking_manager, staked, gpumkt::chain::BlockId::latest());
    if staked.await.unwrap().staked == 0 {
        world.stake("king-4".into()).await;
    }

    world.dispatch_both(1).await;
    summary.fault("one of four Kings is gone");
    world.all_delivered("with three of four Kings", [&[], &[]]).await;

    world.kill("king-3");
    let signed = ["king-1", "king-2"].map(|king| world.logged(king, "checkpoint signed"));
    let accepted = (world.accepted(ChainKind::Ethereum).await, world.accepted(ChainKind::Classic).await);
    world.dispatch_both(1).await;
    summary.fault("two of four Kings are gone");
    until("both living Kings' signatures", async || {
        let now = ["king-1", "king-2"].map(|king| world.logged(king, "checkpoint signed"));
        (now[0] >= signed[0] + 2 && now[1] >= signed[1] + 2).then_some(())
    })
    .await;
    world.reach(ChainKind::Ethereum, world.head(ChainKind::Ethereum).await + 6).await;
    assert_eq!((world.accepted(ChainKind::Ethereum).await, world.accepted(ChainKind::Classic).await), accepted, "half is no quorum");
    world.start_kings(&["king-3", "king-4"]).await;
    world.all_delivered("once the Kings are back", [&[], &[]]).await;
}

/// Two relays at once do no harm; one with an empty database catches up from the chains.
pub async fn relays_compete_and_join_late(world: &mut World, summary: &mut Summary) {
    world.start_node("relay-2", true).await;
    world.dispatch_both(2).await;
    summary.fault("two relays at once");
    world.all_delivered("by two relays", [&[], &[]]).await;
    world.kill("relay-1");
    world.kill("relay-2");
    for folder in ["relay-1", "relay-2"] {
        std::fs::remove_dir_all(world.folder.join(folder)).unwrap();
    }
    world.dispatch_both(3).await;
    // The signatures are gossiped while nobody listens.
    let signed = world.logged("king-1", "checkpoint signed");
    until("signatures", async || (world.logged("king-1", "checkpoint signed") > signed.saturating_sub(1)).then_some(())).await;
    world.start_node("relay-1", true).await;
    summary.fault("a relay joins late with an empty database");
    world.all_delivered("by a late relay", [&[], &[]]).await;
}

/// A message whose handler reverts: it alone is backed off, listed, and tried again when an operator says so.
pub async fn a_poisonous_message_waits_alone(world: &mut World, summary: &mut Summary) {
    let poison = world.count(ChainKind::Ethereum).await;
    world.dispatch_to(ChainKind::Ethereum, world.refusers[ChainKind::Classic as usize]).await;
    world.dispatch_both(3).await;
    summary.fault("a message whose handler reverts");
    world.all_delivered("beside a poisonous message", [&[poison], &[]]).await;
    let listed = async || {
        let rows: Value = serde_json::from_str(&world.operate("relay-1", &["relay", "messages"]).await).unwrap();
        rows.as_array().unwrap().iter().find(|row| row["index"] == json!(poison) && row["origin"] == json!("ethereum")).cloned()
    };
    let row = until("its row", async || listed().await.filter(|row| row["attempts"].as_u64() > Some(1))).await;
    assert!(row["last_error"].as_str().is_some_and(|error| error.contains("handler")), "{row}");
    world.operate("relay-1", &["relay", "retry", "ethereum", &poison.to_string()]).await;
    until("the operator's retry", async || (world.logged("relay-1", "an operator has a message tried again") > 0).then_some(())).await;
    let all: Value = serde_json::from_str(&world.operate("relay-1", &["relay", "messages", "--all"]).await).unwrap();
    let paid =
        |row: &&Value| row["stage"] == "delivered" && row["cost_coin"].as_str().is_some_and(|cost| cost.parse::<f64>().unwrap() > 0.0);
    assert!(all.as_array().unwrap().iter().filter(paid).count() >= 3, "what messages cost is visible: {all}");
}

/// Whatever a thief found to take: Kings notice that a contract owes more than it holds.
pub async fn a_contract_owes_more_than_it_holds(world: &mut World, summary: &mut Summary) {
    let (anvil, rental) = (&world.chains.ethereum, world.book.ethereum.gpu_rental);
    let margin = "gpumkt_solvency_margin_token{name=\"GPURental\"}";
    until("a look at a solvent contract", async || world.ask("king-2", "/metrics").await.contains(margin).then_some(())).await;
    assert!(world.metric("king-2", margin).await >= 0.0);
    let credit = async || {
        let call = gpumkt::types::abi::GPURental::totalCreditCall {};
        world.chain(ChainKind::Ethereum).call(rental, call, gpumkt::chain::BlockId::latest()).await.unwrap()
    };
    // The debt appears out of nothing, in whichever slot holds it.
    let mut slot = 0u64;
    while credit().await.is_zero() {
        let key = format!("{:#x}", U256::from(slot));
        let before = anvil.ask("eth_getStorageAt", json!([rental, key, "latest"])).await.unwrap();
        let word: B256 = before.as_str().unwrap().parse().unwrap();
        let one_token = U256::from(10).pow(U256::from(18));
        let changed = U256::from_be_bytes(word.0) | one_token | (one_token << 128);
        anvil.ask("anvil_setStorageAt", json!([rental, B256::from(U256::from(slot)), B256::from(changed)])).await.unwrap();
        if credit().await.is_zero() {
            anvil.ask("anvil_setStorageAt", json!([rental, B256::from(U256::from(slot)), word])).await.unwrap();
        }
        slot += 1;
        assert!(slot < 200, "the slot of the credits was not found");
    }
    summary.fault("a contract owes more than it holds");
    until("the alarm", async || (world.logged("king-2", "insolvent") > 0).then_some(())).await;
    assert!(world.metric("king-2", margin).await < 0.0);
}
