//! Bridge messages and how far they are.

use serde_json::{Value, json};

use super::{
    Snapshot,
    json::{hex, int, int_or_null},
    params::{Params, down, number, up},
};
use crate::{
    service::indexer::bridge::Sent,
    types::{
        ChainKind,
        api::{ApiError, ApiRequest},
    },
};

/// Deliveries that a latency is told over.
const NEWEST: usize = 100;

/// Counts of one direction's messages that got as far as a stage.
#[derive(Debug, Clone, Copy)]
pub struct Direction {
    pub origin: ChainKind,
    pub dispatched: u32,
    pub is_final: u32,
    pub signed: u32,
    pub delivered: u32,
}

pub fn direction(view: &Snapshot, origin: ChainKind) -> Direction {
    let (here, there) = (view.chain(origin), view.chain(origin.other()));
    let depth_reached = match origin {
        ChainKind::Ethereum => view.live.finalized,
        ChainKind::Classic => here.head.number.saturating_sub(view.api.told.classic_min_depth),
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let dispatched = count(here.bridge.sent.len());
    let accepted = there.bridge.newest_accepted();
    let quorum = view.api.checkpoints.best(view.book().chain_id(origin), accepted).map_or(0, |(checkpoint, _)| checkpoint.count);
    let signed = accepted.max(quorum).min(dispatched);
    // Kings sign nothing that is not final; this node may see that later than they.
    let is_final = count(here.bridge.sent.partition_point(|sent| sent.position.0 <= depth_reached)).max(signed);
    Direction { origin, dispatched, is_final, signed, delivered: count(there.bridge.arrived.len()) }
}

impl Direction {
    fn stage(&self, view: &Snapshot, index: u32) -> &'static str {
        match index {
            _ if view.chain(self.origin.other()).bridge.arrived.contains_key(&index) => "delivered",
            _ if index < self.signed => "signed",
            _ if index < self.is_final => "final",
            _ => "dispatched",
        }
    }
}

/// Seconds from dispatch to delivery of the newest deliveries, ascending.
pub fn latencies(view: &Snapshot, origin: ChainKind) -> Vec<u64> {
    let (here, there) = (view.chain(origin), view.chain(origin.other()));
    let newest = there.bridge.arrived.iter().rev().take(NEWEST);
    let mut all: Vec<u64> = newest
        .filter_map(|(index, arrived)| Some(arrived.timestamp.saturating_sub(here.bridge.sent.get(*index as usize)?.timestamp)))
        .collect();
    all.sort_unstable();
    all
}

pub fn median(sorted: &[u64]) -> Option<u64> {
    sorted.get(sorted.len() / 2).copied()
}

pub fn route(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    match rest {
        [] => list(view, request),
        [origin, index] => {
            Params::new(request, &[])?;
            let origin = ChainKind::BOTH.into_iter().find(|kind| kind.name() == *origin);
            let origin = origin.ok_or_else(|| ApiError::parameter("origin", "it is ethereum or classic"))?;
            let index = number("index", index)?;
            let found = usize::try_from(index).ok().and_then(|index| view.chain(origin).bridge.sent.get(index));
            let found = found.ok_or_else(|| ApiError::not_found(format!("message {index} of {origin}")))?;
            Ok(message(view, &direction(view, origin), found))
        }
        _ => Err(ApiError::NoPath),
    }
}

fn list(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    let (params, page) = Params::paged(request, &["origin", "stage", "in_flight"])?;
    let origin = params.choice("origin", &["ethereum", "classic"])?;
    let stage = params.choice("stage", &["dispatched", "final", "signed", "delivered"])?;
    let in_flight = params.flag("in_flight")?;
    let directions = ChainKind::BOTH.map(|kind| direction(view, kind));
    let of = |direction: Direction| view.chain(direction.origin).bridge.sent.iter().map(move |sent| (direction, sent));
    let chosen = directions.into_iter().filter(|direction| origin.is_none_or(|origin| origin == direction.origin.name()));
    let wanted = chosen.flat_map(of).filter(|(direction, sent)| {
        let at = direction.stage(view, sent.index);
        stage.is_none_or(|stage| stage == at) && in_flight.is_none_or(|wanted| wanted == (at != "delivered"))
    });
    let keyed = wanted.map(|(direction, sent)| {
        ([down(sent.timestamp), up(direction.origin as u64), down(sent.index.into())].concat(), (direction, sent))
    });
    page.list(keyed, |(direction, sent)| Ok(message(view, &direction, sent)))
}

/// Oldest first.
pub fn of_rental(view: &Snapshot, request: &ApiRequest, rental: u64) -> Result<Value, ApiError> {
    let (_, page) = Params::paged(request, &[])?;
    let directions = ChainKind::BOTH.map(|kind| direction(view, kind));
    let of = |direction: Direction| view.chain(direction.origin).bridge.sent.iter().map(move |sent| (direction, sent));
    let wanted = directions.into_iter().flat_map(of).filter(|(_, sent)| sent.rental == Some(rental));
    let keyed = wanted
        .map(|(direction, sent)| ([up(sent.timestamp), up(direction.origin as u64), up(sent.index.into())].concat(), (direction, sent)));
    page.list(keyed, |(direction, sent)| Ok(message(view, &direction, sent)))
}

fn message(view: &Snapshot, direction: &Direction, sent: &Sent) -> Value {
    let there = &view.chain(direction.origin.other()).bridge;
    let arrived = there.arrived.get(&sent.index);
    json!({
        "origin": direction.origin.name(),
        "index": int(sent.index),
        "id": hex(sent.id),
        "sender": hex(sent.sender),
        "recipient": hex(sent.recipient),
        "kind": sent.kind,
        "stage": direction.stage(view, sent.index),
        "rental": int_or_null(sent.rental),
        "device": int_or_null(sent.device),
        "dispatched_at": int(sent.timestamp),
        "dispatched_block": int(sent.position.0),
        "dispatched_transaction": hex(sent.transaction),
        "failed": there.failed.contains_key(&sent.index),
        "delivered_at": int_or_null(arrived.map(|arrived| arrived.timestamp)),
        "delivered_block": int_or_null(arrived.map(|arrived| arrived.block)),
        "delivered_transaction": super::json::hex_or_null(arrived.map(|arrived| arrived.transaction)),
        "latency_seconds": int_or_null(arrived.map(|arrived| arrived.timestamp.saturating_sub(sent.timestamp))),
    })
}
