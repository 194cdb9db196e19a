//! Messages cross the bridge whatever is thrown at it: none is lost, doubled, stuck or forged. Real processes, real chains, faults at
//! the places where they hurt. What happened is written to target/chaos/summary.json.

mod byzantine;
mod council;
mod faults;
mod reorgs;
mod summary;
mod world;

use std::path::Path;

use self::{summary::Summary, world::World};

/// `make chaos` repeats the faults; the suite throws each once.
fn rounds() -> usize {
    std::env::var("GPUMKT_CHAOS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_doubled_stuck_or_forged() {
    let _alone = crate::WHOLE_NETWORK.lock().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut world = World::start(folder.path()).await;
    let mut summary = Summary::default();
    world.start_kings(&["king-1", "king-2", "king-3", "king-4"]).await;
    world.start_node("relay-1", true).await;
    world.dispatch_both(2).await;
    world.all_delivered("without a fault", [&[], &[]]).await;

    for _ in 0..rounds() {
        faults::processes_are_killed(&mut world, &mut summary).await;
        faults::endpoints_misbehave(&mut world, &mut summary).await;
        faults::a_liar_and_a_dead_endpoint_leave_no_quorum(&mut world, &mut summary).await;
        faults::money_is_contested(&mut world, &mut summary).await;
        faults::clocks_jump(&mut world, &mut summary).await;
        reorgs::shallow_ones(&mut world, &mut summary).await;
        reorgs::of_the_destination(&mut world, &mut summary).await;
        faults::kings_are_missing_or_hostile(&mut world, &mut summary).await;
        faults::relays_compete_and_join_late(&mut world, &mut summary).await;
        reorgs::below_a_signature(&mut world, &mut summary).await;
    }
    faults::a_poisonous_message_waits_alone(&mut world, &mut summary).await;
    summary.account(&world).await;
    faults::a_contract_owes_more_than_it_holds(&mut world, &mut summary).await;
    reorgs::of_signed_messages(&mut world, &mut summary).await;
    summary.write(Path::new(env!("CARGO_MANIFEST_DIR")));
    summary.assert();
}

/// The Kings change, stop, start anew and lose one of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_stops_for_good_while_kings_rotate_pause_recover_and_convict() {
    let _alone = crate::WHOLE_NETWORK.lock().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    council::course(World::start(folder.path()).await).await;
}

/// Nobody had the next set drawn: what the old one signed is worth nothing from its last second on, and its Kings say so before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_delivered_by_an_expired_set() {
    let _alone = crate::WHOLE_NETWORK.lock().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    council::outlive_a_set(World::start(folder.path()).await).await;
}

/// What every change is tried with, beside other tests on a busy machine: deaths at the boundaries of stages, a lying endpoint, a shallow
/// reorganisation. Everything else waits for `make chaos`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slice() {
    let _alone = crate::WHOLE_NETWORK.lock().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut world = World::start(folder.path()).await;
    let mut summary = Summary::default();
    world.start_kings(&["king-1", "king-2", "king-3", "king-4"]).await;
    world.start_node("relay-1", true).await;
    world.dispatch_both(1).await;
    world.all_delivered("without a fault", [&[], &[]]).await;
    faults::a_relay_dies_around_its_broadcast(&mut world, &mut summary).await;
    faults::kings_die_around_a_signature(&mut world, &mut summary).await;
    faults::an_endpoint_lies(&world, &mut summary).await;
    reorgs::by_one_block(&world, &mut summary).await;
    summary.account(&world).await;
    summary.assert_nothing_wrong();
}
