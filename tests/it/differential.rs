//! The three implementations of the kernels against each other on random seeds, sizes and damage: the CPU reference, the bytecode of
//! ProofVerifier, the OpenCL kernels. A slice here; `make fuzz` sets PROPTEST_CASES.

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes, keccak256};
use gpumkt::gpu::{Engine, ignore_progress};
use gpumkt::rules::kernel::memory::{ComputedLines, Lane, checkpoint_index, checkpoint_leaf, state_from_bytes};
use gpumkt::rules::kernel::{compute, matmul, merkle, sample, seed, verify_proof};
use gpumkt::types::work::{MatmulOpening, Profile, SampleIndex, SegmentOpening, WorkProof, WorkRoots};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::evm::{self, Verdict};

/// Cases of a slice, or what PROPTEST_CASES says divided by what a case costs beside one of the contract.
fn cases(of_a_slice: u32, cost: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse::<u32>().ok());
    let cases = asked.map_or(of_a_slice, |asked| asked.div_ceil(cost));
    ProptestConfig { cases, max_shrink_iters: 64, failure_persistence: None, ..ProptestConfig::default() }
}

/// Any profile that the rules allow up to the sizes of the largest class.
fn profiles() -> impl Strategy<Value = Profile> {
    // Hashes per unit cost in proportion and hide the least: mostly one.
    let hashes = prop_oneof![12 => Just(1u32), 4 => 2u32..=4, 1 => 5u32..=8];
    let memory = (1u32..=4, 1u32..=4, 0u32..=18, 1u32..=24, 1u64..1 << 28, hashes);
    let product = (3u32..=16, prop_oneof![6 => 1u32..=12, 1 => 255u32..=258, 1 => Just(512)], 1u32..=8);
    (memory, product).prop_map(|((windows, cycles, lanes, phases, lines, hash_iterations), (size, words, rounds))| {
        let phase = 256 * windows * cycles;
        Profile {
            memory_bytes: 128 * u64::from(windows) * lines,
            hash_iterations,
            lanes: 1 << lanes,
            steps: (phase * phases).max(if phase == 256 { 512 } else { phase }),
            windows,
            cycles,
            matrix_size: 1 << size,
            inner_size: 32 * words,
            rounds,
            reference_ms: 1,
            pass_ms: 2,
            unmeasured_ms: 3,
        }
    })
}

/// A tree of which only some leaves are known; the rest is noise, which nobody can tell from the truth.
struct Sparse {
    depth: u32,
    noise: B256,
    leaves: BTreeMap<u64, B256>,
}

impl Sparse {
    fn noise(&self, level: u32, index: u64) -> B256 {
        keccak256([self.noise.as_slice(), &level.to_be_bytes(), &index.to_be_bytes()].concat())
    }

    /// The path of every known leaf, and the root.
    fn climb(&self) -> (BTreeMap<u64, Vec<B256>>, B256) {
        let mut paths: BTreeMap<u64, Vec<B256>> = self.leaves.keys().map(|index| (*index, Vec::new())).collect();
        let mut level = self.leaves.clone();
        for height in 0..self.depth {
            let sibling = |index: u64| level.get(&(index ^ 1)).copied().unwrap_or_else(|| self.noise(height, index ^ 1));
            for (leaf, path) in &mut paths {
                path.push(sibling(leaf >> height));
            }
            let parents = level.iter().map(|(index, node)| {
                let other = sibling(*index);
                let (left, right) = if index & 1 == 0 { (node, &other) } else { (&other, node) };
                (index >> 1, merkle::node_hash(left, right))
            });
            level = parents.collect();
        }
        let root = level.into_values().next().unwrap();
        (paths, root)
    }
}

/// A right proof of one sample, without the rest of the computation.
fn right_proof(profile: &Profile, seed: B256, sample_seed: B256) -> (B256, WorkProof) {
    let wanted = sample::sample(profile, sample_seed, 0);
    let (memory_root, first, second) = segments(profile, seed, &wanted, sample_seed);
    let mut roots = WorkRoots { memory_root, matmul_roots: Vec::new() };
    let (mut current, mut previous) = (seed, memory_root);
    let mut opening = None;
    for round in 1..=profile.rounds {
        current = seed::round_seed(current, previous);
        previous = keccak256(current);
        if round == wanted.round {
            let (root, opened) = fold(profile, current, &wanted, sample_seed);
            (previous, opening) = (root, Some(opened));
        }
        roots.matmul_roots.push(previous);
    }
    let root = roots.work_root();
    let matmul = opening.into_iter().collect();
    (root, WorkProof { memory_root, matmul_roots: roots.matmul_roots, matmul, first: vec![first], second: vec![second] })
}

fn segments(profile: &Profile, seed: B256, wanted: &SampleIndex, noise: B256) -> (B256, SegmentOpening, SegmentOpening) {
    let lines = ComputedLines { seed, hash_iterations: profile.hash_iterations };
    let SampleIndex { lane, segment, .. } = *wanted;
    let first_end = Lane::start(seed, lane).walk_segment(profile, 0, &lines);
    let start = if segment == 1 { first_end } else { keccak256(noise) };
    let end = Lane::resume(seed, lane, state_from_bytes(&start)).walk_segment(profile, segment, &lines);
    let known = [(0, first_end), (segment - 1, start), (segment, end)];
    let leaves = known.map(|(segment, state)| (checkpoint_index(profile, lane, segment), checkpoint_leaf(profile, lane, segment, &state)));
    let (paths, root) = Sparse { depth: profile.checkpoint_path_len(), noise, leaves: leaves.into() }.climb();
    let path = |segment: u32| paths[&checkpoint_index(profile, lane, segment)].clone();
    let first = SegmentOpening { start_state: B256::ZERO, start_path: Vec::new(), end_state: first_end, end_path: path(0) };
    let second = SegmentOpening { start_state: start, start_path: path(segment - 1), end_state: end, end_path: path(segment) };
    (root, first, second)
}

fn fold(profile: &Profile, round_seed: B256, wanted: &SampleIndex, noise: B256) -> (B256, MatmulOpening) {
    let per_leaf = profile.folds_per_leaf();
    let mut content: Vec<u8> =
        (0..per_leaf).flat_map(|slot| keccak256([noise.as_slice(), &slot.to_be_bytes()].concat())[..8].to_vec()).collect();
    let slot = (wanted.fold % per_leaf) as usize * 8;
    content[slot..slot + 8].copy_from_slice(&matmul::fold_value(profile, round_seed, wanted.row, wanted.fold).to_be_bytes());
    let index = matmul::leaf_index(profile, wanted.row, wanted.fold);
    let leaves = BTreeMap::from([(index, merkle::leaf_hash(index, &content))]);
    let (mut paths, root) = Sparse { depth: profile.leaf_path_len(), noise, leaves }.climb();
    (root, MatmulOpening { leaf: content.into(), path: paths.remove(&index).unwrap() })
}

/// What is damaged, by a number; and whether a verifier reads it.
#[derive(Clone, Copy, Debug)]
struct Damage {
    part: u8,
    position: u64,
    bit: u8,
}

fn flip(word: &mut B256, damage: Damage) {
    word[usize::from(damage.bit) / 8 % 32] ^= 1 << (damage.bit % 8);
}

fn flip_in(path: &mut [B256], damage: Damage) -> bool {
    let length = path.len() as u64;
    if length > 0 {
        flip(&mut path[(damage.position % length) as usize], damage);
    }
    length > 0
}

/// Damages the proof; false where there was nothing to damage.
fn apply(proof: &mut WorkProof, damage: Damage) -> bool {
    let longer = |path: &mut Vec<B256>| {
        if damage.position.is_multiple_of(2) { path.push(B256::ZERO) } else { path.truncate(path.len().saturating_sub(1)) }
    };
    match damage.part {
        0 => flip(&mut proof.memory_root, damage),
        1 => return flip_in(&mut proof.matmul_roots, damage),
        2 => {
            let mut leaf = proof.matmul[0].leaf.to_vec();
            let at = damage.position as usize % leaf.len();
            leaf[at] ^= 1 << (damage.bit % 8);
            proof.matmul[0].leaf = leaf.into();
        }
        3 => return flip_in(&mut proof.matmul[0].path, damage),
        4 => flip(&mut proof.first[0].end_state, damage),
        5 => return flip_in(&mut proof.first[0].end_path, damage),
        6 => flip(&mut proof.second[0].start_state, damage),
        7 => return flip_in(&mut proof.second[0].start_path, damage),
        8 => flip(&mut proof.second[0].end_state, damage),
        9 => return flip_in(&mut proof.second[0].end_path, damage),
        10 => {
            longer(&mut proof.first[0].end_path);
            return !(proof.first[0].end_path.is_empty());
        }
        11 => proof.second[0].end_path.push(B256::ZERO),
        12 => proof.matmul[0].path.push(B256::ZERO),
        13 => proof.matmul_roots.push(B256::ZERO),
        14 => drop(proof.second.pop()),
        15 => proof.first.push(proof.second[0].clone()),
        16 => proof.matmul[0].leaf = Bytes::copy_from_slice(&[proof.matmul[0].leaf.as_ref(), &[0; 8]].concat()),
        17 => drop(proof.matmul.pop()),
        18 => std::mem::swap(&mut proof.first[0].end_state, &mut proof.second[0].end_state),
        _ => proof.matmul_roots.truncate(proof.matmul_roots.len() - 1),
    }
    true
}

proptest! {
    #![proptest_config(cases(40, 1))]

    /// A right proof passes both verifiers, a damaged one neither.
    #[test]
    fn contract_and_cpu_agree(
        profile in profiles(),
        seed in any::<[u8; 32]>(),
        sample_seed in any::<[u8; 32]>(),
        (part, position, bit) in (0u8..=19, any::<u64>(), any::<u8>()),
    ) {
        prop_assert_eq!(profile.validate(), Ok(()));
        let (seed, sample_seed) = (B256::from(seed), B256::from(sample_seed));
        let (root, proof) = right_proof(&profile, seed, sample_seed);
        prop_assert_eq!(verify_proof(&profile, seed, root, sample_seed, 1, &proof), Ok(()));
        let (verdict, gas) = evm::verify(&profile, seed, root, sample_seed, 1, &proof);
        prop_assert_eq!(verdict, Verdict::Right);
        prop_assert!(gas < 3_000_000, "an answer takes {gas} gas");

        let mut damaged = proof;
        if apply(&mut damaged, Damage { part, position, bit }) {
            // Damage of the roots must reach the checks behind the first one, so the commit is to the damaged roots.
            let root = if part < 2 && bit % 2 == 0 { damaged.roots().work_root() } else { root };
            let on_cpu = verify_proof(&profile, seed, root, sample_seed, 1, &damaged);
            let (on_chain, _) = evm::verify(&profile, seed, root, sample_seed, 1, &damaged);
            prop_assert_eq!(on_cpu.is_ok(), on_chain == Verdict::Right, "{:?}", on_cpu);
            // The root of a round that is neither opened nor followed by one that is seeds nothing.
            let is_free = part == 1 && on_cpu.is_ok();
            prop_assert!(is_free || on_chain == Verdict::Wrong, "part {} is not refused: {:?}", part, on_chain);
        }
    }

    /// Bytes that are no proof: whatever the contract accepts is right, and what it cannot read it refuses.
    #[test]
    fn malformed_answers_are_never_right(
        seed in any::<[u8; 32]>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..=255), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let profile = Profile { memory_bytes: 1 << 20, hash_iterations: 1, lanes: 4, steps: 1024, windows: 1, cycles: 1, matrix_size: 64, inner_size: 32, rounds: 2, reference_ms: 1, pass_ms: 1, unmeasured_ms: 1 };
        let seed = B256::from(seed);
        let (root, proof) = right_proof(&profile, seed, seed);
        let mut bytes = proof.abi_encode();
        for (position, mask) in &flips {
            // The first word is the offset of the proof, which is no part of it.
            let at = 32 + position.index(bytes.len() - 32);
            bytes[at] ^= mask;
        }
        if let Some(cut) = cut {
            bytes.truncate(32 + cut.index(bytes.len() - 32));
        }
        let (verdict, _) = evm::verify_encoded(&profile, seed, root, seed, 1, &bytes);
        if verdict == Verdict::Right {
            let read = WorkProof::abi_decode(&bytes);
            prop_assert!(read.is_err() || verify_proof(&profile, seed, root, seed, 1, &read.unwrap()).is_ok());
        }
    }
}

/// Profiles that the CPU reference computes as a whole in a moment.
fn small_profiles() -> impl Strategy<Value = Profile> {
    let memory = (1u32..=4, 1u32..=2, 0u32..=6, 1u32..=3, 1u64..=700, 1u32..=5);
    let product = (3u32..=8, prop_oneof![4 => 1u32..=6, 1 => 127u32..=130], 1u32..=2);
    (memory, product).prop_map(|((windows, cycles, lanes, phases, lines, hash_iterations), (size, words, rounds))| Profile {
        memory_bytes: 128 * u64::from(windows) * lines,
        hash_iterations,
        lanes: 1 << lanes,
        steps: (256 * windows * cycles * phases).max(512 * windows * cycles),
        windows,
        cycles,
        matrix_size: 1 << size,
        inner_size: 32 * words,
        rounds,
        reference_ms: 1,
        pass_ms: 1,
        unmeasured_ms: 1,
    })
}

#[test]
fn device_and_cpu_agree() {
    let variants = Engine::variants(0).unwrap();
    let engines: Vec<RefCell<Engine>> = variants.iter().map(|variant| RefCell::new(Engine::with_variant(0, *variant).unwrap())).collect();
    let inputs = (small_profiles(), any::<[u8; 32]>(), 0..engines.len());
    let agree = TestRunner::new(cases(12, 40)).run(&inputs, |(profile, seed, number)| {
        let seed = B256::from(seed);
        let mut engine = engines[number].borrow_mut();
        let output = engine.run(&profile, seed, &mut ignore_progress).unwrap().output;
        prop_assert!(output == compute(&profile, seed), "{} differs", variants[number].name());
        // What the device committed opens and passes on chain.
        let proof = output.prove(seed, 1).unwrap();
        let (verdict, _) = evm::verify(&profile, seed, output.roots.work_root(), seed, 1, &proof);
        prop_assert_eq!(verdict, Verdict::Right);
        Ok(())
    });
    agree.unwrap();
}
