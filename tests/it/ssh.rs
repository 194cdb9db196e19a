//! Stock OpenSSH against the server, with the real agent in a container behind it.

mod access;
mod container;
mod hostile;
mod network;
mod transfer;

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use gpumkt::{
    sandbox::{SandboxError, SshAccess, SshKeyPair, SshServer, SshSummary, known_hosts_line},
    types::Coded,
};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    process::{Child, Command},
    sync::broadcast,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use self::container::Container;
use crate::poll;

const DEADLINE: Duration = Duration::from_secs(60);
/// Name under which the server's key is known.
const HOST: &str = "gpumkt-7";

type Outcomes = Arc<Mutex<Vec<Result<SshSummary, SandboxError>>>>;

/// A container, the server before it, and a renter's files.
struct Setup {
    folder: tempfile::TempDir,
    port: u16,
    notices: broadcast::Sender<String>,
    end: CancellationToken,
    outcomes: Outcomes,
    accepting: JoinHandle<()>,
    container: Container,
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Setup {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let container = Container::start(folder.path()).await;
        let server = SshServer::load_or_create(&folder.path().join("host/ssh_host_ed25519")).unwrap();
        let renter = SshKeyPair::load_or_create(&folder.path().join("id_ed25519")).unwrap();
        SshKeyPair::load_or_create(&folder.path().join("stranger")).unwrap();
        let known = known_hosts_line(HOST, &server.public_host_key()).unwrap();
        std::fs::write(folder.path().join("known_hosts"), known).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (notices, end, outcomes) = (broadcast::channel(8).0, CancellationToken::new(), Outcomes::default());
        let accepting = tokio::spawn({
            let (agent, notices, end, outcomes) = (container.agent.clone(), notices.clone(), end.clone(), outcomes.clone());
            async move {
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    let access = SshAccess {
                        authorized_keys: vec![renter.public_key()],
                        agent: agent.clone(),
                        env: vec![("GPUMKT_RENTAL".into(), "7".into())],
                        notices: notices.subscribe(),
                        end: end.clone(),
                    };
                    let (server, outcomes) = (server.clone(), outcomes.clone());
                    connections.spawn(async move {
                        let outcome = server.serve(stream, access).await;
                        outcomes.lock().unwrap().push(outcome);
                    });
                }
            }
        });
        Self { folder, port, notices, end, outcomes, accepting, container }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Options that ssh, scp and sftp share.
    fn options(&self) -> Vec<String> {
        let mut options = vec!["-F".to_string(), "none".into()];
        for option in [
            format!("UserKnownHostsFile={}", self.path("known_hosts").display()),
            format!("HostKeyAlias={HOST}"),
            format!("IdentityFile={}", self.path("id_ed25519").display()),
            "StrictHostKeyChecking=yes".into(),
            "IdentitiesOnly=yes".into(),
            "IdentityAgent=none".into(),
            "BatchMode=yes".into(),
            format!("Port={}", self.port),
        ] {
            options.extend(["-o".to_string(), option]);
        }
        options
    }

    fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(self.options()).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn ssh(&self, arguments: &[&str]) -> Command {
        let mut command = self.tool("ssh");
        command.args(arguments);
        command
    }

    /// Runs `command` in the container.
    async fn run(&self, command: &str) -> Output {
        finish(self.ssh(&["renter@127.0.0.1", command]).spawn().unwrap()).await
    }

    async fn outcome(&self) -> Result<SshSummary, SandboxError> {
        until("a connection has ended", async || !self.outcomes.lock().unwrap().is_empty()).await;
        self.outcomes.lock().unwrap().remove(0)
    }
}

async fn finish(child: Child) -> Output {
    timeout(DEADLINE, child.wait_with_output()).await.expect("the command ends").unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    poll::until(what, DEADLINE, condition).await;
}

/// Reads until `wanted` has come, and returns all that came.
async fn read_until(reader: &mut (impl AsyncReadExt + Unpin), wanted: &str) -> String {
    let mut read = Vec::new();
    let search = async {
        while !text(&read).contains(wanted) {
            let mut chunk = [0; 4096];
            let length = reader.read(&mut chunk).await.unwrap_or(0);
            assert!(length > 0, "ended before {wanted:?} came: {}", text(&read));
            read.extend_from_slice(&chunk[..length]);
        }
    };
    let found = timeout(DEADLINE, search).await;
    assert!(found.is_ok(), "{wanted:?} did not come: {}", text(&read));
    text(&read)
}

/// Waits until `count` is above zero and has stopped growing.
async fn until_it_stands(what: &str, mut count: impl FnMut() -> u64) -> u64 {
    let mut last = (0, Instant::now());
    until(what, async || {
        let now = count();
        if now != last.0 {
            last = (now, Instant::now());
        }
        now > 0 && last.1.elapsed() > Duration::from_millis(1_500)
    })
    .await;
    last.0
}

fn patterned_file(path: &Path, length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
    std::fs::write(path, &bytes).unwrap();
    bytes
}

fn code_of(outcome: Result<SshSummary, SandboxError>) -> &'static str {
    outcome.map_or_else(|error| error.code(), |_| "none")
}
