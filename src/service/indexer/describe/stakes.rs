//! StakingManager, Governance and TokenDistributor in words.

use alloy::primitives::{Address, B256, U256};

use super::{Described, tokens, told};
use crate::{
    chain::LogEntry,
    types::abi::{Governance as G, StakingManager as S, TokenDistributor as T},
};

fn of(account: Address, kind: &'static str, amount: Option<U256>, text: impl Into<String>) -> Described {
    Described { account: Some(account), amount, ..Described::new(kind, text) }
}

fn of_device(device: u64, kind: &'static str, text: impl Into<String>) -> Described {
    Described { device: Some(device), ..Described::new(kind, text) }
}

fn role(number: u8) -> &'static str {
    match number {
        1 => "provider",
        2 => "Queen",
        3 => "King",
        _ => "nobody",
    }
}

pub fn stake(topic: B256, log: &LogEntry) -> Option<Described> {
    told!(topic, log, {
        S::Staked => |e| of(e.account, "staked", Some(e.amount), format!("{} GPUTOKEN staked as {}", tokens(e.amount), role(e.role))),
        S::OperatorSet => |e| of(e.account, "operator_set", None, "hot key and libp2p key named"),
        S::UnstakeRequested => |e| of(e.account, "unstake_requested", Some(e.amount), format!("{} GPUTOKEN begin to unbond", tokens(e.amount))),
        S::Withdrawn => |e| of(e.account, "withdrawn", Some(e.amount), format!("{} GPUTOKEN withdrawn", tokens(e.amount))),
        S::DeviceAdded => |e| Described {
            provider: Some(e.provider), message: Some(e.messageIndex), message_origin: Some(crate::types::ChainKind::Ethereum),
            ..of_device(e.deviceId, "device_added", format!("device {} of class {} registered", e.deviceId, e.classVersion))
        },
        S::DeviceRetired => |e| of_device(e.deviceId, "device_retired", "device taken out of service"),
        S::DeviceReleased => |e| Described { amount: Some(e.amount), ..of_device(e.deviceId, "device_released", "its class stake is free") },
        S::WorkerChanged => |e| of_device(e.deviceId, "worker_changed", "worker key changed"),
        S::DeviceReportApplied => |e| of_device(e.deviceId, "device_report_applied", format!(
            "device report: score {:.1} %, speed {:.1} %", f64::from(e.reputationPpm) / 10_000.0, f64::from(e.performancePermille) / 10.0
        )),
        S::Slashed => |e| Described {
            device: (e.deviceId != 0).then_some(e.deviceId),
            ..of(e.account, "slashed", Some(e.amount), format!("{} GPUTOKEN slashed", tokens(e.amount)))
        },
        S::SlashedByVote => |e| of(e.account, "slashed_by_vote", Some(e.amount), format!("{} GPUTOKEN slashed by vote", tokens(e.amount))),
        S::SlashDivided => |e| of(e.account, "slash_divided", Some(e.burned), format!("{} GPUTOKEN of it burned", tokens(e.burned))),
        S::CreditClaimed => |e| of(e.account, "slash_credit_claimed", Some(e.amount), format!("{} GPUTOKEN claimed", tokens(e.amount))),
        S::SeatTaken => |e| of(e.account, "seat_taken", None, format!("took a seat as {}", role(e.role))),
        S::SeatLost => |e| of(e.account, "seat_lost", None, format!("lost its seat as {}", role(e.role))),
    })
}

pub fn pool(topic: B256, log: &LogEntry) -> Option<Described> {
    told!(topic, log, {
        S::QueensAnnounced => |e| Described {
            message: Some(e.messageIndex), message_origin: Some(crate::types::ChainKind::Ethereum),
            ..Described::new("queens_announced", format!("{} Queens announced for epoch {}", e.count, e.epoch))
        },
        S::CommissionAnnounced => |e| of(e.account, "commission_announced", None, format!("commission of {:.2} %", f64::from(e.commissionBps) / 100.0)),
        S::StakeDelegated => |e| Described {
            provider: Some(e.account), ..of(e.delegator, "stake_delegated", Some(e.amount), format!("{} GPUTOKEN delegated", tokens(e.amount)))
        },
        S::UndelegationRequested => |e| Described { provider: Some(e.account), ..of(e.delegator, "undelegation_requested", None, "delegated stake begins to unbond") },
        S::DelegationWithdrawn => |e| Described {
            provider: Some(e.account), ..of(e.delegator, "delegation_withdrawn", Some(e.amount), format!("{} GPUTOKEN of delegated stake withdrawn", tokens(e.amount)))
        },
        S::RewardsClaimed => |e| of(e.account, "rewards_claimed", Some(e.amount), format!("{} GPUTOKEN of staking rewards claimed", tokens(e.amount))),
        S::DelegateChanged => |e| of(e.delegator, "votes_delegated", None, "votes of its own stake delegated"),
        S::ClassSet => |e| Described { amount: Some(e.requiredStake), ..Described::new("class_set", format!("a device of class {} locks {} GPUTOKEN", e.classVersion, tokens(e.requiredStake))) },
    })
}

pub fn vote(topic: B256, log: &LogEntry) -> Option<Described> {
    let on = |id: U256, kind: &'static str, text: String| Described { proposal: Some(id), ..Described::new(kind, text) };
    let cast = |voter: Address, id: U256, support: u8, weight: U256| {
        let word = match support {
            0 => "against",
            1 => "for",
            _ => "abstaining",
        };
        Described { account: Some(voter), amount: Some(weight), ..on(id, "vote_cast", format!("{} votes {word}", tokens(weight))) }
    };
    told!(topic, log, {
        G::ProposalCreated => |e| Described { account: Some(e.proposer), ..on(e.proposalId, "proposal_created", "proposal made".into()) },
        G::VoteCast => |e| cast(e.voter, e.proposalId, e.support, e.weight),
        G::VoteCastWithParams => |e| cast(e.voter, e.proposalId, e.support, e.weight),
        G::ProposalQueued => |e| on(e.proposalId, "proposal_queued", "proposal queued in the timelock".into()),
        G::ProposalExecuted => |e| on(e.proposalId, "proposal_executed", "proposal executed".into()),
        G::ProposalCanceled => |e| on(e.proposalId, "proposal_canceled", "proposal cancelled".into()),
    })
}

pub fn token(topic: B256, log: &LogEntry) -> Option<Described> {
    told!(topic, log, {
        T::AllocationCreated => |e| Described {
            allocation: Some(e.id), ..of(e.beneficiary, "allocation_created", Some(e.amount), format!("{} GPUTOKEN allocated", tokens(e.amount)))
        },
        T::Released => |e| Described {
            allocation: Some(e.id), ..of(e.beneficiary, "allocation_released", Some(e.amount), format!("{} vested GPUTOKEN released", tokens(e.amount)))
        },
        T::Revoked => |e| Described {
            allocation: Some(e.id), ..of(e.beneficiary, "allocation_revoked", Some(e.returned), format!("allocation revoked, {} GPUTOKEN returned", tokens(e.returned)))
        },
        T::FeeReceived => |e| Described { amount: Some(e.amount), ..Described::new("fee_received", format!("{} GPUTOKEN of fees, {} of it burned", tokens(e.amount), tokens(e.burned))) },
        T::StakingRewarded => |e| Described { amount: Some(e.amount), ..Described::new("staking_rewarded", format!("{} GPUTOKEN for stakes as {}", tokens(e.amount), role(e.role))) },
        T::RentalRewarded => |e| Described {
            rental: Some(e.rentalId), provider: Some(e.provider),
            ..of(e.renter, "rental_rewarded", Some(e.reward), format!("reward of {} GPUTOKEN, loyalty of {}", tokens(e.reward), tokens(e.loyalty)))
        },
        T::Claimed => |e| of(e.account, "reward_claimed", Some(e.amount), format!("{} GPUTOKEN of rewards claimed", tokens(e.amount))),
    })
}
