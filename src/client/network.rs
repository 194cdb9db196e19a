//! The network as a running node sees it, or as this program sees it when it joins for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use alloy::primitives::Address;
use futures::{StreamExt, future::join_all};

use super::{ClientError, Clients};
use crate::{
    chain::BlockId,
    config::NodeConfig,
    net::{NetConfig, NetHandle, Network, PeerId, PeerInfo},
    rules::committee::Shards,
    service::{census::VERSION, directory},
    task::{Service, Shutdown},
    telemetry::Metrics,
    types::{
        Role,
        abi::{StakingManager, WorkVerification},
        record::SignedNodeRecord,
        signing::contract_domain,
        wire::{Request, Response},
    },
};

pub use crate::service::census::{DeviceView, NetworkView, PeerView, ShardView};

/// Time a node has to describe its network.
const NODE_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Largest description of a network. A node with 512 peers writes about 150 KiB.
const MAX_VIEW_BYTES: usize = 4 << 20;
/// Time to meet the first peer.
const MEET_WITHIN: Duration = Duration::from_secs(20);
/// Time to be told of others by those met.
const LOOK_AROUND: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);
/// Peers asked at a time.
const MAX_ASKED: usize = 32;
/// Devices counted into shards.
const MAX_DEVICES: u64 = 20_000;

/// Where the node of this configuration serves its health: as it said when it started, where the system chose the port.
pub fn health_address(config: &NodeConfig) -> SocketAddr {
    if config.http.listen.port() != 0 {
        return config.http.listen;
    }
    let told = std::fs::read_to_string(config.data_dir.join("node.json")).ok();
    let told = told.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    told.and_then(|told| told["http"].as_str()?.parse().ok()).unwrap_or(config.http.listen)
}

/// Asks the node whose health address this is.
pub async fn of_node(http: SocketAddr) -> Result<NetworkView, ClientError> {
    let failed = |reason: String| ClientError::NodeAnswer { address: http, reason };
    let client = reqwest::Client::builder()
        .timeout(NODE_ANSWERS_WITHIN)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let mut answer = client.get(format!("http://{http}/network")).send().await.map_err(|error| failed(brief(&error)))?;
    if !answer.status().is_success() {
        return Err(failed(format!("HTTP status {}", answer.status().as_u16())));
    }
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| failed(brief(&error)))? {
        body.extend_from_slice(&part);
        if body.len() > MAX_VIEW_BYTES {
            return Err(failed("the answer is too large".into()));
        }
    }
    serde_json::from_slice(&body).map_err(|error| failed(format!("not a description of a network: {error}")))
}

fn brief(error: &reqwest::Error) -> String {
    if error.is_connect() {
        "connection refused".into()
    } else if error.is_timeout() {
        "no answer in time".into()
    } else {
        "the connection broke".into()
    }
}

/// A node that calls others and lives as long as the command.
pub struct Visit {
    pub net: NetHandle,
    shutdown: Shutdown,
    event_loop: tokio::task::JoinHandle<()>,
}

impl Visit {
    pub fn start(config: NetConfig, identity: [u8; 32]) -> Result<Self, ClientError> {
        let (net, mut events, mut event_loop) = Network::start(config, identity, Metrics::default())?;
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let event_loop = tokio::spawn(async move {
            // Requests are dropped, which refuses them.
            let drain = async { while events.next().await.is_some() {} };
            tokio::select! {
                ended = event_loop.run(&stop) => if ended.is_err() {
                    tracing::debug!("the network stopped early");
                },
                () = drain => {}
            }
        });
        Ok(Self { net, shutdown, event_loop })
    }

    /// Peers, once there is one and others have had the time to be met.
    pub async fn meet(&self, within: Duration) -> Result<Vec<PeerInfo>, ClientError> {
        let deadline = tokio::time::Instant::now() + within;
        let mut tick = tokio::time::interval(LOOK);
        while self.net.connected_peers().await?.is_empty() && tokio::time::Instant::now() < deadline {
            tick.tick().await;
        }
        if self.net.connected_peers().await?.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(LOOK_AROUND).await;
        Ok(self.net.connected_peers().await?)
    }

    pub async fn stop(self) {
        self.shutdown.intake.cancel();
        drop(self.net);
        if self.event_loop.await.is_err() {
            tracing::debug!("the network ended with a panic");
        }
    }
}

/// Joins the network for a moment, under an identity of its own, and asks everybody it meets who they are. What they claim is checked
/// against the chain.
pub async fn by_visit(config: &NodeConfig, clients: &Clients) -> Result<NetworkView, ClientError> {
    let net_config = NetConfig {
        bootstrap: directory::join_by(config, &clients.ethereum, &clients.book).await?,
        mdns: config.network.mdns,
        local_network: config.network.local,
        ..NetConfig::default()
    };
    let visit = Visit::start(net_config, rand::random())?;
    let outcome = look_around(&visit, clients).await;
    visit.stop().await;
    outcome
}

async fn look_around(visit: &Visit, clients: &Clients) -> Result<NetworkView, ClientError> {
    let met = visit.meet(MEET_WITHIN).await?;
    if met.is_empty() {
        return Err(ClientError::NobodyThere);
    }
    let peers: Vec<PeerView> = futures::stream::iter(met).map(|info| describe(visit, clients, info)).buffered(MAX_ASKED).collect().await;
    let of_role = |role: Role| peers.iter().filter(|peer| peer.role == Some(role)).count();
    let seen: BTreeSet<Address> = peers.iter().filter(|peer| peer.role == Some(Role::Queen)).filter_map(|peer| peer.account).collect();
    Ok(NetworkView {
        peer_id: visit.net.local_peer_id().to_string(),
        version: VERSION.into(),
        known_kings: of_role(Role::King),
        known_queens: of_role(Role::Queen),
        known_providers: of_role(Role::Provider),
        shards: shards(clients, &seen).await?,
        peers,
        ..NetworkView::default()
    })
}

async fn describe(visit: &Visit, clients: &Clients, info: PeerInfo) -> PeerView {
    let started = std::time::Instant::now();
    let answered = visit.net.request(info.peer, &[], Request::Ping).await.is_ok();
    let measured = started.elapsed();
    let asked = visit.net.request(info.peer, &[], Request::Record { account: None }).await;
    let staked = match asked {
        Ok(Response::Record(Some(signed))) => staked(clients, info.peer, &signed).await,
        _ => None,
    };
    PeerView {
        peer_id: info.peer.to_string(),
        account: staked.map(|(account, _)| account),
        role: staked.map(|(_, role)| role),
        agent: info.agent,
        round_trip_ms: answered.then(|| info.round_trip.unwrap_or(measured).as_secs_f64() * 1_000.0),
        score: None,
        is_relayed: info.is_relayed,
    }
}

/// Account and role of a record whose signature and stake hold.
async fn staked(clients: &Clients, peer: PeerId, signed: &SignedNodeRecord) -> Option<(Address, Role)> {
    let staking = clients.book.ethereum.staking_manager;
    let operator = signed.operator(&contract_domain(clients.book.ethereum.chain_id, staking)).ok()?;
    let (record, latest) = (&signed.record, BlockId::latest());
    let account = clients.ethereum.call(staking, StakingManager::accountOfCall { key: operator }, latest).await.ok()?;
    let holds = StakingManager::hasRoleCall { account, role: record.role };
    let is_own = account == record.account && record.peer_id[..] == peer.to_bytes()[..];
    (is_own && clients.ethereum.call(staking, holds, latest).await.ok()?).then_some((account, record.role().ok()?))
}

/// As the chain has it now. `seen` are the accounts of Queens that answered.
async fn shards(clients: &Clients, seen: &BTreeSet<Address>) -> Result<Vec<ShardView>, ClientError> {
    let (chain, contract, latest) = (&clients.classic, clients.book.classic.work_verification, BlockId::latest());
    let parameters = chain.call(contract, WorkVerification::parametersCall {}, latest).await?;
    let epoch = chain.call(contract, WorkVerification::queenEpochCall {}, latest).await?;
    let operators = chain.call(contract, WorkVerification::queensAtCall { epoch }, latest).await?;
    let seed = chain.call(contract, WorkVerification::shardSeedAtCall { epoch }, latest).await?;
    let staking = clients.book.ethereum.staking_manager;
    let accounts = operators.iter().map(|key| clients.ethereum.call(staking, StakingManager::accountOfCall { key: *key }, latest));
    let accounts: Vec<Option<Address>> = join_all(accounts).await.into_iter().map(Result::ok).collect();
    let queens = u16::try_from(operators.len()).unwrap_or(u16::MAX);
    let rule = Shards { queens, shard_size: u16::try_from(parameters.shardSize).unwrap_or(u16::MAX), seed };
    let mut providers: BTreeMap<u16, BTreeMap<Address, usize>> = BTreeMap::new();
    let devices = clients.ethereum.call(staking, StakingManager::deviceCountCall {}, latest).await?;
    for id in 1..=devices.min(MAX_DEVICES) {
        let device = clients.ethereum.call(staking, StakingManager::deviceCall { deviceId: id }, latest).await?;
        if device.removedAt == 0 {
            *providers.entry(rule.of(device.provider)).or_default().entry(device.provider).or_default() += 1;
        }
    }
    let count = rule.count();
    let of_shard = |shard: u16| accounts.iter().skip(usize::from(shard)).step_by(usize::from(count));
    let view = |shard: u16| ShardView {
        shard,
        queens: of_shard(shard).count(),
        queens_seen: of_shard(shard).filter(|account| account.is_some_and(|account| seen.contains(&account))).count(),
        providers: providers.get(&shard).map_or(0, BTreeMap::len),
        devices: providers.get(&shard).map_or(0, |devices| devices.values().sum()),
    };
    Ok((0..count).map(view).collect())
}
