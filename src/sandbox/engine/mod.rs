//! Containers of Podman or Docker, through the Docker-compatible API that both serve.
//!
//! `connect` finds the engine and tells its errors apart, `images` fetches (`reference` says which, `archive` from where), `create`
//! writes down a container, `inspect` reads one back, `cdi` what it gets of the host, `egress` and `firewall` what it reaches, `cgroup` counts what it uses.
//! Nothing is kept here that a restarted node would miss: containers are found again by their labels.

mod archive;
mod cdi;
mod cgroup;
mod connect;
mod create;
mod egress;
mod firewall;
mod images;
mod inspect;
mod ownership;
mod reference;
mod runtime;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Mutex,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use reference::ImagePolicy;

use super::SandboxError;
use crate::types::RentalId;
use connect::{Connector, Engine, NAMESPACE_IDS, Namespace};
use egress::Egress;
use firewall::Firewall;
use images::Images;

const LABEL_RENTAL: &str = "gpumkt.rental";
const LABEL_NODE: &str = "gpumkt.node";

/// What a provider decides about its containers.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Identity of this node. Two nodes on one machine do not see each other's containers.
    pub node: String,
    /// The engine's socket; found in the well-known places where it is absent.
    pub socket: Option<PathBuf>,
    pub default_image: Option<DefaultImage>,
    pub image_policy: ImagePolicy,
    /// Largest image, unpacked. A too small one refuses common images, a too large one lets a renter fill the disk.
    pub max_image_bytes: u64,
    pub user_namespace: UserNamespace,
    /// Where CDI specifications lie; later ones win.
    pub cdi_dirs: Vec<PathBuf>,
    /// Resolvers of containers with the egress policy. They have to be public: everything else is closed to those.
    pub dns: Vec<IpAddr>,
}

impl EngineOptions {
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            socket: None,
            default_image: None,
            image_policy: ImagePolicy::default(),
            max_image_bytes: 32 << 30,
            user_namespace: UserNamespace::default(),
            cdi_dirs: vec!["/etc/cdi".into(), "/var/run/cdi".into()],
            dns: vec![Ipv4Addr::new(1, 1, 1, 1).into(), Ipv4Addr::new(9, 9, 9, 9).into()],
        }
    }
}

/// The image of rentals that name none. The list of allowed images does not apply to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultImage {
    Reference(String),
    Archive(PathBuf),
}

/// Whether a container's root is an ordinary user of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserNamespace {
    /// Where the engine can; otherwise it is named among what is not enforced.
    #[default]
    Preferred,
    /// Nothing runs without.
    Required,
    /// For devices that only their group may open.
    Off,
}

/// Runs containers with the engine of this machine.
pub struct EngineRuntime {
    options: EngineOptions,
    connector: Connector,
    names: Names,
    firewall: Firewall,
    /// Most kills for memory that were seen of each container: the kernel's count goes with the container.
    kills: Mutex<BTreeMap<RentalId, u32>>,
    /// Networks and rules are changed by one rental at a time.
    network_changes: tokio::sync::Mutex<()>,
}

impl EngineRuntime {
    /// Connects with the first call, not here: an engine may be started later.
    pub fn new(options: EngineOptions) -> Self {
        let names = Names::new(&options.node);
        Self {
            connector: Connector::new(options.socket.clone()),
            firewall: Firewall::new(&names.tag, &names.bridges()),
            names,
            options,
            kills: Mutex::default(),
            network_changes: tokio::sync::Mutex::default(),
        }
    }

    /// Removes networks that no container uses, and the packet filter rules with the last one; for a node that goes for good. Rules
    /// that containers depend on stay.
    pub async fn release_egress(&self) -> Result<(), SandboxError> {
        let _alone = self.network_changes.lock().await;
        let engine = self.connector.engine().await?;
        self.egress().release(&engine).await
    }

    fn images(&self) -> Images<'_> {
        Images { connector: &self.connector, policy: Some(&self.options.image_policy), limit_bytes: self.options.max_image_bytes }
    }

    fn egress(&self) -> Egress<'_> {
        Egress { connector: &self.connector, names: &self.names, firewall: &self.firewall }
    }

    /// What to ask the engine for, and whether the container's root will be an ordinary user.
    fn namespace(&self, engine: &Engine) -> Result<(Option<String>, bool), SandboxError> {
        match (&engine.namespace, self.options.user_namespace) {
            (Namespace::Shared { reason }, UserNamespace::Required) => Err(SandboxError::NoUserNamespace { reason: reason.clone() }),
            (Namespace::Shared { .. }, _) => Ok((None, false)),
            // An engine without privileges cannot do without.
            (Namespace::Always { root: None }, _) => Ok((None, true)),
            (_, UserNamespace::Off) => Ok((Some("host".into()), false)),
            (Namespace::Auto, _) => Ok((Some(format!("auto:size={NAMESPACE_IDS}")), true)),
            (Namespace::Always { .. }, _) => Ok((None, true)),
        }
    }
}

/// Names and labels of what a node has in an engine.
#[derive(Debug, Clone)]
struct Names {
    node: String,
    /// Six hexadecimal digits of the node's hash: identities of nodes all begin alike.
    tag: String,
}

impl Names {
    fn new(node: &str) -> Self {
        Self { node: node.to_owned(), tag: hash(node.as_bytes(), 6) }
    }

    fn container(&self, rental: RentalId) -> String {
        format!("gpumkt-{}-{rental}", self.tag)
    }

    fn network(&self, rental: RentalId) -> String {
        self.container(rental)
    }

    /// How the bridges of this node begin.
    fn bridges(&self) -> String {
        format!("gm{}", self.tag)
    }

    /// At most 15 characters, the longest that Linux allows.
    fn bridge(&self, rental: RentalId) -> String {
        format!("{}{}", self.bridges(), hash(&rental.to_be_bytes(), 7))
    }

    fn labels(&self, rental: RentalId) -> HashMap<String, String> {
        HashMap::from([(LABEL_RENTAL.to_owned(), rental.to_string()), (LABEL_NODE.to_owned(), self.node.clone())])
    }

    fn filter(&self) -> String {
        format!("{LABEL_NODE}={}", self.node)
    }

    fn is_own(&self, labels: &HashMap<String, String>) -> bool {
        labels.get(LABEL_NODE) == Some(&self.node)
    }

    fn rental_of(&self, labels: &HashMap<String, String>) -> Option<RentalId> {
        if self.is_own(labels) { labels.get(LABEL_RENTAL)?.parse().ok() } else { None }
    }
}

fn hash(bytes: &[u8], digits: usize) -> String {
    let mut hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.truncate(digits);
    hex
}
