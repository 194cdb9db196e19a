//! The only module that touches the libp2p swarm.
//!
//! One event loop owns the swarm; everybody else holds a cloneable [`NetHandle`]. What peers send comes out of [`NetEvents`]: gossip with a
//! [`ValidationTicket`] (it is forwarded only once somebody vouches for it), requests with a [`Responder`]. Nothing here is unbounded:
//! a full inbox refuses requests and drops gossip.
//!
//! Layout: `config` what an operator chooses, `behaviour` the protocols, `event_loop` the owner of the swarm, `handle` its interface,
//! `gossip` and `request` the two message protocols, `streams` raw byte streams, `limits` what one peer may do, `redial` the nodes
//! that are called again for ever, `relaying` for whom traffic is carried, `acquaintance` what is known about connected peers, `listen`
//! whether a port is free.

mod acquaintance;
mod behaviour;
mod config;
mod error;
mod event_loop;
mod gossip;
mod handle;
mod limits;
mod listen;
mod redial;
mod relaying;
mod request;
mod streams;
mod swarm_events;

pub use config::{NetConfig, announced_addresses, parse_addresses, peer_in, with_peer};
pub use error::NetError;
pub use event_loop::{EventLoop, Network};
pub use gossip::{Published, ValidationTicket, Verdict};
pub use handle::{Addresses, NetEvent, NetEvents, NetHandle, PeerInfo, is_circuit};
pub use libp2p::{Multiaddr, PeerId};
pub use listen::check_listen;
pub use relaying::RelayGate;
pub use request::Responder;
pub use streams::{InboundStreams, NetStream};

/// Code of a refusal that means: not now, ask again later or somebody else.
pub const BUSY_CODE: &str = "E-NET-010";
/// Code of a refusal by a node that does not know what to answer.
pub const UNANSWERED_CODE: &str = "E-NET-015";
/// Code of a refusal of something that is no request.
pub const BAD_REQUEST_CODE: &str = "E-NET-017";

/// The peer id that belongs to an identity seed.
pub fn peer_id_of(identity_seed: &[u8; 32]) -> Result<PeerId, NetError> {
    let mut seed = *identity_seed;
    let identity =
        libp2p::identity::Keypair::ed25519_from_bytes(&mut seed).map_err(|error| NetError::Setup { reason: error.to_string() })?;
    Ok(identity.public().to_peer_id())
}
