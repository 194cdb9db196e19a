//! What no event tells: heads, finality, class profiles, quorums, solvency. Read beside the index, on each new block; what cannot be
//! read keeps its last value, and nothing else waits for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use alloy::primitives::{Address, U256};

use crate::{
    chain::{BlockId, Chain, ChainError},
    service::indexer::MarketIndex,
    task::{Fault, Service, Shutdown},
    types::{
        ChainKind, Coded,
        abi::{GPURental, GPUToken, Governance, StakingManager, WorkDisputes, work_disputes::WorkDisputes::Profile},
    },
};

/// Pause between two looks. Shorter only costs requests: none of it changes what an answer may promise.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Reads of one look that fill what is missing; the rest waits for the next one.
const READS: usize = 16;

/// What a contract holds and owes.
#[derive(Debug, Clone)]
pub struct Position {
    pub contract: &'static str,
    pub address: Address,
    pub held: U256,
    pub owed: U256,
    pub block: u64,
}

/// The part of a class's profile that people choose by.
#[derive(Debug, Clone, Copy)]
pub struct ModeTold {
    pub memory_bytes: u64,
    pub matrix_size: u32,
    pub inner_size: u32,
    pub rounds: u32,
    pub reference_ms: u32,
    pub pass_ms: u32,
    pub unmeasured_ms: u32,
}

impl From<&Profile> for ModeTold {
    fn from(profile: &Profile) -> Self {
        Self {
            memory_bytes: profile.memoryBytes,
            matrix_size: profile.matrixSize,
            inner_size: profile.innerSize,
            rounds: profile.rounds,
            reference_ms: profile.referenceMs,
            pass_ms: profile.passMs,
            unmeasured_ms: profile.unmeasuredMs,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Heads that the node sees, by chain; zero before the first look.
    pub heads: [u64; 2],
    /// Newest finalized block of Ethereum.
    pub finalized: u64,
    pub token_name: String,
    /// Full and light, by class.
    pub profiles: BTreeMap<u32, (ModeTold, ModeTold)>,
    /// By proposal, once its snapshot has passed.
    pub quorums: BTreeMap<U256, U256>,
    pub solvency: Vec<Position>,
}

/// Keeps [`Live`] up to date.
pub struct LiveReader {
    pub ethereum: Chain,
    pub classic: Chain,
    pub index: MarketIndex,
    pub live: Arc<RwLock<Live>>,
}

impl LiveReader {
    fn write(&self, change: impl FnOnce(&mut Live)) {
        change(&mut self.live.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, part: impl FnOnce(&Live) -> T) -> T {
        part(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn look(&self) -> Result<(), ChainError> {
        let (ethereum, classic) = tokio::try_join!(self.ethereum.head(), self.classic.head())?;
        self.write(|live| live.heads = [ethereum.number, classic.number]);
        let finalized = self.ethereum.finalized().await?.number;
        self.write(|live| live.finalized = finalized);
        self.read_name().await?;
        self.read_profiles().await?;
        self.read_quorums().await?;
        self.read_solvency(ethereum.number).await
    }

    async fn read_name(&self) -> Result<(), ChainError> {
        if self.read(|live| live.token_name.is_empty()) {
            let name = self.ethereum.call(self.index.book.ethereum.gpu_token, GPUToken::nameCall {}, BlockId::latest()).await?;
            self.write(|live| live.token_name = name);
        }
        Ok(())
    }

    /// Versions of a class never change, so each is read once.
    async fn read_profiles(&self) -> Result<(), ChainError> {
        let classes = self.index.view(ChainKind::Classic).work.classes.clone();
        let missing: Vec<u32> = self.read(|live| classes.into_iter().filter(|class| !live.profiles.contains_key(class)).collect());
        for class in missing.into_iter().take(READS) {
            let call = WorkDisputes::classProfileCall { classVersion: class };
            let profile = self.classic.call(self.index.book.classic.work_verification, call, BlockId::latest()).await?;
            let modes = (ModeTold::from(&profile.full), ModeTold::from(&profile.light));
            self.write(|live| live.profiles.extend([(class, modes)]));
        }
        Ok(())
    }

    async fn read_quorums(&self) -> Result<(), ChainError> {
        let now = self.index.view(ChainKind::Ethereum).head.timestamp;
        let started: Vec<(U256, u64)> = {
            let view = self.index.view(ChainKind::Ethereum);
            let all = view.votes.proposals.values().filter(|proposal| proposal.vote_start < now);
            all.map(|proposal| (proposal.id, proposal.vote_start)).collect()
        };
        let missing: Vec<_> = self.read(|live| started.into_iter().filter(|(id, _)| !live.quorums.contains_key(id)).collect());
        for (id, snapshot) in missing.into_iter().take(READS) {
            let call = Governance::quorumCall { timepoint: U256::from(snapshot) };
            let quorum = self.ethereum.call(self.index.book.ethereum.governance, call, BlockId::latest()).await?;
            self.write(|live| live.quorums.extend([(id, quorum)]));
        }
        Ok(())
    }

    /// All at one block: what is held and what is owed must be of one moment.
    async fn read_solvency(&self, block: u64) -> Result<(), ChainError> {
        let (chain, eth, at) = (&self.ethereum, &self.index.book.ethereum, BlockId::number(block));
        let held = |account| chain.call(eth.gpu_token, GPUToken::balanceOfCall { account }, at);
        let (escrow, credit, reserve, in_rental, staked, in_stakes) = tokio::try_join!(
            chain.call(eth.gpu_rental, GPURental::totalHeldCall {}, at),
            chain.call(eth.gpu_rental, GPURental::totalCreditCall {}, at),
            chain.call(eth.gpu_rental, GPURental::totalReserveCall {}, at),
            held(eth.gpu_rental),
            chain.call(eth.staking_manager, StakingManager::totalHeldCall {}, at),
            held(eth.staking_manager),
        )?;
        let rental = escrow.saturating_add(credit).saturating_add(reserve);
        let positions = vec![
            Position { contract: "GPURental", address: eth.gpu_rental, held: in_rental, owed: rental, block },
            Position { contract: "StakingManager", address: eth.staking_manager, held: in_stakes, owed: staked, block },
        ];
        self.write(|live| live.solvency = positions);
        Ok(())
    }
}

#[async_trait::async_trait]
impl Service for LiveReader {
    fn name(&self) -> &'static str {
        "api-reader"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut changed = self.index.changed();
        loop {
            if let Err(error) = self.look().await {
                tracing::debug!(code = error.code(), %error, "what no event tells cannot be read");
            }
            if !shutdown.pause(LOOK_EVERY).await || !matches!(shutdown.or_stop(changed.changed()).await, Some(Ok(()))) {
                return Ok(());
            }
        }
    }
}
