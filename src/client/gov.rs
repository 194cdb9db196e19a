//! Governance: proposals from a readable file, votes, execution.

mod proposal;

use alloy::{
    json_abi::JsonAbi,
    primitives::{Address, B256, Bytes, U256, keccak256},
};
pub use proposal::{Action, DecodedAction, Proposal};
use serde::Serialize;

use super::{ClientError, Clients, Mode, Submitted};
use crate::{
    chain::{BlockId, ChainError, LogQuery, TxRequest},
    types::{AddressBook, Amount, abi::Governance},
};

/// A contract that a proposal can act on: name, address, artifact.
#[derive(Debug, Clone, Copy)]
pub struct Governed {
    pub name: &'static str,
    pub address: Address,
    artifact: &'static str,
}

impl Governed {
    /// The contract's functions.
    pub fn abi(&self) -> Result<JsonAbi, ClientError> {
        #[derive(serde::Deserialize)]
        struct Artifact {
            abi: JsonAbi,
        }
        let parsed: Result<Artifact, _> = serde_json::from_str(self.artifact);
        let failed = |error: serde_json::Error| ClientError::Argument { argument: self.name.into(), reason: error.to_string() };
        parsed.map(|artifact| artifact.abi).map_err(failed)
    }
}

macro_rules! governed {
    ($book:expr, $($name:literal => $field:ident),* $(,)?) => {
        vec![$(Governed {
            name: $name,
            address: $book.ethereum.$field,
            artifact: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/contracts/abi/", $name, ".json")),
        }),*]
    };
}

/// Every contract on Ethereum, under the name that proposal files use.
pub fn contracts(book: &AddressBook) -> Vec<Governed> {
    governed![book,
        "GPUToken" => gpu_token,
        "TokenDistributor" => token_distributor,
        "StakingManager" => staking_manager,
        "GPURental" => gpu_rental,
        "RentalCourt" => rental_court,
        "Governance" => governance,
        "TimelockController" => timelock,
    ]
}

/// Where a proposal stands, in the order of OpenZeppelin's `ProposalState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProposalState {
    Pending,
    Active,
    Canceled,
    Defeated,
    Succeeded,
    Queued,
    Expired,
    Executed,
}

impl ProposalState {
    fn of(value: u8) -> Option<Self> {
        use ProposalState as S;
        [S::Pending, S::Active, S::Canceled, S::Defeated, S::Succeeded, S::Queued, S::Expired, S::Executed].get(usize::from(value)).copied()
    }

    /// What its supporters do next.
    pub fn next(self) -> &'static str {
        match self {
            Self::Pending => "wait until voting starts",
            Self::Active => "vote",
            Self::Succeeded => "queue",
            Self::Queued => "execute once the timelock's delay is over",
            Self::Canceled | Self::Defeated | Self::Expired | Self::Executed => "nothing: it is over",
        }
    }
}

/// A proposal on chain.
#[derive(Debug, Clone, Serialize)]
pub struct ProposalView {
    /// Decimal, as block explorers show it.
    pub id: String,
    pub title: String,
    pub description: String,
    pub proposer: Address,
    pub state: ProposalState,
    pub for_wei: Amount,
    pub against_wei: Amount,
    pub abstain_wei: Amount,
    /// Votes for it and abstentions that it needs at its snapshot; zero before that.
    pub quorum_wei: Amount,
    /// Unix seconds.
    pub vote_start: u64,
    pub vote_end: u64,
    /// When it can be executed; zero until it is queued.
    pub executable_at: u64,
    pub actions: Vec<DecodedAction>,
    #[serde(skip)]
    call: ProposalCall,
}

/// What Governance identifies a proposal by.
#[derive(Debug, Clone, Default)]
struct ProposalCall {
    id: U256,
    targets: Vec<Address>,
    values: Vec<U256>,
    calldatas: Vec<Bytes>,
    description_hash: B256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    Against = 0,
    For = 1,
    Abstain = 2,
}

/// Sends a proposal. Each action is tried on the newest block as the timelock would run it, unless `unchecked`.
pub async fn propose(clients: &Clients, proposal: &Proposal, unchecked: bool, mode: Mode) -> Result<(String, Submitted), ClientError> {
    let actions = proposal.encode(&contracts(&clients.book))?;
    let eth = &clients.book.ethereum;
    require_votes(clients).await?;
    if !unchecked {
        for (position, action) in actions.iter().enumerate() {
            let request = TxRequest { to: Some(action.target), data: action.data.clone(), value_wei: U256::ZERO };
            match clients.ethereum.simulate(eth.timelock, &request, BlockId::latest()).await {
                Ok(_) => {}
                Err(ChainError::Reverted { reason, .. }) => {
                    return Err(ClientError::ProposalAction { position: position + 1, reason });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let call = Governance::proposeCall {
        targets: actions.iter().map(|action| action.target).collect(),
        values: vec![U256::ZERO; actions.len()],
        calldatas: actions.iter().map(|action| action.data.clone()).collect(),
        description: proposal.text(),
    };
    let id = Governance::getProposalIdCall {
        targets: call.targets.clone(),
        values: call.values.clone(),
        calldatas: call.calldatas.clone(),
        descriptionHash: keccak256(&call.description),
    };
    let id = clients.ethereum.call(eth.governance, id, BlockId::latest()).await?;
    let submitted = clients.submit(mode, "propose", eth.governance, call).await?;
    Ok((id.to_string(), submitted))
}

/// The contract would say the same only after the proposer paid for finding out.
async fn require_votes(clients: &Clients) -> Result<(), ClientError> {
    let (governance, account) = (clients.book.ethereum.governance, clients.signer.address());
    let now = clients.ethereum.head().await?.timestamp;
    let (threshold, votes) = tokio::try_join!(
        clients.ethereum.call(governance, Governance::proposalThresholdCall {}, BlockId::latest()),
        clients.ethereum.call(governance, Governance::getVotesCall { account, timepoint: U256::from(now - 1) }, BlockId::latest()),
    )?;
    if votes < threshold {
        return Err(ClientError::TooFewVotes { account, votes: Amount(votes), threshold: Amount(threshold) });
    }
    Ok(())
}

/// All proposals, newest first.
pub async fn list(clients: &Clients) -> Result<Vec<ProposalView>, ClientError> {
    let mut found = Vec::new();
    for created in created(clients).await?.into_iter().rev() {
        found.push(view(clients, created).await?);
    }
    Ok(found)
}

/// One proposal, by its id or the first digits of it.
pub async fn find(clients: &Clients, given: &str) -> Result<ProposalView, ClientError> {
    let unknown = || ClientError::UnknownProposal { given: given.into() };
    if given.is_empty() || !given.chars().all(|character| character.is_ascii_digit()) {
        return Err(unknown());
    }
    let mut matching = created(clients).await?;
    matching.retain(|created| created.proposalId.to_string().starts_with(given));
    match (matching.pop(), matching.len()) {
        (Some(only), 0) => view(clients, only).await,
        _ => Err(unknown()),
    }
}

async fn created(clients: &Clients) -> Result<Vec<Governance::ProposalCreated>, ClientError> {
    use alloy::sol_types::SolEvent;
    let eth = &clients.book.ethereum;
    let to = clients.ethereum.head().await?.number;
    let topics = vec![vec![Governance::ProposalCreated::SIGNATURE_HASH]];
    let mut query = LogQuery { addresses: vec![eth.governance], topics, from: eth.start_block, to };
    let mut found = Vec::new();
    while query.from <= to {
        let batch = clients.ethereum.logs(&query).await?;
        found.extend(batch.logs.iter().filter_map(|log| log.decode::<Governance::ProposalCreated>()));
        query.from = batch.covered_to + 1;
    }
    Ok(found)
}

async fn view(clients: &Clients, created: Governance::ProposalCreated) -> Result<ProposalView, ClientError> {
    let (chain, governance, latest) = (&clients.ethereum, clients.book.ethereum.governance, BlockId::latest());
    let id = created.proposalId;
    let (state, votes, deadline, eta) = tokio::try_join!(
        chain.call(governance, Governance::stateCall { proposalId: id }, latest),
        chain.call(governance, Governance::proposalVotesCall { proposalId: id }, latest),
        chain.call(governance, Governance::proposalDeadlineCall { proposalId: id }, latest),
        chain.call(governance, Governance::proposalEtaCall { proposalId: id }, latest),
    )?;
    let state = ProposalState::of(state).ok_or_else(|| ClientError::UnknownProposal { given: id.to_string() })?;
    // The supply at the snapshot is not known before that has passed, also where the proposal was cancelled first.
    let now = U256::from(chain.call(governance, Governance::clockCall {}, latest).await?);
    let quorum = if created.voteStart < now {
        chain.call(governance, Governance::quorumCall { timepoint: created.voteStart }, latest).await?
    } else {
        U256::ZERO
    };
    let known = contracts(&clients.book);
    let calls = created.targets.iter().zip(&created.calldatas);
    let actions = calls.map(|(target, data)| DecodedAction::decode(&known, *target, data)).collect();
    Ok(ProposalView {
        id: id.to_string(),
        title: created.description.lines().next().unwrap_or_default().trim_start_matches('#').trim().to_string(),
        proposer: created.proposer,
        state,
        for_wei: Amount(votes.forVotes),
        against_wei: Amount(votes.againstVotes),
        abstain_wei: Amount(votes.abstainVotes),
        quorum_wei: Amount(quorum),
        vote_start: created.voteStart.saturating_to(),
        vote_end: deadline.saturating_to(),
        executable_at: eta.saturating_to(),
        actions,
        call: ProposalCall {
            id,
            targets: created.targets,
            values: created.values,
            calldatas: created.calldatas,
            description_hash: keccak256(&created.description),
        },
        description: created.description,
    })
}

/// Votes with all that was delegated to the account when voting began.
pub async fn vote(clients: &Clients, proposal: &ProposalView, vote: Vote, reason: &str, mode: Mode) -> Result<Submitted, ClientError> {
    let call = Governance::castVoteWithReasonCall { proposalId: proposal.call.id, support: vote as u8, reason: reason.into() };
    clients.submit(mode, "castVote", clients.book.ethereum.governance, call).await
}

/// Hands a proposal that has succeeded to the timelock.
pub async fn queue(clients: &Clients, proposal: &ProposalView, mode: Mode) -> Result<Submitted, ClientError> {
    let ProposalCall { targets, values, calldatas, description_hash, .. } = proposal.call.clone();
    let call = Governance::queueCall { targets, values, calldatas, descriptionHash: description_hash };
    clients.submit(mode, "queue", clients.book.ethereum.governance, call).await
}

/// Runs a queued proposal whose delay is over; anybody may.
pub async fn execute(clients: &Clients, proposal: &ProposalView, mode: Mode) -> Result<Submitted, ClientError> {
    let ProposalCall { targets, values, calldatas, description_hash, .. } = proposal.call.clone();
    let call = Governance::executeCall { targets, values, calldatas, descriptionHash: description_hash };
    clients.submit(mode, "execute", clients.book.ethereum.governance, call).await
}

/// Withdraws a proposal; its proposer may, before voting begins.
pub async fn cancel(clients: &Clients, proposal: &ProposalView, mode: Mode) -> Result<Submitted, ClientError> {
    let ProposalCall { targets, values, calldatas, description_hash, .. } = proposal.call.clone();
    let call = Governance::cancelCall { targets, values, calldatas, descriptionHash: description_hash };
    clients.submit(mode, "cancel", clients.book.ethereum.governance, call).await
}
