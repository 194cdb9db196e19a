//! One rental from end to end on real parts, and the report of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::primitives::Address;

use super::{
    DevnetError,
    accounts::Accounts,
    bridge::read_bridge,
    clients::RealClients,
    console::Console,
    ledger::read_ledger,
    network::{self, DevNetwork},
    program,
    proxy::FaultProxy,
    report::{Balance, Report, SCHEMA_VERSION},
};
use crate::{
    chain::BlockId,
    client::{
        ClientError, Clients, Mode, audit,
        launch::{LaunchSpec, Launcher},
        market::{self, Availability, Filter, OfferView},
        rent::{self, RentalState, RentalView, SessionKeys},
        session::{KernelResult, RenterNode},
        stake::{self, OfferTerms},
    },
    config::NodeConfig,
    keys::{Strength, load_or_create_identity},
    types::{
        Amount,
        abi::{GPUToken, ReputationSystem},
    },
};

/// Stages that the progress bar counts.
const STAGES: u64 = 12;
/// Class of the devnet's device.
const CLASS_VERSION: u32 = 1;
const PRICE_PER_HOUR: &str = "3.6";
const RENTAL_SECONDS: u32 = 120;
/// Time for the first full challenge to be drawn, proven, settled and carried over.
const RENTABLE_WITHIN: Duration = Duration::from_secs(360);
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Time for the closing challenge to be drawn, proven, settled and carried over.
const COMPLETED_WITHIN: Duration = Duration::from_secs(360);
/// Time for a command in the container over ssh.
const SHELL_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// Runs the demo in `folder`; leaves the network running until Ctrl-C with `keep`.
pub async fn demo(folder: &Path, keep: bool, clients: Option<&RealClients>) -> Result<(), DevnetError> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        outcome = run(folder, keep, clients) => outcome,
        _ = interrupted => Err(DevnetError::Interrupted),
    }
}

/// Starts the network and leaves it running until Ctrl-C.
pub async fn up(folder: &Path, clients: Option<&RealClients>) -> Result<(), DevnetError> {
    let console = Console::new(STAGES - 5);
    let work = async {
        let network = build(folder, clients, &console).await?;
        console.finish();
        announce(&network)?;
        std::future::pending::<()>().await;
        Ok(())
    };
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn run(folder: &Path, keep: bool, clients: Option<&RealClients>) -> Result<(), DevnetError> {
    let console = Console::new(STAGES);
    let network = build(folder, clients, &console).await?;
    let report = scenario(folder, &network, &console).await?;
    console.finish();
    report.print();
    report.write(&folder.join("report.json"))?;
    report.check()?;
    println!("\nThe rental is completed, the sums are exact, the picture is right: {}", report.output_file);
    println!("Report: {}   {:.1} s in all", folder.join("report.json").display(), report.wall_s);
    if keep {
        announce(&network)?;
        std::future::pending::<()>().await;
    }
    network.stop().await
}

/// Everything up to a device that can be rented.
async fn build(folder: &Path, clients: Option<&RealClients>, console: &Console) -> Result<DevNetwork, DevnetError> {
    let run_folder = fresh_run_folder(folder)?;
    let accounts = Accounts::create(&run_folder.join("keys"))?;
    let (chains, measured) = console
        .stage("two chains started, device calibrated", async {
            tokio::try_join!(DevNetwork::chains(clients, &run_folder), network::calibrate_device())
        })
        .await?;
    console.line(&format!(
        "device {}: {:.0} ms full, {:.0} ms light",
        measured.device.name,
        measured.full_median_us as f64 / 1_000.0,
        measured.light_median_us as f64 / 1_000.0
    ));
    let program = network::this_program()?;
    let deployment = network::deployment(&chains, &measured)?;
    let deploying = network::deploy(&program, &run_folder, &chains, &accounts, &deployment);
    let book = console.stage("contracts deployed, wired and verified", deploying).await?;
    let proxies = [FaultProxy::start(&chains.ethereum.url()).await?, FaultProxy::start(&chains.classic.url()).await?];
    let mut network = DevNetwork { program, folder: run_folder, accounts, book, nodes: Vec::new(), nodes_up_at: 0, proxies, chains };
    console.stage("Kings, Queens and the provider staked", network.stake_all()).await?;
    console.stage("device registered and offered", offer_device(&network)).await?;
    console.stage("4 Kings, 3 Queens, a provider and a relay are up", network.start_nodes()).await?;
    let renter = network.clients("renter").await?;
    let offer = console.stage("first full challenge passed on ETC, device is rentable", wait_rentable(&renter)).await?;
    console.line(&format!(
        "offer {}: {} GPUTOKEN/h, reputation {:.1} %",
        offer.offer,
        offer.price_per_hour_wei,
        f64::from(offer.reputation_ppm) / 10_000.0
    ));
    Ok(network)
}

/// A folder of this run's own: a network that still runs beside it is not disturbed, folders of dead ones are removed.
fn fresh_run_folder(folder: &Path) -> Result<PathBuf, DevnetError> {
    std::fs::create_dir_all(folder).map_err(|error| DevnetError::file(folder, &error))?;
    let entries = std::fs::read_dir(folder).map_err(|error| DevnetError::file(folder, &error))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("run-")).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            std::fs::remove_dir_all(entry.path()).map_err(|error| DevnetError::file(&entry.path(), &error))?;
        }
    }
    let own = folder.join(format!("run-{}", std::process::id()));
    if own.exists() {
        std::fs::remove_dir_all(&own).map_err(|error| DevnetError::file(&own, &error))?;
    }
    std::fs::create_dir_all(&own).map_err(|error| DevnetError::file(&own, &error))?;
    own.canonicalize().map_err(|error| DevnetError::file(&own, &error))
}

async fn offer_device(network: &DevNetwork) -> Result<(), DevnetError> {
    let provider = network.clients("provider").await?;
    let (device, _) = stake::register_device(&provider, CLASS_VERSION, network.accounts.address("worker")?).await?;
    let price = Amount::parse_tokens(PRICE_PER_HOUR).ok().and_then(stake::per_second);
    let terms = OfferTerms {
        device,
        price_per_second_wei: price.ok_or_else(|| DevnetError::Setup { what: "price".into(), reason: PRICE_PER_HOUR.into() })?,
        min_duration_seconds: 10,
        max_duration_seconds: 86_400,
        region: "local".into(),
        attributes: r#"{"cpu":"this machine","declared":true}"#.into(),
    };
    stake::create_offer(&provider, &terms).await?;
    Ok(())
}

async fn wait_rentable(renter: &Clients) -> Result<OfferView, DevnetError> {
    let deadline = tokio::time::Instant::now() + RENTABLE_WITHIN;
    let mut tick = tokio::time::interval(LOOK);
    while tokio::time::Instant::now() < deadline {
        tick.tick().await;
        let offers = market::market(renter, &Filter { class_version: Some(CLASS_VERSION), ..Filter::default() }).await?;
        if let Some(offer) = offers.into_iter().find(|offer| offer.availability == Availability::Rentable) {
            return Ok(offer);
        }
    }
    let reason = format!("the device is not rentable after {} s", RENTABLE_WITHIN.as_secs());
    Err(DevnetError::Wrong { reason })
}

/// The renter's part, then the evidence.
async fn scenario(folder: &Path, network: &DevNetwork, console: &Console) -> Result<Report, DevnetError> {
    let renter = network.clients("renter").await?;
    let provider = network.accounts.address("provider")?;
    let before = balances(&renter, network).await?;
    let reputation_ppm_before = reputation(&renter, provider).await?;
    let sessions =
        SessionKeys { folder: network.folder.join("renter/sessions"), password: network.accounts.password(), strength: Strength::Devnet };
    let offer = wait_rentable(&renter).await?.offer;

    let node = renter_node(network).await?;
    let launcher = Launcher { clients: &renter, node: &node, sessions: &sessions };
    let rented = console.stage("rented: escrow paid, container up, provider ready", rent_gpu(&launcher, offer)).await?;
    let runtime = launcher.status(&rented).await?.runtime;
    let shell_output = match runtime.as_str() {
        "none" => None,
        _ => Some(console.stage("logged in to the container with stock ssh", use_shell(network, rented.rental)).await?),
    };
    let result = console.stage("session opened, picture computed on the rented device", use_gpu(network, &launcher, &rented)).await?;
    node.stop().await;
    let output = folder.join("mandelbrot.png");
    let picture = result.outputs.first().cloned().unwrap_or_default();
    program::write_png(&output, &picture)?;
    console.stage("rental ended by the renter", end_after_opening(&renter, rented.rental)).await?;
    let completed = console
        .stage("closing challenge proven, report carried over, rental completed", async {
            rent::wait_for(&renter, rented.rental, RentalState::Completed, "completed", COMPLETED_WITHIN).await
        })
        .await?;
    console.stage("credits claimed", claim_all(network)).await?;
    let reputation_ppm_after = wait_reputation(&renter, provider, reputation_ppm_before).await?;
    let after = balances(&renter, network).await?;
    let audit = console.stage("every verdict repeated from the two chains", audit_provider(&renter, provider)).await?;
    let bridge = read_bridge(&renter, network).await?;
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        is_completed: completed.state == RentalState::Completed,
        escrowed_wei: completed.escrowed_wei,
        paid_wei: completed.paid_wei,
        refunded_wei: completed.refunded_wei,
        fees_wei: completed.fees_wei,
        challenges_due: completed.challenges_due,
        challenges_passed: completed.challenges_passed,
        rental: completed,
        output_matches: picture == program::expected(),
        output_file: output.display().to_string(),
        runtime,
        shell_output,
        isolation: format!("{:?}", result.isolation).to_lowercase(),
        relay_latency_s: bridge.relay_latency_s(network.nodes_up_at),
        checkpoint_signers: bridge.checkpoint_signers,
        message_ids: bridge.messages.iter().map(|message| message.message_id).collect(),
        messages: bridge.messages,
        reputation_ppm_before,
        reputation_ppm_after,
        audit,
        balances: merge(before, after),
        stages: console.stages(),
        steps: read_ledger(&network.chains, &network.book, &network.accounts.labels()).await?,
        wall_s: console.elapsed().as_secs_f64(),
    })
}

/// It knows nobody: the chain tells it where a King is.
async fn renter_node(network: &DevNetwork) -> Result<RenterNode, DevnetError> {
    let config = NodeConfig::load(&network.write_config("renter", &[])?, &[]).map_err(ClientError::from)?;
    let identity = load_or_create_identity(&config.data_dir.join("node.key"))
        .map_err(|error| DevnetError::Setup { what: "renter's identity".into(), reason: error.to_string() })?;
    Ok(RenterNode::start(&config, *identity).await?)
}

async fn rent_gpu(launcher: &Launcher<'_>, offer: u64) -> Result<RentalView, DevnetError> {
    let quote = rent::quote(launcher.clients, offer, RENTAL_SECONDS).await?;
    let (rental, _) = rent::rent(launcher.clients, &quote, launcher.sessions).await?;
    let rental = rent::rental(launcher.clients, rental).await?;
    Ok(launcher.launch(&rental, LaunchSpec::default(), &|_| ()).await?)
}

async fn use_gpu(network: &DevNetwork, launcher: &Launcher<'_>, rental: &RentalView) -> Result<KernelResult, DevnetError> {
    let key = launcher.sessions.open(rental).map_err(DevnetError::from)?;
    let mut session = launcher.node.open(launcher.clients, rental, &key).await?;
    let input = network.folder.join("renter/view.bin");
    std::fs::write(&input, program::input()).map_err(|error| DevnetError::file(&input, &error))?;
    let bytes = std::fs::read(&input).map_err(|error| DevnetError::file(&input, &error))?;
    Ok(session.run_kernel(program::job(bytes)).await?)
}

/// A command in the renter's container, as a renter runs it: `gpumkt run RENTAL -- COMMAND`, which starts stock OpenSSH.
async fn use_shell(network: &DevNetwork, rental: u64) -> Result<String, DevnetError> {
    let config = network.write_config("renter", &network.bootstrap())?;
    let mut command = tokio::process::Command::new(network::this_program()?);
    command.args(["run", &rental.to_string(), "--config"]).arg(config);
    command.args(["--", "sh", "-c", "hostname && test -w ~ && exit 7"]).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let failed = |reason: String| DevnetError::Setup { what: "ssh".into(), reason };
    let ran = tokio::time::timeout(SHELL_WITHIN, command.output()).await;
    let ran =
        ran.map_err(|_| failed(format!("no answer within {} s", SHELL_WITHIN.as_secs())))?.map_err(|error| failed(error.to_string()))?;
    let printed = String::from_utf8_lossy(&ran.stdout).trim().to_string();
    if ran.status.code() != Some(7) || printed != format!("rental-{rental}") {
        let complaint = String::from_utf8_lossy(&ran.stderr).trim().to_string();
        return Err(failed(format!("{} with output {printed:?}: {complaint}", ran.status)));
    }
    Ok(printed)
}

/// The provider is paid only once the chain knows that it let the renter in: a fair renter waits for that.
async fn end_after_opening(renter: &Clients, rental: u64) -> Result<(), DevnetError> {
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    let mut tick = tokio::time::interval(LOOK);
    while rent::rental(renter, rental).await?.opened_at == 0 {
        if tokio::time::Instant::now() > deadline {
            return Err(DevnetError::Wrong { reason: "the session was never recorded on chain".into() });
        }
        tick.tick().await;
    }
    rent::end(renter, rental).await?;
    Ok(())
}

async fn claim_all(network: &DevNetwork) -> Result<(), DevnetError> {
    for name in ["provider", "renter", "relay"] {
        let clients = network.clients(name).await?;
        let account = clients.signer.address();
        if rent::credit(&clients, account).await? > Amount::default() {
            rent::claim(&clients, account, Mode::Send).await?;
        }
    }
    Ok(())
}

async fn reputation(clients: &Clients, provider: Address) -> Result<u32, DevnetError> {
    let call = ReputationSystem::scorePpmCall { provider };
    Ok(clients.classic.call(clients.book.classic.reputation_system, call, BlockId::latest()).await?)
}

/// The closing challenge is settled for the device in a transaction of its own.
async fn wait_reputation(clients: &Clients, provider: Address, before: u32) -> Result<u32, DevnetError> {
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tick.tick().await;
        let now = reputation(clients, provider).await?;
        if now != before || tokio::time::Instant::now() > deadline {
            return Ok(now);
        }
    }
}

/// As anybody could: without a key, from what stands on the chains.
async fn audit_provider(clients: &Clients, provider: Address) -> Result<audit::Audit, DevnetError> {
    Ok(audit::audit(clients, provider, audit::Range { from: 0, to: u64::MAX }).await?)
}

type Balances = BTreeMap<String, (Address, Amount)>;

/// Everybody who may hold tokens, burned ones included, so that the sums must be equal before and after.
async fn balances(clients: &Clients, network: &DevNetwork) -> Result<Balances, DevnetError> {
    let eth = &network.book.ethereum;
    let mut accounts: Vec<(String, Address)> = network.accounts.labels().into_iter().map(|(address, name)| (name, address)).collect();
    accounts.extend([
        ("GPURental (escrow)".to_string(), eth.gpu_rental),
        ("StakingManager (stakes)".to_string(), eth.staking_manager),
        ("TokenDistributor (treasury)".to_string(), eth.token_distributor),
    ]);
    let mut found = BTreeMap::new();
    for (name, account) in accounts {
        let held = clients.ethereum.call(eth.gpu_token, GPUToken::balanceOfCall { account }, BlockId::latest()).await?;
        found.insert(name, (account, Amount(held)));
    }
    let supply = clients.ethereum.call(eth.gpu_token, GPUToken::totalSupplyCall {}, BlockId::latest()).await?;
    let minted = clients.ethereum.call(eth.gpu_token, GPUToken::totalMintedCall {}, BlockId::latest()).await?;
    found.insert("burned".into(), (Address::ZERO, Amount(minted - supply)));
    Ok(found)
}

fn merge(before: Balances, mut after: Balances) -> BTreeMap<String, Balance> {
    before
        .into_iter()
        .map(|(name, (account, before_wei))| {
            let after_wei = after.remove(&name).map_or(Amount::default(), |(_, amount)| amount);
            (name, Balance { account, before_wei, after_wei })
        })
        .collect()
}

/// How to go on with a network that keeps running.
fn announce(network: &DevNetwork) -> Result<(), DevnetError> {
    let program = network::this_program()?.display().to_string();
    let config = network.write_config("renter", &network.bootstrap())?;
    let config = config.display();
    println!("\nThe network is running; Ctrl-C stops it. Logs: {}", network.folder.join("logs").display());
    println!("  Ethereum {}   Ethereum Classic {}", network.chains.ethereum.url(), network.chains.classic.url());
    if let Some(api) = network.nodes.iter().find_map(|node| node.info.api) {
        println!("  Web interface http://{api}/   API http://{api}/api/v1/openapi.json");
    }
    println!("Try, in another terminal:");
    println!("  {program} market --config {config}");
    println!("  {program} rent 1 --duration 10m --config {config}");
    println!("  {program} rentals --config {config}");
    for node in &network.nodes {
        println!("  {:<9} http://{}/metrics", node.name, node.info.http);
    }
    Ok(())
}
