//! What can go wrong with a renter's kernel or container.

use std::path::PathBuf;

use thiserror::Error;

use crate::types::Coded;

/// Why a kernel job has no result, or a container does not do what it should.
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
        };
        text.into()
    }
}
