//! What can go wrong between the node and an OpenCL device.

use std::path::PathBuf;

use ocl::core::Status;
use thiserror::Error;

use crate::types::Coded;
use crate::types::work::ProfileError;

/// An error of device discovery or of a computation on a device.
#[derive(Debug, Error)]
pub enum GpuError {
    #[error("no OpenCL platform is installed")]
    NoPlatform,
    #[error("OpenCL platforms are installed ({platforms}), but none has a device")]
    NoDevice { platforms: String },
    #[error("there is no OpenCL device {index}; this machine has: {available}")]
    UnknownDevice { index: usize, available: String },
    #[error("the kernels do not compile on {device}:\n{log}")]
    Build { device: String, log: String },
    #[error("the profile is not valid: {0}")]
    Profile(#[from] ProfileError),
    #[error("one buffer of {needed_bytes} bytes is needed, {device} allows {limit_bytes}")]
    BufferTooLarge { device: String, needed_bytes: u64, limit_bytes: u64 },
    #[error("{needed_bytes} bytes of device memory are needed, {device} has {limit_bytes}")]
    NotEnoughMemory { device: String, needed_bytes: u64, limit_bytes: u64 },
    #[error("{device} could not allocate {needed_bytes} bytes: {source}")]
    Allocation { device: String, needed_bytes: u64, source: ocl::Error },
    #[error("the self-test of variant {variant} on {device} disagrees with the CPU reference: {part} differs")]
    SelfTest { device: String, variant: &'static str, part: &'static str },
    #[error("{device} stores integers big-endian, which the kernels do not support")]
    BigEndian { device: String },
    #[error("the computation was cancelled during stage {stage}")]
    Cancelled { stage: &'static str },
    #[error("OpenCL call {call} failed: {source}")]
    OpenCl { call: &'static str, source: ocl::Error },
    #[error("the device does not answer any more, OpenCL call {call} failed: {source}")]
    DeviceLost { call: &'static str, source: ocl::Error },
    #[error("the device has no resources left for OpenCL call {call}: {source}")]
    DeviceBusy { call: &'static str, source: ocl::Error },
    #[error("the nodes of a tree cannot be written to a file in {}: {source}", folder.display())]
    Spill { folder: PathBuf, source: std::io::Error },
    #[error("{device} cannot run variant {variant}")]
    Unsupported { device: String, variant: &'static str },
}

impl Coded for GpuError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoPlatform => "E-GPU-001",
            Self::NoDevice { .. } => "E-GPU-002",
            Self::UnknownDevice { .. } => "E-GPU-003",
            Self::Build { .. } => "E-GPU-004",
            Self::Profile(inner) => inner.code(),
            Self::BufferTooLarge { .. } => "E-GPU-005",
            Self::NotEnoughMemory { .. } => "E-GPU-006",
            Self::Allocation { .. } => "E-GPU-007",
            Self::SelfTest { .. } => "E-GPU-008",
            Self::BigEndian { .. } => "E-GPU-009",
            Self::Cancelled { .. } => "E-GPU-010",
            Self::OpenCl { .. } => "E-GPU-011",
            Self::DeviceLost { .. } => "E-GPU-012",
            Self::DeviceBusy { .. } => "E-GPU-013",
            Self::Unsupported { .. } => "E-GPU-014",
            Self::Spill { .. } => "E-GPU-015",
        }
    }

    fn next_step(&self) -> String {
        let text = match self {
            Self::NoPlatform => {
                "install the OpenCL driver of the GPU's vendor, or PoCL (Debian: pocl-opencl-icd) for a CPU; `clinfo -l` must list it"
            }
            Self::NoDevice { .. } => {
                "check that the driver sees the device (`clinfo -l`, `nvidia-smi`) and that this user may open /dev/dri or /dev/nvidia*"
            }
            Self::UnknownDevice { .. } => "name one of the listed numbers with --device, or with provider.device in the configuration",
            Self::Build { .. } => "update the OpenCL driver; if it is current, report the log above",
            Self::Profile(inner) => return inner.next_step(),
            Self::BufferTooLarge { .. } => "the device class is not made for this device: choose one with more windows or less memory",
            Self::NotEnoughMemory { .. } => "the device class is not made for this device: choose one with less memory",
            Self::Allocation { .. } => "free the device's memory: stop other programs that use it, then try again",
            Self::SelfTest { .. } => {
                "the device or its driver computes wrongly: update the driver, remove overclocking, test the memory; do not offer it"
            }
            Self::BigEndian { .. } => "use another device",
            Self::Cancelled { .. } => "nothing to do: the caller asked for it",
            Self::OpenCl { .. } => "look at the driver's messages in the system log; restart the driver if the device hangs",
            Self::DeviceLost { .. } => {
                "the node opens the device again at the next challenge; if that fails too, look at the driver's messages in the system log"
            }
            Self::DeviceBusy { .. } => "stop other programs that use the device; the node tries again at the next challenge",
            Self::Spill { .. } => "make room on that disk, or name another folder in GPUMKT_CACHE_DIR",
            Self::Unsupported { .. } => "leave the choice of the variant to the program",
        };
        text.into()
    }
}

impl GpuError {
    /// Wraps an error of an OpenCL call.
    pub(super) fn call<E: Into<ocl::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |source| {
            let source = source.into();
            match source.api_status() {
                Some(status) if LOST.contains(&status) => Self::DeviceLost { call, source },
                Some(status) if BUSY.contains(&status) => Self::DeviceBusy { call, source },
                _ => Self::OpenCl { call, source },
            }
        }
    }

    /// Whether the device has to be opened anew before it can compute again. NVIDIA's driver says "out of resources" for a kernel
    /// that died as well, so a busy device is opened anew too.
    pub(super) fn needs_reopening(&self) -> bool {
        matches!(self, Self::DeviceLost { .. } | Self::DeviceBusy { .. } | Self::OpenCl { .. })
    }
}

/// What drivers answer once a device has hung, was reset or unplugged.
const LOST: [Status; 5] = [
    Status::CL_DEVICE_NOT_AVAILABLE,
    Status::CL_DEVICE_NOT_FOUND,
    Status::CL_INVALID_DEVICE,
    Status::CL_INVALID_CONTEXT,
    Status::CL_INVALID_COMMAND_QUEUE,
];
/// What drivers answer while somebody else holds what is needed.
const BUSY: [Status; 3] = [Status::CL_OUT_OF_RESOURCES, Status::CL_MEM_OBJECT_ALLOCATION_FAILURE, Status::CL_OUT_OF_HOST_MEMORY];
