//! A King that uses its key against the bridge: a node of the network with a staked King's identity, and none of its scruples.

use std::sync::Arc;

use alloy::{
    primitives::{B256, B512},
    signers::{SignerSync, local::PrivateKeySigner},
};
use gpumkt::{
    keys::load_or_create_identity,
    net::{NetConfig, NetEvent, NetHandle, Network, Verdict},
    service::{
        COLUMNS,
        records::{OwnNode, Records},
        stake::ChainStakes,
    },
    store::Store,
    task::{Service, Shutdown},
    telemetry::Metrics,
    types::{
        ChainKind, Role,
        signing::{Checkpoint, compact, contract_domain},
        wire::{CheckpointData, CheckpointSignature, GossipMessage},
    },
};
use tokio::task::JoinSet;

use super::world::{World, until};

pub struct Byzantine {
    pub key: PrivateKeySigner,
    net: NetHandle,
    shutdown: Shutdown,
    tasks: JoinSet<()>,
}

impl Byzantine {
    /// Takes the place of `name`, whose process must be gone.
    pub async fn start(world: &World, name: &str) -> Self {
        let folder = world.folder.join(name);
        let identity = load_or_create_identity(&folder.join("node.key")).unwrap();
        let bootstrap = world.nodes.values().filter_map(|node| node.info.listen.first()?.parse().ok()).collect();
        let config =
            NetConfig { listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()], bootstrap, local_network: true, ..NetConfig::default() };
        let metrics = Metrics::default();
        let (net, mut events, mut event_loop) = Network::start(config, *identity, metrics.clone()).unwrap();
        let key = world.accounts.signer(name).unwrap();
        let own = OwnNode { account: key.address(), role: Role::King, signer: Arc::new(key.clone()) };
        let store = Store::open(&world.folder.join("byzantine-db"), COLUMNS).unwrap();
        let stakes = ChainStakes::new(world.chain(ChainKind::Ethereum).clone(), world.book.ethereum.staking_manager);
        let domain = contract_domain(world.book.ethereum.chain_id, world.book.ethereum.staking_manager);
        let (records, mut records_service) = Records::new(store, domain, stakes, net.clone(), metrics, Some(own));
        let shutdown = Shutdown::new();
        let mut tasks = JoinSet::new();
        let (first, second) = (shutdown.clone(), shutdown.clone());
        tasks.spawn(async move { drop(event_loop.run(&first).await) });
        tasks.spawn(async move { drop(records_service.run(&second).await) });
        let handle = net.clone();
        tasks.spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    NetEvent::PeerConnected { peer } => records.peer_connected(peer),
                    NetEvent::Gossip { ticket, .. } => drop(handle.decide(ticket, Verdict::Accept).await),
                    NetEvent::Request { request, responder, .. } => {
                        if let gpumkt::types::wire::Request::Record { account } = request {
                            drop(responder.send(records.answer(account)).await);
                        }
                    }
                    NetEvent::PeerDisconnected { .. } => {}
                }
            }
        });
        Self { key, net, shutdown, tasks }
    }

    /// Any checkpoint it likes, properly signed.
    pub fn sign(&self, world: &World, origin: ChainKind, count: u32, root: B256) -> CheckpointSignature {
        self.sign_in(world, world.book.kings.set_epoch, origin, count, root)
    }

    /// For another set epoch than the first.
    pub fn sign_in(&self, world: &World, set_epoch: u64, origin: ChainKind, count: u32, root: B256) -> CheckpointSignature {
        let checkpoint = CheckpointData {
            origin_chain_id: world.book.chain_id(origin),
            outbox: world.book.bridge(origin).outbox,
            set_epoch,
            root,
            count,
            block_number: 2,
            block_hash: B256::repeat_byte(0xbb),
            block_timestamp: 1,
        };
        let signature = self.key.sign_hash_sync(&Checkpoint::from(checkpoint).digest()).unwrap();
        CheckpointSignature { checkpoint, signer: self.key.address(), signature: B512::from(compact(&signature)) }
    }

    pub async fn publish(&self, signed: CheckpointSignature) {
        // The mesh may still be forming.
        until("a gossiped forgery", async || self.net.publish(&GossipMessage::Checkpoint(signed)).await.ok()).await;
    }

    /// As `publish`, where nobody needs to hear it: a node may refuse to send the same twice, or so much.
    pub async fn try_publish(&self, signed: CheckpointSignature) {
        drop(self.net.publish(&GossipMessage::Checkpoint(signed)).await);
    }

    pub async fn stop(mut self) {
        self.shutdown.intake.cancel();
        self.tasks.shutdown().await;
    }
}
