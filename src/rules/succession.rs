//! Who follows a King set: what a King may sign for an epoch after what it signed before. docs/bridge.md has the rules.

use alloy::primitives::B256;

use crate::types::wire::Statement;

/// What both chains say, at blocks that will stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub ethereum_epoch: u64,
    pub classic_epoch: u64,
    /// Unix seconds.
    pub ethereum_time: u64,
    pub classic_time: u64,
    /// How long a nomination may be installed on Ethereum Classic; twice as long on Ethereum.
    pub signing_window: u64,
    /// Hash of Ethereum's set of the epoch in question; zero while there is none.
    pub installed: B256,
}

/// Whether `next` may be signed after `previous`, both for the same epoch: otherwise the chains could end with two sets of one epoch.
pub fn may_follow(previous: &Statement, next: &Statement, seen: &Seen) -> bool {
    if previous == next {
        return true;
    }
    match (*previous, *next) {
        // Ethereum has taken the set, and nobody brought it to Ethereum Classic in time: the same set again, and no other.
        (
            Statement::Rotation { set_epoch, set_hash, nominated_at, .. },
            Statement::Rotation { set_hash: again, nominated_at: later, .. },
        ) if seen.ethereum_epoch == set_epoch => set_hash == again && seen.installed == set_hash && later > nominated_at,
        // What was signed can be installed nowhere any more.
        (Statement::Rotation { set_epoch, nominated_at, .. }, Statement::Rotation { .. } | Statement::Recovery { .. }) => {
            let closed = nominated_at.saturating_add(seen.signing_window.saturating_mul(2));
            seen.ethereum_epoch < set_epoch && seen.classic_epoch < set_epoch && closed < seen.ethereum_time && closed < seen.classic_time
        }
        // Whichever of the two is taken, the set and its epoch are the same; the later one revokes more.
        (
            Statement::Recovery { origin_chain_id, outbox, fork_count, .. },
            Statement::Recovery { origin_chain_id: origin, outbox: from, fork_count: lower, .. },
        ) => origin_chain_id == origin && outbox == from && lower < fork_count,
        _ => false,
    }
}

/// The time that the outgoing set writes into a rotation that Ethereum has installed and Ethereum Classic missed: whole windows after the
/// nomination, so that all Kings write the same. `None` while the first signatures still serve.
pub fn renewed_nomination(nominated_at: u64, signing_window: u64, classic_time: u64) -> Option<u64> {
    let windows = classic_time.checked_sub(nominated_at)?.checked_div(signing_window)?;
    (windows > 0).then(|| nominated_at.saturating_add(windows.saturating_mul(signing_window)))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Address;

    use super::*;

    fn rotation(hash: u8, nominated_at: u64) -> Statement {
        Statement::Rotation { bridge: B256::ZERO, set_epoch: 5, set_hash: B256::repeat_byte(hash), nominated_at, expires_at: 9_000 }
    }

    fn recovery(fork_count: u32) -> Statement {
        Statement::Recovery { origin_chain_id: 61, outbox: Address::ZERO, set_epoch: 5, fork_count }
    }

    fn seen(ethereum_epoch: u64, ethereum_time: u64, classic_time: u64) -> Seen {
        let installed = if ethereum_epoch == 5 { B256::repeat_byte(1) } else { B256::ZERO };
        Seen { ethereum_epoch, classic_epoch: 4, ethereum_time, classic_time, signing_window: 100, installed }
    }

    #[test]
    fn another_set_only_once_the_first_can_be_installed_nowhere() {
        let (first, second) = (rotation(1, 1_000), rotation(2, 1_300));
        assert!(!may_follow(&first, &second, &seen(4, 1_200, 1_200)), "Ethereum may still take the first");
        assert!(!may_follow(&first, &second, &seen(4, 1_201, 1_100)), "the other chain's clock is behind");
        assert!(may_follow(&first, &second, &seen(4, 1_201, 1_201)));
        assert!(!may_follow(&first, &second, &seen(5, 1_201, 1_201)), "Ethereum has taken the first");
        assert!(may_follow(&first, &recovery(7), &seen(4, 1_201, 1_201)));
        assert!(!may_follow(&first, &recovery(7), &seen(4, 1_100, 1_201)));
    }

    #[test]
    fn an_installed_set_is_signed_again_for_the_chain_that_missed_it() {
        assert!(may_follow(&rotation(1, 1_000), &rotation(1, 1_100), &seen(5, 1_050, 1_150)));
        assert!(!may_follow(&rotation(1, 1_000), &rotation(1, 1_100), &seen(4, 1_050, 1_150)), "not installed");
        assert_eq!(renewed_nomination(1_000, 100, 1_099), None);
        assert_eq!(renewed_nomination(1_000, 100, 1_100), Some(1_100));
        assert_eq!(renewed_nomination(1_000, 100, 1_399), Some(1_300));
        assert_eq!(renewed_nomination(1_000, 0, 1_399), None);
        assert_eq!(renewed_nomination(1_000, 100, 999), None);
    }

    #[test]
    fn a_recovery_excludes_a_rotation_and_only_ever_revokes_more() {
        let late = seen(4, 9_999, 9_999);
        assert!(!may_follow(&recovery(7), &rotation(1, 1_000), &late));
        assert!(may_follow(&recovery(7), &recovery(6), &late) && may_follow(&recovery(7), &recovery(7), &late));
        assert!(!may_follow(&recovery(7), &recovery(8), &late));
    }
}
