//! Kernel `memory` on a device: fill, walk, and the roots of the lanes.

use alloy::primitives::B256;
use ocl::Buffer;

use super::engine::{Run, Stage};
use super::error::GpuError;
use super::program::{Arg, Kernels, WORDS_PER_HASH};
use crate::rules::kernel::merkle::MerkleTree;
use crate::types::work::{Profile, SEGMENT_STEPS, UNITS_PER_LINE};

/// u64 per 32-byte unit.
const WORDS_PER_UNIT: u64 = 4;
/// u64 that the device keeps per lane: four of state, one of key.
const WORDS_PER_LANE: u64 = 5;
/// Work-items of one launch of the fill: short enough to notice a cancellation and to stay below display watchdogs.
const FILL_ITEMS_PER_LAUNCH: u64 = 1 << 22;

/// Sizes of one run, rounded up so that whole work-items fit.
struct Layout {
    units_per_window: u64,
    fill_items: u64,
    lanes: u64,
    tree_levels: u64,
}

impl Layout {
    fn new(profile: &Profile, kernels: &Kernels) -> Self {
        let units_per_window = profile.lines_per_window() * UNITS_PER_LINE;
        Self {
            units_per_window,
            fill_items: units_per_window.div_ceil(kernels.vector_width as u64),
            // Lanes past the profile's last are walked and ignored; only tiny profiles have any.
            lanes: u64::from(profile.lanes).max(kernels.vector_width.max(kernels.chains) as u64),
            tree_levels: u64::from(profile.padded_segments().trailing_zeros()) + 1,
        }
    }

    fn window_words(&self, kernels: &Kernels) -> u64 {
        self.fill_items * kernels.vector_width as u64 * WORDS_PER_UNIT
    }

    fn stack_words(&self) -> u64 {
        self.tree_levels * self.lanes * WORDS_PER_HASH as u64
    }
}

/// Bytes of device memory that the memory kernel needs.
pub(super) fn needed_bytes(profile: &Profile, kernels: &Kernels) -> u64 {
    let layout = Layout::new(profile, kernels);
    let windows = layout.window_words(kernels).saturating_mul(u64::from(profile.windows));
    (windows + layout.lanes * WORDS_PER_LANE + layout.stack_words()).saturating_mul(8)
}

/// Runs the kernel and returns the tree over the lane roots. All device memory is free again on return.
pub(super) fn compute(run: &mut Run<'_>, seed: B256) -> Result<MerkleTree, GpuError> {
    let layout = Layout::new(run.profile, run.kernels);
    let windows = fill(run, &layout, seed)?;
    let lanes = layout.lanes;
    let states = run.kernels.allocate(lanes * WORDS_PER_LANE)?;
    let stack = run.kernels.allocate(layout.stack_words())?;
    walk(run, &layout, seed, &windows, &states, &stack)?;
    run.stage(Stage::Trees);
    let mut roots = Vec::with_capacity(run.profile.lanes as usize);
    run.kernels.read_hashes(&stack, (layout.tree_levels - 1) * lanes, u64::from(run.profile.lanes), |chunk| {
        roots.extend_from_slice(chunk);
        Ok(())
    })?;
    Ok(MerkleTree::build(roots))
}

fn fill(run: &mut Run<'_>, layout: &Layout, seed: B256) -> Result<Vec<Buffer<u64>>, GpuError> {
    run.stage(Stage::Fill);
    let kernels = run.kernels;
    let count = u64::from(run.profile.windows);
    let mut windows = Vec::with_capacity(count as usize);
    for number in 0..count {
        let window = kernels.allocate(layout.window_words(kernels))?;
        let mut first = 0;
        while first < layout.fill_items {
            run.progress(number * layout.fill_items + first, count * layout.fill_items)?;
            let items = (layout.fill_items - first).min(FILL_ITEMS_PER_LAUNCH);
            let args = [
                Arg::Buffer(&window),
                Arg::Seed(seed),
                Arg::U32(run.profile.hash_iterations),
                Arg::U64(number * layout.units_per_window),
                Arg::U64(first),
                Arg::U64(items),
            ];
            kernels.run("memory_fill", items, &args)?;
            first += items;
        }
        windows.push(window);
    }
    Ok(windows)
}

fn walk(
    run: &mut Run<'_>,
    layout: &Layout,
    seed: B256,
    windows: &[Buffer<u64>],
    states: &Buffer<u64>,
    stack: &Buffer<u64>,
) -> Result<(), GpuError> {
    run.stage(Stage::Walk);
    let (kernels, profile, lanes) = (run.kernels, run.profile, layout.lanes);
    let hash_items = lanes.div_ceil(kernels.vector_width as u64);
    kernels.run("memory_start", hash_items, &[Arg::Buffer(states), Arg::Seed(seed), Arg::U64(lanes)])?;
    let (segments, padded) = (profile.segments(), profile.padded_segments());
    for segment in 0..padded {
        run.progress(segment.into(), padded.into())?;
        if segment < segments {
            let first_step = segment * SEGMENT_STEPS;
            let args = [
                Arg::Buffer(&windows[profile.window_of_step(first_step) as usize]),
                Arg::Buffer(states),
                Arg::U64(lanes),
                Arg::U64(profile.lines_per_window()),
                Arg::U32(first_step),
            ];
            kernels.run("memory_walk", lanes.div_ceil(kernels.chains as u64), &args)?;
        }
        let args = [Arg::Buffer(states), Arg::Buffer(stack), Arg::U64(lanes), Arg::U32(segment), Arg::U32(segments), Arg::U32(padded)];
        kernels.run("memory_checkpoint", hash_items, &args)?;
    }
    Ok(())
}
