//! Device classes that this program knows by name: shapes to calibrate from, and forecasts for a measured device.

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

use super::BenchError;
use super::figures::Rates;
use crate::types::work::{LINE_BYTES, Mode, Profile, SEGMENT_STEPS, cpu_test_class};

/// The class of the devnet, whose times are part of this program.
pub const CPU_TEST: &str = "cpu-test";
/// Not a class: the sizes at which other programs are measured beside the kernels.
const PEERS: &str = "peers";
/// Full challenges of a real class take 8 to 10 s on its reference device; light ones 4 s.
const FULL_TARGET_US: u64 = 9_000_000;
const LIGHT_TARGET_US: u64 = 4_000_000;
/// Memory of a light challenge, reserved before a renter enters, and its lanes.
const LIGHT_MEMORY_BYTES: u64 = 1 << 30;
const LIGHT_LANES: u32 = 1 << 15;

/// Shapes of the classes of GPUs before they are stretched: nobody has measured them yet, so they have no times.
/// Memory in MB (10^6 bytes), hash iterations, lanes, matrix size, inner size.
const SHAPES: [(&str, u64, u32, u32, u32, u32); 6] = [
    ("gpu-8g", 7_200, 4, 1 << 17, 16_384, 8_192),
    ("gpu-24g-a", 22_000, 8, 1 << 18, 32_768, 16_384),
    ("gpu-24g-b", 22_000, 8, 1 << 18, 32_768, 16_384),
    ("gpu-80g-a", 74_000, 4, 1 << 18, 65_536, 16_384),
    ("gpu-80g-b", 74_000, 4, 1 << 18, 65_536, 16_384),
    ("gpu-141g", 131_000, 4, 1 << 18, 65_536, 16_384),
];

/// Names of the classes, that of the devnet first.
pub fn class_names() -> impl Iterator<Item = &'static str> {
    std::iter::once(CPU_TEST).chain(SHAPES.iter().map(|shape| shape.0))
}

/// The profile of a class that this program knows by name. Those of GPUs carry times of 1 ms until they are calibrated.
pub fn class_profile(class: &str, mode: Mode) -> Result<Profile, BenchError> {
    let (full, light) = match class {
        CPU_TEST => cpu_test_class(),
        PEERS => (peers(), peers()),
        _ => {
            let unknown = || BenchError::UnknownClass { class: class.to_owned(), known: class_names().collect::<Vec<_>>().join(", ") };
            SHAPES.iter().find(|shape| shape.0 == class).map(shape_profiles).ok_or_else(unknown)?
        }
    };
    Ok(match mode {
        Mode::Full => full,
        Mode::Light => light,
    })
}

fn peers() -> Profile {
    let full = cpu_test_class().0;
    Profile { memory_bytes: 64 << 20, hash_iterations: 8, lanes: 1024, windows: 1, cycles: 1, matrix_size: 2048, inner_size: 2048, ..full }
}

fn shape_profiles(shape: &(&str, u64, u32, u32, u32, u32)) -> (Profile, Profile) {
    let (_, megabytes, hash_iterations, lanes, matrix_size, inner_size) = *shape;
    let (windows, cycles) = (4, 4);
    let unit = LINE_BYTES * u64::from(windows);
    let memory_bytes = megabytes * 1_000_000 / unit * unit;
    let times = (1, 1, 1);
    let full = Profile {
        memory_bytes,
        hash_iterations,
        lanes,
        steps: least_steps(memory_bytes, lanes, windows * cycles),
        windows,
        cycles,
        matrix_size,
        inner_size,
        rounds: 1,
        reference_ms: times.0,
        pass_ms: times.1,
        unmeasured_ms: times.2,
    };
    let light_steps = least_steps(LIGHT_MEMORY_BYTES, LIGHT_LANES, windows * cycles);
    (full, Profile { memory_bytes: LIGHT_MEMORY_BYTES, lanes: LIGHT_LANES, steps: light_steps, ..full })
}

/// Fewest steps per lane with 16 reads of every line, in whole segments of every phase.
fn least_steps(memory_bytes: u64, lanes: u32, phases: u32) -> u32 {
    let steps = (memory_bytes / LINE_BYTES * 16).div_ceil(lanes.into());
    u32::try_from(steps.next_multiple_of(u64::from(phases * SEGMENT_STEPS))).unwrap_or(u32::MAX)
}

/// How long a challenge of `class` should take on its reference device; None where the sizes are fixed.
pub(super) fn target_us(class: &str, mode: Mode) -> Option<u64> {
    let target = match mode {
        Mode::Full => FULL_TARGET_US,
        Mode::Light => LIGHT_TARGET_US,
    };
    SHAPES.iter().any(|shape| shape.0 == class).then_some(target)
}

/// `profile` with as many steps and rounds as make it last `target_us`, given what one run took. The fill is left as it is: the
/// memory has one size. Walk and products share the rest evenly.
pub(super) fn stretch(profile: &Profile, fill_us: u64, walk_us: u64, round_us: u64, target_us: u64) -> Profile {
    let share_us = target_us.saturating_sub(fill_us) / 2;
    let unit = profile.windows * profile.cycles * SEGMENT_STEPS;
    let wanted = u128::from(profile.steps) * u128::from(share_us) / u128::from(walk_us.max(1));
    let steps = u32::try_from(wanted).unwrap_or(u32::MAX - unit) / unit * unit;
    let rounds = u32::try_from(share_us / round_us.max(1)).unwrap_or(u32::MAX);
    Profile { steps: steps.max(profile.steps), rounds: rounds.max(1), ..*profile }
}

/// What the measured rates say about a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassForecast {
    pub class: String,
    /// Whether the device has the memory for the full challenge.
    pub fits: bool,
    /// Time of the full challenge that follows from the rates.
    pub predicted_ms: u64,
    /// Time up to which the class passes; None where nobody has calibrated the class yet.
    pub pass_ms: Option<u32>,
    /// How much of `pass_ms` is left, in thousandths; negative where the device is too slow.
    pub margin_permille: Option<i64>,
}

/// Forecasts for every class, from wall-clock rates.
pub(super) fn forecasts(rates: &Rates, mut fits: impl FnMut(&Profile) -> bool) -> Vec<ClassForecast> {
    let forecast = |class: &'static str| {
        let full = class_profile(class, Mode::Full).ok()?;
        let predicted_ms = rates.predict_us(&full) / 1000;
        let pass_ms = (class == CPU_TEST).then_some(full.pass_ms);
        let margin = |pass_ms: u32| 1000 - (predicted_ms * 1000 / u64::from(pass_ms.max(1))) as i64;
        Some(ClassForecast { class: class.into(), fits: fits(&full), predicted_ms, pass_ms, margin_permille: pass_ms.map(margin) })
    };
    class_names().filter_map(forecast).collect()
}

/// A random seed for a measurement.
pub(super) fn random_seed() -> B256 {
    B256::from(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_valid_in_both_modes() {
        for class in class_names() {
            for mode in [Mode::Full, Mode::Light] {
                let profile = class_profile(class, mode).unwrap();
                assert_eq!(profile.validate_class(), Ok(()), "{class} {mode:?}");
            }
        }
        assert_eq!(class_profile(PEERS, Mode::Full).unwrap().validate(), Ok(()));
    }

    #[test]
    fn a_stretched_profile_stays_valid_and_lasts_longer() {
        let profile = class_profile("gpu-8g", Mode::Full).unwrap();
        let stretched = stretch(&profile, 1_000_000, 500_000, 200_000, FULL_TARGET_US);
        assert_eq!(stretched.validate_class(), Ok(()));
        assert_eq!((stretched.rounds, stretched.steps / profile.steps), (20, 8));
        let slow = stretch(&profile, FULL_TARGET_US, 500_000, 200_000, FULL_TARGET_US);
        assert_eq!((slow.rounds, slow.steps), (1, profile.steps));
    }
}
