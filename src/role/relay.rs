//! Relay: carries messages both ways.

use super::{Node, error::boxed};
use crate::{
    chain::BlockId,
    config::NodeConfig,
    rules::batch::BatchPolicy,
    service::{council::carrier::Carrier, delivery::Deliverer, seating::Seating, sender::Sender},
    types::{ChainKind, Coded, Role, abi::GPURental},
};

/// Gas of a checkpoint with thirteen signatures and the transaction around it, and of a message with a large handler.
const BASE_GAS: u64 = 120_000;
const MESSAGE_GAS: u64 = 120_000;
/// Gwei of one coin, for prices of tokens.
const GWEI: u128 = 1_000_000_000;

pub async fn run_relay(config: NodeConfig) -> Result<(), Box<dyn Coded>> {
    let mut node = Node::start(config, Role::None).await?;
    let fee_wei = bridge_fee_wei(&node).await?;
    for origin in ChainKind::BOTH {
        let sender = node.add_sender(origin.other(), node.operator.clone());
        let carrier = carrier(&node, sender.clone());
        node.supervisor.add(carrier);
        if origin.other() == ChainKind::Ethereum {
            node.add_prosecutor(sender.clone());
            if node.config.relay.seat_queens {
                let (sender, classic) = (sender.clone(), node.classic.clone());
                node.supervisor.add(Seating { sender, classic, book: node.book.clone(), metrics: node.metrics.clone() });
            }
        }
        let relay = &node.config.relay;
        let (origin_chain, origin_index) = node.chain(origin);
        let deliverer = Deliverer {
            origin: origin_index.clone(),
            origin_chain: origin_chain.clone(),
            destination: node.chain(origin.other()).1.clone(),
            book: node.book.clone(),
            policy: relay.deliver,
            batches: BatchPolicy {
                max_messages: relay.max_batch,
                max_wait_seconds: relay.max_wait_seconds,
                base_gas: BASE_GAS,
                message_gas: MESSAGE_GAS,
            },
            max_in_flight: relay.max_in_flight,
            // Rentals settle on Ethereum: that is where a delivery earns.
            fee_wei: if origin == ChainKind::Classic { fee_wei } else { 0 },
            checkpoints: node.checkpoints.clone(),
            peers: node.peers.clone(),
            sender,
            store: node.store.clone(),
            data_dir: node.config.data_dir.clone(),
            alerts: node.alerts.clone(),
            metrics: node.metrics.clone(),
            state: Default::default(),
        };
        node.supervisor.add(deliverer);
    }
    let handlers = node.bridge_handlers();
    node.run(handlers).await
}

fn carrier(node: &Node, sender: Sender) -> Carrier {
    Carrier {
        ethereum_index: node.ethereum_index.clone(),
        index: node.chain(sender.chain().kind()).1.clone(),
        statements: node.statements.clone(),
        peers: node.peers.clone(),
        book: node.book.clone(),
        draws: node.config.relay.rotate_kings,
        metrics: node.metrics.clone(),
        state: Default::default(),
        sender,
    }
}

/// What the settlement of a rental credits to its deliverer, in wei of ETH at the configured price.
async fn bridge_fee_wei(node: &Node) -> Result<u128, Box<dyn Coded>> {
    let price_wei = u128::from(node.config.relay.token_price_gwei) * GWEI;
    if price_wei == 0 {
        return Ok(0);
    }
    let call = GPURental::parametersCall {};
    let fee = node.ethereum.call(node.book.ethereum.gpu_rental, call, BlockId::latest()).await.map_err(boxed)?.bridgeFee;
    Ok((fee / GWEI).saturating_mul(price_wei) / GWEI)
}
