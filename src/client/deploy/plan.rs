//! All transactions of a deployment, known before the first is sent: CREATE addresses follow from the deployer's nonces.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::{SolCall, SolConstructor},
};

use super::config::{ClassSettings, DeployConfig, KingMember, wei};
use crate::{
    chain::TxRequest,
    types::{
        AddressBook,
        abi::king_set,
        abi::{
            Faucet, GPURental, GPURentalTerms, GPUToken, Governance, Inbox, KingCourt, KingSet, NodeDirectory, Outbox, ProofVerifier,
            RentalCourt, ReputationSystem, StakingManager, StakingPools, TimelockController, TokenDistributor, WorkDisputes,
            WorkSettlement, WorkVerification,
        },
        addresses::{self, BridgeAddresses, ClassicAddresses, EthereumAddresses, KingSetEntry},
    },
};

/// One transaction of the plan.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub name: &'static str,
    pub request: TxRequest,
    /// Bytes of a creation that are code; arguments follow, in which a signer's address may look like anything.
    pub code_bytes: usize,
}

/// Where a chain's plan starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub deployer: Address,
    pub first_nonce: u64,
    pub start_block: u64,
}

impl Origin {
    fn created(&self, step: u64) -> Address {
        self.deployer.create(self.first_nonce + step)
    }

    /// The three bridge contracts are the first steps on both chains.
    fn bridge(&self) -> BridgeAddresses {
        BridgeAddresses { outbox: self.created(0), king_set: self.created(1), inbox: self.created(2) }
    }
}

pub(super) fn address_book(config: &DeployConfig, ethereum: Origin, classic: Origin) -> AddressBook {
    let member = |king: &KingMember| addresses::KingMember { address: king.operator, weight: king.weight };
    AddressBook {
        kings: KingSetEntry { set_epoch: config.kings.set_epoch, members: config.kings.members.iter().map(member).collect() },
        ethereum: EthereumAddresses {
            chain_id: config.chains.ethereum,
            start_block: ethereum.start_block,
            bridge: ethereum.bridge(),
            gpu_token: ethereum.created(3),
            token_distributor: ethereum.created(4),
            timelock: ethereum.created(5),
            governance: ethereum.created(6),
            staking_pools: ethereum.created(7),
            staking_manager: ethereum.created(8),
            gpu_rental_terms: ethereum.created(9),
            gpu_rental: ethereum.created(10),
            rental_court: ethereum.created(11),
            king_court: ethereum.created(12),
            node_directory: ethereum.created(13),
            faucet: None,
        },
        classic: ClassicAddresses {
            chain_id: config.chains.classic,
            start_block: classic.start_block,
            bridge: classic.bridge(),
            reputation_system: classic.created(3),
            proof_verifier: classic.created(4),
            work_disputes: classic.created(5),
            work_settlement: classic.created(6),
            work_verification: classic.created(7),
        },
    }
}

/// The faucet is the last step where there is one, so that nothing else moves with it.
pub(super) fn with_faucet(config: &DeployConfig, mut book: AddressBook, ethereum: Origin) -> AddressBook {
    if config.faucet.is_some() {
        let steps = ethereum_plan(config, &book, ethereum.deployer, 0).len();
        book.ethereum.faucet = Some(ethereum.created(steps as u64));
    }
    book
}

pub(super) fn ethereum_plan(config: &DeployConfig, book: &AddressBook, deployer: Address, kings_expire_at: u64) -> Vec<Step> {
    let (eth, etc) = (&book.ethereum, &book.classic);
    let ends = Ends { near: &eth.bridge, far_chain: etc.chain_id, far_outbox: etc.bridge.outbox, stakes: eth.staking_manager };
    let mut steps = bridge_steps(config, kings_expire_at, &ends, eth.timelock);
    steps.extend([
        create("GPUToken", &GPUToken::BYTECODE, GPUToken::constructorCall { cap_: config.token.cap.wei() }),
        create(
            "TokenDistributor",
            &TokenDistributor::BYTECODE,
            TokenDistributor::constructorCall {
                token_: eth.gpu_token,
                owner_: deployer,
                genesisTotal_: config.genesis_total(),
                emission_: config.emission(),
                parameters_: config.reward_parameters(),
                tiers_: config.loyalty_tiers(),
            },
        ),
        create(
            "TimelockController",
            &TimelockController::BYTECODE,
            // Governance proposes, anybody executes what has waited long enough, nobody administrates.
            TimelockController::constructorCall {
                minDelay: U256::from(config.governance.timelock_delay_seconds),
                proposers: vec![eth.governance],
                executors: vec![Address::ZERO],
                admin: Address::ZERO,
            },
        ),
        create(
            "Governance",
            &Governance::BYTECODE,
            Governance::constructorCall {
                token: eth.gpu_token,
                stakedVotes_: eth.staking_manager,
                timelock: eth.timelock,
                settings: config.governance_settings(),
            },
        ),
        create("StakingPools", &StakingPools::BYTECODE, StakingPools::constructorCall { token_: eth.gpu_token }),
        create(
            "StakingManager",
            &StakingManager::BYTECODE,
            StakingManager::constructorCall {
                token_: eth.gpu_token,
                owner_: deployer,
                parameters_: config.staking_parameters(),
                classes: config.class_stakes(),
                stakingPools_: eth.staking_pools,
            },
        ),
    ]);
    steps.extend(rental_steps(config, book, deployer));
    steps.push(create(
        "KingCourt",
        &KingCourt::BYTECODE,
        KingCourt::constructorCall {
            slasher_: eth.staking_manager,
            kingSet_: eth.bridge.king_set,
            outbox_: eth.bridge.outbox,
            farChainId_: etc.chain_id,
            farOutbox_: etc.bridge.outbox,
        },
    ));
    let directory = NodeDirectory::constructorCall { stakes_: eth.staking_manager };
    steps.push(create("NodeDirectory", &NodeDirectory::BYTECODE, directory));
    steps.extend(ethereum_wiring(config, book));
    steps.extend(reward_steps(config, eth.token_distributor));
    steps.extend(hand_over(book));
    steps.extend(faucet_step(config, book));
    steps
}

/// It holds its tokens since genesis; nobody owns it.
fn faucet_step(config: &DeployConfig, book: &AddressBook) -> Option<Step> {
    let faucet = config.faucet.as_ref().filter(|_| book.ethereum.faucet.is_some())?;
    let arguments = Faucet::constructorCall {
        token_: book.ethereum.gpu_token,
        amount_: faucet.amount.wei(),
        interval_: faucet.interval_seconds,
        dailyLimit_: faucet.daily_limit.wei(),
    };
    Some(create("Faucet", &Faucet::BYTECODE, arguments))
}

/// The code of GPURental is deployed in two halves, the second first: together they exceed what one contract may hold (EIP-170).
fn rental_steps(config: &DeployConfig, book: &AddressBook, deployer: Address) -> Vec<Step> {
    let eth = &book.ethereum;
    vec![
        create(
            "GPURentalTerms",
            &GPURentalTerms::BYTECODE,
            GPURentalTerms::constructorCall {
                token_: eth.gpu_token,
                stakingManager_: eth.staking_manager,
                distributor_: eth.token_distributor,
            },
        ),
        create(
            "GPURental",
            &GPURental::BYTECODE,
            GPURental::constructorCall {
                token_: eth.gpu_token,
                stakingManager_: eth.staking_manager,
                distributor_: eth.token_distributor,
                owner_: deployer,
                parameters_: config.rental_parameters(),
                terms_: eth.gpu_rental_terms,
            },
        ),
        create(
            "RentalCourt",
            &RentalCourt::BYTECODE,
            RentalCourt::constructorCall {
                token_: eth.gpu_token,
                stakingManager_: eth.staking_manager,
                rental_: eth.gpu_rental,
                owner_: deployer,
                parameters_: config.court_parameters(),
            },
        ),
    ]
}

fn ethereum_wiring(config: &DeployConfig, book: &AddressBook) -> Vec<Step> {
    let (eth, etc) = (&book.ethereum, &book.classic);
    let (inbox, outbox) = (eth.bridge.inbox, eth.bridge.outbox);
    vec![
        call("GPUToken.wire", eth.gpu_token, GPUToken::wireCall { distributor: eth.token_distributor }),
        call(
            "TokenDistributor.wire",
            eth.token_distributor,
            TokenDistributor::wireCall { gpuRental_: eth.gpu_rental, stakingManager_: eth.staking_manager },
        ),
        call(
            "StakingManager.wire",
            eth.staking_manager,
            StakingManager::wireCall {
                inbox_: inbox,
                outbox_: outbox,
                classicChainId_: etc.chain_id,
                workVerification_: etc.work_verification,
                distributor_: eth.token_distributor,
                gpuRental_: eth.gpu_rental,
            },
        ),
        call(
            "GPURental.wire",
            eth.gpu_rental,
            GPURental::wireCall { inbox_: inbox, outbox_: outbox, classicChainId_: etc.chain_id, workVerification_: etc.work_verification },
        ),
        call("StakingManager.setKingCourt", eth.staking_manager, StakingPools::setKingCourtCall { court: eth.king_court }),
        call("GPURental.setCourt", eth.gpu_rental, GPURental::setCourtCall { court_: eth.rental_court }),
        call(
            "TokenDistributor.genesis",
            eth.token_distributor,
            TokenDistributor::genesisCall { allocations: config.allocations(eth.faucet) },
        ),
    ]
}

/// What rentals earn, while the deployer may still say so.
fn reward_steps(config: &DeployConfig, distributor: Address) -> Vec<Step> {
    let rate = |class: &ClassSettings| {
        let per_hour = wei(class.reward_per_hour?);
        let request = TokenDistributor::setClassRewardCall { classVersion: class.version, perHour: per_hour };
        Some(call("TokenDistributor.setClassReward", distributor, request))
    };
    let mut steps: Vec<Step> = config.classes.iter().filter_map(rate).collect();
    if config.emission.start_at_deployment {
        steps.push(call("TokenDistributor.startEmission", distributor, TokenDistributor::startEmissionCall { start: 0 }));
    }
    steps
}

/// Everything that has an owner goes to the timelock, which only Governance can queue on.
fn hand_over(book: &AddressBook) -> Vec<Step> {
    let eth = &book.ethereum;
    let new_owner = eth.timelock;
    vec![
        call("StakingManager.transferOwnership", eth.staking_manager, StakingManager::transferOwnershipCall { newOwner: new_owner }),
        call("GPURental.transferOwnership", eth.gpu_rental, GPURental::transferOwnershipCall { newOwner: new_owner }),
        call("RentalCourt.transferOwnership", eth.rental_court, RentalCourt::transferOwnershipCall { newOwner: new_owner }),
        call("TokenDistributor.transferOwnership", eth.token_distributor, TokenDistributor::transferOwnershipCall { newOwner: new_owner }),
    ]
}

pub(super) fn classic_plan(config: &DeployConfig, book: &AddressBook, kings_expire_at: u64) -> Vec<Step> {
    let (eth, etc) = (&book.ethereum, &book.classic);
    // No stakes here, and no governor: what Kings pause ends by itself.
    let ends = Ends { near: &etc.bridge, far_chain: eth.chain_id, far_outbox: eth.bridge.outbox, stakes: Address::ZERO };
    let mut steps = bridge_steps(config, kings_expire_at, &ends, Address::ZERO);
    let reputation = &config.reputation;
    steps.extend([
        create(
            "ReputationSystem",
            &ReputationSystem::BYTECODE,
            ReputationSystem::constructorCall { halfLife_: reputation.half_life_challenges, priorPpm_: reputation.prior_ppm },
        ),
        create_plain("ProofVerifier", &ProofVerifier::BYTECODE),
        create(
            "WorkDisputes",
            &WorkDisputes::BYTECODE,
            WorkDisputes::constructorCall { reputation_: etc.reputation_system, verifier_: etc.proof_verifier },
        ),
        create(
            "WorkSettlement",
            &WorkSettlement::BYTECODE,
            WorkSettlement::constructorCall {
                reputation_: etc.reputation_system,
                verifier_: etc.proof_verifier,
                disputes_: etc.work_disputes,
            },
        ),
        create(
            "WorkVerification",
            &WorkVerification::BYTECODE,
            WorkVerification::constructorCall {
                parameters_: config.verification_parameters(),
                classProfiles: config.class_profiles(),
                queens_: config.verification.queens.clone(),
                reputation_: etc.reputation_system,
                verifier_: etc.proof_verifier,
                settlement_: etc.work_settlement,
            },
        ),
        call("ReputationSystem.wire", etc.reputation_system, ReputationSystem::wireCall { workVerification_: etc.work_verification }),
        call(
            "WorkVerification.wire",
            etc.work_verification,
            WorkVerification::wireCall {
                inbox_: etc.bridge.inbox,
                outbox_: etc.bridge.outbox,
                ethereumChainId_: eth.chain_id,
                senders: [eth.staking_manager, eth.gpu_rental, eth.timelock, eth.rental_court],
            },
        ),
    ]);
    steps
}

/// What the bridge's contracts of one chain know of each other and of the other chain.
struct Ends<'a> {
    near: &'a BridgeAddresses,
    far_chain: u64,
    far_outbox: Address,
    stakes: Address,
}

fn bridge_steps(config: &DeployConfig, expiry: u64, ends: &Ends<'_>, governor: Address) -> Vec<Step> {
    let kings = king_set::KingSet::Ends {
        inbox: ends.near.inbox,
        outbox: ends.near.outbox,
        farChainId: ends.far_chain,
        farOutbox: ends.far_outbox,
        stakes: ends.stakes,
    };
    let (members, set_epoch) = (config.king_members(), config.kings.set_epoch);
    vec![
        create_plain("Outbox", &Outbox::BYTECODE),
        create(
            "KingSet",
            &KingSet::BYTECODE,
            KingSet::constructorCall { members, setEpoch: set_epoch, expiry, ends: kings, times_: config.king_times() },
        ),
        create(
            "Inbox",
            &Inbox::BYTECODE,
            Inbox::constructorCall {
                originChainId_: ends.far_chain,
                originOutbox_: ends.far_outbox,
                kingSet_: ends.near.king_set,
                localOutbox_: ends.near.outbox,
                governor_: governor,
            },
        ),
    ]
}

fn create(name: &'static str, code: &Bytes, arguments: impl SolConstructor) -> Step {
    Step { name, request: TxRequest::create([code.as_ref(), &arguments.abi_encode()].concat()), code_bytes: code.len() }
}

fn create_plain(name: &'static str, code: &Bytes) -> Step {
    Step { name, request: TxRequest::create(code.clone()), code_bytes: code.len() }
}

fn call(name: &'static str, to: Address, call: impl SolCall) -> Step {
    Step { name, request: TxRequest::call(to, call.abi_encode()), code_bytes: 0 }
}
