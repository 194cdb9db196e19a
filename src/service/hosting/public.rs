//! Ports of containers that renters publish, on ports that the provider has set aside for that.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::{config::ContainersSection, service::tenants::Tenants, types::RentalId};

/// Connections to one published port at a time; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;
/// A connection without a byte in either direction for this long gives its place to another.
const IDLE: Duration = Duration::from_secs(120);
const PIECE_BYTES: usize = 32 * 1024;

/// The provider's policy, and what is open.
#[derive(Debug)]
pub struct PublicPorts {
    policy: Option<Policy>,
    open: Mutex<BTreeMap<RentalId, u16>>,
}

#[derive(Debug)]
struct Policy {
    first: u16,
    last: u16,
    listen: IpAddr,
    host: String,
}

/// Listening tasks; dropping one closes its port and its connections.
#[derive(Default)]
pub(super) struct Doors(BTreeMap<RentalId, JoinSet<()>>);

impl PublicPorts {
    pub fn new(section: &ContainersSection) -> Self {
        let policy = section.public_ports.zip(section.public_host.clone());
        let policy = policy.map(|([first, last], host)| Policy { first, last, listen: section.public_listen, host });
        Self { policy, open: Mutex::default() }
    }

    /// Whether this provider publishes ports at all.
    pub(super) fn is_allowed(&self) -> bool {
        self.policy.is_some()
    }

    /// Where a rental's published port is reached from outside.
    pub fn address(&self, rental: RentalId) -> Option<String> {
        let port = *self.open().get(&rental)?;
        self.policy.as_ref().map(|policy| format!("{}:{port}", policy.host))
    }

    /// Opens what running rentals publish, closes what is over.
    pub(super) async fn keep(&self, tenants: &Tenants, doors: &mut Doors) {
        let Some(policy) = &self.policy else { return };
        let wanted = tenants.published();
        doors.0.retain(|rental, _| wanted.contains_key(rental));
        self.open().retain(|rental, _| wanted.contains_key(rental));
        for (rental, port) in wanted {
            if doors.0.contains_key(&rental) {
                continue;
            }
            let Some((listener, public)) = self.bind(policy, rental).await else { continue };
            tracing::info!(rental, port, public, "a port is published");
            self.open().insert(rental, public);
            let mut door = JoinSet::new();
            door.spawn(serve(listener, tenants.clone(), rental, port));
            doors.0.insert(rental, door);
        }
    }

    /// The same port after a restart, where it is still free.
    async fn bind(&self, policy: &Policy, rental: RentalId) -> Option<(TcpListener, u16)> {
        let count = u64::from(policy.last - policy.first) + 1;
        for step in 0..count {
            let port = policy.first + u16::try_from((rental + step) % count).unwrap_or_default();
            if self.open().values().any(|taken| *taken == port) {
                continue;
            }
            if let Ok(listener) = TcpListener::bind(SocketAddr::new(policy.listen, port)).await {
                return Some((listener, port));
            }
        }
        tracing::warn!(rental, "no public port is free: the renter's port is not published");
        None
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<RentalId, u16>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, tenants: Tenants, rental: RentalId, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(pass(stream, tenants.clone(), rental, port));
            }
        }
    }
}

/// Passes bytes both ways. Where nothing listens inside, the connection is closed without a word.
async fn pass(outside: TcpStream, tenants: Tenants, rental: RentalId, port: u16) {
    let Ok(tenure) = tenants.tenure(rental) else { return };
    let Ok(inside) = tenure.agent.connect(port).await else { return };
    let (from_outside, to_outside) = tokio::io::split(outside);
    let (from_inside, to_inside) = tokio::io::split(inside);
    let both = async { tokio::join!(copy(from_outside, to_inside), copy(from_inside, to_outside)) };
    let (sent, received) = both.await;
    tracing::debug!(rental, ?sent, ?received, "a connection to a published port has ended");
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = timeout(IDLE, from.read(&mut piece)).await??;
        if length == 0 {
            return to.shutdown().await;
        }
        timeout(IDLE, to.write_all(&piece[..length])).await??;
    }
}
