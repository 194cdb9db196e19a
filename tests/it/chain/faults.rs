//! What endpoints, other programs of a key, and reorganisations do to reads, followers and senders.

use gpumkt::{client::Wallet, service::sender::SenderConfig};

use super::*;

#[tokio::test]
async fn what_was_settled_and_taken_back_comes_before_what_follows() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Classic, folder.path()).await;
    let chain = connect(&anvil).await;
    anvil.mine(3).await.unwrap();
    let (handle, service) = sender::sender(chain.clone(), open_store(folder.path()), signer(0), SenderConfig::default());
    let running = Running::start(service);
    handle.submit(pay("first", 3)).await.unwrap();
    anvil.reorg(1).await.unwrap();
    assert_eq!(chain.balance(STRANGER).await.unwrap(), U256::ZERO, "it is gone");
    handle.submit(pay("second", 4)).await.unwrap();
    assert_eq!(chain.balance(STRANGER).await.unwrap(), U256::from(7), "both took effect, in order");
    assert_eq!(chain.nonce(account(0).address(), BlockId::latest()).await.unwrap(), 2);
    running.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_lags_holds_nobody_back() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Ethereum, folder.path()).await;
    anvil.mine(5).await.unwrap();
    let lagging = FaultProxy::start(&anvil.url()).await.unwrap();
    let others = [FaultProxy::start(&anvil.url()).await.unwrap(), FaultProxy::start(&anvil.url()).await.unwrap()];
    let urls = [lagging.url(), others[0].url(), others[1].url()];
    let chain = Chain::connect(config(ChainKind::Ethereum, &urls)).await.unwrap();
    lagging.set(EndpointFault::Stale(2));
    assert_eq!(chain.head().await.unwrap().number, 5);
    assert_eq!(chain.agreed_head_number().await.unwrap(), 5);
    others[0].set(EndpointFault::CutAnswers);
    assert_eq!(chain.head().await.unwrap().number, 5);
    assert_eq!(chain.block(5).await.unwrap().number, 5);
    assert_eq!(chain.agreed_block(5).await.unwrap_err().code(), "E-CHAIN-008", "one endpoint is no majority");
}

#[tokio::test]
async fn poisoned_state_is_no_majority() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Ethereum, folder.path()).await;
    let direct = connect(&anvil).await;
    let (handle, service) = sender::sender(direct.clone(), open_store(folder.path()), signer(0), SenderConfig::default());
    let running = Running::start(service);
    let outbox = deploy_outbox(&handle).await;
    running.stop().await;
    let proxies = [FaultProxy::start(&anvil.url()).await.unwrap(), FaultProxy::start(&anvil.url()).await.unwrap()];
    let urls = [proxies[0].url(), proxies[1].url(), anvil.url()];
    let chain = Chain::connect(config(ChainKind::Ethereum, &urls)).await.unwrap();
    let block = direct.head().await.unwrap();
    let root = direct.call(outbox, Outbox::rootCall {}, BlockId::hash(block.hash)).await.unwrap();
    proxies[0].set(EndpointFault::LieAboutState);
    assert_eq!(chain.agreed_call(outbox, Outbox::rootCall {}, block.hash).await.unwrap(), root);
    assert_eq!(chain.agreed_block(block.number).await.unwrap().hash, block.hash);
    proxies[1].set(EndpointFault::Down);
    let error = chain.agreed_call(outbox, Outbox::rootCall {}, block.hash).await.unwrap_err();
    assert_eq!(error.code(), "E-CHAIN-008", "the honest one is down, the liar is alone: {error}");
}

#[tokio::test]
async fn hidden_logs_come_from_another_endpoint_when_asked_again() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Classic, folder.path()).await;
    let direct = connect(&anvil).await;
    let store = open_store(folder.path());
    let (handle, service) = sender::sender(direct.clone(), store.clone(), signer(0), SenderConfig::default());
    let sending = Running::start(service);
    let outbox = deploy_outbox(&handle).await;
    let call = alloy::sol_types::SolCall::abi_encode(&Outbox::dispatchCall {
        destination: ETH,
        recipient: STRANGER,
        body: Bytes::from_static(b"hidden"),
    });
    handle.submit(Intent::call("message", "a message", outbox, call)).await.unwrap();
    sending.stop().await;

    let liar = FaultProxy::start(&anvil.url()).await.unwrap();
    liar.set(EndpointFault::TruncateLogs);
    let chain = Chain::connect(config(ChainKind::Classic, &[liar.url(), anvil.url()])).await.unwrap();
    let mut follower = Follower::new(chain, store, "test", vec![outbox], 1);
    let mut events = follower.subscribe(4);
    let rescan = follower.rescan();
    let following = Running::start(follower);
    assert_eq!(next(&mut events).await, ChainEvent::Reorg { to_block: 0 });
    assert!(matches!(next(&mut events).await, ChainEvent::Block(block) if block.number == 1));
    assert!(matches!(next(&mut events).await, ChainEvent::Block(block) if block.number == 2), "the log is hidden");
    rescan.above(0);
    assert_eq!(next(&mut events).await, ChainEvent::Reorg { to_block: 0 });
    assert!(matches!(next(&mut events).await, ChainEvent::Block(block) if block.number == 1));
    assert!(matches!(next(&mut events).await, ChainEvent::Log(log) if log.address == outbox && log.block_number == 2));
    following.stop().await;
}

/// A node and a command of one key: the command's transaction lost its nonce, and used to wait for it until it gave up (E-CLIENT-002).
#[tokio::test]
async fn a_command_survives_a_node_that_takes_its_nonce() {
    let folder = TempDir::new().unwrap();
    let anvil = instant(ChainKind::Classic, folder.path()).await;
    let chain = connect(&anvil).await;
    let proxy = FaultProxy::start(&anvil.url()).await.unwrap();
    let behind = Chain::connect(config(ChainKind::Classic, &[proxy.url()])).await.unwrap();
    anvil.set_automine(false).await.unwrap();
    let wallet = Wallet::new(behind, account(0));
    let paying = tokio::spawn(async move { wallet.pay("a payment", STRANGER, U256::from(5)).await });
    let own = account(0).address();
    until("its broadcast", async || (chain.nonce(own, BlockId::pending()).await.unwrap() == 1).then_some(())).await;
    // The same nonce at a higher price: the pool forgets the first one.
    let request = TxRequest { to: Some(STRANGER), data: Bytes::new(), value_wei: U256::from(100) };
    let dear = gpumkt::chain::Fee::Legacy { gas_price_wei: 100_000_000_000 };
    let foreign = chain.sign(&signer(0), 0, &request, 21_000, dear).await.unwrap();
    chain.broadcast(own, &foreign).await.unwrap();
    until("its own payment", async || {
        anvil.mine(1).await.unwrap();
        paying.is_finished().then_some(())
    })
    .await;
    paying.await.unwrap().unwrap();
    assert_eq!(chain.balance(STRANGER).await.unwrap(), U256::from(105));
}
