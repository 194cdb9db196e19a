//! Stake behind somebody else's account, and what stakes of any kind earn.

use alloy::primitives::{Address, U256};
use serde::Serialize;

use super::{
    ClientError, Clients, Mode, Submitted,
    stake::{self, Staked},
    token::require_positive,
};
use crate::{
    chain::BlockId,
    types::{
        Amount,
        abi::{StakingPools, TokenDistributor},
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
    let found = chain.call(staking, StakingPools::delegationCall { delegator }, latest).await?;
    let pool = chain.call(staking, StakingPools::poolCall { account: found.account }, latest).await?;
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

/// Delegates `amount` to a provider or King. StakingManager is allowed exactly that much first, where it is not yet.
pub async fn delegate(clients: &Clients, account: Address, amount: Amount, mode: Mode) -> Result<Staked, ClientError> {
    require_positive(amount)?;
    clients.require_tokens("the delegation", amount).await?;
    if let Some(approval) = stake::allow(clients, amount, mode).await? {
        return Ok(Staked::NeedsApproval(approval));
    }
    let call = StakingPools::delegateStakeCall { account, amount: amount.wei() };
    clients.submit(mode, "delegateStake", clients.book.ethereum.staking_manager, call).await.map(Staked::Done)
}

/// Opens the account to delegations, or announces another commission. Returns since when it counts, in Unix seconds; zero: at once.
pub async fn announce_commission(clients: &Clients, bps: u16, mode: Mode) -> Result<(u64, Submitted), ClientError> {
    let call = StakingPools::announceCommissionCall { commissionBps: bps };
    let submitted = clients.submit(mode, "announceCommission", clients.book.ethereum.staking_manager, call).await?;
    let announced = submitted.logs.iter().find_map(|log| log.decode::<StakingPools::CommissionAnnounced>());
    Ok((announced.map_or(0, |event| event.changesAt), submitted))
}

/// Begins to take `amount` of the delegation back; all of it where `amount` is `None`.
pub async fn undelegate(clients: &Clients, amount: Option<Amount>, mode: Mode) -> Result<Submitted, ClientError> {
    let held = delegation(clients, clients.signer.address()).await?;
    let shares = match amount {
        None => U256::from(held.shares),
        Some(amount) if amount > held.delegated_wei => {
            let reason = format!("{amount} GPUTOKEN is more than the {} that are delegated", held.delegated_wei);
            return Err(ClientError::Argument { argument: "amount".into(), reason });
        }
        // Rounded up, so that no less than the amount comes back.
        Some(amount) => shares_for(amount, &held),
    };
    let call = StakingPools::undelegateStakeCall { shares };
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
    let submitted = clients.submit(mode, "withdrawDelegation", staking, StakingPools::withdrawDelegationCall {}).await?;
    let withdrawn = submitted.logs.iter().find_map(|log| log.decode::<StakingPools::DelegationWithdrawn>());
    Ok((withdrawn.map_or(waiting, |event| Amount(event.amount)), submitted))
}

/// What an account may claim from StakingManager and TokenDistributor.
#[derive(Debug, Clone, Serialize)]
pub struct RewardView {
    pub account: Address,
    /// Earned by its own stake, its commission and its delegation.
    pub earned_wei: Amount,
    /// Its shares of slashes, as reporter or wronged renter.
    pub credit_wei: Amount,
    /// Of settled rentals: a provider's rewards and a renter's loyalty.
    pub rentals_wei: Amount,
}

pub async fn rewards(clients: &Clients, account: Address) -> Result<RewardView, ClientError> {
    let (staking, chain, latest) = (clients.book.ethereum.staking_manager, &clients.ethereum, BlockId::latest());
    let (earned, credit, rentals) = tokio::try_join!(
        chain.call(staking, StakingPools::earnedCall { account }, latest),
        chain.call(staking, StakingPools::creditsCall { account }, latest),
        chain.call(clients.book.ethereum.token_distributor, TokenDistributor::creditCall { account }, latest),
    )?;
    Ok(RewardView { account, earned_wei: Amount(earned), credit_wei: Amount(credit), rentals_wei: Amount(rentals) })
}

/// Claims what there is: rewards, credits, and what rentals earned. An error of a later one leaves the earlier ones claimed.
pub async fn claim(clients: &Clients, to: Address, mode: Mode) -> Result<(RewardView, Vec<Submitted>), ClientError> {
    let found = rewards(clients, clients.signer.address()).await?;
    let staking = clients.book.ethereum.staking_manager;
    let mut sent = Vec::new();
    if !found.earned_wei.wei().is_zero() {
        sent.push(clients.submit(mode, "claimRewards", staking, StakingPools::claimRewardsCall { to }).await?);
    }
    if !found.credit_wei.wei().is_zero() {
        sent.push(clients.submit(mode, "claimCredit", staking, StakingPools::claimCreditCall { to }).await?);
    }
    if !found.rentals_wei.wei().is_zero() {
        let distributor = clients.book.ethereum.token_distributor;
        sent.push(clients.submit(mode, "claim", distributor, TokenDistributor::claimCall { to }).await?);
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
