//! Hands what the network brings to the service that answers for it.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    checkpoints::{Admission, CheckpointBook},
    committee::Committee,
    prover::Prover,
    records::Records,
};
use crate::{
    net::{BUSY_CODE, NetEvent, NetEvents, NetHandle, PeerId, Responder, UNANSWERED_CODE, Verdict},
    task::{Fault, Service, Shutdown},
    types::{
        Coded,
        wire::{GossipMessage, Request, Response},
    },
};

/// Requests answered at once. Most wait for a device or a Queen's check, so more cost memory, not time.
const MAX_REQUESTS: usize = 128;

/// Who answers what on this node; what is `None` is refused.
#[derive(Clone, Default)]
pub struct Handlers {
    pub checkpoints: Option<CheckpointBook>,
    pub committee: Option<Arc<Committee>>,
    pub prover: Option<Arc<Prover>>,
}

pub struct Router {
    pub net: NetHandle,
    pub events: NetEvents,
    pub records: Records,
    pub handlers: Handlers,
}

impl Router {
    async fn gossip(&self, source: PeerId, message: GossipMessage) -> Verdict {
        let verdict = self.records.judge(source, &message).await;
        match (verdict, message, &self.handlers.checkpoints) {
            (Verdict::Accept, GossipMessage::Checkpoint(signed), Some(book)) => match book.add(&signed) {
                Admission::New | Admission::Known => Verdict::Accept,
                Admission::Invalid => Verdict::Reject,
            },
            (verdict, _, _) => verdict,
        }
    }
}

async fn answer(handlers: Handlers, records: Records, request: Request) -> Response {
    let nobody = || Response::refused(UNANSWERED_CODE, "this node does not answer that");
    match (request, &handlers) {
        (Request::Ping, _) => Response::Pong,
        (Request::Record { account }, _) => records.answer(account),
        (Request::Checkpoints { origin_chain_id, from_count, limit }, Handlers { checkpoints: Some(book), .. }) => {
            Response::Checkpoints(book.since(origin_chain_id, from_count, limit as usize))
        }
        (Request::Receipt { device_id, block_hash, root, .. }, Handlers { committee: Some(committee), .. }) => {
            committee.answer_receipt(block_hash, device_id, root).await
        }
        (Request::Start { challenge_block, block_hash, device_id, .. }, Handlers { prover: Some(prover), .. }) => {
            prover.answer_start(challenge_block, block_hash, device_id).await.unwrap_or_else(|error| Response::refused(error.code(), error))
        }
        (Request::Openings { challenge_block, device_id, sample_seed, samples }, Handlers { prover: Some(prover), .. }) => prover
            .answer_openings(challenge_block, device_id, sample_seed, samples)
            .await
            .unwrap_or_else(|error| Response::refused(error.code(), error)),
        _ => nobody(),
    }
}

async fn respond(responder: Responder, handlers: Handlers, records: Records, request: Request) {
    let label = request.label();
    let response = answer(handlers, records, request).await;
    if let Err(error) = responder.send(response).await {
        tracing::debug!(label, %error, "the answer was not sent");
    }
}

#[async_trait::async_trait]
impl Service for Router {
    fn name(&self) -> &'static str {
        "router"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let free = Arc::new(Semaphore::new(MAX_REQUESTS));
        let mut answers = JoinSet::new();
        while let Some(Some(event)) = shutdown.or_stop(self.events.next()).await {
            while answers.try_join_next().is_some() {}
            match event {
                NetEvent::Gossip { source, message, ticket, .. } => {
                    let verdict = self.gossip(source, message).await;
                    if self.net.decide(ticket, verdict).await.is_err() {
                        return Ok(());
                    }
                }
                NetEvent::Request { request, responder, .. } => match Arc::clone(&free).try_acquire_owned() {
                    Ok(permit) => {
                        let (handlers, records) = (self.handlers.clone(), self.records.clone());
                        answers.spawn(async move {
                            respond(responder, handlers, records, request).await;
                            drop(permit);
                        });
                    }
                    Err(_) => {
                        let busy = Response::refused(BUSY_CODE, "too many requests are being answered, ask again");
                        if responder.send(busy).await.is_err() {
                            return Ok(());
                        }
                    }
                },
                NetEvent::PeerConnected { peer } => self.records.peer_connected(peer),
                NetEvent::PeerDisconnected { .. } => {}
            }
        }
        Ok(())
    }
}
