//! What the two chains hold about a provider's devices, read without a key.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    primitives::{Address, B256, B512, Bytes},
    sol_types::{SolCall, SolValue},
};
use serde::{Deserialize, Serialize};

use super::super::{ClientError, Clients, rent};
use crate::{
    chain::{BlockId, Chain, LogEntry, LogQuery},
    rules::verdict::{Outcome, Rules, Sums},
    types::{
        DeviceId, RentalId,
        abi::{Inbox, Outbox, WorkVerification as Contract},
        bridge::{Body, BridgeMessage},
        work::{Mode, Profile},
    },
};

/// Everything a verdict follows from. Self-contained: it can be kept, and examined again by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub provider: Address,
    pub chain_id: u64,
    pub contract: Address,
    pub rules: Rules,
    pub beacon_period: u64,
    pub beacon_spacing: u64,
    pub proof_samples: u32,
    pub committee_size: u16,
    pub queens: Vec<Address>,
    /// Profiles (full, light) by class version.
    pub classes: BTreeMap<u32, (Profile, Profile)>,
    /// Of every challenge block and every seal block: hash and timestamp of the block itself.
    pub blocks: BTreeMap<u64, (B256, u64)>,
    /// What happened on Ethereum Classic, in order.
    pub entries: Vec<Entry>,
    /// What Ethereum holds of each rental of the devices: challenges due and passed, seconds verified.
    pub applied: BTreeMap<RentalId, (u32, u32, u64)>,
}

/// One event with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub block: u64,
    pub timestamp: u64,
    pub transaction: B256,
    pub event: Event,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Opened {
        index: u64,
        block: u64,
        hash: B256,
        timestamp: u64,
    },
    Sealed {
        block: u64,
        hash: B256,
    },
    Added {
        device: DeviceId,
        provider: Address,
        worker: Address,
        class_version: u32,
    },
    /// A message of Ethereum with the terms of a rental, as delivered.
    Terms {
        rental: RentalId,
        device: DeviceId,
        version: u32,
        start: u64,
        end: u64,
    },
    Committed {
        block: u64,
        device: DeviceId,
        commit: CommitRecord,
    },
    Answered {
        block: u64,
        device: DeviceId,
        is_right: bool,
        from: Address,
        proof: Option<Bytes>,
    },
    Settled {
        block: u64,
        device: DeviceId,
        outcome: Outcome,
    },
    Reported {
        rental: RentalId,
        sums: Sums,
    },
}

/// A commit as the event names it, and as the transaction asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    pub mode: u8,
    pub rental: RentalId,
    pub root: B256,
    pub elapsed_ms: u32,
    pub is_measured: bool,
    pub from: Address,
    /// `None` where the call did not go to the contract directly.
    pub receipts: Option<Vec<ReceiptRecord>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    pub queen_index: u16,
    pub elapsed_ms: u32,
    /// EIP-2098 compact signature.
    pub signature: B512,
}

/// Collects the evidence about all devices of `provider`.
pub async fn collect(clients: &Clients, provider: Address) -> Result<Evidence, ClientError> {
    let (chain, contract) = (&clients.classic, clients.book.classic.work_verification);
    let parameters = chain.call(contract, Contract::parametersCall {}, BlockId::latest()).await?;
    let mut evidence = Evidence {
        provider,
        chain_id: chain.chain_id(),
        contract,
        rules: Rules {
            commit_window: parameters.commitWindow,
            dispute_window: parameters.disputeWindow,
            answer_window: parameters.answerWindow,
            proof_rate: parameters.proofRate,
            mode_slack_seconds: parameters.modeSlack,
            bridge_max_seconds: parameters.bridgeMax,
            max_per_call: parameters.maxPerCall.into(),
        },
        beacon_period: parameters.beaconPeriod,
        beacon_spacing: parameters.beaconSpacing,
        proof_samples: parameters.proofSamples,
        committee_size: u16::try_from(parameters.committeeSize).unwrap_or(u16::MAX),
        queens: chain.call(contract, Contract::queensCall {}, BlockId::latest()).await?,
        classes: BTreeMap::new(),
        blocks: BTreeMap::new(),
        entries: Vec::new(),
        applied: BTreeMap::new(),
    };
    let terms = messages_of_ethereum(clients).await?;
    let devices = Collector { clients, provider, terms, devices: BTreeSet::new(), times: BTreeMap::new() }.events(&mut evidence).await?;
    for class_version in devices {
        let class = chain.call(contract, Contract::classProfileCall { classVersion: class_version }, BlockId::latest()).await?;
        evidence.classes.insert(class_version, (profile(&class.full), profile(&class.light)));
    }
    read_blocks(chain, &mut evidence).await?;
    for rental in rent::rentals(clients, provider).await?.into_iter().filter(|rental| rental.provider == provider) {
        evidence.applied.insert(rental.rental, (rental.challenges_due, rental.challenges_passed, rental.verified_seconds));
    }
    Ok(evidence)
}

/// Bodies of all messages to Ethereum Classic by their ids, which are recomputed.
async fn messages_of_ethereum(clients: &Clients) -> Result<BTreeMap<B256, Body>, ClientError> {
    let (book, chain) = (&clients.book.ethereum, &clients.ethereum);
    let logs = all_logs(chain, book.bridge.outbox, book.start_block).await?;
    let decoded = logs.iter().filter_map(|log| {
        let sent = log.decode::<Outbox::MessageDispatched>()?;
        let message = BridgeMessage {
            index: sent.index,
            origin: chain.chain_id(),
            sender: sent.sender,
            destination: sent.destination,
            recipient: sent.recipient,
            body: sent.body,
        };
        (message.id() == sent.messageId).then(|| message.decode_body()).flatten().map(|body| (sent.messageId, body))
    });
    Ok(decoded.collect())
}

async fn all_logs(chain: &Chain, contract: Address, from: u64) -> Result<Vec<LogEntry>, ClientError> {
    let to = chain.head().await?.number;
    let (mut logs, mut next) = (Vec::new(), from);
    while next <= to {
        let batch = chain.logs(&LogQuery { addresses: vec![contract], topics: Vec::new(), from: next, to }).await?;
        logs.extend(batch.logs);
        next = batch.covered_to.saturating_add(1);
    }
    Ok(logs)
}

struct Collector<'a> {
    clients: &'a Clients,
    provider: Address,
    /// Bodies of messages by id.
    terms: BTreeMap<B256, Body>,
    devices: BTreeSet<DeviceId>,
    /// Timestamps of blocks that hold events.
    times: BTreeMap<u64, u64>,
}

impl Collector<'_> {
    /// Fills in the entries and returns the class versions that they are about.
    async fn events(mut self, evidence: &mut Evidence) -> Result<BTreeSet<u32>, ClientError> {
        let (book, chain) = (&self.clients.book.classic, &self.clients.classic);
        let mut logs = all_logs(chain, book.work_verification, book.start_block).await?;
        logs.extend(all_logs(chain, book.bridge.inbox, book.start_block).await?);
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        let mut classes = BTreeSet::new();
        for log in &logs {
            let Some(event) = self.event(log).await? else { continue };
            if let Event::Added { class_version, .. } = event {
                classes.insert(class_version);
            }
            let timestamp = match self.times.get(&log.block_number) {
                Some(timestamp) => *timestamp,
                None => chain.block(log.block_number).await?.timestamp,
            };
            self.times.insert(log.block_number, timestamp);
            evidence.entries.push(Entry { block: log.block_number, timestamp, transaction: log.tx_hash, event });
        }
        Ok(classes)
    }

    /// `None` for what no verdict of these devices follows from.
    async fn event(&mut self, log: &LogEntry) -> Result<Option<Event>, ClientError> {
        if let Some(added) = log.decode::<Contract::DeviceAdded>() {
            if added.provider != self.provider {
                return Ok(None);
            }
            self.devices.insert(added.deviceId);
            let Contract::DeviceAdded { deviceId: device, provider, worker, classVersion: class_version } = added;
            return Ok(Some(Event::Added { device, provider, worker, class_version }));
        }
        if let Some(committed) = log.decode::<Contract::WorkCommitted>() {
            return self.committed(log, &committed).await;
        }
        if let Some(proven) = log.decode::<Contract::WorkProven>() {
            return self.answered(log, proven.challengeBlock, proven.deviceId, true).await;
        }
        if let Some(voided) = log.decode::<Contract::CommitVoided>() {
            return self.answered(log, voided.challengeBlock, voided.deviceId, false).await;
        }
        Ok(self.plain_event(log))
    }

    fn plain_event(&self, log: &LogEntry) -> Option<Event> {
        if let Some(opened) = log.decode::<Contract::ChallengeOpened>() {
            let Contract::ChallengeOpened { index, blockNumber: block, blockHash: hash, timestamp } = opened;
            return Some(Event::Opened { index, block, hash, timestamp });
        }
        if let Some(sealed) = log.decode::<Contract::ChallengeSealed>() {
            return Some(Event::Sealed { block: sealed.blockNumber, hash: sealed.sealHash });
        }
        if let Some(settled) = log.decode::<Contract::DeviceSettled>() {
            let outcome = Outcome::from_u8(settled.outcome)?;
            let ours = self.devices.contains(&settled.deviceId);
            return ours.then_some(Event::Settled { block: settled.challengeBlock, device: settled.deviceId, outcome });
        }
        if let Some(reported) = log.decode::<Contract::RentalReported>() {
            let sums = Sums {
                terms_version: reported.termsVersion,
                covered_until: reported.coveredUntil,
                verified_seconds: reported.verifiedSeconds,
                due: reported.due,
                passed: reported.passed,
                is_final: reported.isFinal,
            };
            return Some(Event::Reported { rental: reported.rentalId, sums });
        }
        let delivered = log.decode::<Inbox::MessageDelivered>()?;
        let Body::RentalTerms(terms) = self.terms.get(&delivered.messageId)? else { return None };
        let (rental, device, version) = (terms.rentalId, terms.deviceId, terms.termsVersion);
        self.devices.contains(&device).then_some(Event::Terms { rental, device, version, start: terms.start, end: terms.end })
    }

    async fn committed(&self, log: &LogEntry, event: &Contract::WorkCommitted) -> Result<Option<Event>, ClientError> {
        if !self.devices.contains(&event.deviceId) {
            return Ok(None);
        }
        let call = self.clients.classic.transaction(log.tx_hash).await?;
        let direct = call.to == Some(log.address);
        let receipts = Contract::commitCall::abi_decode(&call.input).ok().filter(|_| direct).map(|call| {
            let record = |receipt: &Contract::ReceiptSignature| ReceiptRecord {
                queen_index: receipt.queenIndex,
                elapsed_ms: receipt.elapsedMs,
                signature: B512::from_slice(&[receipt.r, receipt.vs].concat()),
            };
            call.receipts.iter().map(record).collect()
        });
        let commit = CommitRecord {
            mode: event.mode,
            rental: event.rentalId,
            root: event.root,
            elapsed_ms: event.elapsedMs,
            is_measured: event.measured,
            from: call.from,
            receipts,
        };
        Ok(Some(Event::Committed { block: event.challengeBlock, device: event.deviceId, commit }))
    }

    async fn answered(&self, log: &LogEntry, block: u64, device: DeviceId, is_right: bool) -> Result<Option<Event>, ClientError> {
        if !self.devices.contains(&device) {
            return Ok(None);
        }
        let call = self.clients.classic.transaction(log.tx_hash).await?;
        let direct = call.to == Some(log.address);
        let proof = Contract::proveCall::abi_decode(&call.input).ok().filter(|_| direct).map(|call| call.proof.abi_encode().into());
        Ok(Some(Event::Answered { block, device, is_right, from: call.from, proof }))
    }
}

async fn read_blocks(chain: &Chain, evidence: &mut Evidence) -> Result<(), ClientError> {
    let commit_window = evidence.rules.commit_window;
    let opened: Vec<u64> = evidence
        .entries
        .iter()
        .filter_map(|entry| if let Event::Opened { block, .. } = entry.event { Some(block) } else { None })
        .collect();
    let head = chain.head().await?.number;
    for block in opened {
        for number in [block, crate::rules::beacon::seal_block(block, commit_window)].into_iter().filter(|number| *number <= head) {
            let info = chain.block(number).await?;
            evidence.blocks.insert(number, (info.hash, info.timestamp));
        }
    }
    Ok(())
}

fn profile(of: &Contract::Profile) -> Profile {
    Profile {
        memory_bytes: of.memoryBytes,
        hash_iterations: of.hashIterations,
        lanes: of.lanes,
        steps: of.steps,
        windows: of.windows,
        cycles: of.cycles,
        matrix_size: of.matrixSize,
        inner_size: of.innerSize,
        rounds: of.rounds,
        reference_ms: of.referenceMs,
        pass_ms: of.passMs,
        unmeasured_ms: of.unmeasuredMs,
    }
}

impl Evidence {
    /// The profile of a mode of a class; `None` where the evidence lacks it.
    pub fn profile(&self, class_version: u32, mode: Mode) -> Option<&Profile> {
        let (full, light) = self.classes.get(&class_version)?;
        Some(if mode == Mode::Full { full } else { light })
    }
}
