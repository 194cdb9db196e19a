//! CPU reference of the proof of GPU work (docs/protocol.md sections 2 to 7), as pure functions.
//!
//! `compute` does what a device does, `WorkOutput::prove` opens samples of it, `verify_proof` checks them. Providers, Queens, the
//! audit and the test vectors all use these.

pub mod matmul;
pub mod memory;
pub mod merkle;
pub mod sample;
pub mod seed;
pub mod vectors;
pub mod verify;

use alloy::primitives::B256;
use thiserror::Error;

use crate::types::Coded;
use crate::types::work::{MatmulOpening, Profile, SampleIndex, SegmentOpening, WorkProof, WorkRoots};
use memory::{ComputedLines, lane_checkpoints, lane_leaves};
use merkle::MerkleTree;

pub use sample::{is_drawn, sample_seed, samples};
pub use seed::{ChallengeContext, challenge_seed};
pub use verify::{VerifyError, verify_proof};

/// A finished computation with what its openings need: everything else is regenerated from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkOutput {
    pub profile: Profile,
    pub seed: B256,
    pub roots: WorkRoots,
    /// Tree over the roots of all lanes of the memory walk.
    pub lanes: MerkleTree,
    /// Tree of every round's product.
    pub products: Vec<MerkleTree>,
}

/// A sample that does not exist in this computation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no sample at round {}, row {}, fold {}, lane {}, segment {}", .0.round, .0.row, .0.fold, .0.lane, .0.segment)]
pub struct NoSuchSample(pub SampleIndex);

impl Coded for NoSuchSample {
    fn code(&self) -> &'static str {
        "E-PROOF-008"
    }

    fn next_step(&self) -> String {
        "the request was drawn for another profile; compare the class version and the mode of the challenge".into()
    }
}

/// Computes all of a challenge on the CPU. `profile` must be valid.
pub fn compute(profile: &Profile, seed: B256) -> WorkOutput {
    let lanes = MerkleTree::build(memory::lane_roots(profile, seed));
    let memory_root = lanes.root();
    let mut roots = WorkRoots { memory_root, matmul_roots: Vec::new() };
    let mut products = Vec::new();
    let (mut round_seed, mut previous_root) = (seed, memory_root);
    for _ in 0..profile.rounds {
        round_seed = seed::round_seed(round_seed, previous_root);
        let product = MerkleTree::build(matmul::leaf_hashes(profile, round_seed));
        previous_root = product.root();
        roots.matmul_roots.push(previous_root);
        products.push(product);
    }
    WorkOutput { profile: *profile, seed, roots, lanes, products }
}

impl WorkOutput {
    /// The proof of samples 0 to `count - 1` of `sample_seed`.
    pub fn prove(&self, sample_seed: B256, count: u32) -> Result<WorkProof, NoSuchSample> {
        self.open(&sample::samples(&self.profile, sample_seed, count))
    }

    /// Opens the given samples, in their order.
    pub fn open(&self, samples: &[SampleIndex]) -> Result<WorkProof, NoSuchSample> {
        let seeds = seed::round_seeds(self.seed, self.roots.memory_root, &self.roots.matmul_roots);
        let mut proof = WorkProof {
            memory_root: self.roots.memory_root,
            matmul_roots: self.roots.matmul_roots.clone(),
            matmul: Vec::with_capacity(samples.len()),
            first: Vec::with_capacity(samples.len()),
            second: Vec::with_capacity(samples.len()),
        };
        for index in samples {
            let opening = self.open_fold(&seeds, index).ok_or(NoSuchSample(*index))?;
            let (first, second) = self.open_segments(index).ok_or(NoSuchSample(*index))?;
            proof.matmul.push(opening);
            proof.first.push(first);
            proof.second.push(second);
        }
        Ok(proof)
    }

    fn open_fold(&self, seeds: &[B256], index: &SampleIndex) -> Option<MatmulOpening> {
        let round = index.round.checked_sub(1)? as usize;
        if index.row >= self.profile.matrix_size || index.fold >= self.profile.folds_per_row() {
            return None;
        }
        let leaf = matmul::leaf_index(&self.profile, index.row, index.fold) as usize;
        let path = self.products.get(round)?.path(leaf)?;
        let content = matmul::leaf_content(&self.profile, *seeds.get(round)?, index.row, index.fold);
        Some(MatmulOpening { leaf: content.into(), path })
    }

    fn open_segments(&self, index: &SampleIndex) -> Option<(SegmentOpening, SegmentOpening)> {
        let profile = &self.profile;
        if index.segment == 0 || index.segment >= profile.segments() || index.lane >= profile.lanes {
            return None;
        }
        let lines = ComputedLines { seed: self.seed, hash_iterations: profile.hash_iterations };
        let states = lane_checkpoints(profile, self.seed, index.lane, &lines);
        let lane = MerkleTree::build(lane_leaves(profile, index.lane, &states));
        let above = self.lanes.path(index.lane as usize)?;
        let path = |segment: u32| {
            let mut siblings = lane.path(segment as usize)?;
            siblings.extend_from_slice(&above);
            Some(siblings)
        };
        let segment = index.segment;
        let first = SegmentOpening { start_state: B256::ZERO, start_path: Vec::new(), end_state: *states.first()?, end_path: path(0)? };
        let second = SegmentOpening {
            start_state: *states.get(segment as usize - 1)?,
            start_path: path(segment - 1)?,
            end_state: *states.get(segment as usize)?,
            end_path: path(segment)?,
        };
        Some((first, second))
    }
}

/// A valid profile that a debug build computes in milliseconds: for known-answer tests and test vectors.
pub const fn small_profile() -> Profile {
    Profile {
        memory_bytes: 256 << 10,
        hash_iterations: 2,
        lanes: 8,
        steps: 5120,
        windows: 4,
        cycles: 1,
        matrix_size: 32,
        inner_size: 64,
        rounds: 2,
        reference_ms: 100,
        pass_ms: 800,
        unmeasured_ms: 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::work::cpu_test_class;

    #[test]
    fn the_small_profile_is_valid_and_has_padding() {
        let profile = small_profile();
        assert_eq!(profile.validate_class(), Ok(()));
        assert_eq!((profile.segments(), profile.padded_segments()), (20, 32));
    }

    #[test]
    fn leaves_of_several_per_row_open_and_verify() {
        let profile = Profile { matrix_size: 2048, inner_size: 32, rounds: 1, ..small_profile() };
        assert_eq!(profile.leaves_per_row(), 2);
        let seed = B256::repeat_byte(4);
        let output = compute(&Profile { matrix_size: 32, ..profile }, seed);
        assert_eq!(output.products[0].leaves().len(), 32);
        let wide = matmul::leaf_content(&profile, seed, 3, 200);
        assert_eq!(wide.len(), 1024);
        let slot = (200 % 128) * 8;
        assert_eq!(wide[slot..slot + 8], matmul::fold_value(&profile, seed, 3, 200).to_be_bytes());
        assert_eq!(matmul::leaf_index(&profile, 3, 200), 7);
    }

    #[test]
    fn samples_outside_the_computation_are_refused() {
        let output = compute(&small_profile(), B256::ZERO);
        let good = SampleIndex { round: 2, row: 31, fold: 3, lane: 7, segment: 19 };
        assert!(output.open(&[good]).is_ok());
        for bad in [
            SampleIndex { round: 0, ..good },
            SampleIndex { round: 3, ..good },
            SampleIndex { row: 32, ..good },
            SampleIndex { fold: 4, ..good },
            SampleIndex { lane: 8, ..good },
            SampleIndex { segment: 0, ..good },
            SampleIndex { segment: 20, ..good },
        ] {
            assert_eq!(output.open(&[bad]), Err(NoSuchSample(bad)));
        }
    }

    #[test]
    fn the_cpu_test_class_is_proven_end_to_end() {
        let started = std::time::Instant::now();
        for profile in <[Profile; 2]>::from(cpu_test_class()) {
            let seed = B256::repeat_byte(0x42);
            let output = compute(&profile, seed);
            eprintln!("computed after {:?}", started.elapsed());
            let proof = output.prove(B256::repeat_byte(1), 4).unwrap();
            eprintln!("proved after {:?}", started.elapsed());
            let root = output.roots.work_root();
            assert_eq!(verify_proof(&profile, seed, root, B256::repeat_byte(1), 4, &proof), Ok(()));
            eprintln!("verified after {:?}", started.elapsed());
        }
    }
}
