//! One-shot operations: what the command line, the devnet and the tests all call.

pub mod audit;
#[cfg(feature = "node")]
pub mod bench;
pub mod court;
pub mod delegation;
#[cfg(feature = "node")]
pub mod deploy;
pub mod directory;
pub mod doctor;
pub mod earnings;
pub mod emission;
mod error;
pub mod evidence;
pub mod exits;
pub mod failover;
pub mod gov;
pub mod launch;
pub mod market;
#[cfg(feature = "node")]
pub mod measured;
pub mod network;
#[cfg(feature = "node")]
pub mod operator;
pub mod outlay;
pub mod rent;
pub mod session;
pub mod shell;
pub mod stake;
mod submit;
pub mod templates;
pub mod token;
pub mod upkeep;
#[cfg(feature = "node")]
pub mod vectors;
pub mod vesting;
mod wallet;
pub mod watch;

use std::path::{Path, PathBuf};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
pub use error::ClientError;
pub use market::Availability;
use secrecy::SecretString;
pub use submit::{Mode, Submitted};
pub use wallet::{Permit, Wallet};

use crate::{
    chain::{BlockId, Chain, ChainConfig},
    config::NodeConfig,
    keys::{keystore_address, load_or_create_identity, open_keystore, read_password},
    net::peer_id_of,
    types::{AddressBook, Amount, ChainKind, abi::GPUToken},
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
        Self::connect_as(config, open_keystore(&config.keys.operator, &password)?).await
    }

    /// For what only reads the chains: no keystore is opened, and the account that acts is nobody's.
    pub async fn reader(config: &NodeConfig) -> Result<Self, ClientError> {
        Self::connect_as(config, PrivateKeySigner::random()).await
    }

    async fn connect_as(config: &NodeConfig, signer: PrivateKeySigner) -> Result<Self, ClientError> {
        let book = config.address_book()?;
        let (ethereum, classic) = tokio::try_join!(
            Chain::connect(ChainConfig::of_node(config, ChainKind::Ethereum)),
            Chain::connect(ChainConfig::of_node(config, ChainKind::Classic)),
        )?;
        Ok(Self { ethereum, classic, book, signer })
    }

    /// The account of a configuration, by the name on its keystore: reading needs no password.
    pub fn account_of(config: &NodeConfig) -> Result<Address, ClientError> {
        Ok(keystore_address(&config.keys.operator)?)
    }

    pub fn ethereum_wallet(&self) -> Wallet {
        Wallet::new(self.ethereum.clone(), self.signer.clone())
    }

    pub fn classic_wallet(&self) -> Wallet {
        Wallet::new(self.classic.clone(), self.signer.clone())
    }

    /// Multihash bytes of the peer id of the node at `data_dir`; the identity is made where there is none.
    pub fn peer_id(data_dir: &Path) -> Result<Vec<u8>, ClientError> {
        let identity = load_or_create_identity(&data_dir.join("node.key"))?;
        Ok(peer_id_of(&identity)?.to_bytes())
    }

    /// Fails where the account holds less than `cost`: the contract would only say that a transfer failed.
    pub async fn require_tokens(&self, what: &'static str, cost: Amount) -> Result<(), ClientError> {
        let account = self.signer.address();
        let call = GPUToken::balanceOfCall { account };
        let balance = Amount(self.ethereum.call(self.book.ethereum.gpu_token, call, BlockId::latest()).await?);
        if balance < cost { Err(ClientError::InsufficientTokens { what, account, cost, balance }) } else { Ok(()) }
    }

    /// The same chains for another account.
    pub fn with_signer(&self, signer: PrivateKeySigner) -> Self {
        Self { signer, ..self.clone() }
    }
}

/// Whether the key that was named when `rental` was paid is on this machine; needs no password.
pub fn has_session_key(config: &NodeConfig, rental: &rent::RentalView) -> bool {
    config.data_dir.join("sessions").join(format!("{:#x}.json", rental.session_key)).exists()
}

/// Session keys belong to the renter's data folder and share its password.
pub fn session_keys(config: &NodeConfig, strength: crate::keys::Strength) -> Result<rent::SessionKeys, ClientError> {
    let password: SecretString = read_password(config.keys.password_file.as_deref(), &config.keys.operator)?;
    let folder: PathBuf = config.data_dir.join("sessions");
    Ok(rent::SessionKeys { folder, password, strength })
}
