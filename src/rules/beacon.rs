//! Which ETC blocks are challenges, and what is drawn from them. docs/protocol.md sections 2 and 7.

use std::sync::LazyLock;

use alloy::primitives::{B256, U256, keccak256};

use crate::types::DeviceId;

static BEACON: LazyLock<B256> = LazyLock::new(|| keccak256("gpumkt/beacon/v1"));

/// Whether a block with this hash is a challenge block, distance to the previous one aside.
pub fn is_challenge_block(block_hash: B256, period: u64) -> bool {
    let value = U256::from_be_bytes(keccak256([BEACON.0, block_hash.0].concat()).0);
    value <= U256::MAX / U256::from(period.max(1))
}

/// Distance rule on top of [`is_challenge_block`]: at least `spacing` after the last opened challenge, and openable until half the
/// commit window.
pub fn may_open(block: u64, previous: Option<u64>, spacing: u64) -> bool {
    previous.is_none_or(|previous| block >= previous.saturating_add(spacing))
}

/// Last block at which `open` is accepted.
pub fn open_until(block: u64, commit_window: u64) -> u64 {
    block.saturating_add(commit_window / 2)
}

/// Block whose hash draws the samples.
pub fn seal_block(block: u64, commit_window: u64) -> u64 {
    block.saturating_add(commit_window).saturating_add(1)
}

/// Words of the preimages that bind a draw to one commit.
pub fn commit_words(block: u64, device: DeviceId) -> [[u8; 32]; 2] {
    [U256::from(block).to_be_bytes(), U256::from(device).to_be_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_block_in_period_is_a_challenge() {
        let hits = (0..3_000u64).filter(|number| is_challenge_block(keccak256(number.to_be_bytes()), 3)).count();
        assert!((900..1_100).contains(&hits), "{hits}");
        assert!((0..100u64).all(|number| is_challenge_block(keccak256(number.to_be_bytes()), 1)));
    }

    #[test]
    fn spacing_counts_from_the_opened_one() {
        assert!(may_open(5, None, 6));
        assert!(!may_open(10, Some(5), 6));
        assert!(may_open(11, Some(5), 6));
        assert!(!may_open(u64::MAX - 1, Some(u64::MAX - 2), 6));
    }
}
