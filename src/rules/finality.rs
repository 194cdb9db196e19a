//! How deep a block of Ethereum Classic must be before a King signs it: the more value it lets out, the deeper.
//!
//! Undoing `n` blocks costs an attacker about `n / 2` block rewards, so at most that much value may depend on the newest `n` blocks,
//! for every `n`. Each message adds its value to an exposure, and every block on top of it takes half a reward away. All of that is
//! read from one chain and one list of messages, so every King computes the same depth without asking anybody, and value that is
//! split over many small checkpoints waits as long as in one.

/// Wei of one whole GPUTOKEN.
const TOKEN_WEI: u128 = 1_000_000_000_000_000_000;

/// Governed: all Kings of a deployment have the same, or they sign at different times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthPolicy {
    /// Blocks on top of anything, worth something or not.
    pub min_depth: u64,
    /// What a miner gets for a block, wei of ETC.
    pub block_reward_wei: u128,
    /// What one GPUTOKEN is worth, wei of ETC.
    pub token_price_wei: u128,
}

/// Value that left with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outflow {
    pub block: u64,
    /// Wei of GPUTOKEN.
    pub value_wei: u128,
}

impl DepthPolicy {
    /// Blocks that must stand on top of block `at`. `outflows` are those up to `at`, in the order of their blocks; others are passed over.
    pub fn depth(&self, outflows: impl IntoIterator<Item = Outflow>, at: u64) -> u64 {
        let per_block = (self.block_reward_wei / 2).max(1);
        let (mut exposure_wei, mut last) = (0u128, 0u64);
        for outflow in outflows.into_iter().filter(|outflow| outflow.block <= at) {
            exposure_wei =
                drained(exposure_wei, outflow.block.saturating_sub(last), per_block).saturating_add(self.in_etc(outflow.value_wei));
            last = last.max(outflow.block);
        }
        let blocks = drained(exposure_wei, at.saturating_sub(last), per_block).div_ceil(per_block);
        u64::try_from(blocks).unwrap_or(u64::MAX).max(self.min_depth)
    }

    /// Whole tokens and the rest apart, so that no product of honest numbers overflows; rounded up.
    fn in_etc(&self, value_wei: u128) -> u128 {
        let (tokens, rest) = (value_wei / TOKEN_WEI, value_wei % TOKEN_WEI);
        let part = (rest / 1_000_000_000).saturating_add(1).saturating_mul(self.token_price_wei) / 1_000_000_000;
        let rest = if rest == 0 { 0 } else { part.saturating_add(1) };
        tokens.saturating_mul(self.token_price_wei).saturating_add(rest)
    }
}

fn drained(exposure_wei: u128, blocks: u64, per_block: u128) -> u128 {
    exposure_wei.saturating_sub(u128::from(blocks).saturating_mul(per_block))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REWARD: u128 = 1_638_400_000_000_000_000;

    fn policy() -> DepthPolicy {
        DepthPolicy { min_depth: 10, block_reward_wei: REWARD, token_price_wei: TOKEN_WEI / 10 }
    }

    fn worth(block: u64, tokens: u128) -> Outflow {
        Outflow { block, value_wei: tokens * TOKEN_WEI }
    }

    #[test]
    fn value_over_half_a_reward_per_block() {
        let policy = policy();
        assert_eq!(policy.depth([], 100), 10, "nothing of value left");
        assert_eq!(policy.depth([worth(100, 80)], 100), 10, "8 ETC are 9.8 half rewards");
        assert_eq!(policy.depth([worth(100, 1_000)], 100), 123, "100 ETC over 0.8192");
        assert_eq!(policy.depth([worth(100, 1_000), worth(100, 1_000)], 100), 245);
        assert_eq!(policy.depth([worth(101, 1_000)], 100), 10, "a later message does not hold up an earlier block");
    }

    #[test]
    fn blocks_on_top_of_a_message_count() {
        let policy = policy();
        assert_eq!(policy.depth([worth(100, 1_000)], 150), 73);
        assert_eq!(policy.depth([worth(100, 1_000)], 100_000), 10);
        assert_eq!(policy.depth([worth(100, 1_000), worth(150, 1_000)], 150), 195);
    }

    #[test]
    fn absurd_values_wait_for_ever_and_overflow_nothing() {
        let policy = policy();
        assert!(policy.depth([Outflow { block: 1, value_wei: u128::MAX }], 1) > 1_000_000_000);
        assert_eq!(DepthPolicy { block_reward_wei: 0, ..policy }.depth([worth(1, 1_000_000)], 1), u64::MAX);
        assert_eq!(DepthPolicy { token_price_wei: u128::MAX, ..policy }.depth([worth(1, 2)], 1), u64::MAX);
    }

    proptest! {
        /// What depends on the newest blocks never exceeds what undoing them costs, whatever the pattern of messages.
        #[test]
        fn undoing_blocks_never_pays(steps in prop::collection::vec((0u64..40, 0u128..3_000), 1..40)) {
            let policy = policy();
            let mut block = 1_000;
            let outflows: Vec<Outflow> = steps.iter().map(|(gap, tokens)| { block += gap; worth(block, *tokens) }).collect();
            let depth = policy.depth(outflows.iter().copied(), block);
            let signed_at = block + depth;
            for first in &outflows {
                let taken: u128 = outflows.iter().filter(|other| other.block >= first.block).map(|other| policy.in_etc(other.value_wei)).sum();
                let cost = u128::from(signed_at - first.block) * (REWARD / 2);
                prop_assert!(taken <= cost + 1, "{taken} for {cost}");
            }
        }

        /// A later block is never ready before an earlier one.
        #[test]
        fn readiness_keeps_the_order(steps in prop::collection::vec((1u64..40, 0u128..3_000), 2..30)) {
            let policy = policy();
            let mut block = 1_000;
            let outflows: Vec<Outflow> = steps.iter().map(|(gap, tokens)| { block += gap; worth(block, *tokens) }).collect();
            let ready: Vec<u64> = outflows.iter().map(|at| at.block + policy.depth(outflows.iter().copied(), at.block)).collect();
            prop_assert!(ready.windows(2).all(|pair| pair[0] <= pair[1]), "{ready:?}");
        }
    }
}
