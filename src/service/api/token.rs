//! Where tokens come from: allocations, emission, rewards, fees.

use alloy::primitives::U256;
use serde_json::{Value, json};

use super::{
    Snapshot,
    json::{hex, int, int_or_null},
    params::{Params, big, up_big},
};
use crate::{
    service::indexer::token::Allocation,
    types::api::{ApiError, ApiRequest},
};

pub fn allocations(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    let all = &view.eth.distribution.allocations;
    match rest {
        [] => {
            let (params, page) = Params::paged(request, &["beneficiary"])?;
            let beneficiary = params.address("beneficiary")?;
            let wanted = all.values().filter(|allocation| beneficiary.is_none_or(|wanted| wanted == allocation.beneficiary));
            page.list(wanted.map(|allocation| (up_big(allocation.id), allocation)), |found| Ok(allocation(view, found)))
        }
        [id] => {
            Params::new(request, &[])?;
            let found = all.get(&big("id", id)?).ok_or_else(|| ApiError::not_found(format!("allocation {id}")))?;
            Ok(allocation(view, found))
        }
        _ => Err(ApiError::NoPath),
    }
}

fn allocation(view: &Snapshot, allocation: &Allocation) -> Value {
    let vested = allocation.vested_at(view.now());
    let category = match allocation.category {
        0 => "team",
        1 => "investors",
        2 => "advisors",
        3 => "community",
        _ => "treasury",
    };
    json!({
        "id": int(allocation.id),
        "beneficiary": hex(allocation.beneficiary),
        "category": category,
        "amount_wei": int(allocation.amount),
        "start": int(allocation.start),
        "cliff_seconds": int(allocation.cliff),
        "duration_seconds": int(allocation.duration),
        "is_revocable": allocation.is_revocable,
        "revoked_at": int_or_null(allocation.revoked_at),
        "vested_wei": int(vested),
        "released_wei": int(allocation.released),
        "releasable_wei": int(vested.saturating_sub(allocation.released)),
        "transaction": hex(allocation.transaction),
    })
}

pub fn distribution(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    Params::new(request, &[])?;
    let told = &view.eth.distribution;
    let sum = |of: fn(&Allocation) -> U256| told.allocations.values().map(of).fold(U256::ZERO, U256::saturating_add);
    let staking = [(1, "provider"), (2, "queen"), (3, "king")];
    let staking =
        staking.map(|(role, name)| json!({ "role": name, "amount_wei": int(told.staking.get(&role).copied().unwrap_or_default()) }));
    let shares = told.rewards.as_ref().map(|(shares, _)| shares);
    let bps = |of: fn(&crate::types::abi::token_distributor::ITokenDistributor::RewardParameters) -> u16| int(shares.map_or(0, of));
    let tiers = told.rewards.iter().flat_map(|(_, tiers)| tiers);
    let classes = told.class_rewards.iter().filter(|(_, reward)| !reward.is_zero()).take(super::config::CLASSES);
    Ok(json!({
        "emission_start": int_or_null(told.emission_start),
        "fees_received_wei": int(told.fees_received),
        "burned_wei": int(told.burned),
        "staking_rewards": staking,
        "rental_rewards_wei": int(told.rental_rewards),
        "loyalty_rewards_wei": int(told.loyalty_rewards),
        "claimed_wei": int(told.claimed),
        "provider_staking_bps": bps(|shares| shares.providerStakingBps),
        "queen_staking_bps": bps(|shares| shares.queenStakingBps),
        "king_staking_bps": bps(|shares| shares.kingStakingBps),
        "rental_bps": bps(|shares| shares.rentalBps),
        "provider_fee_bps": bps(|shares| shares.providerFeeBps),
        "loyalty_tiers": tiers.map(|tier| json!({ "fees_wei": int(tier.fees), "reward_bps": int(tier.rewardBps) })).collect::<Vec<_>>(),
        "class_rewards": classes.map(|(class, reward)| json!({ "class_version": int(class), "per_hour_wei": int(reward) })).collect::<Vec<_>>(),
        "allocated_wei": int(sum(|allocation| allocation.amount)),
        "released_wei": int(sum(|allocation| allocation.released)),
    }))
}
