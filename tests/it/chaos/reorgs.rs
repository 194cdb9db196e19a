//! Reorganisations, from harmless to what a King must stop for.

use gpumkt::{devnet::proxy::EndpointFault, types::ChainKind};

use super::{
    summary::Summary,
    world::{KINGS, MIN_DEPTH, World, until},
};

/// Nothing is signed at a depth that vanishes; what is sent again arrives.
pub async fn by_one_block(world: &World, summary: &mut Summary) {
    for origin in ChainKind::BOTH {
        let before = world.count(origin).await;
        world.dispatch(origin).await;
        world.chains.of(origin).reorg(1).await.unwrap();
        summary.fault(format!("reorganisation of {origin} by one block"));
        // The message may have been in the block that went.
        if world.count(origin).await == before {
            world.dispatch(origin).await;
        }
        world.all_delivered("after a shallow reorganisation", [&[], &[]]).await;
    }
}

/// The same, and one across the least depth that finds nothing signed.
pub async fn shallow_ones(world: &mut World, summary: &mut Summary) {
    by_one_block(world, summary).await;
    // Deeper than the least depth, but nothing was signed because the endpoints disagreed.
    world.king_fault(0, EndpointFault::Down);
    world.king_fault(1, EndpointFault::Down);
    let before = world.count(ChainKind::Classic).await;
    let block = world.dispatch(ChainKind::Classic).await;
    world.reach(ChainKind::Classic, block + MIN_DEPTH + 3).await;
    replace_above(world, block - 1).await;
    assert_eq!(world.count(ChainKind::Classic).await, before, "the message is gone");
    world.honest_again();
    summary.fault("reorganisation of classic, deeper than the least depth, nothing signed");
    world.dispatch(ChainKind::Classic).await;
    world.all_delivered("after an unsigned deep reorganisation", [&[], &[]]).await;
    for number in 1..=KINGS {
        assert_eq!(world.logged(&format!("king-{number}"), "king_halted"), 0, "nothing that was signed has changed");
    }
}

/// The block of a delivery goes: the relay delivers again.
pub async fn of_the_destination(world: &mut World, summary: &mut Summary) {
    for origin in ChainKind::BOTH {
        let index = world.count(origin).await;
        world.dispatch(origin).await;
        until("a delivery", async || world.is_delivered(origin, index).await.then_some(())).await;
        world.chains.of(origin.other()).reorg(1).await.unwrap();
        summary.fault(format!("reorganisation drops a delivery on {}", origin.other()));
        world.all_delivered("after a delivery was dropped", [&[], &[]]).await;
    }
}

/// Replaces every block of Ethereum Classic above `block`. A block that is mined between the look at the head and the reorganisation
/// makes it too shallow; then it is done again.
pub async fn replace_above(world: &World, block: u64) {
    let old_hash = world.hash(ChainKind::Classic, block + 1).await;
    until("a reorganisation that is deep enough", async || {
        let depth = world.head(ChainKind::Classic).await - block;
        world.chains.classic.reorg(depth).await.unwrap();
        (world.hash(ChainKind::Classic, block + 1).await != old_hash).then_some(())
    })
    .await;
}

/// The signed block is replaced, though every message stays: Kings stop, over restarts, until an operator lets them go on.
pub async fn below_a_signature(world: &mut World, summary: &mut Summary) {
    let kings: Vec<String> = (1..=KINGS).map(|number| format!("king-{number}")).collect();
    // An odd block: the stride block above it is signed, and can be replaced without it.
    let message = loop {
        let block = world.dispatch(ChainKind::Classic).await;
        world.all_delivered("before a deep reorganisation", [&[], &[]]).await;
        if block % 2 == 1 {
            break block;
        }
    };
    until("all Kings' signatures", async || {
        let mut newest = Vec::new();
        for king in &kings {
            newest.push(world.metric(king, "gpumkt_bridge_count{origin=\"classic\",stage=\"signed\"}").await);
        }
        let count = f64::from(world.count(ChainKind::Classic).await);
        newest.iter().all(|signed| *signed >= count).then_some(())
    })
    .await;
    replace_above(world, message).await;
    summary.fault("reorganisation of classic below a signed block");
    for king in &kings {
        until("all Kings to halt", async || world.ask(king, "/readyz").await.contains("halted").then_some(())).await;
    }
    let accepted = world.accepted(ChainKind::Classic).await;
    world.kill("king-1");
    world.start_node("king-1", false).await;
    until("the halt after a restart", async || world.ask("king-1", "/readyz").await.contains("halted").then_some(())).await;
    let block = world.dispatch(ChainKind::Classic).await;
    world.reach(ChainKind::Classic, block + MIN_DEPTH + 8).await;
    assert_eq!(world.accepted(ChainKind::Classic).await, accepted, "halted Kings sign nothing");
    for king in &kings {
        let told = world.operate(king, &["king", "resume", "--yes"]).await;
        assert!(told.contains("was reorganised below signed block"), "{told}");
    }
    summary.fault("operators resume all Kings");
    world.all_delivered("after the Kings were resumed", [&[], &[]]).await;
}

/// Messages that were signed are replaced by others: no King signs a second history in the same set epoch, whatever its operator says.
pub async fn of_signed_messages(world: &mut World, summary: &mut Summary) {
    let block = world.dispatch(ChainKind::Classic).await;
    let signed = world.count(ChainKind::Classic).await;
    until("a delivery before signed messages vanish", async || world.is_delivered(ChainKind::Classic, signed - 1).await.then_some(()))
        .await;
    replace_above(world, block - 1).await;
    assert_eq!(world.count(ChainKind::Classic).await, signed - 1, "the message is gone");
    summary.fault("reorganisation of classic replaces signed messages");
    // Two others take its place and the one after.
    for _ in 0..2 {
        world.dispatch(ChainKind::Classic).await;
    }
    let kings: Vec<String> = (1..=KINGS).map(|number| format!("king-{number}")).collect();
    let mut told = Vec::new();
    for king in &kings {
        until("a King to halt", async || world.ask(king, "/readyz").await.contains("halted").then_some(())).await;
        world.operate(king, &["king", "resume", "--yes"]).await;
        told.push(world.logged(king, "E-KING-006"));
    }
    for (king, before) in kings.iter().zip(told) {
        until("a refusal to sign another history", async || (world.logged(king, "E-KING-006") > before).then_some(())).await;
    }
    world.reach(ChainKind::Classic, world.head(ChainKind::Classic).await + MIN_DEPTH + 6).await;
    assert_eq!(world.accepted(ChainKind::Classic).await, signed, "nothing of the new history was accepted");
    assert!(world.count(ChainKind::Classic).await > signed);
}
