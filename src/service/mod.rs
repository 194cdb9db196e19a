//! Supervised loops: the only place where rules meet adapters.

#[cfg(feature = "node")]
pub mod api;
#[cfg(feature = "node")]
pub mod audits;
pub mod census;
#[cfg(feature = "node")]
pub mod challenges;
#[cfg(feature = "node")]
pub mod checkpoints;
#[cfg(feature = "node")]
pub mod commands;
#[cfg(feature = "node")]
pub mod committee;
#[cfg(feature = "node")]
pub mod council;
#[cfg(feature = "node")]
pub mod court;
#[cfg(feature = "node")]
pub mod delivery;
pub mod directory;
#[cfg(feature = "node")]
pub mod docket;
#[cfg(feature = "node")]
pub mod follower;
#[cfg(feature = "node")]
pub mod fund;
#[cfg(feature = "node")]
pub mod hosting;
#[cfg(feature = "node")]
pub mod index;
#[cfg(feature = "node")]
pub mod indexer;
#[cfg(feature = "node")]
pub mod kings;
#[cfg(feature = "node")]
pub mod peers;
#[cfg(feature = "node")]
pub mod prosecutor;
#[cfg(feature = "node")]
pub mod prover;
#[cfg(feature = "node")]
pub mod pulse;
#[cfg(feature = "node")]
pub mod reach;
#[cfg(feature = "node")]
pub mod records;
#[cfg(feature = "node")]
pub mod reload;
#[cfg(feature = "node")]
pub mod reporter;
#[cfg(feature = "node")]
pub mod router;
#[cfg(feature = "node")]
pub mod seating;
#[cfg(feature = "node")]
pub mod sender;
pub mod session;
#[cfg(feature = "node")]
pub mod signer;
#[cfg(feature = "node")]
pub mod solvency;
#[cfg(feature = "node")]
pub mod stake;
#[cfg(feature = "node")]
pub mod tenants;
pub mod told;
#[cfg(feature = "node")]
pub mod watch;
#[cfg(feature = "node")]
pub mod worker;

/// Columns of a node's database, whatever its role.
#[cfg(feature = "node")]
pub const COLUMNS: &[&str] = &[
    index::LOG_TABLES[0].name(),
    index::LOG_TABLES[1].name(),
    indexer::TABLES[0].name(),
    indexer::TABLES[1].name(),
    signer::SIGNED.name(),
    delivery::MESSAGES.name(),
    delivery::BATCHES.name(),
    signer::halt::HALTS.name(),
    signer::halt::ENDED.name(),
    council::record::CHOICES.name(),
    council::record::SPOKEN.name(),
    docket::EVIDENCE.name(),
    committee::RECEIPTS.name(),
    audits::AUDITS.name(),
    audits::REFUSALS.name(),
    follower::COLUMNS[0],
    follower::COLUMNS[1],
    sender::COLUMNS[0],
    sender::COLUMNS[1],
    records::TABLES[0],
    records::TABLES[1],
    tenants::TENANTS.name(),
];

/// The wall clock, as chains and renters mean it.
#[cfg(feature = "node")]
fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Waits for the next block that an index takes in; `false` once the node stops.
#[cfg(feature = "node")]
async fn next_block(head: &mut tokio::sync::watch::Receiver<index::Head>, shutdown: &crate::task::Shutdown) -> bool {
    matches!(shutdown.or_stop(head.changed()).await, Some(Ok(())))
}
