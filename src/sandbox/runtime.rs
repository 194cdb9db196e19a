//! What a provider asks of whatever runs renters' containers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::SandboxError;
use crate::types::RentalId;

/// Runs containers, one per rental. Every operation may be repeated: a node that was killed in the middle asks again.
#[async_trait::async_trait]
pub trait Runtime: Send + Sync {
    /// What it is and what it can enforce; an error says why it cannot be used at all.
    async fn check(&self) -> Result<RuntimeFacts, SandboxError>;

    /// Brings the image onto this machine and returns its digest.
    async fn prepare(&self, image: &ImageSource, progress: &(dyn Fn(ImageProgress) + Send + Sync)) -> Result<PreparedImage, SandboxError>;

    /// Starts the container with the agent as its first process; what runs already is left alone. The agent dials the socket in
    /// [`ContainerSpec::agent_dir`].
    async fn start(&self, spec: &ContainerSpec) -> Result<(), SandboxError>;

    async fn state(&self, rental: RentalId) -> Result<ContainerState, SandboxError>;

    /// Stops every process of the container from being scheduled, so that the device is free for a challenge.
    async fn pause(&self, rental: RentalId) -> Result<(), SandboxError>;

    async fn resume(&self, rental: RentalId) -> Result<(), SandboxError>;

    /// Ends all processes, politely for `grace`, and removes the container; its folders stay. An absent one is no error.
    async fn stop(&self, rental: RentalId, grace: Duration) -> Result<(), SandboxError>;

    /// Rentals of this node that have a container in whatever state.
    async fn list(&self) -> Result<Vec<RentalId>, SandboxError>;

    /// What the container's first process printed, at most the last `bytes`.
    async fn logs(&self, rental: RentalId, bytes: usize) -> Result<Vec<u8>, SandboxError>;

    async fn usage(&self, rental: RentalId) -> Result<Usage, SandboxError>;

    /// Paths that must be open device nodes inside a container that was given `devices`.
    fn device_paths(&self, devices: &DeviceAccess) -> Result<Vec<PathBuf>, SandboxError> {
        Ok(match devices {
            DeviceAccess::Nodes { paths } => paths.clone(),
            DeviceAccess::Cpu | DeviceAccess::Cdi { .. } => Vec::new(),
        })
    }
}

/// What a runtime is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuntimeFacts {
    /// `podman 4.3.1`, `docker 28.2.2`, `bubblewrap 0.8.0`.
    pub name: String,
    /// Limits that it cannot enforce here, each with the reason.
    pub unenforced: Vec<String>,
    /// Whether images other than the provider's own system can be run.
    pub has_images: bool,
    /// Whether the egress policy can be enforced.
    pub has_egress: bool,
}

/// Where an image comes from.
#[derive(Debug, Clone)]
pub enum ImageSource {
    /// The provider's default: its configured image, or with bubblewrap its own system's /usr.
    Default,
    /// `registry.example/name:tag` or `…@sha256:…`.
    Registry { reference: String, credentials: Option<Credentials> },
    /// A root file system or image archive (tar) on the provider's machine.
    Archive(PathBuf),
}

/// Login of a registry.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub username: String,
    pub password: SecretString,
}

/// An image that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedImage {
    /// How the runtime names it in [`ContainerSpec::image`].
    pub id: String,
    /// `sha256:…` of its manifest where it came from a registry, of its content otherwise.
    pub digest: String,
    pub size_bytes: u64,
    /// Entry point and arguments that the image wants to be started with.
    pub command: Vec<String>,
}

/// How far a pull has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageProgress {
    pub message: String,
    pub done_bytes: u64,
    /// 0 while unknown.
    pub total_bytes: u64,
}

/// One container.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    pub rental: RentalId,
    /// [`PreparedImage::id`].
    pub image: String,
    pub hostname: String,
    /// Environment of every process in it. Values may be secrets: never logged.
    pub env: BTreeMap<String, String>,
    pub limits: ContainerLimits,
    pub network: NetworkPolicy,
    pub devices: DeviceAccess,
    /// Host folder with the node's socket, mounted read-only at [`crate::types::agent::MOUNT`].
    pub agent_dir: PathBuf,
    /// Host folder mounted writable at /root, the home of the renter.
    pub scratch_dir: PathBuf,
    /// Host file with the agent's program, mounted read-only at [`crate::types::agent::PROGRAM`].
    pub agent_program: PathBuf,
}

/// Bounds of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContainerLimits {
    pub memory_bytes: u64,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    pub processes: u32,
    /// Bytes in the scratch folder. Watched, not reserved.
    pub disk_bytes: u64,
    /// Size of /dev/shm and of /tmp, both in memory.
    pub shm_bytes: u64,
}

impl Default for ContainerLimits {
    fn default() -> Self {
        Self { memory_bytes: 4 << 30, cpu_millis: 2_000, processes: 1_024, disk_bytes: 20 << 30, shm_bytes: 256 << 20 }
    }
}

/// What a container may reach. The provider decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkPolicy {
    /// Its own loopback only.
    #[default]
    None,
    /// The public internet; neither this machine nor private, link-local or metadata addresses.
    Egress,
    /// Whatever this machine reaches.
    Open,
}

/// Which device the container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DeviceAccess {
    /// A CPU device: nothing beside the cores.
    #[default]
    Cpu,
    /// A GPU by its CDI name, such as `nvidia.com/gpu=0`; the runtime finds its specification.
    Cdi { name: String },
    /// Device nodes, where there is no CDI specification.
    Nodes { paths: Vec<PathBuf> },
}

/// Where a container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    Absent,
    Running {
        is_paused: bool,
    },
    /// Its first process has ended.
    Exited {
        code: i32,
        /// The kernel killed processes of it because of its memory limit.
        is_out_of_memory: bool,
    },
}

/// What a container uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub memory_bytes: u64,
    /// Since its start.
    pub cpu_us: u64,
    pub processes: u32,
    /// Processes killed for memory since its start.
    pub out_of_memory_kills: u32,
}

/// The folders of one rental on a provider's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RentalFolders {
    root: PathBuf,
}

impl RentalFolders {
    pub fn new(rentals_dir: &Path, rental: RentalId) -> Self {
        Self { root: rentals_dir.join(rental.to_string()) }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn agent(&self) -> PathBuf {
        self.root.join("agent")
    }

    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }
}
