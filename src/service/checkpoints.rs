//! Signatures of Kings, collected until a checkpoint has a quorum.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::{Address, B256};

use super::{docket::Docket, kings::KingSets};
use crate::{
    rules::quorum::QuorumSignatures,
    types::{
        AddressBook, ChainKind,
        signing::{Checkpoint, recover_compact},
        wire::{CheckpointData, CheckpointSignature},
    },
};

/// Signatures kept per King and origin. Fewer forget ones that a slow King still has to join; a King that floods only loses its own.
const MAX_PER_KING: usize = 512;
/// Contradictions kept per King and origin: one is enough to slash it.
const MAX_EVIDENCE: usize = 1;

/// What became of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    New,
    Known,
    /// Not by a King of its set, or for another bridge.
    Invalid,
    /// Another contradiction of a King whose first one was told, or a signature for a set that this node has not seen installed yet.
    /// Whoever passes it on is not to blame.
    Ignored,
    /// The same King signed another checkpoint for this count in this set epoch. The first one stays.
    Contradiction(Box<[CheckpointSignature; 2]>),
}

/// A checkpoint with the signatures under it.
type Signed = (CheckpointData, BTreeMap<Address, [u8; 64]>);

#[derive(Default)]
struct Collected {
    /// Signatures by count and digest: Kings that disagree sign different digests.
    by_count: BTreeMap<(u32, B256), Signed>,
    /// What each King signed, by count and epoch: one digest each.
    by_king: BTreeMap<Address, BTreeMap<(u32, u64), B256>>,
    contradicted: BTreeMap<Address, usize>,
}

impl Collected {
    fn forget(&mut self, signer: Address, count: u32, digest: B256) {
        if let Some((_, signatures)) = self.by_count.get_mut(&(count, digest)) {
            signatures.remove(&signer);
            if signatures.is_empty() {
                self.by_count.remove(&(count, digest));
            }
        }
    }

    fn insert(&mut self, signed: &CheckpointSignature, digest: B256) -> Admission {
        let (data, signer) = (signed.checkpoint, signed.signer);
        let own = self.by_king.entry(signer).or_default();
        match own.get(&(data.count, data.set_epoch)).copied() {
            Some(known) if known == digest => return Admission::Known,
            Some(known) => return self.contradiction(signed, (data.count, known)),
            None => {}
        }
        own.insert((data.count, data.set_epoch), digest);
        let dropped = if own.len() > MAX_PER_KING { own.pop_first() } else { None };
        let entry = self.by_count.entry((data.count, digest)).or_insert_with(|| (data, BTreeMap::new()));
        entry.1.insert(signer, signed.signature.0);
        if let Some(((count, _), digest)) = dropped {
            self.forget(signer, count, digest);
        }
        Admission::New
    }

    fn contradiction(&mut self, second: &CheckpointSignature, first: (u32, B256)) -> Admission {
        let told = self.contradicted.entry(second.signer).or_default();
        let first = self.by_count.get(&first).and_then(|(data, signatures)| Some((*data, *signatures.get(&second.signer)?)));
        match first {
            Some((checkpoint, signature)) if *told < MAX_EVIDENCE => {
                *told += 1;
                let first = CheckpointSignature { checkpoint, signer: second.signer, signature: signature.into() };
                Admission::Contradiction(Box::new([first, *second]))
            }
            _ => Admission::Ignored,
        }
    }
}

/// Cloneable collection of the signatures of both directions.
#[derive(Clone)]
pub struct CheckpointBook {
    kings: KingSets,
    book: AddressBook,
    collected: Arc<Mutex<BTreeMap<u64, Collected>>>,
    docket: Option<Docket>,
}

impl CheckpointBook {
    pub fn new(kings: KingSets, book: AddressBook) -> Self {
        Self { kings, book, collected: Arc::default(), docket: None }
    }

    /// Contradictions are kept as evidence, wherever they come from.
    pub fn with_docket(self, docket: Docket) -> Self {
        Self { docket: Some(docket), ..self }
    }

    pub fn kings(&self) -> &KingSets {
        &self.kings
    }

    /// Checks and keeps one signature.
    pub fn add(&self, signed: &CheckpointSignature) -> Admission {
        let data = signed.checkpoint;
        let set = self.kings.get(data.set_epoch);
        if set.is_none() && self.is_ours(&data) && self.kings.newest().is_none_or(|newest| data.set_epoch > newest.epoch) {
            return Admission::Ignored;
        }
        if !self.is_ours(&data) || !set.is_some_and(|set| set.contains(signed.signer)) {
            return Admission::Invalid;
        }
        let digest = Checkpoint::from(data).digest();
        if recover_compact(digest, signed.signature.as_slice()) != Some(signed.signer) {
            return Admission::Invalid;
        }
        let admission = self.lock().entry(data.origin_chain_id).or_default().insert(signed, digest);
        if let (Admission::Contradiction(pair), Some(docket)) = (&admission, &self.docket) {
            docket.take_conflict(pair);
        }
        admission
    }

    fn is_ours(&self, data: &CheckpointData) -> bool {
        ChainKind::BOTH.iter().any(|chain| {
            data.origin_chain_id == self.book.chain_id(*chain) && data.outbox == self.book.bridge(*chain).outbox && data.count > 0
        })
    }

    /// The checkpoint of `origin` that has a quorum and covers more than `above` messages: of the newest set epoch, as older ones expire,
    /// and of that the highest.
    pub fn best(&self, origin: u64, above: u32) -> Option<(CheckpointData, QuorumSignatures)> {
        let all = self.lock();
        let mut best: Option<(CheckpointData, QuorumSignatures)> = None;
        for (data, signatures) in all.get(&origin)?.by_count.values().rev().take_while(|(data, _)| data.count > above) {
            if best.as_ref().is_some_and(|(found, _)| found.set_epoch >= data.set_epoch) {
                continue;
            }
            if let Some(quorum) = self.kings.get(data.set_epoch).and_then(|set| set.assemble(signatures)) {
                best = Some((*data, quorum));
            }
        }
        best
    }

    /// Signatures for counts from `from_count` on, lowest first.
    pub fn since(&self, origin: u64, from_count: u32, limit: usize) -> Vec<CheckpointSignature> {
        let all = self.lock();
        let Some(collected) = all.get(&origin) else { return Vec::new() };
        collected
            .by_count
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

    /// Every checkpoint of `origin` with its signatures.
    pub fn all(&self, origin: u64) -> Vec<(CheckpointData, Vec<CheckpointSignature>)> {
        let all = self.lock();
        let Some(collected) = all.get(&origin) else { return Vec::new() };
        let signed = |checkpoint: &CheckpointData, (signer, signature): (&Address, &[u8; 64])| CheckpointSignature {
            checkpoint: *checkpoint,
            signer: *signer,
            signature: (*signature).into(),
        };
        let checkpoints = collected.by_count.values();
        checkpoints.map(|(data, signatures)| (*data, signatures.iter().map(|entry| signed(data, entry)).collect())).collect()
    }

    /// Signers of the checkpoint of `origin` with `count` messages.
    pub fn signers(&self, origin: u64, count: u32) -> BTreeSet<Address> {
        let all = self.lock();
        let Some(collected) = all.get(&origin) else { return BTreeSet::new() };
        collected
            .by_count
            .range((count, B256::ZERO)..=(count, B256::repeat_byte(0xff)))
            .flat_map(|(_, (_, signatures))| signatures.keys().copied())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Collected>> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::B512,
        signers::{SignerSync, local::PrivateKeySigner},
    };

    use super::*;
    use crate::{
        rules::quorum::KingSet,
        types::{addresses::KingMember, signing::compact},
    };

    const OUTBOX: Address = Address::repeat_byte(0x0b);

    fn world(kings: usize) -> (CheckpointBook, Vec<PrivateKeySigner>) {
        let keys: Vec<PrivateKeySigner> = (0..kings).map(|_| PrivateKeySigner::random()).collect();
        let members: Vec<KingMember> = keys.iter().map(|key| KingMember { address: key.address(), weight: 1 }).collect();
        let mut book = AddressBook::for_tests();
        book.kings.members = members.clone();
        book.ethereum.bridge.outbox = OUTBOX;
        book.classic.bridge.outbox = OUTBOX;
        (CheckpointBook::new(KingSets::new(KingSet::new(1, members)), book), keys)
    }

    fn signed(key: &PrivateKeySigner, count: u32, root: u8) -> CheckpointSignature {
        let checkpoint = CheckpointData {
            origin_chain_id: 61,
            outbox: OUTBOX,
            set_epoch: 1,
            root: B256::repeat_byte(root),
            count,
            block_number: 7,
            block_hash: B256::repeat_byte(8),
            block_timestamp: 9,
        };
        let signature = key.sign_hash_sync(&Checkpoint::from(checkpoint).digest()).unwrap();
        CheckpointSignature { checkpoint, signer: key.address(), signature: B512::from(compact(&signature)) }
    }

    #[test]
    fn a_quorum_of_the_epochs_set_makes_a_checkpoint() {
        let (book, keys) = world(4);
        assert_eq!(book.add(&signed(&keys[0], 5, 1)), Admission::New);
        assert_eq!(book.add(&signed(&keys[0], 5, 1)), Admission::Known);
        assert_eq!(book.add(&signed(&keys[1], 5, 1)), Admission::New);
        assert_eq!(book.add(&signed(&keys[2], 5, 2)), Admission::New, "it disagrees");
        assert!(book.best(61, 0).is_none(), "2 of 4, and one that says something else");
        assert_eq!(book.add(&signed(&keys[3], 5, 1)), Admission::New);
        let (checkpoint, quorum) = book.best(61, 4).unwrap();
        assert_eq!((checkpoint.count, quorum.signers.len()), (5, 3));
        assert!(book.best(61, 5).is_none());
    }

    #[test]
    fn strangers_other_epochs_and_foreign_outboxes_are_refused() {
        let (book, keys) = world(4);
        assert_eq!(book.add(&signed(&PrivateKeySigner::random(), 5, 1)), Admission::Invalid);
        let mut forged = signed(&keys[0], 5, 1);
        forged.signer = keys[1].address();
        assert_eq!(book.add(&forged), Admission::Invalid);
        for change in [
            |data: &mut CheckpointData| data.set_epoch = 0,
            |data: &mut CheckpointData| data.outbox = Address::ZERO,
            |data: &mut CheckpointData| data.origin_chain_id = 62,
            |data: &mut CheckpointData| data.count = 0,
            |data: &mut CheckpointData| data.root = B256::ZERO,
        ] {
            let mut changed = signed(&keys[0], 5, 1);
            change(&mut changed.checkpoint);
            assert_eq!(book.add(&changed), Admission::Invalid);
        }
        let mut ahead = signed(&keys[0], 5, 1);
        ahead.checkpoint.set_epoch = 2;
        assert_eq!(book.add(&ahead), Admission::Ignored, "a set that is not known here yet is nobody's fault");
    }

    #[test]
    fn a_contradiction_is_evidence_once_and_counts_for_nothing() {
        let (book, keys) = world(4);
        book.add(&signed(&keys[0], 5, 1));
        let Admission::Contradiction(evidence) = book.add(&signed(&keys[0], 5, 2)) else { panic!("not noticed") };
        assert_eq!((evidence[0].checkpoint.root, evidence[1].checkpoint.root), (B256::repeat_byte(1), B256::repeat_byte(2)));
        assert_eq!(book.add(&signed(&keys[0], 5, 3)), Admission::Ignored, "told once");
        for key in &keys[1..3] {
            book.add(&signed(key, 5, 2));
        }
        assert!(book.best(61, 0).is_none(), "the second root has two signatures, not three");
        book.add(&signed(&keys[3], 5, 2));
        assert_eq!(book.best(61, 0).unwrap().0.root, B256::repeat_byte(2));
    }

    #[test]
    fn a_king_that_floods_displaces_nobody_else() {
        let (book, keys) = world(4);
        for key in &keys[..3] {
            book.add(&signed(key, 5, 1));
        }
        for count in 6..6 + 2 * MAX_PER_KING as u32 {
            book.add(&signed(&keys[3], count, 1));
        }
        assert_eq!(book.best(61, 0).unwrap().0.count, 5);
        assert_eq!(book.since(61, 0, usize::MAX).len(), MAX_PER_KING + 3);
    }
}
