//! King sets: hash, quorum, and the shape a checkpoint is submitted in. docs/protocol.md section 8.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256, keccak256};

use crate::types::addresses::{KingMember, KingSetEntry};

/// The signers of one set epoch, ascending by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KingSet {
    pub epoch: u64,
    members: Vec<KingMember>,
}

/// Signatures that reach a quorum, in the order the contract wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumSignatures {
    pub members: Vec<B256>,
    pub signer_bitmap: U256,
    /// Compact signatures of the signers, concatenated.
    pub signatures: Vec<u8>,
    pub signers: Vec<Address>,
}

impl KingSet {
    pub fn new(epoch: u64, mut members: Vec<KingMember>) -> Self {
        members.sort_unstable();
        Self { epoch, members }
    }

    pub fn from_entry(entry: &KingSetEntry) -> Self {
        Self::new(entry.set_epoch, entry.members.clone())
    }

    pub fn members(&self) -> &[KingMember] {
        &self.members
    }

    pub fn contains(&self, address: Address) -> bool {
        self.members.binary_search_by_key(&address, |member| member.address).is_ok()
    }

    /// Members as the contract reads them: `address << 96 | weight`.
    pub fn packed(&self) -> Vec<B256> {
        self.members
            .iter()
            .map(|member| {
                let mut word = [0u8; 32];
                word[..20].copy_from_slice(member.address.as_slice());
                word[24..].copy_from_slice(&member.weight.to_be_bytes());
                B256::from(word)
            })
            .collect()
    }

    pub fn hash(&self) -> B256 {
        keccak256(self.packed().concat())
    }

    /// Whether both have the same members, none of whose shares differs by more than one `fraction`th of the whole.
    pub fn is_like(&self, other: &Self, fraction: u32) -> bool {
        let (own_total, other_total) = (U256::from(self.total_weight()), U256::from(other.total_weight()));
        let close = |(own, other): (&KingMember, &KingMember)| {
            // Cross-multiplied, so that nothing is rounded.
            let (a, b) = (U256::from(own.weight) * other_total, U256::from(other.weight) * own_total);
            own.address == other.address && a.abs_diff(b) * U256::from(fraction) <= own_total * other_total
        };
        self.members.len() == other.members.len() && self.members.iter().zip(&other.members).all(close)
    }

    pub fn total_weight(&self) -> u128 {
        self.members.iter().map(|member| u128::from(member.weight)).sum()
    }

    /// The least set of `signatures` that is a quorum, heaviest signers first; `None` while there is none.
    pub fn assemble(&self, signatures: &BTreeMap<Address, [u8; 64]>) -> Option<QuorumSignatures> {
        self.assemble_while(signatures, |weight, total| weight * U256::from(3) > total * U256::from(2))
    }

    /// The same for what a third of the weight may order.
    pub fn assemble_third(&self, signatures: &BTreeMap<Address, [u8; 64]>) -> Option<QuorumSignatures> {
        self.assemble_while(signatures, |weight, total| weight * U256::from(3) >= total)
    }

    fn assemble_while(&self, signatures: &BTreeMap<Address, [u8; 64]>, is_enough: impl Fn(U256, U256) -> bool) -> Option<QuorumSignatures> {
        let mut present: Vec<&KingMember> = self.members.iter().filter(|member| signatures.contains_key(&member.address)).collect();
        present.sort_by_key(|member| std::cmp::Reverse(member.weight));
        let total = U256::from(self.total_weight());
        let mut weight = U256::ZERO;
        let mut chosen = Vec::new();
        for member in present {
            weight += U256::from(member.weight);
            chosen.push(member.address);
            if is_enough(weight, total) {
                return Some(self.in_order(&chosen, signatures));
            }
        }
        None
    }

    fn in_order(&self, chosen: &[Address], signatures: &BTreeMap<Address, [u8; 64]>) -> QuorumSignatures {
        let mut quorum =
            QuorumSignatures { members: self.packed(), signer_bitmap: U256::ZERO, signatures: Vec::new(), signers: Vec::new() };
        for (position, member) in self.members.iter().enumerate() {
            if let Some(signature) = signatures.get(&member.address).filter(|_| chosen.contains(&member.address)) {
                quorum.signer_bitmap.set_bit(position, true);
                quorum.signatures.extend_from_slice(signature);
                quorum.signers.push(member.address);
            }
        }
        quorum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(weights: &[u64]) -> KingSet {
        let member = |(index, weight): (usize, &u64)| KingMember { address: Address::repeat_byte(index as u8 + 1), weight: *weight };
        KingSet::new(1, weights.iter().enumerate().map(member).collect())
    }

    fn signed(indices: &[u8]) -> BTreeMap<Address, [u8; 64]> {
        indices.iter().map(|index| (Address::repeat_byte(*index), [*index; 64])).collect()
    }

    #[test]
    fn exactly_two_thirds_is_no_quorum() {
        assert!(set(&[1, 1, 1]).assemble(&signed(&[1, 2])).is_none());
        assert!(set(&[1, 1, 1, 1]).assemble(&signed(&[1, 2])).is_none());
        let quorum = set(&[1, 1, 1, 1]).assemble(&signed(&[4, 1, 3])).unwrap();
        assert_eq!(quorum.signer_bitmap, U256::from(0b1101));
        assert_eq!(quorum.signatures, [[1; 64], [3; 64], [4; 64]].concat());
    }

    #[test]
    fn exactly_one_third_orders_a_pause_of_withdrawals() {
        assert!(set(&[2, 2, 3]).assemble_third(&signed(&[1])).is_none());
        assert_eq!(set(&[1, 1, 1]).assemble_third(&signed(&[2])).unwrap().signers, [Address::repeat_byte(2)]);
    }

    /// Shares of the weight decide, not the unit that a set is written in.
    #[test]
    fn a_set_in_another_unit_is_alike_and_another_member_is_not() {
        assert!(set(&[1, 1, 1, 1]).is_like(&set(&[200_000, 200_000, 200_000, 200_000]), 20));
        assert!(!set(&[1, 1, 1, 1]).is_like(&set(&[1, 1, 1]), 20));
        assert!(!set(&[1, 1, 1, 1]).is_like(&set(&[1, 1, 1, 3]), 20));
        assert!(set(&[1000, 1000, 1000, 1000]).is_like(&set(&[1000, 1001, 1000, 1000]), 20));
    }

    #[test]
    fn strangers_do_not_count_and_no_more_signers_than_needed_are_named() {
        assert!(set(&[1, 1, 1]).assemble(&signed(&[1, 2, 9])).is_none());
        assert_eq!(set(&[10, 1, 1]).assemble(&signed(&[1, 2, 3])).unwrap().signers, [Address::repeat_byte(1)]);
    }
}
