//! See ARCHITECTURE.md.
pub mod bench;
