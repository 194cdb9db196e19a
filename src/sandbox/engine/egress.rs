//! The network of containers that reach the public internet and nothing else.
//!
//! Each rental has a bridge of its own, so that renters do not reach each other either: what passes within one bridge passes no
//! packet filter.

use std::{collections::HashMap, net::IpAddr, path::Path};

use bollard::{errors::Error, models::NetworkCreateRequest, query_parameters::ListNetworksOptionsBuilder};

use super::{
    super::SandboxError,
    Names,
    connect::{Connector, Engine, is_absent},
    firewall::{self, Firewall},
    inspect::Container,
};
use crate::types::RentalId;

pub struct Egress<'a> {
    pub connector: &'a Connector,
    pub names: &'a Names,
    pub firewall: &'a Firewall,
}

fn refuse(reason: impl Into<String>) -> SandboxError {
    SandboxError::Egress { reason: reason.into() }
}

/// Resolvers as the engine wants them. One that the rules close would only be found out by the renter.
pub fn resolvers(dns: &[IpAddr]) -> Result<Vec<String>, SandboxError> {
    match dns.iter().find(|address| !address.is_ipv4() || !firewall::is_public(**address)) {
        Some(closed) => Err(refuse(format!("the resolver {closed} is not a public IPv4 address"))),
        None if dns.is_empty() => Err(refuse("no resolver is configured")),
        None => Ok(dns.iter().map(IpAddr::to_string).collect()),
    }
}

impl Egress<'_> {
    /// Whether the policy can be enforced; leaves no rules where no network needs them.
    pub async fn probe(&self, engine: &Engine) -> Result<(), SandboxError> {
        check_engine(engine)?;
        self.firewall.install().await.map_err(refuse)?;
        if self.networks(engine).await?.is_empty() {
            self.firewall.remove().await;
        }
        Ok(())
    }

    /// Rules first, then the network: it never exists without them.
    pub async fn prepare(&self, engine: &Engine, rental: RentalId) -> Result<String, SandboxError> {
        check_engine(engine)?;
        let tool = self.firewall.install().await.map_err(refuse)?;
        tracing::debug!(rental, ?tool, "egress rules are in place");
        let name = self.names.network(rental);
        // One that is left over may have been made with other options, and engines do not tell with which.
        self.remove_network(engine, rental).await?;
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".into()),
            internal: Some(false),
            enable_ipv6: Some(false),
            labels: Some(self.names.labels(rental)),
            options: Some(HashMap::from([
                ("com.docker.network.bridge.name".to_owned(), self.names.bridge(rental)),
                ("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned()),
            ])),
            ..NetworkCreateRequest::default()
        };
        engine.docker.create_network(request).await.map_err(|error| self.connector.fault("make a network", error))?;
        Ok(name)
    }

    /// Holds a running container against what was asked for: attached to its own bridge, which the rules match, and to nothing else.
    pub async fn verify(&self, container: &Container, rental: RentalId) -> Result<(), SandboxError> {
        let networks = container.networks();
        if networks != [&self.names.network(rental)] {
            return Err(refuse(format!("the engine attached the container to {networks:?}")));
        }
        let bridge = self.names.bridge(rental);
        if !Path::new("/sys/class/net").join(&bridge).join("bridge").exists() {
            return Err(refuse(format!("the engine made no bridge {bridge} on this machine")));
        }
        self.firewall.install().await.map(drop).map_err(refuse)
    }

    /// Puts the rules back if somebody took them away while containers depend on them.
    pub async fn keep(&self, engine: &Engine) -> Result<(), SandboxError> {
        if !self.networks(engine).await?.is_empty() {
            self.firewall.install().await.map_err(refuse)?;
        }
        Ok(())
    }

    /// Removes the network of a rental, and the rules with the last one.
    pub async fn discard(&self, engine: &Engine, rental: RentalId) -> Result<(), SandboxError> {
        if self.remove_network(engine, rental).await? && self.networks(engine).await?.is_empty() {
            self.firewall.remove().await;
        }
        Ok(())
    }

    /// Whether there was one.
    async fn remove_network(&self, engine: &Engine, rental: RentalId) -> Result<bool, SandboxError> {
        match engine.docker.remove_network(&self.names.network(rental)).await {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            // Some versions of Podman answer 500 for what does not exist.
            Err(Error::DockerResponseServerError { message, .. }) if message.contains("not found") => Ok(false),
            Err(error) => Err(self.connector.fault("remove a network", error)),
        }
    }

    /// Removes networks without containers, and the rules unless a network is left.
    pub async fn release(&self, engine: &Engine) -> Result<(), SandboxError> {
        for network in self.networks(engine).await? {
            if let Err(error) = engine.docker.remove_network(&network).await {
                tracing::debug!(network, %error, "the network stays");
            }
        }
        if self.networks(engine).await?.is_empty() {
            self.firewall.remove().await;
        }
        Ok(())
    }

    async fn networks(&self, engine: &Engine) -> Result<Vec<String>, SandboxError> {
        let filters = HashMap::from([("label", vec![self.names.filter()])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = engine.docker.list_networks(Some(options)).await.map_err(|error| self.connector.fault("list networks", error))?;
        let own = |labels: &Option<HashMap<String, String>>| labels.as_ref().is_some_and(|labels| self.names.is_own(labels));
        Ok(networks.into_iter().filter(|network| own(&network.labels)).filter_map(|network| network.name).collect())
    }
}

fn check_engine(engine: &Engine) -> Result<(), SandboxError> {
    if engine.is_rootless {
        return Err(refuse("the engine runs without privileges: its containers' packets do not pass this machine's filter"));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(refuse("the node is not root and cannot set packet filter rules"));
    }
    Ok(())
}
