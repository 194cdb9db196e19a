//! Containers without an engine: the provider's own /usr, read-only, in namespaces that bubblewrap makes.
//!
//! `launch` starts one, `cgroup` bounds it, `record` finds it again after a restart of the node, `seccomp` is its filter of system calls.

mod cgroup;
mod launch;
mod record;
mod seccomp;

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::cgroup::Cgroups;
use self::launch::{FallbackLimits, Launch, Launched};
use self::record::{Files, Process, Record, Status};
use super::error::SandboxError;
use super::runtime::{
    ContainerLimits, ContainerSpec, ContainerState, DeviceAccess, ImageProgress, ImageSource, NetworkPolicy, PreparedImage, RentalFolders,
    Runtime, RuntimeFacts, Usage,
};
use crate::types::RentalId;
use crate::types::agent::PROGRAM;

const NAME: &str = "bubblewrap";
/// Name of the only image.
const IMAGE: &str = "host";
/// How long bubblewrap may take to set a container up, the kernel to freeze or to kill one.
const SETUP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long bubblewrap may take to end after its container.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// First of the user ids that containers have outside when the node is root, and how many: far from what is given to people or services.
const FIRST_USER: u32 = 1_000_000_000;
const USERS: u32 = 800_000_000;
/// Exit code of a container whose end nobody saw, as that of one killed by SIGKILL.
const KILLED: i32 = 137;

/// Runs containers with bubblewrap.
pub struct BubblewrapRuntime {
    rentals_dir: PathBuf,
    is_root: bool,
    /// Starting and stopping are done one at a time: either is a sequence of steps on the same files.
    changes: Mutex<()>,
}

impl BubblewrapRuntime {
    /// `rentals_dir` holds a folder per rental, see [`RentalFolders`]; it must stay the same across restarts of the node.
    pub fn new(rentals_dir: &Path) -> Result<Self, SandboxError> {
        let made = std::fs::create_dir_all(rentals_dir).and_then(|()| rentals_dir.canonicalize());
        let rentals_dir = made.map_err(|source| SandboxError::Scratch { path: rentals_dir.to_owned(), source })?;
        Ok(Self { rentals_dir, is_root: nix::unistd::geteuid().is_root(), changes: Mutex::new(()) })
    }

    fn files(&self, rental: RentalId) -> Files {
        Files { root: RentalFolders::new(&self.rentals_dir, rental).root().to_owned() }
    }

    /// Number that tells this node's containers from those of others on this machine.
    fn tag(&self, rental: RentalId) -> u32 {
        let hash = alloy::primitives::keccak256(self.files(rental).root.as_os_str().as_encoded_bytes());
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    fn cgroup_name(&self, rental: RentalId) -> String {
        format!("{rental}-{:08x}", self.tag(rental))
    }

    fn user(&self, rental: RentalId) -> Option<u32> {
        self.is_root.then(|| FIRST_USER + self.tag(rental) % USERS)
    }

    /// Starts the container and waits until its first process is the agent.
    async fn launch(&self, spec: &ContainerSpec, files: &Files) -> Result<(), SandboxError> {
        let failed = |reason: String| SandboxError::Container { rental: spec.rental, operation: "start", reason };
        let failed_io = |error: std::io::Error| failed(error.to_string());
        let user = self.user(spec.rental);
        prepare_folders(spec, files, user).map_err(failed_io)?;
        let (cgroups, missing) = Cgroups::create(&self.cgroup_name(spec.rental), &spec.limits);
        for (controller, reason) in &missing {
            tracing::warn!(rental = spec.rental, controller, %reason, "a container runs without this control group");
        }
        let fallback = FallbackLimits {
            memory_bytes: (!cgroups.limits("memory")).then_some(spec.limits.memory_bytes),
            processes: (!cgroups.limits("pids")).then_some(u64::from(spec.limits.processes) + cgroup::OWN_TASKS),
        };
        let doors = cgroups.doors().map_err(failed_io)?;
        let launched = Launch { spec, files, user, doors, fallback }.start().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => SandboxError::RuntimeUnusable { runtime: NAME, reason: "bwrap is not installed".into() },
            _ => failed_io(source),
        })?;
        let launcher = launched.child.id().and_then(|id| Process::of(i32::try_from(id).ok()?));
        let launcher = launcher.ok_or_else(|| failed("bwrap ended at once".into()))?;
        let outcome = release(launched, launcher, cgroups, files).await;
        if outcome.is_err() {
            // Without control groups, nothing else would find it.
            launcher.tree().iter().try_for_each(|(process, _)| process.signal(libc::SIGKILL)).map_err(failed_io)?;
        }
        outcome.map_err(failed)
    }

    /// Kills what is left of a container and removes everything but its folders.
    async fn clear(&self, rental: RentalId, files: &Files) -> Result<(), SandboxError> {
        let failed = |error: std::io::Error| SandboxError::Container { rental, operation: "remove", reason: error.to_string() };
        let record = Record::load(&files.record());
        let known = record.as_ref().map(|record| record.cgroups.clone());
        let groups = known.into_iter().chain([Cgroups::existing(&self.cgroup_name(rental))]);
        let groups: Vec<Cgroups> = groups.collect();
        let named = record.as_ref().filter(|record| record.is_running()).map(|record| [record.init, record.launcher]);
        let launcher = record.as_ref().map(|record| record.launcher);
        let patience = Instant::now() + REAP_TIMEOUT;
        let kill = || -> std::io::Result<bool> {
            let mut alive: Vec<Process> = groups.iter().flat_map(Cgroups::processes).collect();
            alive.extend(named.into_iter().flatten().filter(|process| process.is_alive()));
            // Bubblewrap ends by itself, after it has reaped the first process.
            let mut doomed = alive.iter().filter(|process| Some(**process) != launcher || Instant::now() > patience);
            doomed.try_for_each(|process| process.signal(libc::SIGKILL))?;
            // Frozen processes die when they go on.
            groups.iter().try_for_each(|group| group.freeze(false).map(drop))?;
            Ok(alive.is_empty())
        };
        let mut outcome = Ok(false);
        let is_done = || {
            outcome = kill();
            !matches!(outcome, Ok(false))
        };
        if !poll(SETUP_TIMEOUT, is_done).await {
            return Err(failed(std::io::Error::other("processes do not die")));
        }
        outcome.map_err(failed)?;
        for group in &groups {
            // The kernel lets go of a group a moment after its last process.
            let mut outcome = Ok(());
            poll(SETUP_TIMEOUT, || {
                outcome = group.remove();
                outcome.is_ok()
            })
            .await;
            outcome.map_err(failed)?;
        }
        files.remove().map_err(failed)
    }

    fn running(&self, rental: RentalId, operation: &'static str) -> Result<Record, SandboxError> {
        let record = Record::load(&self.files(rental).record()).filter(Record::is_running);
        record.ok_or_else(|| SandboxError::Container { rental, operation, reason: "it does not run".into() })
    }

    /// Stops or continues every process, by group where there is one, by signals otherwise.
    async fn set_paused(&self, rental: RentalId, operation: &'static str, is_paused: bool) -> Result<(), SandboxError> {
        let record = self.running(rental, operation)?;
        let failed = |reason: String| SandboxError::Container { rental, operation, reason };
        let mut outcome = Ok(false);
        let signal = if is_paused { libc::SIGSTOP } else { libc::SIGCONT };
        let by_group = record.cgroups.limits("freezer");
        let is_done = || {
            outcome = if by_group { record.cgroups.freeze(is_paused) } else { signal_all(record.init, signal) };
            !matches!(outcome, Ok(false))
        };
        if !poll(SETUP_TIMEOUT, is_done).await {
            return Err(failed("its processes do not follow".into()));
        }
        outcome.map(drop).map_err(|error| failed(error.to_string()))
    }

    /// Runs a program that does nothing in a container like any other.
    async fn probe(&self) -> Result<(), SandboxError> {
        let folder = self.rentals_dir.join(format!(".probe-{}", std::process::id()));
        let files = Files { root: folder.clone() };
        let spec = ContainerSpec {
            rental: RentalId::MAX,
            image: IMAGE.into(),
            hostname: "probe".into(),
            env: BTreeMap::new(),
            limits: ContainerLimits::default(),
            network: NetworkPolicy::None,
            devices: DeviceAccess::Cpu,
            agent_dir: folder.join("agent"),
            scratch_dir: folder.join("scratch"),
            agent_program: "/usr/bin/true".into(),
        };
        let _change = self.changes.lock().await;
        let made = std::fs::create_dir_all(&spec.agent_dir).map_err(|source| SandboxError::Scratch { path: folder.clone(), source });
        let outcome = match made {
            Ok(()) => self.launch(&spec, &files).await,
            Err(error) => Err(error),
        };
        let cleared = self.clear(spec.rental, &files).await;
        let removed = std::fs::remove_dir_all(&folder).map_err(|source| SandboxError::Scratch { path: folder, source });
        outcome.map_err(|error| SandboxError::RuntimeUnusable { runtime: NAME, reason: error.to_string() })?;
        cleared.and(removed)
    }
}

#[async_trait::async_trait]
impl Runtime for BubblewrapRuntime {
    async fn check(&self) -> Result<RuntimeFacts, SandboxError> {
        let unusable = |reason: String| SandboxError::RuntimeUnusable { runtime: NAME, reason };
        let version = tokio::process::Command::new("bwrap").arg("--version").output().await.map_err(|error| unusable(error.to_string()))?;
        let name = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        self.probe().await?;
        let probe = format!("probe-{}-{:08x}", std::process::id(), self.tag(0));
        let (cgroups, missing) = Cgroups::create(&probe, &ContainerLimits::default());
        cgroups.remove().map_err(|error| unusable(error.to_string()))?;
        let mut unenforced = vec!["disk: files are watched, not limited, by bubblewrap".to_owned()];
        for (controller, reason) in missing {
            match controller {
                "memory" => unenforced.push(format!("memory: per process only, because there is no control group: {reason}")),
                "cpu" => unenforced.push(format!("cores: not limited, because there is no control group: {reason}")),
                "pids" if !self.is_root => unenforced.push(format!("processes: counted with the node's own, no control group: {reason}")),
                _ => {}
            }
        }
        Ok(RuntimeFacts { name, unenforced, has_images: false, has_egress: false })
    }

    async fn prepare(&self, image: &ImageSource, _progress: &(dyn Fn(ImageProgress) + Send + Sync)) -> Result<PreparedImage, SandboxError> {
        match image {
            ImageSource::Default => {
                let release = std::fs::read("/usr/lib/os-release").unwrap_or_default();
                let digest = format!("{IMAGE}:{}", alloy::hex::encode(&alloy::primitives::keccak256(release)[..8]));
                Ok(PreparedImage { id: IMAGE.into(), digest, size_bytes: 0, command: Vec::new() })
            }
            ImageSource::Registry { .. } | ImageSource::Archive(_) => Err(unsupported("it runs the provider's own system and no images")),
        }
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<(), SandboxError> {
        check_spec(spec)?;
        let files = self.files(spec.rental);
        let _change = self.changes.lock().await;
        if let Some(record) = Record::load(&files.record()).filter(Record::is_running)
            // A node that died between two steps of a start leaves bubblewrap waiting.
            && record.init.program().is_some_and(|name| name != "bwrap")
        {
            return Ok(());
        }
        self.clear(spec.rental, &files).await?;
        let launched = self.launch(spec, &files).await;
        if launched.is_err() {
            // The first error says what was wrong.
            let _ = self.clear(spec.rental, &files).await;
        }
        launched
    }

    async fn state(&self, rental: RentalId) -> Result<ContainerState, SandboxError> {
        let files = self.files(rental);
        let Some(record) = Record::load(&files.record()) else { return Ok(ContainerState::Absent) };
        if record.is_running() {
            return Ok(ContainerState::Running { is_paused: record.cgroups.is_frozen() || record.init.is_stopped() });
        }
        // Written by bubblewrap a moment after the first process has ended.
        let code = || Status::load(&files.status()).exit_code;
        poll(Duration::from_secs(1), || code().is_some() || !record.launcher.is_alive()).await;
        let is_out_of_memory = record.cgroups.out_of_memory_kills().is_some_and(|kills| kills > 0);
        Ok(ContainerState::Exited { code: code().unwrap_or(KILLED), is_out_of_memory })
    }

    async fn pause(&self, rental: RentalId) -> Result<(), SandboxError> {
        self.set_paused(rental, "pause", true).await
    }

    async fn resume(&self, rental: RentalId) -> Result<(), SandboxError> {
        self.set_paused(rental, "resume", false).await
    }

    async fn stop(&self, rental: RentalId, grace: Duration) -> Result<(), SandboxError> {
        let files = self.files(rental);
        let _change = self.changes.lock().await;
        if let Some(record) = Record::load(&files.record()).filter(Record::is_running)
            && !grace.is_zero()
        {
            let failed = |error: std::io::Error| SandboxError::Container { rental, operation: "stop", reason: error.to_string() };
            record.init.signal(libc::SIGTERM).map_err(failed)?;
            record.cgroups.freeze(false).map_err(failed)?;
            if record.init.is_stopped() {
                signal_all(record.init, libc::SIGCONT).map_err(failed)?;
            }
            poll(grace, || !record.init.is_alive()).await;
        }
        self.clear(rental, &files).await
    }

    async fn list(&self) -> Result<Vec<RentalId>, SandboxError> {
        let folders = std::fs::read_dir(&self.rentals_dir);
        let folders = folders.map_err(|source| SandboxError::Scratch { path: self.rentals_dir.clone(), source })?;
        let rentals = folders.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut rentals: Vec<RentalId> = rentals.filter(|rental| self.files(*rental).record().exists()).collect();
        rentals.sort_unstable();
        Ok(rentals)
    }

    async fn logs(&self, rental: RentalId, bytes: usize) -> Result<Vec<u8>, SandboxError> {
        let failed = |error: std::io::Error| SandboxError::Container { rental, operation: "read the log of", reason: error.to_string() };
        tail(&self.files(rental).log(), bytes).map_err(failed)
    }

    async fn usage(&self, rental: RentalId) -> Result<Usage, SandboxError> {
        let Some(record) = Record::load(&self.files(rental).record()) else { return Ok(Usage::default()) };
        let tree = if record.is_running() { record.init.tree() } else { Vec::new() };
        let ticks: u64 = tree.iter().map(|(_, stat)| stat.cpu_ticks).sum();
        let pages: u64 = tree.iter().map(|(_, stat)| stat.resident_pages).sum();
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100).max(1) as u64;
        let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as u64;
        Ok(Usage {
            memory_bytes: record.cgroups.memory_bytes().unwrap_or(pages * page_bytes),
            cpu_us: record.cgroups.cpu_us().unwrap_or(ticks * 1_000_000 / per_second),
            processes: u32::try_from(tree.len()).unwrap_or(u32::MAX),
            out_of_memory_kills: record.cgroups.out_of_memory_kills().map_or(0, |kills| u32::try_from(kills).unwrap_or(u32::MAX)),
        })
    }
}

/// Records a container and lets it run; the error is the reason why it does not.
async fn release(mut launched: Launched, launcher: Process, cgroups: Cgroups, files: &Files) -> Result<(), String> {
    let known = || Status::load(&files.status()).child_pid;
    poll(SETUP_TIMEOUT, || known().is_some() || matches!(launched.child.try_wait(), Ok(Some(_)))).await;
    let printed = || format!("bwrap: {}", tail_text(&files.log()));
    let init = known().and_then(Process::of).ok_or_else(printed)?;
    Record::new(init, launcher, cgroups).save(&files.record()).map_err(|error| error.to_string())?;
    let mut child = launched.release().map_err(|error| error.to_string())?;
    let name = Path::new(PROGRAM).file_name().map(|name| name.to_string_lossy().into_owned());
    let mut is_up = false;
    let is_decided = || {
        is_up = init.program() == name;
        is_up || matches!(child.try_wait(), Ok(Some(_)))
    };
    poll(SETUP_TIMEOUT, is_decided).await;
    // Whatever has run to its end between two looks was started, too.
    if is_up || Status::load(&files.status()).exit_code == Some(0) { Ok(()) } else { Err(printed()) }
}

fn unsupported(reason: &str) -> SandboxError {
    SandboxError::Unsupported { runtime: NAME, reason: reason.into() }
}

fn check_spec(spec: &ContainerSpec) -> Result<(), SandboxError> {
    if spec.network != NetworkPolicy::None {
        return Err(unsupported("its containers have no network beside their own loopback"));
    }
    if spec.image != IMAGE {
        return Err(unsupported("it runs the provider's own system and no images"));
    }
    match &spec.devices {
        DeviceAccess::Cdi { .. } => Err(unsupported("devices have to be named by their nodes, not by CDI")),
        DeviceAccess::Cpu | DeviceAccess::Nodes { .. } => Ok(()),
    }
}

/// Makes the scratch folder the container's own.
fn prepare_folders(spec: &ContainerSpec, files: &Files, user: Option<u32>) -> std::io::Result<()> {
    std::fs::create_dir_all(&files.root)?;
    std::fs::create_dir_all(&spec.scratch_dir)?;
    std::fs::set_permissions(&spec.scratch_dir, std::fs::Permissions::from_mode(0o700))?;
    if user.is_some() {
        chown(&spec.scratch_dir, user, user)?;
    }
    Ok(())
}

/// Sends a stopping or continuing signal to all processes of a container; `true` once none is left that it would change.
fn signal_all(init: Process, number: i32) -> std::io::Result<bool> {
    let mut is_stable = true;
    for (process, stat) in init.tree() {
        if (stat.state == 'T') != (number == libc::SIGSTOP) && !matches!(stat.state, 'Z' | 'X') {
            is_stable = false;
            process.signal(number)?;
        }
    }
    Ok(is_stable)
}

fn tail(path: &Path, bytes: usize) -> std::io::Result<Vec<u8>> {
    let mut file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes as u64)))?;
    let mut content = Vec::new();
    file.take(bytes as u64).read_to_end(&mut content)?;
    Ok(content)
}

/// The end of a log, for an error message.
fn tail_text(path: &Path) -> String {
    let text = tail(path, 500).map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).unwrap_or_default();
    if text.is_empty() { "it ended without a message".into() } else { text }
}

/// Asks until the answer is yes or the time is over: neither /proc nor control groups tell when they change.
async fn poll(within: Duration, mut is_done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if is_done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::install_agent;

    #[tokio::test]
    async fn a_node_that_dies_while_it_starts_a_container_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = BubblewrapRuntime::new(folder.path()).unwrap();
        let files = runtime.files(3);
        let spec = ContainerSpec {
            rental: 3,
            image: IMAGE.into(),
            hostname: "rental-3".into(),
            env: BTreeMap::new(),
            limits: ContainerLimits::default(),
            network: NetworkPolicy::None,
            devices: DeviceAccess::Cpu,
            agent_dir: files.root.join("agent"),
            scratch_dir: files.root.join("scratch"),
            agent_program: install_agent(folder.path()).unwrap(),
        };
        std::fs::create_dir_all(&spec.agent_dir).unwrap();
        let user = runtime.user(3);
        prepare_folders(&spec, &files, user).unwrap();
        let (cgroups, _) = Cgroups::create(&runtime.cgroup_name(3), &spec.limits);
        let doors = cgroups.doors().unwrap();
        let launched = Launch { spec: &spec, files: &files, user, doors, fallback: FallbackLimits::default() }.start().unwrap();
        let launcher = Process::of(launched.child.id().unwrap() as i32).unwrap();
        let pid = || Status::load(&files.status()).child_pid;
        assert!(poll(SETUP_TIMEOUT, || pid().is_some()).await, "{}", tail_text(&files.log()));
        let init = Process::of(pid().unwrap()).unwrap();
        Record::new(init, launcher, cgroups).save(&files.record()).unwrap();
        // As if killed here: its end of the gate is closed and nothing was written.
        drop(launched);
        assert!(!poll(Duration::from_millis(300), || init.program().as_deref() != Some("bwrap")).await, "it runs, or is gone");
        runtime.start(&spec).await.unwrap();
        assert!(!init.is_alive());
        assert_eq!(runtime.state(3).await.unwrap(), ContainerState::Running { is_paused: false });
        runtime.stop(3, Duration::ZERO).await.unwrap();
        assert_eq!(runtime.state(3).await.unwrap(), ContainerState::Absent);
    }
}
