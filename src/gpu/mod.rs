//! OpenCL devices: discovery, and the challenges of docs/protocol.md sections 4 and 5 computed on them.
//!
//! `device` lists devices, `variant` knows the ways to multiply, `program` compiles `kernels/*.cl` for one device (`cache` keeps what
//! came out), `engine` runs challenges through the stages in `memory`, `matmul` and `merkle`, and
//! `spill` takes what is too large for the host. `limits` measures plain loops, `sensors` reads load and temperature. The only module that names OpenCL besides the renter's isolated kernel run in `sandbox`.

mod cache;
mod device;
mod engine;
mod error;
mod limits;
mod matmul;
mod memory;
mod merkle;
mod program;
mod sensors;
mod spill;
mod variant;

pub use cache::ProgramCache;
pub use device::{DeviceInfo, DeviceKind, devices, find};
pub use engine::{Engine, GpuRun, Progress, ProgressHook, Stage, Timings, ignore_progress};
pub use error::GpuError;
pub use limits::Limits;
pub use sensors::{Reading, Sensor};
pub use variant::Variant;
