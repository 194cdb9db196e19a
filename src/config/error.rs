//! What can be wrong with a configuration.

use std::path::{Path, PathBuf};

use crate::types::Coded;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is not a valid configuration: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("the address book {} cannot be read: {source}", path.display())]
    NoAddressBook { path: PathBuf, source: std::io::Error },
    #[error("the address book {} cannot be used: {reason}", path.display())]
    AddressBook { path: PathBuf, reason: String },
}

impl ConfigError {
    pub(super) fn invalid(path: &Path, source: config::ConfigError) -> Self {
        Self::Invalid { path: path.into(), reason: super::one_line(&source.to_string()) }
    }
}

impl Coded for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            ConfigError::Unreadable { .. } => "E-CONFIG-001",
            ConfigError::Invalid { .. } => "E-CONFIG-002",
            ConfigError::NoAddressBook { .. } => "E-CONFIG-003",
            ConfigError::AddressBook { .. } => "E-CONFIG-004",
        }
    }

    fn next_step(&self) -> String {
        match self {
            ConfigError::Unreadable { .. } => "name an existing file with --config; config/ has one example per role".into(),
            ConfigError::Invalid { .. } => "correct the key named above; config/ has one commented example per role".into(),
            ConfigError::NoAddressBook { .. } => "set addresses to the file that `gpumkt deploy` wrote for this network".into(),
            ConfigError::AddressBook { .. } => "get the current address book of this network again; `gpumkt deploy` wrote it".into(),
        }
    }
}
