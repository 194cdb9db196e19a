//! Seeds: what binds a computation to one device, one challenge and one profile.

use alloy::primitives::{Address, B256, U256, keccak256};

use crate::types::work::{Mode, Profile};

/// Domain byte of memory units.
pub(super) const DOMAIN_UNIT: u8 = 0x4d;
/// Domain byte of a lane's initial state.
pub(super) const DOMAIN_LANE: u8 = 0x4c;
/// Domain byte of a lane's key.
pub(super) const DOMAIN_LANE_KEY: u8 = 0x6b;
/// Domain byte of rows of A.
pub(super) const DOMAIN_ROW: u8 = 0x41;
/// Domain byte of columns of B.
pub(super) const DOMAIN_COLUMN: u8 = 0x42;

/// `TAG(s)`: the domain separator of a purpose.
pub fn tag(purpose: &str) -> B256 {
    keccak256(purpose.as_bytes())
}

/// What a challenge seed binds besides the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChallengeContext {
    /// Hash of the challenge block.
    pub block_hash: B256,
    pub chain_id: u64,
    /// Address of WorkVerification.
    pub verifier: Address,
    pub provider: Address,
    pub device_id: u64,
    pub class_version: u32,
    pub mode: Mode,
}

/// The seed of one device at one challenge; `profile` is that of `context.mode`.
pub fn challenge_seed(context: &ChallengeContext, profile: &Profile) -> B256 {
    let mut preimage = Vec::with_capacity(32 * 20);
    preimage.extend_from_slice(tag("gpumkt/seed/v1").as_slice());
    preimage.extend_from_slice(context.block_hash.as_slice());
    push_word(&mut preimage, U256::from(context.chain_id));
    preimage.extend_from_slice(context.verifier.into_word().as_slice());
    preimage.extend_from_slice(context.provider.into_word().as_slice());
    push_word(&mut preimage, U256::from(context.device_id));
    push_word(&mut preimage, U256::from(context.class_version));
    push_word(&mut preimage, U256::from(context.mode as u8));
    for parameter in profile.words() {
        push_word(&mut preimage, U256::from(parameter));
    }
    keccak256(preimage)
}

/// `seed_r` from `seed_{r-1}` and `root_{r-1}`.
pub fn round_seed(previous_seed: B256, previous_root: B256) -> B256 {
    let mut preimage = [0u8; 96];
    preimage[..32].copy_from_slice(tag("gpumkt/matmul/v1").as_slice());
    preimage[32..64].copy_from_slice(previous_seed.as_slice());
    preimage[64..].copy_from_slice(previous_root.as_slice());
    keccak256(preimage)
}

/// Seeds of all rounds from the roots they follow: `memory_root`, then the product roots; one per entry of `matmul_roots`.
pub fn round_seeds(seed: B256, memory_root: B256, matmul_roots: &[B256]) -> Vec<B256> {
    let mut seeds = Vec::with_capacity(matmul_roots.len());
    let (mut current, mut previous_root) = (seed, memory_root);
    for root in matmul_roots {
        current = round_seed(current, previous_root);
        previous_root = *root;
        seeds.push(current);
    }
    seeds
}

/// `keccak(seed ‖ domain ‖ be64(index))`.
pub(super) fn derive(seed: B256, domain: u8, index: u64) -> B256 {
    let mut preimage = [0u8; 41];
    preimage[..32].copy_from_slice(seed.as_slice());
    preimage[32] = domain;
    preimage[33..].copy_from_slice(&index.to_be_bytes());
    keccak256(preimage)
}

fn push_word(preimage: &mut Vec<u8>, word: U256) {
    preimage.extend_from_slice(&word.to_be_bytes::<32>());
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolValue;

    use super::*;
    use crate::types::work::cpu_test_class;

    #[test]
    fn challenge_seed_equals_the_abi_encoding_of_its_parts() {
        let (profile, _) = cpu_test_class();
        let context = ChallengeContext {
            block_hash: B256::repeat_byte(7),
            chain_id: 61,
            verifier: Address::repeat_byte(1),
            provider: Address::repeat_byte(2),
            device_id: 3,
            class_version: 4,
            mode: Mode::Light,
        };
        let head = (tag("gpumkt/seed/v1"), context.block_hash, U256::from(61), context.verifier, context.provider);
        let mut encoded = head.abi_encode();
        encoded.extend((U256::from(3), U256::from(4), U256::from(2)).abi_encode());
        encoded.extend(profile.words().map(U256::from).abi_encode());
        assert_eq!(challenge_seed(&context, &profile), keccak256(encoded));
    }

    #[test]
    fn every_part_changes_the_seed() {
        let (profile, light) = cpu_test_class();
        let context = ChallengeContext {
            block_hash: B256::ZERO,
            chain_id: 1,
            verifier: Address::ZERO,
            provider: Address::ZERO,
            device_id: 1,
            class_version: 1,
            mode: Mode::Full,
        };
        let base = challenge_seed(&context, &profile);
        for other in [
            ChallengeContext { block_hash: B256::repeat_byte(1), ..context },
            ChallengeContext { chain_id: 2, ..context },
            ChallengeContext { verifier: Address::repeat_byte(1), ..context },
            ChallengeContext { provider: Address::repeat_byte(1), ..context },
            ChallengeContext { device_id: 2, ..context },
            ChallengeContext { class_version: 2, ..context },
            ChallengeContext { mode: Mode::Light, ..context },
        ] {
            assert_ne!(challenge_seed(&other, &profile), base);
        }
        assert_ne!(challenge_seed(&context, &light), base);
    }
}
