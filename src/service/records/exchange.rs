//! Announces this node and asks its peers who they are.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B512, Bytes},
    signers::Signer,
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lru::LruCache;
use tokio::sync::{mpsc, watch};

use super::{Records, RecordsError, SEQUENCE, unix_seconds};
use crate::{
    net::{Addresses, NetError, PeerId},
    task::{Fault, Service, Shutdown},
    types::{
        Role,
        record::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, NodeRecord, SignedNodeRecord},
        signing::compact,
        wire::{GossipMessage, Request, Response},
    },
};

/// Life of an own record. Shorter makes nodes vanish in an outage, longer lets a lost key speak on.
const LIFETIME_SECONDS: u64 = 3600;
/// A new record is announced this often, and whenever the addresses change.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(600);
/// A node that listens knows its addresses by then; a record without any makes others ask again.
const FIRST_ADDRESS_WAIT: Duration = Duration::from_secs(2);
/// Addresses change in bursts while a node starts.
const ADDRESSES_SETTLE: Duration = Duration::from_millis(300);
/// Peers whose turn it is to be asked are looked for this often.
const ROUND_EVERY: Duration = Duration::from_millis(500);
/// A peer without a good record is asked again after this time, which doubles: it may still be starting or waiting for its stake.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Longest time between two questions to a peer. Known peers are asked this often: a record may have been missed in gossip.
const ASK_AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// Peers being asked at a time.
const MAX_ASKING: usize = 16;
/// A node that nobody is connected to calls nodes it knew before this often.
const RECALL_EVERY: Duration = Duration::from_secs(5);
/// Nodes called then; the window moves on with every round.
const MAX_RECALLED: usize = 8;
const MAX_REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// Who this node is.
#[derive(Clone)]
pub struct OwnNode {
    pub account: Address,
    pub role: Role,
    /// The operator's key.
    pub signer: Arc<dyn Signer + Send + Sync>,
}

/// Keeps this node known to others, and others to this node.
pub struct RecordsService {
    records: Records,
    newcomers: mpsc::Receiver<PeerId>,
    own: Option<OwnNode>,
    /// When a peer may be asked again, and the pause after that.
    asked: LruCache<PeerId, (Instant, Duration)>,
    asking: FuturesUnordered<BoxFuture<'static, PeerId>>,
    being_asked: HashSet<PeerId>,
    calls: FuturesUnordered<BoxFuture<'static, ()>>,
    recalled: (Option<Instant>, usize),
}

impl RecordsService {
    pub(super) fn new(records: Records, newcomers: mpsc::Receiver<PeerId>, own: Option<OwnNode>) -> Self {
        Self {
            records,
            newcomers,
            own,
            asked: LruCache::new(MAX_REMEMBERED),
            asking: FuturesUnordered::new(),
            being_asked: HashSet::new(),
            calls: FuturesUnordered::new(),
            recalled: (None, 0),
        }
    }

    async fn serve(&mut self, shutdown: &Shutdown) -> Result<(), RecordsError> {
        let mut addresses = self.records.shared.net.addresses();
        let has_addresses = !addresses.borrow().advertised().is_empty();
        let first = tokio::time::Instant::now() + if has_addresses { Duration::ZERO } else { FIRST_ADDRESS_WAIT };
        let mut announce = tokio::time::interval_at(first, ANNOUNCE_EVERY);
        let mut round = tokio::time::interval(ROUND_EVERY);
        loop {
            tokio::select! {
                () = shutdown.intake.cancelled() => return Ok(()),
                _ = announce.tick() => self.announce(&mut addresses).await?,
                changed = addresses.changed() => {
                    changed.map_err(|_| NetError::Stopped)?;
                    if !shutdown.pause(ADDRESSES_SETTLE).await {
                        return Ok(());
                    }
                    self.announce(&mut addresses).await?;
                }
                Some(peer) = self.newcomers.recv() => {
                    // It may have restarted as somebody else.
                    self.asked.pop(&peer);
                    self.ask(peer);
                }
                _ = round.tick() => {
                    let connected = self.records.shared.net.connected_peers().await?;
                    for info in &connected {
                        self.ask(info.peer);
                    }
                    if connected.is_empty() {
                        self.recall()?;
                    }
                }
                Some(()) = self.calls.next(), if !self.calls.is_empty() => {}
                Some(peer) = self.asking.next(), if !self.asking.is_empty() => {
                    self.being_asked.remove(&peer);
                }
            }
        }
    }

    /// Signs a record of the present addresses and gossips it. Peers that connect later ask for it.
    async fn announce(&mut self, addresses: &mut watch::Receiver<Addresses>) -> Result<(), RecordsError> {
        let Some(own) = &self.own else { return Ok(()) };
        let shared = &self.records.shared;
        let texts: Vec<String> = addresses.borrow_and_update().advertised().iter().map(ToString::to_string).collect();
        let now = unix_seconds();
        // The number is on disk before the record is out; a lost database falls back on the clock.
        let sequence = shared.store.get(&SEQUENCE, &0)?.unwrap_or_default().saturating_add(1).max(now);
        shared.store.put(&SEQUENCE, &0, &sequence)?;
        let record = NodeRecord {
            account: own.account,
            role: own.role as u8,
            peer_id: Bytes::from(shared.net.local_peer_id().to_bytes()),
            addresses: texts.into_iter().filter(|text| text.len() <= MAX_ADDRESS_BYTES).take(MAX_ADDRESSES).collect(),
            sequence,
            expiry: now + LIFETIME_SECONDS,
        };
        let signature = own.signer.sign_hash(&record.digest(&shared.domain)).await.map_err(RecordsError::Sign)?;
        let signed = SignedNodeRecord { record, signature: B512::from(compact(&signature)) };
        self.records.state().own = Some(signed.clone());
        shared.net.publish(&GossipMessage::Record(signed)).await?;
        shared.metrics.event("record", "announced");
        Ok(())
    }

    /// Calls nodes that were known before, a few at a time, until somebody answers.
    fn recall(&mut self) -> Result<(), RecordsError> {
        let (last, skip) = self.recalled;
        if !self.calls.is_empty() || last.is_some_and(|last| last.elapsed() < RECALL_EVERY) {
            return Ok(());
        }
        let places = self.records.last_places()?;
        let skip = if skip < places.len() { skip } else { 0 };
        for (peer, addresses) in places.into_iter().skip(skip).take(MAX_RECALLED) {
            let net = self.records.shared.net.clone();
            self.calls.push(Box::pin(async move {
                if let Err(error) = net.connect(peer, &addresses).await {
                    tracing::debug!(%peer, %error, "a node of former days does not answer");
                }
            }));
        }
        self.recalled = (Some(Instant::now()), skip + MAX_RECALLED);
        Ok(())
    }

    fn ask(&mut self, peer: PeerId) {
        let now = Instant::now();
        let (due, pause) = self.asked.get(&peer).copied().unwrap_or((now, ASK_AGAIN));
        if now < due || self.being_asked.len() >= MAX_ASKING || !self.being_asked.insert(peer) {
            return;
        }
        let pause = if self.records.known(peer).is_some() { ASK_AGAIN_AT_MOST } else { pause };
        self.asked.push(peer, (now + pause, (pause * 2).min(ASK_AGAIN_AT_MOST)));
        let records = self.records.clone();
        self.asking.push(Box::pin(async move {
            let answer = records.shared.net.request(peer, &[], Request::Record { account: None }).await;
            if let Ok(Response::Record(Some(signed))) = answer {
                records.admit(&signed, Some(peer)).await;
            }
            peer
        }));
    }
}

#[async_trait::async_trait]
impl Service for RecordsService {
    fn name(&self) -> &'static str {
        "records"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        match self.serve(shutdown).await {
            // The network may stop a moment before this service hears of the shutdown.
            Err(RecordsError::Net(NetError::Stopped)) if shutdown.intake.is_cancelled() => Ok(()),
            outcome => outcome.map_err(Fault::recover),
        }
    }
}
