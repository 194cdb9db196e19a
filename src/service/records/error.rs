//! What can go wrong with node records.

use alloy::primitives::Address;

use crate::{net::NetError, store::StoreError, types::Coded};

#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error("records cannot be stored: {0}")]
    Store(#[from] StoreError),
    #[error("records cannot be exchanged: {0}")]
    Net(#[from] NetError),
    #[error("this node's record cannot be signed: {0}")]
    Sign(#[source] alloy::signers::Error),
    #[error("no node is known for account {account}")]
    Unknown { account: Address },
    #[error("the stake of {account} cannot be read: {reason}")]
    Stake { account: Address, reason: Box<dyn Coded> },
}

impl Coded for RecordsError {
    fn code(&self) -> &'static str {
        match self {
            RecordsError::Store(error) => error.code(),
            RecordsError::Net(error) => error.code(),
            RecordsError::Sign(_) => "E-RECORDS-001",
            RecordsError::Unknown { .. } => "E-RECORDS-002",
            RecordsError::Stake { .. } => "E-RECORDS-003",
        }
    }

    fn next_step(&self) -> String {
        match self {
            RecordsError::Store(error) => error.next_step(),
            RecordsError::Net(error) => error.next_step(),
            RecordsError::Sign(_) => "check the operator's keystore or remote signer".into(),
            RecordsError::Unknown { .. } => "wait until its node is online: a node announces itself when it starts".into(),
            RecordsError::Stake { reason, .. } => reason.next_step(),
        }
    }
}
