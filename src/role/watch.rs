//! The look at gas, stake and chains that every tier has.

use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{mpsc, watch};

use super::{Node, error::boxed};
use crate::{
    config::NodeConfig,
    http::{NetworkReport, Webhook},
    service::{
        census::Census,
        reload::ReloadService,
        watch::{WatchService, WatchedChain},
    },
    telemetry::{Alert, Metrics},
    types::{ChainKind, Coded, Role},
};

/// The look itself, and what changes its limits on SIGHUP.
pub(super) fn watch(node: &Node) -> Result<(WatchService, ReloadService), Box<dyn Coded>> {
    let (changed, config) = watch::channel(node.config.alerts.clone());
    let chains = ChainKind::BOTH.map(|kind| {
        let (chain, index) = node.chain(kind);
        let keys = node.watched.iter().filter(|(of, _)| *of == kind).map(|(_, key)| *key).collect();
        WatchedChain { chain: chain.clone(), index: index.clone(), keys }
    });
    let service = WatchService {
        chains: chains.into(),
        staking: node.book.ethereum.staking_manager,
        account: (node.role != Role::None).then_some(node.account),
        config,
        alerts: node.alerts.clone(),
        metrics: node.metrics.clone(),
        stake_wei: None,
        heads: Vec::new(),
    };
    Ok((service, ReloadService::new(node.config.clone(), changed).map_err(boxed)?))
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
