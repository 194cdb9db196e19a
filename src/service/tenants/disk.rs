//! The watch over scratch folders. Quotas need file systems that few machines have; so folders are measured, and a container that grew
//! beyond its limit is stopped and started again, which ends whatever writes. Its files stay.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Tenant, TenantError, Tenants, Trouble};
use crate::{
    rules::tenancy::Phase,
    sandbox::SandboxError,
    service::unix_seconds,
    task::{Fault, Service, Shutdown},
    types::{Coded, RentalId},
};

/// Pause between two looks at one folder, at least; and this many times as long as the look took.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const REST_FACTOR: u32 = 20;
/// Entries of a folder that are counted. A folder with more is over every limit: it would exhaust the disk's inodes.
const MAX_ENTRIES: u64 = 5_000_000;

/// Pause between two looks at what the runtime has: it puts back packet filter rules that somebody took away.
const LIST_EVERY: Duration = Duration::from_secs(30);

/// Measures scratch folders, one at a time, and has the runtime look after itself.
pub struct DiskService {
    pub tenants: Tenants,
}

#[async_trait::async_trait]
impl Service for DiskService {
    fn name(&self) -> &'static str {
        "disks"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut watch = DiskWatch::default();
        let mut listed = Instant::now();
        self.tenants.stop_strays().await;
        while shutdown.pause(LOOK_EVERY).await {
            self.tenants.watch_disks(&mut watch).await;
            self.tenants.watch_idle().await;
            if listed.elapsed() >= LIST_EVERY {
                self.tenants.stop_strays().await;
                listed = Instant::now();
            }
        }
        Ok(())
    }
}

/// When each folder was measured, and what it held when its container was last stopped for it.
#[derive(Debug, Default)]
struct DiskWatch {
    next_look: BTreeMap<RentalId, Instant>,
    stopped_at_bytes: BTreeMap<RentalId, u64>,
}

impl Tenants {
    async fn watch_disks(&self, watch: &mut DiskWatch) {
        let now = Instant::now();
        watch.next_look.retain(|rental, _| self.get(*rental).is_ok());
        for tenant in self.all() {
            let is_up = tenant.leader().is_none() && tenant.state().tenancy.phase == Phase::Prepared;
            if !is_up || watch.next_look.get(&tenant.rental).is_some_and(|due| now < *due) {
                continue;
            }
            let folder = self.folders(tenant.rental).scratch();
            let measured = tokio::task::spawn_blocking(move || used_bytes(&folder)).await;
            watch.next_look.insert(tenant.rental, Instant::now() + LOOK_EVERY.max(now.elapsed() * REST_FACTOR));
            let Ok(used) = measured else { continue };
            if let Err(error) = self.hold_to_limit(&tenant, used, watch).await {
                tracing::error!(rental = tenant.rental, code = error.code(), %error, "a container over its disk limit was not stopped");
            }
        }
    }

    async fn hold_to_limit(&self, tenant: &Arc<Tenant>, used: u64, watch: &mut DiskWatch) -> Result<(), TenantError> {
        let limit = self.inner.config.limits.disk_bytes;
        if used <= limit {
            watch.stopped_at_bytes.remove(&tenant.rental);
            return Ok(());
        }
        // Somebody who cleans up is left alone: only growth is stopped again.
        if watch.stopped_at_bytes.get(&tenant.rental).is_some_and(|stopped| used <= *stopped) {
            return Ok(());
        }
        let Some((runtime, _)) = &self.inner.runtime else { return Ok(()) };
        watch.stopped_at_bytes.insert(tenant.rental, used);
        let cause = SandboxError::DiskFull { used, limit };
        tenant.tell(format!("{cause}. All processes are stopped; delete files before starting them again."));
        tenant.state().trouble = Some(Trouble { at: unix_seconds(), code: cause.code().into(), reason: cause.to_string() });
        self.save(tenant)?;
        let _busy = tenant.busy.lock().await;
        *tenant.agent() = None;
        runtime.stop(tenant.rental, Duration::ZERO).await?;
        self.start(tenant, runtime).await
    }
}

/// Bytes on disk below `folder`, links not followed. What vanishes meanwhile does not count.
fn used_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut waiting = vec![folder.to_path_buf()];
    let (mut bytes, mut entries) = (0u64, 0u64);
    while let Some(folder) = waiting.pop() {
        let Ok(listing) = std::fs::read_dir(&folder) else { continue };
        for entry in listing.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            entries += 1;
            bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
            if metadata.is_dir() {
                waiting.push(entry.path());
            }
        }
        if entries > MAX_ENTRIES {
            return u64::MAX;
        }
    }
    bytes
}
