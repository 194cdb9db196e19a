//! Signs of life of devices: providers gossip how busy and warm theirs are, Queens keep the last word of each.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::Address;
use lru::LruCache;

use super::{index::ChainIndex, unix_seconds};
use crate::{
    gpu::{self, Sensor},
    net::{NetError, NetHandle, Verdict},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{
        DeviceId,
        wire::{GossipMessage, Heartbeat},
    },
};

/// Pause between two signs of life. Shorter costs every Queen bandwidth, longer makes a dead device look alive.
const BEAT_EVERY: Duration = Duration::from_secs(60);
/// Devices of one node that are spoken for.
const MAX_OWN: usize = 16;
/// Devices remembered. Fewer than there are makes the quietest look unknown.
const MAX_KNOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(131_071);

/// The last word of each device.
#[derive(Clone)]
pub struct Pulses {
    classic: ChainIndex,
    known: Arc<Mutex<LruCache<DeviceId, Heartbeat>>>,
}

impl Pulses {
    pub fn new(classic: ChainIndex) -> Self {
        Self { classic, known: Arc::new(Mutex::new(LruCache::new(MAX_KNOWN))) }
    }

    /// Takes a sign of life that a provider's peer wrote. Nobody speaks for devices of others; one that the index does not have yet may
    /// only be new.
    pub fn take(&self, provider: Address, heartbeat: &Heartbeat) -> Verdict {
        let owner = self.classic.views().work.devices.get(&heartbeat.device_id).map(|device| device.provider);
        match owner {
            None => return Verdict::Ignore,
            Some(owner) if owner != provider => return Verdict::Reject,
            Some(_) => {}
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(&heartbeat.device_id).is_some_and(|last| last.timestamp >= heartbeat.timestamp) {
            return Verdict::Ignore;
        }
        known.push(heartbeat.device_id, *heartbeat);
        Verdict::Accept
    }

    pub fn last(&self) -> BTreeMap<DeviceId, Heartbeat> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(device, heartbeat)| (*device, *heartbeat)).collect()
    }
}

/// Speaks for the devices of a provider's node.
pub struct PulseService {
    pub net: NetHandle,
    pub classic: ChainIndex,
    pub account: Address,
    /// Key that works for the devices of this node.
    pub worker: Address,
    pub device: usize,
    pub cdi_device: Option<String>,
    pub device_nodes: Vec<PathBuf>,
    pub metrics: Metrics,
}

impl PulseService {
    async fn sensor(&self) -> Option<Sensor> {
        let (device, cdi, nodes) = (self.device, self.cdi_device.clone(), self.device_nodes.clone());
        let found = tokio::task::spawn_blocking(move || Sensor::find(&gpu::find(device).ok()?, cdi.as_deref(), &nodes));
        found.await.ok().flatten()
    }

    async fn beat(&self, sensor: &Sensor) -> Result<(), NetError> {
        let own: Vec<DeviceId> = {
            let views = self.classic.views();
            let devices = views.work.devices.iter();
            let own = devices.filter(|(_, device)| device.provider == self.account && device.worker == self.worker && !device.is_removed);
            own.map(|(id, _)| *id).take(MAX_OWN).collect()
        };
        let sensor = sensor.clone();
        let Ok(Some(reading)) = tokio::task::spawn_blocking(move || sensor.read()).await else {
            self.metrics.event("heartbeat", "unread");
            return Ok(());
        };
        for device_id in own {
            let heartbeat = Heartbeat {
                device_id,
                load_permille: reading.load_permille,
                temperature_celsius: reading.temperature_celsius,
                timestamp: unix_seconds(),
            };
            self.net.publish(&GossipMessage::Heartbeat(heartbeat)).await?;
            self.metrics.event("heartbeat", "sent");
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Service for PulseService {
    fn name(&self) -> &'static str {
        "pulse"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let Some(sensor) = self.sensor().await else {
            tracing::info!("this device tells neither load nor temperature: Queens hear no heartbeats of it");
            shutdown.intake.cancelled().await;
            return Ok(());
        };
        loop {
            match self.beat(&sensor).await {
                Err(NetError::Stopped) if shutdown.intake.is_cancelled() => return Ok(()),
                outcome => outcome.map_err(Fault::recover)?,
            }
            if !shutdown.pause(BEAT_EVERY).await {
                return Ok(());
            }
        }
    }
}
