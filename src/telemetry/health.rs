//! What `/readyz` answers: every component says whether it is ready and why not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// Shared by all services of a process.
#[derive(Debug, Clone, Default)]
pub struct Health {
    components: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    pub ready: bool,
    /// Component to the reason why it is not ready; `null` when it is.
    pub components: BTreeMap<&'static str, Option<String>>,
}

impl Health {
    pub fn ready(&self, component: &'static str) {
        self.lock().insert(component, None);
    }

    pub fn not_ready(&self, component: &'static str, reason: impl Into<String>) {
        self.lock().insert(component, Some(reason.into()));
    }

    pub fn report(&self) -> HealthReport {
        let components = self.lock().clone();
        HealthReport { ready: !components.is_empty() && components.values().all(Option::is_none), components }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        self.components.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_only_when_every_component_is() {
        let health = Health::default();
        assert!(!health.report().ready, "a node that checked nothing is not ready");
        health.ready("store");
        health.not_ready("ethereum", "no endpoint answers");
        assert!(!health.report().ready);
        health.ready("ethereum");
        assert!(health.report().ready);
    }
}
