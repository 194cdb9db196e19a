//! The whole network as processes, each on a machine of its own; the chains stand on this one, which all of them reach over a line whose
//! quality can be chosen.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use gpumkt::{
    chain::BlockId,
    client::Clients,
    devnet::{
        accounts::{Accounts, KINGS, QUEENS},
        chains::DevChains,
        network::{DevNetwork, calibrate_device},
        process::{ManagedProcess, Readiness},
        proxy::FaultProxy,
    },
    types::{AddressBook, ChainKind, abi::WorkVerification},
};
use serde_json::Value;

use crate::clock::WrongClock;

use super::{
    lab::{Lab, Machine},
    link::{Quality, forward},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gpumkt");
/// This machine, in the lab's network.
pub const HERE: u8 = 1;
/// What the deployment has in place of the devnet's.
const WINDOWS: [(&str, i64); 3] = [("beacon_spacing", 16), ("commit_window_blocks", 16), ("answer_window_blocks", 16)];
/// What a bad line to its chain costs a provider, which starts when it sees the block. Classes of real devices, whose challenges take
/// seconds, have this in their margin.
const LAG_MS: u32 = 3_000;
/// The provider's only one.
const DEVICE: u64 = 1;
/// The contract's `Outcome`.
const OUTCOMES: [&str; 5] = ["pending", "passed", "missed", "unmeasured", "void"];
/// Nodes whose clocks can be set wrong.
const MISLED: [&str; 3] = ["queen-1", "queen-2", "provider"];
const UP_WITHIN: Duration = Duration::from_secs(120);

/// Addresses of the nodes' machines.
pub fn host_of(name: &str) -> u8 {
    let number = || name.rsplit('-').next().and_then(|number| number.parse::<u8>().ok()).unwrap_or_default();
    match name {
        "provider" => 50,
        "relay" => 60,
        name if name.starts_with("king") => 10 + number(),
        _ => 20 + number(),
    }
}

pub struct Whole {
    pub lab: Lab,
    pub network: DevNetwork,
    /// From each node to the chains.
    pub lines: BTreeMap<String, Arc<Quality>>,
    machines: BTreeMap<String, Machine>,
    /// What some nodes go by, once they are told to.
    pub clocks: BTreeMap<&'static str, WrongClock>,
    pub bootstrap: Vec<String>,
    /// First challenge that was opened when all nodes were up.
    first: u64,
}

fn names() -> Vec<String> {
    let kings = (1..=KINGS).map(|number| format!("king-{number}"));
    let queens = (1..=QUEENS).map(|number| format!("queen-{number}"));
    kings.chain(queens).chain(["provider".into(), "relay".into()]).collect()
}

impl Whole {
    /// Everything up to nodes that are up.
    pub async fn start(folder: &Path) -> Self {
        let mut lab = Lab::new();
        lab.plug_this_machine(HERE);
        let accounts = Accounts::create(&folder.join("keys")).unwrap();
        let chains = DevNetwork::chains(None, folder).await.unwrap();
        let book = deploy(folder, &chains, &accounts).await;
        let proxies = [FaultProxy::start(&chains.ethereum.url()).await.unwrap(), FaultProxy::start(&chains.classic.url()).await.unwrap()];
        let network = DevNetwork {
            program: PROGRAM.into(),
            folder: folder.into(),
            accounts,
            book,
            nodes: Vec::new(),
            nodes_up_at: 0,
            proxies,
            chains,
        };
        network.stake_all().await.unwrap();
        let machines = names().into_iter().map(|name| (name.clone(), lab.public_machine(host_of(&name)))).collect();
        let clocks = MISLED.map(|name| (name, WrongClock::new(folder, &format!("clock-{name}")))).into();
        let mut whole = Self { lab, network, lines: BTreeMap::new(), machines, clocks, bootstrap: Vec::new(), first: 0 };
        let offered = whole.cli("provider", &["offer", "--class", "1", "--price", "3.6"]).await;
        assert!(offered.status.success(), "{}", String::from_utf8_lossy(&offered.stderr));
        for name in names() {
            let process = whole.start_node(&name).await;
            let (folder, info) = (whole.network.folder.join(&name), process.1);
            whole.network.nodes.push(gpumkt::devnet::network::DevNode { name, folder, process: process.0, info });
        }
        // The block of the next one may be there already.
        whole.first = whole.opened().await + 1;
        whole
    }

    /// Starts one node on its machine and waits until it is ready.
    pub async fn start_node(&mut self, name: &str) -> (ManagedProcess, gpumkt::devnet::network::NodeInfo) {
        let config = self.config(name).await;
        let role = name.split('-').next().unwrap();
        let mut command = self.machines[name].command(PROGRAM);
        command.arg(role).arg("--config").arg(config);
        if let Some(clock) = self.clocks.get(name) {
            clock.rules(&mut command);
        }
        let told = self.network.folder.join(name).join("node.json");
        let _ = std::fs::remove_file(&told);
        let mut process = ManagedProcess::spawn(name, command, &self.network.folder.join("logs").join(format!("{name}.log"))).unwrap();
        let read = || serde_json::from_str(&std::fs::read_to_string(&told).ok()?).ok();
        let info: gpumkt::devnet::network::NodeInfo = process.wait_until(UP_WITHIN, "no node.json", async || read()).await.unwrap();
        process.wait_ready(&Readiness::Http { address: info.http, path: "/readyz".into() }, UP_WITHIN).await.unwrap();
        if name.starts_with("king") || name.starts_with("queen") {
            self.bootstrap.extend(info.listen.first().cloned());
        }
        (process, info)
    }

    pub fn kill(&mut self, name: &str) {
        self.network.nodes.iter_mut().find(|node| node.name == name).unwrap().process.kill().unwrap();
    }

    /// Starts a node again that was killed.
    pub async fn revive(&mut self, name: &str) {
        let (process, info) = self.start_node(name).await;
        let node = self.network.nodes.iter_mut().find(|node| node.name == name).unwrap();
        (node.process, node.info) = (process, info);
    }

    /// The harness's own configuration, with addresses of the lab.
    async fn config(&mut self, name: &str) -> PathBuf {
        let path = self.network.write_config(name, &self.bootstrap).unwrap();
        let mut config: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let quality = Arc::clone(self.lines.entry(name.into()).or_default());
        for kind in ChainKind::BOTH {
            let section = config[kind.name()].as_table_mut().unwrap();
            let mut urls = Vec::new();
            for url in section["rpc"].as_array().unwrap() {
                let target = url.as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
                let bound = forward(format!("198.51.100.{HERE}:0").parse().unwrap(), target, Arc::clone(&quality)).await;
                urls.push(format!("http://{bound}").into());
            }
            section.insert("rpc".into(), toml::Value::Array(urls));
        }
        let host = host_of(name);
        config["network"].as_table_mut().unwrap().insert("listen".into(), vec![format!("/ip4/198.51.100.{host}/tcp/7700")].into());
        config["http"].as_table_mut().unwrap().insert("listen".into(), format!("198.51.100.{host}:7780").into());
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// A command on this machine, as `name`.
    pub async fn cli(&self, name: &str, words: &[&str]) -> std::process::Output {
        let path = self.network.write_config(name, &[]).unwrap();
        let here = path.with_file_name(format!("{name}-here.toml"));
        std::fs::rename(&path, &here).unwrap();
        let (first, rest) = words.split_first().unwrap();
        let mut command = tokio::process::Command::new(PROGRAM);
        command.arg(first).arg("--config").arg(&here).args(rest).arg("--json").stdin(Stdio::null());
        command.output().await.unwrap()
    }

    /// Challenges opened so far.
    pub async fn opened(&self) -> u64 {
        let clients = self.clients("renter").await;
        let work = clients.book.classic.work_verification;
        clients.classic.call(work, WorkVerification::challengeCountCall {}, BlockId::latest()).await.unwrap()
    }

    /// What became of the challenges since all nodes are up, by outcome. Neither paid nor counted against anybody yet: that is done when
    /// somebody reports the device.
    pub async fn verdicts(&self) -> BTreeMap<&'static str, usize> {
        let clients = self.clients("renter").await;
        let work = clients.book.classic.work_verification;
        let mut counts = BTreeMap::new();
        for index in self.first..self.opened().await {
            let call = WorkVerification::outcomeCall { index, deviceId: DEVICE };
            let outcome: u8 = clients.classic.call(work, call, BlockId::latest()).await.unwrap();
            *counts.entry(OUTCOMES[usize::from(outcome)]).or_default() += 1;
        }
        counts
    }

    /// `gpumkt audit` of the provider, after its device was reported: every settled verdict follows from what the chain holds.
    pub async fn audit(&self) -> Value {
        let clients = self.clients("renter").await;
        let report = WorkVerification::reportDeviceCall { deviceId: DEVICE };
        clients.classic_wallet().send("reportDevice", clients.book.classic.work_verification, report).await.unwrap();
        let provider = self.network.accounts.address("provider").unwrap().to_string();
        let output = self.cli("renter", &["audit", &provider]).await;
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    pub async fn clients(&self, name: &str) -> Clients {
        self.network.clients(name).await.unwrap()
    }
}

/// `gpumkt deploy` of the devnet's contracts, with limits that fit this machine.
async fn deploy(folder: &Path, chains: &DevChains, accounts: &Accounts) -> AddressBook {
    let measured = calibrate_device().await.unwrap();
    let mut deployment: toml::Table = include_str!("../../../config/chains/devnet.toml").parse().unwrap();
    let class = &mut deployment["classes"].as_array_mut().unwrap()[0];
    for (mode, profile) in [("full", &measured.full), ("light", &measured.light)] {
        let section = class[mode].as_table_mut().unwrap();
        let (pass_ms, unmeasured_ms) = (profile.pass_ms + LAG_MS, profile.unmeasured_ms + LAG_MS);
        for (key, value) in [("reference_ms", profile.reference_ms), ("pass_ms", pass_ms), ("unmeasured_ms", unmeasured_ms)] {
            section.insert(key.into(), value.into());
        }
    }
    // Blocks come every second here: over a bad line, a few of them are over before a transaction is on its way.
    for (key, blocks) in WINDOWS {
        deployment["verification"].as_table_mut().unwrap().insert(key.into(), blocks.into());
    }
    let (file, out) = (folder.join("deployment.toml"), folder.join("addresses.json"));
    std::fs::write(&file, deployment.to_string()).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("deploy").arg("--config").arg(&file).arg("--out").arg(&out);
    command.arg("--ethereum-rpc").arg(chains.ethereum.url()).arg("--classic-rpc").arg(chains.classic.url());
    command.arg("--key").arg(accounts.keystore("deployer")).arg("--password-file").arg(accounts.password_file());
    let _hurry = chains.hurry();
    let output = tokio::process::Command::from(command).stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap()
}
