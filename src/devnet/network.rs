//! The whole network on this machine: chains, contracts, stakes, nodes, each node a process of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;

use super::{
    DevnetError,
    accounts::{Accounts, KINGS, QUEENS},
    chains::DevChains,
    clients::RealClients,
    process::{ManagedProcess, Readiness},
    proxy::FaultProxy,
};
use crate::{
    chain::{Chain, ChainConfig},
    client::{
        ClientError, Clients, Mode,
        bench::{BenchError, Calibration, TimeLimits, calibrate},
        directory, stake,
    },
    config::NodeConfig,
    types::{AddressBook, Amount, ChainKind, Role, work::cpu_test_class},
};

/// What `gpumkt deploy` is given, before the class's times are measured.
const DEPLOYMENT: &str = include_str!("../../config/chains/devnet.toml");
/// Runs of each mode for the calibration.
const CALIBRATION_RUNS: u32 = 3;
/// The reference is this much longer than measured, in thousandths: the machine also runs everything else.
const LIMITS: TimeLimits = TimeLimits { reference_permille: 4_000, pass_permille: 8_000, unmeasured_permille: 10_000 };
/// Time a node has to come up. A loaded machine needs seconds.
const NODE_START: Duration = Duration::from_secs(60);
const DEPLOY_TIME: Duration = Duration::from_secs(120);
const NODE_STOP: Duration = Duration::from_secs(12);
/// Pause of nodes between two looks at a chain.
const POLL_MS: u64 = 200;
/// Kings sign at multiples of this, on both chains.
pub const STRIDE_BLOCKS: u64 = 2;
/// Blocks on top of a final one: what Kings wait for on Ethereum Classic, and where anvil's `finalized` stands on Ethereum.
pub const FINAL_AFTER_BLOCKS: u64 = 2;
/// What a deployment to real clients has in place of the devnet's.
const REAL_WINDOWS: [(&str, i64); 4] =
    [("beacon_spacing", 20), ("commit_window_blocks", 20), ("answer_window_blocks", 20), ("bridge_max_seconds", 120)];
/// The node that serves the HTTP API and the web interface.
pub const PUBLIC: &str = "king-1";
const STAKES: [(Role, &str); 3] = [(Role::King, "200000"), (Role::Queen, "20000"), (Role::Provider, "5000")];

/// What a node says about itself once it is up.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeInfo {
    pub http: SocketAddr,
    /// Of its public interface, where it has one.
    #[serde(default)]
    pub api: Option<SocketAddr>,
    /// Multiaddrs that end in the peer id.
    pub listen: Vec<String>,
}

/// One process of the network.
pub struct DevNode {
    pub name: String,
    pub folder: PathBuf,
    pub process: ManagedProcess,
    pub info: NodeInfo,
}

/// A running devnet; dropping it ends every process.
pub struct DevNetwork {
    /// The `gpumkt` that nodes are started from.
    pub program: PathBuf,
    pub folder: PathBuf,
    pub accounts: Accounts,
    pub book: AddressBook,
    pub nodes: Vec<DevNode>,
    /// When all nodes were up, in Unix seconds of Ethereum's clock; 0 before.
    pub nodes_up_at: u64,
    pub proxies: [FaultProxy; 2],
    pub chains: DevChains,
}

impl DevNetwork {
    /// Chains first, everything on them after.
    pub async fn chains(clients: Option<&RealClients>, folder: &Path) -> Result<DevChains, DevnetError> {
        let deployment: toml::Table = DEPLOYMENT.parse().map_err(|error: toml::de::Error| invalid(&error.to_string()))?;
        let id = |name: &str| deployment.get("chains").and_then(|chains| chains.get(name)).and_then(toml::Value::as_integer);
        let id = |name| id(name).and_then(|id| u64::try_from(id).ok()).ok_or_else(|| invalid("no chain ids"));
        DevChains::start_with(clients, id("ethereum")?, id("classic")?, folder).await
    }

    /// A client of `name` that reads the chains directly.
    pub async fn clients(&self, name: &str) -> Result<Clients, DevnetError> {
        connect(&self.chains, &self.book, &self.accounts, name).await
    }

    pub fn node(&mut self, name: &str) -> Option<&mut DevNode> {
        self.nodes.iter_mut().find(|node| node.name == name)
    }

    /// Multiaddrs with peer ids of the nodes that others join by.
    pub fn bootstrap(&self) -> Vec<String> {
        let known = self.nodes.iter().filter(|node| node.name.starts_with("king") || node.name.starts_with("queen"));
        known.filter_map(|node| node.info.listen.first().cloned()).collect()
    }

    /// Writes a node configuration and returns its path. Kings get a second, proxied URL of each chain.
    pub fn write_config(&self, name: &str, bootstrap: &[String]) -> Result<PathBuf, DevnetError> {
        let folder = self.folder.join(name);
        let rpc = |kind: ChainKind| {
            let mut urls = vec![self.chains.of(kind).url()];
            if name.starts_with("king") {
                urls.push(self.proxies[kind as usize].url());
            }
            urls
        };
        let mut config = json!({
            "data_dir": folder,
            "addresses": self.folder.join("addresses.json"),
            "keys": { "operator": self.accounts.keystore(name), "password_file": self.accounts.password_file() },
            "ethereum": { "chain_id": self.book.ethereum.chain_id, "rpc": rpc(ChainKind::Ethereum), "poll_ms": POLL_MS },
            "classic": { "chain_id": self.book.classic.chain_id, "rpc": rpc(ChainKind::Classic), "poll_ms": POLL_MS },
            "network": { "listen": ["/ip4/127.0.0.1/tcp/0"], "bootstrap": bootstrap, "local": true },
            "http": { "listen": "127.0.0.1:0" },
            "king": { "ethereum_stride": STRIDE_BLOCKS, "classic_stride": STRIDE_BLOCKS, "classic_min_depth": FINAL_AFTER_BLOCKS },
            "queen": { "report_after_blocks": 40 },
            "relay": { "deliver": "all", "max_wait_seconds": 0 },
        });
        if name == PUBLIC {
            config["api"] = json!({ "listen": "127.0.0.1:0" });
        }
        if name == "provider" {
            config["keys"]["worker"] = json!(self.accounts.keystore("worker"));
        }
        let text = toml::to_string(&config).map_err(|error| invalid(&error.to_string()))?;
        let path = self.folder.join(format!("{name}.toml"));
        std::fs::write(&path, text).map_err(|error| DevnetError::file(&path, &error))?;
        Ok(path)
    }

    /// Starts `gpumkt <role>` as `name` and waits until it says that it is ready.
    pub async fn start_node(&self, name: &str, bootstrap: &[String]) -> Result<DevNode, DevnetError> {
        let config = self.write_config(name, bootstrap)?;
        let role = name.split('-').next().unwrap_or(name);
        let mut command = Command::new(&self.program);
        command.arg(role).arg("--config").arg(config);
        let folder = self.folder.join(name);
        let told = folder.join("node.json");
        if told.exists() {
            std::fs::remove_file(&told).map_err(|error| DevnetError::file(&told, &error))?;
        }
        let mut process = ManagedProcess::spawn(name, command, &self.folder.join("logs").join(format!("{name}.log")))?;
        let read = || serde_json::from_str::<NodeInfo>(&std::fs::read_to_string(&told).ok()?).ok();
        let info = process.wait_until(NODE_START, "it has not said where it listens", async || read()).await?;
        process.wait_ready(&Readiness::Http { address: info.http, path: "/readyz".into() }, NODE_START).await?;
        Ok(DevNode { name: name.into(), folder, process, info })
    }

    /// Kings, Queens, provider and relay. The first King is who the others join by.
    pub async fn start_nodes(&mut self) -> Result<(), DevnetError> {
        let first = self.start_node("king-1", &[]).await?;
        self.nodes.push(first);
        let bootstrap = self.bootstrap();
        let mut names: Vec<String> = (1..=QUEENS).map(|number| format!("queen-{number}")).collect();
        names.extend(["provider".into(), "relay".into()]);
        names.extend((2..=KINGS).map(|number| format!("king-{number}")));
        let started = futures::future::try_join_all(names.iter().map(|name| self.start_node(name, &bootstrap))).await?;
        self.nodes.extend(started);
        self.announce("king-1").await?;
        self.nodes_up_at = self.clients("relay").await?.ethereum.head().await?.timestamp;
        Ok(())
    }

    /// A King says on chain where it is, as `gpumkt king announce` does.
    async fn announce(&self, name: &str) -> Result<(), DevnetError> {
        let path = self.folder.join(format!("{name}.toml"));
        let config = NodeConfig::load(&path, &[]).map_err(ClientError::from)?;
        let listen = self.nodes.iter().find(|node| node.name == name).map_or_else(Vec::new, |node| node.info.listen.clone());
        directory::announce(&self.clients(name).await?, Mode::Send, &config, &listen).await?;
        Ok(())
    }

    /// Every staker stakes; identities are made here, so that each stake names its node's peer id.
    pub async fn stake_all(&self) -> Result<(), DevnetError> {
        let kings = (1..=KINGS).map(|number| format!("king-{number}"));
        let queens = (1..=QUEENS).map(|number| format!("queen-{number}"));
        let names = kings.chain(queens).chain(["provider".to_string()]);
        futures::future::try_join_all(names.map(|name| self.stake_one(name))).await.map(drop)
    }

    async fn stake_one(&self, name: String) -> Result<(), DevnetError> {
        let prefix = name.split('-').next().unwrap_or_default();
        let role = |role: &Role| format!("{role:?}").to_lowercase() == prefix;
        let (role, tokens) = STAKES.iter().find(|(known, _)| role(known)).ok_or_else(|| invalid("no stake for this role"))?;
        let peer = Clients::peer_id(&self.folder.join(&name))?;
        let clients = self.clients(&name).await?;
        let amount = Amount::parse_tokens(tokens).map_err(|error| invalid(&error.to_string()))?;
        stake::stake(&clients, *role, amount, clients.signer.address(), &peer, Mode::Send).await?;
        Ok(())
    }

    /// Stops nodes in two phases, then the chains.
    pub async fn stop(self) -> Result<(), DevnetError> {
        let stopping = self.nodes.into_iter().map(|node| node.process.stop(NODE_STOP));
        futures::future::try_join_all(stopping).await?;
        self.chains.stop().await
    }
}

/// Measures the device, so that a loaded machine does not fail an honest provider.
pub async fn calibrate_device() -> Result<Calibration, DevnetError> {
    let (full, light) = cpu_test_class();
    let measured = tokio::task::spawn_blocking(move || {
        calibrate(0, (&full, LIMITS), (&light, LIMITS), CALIBRATION_RUNS, &mut |_| std::ops::ControlFlow::Continue(()))
    });
    let measured: Result<Calibration, BenchError> = measured.await.map_err(|error| invalid(&error.to_string()))?;
    measured.map_err(|error| DevnetError::Calibration(Box::new(error)))
}

/// The devnet's deployment file with the times that were measured.
pub fn deployment(chains: &DevChains, measured: &Calibration) -> Result<toml::Table, DevnetError> {
    let mut deployment: toml::Table = DEPLOYMENT.parse().map_err(|error: toml::de::Error| invalid(&error.to_string()))?;
    let class = deployment.get_mut("classes").and_then(|classes| classes.get_mut(0)).ok_or_else(|| invalid("no class"))?;
    for (mode, profile) in [("full", &measured.full), ("light", &measured.light)] {
        let section = class.get_mut(mode).and_then(toml::Value::as_table_mut).ok_or_else(|| invalid("no profile"))?;
        section.insert("reference_ms".into(), profile.reference_ms.into());
        section.insert("pass_ms".into(), profile.pass_ms.into());
        section.insert("unmeasured_ms".into(), profile.unmeasured_ms.into());
    }
    if chains.are_real() {
        widen_windows(&mut deployment)?;
    }
    Ok(deployment)
}

/// Runs `program deploy` on a deployment file.
pub async fn deploy(
    program: &Path,
    folder: &Path,
    chains: &DevChains,
    accounts: &Accounts,
    deployment: &toml::Table,
) -> Result<AddressBook, DevnetError> {
    let path = folder.join("deployment.toml");
    std::fs::write(&path, deployment.to_string()).map_err(|error| DevnetError::file(&path, &error))?;
    let out = folder.join("addresses.json");
    let mut command = Command::new(program);
    command.arg("deploy").arg("--config").arg(&path).arg("--out").arg(&out);
    command.arg("--ethereum-rpc").arg(chains.ethereum.url()).arg("--classic-rpc").arg(chains.classic.url());
    command.arg("--key").arg(accounts.keystore("deployer")).arg("--password-file").arg(accounts.password_file());
    let _hurry = chains.hurry();
    let mut process = ManagedProcess::spawn("deploy", command, &folder.join("logs").join("deploy.log"))?;
    // The address book is the last thing it writes; its end tells whether it succeeded.
    let read = || serde_json::from_str::<AddressBook>(&std::fs::read_to_string(&out).ok()?).ok();
    process.wait_until(DEPLOY_TIME, "the contracts are not deployed", async || read()).await
}

/// Blocks of a real chain come at random: six of them may pass within a second, and `finalized` trails by up to 32.
fn widen_windows(deployment: &mut toml::Table) -> Result<(), DevnetError> {
    let section = deployment.get_mut("verification").and_then(toml::Value::as_table_mut).ok_or_else(|| invalid("no verification"))?;
    for (key, value) in REAL_WINDOWS {
        section.insert(key.into(), value.into());
    }
    Ok(())
}

/// Connects `name` to both chains.
pub async fn connect(chains: &DevChains, book: &AddressBook, accounts: &Accounts, name: &str) -> Result<Clients, DevnetError> {
    let config = |kind: ChainKind| ChainConfig {
        poll_ms: POLL_MS,
        ..ChainConfig::new(kind, chains.of(kind).chain_id(), vec![chains.of(kind).url()])
    };
    let ethereum = Chain::connect(config(ChainKind::Ethereum)).await?;
    let classic = Chain::connect(config(ChainKind::Classic)).await?;
    Ok(Clients { ethereum, classic, book: book.clone(), signer: accounts.signer(name)? })
}

pub fn this_program() -> Result<PathBuf, DevnetError> {
    std::env::current_exe().map_err(|error| DevnetError::Spawn { name: "gpumkt".into(), reason: error.to_string() })
}

fn invalid(reason: &str) -> DevnetError {
    DevnetError::Setup { what: "devnet configuration".into(), reason: reason.into() }
}
