//! A network of real nodes with windows wide enough for a loaded machine, and what a test asks of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, U256},
    signers::local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English},
    sol_types::{SolCall, SolEvent},
};
use gpumkt::{
    chain::{BlockId, LogEntry, LogQuery},
    client::{
        Clients, Mode,
        audit::{Audit, Range, audit},
        stake,
    },
    devnet::{
        accounts::Accounts,
        chains::MNEMONIC,
        network::{self, DevNetwork},
        proxy::FaultProxy,
    },
    keys::{Strength, write_keystore},
    types::{
        Amount, DeviceId, Role,
        abi::{GPUToken, WorkVerification},
    },
};
use serde_json::{Value, json};

use crate::{poll, scrape};

/// For whatever has to happen on two chains and a bridge between them, on a loaded machine.
pub const WITHIN: Duration = Duration::from_secs(420);
const LOOK: Duration = Duration::from_millis(200);
/// In place of the devnet's. Owners are few, so that three of them can be an outage.
const VERIFICATION: [(&str, i64); 7] = [
    ("beacon_spacing", 8),
    ("commit_window_blocks", 12),
    ("dispute_window_blocks", 14),
    ("answer_window_blocks", 12),
    ("min_owners", 3),
    ("bridge_max_seconds", 120),
    ("open_disputes", 8),
];

/// A challenge as its event names it.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    pub block: u64,
    pub hash: B256,
}

pub struct World {
    pub network: DevNetwork,
    /// The deployer's.
    pub clients: Clients,
    /// The honest provider's.
    pub device: DeviceId,
}

/// One of the accounts that both chains fund and anvil signs for.
pub fn signer(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index).unwrap().build().unwrap()
}

pub async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    poll::find(what, WITHIN, LOOK, probe).await
}

impl World {
    pub async fn start(folder: &Path) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_gpumkt"));
        let folder = folder.canonicalize().unwrap();
        let accounts = Accounts::create(&folder.join("keys")).unwrap();
        let (chains, measured) = tokio::try_join!(DevNetwork::chains(None, &folder), network::calibrate_device()).unwrap();
        let mut deployment = network::deployment(&chains, &measured).unwrap();
        let section = deployment["verification"].as_table_mut().unwrap();
        section.extend(VERIFICATION.map(|(key, value)| (key.to_owned(), value.into())));
        let book = network::deploy(&program, &folder, &chains, &accounts, &deployment).await.unwrap();
        let proxies = [FaultProxy::start(&chains.ethereum.url()).await.unwrap(), FaultProxy::start(&chains.classic.url()).await.unwrap()];
        let mut network = DevNetwork { program, folder, accounts, book, nodes: Vec::new(), nodes_up_at: 0, proxies, chains };
        network.stake_all().await.unwrap();
        let provider = network.clients("provider").await.unwrap();
        let (device, _) = stake::register_device(&provider, 1, network.accounts.address("worker").unwrap()).await.unwrap();
        network.start_nodes().await.unwrap();
        let clients = network.clients("deployer").await.unwrap();
        let world = Self { network, clients, device };
        world.passes("the provider's device is proven", 0).await;
        world
    }

    pub fn contract(&self) -> Address {
        self.network.book.classic.work_verification
    }

    pub fn address(&self, name: &str) -> Address {
        self.network.accounts.address(name).unwrap()
    }

    pub async fn call<C: SolCall>(&self, call: C) -> C::Return {
        self.clients.classic.call(self.contract(), call, BlockId::latest()).await.unwrap()
    }

    pub async fn head(&self) -> u64 {
        self.clients.classic.head().await.unwrap().number
    }

    /// A transaction of an account that anvil signs for, to WorkVerification; its receipt.
    pub async fn send(&self, from: Address, value: U256, data: Vec<u8>) -> Value {
        let anvil = &self.network.chains.classic;
        let data = alloy::primitives::Bytes::from(data);
        let transaction =
            json!({ "from": from, "to": self.contract(), "value": value, "data": data, "gas": "0x5b8d80", "gasPrice": "0x3b9aca00" });
        let hash = anvil.ask("eth_sendTransaction", json!([transaction])).await.unwrap();
        until("a transaction of the test", async || {
            let receipt = anvil.ask("eth_getTransactionReceipt", json!([hash])).await.unwrap();
            (!receipt.is_null()).then_some(receipt)
        })
        .await
    }

    /// The same, with the contract's words where it fails.
    pub async fn try_send(&self, from: Address, value: U256, data: Vec<u8>) -> Result<(), String> {
        let receipt = self.send(from, value, data.clone()).await;
        if receipt["status"] == "0x1" {
            return Ok(());
        }
        let call = json!({ "from": from, "to": self.contract(), "value": value, "data": alloy::primitives::Bytes::from(data) });
        let again = self.network.chains.classic.ask("eth_call", json!([call, receipt["blockNumber"]])).await;
        Err(again.map_or_else(|error| error.to_string(), |_| format!("it failed in its block only: {receipt}")))
    }

    pub async fn logs(&self) -> Vec<LogEntry> {
        let (to, mut logs) = (self.head().await, Vec::new());
        let mut from = self.network.book.classic.start_block;
        while from <= to {
            let query = LogQuery { addresses: vec![self.contract()], topics: Vec::new(), from, to };
            let batch = self.clients.classic.logs(&query).await.unwrap();
            logs.extend(batch.logs);
            from = batch.covered_to + 1;
        }
        logs
    }

    /// All events of a kind so far.
    pub async fn all<E: SolEvent>(&self) -> Vec<E> {
        self.logs().await.iter().filter_map(LogEntry::decode::<E>).collect()
    }

    /// The first event of a kind that fits; waits for it.
    pub async fn log_of<E: SolEvent>(&self, what: &str, fits: impl Fn(&E) -> bool) -> E {
        until(what, async || self.all::<E>().await.into_iter().find(&fits)).await
    }

    /// The next challenge that is opened after `block`.
    pub async fn challenge_after(&self, block: u64) -> Opened {
        let opened = self.log_of::<WorkVerification::ChallengeOpened>("a challenge is opened", |opened| opened.blockNumber > block).await;
        Opened { block: opened.blockNumber, hash: opened.blockHash }
    }

    /// A new challenge, with most of its commit window before it.
    pub async fn next_challenge(&self) -> Opened {
        let newest = self.all::<WorkVerification::ChallengeOpened>().await.last().map_or(0, |opened| opened.blockNumber);
        self.challenge_after(newest).await
    }

    /// What a challenge amounted to, once it is settled; whoever asks may bring that about.
    pub async fn settled(&self, device: DeviceId, block: u64) -> u8 {
        let what = format!("challenge {block} is settled for device {device}");
        self.settlement(&what, device, |settled| settled.challengeBlock == block).await.outcome
    }

    /// Waits for a settlement of `device`; reports it meanwhile, because of devices that nobody rents others report little.
    async fn settlement(
        &self,
        what: &str,
        device: DeviceId,
        fits: impl Fn(&WorkVerification::DeviceSettled) -> bool,
    ) -> WorkVerification::DeviceSettled {
        let anybody = signer(20).address();
        until(what, async || {
            let events = self.all::<WorkVerification::DeviceSettled>().await;
            let found = events.into_iter().find(|settled| settled.deviceId == device && fits(settled));
            if found.is_none() {
                // Fails where there is nothing new.
                self.send(anybody, U256::ZERO, WorkVerification::reportDeviceCall { deviceId: device }.abi_encode()).await;
            }
            found
        })
        .await
    }

    /// Waits until the honest device has passed a challenge after `block`.
    pub async fn passes(&self, what: &str, block: u64) -> u64 {
        self.settlement(what, self.device, |settled| settled.challengeBlock > block && settled.outcome == 1).await.challengeBlock
    }

    /// Gives `account` what it needs to stake.
    pub async fn endow(&self, account: Address, tokens: &str) {
        let renter = self.clients.with_signer(self.network.accounts.signer("renter").unwrap());
        let amount = Amount::parse_tokens(tokens).unwrap().wei();
        renter
            .ethereum_wallet()
            .send("transfer", self.network.book.ethereum.gpu_token, GPUToken::transferCall { to: account, value: amount })
            .await
            .unwrap();
    }

    pub fn kill(&mut self, name: &str) {
        let position = self.network.nodes.iter().position(|node| node.name == name).unwrap();
        self.network.nodes.remove(position).process.kill().unwrap();
    }

    /// Another Queen with a stake of its own, and its node.
    pub async fn add_queen(&mut self, name: &str, key: &PrivateKeySigner) {
        let accounts = &self.network.accounts;
        write_keystore(&accounts.keystore(name), key, &accounts.password(), Strength::Devnet).unwrap();
        let peer = Clients::peer_id(&self.network.folder.join(name)).unwrap();
        let clients = self.clients.with_signer(key.clone());
        let amount = Amount::parse_tokens("20000").unwrap();
        stake::stake(&clients, Role::Queen, amount, key.address(), &peer, Mode::Send).await.unwrap();
        self.revive(name).await;
    }

    /// Receipts that a Queen has signed since its node started.
    pub async fn receipts(&mut self, name: &str) -> f64 {
        let http = self.network.node(name).unwrap().info.http;
        scrape::metric(http, "gpumkt_events_total{name=\"receipt\",outcome=\"signed\"}").await
    }

    pub async fn revive(&mut self, name: &str) {
        let node = self.network.start_node(name, &self.network.bootstrap()).await.unwrap();
        self.network.nodes.push(node);
    }

    /// Everything about `provider` replayed from the two chains; nothing may disagree.
    pub async fn agrees(&self, provider: Address) -> Audit {
        let audit = audit(&self.clients, provider, Range { from: 0, to: u64::MAX }).await.unwrap();
        assert_eq!(audit.disagreements, [], "{audit:?}");
        audit
    }
}
