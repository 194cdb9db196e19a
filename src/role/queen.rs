//! Queen: opens challenges, times providers, signs receipts, reports what providers leave lying.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Node, error::boxed};
use crate::{
    config::NodeConfig,
    service::{
        audits::{AuditService, Auditor},
        challenges::Challenges,
        committee::{Committee, CommitteeService},
        court::{CourtService, DoorTester, Side},
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
        cores: Semaphore::new(std::thread::available_parallelism().map_or(1, |cores| cores.get())),
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
    let court = node.court();
    let alerts = Side::Queen { alerts: node.alerts.clone() };
    node.supervisor.add(CourtService::new(court.clone(), node.ethereum_index.clone(), node.account, alerts, node.metrics.clone()));
    let pulses = Some(node.pulses.clone());
    let doors = DoorTester::new(court, node.account, node.operator.clone(), node.peers.clone(), node.metrics.clone());
    let handlers =
        Handlers { committee: Some(committee), audits: Some(auditor), doors: Some(Arc::new(doors)), pulses, ..Handlers::default() };
    node.run(handlers).await
}
