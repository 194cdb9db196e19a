//! What needs a person: raised anywhere, logged always, sent on where somebody asked for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio::sync::mpsc;

/// Alerts that wait to be sent. More would be old news by the time they arrive.
const QUEUE: usize = 64;
/// The same alert is not repeated earlier: whoever is woken once needs no reminder per block.
const QUIET: Duration = Duration::from_secs(3_600);
/// Kinds remembered at a time.
const MAX_RECENT: usize = 1_024;

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Money or reputation is being lost.
    Critical,
    /// It will be, if nobody acts.
    Warning,
    Info,
}

/// One message for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub schema_version: u32,
    /// Stable name, such as `low_gas`.
    pub alert: &'static str,
    pub severity: Severity,
    /// What it is about: a chain, a rental, a device.
    pub subject: String,
    pub message: String,
    /// Unix seconds.
    pub at: u64,
}

/// Cloneable; dropping all receivers leaves the logging.
#[derive(Debug, Clone)]
pub struct Alerts {
    sender: mpsc::Sender<Alert>,
    recent: Arc<Mutex<BTreeMap<(&'static str, String), Instant>>>,
}

impl Alerts {
    pub fn new() -> (Self, mpsc::Receiver<Alert>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, recent: Arc::default() }, receiver)
    }

    /// Logs and queues; the same alert about the same subject is quiet for an hour.
    pub fn raise(&self, alert: &'static str, severity: Severity, subject: impl Into<String>, message: impl Into<String>) {
        let (subject, message) = (subject.into(), message.into());
        if !self.is_news(alert, &subject) {
            return;
        }
        match severity {
            Severity::Critical => tracing::error!(alert, subject, "{message}"),
            Severity::Warning => tracing::warn!(alert, subject, "{message}"),
            Severity::Info => tracing::info!(alert, subject, "{message}"),
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let queued = self.sender.try_send(Alert { schema_version: 1, alert, severity, subject, message, at });
        if let Err(mpsc::error::TrySendError::Full(lost)) = queued {
            tracing::warn!(alert = lost.alert, "too many alerts wait to be sent, this one is only logged");
        }
    }

    fn is_news(&self, alert: &'static str, subject: &str) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, raised| raised.elapsed() < QUIET);
        if recent.len() >= MAX_RECENT || recent.contains_key(&(alert, subject.to_string())) {
            return false;
        }
        recent.insert((alert, subject.to_string()), Instant::now());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_alert_is_told_once() {
        let (alerts, mut receiver) = Alerts::new();
        for _ in 0..3 {
            alerts.raise("low_gas", Severity::Warning, "classic", "0.001 left");
        }
        alerts.raise("low_gas", Severity::Warning, "ethereum", "0.002 left");
        assert_eq!(receiver.try_recv().unwrap().subject, "classic");
        assert_eq!(receiver.try_recv().unwrap().subject, "ethereum");
        assert!(receiver.try_recv().is_err());
    }
}
