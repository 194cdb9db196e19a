//! A renter's bare kernel, run in a process of its own (the hidden subcommand `sandbox-exec` of the same binary).
//!
//! `job` says what a job is and checks it, `process` starts and bounds the process, `child` is what runs in it, `frame` is what the
//! two say to each other. The node never compiles or launches a stranger's code itself.

mod agent;
mod bubblewrap;
mod child;
mod engine;
mod error;
mod frame;
mod job;
mod process;
mod runtime;

pub use agent::{Agent, GuestInput, GuestOutput, GuestProcess, GuestStream, install_agent};
pub use bubblewrap::BubblewrapRuntime;
pub use child::child_main;
pub use engine::{DefaultImage, EngineOptions, EngineRuntime, ImagePolicy, UserNamespace};
pub use error::SandboxError;
pub use job::{Isolation, KernelArg, KernelJob, KernelResult, Limits};
pub use process::{SUBCOMMAND, Sandbox};
pub use runtime::{
    ContainerLimits, ContainerSpec, ContainerState, Credentials, DeviceAccess, ImageProgress, ImageSource, NetworkPolicy, PreparedImage,
    RentalFolders, Runtime, RuntimeFacts, Usage,
};
