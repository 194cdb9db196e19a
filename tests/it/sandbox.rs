//! A renter's kernels, friendly and hostile, in the isolated process.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gpumkt::sandbox::{Isolation, KernelArg, KernelJob, Limits, Sandbox, SandboxError};
use gpumkt::types::Coded;

use crate::poll;

const ADD: &str = "__kernel void add(__global const float *a, __global float *b, __global float *c, float factor) {
    size_t i = get_global_id(0);
    c[i] = a[i] + factor * b[i];
    b[i] = i;
}";

fn sandbox(limits: Limits) -> Sandbox {
    Sandbox::new(env!("CARGO_BIN_EXE_gpumkt"), 0, limits)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn add_job() -> KernelJob {
    KernelJob {
        source: ADD.to_owned(),
        kernel_name: "add".to_owned(),
        global_size: [4, 1, 1],
        local_size: Some([2, 1, 1]),
        args: vec![
            KernelArg::Input(bytes(&[1.0, 2.0, 3.0, 4.0])),
            KernelArg::InOut(bytes(&[10.0, 20.0, 30.0, 40.0])),
            KernelArg::Output(16),
            KernelArg::F32(0.5),
        ],
        build_options: vec!["-cl-std=CL1.2".to_owned()],
    }
}

fn source_job(source: &str) -> KernelJob {
    KernelJob {
        source: source.to_owned(),
        kernel_name: "f".to_owned(),
        global_size: [1, 1, 1],
        local_size: None,
        args: vec![KernelArg::Output(8)],
        build_options: vec![],
    }
}

/// A sandbox whose program is a file of its own, so that its processes can be told from those of other tests.
struct PrivateSandbox {
    sandbox: Sandbox,
    directory: tempfile::TempDir,
}

impl PrivateSandbox {
    fn new(limits: Limits) -> Self {
        Self::with(Sandbox::new, limits)
    }

    fn with(constructor: fn(PathBuf, usize, Limits) -> Sandbox, limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("gpumkt");
        std::fs::copy(env!("CARGO_BIN_EXE_gpumkt"), &program).unwrap();
        Self { sandbox: constructor(program, 0, limits), directory }
    }

    fn is_running(&self) -> bool {
        let program = std::fs::metadata(self.directory.path().join("gpumkt")).unwrap();
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            std::fs::metadata(entry.path().join("exe")).is_ok_and(|exe| (exe.dev(), exe.ino()) == (program.dev(), program.ino()))
        })
    }

    async fn wait_until(&self, running: bool) {
        poll::until(format!("running is {running}"), Duration::from_secs(10), async || self.is_running() == running).await;
    }
}

async fn run(limits: Limits, job: KernelJob) -> Result<gpumkt::sandbox::KernelResult, SandboxError> {
    let scratch = tempfile::tempdir().unwrap();
    let result = sandbox(limits).run_kernel(job, scratch.path()).await;
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the scratch directory is not empty");
    result
}

const ENDLESS: &str = "__kernel void f(volatile __global uint *a) { while (a[0] != 1) { a[1]++; } }";

#[tokio::test]
async fn a_kernel_computes_and_returns_its_buffers() {
    let result = run(Limits::default(), add_job()).await.unwrap();
    assert_eq!(result.outputs, vec![bytes(&[0.0, 1.0, 2.0, 3.0]), bytes(&[6.0, 12.0, 18.0, 24.0])]);
}

#[tokio::test]
async fn garbage_gives_the_compilers_messages() {
    let error = run(Limits::default(), source_job("__kernel void f( { this is no kernel }")).await.unwrap_err();
    match &error {
        SandboxError::Build { log } => assert!(log.contains("error"), "{log}"),
        other => panic!("expected a build error, got {other}"),
    }
    assert_eq!(error.code(), "E-SANDBOX-003");
}

#[tokio::test]
async fn a_wrong_name_and_wrong_arguments_are_told_apart() {
    let job = KernelJob { kernel_name: "subtract".to_owned(), ..add_job() };
    let error = run(Limits::default(), job).await.unwrap_err();
    assert!(matches!(&error, SandboxError::UnknownKernel { name, .. } if name == "subtract"), "{error}");
    let mut job = add_job();
    job.args.pop();
    let error = run(Limits::default(), job).await.unwrap_err();
    assert!(matches!(error, SandboxError::Device { .. }), "{error}");
}

async fn endless_kernel_is_killed(private: PrivateSandbox) {
    private.sandbox.isolation().await.unwrap();
    let started = Instant::now();
    let job = private.sandbox.run_kernel(source_job(ENDLESS), private.directory.path());
    let (result, ()) = tokio::join!(job, private.wait_until(true));
    let error = result.unwrap_err();
    assert!(matches!(error, SandboxError::Timeout { wall_ms: 5000 }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    private.wait_until(false).await;
}

#[tokio::test]
async fn an_endless_kernel_is_killed_with_all_its_processes() {
    let limits = Limits { wall_ms: 5000, ..Limits::default() };
    endless_kernel_is_killed(PrivateSandbox::new(limits.clone())).await;
    endless_kernel_is_killed(PrivateSandbox::with(Sandbox::in_bare_process, limits)).await;
}

#[tokio::test]
async fn a_bare_process_works_and_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::in_bare_process(env!("CARGO_BIN_EXE_gpumkt"), 0, Limits::default());
    let result = sandbox.run_kernel(add_job(), scratch.path()).await.unwrap();
    assert_eq!(result.isolation, Isolation::Process);
    assert_eq!(result.outputs[1], bytes(&[6.0, 12.0, 18.0, 24.0]));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_dropped_job_leaves_no_process() {
    let private = PrivateSandbox::new(Limits::default());
    private.sandbox.isolation().await.unwrap();
    tokio::select! {
        result = private.sandbox.run_kernel(source_job(ENDLESS), private.directory.path()) => panic!("{result:?}"),
        () = private.wait_until(true) => {}
    }
    private.wait_until(false).await;
}

#[tokio::test]
async fn endless_printing_is_cut() {
    let source = "__kernel void f(__global uint *a) { for (int i = 0; i < 200000; i++) printf(\"%d aaaaaaaaaaaaaaa\\n\", i); a[0] = 7; }";
    let limits = Limits { text_bytes: 1000, ..Limits::default() };
    match run(limits, source_job(source)).await {
        Ok(result) => {
            assert!(result.printed.len() <= 1000, "{} bytes kept", result.printed.len());
            assert_eq!(result.outputs[0][0], 7);
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn memory_bombs_end_in_their_process() {
    let limits = Limits { buffer_bytes: 1 << 20, memory_bytes: 512 << 20, wall_ms: 8000, ..Limits::default() };
    let job = KernelJob { args: vec![KernelArg::Output(2 << 20)], ..source_job("__kernel void f(__global uint *a) {}") };
    let error = run(limits.clone(), job).await.unwrap_err();
    assert!(matches!(error, SandboxError::TooLarge { .. }), "{error}");
    // Four GiB of local memory, and a compile-time bomb of macros: neither may reach the node.
    let job = KernelJob {
        args: vec![KernelArg::Output(8), KernelArg::Local(4 << 30)],
        ..source_job("__kernel void f(__global uint *a, __local uint *b) { b[get_global_id(0)] = 1; a[0] = b[0]; }")
    };
    assert!(run(limits.clone(), job).await.is_err());
    let mut bomb = String::from("#define M0 1,1,1,1,1,1,1,1,1,1\n");
    for level in 1..9 {
        let last = format!("M{}", level - 1);
        bomb += &format!("#define M{level} {}\n", vec![last; 10].join(","));
    }
    bomb += "__constant uchar t[] = { M8 };\n__kernel void f(__global uint *a) { a[0] = t[a[1]]; }";
    let error = run(limits, source_job(&bomb)).await.unwrap_err();
    let contained = matches!(
        error,
        SandboxError::Crashed { .. } | SandboxError::Timeout { .. } | SandboxError::Build { .. } | SandboxError::Device { .. }
    );
    assert!(contained, "{error}");
}

#[tokio::test]
async fn a_kernel_that_writes_everywhere_only_kills_itself() {
    let source = "__kernel void f(__global uint *a) { for (ulong i = 0; ; i += 1024) a[i] = 0xdead; }";
    let error = run(Limits::default(), source_job(source)).await.unwrap_err();
    assert!(matches!(error, SandboxError::Crashed { .. }), "{error}");
    assert_eq!(error.code(), "E-SANDBOX-007");
    let result = run(Limits::default(), add_job()).await.unwrap();
    assert_eq!(result.outputs.len(), 2);
}

#[tokio::test]
async fn isolation_is_visible_and_can_be_required() {
    let required = sandbox(Limits { require_isolation: true, ..Limits::default() });
    // Where bubblewrap starts anything at all, kernels must run inside it.
    let probe = std::process::Command::new("bwrap").args(["--unshare-all", "--ro-bind", "/", "/", "true"]).status();
    match (required.isolation().await, probe.is_ok_and(|status| status.success())) {
        (Ok(isolation), _) => assert_eq!(isolation, Isolation::Bubblewrap),
        (Err(error), false) => assert_eq!(error.code(), "E-SANDBOX-009"),
        (Err(error), true) => panic!("bubblewrap works here, but not for kernels: {error}"),
    }
    // A program that is no gpumkt cannot be probed, and is not trusted to isolate.
    let broken = Sandbox::new("/bin/false", 0, Limits { require_isolation: true, ..Limits::default() });
    assert!(matches!(broken.isolation().await, Err(SandboxError::NoIsolation { .. })));
    let lenient = Sandbox::new("/bin/false", 0, Limits::default());
    assert_eq!(lenient.isolation().await.unwrap(), Isolation::Process);
}

#[tokio::test]
async fn a_device_that_does_not_exist_is_reported() {
    let scratch = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_gpumkt"), 99, Limits::default());
    let error = sandbox.run_kernel(add_job(), scratch.path()).await.unwrap_err();
    assert!(matches!(&error, SandboxError::Device { message } if message.contains("99")), "{error}");
}
