//! What a provider tells the renter of a rental.

use serde::{Deserialize, Serialize};

use crate::{
    rules::tenancy::{EndReason, Phase},
    sandbox::{ContainerLimits, NetworkPolicy, Usage},
    types::RentalId,
};

/// Something that the renter should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Unix seconds.
    pub at: u64,
    pub code: String,
    pub reason: String,
}

/// How a launch is going.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaunchProgress {
    /// Nothing has been started yet.
    Waiting,
    Step {
        message: String,
        done_bytes: u64,
        /// 0 while unknown.
        total_bytes: u64,
    },
    /// A login works now.
    Prepared,
    Failed {
        code: String,
        reason: String,
    },
}

/// A rental as its provider sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TenantStatus {
    pub rental: RentalId,
    pub phase: Phase,
    pub start: u64,
    pub end: u64,
    pub ended: Option<(u64, EndReason)>,
    /// `podman 4.3.1`, `bubblewrap 0.8.0`; `none` where only bare kernels run.
    pub runtime: String,
    /// Limits that the runtime cannot enforce.
    pub unenforced: Vec<String>,
    pub image: String,
    pub image_digest: String,
    pub limits: ContainerLimits,
    pub network: NetworkPolicy,
    pub usage: Option<Usage>,
    pub deaths: u32,
    pub out_of_memory_deaths: u32,
    pub paused_ms: u64,
    pub trouble: Option<Trouble>,
    /// Time without work in the container, as its processor time shows; and from when on the renter is told, 0 for never.
    pub idle_seconds: u64,
    pub idle_warning_seconds: u64,
    /// Rental whose container this one shares.
    pub shares: Option<RentalId>,
    /// `host:port` under which the published port of the container is reached.
    pub public_address: Option<String>,
}
