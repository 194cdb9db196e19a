//! Who is there: the peers of a node, the shards of the network, as `/network` serves them and `gpumkt network` shows them.

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use crate::types::{DeviceId, Role};

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    pub peer_id: String,
    /// Account whose stake stands behind it; `None` for renters, relays and whoever has not shown a record yet.
    pub account: Option<Address>,
    pub role: Option<Role>,
    /// What it says it runs.
    pub agent: Option<String>,
    pub round_trip_ms: Option<f64>,
    /// Standing in gossip: below zero is bad, below -80 the peer is not heard any more. Only a node keeps it.
    pub score: Option<f64>,
    /// Reached through a relay only.
    pub is_relayed: bool,
}

/// Queens that time the same providers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardView {
    pub shard: u16,
    pub queens: usize,
    /// Queens of it that this node knows a live record of.
    pub queens_seen: usize,
    pub providers: usize,
    pub devices: usize,
}

/// A device's last sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    pub device: DeviceId,
    pub load_permille: u16,
    pub temperature_celsius: Option<i16>,
    /// Unix seconds.
    pub at: u64,
}

/// The network as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkView {
    pub peer_id: String,
    pub version: String,
    pub role: Option<Role>,
    pub account: Option<Address>,
    pub listen: Vec<String>,
    /// Addresses that others were seen to reach.
    pub external: Vec<String>,
    pub peers: Vec<PeerView>,
    /// Staked nodes with a live record, connected or not, by role.
    pub known_kings: usize,
    pub known_queens: usize,
    pub known_providers: usize,
    pub shards: Vec<ShardView>,
    /// The last signs of life of devices, where this node hears them: Queens do.
    #[serde(default)]
    pub devices: Vec<DeviceView>,
}

/// What this program calls itself to others.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(feature = "node")]
mod node {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Address, DeviceView, NetworkView, PeerView, Role, ShardView, VERSION};
    use crate::{
        net::NetError,
        rules::committee::Shards,
        service::{index::ChainIndex, peers::Peers, pulse::Pulses},
    };

    /// What a node needs to describe the network.
    #[derive(Clone)]
    pub struct Census {
        pub peers: Peers,
        pub classic: ChainIndex,
        pub pulses: Pulses,
        pub role: Role,
        pub account: Address,
    }

    impl Census {
        pub async fn view(&self) -> Result<NetworkView, NetError> {
            let (net, records) = (&self.peers.net, &self.peers.records);
            let mut peers = Vec::new();
            for info in net.connected_peers().await? {
                let staked = records.staked(info.peer);
                peers.push(PeerView {
                    peer_id: info.peer.to_string(),
                    account: staked.map(|(account, _)| account),
                    role: staked.map(|(_, role)| role),
                    agent: info.agent,
                    round_trip_ms: info.round_trip.map(|time| time.as_secs_f64() * 1_000.0),
                    score: info.score,
                    is_relayed: info.is_relayed,
                });
            }
            let addresses = net.addresses().borrow().clone();
            let texts = |list: &[crate::net::Multiaddr]| list.iter().map(ToString::to_string).collect();
            let own = |role: Role| usize::from(self.role == role);
            Ok(NetworkView {
                peer_id: net.local_peer_id().to_string(),
                version: VERSION.into(),
                role: (self.role != Role::None).then_some(self.role),
                account: (self.role != Role::None).then_some(self.account),
                listen: texts(&addresses.listen),
                external: texts(&addresses.external),
                peers,
                known_kings: records.peers_of(Role::King).len() + own(Role::King),
                known_queens: records.peers_of(Role::Queen).len() + own(Role::Queen),
                known_providers: records.peers_of(Role::Provider).len() + own(Role::Provider),
                shards: self.shards(),
                devices: self.devices(),
            })
        }

        fn devices(&self) -> Vec<DeviceView> {
            let view = |(device, heartbeat): (_, crate::types::wire::Heartbeat)| DeviceView {
                device,
                load_permille: heartbeat.load_permille,
                temperature_celsius: heartbeat.temperature_celsius,
                at: heartbeat.timestamp,
            };
            self.pulses.last().into_iter().map(view).collect()
        }

        /// As the next challenge would be shared out; empty until the index has seen the Queens' set.
        fn shards(&self) -> Vec<ShardView> {
            let seen: BTreeSet<Address> = self.peers.records.operators_of(Role::Queen);
            let newest = self.classic.newest().number;
            let views = self.classic.views();
            let (Some(set), Some(parameters)) = (views.work.queens_of(newest), views.work.parameters_of(newest)) else { return Vec::new() };
            let queens = u16::try_from(set.operators.len()).unwrap_or(u16::MAX);
            let shards = Shards { queens, shard_size: parameters.shard_size, seed: set.shard_seed };
            let mut providers: BTreeMap<u16, BTreeMap<Address, usize>> = BTreeMap::new();
            for device in views.work.devices.values().filter(|device| !device.is_removed) {
                *providers.entry(shards.of(device.provider)).or_default().entry(device.provider).or_default() += 1;
            }
            let count = shards.count();
            let of_shard = |shard: u16| set.operators.iter().skip(usize::from(shard)).step_by(usize::from(count));
            (0..count)
                .map(|shard| ShardView {
                    shard,
                    queens: of_shard(shard).count(),
                    queens_seen: of_shard(shard).filter(|operator| seen.contains(*operator)).count(),
                    providers: providers.get(&shard).map_or(0, BTreeMap::len),
                    devices: providers.get(&shard).map_or(0, |devices| devices.values().sum()),
                })
                .collect()
        }
    }
}

#[cfg(feature = "node")]
pub use node::Census;
