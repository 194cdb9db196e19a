//! Who stands behind a peer: keeps node records, answers whether a peer may say what it says.
//!
//! A record counts once the account it names holds the stake of its role and the key that signed it is that account's operator. Without a
//! record a peer may ask and open streams, but nothing privileged of it is forwarded.
//!
//! Layout: `error`, `exchange` the service that announces this node and asks its peers who they are.

mod error;
mod exchange;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, B256},
    sol_types::Eip712Domain,
};
pub use error::RecordsError;
pub use exchange::{OwnNode, RecordsService};
use lru::LruCache;
use tokio::sync::{Semaphore, mpsc};

use crate::{
    net::{Multiaddr, NetHandle, PeerId, Verdict, parse_addresses},
    store::{Store, StoreError, Table},
    telemetry::Metrics,
    types::{
        Coded, Role,
        record::{CLOCK_SKEW_SECONDS, SignedNodeRecord},
        wire::{GossipMessage, Request, Response},
    },
};

/// The newest record of each account that held a stake when it came.
const RECORDS: Table<Address, SignedNodeRecord> = Table::new("records");
/// The number of this node's last record.
const SEQUENCE: Table<u8, u64> = Table::new("record_sequence");
/// Columns to declare when the database is opened.
pub const TABLES: [&str; 2] = [RECORDS.name(), SEQUENCE.name()];

/// Staked peers in memory. Fewer than the stakers online makes their messages wait for a fresh record.
const MAX_PEERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);
/// Claims without a stake that are remembered.
const MAX_REFUSED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// A stake is read again after this time. Longer lets a slashed node speak on, shorter asks the chain more often.
const STAKE_FRESH: Duration = Duration::from_secs(60);
/// A known stake counts this long while the chain cannot be read. Shorter silences the network in every outage of an endpoint.
const STAKE_GRACE: Duration = Duration::from_secs(600);
/// A claim without a stake is not looked up again in this time; a new staker waits as long.
const REFUSED_FRESH: Duration = Duration::from_secs(2);
/// Stakes being read at a time; beyond, records are dropped unread and come again.
const MAX_LOOKUPS: usize = 16;
/// Peers that may wait to be asked who they are.
const MAX_NEWCOMERS: usize = 256;
/// Records looked through for nodes to join by.
const MAX_RECALLED: usize = 4096;
/// Peers asked for the record of somebody else.
const MAX_ASKED: usize = 4;

/// What a record says that only the chain can confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StakeClaim {
    pub account: Address,
    /// Key that signed the record.
    pub operator: Address,
    /// `peerIdHash` of StakingManager, for accounts that fixed one.
    pub peer_id_hash: B256,
}

/// Reads stakes from the chain.
#[async_trait::async_trait]
pub trait StakeOracle: Send + Sync + 'static {
    /// The role whose stake `claim.account` holds, if `claim.operator` is its operator; `None` for everybody else.
    async fn stake_of(&self, claim: &StakeClaim) -> Result<Option<Role>, Box<dyn Coded>>;
}

/// A peer whose record was found good.
#[derive(Debug, Clone, Copy)]
struct Known {
    claim: StakeClaim,
    role: Role,
    expiry: u64,
    checked_at: Instant,
}

struct State {
    peers: LruCache<PeerId, Known>,
    refused: LruCache<StakeClaim, Instant>,
    own: Option<SignedNodeRecord>,
}

struct Shared {
    store: Store,
    domain: Eip712Domain,
    oracle: Box<dyn StakeOracle>,
    net: NetHandle,
    metrics: Metrics,
    lookups: Semaphore,
    newcomers: mpsc::Sender<PeerId>,
    state: Mutex<State>,
}

/// Cloneable knowledge about the nodes of the network.
#[derive(Clone)]
pub struct Records {
    shared: Arc<Shared>,
}

impl Records {
    /// `own` is `None` for nodes without a stake. `domain` is that of StakingManager.
    pub fn new(
        store: Store,
        domain: Eip712Domain,
        oracle: impl StakeOracle,
        net: NetHandle,
        metrics: Metrics,
        own: Option<OwnNode>,
    ) -> (Self, RecordsService) {
        let (newcomers, receiver) = mpsc::channel(MAX_NEWCOMERS);
        let state = State { peers: LruCache::new(MAX_PEERS), refused: LruCache::new(MAX_REFUSED), own: None };
        let shared = Shared {
            store,
            domain,
            oracle: Box::new(oracle),
            net,
            metrics,
            lookups: Semaphore::new(MAX_LOOKUPS),
            newcomers,
            state: Mutex::new(state),
        };
        let records = Self { shared: Arc::new(shared) };
        (records.clone(), RecordsService::new(records, receiver, own))
    }

    /// Whether a message that `source` wrote may be forwarded. The content of a checkpoint signature is for its reader to
    /// judge. May wait for the chain, so judge several messages at once.
    pub async fn judge(&self, source: PeerId, message: &GossipMessage) -> Verdict {
        match message {
            GossipMessage::Record(signed) => self.admit(signed, Some(source)).await,
            GossipMessage::Checkpoint(_) | GossipMessage::Statement(_) => self.require(source, Role::King).await,
            GossipMessage::Heartbeat(heartbeat) if heartbeat.timestamp.abs_diff(unix_seconds()) > CLOCK_SKEW_SECONDS => Verdict::Ignore,
            GossipMessage::Heartbeat(_) => self.require(source, Role::Provider).await,
        }
    }

    /// Answers [`Request::Record`].
    pub fn answer(&self, account: Option<Address>) -> Response {
        let found = match account {
            None => Ok(self.state().own.clone()),
            Some(account) => self.lookup(account),
        };
        match found {
            Ok(record) => Response::Record(record),
            Err(error) => Response::refused(error.code(), "the records of this node cannot be read"),
        }
    }

    /// A peer has connected: it is asked who it is. With a full queue the next round of the service does it.
    pub fn peer_connected(&self, peer: PeerId) {
        let _ = self.shared.newcomers.try_send(peer);
    }

    /// The live record of an account, as far as this node knows.
    pub fn lookup(&self, account: Address) -> Result<Option<SignedNodeRecord>, StoreError> {
        let found = self.shared.store.get(&RECORDS, &account)?;
        Ok(found.filter(|signed| signed.record.check_time(unix_seconds()).is_ok()))
    }

    /// The live record of an account; peers are asked where this node has none.
    pub async fn find(&self, account: Address) -> Result<SignedNodeRecord, RecordsError> {
        let stored = self.lookup(account)?;
        if let Some(signed) = &stored
            && !signed.record.addresses.is_empty()
        {
            return Ok(signed.clone());
        }
        let request = Request::Record { account: Some(account) };
        for info in self.shared.net.connected_peers().await?.into_iter().take(MAX_ASKED) {
            let answer = self.shared.net.request(info.peer, &[], request.clone()).await;
            if let Ok(Response::Record(Some(signed))) = answer
                && signed.record.account == account
                && self.admit(&signed, None).await == Verdict::Accept
            {
                return Ok(signed);
            }
        }
        stored.ok_or(RecordsError::Unknown { account })
    }

    /// Where an account's node can be called.
    pub async fn reach(&self, account: Address) -> Result<(PeerId, Vec<Multiaddr>), RecordsError> {
        let record = self.find(account).await?.record;
        let peer = PeerId::from_bytes(&record.peer_id).map_err(|_| RecordsError::Unknown { account })?;
        Ok((peer, parse_addresses(&record.addresses)?))
    }

    /// The role whose stake stands behind `peer`; `None` without a good record.
    pub async fn role_of(&self, peer: PeerId) -> Result<Option<Role>, RecordsError> {
        let Some(known) = self.known(peer) else { return Ok(None) };
        if known.checked_at.elapsed() < STAKE_FRESH {
            return Ok(Some(known.role));
        }
        match self.stake_of(&known.claim).await {
            Ok(Some(role)) => {
                self.state().peers.push(peer, Known { role, checked_at: Instant::now(), ..known });
                Ok(Some(role))
            }
            Ok(None) => {
                self.state().peers.pop(&peer);
                self.shared.net.relay_gate().dismiss(peer);
                Ok(None)
            }
            Err(_) if known.checked_at.elapsed() < STAKE_GRACE => Ok(Some(known.role)),
            Err(error) => Err(error),
        }
    }

    /// The account that stands behind `peer`.
    pub fn account_of(&self, peer: PeerId) -> Option<Address> {
        self.known(peer).map(|known| known.claim.account)
    }

    /// The account behind `peer` and its role, as last read; for showing, not for deciding.
    pub fn staked(&self, peer: PeerId) -> Option<(Address, Role)> {
        self.known(peer).map(|known| (known.claim.account, known.role))
    }

    /// Operator keys of nodes with a good record of `role`, this node's own among them.
    pub fn operators_of(&self, role: Role) -> BTreeSet<Address> {
        let now = unix_seconds();
        let state = self.state();
        let of_role = state.peers.iter().filter(|(_, known)| known.role == role && known.expiry > now);
        let own = state.own.as_ref().filter(|signed| signed.record.role == role as u8);
        let own = own.and_then(|signed| signed.operator(&self.shared.domain).ok());
        of_role.map(|(_, known)| known.claim.operator).chain(own).collect()
    }

    /// Peers with a good record of `role`, with their accounts.
    pub fn peers_of(&self, role: Role) -> Vec<(PeerId, Address)> {
        let now = unix_seconds();
        let state = self.state();
        let of_role = state.peers.iter().filter(|(_, known)| known.role == role && known.expiry > now);
        of_role.map(|(peer, known)| (*peer, known.claim.account)).collect()
    }

    /// Where the nodes in the database were last, Kings and Queens first: what a node that has restarted joins by, whatever has become of
    /// those it once joined by. Records that have expired count too: the connection proves who answers.
    fn last_places(&self) -> Result<Vec<(PeerId, Vec<Multiaddr>)>, RecordsError> {
        let mut stored = self.shared.store.scan(&RECORDS, None, MAX_RECALLED)?;
        stored.sort_by_key(|(_, signed)| (signed.record.role == Role::Provider as u8, std::cmp::Reverse(signed.record.expiry)));
        let places = stored.into_iter().filter_map(|(_, signed)| {
            let peer = PeerId::from_bytes(&signed.record.peer_id).ok()?;
            let addresses = parse_addresses(&signed.record.addresses).ok()?;
            (!addresses.is_empty() && peer != self.shared.net.local_peer_id()).then_some((peer, addresses))
        });
        Ok(places.collect())
    }

    fn known(&self, peer: PeerId) -> Option<Known> {
        self.state().peers.get(&peer).copied().filter(|known| known.expiry > unix_seconds())
    }

    async fn require(&self, source: PeerId, needed: Role) -> Verdict {
        match self.role_of(source).await {
            Ok(Some(role)) if role == needed => Verdict::Accept,
            Ok(Some(_)) => Verdict::Reject,
            // Its record may still be on the way; whoever forwarded this may have it already.
            Ok(None) => Verdict::Ignore,
            Err(error) => {
                tracing::debug!(peer = %source, code = error.code(), %error, "message dropped: stake unknown");
                Verdict::Ignore
            }
        }
    }

    /// Takes a record in if it is good. `author` is the peer that sent its own record; `None` where somebody else's was asked for.
    async fn admit(&self, signed: &SignedNodeRecord, author: Option<PeerId>) -> Verdict {
        let verdict = match self.check(signed, author) {
            Ok((peer, claim)) => self.admit_claim(signed, peer, claim).await,
            Err(verdict) => verdict,
        };
        self.shared.metrics.event("record", verdict.label());
        verdict
    }

    /// Everything that can be said without the chain.
    fn check(&self, signed: &SignedNodeRecord, author: Option<PeerId>) -> Result<(PeerId, StakeClaim), Verdict> {
        let record = &signed.record;
        record.check_shape().map_err(|_| Verdict::Reject)?;
        // Whoever forwards an old record may only have a slow clock.
        record.check_time(unix_seconds()).map_err(|_| Verdict::Ignore)?;
        let peer = PeerId::from_bytes(&record.peer_id).map_err(|_| Verdict::Reject)?;
        if author.is_some_and(|author| author != peer) || parse_addresses(&record.addresses).is_err() {
            return Err(Verdict::Reject);
        }
        let operator = signed.operator(&self.shared.domain).map_err(|_| Verdict::Reject)?;
        Ok((peer, StakeClaim { account: record.account, operator, peer_id_hash: record.peer_id_hash() }))
    }

    async fn admit_claim(&self, signed: &SignedNodeRecord, peer: PeerId, claim: StakeClaim) -> Verdict {
        let record = &signed.record;
        let stored = match self.lookup(record.account) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "records cannot be read");
                return Verdict::Ignore;
            }
        };
        if let Some(stored) = &stored {
            // A new operator starts its own numbering: an old, stolen key must not lock the account out with a huge number.
            let same_operator = stored.operator(&self.shared.domain) == Ok(claim.operator);
            let is_known = stored == signed && self.known(peer).is_some();
            let is_older = stored.record.sequence > record.sequence || (stored.record.sequence == record.sequence && stored != signed);
            if is_known || (same_operator && is_older) {
                return if is_known { Verdict::Accept } else { Verdict::Ignore };
            }
        }
        match self.stake_of(&claim).await {
            Ok(Some(role)) if role != Role::None && role as u8 == record.role => self.remember(signed, peer, claim, role, stored.as_ref()),
            Ok(Some(_)) => Verdict::Reject,
            // A fresh stake is seen by some nodes before others, so forwarding it is no offence.
            Ok(None) => Verdict::Ignore,
            Err(error) => {
                tracing::debug!(account = %claim.account, code = error.code(), %error, "record dropped: stake unknown");
                Verdict::Ignore
            }
        }
    }

    fn remember(
        &self,
        signed: &SignedNodeRecord,
        peer: PeerId,
        claim: StakeClaim,
        role: Role,
        replaced: Option<&SignedNodeRecord>,
    ) -> Verdict {
        if let Err(error) = self.shared.store.put(&RECORDS, &claim.account, signed) {
            tracing::warn!(code = error.code(), %error, "a record cannot be stored");
            return Verdict::Ignore;
        }
        let mut state = self.state();
        if let Some(former) = replaced.and_then(|replaced| PeerId::from_bytes(&replaced.record.peer_id).ok())
            && former != peer
        {
            state.peers.pop(&former);
            self.shared.net.relay_gate().dismiss(former);
        }
        state.peers.push(peer, Known { claim, role, expiry: signed.record.expiry, checked_at: Instant::now() });
        self.shared.net.relay_gate().admit(peer);
        tracing::debug!(%peer, account = %claim.account, ?role, "node is known");
        Verdict::Accept
    }

    async fn stake_of(&self, claim: &StakeClaim) -> Result<Option<Role>, RecordsError> {
        if self.state().refused.get(claim).is_some_and(|since| since.elapsed() < REFUSED_FRESH) {
            return Ok(None);
        }
        let Ok(_lookup) = self.shared.lookups.try_acquire() else {
            self.shared.metrics.event("record", "overload");
            return Ok(None);
        };
        let account = claim.account;
        let role = self.shared.oracle.stake_of(claim).await.map_err(|reason| RecordsError::Stake { account, reason })?;
        if role.is_none() {
            self.state().refused.push(*claim, Instant::now());
        }
        Ok(role)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
