//! Ranges of event logs.

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::{Filter, Log, Topic},
    sol_types::SolEvent,
};
use serde::{Deserialize, Serialize};

use super::{
    Chain, ChainError,
    endpoint::{Endpoint, EndpointError},
};

/// Logs after which a query stops early. Too small makes many requests, too large holds much memory at once.
pub const MAX_LOGS: usize = 10_000;
/// Blocks in the first request of a query. Endpoints that allow fewer answer with an error, and the range shrinks.
const MAX_RANGE_BLOCKS: u64 = 2_000;
/// Times an endpoint may fail to answer one query. Many wait long for a dead one, none never finds the range a slow one can serve.
const MAX_SILENCES: u32 = 2;

/// One event as the node stored it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
    pub block_number: u64,
    pub block_hash: B256,
    pub tx_hash: B256,
    pub log_index: u64,
}

impl LogEntry {
    /// `event` as block 1 would hold it.
    #[cfg(test)]
    pub(crate) fn of(event: &impl SolEvent) -> Self {
        let data = event.encode_log_data();
        Self {
            address: Address::ZERO,
            topics: data.topics().to_vec(),
            data: data.data,
            block_number: 1,
            block_hash: B256::ZERO,
            tx_hash: B256::ZERO,
            log_index: 0,
        }
    }

    /// `None` when the log is another event, or not one of `E`'s shape.
    pub fn decode<E: SolEvent>(&self) -> Option<E> {
        if self.topics.first() != Some(&E::SIGNATURE_HASH) {
            return None;
        }
        E::decode_raw_log(self.topics.iter().copied(), &self.data).ok()
    }

    /// `None` for a log of a pending or removed block.
    pub(super) fn from_rpc(log: Log) -> Option<Self> {
        if log.removed {
            return None;
        }
        Some(Self {
            address: log.address(),
            topics: log.topics().to_vec(),
            data: log.inner.data.data.clone(),
            block_number: log.block_number?,
            block_hash: log.block_hash?,
            tx_hash: log.transaction_hash?,
            log_index: log.log_index?,
        })
    }
}

/// Which logs to fetch: all given addresses; per topic position any of the given values, none for no condition.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    pub addresses: Vec<Address>,
    pub topics: Vec<Vec<B256>>,
    pub from: u64,
    pub to: u64,
}

/// Logs of the blocks `from ..= covered_to`, in order.
#[derive(Debug, Clone)]
pub struct LogBatch {
    pub logs: Vec<LogEntry>,
    /// Less than the query's `to` when [`MAX_LOGS`] was reached: ask again from the next block.
    pub covered_to: u64,
    /// Hash of the query's `to` on the endpoint that answered.
    pub to_hash: B256,
}

impl Chain {
    /// Fetches logs from one endpoint that has all blocks of the range (a lagging node would silently leave logs out).
    pub async fn logs(&self, query: &LogQuery) -> Result<LogBatch, ChainError> {
        let mut failure = None;
        for endpoint in self.inner.endpoints.for_logs() {
            match self.logs_from(endpoint, query).await {
                Ok(batch) => return Ok(batch),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| ChainError::Unknown { chain: self.kind(), subject: "logs".into() }))
    }

    /// The endpoint that logs came from left some out, or invented some: the next one is asked first from now on.
    pub fn change_log_endpoint(&self) {
        self.inner.endpoints.change_for_logs();
    }

    async fn logs_from(&self, endpoint: &Endpoint, query: &LogQuery) -> Result<LogBatch, ChainError> {
        let to_hash = endpoint.header(self.kind(), query.to.into()).await?.hash;
        let mut logs: Vec<LogEntry> = Vec::new();
        let mut range = MAX_RANGE_BLOCKS;
        let mut next = query.from;
        let mut silences = 0;
        while next <= query.to && logs.len() < MAX_LOGS {
            let last = next.saturating_add(range - 1).min(query.to);
            let answer = endpoint.request::<_, Vec<Log>>("eth_getLogs", [filter(query, next, last)]).await;
            match answer {
                Ok(found) => {
                    logs.extend(self.checked_logs(found, query, next, last)?);
                    next = last + 1;
                    range = (range * 2).min(MAX_RANGE_BLOCKS);
                }
                // Refused or too slow: half the range, down to one block. Silence is another endpoint's turn soon.
                Err(error) => {
                    silences += u32::from(matches!(error, EndpointError::Transport(_)));
                    if last == next || silences > MAX_SILENCES {
                        return Err(self.plain_error("eth_getLogs", error));
                    }
                    range = (last - next).div_ceil(2);
                }
            }
        }
        Ok(LogBatch { logs, covered_to: next.saturating_sub(1), to_hash })
    }

    fn checked_logs(&self, found: Vec<Log>, query: &LogQuery, from: u64, to: u64) -> Result<Vec<LogEntry>, ChainError> {
        let mut logs: Vec<LogEntry> = found.into_iter().filter_map(LogEntry::from_rpc).collect();
        let asked = |log: &LogEntry| (from..=to).contains(&log.block_number) && query.addresses.contains(&log.address);
        if !logs.iter().all(asked) {
            let reason = "logs outside of the range or of other contracts".into();
            return Err(ChainError::Malformed { chain: self.kind(), subject: "eth_getLogs".into(), reason });
        }
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        Ok(logs)
    }
}

fn filter(query: &LogQuery, from: u64, to: u64) -> Filter {
    let mut filter = Filter::new().address(query.addresses.clone()).from_block(from).to_block(to);
    for (slot, values) in filter.topics.iter_mut().zip(&query.topics) {
        *slot = Topic::from(values.clone());
    }
    filter
}
