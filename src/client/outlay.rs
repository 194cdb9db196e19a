//! What proving a device costs on Ethereum Classic: coins for gas, which GPUTOKEN does not pay.

use std::sync::LazyLock;

use alloy::primitives::{Address, U256};
use serde::Serialize;

use super::{ClientError, Clients};
use crate::{
    chain::BlockId,
    types::{Amount, abi::WorkVerification},
};

/// Measured gas by action, as the contracts' own tests keep it.
static MEASURED: LazyLock<serde_json::Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/contracts/snapshots/gas.json"))).unwrap_or_default()
});
/// Blocks that the chain's pace is taken from. Few follow a mood, many lag behind a change.
const PACE_BLOCKS: u64 = 1_000;
const DAY_SECONDS: u64 = 86_400;

/// Gas of one device on Ethereum Classic at today's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outlay {
    pub account: Address,
    pub gas_price_wei: Amount,
    pub challenges_per_day: u64,
    /// On average, the share of challenges that are drawn for a proof included.
    pub gas_per_challenge: u64,
    pub per_day_wei: Amount,
    pub balance_wei: Amount,
}

impl Outlay {
    /// Days that the balance lasts; `None` where gas is free.
    pub fn days(&self) -> Option<u64> {
        let per_day = self.per_day_wei.wei();
        (!per_day.is_zero()).then(|| (self.balance_wei.wei() / per_day).saturating_to())
    }
}

/// For a device whose worker is `account`.
pub async fn outlay(clients: &Clients, account: Address) -> Result<Outlay, ClientError> {
    let chain = &clients.classic;
    let parameters = chain.call(clients.book.classic.work_verification, WorkVerification::parametersCall {}, BlockId::latest()).await?;
    let head = chain.head().await?;
    let earlier = chain.block(head.number.saturating_sub(PACE_BLOCKS)).await?;
    let price = chain.fee().await?.max_per_gas_wei();
    let balance_wei = Amount(chain.balance(account).await?);
    let blocks = (head.number - earlier.number).max(1);
    let interval_blocks = parameters.beaconSpacing.saturating_add(parameters.beaconPeriod).saturating_sub(1).max(1);
    let interval_seconds = (head.timestamp - earlier.timestamp).max(1).saturating_mul(interval_blocks).div_ceil(blocks).max(1);
    let gas_per_challenge = gas_per_challenge(parameters.proofRate, parameters.proofSamples);
    let challenges_per_day = DAY_SECONDS / interval_seconds;
    let gas_per_day = U256::from(gas_per_challenge) * U256::from(challenges_per_day);
    Ok(Outlay {
        account,
        gas_price_wei: Amount(U256::from(price)),
        challenges_per_day,
        gas_per_challenge,
        per_day_wei: Amount(gas_per_day * U256::from(price)),
        balance_wei,
    })
}

/// A commit and a report each time, a proof of `samples` once in `rate` times: a fold and two segments per sample, at the largest sizes.
fn gas_per_challenge(rate: u32, samples: u32) -> u64 {
    let gas = |action: &str| MEASURED[action].as_u64().unwrap_or_default();
    let sample = gas("matmul_fold_k16384") + 2 * gas("memory_segment_256_r4");
    gas("commit_3_receipts") + gas("report_device") + sample * u64::from(samples) / u64::from(rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_paid_for_as_often_as_they_are_drawn() {
        let always = gas_per_challenge(1, 1);
        let seldom = gas_per_challenge(16, 1);
        assert!(seldom > 200_000 && always > seldom + 1_000_000, "{seldom} {always}");
        assert_eq!(gas_per_challenge(16, 16), always);
    }

    #[test]
    fn a_balance_lasts_for_whole_days() {
        let wei = |wei: u64| Amount(U256::from(wei));
        let outlay = Outlay {
            account: Address::ZERO,
            gas_price_wei: wei(1),
            challenges_per_day: 2,
            gas_per_challenge: 5,
            per_day_wei: wei(10),
            balance_wei: wei(39),
        };
        assert_eq!(outlay.days(), Some(3));
        assert_eq!(Outlay { per_day_wei: wei(0), ..outlay }.days(), None);
    }
}
