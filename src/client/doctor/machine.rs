//! Data folder, database, ports.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
};

use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};

use super::{Finding, Subject};
#[cfg(feature = "node")]
use crate::store::{Store, StoreError};
use crate::{
    client::network,
    config::NodeConfig,
    net::{NetConfig, check_listen, parse_addresses},
};

/// Free space below which a database may fill the disk within days.
const LOW_GIB: u64 = 2;

pub(super) async fn look(config: &NodeConfig, subject: Subject, findings: &mut Vec<Finding>) {
    findings.push(disk(config, subject));
    if subject.is_node() {
        #[cfg(feature = "node")]
        findings.push(database(&config.data_dir.join("db")));
        findings.push(ports(config).await);
    }
}

fn disk(config: &NodeConfig, subject: Subject) -> Finding {
    // The folder itself is made at the first start.
    let existing: PathBuf = config.data_dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).into();
    let unusable = |error: nix::Error| {
        let next = "create the folder, correct its owner, or choose another data_dir";
        Finding::fail("disk", format!("{} cannot be written: {error}", existing.display()), next)
    };
    if !existing.is_dir() {
        return unusable(nix::Error::ENOTDIR);
    }
    if let Err(error) = access(&existing, AccessFlags::W_OK) {
        return unusable(error);
    }
    let stat = match statvfs(&existing) {
        Ok(stat) => stat,
        Err(error) => return unusable(error),
    };
    let free_gib = (stat.blocks_available() as u64).saturating_mul(stat.fragment_size() as u64) >> 30;
    let found = format!("{free_gib} GiB free below {}", existing.display());
    let renters_gib = if subject == Subject::Provider { config.provider.containers.disk_gib } else { 0 };
    if free_gib < renters_gib {
        let next = "free some, or lower provider.containers.disk_gib";
        return Finding::fail("disk", format!("{found}, one renter may fill {renters_gib} GiB"), next);
    }
    if free_gib < LOW_GIB {
        return Finding::warn("disk", found, "free some: a full disk stops the node");
    }
    Finding::ok("disk", found)
}

#[cfg(feature = "node")]
fn database(path: &Path) -> Finding {
    if !path.exists() {
        return Finding::ok("database", "none yet; the first start makes it");
    }
    match Store::format_of(path) {
        Ok(format) => Finding::ok("database", format!("format {format}, opens")),
        Err(error @ (StoreError::Open { .. } | StoreError::Format { .. })) => Finding::error("database", &error),
        Err(error) => Finding::error("database", &error).only_warn(),
    }
}

/// Free, or held by the very node.
async fn ports(config: &NodeConfig) -> Finding {
    let health = network::health_address(config);
    if let Ok(view) = network::of_node(health).await {
        let own = std::fs::read_to_string(config.data_dir.join("node.json")).is_ok_and(|told| told.contains(&view.peer_id));
        if own {
            return Finding::ok("ports", format!("the node runs, as peer {}", view.peer_id));
        }
        let next = "give each node of this machine ports of its own: network.listen and http.listen";
        return Finding::fail("ports", format!("{health} belongs to another node, peer {}", view.peer_id), next);
    }
    let listen = match parse_addresses(&config.network.listen) {
        Ok(listen) => listen,
        Err(error) => return Finding::error("ports", &error),
    };
    if let Err(error) = check_listen(&NetConfig { listen, ..NetConfig::default() }) {
        return Finding::error("ports", &error);
    }
    if let Err(error) = TcpListener::bind(config.http.listen) {
        let next = format!("choose another http.listen, or stop the program that uses port {}", config.http.listen.port());
        return Finding::fail("ports", format!("{} cannot be used: {error}", config.http.listen), next);
    }
    Finding::ok("ports", format!("{} and health on {} are free", config.network.listen.join(", "), config.http.listen))
}
