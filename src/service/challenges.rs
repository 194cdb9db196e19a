//! Which ETC blocks are challenges: the part that Queens and providers share.

use alloy::primitives::{Address, B256, Bytes};

use super::index::{ChainIndex, DeviceInfo};
use crate::{
    chain::{BlockId, Chain, ChainError},
    rules::{
        beacon,
        committee::committee,
        kernel::{ChallengeContext, challenge_seed},
    },
    types::{
        DeviceId,
        abi::WorkVerification,
        work::{Mode, Profile},
    },
};

/// Blocks looked back at start; older challenges are past their commit window anyway.
const LOOK_BACK_BLOCKS: u64 = 4;

/// A challenge block as seen by this node; it may not be opened on chain yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenChallenge {
    pub block_number: u64,
    pub block_hash: B256,
    pub timestamp: u64,
    pub header_rlp: Bytes,
}

/// Parameters of WorkVerification that nodes need.
#[derive(Debug, Clone, Copy)]
pub struct WorkParameters {
    pub beacon_period: u64,
    pub beacon_spacing: u64,
    pub commit_window: u64,
    pub dispute_window: u64,
    pub answer_window: u64,
    pub proof_rate: u32,
    pub proof_samples: u32,
    pub committee_size: u16,
    pub mode_slack_seconds: u64,
}

impl WorkParameters {
    /// Blocks after a challenge's until its commit and dispute windows are over.
    pub fn settle_blocks(&self) -> u64 {
        self.commit_window.saturating_add(self.dispute_window)
    }
}

/// Reads WorkVerification and walks new blocks.
#[derive(Clone)]
pub struct Challenges {
    chain: Chain,
    index: ChainIndex,
    contract: Address,
    pub parameters: WorkParameters,
    pub queens: Vec<Address>,
    next_block: u64,
    last_candidate: Option<u64>,
}

impl Challenges {
    pub async fn load(chain: Chain, index: ChainIndex, contract: Address) -> Result<Self, ChainError> {
        let read = chain.call(contract, WorkVerification::parametersCall {}, BlockId::latest()).await?;
        let parameters = WorkParameters {
            beacon_period: read.beaconPeriod,
            beacon_spacing: read.beaconSpacing,
            commit_window: read.commitWindow,
            dispute_window: read.disputeWindow,
            answer_window: read.answerWindow,
            proof_rate: read.proofRate,
            proof_samples: read.proofSamples,
            committee_size: u16::try_from(read.committeeSize).unwrap_or(u16::MAX),
            mode_slack_seconds: read.modeSlack,
        };
        let queens = chain.call(contract, WorkVerification::queensCall {}, BlockId::latest()).await?;
        let next_block = chain.head().await?.number.saturating_sub(LOOK_BACK_BLOCKS);
        Ok(Self { chain, index, contract, parameters, queens, next_block, last_candidate: None })
    }

    pub fn contract(&self) -> Address {
        self.contract
    }

    /// Challenge blocks since the last call, up to the newest block that the index holds.
    pub async fn poll(&mut self) -> Result<Vec<SeenChallenge>, ChainError> {
        let newest = self.index.newest().number;
        let mut seen = Vec::new();
        while self.next_block <= newest {
            let block = self.chain.block(self.next_block).await?;
            self.next_block += 1;
            if self.is_candidate(block.number, block.hash) {
                self.last_candidate = Some(block.number);
                seen.push(SeenChallenge {
                    block_number: block.number,
                    block_hash: block.hash,
                    timestamp: block.timestamp,
                    header_rlp: block.header_rlp,
                });
            }
        }
        Ok(seen)
    }

    fn is_candidate(&self, number: u64, hash: B256) -> bool {
        let opened = self.index.views().work.challenges.iter().rev().map(|challenge| challenge.block_number).find(|block| *block < number);
        // A candidate that nobody opened in time no longer keeps others away.
        let open = self.last_candidate.filter(|block| number <= beacon::open_until(*block, self.parameters.commit_window));
        let previous = opened.max(open);
        beacon::is_challenge_block(hash, self.parameters.beacon_period)
            && beacon::may_open(number, previous, self.parameters.beacon_spacing)
    }

    /// The profile of a class in a mode.
    pub async fn profile(&self, class_version: u32, mode: Mode) -> Result<Profile, ChainError> {
        let class =
            self.chain.call(self.contract, WorkVerification::classProfileCall { classVersion: class_version }, BlockId::latest()).await?;
        let profile = match mode {
            Mode::Full => class.full,
            Mode::Light => class.light,
        };
        Ok(Profile {
            memory_bytes: profile.memoryBytes,
            hash_iterations: profile.hashIterations,
            lanes: profile.lanes,
            steps: profile.steps,
            windows: profile.windows,
            cycles: profile.cycles,
            matrix_size: profile.matrixSize,
            inner_size: profile.innerSize,
            rounds: profile.rounds,
            reference_ms: profile.referenceMs,
            pass_ms: profile.passMs,
            unmeasured_ms: profile.unmeasuredMs,
        })
    }

    /// What `device` has to work on.
    pub fn seed(&self, block_hash: B256, id: DeviceId, device: &DeviceInfo, mode: Mode, profile: &Profile) -> B256 {
        let context = ChallengeContext {
            block_hash,
            chain_id: self.chain.chain_id(),
            verifier: self.contract,
            provider: device.provider,
            device_id: id,
            class_version: device.class_version,
            mode,
        };
        challenge_seed(&context, profile)
    }

    /// Indices of the Queens that time `device`.
    pub fn committee(&self, block_hash: B256, id: DeviceId, provider: Address) -> Vec<u16> {
        let count = u16::try_from(self.queens.len()).unwrap_or(u16::MAX);
        committee(block_hash, provider, id, count, self.parameters.committee_size)
    }
}
