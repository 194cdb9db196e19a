//! A device that is lost or busy in the middle of a challenge: its error says which of both, the other device of the machine works on
//! meanwhile, and the lost one serves again once its driver answers. Two devices of PoCL; the calls of one of them fail on command.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use alloy::primitives::B256;
use gpumkt::{
    gpu,
    rules::kernel::{compute, small_profile},
    service::worker::GpuWorker,
    types::Coded,
};

const INSIDE: &str = "GPUMKT_TEST_INSIDE";
const FAULT: &str = "GPUMKT_TEST_DEVICE";
const SEED: B256 = B256::repeat_byte(0x3c);
const DEVICE_NOT_AVAILABLE: i32 = -2;
const OUT_OF_RESOURCES: i32 = -5;

/// The library is preloaded and the devices are named in the environment, so the test runs in a process of its own.
#[test]
fn a_device_that_is_lost_in_the_middle_leaves_the_others_at_work() {
    if let Some(path) = std::env::var_os(FAULT).filter(|_| std::env::var_os(INSIDE).is_some()) {
        tokio::runtime::Runtime::new().unwrap().block_on(inside(PathBuf::from(path)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (library, fault) = (folder.path().join("lost_device.so"), folder.path().join("fault"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/lost_device.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-w", "-o"]).arg(&library).arg(source).status().unwrap();
    assert!(compiled.success(), "the C compiler that links Rust compiles this, too");
    std::fs::write(&fault, [0u8; 64]).unwrap();
    let name = "lost_device::a_device_that_is_lost_in_the_middle_leaves_the_others_at_work";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").env(FAULT, &fault).env("LD_PRELOAD", &library);
    let output = command.env("POCL_DEVICES", "pthread basic").env("GPUMKT_CACHE_DIR", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// From `launches` launches on, calls of the device whose name begins so fail with `code`.
fn fail(path: &Path, code: i32, launches: i32, name: &str) {
    let mut words = [0u8; 64];
    words[8..8 + name.len()].copy_from_slice(name.as_bytes());
    words[4..8].copy_from_slice(&launches.to_le_bytes());
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&words, 0).unwrap();
    file.write_all_at(&code.to_le_bytes(), 0).unwrap();
}

async fn inside(fault: PathBuf) {
    let devices = gpu::devices().unwrap();
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    assert!(names.len() == 2 && !names[1].starts_with(names[0]) && !names[0].starts_with(names[1]), "{names:?}");
    let profile = small_profile();
    let expected = compute(&profile, SEED);
    let (first, second) = (GpuWorker::start(0, vec![profile]).await.unwrap(), GpuWorker::start(1, vec![profile]).await.unwrap());
    for (code, expected_code) in [(DEVICE_NOT_AVAILABLE, "E-GPU-012"), (OUT_OF_RESOURCES, "E-GPU-013")] {
        // A few launches into the challenge.
        fail(&fault, code, 3, names[0]);
        let (lost, other) = tokio::join!(first.run(profile, SEED), second.run(profile, SEED));
        let error = lost.expect_err("its device fails");
        assert_eq!(error.code(), expected_code, "{error}");
        assert!(other.unwrap().output == expected, "the other device has nothing to do with it");
        let error = first.run(profile, SEED).await.expect_err("it cannot be opened either");
        assert_eq!(error.code(), expected_code, "{error}");
        assert!(second.run(profile, SEED).await.unwrap().output == expected);
        fail(&fault, 0, 0, names[0]);
        assert!(first.run(profile, SEED).await.unwrap().output == expected, "the driver answers again");
    }
}
