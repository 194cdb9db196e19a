//! Genesis allocations and what has vested of them.

use alloy::primitives::{Address, U256};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{ClientError, Clients, Mode, Submitted};
use crate::{
    chain::BlockId,
    types::{Amount, abi::TokenDistributor},
};

/// Reads under way at once.
const CONCURRENT_READS: usize = 8;

/// One allocation.
#[derive(Debug, Clone, Serialize)]
pub struct VestingView {
    pub id: u64,
    pub beneficiary: Address,
    pub amount_wei: Amount,
    /// Unix seconds.
    pub start: u64,
    pub cliff_seconds: u64,
    pub duration_seconds: u64,
    pub is_revocable: bool,
    /// Zero unless revoked; vesting stopped there.
    pub revoked_at: u64,
    pub vested_wei: Amount,
    pub released_wei: Amount,
    /// Vested and not released: what `release` pays now.
    pub releasable_wei: Amount,
}

/// All allocations, or those of one beneficiary.
pub async fn list(clients: &Clients, beneficiary: Option<Address>) -> Result<Vec<VestingView>, ClientError> {
    let distributor = clients.book.ethereum.token_distributor;
    let count = clients.ethereum.call(distributor, TokenDistributor::allocationCountCall {}, BlockId::latest()).await?;
    let now = clients.ethereum.head().await?.timestamp;
    let reads = stream::iter(0..count.saturating_to::<u64>()).map(|id| read(clients, id, now)).buffered(CONCURRENT_READS);
    let found: Vec<VestingView> = reads.try_collect().await?;
    Ok(found.into_iter().filter(|vesting| beneficiary.is_none_or(|wanted| vesting.beneficiary == wanted)).collect())
}

async fn read(clients: &Clients, id: u64, now: u64) -> Result<VestingView, ClientError> {
    let distributor = clients.book.ethereum.token_distributor;
    let (vesting, vested) = tokio::try_join!(
        clients.ethereum.call(distributor, TokenDistributor::vestingCall { id: U256::from(id) }, BlockId::latest()),
        clients.ethereum.call(distributor, TokenDistributor::vestedAtCall { id: U256::from(id), time: now }, BlockId::latest()),
    )?;
    let released = U256::from(vesting.released);
    let allocation = vesting.allocation;
    Ok(VestingView {
        id,
        beneficiary: allocation.beneficiary,
        amount_wei: Amount(U256::from(allocation.amount)),
        start: allocation.start,
        cliff_seconds: allocation.cliff,
        duration_seconds: allocation.duration,
        is_revocable: allocation.revocable,
        revoked_at: vesting.revokedAt,
        vested_wei: Amount(vested),
        released_wei: Amount(released),
        releasable_wei: Amount(vested.saturating_sub(released)),
    })
}

/// Pays the beneficiary what has vested; anybody may ask for it.
pub async fn release(clients: &Clients, id: u64, mode: Mode) -> Result<(Amount, Submitted), ClientError> {
    let call = TokenDistributor::releaseCall { id: U256::from(id) };
    let submitted = clients.submit(mode, "release", clients.book.ethereum.token_distributor, call).await?;
    let released = submitted.logs.iter().find_map(|log| log.decode::<TokenDistributor::Released>());
    let amount = match released {
        Some(event) => Amount(event.amount),
        None => read(clients, id, clients.ethereum.head().await?.timestamp).await?.releasable_wei,
    };
    Ok((amount, submitted))
}
