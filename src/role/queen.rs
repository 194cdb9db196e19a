//! Queen: opens challenges, times providers, signs receipts, reports what providers leave lying.

use std::sync::Arc;

use super::{Node, error::boxed};
use crate::{
    config::NodeConfig,
    service::{
        audits::{AuditService, Auditor},
        challenges::Challenges,
        committee::{Committee, CommitteeService},
        reporter::{Reporter, Scope},
        router::Handlers,
    },
    types::{ChainKind, Coded, Role},
};

pub async fn run_queen(config: NodeConfig) -> Result<(), Box<dyn Coded>> {
    let mut node = Node::start(config, Role::Queen).await?;
    let contract = node.book.classic.work_verification;
    let challenges = Challenges::load(node.classic.clone(), node.classic_index.clone(), contract).await.map_err(boxed)?;
    let sender = node.add_sender(ChainKind::Classic, node.operator.clone());
    let committee = Arc::new(Committee {
        classic: node.classic_index.clone(),
        chain_id: node.classic.chain_id(),
        key: node.operator.clone(),
        store: node.store.clone(),
        peers: node.peers.clone(),
        sender: sender.clone(),
        metrics: node.metrics.clone(),
        challenges: challenges.clone(),
        signed: Default::default(),
    });
    let auditor = Arc::new(Auditor {
        classic: node.classic_index.clone(),
        chain_id: node.classic.chain_id(),
        key: node.operator.clone(),
        store: node.store.clone(),
        peers: node.peers.clone(),
        sender: sender.clone(),
        metrics: node.metrics.clone(),
        challenges: challenges.clone(),
    });
    node.supervisor.add(CommitteeService { committee: Arc::clone(&committee) });
    node.supervisor.add(AuditService { auditor: Arc::clone(&auditor) });
    node.supervisor.add(Reporter {
        chain: node.classic.clone(),
        classic: node.classic_index.clone(),
        contract,
        scope: Scope::Everyone { after_blocks: node.config.queen.report_after_blocks },
        refresh_seconds: node.freshness_seconds().await? / 2,
        challenges,
        sender,
        metrics: node.metrics.clone(),
        tried: Default::default(),
    });
    node.run(Handlers { committee: Some(committee), audits: Some(auditor), ..Handlers::default() }).await
}
