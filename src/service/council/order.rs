//! What an operator orders: a recovery, a pause. Signed by this King alone; it takes effect once enough Kings were ordered the same.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{service::commands, types::ChainKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// After a reorganisation of `origin` below what Kings had signed: a new epoch. Without a count it is the King that finds it.
    Recover { origin: ChainKind, fork_count: Option<u32> },
    /// Nothing of `origin` is accepted or delivered before `until`, Unix seconds.
    Pause { origin: ChainKind, until: u64 },
    /// Credits that reports created stay in GPURental before `until`.
    Withdrawals { until: u64 },
}

/// Names under which orders are left; one of each kind waits at a time.
const NAMES: [&str; 5] = ["recover-ethereum", "recover-classic", "pause-ethereum", "pause-classic", "pause-withdrawals"];

impl Order {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Recover { origin: ChainKind::Ethereum, .. } => NAMES[0],
            Self::Recover { origin: ChainKind::Classic, .. } => NAMES[1],
            Self::Pause { origin: ChainKind::Ethereum, .. } => NAMES[2],
            Self::Pause { origin: ChainKind::Classic, .. } => NAMES[3],
            Self::Withdrawals { .. } => NAMES[4],
        }
    }

    /// Orders that wait in the data folder.
    pub fn waiting(data_dir: &Path) -> Vec<Self> {
        NAMES.iter().filter_map(|name| commands::waiting(data_dir, name).filter(|order: &Self| order.name() == *name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_waits_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let recover = Order::Recover { origin: ChainKind::Classic, fork_count: Some(3) };
        let hold = Order::Withdrawals { until: 9 };
        for order in [recover, hold] {
            commands::leave(folder.path(), order.name(), &order).unwrap();
        }
        assert_eq!(Order::waiting(folder.path()), [recover, hold]);
        commands::leave(folder.path(), NAMES[2], &recover).unwrap();
        assert_eq!(Order::waiting(folder.path()).len(), 2, "a file that says something else than its name is no order");
    }
}
