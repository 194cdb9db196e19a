//! What the operators of Kings and relays look at and decide. Reads the node's database beside it; decisions are left in its data folder.

use alloy::primitives::{B256, utils::format_ether};
use serde::Serialize;

use super::ClientError;
pub use crate::service::council::Order;
use crate::{
    config::NodeConfig,
    service::{
        commands,
        council::record::SPOKEN,
        delivery::{self, Records, Retry, Stage},
        signer::halt::{self, HALTS, Halt, Resume},
    },
    store::Store,
    types::{ChainKind, wire::StatementSignature},
};

/// One message that a relay has to do with.
#[derive(Debug, Clone, Serialize)]
pub struct MessageRow {
    pub origin: ChainKind,
    pub index: u32,
    pub stage: Stage,
    /// Unix seconds.
    pub first_seen: u64,
    pub attempts: u32,
    /// Unix seconds; 0 for at once.
    pub not_before: u64,
    pub last_error: Option<String>,
    pub transaction: Option<B256>,
    /// Coins of the destination.
    pub cost_coin: String,
}

/// What keeps this King from signing, per chain.
pub fn halts(config: &NodeConfig) -> Result<Vec<Halt>, ClientError> {
    let store = open(config)?;
    let mut found = Vec::new();
    for kind in ChainKind::BOTH {
        found.extend(store.get(&HALTS, &config.chain(kind).chain_id)?);
    }
    Ok(found)
}

/// Tells the King that somebody has looked at this halt, and that it shall go on.
pub fn resume(config: &NodeConfig, halt: &Halt) -> Result<(), ClientError> {
    leave(config, &halt::command_name(halt.origin), &Resume { halt: halt.clone() })
}

/// Leaves an order for the King: it signs it when it next looks, and raises an alert if it never will.
pub fn order(config: &NodeConfig, order: Order) -> Result<(), ClientError> {
    leave(config, order.name(), &order)
}

/// Rotations, recoveries and pauses that this King has signed.
pub fn statements(config: &NodeConfig) -> Result<Vec<StatementSignature>, ClientError> {
    Ok(open(config)?.scan(&SPOKEN, None, usize::MAX)?.into_iter().map(|(_, signed)| signed).collect())
}

/// Messages that are under way, failed or were brought, in the order of their indices; without `all` only those that are not delivered.
pub fn messages(config: &NodeConfig, all: bool) -> Result<Vec<MessageRow>, ClientError> {
    let store = open(config)?;
    let mut rows = Vec::new();
    for origin in ChainKind::BOTH {
        let records = Records { store: store.clone(), origin: config.chain(origin).chain_id };
        let messages = records.messages()?.into_iter().filter(|(_, record)| all || record.stage != Stage::Delivered);
        rows.extend(messages.map(|(index, record)| MessageRow {
            origin,
            index,
            stage: record.stage,
            first_seen: record.first_seen,
            attempts: record.attempts,
            not_before: record.not_before,
            last_error: record.last_error,
            transaction: record.transaction,
            cost_coin: format_ether(record.cost_wei),
        }));
    }
    Ok(rows)
}

/// Tells the relay to try these messages again now; all dead letters of the origin without indices.
pub fn retry(config: &NodeConfig, origin: ChainKind, indices: Option<Vec<u32>>) -> Result<(), ClientError> {
    leave(config, &delivery::command_name(origin), &Retry { indices })
}

fn open(config: &NodeConfig) -> Result<Store, ClientError> {
    Ok(Store::open_read_only(&config.data_dir.join("db"))?)
}

fn leave<T: Serialize>(config: &NodeConfig, name: &str, command: &T) -> Result<(), ClientError> {
    commands::leave(&config.data_dir, name, command).map_err(|source| ClientError::File { path: config.data_dir.clone(), source })
}
