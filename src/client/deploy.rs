//! Deploys all contracts on both chains, wires them, gives every right away, and checks the result.

mod config;
mod emission;
mod plan;
mod state;
mod verify;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256};
pub use config::DeployConfig;
pub use verify::verify_deployment;

use self::{
    plan::{Origin, Step, address_book, classic_plan, ethereum_plan},
    state::{ChainState, DeployState, StepState},
};
use crate::{
    chain::{AccountSigner, BlockId, Chain, ChainError, Receipt, SignedTx},
    types::{AddressBook, ChainKind, Coded},
};

/// Time a step may take to be mined. Too short gives up on a busy chain (running again continues), too long hides a stuck one.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);
/// First pause between two looks for a receipt; doubles up to the chain's poll interval.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error("the deployment file is not usable: {reason}")]
    Config { reason: String },
    #[error("the state file {} cannot be used: {reason}", path.display())]
    StateFile { path: PathBuf, reason: String },
    #[error("the state file {} belongs to another deployment: {reason}", path.display())]
    OtherDeployment { path: PathBuf, reason: String },
    #[error("{step}: {source}")]
    Chain { step: String, source: ChainError },
    #[error("{step}: transaction {hash} failed: {reason}")]
    StepFailed { step: String, hash: B256, reason: String },
    #[error("{step}: transaction {hash} was not mined within {} s", STEP_TIMEOUT.as_secs())]
    StepTimeout { step: String, hash: B256 },
    #[error("the address book {} exists already, but not the state file {} of its deployment", book.display(), state.display())]
    BookExists { book: PathBuf, state: PathBuf },
    #[error("{what} is {found}, expected {expected}")]
    Mismatch { what: String, found: String, expected: String },
}

impl DeployError {
    fn chain(step: impl Into<String>, source: ChainError) -> Self {
        Self::Chain { step: step.into(), source }
    }
}

impl Coded for DeployError {
    fn code(&self) -> &'static str {
        match self {
            Self::Config { .. } => "E-DEPLOY-001",
            Self::StateFile { .. } => "E-DEPLOY-002",
            Self::OtherDeployment { .. } => "E-DEPLOY-003",
            Self::Chain { source, .. } => source.code(),
            Self::StepFailed { .. } => "E-DEPLOY-004",
            Self::StepTimeout { .. } => "E-DEPLOY-005",
            Self::Mismatch { .. } => "E-DEPLOY-006",
            Self::BookExists { .. } => "E-DEPLOY-007",
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Config { .. } => "correct the deployment file".into(),
            Self::StateFile { .. } => "check that its folder exists and can be written".into(),
            Self::OtherDeployment { path, .. } => {
                format!("continue with the file it was begun with, or move {} away to deploy anew", path.display())
            }
            Self::Chain { source, .. } => format!("{}; then run the same command again: it continues", source.next_step()),
            Self::StepFailed { .. } => "read the reason; a failed step can't be repeated: move the state file away and deploy anew".into(),
            Self::StepTimeout { .. } => "run the same command again: it continues where it stopped".into(),
            Self::BookExists { .. } => "name another file with --out, or move this one away: it may be the only one of its network".into(),
            Self::Mismatch { .. } => "do not use this deployment; check the address book and both chains, or deploy anew".into(),
        }
    }
}

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
    let state = match DeployState::load(state_file)? {
        Some(state) => check_state(state, config, keys, state_file)?,
        None => {
            let state = begin(config, keys, ethereum, classic).await?;
            state.save(state_file)?;
            state
        }
    };
    let book = address_book(config, origin(&state.ethereum), origin(&state.classic));
    let expiry = state.kings_expire_at;
    let on_ethereum = ethereum_plan(config, &book, keys.ethereum.address(), expiry);
    let on_classic = classic_plan(config, &book, expiry);
    let state = Mutex::new(state);
    let runner = |chain, signer| Runner { chain, signer, state: &state, state_file, progress };
    let (eth_runner, etc_runner) = (runner(ethereum, &keys.ethereum), runner(classic, &keys.classic));
    tokio::try_join!(eth_runner.run(&on_ethereum), etc_runner.run(&on_classic))?;
    verify_deployment(&book, ethereum, classic).await?;
    Ok(book)
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

/// Runs the plan of one chain. Each step is in the state file before it is broadcast.
struct Runner<'a> {
    chain: &'a Chain,
    signer: &'a AccountSigner,
    state: &'a Mutex<DeployState>,
    state_file: &'a Path,
    progress: DeploySink<'a>,
}

impl Runner<'_> {
    async fn run(&self, plan: &[Step]) -> Result<(), DeployError> {
        for (position, step) in plan.iter().enumerate() {
            let tx = match self.recorded(position, step)? {
                Some(tx) => tx,
                None => self.sign(position, step).await?,
            };
            let receipt = self.include(step, &tx).await?;
            if !receipt.status {
                let reason = self.chain.explain_failure(self.signer.address(), &step.request, receipt.block_number).await;
                return Err(DeployError::StepFailed { step: step.name.into(), hash: tx.hash, reason });
            }
            (self.progress)(DeployProgress {
                chain: self.chain.kind(),
                step: position + 1,
                steps: plan.len(),
                name: step.name,
                tx_hash: tx.hash,
                address: receipt.contract_address,
                gas_used: receipt.gas_used,
            });
        }
        Ok(())
    }

    fn recorded(&self, position: usize, step: &Step) -> Result<Option<SignedTx>, DeployError> {
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(recorded) = state.chain(self.chain.kind()).steps.get(position) else { return Ok(None) };
        if recorded.name != step.name {
            let reason = format!("step {} is {} there and {} here", position + 1, recorded.name, step.name);
            return Err(DeployError::OtherDeployment { path: self.state_file.into(), reason });
        }
        Ok(Some(recorded.tx.clone()))
    }

    async fn sign(&self, position: usize, step: &Step) -> Result<SignedTx, DeployError> {
        let kind = self.chain.kind();
        let first_nonce = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).chain(kind).first_nonce;
        let nonce = first_nonce + position as u64;
        let signed = self.chain.build_and_sign(self.signer, nonce, &step.request).await;
        let tx = signed.map_err(|source| DeployError::chain(step.name, source))?;
        let address = step.request.to.is_none().then(|| self.signer.address().create(nonce));
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.chain_mut(kind).steps.push(StepState { name: step.name.into(), address, tx: tx.clone() });
        state.save(self.state_file)?;
        Ok(tx)
    }

    /// Broadcasts unless it is mined already, then waits for the receipt.
    async fn include(&self, step: &Step, tx: &SignedTx) -> Result<Receipt, DeployError> {
        let failed = |source| DeployError::chain(step.name, source);
        if let Some(receipt) = self.chain.receipt(tx.hash).await.map_err(failed)? {
            return Ok(receipt);
        }
        self.chain.broadcast(self.signer.address(), tx).await.map_err(failed)?;
        let deadline = Instant::now() + STEP_TIMEOUT;
        let mut pause = FIRST_PAUSE;
        while Instant::now() < deadline {
            if let Some(receipt) = self.chain.receipt(tx.hash).await.map_err(failed)? {
                return Ok(receipt);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.chain.poll_interval());
        }
        Err(DeployError::StepTimeout { step: step.name.into(), hash: tx.hash })
    }
}
