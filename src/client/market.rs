//! What is on offer, with the evidence a renter decides by.

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolError,
};
use serde::Serialize;

use super::{ClientError, Clients};
use crate::{
    chain::{BlockId, ChainError},
    types::{
        Amount, DeviceId, OfferId, RentalId,
        abi::{GPURental, StakingManager},
    },
};

/// Whether an offer can be rented now, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    Rentable,
    Paused,
    /// Held by another rental.
    Rented(RentalId),
    /// No full pass that is recent enough.
    Unverified,
    /// The provider took the device out of service.
    Removed,
}

impl std::fmt::Display for Availability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Availability::Rentable => f.write_str("rentable"),
            Availability::Paused => f.write_str("paused"),
            Availability::Rented(rental) => write!(f, "rented ({rental})"),
            Availability::Unverified => f.write_str("unverified"),
            Availability::Removed => f.write_str("removed"),
        }
    }
}

/// One offer as a renter sees it.
#[derive(Debug, Clone, Serialize)]
pub struct OfferView {
    pub offer: OfferId,
    pub device: DeviceId,
    pub provider: Address,
    pub class_version: u32,
    pub price_per_second_wei: Amount,
    pub price_per_hour_wei: Amount,
    pub min_duration_seconds: u32,
    pub max_duration_seconds: u32,
    pub region: String,
    /// Unix seconds of the newest full pass on ETC; 0 for none.
    pub last_full_pass: u64,
    /// Probability of passing the next challenge as estimated on chain, parts per million.
    pub reputation_ppm: u32,
    /// Speed against the class's reference, permille.
    pub performance_permille: u32,
    pub faults: u32,
    pub availability: Availability,
}

/// Narrows the list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub class_version: Option<u32>,
    pub max_price_per_hour: Option<Amount>,
    pub include_unavailable: bool,
}

/// Offers, best reputation first, cheapest of equals first.
pub async fn market(clients: &Clients, filter: &Filter) -> Result<Vec<OfferView>, ClientError> {
    let rental = clients.book.ethereum.gpu_rental;
    let count = clients.ethereum.call(rental, GPURental::offerCountCall {}, BlockId::latest()).await?;
    let mut offers = Vec::new();
    for id in 1..=count {
        let view = offer(clients, id).await?;
        let wanted = filter.class_version.is_none_or(|class| class == view.class_version)
            && filter.max_price_per_hour.is_none_or(|limit| view.price_per_hour_wei <= limit)
            && (filter.include_unavailable || view.availability == Availability::Rentable);
        if wanted {
            offers.push(view);
        }
    }
    offers.sort_by(|a, b| b.reputation_ppm.cmp(&a.reputation_ppm).then(a.price_per_second_wei.cmp(&b.price_per_second_wei)));
    Ok(offers)
}

/// `count` more offers that can be rented together with `first`: of the same provider and class, and for as long.
pub async fn siblings(clients: &Clients, first: OfferId, duration_seconds: u32, count: u32) -> Result<Vec<OfferId>, ClientError> {
    let view = offer(clients, first).await?;
    let filter = Filter { class_version: Some(view.class_version), ..Filter::default() };
    let mut devices = vec![view.device];
    let mut found = Vec::new();
    for other in market(clients, &filter).await? {
        let fits = (other.min_duration_seconds..=other.max_duration_seconds).contains(&duration_seconds);
        if fits && other.provider == view.provider && !devices.contains(&other.device) && found.len() < count as usize {
            devices.push(other.device);
            found.push(other.offer);
        }
    }
    if found.len() < count as usize {
        let reason =
            format!("its provider has {} devices of this class to rent for that time, {} were asked for", devices.len(), count + 1);
        return Err(ClientError::NotRentable { offer: first, reason });
    }
    Ok(found)
}

/// One offer.
pub async fn offer(clients: &Clients, id: OfferId) -> Result<OfferView, ClientError> {
    let contract = clients.book.ethereum.gpu_rental;
    let chain = &clients.ethereum;
    let offer = chain.call(contract, GPURental::offerCall { offerId: id }, BlockId::latest()).await;
    let offer = offer.map_err(|error| offer_error(id, error))?;
    let staking = clients.book.ethereum.staking_manager;
    let device = chain.call(staking, StakingManager::deviceCall { deviceId: offer.deviceId }, BlockId::latest()).await?;
    let held_by = chain.call(contract, GPURental::activeRentalCall { deviceId: offer.deviceId }, BlockId::latest()).await?;
    let freshness = chain.call(contract, GPURental::parametersCall {}, BlockId::latest()).await?.freshness;
    let now = chain.head().await?.timestamp;
    let availability = match () {
        () if device.removedAt != 0 => Availability::Removed,
        () if offer.paused => Availability::Paused,
        () if held_by != 0 => Availability::Rented(held_by),
        () if device.lastFullPass == 0 || device.lastFullPass.saturating_add(freshness) < now => Availability::Unverified,
        () => Availability::Rentable,
    };
    let price = U256::from(offer.pricePerSecond);
    Ok(OfferView {
        offer: id,
        device: offer.deviceId,
        provider: offer.provider,
        class_version: offer.classVersion,
        price_per_second_wei: Amount(price),
        price_per_hour_wei: Amount(price * U256::from(3_600)),
        min_duration_seconds: offer.minDuration,
        max_duration_seconds: offer.maxDuration,
        region: text_of(offer.region),
        last_full_pass: device.lastFullPass,
        reputation_ppm: device.reputationPpm,
        performance_permille: device.performancePermille,
        faults: device.faults,
        availability,
    })
}

/// A revert of the contract because there is no such offer, told as that.
pub(super) fn offer_error(offer: OfferId, error: ChainError) -> ClientError {
    match error {
        ChainError::Reverted { data, .. } if data.starts_with(&GPURental::UnknownOffer::SELECTOR) => ClientError::UnknownOffer { offer },
        other => other.into(),
    }
}

/// Printable part of a bytes32 text; providers choose it, so control characters are dropped.
fn text_of(word: B256) -> String {
    String::from_utf8_lossy(word.as_slice()).chars().filter(|character| !character.is_control()).collect()
}

/// A text of at most 32 bytes as bytes32.
pub fn word_of(text: &str) -> Option<B256> {
    (text.len() <= 32).then(|| B256::right_padding_from(text.as_bytes()))
}
