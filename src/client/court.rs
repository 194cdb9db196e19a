//! Cases about rentals: complaints of renters, doors that providers ask Queens to try, votes, and what ends a case without one.

use std::path::Path;

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::{SolCall, SolError},
};
use serde::Serialize;

use super::{ClientError, Clients};
use crate::{
    chain::{BlockId, ChainError, Receipt, TxRequest},
    types::{
        Amount, RentalId,
        abi::{GPUToken, RentalCourt},
    },
};

/// Largest file of evidence: Queens have to read it.
const MAX_EVIDENCE_BYTES: u64 = 16 << 20;

/// A case as the contract keeps it.
#[derive(Debug, Clone, Serialize)]
pub struct CaseView {
    pub case: u64,
    pub rental: RentalId,
    /// `complaint` or `reachability`.
    pub kind: &'static str,
    pub status: &'static str,
    pub opener: Address,
    /// Unix seconds.
    pub opened_at: u64,
    pub verdict_until: u64,
    /// Block whose hash draws the committee.
    pub draw_block: u64,
    pub bond_wei: Amount,
    pub judge_fee_wei: Amount,
    pub upheld_votes: u8,
    pub rejected_votes: u8,
    /// keccak256 of what the renter shows the committee.
    pub evidence: B256,
    pub committee: Vec<Address>,
}

pub(super) fn status_name(status: u8) -> &'static str {
    match status {
        1 => "open",
        2 => "upheld",
        3 => "rejected",
        4 => "expired",
        _ => "unknown",
    }
}

/// What a complaint costs for now.
pub async fn bond(clients: &Clients) -> Result<Amount, ClientError> {
    let parameters = clients.ethereum.call(clients.book.ethereum.rental_court, RentalCourt::parametersCall {}, BlockId::latest()).await?;
    Ok(Amount(U256::from(parameters.bond)))
}

/// Hash of a file of evidence. The file itself goes to the Queens of the committee, who compare the hash.
pub fn evidence_hash(path: &Path) -> Result<B256, ClientError> {
    let failed = |source| ClientError::File { path: path.into(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_EVIDENCE_BYTES {
        let reason = format!("larger than {MAX_EVIDENCE_BYTES} bytes");
        return Err(ClientError::Argument { argument: "--evidence".into(), reason });
    }
    Ok(keccak256(std::fs::read(path).map_err(failed)?))
}

/// Renter or delegate: freezes the money for the time from now on. Takes the bond.
pub async fn complain(clients: &Clients, rental: RentalId, evidence: B256) -> Result<(u64, Receipt), ClientError> {
    open(clients, bond(clients).await?, RentalCourt::complainCall { rentalId: rental, evidence }, "complain").await
}

/// Provider of a rental whose renter never came: asks Queens to try the door. Takes the judges' fee.
pub async fn request_witness(clients: &Clients, rental: RentalId) -> Result<(u64, Receipt), ClientError> {
    let court = clients.book.ethereum.rental_court;
    let parameters = clients.ethereum.call(court, RentalCourt::parametersCall {}, BlockId::latest()).await?;
    let fee = Amount(U256::from(parameters.judgeFee));
    open(clients, fee, RentalCourt::requestWitnessCall { rentalId: rental }, "requestWitness").await
}

async fn open<C: SolCall>(clients: &Clients, cost: Amount, call: C, label: &'static str) -> Result<(u64, Receipt), ClientError> {
    clients.require_tokens("the case", cost).await?;
    let court = clients.book.ethereum.rental_court;
    require_acceptable(clients, TxRequest::call(court, call.abi_encode())).await?;
    approve(clients, court, cost).await?;
    let receipt = clients.ethereum_wallet().send(label, court, call).await?;
    let event = receipt.logs.iter().find_map(|log| log.decode::<RentalCourt::CaseOpened>());
    let none = || ClientError::Argument { argument: "RENTAL".into(), reason: "no case was opened".into() };
    let case = event.and_then(|event| u64::try_from(event.caseId).ok()).ok_or_else(none)?;
    Ok((case, receipt))
}

/// The court takes the money last: whatever else it would refuse shows before anything is sent.
async fn require_acceptable(clients: &Clients, request: TxRequest) -> Result<(), ClientError> {
    match clients.ethereum.simulate(clients.signer.address(), &request, BlockId::latest()).await {
        Err(ChainError::Reverted { data, .. }) if data.starts_with(&GPUToken::ERC20InsufficientAllowance::SELECTOR) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// Lets `spender` take `amount`, and not more, where it may not yet.
async fn approve(clients: &Clients, spender: Address, amount: Amount) -> Result<(), ClientError> {
    let token = clients.book.ethereum.gpu_token;
    let call = GPUToken::allowanceCall { owner: clients.signer.address(), spender };
    if clients.ethereum.call(token, call, BlockId::latest()).await? < amount.wei() {
        clients.ethereum_wallet().send("approve", token, GPUToken::approveCall { spender, value: amount.wei() }).await?;
    }
    Ok(())
}

/// Anybody: names the committee once the block that draws it is there.
pub async fn draw(clients: &Clients, case: u64) -> Result<Receipt, ClientError> {
    send(clients, "draw", RentalCourt::drawCall { caseId: U256::from(case) }).await
}

/// A Queen of the committee.
pub async fn vote(clients: &Clients, case: u64, upheld: bool) -> Result<Receipt, ClientError> {
    send(clients, "vote", RentalCourt::voteCall { caseId: U256::from(case), upheld }).await
}

/// Anybody: ends a case whose time for a verdict is over, or that has lost its object.
pub async fn expire(clients: &Clients, case: u64) -> Result<Receipt, ClientError> {
    send(clients, "expire", RentalCourt::expireCall { caseId: U256::from(case) }).await
}

/// Pays out bonds and fees that cases have credited to this account.
pub async fn claim(clients: &Clients, to: Address) -> Result<Receipt, ClientError> {
    send(clients, "claim", RentalCourt::claimCall { to }).await
}

async fn send<C: SolCall>(clients: &Clients, label: &'static str, call: C) -> Result<Receipt, ClientError> {
    clients.ethereum_wallet().send(label, clients.book.ethereum.rental_court, call).await
}

pub async fn case(clients: &Clients, case: u64) -> Result<CaseView, ClientError> {
    let call = RentalCourt::caseOfCall { caseId: U256::from(case) };
    let found = clients.ethereum.call(clients.book.ethereum.rental_court, call, BlockId::latest()).await?;
    Ok(CaseView {
        case,
        rental: found.rentalId,
        kind: if found.kind == 1 { "complaint" } else { "reachability" },
        status: status_name(found.status),
        opener: found.opener,
        opened_at: found.openedAt,
        verdict_until: found.verdictUntil,
        draw_block: found.drawBlock,
        bond_wei: Amount(U256::from(found.bond)),
        judge_fee_wei: Amount(U256::from(found.judgeFee)),
        upheld_votes: found.ayes,
        rejected_votes: found.nays,
        evidence: found.evidence,
        committee: found.committee,
    })
}

/// The newest `limit` cases, newest first; of one rental, or of all.
pub async fn cases(clients: &Clients, rental: Option<RentalId>, limit: usize) -> Result<Vec<CaseView>, ClientError> {
    let count = clients.ethereum.call(clients.book.ethereum.rental_court, RentalCourt::caseCountCall {}, BlockId::latest()).await?;
    let mut found = Vec::new();
    for id in (1..=u64::try_from(count).unwrap_or(u64::MAX)).rev() {
        let view = case(clients, id).await?;
        if rental.is_none_or(|rental| view.rental == rental) {
            found.push(view);
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}
