//! Logs, metrics, health.

mod health;
mod logs;
mod metrics;

pub use health::{Health, HealthReport};
pub use logs::{LogFormat, init_logs};
pub use metrics::Metrics;
