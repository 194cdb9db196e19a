//! The bridge alone on two chains: Kings and a relay as processes, every endpoint of theirs behind a proxy that fails on command.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, hex},
    sol_types::SolCall,
};
use gpumkt::{
    chain::{BlockId, Chain, ChainConfig, LogQuery},
    client::{Clients, Mode, stake},
    devnet::{
        accounts::Accounts,
        chains::{Anvil, AnvilOptions, DevChains},
        network::NodeInfo,
        process::{ManagedProcess, Readiness},
        proxy::{EndpointFault, FaultProxy},
    },
    types::{
        AddressBook, Amount, ChainKind, Role,
        abi::{Inbox, Outbox},
    },
};
use serde_json::{Value, json};

use crate::{clock::WrongClock, poll, scrape};

pub const DEADLINE: Duration = Duration::from_secs(120);
pub const KINGS: u32 = 4;
/// Kings sign at multiples of this, and this deep on Ethereum Classic.
pub const STRIDE: u64 = 2;
pub const MIN_DEPTH: u64 = 3;
/// Endpoints of a King, per chain.
pub const ENDPOINTS: usize = 3;
const SENDER_ACCOUNT: u32 = 20;
/// Counts its calls in slot 0: `slot0 = slot0 + 1`.
const COUNTER: &[u8] = &hex!("675f546001015f55005f5260086018f3");
/// Reverts whatever it is asked.
const REFUSER: &[u8] = &hex!("625f5ffd5f526003601df3");

pub struct World {
    pub folder: PathBuf,
    pub accounts: Accounts,
    pub chains: DevChains,
    pub book: AddressBook,
    /// Endpoints of all Kings, by chain.
    pub king_proxies: [Vec<FaultProxy>; 2],
    /// The only endpoint of each relay, by chain.
    pub relay_proxies: [FaultProxy; 2],
    pub clients: Clients,
    pub nodes: BTreeMap<String, Node>,
    pub counters: [Address; 2],
    pub refusers: [Address; 2],
    sender: Address,
    next_body: AtomicU32,
    /// What nodes that are started from now on go by.
    pub clock: Option<WrongClock>,
    /// Whether relays that are started from now on have the next King set drawn.
    pub rotates: bool,
}

pub struct Node {
    pub process: ManagedProcess,
    pub info: NodeInfo,
}

pub async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, probe).await
}

pub async fn until_within<T>(deadline: Duration, what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    poll::find(what, deadline, Duration::from_millis(50), probe).await
}

fn quantity(value: &Value) -> u64 {
    value.as_str().and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()).unwrap_or_default()
}

impl World {
    pub async fn start(folder: &Path) -> Self {
        Self::start_with(folder, KINGS as usize, &[], 600).await
    }

    /// A set of the first `own` Kings that have accounts here, and of others.
    pub async fn start_with(folder: &Path, own: usize, extra_kings: &[Address], block_millis: u64) -> Self {
        let accounts = Accounts::create(&folder.join("keys")).unwrap();
        let chain =
            |kind, id, millis| AnvilOptions { block_time: Some(Duration::from_millis(millis)), ..AnvilOptions::instant(kind, id, folder) };
        let (ethereum, classic) = tokio::try_join!(
            Anvil::start(chain(ChainKind::Ethereum, 31301, block_millis)),
            Anvil::start(chain(ChainKind::Classic, 31361, block_millis)),
        )
        .unwrap();
        let chains = DevChains { ethereum, classic };
        let book = deploy(folder, &accounts, &chains, own, extra_kings).await;
        let mut king_proxies = [Vec::new(), Vec::new()];
        for kind in ChainKind::BOTH {
            for _ in 0..ENDPOINTS {
                king_proxies[kind as usize].push(FaultProxy::start(&chains.of(kind).url()).await.unwrap());
            }
        }
        let relay_proxies =
            [FaultProxy::start(&chains.ethereum.url()).await.unwrap(), FaultProxy::start(&chains.classic.url()).await.unwrap()];
        let connect = async |kind: ChainKind| {
            let anvil = chains.of(kind);
            Chain::connect(ChainConfig::new(kind, anvil.chain_id(), vec![anvil.url()])).await.unwrap()
        };
        let (ethereum, classic) = (connect(ChainKind::Ethereum).await, connect(ChainKind::Classic).await);
        let clients = Clients { ethereum, classic, book: book.clone(), signer: accounts.signer("deployer").unwrap() };
        let sender =
            chains.ethereum.ask("eth_accounts", json!([])).await.unwrap()[SENDER_ACCOUNT as usize].as_str().unwrap().parse().unwrap();
        let mut world = Self {
            folder: folder.into(),
            accounts,
            chains,
            book,
            king_proxies,
            relay_proxies,
            clients,
            nodes: BTreeMap::new(),
            counters: [Address::ZERO; 2],
            refusers: [Address::ZERO; 2],
            sender,
            next_body: AtomicU32::new(0),
            clock: None,
            rotates: false,
        };
        for kind in ChainKind::BOTH {
            world.counters[kind as usize] = world.create(kind, COUNTER).await;
            world.refusers[kind as usize] = world.create(kind, REFUSER).await;
        }
        futures::future::join_all((1..=KINGS).map(|number| world.stake(format!("king-{number}")))).await;
        world
    }

    pub async fn stake(&self, name: String) {
        let peer = Clients::peer_id(&self.folder.join(&name)).unwrap();
        let clients = self.clients.with_signer(self.accounts.signer(&name).unwrap());
        let amount = Amount::parse_tokens("200000").unwrap();
        stake::stake(&clients, Role::King, amount, clients.signer.address(), &peer, Mode::Send).await.unwrap();
    }

    pub fn chain(&self, kind: ChainKind) -> &Chain {
        match kind {
            ChainKind::Ethereum => &self.clients.ethereum,
            ChainKind::Classic => &self.clients.classic,
        }
    }

    /// Sends from an account that the chain itself signs for, and waits for the receipt.
    pub async fn transact(&self, kind: ChainKind, to: Option<Address>, data: Bytes) -> Value {
        self.transact_with(kind, to, data, 3_000_000).await
    }

    pub async fn transact_with(&self, kind: ChainKind, to: Option<Address>, data: Bytes, gas: u64) -> Value {
        let anvil = self.chains.of(kind);
        let mut transaction = json!({ "from": self.sender, "data": data, "gas": format!("{gas:#x}"), "gasPrice": "0x174876e800" });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        let hash = anvil.ask("eth_sendTransaction", json!([transaction])).await.unwrap();
        until("a transaction of the harness", async || {
            let receipt = anvil.ask("eth_getTransactionReceipt", json!([hash])).await.unwrap();
            (!receipt.is_null()).then_some(receipt)
        })
        .await
    }

    pub async fn create(&self, kind: ChainKind, code: &[u8]) -> Address {
        let receipt = self.transact(kind, None, code.to_vec().into()).await;
        receipt["contractAddress"].as_str().unwrap().parse().unwrap()
    }

    /// One message to `recipient` of the other chain; the block that holds it.
    pub async fn dispatch_to(&self, origin: ChainKind, recipient: Address) -> u64 {
        let number = self.next_body.fetch_add(1, Ordering::Relaxed);
        let body = Bytes::from(number.to_be_bytes().to_vec());
        let call = Outbox::dispatchCall { destination: self.chains.of(origin.other()).chain_id(), recipient, body };
        let receipt = self.transact(origin, Some(self.book.bridge(origin).outbox), call.abi_encode().into()).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        quantity(&receipt["blockNumber"])
    }

    /// One message that counts where it arrives.
    pub async fn dispatch(&self, origin: ChainKind) -> u64 {
        self.dispatch_to(origin, self.counters[origin.other() as usize]).await
    }

    pub async fn dispatch_both(&self, times: usize) {
        for _ in 0..times {
            tokio::join!(self.dispatch(ChainKind::Ethereum), self.dispatch(ChainKind::Classic));
        }
    }

    pub async fn count(&self, origin: ChainKind) -> u32 {
        self.chain(origin).call(self.book.bridge(origin).outbox, Outbox::countCall {}, BlockId::latest()).await.unwrap()
    }

    pub async fn is_delivered(&self, origin: ChainKind, index: u32) -> bool {
        let inbox = self.book.bridge(origin.other()).inbox;
        self.chain(origin.other()).call(inbox, Inbox::deliveredCall { index }, BlockId::latest()).await.unwrap()
    }

    pub async fn accepted(&self, origin: ChainKind) -> u32 {
        let inbox = self.book.bridge(origin.other()).inbox;
        self.chain(origin.other()).call(inbox, Inbox::latestCountCall {}, BlockId::latest()).await.unwrap()
    }

    /// Waits until everything sent so far has arrived, those for the refusers excepted.
    pub async fn all_delivered(&self, what: &str, refused: [&[u32]; 2]) {
        for origin in ChainKind::BOTH {
            let count = self.count(origin).await;
            for index in (0..count).filter(|index| !refused[origin as usize].contains(index)) {
                until(&format!("{what}: delivery of message {index} of {origin}"), async || {
                    self.is_delivered(origin, index).await.then_some(())
                })
                .await;
            }
        }
    }

    /// Calls that a counter has taken.
    pub async fn counted(&self, destination: ChainKind) -> u64 {
        let counter = self.counters[destination as usize];
        let word = self.chains.of(destination).ask("eth_getStorageAt", json!([counter, "0x0", "latest"])).await.unwrap();
        word.as_str().unwrap().parse::<U256>().unwrap().to()
    }

    /// All logs of an Inbox or Outbox.
    pub async fn logs(&self, kind: ChainKind, contract: Address) -> Vec<gpumkt::chain::LogEntry> {
        let to = self.chain(kind).head().await.unwrap().number;
        let query = LogQuery { addresses: vec![contract], from: self.book.start_block(kind), to, ..LogQuery::default() };
        self.chain(kind).logs(&query).await.unwrap().logs
    }

    pub async fn head(&self, kind: ChainKind) -> u64 {
        self.chain(kind).head().await.unwrap().number
    }

    pub async fn reach(&self, kind: ChainKind, block: u64) {
        until(&format!("block {block} of {kind}"), async || (self.head(kind).await >= block).then_some(())).await;
    }

    /// Sets one fault on endpoint `position` of all Kings, on both chains.
    pub fn king_fault(&self, position: usize, fault: EndpointFault) {
        self.king_proxies.iter().for_each(|proxies| proxies[position].set(fault));
    }

    pub fn honest_again(&self) {
        self.king_proxies.iter().flatten().chain(&self.relay_proxies).for_each(|proxy| proxy.set(EndpointFault::None));
    }

    fn write_config(&self, name: &str) -> PathBuf {
        let rpc = |kind: ChainKind| -> Vec<String> {
            if name.starts_with("king") {
                self.king_proxies[kind as usize].iter().map(FaultProxy::url).collect()
            } else {
                vec![self.relay_proxies[kind as usize].url()]
            }
        };
        let account = match name {
            "relay-1" => "relay",
            "relay-2" => "renter",
            king => king,
        };
        let bootstrap: Vec<String> = self.nodes.values().filter_map(|node| node.info.listen.first().cloned()).collect();
        let config = json!({
            "data_dir": self.folder.join(name),
            "addresses": self.folder.join("addresses.json"),
            "keys": { "operator": self.accounts.keystore(account), "password_file": self.accounts.password_file() },
            "ethereum": { "chain_id": self.book.ethereum.chain_id, "rpc": rpc(ChainKind::Ethereum), "poll_ms": 250 },
            "classic": { "chain_id": self.book.classic.chain_id, "rpc": rpc(ChainKind::Classic), "poll_ms": 250 },
            "network": { "listen": ["/ip4/127.0.0.1/tcp/0"], "bootstrap": bootstrap, "local": true },
            "http": { "listen": "127.0.0.1:0" },
            "king": { "ethereum_stride": STRIDE, "classic_stride": STRIDE, "classic_min_depth": MIN_DEPTH },
            "relay": { "deliver": "all", "max_wait_seconds": 0, "rotate_kings": self.rotates },
        });
        let path = self.config(name);
        std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        path
    }

    pub fn config(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.toml"))
    }

    /// Starts a node and waits until it is up; a halted King is up, but not ready.
    pub async fn start_node(&mut self, name: &str, is_ready: bool) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpumkt"));
        command.arg(name.split('-').next().unwrap()).arg("--config").arg(self.write_config(name));
        if let Some(clock) = &self.clock {
            clock.rules(&mut command);
        }
        let told = self.folder.join(name).join("node.json");
        let _ = std::fs::remove_file(&told);
        let mut process = ManagedProcess::spawn(name, command, &self.log(name)).unwrap();
        let read = || serde_json::from_str::<NodeInfo>(&std::fs::read_to_string(&told).ok()?).ok();
        let info = process.wait_until(DEADLINE, "it has not said where it listens", async || read()).await.unwrap();
        if is_ready {
            process.wait_ready(&Readiness::Http { address: info.http, path: "/readyz".into() }, DEADLINE).await.unwrap();
        }
        self.nodes.insert(name.into(), Node { process, info });
    }

    pub async fn start_kings(&mut self, names: &[&str]) {
        for name in names {
            self.start_node(name, true).await;
        }
    }

    /// kill -9.
    pub fn kill(&mut self, name: &str) {
        self.nodes.remove(name).unwrap().process.kill().unwrap();
    }

    pub fn signal(&self, name: &str, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.nodes[name].process.pid()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    pub fn logged(&self, name: &str, text: &str) -> usize {
        std::fs::read_to_string(self.log(name)).unwrap_or_default().matches(text).count()
    }

    /// What a node says at `path`; nothing where it is down.
    pub async fn ask(&self, name: &str, path: &str) -> String {
        let Some(node) = self.nodes.get(name) else { return String::new() };
        scrape::get(node.info.http, path).await
    }

    /// A metric's value; 0 while there is none.
    pub async fn metric(&self, name: &str, series: &str) -> f64 {
        let Some(node) = self.nodes.get(name) else { return 0.0 };
        scrape::metric(node.info.http, series).await
    }

    /// Runs the program as an operator does.
    pub async fn operate(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_gpumkt"));
        let output = command.args(arguments).arg("--config").arg(self.config(name)).arg("--json").output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What an auditor finds: differences, and notes about what has changed as it may.
    pub async fn audit(&self) -> (String, String) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_gpumkt"));
        command.args(["deploy", "--check", "--json", "--config"]).arg(self.folder.join("deployment.toml"));
        command.arg("--out").arg(self.folder.join("addresses.json"));
        command.args(["--ethereum-rpc", &self.chains.ethereum.url(), "--classic-rpc", &self.chains.classic.url()]);
        let output = command.output().await.unwrap();
        let audit: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (audit["differences"].to_string(), audit["notes"].to_string())
    }

    pub async fn hash(&self, kind: ChainKind, block: u64) -> B256 {
        self.chain(kind).block(block).await.unwrap().hash
    }
}

async fn deploy(folder: &Path, accounts: &Accounts, chains: &DevChains, own: usize, extra_kings: &[Address]) -> AddressBook {
    let mut deployment: toml::Table = include_str!("../../../config/chains/devnet.toml").parse().unwrap();
    let members = deployment["kings"]["members"].as_array_mut().unwrap();
    members.truncate(own);
    for king in extra_kings {
        members.push(toml::Table::from_iter([("operator".into(), king.to_string().into()), ("weight".into(), 1.into())]).into());
    }
    let description = folder.join("deployment.toml");
    std::fs::write(&description, deployment.to_string()).unwrap();
    let out = folder.join("addresses.json");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_gpumkt"));
    command.args(["deploy", "--config"]).arg(description).arg("--out").arg(&out);
    command.args(["--ethereum-rpc", &chains.ethereum.url(), "--classic-rpc", &chains.classic.url(), "--key"]);
    command.arg(accounts.keystore("deployer")).arg("--password-file").arg(accounts.password_file());
    let hurry = chains.hurry();
    let output = command.stdin(std::process::Stdio::null()).output().await.unwrap();
    drop(hurry);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap()
}
