//! An event of a contract in words and references, the same for pages, timelines and streams.

mod bridge;
mod market;
mod stakes;
mod work;

pub use market::close_reason;

use alloy::primitives::{Address, U256};

use super::StoredLog;
use crate::types::{AddressBook, Amount, ChainKind};

/// What an event says, and whom and what it concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    pub kind: &'static str,
    pub text: String,
    pub account: Option<Address>,
    pub provider: Option<Address>,
    pub offer: Option<u64>,
    pub device: Option<u64>,
    pub rental: Option<u64>,
    pub challenge: Option<u64>,
    pub message: Option<u32>,
    pub message_origin: Option<ChainKind>,
    pub case: Option<U256>,
    pub proposal: Option<U256>,
    pub allocation: Option<U256>,
    pub amount: Option<U256>,
}

impl Described {
    fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), ..Self::default() }
    }
}

/// GPUTOKEN in whole tokens.
fn tokens(wei: impl Into<U256>) -> Amount {
    Amount(wei.into())
}

/// `None` for events that nobody needs to be told of.
pub fn describe(stored: &StoredLog, chain: ChainKind, book: &AddressBook) -> Option<Described> {
    let log = &stored.log;
    let topic = *log.topics.first()?;
    let ends = book.bridge(chain);
    let address = log.address;
    if address == ends.outbox || address == ends.inbox || address == ends.king_set {
        return bridge::describe(topic, log, chain, book);
    }
    if chain == ChainKind::Classic {
        return work::describe(topic, log);
    }
    let eth = &book.ethereum;
    match address {
        _ if address == eth.gpu_rental => market::rental(topic, log).or_else(|| market::credit(topic, log)),
        _ if address == eth.rental_court => market::court(topic, log),
        _ if address == eth.staking_manager => stakes::stake(topic, log).or_else(|| stakes::pool(topic, log)),
        _ if address == eth.governance => stakes::vote(topic, log),
        _ if address == eth.token_distributor => stakes::token(topic, log),
        _ if address == eth.king_court => bridge::king_court(topic, log),
        _ => None,
    }
}

/// Decodes by signature: one arm per event, `None` for any other.
macro_rules! told {
    ($topic:expr, $log:expr, { $($contract:ident :: $event:ident => |$value:ident| $body:expr),+ $(,)? }) => {
        match $topic {
            $(<$contract::$event as alloy::sol_types::SolEvent>::SIGNATURE_HASH => {
                let $value = $log.decode::<$contract::$event>()?;
                Some($body)
            })+
            _ => None,
        }
    };
}
use told;
