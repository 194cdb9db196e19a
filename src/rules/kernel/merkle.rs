//! Merkle trees of the kernels: index-tagged leaves, separate domains for leaves and nodes, fixed depth.

use std::fmt;
use std::sync::Arc;

use alloy::primitives::{B256, keccak256};

/// Hash of leaf number `index` with this content.
pub fn leaf_hash(index: u64, content: &[u8]) -> B256 {
    let mut preimage = Vec::with_capacity(9 + content.len());
    preimage.push(0);
    preimage.extend_from_slice(&index.to_be_bytes());
    preimage.extend_from_slice(content);
    keccak256(preimage)
}

/// Hash of an inner node.
pub fn node_hash(left: &B256, right: &B256) -> B256 {
    let mut preimage = [0u8; 65];
    preimage[0] = 1;
    preimage[1..33].copy_from_slice(left.as_slice());
    preimage[33..].copy_from_slice(right.as_slice());
    keccak256(preimage)
}

/// Lower levels of a tree that are kept outside of the memory.
pub trait StoredLevels: fmt::Debug + Send + Sync {
    /// Node `index` of level `level`, counted from the leaves; None where it cannot be read.
    fn node(&self, level: usize, index: usize) -> Option<B256>;
}

/// A tree with all of its nodes, so that a path costs no hashing.
#[derive(Clone, Debug)]
pub struct MerkleTree {
    /// The levels below `levels`, and how many.
    stored: Option<(Arc<dyn StoredLevels>, usize)>,
    /// From the leaves (padded to a power of two) or from the lowest level that is not stored, up to the root.
    levels: Vec<Vec<B256>>,
}

/// Trees of the same root hold the same nodes, wherever those are kept.
impl PartialEq for MerkleTree {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root() && self.depth() == other.depth()
    }
}

impl Eq for MerkleTree {}

impl MerkleTree {
    /// The tree over `nodes`, padded with zero words to a power of two.
    pub fn build(nodes: Vec<B256>) -> Self {
        Self::complete(vec![nodes])
    }

    /// The tree whose lower levels are known: hashes only what is above the last of them.
    /// `levels` must each be half as long as the one before.
    pub fn complete(mut levels: Vec<Vec<B256>>) -> Self {
        if let [only] = levels.as_mut_slice() {
            only.resize(only.len().next_power_of_two(), B256::ZERO);
        }
        while let Some(top) = levels.last().filter(|top| top.len() > 1) {
            let parents = parents(top);
            levels.push(parents);
        }
        Self { stored: None, levels }
    }

    /// The same tree on top of `count` further levels.
    pub fn above(mut self, stored: Arc<dyn StoredLevels>, count: usize) -> Self {
        self.stored = Some((stored, count));
        self
    }

    /// Levels, that of the root included.
    pub fn depth(&self) -> usize {
        self.levels.len() + self.stored.as_ref().map_or(0, |(_, count)| *count)
    }

    /// Nodes in memory.
    pub fn nodes_in_memory(&self) -> usize {
        self.levels.iter().map(Vec::len).sum()
    }

    /// The root; that of a tree over nothing is zero.
    pub fn root(&self) -> B256 {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }

    /// The nodes at the bottom, padding included; of a tree whose lower levels are stored, the lowest in memory.
    pub fn leaves(&self) -> &[B256] {
        self.levels.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// Siblings of leaf `index`, from the bottom upwards; None where there is no such leaf.
    pub fn path(&self, mut index: usize) -> Option<Vec<B256>> {
        let mut siblings = Vec::with_capacity(self.depth());
        if let Some((stored, count)) = &self.stored {
            for level in 0..*count {
                siblings.push(stored.node(level, index ^ 1)?);
                index >>= 1;
            }
        }
        for level in &self.levels {
            if level.len() == 1 {
                break;
            }
            siblings.push(*level.get(index ^ 1)?);
            index >>= 1;
        }
        (index == 0).then_some(siblings)
    }
}

/// The root that follows from `node` at position `index` and its siblings.
pub fn climb(node: B256, mut index: u64, siblings: &[B256]) -> B256 {
    let mut current = node;
    for sibling in siblings {
        current = if index & 1 == 0 { node_hash(&current, sibling) } else { node_hash(sibling, &current) };
        index >>= 1;
    }
    current
}

fn parents(level: &[B256]) -> Vec<B256> {
    level.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn domains_are_separate() {
        let (left, right) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let content = [left.as_slice(), right.as_slice()].concat();
        assert_ne!(leaf_hash(0, &content), node_hash(&left, &right));
        assert_ne!(leaf_hash(0, &content), leaf_hash(1, &content));
    }

    #[test]
    fn padding_is_zero_words() {
        let nodes = [B256::repeat_byte(1), B256::repeat_byte(2), B256::repeat_byte(3)];
        let expected = node_hash(&node_hash(&nodes[0], &nodes[1]), &node_hash(&nodes[2], &B256::ZERO));
        let tree = MerkleTree::build(nodes.to_vec());
        assert_eq!(tree.root(), expected);
        assert_eq!(tree.path(4), None);
        assert_eq!(MerkleTree::build(vec![nodes[0]]).root(), nodes[0]);
    }

    proptest! {
        #[test]
        fn every_path_leads_to_the_root(count in 1usize..40, pick in 0usize..40) {
            let nodes: Vec<B256> = (0..count).map(|i| leaf_hash(i as u64, b"x")).collect();
            let index = pick % count;
            let tree = MerkleTree::build(nodes.clone());
            let siblings = tree.path(index).unwrap();
            prop_assert_eq!(climb(nodes[index], index as u64, &siblings), tree.root());
            let two_levels = vec![tree.levels[0].clone(), tree.levels.get(1).cloned().unwrap_or_default()];
            if count > 1 {
                prop_assert_eq!(MerkleTree::complete(two_levels), tree);
            }
        }
    }
}
