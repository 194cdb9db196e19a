//! Stake behind somebody else's account, and what stakes of any kind earn.

use alloy::primitives::{Address, U256};
use serde::Serialize;

use super::{ClientError, Clients, Mode, Submitted, token::require_positive};
use crate::{
    chain::BlockId,
    types::{
        Amount,
        abi::{GPUToken, StakingManager},
    },
};

/// What an account has delegated.
#[derive(Debug, Clone, Serialize)]
pub struct DelegationView {
    pub delegator: Address,
    /// Whose stake it backs; zero without a delegation.
    pub account: Address,
    /// Worth of its shares now: rewards are paid apart from it, slashes reduce it.
    pub delegated_wei: Amount,
    /// Stays slashable until `unbonds_at` (Unix seconds).
    pub unbonding_wei: Amount,
    pub unbonds_at: u64,
    #[serde(skip)]
    shares: u128,
}

pub async fn delegation(clients: &Clients, delegator: Address) -> Result<DelegationView, ClientError> {
    let (staking, chain, latest) = (clients.book.ethereum.staking_manager, &clients.ethereum, BlockId::latest());
    let found = chain.call(staking, StakingManager::delegationCall { delegator }, latest).await?;
    let pool = chain.call(staking, StakingManager::poolCall { account: found.account }, latest).await?;
    let worth = |shares: u128| Amount(worth_of(shares, pool.total, pool.shares));
    Ok(DelegationView {
        delegator,
        account: found.account,
        delegated_wei: worth(found.shares),
        unbonding_wei: worth(found.unbondingShares),
        unbonds_at: found.unbondsAt,
        shares: found.shares,
    })
}

fn worth_of(shares: u128, total: u128, all: u128) -> U256 {
    if all == 0 { U256::ZERO } else { U256::from(shares) * U256::from(total) / U256::from(all) }
}

/// Whether a delegation is sent, or its allowance is still missing.
#[derive(Debug, Clone)]
pub enum Delegated {
    Done(Submitted),
    /// Of a dry run: what would be sent first. The delegation itself can't be simulated before it.
    NeedsApproval(Submitted),
}

/// Delegates `amount` to a provider or King. StakingManager is allowed exactly that much first, where it is not yet.
pub async fn delegate(clients: &Clients, account: Address, amount: Amount, mode: Mode) -> Result<Delegated, ClientError> {
    require_positive(amount)?;
    clients.require_tokens("the delegation", amount).await?;
    let eth = &clients.book.ethereum;
    let allowance = GPUToken::allowanceCall { owner: clients.signer.address(), spender: eth.staking_manager };
    if clients.ethereum.call(eth.gpu_token, allowance, BlockId::latest()).await? < amount.wei() {
        let approved = super::token::approve(clients, eth.staking_manager, amount, mode).await?;
        if mode == Mode::DryRun {
            return Ok(Delegated::NeedsApproval(approved));
        }
    }
    let call = StakingManager::delegateStakeCall { account, amount: amount.wei() };
    clients.submit(mode, "delegateStake", eth.staking_manager, call).await.map(Delegated::Done)
}

/// Begins to take `amount` of the delegation back; all of it where `amount` is `None`.
pub async fn undelegate(clients: &Clients, amount: Option<Amount>, mode: Mode) -> Result<Submitted, ClientError> {
    let held = delegation(clients, clients.signer.address()).await?;
    let shares = match amount {
        None => U256::from(held.shares),
        Some(amount) if amount > held.delegated_wei => {
            let (what, account, balance) = ("taking it back", held.delegator, held.delegated_wei);
            return Err(ClientError::InsufficientTokens { what, account, cost: amount, balance });
        }
        // Rounded up, so that no less than the amount comes back.
        Some(amount) => shares_for(amount, &held),
    };
    let call = StakingManager::undelegateStakeCall { shares };
    clients.submit(mode, "undelegateStake", clients.book.ethereum.staking_manager, call).await
}

fn shares_for(amount: Amount, held: &DelegationView) -> U256 {
    let worth = held.delegated_wei.wei();
    if worth.is_zero() { U256::ZERO } else { (amount.wei() * U256::from(held.shares)).div_ceil(worth).min(U256::from(held.shares)) }
}

/// Takes out what has unbonded of a delegation.
pub async fn withdraw(clients: &Clients, mode: Mode) -> Result<(Amount, Submitted), ClientError> {
    let waiting = delegation(clients, clients.signer.address()).await?.unbonding_wei;
    let staking = clients.book.ethereum.staking_manager;
    let submitted = clients.submit(mode, "withdrawDelegation", staking, StakingManager::withdrawDelegationCall {}).await?;
    let withdrawn = submitted.logs.iter().find_map(|log| log.decode::<StakingManager::DelegationWithdrawn>());
    Ok((withdrawn.map_or(waiting, |event| Amount(event.amount)), submitted))
}

/// What an account may claim from StakingManager.
#[derive(Debug, Clone, Serialize)]
pub struct RewardView {
    pub account: Address,
    /// Earned by its own stake, its commission and its delegation.
    pub earned_wei: Amount,
    /// Its shares of slashes, as reporter or wronged renter.
    pub credit_wei: Amount,
}

pub async fn rewards(clients: &Clients, account: Address) -> Result<RewardView, ClientError> {
    let (staking, chain, latest) = (clients.book.ethereum.staking_manager, &clients.ethereum, BlockId::latest());
    let (earned, credit) = tokio::try_join!(
        chain.call(staking, StakingManager::earnedCall { account }, latest),
        chain.call(staking, StakingManager::creditsCall { account }, latest),
    )?;
    Ok(RewardView { account, earned_wei: Amount(earned), credit_wei: Amount(credit) })
}

/// Claims what there is: rewards, then credits. An error of the second leaves the first claimed.
pub async fn claim(clients: &Clients, to: Address, mode: Mode) -> Result<(RewardView, Vec<Submitted>), ClientError> {
    let found = rewards(clients, clients.signer.address()).await?;
    let staking = clients.book.ethereum.staking_manager;
    let mut sent = Vec::new();
    if !found.earned_wei.wei().is_zero() {
        sent.push(clients.submit(mode, "claimRewards", staking, StakingManager::claimRewardsCall { to }).await?);
    }
    if !found.credit_wei.wei().is_zero() {
        sent.push(clients.submit(mode, "claimCredit", staking, StakingManager::claimCreditCall { to }).await?);
    }
    Ok((found, sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_up_and_never_beyond_what_is_held() {
        let held = |worth: u64, shares| DelegationView {
            delegator: Address::ZERO,
            account: Address::ZERO,
            delegated_wei: Amount(U256::from(worth)),
            unbonding_wei: Amount::default(),
            unbonds_at: 0,
            shares,
        };
        let wei = |wei: u64| Amount(U256::from(wei));
        assert_eq!(shares_for(wei(10), &held(20, 10)), U256::from(5));
        assert_eq!(shares_for(wei(11), &held(20, 10)), U256::from(6));
        assert_eq!(shares_for(wei(20), &held(20, 10)), U256::from(10));
        assert_eq!(shares_for(wei(1), &held(0, 10)), U256::ZERO, "slashed to nothing");
        assert_eq!((worth_of(3, 10, 4), worth_of(3, 10, 0)), (U256::from(7), U256::ZERO));
    }
}
