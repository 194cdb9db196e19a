//! Sends alerts to a URL of the operator's choice, as JSON by POST.

use std::time::Duration;

use reqwest::Url;
use tokio::sync::mpsc;

use super::HttpError;
use crate::{
    task::{Fault, Service, Shutdown},
    telemetry::{Alert, Metrics},
};

/// Time for one attempt. Longer holds up the alerts behind it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses between attempts; after the last one the alert is only in the log.
const PAUSES: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60)];

/// The URL may hold a secret token, so it is never logged.
pub struct Webhook {
    url: Url,
    client: reqwest::Client,
    alerts: mpsc::Receiver<Alert>,
    metrics: Metrics,
}

impl Webhook {
    pub fn new(url: &str, alerts: mpsc::Receiver<Alert>, metrics: Metrics) -> Result<Self, HttpError> {
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "https" | "http")).ok_or(HttpError::WebhookUrl)?;
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
        Ok(Self { url, client: client.map_err(|_| HttpError::WebhookUrl)?, alerts, metrics })
    }

    async fn deliver(&self, alert: &Alert) -> bool {
        match self.client.post(self.url.clone()).json(alert).send().await {
            Ok(answer) => answer.status().is_success(),
            // The error's text would name the URL.
            Err(_) => false,
        }
    }
}

#[async_trait::async_trait]
impl Service for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        while let Some(Some(alert)) = shutdown.or_stop(self.alerts.recv()).await {
            let mut is_delivered = self.deliver(&alert).await;
            for pause in PAUSES {
                if is_delivered || !shutdown.pause(pause).await {
                    break;
                }
                is_delivered = self.deliver(&alert).await;
            }
            self.metrics.event("alert", if is_delivered { "delivered" } else { "lost" });
            if !is_delivered {
                tracing::warn!(alert = alert.alert, "the webhook did not take an alert");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, routing::post};

    use super::*;
    use crate::telemetry::{Alerts, Severity};

    #[tokio::test]
    async fn alerts_arrive_even_if_the_first_attempt_fails() {
        let (seen, mut arrived) = mpsc::channel::<serde_json::Value>(4);
        let attempts = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let handler = post(move |Json(alert): Json<serde_json::Value>| {
            let (seen, attempts) = (seen.clone(), attempts.clone());
            async move {
                if attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                    return axum::http::StatusCode::SERVICE_UNAVAILABLE;
                }
                seen.send(alert).await.unwrap();
                axum::http::StatusCode::OK
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", handler)).await });
        let (alerts, receiver) = Alerts::new();
        let mut webhook = Webhook::new(&url, receiver, Metrics::default()).unwrap();
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let running = tokio::spawn(async move { webhook.run(&stop).await.is_ok() });
        alerts.raise("low_gas", Severity::Warning, "classic", "0.001 ETC left");
        let alert = tokio::time::timeout(Duration::from_secs(30), arrived.recv()).await.unwrap().unwrap();
        assert_eq!((alert["alert"].as_str(), alert["severity"].as_str()), (Some("low_gas"), Some("warning")));
        shutdown.intake.cancel();
        assert!(running.await.unwrap());
        server.abort();
    }

    #[tokio::test]
    async fn other_schemes_are_refused() {
        for url in ["", "file:///etc/passwd", "ftp://x"] {
            assert!(Webhook::new(url, Alerts::new().1, Metrics::default()).is_err(), "{url}");
        }
    }
}
