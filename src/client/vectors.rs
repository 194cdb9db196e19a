//! Test vectors of docs/protocol.md, made by the same code that the nodes run: for other implementations to check themselves against.
//!
//! Integers of 64 bits are decimal strings, because many JSON readers keep only 53 bits; smaller ones are numbers.

mod bridge;
mod kings;
mod work;

use alloy::primitives::{Address, B256, keccak256};
use serde::{Serialize, Serializer};

pub use bridge::{
    CheckpointVector, KingSetVector, MemberVector, MessageVector, NodeRecordVector, QuorumVector, ReceiptVector, SessionKeyVector,
    SessionOpenedVector, SignatureVector, TreeVector,
};
pub use kings::{PauseVector, RecoveryVector, RotationVector};
pub use work::{BeaconVector, CommitteeVector, DrawVector, KernelIntermediate, KernelVector, MeasureVector, ProfileVector, SeedVector};

use crate::rules::kernel::NoSuchSample;
use crate::types::work::Profile;

/// All vectors, in the order of docs/protocol.md.
#[derive(Clone, Debug, Serialize)]
pub struct Vectors {
    pub beacon: Vec<BeaconVector>,
    pub profile: Vec<ProfileVector>,
    pub seed: Vec<SeedVector>,
    pub kernel: Vec<KernelVector>,
    pub committee: Vec<CommitteeVector>,
    pub measure: Vec<MeasureVector>,
    pub draw: Vec<DrawVector>,
    pub message: Vec<MessageVector>,
    pub tree: Vec<TreeVector>,
    pub king_set: Vec<KingSetVector>,
    pub quorum: Vec<QuorumVector>,
    pub signature: Vec<SignatureVector>,
    pub checkpoint: Vec<CheckpointVector>,
    pub king_set_rotation: Vec<RotationVector>,
    pub bridge_recovery: Vec<RecoveryVector>,
    pub bridge_pause: Vec<PauseVector>,
    pub receipt: Vec<ReceiptVector>,
    pub session_opened: Vec<SessionOpenedVector>,
    pub session_key: Vec<SessionKeyVector>,
    pub node_record: Vec<NodeRecordVector>,
}

/// Computes all vectors; the same on every machine and at every call. Blocks for seconds.
pub fn vectors() -> Result<Vectors, NoSuchSample> {
    let (seed, kernel) = work::seeds_and_kernels()?;
    Ok(Vectors {
        beacon: work::beacons(),
        profile: work::profiles(),
        seed,
        kernel,
        committee: work::committees(),
        measure: work::measures(),
        draw: work::draws(),
        message: bridge::messages(),
        tree: bridge::trees(),
        king_set: bridge::king_sets(),
        quorum: bridge::quorums(),
        signature: bridge::signatures(),
        checkpoint: bridge::checkpoints(),
        king_set_rotation: kings::rotations(),
        bridge_recovery: kings::recoveries(),
        bridge_pause: kings::pauses(),
        receipt: bridge::receipts(),
        session_opened: bridge::sessions_opened(),
        session_key: bridge::session_keys(),
        node_record: bridge::node_records(),
    })
}

/// A fixed word that nobody can have chosen.
fn word(name: &str) -> B256 {
    keccak256(format!("gpumkt/vector/{name}"))
}

fn account(name: &str) -> Address {
    Address::from_word(word(name))
}

/// The twelve integers of a profile, as strings.
fn profile_words(profile: &Profile) -> [String; 12] {
    profile.words().map(|word| word.to_string())
}

fn decimal<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
