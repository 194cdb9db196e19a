//! Asking other nodes by the account they act for.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, B512};
use futures::future::join_all;

use super::records::Records;
use crate::{
    net::{Multiaddr, NetError, NetHandle, PeerId},
    types::{
        Coded, DeviceId, Role,
        record::NodeRecord,
        wire::{CheckpointSignature, MAX_CHECKPOINTS, Request, Response},
    },
};

/// Time Queens have to hand out receipts before a commit goes without theirs.
const RECEIPTS_WITHIN: Duration = Duration::from_secs(4);

#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("no record of account {account}")]
    NoRecord { account: Address },
    #[error("the record of account {account} names an unusable peer id")]
    BadRecord { account: Address },
    #[error("account {account} answered {request} with something else")]
    Unexpected { account: Address, request: &'static str },
}

impl Coded for PeerError {
    fn code(&self) -> &'static str {
        match self {
            PeerError::Net(error) => error.code(),
            PeerError::NoRecord { .. } => "E-PEER-001",
            PeerError::BadRecord { .. } => "E-PEER-002",
            PeerError::Unexpected { .. } => "E-PEER-003",
        }
    }

    fn next_step(&self) -> String {
        match self {
            PeerError::Net(error) => error.next_step(),
            PeerError::NoRecord { .. } => "wait for its record, or check network.bootstrap".into(),
            PeerError::BadRecord { .. } | PeerError::Unexpected { .. } => "tell its operator: the node may run another version".into(),
        }
    }
}

/// A Queen's signature as the contract wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub queen_index: u16,
    pub elapsed_ms: u32,
    pub signature: B512,
}

/// Network and records together. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    pub net: NetHandle,
    pub records: Records,
}

impl Peers {
    /// Asks the node of `account`.
    pub async fn ask(&self, account: Address, request: Request) -> Result<Response, PeerError> {
        let (peer, addresses) = self.find(account).await?;
        Ok(self.net.request(peer, &addresses, request).await?)
    }

    /// Time of one question and answer, connection set-up not counted.
    pub async fn round_trip(&self, account: Address) -> Result<Duration, PeerError> {
        let (peer, addresses) = self.find(account).await?;
        self.net.connect(peer, &addresses).await?;
        let started = Instant::now();
        match self.net.request(peer, &addresses, Request::Ping).await? {
            Response::Pong => Ok(started.elapsed()),
            _ => Err(PeerError::Unexpected { account, request: "ping" }),
        }
    }

    /// Where the node of `account` is: from the records seen, or from whoever is connected.
    pub async fn find(&self, account: Address) -> Result<(PeerId, Vec<Multiaddr>), PeerError> {
        if let Some(signed) = self.records.lookup(account) {
            return contact(&signed.record).ok_or(PeerError::BadRecord { account });
        }
        for peer in self.net.connected_peers().await? {
            let answer = self.net.request(peer.peer, &[], Request::Record { account: Some(account) }).await;
            if let Ok(Response::Record(Some(signed))) = answer
                && let Some(found) = self.records.learn(signed, account).await.as_ref().and_then(contact)
            {
                return Ok(found);
            }
        }
        Err(PeerError::NoRecord { account })
    }

    /// Receipts of the given Queens (index in the set, operator key), ascending by index; those that do not answer in time are left out.
    pub async fn receipts(&self, queens: &[(u16, Address)], block: u64, device: DeviceId, block_hash: B256, root: B256) -> Vec<Receipt> {
        let asked = queens.iter().map(|(index, operator)| async move {
            let account = self.records.account_of(*operator)?;
            let request = Request::Receipt { challenge_block: block, device_id: device, block_hash, root };
            match tokio::time::timeout(RECEIPTS_WITHIN, self.ask(account, request)).await {
                Ok(Ok(Response::Receipt { queen_index, elapsed_ms, signature })) if queen_index == *index => {
                    Some(Receipt { queen_index, elapsed_ms, signature })
                }
                Ok(Ok(other)) => {
                    tracing::debug!(queen = index, answer = other.label(), "unexpected answer");
                    None
                }
                Ok(Err(error)) => {
                    tracing::warn!(queen = index, code = error.code(), %error, "no receipt");
                    None
                }
                Err(_) => {
                    tracing::warn!(queen = index, "no receipt in time");
                    None
                }
            }
        });
        let mut receipts: Vec<Receipt> = join_all(asked).await.into_iter().flatten().collect();
        receipts.sort_unstable_by_key(|receipt| receipt.queen_index);
        receipts
    }

    /// Checkpoint signatures from every connected node of `role`, and from nodes whose role is not known yet.
    pub async fn checkpoints(&self, role: Role, origin: u64, from_count: u32) -> Vec<CheckpointSignature> {
        let Ok(connected) = self.net.connected_peers().await else { return Vec::new() };
        let asked = connected.into_iter().filter(|peer| self.records.role_of(peer.peer).is_none_or(|known| known == role)).map(|peer| async move {
            let request = Request::Checkpoints { origin_chain_id: origin, from_count, limit: MAX_CHECKPOINTS };
            match self.net.request(peer.peer, &[], request).await {
                Ok(Response::Checkpoints(signatures)) => signatures,
                _ => Vec::new(),
            }
        });
        join_all(asked).await.concat()
    }
}

/// Peer id and addresses of a record; addresses that this build cannot read are passed over.
fn contact(record: &NodeRecord) -> Option<(PeerId, Vec<Multiaddr>)> {
    let peer = PeerId::from_bytes(&record.peer_id).ok()?;
    Some((peer, record.addresses.iter().filter_map(|address| address.parse().ok()).collect()))
}
