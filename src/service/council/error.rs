//! Why a King signed no statement.

use crate::{
    chain::ChainError,
    store::StoreError,
    types::{ChainKind, Coded},
};

#[derive(Debug, thiserror::Error)]
pub enum CouncilError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the key cannot sign: {0}")]
    Key(#[from] alloy::signers::Error),
    #[error("a {next} for set epoch {epoch} would stand against the {previous} that this King has signed for it")]
    Bound { epoch: u64, previous: &'static str, next: &'static str },
    #[error("{chain} is not read up to its newest blocks yet")]
    Behind { chain: ChainKind },
    #[error("the chains are at different set epochs: {ethereum} on Ethereum, {classic} on Ethereum Classic")]
    Between { ethereum: u64, classic: u64 },
    #[error("the newest root that both branches share covers {count} messages, the last of them in a block that is not deep enough yet")]
    Shallow { count: u32 },
    #[error("the order names fork count {ordered}, the chains give {found}")]
    OtherFork { ordered: u32, found: u32 },
    #[error("nothing to recover: every accepted root, and all that this King has signed of {origin} in set epoch {epoch}, still holds")]
    Nothing { origin: ChainKind, epoch: u64 },
    #[error("a pause until {until} is no order now: it must end after {now}, and within {limit} seconds of it")]
    Until { until: u64, now: u64, limit: u64 },
    #[error("this King is not a member of set {epoch}")]
    NotInSet { epoch: u64 },
}

impl CouncilError {
    /// Whether the same order can succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Chain(_) | Self::Behind { .. } | Self::Between { .. } | Self::Shallow { .. })
    }
}

impl Coded for CouncilError {
    fn code(&self) -> &'static str {
        match self {
            Self::Chain(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Key(_) => "E-COUNCIL-001",
            Self::Bound { .. } => "E-COUNCIL-002",
            Self::Behind { .. } => "E-COUNCIL-003",
            Self::Between { .. } => "E-COUNCIL-004",
            Self::Shallow { .. } => "E-COUNCIL-005",
            Self::OtherFork { .. } => "E-COUNCIL-006",
            Self::Until { .. } => "E-COUNCIL-007",
            Self::NotInSet { .. } => "E-COUNCIL-008",
            Self::Nothing { .. } => "E-COUNCIL-009",
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Chain(error) => error.next_step(),
            Self::Store(error) => error.next_step(),
            Self::Key(_) => "check the operator keystore".into(),
            Self::Bound { .. } => "nothing, if the other statement goes on; docs/bridge-operations.md says when it no longer binds".into(),
            Self::Behind { .. } | Self::Shallow { .. } => "nothing: it is tried again with the next blocks".into(),
            Self::Between { .. } => "nothing: relays bring the other chain to the same epoch, then it is tried again".into(),
            Self::OtherFork { .. } => "order it without a fork count, or find out why this King sees other messages".into(),
            Self::Until { .. } => "order a pause that ends later, within three days".into(),
            Self::Nothing { .. } => {
                "nothing, if another recovery has just been made; else compare this node's view with the other Kings'".into()
            }
            Self::NotInSet { .. } => "check the stake of this King; only the current set signs".into(),
        }
    }
}
