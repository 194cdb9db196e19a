//! Supervised services: who runs, who restarts, and how a process stops.
//!
//! A service returns `Fault::Recover` or `Fault::Fatal`; only the supervisor retries. Shutdown has two phases: `intake` ends
//! (no new work), then `drain` ends (what is in flight is abandoned).

mod shutdown;
mod supervisor;

pub use shutdown::Shutdown;
pub use supervisor::Supervisor;

use crate::types::Coded;

/// Why a service stopped before it was told to.
#[derive(Debug)]
pub enum Fault {
    /// The supervisor starts the service again after a pause.
    Recover(Box<dyn Coded>),
    /// The process cannot go on; it stops with this error.
    Fatal(Box<dyn Coded>),
}

impl Fault {
    pub fn recover(error: impl Coded) -> Self {
        Self::Recover(Box::new(error))
    }

    pub fn fatal(error: impl Coded) -> Self {
        Self::Fatal(Box::new(error))
    }
}

/// A loop that the supervisor owns.
#[async_trait::async_trait]
pub trait Service: Send + 'static {
    /// Short name for logs and metrics.
    fn name(&self) -> &'static str;

    /// Runs until `shutdown.intake` is cancelled (then `Ok`) or something goes wrong. Called again after a recoverable fault, so
    /// everything it needs to continue is in the store or on the chains.
    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault>;
}

/// Raised by the supervisor itself.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("service {service} panicked: {message}")]
    Panicked { service: &'static str, message: String },
    #[error("service {service} ended although nobody asked it to")]
    EndedEarly { service: &'static str },
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
}

impl Coded for TaskError {
    fn code(&self) -> &'static str {
        match self {
            TaskError::Panicked { .. } => "E-TASK-001",
            TaskError::EndedEarly { .. } => "E-TASK-002",
            TaskError::Signals(_) => "E-TASK-003",
        }
    }

    fn next_step(&self) -> String {
        match self {
            TaskError::Signals(_) => "start the node in an environment that allows signal handlers".into(),
            _ => "restart the node and report the log lines before this one: this is a defect".into(),
        }
    }
}
