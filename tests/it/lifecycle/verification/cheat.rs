//! A provider that cheats: a node of the test's own, known to the others by its record, that answers what it likes.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use gpumkt::{
    client::{self, Clients, stake},
    keys::load_or_create_identity,
    net::{NetConfig, NetEvent, NetEvents, Network, Verdict},
    service::{
        COLUMNS,
        records::{OwnNode, Records},
        stake::ChainStakes,
    },
    store::Store,
    task::{Shutdown, Supervisor},
    telemetry::Metrics,
    types::{
        Amount, DeviceId, Role,
        abi::WorkVerification,
        signing::contract_domain,
        wire::{Request, Response},
        work::Mode,
    },
};

use super::world::{Opened, World};

/// What it says when a Queen asks for samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Refuses,
    /// Bytes that open nothing.
    Lies,
}

/// A staked account with a device, and nothing that computes.
pub struct Cheat {
    pub account: Address,
    pub worker: Address,
    pub device: DeviceId,
    manner: Arc<Mutex<Manner>>,
    shutdown: Shutdown,
}

impl Cheat {
    /// Stakes, registers a device and waits until Ethereum Classic knows it. Its node is up then, too.
    pub async fn join(world: &World, name: &str, account: PrivateKeySigner, worker: &PrivateKeySigner) -> Self {
        let folder = world.network.folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let clients = world.clients.with_signer(account.clone());
        let peer = Clients::peer_id(&folder).unwrap();
        stake::stake(&clients, Role::Provider, Amount::parse_tokens("2000").unwrap(), account.address(), &peer, client::Mode::Send)
            .await
            .unwrap();
        let (device, _) = stake::register_device(&clients, 1, worker.address()).await.unwrap();
        let manner = Arc::new(Mutex::new(Manner::Refuses));
        let shutdown = start_node(world, &folder, account.clone(), Arc::clone(&manner));
        world.log_of::<WorkVerification::DeviceAdded>("the device crosses the bridge", |added| added.deviceId == device).await;
        Self { account: account.address(), worker: worker.address(), device, manner, shutdown }
    }

    pub fn set_manner(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Commits to a root that nobody computed, without a receipt. `false` where it came too late.
    pub async fn commit(&self, world: &World, challenge: &Opened) -> bool {
        let call = WorkVerification::commitCall {
            input: WorkVerification::CommitInput {
                challengeBlock: challenge.block,
                deviceId: self.device,
                mode: Mode::Full as u8,
                rentalId: 0,
                blockHash: challenge.hash,
                root: B256::repeat_byte(0xbd),
            },
            receipts: Vec::new(),
            header: Bytes::new(),
        };
        world.send(self.worker, U256::ZERO, call.abi_encode()).await["status"] == "0x1"
    }

    /// Answers a demand with a proof that proves nothing. `false` where it came too late.
    pub async fn answer_wrongly(&self, world: &World, block: u64, position: U256) -> bool {
        let proof = WorkVerification::WorkProof {
            memoryRoot: B256::ZERO,
            matmulRoots: Vec::new(),
            matmul: Vec::new(),
            first: Vec::new(),
            second: Vec::new(),
        };
        let call = WorkVerification::answerCall { challengeBlock: block, deviceId: self.device, position, proof };
        world.send(self.worker, U256::ZERO, call.abi_encode()).await["status"] == "0x1"
    }
}

impl Drop for Cheat {
    fn drop(&mut self) {
        self.shutdown.intake.cancel();
    }
}

fn start_node(world: &World, folder: &Path, operator: PrivateKeySigner, manner: Arc<Mutex<Manner>>) -> Shutdown {
    let (metrics, shutdown, book) = (Metrics::default(), Shutdown::new(), &world.network.book);
    let identity = load_or_create_identity(&folder.join("node.key")).unwrap();
    let store = Store::open(&folder.join("db"), COLUMNS).unwrap();
    let config = NetConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        bootstrap: world.network.bootstrap().iter().map(|address| address.parse().unwrap()).collect(),
        local_network: true,
        ..NetConfig::default()
    };
    let (net, events, event_loop) = Network::start(config, *identity, metrics.clone()).unwrap();
    let stakes = ChainStakes::new(world.clients.ethereum.clone(), book.ethereum.staking_manager);
    let own = OwnNode { account: operator.address(), role: Role::Provider, signer: Arc::new(operator) };
    let domain = contract_domain(book.ethereum.chain_id, book.ethereum.staking_manager);
    let (records, service) = Records::new(store, domain, stakes, net.clone(), metrics.clone(), Some(own));
    let mut supervisor = Supervisor::new(shutdown.clone(), metrics);
    supervisor.add(event_loop);
    supervisor.add(service);
    tokio::spawn(supervisor.run());
    tokio::spawn(answer(events, net, records, manner));
    shutdown
}

async fn answer(mut events: NetEvents, net: gpumkt::net::NetHandle, records: Records, manner: Arc<Mutex<Manner>>) {
    while let Some(event) = events.next().await {
        match event {
            NetEvent::Request { request, responder, .. } => {
                let manner = *manner.lock().unwrap();
                let response = match (request, manner) {
                    (Request::Ping, _) => Response::Pong,
                    (Request::Record { account }, _) => records.answer(account),
                    (Request::Openings { .. }, Manner::Lies) => Response::Openings(vec![0xab; 64].into()),
                    _ => Response::refused("E-TEST-001", "not today"),
                };
                let _ = responder.send(response).await;
            }
            NetEvent::Gossip { source, message, ticket, .. } => {
                let verdict = records.judge(source, &message).await;
                let _ = net.decide(ticket, if verdict == Verdict::Reject { Verdict::Ignore } else { verdict }).await;
            }
            _ => {}
        }
    }
}
