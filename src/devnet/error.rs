//! What can go wrong while a devnet is built up or torn down.

use std::path::PathBuf;

use crate::types::Coded;

#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    #[error("anvil was not found: {}", looked.join(", "))]
    AnvilMissing { looked: Vec<String> },
    #[error("{name} cannot be started: {reason}")]
    Spawn { name: String, reason: String },
    #[error("{name} ended with {status} before it was ready; the end of {}: {tail}", log.display())]
    Ended { name: String, status: String, log: PathBuf, tail: String },
    #[error("{name} was not ready within {waited_ms} ms: {reason}; see {}", log.display())]
    NotReady { name: String, waited_ms: u128, reason: String, log: PathBuf },
    #[error("{name} cannot be signalled: {reason}")]
    Signal { name: String, reason: String },
    #[error("the fault proxy cannot listen: {reason}")]
    Proxy { reason: String },
    #[error("{method} failed: {reason}")]
    Rpc { method: String, reason: String },
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
            Self::Rpc { .. } => "E-DEVNET-007",
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
            Self::Rpc { .. } => "read the log of the chain; start the devnet anew if it is gone".into(),
        }
    }
}
