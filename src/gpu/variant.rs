//! Ways to compute the product, and the devices they run on.

use super::device::{DeviceInfo, DeviceKind, Features};

/// How a device computes the product. All of them give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Packed panels and `vpdpbusd`, for CPUs with AVX-512 VNNI.
    PackedPanels,
    /// Float panels and register tiles, for CPUs.
    FloatPanels,
    /// Integer tensor cores of NVIDIA, from compute capability 8.0.
    Mma,
    /// Four-byte dot product of NVIDIA, from compute capability 6.1.
    Dp4a,
    /// Four-byte dot product of the extension cl_khr_integer_dot_product.
    IntegerDot,
    /// Floats, for devices whose integer multiplication is slow.
    PortableFloat,
    /// 32-bit integers, for any device.
    Portable,
}

impl Variant {
    /// Every variant, the most specific first.
    pub const ALL: [Self; 7] =
        [Self::PackedPanels, Self::FloatPanels, Self::Mma, Self::Dp4a, Self::IntegerDot, Self::PortableFloat, Self::Portable];

    /// Name for logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::PackedPanels => "packed-panels",
            Self::FloatPanels => "float-panels",
            Self::Mma => "mma",
            Self::Dp4a => "dp4a",
            Self::IntegerDot => "integer-dot",
            Self::PortableFloat => "portable-float",
            Self::Portable => "portable",
        }
    }

    /// Whether a device can run it at all.
    pub(super) fn runs_on(self, info: &DeviceInfo, features: &Features) -> bool {
        match self {
            Self::PackedPanels => info.kind == DeviceKind::Cpu && features.avx512_vnni,
            Self::FloatPanels => info.kind == DeviceKind::Cpu,
            Self::Mma => features.compute_capability >= Some((8, 0)),
            Self::Dp4a => features.compute_capability >= Some((6, 1)),
            Self::IntegerDot => features.integer_dot,
            Self::PortableFloat | Self::Portable => true,
        }
    }

    /// Variants worth trying on a device, the fastest first.
    pub(super) fn candidates(info: &DeviceInfo, features: &Features) -> Vec<Self> {
        // Panels beat everything on a CPU, and the float form of the portable product has no use there.
        let useful = |variant: &Self| info.kind != DeviceKind::Cpu || *variant != Self::PortableFloat;
        Self::ALL.into_iter().filter(|variant| variant.runs_on(info, features)).filter(useful).collect()
    }

    /// Version of OpenCL C that the kernels are compiled as.
    pub(super) fn language(self) -> &'static str {
        match self {
            Self::IntegerDot => "-cl-std=CL3.0",
            _ => "-cl-std=CL1.2",
        }
    }

    /// Macros of the kernels that it sets.
    pub(super) fn macros(self) -> [(&'static str, u32); 3] {
        let sum = match self {
            Self::PortableFloat => 1,
            Self::IntegerDot => 2,
            Self::Dp4a | Self::Mma => 3,
            Self::Portable | Self::PackedPanels | Self::FloatPanels => 0,
        };
        [("SUM", sum), ("USE_VNNI", u32::from(self == Self::PackedPanels)), ("USE_MMA", u32::from(self == Self::Mma))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kind: DeviceKind) -> DeviceInfo {
        DeviceInfo {
            index: 0,
            name: "device".into(),
            vendor: "vendor".into(),
            platform: "platform".into(),
            driver: "1".into(),
            kind,
            memory_bytes: 1,
            max_buffer_bytes: 1,
            compute_units: 1,
        }
    }

    #[test]
    fn every_kind_of_device_gets_its_fastest_variant_first_and_can_fall_back() {
        let none = Features::default();
        let cases = [
            (DeviceKind::Cpu, none, Variant::FloatPanels),
            (DeviceKind::Cpu, Features { avx512_vnni: true, ..none }, Variant::PackedPanels),
            (DeviceKind::Gpu, none, Variant::PortableFloat),
            (DeviceKind::Gpu, Features { integer_dot: true, ..none }, Variant::IntegerDot),
            (DeviceKind::Gpu, Features { compute_capability: Some((5, 2)), ..none }, Variant::PortableFloat),
            (DeviceKind::Gpu, Features { compute_capability: Some((6, 1)), ..none }, Variant::Dp4a),
            (DeviceKind::Gpu, Features { compute_capability: Some((7, 5)), ..none }, Variant::Dp4a),
            (DeviceKind::Gpu, Features { compute_capability: Some((9, 0)), ..none }, Variant::Mma),
        ];
        for (kind, features, first) in cases {
            let candidates = Variant::candidates(&device(kind), &features);
            assert_eq!(candidates.first(), Some(&first), "{kind:?} {features:?}");
            assert_eq!(candidates.last(), Some(&Variant::Portable));
        }
    }
}
