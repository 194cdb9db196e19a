//! `rent`, `launch` and `status`: from the payment to a container that one can log in to.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::json;

use super::{
    args::{LaunchArgs, LaunchRentalArgs, RentArgs, RentalArgs},
    commands::{Outcome, confirm, connect, load, reader},
    money::show,
    render::{self, OperatorError, duration, line, output, printable, table, when},
    rental,
};
use crate::{
    client::{
        self, ClientError, Clients, evidence,
        launch::{ImageChoice, LaunchProgress, LaunchSpec, Launcher, RegistryLogin, TenantStatus},
        market,
        rent::{self, Quote, RentalView, SessionKeys},
        session::RenterNode,
        shell::{self, ShellFiles},
        templates::Template,
    },
    config::NodeConfig,
    keys::{Strength, load_or_create_identity},
    types::RentalId,
};

/// Largest file of variables: far above what a launch may hold.
const MAX_ENV_FILE_BYTES: u64 = 1 << 20;

pub(super) async fn rent(args: &RentArgs, json: bool) -> Outcome {
    // Whatever is wrong with the launch shows before anything is paid.
    let (spec, template) = launch_spec(&args.launch)?;
    let ssh_key = args.ssh_key.as_deref().map(shell::check_key).transpose()?;
    let (config, clients) = connect(&args.node).await?;
    let quotes = quotes(args, &clients).await?;
    let total = rent::total_of(&quotes);
    for limit in [args.max_cost, args.keep.spend_limit].into_iter().flatten() {
        if total > limit {
            return Err(ClientError::TooExpensive { cost: total, limit }.into());
        }
    }
    if args.dry_run {
        let sent = rent::rehearse(&clients, &quotes).await?;
        show(json, &sent, json!({ "quotes": quotes, "total_wei": total }), &format!("it costs at most {total} GPUTOKEN"));
        return Ok(());
    }
    if !args.yes && !json {
        show_reference_price(&clients, args.offer).await?;
    }
    if !agrees(&quotes, args.yes, json)? {
        return Err(ClientError::Cancelled.into());
    }
    let sessions = client::session_keys(&config, Strength::Standard)?;
    let (ids, receipt) = match quotes.as_slice() {
        [quote] => rent::rent(&clients, quote, &sessions).await.map(|(id, receipt)| (vec![id], receipt))?,
        _ => rent::rent_many(&clients, &quotes, &sessions).await?,
    };
    let listed = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !json {
        line(format!("rental {listed}: paid in {} (block {})", receipt.tx_hash, receipt.block_number));
    }
    for id in &ids {
        if let Some(key) = &ssh_key {
            ShellFiles::remember_key(&config.data_dir, *id, key)?;
        }
    }
    let first = rent::rental(&clients, ids.first().copied().unwrap_or_default()).await?;
    let launched = launch(&config, &clients, &sessions, &first, spec.clone(), json).await;
    let view = match launched {
        Ok(view) => view,
        // Whoever wants another device if this one fails gets it here as well.
        Err(error) if args.keep.failover => {
            render::error(&error, json);
            first
        }
        Err(error) => return Err(error),
    };
    for id in ids.iter().skip(1) {
        let within = Duration::from_secs(rent::ready_window_seconds(&clients).await?);
        rent::wait_for(&clients, *id, rent::RentalState::Active, "active", within).await?;
    }
    show_ready(&view, &ids, template.map(|template| template.hint(view.rental, &spec)), json);
    if args.keep.stays() {
        return rental::watch(&config, &clients, &sessions, view.rental, &args.keep, spec, json).await;
    }
    Ok(())
}

/// The offer itself, and as many of its provider's others as are wanted.
async fn quotes(args: &RentArgs, clients: &Clients) -> Result<Vec<Quote>, OperatorError> {
    let mut offers = vec![args.offer];
    if args.gpus > 1 {
        offers.extend(market::siblings(clients, args.offer, args.duration, args.gpus - 1).await?);
    }
    let mut quotes = Vec::new();
    for offer in offers {
        quotes.push(rent::quote(clients, offer, args.duration).await?);
    }
    Ok(quotes)
}

/// Shows the full cost, and asks where `--yes` has not answered already.
fn agrees(quotes: &[Quote], is_agreed: bool, json: bool) -> Result<bool, OperatorError> {
    if json {
        return Ok(is_agreed);
    }
    for quote in quotes {
        line(format!(
            "{} of offer {}: rent {}, protocol fee {}, bridge fee {}, ready fee {}: at most {} GPUTOKEN; what is not used is refunded.",
            duration(quote.duration_seconds.into()),
            quote.offer,
            quote.rent_wei,
            quote.protocol_fee_wei,
            quote.bridge_fee_wei,
            quote.ready_fee_wei,
            quote.total_wei
        ));
    }
    if quotes.len() > 1 {
        line(format!("{} devices, at most {} GPUTOKEN in all.", quotes.len(), rent::total_of(quotes)));
    }
    line("The provider can read what runs on its machine: bring no secrets that its owner must not see.");
    if is_agreed { Ok(true) } else { confirm("Rent? [y/N] ") }
}

/// What others ask for a device of the same class, before anything is paid.
async fn show_reference_price(clients: &Clients, offer: u64) -> Result<(), OperatorError> {
    let offered = client::market::offer(clients, offer).await?;
    if let Some(found) = client::earnings::suggest_price(clients, offered.class_version).await? {
        line(format!(
            "This offer: {} GPUTOKEN per hour. Reference price of class {}: {} at reference speed; this device has {:.2} of it.",
            offered.price_per_hour_wei,
            found.class_version,
            found.suggested_wei,
            f64::from(offered.performance_permille) / 1_000.0
        ));
    }
    Ok(())
}

pub(super) async fn again(args: &LaunchRentalArgs, json: bool) -> Outcome {
    let (spec, template) = launch_spec(&args.launch)?;
    let (config, clients) = connect(&args.node).await?;
    let sessions = client::session_keys(&config, Strength::Standard)?;
    let rental = rent::rental(&clients, args.rental).await?;
    let view = launch(&config, &clients, &sessions, &rental, spec.clone(), json).await?;
    show_ready(&view, &[view.rental], template.map(|template| template.hint(view.rental, &spec)), json);
    Ok(())
}

fn show_ready(view: &RentalView, ids: &[RentalId], hint: Option<String>, json: bool) {
    output(json, &Ready { view, rentals: ids }, |_| {
        let id = view.rental;
        let mut text = format!("rental {id} is ready until {}. Log in: gpumkt ssh {id}", when(view.end));
        if ids.len() > 1 {
            text.push_str(&format!("\n{} devices are in its container; each is a rental of its own: {ids:?}", ids.len()));
        }
        if let Some(hint) = hint {
            text.push_str(&format!("\nNext: {hint}"));
        }
        text
    });
}

#[derive(Serialize)]
struct Ready<'a> {
    #[serde(flatten)]
    view: &'a RentalView,
    /// All that share this one's container, itself included.
    rentals: &'a [RentalId],
}

async fn launch(
    config: &NodeConfig,
    clients: &Clients,
    sessions: &SessionKeys,
    rental: &RentalView,
    spec: LaunchSpec,
    json: bool,
) -> Result<RentalView, OperatorError> {
    let node = start_node(config).await?;
    let tell = |progress: &LaunchProgress| {
        if !json && let LaunchProgress::Step { message, done_bytes, total_bytes } = progress {
            line(format!("  {message}{}", share(*done_bytes, *total_bytes)));
        }
    };
    let launched = Launcher { clients, node: &node, sessions }.launch(rental, spec, &tell).await;
    node.stop().await;
    Ok(launched?)
}

pub(super) async fn start_node(config: &NodeConfig) -> Result<RenterNode, OperatorError> {
    let identity = load_or_create_identity(&config.data_dir.join("node.key"))?;
    Ok(RenterNode::start(config, *identity).await?)
}

fn share(done_bytes: u64, total_bytes: u64) -> String {
    match total_bytes {
        0 => String::new(),
        total => format!(" {:.0} % of {} MiB", done_bytes as f64 * 100.0 / total as f64, total >> 20),
    }
}

pub(super) async fn status(args: &RentalArgs, json: bool) -> Outcome {
    let config = load(&args.node)?;
    let clients = reader(&config).await?;
    let evidence = evidence::evidence(&clients, args.rental).await?;
    let told = ask_provider(&config, &clients, &evidence.rental).await;
    if let Err(ClientError::Key(error)) = told {
        return Err(error.into());
    }
    let reason = told.as_ref().err().map(ToString::to_string);
    let shown = StatusReport { rental: &evidence.rental, provider: told.as_ref().ok(), provider_silent_because: reason.clone() };
    output(json, &shown, |_| match (&told, reason) {
        (Ok(status), _) => format!("{}\n\nAs its provider sees it:\n{}", rental::facts(&evidence), render_status(status)),
        (Err(_), reason) => {
            format!("{}\n\nNothing from its provider: {}", rental::facts(&evidence), printable(&reason.unwrap_or_default()))
        }
    });
    Ok(())
}

#[derive(Serialize)]
struct StatusReport<'a> {
    rental: &'a RentalView,
    provider: Option<&'a TenantStatus>,
    provider_silent_because: Option<String>,
}

/// Only whoever holds the session key gets an answer.
async fn ask_provider(config: &NodeConfig, clients: &Clients, rental: &RentalView) -> Result<TenantStatus, ClientError> {
    let path = config.data_dir.join("sessions");
    if !client::has_session_key(config, rental) {
        return Err(ClientError::NoSessionKey { rental: rental.rental, path });
    }
    if matches!(rental.state, rent::RentalState::Completed | rent::RentalState::Cancelled) {
        return Err(ClientError::NotActive { rental: rental.rental, state: rental.state_text() });
    }
    let sessions = client::session_keys(config, Strength::Standard)?;
    let identity = load_or_create_identity(&config.data_dir.join("node.key"))?;
    let node = RenterNode::start(config, *identity).await?;
    let status = Launcher { clients, node: &node, sessions: &sessions }.status(rental).await;
    node.stop().await;
    status
}

fn render_status(status: &TenantStatus) -> String {
    let mut rows = vec![
        ("phase", format!("{:?}", status.phase).to_lowercase()),
        ("time", window_text(status)),
        ("runtime", status.runtime.clone()),
        ("image", format!("{} {}", status.image, status.image_digest)),
        ("network", format!("{:?}", status.network).to_lowercase()),
        (
            "limits",
            format!(
                "{} MiB memory, {:.1} cores, {} processes, {} GiB disk",
                status.limits.memory_bytes >> 20,
                f64::from(status.limits.cpu_millis) / 1_000.0,
                status.limits.processes,
                status.limits.disk_bytes >> 30
            ),
        ),
        ("restarts", format!("{}, {} of them for memory", status.deaths, status.out_of_memory_deaths)),
        ("paused", format!("{:.1} s for challenges", status.paused_ms as f64 / 1_000.0)),
    ];
    if let Some(usage) = &status.usage {
        let cpu_s = usage.cpu_us as f64 / 1e6;
        rows.push(("usage", format!("{} MiB memory, {} processes, {cpu_s:.1} s of CPU", usage.memory_bytes >> 20, usage.processes)));
        rows.push(("killed for memory", format!("{} processes", usage.out_of_memory_kills)));
    }
    if status.idle_seconds > 0 {
        rows.push(("idle", format!("for {}", duration(status.idle_seconds))));
    }
    rows.extend(status.public_address.clone().map(|address| ("published at", address)));
    rows.extend(status.shares.map(|leader| ("container", format!("that of rental {leader}"))));
    if !status.unenforced.is_empty() {
        rows.push(("not enforced", status.unenforced.join("; ")));
    }
    if let Some(trouble) = &status.trouble {
        rows.push(("last trouble", format!("{} {} (at {})", trouble.code, trouble.reason, when(trouble.at))));
    }
    if let Some((at, reason)) = &status.ended {
        rows.push(("ended", format!("{reason:?} at {}", when(*at))));
    }
    table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_string(), printable(&value)]).collect())
}

fn window_text(status: &TenantStatus) -> String {
    if status.start == 0 { "not started".into() } else { format!("{} to {}", when(status.start), when(status.end)) }
}

/// What to launch, with the template that it came from.
pub(super) fn launch_spec(args: &LaunchArgs) -> Result<(LaunchSpec, Option<Template>), OperatorError> {
    let mut env = BTreeMap::new();
    if let Some(path) = &args.env_file {
        let failed = |source| ClientError::File { path: path.clone(), source };
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_ENV_FILE_BYTES {
            return Err(wrong("--env-file", format!("larger than {MAX_ENV_FILE_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        for entry in text.lines().map(str::trim).filter(|entry| !entry.is_empty() && !entry.starts_with('#')) {
            // The line itself may be a secret: only its place is told.
            let (name, value) = entry.split_once('=').ok_or_else(|| wrong("--env-file", "a line is not NAME=VALUE".into()))?;
            env.insert(name.to_string(), value.to_string());
        }
    }
    for entry in &args.env {
        let (name, value) = match entry.split_once('=') {
            Some((name, value)) => (name, value.to_string()),
            None => (entry.as_str(), std::env::var(entry).map_err(|_| wrong("--env", format!("{entry} is not set here")))?),
        };
        env.insert(name.to_string(), value);
    }
    let mut image = args.image.clone();
    if let (Some(username), Some(path)) = (&args.registry_user, &args.registry_password_file) {
        let ImageChoice::Registry { login, .. } = &mut image else {
            return Err(wrong("--registry-user", "the image is not from a registry".into()));
        };
        let password = std::fs::read_to_string(path).map_err(|source| ClientError::File { path: path.clone(), source })?;
        *login = Some(RegistryLogin { username: username.clone(), password: password.trim_end_matches(['\r', '\n']).to_string() });
    }
    let mut spec = LaunchSpec { image, command: args.command.clone(), env, publish: args.publish };
    if let Some(template) = args.template {
        template.fill(&mut spec);
    }
    spec.check().map_err(|error| wrong(error.what, error.reason))?;
    Ok((spec, args.template))
}

fn wrong(argument: &str, reason: String) -> OperatorError {
    ClientError::Argument { argument: argument.into(), reason }.into()
}
