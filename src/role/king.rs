//! King: signs what both Outboxes hold, and watches that the money is there.

use std::collections::BTreeSet;

use super::{Node, RoleError, api::add_api, error::boxed};
use crate::{
    chain::{Chain, ChainError},
    config::NodeConfig,
    rules::finality::DepthPolicy,
    service::{
        council::Council,
        signer::{CheckpointSigner, Finality},
        solvency::SolvencyWatch,
    },
    types::{ChainKind, Coded, Role},
};

/// Wei of a gwei.
const GWEI: u128 = 1_000_000_000;

pub async fn run_king(config: NodeConfig) -> Result<(), Box<dyn Coded>> {
    check_endpoints(&config)?;
    let mut node = Node::start(config, Role::King).await?;
    for kind in ChainKind::BOTH {
        let signer = signer(&node, kind);
        node.supervisor.add(signer);
    }
    node.supervisor.add(SolvencyWatch {
        chain: node.ethereum.clone(),
        index: node.ethereum_index.clone(),
        book: node.book.clone(),
        alerts: node.alerts.clone(),
        metrics: node.metrics.clone(),
    });
    let council = council(&node);
    node.supervisor.add(council);
    // The only gas that a King spends: what it reports is rewarded.
    let sender = node.add_sender(ChainKind::Ethereum, node.operator.clone());
    node.add_prosecutor(sender);
    node.api_address = add_api(&mut node).await?;
    let handlers = node.bridge_handlers();
    node.run(handlers).await
}

fn council(node: &Node) -> Council {
    Council {
        ethereum: node.ethereum.clone(),
        classic: node.classic.clone(),
        ethereum_index: node.ethereum_index.clone(),
        classic_index: node.classic_index.clone(),
        book: node.book.clone(),
        statements: node.statements.clone(),
        finality: finality(node, ChainKind::Classic),
        key: node.operator.clone(),
        store: node.store.clone(),
        peers: node.peers.clone(),
        data_dir: node.config.data_dir.clone(),
        alerts: node.alerts.clone(),
        metrics: node.metrics.clone(),
        state: Default::default(),
    }
}

fn finality(node: &Node, kind: ChainKind) -> Finality {
    let king = &node.config.king;
    let stride = match kind {
        ChainKind::Ethereum => king.ethereum_stride,
        ChainKind::Classic => king.classic_stride,
    };
    let depth = DepthPolicy {
        min_depth: king.classic_min_depth,
        block_reward_wei: u128::from(king.classic_block_reward_gwei) * GWEI,
        token_price_wei: u128::from(king.token_price_gwei) * GWEI,
    };
    Finality { stride, depth }
}

fn signer(node: &Node, kind: ChainKind) -> CheckpointSigner {
    let (chain, index) = node.chain(kind);
    let (verifier, verifier_index) = node.chain(kind.other());
    CheckpointSigner {
        chain: chain.clone(),
        verifier: verifier.clone(),
        index: index.clone(),
        verifier_index: verifier_index.clone(),
        book: node.book.clone(),
        checkpoints: node.checkpoints.clone(),
        finality: finality(node, kind),
        key: node.operator.clone(),
        store: node.store.clone(),
        peers: node.peers.clone(),
        data_dir: node.config.data_dir.clone(),
        alerts: node.alerts.clone(),
        health: node.health.clone(),
        metrics: node.metrics.clone(),
        state: Default::default(),
    }
}

/// What a King signs is read from two endpoints that agree; with one, it would start and never sign. Two of one host are one operator's,
/// and agree on whatever it likes; only a devnet has nothing else.
fn check_endpoints(config: &NodeConfig) -> Result<(), Box<dyn Coded>> {
    for (chain, section) in [(ChainKind::Ethereum, &config.ethereum), (ChainKind::Classic, &config.classic)] {
        let configured = section.rpc.len();
        if configured < 2 && !config.king.single_endpoint {
            return Err(boxed(ChainError::TooFewEndpoints { chain, configured }));
        }
        let hosts: BTreeSet<String> = section.rpc.iter().filter_map(|url| Chain::host_of(url)).collect();
        if hosts.len() < configured && !config.network.local {
            return Err(boxed(RoleError::SharedHost { chain }));
        }
    }
    Ok(())
}
