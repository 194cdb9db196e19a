//! What the contracts' refusals mean to a person.

use alloy::sol_types::SolError;

// Errors of the same name and values have the same selector, whichever contract raises them.
use super::abi::{GPURental as Rental, RentalCourt as Court};

/// A sentence about an error of GPURental or RentalCourt, by its selector; `None` for one that says enough by its name.
pub(super) fn meaning(selector: [u8; 4]) -> Option<&'static str> {
    Some(match selector {
        Rental::NotProvider::SELECTOR => "only the provider of this rental or offer may do that",
        Rental::NotRenter::SELECTOR => "only the renter, or whom it named its delegate, may do that",
        Rental::OfferIsPaused::SELECTOR => "the provider has paused this offer, so no time can be bought",
        Rental::InvalidDuration::SELECTOR => "the duration is outside of what the offer still allows, in seconds",
        Rental::DeviceNotRentable::SELECTOR => "the device has no full pass that is recent enough",
        Rental::DeviceBusy::SELECTOR => "another rental holds the device",
        Rental::MaxCostExceeded::SELECTOR => "it costs more than was allowed",
        Rental::WrongState::SELECTOR => "the rental is in a state that does not allow this; `gpumkt rentals` shows it",
        Rental::TooEarly::SELECTOR => "it is too early; the number is the Unix time from which it is possible",
        Rental::TooLate::SELECTOR => "it is too late; the number is the Unix time until which it was possible",
        Rental::NothingToClaim::SELECTOR => "nothing is credited to this account",
        Rental::AlreadyEnded::SELECTOR => "an end was set already, and time that was given back cannot be bought again",
        Rental::ComplaintOpen::SELECTOR => "a complaint is open: nothing moves until its verdict",
        Rental::InvalidMaintenance::SELECTOR => "maintenance must be announced ahead, after earlier ones, and end before the rental does",
        Rental::MaintenanceBudgetExceeded::SELECTOR => "the device's maintenance of these 30 days is used up; the numbers are seconds",
        Rental::DeadlineNotRequested::SELECTOR => "the refund by deadline was not requested yet",
        Rental::TooMany::SELECTOR => "the rental was changed too often",
        Court::NotParty::SELECTOR => "only a party of the rental may open this case",
        Court::CaseAlreadyOpen::SELECTOR => "such a case about this rental is open already",
        Court::TooManyCases::SELECTOR => "there were too many cases about this rental",
        Court::SessionKnown::SELECTOR => "the rental has a session already, or is not running",
        Court::UnknownCase::SELECTOR => "there is no such case",
        Court::WrongStatus::SELECTOR => "the case is closed already",
        Court::NotInCommittee::SELECTOR => "this account was not drawn into the case's committee",
        Court::AlreadyVoted::SELECTOR => "this Queen has voted already",
        Court::NotDrawn::SELECTOR => "the committee is not drawn yet: `gpumkt court draw` draws it",
        Court::AlreadyDrawn::SELECTOR => "the committee is drawn already",
        Court::CheckpointTooOld::SELECTOR => "no checkpoint from after the deadline has been accepted yet",
        _ => return None,
    })
}
