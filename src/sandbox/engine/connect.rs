//! Finding the engine, learning what it is, and telling its errors apart.

use std::{
    io::ErrorKind,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error, models::SystemInfo};

use super::super::SandboxError;

/// Longest wait for one answer. Only pulls take longer, and they answer in pieces.
pub const ANSWER_S: u64 = 60;
/// The first Podman whose Docker-compatible API knows what is used here.
const OLDEST_PODMAN: u32 = 4;
/// Docker 20.10, the first with namespaces of control groups.
const OLDEST_DOCKER: u32 = 20;
/// Identifiers a user namespace of one container takes. Images use up to 65534 (`nobody`).
pub const NAMESPACE_IDS: u32 = 65_536;
/// Whose ranges Podman's `auto` user namespaces are taken from.
const PODMAN_RANGE_USER: &str = "containers";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Podman,
    Docker,
}

/// How the root of a container relates to the root of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespace {
    /// The engine takes a fresh range of identifiers for each container.
    Auto,
    /// The engine maps every container's root to this user, or runs as an ordinary user itself (`None`).
    Always { root: Option<(u32, u32)> },
    /// The container's root is the machine's, for this reason.
    Shared { reason: String },
}

/// An engine that has answered.
pub struct Engine {
    pub docker: Docker,
    pub socket: PathBuf,
    pub kind: Kind,
    /// `podman 4.3.1`
    pub name: String,
    pub is_rootless: bool,
    pub namespace: Namespace,
    /// Limits it cannot enforce, each with its reason.
    pub unenforced: Vec<String>,
    /// Where it keeps images.
    pub storage: PathBuf,
}

/// Connects on demand and remembers what answered, until it goes away.
pub struct Connector {
    /// `None`: the well-known places.
    socket: Option<PathBuf>,
    known: Mutex<Option<Arc<Engine>>>,
}

impl Connector {
    pub fn new(socket: Option<PathBuf>) -> Self {
        Self { socket, known: Mutex::new(None) }
    }

    /// The engine; every request opens a connection of its own, so one that was restarted is simply used again.
    pub async fn engine(&self) -> Result<Arc<Engine>, SandboxError> {
        if let Some(engine) = self.known().clone() {
            return Ok(engine);
        }
        let socket = self.find().await?;
        let engine = Arc::new(identify(&socket).await?);
        tracing::info!(engine = %engine.name, socket = %socket.display(), "container engine found");
        *self.known() = Some(engine.clone());
        Ok(engine)
    }

    /// The engine, asked anew who it is: it may have been upgraded or configured since.
    pub async fn fresh(&self) -> Result<Arc<Engine>, SandboxError> {
        *self.known() = None;
        self.engine().await
    }

    /// What `error` means; an engine that went away is looked for again by the next call.
    pub fn fault(&self, action: &'static str, error: Error) -> SandboxError {
        let fault = fault(action, error);
        if matches!(fault, SandboxError::EngineGone { .. }) {
            *self.known() = None;
        }
        fault
    }

    /// An engine that did not answer.
    pub fn gone(&self, action: &'static str, reason: String) -> SandboxError {
        *self.known() = None;
        SandboxError::EngineGone { action, reason }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Arc<Engine>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(&self) -> Result<PathBuf, SandboxError> {
        let candidates = match &self.socket {
            Some(socket) => vec![socket.clone()],
            None => well_known_sockets(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)),
        };
        let mut forbidden = None;
        let mut tried = Vec::new();
        for socket in candidates {
            match tokio::net::UnixStream::connect(&socket).await {
                Ok(_) => return Ok(socket),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    forbidden.get_or_insert(socket);
                }
                Err(error) => tried.push(format!("{} ({})", socket.display(), explain(&socket, &error))),
            }
        }
        match forbidden {
            Some(socket) => Err(SandboxError::EngineForbidden { socket }),
            None => Err(SandboxError::NoEngine { tried: tried.join(", ") }),
        }
    }
}

fn well_known_sockets(runtime_dir: Option<PathBuf>) -> Vec<PathBuf> {
    let mut sockets = vec![PathBuf::from("/run/podman/podman.sock")];
    sockets.extend(runtime_dir.filter(|folder| folder.is_absolute()).map(|folder| folder.join("podman/podman.sock")));
    sockets.push(PathBuf::from("/var/run/docker.sock"));
    sockets
}

fn explain(socket: &Path, error: &std::io::Error) -> String {
    match std::fs::metadata(socket) {
        Ok(found) if !found.file_type().is_socket() => "not a socket".into(),
        Ok(_) if error.kind() == ErrorKind::ConnectionRefused => "nobody listens".into(),
        Err(missing) if missing.kind() == ErrorKind::NotFound => "absent".into(),
        _ => error.to_string(),
    }
}

async fn identify(socket: &Path) -> Result<Engine, SandboxError> {
    let action = "ask for its version";
    let text = socket.to_str().ok_or_else(|| SandboxError::NoEngine { tried: format!("{} (not UTF-8)", socket.display()) })?;
    let client = Docker::connect_with_unix(text, ANSWER_S, API_DEFAULT_VERSION).map_err(|error| fault(action, error))?;
    let docker = client.negotiate_version().await.map_err(|error| fault(action, error))?;
    let version = docker.version().await.map_err(|error| fault(action, error))?;
    let is_podman = version.components.iter().flatten().any(|component| component.name.contains("Podman"));
    let number = version.version.unwrap_or_default();
    let (kind, word, oldest, needed) = if is_podman {
        (Kind::Podman, "podman", OLDEST_PODMAN, "podman 4.0")
    } else {
        (Kind::Docker, "docker", OLDEST_DOCKER, "docker 20.10")
    };
    let name = format!("{word} {number}");
    if number.split('.').next().and_then(|major| major.parse().ok()).is_none_or(|major: u32| major < oldest) {
        return Err(SandboxError::EngineTooOld { name, needed });
    }
    let info = docker.info().await.map_err(|error| fault("ask for its settings", error))?;
    if info.os_type.as_deref().is_some_and(|system| system != "linux") {
        return Err(SandboxError::EngineAnswer { action: "ask for its settings", reason: "it does not run Linux containers".into() });
    }
    let options = info.security_options.clone().unwrap_or_default();
    // A socket that is not root's is served by somebody else: without privileges, whatever it says of itself.
    let is_rootless = has_option(&options, "rootless") || !is_owned_by_root(socket);
    let namespace = namespace_of(kind, is_rootless, &info, &options);
    let unenforced = unenforced(&info, &options, &namespace);
    let storage = info.docker_root_dir.map(PathBuf::from).unwrap_or_default();
    Ok(Engine { docker, socket: socket.to_owned(), kind, name, is_rootless, namespace, unenforced, storage })
}

fn is_owned_by_root(socket: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(socket).is_ok_and(|metadata| metadata.uid() == 0)
}

/// Options read `name=seccomp,profile=default`.
fn has_option(options: &[String], name: &str) -> bool {
    options.iter().any(|option| option.split(',').any(|part| part.strip_prefix("name=").unwrap_or(part) == name))
}

fn namespace_of(kind: Kind, is_rootless: bool, info: &SystemInfo, options: &[String]) -> Namespace {
    if is_rootless {
        return Namespace::Always { root: None };
    }
    match kind {
        Kind::Podman => match podman_ranges(Path::new("/etc/subuid"), Path::new("/etc/subgid")) {
            true => Namespace::Auto,
            false => Namespace::Shared {
                reason: format!(
                    "/etc/subuid and /etc/subgid have no range of {NAMESPACE_IDS} for the user `{PODMAN_RANGE_USER}`; \
                     add `{PODMAN_RANGE_USER}:2147483647:2147483648` to both"
                ),
            },
        },
        Kind::Docker if has_option(options, "userns") => {
            // The storage of a remapped daemon is named after the identifiers of its containers' root.
            let storage = info.docker_root_dir.as_deref().and_then(|folder| folder.rsplit('/').next());
            let ids =
                storage.and_then(|name| name.split_once('.')).and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
            Namespace::Always { root: ids }
        }
        Kind::Docker => Namespace::Shared { reason: "the daemon runs without `userns-remap` (set it in /etc/docker/daemon.json)".into() },
    }
}

fn podman_ranges(users: &Path, groups: &Path) -> bool {
    [users, groups].iter().all(|file| std::fs::read_to_string(file).is_ok_and(|text| has_range(&text)))
}

fn has_range(text: &str) -> bool {
    text.lines().any(|line| {
        let mut fields = line.trim().split(':');
        let user = fields.next();
        let count = fields.nth(1).and_then(|count| count.parse::<u64>().ok());
        user == Some(PODMAN_RANGE_USER) && count.is_some_and(|count| count >= u64::from(NAMESPACE_IDS))
    })
}

fn unenforced(info: &SystemInfo, options: &[String], namespace: &Namespace) -> Vec<String> {
    let kernel = "the kernel or the engine's cgroup set-up lacks the controller";
    let mut missing = Vec::new();
    for (what, supported) in [
        ("memory", info.memory_limit),
        ("swap", info.swap_limit),
        ("processor time", info.cpu_cfs_quota),
        ("number of processes", info.pids_limit),
    ] {
        if supported == Some(false) {
            missing.push(format!("{what}: {kernel}"));
        }
    }
    if !has_option(options, "seccomp") {
        missing.push("system calls: the engine runs without a seccomp profile".into());
    }
    match namespace {
        Namespace::Shared { reason } => missing.push(format!("user namespace: {reason}")),
        Namespace::Always { root: None } => missing.push("user namespace: shared by all containers of this engine".into()),
        _ => {}
    }
    if is_selinux_enforcing() {
        missing.push("SELinux separation: containers could not reach the agent's socket under it".into());
    }
    missing
}

pub fn is_selinux_enforcing() -> bool {
    std::fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|state| state.trim() == "1")
}

/// What an error of the client means.
pub fn fault(action: &'static str, error: Error) -> SandboxError {
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            // Podman answers 404 with the reason that the version is unknown, and 503 while it shuts down.
            if status_code == 503 {
                return SandboxError::EngineGone { action, reason: message };
            }
            SandboxError::EngineRefused { action, reason: one_line(&message) }
        }
        Error::DockerStreamError { error } => SandboxError::EngineRefused { action, reason: one_line(&error) },
        Error::JsonDataError { message, .. } => SandboxError::EngineAnswer { action, reason: message },
        Error::JsonSerdeError { err } => SandboxError::EngineAnswer { action, reason: err.to_string() },
        Error::APIVersionParseError {} => SandboxError::EngineAnswer { action, reason: "no version in it".into() },
        Error::RequestTimeoutError => SandboxError::EngineGone { action, reason: format!("no answer within {ANSWER_S} s") },
        other => SandboxError::EngineGone { action, reason: chain(&other) },
    }
}

/// Whether the engine says that the named thing does not exist.
pub fn is_absent(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// The status of an answer that refuses, for operations whose refusals mean different things.
pub fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The error and what is behind it; the outermost one of a client often says nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        inner = error.source();
    }
    one_line(&text)
}

/// An engine's message as one line of bounded length: it may quote what a registry or an image sent.
pub fn one_line(text: &str) -> String {
    const MOST: usize = 600;
    let clean: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MOST).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A client for an answer that takes up to `extra` longer than usual.
pub fn patient(docker: &Docker, extra: Duration) -> Docker {
    docker.clone().with_timeout(Duration::from_secs(ANSWER_S).saturating_add(extra))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_identifiers_are_read_from_the_right_user() {
        assert!(has_range("alice:100000:65536\ncontainers:2147483647:2147483648\n"));
        for text in ["", "alice:100000:65536", "containers:100000:65535", "containers:1", "containers:1:x", "xcontainers:1:65536"] {
            assert!(!has_range(text), "{text}");
        }
    }

    #[test]
    fn security_options_are_read_in_both_spellings() {
        let options = ["name=seccomp,profile=default".to_owned(), "rootless".to_owned()];
        assert!(has_option(&options, "seccomp") && has_option(&options, "rootless"));
        assert!(!has_option(&options, "userns"));
    }

    #[test]
    fn messages_of_an_engine_stay_one_short_line() {
        assert_eq!(one_line("a\n\x1b[31m b\t c"), "a [31m b c");
        assert!(one_line(&"ü".repeat(10_000)).chars().count() <= 600);
    }

    #[tokio::test]
    async fn a_missing_engine_is_named_with_the_places_that_were_tried() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        for (socket, why) in [(folder.path().join("none.sock"), "absent"), (file, "not a socket")] {
            let Err(error) = Connector::new(Some(socket.clone())).engine().await else { panic!("there is an engine at {socket:?}") };
            assert!(matches!(&error, SandboxError::NoEngine { tried } if tried.contains(why)), "{error}");
            assert!(error.is_temporary());
        }
    }
}
