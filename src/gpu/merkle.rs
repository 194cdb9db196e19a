//! Trees over the folds of a product, hashed on a device.

use std::sync::Arc;

use ocl::Buffer;

use super::engine::Run;
use super::error::GpuError;
use super::program::{Arg, Kernels, WORDS_PER_HASH};
use super::spill::SpilledLevels;
use crate::rules::kernel::merkle::MerkleTree;
use crate::types::work::Profile;

/// Up to this many nodes the host hashes a tree's top faster than launches would.
const HOST_TREE_NODES: u64 = 1024;
/// Hashes past a level that a whole vector work-item may touch.
const SLACK: u64 = 16;

/// u64 of a buffer for all nodes of a product's tree.
pub(super) fn node_words(profile: &Profile) -> u64 {
    (2 * profile.leaves() + SLACK) * WORDS_PER_HASH as u64
}

/// Hashes the leaves of `rows` rows from `first_row` on, whose folds start at the beginning of `folds`.
pub(super) fn hash_leaves(run: &Run<'_>, folds: &Buffer<u64>, nodes: &Buffer<u64>, first_row: u64, rows: u64) -> Result<(), GpuError> {
    let leaves_per_row = u64::from(run.profile.leaves_per_row());
    let leaves = rows * leaves_per_row;
    let args = [
        Arg::Buffer(folds),
        Arg::Buffer(nodes),
        Arg::U64(first_row * leaves_per_row),
        Arg::U64(leaves),
        Arg::U32(run.profile.folds_per_leaf()),
    ];
    run.kernels.run("merkle_leaves", leaves.div_ceil(run.kernels.vector_width as u64), &args)
}

/// Hashes the tree over the leaves: wide levels on the device, the top on the host. Levels too wide for the host's memory go to a
/// file.
pub(super) fn tree(run: &Run<'_>, nodes: &Buffer<u64>) -> Result<MerkleTree, GpuError> {
    let kernels = run.kernels;
    let leaves = run.profile.leaves();
    let (mut first, mut count) = (0, leaves);
    let mut levels = Vec::new();
    let mut spilled: Option<(SpilledLevels, usize)> = None;
    loop {
        if count > kernels.max_host_nodes {
            let (file, spilled_levels) = match &mut spilled {
                Some(open) => open,
                None => spilled.insert((SpilledLevels::create(&kernels.spill_folder, leaves).map_err(spill_error(kernels))?, 0)),
            };
            kernels.read_hashes(nodes, first, count, |chunk| file.append(chunk).map_err(spill_error(kernels)))?;
            *spilled_levels += 1;
        } else {
            let mut level = Vec::with_capacity(count as usize);
            kernels.read_hashes(nodes, first, count, |chunk| {
                level.extend_from_slice(chunk);
                Ok(())
            })?;
            levels.push(level);
        }
        if count <= HOST_TREE_NODES.min(kernels.max_host_nodes) {
            break;
        }
        let (children, parents) = (first, first + count);
        count /= 2;
        let args = [Arg::Buffer(nodes), Arg::U64(children), Arg::U64(parents), Arg::U64(count)];
        kernels.run("merkle_parents", count.div_ceil(kernels.vector_width as u64), &args)?;
        first = parents;
    }
    let tree = MerkleTree::complete(levels);
    Ok(match spilled {
        Some((file, count)) => tree.above(Arc::new(file), count),
        None => tree,
    })
}

fn spill_error(kernels: &Kernels) -> impl FnOnce(std::io::Error) -> GpuError {
    |source| GpuError::Spill { folder: kernels.spill_folder.clone(), source }
}
