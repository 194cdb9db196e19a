//! The only module that names axum: liveness, readiness, metrics; the public interface; and the webhook that alerts go to.

pub mod api;
mod webhook;

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
pub use webhook::Webhook;

use crate::{
    task::{Fault, Service, Shutdown},
    telemetry::{Health, Metrics},
    types::Coded,
};

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("alerts.webhook is not an http or https URL")]
    WebhookUrl,
    #[error("the HTTP server stopped: {0}")]
    Serve(#[source] std::io::Error),
}

impl Coded for HttpError {
    fn code(&self) -> &'static str {
        match self {
            HttpError::Listen { .. } => "E-HTTP-001",
            HttpError::Serve(_) => "E-HTTP-002",
            HttpError::WebhookUrl => "E-HTTP-003",
        }
    }

    fn next_step(&self) -> String {
        match self {
            HttpError::Listen { address, .. } => {
                format!("choose another http.listen, or stop the program that uses port {} (`ss -ltnp` names it)", address.port())
            }
            HttpError::Serve(_) => "restart the node".into(),
            HttpError::WebhookUrl => "correct alerts.webhook in the configuration, or leave it out".into(),
        }
    }
}

/// Describes the network at this moment; `None` while it stops.
pub type NetworkReport = Arc<dyn Fn() -> BoxFuture<'static, Option<serde_json::Value>> + Send + Sync>;

#[derive(Clone)]
struct Shared {
    health: Health,
    metrics: Metrics,
    network: Option<NetworkReport>,
}

/// Serves `/healthz`, `/readyz`, `/metrics` and `/network`.
pub struct HttpServer {
    listener: Option<TcpListener>,
    address: SocketAddr,
    shared: Shared,
}

impl HttpServer {
    /// Binds at once, so that a busy port is seen at start.
    pub async fn bind(address: SocketAddr, health: Health, metrics: Metrics) -> Result<Self, HttpError> {
        let listener = TcpListener::bind(address).await.map_err(|source| HttpError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| HttpError::Listen { address, source })?;
        Ok(Self { listener: Some(listener), address, shared: Shared { health, metrics, network: None } })
    }

    /// Serves `/network` too.
    pub fn with_network(mut self, report: NetworkReport) -> Self {
        self.shared.network = Some(report);
        self
    }

    pub fn local_address(&self) -> SocketAddr {
        self.address
    }
}

#[async_trait::async_trait]
impl Service for HttpServer {
    fn name(&self) -> &'static str {
        "http"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(self.address)
                .await
                .map_err(|source| Fault::recover(HttpError::Listen { address: self.address, source }))?,
        };
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readiness))
            .route("/metrics", get(metrics))
            .route("/network", get(network))
            .with_state(self.shared.clone());
        let stop = shutdown.intake.clone();
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await
            .map_err(|error| Fault::recover(HttpError::Serve(error)))
    }
}

async fn readiness(State(shared): State<Shared>) -> impl IntoResponse {
    let report = shared.health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], shared.metrics.encode())
}

async fn network(State(shared): State<Shared>) -> impl IntoResponse {
    let Some(report) = &shared.network else { return Err(StatusCode::NOT_FOUND) };
    report().await.map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_port_is_named() {
        let first = HttpServer::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Health::default(), Metrics::default()).await.unwrap();
        let error = HttpServer::bind(first.local_address(), Health::default(), Metrics::default()).await.err().unwrap();
        assert_eq!(error.code(), "E-HTTP-001");
        assert!(error.next_step().contains(&first.local_address().port().to_string()));
    }
}
