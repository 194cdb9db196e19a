//! EIP-712 structures and their domains. docs/protocol.md section 9 lists them.

use alloy::{
    primitives::{Address, B256, Signature},
    sol,
    sol_types::{Eip712Domain, SolStruct, eip712_domain},
};

sol! {
    /// A King's statement about an Outbox at a final block.
    #[derive(Debug, PartialEq, Eq)]
    struct Checkpoint {
        uint64 originChainId; address outbox; uint64 setEpoch; bytes32 root; uint32 count;
        uint64 blockNumber; bytes32 blockHash; uint64 blockTimestamp;
    }
    /// The next King set, by a quorum of the set before it.
    #[derive(Debug, PartialEq, Eq)]
    struct KingSetRotation { bytes32 bridge; uint64 setEpoch; bytes32 setHash; uint64 nominatedAt; uint64 expiresAt; }
    /// The signing set goes on as a new epoch; what it had signed of an Outbox beyond `forkCount` is void.
    #[derive(Debug, PartialEq, Eq)]
    struct BridgeRecovery { uint64 originChainId; address outbox; uint64 setEpoch; uint32 forkCount; }
    /// Nothing of an Outbox is accepted or delivered before `until`.
    #[derive(Debug, PartialEq, Eq)]
    struct BridgePause { uint64 originChainId; address outbox; uint64 setEpoch; uint64 until; }
    /// Credits that reports created do not leave GPURental before `until`; in the domain of RentalCourt.
    #[derive(Debug, PartialEq, Eq)]
    struct Pause { uint64 setEpoch; uint64 until; }
    /// A Queen's statement about the time a device needed.
    #[derive(Debug, PartialEq, Eq)]
    struct WorkReceipt { uint64 challengeBlock; uint64 deviceId; bytes32 blockHash; bytes32 root; uint32 elapsedMs; }
    /// A Queen's statement that a provider opened no samples of the root it committed to.
    #[derive(Debug, PartialEq, Eq)]
    struct NoOpening { uint64 challengeBlock; uint64 deviceId; bytes32 blockHash; bytes32 root; }
    /// A Queen's statement that a provider's door opened when it came as a renter would.
    #[derive(Debug, PartialEq, Eq)]
    struct Reachable { uint64 rentalId; uint64 time; }
    /// The renter's statement that it was let in.
    #[derive(Debug, PartialEq, Eq)]
    struct SessionOpened { uint64 rentalId; uint64 time; }
    /// The renter's statement that the holder of `publicKey` may log in.
    #[derive(Debug, PartialEq, Eq)]
    struct SessionKey { uint64 rentalId; bytes publicKey; uint64 expiry; }
}

/// Domain of checkpoints: origin and outbox are in the struct, so that one signature serves on both chains.
pub fn bridge_domain() -> Eip712Domain {
    eip712_domain! { name: "gpumkt bridge", version: "1", }
}

/// Domain of everything that belongs to one contract.
pub fn contract_domain(chain_id: u64, contract: Address) -> Eip712Domain {
    eip712_domain! { name: "gpumkt", version: "1", chain_id: chain_id, verifying_contract: contract, }
}

impl Checkpoint {
    pub fn digest(&self) -> B256 {
        bridge_digest(self)
    }
}

/// What a King signs, whichever of its statements it is.
pub fn bridge_digest(statement: &impl SolStruct) -> B256 {
    statement.eip712_signing_hash(&bridge_domain())
}

/// EIP-2098: `r ‖ yParityAndS`.
pub fn compact(signature: &Signature) -> [u8; 64] {
    let mut bytes = [0u8; 64];
    bytes[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    bytes[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    bytes[32] |= u8::from(signature.v()) << 7;
    bytes
}

/// Signer of `digest`; `None` for a signature that is malformed or has a high s (EIP-2).
pub fn recover_compact(digest: B256, bytes: &[u8]) -> Option<Address> {
    let (r, vs) = (bytes.get(..32)?, bytes.get(32..64).filter(|_| bytes.len() == 64)?);
    let parity = vs[0] >> 7 == 1;
    let mut s: [u8; 32] = vs.try_into().ok()?;
    s[0] &= 0x7f;
    let signature = Signature::from_scalars_and_parity(B256::from_slice(r), B256::from(s), parity);
    if signature.normalize_s().is_some() {
        return None;
    }
    signature.recover_address_from_prehash(&digest).ok()
}

#[cfg(test)]
mod tests {
    use alloy::signers::{SignerSync, local::PrivateKeySigner};

    use super::*;

    #[test]
    fn compact_signatures_recover_their_signer() {
        let digest = B256::repeat_byte(7);
        for _ in 0..8 {
            let signer = PrivateKeySigner::random();
            let mut bytes = compact(&signer.sign_hash_sync(&digest).unwrap());
            assert_eq!(recover_compact(digest, &bytes), Some(signer.address()));
            bytes[3] ^= 1;
            assert_ne!(recover_compact(digest, &bytes), Some(signer.address()));
        }
        assert_eq!(recover_compact(digest, &[0; 64]), None);
        assert_eq!(recover_compact(digest, &[1; 63]), None);
        assert_eq!(recover_compact(digest, &[1; 65]), None);
    }
}
