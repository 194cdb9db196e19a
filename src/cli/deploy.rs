//! `deploy`: puts the contracts on both chains, or compares what stands there with its file.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{
    commands::Outcome,
    render::{OperatorError, line, output},
};
use crate::{
    client::{
        ClientError,
        deploy::{self, Audit, DeployConfig, DeployError, DeployProgress},
    },
    config::load_toml,
    keys::{self, read_password},
    types::AddressBook,
};

#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Deployment description, such as config/chains/devnet.toml
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// JSON-RPC endpoint of Ethereum, instead of the file's; can be repeated
    #[arg(long, value_name = "URL")]
    pub ethereum_rpc: Vec<String>,
    /// JSON-RPC endpoint of Ethereum Classic, instead of the file's; can be repeated
    #[arg(long, value_name = "URL")]
    pub classic_rpc: Vec<String>,
    /// Keystore of the deployer
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    pub key: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Address book to write, or to read with --check
    #[arg(long, value_name = "FILE", default_value = "addresses.json")]
    pub out: PathBuf,
    /// Send nothing: compare what stands on both chains with the file, and name each difference
    #[arg(long, conflicts_with_all = ["key", "password_file"])]
    pub check: bool,
}

pub(super) async fn run(args: &DeployArgs, json: bool) -> Outcome {
    let config = load(args)?;
    if args.check {
        return check(args, &config, json).await;
    }
    let state = args.out.with_extension("state.json");
    if args.out.exists() && !state.exists() {
        return Err(DeployError::BookExists { book: args.out.clone(), state }.into());
    }
    let key = args.key.as_ref().ok_or_else(|| argument("key", "a deployment is paid by its account"))?;
    let password = read_password(args.password_file.as_deref(), key)?;
    let signer = Arc::new(keys::open_keystore(key, &password)?);
    let (ethereum, classic) = deploy::connect(&config).await?;
    let deployers = deploy::DeployerKeys { ethereum: signer.clone(), classic: signer };
    let report = |step: DeployProgress| {
        if !json {
            line(format!("{:<9} {:>2}/{:<2} {:<28} {} gas {}", step.chain, step.step, step.steps, step.name, step.tx_hash, step.gas_used));
        }
    };
    let book = deploy::deploy(&config, &deployers, &ethereum, &classic, &state, &report).await?;
    let partial = args.out.with_extension("part");
    serde_json::to_string_pretty(&book)
        .map_err(std::io::Error::other)
        .and_then(|text| std::fs::write(&partial, text))
        .and_then(|()| std::fs::rename(&partial, &args.out))
        .map_err(|source| ClientError::File { path: args.out.clone(), source })?;
    output(json, &book, |_| format!("deployed and verified; address book in {}", args.out.display()));
    Ok(())
}

/// Needs no key. Prints every difference and fails when there is one.
async fn check(args: &DeployArgs, config: &DeployConfig, json: bool) -> Outcome {
    let file = |source| ClientError::File { path: args.out.clone(), source };
    let text = std::fs::read_to_string(&args.out).map_err(file)?;
    let book: AddressBook = serde_json::from_str(&text).map_err(|error| file(std::io::Error::other(error)))?;
    let (ethereum, classic) = deploy::connect(config).await?;
    let audit = deploy::audit(config, &book, &ethereum, &classic).await?;
    if json {
        output(true, &audit, |_| String::new());
    }
    if !audit.differences.is_empty() {
        return Err(DeployError::Differs(audit).into());
    }
    if !json {
        let Audit { checks, notes, .. } = audit;
        notes.into_iter().for_each(line);
        line(format!("{checks} checks, no difference: {} is what {} describes", args.out.display(), args.config.display()));
    }
    Ok(())
}

/// The file, with the command line's endpoints in place of its own.
fn load(args: &DeployArgs) -> Result<DeployConfig, OperatorError> {
    let mut table: toml::Table = load_toml(&args.config)?;
    if let Some(chains) = table.get_mut("chains").and_then(toml::Value::as_table_mut) {
        for (key, given) in [("ethereum_rpc", &args.ethereum_rpc), ("classic_rpc", &args.classic_rpc)] {
            if !given.is_empty() {
                chains.insert(key.into(), given.clone().into());
            }
        }
    }
    deploy::require_filled(&table)?;
    let mut config: DeployConfig = load_toml(&args.config)?;
    if !args.ethereum_rpc.is_empty() {
        config.chains.ethereum_rpc.clone_from(&args.ethereum_rpc);
    }
    if !args.classic_rpc.is_empty() {
        config.chains.classic_rpc.clone_from(&args.classic_rpc);
    }
    config.check()?;
    Ok(config)
}

fn argument(argument: &str, reason: &str) -> ClientError {
    ClientError::Argument { argument: argument.into(), reason: reason.into() }
}
