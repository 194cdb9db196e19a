//! A device that computes challenges.

use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

use super::cache::ProgramCache;
use super::device::{self, DeviceInfo, DeviceKind};
use super::error::GpuError;
use super::program::Kernels;
use super::variant::Variant;
use super::{matmul, memory};
use crate::rules::kernel::{self, WorkOutput, seed};
use crate::types::Coded;
use crate::types::work::{Profile, WorkRoots};

/// Known-answer profile: every kernel, window changes, padded segments, and a product whose float sums must be split.
const SELF_TEST: Profile = Profile {
    memory_bytes: 64 << 10,
    hash_iterations: 2,
    lanes: 32,
    steps: 1536,
    windows: 2,
    cycles: 1,
    matrix_size: 64,
    inner_size: 4128,
    rounds: 1,
    reference_ms: 1,
    pass_ms: 1,
    unmeasured_ms: 1,
};
/// A product of several tiles of the tensor cores, with an odd number of words.
const SELF_TEST_WIDE: Profile = Profile { matrix_size: 512, inner_size: 96, ..SELF_TEST };
const SELF_TEST_SEED: B256 = B256::repeat_byte(0x5e);

/// Part of a computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Fill,
    Walk,
    Operands,
    Product,
    Trees,
}

impl Stage {
    /// Name for logs and progress bars.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Walk => "walk",
            Self::Operands => "operands",
            Self::Product => "product",
            Self::Trees => "trees",
        }
    }
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    pub permille: u32,
}

/// Called between launches; `Break` cancels the run.
pub type ProgressHook<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// A hook that never cancels.
pub fn ignore_progress(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Wall-clock time of each stage of one run, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    pub fill_us: u64,
    pub walk_us: u64,
    pub operands_us: u64,
    pub product_us: u64,
    pub trees_us: u64,
    pub total_us: u64,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct GpuRun {
    pub output: WorkOutput,
    pub timings: Timings,
    /// Of a CPU device: the processor time of the same stages, summed over its cores.
    pub cpu: Option<Timings>,
}

/// A device whose kernels are compiled and have passed the self-test. All methods block: call them off the async threads.
pub struct Engine {
    kernels: Kernels,
    cache: Option<ProgramCache>,
    /// Set once the device failed in the middle of a run.
    lost: bool,
}

impl Engine {
    /// Opens device `index` with the fastest variant that passes the self-test, and with the user's program cache.
    pub fn new(index: usize) -> Result<Self, GpuError> {
        Self::with_cache(index, ProgramCache::of_user())
    }

    /// Opens device `index` with the fastest variant that passes the self-test.
    pub fn with_cache(index: usize, cache: Option<ProgramCache>) -> Result<Self, GpuError> {
        let open = device::open(index)?;
        let mut failure = None;
        for variant in Variant::candidates(&open.info, &open.features) {
            let started = Instant::now();
            match Self::with_open_device(&open, variant, cache.clone()) {
                Ok(engine) => {
                    let elapsed_ms = started.elapsed().as_millis() as u64;
                    tracing::info!(device = %open.info, variant = variant.name(), elapsed_ms, "device is ready");
                    return Ok(engine);
                }
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, variant = variant.name(), "kernel variant is not usable, trying the next");
                    failure = Some(error);
                }
            }
        }
        Err(failure.unwrap_or(GpuError::UnknownDevice { index, available: String::new() }))
    }

    /// Opens device `index` with a given variant.
    pub fn with_variant(index: usize, variant: Variant) -> Result<Self, GpuError> {
        Self::with_open_device(&device::open(index)?, variant, None)
    }

    /// The variants that device `index` can run, the fastest first; each of them still has to pass its self-test.
    pub fn variants(index: usize) -> Result<Vec<Variant>, GpuError> {
        let open = device::open(index)?;
        Ok(Variant::ALL.into_iter().filter(|variant| variant.runs_on(&open.info, &open.features)).collect())
    }

    fn with_open_device(open: &device::OpenDevice, variant: Variant, cache: Option<ProgramCache>) -> Result<Self, GpuError> {
        let kernels = Kernels::build(open, variant, cache.as_ref())?;
        let mut engine = Self { kernels, cache, lost: false };
        engine.self_test()?;
        Ok(engine)
    }

    /// The device.
    pub fn info(&self) -> &DeviceInfo {
        &self.kernels.info
    }

    /// How this device computes the product.
    pub fn variant(&self) -> Variant {
        self.kernels.variant
    }

    /// Bytes of device memory that a run of `profile` needs at once.
    pub fn needed_bytes(&self, profile: &Profile) -> u64 {
        memory::needed_bytes(profile, &self.kernels).max(matmul::needed_bytes(profile, &self.kernels))
    }

    /// Makes the driver finish what it puts off to the first launch, so that the first challenge is not slower than the others.
    pub fn warm_up(&mut self, profile: &Profile) -> Result<(), GpuError> {
        self.check(profile)?;
        // A CPU device compiles per geometry and is quick: run all of it. A GPU has compiled for good in the self-test.
        if self.kernels.info.kind == DeviceKind::Cpu {
            self.run(profile, B256::ZERO, &mut ignore_progress)?;
        }
        Ok(())
    }

    /// Computes the challenge `seed` under `profile`. All device memory is free again on return.
    pub fn run(&mut self, profile: &Profile, seed: B256, hook: ProgressHook<'_>) -> Result<GpuRun, GpuError> {
        self.check(profile)?;
        if self.lost {
            *self = Self::with_cache(self.kernels.info.index, self.cache.clone())?;
        }
        let result = self.compute(profile, seed, hook);
        self.lost = result.as_ref().is_err_and(GpuError::needs_reopening);
        result
    }

    fn compute(&self, profile: &Profile, seed: B256, hook: ProgressHook<'_>) -> Result<GpuRun, GpuError> {
        let (started, cpu_started) = (Instant::now(), cpu_time_us());
        let none = Timings::default();
        let mut run = Run { kernels: &self.kernels, profile, hook, timings: none, cpu: none, current: None };
        let lanes = memory::compute(&mut run, seed)?;
        let mut roots = WorkRoots { memory_root: lanes.root(), matmul_roots: Vec::new() };
        let mut products = Vec::new();
        let buffers = matmul::Buffers::allocate(profile, run.kernels)?;
        let (mut round_seed, mut previous_root) = (seed, roots.memory_root);
        for round in 0..profile.rounds {
            round_seed = seed::round_seed(round_seed, previous_root);
            let product = matmul::compute_round(&mut run, &buffers, round, round_seed)?;
            previous_root = product.root();
            roots.matmul_roots.push(previous_root);
            products.push(product);
        }
        run.close_stage();
        let timings = Timings { total_us: microseconds(started.elapsed()), ..run.timings };
        let cpu = Timings { total_us: cpu_time_us().saturating_sub(cpu_started), ..run.cpu };
        let cpu = self.kernels.on_cpu().then_some(cpu);
        Ok(GpuRun { output: WorkOutput { profile: *profile, seed, roots, lanes, products }, timings, cpu })
    }

    fn check(&self, profile: &Profile) -> Result<(), GpuError> {
        profile.validate()?;
        let needed_bytes = self.needed_bytes(profile);
        let info = &self.kernels.info;
        if needed_bytes > info.memory_bytes {
            let (device, limit_bytes) = (info.name.clone(), info.memory_bytes);
            return Err(GpuError::NotEnoughMemory { device, needed_bytes, limit_bytes });
        }
        Ok(())
    }

    /// Compares small computations with the CPU reference, bit by bit.
    fn self_test(&mut self) -> Result<(), GpuError> {
        static EXPECTED: OnceLock<WorkOutput> = OnceLock::new();
        static EXPECTED_WIDE: OnceLock<WorkOutput> = OnceLock::new();
        self.compare(&SELF_TEST, &EXPECTED)?;
        if self.kernels.variant == Variant::Mma {
            self.compare(&SELF_TEST_WIDE, &EXPECTED_WIDE)?;
        }
        Ok(())
    }

    fn compare(&self, profile: &Profile, expected: &OnceLock<WorkOutput>) -> Result<(), GpuError> {
        let expected = expected.get_or_init(|| kernel::compute(profile, SELF_TEST_SEED));
        let actual = self.compute(profile, SELF_TEST_SEED, &mut ignore_progress)?.output;
        let part = if actual.lanes != expected.lanes {
            "the memory walk"
        } else if actual.products != expected.products {
            "the product"
        } else {
            return Ok(());
        };
        let device = self.kernels.info.name.clone();
        Err(GpuError::SelfTest { device, variant: self.kernels.variant.name(), part })
    }
}

/// One computation in progress.
pub(super) struct Run<'a> {
    pub kernels: &'a Kernels,
    pub profile: &'a Profile,
    hook: ProgressHook<'a>,
    timings: Timings,
    cpu: Timings,
    current: Option<(Stage, Instant, u64)>,
}

impl Run<'_> {
    /// Ends the current stage and starts `stage`.
    pub fn stage(&mut self, stage: Stage) {
        self.close_stage();
        self.current = Some((stage, Instant::now(), cpu_time_us()));
    }

    /// Reports that `done` of `total` parts of the current stage are finished; fails if the hook cancels.
    pub fn progress(&mut self, done: u64, total: u64) -> Result<(), GpuError> {
        let Some((stage, ..)) = self.current else { return Ok(()) };
        let permille = (u128::from(done) * 1000 / u128::from(total.max(1))) as u32;
        match (self.hook)(Progress { stage, permille }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(GpuError::Cancelled { stage: stage.name() }),
        }
    }

    fn close_stage(&mut self) {
        let Some((stage, started, cpu_started)) = self.current.take() else { return };
        *self.timings.of(stage) += microseconds(started.elapsed());
        *self.cpu.of(stage) += cpu_time_us().saturating_sub(cpu_started);
    }
}

impl Timings {
    fn of(&mut self, stage: Stage) -> &mut u64 {
        match stage {
            Stage::Fill => &mut self.fill_us,
            Stage::Walk => &mut self.walk_us,
            Stage::Operands => &mut self.operands_us,
            Stage::Product => &mut self.product_us,
            Stage::Trees => &mut self.trees_us,
        }
    }
}

/// Processor time of this process so far, all threads together. A measure of work on a machine that others use too.
pub(super) fn cpu_time_us() -> u64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0 };
    let microseconds = |time: TimeVal| time.num_microseconds().unsigned_abs();
    microseconds(usage.user_time()) + microseconds(usage.system_time())
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::program::LIMIT_SOURCES;
    use super::*;

    #[test]
    fn bands_of_rows_give_the_same_tree() {
        let profile = Profile { matrix_size: 256, ..SELF_TEST };
        let expected = kernel::compute(&profile, B256::ZERO);
        for variant in Engine::variants(0).unwrap() {
            let mut engine = Engine::with_variant(0, variant).unwrap();
            engine.kernels.max_band_bytes = 1;
            let run = engine.run(&profile, B256::ZERO, &mut ignore_progress).unwrap();
            assert!(run.output == expected, "{}", variant.name());
        }
    }

    #[test]
    fn wide_levels_leave_the_memory_and_open_all_the_same() {
        let profile = Profile { matrix_size: 256, rounds: 2, inner_size: 32, ..SELF_TEST };
        let expected = kernel::compute(&profile, B256::ZERO);
        let mut engine = Engine::new(0).unwrap();
        for max_host_nodes in [8, 64] {
            engine.kernels.max_host_nodes = max_host_nodes;
            let output = engine.run(&profile, B256::ZERO, &mut ignore_progress).unwrap().output;
            assert_eq!(output.roots, expected.roots);
            assert!(output.products.iter().all(|tree| tree.nodes_in_memory() as u64 == 2 * max_host_nodes - 1));
            assert_eq!(output.prove(B256::ZERO, 8), expected.prove(B256::ZERO, 8));
        }
    }

    #[test]
    fn buffers_of_a_quarter_of_the_memory_are_enough() {
        let profile = Profile { windows: 4, memory_bytes: 1 << 20, steps: 1024, inner_size: 32, ..SELF_TEST };
        let mut engine = Engine::new(0).unwrap();
        engine.kernels.info.memory_bytes = profile.memory_bytes * 115 / 100;
        engine.kernels.info.max_buffer_bytes = engine.kernels.info.memory_bytes / 4;
        let run = engine.run(&profile, B256::ZERO, &mut ignore_progress).unwrap();
        assert!(run.output == kernel::compute(&profile, B256::ZERO));
        let one = Profile { windows: 1, ..profile };
        assert_eq!(engine.run(&one, B256::ZERO, &mut ignore_progress).unwrap_err().code(), "E-GPU-005");
    }

    #[test]
    fn a_lost_device_is_opened_anew() {
        let mut engine = Engine::new(0).unwrap();
        engine.lost = true;
        engine.kernels.chains *= 2;
        let run = engine.run(&SELF_TEST, SELF_TEST_SEED, &mut ignore_progress).unwrap();
        assert_eq!(run.output, kernel::compute(&SELF_TEST, SELF_TEST_SEED));
        assert!(!engine.lost);
    }

    #[test]
    fn a_device_that_fails_in_the_middle_of_a_run_serves_the_next_challenge() {
        let mut engine = Engine::new(0).unwrap();
        // These kernels fill and walk, and lack those of the product: the driver refuses a launch half way through.
        let open = device::open(0).unwrap();
        engine.kernels = Kernels::build_sources(&open, engine.variant(), &LIMIT_SOURCES, None).unwrap();
        let mut reached = None;
        let mut hook = |progress: Progress| {
            reached = Some(progress.stage);
            ControlFlow::Continue(())
        };
        let error = engine.run(&SELF_TEST, SELF_TEST_SEED, &mut hook).unwrap_err();
        assert_eq!((error.code(), reached), ("E-GPU-011", Some(Stage::Walk)), "{error}");
        assert!(engine.lost);
        let run = engine.run(&SELF_TEST, SELF_TEST_SEED, &mut ignore_progress).unwrap();
        assert_eq!(run.output, kernel::compute(&SELF_TEST, SELF_TEST_SEED));
        assert!(!engine.lost);
    }

    #[test]
    fn two_engines_on_one_device_do_not_disturb_each_other() {
        let expected = kernel::compute(&SELF_TEST, SELF_TEST_SEED);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut engine = Engine::new(0).unwrap();
                    for _ in 0..3 {
                        let output = engine.run(&SELF_TEST, SELF_TEST_SEED, &mut ignore_progress).unwrap().output;
                        assert!(output == expected);
                    }
                });
            }
        });
    }

    #[test]
    fn an_engine_can_move_to_another_thread() {
        fn assert_send<T: Send>() {}
        assert_send::<Engine>();
    }

    #[test]
    fn the_self_test_notices_a_wrong_device() {
        let mut engine = Engine::new(0).unwrap();
        assert!(engine.self_test().is_ok());
        // A walk with too few chains per launch leaves lanes untouched, as a faulty device would.
        engine.kernels.chains *= 2;
        let error = engine.self_test().unwrap_err();
        assert_eq!(error.code(), "E-GPU-008", "{error}");
    }
}
