//! From an image to a login: prepare, start, wait for the agent, run the start command.

use std::{os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc, time::Duration};

use super::{LaunchProgress, Tenant, TenantError, Tenants, Trouble, death};
use crate::{
    rules::tenancy::Phase,
    sandbox::{Agent, ContainerSpec, ContainerState, Credentials, ImageProgress, ImageSource, Runtime, SandboxError},
    service::unix_seconds,
    types::{
        Coded,
        agent::{Exec, Exit, Frame, PROGRAM},
        launch::ImageChoice,
    },
};

/// Time the agent has to call after its container was started. A loaded machine takes seconds.
const AGENT_WITHIN: Duration = Duration::from_secs(30);
/// Time a look at the device may take inside the container.
const DEVICE_WITHIN: Duration = Duration::from_secs(20);

impl Tenants {
    /// Nothing is owed for a launch that fails: `ready` is not said, and the chain refunds.
    pub(super) async fn launch(&self, tenant: &Arc<Tenant>) -> Result<(), TenantError> {
        tenant.state().tenancy.phase = Phase::Preparing;
        self.save(tenant)?;
        let outcome = self.prepare_and_start(tenant).await;
        let (phase, progress) = match &outcome {
            Ok(()) => (Phase::Prepared, LaunchProgress::Prepared),
            Err(error) => (Phase::Failed, LaunchProgress::Failed { code: error.code().into(), reason: error.to_string() }),
        };
        tenant.state().tenancy.phase = phase;
        self.save(tenant)?;
        tenant.progress.send_replace(progress);
        self.inner.metrics.event("tenant", if outcome.is_ok() { "launched" } else { "launch_failed" });
        outcome
    }

    async fn prepare_and_start(&self, tenant: &Arc<Tenant>) -> Result<(), TenantError> {
        let Some((runtime, _)) = &self.inner.runtime else { return Ok(()) };
        let source = self.image_source(tenant)?;
        let step = |progress: ImageProgress| {
            let ImageProgress { message, done_bytes, total_bytes } = progress;
            tenant.progress.send_replace(LaunchProgress::Step { message, done_bytes, total_bytes });
        };
        let image = runtime.prepare(&source, &step).await?;
        {
            let mut state = tenant.state();
            (state.image_id, state.image_digest, state.image_command) = (image.id, image.digest, image.command);
        }
        self.save(tenant)?;
        step(ImageProgress { message: "starting the container".into(), done_bytes: 0, total_bytes: 0 });
        // What a launch that was cut short has left behind.
        runtime.stop(tenant.rental, Duration::ZERO).await?;
        self.start(tenant, runtime).await
    }

    /// Starts the prepared image again; files in the renter's home are still there, processes are not.
    pub(super) async fn restart(&self, tenant: &Arc<Tenant>) -> Result<(), TenantError> {
        let Some((runtime, _)) = &self.inner.runtime else { return Ok(()) };
        let state = runtime.state(tenant.rental).await?;
        let cause = death(&state);
        *tenant.agent() = None;
        {
            let mut stored = tenant.state();
            stored.tenancy.deaths += 1;
            stored.tenancy.died_at = unix_seconds();
            stored.out_of_memory_deaths += u32::from(matches!(state, ContainerState::Exited { is_out_of_memory: true, .. }));
            stored.trouble = Some(Trouble { at: unix_seconds(), code: cause.code().into(), reason: cause.to_string() });
        }
        self.save(tenant)?;
        tracing::warn!(rental = tenant.rental, %cause, "container is started again");
        self.inner.metrics.event("tenant", "restarted");
        runtime.stop(tenant.rental, Duration::ZERO).await?;
        self.start(tenant, runtime).await
    }

    pub(super) async fn start(&self, tenant: &Arc<Tenant>, runtime: &Arc<dyn Runtime>) -> Result<(), TenantError> {
        let spec = self.spec(tenant)?;
        // The way into what ran before leads nowhere.
        *tenant.agent() = None;
        let agent = Agent::listen(&spec.agent_dir)?;
        runtime.start(&spec).await?;
        agent.wait_ready(AGENT_WITHIN).await?;
        check_devices(&agent, &runtime.device_paths(&spec.devices)?).await?;
        let command = self.start_command(tenant);
        if !command.argv.is_empty() {
            agent.start_command(command).await?;
        }
        *tenant.agent() = Some(agent);
        Ok(())
    }

    fn image_source(&self, tenant: &Tenant) -> Result<ImageSource, TenantError> {
        let choice = tenant.state().launch.clone().unwrap_or_default().image;
        Ok(match choice {
            ImageChoice::Default => ImageSource::Default,
            ImageChoice::Registry { reference, login } => ImageSource::Registry {
                reference,
                credentials: login.map(|login| Credentials { username: login.username, password: login.password.into() }),
            },
            ImageChoice::Local { name } => {
                let folder = self.inner.config.images_dir.as_ref();
                let path = folder.map(|folder| folder.join(format!("{name}.tar"))).filter(|path| path.is_file());
                ImageSource::Archive(path.ok_or(SandboxError::UnknownImage { name })?)
            }
        })
    }

    fn spec(&self, tenant: &Tenant) -> Result<ContainerSpec, TenantError> {
        let folders = self.folders(tenant.rental);
        let config = &self.inner.config;
        for path in [folders.root().to_path_buf(), folders.scratch()] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|source| TenantError::Folder { path, source })?;
        }
        let state = tenant.state();
        let mut env = state.launch.clone().unwrap_or_default().env;
        env.insert("GPUMKT_RENTAL".into(), tenant.rental.to_string());
        Ok(ContainerSpec {
            rental: tenant.rental,
            image: state.image_id.clone(),
            hostname: format!("rental-{}", tenant.rental),
            env,
            limits: config.limits,
            network: config.network,
            devices: config.devices.clone(),
            agent_dir: folders.agent(),
            scratch_dir: folders.scratch(),
            agent_program: config.agent_program.clone(),
        })
    }

    /// The renter's own command, otherwise the one of an image that the renter chose.
    fn start_command(&self, tenant: &Tenant) -> Exec {
        let state = tenant.state();
        let launch = state.launch.clone().unwrap_or_default();
        let words = match (launch.command.is_empty(), launch.image) {
            (false, _) => launch.command,
            (true, ImageChoice::Default) => Vec::new(),
            (true, _) => state.image_command.clone(),
        };
        Exec { argv: words.into_iter().map(String::into_bytes).collect(), ..Exec::default() }
    }
}

/// The device's nodes must be there and open inside: a container without its GPU is not what was rented.
async fn check_devices(agent: &Agent, nodes: &[PathBuf]) -> Result<(), SandboxError> {
    if nodes.is_empty() {
        return Ok(());
    }
    let mut argv = vec![PROGRAM.as_bytes().to_vec(), b"check-devices".to_vec()];
    argv.extend(nodes.iter().map(|path| path.as_os_str().as_encoded_bytes().to_vec()));
    let process = agent.exec(Exec { argv, ..Exec::default() }).await?;
    let (_input, mut output) = process.split();
    let looked = tokio::time::timeout(DEVICE_WITHIN, async {
        let mut said = Vec::new();
        loop {
            match output.next().await? {
                Frame::Exited(Exit::Code(0)) => return Ok(()),
                Frame::Exited(_) => return Err(SandboxError::DeviceMissing { reason: String::from_utf8_lossy(&said).into_owned() }),
                Frame::Stdout(bytes) | Frame::Stderr(bytes) if said.len() < 4_096 => said.extend_from_slice(&bytes),
                _ => {}
            }
        }
    });
    looked.await.unwrap_or_else(|_| Err(SandboxError::DeviceMissing { reason: "the look took too long".into() }))
}
