//! Attacks on time: Queens that lie about it or say nothing, and providers that choose among receipts.

use alloy::primitives::{Address, B256};
use gpumkt::rules::committee::{committee, is_measured, median_ms};
use proptest::prelude::*;

use super::cheat::invented;
use super::rates::assert_binomial;

/// Queens of the network and of a committee in the table of docs/verification.md.
const QUEENS: u16 = 60;
const COMMITTEE: u16 = 15;
/// Receipts of liars that decide the median: more than half of the committee.
const MAJORITY: u32 = 8;
const DRAWS: u32 = 4_000;

/// A committee with so many liars, and what a provider commits of its receipts.
fn receipts(honest: &[u32], lie: u32, liars: usize, withheld: usize) -> Vec<u32> {
    let kept = honest.len().saturating_sub(withheld);
    let mut sorted = honest.to_vec();
    sorted.sort_unstable();
    sorted.truncate(kept);
    sorted.extend(std::iter::repeat_n(lie, liars));
    sorted
}

proptest! {
    #[test]
    fn a_lying_minority_cannot_set_the_time(
        size in 1usize..=21,
        liars in 0usize..=10,
        withheld in 0usize..=7,
        times in prop::collection::vec(500u32..5_000, 21),
        lie in prop_oneof![Just(0u32), Just(u32::MAX), any::<u32>()],
    ) {
        prop_assume!(2 * liars < size);
        let honest = &times[..size - liars];
        let (fastest, slowest) = (*honest.iter().min().unwrap(), *honest.iter().max().unwrap());
        let all = receipts(honest, lie, liars, 0);
        let median = median_ms(&all, size).unwrap();
        prop_assert!((fastest..=slowest).contains(&median), "{median} is not between {fastest} and {slowest}");

        // Leaving out the slowest receipts is counted as if those Queens had been slower still.
        let chosen = receipts(honest, lie, liars, withheld);
        if is_measured(chosen.len(), size) {
            let chosen_median = median_ms(&chosen, size);
            prop_assert!(chosen_median.is_none_or(|chosen| chosen >= median), "withholding made {median} into {chosen_median:?}");
        }
    }

    /// Queens that refuse to sign: fewer than a third of a committee cannot keep a provider from being measured, nor make it miss.
    #[test]
    fn a_silent_minority_cannot_harm(size in 1usize..=21, silent in 0usize..=7, time in 1u32..10_000) {
        prop_assume!(3 * silent <= size);
        let receipts = vec![time; size - silent];
        prop_assert!(is_measured(receipts.len(), size));
        prop_assert_eq!(median_ms(&receipts, size), Some(time));
    }
}

/// Probability that a committee drawn from all Queens has at least so many of the liars.
fn at_least(liars: u32, needed: u32) -> f64 {
    let choose = |n: u32, k: u32| (0..k).fold(1.0, |product, i| product * f64::from(n - i) / f64::from(i + 1));
    let (queens, seats) = (u32::from(QUEENS), u32::from(COMMITTEE));
    let ways = |k: u32| if k > liars || seats - k > queens - liars { 0.0 } else { choose(liars, k) * choose(queens - liars, seats - k) };
    (needed..=seats).map(ways).sum::<f64>() / choose(queens, seats)
}

#[test]
fn committees_are_captured_as_often_as_the_formula_says() {
    for liars in [12u32, 18, 24, 30] {
        let captured = (0..DRAWS).filter(|draw| {
            let members = committee(invented(&[(*draw).into()]), Address::repeat_byte(3), 7, QUEENS, COMMITTEE);
            assert_eq!(members.len(), usize::from(COMMITTEE));
            // Seats are drawn without regard to the index, so the first ones may lie.
            members.iter().filter(|member| u32::from(**member) < liars).count() as u32 >= MAJORITY
        });
        let (count, formula) = (captured.count() as u32, at_least(liars, MAJORITY));
        println!("{liars} of {QUEENS} Queens lie: majority in {count} of {DRAWS} committees, formula {formula:.5}");
        assert_binomial("captured committees", count, DRAWS, formula);
    }
}

/// A provider cannot choose its committee: neither its root nor its mode is in the draw, only what was fixed before the block.
#[test]
fn the_committee_follows_from_the_block_and_the_device() {
    let of = |hash: B256, provider: u8, device| committee(hash, Address::repeat_byte(provider), device, QUEENS, COMMITTEE);
    let base = of(B256::repeat_byte(1), 1, 1);
    assert_eq!(of(B256::repeat_byte(1), 1, 1), base);
    assert!(
        [of(B256::repeat_byte(2), 1, 1), of(B256::repeat_byte(1), 2, 1), of(B256::repeat_byte(1), 1, 2)].iter().all(|other| *other != base)
    );
}
