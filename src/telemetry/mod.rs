//! Logs, metrics, health, alerts.

mod alerts;
mod health;
mod logs;
mod metrics;

pub use alerts::{Alert, Alerts, Severity};
pub use health::{Health, HealthReport};
pub use logs::{LogFormat, init_logs, set_log_filter};
pub use metrics::Metrics;
