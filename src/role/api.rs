//! The public interface of a King: the market's index, what answers from it, and the server.

use std::{
    net::SocketAddr,
    sync::{Arc, RwLock},
};

use super::{Node, error::boxed};
use crate::{
    http::api::ApiServer,
    service::{
        api::{
            MarketApi, Told,
            live::{Live, LiveReader},
        },
        follower::Follower,
        indexer::{self, MarketIndex, MarketIndexer},
    },
    store::StoreError,
    types::{ChainKind, Coded},
};

/// Events between a follower and its index. Smaller stalls the follower at start, larger only costs memory.
const EVENTS: usize = 1_024;

/// Adds the interface's services, where the configuration names an address; returns the one that the system chose.
pub async fn add_api(node: &mut Node) -> Result<Option<SocketAddr>, Box<dyn Coded>> {
    let Some(address) = node.config.api.listen else { return Ok(None) };
    let index = MarketIndex::new(node.store.clone(), node.book.clone());
    let live: Arc<RwLock<Live>> = Arc::default();
    let king = &node.config.king;
    let told = Told {
        strides: [king.ethereum_stride, king.classic_stride],
        classic_min_depth: king.classic_min_depth,
        silent_chain_seconds: node.config.alerts.silent_chain_seconds,
    };
    let api = MarketApi::new(index.clone(), node.checkpoints.clone(), Arc::clone(&live), told);
    let server = ApiServer::bind(address, node.config.api.clone(), Arc::new(api), node.metrics.clone()).await.map_err(boxed)?;
    let bound = server.local_address();
    for kind in ChainKind::BOTH {
        follow(node, kind, &index).map_err(boxed)?;
    }
    let (ethereum, classic) = (node.ethereum.clone(), node.classic.clone());
    node.supervisor.add(LiveReader { ethereum, classic, index, live });
    node.supervisor.add(server);
    tracing::info!(address = %bound, "the public interface listens");
    Ok(Some(bound))
}

fn follow(node: &mut Node, kind: ChainKind, index: &MarketIndex) -> Result<(), StoreError> {
    let name = match kind {
        ChainKind::Ethereum => "market-ethereum",
        ChainKind::Classic => "market-classic",
    };
    let chain = node.chain(kind).0.clone();
    let addresses = indexer::addresses(&node.book, kind);
    let mut follower = Follower::new(chain, node.store.clone(), name, addresses, node.book.start_block(kind));
    let events = follower.subscribe(EVENTS);
    node.supervisor.add(MarketIndexer::new(kind, index.clone(), events)?);
    node.supervisor.add(follower);
    Ok(())
}
