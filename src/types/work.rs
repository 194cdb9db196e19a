//! Shapes of the proof of GPU work: profiles, roots, samples and openings. docs/protocol.md sections 2 to 7 give the bytes.

use alloy::primitives::{B256, Bytes, keccak256};
use alloy::sol_types::SolValue;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Coded;

/// Bytes of one line of the memory kernel: what one step of a walk reads.
pub const LINE_BYTES: u64 = 128;
/// 32-byte units per line.
pub const UNITS_PER_LINE: u64 = 4;
/// Steps between two checkpoints of a walk.
pub const SEGMENT_STEPS: u32 = 256;
/// Columns of the product that are folded into one u64.
pub const COLUMNS_PER_FOLD: u32 = 8;
/// Matrix entries per 32-byte keccak word.
pub const ENTRIES_PER_WORD: u32 = 32;
/// Most folds in one Merkle leaf (1 KiB).
pub const MAX_FOLDS_PER_LEAF: u32 = 128;
/// Largest inner dimension: a longer sum could leave the range that the contracts' arithmetic was sized for.
pub const MAX_INNER_SIZE: u32 = 16_384;

/// Mean reads of a line in one walk below which storing the memory would not pay.
const MIN_VISITS_PER_LINE: u64 = 16;

/// Size and time limits of one challenge mode of a device class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Bytes of device memory that are filled and walked.
    pub memory_bytes: u64,
    /// keccak256 iterations per 32-byte unit.
    pub hash_iterations: u32,
    /// Parallel walks.
    pub lanes: u32,
    /// Steps per lane.
    pub steps: u32,
    /// Buffers the memory is split into.
    pub windows: u32,
    /// How often each window is walked.
    pub cycles: u32,
    /// Rows and columns of the product.
    pub matrix_size: u32,
    /// Inner dimension of the product.
    pub inner_size: u32,
    /// Chained products.
    pub rounds: u32,
    /// Time of the reference device.
    pub reference_ms: u32,
    /// Median elapsed time up to which a commit passes.
    pub pass_ms: u32,
    /// Median elapsed time up to which a commit is unmeasured instead of missed.
    pub unmeasured_ms: u32,
}

/// Why a profile is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    #[error("{field} is {value}, but must be at least {minimum}")]
    TooSmall { field: &'static str, value: u64, minimum: u64 },
    #[error("{field} is {value}, but must be at most {maximum}")]
    TooLarge { field: &'static str, value: u64, maximum: u64 },
    #[error("{field} is {value}, but must be a multiple of {divisor}")]
    NotAMultiple { field: &'static str, value: u64, divisor: u64 },
    #[error("{field} is {value}, but must be a power of two")]
    NotAPowerOfTwo { field: &'static str, value: u64 },
    #[error("times must ascend: reference {reference_ms} ms, pass {pass_ms} ms, unmeasured {unmeasured_ms} ms")]
    TimesOutOfOrder { reference_ms: u32, pass_ms: u32, unmeasured_ms: u32 },
}

impl Coded for ProfileError {
    fn code(&self) -> &'static str {
        match self {
            Self::TooSmall { .. } => "E-PROFILE-001",
            Self::TooLarge { .. } => "E-PROFILE-002",
            Self::NotAMultiple { .. } => "E-PROFILE-003",
            Self::NotAPowerOfTwo { .. } => "E-PROFILE-004",
            Self::TimesOutOfOrder { .. } => "E-PROFILE-005",
        }
    }

    fn next_step(&self) -> String {
        "correct the named field of the class profile; docs/protocol.md section 2 lists the rules".into()
    }
}

impl Profile {
    /// Checks every rule of docs/protocol.md section 2. All other code relies on a validated profile.
    pub fn validate(&self) -> Result<(), ProfileError> {
        self.validate_memory()?;
        self.validate_matmul()?;
        if self.reference_ms > self.pass_ms || self.pass_ms > self.unmeasured_ms {
            return Err(ProfileError::TimesOutOfOrder {
                reference_ms: self.reference_ms,
                pass_ms: self.pass_ms,
                unmeasured_ms: self.unmeasured_ms,
            });
        }
        Ok(())
    }

    /// Checks the further rules that the contracts put on the profiles of a class, so that the work cannot be done with less.
    pub fn validate_class(&self) -> Result<(), ProfileError> {
        self.validate()?;
        at_least("reference_ms", self.reference_ms, 1)?;
        // More lanes could be sorted by address and served in batches.
        let (value, maximum) = (u64::from(self.lanes), self.lines() / 256);
        if value > maximum {
            return Err(ProfileError::TooLarge { field: "lanes", value, maximum });
        }
        // With fewer visits per line, touching only the visited lines beats storing all of them.
        let minimum = (self.lines() * MIN_VISITS_PER_LINE).div_ceil(u64::from(self.lanes));
        if u64::from(self.steps) < minimum {
            return Err(ProfileError::TooSmall { field: "steps", value: self.steps.into(), minimum });
        }
        Ok(())
    }

    fn validate_memory(&self) -> Result<(), ProfileError> {
        at_least("windows", self.windows, 1)?;
        at_least("cycles", self.cycles, 1)?;
        at_least("hash_iterations", self.hash_iterations, 1)?;
        power_of_two("lanes", self.lanes)?;
        let window_unit = LINE_BYTES * u64::from(self.windows);
        if self.memory_bytes < window_unit {
            let (value, minimum) = (self.memory_bytes, window_unit);
            return Err(ProfileError::TooSmall { field: "memory_bytes", value, minimum });
        }
        multiple("memory_bytes", self.memory_bytes, window_unit)?;
        at_least("steps", self.steps, 2 * SEGMENT_STEPS)?;
        let phases = u64::from(self.windows).saturating_mul(u64::from(self.cycles));
        multiple("steps", u64::from(self.steps), phases.saturating_mul(u64::from(SEGMENT_STEPS)))
    }

    fn validate_matmul(&self) -> Result<(), ProfileError> {
        power_of_two("matrix_size", self.matrix_size)?;
        at_least("matrix_size", self.matrix_size, COLUMNS_PER_FOLD)?;
        at_least("inner_size", self.inner_size, ENTRIES_PER_WORD)?;
        multiple("inner_size", u64::from(self.inner_size), u64::from(ENTRIES_PER_WORD))?;
        if self.inner_size > MAX_INNER_SIZE {
            let (value, maximum) = (u64::from(self.inner_size), u64::from(MAX_INNER_SIZE));
            return Err(ProfileError::TooLarge { field: "inner_size", value, maximum });
        }
        at_least("rounds", self.rounds, 1)
    }

    /// Lines of 128 bytes in all windows together.
    pub fn lines(&self) -> u64 {
        self.memory_bytes / LINE_BYTES
    }

    /// Lines of one window.
    pub fn lines_per_window(&self) -> u64 {
        self.lines() / u64::from(self.windows)
    }

    /// Consecutive steps that stay in one window.
    pub fn steps_per_phase(&self) -> u32 {
        self.steps / (self.windows * self.cycles)
    }

    /// The window that step `step` reads.
    pub fn window_of_step(&self, step: u32) -> u32 {
        (step / self.steps_per_phase()) % self.windows
    }

    /// Checkpoints of one lane.
    pub fn segments(&self) -> u32 {
        self.steps / SEGMENT_STEPS
    }

    /// Leaves of one lane in the memory tree: `segments` rounded up to a power of two.
    pub fn padded_segments(&self) -> u32 {
        self.segments().next_power_of_two()
    }

    /// Siblings in a path from a checkpoint to the memory root.
    pub fn checkpoint_path_len(&self) -> u32 {
        self.lanes.trailing_zeros() + self.padded_segments().trailing_zeros()
    }

    /// 32-byte keccak words of one row of A or one column of B.
    pub fn words_per_row(&self) -> u32 {
        self.inner_size / ENTRIES_PER_WORD
    }

    /// Folds of one row of the product.
    pub fn folds_per_row(&self) -> u32 {
        self.matrix_size / COLUMNS_PER_FOLD
    }

    /// Folds in one leaf of a product's tree.
    pub fn folds_per_leaf(&self) -> u32 {
        self.folds_per_row().min(MAX_FOLDS_PER_LEAF)
    }

    /// Leaves of one row of the product.
    pub fn leaves_per_row(&self) -> u32 {
        self.folds_per_row() / self.folds_per_leaf()
    }

    /// Leaves of a product's tree; a power of two.
    pub fn leaves(&self) -> u64 {
        u64::from(self.matrix_size) * u64::from(self.leaves_per_row())
    }

    /// Siblings in a path from a leaf to the root of a product.
    pub fn leaf_path_len(&self) -> u32 {
        self.leaves().trailing_zeros()
    }

    /// The twelve integers in the order in which the seed binds them.
    pub fn words(&self) -> [u64; 12] {
        [
            self.memory_bytes,
            self.hash_iterations.into(),
            self.lanes.into(),
            self.steps.into(),
            self.windows.into(),
            self.cycles.into(),
            self.matrix_size.into(),
            self.inner_size.into(),
            self.rounds.into(),
            self.reference_ms.into(),
            self.pass_ms.into(),
            self.unmeasured_ms.into(),
        ]
    }

    /// The same work with other time limits.
    pub fn with_times(mut self, reference_ms: u32, pass_ms: u32, unmeasured_ms: u32) -> Self {
        (self.reference_ms, self.pass_ms, self.unmeasured_ms) = (reference_ms, pass_ms, unmeasured_ms);
        self
    }
}

fn at_least(field: &'static str, value: u32, minimum: u32) -> Result<(), ProfileError> {
    if value < minimum {
        return Err(ProfileError::TooSmall { field, value: value.into(), minimum: minimum.into() });
    }
    Ok(())
}

fn multiple(field: &'static str, value: u64, divisor: u64) -> Result<(), ProfileError> {
    if !value.is_multiple_of(divisor) {
        return Err(ProfileError::NotAMultiple { field, value, divisor });
    }
    Ok(())
}

fn power_of_two(field: &'static str, value: u32) -> Result<(), ProfileError> {
    if !value.is_power_of_two() {
        return Err(ProfileError::NotAPowerOfTwo { field, value: value.into() });
    }
    Ok(())
}

/// The profiles (full, light) of class `cpu-test`: an OpenCL CPU device on a test chain.
/// A real deployment replaces the times by those of a calibration on its own machine.
pub const fn cpu_test_class() -> (Profile, Profile) {
    let full = Profile {
        memory_bytes: 16 << 20,
        hash_iterations: 1,
        lanes: 512,
        steps: 4096,
        windows: 4,
        cycles: 4,
        matrix_size: 512,
        inner_size: 512,
        rounds: 2,
        reference_ms: 1_000,
        pass_ms: 8_000,
        unmeasured_ms: 10_000,
    };
    let light = Profile { memory_bytes: 4 << 20, lanes: 128, rounds: 1, reference_ms: 400, pass_ms: 3_200, unmeasured_ms: 4_800, ..full };
    (full, light)
}

/// What a challenge asks of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Mode {
    /// No rental covers the challenge: the whole memory is filled.
    Full = 1,
    /// The device is rented: a small, short challenge.
    Light = 2,
}

impl Mode {
    /// The mode with this number on the wire and on chain.
    pub fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Full),
            2 => Some(Self::Light),
            _ => None,
        }
    }
}

/// Roots of one computation; their hash is what a provider commits to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkRoots {
    pub memory_root: B256,
    pub matmul_roots: Vec<B256>,
}

impl WorkRoots {
    /// `keccak(memory_root ‖ root_1 ‖ … ‖ root_rounds)`.
    pub fn work_root(&self) -> B256 {
        let mut preimage = Vec::with_capacity(32 * (1 + self.matmul_roots.len()));
        preimage.extend_from_slice(self.memory_root.as_slice());
        for root in &self.matmul_roots {
            preimage.extend_from_slice(root.as_slice());
        }
        keccak256(preimage)
    }
}

/// What one sample asks to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SampleIndex {
    /// From 1 to `rounds`.
    pub round: u32,
    pub row: u32,
    pub fold: u32,
    pub lane: u32,
    /// From 1 to `segments - 1`; segment 0 of the lane is always opened too.
    pub segment: u32,
}

/// Opening of one fold of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatmulOpening {
    /// The whole leaf: `folds_per_leaf` big-endian u64.
    pub leaf: Bytes,
    /// Siblings from the leaf upwards.
    pub path: Vec<B256>,
}

/// Opening of one 256-step segment of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentOpening {
    /// State before the segment; ignored for segment 0, which starts from the lane's initial state.
    pub start_state: B256,
    pub start_path: Vec<B256>,
    pub end_state: B256,
    pub end_path: Vec<B256>,
}

/// Answer to all samples of one commit: sample i is `matmul[i]` with `first[i]` and `second[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkProof {
    pub memory_root: B256,
    pub matmul_roots: Vec<B256>,
    pub matmul: Vec<MatmulOpening>,
    pub first: Vec<SegmentOpening>,
    pub second: Vec<SegmentOpening>,
}

impl WorkProof {
    /// The roots that the proof claims.
    pub fn roots(&self) -> WorkRoots {
        WorkRoots { memory_root: self.memory_root, matmul_roots: self.matmul_roots.clone() }
    }

    /// The proof as the contracts' `WorkProof`, equal to Solidity's `abi.encode(proof)`.
    pub fn abi_encode(&self) -> Vec<u8> {
        abi::WorkProof::from(self).abi_encode()
    }

    /// The inverse of [`Self::abi_encode`].
    pub fn abi_decode(bytes: &[u8]) -> Result<Self, alloy::sol_types::Error> {
        abi::WorkProof::abi_decode_validate(bytes).map(Self::from)
    }
}

/// The same structures as the contracts declare them.
pub mod abi {
    alloy::sol! {
        #[derive(Debug, PartialEq, Eq)]
        struct MatmulOpening {
            bytes leaf;
            bytes32[] path;
        }

        #[derive(Debug, PartialEq, Eq)]
        struct SegmentOpening {
            bytes32 startState;
            bytes32[] startPath;
            bytes32 endState;
            bytes32[] endPath;
        }

        #[derive(Debug, PartialEq, Eq)]
        struct WorkProof {
            bytes32 memoryRoot;
            bytes32[] matmulRoots;
            MatmulOpening[] matmul;
            SegmentOpening[] first;
            SegmentOpening[] second;
        }
    }

    impl From<&super::WorkProof> for WorkProof {
        fn from(proof: &super::WorkProof) -> Self {
            let segment = |opening: &super::SegmentOpening| SegmentOpening {
                startState: opening.start_state,
                startPath: opening.start_path.clone(),
                endState: opening.end_state,
                endPath: opening.end_path.clone(),
            };
            let fold = |opening: &super::MatmulOpening| MatmulOpening { leaf: opening.leaf.clone(), path: opening.path.clone() };
            Self {
                memoryRoot: proof.memory_root,
                matmulRoots: proof.matmul_roots.clone(),
                matmul: proof.matmul.iter().map(fold).collect(),
                first: proof.first.iter().map(segment).collect(),
                second: proof.second.iter().map(segment).collect(),
            }
        }
    }

    impl From<WorkProof> for super::WorkProof {
        fn from(proof: WorkProof) -> Self {
            let segment = |opening: SegmentOpening| super::SegmentOpening {
                start_state: opening.startState,
                start_path: opening.startPath,
                end_state: opening.endState,
                end_path: opening.endPath,
            };
            let fold = |opening: MatmulOpening| super::MatmulOpening { leaf: opening.leaf, path: opening.path };
            Self {
                memory_root: proof.memoryRoot,
                matmul_roots: proof.matmulRoots,
                matmul: proof.matmul.into_iter().map(fold).collect(),
                first: proof.first.into_iter().map(segment).collect(),
                second: proof.second.into_iter().map(segment).collect(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_test_profiles_are_valid() {
        let (full, light) = cpu_test_class();
        assert_eq!(full.validate_class(), Ok(()));
        assert_eq!(light.validate_class(), Ok(()));
        assert_eq!(full.lines(), 131_072);
        assert_eq!((full.segments(), full.padded_segments()), (16, 16));
        assert_eq!((full.folds_per_row(), full.folds_per_leaf(), full.leaves()), (64, 64, 512));
    }

    #[test]
    fn each_broken_rule_is_named() {
        let (full, _) = cpu_test_class();
        let broken: Vec<(Profile, &str)> = vec![
            (Profile { windows: 0, ..full }, "windows"),
            (Profile { cycles: 0, ..full }, "cycles"),
            (Profile { memory_bytes: 0, ..full }, "memory_bytes"),
            (Profile { memory_bytes: full.memory_bytes + 128, ..full }, "memory_bytes"),
            (Profile { hash_iterations: 0, ..full }, "hash_iterations"),
            (Profile { lanes: 0, ..full }, "lanes"),
            (Profile { lanes: 3, ..full }, "lanes"),
            (Profile { steps: 256, windows: 1, cycles: 1, ..full }, "steps"),
            (Profile { steps: 4352, ..full }, "steps"),
            (Profile { matrix_size: 4, ..full }, "matrix_size"),
            (Profile { matrix_size: 24, ..full }, "matrix_size"),
            (Profile { inner_size: 0, ..full }, "inner_size"),
            (Profile { inner_size: 48, ..full }, "inner_size"),
            (Profile { inner_size: 32_768, ..full }, "inner_size"),
            (Profile { rounds: 0, ..full }, "rounds"),
            (Profile { pass_ms: 1, ..full }, "times"),
            (Profile { windows: u32::MAX, cycles: u32::MAX, memory_bytes: 128 * u64::from(u32::MAX), ..full }, "steps"),
        ];
        for (profile, field) in broken {
            let error = profile.validate().expect_err(field);
            assert!(error.to_string().contains(field), "{error} does not name {field}");
        }
    }

    #[test]
    fn a_class_needs_work_that_memory_makes_cheaper() {
        let (full, _) = cpu_test_class();
        let refused = |profile: Profile| profile.validate_class().expect_err("accepted").to_string();
        assert!(refused(Profile { lanes: 1024, ..full }).contains("lanes"));
        assert!(refused(Profile { lanes: 256, ..full }).contains("steps"));
        assert!(refused(Profile { reference_ms: 0, ..full }).contains("reference_ms"));
    }

    #[test]
    fn proof_survives_the_abi() {
        let proof = WorkProof {
            memory_root: B256::repeat_byte(1),
            matmul_roots: vec![B256::repeat_byte(2)],
            matmul: vec![MatmulOpening { leaf: vec![3; 64].into(), path: vec![B256::repeat_byte(4); 3] }],
            first: vec![SegmentOpening {
                start_state: B256::ZERO,
                start_path: vec![],
                end_state: B256::repeat_byte(5),
                end_path: vec![B256::repeat_byte(6)],
            }],
            second: vec![],
        };
        let encoded = proof.abi_encode();
        assert_eq!(WorkProof::abi_decode(&encoded), Ok(proof));
        assert!(WorkProof::abi_decode(&encoded[..encoded.len() - 32]).is_err());
    }
}
