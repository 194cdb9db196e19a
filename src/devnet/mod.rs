//! Spawns and reaps chains and nodes, deploys, funds, injects faults. The demo, the end-to-end tests and the soak use this harness.

pub mod chains;
mod error;
pub mod process;
pub mod proxy;
mod rpc;

pub use error::DevnetError;
