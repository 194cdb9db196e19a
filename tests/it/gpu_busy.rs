//! A device that has no memory left in the middle of a node's life: the challenge fails with its code, the next one is computed. The
//! lack is real: the process may map no more memory, which PoCL meets as any driver meets a full device.

use std::process::Command;

use alloy::primitives::B256;
use gpumkt::{
    rules::kernel::{compute, small_profile},
    service::worker::GpuWorker,
    types::{Coded, work::Profile},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const INSIDE: &str = "GPUMKT_TEST_LIMITED_MEMORY";
const SEED: B256 = B256::repeat_byte(0x2b);
/// More than the headroom below.
const LARGE: Profile = Profile { memory_bytes: 256 << 20, lanes: 1024, steps: 32_768, ..small_profile() };
/// What else the process needs meanwhile.
const HEADROOM: u64 = 32 << 20;

/// A limit binds the whole process, so the test runs in one of its own.
#[test]
fn a_device_without_memory_fails_one_challenge_and_computes_the_next() {
    if std::env::var_os(INSIDE).is_some() {
        tokio::runtime::Runtime::new().unwrap().block_on(inside());
        return;
    }
    let name = "gpu_busy::a_device_without_memory_fails_one_challenge_and_computes_the_next";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

async fn inside() {
    let small = small_profile();
    let busy = GpuWorker::start(0, vec![small]).await.unwrap();
    let (soft, hard) = getrlimit(Resource::RLIMIT_AS).unwrap();
    setrlimit(Resource::RLIMIT_AS, mapped_bytes() + HEADROOM, hard).unwrap();
    let error = busy.run(LARGE, SEED).await.expect_err("256 MiB within 32 MiB");
    assert!(["E-GPU-007", "E-GPU-013"].contains(&error.code()), "{} {error}", error.code());
    assert!(!error.next_step().is_empty());
    setrlimit(Resource::RLIMIT_AS, soft, hard).unwrap();
    // The same worker goes on, with the right roots.
    let run = busy.run(small, SEED).await.unwrap();
    assert!(run.output == compute(&small, SEED));
}

/// Address space of this process.
fn mapped_bytes() -> u64 {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}
