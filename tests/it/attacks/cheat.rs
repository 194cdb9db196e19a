//! A provider that cheats: a computation whose parts are invented at will, committed and opened as if it were honest.

use alloy::primitives::{B256, keccak256};
use gpumkt::rules::kernel::matmul::{self, ColumnGroup};
use gpumkt::rules::kernel::memory::{self, FilledMemory};
use gpumkt::rules::kernel::merkle::{MerkleTree, leaf_hash};
use gpumkt::rules::kernel::seed::round_seed;
use gpumkt::types::work::{MatmulOpening, Profile, SampleIndex, SegmentOpening, WorkProof, WorkRoots};

/// A value that nobody computed.
pub fn invented(parts: &[u64]) -> B256 {
    keccak256(parts.iter().flat_map(|part| part.to_be_bytes()).collect::<Vec<u8>>())
}

/// Round, row and number of a fold, and how the honest one is computed: what the cheat puts in its place.
pub type Fold<'a> = dyn Fn(u32, u32, u32, &dyn Fn() -> u64) -> u64 + 'a;

/// Where the cheat departs from the protocol.
pub struct Tactic<'a> {
    /// Checkpoints of a lane, from those of an honest walk.
    pub lane: &'a dyn Fn(&Walks<'_>, u32) -> Vec<B256>,
    /// Fold `fold` of row `row` in a round, from the honest one; the function given computes it.
    pub fold: &'a Fold<'a>,
}

pub fn honest_lane(walks: &Walks<'_>, lane: u32) -> Vec<B256> {
    walks.honest(lane)
}

pub fn honest_fold(_: u32, _: u32, _: u32, honest: &dyn Fn() -> u64) -> u64 {
    honest()
}

/// The filled memory that lanes walk through.
pub struct Walks<'a> {
    pub profile: &'a Profile,
    pub seed: B256,
    pub memory: FilledMemory,
}

impl Walks<'_> {
    pub fn honest(&self, lane: u32) -> Vec<B256> {
        memory::lane_checkpoints(self.profile, self.seed, lane, &self.memory)
    }

    /// The checkpoint after walking `segment` from any state.
    pub fn segment_from(&self, lane: u32, segment: u32, state: B256) -> B256 {
        memory::Lane::resume(self.seed, lane, memory::state_from_bytes(&state)).walk_segment(self.profile, segment, &self.memory)
    }
}

/// A finished computation, honest or not, with everything that was committed.
pub struct Committed {
    pub profile: Profile,
    pub roots: WorkRoots,
    pub checkpoints: Vec<Vec<B256>>,
    pub memory: MerkleTree,
    pub folds: Vec<Vec<u64>>,
    pub products: Vec<MerkleTree>,
}

impl Committed {
    pub fn build(profile: &Profile, seed: B256, tactic: &Tactic<'_>) -> Self {
        let walks = Walks { profile, seed, memory: FilledMemory::fill(profile, seed) };
        let checkpoints: Vec<Vec<B256>> = (0..profile.lanes).map(|lane| (tactic.lane)(&walks, lane)).collect();
        let memory = memory_tree(profile, &checkpoints);
        let mut roots = WorkRoots { memory_root: memory.root(), matmul_roots: Vec::new() };
        let (mut folds, mut products) = (Vec::new(), Vec::new());
        let (mut current, mut previous) = (seed, memory.root());
        for round in 1..=profile.rounds {
            current = round_seed(current, previous);
            let of_round = round_folds(profile, current, round, tactic);
            let tree = product_tree(profile, &of_round);
            previous = tree.root();
            roots.matmul_roots.push(previous);
            folds.push(of_round);
            products.push(tree);
        }
        Self { profile: *profile, roots, checkpoints, memory, folds, products }
    }

    pub fn honest(profile: &Profile, seed: B256) -> Self {
        Self::build(profile, seed, &Tactic { lane: &honest_lane, fold: &honest_fold })
    }

    /// Commits to `digest` of a row and eight columns in the place of each fold.
    pub fn linear(profile: &Profile, seed: B256, digest: fn(&[u8], &[Vec<u8>; 8]) -> u64) -> Self {
        let mut cheat = Self::honest(profile, seed);
        let (mut current, mut previous) = (seed, cheat.roots.memory_root);
        for round in 0..profile.rounds as usize {
            current = round_seed(current, previous);
            let rows: Vec<Vec<u8>> = (0..profile.matrix_size).map(|row| matmul::row_entries(profile, current, row)).collect();
            let groups: Vec<[Vec<u8>; 8]> = (0..profile.folds_per_row())
                .map(|fold| std::array::from_fn(|c| matmul::column_entries(profile, current, fold * 8 + c as u32)))
                .collect();
            cheat.folds[round] = rows.iter().flat_map(|row| groups.iter().map(|group| digest(row, group))).collect();
            cheat.products[round] = product_tree(profile, &cheat.folds[round]);
            previous = cheat.products[round].root();
            cheat.roots.matmul_roots[round] = previous;
        }
        cheat
    }

    pub fn root(&self) -> B256 {
        self.roots.work_root()
    }

    /// Answers samples with what was committed, right or wrong.
    pub fn open(&self, samples: &[SampleIndex]) -> WorkProof {
        WorkProof {
            memory_root: self.roots.memory_root,
            matmul_roots: self.roots.matmul_roots.clone(),
            matmul: samples.iter().map(|sample| self.open_fold(sample)).collect(),
            first: samples.iter().map(|sample| self.open_segment(sample.lane, 0)).collect(),
            second: samples.iter().map(|sample| self.open_segment(sample.lane, sample.segment)).collect(),
        }
    }

    fn open_fold(&self, sample: &SampleIndex) -> MatmulOpening {
        let profile = &self.profile;
        let round = sample.round as usize - 1;
        let leaf = matmul::leaf_index(profile, sample.row, sample.fold) as usize;
        let per_leaf = profile.folds_per_leaf() as usize;
        let content = self.folds[round][leaf * per_leaf..(leaf + 1) * per_leaf].iter().flat_map(|fold| fold.to_be_bytes());
        MatmulOpening { leaf: content.collect::<Vec<u8>>().into(), path: self.products[round].path(leaf).unwrap() }
    }

    fn open_segment(&self, lane: u32, segment: u32) -> SegmentOpening {
        let state = |segment: u32| self.checkpoints[lane as usize][segment as usize];
        let path = |segment: u32| self.memory.path(memory::checkpoint_index(&self.profile, lane, segment) as usize).unwrap();
        let (start_state, start_path) = match segment {
            0 => (B256::ZERO, Vec::new()),
            later => (state(later - 1), path(later - 1)),
        };
        SegmentOpening { start_state, start_path, end_state: state(segment), end_path: path(segment) }
    }
}

fn memory_tree(profile: &Profile, checkpoints: &[Vec<B256>]) -> MerkleTree {
    let lanes = (0..).zip(checkpoints).flat_map(|(lane, states)| {
        let mut leaves = memory::lane_leaves(profile, lane, states);
        leaves.resize(profile.padded_segments() as usize, B256::ZERO);
        leaves
    });
    MerkleTree::build(lanes.collect())
}

fn round_folds(profile: &Profile, seed: B256, round: u32, tactic: &Tactic<'_>) -> Vec<u64> {
    let columns: Vec<ColumnGroup> = (0..profile.folds_per_row()).map(|fold| ColumnGroup::generate(profile, seed, fold)).collect();
    let mut folds = Vec::with_capacity((profile.matrix_size * profile.folds_per_row()) as usize);
    for row in 0..profile.matrix_size {
        let entries = matmul::row_entries(profile, seed, row);
        folds.extend((0..).zip(&columns).map(|(fold, group)| (tactic.fold)(round, row, fold, &|| group.fold(&entries))));
    }
    folds
}

fn product_tree(profile: &Profile, folds: &[u64]) -> MerkleTree {
    let leaves = folds.chunks(profile.folds_per_leaf() as usize).enumerate();
    let hash =
        |(index, folds): (usize, &[u64])| leaf_hash(index as u64, &folds.iter().flat_map(|fold| fold.to_be_bytes()).collect::<Vec<u8>>());
    MerkleTree::build(leaves.map(hash).collect())
}
