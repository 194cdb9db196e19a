//! What every tier starts with: configuration, keys, database, chains, network, health.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};

use crate::{
    chain::{BlockId, Chain},
    client::chain_config,
    config::NodeConfig,
    http::HttpServer,
    keys::{load_or_create_identity, open_keystore, read_password},
    net::{NetConfig, NetError, NetEvents, Network, parse_addresses},
    rules::quorum::KingSet,
    service::{
        COLUMNS,
        checkpoints::CheckpointBook,
        follower::Follower,
        index::{ChainIndex, Indexer},
        peers::Peers,
        records::{OwnNode, Records},
        router::{Handlers, Router},
        sender::{Sender, SenderConfig, sender},
        stake::ChainStakes,
    },
    store::{Store, StoreError},
    task::{Shutdown, Supervisor},
    telemetry::{Health, Metrics, init_logs},
    types::{
        AddressBook, ChainKind, Coded, Role,
        abi::{GPURental, KingSet as KingSetContract, StakingManager},
        signing::contract_domain,
    },
};

/// Events between a follower and its index. Smaller stalls the follower at start, larger only costs memory.
const EVENTS: usize = 1_024;
/// Time the network has to bind its addresses.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    #[error("key {key} acts for no account with the stake of a {role:?}")]
    NoStake { key: Address, role: Role },
    #[error("the network did not start to listen")]
    NotListening,
    #[error("{} cannot be written: {source}", path.display())]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("the King set of the address book is not the one that {chain} holds")]
    KingSet { chain: ChainKind },
}

impl Coded for RoleError {
    fn code(&self) -> &'static str {
        match self {
            RoleError::NoStake { .. } => "E-ROLE-001",
            RoleError::KingSet { .. } => "E-ROLE-002",
            RoleError::NotListening => "E-ROLE-003",
            RoleError::DataDir { .. } => "E-ROLE-004",
        }
    }

    fn next_step(&self) -> String {
        match self {
            RoleError::NoStake { role, .. } => format!("stake first: `gpumkt stake {} AMOUNT`", format!("{role:?}").to_lowercase()),
            RoleError::NotListening => "check network.listen and the log lines before this one".into(),
            RoleError::DataDir { .. } => "check data_dir: free space, owner, permissions".into(),
            RoleError::KingSet { .. } => "get the current address book of this network".into(),
        }
    }
}

/// A node before its role's services are added.
pub struct Node {
    pub config: NodeConfig,
    pub book: AddressBook,
    pub role: Role,
    /// Account that holds the stake.
    pub account: Address,
    pub operator: PrivateKeySigner,
    pub store: Store,
    pub ethereum: Chain,
    pub classic: Chain,
    pub ethereum_index: ChainIndex,
    pub classic_index: ChainIndex,
    pub peers: Peers,
    pub checkpoints: CheckpointBook,
    pub metrics: Metrics,
    pub health: Health,
    pub supervisor: Supervisor,
    http_address: SocketAddr,
    events: NetEvents,
}

impl Node {
    /// Starts everything that all tiers have in common. Whatever is wrong shows here, before anything is promised.
    pub async fn start(config: NodeConfig, role: Role) -> Result<Self, Box<dyn Coded>> {
        init_logs(&config.log.filter, config.log.format);
        let (metrics, health) = (Metrics::default(), Health::default());
        let http = HttpServer::bind(config.http.listen, health.clone(), metrics.clone()).await.map_err(boxed)?;
        let book = config.address_book().map_err(boxed)?;
        let password = read_password(config.keys.password_file.as_deref(), &config.keys.operator).map_err(boxed)?;
        let operator = open_keystore(&config.keys.operator, &password).map_err(boxed)?;
        let identity = load_or_create_identity(&config.data_dir.join("node.key")).map_err(boxed)?;
        let store = Store::open(&config.data_dir.join("db"), COLUMNS).map_err(boxed)?;
        let ethereum = Chain::connect(chain_config(&config, ChainKind::Ethereum)).await.map_err(boxed)?;
        let classic = Chain::connect(chain_config(&config, ChainKind::Classic)).await.map_err(boxed)?;
        let account = account_of(&ethereum, &book, operator.address(), role).await?;
        let kings = KingSet::from_entry(&book.kings);
        check_kings(&kings, &book, &ethereum, &classic).await?;

        let mut supervisor = Supervisor::new(Shutdown::new(), metrics.clone());
        let ethereum_index = follow(&mut supervisor, &ethereum, &store, &book, &metrics).map_err(boxed)?;
        let classic_index = follow(&mut supervisor, &classic, &store, &book, &metrics).map_err(boxed)?;
        let net_config = net_config(&config, role).map_err(boxed)?;
        let (net, events, event_loop) = Network::start(net_config, *identity, metrics.clone()).map_err(boxed)?;
        supervisor.add(event_loop);
        let stakes = ChainStakes::new(ethereum.clone(), book.ethereum.staking_manager);
        let own = (role != Role::None).then(|| OwnNode { account, role, signer: Arc::new(operator.clone()) });
        let domain = contract_domain(book.ethereum.chain_id, book.ethereum.staking_manager);
        let (records, records_service) = Records::new(store.clone(), domain, stakes.clone(), net.clone(), metrics.clone(), own);
        supervisor.add(records_service);
        let peers = Peers { net, records, stakes };
        let http_address = http.local_address();
        supervisor.add(http);
        let checkpoints = CheckpointBook::new(kings, book.clone());
        Ok(Self {
            config,
            book,
            role,
            account,
            operator,
            store,
            ethereum,
            classic,
            ethereum_index,
            classic_index,
            peers,
            checkpoints,
            metrics,
            health,
            supervisor,
            http_address,
            events,
        })
    }

    pub fn chain(&self, kind: ChainKind) -> (&Chain, &ChainIndex) {
        match kind {
            ChainKind::Ethereum => (&self.ethereum, &self.ethereum_index),
            ChainKind::Classic => (&self.classic, &self.classic_index),
        }
    }

    /// The one writer of `signer` on a chain.
    pub fn add_sender(&mut self, kind: ChainKind, signer: PrivateKeySigner) -> Sender {
        let confirmations = match kind {
            ChainKind::Ethereum => self.config.ethereum.confirmations,
            ChainKind::Classic => self.config.classic.confirmations,
        };
        let config = SenderConfig { confirmations: confirmations + 1, ..SenderConfig::default() };
        let (handle, service) = sender(self.chain(kind).0.clone(), self.store.clone(), Arc::new(signer), config);
        self.supervisor.add(service);
        handle
    }

    /// Age up to which a full pass makes a device rentable, seconds.
    pub async fn freshness_seconds(&self) -> Result<u64, Box<dyn Coded>> {
        let call = GPURental::parametersCall {};
        Ok(self.ethereum.call(self.book.ethereum.gpu_rental, call, BlockId::latest()).await.map_err(boxed)?.freshness)
    }

    /// Writes `node.json` into the data folder: what the system chose where the configuration says port 0.
    async fn tell_where(&self) -> Result<(), Box<dyn Coded>> {
        let mut addresses = self.peers.net.addresses();
        if !self.config.network.listen.is_empty() {
            let bound = addresses.wait_for(|addresses| !addresses.listen.is_empty());
            let waited = tokio::time::timeout(LISTEN_WITHIN, bound).await;
            if !matches!(waited, Ok(Ok(_))) {
                return Err(boxed(RoleError::NotListening));
            }
        }
        let listen: Vec<String> = self.peers.net.listen_addrs().iter().map(ToString::to_string).collect();
        let told = serde_json::json!({
            "role": self.role,
            "account": self.account,
            "peer_id": self.peers.net.local_peer_id().to_string(),
            "http": self.http_address,
            "listen": listen,
        });
        let path = self.config.data_dir.join("node.json");
        let partial = path.with_extension("part");
        let written = std::fs::write(&partial, told.to_string()).and_then(|()| std::fs::rename(&partial, &path));
        written.map_err(|source| boxed(RoleError::DataDir { path, source }))
    }

    /// Adds the router, says that the node is ready, and runs until it is stopped.
    pub async fn run(mut self, handlers: Handlers) -> Result<(), Box<dyn Coded>> {
        self.tell_where().await?;
        let router = Router { net: self.peers.net.clone(), events: self.events, records: self.peers.records.clone(), handlers };
        self.supervisor.add(router);
        self.health.ready("services");
        tracing::info!(role = ?self.role, account = %self.account, peer = %self.peers.net.local_peer_id(), "node is up");
        self.supervisor.run().await
    }
}

fn boxed(error: impl Coded) -> Box<dyn Coded> {
    Box::new(error)
}

async fn account_of(ethereum: &Chain, book: &AddressBook, key: Address, role: Role) -> Result<Address, Box<dyn Coded>> {
    if role == Role::None {
        return Ok(key);
    }
    let staking = book.ethereum.staking_manager;
    let account = ethereum.call(staking, StakingManager::accountOfCall { key }, BlockId::latest()).await.map_err(boxed)?;
    let has_role = StakingManager::hasRoleCall { account, role: role as u8 };
    if account == Address::ZERO || !ethereum.call(staking, has_role, BlockId::latest()).await.map_err(boxed)? {
        return Err(boxed(RoleError::NoStake { key, role }));
    }
    Ok(account)
}

async fn check_kings(kings: &KingSet, book: &AddressBook, ethereum: &Chain, classic: &Chain) -> Result<(), Box<dyn Coded>> {
    for chain in [ethereum, classic] {
        let call = KingSetContract::setHashCall { setEpoch: kings.epoch };
        let hash = chain.call(book.bridge(chain.kind()).king_set, call, BlockId::latest()).await.map_err(boxed)?;
        if hash != kings.hash() {
            return Err(boxed(RoleError::KingSet { chain: chain.kind() }));
        }
    }
    Ok(())
}

fn follow(
    supervisor: &mut Supervisor,
    chain: &Chain,
    store: &Store,
    book: &AddressBook,
    metrics: &Metrics,
) -> Result<ChainIndex, StoreError> {
    let kind = chain.kind();
    let bridge = book.bridge(kind);
    let mut addresses = vec![bridge.outbox, bridge.inbox];
    addresses.push(match kind {
        ChainKind::Ethereum => book.ethereum.gpu_rental,
        ChainKind::Classic => book.classic.work_verification,
    });
    let mut follower = Follower::new(chain.clone(), store.clone(), kind.name(), addresses, book.start_block(kind));
    let events = follower.subscribe(EVENTS);
    let (indexer, index) = Indexer::new(kind, store.clone(), book.clone(), events, metrics.clone())?;
    supervisor.add(follower);
    supervisor.add(indexer);
    Ok(index)
}

fn net_config(config: &NodeConfig, role: Role) -> Result<NetConfig, NetError> {
    Ok(NetConfig {
        listen: parse_addresses(&config.network.listen)?,
        external: parse_addresses(&config.network.external)?,
        bootstrap: parse_addresses(&config.network.bootstrap)?,
        mdns: config.network.mdns,
        local_network: config.network.local,
        relay_server: role == Role::Queen,
        ..NetConfig::default()
    })
}
