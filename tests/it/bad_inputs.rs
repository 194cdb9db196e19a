//! Wrong input, as a user meets it: the real binary, its exit code, its one line with code and cause, its next step, and nothing lost.

mod desk;
mod doctor;
mod nodes;
mod operator;
mod running;
mod trade;

use std::{fs, time::Duration};

use serde_json::Value;

use self::desk::{Desk, gpumkt, network};

#[test]
fn a_wrong_password_harms_nothing() {
    let desk = Desk::new("relay");
    let before = desk.files();
    fs::write(desk.path("password"), "wrong").unwrap();
    for command in ["relay", "claim"] {
        let cause = desk.run(&[command]).refused("E-KEY-003");
        assert!(cause.contains("relay.json"), "{cause}");
    }
    fs::write(desk.path("password"), "devnet").unwrap();
    assert_eq!(desk.files(), before);
    desk.comes_up("relay");
}

#[test]
fn a_password_must_come_from_somewhere() {
    let desk = Desk::new("renter").with(|config| drop(config["keys"].as_table_mut().unwrap().remove("password_file")));
    for command in ["relay", "claim"] {
        desk.run(&[command]).refused("E-KEY-004");
    }
    gpumkt(&["claim", "--config", desk.config_file()]).env("GPUMKT_PASSWORD", "devnet").go().refused("E-CHAIN-005");
    let desk = desk.with(|config| drop(config["keys"].as_table_mut().unwrap().insert("password_file".into(), "/nonexistent".into())));
    let cause = desk.run(&["claim"]).refused("E-KEY-009");
    assert!(cause.contains("/nonexistent"), "{cause}");
}

#[test]
fn a_key_is_never_overwritten() {
    let desk = Desk::new("renter");
    let (key, password) = (desk.path("renter.json"), desk.path("password"));
    let (key, password) = (key.to_str().unwrap(), password.to_str().unwrap());
    let before = desk.files();
    gpumkt(&["keys", "new", key, "--password-file", password]).go().refused("E-KEY-005");
    let secret = format!("0x{}\n", "11".repeat(32));
    gpumkt(&["keys", "import", key, "--password-file", password]).stdin(&secret).go().refused("E-KEY-005");
    let other = desk.path("other.json");
    for rubbish in ["", "0x12\n", &format!("0x{}\n", "00".repeat(32)), "not hex\n"] {
        let import = gpumkt(&["keys", "import", other.to_str().unwrap(), "--password-file", password]).stdin(rubbish).go();
        let cause = import.refused("E-KEY-008");
        assert!(rubbish.is_empty() || !cause.contains(rubbish.trim()), "what was typed may be a key: {cause}");
    }
    gpumkt(&["keys", "list", "/nonexistent"]).go().refused("E-KEY-001");
    assert_eq!(desk.files(), before);
    fs::write(&other, "{}").unwrap();
    let desk = desk.with(|config| drop(config["keys"].as_table_mut().unwrap().insert("operator".into(), other.to_str().unwrap().into())));
    desk.run(&["claim"]).refused("E-KEY-002");
}

#[test]
fn reading_needs_neither_key_nor_password() {
    let desk = Desk::new("renter").with(|config| drop(config["keys"].as_table_mut().unwrap().remove("password_file")));
    desk.run(&["rentals"]).accepted();
    fs::remove_file(desk.path("renter.json")).unwrap();
    let account = network().accounts.address("renter").unwrap().to_string();
    for arguments in [&["market", "--all"][..], &["rentals", "--account", &account], &["price", "--class", "1"], &["court", "list"]] {
        desk.run(arguments).accepted();
    }
    desk.run(&["rentals", "77"]).refused("E-CLIENT-005");
    desk.run(&["status", "77"]).refused("E-CLIENT-005");
    // Whose rentals, nobody can guess.
    desk.run(&["rentals"]).refused("E-KEY-001");
    assert!(!desk.path("data").exists());
}

#[test]
fn a_wrong_configuration_is_named() {
    let desk = Desk::new("relay");
    gpumkt(&["king", "--config", "/nonexistent/king.toml"]).go().refused("E-CONFIG-001");
    gpumkt(&["market"]).current_dir(&desk.path("")).go().refused("E-CONFIG-001");
    let good = fs::read_to_string(desk.config_file()).unwrap();
    let classic = network().chains.classic.url();
    let cases = [
        (format!("{good}\n[relais]\n"), "relais"),
        (good.replace("[http]", "[http]\nlisen = 1"), "lisen"),
        (good.replace("[http]", "[http"), "line "),
        (good.replace("chain_id = 31361", "chain_id = \"etc\""), "chain_id"),
        (good.replace("chain_id = 31361", ""), "chain_id"),
        (good.replace(&format!("[\"{classic}\"]"), &format!("[\"{classic}\", \"{classic}/\"]")), "classic.rpc"),
        (good.replace(&format!("[\"{classic}\"]"), "[]"), "classic.rpc"),
        (good.replace("31361", "31301"), "chain_id"),
        (good.replace("127.0.0.1:0", "127.0.0.1"), "listen"),
        (String::new(), "missing"),
    ];
    for (text, named) in cases {
        assert_ne!(text, good);
        fs::write(desk.config_file(), text).unwrap();
        for command in ["relay", "king", "rentals"] {
            let cause = desk.run(&[command]).refused("E-CONFIG-002");
            assert!(cause.contains(named), "{cause} does not name {named}");
        }
    }
    assert!(!desk.path("data").exists());
}

#[test]
fn an_address_book_is_checked() {
    let desk = Desk::new("relay");
    let book = desk.path("addresses.json");
    let good = fs::read_to_string(&book).unwrap();
    let eth = &network().book.ethereum;
    let rental = format!("{}", eth.gpu_rental).to_lowercase();
    assert!(good.contains(&rental));
    let king = format!("{}", network().book.kings.members[0].address).to_lowercase();
    let cases = [
        (good[..good.len() / 2].to_string(), "E-CONFIG-004", ""),
        ("{}".into(), "E-CONFIG-004", "kings"),
        (good.replace("31361", "61"), "E-CONFIG-004", "61"),
        (good.replace(&king, &format!("0x{}", "77".repeat(20))), "E-ROLE-002", "King set"),
    ];
    for (text, code, named) in cases {
        assert_ne!(text, good);
        fs::write(&book, text).unwrap();
        let cause = desk.run(&["relay"]).refused(code);
        assert!(cause.contains(named), "{cause}");
    }
    let bridge = format!("{}", eth.bridge.king_set).to_lowercase();
    fs::write(&book, good.replace(&bridge, &format!("0x{}", "77".repeat(20)))).unwrap();
    desk.run(&["relay"]).refused("E-CHAIN-016");
    fs::remove_file(&book).unwrap();
    desk.run(&["relay"]).refused("E-CONFIG-003");
    assert!(!desk.path("data").exists());
    fs::write(&book, good).unwrap();
    desk.comes_up("relay");
}

#[test]
fn chains_that_do_not_answer_or_are_others_are_refused() {
    let rpc = |chain: &'static str, url: String| {
        Desk::new("relay").with(move |config| drop(config[chain].as_table_mut().unwrap().insert("rpc".into(), vec![url].into())))
    };
    let (ethereum, classic) = (network().chains.ethereum.url(), network().chains.classic.url());
    // A server that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let cases = [
        ("ethereum", "http://127.0.0.1:1".to_string(), "E-CHAIN-001", "127.0.0.1:1"),
        ("classic", silent_url, "E-CHAIN-001", "in time"),
        ("classic", ethereum, "E-CHAIN-002", "31301"),
        ("ethereum", classic, "E-CHAIN-002", "31361"),
        ("classic", "127.0.0.1:8545".into(), "E-CHAIN-003", "URL"),
        ("classic", "ws://127.0.0.1:8545".into(), "E-CHAIN-003", "ws"),
    ];
    for (chain, url, code, named) in cases {
        let desk = rpc(chain, url);
        let cause = desk.run(&["relay"]).refused(code);
        assert!(cause.contains(named), "{cause}");
        assert!(!desk.path("data").exists());
    }
    rpc("ethereum", "http://127.0.0.1:1".into()).run(&["market"]).refused("E-CHAIN-001");
}

#[test]
fn a_broken_deployment_changes_nothing() {
    let desk = Desk::new("renter");
    let good = include_str!("../../config/chains/devnet.toml");
    let file = desk.path("deployment.toml");
    let (ethereum, classic) = (network().chains.ethereum.url(), network().chains.classic.url());
    let key = desk.path("fresh.json");
    let password = desk.path("password");
    let [file_text, key, password] = [&file, &key, &password].map(|path| path.to_str().unwrap());
    gpumkt(&["keys", "new", key, "--password-file", password]).go().accepted();
    let deploy = |out: &str, ethereum: &str, classic: &str| {
        let out = desk.path(out);
        let chains = ["--ethereum-rpc", ethereum, "--classic-rpc", classic];
        let rest = ["--key", key, "--password-file", password, "--config", file_text, "--out", out.to_str().unwrap()];
        gpumkt(&[&["deploy"][..], &chains, &rest].concat()).go()
    };
    let cases = [
        ("[chains".to_string(), "E-CONFIG-002", "line 1"),
        (good.replace("beacon_period = 3", "beacon_perod = 3"), "E-CONFIG-002", "beacon_perod"),
        (good.replace("minimum_queen_stake = \"10000\"", "minimum_queen_stake = \"ten\""), "E-CONFIG-002", "line "),
        (good.replace("classic = 31361", "classic = 31301"), "E-DEPLOY-001", "chain id"),
        (good.replace("genesis_total = \"354900000\"", "genesis_total = \"354900001\""), "E-DEPLOY-001", "add up to 354900000"),
        (good.replace("initial_per_epoch = \"10000000\"", "initial_per_epoch = \"20000000\""), "E-DEPLOY-001", "exceed the cap"),
        (good.replace("rental_bps = 5000", "rental_bps = 5001"), "E-DEPLOY-001", "10001 of 10000"),
        (good.replace("provider_fee_bps = 5000", "provider_fee_bps = 5001"), "E-DEPLOY-001", "8000 basis points"),
        (good.replace("price_ceiling_per_hour = \"4\"", "price_ceiling_per_hour = \"400\""), "E-DEPLOY-001", "a wrong answer costs"),
        (good.replace("missing_answer_penalty = \"25\"", "missing_answer_penalty = \"0.1\""), "E-DEPLOY-001", "a missing answer costs"),
        (good.replace("reporter_bps = 1000", "reporter_bps = 3000"), "E-DEPLOY-001", "slash"),
    ];
    for (text, code, named) in cases {
        fs::write(&file, text).unwrap();
        let before = desk.files();
        let cause = deploy("new.json", &ethereum, &classic).refused(code);
        assert!(cause.contains(named), "{cause}");
        assert_eq!(desk.files(), before);
    }
    fs::write(&file, good).unwrap();
    let before = desk.files();
    deploy("addresses.json", &ethereum, &classic).refused("E-DEPLOY-007");
    deploy("new.json", &classic, &ethereum).refused("E-CHAIN-002");
    deploy("new.json", "http://127.0.0.1:1", &classic).refused("E-CHAIN-001");
    assert_eq!(desk.files(), before);
    let cause = deploy("new.json", &ethereum, &classic).refused("E-CHAIN-004");
    assert!(cause.contains("holds 0"), "{cause}");
    assert!(!desk.path("new.json").exists());
}

#[test]
fn an_audit_needs_no_key_and_says_when_it_could_not_look() {
    let desk = Desk::new("renter");
    fs::remove_file(desk.path("renter.json")).unwrap();
    let provider = network().accounts.address("provider").unwrap().to_string();
    let told = desk.run(&["audit", &provider]).accepted();
    assert!(told.contains("everything agrees"), "{told}");
    let audit: Value = serde_json::from_str(&desk.run(&["audit", &provider, "--json"]).accepted()).unwrap();
    assert_eq!(audit["disagreements"], Value::Array(Vec::new()));
    desk.run(&["audit", "not an address"]).misused();
    let desk = desk.with(|config| drop(config["classic"].as_table_mut().unwrap().insert("rpc".into(), vec!["http://127.0.0.1:1"].into())));
    desk.run(&["audit", &provider]).refused("E-CHAIN-001");
}

#[test]
fn errors_as_json_are_one_object() {
    let desk = Desk::new("renter");
    let missing = desk.path("missing.toml");
    let cases: [(&[&str], &str); 4] = [
        (&["market", "--config", missing.to_str().unwrap()], "E-CONFIG-001"),
        (&["rent", "99", "--config", desk.config_file()], "E-CLIENT-005"),
        (&["bench", "--device", "7"], "E-GPU-003"),
        (&["relay", "--config", missing.to_str().unwrap()], "E-CONFIG-001"),
    ];
    for (arguments, code) in cases {
        let outcome = gpumkt(&[arguments, &["--json"]].concat()).go();
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
        assert_eq!(error["error"]["code"], code);
        assert!(["cause", "next_step"].iter().all(|field| error["error"][field].as_str().is_some_and(|text| !text.is_empty())), "{error}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let cases: [&[&str]; 14] = [
        &[],
        &["frobnicate"],
        &["rent"],
        &["rent", "1", "--duration", "1w"],
        &["stake", "emperor", "5"],
        &["stake", "king", "-5"],
        &["run", "1", "kernel.cl", "--global", "0x4"],
        &["bench", "--runs", "0"],
        &["extend", "1"],
        &["extend", "1", "--hours", "1", "--duration", "1h"],
        &["rent", "1", "--gpus", "0"],
        &["rent", "1", "--auto-renew", "2h"],
        &["rent", "1", "--gpus", "2", "--failover"],
        &["court", "vote", "1"],
    ];
    for arguments in cases {
        let outcome = gpumkt(arguments).go();
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{arguments:?} {outcome:?}");
        assert!(outcome.stderr.contains("Usage") || outcome.stderr.contains("--help"), "{outcome:?}");
    }
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let outcome = gpumkt(&["vectors"]).closed_stdout().within(Duration::from_secs(30)).go();
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
}

#[test]
fn a_machine_without_opencl_is_told_what_to_install() {
    let desk = Desk::new("provider");
    let empty = desk.path("vendors");
    fs::create_dir(&empty).unwrap();
    for arguments in [&["bench"][..], &["bench", "--list"], &["provider", "--config", desk.config_file()]] {
        let command = gpumkt(arguments).env("OCL_ICD_VENDORS", empty.to_str().unwrap());
        let outcome = command.within(Duration::from_secs(20)).go();
        assert!(outcome.next_step().contains("pocl"), "{outcome:?}");
        outcome.refused("E-GPU-001");
    }
    assert!(!desk.path("data").exists());
}

#[test]
fn an_unknown_device_is_refused_with_those_there_are() {
    let desk = Desk::new("provider");
    for arguments in [&["bench", "--device", "7"][..], &["provider", "--device", "7", "--config", desk.config_file()]] {
        let outcome = gpumkt(arguments).go();
        assert!(outcome.next_step().contains("--device"), "{outcome:?}");
        let cause = outcome.refused("E-GPU-003");
        assert!(cause.contains("no OpenCL device 7") && cause.contains("0: "), "{cause}");
    }
    assert!(!desk.path("data").exists());
    gpumkt(&["bench", "--class", "h100"]).go().refused("E-BENCH-004");
    gpumkt(&["bench", "--seed", "0x12"]).go().misused();
}
