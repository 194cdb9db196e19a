//! Attacks that both verifiers refuse every time: work for something else, trees of another shape, digests that cost less.

use std::collections::HashSet;

use alloy::primitives::{Address, B256};
use gpumkt::rules::kernel::matmul::{column_entries, fold_entries, row_entries};
use gpumkt::rules::kernel::merkle::{MerkleTree, climb, leaf_hash, node_hash};
use gpumkt::rules::kernel::{ChallengeContext, challenge_seed, compute, memory, sample, seed};
use gpumkt::types::work::{Mode, Profile, SegmentOpening, WorkProof};

use super::cheat::{Committed, invented};
use super::{PROFILE, SEED, passes};

/// Draws tried per attack.
const DRAWS: u32 = 12;

fn draws() -> impl Iterator<Item = B256> {
    (0..DRAWS).map(|draw| invented(&[0xd4a3, draw.into()]))
}

const CONTEXT: ChallengeContext = ChallengeContext {
    block_hash: B256::repeat_byte(1),
    chain_id: 63,
    verifier: Address::repeat_byte(2),
    provider: Address::repeat_byte(3),
    device_id: 4,
    class_version: 1,
    mode: Mode::Full,
};

/// Every other context that somebody might have worked for: another device, provider, block, class, mode, chain or contract.
fn others() -> [(&'static str, ChallengeContext); 7] {
    [
        ("another device of the same provider", ChallengeContext { device_id: 5, ..CONTEXT }),
        ("the same device of another provider", ChallengeContext { provider: Address::repeat_byte(9), ..CONTEXT }),
        ("an earlier block", ChallengeContext { block_hash: B256::repeat_byte(9), ..CONTEXT }),
        ("another class", ChallengeContext { class_version: 2, ..CONTEXT }),
        ("the other mode", ChallengeContext { mode: Mode::Light, ..CONTEXT }),
        ("another chain", ChallengeContext { chain_id: 61, ..CONTEXT }),
        ("another deployment", ChallengeContext { verifier: Address::repeat_byte(9), ..CONTEXT }),
    ]
}

#[test]
fn work_for_another_challenge_is_worth_nothing() {
    let own = challenge_seed(&CONTEXT, &PROFILE);
    let honest = compute(&PROFILE, own);
    let root = honest.roots.work_root();
    for draw in draws() {
        let proof = honest.prove(draw, 1).unwrap();
        assert!(passes(&PROFILE, own, root, draw, 1, &proof));
        for (name, context) in others() {
            let asked = challenge_seed(&context, &PROFILE);
            assert!(!passes(&PROFILE, asked, root, draw, 1, &proof), "work of another challenge passes for {name}");
        }
    }
}

/// A table made for one seed holds nothing that any other seed asks for, so nothing can be made before the block is known.
#[test]
fn tables_made_for_one_seed_hold_nothing_of_another() {
    let own = challenge_seed(&CONTEXT, &PROFILE);
    let of = |seed: B256| {
        let units = (0..512).map(|unit| memory::unit_words(seed, PROFILE.hash_iterations, unit));
        let rows = (0..64).flat_map(move |row| [row_entries(&PROFILE, seed, row), column_entries(&PROFILE, seed, row)]);
        let words = rows.map(|entries| memory::state_from_bytes(&B256::from_slice(&entries[..32])));
        units.chain(words).collect::<HashSet<_>>()
    };
    let table = of(own);
    assert_eq!(table.len(), 512 + 128, "a table has no entry twice");
    assert_eq!(of(own), table);
    let sizes = [
        ("a smaller memory", Profile { memory_bytes: PROFILE.memory_bytes / 2, ..PROFILE }),
        ("fewer steps", Profile { steps: 2560, ..PROFILE }),
        ("another time limit", Profile { pass_ms: 1_501, ..PROFILE }),
    ];
    let of_sizes = sizes.map(|(name, profile)| (name, challenge_seed(&CONTEXT, &profile)));
    let of_contexts = others().map(|(name, context)| (name, challenge_seed(&context, &PROFILE)));
    for (name, seed) in of_sizes.into_iter().chain(of_contexts) {
        assert!(of(seed).is_disjoint(&table), "{name} shares entries");
    }
    // Rounds are chained, so not even the second product can start before the first is finished.
    let after = |root: u8| seed::round_seed(own, B256::repeat_byte(root));
    assert!(of(after(1)).is_disjoint(&of(after(2))));
}

#[test]
fn work_of_another_size_is_refused() {
    let smaller = [
        ("memory", Profile { memory_bytes: PROFILE.memory_bytes / 2, ..PROFILE }),
        ("lanes", Profile { lanes: PROFILE.lanes / 2, ..PROFILE }),
        ("steps", Profile { steps: PROFILE.steps * 2, windows: 1, ..PROFILE }),
        ("windows", Profile { windows: 1, ..PROFILE }),
        ("cycles", Profile { windows: 1, cycles: 5, ..PROFILE }),
        ("matrix", Profile { matrix_size: 32, ..PROFILE }),
        ("inner size", Profile { inner_size: 32, ..PROFILE }),
        ("rounds", Profile { rounds: 4, ..PROFILE }),
        ("hash iterations", Profile { hash_iterations: 2, ..PROFILE }),
    ];
    for (name, size) in smaller {
        let cheat = compute(&size, SEED);
        let root = cheat.roots.work_root();
        for draw in draws() {
            // Opened where the real size asks, as far as the other one has such a place, and where its own draw falls.
            let wanted = sample::sample(&PROFILE, draw, 0);
            for proof in [cheat.open(&[wanted]).ok(), cheat.prove(draw, 1).ok()].into_iter().flatten() {
                assert!(!passes(&PROFILE, SEED, root, draw, 1, &proof), "another {name} passes");
            }
        }
    }
}

/// Every path of a proof.
fn paths(proof: &mut WorkProof) -> Vec<&mut Vec<B256>> {
    let WorkProof { matmul, first, second, .. } = proof;
    let segments = first.iter_mut().chain(second.iter_mut());
    let of_segments = segments.flat_map(|SegmentOpening { start_path, end_path, .. }| [start_path, end_path]);
    matmul.iter_mut().map(|opening| &mut opening.path).chain(of_segments).filter(|path| !path.is_empty()).collect()
}

#[test]
fn paths_of_another_depth_are_refused() {
    let honest = Committed::honest(&PROFILE, SEED);
    for draw in draws().take(4) {
        let right = honest.open(&sample::samples(&PROFILE, draw, 1));
        let count = paths(&mut right.clone()).len();
        assert_eq!(count, 4, "a fold, the end of segment 0, start and end of another");
        for number in 0..count {
            let changes: [fn(&mut Vec<B256>); 5] = [
                |path| path.truncate(path.len() - 1),
                |path| *path = path[1..].to_vec(),
                |path| path.push(B256::ZERO),
                |path| path.insert(0, B256::ZERO),
                |path| path.clear(),
            ];
            for change in changes {
                let mut forged = right.clone();
                change(paths(&mut forged)[number]);
                assert!(!passes(&PROFILE, SEED, honest.root(), draw, 1, &forged));
            }
        }
    }
}

/// A tree with one level more than the profile's: what stands at a leaf's place is a node over two hidden children, of which the
/// cheat would show one or the other. In this profile a leaf is as long as two hashes, so nothing but the domain byte and the number of
/// the leaf keeps `left ‖ right` from being taken for its content.
#[test]
fn a_node_is_not_taken_for_a_leaf() {
    let mut honest = Committed::honest(&PROFILE, SEED);
    assert_eq!(PROFILE.folds_per_leaf() * 8, 64);
    for draw in draws() {
        let wanted = sample::sample(&PROFILE, draw, 0);
        let (round, leaf) = (wanted.round as usize - 1, (wanted.row * PROFILE.leaves_per_row()) as usize);
        let children = [invented(&[1]), invented(&[2])];
        let mut leaves = honest.products[round].leaves().to_vec();
        leaves[leaf] = node_hash(&children[0], &children[1]);
        let forged = MerkleTree::build(leaves);
        let mut proof = honest.open(&[wanted]);
        proof.matmul[0].leaf = children.concat().into();
        proof.matmul[0].path = forged.path(leaf).unwrap();
        proof.matmul_roots[round] = forged.root();
        let root = proof.roots().work_root();
        assert!(!passes(&PROFILE, SEED, root, draw, 1, &proof));
        let siblings = &proof.matmul[0].path;
        assert_eq!(climb(node_hash(&children[0], &children[1]), leaf as u64, siblings), forged.root(), "as a node it is in the tree");
        assert_ne!(climb(leaf_hash(leaf as u64, &proof.matmul[0].leaf), leaf as u64, siblings), forged.root());
    }
    // A leaf of the right content at another place.
    honest.products[0] = {
        let mut leaves = honest.products[0].leaves().to_vec();
        leaves.swap(3, 4);
        MerkleTree::build(leaves)
    };
    let content: Vec<u8> = honest.folds[0][3 * 8..4 * 8].iter().flat_map(|fold| fold.to_be_bytes()).collect();
    let moved = climb(leaf_hash(3, &content), 4, &honest.products[0].path(4).unwrap());
    assert_eq!(moved, honest.products[0].root(), "the leaf with its old number is in the tree");
    assert_ne!(climb(leaf_hash(4, &content), 4, &honest.products[0].path(4).unwrap()), honest.products[0].root());
}

/// Weights of a digest that is linear in the entries of the product.
const WEIGHTS: [u64; 8] = [3, 5, 7, 11, 13, 17, 19, 23];

/// A linear digest of eight entries costs one dot product instead of eight: the columns are summed up first.
fn linear_digest(row: &[u8], columns: &[Vec<u8>; 8]) -> u64 {
    let summed = (0..row.len()).map(|k| columns.iter().zip(WEIGHTS).map(|(column, weight)| weight * u64::from(column[k])).sum::<u64>());
    row.iter().zip(summed).map(|(a, b)| u64::from(*a) * b).sum()
}

#[test]
fn a_digest_that_adds_up_is_no_fold() {
    let round = seed::round_seed(SEED, B256::ZERO);
    let columns: [Vec<u8>; 8] = std::array::from_fn(|c| column_entries(&PROFILE, round, c as u32));
    for row in 0..64 {
        let row = row_entries(&PROFILE, round, row);
        let entries: [u32; 8] = std::array::from_fn(|c| row.iter().zip(&columns[c]).map(|(a, b)| u32::from(*a) * u32::from(*b)).sum());
        let plain: u64 = entries.iter().zip(WEIGHTS).map(|(entry, weight)| u64::from(*entry) * weight).sum();
        assert_eq!(linear_digest(&row, &columns), plain, "the shortcut works where the digest is linear");
        // The fold of a sum is neither the sum nor the difference of folds, for either addition.
        let halves = [entries.map(|entry| entry / 2), entries.map(|entry| entry - entry / 2)];
        let [whole, low, high, zero] = [&entries, &halves[0], &halves[1], &[0; 8]].map(fold_entries);
        assert_ne!(whole, low.wrapping_add(high).wrapping_sub(zero));
        assert_ne!(whole, low ^ high ^ zero);
    }
    // Committed instead of the folds, the digests are refused: no two of a round are the same by chance.
    let cheat = Committed::linear(&PROFILE, SEED, linear_digest);
    for draw in draws() {
        let proof = cheat.open(&sample::samples(&PROFILE, draw, 1));
        assert!(!passes(&PROFILE, SEED, cheat.root(), draw, 1, &proof));
    }
}
