//! Discovery of OpenCL devices.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ocl::core;
use ocl::core::{DeviceInfo as Query, DeviceInfoResult as Answer};
use serde::{Deserialize, Serialize};

use super::error::GpuError;

/// What kind of processor a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    Cpu,
    Gpu,
    Accelerator,
    Other,
}

/// One OpenCL device of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Position over all platforms, in the order of the OpenCL loader.
    pub index: usize,
    pub name: String,
    pub vendor: String,
    pub platform: String,
    pub driver: String,
    pub kind: DeviceKind,
    pub memory_bytes: u64,
    /// Largest single buffer.
    pub max_buffer_bytes: u64,
    pub compute_units: u32,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}, {} MiB)", self.index, self.name, self.platform, self.memory_bytes >> 20)
    }
}

/// What a device offers beyond OpenCL's core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    /// Of NVIDIA devices: which instructions they have.
    pub compute_capability: Option<(u32, u32)>,
    /// cl_khr_integer_dot_product.
    pub integer_dot: bool,
    /// A CPU with `vpdpbusd` on 512 bits.
    pub avx512_vnni: bool,
}

/// A device with its handles.
pub(super) struct OpenDevice {
    pub info: DeviceInfo,
    pub features: Features,
    pub platform: ocl::Platform,
    pub device: ocl::Device,
}

/// Lists all OpenCL devices. Blocks for as long as the drivers take: call it off the async threads.
pub fn devices() -> Result<Vec<DeviceInfo>, GpuError> {
    Ok(open_all()?.into_iter().map(|open| open.info).collect())
}

/// The device with number `index`. Blocks like [`devices`].
pub fn find(index: usize) -> Result<DeviceInfo, GpuError> {
    Ok(open(index)?.info)
}

/// Opens device `index`.
pub(super) fn open(index: usize) -> Result<OpenDevice, GpuError> {
    let mut all = open_all()?;
    if index >= all.len() {
        let available = all.iter().map(|open| open.info.to_string()).collect::<Vec<_>>().join("; ");
        return Err(GpuError::UnknownDevice { index, available });
    }
    Ok(all.swap_remove(index))
}

/// Drivers set themselves up on the first call, and some (PoCL) show no device to a second thread meanwhile.
static DISCOVERY: Mutex<()> = Mutex::new(());

fn open_all() -> Result<Vec<OpenDevice>, GpuError> {
    let _discovery = DISCOVERY.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = Vec::new();
    let mut names = Vec::new();
    for platform in platforms()? {
        let name = match core::get_platform_info(platform, core::PlatformInfo::Name) {
            Ok(name) => name.to_string(),
            Err(_) => "unnamed platform".to_owned(),
        };
        // A platform without devices answers with an error; it must not hide the devices of the others.
        let devices = core::get_device_ids(platform, Some(core::DeviceType::ALL), None).unwrap_or_default();
        for device in devices {
            let info = describe(found.len(), device, &name)?;
            let features = features(device, info.kind);
            found.push(OpenDevice { info, features, platform: platform.into(), device: device.into() });
        }
        names.push(name);
    }
    if found.is_empty() {
        return Err(GpuError::NoDevice { platforms: names.join(", ") });
    }
    Ok(found)
}

/// Asks the loader for the number of platforms first: the wrapper retries for ten seconds where there is none.
fn platforms() -> Result<Vec<core::PlatformId>, GpuError> {
    let mut count = 0;
    // SAFETY: a null list of length zero with a valid count pointer is how OpenCL asks for the count.
    let status = unsafe { ocl::ffi::clGetPlatformIDs(0, std::ptr::null_mut(), &mut count) };
    if status != 0 || count == 0 {
        return Err(GpuError::NoPlatform);
    }
    core::get_platform_ids().map_err(GpuError::call("clGetPlatformIDs"))
}

fn describe(index: usize, device: core::DeviceId, platform: &str) -> Result<DeviceInfo, GpuError> {
    let text = |query| ask(device, query).map(|answer| answer.to_string().trim().to_owned());
    let name = text(Query::Name)?;
    if !matches!(ask(device, Query::EndianLittle)?, Answer::EndianLittle(true)) {
        return Err(GpuError::BigEndian { device: name });
    }
    let kind = match ask(device, Query::Type)? {
        Answer::Type(kind) if kind.contains(core::DeviceType::GPU) => DeviceKind::Gpu,
        Answer::Type(kind) if kind.contains(core::DeviceType::CPU) => DeviceKind::Cpu,
        Answer::Type(kind) if kind.contains(core::DeviceType::ACCELERATOR) => DeviceKind::Accelerator,
        _ => DeviceKind::Other,
    };
    Ok(DeviceInfo {
        index,
        name,
        vendor: text(Query::Vendor)?,
        platform: platform.to_owned(),
        driver: text(Query::DriverVersion)?,
        kind,
        memory_bytes: match ask(device, Query::GlobalMemSize)? {
            Answer::GlobalMemSize(bytes) => bytes,
            _ => 0,
        },
        max_buffer_bytes: match ask(device, Query::MaxMemAllocSize)? {
            Answer::MaxMemAllocSize(bytes) => bytes,
            _ => 0,
        },
        compute_units: match ask(device, Query::MaxComputeUnits)? {
            Answer::MaxComputeUnits(units) => units,
            _ => 0,
        },
    })
}

/// CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV and _MINOR_NV of cl_nv_device_attribute_query.
const COMPUTE_CAPABILITY: [u32; 2] = [0x4000, 0x4001];

fn features(device: core::DeviceId, kind: DeviceKind) -> Features {
    let extensions = ask(device, Query::Extensions).map(|answer| answer.to_string()).unwrap_or_default();
    let has = |name: &str| extensions.split_whitespace().any(|extension| extension == name);
    let number = |query: u32| {
        let bytes = core::get_device_info_raw(device, query).ok()?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let [major, minor] = COMPUTE_CAPABILITY.map(|query| has("cl_nv_device_attribute_query").then(|| number(query)).flatten());
    Features {
        compute_capability: major.zip(minor),
        integer_dot: has("cl_khr_integer_dot_product"),
        avx512_vnni: kind == DeviceKind::Cpu && host_has_avx512_vnni(),
    }
}

/// A CPU device is the processor that this program runs on.
#[cfg(target_arch = "x86_64")]
fn host_has_avx512_vnni() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn host_has_avx512_vnni() -> bool {
    false
}

fn ask(device: core::DeviceId, query: Query) -> Result<Answer, GpuError> {
    core::get_device_info(device, query).map_err(GpuError::call("clGetDeviceInfo"))
}
