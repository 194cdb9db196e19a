//! One rental, as the events of GPURental tell it.
//!
//! Reports tell what they add; the closing event tells the sums, and its word is final.

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolEvent,
};

use super::{StoredLog, market::Market};
use crate::types::abi::GPURental as Contract;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RentalState {
    Requested,
    Active,
    Completed,
    Cancelled,
}

impl RentalState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Rental {
    pub id: u64,
    pub offer: u64,
    pub device: u64,
    pub renter: Address,
    pub provider: Address,
    pub session_key: Address,
    pub delegate: Option<Address>,
    pub state: RentalState,
    pub close_reason: u8,
    pub fault: u8,
    pub terms_version: u32,
    pub duration: u64,
    pub price_per_second: u128,
    pub requested_at: u64,
    pub ready_until: u64,
    /// Zero until `ready`.
    pub start: u64,
    pub end: u64,
    pub opened_at: Option<u64>,
    pub closed_at: Option<u64>,
    pub frozen_from: Option<u64>,
    pub deadline_at: Option<u64>,
    pub covered_until: Option<u64>,
    pub verified_seconds: u64,
    pub due: u32,
    pub passed: u32,
    pub ready_fee: u128,
    pub escrowed: U256,
    pub paid: U256,
    pub refunded: U256,
    pub fees: U256,
    pub compensated: U256,
    pub segments: Vec<(u64, u128)>,
    pub maintenance: Vec<(u64, u64)>,
    pub cases: Vec<U256>,
    pub transaction: B256,
}

impl Rental {
    pub fn is_open(&self) -> bool {
        matches!(self.state, RentalState::Requested | RentalState::Active)
    }

    /// Whether the device is taken at `now`; one that is over and waits for its last report does not hold it.
    pub fn holds_device(&self, now: u64) -> bool {
        match self.state {
            RentalState::Requested => now <= self.ready_until,
            RentalState::Active => now < self.end,
            _ => false,
        }
    }

    pub fn held(&self) -> U256 {
        self.escrowed.saturating_sub(self.paid).saturating_sub(self.refunded).saturating_sub(self.fees)
    }

    /// While a session is known, what the provider is credited with is rent; before, it is the ready fee.
    pub(super) fn credited(&mut self, account: Address, amount: U256) {
        if account == self.provider && self.opened_at.is_some() && self.closed_at.is_none() {
            self.paid = self.paid.saturating_add(amount);
        }
    }

    fn close(&mut self, event: &Contract::RentalClosed, now: u64) {
        self.state = if event.reason == 2 { RentalState::Cancelled } else { RentalState::Completed };
        self.close_reason = event.reason;
        self.closed_at = Some(now);
        (self.paid, self.refunded, self.fees) = (event.paid, event.refunded, event.fees);
    }

    fn report(&mut self, event: &Contract::WorkReportApplied) {
        self.covered_until = Some(event.coveredUntil);
        self.verified_seconds = event.verifiedSeconds;
        self.refunded = self.refunded.saturating_add(event.refunded);
        // What arrives while a complaint is open counts after the verdict only.
        if self.frozen_from.is_none() {
            self.due = self.due.max(event.due);
            self.passed = self.passed.max(event.passed);
        }
    }
}

impl Market {
    pub(super) fn apply_rental(&mut self, topic: B256, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match topic {
            Contract::RentalRequested::SIGNATURE_HASH => self.request(stored)?,
            Contract::RentalReady::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalReady>()?;
                let rental = self.rentals.get_mut(&event.rentalId)?;
                (rental.start, rental.end, rental.terms_version) = (event.start, event.end, 1);
                (rental.state, rental.fees) = (RentalState::Active, U256::from(rental.ready_fee));
            }
            Contract::SessionWasOpened::SIGNATURE_HASH => {
                let event = log.decode::<Contract::SessionWasOpened>()?;
                self.rentals.get_mut(&event.rentalId)?.opened_at = Some(event.time);
            }
            Contract::TermsChanged::SIGNATURE_HASH => {
                let event = log.decode::<Contract::TermsChanged>()?;
                let rental = self.rentals.get_mut(&event.rentalId)?;
                (rental.start, rental.end, rental.terms_version) = (event.start, event.end, event.termsVersion);
                rental.refunded = rental.refunded.saturating_add(event.refunded);
            }
            Contract::WorkReportApplied::SIGNATURE_HASH => {
                let event = log.decode::<Contract::WorkReportApplied>()?;
                let rental = self.rentals.get_mut(&event.rentalId)?;
                rental.report(&event);
                if event.isFinal && rental.due != 0 && rental.passed == rental.due {
                    self.verified_until.insert(rental.device, rental.end);
                }
            }
            Contract::RentalClosed::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalClosed>()?;
                self.rentals.get_mut(&event.rentalId)?.close(&event, stored.timestamp);
            }
            Contract::RentalExtended::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalExtended>()?;
                let rental = self.rentals.get_mut(&event.rentalId)?;
                rental.segments.push((rental.end, event.pricePerSecond));
                rental.duration += u64::from(event.addedSeconds);
                rental.escrowed = rental.escrowed.saturating_add(event.cost);
            }
            _ => self.apply_trouble(topic, stored)?,
        }
        Some(())
    }

    fn apply_trouble(&mut self, topic: B256, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match topic {
            Contract::DelegateSet::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DelegateSet>()?;
                self.rentals.get_mut(&event.rentalId)?.delegate = (!event.delegate.is_zero()).then_some(event.delegate);
            }
            Contract::MaintenanceDeclared::SIGNATURE_HASH => {
                let event = log.decode::<Contract::MaintenanceDeclared>()?;
                self.rentals.get_mut(&event.rentalId)?.maintenance.push((event.from, event.until));
            }
            Contract::FaultRecorded::SIGNATURE_HASH => {
                let event = log.decode::<Contract::FaultRecorded>()?;
                self.rentals.get_mut(&event.rentalId)?.fault = event.fault;
            }
            Contract::Compensated::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Compensated>()?;
                self.rentals.get_mut(&event.rentalId)?.compensated = event.amount;
            }
            Contract::RentalFrozen::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalFrozen>()?;
                self.rentals.get_mut(&event.rentalId)?.frozen_from = Some(event.from);
            }
            Contract::RentalUnfrozen::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalUnfrozen>()?;
                self.rentals.get_mut(&event.rentalId)?.frozen_from = None;
            }
            Contract::DeadlineRequested::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeadlineRequested>()?;
                self.rentals.get_mut(&event.rentalId)?.deadline_at = Some(event.executableAt);
            }
            _ => {}
        }
        Some(())
    }

    fn request(&mut self, stored: &StoredLog) -> Option<()> {
        let event = stored.log.decode::<Contract::RentalRequested>()?;
        let price_per_second = self.offers.get(&event.offerId).map_or(0, |offer| offer.price_per_second);
        let terms = self.newest_parameters().map(|(_, parameters)| (parameters.readyWindow, parameters.readyFee));
        let (ready_window, ready_fee) = terms.unwrap_or_default();
        let rental = Rental {
            id: event.rentalId,
            offer: event.offerId,
            device: event.deviceId,
            renter: event.renter,
            provider: event.provider,
            session_key: event.sessionKey,
            delegate: None,
            state: RentalState::Requested,
            close_reason: 0,
            fault: 0,
            terms_version: 0,
            duration: event.duration.into(),
            price_per_second,
            requested_at: stored.timestamp,
            ready_until: stored.timestamp.saturating_add(ready_window),
            start: 0,
            end: 0,
            opened_at: None,
            closed_at: None,
            frozen_from: None,
            deadline_at: None,
            covered_until: None,
            verified_seconds: 0,
            due: 0,
            passed: 0,
            ready_fee,
            escrowed: event.escrowed,
            paid: U256::ZERO,
            refunded: U256::ZERO,
            fees: U256::ZERO,
            compensated: U256::ZERO,
            segments: Vec::new(),
            maintenance: Vec::new(),
            cases: Vec::new(),
            transaction: stored.log.tx_hash,
        };
        self.newest_rental.insert(rental.device, rental.id);
        self.rentals.insert(rental.id, rental);
        Some(())
    }
}
