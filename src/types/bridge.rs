//! Bridge messages: identifiers, leaves and bodies. docs/protocol.md section 8 has the bytes.

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    sol,
    sol_types::SolValue,
};
use serde::{Deserialize, Serialize};

sol! {
    #[derive(Debug, PartialEq, Eq)]
    struct DeviceRegistered { uint64 deviceId; address provider; address worker; uint32 classVersion; uint64 registeredAt; }
    #[derive(Debug, PartialEq, Eq)]
    struct DeviceRemoved { uint64 deviceId; uint64 removedAt; }
    #[derive(Debug, PartialEq, Eq)]
    struct WorkerKeyChanged { uint64 deviceId; address worker; uint64 changedAt; }
    #[derive(Debug, PartialEq, Eq)]
    struct RentalTerms {
        uint64 rentalId; uint64 deviceId; uint32 termsVersion; uint64 start; uint64 end; address renter; uint96 pricePerSecond;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct Profile {
        uint64 memoryBytes; uint32 hashIterations; uint32 lanes; uint32 steps; uint32 windows; uint32 cycles;
        uint32 matrixSize; uint32 innerSize; uint32 rounds; uint32 referenceMs; uint32 passMs; uint32 unmeasuredMs;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct ClassProfile { uint32 classVersion; uint128 stake; Profile full; Profile light; }
    #[derive(Debug, PartialEq, Eq)]
    struct ClassProfileSet { ClassProfile profile; }
    #[derive(Debug, PartialEq, Eq)]
    struct WorkParameters {
        uint64 beaconPeriod; uint64 beaconSpacing; uint64 commitWindow; uint64 disputeWindow; uint64 answerWindow;
        uint32 proofRate; uint32 proofSamples; uint32 committeeSize; uint32 shardSize; uint32 minOwners; uint32 maxPerCall;
        uint64 modeSlack; uint64 bridgeMax; uint64 graceWindow; uint64 capWindow;
        uint128 valueCap; uint128 disputeBond; uint64 gasPriceCap; uint32 answerGas; uint32 blockGas; uint32 openDisputes;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct ParameterSet { uint32 version; WorkParameters parameters; }
    #[derive(Debug, PartialEq, Eq)]
    struct QueenSetRotated { uint64 epoch; address[] operators; }
    #[derive(Debug, PartialEq, Eq)]
    struct RenterRecord { address renter; uint32 complaintsLost; }
    #[derive(Debug, PartialEq, Eq)]
    struct WorkReport {
        uint64 rentalId; uint32 termsVersion; uint64 coveredUntil; uint64 verifiedSeconds;
        uint32 due; uint32 passed; uint32 performancePermille; bool isFinal; uint128 value; bool closingMissed;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct DeviceReport {
        uint64 deviceId; uint64 lastFullPass; uint32 reputationPpm; uint32 performancePermille; uint32 faults; uint64 settledIndex;
    }
    #[derive(Debug, PartialEq, Eq)]
    struct FaultProven { uint64 deviceId; uint64 challengeBlock; uint8 reason; address reporter; address renter; }
}

/// Version byte of a message id.
const MESSAGE_VERSION: u8 = 1;

/// One message of an Outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeMessage {
    pub index: u32,
    pub origin: u64,
    pub sender: Address,
    pub destination: u64,
    pub recipient: Address,
    pub body: Bytes,
}

impl BridgeMessage {
    /// Unique over all chains, outboxes' owners and indices.
    pub fn id(&self) -> B256 {
        let mut preimage = Vec::with_capacity(61 + self.body.len());
        preimage.push(MESSAGE_VERSION);
        preimage.extend_from_slice(&self.index.to_be_bytes());
        preimage.extend_from_slice(&self.origin.to_be_bytes());
        preimage.extend_from_slice(self.sender.as_slice());
        preimage.extend_from_slice(&self.destination.to_be_bytes());
        preimage.extend_from_slice(self.recipient.as_slice());
        preimage.extend_from_slice(&self.body);
        keccak256(preimage)
    }

    /// The leaf of the Outbox's tree.
    pub fn leaf(&self) -> B256 {
        let mut preimage = [0u8; 33];
        preimage[1..].copy_from_slice(self.id().as_slice());
        keccak256(preimage)
    }

    pub fn decode_body(&self) -> Option<Body> {
        Body::decode(&self.body)
    }
}

/// What a message says. Kinds that this build does not know decode to `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    DeviceRegistered(DeviceRegistered),
    DeviceRemoved(DeviceRemoved),
    WorkerKeyChanged(WorkerKeyChanged),
    RentalTerms(RentalTerms),
    ClassProfileSet(Box<ClassProfileSet>),
    ParameterSet(Box<ParameterSet>),
    QueenSetRotated(QueenSetRotated),
    RenterRecord(RenterRecord),
    WorkReport(WorkReport),
    DeviceReport(DeviceReport),
    FaultProven(FaultProven),
}

impl Body {
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, data) = bytes.split_first()?;
        match kind {
            1 => DeviceRegistered::abi_decode_validate(data).map(Body::DeviceRegistered).ok(),
            2 => DeviceRemoved::abi_decode_validate(data).map(Body::DeviceRemoved).ok(),
            3 => WorkerKeyChanged::abi_decode_validate(data).map(Body::WorkerKeyChanged).ok(),
            4 => RentalTerms::abi_decode_validate(data).map(Body::RentalTerms).ok(),
            5 => ClassProfileSet::abi_decode_validate(data).map(|body| Body::ClassProfileSet(Box::new(body))).ok(),
            6 => ParameterSet::abi_decode_validate(data).map(|body| Body::ParameterSet(Box::new(body))).ok(),
            7 => QueenSetRotated::abi_decode_validate(data).map(Body::QueenSetRotated).ok(),
            9 => RenterRecord::abi_decode_validate(data).map(Body::RenterRecord).ok(),
            16 => WorkReport::abi_decode_validate(data).map(Body::WorkReport).ok(),
            17 => DeviceReport::abi_decode_validate(data).map(Body::DeviceReport).ok(),
            18 => FaultProven::abi_decode_validate(data).map(Body::FaultProven).ok(),
            _ => None,
        }
    }

    pub fn encode(&self) -> Bytes {
        let (kind, data) = match self {
            Body::DeviceRegistered(body) => (1, body.abi_encode()),
            Body::DeviceRemoved(body) => (2, body.abi_encode()),
            Body::WorkerKeyChanged(body) => (3, body.abi_encode()),
            Body::RentalTerms(body) => (4, body.abi_encode()),
            Body::ClassProfileSet(body) => (5, body.abi_encode()),
            Body::ParameterSet(body) => (6, body.abi_encode()),
            Body::QueenSetRotated(body) => (7, body.abi_encode()),
            Body::RenterRecord(body) => (9, body.abi_encode()),
            Body::WorkReport(body) => (16, body.abi_encode()),
            Body::DeviceReport(body) => (17, body.abi_encode()),
            Body::FaultProven(body) => (18, body.abi_encode()),
        };
        let mut bytes = vec![kind];
        bytes.extend(data);
        bytes.into()
    }

    /// Name of the kind, for logs and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Body::DeviceRegistered(_) => "DeviceRegistered",
            Body::DeviceRemoved(_) => "DeviceRemoved",
            Body::WorkerKeyChanged(_) => "WorkerKeyChanged",
            Body::RentalTerms(_) => "RentalTerms",
            Body::ClassProfileSet(_) => "ClassProfileSet",
            Body::ParameterSet(_) => "ParameterSet",
            Body::QueenSetRotated(_) => "QueenSetRotated",
            Body::RenterRecord(_) => "RenterRecord",
            Body::WorkReport(_) => "WorkReport",
            Body::DeviceReport(_) => "DeviceReport",
            Body::FaultProven(_) => "FaultProven",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_round_trip_and_hostile_ones_are_none() {
        let body = Body::WorkReport(WorkReport {
            rentalId: 1,
            termsVersion: 2,
            coveredUntil: 3,
            verifiedSeconds: 4,
            due: 5,
            passed: 6,
            performancePermille: 7,
            isFinal: true,
            value: 8,
            closingMissed: false,
        });
        let bytes = body.encode();
        assert_eq!(Body::decode(&bytes), Some(body));
        assert_eq!(Body::decode(&[]), None);
        assert_eq!(Body::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Body::decode(&[8]), None);
    }

    #[test]
    fn every_field_is_bound_by_the_id() {
        let base = BridgeMessage {
            index: 1,
            origin: 2,
            sender: Address::repeat_byte(3),
            destination: 4,
            recipient: Address::repeat_byte(5),
            body: Bytes::from_static(&[6]),
        };
        let others = [
            BridgeMessage { index: 2, ..base.clone() },
            BridgeMessage { origin: 3, ..base.clone() },
            BridgeMessage { sender: Address::ZERO, ..base.clone() },
            BridgeMessage { destination: 5, ..base.clone() },
            BridgeMessage { recipient: Address::ZERO, ..base.clone() },
            BridgeMessage { body: Bytes::new(), ..base.clone() },
        ];
        assert!(others.iter().all(|other| other.id() != base.id()));
    }
}
