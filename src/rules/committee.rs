//! Queens of a challenge, receipts' quorum and median. docs/protocol.md section 6.

use std::sync::LazyLock;

use alloy::primitives::{Address, B256, U256, keccak256};

use crate::types::DeviceId;

static COMMITTEE: LazyLock<B256> = LazyLock::new(|| keccak256("gpumkt/committee/v1"));

/// Indices into the Queen set, ascending.
pub fn committee(block_hash: B256, provider: Address, device: DeviceId, queens: u16, size: u16) -> Vec<u16> {
    let count = size.min(queens);
    let seed = keccak256([*COMMITTEE, block_hash, provider.into_word(), B256::from(U256::from(device))].map(|word| word.0).concat());
    let mut indices: Vec<u16> = (0..queens).collect();
    for position in 0..count {
        let hash = keccak256([seed.0, U256::from(position).to_be_bytes()].concat());
        let left = u64::from(queens - position);
        let offset = (U256::from_be_bytes(hash.0) % U256::from(left)).to::<u64>();
        let other = usize::from(position) + usize::try_from(offset).unwrap_or_default();
        indices.swap(usize::from(position), other);
    }
    indices.truncate(usize::from(count));
    indices.sort_unstable();
    indices
}

/// Whether `receipts` are two thirds of a committee.
pub fn is_measured(receipts: usize, committee: usize) -> bool {
    committee > 0 && receipts * 3 >= committee * 2
}

/// The median of a committee, missing receipts counted as the slowest: leaving out the receipts of slow Queens gains nothing. `None`
/// when half of the committee is missing.
pub fn median_ms(elapsed: &[u32], committee: usize) -> Option<u32> {
    let mut sorted = elapsed.to_vec();
    sorted.sort_unstable();
    sorted.get(committee / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_distinct_members_inside_the_set() {
        for seed in 0..50u8 {
            let drawn = committee(B256::repeat_byte(seed), Address::repeat_byte(1), 7, 40, 15);
            assert_eq!(drawn.len(), 15);
            assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(drawn.iter().all(|index| *index < 40));
        }
        assert_eq!(committee(B256::ZERO, Address::ZERO, 1, 3, 15), [0, 1, 2]);
        assert!(committee(B256::ZERO, Address::ZERO, 1, 0, 15).is_empty());
    }

    #[test]
    fn two_thirds_measure() {
        assert!(is_measured(2, 3) && !is_measured(1, 3) && is_measured(10, 15) && !is_measured(9, 15) && !is_measured(0, 0));
        assert_eq!(median_ms(&[30, 10, 20], 3), Some(20));
        assert_eq!(median_ms(&[40, 10, 20, 30], 4), Some(30));
        assert_eq!(median_ms(&[10, 90], 3), Some(90), "one Queen that lies does not set the time");
        assert_eq!(median_ms(&[10], 3), None);
        assert_eq!(median_ms(&[], 0), None);
    }
}
