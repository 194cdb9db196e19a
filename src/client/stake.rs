//! Stakes, devices and offers.

use alloy::primitives::{Address, B256, U256, keccak256};

use super::{ClientError, Clients, market::word_of};
use crate::{
    chain::{BlockId, Receipt},
    types::{
        Amount, DeviceId, OfferId, Role,
        abi::{GPURental, StakingManager},
    },
};

/// Time a permit stays valid; the transaction follows at once.
const PERMIT_SECONDS: u64 = 1_200;

/// Stakes `amount` for `role`; `operator` signs for the account from then on.
pub async fn stake(clients: &Clients, role: Role, amount: Amount, operator: Address, peer_id: &[u8]) -> Result<Receipt, ClientError> {
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
    wallet.send("stake", staking, call).await
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

/// Devices of `account` that are in service.
pub async fn devices(clients: &Clients, account: Address) -> Result<Vec<(DeviceId, u32)>, ClientError> {
    let staking = clients.book.ethereum.staking_manager;
    let count = clients.ethereum.call(staking, StakingManager::deviceCountCall {}, BlockId::latest()).await?;
    let mut found = Vec::new();
    for id in 1..=count {
        let device = clients.ethereum.call(staking, StakingManager::deviceCall { deviceId: id }, BlockId::latest()).await?;
        if device.provider == account && device.removedAt == 0 {
            found.push((id, device.classVersion));
        }
    }
    Ok(found)
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
