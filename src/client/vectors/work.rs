//! Vectors of challenges, kernels, committees and draws: docs/protocol.md sections 2 to 7.

use alloy::primitives::{Address, B256, Bytes};
use serde::Serialize;

use super::{account, decimal, profile_words, word};
use crate::rules::kernel::vectors::{self as kernels, Intermediate};
use crate::rules::kernel::{ChallengeContext, NoSuchSample, challenge_seed, is_drawn, sample_seed, small_profile};
use crate::rules::{beacon, committee};
use crate::types::work::{Mode, Profile, SampleIndex, cpu_test_class};

/// Whether a block is a challenge block, its distance to the previous one aside.
#[derive(Clone, Debug, Serialize)]
pub struct BeaconVector {
    pub block_hash: B256,
    #[serde(serialize_with = "decimal")]
    pub period: u64,
    pub is_challenge: bool,
}

/// Whether a profile keeps the rules of section 2.
#[derive(Clone, Debug, Serialize)]
pub struct ProfileVector {
    pub name: &'static str,
    pub profile: [String; 12],
    pub is_valid: bool,
}

/// The seed of one device at one challenge.
#[derive(Clone, Debug, Serialize)]
pub struct SeedVector {
    pub name: String,
    pub block_hash: B256,
    #[serde(serialize_with = "decimal")]
    pub chain_id: u64,
    pub contract: Address,
    pub provider: Address,
    #[serde(serialize_with = "decimal")]
    pub device_id: u64,
    pub class_version: u32,
    pub mode: u8,
    pub profile: [String; 12],
    pub seed: B256,
}

/// Both kernels under one seed, and a proof of some samples.
#[derive(Clone, Debug, Serialize)]
pub struct KernelVector {
    pub name: String,
    pub profile: [String; 12],
    pub seed: B256,
    /// Only where the profile has all of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate: Option<KernelIntermediate>,
    pub memory_root: B256,
    pub matmul_roots: Vec<B256>,
    pub work_root: B256,
    pub sample_seed: B256,
    pub samples: u32,
    /// What the samples open.
    pub indices: Vec<SampleIndex>,
    /// `abi.encode` of the contracts' `WorkProof`.
    pub proof: Bytes,
}

/// Values on the way, for finding where an implementation differs; counted from 0, in round 1.
#[derive(Clone, Debug, Serialize)]
pub struct KernelIntermediate {
    pub unit_5: B256,
    pub lane_1_start: B256,
    pub lane_1_checkpoint_0: B256,
    pub lane_1_root: B256,
    pub round_1_seed: B256,
    /// The first 32 entries of row 3 of A.
    pub row_3: Bytes,
    /// The first 32 entries of column 2 of B.
    pub column_2: Bytes,
    #[serde(serialize_with = "decimal")]
    pub row_3_fold_1: u64,
    pub leaf_0: B256,
}

/// The Queens that witness one commit.
#[derive(Clone, Debug, Serialize)]
pub struct CommitteeVector {
    pub block_hash: B256,
    pub provider: Address,
    #[serde(serialize_with = "decimal")]
    pub device_id: u64,
    pub queens: u16,
    pub committee_size: u16,
    pub shard_size: u16,
    pub shard_seed: B256,
    pub members: Vec<u16>,
}

/// What the receipts of one commit amount to.
#[derive(Clone, Debug, Serialize)]
pub struct MeasureVector {
    /// Members of the committee.
    pub committee: usize,
    /// One per receipt.
    pub elapsed_ms: Vec<u32>,
    pub is_measured: bool,
    pub median_ms: Option<u32>,
}

/// Whether the seal draws a commit, and the seed of its samples.
#[derive(Clone, Debug, Serialize)]
pub struct DrawVector {
    pub seal_hash: B256,
    #[serde(serialize_with = "decimal")]
    pub challenge_block: u64,
    #[serde(serialize_with = "decimal")]
    pub device_id: u64,
    pub proof_rate: u32,
    pub is_drawn: bool,
    pub sample_seed: B256,
}

/// Of every period the first challenge block and the first other one, as far as a short search finds them.
pub(super) fn beacons() -> Vec<BeaconVector> {
    let mut vectors = Vec::new();
    for period in [1, 2, 3, 64, 1000, u64::MAX] {
        for wanted in [true, false] {
            let found = (0..10_000u32).map(|number| word(&format!("block/{period}/{number}")));
            let found = found.into_iter().find(|hash| beacon::is_challenge_block(*hash, period) == wanted);
            vectors.extend(found.map(|block_hash| BeaconVector { block_hash, period, is_challenge: wanted }));
        }
    }
    let every_bit = [B256::ZERO, B256::repeat_byte(0xff)];
    vectors.extend(every_bit.map(|block_hash| BeaconVector {
        block_hash,
        period: 3,
        is_challenge: beacon::is_challenge_block(block_hash, 3),
    }));
    vectors
}

pub(super) fn profiles() -> Vec<ProfileVector> {
    let (full, light) = cpu_test_class();
    let cases = [
        ("small", small_profile()),
        ("cpu-test full", full),
        ("cpu-test light", light),
        ("least", least_profile()),
        ("longest sum", Profile { inner_size: 16_384, ..full }),
        ("no window", Profile { windows: 0, ..full }),
        ("no memory", Profile { memory_bytes: 0, ..full }),
        ("half a line per window", Profile { memory_bytes: 64 * 4, ..full }),
        ("no hash", Profile { hash_iterations: 0, ..full }),
        ("lanes not a power of two", Profile { lanes: 48, ..full }),
        ("one segment", Profile { steps: 256, windows: 1, cycles: 1, ..full }),
        ("phase of half a segment", Profile { steps: 2048, ..full }),
        ("matrix smaller than a fold", Profile { matrix_size: 4, ..full }),
        ("matrix not a power of two", Profile { matrix_size: 24, ..full }),
        ("half a word per row", Profile { inner_size: 16, ..full }),
        ("sum too long", Profile { inner_size: 16_416, ..full }),
        ("no round", Profile { rounds: 0, ..full }),
        ("passing before the reference", full.with_times(1_000, 999, 1_000)),
        ("unmeasured before passing", full.with_times(1_000, 2_000, 1_999)),
    ];
    let vector = |(name, profile): (&'static str, Profile)| ProfileVector {
        name,
        profile: profile_words(&profile),
        is_valid: profile.validate().is_ok(),
    };
    cases.map(vector).into()
}

/// Everything at its minimum: one lane of two segments, a matrix of one fold per row.
const fn least_profile() -> Profile {
    Profile {
        memory_bytes: 128,
        hash_iterations: 1,
        lanes: 1,
        steps: 512,
        windows: 1,
        cycles: 1,
        matrix_size: 8,
        inner_size: 32,
        rounds: 1,
        reference_ms: 1,
        pass_ms: 1,
        unmeasured_ms: 1,
    }
}

/// Kernels, and the seeds that they and some other challenges have.
pub(super) fn seeds_and_kernels() -> Result<(Vec<SeedVector>, Vec<KernelVector>), NoSuchSample> {
    let least = least_profile();
    let mut edges = Vec::new();
    for (name, profile, samples) in [
        ("least", least, 4),
        ("longest sum", Profile { inner_size: 16_384, ..least }, 1),
        ("two leaves per row", Profile { matrix_size: 2048, ..least }, 1),
        (
            "lines not a power of two",
            Profile { memory_bytes: 128 * 7 * 3, windows: 3, steps: 256 * 3 * 3, cycles: 3, lanes: 2, ..least },
            2,
        ),
    ] {
        edges.push(kernels::kernel_vector(name, &profile, Mode::Full, samples)?);
    }
    let named = kernels::kernel_vectors()?;
    let mut seeds = other_seeds();
    seeds.extend(named.iter().map(seed_of_kernel));
    let with_values = named.into_iter().map(|vector| (vector, true));
    let without = edges.into_iter().map(|vector| (vector, false));
    Ok((seeds, with_values.chain(without).map(|(vector, has_values)| kernel(vector, has_values)).collect()))
}

fn kernel(vector: kernels::KernelVector, has_values: bool) -> KernelVector {
    KernelVector {
        name: vector.name,
        profile: profile_words(&vector.profile),
        seed: vector.seed,
        intermediate: has_values.then(|| intermediate(vector.intermediate)),
        memory_root: vector.memory_root,
        matmul_roots: vector.matmul_roots,
        work_root: vector.work_root,
        sample_seed: vector.sample_seed,
        samples: vector.samples,
        indices: vector.indices,
        proof: vector.proof,
    }
}

fn intermediate(values: Intermediate) -> KernelIntermediate {
    KernelIntermediate {
        unit_5: values.unit_5,
        lane_1_start: values.lane_1_start,
        lane_1_checkpoint_0: values.lane_1_checkpoint_0,
        lane_1_root: values.lane_1_root,
        round_1_seed: values.round_1_seed,
        row_3: values.row_3,
        column_2: values.column_2,
        row_3_fold_1: values.row_3_fold_1,
        leaf_0: values.leaf_0,
    }
}

fn seed_of_kernel(vector: &kernels::KernelVector) -> SeedVector {
    SeedVector {
        name: format!("of kernel {}", vector.name),
        block_hash: vector.block_hash,
        chain_id: vector.chain_id,
        contract: vector.verifier,
        provider: vector.provider,
        device_id: vector.device_id,
        class_version: vector.class_version,
        mode: vector.mode,
        profile: profile_words(&vector.profile),
        seed: vector.seed,
    }
}

fn other_seeds() -> Vec<SeedVector> {
    let (full, _) = cpu_test_class();
    // What the main network accepts as a class.
    let large = Profile { matrix_size: 4096, inner_size: 4096, ..full.with_times(8_000, 8_000, 10_000) };
    let context = ChallengeContext {
        block_hash: word("seed/block"),
        chain_id: 61,
        verifier: account("WorkVerification"),
        provider: account("provider"),
        device_id: 1,
        class_version: 1,
        mode: Mode::Full,
    };
    let largest = ChallengeContext { chain_id: 63, device_id: u64::MAX, class_version: u32::MAX, ..context };
    // First the profile that every network accepts: suites that need a class of any kind take that one.
    let cases = [
        ("main network", context, large),
        ("main network, light", ChallengeContext { mode: Mode::Light, ..context }, large),
        ("largest numbers", largest, large.with_times(1, u32::MAX, u32::MAX)),
        ("other provider", ChallengeContext { chain_id: 63, provider: account("other provider"), ..context }, full),
    ];
    let vector = |(name, context, profile): (&str, ChallengeContext, Profile)| SeedVector {
        name: name.to_owned(),
        block_hash: context.block_hash,
        chain_id: context.chain_id,
        contract: context.verifier,
        provider: context.provider,
        device_id: context.device_id,
        class_version: context.class_version,
        mode: context.mode as u8,
        profile: profile_words(&profile),
        seed: challenge_seed(&context, &profile),
    };
    cases.map(vector).into()
}

pub(super) fn committees() -> Vec<CommitteeVector> {
    // Fewer, as many and more Queens than seats; the largest device; the same draw for another device.
    // The last ones are split into shards.
    let cases = [
        (1, 3, 1, 3),
        (3, 3, 1, 3),
        (4, 3, 1, 3),
        (40, 15, 7, 40),
        (40, 15, 8, 21),
        (200, 15, u64::MAX, 200),
        (5, 1, 2, 5),
        (40, 15, 7, 20),
        (103, 15, 7, 20),
        (124, 1, 9, 1),
    ];
    let vector = |(queens, committee_size, device_id, shard_size): (u16, u16, u64, u16)| {
        let (block_hash, provider, shard_seed) = (word("committee/block"), account("provider"), word("committee/shards"));
        let shards = committee::Shards { queens, shard_size, seed: shard_seed };
        let members = shards.committee(block_hash, provider, device_id, committee_size);
        CommitteeVector { block_hash, provider, device_id, queens, committee_size, shard_size, shard_seed, members }
    };
    cases.map(vector).into()
}

pub(super) fn measures() -> Vec<MeasureVector> {
    let cases: [(usize, &[u32]); 8] = [
        (3, &[]),
        (3, &[900]),
        (3, &[1_000, 900]),
        (3, &[1_000, 900, 4_000_000_000]),
        (1, &[0]),
        (4, &[20, 10]),
        (4, &[30, 10, 20]),
        (15, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
    ];
    let vector = |(committee, elapsed_ms): (usize, &[u32])| MeasureVector {
        committee,
        elapsed_ms: elapsed_ms.to_vec(),
        is_measured: committee::is_measured(elapsed_ms.len(), committee),
        median_ms: committee::median_ms(elapsed_ms, committee),
    };
    cases.map(vector).into()
}

/// Of every rate the first drawn device and the first other one.
pub(super) fn draws() -> Vec<DrawVector> {
    let seal_hash = word("draw/seal");
    let vector = |challenge_block, device_id, proof_rate| DrawVector {
        seal_hash,
        challenge_block,
        device_id,
        proof_rate,
        is_drawn: is_drawn(seal_hash, challenge_block, device_id, proof_rate.into()),
        sample_seed: sample_seed(seal_hash, challenge_block, device_id),
    };
    let mut vectors = Vec::new();
    for proof_rate in [1, 2, 16, 100] {
        for wanted in [true, false] {
            let found = (0..10_000).map(|device| vector(20_000_000, device, proof_rate)).find(|draw| draw.is_drawn == wanted);
            vectors.extend(found);
        }
    }
    vectors.push(vector(u64::MAX, u64::MAX, u32::MAX));
    vectors
}
