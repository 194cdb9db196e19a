//! `gpumkt deploy` as an operator runs it: killed at every step, checked afterwards, refused while its file is not complete.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use alloy::{primitives::Address, sol_types::SolCall};
use gpumkt::{
    chain::{BlockId, Chain, ChainConfig, TxRequest},
    client::deploy::{DeployConfig, DeployError},
    devnet::{
        accounts::Accounts,
        chains::{Anvil, AnvilOptions},
    },
    types::{
        AddressBook, ChainKind,
        abi::{Faucet, GPUToken, StakingManager},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::poll;

const ETH: u64 = 31301;
const ETC: u64 = 31361;
const DEADLINE: Duration = Duration::from_secs(120);

pub fn preset(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/chains").join(name)).unwrap()
}

pub struct Site {
    pub folder: TempDir,
    pub accounts: Accounts,
    pub ethereum: Anvil,
    pub classic: Anvil,
}

impl Site {
    pub async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let accounts = Accounts::create(&folder.path().join("keys")).unwrap();
        let start = |kind, id| Anvil::start(AnvilOptions::instant(kind, id, folder.path()));
        let (ethereum, classic) = tokio::try_join!(start(ChainKind::Ethereum, ETH), start(ChainKind::Classic, ETC)).unwrap();
        fs::write(folder.path().join("deployment.toml"), preset("devnet.toml")).unwrap();
        Self { folder, accounts, ethereum, classic }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, mode: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpumkt"));
        command.args(["--json", "deploy", "--config"]).arg(self.path("deployment.toml")).arg("--out").arg(self.path("addresses.json"));
        command.args(["--ethereum-rpc", &self.ethereum.url(), "--classic-rpc", &self.classic.url()]).args(mode);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn deploy(&self) -> Command {
        let mut command = self.command(&[]);
        command.arg("--key").arg(self.accounts.keystore("deployer")).arg("--password-file").arg(self.accounts.password_file());
        command
    }

    fn check(&self) -> (Output, Value) {
        let output = self.command(&["--check"]).output().unwrap();
        let audit = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output, audit)
    }

    /// A configuration with which `account` runs commands.
    fn config(&self, account: &str) -> PathBuf {
        let path = self.path(&format!("{account}.toml"));
        let config = json!({
            "data_dir": self.path(account),
            "addresses": self.path("addresses.json"),
            "keys": { "operator": self.accounts.keystore(account), "password_file": self.accounts.password_file() },
            "ethereum": { "chain_id": 31301, "rpc": [self.ethereum.url()], "poll_ms": 50 },
            "classic": { "chain_id": 31361, "rpc": [self.classic.url()], "poll_ms": 50 },
        });
        fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
        path
    }

    pub fn run(&self, account: &str, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpumkt"));
        command.args(arguments).arg("--config").arg(self.config(account)).env_remove("GPUMKT_PASSWORD").env_remove("GPUMKT_CONFIG");
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// The JSON of a command that succeeds.
    pub fn does(&self, account: &str, arguments: &[&str]) -> Value {
        let output = self.run(account, &[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The text of a command that succeeds.
    pub fn says(&self, account: &str, arguments: &[&str]) -> String {
        let output = self.run(account, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn book(&self) -> AddressBook {
        serde_json::from_slice(&fs::read(self.path("addresses.json")).unwrap()).unwrap()
    }

    /// Steps that are signed, on both chains; 0 without a state file.
    fn signed_steps(&self) -> usize {
        let Ok(text) = fs::read(self.path("addresses.state.json")) else { return 0 };
        // The file is replaced as a whole, so there is always one to read.
        let state: Value = serde_json::from_slice(&text).unwrap();
        ["ethereum", "classic"].iter().map(|chain| state[chain]["steps"].as_array().unwrap().len()).sum()
    }

    async fn connect(&self, anvil: &Anvil) -> Chain {
        Chain::connect(ChainConfig { poll_ms: 20, ..ChainConfig::new(anvil.kind(), anvil.chain_id(), vec![anvil.url()]) }).await.unwrap()
    }
}

pub fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_killed_at_every_step_is_continued_and_nothing_is_deployed_twice() {
    let site = Site::new().await;
    let (mut killed, mut steps) = (0, 0);
    loop {
        let mut child = site.deploy().spawn().unwrap();
        // Killed as soon as it has signed a step more than its predecessor: before, during or after the broadcast.
        let finished = poll::find("a signed step", DEADLINE, Duration::from_millis(1), async || match child.try_wait().unwrap() {
            None if site.signed_steps() <= steps => None,
            ended => Some(ended),
        })
        .await;
        if finished.is_some() {
            succeeded(&child.wait_with_output().unwrap());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        (killed, steps) = (killed + 1, site.signed_steps());
    }
    assert!(killed >= 10, "it was killed {killed} times only");

    let state: Value = serde_json::from_slice(&fs::read(site.path("addresses.state.json")).unwrap()).unwrap();
    for (name, anvil) in [("ethereum", &site.ethereum), ("classic", &site.classic)] {
        let sent = state[name]["steps"].as_array().unwrap().len() as u64;
        let deployer = site.accounts.address("deployer").unwrap();
        let nonce = site.connect(anvil).await.nonce(deployer, BlockId::latest()).await.unwrap();
        assert_eq!(nonce, sent, "{name}: a nonce per step");
    }
    let (output, audit) = site.check();
    succeeded(&output);
    assert_eq!(audit["differences"], json!([]));
    assert!(audit["checks"].as_u64().unwrap() > 200, "{audit}");

    // Done is done: once more sends nothing.
    succeeded(&site.deploy().output().unwrap());
    let deployer = site.accounts.address("deployer").unwrap();
    let nonce = site.connect(&site.ethereum).await.nonce(deployer, BlockId::latest()).await.unwrap();
    assert_eq!(nonce, state["ethereum"]["steps"].as_array().unwrap().len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_continue_one_deployment() {
    let site = Site::new().await;
    let lock = fs::File::create(site.path("addresses.state.lock")).unwrap();
    lock.try_lock().unwrap();
    let output = site.deploy().output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("E-DEPLOY-010"), "{output:?}");
    assert!(!site.path("addresses.state.json").exists(), "nothing was signed");
    lock.unlock().unwrap();
    succeeded(&site.deploy().output().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_names_what_differs() {
    let site = Site::new().await;
    succeeded(&site.deploy().output().unwrap());
    let book = site.book();
    let text = preset("devnet.toml");

    // The file says something else than the chains.
    let changed = text
        .replace("unbonding_seconds = 900", "unbonding_seconds = 901")
        .replace("quorum_percent = 4", "quorum_percent = 5")
        .replace("proof_samples = 1", "proof_samples = 2");
    let differing = text.lines().zip(changed.lines()).filter(|(before, after)| before != after).count();
    fs::write(site.path("deployment.toml"), &changed).unwrap();
    let (output, audit) = site.check();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("E-DEPLOY-006"));
    let found: BTreeMap<&str, &str> = audit["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| (difference["what"].as_str().unwrap(), difference["found"].as_str().unwrap()))
        .collect();
    assert_eq!(found.len(), differing, "{found:?}");
    assert_eq!(found["WorkVerification.parameters.proofSamples"], "1");
    assert_eq!(found["Governance.quorumNumerator"], "4");
    fs::write(site.path("deployment.toml"), &text).unwrap();

    // Code that is not ours: one byte of an immutable, and a contract that is another.
    let chain = site.connect(&site.ethereum).await;
    let code = chain.code(book.ethereum.gpu_token).await.unwrap();
    let position = code.windows(20).position(|window| window == book.ethereum.gpu_token.as_slice()).unwrap();
    let mut forged = code.to_vec();
    forged[position] ^= 1;
    let set_code = |code: Vec<u8>| json!([book.ethereum.gpu_token, alloy::primitives::Bytes::from(code)]);
    site.ethereum.ask("anvil_setCode", set_code(forged)).await.unwrap();
    assert_eq!(names(&site.check().1), ["code of GPUToken"]);
    site.ethereum.ask("anvil_setCode", set_code(code.to_vec())).await.unwrap();

    // A right that the timelock does not hold alone: as its owner, hand StakingManager to a stranger.
    site.ethereum.ask("anvil_impersonateAccount", json!([book.ethereum.timelock])).await.unwrap();
    site.ethereum
        .set_balance(book.ethereum.timelock, alloy::primitives::U256::from(10).pow(alloy::primitives::U256::from(18)))
        .await
        .unwrap();
    let call = StakingManager::transferOwnershipCall { newOwner: Address::repeat_byte(0x66) };
    let sent = json!([{ "from": book.ethereum.timelock, "to": book.ethereum.staking_manager, "data": alloy::primitives::Bytes::from(call.abi_encode()) }]);
    site.ethereum.ask("eth_sendTransaction", sent).await.unwrap();
    let role = alloy::primitives::keccak256("PROPOSER_ROLE");
    let grant = gpumkt::types::abi::TimelockController::grantRoleCall { role, account: Address::repeat_byte(0x66) };
    let sent = json!([{ "from": book.ethereum.timelock, "to": book.ethereum.timelock, "data": alloy::primitives::Bytes::from(grant.abi_encode()) }]);
    site.ethereum.ask("eth_sendTransaction", sent).await.unwrap();
    let told = names(&site.check().1);
    assert_eq!(told[0], "StakingManager.owner");
    assert!(told[1].starts_with("PROPOSER_ROLE of the timelock for 0x6666"), "{told:?}");
    assert_eq!(told.len(), 2);
}

fn names(audit: &Value) -> Vec<String> {
    audit["differences"].as_array().unwrap().iter().map(|difference| difference["what"].as_str().unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_faucet_gives_once_and_belongs_to_test_networks() {
    let site = Site::new().await;
    succeeded(&site.deploy().output().unwrap());
    let book = site.book();
    let (chain, faucet) = (site.connect(&site.ethereum).await, book.ethereum.faucet.unwrap());
    let supply = chain.call(book.ethereum.gpu_token, GPUToken::balanceOfCall { account: faucet }, BlockId::latest()).await.unwrap();
    assert_eq!(gpumkt::types::Amount(supply).to_string(), "1000000");
    let request = TxRequest::call(faucet, Faucet::requestCall {}.abi_encode());
    chain.simulate(Address::repeat_byte(0x77), &request, BlockId::latest()).await.unwrap();

    for (chain, id) in [("ethereum = 31301", "ethereum = 1"), ("classic = 31361", "classic = 61"), ("ethereum = 31301", "ethereum = 8453")]
    {
        let error = DeployConfig::from_toml(&preset("devnet.toml").replace(chain, id)).unwrap_err();
        assert!(error.to_string().contains("a faucet is for test networks"), "{error}");
    }
}

/// Every shipped file is refused as it is, with each open value named, and deploys once they are filled in.
#[tokio::test(flavor = "multi_thread")]
async fn presets_are_refused_until_they_are_filled_in() {
    for name in ["mainnet.toml", "base.toml", "arbitrum.toml", "sepolia.toml"] {
        let text = preset(name);
        let DeployError::Unset { keys } = DeployConfig::from_toml(&text).unwrap_err() else { panic!("{name} is not refused") };
        let marked = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.matches("\"FILL IN").count()).sum::<usize>();
        assert_eq!(keys.len(), marked, "{name}: {keys:?}");
        assert!(
            keys.contains(&"chains.ethereum_rpc[0]".to_string()) && keys.contains(&"kings.members[0].operator".to_string()),
            "{keys:?}"
        );
        let config = DeployConfig::from_toml(&filled(&text)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.faucet.is_some(), name == "sepolia.toml");
    }

    // The contracts accept what the main networks' file says, on chains that say they are those.
    let folder = TempDir::new().unwrap();
    let accounts = Accounts::create(&folder.path().join("keys")).unwrap();
    let start = |kind, id| Anvil::start(AnvilOptions::instant(kind, id, folder.path()));
    let (ethereum, classic) = tokio::try_join!(start(ChainKind::Ethereum, 1), start(ChainKind::Classic, 61)).unwrap();
    let site = Site { folder, accounts, ethereum, classic };
    fs::write(site.path("deployment.toml"), preset("mainnet.toml")).unwrap();
    let output = site.deploy().output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("E-DEPLOY-008") && told.contains("verification.queens[4]") && !told.contains("ethereum_rpc"), "{told}");
    fs::write(site.path("deployment.toml"), filled(&preset("mainnet.toml"))).unwrap();
    succeeded(&site.deploy().output().unwrap());
    let (output, audit) = site.check();
    succeeded(&output);
    assert_eq!(audit["differences"], json!([]));
}

/// Puts something in each place that a person must fill in.
fn filled(text: &str) -> String {
    let class = gpumkt::client::bench::class_profile("gpu-24g-a", gpumkt::types::work::Mode::Full).unwrap();
    let light = gpumkt::client::bench::class_profile("gpu-24g-a", gpumkt::types::work::Mode::Light).unwrap();
    let profile = |mut profile: gpumkt::types::work::Profile, [reference_ms, pass_ms, unmeasured_ms]: [u32; 3]| {
        (profile.reference_ms, profile.pass_ms, profile.unmeasured_ms) = (reference_ms, pass_ms, unmeasured_ms);
        toml::Value::try_from(profile).unwrap()
    };
    let mut file = toml::Value::Table(text.parse().unwrap());
    let mut next = 0x10;
    fill(&mut file, &mut next);
    if let Some(classes) = file.get_mut("classes").and_then(toml::Value::as_array_mut)
        && classes[0]["full"].is_str()
    {
        classes[0]["full"] = profile(class, [9_000, 11_250, 11_250]);
        classes[0]["light"] = profile(light, [4_000, 6_000, 16_000]);
    }
    toml::to_string(&file).unwrap()
}

fn fill(value: &mut toml::Value, next: &mut u8) {
    match value {
        toml::Value::String(text) if text.starts_with("FILL IN: JSON-RPC") => *text = "http://127.0.0.1:1".into(),
        toml::Value::String(text) if text.starts_with("FILL IN: the [classes") => *text = "profile".into(),
        toml::Value::String(text) if text.starts_with("FILL IN") => {
            *next += 1;
            *text = Address::repeat_byte(*next).to_string();
        }
        toml::Value::Array(items) => items.iter_mut().for_each(|item| fill(item, next)),
        toml::Value::Table(table) => table.iter_mut().for_each(|(_, item)| fill(item, next)),
        _ => {}
    }
}
