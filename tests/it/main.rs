//! All integration tests in one binary: one link step instead of many.

mod bad_inputs;
mod chain;
mod kernels;
mod net;
mod sandbox;
mod vectors;
