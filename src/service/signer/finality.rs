//! When a block may be signed.

use crate::{
    rules::finality::{DepthPolicy, Outflow},
    service::index::SentMessage,
    types::{
        AddressBook, ChainKind,
        bridge::{Body, BridgeMessage},
    },
};

/// Kind byte of a WorkReport. docs/protocol.md section 8.
const WORK_REPORT: u8 = 16;

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
    let worth = reports.map(|sent| Outflow { block: sent.block_number, value_wei: due_value_wei(&sent.message) });
    worth.filter(|outflow| outflow.value_wei > 0).collect()
}

/// What becomes due with a report, wei of GPUTOKEN. A report that this build cannot read is worth everything: it waits.
fn due_value_wei(message: &BridgeMessage) -> u128 {
    match message.decode_body() {
        Some(Body::WorkReport(report)) => report.value,
        None if message.body.first() == Some(&WORK_REPORT) => u128::MAX,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, Bytes};

    use super::*;
    use crate::types::bridge::WorkReport;

    #[test]
    fn a_report_is_worth_what_it_makes_due() {
        let report = WorkReport {
            rentalId: 1,
            termsVersion: 1,
            coveredUntil: 2,
            verifiedSeconds: 3,
            due: 1,
            passed: 1,
            performancePermille: 1_000,
            isFinal: true,
            value: 77,
            closingMissed: false,
        };
        let with =
            |body: Bytes| BridgeMessage { index: 0, origin: 61, sender: Address::ZERO, destination: 1, recipient: Address::ZERO, body };
        let body = Body::WorkReport(report).encode();
        assert_eq!(due_value_wei(&with(body.clone())), 77);
        assert_eq!(due_value_wei(&with(body.slice(..40))), u128::MAX, "cut off");
        assert_eq!(due_value_wei(&with(Bytes::from_static(&[17, 1]))), 0);
        assert_eq!(due_value_wei(&with(Bytes::new())), 0);
    }
}
