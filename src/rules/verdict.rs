//! What a challenge amounts to for a device, and what a rental's challenges add up to: the decisions of WorkVerification as pure
//! functions, so that anybody can repeat them. docs/protocol.md sections 6, 7 and 10.

mod record;
mod rental;
#[cfg(test)]
mod tests;
mod weight;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

pub use record::{Counted, DeviceRecord};
pub use rental::{Bounds, Coverage, RentalBook, Room, Sums};
pub use weight::{Attendance, Judgement, Reference, weight_of};

use super::{beacon, kernel::is_drawn};
use crate::types::{
    DeviceId,
    work::{Mode, Profile},
};

/// Blocks after its own for which a block hash can still be read.
const HASH_WINDOW_BLOCKS: u64 = 256;
/// Longest answer window, with what open answers add to it.
const ANSWER_LIMIT_BLOCKS: u64 = 2_048;
/// One part in this many of a block's gas is reckoned to go to answers.
const GAS_SHARE: u64 = 4;
/// Owners below which a majority of unmeasured commits excuses nobody.
const MAJORITY_OWNERS: u16 = 5;
/// Times are kept in 24 bits; the largest stands for all that are longer.
const LONGEST_MS: u32 = (1 << 24) - 1;

/// As the contract numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Outcome {
    /// A window on the challenge is still open.
    Pending = 0,
    Passed = 1,
    Missed = 2,
    /// Neutral: decided by the next measured challenge.
    Unmeasured = 3,
    /// Nobody's fault: too few devices answered, or most could not be measured.
    Void = 4,
}

impl Outcome {
    pub fn from_u8(value: u8) -> Option<Self> {
        [Self::Pending, Self::Passed, Self::Missed, Self::Unmeasured, Self::Void].into_iter().find(|outcome| *outcome as u8 == value)
    }

    pub fn is_neutral(self) -> bool {
        matches!(self, Self::Unmeasured | Self::Void)
    }
}

/// Parameters of WorkVerification that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub commit_window: u64,
    pub dispute_window: u64,
    pub answer_window: u64,
    pub proof_rate: u32,
    pub mode_slack_seconds: u64,
    pub bridge_max_seconds: u64,
    pub max_per_call: u64,
    /// Owners below which a challenge is never void for all.
    pub min_owners: u32,
    /// Time in which missing answers and unmeasured commits of a device add up.
    pub grace_window_seconds: u64,
    /// Gas of an answer of the largest class, and of a block.
    pub answer_gas: u32,
    pub block_gas: u32,
    /// Blocks of a window in which reports make at most `value_cap` wei newly due.
    pub cap_window: u64,
    pub value_cap: u128,
}

/// When a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub block: u64,
    /// Unix seconds of that block.
    pub timestamp: u64,
}

/// An opened challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    pub block: u64,
    pub timestamp: u64,
    /// As recorded; `None` while nobody has.
    pub seal_hash: Option<B256>,
    /// Who has committed so far.
    pub attendance: Attendance,
    /// Too few of those of the last valid challenge answered.
    pub is_void: bool,
}

impl Challenge {
    pub fn new(block: u64, timestamp: u64) -> Self {
        Self { block, timestamp, seal_hash: None, attendance: Attendance::default(), is_void: false }
    }

    /// Something else than these devices was at fault.
    fn is_mostly_unmeasured(&self) -> bool {
        let seen = &self.attendance;
        seen.owners >= MAJORITY_OWNERS && u32::from(seen.unmeasured) * 2 > u32::from(seen.commits)
    }
}

/// Where a commit stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Committed,
    /// What its seal drew was answered rightly.
    Proven,
    /// An answer was wrong, or missing when it was settled.
    Voided,
    /// Unmeasured once too often.
    Neglected,
}

/// Samples that somebody asked to be opened on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Zero for a committee that was refused openings.
    pub opener: Address,
    pub sample_seed: B256,
    pub samples: u32,
    pub answer_until: u64,
    pub is_answered: bool,
}

/// A commit as the contract knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit<'a> {
    pub mode: Mode,
    pub is_measured: bool,
    pub elapsed_ms: u32,
    pub status: Status,
    pub demands: &'a [Demand],
    /// Whether the terms of a rental of the device cover the challenge, as far as they have arrived.
    pub is_covered: bool,
}

impl Commit<'_> {
    /// Nobody could measure it, or it took too long to pass and not long enough to have failed.
    pub fn is_unmeasured(&self, profile: &Profile) -> bool {
        is_unmeasured(self.is_measured, self.elapsed_ms, profile)
    }

    fn is_too_slow(&self, profile: &Profile) -> bool {
        is_too_slow(self.elapsed_ms, profile)
    }
}

fn is_too_slow(elapsed_ms: u32, profile: &Profile) -> bool {
    elapsed_ms > profile.unmeasured_ms || elapsed_ms >= LONGEST_MS
}

/// Nobody could measure it, or it took too long to pass and not long enough to have failed.
pub fn is_unmeasured(is_measured: bool, elapsed_ms: u32, profile: &Profile) -> bool {
    !is_measured || (elapsed_ms > profile.pass_ms && !is_too_slow(elapsed_ms, profile))
}

/// How many commits of a challenge its seal draws, and how long their answers may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    rate: u64,
    unmeasured_rate: u64,
    extra_blocks: u64,
}

/// One commit in `proof_rate` is drawn, every unmeasured one where those are few. Draws that would not fit into the longest answer window
/// are dropped by raising both. `more` other answers share the blocks.
fn load(challenge: &Challenge, rules: &Rules, more: u64) -> Load {
    let seen = &challenge.attendance;
    let (commits, unmeasured) = (u64::from(seen.commits), u64::from(seen.unmeasured));
    let mut rate = u64::from(rules.proof_rate).max(1);
    let mut unmeasured_rate = if challenge.is_mostly_unmeasured() { rate } else { 1 };
    let mut expected = unmeasured / unmeasured_rate + commits.saturating_sub(unmeasured).div_ceil(rate);
    let (answer_gas, block_gas) = (u64::from(rules.answer_gas).max(1), u64::from(rules.block_gas).max(1));
    let room = ANSWER_LIMIT_BLOCKS.saturating_sub(rules.answer_window);
    let capacity = room * block_gas / GAS_SHARE / answer_gas;
    if expected > capacity {
        let factor = if capacity == 0 { expected } else { expected.div_ceil(capacity) };
        (rate, unmeasured_rate, expected) = (rate * factor, unmeasured_rate * factor, capacity);
    }
    let blocks = ((expected + more) * GAS_SHARE * answer_gas).div_ceil(block_gas);
    Load { rate, unmeasured_rate, extra_blocks: blocks.min(room) }
}

/// Whether the commit must be proven on chain, and until which block. `None` where it need not be, or no seal tells yet.
pub fn answer_until(challenge: &Challenge, device: DeviceId, commit: &Commit<'_>, profile: &Profile, rules: &Rules) -> Option<u64> {
    let seal_hash = challenge.seal_hash?;
    let load = load(challenge, rules, 0);
    let rate = if commit.is_unmeasured(profile) { load.unmeasured_rate } else { load.rate };
    let until = beacon::seal_block(challenge.block, rules.commit_window).saturating_add(rules.answer_window);
    is_drawn(seal_hash, challenge.block, device, rate).then(|| until.saturating_add(load.extra_blocks))
}

/// Until which block samples that are demanded at `block` may be answered; `demands` of the whole challenge, this one included.
pub fn demand_until(challenge: &Challenge, demands: u64, rules: &Rules, block: u64) -> u64 {
    block.saturating_add(rules.answer_window).saturating_add(load(challenge, rules, demands).extra_blocks)
}

/// Whether samples may still be demanded at `block`.
pub fn may_demand(challenge: &Challenge, rules: &Rules, block: u64) -> bool {
    block <= challenge.block.saturating_add(rules.commit_window).saturating_add(rules.dispute_window)
}

/// What is still owed for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    Nothing,
    /// An answer may still come in.
    Waiting,
    /// One did not come in. Who demanded it; zero for the seal and for a committee.
    Missing(Address),
}

/// An answer that is waited for comes before one that is missing: the commit is not decided until all windows are closed.
pub fn owed(challenge: &Challenge, device: DeviceId, commit: &Commit<'_>, profile: &Profile, rules: &Rules, block: u64) -> Owed {
    let open = || commit.demands.iter().filter(|demand| !demand.is_answered);
    let mut is_waiting = open().any(|demand| block <= demand.answer_until);
    let mut missing = open().find(|demand| block > demand.answer_until).map(|demand| demand.opener);
    if commit.status == Status::Committed {
        // Only a seal tells whether the commit was drawn; once its block hash is out of reach, nobody was.
        let readable_until = beacon::seal_block(challenge.block, rules.commit_window).saturating_add(HASH_WINDOW_BLOCKS);
        is_waiting |= challenge.seal_hash.is_none() && block <= readable_until;
        if let Some(until) = answer_until(challenge, device, commit, profile, rules) {
            is_waiting |= block <= until;
            missing = missing.or_else(|| (block > until).then_some(Address::ZERO));
        }
    }
    match missing {
        _ if is_waiting => Owed::Waiting,
        Some(opener) => Owed::Missing(opener),
        None => Owed::Nothing,
    }
}

/// What the challenge amounts to for the device at `now`. `profile` is that of the commit's mode.
pub fn outcome(challenge: &Challenge, device: DeviceId, commit: Option<(&Commit<'_>, &Profile)>, rules: &Rules, now: Moment) -> Outcome {
    if may_demand(challenge, rules, now.block) {
        return Outcome::Pending;
    }
    // A wrong answer is a fault whatever became of the others.
    if commit.is_some_and(|(commit, _)| commit.status == Status::Voided) {
        return Outcome::Missed;
    }
    match own_outcome(challenge, device, commit, rules, now) {
        Outcome::Pending => Outcome::Pending,
        _ if challenge.is_void => Outcome::Void,
        Outcome::Unmeasured if challenge.is_mostly_unmeasured() => Outcome::Void,
        own => own,
    }
}

fn own_outcome(challenge: &Challenge, device: DeviceId, commit: Option<(&Commit<'_>, &Profile)>, rules: &Rules, now: Moment) -> Outcome {
    let Some((commit, profile)) = commit.filter(|(commit, _)| commit.status != Status::Neglected) else { return Outcome::Missed };
    match owed(challenge, device, commit, profile, rules, now.block) {
        Owed::Waiting => return Outcome::Pending,
        Owed::Missing(_) => return Outcome::Missed,
        Owed::Nothing => {}
    }
    if commit.is_measured && commit.is_too_slow(profile) {
        return Outcome::Missed;
    }
    if commit.mode == Mode::Light && !commit.is_covered {
        // The terms may still be on their way over the bridge.
        let waits = now.timestamp <= challenge.timestamp.saturating_add(rules.bridge_max_seconds);
        return if waits { Outcome::Pending } else { Outcome::Missed };
    }
    if commit.is_unmeasured(profile) { Outcome::Unmeasured } else { Outcome::Passed }
}
