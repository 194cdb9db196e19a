//! The two private chains: one anvil each, or one real client each, on a port that the system picks.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use alloy::primitives::{Address, U256, keccak256};
use serde_json::{Value, json};

use super::{DevnetError, clients::RealClients, process::ManagedProcess, rpc};
use crate::types::ChainKind;

/// Accounts follow from this well-known mnemonic, so nobody may hold anything of worth on them.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Prefunded accounts of each chain.
pub const ACCOUNTS: u32 = 32;
/// Where the project keeps the binary it pins.
const PINNED: &str = "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
/// Time anvil has to open its port. A loaded machine needs seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Time between two blocks while a deployment hurries the chain.
const HURRY: Duration = Duration::from_millis(5);

/// What kind of chain to start.
#[derive(Debug, Clone)]
pub struct AnvilOptions {
    pub kind: ChainKind,
    pub chain_id: u64,
    /// `None` mines a block per transaction.
    pub block_time: Option<Duration>,
    /// 0 lets the system pick one.
    pub port: u16,
    /// Loaded at start if it exists and written on a clean stop.
    pub state_file: Option<PathBuf>,
    pub log: PathBuf,
    /// Runs the chain in anvil's place.
    pub client: Option<RealClients>,
}

impl AnvilOptions {
    /// The chain with the devnet's clock: half a second on Ethereum, a second on Ethereum Classic.
    pub fn devnet(kind: ChainKind, chain_id: u64, folder: &Path) -> Self {
        let block_time = match kind {
            ChainKind::Ethereum => Duration::from_millis(500),
            ChainKind::Classic => Duration::from_secs(1),
        };
        Self {
            kind,
            chain_id,
            block_time: Some(block_time),
            port: 0,
            state_file: None,
            log: folder.join(format!("{kind}.log")),
            client: None,
        }
    }

    /// A chain that mines a block per transaction.
    pub fn instant(kind: ChainKind, chain_id: u64, folder: &Path) -> Self {
        Self { block_time: None, ..Self::devnet(kind, chain_id, folder) }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--chain-id", &self.chain_id.to_string()]);
        command.args(["--mnemonic", MNEMONIC, "--accounts", &ACCOUNTS.to_string(), "--balance", "100000"]);
        match self.kind {
            // Finalized is two blocks behind the head.
            ChainKind::Ethereum => command.args(["--hardfork", "osaka", "--slots-in-an-epoch", "1", "--enable-tx-gas-limit"]),
            // Ethereum Classic has Shanghai's opcodes, no base fee, and blocks of 8 million gas. Its gas price, 1 gwei here, comes from
            // anvil's least priority fee, which must therefore stay on.
            ChainKind::Classic => command
                .args(["--hardfork", "shanghai", "--block-base-fee-per-gas", "0", "--gas-price", "1000000000"])
                .args(["--gas-limit", "8000000", "--slots-in-an-epoch", "1"]),
        };
        if let Some(block_time) = self.block_time {
            command.args(["--block-time", &block_time.as_secs_f64().to_string()]);
        }
        if let Some(state_file) = &self.state_file {
            command.arg("--state").arg(state_file);
        }
        command
    }
}

/// One running anvil.
#[derive(Debug)]
pub struct Anvil {
    process: ManagedProcess,
    options: AnvilOptions,
}

impl Anvil {
    pub async fn start(options: AnvilOptions) -> Result<Self, DevnetError> {
        if let Some(client) = options.client.clone() {
            return Self::start_client(options, &client).await;
        }
        let program = find_anvil()?;
        // An old log may name the port of an earlier run.
        let _ = std::fs::remove_file(&options.log);
        let mut process = ManagedProcess::spawn(format!("anvil ({})", options.kind), options.command(&program), &options.log)?;
        let log = options.log.clone();
        let port = process.wait_until(START_TIMEOUT, "no port in the log", async || listening_port(&log)).await?;
        let reason = "JSON-RPC does not answer";
        let answers = async || rpc::call(&authority(port), "eth_chainId", json!([])).await.ok();
        process.wait_until(START_TIMEOUT, reason, answers).await?;
        // A restart has to come back at the same address.
        Ok(Self { process, options: AnvilOptions { port, ..options } })
    }

    /// A real client says where it listens only in words, so the port is chosen here.
    async fn start_client(options: AnvilOptions, client: &RealClients) -> Result<Self, DevnetError> {
        let data = options.log.with_extension("chain");
        let free = || std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map(|address| address.port());
        let port = free().map_err(|error| DevnetError::Setup { what: "a port".into(), reason: error.to_string() })?;
        let command = client.prepare(options.kind, options.chain_id, port, &data)?;
        let mut process = ManagedProcess::spawn(format!("client ({})", options.kind), command, &options.log)?;
        let head = async || rpc::call(&authority(port), "eth_blockNumber", json!([])).await.ok().filter(|number| number != "0x0");
        process.wait_until(START_TIMEOUT, "it mines no block", head).await?;
        Ok(Self { process, options: AnvilOptions { port, ..options } })
    }

    /// Whether it is a real client, whose clock nobody steers.
    pub fn is_real(&self) -> bool {
        self.options.client.is_some()
    }

    pub fn url(&self) -> String {
        format!("http://{}", authority(self.options.port))
    }

    pub fn kind(&self) -> ChainKind {
        self.options.kind
    }

    pub fn chain_id(&self) -> u64 {
        self.options.chain_id
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Mines `blocks` blocks at once.
    pub async fn mine(&self, blocks: u64) -> Result<(), DevnetError> {
        self.ask("anvil_mine", json!([format!("{blocks:#x}")])).await.map(drop)
    }

    /// Replaces the newest `depth` blocks by other ones; their transactions are gone.
    pub async fn reorg(&self, depth: u64) -> Result<(), DevnetError> {
        // Without a change the rebuilt blocks would have the same hashes.
        let head = self.ask("eth_getBlockByNumber", json!(["latest", false])).await?;
        let coinbase = Address::from_word(keccak256(head["hash"].to_string()));
        self.ask("anvil_setCoinbase", json!([coinbase])).await?;
        self.ask("anvil_reorg", json!([depth, []])).await.map(drop)
    }

    /// Switches mining per transaction on or off, on a chain that was started without a block time.
    pub async fn set_automine(&self, on: bool) -> Result<(), DevnetError> {
        self.ask("evm_setAutomine", json!([on])).await.map(drop)
    }

    pub async fn set_balance(&self, account: Address, wei: U256) -> Result<(), DevnetError> {
        self.ask("anvil_setBalance", json!([account, wei])).await.map(drop)
    }

    /// Any other method of the node.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, DevnetError> {
        rpc::call(&authority(self.options.port), method, params).await
    }

    /// Mines as fast as it goes until the guard is dropped; the chain's own clock goes on beside it. A real client can't be hurried.
    pub fn hurry(&self) -> Hurry {
        if self.is_real() {
            return Hurry { pump: tokio::spawn(std::future::ready(())) };
        }
        let node = authority(self.options.port);
        let pump = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(HURRY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Err(error) = rpc::call(&node, "evm_mine", json!([])).await {
                    tracing::debug!(%error, "cannot hurry the chain");
                }
            }
        });
        Hurry { pump }
    }

    /// kill -9, as the fault hook does it.
    pub fn kill(&mut self) -> Result<(), DevnetError> {
        self.process.kill()
    }

    /// Starts again at the same address. Only what `state_file` holds survives.
    pub async fn restart(self) -> Result<Self, DevnetError> {
        let options = self.options.clone();
        self.process.stop(Duration::from_secs(10)).await?;
        Self::start(options).await
    }

    pub async fn stop(self) -> Result<(), DevnetError> {
        self.process.stop(Duration::from_secs(5)).await.map(drop)
    }
}

/// Keeps a chain mining without pause.
pub struct Hurry {
    pump: tokio::task::JoinHandle<()>,
}

impl Drop for Hurry {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Both chains of a devnet.
#[derive(Debug)]
pub struct DevChains {
    pub ethereum: Anvil,
    pub classic: Anvil,
}

impl DevChains {
    /// Starts both with the devnet's clock and waits until they answer.
    pub async fn start(ethereum_id: u64, classic_id: u64, folder: &Path) -> Result<Self, DevnetError> {
        Self::start_with(None, ethereum_id, classic_id, folder).await
    }

    /// The same on real clients where there are some.
    pub async fn start_with(clients: Option<&RealClients>, ethereum_id: u64, classic_id: u64, folder: &Path) -> Result<Self, DevnetError> {
        let options = |kind, id| AnvilOptions { client: clients.cloned(), ..AnvilOptions::devnet(kind, id, folder) };
        let (ethereum, classic) = tokio::try_join!(
            Anvil::start(options(ChainKind::Ethereum, ethereum_id)),
            Anvil::start(options(ChainKind::Classic, classic_id)),
        )?;
        Ok(Self { ethereum, classic })
    }

    pub fn are_real(&self) -> bool {
        self.ethereum.is_real() || self.classic.is_real()
    }

    pub fn of(&self, kind: ChainKind) -> &Anvil {
        match kind {
            ChainKind::Ethereum => &self.ethereum,
            ChainKind::Classic => &self.classic,
        }
    }

    /// Mines both chains as fast as it goes, for the time of a deployment.
    pub fn hurry(&self) -> (Hurry, Hurry) {
        (self.ethereum.hurry(), self.classic.hurry())
    }

    pub async fn stop(self) -> Result<(), DevnetError> {
        self.ethereum.stop().await?;
        self.classic.stop().await
    }
}

/// `$ANVIL`, the pinned one of the checkout, or the one in `$PATH`.
pub fn find_anvil() -> Result<PathBuf, DevnetError> {
    let mut looked = Vec::new();
    if let Some(named) = std::env::var_os("ANVIL") {
        let path = PathBuf::from(named);
        if path.is_file() {
            return Ok(path);
        }
        looked.push(format!("ANVIL={}", path.display()));
    }
    let pinned = [PathBuf::from(PINNED), Path::new(env!("CARGO_MANIFEST_DIR")).join(PINNED)];
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<PathBuf> = std::env::split_paths(&in_path).map(|folder| folder.join("anvil")).collect();
    if let Some(found) = pinned.into_iter().chain(in_path).find(|path| path.is_file()) {
        return Ok(found);
    }
    looked.extend([PINNED.into(), "PATH".into()]);
    Err(DevnetError::AnvilMissing { looked })
}

fn authority(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn listening_port(log: &Path) -> Option<u16> {
    let text = std::fs::read_to_string(log).ok()?;
    let (_, rest) = text.split_once("Listening on 127.0.0.1:")?;
    let digits: &str = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    // The line may not be complete yet.
    rest.len().gt(&digits.len()).then(|| digits.parse().ok())?
}
