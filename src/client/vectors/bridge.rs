//! Vectors of messages, trees, King sets and signatures: docs/protocol.md sections 8 and 9.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, B512, Bytes, Signature, U256, aliases::U96};
use alloy::signers::{SignerSync, local::PrivateKeySigner};
use alloy::sol_types::SolStruct;
use serde::Serialize;

use super::{account, decimal, word};
use crate::rules::quorum::KingSet;
use crate::rules::tree::MessageTree;
use crate::types::addresses::KingMember;
use crate::types::bridge::{self, Body, BridgeMessage};
use crate::types::record::NodeRecord;
use crate::types::signing::{self, compact, contract_domain, recover_compact};
use crate::types::work::cpu_test_class;

const ETHEREUM: u64 = 1;
const CLASSIC: u64 = 61;

/// Identifier and leaf of one message.
#[derive(Clone, Debug, Serialize)]
pub struct MessageVector {
    pub name: &'static str,
    pub index: u32,
    #[serde(serialize_with = "decimal")]
    pub origin: u64,
    pub sender: Address,
    #[serde(serialize_with = "decimal")]
    pub destination: u64,
    pub recipient: Address,
    pub body: Bytes,
    pub id: B256,
    pub leaf: B256,
}

/// An Outbox with these messages, and the proof of one of them.
#[derive(Clone, Debug, Serialize)]
pub struct TreeVector {
    /// Message identifiers; the tree's leaves are their hashes.
    pub leaves: Vec<B256>,
    pub root: B256,
    pub proof_index: u32,
    pub proof: Vec<B256>,
}

/// One King.
#[derive(Clone, Debug, Serialize)]
pub struct MemberVector {
    pub address: Address,
    #[serde(serialize_with = "decimal")]
    pub weight: u64,
}

/// The hash of a King set.
#[derive(Clone, Debug, Serialize)]
pub struct KingSetVector {
    pub members: Vec<MemberVector>,
    pub hash: B256,
}

/// Whether some Kings are a quorum of their set.
#[derive(Clone, Debug, Serialize)]
pub struct QuorumVector {
    pub members: Vec<MemberVector>,
    pub signers: Vec<Address>,
    pub is_quorum: bool,
}

/// Who a compact signature comes from.
#[derive(Clone, Debug, Serialize)]
pub struct SignatureVector {
    pub digest: B256,
    pub signature: B512,
    /// Absent where the signature must be refused.
    pub signer: Option<Address>,
}

/// What a King signs.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointVector {
    #[serde(serialize_with = "decimal")]
    pub origin_chain_id: u64,
    pub outbox: Address,
    #[serde(serialize_with = "decimal")]
    pub set_epoch: u64,
    pub root: B256,
    pub count: u32,
    #[serde(serialize_with = "decimal")]
    pub block_number: u64,
    pub block_hash: B256,
    #[serde(serialize_with = "decimal")]
    pub block_timestamp: u64,
    pub digest: B256,
}

/// What a Queen signs.
#[derive(Clone, Debug, Serialize)]
pub struct ReceiptVector {
    #[serde(serialize_with = "decimal")]
    pub challenge_block: u64,
    #[serde(serialize_with = "decimal")]
    pub device_id: u64,
    pub block_hash: B256,
    pub root: B256,
    pub elapsed_ms: u32,
    #[serde(serialize_with = "decimal")]
    pub chain_id: u64,
    pub contract: Address,
    pub digest: B256,
}

/// What a Queen signs that was refused openings.
#[derive(Clone, Debug, Serialize)]
pub struct RefusalVector {
    #[serde(serialize_with = "decimal")]
    pub challenge_block: u64,
    #[serde(serialize_with = "decimal")]
    pub device_id: u64,
    pub block_hash: B256,
    pub root: B256,
    #[serde(serialize_with = "decimal")]
    pub chain_id: u64,
    pub contract: Address,
    pub digest: B256,
}

/// What a renter signs once it was let in.
#[derive(Clone, Debug, Serialize)]
pub struct SessionOpenedVector {
    #[serde(serialize_with = "decimal")]
    pub rental_id: u64,
    #[serde(serialize_with = "decimal")]
    pub time: u64,
    #[serde(serialize_with = "decimal")]
    pub chain_id: u64,
    pub contract: Address,
    pub digest: B256,
}

/// What a renter signs to let a key log in.
#[derive(Clone, Debug, Serialize)]
pub struct SessionKeyVector {
    #[serde(serialize_with = "decimal")]
    pub rental_id: u64,
    pub public_key: Bytes,
    #[serde(serialize_with = "decimal")]
    pub expiry: u64,
    #[serde(serialize_with = "decimal")]
    pub chain_id: u64,
    pub contract: Address,
    pub digest: B256,
}

/// What an operator signs about its node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeRecordVector {
    pub account: Address,
    pub role: u8,
    pub peer_id: Bytes,
    pub addresses: Vec<String>,
    #[serde(serialize_with = "decimal")]
    pub sequence: u64,
    #[serde(serialize_with = "decimal")]
    pub expiry: u64,
    #[serde(serialize_with = "decimal")]
    pub chain_id: u64,
    pub contract: Address,
    pub digest: B256,
}

/// One body of every kind, with small and with the largest numbers.
fn bodies() -> Vec<Body> {
    vec![
        Body::DeviceRegistered(bridge::DeviceRegistered {
            deviceId: 7,
            provider: account("provider"),
            worker: account("worker"),
            classVersion: 1,
            registeredAt: 1_800_000_000,
        }),
        Body::DeviceRemoved(bridge::DeviceRemoved { deviceId: u64::MAX, removedAt: u64::MAX }),
        Body::WorkerKeyChanged(bridge::WorkerKeyChanged { deviceId: 7, worker: account("worker"), changedAt: 1_800_000_000 }),
        rental_terms(1_800_003_600, U96::from(1_000_000_000_000_000_u64)),
        rental_terms(1_800_000_000, U96::MAX),
        class_profile_set(),
        Body::ParameterSet(Box::new(bridge::ParameterSet { version: 2, parameters: work_parameters() })),
        Body::QueenSetRotated(bridge::QueenSetRotated { epoch: 2, operators: vec![account("queen/0"), account("queen/1")] }),
        Body::RenterRecord(bridge::RenterRecord { renter: account("renter"), complaintsLost: 1 }),
        Body::WorkReport(bridge::WorkReport {
            rentalId: 3,
            termsVersion: 2,
            coveredUntil: 1_800_003_600,
            verifiedSeconds: 3_540,
            due: 60,
            passed: 59,
            performancePermille: 1_015,
            isFinal: true,
            value: 3_600_000_000_000_000_000,
            closingMissed: true,
        }),
        Body::DeviceReport(bridge::DeviceReport {
            deviceId: 7,
            lastFullPass: 1_800_000_000,
            reputationPpm: 987_654,
            performancePermille: 1_015,
            faults: 0,
            settledIndex: 12_345,
        }),
        Body::FaultProven(bridge::FaultProven {
            deviceId: 7,
            challengeBlock: 20_000_000,
            reason: 1,
            reporter: account("reporter"),
            renter: account("renter"),
        }),
    ]
}

fn rental_terms(end: u64, price: U96) -> Body {
    Body::RentalTerms(bridge::RentalTerms {
        rentalId: 3,
        deviceId: 7,
        termsVersion: 2,
        start: 1_800_000_000,
        end,
        renter: account("renter"),
        pricePerSecond: price,
    })
}

fn class_profile_set() -> Body {
    let (full, light) = cpu_test_class();
    let class = bridge::ClassProfile { classVersion: 2, stake: 500, full: (&full).into(), light: (&light).into() };
    Body::ClassProfileSet(Box::new(bridge::ClassProfileSet { profile: class }))
}

/// Every number another one, so that two that are exchanged show.
fn work_parameters() -> bridge::WorkParameters {
    bridge::WorkParameters {
        beaconPeriod: 84,
        beaconSpacing: 9,
        commitWindow: 16,
        disputeWindow: 256,
        answerWindow: 128,
        proofRate: 17,
        proofSamples: 3,
        committeeSize: 15,
        shardSize: 40,
        minOwners: 20,
        maxPerCall: 64,
        modeSlack: 60,
        bridgeMax: 7_200,
        graceWindow: 2_592_000,
        capWindow: 32,
        valueCap: 10_000_000_000_000_000_000_000,
        disputeBond: 9_600_000_000_000_000,
        gasPriceCap: 2_000_000_000,
        answerGas: 4_000_000,
        blockGas: 8_000_000,
        openDisputes: 4,
    }
}

pub(super) fn messages() -> Vec<MessageVector> {
    let vector = |name, message: BridgeMessage| MessageVector {
        name,
        id: message.id(),
        leaf: message.leaf(),
        index: message.index,
        origin: message.origin,
        sender: message.sender,
        destination: message.destination,
        recipient: message.recipient,
        body: message.body,
    };
    let mut vectors: Vec<MessageVector> =
        (0..).zip(bodies()).map(|(index, body)| vector(body.name(), message(index, body.encode()))).collect();
    vectors.push(vector("empty body", message(12, Bytes::new())));
    let largest = BridgeMessage { origin: u64::MAX, destination: u64::MAX, ..message(u32::MAX, Bytes::from(vec![0xff; 33])) };
    vectors.push(vector("largest numbers", largest));
    vectors
}

fn message(index: u32, body: Bytes) -> BridgeMessage {
    let (sender, recipient) = (account("sender"), account("recipient"));
    BridgeMessage { index, origin: ETHEREUM, sender, destination: CLASSIC, recipient, body }
}

pub(super) fn trees() -> Vec<TreeVector> {
    let cases = [(1, 0), (2, 0), (2, 1), (3, 2), (5, 0), (5, 4), (8, 3), (33, 32)];
    cases.into_iter().filter_map(|(count, proof_index)| tree(count, proof_index)).collect()
}

fn tree(count: u32, proof_index: u32) -> Option<TreeVector> {
    let messages: Vec<BridgeMessage> = (0..count).map(|index| message(index, Bytes::from(index.to_be_bytes()))).collect();
    let mut tree = MessageTree::default();
    for message in &messages {
        tree.push(message.leaf());
    }
    Some(TreeVector {
        leaves: messages.iter().map(BridgeMessage::id).collect(),
        root: tree.root_at(count)?,
        proof_index,
        proof: tree.proof(proof_index, count)?.to_vec(),
    })
}

fn kings(weights: &[u64]) -> KingSet {
    let member = |(number, weight): (usize, &u64)| KingMember { address: account(&format!("king/{number}")), weight: *weight };
    KingSet::new(1, weights.iter().enumerate().map(member).collect())
}

fn members(set: &KingSet) -> Vec<MemberVector> {
    set.members().iter().map(|member| MemberVector { address: member.address, weight: member.weight }).collect()
}

pub(super) fn king_sets() -> Vec<KingSetVector> {
    let cases: [&[u64]; 4] = [&[1], &[100, 101, 102, 103], &[u64::MAX, 1, u64::MAX], &[1; 21]];
    let vector = |weights: &[u64]| {
        let set = kings(weights);
        KingSetVector { members: members(&set), hash: set.hash() }
    };
    cases.map(vector).into()
}

pub(super) fn quorums() -> Vec<QuorumVector> {
    // Weights, and which of the Kings signed, counted as the weights are. Exactly two thirds are not enough.
    let cases: [(&[u64], &[usize]); 8] = [
        (&[1], &[]),
        (&[1], &[0]),
        (&[1, 1, 1], &[0, 1]),
        (&[1, 1, 1], &[0, 1, 2]),
        (&[1, 1, 1, 1], &[0, 2, 3]),
        (&[10, 1, 1], &[0]),
        (&[8, 2, 2], &[0]),
        (&[u64::MAX, u64::MAX, u64::MAX], &[0, 1]),
    ];
    let vector = |(weights, signed): (&[u64], &[usize])| {
        let set = kings(weights);
        let signers: Vec<Address> = signed.iter().map(|number| account(&format!("king/{number}"))).collect();
        let signatures: BTreeMap<Address, [u8; 64]> = signers.iter().map(|signer| (*signer, [0; 64])).collect();
        QuorumVector { members: members(&set), signers, is_quorum: set.assemble(&signatures).is_some() }
    };
    cases.map(vector).into()
}

/// Signatures with both parities, each again with the other parity, and words that are no signature.
pub(super) fn signatures() -> Vec<SignatureVector> {
    let mut vectors = Vec::new();
    let key = PrivateKeySigner::from_bytes(&word("key")).ok();
    for digest in ["digest/0", "digest/1", "digest/2", "digest/3"].map(word) {
        // Nonces follow from key and digest (RFC 6979), so the signature is the same every time.
        if let Some(signature) = key.as_ref().and_then(|key| key.sign_hash_sync(&digest).ok()) {
            let other = Signature::new(signature.r(), signature.s(), !signature.v());
            vectors.extend([signature, other].map(|signature| recovered(digest, compact(&signature))));
        }
    }
    let digest = word("digest/0");
    vectors.push(recovered(digest, [0; 64]));
    // The upper half of the curve's order: the same signature would exist twice.
    let mut high = [0x7f; 64];
    high[33..].fill(0xff);
    high[..32].copy_from_slice(&U256::from(1).to_be_bytes::<32>());
    vectors.push(recovered(digest, high));
    vectors
}

fn recovered(digest: B256, signature: [u8; 64]) -> SignatureVector {
    SignatureVector { digest, signature: B512::from(signature), signer: recover_compact(digest, &signature) }
}

pub(super) fn checkpoints() -> Vec<CheckpointVector> {
    let usual = signing::Checkpoint {
        originChainId: ETHEREUM,
        outbox: account("Outbox"),
        setEpoch: 1,
        root: word("checkpoint/root"),
        count: 5,
        blockNumber: 25_000_000,
        blockHash: word("checkpoint/block"),
        blockTimestamp: 1_800_000_000,
    };
    let largest = signing::Checkpoint {
        originChainId: u64::MAX,
        setEpoch: u64::MAX,
        count: u32::MAX,
        blockNumber: u64::MAX,
        blockTimestamp: u64::MAX,
        ..usual.clone()
    };
    let other_chain = signing::Checkpoint { originChainId: CLASSIC, ..usual.clone() };
    let vector = |checkpoint: signing::Checkpoint| CheckpointVector {
        origin_chain_id: checkpoint.originChainId,
        outbox: checkpoint.outbox,
        set_epoch: checkpoint.setEpoch,
        root: checkpoint.root,
        count: checkpoint.count,
        block_number: checkpoint.blockNumber,
        block_hash: checkpoint.blockHash,
        block_timestamp: checkpoint.blockTimestamp,
        digest: checkpoint.digest(),
    };
    [usual, other_chain, largest].map(vector).into()
}

pub(super) fn receipts() -> Vec<ReceiptVector> {
    let contract = account("WorkVerification");
    // The same receipt on another chain is another receipt.
    let cases = [(20_000_000, 7, 812, CLASSIC), (20_000_000, 7, 812, 63), (u64::MAX, u64::MAX, u32::MAX, 63), (0, 0, 0, 63)];
    let vector = |(challenge_block, device_id, elapsed_ms, chain_id): (u64, u64, u32, u64)| {
        let (block_hash, root) = (word("receipt/block"), word("receipt/root"));
        let receipt = signing::WorkReceipt {
            challengeBlock: challenge_block,
            deviceId: device_id,
            blockHash: block_hash,
            root,
            elapsedMs: elapsed_ms,
        };
        let digest = receipt.eip712_signing_hash(&contract_domain(chain_id, contract));
        ReceiptVector { challenge_block, device_id, block_hash, root, elapsed_ms, chain_id, contract, digest }
    };
    cases.map(vector).into()
}

pub(super) fn refusals() -> Vec<RefusalVector> {
    let contract = account("WorkVerification");
    let vector = |(challenge_block, device_id, chain_id): (u64, u64, u64)| {
        let (block_hash, root) = (word("receipt/block"), word("receipt/root"));
        let statement = signing::NoOpening { challengeBlock: challenge_block, deviceId: device_id, blockHash: block_hash, root };
        let digest = statement.eip712_signing_hash(&contract_domain(chain_id, contract));
        RefusalVector { challenge_block, device_id, block_hash, root, chain_id, contract, digest }
    };
    [(20_000_000, 7, CLASSIC), (20_000_000, 7, 63), (u64::MAX, u64::MAX, 63)].map(vector).into()
}

pub(super) fn sessions_opened() -> Vec<SessionOpenedVector> {
    let contract = account("GPURental");
    let vector = |(rental_id, time, chain_id): (u64, u64, u64)| {
        let opened = signing::SessionOpened { rentalId: rental_id, time };
        let digest = opened.eip712_signing_hash(&contract_domain(chain_id, contract));
        SessionOpenedVector { rental_id, time, chain_id, contract, digest }
    };
    [(3, 1_800_000_123, ETHEREUM), (3, 1_800_000_123, 11_155_111), (u64::MAX, u64::MAX, ETHEREUM)].map(vector).into()
}

pub(super) fn session_keys() -> Vec<SessionKeyVector> {
    let contract = account("GPURental");
    let cases = [
        (3, Bytes::from(word("public key").0), 1_800_003_600),
        (3, Bytes::new(), 1_800_003_600),
        (u64::MAX, Bytes::from(vec![0xff; 33]), u64::MAX),
    ];
    let vector = |(rental_id, public_key, expiry): (u64, Bytes, u64)| {
        let key = signing::SessionKey { rentalId: rental_id, publicKey: public_key.clone(), expiry };
        let digest = key.eip712_signing_hash(&contract_domain(ETHEREUM, contract));
        SessionKeyVector { rental_id, public_key, expiry, chain_id: ETHEREUM, contract, digest }
    };
    cases.map(vector).into()
}

pub(super) fn node_records() -> Vec<NodeRecordVector> {
    let contract = account("StakingManager");
    let usual = NodeRecord {
        account: account("operator"),
        role: 2,
        peer_id: Bytes::from([&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20], word("peer").as_slice()].concat()),
        addresses: vec!["/ip4/203.0.113.7/tcp/7700".into(), "/dns4/queen.example/udp/7700/quic-v1".into()],
        sequence: 9,
        expiry: 1_800_086_400,
    };
    let unreachable = NodeRecord { role: 1, addresses: Vec::new(), ..usual.clone() };
    let joined = NodeRecord { addresses: vec![usual.addresses.concat()], ..usual.clone() };
    let largest = NodeRecord { role: 3, sequence: u64::MAX, expiry: u64::MAX, ..usual.clone() };
    let vector = |record: NodeRecord| {
        let digest = record.digest(&contract_domain(ETHEREUM, contract));
        let NodeRecord { account, role, peer_id, addresses, sequence, expiry } = record;
        NodeRecordVector { account, role, peer_id, addresses, sequence, expiry, chain_id: ETHEREUM, contract, digest }
    };
    [usual, unreachable, joined, largest].map(vector).into()
}
