//! Test vectors of the kernels: inputs, intermediate values and a proof, for other implementations to check themselves against.

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use super::memory::{self, ComputedLines, Lane};
use super::{ChallengeContext, NoSuchSample, challenge_seed, compute, matmul, sample, seed, small_profile};
use crate::types::work::{Mode, Profile, SampleIndex, cpu_test_class};

/// One computation with everything a verifier needs, and values on the way for finding where an implementation differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelVector {
    pub name: String,
    pub profile: Profile,
    pub block_hash: B256,
    pub chain_id: u64,
    pub verifier: Address,
    pub provider: Address,
    pub device_id: u64,
    pub class_version: u32,
    pub mode: u8,
    /// The challenge seed of all of the above.
    pub seed: B256,
    pub intermediate: Intermediate,
    pub memory_root: B256,
    pub matmul_roots: Vec<B256>,
    pub work_root: B256,
    pub sample_seed: B256,
    pub samples: u32,
    pub indices: Vec<SampleIndex>,
    /// `abi.encode` of the contracts' `WorkProof`.
    pub proof: Bytes,
}

/// Values on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intermediate {
    /// Unit 5 of the memory.
    pub unit_5: B256,
    /// Initial state of lane 1.
    pub lane_1_start: B256,
    /// Checkpoint 0 of lane 1.
    pub lane_1_checkpoint_0: B256,
    /// Root of lane 1.
    pub lane_1_root: B256,
    /// Seed of round 1.
    pub round_1_seed: B256,
    /// First 32 entries of row 3 of A in round 1.
    pub row_3: Bytes,
    /// First 32 entries of column 2 of B in round 1.
    pub column_2: Bytes,
    /// Fold 1 of row 3 in round 1.
    pub row_3_fold_1: u64,
    /// Hash of leaf 0 of round 1.
    pub leaf_0: B256,
}

/// The vectors of a small profile and of both modes of `cpu-test`.
pub fn kernel_vectors() -> Result<Vec<KernelVector>, NoSuchSample> {
    let (full, light) = cpu_test_class();
    Ok(vec![
        kernel_vector("small", &small_profile(), Mode::Full, 3)?,
        kernel_vector("cpu-test full", &full, Mode::Full, 2)?,
        kernel_vector("cpu-test light", &light, Mode::Light, 2)?,
    ])
}

/// The vector of one profile under fixed inputs.
pub fn kernel_vector(name: &str, profile: &Profile, mode: Mode, samples: u32) -> Result<KernelVector, NoSuchSample> {
    let context = ChallengeContext {
        block_hash: seed::tag("gpumkt/vector/block"),
        // The test network: the main one refuses profiles as small as these.
        chain_id: 63,
        verifier: Address::repeat_byte(0x11),
        provider: Address::repeat_byte(0x22),
        device_id: 7,
        class_version: 1,
        mode,
    };
    let seed = challenge_seed(&context, profile);
    let sample_seed = sample::sample_seed(seed::tag("gpumkt/vector/seal"), 1000, context.device_id);
    let output = compute(profile, seed);
    let proof = output.prove(sample_seed, samples)?;
    let round_1_seed = seed::round_seed(seed, output.roots.memory_root);
    let lines = ComputedLines { seed, hash_iterations: profile.hash_iterations };
    let unit = memory::unit_words(seed, profile.hash_iterations, 5);
    let mut lane = Lane::start(seed, 1);
    let lane_1_start = lane.checkpoint();
    let first_word = |entries: Vec<u8>| entries.into_iter().take(32).collect::<Bytes>();
    Ok(KernelVector {
        name: name.to_owned(),
        profile: *profile,
        block_hash: context.block_hash,
        chain_id: context.chain_id,
        verifier: context.verifier,
        provider: context.provider,
        device_id: context.device_id,
        class_version: context.class_version,
        mode: mode as u8,
        seed,
        intermediate: Intermediate {
            unit_5: memory::state_to_bytes(&unit),
            lane_1_start,
            lane_1_checkpoint_0: lane.walk_segment(profile, 0, &lines),
            lane_1_root: output.lanes.leaves().get(1).copied().unwrap_or_default(),
            round_1_seed,
            row_3: first_word(matmul::row_entries(profile, round_1_seed, 3)),
            column_2: first_word(matmul::column_entries(profile, round_1_seed, 2)),
            row_3_fold_1: matmul::fold_value(profile, round_1_seed, 3, 1),
            leaf_0: output.products.first().and_then(|tree| tree.leaves().first()).copied().unwrap_or_default(),
        },
        memory_root: output.roots.memory_root,
        matmul_roots: output.roots.matmul_roots.clone(),
        work_root: output.roots.work_root(),
        sample_seed,
        samples,
        indices: sample::samples(profile, sample_seed, samples),
        proof: proof.abi_encode().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::kernel::verify_proof;
    use crate::types::work::WorkProof;

    #[test]
    fn a_vector_verifies_from_its_own_text() {
        let vector = kernel_vector("small", &small_profile(), Mode::Full, 3).unwrap();
        let text = serde_json::to_string(&vector).unwrap();
        let read: KernelVector = serde_json::from_str(&text).unwrap();
        assert_eq!(read, vector);
        let proof = WorkProof::abi_decode(&read.proof).unwrap();
        let verified = verify_proof(&read.profile, read.seed, read.work_root, read.sample_seed, read.samples, &proof);
        assert_eq!(verified, Ok(()));
    }
}
