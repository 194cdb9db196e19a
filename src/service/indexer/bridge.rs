//! One chain's end of the bridge: what was sent from here, what arrived here, who signs.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256},
    sol_types::SolEvent,
};

use super::{Position, StoredLog};
use crate::types::{
    abi::{Inbox, KingSet, Outbox},
    bridge::{Body, BridgeMessage},
};

#[derive(Debug, Clone)]
pub struct Sent {
    pub index: u32,
    pub id: B256,
    pub sender: Address,
    pub recipient: Address,
    pub kind: &'static str,
    pub rental: Option<u64>,
    pub device: Option<u64>,
    pub timestamp: u64,
    pub position: Position,
    pub transaction: B256,
}

#[derive(Debug, Clone)]
pub struct Arrived {
    pub timestamp: u64,
    pub block: u64,
    pub transaction: B256,
}

#[derive(Debug, Clone, Default)]
pub struct InstalledSet {
    pub set_epoch: u64,
    pub expires_at: u64,
    pub members: Vec<(Address, u128)>,
}

#[derive(Debug, Clone, Default)]
pub struct BridgeEnd {
    /// By index: position equals index.
    pub sent: Vec<Sent>,
    /// Messages of the other chain.
    pub arrived: BTreeMap<u32, Arrived>,
    pub failed: BTreeMap<u32, B256>,
    /// Counts of the other chain's Outbox that were accepted here.
    pub accepted: BTreeMap<u32, B256>,
    pub paused_until: u64,
    pub kings: Option<InstalledSet>,
}

impl BridgeEnd {
    pub fn newest_accepted(&self) -> u32 {
        self.accepted.last_key_value().map_or(0, |(count, _)| *count)
    }

    pub(super) fn apply(&mut self, stored: &StoredLog, chain_id: u64) -> Option<()> {
        let log = &stored.log;
        match *log.topics.first()? {
            Outbox::MessageDispatched::SIGNATURE_HASH => self.send(stored, chain_id)?,
            Inbox::MessageDelivered::SIGNATURE_HASH => {
                let event = log.decode::<Inbox::MessageDelivered>()?;
                let arrived = Arrived { timestamp: stored.timestamp, block: log.block_number, transaction: log.tx_hash };
                self.failed.remove(&event.index);
                self.arrived.insert(event.index, arrived);
            }
            Inbox::MessageFailed::SIGNATURE_HASH => {
                self.failed.insert(log.decode::<Inbox::MessageFailed>()?.index, log.tx_hash);
            }
            Inbox::CheckpointAccepted::SIGNATURE_HASH => {
                let event = log.decode::<Inbox::CheckpointAccepted>()?;
                self.accepted.insert(event.count, event.root);
            }
            Inbox::RootsRevoked::SIGNATURE_HASH => {
                let event = log.decode::<Inbox::RootsRevoked>()?;
                self.accepted.split_off(&event.forkCount.saturating_add(1));
            }
            Inbox::Paused::SIGNATURE_HASH => self.paused_until = log.decode::<Inbox::Paused>()?.until,
            Inbox::Resumed::SIGNATURE_HASH => self.paused_until = 0,
            KingSet::KingSetInstalled::SIGNATURE_HASH => {
                let event = log.decode::<KingSet::KingSetInstalled>()?;
                let members = event.members.iter().map(|packed| member(*packed)).collect();
                self.kings = Some(InstalledSet { set_epoch: event.setEpoch, expires_at: event.expiresAt, members });
            }
            KingSet::KingSetRecovered::SIGNATURE_HASH => {
                let event = log.decode::<KingSet::KingSetRecovered>()?;
                self.kings.as_mut()?.set_epoch = event.setEpoch;
            }
            _ => {}
        }
        Some(())
    }

    fn send(&mut self, stored: &StoredLog, chain_id: u64) -> Option<()> {
        let event = stored.log.decode::<Outbox::MessageDispatched>()?;
        if event.index as usize != self.sent.len() {
            tracing::error!(index = event.index, expected = self.sent.len(), "message index out of order");
            return None;
        }
        let message = BridgeMessage {
            index: event.index,
            origin: chain_id,
            sender: event.sender,
            destination: event.destination,
            recipient: event.recipient,
            body: event.body,
        };
        let (kind, rental, device) = subject(message.decode_body());
        self.sent.push(Sent {
            index: event.index,
            id: event.messageId,
            sender: event.sender,
            recipient: event.recipient,
            kind,
            rental,
            device,
            timestamp: stored.timestamp,
            position: stored.position(),
            transaction: stored.log.tx_hash,
        });
        Some(())
    }
}

/// Kind, rental and device of a message.
pub fn subject(body: Option<Body>) -> (&'static str, Option<u64>, Option<u64>) {
    match body {
        Some(Body::DeviceRegistered(body)) => ("device_registered", None, Some(body.deviceId)),
        Some(Body::DeviceRemoved(body)) => ("device_removed", None, Some(body.deviceId)),
        Some(Body::WorkerKeyChanged(body)) => ("worker_key_changed", None, Some(body.deviceId)),
        Some(Body::RentalTerms(body)) => ("rental_terms", Some(body.rentalId), Some(body.deviceId)),
        Some(Body::ClassProfileSet(_)) => ("class_profile_set", None, None),
        Some(Body::ParameterSet(_)) => ("parameter_set", None, None),
        Some(Body::QueenSetRotated(_)) => ("queen_set_rotated", None, None),
        Some(Body::RenterRecord(_)) => ("renter_record", None, None),
        Some(Body::WorkReport(body)) => ("work_report", Some(body.rentalId), None),
        Some(Body::DeviceReport(body)) => ("device_report", None, Some(body.deviceId)),
        Some(Body::FaultProven(body)) => ("fault_proven", None, Some(body.deviceId)),
        None => ("unknown", None, None),
    }
}

/// `address << 96 | weight`.
fn member(packed: B256) -> (Address, u128) {
    let mut weight = [0; 16];
    weight[4..].copy_from_slice(&packed[20..]);
    (Address::from_slice(&packed[..20]), u128::from_be_bytes(weight))
}
