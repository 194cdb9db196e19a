//! Commands about one rental besides renting it: look at it, extend it, stay with it, complain about it, settle it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::{
    args::{AccountArgs, LaunchArgs, NodeArgs, RentalArgs, RentalsArgs, parse_duration_seconds},
    commands::{Outcome, confirm, connect, load, reader},
    launch::{launch_spec, start_node},
    money::{self, SendArgs},
    render::{duration, line, output, printable, table, when},
};
use crate::{
    client::{
        self, ClientError, Clients, court,
        evidence::{self, Evidence},
        exits,
        launch::LaunchSpec,
        rent::{self, Extension, RentalView, SessionKeys},
        upkeep::{self, Settled},
        watch::{Watch, WatchEvent, WatchPlan},
    },
    config::NodeConfig,
    keys::Strength,
    types::{Amount, RentalId},
};

#[derive(Debug, Subcommand)]
pub enum RentalCommand {
    /// Buy more time; what runs is not interrupted
    Extend(ExtendArgs),
    /// Stay with a rental: warn, buy time before it ends, move on to another device if the provider fails
    Watch(WatchArgs),
    /// Complain about a rental: freezes the money until Queens have judged; costs a bond if they reject it
    Complain(ComplainArgs),
    /// Move on a rental whose reports never came: request the refund by deadline, or execute it
    Settle(RentalArgs),
    /// Make large credits of reports claimable, once their delay is over; anybody may, for any account
    Release(AccountArgs),
}

/// What to do while the rental runs. With any of these the command stays until the rental is over.
#[derive(Debug, Clone, Args)]
pub struct KeepArgs {
    /// Buy so much more time shortly before the end, again and again, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_seconds, requires = "spend_limit")]
    pub auto_renew: Option<u32>,
    /// Most GPUTOKEN to spend in all, on this rental and what takes its place
    #[arg(long, value_name = "TOKENS")]
    pub spend_limit: Option<Amount>,
    /// If the provider fails, rent the next matching offer and start the same there
    #[arg(long)]
    pub failover: bool,
    /// A provider that has been silent for this long has failed
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_duration_seconds)]
    pub silence: u32,
}

impl KeepArgs {
    pub fn stays(&self) -> bool {
        self.auto_renew.is_some() || self.failover
    }
}

#[derive(Debug, Args)]
pub struct ExtendArgs {
    #[command(flatten)]
    pub send: SendArgs,
    #[arg(value_name = "RENTAL")]
    pub rental: RentalId,
    /// How many hours
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), required_unless_present = "duration")]
    pub hours: Option<u32>,
    /// How much time, such as 45m or 2d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_seconds, conflicts_with = "hours")]
    pub duration: Option<u32>,
    /// Refuse to pay more than this, GPUTOKEN
    #[arg(long, value_name = "TOKENS")]
    pub max_cost: Option<Amount>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(value_name = "RENTAL")]
    pub rental: RentalId,
    #[command(flatten)]
    pub keep: KeepArgs,
    /// What to start on the next device
    #[command(flatten)]
    pub launch: LaunchArgs,
}

#[derive(Debug, Args)]
pub struct ComplainArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(value_name = "RENTAL")]
    pub rental: RentalId,
    /// File that shows what is wrong; its hash goes on chain, the file to the Queens who judge
    #[arg(long, value_name = "FILE")]
    pub evidence: PathBuf,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

pub(super) async fn run(command: RentalCommand, json: bool) -> Outcome {
    match command {
        RentalCommand::Extend(args) => extend(&args, json).await,
        RentalCommand::Watch(args) => watch_rental(&args, json).await,
        RentalCommand::Complain(args) => complain(&args, json).await,
        RentalCommand::Settle(args) => settle(&args, json).await,
        RentalCommand::Release(args) => release(&args, json).await,
    }
}

async fn extend(args: &ExtendArgs, json: bool) -> Outcome {
    let seconds = args.duration.or(args.hours.and_then(|hours| hours.checked_mul(3_600)));
    let seconds = seconds.ok_or_else(|| ClientError::Argument { argument: "--hours".into(), reason: "too many".into() })?;
    let (_, clients) = connect(&args.send.node).await?;
    let extension = rent::extension(&clients, args.rental, seconds).await?;
    if let Some(limit) = args.max_cost.filter(|limit| extension.cost_wei > *limit) {
        return Err(ClientError::TooExpensive { cost: extension.cost_wei, limit }.into());
    }
    if !json {
        line(extension_text(&extension));
    }
    if !args.send.dry_run && !args.yes && (json || !confirm("Extend? [y/N] ")?) {
        return Err(ClientError::Cancelled.into());
    }
    let sent = rent::extend(&clients, &extension, args.send.mode()).await?;
    let verb = if sent.dry_run { "would run" } else { "runs" };
    money::show(json, &sent, json!(extension), &format!("rental {} {verb} until {}", extension.rental, when(extension.end)));
    Ok(())
}

/// A result with the transaction that brought it about.
#[derive(Serialize)]
pub(super) struct Done<'a, T: Serialize> {
    #[serde(flatten)]
    pub result: &'a T,
    pub transaction: String,
}

fn extension_text(extension: &Extension) -> String {
    format!(
        "{} more for rental {}: exactly {} GPUTOKEN; it then runs until {} instead of {}.",
        duration(extension.added_seconds.into()),
        extension.rental,
        extension.cost_wei,
        when(extension.end),
        when(extension.end_before)
    )
}

async fn watch_rental(args: &WatchArgs, json: bool) -> Outcome {
    let (spec, _) = launch_spec(&args.launch)?;
    let (config, clients) = connect(&args.node).await?;
    let sessions = client::session_keys(&config, Strength::Standard)?;
    watch(&config, &clients, &sessions, args.rental, &args.keep, spec, json).await
}

pub(super) async fn watch(
    config: &NodeConfig,
    clients: &Clients,
    sessions: &SessionKeys,
    rental: RentalId,
    keep: &KeepArgs,
    spec: LaunchSpec,
    json: bool,
) -> Outcome {
    let node = start_node(config).await?;
    let plan = WatchPlan {
        renew_seconds: keep.auto_renew,
        spend_limit: keep.spend_limit,
        failover: keep.failover.then_some(spec),
        silence: Duration::from_secs(keep.silence.into()),
        data_dir: config.data_dir.clone(),
    };
    let tell = |event: &WatchEvent| match serde_json::to_string(event) {
        Ok(event) if json => line(event),
        _ => line(event_text(event)),
    };
    if !json {
        line(format!("Staying with rental {rental}; Ctrl-C leaves it as it is."));
    }
    let watch = Watch { clients, node: &node, sessions, plan, tell: &tell };
    let outcome = tokio::select! {
        outcome = watch.run(rental) => outcome.map(drop),
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    node.stop().await;
    Ok(outcome?)
}

fn event_text(event: &WatchEvent) -> String {
    let text = match event {
        WatchEvent::Extended { rental, cost_wei, end } => format!("rental {rental} extended for {cost_wei} GPUTOKEN, until {}", when(*end)),
        WatchEvent::NotExtended { rental, reason } => format!("rental {rental} will not be extended: {reason}"),
        WatchEvent::ChainSilent { reason } => format!("the chain does not answer, the rental goes on: {reason}"),
        WatchEvent::ProviderSilent { rental, reason } => format!("the provider of rental {rental} does not answer: {reason}"),
        WatchEvent::ProviderBack { rental } => format!("the provider of rental {rental} answers again"),
        WatchEvent::Trouble { rental, code, reason } => format!("rental {rental}: {code} {reason}"),
        WatchEvent::Idle { rental, seconds } => {
            format!("nothing has run in rental {rental} for {}; `gpumkt end {rental}` refunds the rest", duration(*seconds))
        }
        WatchEvent::ProviderFailed { rental, reason } => format!("the provider of rental {rental} has failed: {reason}"),
        WatchEvent::FailedOver { from, to } => format!("rental {to} takes the place of rental {from}"),
        WatchEvent::Over { rental, reason } => format!("rental {rental} is over: {reason}"),
    };
    format!("{}  {}", chrono::Local::now().format("%H:%M:%S"), printable(&text))
}

async fn complain(args: &ComplainArgs, json: bool) -> Outcome {
    let evidence = court::evidence_hash(&args.evidence)?;
    let (_, clients) = connect(&args.node).await?;
    if !json {
        let bond = court::bond(&clients).await?;
        line(format!(
            "A complaint takes a bond of {bond} GPUTOKEN, which is lost if the Queens reject it. Money for the time from now on waits for them."
        ));
    }
    if !args.yes && (json || !confirm("Complain? [y/N] ")?) {
        return Err(ClientError::Cancelled.into());
    }
    let (case, _) = court::complain(&clients, args.rental, evidence).await?;
    let view = court::case(&clients, case).await?;
    output(json, &view, |view| {
        format!(
            "case {case} is open until {}; evidence {}. Keep the file: the Queens of `gpumkt court show {case}` will ask for it.",
            when(view.verdict_until),
            view.evidence
        )
    });
    Ok(())
}

async fn settle(args: &RentalArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.node).await?;
    let (settled, receipt) = upkeep::settle(&clients, args.rental).await?;
    let shown = serde_json::json!({ "rental": args.rental, "settled": settled, "transaction": receipt.tx_hash });
    output(json, &shown, |_| match settled {
        Settled::Requested { executable_at } => {
            format!("requested; a report still wins until {}. Run the command again after that.", when(executable_at))
        }
        Settled::Closed => format!("rental {} is closed; what was not reported has gone back", args.rental),
    });
    Ok(())
}

async fn release(args: &AccountArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.node).await?;
    let account = args.to.unwrap_or(clients.signer.address());
    let (released, waiting) = exits::release(&clients, account).await?;
    let shown = serde_json::json!({ "account": account, "released": released, "waiting": waiting });
    output(json, &shown, |_| {
        let rows = released.iter().map(|delayed| (delayed, "released: `gpumkt claim` pays it out"));
        let rows = rows.chain(waiting.iter().map(|delayed| (delayed, "waits")));
        let rows: Vec<Vec<String>> =
            rows.map(|(delayed, state)| vec![delayed.amount_wei.to_string(), when(delayed.available_at), state.into()]).collect();
        if rows.is_empty() { "Nothing is held back.".into() } else { table(&["amount", "from", "state"], rows) }
    });
    Ok(())
}

/// One rental in full, or a list. Needs no password.
pub(super) async fn show(args: &RentalsArgs, json: bool) -> Outcome {
    let config = load(&args.node)?;
    let clients = reader(&config).await?;
    if let Some(rental) = args.rental {
        output(json, &evidence::evidence(&clients, rental).await?, evidence_text);
        return Ok(());
    }
    let account = args.account.map_or_else(|| Clients::account_of(&config), Ok)?;
    output(json, &rent::rentals(&clients, account).await?, |rentals| list_text(rentals));
    Ok(())
}

fn list_text(rentals: &[RentalView]) -> String {
    if rentals.is_empty() {
        return "No rentals.".into();
    }
    let rows = rentals.iter().map(|rental| {
        let until = if rental.end == 0 { "not started".into() } else { when(rental.end) };
        vec![
            rental.rental.to_string(),
            rental.state_text(),
            until,
            duration(rental.end.saturating_sub(rental.start)),
            duration(rental.verified_seconds),
            format!("{}/{}", rental.challenges_passed, rental.challenges_due),
            rental.escrowed_wei.to_string(),
            rental.paid_wei.to_string(),
            rental.refunded_wei.to_string(),
            rental.fees_wei.to_string(),
        ]
    });
    let header = ["rental", "state", "until", "time", "verified", "passed", "escrowed", "paid", "refunded", "fees"];
    table(&header, rows.collect())
}

fn evidence_text(evidence: &Evidence) -> String {
    let mut text = facts(evidence);
    if !evidence.challenges.is_empty() {
        let rows = evidence.challenges.iter().map(|challenge| {
            let transaction = challenge.settled.or(challenge.proof).or(challenge.commit);
            vec![
                challenge.block.to_string(),
                when(challenge.timestamp),
                if challenge.is_closing { "closing".into() } else { String::new() },
                challenge.verdict.to_string(),
                challenge.elapsed_ms.map_or_else(String::new, |ms| format!("{ms} ms")),
                transaction.map_or_else(String::new, |hash| hash.to_string()),
            ]
        });
        text.push_str("\n\n");
        text.push_str(&table(&["challenge", "posed", "", "verdict", "time", "transaction"], rows.collect()));
    }
    let rows = evidence
        .transactions
        .iter()
        .map(|step| vec![step.chain.to_string(), step.block.to_string(), printable(&step.what), step.transaction.to_string()]);
    text.push_str("\n\n");
    text.push_str(&table(&["chain", "block", "what", "transaction"], rows.collect()));
    text
}

/// What the contract says of a rental, a line each.
pub(super) fn facts(evidence: &Evidence) -> String {
    let rental = &evidence.rental;
    let mut rows = vec![
        ("rental", rental.rental.to_string()),
        ("state", rental.state_text()),
        ("offer, device", format!("{}, {}", rental.offer, rental.device)),
        ("renter", rental.renter.to_string()),
        ("provider", rental.provider.to_string()),
        ("paid for", when(rental.requested_at)),
    ];
    if rental.start != 0 {
        let time = duration(rental.end.saturating_sub(rental.start));
        rows.push(("time", format!("{} to {} ({time})", when(rental.start), when(rental.end))));
        let opened = if rental.opened_at == 0 { "never".into() } else { when(rental.opened_at) };
        rows.push(("session opened", opened));
        rows.push(("verified", format!("{} of the time", duration(rental.verified_seconds))));
        rows.push(("challenges", format!("{} of {} passed", rental.challenges_passed, rental.challenges_due)));
    }
    rows.push(("escrowed", format!("{} GPUTOKEN", rental.escrowed_wei)));
    rows.push(("paid, refunded, fees", format!("{}, {}, {}", rental.paid_wei, rental.refunded_wei, rental.fees_wei)));
    rows.extend(evidence.close_reason.map(|reason| ("closed because", reason.to_string())));
    rows.extend(evidence.fault.map(|fault| ("provider's fault", fault.to_string())));
    rows.extend(evidence.frozen_from.map(|from| ("frozen from", when(from))));
    rows.extend(evidence.maintenance.iter().map(|window| ("maintenance", format!("{} to {}", when(window.from), when(window.until)))));
    table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_string(), value]).collect())
}
