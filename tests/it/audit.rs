//! The audit finds nothing where the chain kept the rules, and every single departure from them. The evidence is made here, with real
//! work, real signatures and real proofs; on real chains the demo audits itself.

use alloy::primitives::{Address, B256, B512, U256, keccak256};
use alloy::signers::{SignerSync, local::PrivateKeySigner};
use alloy::sol_types::SolStruct;
use gpumkt::client::audit::{Audit, CommitRecord, Entry, Event, Evidence, Parameters, Range, ReceiptRecord, RefusalRecord, examine};
use gpumkt::rules::committee::{Shards, committee};
use gpumkt::rules::kernel::{ChallengeContext, WorkOutput, challenge_seed, compute, sample_seed, small_profile};
use gpumkt::rules::verdict::{Demand, Judgement, Outcome, Rules, Sums};
use gpumkt::types::signing::{NoOpening, WorkReceipt, compact, contract_domain};
use gpumkt::types::work::{Mode, Profile, WorkProof};

const CHAIN: u64 = 31361;
const CONTRACT: Address = Address::repeat_byte(0xc0);
const PROVIDER: Address = Address::repeat_byte(0xab);
const WORKER: Address = Address::repeat_byte(0x33);
const DEVICE: u64 = 4;
const RENTER: Address = Address::repeat_byte(0x77);
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
    min_owners: 4,
    grace_window_seconds: 3_600,
    answer_gas: 2_000_000,
    block_gas: 8_000_000,
    cap_window: 2,
    value_cap: 1_000_000,
};
/// Disputed by a Queen, and refused to a committee.
const DISPUTED: u64 = 160;

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

/// The first weight is capped by nothing, and a single owner to a tenth from then on.
fn judgement(index: u64) -> Judgement {
    Judgement { is_void: false, weight: if index == 0 { 500 } else { 50 }, total_weight: 500, owners: 1 }
}

fn answered(block: u64, position: Option<u64>, proof: &WorkProof) -> Event {
    Event::Answered { block, device: DEVICE, position, is_right: true, from: WORKER, proof: Some(proof.abi_encode().into()) }
}

/// Openings of the work of one challenge.
fn output(block: u64, mode: Mode) -> WorkOutput {
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
    compute(&profile, challenge_seed(&context, &profile))
}

fn challenge(block: u64, mode: Mode, index: u64) -> Vec<Entry> {
    let output = output(block, mode);
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
        at(block + 8, Event::Judged { block, judgement: judgement(index) }),
        at(block + 9, answered(block, None, &proof)),
        at(block + 15, Event::Settled { block, device: DEVICE, outcome: Outcome::Passed }),
    ]
}

fn evidence() -> Evidence {
    let added = Event::Added { device: DEVICE, provider: PROVIDER, worker: WORKER, class_version: 1 };
    let terms = Event::Terms { rental: RENTAL, device: DEVICE, version: 1, start: START, end: END, renter: RENTER, price_per_second: 5 };
    let parameters = Parameters { rules: RULES, beacon_period: 1, beacon_spacing: 6, proof_samples: 2, committee_size: 3, shard_size: 12 };
    let queens = queens().iter().map(PrivateKeySigner::address).collect();
    let seated = Event::Seated { queens, shard_seed: B256::ZERO };
    let mut entries = vec![at(80, Event::Adopted { parameters }), at(80, seated), at(90, added)];
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
        classes: [(1, profiles())].into(),
        stakes: [(1, 500 * 10u128.pow(18))].into(),
        blocks: blocks.map(|block| (block, (hash_of(block), block * SECONDS_PER_BLOCK))).collect(),
        entries,
        applied: [(RENTAL, (2, 2, 20 * SECONDS_PER_BLOCK))].into(),
    }
}

/// One more challenge: its commit is disputed and refused, the dispute is answered and the refusal is not.
fn disputed() -> Evidence {
    let mut evidence = evidence();
    let [opened, committed, sealed, judged, proven, _] = challenge(DISPUTED, Mode::Full, 3).try_into().unwrap();
    let output = output(DISPUTED, Mode::Full);
    let (seed, root) = (B256::repeat_byte(0x5e), output.roots.work_root());
    let demand = Demand { opener: queens()[1].address(), sample_seed: seed, samples: 2, answer_until: 165 + 6 + 2, is_answered: false };
    // The provider learns these samples only with the transaction.
    let words = [keccak256("gpumkt/refusal/v1"), hash_of(165), U256::from(DISPUTED).into(), U256::from(DEVICE).into()].concat();
    let refusal = Demand { opener: Address::ZERO, sample_seed: keccak256(words), samples: 3, answer_until: 166 + 6 + 3, ..demand };
    let statement = NoOpening { challengeBlock: DISPUTED, deviceId: DEVICE, blockHash: hash_of(DISPUTED), root };
    let digest = statement.eip712_signing_hash(&contract_domain(CHAIN, CONTRACT));
    let signatures = [0u16, 2].map(|queen_index| {
        let signature = B512::from(compact(&queens()[usize::from(queen_index)].sign_hash_sync(&digest).unwrap()));
        RefusalRecord { queen_index, root, signature }
    });
    let demanded = |position, demand, refusals| Event::Demanded { block: DISPUTED, device: DEVICE, position, demand, refusals };
    evidence.entries.extend([
        opened,
        committed,
        at(165, demanded(0, demand, None)),
        at(166, demanded(1, refusal, Some(signatures.to_vec()))),
        sealed,
        judged,
        proven,
        at(172, answered(DISPUTED, Some(0), &output.prove(seed, 2).unwrap())),
        at(180, Event::Lacked { block: DISPUTED, device: DEVICE, times: 1 }),
        at(180, Event::Settled { block: DISPUTED, device: DEVICE, outcome: Outcome::Missed }),
    ]);
    evidence.blocks.extend([DISPUTED, DISPUTED + 7, 165].map(|block| (block, (hash_of(block), block * SECONDS_PER_BLOCK))));
    evidence
}

/// Changes the first entry that `pick` does change.
fn change(evidence: &mut Evidence, pick: impl Fn(&mut Entry) -> bool) {
    assert!(evidence.entries.iter_mut().any(pick), "nothing was changed");
}

/// Changes fields of the first event of a kind.
macro_rules! edit {
    ($evidence:expr, $pattern:pat $(if $condition:expr)? => $change:expr) => {
        change($evidence, |entry| match &mut entry.event {
            $pattern $(if $condition)? => {
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
    let audit = examine(&disputed(), EVERYTHING);
    assert_eq!(audit.disagreements, []);
    assert_eq!((audit.receipts, audit.proofs, audit.demands, audit.missing), (9 + 3 + 2, 5, 2, 1));
    let part = examine(&evidence(), Range { from: 120, to: 120 });
    assert_eq!((part.disagreements.len(), part.receipts, part.proofs, part.challenges.len()), (0, 3, 1, 1));
}

/// What a challenge was opened under stays in force for it, whatever is adopted before its verdict.
#[test]
fn later_parameters_queens_and_keys_change_nothing_that_was_opened_before() {
    let mut evidence = evidence();
    let position = evidence.entries.iter().position(|entry| entry.block > 141).unwrap();
    let rules = Rules { commit_window: 1, dispute_window: 0, answer_window: 1, ..RULES };
    let parameters = Parameters { rules, beacon_period: 9, beacon_spacing: 90, proof_samples: 1, committee_size: 1, shard_size: 1 };
    evidence.entries.insert(position, at(142, Event::Adopted { parameters }));
    evidence.entries.insert(position, at(142, Event::Seated { queens: vec![PROVIDER], shard_seed: B256::repeat_byte(1) }));
    let changed_at = 140 * SECONDS_PER_BLOCK;
    evidence.entries.insert(position, at(142, Event::Rekeyed { device: DEVICE, worker: PROVIDER, changed_at }));
    assert_eq!(examine(&evidence, EVERYTHING).disagreements, []);
    let earlier = Event::Rekeyed { device: DEVICE, worker: PROVIDER, changed_at: changed_at - 1 };
    evidence.entries[position] = at(142, earlier);
    let found = examine(&evidence, EVERYTHING).disagreements;
    assert!(!found.is_empty() && found.iter().all(|found| found.subject.ends_with("sender")), "{found:?}");
}

/// Six Queens in two shards: the committee comes from the provider's, and nobody else's receipt counts.
#[test]
fn a_committee_is_drawn_inside_the_providers_shard() {
    let shard_seed = B256::repeat_byte(0x61);
    let shards = Shards { queens: 6, shard_size: 3, seed: shard_seed };
    let members = shards.committee(hash_of(100), PROVIDER, DEVICE, 3);
    let others: Vec<u16> = (0..6).filter(|seat| !members.contains(seat)).collect();
    let key = |seat: u16| PrivateKeySigner::from_bytes(&B256::repeat_byte(0x80 + seat as u8)).unwrap();
    let with_receipts_of = |seats: &[u16]| {
        let mut evidence = evidence();
        edit!(&mut evidence, Event::Adopted { parameters } => parameters.shard_size = 3);
        edit!(&mut evidence, Event::Seated { queens, shard_seed: seed } => {
            *queens = (0..6).map(|seat| key(seat).address()).collect();
            *seed = shard_seed;
        });
        edit!(&mut evidence, Event::Committed { block: 100, commit, .. } => {
            let domain = contract_domain(CHAIN, CONTRACT);
            let sign = |queen_index: &u16| {
                let receipt =
                    WorkReceipt { challengeBlock: 100, deviceId: DEVICE, blockHash: hash_of(100), root: commit.root, elapsedMs: 61 };
                let signature = key(*queen_index).sign_hash_sync(&receipt.eip712_signing_hash(&domain)).unwrap();
                ReceiptRecord { queen_index: *queen_index, elapsed_ms: 61, signature: B512::from(compact(&signature)) }
            };
            commit.receipts = Some(seats.iter().map(sign).collect());
        });
        examine(&evidence, Range { from: 100, to: 100 }).disagreements
    };
    assert_eq!((members.len(), others.len()), (3, 3));
    assert_eq!(with_receipts_of(&members), []);
    let found = with_receipts_of(&others);
    assert!(found.iter().all(|found| found.chain == "nobody of the committee"), "{found:?}");
    assert_eq!(found.len(), 3);
}

type Tamper = fn(&mut Evidence);

/// What is changed, and what the audit has to name.
const TAMPERED: [(&str, Tamper); 28] = [
    ("challenge 120: hash and time", |e| edit!(e, Event::Opened { block: 120, timestamp, .. } => *timestamp += 1)),
    ("challenge 120: hash and time", |e| e.blocks.retain(|block, _| *block != 120)),
    ("challenge 120: may be opened", |e| edit!(e, Event::Adopted { parameters } => parameters.beacon_spacing = 21)),
    ("challenge 100: may be opened", |e| edit!(e, Event::Adopted { parameters } => parameters.beacon_period = u64::MAX)),
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
        move_to(e, 135, |event| matches!(event, Event::Answered { block: 120, .. }));
    }),
    ("outcome of device 4 at challenge 120", |e| e.entries.retain(|entry| !matches!(entry.event, Event::Answered { block: 120, .. }))),
    ("outcome of device 4 at challenge 140", |e| edit!(e, Event::Settled { block: 140, outcome, .. } => *outcome = Outcome::Missed)),
    ("verdict on challenge 120", |e| edit!(e, Event::Judged { block: 120, judgement } => judgement.is_void = true)),
    ("verdict on challenge 120", |e| edit!(e, Event::Judged { block: 120, judgement } => judgement.weight += 1)),
    ("next challenge to be settled for device 4", |e| {
        e.entries.retain(|entry| !matches!(entry.event, Event::Settled { block: 120, .. }));
    }),
    ("report of rental 7", |e| edit!(e, Event::Terms { end, .. } => *end += 100)),
    ("rental 7 on Ethereum", |e| e.applied = [(RENTAL, (2, 2, 261))].into()),
];

/// The same of demands, refusals and answers.
const DISPUTED_TAMPERED: [(&str, Tamper); 17] = [
    ("demand 0 on device 4 at challenge 160: in time", |e| {
        move_to(e, 171, |event| matches!(event, Event::Demanded { position: 0, .. }));
    }),
    ("demand 0 on device 4 at challenge 160: by a Queen or the renter", |e| change_demand(e, 0, |demand| demand.opener = PROVIDER)),
    ("demand 0 on device 4 at challenge 160: answer until block", |e| change_demand(e, 0, |demand| demand.answer_until += 1)),
    ("demand 0 on device 4 at challenge 160: samples", |e| change_demand(e, 0, |demand| demand.samples = 3)),
    ("demand 5 on device 4 at challenge 160: position", |e| {
        edit!(e, Event::Demanded { position, .. } if *position == 1 => *position = 5);
    }),
    ("refusal of device 4 at challenge 160: sample seed", |e| change_demand(e, 1, |demand| demand.sample_seed = B256::ZERO)),
    ("refusal of device 4 at challenge 160: sample seed", |e| e.blocks.retain(|block, _| *block != 165)),
    ("refusal of device 4 at challenge 160: samples", |e| change_demand(e, 1, |demand| demand.samples = 1)),
    ("refusal of device 4 at challenge 160: two thirds", |e| change_refusals(e, |signed| signed.truncate(1))),
    ("refusal of device 4 at challenge 160: signature of Queen 0", |e| change_refusals(e, |signed| signed[0].signature.0[7] ^= 1)),
    ("refusal of device 4 at challenge 160: root", |e| change_refusals(e, |signed| signed[1].root = B256::ZERO)),
    ("answer 0 of device 4 at challenge 160: verdict", |e| change_demand(e, 0, |demand| demand.sample_seed = B256::ZERO)),
    ("answer 0 of device 4 at challenge 160: demanded and in time", |e| {
        move_to(e, 174, |event| matches!(event, Event::Answered { position: Some(0), .. }));
    }),
    ("missing answers of device 4 at challenge 160", |e| e.entries.retain(|entry| !matches!(entry.event, Event::Lacked { .. }))),
    ("missing answers of device 4 at challenge 160", |e| edit!(e, Event::Lacked { times, .. } => *times = 3)),
    ("outcome of device 4 at challenge 160", |e| edit!(e, Event::Settled { block: DISPUTED, outcome, .. } => *outcome = Outcome::Void)),
    ("outcome of device 4 at challenge 160", |e| {
        e.entries.retain(|entry| !matches!(entry.event, Event::Demanded { position: 1, .. } | Event::Lacked { .. }));
    }),
];

fn change_demand(evidence: &mut Evidence, wanted: u64, with: fn(&mut Demand)) {
    edit!(evidence, Event::Demanded { position, demand, .. } if *position == wanted => with(demand));
}

fn change_refusals(evidence: &mut Evidence, with: fn(&mut Vec<RefusalRecord>)) {
    edit!(evidence, Event::Demanded { refusals: Some(signed), .. } => with(signed));
}

fn finds_and_names(honest: &Evidence, cases: &[(&str, Tamper)]) {
    for (subject, tamper) in cases {
        let mut evidence = honest.clone();
        tamper(&mut evidence);
        assert_ne!(&evidence, honest);
        let found = examine(&evidence, EVERYTHING).disagreements;
        assert!(found.iter().any(|found| found.subject.starts_with(subject)), "{subject} is not among {found:?}");
        assert!(found.iter().all(|found| found.chain != found.recomputed), "both values must be shown: {found:?}");
    }
}

#[test]
fn every_departure_from_the_rules_is_found_and_named() {
    finds_and_names(&evidence(), &TAMPERED);
    finds_and_names(&disputed(), &DISPUTED_TAMPERED);
}

#[test]
fn evidence_survives_being_written_down() {
    let honest = evidence();
    let text = serde_json::to_string(&honest).unwrap();
    let read: Evidence = serde_json::from_str(&text).unwrap();
    assert_eq!(read, honest);
}
