//! WorkVerification and ReputationSystem: challenges, what devices made of them, scores.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256},
    sol_types::SolEvent,
};

use super::StoredLog;
use crate::types::abi::{ReputationSystem, WorkVerification as Contract, work_verification::WorkVerification::WorkParameters};

#[derive(Debug, Clone)]
pub struct Challenge {
    pub block: u64,
    pub index: u64,
    pub hash: B256,
    pub timestamp: u64,
    pub is_sealed: bool,
    /// Number of the contract's Verdict.
    pub verdict: u8,
    /// Weight, total weight, owners; once judged.
    pub judged: Option<(u32, u32, u16)>,
    pub commits: u64,
    pub proven: u64,
    pub voided: u64,
    pub transaction: B256,
}

/// A challenge as one device met it.
#[derive(Debug, Clone, Default)]
pub struct Met {
    pub mode: Option<u8>,
    pub rental: u64,
    pub root: Option<B256>,
    pub elapsed_ms: Option<u32>,
    pub receipts: Option<u64>,
    pub demands: u64,
    pub is_proven: bool,
    pub is_voided: bool,
    /// Number of the contract's Outcome, once settled.
    pub outcome: u8,
    pub commit: Option<B256>,
    pub proof: Option<B256>,
    pub settled: Option<B256>,
}

impl Met {
    pub fn verdict(&self) -> &'static str {
        match self.outcome {
            1 => "passed",
            2 => "missed",
            3 => "unmeasured",
            4 => "void",
            _ if self.is_voided => "voided",
            _ if self.is_proven => "proven",
            _ if self.commit.is_some() => "committed",
            _ => "open",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Device {
    pub provider: Address,
    pub added_at: u64,
    pub dropped_at: Option<u64>,
}

/// Settled challenges by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub missed: u64,
    pub unmeasured: u64,
    pub void: u64,
}

impl Tally {
    pub fn settled(&self) -> u64 {
        self.passed + self.missed + self.unmeasured + self.void
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            missed: self.missed + other.missed,
            unmeasured: self.unmeasured + other.unmeasured,
            void: self.void + other.void,
        }
    }

    fn count(&mut self, outcome: u8) {
        match outcome {
            1 => self.passed += 1,
            2 => self.missed += 1,
            3 => self.unmeasured += 1,
            4 => self.void += 1,
            _ => {}
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Work {
    pub challenges: BTreeMap<u64, Challenge>,
    /// By device and challenge block.
    pub met: BTreeMap<(u64, u64), Met>,
    /// Devices that met a challenge.
    pub met_by_block: BTreeMap<u64, Vec<u64>>,
    pub devices: BTreeMap<u64, Device>,
    pub tallies: BTreeMap<u64, Tally>,
    /// Score of a provider, parts per million.
    pub scores: BTreeMap<Address, u32>,
    /// Rentals completed and complaints lost, by renter.
    pub renters: BTreeMap<Address, (u32, u32)>,
    pub parameters: BTreeMap<u32, WorkParameters>,
    pub queens: Option<(u64, Vec<Address>)>,
    pub classes: Vec<u32>,
}

impl Work {
    fn met(&mut self, device: u64, block: u64) -> &mut Met {
        let devices = self.met_by_block.entry(block).or_default();
        if !devices.contains(&device) {
            devices.push(device);
        }
        self.met.entry((device, block)).or_default()
    }

    /// Part of the newest `count` settled challenges of a device that it passed, parts per million.
    pub fn uptime_ppm(&self, device: u64, count: usize) -> Option<u64> {
        let newest = self.met.range((device, 0)..=(device, u64::MAX)).rev();
        let (mut passed, mut all) = (0, 0);
        for (_, met) in newest.filter(|(_, met)| matches!(met.outcome, 1 | 2)).take(count) {
            all += 1;
            passed += u64::from(met.outcome == 1);
        }
        (passed * 1_000_000u64).checked_div(all)
    }

    pub(super) fn apply(&mut self, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        let topic = *log.topics.first()?;
        match topic {
            Contract::ChallengeOpened::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ChallengeOpened>()?;
                let challenge = Challenge {
                    block: event.blockNumber,
                    index: event.index,
                    hash: event.blockHash,
                    timestamp: event.timestamp,
                    is_sealed: false,
                    verdict: 0,
                    judged: None,
                    commits: 0,
                    proven: 0,
                    voided: 0,
                    transaction: log.tx_hash,
                };
                self.challenges.insert(challenge.block, challenge);
            }
            Contract::ChallengeSealed::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ChallengeSealed>()?;
                self.challenges.get_mut(&event.blockNumber)?.is_sealed = true;
            }
            Contract::ChallengeJudged::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ChallengeJudged>()?;
                let challenge = self.challenges.get_mut(&event.blockNumber)?;
                (challenge.verdict, challenge.judged) = (event.verdict, Some((event.weight, event.totalWeight, event.owners)));
            }
            Contract::ParametersAdopted::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ParametersAdopted>()?;
                self.parameters.insert(event.version, event.parameters);
            }
            Contract::QueensSeated::SIGNATURE_HASH => {
                let event = log.decode::<Contract::QueensSeated>()?;
                self.queens = Some((event.epoch, event.operators));
            }
            Contract::ClassProfileAdded::SIGNATURE_HASH => {
                let class = log.decode::<Contract::ClassProfileAdded>()?.classVersion;
                if !self.classes.contains(&class) {
                    self.classes.push(class);
                }
            }
            ReputationSystem::ReputationUpdated::SIGNATURE_HASH => {
                let event = log.decode::<ReputationSystem::ReputationUpdated>()?;
                self.scores.insert(event.provider, event.scorePpm);
            }
            ReputationSystem::RenterRecorded::SIGNATURE_HASH => {
                let event = log.decode::<ReputationSystem::RenterRecorded>()?;
                self.renters.insert(event.renter, (event.rentalsCompleted, event.complaintsLost));
            }
            _ => self.apply_device(topic, stored)?,
        }
        Some(())
    }

    fn apply_device(&mut self, topic: B256, stored: &StoredLog) -> Option<()> {
        let log = &stored.log;
        match topic {
            Contract::DeviceAdded::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceAdded>()?;
                let device = Device { provider: event.provider, added_at: stored.timestamp, dropped_at: None };
                self.devices.insert(event.deviceId, device);
            }
            Contract::DeviceDropped::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceDropped>()?;
                self.devices.get_mut(&event.deviceId)?.dropped_at = Some(event.removedAt);
            }
            Contract::WorkCommitted::SIGNATURE_HASH => {
                let event = log.decode::<Contract::WorkCommitted>()?;
                if let Some(challenge) = self.challenges.get_mut(&event.challengeBlock) {
                    challenge.commits += 1;
                }
                let met = self.met(event.deviceId, event.challengeBlock);
                (met.mode, met.rental, met.root) = (Some(event.mode), event.rentalId, Some(event.root));
                met.elapsed_ms = event.measured.then_some(event.elapsedMs);
                met.receipts = Some(event.receipts.saturating_to());
                met.commit = Some(log.tx_hash);
            }
            Contract::WorkProven::SIGNATURE_HASH => {
                let event = log.decode::<Contract::WorkProven>()?;
                if let Some(challenge) = self.challenges.get_mut(&event.challengeBlock) {
                    challenge.proven += 1;
                }
                let met = self.met(event.deviceId, event.challengeBlock);
                (met.is_proven, met.proof) = (true, Some(log.tx_hash));
            }
            Contract::CommitVoided::SIGNATURE_HASH => {
                let event = log.decode::<Contract::CommitVoided>()?;
                if let Some(challenge) = self.challenges.get_mut(&event.challengeBlock) {
                    challenge.voided += 1;
                }
                self.met(event.deviceId, event.challengeBlock).is_voided = true;
            }
            Contract::DeviceSettled::SIGNATURE_HASH => {
                let event = log.decode::<Contract::DeviceSettled>()?;
                self.tallies.entry(event.deviceId).or_default().count(event.outcome);
                let met = self.met(event.deviceId, event.challengeBlock);
                (met.outcome, met.settled) = (event.outcome, Some(log.tx_hash));
            }
            Contract::SampleDemanded::SIGNATURE_HASH => {
                let event = log.decode::<Contract::SampleDemanded>()?;
                self.met(event.deviceId, event.challengeBlock).demands += 1;
            }
            _ => {}
        }
        Some(())
    }
}
