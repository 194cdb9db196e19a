//! The sets of Kings by epoch. The chains hold only a set's hash, so members come from the address book and from announcements, and
//! count once a chain confirms their hash.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use alloy::primitives::{Address, B256};

use super::index::ChainIndex;
use crate::{
    chain::{BlockId, Chain, ChainError},
    rules::quorum::KingSet,
    types::abi::KingSet as Contract,
};

/// Epochs kept. Fewer forget a set whose signatures are still on the way; checkpoints of more would have expired.
const MAX_SETS: usize = 16;

/// Cloneable; all clones see the same sets.
#[derive(Clone)]
pub struct KingSets {
    sets: Arc<RwLock<BTreeMap<u64, Arc<KingSet>>>>,
}

impl KingSets {
    /// Starts with a set that was checked against both chains.
    pub fn new(first: KingSet) -> Self {
        Self { sets: Arc::new(RwLock::new(BTreeMap::from([(first.epoch, Arc::new(first))]))) }
    }

    pub fn get(&self, epoch: u64) -> Option<Arc<KingSet>> {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).get(&epoch).cloned()
    }

    pub fn newest(&self) -> Option<Arc<KingSet>> {
        self.sets.read().unwrap_or_else(PoisonError::into_inner).values().next_back().cloned()
    }

    /// Takes in what `chain` has installed since, as far as its contract confirms it. For whoever loses no more than gas by a lie.
    pub async fn follow(&self, chain: &Chain, index: &ChainIndex, contract: Address) -> Result<(), ChainError> {
        for set in self.unknown(index) {
            let hash = chain.call(contract, Contract::setHashCall { setEpoch: set.epoch }, BlockId::latest()).await?;
            self.install(set, hash);
        }
        Ok(())
    }

    /// The same for a King: a majority of the endpoints must confirm it at this block.
    pub async fn follow_agreed(&self, chain: &Chain, index: &ChainIndex, contract: Address, block: B256) -> Result<(), ChainError> {
        for set in self.unknown(index) {
            let hash = chain.agreed_call(contract, Contract::setHashCall { setEpoch: set.epoch }, block).await?;
            self.install(set, hash);
        }
        Ok(())
    }

    fn unknown(&self, index: &ChainIndex) -> Vec<KingSet> {
        let newest = self.newest().map_or(0, |set| set.epoch);
        index.views().kings.after(newest)
    }

    /// Takes a set in if it is the one whose hash the chain holds for its epoch; `false` if it is another.
    pub fn install(&self, set: KingSet, hash_on_chain: B256) -> bool {
        if hash_on_chain.is_zero() || set.hash() != hash_on_chain {
            return false;
        }
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        sets.insert(set.epoch, Arc::new(set));
        while sets.len() > MAX_SETS {
            sets.pop_first();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;
    use crate::types::addresses::KingMember;

    fn set(epoch: u64, seed: u8) -> KingSet {
        KingSet::new(epoch, vec![KingMember { address: Address::repeat_byte(seed), weight: 1 }])
    }

    #[test]
    fn only_a_set_that_the_chain_confirms_counts() {
        let sets = KingSets::new(set(1, 1));
        assert!(!sets.install(set(2, 2), B256::ZERO), "no such epoch on chain");
        assert!(!sets.install(set(2, 2), set(2, 3).hash()), "other members on chain");
        assert_eq!(sets.newest().unwrap().epoch, 1);
        assert!(sets.install(set(2, 2), set(2, 2).hash()));
        assert_eq!(sets.newest().unwrap().epoch, 2);
        assert!(sets.get(1).is_some(), "signatures of the old set are still on the way");
        for epoch in 3..40 {
            assert!(sets.install(set(epoch, 2), set(epoch, 2).hash()));
        }
        assert!(sets.get(1).is_none() && sets.get(39).is_some());
    }
}
