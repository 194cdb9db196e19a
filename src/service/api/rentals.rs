//! Rentals and the court's cases about them.

use serde_json::{Value, json};

use super::{
    Snapshot, bridge, events,
    json::{hex, hex_or_null, int, int_or_null, positive},
    params::{Params, big, down, down_big, number},
    work,
};
use crate::{
    service::indexer::{
        describe::close_reason,
        market::{Case, Rental},
    },
    types::api::{ApiError, ApiRequest},
};

/// Longest lists within a rental; more have no place on chain either.
const MANY: usize = 256;
const CASES: usize = 64;

pub fn route(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    let [id, rest @ ..] = rest else { return list(view, request) };
    let found = view.eth.market.rentals.get(&number("id", id)?).ok_or_else(|| ApiError::not_found(format!("rental {id}")))?;
    match rest {
        [] => {
            Params::new(request, &[])?;
            Ok(rental(found))
        }
        ["events"] => events::of_rental(view, request, found.id),
        ["verdicts"] => work::of_rental(view, request, found),
        ["messages"] => bridge::of_rental(view, request, found.id),
        _ => Err(ApiError::NoPath),
    }
}

fn list(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    let (params, page) = Params::paged(request, &["renter", "provider", "offer", "device", "state"])?;
    let (renter, provider) = (params.address("renter")?, params.address("provider")?);
    let (offer, device) = (params.number("offer")?, params.number("device")?);
    let state = params.choice("state", &["requested", "active", "completed", "cancelled"])?;
    let wanted = view.eth.market.rentals.values().filter(|rental| {
        renter.is_none_or(|renter| renter == rental.renter)
            && provider.is_none_or(|provider| provider == rental.provider)
            && offer.is_none_or(|offer| offer == rental.offer)
            && device.is_none_or(|device| device == rental.device)
            && state.is_none_or(|state| state == rental.state.name())
    });
    page.list(wanted.map(|rental| (down(rental.id), rental)), |found| Ok(rental(found)))
}

fn rental(rental: &Rental) -> Value {
    let segments = rental.segments.iter().take(MANY);
    let maintenance = rental.maintenance.iter().take(MANY);
    let is_closed = rental.close_reason != 0;
    json!({
        "id": int(rental.id),
        "offer": int(rental.offer),
        "device": int(rental.device),
        "renter": hex(rental.renter),
        "provider": hex(rental.provider),
        "session_key": hex(rental.session_key),
        "delegate": hex_or_null(rental.delegate),
        "state": rental.state.name(),
        "close_reason": reason(rental.close_reason),
        "close_text": is_closed.then(|| close_reason(rental.close_reason)),
        "fault": fault(rental.fault),
        "terms_version": int(rental.terms_version),
        "duration_seconds": int(rental.duration),
        "price_per_second_wei": int(rental.price_per_second),
        "requested_at": int(rental.requested_at),
        "ready_until": int(rental.ready_until),
        "start": positive(rental.start),
        "end": positive(rental.end),
        "opened_at": int_or_null(rental.opened_at),
        "closed_at": int_or_null(rental.closed_at),
        "frozen_from": int_or_null(rental.frozen_from),
        "deadline_at": int_or_null(rental.deadline_at),
        "covered_until": int_or_null(rental.covered_until),
        "verified_seconds": int(rental.verified_seconds),
        "challenges_due": int(rental.due),
        "challenges_passed": int(rental.passed),
        "money": {
            "escrowed_wei": int(rental.escrowed),
            "paid_wei": int(rental.paid),
            "refunded_wei": int(rental.refunded),
            "fees_wei": int(rental.fees),
            "held_wei": int(rental.held()),
            "compensated_wei": int(rental.compensated),
        },
        "segments": segments.map(|(from, price)| json!({ "from": int(from), "price_per_second_wei": int(price) })).collect::<Vec<_>>(),
        "maintenance": maintenance.map(|(from, until)| json!({ "from": int(from), "until": int(until) })).collect::<Vec<_>>(),
        "cases": rental.cases.iter().take(CASES).map(int).collect::<Vec<_>>(),
        "transaction": hex(rental.transaction),
    })
}

fn reason(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "completed",
        2 => "not_ready",
        3 => "never_opened",
        4 => "deadline_passed",
        5 => "aborted",
        6 => "judged",
        7 => "bridge_down",
        _ => return None,
    })
}

fn fault(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "closing_missed",
        2 => "aborted",
        3 => "judged",
        _ => return None,
    })
}

pub fn cases(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    match rest {
        [] => {
            let (params, page) = Params::paged(request, &["rental", "status"])?;
            let rental = params.number("rental")?;
            let status = params.choice("status", &["open", "upheld", "rejected", "expired"])?;
            let wanted =
                view.eth.market.cases.values().filter(|case| {
                    rental.is_none_or(|rental| rental == case.rental) && status.is_none_or(|status| status == status_of(case))
                });
            page.list(wanted.map(|case| (down_big(case.id), case)), |found| Ok(case(found)))
        }
        [id] => {
            Params::new(request, &[])?;
            let found = view.eth.market.cases.get(&big("id", id)?).ok_or_else(|| ApiError::not_found(format!("case {id}")))?;
            Ok(case(found))
        }
        _ => Err(ApiError::NoPath),
    }
}

fn status_of(case: &Case) -> &'static str {
    match case.status {
        2 => "upheld",
        3 => "rejected",
        4 => "expired",
        _ => "open",
    }
}

fn case(case: &Case) -> Value {
    json!({
        "id": int(case.id),
        "rental": int(case.rental),
        "kind": if case.kind == 2 { "reachability" } else { "complaint" },
        "status": status_of(case),
        "opener": hex(case.opener),
        "evidence": hex(case.evidence),
        "draw_block": int(case.draw_block),
        "committee": case.committee.iter().take(31).map(hex).collect::<Vec<_>>(),
        "ayes": int(case.ayes),
        "nays": int(case.nays),
        "opened_at": int(case.opened_at),
        "closed_at": int_or_null(case.closed_at),
        "transaction": hex(case.transaction),
    })
}
