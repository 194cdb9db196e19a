//! What can go wrong with keys.

use std::path::PathBuf;

use crate::types::Coded;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the keystore {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the keystore {} is not web3 secret storage v3: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("wrong password for the keystore {}", path.display())]
    WrongPassword { path: PathBuf },
    #[error("no password for the keystore {}", path.display())]
    NoPassword { path: PathBuf },
    #[error("{} exists already", path.display())]
    Exists { path: PathBuf },
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("the node identity {} is damaged", path.display())]
    Identity { path: PathBuf },
    #[error("the private key is not a valid secp256k1 key")]
    InvalidKey,
    #[error("the password file {} cannot be read: {source}", path.display())]
    PasswordFile { path: PathBuf, source: std::io::Error },
}

impl Coded for KeyError {
    fn code(&self) -> &'static str {
        match self {
            KeyError::Unreadable { .. } => "E-KEY-001",
            KeyError::Malformed { .. } => "E-KEY-002",
            KeyError::WrongPassword { .. } => "E-KEY-003",
            KeyError::NoPassword { .. } => "E-KEY-004",
            KeyError::Exists { .. } => "E-KEY-005",
            KeyError::Unwritable { .. } => "E-KEY-006",
            KeyError::Identity { .. } => "E-KEY-007",
            KeyError::InvalidKey => "E-KEY-008",
            KeyError::PasswordFile { .. } => "E-KEY-009",
        }
    }

    fn next_step(&self) -> String {
        match self {
            KeyError::Unreadable { .. } => "name an existing keystore, or make one with `gpumkt keys new`".into(),
            KeyError::Malformed { .. } => "restore the file from a backup, or import the key again with `gpumkt keys import`".into(),
            KeyError::WrongPassword { .. } => "check keys.password_file or GPUMKT_PASSWORD; the keystore itself is unharmed".into(),
            KeyError::NoPassword { .. } => {
                "set keys.password_file, GPUMKT_PASSWORD or the credential gpumkt-password, or start the command on a terminal".into()
            }
            KeyError::Exists { .. } => "choose another name; a key is never overwritten".into(),
            KeyError::Unwritable { .. } => "check the folder's owner and free space".into(),
            KeyError::Identity { .. } => "restore it from a backup, or delete it: the node then gets a new peer id".into(),
            KeyError::PasswordFile { .. } => "name an existing file that this user may read, or use GPUMKT_PASSWORD".into(),
            KeyError::InvalidKey => "give 32 bytes in hex, not zero".into(),
        }
    }
}
