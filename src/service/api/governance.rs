//! Proposals and votes.

use serde_json::{Value, json};

use super::{
    Snapshot,
    json::{hex, int, int_or_null},
    params::{Params, big, down},
};
use crate::{
    service::indexer::votes::{Proposal, Vote},
    types::{
        AddressBook,
        api::{ApiError, ApiRequest},
    },
};

/// Most actions that a proposal is shown with.
const ACTIONS: usize = 64;
const STATES: [&str; 8] = ["pending", "active", "canceled", "defeated", "succeeded", "queued", "expired", "executed"];

pub fn route(view: &Snapshot, request: &ApiRequest, rest: &[&str]) -> Result<Value, ApiError> {
    let votes = &view.eth.votes;
    let [id, rest @ ..] = rest else {
        let (params, page) = Params::paged(request, &["state"])?;
        let state = params.choice("state", &STATES)?;
        let all = votes.order.iter().enumerate().filter_map(|(position, id)| Some((position, votes.proposals.get(id)?)));
        let wanted = all.filter(|(_, proposal)| state.is_none_or(|state| state == state_of(view, proposal)));
        return page.list(wanted.map(|(position, proposal)| (down(position as u64), proposal)), |found| Ok(proposal(view, found)));
    };
    let id = big("id", id)?;
    let found = votes.proposals.get(&id).ok_or_else(|| ApiError::not_found(format!("proposal {id}")))?;
    match rest {
        [] => {
            Params::new(request, &[])?;
            Ok(proposal(view, found))
        }
        ["votes"] => {
            let (_, page) = Params::paged(request, &[])?;
            let all = votes.votes.get(&id).into_iter().flatten();
            let keyed = all.map(|vote| ([down(vote.position.0), down(vote.position.1)].concat(), vote));
            page.list(keyed, |found| Ok(vote(found, id)))
        }
        _ => Err(ApiError::NoPath),
    }
}

/// As Governance and its timelock count; a tie is lost.
fn state_of(view: &Snapshot, proposal: &Proposal) -> &'static str {
    let [against, in_favour, abstain] = proposal.votes;
    let now = view.now();
    if proposal.is_executed {
        return "executed";
    }
    if proposal.is_canceled {
        return "canceled";
    }
    if now <= proposal.vote_start {
        return "pending";
    }
    if now <= proposal.vote_end {
        return "active";
    }
    let has_quorum = view.live.quorums.get(&proposal.id).is_some_and(|quorum| in_favour.saturating_add(abstain) >= *quorum);
    match () {
        () if !has_quorum || in_favour <= against => "defeated",
        () if proposal.executable_at.is_some() => "queued",
        () => "succeeded",
    }
}

fn proposal(view: &Snapshot, proposal: &Proposal) -> Value {
    let calls = proposal.targets.iter().zip(&proposal.values).zip(&proposal.calldatas).take(ACTIONS);
    let actions = calls.map(|((target, value), data)| {
        json!({ "target": hex(target), "contract": contract(view.book(), *target), "value_wei": int(value), "data": hex(data) })
    });
    let title = proposal.description.lines().next().unwrap_or_default().trim_start_matches('#').trim();
    json!({
        "id": int(proposal.id),
        "title": title,
        "description": proposal.description,
        "proposer": hex(proposal.proposer),
        "state": state_of(view, proposal),
        "for_wei": int(proposal.votes[1]),
        "against_wei": int(proposal.votes[0]),
        "abstain_wei": int(proposal.votes[2]),
        "quorum_wei": int_or_null(view.live.quorums.get(&proposal.id)),
        "vote_start": int(proposal.vote_start),
        "vote_end": int(proposal.vote_end),
        "executable_at": int_or_null(proposal.executable_at),
        "created_at": int(proposal.created_at),
        "actions": actions.collect::<Vec<_>>(),
        "description_hash": hex(proposal.description_hash),
        "transaction": hex(proposal.transaction),
    })
}

fn contract(book: &AddressBook, address: alloy::primitives::Address) -> Option<&'static str> {
    let eth = &book.ethereum;
    let known = [
        (eth.gpu_token, "GPUToken"),
        (eth.token_distributor, "TokenDistributor"),
        (eth.staking_manager, "StakingManager"),
        (eth.gpu_rental, "GPURental"),
        (eth.rental_court, "RentalCourt"),
        (eth.governance, "Governance"),
        (eth.timelock, "TimelockController"),
    ];
    known.into_iter().find(|(known, _)| *known == address).map(|(_, name)| name)
}

fn vote(vote: &Vote, proposal: alloy::primitives::U256) -> Value {
    let support = match vote.support {
        0 => "against",
        1 => "for",
        _ => "abstain",
    };
    json!({
        "proposal": int(proposal),
        "voter": hex(vote.voter),
        "support": support,
        "weight_wei": int(vote.weight),
        "reason": vote.reason,
        "timestamp": int(vote.timestamp),
        "transaction": hex(vote.transaction),
    })
}
