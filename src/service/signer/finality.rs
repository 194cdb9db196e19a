//! When a block may be signed.

use crate::{
    rules::finality::{DepthPolicy, Outflow},
    service::index::SentMessage,
    types::{AddressBook, ChainKind},
};

/// Kind byte of a WorkReport, and where its value stands: the ninth word, a uint128. docs/protocol.md section 8.
const WORK_REPORT: u8 = 16;
const VALUE_AT: usize = 1 + 8 * 32;

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
    let worth = reports.map(|sent| Outflow { block: sent.block_number, value_wei: due_value_wei(&sent.message.body) });
    worth.filter(|outflow| outflow.value_wei > 0).collect()
}

/// What becomes due with a report, wei of GPUTOKEN; 0 for any other message, and for a report without a value.
fn due_value_wei(body: &[u8]) -> u128 {
    if body.first() != Some(&WORK_REPORT) {
        return 0;
    }
    let word = body.get(VALUE_AT..VALUE_AT + 32).and_then(|word| word.split_last_chunk::<16>());
    match word {
        Some((high, low)) if high.iter().all(|byte| *byte == 0) => u128::from_be_bytes(*low),
        Some(_) => u128::MAX,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_report_is_its_ninth_word() {
        let mut body = vec![0u8; 1 + 10 * 32];
        body[0] = WORK_REPORT;
        body[VALUE_AT + 31] = 7;
        assert_eq!(due_value_wei(&body), 7);
        body[VALUE_AT + 15] = 1;
        assert_eq!(due_value_wei(&body), u128::MAX, "beyond a uint128");
        assert_eq!(due_value_wei(&body[..VALUE_AT]), 0, "no ninth word");
        body[0] = 17;
        assert_eq!(due_value_wei(&body), 0);
        assert_eq!(due_value_wei(&[]), 0);
    }
}
