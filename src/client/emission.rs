//! What TokenDistributor mints: the schedule, the share of stakes, rewards of rentals and loyalty.

use serde::Serialize;

use super::{ClientError, Clients, Mode, Submitted};
use crate::{
    chain::BlockId,
    types::{Amount, RentalId, abi::TokenDistributor},
};

/// Length of an epoch of the schedule (`TokenEmission.EPOCH`).
const EPOCH_SECONDS: u64 = 30 * 86_400;

/// Where the schedule stands.
#[derive(Debug, Clone, Serialize)]
pub struct EmissionView {
    /// When the first epoch begins or began, Unix seconds; zero: not set.
    pub start: u64,
    /// Counted from zero; none before the start.
    pub epoch: Option<u64>,
    /// Of the current epoch, or of the first before the start.
    pub budget_wei: Amount,
    /// Of it, the most that rentals settled within the epoch earn.
    pub rentals_wei: Amount,
    /// Rewards of stakes and rentals so far, minted or not.
    pub emitted_wei: Amount,
    /// Protocol fees that came in so far, and what was burned of them.
    pub fees_wei: Amount,
    pub burned_wei: Amount,
    pub provider_staking_bps: u16,
    pub queen_staking_bps: u16,
    pub king_staking_bps: u16,
    /// Most of a rental's fee that its provider is rewarded with.
    pub provider_fee_bps: u16,
    pub loyalty: Vec<LoyaltyTier>,
    /// Fees that this account's settled rentals paid within the epoch.
    pub own_fees_wei: Amount,
}

/// Of a renter's fees within an epoch, the part above `fees_wei` earns `reward_bps` of itself.
#[derive(Debug, Clone, Serialize)]
pub struct LoyaltyTier {
    pub fees_wei: Amount,
    pub reward_bps: u16,
}

pub async fn emission(clients: &Clients) -> Result<EmissionView, ClientError> {
    let (distributor, chain, latest) = (clients.book.ethereum.token_distributor, &clients.ethereum, BlockId::latest());
    let now = chain.head().await?.timestamp;
    let schedule = chain.call(distributor, TokenDistributor::emissionCall {}, latest).await?;
    let epoch = (schedule.start != 0 && now >= schedule.start).then(|| (now - schedule.start) / EPOCH_SECONDS);
    let of_epoch = TokenDistributor::budgetOfCall { epoch: alloy::primitives::U256::from(epoch.unwrap_or(0)) };
    let own = TokenDistributor::loyaltyOfCall { renter: clients.signer.address() };
    let (budget, emitted, fees, burned, shares, own_fees) = tokio::try_join!(
        chain.call(distributor, of_epoch, latest),
        chain.call(distributor, TokenDistributor::emittedCall {}, latest),
        chain.call(distributor, TokenDistributor::feesReceivedCall {}, latest),
        chain.call(distributor, TokenDistributor::totalBurnedCall {}, latest),
        chain.call(distributor, TokenDistributor::rewardParametersCall {}, latest),
        chain.call(distributor, own, latest),
    )?;
    let wei = |value: u128| Amount(alloy::primitives::U256::from(value));
    Ok(EmissionView {
        start: schedule.start,
        epoch,
        budget_wei: Amount(budget.budget),
        rentals_wei: Amount(budget.forRentals),
        emitted_wei: Amount(emitted),
        fees_wei: Amount(fees),
        burned_wei: Amount(burned),
        provider_staking_bps: shares.parameters.providerStakingBps,
        queen_staking_bps: shares.parameters.queenStakingBps,
        king_staking_bps: shares.parameters.kingStakingBps,
        provider_fee_bps: shares.parameters.providerFeeBps,
        loyalty: shares.loyalty.iter().map(|tier| LoyaltyTier { fees_wei: wei(tier.fees), reward_bps: tier.rewardBps }).collect(),
        own_fees_wei: Amount(own_fees),
    })
}

/// Mints what has accrued for stakes of all roles and hands it to StakingManager; anybody may ask for it.
pub async fn distribute(clients: &Clients, mode: Mode) -> Result<Submitted, ClientError> {
    let distributor = clients.book.ethereum.token_distributor;
    clients.submit(mode, "distributeStaking", distributor, TokenDistributor::distributeStakingCall {}).await
}

/// Credits provider and renter of a closed rental, once; anybody may ask for it.
pub async fn settle(clients: &Clients, rental: RentalId, mode: Mode) -> Result<(Option<(Amount, Amount)>, Submitted), ClientError> {
    let call = TokenDistributor::settleRentalCall { rentalId: rental };
    let submitted = clients.submit(mode, "settleRental", clients.book.ethereum.token_distributor, call).await?;
    let credited = submitted.logs.iter().find_map(|log| log.decode::<TokenDistributor::RentalRewarded>());
    Ok((credited.map(|event| (Amount(event.reward), Amount(event.loyalty))), submitted))
}
