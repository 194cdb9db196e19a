//! Providers and devices.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use super::{
    Snapshot, events,
    json::{hex, int, int_or_null},
    offers::{self, UPTIME_OVER},
    params::{Params, address, down, down_big, number},
    stakes, work,
};
use crate::{
    service::indexer::{
        market::RentalState,
        stakes::{Device, Staker},
        work::Tally,
    },
    types::api::{ApiError, ApiRequest},
};

/// Most devices, offers and slashes that a provider's page shows.
const MANY: usize = 256;
const SLASHES: usize = 100;
const PROVIDER: u8 = 1;

pub fn providers(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    let [account, rest @ ..] = rest else { return list(view, request) };
    let account = address("address", account)?;
    if !is_provider(view, account) {
        return Err(ApiError::not_found(format!("provider {account}")));
    }
    match rest {
        [] => {
            Params::new(request, &[])?;
            Ok(provider(view, account))
        }
        ["verdicts"] => work::of_provider(view, request, account),
        ["events"] => events::of_account(view, request, account),
        _ => Err(ApiError::NoPath),
    }
}

fn is_provider(view: &Snapshot, account: Address) -> bool {
    let has_stake = view.eth.stakes.stakers.get(&account).is_some_and(|staker| staker.role == PROVIDER);
    has_stake || view.eth.stakes.devices.values().any(|device| device.provider == account)
}

fn list(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    let (params, page) = Params::paged(request, &["sort", "min_score_ppm", "active"])?;
    let sort = params.choice("sort", &["score", "rentals", "stake"])?.unwrap_or("score");
    let min_score = params.number("min_score_ppm")?;
    let active = params.flag("active")?;
    let all = view.eth.stakes.stakers.iter().filter(|(_, staker)| staker.role == PROVIDER);
    let wanted = all.filter(|(account, _)| {
        let score = view.etc.work.scores.get(*account).copied().unwrap_or(0);
        min_score.is_none_or(|least| u64::from(score) >= least) && active.is_none_or(|wanted| wanted == is_active(view, **account))
    });
    let keyed = wanted.map(|(account, staker)| {
        let first = match sort {
            "rentals" => down(view.eth.market.rentals.values().filter(|rental| rental.provider == *account).count() as u64),
            "stake" => down_big(staker.staked),
            _ => down(view.etc.work.scores.get(account).copied().unwrap_or(0).into()),
        };
        ([first, account.to_vec()].concat(), *account)
    });
    page.list(keyed, |account| Ok(summary(view, account)))
}

fn is_active(view: &Snapshot, account: Address) -> bool {
    let serves = |device: &Device| device.provider == account && device.removed_at.is_none();
    view.eth.stakes.has_role(account) && view.eth.stakes.devices.values().any(serves)
}

fn summary(view: &Snapshot, account: Address) -> Value {
    let devices: Vec<&Device> = view.eth.stakes.devices.values().filter(|device| device.provider == account).collect();
    let tally = devices.iter().fold(Tally::default(), |sum, device| sum.plus(tally_of(view, device.id)));
    let nobody = Staker::default();
    let staker = view.eth.stakes.stakers.get(&account).unwrap_or(&nobody);
    let rentals = || view.eth.market.rentals.values().filter(|rental| rental.provider == account);
    let earned = rentals().fold(U256::ZERO, |sum, rental| sum.saturating_add(rental.paid));
    let in_state = |state| rentals().filter(|rental| rental.state == state).count();
    json!({
        "account": hex(account),
        "is_active": is_active(view, account),
        "score_ppm": int_or_null(view.etc.work.scores.get(&account)),
        "uptime_ppm": int_or_null((tally.passed * 1_000_000).checked_div(tally.passed + tally.missed)),
        "staked_wei": int(staker.staked),
        "delegated_wei": int(staker.pool.total),
        "slashed_wei": int(staker.slashed),
        "devices": int(devices.iter().filter(|device| device.removed_at.is_none()).count()),
        "offers": int(view.eth.market.offers.values().filter(|offer| offer.provider == account).count()),
        "rentals": int(rentals().count()),
        "rentals_active": int(in_state(RentalState::Active)),
        "rentals_completed": int(in_state(RentalState::Completed)),
        "rentals_faulted": int(rentals().filter(|rental| rental.fault != 0).count()),
        "earned_wei": int(earned),
        "challenges": counts(tally),
        "since": int(staker.since),
    })
}

fn provider(view: &Snapshot, account: Address) -> Value {
    let devices = view.eth.stakes.devices.values().filter(|device| device.provider == account).take(MANY);
    let offers = view.eth.market.offers.values().rev().filter(|offer| offer.provider == account).take(MANY);
    let slashes = view.eth.stakes.slashes.iter().rev().filter(|slash| slash.account == account).take(SLASHES);
    json!({
        "summary": summary(view, account),
        "stake": view.eth.stakes.stakers.get(&account).map_or(Value::Null, |staker| stakes::stake(account, staker, view.now())),
        "devices": devices.map(|found| device(view, found)).collect::<Vec<_>>(),
        "offers": offers.map(|offer| offers::offer(view, offer)).collect::<Vec<_>>(),
        "slashes": slashes.map(stakes::slash).collect::<Vec<_>>(),
    })
}

pub fn devices(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    let [id, rest @ ..] = rest else { return Err(ApiError::NoPath) };
    let found = view.eth.stakes.devices.get(&number("id", id)?).ok_or_else(|| ApiError::not_found(format!("device {id}")))?;
    match rest {
        [] => {
            Params::new(request, &[])?;
            Ok(device(view, found))
        }
        ["verdicts"] => work::of_device(view, request, found.id),
        _ => Err(ApiError::NoPath),
    }
}

fn tally_of(view: &Snapshot, device: u64) -> Tally {
    view.etc.work.tallies.get(&device).copied().unwrap_or_default()
}

fn counts(tally: Tally) -> Value {
    json!({
        "settled": int(tally.settled()),
        "passed": int(tally.passed),
        "missed": int(tally.missed),
        "unmeasured": int(tally.unmeasured),
        "void": int(tally.void),
    })
}

fn device(view: &Snapshot, device: &Device) -> Value {
    let offers = view.eth.market.offers.values().filter(|offer| offer.device == device.id).take(SLASHES);
    json!({
        "id": int(device.id),
        "provider": hex(device.provider),
        "worker": hex(device.worker),
        "class_version": int(device.class_version),
        "registered_at": int(device.registered_at),
        "removed_at": int_or_null(device.removed_at),
        "locked_stake_wei": int(device.locked),
        "last_full_pass": int(device.last_full_pass),
        "score_ppm": int(device.reputation_ppm),
        "performance_permille": int(device.performance_permille),
        "faults": int(device.faults),
        "uptime_ppm": int_or_null(view.etc.work.uptime_ppm(device.id, UPTIME_OVER)),
        "challenges": counts(tally_of(view, device.id)),
        "reserve_wei": int(view.eth.market.reserves.get(&device.id).copied().unwrap_or_default()),
        "rental": int_or_null(offers::held_by(view, device.id)),
        "offers": offers.map(|offer| int(offer.id)).collect::<Vec<_>>(),
        "on_classic": view.etc.work.devices.contains_key(&device.id),
    })
}
