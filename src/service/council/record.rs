//! What a King has said for each epoch, recorded before it is heard.

use alloy::primitives::B256;

use crate::{
    rules::succession::{Seen, may_follow},
    store::{Recorded, Store, StoreError, Table},
    types::wire::{Statement, StatementSignature},
};

/// What was chosen for a set epoch, in the order in which it was: a later choice must be allowed to follow the one before.
pub const CHOICES: Table<(u64, u32), Statement> = Table::new("king_choices");
/// Statements that this King has signed, by digest.
pub const SPOKEN: Table<B256, StatementSignature> = Table::new("king_statements");
/// Choices per epoch: each one after the first takes two signing windows, or a deeper reorganisation.
const MAX_CHOICES: usize = 256;

/// Records `wanted` as the choice for `epoch`, unless an earlier choice stands against it, which is returned then.
pub fn choose(store: &Store, epoch: u64, wanted: Statement, seen: &Seen) -> Result<Option<Statement>, StoreError> {
    let earlier = store.scan(&CHOICES, Some(&(epoch, 0)), MAX_CHOICES)?;
    let earlier: Vec<Statement> = earlier.into_iter().take_while(|((of, _), _)| *of == epoch).map(|(_, choice)| choice).collect();
    if let Some(last) = earlier.last() {
        if last == &wanted {
            return Ok(None);
        }
        if !may_follow(last, &wanted, seen) || earlier.len() == MAX_CHOICES {
            return Ok(Some(*last));
        }
    }
    let round = u32::try_from(earlier.len()).unwrap_or(u32::MAX);
    match store.put_if_absent(&CHOICES, &(epoch, round), wanted)? {
        Recorded::Existing(other) if other != wanted => Ok(Some(other)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_choice_per_epoch_over_restarts_until_it_is_void() {
        let folder = tempfile::tempdir().unwrap();
        let rotation = |hash| Statement::Rotation {
            bridge: B256::ZERO,
            set_epoch: 5,
            set_hash: B256::repeat_byte(hash),
            nominated_at: 1_000 + u64::from(hash),
            expires_at: 9_000,
        };
        let seen = |time| Seen {
            ethereum_epoch: 4,
            classic_epoch: 4,
            ethereum_time: time,
            classic_time: time,
            signing_window: 100,
            installed: B256::ZERO,
        };
        let open = || Store::open(folder.path(), &[CHOICES.name()]).unwrap();
        assert_eq!(choose(&open(), 5, rotation(1), &seen(1_100)).unwrap(), None);
        assert_eq!(choose(&open(), 5, rotation(1), &seen(1_100)).unwrap(), None, "the same again");
        assert_eq!(choose(&open(), 5, rotation(2), &seen(1_100)).unwrap(), Some(rotation(1)));
        assert_eq!(choose(&open(), 6, rotation(2), &seen(1_100)).unwrap(), None, "another epoch");
        assert_eq!(choose(&open(), 5, rotation(2), &seen(1_300)).unwrap(), None, "the first can be installed nowhere");
        assert_eq!(choose(&open(), 5, rotation(1), &seen(1_100)).unwrap(), Some(rotation(2)));
    }
}
