//! Reads the configuration again on SIGHUP and applies what can change under a running node.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{
    config::{AlertsSection, NodeConfig},
    task::{Fault, Service, Shutdown, TaskError},
    telemetry::set_log_filter,
    types::Coded,
};

pub struct ReloadService {
    /// What holds now.
    config: NodeConfig,
    alerts: watch::Sender<AlertsSection>,
    hangups: Signal,
}

impl ReloadService {
    /// From now on SIGHUP no longer ends the process.
    pub fn new(config: NodeConfig, alerts: watch::Sender<AlertsSection>) -> Result<Self, TaskError> {
        let hangups = signal(SignalKind::hangup()).map_err(TaskError::Signals)?;
        Ok(Self { config, alerts, hangups })
    }

    /// All or nothing: a file with a fault changes nothing.
    fn reload(&mut self) {
        let new = match self.config.reload() {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(code = error.code(), %error, "the configuration was not read again: {}", error.next_step());
                return;
            }
        };
        if new.log.filter != self.config.log.filter {
            if let Err(reason) = set_log_filter(&new.log.filter) {
                tracing::error!(filter = new.log.filter, reason, "the log filter cannot be used; nothing was changed");
                return;
            }
            self.config.log.filter.clone_from(&new.log.filter);
            tracing::debug!(filter = new.log.filter, "the log filter was changed");
        }
        // The address of the webhook is opened once, at the start.
        let webhook = self.config.alerts.webhook.clone();
        self.config.alerts = AlertsSection { webhook, ..new.alerts.clone() };
        self.alerts.send_replace(self.config.alerts.clone());
        let waiting = self.differing(&new);
        if waiting.is_empty() {
            tracing::info!("the configuration was read again");
        } else {
            tracing::warn!(keys = waiting.join(" "), "the configuration was read again; these changes need a restart");
        }
    }

    /// Keys, or sections of them, whose new values do not hold yet.
    fn differing(&self, new: &NodeConfig) -> Vec<String> {
        let (Ok(old), Ok(new)) = (toml::Table::try_from(&self.config), toml::Table::try_from(new)) else {
            return Vec::new();
        };
        let mut keys = Vec::new();
        for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
            match (old.get(key), new.get(key)) {
                (Some(toml::Value::Table(old)), Some(toml::Value::Table(new))) => {
                    let inner = old.keys().chain(new.keys().filter(|inner| !old.contains_key(*inner)));
                    keys.extend(inner.filter(|inner| old.get(*inner) != new.get(*inner)).map(|inner| format!("{key}.{inner}")));
                }
                (old, new) if old != new => keys.push(key.clone()),
                _ => {}
            }
        }
        keys
    }
}

#[async_trait::async_trait]
impl Service for ReloadService {
    fn name(&self) -> &'static str {
        "reload"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        while shutdown.or_stop(self.hangups.recv()).await.flatten().is_some() {
            self.reload();
        }
        Ok(())
    }
}
