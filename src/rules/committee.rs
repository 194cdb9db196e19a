//! Queens of a challenge, receipts' quorum and median. docs/protocol.md section 6.

use std::sync::LazyLock;

use alloy::primitives::{Address, B256, U256, keccak256};

use crate::types::DeviceId;

static COMMITTEE: LazyLock<B256> = LazyLock::new(|| keccak256("gpumkt/committee/v1"));
static SHARD: LazyLock<B256> = LazyLock::new(|| keccak256("gpumkt/shard/v1"));

/// How a set of Queens is split for an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    /// Queens in the set.
    pub queens: u16,
    /// Queens per shard, at least; a set of fewer than twice as many is one shard.
    pub shard_size: u16,
    pub seed: B256,
}

impl Shards {
    pub fn count(&self) -> u16 {
        self.queens.checked_div(self.shard_size).unwrap_or(1).max(1)
    }

    /// Of `n` shards, number s seats the Queens s, s + n, s + 2n and so on.
    pub fn of(&self, provider: Address) -> u16 {
        let hash = keccak256([SHARD.0, self.seed.0, provider.into_word().0].concat());
        (U256::from_be_bytes(hash.0) % U256::from(self.count())).to::<u16>()
    }

    /// The committee inside the provider's shard, as indices into the whole set, ascending.
    pub fn committee(&self, block_hash: B256, provider: Address, device: DeviceId, size: u16) -> Vec<u16> {
        let (count, shard) = (self.count(), self.of(provider));
        let seats = (self.queens + count - 1 - shard) / count;
        committee(block_hash, provider, device, seats, size).into_iter().map(|member| member * count + shard).collect()
    }
}

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
    fn committees_stay_inside_the_providers_shard() {
        let set = Shards { queens: 103, shard_size: 20, seed: B256::repeat_byte(9) };
        assert_eq!(set.count(), 5);
        let mut met = std::collections::BTreeSet::new();
        for number in 0..60u8 {
            let provider = Address::repeat_byte(number);
            let shard = set.of(provider);
            met.insert(shard);
            let drawn = set.committee(B256::repeat_byte(number), provider, 7, 15);
            assert_eq!(drawn.len(), 15);
            assert!(drawn.iter().all(|index| *index < 103 && index % 5 == shard));
        }
        assert_eq!(met.len(), 5, "every shard has providers");
        let one = Shards { queens: 39, shard_size: 20, ..set };
        let provider = Address::repeat_byte(1);
        assert_eq!(one.committee(B256::ZERO, provider, 7, 15), committee(B256::ZERO, provider, 7, 39, 15));
        assert_eq!(Shards { queens: 3, shard_size: 0, ..set }.count(), 1);
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
