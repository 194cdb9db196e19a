//! Who can be reached from here, and whether others reach this machine.

use std::time::Duration;

use futures::future::join_all;

use super::{Finding, Subject};
use crate::{
    client::{
        directory,
        network::{self, Visit},
    },
    config::{NodeConfig, RelayUse},
    net::{Multiaddr, NetConfig, NetHandle, is_circuit, parse_addresses, peer_in},
};

/// Time others have to call back at the addresses that this machine may have.
const PROBED_WITHIN: Duration = Duration::from_secs(15);

pub(super) async fn look(config: &NodeConfig, subject: Subject, findings: &mut Vec<Finding>) {
    let addresses = match directory::join_by(config).await {
        Ok(addresses) => addresses,
        Err(error) => return findings.push(Finding::error("nodes to join by", &error)),
    };
    let running = if subject.is_node() { network::of_node(network::health_address(config)).await.ok() } else { None };
    if addresses.is_empty() {
        findings.push(alone(config, subject, running.as_ref().map_or(0, |view| view.peers.len())));
    }
    // A running node holds the ports; a node that does not run is stood in for, so that others can try to call it.
    let stands_in = subject.is_node() && running.is_none() && !config.network.local;
    let listen = if stands_in { parse_addresses(&config.network.listen).unwrap_or_default() } else { Vec::new() };
    let net_config = NetConfig { listen, bootstrap: addresses.clone(), local_network: config.network.local, ..NetConfig::default() };
    let visit = match Visit::start(net_config, rand::random()) {
        Ok(visit) => visit,
        Err(error) => return findings.push(Finding::error("network", &error)),
    };
    let joined = join(&visit.net, &addresses, findings).await;
    if let Some(view) = running {
        let is_direct = view.external.iter().filter_map(|text| text.parse::<Multiaddr>().ok()).any(|address| !is_circuit(&address));
        findings.push(reachability(config, subject, is_direct || config.network.local, "the node's peers"));
    } else if subject.is_node() && joined {
        let is_direct = config.network.local || !config.network.external.is_empty() || probed(&visit.net).await;
        findings.push(reachability(config, subject, is_direct, "the nodes to join by"));
    }
    visit.stop().await;
}

fn alone(config: &NodeConfig, subject: Subject, peers: usize) -> Finding {
    let check = "nodes to join by";
    if config.network.mdns {
        return Finding::ok(check, "none named; nodes of the local network are found");
    }
    if peers > 0 {
        return Finding::ok(check, format!("none named; {peers} peers are connected"));
    }
    let next = "name two or more nodes of different operators in network.bootstrap";
    let found = "network.bootstrap is empty, and no King has announced itself on chain: only nodes that call this one are met";
    if subject == Subject::Renter {
        Finding::fail(check, "network.bootstrap is empty, and no King has announced itself on chain: no provider is found", next)
    } else {
        Finding::warn(check, found, next)
    }
}

/// Calls each; whether one answered.
async fn join(net: &NetHandle, addresses: &[Multiaddr], findings: &mut Vec<Finding>) -> bool {
    let calls = addresses.iter().map(|address| async move {
        match peer_in(address) {
            Some(peer) => (address, Some(net.round_trip(peer, std::slice::from_ref(address)).await)),
            None => (address, None),
        }
    });
    let outcomes = join_all(calls).await;
    let reached = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Some(Ok(_)))).count();
    for (address, outcome) in outcomes {
        let check = "node to join by";
        findings.push(match outcome {
            Some(Ok(time)) => Finding::ok(check, format!("{address} answers in {:.1} ms", time.as_secs_f64() * 1_000.0)),
            Some(Err(error)) if reached > 0 => Finding::error(check, &error).only_warn(),
            Some(Err(error)) => Finding::error(check, &error),
            None => Finding::fail(check, format!("{address} does not end in /p2p/<peer id>"), "correct network.bootstrap"),
        });
    }
    reached > 0
}

/// Whether somebody reached this machine at one of its addresses.
async fn probed(net: &NetHandle) -> bool {
    let mut addresses = net.addresses();
    let direct = addresses.wait_for(|addresses| addresses.is_direct());
    matches!(tokio::time::timeout(PROBED_WITHIN, direct).await, Ok(Ok(_)))
}

fn reachability(config: &NodeConfig, subject: Subject, is_direct: bool, by: &str) -> Finding {
    let check = "reachable from outside";
    if config.network.local {
        return Finding::ok(check, "not asked: all nodes share one private network");
    }
    if is_direct {
        return Finding::ok(check, format!("{by} reach this machine"));
    }
    let ports = "let the ports of network.listen through the firewall and the router, or name the public address in network.external";
    match subject {
        Subject::Queen => Finding::fail(check, format!("{by} did not reach this machine; providers must"), ports),
        Subject::Provider if config.network.relay != RelayUse::Never => {
            let found = format!("{by} did not reach this machine: renters come through Queens, with more delay");
            Finding::warn(check, found, ports)
        }
        Subject::Provider => Finding::fail(check, format!("{by} did not reach this machine, and network.relay is never"), ports),
        _ => Finding::warn(check, format!("{by} did not reach this machine"), ports),
    }
}
