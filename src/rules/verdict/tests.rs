use std::collections::BTreeMap;

use super::*;
use crate::types::work::cpu_test_class;

const RULES: Rules = Rules {
    commit_window: 6,
    dispute_window: 4,
    answer_window: 6,
    proof_rate: 1,
    mode_slack_seconds: 3,
    bridge_max_seconds: 30,
    max_per_call: 64,
    min_owners: 4,
    grace_window_seconds: 100,
    answer_gas: 2_000_000,
    block_gas: 8_000_000,
    cap_window: 4,
    value_cap: 8_000,
};
/// One commit, whose answer fills the share of one block.
const CHALLENGE: Challenge = Challenge {
    block: 100,
    timestamp: 1_000,
    seal_hash: Some(B256::ZERO),
    attendance: Attendance { weight: 1, total_weight: 1, owners: 1, commits: 1, unmeasured: 0 },
    is_void: false,
};
const EVERYTHING: Bounds = Bounds { decided: u64::MAX, max_per_call: 64, horizon: u64::MAX };

fn commit(status: Status, elapsed_ms: u32) -> Commit<'static> {
    Commit { mode: Mode::Full, is_measured: true, elapsed_ms, status, demands: &[], is_covered: false }
}

fn at(block: u64) -> Moment {
    Moment { block, timestamp: 1_000 + 13 * (block - 100) }
}

fn profile(mode: Mode) -> Profile {
    let (full, light) = cpu_test_class();
    if mode == Mode::Full { full } else { light }
}

fn of(challenge: &Challenge, commit: Commit<'_>, now: Moment) -> Outcome {
    outcome(challenge, 1, Some((&commit, &profile(commit.mode))), &RULES, now)
}

#[test]
fn windows_and_answers_decide_in_their_order() {
    let right = commit(Status::Proven, 900);
    assert_eq!(of(&CHALLENGE, right, at(110)), Outcome::Pending);
    assert_eq!(of(&CHALLENGE, right, at(111)), Outcome::Passed);
    assert_eq!(outcome(&CHALLENGE, 1, None, &RULES, at(111)), Outcome::Missed);
    assert_eq!(of(&CHALLENGE, commit(Status::Voided, 900), at(111)), Outcome::Missed);
    let silent = commit(Status::Committed, 900);
    // Sealed by block 107, six blocks to answer, one more for the gas of the answers.
    assert_eq!([114, 115].map(|block| of(&CHALLENGE, silent, at(block))), [Outcome::Pending, Outcome::Missed]);
    let unsealed = Challenge { seal_hash: None, ..CHALLENGE };
    assert_eq!([363, 364].map(|block| of(&unsealed, silent, at(block))), [Outcome::Pending, Outcome::Passed]);
}

#[test]
fn time_and_terms_decide() {
    let (full, _) = cpu_test_class();
    let times = [full.pass_ms, full.pass_ms + 1, full.unmeasured_ms, full.unmeasured_ms + 1];
    let outcomes = times.map(|time| of(&CHALLENGE, commit(Status::Proven, time), at(120)));
    assert_eq!(outcomes, [Outcome::Passed, Outcome::Unmeasured, Outcome::Unmeasured, Outcome::Missed]);
    let unmeasured = Commit { is_measured: false, ..commit(Status::Proven, 0) };
    assert_eq!(of(&CHALLENGE, unmeasured, at(120)), Outcome::Unmeasured);
    let light = Commit { mode: Mode::Light, ..commit(Status::Proven, 300) };
    let early = Moment { timestamp: 1_030, ..at(120) };
    assert_eq!(of(&CHALLENGE, light, early), Outcome::Pending);
    assert_eq!(of(&CHALLENGE, light, at(120)), Outcome::Missed);
    assert_eq!(of(&CHALLENGE, Commit { is_covered: true, ..light }, at(120)), Outcome::Passed);
    let coverage = Coverage { device: 1, start: 1_003, end: 2_000 };
    assert!(coverage.covers(1, 1_000, 3) && coverage.covers(1, 2_002, 3));
    assert!(!coverage.covers(1, 999, 3) && !coverage.covers(1, 2_003, 3) && !coverage.covers(2, 1_500, 3));
}

#[test]
fn demands_hold_a_commit_open_and_void_it_when_they_stay_unanswered() {
    let opener = Address::repeat_byte(7);
    let demand = Demand { opener, sample_seed: B256::ZERO, samples: 1, answer_until: 118, is_answered: false };
    let demands = [demand, Demand { opener: Address::ZERO, answer_until: 120, ..demand }];
    let disputed = Commit { demands: &demands, ..commit(Status::Proven, 900) };
    let owed_at = |block| owed(&CHALLENGE, 1, &disputed, &profile(Mode::Full), &RULES, block);
    assert_eq!([118, 119, 120].map(owed_at), [Owed::Waiting; 3], "the other demand is still open");
    assert_eq!(owed_at(121), Owed::Missing(opener));
    assert_eq!([120, 121].map(|block| of(&CHALLENGE, disputed, at(block))), [Outcome::Pending, Outcome::Missed]);
    let answered = demands.map(|demand| Demand { is_answered: true, ..demand });
    assert_eq!(of(&CHALLENGE, Commit { demands: &answered, ..disputed }, at(111)), Outcome::Passed);
    assert!(may_demand(&CHALLENGE, &RULES, 110) && !may_demand(&CHALLENGE, &RULES, 111));
    assert_eq!(demand_until(&CHALLENGE, 3, &RULES, 110), 110 + 6 + 4, "four answers at a quarter of a block's gas each");
}

#[test]
fn draws_that_do_not_fit_are_dropped() {
    let crowd = |commits, unmeasured, owners| Challenge {
        attendance: Attendance { commits, unmeasured, owners, ..CHALLENGE.attendance },
        ..CHALLENGE
    };
    assert_eq!(load(&crowd(100, 10, 9), &RULES, 0), Load { rate: 1, unmeasured_rate: 1, extra_blocks: 100 });
    // Most are unmeasured: drawn at the usual rate only, which is excused by five owners and not by four.
    let rare = Rules { proof_rate: 16, ..RULES };
    assert_eq!(load(&crowd(32, 17, 5), &rare, 0).unmeasured_rate, 16);
    assert_eq!(load(&crowd(32, 17, 4), &rare, 0).unmeasured_rate, 1);
    let full = load(&crowd(u16::MAX, 0, 9), &RULES, 0);
    assert_eq!(full, Load { rate: 33, unmeasured_rate: 33, extra_blocks: ANSWER_LIMIT_BLOCKS - RULES.answer_window });
}

#[test]
fn a_challenge_that_half_of_the_weight_missed_is_void_for_all() {
    let attend = |reference: &Reference, owners: u8| {
        let (mut seen, mut tally) = (Attendance::default(), BTreeMap::new());
        for owner in 0..owners {
            reference.count(&mut seen, &mut tally, Address::repeat_byte(owner + 1), 10, false);
        }
        seen
    };
    let mut reference = Reference::default();
    for _ in 0..2 {
        assert!(!reference.judge(&attend(&reference, 20), &RULES).is_void);
    }
    // Each owner weighs ten of two hundred, below the cap of twenty.
    assert!(!reference.judge(&attend(&reference, 10), &RULES).is_void, "half is enough");
    for _ in 0..2 {
        reference = Reference::default();
        reference.judge(&attend(&reference, 20), &RULES);
        reference.judge(&attend(&reference, 20), &RULES);
    }
    let few = attend(&reference, 9);
    for number in 1..=12 {
        assert!(reference.judge(&few, &RULES).is_void, "{number}");
    }
    assert!(!reference.judge(&few, &RULES).is_void, "after twelve whoever is there is the network");
    let void = Challenge { is_void: true, ..CHALLENGE };
    assert_eq!(of(&void, commit(Status::Proven, 900), at(111)), Outcome::Void);
    assert_eq!(outcome(&void, 1, None, &RULES, at(111)), Outcome::Void);
    assert_eq!(of(&void, commit(Status::Voided, 900), at(111)), Outcome::Missed, "a wrong answer stays one");
    // One owner of half of everything is capped to a tenth.
    let (mut seen, mut tally) = (Attendance::default(), BTreeMap::new());
    reference.count(&mut seen, &mut tally, Address::ZERO, 1_000, true);
    reference.count(&mut seen, &mut tally, Address::ZERO, 1_000, true);
    assert_eq!((seen.weight, seen.total_weight, seen.owners, seen.commits, seen.unmeasured), (9, 2_000, 1, 2, 2));
    assert_eq!([0, 1, 500 * 10u128.pow(18), u128::MAX].map(weight_of), [0, 1, 500, u32::MAX]);
}

#[test]
fn two_unmeasured_commits_and_two_missing_answers_are_forgiven_in_a_grace_window() {
    let at = |timestamp| Challenge { timestamp, ..CHALLENGE };
    let mut record = DeviceRecord::default();
    let unmeasured =
        |record: &mut DeviceRecord, time| record.count(&at(time), Outcome::Unmeasured, Some(Status::Proven), Owed::Nothing, &RULES).outcome;
    let outcomes = [1_000, 1_050, 1_090, 1_101].map(|time| unmeasured(&mut record, time));
    assert_eq!(outcomes, [Outcome::Unmeasured, Outcome::Unmeasured, Outcome::Missed, Outcome::Unmeasured]);
    let lacking = |record: &mut DeviceRecord, time| {
        record.count(&at(time), Outcome::Missed, Some(Status::Committed), Owed::Missing(Address::ZERO), &RULES)
    };
    let counted = [1_000, 1_050, 1_090, 1_101].map(|time| lacking(&mut record, time));
    assert!(counted.iter().all(|counted| counted.status == Some(Status::Voided)));
    assert_eq!(counted.map(|counted| counted.missing), [Some(1), Some(2), Some(3), Some(1)]);
    let uncommitted = record.count(&at(1_102), Outcome::Missed, None, Owed::Nothing, &RULES);
    assert_eq!((uncommitted.status, uncommitted.missing), (None, None));
}

#[test]
fn a_rental_adds_up_as_the_contract_does_it() {
    let timestamps = [90, 150, 210, 270, 330, 390];
    let outcomes = [Outcome::Passed, Outcome::Passed, Outcome::Missed, Outcome::Unmeasured, Outcome::Passed, Outcome::Passed];
    let outcome_of = |index: u64| outcomes[index as usize];
    let mut book = RentalBook::new(1, 1, 100, 300);
    let sums = book.report(&timestamps, EVERYTHING, outcome_of);
    // 100 to 150 passed, to 210 missed, the unmeasured one leaves its time to the closing challenge, which counts up to the end.
    assert_eq!(sums, Sums { terms_version: 1, covered_until: 300, verified_seconds: 50 + 90, due: 3, passed: 2, is_final: true });
    book.set_terms(2, 200);
    let sums = book.report(&timestamps, EVERYTHING, outcome_of);
    assert_eq!(sums, Sums { terms_version: 2, covered_until: 200, verified_seconds: 50, due: 2, passed: 1, is_final: true });
    book.set_terms(1, 900);
    assert_eq!((book.sums(), book.coverage.end), (sums, 900), "old terms only widen what commits may lean on");
}

#[test]
fn time_before_a_void_challenge_is_paid_between_two_passed_ones() {
    let timestamps = [150, 210, 270, 330];
    let sums_of = |before, after| {
        let outcomes = [before, Outcome::Void, after, Outcome::Passed];
        RentalBook::new(1, 1, 100, 300).report(&timestamps, EVERYTHING, |index| outcomes[index as usize])
    };
    let verified = |before, after| sums_of(before, after).verified_seconds;
    assert_eq!(verified(Outcome::Passed, Outcome::Passed), 200);
    // From the missed one to the void one nobody can say; from there on the next one passed.
    assert_eq!(verified(Outcome::Missed, Outcome::Passed), 60 + 30);
    assert_eq!(verified(Outcome::Passed, Outcome::Missed), 50 + 30);
    assert_eq!(sums_of(Outcome::Passed, Outcome::Passed).due, 3, "a void challenge is due for nobody");
}

#[test]
fn a_closing_challenge_waits_for_a_measured_one_and_gives_up_after_three() {
    let timestamps = [150, 350, 360, 370, 380];
    let neutral = |index: u64| match index {
        0 => Outcome::Passed,
        2 => Outcome::Void,
        _ => Outcome::Unmeasured,
    };
    let mut book = RentalBook::new(1, 1, 100, 300);
    assert!(!book.report(&timestamps, Bounds { decided: 4, ..EVERYTHING }, neutral).is_final);
    let sums = book.report(&timestamps, EVERYTHING, neutral);
    assert_eq!((sums.is_final, sums.verified_seconds, sums.passed), (true, 200, 2));
}

#[test]
fn what_a_window_has_no_room_for_waits_for_a_later_report() {
    let (provider, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let mut room = Room::default();
    let left = |room: &mut Room, who, block| room.left(who, block, RULES.cap_window, RULES.value_cap);
    assert_eq!(left(&mut room, provider, 8), 1_000);
    room.spend(provider, 9, RULES.cap_window, 900);
    assert_eq!([provider, other].map(|who| left(&mut room, who, 11)), [100, 1_000]);
    assert_eq!(left(&mut room, provider, 12), 1_000);
    let mut book = RentalBook::new(1, 1, 100, 300);
    book.set_price(10);
    let bounds = |book: &RentalBook| Bounds { horizon: book.horizon(1_000), ..EVERYTHING };
    let passed = |_: u64| Outcome::Passed;
    let first = book.report(&[150, 350], bounds(&book), passed);
    assert_eq!((first.covered_until, first.verified_seconds, first.due, first.is_final), (200, 100, 1, false));
    assert_eq!(book.reported(first.covered_until), 1_000);
    let second = book.report(&[150, 350], bounds(&book), passed);
    assert_eq!((second.covered_until, second.verified_seconds, second.due, second.is_final), (300, 200, 2, true));
    assert_eq!((book.reported(300), book.reported(300)), (1_000, 0));
}
