//! Metrics in the OpenMetrics text format. Names are a tested interface: dashboards and end-to-end checks read them.

use std::sync::{Arc, Mutex, PoisonError, atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PairLabels {
    name: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    origin: String,
    stage: String,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// Cloneable handle; every clone writes to the same registry.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    restarts: Family<ServiceLabels, Counter>,
    chain_head: Family<NameLabel, Gauge>,
    queue_length: Family<NameLabel, Gauge>,
    events: Family<PairLabels, Counter>,
    balance: Family<NameLabel, FloatGauge>,
    stage: Family<NameLabel, Histogram>,
    bridge_index: Family<StageLabels, Gauge>,
    reorg_depth: Family<NameLabel, Gauge>,
    solvency: Family<NameLabel, FloatGauge>,
    message_cost: Family<NameLabel, FloatGauge>,
    pending_age: Family<NameLabel, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gpumkt");
        let restarts = Family::default();
        let chain_head = Family::default();
        let queue_length = Family::default();
        let events = Family::default();
        let balance = Family::default();
        let stage = Family::<NameLabel, Histogram>::new_with_constructor(stage_histogram);
        registry.register("service_restarts", "Restarts of a service by error code", restarts.clone());
        registry.register("chain_head", "Latest block number seen, by chain", chain_head.clone());
        registry.register("queue_length", "Entries waiting, by queue", queue_length.clone());
        registry.register("events", "Things that happened, by name and outcome", events.clone());
        registry.register("balance_coin", "Coin balance of a wallet in whole coins, by chain", balance.clone());
        registry.register_with_unit("stage", "Time spent in a stage of the work", Unit::Seconds, stage.clone());
        let bridge_index = Family::default();
        let reorg_depth = Family::default();
        let solvency = Family::default();
        let message_cost = Family::default();
        let pending_age = Family::default();
        registry.register("bridge_count", "Messages of an origin that got as far as a stage", bridge_index.clone());
        registry.register("reorg_depth_blocks", "Depth of the last reorganisation, by chain", reorg_depth.clone());
        registry.register("solvency_margin_token", "Tokens that a contract holds beyond what it owes", solvency.clone());
        registry.register("message_cost_coin", "What the last delivered message cost, by destination", message_cost.clone());
        registry.register_with_unit("pending_age", "Age of the oldest undelivered message, by queue", Unit::Seconds, pending_age.clone());
        Self {
            registry: Arc::new(Mutex::new(registry)),
            restarts,
            chain_head,
            queue_length,
            events,
            balance,
            stage,
            bridge_index,
            reorg_depth,
            solvency,
            message_cost,
            pending_age,
        }
    }
}

fn stage_histogram() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

impl Metrics {
    pub fn service_restarts(&self, service: &str, code: &str) {
        self.restarts.get_or_create(&ServiceLabels { service: service.into(), code: code.into() }).inc();
    }

    pub fn chain_head(&self, chain: &str, number: u64) {
        self.chain_head.get_or_create(&NameLabel { name: chain.into() }).set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    pub fn queue_length(&self, queue: &str, length: usize) {
        self.queue_length.get_or_create(&NameLabel { name: queue.into() }).set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// Counts `name` with `outcome`, such as `("checkpoint", "signed")`.
    pub fn event(&self, name: &str, outcome: &str) {
        self.events.get_or_create(&PairLabels { name: name.into(), outcome: outcome.into() }).inc();
    }

    pub fn balance(&self, chain: &str, coins: f64) {
        self.balance.get_or_create(&NameLabel { name: chain.into() }).set(coins);
    }

    pub fn stage_seconds(&self, stage: &str, seconds: f64) {
        self.stage.get_or_create(&NameLabel { name: stage.into() }).observe(seconds);
    }

    /// Messages of `origin` that are seen, signed, accepted or delivered.
    pub fn bridge_count(&self, origin: &str, stage: &str, count: u32) {
        self.bridge_index.get_or_create(&StageLabels { origin: origin.into(), stage: stage.into() }).set(i64::from(count));
    }

    pub fn reorg_depth(&self, chain: &str, blocks: u64) {
        self.reorg_depth.get_or_create(&NameLabel { name: chain.into() }).set(i64::try_from(blocks).unwrap_or(i64::MAX));
    }

    /// Negative means that the contract owes more than it holds.
    pub fn solvency_margin(&self, contract: &str, tokens: f64) {
        self.solvency.get_or_create(&NameLabel { name: contract.into() }).set(tokens);
    }

    pub fn message_cost(&self, destination: &str, coins: f64) {
        self.message_cost.get_or_create(&NameLabel { name: destination.into() }).set(coins);
    }

    pub fn pending_age(&self, queue: &str, seconds: u64) {
        self.pending_age.get_or_create(&NameLabel { name: queue.into() }).set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Lets an adapter that brings its own metrics register them.
    pub fn with_registry<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The whole registry as text, for `/metrics`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        match text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(error) => format!("# encoding failed: {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_dashboards_read() {
        let metrics = Metrics::default();
        metrics.event("checkpoint", "signed");
        metrics.chain_head("classic", 7);
        let text = metrics.encode();
        assert!(text.contains("gpumkt_events_total{name=\"checkpoint\",outcome=\"signed\"} 1"), "{text}");
        assert!(text.contains("gpumkt_chain_head{name=\"classic\"} 7"), "{text}");
    }

    /// Every metric once, as `/metrics` shows it.
    fn exported() -> String {
        let metrics = Metrics::default();
        metrics.service_restarts("service", "E-X-001");
        metrics.chain_head("chain", 1);
        metrics.queue_length("queue", 1);
        metrics.event("event", "outcome");
        metrics.balance("chain", 1.0);
        metrics.stage_seconds("stage", 1.0);
        metrics.bridge_count("chain", "stage", 1);
        metrics.reorg_depth("chain", 1);
        metrics.solvency_margin("contract", 1.0);
        metrics.message_cost("chain", 1.0);
        metrics.pending_age("queue", 1);
        metrics.encode()
    }

    /// All Rust source of the crate, where names of events and stages are written out.
    fn source(folder: &std::path::Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                source(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn dashboards_and_alerts_ask_for_what_there_is() {
        let exported = exported();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut code = String::new();
        source(&root.join("src"), &mut code);
        for file in ["alerts.yml", "dashboard.json"] {
            let text = std::fs::read_to_string(root.join("config/monitoring").join(file)).unwrap().replace("\\\"", "\"");
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let metrics: Vec<&str> = words.filter(|word| word.starts_with("gpumkt_")).collect();
            assert!(metrics.len() > 10, "{file}");
            for metric in metrics {
                assert!(exported.contains(&format!("\n{metric}{{")), "{file} asks for {metric}");
            }
            for (label, call) in [("gpumkt_events_total{name=\"", "event("), ("gpumkt_stage_seconds_bucket{name=\"", "stage_seconds(")] {
                for rest in text.split(label).skip(1) {
                    let name = rest.split('"').next().unwrap();
                    let written = code.contains(&format!("{call}\"{name}\""));
                    assert!(written || code.contains(&format!("\"{name}\",")), "{file} asks for {name}");
                }
            }
        }
    }
}
