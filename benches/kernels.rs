//! Hot paths of the proof of work: a challenge on device 0, and its proof and verification on the CPU.

use std::hint::black_box;

use alloy::primitives::B256;
use criterion::{Criterion, criterion_group, criterion_main};
use gpumkt::gpu::{Engine, ignore_progress};
use gpumkt::rules::kernel::{compute, small_profile, verify_proof};
use gpumkt::types::work::cpu_test_class;

const SEED: B256 = B256::repeat_byte(1);

fn reference(c: &mut Criterion) {
    let (full, _) = cpu_test_class();
    let output = compute(&full, SEED);
    let proof = match output.prove(SEED, 1) {
        Ok(proof) => proof,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let root = output.roots.work_root();
    c.bench_function("reference/compute small", |b| b.iter(|| compute(black_box(&small_profile()), SEED)));
    c.bench_function("reference/prove one sample", |b| b.iter(|| output.prove(black_box(SEED), 1)));
    c.bench_function("reference/verify one sample", |b| b.iter(|| verify_proof(&full, SEED, root, SEED, 1, black_box(&proof))));
}

fn device(c: &mut Criterion) {
    let mut engine = match Engine::new(0) {
        Ok(engine) => engine,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let (full, light) = cpu_test_class();
    let mut group = c.benchmark_group("device 0");
    group.sample_size(10);
    for (name, profile) in [("full", full), ("light", light)] {
        group.bench_function(format!("cpu-test {name}"), |b| {
            b.iter(|| engine.run(black_box(&profile), SEED, &mut ignore_progress).map(|run| run.timings))
        });
    }
    group.finish();
}

criterion_group!(kernels, reference, device);
criterion_main!(kernels);
