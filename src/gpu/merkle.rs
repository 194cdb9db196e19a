//! Trees over the folds of a product, hashed on a device.

use ocl::Buffer;

use super::engine::Run;
use super::error::GpuError;
use super::program::{Arg, WORDS_PER_HASH};
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

/// Hashes the tree over the leaves: wide levels on the device, the top on the host.
pub(super) fn tree(run: &Run<'_>, nodes: &Buffer<u64>) -> Result<MerkleTree, GpuError> {
    let kernels = run.kernels;
    let mut count = run.profile.leaves();
    let mut first = 0;
    let mut levels = vec![kernels.read_hashes(nodes, first, count)?];
    while count > HOST_TREE_NODES {
        let (children, parents) = (first, first + count);
        count /= 2;
        let args = [Arg::Buffer(nodes), Arg::U64(children), Arg::U64(parents), Arg::U64(count)];
        kernels.run("merkle_parents", count.div_ceil(kernels.vector_width as u64), &args)?;
        levels.push(kernels.read_hashes(nodes, parents, count)?);
        first = parents;
    }
    Ok(MerkleTree::complete(levels))
}
