//! gpumkt: a marketplace for real GPUs, paid on Ethereum and proven on Ethereum Classic.
//!
//! Modules are layered; imports go down only. ARCHITECTURE.md has the table, `tests/layering.rs` holds the code to it.

// Layer 0
pub mod types;
// Layer 1
pub mod config;
pub mod rules;
pub mod task;
pub mod telemetry;
// Layer 2
pub mod chain;
pub mod gpu;
pub mod http;
pub mod keys;
pub mod net;
pub mod sandbox;
pub mod store;
// Layer 3
pub mod service;
// Layer 4
pub mod client;
pub mod role;
// Layer 5
pub mod cli;
pub mod devnet;
