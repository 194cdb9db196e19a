//! GPURental on Ethereum: rentals and where they stand.

use std::collections::BTreeMap;

use alloy::{primitives::Address, sol_types::SolEvent};

use crate::chain::LogEntry;
use crate::types::{DeviceId, OfferId, RentalId, abi::GPURental as Contract};

/// What the events say; everything else is asked from the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RentalInfo {
    pub offer: OfferId,
    pub renter: Address,
    pub provider: Address,
    pub device: DeviceId,
    pub session_key: Address,
    /// Zero until `ready`.
    pub start: u64,
    pub end: u64,
    pub is_opened: bool,
    pub is_closed: bool,
}

impl RentalInfo {
    /// The meter runs at `timestamp`.
    pub fn covers(&self, timestamp: u64) -> bool {
        self.start != 0 && self.start <= timestamp && timestamp < self.end
    }
}

#[derive(Debug, Clone, Default)]
pub struct MarketView {
    pub rentals: BTreeMap<RentalId, RentalInfo>,
}

impl MarketView {
    pub(super) fn apply(&mut self, log: &LogEntry) -> Option<()> {
        match *log.topics.first()? {
            Contract::RentalRequested::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalRequested>()?;
                let rental = RentalInfo {
                    offer: event.offerId,
                    renter: event.renter,
                    provider: event.provider,
                    device: event.deviceId,
                    session_key: event.sessionKey,
                    start: 0,
                    end: 0,
                    is_opened: false,
                    is_closed: false,
                };
                self.rentals.insert(event.rentalId, rental);
            }
            Contract::RentalReady::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalReady>()?;
                let rental = self.rentals.get_mut(&event.rentalId)?;
                (rental.start, rental.end) = (event.start, event.end);
            }
            Contract::TermsChanged::SIGNATURE_HASH => {
                let event = log.decode::<Contract::TermsChanged>()?;
                let rental = self.rentals.get_mut(&event.rentalId)?;
                (rental.start, rental.end) = (event.start, event.end);
            }
            Contract::SessionWasOpened::SIGNATURE_HASH => {
                let event = log.decode::<Contract::SessionWasOpened>()?;
                self.rentals.get_mut(&event.rentalId)?.is_opened = true;
            }
            Contract::RentalClosed::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalClosed>()?;
                self.rentals.get_mut(&event.rentalId)?.is_closed = true;
            }
            _ => {}
        }
        Some(())
    }
}
