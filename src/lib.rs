//! gpumkt: a marketplace for real GPUs, paid on Ethereum and proven on Ethereum Classic.
//!
//! Modules are layered; imports go down only. ARCHITECTURE.md has the table, `tests/layering.rs` holds the code to it.
//! Features: `node` has everything, `renter` what a client needs, none of them `types` and `rules` alone.

// Layer 0
pub mod types;
// Layer 1
#[cfg(feature = "renter")]
pub mod config;
pub mod rules;
#[cfg(feature = "renter")]
pub mod task;
#[cfg(feature = "renter")]
pub mod telemetry;
// Layer 2
#[cfg(feature = "renter")]
pub mod chain;
#[cfg(feature = "node")]
pub mod gpu;
#[cfg(feature = "node")]
pub mod http;
#[cfg(feature = "renter")]
pub mod keys;
#[cfg(feature = "renter")]
pub mod net;
#[cfg(feature = "renter")]
pub mod sandbox;
#[cfg(feature = "node")]
pub mod store;
// Layer 3
#[cfg(feature = "renter")]
pub mod service;
// Layer 4
#[cfg(feature = "renter")]
pub mod client;
#[cfg(feature = "node")]
pub mod role;
// Layer 5
#[cfg(feature = "renter")]
pub mod cli;
#[cfg(feature = "node")]
pub mod devnet;
