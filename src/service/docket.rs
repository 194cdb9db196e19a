//! Evidence against Kings, kept from the moment it is seen: gossip comes once.

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{
    rules::tree::{DEPTH, MessageTree},
    store::{Store, StoreError, Table},
    types::wire::CheckpointSignature,
};

/// Reasons of KingCourt.
pub const EQUIVOCATION: u8 = 16;
pub const FALSE_CHECKPOINT: u8 = 17;

/// What a King is convicted of once: key, reason, origin, set epoch.
pub type Offence = (Address, (u8, (u64, u64)));

/// Evidence by offence. The first that was seen stays: one conviction takes the whole stake.
pub const EVIDENCE: Table<Offence, Evidence> = Table::new("king_evidence");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// Two roots for one number of messages.
    Conflict { first: CheckpointSignature, second: CheckpointSignature },
    /// Two roots that hold different messages at one index.
    Fork { first: CheckpointSignature, second: CheckpointSignature, index: u32, under_first: Opening, under_second: Opening },
    /// More messages than Ethereum's Outbox has.
    Beyond { signed: CheckpointSignature },
    /// A root that Ethereum's Outbox never had.
    FalseRoot { signed: CheckpointSignature },
}

/// A leaf with its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    pub leaf: B256,
    pub proof: Vec<B256>,
}

impl Opening {
    pub fn of(tree: &MessageTree, index: u32, count: u32) -> Option<Self> {
        Some(Self { leaf: tree.leaf(index)?, proof: tree.proof(index, count)?.to_vec() })
    }

    /// As the contract takes it; `None` for what was not made by [`Self::of`].
    pub fn siblings(&self) -> Option<[B256; DEPTH]> {
        self.proof.clone().try_into().ok()
    }
}

impl Evidence {
    pub fn offence(&self) -> Offence {
        let (signed, reason) = match self {
            Self::Conflict { first, .. } | Self::Fork { first, .. } => (first, EQUIVOCATION),
            Self::Beyond { signed } | Self::FalseRoot { signed } => (signed, FALSE_CHECKPOINT),
        };
        (signed.signer, (reason, (signed.checkpoint.origin_chain_id, signed.checkpoint.set_epoch)))
    }

    /// For logs and alerts.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "two roots for one count",
            Self::Fork { .. } => "two histories",
            Self::Beyond { .. } => "more messages than there are",
            Self::FalseRoot { .. } => "a root that never was",
        }
    }
}

/// Evidence that one King signed both the live branch and one that was dropped: the first message in which they differ.
pub fn fork(first: &CheckpointSignature, live: &MessageTree, second: &CheckpointSignature, dead: &MessageTree) -> Option<Evidence> {
    let (a, b) = (first.checkpoint.count, second.checkpoint.count);
    let index = (0..a.min(b)).find(|index| live.leaf(*index) != dead.leaf(*index))?;
    let (under_first, under_second) = (Opening::of(live, index, a)?, Opening::of(dead, index, b)?);
    Some(Evidence::Fork { first: *first, second: *second, index, under_first, under_second })
}

/// Cloneable; whoever sees an offence enters it here, the prosecutor brings it to court.
#[derive(Debug, Clone)]
pub struct Docket {
    store: Store,
}

impl Docket {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Keeps what is news; `true` if it was.
    pub fn take(&self, evidence: &Evidence) -> Result<bool, StoreError> {
        let recorded = self.store.put_if_absent(&EVIDENCE, &evidence.offence(), evidence.clone())?;
        Ok(matches!(recorded, crate::store::Recorded::New(_)))
    }

    /// Two checkpoints of one King for one count. Only different roots are an offence.
    pub fn take_conflict(&self, pair: &[CheckpointSignature; 2]) {
        let [first, second] = *pair;
        if first.checkpoint.root == second.checkpoint.root {
            return;
        }
        if let Err(error) = self.take(&Evidence::Conflict { first, second }) {
            tracing::error!(%error, king = %first.signer, "evidence against a King cannot be stored");
        }
    }

    pub fn all(&self) -> Result<Vec<(Offence, Evidence)>, StoreError> {
        self.store.scan(&EVIDENCE, None, usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B512;

    use super::*;
    use crate::{rules::tree::fold_proof, types::wire::CheckpointData};

    fn signed(tree: &MessageTree, count: u32) -> CheckpointSignature {
        let checkpoint = CheckpointData {
            origin_chain_id: 61,
            outbox: Address::ZERO,
            set_epoch: 1,
            root: tree.root_at(count).unwrap(),
            count,
            block_number: 1,
            block_hash: B256::ZERO,
            block_timestamp: 1,
        };
        CheckpointSignature { checkpoint, signer: Address::repeat_byte(1), signature: B512::ZERO }
    }

    #[test]
    fn a_fork_is_shown_at_its_first_different_message() {
        let (mut live, mut dead) = (MessageTree::default(), MessageTree::default());
        for leaf in 0..10u8 {
            live.push(B256::repeat_byte(leaf + 1));
            dead.push(B256::repeat_byte(if leaf < 3 { leaf + 1 } else { leaf + 100 }));
        }
        let Some(Evidence::Fork { first, second, index, under_first, under_second }) =
            fork(&signed(&live, 9), &live, &signed(&dead, 5), &dead)
        else {
            panic!("a fork")
        };
        assert_eq!(index, 3);
        assert_eq!(fold_proof(under_first.leaf, index, &under_first.siblings().unwrap()), first.checkpoint.root);
        assert_eq!(fold_proof(under_second.leaf, index, &under_second.siblings().unwrap()), second.checkpoint.root);
        assert_eq!(fork(&signed(&live, 9), &live, &signed(&dead, 3), &dead), None, "the shared part is no offence");
    }

    #[test]
    fn an_offence_is_entered_once_and_equal_roots_never() {
        let folder = tempfile::tempdir().unwrap();
        let docket = Docket::new(Store::open(folder.path(), &[EVIDENCE.name()]).unwrap());
        let mut tree = MessageTree::default();
        tree.push(B256::ZERO);
        let first = signed(&tree, 1);
        let mut second = first;
        second.checkpoint.block_number = 2;
        docket.take_conflict(&[first, second]);
        assert!(docket.all().unwrap().is_empty());
        second.checkpoint.root = B256::repeat_byte(9);
        docket.take_conflict(&[first, second]);
        second.checkpoint.root = B256::repeat_byte(8);
        docket.take_conflict(&[first, second]);
        assert_eq!(docket.all().unwrap().len(), 1);
    }
}
