//! `gpumkt provider --dry-run`: everything that a provider's start needs, checked one by one, and what it would then do.

use alloy::primitives::{U256, utils::format_ether};
use serde::Serialize;

use super::{
    containers,
    error::{RoleError, boxed},
    machine,
    provider::worker_key,
    startup::{account_of, check_kings},
};
use crate::{
    chain::{BlockId, Chain, ChainConfig},
    config::NodeConfig,
    keys::{open_keystore, read_password},
    rules::quorum::KingSet,
    types::{
        AddressBook, ChainKind, Coded, Role,
        abi::{GPURental, StakingManager},
    },
};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    pub what: &'static str,
    /// What was found, or what is wrong.
    pub found: String,
    /// Code and next step of what would stop the node.
    pub fault: Option<(&'static str, String)>,
}

pub(super) type Found = Result<String, Box<dyn Coded>>;

/// Goes on after a fault, so that one run shows all of them. Nothing is written but what a probe needs.
pub async fn dry_run_provider(config: &NodeConfig) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut note = |what, found: Found| match found {
        Ok(found) => checks.push(Check { what, found, fault: None }),
        Err(error) => checks.push(Check { what, found: error.to_string(), fault: Some((error.code(), error.next_step())) }),
    };
    note("OpenCL device", machine::device(config).await);
    note("containers", containers::probe(config).await);
    note("bare kernels", machine::kernels(config).await);
    note("disk", machine::disk(config));
    note("ports", machine::ports(config).await);
    match connect(config).await {
        Err(error) => note("chains and keys", Err(error)),
        Ok(seen) => {
            note("chains and keys", Ok(format!("operator {}, worker {}", seen.operator, seen.worker)));
            note(
                "King set",
                check_kings(&KingSet::from_entry(&seen.book.kings), &seen.book, &seen.ethereum, &seen.classic)
                    .await
                    .map(|()| "known on both chains".into()),
            );
            note("stake", stake(&seen).await);
            note("gas", gas(config, &seen).await);
            note("devices and offers", offers(&seen).await);
        }
    }
    checks
}

/// What only a provider's machine has to have: a device whose kernels compute what they should, and what runs renters' work.
pub async fn examine_machine(config: &NodeConfig) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut note = |what, found: Found| match found {
        Ok(found) => checks.push(Check { what, found, fault: None }),
        Err(error) => checks.push(Check { what, found: error.to_string(), fault: Some((error.code(), error.next_step())) }),
    };
    note("OpenCL device", machine::tested_device(config).await);
    note("containers", containers::probe(config).await);
    note("bare kernels", machine::kernels(config).await);
    checks
}

struct Seen {
    book: AddressBook,
    ethereum: Chain,
    classic: Chain,
    operator: alloy::primitives::Address,
    worker: alloy::primitives::Address,
}

async fn connect(config: &NodeConfig) -> Result<Seen, Box<dyn Coded>> {
    let book = config.address_book().map_err(boxed)?;
    let password = read_password(config.keys.password_file.as_deref(), &config.keys.operator).map_err(boxed)?;
    let operator = open_keystore(&config.keys.operator, &password).map_err(boxed)?.address();
    let worker = worker_key(config)?.map_or(operator, |key| key.address());
    let ethereum = Chain::connect(ChainConfig::of_node(config, ChainKind::Ethereum)).await.map_err(boxed)?;
    let classic = Chain::connect(ChainConfig::of_node(config, ChainKind::Classic)).await.map_err(boxed)?;
    Ok(Seen { book, ethereum, classic, operator, worker })
}

async fn stake(seen: &Seen) -> Found {
    let account = account_of(&seen.ethereum, &seen.book, seen.operator, Role::Provider).await?;
    let call = StakingManager::stakerCall { account };
    let staker = seen.ethereum.call(seen.book.ethereum.staking_manager, call, BlockId::latest()).await.map_err(boxed)?;
    Ok(format!("account {account} has {} GPUTOKEN at stake", format_ether(U256::from(staker.staked))))
}

async fn gas(config: &NodeConfig, seen: &Seen) -> Found {
    let low = |gwei: u64| U256::from(gwei) * U256::from(1_000_000_000u64);
    let mut told = Vec::new();
    for (chain, key, low_wei, coin) in [
        (&seen.ethereum, seen.operator, low(config.alerts.low_gas_ethereum_gwei), "ETH"),
        (&seen.classic, seen.worker, low(config.alerts.low_gas_classic_gwei), "ETC"),
    ] {
        let have_wei = chain.balance(key).await.map_err(boxed)?;
        if have_wei < low_wei {
            let error = crate::chain::ChainError::InsufficientFunds { chain: chain.kind(), account: key, need_wei: low_wei, have_wei };
            return Err(boxed(error));
        }
        told.push(format!("{} {coin}", format_ether(have_wei)));
    }
    Ok(told.join(", "))
}

/// Which devices this node would prove, and whether anybody could rent them.
async fn offers(seen: &Seen) -> Found {
    let eth = &seen.book.ethereum;
    let count = seen.ethereum.call(eth.gpu_rental, GPURental::offerCountCall {}, BlockId::latest()).await.map_err(boxed)?;
    let mut told = Vec::new();
    for id in 1..=count {
        let offer = seen.ethereum.call(eth.gpu_rental, GPURental::offerCall { offerId: id }, BlockId::latest()).await.map_err(boxed)?;
        let call = StakingManager::deviceCall { deviceId: offer.deviceId };
        let device = seen.ethereum.call(eth.staking_manager, call, BlockId::latest()).await.map_err(boxed)?;
        if device.worker == seen.worker && device.removedAt == 0 {
            let state = if offer.paused { "paused" } else { "on offer" };
            told.push(format!("device {} of class {}: offer {id}, {state}", offer.deviceId, offer.classVersion));
        }
    }
    if told.is_empty() {
        return Err(boxed(RoleError::NothingOffered { worker: seen.worker }));
    }
    Ok(format!("would prove and rent out {}", told.join("; ")))
}
