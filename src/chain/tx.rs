//! Transactions: estimate, sign, broadcast, receipt. Nonces are the caller's: nothing here picks one.

use std::sync::Arc;

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy},
    eips::{BlockId, eip2718::Encodable2718},
    network::TxSigner,
    primitives::{Address, B256, Bytes, Signature, TxKind, U64, U128, U256},
    rpc::types::{Log, TransactionRequest},
};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::{Chain, ChainError, LogEntry, endpoint::EndpointError};
use crate::types::ChainKind;

/// Signs transactions of one account: a keystore, a remote signer.
pub type AccountSigner = Arc<dyn TxSigner<Signature> + Send + Sync>;

/// Added to every estimate beside a quarter of it. Too little fails when state moves between estimate and inclusion.
const GAS_MARGIN: u64 = 20_000;
/// Most gas of one transaction since EIP-7825.
const MAX_TX_GAS: u64 = 1 << 24;
const RECEIPT: &str = "eth_getTransactionReceipt";
/// Tip where the node names none, wei.
const DEFAULT_TIP_WEI: u128 = 1_000_000_000;

/// What a transaction does, without nonce and fee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxRequest {
    /// `None` creates a contract.
    pub to: Option<Address>,
    pub data: Bytes,
    pub value_wei: U256,
}

impl TxRequest {
    pub fn call(to: Address, data: impl Into<Bytes>) -> Self {
        Self { to: Some(to), data: data.into(), value_wei: U256::ZERO }
    }

    pub fn create(init_code: impl Into<Bytes>) -> Self {
        Self { to: None, data: init_code.into(), value_wei: U256::ZERO }
    }

    fn to_rpc(&self, from: Address) -> TransactionRequest {
        let kind = self.to.map_or(TxKind::Create, TxKind::Call);
        let request = TransactionRequest::default().from(from).input(self.data.clone().into()).value(self.value_wei);
        TransactionRequest { to: Some(kind), ..request }
    }
}

/// Price per gas. Ethereum Classic knows only the first kind, and only as a type 0 transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fee {
    Legacy { gas_price_wei: u128 },
    Eip1559 { max_fee_wei: u128, max_priority_wei: u128 },
}

impl Fee {
    /// The most one unit of gas can cost.
    pub fn max_per_gas_wei(&self) -> u128 {
        match self {
            Fee::Legacy { gas_price_wei } => *gas_price_wei,
            Fee::Eip1559 { max_fee_wei, .. } => *max_fee_wei,
        }
    }

    /// A fee that replaces `self` in every client's pool (at least `percent` more in each part), and is not below `market`.
    pub fn bumped(self, percent: u32, market: Fee) -> Fee {
        let more = |wei: u128, market_wei: u128| (wei.saturating_mul(u128::from(100 + percent)) / 100 + 1).max(market_wei);
        match (self, market) {
            (Fee::Eip1559 { max_fee_wei, max_priority_wei }, Fee::Eip1559 { max_fee_wei: market_fee, max_priority_wei: market_tip }) => {
                Fee::Eip1559 { max_fee_wei: more(max_fee_wei, market_fee), max_priority_wei: more(max_priority_wei, market_tip) }
            }
            (Fee::Eip1559 { max_fee_wei, max_priority_wei }, Fee::Legacy { .. }) => {
                Fee::Eip1559 { max_fee_wei: more(max_fee_wei, 0), max_priority_wei: more(max_priority_wei, 0) }
            }
            (Fee::Legacy { gas_price_wei }, market) => Fee::Legacy { gas_price_wei: more(gas_price_wei, market.max_per_gas_wei()) },
        }
    }
}

/// A transaction that is ready to be broadcast, any number of times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTx {
    pub hash: B256,
    pub raw: Bytes,
    pub nonce: u64,
    /// EIP-2718 type: 0 on Ethereum Classic, 2 on Ethereum.
    pub tx_type: u8,
}

/// What a node made of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broadcast {
    Accepted,
    AlreadyKnown,
}

/// A mined transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub tx_hash: B256,
    pub block_number: u64,
    pub block_hash: B256,
    pub gas_used: u64,
    pub effective_gas_price_wei: u128,
    pub tx_type: u8,
    pub status: bool,
    pub contract_address: Option<Address>,
    pub logs: Vec<LogEntry>,
}

#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
struct RpcReceipt {
    transaction_hash: B256,
    block_number: Option<U64>,
    block_hash: Option<B256>,
    gas_used: U64,
    #[serde(default)]
    effective_gas_price: U128,
    #[serde(default, rename = "type")]
    tx_type: U64,
    status: U64,
    contract_address: Option<Address>,
    logs: Vec<Log>,
}

impl Chain {
    /// Runs the transaction without sending it; a revert comes back in words.
    pub async fn simulate(&self, from: Address, request: &TxRequest, at: BlockId) -> Result<Bytes, ChainError> {
        let answer = self.inner.endpoints.request("eth_call", (request.to_rpc(from), at)).await;
        answer.map_err(|error| self.call_error("eth_call", "transaction", request.to.unwrap_or_default(), error))
    }

    /// Gas limit with margin, within what a block takes.
    pub async fn estimate_gas(&self, from: Address, request: &TxRequest) -> Result<u64, ChainError> {
        let answer = self.inner.endpoints.request::<_, U64>("eth_estimateGas", (request.to_rpc(from),)).await;
        let estimate: u64 =
            answer.map_err(|error| self.call_error("eth_estimateGas", "transaction", request.to.unwrap_or_default(), error))?.to();
        let limit = estimate.saturating_add(estimate / 4).saturating_add(GAS_MARGIN);
        // Only a large transaction is worth asking for the block's limit.
        if limit < 4_000_000 {
            return Ok(limit);
        }
        let block_limit = self.head().await?.gas_limit.min(MAX_TX_GAS);
        Ok(if estimate <= block_limit { limit.min(block_limit) } else { limit })
    }

    /// Today's price for inclusion in one of the next blocks.
    pub async fn fee(&self) -> Result<Fee, ChainError> {
        if self.kind() == ChainKind::Classic {
            let gas_price_wei = self.request::<_, U128>("eth_gasPrice", ()).await?.to();
            return Ok(Fee::Legacy { gas_price_wei });
        }
        let tip = self.request::<_, U128>("eth_maxPriorityFeePerGas", ()).await;
        let max_priority_wei = match tip {
            Ok(tip) => tip.to(),
            Err(ChainError::Rpc { .. }) => DEFAULT_TIP_WEI,
            Err(error) => return Err(error),
        };
        let base = u128::from(self.head().await?.base_fee_wei.unwrap_or_default());
        Ok(Fee::Eip1559 { max_fee_wei: base.saturating_mul(2).saturating_add(max_priority_wei), max_priority_wei })
    }

    /// Fails with what is missing when the account cannot pay for `gas_limit` at `fee`.
    pub async fn check_funds(&self, account: Address, request: &TxRequest, gas_limit: u64, fee: Fee) -> Result<(), ChainError> {
        let need_wei = U256::from(gas_limit).saturating_mul(U256::from(fee.max_per_gas_wei())).saturating_add(request.value_wei);
        let have_wei = self.balance(account).await?;
        if have_wei < need_wei { Err(ChainError::InsufficientFunds { chain: self.kind(), account, need_wei, have_wei }) } else { Ok(()) }
    }

    pub async fn sign(
        &self,
        signer: &AccountSigner,
        nonce: u64,
        request: &TxRequest,
        gas_limit: u64,
        fee: Fee,
    ) -> Result<SignedTx, ChainError> {
        let to = request.to.map_or(TxKind::Create, TxKind::Call);
        let (chain_id, value, input) = (self.chain_id(), request.value_wei, request.data.clone());
        let envelope: TxEnvelope = match fee {
            // Libraries take a chain id for a hint that type 2 will do; on Ethereum Classic it never does.
            Fee::Legacy { gas_price_wei } => {
                let tx = TxLegacy { chain_id: Some(chain_id), nonce, gas_price: gas_price_wei, gas_limit, to, value, input };
                self.signed(signer, tx).await?
            }
            Fee::Eip1559 { max_fee_wei, max_priority_wei } => {
                let (max_fee_per_gas, max_priority_fee_per_gas) = (max_fee_wei, max_priority_wei.min(max_fee_wei));
                let access_list = Default::default();
                let tx = TxEip1559 { chain_id, nonce, gas_limit, max_fee_per_gas, max_priority_fee_per_gas, to, value, access_list, input };
                self.signed(signer, tx).await?
            }
        };
        Ok(SignedTx { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into(), nonce, tx_type: u8::from(envelope.tx_type()) })
    }

    async fn signed<T>(&self, signer: &AccountSigner, mut tx: T) -> Result<TxEnvelope, ChainError>
    where
        T: SignableTransaction<Signature> + Send,
        TxEnvelope: From<alloy::consensus::Signed<T>>,
    {
        let signature = signer.sign_transaction(&mut tx).await;
        let signature = signature.map_err(|error| ChainError::Signing { chain: self.kind(), reason: error.to_string() })?;
        Ok(tx.into_signed(signature).into())
    }

    /// Estimates, prices, checks the funds, signs.
    pub async fn build_and_sign(&self, signer: &AccountSigner, nonce: u64, request: &TxRequest) -> Result<SignedTx, ChainError> {
        let gas_limit = self.estimate_gas(signer.address(), request).await?;
        let fee = self.fee().await?;
        self.check_funds(signer.address(), request, gas_limit, fee).await?;
        self.sign(signer, nonce, request, gas_limit, fee).await
    }

    /// Hands a signed transaction to every endpoint: one of them may take it and keep it to itself. Safe to repeat.
    pub async fn broadcast(&self, account: Address, tx: &SignedTx) -> Result<Broadcast, ChainError> {
        let asked =
            self.inner.endpoints.all.iter().map(|endpoint| endpoint.request::<_, B256>("eth_sendRawTransaction", (tx.raw.clone(),)));
        let (mut refused, mut silent) = (None, None);
        for answer in join_all(asked).await {
            match answer {
                Ok(_) => return Ok(Broadcast::Accepted),
                Err(EndpointError::Transport(error)) => silent = Some(error),
                Err(EndpointError::Refused(payload)) => match self.classify(account, tx, payload.code, &payload.message).await {
                    Ok(known) => return Ok(known),
                    Err(error) => refused = Some(error),
                },
            }
        }
        let nobody = || ChainError::Unknown { chain: self.kind(), subject: "an endpoint to send to".into() };
        Err(refused.or(silent).unwrap_or_else(nobody))
    }

    /// Clients have no codes for these refusals, only words: geth's, core-geth's, Nethermind's, Erigon's and anvil's.
    async fn classify(&self, account: Address, tx: &SignedTx, code: i64, message: &str) -> Result<Broadcast, ChainError> {
        let chain = self.kind();
        let text = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["already known", "already imported", "alreadyknown", "known transaction"]) {
            Ok(Broadcast::AlreadyKnown)
        } else if says(&["nonce too low", "oldnonce", "nonce is too low"]) {
            Err(ChainError::NonceTooLow { chain, account, nonce: tx.nonce })
        } else if says(&["underpriced", "fee too low", "feetoolow", "less than block base fee", "max fee per gas less"]) {
            Err(ChainError::Underpriced { chain, hash: tx.hash, reason: message.into() })
        } else if says(&["insufficient funds", "insufficientfunds", "not enough funds"]) {
            let have_wei = self.balance(account).await?;
            let need_wei = max_cost_wei(&tx.raw).unwrap_or_default();
            Err(ChainError::InsufficientFunds { chain, account, need_wei, have_wei })
        } else {
            Err(ChainError::Rpc { chain, method: "eth_sendRawTransaction", code, message: message.into() })
        }
    }

    /// `None` while the transaction is not in a block of the canonical chain.
    pub async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, ChainError> {
        let found = self.request::<_, Option<RpcReceipt>>(RECEIPT, (hash,)).await?;
        self.checked_receipt(hash, found)
    }

    /// Asks every endpoint, so that `None` means that none of them has it. An endpoint that fails is an error.
    pub async fn receipt_anywhere(&self, hash: B256) -> Result<Option<Receipt>, ChainError> {
        for endpoint in &self.inner.endpoints.all {
            let found = endpoint.request::<_, Option<RpcReceipt>>(RECEIPT, (hash,)).await;
            let receipt = self.checked_receipt(hash, found.map_err(|error| self.plain_error(RECEIPT, error))?)?;
            if receipt.is_some() {
                return Ok(receipt);
            }
        }
        Ok(None)
    }

    fn checked_receipt(&self, hash: B256, found: Option<RpcReceipt>) -> Result<Option<Receipt>, ChainError> {
        let Some(receipt) = found else { return Ok(None) };
        let (Some(block_number), Some(block_hash)) = (receipt.block_number, receipt.block_hash) else { return Ok(None) };
        if receipt.transaction_hash != hash {
            let reason = "a receipt of another transaction".into();
            return Err(ChainError::Malformed { chain: self.kind(), subject: RECEIPT.into(), reason });
        }
        Ok(Some(Receipt {
            tx_hash: hash,
            block_number: block_number.to(),
            block_hash,
            gas_used: receipt.gas_used.to(),
            effective_gas_price_wei: receipt.effective_gas_price.to(),
            tx_type: receipt.tx_type.to(),
            status: receipt.status.to::<u64>() == 1,
            contract_address: receipt.contract_address,
            logs: receipt.logs.into_iter().filter_map(LogEntry::from_rpc).collect(),
        }))
    }

    /// Why a mined transaction failed, as far as a replay on the state before its block can tell.
    pub async fn explain_failure(&self, from: Address, request: &TxRequest, block_number: u64) -> String {
        match self.simulate(from, request, BlockId::number(block_number.saturating_sub(1))).await {
            Err(ChainError::Reverted { reason, .. }) => reason,
            _ => "it failed in its block, though it succeeds on the state before".into(),
        }
    }
}

fn max_cost_wei(raw: &[u8]) -> Option<U256> {
    use alloy::{consensus::Transaction, eips::eip2718::Decodable2718};
    let envelope = TxEnvelope::decode_2718(&mut &*raw).ok()?;
    let gas = U256::from(envelope.gas_limit()).saturating_mul(U256::from(envelope.max_fee_per_gas()));
    Some(gas.saturating_add(envelope.value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bumped_fee_replaces_and_follows_the_market() {
        let low = Fee::Legacy { gas_price_wei: 1_000 };
        assert_eq!(low.bumped(12, Fee::Legacy { gas_price_wei: 1 }), Fee::Legacy { gas_price_wei: 1_121 });
        assert_eq!(low.bumped(12, Fee::Legacy { gas_price_wei: 9_000 }), Fee::Legacy { gas_price_wei: 9_000 });
        let fee = Fee::Eip1559 { max_fee_wei: 0, max_priority_wei: 0 };
        assert_eq!(fee.bumped(12, fee), Fee::Eip1559 { max_fee_wei: 1, max_priority_wei: 1 }, "a zero fee still grows");
    }
}
