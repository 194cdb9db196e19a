//! What both chains hold about one rental: every transaction, every challenge with its verdict, why it was closed.

use std::collections::BTreeMap;

use alloy::{
    primitives::{B256, U256},
    sol_types::SolEvent,
};
use serde::Serialize;

use super::{
    ClientError, Clients,
    rent::{self, RentalView},
};
use crate::{
    chain::{BlockId, Chain, LogEntry, LogQuery},
    types::{
        Amount, ChainKind, DeviceId, RentalId,
        abi::{GPURental, RentalCourt, WorkVerification},
    },
};

/// A rental with all that anybody can check of it.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    pub rental: RentalView,
    /// Why it was closed; `None` while it is not.
    pub close_reason: Option<&'static str>,
    /// What its provider is held responsible for.
    pub fault: Option<&'static str>,
    /// Money for the time after this waits for a verdict.
    pub frozen_from: Option<u64>,
    pub maintenance: Vec<Window>,
    /// In the order of the chain's blocks, Ethereum first.
    pub transactions: Vec<Step>,
    pub challenges: Vec<Challenge>,
}

/// Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    pub from: u64,
    pub until: u64,
}

/// One event of the rental, with the transaction that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub chain: ChainKind,
    pub block: u64,
    pub transaction: B256,
    pub what: String,
}

/// A challenge of the device that counts for the rental.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Challenge {
    /// Block of Ethereum Classic that posed it.
    pub block: u64,
    /// Unix seconds.
    pub timestamp: u64,
    /// The first one at or after the end: it decides the rest.
    pub is_closing: bool,
    pub verdict: &'static str,
    pub elapsed_ms: Option<u32>,
    pub commit: Option<B256>,
    pub proof: Option<B256>,
    pub settled: Option<B256>,
}

/// In the words of the contract's CloseReason.
pub fn close_reason(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "completed",
        2 => "the provider was not ready in time",
        3 => "no session was ever opened",
        4 => "its reports did not come before the deadline",
        5 => "the provider ended it",
        6 => "a complaint was upheld",
        7 => "the bridge was down until the hard deadline",
        _ => return None,
    })
}

/// In the words of the contract's Fault.
pub fn fault(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "missed the closing challenge",
        2 => "ended the rental",
        3 => "judged by Queens",
        _ => return None,
    })
}

/// Reads everything. Costs some requests per day that the rental has lasted.
pub async fn evidence(clients: &Clients, id: RentalId) -> Result<Evidence, ClientError> {
    let rental = rent::rental(clients, id).await?;
    let call = GPURental::detailsCall { rentalId: id };
    let details = clients.ethereum.call(clients.book.ethereum.gpu_rental, call, BlockId::latest()).await?;
    let (mut transactions, (on_classic, challenges)) =
        tokio::try_join!(on_ethereum(clients, &rental), on_classic(clients, &rental, rental.device))?;
    transactions.extend(on_classic);
    Ok(Evidence {
        close_reason: close_reason(rental.close_reason),
        fault: fault(details.fault),
        frozen_from: (details.frozenFrom != 0).then_some(details.frozenFrom),
        maintenance: details.pauses.iter().map(|pause| Window { from: pause.from, until: pause.until }).collect(),
        transactions,
        challenges,
        rental,
    })
}

/// Rental ids as log topics.
fn topic(id: u64) -> B256 {
    B256::from(U256::from(id))
}

async fn on_ethereum(clients: &Clients, rental: &RentalView) -> Result<Vec<Step>, ClientError> {
    let chain = &clients.ethereum;
    let from = first_block_at(chain, rental.requested_at, clients.book.ethereum.start_block).await?;
    let eth = &clients.book.ethereum;
    let id = topic(rental.rental);
    let court = [RentalCourt::CaseOpened::SIGNATURE_HASH, RentalCourt::CaseClosed::SIGNATURE_HASH];
    // The court's cases name the rental in the second place.
    let (mut logs, cases) = tokio::try_join!(
        all_logs(chain, LogQuery { addresses: vec![eth.gpu_rental], topics: vec![vec![], vec![id]], from, to: 0 }),
        all_logs(chain, LogQuery { addresses: vec![eth.rental_court], topics: vec![court.to_vec(), vec![], vec![id]], from, to: 0 }),
    )?;
    logs.extend(cases);
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    Ok(logs.iter().filter_map(|log| step(ChainKind::Ethereum, log, ethereum_words(log, rental.rental)?)).collect())
}

fn step(chain: ChainKind, log: &LogEntry, what: String) -> Option<Step> {
    Some(Step { chain, block: log.block_number, transaction: log.tx_hash, what })
}

fn ethereum_words(log: &LogEntry, id: RentalId) -> Option<String> {
    let gpu = |wei: U256| Amount(wei);
    // Offers and devices have events of the same shape and numbers of their own.
    Some(match *log.topics.first()? {
        GPURental::RentalRequested::SIGNATURE_HASH => {
            let event = log.decode::<GPURental::RentalRequested>()?;
            format!("paid: {} GPUTOKEN into escrow for {} s", gpu(event.escrowed), event.duration)
        }
        GPURental::RentalReady::SIGNATURE_HASH => "ready: the meter starts".into(),
        GPURental::SessionWasOpened::SIGNATURE_HASH => "session opened".into(),
        GPURental::RentalExtended::SIGNATURE_HASH => {
            let event = log.decode::<GPURental::RentalExtended>()?;
            format!("extended by {} s for {} GPUTOKEN", event.addedSeconds, gpu(event.cost))
        }
        GPURental::TermsChanged::SIGNATURE_HASH => {
            let event = log.decode::<GPURental::TermsChanged>()?;
            format!("terms {}: {} s in all, {} GPUTOKEN refunded", event.termsVersion, event.end - event.start, gpu(event.refunded))
        }
        GPURental::WorkReportApplied::SIGNATURE_HASH => {
            let event = log.decode::<GPURental::WorkReportApplied>()?;
            let kind = if event.isFinal { "final report" } else { "report" };
            format!(
                "{kind}: {} of {} challenges passed, {} s verified; paid {}, refunded {} GPUTOKEN",
                event.passed,
                event.due,
                event.verifiedSeconds,
                gpu(event.paid),
                gpu(event.refunded)
            )
        }
        GPURental::RentalClosed::SIGNATURE_HASH => {
            let event = log.decode::<GPURental::RentalClosed>()?;
            format!("closed: {}", close_reason(event.reason).unwrap_or("for a reason this program does not know"))
        }
        GPURental::MaintenanceDeclared::SIGNATURE_HASH => "maintenance declared".into(),
        GPURental::FaultRecorded::SIGNATURE_HASH => {
            let event = log.decode::<GPURental::FaultRecorded>()?;
            format!("fault of the provider: {}", fault(event.fault)?)
        }
        GPURental::Compensated::SIGNATURE_HASH => {
            format!("compensated with {} GPUTOKEN", gpu(log.decode::<GPURental::Compensated>()?.amount))
        }
        GPURental::RentalFrozen::SIGNATURE_HASH => "frozen by a complaint".into(),
        GPURental::RentalUnfrozen::SIGNATURE_HASH => "no longer frozen".into(),
        GPURental::DeadlineRequested::SIGNATURE_HASH => "refund by deadline requested".into(),
        RentalCourt::CaseOpened::SIGNATURE_HASH => {
            let event = log.decode::<RentalCourt::CaseOpened>().filter(|event| event.rentalId == id)?;
            format!("case {} opened, evidence {}", event.caseId, event.evidence)
        }
        RentalCourt::CaseClosed::SIGNATURE_HASH => {
            let event = log.decode::<RentalCourt::CaseClosed>().filter(|event| event.rentalId == id)?;
            format!("case {} closed: {}", event.caseId, super::court::status_name(event.status))
        }
        _ => return None,
    })
}

async fn on_classic(clients: &Clients, rental: &RentalView, device: DeviceId) -> Result<(Vec<Step>, Vec<Challenge>), ClientError> {
    if rental.start == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let chain = &clients.classic;
    let from = first_block_at(chain, rental.start, clients.book.classic.start_block).await?;
    let addresses = vec![clients.book.classic.work_verification];
    let query = |topics| LogQuery { addresses: addresses.clone(), topics, from, to: 0 };
    use WorkVerification as Work;
    let commits = [Work::WorkCommitted::SIGNATURE_HASH, Work::WorkProven::SIGNATURE_HASH, Work::CommitVoided::SIGNATURE_HASH];
    let terms = [Work::TermsUpdated::SIGNATURE_HASH, Work::RentalReported::SIGNATURE_HASH];
    let (opened, commits, settled, reports) = tokio::try_join!(
        all_logs(chain, query(vec![vec![Work::ChallengeOpened::SIGNATURE_HASH]])),
        all_logs(chain, query(vec![commits.to_vec(), vec![], vec![topic(device)]])),
        all_logs(chain, query(vec![vec![Work::DeviceSettled::SIGNATURE_HASH], vec![topic(device)]])),
        all_logs(chain, query(vec![terms.to_vec(), vec![topic(rental.rental)]])),
    )?;
    let steps = reports.iter().filter_map(|log| step(ChainKind::Classic, log, report_words(log)?)).collect();
    let mut challenges = due(&opened, rental);
    for log in &commits {
        add_commit(&mut challenges, log);
    }
    for log in &settled {
        add_verdict(&mut challenges, log);
    }
    Ok((steps, challenges.into_values().collect()))
}

fn report_words(log: &LogEntry) -> Option<String> {
    if let Some(event) = log.decode::<WorkVerification::RentalReported>() {
        let kind = if event.isFinal { "final report" } else { "report" };
        return Some(format!("{kind} sent: {} of {} challenges passed, message {}", event.passed, event.due, event.messageIndex));
    }
    let event = log.decode::<WorkVerification::TermsUpdated>()?;
    Some(format!("terms {} arrived", event.termsVersion))
}

/// Challenges within the rental, and the first one after its end.
fn due(opened: &[LogEntry], rental: &RentalView) -> BTreeMap<u64, Challenge> {
    let mut challenges = BTreeMap::new();
    for event in opened.iter().filter_map(LogEntry::decode::<WorkVerification::ChallengeOpened>) {
        if event.timestamp < rental.start {
            continue;
        }
        let is_closing = event.timestamp >= rental.end;
        let challenge = Challenge {
            block: event.blockNumber,
            timestamp: event.timestamp,
            is_closing,
            verdict: "open",
            elapsed_ms: None,
            commit: None,
            proof: None,
            settled: None,
        };
        challenges.insert(event.blockNumber, challenge);
        if is_closing {
            break;
        }
    }
    challenges
}

fn add_commit(challenges: &mut BTreeMap<u64, Challenge>, log: &LogEntry) {
    if let Some(event) = log.decode::<WorkVerification::WorkCommitted>() {
        if let Some(challenge) = challenges.get_mut(&event.challengeBlock) {
            challenge.commit = Some(log.tx_hash);
            challenge.verdict = "committed";
            challenge.elapsed_ms = event.measured.then_some(event.elapsedMs);
        }
    } else if let Some(event) = log.decode::<WorkVerification::WorkProven>() {
        if let Some(challenge) = challenges.get_mut(&event.challengeBlock) {
            challenge.proof = Some(log.tx_hash);
            challenge.verdict = "proven";
        }
    } else if let Some(event) = log.decode::<WorkVerification::CommitVoided>()
        && let Some(challenge) = challenges.get_mut(&event.challengeBlock)
    {
        challenge.verdict = "voided";
    }
}

fn add_verdict(challenges: &mut BTreeMap<u64, Challenge>, log: &LogEntry) {
    let Some(event) = log.decode::<WorkVerification::DeviceSettled>() else { return };
    let Some(challenge) = challenges.get_mut(&event.challengeBlock) else { return };
    challenge.settled = Some(log.tx_hash);
    challenge.verdict = match event.outcome {
        1 => "passed",
        2 => "missed",
        3 => "unmeasured",
        _ => challenge.verdict,
    };
}

/// All logs of a query up to the newest block.
pub(super) async fn all_logs(chain: &Chain, query: LogQuery) -> Result<Vec<LogEntry>, ClientError> {
    let to = chain.head().await?.number;
    let mut query = LogQuery { to, ..query };
    let mut logs = Vec::new();
    while query.from <= to {
        let batch = chain.logs(&query).await?;
        logs.extend(batch.logs);
        query.from = batch.covered_to.saturating_add(1).max(query.from + 1);
    }
    Ok(logs)
}

/// The first block that is not older than `timestamp`, by halving: a rental's logs stand in few of a chain's blocks.
pub(super) async fn first_block_at(chain: &Chain, timestamp: u64, start_block: u64) -> Result<u64, ClientError> {
    let (mut low, mut high) = (start_block, chain.head().await?.number);
    while low < high {
        let middle = low + (high - low) / 2;
        if chain.block(middle).await?.timestamp < timestamp {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log<E: SolEvent>(event: &E, tx: u8) -> LogEntry {
        LogEntry { tx_hash: B256::repeat_byte(tx), ..LogEntry::of(event) }
    }

    #[test]
    fn challenges_of_a_rental_have_their_verdicts_and_transactions() {
        let opened = |index: u64, block: u64, timestamp: u64| {
            log(&WorkVerification::ChallengeOpened { index, blockNumber: block, blockHash: B256::ZERO, timestamp }, 1)
        };
        let opened = [opened(0, 10, 99), opened(1, 20, 100), opened(2, 30, 150), opened(3, 40, 205), opened(4, 50, 300)];
        let rental = RentalView { start: 100, end: 200, ..RentalView::sample() };
        let mut challenges = due(&opened, &rental);
        assert_eq!(challenges.keys().copied().collect::<Vec<_>>(), [20, 30, 40]);
        assert!(challenges[&40].is_closing && !challenges[&30].is_closing);

        let commit = WorkVerification::WorkCommitted {
            challengeBlock: 20,
            deviceId: 3,
            mode: 1,
            rentalId: 7,
            root: B256::ZERO,
            elapsedMs: 1_234,
            measured: true,
            receipts: U256::ZERO,
        };
        add_commit(&mut challenges, &log(&commit, 2));
        add_commit(&mut challenges, &log(&WorkVerification::WorkProven { challengeBlock: 20, deviceId: 3 }, 3));
        add_verdict(&mut challenges, &log(&WorkVerification::DeviceSettled { deviceId: 3, challengeBlock: 20, outcome: 1 }, 4));
        add_verdict(&mut challenges, &log(&WorkVerification::DeviceSettled { deviceId: 3, challengeBlock: 30, outcome: 2 }, 5));
        let passed = &challenges[&20];
        assert_eq!((passed.verdict, passed.elapsed_ms), ("passed", Some(1_234)));
        assert_eq!([passed.commit, passed.proof, passed.settled], [2, 3, 4].map(|byte| Some(B256::repeat_byte(byte))));
        assert_eq!((challenges[&30].verdict, challenges[&40].verdict), ("missed", "open"));
    }

    #[test]
    fn events_are_told_in_words_and_those_of_others_are_left_out() {
        let closed = GPURental::RentalClosed { rentalId: 7, reason: 5, paid: U256::ZERO, refunded: U256::ZERO, fees: U256::ZERO };
        assert_eq!(ethereum_words(&log(&closed, 1), 7).unwrap(), "closed: the provider ended it");
        let case = RentalCourt::CaseClosed { caseId: U256::from(2), rentalId: 8, status: 3 };
        assert_eq!(ethereum_words(&log(&case, 1), 7), None);
        assert_eq!(ethereum_words(&log(&case, 1), 8).unwrap(), "case 2 closed: rejected");
        assert_eq!(ethereum_words(&log(&GPURental::OfferChanged { offerId: 7, pricePerSecond: 1, paused: true }, 1), 7), None);
    }
}
