//! One deployed pair of chains for all cases, a folder per case, and the binary run as a user runs it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
    time::Duration,
};

use gpumkt::{
    client::Clients,
    config::NodeConfig,
    devnet::{
        accounts::Accounts,
        chains::{Anvil, AnvilOptions, DevChains},
        process::ManagedProcess,
    },
    types::{AddressBook, ChainKind},
};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command, runtime::Runtime};

/// A command that takes longer hangs.
const WITHIN: Duration = Duration::from_secs(60);

pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Both chains with the contracts on them. The kernel ends the chains with this process.
pub struct Network {
    pub folder: PathBuf,
    pub accounts: Accounts,
    pub chains: DevChains,
    pub book: AddressBook,
}

static NETWORK: LazyLock<Network> = LazyLock::new(|| RUNTIME.block_on(deploy()));

pub fn network() -> &'static Network {
    &NETWORK
}

async fn deploy() -> Network {
    let folder = run_folder();
    let accounts = Accounts::create(&folder.join("keys")).unwrap();
    let (ethereum, classic) = tokio::try_join!(
        Anvil::start(AnvilOptions::instant(ChainKind::Ethereum, 31301, &folder)),
        Anvil::start(AnvilOptions::instant(ChainKind::Classic, 31361, &folder)),
    )
    .unwrap();
    let chains = DevChains { ethereum, classic };
    let out = folder.join("addresses.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpumkt"));
    command.args(["deploy", "--config", concat!(env!("CARGO_MANIFEST_DIR"), "/config/chains/devnet.toml"), "--out"]).arg(&out);
    command.args(["--ethereum-rpc", &chains.ethereum.url(), "--classic-rpc", &chains.classic.url(), "--key"]);
    command.arg(accounts.keystore("deployer")).arg("--password-file").arg(accounts.password_file());
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let book = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    Network { folder, accounts, chains, book }
}

/// A folder of this process; those of processes that are gone are removed, as nothing runs at a test binary's end.
fn run_folder() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad_inputs");
    fs::create_dir_all(&root).unwrap();
    for entry in fs::read_dir(&root).unwrap().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let folder = root.join(std::process::id().to_string());
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A user's folder: keystore, password, address book and configuration that are all right until a case spoils them.
pub struct Desk {
    folder: TempDir,
    config_file: String,
}

impl Desk {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network = network();
        let keystore = format!("{name}.json");
        fs::copy(network.accounts.keystore(name), folder.path().join(&keystore)).unwrap();
        fs::copy(network.accounts.password_file(), folder.path().join("password")).unwrap();
        fs::copy(network.folder.join("addresses.json"), folder.path().join("addresses.json")).unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = serde_json::json!({
            "data_dir": path("data"),
            "addresses": path("addresses.json"),
            "keys": { "operator": path(&keystore), "password_file": path("password") },
            "ethereum": { "chain_id": 31301, "rpc": [network.chains.ethereum.url()], "poll_ms": 100 },
            "classic": { "chain_id": 31361, "rpc": [network.chains.classic.url()], "poll_ms": 100 },
            "network": { "listen": ["/ip4/127.0.0.1/tcp/0"], "local": true },
            "http": { "listen": "127.0.0.1:0" },
            "king": { "single_endpoint": true },
        });
        let config_file = path("node.toml").to_str().unwrap().to_string();
        fs::write(&config_file, toml::to_string(&config).unwrap()).unwrap();
        Self { folder, config_file }
    }

    /// The same with another configuration.
    pub fn with(self, change: impl FnOnce(&mut toml::Table)) -> Self {
        let mut config: toml::Table = fs::read_to_string(&self.config_file).unwrap().parse().unwrap();
        change(&mut config);
        fs::write(&self.config_file, config.to_string()).unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config_file(&self) -> &str {
        &self.config_file
    }

    /// Runs a command with this configuration.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        // These have subcommands, which take the options.
        let words = if ["court", "maintenance"].contains(&arguments[0]) { 2 } else { 1 };
        let (command, rest) = arguments.split_at(words);
        gpumkt(&[command, &["--config", &self.config_file], rest].concat()).go()
    }

    /// Every file with its content, but for those that RocksDB writes whenever it only looks.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if !name.starts_with("LOG") && name != "LOCK" {
                    found.insert(entry.path(), fs::read(entry.path()).unwrap());
                }
            }
        }
        found
    }

    /// Starts a node and waits until it says where it is.
    pub fn start(&self, role: &str) -> ManagedProcess {
        let told = self.path("data/node.json");
        let _ = fs::remove_file(&told);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gpumkt"));
        command.args([role, "--config", &self.config_file]);
        let mut process = ManagedProcess::spawn(role, command, &self.path("node.log")).unwrap();
        RUNTIME.block_on(process.wait_until(WITHIN, "no node.json", async || told.exists().then_some(()))).unwrap();
        process
    }

    /// A node with this configuration starts, and stops when it is told to.
    pub fn comes_up(&self, role: &str) {
        stop(self.start(role));
    }

    /// The same account through the library, where the command line would wait for a provider.
    pub fn clients(&self) -> Clients {
        let config = NodeConfig::load(Path::new(&self.config_file), &[]).unwrap();
        RUNTIME.block_on(Clients::connect(&config)).unwrap()
    }
}

pub fn stop(process: ManagedProcess) {
    let status = RUNTIME.block_on(process.stop(Duration::from_secs(20))).unwrap();
    assert!(status.success(), "{status}");
}

/// A command line, not run yet.
pub struct Run {
    command: Command,
    stdin: Option<String>,
    stdout_closed: bool,
    within: Duration,
}

pub fn gpumkt(arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpumkt"));
    command.args(arguments).env_remove("GPUMKT_PASSWORD").env_remove("GPUMKT_CONFIG").env_remove("RUST_LOG");
    Run { command, stdin: None, stdout_closed: false, within: WITHIN }
}

impl Run {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.into());
        self
    }

    pub fn closed_stdout(mut self) -> Self {
        self.stdout_closed = true;
        self
    }

    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Runs it without a terminal.
    pub fn go(mut self) -> Outcome {
        let run = async {
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            let mut child = self.command.spawn().unwrap();
            if let Some(mut stdin) = child.stdin.take() {
                // It may end without reading.
                let _ = stdin.write_all(self.stdin.unwrap_or_default().as_bytes()).await;
            }
            if self.stdout_closed {
                drop(child.stdout.take());
            }
            child.wait_with_output().await.unwrap()
        };
        let output = RUNTIME.block_on(async { tokio::time::timeout(self.within, run).await }).expect("the command hangs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Outcome { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// What a user sees of a finished command.
#[derive(Debug)]
pub struct Outcome {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn accepted(self) -> String {
        assert_eq!(self.status, Some(0), "{self:?}");
        self.stdout
    }

    /// Refused by the command line's grammar.
    pub fn misused(self) {
        assert_eq!(self.status, Some(2), "{self:?}");
    }

    /// Exactly one line with `code` and a cause, one with the next step, exit code 1. Returns the cause.
    pub fn refused(self, code: &str) -> String {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let [error, next] = lines[..] else { panic!("not one line and a next step: {self:#?}") };
        let cause = error.strip_prefix(&format!("error[{code}]: ")).unwrap_or_else(|| panic!("not {code}: {self:#?}"));
        assert_eq!(self.status, Some(1), "{self:?}");
        assert!(!cause.trim().is_empty() && next.starts_with("  next: ") && next.len() > 20, "{self:#?}");
        cause.to_string()
    }

    pub fn next_step(&self) -> &str {
        self.stderr.lines().find_map(|line| line.strip_prefix("  next: ")).unwrap_or_default()
    }
}
