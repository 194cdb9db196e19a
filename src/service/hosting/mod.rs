//! A provider's counter: brings up what renters want, says `ready` when they could log in, lets them in, closes with the rental.
//!
//! Layout: `admission` who is let in, `streams` what is served, `public` ports that renters publish, this file the loop that looks at chain and containers.

mod admission;
mod public;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use alloy::{primitives::Address, sol_types::SolCall};
pub use public::PublicPorts;
use tokio::{
    sync::{Mutex, Notify},
    task::JoinSet,
};

use super::{
    index::{ChainIndex, RentalInfo},
    sender::{Intent, SendError, Sender},
    tenants::Tenants,
};
use crate::{
    net::InboundStreams,
    rules::tenancy::Window,
    sandbox::{Sandbox, SshServer},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{Coded, DeviceId, RentalId, abi::GPURental},
};

/// Streams open at once, of all renters. More than some dozens per device are clients that leak connections.
const MAX_STREAMS: usize = 64;
/// Pause before a transaction that the chain refused is tried again, in blocks.
const RETRY_BLOCKS: u64 = 4;
/// Pause between two looks at containers where no block comes: a chain out of reach must not stop the clock.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub struct Host {
    pub ethereum: ChainIndex,
    pub chain_id: u64,
    pub contract: Address,
    pub account: Address,
    pub sender: Sender,
    pub sandbox: Sandbox,
    pub tenants: Tenants,
    pub ssh: SshServer,
    /// Scratch folders of running kernels.
    pub scratch_dir: PathBuf,
    pub public: PublicPorts,
    pub metrics: Metrics,
    /// One kernel at a time: the device belongs to one renter.
    pub running: Mutex<()>,
    /// Something is due before the next block.
    pub wake: Notify,
}

impl Host {
    fn rental(&self, id: RentalId) -> Option<RentalInfo> {
        self.ethereum.views().market.rentals.get(&id).copied().filter(|rental| rental.provider == self.account)
    }

    /// Rentals of our devices, as the chain has them.
    fn windows(&self) -> BTreeMap<RentalId, Window> {
        let views = self.ethereum.views();
        windows(views.market.rentals.iter().filter(|(_, rental)| rental.provider == self.account))
    }

    fn device(&self, id: RentalId) -> Option<DeviceId> {
        self.rental(id).map(|rental| rental.device)
    }

    async fn say_ready(&self, id: RentalId, attempt: u64) -> Result<(), SendError> {
        // Of several devices under one key, one may have been cancelled while the others wait.
        if self.rental(id).is_none_or(|rental| rental.is_closed || rental.start != 0) {
            return Ok(());
        }
        let call = GPURental::readyCall { rentalId: id };
        let mined = self.sender.submit(Intent::call(format!("ready:{id}:{attempt}"), "ready", self.contract, call.abi_encode())).await?;
        self.metrics.event("rental", "ready");
        tracing::info!(rental = id, tx = %mined.hash, gas = mined.gas_used, "rental is ready, the meter runs");
        Ok(())
    }
}

/// Rentals under one session key share the container of the first: that is how a renter gets several devices at once. The key is
/// random and named in one transaction, so only who rented them can have named it for all.
fn windows<'a>(rentals: impl Iterator<Item = (&'a RentalId, &'a RentalInfo)>) -> BTreeMap<RentalId, Window> {
    let mut leaders: BTreeMap<(Address, Address), RentalId> = BTreeMap::new();
    let mut windows: BTreeMap<RentalId, Window> = BTreeMap::new();
    for (id, rental) in rentals {
        let first = *leaders.entry((rental.renter, rental.session_key)).or_insert(*id);
        let leader = (first != *id).then_some(first);
        windows.insert(*id, Window { start: rental.start, end: rental.end, is_closed: rental.is_closed, leader });
        if let Some(shared) = leader.and_then(|leader| windows.get_mut(&leader)) {
            shared.end = shared.end.max(if rental.is_closed { 0 } else { rental.end });
            shared.is_closed &= rental.is_closed;
        }
    }
    windows
}

/// Keeps containers as the chain wants them, and accepts renters' streams.
pub struct HostingService {
    pub host: Arc<Host>,
    pub control: InboundStreams,
    pub shells: InboundStreams,
}

/// `ready` transactions on their way, and when each rental was last said to be ready.
#[derive(Default)]
struct Greetings {
    in_flight: JoinSet<RentalId>,
    said: BTreeMap<RentalId, u64>,
    unanswered: BTreeSet<RentalId>,
}

impl Greetings {
    /// One `ready` per device and rental at a time: a second one would only cost gas.
    fn greet(&mut self, host: &Arc<Host>, prepared: &[RentalId]) {
        while let Some(ended) = self.in_flight.try_join_next() {
            if let Ok(rental) = ended {
                self.unanswered.remove(&rental);
            }
        }
        let newest = host.ethereum.newest().number;
        self.said.retain(|rental, _| prepared.contains(rental) || self.unanswered.contains(rental));
        let mut busy: BTreeSet<_> = self.unanswered.iter().map(|rental| host.device(*rental)).collect();
        for rental in prepared.iter().copied() {
            let is_due = self.said.get(&rental).is_none_or(|block| block + RETRY_BLOCKS <= newest);
            if !is_due || !busy.insert(host.device(rental)) {
                continue;
            }
            self.said.insert(rental, newest);
            self.unanswered.insert(rental);
            let host = Arc::clone(host);
            self.in_flight.spawn(async move {
                if let Err(error) = host.say_ready(rental, newest).await {
                    tracing::warn!(rental, code = error.code(), %error, "cannot say ready");
                }
                rental
            });
        }
    }
}

#[async_trait::async_trait]
impl Service for HostingService {
    fn name(&self) -> &'static str {
        "hosting"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.host.ethereum.head();
        let (mut streams, mut steps) = (JoinSet::new(), JoinSet::new());
        let mut greetings = Greetings::default();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut doors = public::Doors::default();
        loop {
            let prepared = self.host.tenants.look(&self.host.windows(), &mut steps).await;
            greetings.greet(&self.host, &prepared);
            self.host.public.keep(&self.host.tenants, &mut doors).await;
            while streams.try_join_next().is_some() {}
            let has_room = streams.len() < MAX_STREAMS;
            tokio::select! {
                () = shutdown.intake.cancelled() => return Ok(()),
                changed = head.changed() => if changed.is_err() { return Ok(()) },
                _ = tick.tick() => {}
                () = self.host.wake.notified() => {}
                // A step that has ended may make the next one due.
                Some(_) = steps.join_next() => {}
                incoming = self.control.next(), if has_room => match incoming {
                    Some((peer, stream)) => { streams.spawn(Arc::clone(&self.host).serve_control(peer, stream)); }
                    None => return Ok(()),
                },
                incoming = self.shells.next(), if has_room => match incoming {
                    Some((peer, stream)) => { streams.spawn(Arc::clone(&self.host).serve_shell(peer, stream)); }
                    None => return Ok(()),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rental(key: u8, start: u64, end: u64, is_closed: bool) -> RentalInfo {
        RentalInfo {
            offer: 1,
            renter: Address::repeat_byte(1),
            provider: Address::repeat_byte(2),
            device: 1,
            session_key: Address::repeat_byte(key),
            start,
            end,
            is_opened: false,
            is_closed,
        }
    }

    #[test]
    fn rentals_under_one_key_share_the_first_ones_container_until_the_last_is_over() {
        let mut rentals = BTreeMap::from([(1, rental(7, 10, 100, false)), (2, rental(8, 10, 50, false)), (3, rental(7, 12, 200, false))]);
        let windows_of = |rentals: &BTreeMap<RentalId, RentalInfo>| windows(rentals.iter());
        let found = windows_of(&rentals);
        assert_eq!([found[&1].leader, found[&2].leader, found[&3].leader], [None, None, Some(1)]);
        assert_eq!((found[&1].start, found[&1].end, found[&3].end), (10, 200, 200));

        rentals.insert(1, rental(7, 10, 60, true));
        assert!(!windows_of(&rentals)[&1].is_closed, "the other device is still rented");
        rentals.insert(3, rental(7, 12, 200, true));
        let found = windows_of(&rentals);
        assert!(found[&1].is_closed && found[&1].end == 60);
        // The same key in another renter's name says nothing.
        rentals.insert(4, RentalInfo { renter: Address::repeat_byte(9), ..rental(7, 10, 300, false) });
        assert_eq!(windows_of(&rentals)[&4].leader, None);
    }
}
