//! When a block may be signed.

use crate::{
    rules::finality::{DepthPolicy, Outflow},
    service::index::SentMessage,
    types::{
        AddressBook, ChainKind,
        bridge::{Body, WorkReport},
    },
};

#[derive(Debug, Clone, Copy)]
pub struct Finality {
    /// Only multiples of this are signed.
    pub stride: u64,
    /// Blocks on top, where the chain has no finalized tag.
    pub depth: DepthPolicy,
}

impl Finality {
    /// `newest` is the finalized block of Ethereum, the head of Ethereum Classic.
    pub(super) fn is_deep_enough(&self, chain: ChainKind, block: u64, newest: u64, outflows: &[Outflow]) -> bool {
        let depth = match chain {
            ChainKind::Ethereum => 0,
            ChainKind::Classic => self.depth.depth(outflows.iter().copied(), block),
        };
        block.checked_add(depth).is_some_and(|ready| ready <= newest)
    }
}

/// What messages let out on the other chain. Anybody can send a message that looks like a report: only those of WorkVerification pay.
pub(super) fn outflows(sent: &[SentMessage], book: &AddressBook) -> Vec<Outflow> {
    let reports = sent.iter().filter(|sent| sent.message.sender == book.classic.work_verification);
    let worth = reports.filter_map(|sent| match sent.message.decode_body()? {
        Body::WorkReport(report) => Some(Outflow { block: sent.block_number, value_wei: due_value_wei(&report) }),
        _ => None,
    });
    worth.filter(|outflow| outflow.value_wei > 0).collect()
}

/// Cumulative sums are in the reports; what became due with this one is what a forged history could take.
fn due_value_wei(report: &WorkReport) -> u128 {
    u128::from(report.verifiedSeconds)
}
