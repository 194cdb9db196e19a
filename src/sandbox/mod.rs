//! Everything that a renter runs: containers, the way into them, and bare kernels.
//!
//! Containers: `runtime` what the node asks of whatever runs them, `engine` Podman and Docker, `bubblewrap` where there is no engine,
//! `agent` the node's channels to the agent inside, `ssh` the server that renters log in to.
//!
//! Bare kernels run in a process of their own (the hidden subcommand `sandbox-exec` of the same binary): `job` says what a job is and
//! checks it, `process` starts and bounds the process, `child` is what runs in it, `frame` is what the two say to each other. The node
//! never compiles or launches a stranger's code itself.

#[cfg(feature = "node")]
mod agent;
#[cfg(feature = "node")]
mod bubblewrap;
#[cfg(feature = "node")]
mod child;
#[cfg(feature = "node")]
mod engine;
mod error;
#[cfg(feature = "node")]
mod frame;
mod job;
#[cfg(feature = "node")]
mod process;
mod runtime;
mod ssh;

#[cfg(feature = "node")]
pub use agent::{Agent, GuestInput, GuestOutput, GuestProcess, GuestStream, install_agent};
#[cfg(feature = "node")]
pub use bubblewrap::BubblewrapRuntime;
#[cfg(feature = "node")]
pub use child::child_main;
#[cfg(feature = "node")]
pub use engine::{DefaultImage, EngineOptions, EngineRuntime, ImagePolicy, UserNamespace};
pub use error::SandboxError;
pub use job::{Isolation, KernelArg, KernelJob, KernelResult, Limits};
#[cfg(feature = "node")]
pub use process::{SUBCOMMAND, Sandbox};
pub use runtime::{
    ContainerLimits, ContainerSpec, ContainerState, Credentials, DeviceAccess, ImageProgress, ImageSource, NetworkPolicy, PreparedImage,
    RentalFolders, Runtime, RuntimeFacts, Usage,
};
#[cfg(feature = "node")]
pub use ssh::{SshAccess, SshServer, SshSummary};
pub use ssh::{SshKeyPair, known_hosts_line, read_public_key};
