//! Who acts on the devnet: keys of the public test mnemonic, by the part they play.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use alloy::{
    primitives::Address,
    signers::local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English},
};
use secrecy::SecretString;

use super::{DevnetError, chains::MNEMONIC};
use crate::keys::{Strength, write_keystore};

/// Numbers of Kings and Queens; config/chains/devnet.toml names the same accounts.
pub const KINGS: u32 = 4;
pub const QUEENS: u32 = 3;
/// Every devnet keystore has this password: its keys are public anyway.
const PASSWORD: &str = "devnet";

/// Accounts with their keystores. Account and operator are one key here; a real staker keeps the account's key off its nodes.
#[derive(Debug)]
pub struct Accounts {
    folder: PathBuf,
    signers: BTreeMap<String, PrivateKeySigner>,
}

impl Accounts {
    /// Derives all keys and writes their keystores and the password file into `folder`.
    pub fn create(folder: &Path) -> Result<Self, DevnetError> {
        let mut names = vec!["deployer".to_string()];
        names.extend((1..=KINGS).map(|number| format!("king-{number}")));
        names.extend((1..=QUEENS).map(|number| format!("queen-{number}")));
        names.extend(["provider", "worker", "relay", "renter"].map(String::from));
        let accounts = Self { folder: folder.into(), signers: BTreeMap::new() };
        let mut signers = BTreeMap::new();
        for (index, name) in (0..).zip(names) {
            let signer = derive(index)?;
            write_keystore(&accounts.keystore(&name), &signer, &SecretString::from(PASSWORD), Strength::Devnet)
                .map_err(|error| DevnetError::Setup { what: format!("keystore of {name}"), reason: error.to_string() })?;
            signers.insert(name, signer);
        }
        let password = accounts.password_file();
        std::fs::write(&password, PASSWORD).map_err(|error| DevnetError::file(&password, &error))?;
        Ok(Self { signers, ..accounts })
    }

    pub fn signer(&self, name: &str) -> Result<PrivateKeySigner, DevnetError> {
        self.signers.get(name).cloned().ok_or_else(|| DevnetError::Setup { what: name.into(), reason: "no such account".into() })
    }

    pub fn address(&self, name: &str) -> Result<Address, DevnetError> {
        self.signer(name).map(|signer| signer.address())
    }

    pub fn keystore(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    pub fn password_file(&self) -> PathBuf {
        self.folder.join("password")
    }

    pub fn password(&self) -> SecretString {
        SecretString::from(PASSWORD)
    }

    /// Names by address, for reports.
    pub fn labels(&self) -> BTreeMap<Address, String> {
        self.signers.iter().map(|(name, signer)| (signer.address(), name.clone())).collect()
    }
}

fn derive(index: u32) -> Result<PrivateKeySigner, DevnetError> {
    let failed =
        |error: alloy::signers::local::LocalSignerError| DevnetError::Setup { what: "devnet keys".into(), reason: error.to_string() };
    MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index).map_err(failed)?.build().map_err(failed)
}
