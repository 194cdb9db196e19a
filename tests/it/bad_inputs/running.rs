//! A rental that runs: what its parties can do with the command line, what they are told, and who may not.

use std::fs;

use alloy::primitives::keccak256;
use gpumkt::{
    client::{rent, session_keys},
    config::NodeConfig,
    keys::Strength,
    types::{Amount, abi::GPURental},
};
use serde_json::{Value, json};

use super::{
    desk::{Desk, RUNTIME, network},
    trade::{chain_time, prove_device},
};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn wei(value: &Value) -> Amount {
    serde_json::from_value(value.clone()).unwrap()
}

/// Time of both parties' chain passes.
fn pass(seconds: u64) {
    RUNTIME.block_on(async {
        network().chains.ethereum.ask("evm_increaseTime", json!([seconds])).await.unwrap();
        network().chains.ethereum.ask("evm_mine", json!([])).await.unwrap();
    });
}

/// A second device of the provider, rented for an hour and ready.
fn running_rental(renter: &Desk, provider: &Desk) -> u64 {
    let offered = provider.run(&["offer", "--class", "1", "--new-device", "--max-duration", "30d", "--json"]).accepted();
    let offered = json_of(&offered);
    // Nobody pays for this class yet: the price is what others ask.
    assert_eq!(offered["price_per_hour_wei"], "3600000000000000000");
    prove_device(offered["device"].as_u64().unwrap());
    let config = NodeConfig::load(renter.config_file().as_ref(), &[]).unwrap();
    let (clients, provider) = (renter.clients(), provider.clients());
    let sessions = session_keys(&config, Strength::Devnet).unwrap();
    RUNTIME.block_on(async {
        let quote = rent::quote(&clients, offered["offer"].as_u64().unwrap(), 3_600).await.unwrap();
        let (id, _) = rent::rent(&clients, &quote, &sessions).await.unwrap();
        let call = GPURental::readyCall { rentalId: id };
        provider.ethereum_wallet().send("ready", provider.book.ethereum.gpu_rental, call).await.unwrap();
        id
    })
}

pub fn a_running_rental_is_extended_disputed_and_ended(renter: &Desk, stranger: &Desk) {
    let provider = Desk::new("provider");
    let id = running_rental(renter, &provider).to_string();
    extensions_cost_what_they_say(renter, stranger, &id);
    maintenance_is_announced_ahead(renter, &provider, &id);
    complaints_freeze_until_their_time_is_over(renter, stranger, &id);
    aborting_is_told_on_both_sides(renter, &provider, &id);
}

fn extensions_cost_what_they_say(renter: &Desk, stranger: &Desk, id: &str) {
    let before = json_of(&renter.run(&["rentals", id, "--json"]).accepted())["rental"].clone();
    let cause = renter.run(&["extend", id, "--hours", "2", "--max-cost", "0.1", "--yes"]).refused("E-CLIENT-004");
    assert!(cause.contains("0.1"), "{cause}");
    let outcome = renter.run(&["extend", id, "--hours", "2"]);
    assert!(outcome.stdout.contains("exactly") && outcome.stdout.contains("2 h more"), "{outcome:?}");
    outcome.refused("E-CLIENT-012");
    let cause = stranger.run(&["extend", id, "--hours", "2", "--yes"]).refused("E-CHAIN-005");
    assert!(cause.contains("only the renter"), "{cause}");
    let cause = renter.run(&["extend", id, "--duration", "60d", "--yes"]).refused("E-CHAIN-005");
    assert!(cause.contains("outside of what the offer still allows"), "{cause}");
    let unchanged = json_of(&renter.run(&["rentals", id, "--json"]).accepted())["rental"].clone();
    assert_eq!(unchanged, before, "nothing was paid");

    let rehearsed = json_of(&renter.run(&["extend", id, "--hours", "2", "--dry-run", "--json"]).accepted());
    let unchanged = json_of(&renter.run(&["rentals", id, "--json"]).accepted())["rental"].clone();
    assert_eq!(unchanged, before, "a rehearsal pays nothing");
    let extended = json_of(&renter.run(&["extend", id, "--hours", "2", "--yes", "--json"]).accepted());
    assert_eq!((&rehearsed["result"], &rehearsed["transaction"]["transaction"]), (&extended["result"], &Value::Null));
    let (sent, extended) = (&extended["transaction"]["transaction"], &extended["result"]);
    let after = json_of(&renter.run(&["rentals", id, "--json"]).accepted());
    let (rental, steps) = (&after["rental"], after["transactions"].as_array().unwrap());
    assert_eq!(rental["end"].as_u64().unwrap(), before["end"].as_u64().unwrap() + 7_200);
    assert_eq!(extended["end"], rental["end"]);
    assert_eq!(wei(&rental["escrowed_wei"]).wei() - wei(&before["escrowed_wei"]).wei(), wei(&extended["cost_wei"]).wei(), "to the wei");
    let step = steps.iter().find(|step| step["what"].as_str().unwrap().starts_with("extended by 7200 s")).unwrap();
    assert_eq!(&step["transaction"], sent);
    // People get dates, not numbers of seconds.
    let shown = renter.run(&["rentals", id]).accepted();
    assert!(!shown.contains(&rental["end"].as_u64().unwrap().to_string()) && shown.contains("3 h"), "{shown}");
}

fn maintenance_is_announced_ahead(renter: &Desk, provider: &Desk, id: &str) {
    let cause = provider.run(&["maintenance", "declare", id, "--in", "10m", "--for", "5m"]).refused("E-CHAIN-005");
    assert!(cause.contains("announced ahead"), "{cause}");
    renter.run(&["maintenance", "declare", id, "--in", "25h", "--for", "5m"]).refused("E-CHAIN-005");
    renter.run(&["extend", id, "--hours", "48", "--yes"]).accepted();
    provider.run(&["maintenance", "declare", id, "--in", "25h", "--for", "30m"]).accepted();
    let listed = json_of(&renter.run(&["maintenance", "list", id, "--json"]).accepted());
    let window = &listed[0];
    assert_eq!(window["until"].as_u64().unwrap() - window["from"].as_u64().unwrap(), 1_800);
    assert!(renter.run(&["maintenance", "list", id]).accepted().contains("30 min"));
}

fn complaints_freeze_until_their_time_is_over(renter: &Desk, stranger: &Desk, id: &str) {
    let evidence = renter.path("evidence.log");
    fs::write(&evidence, "no GPU inside").unwrap();
    let evidence = evidence.to_str().unwrap();
    stranger.run(&["complain", id, "--evidence", "/nonexistent", "--yes"]).refused("E-CLIENT-011");
    renter.run(&["complain", id, "--evidence", evidence]).refused("E-CLIENT-012");
    let case = json_of(&renter.run(&["complain", id, "--evidence", evidence, "--yes", "--json"]).accepted());
    assert_eq!((case["kind"].as_str(), case["status"].as_str()), (Some("complaint"), Some("open")));
    assert_eq!(case["evidence"], json!(keccak256("no GPU inside")));
    let number = case["case"].to_string();
    let cause = renter.run(&["extend", id, "--hours", "1", "--yes"]).refused("E-CHAIN-005");
    assert!(cause.contains("a complaint is open"), "{cause}");
    let cause = renter.run(&["complain", id, "--evidence", evidence, "--yes"]).refused("E-CHAIN-005");
    assert!(cause.contains("open"), "{cause}");
    let cause = stranger.run(&["court", "vote", &number, "--uphold"]).refused("E-CHAIN-005");
    assert!(cause.contains("drawn") || cause.contains("committee"), "{cause}");
    stranger.run(&["court", "expire", &number]).refused("E-CHAIN-005");
    let listed = json_of(&stranger.run(&["court", "list", "--rental", id, "--json"]).accepted());
    assert_eq!(listed[0]["case"], case["case"]);
    assert!(json_of(&renter.run(&["rentals", id, "--json"]).accepted())["frozen_from"].is_u64());

    let left = case["verdict_until"].as_u64().unwrap() - RUNTIME.block_on(chain_time());
    pass(left + 1);
    let expired = json_of(&stranger.run(&["court", "expire", &number, "--json"]).accepted());
    assert_eq!(expired["status"], "expired");
    renter.run(&["court", "claim"]).accepted();
    let cause = stranger.run(&["court", "show", "99"]).refused("E-CHAIN-005");
    assert!(cause.contains("no such case"), "{cause}");
    assert!(renter.run(&["court", "show", &number]).accepted().contains("expired"));
}

fn aborting_is_told_on_both_sides(renter: &Desk, provider: &Desk, id: &str) {
    let config = NodeConfig::load(renter.config_file().as_ref(), &[]).unwrap();
    assert!(config.data_dir.join("sessions").exists());
    renter.run(&["abort", id, "--yes"]).refused("E-CHAIN-005");
    provider.run(&["abort", id]).refused("E-CLIENT-012");
    let cause = renter.run(&["settle", id]).refused("E-CHAIN-005");
    assert!(cause.contains("too early"), "{cause}");
    provider.run(&["abort", id, "--yes"]).accepted();
    for desk in [renter, provider] {
        let evidence = json_of(&desk.run(&["rentals", id, "--json"]).accepted());
        assert_eq!(evidence["close_reason"], "the provider ended it");
        assert_eq!(evidence["fault"], "ended the rental");
        let told: Vec<&str> = evidence["transactions"].as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap()).collect();
        assert!(told.iter().any(|what| what.starts_with("fault of the provider")), "{told:?}");
        assert!(told.iter().any(|what| what.starts_with("closed: the provider ended it")), "{told:?}");
        let (money, text) = (&evidence["rental"], |name: &str| wei(&evidence["rental"][name]).wei());
        assert_eq!(text("escrowed_wei"), text("paid_wei") + text("refunded_wei") + text("fees_wei"), "{money}");
    }
    let status = renter.run(&["status", id]).accepted();
    assert!(status.contains("closed because") && status.contains("Nothing from its provider"), "{status}");
}
