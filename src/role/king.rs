//! King: signs what both Outboxes hold.

use super::{Node, error::boxed};
use crate::{
    chain::ChainError,
    config::NodeConfig,
    service::{
        router::Handlers,
        signer::{CheckpointSigner, Finality},
    },
    types::{ChainKind, Coded, Role},
};

pub async fn run_king(config: NodeConfig) -> Result<(), Box<dyn Coded>> {
    check_endpoints(&config)?;
    let mut node = Node::start(config, Role::King).await?;
    for kind in ChainKind::BOTH {
        let (chain, index) = node.chain(kind);
        let king = &node.config.king;
        let finality = match kind {
            ChainKind::Ethereum => Finality { stride: king.ethereum_stride, min_depth: 0 },
            ChainKind::Classic => Finality { stride: king.classic_stride, min_depth: king.classic_min_depth },
        };
        let signer = CheckpointSigner {
            chain: chain.clone(),
            index: index.clone(),
            book: node.book.clone(),
            checkpoints: node.checkpoints.clone(),
            finality,
            key: node.operator.clone(),
            store: node.store.clone(),
            net: node.peers.net.clone(),
            metrics: node.metrics.clone(),
        };
        node.supervisor.add(signer);
    }
    let handlers = Handlers { checkpoints: Some(node.checkpoints.clone()), ..Handlers::default() };
    node.run(handlers).await
}

/// What a King signs is read from two endpoints that agree; with one, it would start and never sign.
fn check_endpoints(config: &NodeConfig) -> Result<(), Box<dyn Coded>> {
    for (chain, section) in [(ChainKind::Ethereum, &config.ethereum), (ChainKind::Classic, &config.classic)] {
        let configured = section.rpc.len();
        if configured < 2 && !config.king.single_endpoint {
            return Err(boxed(ChainError::TooFewEndpoints { chain, configured }));
        }
    }
    Ok(())
}
