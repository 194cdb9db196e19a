//! Checks a proof of work on a CPU, exactly as the contract does, and says what disagrees.

use alloy::primitives::B256;
use thiserror::Error;

use super::memory::{ComputedLines, Lane, checkpoint_index, checkpoint_leaf, state_from_bytes};
use super::{matmul, merkle, sample, seed};
use crate::types::Coded;
use crate::types::work::{MatmulOpening, Profile, ProfileError, SampleIndex, SegmentOpening, WorkProof};

/// What disagrees in a proof.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    #[error("the profile is not valid: {0}")]
    Profile(#[from] ProfileError),
    #[error("the proof has {actual} {part}, the profile and the samples ask for {expected}")]
    Count { part: &'static str, expected: usize, actual: usize },
    #[error("the proof's roots hash to {actual}, the commit is {expected}")]
    WorkRoot { expected: B256, actual: B256 },
    #[error("sample {sample}: the leaf has {actual} bytes, expected {expected}")]
    LeafLength { sample: usize, expected: usize, actual: usize },
    #[error("sample {sample}: the path of the {part} has {actual} siblings, expected {expected}")]
    PathLength { sample: usize, part: &'static str, expected: usize, actual: usize },
    #[error("sample {sample}: fold {fold} of row {row} in round {round} is {expected:#018x}, the leaf says {actual:#018x}")]
    Fold { sample: usize, round: u32, row: u32, fold: u32, expected: u64, actual: u64 },
    #[error("sample {sample}: the path of the {part} leads to {actual}, the root is {expected}")]
    Path { sample: usize, part: &'static str, expected: B256, actual: B256 },
    #[error("sample {sample}: segment {segment} of lane {lane} ends in {expected}, the opening says {actual}")]
    Segment { sample: usize, lane: u32, segment: u32, expected: B256, actual: B256 },
}

impl Coded for VerifyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Profile(inner) => inner.code(),
            Self::Count { .. } => "E-PROOF-001",
            Self::WorkRoot { .. } => "E-PROOF-002",
            Self::LeafLength { .. } => "E-PROOF-003",
            Self::PathLength { .. } => "E-PROOF-004",
            Self::Fold { .. } => "E-PROOF-005",
            Self::Path { .. } => "E-PROOF-006",
            Self::Segment { .. } => "E-PROOF-007",
        }
    }

    fn next_step(&self) -> String {
        let text = match self {
            Self::Profile(inner) => return inner.next_step(),
            Self::WorkRoot { .. } => "the proof answers another commit; ask for the openings of this one",
            _ => "the work was not done as the protocol says: a Queen may dispute the commit, a provider should run `gpumkt bench`",
        };
        text.into()
    }
}

/// Checks that `proof` answers samples 0 to `samples - 1` of `sample_seed` for a commit to `work_root`.
pub fn verify_proof(
    profile: &Profile,
    seed: B256,
    work_root: B256,
    sample_seed: B256,
    samples: u32,
    proof: &WorkProof,
) -> Result<(), VerifyError> {
    profile.validate()?;
    let wanted = samples as usize;
    count("product roots", profile.rounds as usize, proof.matmul_roots.len())?;
    count("product openings", wanted, proof.matmul.len())?;
    count("first segments", wanted, proof.first.len())?;
    count("second segments", wanted, proof.second.len())?;
    let actual = proof.roots().work_root();
    if actual != work_root {
        return Err(VerifyError::WorkRoot { expected: work_root, actual });
    }
    let check = Check {
        profile,
        seed,
        memory_root: proof.memory_root,
        matmul_roots: &proof.matmul_roots,
        round_seeds: seed::round_seeds(seed, proof.memory_root, &proof.matmul_roots),
    };
    let drawn = sample::samples(profile, sample_seed, samples);
    let openings = proof.matmul.iter().zip(&proof.first).zip(&proof.second);
    for (number, (index, ((matmul, first), second))) in drawn.iter().zip(openings).enumerate() {
        check.fold(number, index, matmul)?;
        check.segment(number, index.lane, 0, first)?;
        check.segment(number, index.lane, index.segment, second)?;
    }
    Ok(())
}

fn count(part: &'static str, expected: usize, actual: usize) -> Result<(), VerifyError> {
    if expected != actual {
        return Err(VerifyError::Count { part, expected, actual });
    }
    Ok(())
}

struct Check<'a> {
    profile: &'a Profile,
    seed: B256,
    memory_root: B256,
    matmul_roots: &'a [B256],
    round_seeds: Vec<B256>,
}

impl Check<'_> {
    fn fold(&self, sample: usize, index: &SampleIndex, opening: &MatmulOpening) -> Result<(), VerifyError> {
        let profile = self.profile;
        let expected = profile.folds_per_leaf() as usize * 8;
        if opening.leaf.len() != expected {
            return Err(VerifyError::LeafLength { sample, expected, actual: opening.leaf.len() });
        }
        let leaf = matmul::leaf_index(profile, index.row, index.fold);
        let hash = merkle::leaf_hash(leaf, &opening.leaf);
        let round = index.round as usize - 1;
        let depth = profile.leaf_path_len();
        path(sample, "product leaf", depth, hash, leaf, &opening.path, self.matmul_roots[round])?;

        let slot = (index.fold % profile.folds_per_leaf()) as usize * 8;
        let actual = opening.leaf[slot..slot + 8].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let expected = matmul::fold_value(profile, self.round_seeds[round], index.row, index.fold);
        if actual != expected {
            let SampleIndex { round, row, fold, .. } = *index;
            return Err(VerifyError::Fold { sample, round, row, fold, expected, actual });
        }
        Ok(())
    }

    fn segment(&self, sample: usize, lane: u32, segment: u32, opening: &SegmentOpening) -> Result<(), VerifyError> {
        let mut walk = if segment == 0 {
            Lane::start(self.seed, lane)
        } else {
            self.checkpoint(sample, "start state", lane, segment - 1, &opening.start_state, &opening.start_path)?;
            Lane::resume(self.seed, lane, state_from_bytes(&opening.start_state))
        };
        self.checkpoint(sample, "end state", lane, segment, &opening.end_state, &opening.end_path)?;
        let lines = ComputedLines { seed: self.seed, hash_iterations: self.profile.hash_iterations };
        let expected = walk.walk_segment(self.profile, segment, &lines);
        if expected != opening.end_state {
            return Err(VerifyError::Segment { sample, lane, segment, expected, actual: opening.end_state });
        }
        Ok(())
    }

    fn checkpoint(
        &self,
        sample: usize,
        part: &'static str,
        lane: u32,
        segment: u32,
        state: &B256,
        siblings: &[B256],
    ) -> Result<(), VerifyError> {
        let leaf = checkpoint_leaf(self.profile, lane, segment, state);
        let index = checkpoint_index(self.profile, lane, segment);
        path(sample, part, self.profile.checkpoint_path_len(), leaf, index, siblings, self.memory_root)
    }
}

fn path(
    sample: usize,
    part: &'static str,
    depth: u32,
    node: B256,
    index: u64,
    siblings: &[B256],
    expected: B256,
) -> Result<(), VerifyError> {
    if siblings.len() != depth as usize {
        return Err(VerifyError::PathLength { sample, part, expected: depth as usize, actual: siblings.len() });
    }
    let actual = merkle::climb(node, index, siblings);
    if actual != expected {
        return Err(VerifyError::Path { sample, part, expected, actual });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::rules::kernel::{WorkOutput, compute, small_profile};

    const SEED: B256 = B256::repeat_byte(0x11);
    const SAMPLE_SEED: B256 = B256::repeat_byte(0x22);
    const SAMPLES: u32 = 2;

    static OUTPUT: LazyLock<WorkOutput> = LazyLock::new(|| compute(&small_profile(), SEED));
    static PROOF: LazyLock<WorkProof> = LazyLock::new(|| OUTPUT.prove(SAMPLE_SEED, SAMPLES).unwrap());

    fn check(proof: &WorkProof) -> Result<(), VerifyError> {
        verify_proof(&small_profile(), SEED, OUTPUT.roots.work_root(), SAMPLE_SEED, SAMPLES, proof)
    }

    #[test]
    fn an_honest_proof_passes() {
        assert_eq!(check(&PROOF), Ok(()));
    }

    #[test]
    fn another_seed_profile_sample_or_root_is_refused() {
        let profile = small_profile();
        let root = OUTPUT.roots.work_root();
        let other = B256::repeat_byte(0x33);
        let verify = |profile: &Profile, seed, root, sample_seed, samples| verify_proof(profile, seed, root, sample_seed, samples, &PROOF);
        assert!(matches!(verify(&profile, other, root, SAMPLE_SEED, 2), Err(VerifyError::Fold { .. })));
        assert!(matches!(verify(&profile, SEED, other, SAMPLE_SEED, 2), Err(VerifyError::WorkRoot { .. })));
        assert!(verify(&profile, SEED, root, other, 2).is_err());
        assert!(matches!(verify(&profile, SEED, root, SAMPLE_SEED, 3), Err(VerifyError::Count { .. })));
        let wider = Profile { lanes: profile.lanes * 2, ..profile };
        assert!(verify(&wider, SEED, root, SAMPLE_SEED, 2).is_err());
        let invalid = Profile { steps: 0, ..profile };
        assert!(matches!(verify(&invalid, SEED, root, SAMPLE_SEED, 2), Err(VerifyError::Profile(_))));
    }

    #[test]
    fn merged_lanes_are_refused() {
        // A cheat walks lane 0 only and commits its checkpoints for every lane, with consistent paths.
        let profile = small_profile();
        let mut cheat = OUTPUT.clone();
        let lines = ComputedLines { seed: SEED, hash_iterations: profile.hash_iterations };
        let only = super::super::memory::lane_checkpoints(&profile, SEED, 0, &lines);
        let leaves: Vec<B256> = (0..profile.lanes)
            .flat_map(|lane| {
                let mut leaves = super::super::memory::lane_leaves(&profile, lane, &only);
                leaves.resize(profile.padded_segments() as usize, B256::ZERO);
                leaves
            })
            .collect();
        let index = sample::sample(&profile, SAMPLE_SEED, 0);
        assert_ne!(index.lane, 0, "the sample seed must pick another lane");
        let tree = merkle::MerkleTree::build(leaves);
        cheat.roots.memory_root = tree.root();
        let opening = |segment: u32| {
            let position = |segment| checkpoint_index(&profile, index.lane, segment) as usize;
            SegmentOpening {
                start_state: if segment == 0 { B256::ZERO } else { only[segment as usize - 1] },
                start_path: if segment == 0 { vec![] } else { tree.path(position(segment - 1)).unwrap() },
                end_state: only[segment as usize],
                end_path: tree.path(position(segment)).unwrap(),
            }
        };
        let check = Check { profile: &profile, seed: SEED, memory_root: cheat.roots.memory_root, matmul_roots: &[], round_seeds: vec![] };
        for segment in [0, index.segment] {
            let refused = check.segment(0, index.lane, segment, &opening(segment));
            assert!(matches!(refused, Err(VerifyError::Segment { .. })), "{refused:?}");
        }
    }

    /// Every 32-byte word and byte string of a proof that the contract reads.
    fn fields(proof: &mut WorkProof) -> Vec<Field<'_>> {
        let mut fields = vec![Field::Word(&mut proof.memory_root)];
        fields.extend(proof.matmul_roots.iter_mut().map(Field::Word));
        for opening in &mut proof.matmul {
            fields.push(Field::Bytes(&mut opening.leaf));
            fields.extend(opening.path.iter_mut().map(Field::Word));
        }
        for opening in &mut proof.first {
            fields.push(Field::Word(&mut opening.end_state));
            fields.extend(opening.end_path.iter_mut().map(Field::Word));
        }
        for opening in &mut proof.second {
            fields.push(Field::Word(&mut opening.start_state));
            fields.push(Field::Word(&mut opening.end_state));
            fields.extend(opening.start_path.iter_mut().map(Field::Word));
            fields.extend(opening.end_path.iter_mut().map(Field::Word));
        }
        fields
    }

    enum Field<'a> {
        Word(&'a mut B256),
        Bytes(&'a mut alloy::primitives::Bytes),
    }

    impl Field<'_> {
        fn flip(self, bit: usize) {
            match self {
                Self::Word(word) => word[bit / 8 % 32] ^= 1 << (bit % 8),
                Self::Bytes(bytes) => {
                    let mut copy = bytes.to_vec();
                    let position = bit / 8 % copy.len();
                    copy[position] ^= 1 << (bit % 8);
                    *bytes = copy.into();
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn any_corrupted_bit_is_refused(field in any::<usize>(), bit in 0usize..8192) {
            let mut proof = PROOF.clone();
            let mut all = fields(&mut proof);
            let pick = field % all.len();
            all.swap_remove(pick).flip(bit);
            prop_assert!(check(&proof).is_err());
        }

        #[test]
        fn a_path_of_another_length_is_refused(opening in 0usize..6, longer in any::<bool>()) {
            let mut proof = PROOF.clone();
            let path = match opening {
                0 | 1 => &mut proof.matmul[opening].path,
                2 | 3 => &mut proof.first[opening - 2].end_path,
                4 => &mut proof.second[0].start_path,
                _ => &mut proof.second[1].end_path,
            };
            if longer { path.push(B256::ZERO) } else { path.pop(); }
            let is_refused = matches!(check(&proof), Err(VerifyError::PathLength { .. }));
            prop_assert!(is_refused);
        }
    }
}
