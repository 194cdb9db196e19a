//! OpenCL devices: discovery, and the challenges of docs/protocol.md sections 4 and 5 computed on them.
//!
//! `device` lists devices, `program` compiles `kernels/*.cl` for one of them, `engine` runs challenges through the stages in
//! `memory` and `matmul`. The only module that names OpenCL besides the renter's isolated kernel run in `sandbox`.

mod device;
mod engine;
mod error;
mod matmul;
mod memory;
mod program;

pub use device::{DeviceInfo, DeviceKind, devices, find};
pub use engine::{Engine, GpuRun, Progress, ProgressHook, Stage, Timings, ignore_progress};
pub use error::GpuError;
pub use program::Variant;
