//! What Kings sign beside checkpoints: who follows them, what is void, what waits.

use alloy::primitives::{Address, B256, B512};
use serde::{Deserialize, Serialize};

use super::super::{
    AddressBook, ChainKind,
    signing::{BridgePause, BridgeRecovery, KingSetRotation, Pause, bridge_digest, contract_domain},
};
use alloy::sol_types::SolStruct;

/// One statement; each kind has an EIP-712 type of its own, so none can pass for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Statement {
    /// The next King set.
    Rotation { bridge: B256, set_epoch: u64, set_hash: B256, nominated_at: u64, expires_at: u64 },
    /// The same set goes on as `set_epoch`; what was signed of an Outbox beyond `fork_count` is void.
    Recovery { origin_chain_id: u64, outbox: Address, set_epoch: u64, fork_count: u32 },
    /// Nothing of an Outbox is accepted or delivered before `until`.
    Pause { origin_chain_id: u64, outbox: Address, set_epoch: u64, until: u64 },
    /// Credits that reports created do not leave GPURental before `until`.
    Withdrawals { set_epoch: u64, until: u64 },
}

impl Statement {
    /// Short name for logs, metrics and ids of transactions.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Rotation { .. } => "rotation",
            Self::Recovery { .. } => "recovery",
            Self::Pause { .. } => "pause",
            Self::Withdrawals { .. } => "withdrawals",
        }
    }

    /// Epoch of the set whose Kings must have signed.
    pub fn signing_epoch(&self) -> u64 {
        match *self {
            Self::Rotation { set_epoch, .. } | Self::Recovery { set_epoch, .. } => set_epoch.saturating_sub(1),
            Self::Pause { set_epoch, .. } | Self::Withdrawals { set_epoch, .. } => set_epoch,
        }
    }

    /// What a King's key signs.
    pub fn digest(&self, book: &AddressBook) -> B256 {
        match *self {
            Self::Rotation { bridge, set_epoch, set_hash, nominated_at, expires_at } => bridge_digest(&KingSetRotation {
                bridge,
                setEpoch: set_epoch,
                setHash: set_hash,
                nominatedAt: nominated_at,
                expiresAt: expires_at,
            }),
            Self::Recovery { origin_chain_id, outbox, set_epoch, fork_count } => {
                bridge_digest(&BridgeRecovery { originChainId: origin_chain_id, outbox, setEpoch: set_epoch, forkCount: fork_count })
            }
            Self::Pause { origin_chain_id, outbox, set_epoch, until } => {
                bridge_digest(&BridgePause { originChainId: origin_chain_id, outbox, setEpoch: set_epoch, until })
            }
            Self::Withdrawals { set_epoch, until } => {
                let domain = contract_domain(book.ethereum.chain_id, book.ethereum.rental_court);
                Pause { setEpoch: set_epoch, until }.eip712_signing_hash(&domain)
            }
        }
    }

    /// Whether it is about the bridge of `book`. A rotation names the bridge by a hash that only the contracts compute.
    pub fn is_about(&self, book: &AddressBook) -> bool {
        match *self {
            Self::Rotation { .. } | Self::Withdrawals { .. } => true,
            Self::Recovery { origin_chain_id, outbox, .. } | Self::Pause { origin_chain_id, outbox, .. } => {
                ChainKind::BOTH.iter().any(|kind| origin_chain_id == book.chain_id(*kind) && outbox == book.bridge(*kind).outbox)
            }
        }
    }
}

/// One King's signature under a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatementSignature {
    pub statement: Statement,
    /// Who claims to have signed; the signature decides.
    pub signer: Address,
    /// EIP-2098 compact.
    pub signature: B512,
}
