//! The state file: which step was signed under which nonce. A broken run continues from it instead of deploying twice.

use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use super::DeployError;
use crate::{
    chain::{Fee, SignedTx},
    types::ChainKind,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeployState {
    pub fingerprint: String,
    pub kings_expire_at: u64,
    pub ethereum: ChainState,
    pub classic: ChainState,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChainState {
    pub chain_id: u64,
    pub deployer: Address,
    /// Step number n has the nonce `first_nonce + n`.
    pub first_nonce: u64,
    pub start_block: u64,
    pub steps: Vec<StepState>,
}

/// A signed step, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepState {
    pub name: String,
    pub address: Option<Address>,
    /// Every transaction that was ever signed for the step: one nonce, rising fees.
    pub sent: Vec<SentTx>,
}

/// A signed transaction with what its replacement needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SentTx {
    pub tx: SignedTx,
    pub gas_limit: u64,
    pub fee: Fee,
}

/// Held while a deployment runs, so that two processes never sign for one nonce. The system frees it with the process.
pub(super) struct StateLock {
    _file: File,
}

impl StateLock {
    pub fn take(state_file: &Path) -> Result<Self, DeployError> {
        let path = state_file.with_extension("lock");
        let failed = |error: std::io::Error| DeployError::StateFile { path: path.clone(), reason: error.to_string() };
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DeployError::Running { path }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

impl DeployState {
    pub fn chain(&self, kind: ChainKind) -> &ChainState {
        match kind {
            ChainKind::Ethereum => &self.ethereum,
            ChainKind::Classic => &self.classic,
        }
    }

    pub fn chain_mut(&mut self, kind: ChainKind) -> &mut ChainState {
        match kind {
            ChainKind::Ethereum => &mut self.ethereum,
            ChainKind::Classic => &mut self.classic,
        }
    }

    pub fn load(path: &Path) -> Result<Option<Self>, DeployError> {
        let failed = |reason: String| DeployError::StateFile { path: path.into(), reason };
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Replaces the file in one step; durable when it returns.
    pub fn save(&self, path: &Path) -> Result<(), DeployError> {
        let write = || -> std::io::Result<()> {
            let mut draft = PathBuf::from(path);
            draft.set_extension("new");
            let mut file = File::create(&draft)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.flush()?;
            file.sync_all()?;
            fs::rename(&draft, path)?;
            // The new name is durable only once its folder is.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| DeployError::StateFile { path: path.into(), reason: error.to_string() })
    }
}
