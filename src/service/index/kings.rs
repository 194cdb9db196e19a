//! The King sets that a chain has installed, as its events tell them.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256},
    sol_types::SolEvent,
};

use crate::{
    chain::LogEntry,
    rules::quorum::KingSet,
    types::{abi::KingSet as Contract, addresses::KingMember, wire::Statement},
};

/// Nominations kept per epoch, newest last: only the newest can be installed, or the one that was.
const MAX_NOMINATIONS: usize = 8;

/// A set that Ethereum's contract has drawn from the stakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nomination {
    pub set: KingSet,
    pub nominated_at: u64,
    pub expires_at: u64,
}

impl Nomination {
    pub fn set_hash(&self) -> B256 {
        self.set.hash()
    }

    /// What Kings sign of it.
    pub fn rotation(&self, bridge: B256) -> Statement {
        Statement::Rotation {
            bridge,
            set_epoch: self.set.epoch,
            set_hash: self.set_hash(),
            nominated_at: self.nominated_at,
            expires_at: self.expires_at,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct KingsView {
    sets: BTreeMap<u64, KingSet>,
    nominations: BTreeMap<u64, Vec<Nomination>>,
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
            Some(topic) if *topic == Contract::KingSetNominated::SIGNATURE_HASH => {
                let Some(event) = log.decode::<Contract::KingSetNominated>() else { return };
                let members: Option<Vec<KingMember>> = event.members.iter().map(member).collect();
                if let Some(members) = members {
                    let set = KingSet::new(event.setEpoch, members);
                    let known = self.nominations.entry(event.setEpoch).or_default();
                    known.push(Nomination { set, nominated_at: event.nominatedAt, expires_at: event.expiresAt });
                    if known.len() > MAX_NOMINATIONS {
                        known.remove(0);
                    }
                }
            }
            _ => {}
        }
    }

    /// What was nominated for `epoch`, oldest first.
    pub fn nominations(&self, epoch: u64) -> Vec<Nomination> {
        self.nominations.get(&epoch).cloned().unwrap_or_default()
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
    use super::*;

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
        view.apply(&LogEntry::of(&installed));
        assert_eq!(view.after(1), std::slice::from_ref(&set));
        let recovered = Contract::KingSetRecovered { setEpoch: 3, originChainId: 61, outbox: Address::ZERO, forkCount: 4 };
        view.apply(&LogEntry::of(&recovered));
        assert_eq!(view.after(2), [KingSet::new(3, set.members().to_vec())]);
        assert_eq!(view.after(3), []);
        let nominated =
            Contract::KingSetNominated { setEpoch: 4, setHash: set.hash(), members: set.packed(), nominatedAt: 10, expiresAt: 20 };
        view.apply(&LogEntry::of(&nominated));
        view.apply(&LogEntry::of(&Contract::KingSetNominated { nominatedAt: 15, ..nominated }));
        let times: Vec<u64> = view.nominations(4).iter().map(|nomination| nomination.nominated_at).collect();
        assert_eq!(times, [10, 15]);
        assert_eq!(view.nominations(4)[0].set_hash(), set.hash());
        assert!(view.nominations(3).is_empty());
        let absurd = Contract::KingSetInstalled { setEpoch: 4, members: vec![B256::repeat_byte(0xff)], ..installed };
        view.apply(&LogEntry::of(&absurd));
        assert_eq!(view.after(3), [], "weights that this build cannot count");
    }
}
