//! Challenges that a device cannot finish fail with their code, each for itself; the same worker computes the next one. What fails here
//! fails in the middle of a run: the folder that keeps large trees is gone. (Memory is no way to try this on a CPU: PoCL ends the process
//! when an allocation fails.)

use std::{fs, path::PathBuf, process::Command};

use alloy::primitives::B256;
use gpumkt::{
    gpu::GpuError,
    rules::kernel::{compute, small_profile},
    service::worker::{GpuWorker, WorkerError},
    types::{Coded, work::Profile},
};

const FOLDER: &str = "GPUMKT_CACHE_DIR";
const INSIDE: &str = "GPUMKT_TEST_INSIDE";
const SEED: B256 = B256::repeat_byte(0x2b);
/// Its product has more leaves than are kept in memory.
const WIDE: Profile = Profile { matrix_size: 8192, inner_size: 32, rounds: 1, ..small_profile() };
/// More than any machine has.
const BOUNDLESS: Profile = Profile { memory_bytes: 1 << 50, ..small_profile() };

/// The folder is named in the environment of a process, so the test runs in one of its own.
#[test]
fn a_challenge_that_cannot_be_finished_leaves_the_next_ones_alone() {
    if std::env::var_os(INSIDE).is_some() {
        tokio::runtime::Runtime::new().unwrap().block_on(inside());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "gpu_busy::a_challenge_that_cannot_be_finished_leaves_the_next_ones_alone";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").env(FOLDER, folder.path().join("cache"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

async fn inside() {
    let small = small_profile();
    let worker = GpuWorker::start(0, vec![small]).await.unwrap();
    let expected = compute(&small, SEED);
    let goes_on = async || assert!(worker.run(small, SEED).await.unwrap().output == expected);

    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    // Whether the programs of this device were kept there already depends on the device.
    let _ = fs::remove_dir_all(&folder);
    fs::write(&folder, "not a folder").unwrap();
    let error = worker.run(WIDE, SEED).await.expect_err("there is nowhere to keep the tree");
    assert!(matches!(error, WorkerError::Gpu(GpuError::Spill { .. })) && error.code() == "E-GPU-015", "{error}");
    assert!(error.to_string().contains(folder.to_str().unwrap()) && error.next_step().contains(FOLDER), "{error}");
    goes_on().await;
    fs::remove_file(&folder).unwrap();
    assert_eq!(worker.run(WIDE, SEED).await.unwrap().output.roots.matmul_roots.len(), 1, "there is room again");

    let error = worker.run(BOUNDLESS, SEED).await.expect_err("no device has so much memory");
    assert_eq!(error.code(), "E-GPU-006", "{error}");
    goes_on().await;
}
