//! One transaction that a person asked for: simulated first, then sent, or only shown.

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolCall,
};
use serde::Serialize;

use super::{ClientError, Clients};
use crate::chain::{BlockId, LogEntry, TxRequest};

/// Whether a transaction is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Send,
    /// Simulated on the newest block and priced; nothing leaves this machine.
    DryRun,
}

/// A transaction that was mined, or that would succeed now.
#[derive(Debug, Clone, Serialize)]
pub struct Submitted {
    pub action: String,
    pub to: Address,
    pub dry_run: bool,
    /// `None` of a dry run.
    pub transaction: Option<B256>,
    pub gas: u64,
    /// Coins of Ethereum, wei: what it cost, or the most it would.
    #[serde(serialize_with = "decimal")]
    pub fee_wei: U256,
    #[serde(skip)]
    pub logs: Vec<LogEntry>,
}

fn decimal<S: serde::Serializer>(wei: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(wei)
}

impl Clients {
    /// Calls a contract on Ethereum. What the contract would refuse costs no gas: it comes back in words before anything is signed.
    pub async fn submit<C: SolCall>(&self, mode: Mode, action: &str, to: Address, call: C) -> Result<Submitted, ClientError> {
        self.submit_request(mode, action, TxRequest::call(to, call.abi_encode())).await
    }

    pub async fn submit_request(&self, mode: Mode, action: &str, request: TxRequest) -> Result<Submitted, ClientError> {
        let (chain, from) = (&self.ethereum, self.signer.address());
        let to = request.to.unwrap_or_default();
        chain.simulate(from, &request, BlockId::latest()).await?;
        if mode == Mode::DryRun {
            let gas = chain.estimate_gas(from, &request).await?;
            let fee_wei = U256::from(gas) * U256::from(chain.fee().await?.max_per_gas_wei());
            return Ok(Submitted { action: action.into(), to, dry_run: true, transaction: None, gas, fee_wei, logs: Vec::new() });
        }
        let receipt = self.ethereum_wallet().send_request(action, request).await?;
        let fee_wei = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price_wei);
        let transaction = Some(receipt.tx_hash);
        Ok(Submitted { action: action.into(), to, dry_run: false, transaction, gas: receipt.gas_used, fee_wei, logs: receipt.logs })
    }
}
