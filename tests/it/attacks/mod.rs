//! Section by section of docs/verification.md: each known attack, played against the real rules, the real OpenCL kernels and the
//! bytecode of ProofVerifier that is checked in. What needs windows, disputes or money is in `contracts/test/classic`.

mod cheat;
mod device;
mod people;
mod rates;
mod refused;

use alloy::primitives::B256;
use gpumkt::rules::kernel::verify_proof;
use gpumkt::types::work::{Profile, WorkProof};

use crate::evm::{self, Verdict};

/// Small enough for hundreds of verifications in a debug build: 64 lanes of 5 segments, 5 rounds of a product of 64 x 64.
pub const PROFILE: Profile = Profile {
    memory_bytes: 128 * 2560,
    hash_iterations: 1,
    lanes: 64,
    steps: 1280,
    windows: 5,
    cycles: 1,
    matrix_size: 64,
    inner_size: 64,
    rounds: 5,
    reference_ms: 1_000,
    pass_ms: 1_500,
    unmeasured_ms: 4_000,
};
pub const SEED: B256 = B256::repeat_byte(0x5e);

/// Asks both verifiers, which must agree, and says whether the proof passes.
pub fn passes(profile: &Profile, seed: B256, root: B256, sample_seed: B256, samples: u32, proof: &WorkProof) -> bool {
    let on_cpu = verify_proof(profile, seed, root, sample_seed, samples, proof);
    let (on_chain, _) = evm::verify(profile, seed, root, sample_seed, samples, proof);
    let expected = if on_cpu.is_ok() { Verdict::Right } else { Verdict::Wrong };
    assert_eq!(on_chain, expected, "the contract and the CPU disagree: {on_cpu:?}");
    on_cpu.is_ok()
}
