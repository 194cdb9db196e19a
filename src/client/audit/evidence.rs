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
    rules::{
        beacon,
        verdict::{Demand, Judgement, Outcome, Rules, Sums},
    },
    types::{
        DeviceId, RentalId,
        abi::{Inbox, Outbox, WorkVerification as Contract},
        bridge::{Body, BridgeMessage},
        work::{Mode, Profile},
    },
};

/// Reason of a CommitVoided whose answer was there, and wrong.
const FAULT_WRONG_PROOF: u8 = 1;
/// As the contract numbers a void challenge's verdict.
const VERDICT_VOID: u8 = 2;

/// Everything a verdict follows from. Self-contained: it can be kept, and examined again by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub provider: Address,
    pub chain_id: u64,
    pub contract: Address,
    /// Profiles (full, light) by class version.
    pub classes: BTreeMap<u32, (Profile, Profile)>,
    /// Stakes in wei by class version: what a device of it weighs.
    pub stakes: BTreeMap<u32, u128>,
    /// Of every challenge block, every seal block and every block before a refusal: hash and timestamp of the block itself.
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

/// Parameters of WorkVerification that verdicts follow from. A challenge keeps those that it was opened under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    pub rules: Rules,
    pub beacon_period: u64,
    pub beacon_spacing: u64,
    pub proof_samples: u32,
    pub committee_size: u16,
    pub shard_size: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Adopted {
        parameters: Parameters,
    },
    Seated {
        queens: Vec<Address>,
        shard_seed: B256,
    },
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
    /// The commit window was over: whether enough had answered.
    Judged {
        block: u64,
        judgement: Judgement,
    },
    /// A device of whoever: all weigh in a challenge.
    Added {
        device: DeviceId,
        provider: Address,
        worker: Address,
        class_version: u32,
    },
    /// Another key answers at challenges later than `changed_at`.
    Rekeyed {
        device: DeviceId,
        worker: Address,
        changed_at: u64,
    },
    Removed {
        device: DeviceId,
        removed_at: u64,
    },
    /// A message of Ethereum with the terms of a rental of whosoever device, as delivered.
    Terms {
        rental: RentalId,
        device: DeviceId,
        version: u32,
        start: u64,
        end: u64,
        renter: Address,
        price_per_second: u128,
    },
    Committed {
        block: u64,
        device: DeviceId,
        commit: CommitRecord,
    },
    /// A commit of somebody else's device, as far as it counts for all.
    Attended {
        block: u64,
        device: DeviceId,
        mode: u8,
        elapsed_ms: u32,
        is_measured: bool,
    },
    Demanded {
        block: u64,
        device: DeviceId,
        position: u64,
        demand: Demand,
        /// What the Queens of a committee signed that was refused openings; `None` for a dispute, and where the call did not go to the
        /// contract directly.
        refusals: Option<Vec<RefusalRecord>>,
    },
    /// Samples of somebody else's commit.
    DemandedElsewhere {
        block: u64,
    },
    /// An answer to what the seal drew, or to the demand at `position`.
    Answered {
        block: u64,
        device: DeviceId,
        position: Option<u64>,
        is_right: bool,
        from: Address,
        proof: Option<Bytes>,
    },
    /// No answer came in, `times` within the grace window.
    Lacked {
        block: u64,
        device: DeviceId,
        times: u32,
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

/// A Queen's signature under what two thirds of a committee say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRecord {
    pub queen_index: u16,
    pub root: B256,
    pub signature: B512,
}

/// Collects the evidence about all devices of `provider`.
pub async fn collect(clients: &Clients, provider: Address) -> Result<Evidence, ClientError> {
    let (chain, contract) = (&clients.classic, clients.book.classic.work_verification);
    let mut evidence = Evidence {
        provider,
        chain_id: chain.chain_id(),
        contract,
        classes: BTreeMap::new(),
        stakes: BTreeMap::new(),
        blocks: BTreeMap::new(),
        entries: Vec::new(),
        applied: BTreeMap::new(),
    };
    let terms = messages_of_ethereum(clients).await?;
    let classes = Collector { clients, provider, terms, devices: BTreeSet::new(), times: BTreeMap::new() }.events(&mut evidence).await?;
    for class_version in classes {
        let class = chain.call(contract, Contract::classProfileCall { classVersion: class_version }, BlockId::latest()).await?;
        evidence.stakes.insert(class_version, class.stake);
        evidence.classes.insert(class_version, ((&class.full).into(), (&class.light).into()));
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
            if added.provider == self.provider {
                self.devices.insert(added.deviceId);
            }
            let Contract::DeviceAdded { deviceId: device, provider, worker, classVersion: class_version } = added;
            return Ok(Some(Event::Added { device, provider, worker, class_version }));
        }
        if let Some(committed) = log.decode::<Contract::WorkCommitted>() {
            return self.committed(log, &committed).await;
        }
        if let Some(proven) = log.decode::<Contract::WorkProven>() {
            return self.answered(log, proven.challengeBlock, proven.deviceId, true).await;
        }
        if let Some(answered) = log.decode::<Contract::DemandAnswered>() {
            return self.answered(log, answered.challengeBlock, answered.deviceId, true).await;
        }
        // What is missing is told by an event of its own.
        if let Some(voided) = log.decode::<Contract::CommitVoided>().filter(|voided| voided.reason == FAULT_WRONG_PROOF) {
            return self.answered(log, voided.challengeBlock, voided.deviceId, false).await;
        }
        if let Some(demanded) = log.decode::<Contract::SampleDemanded>() {
            return self.demanded(log, &demanded).await;
        }
        Ok(self.plain_event(log))
    }

    fn plain_event(&self, log: &LogEntry) -> Option<Event> {
        if let Some(adopted) = log.decode::<Contract::ParametersAdopted>() {
            return Some(Event::Adopted { parameters: parameters(&adopted.parameters) });
        }
        if let Some(seated) = log.decode::<Contract::QueensSeated>() {
            return Some(Event::Seated { queens: seated.operators, shard_seed: seated.shardSeed });
        }
        if let Some(set) = log.decode::<Contract::WorkerKeySet>() {
            let rekeyed = Event::Rekeyed { device: set.deviceId, worker: set.worker, changed_at: set.changedAt };
            return self.devices.contains(&set.deviceId).then_some(rekeyed);
        }
        if let Some(opened) = log.decode::<Contract::ChallengeOpened>() {
            let Contract::ChallengeOpened { index, blockNumber: block, blockHash: hash, timestamp } = opened;
            return Some(Event::Opened { index, block, hash, timestamp });
        }
        if let Some(sealed) = log.decode::<Contract::ChallengeSealed>() {
            return Some(Event::Sealed { block: sealed.blockNumber, hash: sealed.sealHash });
        }
        if let Some(judged) = log.decode::<Contract::ChallengeJudged>() {
            let Contract::ChallengeJudged { blockNumber: block, verdict, weight, totalWeight: total_weight, owners } = judged;
            let judgement = Judgement { is_void: verdict == VERDICT_VOID, weight, total_weight, owners };
            return Some(Event::Judged { block, judgement });
        }
        if let Some(dropped) = log.decode::<Contract::DeviceDropped>() {
            return Some(Event::Removed { device: dropped.deviceId, removed_at: dropped.removedAt });
        }
        if let Some(lacking) = log.decode::<Contract::AnswerMissing>() {
            let Contract::AnswerMissing { challengeBlock: block, deviceId: device, times } = lacking;
            return self.devices.contains(&device).then_some(Event::Lacked { block, device, times: times.saturating_to() });
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
        let (rental, device, version, renter) = (terms.rentalId, terms.deviceId, terms.termsVersion, terms.renter);
        let price_per_second = terms.pricePerSecond.to();
        Some(Event::Terms { rental, device, version, start: terms.start, end: terms.end, renter, price_per_second })
    }

    async fn committed(&self, log: &LogEntry, event: &Contract::WorkCommitted) -> Result<Option<Event>, ClientError> {
        if !self.devices.contains(&event.deviceId) {
            let (block, device, mode) = (event.challengeBlock, event.deviceId, event.mode);
            return Ok(Some(Event::Attended { block, device, mode, elapsed_ms: event.elapsedMs, is_measured: event.measured }));
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
        let input = if direct { call.input } else { Bytes::new() };
        let (position, proof) = match (Contract::proveCall::abi_decode(&input), Contract::answerCall::abi_decode(&input)) {
            (Ok(call), _) => (None, Some(call.proof.abi_encode().into())),
            (_, Ok(call)) => (Some(call.position.saturating_to()), Some(call.proof.abi_encode().into())),
            _ => (None, None),
        };
        Ok(Some(Event::Answered { block, device, position, is_right, from: call.from, proof }))
    }

    async fn demanded(&self, log: &LogEntry, event: &Contract::SampleDemanded) -> Result<Option<Event>, ClientError> {
        if !self.devices.contains(&event.deviceId) {
            // How many there are decides how long each may take.
            return Ok(Some(Event::DemandedElsewhere { block: event.challengeBlock }));
        }
        let mut refusals = None;
        if event.opener == Address::ZERO {
            let call = self.clients.classic.transaction(log.tx_hash).await?;
            let decoded = Contract::refuseCall::abi_decode(&call.input).ok().filter(|_| call.to == Some(log.address));
            refusals = decoded.map(|call| {
                let record = |signed: &Contract::RefusalSignature| RefusalRecord {
                    queen_index: signed.queenIndex,
                    root: call.root,
                    signature: B512::from_slice(&[signed.r, signed.vs].concat()),
                };
                call.signatures.iter().map(record).collect()
            });
        }
        let demand = Demand {
            opener: event.opener,
            sample_seed: event.sampleSeed,
            samples: event.samples.into(),
            answer_until: event.answerUntil,
            is_answered: false,
        };
        let (block, device, position) = (event.challengeBlock, event.deviceId, event.position.saturating_to());
        Ok(Some(Event::Demanded { block, device, position, demand, refusals }))
    }
}

async fn read_blocks(chain: &Chain, evidence: &mut Evidence) -> Result<(), ClientError> {
    let head = chain.head().await?.number;
    let (mut commit_window, mut wanted) = (0, BTreeSet::new());
    for entry in &evidence.entries {
        match &entry.event {
            Event::Adopted { parameters } => commit_window = parameters.rules.commit_window,
            Event::Opened { block, .. } => wanted.extend([*block, beacon::seal_block(*block, commit_window)]),
            Event::Demanded { demand, .. } if demand.opener == Address::ZERO => wanted.extend([entry.block.saturating_sub(1)]),
            _ => {}
        }
    }
    for number in wanted.into_iter().filter(|number| *number <= head) {
        let info = chain.block(number).await?;
        evidence.blocks.insert(number, (info.hash, info.timestamp));
    }
    Ok(())
}

fn parameters(of: &Contract::WorkParameters) -> Parameters {
    Parameters {
        rules: Rules {
            commit_window: of.commitWindow,
            dispute_window: of.disputeWindow,
            answer_window: of.answerWindow,
            proof_rate: of.proofRate,
            mode_slack_seconds: of.modeSlack,
            bridge_max_seconds: of.bridgeMax,
            max_per_call: of.maxPerCall.into(),
            min_owners: of.minOwners,
            grace_window_seconds: of.graceWindow,
            answer_gas: of.answerGas,
            block_gas: of.blockGas,
            cap_window: of.capWindow,
            value_cap: of.valueCap,
        },
        beacon_period: of.beaconPeriod,
        beacon_spacing: of.beaconSpacing,
        proof_samples: of.proofSamples,
        committee_size: u16::try_from(of.committeeSize).unwrap_or(u16::MAX),
        shard_size: u16::try_from(of.shardSize).unwrap_or(u16::MAX),
    }
}

impl Evidence {
    /// The profile of a mode of a class; `None` where the evidence lacks it.
    pub fn profile(&self, class_version: u32, mode: Mode) -> Option<&Profile> {
        let (full, light) = self.classes.get(&class_version)?;
        Some(if mode == Mode::Full { full } else { light })
    }
}
