//! What crossed the bridge during a run, read back from the logs of both chains.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use serde::Serialize;

use super::{
    DevnetError,
    network::{DevNetwork, FINAL_AFTER_BLOCKS, STRIDE_BLOCKS},
};
use crate::{
    chain::{Chain, LogQuery},
    client::Clients,
    types::{
        ChainKind,
        abi::{Inbox, Outbox},
    },
};

/// One delivered message on its way. Times are the chains' own, in Unix seconds.
#[derive(Debug, Clone, Serialize)]
pub struct MessageTrip {
    pub message_id: B256,
    pub origin: ChainKind,
    pub dispatched_block: u64,
    /// When a checkpoint with the message could be signed: the first stride block at or after it was final.
    pub final_at: u64,
    pub delivered_block: u64,
    pub delivered_at: u64,
    /// From final at the origin to delivered. A second of rounding on either side can make it negative.
    pub latency_s: i64,
}

/// Everything the bridge's contracts logged that a report shows.
#[derive(Debug, Default)]
pub struct BridgeEvidence {
    /// Kings that signed each accepted checkpoint, by origin and message count.
    pub checkpoint_signers: BTreeMap<String, Vec<String>>,
    /// In the order of their delivery, chain by chain.
    pub messages: Vec<MessageTrip>,
}

impl BridgeEvidence {
    /// Mean over the messages that were final at `nodes_up_at` or later: before, nobody was there to carry them. `None` without any.
    pub fn relay_latency_s(&self, nodes_up_at: u64) -> Option<f64> {
        let carried = self.messages.iter().filter(|message| message.final_at >= nodes_up_at);
        let latencies: Vec<i64> = carried.map(|message| message.latency_s).collect();
        (!latencies.is_empty()).then(|| latencies.iter().sum::<i64>() as f64 / latencies.len() as f64)
    }
}

pub async fn read_bridge(clients: &Clients, network: &DevNetwork) -> Result<BridgeEvidence, DevnetError> {
    let labels = network.accounts.labels();
    let mut members: Vec<Address> = network.book.kings.members.iter().map(|member| member.address).collect();
    members.sort_unstable();
    let mut evidence = BridgeEvidence::default();
    for (here, origin) in [(&clients.ethereum, &clients.classic), (&clients.classic, &clients.ethereum)] {
        let (kind, from_kind) = (here.kind(), origin.kind());
        let sent = dispatched(origin, network).await?;
        let logs = here.logs(&all_of(network.book.bridge(kind).inbox, network, here).await?).await?.logs;
        for log in logs {
            if let Some(event) = log.decode::<Inbox::CheckpointAccepted>() {
                let signed = members.iter().enumerate().filter(|(position, _)| event.signerBitmap.bit(*position));
                let names = signed.map(|(_, member)| labels.get(member).cloned().unwrap_or_else(|| member.to_string())).collect();
                evidence.checkpoint_signers.insert(format!("{from_kind}:{}", event.count), names);
            }
            if let Some(event) = log.decode::<Inbox::MessageDelivered>() {
                let dispatched_block = *sent.get(&event.messageId).ok_or_else(|| DevnetError::Wrong {
                    reason: format!("message {} was delivered on {kind} and never sent on {from_kind}", event.messageId),
                })?;
                let final_at = origin.block(final_with(dispatched_block)).await?.timestamp;
                let delivered_at = here.block(log.block_number).await?.timestamp;
                evidence.messages.push(MessageTrip {
                    message_id: event.messageId,
                    origin: from_kind,
                    dispatched_block,
                    final_at,
                    delivered_block: log.block_number,
                    delivered_at,
                    latency_s: delivered_at.cast_signed() - final_at.cast_signed(),
                });
            }
        }
    }
    Ok(evidence)
}

/// Blocks of all messages sent from `origin`, by id.
async fn dispatched(origin: &Chain, network: &DevNetwork) -> Result<BTreeMap<B256, u64>, DevnetError> {
    let query = all_of(network.book.bridge(origin.kind()).outbox, network, origin).await?;
    let logs = origin.logs(&query).await?.logs;
    let sent = logs.iter().filter_map(|log| Some((log.decode::<Outbox::MessageDispatched>()?.messageId, log.block_number)));
    Ok(sent.collect())
}

async fn all_of(contract: Address, network: &DevNetwork, chain: &Chain) -> Result<LogQuery, DevnetError> {
    let (from, to) = (network.book.start_block(chain.kind()), chain.head().await?.number);
    Ok(LogQuery { addresses: vec![contract], topics: Vec::new(), from, to })
}

/// The block whose arrival makes the stride block that covers `dispatched_block` final.
fn final_with(dispatched_block: u64) -> u64 {
    dispatched_block.next_multiple_of(STRIDE_BLOCKS) + FINAL_AFTER_BLOCKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_final_with_the_stride_block_that_covers_it() {
        assert_eq!(final_with(4), 4 + FINAL_AFTER_BLOCKS);
        assert_eq!(final_with(5), 6 + FINAL_AFTER_BLOCKS);
    }

    #[test]
    fn the_latency_is_the_mean_of_what_the_nodes_carried() {
        let trip = |final_at, delivered_at: u64| MessageTrip {
            message_id: B256::ZERO,
            origin: ChainKind::Ethereum,
            dispatched_block: 1,
            final_at,
            delivered_block: 2,
            delivered_at,
            latency_s: delivered_at.cast_signed() - final_at.cast_signed(),
        };
        let messages = vec![trip(10, 30), trip(20, 21), trip(30, 32)];
        let evidence = BridgeEvidence { messages, ..BridgeEvidence::default() };
        assert_eq!(evidence.relay_latency_s(20), Some(1.5));
        assert_eq!(evidence.relay_latency_s(31), None);
    }
}
