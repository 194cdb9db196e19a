//! What can go wrong with the database.

use std::path::{Path, PathBuf};

use crate::types::Coded;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database at {} cannot be opened: {source}", path.display())]
    Open { path: PathBuf, source: rocksdb::Error },
    #[error("the database at {} has format {found}, this build supports {supported}", path.display())]
    Format { path: PathBuf, found: u32, supported: u32 },
    #[error("the database at {} is in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("the folder {} cannot be created: {source}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("reading or writing the database failed: {0}")]
    Io(#[source] rocksdb::Error),
    #[error("an entry of column {column} cannot be read: {reason}")]
    Corrupt { column: &'static str, reason: String },
    #[error("column {column} was not declared when the database was opened")]
    UnknownColumn { column: &'static str },
}

impl StoreError {
    pub(super) fn from_open(path: &Path, source: rocksdb::Error) -> Self {
        if is_locked(source.as_ref()) { Self::Locked { path: path.into() } } else { Self::Open { path: path.into(), source } }
    }
}

impl Coded for StoreError {
    fn code(&self) -> &'static str {
        match self {
            StoreError::Open { .. } => "E-STORE-001",
            StoreError::Format { .. } => "E-STORE-002",
            StoreError::Locked { .. } => "E-STORE-003",
            StoreError::Directory { .. } => "E-STORE-004",
            StoreError::Io(_) => "E-STORE-005",
            StoreError::Corrupt { .. } => "E-STORE-006",
            StoreError::UnknownColumn { .. } => "E-STORE-007",
        }
    }

    fn next_step(&self) -> String {
        match self {
            StoreError::Open { path, .. } => format!(
                "move {} away and start again: a node rebuilds its database from the two chains (keep the old folder until it has)",
                path.display()
            ),
            StoreError::Format { .. } => "use the build that wrote this database, or move it away to rebuild it from the chains".into(),
            StoreError::Locked { .. } => "stop the other node, or give this one a data_dir of its own".into(),
            StoreError::Directory { .. } => "create the folder or correct data_dir; the node's user must be able to write there".into(),
            StoreError::Io(_) => "check free space and the disk's health, then start the node again".into(),
            StoreError::Corrupt { .. } => "move the database away and start again: it is rebuilt from the two chains".into(),
            StoreError::UnknownColumn { .. } => "report this: it is a defect of this build".into(),
        }
    }
}

/// In RocksDB's words; a mere "lock" would also match the "block" of a corrupt file, and the path itself.
fn is_locked(message: &str) -> bool {
    ["While lock file", "lock hold by current process"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrupt_block_is_no_lock() {
        assert!(is_locked("IO error: While lock file: /d/db/LOCK: Resource temporarily unavailable"));
        assert!(is_locked("IO error: lock hold by current process, acquire time 1 acquiring thread 2: /d/db/LOCK: No locks available"));
        assert!(!is_locked("Corruption: block checksum mismatch: stored = 1, computed = 2 in /locked/db/000009.sst"));
    }
}
