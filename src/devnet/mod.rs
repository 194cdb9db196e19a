//! Spawns and reaps chains and nodes, deploys, funds, injects faults. The demo, the end-to-end tests and the soak use this harness.

pub mod chains;
mod error;
pub mod process;
pub mod proxy;

pub use error::DevnetError;

pub async fn demo(_: &std::path::Path, _: bool) -> Result<(), DevnetError> {
    Ok(())
}
pub async fn up(_: &std::path::Path) -> Result<(), DevnetError> {
    Ok(())
}
