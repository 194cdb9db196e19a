//! The King sets that a chain has installed, as its events tell them.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256},
    sol_types::SolEvent,
};

use crate::{
    chain::LogEntry,
    rules::quorum::KingSet,
    types::{abi::KingSet as Contract, addresses::KingMember},
};

#[derive(Debug, Clone, Default)]
pub struct KingsView {
    sets: BTreeMap<u64, KingSet>,
}

impl KingsView {
    pub(super) fn apply(&mut self, log: &LogEntry) {
        match log.topics.first() {
            Some(topic) if *topic == Contract::KingSetInstalled::SIGNATURE_HASH => {
                let Some(event) = log.decode::<Contract::KingSetInstalled>() else { return };
                let members: Option<Vec<KingMember>> = event.members.iter().map(member).collect();
                if let Some(members) = members {
                    self.sets.insert(event.setEpoch, KingSet::new(event.setEpoch, members));
                }
            }
            Some(topic) if *topic == Contract::KingSetRecovered::SIGNATURE_HASH => {
                let Some(event) = log.decode::<Contract::KingSetRecovered>() else { return };
                // The set goes on under a new epoch.
                if let Some((_, set)) = self.sets.range(..event.setEpoch).next_back() {
                    let set = KingSet::new(event.setEpoch, set.members().to_vec());
                    self.sets.insert(event.setEpoch, set);
                }
            }
            _ => {}
        }
    }

    /// Sets of epochs after `epoch`, ascending.
    pub fn after(&self, epoch: u64) -> Vec<KingSet> {
        epoch.checked_add(1).map(|from| self.sets.range(from..).map(|(_, set)| set.clone()).collect()).unwrap_or_default()
    }
}

/// `address << 96 | weight`; a weight beyond what this build counts with is none of ours.
fn member(packed: &B256) -> Option<KingMember> {
    let weight = u128::from_be_bytes(packed[16..].try_into().ok()?) & ((1 << 96) - 1);
    Some(KingMember { address: Address::from_slice(&packed[..20]), weight: u64::try_from(weight).ok()? })
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Bytes;

    use super::*;

    fn log(event: &impl SolEvent) -> LogEntry {
        let data = event.encode_log_data();
        LogEntry {
            address: Address::ZERO,
            topics: data.topics().to_vec(),
            data: Bytes::from(data.data.to_vec()),
            block_number: 1,
            block_hash: B256::ZERO,
            tx_hash: B256::ZERO,
            log_index: 0,
        }
    }

    #[test]
    fn sets_follow_rotations_and_recoveries() {
        let mut view = KingsView::default();
        let set = KingSet::new(2, vec![KingMember { address: Address::repeat_byte(7), weight: 5 }]);
        let installed = Contract::KingSetInstalled {
            setEpoch: 2,
            setHash: set.hash(),
            members: set.packed(),
            totalWeight: Default::default(),
            expiresAt: 9,
        };
        view.apply(&log(&installed));
        assert_eq!(view.after(1), std::slice::from_ref(&set));
        let recovered = Contract::KingSetRecovered { setEpoch: 3, originChainId: 61, outbox: Address::ZERO, forkCount: 4 };
        view.apply(&log(&recovered));
        assert_eq!(view.after(2), [KingSet::new(3, set.members().to_vec())]);
        assert_eq!(view.after(3), []);
        let absurd = Contract::KingSetInstalled { setEpoch: 4, members: vec![B256::repeat_byte(0xff)], ..installed };
        view.apply(&log(&absurd));
        assert_eq!(view.after(3), [], "weights that this build cannot count");
    }
}
