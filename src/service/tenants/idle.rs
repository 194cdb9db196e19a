//! Tells renters of a device that nobody uses: it costs as much as one that works.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{Tenant, Tenants, in_words};
use crate::{
    rules::tenancy::{Phase, is_work},
    telemetry::Severity,
};

/// Shortest time over which processor time is compared. Shorter, a moment's pause looks idle, or a log line looks like work.
const MEASURE_OVER: Duration = Duration::from_secs(2);

/// What a container did lately.
#[derive(Debug, Default)]
pub(super) struct Activity {
    last: Option<(Instant, u64)>,
    idle_since: Option<Instant>,
    was_told: bool,
}

impl Activity {
    /// Takes in the container's processor time so far. Returns how long it has been idle, where that is to be told now.
    fn measure(&mut self, cpu_us: u64, now: Instant, warn_after: Duration) -> Option<Duration> {
        let Some((before, cpu_before)) = self.last else {
            (self.last, self.idle_since) = (Some((now, cpu_us)), Some(now));
            return None;
        };
        let elapsed = now.duration_since(before);
        if elapsed < MEASURE_OVER {
            return None;
        }
        self.last = Some((now, cpu_us));
        // A container that was started again counts from zero.
        if cpu_us < cpu_before || is_work(cpu_us - cpu_before, u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)) {
            (self.idle_since, self.was_told) = (Some(now), false);
            return None;
        }
        let idle = now.duration_since(self.idle_since.unwrap_or(now));
        (!warn_after.is_zero() && idle >= warn_after && !std::mem::replace(&mut self.was_told, true)).then_some(idle)
    }
}

impl Tenant {
    pub(super) fn idle_seconds(&self) -> u64 {
        let activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, last) = (activity.idle_since, activity.last);
        since.zip(last).map_or(0, |(since, (last, _))| last.duration_since(since).as_secs())
    }
}

impl Tenants {
    /// Looks at every running container once.
    pub(super) async fn watch_idle(&self) {
        let Some((runtime, _)) = &self.inner.runtime else { return };
        let warn_after = Duration::from_secs(self.inner.config.policy.idle_warning_seconds);
        for tenant in self.all() {
            let is_up = tenant.leader().is_none() && tenant.state().tenancy.phase == Phase::Prepared;
            if !is_up {
                continue;
            }
            let Ok(usage) = runtime.usage(tenant.rental).await else { continue };
            let idle = {
                let mut activity = tenant.activity.lock().unwrap_or_else(PoisonError::into_inner);
                activity.measure(usage.cpu_us, Instant::now(), warn_after)
            };
            let Some(idle) = idle else { continue };
            let rental = tenant.rental;
            let idle = in_words(idle.as_secs());
            tenant
                .tell(format!("Nothing has run here for {idle}, and the rental goes on costing. `gpumkt end {rental}` refunds the rest."));
            self.inner.alerts.raise(
                "rental_idle",
                Severity::Info,
                format!("rental {rental}"),
                format!("rental {rental} has been idle for {idle}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idleness_is_told_once_and_again_after_work() {
        let (start, warn_after) = (Instant::now(), Duration::from_secs(60));
        let mut activity = Activity::default();
        let mut at = |seconds: u64, cpu_us: u64| activity.measure(cpu_us, start + Duration::from_secs(seconds), warn_after);
        assert_eq!(at(0, 0), None);
        assert_eq!(at(1, 0), None, "too soon to tell");
        assert_eq!(at(59, 100_000), None);
        assert_eq!(at(61, 100_000), Some(Duration::from_secs(61)));
        assert_eq!(at(90, 100_000), None, "it was told");
        assert_eq!(at(100, 9_000_000), None);
        assert_eq!(at(159, 9_000_000), None);
        assert_eq!(at(162, 9_000_000), Some(Duration::from_secs(62)));
        assert_eq!(at(200, 0), None, "a container that was started again has worked");
        assert_eq!(at(259, 0), None);
    }

    #[test]
    fn whoever_wants_no_warning_gets_none() {
        let start = Instant::now();
        let mut activity = Activity::default();
        for seconds in [0, 10, 1_000_000] {
            assert_eq!(activity.measure(0, start + Duration::from_secs(seconds), Duration::ZERO), None);
        }
    }
}
