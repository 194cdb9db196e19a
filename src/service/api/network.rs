//! How the network is: heads, Kings, Queens, bridge, solvency.

use serde_json::{Value, json};

use super::{
    Snapshot, bridge,
    json::{hex, hex_or_null, int, int_or_null, positive},
    params::Params,
};
use crate::{
    service::{indexer::market::RentalState, unix_seconds},
    types::{
        ChainKind,
        api::{ApiError, ApiRequest},
    },
};

/// Blocks that the index may be behind the head that the node sees. Fewer would refuse answers at every new block.
const NEAR: u64 = 16;
/// Longest lists of Kings and Queens.
const KINGS: usize = 256;
const QUEENS: usize = 1_024;

/// Both chains were read up to about the heads that this node sees.
pub fn is_caught_up(view: &Snapshot) -> bool {
    ChainKind::BOTH.iter().all(|kind| {
        let seen = view.live.heads[*kind as usize];
        let indexed = view.chain(*kind).head.number;
        seen != 0 && indexed != 0 && indexed.saturating_add(NEAR) >= seen
    })
}

pub fn network(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    Params::new(request, &[])?;
    let chains = ChainKind::BOTH.map(|kind| chain(view, kind));
    let kings = ChainKind::BOTH.into_iter().filter_map(|kind| {
        let set = view.chain(kind).bridge.kings.as_ref()?;
        let members = set.members.iter().take(KINGS).map(|(address, weight)| json!({ "address": hex(address), "weight": int(weight) }));
        let told =
            json!({ "set_epoch": int(set.set_epoch), "expires_at": positive(set.expires_at), "members": members.collect::<Vec<_>>() });
        Some(json!({ "chain": kind.name(), "set": told }))
    });
    let queens =
        view.etc.work.queens.as_ref().map(
            |(epoch, operators)| json!({ "epoch": int(epoch), "operators": operators.iter().take(QUEENS).map(hex).collect::<Vec<_>>() }),
        );
    let solvency = view.live.solvency.iter().map(|position| {
        json!({
            "contract": position.contract,
            "address": hex(position.address),
            "held_wei": int(position.held),
            "owed_wei": int(position.owed),
            "is_solvent": position.held >= position.owed,
            "block": int(position.block),
        })
    });
    Ok(json!({
        "is_caught_up": is_caught_up(view),
        "chains": chains,
        "kings": kings.collect::<Vec<_>>(),
        "queens": queens,
        "bridge": ChainKind::BOTH.map(|kind| direction(view, kind)),
        "solvency": solvency.collect::<Vec<_>>(),
        "totals": totals(view),
    }))
}

fn chain(view: &Snapshot, kind: ChainKind) -> Value {
    let chain = view.chain(kind);
    let silent_for = unix_seconds().saturating_sub(chain.head.timestamp);
    json!({
        "chain": kind.name(),
        "chain_id": int(view.book().chain_id(kind)),
        "head": int(chain.head.number),
        "head_timestamp": int(chain.head.timestamp),
        "head_hash": hex_or_null((!chain.head.hash.is_zero()).then_some(chain.head.hash)),
        "is_silent": silent_for > view.api.told.silent_chain_seconds,
        "generation": int(chain.generation),
    })
}

fn direction(view: &Snapshot, origin: ChainKind) -> Value {
    let told = bridge::direction(view, origin);
    let (here, there) = (&view.chain(origin).bridge, &view.chain(origin.other()).bridge);
    let oldest = here.sent.iter().find(|sent| !there.arrived.contains_key(&sent.index));
    let latencies = bridge::latencies(view, origin);
    let is_paused = there.paused_until > view.chain(origin.other()).head.timestamp;
    json!({
        "origin": origin.name(),
        "dispatched": int(told.dispatched),
        "final": int(told.is_final),
        "signed": int(told.signed),
        "delivered": int(told.delivered),
        "in_flight": int(told.dispatched.saturating_sub(told.delivered)),
        "oldest_undelivered_at": int_or_null(oldest.map(|sent| sent.timestamp)),
        "median_latency_seconds": int_or_null(bridge::median(&latencies)),
        "worst_latency_seconds": int_or_null(latencies.last()),
        "paused_until": int_or_null(is_paused.then_some(there.paused_until)),
    })
}

fn totals(view: &Snapshot) -> Value {
    let (market, stakes) = (&view.eth.market, &view.eth.stakes);
    json!({
        "providers": int(stakes.stakers.values().filter(|staker| staker.role == 1).count()),
        "devices": int(stakes.devices.values().filter(|device| device.removed_at.is_none()).count()),
        "offers": int(market.offers.len()),
        "offers_available": int(market.offers.values().filter(|offer| super::offers::is_available(view, offer)).count()),
        "rentals": int(market.rentals.len()),
        "rentals_active": int(market.rentals.values().filter(|rental| rental.state == RentalState::Active).count()),
        "challenges": int(view.etc.work.challenges.len()),
        "proposals": int(view.eth.votes.proposals.len()),
    })
}
