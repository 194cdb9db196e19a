//! The state file: which step was signed under which nonce. A broken run continues from it instead of deploying twice.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use super::DeployError;
use crate::{chain::SignedTx, types::ChainKind};

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
    pub tx: SignedTx,
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
            fs::rename(&draft, path)
        };
        write().map_err(|error| DeployError::StateFile { path: path.into(), reason: error.to_string() })
    }
}
