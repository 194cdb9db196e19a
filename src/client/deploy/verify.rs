//! Compares what stands on the chains with a deployment file: code with its immutables, wiring, owners, roles, parameters.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Display},
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::{Address, Bytes};
use serde::Serialize;

use super::{
    DeployConfig, DeployError,
    plan::{Step, classic_plan, ethereum_plan},
};
use crate::{
    chain::{BlockId, Chain, ChainError, TxRequest},
    types::{
        AddressBook,
        abi::{
            Faucet, GPURental, GPURentalTerms, GPUToken, Governance, Inbox, KingCourt, KingSet, NodeDirectory, Outbox, ProofVerifier,
            RentalCourt, ReputationSystem, StakingManager, StakingPools, TimelockController, TokenDistributor, WorkDisputes,
            WorkSettlement, WorkVerification,
        },
        addresses::BridgeAddresses,
    },
};

mod code;
mod kings;
mod parameters;
mod rights;

/// What an audit has found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Audit {
    /// Facts that were compared.
    pub checks: usize,
    pub differences: Vec<Difference>,
    /// What has changed since the deployment as it may.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub what: String,
    pub found: String,
    pub expected: String,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, expected {}", self.what, self.found, self.expected)
    }
}

impl Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} checks failed", self.differences.len(), self.checks)?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n{difference}"))
    }
}

/// Compares both chains with the deployment file and the address book. Needs no key; an error says that it could not be done.
pub async fn audit(config: &DeployConfig, book: &AddressBook, ethereum: &Chain, classic: &Chain) -> Result<Audit, DeployError> {
    // Expiry and first owner are in storage, not in the code that the plans are needed for here; the constructors check the expiry.
    let head = ethereum.head().await.map_err(|source| DeployError::chain("the head of Ethereum", source))?;
    let expiry = head.timestamp.saturating_add(config.kings.valid_seconds);
    let eth = View::new(ethereum, ethereum_plan(config, book, code::AUDITOR, expiry));
    let etc = View::new(classic, classic_plan(config, book, expiry));
    eth.check("chain id of Ethereum", ethereum.chain_id(), config.chains.ethereum);
    etc.check("chain id of Ethereum Classic", classic.chain_id(), config.chains.classic);
    eth.check("chain ids of the address book", (book.ethereum.chain_id, book.classic.chain_id), (ethereum.chain_id(), classic.chain_id()));
    tokio::try_join!(verify_ethereum(config, book, &eth), verify_classic(config, book, &etc))?;
    let (mut audit, rest) = (eth.finish(), etc.finish());
    audit.checks += rest.checks;
    audit.differences.extend(rest.differences);
    audit.notes.extend(rest.notes);
    Ok(audit)
}

async fn verify_ethereum(config: &DeployConfig, book: &AddressBook, view: &View<'_>) -> Result<(), DeployError> {
    let eth = &book.ethereum;
    view.code("GPUToken", eth.gpu_token, &GPUToken::DEPLOYED_BYTECODE).await?;
    view.code("TokenDistributor", eth.token_distributor, &TokenDistributor::DEPLOYED_BYTECODE).await?;
    view.code("TimelockController", eth.timelock, &TimelockController::DEPLOYED_BYTECODE).await?;
    view.code("Governance", eth.governance, &Governance::DEPLOYED_BYTECODE).await?;
    view.code("StakingManager", eth.staking_manager, &StakingManager::DEPLOYED_BYTECODE).await?;
    view.code("StakingPools", eth.staking_pools, &StakingPools::DEPLOYED_BYTECODE).await?;
    view.code("GPURental", eth.gpu_rental, &GPURental::DEPLOYED_BYTECODE).await?;
    view.code("GPURentalTerms", eth.gpu_rental_terms, &GPURentalTerms::DEPLOYED_BYTECODE).await?;
    view.code("RentalCourt", eth.rental_court, &RentalCourt::DEPLOYED_BYTECODE).await?;
    view.code("KingCourt", eth.king_court, &KingCourt::DEPLOYED_BYTECODE).await?;
    view.code("NodeDirectory", eth.node_directory, &NodeDirectory::DEPLOYED_BYTECODE).await?;
    view.bridge(&eth.bridge, book.classic.chain_id, book.classic.bridge.outbox).await?;
    view.king_court(book).await?;
    view.equal("NodeDirectory.stakes", eth.node_directory, NodeDirectory::stakesCall {}, eth.staking_manager).await?;
    view.equal("Inbox.governor", eth.bridge.inbox, Inbox::governorCall {}, eth.timelock).await?;
    view.equal("KingSet.stakes", eth.bridge.king_set, KingSet::stakesCall {}, eth.staking_manager).await?;
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
    view.equal("StakingManager.stakingPools", staking, StakingManager::stakingPoolsCall {}, eth.staking_pools).await?;
    view.equal("StakingManager.distributor", staking, StakingManager::distributorCall {}, distributor).await?;
    view.equal("StakingManager.gpuRental", staking, StakingManager::gpuRentalCall {}, rental).await?;
    view.equal("Governance.stakedVotes", eth.governance, Governance::stakedVotesCall {}, staking).await?;
    view.equal("GPURental.token", rental, GPURental::tokenCall {}, eth.gpu_token).await?;
    view.equal("GPURental.stakingManager", rental, GPURental::stakingManagerCall {}, staking).await?;
    view.equal("GPURental.distributor", rental, GPURental::distributorCall {}, distributor).await?;
    view.equal("GPURental.inbox", rental, GPURental::inboxCall {}, eth.bridge.inbox).await?;
    view.equal("GPURental.outbox", rental, GPURental::outboxCall {}, eth.bridge.outbox).await?;
    view.equal("GPURental.classicChainId", rental, GPURental::classicChainIdCall {}, book.classic.chain_id).await?;
    view.equal("GPURental.workVerification", rental, GPURental::workVerificationCall {}, work_verification).await?;
    view.equal("GPURental.terms", rental, GPURental::termsCall {}, eth.gpu_rental_terms).await?;
    view.equal("GPURental.court", rental, GPURental::courtCall {}, eth.rental_court).await?;
    view.equal("RentalCourt.rental", eth.rental_court, RentalCourt::rentalCall {}, rental).await?;
    view.equal("Governance.token", eth.governance, Governance::tokenCall {}, eth.gpu_token).await?;
    view.faucet(config, book).await?;
    view.owners(book).await?;
    view.roles(book).await?;
    view.ethereum_parameters(config, book).await
}

async fn verify_classic(config: &DeployConfig, book: &AddressBook, view: &View<'_>) -> Result<(), DeployError> {
    let etc = &book.classic;
    view.code("ReputationSystem", etc.reputation_system, &ReputationSystem::DEPLOYED_BYTECODE).await?;
    view.code("ProofVerifier", etc.proof_verifier, &ProofVerifier::DEPLOYED_BYTECODE).await?;
    view.code("WorkDisputes", etc.work_disputes, &WorkDisputes::DEPLOYED_BYTECODE).await?;
    view.code("WorkSettlement", etc.work_settlement, &WorkSettlement::DEPLOYED_BYTECODE).await?;
    view.code("WorkVerification", etc.work_verification, &WorkVerification::DEPLOYED_BYTECODE).await?;
    view.bridge(&etc.bridge, book.ethereum.chain_id, book.ethereum.bridge.outbox).await?;
    view.equal("Inbox.governor", etc.bridge.inbox, Inbox::governorCall {}, Address::ZERO).await?;
    view.equal("KingSet.stakes", etc.bridge.king_set, KingSet::stakesCall {}, Address::ZERO).await?;
    let (reputation, work) = (etc.reputation_system, etc.work_verification);
    view.equal("ReputationSystem.workVerification", reputation, ReputationSystem::workVerificationCall {}, work).await?;
    view.equal("WorkVerification.reputation", work, WorkVerification::reputationCall {}, reputation).await?;
    view.equal("WorkVerification.verifier", work, WorkVerification::verifierCall {}, etc.proof_verifier).await?;
    view.equal("WorkVerification.inbox", work, WorkVerification::inboxCall {}, etc.bridge.inbox).await?;
    view.equal("WorkVerification.outbox", work, WorkVerification::outboxCall {}, etc.bridge.outbox).await?;
    view.equal("WorkVerification.ethereumChainId", work, WorkVerification::ethereumChainIdCall {}, book.ethereum.chain_id).await?;
    view.equal("WorkVerification.stakingManager", work, WorkVerification::stakingManagerCall {}, book.ethereum.staking_manager).await?;
    view.equal("WorkVerification.gpuRental", work, WorkVerification::gpuRentalCall {}, book.ethereum.gpu_rental).await?;
    view.equal("WorkVerification.governance", work, WorkVerification::governanceCall {}, book.ethereum.timelock).await?;
    view.equal("WorkVerification.court", work, WorkVerification::courtCall {}, book.ethereum.rental_court).await?;
    view.equal("WorkVerification.settlement", work, WorkVerification::settlementCall {}, etc.work_settlement).await?;
    view.equal("WorkSettlement.disputes", etc.work_settlement, WorkSettlement::disputesCall {}, etc.work_disputes).await?;
    view.classic_owners(book).await?;
    view.classic_parameters(config, book).await
}

/// One chain under audit, and what was found on it so far.
struct View<'a> {
    chain: &'a Chain,
    /// Creation code by contract name; entries leave once they are compared.
    creations: Mutex<BTreeMap<&'static str, Bytes>>,
    audit: Mutex<Audit>,
}

impl<'a> View<'a> {
    fn new(chain: &'a Chain, plan: Vec<Step>) -> Self {
        let created = plan.into_iter().filter(|step| step.request.to.is_none());
        let creations = Mutex::new(created.map(|step| (step.name, step.request.data)).collect());
        Self { chain, creations, audit: Mutex::default() }
    }

    fn audit(&self) -> MutexGuard<'_, Audit> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A contract of the plan that nobody compared is a difference, too.
    fn finish(self) -> Audit {
        let unchecked = self.creations.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut audit = self.audit.into_inner().unwrap_or_else(PoisonError::into_inner);
        let difference =
            |name| Difference { what: format!("code of {name}"), found: "not compared".into(), expected: "that of its source".into() };
        audit.differences.extend(unchecked.into_keys().map(difference));
        audit
    }

    fn check<T: Debug + PartialEq>(&self, what: &str, found: T, expected: T) {
        let same = found == expected;
        self.record(same, || Difference { what: what.into(), found: format!("{found:?}"), expected: format!("{expected:?}") });
    }

    fn record(&self, same: bool, difference: impl FnOnce() -> Difference) {
        let mut audit = self.audit();
        audit.checks += 1;
        if !same {
            audit.differences.push(difference());
        }
    }

    fn note(&self, note: String) {
        self.audit().notes.push(note);
    }

    /// `None`, and a difference, where no answer can be read: no contract, or one without this function.
    async fn ask<C: alloy::sol_types::SolCall>(&self, name: &str, contract: Address, call: C) -> Result<Option<C::Return>, DeployError> {
        match self.chain.call(contract, call, BlockId::latest()).await {
            Ok(found) => Ok(Some(found)),
            Err(error @ (ChainError::NoCode { .. } | ChainError::Reverted { .. } | ChainError::Malformed { .. })) => {
                self.record(false, || Difference { what: name.into(), found: error.to_string(), expected: "an answer".into() });
                Ok(None)
            }
            Err(source) => Err(DeployError::chain(name, source)),
        }
    }

    async fn equal<C>(&self, name: &str, contract: Address, call: C, expected: C::Return) -> Result<(), DeployError>
    where
        C: alloy::sol_types::SolCall,
        C::Return: Debug + PartialEq,
    {
        if let Some(found) = self.ask(name, contract, call).await? {
            self.check(name, found, expected);
        }
        Ok(())
    }

    /// Compares a structure field by field, so that each difference is named.
    async fn fields<C>(&self, name: &str, contract: Address, call: C, expected: &C::Return) -> Result<(), DeployError>
    where
        C: alloy::sol_types::SolCall,
        C::Return: Debug,
    {
        if let Some(found) = self.ask(name, contract, call).await? {
            self.compare_fields(name, &found, expected);
        }
        Ok(())
    }

    async fn bridge(&self, bridge: &BridgeAddresses, far_chain: u64, far_outbox: Address) -> Result<(), DeployError> {
        self.code("Outbox", bridge.outbox, &Outbox::DEPLOYED_BYTECODE).await?;
        self.code("KingSet", bridge.king_set, &KingSet::DEPLOYED_BYTECODE).await?;
        self.code("Inbox", bridge.inbox, &Inbox::DEPLOYED_BYTECODE).await?;
        self.equal("Inbox.originChainId", bridge.inbox, Inbox::originChainIdCall {}, far_chain).await?;
        self.equal("Inbox.originOutbox", bridge.inbox, Inbox::originOutboxCall {}, far_outbox).await?;
        self.equal("Inbox.kingSet", bridge.inbox, Inbox::kingSetCall {}, bridge.king_set).await?;
        self.equal("Inbox.localOutbox", bridge.inbox, Inbox::localOutboxCall {}, bridge.outbox).await?;
        self.equal("KingSet.inbox", bridge.king_set, KingSet::inboxCall {}, bridge.inbox).await?;
        self.equal("KingSet.outbox", bridge.king_set, KingSet::outboxCall {}, bridge.outbox).await?;
        self.equal("KingSet.farChainId", bridge.king_set, KingSet::farChainIdCall {}, far_chain).await?;
        self.equal("KingSet.farOutbox", bridge.king_set, KingSet::farOutboxCall {}, far_outbox).await
    }

    async fn king_court(&self, book: &AddressBook) -> Result<(), DeployError> {
        let (eth, etc) = (&book.ethereum, &book.classic);
        let court = eth.king_court;
        self.equal("StakingManager.kingCourt", eth.staking_manager, StakingManager::kingCourtCall {}, court).await?;
        self.equal("KingCourt.slasher", court, KingCourt::slasherCall {}, eth.staking_manager).await?;
        self.equal("KingCourt.kingSet", court, KingCourt::kingSetCall {}, eth.bridge.king_set).await?;
        self.equal("KingCourt.outbox", court, KingCourt::outboxCall {}, eth.bridge.outbox).await?;
        self.equal("KingCourt.farChainId", court, KingCourt::farChainIdCall {}, etc.chain_id).await?;
        self.equal("KingCourt.farOutbox", court, KingCourt::farOutboxCall {}, etc.bridge.outbox).await
    }

    async fn faucet(&self, config: &DeployConfig, book: &AddressBook) -> Result<(), DeployError> {
        self.check("faucet", book.ethereum.faucet.is_some(), config.faucet.is_some());
        let Some(faucet) = book.ethereum.faucet else { return Ok(()) };
        self.code("Faucet", faucet, &Faucet::DEPLOYED_BYTECODE).await
    }
}
