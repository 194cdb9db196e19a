//! `rent`, `launch` and `status`: from the payment to a container that one can log in to.

use std::collections::BTreeMap;

use super::{
    args::{LaunchArgs, LaunchRentalArgs, RentArgs, RentalArgs},
    commands::{Outcome, agrees, connect},
    render::{OperatorError, line, output, printable, table},
};
use crate::{
    client::{
        self, ClientError, Clients,
        launch::{ImageChoice, LaunchProgress, LaunchSpec, Launcher, RegistryLogin, TenantStatus},
        rent::{self, RentalView, SessionKeys},
        session::RenterNode,
    },
    config::NodeConfig,
    keys::{Strength, load_or_create_identity},
};

/// Largest file of variables: far above what a launch may hold.
const MAX_ENV_FILE_BYTES: u64 = 1 << 20;

pub(super) async fn rent(args: &RentArgs, json: bool) -> Outcome {
    // Whatever is wrong with the launch shows before anything is paid.
    let spec = launch_spec(&args.launch)?;
    let (config, clients) = connect(&args.node).await?;
    let quote = rent::quote(&clients, args.offer, args.duration).await?;
    if let Some(limit) = args.max_cost.filter(|limit| quote.total_wei > *limit) {
        return Err(ClientError::TooExpensive { cost: quote.total_wei, limit }.into());
    }
    if !args.yes && !json {
        show_reference_price(&clients, args.offer).await?;
    }
    if !args.yes && (json || !agrees(&quote)?) {
        return Err(ClientError::Cancelled.into());
    }
    let sessions = client::session_keys(&config, Strength::Standard)?;
    let (id, receipt) = rent::rent(&clients, &quote, &sessions).await?;
    if !json {
        line(format!("rental {id}: paid in {} (block {})", receipt.tx_hash, receipt.block_number));
    }
    let rental = rent::rental(&clients, id).await?;
    let view = launch(&config, &clients, &sessions, &rental, spec, json).await?;
    show_ready(&view, json);
    Ok(())
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
    let spec = launch_spec(&args.launch)?;
    let (config, clients) = connect(&args.node).await?;
    let sessions = client::session_keys(&config, Strength::Standard)?;
    let rental = rent::rental(&clients, args.rental).await?;
    let view = launch(&config, &clients, &sessions, &rental, spec, json).await?;
    show_ready(&view, json);
    Ok(())
}

fn show_ready(view: &RentalView, json: bool) {
    output(json, view, |view| {
        let id = view.rental;
        format!("rental {id} is ready until {} (Unix time). Log in: gpumkt ssh {id}", view.end)
    });
}

async fn launch(
    config: &NodeConfig,
    clients: &Clients,
    sessions: &SessionKeys,
    rental: &RentalView,
    spec: LaunchSpec,
    json: bool,
) -> Result<RentalView, OperatorError> {
    let node = start_node(config)?;
    let tell = |progress: &LaunchProgress| {
        if !json && let LaunchProgress::Step { message, done_bytes, total_bytes } = progress {
            line(format!("  {message}{}", share(*done_bytes, *total_bytes)));
        }
    };
    let launched = Launcher { clients, node: &node, sessions }.launch(rental, spec, &tell).await;
    node.stop().await;
    Ok(launched?)
}

fn start_node(config: &NodeConfig) -> Result<RenterNode, OperatorError> {
    let identity = load_or_create_identity(&config.data_dir.join("node.key"))?;
    Ok(RenterNode::start(config, *identity)?)
}

fn share(done_bytes: u64, total_bytes: u64) -> String {
    match total_bytes {
        0 => String::new(),
        total => format!(" {:.0} % of {} MiB", done_bytes as f64 * 100.0 / total as f64, total >> 20),
    }
}

pub(super) async fn status(args: &RentalArgs, json: bool) -> Outcome {
    let (config, clients) = connect(&args.node).await?;
    let sessions = client::session_keys(&config, Strength::Standard)?;
    let rental = rent::rental(&clients, args.rental).await?;
    let node = start_node(&config)?;
    let status = Launcher { clients: &clients, node: &node, sessions: &sessions }.status(&rental).await;
    node.stop().await;
    output(json, &status?, render_status);
    Ok(())
}

fn render_status(status: &TenantStatus) -> String {
    let mut rows = vec![
        ("phase", format!("{:?}", status.phase).to_lowercase()),
        ("time", format!("{} to {} (Unix time)", status.start, status.end)),
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
    if !status.unenforced.is_empty() {
        rows.push(("not enforced", status.unenforced.join("; ")));
    }
    if let Some(trouble) = &status.trouble {
        rows.push(("last trouble", format!("{} {} (at {})", trouble.code, trouble.reason, trouble.at)));
    }
    if let Some((at, reason)) = &status.ended {
        rows.push(("ended", format!("{reason:?} at {at}")));
    }
    table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_string(), printable(&value)]).collect())
}

fn launch_spec(args: &LaunchArgs) -> Result<LaunchSpec, OperatorError> {
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
    let spec = LaunchSpec { image, command: args.command.clone(), env };
    spec.check().map_err(|error| wrong(error.what, error.reason))?;
    Ok(spec)
}

fn wrong(argument: &str, reason: String) -> OperatorError {
    ClientError::Argument { argument: argument.into(), reason }.into()
}
