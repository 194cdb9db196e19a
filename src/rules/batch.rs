//! Whether a batch of messages is worth its gas now, and which messages go into one transaction.

/// A message that could be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    pub index: u32,
    pub waited_seconds: u64,
    /// What delivering it earns, wei of the destination's coin.
    pub fee_wei: u128,
    /// An earlier transaction with others failed: it goes alone, so that it holds back nobody.
    pub is_alone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    /// Most messages of one transaction. More would pass the block gas limit with large handlers.
    pub max_messages: usize,
    /// A message that waited this long goes whatever it costs.
    pub max_wait_seconds: u64,
    /// Gas of the transaction and of a checkpoint, and of each message with its handler.
    pub base_gas: u64,
    pub message_gas: u64,
}

impl BatchPolicy {
    /// The next batch among `ready` (ascending), or none that should go yet.
    pub fn choose(&self, ready: &[Ready], gas_price_wei: u128) -> Vec<u32> {
        let Some(first) = ready.first() else { return Vec::new() };
        let batch: Vec<&Ready> = if first.is_alone {
            vec![first]
        } else {
            ready.iter().filter(|message| !message.is_alone).take(self.max_messages.max(1)).collect()
        };
        let overdue = batch.iter().any(|message| message.waited_seconds >= self.max_wait_seconds);
        let earned: u128 = batch.iter().map(|message| message.fee_wei).fold(0, u128::saturating_add);
        let gas = u128::from(self.base_gas) + u128::from(self.message_gas) * batch.len() as u128;
        let pays = earned > 0 && earned >= gas.saturating_mul(gas_price_wei);
        if overdue || pays { batch.iter().map(|message| message.index).collect() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BatchPolicy = BatchPolicy { max_messages: 3, max_wait_seconds: 60, base_gas: 100, message_gas: 50 };

    fn ready(index: u32, waited_seconds: u64, fee_wei: u128) -> Ready {
        Ready { index, waited_seconds, fee_wei, is_alone: false }
    }

    #[test]
    fn waits_until_the_batch_pays() {
        assert!(POLICY.choose(&[], 1).is_empty());
        assert!(POLICY.choose(&[ready(0, 5, 100)], 1).is_empty(), "150 gas for a fee of 100");
        assert_eq!(POLICY.choose(&[ready(0, 5, 100), ready(1, 0, 100)], 1), [0, 1], "200 for 200");
        assert!(POLICY.choose(&[ready(0, 5, 100), ready(1, 0, 100)], 2).is_empty(), "gas became dearer");
        assert!(POLICY.choose(&[ready(0, 5, 0)], 0).is_empty(), "nothing earned, nothing due");
    }

    #[test]
    fn what_waited_too_long_goes_and_takes_others_along() {
        assert_eq!(POLICY.choose(&[ready(0, 60, 0), ready(1, 0, 0)], 1_000), [0, 1]);
        let many: Vec<Ready> = (0..9).map(|index| ready(index, 60, 0)).collect();
        assert_eq!(POLICY.choose(&many, 1), [0, 1, 2]);
    }

    #[test]
    fn a_suspect_goes_alone_and_holds_back_nobody() {
        let suspect = |index| Ready { is_alone: true, ..ready(index, 60, 0) };
        assert_eq!(POLICY.choose(&[suspect(0), ready(1, 60, 0)], 1), [0]);
        assert_eq!(POLICY.choose(&[ready(0, 60, 0), suspect(1), ready(2, 60, 0)], 1), [0, 2]);
    }
}
