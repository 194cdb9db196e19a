//! Spawns and reaps chains and nodes, deploys, funds, injects faults. The demo, the end-to-end tests and the soak use this harness.

pub mod accounts;
mod bridge;
pub mod chains;
pub mod clients;
mod console;
mod demo;
mod error;
mod ledger;
pub mod network;
pub mod process;
mod program;
pub mod proxy;
mod report;
mod rpc;

pub use demo::{demo, up};
pub use error::DevnetError;
