//! CPU reference of kernel `memory`: pseudo-random lines and the walks over them.

use alloy::primitives::{B256, keccak256};

use super::merkle::{self, MerkleTree};
use super::seed::{DOMAIN_LANE, DOMAIN_LANE_KEY, DOMAIN_UNIT, derive};
use crate::types::work::{Profile, SEGMENT_STEPS, UNITS_PER_LINE};

/// Odd multiplier of the mixing functions (2^64 divided by the golden ratio).
pub const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Four u64: the state of a lane, or the words of a unit.
pub type State = [u64; 4];

/// Words of unit `unit`.
pub fn unit_words(seed: B256, hash_iterations: u32, unit: u64) -> State {
    let mut hash = derive(seed, DOMAIN_UNIT, unit);
    for _ in 1..hash_iterations {
        hash = keccak256(hash);
    }
    state_from_bytes(&hash)
}

/// The four big-endian u64 of a 32-byte word.
pub fn state_from_bytes(bytes: &B256) -> State {
    let mut state = [0u64; 4];
    for (word, chunk) in state.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    state
}

/// A state as its checkpoint: four big-endian u64.
pub fn state_to_bytes(state: &State) -> B256 {
    let mut bytes = B256::ZERO;
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(state) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// Leaf number of checkpoint `segment` of `lane`.
pub fn checkpoint_index(profile: &Profile, lane: u32, segment: u32) -> u64 {
    u64::from(lane) * u64::from(profile.padded_segments()) + u64::from(segment)
}

/// Leaf of checkpoint `segment` of `lane`.
pub fn checkpoint_leaf(profile: &Profile, lane: u32, segment: u32, state: &B256) -> B256 {
    merkle::leaf_hash(checkpoint_index(profile, lane, segment), state.as_slice())
}

/// Where a walk reads its lines from.
pub trait Lines {
    /// The sixteen words of line `line`.
    fn line(&self, line: u64) -> [u64; 16];
}

/// The whole memory, filled once: for computing all lanes.
pub struct FilledMemory {
    words: Vec<u64>,
}

impl FilledMemory {
    /// Computes every unit of the profile's memory.
    pub fn fill(profile: &Profile, seed: B256) -> Self {
        let units = profile.lines() * UNITS_PER_LINE;
        let mut words = Vec::with_capacity((units * 4) as usize);
        for unit in 0..units {
            words.extend_from_slice(&unit_words(seed, profile.hash_iterations, unit));
        }
        Self { words }
    }
}

impl Lines for FilledMemory {
    fn line(&self, line: u64) -> [u64; 16] {
        let start = line as usize * 16;
        let mut words = [0; 16];
        words.copy_from_slice(&self.words[start..start + 16]);
        words
    }
}

/// Lines recomputed when they are read: for replaying single segments.
pub struct ComputedLines {
    pub seed: B256,
    pub hash_iterations: u32,
}

impl Lines for ComputedLines {
    fn line(&self, line: u64) -> [u64; 16] {
        let mut words = [0; 16];
        for (k, chunk) in words.chunks_exact_mut(4).enumerate() {
            let unit = line * UNITS_PER_LINE + k as u64;
            chunk.copy_from_slice(&unit_words(self.seed, self.hash_iterations, unit));
        }
        words
    }
}

/// One walk.
pub struct Lane {
    state: State,
    key: u64,
}

impl Lane {
    /// Lane `lane` before its first step.
    pub fn start(seed: B256, lane: u32) -> Self {
        Self::resume(seed, lane, state_from_bytes(&derive(seed, DOMAIN_LANE, lane.into())))
    }

    /// Lane `lane` with a given state.
    pub fn resume(seed: B256, lane: u32, state: State) -> Self {
        let key = state_from_bytes(&derive(seed, DOMAIN_LANE_KEY, lane.into()))[0];
        Self { state, key }
    }

    /// The state as a checkpoint.
    pub fn checkpoint(&self) -> B256 {
        state_to_bytes(&self.state)
    }

    /// Walks segment `segment` and returns the checkpoint at its end.
    pub fn walk_segment(&mut self, profile: &Profile, segment: u32, lines: &impl Lines) -> B256 {
        let per_window = profile.lines_per_window();
        // A segment never crosses a window: the steps of a phase are a multiple of its length.
        let first_step = segment * SEGMENT_STEPS;
        let first_line = u64::from(profile.window_of_step(first_step)) * per_window;
        let [mut x0, mut x1, mut x2, mut x3] = self.state;
        for step in first_step..first_step + SEGMENT_STEPS {
            x0 ^= x1 ^ x2 ^ x3 ^ self.key.wrapping_add(u64::from(step).wrapping_mul(ODD));
            let offset = ((u128::from(x0) * u128::from(per_window)) >> 64) as u64;
            let line = lines.line(first_line + offset);
            let mut k = 0;
            while k < 16 {
                x0 = (x0 ^ line[k]).wrapping_mul(ODD).rotate_left(29);
                x1 = (x1 ^ line[k + 1]).wrapping_mul(ODD).rotate_left(29);
                x2 = (x2 ^ line[k + 2]).wrapping_mul(ODD).rotate_left(29);
                x3 = (x3 ^ line[k + 3]).wrapping_mul(ODD).rotate_left(29);
                k += 4;
            }
        }
        self.state = [x0, x1, x2, x3];
        self.checkpoint()
    }
}

/// All checkpoints of one lane.
pub fn lane_checkpoints(profile: &Profile, seed: B256, lane: u32, lines: &impl Lines) -> Vec<B256> {
    let mut walk = Lane::start(seed, lane);
    (0..profile.segments()).map(|segment| walk.walk_segment(profile, segment, lines)).collect()
}

/// Leaves of one lane from its checkpoints.
pub fn lane_leaves(profile: &Profile, lane: u32, checkpoints: &[B256]) -> Vec<B256> {
    let leaf = |(segment, state)| checkpoint_leaf(profile, lane, segment, state);
    (0..).zip(checkpoints).map(leaf).collect()
}

/// Roots of all lanes; the root over them is the memory root.
pub fn lane_roots(profile: &Profile, seed: B256) -> Vec<B256> {
    let memory = FilledMemory::fill(profile, seed);
    (0..profile.lanes)
        .map(|lane| {
            let checkpoints = lane_checkpoints(profile, seed, lane, &memory);
            MerkleTree::build(lane_leaves(profile, lane, &checkpoints)).root()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::kernel::small_profile;

    #[test]
    fn lazy_and_filled_memory_walk_alike() {
        let profile = small_profile();
        let seed = B256::repeat_byte(9);
        let filled = FilledMemory::fill(&profile, seed);
        let lazy = ComputedLines { seed, hash_iterations: profile.hash_iterations };
        for lane in [0, 3, profile.lanes - 1] {
            assert_eq!(lane_checkpoints(&profile, seed, lane, &filled), lane_checkpoints(&profile, seed, lane, &lazy));
        }
    }

    #[test]
    fn lanes_with_the_same_state_part_ways() {
        let profile = small_profile();
        let lazy = ComputedLines { seed: B256::ZERO, hash_iterations: 1 };
        let state = [1, 2, 3, 4];
        let walk = |lane| Lane::resume(B256::ZERO, lane, state).walk_segment(&profile, 1, &lazy);
        assert_ne!(walk(0), walk(1));
    }

    #[test]
    fn states_survive_their_bytes() {
        let state = [1, u64::MAX, 0x0102_0304_0506_0708, 0];
        let bytes = state_to_bytes(&state);
        assert_eq!(bytes[7], 1);
        assert_eq!(bytes[16..24], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(state_from_bytes(&bytes), state);
    }
}
