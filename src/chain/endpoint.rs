//! One JSON-RPC endpoint, and the order in which endpoints are tried.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use alloy::{
    primitives::U64,
    rpc::{
        client::RpcClient,
        json_rpc::{ErrorPayload, RpcRecv, RpcSend},
    },
    transports::{
        RpcError, TransportErrorKind,
        http::{Http, reqwest},
    },
};

use super::{ChainConfig, ChainError};
use crate::types::ChainKind;

/// Why one endpoint gave no answer.
pub(super) enum EndpointError {
    /// The endpoint is to blame: another one may answer.
    Transport(ChainError),
    /// The node answered with a JSON-RPC error: every honest node would.
    Refused(ErrorPayload),
}

/// A node's URL with its client. The chain id is checked before the first use and after every failure.
pub(super) struct Endpoint {
    client: RpcClient,
    /// Host and port only: a path or user part may hold a secret.
    pub(super) name: String,
    chain: ChainKind,
    chain_id: u64,
    verified: AtomicBool,
}

impl Endpoint {
    fn new(config: &ChainConfig, position: usize, url: &str) -> Result<Self, ChainError> {
        let invalid = |reason: String| ChainError::InvalidUrl { chain: config.kind, position, reason };
        let url: reqwest::Url = url.parse().map_err(|error| invalid(format!("{error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(format!("scheme {:?} is not http or https", url.scheme())));
        }
        let host = url.host_str().unwrap_or_default();
        let name = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let http = reqwest::Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        let client = RpcClient::new(Http::with_client(http, url), false);
        Ok(Self { client, name, chain: config.kind, chain_id: config.chain_id, verified: AtomicBool::new(false) })
    }

    /// Asks for the chain id unless it is known to be right.
    pub(super) async fn verify(&self) -> Result<(), ChainError> {
        if self.verified.load(Ordering::Acquire) {
            return Ok(());
        }
        let answer = self.client.request_noparams::<U64>("eth_chainId").await;
        let found = answer.map_err(|error| self.unreachable(&error))?.to::<u64>();
        if found != self.chain_id {
            let endpoint = self.name.clone();
            return Err(ChainError::WrongChainId { chain: self.chain, endpoint, expected: self.chain_id, found });
        }
        self.verified.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) async fn request<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, EndpointError> {
        self.verify().await.map_err(EndpointError::Transport)?;
        match self.client.request(method, params).await {
            Ok(answer) => Ok(answer),
            Err(RpcError::ErrorResp(payload)) if !payload.is_retry_err() => Err(EndpointError::Refused(payload)),
            Err(RpcError::DeserError { err, .. }) => Err(EndpointError::Transport(ChainError::Malformed {
                chain: self.chain,
                subject: method.into(),
                reason: format!("{}: {err}", self.name),
            })),
            Err(error) => {
                // Whatever answers at this address later may be another chain.
                self.verified.store(false, Ordering::Release);
                Err(EndpointError::Transport(self.unreachable(&error)))
            }
        }
    }

    fn unreachable(&self, error: &RpcError<TransportErrorKind>) -> ChainError {
        // The text of a transport error may repeat the whole URL.
        let reason = match error {
            RpcError::Transport(TransportErrorKind::HttpError(http)) => format!("HTTP status {}", http.status),
            RpcError::Transport(TransportErrorKind::Custom(source)) => describe(source.as_ref()),
            RpcError::ErrorResp(payload) => format!("error {}: {}", payload.code, payload.message),
            _ => "the answer is not JSON-RPC".into(),
        };
        ChainError::Unreachable { chain: self.chain, endpoint: self.name.clone(), reason }
    }
}

fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let Some(http) = error.downcast_ref::<reqwest::Error>() else { return "connection failed".into() };
    if http.is_timeout() {
        "no answer in time".into()
    } else if http.is_connect() {
        "connection refused or host unknown".into()
    } else {
        "connection failed".into()
    }
}

/// All endpoints of a chain; reads start at the one that answered last.
pub(super) struct Endpoints {
    pub(super) all: Vec<Endpoint>,
    preferred: AtomicUsize,
    /// Where log queries start.
    first_for_logs: AtomicUsize,
}

impl Endpoints {
    pub(super) fn new(config: &ChainConfig) -> Result<Self, ChainError> {
        if config.rpc.is_empty() {
            return Err(ChainError::InvalidUrl { chain: config.kind, position: 0, reason: "the list is empty".into() });
        }
        let all = config.rpc.iter().enumerate().map(|(position, url)| Endpoint::new(config, position, url)).collect::<Result<_, _>>()?;
        Ok(Self { all, preferred: AtomicUsize::new(0), first_for_logs: AtomicUsize::new(0) })
    }

    /// All endpoints, the one that logs are read from first.
    pub(super) fn for_logs(&self) -> impl Iterator<Item = &Endpoint> {
        let first = self.first_for_logs.load(Ordering::Relaxed) % self.all.len().max(1);
        self.all[first..].iter().chain(&self.all[..first])
    }

    pub(super) fn prefer(&self, position: usize) {
        self.preferred.store(position, Ordering::Relaxed);
    }

    pub(super) fn change_for_logs(&self) {
        self.first_for_logs.fetch_add(1, Ordering::Relaxed);
    }

    /// First answer of any endpoint. A refusal by a node is an answer.
    pub(super) async fn request<P, R>(&self, method: &'static str, params: P) -> Result<R, EndpointError>
    where
        P: RpcSend + Clone,
        R: RpcRecv,
    {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for offset in 0..self.all.len() {
            let position = (first + offset) % self.all.len();
            match self.all[position].request(method, params.clone()).await {
                Err(EndpointError::Transport(error)) => {
                    tracing::debug!(%error, method, "endpoint failed");
                    // A wrong chain id explains more than the silence of the others.
                    if !matches!(failure, Some(ChainError::WrongChainId { .. })) {
                        failure = Some(error);
                    }
                }
                answered => {
                    self.preferred.store(position, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        let nobody = || ChainError::InvalidUrl { chain: self.all[0].chain, position: 0, reason: "the list is empty".into() };
        Err(EndpointError::Transport(failure.unwrap_or_else(nobody)))
    }
}
