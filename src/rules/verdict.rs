//! What a challenge amounts to for a device, and what a rental's challenges add up to: the decisions of WorkVerification as pure
//! functions, so that anybody can repeat them. docs/protocol.md sections 6, 7 and 10.

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

use super::{beacon, kernel::is_drawn};
use crate::types::{
    DeviceId,
    work::{Mode, Profile},
};

/// Blocks after its own for which a block hash can still be read.
const HASH_WINDOW_BLOCKS: u64 = 256;
/// Further challenges that may decide a closing challenge which nobody could measure.
const CLOSING_LOOKAHEAD: u64 = 3;

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
}

impl Outcome {
    pub fn from_u8(value: u8) -> Option<Self> {
        [Self::Pending, Self::Passed, Self::Missed, Self::Unmeasured].into_iter().find(|outcome| *outcome as u8 == value)
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
}

/// What became of a commit's proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    None,
    Right,
    Wrong,
}

/// A commit as the contract knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    pub mode: Mode,
    pub is_measured: bool,
    pub elapsed_ms: u32,
    pub answer: Answer,
    /// Whether the terms of a rental of the device cover the challenge, as far as they have arrived.
    pub is_covered: bool,
}

impl Commit {
    /// Nobody could measure it, or it took too long to pass and not long enough to have failed.
    pub fn is_unmeasured(&self, profile: &Profile) -> bool {
        !self.is_measured || (profile.pass_ms < self.elapsed_ms && self.elapsed_ms <= profile.unmeasured_ms)
    }
}

/// Whether the commit must be proven on chain, and until which block. `None` where it need not be, or no seal tells yet.
pub fn answer_until(challenge: &Challenge, device: DeviceId, commit: &Commit, profile: &Profile, rules: &Rules) -> Option<u64> {
    let seal_hash = challenge.seal_hash?;
    let drawn = commit.is_unmeasured(profile) || is_drawn(seal_hash, challenge.block, device, rules.proof_rate);
    drawn.then(|| beacon::seal_block(challenge.block, rules.commit_window).saturating_add(rules.answer_window))
}

/// What the challenge amounts to for the device at `now`. `profile` is that of the commit's mode.
pub fn outcome(challenge: &Challenge, device: DeviceId, commit: Option<(&Commit, &Profile)>, rules: &Rules, now: Moment) -> Outcome {
    if now.block <= challenge.block.saturating_add(rules.commit_window).saturating_add(rules.dispute_window) {
        return Outcome::Pending;
    }
    let Some((commit, profile)) = commit.filter(|(commit, _)| commit.answer != Answer::Wrong) else { return Outcome::Missed };
    if commit.answer == Answer::None {
        // Only a seal tells whether the commit was drawn; once its block hash is out of reach, nobody was.
        let readable_until = beacon::seal_block(challenge.block, rules.commit_window).saturating_add(HASH_WINDOW_BLOCKS);
        if challenge.seal_hash.is_none() && now.block <= readable_until {
            return Outcome::Pending;
        }
        if let Some(until) = answer_until(challenge, device, commit, profile, rules) {
            return if now.block <= until { Outcome::Pending } else { Outcome::Missed };
        }
    }
    if commit.is_measured && commit.elapsed_ms > profile.unmeasured_ms {
        return Outcome::Missed;
    }
    if commit.mode == Mode::Light && !commit.is_covered {
        // The terms may still be on their way over the bridge.
        let waits = now.timestamp <= challenge.timestamp.saturating_add(rules.bridge_max_seconds);
        return if waits { Outcome::Pending } else { Outcome::Missed };
    }
    if commit.is_unmeasured(profile) { Outcome::Unmeasured } else { Outcome::Passed }
}

/// Time of a rental that commits may lean on: the union of all its terms that have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    pub device: DeviceId,
    pub start: u64,
    pub end: u64,
}

impl Coverage {
    pub fn covers(&self, device: DeviceId, timestamp: u64, slack_seconds: u64) -> bool {
        let (from, to) = (self.start, self.end.saturating_add(slack_seconds));
        self.device == device && timestamp.saturating_add(slack_seconds) >= from && timestamp < to
    }
}

/// What a report says of a rental.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sums {
    pub terms_version: u32,
    pub covered_until: u64,
    pub verified_seconds: u64,
    pub due: u32,
    pub passed: u32,
    pub is_final: bool,
}

/// A rental as it is settled: terms come in, reports walk on from where the last one stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RentalBook {
    pub coverage: Coverage,
    terms_version: u32,
    end: u64,
    final_version: u32,
    /// Index of the next challenge; `None` until the first report has found the first one.
    cursor: Option<u64>,
    first: u64,
    covered_until: u64,
    verified_seconds: u64,
    due: u32,
    passed: u32,
    last_passed: bool,
}

impl RentalBook {
    pub fn new(device: DeviceId, terms_version: u32, start: u64, end: u64) -> Self {
        Self {
            coverage: Coverage { device, start, end },
            terms_version,
            end,
            final_version: 0,
            cursor: None,
            first: 0,
            covered_until: start,
            verified_seconds: 0,
            due: 0,
            passed: 0,
            last_passed: false,
        }
    }

    /// Takes in terms, in whatever order they arrive.
    pub fn set_terms(&mut self, terms_version: u32, end: u64) {
        self.coverage.end = self.coverage.end.max(end);
        if terms_version <= self.terms_version {
            return;
        }
        // The closing challenge of the old terms, or time beyond the new end, was counted: count again from the start.
        if self.final_version != 0 || end < self.covered_until {
            let cursor = self.cursor.map(|_| self.first);
            let fresh = Self::new(self.coverage.device, terms_version, self.coverage.start, end);
            *self = Self { coverage: self.coverage, cursor, first: self.first, ..fresh };
        }
        (self.terms_version, self.end) = (terms_version, end);
    }

    /// Walks on over settled challenges, of which `timestamps` has all, and returns what is to be reported then.
    pub fn report(&mut self, timestamps: &[u64], max_per_call: u64, outcome_of: impl Fn(u64) -> Outcome) -> Sums {
        let start = self.coverage.start;
        let mut index = self.cursor.unwrap_or_else(|| timestamps.partition_point(|timestamp| *timestamp < start) as u64);
        if self.cursor.is_none() {
            self.first = index;
        }
        let last = index.saturating_add(max_per_call).min(timestamps.len() as u64);
        while index < last && self.final_version != self.terms_version {
            let timestamp = timestamps[index as usize];
            let closing = timestamp >= self.end;
            let outcome = match closing {
                true => self.closing_outcome(index, timestamps.len() as u64, &outcome_of),
                false => outcome_of(index),
            };
            if outcome == Outcome::Pending {
                break;
            }
            self.count(if closing { self.end } else { timestamp }, outcome);
            if closing {
                self.final_version = self.terms_version;
                break;
            }
            index += 1;
        }
        self.cursor = Some(index);
        self.sums()
    }

    fn count(&mut self, mark: u64, outcome: Outcome) {
        if outcome == Outcome::Unmeasured {
            return;
        }
        let passed = outcome == Outcome::Passed;
        if mark > self.covered_until {
            self.verified_seconds += if passed { mark - self.covered_until } else { 0 };
            self.covered_until = mark;
        }
        self.due += 1;
        self.passed += u32::from(passed);
        self.last_passed = passed;
    }

    /// Never unmeasured: the next measured challenge decides, and failing that the previous one.
    fn closing_outcome(&self, index: u64, count: u64, outcome_of: &impl Fn(u64) -> Outcome) -> Outcome {
        for next in index..=index + CLOSING_LOOKAHEAD {
            if next >= count {
                return Outcome::Pending;
            }
            match outcome_of(next) {
                Outcome::Unmeasured => {}
                decided => return decided,
            }
        }
        if self.last_passed { Outcome::Passed } else { Outcome::Missed }
    }

    pub fn sums(&self) -> Sums {
        Sums {
            terms_version: self.terms_version,
            covered_until: self.covered_until,
            verified_seconds: self.verified_seconds,
            due: self.due,
            passed: self.passed,
            is_final: self.final_version == self.terms_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::work::cpu_test_class;

    const RULES: Rules = Rules {
        commit_window: 6,
        dispute_window: 4,
        answer_window: 6,
        proof_rate: 1,
        mode_slack_seconds: 3,
        bridge_max_seconds: 30,
        max_per_call: 64,
    };
    const CHALLENGE: Challenge = Challenge { block: 100, timestamp: 1_000, seal_hash: Some(B256::ZERO) };

    fn commit(answer: Answer, elapsed_ms: u32) -> Commit {
        Commit { mode: Mode::Full, is_measured: true, elapsed_ms, answer, is_covered: false }
    }

    fn at(block: u64) -> Moment {
        Moment { block, timestamp: 1_000 + 13 * (block - 100) }
    }

    fn of(challenge: &Challenge, commit: Commit, now: Moment) -> Outcome {
        let (full, light) = cpu_test_class();
        let profile = if commit.mode == Mode::Full { full } else { light };
        outcome(challenge, 1, Some((&commit, &profile)), &RULES, now)
    }

    #[test]
    fn windows_and_answers_decide_in_their_order() {
        let right = commit(Answer::Right, 900);
        assert_eq!(of(&CHALLENGE, right, at(110)), Outcome::Pending);
        assert_eq!(of(&CHALLENGE, right, at(111)), Outcome::Passed);
        assert_eq!(outcome(&CHALLENGE, 1, None, &RULES, at(111)), Outcome::Missed);
        assert_eq!(of(&CHALLENGE, commit(Answer::Wrong, 900), at(111)), Outcome::Missed);
        let silent = commit(Answer::None, 900);
        assert_eq!([113, 114].map(|block| of(&CHALLENGE, silent, at(block))), [Outcome::Pending, Outcome::Missed]);
        let unsealed = Challenge { seal_hash: None, ..CHALLENGE };
        assert_eq!([363, 364].map(|block| of(&unsealed, silent, at(block))), [Outcome::Pending, Outcome::Passed]);
    }

    #[test]
    fn time_and_terms_decide() {
        let (full, _) = cpu_test_class();
        let times = [full.pass_ms, full.pass_ms + 1, full.unmeasured_ms, full.unmeasured_ms + 1];
        let outcomes = times.map(|time| of(&CHALLENGE, commit(Answer::Right, time), at(120)));
        assert_eq!(outcomes, [Outcome::Passed, Outcome::Unmeasured, Outcome::Unmeasured, Outcome::Missed]);
        let unmeasured = Commit { is_measured: false, ..commit(Answer::Right, 0) };
        assert_eq!(of(&CHALLENGE, unmeasured, at(120)), Outcome::Unmeasured);
        let light = Commit { mode: Mode::Light, ..commit(Answer::Right, 300) };
        let early = Moment { timestamp: 1_030, ..at(120) };
        assert_eq!(of(&CHALLENGE, light, early), Outcome::Pending);
        assert_eq!(of(&CHALLENGE, light, at(120)), Outcome::Missed);
        assert_eq!(of(&CHALLENGE, Commit { is_covered: true, ..light }, at(120)), Outcome::Passed);
        let coverage = Coverage { device: 1, start: 1_003, end: 2_000 };
        assert!(coverage.covers(1, 1_000, 3) && coverage.covers(1, 2_002, 3));
        assert!(!coverage.covers(1, 999, 3) && !coverage.covers(1, 2_003, 3) && !coverage.covers(2, 1_500, 3));
    }

    #[test]
    fn a_rental_adds_up_as_the_contract_does_it() {
        let timestamps = [90, 150, 210, 270, 330, 390];
        let outcomes = [Outcome::Passed, Outcome::Passed, Outcome::Missed, Outcome::Unmeasured, Outcome::Passed, Outcome::Passed];
        let outcome_of = |index: u64| outcomes[index as usize];
        let mut book = RentalBook::new(1, 1, 100, 300);
        let sums = book.report(&timestamps, 64, outcome_of);
        // 100 to 150 passed, to 210 missed, the unmeasured one leaves its time to the closing challenge, which counts up to the end.
        assert_eq!(sums, Sums { terms_version: 1, covered_until: 300, verified_seconds: 50 + 90, due: 3, passed: 2, is_final: true });
        book.set_terms(2, 200);
        let sums = book.report(&timestamps, 64, outcome_of);
        assert_eq!(sums, Sums { terms_version: 2, covered_until: 200, verified_seconds: 50, due: 2, passed: 1, is_final: true });
        book.set_terms(1, 900);
        assert_eq!((book.sums(), book.coverage.end), (sums, 900), "old terms only widen what commits may lean on");
    }

    #[test]
    fn a_closing_challenge_waits_for_a_measured_one_and_gives_up_after_three() {
        let timestamps = [150, 350, 360, 370, 380];
        let unmeasured = |index: u64| if index == 0 { Outcome::Passed } else { Outcome::Unmeasured };
        let mut book = RentalBook::new(1, 1, 100, 300);
        assert!(!book.report(&timestamps[..4], 64, unmeasured).is_final);
        let sums = book.report(&timestamps, 64, unmeasured);
        assert_eq!((sums.is_final, sums.verified_seconds, sums.passed), (true, 200, 2));
    }
}
