//! The Kings' set: the one of the deployment file, or one that follows from it by rotations and recoveries that the contract has let through.

use alloy::{
    primitives::{B256, keccak256},
    sol_types::SolEvent,
};

use super::{AddressBook, DeployConfig, DeployError, Difference, KingSet, View};
use crate::{
    chain::{BlockId, LogEntry, LogQuery},
    types::addresses::BridgeAddresses,
};

/// How the set has come about, from the contract's events.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lineage {
    epoch: u64,
    hash: B256,
    rotations: usize,
    recoveries: usize,
}

impl View<'_> {
    pub(super) async fn king_set(&self, config: &DeployConfig, book: &AddressBook, bridge: &BridgeAddresses) -> Result<(), DeployError> {
        let (first, hash) = (config.kings.set_epoch, keccak256(config.king_members().concat()));
        let Some(epoch) = self.ask("KingSet.currentEpoch", bridge.king_set, KingSet::currentEpochCall {}).await? else { return Ok(()) };
        let lineage =
            if epoch == first { Lineage { epoch, hash, ..Lineage::default() } } else { self.lineage(book, bridge, first).await? };
        self.check("KingSet.currentEpoch", epoch, lineage.epoch);
        self.equal("KingSet.setHash", bridge.king_set, KingSet::setHashCall { setEpoch: first }, hash).await?;
        self.equal("KingSet.setHash of the current epoch", bridge.king_set, KingSet::setHashCall { setEpoch: epoch }, lineage.hash).await?;
        if epoch != first {
            self.note(format!(
                "the Kings' set of {} has moved from epoch {first} to {epoch} by {} rotations and {} recoveries, each signed by a quorum of the set before it",
                self.chain.kind(),
                lineage.rotations,
                lineage.recoveries
            ));
        }
        if let Some(expiry) = self.ask("KingSet.expiresAt", bridge.king_set, KingSet::expiresAtCall { setEpoch: epoch }).await? {
            let now = self.chain.head().await.map_err(|source| DeployError::chain("head", source))?.timestamp;
            self.record(expiry > now, || Difference {
                what: format!("expiry of the Kings' set of epoch {epoch}"),
                found: expiry.to_string(),
                expected: format!("later than the newest block's {now}"),
            });
        }
        Ok(())
    }

    /// Every set since the deployment. The contract's code was compared, so what it has installed a quorum has signed; what is checked here
    /// is that the events lead from the file's set to the present one without a gap.
    async fn lineage(&self, book: &AddressBook, bridge: &BridgeAddresses, first: u64) -> Result<Lineage, DeployError> {
        let failed = |source| DeployError::chain("sets of Kings", source);
        let topics = vec![vec![KingSet::KingSetInstalled::SIGNATURE_HASH, KingSet::KingSetRecovered::SIGNATURE_HASH]];
        let to = self.chain.head().await.map_err(failed)?.number;
        let from = book.start_block(self.chain.kind());
        let mut query = LogQuery { addresses: vec![bridge.king_set], topics, from, to };
        let mut logs = Vec::new();
        while query.from <= to {
            let batch = self.chain.logs(&query).await.map_err(failed)?;
            logs.extend(batch.logs);
            query.from = batch.covered_to + 1;
        }
        let lineage = follow(&logs, first);
        // A set whose event names other members than its hash does would have come past the contract's own check.
        for (epoch, hash) in installed(&logs) {
            let on_chain =
                self.chain.call(bridge.king_set, KingSet::setHashCall { setEpoch: epoch }, BlockId::latest()).await.map_err(failed)?;
            self.check(&format!("KingSet.setHash({epoch})"), on_chain, hash);
        }
        Ok(lineage)
    }
}

/// Epochs that were installed, with the hash of the members that the events name.
fn installed(logs: &[LogEntry]) -> Vec<(u64, B256)> {
    logs.iter().filter_map(installed_by).collect()
}

fn installed_by(log: &LogEntry) -> Option<(u64, B256)> {
    log.decode::<KingSet::KingSetInstalled>().map(|event| (event.setEpoch, keccak256(event.members.concat())))
}

/// Follows the events epoch by epoch; what does not continue the one before is left out, so that the result differs from the chain.
fn follow(logs: &[LogEntry], first: u64) -> Lineage {
    let mut found: Option<Lineage> = None;
    for log in logs {
        let installed = installed_by(log);
        let recovered = log.decode::<KingSet::KingSetRecovered>().map(|event| event.setEpoch);
        found = match (found.take(), installed, recovered) {
            (None, Some((epoch, hash)), _) if epoch == first => Some(Lineage { epoch, hash, ..Lineage::default() }),
            (Some(before), Some((epoch, hash)), _) if Some(epoch) == before.epoch.checked_add(1) => {
                Some(Lineage { epoch, hash, rotations: before.rotations + 1, ..before })
            }
            (Some(before), _, Some(epoch)) if Some(epoch) == before.epoch.checked_add(1) => {
                Some(Lineage { epoch, recoveries: before.recoveries + 1, ..before })
            }
            (unchanged, _, _) => unchanged,
        };
    }
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;

    fn set(epoch: u64, member: u8) -> KingSet::KingSetInstalled {
        let members = vec![B256::repeat_byte(member)];
        KingSet::KingSetInstalled { setEpoch: epoch, setHash: B256::ZERO, members, totalWeight: Default::default(), expiresAt: 9 }
    }

    #[test]
    fn rotations_and_recoveries_lead_from_the_first_set_to_the_present_one() {
        let recovered = KingSet::KingSetRecovered { setEpoch: 3, originChainId: 61, outbox: Address::ZERO, forkCount: 4 };
        let logs = [LogEntry::of(&set(1, 1)), LogEntry::of(&set(2, 2)), LogEntry::of(&recovered)];
        let hash = keccak256(B256::repeat_byte(2));
        assert_eq!(follow(&logs, 1), Lineage { epoch: 3, hash, rotations: 1, recoveries: 1 });
        let gap = [LogEntry::of(&set(1, 1)), LogEntry::of(&set(3, 2))];
        assert_eq!(follow(&gap, 1).epoch, 1, "an epoch is missing");
        assert_eq!(follow(&logs, 5), Lineage::default(), "another first set");
    }
}
