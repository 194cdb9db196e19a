//! Watches that the contracts hold what they owe: whatever a thief found to take, a person hears of it within a block.

use alloy::primitives::{Address, B256, U256, utils::format_units};

use super::{index::ChainIndex, next_block};
use crate::{
    chain::{Chain, ChainError},
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Metrics, Severity},
    types::{
        AddressBook, Coded,
        abi::{GPURental, GPUToken, StakingManager},
    },
};

pub struct SolvencyWatch {
    /// Ethereum: the money is there.
    pub chain: Chain,
    pub index: ChainIndex,
    pub book: AddressBook,
    pub alerts: Alerts,
    pub metrics: Metrics,
}

/// What a contract holds and what it owes, at one block.
struct Position {
    contract: &'static str,
    address: Address,
    held: U256,
    owed: U256,
}

impl SolvencyWatch {
    async fn look(&self) -> Result<(), ChainError> {
        let block = self.chain.agreed_block(self.chain.agreed_head_number().await?).await?;
        let positions = [self.rental(block.hash).await?, self.stakes(block.hash).await?];
        for position in positions {
            self.judge(&position, block.number);
        }
        Ok(())
    }

    async fn held(&self, account: Address, block: B256) -> Result<U256, ChainError> {
        self.chain.agreed_call(self.book.ethereum.gpu_token, GPUToken::balanceOfCall { account }, block).await
    }

    async fn rental(&self, block: B256) -> Result<Position, ChainError> {
        let address = self.book.ethereum.gpu_rental;
        let in_escrow = self.chain.agreed_call(address, GPURental::totalHeldCall {}, block).await?;
        let credited = self.chain.agreed_call(address, GPURental::totalCreditCall {}, block).await?;
        let reserved = self.chain.agreed_call(address, GPURental::totalReserveCall {}, block).await?;
        let owed = in_escrow.saturating_add(credited).saturating_add(reserved);
        Ok(Position { contract: "GPURental", address, held: self.held(address, block).await?, owed })
    }

    async fn stakes(&self, block: B256) -> Result<Position, ChainError> {
        let address = self.book.ethereum.staking_manager;
        let owed = self.chain.agreed_call(address, StakingManager::totalHeldCall {}, block).await?;
        Ok(Position { contract: "StakingManager", address, held: self.held(address, block).await?, owed })
    }

    fn judge(&self, position: &Position, block: u64) {
        let Position { contract, address, held, owed } = position;
        let tokens = |amount: U256| format_units(amount, 18).unwrap_or_default();
        let margin: f64 = tokens(held.abs_diff(*owed)).parse().unwrap_or_default();
        self.metrics.solvency_margin(contract, if held < owed { -margin } else { margin });
        if held < owed {
            let message = format!(
                "{contract} ({address}) holds {} GPUTOKEN and owes {} at block {block}: pause it through Governance, or the bridge by a King quorum",
                tokens(*held),
                tokens(*owed)
            );
            self.alerts.raise("insolvent", Severity::Critical, *contract, message);
        }
    }
}

#[async_trait::async_trait]
impl Service for SolvencyWatch {
    fn name(&self) -> &'static str {
        "solvency"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.index.head();
        loop {
            if let Err(error) = self.look().await {
                tracing::debug!(code = error.code(), %error, "solvency cannot be read");
            }
            if !next_block(&mut head, shutdown).await {
                return Ok(());
            }
        }
    }
}
