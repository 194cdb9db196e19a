//! What can go wrong with a renter's kernel or container.

use std::path::PathBuf;

use thiserror::Error;

use crate::types::{Coded, RentalId};

/// Why a kernel job has no result, or a container does not do what it should.
/// Why a kernel job has no result, or a container cannot be had.
#[derive(Debug, Error)]
pub enum SandboxError {
    #[error("the job is not acceptable: {reason}")]
    Job { reason: String },
    #[error("the job asks for {asked} {what}, the limit is {limit}")]
    TooLarge { what: &'static str, asked: u64, limit: u64 },
    #[error("the kernel does not compile:\n{log}")]
    Build { log: String },
    #[error("the source has no kernel named {name:?}")]
    UnknownKernel { name: String, log: String },
    #[error("the device refused the job: {message}")]
    Device { message: String },
    #[error("the kernel did not finish within {wall_ms} ms and was killed")]
    Timeout { wall_ms: u64 },
    #[error("the kernel process ended by {cause}: {output}")]
    Crashed { cause: String, output: String },
    #[error("the kernel process sent a malformed answer: {reason}")]
    Protocol { reason: String },
    #[error("bubblewrap is required to isolate jobs, but does not work here: {reason}")]
    NoIsolation { reason: String },
    #[error("cannot start {path}: {source}", path = path.display())]
    Spawn { path: PathBuf, source: std::io::Error },
    #[error("the container's first process ended with code {code}{}", if *is_out_of_memory { ": its memory limit was reached" } else { "" })]
    Died { code: i32, is_out_of_memory: bool },
    #[error("this provider has no image named {name:?}")]
    UnknownImage { name: String },
    #[error("the rented device is not usable inside the container: {reason}")]
    DeviceMissing { reason: String },
    #[error("the container holds {used} bytes on disk, its limit is {limit}")]
    DiskFull { used: u64, limit: u64 },
    #[error("cannot use the scratch directory {path}: {source}", path = path.display())]
    Scratch { path: PathBuf, source: std::io::Error },
    #[error("cannot listen for the container's agent in {path}: {source}", path = path.display())]
    AgentSocket { path: PathBuf, source: std::io::Error },
    #[error("the container's agent did not answer within {waited_ms} ms")]
    AgentSilent { waited_ms: u64 },
    #[error("the channel into the container broke: {source}")]
    AgentChannel { source: std::io::Error },
    #[error("the container's agent sent nonsense: {reason}")]
    AgentProtocol { reason: String },
    /// `errno` is 0 where none applies.
    #[error("not possible in the container: {reason}")]
    AgentRefused { errno: i32, reason: String },
    #[error("cannot write the agent's program to {path}: {source}", path = path.display())]
    AgentProgram { path: PathBuf, source: std::io::Error },
    #[error("cannot use the SSH key {path}: {reason}", path = path.display())]
    SshKey { path: PathBuf, reason: String },
    #[error("nobody logged in over SSH: {reason}")]
    SshLogin { reason: String },
    #[error("the SSH connection broke: {reason}")]
    SshConnection { reason: String },
    #[error("{runtime} cannot do this: {reason}")]
    Unsupported { runtime: &'static str, reason: String },
    #[error("{runtime} does not work here: {reason}")]
    RuntimeUnusable { runtime: &'static str, reason: String },
    #[error("cannot {operation} the container of rental {rental}: {reason}")]
    Container { rental: u64, operation: &'static str, reason: String },
    #[error("no container engine was found: {tried}")]
    NoEngine { tried: String },
    #[error("no permission to use the container engine at {socket}", socket = socket.display())]
    EngineForbidden { socket: PathBuf },
    #[error("{name} is too old: {needed} or newer is needed")]
    EngineTooOld { name: String, needed: &'static str },
    #[error("the container engine went away: {action}: {reason}")]
    EngineGone { action: &'static str, reason: String },
    #[error("the container engine refused: {action}: {reason}")]
    EngineRefused { action: &'static str, reason: String },
    #[error("the container engine's answer makes no sense: {action}: {reason}")]
    EngineAnswer { action: &'static str, reason: String },
    #[error("{reference:?} is not an image reference: {reason}")]
    ImageReference { reference: String, reason: &'static str },
    #[error("the image {reference} is not allowed here: {reason}")]
    ImageForbidden { reference: String, reason: String },
    #[error("the image {reference} cannot be fetched: {reason}")]
    ImageUnavailable { reference: String, reason: String },
    #[error("there is no image {reference}: {reason}")]
    ImageNotFound { reference: String, reason: String },
    #[error("the registry of {reference} refused the login: {reason}")]
    ImageLogin { reference: String, reason: String },
    #[error("the image {reference} takes {size_bytes} bytes or more, the limit is {limit_bytes}")]
    ImageTooLarge { reference: String, size_bytes: u64, limit_bytes: u64 },
    #[error("the image archive {path} cannot be used: {reason}", path = path.display())]
    ImageArchive { path: PathBuf, reason: String },
    #[error("this provider has no default image")]
    NoDefaultImage,
    #[error("the image {image} cannot be run: {reason}")]
    ImageUnfit { image: String, reason: String },
    #[error("the CDI device {name:?} cannot be used: {reason}")]
    Cdi { name: String, reason: String },
    #[error("the device node {path} cannot be used: {reason}", path = path.display())]
    DeviceNode { path: PathBuf, reason: String },
    #[error("the network policy cannot be enforced: {reason}")]
    Egress { reason: String },
    #[error("containers cannot have a user namespace of their own here: {reason}")]
    NoUserNamespace { reason: String },
    #[error("the container's {what} is not acceptable: {reason}")]
    ContainerSpec { what: &'static str, reason: String },
    #[error("the container of rental {rental} did not start: {reason}")]
    ContainerStart { rental: RentalId, reason: String },
    #[error("rental {rental} has no container")]
    NoContainer { rental: RentalId },
    #[error("the container of rental {rental} is not running")]
    NotRunning { rental: RentalId },
    #[error("cannot use {path} for a container: {source}", path = path.display())]
    Folder { path: PathBuf, source: std::io::Error },
}

impl SandboxError {
    /// Whether the same call may succeed later although nobody changes anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::EngineGone { .. } | Self::NoEngine { .. } | Self::ImageUnavailable { .. })
    }
}

impl Coded for SandboxError {
    fn code(&self) -> &'static str {
        match self {
            Self::Job { .. } => "E-SANDBOX-001",
            Self::TooLarge { .. } => "E-SANDBOX-002",
            Self::Build { .. } => "E-SANDBOX-003",
            Self::UnknownKernel { .. } => "E-SANDBOX-004",
            Self::Device { .. } => "E-SANDBOX-005",
            Self::Timeout { .. } => "E-SANDBOX-006",
            Self::Crashed { .. } => "E-SANDBOX-007",
            Self::Protocol { .. } => "E-SANDBOX-008",
            Self::NoIsolation { .. } => "E-SANDBOX-009",
            Self::Spawn { .. } => "E-SANDBOX-010",
            Self::Scratch { .. } => "E-SANDBOX-011",
            Self::AgentSocket { .. } => "E-SANDBOX-012",
            Self::AgentSilent { .. } => "E-SANDBOX-013",
            Self::AgentChannel { .. } => "E-SANDBOX-014",
            Self::AgentProtocol { .. } => "E-SANDBOX-015",
            Self::AgentRefused { .. } => "E-SANDBOX-016",
            Self::AgentProgram { .. } => "E-SANDBOX-017",
            Self::SshKey { .. } => "E-SANDBOX-050",
            Self::SshLogin { .. } => "E-SANDBOX-051",
            Self::SshConnection { .. } => "E-SANDBOX-052",
            Self::Unsupported { .. } => "E-SANDBOX-018",
            Self::RuntimeUnusable { .. } => "E-SANDBOX-019",
            Self::Container { .. } => "E-SANDBOX-020",
            Self::NoEngine { .. } => "E-SANDBOX-030",
            Self::EngineForbidden { .. } => "E-SANDBOX-031",
            Self::EngineTooOld { .. } => "E-SANDBOX-032",
            Self::EngineGone { .. } => "E-SANDBOX-033",
            Self::EngineRefused { .. } => "E-SANDBOX-034",
            Self::EngineAnswer { .. } => "E-SANDBOX-035",
            Self::ImageReference { .. } => "E-SANDBOX-036",
            Self::ImageForbidden { .. } => "E-SANDBOX-037",
            Self::ImageUnavailable { .. } => "E-SANDBOX-038",
            Self::ImageLogin { .. } => "E-SANDBOX-039",
            Self::ImageTooLarge { .. } => "E-SANDBOX-040",
            Self::ImageArchive { .. } => "E-SANDBOX-041",
            Self::NoDefaultImage => "E-SANDBOX-042",
            Self::ImageUnfit { .. } => "E-SANDBOX-043",
            Self::Cdi { .. } => "E-SANDBOX-044",
            Self::DeviceNode { .. } => "E-SANDBOX-045",
            Self::Egress { .. } => "E-SANDBOX-046",
            Self::ContainerSpec { .. } => "E-SANDBOX-047",
            Self::ContainerStart { .. } => "E-SANDBOX-048",
            Self::NoContainer { .. } => "E-SANDBOX-049",
            Self::NotRunning { .. } => "E-SANDBOX-050",
            Self::Folder { .. } => "E-SANDBOX-051",
            Self::ImageNotFound { .. } => "E-SANDBOX-052",
            Self::NoUserNamespace { .. } => "E-SANDBOX-053",
            Self::Died { .. } => "E-SANDBOX-070",
            Self::UnknownImage { .. } => "E-SANDBOX-071",
            Self::DeviceMissing { .. } => "E-SANDBOX-072",
            Self::DiskFull { .. } => "E-SANDBOX-073",
        }
    }

    fn next_step(&self) -> String {
        let text = match self {
            Self::Job { .. } => "correct the job's arguments, sizes or build options",
            Self::TooLarge { .. } => "split the job, or rent a device whose provider allows more",
            Self::Build { .. } => "correct the source; the compiler's messages are above",
            Self::UnknownKernel { .. } => "name a function that is declared __kernel in the source",
            Self::Device { .. } => "check argument order, buffer sizes and work-group size against the device's limits",
            Self::Timeout { .. } => "do less per job, or ask the provider for a longer limit",
            Self::Crashed { .. } => "look for reads and writes outside of buffers, and for too large private arrays",
            Self::Protocol { .. } => "the kernel wrote over its process's memory: look for writes outside of buffers",
            Self::NoIsolation { .. } => "install bubblewrap and allow user namespaces (Debian: `apt install bubblewrap`)",
            Self::Spawn { .. } => "check that the gpumkt binary is readable and executable for this user",
            Self::Died { is_out_of_memory: true, .. } => "use less memory, or rent a device whose provider allows more",
            Self::Died { .. } => "it is started again; read `gpumkt logs` for what the start command said",
            Self::UnknownImage { .. } => "ask the provider which images it keeps, or name one of a registry",
            Self::DeviceMissing { .. } => "as the provider: check the CDI specification or the device nodes in the configuration",
            Self::DiskFull { .. } => "delete files in the home folder, then start the processes again",
            Self::Scratch { .. } => "check that the directory exists, is writable and has free space",
            Self::AgentSocket { .. } => "check that the rental's folder is writable for this user and has free space",
            Self::AgentSilent { .. } => "look at the container's state and log: it may be paused, out of memory, or gone",
            Self::AgentChannel { .. } => "try again; if it goes on, look whether the container has ended",
            Self::AgentProtocol { .. } => "end the rental if it goes on: something in the container poses as its agent",
            Self::AgentRefused { .. } => "check the command, path or port; too many processes in the container have this effect, too",
            Self::AgentProgram { .. } => "check that the data directory is writable, has free space and is not mounted noexec",
            Self::SshKey { .. } => "check the file; it must be an ed25519 or ECDSA key as `ssh-keygen` writes them, without a passphrase",
            Self::SshLogin { .. } => "log in with the key that was named for this session",
            Self::SshConnection { .. } => "connect again; the container is unharmed",
            Self::Unsupported { .. } => "install Podman or Docker, or offer without it",
            Self::RuntimeUnusable { .. } => {
                "install it and allow what it needs (bubblewrap: `apt install bubblewrap`, and user namespaces)"
            }
            Self::Container { .. } => "look at the reason above and at the container's log",
            Self::NoEngine { .. } => {
                "install Podman and start its socket (`systemctl enable --now podman.socket`), or name the socket in the configuration"
            }
            Self::EngineForbidden { .. } => "run the node as root, or put its user into the group that owns the socket and log in again",
            Self::EngineTooOld { .. } => "upgrade the container engine",
            Self::EngineGone { .. } => {
                "nothing if it is being restarted; otherwise start it again (`systemctl restart podman.socket`) and read its log"
            }
            Self::EngineRefused { .. } => "read the engine's own log; `gpumkt doctor` names what a node needs of it",
            Self::EngineAnswer { .. } => "check that the configured socket is Podman's or Docker's, and upgrade it",
            Self::ImageReference { .. } => "write it as registry.example/name:tag or registry.example/name@sha256:digest",
            Self::ImageForbidden { .. } => "choose an image that the provider allows",
            Self::ImageUnavailable { .. } => {
                "check that the provider's engine reaches that registry over https (a registry on loopback without https: `insecure = true` in registries.conf)"
            }
            Self::ImageNotFound { .. } => "check the name and the tag",
            Self::ImageLogin { .. } => "check user name and password for that registry",
            Self::ImageTooLarge { .. } => "choose a smaller image, or a provider that allows larger ones",
            Self::ImageArchive { .. } => "make it with `podman save` or `docker save`, or as a tar of a root file system",
            Self::NoDefaultImage => "name an image, or set the provider's default image in its configuration",
            Self::ImageUnfit { .. } => "choose another image, or build it without what is named here",
            Self::Cdi { .. } => "generate the specification again (NVIDIA: `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`)",
            Self::DeviceNode { .. } => "check the device's driver and the node's access rights (a udev rule with MODE=\"0666\")",
            Self::Egress { .. } => "install nftables and run engine and node as root, or set the network policy to none",
            Self::NoUserNamespace { .. } => "do what is named there, or do not require it in the configuration",
            Self::ContainerSpec { .. } => "correct that setting of the offer or of the rental",
            Self::ContainerStart { .. } => "read the engine's log; try another image",
            Self::NoContainer { .. } => "start it first; it may have ended with its rental",
            Self::NotRunning { .. } => "start it again",
            Self::Folder { .. } => "check that it exists, that the node owns it and that the disk has free space",
        };
        text.into()
    }
}
