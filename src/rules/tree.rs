//! The Outbox's tree: depth 32, append-only. docs/protocol.md section 8.

use std::sync::LazyLock;

use alloy::primitives::{B256, keccak256};

/// Levels of the tree; a proof has as many siblings.
pub const DEPTH: usize = 32;

/// Root of an empty subtree at each height.
static EMPTY: LazyLock<[B256; DEPTH + 1]> = LazyLock::new(|| {
    let mut roots = [B256::ZERO; DEPTH + 1];
    for height in 0..DEPTH {
        roots[height + 1] = node(roots[height], roots[height]);
    }
    roots
});

pub fn node(left: B256, right: B256) -> B256 {
    let mut preimage = [0u8; 65];
    preimage[0] = 1;
    preimage[1..33].copy_from_slice(left.as_slice());
    preimage[33..].copy_from_slice(right.as_slice());
    keccak256(preimage)
}

/// Keeps every level, so that a proof against any earlier count costs 32 look-ups.
#[derive(Debug, Clone, Default)]
pub struct MessageTree {
    /// `levels[0]` are the leaves. Only complete nodes are kept: what depends on the count is computed.
    levels: Vec<Vec<B256>>,
}

impl MessageTree {
    pub fn push(&mut self, leaf: B256) {
        let mut carry = leaf;
        for height in 0..=DEPTH {
            if self.levels.len() == height {
                self.levels.push(Vec::new());
            }
            let level = &mut self.levels[height];
            level.push(carry);
            if level.len() % 2 == 1 {
                return;
            }
            carry = node(level[level.len() - 2], level[level.len() - 1]);
        }
    }

    pub fn count(&self) -> u32 {
        self.levels.first().map_or(0, |leaves| u32::try_from(leaves.len()).unwrap_or(u32::MAX))
    }

    pub fn leaf(&self, index: u32) -> Option<B256> {
        self.levels.first()?.get(usize::try_from(index).ok()?).copied()
    }

    /// Root of the tree when it held `count` leaves; `None` if it never has.
    pub fn root_at(&self, count: u32) -> Option<B256> {
        (count <= self.count()).then(|| self.node_at(DEPTH, 0, u64::from(count)))
    }

    /// Siblings of leaf `index` in the tree of `count` leaves, from the leaf upwards.
    pub fn proof(&self, index: u32, count: u32) -> Option<[B256; DEPTH]> {
        if index >= count || count > self.count() {
            return None;
        }
        let mut siblings = [B256::ZERO; DEPTH];
        for (height, sibling) in siblings.iter_mut().enumerate() {
            *sibling = self.node_at(height, (u64::from(index) >> height) ^ 1, u64::from(count));
        }
        Some(siblings)
    }

    /// Siblings of the left and right edge of leaves `first` to `first + length - 1`, where the edge has one outside of the range, from
    /// the leaves upwards: what `deliverRange` takes.
    pub fn range_proof(&self, first: u32, length: u32, count: u32) -> Option<Vec<B256>> {
        let end = first.checked_add(length)?;
        if length == 0 || end > count || count > self.count() {
            return None;
        }
        let (mut left, mut right) = (u64::from(first), u64::from(end - 1));
        let mut siblings = Vec::new();
        for height in 0..DEPTH {
            if left % 2 == 1 {
                siblings.push(self.node_at(height, left - 1, u64::from(count)));
            }
            if right % 2 == 0 {
                siblings.push(self.node_at(height, right + 1, u64::from(count)));
            }
            (left, right) = (left / 2, right / 2);
        }
        Some(siblings)
    }

    /// Node `position` at `height` of the tree of `count` leaves.
    fn node_at(&self, height: usize, position: u64, count: u64) -> B256 {
        let first = position << height;
        if first >= count {
            return EMPTY[height];
        }
        if (position + 1) << height <= count {
            return self.levels[height][position as usize];
        }
        // Only nodes on the right border are incomplete, so this recurses once per level.
        node(self.node_at(height - 1, position * 2, count), self.node_at(height - 1, position * 2 + 1, count))
    }
}

/// Root that `proof` gives for `leaf` at `index`.
pub fn fold_proof(leaf: B256, index: u32, proof: &[B256; DEPTH]) -> B256 {
    proof.iter().enumerate().fold(
        leaf,
        |hash, (height, sibling)| {
            if index >> height & 1 == 1 { node(*sibling, hash) } else { node(hash, *sibling) }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(number: u32) -> B256 {
        keccak256(number.to_be_bytes())
    }

    /// As the contract folds it.
    fn fold_range(mut nodes: Vec<B256>, mut first: usize, siblings: &[B256]) -> B256 {
        let mut siblings = siblings.iter();
        for _ in 0..DEPTH {
            let last = first + nodes.len() - 1;
            if first % 2 == 1 {
                nodes.insert(0, *siblings.next().unwrap());
            }
            if last.is_multiple_of(2) {
                nodes.push(*siblings.next().unwrap());
            }
            nodes = nodes.chunks(2).map(|pair| node(pair[0], pair[1])).collect();
            first /= 2;
        }
        assert!(siblings.next().is_none(), "no sibling too many");
        nodes[0]
    }

    #[test]
    fn every_range_leads_to_the_root_of_its_count() {
        let mut tree = MessageTree::default();
        (0..19).for_each(|number| tree.push(leaf(number)));
        for count in 1..=19u32 {
            for first in 0..count {
                for length in 1..=count - first {
                    let siblings = tree.range_proof(first, length, count).unwrap();
                    let leaves = (first..first + length).map(leaf).collect();
                    assert_eq!(Some(fold_range(leaves, first as usize, &siblings)), tree.root_at(count), "{first}+{length} of {count}");
                }
            }
        }
        assert_eq!(tree.range_proof(5, 0, 9), None);
        assert_eq!(tree.range_proof(5, 5, 9), None);
        assert_eq!(tree.range_proof(5, 5, 20), None);
        assert_eq!(tree.range_proof(u32::MAX, 2, 19), None);
    }

    #[test]
    fn every_proof_leads_to_the_root_of_its_count() {
        let mut tree = MessageTree::default();
        assert_eq!(tree.root_at(0), Some(EMPTY[DEPTH]));
        let mut roots = Vec::new();
        for number in 0..20 {
            tree.push(leaf(number));
            roots.push(tree.root_at(number + 1).unwrap());
        }
        for count in 1..=20u32 {
            assert_eq!(tree.root_at(count), Some(roots[count as usize - 1]), "an old root can be computed later");
            for index in 0..count {
                let proof = tree.proof(index, count).unwrap();
                assert_eq!(fold_proof(leaf(index), index, &proof), roots[count as usize - 1]);
                assert_ne!(fold_proof(leaf(index + 1), index, &proof), roots[count as usize - 1]);
            }
            assert_eq!(tree.proof(count, count), None);
        }
        assert_eq!(tree.root_at(21), None);
    }
}
