//! Calls, events, errors and creation code of the contracts, generated from `contracts/abi`.
//!
//! One module per contract, because a structure that two contracts share exists once per artifact.

use alloy::sol_types::{Panic, Revert, SolError, SolInterface};

use super::Amount;

macro_rules! contracts {
    ($($module:ident: $name:ident, $errors:ident, $path:literal;)*) => {
        $(
            #[allow(missing_docs, clippy::all)]
            pub mod $module {
                alloy::sol!(
                    #[derive(Debug)]
                    $name,
                    $path
                );
            }
            pub use $module::$name;
        )*

        /// Error name with its named values, as the first contract that knows the selector spells it.
        fn decode_custom(data: &[u8]) -> Option<String> {
            $(
                if let Ok(error) = $name::$errors::abi_decode_validate(data) {
                    return Some(strip_variant(&format!("{error:?}")));
                }
            )*
            None
        }
    };
}

contracts! {
    outbox: Outbox, OutboxErrors, "contracts/abi/Outbox.json";
    inbox: Inbox, InboxErrors, "contracts/abi/Inbox.json";
    king_set: KingSet, KingSetErrors, "contracts/abi/KingSet.json";
    gpu_token: GPUToken, GPUTokenErrors, "contracts/abi/GPUToken.json";
    staking_manager: StakingManager, StakingManagerErrors, "contracts/abi/StakingManager.json";
    staking_pools: StakingPools, StakingPoolsErrors, "contracts/abi/StakingPools.json";
    gpu_rental: GPURental, GPURentalErrors, "contracts/abi/GPURental.json";
    gpu_rental_terms: GPURentalTerms, GPURentalTermsErrors, "contracts/abi/GPURentalTerms.json";
    rental_court: RentalCourt, RentalCourtErrors, "contracts/abi/RentalCourt.json";
    king_court: KingCourt, KingCourtErrors, "contracts/abi/KingCourt.json";
    node_directory: NodeDirectory, NodeDirectoryErrors, "contracts/abi/NodeDirectory.json";
    governance: Governance, GovernanceErrors, "contracts/abi/Governance.json";
    timelock: TimelockController, TimelockControllerErrors, "contracts/abi/TimelockController.json";
    faucet: Faucet, FaucetErrors, "contracts/abi/Faucet.json";
    token_distributor: TokenDistributor, TokenDistributorErrors, "contracts/abi/TokenDistributor.json";
    work_verification: WorkVerification, WorkVerificationErrors, "contracts/abi/WorkVerification.json";
    work_settlement: WorkSettlement, WorkSettlementErrors, "contracts/abi/WorkSettlement.json";
    work_disputes: WorkDisputes, WorkDisputesErrors, "contracts/abi/WorkDisputes.json";
    reputation_system: ReputationSystem, ReputationSystemErrors, "contracts/abi/ReputationSystem.json";
}

#[allow(missing_docs, clippy::all)]
pub mod proof_verifier {
    alloy::sol!(
        #[derive(Debug)]
        ProofVerifier,
        "contracts/abi/ProofVerifier.json"
    );
}
pub use proof_verifier::ProofVerifier;

/// Revert data in words: an error of one of the contracts with its values, a reason, or a panic. `None` for what nobody knows.
pub fn decode_revert(data: &[u8]) -> Option<String> {
    match data.get(..4)? {
        selector if selector == Revert::SELECTOR => Revert::abi_decode(data).ok().map(|revert| revert.reason),
        selector if selector == Panic::SELECTOR => Panic::abi_decode(data).ok().map(|panic| panic.to_string()),
        selector => {
            let error = with_amounts(&decode_custom(data)?);
            let meaning = selector.try_into().ok().and_then(super::advice::meaning);
            Some(meaning.map_or_else(|| error.clone(), |meaning| format!("{error}: {meaning}")))
        }
    }
}

/// `Name(Name { value: 1 })` without the outer name.
fn strip_variant(text: &str) -> String {
    let inner = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(text).to_string()
}

/// Below this a number may be a time or a count; both tokens and coins have 18 decimals.
const FEWEST_AMOUNT_DIGITS: usize = 15;
/// Above this it is a hash or "everything".
const MOST_AMOUNT_DIGITS: usize = 30;

/// `{ total: 1500000000000000000 }` with what people call the number behind it: `(1.5)`.
fn with_amounts(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive([',', ' ']) {
        let number = piece.trim_end_matches([',', ' ']);
        shown.push_str(number);
        let is_amount = (FEWEST_AMOUNT_DIGITS..=MOST_AMOUNT_DIGITS).contains(&number.len());
        if let Some(wei) = number.parse().ok().filter(|_| is_amount) {
            shown.push_str(&format!(" ({})", Amount(wei)));
        }
        shown.push_str(&piece[number.len()..]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{U256, address};

    use super::*;

    #[test]
    fn tells_what_a_contract_said() {
        let error = StakingManager::BelowMinimum { total: U256::from(5), minimum: U256::from(10) };
        assert_eq!(decode_revert(&error.abi_encode()).unwrap(), "BelowMinimum { total: 5, minimum: 10 }");
        let error = StakingManager::BelowMinimum { total: Amount::parse_tokens("1.5").unwrap().wei(), minimum: U256::MAX };
        let told = format!("BelowMinimum {{ total: 1500000000000000000 (1.5), minimum: {} }}", U256::MAX);
        assert_eq!(decode_revert(&error.abi_encode()).unwrap(), told);
        let caller = address!("0x00000000000000000000000000000000000000aa");
        let told = decode_revert(&Inbox::ForbiddenRecipient { recipient: caller }.abi_encode()).unwrap();
        assert_eq!(told, "ForbiddenRecipient { recipient: 0x00000000000000000000000000000000000000aa }");
        let ended = decode_revert(&GPURental::AlreadyEnded { rentalId: 7 }.abi_encode()).unwrap();
        assert!(ended.starts_with("AlreadyEnded { rentalId: 7 }: an end was set"), "{ended}");
        assert_eq!(decode_revert(&Revert::from("too late").abi_encode()).unwrap(), "too late");
        assert!(decode_revert(&Panic::from(0x11).abi_encode()).unwrap().contains("overflow"));
        assert_eq!(decode_revert(&[]), None);
        assert_eq!(decode_revert(&[1, 2, 3, 4, 5]), None);
    }
}
