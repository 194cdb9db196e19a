//! `gpumkt network`: who is there.

use std::net::SocketAddr;

use clap::Args;

use super::{
    args::NodeArgs,
    commands::{Outcome, load, reader},
    render::{output, printable, table, when},
};
use crate::{
    client::{
        ClientError,
        network::{self, DeviceView, NetworkView, PeerView, ShardView},
    },
    types::Role,
};

#[derive(Debug, Args)]
pub struct NetworkArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Ask the node with this health address; the one of the configuration where left out
    #[arg(long, value_name = "IP:PORT", conflicts_with = "visit")]
    pub http: Option<SocketAddr>,
    /// Ask no node of yours: join the network for a moment
    #[arg(long)]
    pub visit: bool,
}

pub async fn run(args: &NetworkArgs, json: bool) -> Outcome {
    let config = load(&args.node)?;
    let view = match (args.http, args.visit) {
        (Some(http), _) => network::of_node(http).await?,
        (None, true) => network::by_visit(&config, &reader(&config).await?).await?,
        (None, false) => match network::of_node(network::health_address(&config)).await {
            Ok(view) => view,
            // No node runs here: whoever rents has none.
            Err(ClientError::NodeAnswer { .. }) => network::by_visit(&config, &reader(&config).await?).await?,
            Err(error) => return Err(error.into()),
        },
    };
    output(json, &view, text);
    Ok(())
}

fn text(view: &NetworkView) -> String {
    let role = |role: Option<Role>| role.map_or("-".into(), |role| format!("{role:?}").to_lowercase());
    let mut lines = vec![format!("peer {} ({}, version {})", view.peer_id, role(view.role), printable(&view.version))];
    lines.extend(view.listen.iter().map(|address| format!("listens on {}", printable(address))));
    lines.extend(view.external.iter().map(|address| format!("reached at {}", printable(address))));
    lines.push(format!(
        "known nodes: {} Kings, {} Queens, {} providers; {} peers are connected",
        view.known_kings,
        view.known_queens,
        view.known_providers,
        view.peers.len()
    ));
    if !view.shards.is_empty() {
        let row = |shard: &ShardView| {
            let numbers = [shard.queens, shard.queens_seen, shard.providers, shard.devices];
            std::iter::once(shard.shard.to_string()).chain(numbers.iter().map(usize::to_string)).collect()
        };
        lines.push(String::new());
        lines.push(table(&["shard", "queens", "of them here", "providers", "devices"], view.shards.iter().map(row).collect()));
    }
    if !view.devices.is_empty() {
        let row = |device: &DeviceView| {
            let warm = device.temperature_celsius.map_or("-".into(), |celsius| format!("{celsius} °C"));
            vec![device.device.to_string(), format!("{} %", device.load_permille / 10), warm, when(device.at)]
        };
        lines.push(String::new());
        lines.push(table(&["device", "load", "temperature", "heard at"], view.devices.iter().map(row).collect()));
    }
    let mut peers: Vec<_> = view.peers.iter().collect();
    peers.sort_by(|a, b| (b.role, &a.peer_id).cmp(&(a.role, &b.peer_id)));
    let row = |peer: &&PeerView| {
        vec![
            role(peer.role),
            peer.account.map_or("-".into(), |account| account.to_string()),
            peer.round_trip_ms.map_or("-".into(), |time| format!("{time:.1} ms")),
            if peer.is_relayed { "relayed".into() } else { "direct".into() },
            peer.score.map_or("-".into(), |score| format!("{score:.1}")),
            peer.agent.as_deref().map_or("-".into(), printable),
            printable(&peer.peer_id),
        ]
    };
    lines.push(String::new());
    lines.push(table(&["role", "account", "round trip", "path", "score", "runs", "peer"], peers.iter().map(row).collect()));
    lines.join("\n")
}
