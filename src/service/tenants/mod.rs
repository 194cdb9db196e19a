//! Renters' containers on this machine: launched before `ready`, kept up while the rental runs, stopped at its end, wiped after a while.
//!
//! [`rules::tenancy`](crate::rules::tenancy) decides, this module does. What was decided is stored before it is done; a node that starts
//! again finds its containers by asking the runtime.
//!
//! Layout: `record` what is stored and told, `bring_up` from an image to a login, `disk` the watch over scratch folders,
//! `idle` the one over containers that nobody uses, `shared` rentals of several devices with one container.

mod bring_up;
mod disk;
mod error;
mod idle;
mod record;
mod shared;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub use disk::DiskService;
pub use error::TenantError;
pub use record::{StoredTenant, TENANTS};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, broadcast, watch},
    task::JoinSet,
};

pub use super::told::{LaunchProgress, TenantStatus, Trouble};
use super::unix_seconds;
use crate::{
    rules::tenancy::{Container, EndReason, Phase, Policy, Step, Tenancy, Window},
    sandbox::{Agent, ContainerLimits, ContainerState, DeviceAccess, NetworkPolicy, RentalFolders, Runtime, RuntimeFacts, SandboxError},
    store::Store,
    telemetry::{Alerts, Metrics, Severity},
    types::{Coded, RentalId, launch::LaunchSpec},
};

/// Rentals remembered at a time, ended ones included. Above, a disk would fill with files of the past.
const MAX_TENANTS: usize = 4_096;
/// Time a container has to end by itself. The renter was warned; the device must be free within the slack of the next challenge.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Notices that a slow terminal may lag behind.
const NOTICES: usize = 16;

/// The provider's choices for all containers.
#[derive(Debug, Clone)]
pub struct TenantsConfig {
    /// Parent of the rentals' folders.
    pub rentals_dir: PathBuf,
    /// Archives that renters may name.
    pub images_dir: Option<PathBuf>,
    /// Program of the agent, as the sandbox installed it.
    pub agent_program: PathBuf,
    pub limits: ContainerLimits,
    pub network: NetworkPolicy,
    pub devices: DeviceAccess,
    pub policy: Policy,
}

/// Cloneable access to all containers of this node.
#[derive(Clone)]
pub struct Tenants {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    /// `None`: this provider runs bare kernels only.
    runtime: Option<(Arc<dyn Runtime>, RuntimeFacts)>,
    config: TenantsConfig,
    metrics: Metrics,
    alerts: Alerts,
    tenants: Mutex<BTreeMap<RentalId, Arc<Tenant>>>,
}

/// One rental.
pub(super) struct Tenant {
    rental: RentalId,
    state: Mutex<StoredTenant>,
    agent: Mutex<Option<Agent>>,
    notices: broadcast::Sender<String>,
    progress: watch::Sender<LaunchProgress>,
    activity: Mutex<idle::Activity>,
    /// Held by whoever changes the container.
    busy: Arc<AsyncMutex<()>>,
}

impl Tenant {
    fn new(rental: RentalId, stored: StoredTenant) -> Self {
        let progress = match stored.tenancy.phase {
            Phase::Prepared => LaunchProgress::Prepared,
            _ => LaunchProgress::Waiting,
        };
        Self {
            rental,
            state: Mutex::new(stored),
            agent: Mutex::default(),
            notices: broadcast::channel(NOTICES).0,
            progress: watch::channel(progress).0,
            activity: Mutex::default(),
            busy: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, StoredTenant> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn agent(&self) -> MutexGuard<'_, Option<Agent>> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody may be listening; then nobody needs to know.
    fn tell(&self, notice: String) {
        let _ = self.notices.send(notice);
    }
}

/// What a session of the renter needs.
pub struct Tenure {
    pub agent: Agent,
    pub notices: broadcast::Receiver<String>,
}

impl Tenants {
    /// Reads what was stored, listens for the agents of containers that still run, and lets paused ones go on.
    pub async fn load(
        store: Store,
        runtime: Option<Arc<dyn Runtime>>,
        config: TenantsConfig,
        metrics: Metrics,
        alerts: Alerts,
    ) -> Result<Self, TenantError> {
        let runtime = match runtime {
            Some(runtime) => {
                let facts = runtime.check().await?;
                Some((runtime, facts))
            }
            None => None,
        };
        let mut tenants = BTreeMap::new();
        for (rental, stored) in store.scan(&TENANTS, None, MAX_TENANTS)? {
            tenants.insert(rental, Arc::new(Tenant::new(rental, stored)));
        }
        let this = Self { inner: Arc::new(Inner { store, runtime, config, metrics, alerts, tenants: Mutex::new(tenants) }) };
        for tenant in this.all() {
            if let Err(error) = this.attach_again(&tenant).await {
                tracing::error!(rental = tenant.rental, code = error.code(), %error, "cannot attach to a container again");
            }
        }
        Ok(this)
    }

    async fn attach_again(&self, tenant: &Arc<Tenant>) -> Result<(), TenantError> {
        let Some((runtime, _)) = &self.inner.runtime else { return Ok(()) };
        match runtime.state(tenant.rental).await? {
            ContainerState::Running { is_paused } => {
                if is_paused {
                    runtime.resume(tenant.rental).await?;
                }
                *tenant.agent() = Some(Agent::listen(&self.folders(tenant.rental).agent())?);
                tracing::info!(rental = tenant.rental, "found its container running");
            }
            ContainerState::Absent | ContainerState::Exited { .. } => {}
        }
        Ok(())
    }

    /// Ends containers of rentals that this node knows nothing of: their record was lost, so nobody would ever end them.
    async fn stop_strays(&self) {
        let Some((runtime, _)) = &self.inner.runtime else { return };
        let found = match runtime.list().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the containers of this node cannot be listed");
                return;
            }
        };
        for rental in found.into_iter().filter(|rental| self.get(*rental).is_err()) {
            tracing::warn!(rental, "a container of an unknown rental is stopped");
            if let Err(error) = runtime.stop(rental, STOP_GRACE).await {
                tracing::error!(rental, code = error.code(), %error, "it could not be stopped");
            }
        }
    }

    /// What runs containers here.
    pub fn runtime(&self) -> Option<&RuntimeFacts> {
        self.inner.runtime.as_ref().map(|(_, facts)| facts)
    }

    /// Records what the renter wants to be started; allowed until it has been.
    pub fn set_launch(&self, rental: RentalId, launch: LaunchSpec) -> Result<(), TenantError> {
        launch.check()?;
        let tenant = self.get(rental)?;
        if let Some(leader) = tenant.leader() {
            return Err(TenantError::Shares { rental, leader });
        }
        if self.inner.runtime.is_none() && launch != LaunchSpec::default() {
            return Err(TenantError::NoContainer { rental });
        }
        {
            let mut state = tenant.state();
            match state.tenancy.phase {
                Phase::Waiting | Phase::Failed => {}
                // Asked again after a broken connection, or so late that the default was started, and that is what is asked for.
                Phase::Preparing | Phase::Prepared if state.launch.clone().unwrap_or_default() == launch => return Ok(()),
                Phase::Preparing | Phase::Prepared | Phase::Ended => return Err(TenantError::Launched { rental }),
            }
            state.launch = Some(launch);
            state.tenancy.phase = Phase::Waiting;
        }
        tenant.progress.send_replace(LaunchProgress::Waiting);
        self.save(&tenant)
    }

    /// Follows a launch.
    pub fn progress(&self, rental: RentalId) -> Result<watch::Receiver<LaunchProgress>, TenantError> {
        Ok(self.get(rental)?.progress.subscribe())
    }

    /// The way into a running container.
    pub fn tenure(&self, rental: RentalId) -> Result<Tenure, TenantError> {
        let tenant = self.leading(rental)?;
        let agent = tenant.agent().clone().ok_or(TenantError::NoContainer { rental })?;
        Ok(Tenure { agent, notices: tenant.notices.subscribe() })
    }

    /// Ports of running containers that their renters publish.
    pub fn published(&self) -> BTreeMap<RentalId, u16> {
        let now = unix_seconds();
        let port = |tenant: Arc<Tenant>| {
            let state = tenant.state();
            let port = state.launch.as_ref().and_then(|launch| launch.publish);
            port.filter(|_| state.tenancy.is_running(now)).map(|port| (tenant.rental, port))
        };
        self.all().into_iter().filter_map(port).collect()
    }

    pub async fn status(&self, rental: RentalId) -> Result<TenantStatus, TenantError> {
        let (own, tenant) = (self.get(rental)?, self.leading(rental)?);
        let usage = match &self.inner.runtime {
            Some((runtime, _)) => runtime.usage(tenant.rental).await.ok(),
            None => None,
        };
        let facts = self.runtime();
        // One lock at a time: both are the same tenant, unless it shares another's container.
        let state = tenant.state().clone();
        let tenancy = own.state().tenancy.clone();
        let shares = own.leader();
        Ok(TenantStatus {
            rental,
            phase: tenancy.phase,
            start: tenancy.start,
            end: tenancy.end,
            ended: tenancy.ended,
            runtime: facts.map_or_else(|| "none".into(), |facts| facts.name.clone()),
            unenforced: facts.map(|facts| facts.unenforced.clone()).unwrap_or_default(),
            image: state.launch.as_ref().map_or_else(|| "default".into(), |launch| launch.image.to_string()),
            image_digest: state.image_digest,
            limits: self.inner.config.limits,
            network: self.inner.config.network,
            usage,
            deaths: state.tenancy.deaths,
            out_of_memory_deaths: state.out_of_memory_deaths,
            paused_ms: state.paused_ms,
            trouble: state.trouble,
            idle_seconds: tenant.idle_seconds(),
            idle_warning_seconds: self.inner.config.policy.idle_warning_seconds,
            shares,
            public_address: None,
        })
    }

    /// Does `work` while the container of `rental` stands still, so that the device is free for it.
    pub async fn paused<T>(&self, rental: RentalId, work: impl Future<Output = T>) -> T {
        let (Some((runtime, _)), Ok(tenant)) = (&self.inner.runtime, self.leading(rental)) else { return work.await };
        let rental = tenant.rental;
        let _busy = tenant.busy.lock().await;
        let started = Instant::now();
        if let Err(error) = runtime.pause(rental).await {
            tracing::warn!(rental, code = error.code(), %error, "the container runs on during a challenge");
            return work.await;
        }
        let done = work.await;
        // Where this fails, the next look at the container finds it paused and tries again.
        if let Err(error) = runtime.resume(rental).await {
            tracing::error!(rental, code = error.code(), %error, "the container is still paused");
        }
        let elapsed = started.elapsed();
        tenant.state().paused_ms += u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.inner.metrics.stage_seconds("pause", elapsed.as_secs_f64());
        self.save_or_log(&tenant);
        done
    }

    /// Does what is due; `windows` are the rentals of this node's devices as the chain has them. Returns those to say `ready` for.
    pub async fn look(&self, windows: &BTreeMap<RentalId, Window>, jobs: &mut JoinSet<()>) -> Vec<RentalId> {
        let now = unix_seconds();
        self.take_in(windows, now);
        let mut ready = Vec::new();
        for tenant in self.all() {
            let Ok(busy) = Arc::clone(&tenant.busy).try_lock_owned() else { continue };
            let window = windows.get(&tenant.rental).copied();
            tenant.state().tenancy.observe(window);
            let step = match tenant.leader() {
                Some(leader) => self.shared_step(&tenant, leader, window, now).await,
                None => {
                    let container = self.container(tenant.rental).await;
                    let state = tenant.state();
                    state.tenancy.step(window, container, state.launch.is_some(), &self.inner.config.policy, now)
                }
            };
            match step {
                Step::Nothing => {}
                Step::SayReady => ready.push(tenant.rental),
                step => {
                    jobs.spawn(self.clone().take_step(tenant, step, busy));
                }
            }
        }
        ready
    }

    fn take_in(&self, windows: &BTreeMap<RentalId, Window>, now: u64) {
        for (rental, window) in windows {
            let is_over = window.is_closed || (window.end != 0 && window.end <= now);
            if is_over || self.get(*rental).is_ok() || self.all().len() >= MAX_TENANTS {
                continue;
            }
            let stored = StoredTenant { tenancy: Tenancy::new(now), leader: window.leader, ..StoredTenant::default() };
            let tenant = Arc::new(Tenant::new(*rental, stored));
            self.save_or_log(&tenant);
            self.lock().insert(*rental, tenant);
        }
    }

    async fn container(&self, rental: RentalId) -> Container {
        let Some((runtime, _)) = &self.inner.runtime else { return Container::Running };
        match runtime.state(rental).await {
            Ok(ContainerState::Absent) => Container::Absent,
            Ok(ContainerState::Exited { .. }) => Container::Dead,
            Ok(ContainerState::Running { is_paused }) => {
                // Nobody holds the container, so this pause is a leftover.
                if is_paused && let Err(error) = runtime.resume(rental).await {
                    tracing::error!(rental, code = error.code(), %error, "the container is still paused");
                }
                Container::Running
            }
            Err(error) => {
                tracing::warn!(rental, code = error.code(), %error, "the container cannot be asked");
                Container::Unknown
            }
        }
    }

    async fn take_step(self, tenant: Arc<Tenant>, step: Step, _busy: OwnedMutexGuard<()>) {
        let rental = tenant.rental;
        let outcome = match step {
            Step::Nothing | Step::SayReady => Ok(()),
            Step::Launch => self.launch(&tenant).await,
            Step::Restart => self.restart(&tenant).await,
            Step::Warn { seconds_left, before } => self.warn(&tenant, seconds_left, before),
            Step::Stop(reason) => self.stop(&tenant, reason).await,
            Step::Wipe => self.wipe(&tenant),
        };
        if let Err(error) = outcome {
            self.inner.metrics.event("tenant", "trouble");
            let message = format!("{step:?} failed with {}: {error}", error.code());
            self.inner.alerts.raise("rental_trouble", Severity::Critical, format!("rental {rental}"), message);
            tenant.state().trouble = Some(Trouble { at: unix_seconds(), code: error.code().into(), reason: error.to_string() });
            self.save_or_log(&tenant);
        }
    }

    fn warn(&self, tenant: &Tenant, seconds_left: u64, before: u64) -> Result<(), TenantError> {
        tenant.state().tenancy.warned_before = before;
        self.save(tenant)?;
        tenant.tell(format!("This rental ends in {}. What is not saved elsewhere will be lost.", in_words(seconds_left)));
        self.inner.alerts.raise(
            "rental_ending",
            Severity::Info,
            format!("rental {} {before}", tenant.rental),
            format!("rental {} ends in {}", tenant.rental, in_words(seconds_left)),
        );
        Ok(())
    }

    async fn stop(&self, tenant: &Tenant, reason: EndReason) -> Result<(), TenantError> {
        {
            let mut state = tenant.state();
            state.tenancy.phase = Phase::Ended;
            state.tenancy.ended.get_or_insert((unix_seconds(), reason));
        }
        self.save(tenant)?;
        tenant.tell("This rental is over.".into());
        if let Some((runtime, _)) = &self.inner.runtime {
            runtime.stop(tenant.rental, STOP_GRACE).await?;
        }
        *tenant.agent() = None;
        self.inner.metrics.event("tenant", "stopped");
        tracing::info!(rental = tenant.rental, ?reason, "rental is over, its container is gone");
        Ok(())
    }

    fn wipe(&self, tenant: &Tenant) -> Result<(), TenantError> {
        let folders = self.folders(tenant.rental);
        match std::fs::remove_dir_all(folders.root()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(TenantError::Folder { path: folders.root().into(), source });
            }
            _ => {}
        }
        self.inner.store.delete(&TENANTS, &tenant.rental)?;
        self.lock().remove(&tenant.rental);
        tracing::info!(rental = tenant.rental, "files of an ended rental wiped");
        Ok(())
    }

    fn folders(&self, rental: RentalId) -> RentalFolders {
        RentalFolders::new(&self.inner.config.rentals_dir, rental)
    }

    fn get(&self, rental: RentalId) -> Result<Arc<Tenant>, TenantError> {
        self.lock().get(&rental).cloned().ok_or(TenantError::Unknown { rental })
    }

    fn all(&self) -> Vec<Arc<Tenant>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RentalId, Arc<Tenant>>> {
        self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, tenant: &Tenant) -> Result<(), TenantError> {
        let stored = tenant.state().clone();
        Ok(self.inner.store.put(&TENANTS, &tenant.rental, &stored)?)
    }

    /// Where the deed is done already, a failed write costs a repetition at most.
    fn save_or_log(&self, tenant: &Tenant) {
        if let Err(error) = self.save(tenant) {
            tracing::error!(rental = tenant.rental, code = error.code(), %error, "a rental's state was not stored");
        }
    }
}

fn in_words(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("{seconds} seconds"),
        91..=5_400 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3_600)),
    }
}

/// Why a container died, for the renter.
fn death(state: &ContainerState) -> SandboxError {
    let (code, is_out_of_memory) = match state {
        ContainerState::Exited { code, is_out_of_memory } => (*code, *is_out_of_memory),
        _ => (0, false),
    };
    SandboxError::Died { code, is_out_of_memory }
}
