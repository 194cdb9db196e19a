//! Kernel `matmul` on a device: operands, product, folds, tree.

use alloy::primitives::B256;
use ocl::Buffer;

use super::engine::{Run, Stage};
use super::error::GpuError;
use super::merkle;
use super::program::{Arg, Kernels};
use super::variant::Variant;
use crate::rules::kernel::merkle::MerkleTree;
use crate::types::work::Profile;

/// Keccak words that one work-item of a GPU expands; its row key costs one more.
const WORDS_PER_ITEM: u32 = 32;
/// Tile of one work-item of `matmul_cpu.cl`, which is also how many rows and columns lie in one panel.
const PANEL_ROWS: u32 = 8;
const PANEL_COLUMNS: u32 = 32;
/// Tile of one work-item of `product_portable`, and work-items of one group in each direction.
const PORTABLE_ROWS: u64 = 4;
const PORTABLE_GROUP: u64 = 16;
/// Tile of one group of `product_mma`, and its work-items.
const MMA_ROWS: u64 = 128;
const MMA_COLUMNS: u64 = 256;
const MMA_ITEMS: usize = 256;
/// Packed u32 per keccak word.
const UINTS_PER_WORD: usize = 8;
/// Buffers that all rounds share.
pub(super) struct Buffers {
    a: Buffer<u64>,
    b: Buffer<u64>,
    folds: Buffer<u64>,
    nodes: Buffer<u64>,
    band_rows: u64,
    product: Product,
}

/// The kernel that multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    FloatPanels,
    PackedPanels,
    Mma,
    Portable,
}

impl Product {
    /// That of a variant, or the portable one where the matrix is smaller than a tile.
    fn of(profile: &Profile, variant: Variant) -> Self {
        let size = profile.matrix_size;
        match variant {
            Variant::FloatPanels if size >= PANEL_COLUMNS => Self::FloatPanels,
            Variant::PackedPanels if size >= PANEL_COLUMNS => Self::PackedPanels,
            Variant::Mma if u64::from(size) >= MMA_COLUMNS => Self::Mma,
            _ => Self::Portable,
        }
    }

    /// Bytes of one entry of an operand.
    fn entry_bytes(self) -> u64 {
        if self == Self::FloatPanels { 4 } else { 1 }
    }

    /// Fewest rows of one launch; a power of two.
    fn tile_rows(self) -> u64 {
        match self {
            Self::FloatPanels | Self::PackedPanels => PANEL_ROWS.into(),
            Self::Mma => MMA_ROWS,
            Self::Portable => PORTABLE_ROWS * PORTABLE_GROUP,
        }
    }
}

/// u64 of one operand, of the folds of a band, and of the tree; and the rows of a band.
fn sizes(profile: &Profile, kernels: &Kernels) -> ([u64; 3], u64) {
    let rows = u64::from(profile.matrix_size);
    let entries = rows * u64::from(profile.inner_size);
    let product = Product::of(profile, kernels.variant);
    let operand = entries * product.entry_bytes() / 8;
    let folds_per_row = u64::from(profile.folds_per_row());
    // At least one row of tiles; both are powers of two, so bands divide the rows evenly.
    let smallest = product.tile_rows().min(rows);
    let band_rows = (kernels.max_band_bytes / (folds_per_row * 8)).clamp(smallest, rows);
    let band_rows = 1 << band_rows.ilog2();
    ([operand, band_rows * folds_per_row, merkle::node_words(profile)], band_rows)
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
            product: Product::of(profile, kernels.variant),
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
        merkle::hash_leaves(run, &buffers.folds, &buffers.nodes, first_row, buffers.band_rows)?;
        first_row += buffers.band_rows;
    }
    merkle::tree(run, &buffers.nodes)
}

fn generate(run: &mut Run<'_>, buffers: &Buffers, seed: B256) -> Result<(), GpuError> {
    run.stage(Stage::Operands);
    let kernels = run.kernels;
    let rows = u64::from(run.profile.matrix_size);
    let words = run.profile.words_per_row();
    let items = rows.div_ceil(kernels.vector_width as u64);
    for (operand, domain, panel) in [(&buffers.a, 0x41, PANEL_ROWS), (&buffers.b, 0x42, PANEL_COLUMNS)] {
        let mut args = vec![Arg::Buffer(operand), Arg::Seed(seed), Arg::U32(domain), Arg::U64(rows), Arg::U32(words)];
        let (name, item_rows) = match buffers.product {
            Product::FloatPanels => ("operand_float_panels", 1),
            Product::PackedPanels => ("operand_packed_panels", 1),
            Product::Mma | Product::Portable => ("operand_bytes", words.div_ceil(WORDS_PER_ITEM)),
        };
        args.push(Arg::U32(if name == "operand_bytes" { WORDS_PER_ITEM } else { panel }));
        kernels.run_rows(name, items, item_rows.into(), &args)?;
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
    let panels = || [(buffers.band_rows / u64::from(PANEL_ROWS)) as usize, (size / u64::from(PANEL_COLUMNS)) as usize];
    match buffers.product {
        Product::FloatPanels => return run.kernels.run_groups("product_float_panels", panels(), [1, 1], &args),
        Product::PackedPanels => return run.kernels.run_groups("product_packed_panels", panels(), [1, 1], &args),
        Product::Mma => {
            let groups = (buffers.band_rows / MMA_ROWS) * (size / MMA_COLUMNS);
            return run.kernels.run_groups("product_mma", [groups as usize * MMA_ITEMS, 1], [MMA_ITEMS, 1], &args);
        }
        Product::Portable => {}
    }
    let global = [u64::from(run.profile.folds_per_row()), buffers.band_rows / PORTABLE_ROWS];
    let local = global.map(|items| items.min(PORTABLE_GROUP) as usize);
    args.push(Arg::Local(UINTS_PER_WORD * 4 * local[1]));
    args.push(Arg::Local(UINTS_PER_WORD * 8 * local[0]));
    run.kernels.run_groups("product_portable", global.map(|items| items as usize), local, &args)
}
