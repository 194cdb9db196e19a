//! GPUTOKEN in an account's hands: balance, votes, transfers, allowances, the faucet of test networks.

use alloy::primitives::{Address, U256};
use serde::Serialize;

use super::{ClientError, Clients, Mode, Submitted};
use crate::{
    chain::BlockId,
    types::{
        Amount,
        abi::{Faucet, GPUToken},
    },
};

/// What an account holds.
#[derive(Debug, Clone, Serialize)]
pub struct TokenAccount {
    pub account: Address,
    pub balance_wei: Amount,
    /// Votes that count for the account now, its own and those delegated to it.
    pub votes_wei: Amount,
    /// Whom its own tokens vote through; zero where they don't vote.
    pub delegate: Address,
    /// Coins for gas, wei.
    pub ethereum_wei: Amount,
    pub classic_wei: Amount,
}

pub async fn balance(clients: &Clients, account: Address) -> Result<TokenAccount, ClientError> {
    let (token, chain, latest) = (clients.book.ethereum.gpu_token, &clients.ethereum, BlockId::latest());
    let (balance, votes, delegate) = tokio::try_join!(
        chain.call(token, GPUToken::balanceOfCall { account }, latest),
        chain.call(token, GPUToken::getVotesCall { account }, latest),
        chain.call(token, GPUToken::delegatesCall { account }, latest),
    )?;
    let (ethereum, classic) = tokio::try_join!(clients.ethereum.balance(account), clients.classic.balance(account))?;
    Ok(TokenAccount {
        account,
        balance_wei: Amount(balance),
        votes_wei: Amount(votes),
        delegate,
        ethereum_wei: Amount(ethereum),
        classic_wei: Amount(classic),
    })
}

/// Tokens sent to one of the market's own contracts would be lost: refused.
pub async fn transfer(clients: &Clients, to: Address, amount: Amount, mode: Mode) -> Result<Submitted, ClientError> {
    let refuse = |reason: &str| Err(ClientError::Argument { argument: "to".into(), reason: reason.into() });
    if to.is_zero() {
        return refuse("the zero address: nobody could ever use the tokens");
    }
    if own_contracts(clients).contains(&to) {
        return refuse("a contract of this market: it would not know whose tokens they are; use its own commands");
    }
    require_positive(amount)?;
    clients.require_tokens("the transfer", amount).await?;
    clients.submit(mode, "transfer", clients.book.ethereum.gpu_token, GPUToken::transferCall { to, value: amount.wei() }).await
}

/// Lets `spender` take up to `amount`; zero takes the permission back.
pub async fn approve(clients: &Clients, spender: Address, amount: Amount, mode: Mode) -> Result<Submitted, ClientError> {
    let call = GPUToken::approveCall { spender, value: amount.wei() };
    clients.submit(mode, "approve", clients.book.ethereum.gpu_token, call).await
}

/// Votes of all the account's tokens go to `delegatee` from now on.
pub async fn delegate(clients: &Clients, delegatee: Address, mode: Mode) -> Result<Submitted, ClientError> {
    clients.submit(mode, "delegate", clients.book.ethereum.gpu_token, GPUToken::delegateCall { delegatee }).await
}

/// What the faucet would give, and when.
#[derive(Debug, Clone, Serialize)]
pub struct FaucetOffer {
    pub faucet: Address,
    pub amount_wei: Amount,
    pub left_today_wei: Amount,
    /// Unix seconds; in the past where the account may ask now.
    pub next_at: u64,
}

pub async fn faucet_offer(clients: &Clients, account: Address) -> Result<FaucetOffer, ClientError> {
    let faucet = clients.book.ethereum.faucet.ok_or(ClientError::NoFaucet { chain_id: clients.ethereum.chain_id() })?;
    let (chain, latest) = (&clients.ethereum, BlockId::latest());
    let (amount, left, next) = tokio::try_join!(
        chain.call(faucet, Faucet::amountCall {}, latest),
        chain.call(faucet, Faucet::leftTodayCall {}, latest),
        chain.call(faucet, Faucet::nextAtCall { account }, latest),
    )?;
    Ok(FaucetOffer { faucet, amount_wei: Amount(amount), left_today_wei: Amount(left), next_at: next.saturating_to() })
}

pub async fn request_from_faucet(clients: &Clients, mode: Mode) -> Result<(FaucetOffer, Submitted), ClientError> {
    let offer = faucet_offer(clients, clients.signer.address()).await?;
    let submitted = clients.submit(mode, "request", offer.faucet, Faucet::requestCall {}).await?;
    Ok((offer, submitted))
}

pub(super) fn require_positive(amount: Amount) -> Result<(), ClientError> {
    let zero = || ClientError::Argument { argument: "amount".into(), reason: "zero".into() };
    if amount.wei() == U256::ZERO { Err(zero()) } else { Ok(()) }
}

fn own_contracts(clients: &Clients) -> Vec<Address> {
    super::gov::contracts(&clients.book).into_iter().map(|contract| contract.address).chain([clients.book.ethereum.bridge.inbox]).collect()
}
