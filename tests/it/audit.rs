//! The audit finds nothing where the chain kept the rules, and every single departure from them. The evidence is made here, with real
//! work, real signatures and real proofs; on real chains the demo audits itself.

use alloy::primitives::{Address, B256, B512, keccak256};
use alloy::signers::{SignerSync, local::PrivateKeySigner};
use alloy::sol_types::SolStruct;
use gpumkt::client::audit::{Audit, CommitRecord, Entry, Event, Evidence, Range, ReceiptRecord, examine};
use gpumkt::rules::committee::committee;
use gpumkt::rules::kernel::{ChallengeContext, challenge_seed, compute, sample_seed, small_profile};
use gpumkt::rules::verdict::{Outcome, Rules, Sums};
use gpumkt::types::signing::{WorkReceipt, compact, contract_domain};
use gpumkt::types::work::{Mode, Profile, WorkProof};

const CHAIN: u64 = 31361;
const CONTRACT: Address = Address::repeat_byte(0xc0);
const PROVIDER: Address = Address::repeat_byte(0xab);
const WORKER: Address = Address::repeat_byte(0x33);
const DEVICE: u64 = 4;
const RENTAL: u64 = 7;
const SECONDS_PER_BLOCK: u64 = 13;
/// Before the rental, in it, and closing it.
const CHALLENGES: [(u64, Mode); 3] = [(100, Mode::Full), (120, Mode::Light), (140, Mode::Full)];
const START: u64 = 110 * SECONDS_PER_BLOCK;
const END: u64 = 130 * SECONDS_PER_BLOCK;
const EVERYTHING: Range = Range { from: 0, to: u64::MAX };

const RULES: Rules = Rules {
    commit_window: 6,
    dispute_window: 4,
    answer_window: 6,
    proof_rate: 1,
    mode_slack_seconds: 3,
    bridge_max_seconds: 30,
    max_per_call: 64,
};

fn hash_of(block: u64) -> B256 {
    keccak256(block.to_be_bytes())
}

fn queens() -> Vec<PrivateKeySigner> {
    (1..=3u8).map(|seat| PrivateKeySigner::from_bytes(&B256::repeat_byte(seat)).unwrap()).collect()
}

fn profiles() -> (Profile, Profile) {
    let full = small_profile();
    (full, Profile { rounds: 1, reference_ms: 50, ..full })
}

fn at(block: u64, event: Event) -> Entry {
    Entry { block, timestamp: block * SECONDS_PER_BLOCK, transaction: keccak256([block.to_be_bytes(), [9; 8]].concat()), event }
}

fn receipts(block: u64, root: B256) -> Vec<ReceiptRecord> {
    let domain = contract_domain(CHAIN, CONTRACT);
    let members = committee(hash_of(block), PROVIDER, DEVICE, 3, 3);
    let sign = |queen_index: u16| {
        let elapsed_ms = 60 + u32::from(queen_index);
        let receipt = WorkReceipt { challengeBlock: block, deviceId: DEVICE, blockHash: hash_of(block), root, elapsedMs: elapsed_ms };
        let signature = queens()[usize::from(queen_index)].sign_hash_sync(&receipt.eip712_signing_hash(&domain)).unwrap();
        ReceiptRecord { queen_index, elapsed_ms, signature: B512::from(compact(&signature)) }
    };
    members.into_iter().map(sign).collect()
}

fn challenge(block: u64, mode: Mode, index: u64) -> Vec<Entry> {
    let (full, light) = profiles();
    let profile = if mode == Mode::Full { full } else { light };
    let context = ChallengeContext {
        block_hash: hash_of(block),
        chain_id: CHAIN,
        verifier: CONTRACT,
        provider: PROVIDER,
        device_id: DEVICE,
        class_version: 1,
        mode,
    };
    let output = compute(&profile, challenge_seed(&context, &profile));
    let (root, seal_hash) = (output.roots.work_root(), hash_of(block + 7));
    let proof = output.prove(sample_seed(seal_hash, block, DEVICE), 2).unwrap();
    let commit = CommitRecord {
        mode: mode as u8,
        rental: if mode == Mode::Light { RENTAL } else { 0 },
        root,
        elapsed_ms: 61,
        is_measured: true,
        from: WORKER,
        receipts: Some(receipts(block, root)),
    };
    vec![
        at(block + 1, Event::Opened { index, block, hash: hash_of(block), timestamp: block * SECONDS_PER_BLOCK }),
        at(block + 3, Event::Committed { block, device: DEVICE, commit }),
        at(block + 8, Event::Sealed { block, hash: seal_hash }),
        at(block + 9, Event::Answered { block, device: DEVICE, is_right: true, from: WORKER, proof: Some(proof.abi_encode().into()) }),
        at(block + 15, Event::Settled { block, device: DEVICE, outcome: Outcome::Passed }),
    ]
}

fn evidence() -> Evidence {
    let added = Event::Added { device: DEVICE, provider: PROVIDER, worker: WORKER, class_version: 1 };
    let terms = Event::Terms { rental: RENTAL, device: DEVICE, version: 1, start: START, end: END };
    let mut entries = vec![at(90, added)];
    for (index, (block, mode)) in (0..).zip(CHALLENGES) {
        entries.extend(challenge(block, mode, index));
    }
    let position = entries.iter().position(|entry| entry.block > 121).unwrap();
    entries.insert(position, at(121, terms));
    // 110 to 120 passed at the first challenge in it, to 130 at the closing one.
    let sums = Sums { terms_version: 1, covered_until: END, verified_seconds: 20 * SECONDS_PER_BLOCK, due: 2, passed: 2, is_final: true };
    entries.push(at(160, Event::Reported { rental: RENTAL, sums }));
    let blocks = CHALLENGES.iter().flat_map(|(block, _)| [*block, block + 7]);
    Evidence {
        provider: PROVIDER,
        chain_id: CHAIN,
        contract: CONTRACT,
        rules: RULES,
        beacon_period: 1,
        beacon_spacing: 6,
        proof_samples: 2,
        committee_size: 3,
        queens: queens().iter().map(PrivateKeySigner::address).collect(),
        classes: [(1, profiles())].into(),
        blocks: blocks.map(|block| (block, (hash_of(block), block * SECONDS_PER_BLOCK))).collect(),
        entries,
        applied: [(RENTAL, (2, 2, 20 * SECONDS_PER_BLOCK))].into(),
    }
}

/// Changes the first entry that `pick` does change.
fn change(evidence: &mut Evidence, pick: impl Fn(&mut Entry) -> bool) {
    assert!(evidence.entries.iter_mut().any(pick), "nothing was changed");
}

/// Changes fields of the first event of a kind.
macro_rules! edit {
    ($evidence:expr, $pattern:pat => $change:expr) => {
        change($evidence, |entry| match &mut entry.event {
            $pattern => {
                $change;
                true
            }
            _ => false,
        })
    };
}

/// Puts the first event of a kind into another block.
fn move_to(evidence: &mut Evidence, block: u64, is_meant: fn(&Event) -> bool) {
    change(evidence, |entry| {
        let is_meant = is_meant(&entry.event);
        if is_meant {
            entry.block = block;
        }
        is_meant
    });
}

fn change_commit(evidence: &mut Evidence, with: fn(&mut CommitRecord)) {
    edit!(evidence, Event::Committed { block: 120, commit, .. } => with(commit));
}

fn change_proof(evidence: &mut Evidence, with: fn(&mut WorkProof)) {
    edit!(evidence, Event::Answered { block: 120, proof: Some(bytes), .. } => {
        let mut proof = WorkProof::abi_decode(bytes).unwrap();
        with(&mut proof);
        *bytes = proof.abi_encode().into();
    });
}

fn first_receipt(commit: &mut CommitRecord) -> &mut ReceiptRecord {
    &mut commit.receipts.as_mut().unwrap()[0]
}

#[test]
fn what_kept_the_rules_agrees() {
    let audit = examine(&evidence(), EVERYTHING);
    assert_eq!(audit.disagreements, []);
    let Audit { devices, receipts, proofs, reports, challenges, .. } = audit;
    assert_eq!((devices, receipts, proofs, reports, challenges.len()), (1, 9, 3, 1, 3));
    assert!(challenges.iter().all(|verdict| verdict.agrees && verdict.is_proven && verdict.elapsed_ms == Some(61)));
    let part = examine(&evidence(), Range { from: 120, to: 120 });
    assert_eq!((part.disagreements.len(), part.receipts, part.proofs, part.challenges.len()), (0, 3, 1, 1));
}

type Tamper = fn(&mut Evidence);

/// What is changed, and what the audit has to name.
const TAMPERED: [(&str, Tamper); 25] = [
    ("challenge 120: hash and time", |e| edit!(e, Event::Opened { block: 120, timestamp, .. } => *timestamp += 1)),
    ("challenge 120: hash and time", |e| e.blocks.retain(|block, _| *block != 120)),
    ("challenge 120: may be opened", |e| e.beacon_spacing = 21),
    ("challenge 100: may be opened", |e| e.beacon_period = u64::MAX),
    ("challenge 120: may be opened", |e| move_to(e, 124, |event| matches!(event, Event::Opened { block: 120, .. }))),
    ("challenge 120: index", |e| edit!(e, Event::Opened { block: 120, index, .. } => *index += 1)),
    ("challenge 120: seal", |e| edit!(e, Event::Sealed { block: 120, hash } => *hash = B256::ZERO)),
    ("commit of device 4 at challenge 120: sender", |e| change_commit(e, |commit| commit.from = PROVIDER)),
    ("commit of device 4 at challenge 120: in time", |e| move_to(e, 127, |event| matches!(event, Event::Committed { block: 120, .. }))),
    ("commit of device 4 at challenge 120: measured", |e| change_commit(e, |commit| commit.receipts.as_mut().unwrap().truncate(1))),
    ("commit of device 4 at challenge 120: measured", |e| change_commit(e, |commit| commit.is_measured = false)),
    ("commit of device 4 at challenge 120: median", |e| change_commit(e, |commit| commit.elapsed_ms = 60)),
    ("commit of device 4 at challenge 120: is the first", |e| {
        let again = e.entries.iter().find(|entry| matches!(entry.event, Event::Committed { block: 120, .. })).cloned().unwrap();
        let position = e.entries.iter().position(|entry| entry.block > 123).unwrap();
        e.entries.insert(position, again);
    }),
    ("receipt of Queen 0", |e| change_commit(e, |commit| first_receipt(commit).elapsed_ms = 1)),
    ("receipt of Queen 0", |e| change_commit(e, |commit| commit.root = B256::ZERO)),
    ("receipt of Queen 9", |e| change_commit(e, |commit| first_receipt(commit).queen_index = 9)),
    ("receipts of device 4 at challenge 120", |e| change_commit(e, |commit| commit.receipts = None)),
    ("proof of device 4 at challenge 120: verdict", |e| change_proof(e, |proof| proof.second[1].end_state.0[31] ^= 1)),
    ("proof of device 4 at challenge 120: verdict", |e| change_proof(e, |proof| proof.matmul.truncate(1))),
    ("proof of device 4 at challenge 120: refused", |e| edit!(e, Event::Answered { block: 120, is_right, .. } => *is_right = false)),
    ("proof of device 4 at challenge 120: drawn and in time", |e| {
        move_to(e, 134, |event| matches!(event, Event::Answered { block: 120, .. }));
    }),
    ("outcome of device 4 at challenge 120", |e| e.entries.retain(|entry| !matches!(entry.event, Event::Answered { block: 120, .. }))),
    ("outcome of device 4 at challenge 140", |e| edit!(e, Event::Settled { block: 140, outcome, .. } => *outcome = Outcome::Missed)),
    ("report of rental 7", |e| edit!(e, Event::Terms { end, .. } => *end += 100)),
    ("rental 7 on Ethereum", |e| e.applied = [(RENTAL, (2, 2, 261))].into()),
];

#[test]
fn every_departure_from_the_rules_is_found_and_named() {
    let honest = evidence();
    for (subject, tamper) in TAMPERED {
        let mut evidence = honest.clone();
        tamper(&mut evidence);
        assert_ne!(evidence, honest);
        let found = examine(&evidence, EVERYTHING).disagreements;
        assert!(found.iter().any(|found| found.subject.starts_with(subject)), "{subject} is not among {found:?}");
        assert!(found.iter().all(|found| found.chain != found.recomputed), "both values must be shown: {found:?}");
    }
}

#[test]
fn evidence_survives_being_written_down() {
    let honest = evidence();
    let text = serde_json::to_string(&honest).unwrap();
    let read: Evidence = serde_json::from_str(&text).unwrap();
    assert_eq!(read, honest);
}
