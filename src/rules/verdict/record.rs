//! What outcomes add up to for one device: unmeasured commits that are nobody's fault, and answers that were missing.

use super::{Challenge, Outcome, Owed, Rules, Status};

/// What a settled challenge did to the device's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub outcome: Outcome,
    /// The commit's new status, if it has changed.
    pub status: Option<Status>,
    /// How often an answer was missing within the grace window, if one was; the third is a fault.
    pub missing: Option<u32>,
}

/// Times of a device's last two neutral commits and of its last two missing answers; 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceRecord {
    neutral: [u64; 2],
    missing: [u64; 2],
}

impl DeviceRecord {
    /// Settles a challenge that is no longer pending. `status` is `None` where nothing was committed.
    pub fn count(&mut self, challenge: &Challenge, outcome: Outcome, status: Option<Status>, owed: Owed, rules: &Rules) -> Counted {
        let since = challenge.timestamp.saturating_sub(rules.grace_window_seconds);
        let plain = Counted { outcome, status: None, missing: None };
        match outcome {
            Outcome::Pending | Outcome::Passed | Outcome::Void => plain,
            // Two within the window are nobody's fault.
            Outcome::Unmeasured if self.neutral[0] <= since => {
                self.neutral = [self.neutral[1], challenge.timestamp];
                plain
            }
            Outcome::Unmeasured => Counted { outcome: Outcome::Missed, status: Some(Status::Neglected), missing: None },
            Outcome::Missed => {
                let can_lack = matches!(status, Some(Status::Committed | Status::Proven));
                if !can_lack || !matches!(owed, Owed::Missing(_)) {
                    return plain;
                }
                let times = 1 + self.missing.iter().map(|at| u32::from(*at > since)).sum::<u32>();
                self.missing = if times < 3 { [self.missing[1], challenge.timestamp] } else { [0, 0] };
                Counted { outcome, status: Some(Status::Voided), missing: Some(times) }
            }
        }
    }
}
