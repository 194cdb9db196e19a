//! How often a cheat that does part of the work is caught, beside the formula. Seeds are fixed, so the counts are too.

use std::fmt::Write;
use std::path::Path;

use alloy::primitives::B256;
use gpumkt::rules::kernel::memory::{FilledMemory, Lines, lane_checkpoints};
use gpumkt::rules::kernel::{sample, verify_proof};

use super::cheat::{Committed, Fold, Tactic, Walks, honest_fold, honest_lane, invented};
use super::{PROFILE, SEED, passes};

/// Commits whose single sample is verified, and those of which also the contract verifies.
const TRIALS: u32 = 300;
const TRIALS_ON_CHAIN: u32 = 30;
/// Commits that a Queen samples as it does in a node.
const TRIALS_OF_QUEEN: u32 = 60;
const SAMPLES_OF_QUEEN: u32 = 8;
/// Queens of a committee on a main network, and those whose receipts make a commit measured.
const COMMITTEE: u32 = 15;
const QUORUM: u32 = 10;
/// How far from its mean a count may be, in standard deviations: once in 16,000 for a right formula.
const DEVIATIONS: f64 = 4.0;

struct Attack {
    name: &'static str,
    /// What the cheat saves.
    saves: &'static str,
    /// Probability that one sample meets a wrong part.
    per_sample: f64,
    build: fn() -> Committed,
}

fn of_lanes(lane: &dyn Fn(&Walks<'_>, u32) -> Vec<B256>) -> Committed {
    Committed::build(&PROFILE, SEED, &Tactic { lane, fold: &honest_fold })
}

fn of_folds(fold: &Fold<'_>) -> Committed {
    Committed::build(&PROFILE, SEED, &Tactic { lane: &honest_lane, fold })
}

fn noise(parts: &[u64]) -> u64 {
    u64::from_be_bytes(invented(parts)[..8].try_into().unwrap())
}

/// 13 of 64 lanes, rows or columns of folds are a fifth of the work; 1 of 5 rounds is too.
const FIFTH: f64 = 13.0 / 64.0;

/// A memory without one line of each window.
struct Holey<'a> {
    memory: &'a FilledMemory,
}

impl Lines for Holey<'_> {
    fn line(&self, line: u64) -> [u64; 16] {
        if line % 512 == 77 { [0; 16] } else { self.memory.line(line) }
    }
}

const ATTACKS: [Attack; 10] = [
    Attack {
        name: "one lane walked, claimed for all",
        saves: "63 of 64 lanes",
        per_sample: 63.0 / 64.0,
        build: || of_lanes(&|walks, _| walks.honest(0)),
    },
    Attack {
        name: "lanes merged after their first segment",
        saves: "4 of 5 segments of 63 of 64 lanes",
        per_sample: 63.0 / 64.0,
        build: || {
            of_lanes(&|walks, lane| {
                let mut states = walks.honest(0);
                states[0] = walks.honest(lane)[0];
                states
            })
        },
    },
    Attack {
        name: "jump at a checkpoint: one segment of each lane invented",
        saves: "1 of 5 segments",
        per_sample: 1.0 / 4.0,
        build: || {
            of_lanes(&|walks, lane| {
                let mut states = walks.honest(lane);
                states[3] = invented(&[3, lane.into()]);
                states[4] = walks.segment_from(lane, 4, states[3]);
                states
            })
        },
    },
    Attack {
        name: "first segment invented, then walked on",
        saves: "1 of 5 segments",
        per_sample: 1.0,
        build: || {
            of_lanes(&|walks, lane| {
                let mut states = vec![invented(&[0, lane.into()])];
                (1..walks.profile.segments()).for_each(|segment| {
                    let next = walks.segment_from(lane, segment, states[segment as usize - 1]);
                    states.push(next);
                });
                states
            })
        },
    },
    Attack {
        name: "a fifth of the lanes invented",
        saves: "13 of 64 lanes",
        per_sample: FIFTH,
        build: || {
            of_lanes(&|walks, lane| match lane % 64 < 13 {
                true => (0..walks.profile.segments()).map(|segment| invented(&[lane.into(), segment.into()])).collect(),
                false => walks.honest(lane),
            })
        },
    },
    Attack {
        name: "one line of 512 not kept, read as zeros",
        saves: "1 of 512 lines",
        // Two segments of 256 steps read 512 lines.
        per_sample: 0.632,
        build: || of_lanes(&|walks, lane| lane_checkpoints(walks.profile, walks.seed, lane, &Holey { memory: &walks.memory })),
    },
    Attack {
        name: "garbage in one round of five",
        saves: "1 of 5 products",
        per_sample: 1.0 / 5.0,
        build: || of_folds(&|round, row, fold, honest| if round == 4 { noise(&[row.into(), fold.into()]) } else { honest() }),
    },
    Attack {
        name: "a fifth of the rows invented, in every round",
        saves: "13 of 64 rows",
        per_sample: FIFTH,
        build: || of_folds(&|round, row, fold, honest| if row < 13 { noise(&[round.into(), row.into(), fold.into()]) } else { honest() }),
    },
    Attack {
        name: "one of eight columns of folds invented",
        saves: "8 of 64 columns",
        per_sample: 1.0 / 8.0,
        build: || of_folds(&|round, row, fold, honest| if fold == 5 { noise(&[round.into(), row.into()]) } else { honest() }),
    },
    Attack {
        name: "a fifth of the lanes and a fifth of the rows invented",
        saves: "a fifth of everything but the fill",
        per_sample: 1.0 - (1.0 - FIFTH) * (1.0 - FIFTH),
        build: || {
            let lane = |walks: &Walks<'_>, lane: u32| match lane < 13 {
                true => (0..walks.profile.segments()).map(|segment| invented(&[lane.into(), segment.into()])).collect(),
                false => walks.honest(lane),
            };
            let fold = |round: u32, row: u32, fold: u32, honest: &dyn Fn() -> u64| match row < 13 {
                true => noise(&[round.into(), row.into(), fold.into()]),
                false => honest(),
            };
            Committed::build(&PROFILE, SEED, &Tactic { lane: &lane, fold: &fold })
        },
    },
];

/// Probability that at least one of `samples` samples meets a wrong part.
pub(super) fn caught(per_sample: f64, samples: u32) -> f64 {
    1.0 - (1.0 - per_sample).powi(samples as i32)
}

/// Probability that enough Queens of a committee see nothing wrong.
fn stays_measured(per_sample: f64) -> f64 {
    let blind = 1.0 - caught(per_sample, SAMPLES_OF_QUEEN);
    let choose = |k: u32| (0..k).fold(1.0, |product, i| product * f64::from(COMMITTEE - i) / f64::from(i + 1));
    (QUORUM..=COMMITTEE).map(|k| choose(k) * blind.powi(k as i32) * (1.0 - blind).powi((COMMITTEE - k) as i32)).sum()
}

pub(super) fn assert_binomial(name: &str, count: u32, trials: u32, probability: f64) {
    let mean = f64::from(trials) * probability;
    let bound = DEVIATIONS * (mean * (1.0 - probability)).sqrt();
    let distance = (f64::from(count) - mean).abs();
    assert!(distance <= bound, "{name}: {count} of {trials}, expected {mean:.1} +- {bound:.1}");
}

/// Commits of `trials` seals that are caught with `samples` samples each.
fn count_caught(cheat: &Committed, samples: u32, trials: u32) -> u32 {
    let seals = (0..trials).map(|trial| invented(&[samples.into(), trial.into()]));
    let wrong = seals.enumerate().filter(|(trial, seal)| {
        let proof = cheat.open(&sample::samples(&PROFILE, *seal, samples));
        match samples == 1 && *trial < TRIALS_ON_CHAIN as usize {
            true => !passes(&PROFILE, SEED, cheat.root(), *seal, samples, &proof),
            false => verify_proof(&PROFILE, SEED, cheat.root(), *seal, samples, &proof).is_err(),
        }
    });
    wrong.count() as u32
}

fn row(attack: &Attack) -> String {
    let cheat = (attack.build)();
    let Attack { name, saves, per_sample, .. } = attack;
    let by_one = count_caught(&cheat, 1, TRIALS);
    assert_binomial(name, by_one, TRIALS, *per_sample);
    let of_queen = caught(*per_sample, SAMPLES_OF_QUEEN);
    let by_queen = count_caught(&cheat, SAMPLES_OF_QUEEN, TRIALS_OF_QUEEN);
    assert_binomial(name, by_queen, TRIALS_OF_QUEEN, of_queen);
    format!(
        "| {name} | {saves} | {per_sample:.3} | {:.3} | {of_queen:.3} | {:.3} | {} |",
        f64::from(by_one) / f64::from(TRIALS),
        f64::from(by_queen) / f64::from(TRIALS_OF_QUEEN),
        match stays_measured(*per_sample) {
            rare if rare < 1e-9 => "< 1e-9".into(),
            often => format!("{often:.1e}"),
        },
    )
}

#[test]
fn partial_work_is_caught_as_often_as_the_formulas_say() {
    let honest = Committed::honest(&PROFILE, SEED);
    assert_eq!(count_caught(&honest, 1, 8), 0, "an honest provider is never caught");
    let mut table = String::from(
        "| attack | saves | caught by one sample: formula | measured | caught by a Queen (8 samples): formula | measured | stays measured |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let rows: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = ATTACKS.iter().map(|attack| scope.spawn(move || row(attack))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    rows.iter().for_each(|row| writeln!(table, "{row}").unwrap());
    println!("{table}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verification.md");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains(&table), "docs/verification.md does not hold this table:\n{table}");
}

#[test]
fn the_binomial_bound_can_fail() {
    assert_binomial("fair", 160, 300, 0.5);
    let outside = std::panic::catch_unwind(|| assert_binomial("unfair", 60, 300, 0.5));
    assert!(outside.is_err());
}
