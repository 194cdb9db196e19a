//! Verdicts on challenges, outcomes of commits, and reports of rentals, decided again.

use super::{Examiner, Opened, Verdict, shown};
use crate::{
    client::audit::evidence::{Entry, Parameters},
    rules::verdict::{self, Bounds, Judgement, Moment, Outcome, Owed, RentalBook, Status, Sums},
    types::{DeviceId, RentalId},
};

impl Examiner<'_> {
    /// Whether enough of those who answered the last valid challenge answered this one.
    pub(super) fn judged(&mut self, entry: &Entry, block: u64, judgement: Judgement) {
        let Some(opened) = self.challenges.get(self.judged).cloned() else {
            self.agree(entry, format!("verdict on challenge {block}"), "of an opened challenge", "none is left to judge");
            return;
        };
        self.agree(entry, "next challenge to be judged", block, opened.challenge.block);
        let recomputed = self.reference.judge(&opened.challenge.attendance, &opened.parameters.rules);
        self.agree(entry, format!("verdict on challenge {block}"), in_words(&judgement), in_words(&recomputed));
        self.challenges[self.judged].challenge.is_void = recomputed.is_void;
        self.judged += 1;
    }

    fn outcome(&self, block: u64, id: DeviceId, now: Moment) -> Outcome {
        self.outcome_and_owed(block, id, now).0
    }

    fn outcome_and_owed(&self, block: u64, id: DeviceId, now: Moment) -> (Outcome, Owed) {
        let Some(Opened { challenge, parameters: Parameters { rules, .. }, .. }) = self.challenge(block) else {
            return (Outcome::Pending, Owed::Nothing);
        };
        let class_version = self.devices.get(&id).map(|device| device.class_version).unwrap_or_default();
        let covers = |book: &RentalBook| book.coverage.covers(id, challenge.timestamp, rules.mode_slack_seconds);
        let commit = self.commits.get(&(block, id)).and_then(|commit| {
            let profile = self.evidence.profile(class_version, commit.mode)?;
            Some((commit.facts(self.books.values().any(covers)), profile))
        });
        let commit = commit.as_ref().map(|(commit, profile)| (commit, *profile));
        let owed = commit.map_or(Owed::Nothing, |(commit, profile)| verdict::owed(challenge, id, commit, profile, rules, now.block));
        (verdict::outcome(challenge, id, commit, rules, now), owed)
    }

    pub(super) fn settled(&mut self, entry: &Entry, block: u64, id: DeviceId, outcome: Outcome) {
        let subject = format!("outcome of device {id} at challenge {block}");
        let known = (self.devices.get(&id).copied(), self.challenge(block).cloned());
        let (Some(mut device), Some(opened)) = known else {
            self.agree(entry, subject, "device and challenge are known", "unknown");
            return;
        };
        let next = self.challenges.get(usize::try_from(device.settled).unwrap_or(usize::MAX)).map(|opened| opened.challenge.block);
        self.agree(entry, format!("next challenge to be settled for device {id}"), block, next.unwrap_or_default());
        let is_judged = next.is_some() && device.settled < self.judged as u64;
        let is_there = device.removed_at.is_none_or(|at| opened.challenge.timestamp < at);
        self.agree(entry, format!("{subject}: judged, and not removed before"), true, is_judged && is_there);

        let now = Moment { block: entry.block, timestamp: entry.timestamp };
        let (recomputed, owed) = self.outcome_and_owed(block, id, now);
        let status = self.commits.get(&(block, id)).map(|commit| commit.status);
        let counted = device.record.count(&opened.challenge, recomputed, status, owed, &opened.parameters.rules);
        let agrees = self.agree(entry, &subject, in_lower_case(outcome), in_lower_case(counted.outcome));
        let lacked = device.lacked.take().filter(|(at, _)| *at == block).map(|(_, times)| times);
        self.agree(entry, format!("missing answers of device {id} at challenge {block}"), told(lacked), told(counted.missing));
        self.audit.missing += usize::from(counted.missing.is_some());
        device.settled += 1;
        self.devices.insert(id, device);
        if let (Some(commit), Some(status)) = (self.commits.get_mut(&(block, id)), counted.status) {
            commit.status = status;
        }
        if self.is_in_range(block) {
            let commit = self.commits.get(&(block, id));
            self.audit.challenges.push(Verdict {
                block,
                device: id,
                outcome,
                elapsed_ms: commit.filter(|commit| commit.is_measured).map(|commit| commit.elapsed_ms),
                is_measured: commit.is_some_and(|commit| commit.is_measured),
                is_proven: commit.is_some_and(|commit| commit.status == Status::Proven),
                agrees,
            });
        }
    }

    pub(super) fn rental_reported(&mut self, entry: &Entry, rental: RentalId, sums: Sums) {
        let Some(mut book) = self.books.get(&rental).copied() else { return };
        let device = book.coverage.device;
        let Some(known) = self.devices.get(&device).copied() else { return };
        let rules = self.parameters.map(|parameters| parameters.rules);
        let (cap_window, value_cap) = rules.map_or((1, u128::MAX), |rules| (rules.cap_window, rules.value_cap));
        let room = self.room.left(known.provider, entry.block, cap_window, value_cap);
        if known.provider == self.evidence.provider {
            let now = Moment { block: entry.block, timestamp: entry.timestamp };
            let timestamps: Vec<u64> = self.challenges.iter().map(|opened| opened.challenge.timestamp).collect();
            let outcome_of = |index: u64| match self.challenges.get(index as usize) {
                Some(opened) => self.outcome(opened.challenge.block, device, now),
                None => Outcome::Pending,
            };
            let bounds = Bounds {
                // Challenges of a removed device are not settled, but still decide its rentals.
                decided: if known.removed_at.is_none() { known.settled } else { self.challenges.len() as u64 },
                max_per_call: rules.map(|rules| rules.max_per_call).unwrap_or_default(),
                horizon: book.horizon(room),
            };
            let recomputed = book.report(&timestamps, bounds, outcome_of);
            self.agree(entry, format!("report of rental {rental} of device {device}"), shown(&sums), shown(&recomputed));
            self.reported.entry(rental).or_default().push(sums);
            self.audit.reports += 1;
        }
        // What others' rentals made due leaves less room in the window.
        let due = book.reported(sums.covered_until);
        self.room.spend(known.provider, entry.block, cap_window, due);
        self.books.insert(rental, book);
    }
}

fn in_lower_case(outcome: Outcome) -> String {
    format!("{outcome:?}").to_lowercase()
}

fn told(times: Option<u32>) -> String {
    times.map_or_else(|| "none".into(), |times| format!("{times} within the grace window"))
}

fn in_words(judgement: &Judgement) -> String {
    let Judgement { is_void, weight, total_weight, owners } = judgement;
    format!("{}: weight {weight} of {total_weight}, {owners} owners", if *is_void { "void" } else { "valid" })
}
