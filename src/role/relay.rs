//! Relay: carries messages both ways.

use super::Node;
use crate::{
    config::NodeConfig,
    service::{delivery::Deliverer, router::Handlers},
    types::{ChainKind, Coded, Role},
};

pub async fn run_relay(config: NodeConfig) -> Result<(), Box<dyn Coded>> {
    let mut node = Node::start(config, Role::None).await?;
    for origin in ChainKind::BOTH {
        let sender = node.add_sender(origin.other(), node.operator.clone());
        let deliverer = Deliverer {
            origin: node.chain(origin).1.clone(),
            destination: node.chain(origin.other()).1.clone(),
            book: node.book.clone(),
            policy: node.config.relay.deliver,
            checkpoints: node.checkpoints.clone(),
            peers: node.peers.clone(),
            sender,
            metrics: node.metrics.clone(),
            state: Default::default(),
        };
        node.supervisor.add(deliverer);
    }
    let handlers = Handlers { checkpoints: Some(node.checkpoints.clone()), ..Handlers::default() };
    node.run(handlers).await
}
