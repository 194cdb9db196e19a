//! What keeps a node from starting in its role.

use std::path::PathBuf;

use alloy::primitives::Address;

use crate::types::{ChainKind, Coded, Role};

#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    #[error("key {key} acts for no account with the stake of a {role:?}")]
    NoStake { key: Address, role: Role },
    #[error("the network did not start to listen")]
    NotListening,
    #[error("{} cannot be written: {source}", path.display())]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("the King set of the address book is not the one that {chain} holds")]
    KingSet { chain: ChainKind },
    #[error("two {chain} endpoints are on one host: their agreement proves nothing")]
    SharedHost { chain: ChainKind },
    #[error("no device of worker {worker} is on offer")]
    NothingOffered { worker: Address },
}

impl Coded for RoleError {
    fn code(&self) -> &'static str {
        match self {
            RoleError::NoStake { .. } => "E-ROLE-001",
            RoleError::KingSet { .. } => "E-ROLE-002",
            RoleError::NotListening => "E-ROLE-003",
            RoleError::DataDir { .. } => "E-ROLE-004",
            RoleError::SharedHost { .. } => "E-ROLE-005",
            RoleError::NothingOffered { .. } => "E-ROLE-006",
        }
    }

    fn next_step(&self) -> String {
        match self {
            RoleError::NoStake { role, .. } => format!("stake first: `gpumkt stake {} AMOUNT`", format!("{role:?}").to_lowercase()),
            RoleError::NotListening => "check network.listen and the log lines before this one".into(),
            RoleError::DataDir { .. } => "check data_dir: free space, owner, permissions".into(),
            RoleError::SharedHost { chain } => format!("name endpoints of {chain} that different operators run"),
            RoleError::NothingOffered { .. } => "offer one: `gpumkt offer --class VERSION`; keys.worker must be the worker it names".into(),
            RoleError::KingSet { .. } => "get the current address book of this network".into(),
        }
    }
}

/// For the edge where errors of all modules meet.
pub(super) fn boxed(error: impl Coded) -> Box<dyn Coded> {
    Box::new(error)
}
