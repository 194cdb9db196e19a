//! What a node meets on its own machine: busy ports, damaged and locked databases, a missing stake.

use std::{fs, net::TcpListener};

use super::desk::{Desk, gpumkt, stop};

#[test]
fn a_busy_port_is_named() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let desk = Desk::new("relay").with(|config| {
        config["network"].as_table_mut().unwrap().insert("listen".into(), vec![format!("/ip4/127.0.0.1/tcp/{port}")].into());
    });
    let before = desk.files();
    let http = format!("127.0.0.1:{port}");
    for (arguments, code) in [(&["relay"][..], "E-NET-001"), (&["relay", "--http-listen", &http], "E-HTTP-001")] {
        let outcome = desk.run(arguments);
        assert!(outcome.next_step().contains(&port.to_string()), "{outcome:?}");
        let cause = outcome.refused(code);
        assert!(cause.contains(&port.to_string()), "{cause}");
    }
    assert_eq!(desk.files(), before);
    drop(held);
    desk.comes_up("relay");

    let desk = desk.with(|config| {
        config["network"].as_table_mut().unwrap().insert("listen".into(), vec!["127.0.0.1:7700"].into());
    });
    let cause = desk.run(&["relay"]).refused("E-NET-002");
    assert!(cause.contains("127.0.0.1:7700"), "{cause}");
}

#[test]
fn a_damaged_database_is_left_as_it_is() {
    let desk = Desk::new("relay");
    desk.comes_up("relay");
    let current = desk.path("data/db/CURRENT");
    let good = fs::read(&current).unwrap();
    for garbage in [&b"garbage"[..], b"", b"MANIFEST-999999\n"] {
        fs::write(&current, garbage).unwrap();
        let before = desk.files();
        let outcome = desk.run(&["relay"]);
        assert!(outcome.next_step().contains("rebuilds"), "{outcome:?}");
        let cause = outcome.refused("E-STORE-001");
        assert!(cause.contains("data/db"), "{cause}");
        assert_eq!(desk.files(), before, "{garbage:?}");
    }
    fs::write(&current, good).unwrap();
    desk.comes_up("relay");

    let identity = desk.path("data/node.key");
    let good = fs::read(&identity).unwrap();
    fs::write(&identity, b"short").unwrap();
    desk.run(&["relay"]).refused("E-KEY-007");
    assert_eq!(fs::read(&identity).unwrap(), b"short");
    fs::write(&identity, good).unwrap();

    fs::remove_dir_all(desk.path("data")).unwrap();
    fs::write(desk.path("data"), "a file").unwrap();
    desk.run(&["relay"]).refused("E-KEY-001");
}

#[test]
fn a_database_has_one_owner() {
    let desk = Desk::new("relay");
    let mut first = desk.start("relay");
    let told = fs::read(desk.path("data/node.json")).unwrap();
    desk.run(&["relay"]).refused("E-STORE-003");
    assert!(first.exit_status().is_none(), "the first node goes on");
    assert_eq!(fs::read(desk.path("data/node.json")).unwrap(), told);
    stop(first);
    desk.comes_up("relay");
}

#[test]
fn a_role_needs_its_stake() {
    let desk = Desk::new("king-1");
    let outcome = desk.run(&["king"]);
    assert!(outcome.next_step().contains("gpumkt stake king"), "{outcome:?}");
    let cause = outcome.refused("E-ROLE-001");
    assert!(cause.contains("0x7099"), "{cause}");
    assert!(!desk.path("data").exists());
    // Below the least stake of a King.
    desk.run(&["stake", "king", "5"]).refused("E-CHAIN-005");
    desk.run(&["stake", "king", "200000"]).accepted();
    desk.comes_up("king");

    let urls = |port: u16| vec![format!("http://127.0.0.1:{port}/a"), format!("http://127.0.0.1:{port}/b")];
    let desk = desk.with(|config| {
        config.get_mut("network").and_then(|table| table.as_table_mut()).unwrap().insert("local".into(), false.into());
        config.remove("king");
        config["ethereum"].as_table_mut().unwrap().insert("rpc".into(), urls(1).into());
        config["classic"].as_table_mut().unwrap().insert("rpc".into(), urls(2).into());
    });
    let cause = desk.run(&["king"]).refused("E-ROLE-005");
    assert!(cause.contains("one host"), "{cause}");
    let lone = desk.with(|config| drop(config.insert("king".into(), toml::toml! { single_endpoint = true }.into())));
    let cause = lone.run(&["king"]).refused("E-CONFIG-002");
    assert!(cause.contains("single_endpoint"), "{cause}");

    let single = Desk::new("king-1").with(|config| drop(config.remove("king")));
    single.run(&["king"]).refused("E-CHAIN-009");
    gpumkt(&["queen", "--config", single.config_file()]).go().refused("E-ROLE-001");
}
