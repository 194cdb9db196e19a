//! Measures a device: `bench` one profile, `calibrate` the reference times of a class.

mod classes;
mod figures;

use std::ops::ControlFlow;
use std::time::Instant;

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gpu::{self, Engine, GpuError};
pub use crate::gpu::{DeviceInfo, DeviceKind, Limits, Progress, Stage, Timings};
use crate::rules::kernel::{self, NoSuchSample, VerifyError, WorkOutput};
use crate::types::work::{Mode, Profile, WorkRoots};
use crate::types::{Amount, Coded};
pub use classes::{ClassForecast, class_names, class_profile};
pub use figures::{Basis, Earnings, Figures, Rates};

/// Samples of the proof that a benchmark checks.
const PROOF_SAMPLES: u32 = 4;

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
    /// Rates of the median run, by the clock.
    #[serde(flatten)]
    pub rates: Rates,
    /// Best rate of each kernel over all runs, beside the device's limits.
    pub figures: Figures,
    pub roots: WorkRoots,
    pub work_root: B256,
    /// CPU time of checking one sample (a fold and two segments).
    pub verify_us_per_sample: u64,
    /// Share of the device's time that challenges like this one take on Ethereum Classic, in parts per million.
    pub overhead_ppm: u64,
    pub classes: Vec<ClassForecast>,
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
    pub variant: String,
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
    /// Measuring what plain loops do.
    Limits,
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
    #[error("there is no device class {class:?}; known here: {known}")]
    UnknownClass { class: String, known: String },
    #[error("the class cannot be written: {0}")]
    Toml(#[from] toml::ser::Error),
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
            Self::Toml(_) => "E-BENCH-006",
        }
    }

    fn next_step(&self) -> String {
        let text = match self {
            Self::Gpu(inner) => return inner.next_step(),
            Self::Open(inner) => return inner.next_step(),
            Self::NoRuns => "pass a number of runs of 1 or more",
            Self::Cancelled => "nothing to do: the caller asked for it",
            Self::UnknownClass { .. } => "pass one of the known classes with --class",
            Self::Toml(_) => "report this: it is a defect of this build",
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
    let seed = seed.unwrap_or_else(classes::random_seed);
    let mut engine = prepare(index, &[*profile], runs, hook)?;
    let Measured { timings, best, basis, output } = measure(&mut engine, profile, seed, runs, hook)?;
    report_progress(hook, BenchProgress::Limits)?;
    let limits = Limits::measure(index, profile.memory_bytes / u64::from(profile.windows))?;
    report_progress(hook, BenchProgress::Verifying)?;
    let verify_us_per_sample = verify(profile, seed, &output)?;
    let median = median(&timings);
    let rates = Rates::of(profile, &median);
    let fits = |profile: &Profile| engine.needed_bytes(profile) <= engine.info().memory_bytes;
    Ok(BenchReport {
        device: engine.info().clone(),
        variant: engine.variant().name().to_owned(),
        profile: *profile,
        seed,
        rates,
        figures: Figures::of(profile, basis, &best, limits),
        median,
        runs: timings,
        work_root: output.roots.work_root(),
        roots: output.roots,
        verify_us_per_sample,
        overhead_ppm: figures::overhead_ppm(median.total_us),
        classes: classes::forecasts(&rates, fits),
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
    let full_run = calibrate_mode(&mut engine, *full, None, runs, hook)?;
    let light_run = calibrate_mode(&mut engine, *light, None, runs, hook)?;
    Ok(Calibration::of(&engine, runs, (full_run, full_limits), (light_run, light_limits)))
}

/// The same for a class that this program knows by name; classes of GPUs are stretched to the time that a challenge should take.
pub fn calibrate_class(index: usize, class: &str, runs: u32, hook: BenchHook<'_>) -> Result<Calibration, BenchError> {
    let (full, light) = (class_profile(class, Mode::Full)?, class_profile(class, Mode::Light)?);
    let (full_limits, light_limits) = match class {
        classes::CPU_TEST => (TimeLimits::CPU_TEST, TimeLimits::CPU_TEST),
        _ => (TimeLimits::FULL, TimeLimits::LIGHT),
    };
    let mut engine = prepare(index, &[full, light], runs, hook)?;
    let full_run = calibrate_mode(&mut engine, full, classes::target_us(class, Mode::Full), runs, hook)?;
    let light_run = calibrate_mode(&mut engine, light, classes::target_us(class, Mode::Light), runs, hook)?;
    Ok(Calibration::of(&engine, runs, (full_run, full_limits), (light_run, light_limits)))
}

/// The profile, stretched to `target_us` where there is one, and the median time of its runs.
fn calibrate_mode(
    engine: &mut Engine,
    profile: Profile,
    target_us: Option<u64>,
    runs: u32,
    hook: BenchHook<'_>,
) -> Result<(Profile, u64), BenchError> {
    let mut sized = profile;
    if let Some(target_us) = target_us {
        let first = median(&measure(engine, &profile, classes::random_seed(), 1, hook)?.timings);
        let round_us = (first.operands_us + first.product_us + first.trees_us) / u64::from(profile.rounds);
        sized = classes::stretch(&profile, first.fill_us, first.walk_us, round_us, target_us);
    }
    let measured = measure(engine, &sized, classes::random_seed(), runs, hook)?;
    Ok((sized, median(&measured.timings).total_us))
}

impl Calibration {
    fn of(engine: &Engine, runs: u32, full: ((Profile, u64), TimeLimits), light: ((Profile, u64), TimeLimits)) -> Self {
        let ((full, full_median_us), full_limits) = full;
        let ((light, light_median_us), light_limits) = light;
        Self {
            device: engine.info().clone(),
            variant: engine.variant().name().to_owned(),
            runs,
            full_median_us,
            light_median_us,
            full: full_limits.apply(&full, full_median_us),
            light: light_limits.apply(&light, light_median_us),
        }
    }

    /// The class as a deployment file takes it.
    pub fn to_toml(&self, name: &str, required_stake: Amount) -> Result<String, BenchError> {
        #[derive(Serialize)]
        struct Class<'a> {
            name: &'a str,
            version: u32,
            required_stake: String,
            full: &'a Profile,
            light: &'a Profile,
        }
        #[derive(Serialize)]
        struct Deployment<'a> {
            classes: [Class<'a>; 1],
        }
        let (full, light) = (&self.full, &self.light);
        let class = Class { name, version: 1, required_stake: required_stake.to_string(), full, light };
        let text = toml::to_string(&Deployment { classes: [class] })?;
        Ok(format!("# Measured on {} ({}, {}), median of {} runs.\n{text}", self.device.name, self.device.driver, self.variant, self.runs))
    }
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

/// Runs of one profile.
struct Measured {
    timings: Vec<Timings>,
    /// The fastest of each stage, on `basis`.
    best: Timings,
    basis: Basis,
    output: WorkOutput,
}

fn measure(engine: &mut Engine, profile: &Profile, seed: B256, runs: u32, hook: BenchHook<'_>) -> Result<Measured, BenchError> {
    let mut timings = Vec::with_capacity(runs as usize);
    let mut measured: Option<Measured> = None;
    for run in 1..=runs {
        let mut forward = |progress| hook(BenchProgress::Running { run, runs, progress });
        let finished = engine.run(profile, seed, &mut forward)?;
        timings.push(finished.timings);
        let (basis, times) = match finished.cpu {
            Some(cpu) => (Basis::Core, cpu),
            None => (Basis::Device, finished.timings),
        };
        let best = match &measured {
            Some(previous) if previous.output.roots != finished.output.roots => {
                let (first, second) = (previous.output.roots.work_root(), finished.output.roots.work_root());
                return Err(BenchError::Unstable { first, second });
            }
            Some(previous) => fastest(&previous.best, &times),
            None => times,
        };
        measured = Some(Measured { timings: Vec::new(), best, basis, output: finished.output });
    }
    measured.map(|measured| Measured { timings, ..measured }).ok_or(BenchError::NoRuns)
}

/// The smaller time of each stage.
fn fastest(a: &Timings, b: &Timings) -> Timings {
    Timings {
        fill_us: a.fill_us.min(b.fill_us),
        walk_us: a.walk_us.min(b.walk_us),
        operands_us: a.operands_us.min(b.operands_us),
        product_us: a.product_us.min(b.product_us),
        trees_us: a.trees_us.min(b.trees_us),
        total_us: a.total_us.min(b.total_us),
    }
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
        assert!(report.classes.iter().any(|class| class.class == "cpu-test" && class.fits && class.margin_permille.is_some()));
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
        assert_eq!(class_profile("cpu-test", Mode::Light).unwrap(), crate::types::work::cpu_test_class().1);
        let error = class_profile("h100", Mode::Full).unwrap_err();
        assert_eq!(error.code(), "E-BENCH-004");
        assert!(error.to_string().contains("cpu-test"), "{error}");
        let missing = list_devices().unwrap().len();
        assert_eq!(roots(missing, &small_profile(), B256::ZERO, &mut silent).unwrap_err().code(), "E-GPU-003");
    }

    #[test]
    fn a_calibrated_class_is_one_that_a_deployment_takes() {
        let calibration = calibrate_class(0, "cpu-test", 1, &mut silent).unwrap();
        assert_eq!(calibration.full.validate_class(), Ok(()));
        assert_eq!(calibration.light.validate_class(), Ok(()));
        assert_eq!(calibration.full.pass_ms, 8 * calibration.full.reference_ms);
        assert_eq!(u64::from(calibration.full.reference_ms), calibration.full_median_us.div_ceil(1000));
        let text = calibration.to_toml("cpu-test", Amount::parse_tokens("500").unwrap()).unwrap();
        let devnet = include_str!("../../config/chains/devnet.toml");
        let (others, _) = devnet.split_once("[[classes]]").unwrap();
        let deployment = crate::client::deploy::DeployConfig::from_toml(&format!("{others}{text}")).unwrap();
        assert_eq!(deployment.classes[0].full, calibration.full);
        assert_eq!(deployment.classes[0].required_stake, Amount::parse_tokens("500").unwrap());
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
