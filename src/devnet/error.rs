//! What can go wrong while a devnet is built up or torn down.

use std::path::PathBuf;

use crate::{
    chain::ChainError,
    client::{ClientError, bench::BenchError},
    types::Coded,
};

#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    #[error("anvil was not found: {}", looked.join(", "))]
    AnvilMissing { looked: Vec<String> },
    #[error("{name} cannot be started: {reason}")]
    Spawn { name: String, reason: String },
    #[error("{name} ended with {status} before it was ready; the end of {}:\n{tail}", log.display())]
    Ended { name: String, status: String, log: PathBuf, tail: String },
    #[error("{name} was not ready within {waited_ms} ms: {reason}; see {}", log.display())]
    NotReady { name: String, waited_ms: u128, reason: String, log: PathBuf },
    #[error("{name} cannot be signalled: {reason}")]
    Signal { name: String, reason: String },
    #[error("the fault proxy cannot listen: {reason}")]
    Proxy { reason: String },
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the device cannot be calibrated: {0}")]
    Calibration(#[source] Box<BenchError>),
    #[error("{what}: {reason}")]
    Setup { what: String, reason: String },
    #[error("the demo did what it should not: {reason}")]
    Wrong { reason: String },
    #[error("interrupted")]
    Interrupted,
    #[error("{method} failed: {reason}")]
    Rpc { method: String, reason: String },
}

impl DevnetError {
    pub(super) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Setup { what: path.display().to_string(), reason: error.to_string() }
    }
}

impl Coded for DevnetError {
    fn code(&self) -> &'static str {
        match self {
            Self::AnvilMissing { .. } => "E-DEVNET-001",
            Self::Spawn { .. } => "E-DEVNET-002",
            Self::Ended { .. } => "E-DEVNET-003",
            Self::NotReady { .. } => "E-DEVNET-004",
            Self::Signal { .. } => "E-DEVNET-005",
            Self::Proxy { .. } => "E-DEVNET-006",
            Self::Chain(error) => error.code(),
            Self::Client(error) => error.code(),
            Self::Calibration(error) => error.code(),
            Self::Setup { .. } => "E-DEVNET-007",
            Self::Wrong { .. } => "E-DEVNET-008",
            Self::Interrupted => "E-DEVNET-009",
            Self::Rpc { .. } => "E-DEVNET-010",
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::AnvilMissing { .. } => "run `make setup`, or set ANVIL to the path of an anvil binary".into(),
            Self::Spawn { .. } => "check that the program exists and may be executed".into(),
            Self::Ended { .. } => "read the log that is named above".into(),
            Self::NotReady { .. } => "read the log; on a slow machine stop other work and try again".into(),
            Self::Signal { .. } => "look for stray processes with `ps`".into(),
            Self::Proxy { .. } => "free some ports, or raise the limit of open files".into(),
            Self::Chain(error) => error.next_step(),
            Self::Client(error) => error.next_step(),
            Self::Calibration(error) => error.next_step(),
            Self::Setup { .. } => "check free space and the permissions of the folder".into(),
            Self::Wrong { .. } => "read the logs in the run's folder and report this: it is a defect".into(),
            Self::Interrupted => "every process was stopped; run it again".into(),
            Self::Rpc { .. } => "read the log of the chain; start the devnet anew if it is gone".into(),
        }
    }
}
