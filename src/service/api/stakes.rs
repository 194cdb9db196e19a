//! Stakes, delegations, slashes, and what an address is owed.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use super::{
    Snapshot, events,
    json::{hex, hex_or_null, int, int_or_null, somebody},
    params::{Params, address, down, down_big},
};
use crate::{
    service::indexer::stakes::{BY_VOTE, Delegation, Slash, Staker},
    types::api::{ApiError, ApiRequest},
};

/// Longest lists within an account.
const MANY: usize = 100;

fn role(number: u8) -> &'static str {
    match number {
        3 => "king",
        2 => "queen",
        _ => "provider",
    }
}

pub fn route(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    let [account, rest @ ..] = rest else { return list(view, request) };
    let account = address("address", account)?;
    let found = view.eth.stakes.stakers.get(&account).filter(|staker| staker.role != 0);
    let found = found.ok_or_else(|| ApiError::not_found(format!("stake of {account}")))?;
    match rest {
        [] => {
            Params::new(request, &[])?;
            Ok(stake(account, found, view.now()))
        }
        ["delegations"] => {
            let (_, page) = Params::paged(request, &[])?;
            let all = view.eth.stakes.delegations.iter().filter(|(_, delegation)| delegation.account == account);
            page.list(all.map(|(by, delegation)| (by.to_vec(), (*by, delegation))), |(by, found)| Ok(delegation(view, by, found)))
        }
        _ => Err(ApiError::NoPath),
    }
}

fn list(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    let (params, page) = Params::paged(request, &["role", "open"])?;
    let wanted_role = params.choice("role", &["provider", "queen", "king"])?;
    let open = params.flag("open")?;
    let wanted = view.eth.stakes.stakers.iter().filter(|(_, staker)| {
        staker.role != 0
            && wanted_role.is_none_or(|wanted| wanted == role(staker.role))
            && open.is_none_or(|open| open == staker.pool.is_open)
    });
    let keyed = wanted.map(|(account, staker)| {
        let all = staker.staked.saturating_add(staker.pool.total);
        ([down_big(all), account.to_vec()].concat(), (*account, staker))
    });
    page.list(keyed, |(account, found)| Ok(stake(account, found, view.now())))
}

pub fn stake(account: Address, staker: &Staker, now: u64) -> Value {
    let pool = &staker.pool;
    // An announced commission counts from its time on.
    let (commission, next) = match pool.next {
        Some((bps, at)) if at <= now => (bps, None),
        next => (pool.commission_bps, next),
    };
    json!({
        "account": hex(account),
        "role": role(staker.role),
        "operator": hex(staker.operator),
        "peer_id_hash": hex(staker.peer_id_hash),
        "staked_wei": int(staker.staked),
        "locked_wei": int(staker.locked),
        "unbonding_wei": int(staker.unbonding),
        "unbonds_at": int_or_null(staker.unbonds_at),
        "retiring_wei": int(staker.retiring),
        "retires_at": int_or_null(staker.retires_at),
        "is_seated": staker.is_seated,
        "pool": {
            "total_wei": int(pool.total),
            "shares": int(pool.shares),
            "unbonding_shares": int(pool.unbonding_shares),
            "is_open": pool.is_open,
            "commission_bps": int(commission),
            "next_commission_bps": int_or_null(next.map(|next| next.0)),
            "commission_changes_at": int_or_null(next.map(|next| next.1)),
        },
        "slashed_wei": int(staker.slashed),
        "since": int(staker.since),
    })
}

fn delegation(view: &Snapshot, by: Address, delegation: &Delegation) -> Value {
    let pool = view.eth.stakes.stakers.get(&delegation.account).map(|staker| (staker.pool.total, staker.pool.shares));
    let worth = |shares: U256| {
        let (total, all) = pool.unwrap_or_default();
        shares.saturating_mul(total).checked_div(all).unwrap_or_default()
    };
    json!({
        "delegator": hex(by),
        "account": hex(delegation.account),
        "shares": int(delegation.shares),
        "unbonding_shares": int(delegation.unbonding_shares),
        "unbonds_at": int_or_null(delegation.unbonds_at),
        "value_wei": int(worth(delegation.shares)),
        "unbonding_value_wei": int(worth(delegation.unbonding_shares)),
    })
}

pub fn slashes(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    let (params, page) = Params::paged(request, &["account"])?;
    let account = params.address("account")?;
    let all = view.eth.stakes.slashes.iter().enumerate();
    let wanted = all.filter(|(_, slash)| account.is_none_or(|account| account == slash.account));
    page.list(wanted.map(|(position, slash)| (down(position as u64), slash)), |found| Ok(slash(found)))
}

pub fn slash(slash: &Slash) -> Value {
    let reason = match slash.reason {
        BY_VOTE => "vote",
        _ if slash.device == 0 => "king_contradiction",
        1 => "wrong_proof",
        2 => "missing_answer",
        _ => "other",
    };
    json!({
        "account": hex(slash.account),
        "device": super::json::positive(slash.device),
        "amount_wei": int(slash.amount),
        "reason": reason,
        "reporter": somebody(slash.reporter),
        "renter": somebody(slash.renter),
        "timestamp": int(slash.timestamp),
        "transaction": hex(slash.transaction),
    })
}

pub fn accounts(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    let [account, rest @ ..] = rest else { return Err(ApiError::NoPath) };
    let account_address = address("address", account)?;
    match rest {
        [] => {
            Params::new(request, &[])?;
            Ok(self::account(view, account_address))
        }
        ["events"] => events::of_account(view, request, account_address),
        _ => Err(ApiError::NoPath),
    }
}

fn account(view: &Snapshot, who: Address) -> Value {
    let (stakes, market) = (&view.eth.stakes, &view.eth.market);
    let delayed = market.delayed.range((who, 0)..=(who, u64::MAX)).take(MANY);
    let allocations = view.eth.distribution.allocations.values().filter(|allocation| allocation.beneficiary == who).take(MANY);
    let (completed, lost) = view.etc.work.renters.get(&who).copied().unwrap_or_default();
    let owed = |balances: &std::collections::BTreeMap<Address, U256>| int(balances.get(&who).copied().unwrap_or_default());
    json!({
        "address": hex(who),
        "stake": stakes.stakers.get(&who).filter(|staker| staker.role != 0).map_or(Value::Null, |staker| stake(who, staker, view.now())),
        "delegation": stakes.delegations.get(&who).map_or(Value::Null, |found| delegation(view, who, found)),
        "votes_delegate": hex_or_null(stakes.delegates.get(&who).filter(|delegate| !delegate.is_zero())),
        "rental_credit_wei": owed(&market.credits),
        "delayed_credits": delayed.map(|((_, at), amount)| json!({ "amount_wei": int(amount), "available_at": int(at) })).collect::<Vec<_>>(),
        "court_credit_wei": owed(&market.court_credits),
        "stake_credit_wei": owed(&stakes.credits),
        "reward_credit_wei": owed(&view.eth.distribution.credits),
        "allocations": allocations.map(|allocation| int(allocation.id)).collect::<Vec<_>>(),
        "rentals_as_renter": int(market.rentals.values().filter(|rental| rental.renter == who).count()),
        "rentals_as_provider": int(market.rentals.values().filter(|rental| rental.provider == who).count()),
        "rentals_completed": int(completed),
        "complaints_lost": int(lost),
    })
}
