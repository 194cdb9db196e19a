//! Repeats every verdict from the evidence, on a CPU, and says where the chain disagrees.

use std::collections::BTreeMap;
use std::fmt::Display;

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolStruct;
use serde::Serialize;

use super::evidence::{CommitRecord, Entry, Event, Evidence};
use crate::{
    rules::{
        beacon,
        committee::{committee, is_measured, median_ms},
        kernel::{ChallengeContext, challenge_seed, sample_seed, verify_proof},
        verdict::{self, Answer, Challenge, Moment, Outcome, RentalBook, Sums},
    },
    types::{
        DeviceId, RentalId,
        signing::{WorkReceipt, contract_domain, recover_compact},
        work::{Mode, Profile, WorkProof},
    },
};

/// What was checked, and what does not agree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    pub provider: Address,
    pub devices: usize,
    pub challenges: Vec<Verdict>,
    pub reports: usize,
    /// Receipts whose signatures were recovered, and proofs that were computed again.
    pub receipts: usize,
    pub proofs: usize,
    pub disagreements: Vec<Disagreement>,
}

/// The verdict on one device at one challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub block: u64,
    pub device: DeviceId,
    pub outcome: Outcome,
    pub elapsed_ms: Option<u32>,
    pub is_measured: bool,
    pub is_proven: bool,
    pub agrees: bool,
}

/// One point at which the chain says something else than the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    pub subject: String,
    pub transaction: B256,
    pub chain: String,
    pub recomputed: String,
}

/// Challenge blocks to look at; settlement and reports are always repeated from the start.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub from: u64,
    pub to: u64,
}

#[derive(Debug, Clone, Copy)]
struct Device {
    provider: Address,
    worker: Address,
    class_version: u32,
}

#[derive(Debug, Clone)]
struct Committed {
    mode: Mode,
    rental: RentalId,
    root: B256,
    elapsed_ms: u32,
    is_measured: bool,
    answer: Answer,
}

struct Examiner<'a> {
    evidence: &'a Evidence,
    range: Range,
    audit: Audit,
    challenges: Vec<(Challenge, B256)>,
    devices: BTreeMap<DeviceId, Device>,
    commits: BTreeMap<(u64, DeviceId), Committed>,
    books: BTreeMap<RentalId, RentalBook>,
    reported: BTreeMap<RentalId, Vec<Sums>>,
}

/// Examines all of the evidence.
pub fn examine(evidence: &Evidence, range: Range) -> Audit {
    let audit = Audit { provider: evidence.provider, ..Audit::default() };
    let mut examiner = Examiner {
        evidence,
        range,
        audit,
        challenges: Vec::new(),
        devices: BTreeMap::new(),
        commits: BTreeMap::new(),
        books: BTreeMap::new(),
        reported: BTreeMap::new(),
    };
    for entry in &evidence.entries {
        examiner.take(entry);
    }
    examiner.compare_with_ethereum();
    examiner.audit.devices = examiner.devices.len();
    examiner.audit
}

impl Examiner<'_> {
    fn agree(&mut self, entry: &Entry, subject: impl Display, chain: impl Display, recomputed: impl Display) -> bool {
        let (chain, recomputed) = (chain.to_string(), recomputed.to_string());
        if chain == recomputed {
            return true;
        }
        let subject = subject.to_string();
        self.audit.disagreements.push(Disagreement { subject, transaction: entry.transaction, chain, recomputed });
        false
    }

    fn take(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Opened { index, block, hash, timestamp } => self.opened(entry, *index, *block, *hash, *timestamp),
            Event::Sealed { block, hash } => self.sealed(entry, *block, *hash),
            Event::Added { device, provider, worker, class_version } => {
                let added = Device { provider: *provider, worker: *worker, class_version: *class_version };
                self.devices.insert(*device, added);
            }
            Event::Terms { rental, device, version, start, end } => {
                let book = self.books.entry(*rental).or_insert_with(|| RentalBook::new(*device, *version, *start, *end));
                book.set_terms(*version, *end);
            }
            Event::Committed { block, device, commit } => self.committed(entry, *block, *device, commit),
            Event::Answered { block, device, is_right, from, proof } => {
                let proof = proof.as_ref().and_then(|bytes| WorkProof::abi_decode(bytes).ok());
                self.answered(entry, *block, *device, *is_right, *from, proof);
            }
            Event::Settled { block, device, outcome } => self.settled(entry, *block, *device, *outcome),
            Event::Reported { rental, sums } => self.rental_reported(entry, *rental, *sums),
        }
    }

    fn opened(&mut self, entry: &Entry, index: u64, block: u64, hash: B256, timestamp: u64) {
        let subject = |what: &str| format!("challenge {block}: {what}");
        let evidence = self.evidence;
        let header = evidence.blocks.get(&block).map(|(hash, timestamp)| format!("{hash} at {timestamp}"));
        self.agree(entry, subject("hash and time"), format!("{hash} at {timestamp}"), header.unwrap_or_else(|| "no such block".into()));
        let previous = self.challenges.last().map(|(challenge, _)| challenge.block);
        let may_open = beacon::is_challenge_block(hash, evidence.beacon_period)
            && beacon::may_open(block, previous, evidence.beacon_spacing)
            && entry.block > block
            && entry.block <= beacon::open_until(block, evidence.rules.commit_window);
        self.agree(entry, subject("may be opened"), true, may_open);
        self.agree(entry, subject("index"), index, self.challenges.len());
        self.challenges.push((Challenge { block, timestamp, seal_hash: None }, hash));
    }

    fn sealed(&mut self, entry: &Entry, block: u64, hash: B256) {
        let seal_block = beacon::seal_block(block, self.evidence.rules.commit_window);
        let actual = self.evidence.blocks.get(&seal_block).map_or_else(|| "no such block".into(), |(hash, _)| hash.to_string());
        self.agree(entry, format!("challenge {block}: seal"), hash, actual);
        if let Some((challenge, _)) = self.challenges.iter_mut().find(|(challenge, _)| challenge.block == block) {
            challenge.seal_hash = Some(hash);
        }
    }

    fn challenge(&self, block: u64) -> Option<(Challenge, B256)> {
        self.challenges.iter().find(|(challenge, _)| challenge.block == block).copied()
    }

    fn is_in_range(&self, block: u64) -> bool {
        (self.range.from..=self.range.to).contains(&block)
    }

    fn committed(&mut self, entry: &Entry, block: u64, id: DeviceId, commit: &CommitRecord) {
        let subject = |what: &str| format!("commit of device {id} at challenge {block}: {what}");
        let (Some(mode), Some(device), Some((_, hash))) =
            (Mode::from_u8(commit.mode), self.devices.get(&id).copied(), self.challenge(block))
        else {
            self.agree(entry, subject("challenge, device and mode"), "known", "unknown");
            return;
        };
        if self.is_in_range(block) {
            self.agree(entry, subject("sender"), commit.from, device.worker);
            let until = block.saturating_add(self.evidence.rules.commit_window);
            self.agree(entry, subject("in time"), true, entry.block <= until);
            let (measured, elapsed_ms) = self.measure(entry, block, id, &device, hash, commit);
            self.agree(entry, subject("measured"), commit.is_measured, measured);
            self.agree(entry, subject("median of the committee, milliseconds"), commit.elapsed_ms, elapsed_ms);
        }
        let CommitRecord { rental, root, elapsed_ms, is_measured, .. } = *commit;
        let committed = Committed { mode, rental, root, elapsed_ms, is_measured, answer: Answer::None };
        let first = self.commits.insert((block, id), committed).is_none();
        self.agree(entry, subject("is the first"), true, first);
    }

    /// Recovers every receipt's signer and takes the median of those of the committee.
    fn measure(&mut self, entry: &Entry, block: u64, id: DeviceId, device: &Device, hash: B256, commit: &CommitRecord) -> (bool, u32) {
        let evidence = self.evidence;
        let Some(receipts) = &commit.receipts else {
            self.agree(entry, format!("receipts of device {id} at challenge {block}"), "in the call", "made by another contract");
            return (commit.is_measured, commit.elapsed_ms);
        };
        let seats = u16::try_from(evidence.queens.len()).unwrap_or(u16::MAX);
        let members = committee(hash, device.provider, id, seats, evidence.committee_size);
        let domain = contract_domain(evidence.chain_id, evidence.contract);
        for receipt in receipts {
            let struct_ =
                WorkReceipt { challengeBlock: block, deviceId: id, blockHash: hash, root: commit.root, elapsedMs: receipt.elapsed_ms };
            let signer = recover_compact(struct_.eip712_signing_hash(&domain), receipt.signature.as_slice());
            let queen = evidence.queens.get(usize::from(receipt.queen_index)).filter(|_| members.contains(&receipt.queen_index));
            let shown = |address: Option<&Address>, nobody: &str| address.map_or_else(|| nobody.to_owned(), Address::to_string);
            let subject = format!("receipt of Queen {} for device {id} at challenge {block}", receipt.queen_index);
            self.agree(entry, subject, shown(queen, "nobody of the committee"), shown(signer.as_ref(), "no signature"));
            self.audit.receipts += 1;
        }
        let times: Vec<u32> = receipts.iter().map(|receipt| receipt.elapsed_ms).collect();
        let measured = is_measured(times.len(), members.len());
        let median = median_ms(&times, members.len()).filter(|_| measured);
        (measured, median.unwrap_or_default())
    }

    fn answered(&mut self, entry: &Entry, block: u64, id: DeviceId, is_right: bool, from: Address, proof: Option<WorkProof>) {
        let subject = |what: &str| format!("proof of device {id} at challenge {block}: {what}");
        let known = (self.devices.get(&id).copied(), self.challenge(block), self.commits.get(&(block, id)).cloned());
        let (Some(device), Some((challenge, hash)), Some(commit)) = known else {
            self.agree(entry, subject("device, challenge and commit"), "known", "unknown");
            return;
        };
        let answer = if is_right { Answer::Right } else { Answer::Wrong };
        if let Some(commit) = self.commits.get_mut(&(block, id)) {
            commit.answer = answer;
        }
        if !self.is_in_range(block) {
            return;
        }
        let Some(profile) = self.evidence.profile(device.class_version, commit.mode).copied() else {
            self.agree(entry, subject("class"), "known", "unknown");
            return;
        };
        self.agree(entry, subject("sender"), from, device.worker);
        let facts = facts(&commit, false);
        let until = verdict::answer_until(&challenge, id, &facts, &profile, &self.evidence.rules);
        self.agree(entry, subject("drawn and in time"), true, until.is_some_and(|until| entry.block <= until));
        let verdict = match (proof, challenge.seal_hash) {
            (Some(proof), Some(seal_hash)) => self.recompute(id, &device, &commit, (block, hash, seal_hash), &profile, &proof),
            _ => "no readable proof in the call".into(),
        };
        self.audit.proofs += 1;
        if is_right {
            self.agree(entry, subject("verdict"), "right", verdict);
        } else {
            self.agree(entry, subject("refused"), true, verdict != "right");
        }
    }

    fn recompute(
        &self,
        id: DeviceId,
        device: &Device,
        commit: &Committed,
        (block, hash, seal_hash): (u64, B256, B256),
        profile: &Profile,
        proof: &WorkProof,
    ) -> String {
        let context = ChallengeContext {
            block_hash: hash,
            chain_id: self.evidence.chain_id,
            verifier: self.evidence.contract,
            provider: device.provider,
            device_id: id,
            class_version: device.class_version,
            mode: commit.mode,
        };
        let (seed, drawn) = (challenge_seed(&context, profile), sample_seed(seal_hash, block, id));
        match verify_proof(profile, seed, commit.root, drawn, self.evidence.proof_samples, proof) {
            Ok(()) => "right".into(),
            Err(error) => format!("wrong: {error}"),
        }
    }

    fn outcome(&self, block: u64, id: DeviceId, now: Moment) -> Outcome {
        let rules = &self.evidence.rules;
        let Some((challenge, _)) = self.challenge(block) else { return Outcome::Pending };
        let class_version = self.devices.get(&id).map(|device| device.class_version).unwrap_or_default();
        let commit = self.commits.get(&(block, id)).and_then(|commit| {
            let covers = |book: &RentalBook| book.coverage.covers(id, challenge.timestamp, rules.mode_slack_seconds);
            let named = self.books.get(&commit.rental).is_some_and(covers);
            let profile = self.evidence.profile(class_version, commit.mode)?;
            Some((facts(commit, named || self.books.values().any(covers)), profile))
        });
        verdict::outcome(&challenge, id, commit.as_ref().map(|(commit, profile)| (commit, *profile)), rules, now)
    }

    fn settled(&mut self, entry: &Entry, block: u64, id: DeviceId, outcome: Outcome) {
        let now = Moment { block: entry.block, timestamp: entry.timestamp };
        let recomputed = self.outcome(block, id, now);
        let agrees = self.agree(
            entry,
            format!("outcome of device {id} at challenge {block}"),
            format!("{outcome:?}").to_lowercase(),
            format!("{recomputed:?}").to_lowercase(),
        );
        if self.is_in_range(block) {
            let commit = self.commits.get(&(block, id));
            self.audit.challenges.push(Verdict {
                block,
                device: id,
                outcome,
                elapsed_ms: commit.filter(|commit| commit.is_measured).map(|commit| commit.elapsed_ms),
                is_measured: commit.is_some_and(|commit| commit.is_measured),
                is_proven: commit.is_some_and(|commit| commit.answer == Answer::Right),
                agrees,
            });
        }
    }

    fn rental_reported(&mut self, entry: &Entry, rental: RentalId, sums: Sums) {
        let Some(mut book) = self.books.get(&rental).copied() else {
            // A rental of somebody else's device.
            return;
        };
        let now = Moment { block: entry.block, timestamp: entry.timestamp };
        let timestamps: Vec<u64> = self.challenges.iter().map(|(challenge, _)| challenge.timestamp).collect();
        let device = book.coverage.device;
        let outcome_of = |index: u64| match self.challenges.get(index as usize) {
            Some((challenge, _)) => self.outcome(challenge.block, device, now),
            None => Outcome::Pending,
        };
        let recomputed = book.report(&timestamps, self.evidence.rules.max_per_call, outcome_of);
        self.books.insert(rental, book);
        self.agree(entry, format!("report of rental {rental} of device {device}"), shown(&sums), shown(&recomputed));
        self.reported.entry(rental).or_default().push(sums);
        self.audit.reports += 1;
    }

    /// What Ethereum holds must be one of the reports, or nothing yet.
    fn compare_with_ethereum(&mut self) {
        for (rental, (due, passed, verified)) in &self.evidence.applied {
            let reports = self.reported.get(rental).map(Vec::as_slice).unwrap_or_default();
            let told = |sums: &Sums| (sums.due, sums.passed, sums.verified_seconds) == (*due, *passed, *verified);
            if (*due, *passed, *verified) != (0, 0, 0) && !reports.iter().any(told) {
                let newest = reports.last().map_or_else(|| "no report".into(), shown);
                self.audit.disagreements.push(Disagreement {
                    subject: format!("rental {rental} on Ethereum"),
                    transaction: B256::ZERO,
                    chain: format!("{passed} of {due} passed, {verified} s verified"),
                    recomputed: newest,
                });
            }
        }
    }
}

fn facts(commit: &Committed, is_covered: bool) -> verdict::Commit {
    let Committed { mode, is_measured, elapsed_ms, answer, .. } = *commit;
    verdict::Commit { mode, is_measured, elapsed_ms, answer, is_covered }
}

fn shown(sums: &Sums) -> String {
    let Sums { terms_version, covered_until, verified_seconds, due, passed, is_final } = sums;
    let state = if *is_final { "final" } else { "open" };
    format!("terms {terms_version}: {passed} of {due} passed, {verified_seconds} s verified up to {covered_until}, {state}")
}
