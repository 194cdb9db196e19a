//! One-shot transactions of one account.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolValue},
};

use super::ClientError;
use crate::{
    chain::{AccountSigner, BlockId, Chain, ChainError, Receipt, SignedTx, TxRequest},
    types::abi::GPUToken,
};

/// Time a transaction has to be mined before the caller is told to look it up.
const MINED_WITHIN: Duration = Duration::from_secs(180);

/// Times another program of the same key may be faster with a nonce.
const MAX_NONCES: u32 = 5;
/// Depth at which a nonce counts as taken by somebody else. Too small may send twice after a reorganisation.
const DISPLACED_DEPTH: u64 = 3;

/// What became of a transaction.
enum Fate {
    Mined(Receipt),
    Displaced,
    /// It may still be mined.
    Open,
}

/// A signature under an ERC-2612 permit.
#[derive(Debug, Clone, Copy)]
pub struct Permit {
    pub deadline: U256,
    pub v: u8,
    pub r: B256,
    pub s: B256,
}

/// An account on one chain.
#[derive(Debug, Clone)]
pub struct Wallet {
    pub chain: Chain,
    pub signer: PrivateKeySigner,
}

impl Wallet {
    pub fn new(chain: Chain, signer: PrivateKeySigner) -> Self {
        Self { chain, signer }
    }

    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Simulates, sends, waits for the receipt; a failed transaction is an error.
    pub async fn send<C: SolCall>(&self, label: &str, to: Address, call: C) -> Result<Receipt, ClientError> {
        self.send_request(label, TxRequest::call(to, call.abi_encode())).await
    }

    /// Pays coins for gas to another account.
    pub async fn pay(&self, label: &str, to: Address, value_wei: U256) -> Result<Receipt, ClientError> {
        self.send_request(label, TxRequest { to: Some(to), data: Default::default(), value_wei }).await
    }

    pub(super) async fn send_request(&self, label: &str, request: TxRequest) -> Result<Receipt, ClientError> {
        let signer: AccountSigner = Arc::new(self.signer.clone());
        let mut last = B256::ZERO;
        for _ in 0..MAX_NONCES {
            let nonce = self.chain.nonce(self.address(), BlockId::pending()).await?;
            let signed = self.chain.build_and_sign(&signer, nonce, &request).await?;
            last = signed.hash;
            match self.chain.broadcast(self.address(), &signed).await {
                Ok(_) => {}
                // A node of the same key was faster with this nonce: nothing of ours is in the pool.
                Err(ChainError::NonceTooLow { .. } | ChainError::Underpriced { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            match self.wait_for(&signed).await {
                Fate::Mined(receipt) if receipt.status => return Ok(receipt),
                Fate::Mined(receipt) => {
                    let reason = self.chain.explain_failure(self.address(), &request, receipt.block_number).await;
                    return Err(ClientError::Failed { label: label.into(), chain: self.chain.kind(), transaction: signed.hash, reason });
                }
                Fate::Displaced => tracing::warn!(label, nonce, "another program sent from this account; takes the next nonce"),
                Fate::Open => break,
            }
        }
        Err(ClientError::NotMined { label: label.into(), chain: self.chain.kind(), transaction: last })
    }

    /// What was sent may be mined whatever a read says, so a failed read is no reason to give up: the caller would send again.
    async fn wait_for(&self, signed: &SignedTx) -> Fate {
        let deadline = tokio::time::Instant::now() + MINED_WITHIN;
        let mut tick = tokio::time::interval(self.chain.poll_interval());
        while tokio::time::Instant::now() < deadline {
            tick.tick().await;
            match self.chain.receipt(signed.hash).await {
                Ok(Some(receipt)) => return Fate::Mined(receipt),
                Ok(None) if self.is_displaced(signed).await => return Fate::Displaced,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, hash = %signed.hash, "the receipt cannot be read yet"),
            }
        }
        Fate::Open
    }

    /// The nonce is used as deep as a settled transaction, and not by ours on any endpoint: ours can never take effect.
    async fn is_displaced(&self, signed: &SignedTx) -> bool {
        let Ok(head) = self.chain.head().await else { return false };
        let deep = BlockId::number(head.number.saturating_sub(DISPLACED_DEPTH));
        let is_used = self.chain.nonce(self.address(), deep).await.is_ok_and(|used| used > signed.nonce);
        is_used && matches!(self.chain.receipt_anywhere(signed.hash).await, Ok(None))
    }

    /// Signs an ERC-2612 permit, so that paying needs no transaction of its own.
    pub async fn permit(&self, token: Address, spender: Address, value: U256, deadline: u64) -> Result<Permit, ClientError> {
        let nonce = self.chain.call(token, GPUToken::noncesCall { owner: self.address() }, BlockId::latest()).await?;
        let domain = self.chain.call(token, GPUToken::DOMAIN_SEPARATORCall {}, BlockId::latest()).await?;
        let kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        let deadline = U256::from(deadline);
        let fields = (kind, self.address(), spender, value, nonce, deadline).abi_encode();
        let digest = keccak256([&[0x19, 0x01][..], domain.as_slice(), keccak256(fields).as_slice()].concat());
        let signature = self.signer.sign_hash_sync(&digest)?;
        Ok(Permit { deadline, v: 27 + u8::from(signature.v()), r: signature.r().into(), s: signature.s().into() })
    }
}
