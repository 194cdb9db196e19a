//! Who stands behind a peer: the record that binds a libp2p key to a staked account. docs/protocol.md section 9 has the bytes.

use alloy::{
    primitives::{Address, B256, B512, Bytes, keccak256},
    sol_types::{Eip712Domain, SolStruct},
};
use serde::{Deserialize, Serialize};

use super::{Role, signing::recover_compact};

/// Addresses a record may list. More would let one record steer everybody's dials.
pub const MAX_ADDRESSES: usize = 8;
/// Bytes of one address. The longest useful one, a circuit over a DNS name, needs about 200.
pub const MAX_ADDRESS_BYTES: usize = 256;
/// Bytes of a peer id: an identity multihash of an ed25519 key has 38, a sha2-256 one 34.
pub const MAX_PEER_ID_BYTES: usize = 64;
/// Longest life of a record. Longer ones would keep an abandoned key alive.
pub const MAX_LIFETIME_SECONDS: u64 = 24 * 60 * 60;
/// How far clocks may differ. Larger lets old records live on, smaller refuses honest nodes.
pub const CLOCK_SKEW_SECONDS: u64 = 120;

mod eip712 {
    alloy::sol! {
        struct NodeRecord { address account; uint8 role; bytes peerId; string[] addresses; uint64 sequence; uint64 expiry; }
    }
}

/// What a node says about itself. The record with the highest sequence replaces the others of its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Account that holds the stake.
    pub account: Address,
    /// Number of a [`Role`].
    pub role: u8,
    /// Multihash bytes of the libp2p key.
    pub peer_id: Bytes,
    /// Multiaddrs at which the node can be reached.
    pub addresses: Vec<String>,
    pub sequence: u64,
    /// Unix seconds after which the record says nothing any more.
    pub expiry: u64,
}

/// A record with its operator's EIP-2098 signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedNodeRecord {
    pub record: NodeRecord,
    pub signature: B512,
}

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("role {0} does not exist")]
    UnknownRole(u8),
    #[error("peer id has {bytes} bytes")]
    PeerId { bytes: usize },
    #[error("{count} addresses, at most {MAX_ADDRESSES} are allowed")]
    TooManyAddresses { count: usize },
    #[error("address {index} is not a multiaddr of at most {MAX_ADDRESS_BYTES} bytes")]
    Address { index: usize },
    #[error("expired at {expiry}")]
    Expired { expiry: u64 },
    #[error("expires at {expiry}, too far in the future")]
    TooLong { expiry: u64 },
    #[error("signature does not recover")]
    Signature,
}

impl RecordError {
    /// A clock that runs wrong makes these; everything else is a defect or malice.
    pub fn is_about_time(&self) -> bool {
        matches!(self, RecordError::Expired { .. } | RecordError::TooLong { .. })
    }
}

impl NodeRecord {
    /// What the operator signs.
    pub fn digest(&self, domain: &Eip712Domain) -> B256 {
        let typed = eip712::NodeRecord {
            account: self.account,
            role: self.role,
            peerId: self.peer_id.clone(),
            addresses: self.addresses.clone(),
            sequence: self.sequence,
            expiry: self.expiry,
        };
        typed.eip712_signing_hash(domain)
    }

    pub fn role(&self) -> Result<Role, RecordError> {
        Role::try_from(self.role).map_err(RecordError::UnknownRole)
    }

    /// What StakingManager stores as `peerIdHash`.
    pub fn peer_id_hash(&self) -> B256 {
        keccak256(&self.peer_id)
    }

    /// Everything that can be said without a clock, a signature or the chain.
    pub fn check_shape(&self) -> Result<(), RecordError> {
        self.role()?;
        if self.peer_id.is_empty() || self.peer_id.len() > MAX_PEER_ID_BYTES {
            return Err(RecordError::PeerId { bytes: self.peer_id.len() });
        }
        if self.addresses.len() > MAX_ADDRESSES {
            return Err(RecordError::TooManyAddresses { count: self.addresses.len() });
        }
        match self.addresses.iter().position(|address| !looks_like_multiaddr(address)) {
            Some(index) => Err(RecordError::Address { index }),
            None => Ok(()),
        }
    }

    /// Whether the record is alive at `now`, Unix seconds.
    pub fn check_time(&self, now: u64) -> Result<(), RecordError> {
        if self.expiry <= now {
            return Err(RecordError::Expired { expiry: self.expiry });
        }
        if self.expiry > now.saturating_add(MAX_LIFETIME_SECONDS + CLOCK_SKEW_SECONDS) {
            return Err(RecordError::TooLong { expiry: self.expiry });
        }
        Ok(())
    }
}

impl SignedNodeRecord {
    /// The key that signed, if it did; whether it is the account's operator only the chain knows.
    pub fn operator(&self, domain: &Eip712Domain) -> Result<Address, RecordError> {
        recover_compact(self.record.digest(domain), self.signature.as_slice()).ok_or(RecordError::Signature)
    }
}

/// The text form only; the network parses it.
fn looks_like_multiaddr(text: &str) -> bool {
    text.len() <= MAX_ADDRESS_BYTES && text.len() > 1 && text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use alloy::signers::{SignerSync, local::PrivateKeySigner};

    use super::*;
    use crate::types::signing::{compact, contract_domain};

    fn record() -> NodeRecord {
        NodeRecord {
            account: Address::repeat_byte(1),
            role: 2,
            peer_id: Bytes::from(vec![7; 38]),
            addresses: vec!["/ip4/127.0.0.1/tcp/7700".into()],
            sequence: 9,
            expiry: 1_000,
        }
    }

    #[test]
    fn recovers_the_operator_and_binds_every_field() {
        let domain = contract_domain(1, Address::repeat_byte(9));
        let signer = PrivateKeySigner::random();
        let signature = B512::from(compact(&signer.sign_hash_sync(&record().digest(&domain)).unwrap()));
        let signed = SignedNodeRecord { record: record(), signature };
        assert_eq!(signed.operator(&domain), Ok(signer.address()));

        let others = [
            NodeRecord { account: Address::ZERO, ..record() },
            NodeRecord { role: 1, ..record() },
            NodeRecord { peer_id: Bytes::from(vec![8; 38]), ..record() },
            NodeRecord { addresses: vec![], ..record() },
            NodeRecord { sequence: 10, ..record() },
            NodeRecord { expiry: 1_001, ..record() },
        ];
        for other in others {
            assert_ne!(SignedNodeRecord { record: other, signature }.operator(&domain), Ok(signer.address()));
        }
        assert_ne!(signed.operator(&contract_domain(2, Address::repeat_byte(9))), Ok(signer.address()));
    }

    #[test]
    fn digest_is_the_one_of_the_protocol_page() {
        let record = record();
        let type_hash = keccak256("NodeRecord(address account,uint8 role,bytes peerId,string[] addresses,uint64 sequence,uint64 expiry)");
        let word = |value: u64| B256::from(alloy::primitives::U256::from(value));
        let addresses = keccak256(keccak256(&record.addresses[0]));
        let fields = [type_hash, record.account.into_word(), word(2), keccak256(&record.peer_id), addresses, word(9), word(1_000)];
        let domain = contract_domain(1, Address::repeat_byte(9));
        let preimage = [&[0x19, 0x01], domain.hash_struct().as_slice(), keccak256(fields.concat()).as_slice()].concat();
        assert_eq!(record.digest(&domain), keccak256(preimage));
    }

    #[test]
    fn refuses_what_would_hurt_others() {
        assert_eq!(record().check_shape(), Ok(()));
        assert!(NodeRecord { role: 4, ..record() }.check_shape().is_err());
        assert!(NodeRecord { peer_id: Bytes::new(), ..record() }.check_shape().is_err());
        assert!(NodeRecord { addresses: vec!["/ip4/1.2.3.4/tcp/1".into(); 9], ..record() }.check_shape().is_err());
        for bad in ["", "/", "ip4/1.2.3.4", "/ip4/1.2.3.4\n", &format!("/{}", "a".repeat(256))] {
            assert_eq!(
                NodeRecord { addresses: vec![bad.into()], ..record() }.check_shape(),
                Err(RecordError::Address { index: 0 }),
                "{bad}"
            );
        }
        assert_eq!(record().check_time(999), Ok(()));
        assert!(record().check_time(1_000).unwrap_err().is_about_time());
        assert!(NodeRecord { expiry: 200_000, ..record() }.check_time(1_000).is_err());
    }
}
