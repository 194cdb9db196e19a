//! Reads, transactions, the sender's journal, the follower and the deployment, against real anvils.

mod faults;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    signers::local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English},
};
use gpumkt::{
    chain::{AccountSigner, BlockId, Chain, ChainConfig, ChainError, LogQuery, TxRequest},
    client::deploy::{DeployConfig, DeployProgress, DeployerKeys, audit, deploy},
    devnet::{
        chains::{Anvil, AnvilOptions, DevChains, MNEMONIC},
        process::{ManagedProcess, Readiness},
        proxy::{EndpointFault, FaultProxy},
    },
    service::{
        follower::{self, ChainEvent, Follower, Subscription},
        sender::{self, Intent, Mined, SendError, Sender, SenderConfig, SenderService},
    },
    store::Store,
    task::{Service, Shutdown},
    types::{
        ChainKind, Coded,
        abi::{GPURental, GPUToken, KingSet, Outbox},
    },
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::poll;

const ETH: u64 = 31301;
const ETC: u64 = 31361;
/// Nobody's account, without funds.
const STRANGER: Address = Address::repeat_byte(0x77);
const DEADLINE: Duration = Duration::from_secs(60);

fn account(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index).unwrap().build().unwrap()
}

fn signer(index: u32) -> AccountSigner {
    Arc::new(account(index))
}

async fn instant(kind: ChainKind, folder: &Path) -> Anvil {
    let chain_id = if kind == ChainKind::Ethereum { ETH } else { ETC };
    Anvil::start(AnvilOptions::instant(kind, chain_id, folder)).await.unwrap()
}

fn config(kind: ChainKind, urls: &[String]) -> ChainConfig {
    let chain_id = if kind == ChainKind::Ethereum { ETH } else { ETC };
    ChainConfig { poll_ms: 20, timeout_ms: 2_000, single_endpoint_allowed: true, ..ChainConfig::new(kind, chain_id, urls.to_vec()) }
}

async fn connect(anvil: &Anvil) -> Chain {
    Chain::connect(config(anvil.kind(), &[anvil.url()])).await.unwrap()
}

fn open_store(folder: &Path) -> Store {
    let columns: Vec<&'static str> = sender::COLUMNS.into_iter().chain(follower::COLUMNS).collect();
    Store::open(&folder.join("store"), &columns).unwrap()
}

/// A service in a task, with the means to stop it.
struct Running {
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl Running {
    fn start(mut service: impl Service) -> Self {
        let shutdown = Shutdown::new();
        let inside = shutdown.clone();
        let task = tokio::spawn(async move {
            // As the supervisor does, without its back-off.
            while service.run(&inside).await.is_err() {
                tokio::task::yield_now().await;
            }
        });
        Self { shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.intake.cancel();
        self.task.await.unwrap();
    }
}

async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    poll::find(what, DEADLINE, poll::PACE, probe).await
}

async fn next(events: &mut Subscription) -> ChainEvent {
    tokio::time::timeout(DEADLINE, events.next()).await.expect("no event in time").expect("the follower is gone")
}

fn pay(id: &str, wei: u64) -> Intent {
    Intent::transfer(id, "a payment", STRANGER, U256::from(wei))
}

async fn deploy_outbox(sender: &Sender) -> Address {
    let request = TxRequest::create(Outbox::BYTECODE.clone());
    let mined = sender.submit(Intent { id: "outbox".into(), request, label: "Outbox".into(), gas_limit: None }).await.unwrap();
    mined.contract_address.unwrap()
}

fn dispatch(id: &str, outbox: Address) -> Intent {
    use alloy::sol_types::SolCall;
    let call = Outbox::dispatchCall { destination: ETH, recipient: STRANGER, body: Bytes::from_static(b"hello") };
    Intent::call(id, "a message", outbox, call.abi_encode())
}

#[tokio::test]
async fn refuses_wrong_and_absent_chains_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Ethereum, folder.path()).await;
    let wrong = ChainConfig { chain_id: 1, ..config(ChainKind::Ethereum, &[anvil.url()]) };
    let error = Chain::connect(wrong).await.unwrap_err();
    assert_eq!(error.code(), "E-CHAIN-002");
    assert!(error.to_string().contains("31301") && error.to_string().contains("chain id 1"), "{error}");
    assert!(error.next_step().contains("chain 1"), "{}", error.next_step());

    // Port 9 is discard: nobody listens there. A key in the path must not be shown.
    let nobody = config(ChainKind::Ethereum, &["http://127.0.0.1:9/secret-key".into()]);
    let error = Chain::connect(nobody).await.unwrap_err();
    assert_eq!(error.code(), "E-CHAIN-001");
    assert!(error.to_string().contains("127.0.0.1:9") && !error.to_string().contains("secret"), "{error}");

    let error = Chain::connect(config(ChainKind::Ethereum, &["localhost:8545".into()])).await.unwrap_err();
    assert_eq!(error.code(), "E-CHAIN-003");

    // One dead endpoint is survived, one that serves another chain is not.
    let chain = Chain::connect(config(ChainKind::Ethereum, &["http://127.0.0.1:9".into(), anvil.url()])).await.unwrap();
    assert_eq!(chain.head().await.unwrap().number, 0);
}

#[tokio::test]
async fn tells_missing_funds_and_reverts_before_a_nonce_is_used() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Classic, folder.path()).await;
    let chain = connect(&anvil).await;
    let store = open_store(folder.path());
    let poor: AccountSigner = Arc::new(PrivateKeySigner::random());
    let (handle, service) = sender::sender(chain.clone(), store.clone(), poor.clone(), SenderConfig::default());
    let running = Running::start(service);
    let error = handle.submit(Intent { gas_limit: Some(21_000), ..pay("a", 5) }).await.unwrap_err();
    assert_eq!(error.code(), "E-CHAIN-004");
    assert!(error.to_string().contains(&poor.address().to_string()), "{error}");
    assert!(error.next_step().contains("send at least 0.000021"), "{}", error.next_step());
    running.stop().await;

    let (handle, service) = sender::sender(chain.clone(), store, signer(0), SenderConfig::default());
    let running = Running::start(service);
    let outbox = deploy_outbox(&handle).await;
    use alloy::sol_types::SolCall;
    let to_itself = Outbox::dispatchCall { destination: ETC, recipient: STRANGER, body: Bytes::new() };
    let error = handle.submit(Intent::call("bad", "a message to itself", outbox, to_itself.abi_encode())).await.unwrap_err();
    assert_eq!(error.revert_reason(), Some("DestinationIsOrigin { destination: 31361 }"), "{error}");
    assert_eq!(chain.nonce(account(0).address(), BlockId::pending()).await.unwrap(), 1, "only the deployment used a nonce");

    let mined = handle.submit(dispatch("good", outbox)).await.unwrap();
    assert_eq!((mined.tx_type, mined.status, mined.logs.len()), (0, true, 1), "Ethereum Classic knows type 0 only");
    assert!(mined.logs[0].decode::<Outbox::MessageDispatched>().is_some_and(|event| event.body == Bytes::from_static(b"hello")));
    let reused = handle.submit(pay("good", 1)).await.unwrap_err();
    assert_eq!(reused.code(), "E-SEND-002");
    let missing = chain.call(STRANGER, Outbox::countCall {}, BlockId::latest()).await.unwrap_err();
    assert_eq!(missing.code(), "E-CHAIN-016");
    running.stop().await;
}

/// A sender behind a proxy, over a store in `folder`.
async fn behind_proxy(proxy: &FaultProxy, kind: ChainKind, folder: &Path) -> (Chain, Sender, SenderService) {
    let chain = Chain::connect(config(kind, &[proxy.url()])).await.unwrap();
    let (handle, service) = sender::sender(chain.clone(), open_store(folder), signer(0), SenderConfig::default());
    (chain, handle, service)
}

/// Breaks the sender around its first broadcast and starts it again over the same store.
async fn survives_a_crash(fault: EndpointFault) -> Mined {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Ethereum, folder.path()).await;
    anvil.set_automine(false).await.unwrap();
    let proxy = FaultProxy::start(&anvil.url()).await.unwrap();
    {
        let (_, handle, service) = behind_proxy(&proxy, ChainKind::Ethereum, folder.path()).await;
        let running = Running::start(service);
        proxy.set(fault);
        let before = proxy.unanswered();
        let submitted = tokio::spawn(async move { handle.submit(pay("once", 7)).await });
        until("the broadcast", async || (proxy.unanswered() > before).then_some(())).await;
        running.stop().await;
        assert!(matches!(submitted.await.unwrap(), Err(SendError::Stopped)));
    }
    proxy.set(EndpointFault::None);
    let (chain, handle, service) = behind_proxy(&proxy, ChainKind::Ethereum, folder.path()).await;
    let running = Running::start(service);
    let submitted = tokio::spawn({
        let handle = handle.clone();
        async move { handle.submit(pay("once", 7)).await }
    });
    until("inclusion", async || {
        anvil.mine(1).await.unwrap();
        submitted.is_finished().then_some(())
    })
    .await;
    let mined = submitted.await.unwrap().unwrap();
    let again = handle.submit(pay("once", 7)).await.unwrap();
    assert_eq!(mined, again);
    assert_eq!(chain.balance(STRANGER).await.unwrap(), U256::from(7));
    assert_eq!(chain.nonce(account(0).address(), BlockId::latest()).await.unwrap(), 1);
    running.stop().await;
    mined
}

#[tokio::test]
async fn an_intent_takes_effect_once_though_the_broadcast_never_left() {
    let mined = survives_a_crash(EndpointFault::Refuse("eth_sendRawTransaction")).await;
    assert_eq!(mined.tx_type, 2);
}

#[tokio::test]
async fn an_intent_takes_effect_once_though_the_answer_got_lost() {
    survives_a_crash(EndpointFault::LoseAnswer("eth_sendRawTransaction")).await;
}

#[tokio::test]
async fn many_intents_are_in_flight_at_once_and_each_counts_once() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Classic, folder.path()).await;
    anvil.set_automine(false).await.unwrap();
    let chain = connect(&anvil).await;
    let (handle, service) = sender::sender(chain.clone(), open_store(folder.path()), signer(0), SenderConfig::default());
    let running = Running::start(service);
    let submitted: Vec<_> = (0..20)
        .map(|number: u32| {
            let handle = handle.clone();
            // Every second one is submitted twice.
            let id = format!("payment {}", number / 2);
            tokio::spawn(async move { handle.submit(pay(&id, 1)).await })
        })
        .collect();
    let sender = account(0).address();
    until("ten pending transactions", async || (chain.nonce(sender, BlockId::pending()).await.unwrap() == 10).then_some(())).await;
    anvil.mine(1).await.unwrap();
    let mut blocks = Vec::new();
    for outcome in submitted {
        blocks.push(outcome.await.unwrap().unwrap().block_number);
    }
    assert!(blocks.iter().all(|block| *block == blocks[0]), "all were in one block: {blocks:?}");
    assert_eq!(chain.balance(STRANGER).await.unwrap(), U256::from(10));
    running.stop().await;
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_at_a_higher_fee() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Ethereum, folder.path()).await;
    anvil.set_automine(false).await.unwrap();
    let chain = connect(&anvil).await;
    let config = SenderConfig { bump_after_blocks: 2, ..SenderConfig::default() };
    let (handle, service) = sender::sender(chain.clone(), open_store(folder.path()), signer(0), config);
    let running = Running::start(service);
    let submitted = tokio::spawn(async move { handle.submit(pay("slow", 3)).await });
    let sender = account(0).address();
    until("a pending transaction", async || (chain.nonce(sender, BlockId::pending()).await.unwrap() == 1).then_some(())).await;
    let offered = chain.fee().await.unwrap().max_per_gas_wei();
    let steep = offered * 20;
    anvil.ask("anvil_setNextBlockBaseFeePerGas", serde_json::json!([format!("{steep:#x}")])).await.unwrap();
    until("inclusion", async || {
        anvil.mine(1).await.unwrap();
        submitted.is_finished().then_some(())
    })
    .await;
    let mined = submitted.await.unwrap().unwrap();
    let tx = anvil.ask("eth_getTransactionByHash", serde_json::json!([mined.hash])).await.unwrap();
    let paid = u128::from_str_radix(tx["maxFeePerGas"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert!(paid > offered, "{paid} is not above {offered}");
    assert_eq!(chain.balance(STRANGER).await.unwrap(), U256::from(3));
    assert_eq!(chain.nonce(sender, BlockId::latest()).await.unwrap(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_nonce_taken_by_another_program_costs_nothing_but_time() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Classic, folder.path()).await;
    let chain = connect(&anvil).await;
    let proxy = FaultProxy::start(&anvil.url()).await.unwrap();
    let (_, handle, service) = behind_proxy(&proxy, ChainKind::Classic, folder.path()).await;
    let running = Running::start(service);
    proxy.set(EndpointFault::Refuse("eth_sendRawTransaction"));
    let before = proxy.unanswered();
    let submitted = tokio::spawn(async move { handle.submit(pay("mine", 4)).await });
    until("the broadcast", async || (proxy.unanswered() > before).then_some(())).await;
    // The same key, somewhere else.
    let request = TxRequest { to: Some(STRANGER), data: Bytes::new(), value_wei: U256::from(100) };
    let foreign = chain.build_and_sign(&signer(0), 0, &request).await.unwrap();
    chain.broadcast(account(0).address(), &foreign).await.unwrap();
    anvil.mine(5).await.unwrap();
    proxy.set(EndpointFault::None);
    submitted.await.unwrap().unwrap();
    assert_eq!(chain.balance(STRANGER).await.unwrap(), U256::from(104));
    running.stop().await;
}

#[tokio::test]
async fn a_reorganisation_reaches_followers_and_dropped_transactions_come_back() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Classic, folder.path()).await;
    let chain = connect(&anvil).await;
    let store = open_store(folder.path());
    let config = SenderConfig { confirmations: 1, ..SenderConfig::default() };
    let (first, service) = sender::sender(chain.clone(), store.clone(), signer(1), config);
    let deploying = Running::start(service);
    let outbox = deploy_outbox(&first).await;
    deploying.stop().await;

    let mut followed = Follower::new(chain.clone(), store.clone(), "test", vec![outbox], 1);
    let mut events = followed.subscribe(4);
    let following = Running::start(followed);
    assert_eq!(next(&mut events).await, ChainEvent::Reorg { to_block: 0 }, "a run starts with what may be stale");
    assert!(matches!(next(&mut events).await, ChainEvent::Block(block) if block.number == 1));

    let config = SenderConfig { confirmations: 3, ..SenderConfig::default() };
    let (handle, service) = sender::sender(chain.clone(), store.clone(), signer(0), config);
    let sending = Running::start(service);
    let submitted = tokio::spawn(async move { handle.submit(dispatch("message", outbox)).await });
    let ChainEvent::Log(log) = next(&mut events).await else { panic!("no log") };
    assert_eq!((log.block_number, log.address), (2, outbox));
    assert!(
        matches!(next(&mut events).await, ChainEvent::Block(block) if block.hash == log.block_hash && block.timestamp == log.timestamp)
    );

    anvil.reorg(1).await.unwrap();
    assert_eq!(next(&mut events).await, ChainEvent::Reorg { to_block: 1 });
    // The sender puts the message into a later block of the new branch.
    let again = loop {
        match next(&mut events).await {
            ChainEvent::Log(again) => break again,
            ChainEvent::Block(block) => assert_ne!(block.hash, log.block_hash),
            ChainEvent::Reorg { .. } => panic!("there was one reorganisation"),
        }
    };
    assert_ne!(again.block_hash, log.block_hash);
    assert_eq!(again.tx_hash, log.tx_hash, "it is the same transaction");
    anvil.mine(3).await.unwrap();
    let mined = submitted.await.unwrap().unwrap();
    assert_eq!(mined.block_hash, again.block_hash);
    assert_eq!(chain.call(outbox, Outbox::countCall {}, BlockId::latest()).await.unwrap(), 1);
    sending.stop().await;

    let last = chain.head().await.unwrap().number;
    until("the last block", async || matches!(next(&mut events).await, ChainEvent::Block(block) if block.number == last).then_some(()))
        .await;
    // Asking again acknowledges the last block.
    assert!(tokio::time::timeout(Duration::from_millis(1), events.next()).await.is_err());
    following.stop().await;

    let mut resumed = Follower::new(chain.clone(), store.clone(), "test", vec![outbox], 1);
    let mut events = resumed.subscribe(4);
    let following = Running::start(resumed);
    assert_eq!(next(&mut events).await, ChainEvent::Reorg { to_block: last }, "it goes on after what was acknowledged");
    anvil.mine(1).await.unwrap();
    assert!(matches!(next(&mut events).await, ChainEvent::Block(block) if block.number == last + 1));
    following.stop().await;
}

#[tokio::test]
async fn an_unacknowledged_event_comes_again_and_far_blocks_are_read_by_their_logs() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Ethereum, folder.path()).await;
    let chain = connect(&anvil).await;
    let store = open_store(folder.path());
    let (handle, service) = sender::sender(chain.clone(), store.clone(), signer(0), SenderConfig::default());
    let sending = Running::start(service);
    let outbox = deploy_outbox(&handle).await;
    use alloy::sol_types::SolCall;
    let call = Outbox::dispatchCall { destination: ETC, recipient: STRANGER, body: Bytes::from_static(b"hello") };
    handle.submit(Intent::call("early", "a message", outbox, call.abi_encode())).await.unwrap();
    anvil.mine(100).await.unwrap();
    sending.stop().await;

    for _ in 0..2 {
        let mut followed = Follower::new(chain.clone(), store.clone(), "far", vec![outbox], 1).with_window(10);
        let mut events = followed.subscribe(1);
        let following = Running::start(followed);
        assert_eq!(next(&mut events).await, ChainEvent::Reorg { to_block: 0 });
        let ChainEvent::Log(log) = next(&mut events).await else { panic!("far from the head only blocks with logs are told") };
        assert_eq!(log.block_number, 2);
        following.shutdown.intake.cancel();
        drop(events);
        following.stop().await;
    }
    let batch = chain.logs(&LogQuery { addresses: vec![outbox], from: 0, to: 102, ..LogQuery::default() }).await.unwrap();
    assert_eq!((batch.logs.len(), batch.covered_to), (1, 102));
}

#[tokio::test]
async fn what_a_king_signs_needs_endpoints_that_agree() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Ethereum, folder.path()).await;
    anvil.mine(5).await.unwrap();
    let proxy = FaultProxy::start(&anvil.url()).await.unwrap();
    let urls = [anvil.url(), proxy.url()];
    let chain = Chain::connect(ChainConfig { timeout_ms: 300, ..config(ChainKind::Ethereum, &urls) }).await.unwrap();
    let block = chain.agreed_block(3).await.unwrap();
    assert_eq!(block, chain.block(3).await.unwrap());
    assert_eq!(chain.agreed_finalized().await.unwrap().number, 3);
    for fault in [EndpointFault::Lie, EndpointFault::Down, EndpointFault::Stall, EndpointFault::WrongChainId(1)] {
        proxy.set(fault);
        let error = chain.agreed_block(3).await.unwrap_err();
        // A chain id is asked again after a failure, which a lie is not.
        assert_eq!(error.code(), "E-CHAIN-008", "{fault:?}: {error}");
        assert!(error.to_string().contains("only 1 of 2 needed"), "{error}");
        assert_eq!(chain.block(3).await.unwrap().number, 3, "single reads survive {fault:?}");
    }
    proxy.set(EndpointFault::None);
    assert_eq!(chain.agreed_block(3).await.unwrap(), block, "the quorum comes back with the endpoint");

    let alone = ChainConfig { single_endpoint_allowed: false, ..config(ChainKind::Ethereum, &[anvil.url()]) };
    let error = Chain::connect(alone).await.unwrap().agreed_block(3).await.unwrap_err();
    assert_eq!(error.code(), "E-CHAIN-009");

    let classic = instant(ChainKind::Classic, folder.path()).await;
    assert!(matches!(connect(&classic).await.finalized().await, Err(ChainError::NoFinality { .. })));
}

#[tokio::test]
async fn deploys_both_chains_and_continues_a_broken_deployment() {
    let folder = TempDir::new().unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/chains/devnet.toml")).unwrap();
    let config_file = DeployConfig::from_toml(&text).unwrap();
    assert_eq!(DeployConfig::from_toml(&text.replace("weight = 1", "wieght = 1")).unwrap_err().code(), "E-DEPLOY-001");

    let chains = DevChains::start(ETH, ETC, folder.path()).await.unwrap();
    let proxy = FaultProxy::start(&chains.ethereum.url()).await.unwrap();
    let ethereum = Chain::connect(config(ChainKind::Ethereum, &[proxy.url()])).await.unwrap();
    let classic = connect(&chains.classic).await;
    let keys = DeployerKeys { ethereum: signer(0), classic: signer(0) };
    let state = folder.path().join("deploy.json");
    let hurry = chains.hurry();

    let break_it = |progress: DeployProgress| {
        if progress.chain == ChainKind::Ethereum && progress.step == 5 {
            proxy.set(EndpointFault::LoseAnswer("eth_sendRawTransaction"));
        }
    };
    let error = deploy(&config_file, &keys, &ethereum, &classic, &state, &break_it).await.unwrap_err();
    assert_eq!(error.code(), "E-CHAIN-001");
    proxy.set(EndpointFault::None);

    let changed = DeployConfig::from_toml(&text.replace("committee_size = 3", "committee_size = 1")).unwrap();
    let refused = deploy(&changed, &keys, &ethereum, &classic, &state, &|_| {}).await.unwrap_err();
    assert_eq!(refused.code(), "E-DEPLOY-003");

    let started = Instant::now();
    let steps = std::sync::Mutex::new(0u64);
    let book = deploy(&config_file, &keys, &ethereum, &classic, &state, &|progress| {
        println!("{} {}/{} {} {}", progress.chain, progress.step, progress.steps, progress.name, progress.gas_used);
        *steps.lock().unwrap() += u64::from(progress.chain == ChainKind::Ethereum);
    })
    .await
    .unwrap();
    println!("deployed in {} ms", started.elapsed().as_millis());
    drop(hurry);
    let nonce = ethereum.nonce(account(0).address(), BlockId::latest()).await.unwrap();
    assert_eq!(nonce, *steps.lock().unwrap(), "no step was sent twice");
    assert_eq!((book.ethereum.chain_id, book.classic.chain_id), (ETH, ETC));

    let king = ethereum.call(book.ethereum.gpu_token, GPUToken::balanceOfCall { account: account(1).address() }, BlockId::latest()).await;
    assert_eq!(king.unwrap(), U256::from(1_000_000) * U256::from(10).pow(U256::from(18)));
    let epoch = classic.call(book.classic.bridge.king_set, KingSet::currentEpochCall {}, BlockId::latest()).await.unwrap();
    assert_eq!(epoch, 1);
    let nothing = GPURental::claimCall { to: STRANGER };
    let error = ethereum.call(book.ethereum.gpu_rental, nothing, BlockId::latest()).await.unwrap_err();
    assert!(error.to_string().contains("NothingToClaim { account: "), "{error}");

    let mut swapped = book.clone();
    swapped.ethereum.bridge.inbox = book.ethereum.bridge.outbox;
    let differences = audit(&config_file, &swapped, &ethereum, &classic).await.unwrap().differences;
    assert!(differences.iter().any(|difference| difference.what == "code of Inbox"), "{differences:?}");
    assert!(differences.iter().any(|difference| difference.what == "StakingManager.inbox"), "{differences:?}");
    chains.stop().await.unwrap();
}

#[tokio::test]
async fn children_are_watched_and_reaped() {
    let folder = TempDir::new().unwrap();
    let shell = |script: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        command
    };
    let log = folder.path().join("child.log");
    let ready = folder.path().join("ready");
    let script = format!("touch {}; exec sleep 1000", ready.display());
    let mut child = ManagedProcess::spawn("sleeper", shell(&script), &log).unwrap();
    child.wait_ready(&Readiness::File(ready), DEADLINE).await.unwrap();
    let pid = child.pid();
    let status = child.stop(DEADLINE).await.unwrap();
    assert!(!status.success() && !alive(pid));

    let mut failing = ManagedProcess::spawn("failing", shell("echo out of luck; exit 3"), &log).unwrap();
    let error = failing.wait_ready(&Readiness::File(folder.path().join("never")), DEADLINE).await.unwrap_err();
    assert_eq!(error.code(), "E-DEVNET-003");
    assert!(error.to_string().contains("out of luck"), "{error}");

    // Grandchildren share the group.
    let pids = folder.path().join("grandchild");
    let script = format!("sleep 1000 & echo $! > {}.new; mv {0}.new {0}; wait", pids.display());
    let mut family = ManagedProcess::spawn("family", shell(&script), &log).unwrap();
    family.wait_ready(&Readiness::File(pids.clone()), DEADLINE).await.unwrap();
    let grandchild: u32 = std::fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
    family.kill().unwrap();
    until("the end of the grandchild", async || (!alive(grandchild)).then_some(())).await;
}

/// Runs in a process of its own, which kills itself.
#[test]
fn harness_that_is_killed() {
    let Some(file) = std::env::var_os("GPUMKT_TEST_PID_FILE") else { return };
    let mut command = std::process::Command::new("sleep");
    command.arg("1000");
    let file = Path::new(&file);
    let child = ManagedProcess::spawn("sleeper", command, &file.with_extension("log")).unwrap();
    std::fs::write(file, child.pid().to_string()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn no_child_outlives_a_killed_harness() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pid");
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "chain::harness_that_is_killed"])
        .env("GPUMKT_TEST_PID_FILE", &file)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "it killed itself");
    let pid: u32 = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    until("the end of the orphan", async || (!alive(pid)).then_some(())).await;
}

/// A zombie is not alive: whoever adopted it reaps it when it likes.
fn alive(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_chain_comes_back_at_its_address_with_its_state() {
    let folder = TempDir::new().unwrap();
    let options =
        AnvilOptions { state_file: Some(folder.path().join("state")), ..AnvilOptions::instant(ChainKind::Classic, ETC, folder.path()) };
    let anvil = Anvil::start(options).await.unwrap();
    let chain = connect(&anvil).await;
    anvil.mine(7).await.unwrap();
    let hash: B256 = chain.block(7).await.unwrap().hash;
    let url = anvil.url();
    let anvil = anvil.restart().await.unwrap();
    assert_eq!(anvil.url(), url);
    assert_eq!(chain.block(7).await.unwrap().hash, hash);
    anvil.stop().await.unwrap();
}
