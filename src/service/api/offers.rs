//! Offers, with the evidence that a renter decides by.

use alloy::primitives::{B256, U256};
use serde_json::{Value, json};

use super::{
    Snapshot,
    json::{hex, int, int_or_null, ratio, word},
    params::{Params, down, down_big, number, up, up_big},
};
use crate::{
    service::indexer::market::Offer,
    types::api::{ApiError, ApiRequest},
};

/// Settled challenges that uptime is counted over.
pub const UPTIME_OVER: usize = 100;
const ONE_TOKEN: u64 = 1_000_000_000_000_000_000;
const HOUR: u64 = 3_600;

pub fn route(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    match rest {
        [] => list(view, request),
        [id] => {
            Params::new(request, &[])?;
            Ok(offer(view, find(view, id)?))
        }
        [id, "quote"] => quote(view, request, find(view, id)?),
        _ => Err(ApiError::NoPath),
    }
}

fn find<'a>(view: &'a Snapshot, id: &str) -> Result<&'a Offer, ApiError> {
    view.eth.market.offers.get(&number("id", id)?).ok_or_else(|| ApiError::not_found(format!("offer {id}")))
}

fn list(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    let allowed = ["class", "max_price_per_hour_wei", "region", "min_score_ppm", "available", "provider", "device", "sort"];
    let (params, page) = Params::paged(request, &allowed)?;
    let class = params.number("class")?;
    let max_price = params.wei("max_price_per_hour_wei")?;
    let region = params.string("region", 32)?.map(|text| B256::right_padding_from(text.as_bytes()));
    let min_score = params.number("min_score_ppm")?;
    let available = params.flag("available")?;
    let provider = params.address("provider")?;
    let device = params.number("device")?;
    let sort = params.choice("sort", &["score", "price", "speed_per_token", "performance", "newest"])?.unwrap_or("score");
    let wanted = view.eth.market.offers.values().filter(|offer| {
        class.is_none_or(|class| class == u64::from(offer.class_version))
            && max_price.is_none_or(|most| per_hour(offer) <= most)
            && region.is_none_or(|region| region == offer.region)
            && min_score.is_none_or(|least| u64::from(score(view, offer)) >= least)
            && provider.is_none_or(|provider| provider == offer.provider)
            && device.is_none_or(|device| device == offer.device)
            && available.is_none_or(|wanted| wanted == is_available(view, offer))
    });
    let keyed = wanted.map(|offer| {
        let first = match sort {
            "price" => up_big(per_hour(offer)),
            "speed_per_token" => down_big(speed_per_token(view, offer)),
            "performance" => down(performance(view, offer).into()),
            "newest" => down(offer.id),
            _ => down(score(view, offer).into()),
        };
        ([first, up_big(per_hour(offer)), up(offer.id)].concat(), offer)
    });
    page.list(keyed, |found| Ok(offer(view, found)))
}

pub fn offer(view: &Snapshot, offer: &Offer) -> Value {
    let (state, rental, reason) = availability(view, offer);
    let device = view.eth.stakes.devices.get(&offer.device);
    let proven = proven_until(view, offer.device);
    json!({
        "id": int(offer.id),
        "device": int(offer.device),
        "provider": hex(offer.provider),
        "class_version": int(offer.class_version),
        "price_per_second_wei": int(offer.price_per_second),
        "price_per_hour_wei": int(per_hour(offer)),
        "min_duration_seconds": int(offer.min_duration),
        "max_duration_seconds": int(offer.max_duration),
        "region": word(offer.region),
        "attributes": offer.attributes,
        "created_at": int(offer.created_at),
        "is_paused": offer.is_paused,
        "is_available": state == "rentable",
        "availability": { "state": state, "rental": int_or_null(rental), "reason": reason },
        "score_ppm": int(score(view, offer)),
        "performance_permille": int(performance(view, offer)),
        "speed_per_token": int(speed_per_token(view, offer)),
        "last_full_pass": int(device.map_or(0, |device| device.last_full_pass)),
        "fresh_until": int(if proven == 0 { 0 } else { proven.saturating_add(freshness(view)) }),
        "faults": int(device.map_or(0, |device| device.faults)),
        "uptime_ppm": int_or_null(view.etc.work.uptime_ppm(offer.device, UPTIME_OVER)),
        "reserve_wei": int(view.eth.market.reserves.get(&offer.device).copied().unwrap_or_default()),
        "transaction": hex(offer.transaction),
    })
}

fn score(view: &Snapshot, offer: &Offer) -> u32 {
    view.eth.stakes.devices.get(&offer.device).map_or(0, |device| device.reputation_ppm)
}

fn performance(view: &Snapshot, offer: &Offer) -> u32 {
    view.eth.stakes.devices.get(&offer.device).map_or(0, |device| device.performance_permille)
}

fn per_hour(offer: &Offer) -> U256 {
    U256::from(offer.price_per_second).saturating_mul(U256::from(HOUR))
}

fn speed_per_token(view: &Snapshot, offer: &Offer) -> U256 {
    let scaled = U256::from(performance(view, offer)).saturating_mul(U256::from(1_000));
    ratio(scaled, ONE_TOKEN, per_hour(offer))
}

fn freshness(view: &Snapshot) -> u64 {
    view.eth.market.newest_parameters().map_or(0, |(_, parameters)| parameters.freshness)
}

/// The newest full pass, or what counts as one; zero for none.
fn proven_until(view: &Snapshot, device: u64) -> u64 {
    let verified = view.eth.market.verified_until.get(&device).copied().unwrap_or(0);
    view.eth.stakes.devices.get(&device).map_or(0, |device| device.last_full_pass).max(verified)
}

/// The rental that holds a device now.
pub fn held_by(view: &Snapshot, device: u64) -> Option<u64> {
    let newest = view.eth.market.rentals.get(view.eth.market.newest_rental.get(&device)?)?;
    newest.holds_device(view.now()).then_some(newest.id)
}

pub fn is_available(view: &Snapshot, offer: &Offer) -> bool {
    availability(view, offer).0 == "rentable"
}

/// As the contract would decide, in its order.
fn availability(view: &Snapshot, offer: &Offer) -> (&'static str, Option<u64>, Option<&'static str>) {
    let device = view.eth.stakes.devices.get(&offer.device);
    if device.is_none_or(|device| device.removed_at.is_some()) {
        return ("removed", None, Some("the provider took the device out of service"));
    }
    if offer.is_paused {
        return ("paused", None, Some("the provider paused the offer"));
    }
    if let Some(rental) = held_by(view, offer.device) {
        return ("rented", Some(rental), Some("another rental holds the device"));
    }
    let proven = proven_until(view, offer.device);
    if proven == 0 || proven.saturating_add(freshness(view)) < view.now() {
        return ("unverified", None, Some("no full challenge was passed recently enough"));
    }
    if !view.eth.stakes.has_role(offer.provider) || device.is_none_or(|device| device.locked.is_zero()) {
        return ("unstaked", None, Some("the provider's stake does not back the device"));
    }
    let seconds = view.eth.market.safeguards.as_ref().map_or(0, |safeguards| safeguards.reserveSeconds.min(offer.min_duration));
    let needed = U256::from(offer.price_per_second).saturating_mul(U256::from(seconds));
    if view.eth.market.reserves.get(&offer.device).copied().unwrap_or_default() < needed {
        return ("reserve_too_small", None, Some("the device's reserve does not cover what it must"));
    }
    ("rentable", None, None)
}

fn quote(view: &Snapshot, request: &ApiRequest, offer: &Offer) -> Result<Value, ApiError> {
    let params = Params::new(request, &["duration_seconds"])?;
    let duration = params.number("duration_seconds")?.ok_or_else(|| ApiError::parameter("duration_seconds", "it is missing"))?;
    if !(u64::from(offer.min_duration)..=u64::from(offer.max_duration)).contains(&duration) {
        let reason = format!("the offer allows {} to {}", offer.min_duration, offer.max_duration);
        return Err(ApiError::parameter("duration_seconds", reason));
    }
    let (_, parameters) = view.eth.market.newest_parameters().ok_or(ApiError::NotReady)?;
    let rent = U256::from(offer.price_per_second).saturating_mul(U256::from(duration));
    let protocol = ratio(rent, parameters.protocolFeeBps.into(), U256::from(10_000));
    let (bridge, ready) = (U256::from(parameters.bridgeFee), U256::from(parameters.readyFee));
    Ok(json!({
        "offer": int(offer.id),
        "duration_seconds": int(duration),
        "rent_wei": int(rent),
        "protocol_fee_wei": int(protocol),
        "bridge_fee_wei": int(bridge),
        "ready_fee_wei": int(ready),
        "total_wei": int(rent.saturating_add(protocol).saturating_add(bridge).saturating_add(ready)),
    }))
}
