//! Signatures of Kings under rotations, recoveries and pauses, collected until there are enough.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::Address;

use crate::{
    rules::quorum::QuorumSignatures,
    service::kings::KingSets,
    types::{
        AddressBook,
        signing::recover_compact,
        wire::{MAX_STATEMENTS, Statement, StatementSignature},
    },
};

/// Statements kept per King. Rotations and orders are rare; a King that floods only loses its own.
const MAX_PER_KING: usize = 8;

/// What became of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    New,
    Known,
    /// Of a set that this node has not seen installed yet: nobody is to blame.
    Unknown,
    /// Not by a King of its set, or for another bridge.
    Invalid,
}

#[derive(Default)]
struct Collected {
    by_statement: BTreeMap<Statement, BTreeMap<Address, [u8; 64]>>,
    by_king: BTreeMap<Address, VecDeque<Statement>>,
}

/// Cloneable collection.
#[derive(Clone)]
pub struct StatementBook {
    kings: KingSets,
    book: AddressBook,
    collected: Arc<Mutex<Collected>>,
}

impl StatementBook {
    pub fn new(kings: KingSets, book: AddressBook) -> Self {
        Self { kings, book, collected: Arc::default() }
    }

    pub fn kings(&self) -> &KingSets {
        &self.kings
    }

    /// Checks and keeps one signature.
    pub fn add(&self, signed: &StatementSignature) -> Heard {
        let StatementSignature { statement, signer, signature } = *signed;
        let epoch = statement.signing_epoch();
        let Some(set) = self.kings.get(epoch) else {
            let is_ahead = self.kings.newest().is_none_or(|newest| epoch > newest.epoch);
            return if is_ahead { Heard::Unknown } else { Heard::Invalid };
        };
        let is_valid = statement.is_about(&self.book)
            && set.contains(signer)
            && recover_compact(statement.digest(&self.book), signature.as_slice()) == Some(signer);
        if !is_valid {
            return Heard::Invalid;
        }
        let mut collected = self.lock();
        if collected.by_statement.entry(statement).or_default().insert(signer, signature.0).is_some() {
            return Heard::Known;
        }
        let own = collected.by_king.entry(signer).or_default();
        own.push_back(statement);
        let dropped = if own.len() > MAX_PER_KING { own.pop_front() } else { None };
        if let Some(dropped) = dropped
            && let Some(signatures) = collected.by_statement.get_mut(&dropped)
        {
            signatures.remove(&signer);
            if signatures.is_empty() {
                collected.by_statement.remove(&dropped);
            }
        }
        Heard::New
    }

    /// Statements that enough Kings have signed.
    pub fn ready(&self) -> Vec<(Statement, QuorumSignatures)> {
        let collected = self.lock();
        let mut ready = Vec::new();
        for (statement, signatures) in &collected.by_statement {
            let Some(set) = self.kings.get(statement.signing_epoch()) else { continue };
            let quorum = match statement {
                Statement::Withdrawals { .. } => set.assemble_third(signatures),
                _ => set.assemble(signatures),
            };
            ready.extend(quorum.map(|quorum| (*statement, quorum)));
        }
        ready
    }

    /// Who has signed what.
    pub fn heard(&self) -> Vec<(Statement, Vec<Address>)> {
        self.lock().by_statement.iter().map(|(statement, signatures)| (*statement, signatures.keys().copied().collect())).collect()
    }

    /// Everything, for whoever missed it.
    pub fn all(&self) -> Vec<StatementSignature> {
        let collected = self.lock();
        let signatures = collected.by_statement.iter().flat_map(|(statement, signatures)| {
            signatures.iter().map(|(signer, signature)| StatementSignature {
                statement: *statement,
                signer: *signer,
                signature: (*signature).into(),
            })
        });
        signatures.take(MAX_STATEMENTS).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::{B256, B512},
        signers::{SignerSync, local::PrivateKeySigner},
    };

    use super::*;
    use crate::{
        rules::quorum::KingSet,
        types::{addresses::KingMember, signing::compact},
    };

    fn world() -> (StatementBook, Vec<PrivateKeySigner>) {
        let keys: Vec<PrivateKeySigner> = (0..4).map(|_| PrivateKeySigner::random()).collect();
        let members = keys.iter().map(|key| KingMember { address: key.address(), weight: 1 }).collect();
        (StatementBook::new(KingSets::new(KingSet::new(1, members)), AddressBook::for_tests()), keys)
    }

    fn rotation(nominated_at: u64) -> Statement {
        Statement::Rotation { bridge: B256::ZERO, set_epoch: 2, set_hash: B256::repeat_byte(1), nominated_at, expires_at: 9 }
    }

    fn sign(book: &StatementBook, key: &PrivateKeySigner, statement: Statement) -> StatementSignature {
        let signature = key.sign_hash_sync(&statement.digest(&book.book)).unwrap();
        StatementSignature { statement, signer: key.address(), signature: B512::from(compact(&signature)) }
    }

    #[test]
    fn two_thirds_rotate_and_a_third_holds_withdrawals_back() {
        let (book, keys) = world();
        for key in &keys[..2] {
            assert_eq!(book.add(&sign(&book, key, rotation(7))), Heard::New);
        }
        assert_eq!(book.add(&sign(&book, &keys[0], rotation(7))), Heard::Known);
        assert!(book.ready().is_empty(), "half is no quorum");
        assert_eq!(book.add(&sign(&book, &keys[2], rotation(7))), Heard::New);
        assert_eq!(book.ready().len(), 1);
        let hold = Statement::Withdrawals { set_epoch: 1, until: 5 };
        for key in &keys[..2] {
            book.add(&sign(&book, key, hold));
        }
        assert!(book.ready().iter().any(|(statement, quorum)| *statement == hold && quorum.signers.len() == 2));
    }

    #[test]
    fn strangers_and_other_statements_are_refused_and_later_sets_are_nobodys_fault() {
        let (book, keys) = world();
        assert_eq!(book.add(&sign(&book, &PrivateKeySigner::random(), rotation(7))), Heard::Invalid);
        let swapped = StatementSignature { statement: rotation(8), ..sign(&book, &keys[0], rotation(7)) };
        assert_eq!(book.add(&swapped), Heard::Invalid);
        assert_eq!(book.add(&sign(&book, &keys[0], Statement::Withdrawals { set_epoch: 2, until: 5 })), Heard::Unknown);
        assert_eq!(book.add(&sign(&book, &keys[0], Statement::Withdrawals { set_epoch: 0, until: 5 })), Heard::Invalid);
        let foreign = Statement::Pause { origin_chain_id: 7, outbox: Address::ZERO, set_epoch: 1, until: 5 };
        assert_eq!(book.add(&sign(&book, &keys[0], foreign)), Heard::Invalid);
    }

    #[test]
    fn a_king_that_floods_displaces_only_itself() {
        let (book, keys) = world();
        for key in &keys[..3] {
            book.add(&sign(&book, key, rotation(1)));
        }
        for until in 0..3 * MAX_PER_KING as u64 {
            book.add(&sign(&book, &keys[3], Statement::Withdrawals { set_epoch: 1, until }));
        }
        assert_eq!(book.ready().len(), 1, "the rotation still has its quorum");
        assert_eq!(book.all().len(), 3 + MAX_PER_KING);
    }
}
