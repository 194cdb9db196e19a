//! King: signs what both Outboxes hold.

use super::Node;
use crate::{
    config::NodeConfig,
    service::{
        router::Handlers,
        signer::{CheckpointSigner, Finality},
    },
    types::{ChainKind, Coded, Role},
};

pub async fn run_king(config: NodeConfig) -> Result<(), Box<dyn Coded>> {
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
