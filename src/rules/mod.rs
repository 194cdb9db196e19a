//! The protocol as pure functions: no I/O, no clocks, no keys.

pub mod beacon;
pub mod committee;
pub mod kernel;
pub mod quorum;
pub mod tenancy;
pub mod tree;
pub mod verdict;
