//! Starts, feeds, bounds and reaps the process that runs a job.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::error::SandboxError;
use super::frame::{self, OVERHEAD_BYTES, Reply, Request};
use super::job::{Isolation, KernelArg, KernelJob, KernelResult, Limits};

/// Name of the hidden subcommand; `main` hands it to `child_main`.
pub const SUBCOMMAND: &str = "sandbox-exec";
/// How long a probe of bubblewrap may take: it starts the OpenCL driver once.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
/// Size of the private /tmp, which holds the driver's cache.
const PRIVATE_TMP_BYTES: &str = "268435456";
/// What a driver reads besides /usr.
pub(super) const READ_ONLY_PATHS: &[&str] = &[
    "/bin",
    "/lib",
    "/lib64",
    "/sbin",
    "/sys",
    "/opt/rocm",
    "/opt/intel",
    "/etc/OpenCL",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];
/// Devices of GPU drivers; those that exist are passed on.
const GPU_DEVICES: &[&str] = &["/dev/dri", "/dev/kfd", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"];
const MAX_NVIDIA_DEVICES: usize = 32;

/// Runs kernel jobs in processes of their own.
pub struct Sandbox {
    executable: PathBuf,
    device_index: usize,
    limits: Limits,
    probe: OnceCell<Result<(), String>>,
    jobs: AtomicU64,
}

impl Sandbox {
    /// `executable` must call [`super::child_main`] when its first argument is [`SUBCOMMAND`].
    pub fn new(executable: impl Into<PathBuf>, device_index: usize, limits: Limits) -> Self {
        Self { executable: executable.into(), device_index, limits, probe: OnceCell::new(), jobs: AtomicU64::new(0) }
    }

    /// A sandbox that never tries bubblewrap: for machines where it is known not to work.
    pub fn in_bare_process(executable: impl Into<PathBuf>, device_index: usize, limits: Limits) -> Self {
        let probe = OnceCell::new_with(Some(Err("bubblewrap is switched off".to_owned())));
        Self { probe, ..Self::new(executable, device_index, limits) }
    }

    /// A sandbox that starts this program itself.
    pub fn of_this_program(device_index: usize, limits: Limits) -> Result<Self, SandboxError> {
        let path = PathBuf::from("/proc/self/exe");
        let executable = std::fs::read_link(&path).map_err(|source| SandboxError::Spawn { path, source })?;
        Ok(Self::new(executable, device_index, limits))
    }

    /// The limits of every job.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What stands between jobs and this machine; probes bubblewrap on the first call.
    pub async fn isolation(&self) -> Result<Isolation, SandboxError> {
        match self.probe.get_or_init(|| self.probe_bubblewrap()).await {
            Ok(()) => Ok(Isolation::Bubblewrap),
            Err(reason) if self.limits.require_isolation => Err(SandboxError::NoIsolation { reason: reason.clone() }),
            Err(_) => Ok(Isolation::Process),
        }
    }

    /// Runs one job. Dropping the future kills the process. `scratch_dir` holds the driver's cache where there is no private /tmp.
    pub async fn run_kernel(&self, job: KernelJob, scratch_dir: &Path) -> Result<KernelResult, SandboxError> {
        job.validate(&self.limits)?;
        let isolation = self.isolation().await?;
        let scratch = Scratch::create(scratch_dir, self.jobs.fetch_add(1, Ordering::Relaxed)).await?;
        let request = Request { device_index: self.device_index as u64, limits: self.limits.clone(), job };
        let frame = frame::encode(&request).map_err(|reason| SandboxError::Job { reason })?;
        let mut child = self.spawn(isolation, &scratch.path, &[])?;
        let reply_limit = request.job.returned_bytes().saturating_add(self.limits.text_bytes).saturating_add(OVERHEAD_BYTES);
        let exchanged =
            timeout(Duration::from_millis(self.limits.wall_ms), exchange(&mut child, &frame, reply_limit, self.limits.text_bytes as usize))
                .await;
        child.kill_and_reap().await;
        let exchanged = exchanged.map_err(|_| SandboxError::Timeout { wall_ms: self.limits.wall_ms })?;
        finish(request.job, exchanged, isolation)
    }

    async fn probe_bubblewrap(&self) -> Result<(), String> {
        let index = self.device_index.to_string();
        let mut child = self.spawn(Isolation::Bubblewrap, Path::new("/tmp"), &["--probe", &index]).map_err(|error| error.to_string())?;
        let probed = timeout(PROBE_TIMEOUT, exchange(&mut child, &[], 0, 4096)).await;
        child.kill_and_reap().await;
        let outcome = match probed {
            Ok(exchanged) if exchanged.succeeded => Ok(()),
            Ok(exchanged) => Err(format!("{}: {}", exchanged.ending, exchanged.printed.trim())),
            Err(_) => Err("the probe did not finish".to_owned()),
        };
        if let Err(reason) = &outcome {
            tracing::warn!(%reason, "bubblewrap does not work here: kernel jobs run in a bare process");
        }
        outcome
    }

    fn spawn(&self, isolation: Isolation, scratch: &Path, arguments: &[&str]) -> Result<ProcessGroup, SandboxError> {
        let mut command = match isolation {
            Isolation::Bubblewrap => {
                let mut command = Command::new("bwrap");
                command.args(self.bubblewrap_arguments());
                command.env("PATH", "/usr/bin:/bin");
                command
            }
            Isolation::Process => {
                let mut command = Command::new(&self.executable);
                command.env_clear().current_dir(scratch);
                for variable in ["HOME", "TMPDIR", "POCL_CACHE_DIR", "XDG_CACHE_HOME"] {
                    command.env(variable, scratch);
                }
                command.env("PATH", "/usr/bin:/bin");
                command
            }
        };
        let path = PathBuf::from(command.as_std().get_program());
        command
            .arg(SUBCOMMAND)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(|source| SandboxError::Spawn { path, source })?;
        Ok(ProcessGroup { group: child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw), child })
    }

    fn bubblewrap_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]);
        add(&["--ro-bind", "/usr", "/usr"]);
        for path in READ_ONLY_PATHS {
            // Where /lib is a link into /usr it must stay one: drivers find their files relative to their own path.
            match std::fs::read_link(path).ok().as_deref().and_then(Path::to_str) {
                Some(target) => add(&["--symlink", target, path]),
                None => add(&["--ro-bind-try", path, path]),
            }
        }
        add(&["--proc", "/proc", "--dev", "/dev", "--size", PRIVATE_TMP_BYTES, "--tmpfs", "/tmp"]);
        for device in GPU_DEVICES {
            add(&["--dev-bind-try", device, device]);
        }
        for number in 0..MAX_NVIDIA_DEVICES {
            let device = format!("/dev/nvidia{number}");
            add(&["--dev-bind-try", &device, &device]);
        }
        for variable in ["HOME", "TMPDIR", "POCL_CACHE_DIR", "XDG_CACHE_HOME"] {
            add(&["--setenv", variable, "/tmp"]);
        }
        add(&["--setenv", "PATH", "/usr/bin:/bin", "--chdir", "/tmp", "--ro-bind"]);
        arguments.push(self.executable.clone().into_os_string());
        arguments.extend(["/gpumkt", "--remount-ro", "/", "--", "/gpumkt"].map(OsString::from));
        arguments
    }
}

/// The process of one job with everything it started.
struct ProcessGroup {
    child: Child,
    group: Option<Pid>,
}

impl ProcessGroup {
    async fn kill_and_reap(&mut self) {
        self.kill();
        // The group is dead, so this ends at once; an error means that it has been reaped already.
        let _ = self.child.wait().await;
        self.group = None;
    }

    fn kill(&self) {
        if let Some(group) = self.group {
            // Fails only if the whole group is gone.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The scratch directory of one job, removed with it.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    async fn create(parent: &Path, job: u64) -> Result<Self, SandboxError> {
        let path = parent.join(format!("job-{}-{job}", std::process::id()));
        match tokio::fs::create_dir_all(&path).await {
            Ok(()) => Ok(Self { path }),
            Err(source) => Err(SandboxError::Scratch { path, source }),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a job's scratch directory");
        }
    }
}

/// What a process left behind.
struct Exchange {
    reply: Result<Vec<u8>, String>,
    printed: String,
    ending: String,
    succeeded: bool,
}

async fn exchange(process: &mut ProcessGroup, request: &[u8], reply_limit: u64, text_bytes: usize) -> Exchange {
    let child = &mut process.child;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let send = async {
        if let Some(mut stdin) = stdin {
            // A process that dies early closes the pipe; its ending says more than this error.
            let _ = stdin.write_all(request).await;
        }
    };
    let receive = async {
        match stdout {
            Some(mut stdout) => receive(&mut stdout, reply_limit).await,
            None => Err("no output channel".to_owned()),
        }
    };
    let listen = async {
        match stderr {
            Some(stderr) => collect(stderr, text_bytes).await,
            None => String::new(),
        }
    };
    let ((), reply, printed) = tokio::join!(send, receive, listen);
    let (ending, succeeded) = match child.wait().await {
        Ok(status) => (status.to_string(), status.success()),
        Err(error) => (error.to_string(), false),
    };
    Exchange { reply, printed, ending, succeeded }
}

async fn receive(source: &mut (impl AsyncRead + Unpin), limit: u64) -> Result<Vec<u8>, String> {
    let mut header = [0; 4];
    source.read_exact(&mut header).await.map_err(|error| error.to_string())?;
    let length = frame::announced_length(header, limit)?;
    let mut content = Vec::new();
    source.take(length as u64).read_to_end(&mut content).await.map_err(|error| error.to_string())?;
    if content.len() != length {
        return Err(format!("{} of {length} bytes arrived", content.len()));
    }
    Ok(content)
}

/// Keeps the first `limit` bytes and throws the rest away, so that a process that prints without end neither blocks nor fills memory.
async fn collect(mut source: impl AsyncRead + Unpin, limit: usize) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0u8; 8192];
    while let Ok(count @ 1..) = source.read(&mut chunk).await {
        let room = limit.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..count.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Turns what came back into a result; the process is not trusted to keep to the job's shape.
fn finish(job: KernelJob, exchange: Exchange, isolation: Isolation) -> Result<KernelResult, SandboxError> {
    let Exchange { reply, printed, ending, succeeded } = exchange;
    let content = match reply {
        Ok(content) => content,
        Err(reason) if succeeded => return Err(SandboxError::Protocol { reason }),
        Err(_) => return Err(SandboxError::Crashed { cause: ending, output: printed }),
    };
    let protocol = |reason| SandboxError::Protocol { reason };
    match frame::decode(&content).map_err(protocol)? {
        Reply::Done { outputs, build_log, elapsed_ms } => {
            let expected: Vec<u64> = job.args.iter().filter_map(KernelArg::returned_bytes).collect();
            if outputs.iter().map(|output| output.len() as u64).ne(expected) {
                return Err(protocol("the outputs do not have the sizes of the job".to_owned()));
            }
            Ok(KernelResult { outputs, build_log, printed, elapsed_ms, isolation })
        }
        Reply::Build { log } => Err(SandboxError::Build { log }),
        Reply::UnknownKernel { log } => Err(SandboxError::UnknownKernel { name: job.kernel_name, log }),
        Reply::Device { message } => Err(SandboxError::Device { message }),
    }
}
