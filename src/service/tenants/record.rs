//! What is stored of a rental.

use serde::{Deserialize, Serialize};

use crate::{
    rules::tenancy::Tenancy,
    service::told::Trouble,
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
    /// Rental whose container this one shares.
    pub leader: Option<RentalId>,
}
