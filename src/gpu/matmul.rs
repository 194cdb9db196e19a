//! Kernel `matmul` on a device: operands, product, folds, tree.

use alloy::primitives::B256;
use ocl::Buffer;

use super::engine::{Run, Stage};
use super::error::GpuError;
use super::program::{Arg, Kernels, Variant, WORDS_PER_HASH};
use crate::rules::kernel::merkle::MerkleTree;
use crate::types::work::Profile;

/// Up to this many nodes the host hashes a tree's top faster than launches would.
const HOST_TREE_NODES: u64 = 1024;
/// Keccak words that one work-item of a GPU expands; its row key costs one more.
const WORDS_PER_ITEM: u32 = 32;
/// Tile of one work-item of `product_panels`.
const PANEL_ROWS: u64 = 4;
const PANEL_COLUMNS: u64 = 64;
/// Tile of one work-item of `product_portable`, and work-items of one group in each direction.
const PORTABLE_ROWS: u64 = 4;
const PORTABLE_GROUP: u64 = 16;
/// Packed u32 per keccak word.
const UINTS_PER_WORD: usize = 8;
/// Hashes past a level that a whole vector work-item may touch.
const TREE_SLACK: u64 = 16;

/// Buffers that all rounds share.
pub(super) struct Buffers {
    a: Buffer<u64>,
    b: Buffer<u64>,
    folds: Buffer<u64>,
    nodes: Buffer<u64>,
    band_rows: u64,
    panels: bool,
}

/// Whether the product runs on float panels: they need a whole tile.
fn uses_panels(profile: &Profile, kernels: &Kernels) -> bool {
    kernels.variant == Variant::Panels && u64::from(profile.matrix_size) >= PANEL_COLUMNS
}

/// u64 of one operand, of the folds of a band, and of the tree; and the rows of a band.
fn sizes(profile: &Profile, kernels: &Kernels) -> ([u64; 3], u64) {
    let rows = u64::from(profile.matrix_size);
    let entries = rows * u64::from(profile.inner_size);
    let operand = entries * if uses_panels(profile, kernels) { 4 } else { 1 } / 8;
    let folds_per_row = u64::from(profile.folds_per_row());
    // At least one row of tiles; both are powers of two, so bands divide the rows evenly.
    let smallest = (PORTABLE_ROWS * PORTABLE_GROUP).min(rows);
    let band_rows = (kernels.max_band_bytes / (folds_per_row * 8)).clamp(smallest, rows);
    let band_rows = 1 << band_rows.ilog2();
    let nodes = 2 * profile.leaves() + TREE_SLACK;
    ([operand, band_rows * folds_per_row, nodes * WORDS_PER_HASH as u64], band_rows)
}

/// Bytes of device memory that the product needs.
pub(super) fn needed_bytes(profile: &Profile, kernels: &Kernels) -> u64 {
    let ([operand, folds, nodes], _) = sizes(profile, kernels);
    (2 * operand + folds + nodes) * 8
}

impl Buffers {
    /// Allocates for all rounds of `profile`.
    pub fn allocate(profile: &Profile, kernels: &Kernels) -> Result<Self, GpuError> {
        let ([operand, folds, nodes], band_rows) = sizes(profile, kernels);
        Ok(Self {
            a: kernels.allocate(operand)?,
            b: kernels.allocate(operand)?,
            folds: kernels.allocate(folds)?,
            nodes: kernels.allocate(nodes)?,
            band_rows,
            panels: uses_panels(profile, kernels),
        })
    }
}

/// Computes round `round` (from 0) under its seed and returns the tree over its leaves.
pub(super) fn compute_round(run: &mut Run<'_>, buffers: &Buffers, round: u32, round_seed: B256) -> Result<MerkleTree, GpuError> {
    generate(run, buffers, round_seed)?;
    let rows = u64::from(run.profile.matrix_size);
    let done = u64::from(round) * rows;
    let mut first_row = 0;
    while first_row < rows {
        run.stage(Stage::Product);
        run.progress(done + first_row, u64::from(run.profile.rounds) * rows)?;
        multiply(run, buffers, first_row)?;
        run.stage(Stage::Trees);
        let leaves_per_row = u64::from(run.profile.leaves_per_row());
        let leaves = buffers.band_rows * leaves_per_row;
        let args = [
            Arg::Buffer(&buffers.folds),
            Arg::Buffer(&buffers.nodes),
            Arg::U64(first_row * leaves_per_row),
            Arg::U64(leaves),
            Arg::U32(run.profile.folds_per_leaf()),
        ];
        run.kernels.run("merkle_leaves", leaves.div_ceil(run.kernels.vector_width as u64), &args)?;
        first_row += buffers.band_rows;
    }
    tree(run, buffers)
}

fn generate(run: &mut Run<'_>, buffers: &Buffers, seed: B256) -> Result<(), GpuError> {
    run.stage(Stage::Operands);
    let kernels = run.kernels;
    let rows = u64::from(run.profile.matrix_size);
    let words = run.profile.words_per_row();
    let items = rows.div_ceil(kernels.vector_width as u64);
    for (operand, domain, panels) in [(&buffers.a, 0x41, "operand_row_panels"), (&buffers.b, 0x42, "operand_column_panels")] {
        let mut args = vec![Arg::Buffer(operand), Arg::Seed(seed)];
        if !buffers.panels {
            args.push(Arg::U32(domain));
        }
        args.extend([Arg::U64(rows), Arg::U32(words), Arg::U32(WORDS_PER_ITEM)]);
        let name = if buffers.panels { panels } else { "operand_bytes" };
        kernels.run_rows(name, items, words.div_ceil(WORDS_PER_ITEM).into(), &args)?;
    }
    Ok(())
}

fn multiply(run: &Run<'_>, buffers: &Buffers, first_row: u64) -> Result<(), GpuError> {
    let size = u64::from(run.profile.matrix_size);
    let mut args = vec![
        Arg::Buffer(&buffers.a),
        Arg::Buffer(&buffers.b),
        Arg::Buffer(&buffers.folds),
        Arg::U32(run.profile.words_per_row()),
        Arg::U32(run.profile.folds_per_row()),
        Arg::U64(first_row),
    ];
    if buffers.panels {
        let global = [(size / PANEL_COLUMNS) as usize, (buffers.band_rows / PANEL_ROWS) as usize];
        return run.kernels.run_groups("product_panels", global, [1, 1], &args);
    }
    let global = [u64::from(run.profile.folds_per_row()), buffers.band_rows / PORTABLE_ROWS];
    let local = global.map(|items| items.min(PORTABLE_GROUP) as usize);
    args.push(Arg::Local(UINTS_PER_WORD * 4 * local[1]));
    args.push(Arg::Local(UINTS_PER_WORD * 8 * local[0]));
    run.kernels.run_groups("product_portable", global.map(|items| items as usize), local, &args)
}

/// Hashes the tree over the leaves: wide levels on the device, the top on the host.
fn tree(run: &mut Run<'_>, buffers: &Buffers) -> Result<MerkleTree, GpuError> {
    let kernels = run.kernels;
    let mut count = run.profile.leaves();
    let mut first = 0;
    let mut levels = vec![kernels.read_hashes(&buffers.nodes, first, count)?];
    while count > HOST_TREE_NODES {
        let (children, parents) = (first, first + count);
        count /= 2;
        let args = [Arg::Buffer(&buffers.nodes), Arg::U64(children), Arg::U64(parents), Arg::U64(count)];
        kernels.run("merkle_parents", count.div_ceil(kernels.vector_width as u64), &args)?;
        levels.push(kernels.read_hashes(&buffers.nodes, parents, count)?);
        first = parents;
    }
    Ok(MerkleTree::complete(levels))
}
