//! Configuration of a node, whatever its role. Sections that a role does not use may be left out.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::{telemetry::LogFormat, types::ChainKind};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Database, node key and scratch files.
    pub data_dir: PathBuf,
    /// Address book written by `gpumkt deploy`.
    pub addresses: PathBuf,
    pub keys: KeysSection,
    pub ethereum: ChainSection,
    pub classic: ChainSection,
    #[serde(default)]
    pub log: LogSection,
    #[serde(default)]
    pub network: NetworkSection,
    #[serde(default)]
    pub http: HttpSection,
    #[serde(default)]
    pub api: ApiSection,
    #[serde(default)]
    pub alerts: AlertsSection,
    #[serde(default)]
    pub king: KingSection,
    #[serde(default)]
    pub queen: QueenSection,
    #[serde(default)]
    pub provider: ProviderSection,
    #[serde(default)]
    pub relay: RelaySection,
    /// Where all this was read, to read it again.
    #[serde(skip)]
    pub source: ConfigSource,
}

/// A file, and the flags that win over it.
#[derive(Debug, Clone, Default)]
pub struct ConfigSource {
    pub path: PathBuf,
    pub overrides: Vec<(String, String)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Filter directives of tracing, such as `info,gpumkt=debug`.
    pub filter: String,
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { filter: "warn,gpumkt=info".into(), format: LogFormat::Text }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSection {
    /// Keystore (web3 secret storage v3) of the hot key that signs for the account.
    pub operator: PathBuf,
    /// Keystore of the key that commits and proves on ETC; the operator's where left out.
    pub worker: Option<PathBuf>,
    /// File with the password; `GPUMKT_PASSWORD` or a prompt where left out.
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSection {
    pub chain_id: u64,
    /// JSON-RPC endpoints, tried in order; Kings need two that are independent.
    pub rpc: Vec<String>,
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// Blocks on top of the one that holds a transaction before it counts as done.
    #[serde(default)]
    pub confirmations: u64,
    /// Price per gas, gwei, that no transaction of this node exceeds.
    #[serde(default = "default_max_fee_gwei")]
    pub max_fee_gwei: u64,
}

fn default_max_fee_gwei() -> u64 {
    500
}

fn default_poll_ms() -> u64 {
    2_000
}

/// When a provider listens through relays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayUse {
    /// Where other nodes tried to reach it directly and could not.
    #[default]
    Auto,
    /// From the start, also beside direct addresses.
    Always,
    Never,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSection {
    pub listen: Vec<String>,
    /// Addresses that others can reach where they differ from `listen`.
    pub external: Vec<String>,
    /// Multiaddrs with `/p2p/…` of nodes to join by.
    pub bootstrap: Vec<String>,
    /// Whether a provider that nobody reaches directly is reached through Queens.
    pub relay: RelayUse,
    /// Multiaddrs with `/p2p/…` of relays to be reached through in any case.
    pub relays: Vec<String>,
    /// Finds peers on the local network; only for a devnet.
    pub mdns: bool,
    /// All nodes share one machine or one private network: listen addresses count as reachable.
    pub local: bool,
}

impl Default for NetworkSection {
    fn default() -> Self {
        Self {
            listen: vec!["/ip4/0.0.0.0/tcp/7700".into(), "/ip4/0.0.0.0/udp/7700/quic-v1".into()],
            external: Vec::new(),
            bootstrap: Vec::new(),
            relay: RelayUse::default(),
            relays: Vec::new(),
            mdns: false,
            local: false,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    /// Health and metrics; keep it on a private address.
    pub listen: SocketAddr,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7780)) }
    }
}

/// The public interface of a King: the HTTP API and the web interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiSection {
    /// Where it listens; left out, the King serves and indexes nothing for others.
    pub listen: Option<SocketAddr>,
    /// Web sites that may read it, such as `https://gpumkt.example`; `*` for all.
    pub cors_origins: Vec<String>,
    /// Requests of one address: so many per second, after so many at once.
    pub requests_per_second: u32,
    pub burst: u32,
    /// Event streams in all.
    pub max_streams: usize,
    /// Reverse proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpAddr>,
}

impl Default for ApiSection {
    fn default() -> Self {
        Self { listen: None, cors_origins: Vec::new(), requests_per_second: 20, burst: 100, max_streams: 256, trusted_proxies: Vec::new() }
    }
}

/// What needs a person, and where to send it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsSection {
    /// Gets every alert as JSON by POST. May hold a secret token: never logged.
    pub webhook: Option<String>,
    /// Balances of the node's keys, in gwei (10^9 wei), below which somebody should send gas.
    pub low_gas_ethereum_gwei: u64,
    pub low_gas_classic_gwei: u64,
    /// A chain without a new block for this long is out of reach.
    pub silent_chain_seconds: u64,
}

impl Default for AlertsSection {
    fn default() -> Self {
        Self { webhook: None, low_gas_ethereum_gwei: 20_000_000, low_gas_classic_gwei: 500_000_000, silent_chain_seconds: 300 }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KingSection {
    /// Checkpoints are signed at Ethereum blocks that are multiples of this.
    pub ethereum_stride: u64,
    pub classic_stride: u64,
    /// Blocks on top of an ETC block before it is signed.
    pub classic_min_depth: u64,
    /// What an ETC block earns its miner, gwei of ETC: half of it is what undoing a block costs.
    pub classic_block_reward_gwei: u64,
    /// What one GPUTOKEN is worth, gwei of ETC.
    pub token_price_gwei: u64,
    /// Accept one endpoint per chain. Only for a devnet: a single lying node could then forge messages.
    pub single_endpoint: bool,
}

impl Default for KingSection {
    fn default() -> Self {
        Self {
            ethereum_stride: 32,
            classic_stride: 16,
            classic_min_depth: 500,
            classic_block_reward_gwei: 1_638_400_000,
            token_price_gwei: 100_000_000,
            single_endpoint: false,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueenSection {
    /// ETC blocks after which a Queen reports what the provider did not.
    pub report_after_blocks: u64,
}

impl Default for QueenSection {
    fn default() -> Self {
        Self { report_after_blocks: 64 }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSection {
    /// OpenCL device, as `gpumkt bench --list` counts them.
    pub device: usize,
    /// Largest memory of a renter's kernel, MiB.
    pub job_memory_mib: u64,
    /// Longest run of a renter's kernel, seconds.
    pub job_seconds: u64,
    /// What the gas fund on Ethereum Classic is kept at, wei of its coin; 0 leaves it alone.
    pub gas_fund_wei: u64,
    pub containers: ContainersSection,
}

impl Default for ProviderSection {
    fn default() -> Self {
        Self { device: 0, job_memory_mib: 2048, job_seconds: 600, gas_fund_wei: 0, containers: ContainersSection::default() }
    }
}

/// What runs renters' containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerRuntime {
    /// Podman or Docker where one answers, bubblewrap otherwise.
    #[default]
    Auto,
    /// Podman or Docker; the node does not start without one.
    Engine,
    /// The provider's own system, read-only, in a sandbox.
    Bubblewrap,
    /// No containers: renters run bare kernels only.
    None,
}

/// What a container may reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerNetwork {
    /// Its own loopback only.
    #[default]
    None,
    /// The public internet; neither this machine nor private addresses.
    Egress,
    /// Whatever this machine reaches.
    Open,
}

/// Whether a container's root is an ordinary user of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerUsers {
    /// Where the engine can.
    #[default]
    Preferred,
    /// Nothing runs without.
    Required,
    /// For devices that only their group may open.
    Off,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContainersSection {
    pub runtime: ContainerRuntime,
    /// Socket of the engine; searched for where left out.
    pub socket: Option<PathBuf>,
    /// Image of renters who choose none: a registry reference, or the path of an archive.
    pub default_image: Option<String>,
    /// Digests or prefixes of references that renters may choose; empty allows all.
    pub allowed_images: Vec<String>,
    /// Folder with archives (NAME.tar) that renters may choose as local:NAME.
    pub images_dir: Option<PathBuf>,
    /// Largest image, GiB.
    pub max_image_gib: u64,
    pub network: ContainerNetwork,
    pub user_namespace: ContainerUsers,
    /// The GPU by its CDI name, such as nvidia.com/gpu=0; `device_nodes` where there is no CDI specification; neither for a CPU device.
    pub cdi_device: Option<String>,
    pub device_nodes: Vec<PathBuf>,
    pub memory_mib: u64,
    /// Thousandths of a core.
    pub cpu_millis: u32,
    pub processes: u32,
    pub disk_gib: u64,
    /// /dev/shm and /tmp, each.
    pub shm_mib: u64,
    /// Time a renter has to say what to start before the default is started.
    pub launch_wait_seconds: u64,
    /// Hours that files stay after the end of a rental.
    pub keep_files_hours: u64,
    /// Minutes without work after which a renter is told that its device is idle; 0 for never.
    pub idle_warning_minutes: u64,
    /// First and last port of this machine on which renters may publish a port of their container.
    pub public_ports: Option<[u16; 2]>,
    /// Address that these ports are opened on.
    pub public_listen: IpAddr,
    /// Name or address under which everybody reaches them.
    pub public_host: Option<String>,
}

impl Default for ContainersSection {
    fn default() -> Self {
        Self {
            runtime: ContainerRuntime::Auto,
            socket: None,
            default_image: None,
            allowed_images: Vec::new(),
            images_dir: None,
            max_image_gib: 40,
            network: ContainerNetwork::None,
            user_namespace: ContainerUsers::Preferred,
            cdi_device: None,
            device_nodes: Vec::new(),
            memory_mib: 4096,
            cpu_millis: 2000,
            processes: 1024,
            disk_gib: 20,
            shm_mib: 256,
            launch_wait_seconds: 20,
            keep_files_hours: 24,
            idle_warning_minutes: 30,
            public_ports: None,
            public_listen: IpAddr::from([0, 0, 0, 0]),
            public_host: None,
        }
    }
}

/// Which bridge messages a relay pushes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Only those that carry a bridge fee.
    #[default]
    Fee,
    /// Everything, at the relay's own cost.
    All,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelaySection {
    pub deliver: Delivery,
    /// A message goes when its batch earns its gas, or after this time.
    pub max_wait_seconds: u64,
    /// What one GPUTOKEN is worth, gwei of ETH; 0 expects no earnings, so that only the time counts.
    pub token_price_gwei: u64,
    /// Messages of one transaction.
    pub max_batch: usize,
    /// Batches under way at once, per direction.
    pub max_in_flight: usize,
    /// Has the next King set drawn from the stakes when it is time.
    pub rotate_kings: bool,
    /// Has Ethereum Classic told when other Queens sit than it knows of.
    pub seat_queens: bool,
}

impl Default for RelaySection {
    fn default() -> Self {
        Self {
            deliver: Delivery::default(),
            max_wait_seconds: 120,
            token_price_gwei: 0,
            max_batch: 8,
            max_in_flight: 4,
            rotate_kings: true,
            seat_queens: true,
        }
    }
}

impl NodeConfig {
    pub fn chain(&self, kind: ChainKind) -> &ChainSection {
        match kind {
            ChainKind::Ethereum => &self.ethereum,
            ChainKind::Classic => &self.classic,
        }
    }

    pub(super) fn validate(&self, path: &Path) -> Result<(), ConfigError> {
        let invalid = |reason: String| Err(ConfigError::Invalid { path: path.into(), reason });
        for (name, chain) in [("ethereum", &self.ethereum), ("classic", &self.classic)] {
            if chain.rpc.is_empty() {
                return invalid(format!("{name}.rpc names no endpoint"));
            }
            if chain.rpc.iter().map(|url| url.trim_end_matches('/').to_lowercase()).collect::<BTreeSet<_>>().len() != chain.rpc.len() {
                return invalid(format!("{name}.rpc names an endpoint twice: two answers of one node are no quorum"));
            }
            if chain.max_fee_gwei == 0 {
                return invalid(format!("{name}.max_fee_gwei is 0: nothing could be sent"));
            }
            if !(50..=60_000).contains(&chain.poll_ms) {
                return invalid(format!("{name}.poll_ms = {} is outside 50..60000", chain.poll_ms));
            }
        }
        if self.ethereum.chain_id == self.classic.chain_id {
            return invalid("ethereum.chain_id and classic.chain_id are equal".into());
        }
        let containers = &self.provider.containers;
        if containers.cdi_device.is_some() && !containers.device_nodes.is_empty() {
            return invalid("provider.containers names both cdi_device and device_nodes".into());
        }
        if containers.memory_mib < 64 || containers.cpu_millis < 100 || containers.processes < 16 || containers.shm_mib == 0 {
            return invalid(
                "provider.containers leaves a container too little: 64 MiB, 100 cpu_millis, 16 processes and 1 shm_mib at least".into(),
            );
        }
        if !(1..=32).contains(&self.relay.max_batch) || !(1..=12).contains(&self.relay.max_in_flight) {
            return invalid("relay.max_batch must be 1 to 32 and relay.max_in_flight 1 to 12: blocks and nodes take no more".into());
        }
        match (containers.public_ports, &containers.public_host) {
            (Some([first, last]), Some(_)) if first > 0 && first <= last => {}
            (None, None) => {}
            (Some([first, last]), Some(_)) => {
                return invalid(format!("provider.containers.public_ports = [{first}, {last}] is no range of ports"));
            }
            _ => return invalid("provider.containers needs both public_ports and public_host, or neither".into()),
        }
        if let Some(problem) = self.api.problem() {
            return invalid(problem);
        }
        if self.king.ethereum_stride == 0 || self.king.classic_stride == 0 {
            return invalid("king strides must be at least 1".into());
        }
        if self.king.classic_block_reward_gwei == 0 || self.king.token_price_gwei == 0 {
            return invalid(
                "king.classic_block_reward_gwei and king.token_price_gwei must be positive: the depth on ETC follows from them".into(),
            );
        }
        if self.king.single_endpoint && !self.network.local {
            return invalid("king.single_endpoint is for a devnet (network.local): a single lying node could forge messages".into());
        }
        Ok(())
    }
}

impl ApiSection {
    fn problem(&self) -> Option<String> {
        if self.requests_per_second == 0 || self.burst == 0 || self.max_streams > 65_536 {
            return Some("api.requests_per_second and api.burst must be positive, api.max_streams at most 65536".into());
        }
        let wrong = self.cors_origins.iter().find(|origin| *origin != "*" && !is_origin(origin))?;
        Some(format!("api.cors_origins: {wrong:?} is no origin: a scheme and a host, without a path"))
    }
}

/// `https://host` or `http://host:port`, as browsers send it.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.chars().all(|character| character.is_ascii_alphanumeric() || ".-:[]".contains(character))
    })
}
