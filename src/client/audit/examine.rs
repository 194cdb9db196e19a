//! Repeats every verdict from the evidence, on a CPU, and says where the chain disagrees.

mod answers;
mod settling;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolStruct;
use serde::Serialize;

use super::evidence::{CommitRecord, Entry, Event, Evidence, Parameters};
use crate::{
    rules::{
        beacon,
        committee::{Shards, is_measured, median_ms},
        verdict::{self, Challenge, Demand, DeviceRecord, Outcome, Reference, RentalBook, Room, Status, Sums},
    },
    types::{
        DeviceId, RentalId,
        signing::{WorkReceipt, contract_domain, recover_compact},
        work::Mode,
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
    /// Samples that Queens, committees or renters demanded, and answers that did not come.
    pub demands: usize,
    pub missing: usize,
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
    /// Answers for challenges up to `worker_since`.
    previous_worker: Address,
    worker_since: u64,
    class_version: u32,
    removed_at: Option<u64>,
    record: DeviceRecord,
    /// Index of the next challenge that is settled for it.
    settled: u64,
    /// Announced just before the challenge it belongs to is settled: its block, and how often an answer was missing.
    lacked: Option<(u64, u32)>,
}

impl Device {
    fn worker_at(&self, timestamp: u64) -> Address {
        if timestamp > self.worker_since { self.worker } else { self.previous_worker }
    }
}

/// A challenge with what was in force when it was opened.
#[derive(Debug, Clone)]
struct Opened {
    challenge: Challenge,
    hash: B256,
    parameters: Parameters,
    queens: Arc<[Address]>,
    shard_seed: B256,
    /// Weights of the owners who have committed.
    owners: BTreeMap<Address, u64>,
    demands: u64,
}

impl Opened {
    fn committee(&self, device: &Device, id: DeviceId) -> Vec<u16> {
        let queens = u16::try_from(self.queens.len()).unwrap_or(u16::MAX);
        let shards = Shards { queens, shard_size: self.parameters.shard_size, seed: self.shard_seed };
        shards.committee(self.hash, device.provider, id, self.parameters.committee_size)
    }
}

#[derive(Debug, Clone)]
struct Committed {
    mode: Mode,
    root: B256,
    elapsed_ms: u32,
    is_measured: bool,
    status: Status,
    demands: Vec<Demand>,
}

impl Committed {
    fn facts(&self, is_covered: bool) -> verdict::Commit<'_> {
        let Self { mode, is_measured, elapsed_ms, status, .. } = *self;
        verdict::Commit { mode, is_measured, elapsed_ms, status, demands: &self.demands, is_covered }
    }
}

struct Examiner<'a> {
    evidence: &'a Evidence,
    range: Range,
    audit: Audit,
    parameters: Option<Parameters>,
    queens: Arc<[Address]>,
    shard_seed: B256,
    challenges: Vec<Opened>,
    /// Challenges that were judged, all before this index, and the last valid one.
    judged: usize,
    reference: Reference,
    room: Room,
    devices: BTreeMap<DeviceId, Device>,
    commits: BTreeMap<(u64, DeviceId), Committed>,
    books: BTreeMap<RentalId, RentalBook>,
    renters: BTreeMap<RentalId, Address>,
    reported: BTreeMap<RentalId, Vec<Sums>>,
}

/// Examines all of the evidence.
pub fn examine(evidence: &Evidence, range: Range) -> Audit {
    let audit = Audit { provider: evidence.provider, ..Audit::default() };
    let mut examiner = Examiner {
        evidence,
        range,
        audit,
        parameters: None,
        queens: Arc::new([]),
        shard_seed: B256::ZERO,
        challenges: Vec::new(),
        judged: 0,
        reference: Reference::default(),
        room: Room::default(),
        devices: BTreeMap::new(),
        commits: BTreeMap::new(),
        books: BTreeMap::new(),
        renters: BTreeMap::new(),
        reported: BTreeMap::new(),
    };
    for entry in &evidence.entries {
        examiner.take(entry);
    }
    examiner.compare_with_ethereum();
    examiner.audit.devices = examiner.devices.values().filter(|device| device.provider == evidence.provider).count();
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
            Event::Judged { block, judgement } => self.judged(entry, *block, *judgement),
            Event::Added { device, provider, worker, class_version } => {
                let added = Device {
                    provider: *provider,
                    worker: *worker,
                    previous_worker: Address::ZERO,
                    worker_since: 0,
                    class_version: *class_version,
                    removed_at: None,
                    record: DeviceRecord::default(),
                    // It answers only for challenges that were opened after it could know of them.
                    settled: self.challenges.len() as u64,
                    lacked: None,
                };
                self.devices.insert(*device, added);
            }
            Event::Removed { device, removed_at } => {
                if let Some(device) = self.devices.get_mut(device) {
                    device.removed_at = Some(*removed_at);
                }
            }
            Event::Adopted { parameters } => self.parameters = Some(*parameters),
            Event::Seated { queens, shard_seed } => (self.queens, self.shard_seed) = (queens.as_slice().into(), *shard_seed),
            Event::Rekeyed { device, worker, changed_at } => {
                if let Some(device) = self.devices.get_mut(device) {
                    (device.previous_worker, device.worker, device.worker_since) = (device.worker, *worker, *changed_at);
                }
            }
            Event::Terms { rental, device, version, start, end, renter, price_per_second } => {
                let book = self.books.entry(*rental).or_insert_with(|| RentalBook::new(*device, *version, *start, *end));
                book.set_terms(*version, *end);
                book.set_price(*price_per_second);
                self.renters.entry(*rental).or_insert(*renter);
            }
            _ => self.take_work(entry),
        }
    }

    /// What is said about single commits.
    fn take_work(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Committed { block, device, commit } => self.committed(entry, *block, *device, commit),
            Event::Attended { block, device, mode, elapsed_ms, is_measured } => {
                self.attend(*block, *device, *mode, *elapsed_ms, *is_measured);
            }
            Event::Demanded { block, device, position, demand, refusals } => {
                self.demanded(entry, (*block, *device, *position), *demand, refusals.as_deref());
            }
            Event::DemandedElsewhere { block } => {
                if let Some(opened) = self.challenge_mut(*block) {
                    opened.demands += 1;
                }
            }
            Event::Answered { block, device, position, is_right, from, proof } => {
                self.answered(entry, (*block, *device, *position), *is_right, *from, proof.as_ref().map(|bytes| bytes.as_ref()));
            }
            Event::Lacked { block, device, times } => {
                if let Some(device) = self.devices.get_mut(device) {
                    device.lacked = Some((*block, *times));
                }
            }
            Event::Settled { block, device, outcome } => self.settled(entry, *block, *device, *outcome),
            Event::Reported { rental, sums } => self.rental_reported(entry, *rental, *sums),
            _ => {}
        }
    }

    fn opened(&mut self, entry: &Entry, index: u64, block: u64, hash: B256, timestamp: u64) {
        let subject = |what: &str| format!("challenge {block}: {what}");
        let evidence = self.evidence;
        let header = evidence.blocks.get(&block).map(|(hash, timestamp)| format!("{hash} at {timestamp}"));
        self.agree(entry, subject("hash and time"), format!("{hash} at {timestamp}"), header.unwrap_or_else(|| "no such block".into()));
        let Some(parameters) = self.parameters else {
            self.agree(entry, subject("parameters"), "known", "unknown");
            return;
        };
        let previous = self.challenges.last().map(|opened| opened.challenge.block);
        let may_open = beacon::is_challenge_block(hash, parameters.beacon_period)
            && beacon::may_open(block, previous, parameters.beacon_spacing)
            && entry.block > block
            && entry.block <= beacon::open_until(block, parameters.rules.commit_window);
        self.agree(entry, subject("may be opened"), true, may_open);
        self.agree(entry, subject("index"), index, self.challenges.len());
        let (challenge, queens, shard_seed) = (Challenge::new(block, timestamp), Arc::clone(&self.queens), self.shard_seed);
        self.challenges.push(Opened { challenge, hash, parameters, queens, shard_seed, owners: BTreeMap::new(), demands: 0 });
    }

    fn sealed(&mut self, entry: &Entry, block: u64, hash: B256) {
        let Some(position) = self.challenges.iter().position(|opened| opened.challenge.block == block) else {
            self.agree(entry, format!("challenge {block}: seal"), "opened", "never opened");
            return;
        };
        let seal_block = beacon::seal_block(block, self.challenges[position].parameters.rules.commit_window);
        let actual = self.evidence.blocks.get(&seal_block).map_or_else(|| "no such block".into(), |(hash, _)| hash.to_string());
        self.agree(entry, format!("challenge {block}: seal"), hash, actual);
        self.challenges[position].challenge.seal_hash = Some(hash);
    }

    fn challenge(&self, block: u64) -> Option<&Opened> {
        self.challenges.iter().find(|opened| opened.challenge.block == block)
    }

    fn challenge_mut(&mut self, block: u64) -> Option<&mut Opened> {
        self.challenges.iter_mut().find(|opened| opened.challenge.block == block)
    }

    fn is_in_range(&self, block: u64) -> bool {
        (self.range.from..=self.range.to).contains(&block)
    }

    fn committed(&mut self, entry: &Entry, block: u64, id: DeviceId, commit: &CommitRecord) {
        let subject = |what: &str| format!("commit of device {id} at challenge {block}: {what}");
        let known = (Mode::from_u8(commit.mode), self.devices.get(&id).copied(), self.challenge(block).cloned());
        let (Some(mode), Some(device), Some(opened)) = known else {
            self.agree(entry, subject("challenge, device and mode"), "known", "unknown");
            return;
        };
        if self.is_in_range(block) {
            self.agree(entry, subject("sender"), commit.from, device.worker_at(opened.challenge.timestamp));
            let until = block.saturating_add(opened.parameters.rules.commit_window);
            self.agree(entry, subject("in time"), true, entry.block <= until);
            let (measured, elapsed_ms) = self.measure(entry, id, &device, &opened, commit);
            self.agree(entry, subject("measured"), commit.is_measured, measured);
            self.agree(entry, subject("median of the committee, milliseconds"), commit.elapsed_ms, elapsed_ms);
        }
        let CommitRecord { root, elapsed_ms, is_measured, .. } = *commit;
        let committed = Committed { mode, root, elapsed_ms, is_measured, status: Status::Committed, demands: Vec::new() };
        let first = self.commits.insert((block, id), committed).is_none();
        self.agree(entry, subject("is the first"), true, first);
        self.attend(block, id, commit.mode, elapsed_ms, is_measured);
    }

    /// Counts a commit of whoever towards what its challenge is judged by.
    fn attend(&mut self, block: u64, id: DeviceId, mode: u8, elapsed_ms: u32, is_measured: bool) {
        let (Some(device), Some(mode)) = (self.devices.get(&id).copied(), Mode::from_u8(mode)) else { return };
        let Some(profile) = self.evidence.profile(device.class_version, mode) else { return };
        let is_unmeasured = verdict::is_unmeasured(is_measured, elapsed_ms, profile);
        let weight = verdict::weight_of(self.evidence.stakes.get(&device.class_version).copied().unwrap_or_default());
        let reference = self.reference;
        if let Some(Opened { challenge, owners, .. }) = self.challenge_mut(block) {
            reference.count(&mut challenge.attendance, owners, device.provider, weight, is_unmeasured);
        }
    }

    /// Recovers every receipt's signer and takes the median of those of the committee.
    fn measure(&mut self, entry: &Entry, id: DeviceId, device: &Device, opened: &Opened, commit: &CommitRecord) -> (bool, u32) {
        let (block, hash) = (opened.challenge.block, opened.hash);
        let evidence = self.evidence;
        let Some(receipts) = &commit.receipts else {
            self.agree(entry, format!("receipts of device {id} at challenge {block}"), "in the call", "made by another contract");
            return (commit.is_measured, commit.elapsed_ms);
        };
        let members = opened.committee(device, id);
        let domain = contract_domain(evidence.chain_id, evidence.contract);
        for receipt in receipts {
            let signed =
                WorkReceipt { challengeBlock: block, deviceId: id, blockHash: hash, root: commit.root, elapsedMs: receipt.elapsed_ms };
            let signer = recover_compact(signed.eip712_signing_hash(&domain), receipt.signature.as_slice());
            let queen = opened.queens.get(usize::from(receipt.queen_index)).filter(|_| members.contains(&receipt.queen_index));
            let subject = format!("receipt of Queen {} for device {id} at challenge {block}", receipt.queen_index);
            self.agree(entry, subject, name_of(queen, "nobody of the committee"), name_of(signer.as_ref(), "no signature"));
            self.audit.receipts += 1;
        }
        let times: Vec<u32> = receipts.iter().map(|receipt| receipt.elapsed_ms).collect();
        let measured = is_measured(times.len(), members.len());
        let median = median_ms(&times, members.len()).filter(|_| measured);
        (measured, median.unwrap_or_default())
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

fn name_of(address: Option<&Address>, nobody: &str) -> String {
    address.map_or_else(|| nobody.to_owned(), Address::to_string)
}

fn shown(sums: &Sums) -> String {
    let Sums { terms_version, covered_until, verified_seconds, due, passed, is_final } = sums;
    let state = if *is_final { "final" } else { "open" };
    format!("terms {terms_version}: {passed} of {due} passed, {verified_seconds} s verified up to {covered_until}, {state}")
}
