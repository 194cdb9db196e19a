//! Governance: proposals and votes.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolEvent,
};

use super::{Position, StoredLog};
use crate::types::abi::Governance as Contract;

#[derive(Debug, Clone)]
pub struct Proposal {
    pub id: U256,
    pub proposer: Address,
    pub description: String,
    pub description_hash: B256,
    pub targets: Vec<Address>,
    pub values: Vec<U256>,
    pub calldatas: Vec<Bytes>,
    pub vote_start: u64,
    pub vote_end: u64,
    pub executable_at: Option<u64>,
    pub is_canceled: bool,
    pub is_executed: bool,
    /// Against, for, abstain.
    pub votes: [U256; 3],
    pub created_at: u64,
    pub position: Position,
    pub transaction: B256,
}

#[derive(Debug, Clone)]
pub struct Vote {
    pub voter: Address,
    pub support: u8,
    pub weight: U256,
    pub reason: String,
    pub timestamp: u64,
    pub position: Position,
    pub transaction: B256,
}

#[derive(Debug, Clone, Default)]
pub struct Votes {
    pub proposals: BTreeMap<U256, Proposal>,
    /// In the order in which they were made.
    pub order: Vec<U256>,
    pub votes: BTreeMap<U256, Vec<Vote>>,
}

impl Votes {
    pub(super) fn apply(&mut self, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match *log.topics.first()? {
            Contract::ProposalCreated::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ProposalCreated>()?;
                let proposal = Proposal {
                    id: event.proposalId,
                    proposer: event.proposer,
                    description_hash: keccak256(&event.description),
                    description: event.description,
                    targets: event.targets,
                    values: event.values,
                    calldatas: event.calldatas,
                    vote_start: event.voteStart.saturating_to(),
                    vote_end: event.voteEnd.saturating_to(),
                    executable_at: None,
                    is_canceled: false,
                    is_executed: false,
                    votes: [U256::ZERO; 3],
                    created_at: stored.timestamp,
                    position: stored.position(),
                    transaction: log.tx_hash,
                };
                self.order.push(proposal.id);
                self.proposals.insert(proposal.id, proposal);
            }
            Contract::ProposalQueued::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ProposalQueued>()?;
                self.proposals.get_mut(&event.proposalId)?.executable_at = Some(event.etaSeconds.saturating_to());
            }
            Contract::ProposalExecuted::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ProposalExecuted>()?;
                self.proposals.get_mut(&event.proposalId)?.is_executed = true;
            }
            Contract::ProposalCanceled::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ProposalCanceled>()?;
                self.proposals.get_mut(&event.proposalId)?.is_canceled = true;
            }
            Contract::ProposalExtended::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ProposalExtended>()?;
                self.proposals.get_mut(&event.proposalId)?.vote_end = event.extendedDeadline;
            }
            Contract::VoteCast::SIGNATURE_HASH => {
                let event = log.decode::<Contract::VoteCast>()?;
                self.vote(stored, event.proposalId, (event.voter, event.support, event.weight, event.reason))?;
            }
            Contract::VoteCastWithParams::SIGNATURE_HASH => {
                let event = log.decode::<Contract::VoteCastWithParams>()?;
                self.vote(stored, event.proposalId, (event.voter, event.support, event.weight, event.reason))?;
            }
            _ => {}
        }
        Some(())
    }

    fn vote(&mut self, stored: &StoredLog, proposal: U256, cast: (Address, u8, U256, String)) -> Option<()> {
        let (voter, support, weight, reason) = cast;
        let tally = self.proposals.get_mut(&proposal)?.votes.get_mut(usize::from(support))?;
        *tally = tally.saturating_add(weight);
        let position = stored.position();
        let vote = Vote { voter, support, weight, reason, timestamp: stored.timestamp, position, transaction: stored.log.tx_hash };
        self.votes.entry(proposal).or_default().push(vote);
        Some(())
    }
}
