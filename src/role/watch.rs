//! The look at gas, stake and chains that every tier has.

use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::mpsc;

use super::{Node, error::boxed};
use crate::{
    config::NodeConfig,
    http::{NetworkReport, Webhook},
    service::{
        census::Census,
        watch::{WatchService, WatchedChain},
    },
    telemetry::{Alert, Metrics},
    types::{ChainKind, Coded, Role},
};

pub(super) fn watch(node: &Node) -> WatchService {
    let chains = ChainKind::BOTH.map(|kind| {
        let (chain, index) = node.chain(kind);
        let low_gas_gwei = match kind {
            ChainKind::Ethereum => node.config.alerts.low_gas_ethereum_gwei,
            ChainKind::Classic => node.config.alerts.low_gas_classic_gwei,
        };
        let keys = node.watched.iter().filter(|(of, _)| *of == kind).map(|(_, key)| *key).collect();
        WatchedChain { chain: chain.clone(), index: index.clone(), keys, low_gas_gwei }
    });
    WatchService {
        chains: chains.into(),
        staking: node.book.ethereum.staking_manager,
        account: (node.role != Role::None).then_some(node.account),
        config: node.config.alerts.clone(),
        alerts: node.alerts.clone(),
        metrics: node.metrics.clone(),
        stake_wei: None,
    }
}

/// What `/network` answers.
pub(super) fn network_report(census: Census) -> NetworkReport {
    Arc::new(move || {
        let census = census.clone();
        async move { serde_json::to_value(census.view().await.ok()?).ok() }.boxed()
    })
}

/// Where alerts are sent, if anywhere.
pub(super) fn webhook(config: &NodeConfig, raised: mpsc::Receiver<Alert>, metrics: &Metrics) -> Result<Option<Webhook>, Box<dyn Coded>> {
    let url = config.alerts.webhook.as_ref();
    url.map(|url| Webhook::new(url, raised, metrics.clone())).transpose().map_err(boxed)
}
