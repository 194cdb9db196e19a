//! Where the contracts of a deployment stand.

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use super::ChainKind;

/// The bridge end that stands on each chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeAddresses {
    pub outbox: Address,
    pub inbox: Address,
    pub king_set: Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EthereumAddresses {
    pub chain_id: u64,
    /// First block that can hold an event of this deployment.
    pub start_block: u64,
    pub bridge: BridgeAddresses,
    pub gpu_token: Address,
    pub staking_manager: Address,
    /// Second half of StakingManager's code; nobody calls it directly.
    pub staking_pools: Address,
    pub gpu_rental: Address,
    /// Second half of GPURental's code; nobody calls it directly.
    pub gpu_rental_terms: Address,
    pub rental_court: Address,
    pub king_court: Address,
    pub node_directory: Address,
    pub token_distributor: Address,
    pub governance: Address,
    pub timelock: Address,
    /// Gives GPUTOKEN away; on test networks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faucet: Option<Address>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassicAddresses {
    pub chain_id: u64,
    /// First block that can hold an event of this deployment.
    pub start_block: u64,
    pub bridge: BridgeAddresses,
    pub work_verification: Address,
    /// Further parts of WorkVerification's code; nobody calls them directly.
    pub work_settlement: Address,
    pub work_disputes: Address,
    pub reputation_system: Address,
    pub proof_verifier: Address,
}

/// One King: the key that signs, and its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KingMember {
    pub address: Address,
    pub weight: u64,
}

/// The King set that the deployment installed; the chains hold its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KingSetEntry {
    pub set_epoch: u64,
    pub members: Vec<KingMember>,
}

/// Written by `gpumkt deploy`, read by every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressBook {
    pub kings: KingSetEntry,
    pub ethereum: EthereumAddresses,
    pub classic: ClassicAddresses,
}

#[cfg(test)]
impl AddressBook {
    /// Every contract at an address of its own, on the public chains.
    pub fn for_tests() -> Self {
        let at = Address::repeat_byte;
        let bridge = |first| BridgeAddresses { outbox: at(first), inbox: at(first + 1), king_set: at(first + 2) };
        Self {
            kings: KingSetEntry { set_epoch: 1, members: Vec::new() },
            ethereum: EthereumAddresses {
                chain_id: 1,
                start_block: 0,
                bridge: bridge(0x01),
                gpu_token: at(0x11),
                staking_manager: at(0x12),
                staking_pools: at(0x13),
                gpu_rental: at(0x14),
                gpu_rental_terms: at(0x15),
                rental_court: at(0x16),
                king_court: at(0x17),
                node_directory: at(0x1b),
                token_distributor: at(0x18),
                governance: at(0x19),
                timelock: at(0x1a),
                faucet: None,
            },
            classic: ClassicAddresses {
                chain_id: 61,
                start_block: 0,
                bridge: bridge(0x21),
                work_verification: at(0x31),
                work_settlement: at(0x32),
                work_disputes: at(0x33),
                reputation_system: at(0x34),
                proof_verifier: at(0x35),
            },
        }
    }
}

impl AddressBook {
    pub fn chain_id(&self, chain: ChainKind) -> u64 {
        match chain {
            ChainKind::Ethereum => self.ethereum.chain_id,
            ChainKind::Classic => self.classic.chain_id,
        }
    }

    pub fn start_block(&self, chain: ChainKind) -> u64 {
        match chain {
            ChainKind::Ethereum => self.ethereum.start_block,
            ChainKind::Classic => self.classic.start_block,
        }
    }

    pub fn bridge(&self, chain: ChainKind) -> &BridgeAddresses {
        match chain {
            ChainKind::Ethereum => &self.ethereum.bridge,
            ChainKind::Classic => &self.classic.bridge,
        }
    }
}
