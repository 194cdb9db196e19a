//! What programs need to build transactions.

use alloy::primitives::U256;
use serde_json::{Value, json};

use super::{
    Snapshot, bridge,
    json::{hex, int, int_or_null},
    live::ModeTold,
    params::Params,
};
use crate::types::{
    ChainKind,
    amount::{DECIMALS, SYMBOL},
    api::{ApiError, ApiRequest},
};

/// Most classes that are told.
pub const CLASSES: usize = 256;
const PPM: u64 = 1_000_000;

pub fn config(view: &Snapshot, request: &ApiRequest) -> Result<Value, ApiError> {
    Params::new(request, &[])?;
    let book = view.book();
    let chain = |kind| json!({ "chain_id": int(book.chain_id(kind)), "start_block": int(book.start_block(kind)) });
    let told = &view.api.told;
    let median = |origin| int_or_null(bridge::median(&bridge::latencies(view, origin)));
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ethereum": chain(ChainKind::Ethereum),
        "classic": chain(ChainKind::Classic),
        "contracts": contracts(view),
        "token": {
            "address": hex(book.ethereum.gpu_token),
            "name": view.live.token_name,
            "symbol": SYMBOL,
            "decimals": int(DECIMALS),
            "permit_version": "1",
        },
        "rental": rental(view),
        "safeguards": safeguards(view),
        "court": court(view),
        "staking": staking(view),
        "work": work(view),
        "finality": {
            "ethereum_stride_blocks": int(told.strides[ChainKind::Ethereum as usize]),
            "classic_stride_blocks": int(told.strides[ChainKind::Classic as usize]),
            "classic_min_depth_blocks": int(told.classic_min_depth),
            "ethereum_to_classic_seconds": median(ChainKind::Ethereum),
            "classic_to_ethereum_seconds": median(ChainKind::Classic),
        },
        "classes": classes(view),
    }))
}

fn contracts(view: &Snapshot) -> Value {
    let (eth, etc) = (&view.book().ethereum, &view.book().classic);
    json!({
        "ethereum": {
            "outbox": hex(eth.bridge.outbox),
            "inbox": hex(eth.bridge.inbox),
            "king_set": hex(eth.bridge.king_set),
            "gpu_token": hex(eth.gpu_token),
            "staking_manager": hex(eth.staking_manager),
            "gpu_rental": hex(eth.gpu_rental),
            "rental_court": hex(eth.rental_court),
            "king_court": hex(eth.king_court),
            "token_distributor": hex(eth.token_distributor),
            "governance": hex(eth.governance),
            "timelock": hex(eth.timelock),
            "faucet": super::json::hex_or_null(eth.faucet),
        },
        "classic": {
            "outbox": hex(etc.bridge.outbox),
            "inbox": hex(etc.bridge.inbox),
            "king_set": hex(etc.bridge.king_set),
            "work_verification": hex(etc.work_verification),
            "reputation_system": hex(etc.reputation_system),
            "proof_verifier": hex(etc.proof_verifier),
        },
    })
}

fn rental(view: &Snapshot) -> Value {
    let Some((version, told)) = view.eth.market.newest_parameters() else { return Value::Null };
    json!({
        "version": int(version),
        "protocol_fee_bps": int(told.protocolFeeBps),
        "bridge_fee_wei": int(told.bridgeFee),
        "ready_fee_wei": int(told.readyFee),
        "ready_window_seconds": int(told.readyWindow),
        "start_window_seconds": int(told.startWindow),
        "minimum_bill_seconds": int(told.minimumBill),
        "freshness_seconds": int(told.freshness),
        "settle_timeout_seconds": int(told.settleTimeout),
    })
}

fn safeguards(view: &Snapshot) -> Value {
    let Some(told) = &view.eth.market.safeguards else { return Value::Null };
    json!({
        "compensation_seconds": int(told.compensationSeconds),
        "reserve_seconds": int(told.reserveSeconds),
        "grace_window_seconds": int(told.graceWindow),
        "maintenance_notice_seconds": int(told.maintenanceNotice),
        "maintenance_budget_seconds": int(told.maintenanceBudget),
        "deadline_notice_seconds": int(told.deadlineNotice),
        "hard_deadline_seconds": int(told.hardDeadline),
        "outage_share_bps": int(told.outageShareBps),
    })
}

fn court(view: &Snapshot) -> Value {
    let Some(told) = &view.eth.market.court else { return Value::Null };
    json!({
        "bond_wei": int(told.bond),
        "judge_fee_wei": int(told.judgeFee),
        "committee_size": int(told.committeeSize),
        "draw_delay_blocks": int(told.drawDelay),
        "verdict_window_seconds": int(told.verdictWindow),
        "finality_seconds": int(told.finalitySeconds),
    })
}

fn staking(view: &Snapshot) -> Value {
    let Some(told) = &view.eth.stakes.parameters else { return Value::Null };
    json!({
        "minimum_provider_stake_wei": int(told.minimumProviderStake),
        "minimum_queen_stake_wei": int(told.minimumQueenStake),
        "minimum_king_stake_wei": int(told.minimumKingStake),
        "missing_answer_penalty_wei": int(told.missingAnswerPenalty),
        "unbonding_period_seconds": int(told.unbondingPeriod),
        "vote_slash_cap_bps": int(told.voteSlashCapBps),
        "burn_bps": int(told.burnBps),
        "treasury_bps": int(told.treasuryBps),
        "renter_bps": int(told.renterBps),
        "reporter_bps": int(told.reporterBps),
    })
}

fn work(view: &Snapshot) -> Value {
    let Some((version, told)) = view.etc.work.parameters.last_key_value() else { return Value::Null };
    json!({
        "version": int(version),
        "beacon_period_blocks": int(told.beaconPeriod),
        "beacon_spacing_blocks": int(told.beaconSpacing),
        "commit_window_blocks": int(told.commitWindow),
        "dispute_window_blocks": int(told.disputeWindow),
        "answer_window_blocks": int(told.answerWindow),
        "proof_rate": int(told.proofRate),
        "proof_samples": int(told.proofSamples),
        "committee_size": int(told.committeeSize),
        "mode_slack_seconds": int(told.modeSlack),
        "bridge_max_seconds": int(told.bridgeMax),
    })
}

/// Mean time between two of the newest challenges, as they came.
fn seconds_between_challenges(view: &Snapshot) -> Option<u64> {
    let newest: Vec<u64> = view.etc.work.challenges.values().rev().take(100).map(|challenge| challenge.timestamp).collect();
    let (last, first) = (newest.first()?, newest.last()?);
    last.checked_sub(*first)?.checked_div(newest.len() as u64 - 1)
}

fn classes(view: &Snapshot) -> Vec<Value> {
    let between = seconds_between_challenges(view);
    let stakes = &view.eth.stakes;
    let known = view.etc.work.classes.iter().chain(stakes.class_stakes.keys());
    let known: std::collections::BTreeSet<u32> = known.copied().collect();
    let class = |version: u32| {
        let profiles = view.live.profiles.get(&version);
        let light_ms = profiles.map(|(_, light)| u64::from(light.reference_ms));
        let overhead = light_ms.zip(between).and_then(|(ms, seconds)| (ms * PPM / 1_000).checked_div(seconds));
        let reward = view.eth.distribution.class_rewards.get(&version).copied().unwrap_or_default();
        json!({
            "class_version": int(version),
            "stake_wei": int(stakes.class_stakes.get(&version).copied().unwrap_or(U256::ZERO)),
            "full": profiles.map(|(full, _)| mode(full)),
            "light": profiles.map(|(_, light)| mode(light)),
            "reward_per_hour_wei": int(reward),
            "offers": int(view.eth.market.offers.values().filter(|offer| offer.class_version == version).count()),
            "devices": int(stakes.devices.values().filter(|device| device.class_version == version && device.removed_at.is_none()).count()),
            "expected_seconds_between_challenges": int_or_null(between),
            "overhead_ppm": int_or_null(overhead.map(|overhead| overhead.min(PPM))),
        })
    };
    known.into_iter().take(CLASSES).map(class).collect()
}

fn mode(told: &ModeTold) -> Value {
    json!({
        "memory_bytes": int(told.memory_bytes),
        "matrix_size": int(told.matrix_size),
        "inner_size": int(told.inner_size),
        "rounds": int(told.rounds),
        "reference_ms": int(told.reference_ms),
        "pass_ms": int(told.pass_ms),
        "unmeasured_ms": int(told.unmeasured_ms),
    })
}
