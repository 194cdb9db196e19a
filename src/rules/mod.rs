//! The protocol as pure functions: no I/O, no clocks, no keys.

pub mod batch;
pub mod beacon;
pub mod committee;
pub mod finality;
pub mod kernel;
pub mod quorum;
pub mod retry;
pub mod succession;
pub mod tenancy;
pub mod tree;
pub mod verdict;
