//! Who may do what: every right belongs to the timelock, and nobody holds a second key.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, B256, keccak256},
    sol_types::SolEvent,
};

use super::{
    AddressBook, DeployError, Difference, GPURental, GPUToken, Governance, RentalCourt, ReputationSystem, StakingManager,
    TimelockController, TokenDistributor, View, WorkVerification,
};
use crate::chain::LogQuery;

impl View<'_> {
    pub(super) async fn owners(&self, book: &AddressBook) -> Result<(), DeployError> {
        let eth = &book.ethereum;
        self.equal("StakingManager.owner", eth.staking_manager, StakingManager::ownerCall {}, eth.timelock).await?;
        self.equal("GPURental.owner", eth.gpu_rental, GPURental::ownerCall {}, eth.timelock).await?;
        self.equal("RentalCourt.owner", eth.rental_court, RentalCourt::ownerCall {}, eth.timelock).await?;
        self.equal("TokenDistributor.owner", eth.token_distributor, TokenDistributor::ownerCall {}, eth.timelock).await?;
        self.equal("Governance.timelock", eth.governance, Governance::timelockCall {}, eth.timelock).await?;
        // Zero once wired: the deployer's only other right is gone.
        self.equal("GPUToken.wirer", eth.gpu_token, GPUToken::wirerCall {}, Address::ZERO).await?;
        self.equal("TokenDistributor.wirer", eth.token_distributor, TokenDistributor::wirerCall {}, Address::ZERO).await?;
        self.equal("StakingManager.wirer", eth.staking_manager, StakingManager::wirerCall {}, Address::ZERO).await?;
        self.equal("GPURental.wirer", eth.gpu_rental, GPURental::wirerCall {}, Address::ZERO).await
    }

    pub(super) async fn classic_owners(&self, book: &AddressBook) -> Result<(), DeployError> {
        let etc = &book.classic;
        self.equal("ReputationSystem.wirer", etc.reputation_system, ReputationSystem::wirerCall {}, Address::ZERO).await?;
        self.equal("WorkVerification.wirer", etc.work_verification, WorkVerification::wirerCall {}, Address::ZERO).await
    }

    /// Every grant and revocation since the deployment: the timelock has no list of holders.
    pub(super) async fn roles(&self, book: &AddressBook) -> Result<(), DeployError> {
        let eth = &book.ethereum;
        let role = |name: &str| keccak256(name);
        let expected: BTreeSet<(B256, Address)> = [
            (B256::ZERO, eth.timelock),
            (role("PROPOSER_ROLE"), eth.governance),
            (role("CANCELLER_ROLE"), eth.governance),
            // Anybody executes what has waited long enough.
            (role("EXECUTOR_ROLE"), Address::ZERO),
        ]
        .into();
        let found = self.role_holders(eth.timelock, eth.start_block).await?;
        for (role, account) in expected.union(&found) {
            let held = |holders: &BTreeSet<(B256, Address)>| holders.contains(&(*role, *account));
            self.record(held(&found) == held(&expected), || Difference {
                what: format!("{} of the timelock for {account}", role_name(*role)),
                found: if held(&found) { "granted".into() } else { "not granted".into() },
                expected: if held(&expected) { "granted".into() } else { "not granted".into() },
            });
        }
        Ok(())
    }

    async fn role_holders(&self, timelock: Address, start_block: u64) -> Result<BTreeSet<(B256, Address)>, DeployError> {
        let failed = |source| DeployError::chain("roles of the timelock", source);
        let topics = vec![vec![TimelockController::RoleGranted::SIGNATURE_HASH, TimelockController::RoleRevoked::SIGNATURE_HASH]];
        let to = self.chain.head().await.map_err(failed)?.number;
        let mut query = LogQuery { addresses: vec![timelock], topics, from: start_block, to };
        let mut holders = BTreeSet::new();
        while query.from <= to {
            let batch = self.chain.logs(&query).await.map_err(failed)?;
            for log in batch.logs {
                if let Some(granted) = log.decode::<TimelockController::RoleGranted>() {
                    holders.insert((granted.role, granted.account));
                } else if let Some(revoked) = log.decode::<TimelockController::RoleRevoked>() {
                    holders.remove(&(revoked.role, revoked.account));
                }
            }
            query.from = batch.covered_to + 1;
        }
        Ok(holders)
    }
}

fn role_name(role: B256) -> String {
    let known = ["PROPOSER_ROLE", "CANCELLER_ROLE", "EXECUTOR_ROLE"];
    match known.into_iter().find(|name| keccak256(name) == role) {
        Some(name) => name.into(),
        None if role.is_zero() => "DEFAULT_ADMIN_ROLE".into(),
        None => role.to_string(),
    }
}
