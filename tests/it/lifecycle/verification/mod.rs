//! Verification between real nodes with real kernels, and a cheat among them. One network serves all scenarios: starting it is the cost.

mod cheat;
mod rentals;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use alloy::{
    primitives::{B256, U256},
    sol_types::SolCall,
};
use gpumkt::{
    chain::BlockId,
    client::stake,
    rules::verdict::Outcome,
    types::{
        Amount,
        abi::{Outbox, WorkVerification},
    },
};

use self::{
    cheat::{Cheat, Manner},
    world::{Opened, WITHIN, World, signer, until},
};

/// As WorkVerification numbers a challenge that is void for all, and a fault by a wrong proof.
const VOID: u8 = 2;
const WRONG_PROOF: u8 = 1;

/// Blocks without a message before a reorganisation: none that a King has signed may go.
const QUIET_BLOCKS: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cheats_or_refuses_is_judged_by_real_nodes_and_every_verdict_replays() {
    let _alone = crate::WHOLE_NETWORK.lock().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut world = World::start(folder.path()).await;
    world.endow(signer(13).address(), "5000").await;
    let cheat = Cheat::join(&world, "cheat", signer(13), &signer(14)).await;

    a_committee_that_is_refused_demands_samples_and_silence_voids(&world, &cheat).await;
    a_lie_is_disputed_under_bond_and_slashed(&world, &cheat).await;
    let offer = rentals::offer(&world).await;
    rentals::a_short_rental_is_closed_by_the_next_challenge(&world, offer).await;
    let rental = rentals::messages_that_come_late_change_nothing(&mut world, offer).await;
    rentals::a_device_is_rented_again_before_the_closing_challenge(&world, offer, rental).await;

    another_queen_takes_a_part_of_the_work(&mut world).await;

    world.agrees(world.address("provider")).await;
    let caught = world.agrees(cheat.account).await;
    assert!(caught.demands >= 2 && caught.missing >= 1, "{caught:?}");
    assert!(caught.challenges.iter().all(|verdict| verdict.outcome != Outcome::Passed));
    nothing_counted_while_a_window_was_open(&world, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_honest_loses_nothing_by_false_disputes_missing_queens_reorganisations_and_outages() {
    let _alone = crate::WHOLE_NETWORK.lock().await;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut world = World::start(folder.path()).await;

    a_false_dispute_earns_the_provider_the_bond(&mut world).await;
    unmeasured_commits_are_forgiven_twice(&mut world).await;
    a_reorganised_challenge_is_committed_to_anew(&world).await;
    let offer = rentals::offer(&world).await;
    rentals::announced_maintenance_is_no_fault(&mut world, offer).await;
    an_outage_of_most_is_nobodys_fault(&world).await;

    let honest = world.agrees(world.address("provider")).await;
    let met = |outcome: Outcome| honest.challenges.iter().any(|verdict| verdict.outcome == outcome);
    assert!(met(Outcome::Passed) && met(Outcome::Unmeasured) && met(Outcome::Void), "{:?}", honest.challenges);
    assert!(honest.demands >= 1 && honest.missing == 0);
    nothing_counted_while_a_window_was_open(&world, 0).await;
}

/// Over the whole run: no challenge was settled before its commit window was over, nor while a demand waited for its answer, of which at
/// least `silences` waited in vain.
async fn nothing_counted_while_a_window_was_open(world: &World, silences: u32) {
    let commit_window = world.call(WorkVerification::parametersCall {}).await.commitWindow;
    let mut waiting = BTreeMap::new();
    let (mut settled, mut unanswered) = (0, 0);
    for log in world.logs().await {
        if let Some(demand) = log.decode::<WorkVerification::SampleDemanded>() {
            waiting.insert((demand.challengeBlock, demand.deviceId, demand.position), demand.answerUntil);
        } else if let Some(answer) = log.decode::<WorkVerification::DemandAnswered>() {
            waiting.remove(&(answer.challengeBlock, answer.deviceId, answer.position));
        } else if let Some(void) = log.decode::<WorkVerification::CommitVoided>() {
            let open = waiting.iter().filter(|((block, device, _), _)| (*block, *device) == (void.challengeBlock, void.deviceId));
            // A wrong answer decides at once; silence only once the time is over.
            if let Some(until) = open.map(|(_, until)| *until).min().filter(|_| void.reason != WRONG_PROOF) {
                unanswered += 1;
                assert!(log.block_number > until, "{void:?} in {}, open until {until}", log.block_number);
            }
            waiting.retain(|(block, device, _), _| (*block, *device) != (void.challengeBlock, void.deviceId));
        } else if let Some(counted) = log.decode::<WorkVerification::DeviceSettled>() {
            settled += 1;
            assert!(log.block_number > counted.challengeBlock + commit_window, "{counted:?} in {}", log.block_number);
            for ((block, device, _), until) in &waiting {
                if (*block, *device) == (counted.challengeBlock, counted.deviceId) {
                    assert!(log.block_number > *until, "{counted:?} in {}, open until {until}", log.block_number);
                }
            }
        }
    }
    println!("{settled} verdicts, {unanswered} answers that never came");
    assert!(settled > 0 && unanswered >= silences, "{settled} {unanswered}");
}

/// Queens ask for samples off chain, tell each other that they got none, and bring two thirds of their signatures to the chain. The
/// samples that this demands are not opened either.
async fn a_committee_that_is_refused_demands_samples_and_silence_voids(world: &World, cheat: &Cheat) {
    let demanded = loop {
        let challenge = world.next_challenge().await;
        if !cheat.commit(world, &challenge).await {
            continue;
        }
        let committed = world.log_of::<WorkVerification::WorkCommitted>("the commit", |commit| commit.deviceId == cheat.device).await;
        assert!(!committed.measured, "nobody signed a receipt for it");
        break world
            .log_of::<WorkVerification::SampleDemanded>("the committee demands samples", |demand| {
                demand.deviceId == cheat.device && demand.opener.is_zero()
            })
            .await;
    };
    // A Queen settles it: nobody else has a reason to.
    let missing = world.log_of::<WorkVerification::AnswerMissing>("the answer is missing", |lack| lack.deviceId == cheat.device).await;
    assert_eq!((missing.challengeBlock, missing.times), (demanded.challengeBlock, U256::ONE), "the first one is not a fault yet");
    assert_eq!(world.settled(cheat.device, demanded.challengeBlock).await, Outcome::Missed as u8);
    let stake = stake::staker(&world.clients, cheat.account).await.unwrap().staked_wei;
    assert_eq!(stake, Amount::parse_tokens("2000").unwrap());
}

/// Committees of three are drawn from four Queens now: each of them is left out of some. One that dies is missed by nobody.
async fn another_queen_takes_a_part_of_the_work(world: &mut World) {
    const ALL: [&str; 4] = ["queen-1", "queen-2", "queen-3", "queen-4"];
    let key = signer(19);
    world.endow(key.address(), "20000").await;
    world.add_queen(ALL[3], &key).await;
    until("the fourth Queen sits on Ethereum Classic", async || {
        world.call(WorkVerification::queensCall {}).await.contains(&key.address()).then_some(())
    })
    .await;

    let mut before = Vec::new();
    for name in ALL {
        before.push(world.receipts(name).await);
    }
    let seats = world.call(WorkVerification::queensCall {}).await;
    let (mut block, mut spared) = (world.next_challenge().await.block, BTreeSet::new());
    let began = Instant::now();
    loop {
        let challenge = world.challenge_after(block).await;
        block = challenge.block;
        let drawn = world.call(WorkVerification::committeeCall { blockHash: challenge.hash, deviceId: world.device }).await;
        assert_eq!((seats.len(), drawn.len()), (4, 3));
        spared.extend((0..4u16).filter(|seat| !drawn.contains(seat)));
        let mut signed = Vec::new();
        for (name, before) in ALL.into_iter().zip(&before) {
            signed.push(world.receipts(name).await - before);
        }
        println!("signed {signed:?}; had a challenge off: {spared:?}");
        if spared.len() == 4 && signed.iter().all(|receipts| *receipts > 0.0) {
            break;
        }
        assert!(began.elapsed() < WITHIN, "a Queen has all of the work, or none");
    }

    world.kill(ALL[1]);
    let next = world.next_challenge().await;
    world
        .log_of::<WorkVerification::WorkCommitted>("the next challenge is measured all the same", |commit| {
            (commit.challengeBlock, commit.deviceId, commit.measured) == (next.block, world.device, true)
        })
        .await;
}

/// The other outcome of a demand: the answer is there, and wrong.
async fn a_lie_is_disputed_under_bond_and_slashed(world: &World, cheat: &Cheat) {
    cheat.set_manner(Manner::Lies);
    let demand = loop {
        let challenge = world.next_challenge().await;
        if !cheat.commit(world, &challenge).await {
            continue;
        }
        let demand = world
            .log_of::<WorkVerification::SampleDemanded>("a Queen disputes", |demand| {
                demand.deviceId == cheat.device && demand.challengeBlock == challenge.block && !demand.opener.is_zero()
            })
            .await;
        if cheat.answer_wrongly(world, challenge.block, demand.position).await {
            break demand;
        }
    };
    let queens = ["queen-1", "queen-2", "queen-3"].map(|name| world.address(name));
    assert!(queens.contains(&demand.opener), "only Queens were lied to");
    world
        .log_of::<WorkVerification::CommitVoided>("the wrong answer voids", |voided| {
            (voided.deviceId, voided.challengeBlock, voided.reason) == (cheat.device, demand.challengeBlock, WRONG_PROOF)
        })
        .await;
    let bond = world.call(WorkVerification::parametersCall {}).await.disputeBond;
    world
        .log_of::<WorkVerification::FundMoved>("the bond comes back", |moved| moved.to == demand.opener && moved.amount == U256::from(bond))
        .await;
    let slashed = Amount::parse_tokens("1500").unwrap();
    until("the class stake is slashed on Ethereum", async || {
        (stake::staker(&world.clients, cheat.account).await.unwrap().staked_wei == slashed).then_some(())
    })
    .await;
    assert_eq!(world.settled(cheat.device, demand.challengeBlock).await, Outcome::Missed as u8);
}

/// The test plays the third Queen: it disputes a commit that is right.
async fn a_false_dispute_earns_the_provider_the_bond(world: &mut World) {
    world.kill("queen-3");
    let (queen, provider) = (world.address("queen-3"), world.address("provider"));
    let bond = U256::from(world.call(WorkVerification::parametersCall {}).await.disputeBond);
    let mut tried = 0;
    let block = loop {
        tried += 1;
        assert!(tried <= 10, "no demand for a commit that is right was taken");
        let challenge = world.next_challenge().await;
        world
            .log_of::<WorkVerification::WorkCommitted>("the provider commits", |commit| {
                (commit.deviceId, commit.challengeBlock) == (world.device, challenge.block)
            })
            .await;
        let call =
            WorkVerification::disputeCall { challengeBlock: challenge.block, deviceId: world.device, sampleSeed: B256::repeat_byte(0x51) };
        match world.try_send(queen, bond, call.abi_encode()).await {
            Ok(()) => break challenge.block,
            // The window may be over by now.
            Err(reason) => println!("the dispute of {} was refused: {reason}", challenge.block),
        }
    };
    world
        .log_of::<WorkVerification::DemandAnswered>("the provider answers", |answered| {
            (answered.deviceId, answered.challengeBlock) == (world.device, block)
        })
        .await;
    world.log_of::<WorkVerification::FundMoved>("the bond is earned", |moved| moved.to == provider && moved.amount == bond).await;
    assert_eq!(world.call(WorkVerification::openDisputesOfCall { opener: queen }).await, U256::ZERO);
    assert_eq!(world.settled(world.device, block).await, Outcome::Passed as u8);
}

/// One Queen of three is left: too few to measure anything.
async fn unmeasured_commits_are_forgiven_twice(world: &mut World) {
    world.kill("queen-2");
    let mut block = world.next_challenge().await.block;
    loop {
        block = world.challenge_after(block).await.block;
        let outcome = world.settled(world.device, block).await;
        let commits = world.all::<WorkVerification::WorkCommitted>().await;
        let commit = commits.into_iter().find(|commit| (commit.deviceId, commit.challengeBlock) == (world.device, block));
        // On a machine that is very busy a window may close before anything is committed.
        let Some(commit) = commit else { continue };
        assert!(!commit.measured);
        if outcome == Outcome::Missed as u8 {
            break;
        }
        assert_eq!(outcome, Outcome::Unmeasured as u8);
    }
    let settled = world.all::<WorkVerification::DeviceSettled>().await;
    let neutral = settled.iter().filter(|settled| settled.deviceId == world.device && settled.outcome == Outcome::Unmeasured as u8);
    assert_eq!(neutral.count(), 2);
    world.revive("queen-2").await;
    world.passes("two Queens measure again", block).await;
}

/// What stood on the orphaned side is gone; the provider answers for what stands now.
async fn a_reorganised_challenge_is_committed_to_anew(world: &World) {
    let outbox = world.network.book.classic.bridge.outbox;
    let messages =
        async |block: u64| -> u32 { world.clients.classic.call(outbox, Outbox::countCall {}, BlockId::number(block)).await.unwrap() };
    let orphaned: Opened = loop {
        let challenge = world.next_challenge().await;
        world
            .log_of::<WorkVerification::WorkCommitted>("a commit to be orphaned", |commit| {
                (commit.deviceId, commit.challengeBlock) == (world.device, challenge.block)
            })
            .await;
        let head = world.head().await;
        // A message that Kings may have signed already must not be orphaned: that stops them, which is another test.
        if messages(head).await == messages(challenge.block - QUIET_BLOCKS).await {
            world.network.chains.classic.reorg(head - challenge.block + 1).await.unwrap();
            break challenge;
        }
    };
    until("the orphaned challenge is gone", async || {
        let opened = world.all::<WorkVerification::ChallengeOpened>().await;
        opened.iter().all(|opened| opened.blockHash != orphaned.hash).then_some(())
    })
    .await;
    world.passes("the provider passes on the other side", orphaned.block - 1).await;
}

/// Two more owners commit twice and then fall silent: the third, who goes on, is one of three.
async fn an_outage_of_most_is_nobodys_fault(world: &World) {
    let mut others = Vec::new();
    for (name, account, worker) in [("other-1", 15, 16), ("other-2", 17, 18)] {
        world.endow(signer(account).address(), "5000").await;
        others.push(Cheat::join(world, name, signer(account), &signer(worker)).await);
    }
    let mut committed = world.next_challenge().await.block;
    // Windows overlap, so they commit to whatever opens until two challenges in a row had all three.
    until("two full challenges in a row", async || {
        for opened in world.all::<WorkVerification::ChallengeOpened>().await {
            if opened.blockNumber > committed {
                committed = opened.blockNumber;
                for other in &others {
                    other.commit(world, &Opened { block: opened.blockNumber, hash: opened.blockHash }).await;
                }
            }
        }
        let judged = world.all::<WorkVerification::ChallengeJudged>().await;
        judged.windows(2).any(|pair| pair.iter().all(|judged| judged.owners == 3)).then_some(())
    })
    .await;
    let void = world.log_of::<WorkVerification::ChallengeJudged>("an outage of most", |judged| judged.verdict == VOID).await;
    assert_eq!(world.settled(world.device, void.blockNumber).await, Outcome::Void as u8);
}
