//! Both ends of the bridge, the Kings and their court in words.

use alloy::primitives::B256;

use super::{Described, told};
use crate::{
    chain::LogEntry,
    service::indexer::bridge::subject,
    types::{
        AddressBook, ChainKind,
        abi::{Inbox as I, KingCourt as J, KingSet as K, Outbox as O},
        bridge::Body,
    },
};

fn message(index: u32, origin: ChainKind, kind: &'static str, text: impl Into<String>) -> Described {
    Described { message: Some(index), message_origin: Some(origin), ..Described::new(kind, text) }
}

pub fn describe(topic: B256, log: &LogEntry, chain: ChainKind, book: &AddressBook) -> Option<Described> {
    let ends = book.bridge(chain);
    match log.address {
        address if address == ends.outbox => told!(topic, log, {
            O::MessageDispatched => |e| {
                let (kind, rental, device) = subject(Body::decode(&e.body));
                Described { rental, device, ..message(e.index, chain, "message_dispatched", format!("message {} sent: {kind}", e.index)) }
            },
        }),
        address if address == ends.inbox => told!(topic, log, {
            I::CheckpointAccepted => |e| Described {
                message_origin: Some(chain.other()),
                ..Described::new("checkpoint_accepted", format!("checkpoint of {} messages accepted", e.count))
            },
            I::MessageDelivered => |e| Described {
                account: Some(e.deliverer), ..message(e.index, chain.other(), "message_delivered", format!("message {} delivered", e.index))
            },
            I::MessageFailed => |e| message(e.index, chain.other(), "message_failed", format!("message {} was refused by its recipient", e.index)),
            I::Paused => |e| Described { account: Some(e.by), ..Described::new("bridge_paused", "the bridge is paused") },
            I::Resumed => |e| Described { account: Some(e.by), ..Described::new("bridge_resumed", "the bridge goes on") },
        }),
        _ => told!(topic, log, {
            K::KingSetInstalled => |e| Described::new("king_set_installed", format!("{} Kings sign as set {}", e.members.len(), e.setEpoch)),
            K::KingSetRecovered => |e| Described::new("king_set_recovered", format!("the Kings go on as set {}", e.setEpoch)),
        }),
    }
}

pub fn king_court(topic: B256, log: &LogEntry) -> Option<Described> {
    told!(topic, log, {
        J::KingConvicted => |e| Described { account: Some(e.king), ..Described::new("king_convicted", "a King signed two truths") },
    })
}
