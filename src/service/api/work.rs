//! Challenges, and what devices made of them.

use alloy::primitives::Address;
use serde_json::{Value, json};

use super::{
    Snapshot,
    json::{hex, hex_or_null, int, int_or_null, positive},
    params::{Params, down, number, up},
};
use crate::{
    service::indexer::{
        market::Rental,
        work::{Challenge, Met},
    },
    types::api::{ApiError, ApiRequest},
};

const VERDICTS: [&str; 8] = ["open", "committed", "proven", "voided", "passed", "missed", "unmeasured", "void"];

pub fn route(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    let [block, rest @ ..] = rest else {
        let (_, page) = Params::paged(request, &[])?;
        let all = view.etc.work.challenges.values().map(|challenge| (down(challenge.block), challenge));
        return page.list(all, |found| Ok(challenge(found)));
    };
    let found = view.etc.work.challenges.get(&number("block", block)?);
    let found = found.ok_or_else(|| ApiError::not_found(format!("challenge of block {block}")))?;
    match rest {
        [] => {
            Params::new(request, &[])?;
            Ok(challenge(found))
        }
        ["verdicts"] => {
            let (_, page) = Params::paged(request, &[])?;
            let devices = view.etc.work.met_by_block.get(&found.block).map(Vec::as_slice).unwrap_or_default();
            page.list(devices.iter().map(|device| (up(*device), *device)), |device| Ok(verdict(view, found, device, false)))
        }
        _ => Err(ApiError::NoPath),
    }
}

fn challenge(challenge: &Challenge) -> Value {
    let verdict = match challenge.verdict {
        1 => "valid",
        2 => "void",
        _ => "open",
    };
    json!({
        "block": int(challenge.block),
        "index": int(challenge.index),
        "block_hash": hex(challenge.hash),
        "timestamp": int(challenge.timestamp),
        "is_sealed": challenge.is_sealed,
        "verdict": verdict,
        "weight": int_or_null(challenge.judged.map(|judged| judged.0)),
        "total_weight": int_or_null(challenge.judged.map(|judged| judged.1)),
        "owners": int_or_null(challenge.judged.map(|judged| judged.2)),
        "commits": int(challenge.commits),
        "proven": int(challenge.proven),
        "voided": int(challenge.voided),
        "transaction": hex(challenge.transaction),
    })
}

fn verdict(view: &Snapshot, challenge: &Challenge, device: u64, is_closing: bool) -> Value {
    let nothing = Met::default();
    let met = view.etc.work.met.get(&(device, challenge.block)).unwrap_or(&nothing);
    let mode = match met.mode {
        Some(1) => json!("full"),
        Some(_) => json!("light"),
        None => Value::Null,
    };
    json!({
        "challenge": int(challenge.block),
        "index": int(challenge.index),
        "timestamp": int(challenge.timestamp),
        "device": int(device),
        "rental": positive(met.rental),
        "mode": mode,
        "verdict": met.verdict(),
        "elapsed_ms": int_or_null(met.elapsed_ms),
        "root": hex_or_null(met.root),
        "receipts": int_or_null(met.receipts),
        "demands": int(met.demands),
        "is_closing": is_closing,
        "commit_transaction": hex_or_null(met.commit),
        "proof_transaction": hex_or_null(met.proof),
        "settled_transaction": hex_or_null(met.settled),
    })
}

/// Newest first; devices of one challenge by number.
fn of_devices(view: &Snapshot, request: &ApiRequest, devices: &[u64], allowed: &[&str]) -> Result<Value, ApiError> {
    let (params, page) = Params::paged(request, allowed)?;
    let only = params.number("device")?;
    let wanted = params.choice("verdict", &VERDICTS)?;
    let of = |device: u64| view.etc.work.met.range((device, 0)..=(device, u64::MAX));
    let met = devices.iter().filter(|device| only.is_none_or(|only| only == **device)).flat_map(|device| of(*device));
    let matching = met.filter(|(_, met)| wanted.is_none_or(|wanted| wanted == met.verdict()));
    let keyed = matching
        .filter_map(|((device, block), _)| Some(([down(*block), up(*device)].concat(), (view.etc.work.challenges.get(block)?, *device))));
    page.list(keyed, |(challenge, device)| Ok(verdict(view, challenge, device, false)))
}

pub fn of_provider(view: &Snapshot, request: &ApiRequest, provider: Address) -> Result<Value, ApiError> {
    let devices: Vec<u64> = view.eth.stakes.devices.values().filter(|device| device.provider == provider).map(|device| device.id).collect();
    of_devices(view, request, &devices, &["device", "verdict"])
}

pub fn of_device(view: &Snapshot, request: &ApiRequest, device: u64) -> Result<Value, ApiError> {
    of_devices(view, request, &[device], &[])
}

/// Challenges within the rental, and the first one at or after its end; oldest first.
pub fn of_rental(view: &Snapshot, request: &ApiRequest, rental: &Rental) -> Result<Value, ApiError> {
    let (_, page) = Params::paged(request, &[])?;
    let has_started = rental.start != 0;
    let after = view.etc.work.challenges.values().filter(|challenge| has_started && challenge.timestamp >= rental.start);
    let mut is_over = false;
    let due = after.take_while(|challenge| {
        let was_over = is_over;
        is_over = challenge.timestamp >= rental.end;
        !was_over
    });
    page.list(due.map(|challenge| (up(challenge.block), challenge)), |challenge| {
        Ok(verdict(view, challenge, rental.device, challenge.timestamp >= rental.end))
    })
}
