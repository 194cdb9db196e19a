//! One-shot operations: what the command line, the devnet and the tests all call.

pub mod bench;
pub mod deploy;
mod error;
pub mod market;
pub mod rent;
pub mod session;
pub mod stake;
pub mod vectors;
mod wallet;

use std::path::PathBuf;

use alloy::signers::local::PrivateKeySigner;
pub use error::ClientError;
pub use market::Availability;
use secrecy::SecretString;
pub use wallet::{Permit, Wallet};

use crate::{
    chain::{Chain, ChainConfig},
    config::NodeConfig,
    keys::{open_keystore, read_password},
    types::{AddressBook, ChainKind},
};

/// Both chains, the address book and the account that acts.
#[derive(Debug, Clone)]
pub struct Clients {
    pub ethereum: Chain,
    pub classic: Chain,
    pub book: AddressBook,
    pub signer: PrivateKeySigner,
}

impl Clients {
    /// Connects as a node's configuration says.
    pub async fn connect(config: &NodeConfig) -> Result<Self, ClientError> {
        let password = read_password(config.keys.password_file.as_deref(), &config.keys.operator)?;
        let signer = open_keystore(&config.keys.operator, &password)?;
        let ethereum = Chain::connect(chain_config(config, ChainKind::Ethereum)).await?;
        let classic = Chain::connect(chain_config(config, ChainKind::Classic)).await?;
        Ok(Self { ethereum, classic, book: config.address_book()?, signer })
    }

    pub fn ethereum_wallet(&self) -> Wallet {
        Wallet::new(self.ethereum.clone(), self.signer.clone())
    }

    pub fn classic_wallet(&self) -> Wallet {
        Wallet::new(self.classic.clone(), self.signer.clone())
    }

    /// The same chains for another account.
    pub fn with_signer(&self, signer: PrivateKeySigner) -> Self {
        Self { signer, ..self.clone() }
    }
}

/// What the chain adapter needs of a node's configuration.
pub fn chain_config(config: &NodeConfig, kind: ChainKind) -> ChainConfig {
    let section = match kind {
        ChainKind::Ethereum => &config.ethereum,
        ChainKind::Classic => &config.classic,
    };
    ChainConfig {
        poll_ms: section.poll_ms,
        single_endpoint_allowed: config.king.single_endpoint,
        ..ChainConfig::new(kind, section.chain_id, section.rpc.clone())
    }
}

/// Session keys belong to the renter's data folder and share its password.
pub fn session_keys(config: &NodeConfig, strength: crate::keys::Strength) -> Result<rent::SessionKeys, ClientError> {
    let password: SecretString = read_password(config.keys.password_file.as_deref(), &config.keys.operator)?;
    let folder: PathBuf = config.data_dir.join("sessions");
    Ok(rent::SessionKeys { folder, password, strength })
}
