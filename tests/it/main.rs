//! All integration tests in one binary: one link step instead of many.

// clippy.toml lets test functions panic; all helpers here serve tests only.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

/// Held by a test that runs a whole network of processes: two at once on a small machine would time each other out.
static WHOLE_NETWORK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

mod api;
mod attacks;
mod audit;
mod bad_inputs;
mod chain;
mod chaos;
mod clock;
mod deploy;
mod differential;
mod engine;
mod escape;
mod evm;
mod exits;
mod gpu_busy;
mod guest;
mod guest_hostile;
mod impersonate;
mod kernels;
mod lifecycle;
mod lost_device;
mod money;
mod namespaces;
mod net;
mod poll;
mod sandbox;
mod scrape;
mod ssh;
mod tenants;
mod vectors;
