//! Which commits are drawn for an on-chain proof, and what a proof has to open.

use alloy::primitives::{B256, U256, keccak256};

use super::seed::tag;
use crate::types::work::{Profile, SampleIndex};

/// Whether the seal draws the commit of this device: one in `proof_rate`. A rate of zero draws nobody.
pub fn is_drawn(seal_hash: B256, challenge_block: u64, device_id: u64, proof_rate: u64) -> bool {
    let hash = sealed("gpumkt/draw/v1", seal_hash, challenge_block, device_id);
    proof_rate > 0 && (U256::from_be_bytes(hash.0) % U256::from(proof_rate)).is_zero()
}

/// The seed of the on-chain samples of one commit.
pub fn sample_seed(seal_hash: B256, challenge_block: u64, device_id: u64) -> B256 {
    sealed("gpumkt/sample/v1", seal_hash, challenge_block, device_id)
}

/// Sample number `number` under `sample_seed`.
pub fn sample(profile: &Profile, sample_seed: B256, number: u32) -> SampleIndex {
    let mut preimage = [0u8; 64];
    preimage[..32].copy_from_slice(sample_seed.as_slice());
    preimage[60..].copy_from_slice(&number.to_be_bytes());
    let hash = keccak256(preimage);
    // Fields are 32 bits each, the lowest bits of the big-endian number first.
    let field = |position: usize| {
        let end = 32 - 4 * position;
        hash[end - 4..end].iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte))
    };
    SampleIndex {
        round: 1 + field(0) % profile.rounds,
        row: field(1) % profile.matrix_size,
        fold: field(2) % profile.folds_per_row(),
        lane: field(3) % profile.lanes,
        segment: 1 + field(4) % (profile.segments() - 1),
    }
}

/// Samples 0 to `count - 1`.
pub fn samples(profile: &Profile, sample_seed: B256, count: u32) -> Vec<SampleIndex> {
    (0..count).map(|number| sample(profile, sample_seed, number)).collect()
}

fn sealed(purpose: &str, seal_hash: B256, challenge_block: u64, device_id: u64) -> B256 {
    let mut preimage = [0u8; 128];
    preimage[..32].copy_from_slice(tag(purpose).as_slice());
    preimage[32..64].copy_from_slice(seal_hash.as_slice());
    preimage[88..96].copy_from_slice(&challenge_block.to_be_bytes());
    preimage[120..].copy_from_slice(&device_id.to_be_bytes());
    keccak256(preimage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::work::cpu_test_class;

    #[test]
    fn fields_are_read_from_the_lowest_bits() {
        let (profile, _) = cpu_test_class();
        let seed = B256::repeat_byte(0xab);
        let mut preimage = seed.to_vec();
        preimage.extend_from_slice(&U256::from(5).to_be_bytes::<32>());
        let hash = U256::from_be_bytes(keccak256(preimage).0);
        let field = |shift: usize, modulus: u32| ((hash >> shift) & U256::from(u32::MAX)).to::<u64>() as u32 % modulus;
        let expected = SampleIndex {
            round: 1 + field(0, 2),
            row: field(32, 512),
            fold: field(64, 64),
            lane: field(96, 512),
            segment: 1 + field(128, 15),
        };
        assert_eq!(sample(&profile, seed, 5), expected);
    }

    #[test]
    fn samples_reach_every_round_and_stay_in_range() {
        let (profile, _) = cpu_test_class();
        let drawn = samples(&profile, B256::repeat_byte(1), 500);
        assert!(drawn.iter().any(|s| s.round == 1) && drawn.iter().any(|s| s.round == 2));
        assert!(drawn.iter().all(|s| (1..=2).contains(&s.round) && (1..16).contains(&s.segment)));
        assert!(drawn.iter().any(|s| s.segment == 15));
    }

    #[test]
    fn the_draw_follows_its_rate() {
        let drawn = |rate| (0..4000).filter(|d| is_drawn(B256::repeat_byte(1), 7, *d, rate)).count();
        assert_eq!(drawn(1), 4000);
        assert_eq!(drawn(0), 0);
        assert!((150..350).contains(&drawn(16)), "{}", drawn(16));
    }
}
