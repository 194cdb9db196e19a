//! What a deployment can fail with.

use std::path::PathBuf;

use alloy::primitives::B256;

use super::{Audit, runner::STEP_TIMEOUT};
use crate::{chain::ChainError, types::Coded};

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error("the deployment file is not usable: {reason}")]
    Config { reason: String },
    #[error("the state file {} cannot be used: {reason}", path.display())]
    StateFile { path: PathBuf, reason: String },
    #[error("the state file {} belongs to another deployment: {reason}", path.display())]
    OtherDeployment { path: PathBuf, reason: String },
    #[error("{step}: {source}")]
    Chain { step: String, source: ChainError },
    #[error("{step}: transaction {hash} failed: {reason}")]
    StepFailed { step: String, hash: B256, reason: String },
    #[error("{step}: transaction {hash} was not mined within {} s", STEP_TIMEOUT.as_secs())]
    StepTimeout { step: String, hash: B256 },
    #[error("the address book {} exists already, but not the state file {} of its deployment", book.display(), state.display())]
    BookExists { book: PathBuf, state: PathBuf },
    #[error("{what} is {found}, expected {expected}")]
    Mismatch { what: String, found: String, expected: String },
    #[error("the deployment differs from its file:\n{0}")]
    Differs(Audit),
    #[error("the deployment file leaves open what only you can say: {}", keys.join(", "))]
    Unset { keys: Vec<String> },
    #[error("{contract} uses an opcode that Ethereum Classic does not have: 0x{opcode:02x} at byte {offset}")]
    ForeignOpcode { contract: &'static str, opcode: u8, offset: usize },
    #[error("another process continues this deployment: {} is locked", path.display())]
    Running { path: PathBuf },
}

impl DeployError {
    pub(super) fn chain(step: impl Into<String>, source: ChainError) -> Self {
        Self::Chain { step: step.into(), source }
    }
}

impl Coded for DeployError {
    fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "E-DEPLOY-001",
            Self::StateFile { .. } => "E-DEPLOY-002",
            Self::OtherDeployment { .. } => "E-DEPLOY-003",
            Self::Chain { source, .. } => source.code(),
            Self::StepFailed { .. } => "E-DEPLOY-004",
            Self::StepTimeout { .. } => "E-DEPLOY-005",
            Self::Mismatch { .. } | Self::Differs(_) => "E-DEPLOY-006",
            Self::BookExists { .. } => "E-DEPLOY-007",
            Self::Unset { .. } => "E-DEPLOY-008",
            Self::ForeignOpcode { .. } => "E-DEPLOY-009",
            Self::Running { .. } => "E-DEPLOY-010",
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Config { .. } => "correct the deployment file".into(),
            Self::StateFile { .. } => "check that its folder exists and can be written".into(),
            Self::OtherDeployment { path, .. } => {
                format!("continue with the file it was begun with, or move {} away to deploy anew", path.display())
            }
            Self::Chain { source, .. } => format!("{}; then run the same command again: it continues", source.next_step()),
            Self::StepFailed { .. } => "read the reason; a failed step can't be repeated: move the state file away and deploy anew".into(),
            Self::StepTimeout { .. } => "run the same command again: it continues where it stopped".into(),
            Self::BookExists { .. } => "name another file with --out, or move this one away: it may be the only one of its network".into(),
            Self::Mismatch { .. } | Self::Differs(_) => {
                "do not use this deployment before each difference is explained, such as by a decision of Governance".into()
            }
            Self::Unset { .. } => "write your own values in place of the ones that begin with FILL IN".into(),
            Self::ForeignOpcode { .. } => "compile the contract for shanghai; nothing was sent".into(),
            Self::Running { .. } => "wait for the other process, or end it; then run the same command again".into(),
        }
    }
}
