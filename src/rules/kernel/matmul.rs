//! CPU reference of kernel `matmul`: an exact product of pseudo-random 6-bit matrices, folded and hashed.

use alloy::primitives::{B256, keccak256};

use super::memory::ODD;
use super::merkle;
use super::seed::{DOMAIN_COLUMN, DOMAIN_ROW, derive};
use crate::types::work::{COLUMNS_PER_FOLD, Profile};

/// Entries whose products can be summed in 16 bits: 16 * 63 * 63 < 2^16.
const ENTRIES_PER_PARTIAL_SUM: usize = 16;
/// Even 16-bit parts of a u128.
const EVEN_PARTS: u128 = 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;

/// Row `row` of A.
pub fn row_entries(profile: &Profile, round_seed: B256, row: u32) -> Vec<u8> {
    expand(profile, derive(round_seed, DOMAIN_ROW, row.into()))
}

/// Column `column` of B.
pub fn column_entries(profile: &Profile, round_seed: B256, column: u32) -> Vec<u8> {
    expand(profile, derive(round_seed, DOMAIN_COLUMN, column.into()))
}

fn expand(profile: &Profile, mut key: B256) -> Vec<u8> {
    let mut entries = Vec::with_capacity(profile.inner_size as usize);
    for word in 0..profile.words_per_row() {
        key[28..].copy_from_slice(&word.to_be_bytes());
        let mut hash = keccak256(key);
        for byte in hash.iter_mut() {
            *byte &= 0x3f;
        }
        entries.extend_from_slice(hash.as_slice());
    }
    entries
}

/// Folds eight consecutive entries of a row of the product.
pub fn fold_entries(entries: &[u32; 8]) -> u64 {
    entries.iter().fold(0, |hash: u64, entry| (hash ^ u64::from(*entry)).wrapping_mul(ODD).rotate_left(29))
}

/// The eight columns of one fold, interleaved: entry `k` of column `c` is part `c` of the u128 number `k`.
/// Sixteen-bit parts let one multiplication by an entry of A serve eight columns.
pub struct ColumnGroup {
    parts: Vec<u128>,
}

impl ColumnGroup {
    /// Columns `8 * fold` to `8 * fold + 7` of B.
    pub fn generate(profile: &Profile, round_seed: B256, fold: u32) -> Self {
        let mut parts = vec![0u128; profile.inner_size as usize];
        for c in 0..COLUMNS_PER_FOLD {
            let entries = column_entries(profile, round_seed, fold * COLUMNS_PER_FOLD + c);
            for (part, entry) in parts.iter_mut().zip(entries) {
                *part |= u128::from(entry) << (16 * c);
            }
        }
        Self { parts }
    }

    /// The fold of these columns in the row of the product that belongs to `row`.
    pub fn fold(&self, row: &[u8]) -> u64 {
        let (mut even, mut odd) = (0u128, 0u128);
        let blocks = row.chunks(ENTRIES_PER_PARTIAL_SUM).zip(self.parts.chunks(ENTRIES_PER_PARTIAL_SUM));
        for (entries, parts) in blocks {
            let mut sum = 0u128;
            let mut k = 0;
            while k < entries.len() {
                sum = sum.wrapping_add(parts[k].wrapping_mul(entries[k] as u128));
                k += 1;
            }
            even = even.wrapping_add(sum & EVEN_PARTS);
            odd = odd.wrapping_add((sum >> 16) & EVEN_PARTS);
        }
        let mut entries = [0u32; 8];
        for (c, entry) in entries.iter_mut().enumerate() {
            let source = if c % 2 == 0 { even } else { odd };
            *entry = (source >> (32 * (c / 2))) as u32;
        }
        fold_entries(&entries)
    }
}

/// Leaf number of fold `fold` of row `row`.
pub fn leaf_index(profile: &Profile, row: u32, fold: u32) -> u64 {
    u64::from(row) * u64::from(profile.leaves_per_row()) + u64::from(fold / profile.folds_per_leaf())
}

/// Content of the leaf that holds fold `fold` of row `row`, recomputed from the seed.
pub fn leaf_content(profile: &Profile, round_seed: B256, row: u32, fold: u32) -> Vec<u8> {
    let entries = row_entries(profile, round_seed, row);
    let per_leaf = profile.folds_per_leaf();
    let first = fold / per_leaf * per_leaf;
    (first..first + per_leaf).flat_map(|fold| ColumnGroup::generate(profile, round_seed, fold).fold(&entries).to_be_bytes()).collect()
}

/// Fold `fold` of row `row`, recomputed from the seed.
pub fn fold_value(profile: &Profile, round_seed: B256, row: u32, fold: u32) -> u64 {
    ColumnGroup::generate(profile, round_seed, fold).fold(&row_entries(profile, round_seed, row))
}

/// Hashes of all leaves of one round's product.
pub fn leaf_hashes(profile: &Profile, round_seed: B256) -> Vec<B256> {
    let columns: Vec<ColumnGroup> = (0..profile.folds_per_row()).map(|fold| ColumnGroup::generate(profile, round_seed, fold)).collect();
    let mut hashes = Vec::with_capacity(profile.leaves() as usize);
    for row in 0..profile.matrix_size {
        let entries = row_entries(profile, round_seed, row);
        for groups in columns.chunks(profile.folds_per_leaf() as usize) {
            let content: Vec<u8> = groups.iter().flat_map(|group| group.fold(&entries).to_be_bytes()).collect();
            hashes.push(merkle::leaf_hash(hashes.len() as u64, &content));
        }
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::kernel::small_profile;

    fn naive_entry(row: &[u8], column: &[u8]) -> u32 {
        row.iter().zip(column).map(|(a, b)| u32::from(*a) * u32::from(*b)).sum()
    }

    #[test]
    fn grouped_columns_equal_plain_dot_products() {
        let profile = Profile { inner_size: 480, ..small_profile() };
        let seed = B256::repeat_byte(3);
        for (row, fold) in [(0, 0), (7, 3), (31, 2)] {
            let a = row_entries(&profile, seed, row);
            let entries: [u32; 8] = std::array::from_fn(|c| naive_entry(&a, &column_entries(&profile, seed, fold * 8 + c as u32)));
            assert_eq!(fold_value(&profile, seed, row, fold), fold_entries(&entries));
        }
    }

    #[test]
    fn largest_entries_do_not_overflow() {
        let inner = crate::types::work::MAX_INNER_SIZE as usize;
        let part = (0..8).fold(0u128, |part, c| part | 63 << (16 * c));
        let group = ColumnGroup { parts: vec![part; inner] };
        let expected = inner as u32 * 63 * 63;
        assert_eq!(group.fold(&vec![63; inner]), fold_entries(&[expected; 8]));
    }

    #[test]
    fn a_recomputed_leaf_is_the_committed_one() {
        let profile = small_profile();
        let seed = B256::repeat_byte(5);
        let hashes = leaf_hashes(&profile, seed);
        assert_eq!(hashes.len() as u64, profile.leaves());
        let index = leaf_index(&profile, 9, 2);
        let content = leaf_content(&profile, seed, 9, 2);
        assert_eq!(hashes[index as usize], merkle::leaf_hash(index, &content));
    }
}
