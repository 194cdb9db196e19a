//! Which ETC blocks are challenges: the part that Queens and providers share.

use std::{collections::BTreeMap, sync::Arc};

use alloy::primitives::{Address, B256, Bytes};
use tokio::sync::Mutex;

use super::index::{ChainIndex, DeviceInfo, QueenSet, WorkParameters};
use crate::{
    chain::{BlockId, Chain, ChainError},
    rules::{
        beacon,
        committee::Shards,
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

/// Reads WorkVerification and walks new blocks.
#[derive(Clone)]
pub struct Challenges {
    chain: Chain,
    index: ChainIndex,
    contract: Address,
    /// What the contract said at start, for the moments before the index has caught up.
    loaded: (WorkParameters, Arc<QueenSet>),
    next_block: u64,
    last_candidate: Option<u64>,
    profiles: Arc<Mutex<BTreeMap<(u32, Mode), Profile>>>,
}

impl Challenges {
    pub async fn load(chain: Chain, index: ChainIndex, contract: Address) -> Result<Self, ChainError> {
        let read = chain.call(contract, WorkVerification::parametersCall {}, BlockId::latest()).await?;
        let parameters = WorkParameters {
            beacon_period: read.beaconPeriod,
            beacon_spacing: read.beaconSpacing,
            commit_window: read.commitWindow,
            dispute_window: read.disputeWindow,
            proof_rate: read.proofRate,
            proof_samples: read.proofSamples,
            committee_size: u16::try_from(read.committeeSize).unwrap_or(u16::MAX),
            shard_size: u16::try_from(read.shardSize).unwrap_or(u16::MAX),
            dispute_bond_wei: read.disputeBond,
        };
        let epoch = chain.call(contract, WorkVerification::queenEpochCall {}, BlockId::latest()).await?;
        let operators = chain.call(contract, WorkVerification::queensAtCall { epoch }, BlockId::latest()).await?;
        let shard_seed = chain.call(contract, WorkVerification::shardSeedAtCall { epoch }, BlockId::latest()).await?;
        let queens = Arc::new(QueenSet { epoch, shard_seed, operators });
        let next_block = chain.head().await?.number.saturating_sub(LOOK_BACK_BLOCKS);
        let loaded = (parameters, queens);
        Ok(Self { chain, index, contract, loaded, next_block, last_candidate: None, profiles: Arc::default() })
    }

    /// What challenge block `block` was opened under, or would be now.
    pub fn parameters(&self, block: u64) -> WorkParameters {
        self.index.views().work.parameters_of(block).unwrap_or(self.loaded.0)
    }

    /// The Queens of challenge block `block`, or those it would have now.
    pub fn queens(&self, block: u64) -> Arc<QueenSet> {
        self.index.views().work.queens_of(block).unwrap_or_else(|| Arc::clone(&self.loaded.1))
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
        let parameters = self.parameters(number);
        let opened = self.index.views().work.challenges.iter().rev().map(|challenge| challenge.block_number).find(|block| *block < number);
        // A candidate that nobody opened in time no longer keeps others away.
        let open = self.last_candidate.filter(|block| number <= beacon::open_until(*block, parameters.commit_window));
        let previous = opened.max(open);
        beacon::is_challenge_block(hash, parameters.beacon_period) && beacon::may_open(number, previous, parameters.beacon_spacing)
    }

    /// The profile of a class in a mode. Versions are never changed, so one look is enough.
    pub async fn profile(&self, class_version: u32, mode: Mode) -> Result<Profile, ChainError> {
        let mut known = self.profiles.lock().await;
        if let Some(profile) = known.get(&(class_version, mode)) {
            return Ok(*profile);
        }
        let profile = self.read_profile(class_version, mode).await?;
        known.insert((class_version, mode), profile);
        Ok(profile)
    }

    async fn read_profile(&self, class_version: u32, mode: Mode) -> Result<Profile, ChainError> {
        let class =
            self.chain.call(self.contract, WorkVerification::classProfileCall { classVersion: class_version }, BlockId::latest()).await?;
        Ok(match mode {
            Mode::Full => (&class.full).into(),
            Mode::Light => (&class.light).into(),
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

    /// The Queens that time a device: place in the set and operator key.
    pub fn committee(&self, block: u64, block_hash: B256, id: DeviceId, provider: Address) -> Vec<(u16, Address)> {
        let (parameters, queens) = (self.parameters(block), self.queens(block));
        let count = u16::try_from(queens.operators.len()).unwrap_or(u16::MAX);
        let shards = Shards { queens: count, shard_size: parameters.shard_size, seed: queens.shard_seed };
        let members = shards.committee(block_hash, provider, id, parameters.committee_size);
        members.into_iter().filter_map(|index| Some((index, *queens.operators.get(usize::from(index))?))).collect()
    }

    /// A key's place among the Queens of a challenge; `None` while it is not one of them.
    pub fn seat(&self, block: u64, operator: Address) -> Option<u16> {
        let position = self.queens(block).operators.iter().position(|queen| *queen == operator)?;
        u16::try_from(position).ok()
    }
}
