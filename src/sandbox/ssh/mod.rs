//! The SSH server that a renter reaches its container through.
//!
//! It speaks to stock OpenSSH over any byte stream and to the container only through its agent; nothing of it runs on the provider's
//! system. `server` serves one connection, `connection` answers its requests, `command` and `relay` move the bytes of a channel, `inbox`
//! and `transport` bound what a renter can leave waiting here, `keys` are the files.

#[cfg(feature = "node")]
mod command;
#[cfg(feature = "node")]
mod connection;
#[cfg(feature = "node")]
mod inbox;
mod keys;
#[cfg(feature = "node")]
mod relay;
#[cfg(feature = "node")]
mod server;
#[cfg(feature = "node")]
mod transport;

pub use keys::{SshKeyPair, known_hosts_line, read_public_key};
#[cfg(feature = "node")]
pub use server::{SshAccess, SshServer, SshSummary};
