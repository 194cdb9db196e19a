//! Keeps a provider's gas fund on Ethereum Classic filled, out of the worker's wallet: it pays others for opening, sealing and reporting.

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};

use super::{
    index::ChainIndex,
    next_block,
    sender::{Intent, SendError, Sender},
};
use crate::{
    chain::{BlockId, Chain, ChainError, TxRequest},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{Coded, abi::WorkVerification},
};

/// Blocks between two looks. The fund is spent slowly: a few refunds an hour.
const LOOK_EVERY: u64 = 32;

#[derive(Debug, thiserror::Error)]
pub enum FundError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Send(#[from] SendError),
}

impl Coded for FundError {
    fn code(&self) -> &'static str {
        match self {
            FundError::Chain(error) => error.code(),
            FundError::Send(error) => error.code(),
        }
    }

    fn next_step(&self) -> String {
        match self {
            FundError::Chain(error) => error.next_step(),
            FundError::Send(error) => error.next_step(),
        }
    }
}

pub struct FundService {
    pub chain: Chain,
    pub classic: ChainIndex,
    pub contract: Address,
    pub account: Address,
    /// What the fund is filled up to, once it is below half of it.
    pub target_wei: U256,
    pub sender: Sender,
    pub metrics: Metrics,
}

impl FundService {
    async fn fill(&self) -> Result<(), FundError> {
        let newest = self.classic.newest().number;
        let held = self.chain.call(self.contract, WorkVerification::fundOfCall { account: self.account }, BlockId::latest()).await?;
        if held >= self.target_wei / U256::from(2) {
            return Ok(());
        }
        let data = WorkVerification::depositCall { account: self.account }.abi_encode();
        let request = TxRequest { to: Some(self.contract), data: data.into(), value_wei: self.target_wei - held };
        // One deposit per block at most, whatever became of the one before.
        let id = format!("fund:{}:{newest}", self.account);
        let mined = self.sender.submit(Intent { id, request, label: "deposit".into(), gas_limit: None }).await?;
        self.metrics.event("fund", "filled");
        tracing::info!(tx = %mined.hash, amount_wei = %(self.target_wei - held), "gas fund filled");
        Ok(())
    }
}

#[async_trait::async_trait]
impl Service for FundService {
    fn name(&self) -> &'static str {
        "fund"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.classic.head();
        let mut next = 0;
        loop {
            let newest = self.classic.newest().number;
            if newest >= next {
                next = newest + LOOK_EVERY;
                if let Err(error) = self.fill().await {
                    tracing::warn!(code = error.code(), %error, "the gas fund was not filled");
                }
            }
            if !next_block(&mut head, shutdown).await {
                return Ok(());
            }
        }
    }
}
