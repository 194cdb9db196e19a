//! Several devices in one rental: the first of the rentals has the container, the others share it.
//!
//! Each of them is paid, verified and ended by itself; what runs, runs until the last of them is over.

use std::sync::Arc;

use super::{LaunchProgress, Tenant, TenantError, Tenants};
use crate::{
    rules::tenancy::{Container, Phase, Step, Window},
    types::RentalId,
};

impl Tenant {
    pub(super) fn leader(&self) -> Option<RentalId> {
        self.state().leader
    }
}

impl Tenants {
    /// The rental whose container serves `rental`: usually itself.
    pub(super) fn leading(&self, rental: RentalId) -> Result<Arc<Tenant>, TenantError> {
        let tenant = self.get(rental)?;
        match tenant.leader() {
            Some(leader) => self.get(leader),
            None => Ok(tenant),
        }
    }

    /// What is due for a rental that shares the container of `leader`: all but the container itself.
    pub(super) async fn shared_step(&self, tenant: &Arc<Tenant>, leader: RentalId, window: Option<Window>, now: u64) -> Step {
        let phase = self.get(leader).map(|leader| leader.state().tenancy.phase).ok();
        self.follow_launch(tenant, phase);
        let has_ended = tenant.state().tenancy.ended.is_some();
        let container = match phase {
            // The container runs on for the others.
            _ if has_ended => Container::Absent,
            Some(Phase::Prepared) => self.container(leader).await,
            _ => Container::Unknown,
        };
        match tenant.state().tenancy.step(window, container, false, &self.inner.config.policy, now) {
            Step::Launch | Step::Restart => Step::Nothing,
            step => step,
        }
    }

    /// It is prepared when the leader is, and has failed when the leader has.
    fn follow_launch(&self, tenant: &Tenant, leader: Option<Phase>) {
        let (Some(phase @ (Phase::Prepared | Phase::Failed)), own) = (leader, tenant.state().tenancy.phase) else { return };
        if own == phase || matches!(own, Phase::Prepared | Phase::Ended) {
            return;
        }
        tenant.state().tenancy.phase = phase;
        if phase == Phase::Prepared {
            tenant.progress.send_replace(LaunchProgress::Prepared);
        }
        self.save_or_log(tenant);
    }
}
