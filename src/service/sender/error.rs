//! Why an intent did not take effect.

use alloy::primitives::B256;

use crate::{chain::ChainError, store::StoreError, types::Coded};

#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    #[error("{label}: {source}")]
    Chain { label: String, source: ChainError },
    #[error("{label}: transaction {hash} was mined in block {block_number} but failed: {reason}")]
    Failed { label: String, hash: B256, block_number: u64, reason: String },
    #[error("intent {id} was submitted before with other contents")]
    IdReused { id: String },
    #[error("the sender stops; what is in its journal goes on at the next start")]
    Stopped,
    #[error(transparent)]
    Store(#[from] std::sync::Arc<StoreError>),
}

impl From<StoreError> for SendError {
    fn from(error: StoreError) -> Self {
        Self::Store(std::sync::Arc::new(error))
    }
}

impl SendError {
    /// The reason of the contract, when it was the contract that refused.
    pub fn revert_reason(&self) -> Option<&str> {
        match self {
            Self::Chain { source: ChainError::Reverted { reason, .. }, .. } | Self::Failed { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

impl Coded for SendError {
    fn code(&self) -> &'static str {
        match self {
            Self::Chain { source, .. } => source.code(),
            Self::Failed { .. } => "E-SEND-001",
            Self::IdReused { .. } => "E-SEND-002",
            Self::Stopped => "E-SEND-003",
            Self::Store(error) => error.code(),
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Chain { source, .. } => source.next_step(),
            Self::Failed { .. } => "read the reason; the state changed between simulation and inclusion, so trying anew may help".into(),
            Self::IdReused { .. } => "report this: it is a defect of this build".into(),
            Self::Stopped => "start the node again".into(),
            Self::Store(error) => error.next_step(),
        }
    }
}
