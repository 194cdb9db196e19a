//! What is stored of a rental, and what is told of it.

use serde::{Deserialize, Serialize};

use crate::{
    rules::tenancy::{EndReason, Phase, Tenancy},
    sandbox::{ContainerLimits, NetworkPolicy, Usage},
    store::Table,
    types::{RentalId, launch::LaunchSpec},
};

/// Everything that a restart must not lose.
pub const TENANTS: Table<RentalId, StoredTenant> = Table::new("tenants");

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StoredTenant {
    pub tenancy: Tenancy,
    pub launch: Option<LaunchSpec>,
    /// Of the image that runs; empty until it is prepared.
    pub image_id: String,
    pub image_digest: String,
    /// What the image itself wants to be started with; used where the launch names no command.
    pub image_command: Vec<String>,
    /// Time the container stood still for challenges.
    pub paused_ms: u64,
    /// Restarts because of the memory limit.
    pub out_of_memory_deaths: u32,
    /// The last thing that went wrong, with its code.
    pub trouble: Option<Trouble>,
}

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
}
