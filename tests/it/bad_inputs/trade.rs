//! What a renter can get wrong, on an offer whose device counts as proven.

use std::fs;

use alloy::{primitives::U256, sol_types::SolCall};
use gpumkt::{
    client::{rent, session_keys},
    config::NodeConfig,
    keys::Strength,
    types::{
        abi::StakingManager,
        bridge::{Body, DeviceReport},
    },
};
use serde_json::{Value, json};

use super::desk::{Desk, RUNTIME, network};

/// What the bridge tells of a device's first full pass, now.
pub(super) fn prove_device(device: u64) {
    let (ethereum, book) = (&network().chains.ethereum, &network().book);
    let staking = book.ethereum.staking_manager;
    RUNTIME.block_on(async {
        let report = DeviceReport {
            deviceId: device,
            lastFullPass: chain_time().await,
            reputationPpm: 900_000,
            performancePermille: 1_000,
            faults: 0,
            settledIndex: 1,
        };
        let call = StakingManager::handleCall {
            origin: book.classic.chain_id,
            sender: book.classic.work_verification,
            body: Body::DeviceReport(report).encode(),
            _3: alloy::primitives::Address::ZERO,
        };
        let inbox = book.ethereum.bridge.inbox;
        ethereum.set_balance(inbox, U256::from(10u64.pow(18))).await.unwrap();
        ethereum.ask("anvil_impersonateAccount", json!([inbox])).await.unwrap();
        let transaction = json!({ "from": inbox, "to": staking, "data": alloy::primitives::Bytes::from(call.abi_encode()) });
        ethereum.ask("eth_sendTransaction", json!([transaction])).await.unwrap();
    });
}

pub(super) async fn chain_time() -> u64 {
    let head = network().chains.ethereum.ask("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
    head["timestamp"].as_str().and_then(|text| u64::from_str_radix(&text[2..], 16).ok()).unwrap()
}

/// A device that was staked for and offered with the command line. Its first pass is told as the bridge tells it.
fn offer_a_device() {
    let provider = Desk::new("provider");
    provider.run(&["stake", "provider", "5000"]).accepted();
    let offered = provider.run(&["offer", "--class", "1", "--price", "3.6", "--json"]).accepted();
    assert_eq!(serde_json::from_str::<Value>(&offered).unwrap()["offer"], 1);
    prove_device(1);
}

#[test]
fn renting_refuses_before_anything_is_paid() {
    let renter = Desk::new("renter");
    renter.run(&["rent", "99", "--yes"]).refused("E-CLIENT-005");
    offer_a_device();
    let cause = renter.run(&["rent", "1", "--max-cost", "0.0001", "--yes"]).refused("E-CLIENT-004");
    assert!(cause.contains("0.0001"), "{cause}");
    let cause = renter.run(&["rent", "1", "--duration", "1s", "--yes"]).refused("E-CLIENT-006");
    assert!(cause.contains("60"), "{cause}");
    let outcome = renter.run(&["rent", "1"]);
    assert!(outcome.next_step().contains("--yes"), "{outcome:?}");
    outcome.refused("E-CLIENT-012");
    let poor = Desk::new("relay");
    let address = network().accounts.address("relay").unwrap().to_string();
    for arguments in [&["rent", "1", "--yes"][..], &["stake", "queen", "10000"]] {
        let cause = poor.run(arguments).refused("E-CLIENT-003");
        assert!(cause.contains(&address) && cause.contains("holds 0"), "{cause}");
    }
    let rehearsed: Value = serde_json::from_str(&renter.run(&["rent", "1", "--dry-run", "--json"]).accepted()).unwrap();
    assert_eq!((&rehearsed["transaction"]["action"], &rehearsed["transaction"]["transaction"]), (&json!("rent"), &Value::Null));
    assert_eq!(rehearsed["result"]["total_wei"], rehearsed["result"]["quotes"][0]["total_wei"]);
    let cause = poor.run(&["rent", "1", "--dry-run"]).refused("E-CLIENT-003");
    assert!(cause.contains("holds 0"), "{cause}");
    no_gas("queen-2", &["rent", "1", "--yes"]);
    no_gas("queen-1", &["stake", "queen", "10000"]);
    let rentals = renter.run(&["rentals", "--json"]).accepted();
    assert_eq!(serde_json::from_str::<Value>(&rentals).unwrap(), json!([]), "nothing was rented");
    assert!(!renter.path("data/sessions").exists(), "and no session key was made");
    running_needs_a_rental_of_ones_own(&renter, &poor);
}

/// The error names the account, what it needs and what it has.
fn no_gas(name: &str, arguments: &[&str]) {
    let desk = Desk::new(name);
    let account = network().accounts.address(name).unwrap();
    let set = |wei: u64| RUNTIME.block_on(network().chains.ethereum.set_balance(account, U256::from(wei))).unwrap();
    set(7);
    let outcome = desk.run(arguments);
    assert!(outcome.next_step().contains(&account.to_string()), "{outcome:?}");
    let cause = outcome.refused("E-CHAIN-004");
    assert!(cause.contains(&account.to_string()) && cause.contains("0.000000000000000007"), "{cause}");
    set(10u64.pow(18));
}

fn running_needs_a_rental_of_ones_own(renter: &Desk, stranger: &Desk) {
    let kernel = renter.path("kernel.cl");
    fs::write(&kernel, "__kernel void main_kernel() {}").unwrap();
    let kernel = kernel.to_str().unwrap();
    renter.run(&["run", "1", kernel, "--global", "1"]).refused("E-CLIENT-005");
    renter.run(&["end", "1"]).refused("E-CLIENT-005");

    let config = NodeConfig::load(renter.config_file().as_ref(), &[]).unwrap();
    let clients = renter.clients();
    let sessions = session_keys(&config, Strength::Devnet).unwrap();
    let rented = async {
        let quote = rent::quote(&clients, 1, 3_600).await?;
        rent::rent(&clients, &quote, &sessions).await
    };
    let (id, _) = RUNTIME.block_on(rented).unwrap();
    let id = id.to_string();

    let held = renter.run(&["rent", "1", "--yes"]).refused("E-CLIENT-006");
    assert!(held.contains("rented"), "{held}");
    let cause = stranger.run(&["run", &id, kernel, "--global", "1"]).refused("E-CLIENT-008");
    assert!(cause.contains("sessions"), "{cause}");
    let elsewhere = renter.path("elsewhere");
    renter.run(&["run", "--data-dir", elsewhere.to_str().unwrap(), &id, kernel, "--global", "1"]).refused("E-CLIENT-008");
    renter.run(&["run", &id, "/nonexistent.cl", "--global", "1"]).refused("E-CLIENT-011");
    let cause = renter.run(&["run", &id, kernel, "--global", "1", "i32=many"]).refused("E-CLIENT-010");
    assert!(cause.contains("i32=many"), "{cause}");
    stranger.run(&["end", &id]).refused("E-CHAIN-005");
    stranger.run(&["claim"]).refused("E-CHAIN-005");
    renter.run(&["end", &id]).accepted();
    super::running::a_running_rental_is_extended_disputed_and_ended(renter, stranger);
}
