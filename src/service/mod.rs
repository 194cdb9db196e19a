//! Supervised loops: the only place where rules meet adapters.

pub mod audits;
pub mod challenges;
pub mod checkpoints;
pub mod committee;
pub mod delivery;
pub mod follower;
pub mod fund;
pub mod hosting;
pub mod index;
pub mod peers;
pub mod prover;
pub mod records;
pub mod reporter;
pub mod router;
pub mod sender;
pub mod session;
pub mod signer;
pub mod stake;
pub mod tenants;
pub mod watch;
pub mod worker;

/// Columns of a node's database, whatever its role.
pub const COLUMNS: &[&str] = &[
    index::LOG_TABLES[0].name(),
    index::LOG_TABLES[1].name(),
    signer::SIGNED.name(),
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
fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
