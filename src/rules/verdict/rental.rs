//! What a rental's challenges add up to, report by report.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::types::DeviceId;

/// Further challenges that may decide a closing challenge which nobody could measure.
const CLOSING_LOOKAHEAD: u64 = 3;
/// Of what may become due in a window, one in this many parts per provider.
const PROVIDER_SHARE: u128 = 8;

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

/// How far one report may walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Challenges that are settled for the device: all before this index.
    pub decided: u64,
    pub max_per_call: u64,
    /// Latest time that may be decided.
    pub horizon: u64,
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
    /// Time of the last void challenge since the last counted one; 0 for none.
    void_at: u64,
    price_per_second: u128,
    /// Up to where reports have made time due.
    reported_until: u64,
}

/// What reports may still make due in a window of blocks, for all and for each provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    window: u64,
    spent: u128,
    spent_by: BTreeMap<Address, u128>,
}

impl Room {
    /// What the provider's rentals may make due at `block`.
    pub fn left(&mut self, provider: Address, block: u64, cap_window: u64, value_cap: u128) -> u128 {
        self.enter(block, cap_window);
        let own = self.spent_by.get(&provider).copied().unwrap_or_default();
        value_cap.saturating_sub(self.spent).min((value_cap / PROVIDER_SHARE).saturating_sub(own))
    }

    pub fn spend(&mut self, provider: Address, block: u64, cap_window: u64, value: u128) {
        self.enter(block, cap_window);
        self.spent = self.spent.saturating_add(value);
        let own = self.spent_by.entry(provider).or_default();
        *own = own.saturating_add(value);
    }

    fn enter(&mut self, block: u64, cap_window: u64) {
        let window = block / cap_window.max(1);
        if window != self.window {
            *self = Self { window, ..Self::default() };
        }
    }
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
            void_at: 0,
            price_per_second: 0,
            reported_until: 0,
        }
    }

    /// The highest price of any terms: what a report makes due is reckoned at it.
    pub fn set_price(&mut self, price_per_second: u128) {
        self.price_per_second = self.price_per_second.max(price_per_second);
    }

    /// Takes note of a report and returns, in wei, what it makes newly due.
    pub fn reported(&mut self, covered_until: u64) -> u128 {
        let from = self.reported_until.max(self.coverage.start);
        if covered_until <= from {
            return 0;
        }
        self.reported_until = covered_until;
        u128::from(covered_until - from).saturating_mul(self.price_per_second)
    }

    /// Latest time that may be decided with so much room: what was reported before costs none again.
    pub fn horizon(&self, room: u128) -> u64 {
        let from = self.reported_until.max(self.coverage.start);
        let seconds = room.checked_div(self.price_per_second).map_or(u64::MAX, |seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
        from.saturating_add(seconds)
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
            let (price_per_second, reported_until) = (self.price_per_second, self.reported_until);
            *self = Self { coverage: self.coverage, cursor, first: self.first, price_per_second, reported_until, ..fresh };
        }
        (self.terms_version, self.end) = (terms_version, end);
    }

    /// Walks on over settled challenges and returns what is to be reported then. `timestamps` has all challenges.
    pub fn report(&mut self, timestamps: &[u64], bounds: Bounds, outcome_of: impl Fn(u64) -> Outcome) -> Sums {
        let Bounds { decided, max_per_call, horizon } = bounds;
        let decided = decided.min(timestamps.len() as u64);
        let start = self.coverage.start;
        let mut index = self.cursor.unwrap_or_else(|| timestamps.partition_point(|timestamp| *timestamp < start) as u64);
        if self.cursor.is_none() {
            self.first = index;
        }
        let last = index.saturating_add(max_per_call).min(decided);
        while index < last && self.final_version != self.terms_version {
            let timestamp = timestamps[index as usize];
            let closing = timestamp >= self.end;
            let outcome = match closing {
                true => self.closing_outcome(index, decided, &outcome_of),
                false => outcome_of(index),
            };
            let mark = if closing { self.end } else { timestamp };
            match outcome {
                Outcome::Pending => break,
                Outcome::Unmeasured => {}
                Outcome::Void => self.void_at = timestamp,
                Outcome::Passed | Outcome::Missed => {
                    self.cover(mark.min(horizon), outcome == Outcome::Passed);
                    // The rest of the time up to the mark is left to a later report.
                    if mark > horizon {
                        break;
                    }
                    self.decide(outcome == Outcome::Passed);
                }
            }
            if closing {
                self.final_version = self.terms_version;
                break;
            }
            index += 1;
        }
        self.cursor = Some(index);
        self.sums()
    }

    /// Decides the time up to `mark`. Time before a void challenge needs a passed one on both sides.
    fn cover(&mut self, mark: u64, passed: bool) {
        let from = self.covered_until;
        if mark <= from {
            return;
        }
        self.covered_until = mark;
        if passed {
            let is_lost = self.void_at > from && self.due != 0 && !self.last_passed;
            self.verified_seconds += mark - if is_lost { self.void_at.min(mark) } else { from };
        }
    }

    fn decide(&mut self, passed: bool) {
        self.due += 1;
        self.passed += u32::from(passed);
        (self.last_passed, self.void_at) = (passed, 0);
    }

    /// Never neutral: the next measured challenge decides, and failing that the previous one.
    fn closing_outcome(&self, index: u64, count: u64, outcome_of: &impl Fn(u64) -> Outcome) -> Outcome {
        for next in index..=index + CLOSING_LOOKAHEAD {
            if next >= count {
                return Outcome::Pending;
            }
            let decided = outcome_of(next);
            if !decided.is_neutral() {
                return decided;
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
