//! Measures a device: `bench` one profile, `calibrate` the reference times of a class.

use std::ops::ControlFlow;
use std::time::Instant;

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gpu::{self, Engine, GpuError};
pub use crate::gpu::{DeviceInfo, DeviceKind, Progress, Stage, Timings};
use crate::rules::kernel::{self, NoSuchSample, VerifyError, WorkOutput};
use crate::types::Coded;
use crate::types::work::{Mode, Profile, WorkRoots, cpu_test_class};

/// Samples of the proof that a benchmark checks.
const PROOF_SAMPLES: u32 = 4;
/// The class that this program brings along; those of a deployment are in its description.
const CPU_TEST: &str = "cpu-test";

/// What a device does in one profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    pub device: DeviceInfo,
    /// How the device computes the product.
    pub variant: String,
    pub profile: Profile,
    pub seed: B256,
    /// Every run, in order.
    pub runs: Vec<Timings>,
    /// The run with the median total.
    pub median: Timings,
    /// Keccak-256 hashes of the fill.
    pub keccak_mhash_per_second: f64,
    /// Multiply-accumulates of the product.
    pub matmul_gmac_per_second: f64,
    /// Steps of the walk, 128 bytes each.
    pub memory_msteps_per_second: f64,
    pub roots: WorkRoots,
    pub work_root: B256,
    /// CPU time of checking one sample (a fold and two segments).
    pub verify_us_per_sample: u64,
}

/// Limits of a class in thousandths of its reference time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeLimits {
    /// Reference time over the measured median.
    pub reference_permille: u32,
    /// Passing time over the reference.
    pub pass_permille: u32,
    /// Unmeasured time over the reference.
    pub unmeasured_permille: u32,
}

impl TimeLimits {
    /// Full challenges of a real class.
    pub const FULL: Self = Self { reference_permille: 1000, pass_permille: 1000, unmeasured_permille: 1250 };
    /// Light challenges of a real class.
    pub const LIGHT: Self = Self { reference_permille: 1000, pass_permille: 1500, unmeasured_permille: 4000 };
    /// Both modes of `cpu-test`, whose device shares its cores with everything else on the machine.
    pub const CPU_TEST: Self = Self { reference_permille: 1000, pass_permille: 8000, unmeasured_permille: 10_000 };

    /// `profile` with the times that follow from a measured median. The reference is at least one millisecond.
    pub fn apply(&self, profile: &Profile, median_us: u64) -> Profile {
        let scale = |value: u64, permille: u32| value.saturating_mul(permille.into()).div_ceil(1000);
        let milliseconds = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let reference_ms = scale(median_us, self.reference_permille).div_ceil(1000).max(1);
        profile.with_times(
            milliseconds(reference_ms),
            milliseconds(scale(reference_ms, self.pass_permille)),
            milliseconds(scale(reference_ms, self.unmeasured_permille)),
        )
    }
}

/// What a device answers to one seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootsReport {
    pub device: DeviceInfo,
    pub variant: String,
    pub profile: Profile,
    pub seed: B256,
    pub memory_root: B256,
    pub matmul_roots: Vec<B256>,
    pub work_root: B256,
}

/// Reference times of a class on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    pub device: DeviceInfo,
    pub runs: u32,
    pub full_median_us: u64,
    pub light_median_us: u64,
    /// The profiles with their measured times.
    pub full: Profile,
    pub light: Profile,
}

/// What a benchmark is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BenchProgress {
    /// Compiling kernels and checking them against the CPU reference.
    Preparing,
    /// Run `run` of `runs`, counted from 1.
    Running { run: u32, runs: u32, progress: Progress },
    /// Checking a proof on the CPU.
    Verifying,
}

/// Called at every step; `Break` cancels.
pub type BenchHook<'a> = &'a mut dyn FnMut(BenchProgress) -> ControlFlow<()>;

/// Why a benchmark has no result.
#[derive(Debug, Error)]
pub enum BenchError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("the number of runs must be at least 1")]
    NoRuns,
    #[error("the benchmark was cancelled")]
    Cancelled,
    #[error("the device's own proof cannot be opened: {0}")]
    Open(#[from] NoSuchSample),
    #[error("the device's own proof is wrong: {0}")]
    Proof(#[from] VerifyError),
    #[error("two runs with the same seed gave {first} and {second}")]
    Unstable { first: B256, second: B256 },
    #[error("there is no device class {class:?}; known here: {CPU_TEST}")]
    UnknownClass { class: String },
    #[error("the thread that measures ended early: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl Coded for BenchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Gpu(inner) => inner.code(),
            Self::Open(inner) => inner.code(),
            Self::Proof(inner) => inner.code(),
            Self::NoRuns => "E-BENCH-001",
            Self::Cancelled => "E-BENCH-002",
            Self::Unstable { .. } => "E-BENCH-003",
            Self::UnknownClass { .. } => "E-BENCH-004",
            Self::Thread(_) => "E-BENCH-005",
        }
    }

    fn next_step(&self) -> String {
        let text = match self {
            Self::Gpu(inner) => return inner.next_step(),
            Self::Open(inner) => return inner.next_step(),
            Self::NoRuns => "pass a number of runs of 1 or more",
            Self::Cancelled => "nothing to do: the caller asked for it",
            Self::UnknownClass { .. } => "pass one of the known classes with --class",
            Self::Thread(_) => "report what the program printed before; a driver that crashes is the usual cause",
            Self::Proof(_) | Self::Unstable { .. } => {
                "the device computes wrongly: update the driver, remove overclocking, test the memory; do not offer it"
            }
        };
        text.into()
    }
}

/// All OpenCL devices of this machine. Blocks.
pub fn list_devices() -> Result<Vec<DeviceInfo>, BenchError> {
    Ok(gpu::devices()?)
}

/// The profile of a class that this program knows by name.
pub fn class_profile(class: &str, mode: Mode) -> Result<Profile, BenchError> {
    if class != CPU_TEST {
        return Err(BenchError::UnknownClass { class: class.to_owned() });
    }
    let (full, light) = cpu_test_class();
    Ok(match mode {
        Mode::Full => full,
        Mode::Light => light,
    })
}

/// Roots of both kernels for one seed, computed once on device `index`. Blocks.
pub fn roots(index: usize, profile: &Profile, seed: B256, hook: BenchHook<'_>) -> Result<RootsReport, BenchError> {
    gpu::find(index)?;
    report_progress(hook, BenchProgress::Preparing)?;
    let mut engine = Engine::new(index)?;
    let run = engine.run(profile, seed, &mut |progress| hook(BenchProgress::Running { run: 1, runs: 1, progress }))?;
    let roots = run.output.roots;
    Ok(RootsReport {
        device: engine.info().clone(),
        variant: engine.variant().name().to_owned(),
        profile: *profile,
        seed,
        work_root: roots.work_root(),
        memory_root: roots.memory_root,
        matmul_roots: roots.matmul_roots,
    })
}

/// Measures `profile` on device `index`; a random seed where none is given. Blocks.
pub fn bench(index: usize, profile: &Profile, seed: Option<B256>, runs: u32, hook: BenchHook<'_>) -> Result<BenchReport, BenchError> {
    let seed = seed.unwrap_or_else(|| B256::from(rand::random::<[u8; 32]>()));
    let mut engine = prepare(index, &[*profile], runs, hook)?;
    let (timings, output) = measure(&mut engine, profile, seed, runs, hook)?;
    report_progress(hook, BenchProgress::Verifying)?;
    let verify_us_per_sample = verify(profile, seed, &output)?;
    let median = median(&timings);
    Ok(BenchReport {
        device: engine.info().clone(),
        variant: engine.variant().name().to_owned(),
        profile: *profile,
        seed,
        keccak_mhash_per_second: per_microsecond(hashes(profile), median.fill_us),
        matmul_gmac_per_second: per_microsecond(multiplications(profile), median.product_us) / 1000.0,
        memory_msteps_per_second: per_microsecond(steps(profile), median.walk_us),
        median,
        runs: timings,
        work_root: output.roots.work_root(),
        roots: output.roots,
        verify_us_per_sample,
    })
}

/// Measures both profiles of a class on device `index` and sets their times. Blocks.
pub fn calibrate(
    index: usize,
    (full, full_limits): (&Profile, TimeLimits),
    (light, light_limits): (&Profile, TimeLimits),
    runs: u32,
    hook: BenchHook<'_>,
) -> Result<Calibration, BenchError> {
    let mut engine = prepare(index, &[*full, *light], runs, hook)?;
    let mut measured = |profile: &Profile| -> Result<u64, BenchError> {
        let seed = B256::from(rand::random::<[u8; 32]>());
        let (timings, _) = measure(&mut engine, profile, seed, runs, hook)?;
        Ok(median(&timings).total_us)
    };
    let (full_median_us, light_median_us) = (measured(full)?, measured(light)?);
    Ok(Calibration {
        device: engine.info().clone(),
        runs,
        full_median_us,
        light_median_us,
        full: full_limits.apply(full, full_median_us),
        light: light_limits.apply(light, light_median_us),
    })
}

fn prepare(index: usize, profiles: &[Profile], runs: u32, hook: BenchHook<'_>) -> Result<Engine, BenchError> {
    if runs == 0 {
        return Err(BenchError::NoRuns);
    }
    gpu::find(index)?;
    report_progress(hook, BenchProgress::Preparing)?;
    let mut engine = Engine::new(index)?;
    for profile in profiles {
        engine.warm_up(profile)?;
    }
    Ok(engine)
}

fn measure(
    engine: &mut Engine,
    profile: &Profile,
    seed: B256,
    runs: u32,
    hook: BenchHook<'_>,
) -> Result<(Vec<Timings>, WorkOutput), BenchError> {
    let mut timings = Vec::with_capacity(runs as usize);
    let mut output: Option<WorkOutput> = None;
    for run in 1..=runs {
        let mut forward = |progress| hook(BenchProgress::Running { run, runs, progress });
        let finished = engine.run(profile, seed, &mut forward)?;
        timings.push(finished.timings);
        if let Some(previous) = &output
            && previous.roots != finished.output.roots
        {
            let (first, second) = (previous.roots.work_root(), finished.output.roots.work_root());
            return Err(BenchError::Unstable { first, second });
        }
        output = Some(finished.output);
    }
    output.map(|output| (timings, output)).ok_or(BenchError::NoRuns)
}

fn verify(profile: &Profile, seed: B256, output: &WorkOutput) -> Result<u64, BenchError> {
    let proof = output.prove(seed, PROOF_SAMPLES)?;
    let started = Instant::now();
    kernel::verify_proof(profile, seed, output.roots.work_root(), seed, PROOF_SAMPLES, &proof)?;
    Ok(started.elapsed().as_micros() as u64 / u64::from(PROOF_SAMPLES))
}

fn report_progress(hook: BenchHook<'_>, progress: BenchProgress) -> Result<(), BenchError> {
    match hook(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(BenchError::Cancelled),
    }
}

/// The run with the median total; of an even number the slower one, so that a reference time is not too tight.
fn median(timings: &[Timings]) -> Timings {
    let mut sorted = timings.to_vec();
    sorted.sort_by_key(|timing| timing.total_us);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn hashes(profile: &Profile) -> u64 {
    profile.memory_bytes / 32 * u64::from(profile.hash_iterations)
}

fn steps(profile: &Profile) -> u64 {
    u64::from(profile.lanes) * u64::from(profile.steps)
}

fn multiplications(profile: &Profile) -> u64 {
    let size = u64::from(profile.matrix_size);
    size * size * u64::from(profile.inner_size) * u64::from(profile.rounds)
}

fn per_microsecond(count: u64, microseconds: u64) -> f64 {
    count as f64 / microseconds.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::kernel::{compute, small_profile};

    fn silent(_: BenchProgress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn a_report_has_the_reference_roots_and_survives_json() {
        let seed = B256::repeat_byte(1);
        let mut last = None;
        let mut hook = |progress| {
            last = Some(progress);
            ControlFlow::Continue(())
        };
        let report = bench(0, &small_profile(), Some(seed), 3, &mut hook).unwrap();
        assert_eq!(last, Some(BenchProgress::Verifying));
        assert_eq!(report.roots, compute(&small_profile(), seed).roots);
        assert_eq!(report.runs.len(), 3);
        assert!(report.runs.contains(&report.median));
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<BenchReport>(&text).unwrap().roots, report.roots);
    }

    #[test]
    fn roots_are_those_of_the_reference() {
        let (profile, seed) = (small_profile(), B256::repeat_byte(2));
        let report = roots(0, &profile, seed, &mut silent).unwrap();
        let expected = compute(&profile, seed).roots;
        assert_eq!((report.work_root, report.memory_root), (expected.work_root(), expected.memory_root));
        assert_eq!(report.matmul_roots, expected.matmul_roots);
    }

    #[test]
    fn unknown_classes_and_devices_have_codes() {
        assert_eq!(class_profile("cpu-test", Mode::Light).unwrap(), cpu_test_class().1);
        let error = class_profile("h100", Mode::Full).unwrap_err();
        assert_eq!(error.code(), "E-BENCH-004");
        assert!(error.to_string().contains("cpu-test"), "{error}");
        let missing = list_devices().unwrap().len();
        assert_eq!(roots(missing, &small_profile(), B256::ZERO, &mut silent).unwrap_err().code(), "E-GPU-003");
    }

    #[test]
    fn calibration_sets_ordered_times() {
        let profile = small_profile();
        let class = (&profile, TimeLimits::CPU_TEST);
        let calibration = calibrate(0, class, (&profile, TimeLimits::LIGHT), 1, &mut silent).unwrap();
        assert_eq!(calibration.full.validate(), Ok(()));
        assert_eq!(calibration.light.validate(), Ok(()));
        assert_eq!(calibration.full.pass_ms, 8 * calibration.full.reference_ms);
        assert_eq!(u64::from(calibration.full.reference_ms), calibration.full_median_us.div_ceil(1000));
    }

    #[test]
    fn limits_scale_and_saturate() {
        let profile = small_profile();
        let times = |limits: TimeLimits, median_us| {
            let scaled = limits.apply(&profile, median_us);
            (scaled.reference_ms, scaled.pass_ms, scaled.unmeasured_ms)
        };
        assert_eq!(times(TimeLimits::FULL, 8_000_000), (8000, 8000, 10_000));
        assert_eq!(times(TimeLimits::LIGHT, 4_000_001), (4001, 6002, 16_004));
        assert_eq!(times(TimeLimits::FULL, 0), (1, 1, 2));
        assert_eq!(times(TimeLimits::LIGHT, u64::MAX), (u32::MAX, u32::MAX, u32::MAX));
    }

    #[test]
    fn cancelling_and_no_runs_are_refused() {
        let error = bench(0, &small_profile(), None, 0, &mut silent).unwrap_err();
        assert_eq!(error.code(), "E-BENCH-001");
        let error = bench(0, &small_profile(), None, 1, &mut |_| ControlFlow::Break(())).unwrap_err();
        assert_eq!(error.code(), "E-BENCH-002");
    }
}
