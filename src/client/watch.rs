//! Stays with a rental: buys more time before the end, warns, and moves on to another device when the provider fails.
//!
//! Nothing is remembered that the chain does not know: what was spent is what the escrow holds, so a watch that starts again keeps to
//! the same limit.

use std::{path::PathBuf, time::Duration};

use alloy::primitives::U256;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    ClientError, Clients, Mode,
    evidence::{close_reason, fault},
    failover::{self, Wanted},
    launch::{LaunchSpec, Launcher, TenantStatus},
    market,
    rent::{self, RentalState, RentalView, SessionKeys},
    session::RenterNode,
};
use crate::{
    chain::BlockId,
    types::{Amount, RentalId, abi::GPURental},
};

/// Pause between two looks at the chain.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Pause between two questions to the provider.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// Longest time before the end at which time is bought; shorter renewals are bought when half of the last one is left.
const RENEW_BEFORE_SECONDS: u64 = 600;

/// What the renter wants to be done.
#[derive(Debug, Clone)]
pub struct WatchPlan {
    /// Time that is bought again and again, seconds.
    pub renew_seconds: Option<u32>,
    /// Most GPUTOKEN for this rental and what takes its place, what was paid before included.
    pub spend_limit: Option<Amount>,
    /// What to start on the next device if the provider fails; `None` to stay with this one.
    pub failover: Option<LaunchSpec>,
    /// A provider that has been silent for this long has failed.
    pub silence: Duration,
    pub data_dir: PathBuf,
}

/// What the renter should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum WatchEvent {
    Extended {
        rental: RentalId,
        cost_wei: Amount,
        end: u64,
    },
    /// Time was not bought; it is not tried again.
    NotExtended {
        rental: RentalId,
        reason: String,
    },
    /// The chain does not answer. The rental is not harmed.
    ChainSilent {
        reason: String,
    },
    ProviderSilent {
        rental: RentalId,
        reason: String,
    },
    ProviderBack {
        rental: RentalId,
    },
    Trouble {
        rental: RentalId,
        code: String,
        reason: String,
    },
    Idle {
        rental: RentalId,
        seconds: u64,
    },
    ProviderFailed {
        rental: RentalId,
        reason: String,
    },
    FailedOver {
        from: RentalId,
        to: RentalId,
    },
    Over {
        rental: RentalId,
        reason: String,
    },
}

/// Everything the watch works with.
pub struct Watch<'a> {
    pub clients: &'a Clients,
    pub node: &'a RenterNode,
    pub sessions: &'a SessionKeys,
    pub plan: WatchPlan,
    pub tell: &'a (dyn Fn(&WatchEvent) + Sync),
}

/// What is remembered from look to look.
struct Seen {
    rental: RentalId,
    /// The end while nobody had cut it short: time that is still wanted if the provider fails.
    wanted_until: u64,
    /// Paid for rentals that this one has replaced.
    spent_before: U256,
    can_renew: bool,
    /// The end at which time was bought last: a node that lags behind shows it once more.
    renewed_at_end: u64,
    chain_silent: bool,
    answered_at: Instant,
    asked_at: Option<Instant>,
    provider_silent: bool,
    trouble_at: u64,
    was_idle: bool,
}

impl Seen {
    fn new(rental: RentalId, wanted_until: u64, spent_before: U256, can_renew: bool) -> Self {
        Self {
            rental,
            wanted_until,
            spent_before,
            can_renew,
            renewed_at_end: 0,
            chain_silent: false,
            answered_at: Instant::now(),
            asked_at: None,
            provider_silent: false,
            trouble_at: 0,
            was_idle: false,
        }
    }
}

/// What one look leads to.
enum Turn {
    Stay,
    Over(String),
    Failed { reason: String, is_silent: bool },
}

impl Watch<'_> {
    /// Returns the rental that was the last one, when it is over.
    pub async fn run(&self, rental: RentalId) -> Result<RentalId, ClientError> {
        let first = rent::rental(self.clients, rental).await?;
        let mut seen = Seen::new(rental, first.end, U256::ZERO, self.plan.renew_seconds.is_some());
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.look(&mut seen).await {
                Ok(Turn::Stay) => {}
                Ok(Turn::Over(reason)) => {
                    (self.tell)(&WatchEvent::Over { rental: seen.rental, reason });
                    return Ok(seen.rental);
                }
                Ok(Turn::Failed { reason, is_silent }) => {
                    (self.tell)(&WatchEvent::ProviderFailed { rental: seen.rental, reason });
                    if self.plan.failover.is_none() {
                        return Ok(seen.rental);
                    }
                    seen = self.fail_over(&seen, is_silent).await?;
                }
                // A chain out of reach ends nothing: the next look asks again.
                Err(ClientError::Chain(error)) if error.is_transient() => {
                    if !std::mem::replace(&mut seen.chain_silent, true) {
                        (self.tell)(&WatchEvent::ChainSilent { reason: error.to_string() });
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn look(&self, seen: &mut Seen) -> Result<Turn, ClientError> {
        let view = rent::rental(self.clients, seen.rental).await?;
        let call = GPURental::detailsCall { rentalId: seen.rental };
        let details = self.clients.ethereum.call(self.clients.book.ethereum.gpu_rental, call, BlockId::latest()).await?;
        let now = self.clients.ethereum.head().await?.timestamp;
        seen.chain_silent = false;
        if let Some(turn) = outcome(&view, details.fault, details.endedByRenter, now) {
            return Ok(turn);
        }
        if view.state == RentalState::Active {
            seen.wanted_until = view.end;
            self.renew(seen, &view, now).await?;
            return Ok(self.ask(seen, &view).await);
        }
        Ok(Turn::Stay)
    }

    async fn renew(&self, seen: &mut Seen, view: &RentalView, now: u64) -> Result<(), ClientError> {
        let is_due = |seconds: &u32| seen.can_renew && view.end != seen.renewed_at_end && is_renewal_due(view.end, now, *seconds);
        let Some(seconds) = self.plan.renew_seconds.filter(is_due) else { return Ok(()) };
        let extension = match rent::extension(self.clients, seen.rental, seconds).await {
            Ok(extension) => extension,
            Err(ClientError::Chain(error)) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                self.stop_renewing(seen, error.to_string());
                return Ok(());
            }
        };
        let spent = seen.spent_before.saturating_add(view.escrowed_wei.wei()).saturating_add(extension.cost_wei.wei());
        if let Some(limit) = self.plan.spend_limit.filter(|limit| spent > limit.wei()) {
            let reason = format!("{} GPUTOKEN in all would be more than the limit of {limit}", Amount(spent));
            self.stop_renewing(seen, reason);
            return Ok(());
        }
        seen.renewed_at_end = view.end;
        match rent::extend(self.clients, &extension, Mode::Send).await {
            Ok(_) => {
                (self.tell)(&WatchEvent::Extended { rental: seen.rental, cost_wei: extension.cost_wei, end: extension.end });
                Ok(())
            }
            // It may be on its way all the same. A second attempt could buy the time twice.
            Err(error) => {
                self.stop_renewing(seen, error.to_string());
                Ok(())
            }
        }
    }

    fn stop_renewing(&self, seen: &mut Seen, reason: String) {
        seen.can_renew = false;
        (self.tell)(&WatchEvent::NotExtended { rental: seen.rental, reason });
    }

    /// Asks the provider how the rental is; what it does not answer is no failure before the plan's time is over.
    async fn ask(&self, seen: &mut Seen, view: &RentalView) -> Turn {
        if seen.asked_at.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            return Turn::Stay;
        }
        seen.asked_at = Some(Instant::now());
        let launcher = Launcher { clients: self.clients, node: self.node, sessions: self.sessions };
        match launcher.status(view).await {
            Ok(status) => {
                seen.answered_at = Instant::now();
                if std::mem::take(&mut seen.provider_silent) {
                    (self.tell)(&WatchEvent::ProviderBack { rental: seen.rental });
                }
                self.tell_status(seen, &status);
                Turn::Stay
            }
            Err(error) => {
                if !std::mem::replace(&mut seen.provider_silent, true) {
                    (self.tell)(&WatchEvent::ProviderSilent { rental: seen.rental, reason: error.to_string() });
                }
                let silent = seen.answered_at.elapsed();
                if silent < self.plan.silence || self.plan.failover.is_none() {
                    return Turn::Stay;
                }
                Turn::Failed { reason: format!("it has been silent for {} s: {error}", silent.as_secs()), is_silent: true }
            }
        }
    }

    fn tell_status(&self, seen: &mut Seen, status: &TenantStatus) {
        if let Some(trouble) = status.trouble.as_ref().filter(|trouble| trouble.at > seen.trouble_at) {
            seen.trouble_at = trouble.at;
            (self.tell)(&WatchEvent::Trouble { rental: seen.rental, code: trouble.code.clone(), reason: trouble.reason.clone() });
        }
        let is_idle = status.idle_seconds >= status.idle_warning_seconds && status.idle_warning_seconds > 0;
        if is_idle && !seen.was_idle {
            (self.tell)(&WatchEvent::Idle { rental: seen.rental, seconds: status.idle_seconds });
        }
        seen.was_idle = is_idle;
    }

    /// Ends what is left of the failed rental, rents the next match for the time that was still wanted, and starts the same there.
    async fn fail_over(&self, seen: &Seen, is_silent: bool) -> Result<Seen, ClientError> {
        let Some(launch) = &self.plan.failover else { return Err(ClientError::NoMatch { rental: seen.rental }) };
        let mut view = rent::rental(self.clients, seen.rental).await?;
        let now = self.clients.ethereum.head().await?.timestamp;
        if matches!(view.state, RentalState::Requested) || (view.state == RentalState::Active && view.end > now) {
            rent::end(self.clients, seen.rental).await?;
            view = rent::rental(self.clients, seen.rental).await?;
        }
        let offer = market::offer(self.clients, view.offer).await?;
        let wanted = Wanted {
            class_version: offer.class_version,
            max_price_per_hour: offer.price_per_hour_wei,
            duration_seconds: u32::try_from(seen.wanted_until.saturating_sub(now)).unwrap_or(u32::MAX).max(offer.min_duration_seconds),
            failed: view.offer,
            provider: view.provider,
            avoid_provider: is_silent,
        };
        let spent = seen.spent_before.saturating_add(view.escrowed_wei.wei().saturating_sub(view.refunded_wei.wei()));
        let left = self.plan.spend_limit.map(|limit| Amount(limit.wei().saturating_sub(spent)));
        let next = failover::rent_instead(self.clients, &view, &wanted, left, self.sessions, &self.plan.data_dir).await?;
        let rental = rent::rental(self.clients, next).await?;
        (self.tell)(&WatchEvent::FailedOver { from: seen.rental, to: next });
        let launcher = Launcher { clients: self.clients, node: self.node, sessions: self.sessions };
        let ready = if rental.state == RentalState::Requested { launcher.launch(&rental, launch.clone(), &|_| ()).await? } else { rental };
        Ok(Seen::new(next, ready.end, spent, self.plan.renew_seconds.is_some()))
    }
}

/// Whether the rental is over, and whether that is its provider's doing. `None` while it runs or waits.
fn outcome(view: &RentalView, fault_number: u8, ended_by_renter: bool, now: u64) -> Option<Turn> {
    let reason = || close_reason(view.close_reason).unwrap_or("closed").to_string();
    match view.state {
        // Not ready, aborted, judged.
        RentalState::Completed | RentalState::Cancelled if matches!(view.close_reason, 2 | 5 | 6) && !ended_by_renter => {
            Some(Turn::Failed { reason: reason(), is_silent: view.close_reason == 2 })
        }
        RentalState::Completed | RentalState::Cancelled => Some(Turn::Over(reason())),
        RentalState::Active if matches!(fault_number, 2 | 3) => {
            Some(Turn::Failed { reason: fault(fault_number).unwrap_or("fault").into(), is_silent: false })
        }
        RentalState::Active if ended_by_renter || view.end <= now => {
            Some(Turn::Over("its time is over; the closing challenge decides the rest".into()))
        }
        _ => None,
    }
}

fn is_renewal_due(end: u64, now: u64, renew_seconds: u32) -> bool {
    let before = RENEW_BEFORE_SECONDS.min(u64::from(renew_seconds) / 2).max(1);
    now < end && end - now <= before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_bought_shortly_before_the_end_and_never_after_it() {
        assert!(!is_renewal_due(10_000, 9_399, 7_200));
        assert!(is_renewal_due(10_000, 9_400, 7_200) && is_renewal_due(10_000, 9_999, 7_200));
        assert!(!is_renewal_due(10_000, 10_000, 7_200));
        assert!(!is_renewal_due(10_000, 9_960, 60) && is_renewal_due(10_000, 9_970, 60), "half of a short one");
    }

    #[test]
    fn only_the_providers_failures_are_failures() {
        let view = RentalView::sample();
        let failed = |view: &RentalView, fault, renter| matches!(outcome(view, fault, renter, 500), Some(Turn::Failed { .. }));
        let over = |view: &RentalView, fault, renter, now| matches!(outcome(view, fault, renter, now), Some(Turn::Over(_)));
        assert!(outcome(&view, 0, false, 500).is_none());
        assert!(failed(&view, 2, false) && failed(&view, 3, false));
        assert!(over(&view, 0, true, 500) && over(&view, 0, false, 1_000));
        let closed = |close_reason| RentalView { state: RentalState::Completed, close_reason, ..RentalView::sample() };
        for reason in [2, 5, 6] {
            assert!(failed(&closed(reason), 0, false), "{reason}");
        }
        for reason in [1, 3, 4, 7] {
            assert!(over(&closed(reason), 0, false, 500), "{reason}");
        }
        let cancelled = RentalView { state: RentalState::Cancelled, close_reason: 2, ..view };
        assert!(matches!(outcome(&cancelled, 0, false, 500), Some(Turn::Failed { is_silent: true, .. })));
    }
}
