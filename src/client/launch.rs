//! From a paid rental to a container that one can log in to.

use std::time::Duration;

use super::{
    ClientError, Clients,
    rent::{self, RentalState, RentalView, SessionKeys},
    session::RenterNode,
};
pub use crate::{
    service::told::{LaunchProgress, TenantStatus},
    types::launch::{ImageChoice, LaunchSpec, RegistryLogin},
};

/// What a launch needs beside the rental.
pub struct Launcher<'a> {
    pub clients: &'a Clients,
    pub node: &'a RenterNode,
    pub sessions: &'a SessionKeys,
}

impl Launcher<'_> {
    /// Asks for `launch`, follows it, and waits until the provider has said `ready`: from then on the time is paid for.
    pub async fn launch(
        &self,
        rental: &RentalView,
        launch: LaunchSpec,
        on_progress: &(dyn Fn(&LaunchProgress) + Sync),
    ) -> Result<RentalView, ClientError> {
        let id = rental.rental;
        let within = Duration::from_secs(rent::ready_window_seconds(self.clients).await?);
        let failed = |source| ClientError::Launch { rental: id, source: Box::new(source) };
        let key = self.sessions.open(rental)?;
        let mut session = self.node.open_within(self.clients, rental, &key, within).await.map_err(failed)?;
        // A pull of a large image takes as long as it takes, but no longer than the window in which `ready` counts.
        let launched = tokio::time::timeout(within, session.launch(launch, on_progress)).await;
        launched
            .map_err(|_| ClientError::StateTimeout {
                rental: id,
                expected: "launched",
                state: "preparing".into(),
                seconds: within.as_secs(),
            })?
            .map_err(failed)?;
        rent::wait_for(self.clients, id, RentalState::Active, "active", within).await
    }

    /// The rental as its provider sees it.
    pub async fn status(&self, rental: &RentalView) -> Result<TenantStatus, ClientError> {
        let key = self.sessions.open(rental)?;
        self.node.open(self.clients, rental, &key).await?.status().await
    }
}
