//! Checks and wiring at a node's start.

use std::{sync::Arc, time::Duration};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};

use super::{Node, RoleError, error::boxed};
use crate::{
    chain::{BlockId, Chain},
    config::NodeConfig,
    net::{NetConfig, NetError, RelayGate, parse_addresses},
    rules::quorum::KingSet,
    service::{
        court::Court,
        follower::Follower,
        index::{ChainIndex, Indexer},
        sender::{Sender, SenderConfig, sender},
    },
    store::{Store, StoreError},
    task::Supervisor,
    telemetry::Metrics,
    types::{
        AddressBook, ChainKind, Coded, Role,
        abi::{GPURental, KingSet as KingSetContract, StakingManager},
    },
};

/// Events between a follower and its index. Smaller stalls the follower at start, larger only costs memory.
const EVENTS: usize = 1_024;
/// Connections of a Queen, 100 KiB each. Fewer than its providers makes it call them anew for every challenge.
const QUEEN_CONNECTIONS: u32 = 2048;
/// Time the network has to bind its addresses.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);

/// The account that `key` acts for, which must hold the stake of `role`.
pub(super) async fn account_of(ethereum: &Chain, book: &AddressBook, key: Address, role: Role) -> Result<Address, Box<dyn Coded>> {
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

/// Both chains must hold the King set of the address book.
pub(super) async fn check_kings(kings: &KingSet, book: &AddressBook, ethereum: &Chain, classic: &Chain) -> Result<(), Box<dyn Coded>> {
    for chain in [ethereum, classic] {
        let call = KingSetContract::setHashCall { setEpoch: kings.epoch };
        let hash = chain.call(book.bridge(chain.kind()).king_set, call, BlockId::latest()).await.map_err(boxed)?;
        if hash != kings.hash() {
            return Err(boxed(RoleError::KingSet { chain: chain.kind() }));
        }
    }
    Ok(())
}

/// Starts following a chain into an index.
pub(super) fn follow(
    supervisor: &mut Supervisor,
    chain: &Chain,
    store: &Store,
    book: &AddressBook,
    metrics: &Metrics,
) -> Result<ChainIndex, StoreError> {
    let kind = chain.kind();
    let bridge = book.bridge(kind);
    let mut addresses = vec![bridge.outbox, bridge.inbox, bridge.king_set];
    addresses.push(match kind {
        ChainKind::Ethereum => book.ethereum.gpu_rental,
        ChainKind::Classic => book.classic.work_verification,
    });
    let mut follower = Follower::new(chain.clone(), store.clone(), kind.name(), addresses, book.start_block(kind));
    follower = follower.with_metrics(metrics.clone());
    let events = follower.subscribe(EVENTS);
    let rescan = follower.rescan();
    let (indexer, index) = Indexer::new(kind, store.clone(), book.clone(), events, metrics.clone())?;
    supervisor.add(follower);
    supervisor.add(indexer);
    Ok(index.with_rescan(rescan))
}

/// What the network adapter needs of a node's configuration.
pub(super) fn net_config(config: &NodeConfig, role: Role) -> Result<NetConfig, NetError> {
    Ok(NetConfig {
        listen: parse_addresses(&config.network.listen)?,
        external: parse_addresses(&config.network.external)?,
        bootstrap: parse_addresses(&config.network.bootstrap)?,
        relays: parse_addresses(&config.network.relays)?,
        mdns: config.network.mdns,
        local_network: config.network.local,
        relay_server: role == Role::Queen,
        // It meets every provider of its shard, and carries circuits besides.
        max_connections: if role == Role::Queen { QUEEN_CONNECTIONS } else { NetConfig::default().max_connections },
        relay_gate: Some(RelayGate::default()),
        ..NetConfig::default()
    })
}

/// Writes `node.json` into the data folder: what the system chose where the configuration says port 0.
pub(super) async fn tell_where(node: &Node) -> Result<(), Box<dyn Coded>> {
    let mut addresses = node.peers.net.addresses();
    if !node.config.network.listen.is_empty() {
        let bound = addresses.wait_for(|addresses| !addresses.listen.is_empty());
        let waited = tokio::time::timeout(LISTEN_WITHIN, bound).await;
        if !matches!(waited, Ok(Ok(_))) {
            return Err(boxed(RoleError::NotListening));
        }
    }
    let listen: Vec<String> = node.peers.net.listen_addrs().iter().map(ToString::to_string).collect();
    let told = serde_json::json!({
        "role": node.role,
        "account": node.account,
        "peer_id": node.peers.net.local_peer_id().to_string(),
        "http": node.http_address,
        "api": node.api_address,
        "listen": listen,
    });
    let path = node.config.data_dir.join("node.json");
    let partial = path.with_extension("part");
    let written = std::fs::write(&partial, told.to_string()).and_then(|()| std::fs::rename(&partial, &path));
    written.map_err(|source| boxed(RoleError::DataDir { path, source }))
}

impl Node {
    /// The one writer of `signer` on a chain.
    pub fn add_sender(&mut self, kind: ChainKind, signer: PrivateKeySigner) -> Sender {
        let section = self.config.chain(kind);
        let (confirmations, max_gas_price_wei) = (section.confirmations, u128::from(section.max_fee_gwei) * 1_000_000_000);
        self.watched.push((kind, signer.address()));
        let config = SenderConfig { confirmations: confirmations + 1, max_gas_price_wei, ..SenderConfig::default() };
        let (handle, service) = sender(self.chain(kind).0.clone(), self.store.clone(), Arc::new(signer), config);
        self.supervisor.add(service);
        handle
    }

    pub fn court(&self) -> Court {
        let book = &self.book.ethereum;
        Court { chain: self.ethereum.clone(), contract: book.rental_court, rentals: book.gpu_rental }
    }

    /// Age up to which a full pass makes a device rentable, seconds.
    pub async fn freshness_seconds(&self) -> Result<u64, Box<dyn Coded>> {
        let call = GPURental::parametersCall {};
        Ok(self.ethereum.call(self.book.ethereum.gpu_rental, call, BlockId::latest()).await.map_err(boxed)?.freshness)
    }
}
