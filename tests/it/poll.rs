//! Waiting for what nobody announces: a condition is asked for at a pace, and a test fails with what it waited for.

use std::{fmt::Display, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// Between two looks that cost little.
pub const PACE: Duration = Duration::from_millis(20);

/// What `probe` finds, at the latest `within`.
pub async fn find<T>(what: impl Display, within: Duration, pace: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        let mut ticks = every(pace);
        loop {
            ticks.tick().await;
            if let Some(found) = probe().await {
                return found;
            }
        }
    };
    timeout(within, looking).await.unwrap_or_else(|_| panic!("not within {within:?}: {what}"))
}

/// Returns once `holds`, at the latest `within`.
pub async fn until(what: impl Display, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    find(what, within, PACE, async || holds().await.then_some(())).await;
}

/// Ticks, the first at once, for whoever does something again and again.
pub fn every(pace: Duration) -> Interval {
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// `until` for tests without a runtime.
pub fn until_blocking(what: impl Display, within: Duration, pace: Duration, mut holds: impl FnMut() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(find(what, within, pace, async || holds().then_some(())));
}
