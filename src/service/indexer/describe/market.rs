//! GPURental and RentalCourt in words.

use alloy::primitives::B256;

use super::{Described, tokens, told};
use crate::{
    chain::LogEntry,
    types::abi::{GPURental as R, RentalCourt as C},
};

/// In the words of the contract's CloseReason.
pub fn close_reason(number: u8) -> &'static str {
    match number {
        1 => "completed",
        2 => "the provider was not ready in time",
        3 => "no session was ever opened",
        4 => "its reports did not come before the deadline",
        5 => "the provider ended it",
        6 => "a complaint was upheld",
        7 => "the bridge was down until the hard deadline",
        _ => "for a reason that this program does not know",
    }
}

fn fault(number: u8) -> &'static str {
    match number {
        1 => "missed the closing challenge",
        2 => "ended the rental",
        3 => "judged by Queens",
        _ => "unknown",
    }
}

fn of_rental(kind: &'static str, rental: u64, text: impl Into<String>) -> Described {
    Described { rental: Some(rental), ..Described::new(kind, text) }
}

pub fn rental(topic: B256, log: &LogEntry) -> Option<Described> {
    told!(topic, log, {
        R::OfferCreated => |e| Described {
            offer: Some(e.offerId), device: Some(e.deviceId), provider: Some(e.provider), amount: Some(alloy::primitives::U256::from(e.pricePerSecond)),
            ..Described::new("offer_created", format!("offer {} made for device {}", e.offerId, e.deviceId))
        },
        R::OfferChanged => |e| Described {
            offer: Some(e.offerId), amount: Some(alloy::primitives::U256::from(e.pricePerSecond)),
            ..Described::new("offer_changed", if e.paused { "offer paused" } else { "offer changed" })
        },
        R::ReserveChanged => |e| Described {
            device: Some(e.deviceId), amount: Some(e.free),
            ..Described::new("reserve_changed", format!("{} GPUTOKEN of reserve are free", tokens(e.free)))
        },
        R::RentalRequested => |e| Described {
            offer: Some(e.offerId), device: Some(e.deviceId), account: Some(e.renter), provider: Some(e.provider), amount: Some(e.escrowed),
            ..of_rental("rental_requested", e.rentalId, format!("paid: {} GPUTOKEN into escrow for {} s", tokens(e.escrowed), e.duration))
        },
        R::RentalReady => |e| Described {
            message: Some(e.messageIndex), message_origin: Some(crate::types::ChainKind::Ethereum),
            ..of_rental("rental_ready", e.rentalId, "ready: the meter starts")
        },
        R::SessionWasOpened => |e| of_rental("session_opened", e.rentalId, "session opened"),
        R::TermsChanged => |e| Described {
            message: Some(e.messageIndex), message_origin: Some(crate::types::ChainKind::Ethereum), amount: Some(e.refunded),
            ..of_rental("terms_changed", e.rentalId, format!(
                "terms {}: {} s in all, {} GPUTOKEN refunded", e.termsVersion, e.end.saturating_sub(e.start), tokens(e.refunded)
            ))
        },
        R::WorkReportApplied => |e| Described {
            amount: Some(e.paid),
            ..of_rental("work_report_applied", e.rentalId, format!(
                "{}: {} of {} challenges passed, {} s verified; paid {}, refunded {} GPUTOKEN",
                if e.isFinal { "final report" } else { "report" }, e.passed, e.due, e.verifiedSeconds, tokens(e.paid), tokens(e.refunded)
            ))
        },
        R::RentalClosed => |e| Described {
            amount: Some(e.paid),
            ..of_rental("rental_closed", e.rentalId, format!("closed: {}", close_reason(e.reason)))
        },
        R::RentalExtended => |e| Described {
            account: Some(e.payer), amount: Some(e.cost),
            ..of_rental("rental_extended", e.rentalId, format!("extended by {} s for {} GPUTOKEN", e.addedSeconds, tokens(e.cost)))
        },
        R::DelegateSet => |e| Described {
            account: Some(e.delegate),
            ..of_rental("delegate_set", e.rentalId, "delegate set: it may extend and complain")
        },
        R::MaintenanceDeclared => |e| of_rental("maintenance_declared", e.rentalId, format!("maintenance declared for {} s", e.until.saturating_sub(e.from))),
        R::FaultRecorded => |e| Described {
            device: Some(e.deviceId),
            ..of_rental("fault_recorded", e.rentalId, format!("fault of the provider: {}", fault(e.fault)))
        },
        R::Compensated => |e| Described {
            account: Some(e.renter), amount: Some(e.amount),
            ..of_rental("compensated", e.rentalId, format!("compensated with {} GPUTOKEN", tokens(e.amount)))
        },
        R::RentalFrozen => |e| of_rental("rental_frozen", e.rentalId, "frozen by a complaint"),
        R::RentalUnfrozen => |e| of_rental("rental_unfrozen", e.rentalId, if e.upheld { "complaint upheld" } else { "no longer frozen" }),
        R::DeadlineRequested => |e| of_rental("deadline_requested", e.rentalId, "refund by deadline requested"),
    })
}

pub fn credit(topic: B256, log: &LogEntry) -> Option<Described> {
    told!(topic, log, {
        R::Credited => |e| Described {
            account: Some(e.account), rental: (e.rentalId != 0).then_some(e.rentalId), amount: Some(e.amount),
            ..Described::new("credited", format!("{} GPUTOKEN credited", tokens(e.amount)))
        },
        R::CreditDelayed => |e| Described {
            account: Some(e.account), rental: (e.rentalId != 0).then_some(e.rentalId), amount: Some(e.amount),
            ..Described::new("credit_delayed", format!("a credit of {} GPUTOKEN waits", tokens(e.amount)))
        },
        R::DelayedReleased => |e| Described {
            account: Some(e.account), amount: Some(e.amount),
            ..Described::new("credit_released", format!("{} GPUTOKEN that waited can be claimed", tokens(e.amount)))
        },
        R::Claimed => |e| Described {
            account: Some(e.account), amount: Some(e.amount),
            ..Described::new("credit_claimed", format!("{} GPUTOKEN claimed", tokens(e.amount)))
        },
        R::WithdrawalsPaused => |e| Described { account: Some(e.by), ..Described::new("withdrawals_paused", "large credits wait") },
    })
}

pub fn court(topic: B256, log: &LogEntry) -> Option<Described> {
    told!(topic, log, {
        C::CaseOpened => |e| Described {
            case: Some(e.caseId), account: Some(e.opener),
            ..of_rental("case_opened", e.rentalId, if e.kind == 1 { "complaint filed" } else { "Queens asked to try the door" })
        },
        C::CommitteeDrawn => |e| Described {
            case: Some(e.caseId), ..Described::new("committee_drawn", format!("{} Queens drawn to judge", e.committee.len()))
        },
        C::Voted => |e| Described {
            case: Some(e.caseId), account: Some(e.queen), ..Described::new("case_voted", if e.upheld { "a Queen upheld it" } else { "a Queen rejected it" })
        },
        C::CaseClosed => |e| Described {
            case: Some(e.caseId),
            ..of_rental("case_closed", e.rentalId, match e.status { 2 => "case upheld", 3 => "case rejected", _ => "case expired" })
        },
        C::Credited => |e| Described {
            case: Some(e.caseId), account: Some(e.account), amount: Some(e.amount),
            ..Described::new("case_credited", format!("{} GPUTOKEN credited by the court", tokens(e.amount)))
        },
        C::Claimed => |e| Described {
            account: Some(e.account), amount: Some(e.amount), ..Described::new("case_claimed", format!("{} GPUTOKEN claimed", tokens(e.amount)))
        },
    })
}
