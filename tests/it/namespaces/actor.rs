//! A node of the network with stake, records and relays, on a machine of the lab.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use gpumkt::{
    config::RelayUse,
    net::{Multiaddr, NetConfig, NetEvent, NetHandle, Network, RelayGate},
    service::{
        reach::ReachService,
        records::{OwnNode, Records, StakeClaim, StakeOracle, TABLES},
    },
    store::Store,
    task::{Service, Shutdown},
    telemetry::Metrics,
    types::{
        Coded, Role,
        signing::contract_domain,
        wire::{Request, Response},
    },
};

use crate::poll;

/// Who holds which stake, for all nodes of a lab: what StakingManager would say.
#[derive(Clone, Default)]
pub struct Stakes(Arc<Mutex<HashMap<(Address, Address), Role>>>);

impl Stakes {
    pub fn grant(&self, account: Address, key: &PrivateKeySigner, role: Role) {
        self.0.lock().unwrap().insert((account, key.address()), role);
    }
}

#[async_trait::async_trait]
impl StakeOracle for Stakes {
    async fn stake_of(&self, claim: &StakeClaim) -> Result<Option<Role>, Box<dyn Coded>> {
        Ok(self.0.lock().unwrap().get(&(claim.account, claim.operator)).copied())
    }
}

/// What a node is started with.
pub struct Setup {
    pub seed: u8,
    pub role: Role,
    pub listen: Vec<String>,
    pub external: Vec<String>,
    pub bootstrap: Vec<Multiaddr>,
    pub stakes: Stakes,
}

/// A running node. It lives as long as the runtime of its machine.
pub struct Actor {
    pub net: NetHandle,
    pub records: Records,
    shutdown: Shutdown,
    folder: PathBuf,
}

impl Actor {
    pub fn account(seed: u8) -> Address {
        Address::repeat_byte(seed)
    }

    pub fn start(setup: Setup) -> Self {
        let key = PrivateKeySigner::from_bytes(&alloy::primitives::B256::repeat_byte(setup.seed)).unwrap();
        let account = Self::account(setup.seed);
        let config = NetConfig {
            listen: setup.listen.iter().map(|address| address.parse().unwrap()).collect(),
            external: setup.external.iter().map(|address| address.parse().unwrap()).collect(),
            bootstrap: setup.bootstrap,
            relay_server: setup.role == Role::Queen,
            relay_gate: Some(RelayGate::default()),
            ..NetConfig::default()
        };
        if setup.role != Role::None {
            setup.stakes.grant(account, &key, setup.role);
        }
        let folder = tempfile::tempdir().unwrap().keep();
        let store = Store::open(&folder, &TABLES).unwrap();
        let metrics = Metrics::default();
        let (net, mut events, event_loop) = Network::start(config, [setup.seed; 32], metrics.clone()).unwrap();
        let own = (setup.role != Role::None).then(|| OwnNode { account, role: setup.role, signer: Arc::new(key) });
        let domain = contract_domain(1, Address::repeat_byte(0xee));
        let (records, service) = Records::new(store, domain, setup.stakes, net.clone(), metrics.clone(), own);
        let shutdown = Shutdown::new();
        spawn(event_loop, &shutdown);
        spawn(service, &shutdown);
        if setup.role == Role::Provider {
            spawn(ReachService::new(net.clone(), records.clone(), RelayUse::Auto, metrics), &shutdown);
        }
        let (serving, deciding) = (records.clone(), net.clone());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    NetEvent::PeerConnected { peer } => serving.peer_connected(peer),
                    NetEvent::Request { request: Request::Record { account }, responder, .. } => {
                        let _ = responder.send(serving.answer(account)).await;
                    }
                    NetEvent::Request { responder, .. } => drop(responder.send(Response::Pong).await),
                    NetEvent::Gossip { source, message, ticket, .. } => {
                        let verdict = serving.judge(source, &message).await;
                        let _ = deciding.decide(ticket, verdict).await;
                    }
                    NetEvent::PeerDisconnected { .. } => {}
                }
            }
        });
        Self { net, records, shutdown, folder }
    }

    /// The first bound address that starts like this.
    pub async fn address(&self, start: &str) -> Multiaddr {
        let mut addresses = self.net.addresses();
        let found = addresses.wait_for(|known| known.listen.iter().any(|address| address.to_string().starts_with(start)));
        let known = tokio::time::timeout(Duration::from_secs(10), found).await.unwrap().unwrap();
        known.listen.iter().find(|address| address.to_string().starts_with(start)).unwrap().clone()
    }

    /// The record of `account`, asked for until it has an address.
    pub async fn find(&self, account: Address, within: Duration) -> (gpumkt::net::PeerId, Vec<Multiaddr>) {
        let probe = async || self.records.reach(account).await.ok().filter(|(_, addresses)| !addresses.is_empty());
        poll::find(format!("somebody who knows where {account} is"), within, poll::PACE, probe).await
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.shutdown.intake.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn spawn(mut service: impl Service, shutdown: &Shutdown) {
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        if let Err(fault) = service.run(&shutdown).await {
            panic!("{}: {fault:?}", service.name());
        }
    });
}
