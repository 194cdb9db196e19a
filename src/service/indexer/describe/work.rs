//! WorkVerification and ReputationSystem in words.

use alloy::primitives::B256;

use super::{Described, told};
use crate::{
    chain::LogEntry,
    types::{
        ChainKind,
        abi::{ReputationSystem as P, WorkVerification as W},
    },
};

fn challenge(block: u64, kind: &'static str, text: impl Into<String>) -> Described {
    Described { challenge: Some(block), ..Described::new(kind, text) }
}

fn met(device: u64, block: u64, kind: &'static str, text: impl Into<String>) -> Described {
    Described { device: Some(device), ..challenge(block, kind, text) }
}

fn outcome(number: u8) -> &'static str {
    match number {
        1 => "passed",
        2 => "missed",
        3 => "unmeasured",
        4 => "void",
        _ => "pending",
    }
}

pub fn describe(topic: B256, log: &LogEntry) -> Option<Described> {
    told!(topic, log, {
        W::ChallengeOpened => |e| challenge(e.blockNumber, "challenge_opened", format!("challenge {} opened", e.index)),
        W::ChallengeSealed => |e| challenge(e.blockNumber, "challenge_sealed", "samples drawn"),
        W::ChallengeJudged => |e| challenge(e.blockNumber, "challenge_judged", if e.verdict == 1 { "challenge valid" } else { "challenge void for all" }),
        W::WorkCommitted => |e| Described {
            rental: (e.rentalId != 0).then_some(e.rentalId),
            ..met(e.deviceId, e.challengeBlock, "work_committed", if e.measured { format!("work committed after {} ms", e.elapsedMs) } else { "work committed, unmeasured".into() })
        },
        W::WorkProven => |e| met(e.deviceId, e.challengeBlock, "work_proven", "samples proven on chain"),
        W::CommitVoided => |e| met(e.deviceId, e.challengeBlock, "commit_voided", "commit voided"),
        W::DeviceSettled => |e| met(e.deviceId, e.challengeBlock, "device_settled", format!("challenge {}", outcome(e.outcome))),
        W::DeviceReported => |e| Described {
            device: Some(e.deviceId), message: Some(e.messageIndex), message_origin: Some(ChainKind::Classic),
            ..Described::new("device_reported", "device report sent")
        },
        W::RentalReported => |e| Described {
            rental: Some(e.rentalId), message: Some(e.messageIndex), message_origin: Some(ChainKind::Classic),
            ..Described::new("rental_reported", format!("{} sent: {} of {} challenges passed", if e.isFinal { "final report" } else { "report" }, e.passed, e.due))
        },
        W::DeviceAdded => |e| Described {
            device: Some(e.deviceId), provider: Some(e.provider), ..Described::new("device_registered", "device known on Ethereum Classic")
        },
        W::DeviceDropped => |e| Described { device: Some(e.deviceId), ..Described::new("device_dropped", "device out of service on Ethereum Classic") },
        W::TermsUpdated => |e| Described {
            rental: Some(e.rentalId), device: Some(e.deviceId), ..Described::new("terms_arrived", format!("terms {} arrived", e.termsVersion))
        },
        W::WorkerKeySet => |e| Described { device: Some(e.deviceId), account: Some(e.worker), ..Described::new("worker_key_set", "worker key changed") },
        W::SampleDemanded => |e| Described {
            account: Some(e.opener), ..met(e.deviceId, e.challengeBlock, "sample_demanded", format!("{} samples demanded", e.samples))
        },
        W::DemandAnswered => |e| met(e.deviceId, e.challengeBlock, "demand_answered", "demanded samples answered"),
        W::AnswerMissing => |e| met(e.deviceId, e.challengeBlock, "answer_missing", "an answer is missing"),
        W::QueensSeated => |e| Described::new("queens_seated", format!("{} Queens measure in epoch {}", e.operators.len(), e.epoch)),
        W::ClassProfileAdded => |e| Described::new("class_added", format!("class {} added", e.classVersion)),
        P::ReputationUpdated => |e| Described {
            provider: Some(e.provider), device: Some(e.deviceId),
            ..Described::new("reputation_updated", format!("score {:.1} %", f64::from(e.scorePpm) / 10_000.0))
        },
        P::RenterRecorded => |e| Described {
            account: Some(e.renter), ..Described::new("renter_recorded", format!("{} rentals completed, {} complaints lost", e.rentalsCompleted, e.complaintsLost))
        },
    })
}
