//! Vectors of what Kings sign beside checkpoints: docs/protocol.md section 9.

use alloy::primitives::{Address, B256};
use serde::Serialize;

use super::{account, decimal, word};
use crate::types::signing::{self, bridge_digest};

/// The next King set, as the outgoing one signs it.
#[derive(Clone, Debug, Serialize)]
pub struct RotationVector {
    pub bridge: B256,
    #[serde(serialize_with = "decimal")]
    pub set_epoch: u64,
    pub set_hash: B256,
    #[serde(serialize_with = "decimal")]
    pub nominated_at: u64,
    #[serde(serialize_with = "decimal")]
    pub expires_at: u64,
    pub digest: B256,
}

/// A new epoch after a reorg of the origin.
#[derive(Clone, Debug, Serialize)]
pub struct RecoveryVector {
    #[serde(serialize_with = "decimal")]
    pub origin_chain_id: u64,
    pub outbox: Address,
    #[serde(serialize_with = "decimal")]
    pub set_epoch: u64,
    pub fork_count: u32,
    pub digest: B256,
}

/// A pause of one direction.
#[derive(Clone, Debug, Serialize)]
pub struct PauseVector {
    #[serde(serialize_with = "decimal")]
    pub origin_chain_id: u64,
    pub outbox: Address,
    #[serde(serialize_with = "decimal")]
    pub set_epoch: u64,
    #[serde(serialize_with = "decimal")]
    pub until: u64,
    pub digest: B256,
}

pub(super) fn rotations() -> Vec<RotationVector> {
    let vector = |(set_epoch, nominated_at, expires_at): (u64, u64, u64)| {
        let (bridge, set_hash) = (word("bridge"), word("king set"));
        let rotation =
            signing::KingSetRotation { bridge, setEpoch: set_epoch, setHash: set_hash, nominatedAt: nominated_at, expiresAt: expires_at };
        RotationVector { bridge, set_epoch, set_hash, nominated_at, expires_at, digest: bridge_digest(&rotation) }
    };
    [(2, 1_800_000_000, 1_831_536_000), (u64::MAX, u64::MAX, u64::MAX)].map(vector).into()
}

pub(super) fn recoveries() -> Vec<RecoveryVector> {
    let vector = |(origin_chain_id, set_epoch, fork_count): (u64, u64, u32)| {
        let outbox = account("Outbox");
        let recovery = signing::BridgeRecovery { originChainId: origin_chain_id, outbox, setEpoch: set_epoch, forkCount: fork_count };
        RecoveryVector { origin_chain_id, outbox, set_epoch, fork_count, digest: bridge_digest(&recovery) }
    };
    [(61, 2, 1_234), (61, 2, 0), (u64::MAX, u64::MAX, u32::MAX)].map(vector).into()
}

pub(super) fn pauses() -> Vec<PauseVector> {
    // The first has the numbers of the first recovery: another purpose is another digest.
    let vector = |(origin_chain_id, set_epoch, until): (u64, u64, u64)| {
        let outbox = account("Outbox");
        let pause = signing::BridgePause { originChainId: origin_chain_id, outbox, setEpoch: set_epoch, until };
        PauseVector { origin_chain_id, outbox, set_epoch, until, digest: bridge_digest(&pause) }
    };
    [(61, 2, 1_234), (1, 2, 1_800_000_000), (u64::MAX, u64::MAX, u64::MAX)].map(vector).into()
}
