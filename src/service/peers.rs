//! Asking other nodes by the account they act for.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, B512};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};

use super::{
    records::{Records, RecordsError},
    stake::ChainStakes,
};
use crate::{
    net::{Multiaddr, NetError, NetHandle, PeerId},
    rules::committee::is_measured,
    types::{
        Coded, Role,
        wire::{CheckpointSignature, MAX_CHECKPOINTS, Request, Response, StatementSignature},
    },
};

/// Time Queens have to hand out receipts before a commit that two thirds have signed goes without theirs.
const RECEIPTS_WITHIN: Duration = Duration::from_secs(4);

/// Time Kings have to hand out statements: one that is silent must not hold up the others'.
const STATEMENTS_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("account {account} answered {request} with something else")]
    Unexpected { account: Address, request: &'static str },
}

impl Coded for PeerError {
    fn code(&self) -> &'static str {
        match self {
            PeerError::Net(error) => error.code(),
            PeerError::Records(error) => error.code(),
            PeerError::Unexpected { .. } => "E-PEER-001",
        }
    }

    fn next_step(&self) -> String {
        match self {
            PeerError::Net(error) => error.next_step(),
            PeerError::Records(error) => error.next_step(),
            PeerError::Unexpected { .. } => "tell its operator: the node may run another version".into(),
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
    pub stakes: ChainStakes,
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

    /// Where the node of `account` is.
    pub async fn find(&self, account: Address) -> Result<(PeerId, Vec<Multiaddr>), PeerError> {
        Ok(self.records.reach(account).await?)
    }

    /// Receipts of the given Queens (index in the set, operator key), ascending by index. Slow Queens are left out once two thirds have
    /// answered, and before that only when it is `late`: a commit that fewer signed is measured by nobody.
    pub async fn receipts(&self, queens: &[(u16, Address)], request: Request, late: impl Future<Output = ()>) -> Vec<Receipt> {
        let mut asked: FuturesUnordered<_> =
            queens.iter().map(|(index, operator)| self.receipt(*index, *operator, request.clone())).collect();
        let mut receipts: Vec<Receipt> = Vec::new();
        let (soon, late) = (tokio::time::sleep(RECEIPTS_WITHIN), late);
        tokio::pin!(soon, late);
        let mut is_soon = true;
        loop {
            tokio::select! {
                answer = asked.next() => match answer {
                    Some(receipt) => receipts.extend(receipt),
                    None => break,
                },
                () = &mut soon, if is_soon => is_soon = false,
                () = &mut late, if !is_soon => break,
            }
            if !is_soon && is_measured(receipts.len(), queens.len()) {
                break;
            }
        }
        if receipts.len() < queens.len() {
            tracing::warn!(receipts = receipts.len(), queens = queens.len(), "not all Queens gave a receipt in time");
        }
        receipts.sort_unstable_by_key(|receipt| receipt.queen_index);
        receipts
    }

    async fn receipt(&self, index: u16, operator: Address, request: Request) -> Option<Receipt> {
        let account = self.stakes.account_of(operator).await?;
        match self.ask(account, request).await {
            Ok(Response::Receipt { queen_index, elapsed_ms, signature }) if queen_index == index => {
                Some(Receipt { queen_index, elapsed_ms, signature })
            }
            Ok(other) => {
                tracing::debug!(queen = index, answer = other.label(), "unexpected answer");
                None
            }
            Err(error) => {
                tracing::warn!(queen = index, code = error.code(), %error, "no receipt");
                None
            }
        }
    }

    /// Checkpoint signatures from every King that is known; from whoever is connected where none is.
    pub async fn checkpoints(&self, origin: u64, from_count: u32) -> Vec<CheckpointSignature> {
        let asked = self.kings_or_anybody().await.into_iter().map(|peer| async move {
            let request = Request::Checkpoints { origin_chain_id: origin, from_count, limit: MAX_CHECKPOINTS };
            match self.net.request(peer, &[], request).await {
                Ok(Response::Checkpoints(signatures)) => signatures,
                _ => Vec::new(),
            }
        });
        join_all(asked).await.concat()
    }

    /// Kings' signatures under rotations, recoveries and pauses; asked of whom [`Self::checkpoints`] asks.
    pub async fn statements(&self) -> Vec<StatementSignature> {
        let asked = self.kings_or_anybody().await.into_iter().map(|peer| async move {
            let asked = self.net.request(peer, &[], Request::Statements);
            match tokio::time::timeout(STATEMENTS_WITHIN, asked).await {
                Ok(Ok(Response::Statements(signatures))) => signatures,
                _ => Vec::new(),
            }
        });
        join_all(asked).await.concat()
    }

    async fn kings_or_anybody(&self) -> Vec<PeerId> {
        let kings: Vec<PeerId> = self.records.peers_of(Role::King).into_iter().map(|(peer, _)| peer).collect();
        if !kings.is_empty() {
            return kings;
        }
        self.net.connected_peers().await.unwrap_or_default().into_iter().map(|info| info.peer).collect()
    }
}
