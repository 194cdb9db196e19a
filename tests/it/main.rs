//! All integration tests in one binary: one link step instead of many.

// clippy.toml lets test functions panic; all helpers here serve tests only.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod bad_inputs;
mod chain;
mod deploy;
mod engine;
mod guest;
mod guest_hostile;
mod kernels;
mod money;
mod net;
mod sandbox;
mod ssh;
mod tenants;
mod vectors;
