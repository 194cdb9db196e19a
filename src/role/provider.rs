//! Provider: proves a GPU and hosts renters' work on it.

use std::sync::Arc;

use alloy::{primitives::U256, signers::local::PrivateKeySigner};

use super::{Node, containers, error::boxed, machine};
use crate::{
    chain::ChainError,
    config::NodeConfig,
    keys::{open_keystore, read_password},
    sandbox::{Limits, Sandbox, SshServer},
    service::{
        challenges::Challenges,
        court::{CourtService, Side},
        fund::FundService,
        hosting::{Host, HostingService, PublicPorts},
        prover::{Prover, ProverParts, ProverService},
        reach::ReachService,
        reporter::{Reporter, Scope},
        router::Handlers,
        sender::Sender,
        session::{SESSION_PROTOCOL, SHELL_PROTOCOL},
        stake::registered_classes,
        tenants::{DiskService, Tenants},
        worker::GpuWorker,
    },
    types::{
        ChainKind, Coded, Role,
        work::{Mode, Profile},
    },
};

pub async fn run_provider(config: NodeConfig) -> Result<(), Box<dyn Coded>> {
    let device = config.provider.device;
    GpuWorker::check(device).await.map_err(boxed)?;
    let worker = worker_key(&config)?;
    let mut node = Node::start(config, Role::Provider).await?;
    let contract = node.book.classic.work_verification;
    let challenges = Challenges::load(node.classic.clone(), node.classic_index.clone(), contract).await.map_err(boxed)?;
    let gpu = GpuWorker::start(device, warm_up_profiles(&node, &challenges).await.map_err(boxed)?).await.map_err(boxed)?;
    let worker = worker.unwrap_or_else(|| node.operator.clone());
    let on_classic = node.add_sender(ChainKind::Classic, worker.clone());
    let on_ethereum = node.add_sender(ChainKind::Ethereum, node.operator.clone());
    let pulse = machine::pulse(&node, worker.address());
    node.supervisor.add(pulse);
    let side = Side::Provider { peers: Box::new(node.peers.clone()), sender: on_ethereum.clone() };
    node.supervisor.add(CourtService::new(node.court(), node.ethereum_index.clone(), node.account, side, node.metrics.clone()));
    let tenants = containers::tenants(&node).await?;
    let prover = Prover::new(ProverParts {
        chain: node.classic.clone(),
        classic: node.classic_index.clone(),
        ethereum: node.ethereum_index.clone(),
        account: node.account,
        worker_key: worker.address(),
        gpu,
        peers: node.peers.clone(),
        sender: on_classic.clone(),
        metrics: node.metrics.clone(),
        alerts: node.alerts.clone(),
        tenants: tenants.clone(),
        challenges: challenges.clone(),
    });
    node.supervisor.add(ProverService { prover: Arc::clone(&prover) });
    let peers = &node.peers;
    let reach = ReachService::new(peers.net.clone(), peers.records.clone(), node.config.network.relay, node.metrics.clone());
    node.supervisor.add(reach);
    node.supervisor.add(Reporter {
        chain: node.classic.clone(),
        classic: node.classic_index.clone(),
        contract,
        scope: Scope::Provider(node.account),
        refresh_seconds: node.freshness_seconds().await? / 2,
        challenges,
        sender: on_classic.clone(),
        metrics: node.metrics.clone(),
        tried: Default::default(),
    });
    if node.config.provider.gas_fund_wei != 0 {
        node.supervisor.add(FundService {
            chain: node.classic.clone(),
            classic: node.classic_index.clone(),
            contract,
            account: node.account,
            target_wei: U256::from(node.config.provider.gas_fund_wei),
            sender: on_classic,
            metrics: node.metrics.clone(),
        });
    }
    add_hosting(&mut node, tenants, on_ethereum).await?;
    node.run(Handlers { prover: Some(prover), ..Handlers::default() }).await
}

/// Renters' containers, shells and bare kernels.
async fn add_hosting(node: &mut Node, tenants: Tenants, sender: Sender) -> Result<(), Box<dyn Coded>> {
    let provider = &node.config.provider;
    let limits = Limits { memory_bytes: provider.job_memory_mib << 20, wall_ms: provider.job_seconds * 1_000, ..Limits::default() };
    let sandbox = Sandbox::of_this_program(provider.device, limits).map_err(boxed)?;
    // Asked now, so that the first renter does not wait for the answer.
    let isolation = sandbox.isolation().await.map_err(boxed)?;
    tracing::info!(?isolation, "renters' kernels run isolated");
    let host = Arc::new(Host {
        ethereum: node.ethereum_index.clone(),
        chain_id: node.ethereum.chain_id(),
        contract: node.book.ethereum.gpu_rental,
        account: node.account,
        sender,
        sandbox,
        tenants: tenants.clone(),
        ssh: SshServer::load_or_create(&node.config.data_dir.join("ssh_host_ed25519_key")).map_err(boxed)?,
        scratch_dir: node.config.data_dir.join("jobs"),
        public: PublicPorts::new(&provider.containers),
        metrics: node.metrics.clone(),
        running: Default::default(),
        wake: Default::default(),
    });
    let control = node.peers.net.accept_streams(SESSION_PROTOCOL).await.map_err(boxed)?;
    let shells = node.peers.net.accept_streams(SHELL_PROTOCOL).await.map_err(boxed)?;
    node.supervisor.add(HostingService { host, control, shells });
    node.supervisor.add(DiskService { tenants });
    Ok(())
}

/// Key that commits and proves, where it is not the operator's.
pub(super) fn worker_key(config: &NodeConfig) -> Result<Option<PrivateKeySigner>, Box<dyn Coded>> {
    let Some(path) = &config.keys.worker else { return Ok(None) };
    let password = read_password(config.keys.password_file.as_deref(), path).map_err(boxed)?;
    open_keystore(path, &password).map(Some).map_err(boxed)
}

/// Profiles of the classes that the account has registered.
async fn warm_up_profiles(node: &Node, challenges: &Challenges) -> Result<Vec<Profile>, ChainError> {
    let mut profiles = Vec::new();
    for class_version in registered_classes(&node.ethereum, node.book.ethereum.staking_manager, node.account).await? {
        for mode in [Mode::Full, Mode::Light] {
            profiles.push(challenges.profile(class_version, mode).await?);
        }
    }
    Ok(profiles)
}
