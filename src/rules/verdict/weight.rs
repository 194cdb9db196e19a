//! Whether a challenge is void for all: too few of those who answered the last valid one.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use super::Rules;

/// Most of a challenge's weight that one owner can have: a tenth of the last valid challenge's.
const OWNER_SHARE: u32 = 10;
/// After so many void challenges in a row whoever is still there is the network.
const VOID_LIMIT: u8 = 12;

/// A device weighs its class stake in whole tokens, rounded up.
pub fn weight_of(stake_wei: u128) -> u32 {
    const TOKEN: u128 = 1_000_000_000_000_000_000;
    u32::try_from(stake_wei.div_ceil(TOKEN)).unwrap_or(u32::MAX)
}

/// Who committed to a challenge, in numbers that saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// With owners capped.
    pub weight: u32,
    pub total_weight: u32,
    pub owners: u16,
    pub commits: u16,
    pub unmeasured: u16,
}

/// The last valid challenge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reference {
    weight: u32,
    total_weight: u32,
    /// The total whose tenth capped the owners of `weight`.
    capped_by: u32,
    owners: u16,
    /// Void challenges since.
    voids: u8,
}

/// What became of a challenge when its commit window was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    pub is_void: bool,
    pub weight: u32,
    pub total_weight: u32,
    pub owners: u16,
}

impl Reference {
    /// Adds a commit; `owners` holds the weights of that challenge's owners so far.
    pub fn count(&self, seen: &mut Attendance, owners: &mut BTreeMap<Address, u64>, owner: Address, weight: u32, is_unmeasured: bool) {
        let before = owners.get(&owner).copied();
        let (held, total) = (before.unwrap_or_default(), before.unwrap_or_default().saturating_add(weight.into()));
        owners.insert(owner, total);
        let cap = if self.total_weight == 0 { u64::MAX } else { self.total_weight.div_ceil(OWNER_SHARE).into() };
        let added = total.min(cap) - held.min(cap);
        seen.weight = seen.weight.saturating_add(u32::try_from(added).unwrap_or(u32::MAX));
        seen.total_weight = seen.total_weight.saturating_add(weight);
        seen.owners = seen.owners.saturating_add(u16::from(before.is_none()));
        seen.commits = seen.commits.saturating_add(1);
        seen.unmeasured = seen.unmeasured.saturating_add(u16::from(is_unmeasured));
    }

    /// Judges the next challenge in order, which becomes the reference if it is valid.
    pub fn judge(&mut self, seen: &Attendance, rules: &Rules) -> Judgement {
        let mut expected = U256::from(self.weight);
        // Owners were capped by a larger total then: full attendance must never look like an outage.
        if self.total_weight < self.capped_by {
            expected = expected * U256::from(self.total_weight) / U256::from(self.capped_by);
        }
        let applies = u32::from(self.owners) >= rules.min_owners && self.voids < VOID_LIMIT;
        let is_void = applies && U256::from(seen.weight) * U256::from(2) < expected;
        if is_void {
            self.voids += 1;
        } else {
            // The very first weight is capped by nothing, so nothing is compared with it.
            let weight = if self.total_weight == 0 { 0 } else { seen.weight };
            *self = Self { weight, capped_by: self.total_weight, total_weight: seen.total_weight, owners: seen.owners, voids: 0 };
        }
        Judgement { is_void, weight: seen.weight, total_weight: seen.total_weight, owners: seen.owners }
    }
}
