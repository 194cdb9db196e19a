//! What a provider's machine has to have, for a dry run, and what tells how it is.

use std::path::Path;

use alloy::primitives::Address;
use nix::sys::statvfs::statvfs;

use super::{
    Node,
    dry_run::Found,
    error::{RoleError, boxed},
    startup::net_config,
};
use crate::{
    config::NodeConfig,
    http::HttpServer,
    net::check_listen,
    sandbox::{Limits, Sandbox},
    service::{pulse::PulseService, worker::GpuWorker},
    telemetry::{Health, Metrics},
    types::Role,
};

pub(super) async fn device(config: &NodeConfig) -> Found {
    GpuWorker::check(config.provider.device).await.map_err(boxed)?;
    Ok(format!("number {} opens; `gpumkt bench --device {}` tells its classes", config.provider.device, config.provider.device))
}

/// Opens the device and has it compute what is known.
pub(super) async fn tested_device(config: &NodeConfig) -> Found {
    let device = config.provider.device;
    GpuWorker::start(device, Vec::new()).await.map_err(boxed)?;
    Ok(format!("number {device} passes its self-test"))
}

pub(super) async fn kernels(config: &NodeConfig) -> Found {
    let sandbox = Sandbox::of_this_program(config.provider.device, Limits::default()).map_err(boxed)?;
    Ok(format!("isolated by {:?}", sandbox.isolation().await.map_err(boxed)?).to_lowercase())
}

pub(super) fn disk(config: &NodeConfig) -> Found {
    // The folder itself is made at the first start.
    let existing = config.data_dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let unusable = |error: nix::Error| boxed(RoleError::DataDir { path: existing.into(), source: error.into() });
    nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK).map_err(unusable)?;
    let stat = statvfs(existing).map_err(unusable)?;
    let free_gib = (stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64) >> 30;
    let wanted_gib = config.provider.containers.disk_gib;
    if free_gib < wanted_gib {
        let full = std::io::Error::other(format!("{free_gib} GiB are free, one renter may fill {wanted_gib}"));
        return Err(boxed(RoleError::DataDir { path: existing.into(), source: full }));
    }
    Ok(format!("{free_gib} GiB free below {}, one renter may fill {wanted_gib}", existing.display()))
}

pub(super) async fn ports(config: &NodeConfig) -> Found {
    check_listen(&net_config(config, Role::Provider).map_err(boxed)?).map_err(boxed)?;
    HttpServer::bind(config.http.listen, Health::default(), Metrics::default()).await.map_err(boxed)?;
    Ok(format!("{} and health on {} are free", config.network.listen.join(", "), config.http.listen))
}

/// Tells Queens how the device is.
pub(super) fn pulse(node: &Node, worker: Address) -> PulseService {
    let (provider, peers) = (&node.config.provider, &node.peers);
    PulseService {
        net: peers.net.clone(),
        classic: node.classic_index.clone(),
        account: node.account,
        worker,
        device: provider.device,
        cdi_device: provider.containers.cdi_device.clone(),
        device_nodes: provider.containers.device_nodes.clone(),
        metrics: node.metrics.clone(),
    }
}
