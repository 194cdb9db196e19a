//! What a provider has earned, rental by rental, and what others ask for the same.

use alloy::primitives::{Address, U256};
use serde::Serialize;

use super::{
    Availability, ClientError, Clients, market,
    rent::{self, RentalState, RentalView},
};
use crate::types::{Amount, DeviceId, OfferId, RentalId};

/// One rental of a provider.
#[derive(Debug, Clone, Serialize)]
pub struct Earning {
    pub rental: RentalId,
    pub offer: OfferId,
    pub device: DeviceId,
    pub renter: Address,
    pub state: RentalState,
    /// Unix seconds.
    pub start: u64,
    pub end: u64,
    pub rented_seconds: u64,
    /// Time that counted challenges have verified.
    pub verified_seconds: u64,
    pub challenges_due: u32,
    pub challenges_passed: u32,
    pub paid_wei: Amount,
    pub refunded_wei: Amount,
}

/// All of a provider's rentals.
#[derive(Debug, Clone, Serialize)]
pub struct Earnings {
    pub provider: Address,
    pub rentals: Vec<Earning>,
    pub paid_wei: Amount,
    pub refunded_wei: Amount,
    /// Credited and not yet claimed.
    pub claimable_wei: Amount,
    pub rented_seconds: u64,
    pub verified_seconds: u64,
    pub challenges_due: u64,
    pub challenges_passed: u64,
}

/// Rentals that ended after `since` (Unix seconds), newest first.
pub async fn earnings(clients: &Clients, provider: Address, since: u64) -> Result<Earnings, ClientError> {
    let rentals = rent::rentals(clients, provider).await?;
    let ours = rentals.into_iter().filter(|rental| rental.provider == provider && rental.start != 0 && rental.end >= since);
    let rentals: Vec<Earning> = ours.map(Earning::from).collect();
    let claimable_wei = rent::credit(clients, provider).await?;
    Ok(Earnings::of(provider, rentals, claimable_wei))
}

impl Earnings {
    fn of(provider: Address, rentals: Vec<Earning>, claimable_wei: Amount) -> Self {
        let wei = |of: fn(&Earning) -> Amount| Amount(rentals.iter().fold(U256::ZERO, |sum, rental| sum.saturating_add(of(rental).wei())));
        Self {
            provider,
            paid_wei: wei(|rental| rental.paid_wei),
            refunded_wei: wei(|rental| rental.refunded_wei),
            claimable_wei,
            rented_seconds: rentals.iter().map(|rental| rental.rented_seconds).sum(),
            verified_seconds: rentals.iter().map(|rental| rental.verified_seconds).sum(),
            challenges_due: rentals.iter().map(|rental| u64::from(rental.challenges_due)).sum(),
            challenges_passed: rentals.iter().map(|rental| u64::from(rental.challenges_passed)).sum(),
            rentals,
        }
    }

    /// RFC 4180, one line per rental; amounts in wei, times in Unix seconds.
    pub fn to_csv(&self) -> String {
        let mut csv = String::from(
            "rental,offer,device,renter,state,start,end,rented_seconds,verified_seconds,challenges_due,challenges_passed,paid_wei,refunded_wei\r\n",
        );
        for rental in &self.rentals {
            let fields = [
                rental.rental.to_string(),
                rental.offer.to_string(),
                rental.device.to_string(),
                rental.renter.to_string(),
                format!("{:?}", rental.state).to_lowercase(),
                rental.start.to_string(),
                rental.end.to_string(),
                rental.rented_seconds.to_string(),
                rental.verified_seconds.to_string(),
                rental.challenges_due.to_string(),
                rental.challenges_passed.to_string(),
                rental.paid_wei.wei().to_string(),
                rental.refunded_wei.wei().to_string(),
            ];
            csv.push_str(&fields.join(","));
            csv.push_str("\r\n");
        }
        csv
    }
}

impl From<RentalView> for Earning {
    fn from(rental: RentalView) -> Self {
        Self {
            rental: rental.rental,
            offer: rental.offer,
            device: rental.device,
            renter: rental.renter,
            state: rental.state,
            start: rental.start,
            end: rental.end,
            rented_seconds: rental.end.saturating_sub(rental.start),
            verified_seconds: rental.verified_seconds,
            challenges_due: rental.challenges_due,
            challenges_passed: rental.challenges_passed,
            paid_wei: rental.paid_wei,
            refunded_wei: rental.refunded_wei,
        }
    }
}

/// Prices per hour that others ask for one class, for a device of the class's reference speed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PriceSuggestion {
    pub class_version: u32,
    /// Offers that the figures stand on: neither paused nor removed.
    pub offers: usize,
    pub low_wei: Amount,
    pub median_wei: Amount,
    pub high_wei: Amount,
    /// Median of those that are rented now: what renters really pay. `None` where none is.
    pub rented_median_wei: Option<Amount>,
    /// What to ask: the median of rented ones, otherwise the median of all.
    pub suggested_wei: Amount,
}

/// What to ask for a device of `class_version`; `None` where nobody offers one.
pub async fn suggest_price(clients: &Clients, class_version: u32) -> Result<Option<PriceSuggestion>, ClientError> {
    let filter = market::Filter { class_version: Some(class_version), include_unavailable: true, ..market::Filter::default() };
    let offers = market::market(clients, &filter).await?;
    let prices = offers.iter().filter(|offer| !matches!(offer.availability, Availability::Paused | Availability::Removed)).map(|offer| {
        // A device of twice the speed may cost twice as much.
        let speed = U256::from(offer.performance_permille.max(1));
        let price = offer.price_per_hour_wei.wei().saturating_mul(U256::from(1_000)) / speed;
        (Amount(price), matches!(offer.availability, Availability::Rented(_)))
    });
    Ok(suggestion(class_version, prices.collect()))
}

fn suggestion(class_version: u32, prices: Vec<(Amount, bool)>) -> Option<PriceSuggestion> {
    let mut all: Vec<Amount> = prices.iter().map(|(price, _)| *price).collect();
    let mut rented: Vec<Amount> = prices.iter().filter(|(_, is_rented)| *is_rented).map(|(price, _)| *price).collect();
    all.sort_unstable();
    rented.sort_unstable();
    let median_wei = *all.get(all.len() / 2)?;
    let rented_median_wei = rented.get(rented.len() / 2).copied();
    Some(PriceSuggestion {
        class_version,
        offers: all.len(),
        low_wei: *all.first()?,
        median_wei,
        high_wei: *all.last()?,
        rented_median_wei,
        suggested_wei: rented_median_wei.unwrap_or(median_wei),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(wei: u64) -> Amount {
        Amount(U256::from(wei))
    }

    #[test]
    fn suggests_what_renters_pay() {
        assert_eq!(suggestion(1, Vec::new()), None);
        let asked = suggestion(1, vec![(amount(5), false), (amount(1), false), (amount(3), false)]).unwrap();
        assert_eq!((asked.low_wei, asked.suggested_wei, asked.high_wei), (amount(1), amount(3), amount(5)));
        let paid = suggestion(1, vec![(amount(5), false), (amount(1), true), (amount(3), false)]).unwrap();
        assert_eq!((paid.rented_median_wei, paid.suggested_wei), (Some(amount(1)), amount(1)));
    }

    #[test]
    fn the_csv_has_a_line_per_rental_and_the_sums_are_exact() {
        let earning = |rental, paid| Earning {
            rental,
            offer: 1,
            device: 1,
            renter: Address::ZERO,
            state: RentalState::Completed,
            start: 100,
            end: 160,
            rented_seconds: 60,
            verified_seconds: 50,
            challenges_due: 2,
            challenges_passed: 1,
            paid_wei: amount(paid),
            refunded_wei: amount(1),
        };
        let earnings = Earnings::of(Address::ZERO, vec![earning(1, 40), earning(2, 2)], amount(7));
        assert_eq!((earnings.paid_wei, earnings.refunded_wei, earnings.rented_seconds), (amount(42), amount(2), 120));
        let csv = earnings.to_csv();
        assert_eq!(csv.lines().count(), 3);
        assert!(csv.lines().all(|line| line.split(',').count() == 13), "{csv}");
    }
}
