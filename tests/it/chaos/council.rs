//! Kings govern themselves: they follow the stakes, convict a traitor, hold the bridge when ordered, and start anew after a deep
//! reorganisation. Real processes; what is asserted is what the chains and the operators' commands say.

use alloy::primitives::{Address, B256, U256};
use gpumkt::{
    chain::BlockId,
    client::{Mode, stake},
    types::{
        Amount, ChainKind, Role,
        abi::{GPURentalTerms, Inbox, KingCourt, KingSet, Outbox, StakingManager},
    },
};
use serde_json::{Value, json};

use super::{
    byzantine::Byzantine,
    reorgs::replace_above,
    world::{KINGS, MIN_DEPTH, World, until},
};

/// As KingCourt numbers offences.
const EQUIVOCATION: u8 = 16;
const FALSE_CHECKPOINT: u8 = 17;

fn kings() -> Vec<String> {
    (1..=KINGS).map(|number| format!("king-{number}")).collect()
}

pub async fn course(mut world: World) {
    world.start_kings(&["king-1", "king-2", "king-3", "king-4"]).await;
    world.rotates = true;
    world.start_node("relay-1", true).await;
    world.dispatch_both(1).await;
    world.all_delivered("with the first set", [&[], &[]]).await;
    follow_the_stakes(&mut world).await;
    hold_the_bridge(&world).await;
    let dead = start_anew(&mut world).await;
    convict_a_traitor(&mut world).await;
    convict_a_liar(&mut world, dead).await;
}

/// Without a relay that rotates.
pub async fn outlive_a_set(mut world: World) {
    world.start_kings(&["king-1", "king-2", "king-3", "king-4"]).await;
    world.start_node("relay-1", true).await;
    world.dispatch_both(1).await;
    world.all_delivered("in the set's time", [&[], &[]]).await;
    world.kill("relay-1");
    let signed = |world: &World| (1..=KINGS).map(|king| world.logged(&format!("king-{king}"), "checkpoint signed")).collect::<Vec<_>>();
    let before = signed(&world);
    world.dispatch(ChainKind::Classic).await;
    until("signatures that nobody carries", async || signed(&world).iter().zip(&before).all(|(now, before)| now > before).then_some(()))
        .await;

    let mut expiry = 0;
    for kind in ChainKind::BOTH {
        let call = KingSet::expiresAtCall { setEpoch: 1 };
        let expires_at = world.chain(kind).call(world.book.bridge(kind).king_set, call, BlockId::latest()).await.unwrap();
        expiry = expiry.max(expires_at);
    }
    for kind in ChainKind::BOTH {
        let now = world.chain(kind).head().await.unwrap().timestamp;
        world.chains.of(kind).ask("evm_increaseTime", json!([expiry - now + 1])).await.unwrap();
        until("the set's end", async || (world.chain(kind).head().await.unwrap().timestamp > expiry).then_some(())).await;
    }
    until("word to the operators", async || (world.logged("king-1", "king_set_expires") > 0).then_some(())).await;
    world.start_node("relay-1", false).await;
    let accepted = world.accepted(ChainKind::Classic).await;
    until("a refusal", async || (world.logged("relay-1", "SetExpired") > 0).then_some(())).await;
    let head = world.head(ChainKind::Ethereum).await;
    world.reach(ChainKind::Ethereum, head + 10).await;
    assert_eq!((world.accepted(ChainKind::Classic).await, world.is_delivered(ChainKind::Classic, 1).await), (accepted, false));
}

async fn epoch(world: &World, kind: ChainKind) -> u64 {
    world.chain(kind).call(world.book.bridge(kind).king_set, KingSet::currentEpochCall {}, BlockId::latest()).await.unwrap()
}

async fn both_reach(world: &World, wanted: u64) {
    for kind in ChainKind::BOTH {
        until(&format!("set epoch {wanted} of {kind}"), async || (epoch(world, kind).await >= wanted).then_some(())).await;
    }
}

/// A King stakes more: the next set is drawn, signed and installed on both chains, without anybody's order, over a restart.
async fn follow_the_stakes(world: &mut World) {
    let clients = world.clients.with_signer(world.accounts.signer("king-1").unwrap());
    let peer = gpumkt::client::Clients::peer_id(&world.folder.join("king-1")).unwrap();
    let more = Amount::parse_tokens("200000").unwrap();
    stake::stake(&clients, Role::King, more, clients.signer.address(), &peer, Mode::Send).await.unwrap();
    until("a nomination", async || {
        let call = KingSet::nominationCall {};
        let pending = world.chain(ChainKind::Ethereum).call(world.book.ethereum.bridge.king_set, call, BlockId::latest()).await.unwrap();
        (!pending.is_zero() || epoch(world, ChainKind::Ethereum).await >= 2).then_some(())
    })
    .await;
    world.kill("king-2");
    world.start_node("king-2", true).await;
    both_reach(world, 2).await;
    println!("rotated: epoch 2 on both chains");
    let mut hashes = Vec::new();
    for kind in ChainKind::BOTH {
        let call = KingSet::setHashCall { setEpoch: 2 };
        hashes.push(world.chain(kind).call(world.book.bridge(kind).king_set, call, BlockId::latest()).await.unwrap());
    }
    assert_eq!(hashes[0], hashes[1], "the same set on both chains");
    world.dispatch_both(2).await;
    world.all_delivered("with the second set", [&[], &[]]).await;
    let said: Value = serde_json::from_str(&world.operate("king-2", &["king", "statements"]).await).unwrap();
    assert!(said.to_string().contains("Rotation"), "{said}");
    let (difference, notes) = world.audit().await;
    assert_eq!(difference, "[]", "an audit follows a legitimate rotation");
    assert!(notes.contains("from epoch 1 to 2 by 1 rotations"), "{notes}");
}

/// Three operators order a pause: messages of Ethereum wait until it ends, the other way goes on.
async fn hold_the_bridge(world: &World) {
    let now = world.chain(ChainKind::Classic).head().await.unwrap().timestamp;
    let end = now + 45;
    let order = async |king: &str, end: u64| {
        world.operate(king, &["king", "pause", "--origin", "ethereum", "--until", &end.to_string(), "--yes"]).await
    };
    order("king-1", now - 10).await;
    until("a refusal of an order that is over", async || (world.logged("king-1", "E-COUNCIL-007") > 0).then_some(())).await;
    // King-1 weighs two of five: with two more it is a quorum.
    for king in ["king-1", "king-2", "king-3"] {
        order(king, end).await;
    }
    let inbox = world.book.classic.bridge.inbox;
    let paused = async || world.chain(ChainKind::Classic).call(inbox, Inbox::pausedUntilCall {}, BlockId::latest()).await.unwrap();
    until("the pause on Ethereum Classic", async || (paused().await == end).then_some(())).await;
    println!("paused by a quorum");
    until("word to the fourth operator", async || (world.logged("king-4", "king_order") > 0).then_some(())).await;
    let index = world.count(ChainKind::Ethereum).await;
    world.dispatch_both(1).await;
    until("an end of the pause", async || {
        let head = world.chain(ChainKind::Classic).head().await.unwrap();
        assert!(head.timestamp >= end || !world.is_delivered(ChainKind::Ethereum, index).await, "delivered while paused");
        (head.timestamp >= end).then_some(())
    })
    .await;
    world.all_delivered("after the pause", [&[], &[]]).await;
    println!("delivered after the pause");
    // Withdrawals are held by a third, and King-1 weighs two of five.
    let end = world.chain(ChainKind::Ethereum).head().await.unwrap().timestamp + 60;
    world.operate("king-1", &["king", "pause", "--withdrawals", "--until", &end.to_string(), "--yes"]).await;
    let rentals = world.book.ethereum.gpu_rental;
    until("held withdrawals", async || {
        let limit =
            world.chain(ChainKind::Ethereum).call(rentals, GPURentalTerms::withdrawalLimitCall {}, BlockId::latest()).await.unwrap();
        (limit.pausedUntil == end).then_some(())
    })
    .await;
    println!("withdrawals are held by a third");
}

/// Signed messages are replaced by a deep reorganisation: operators order a recovery, a new epoch revokes what is void, messages go on.
/// Answers what was signed of the branch that is gone.
async fn start_anew(world: &mut World) -> (u32, B256) {
    let block = world.dispatch(ChainKind::Classic).await;
    let signed = world.count(ChainKind::Classic).await;
    until("a delivery before signed messages vanish", async || world.is_delivered(ChainKind::Classic, signed - 1).await.then_some(()))
        .await;
    for king in kings() {
        let series = "gpumkt_bridge_count{origin=\"classic\",stage=\"signed\"}";
        until("all Kings' signatures", async || (world.metric(&king, series).await >= f64::from(signed)).then_some(())).await;
    }
    let dead = (signed, root(world, ChainKind::Classic).await);
    replace_above(world, block - 1).await;
    assert_eq!(world.count(ChainKind::Classic).await, signed - 1, "the message is gone");
    for _ in 0..2 {
        world.dispatch(ChainKind::Classic).await;
    }
    for king in kings() {
        until("a King to halt", async || world.ask(&king, "/readyz").await.contains("halted").then_some(())).await;
        world.operate(&king, &["king", "resume", "--yes"]).await;
    }
    world.reach(ChainKind::Classic, world.head(ChainKind::Classic).await + MIN_DEPTH + 2).await;
    // Another number than both branches share is refused.
    world.operate("king-1", &["king", "recover", "--fork-count", &(signed + 7).to_string(), "--yes"]).await;
    until("a refusal of a wrong count", async || (world.logged("king-1", "E-COUNCIL-006") > 0).then_some(())).await;
    for king in &kings()[..3] {
        world.operate(king, &["king", "recover", "--yes"]).await;
    }
    both_reach(world, 3).await;
    println!("recovered: epoch 3 on both chains");
    let accepted = world.accepted(ChainKind::Classic).await;
    assert!(accepted != signed, "the root of the dead branch is void: {accepted}");
    world.dispatch_both(1).await;
    // The dead branch's message of that index was delivered, and stays the only one.
    world.all_delivered("after the recovery", [&[], &[signed - 1]]).await;
    // An order that comes after it was done starts nothing new.
    world.operate("king-4", &["king", "recover", "--yes"]).await;
    until("a refusal to recover twice", async || (world.logged("king-4", "E-COUNCIL-009") > 0).then_some(())).await;
    println!("delivered after the recovery");
    dead
}

async fn root(world: &World, kind: ChainKind) -> B256 {
    world.chain(kind).call(world.book.bridge(kind).outbox, Outbox::rootCall {}, BlockId::latest()).await.unwrap()
}

async fn stake_of(world: &World, king: Address) -> U256 {
    let call = StakingManager::stakerCall { account: king };
    U256::from(world.chain(ChainKind::Ethereum).call(world.book.ethereum.staking_manager, call, BlockId::latest()).await.unwrap().staked)
}

/// Waits until `king` is convicted, which costs it its whole stake.
async fn convicted(world: &World, king: Address, reason: u8, origin: ChainKind, set_epoch: u64) {
    let call = KingCourt::convictedCall { king, reason, originChainId: world.book.chain_id(origin), setEpoch: set_epoch };
    until(&format!("a conviction of {king} for reason {reason}"), async || {
        let convicted =
            world.chain(ChainKind::Ethereum).call(world.book.ethereum.king_court, call.clone(), BlockId::latest()).await.unwrap();
        convicted.then_some(())
    })
    .await;
    assert_eq!(stake_of(world, king).await, U256::ZERO, "the whole stake is gone");
}

/// King-3 signs no count twice: it signs what is, what was on the branch that is gone, and more messages than Ethereum's Outbox holds.
async fn convict_a_liar(world: &mut World, dead: (u32, B256)) {
    world.kill("king-3");
    let liar = world.accounts.signer("king-3").unwrap().address();
    assert!(stake_of(world, liar).await > U256::ZERO);
    let byzantine = Byzantine::start(world, "king-3").await;
    let set_epoch = epoch(world, ChainKind::Classic).await;
    let live = (world.count(ChainKind::Classic).await, root(world, ChainKind::Classic).await);
    assert!(live.0 > dead.0);
    for (count, root) in [live, dead] {
        byzantine.publish(byzantine.sign_in(world, set_epoch, ChainKind::Classic, count, root)).await;
    }
    let beyond = world.count(ChainKind::Ethereum).await + 5;
    byzantine.publish(byzantine.sign_in(world, set_epoch, ChainKind::Ethereum, beyond, B256::repeat_byte(0x71))).await;
    convicted(world, liar, EQUIVOCATION, ChainKind::Classic, set_epoch).await;
    convicted(world, liar, FALSE_CHECKPOINT, ChainKind::Ethereum, set_epoch).await;
    println!("convicted of a fork and of a checkpoint beyond the Outbox");
    byzantine.stop().await;
}

/// King-4 signs two roots for one count, and a root of Ethereum's Outbox that never was. It loses its stake, whoever reports it is rewarded.
async fn convict_a_traitor(world: &mut World) {
    world.kill("king-4");
    let (staking, court) = (world.book.ethereum.staking_manager, world.book.ethereum.king_court);
    let thief = world.accounts.signer("king-4").unwrap().address();
    assert!(stake_of(world, thief).await > U256::ZERO);
    let byzantine = Byzantine::start(world, "king-4").await;
    let count = world.count(ChainKind::Classic).await;
    for root in [0x66, 0x67] {
        byzantine.publish(byzantine.sign_in(world, 3, ChainKind::Classic, count + 1, B256::repeat_byte(root))).await;
    }
    byzantine.publish(byzantine.sign_in(world, 3, ChainKind::Ethereum, 1, B256::repeat_byte(0x70))).await;
    convicted(world, thief, EQUIVOCATION, ChainKind::Classic, 3).await;
    println!("convicted of equivocation, slashed");
    convicted(world, thief, FALSE_CHECKPOINT, ChainKind::Ethereum, 3).await;
    let head = world.head(ChainKind::Ethereum).await;
    world.reach(ChainKind::Ethereum, head + 20).await;
    let verdicts = world.logs(ChainKind::Ethereum, court).await;
    let verdicts: Vec<KingCourt::KingConvicted> = verdicts.iter().filter_map(|log| log.decode()).collect();
    assert_eq!(verdicts.len(), 2, "each offence once");
    let honest: Vec<Address> = ["relay", "king-1", "king-2", "king-3"].map(|name| world.accounts.signer(name).unwrap().address()).to_vec();
    assert!(verdicts.iter().all(|verdict| verdict.king == thief && honest.contains(&verdict.reporter)));
    let slashes: Vec<StakingManager::Slashed> =
        world.logs(ChainKind::Ethereum, staking).await.iter().filter_map(|log| log.decode()).collect();
    assert!(slashes.iter().any(|slash| slash.account == thief && slash.amount > U256::ZERO && honest.contains(&slash.reporter)));
    byzantine.stop().await;
    world.dispatch_both(1).await;
    let signed = world.count(ChainKind::Classic).await;
    until("messages go on without the traitor", async || world.is_delivered(ChainKind::Classic, signed - 1).await.then_some(())).await;
}
