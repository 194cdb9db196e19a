//! A node once its role has added its services.

use super::{Node, error::boxed, startup::tell_where, watch::watch};
use crate::{
    chain::Chain,
    service::{
        index::ChainIndex,
        router::{Handlers, Router},
    },
    types::{ChainKind, Coded},
};

impl Node {
    pub fn chain(&self, kind: ChainKind) -> (&Chain, &ChainIndex) {
        match kind {
            ChainKind::Ethereum => (&self.ethereum, &self.ethereum_index),
            ChainKind::Classic => (&self.classic, &self.classic_index),
        }
    }

    /// Adds the router, says that the node is ready, and runs until it is stopped.
    pub async fn run(mut self, handlers: Handlers) -> Result<(), Box<dyn Coded>> {
        self.supervisor.take_signals().map_err(boxed)?;
        let (watch, reload) = watch(&self)?;
        self.supervisor.add(watch);
        self.supervisor.add(reload);
        tell_where(&self).await?;
        let router = Router {
            net: self.peers.net.clone(),
            events: self.events,
            records: self.peers.records.clone(),
            handlers,
            alerts: self.alerts.clone(),
        };
        self.supervisor.add(router);
        self.health.ready("services");
        tracing::info!(role = ?self.role, account = %self.account, peer = %self.peers.net.local_peer_id(), "node is up");
        self.supervisor.run().await
    }
}
