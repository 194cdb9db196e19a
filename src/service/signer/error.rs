//! Why a King signed nothing.

use alloy::primitives::Address;

use crate::{
    chain::ChainError,
    store::StoreError,
    types::{ChainKind, Coded},
};

#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the logs of {chain} give another Outbox root at block {block} than the contract: {count} messages")]
    RootMismatch { chain: ChainKind, block: u64, count: u32 },
    #[error("the key cannot sign: {0}")]
    Key(#[from] alloy::signers::Error),
    #[error("signing is halted: {what}")]
    Halted { chain: ChainKind, what: String },
    #[error("block {block} of {chain} moved while it was read")]
    Moved { chain: ChainKind, block: u64 },
    #[error("King set {epoch} of {chain} is unknown here, or does not hold key {key}")]
    NotInSet { chain: ChainKind, epoch: u64, key: Address },
    #[error("{count} messages of {chain} were signed with another history in set epoch {epoch}: only a new epoch can sign the present one")]
    NeedsEpoch { chain: ChainKind, epoch: u64, count: u32 },
}

impl Coded for SignerError {
    fn code(&self) -> &'static str {
        match self {
            SignerError::Chain(error) => error.code(),
            SignerError::Store(error) => error.code(),
            SignerError::Halted { .. } => "E-KING-001",
            SignerError::RootMismatch { .. } => "E-KING-002",
            SignerError::Key(_) => "E-KING-003",
            SignerError::Moved { .. } => "E-KING-004",
            SignerError::NotInSet { .. } => "E-KING-005",
            SignerError::NeedsEpoch { .. } => "E-KING-006",
        }
    }

    fn next_step(&self) -> String {
        match self {
            SignerError::Chain(error) => error.next_step(),
            SignerError::Store(error) => error.next_step(),
            SignerError::Halted { chain, .. } => {
                format!("compare the history of {chain} on several nodes, then run `gpumkt king resume`")
            }
            SignerError::RootMismatch { .. } => {
                "nothing, unless it lasts: the logs are read again; then an RPC endpoint withholds or invents logs".into()
            }
            SignerError::Key(_) => "check the operator keystore".into(),
            SignerError::Moved { .. } => "nothing: the block is read again".into(),
            SignerError::NotInSet { .. } => {
                "check the stake of this King and the address book; until its set is current it signs nothing".into()
            }
            SignerError::NeedsEpoch { .. } => {
                "wait for the recovery epoch of the King set; docs/bridge-operations.md says how it comes".into()
            }
        }
    }
}
