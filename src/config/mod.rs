//! One validated, immutable configuration from a file, the environment and flags.
//!
//! Later sources win: defaults, file, `GPUMKT__SECTION__KEY` variables, flags. Unknown keys are refused.

mod error;
mod node;

use std::path::Path;

use config::{Environment, File, FileFormat};
pub use error::ConfigError;
pub use node::{
    AlertsSection, ApiSection, ChainSection, ConfigSource, ContainerNetwork, ContainerRuntime, ContainerUsers, ContainersSection, Delivery,
    HttpSection, KeysSection, KingSection, LogSection, NetworkSection, NodeConfig, ProviderSection, QueenSection, RelaySection, RelayUse,
};
use serde::de::DeserializeOwned;

use crate::types::{AddressBook, ChainKind};

impl NodeConfig {
    /// Reads `path`, then the environment, then `overrides` (`"section.key"`, value), and validates the result.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self, ConfigError> {
        let text = read(path)?;
        // Parsed here as well, because only this parser tells the line.
        toml::from_str::<toml::Table>(&text)
            .map_err(|error| ConfigError::Invalid { path: path.into(), reason: toml_reason(&text, &error) })?;
        let mut builder = config::Config::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .add_source(Environment::with_prefix("GPUMKT").prefix_separator("__").separator("__").try_parsing(true));
        for (key, value) in overrides {
            builder = builder.set_override(key, value.as_str()).map_err(|source| ConfigError::invalid(path, source))?;
        }
        let merged = builder.build().map_err(|source| ConfigError::invalid(path, source))?;
        let mut node: NodeConfig = merged.try_deserialize().map_err(|source| ConfigError::invalid(path, source))?;
        node.validate(path)?;
        node.source = ConfigSource { path: path.into(), overrides: overrides.to_vec() };
        Ok(node)
    }

    /// What the same file, environment and flags say now.
    pub fn reload(&self) -> Result<Self, ConfigError> {
        Self::load(&self.source.path, &self.source.overrides)
    }

    /// Everything that holds, defaults included, as a file that could be loaded. Endpoints and the webhook may carry tokens.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        // By way of a table: TOML wants plain values before sections, whatever the order of fields.
        let table = toml::Table::try_from(self)
            .map_err(|error| ConfigError::Invalid { path: self.source.path.clone(), reason: error.to_string() })?;
        Ok(table.to_string())
    }

    /// The address book that `addresses` names.
    pub fn address_book(&self) -> Result<AddressBook, ConfigError> {
        let path = || self.addresses.clone();
        let text = std::fs::read_to_string(&self.addresses).map_err(|source| ConfigError::NoAddressBook { path: path(), source })?;
        let book: AddressBook =
            serde_json::from_str(&text).map_err(|error| ConfigError::AddressBook { path: path(), reason: one_line(&error.to_string()) })?;
        for (kind, chain) in [(ChainKind::Ethereum, &self.ethereum), (ChainKind::Classic, &self.classic)] {
            let found = book.chain_id(kind);
            if found != chain.chain_id {
                let reason = format!("it is for {kind} with chain id {found}, the configuration says {}", chain.chain_id);
                return Err(ConfigError::AddressBook { path: path(), reason });
            }
        }
        Ok(book)
    }
}

/// Reads one TOML file into `T`; unknown keys are refused where `T` says so.
pub fn load_toml<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = read(path)?;
    toml::from_str(&text).map_err(|error| ConfigError::Invalid { path: path.into(), reason: toml_reason(&text, &error) })
}

/// The parser's own text draws the place over several lines; an error has one.
fn toml_reason(text: &str, error: &toml::de::Error) -> String {
    let message = one_line(error.message());
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Coded;

    const MINIMAL: &str = r#"
        data_dir = "/tmp/x"
        addresses = "/tmp/addresses.json"
        [keys]
        operator = "operator.json"
        [ethereum]
        chain_id = 31301
        rpc = ["http://127.0.0.1:1"]
        [classic]
        chain_id = 31361
        rpc = ["http://127.0.0.1:2"]
    "#;

    fn load(text: &str, overrides: &[(String, String)]) -> Result<NodeConfig, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        NodeConfig::load(&path, overrides)
    }

    #[test]
    fn the_shipped_files_load() {
        for role in ["king", "queen", "provider", "relay"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(role).with_extension("toml");
            let config = NodeConfig::load(&path, &[]).unwrap_or_else(|error| panic!("{role}: {error}"));
            assert_eq!((config.ethereum.chain_id, config.classic.chain_id), (1, 61), "{role}");
            assert_eq!(config.data_dir, Path::new("/var/lib/gpumkt").join(role));
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let config = load(MINIMAL, &[("provider.device".into(), "3".into())]).unwrap();
        assert_eq!(config.provider.device, 3);
        assert_eq!(config.ethereum.chain_id, 31301);
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = load(&format!("{MINIMAL}\n[king]\nclasic_stride = 2\n"), &[]).unwrap_err();
        assert_eq!(error.code(), "E-CONFIG-002");
        assert!(error.to_string().contains("clasic_stride"), "{error}");
    }

    #[test]
    fn equal_endpoints_are_refused() {
        let error =
            load(&MINIMAL.replace("[\"http://127.0.0.1:2\"]", "[\"http://127.0.0.1:2\", \"http://127.0.0.1:2\"]"), &[]).unwrap_err();
        assert_eq!(error.code(), "E-CONFIG-002");
        assert!(error.to_string().contains("twice"), "{error}");
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let error = NodeConfig::load(Path::new("/nonexistent/king.toml"), &[]).unwrap_err();
        assert_eq!(error.code(), "E-CONFIG-001");
        assert!(error.next_step().contains("--config"));
    }
}
