//! Where Kings can be reached, by what they say on chain.

use super::{ClientError, Clients, Mode, Submitted};
use crate::{
    config::NodeConfig,
    keys::load_or_create_identity,
    net::{Multiaddr, NetError, parse_addresses, peer_id_of, with_peer},
    service::directory,
    types::abi::NodeDirectory,
};

/// What a command joins the network by.
pub async fn join_by(config: &NodeConfig) -> Result<Vec<Multiaddr>, ClientError> {
    if !config.network.bootstrap.is_empty() {
        return Ok(parse_addresses(&config.network.bootstrap)?);
    }
    let clients = Clients::reader(config).await?;
    Ok(directory::join_by(config, &clients.ethereum, &clients.book).await?)
}

/// Announces `addresses`, or where there are none those of `network.external`; the peer id of the node's data folder is added.
pub async fn announce(clients: &Clients, mode: Mode, config: &NodeConfig, addresses: &[String]) -> Result<Submitted, ClientError> {
    let chosen = parse_addresses(if addresses.is_empty() { &config.network.external } else { addresses })?;
    if chosen.is_empty() {
        let reason = "network.external is empty: name the addresses that others reach this King at".into();
        return Err(ClientError::Argument { argument: "ADDRESS".into(), reason });
    }
    let identity = load_or_create_identity(&config.data_dir.join("node.key"))?;
    let peer = peer_id_of(&identity)?;
    let texts = chosen.iter().map(|address| with_peer(address, peer).map(|full| full.to_string())).collect::<Result<Vec<_>, NetError>>()?;
    send(clients, mode, texts.join(" ")).await
}

/// Takes back what was announced.
pub async fn withdraw(clients: &Clients, mode: Mode) -> Result<Submitted, ClientError> {
    send(clients, mode, String::new()).await
}

async fn send(clients: &Clients, mode: Mode, place: String) -> Result<Submitted, ClientError> {
    clients.submit(mode, "announce where this King is", clients.book.ethereum.node_directory, NodeDirectory::announceCall { place }).await
}
