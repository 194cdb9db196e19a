//! How a provider without a reachable address is reached: through Queens, which relay for whoever holds a stake.
//!
//! Other nodes probe every address that this one may have. While none of them answers, places are reserved at two Queens, whose circuit
//! addresses go into the node's record. Whoever calls through one of them tries to punch a direct path, and keeps the circuit where there
//! is none.

use std::time::{Duration, Instant};

use alloy::primitives::Address;

use super::records::Records;
use crate::{
    config::RelayUse,
    net::{Addresses, Multiaddr, NetError, NetHandle, PeerId, is_circuit, parse_addresses},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::Role,
};

/// Relays at a time. With one, its loss would cost renters their way in until another is found.
const RELAYS: usize = 2;
/// Time others have to reach this node before it counts as unreachable. Shorter burdens relays with nodes that are only starting.
const PROBE_TIME: Duration = Duration::from_secs(20);
/// A chosen relay that gives no place within this time is replaced.
const PATIENCE: Duration = Duration::from_secs(30);
/// A relay that gave no place is not asked again in this time, as long as there are others.
const GRUDGE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(2);

struct Chosen {
    account: Address,
    peer: PeerId,
    address: Multiaddr,
    /// When there was a place last, or when it was asked for.
    seen: Instant,
}

/// Keeps a provider reachable.
pub struct ReachService {
    net: NetHandle,
    records: Records,
    wanted: RelayUse,
    metrics: Metrics,
    started: Instant,
    chosen: Vec<Chosen>,
    failed: Vec<(Address, Instant)>,
}

impl ReachService {
    pub fn new(net: NetHandle, records: Records, wanted: RelayUse, metrics: Metrics) -> Self {
        Self { net, records, wanted, metrics, started: Instant::now(), chosen: Vec::new(), failed: Vec::new() }
    }

    /// Relays once taken are kept when a direct address turns up: circuits that renters hold must not break for it.
    fn needs_relays(&self, addresses: &Addresses, now: Instant) -> bool {
        match self.wanted {
            RelayUse::Never => false,
            RelayUse::Always => true,
            RelayUse::Auto => {
                !self.chosen.is_empty() || (!addresses.is_direct() && now.saturating_duration_since(self.started) >= PROBE_TIME)
            }
        }
    }

    async fn look(&mut self, addresses: &Addresses, now: Instant) -> Result<(), NetError> {
        if !self.needs_relays(addresses, now) {
            return Ok(());
        }
        self.failed.retain(|(_, since)| now.saturating_duration_since(*since) < GRUDGE);
        for relay in &mut self.chosen {
            if addresses.is_through(relay.peer) {
                relay.seen = now;
            }
        }
        let (kept, lost): (Vec<Chosen>, Vec<Chosen>) =
            std::mem::take(&mut self.chosen).into_iter().partition(|relay| now.saturating_duration_since(relay.seen) < PATIENCE);
        self.chosen = kept;
        for relay in &lost {
            tracing::info!(queen = %relay.account, "this Queen does not relay for us; another one is taken");
            self.metrics.event("relay_place", "lost");
        }
        self.failed.extend(lost.iter().map(|relay| (relay.account, now)));
        let missing = RELAYS.saturating_sub(self.chosen.len());
        let found = if missing > 0 { self.candidates(missing).await? } else { Vec::new() };
        if lost.is_empty() && found.is_empty() {
            return Ok(());
        }
        for relay in found {
            tracing::info!(queen = %relay.account, address = %relay.address, "nobody reaches this node directly: a place at a Queen is asked for");
            self.metrics.event("relay_place", "asked");
            self.chosen.push(relay);
        }
        self.net.choose_relays(self.chosen.iter().map(|relay| relay.address.clone()).collect()).await
    }

    /// Queens with an address of their own, connected and near ones first, those that failed lately last.
    async fn candidates(&self, limit: usize) -> Result<Vec<Chosen>, NetError> {
        let connected = self.net.connected_peers().await?;
        let far = Duration::MAX;
        let mut found = Vec::new();
        for (peer, account) in self.records.peers_of(Role::Queen) {
            let Ok(Some(signed)) = self.records.lookup(account) else { continue };
            let Ok(addresses) = parse_addresses(&signed.record.addresses) else { continue };
            let Some(address) = addresses.into_iter().find(|address| !is_circuit(address)) else { continue };
            let Ok(address) = address.with_p2p(peer) else { continue };
            if self.chosen.iter().any(|relay| relay.peer == peer) {
                continue;
            }
            let distance = connected.iter().find(|info| info.peer == peer).map_or(far, |info| info.round_trip.unwrap_or_default());
            let has_failed = self.failed.iter().any(|(failed, _)| *failed == account);
            found.push(((has_failed, distance), Chosen { account, peer, address, seen: Instant::now() }));
        }
        found.sort_by_key(|(order, _)| *order);
        Ok(found.into_iter().take(limit).map(|(_, relay)| relay).collect())
    }
}

#[async_trait::async_trait]
impl Service for ReachService {
    fn name(&self) -> &'static str {
        "reach"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let watched = self.net.addresses();
        let mut tick = tokio::time::interval(LOOK);
        while shutdown.or_stop(tick.tick()).await.is_some() {
            let addresses = watched.borrow().clone();
            match self.look(&addresses, Instant::now()).await {
                Err(NetError::Stopped) if shutdown.intake.is_cancelled() => return Ok(()),
                outcome => outcome.map_err(Fault::recover)?,
            }
        }
        Ok(())
    }
}
