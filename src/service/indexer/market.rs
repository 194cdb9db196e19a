//! GPURental and RentalCourt: offers, rentals with their money, cases, credits.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, U256},
    sol_types::SolEvent,
};

pub use super::rental::{Rental, RentalState};
use super::{Position, StoredLog};
use crate::types::abi::{
    GPURental as Contract, RentalCourt as Court, gpu_rental::IGPURental::Parameters, gpu_rental::IGPURental::Safeguards,
    rental_court::IRentalCourt::Parameters as CourtParameters,
};

#[derive(Debug, Clone)]
pub struct Offer {
    pub id: u64,
    pub device: u64,
    pub provider: Address,
    pub class_version: u32,
    pub price_per_second: u128,
    pub min_duration: u32,
    pub max_duration: u32,
    pub region: B256,
    pub attributes: String,
    pub created_at: u64,
    pub is_paused: bool,
    pub transaction: B256,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub id: U256,
    pub rental: u64,
    pub kind: u8,
    pub status: u8,
    pub opener: Address,
    pub evidence: B256,
    pub draw_block: u64,
    pub committee: Vec<Address>,
    pub ayes: u64,
    pub nays: u64,
    pub opened_at: u64,
    pub closed_at: Option<u64>,
    pub position: Position,
    pub transaction: B256,
}

#[derive(Debug, Clone, Default)]
pub struct Market {
    pub offers: BTreeMap<u64, Offer>,
    pub rentals: BTreeMap<u64, Rental>,
    /// Newest rental of a device: no older one can hold it.
    pub newest_rental: BTreeMap<u64, u64>,
    pub cases: BTreeMap<U256, Case>,
    /// Free reserve by device.
    pub reserves: BTreeMap<u64, U256>,
    /// End of the newest rental of a device whose challenges were all passed: as good as a full pass.
    pub verified_until: BTreeMap<u64, u64>,
    pub credits: BTreeMap<Address, U256>,
    pub delayed: BTreeMap<(Address, u64), U256>,
    pub court_credits: BTreeMap<Address, U256>,
    pub parameters: BTreeMap<U256, Parameters>,
    pub safeguards: Option<Safeguards>,
    pub court: Option<CourtParameters>,
}

impl Market {
    pub fn newest_parameters(&self) -> Option<(&U256, &Parameters)> {
        self.parameters.last_key_value()
    }

    pub(super) fn apply(&mut self, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match *log.topics.first()? {
            Contract::OfferCreated::SIGNATURE_HASH => {
                let event = log.decode::<Contract::OfferCreated>()?;
                let offer = Offer {
                    id: event.offerId,
                    device: event.deviceId,
                    provider: event.provider,
                    class_version: event.classVersion,
                    price_per_second: event.pricePerSecond,
                    min_duration: event.minDuration,
                    max_duration: event.maxDuration,
                    region: event.region,
                    attributes: event.attributes,
                    created_at: stored.timestamp,
                    is_paused: false,
                    transaction: log.tx_hash,
                };
                self.offers.insert(offer.id, offer);
            }
            Contract::OfferChanged::SIGNATURE_HASH => {
                let event = log.decode::<Contract::OfferChanged>()?;
                let offer = self.offers.get_mut(&event.offerId)?;
                (offer.price_per_second, offer.is_paused) = (event.pricePerSecond, event.paused);
            }
            Contract::ReserveChanged::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ReserveChanged>()?;
                self.reserves.insert(event.deviceId, event.free);
            }
            Contract::ParametersSet::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ParametersSet>()?;
                self.parameters.insert(event.version, event.parameters);
            }
            Contract::SafeguardsSet::SIGNATURE_HASH => {
                self.safeguards = Some(log.decode::<Contract::SafeguardsSet>()?.safeguards);
            }
            topic => {
                if self.apply_credit(topic, stored).is_none() {
                    self.apply_rental(topic, stored)?;
                }
            }
        }
        Some(())
    }

    /// `None` for what is no credit.
    fn apply_credit(&mut self, topic: B256, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match topic {
            Contract::Credited::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Credited>()?;
                add(&mut self.credits, event.account, event.amount);
                if let Some(rental) = self.rentals.get_mut(&event.rentalId) {
                    rental.credited(event.account, event.amount);
                }
            }
            Contract::CreditDelayed::SIGNATURE_HASH => {
                // `Credited` for the same amount follows.
                let event = log.decode::<Contract::CreditDelayed>()?;
                *self.delayed.entry((event.account, event.availableAt)).or_default() += event.amount;
                take(&mut self.credits, event.account, event.amount);
            }
            Contract::DelayedReleased::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DelayedReleased>()?;
                self.delayed.remove(&(event.account, event.availableAt));
                add(&mut self.credits, event.account, event.amount);
            }
            Contract::Claimed::SIGNATURE_HASH => {
                let event = log.decode::<Contract::Claimed>()?;
                take(&mut self.credits, event.account, event.amount);
            }
            _ => return None,
        }
        Some(())
    }

    pub(super) fn apply_court(&mut self, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match *log.topics.first()? {
            Court::CaseOpened::SIGNATURE_HASH => {
                let event = log.decode::<Court::CaseOpened>()?;
                if let Some(rental) = self.rentals.get_mut(&event.rentalId) {
                    rental.cases.push(event.caseId);
                }
                let case = Case {
                    id: event.caseId,
                    rental: event.rentalId,
                    kind: event.kind,
                    status: 1,
                    opener: event.opener,
                    evidence: event.evidence,
                    draw_block: event.drawBlock,
                    committee: Vec::new(),
                    ayes: 0,
                    nays: 0,
                    opened_at: stored.timestamp,
                    closed_at: None,
                    position: stored.position(),
                    transaction: log.tx_hash,
                };
                self.cases.insert(case.id, case);
            }
            Court::CommitteeDrawn::SIGNATURE_HASH => {
                let event = log.decode::<Court::CommitteeDrawn>()?;
                self.cases.get_mut(&event.caseId)?.committee = event.committee;
            }
            Court::DrawRepeated::SIGNATURE_HASH => {
                let event = log.decode::<Court::DrawRepeated>()?;
                self.cases.get_mut(&event.caseId)?.draw_block = event.drawBlock;
            }
            Court::Voted::SIGNATURE_HASH => {
                let event = log.decode::<Court::Voted>()?;
                let case = self.cases.get_mut(&event.caseId)?;
                *(if event.upheld { &mut case.ayes } else { &mut case.nays }) += 1;
            }
            Court::CaseClosed::SIGNATURE_HASH => {
                let event = log.decode::<Court::CaseClosed>()?;
                let case = self.cases.get_mut(&event.caseId)?;
                (case.status, case.closed_at) = (event.status, Some(stored.timestamp));
            }
            Court::Credited::SIGNATURE_HASH => {
                let event = log.decode::<Court::Credited>()?;
                add(&mut self.court_credits, event.account, event.amount);
            }
            Court::Claimed::SIGNATURE_HASH => {
                let event = log.decode::<Court::Claimed>()?;
                take(&mut self.court_credits, event.account, event.amount);
            }
            Court::ParametersSet::SIGNATURE_HASH => self.court = Some(log.decode::<Court::ParametersSet>()?.parameters),
            _ => {}
        }
        Some(())
    }
}

/// Lowers a balance; a delayed credit is taken out before it is counted, so it may pass below zero for one log.
pub(super) fn take(balances: &mut BTreeMap<Address, U256>, account: Address, amount: U256) {
    let balance = balances.entry(account).or_default();
    *balance = balance.wrapping_sub(amount);
}

pub(super) fn add(balances: &mut BTreeMap<Address, U256>, account: Address, amount: U256) {
    let balance = balances.entry(account).or_default();
    *balance = balance.wrapping_add(amount);
}
