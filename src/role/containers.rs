//! What runs renters' containers on this machine, as the configuration chooses it.

use std::{path::Path, sync::Arc};

use super::{Node, error::boxed};
use crate::{
    config::{ContainerNetwork, ContainerRuntime, ContainerUsers, ContainersSection, NodeConfig},
    rules::tenancy::Policy,
    sandbox::{
        BubblewrapRuntime, ContainerLimits, DefaultImage, DeviceAccess, EngineOptions, EngineRuntime, ImagePolicy, NetworkPolicy, Runtime,
        UserNamespace, install_agent,
    },
    service::tenants::{Tenants, TenantsConfig},
    types::Coded,
};

/// Folder of the rentals below the data folder.
const RENTALS: &str = "rentals";

/// Finds the runtime and attaches to what still runs in it.
pub(super) async fn tenants(node: &Node) -> Result<Tenants, Box<dyn Coded>> {
    let section = &node.config.provider.containers;
    let rentals_dir = node.config.data_dir.join(RENTALS);
    let runtime = find_runtime(node.peers.net.local_peer_id().to_string(), section, &rentals_dir).await?;
    let config = TenantsConfig {
        images_dir: section.images_dir.clone(),
        agent_program: install_agent(&node.config.data_dir).map_err(boxed)?,
        limits: limits(section),
        network: network(section.network),
        devices: devices(section),
        policy: Policy {
            launch_wait_seconds: section.launch_wait_seconds,
            keep_files_seconds: section.keep_files_hours.saturating_mul(3_600),
            idle_warning_seconds: section.idle_warning_minutes.saturating_mul(60),
        },
        rentals_dir,
    };
    Tenants::load(node.store.clone(), runtime, config, node.metrics.clone(), node.alerts.clone()).await.map_err(boxed)
}

/// What would run containers here, in words.
pub(super) async fn probe(config: &NodeConfig) -> Result<String, Box<dyn Coded>> {
    let section = &config.provider.containers;
    let Some(runtime) = find_runtime("a dry run".into(), section, &config.data_dir.join(RENTALS)).await? else {
        return Ok("none: renters could run bare kernels only".into());
    };
    let facts = runtime.check().await.map_err(boxed)?;
    let unenforced =
        if facts.unenforced.is_empty() { "all limits hold".into() } else { format!("not enforced: {}", facts.unenforced.join("; ")) };
    Ok(format!("{}, network {:?}, {unenforced}", facts.name, section.network).to_lowercase())
}

/// `node` labels the containers of this node.
async fn find_runtime(node: String, section: &ContainersSection, rentals_dir: &Path) -> Result<Option<Arc<dyn Runtime>>, Box<dyn Coded>> {
    let engine = || EngineRuntime::new(engine_options(node.clone(), section));
    let bubblewrap = || BubblewrapRuntime::new(rentals_dir).map_err(boxed);
    match section.runtime {
        ContainerRuntime::None => Ok(None),
        ContainerRuntime::Engine => checked(Arc::new(engine())).await.map(Some),
        ContainerRuntime::Bubblewrap => checked(Arc::new(bubblewrap()?)).await.map(Some),
        ContainerRuntime::Auto => {
            let mut found: Option<Arc<dyn Runtime>> = None;
            let choices: [Arc<dyn Runtime>; 2] = [Arc::new(engine()), Arc::new(bubblewrap()?)];
            for choice in choices {
                match checked(choice).await {
                    Ok(runtime) => {
                        found = Some(runtime);
                        break;
                    }
                    Err(error) => tracing::info!(code = error.code(), %error, "not used for containers"),
                }
            }
            if found.is_none() {
                tracing::warn!("nothing runs containers here: renters can run bare kernels only");
            }
            Ok(found)
        }
    }
}

async fn checked(runtime: Arc<dyn Runtime>) -> Result<Arc<dyn Runtime>, Box<dyn Coded>> {
    let facts = runtime.check().await.map_err(boxed)?;
    tracing::info!(runtime = %facts.name, unenforced = ?facts.unenforced, egress = facts.has_egress, "runs renters' containers");
    Ok(runtime)
}

fn engine_options(node: String, section: &ContainersSection) -> EngineOptions {
    EngineOptions {
        socket: section.socket.clone(),
        default_image: section.default_image.as_ref().map(default_image),
        user_namespace: match section.user_namespace {
            ContainerUsers::Preferred => UserNamespace::Preferred,
            ContainerUsers::Required => UserNamespace::Required,
            ContainerUsers::Off => UserNamespace::Off,
        },
        image_policy: ImagePolicy { allowed: section.allowed_images.clone() },
        max_image_bytes: section.max_image_gib.saturating_mul(1 << 30),
        ..EngineOptions::new(node)
    }
}

/// What looks like a path is one; no reference starts with a slash or a dot.
fn default_image(name: &String) -> DefaultImage {
    if name.starts_with(['/', '.']) { DefaultImage::Archive(name.into()) } else { DefaultImage::Reference(name.clone()) }
}

fn limits(section: &ContainersSection) -> ContainerLimits {
    ContainerLimits {
        memory_bytes: section.memory_mib.saturating_mul(1 << 20),
        cpu_millis: section.cpu_millis,
        processes: section.processes,
        disk_bytes: section.disk_gib.saturating_mul(1 << 30),
        shm_bytes: section.shm_mib.saturating_mul(1 << 20),
    }
}

fn network(choice: ContainerNetwork) -> NetworkPolicy {
    match choice {
        ContainerNetwork::None => NetworkPolicy::None,
        ContainerNetwork::Egress => NetworkPolicy::Egress,
        ContainerNetwork::Open => NetworkPolicy::Open,
    }
}

fn devices(section: &ContainersSection) -> DeviceAccess {
    match (&section.cdi_device, section.device_nodes.is_empty()) {
        (Some(name), _) => DeviceAccess::Cdi { name: name.clone() },
        (None, false) => DeviceAccess::Nodes { paths: section.device_nodes.clone() },
        (None, true) => DeviceAccess::Cpu,
    }
}
