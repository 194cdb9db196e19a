//! Commands of providers: offer a device, announce maintenance, end a rental, hand on fees.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    args::{AccountArgs, NodeArgs, OfferArgs, RentalArgs, parse_duration_seconds},
    commands::{Outcome, confirm, connect, load, reader},
    money::gas_needs,
    render::{OperatorError, duration, line, output, table, when},
    rental::Done,
};
use crate::{
    client::{
        ClientError, Clients, earnings, exits, outlay, rent, stake,
        upkeep::{self, Maintenance},
    },
    config::NodeConfig,
    keys::keystore_address,
    types::{Amount, DeviceId, RentalId},
};

#[derive(Debug, Subcommand)]
pub enum ProvideCommand {
    /// Announce that a rented device will be away, or show what was announced
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// End a rental now, as its provider; it counts as your fault
    Abort(AbortArgs),
    /// Hand the protocol's fees of closed rentals to the TokenDistributor; anybody may
    CollectFees(NodeArgs),
    /// Take what is left of this key's gas fund on Ethereum Classic; a running provider fills it again
    WithdrawFund(AccountArgs),
}

#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Announce a time that is neither paid nor held against you
    Declare(DeclareArgs),
    /// Show what was announced for a rental
    List(RentalArgs),
}

#[derive(Debug, Args)]
pub struct DeclareArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(value_name = "RENTAL")]
    pub rental: RentalId,
    /// How long from now it begins, such as 25h
    #[arg(long = "in", value_name = "DURATION", value_parser = parse_duration_seconds)]
    pub begins_in: u32,
    /// How long it lasts, such as 30m
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration_seconds)]
    pub lasts: u32,
}

#[derive(Debug, Args)]
pub struct AbortArgs {
    #[command(flatten)]
    pub rental: RentalArgs,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

pub(super) async fn run(command: ProvideCommand, json: bool) -> Outcome {
    match command {
        ProvideCommand::Maintenance(MaintenanceCommand::Declare(args)) => declare(&args, json).await,
        ProvideCommand::Maintenance(MaintenanceCommand::List(args)) => list(&args, json).await,
        ProvideCommand::Abort(args) => abort(&args, json).await,
        ProvideCommand::CollectFees(args) => {
            let (_, clients) = connect(&args).await?;
            let (amount, receipt) = upkeep::collect_fees(&clients).await?;
            let shown = json!({ "amount_wei": amount, "transaction": receipt.tx_hash });
            output(json, &shown, |_| format!("{amount} GPUTOKEN of fees handed on in {}", receipt.tx_hash));
            Ok(())
        }
        ProvideCommand::WithdrawFund(args) => {
            let (_, clients) = connect(&args.node).await?;
            let to = args.to.unwrap_or(clients.signer.address());
            let (amount, receipt) = exits::withdraw_fund(&clients, to).await?;
            let shown = json!({ "to": to, "amount_wei": amount.to_string(), "transaction": receipt.tx_hash });
            output(json, &shown, |_| format!("{} ETC of the gas fund paid to {to} in {}", Amount(amount), receipt.tx_hash));
            Ok(())
        }
    }
}

async fn declare(args: &DeclareArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.node).await?;
    let from = clients.ethereum.head().await?.timestamp + u64::from(args.begins_in);
    let window = Maintenance { rental: args.rental, from, until: from + u64::from(args.lasts) };
    let receipt = upkeep::declare_maintenance(&clients, window).await?;
    output(json, &Done { result: &window, transaction: receipt.tx_hash.to_string() }, |done| {
        let length = duration(args.lasts.into());
        format!("rental {}: away from {} for {length}; transaction {}", window.rental, when(window.from), done.transaction)
    });
    Ok(())
}

async fn list(args: &RentalArgs, json: bool) -> Outcome {
    let clients = reader(&load(&args.node)?).await?;
    let (declared, notice) = upkeep::maintenance(&clients, args.rental).await?;
    output(json, &declared, |declared| {
        if declared.is_empty() {
            return format!("None. It must be declared {} ahead.", duration(notice.into()));
        }
        let rows = declared.iter().map(|window| vec![when(window.from), when(window.until), duration(window.until - window.from)]);
        table(&["from", "until", "time"], rows.collect())
    });
    Ok(())
}

async fn abort(args: &AbortArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.rental.node).await?;
    if !json {
        line("The rest is refunded, the device's reserve compensates the renter, and the fault is recorded.");
    }
    if !args.yes && (json || !confirm("End this rental? [y/N] ")?) {
        return Err(ClientError::Cancelled.into());
    }
    let receipt = upkeep::abort(&clients, args.rental.rental).await?;
    let view = rent::rental(&clients, args.rental.rental).await?;
    output(json, &view, |view| format!("rental {} ended in {}", view.rental, receipt.tx_hash));
    Ok(())
}

/// Registers a device where there is none of the class, and offers it.
pub(super) async fn offer(args: &OfferArgs, json: bool) -> Outcome {
    let (config, clients) = connect(&args.node).await?;
    let per_hour = price(args, &clients, json).await?;
    let price = stake::per_second(per_hour)
        .ok_or_else(|| ClientError::Argument { argument: "price".into(), reason: "zero or too large".into() })?;
    let attributes = attributes(args, &clients).await?;
    let device = device(args, &config, &clients).await?;
    let terms = stake::OfferTerms {
        device,
        price_per_second_wei: price,
        min_duration_seconds: args.min_duration,
        max_duration_seconds: args.max_duration,
        region: args.region.clone(),
        attributes,
    };
    let (offer, receipt) = stake::create_offer(&clients, &terms).await?;
    let needs = outlay::outlay(&clients, stake::worker(&clients, device).await?).await?;
    let shown = json!({
        "offer": offer,
        "device": device,
        "price_per_hour_wei": per_hour,
        "transaction": receipt.tx_hash,
        "classic_gas": needs,
    });
    output(json, &shown, |_| {
        format!(
            "offer {offer} for device {device} at {per_hour} GPUTOKEN per hour stands; it can be rented after its first full pass on ETC\n{}",
            gas_needs(&needs)
        )
    });
    Ok(())
}

/// The one that was given, otherwise what others get for the class.
async fn price(args: &OfferArgs, clients: &Clients, json: bool) -> Result<Amount, OperatorError> {
    if let Some(price) = args.price {
        return Ok(price);
    }
    let none = || ClientError::Argument { argument: "--price".into(), reason: "nobody offers this class yet: name a price".into() };
    let suggestion = earnings::suggest_price(clients, args.class).await?.ok_or_else(none)?;
    if !json {
        line(format!("Price from {} offers of this class: {} GPUTOKEN per hour.", suggestion.offers, suggestion.suggested_wei));
    }
    Ok(suggestion.suggested_wei)
}

async fn device(args: &OfferArgs, config: &NodeConfig, clients: &Clients) -> Result<DeviceId, OperatorError> {
    if !args.new_device {
        let owned = stake::devices(clients, clients.signer.address()).await?;
        if let Some((id, _)) = owned.iter().find(|(_, class)| *class == args.class) {
            return Ok(*id);
        }
    }
    let worker = config.keys.worker.as_ref().map_or(Ok(clients.signer.address()), |path| keystore_address(path))?;
    Ok(stake::register_device(clients, args.class, worker).await?.0)
}

#[cfg(feature = "node")]
async fn attributes(args: &OfferArgs, clients: &Clients) -> Result<String, OperatorError> {
    match &args.bench {
        Some(path) => Ok(crate::client::measured::attributes(clients, args.class, path).await?),
        None => Ok(String::new()),
    }
}

#[cfg(not(feature = "node"))]
async fn attributes(_: &OfferArgs, _: &Clients) -> Result<String, OperatorError> {
    Ok(String::new())
}
