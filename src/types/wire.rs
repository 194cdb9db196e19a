//! Messages between nodes. One version byte, then postcard; one value has exactly one encoding.
//!
//! Whatever is decoded here comes from strangers: sizes are bounded before decoding, trailing bytes and second encodings of the same
//! value are refused, and ranges are checked.

use alloy::primitives::{Address, B256, B512, Bytes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    DeviceId,
    record::{RecordError, SignedNodeRecord},
    signing::Checkpoint,
};

mod statement;

pub use statement::{Statement, StatementSignature};

/// First byte of every message of this version.
pub const VERSION: u8 = 1;
/// Name of the request protocol.
pub const REQUEST_PROTOCOL: &str = "/gpumkt/1/request";
/// Largest gossip message of any topic. The largest is a record with eight long addresses.
pub const MAX_GOSSIP_BYTES: usize = 4096;
const MAX_CHECKPOINT_BYTES: usize = 512;
const MAX_HEARTBEAT_BYTES: usize = 64;
/// Largest request. Requests hold hashes and numbers only.
pub const MAX_REQUEST_BYTES: usize = 1024;
/// Largest response. A full set of openings stays below it; larger lets one peer fill memory.
pub const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// Samples one request may ask for. 32 folds and 16 segments are the usual number.
pub const MAX_SAMPLES: u32 = 128;
/// Signatures one answer may hold.
pub const MAX_CHECKPOINTS: u32 = 256;
/// Signatures under statements one answer may hold: a few of each of the 21 Kings.
pub const MAX_STATEMENTS: usize = 256;
/// Bytes of a refusal's code and reason.
const MAX_REFUSAL_BYTES: usize = 256;

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("{bytes} bytes, at most {limit} are allowed")]
    Oversize { bytes: usize, limit: usize },
    #[error("version {0} is not known here")]
    UnknownVersion(u8),
    #[error("not a message: {0}")]
    Malformed(String),
    #[error("not the canonical encoding of its content")]
    NotCanonical,
    #[error("{field} is out of range")]
    OutOfRange { field: &'static str },
    #[error("record: {0}")]
    Record(#[from] RecordError),
}

impl WireError {
    /// A newer node may have written this: drop it without blaming the sender.
    pub fn is_innocent(&self) -> bool {
        matches!(self, WireError::UnknownVersion(_))
    }
}

/// A gossip topic. Its name carries the version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Signatures of Kings.
    Checkpoints,
    /// Node records.
    Records,
    /// Heartbeats of the providers of a shard.
    Heartbeats(u16),
    /// Kings' signatures under rotations, recoveries and pauses.
    Statements,
}

impl Topic {
    /// The topics that exist while all providers are in shard 0.
    pub const ALL: [Topic; 4] = [Topic::Checkpoints, Topic::Records, Topic::Heartbeats(0), Topic::Statements];

    pub fn name(self) -> String {
        match self {
            Topic::Checkpoints => "/gpumkt/1/checkpoints".into(),
            Topic::Records => "/gpumkt/1/records".into(),
            Topic::Heartbeats(shard) => format!("/gpumkt/1/heartbeats/{shard}"),
            Topic::Statements => "/gpumkt/1/statements".into(),
        }
    }

    /// Short name for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Topic::Checkpoints => "checkpoints",
            Topic::Records => "records",
            Topic::Heartbeats(_) => "heartbeats",
            Topic::Statements => "statements",
        }
    }

    pub fn max_bytes(self) -> usize {
        match self {
            Topic::Checkpoints | Topic::Statements => MAX_CHECKPOINT_BYTES,
            Topic::Records => MAX_GOSSIP_BYTES,
            Topic::Heartbeats(_) => MAX_HEARTBEAT_BYTES,
        }
    }
}

/// The fields of a [`Checkpoint`] as they travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointData {
    pub origin_chain_id: u64,
    pub outbox: Address,
    pub set_epoch: u64,
    pub root: B256,
    pub count: u32,
    pub block_number: u64,
    pub block_hash: B256,
    pub block_timestamp: u64,
}

impl From<CheckpointData> for Checkpoint {
    fn from(data: CheckpointData) -> Self {
        Self {
            originChainId: data.origin_chain_id,
            outbox: data.outbox,
            setEpoch: data.set_epoch,
            root: data.root,
            count: data.count,
            blockNumber: data.block_number,
            blockHash: data.block_hash,
            blockTimestamp: data.block_timestamp,
        }
    }
}

impl From<&Checkpoint> for CheckpointData {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            origin_chain_id: checkpoint.originChainId,
            outbox: checkpoint.outbox,
            set_epoch: checkpoint.setEpoch,
            root: checkpoint.root,
            count: checkpoint.count,
            block_number: checkpoint.blockNumber,
            block_hash: checkpoint.blockHash,
            block_timestamp: checkpoint.blockTimestamp,
        }
    }
}

/// One King's signature under a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointSignature {
    pub checkpoint: CheckpointData,
    /// Who claims to have signed; the signature decides.
    pub signer: Address,
    /// EIP-2098 compact.
    pub signature: B512,
}

/// A provider's sign of life for one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub device_id: DeviceId,
    /// 0 idle, 1000 fully loaded.
    pub load_permille: u16,
    pub temperature_celsius: Option<i16>,
    /// Unix seconds.
    pub timestamp: u64,
}

/// A decoded gossip message; the topic says which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GossipMessage {
    Checkpoint(CheckpointSignature),
    Record(SignedNodeRecord),
    Heartbeat(Heartbeat),
    Statement(StatementSignature),
}

impl GossipMessage {
    pub fn topic(&self) -> Topic {
        match self {
            GossipMessage::Checkpoint(_) => Topic::Checkpoints,
            GossipMessage::Record(_) => Topic::Records,
            GossipMessage::Heartbeat(_) => Topic::Heartbeats(0),
            GossipMessage::Statement(_) => Topic::Statements,
        }
    }

    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let limit = self.topic().max_bytes();
        match self {
            GossipMessage::Checkpoint(message) => encode(message, limit),
            GossipMessage::Record(message) => encode(message, limit),
            GossipMessage::Heartbeat(message) => encode(message, limit),
            GossipMessage::Statement(message) => encode(message, limit),
        }
    }

    pub fn decode(topic: Topic, bytes: &[u8]) -> Result<Self, WireError> {
        let limit = topic.max_bytes();
        match topic {
            Topic::Checkpoints => decode(bytes, limit).map(GossipMessage::Checkpoint),
            Topic::Records => decode(bytes, limit).map(GossipMessage::Record),
            Topic::Heartbeats(_) => decode(bytes, limit).map(GossipMessage::Heartbeat),
            Topic::Statements => decode(bytes, limit).map(GossipMessage::Statement),
        }
    }
}

/// A question to one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A Queen starts the clock of a challenge; answered with [`Response::Root`] once the device is done.
    Start { challenge_block: u64, block_hash: B256, device_id: DeviceId, mode: u8 },
    /// A provider asks its Queen for the receipt of a finished challenge.
    Receipt { challenge_block: u64, device_id: DeviceId, block_hash: B256, root: B256 },
    /// A Queen asks for the openings of samples of its own choice.
    Openings { challenge_block: u64, device_id: DeviceId, sample_seed: B256, samples: u32 },
    /// Asks for the record of an account; `None` is the answering node's own.
    Record { account: Option<Address> },
    /// Asks for checkpoint signatures missed while offline: those with a message count of at least `from_count`.
    Checkpoints { origin_chain_id: u64, from_count: u32, limit: u32 },
    /// Asks for nothing: proves that the node is there and answers.
    Ping,
    /// A Queen asks another one whether it, too, was refused openings of a committed root.
    Refusal { challenge_block: u64, device_id: DeviceId, block_hash: B256, root: B256 },
    /// Asks a King, or whoever listens to them, for signatures under rotations, recoveries and pauses.
    Statements,
    /// A provider asks a Queen of a case's committee to come to its door as a renter would, and to sign that it opened.
    Reachable { case_id: u64, rental_id: u64, time: u64 },
}

impl Request {
    /// Short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Request::Start { .. } => "start",
            Request::Receipt { .. } => "receipt",
            Request::Openings { .. } => "openings",
            Request::Record { .. } => "record",
            Request::Checkpoints { .. } => "checkpoints",
            Request::Ping => "ping",
            Request::Refusal { .. } => "refusal",
            Request::Statements => "statements",
            Request::Reachable { .. } => "reachable",
        }
    }

    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        encode(self, MAX_REQUEST_BYTES)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes, MAX_REQUEST_BYTES)
    }
}

/// An answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    Root {
        root: B256,
        mode: u8,
    },
    Receipt {
        queen_index: u16,
        elapsed_ms: u32,
        /// EIP-2098 compact.
        signature: B512,
    },
    /// ABI encoding of the contract's `WorkProof`.
    Openings(Bytes),
    Record(Option<SignedNodeRecord>),
    Checkpoints(Vec<CheckpointSignature>),
    /// The peer will not answer; `code` is one of the stable error codes.
    Refused {
        code: String,
        reason: String,
    },
    Pong,
    /// A Queen's signature under `NoOpening`.
    Refusal {
        queen_index: u16,
        /// EIP-2098 compact.
        signature: B512,
    },
    Statements(Vec<StatementSignature>),
    /// A Queen's signature under `Reachable`.
    Reachable {
        /// Position in the case's committee.
        member: u8,
        /// EIP-2098 compact.
        signature: B512,
    },
}

impl Response {
    /// A refusal whose texts fit the wire.
    pub fn refused(code: &str, reason: impl std::fmt::Display) -> Self {
        Self::Refused { code: shorten(code), reason: shorten(&reason.to_string()) }
    }

    /// Short name for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Response::Root { .. } => "root",
            Response::Receipt { .. } => "receipt",
            Response::Openings(_) => "openings",
            Response::Record(_) => "record",
            Response::Checkpoints(_) => "checkpoints",
            Response::Refused { .. } => "refused",
            Response::Pong => "pong",
            Response::Refusal { .. } => "refusal",
            Response::Statements(_) => "statements",
            Response::Reachable { .. } => "reachable",
        }
    }

    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        encode(self, MAX_RESPONSE_BYTES)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes, MAX_RESPONSE_BYTES)
    }
}

/// Range checks that the types do not make.
trait Checked {
    fn check(&self) -> Result<(), WireError>;
}

fn within(field: &'static str, holds: bool) -> Result<(), WireError> {
    if holds { Ok(()) } else { Err(WireError::OutOfRange { field }) }
}

/// Full and light are the only modes.
fn check_mode(mode: u8) -> Result<(), WireError> {
    within("mode", mode == 1 || mode == 2)
}

impl Checked for CheckpointSignature {
    fn check(&self) -> Result<(), WireError> {
        Ok(())
    }
}

impl Checked for StatementSignature {
    fn check(&self) -> Result<(), WireError> {
        Ok(())
    }
}

impl Checked for SignedNodeRecord {
    fn check(&self) -> Result<(), WireError> {
        Ok(self.record.check_shape()?)
    }
}

impl Checked for Heartbeat {
    fn check(&self) -> Result<(), WireError> {
        within("load_permille", self.load_permille <= 1000)
    }
}

impl Checked for Request {
    fn check(&self) -> Result<(), WireError> {
        match self {
            Request::Start { mode, .. } => check_mode(*mode),
            Request::Openings { samples, .. } => within("samples", (1..=MAX_SAMPLES).contains(samples)),
            Request::Checkpoints { limit, .. } => within("limit", (1..=MAX_CHECKPOINTS).contains(limit)),
            Request::Receipt { .. }
            | Request::Record { .. }
            | Request::Ping
            | Request::Refusal { .. }
            | Request::Statements
            | Request::Reachable { .. } => Ok(()),
        }
    }
}

impl Checked for Response {
    fn check(&self) -> Result<(), WireError> {
        match self {
            Response::Root { mode, .. } => check_mode(*mode),
            Response::Record(Some(signed)) => signed.check(),
            Response::Checkpoints(signatures) => within("checkpoints", signatures.len() <= MAX_CHECKPOINTS as usize),
            Response::Statements(signatures) => within("statements", signatures.len() <= MAX_STATEMENTS),
            Response::Refused { code, reason } => {
                within("code", code.len() <= MAX_REFUSAL_BYTES)?;
                within("reason", reason.len() <= MAX_REFUSAL_BYTES)
            }
            Response::Receipt { .. } | Response::Openings(_) | Response::Record(None) => Ok(()),
            Response::Pong | Response::Refusal { .. } | Response::Reachable { .. } => Ok(()),
        }
    }
}

fn encode<T: Serialize + Checked>(value: &T, limit: usize) -> Result<Vec<u8>, WireError> {
    value.check()?;
    let bytes = to_bytes(value)?;
    if bytes.len() > limit {
        return Err(WireError::Oversize { bytes: bytes.len(), limit });
    }
    Ok(bytes)
}

fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    postcard::to_extend(value, vec![VERSION]).map_err(|error| WireError::Malformed(error.to_string()))
}

fn decode<T: Serialize + DeserializeOwned + Checked>(bytes: &[u8], limit: usize) -> Result<T, WireError> {
    if bytes.len() > limit {
        return Err(WireError::Oversize { bytes: bytes.len(), limit });
    }
    let (version, body) = bytes.split_first().ok_or_else(|| WireError::Malformed("empty".into()))?;
    if *version != VERSION {
        return Err(WireError::UnknownVersion(*version));
    }
    let (value, rest) = postcard::take_from_bytes::<T>(body).map_err(|error| WireError::Malformed(error.to_string()))?;
    // Postcard takes overlong integers; a second encoding of one value would slip past every cache keyed by the bytes.
    if !rest.is_empty() || to_bytes(&value)? != bytes {
        return Err(WireError::NotCanonical);
    }
    value.check()?;
    Ok(value)
}

fn shorten(text: &str) -> String {
    let mut end = text.len().min(MAX_REFUSAL_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_string()
}

#[cfg(test)]
mod tests;
