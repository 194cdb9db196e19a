//! WorkVerification on ETC: challenges, devices, commits, terms.

use std::collections::{BTreeMap, BTreeSet};

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceInfo {
    pub provider: Address,
    pub worker: Address,
    pub class_version: u32,
    pub is_removed: bool,
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
}

impl WorkView {
    pub(super) fn apply(&mut self, log: &LogEntry) -> Option<()> {
        let topic = *log.topics.first()?;
        match topic {
            Contract::ChallengeOpened::SIGNATURE_HASH => {
                let event = log.decode::<Contract::ChallengeOpened>()?;
                self.challenges.push(ChallengeInfo {
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
                let device =
                    DeviceInfo { provider: event.provider, worker: event.worker, class_version: event.classVersion, is_removed: false };
                self.devices.insert(event.deviceId, device);
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
            _ => {}
        }
        Some(())
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
