//! Ways out that are not part of an ordinary rental: credits that a veto holds back, and a provider's gas fund.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, U256},
    sol_types::SolEvent,
};
use serde::Serialize;

use super::{ClientError, Clients, evidence};
use crate::{
    chain::{BlockId, LogQuery, Receipt},
    types::{
        Amount,
        abi::{GPURental, WorkVerification},
    },
};

/// Credit of large reports that Kings and Governance have time to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Delayed {
    /// Unix seconds.
    pub available_at: u64,
    pub amount_wei: Amount,
}

/// What is held back from `account`, earliest first.
pub async fn delayed(clients: &Clients, account: Address) -> Result<Vec<Delayed>, ClientError> {
    let contract = clients.book.ethereum.gpu_rental;
    let topics = vec![vec![GPURental::CreditDelayed::SIGNATURE_HASH], vec![account.into_word()]];
    let from = clients.book.ethereum.start_block;
    let logs = evidence::all_logs(&clients.ethereum, LogQuery { addresses: vec![contract], topics, from, to: 0 }).await?;
    let times: BTreeSet<u64> = logs.iter().filter_map(|log| Some(log.decode::<GPURental::CreditDelayed>()?.availableAt)).collect();
    let mut found = Vec::new();
    for available_at in times {
        let call = GPURental::delayedCreditCall { account, availableAt: available_at };
        let amount = clients.ethereum.call(contract, call, BlockId::latest()).await?;
        if !amount.is_zero() {
            found.push(Delayed { available_at, amount_wei: Amount(amount) });
        }
    }
    Ok(found)
}

/// Anybody: makes what has waited long enough claimable; what was released, and what still waits.
pub async fn release(clients: &Clients, account: Address) -> Result<(Vec<Delayed>, Vec<Delayed>), ClientError> {
    let now = clients.ethereum.head().await?.timestamp;
    let (due, waiting): (Vec<Delayed>, Vec<Delayed>) =
        delayed(clients, account).await?.into_iter().partition(|delayed| delayed.available_at <= now);
    for delayed in &due {
        let call = GPURental::releaseDelayedCall { account, availableAt: delayed.available_at };
        clients.ethereum_wallet().send("releaseDelayed", clients.book.ethereum.gpu_rental, call).await?;
    }
    Ok((due, waiting))
}

/// Takes what is left of the key's gas fund on Ethereum Classic.
pub async fn withdraw_fund(clients: &Clients, to: Address) -> Result<(U256, Receipt), ClientError> {
    let contract = clients.book.classic.work_verification;
    let call = WorkVerification::fundOfCall { account: clients.signer.address() };
    let held = clients.classic.call(contract, call, BlockId::latest()).await?;
    if held.is_zero() {
        return Err(ClientError::Argument { argument: "keys.operator".into(), reason: "its gas fund is empty".into() });
    }
    let call = WorkVerification::withdrawCall { to, amount: held };
    Ok((held, clients.classic_wallet().send("withdraw", contract, call).await?))
}
