//! One function per command: read configuration, call the client, show the result.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::Path,
};

use alloy::{primitives::B256, signers::local::PrivateKeySigner};
use secrecy::zeroize::Zeroizing;
use serde_json::json;

use super::{
    args::{Cli, Command, KeysCommand, MarketArgs, NodeArgs, RentalArgs, RunArgs},
    court, doctor, earnings, gov, launch, manual,
    money::{self, ClaimArgs, show},
    network, provide,
    render::{OperatorError, output, table},
    rental,
};
#[cfg(feature = "node")]
use super::{
    args::{DevnetArgs, DevnetCommand, DumpArgs},
    bench, deploy,
    operator::{self, KingArgs, RelayArgs},
    render::line,
};
use crate::{
    client::{self, ClientError, Clients, market, rent, session},
    config::NodeConfig,
    keys::{self, Strength, load_or_create_identity, read_password},
    telemetry::{LogFormat, init_logs},
};
#[cfg(feature = "node")]
use crate::{devnet, role};

pub(super) type Outcome = Result<(), OperatorError>;

pub async fn run(cli: Cli) -> Outcome {
    let json = cli.json;
    match cli.command {
        #[cfg(feature = "node")]
        Command::King(KingArgs { node, dump, action: None }) => match dumped(load(&node)?, dump)? {
            Some(config) => role::run_king(config).await.map_err(OperatorError::from_box),
            None => Ok(()),
        },
        #[cfg(feature = "node")]
        Command::Queen(args) => match dumped(load(&args.node)?, args.dump)? {
            Some(config) => role::run_queen(config).await.map_err(OperatorError::from_box),
            None => Ok(()),
        },
        #[cfg(feature = "node")]
        Command::Relay(RelayArgs { node, dump, action: None }) => match dumped(load(&node)?, dump)? {
            Some(config) => role::run_relay(config).await.map_err(OperatorError::from_box),
            None => Ok(()),
        },
        #[cfg(feature = "node")]
        Command::Provider(args) => {
            let mut overrides = args.node.overrides();
            overrides.extend(args.device.map(|device| ("provider.device".to_string(), device.to_string())));
            let Some(config) = dumped(NodeConfig::load(&args.node.config, &overrides)?, args.dump)? else {
                return Ok(());
            };
            if args.dry_run {
                return super::dry_run::run(config, json).await;
            }
            role::run_provider(config).await.map_err(OperatorError::from_box)
        }
        command => {
            // With --json, standard error holds nothing but an error.
            init_logs(if json { "off" } else { "warn" }, LogFormat::Text);
            run_client(command, json).await
        }
    }
}

async fn run_client(command: Command, json: bool) -> Outcome {
    match command {
        Command::Market(args) => show_market(&args, json).await,
        Command::Rent(args) => launch::rent(&args, json).await,
        Command::Launch(args) => launch::again(&args, json).await,
        Command::Status(args) => launch::status(&args, json).await,
        Command::Run(args) => run_kernel(&args, json).await,
        Command::Rentals(args) => rental::show(&args, json).await,
        Command::Rental(command) => rental::run(command, json).await,
        Command::Provide(command) => provide::run(command, json).await,
        Command::Court(command) => court::run(command, json).await,
        Command::End(args) => end_rental(&args, json).await,
        Command::Money(command) => money::run(command, json).await,
        Command::Gov(command) => gov::run(command, json).await,
        Command::Offer(args) => provide::offer(&args, json).await,
        Command::Earnings(args) => earnings::show(&args, json).await,
        Command::Price(args) => earnings::price(&args, json).await,
        Command::Claim(args) => claim(&args, json).await,
        Command::Network(args) => network::run(&args, json).await,
        Command::Doctor(args) => doctor::run(&args, json).await,
        Command::Keys(command) => manage_keys(command, json),
        Command::Completions { shell } => {
            manual::completions(shell);
            Ok(())
        }
        Command::Manual { folder } => manual::pages(&folder, json),
        #[cfg(feature = "node")]
        Command::Deploy(args) => deploy::run(&args, json).await,
        #[cfg(feature = "node")]
        Command::Devnet(DevnetCommand::Demo(args)) => Ok(devnet::demo(&args.dir, args.keep, real_clients(&args).as_ref()).await?),
        #[cfg(feature = "node")]
        Command::Devnet(DevnetCommand::Up(args)) => Ok(devnet::up(&args.dir, real_clients(&args).as_ref()).await?),
        #[cfg(feature = "node")]
        Command::Bench(args) => bench::run(args, json).await,
        #[cfg(feature = "node")]
        Command::Vectors => {
            let vectors = tokio::task::block_in_place(client::vectors::vectors)?;
            output(true, &vectors, |_| String::new());
            Ok(())
        }
        #[cfg(feature = "node")]
        Command::King(KingArgs { action: Some(action), .. }) => operator::king(&action, json).await,
        #[cfg(feature = "node")]
        Command::Relay(RelayArgs { action: Some(action), .. }) => operator::relay(&action, json),
        // The caller has run these.
        #[cfg(feature = "node")]
        Command::King(_) | Command::Queen(_) | Command::Relay(_) | Command::Provider(_) | Command::SandboxExec { .. } => Ok(()),
        Command::Audit(_) | Command::Shell(_) => Ok(()),
    }
}

#[cfg(feature = "node")]
fn real_clients(args: &DevnetArgs) -> Option<devnet::clients::RealClients> {
    args.clients.clone().map(|folder| devnet::clients::RealClients { folder })
}

/// The configuration, unless it was only to be shown.
#[cfg(feature = "node")]
fn dumped(config: NodeConfig, dump: DumpArgs) -> Result<Option<NodeConfig>, OperatorError> {
    if !dump.dump_config {
        return Ok(Some(config));
    }
    line(config.to_toml()?.trim_end());
    Ok(None)
}

pub(super) fn load(args: &NodeArgs) -> Result<NodeConfig, OperatorError> {
    Ok(NodeConfig::load(&args.config, &args.overrides())?)
}

pub(super) async fn connect(args: &NodeArgs) -> Result<(NodeConfig, Clients), OperatorError> {
    let config = load(args)?;
    let clients = Clients::connect(&config).await?;
    Ok((config, clients))
}

/// For commands that only read: no keystore is opened, no password is asked for.
pub(super) async fn reader(config: &NodeConfig) -> Result<Clients, OperatorError> {
    Ok(Clients::reader(config).await?)
}

async fn show_market(args: &MarketArgs, json: bool) -> Outcome {
    let clients = reader(&load(&args.node)?).await?;
    let filter = market::Filter { class_version: args.class, max_price_per_hour: args.max_price, include_unavailable: args.all };
    let offers = market::market(&clients, &filter).await?;
    output(json, &offers, |offers| {
        if offers.is_empty() {
            return "No offers match. `gpumkt market --all` also shows those that cannot be rented now.".into();
        }
        let rows = offers
            .iter()
            .map(|offer| {
                vec![
                    offer.offer.to_string(),
                    offer.class_version.to_string(),
                    offer.price_per_hour_wei.to_string(),
                    format!("{:.2}x", f64::from(offer.performance_permille) / 1_000.0),
                    format!("{:.1} %", f64::from(offer.reputation_ppm) / 10_000.0),
                    offer.faults.to_string(),
                    offer.region.trim_end_matches('\0').to_string(),
                    offer.availability.to_string(),
                    offer.provider.to_string(),
                ]
            })
            .collect();
        table(&["offer", "class", "GPUTOKEN/h", "speed", "reputation", "faults", "region", "state", "provider"], rows)
    });
    Ok(())
}

/// Without a terminal nobody can answer: that is a no, and `--yes` is the way to say yes.
pub(super) fn confirm(question: &str) -> Result<bool, OperatorError> {
    let failed = |source| ClientError::File { path: "terminal".into(), source };
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    print!("{question}");
    std::io::stdout().flush().map_err(failed)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

async fn run_kernel(args: &RunArgs, json: bool) -> Outcome {
    let missing = |argument: &str| ClientError::Argument { argument: argument.into(), reason: "a kernel needs it".into() };
    let (source, global) = (args.source.as_ref().ok_or_else(|| missing("KERNEL.cl"))?, args.global.ok_or_else(|| missing("--global"))?);
    let (job, files) = session::job_from_arguments(source, &args.kernel, global, &args.arguments)?;
    let (config, clients) = connect(&args.node).await?;
    let view = rent::rental(&clients, args.rental).await?;
    let key = client::session_keys(&config, Strength::Standard)?.open(&view)?;
    let identity = load_or_create_identity(&config.data_dir.join("node.key"))?;
    let node = session::RenterNode::start(&config, *identity).await?;
    let mut open = node.open(&clients, &view, &key).await?;
    let result = open.run_kernel(job).await?;
    node.stop().await;
    for (path, bytes) in files.iter().zip(&result.outputs) {
        std::fs::write(path, bytes).map_err(|source| ClientError::File { path: path.clone(), source })?;
    }
    let shown = json!({
        "rental": args.rental,
        "elapsed_ms": result.elapsed_ms,
        "isolation": result.isolation,
        "build_log": result.build_log,
        "printed": result.printed,
        "outputs": files,
    });
    output(json, &shown, |_| {
        let written: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        format!("{}finished in {} ms; wrote {}", client::shell::clean(&result.printed), result.elapsed_ms, written.join(", "))
    });
    Ok(())
}

async fn end_rental(args: &RentalArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.node).await?;
    let receipt = rent::end(&clients, args.rental).await?;
    let view = rent::rental(&clients, args.rental).await?;
    output(json, &view, |view| {
        format!("rental {} ended in {}; the rest is decided by its closing challenge", view.rental, receipt.tx_hash)
    });
    Ok(())
}

async fn claim(args: &ClaimArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.send.node).await?;
    let to = args.to.unwrap_or(clients.signer.address());
    let (amount, sent) = rent::claim(&clients, to, args.send.mode()).await?;
    let verb = if sent.dry_run { "would be claimed" } else { "claimed" };
    show(json, &sent, json!({ "to": to, "amount_wei": amount }), &format!("{amount} GPUTOKEN {verb} to {to}"));
    Ok(())
}

fn manage_keys(command: KeysCommand, json: bool) -> Outcome {
    match command {
        KeysCommand::New { file, password_file } => {
            let password = read_password(password_file.as_deref(), &file)?;
            let signer = keys::create_keystore(&file, &password, Strength::Standard)?;
            show_key(json, &file, &signer);
        }
        KeysCommand::Import { file, password_file } => {
            let password = read_password(password_file.as_deref(), &file)?;
            let mut line = Zeroizing::new(String::new());
            std::io::stdin().lock().read_line(&mut line).map_err(|source| ClientError::File { path: "standard input".into(), source })?;
            let key: B256 = line.trim().parse().map_err(|_| keys::KeyError::InvalidKey)?;
            let signer = PrivateKeySigner::from_bytes(&key).map_err(|_| keys::KeyError::InvalidKey)?;
            keys::write_keystore(&file, &signer, &password, Strength::Standard)?;
            show_key(json, &file, &signer);
        }
        KeysCommand::List { folder } => {
            let found: Vec<_> =
                keys::list_keystores(&folder)?.into_iter().map(|(path, address)| json!({ "file": path, "address": address })).collect();
            output(json, &found, |found| {
                let rows = found.iter().map(|key| vec![key["address"].to_string(), key["file"].to_string()]).collect();
                table(&["address", "file"], rows).replace('"', "")
            });
        }
    }
    Ok(())
}

fn show_key(json: bool, file: &Path, signer: &PrivateKeySigner) {
    let shown = json!({ "file": file, "address": signer.address() });
    output(json, &shown, |_| format!("{} in {}", signer.address(), file.display()));
}
