//! One-shot transactions of one account.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolValue},
};

use super::ClientError;
use crate::{
    chain::{AccountSigner, BlockId, Chain, Receipt, TxRequest},
    types::abi::GPUToken,
};

/// Time a transaction has to be mined before the caller is told to look it up.
const MINED_WITHIN: Duration = Duration::from_secs(180);

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
        let nonce = self.chain.nonce(self.address(), BlockId::pending()).await?;
        let signed = self.chain.build_and_sign(&signer, nonce, &request).await?;
        self.chain.broadcast(self.address(), &signed).await?;
        let receipt = self.wait_for(signed.hash).await;
        let receipt = receipt.ok_or(ClientError::NotMined { label: label.into(), chain: self.chain.kind(), transaction: signed.hash })?;
        if receipt.status {
            return Ok(receipt);
        }
        let reason = self.chain.explain_failure(self.address(), &request, receipt.block_number).await;
        Err(ClientError::Failed { label: label.into(), chain: self.chain.kind(), transaction: signed.hash, reason })
    }

    /// What was sent may be mined whatever a read says, so a failed read is no reason to give up: the caller would send again.
    async fn wait_for(&self, hash: B256) -> Option<Receipt> {
        let deadline = tokio::time::Instant::now() + MINED_WITHIN;
        let mut tick = tokio::time::interval(self.chain.poll_interval());
        while tokio::time::Instant::now() < deadline {
            tick.tick().await;
            match self.chain.receipt(hash).await {
                Ok(None) => {}
                Ok(receipt) => return receipt,
                Err(error) => tracing::warn!(%error, %hash, "the receipt cannot be read yet"),
            }
        }
        None
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
