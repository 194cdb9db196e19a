//! Deploys all contracts on both chains, wires them, gives every right away, and checks the result.

mod config;
mod deterrence;
mod emission;
mod error;
mod opcodes;
mod plan;
mod runner;
mod state;
mod verify;

use std::{path::Path, sync::Mutex};

use alloy::primitives::{Address, B256};
pub use config::{DeployConfig, require_filled};
pub use error::DeployError;
pub use opcodes::{ForeignOpcode, foreign_opcode};
pub use verify::{Audit, Difference, audit};

use self::{
    plan::{Origin, Step, address_book, classic_plan, ethereum_plan, with_faucet},
    runner::Runner,
    state::{ChainState, DeployState, StateLock},
};
use crate::{
    chain::{AccountSigner, BlockId, Chain, ChainConfig},
    types::{AddressBook, ChainKind},
};

/// One finished step.
#[derive(Debug, Clone)]
pub struct DeployProgress {
    pub chain: ChainKind,
    /// Counted from 1.
    pub step: usize,
    pub steps: usize,
    pub name: &'static str,
    pub tx_hash: B256,
    pub address: Option<Address>,
    pub gas_used: u64,
}

/// Where steps are reported to.
pub type DeploySink<'a> = &'a (dyn Fn(DeployProgress) + Send + Sync);

/// Who pays for the deployment; neither account holds any right afterwards.
#[derive(Clone)]
pub struct DeployerKeys {
    pub ethereum: AccountSigner,
    pub classic: AccountSigner,
}

/// Deploys, or continues the deployment that `state_file` tells of. The deployer's accounts must send nothing else meanwhile.
pub async fn deploy(
    config: &DeployConfig,
    keys: &DeployerKeys,
    ethereum: &Chain,
    classic: &Chain,
    state_file: &Path,
    progress: DeploySink<'_>,
) -> Result<AddressBook, DeployError> {
    config.check()?;
    let _lock = StateLock::take(state_file)?;
    let state = match DeployState::load(state_file)? {
        Some(state) => check_state(state, config, keys, state_file)?,
        None => {
            let state = begin(config, keys, ethereum, classic).await?;
            state.save(state_file)?;
            state
        }
    };
    let book = with_faucet(config, address_book(config, origin(&state.ethereum), origin(&state.classic)), origin(&state.ethereum));
    let expiry = state.kings_expire_at;
    let on_ethereum = ethereum_plan(config, &book, keys.ethereum.address(), expiry);
    let on_classic = classic_plan(config, &book, expiry);
    require_classic_opcodes(&on_classic)?;
    let state = Mutex::new(state);
    let runner = |chain, signer| Runner { chain, signer, state: &state, state_file, progress };
    let (eth_runner, etc_runner) = (runner(ethereum, &keys.ethereum), runner(classic, &keys.classic));
    tokio::try_join!(eth_runner.run(&on_ethereum), etc_runner.run(&on_classic))?;
    let audit = audit(config, &book, ethereum, classic).await?;
    if audit.differences.is_empty() { Ok(book) } else { Err(DeployError::Differs(audit)) }
}

/// A newer opcode would deploy on Ethereum Classic and fail when it is reached.
fn require_classic_opcodes(plan: &[Step]) -> Result<(), DeployError> {
    for step in plan.iter().filter(|step| step.request.to.is_none()) {
        if let Some(ForeignOpcode { opcode, offset }) = step.request.data.get(..step.code_bytes).and_then(foreign_opcode) {
            return Err(DeployError::ForeignOpcode { contract: step.name, opcode, offset });
        }
    }
    Ok(())
}

/// Both chains through the file's endpoints, their chain ids checked.
pub async fn connect(config: &DeployConfig) -> Result<(Chain, Chain), DeployError> {
    let chains = &config.chains;
    if chains.ethereum_rpc.is_empty() || chains.classic_rpc.is_empty() {
        let reason = "name an endpoint of each chain, in [chains] or with --ethereum-rpc and --classic-rpc".into();
        return Err(DeployError::Config { reason });
    }
    let open = async |kind: ChainKind, id, urls: &[String]| {
        let connected = Chain::connect(ChainConfig::new(kind, id, urls.to_vec())).await;
        connected.map_err(|source| DeployError::chain(format!("connection to {kind}"), source))
    };
    let ethereum = open(ChainKind::Ethereum, chains.ethereum, &chains.ethereum_rpc).await?;
    let classic = open(ChainKind::Classic, chains.classic, &chains.classic_rpc).await?;
    Ok((ethereum, classic))
}

fn origin(state: &ChainState) -> Origin {
    Origin { deployer: state.deployer, first_nonce: state.first_nonce, start_block: state.start_block }
}

async fn begin(config: &DeployConfig, keys: &DeployerKeys, ethereum: &Chain, classic: &Chain) -> Result<DeployState, DeployError> {
    let (on_ethereum, now) = begin_chain(config.chains.ethereum, &keys.ethereum, ethereum).await?;
    let (on_classic, _) = begin_chain(config.chains.classic, &keys.classic, classic).await?;
    Ok(DeployState {
        fingerprint: config.fingerprint(),
        kings_expire_at: now.saturating_add(config.kings.valid_seconds),
        ethereum: on_ethereum,
        classic: on_classic,
    })
}

async fn begin_chain(chain_id: u64, signer: &AccountSigner, chain: &Chain) -> Result<(ChainState, u64), DeployError> {
    if chain.chain_id() != chain_id {
        let (found, expected) = (chain.chain_id().to_string(), chain_id.to_string());
        return Err(DeployError::Mismatch { what: format!("chain id of {}", chain.kind()), found, expected });
    }
    let failed = |source| DeployError::chain("start of the deployment", source);
    let head = chain.head().await.map_err(failed)?;
    let first_nonce = chain.nonce(signer.address(), BlockId::pending()).await.map_err(failed)?;
    let state = ChainState { chain_id, deployer: signer.address(), first_nonce, start_block: head.number, steps: Vec::new() };
    Ok((state, head.timestamp))
}

fn check_state(state: DeployState, config: &DeployConfig, keys: &DeployerKeys, path: &Path) -> Result<DeployState, DeployError> {
    let other = |reason: &str| Err(DeployError::OtherDeployment { path: path.into(), reason: reason.into() });
    if state.fingerprint != config.fingerprint() {
        return other("the deployment file has changed");
    }
    if state.ethereum.deployer != keys.ethereum.address() || state.classic.deployer != keys.classic.address() {
        return other("it was begun by another account");
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_whose_address_looks_like_a_newer_opcode_is_no_reason_to_refuse() {
        let mut config = DeployConfig::from_toml(include_str!("../../config/chains/devnet.toml")).unwrap();
        let king = |number: u8| config::KingMember { operator: Address::repeat_byte(if number == 0 { 0x5b } else { 0x24 }), weight: 1 };
        config.kings.members = (0..2).map(king).collect();
        let origin = Origin { deployer: Address::ZERO, first_nonce: 0, start_block: 0 };
        let plan = classic_plan(&config, &address_book(&config, origin, origin), 0);
        assert!(require_classic_opcodes(&plan).is_ok());
        let newer = Step { name: "Newer", request: crate::chain::TxRequest::create(vec![0x5f, 0x5e]), code_bytes: 2 };
        assert!(matches!(require_classic_opcodes(&[newer]), Err(DeployError::ForeignOpcode { opcode: 0x5e, offset: 1, .. })));
    }
}
