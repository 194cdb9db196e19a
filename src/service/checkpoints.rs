//! Signatures of Kings, collected until a checkpoint has a quorum.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::{Address, B256};

use crate::{
    rules::quorum::{KingSet, QuorumSignatures},
    types::{
        AddressBook, ChainKind,
        signing::{Checkpoint, recover_compact},
        wire::{CheckpointData, CheckpointSignature},
    },
};

/// Checkpoints kept per origin. Fewer forget ones that a slow King still has to sign; more only cost memory.
const MAX_CHECKPOINTS: usize = 512;

/// What became of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    New,
    Known,
    /// Not by a King of this set, or for another bridge.
    Invalid,
}

/// A checkpoint with the signatures under it.
type Signed = (CheckpointData, BTreeMap<Address, [u8; 64]>);

#[derive(Default)]
struct Collected {
    /// Signatures by count and digest: Kings that disagree sign different digests.
    signatures: BTreeMap<(u32, B256), Signed>,
}

/// Cloneable collection of the signatures of both directions.
#[derive(Clone)]
pub struct CheckpointBook {
    kings: Arc<KingSet>,
    book: AddressBook,
    collected: Arc<Mutex<BTreeMap<u64, Collected>>>,
}

impl CheckpointBook {
    pub fn new(kings: KingSet, book: AddressBook) -> Self {
        Self { kings: Arc::new(kings), book, collected: Arc::default() }
    }

    pub fn kings(&self) -> &KingSet {
        &self.kings
    }

    /// Checks and keeps one signature.
    pub fn add(&self, signed: &CheckpointSignature) -> Admission {
        let data = signed.checkpoint;
        if !self.is_ours(&data) || !self.kings.contains(signed.signer) || data.set_epoch != self.kings.epoch {
            return Admission::Invalid;
        }
        let digest = Checkpoint::from(data).digest();
        if recover_compact(digest, signed.signature.as_slice()) != Some(signed.signer) {
            return Admission::Invalid;
        }
        let mut all = self.lock();
        let collected = all.entry(data.origin_chain_id).or_default();
        let entry = collected.signatures.entry((data.count, digest)).or_insert_with(|| (data, BTreeMap::new()));
        let is_new = entry.1.insert(signed.signer, signed.signature.0).is_none();
        while collected.signatures.len() > MAX_CHECKPOINTS {
            collected.signatures.pop_first();
        }
        if is_new { Admission::New } else { Admission::Known }
    }

    fn is_ours(&self, data: &CheckpointData) -> bool {
        ChainKind::BOTH.iter().any(|chain| {
            data.origin_chain_id == self.book.chain_id(*chain) && data.outbox == self.book.bridge(*chain).outbox && data.count > 0
        })
    }

    /// The highest checkpoint of `origin` that has a quorum and covers more than `above` messages.
    pub fn best(&self, origin: u64, above: u32) -> Option<(CheckpointData, QuorumSignatures)> {
        let all = self.lock();
        let newest_first = all.get(&origin)?.signatures.values().rev();
        newest_first
            .take_while(|(data, _)| data.count > above)
            .find_map(|(data, signatures)| self.kings.assemble(signatures).map(|quorum| (*data, quorum)))
    }

    /// Signatures for counts from `from_count` on, lowest first.
    pub fn since(&self, origin: u64, from_count: u32, limit: usize) -> Vec<CheckpointSignature> {
        let all = self.lock();
        let Some(collected) = all.get(&origin) else { return Vec::new() };
        collected
            .signatures
            .range((from_count, B256::ZERO)..)
            .flat_map(|(_, (checkpoint, signatures))| {
                signatures.iter().map(|(signer, signature)| CheckpointSignature {
                    checkpoint: *checkpoint,
                    signer: *signer,
                    signature: (*signature).into(),
                })
            })
            .take(limit)
            .collect()
    }

    /// Signers of the checkpoint of `origin` with `count` messages.
    pub fn signers(&self, origin: u64, count: u32) -> BTreeSet<Address> {
        let all = self.lock();
        let Some(collected) = all.get(&origin) else { return BTreeSet::new() };
        collected
            .signatures
            .range((count, B256::ZERO)..=(count, B256::repeat_byte(0xff)))
            .flat_map(|(_, (_, signatures))| signatures.keys().copied())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Collected>> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
