//! See ARCHITECTURE.md.
pub mod kernel;
