//! Stakes, devices and offers.

use alloy::primitives::{Address, B256, U256, keccak256};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{ClientError, Clients, Mode, Submitted, market::word_of, token::require_positive};
use crate::{
    chain::{BlockId, Receipt},
    types::{
        Amount, DeviceId, OfferId, Role,
        abi::{GPURental, GPUToken, StakingManager},
    },
};

/// Reads under way at once.
const CONCURRENT_READS: usize = 8;
/// Time a permit stays valid; the transaction follows at once.
const PERMIT_SECONDS: u64 = 1_200;

/// Stakes `amount` for `role`; `operator` signs for the account from then on.
pub async fn stake(
    clients: &Clients,
    role: Role,
    amount: Amount,
    operator: Address,
    peer_id: &[u8],
    mode: Mode,
) -> Result<Submitted, ClientError> {
    require_positive(amount)?;
    let staking = clients.book.ethereum.staking_manager;
    let wallet = clients.ethereum_wallet();
    clients.require_tokens("the stake", amount).await?;
    let deadline = clients.ethereum.head().await?.timestamp + PERMIT_SECONDS;
    let permit = wallet.permit(clients.book.ethereum.gpu_token, staking, amount.wei(), deadline).await?;
    let call = StakingManager::stakeWithPermitCall {
        role: role as u8,
        amount: amount.wei(),
        operator,
        peerIdHash: if peer_id.is_empty() { B256::ZERO } else { keccak256(peer_id) },
        deadline: permit.deadline,
        v: permit.v,
        r: permit.r,
        s: permit.s,
    };
    clients.submit(mode, "stake", staking, call).await
}

/// What a staker has at stake.
#[derive(Debug, Clone, Serialize)]
pub struct StakeView {
    pub account: Address,
    /// `none` for an account that stakes nothing.
    pub role: &'static str,
    pub operator: Address,
    pub staked_wei: Amount,
    /// Of the stake, what devices lock.
    pub locked_wei: Amount,
    /// Stays slashable until `unbonds_at` (Unix seconds); then it can be withdrawn.
    pub unbonding_wei: Amount,
    pub unbonds_at: u64,
}

pub async fn staker(clients: &Clients, account: Address) -> Result<StakeView, ClientError> {
    let call = StakingManager::stakerCall { account };
    let found = clients.ethereum.call(clients.book.ethereum.staking_manager, call, BlockId::latest()).await?;
    let wei = |value: u128| Amount(U256::from(value));
    Ok(StakeView {
        account,
        role: ["none", "provider", "queen", "king"].get(usize::from(found.role)).copied().unwrap_or("unknown"),
        operator: found.operator,
        staked_wei: wei(found.staked),
        locked_wei: wei(found.locked),
        unbonding_wei: wei(found.unbonding),
        unbonds_at: found.unbondsAt,
    })
}

/// Whether something that takes an allowance is sent, or its allowance is still missing.
#[derive(Debug, Clone)]
pub enum Staked {
    Done(Submitted),
    /// Of a dry run: what would be sent first. The rest can't be simulated before it.
    NeedsApproval(Submitted),
}

/// Allows StakingManager exactly `amount`, where it may not take that much yet. What a dry run would send is returned.
pub(super) async fn allow(clients: &Clients, amount: Amount, mode: Mode) -> Result<Option<Submitted>, ClientError> {
    let eth = &clients.book.ethereum;
    let allowance = GPUToken::allowanceCall { owner: clients.signer.address(), spender: eth.staking_manager };
    if clients.ethereum.call(eth.gpu_token, allowance, BlockId::latest()).await? >= amount.wei() {
        return Ok(None);
    }
    let approved = super::token::approve(clients, eth.staking_manager, amount, mode).await?;
    Ok((mode == Mode::DryRun).then_some(approved))
}

/// Adds to one's own stake; role and keys stay as they are.
pub async fn add(clients: &Clients, amount: Amount, mode: Mode) -> Result<Staked, ClientError> {
    require_positive(amount)?;
    clients.require_tokens("the stake", amount).await?;
    if let Some(approval) = allow(clients, amount, mode).await? {
        return Ok(Staked::NeedsApproval(approval));
    }
    let call = StakingManager::addStakeCall { amount: amount.wei() };
    clients.submit(mode, "addStake", clients.book.ethereum.staking_manager, call).await.map(Staked::Done)
}

/// Begins the unbonding of `amount`. Whatever unbonds already starts anew with it.
pub async fn unstake(clients: &Clients, amount: Amount, mode: Mode) -> Result<Submitted, ClientError> {
    require_positive(amount)?;
    let call = StakingManager::requestUnstakeCall { amount: amount.wei() };
    clients.submit(mode, "requestUnstake", clients.book.ethereum.staking_manager, call).await
}

/// Takes out what has unbonded.
pub async fn withdraw(clients: &Clients, mode: Mode) -> Result<(Amount, Submitted), ClientError> {
    let amount = staker(clients, clients.signer.address()).await?.unbonding_wei;
    let staking = clients.book.ethereum.staking_manager;
    let submitted = clients.submit(mode, "withdraw", staking, StakingManager::withdrawCall {}).await?;
    let withdrawn = submitted.logs.iter().find_map(|log| log.decode::<StakingManager::Withdrawn>());
    Ok((withdrawn.map_or(amount, |event| Amount(event.amount)), submitted))
}

/// One device as Ethereum knows it.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceView {
    pub device: DeviceId,
    pub provider: Address,
    pub worker: Address,
    pub class_version: u32,
    /// Unix seconds; zero for a device in service.
    pub removed_at: u64,
    /// Time of the last full challenge that it passed, Unix seconds; zero before the first.
    pub last_full_pass: u64,
    pub reputation_ppm: u32,
    pub performance_permille: u32,
    pub faults: u32,
    pub locked_wei: Amount,
}

/// Devices of `account`, removed ones included.
pub async fn device_views(clients: &Clients, account: Address) -> Result<Vec<DeviceView>, ClientError> {
    let staking = clients.book.ethereum.staking_manager;
    let count = clients.ethereum.call(staking, StakingManager::deviceCountCall {}, BlockId::latest()).await?;
    let read = |id: DeviceId| async move {
        let found = clients.ethereum.call(staking, StakingManager::deviceCall { deviceId: id }, BlockId::latest()).await?;
        Ok::<_, ClientError>(DeviceView {
            device: id,
            provider: found.provider,
            worker: found.worker,
            class_version: found.classVersion,
            removed_at: found.removedAt,
            last_full_pass: found.lastFullPass,
            reputation_ppm: found.reputationPpm,
            performance_permille: found.performancePermille,
            faults: found.faults,
            locked_wei: Amount(U256::from(found.lockedStake)),
        })
    };
    let all: Vec<DeviceView> = stream::iter(1..=count).map(read).buffered(CONCURRENT_READS).try_collect().await?;
    Ok(all.into_iter().filter(|device| device.provider == account).collect())
}

/// The account on Ethereum Classic that proves `device`.
pub async fn worker(clients: &Clients, device: DeviceId) -> Result<Address, ClientError> {
    let call = StakingManager::deviceCall { deviceId: device };
    Ok(clients.ethereum.call(clients.book.ethereum.staking_manager, call, BlockId::latest()).await?.worker)
}

/// Takes a device out of service; its class stake is free from then on, and slashable until it is withdrawn.
pub async fn remove_device(clients: &Clients, device: DeviceId, mode: Mode) -> Result<Submitted, ClientError> {
    let call = StakingManager::removeDeviceCall { deviceId: device };
    clients.submit(mode, "removeDevice", clients.book.ethereum.staking_manager, call).await
}

/// Registers a device of `class_version`, proven by `worker` on ETC.
pub async fn register_device(clients: &Clients, class_version: u32, worker: Address) -> Result<(DeviceId, Receipt), ClientError> {
    let call = StakingManager::registerDeviceCall { classVersion: class_version, worker };
    let receipt = clients.ethereum_wallet().send("registerDevice", clients.book.ethereum.staking_manager, call).await?;
    let event = receipt.logs.iter().find_map(|log| log.decode::<StakingManager::DeviceAdded>());
    let id = event
        .map(|event| event.deviceId)
        .ok_or(ClientError::Argument { argument: "class".into(), reason: "no device was added".into() })?;
    Ok((id, receipt))
}

/// Devices of `account` that are in service, with their class versions.
pub async fn devices(clients: &Clients, account: Address) -> Result<Vec<(DeviceId, u32)>, ClientError> {
    let devices = device_views(clients, account).await?;
    Ok(devices.into_iter().filter(|device| device.removed_at == 0).map(|device| (device.device, device.class_version)).collect())
}

/// What an offer says.
#[derive(Debug, Clone)]
pub struct OfferTerms {
    pub device: DeviceId,
    pub price_per_second_wei: u128,
    pub min_duration_seconds: u32,
    pub max_duration_seconds: u32,
    pub region: String,
    /// Free text about the host, at most 512 bytes.
    pub attributes: String,
}

pub async fn create_offer(clients: &Clients, terms: &OfferTerms) -> Result<(OfferId, Receipt), ClientError> {
    let too_long = || ClientError::Argument { argument: "region".into(), reason: "longer than 32 bytes".into() };
    let call = GPURental::createOfferCall {
        deviceId: terms.device,
        pricePerSecond: terms.price_per_second_wei,
        minDuration: terms.min_duration_seconds,
        maxDuration: terms.max_duration_seconds,
        region: word_of(&terms.region).ok_or_else(too_long)?,
        attributes: terms.attributes.clone(),
    };
    let receipt = clients.ethereum_wallet().send("createOffer", clients.book.ethereum.gpu_rental, call).await?;
    let event = receipt.logs.iter().find_map(|log| log.decode::<GPURental::OfferCreated>());
    let id = event.map(|event| event.offerId).ok_or(ClientError::UnknownOffer { offer: 0 })?;
    Ok((id, receipt))
}

/// Price per second of a price per hour, rounded up, so that a provider never gets less than it asked for.
pub fn per_second(per_hour: Amount) -> Option<u128> {
    let hour = U256::from(3_600);
    u128::try_from((per_hour.wei() + hour - U256::from(1)) / hour).ok().filter(|price| *price > 0)
}
