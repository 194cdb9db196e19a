//! The life of a rental on its provider's machine, as pure decisions.
//!
//! The chain says when a rental is paid, when it runs and when it is over; what is known of it is kept, so that a chain, a Queen or a
//! relay that is out of reach ends nothing. Only the rental's own end does.

use serde::{Deserialize, Serialize};

use crate::types::RentalId;

/// Pause before a container that died is started again, per death; more deaths than this entry number wait the last one.
const RESTART_AFTER_SECONDS: [u64; 5] = [0, 2, 10, 30, 60];
/// Times before the end at which the renter is warned.
pub const WARN_BEFORE_SECONDS: [u64; 3] = [3_600, 600, 60];

/// Where a rental stands on its provider's machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Paid; the renter may still say what to start.
    #[default]
    Waiting,
    /// Image and container are on their way.
    Preparing,
    /// The renter could log in now. From here on `ready` is sent, and the meter runs once it is mined.
    Prepared,
    /// The launch failed; another one may be asked for until the chain refunds the rental.
    Failed,
    /// Container gone; files stay for a while.
    Ended,
}

/// Why a rental ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its time was over, or the renter ended it early: the chain's end had come.
    TimeOver,
    /// Cancelled or settled on chain.
    Closed,
}

/// What is remembered of a rental.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenancy {
    pub phase: Phase,
    /// When this node first saw it, Unix seconds.
    pub seen_at: u64,
    /// The last known window, Unix seconds; zero until `ready` is mined.
    pub start: u64,
    pub end: u64,
    pub ended: Option<(u64, EndReason)>,
    /// Deaths of the container, and the last one.
    pub deaths: u32,
    pub died_at: u64,
    /// Smallest entry of [`WARN_BEFORE_SECONDS`] that has been said; 0 if none.
    pub warned_before: u64,
}

/// What the chain says now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    pub start: u64,
    /// Of the rental that others share a container with: the last end of them all.
    pub end: u64,
    pub is_closed: bool,
    /// Rental whose container this one shares; `None` for one with a container of its own.
    pub leader: Option<RentalId>,
}

/// What the machine says now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// The engine cannot be asked: nothing is decided from that.
    Unknown,
    Absent,
    Running,
    Dead,
}

/// The provider's choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Time a renter has to say what to start before the default is started.
    pub launch_wait_seconds: u64,
    /// Time that files stay after the end.
    pub keep_files_seconds: u64,
    /// Time without work after which the renter is told; 0 for never.
    pub idle_warning_seconds: u64,
}

/// Share of one core, in thousandths, below which a container does nothing worth its price. Whoever feeds a device needs more.
const IDLE_CPU_PERMILLE: u128 = 10;

/// Whether `cpu_us` of processor time within `elapsed_us` is work.
pub fn is_work(cpu_us: u64, elapsed_us: u64) -> bool {
    u128::from(cpu_us) * 1_000 > u128::from(elapsed_us) * IDLE_CPU_PERMILLE
}

/// What to do next; at most one thing at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Nothing,
    Launch,
    SayReady,
    /// Start the container again; it died or the machine was restarted.
    Restart,
    /// Tell the renter how many seconds are left.
    Warn {
        seconds_left: u64,
        before: u64,
    },
    Stop(EndReason),
    Wipe,
}

impl Tenancy {
    pub fn new(now: u64) -> Self {
        Self { seen_at: now, ..Self::default() }
    }

    /// Takes over what the chain says; a chain that no longer knows the rental changes nothing.
    pub fn observe(&mut self, window: Option<Window>) {
        let Some(window) = window else { return };
        if window.end > self.end {
            // An extension: the warnings start anew.
            self.warned_before = 0;
        }
        (self.start, self.end) = (window.start, window.end);
    }

    pub fn is_running(&self, now: u64) -> bool {
        self.start != 0 && self.start <= now && now < self.end && self.ended.is_none()
    }

    /// `has_launch`: the renter has said what to start.
    pub fn step(&self, window: Option<Window>, container: Container, has_launch: bool, policy: &Policy, now: u64) -> Step {
        if let Some((ended_at, reason)) = self.ended {
            return match container {
                // A crash between the decision and the deed.
                Container::Running | Container::Dead => Step::Stop(reason),
                _ if now >= ended_at.saturating_add(policy.keep_files_seconds) => Step::Wipe,
                _ => Step::Nothing,
            };
        }
        if window.is_some_and(|window| window.is_closed) {
            return Step::Stop(EndReason::Closed);
        }
        if self.end != 0 && now >= self.end {
            return Step::Stop(EndReason::TimeOver);
        }
        match self.phase {
            Phase::Waiting if has_launch || now >= self.seen_at.saturating_add(policy.launch_wait_seconds) => Step::Launch,
            Phase::Preparing => Step::Launch,
            Phase::Prepared => self.keep_up(container, now),
            Phase::Waiting | Phase::Failed | Phase::Ended => Step::Nothing,
        }
    }

    fn keep_up(&self, container: Container, now: u64) -> Step {
        if matches!(container, Container::Dead | Container::Absent) {
            let entry = (self.deaths as usize).min(RESTART_AFTER_SECONDS.len() - 1);
            return if now >= self.died_at.saturating_add(RESTART_AFTER_SECONDS[entry]) { Step::Restart } else { Step::Nothing };
        }
        if self.start == 0 {
            // Nobody pays for a container that may not be there.
            return if container == Container::Running { Step::SayReady } else { Step::Nothing };
        }
        let seconds_left = self.end.saturating_sub(now);
        let due = WARN_BEFORE_SECONDS.into_iter().filter(|before| seconds_left <= *before).min();
        match due {
            // A rental shorter than the warning's time needs none at its start.
            Some(before) if (self.warned_before == 0 || before < self.warned_before) && before < self.end - self.start => {
                Step::Warn { seconds_left, before }
            }
            _ => Step::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { launch_wait_seconds: 10, keep_files_seconds: 100, idle_warning_seconds: 0 };

    fn open(start: u64, end: u64) -> Option<Window> {
        Some(Window { start, end, ..Window::default() })
    }

    #[test]
    fn a_launch_waits_for_the_renter_but_not_for_ever() {
        let tenancy = Tenancy::new(50);
        assert_eq!(tenancy.step(open(0, 0), Container::Absent, false, &POLICY, 59), Step::Nothing);
        assert_eq!(tenancy.step(open(0, 0), Container::Absent, true, &POLICY, 51), Step::Launch);
        assert_eq!(tenancy.step(open(0, 0), Container::Absent, false, &POLICY, 60), Step::Launch);
    }

    #[test]
    fn ready_is_said_only_when_the_container_runs() {
        let tenancy = Tenancy { phase: Phase::Prepared, died_at: 55, ..Tenancy::new(50) };
        assert_eq!(tenancy.step(open(0, 0), Container::Running, true, &POLICY, 60), Step::SayReady);
        assert_eq!(tenancy.step(open(0, 0), Container::Dead, true, &POLICY, 60), Step::Restart);
        assert_eq!(tenancy.step(open(0, 0), Container::Unknown, true, &POLICY, 60), Step::Nothing);
        let failed = Tenancy { phase: Phase::Failed, ..tenancy };
        assert_eq!(failed.step(open(0, 0), Container::Absent, true, &POLICY, 60), Step::Nothing);
    }

    #[test]
    fn a_lost_chain_ends_nothing_before_the_known_end() {
        let mut tenancy = Tenancy { phase: Phase::Prepared, ..Tenancy::new(50) };
        tenancy.observe(open(100, 10_000));
        tenancy.observe(None);
        assert_eq!(tenancy.step(None, Container::Running, true, &POLICY, 200), Step::Nothing);
        assert!(tenancy.is_running(9_999));
        assert_eq!(tenancy.step(None, Container::Running, true, &POLICY, 10_000), Step::Stop(EndReason::TimeOver));
    }

    #[test]
    fn dead_containers_come_back_with_growing_pauses() {
        let tenancy = Tenancy { phase: Phase::Prepared, start: 1, end: 100_000, deaths: 3, died_at: 1_000, ..Tenancy::new(0) };
        assert_eq!(tenancy.step(None, Container::Dead, true, &POLICY, 1_029), Step::Nothing);
        assert_eq!(tenancy.step(None, Container::Dead, true, &POLICY, 1_030), Step::Restart);
        let often = Tenancy { deaths: 40, ..tenancy };
        assert_eq!(often.step(None, Container::Absent, true, &POLICY, 1_059), Step::Nothing);
        assert_eq!(often.step(None, Container::Absent, true, &POLICY, 1_060), Step::Restart);
    }

    #[test]
    fn warnings_come_once_each_and_again_after_an_extension() {
        let mut tenancy = Tenancy { phase: Phase::Prepared, start: 1_000, end: 9_000, ..Tenancy::new(0) };
        let step = |tenancy: &Tenancy, now| tenancy.step(None, Container::Running, true, &POLICY, now);
        assert_eq!(step(&tenancy, 2_000), Step::Nothing);
        assert_eq!(step(&tenancy, 5_400), Step::Warn { seconds_left: 3_600, before: 3_600 });
        tenancy.warned_before = 3_600;
        assert_eq!(step(&tenancy, 5_401), Step::Nothing);
        assert_eq!(step(&tenancy, 8_950), Step::Warn { seconds_left: 50, before: 60 });
        tenancy.warned_before = 60;
        tenancy.observe(open(1_000, 20_000));
        assert_eq!(step(&tenancy, 19_400), Step::Warn { seconds_left: 600, before: 600 });
        let short = Tenancy { start: 1_000, end: 1_300, warned_before: 0, ..tenancy };
        assert_eq!(step(&short, 1_001), Step::Nothing);
        assert_eq!(step(&short, 1_240), Step::Warn { seconds_left: 60, before: 60 });
    }

    #[test]
    fn a_container_that_does_next_to_nothing_is_idle() {
        assert!(!is_work(0, 1_000_000) && !is_work(10_000, 1_000_000) && is_work(10_001, 1_000_000));
        assert!(is_work(u64::MAX, u64::MAX) && !is_work(0, 0));
    }

    #[test]
    fn an_end_is_final_and_files_stay_for_their_time() {
        let mut tenancy = Tenancy { phase: Phase::Prepared, start: 10, end: 20, ..Tenancy::new(0) };
        assert_eq!(
            tenancy.step(Some(Window { start: 10, end: 20, is_closed: true, leader: None }), Container::Running, true, &POLICY, 15),
            Step::Stop(EndReason::Closed)
        );
        tenancy.ended = Some((20, EndReason::TimeOver));
        tenancy.phase = Phase::Ended;
        assert_eq!(tenancy.step(open(10, 20), Container::Running, true, &POLICY, 21), Step::Stop(EndReason::TimeOver));
        assert_eq!(tenancy.step(open(10, 20), Container::Absent, true, &POLICY, 119), Step::Nothing);
        assert_eq!(tenancy.step(None, Container::Absent, true, &POLICY, 120), Step::Wipe);
    }
}
