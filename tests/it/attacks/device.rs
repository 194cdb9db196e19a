//! Real kernels on a real device, told to do less than the challenge asks.

use alloy::primitives::B256;
use gpumkt::gpu::{Engine, ignore_progress};
use gpumkt::rules::kernel::merkle::MerkleTree;
use gpumkt::rules::kernel::{WorkOutput, matmul, seed, verify_proof};
use gpumkt::types::work::Profile;

use super::cheat::invented;
use super::rates::assert_binomial;
use super::{PROFILE, SEED, passes};

const TRIALS: u32 = 120;
const TRIALS_ON_CHAIN: u32 = 6;

/// The kernels' output for a cheaper profile, committed as if it were that of the challenge.
fn device_output(engine: &mut Engine, cheaper: &Profile) -> WorkOutput {
    let output = engine.run(cheaper, SEED, &mut ignore_progress).unwrap().output;
    WorkOutput { profile: PROFILE, ..output }
}

/// Products that follow honestly from whatever memory root was committed.
fn with_honest_products(mut output: WorkOutput) -> WorkOutput {
    output.roots.memory_root = output.lanes.root();
    (output.roots.matmul_roots, output.products) = (Vec::new(), Vec::new());
    let (mut current, mut previous) = (SEED, output.roots.memory_root);
    for _ in 0..PROFILE.rounds {
        current = seed::round_seed(current, previous);
        let product = MerkleTree::build(matmul::leaf_hashes(&PROFILE, current));
        previous = product.root();
        output.roots.matmul_roots.push(previous);
        output.products.push(product);
    }
    output
}

fn assert_caught(name: &str, output: &WorkOutput, per_sample: f64) {
    let root = output.roots.work_root();
    let caught = (0..TRIALS).filter(|trial| {
        let draw = invented(&[0xde, (*trial).into()]);
        let proof = output.prove(draw, 1).unwrap();
        match *trial < TRIALS_ON_CHAIN {
            true => !passes(&PROFILE, SEED, root, draw, 1, &proof),
            false => verify_proof(&PROFILE, SEED, root, draw, 1, &proof).is_err(),
        }
    });
    let caught = caught.count() as u32;
    println!("{name}: {caught} of {TRIALS} caught, formula {per_sample:.3}");
    assert_binomial(name, caught, TRIALS, per_sample);
}

#[test]
fn a_device_that_does_less_is_caught() {
    let mut engine = Engine::new(0).unwrap();
    let honest = device_output(&mut engine, &PROFILE);
    assert_caught("all of the work", &honest, 0.0);

    let everything_differs = [
        ("half of the memory filled", Profile { memory_bytes: PROFILE.memory_bytes / 2, ..PROFILE }),
        ("one window walked over and over", Profile { windows: 1, ..PROFILE }),
        ("half of the terms of each sum", Profile { inner_size: 32, ..PROFILE }),
    ];
    for (name, cheaper) in everything_differs {
        let output = device_output(&mut engine, &cheaper);
        assert_caught(name, &output, 1.0);
    }

    let half = device_output(&mut engine, &Profile { lanes: PROFILE.lanes / 2, ..PROFILE });
    let twice = [half.lanes.leaves(), half.lanes.leaves()].concat();
    let padded = with_honest_products(WorkOutput { lanes: MerkleTree::build(twice), ..half });
    assert_caught("half of the lanes, committed twice", &padded, 1.0 / 2.0);

    let mut fewer = device_output(&mut engine, &Profile { rounds: PROFILE.rounds - 1, ..PROFILE });
    let garbage = MerkleTree::build((0..PROFILE.leaves()).map(|leaf| invented(&[leaf])).collect());
    fewer.roots.matmul_roots.push(garbage.root());
    fewer.products.push(garbage);
    assert_caught("the last round left out", &fewer, 1.0 / 5.0);
}

/// The seed of the block before, of which the device kept the whole result.
#[test]
fn a_result_kept_from_an_earlier_challenge_is_refused() {
    let mut engine = Engine::new(0).unwrap();
    let kept = engine.run(&PROFILE, B256::repeat_byte(1), &mut ignore_progress).unwrap().output;
    let replayed = WorkOutput { seed: SEED, ..kept.clone() };
    for (name, output) in [("opened as it was", &kept), ("opened for the new seed", &replayed)] {
        let draw = invented(&[0x57a1e]);
        let proof = output.prove(draw, 1).unwrap();
        assert!(!passes(&PROFILE, SEED, output.roots.work_root(), draw, 1, &proof), "{name}");
    }
}
