//! Which challenges belong to a rental: time decides, however late a message arrives.

use alloy::primitives::U256;
use gpumkt::{
    chain::BlockId,
    client::{
        rent::{self, RentalState, RentalView},
        stake::{self, OfferTerms},
        upkeep::{self, Maintenance},
    },
    rules::verdict::Outcome,
    types::{
        Amount, OfferId, RentalId,
        abi::{GPURental, WorkVerification},
        work::Mode,
    },
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::world::{World, until};
use crate::impersonate::send_as;

const PRICE_PER_HOUR: &str = "3.6";
/// Blocks after which no answer is waited for any more: all windows of a challenge together.
const OWED_BLOCKS: u64 = 40;
/// In place of a day.
const NOTICE_SECONDS: u32 = 5;

/// What the renter's command line prints.
async fn renter_says(world: &World, words: &[&str]) -> Vec<u8> {
    let config = world.network.write_config("renter", &world.network.bootstrap()).unwrap();
    let mut command = tokio::process::Command::new(&world.network.program);
    command.arg(words[0]).arg("--config").arg(config).args(&words[1..]).stdin(std::process::Stdio::null());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

async fn renter(world: &World, words: &[&str]) -> Value {
    serde_json::from_slice(&renter_says(world, &[words, &["--json"]].concat()).await).unwrap()
}

async fn rent_for(world: &World, offer: OfferId, duration: &str) -> RentalId {
    let told = renter(world, &["rent", &offer.to_string(), "--duration", duration, "--yes"]).await;
    told["rental"].as_u64().or_else(|| told["rentals"][0].as_u64()).unwrap_or_else(|| panic!("{told}"))
}

pub async fn offer(world: &World) -> OfferId {
    let provider = world.clients.with_signer(world.network.accounts.signer("provider").unwrap());
    let terms = OfferTerms {
        device: world.device,
        price_per_second_wei: stake::per_second(Amount::parse_tokens(PRICE_PER_HOUR).unwrap()).unwrap(),
        min_duration_seconds: 10,
        max_duration_seconds: 86_400,
        region: "local".into(),
        attributes: "{}".into(),
    };
    stake::create_offer(&provider, &terms).await.unwrap().0
}

async fn view(world: &World, rental: RentalId) -> RentalView {
    rent::rental(&world.clients, rental).await.unwrap()
}

async fn completed(world: &World, rental: RentalId) -> RentalView {
    until(&format!("rental {rental} is completed"), async || {
        let view = view(world, rental).await;
        (view.state == RentalState::Completed).then_some(view)
    })
    .await
}

/// What Ethereum Classic knows of a rental's end; `None` before the first message about it.
async fn known_end(world: &World, rental: RentalId) -> Option<u64> {
    let call = WorkVerification::rentalCall { rentalId: rental };
    world.clients.classic.call(world.contract(), call, BlockId::latest()).await.ok().map(|known| known.end)
}

/// A light commit for a challenge no earlier than `from`, in time for Queens on a machine that may be busy.
async fn light_commit(world: &World, rental: RentalId, from: u64) -> u64 {
    until("the rented device answers a light challenge", async || {
        let opened = world.all::<WorkVerification::ChallengeOpened>().await;
        let commits = world.all::<WorkVerification::WorkCommitted>().await;
        let is_meant = |commit: &&WorkVerification::WorkCommitted| {
            let timestamp = opened.iter().find(|opened| opened.blockNumber == commit.challengeBlock).map(|opened| opened.timestamp);
            let is_light = commit.rentalId == rental && commit.mode == Mode::Light as u8;
            is_light && commit.measured && timestamp.is_some_and(|timestamp| timestamp >= from)
        };
        commits.iter().find(is_meant).map(|commit| commit.challengeBlock)
    })
    .await
}

fn provider(world: &mut World, signal: Signal) {
    world.network.node("provider").unwrap().process.signal(signal).unwrap();
}

fn relay(world: &mut World, signal: Signal) {
    world.network.node("relay").unwrap().process.signal(signal).unwrap();
}

/// Ten seconds, most likely between two challenges: the first one after the end closes it.
pub async fn a_short_rental_is_closed_by_the_next_challenge(world: &World, offer: OfferId) {
    let rental = rent_for(world, offer, "10s").await;
    let done = completed(world, rental).await;
    assert!(done.challenges_due >= 1 && done.covered_until == done.end, "{done:?}");
    // A machine that is very busy misses challenges; what passed is verified, and the final audit says whether that is right.
    assert!(done.challenges_passed < done.challenges_due || done.verified_seconds == 10, "{done:?}");
}

/// Nothing crosses the bridge while the rental starts and while it is extended; what was answered meanwhile counts all the same.
pub async fn messages_that_come_late_change_nothing(world: &mut World, offer: OfferId) -> RentalId {
    relay(world, Signal::SIGSTOP);
    let rental = rent_for(world, offer, "1m").await;
    let block = light_commit(world, rental, 0).await;
    assert_eq!(known_end(world, rental).await, None, "nobody has told Ethereum Classic");
    relay(world, Signal::SIGCONT);
    assert_eq!(world.settled(world.device, block).await, Outcome::Passed as u8);

    until("the terms arrive", async || known_end(world, rental).await).await;
    let before = view(world, rental).await.end;
    relay(world, Signal::SIGSTOP);
    renter(world, &["extend", &rental.to_string(), "--hours", "1", "--yes"]).await;
    assert_eq!(view(world, rental).await.end, before + 3_600);
    let block = light_commit(world, rental, before).await;
    assert_eq!(known_end(world, rental).await, Some(before), "the extension is on its way");
    relay(world, Signal::SIGCONT);
    assert_eq!(world.settled(world.device, block).await, Outcome::Passed as u8);
    rental
}

/// The challenge that closes the first rental is a light one of the second.
pub async fn a_device_is_rented_again_before_the_closing_challenge(world: &World, offer: OfferId, first: RentalId) {
    renter(world, &["end", &first.to_string()]).await;
    let second = rent_for(world, offer, "20s").await;
    let (first, second) = (completed(world, first).await, completed(world, second).await);
    for done in [&first, &second] {
        assert!(done.challenges_due >= 1 && done.covered_until == done.end, "{done:?}");
    }
    assert!(first.end <= second.start);
}

/// The device is away for a time that was announced ahead: that time is refunded, and held against nobody.
pub async fn announced_maintenance_is_no_fault(world: &mut World, offer: OfferId) {
    let (contract, timelock) = (world.network.book.ethereum.gpu_rental, world.network.book.ethereum.timelock);
    let mut safeguards = world.clients.ethereum.call(contract, GPURental::safeguardsCall {}, BlockId::latest()).await.unwrap();
    safeguards.maintenanceNotice = NOTICE_SECONDS;
    send_as(&world.network.chains.ethereum, timelock, contract, GPURental::setSafeguardsCall { safeguards_: safeguards }).await;

    let rental = rent_for(world, offer, "3m").await;
    // Used once, or nothing of it is paid.
    assert_eq!(renter_says(world, &["run", &rental.to_string(), "--", "echo", "in"]).await, b"in\n");
    light_commit(world, rental, 0).await;
    let now = async |world: &World| world.clients.ethereum.head().await.unwrap().timestamp;
    // Blocks come every second or so; one more for the one that takes the declaration.
    let from = now(world).await + u64::from(NOTICE_SECONDS) + 5;
    let away = Maintenance { rental, from, until: from + 70 };
    let signer = world.network.accounts.signer("provider").unwrap();
    upkeep::declare_maintenance(&world.clients.with_signer(signer), away).await.unwrap();
    // Whoever goes away answers first for what it has committed to: every commit is drawn here.
    until("the maintenance begins, and nothing is owed", async || {
        let is_time = now(world).await >= away.from;
        let proven: Vec<u64> = world.all::<WorkVerification::WorkProven>().await.iter().map(|proven| proven.challengeBlock).collect();
        let commits = world.all::<WorkVerification::WorkCommitted>().await;
        let head = world.head().await;
        let owed = commits.iter().any(|commit| commit.challengeBlock + OWED_BLOCKS > head && !proven.contains(&commit.challengeBlock));
        (is_time && !owed).then_some(())
    })
    .await;
    provider(world, Signal::SIGSTOP);
    until("the maintenance ends", async || (now(world).await >= away.until).then_some(())).await;
    provider(world, Signal::SIGCONT);

    let done = completed(world, rental).await;
    let opened = world.all::<WorkVerification::ChallengeOpened>().await;
    let missed = world.all::<WorkVerification::DeviceSettled>().await.into_iter().filter(|settled| {
        let timestamp = opened.iter().find(|opened| opened.blockNumber == settled.challengeBlock).map(|opened| opened.timestamp);
        let is_away = timestamp.is_some_and(|timestamp| (away.from..away.until).contains(&timestamp));
        is_away && settled.deviceId == world.device && settled.outcome == Outcome::Missed as u8
    });
    assert!(missed.count() > 0, "it was away");
    let price = stake::per_second(Amount::parse_tokens(PRICE_PER_HOUR).unwrap()).unwrap();
    let paid = done.verified_seconds.min(done.end - done.start - (away.until - away.from));
    assert!(paid > 0, "{done:?}");
    assert_eq!(done.paid_wei, Amount(U256::from(price) * U256::from(paid)), "{done:?}");
    let told = renter(world, &["rentals", &rental.to_string()]).await;
    assert_eq!(told["maintenance"], json!([{ "from": away.from, "until": away.until }]));
    assert_eq!((&told["fault"], &told["close_reason"]), (&Value::Null, &json!("completed")), "{told}");
}
