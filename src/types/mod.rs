//! Vocabulary of the protocol: identifiers, amounts, messages. No I/O, no async, no clocks.

pub mod abi;
pub mod addresses;
pub mod advice;
pub mod agent;
pub mod amount;
pub mod api;
pub mod bridge;
pub mod fault;
pub mod launch;
mod profile_abi;
pub mod record;
pub mod signing;
pub mod wire;
pub mod work;

pub use addresses::AddressBook;
pub use amount::Amount;
pub use fault::Coded;

/// Index of a device in StakingManager; the same number on both chains.
pub type DeviceId = u64;
/// Index of a rental in GPURental; the same number on both chains.
pub type RentalId = u64;
/// Index of an offer in GPURental.
pub type OfferId = u64;

/// The two chains, by the part they play. Chain ids are configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainKind {
    /// Marketplace, stakes, payments (PoS).
    Ethereum,
    /// Verification of work (PoW).
    Classic,
}

impl ChainKind {
    pub const BOTH: [ChainKind; 2] = [ChainKind::Ethereum, ChainKind::Classic];

    /// The chain at the far end of the bridge.
    pub fn other(self) -> ChainKind {
        match self {
            ChainKind::Ethereum => ChainKind::Classic,
            ChainKind::Classic => ChainKind::Ethereum,
        }
    }

    /// Short lower-case name, used in metrics, database keys and reports.
    pub fn name(self) -> &'static str {
        match self {
            ChainKind::Ethereum => "ethereum",
            ChainKind::Classic => "classic",
        }
    }
}

impl std::fmt::Display for ChainKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Tier of a node; the number is the one in StakingManager and in NodeRecord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    /// Relays and renters: no stake, no privileged messages.
    None = 0,
    Provider = 1,
    Queen = 2,
    King = 3,
}

impl TryFrom<u8> for Role {
    type Error = u8;

    fn try_from(value: u8) -> Result<Self, u8> {
        match value {
            0 => Ok(Role::None),
            1 => Ok(Role::Provider),
            2 => Ok(Role::Queen),
            3 => Ok(Role::King),
            other => Err(other),
        }
    }
}
