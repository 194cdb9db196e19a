//! Every kernel variant gives the roots of the CPU reference on the OpenCL device of this machine.

use std::ops::ControlFlow;

use alloy::primitives::B256;
use gpumkt::gpu::{Engine, GpuError, Stage, Variant, devices, ignore_progress};
use gpumkt::rules::kernel::{compute, small_profile, verify_proof};
use gpumkt::types::Coded;
use gpumkt::types::work::{Profile, cpu_test_class};

const SEED: B256 = B256::repeat_byte(0x77);

#[test]
fn devices_are_listed_with_their_limits() {
    let found = devices().unwrap();
    for (position, device) in found.iter().enumerate() {
        assert_eq!(device.index, position);
        assert!(!device.name.is_empty() && device.memory_bytes > 0 && device.max_buffer_bytes > 0);
    }
    let missing = found.len();
    match Engine::new(missing).err() {
        Some(error @ GpuError::UnknownDevice { .. }) => {
            assert_eq!(error.code(), "E-GPU-003");
            assert!(error.to_string().contains(&found[0].name), "{error} does not list the devices");
        }
        other => panic!("expected an unknown device, got {other:?}"),
    }
}

#[test]
fn all_variants_equal_the_reference_over_many_shapes() {
    let small = small_profile();
    let shapes = [
        small,
        Profile { lanes: 1, windows: 1, memory_bytes: 128 * 3, hash_iterations: 1, steps: 512, ..small },
        Profile { lanes: 64, matrix_size: 8, inner_size: 32, rounds: 3, ..small },
        Profile { matrix_size: 64, inner_size: 96, ..small },
        Profile { matrix_size: 256, inner_size: 4224, rounds: 1, ..small },
        Profile { matrix_size: 2048, inner_size: 32, rounds: 1, ..small },
    ];
    for variant in Engine::variants(0).unwrap() {
        let mut engine = Engine::with_variant(0, variant).unwrap();
        for profile in &shapes {
            profile.validate().unwrap();
            let run = engine.run(profile, SEED, &mut ignore_progress).unwrap();
            assert!(run.output == compute(profile, SEED), "{} differs for {profile:?}", variant.name());
        }
    }
}

#[test]
fn a_variant_that_the_device_lacks_is_refused() {
    let supported = Engine::variants(0).unwrap();
    assert_eq!(supported.last(), Some(&Variant::Portable));
    for variant in Variant::ALL.into_iter().filter(|variant| !supported.contains(variant)) {
        let error = Engine::with_variant(0, variant).err().unwrap();
        assert_eq!(error.code(), "E-GPU-014", "{error}");
        assert!(error.to_string().contains(variant.name()), "{error}");
    }
}

#[test]
fn the_cpu_test_class_is_computed_and_proven() {
    let mut engine = Engine::new(0).unwrap();
    for profile in <[Profile; 2]>::from(cpu_test_class()) {
        engine.warm_up(&profile).unwrap();
        let run = engine.run(&profile, SEED, &mut ignore_progress).unwrap();
        eprintln!("{:?}", run.timings);
        let expected = compute(&profile, SEED);
        assert!(run.output == expected);
        let proof = run.output.prove(B256::ZERO, 3).unwrap();
        assert_eq!(verify_proof(&profile, SEED, expected.roots.work_root(), B256::ZERO, 3, &proof), Ok(()));
    }
}

#[test]
fn a_run_can_be_cancelled_in_every_stage_and_repeated() {
    let mut engine = Engine::new(0).unwrap();
    let profile = small_profile();
    for stage in [Stage::Fill, Stage::Walk, Stage::Product] {
        let mut hook = |progress: gpumkt::gpu::Progress| match progress.stage == stage {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let error = engine.run(&profile, SEED, &mut hook).unwrap_err();
        assert!(matches!(error, GpuError::Cancelled { stage: name } if name == stage.name()), "{error}");
    }
    let run = engine.run(&profile, SEED, &mut ignore_progress).unwrap();
    assert_eq!(run.output.roots, compute(&profile, SEED).roots);
}

#[test]
fn work_that_does_not_fit_is_refused_before_it_starts() {
    let mut engine = Engine::new(0).unwrap();
    let info = engine.info().clone();
    let windows = 4;
    let too_much = (info.memory_bytes / 512 + 1) * 512;
    let huge = Profile { memory_bytes: too_much, windows, ..small_profile() };
    let error = engine.run(&huge, SEED, &mut ignore_progress).unwrap_err();
    assert_eq!(error.code(), "E-GPU-006", "{error}");
    if info.max_buffer_bytes + 4096 < info.memory_bytes {
        let wide = Profile { memory_bytes: info.max_buffer_bytes / 128 * 128 + 128, windows: 1, ..small_profile() };
        let error = engine.run(&wide, SEED, &mut ignore_progress).unwrap_err();
        assert_eq!(error.code(), "E-GPU-005", "{error}");
    }
    let invalid = Profile { rounds: 0, ..small_profile() };
    let error = engine.run(&invalid, SEED, &mut ignore_progress).unwrap_err();
    assert_eq!(error.code(), "E-PROFILE-001", "{error}");
}
