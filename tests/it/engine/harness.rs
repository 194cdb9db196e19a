//! A private Podman for one test: own storage, own configuration, own service process. Nothing of it outlives the test.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use gpumkt::{
    sandbox::{
        Agent, ContainerLimits, ContainerSpec, DeviceAccess, EngineOptions, EngineRuntime, ImageSource, NetworkPolicy, RentalFolders,
        Runtime, install_agent,
    },
    types::agent::{Exec, Exit, Frame as Piece},
};

use crate::poll;

pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `done` holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut done: impl FnMut() -> F) {
    poll::until(what, DEADLINE, async || done().await).await;
}

/// Fails the test with what to install, instead of passing without having tested anything.
pub fn need(program: &str) {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path.split(':').chain(["/usr/sbin", "/sbin"]).any(|folder| Path::new(folder).join(program).exists());
    assert!(found, "{program} is missing; `scripts/setup.sh full` installs what the tests need");
}

pub struct Podman {
    pub folder: tempfile::TempDir,
    service: Option<Child>,
}

impl Podman {
    pub async fn start() -> Self {
        ["podman", "runc", "conmon", "busybox", "tar", "ip", "nft"].iter().for_each(|program| need(program));
        assert!(nix::unistd::geteuid().is_root(), "these tests start containers: run them as root");
        let folder = tempfile::Builder::new().prefix("gpumkt-engine-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let conf = format!(
            "[containers]\ndefault_ulimits = [\"nofile=20000:20000\", \"nproc=4096:4096\"]\n[engine]\ncgroup_manager = \"cgroupfs\"\n\
             events_logger = \"file\"\nruntime = \"runc\"\ntmp_dir = {:?}\nstatic_dir = {:?}\nvolume_path = {:?}\n[network]\n\
             network_backend = \"netavark\"\nnetwork_config_dir = {:?}\n",
            at("tmp"),
            at("static"),
            at("volumes"),
            at("networks"),
        );
        fs::write(at("containers.conf"), conf).unwrap();
        let storage = format!("[storage]\ndriver = \"overlay\"\ngraphroot = {:?}\nrunroot = {:?}\n", at("graph"), at("run"));
        fs::write(at("storage.conf"), storage).unwrap();
        fs::write(at("registries.conf"), "").unwrap();
        let mut podman = Self { folder, service: None };
        podman.serve().await;
        podman
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.at("podman.sock")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        // Its monitor writes into the folder that it was started in.
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("CONTAINERS_CONF", self.at("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.at("storage.conf"));
        command.env("CONTAINERS_REGISTRIES_CONF", self.at("registries.conf"));
        command
    }

    /// Starts the engine's service, or starts it again.
    pub async fn serve(&mut self) {
        let _ = fs::remove_file(self.socket());
        let log = fs::OpenOptions::new().create(true).append(true).open(self.at("service.log")).unwrap();
        let url = format!("unix://{}", self.socket().display());
        let mut command = self.command(&["system", "service", "--time=0", &url]);
        self.service = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let socket = self.socket();
        eventually("podman's service answers", || async { tokio::net::UnixStream::connect(&socket).await.is_ok() }).await;
    }

    /// Ends the service as a crash would; containers go on without it.
    pub fn kill_service(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.kill().unwrap();
            service.wait().unwrap();
        }
    }

    /// Runs a command of podman, which has to succeed.
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.try_run(words);
        assert!(output.status.success(), "podman {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_run(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().unwrap()
    }

    pub fn options(&self) -> EngineOptions {
        EngineOptions { socket: Some(self.socket()), cdi_dirs: vec![self.at("cdi")], ..EngineOptions::new("12D3KooWnode-of-the-test") }
    }

    pub fn runtime(&self) -> EngineRuntime {
        EngineRuntime::new(self.options())
    }

    /// A root file system of Debian's static busybox.
    pub fn root_archive(&self) -> PathBuf {
        let (root, archive) = (self.at("root"), self.at("root.tar"));
        if archive.exists() {
            return archive;
        }
        for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "run", "root", "var/tmp"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists()).unwrap();
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        let applets = "sh sleep cat cp rm ls id mount umount mknod wget nc head tail dd touch echo httpd env ps kill stat df ip chmod chown grep ulimit true su hostname mkdir wc test";
        for applet in applets.split(' ') {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:n:/:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
        let status = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status().unwrap();
        assert!(status.success());
        archive
    }

    /// A container that can be started once its image is there.
    pub async fn rental(&self, runtime: &EngineRuntime, rental: u64) -> Rental {
        let image = runtime.prepare(&ImageSource::Archive(self.root_archive()), &|_| ()).await.unwrap();
        let folders = RentalFolders::new(&self.at("rentals"), rental);
        let agent_dir = folders.agent();
        fs::create_dir_all(&agent_dir).unwrap();
        let agent = Agent::listen(&agent_dir).unwrap();
        let spec = ContainerSpec {
            rental,
            image: image.id,
            hostname: format!("rental-{rental}"),
            env: BTreeMap::from([("RENTAL".into(), rental.to_string())]),
            limits: ContainerLimits {
                memory_bytes: 96 << 20,
                cpu_millis: 500,
                processes: 48,
                shm_bytes: 16 << 20,
                ..ContainerLimits::default()
            },
            network: NetworkPolicy::None,
            devices: DeviceAccess::Cpu,
            agent_dir,
            scratch_dir: folders.scratch(),
            agent_program: install_agent(&self.at("guest")).unwrap(),
        };
        Rental { spec, agent }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.try_run(&["rm", "--force", "--all", "--time", "0"]);
        let _ = self.try_run(&["network", "prune", "--force"]);
        if let Some(mut service) = self.service.take() {
            let _ = service.kill();
            let _ = service.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.at("service.log")).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "podman's service said:\n{log}");
        }
        // Storage that is mounted on itself, and what a failed test left mounted.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = self.folder.path().to_string_lossy().into_owned();
        let mut own: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| path.starts_with(&below)).collect();
        own.sort_unstable();
        for path in own.into_iter().rev() {
            let _ = Command::new("umount").arg("--lazy").arg(path).status();
        }
        // Podman cleans up after each container in a process of its own, which may still be writing.
        for _ in 0..50 {
            if fs::remove_dir_all(self.folder.path()).is_ok() {
                return;
            }
            let _ = Command::new("sleep").arg("0.1").status();
        }
        let _ = writeln!(std::io::stderr(), "{} could not be removed", self.folder.path().display());
    }
}

pub struct Rental {
    pub spec: ContainerSpec,
    pub agent: Agent,
}

/// How a command inside ended and what it printed.
#[derive(Debug)]
pub struct Ended {
    pub exit: Exit,
    pub text: String,
}

impl Ended {
    pub fn is_ok(&self) -> bool {
        self.exit == Exit::Code(0)
    }
}

impl Rental {
    /// Runs a line of shell inside, as the renter does.
    pub async fn shell(&self, line: &str) -> Ended {
        let argv = ["/bin/sh", "-c", line].iter().map(|word| word.as_bytes().to_vec()).collect();
        let process = self.agent.exec(Exec { argv, ..Exec::default() }).await.unwrap();
        let (mut input, mut output) = process.split();
        let _ = input.end().await;
        let mut text = Vec::new();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            match tokio::time::timeout_at(deadline, output.next()).await.expect("the command ends").unwrap() {
                Piece::Stdout(bytes) | Piece::Stderr(bytes) => text.extend_from_slice(&bytes),
                Piece::Exited(exit) => return Ended { exit, text: String::from_utf8_lossy(&text).into_owned() },
                _ => {}
            }
        }
    }

    /// What a line that succeeds prints.
    pub async fn ok(&self, line: &str) -> String {
        let ended = self.shell(line).await;
        assert!(ended.is_ok(), "{line}: {ended:?}");
        ended.text.trim().to_owned()
    }

    /// That a line fails.
    pub async fn refused(&self, line: &str) {
        let ended = self.shell(line).await;
        assert!(!ended.is_ok(), "{line} succeeded: {}", ended.text);
    }
}

/// Debian's registry on loopback, with one user.
pub struct Registry {
    child: Child,
    pub host: String,
}

impl Registry {
    pub const USER: &str = "alice";
    pub const PASSWORD: &str = "wonderland";

    pub async fn start(podman: &Podman) -> Self {
        need("docker-registry");
        need("htpasswd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let users = Command::new("htpasswd").args(["-Bbn", Self::USER, Self::PASSWORD]).output().unwrap();
        assert!(users.status.success());
        fs::write(podman.at("users"), users.stdout).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {:?}}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\nauth: {{htpasswd: {{realm: test, path: {:?}}}}}\n",
            podman.at("registry"),
            podman.at("users"),
        );
        fs::write(podman.at("registry.yml"), config).unwrap();
        let host = format!("127.0.0.1:{port}");
        fs::write(podman.at("registries.conf"), format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n")).unwrap();
        let mut command = Command::new("docker-registry");
        let child = command
            .arg("serve")
            .arg(podman.at("registry.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the registry answers", || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await;
        Self { child, host }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
