//! `gpumkt doctor` and `gpumkt network` on real chains, with what operators get wrong.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use alloy::primitives::U256;
use serde_json::Value;

use super::desk::{Desk, Outcome, RUNTIME, gpumkt, network, stop};

/// Runs the doctor, answers its findings and its exit code.
fn examine(desk: &Desk, role: &str) -> (Vec<Value>, Outcome) {
    // A test chain stands still while nobody uses it.
    RUNTIME.block_on(async {
        network().chains.ethereum.mine(1).await.unwrap();
        network().chains.classic.mine(1).await.unwrap();
    });
    let outcome = gpumkt(&["--json", "doctor", role, "--config", desk.config_file()]).go();
    let findings = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    (findings, outcome)
}

fn find<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    let found = findings.iter().find(|finding| finding["check"].as_str().unwrap().starts_with(check));
    found.unwrap_or_else(|| panic!("nothing about {check} in {findings:#?}"))
}

#[track_caller]
fn assert_finding(findings: &[Value], check: &str, status: &str, part: &str) {
    let finding = find(findings, check);
    assert_eq!(finding["status"], status, "{finding:#}");
    assert!(finding["found"].as_str().unwrap().contains(part), "{finding:#}");
    assert_eq!(finding["next_step"].is_null(), status == "ok", "{finding:#}");
}

#[test]
fn a_healthy_relay_is_told_so() {
    let desk = Desk::new("relay");
    for name in ["relay.json", "password"] {
        fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let before = desk.files();
    let (findings, outcome) = examine(&desk, "relay");
    outcome.accepted();
    for check in ["operator key", "ethereum endpoint 1", "classic endpoint 1", "clock", "ethereum contracts", "classic contracts", "ports"]
    {
        assert_eq!(find(&findings, check)["status"], "ok", "{findings:#?}");
    }
    assert_finding(&findings, "database", "ok", "none yet");
    assert_finding(&findings, "nodes to join by", "warn", "bootstrap is empty");
    assert!(findings.iter().all(|finding| finding["status"] != "fail"), "{findings:#?}");
    assert_eq!(desk.files(), before, "nothing is written");

    let node = desk.start("relay");
    let (findings, outcome) = examine(&desk, "relay");
    outcome.accepted();
    assert_finding(&findings, "ports", "ok", "the node runs, as peer 12D3");
    assert_finding(&findings, "database", "ok", "format");
    let shown = gpumkt(&["network", "--config", desk.config_file()]).go().accepted();
    assert!(shown.contains("peer 12D3") && shown.contains("known nodes: 0 Kings"), "{shown}");
    stop(node);
}

#[test]
fn broken_things_are_named_one_by_one() {
    let desk = Desk::new("relay");
    fs::write(desk.path("password"), "wrong").unwrap();
    let (findings, outcome) = examine(&desk, "relay");
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("E-DOCTOR-001"), "{outcome:?}");
    assert_eq!(find(&findings, "operator key")["code"], "E-KEY-003");
    // The address still stands on the file, so gas is looked at all the same.
    assert_finding(&findings, "ethereum gas", "ok", "ETH");

    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let ethereum = network().chains.ethereum.url();
    let desk = Desk::new("relay").with(|config| {
        config["network"].as_table_mut().unwrap().insert("listen".into(), vec![format!("/ip4/127.0.0.1/tcp/{port}")].into());
        // One endpoint of the wrong chain, one that is not there.
        config["classic"].as_table_mut().unwrap().insert("rpc".into(), vec![ethereum, "http://127.0.0.1:1".into()].into());
        let nobody = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";
        config["network"].as_table_mut().unwrap().insert("bootstrap".into(), vec![nobody].into());
    });
    fs::create_dir_all(desk.path("data/db")).unwrap();
    fs::write(desk.path("data/db/CURRENT"), "garbage").unwrap();
    let (findings, outcome) = examine(&desk, "relay");
    assert_eq!(outcome.status, Some(1));
    assert_finding(&findings, "classic endpoint 1", "fail", "31301");
    assert_eq!(find(&findings, "classic endpoint 1")["code"], "E-CHAIN-002");
    assert_eq!(find(&findings, "classic endpoint 2")["code"], "E-CHAIN-001");
    assert_finding(&findings, "ports", "fail", &port.to_string());
    assert_finding(&findings, "node to join by", "fail", "cannot be reached");
    assert_eq!(find(&findings, "database")["code"], "E-STORE-001");
    assert_eq!(fs::read(desk.path("data/db/CURRENT")).unwrap(), b"garbage");

    let desk = Desk::new("relay").with(|config| drop(config.insert("addresses".into(), "/nonexistent".into())));
    let (findings, _) = examine(&desk, "relay");
    assert_eq!(find(&findings, "address book")["status"], "fail");
    gpumkt(&["doctor", "relay", "--config", "/nonexistent"]).go().refused("E-CONFIG-001");
    gpumkt(&["doctor", "emperor"]).go().misused();
    desk.run(&["network", "--visit"]).refused("E-CONFIG-003");
}

#[test]
fn stakes_gas_and_rights_are_looked_at() {
    let desk = Desk::new("queen-3");
    fs::set_permissions(desk.path("queen-3.json"), fs::Permissions::from_mode(0o644)).unwrap();
    let (findings, outcome) = examine(&desk, "queen");
    assert_eq!(outcome.status, Some(1));
    assert_finding(&findings, "stake", "fail", "no account with the stake of a queen");
    assert_finding(&findings, "file rights", "warn", "queen-3.json");
    // A King signs what two endpoints agree on.
    let alone =
        Desk::new("king-4").with(|config| drop(config["king"].as_table_mut().unwrap().insert("single_endpoint".into(), false.into())));
    let (findings, _) = examine(&alone, "king");
    assert_finding(&findings, "ethereum endpoints", "fail", "one");

    desk.run(&["stake", "queen", "20000"]).accepted();
    let (findings, _) = examine(&desk, "queen");
    assert_finding(&findings, "stake", "ok", "20000");
    assert_finding(&findings, "node key", "ok", "peer 12D3");
    // Another machine than the one that staked.
    fs::remove_file(desk.path("data/node.key")).unwrap();
    fs::write(desk.path("data/node.key"), [7; 32]).unwrap();
    let (findings, _) = examine(&desk, "queen");
    assert_finding(&findings, "node key", "fail", "not the one that the stake names");

    let key = desk.clients().signer.address();
    let set = |wei: u64| RUNTIME.block_on(network().chains.classic.set_balance(key, U256::from(wei))).unwrap();
    set(1);
    let (findings, _) = examine(&desk, "queen");
    assert_finding(&findings, "classic gas", "warn", "ETC");
    set(0);
    let (findings, _) = examine(&desk, "queen");
    assert_finding(&findings, "classic gas", "fail", "0");
}
