//! The only module that names alloy's network side: reads, log ranges, signing, broadcasting, receipts. One [`Chain`] per chain.
//!
//! A single read is served by the first endpoint that answers. What a King signs is read with the `agreed_*` functions: a majority of
//! the configured endpoints, at least two, must give the same answer; an endpoint that fails counts as one that does not agree.

mod agreed;
mod endpoint;
mod error;
mod logs;
mod reads;
mod tx;

use std::{sync::Arc, time::Duration};

pub use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::rpc::json_rpc::{ErrorPayload, RpcRecv, RpcSend};
pub use error::ChainError;
pub use logs::{LogBatch, LogEntry, LogQuery, MAX_LOGS};
pub use reads::{BlockInfo, CallInfo};
use serde::{Deserialize, Serialize};
pub use tx::{AccountSigner, Broadcast, Fee, Receipt, SignedTx, TxRequest};

use self::endpoint::{EndpointError, Endpoints};
use crate::{config::NodeConfig, types::ChainKind};

/// How to reach one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    pub kind: ChainKind,
    pub chain_id: u64,
    /// JSON-RPC URLs over HTTP, in order of preference.
    pub rpc: Vec<String>,
    /// Time between two looks at the head, milliseconds. Too small floods the endpoint, too large delays every reaction.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// Time an endpoint has to answer, milliseconds. Too small gives up on a slow node, too large waits for a dead one.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Lets agreed reads pass with one configured endpoint. For tests and private chains only.
    #[serde(default)]
    pub single_endpoint_allowed: bool,
}

fn default_poll_ms() -> u64 {
    250
}

fn default_timeout_ms() -> u64 {
    10_000
}

impl ChainConfig {
    /// As a node's configuration says.
    pub fn of_node(config: &NodeConfig, kind: ChainKind) -> Self {
        let section = match kind {
            ChainKind::Ethereum => &config.ethereum,
            ChainKind::Classic => &config.classic,
        };
        Self {
            poll_ms: section.poll_ms,
            single_endpoint_allowed: config.king.single_endpoint,
            ..Self::new(kind, section.chain_id, section.rpc.clone())
        }
    }

    pub fn new(kind: ChainKind, chain_id: u64, rpc: Vec<String>) -> Self {
        Self { kind, chain_id, rpc, poll_ms: default_poll_ms(), timeout_ms: default_timeout_ms(), single_endpoint_allowed: false }
    }
}

/// A connection to one chain. Cheap to clone.
#[derive(Clone)]
pub struct Chain {
    inner: Arc<Inner>,
}

struct Inner {
    config: ChainConfig,
    endpoints: Endpoints,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("kind", &self.kind()).field("chain_id", &self.chain_id()).finish_non_exhaustive()
    }
}

impl Chain {
    /// Checks the chain id of every endpoint. One that serves another chain is an error; silent ones are tolerated as long as one
    /// answers, and are checked before they are first used.
    pub async fn connect(config: ChainConfig) -> Result<Self, ChainError> {
        let endpoints = Endpoints::new(&config)?;
        let checks = futures::future::join_all(endpoints.all.iter().map(|endpoint| endpoint.verify())).await;
        let mut silent = Vec::new();
        let mut answered = 0;
        for check in checks {
            match check {
                Ok(()) => answered += 1,
                Err(error @ ChainError::Unreachable { .. }) => silent.push(error),
                Err(error) => return Err(error),
            }
        }
        if answered == 0 && !silent.is_empty() {
            return Err(silent.swap_remove(0));
        }
        for error in &silent {
            tracing::warn!(%error, "one endpoint does not answer; others do");
        }
        Ok(Self { inner: Arc::new(Inner { config, endpoints }) })
    }

    /// The machine that an endpoint's URL names; `None` for what is no URL.
    pub fn host_of(url: &str) -> Option<String> {
        url.parse::<alloy::transports::http::reqwest::Url>().ok()?.host_str().map(str::to_lowercase)
    }

    pub fn kind(&self) -> ChainKind {
        self.inner.config.kind
    }

    pub fn chain_id(&self) -> u64 {
        self.inner.config.chain_id
    }

    pub fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.inner.config.poll_ms)
    }

    pub fn config(&self) -> &ChainConfig {
        &self.inner.config
    }

    async fn request<P, R>(&self, method: &'static str, params: P) -> Result<R, ChainError>
    where
        P: RpcSend + Clone,
        R: RpcRecv,
    {
        self.inner.endpoints.request(method, params).await.map_err(|error| self.plain_error(method, error))
    }

    fn plain_error(&self, method: &'static str, error: EndpointError) -> ChainError {
        match error {
            EndpointError::Transport(error) => error,
            EndpointError::Refused(ErrorPayload { code, message, .. }) => {
                ChainError::Rpc { chain: self.kind(), method, code, message: message.into_owned() }
            }
        }
    }
}
