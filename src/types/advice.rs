//! What a contract's refusal means to the person who asked for it.

use alloy::sol_types::SolError;

// Errors of the same name and values have the same selector, whichever contract raises them.
use super::abi::{GPURental as Rental, RentalCourt as Court};

/// Error names, and what helps.
const ADVICE: [(&str, &str); 28] = [
    ("StillUnbonding", "wait until the time it names (Unix seconds)"),
    ("BelowMinimum", "stake at least the minimum; when taking out, leave at least that or nothing"),
    ("InsufficientStake", "stake more, or remove a device first: devices lock stake"),
    ("ZeroAmount", "there is nothing to act on"),
    ("RoleMismatch", "an account stakes for one role: use another account for another role"),
    ("OperatorTaken", "use an operator key that acts for nobody else"),
    ("UnknownClass", "see `gpumkt market --all` for the classes there are"),
    ("UnknownRental", "see `gpumkt rentals` for the rentals there are"),
    ("UnknownAllocation", "see `gpumkt vesting list --all`"),
    ("DeviceBusy", "wait until its rental is over"),
    ("DeviceNotRentable", "choose another offer: see `gpumkt market`"),
    ("OfferIsPaused", "choose another offer: see `gpumkt market`"),
    ("NotDeviceOwner", "use the provider's account or its operator"),
    ("NothingToClaim", "wait until something is credited to you"),
    ("NothingToRelease", "wait until more has vested: see `gpumkt vesting list`"),
    ("TooEarly", "wait until the time it names (Unix seconds)"),
    ("DailyLimitReached", "ask again after midnight, UTC"),
    ("FaucetEmpty", "ask somebody who has GPUTOKEN"),
    ("MaxCostExceeded", "the price has changed: look at the offer again"),
    ("ERC20InsufficientBalance", "the account holds fewer tokens than that"),
    ("ERC20InsufficientAllowance", "approve the amount first: `gpumkt token approve`"),
    ("GovernorUnexpectedProposalState", "see `gpumkt gov show` for where the proposal stands and what comes next"),
    ("GovernorAlreadyCastVote", "a vote that is cast can't be changed"),
    ("GovernorInsufficientProposerVotes", "delegate votes to the proposer first: `gpumkt token delegate`"),
    ("GovernorUnableToCancel", "only its proposer can cancel a proposal, and only before voting begins"),
    ("TimelockUnexpectedOperationState", "wait until the timelock's delay is over: see `gpumkt gov show`"),
    ("OwnableUnauthorizedAccount", "only Governance may do this: `gpumkt gov propose`"),
    ("AccessControlUnauthorizedAccount", "only Governance may do this: `gpumkt gov propose`"),
];

/// What to do about a refusal that [`super::abi::decode_revert`] has put as `Name { field: value }`.
pub fn advice(reason: &str) -> String {
    let name = reason.split([' ', '(', '{']).next().unwrap_or_default();
    match ADVICE.iter().find(|(known, _)| *known == name) {
        Some((_, advice)) => (*advice).into(),
        None if name.chars().next().is_some_and(char::is_uppercase) && name.chars().all(char::is_alphanumeric) => {
            format!("the contract refused the call as it stands now: {}", words(name))
        }
        None => "read the reason: the contract refused the call as it stands now".into(),
    }
}

/// `NotInCommittee` as `not in committee`.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    let letters: Vec<char> = name.chars().collect();
    for (position, letter) in letters.iter().enumerate() {
        let begins = letter.is_uppercase() && position > 0 && letters.get(position + 1).is_none_or(|next| next.is_lowercase());
        if begins || (letter.is_uppercase() && position > 0 && letters[position - 1].is_lowercase()) {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

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

#[cfg(test)]
mod tests {
    use alloy::{
        dyn_abi::{DynSolValue, Specifier},
        json_abi::JsonAbi,
        primitives::{Address, B256, I256, U256},
    };

    use super::*;
    use crate::types::abi::decode_revert;

    #[test]
    fn advice_is_by_name_and_words_for_the_rest() {
        assert_eq!(advice("StillUnbonding { unbondsAt: 5 }"), "wait until the time it names (Unix seconds)");
        assert_eq!(advice("NotInCommittee { signer: 0x1 }"), "the contract refused the call as it stands now: not in committee");
        assert_eq!(words("ERC20InvalidSender"), "erc20 invalid sender");
        assert!(advice("too late").starts_with("read the reason"));
    }

    /// Every error of every contract comes back with its name and its values' names.
    #[test]
    fn no_contract_refuses_in_numbers() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("contracts/abi");
        let mut known = std::collections::BTreeSet::new();
        // Contracts may name the values of one error differently; one of their ways is as good as another.
        let mut unnamed = std::collections::BTreeMap::new();
        let mut named = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let artifact: serde_json::Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
            let abi: JsonAbi = serde_json::from_value(artifact["abi"].clone()).unwrap();
            for error in abi.errors() {
                let values: Vec<DynSolValue> = error.inputs.iter().map(|input| some_value(&input.resolve().unwrap())).collect();
                let mut data = error.selector().to_vec();
                data.extend(DynSolValue::Tuple(values).abi_encode_params());
                let told = decode_revert(&data).unwrap_or_else(|| panic!("{} of {}", error.signature(), artifact["contractName"]));
                assert!(told.starts_with(&error.name), "{told} for {}", error.signature());
                if error.inputs.iter().all(|input| input.name.is_empty() || told.contains(&input.name)) {
                    named.insert(error.selector());
                } else {
                    unnamed.insert(error.selector(), told);
                }
                known.insert(error.name.clone());
            }
        }
        unnamed.retain(|selector, _| !named.contains(selector));
        assert!(unnamed.is_empty(), "{unnamed:?}");
        assert!(known.len() > 100, "{}", known.len());
        for (name, _) in ADVICE {
            assert!(known.contains(name), "no contract has {name}");
        }
    }

    fn some_value(kind: &alloy::dyn_abi::DynSolType) -> DynSolValue {
        use alloy::dyn_abi::DynSolType as T;
        match kind {
            T::Bool => DynSolValue::Bool(true),
            T::Int(bits) => DynSolValue::Int(I256::ONE, *bits),
            T::Uint(bits) => DynSolValue::Uint(U256::from(1), *bits),
            T::FixedBytes(size) => DynSolValue::FixedBytes(B256::ZERO, *size),
            T::Address => DynSolValue::Address(Address::ZERO),
            T::Bytes => DynSolValue::Bytes(vec![1]),
            T::String => DynSolValue::String("x".into()),
            T::Array(inner) => DynSolValue::Array(vec![some_value(inner)]),
            T::Tuple(inner) => DynSolValue::Tuple(inner.iter().map(some_value).collect()),
            other => panic!("no error has a {other}"),
        }
    }
}
