//! Repeats a provider's verdicts from what the two chains hold: no key, no trust in Queens, Kings or this network.

mod evidence;
mod examine;

use alloy::primitives::Address;

pub use evidence::{CommitRecord, Entry, Event, Evidence, Parameters, ReceiptRecord, RefusalRecord, collect};
pub use examine::{Audit, Disagreement, Range, Verdict, examine};

use super::{ClientError, Clients};

/// Collects and examines. Blocks a thread of its own while proofs are computed again.
pub async fn audit(clients: &Clients, provider: Address, range: Range) -> Result<Audit, ClientError> {
    let evidence = collect(clients, provider).await?;
    let stopped = |_| ClientError::Cancelled;
    tokio::task::spawn_blocking(move || examine(&evidence, range)).await.map_err(stopped)
}
