//! Checks that what stands on the chains is this deployment: code, wiring, owners.

use std::fmt::Debug;

use alloy::primitives::{Address, B256, Bytes, keccak256};

use super::DeployError;
use crate::{
    chain::{BlockId, Chain},
    types::{
        AddressBook,
        abi::{
            GPURental, GPURentalTerms, GPUToken, Governance, Inbox, KingSet, Outbox, ProofVerifier, RentalCourt, ReputationSystem,
            StakingManager, TimelockController, TokenDistributor, WorkVerification,
        },
        addresses::BridgeAddresses,
    },
};

/// Compares both chains with the address book. Every mismatch names what was found and expected.
pub async fn verify_deployment(book: &AddressBook, ethereum: &Chain, classic: &Chain) -> Result<(), DeployError> {
    expect("chain id of Ethereum", ethereum.chain_id(), book.ethereum.chain_id)?;
    expect("chain id of Ethereum Classic", classic.chain_id(), book.classic.chain_id)?;
    tokio::try_join!(verify_ethereum(book, ethereum), verify_classic(book, classic))?;
    Ok(())
}

async fn verify_ethereum(book: &AddressBook, chain: &Chain) -> Result<(), DeployError> {
    let eth = &book.ethereum;
    let view = View { chain };
    view.code("GPUToken", eth.gpu_token, &GPUToken::DEPLOYED_BYTECODE).await?;
    view.code("TokenDistributor", eth.token_distributor, &TokenDistributor::DEPLOYED_BYTECODE).await?;
    view.code("TimelockController", eth.timelock, &TimelockController::DEPLOYED_BYTECODE).await?;
    view.code("Governance", eth.governance, &Governance::DEPLOYED_BYTECODE).await?;
    view.code("StakingManager", eth.staking_manager, &StakingManager::DEPLOYED_BYTECODE).await?;
    view.code("GPURental", eth.gpu_rental, &GPURental::DEPLOYED_BYTECODE).await?;
    view.code("GPURentalTerms", eth.gpu_rental_terms, &GPURentalTerms::DEPLOYED_BYTECODE).await?;
    view.code("RentalCourt", eth.rental_court, &RentalCourt::DEPLOYED_BYTECODE).await?;
    view.bridge(&eth.bridge, book.classic.chain_id, book.classic.bridge.outbox).await?;
    view.equal("GPUToken.minter", eth.gpu_token, GPUToken::minterCall {}, eth.token_distributor).await?;
    let (distributor, rental, staking) = (eth.token_distributor, eth.gpu_rental, eth.staking_manager);
    view.equal("TokenDistributor.token", distributor, TokenDistributor::tokenCall {}, eth.gpu_token).await?;
    view.equal("TokenDistributor.gpuRental", distributor, TokenDistributor::gpuRentalCall {}, rental).await?;
    view.equal("TokenDistributor.stakingManager", distributor, TokenDistributor::stakingManagerCall {}, staking).await?;
    view.equal("TokenDistributor.genesisDone", distributor, TokenDistributor::genesisDoneCall {}, true).await?;
    view.equal("StakingManager.token", staking, StakingManager::tokenCall {}, eth.gpu_token).await?;
    view.equal("StakingManager.inbox", staking, StakingManager::inboxCall {}, eth.bridge.inbox).await?;
    view.equal("StakingManager.outbox", staking, StakingManager::outboxCall {}, eth.bridge.outbox).await?;
    view.equal("StakingManager.classicChainId", staking, StakingManager::classicChainIdCall {}, book.classic.chain_id).await?;
    let work_verification = book.classic.work_verification;
    view.equal("StakingManager.workVerification", staking, StakingManager::workVerificationCall {}, work_verification).await?;
    view.equal("GPURental.token", rental, GPURental::tokenCall {}, eth.gpu_token).await?;
    view.equal("GPURental.stakingManager", rental, GPURental::stakingManagerCall {}, staking).await?;
    view.equal("GPURental.distributor", rental, GPURental::distributorCall {}, distributor).await?;
    view.equal("GPURental.inbox", rental, GPURental::inboxCall {}, eth.bridge.inbox).await?;
    view.equal("GPURental.outbox", rental, GPURental::outboxCall {}, eth.bridge.outbox).await?;
    view.equal("GPURental.workVerification", rental, GPURental::workVerificationCall {}, work_verification).await?;
    view.equal("GPURental.terms", rental, GPURental::termsCall {}, eth.gpu_rental_terms).await?;
    view.equal("GPURental.court", rental, GPURental::courtCall {}, eth.rental_court).await?;
    view.equal("RentalCourt.rental", eth.rental_court, RentalCourt::rentalCall {}, rental).await?;
    view.owners(book).await
}

async fn verify_classic(book: &AddressBook, chain: &Chain) -> Result<(), DeployError> {
    let etc = &book.classic;
    let view = View { chain };
    view.code("ReputationSystem", etc.reputation_system, &ReputationSystem::DEPLOYED_BYTECODE).await?;
    view.code("ProofVerifier", etc.proof_verifier, &ProofVerifier::DEPLOYED_BYTECODE).await?;
    view.code("WorkVerification", etc.work_verification, &WorkVerification::DEPLOYED_BYTECODE).await?;
    view.bridge(&etc.bridge, book.ethereum.chain_id, book.ethereum.bridge.outbox).await?;
    let (reputation, work) = (etc.reputation_system, etc.work_verification);
    view.equal("ReputationSystem.workVerification", reputation, ReputationSystem::workVerificationCall {}, work).await?;
    view.equal("WorkVerification.reputation", work, WorkVerification::reputationCall {}, reputation).await?;
    view.equal("WorkVerification.verifier", work, WorkVerification::verifierCall {}, etc.proof_verifier).await?;
    view.equal("WorkVerification.inbox", work, WorkVerification::inboxCall {}, etc.bridge.inbox).await?;
    view.equal("WorkVerification.outbox", work, WorkVerification::outboxCall {}, etc.bridge.outbox).await?;
    view.equal("WorkVerification.ethereumChainId", work, WorkVerification::ethereumChainIdCall {}, book.ethereum.chain_id).await?;
    view.equal("WorkVerification.stakingManager", work, WorkVerification::stakingManagerCall {}, book.ethereum.staking_manager).await?;
    view.equal("WorkVerification.gpuRental", work, WorkVerification::gpuRentalCall {}, book.ethereum.gpu_rental).await
}

struct View<'a> {
    chain: &'a Chain,
}

impl View<'_> {
    async fn equal<C>(&self, name: &str, contract: Address, call: C, expected: C::Return) -> Result<(), DeployError>
    where
        C: alloy::sol_types::SolCall,
        C::Return: Debug + PartialEq,
    {
        let found = self.chain.call(contract, call, BlockId::latest()).await.map_err(|source| DeployError::chain(name, source))?;
        expect(name, found, expected)
    }

    /// Immutables are zero in the artifact and filled in on chain; everything else must be equal.
    async fn code(&self, name: &str, contract: Address, artifact: &Bytes) -> Result<(), DeployError> {
        let found = self.chain.code(contract).await.map_err(|source| DeployError::chain(name, source))?;
        let same = found.len() == artifact.len() && found.iter().zip(artifact.iter()).all(|(found, built)| found == built || *built == 0);
        if same { Ok(()) } else { expect(&format!("code of {name}"), keccak256(&found), keccak256(artifact)) }
    }

    async fn bridge(&self, bridge: &BridgeAddresses, far_chain: u64, far_outbox: Address) -> Result<(), DeployError> {
        self.code("Outbox", bridge.outbox, &Outbox::DEPLOYED_BYTECODE).await?;
        self.code("KingSet", bridge.king_set, &KingSet::DEPLOYED_BYTECODE).await?;
        self.code("Inbox", bridge.inbox, &Inbox::DEPLOYED_BYTECODE).await?;
        self.equal("Inbox.originChainId", bridge.inbox, Inbox::originChainIdCall {}, far_chain).await?;
        self.equal("Inbox.originOutbox", bridge.inbox, Inbox::originOutboxCall {}, far_outbox).await?;
        self.equal("Inbox.kingSet", bridge.inbox, Inbox::kingSetCall {}, bridge.king_set).await?;
        self.equal("Inbox.localOutbox", bridge.inbox, Inbox::localOutboxCall {}, bridge.outbox).await
    }

    async fn owners(&self, book: &AddressBook) -> Result<(), DeployError> {
        let eth = &book.ethereum;
        self.equal("StakingManager.owner", eth.staking_manager, StakingManager::ownerCall {}, eth.timelock).await?;
        self.equal("GPURental.owner", eth.gpu_rental, GPURental::ownerCall {}, eth.timelock).await?;
        self.equal("RentalCourt.owner", eth.rental_court, RentalCourt::ownerCall {}, eth.timelock).await?;
        self.equal("TokenDistributor.owner", eth.token_distributor, TokenDistributor::ownerCall {}, eth.timelock).await?;
        self.equal("Governance.timelock", eth.governance, Governance::timelockCall {}, eth.timelock).await?;
        let holds = |role: B256, account| TimelockController::hasRoleCall { role, account };
        let proposer = keccak256("PROPOSER_ROLE");
        self.equal("Governance proposes", eth.timelock, holds(proposer, eth.governance), true).await?;
        self.equal("TimelockController administrates itself", eth.timelock, holds(B256::ZERO, eth.timelock), true).await?;
        Ok(())
    }
}

fn expect<T: Debug + PartialEq>(what: &str, found: T, expected: T) -> Result<(), DeployError> {
    if found == expected {
        return Ok(());
    }
    Err(DeployError::Mismatch { what: what.into(), found: format!("{found:?}"), expected: format!("{expected:?}") })
}
