//! The operations that a provider asks for.

use std::{collections::HashMap, path::PathBuf, sync::PoisonError, time::Duration};

use bollard::{
    container::LogOutput,
    errors::Error,
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
        StatsOptionsBuilder, StopContainerOptionsBuilder,
    },
};
use futures::StreamExt;

use super::{
    super::{
        ContainerSpec, ContainerState, DeviceAccess, ImageProgress, ImageSource, NetworkPolicy, PreparedImage, Runtime, RuntimeFacts,
        SandboxError, Usage,
    },
    DefaultImage, EngineRuntime, UserNamespace,
    cdi::{self, Edits},
    connect::{Engine, Namespace, is_absent, one_line, patient, status},
    create::{self, Plan},
    egress,
    inspect::{Container, inspect},
    ownership,
};
use crate::types::RentalId;

/// Most of what a container printed that an error quotes.
const QUOTED_BYTES: usize = 2_048;

#[async_trait::async_trait]
impl Runtime for EngineRuntime {
    fn device_paths(&self, devices: &DeviceAccess) -> Result<Vec<PathBuf>, SandboxError> {
        Ok(self.devices(devices)?.nodes.into_iter().map(|node| node.inside).collect())
    }

    async fn check(&self) -> Result<RuntimeFacts, SandboxError> {
        let engine = self.connector.fresh().await?;
        self.namespace(&engine)?;
        let _alone = self.network_changes.lock().await;
        let mut unenforced = engine.unenforced.clone();
        if self.options.user_namespace == UserNamespace::Off {
            unenforced.push("user namespace: switched off in the configuration".into());
        }
        let has_egress = match self.egress().probe(&engine).await {
            Ok(()) => egress::resolvers(&self.options.dns).is_ok(),
            Err(error @ SandboxError::Egress { .. }) => {
                tracing::info!(%error, "containers get no network");
                false
            }
            Err(error) => return Err(error),
        };
        Ok(RuntimeFacts { name: engine.name.clone(), unenforced, has_images: true, has_egress })
    }

    async fn prepare(&self, image: &ImageSource, progress: &(dyn Fn(ImageProgress) + Send + Sync)) -> Result<PreparedImage, SandboxError> {
        let mut images = self.images();
        match image {
            ImageSource::Registry { reference, credentials } => images.pull(reference, credentials.as_ref(), progress).await,
            ImageSource::Archive(path) => images.load(path, progress).await,
            ImageSource::Default => {
                images.policy = None;
                match &self.options.default_image {
                    Some(DefaultImage::Reference(reference)) => images.pull(reference, None, progress).await,
                    Some(DefaultImage::Archive(path)) => images.load(path, progress).await,
                    None => Err(SandboxError::NoDefaultImage),
                }
            }
        }
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<(), SandboxError> {
        let engine = self.connector.engine().await?;
        let (userns_mode, is_namespaced) = self.namespace(&engine)?;
        ownership::make_scratch_dir(&spec.scratch_dir)?;
        create::check(spec, is_namespaced)?;
        if is_namespaced {
            ownership::open_agent_dir(&spec.agent_dir)?;
        }
        if let Some(found) = self.find(&engine, spec.rental).await? {
            if found.is_alive() {
                // A node that was killed between the start and what follows it.
                return self.settle(&engine, spec, &found).await;
            }
            self.remove(&engine, &found.id).await?;
        }
        self.forget_kills(spec.rental);
        let result = self.create(&engine, spec, userns_mode.as_deref(), is_namespaced).await;
        if result.is_err() {
            self.clean_up(&engine, spec.rental).await;
        }
        result
    }

    async fn state(&self, rental: RentalId) -> Result<ContainerState, SandboxError> {
        let engine = self.connector.engine().await?;
        let Some(found) = self.find(&engine, rental).await? else { return Ok(ContainerState::Absent) };
        if found.is_alive() {
            self.note_kills(rental, found.groups().and_then(|groups| groups.out_of_memory_kills()));
            return Ok(ContainerState::Running { is_paused: found.is_paused() });
        }
        if found.is_new() {
            return Ok(ContainerState::Absent);
        }
        let is_out_of_memory = found.state.oom_killed || self.known_kills(rental) > 0;
        Ok(ContainerState::Exited { code: found.state.exit_code, is_out_of_memory })
    }

    async fn pause(&self, rental: RentalId) -> Result<(), SandboxError> {
        self.freeze(rental, true).await
    }

    async fn resume(&self, rental: RentalId) -> Result<(), SandboxError> {
        self.freeze(rental, false).await
    }

    async fn stop(&self, rental: RentalId, grace: Duration) -> Result<(), SandboxError> {
        let engine = self.connector.engine().await?;
        if let Some(found) = self.find(&engine, rental).await? {
            self.end(&engine, &found, grace).await;
            self.remove(&engine, &found.id).await?;
        }
        self.forget_kills(rental);
        let _alone = self.network_changes.lock().await;
        self.egress().discard(&engine, rental).await
    }

    async fn list(&self) -> Result<Vec<RentalId>, SandboxError> {
        let engine = self.connector.engine().await?;
        let filters = HashMap::from([("label", vec![self.names.filter()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let containers =
            engine.docker.list_containers(Some(options)).await.map_err(|error| self.connector.fault("list containers", error))?;
        let mut rentals: Vec<RentalId> =
            containers.iter().filter_map(|container| self.names.rental_of(container.labels.as_ref()?)).collect();
        rentals.sort_unstable();
        rentals.dedup();
        {
            let _alone = self.network_changes.lock().await;
            self.egress().keep(&engine).await?;
        }
        Ok(rentals)
    }

    async fn logs(&self, rental: RentalId, bytes: usize) -> Result<Vec<u8>, SandboxError> {
        let engine = self.connector.engine().await?;
        let found = self.find(&engine, rental).await?.ok_or(SandboxError::NoContainer { rental })?;
        self.tail(&engine, &found.id, bytes).await
    }

    async fn usage(&self, rental: RentalId) -> Result<Usage, SandboxError> {
        let engine = self.connector.engine().await?;
        let found = self.find(&engine, rental).await?.ok_or(SandboxError::NoContainer { rental })?;
        if !found.is_alive() {
            return Err(SandboxError::NotRunning { rental });
        }
        let usage = match found.groups().and_then(|groups| groups.usage()) {
            Some(usage) => usage,
            None => self.reported_usage(&engine, &found.id).await?,
        };
        self.note_kills(rental, Some(usage.out_of_memory_kills));
        Ok(usage)
    }
}

impl EngineRuntime {
    /// The container of a rental, if it is this node's.
    async fn find(&self, engine: &Engine, rental: RentalId) -> Result<Option<Container>, SandboxError> {
        let name = self.names.container(rental);
        let Some(found) = inspect(&self.connector, engine, &name).await? else { return Ok(None) };
        if self.names.rental_of(&found.labels()) != Some(rental) {
            let reason = format!("the name {name} is taken by somebody else's");
            return Err(SandboxError::EngineRefused { action: "look for a container", reason });
        }
        if found.id.is_empty() {
            return Err(SandboxError::EngineAnswer { action: "look for a container", reason: "it has no id".into() });
        }
        Ok(Some(found))
    }

    async fn create(
        &self,
        engine: &Engine,
        spec: &ContainerSpec,
        userns_mode: Option<&str>,
        is_namespaced: bool,
    ) -> Result<(), SandboxError> {
        let image = match engine.docker.inspect_image(&spec.image).await {
            Ok(image) => image,
            Err(error) if is_absent(&error) => {
                return Err(SandboxError::ImageNotFound {
                    reference: spec.image.clone(),
                    reason: "it is not on this machine (any more)".into(),
                });
            }
            Err(error) => return Err(self.connector.fault("look at an image", error)),
        };
        let edits = self.devices(&spec.devices)?;
        create::check_nodes(&edits, is_namespaced)?;
        let name = self.names.container(spec.rental);
        let (network_mode, dns) = match spec.network {
            NetworkPolicy::None => ("none".to_owned(), None),
            NetworkPolicy::Open => ("bridge".to_owned(), None),
            NetworkPolicy::Egress => {
                let dns = egress::resolvers(&self.options.dns)?;
                let _alone = self.network_changes.lock().await;
                (self.egress().prepare(engine, spec.rental).await?, Some(dns))
            }
        };
        let labels = self.names.labels(spec.rental);
        let plan = Plan { spec, image: &image, engine, edits: &edits, labels, network_mode: &network_mode, dns, userns_mode };
        let body = create::body(&plan)?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        // A large image may be copied for its range of identifiers.
        let docker = patient(&engine.docker, Duration::from_secs(600));
        docker.create_container(Some(options), body).await.map_err(|error| self.start_fault(spec.rental, error))?;
        engine.docker.start_container(&name, None).await.map_err(|error| self.start_fault(spec.rental, error))?;
        let found = self.find(engine, spec.rental).await?.ok_or(SandboxError::NoContainer { rental: spec.rental })?;
        if !found.is_alive() {
            let printed = self.tail(engine, &found.id, QUOTED_BYTES).await.unwrap_or_default();
            let printed = one_line(&String::from_utf8_lossy(&printed));
            let reason = format!("its first process ended with {}: {printed}", found.state.exit_code);
            return Err(SandboxError::ContainerStart { rental: spec.rental, reason });
        }
        self.settle(engine, spec, &found).await
    }

    fn devices(&self, access: &DeviceAccess) -> Result<Edits, SandboxError> {
        match access {
            DeviceAccess::Cpu => Ok(Edits::default()),
            DeviceAccess::Nodes { paths } => cdi::from_nodes(paths),
            DeviceAccess::Cdi { name } => cdi::resolve(name, &self.options.cdi_dirs),
        }
    }

    /// What can only be done once the container runs. Nothing of the renter runs before `start` has returned.
    async fn settle(&self, engine: &Engine, spec: &ContainerSpec, found: &Container) -> Result<(), SandboxError> {
        if spec.network == NetworkPolicy::Egress {
            let _alone = self.network_changes.lock().await;
            self.egress().verify(found, spec.rental).await?;
        }
        let owner = match &engine.namespace {
            Namespace::Always { root } => *root,
            // What the namespace of this container is mapped to is known once it exists.
            _ => found.pid().and_then(ownership::root_of),
        };
        let Some(owner) = owner else { return Ok(()) };
        let scratch: PathBuf = spec.scratch_dir.clone();
        let done = tokio::task::spawn_blocking(move || ownership::hand_over(&scratch, owner)).await;
        done.map_err(|error| SandboxError::ContainerStart { rental: spec.rental, reason: error.to_string() })?
    }

    fn start_fault(&self, rental: RentalId, error: Error) -> SandboxError {
        match (status(&error), error) {
            (Some(400..=599), Error::DockerResponseServerError { message, status_code }) if status_code != 503 => {
                SandboxError::ContainerStart { rental, reason: one_line(&message) }
            }
            (_, error) => self.connector.fault("start a container", error),
        }
    }

    /// After a start that failed; the next one begins anew.
    async fn clean_up(&self, engine: &Engine, rental: RentalId) {
        match self.find(engine, rental).await {
            Ok(Some(found)) => {
                if let Err(error) = self.remove(engine, &found.id).await {
                    tracing::warn!(rental, %error, "a container that did not start is left over");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(rental, %error, "cannot look for what is left of a failed start"),
        }
        let _alone = self.network_changes.lock().await;
        if let Err(error) = self.egress().discard(engine, rental).await {
            tracing::warn!(rental, %error, "a network is left over");
        }
    }

    /// Ends the processes within the grace time; whatever fails here is made up for by the removal.
    async fn end(&self, engine: &Engine, found: &Container, grace: Duration) {
        if !found.is_alive() {
            return;
        }
        // A frozen process does not act on any signal.
        if found.is_paused()
            && let Err(error) = engine.docker.unpause_container(&found.id).await
        {
            tracing::debug!(%error, "cannot resume before the stop");
        }
        let seconds = i32::try_from(grace.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        if let Err(error) = patient(&engine.docker, grace).stop_container(&found.id, Some(options)).await {
            tracing::debug!(%error, "the container was not stopped politely");
        }
    }

    async fn remove(&self, engine: &Engine, id: &str) -> Result<(), SandboxError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match engine.docker.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(self.connector.fault("remove a container", error)),
        }
    }

    async fn freeze(&self, rental: RentalId, is_wanted: bool) -> Result<(), SandboxError> {
        let engine = self.connector.engine().await?;
        let found = self.find(&engine, rental).await?.ok_or(SandboxError::NoContainer { rental })?;
        if !found.is_alive() {
            return Err(SandboxError::NotRunning { rental });
        }
        if found.is_paused() == is_wanted {
            return Ok(());
        }
        let done =
            if is_wanted { engine.docker.pause_container(&found.id).await } else { engine.docker.unpause_container(&found.id).await };
        let Err(error) = done else { return Ok(()) };
        // Another call may have been faster.
        match self.find(&engine, rental).await? {
            Some(found) if found.is_alive() && found.is_paused() == is_wanted => Ok(()),
            Some(found) if !found.is_alive() => Err(SandboxError::NotRunning { rental }),
            Some(_) => Err(self.connector.fault(if is_wanted { "pause a container" } else { "resume a container" }, error)),
            None => Err(SandboxError::NoContainer { rental }),
        }
    }

    /// The last bytes that the first process printed.
    async fn tail(&self, engine: &Engine, id: &str, bytes: usize) -> Result<Vec<u8>, SandboxError> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("all").build();
        let mut pieces = std::pin::pin!(engine.docker.logs(id, Some(options)));
        let mut kept = Vec::new();
        // The engine bounds the file; this bounds what is held of it.
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.connector.fault("read what a container printed", error))?;
            if let LogOutput::StdOut { message } | LogOutput::StdErr { message } | LogOutput::Console { message } = piece {
                kept.extend_from_slice(&message);
            }
            if kept.len() > bytes.saturating_mul(2) {
                kept.drain(..kept.len() - bytes);
            }
        }
        kept.drain(..kept.len().saturating_sub(bytes));
        Ok(kept)
    }

    /// What the engine says of a container whose groups cannot be read here.
    async fn reported_usage(&self, engine: &Engine, id: &str) -> Result<Usage, SandboxError> {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut stats = std::pin::pin!(engine.docker.stats(id, Some(options)));
        let missing = || SandboxError::EngineAnswer { action: "ask what a container uses", reason: "no numbers".into() };
        let stats = stats.next().await.ok_or_else(missing)?.map_err(|error| self.connector.fault("ask what a container uses", error))?;
        let cpu = stats.cpu_stats.and_then(|stats| stats.cpu_usage).and_then(|usage| usage.total_usage).unwrap_or_default();
        Ok(Usage {
            memory_bytes: stats.memory_stats.and_then(|stats| stats.usage).unwrap_or_default(),
            cpu_us: cpu / 1_000,
            processes: stats.pids_stats.and_then(|stats| stats.current).and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
            out_of_memory_kills: 0,
        })
    }

    fn note_kills(&self, rental: RentalId, count: Option<u32>) {
        if let Some(count) = count.filter(|count| *count > 0) {
            let mut kills = self.kills.lock().unwrap_or_else(PoisonError::into_inner);
            let known = kills.entry(rental).or_default();
            *known = count.max(*known);
        }
    }

    fn known_kills(&self, rental: RentalId) -> u32 {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner).get(&rental).copied().unwrap_or_default()
    }

    fn forget_kills(&self, rental: RentalId) {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner).remove(&rental);
    }
}
