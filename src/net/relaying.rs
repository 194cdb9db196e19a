//! For whom this node carries traffic.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::PeerId;
use lru::LruCache;

/// Peers admitted at a time. Fewer than the staked nodes behind NAT, and some of them cannot be reached.
const MAX_ADMITTED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);

/// Peers that may reserve a place at this relay. Cheap to clone; all clones share one list.
///
/// A circuit costs its relay traffic for days. Who may be reached through one is therefore somebody with a stake; who calls through it
/// need not be: renters have none.
#[derive(Debug, Clone)]
pub struct RelayGate {
    admitted: Arc<Mutex<LruCache<PeerId, ()>>>,
}

impl Default for RelayGate {
    fn default() -> Self {
        Self { admitted: Arc::new(Mutex::new(LruCache::new(MAX_ADMITTED))) }
    }
}

impl RelayGate {
    pub fn admit(&self, peer: PeerId) {
        self.lock().push(peer, ());
    }

    /// Takes effect when the peer next renews its reservation.
    pub fn dismiss(&self, peer: PeerId) {
        self.lock().pop(&peer);
    }

    pub fn is_admitted(&self, peer: PeerId) -> bool {
        self.lock().get(&peer).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<PeerId, ()>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
