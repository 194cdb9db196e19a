//! See ARCHITECTURE.md.
pub mod work;
