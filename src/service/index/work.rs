//! WorkVerification on ETC: challenges, devices, commits, terms.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::{
    primitives::{Address, B256},
    sol_types::SolEvent,
};

use crate::chain::LogEntry;
use crate::types::{DeviceId, RentalId, abi::WorkVerification as Contract};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChallengeInfo {
    pub index: u64,
    pub block_number: u64,
    pub block_hash: B256,
    pub timestamp: u64,
    pub is_sealed: bool,
    /// What was in force when it was opened.
    pub parameters_version: u32,
    pub queen_epoch: u64,
}

/// Parameters of WorkVerification that nodes need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkParameters {
    pub beacon_period: u64,
    pub beacon_spacing: u64,
    pub commit_window: u64,
    pub dispute_window: u64,
    pub proof_rate: u32,
    pub proof_samples: u32,
    pub committee_size: u16,
    pub shard_size: u16,
    pub dispute_bond_wei: u128,
}

impl WorkParameters {
    /// Blocks after a challenge's until its commit and dispute windows are over.
    pub fn settle_blocks(&self) -> u64 {
        self.commit_window.saturating_add(self.dispute_window)
    }
}

/// The Queens of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueenSet {
    pub epoch: u64,
    pub shard_seed: B256,
    pub operators: Vec<Address>,
}

/// Samples that somebody demanded of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemandInfo {
    pub position: u64,
    /// Zero for a committee that was refused openings.
    pub opener: Address,
    pub sample_seed: B256,
    pub samples: u32,
    pub answer_until: u64,
    pub is_answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceInfo {
    pub provider: Address,
    pub worker: Address,
    pub class_version: u32,
    pub is_removed: bool,
    /// `worker` answers for challenges later than this, `previous_worker` for the others.
    pub worker_since: u64,
    pub previous_worker: Address,
}

impl DeviceInfo {
    /// The key that answers for a challenge with this timestamp.
    pub fn worker_at(&self, timestamp: u64) -> Address {
        if timestamp > self.worker_since { self.worker } else { self.previous_worker }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitInfo {
    pub root: B256,
    pub mode: u8,
    pub rental: RentalId,
    pub elapsed_ms: u32,
    pub is_measured: bool,
    pub is_proven: bool,
    pub is_voided: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermsInfo {
    pub device: DeviceId,
    pub version: u32,
    pub start: u64,
    pub end: u64,
    /// A final report was sent for this version.
    pub is_final: bool,
}

#[derive(Debug, Clone, Default)]
pub struct WorkView {
    /// In ascending order of blocks; position equals index.
    pub challenges: Vec<ChallengeInfo>,
    pub devices: BTreeMap<DeviceId, DeviceInfo>,
    pub commits: BTreeMap<(u64, DeviceId), CommitInfo>,
    pub terms: BTreeMap<RentalId, TermsInfo>,
    /// Challenge blocks that were settled for a device.
    pub settled: BTreeSet<(DeviceId, u64)>,
    /// Newest full pass that a DeviceReport carried.
    pub reported_pass: BTreeMap<DeviceId, u64>,
    pub demands: BTreeMap<(u64, DeviceId), Vec<DemandInfo>>,
    pub parameters: BTreeMap<u32, WorkParameters>,
    pub queens: BTreeMap<u64, Arc<QueenSet>>,
}

impl WorkView {
    pub(super) fn apply(&mut self, log: &LogEntry) -> Option<()> {
        let topic = *log.topics.first()?;
        match topic {
            Contract::ChallengeOpened::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ChallengeOpened>()?;
                let (parameters_version, queen_epoch) = (self.newest_version(), self.newest_epoch());
                self.challenges.push(ChallengeInfo {
                    parameters_version,
                    queen_epoch,
                    index: event.index,
                    block_number: event.blockNumber,
                    block_hash: event.blockHash,
                    timestamp: event.timestamp,
                    is_sealed: false,
                });
            }
            Contract::ChallengeSealed::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ChallengeSealed>()?;
                self.challenges.iter_mut().rev().find(|challenge| challenge.block_number == event.blockNumber)?.is_sealed = true;
            }
            Contract::DeviceAdded::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceAdded>()?;
                let device = DeviceInfo {
                    provider: event.provider,
                    worker: event.worker,
                    class_version: event.classVersion,
                    is_removed: false,
                    worker_since: 0,
                    previous_worker: Address::ZERO,
                };
                self.devices.insert(event.deviceId, device);
            }
            Contract::WorkerKeySet::SIGNATURE_HASH => {
                let event = log.decode::<Contract::WorkerKeySet>()?;
                let device = self.devices.get_mut(&event.deviceId)?;
                (device.previous_worker, device.worker, device.worker_since) = (device.worker, event.worker, event.changedAt);
            }
            Contract::DeviceDropped::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceDropped>()?;
                self.devices.get_mut(&event.deviceId)?.is_removed = true;
            }
            Contract::DeviceSettled::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceSettled>()?;
                self.settled.insert((event.deviceId, event.challengeBlock));
            }
            Contract::DeviceReported::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceReported>()?;
                self.reported_pass.insert(event.deviceId, event.lastFullPass);
            }
            _ => self.apply_commit_or_terms(topic, log)?,
        }
        Some(())
    }

    fn apply_commit_or_terms(&mut self, topic: B256, log: &LogEntry) -> Option<()> {
        match topic {
            Contract::WorkCommitted::SIGNATURE_HASH => {
                let event = log.decode::<Contract::WorkCommitted>()?;
                let commit = CommitInfo {
                    root: event.root,
                    mode: event.mode,
                    rental: event.rentalId,
                    elapsed_ms: event.elapsedMs,
                    is_measured: event.measured,
                    is_proven: false,
                    is_voided: false,
                };
                self.commits.insert((event.challengeBlock, event.deviceId), commit);
            }
            Contract::WorkProven::SIGNATURE_HASH => {
                let event = log.decode::<Contract::WorkProven>()?;
                self.commits.get_mut(&(event.challengeBlock, event.deviceId))?.is_proven = true;
            }
            Contract::CommitVoided::SIGNATURE_HASH => {
                let event = log.decode::<Contract::CommitVoided>()?;
                self.commits.get_mut(&(event.challengeBlock, event.deviceId))?.is_voided = true;
            }
            Contract::SampleDemanded::SIGNATURE_HASH => {
                let event = log.decode::<Contract::SampleDemanded>()?;
                self.demands.entry((event.challengeBlock, event.deviceId)).or_default().push(DemandInfo {
                    position: event.position.saturating_to(),
                    opener: event.opener,
                    sample_seed: event.sampleSeed,
                    samples: event.samples.into(),
                    answer_until: event.answerUntil,
                    is_answered: false,
                });
            }
            Contract::DemandAnswered::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DemandAnswered>()?;
                let position: u64 = event.position.saturating_to();
                let demands = self.demands.get_mut(&(event.challengeBlock, event.deviceId))?;
                demands.iter_mut().find(|demand| demand.position == position)?.is_answered = true;
            }
            Contract::TermsUpdated::SIGNATURE_HASH => {
                let event = log.decode::<Contract::TermsUpdated>()?;
                let terms =
                    TermsInfo { device: event.deviceId, version: event.termsVersion, start: event.start, end: event.end, is_final: false };
                self.terms.insert(event.rentalId, terms);
            }
            Contract::RentalReported::SIGNATURE_HASH => {
                let event = log.decode::<Contract::RentalReported>()?;
                let terms = self.terms.get_mut(&event.rentalId)?;
                terms.is_final = event.isFinal && event.termsVersion == terms.version;
            }
            _ => self.apply_governance(topic, log)?,
        }
        Some(())
    }

    fn apply_governance(&mut self, topic: B256, log: &LogEntry) -> Option<()> {
        match topic {
            Contract::ParametersAdopted::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ParametersAdopted>()?;
                let read = event.parameters;
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
                self.parameters.insert(event.version, parameters);
            }
            Contract::QueensSeated::SIGNATURE_HASH => {
                let event = log.decode::<Contract::QueensSeated>()?;
                let set = QueenSet { epoch: event.epoch, shard_seed: event.shardSeed, operators: event.operators };
                self.queens.insert(event.epoch, Arc::new(set));
            }
            _ => return None,
        }
        Some(())
    }

    fn newest_version(&self) -> u32 {
        self.parameters.last_key_value().map_or(0, |(version, _)| *version)
    }

    fn newest_epoch(&self) -> u64 {
        self.queens.last_key_value().map_or(0, |(epoch, _)| *epoch)
    }

    /// What challenge block `block` was opened under, or would be now.
    pub fn parameters_of(&self, block: u64) -> Option<WorkParameters> {
        let version = self.challenge(block).map_or_else(|| self.newest_version(), |challenge| challenge.parameters_version);
        self.parameters.get(&version).copied()
    }

    /// The Queens of challenge block `block`, or those it would have if it were opened now.
    pub fn queens_of(&self, block: u64) -> Option<Arc<QueenSet>> {
        let epoch = self.challenge(block).map_or_else(|| self.newest_epoch(), |challenge| challenge.queen_epoch);
        self.queens.get(&epoch).cloned()
    }

    pub fn challenge(&self, block: u64) -> Option<&ChallengeInfo> {
        let position = self.challenges.binary_search_by_key(&block, |challenge| challenge.block_number).ok()?;
        self.challenges.get(position)
    }

    pub fn last_challenge(&self) -> Option<&ChallengeInfo> {
        self.challenges.last()
    }

    /// Index of the first challenge at or after `timestamp`, as `reportRental` wants it.
    pub fn first_at_or_after(&self, timestamp: u64) -> u64 {
        self.challenges.partition_point(|challenge| challenge.timestamp < timestamp) as u64
    }
}
