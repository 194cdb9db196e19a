//! Keys of a node: encrypted keystores for accounts, a raw seed for the network identity. Nothing here is ever logged.

mod error;
mod identity;
mod keystore;
mod password;

pub use error::KeyError;
pub use identity::load_or_create_identity;
pub use keystore::{Strength, create_keystore, keystore_address, list_keystores, open_keystore, write_keystore};
pub use password::{HANDED_PASSWORD_VARIABLE, read_password};
