//! Hands what the network brings to the service that answers for it.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    audits::Auditor,
    checkpoints::{Admission, CheckpointBook},
    committee::Committee,
    council::book::{Heard, StatementBook},
    court::DoorTester,
    prover::Prover,
    pulse::Pulses,
    records::Records,
};
use crate::{
    net::{BUSY_CODE, NetEvent, NetEvents, NetHandle, PeerId, Responder, UNANSWERED_CODE, ValidationTicket, Verdict},
    task::{Fault, Service, Shutdown},
    telemetry::{Alerts, Severity},
    types::{
        Coded,
        wire::{CheckpointSignature, GossipMessage, Request, Response},
    },
};

/// Requests answered at once. Most wait for a device or a Queen's check, so more cost memory, not time.
const MAX_REQUESTS: usize = 128;
/// Gossip messages judged at once.
const MAX_JUDGED: usize = 64;

/// Who answers what on this node; what is `None` is refused.
#[derive(Clone, Default)]
pub struct Handlers {
    pub checkpoints: Option<CheckpointBook>,
    pub statements: Option<StatementBook>,
    pub committee: Option<Arc<Committee>>,
    pub prover: Option<Arc<Prover>>,
    pub audits: Option<Arc<Auditor>>,
    pub doors: Option<Arc<DoorTester>>,
    pub pulses: Option<Pulses>,
}

pub struct Router {
    pub net: NetHandle,
    pub events: NetEvents,
    pub records: Records,
    pub handlers: Handlers,
    pub alerts: Alerts,
}

/// What judging a gossip message takes.
#[derive(Clone)]
struct Judge {
    net: NetHandle,
    records: Records,
    handlers: Handlers,
    alerts: Alerts,
}

/// A King that signed two checkpoints for one count: the alert holds both, as the proof of it needs them.
fn tell_contradiction(alerts: &Alerts, evidence: &[CheckpointSignature; 2]) {
    let [first, second] = evidence;
    let signer = first.signer;
    let message = format!(
        "King {signer} signed two checkpoints for {} messages of chain {} in set epoch {}: {first:?} and {second:?}",
        first.checkpoint.count, first.checkpoint.origin_chain_id, first.checkpoint.set_epoch
    );
    alerts.raise("king_contradiction", Severity::Critical, signer.to_string(), message);
}

/// Judging may read a stake from the chain, so it must not hold up the next event.
async fn judge(router: Judge, source: PeerId, message: GossipMessage, ticket: ValidationTicket) {
    let Judge { net, records, handlers, alerts } = router;
    let judged = match (records.judge(source, &message).await, &message, &handlers.pulses, records.account_of(source)) {
        (Verdict::Accept, GossipMessage::Heartbeat(heartbeat), Some(pulses), Some(account)) => pulses.take(account, heartbeat),
        (verdict, ..) => verdict,
    };
    let verdict = match (judged, message, &handlers) {
        (Verdict::Accept, GossipMessage::Statement(signed), Handlers { statements: Some(book), .. }) => match book.add(&signed) {
            Heard::New | Heard::Known => Verdict::Accept,
            Heard::Unknown => Verdict::Ignore,
            Heard::Invalid => Verdict::Reject,
        },
        (Verdict::Accept, GossipMessage::Checkpoint(signed), Handlers { checkpoints: Some(book), .. }) => match book.add(&signed) {
            Admission::New | Admission::Known => Verdict::Accept,
            Admission::Invalid => Verdict::Reject,
            Admission::Ignored => Verdict::Ignore,
            Admission::Contradiction(evidence) => {
                tell_contradiction(&alerts, &evidence);
                // Others must see it too: it is what the King is slashed for.
                Verdict::Accept
            }
        },
        (verdict, _, _) => verdict,
    };
    if let Err(error) = net.decide(ticket, verdict).await {
        tracing::debug!(%error, "the network stopped before a message was judged");
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
        (Request::Statements, Handlers { statements: Some(book), .. }) => Response::Statements(book.all()),
        (Request::Receipt { challenge_block, device_id, block_hash, root }, Handlers { committee: Some(committee), .. }) => {
            committee.answer_receipt(challenge_block, block_hash, device_id, root).await
        }
        (Request::Refusal { block_hash, device_id, root, .. }, Handlers { audits: Some(audits), .. }) => {
            audits.answer_refusal(block_hash, device_id, root)
        }
        (Request::Reachable { case_id, rental_id, time }, Handlers { doors: Some(doors), .. }) => {
            doors.answer(case_id, rental_id, time).await
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
        let judging = Arc::new(Semaphore::new(MAX_JUDGED));
        let mut answers = JoinSet::new();
        let judging_with =
            Judge { net: self.net.clone(), records: self.records.clone(), handlers: self.handlers.clone(), alerts: self.alerts.clone() };
        while let Some(Some(event)) = shutdown.or_stop(self.events.next()).await {
            while answers.try_join_next().is_some() {}
            match event {
                NetEvent::Gossip { source, message, ticket, .. } => match Arc::clone(&judging).try_acquire_owned() {
                    Ok(permit) => {
                        let judged = judge(judging_with.clone(), source, message, ticket);
                        answers.spawn(async move {
                            judged.await;
                            drop(permit);
                        });
                    }
                    // Gossip is speed only: what is dropped here is asked for later.
                    Err(_) => drop(self.net.decide(ticket, Verdict::Ignore).await),
                },
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
