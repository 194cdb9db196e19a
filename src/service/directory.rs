//! Where Kings say that they can be reached, on chain: what a node joins by whose configuration names nobody.

use alloy::primitives::U256;

use crate::{
    chain::{BlockId, Chain},
    config::NodeConfig,
    net::{Multiaddr, NetError, announced_addresses, parse_addresses},
    types::{AddressBook, abi::NodeDirectory},
};

/// As many as the largest King set has members.
const MAX_KINGS: u64 = 21;
/// Of each King: one address per transport.
const MAX_EACH: usize = 2;

/// The addresses that the configuration names; where it names none, those that Kings have announced. A chain that does not answer is no
/// reason not to start: others call this node, or it is started again.
pub async fn join_by(config: &NodeConfig, ethereum: &Chain, book: &AddressBook) -> Result<Vec<Multiaddr>, NetError> {
    let named = parse_addresses(&config.network.bootstrap)?;
    if !named.is_empty() {
        return Ok(named);
    }
    let call = NodeDirectory::kingsCall { limit: U256::from(MAX_KINGS) };
    match ethereum.call(book.ethereum.node_directory, call, BlockId::latest()).await {
        Ok(answer) => {
            let local = config.network.local;
            Ok(answer.places.iter().flat_map(|place| announced_addresses(place, local).take(MAX_EACH)).collect())
        }
        Err(error) => {
            tracing::warn!(%error, "network.bootstrap is empty, and the Kings' directory does not answer");
            Ok(Vec::new())
        }
    }
}
