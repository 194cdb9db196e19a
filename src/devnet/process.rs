//! Child processes that never outlive the harness.
//!
//! A child gets a process group of its own and a kill signal from the kernel when its parent thread dies. That signal is tied to the
//! thread that forked, so all children are forked by one thread that lives as long as the process.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, killpg},
    },
    unistd::{Pid, getppid},
};

use super::DevnetError;

/// Pause between two looks at a child.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of a log's end that an error shows.
const TAIL_BYTES: u64 = 2_000;

/// A running child with its log.
#[derive(Debug)]
pub struct ManagedProcess {
    name: String,
    child: Child,
    log: PathBuf,
}

/// How a child tells that it is ready.
#[derive(Debug, Clone)]
pub enum Readiness {
    /// This file exists.
    File(PathBuf),
    /// A GET of this URL, such as a node's `/readyz`, answers with status 200.
    Http { address: std::net::SocketAddr, path: String },
}

impl ManagedProcess {
    /// Starts `command` with both outputs appended to `log`.
    pub fn spawn(name: impl Into<String>, mut command: Command, log: &Path) -> Result<Self, DevnetError> {
        let name = name.into();
        let failed = |reason: String| DevnetError::Spawn { name: name.clone(), reason };
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        let output = File::options().create(true).append(true).open(log).map_err(|error| failed(error.to_string()))?;
        let errors = output.try_clone().map_err(|error| failed(error.to_string()))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = fork_from_keeper(command).map_err(|error| failed(format!("{program}: {error}")))?;
        Ok(Self { name, child, log: log.into() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// End of the log.
    pub fn log_tail(&self) -> String {
        read_tail(&self.log).unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
    }

    /// Asks `probe` until it gives a value, the child ends, or `within` is over.
    pub async fn wait_until<T>(
        &mut self,
        within: Duration,
        reason: &str,
        mut probe: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, DevnetError> {
        let started = Instant::now();
        loop {
            if let Some(value) = probe().await {
                return Ok(value);
            }
            if let Some(status) = self.exit_status() {
                let (name, log, tail) = (self.name.clone(), self.log.clone(), self.log_tail());
                return Err(DevnetError::Ended { name, status: status.to_string(), log, tail });
            }
            if started.elapsed() > within {
                let (name, waited_ms, log) = (self.name.clone(), started.elapsed().as_millis(), self.log.clone());
                return Err(DevnetError::NotReady { name, waited_ms, reason: reason.into(), log });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub async fn wait_ready(&mut self, readiness: &Readiness, within: Duration) -> Result<(), DevnetError> {
        match readiness {
            Readiness::File(path) => {
                let reason = format!("{} does not exist", path.display());
                self.wait_until(within, &reason, async || path.exists().then_some(())).await
            }
            Readiness::Http { address, path } => {
                let reason = format!("http://{address}{path} does not answer 200");
                self.wait_until(within, &reason, async || http_ok(*address, path).await.then_some(())).await
            }
        }
    }

    /// kill -9 of the whole group, as the fault hook does it. Returns when the child is gone.
    pub fn kill(&mut self) -> Result<(), DevnetError> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait().map(drop).map_err(|error| DevnetError::Signal { name: self.name.clone(), reason: error.to_string() })
    }

    /// SIGTERM, and SIGKILL for what is left after `grace`. Returns how it ended.
    pub async fn stop(mut self, grace: Duration) -> Result<ExitStatus, DevnetError> {
        if let Some(status) = self.exit_status() {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        tracing::warn!(process = self.name, "did not stop in time, is killed");
        self.kill()?;
        Ok(self.exit_status().unwrap_or_else(|| ExitStatus::from_raw(Signal::SIGKILL as i32)))
    }

    /// Signals the group; a group that is gone already is fine.
    pub fn signal(&self, signal: Signal) -> Result<(), DevnetError> {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        match killpg(group, signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(DevnetError::Signal { name: self.name.clone(), reason: error.to_string() }),
        }
    }
}

impl Drop for ManagedProcess {
    fn drop(&mut self) {
        if self.exit_status().is_none()
            && let Err(error) = self.kill()
        {
            tracing::warn!(%error, "a child may be left over");
        }
    }
}

type Job = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Forks in a thread that never ends.
fn fork_from_keeper(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Mutex<mpsc::SyncSender<Job>>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts children is gone");
    let keeper = KEEPER.get_or_init(|| {
        let (jobs, inbox) = mpsc::sync_channel::<Job>(1);
        let run = move || {
            for (command, reply) in inbox {
                let _ = reply.send(fork(command));
            }
        };
        if let Err(error) = thread::Builder::new().name("children".into()).spawn(run) {
            tracing::error!(%error, "cannot start the thread that starts children");
        }
        Mutex::new(jobs)
    });
    let (reply, answer) = mpsc::sync_channel(1);
    keeper.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

fn fork(mut command: Command) -> io::Result<Child> {
    let parent = Pid::this();
    let in_child = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above took effect.
        if getppid() == parent { Ok(()) } else { Err(io::Error::other("the parent is gone")) }
    };
    // SAFETY: between fork and exec only two system calls are made; both are async-signal-safe and allocate nothing.
    unsafe { command.pre_exec(in_child) };
    command.spawn()
}

fn read_tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A minimal GET: the first line of the answer is all that matters.
async fn http_ok(address: std::net::SocketAddr, path: &str) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0u8; 12];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer.ends_with(b" 200"))
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}
