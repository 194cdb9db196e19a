//! What operators and packages ask of the program: its whole configuration, a reload while it runs, a password from systemd, manual pages.

use std::{fs, process::Command, time::Duration};

use gpumkt::devnet::process::ManagedProcess;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::desk::{Desk, RUNTIME, gpumkt, stop};
use crate::poll;

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_dumped_configuration_is_whole_and_loads_again() {
    let desk = Desk::new("relay");
    let before = desk.files();
    for role in ["king", "queen", "provider", "relay"] {
        let dumped = desk.run(&[role, "--dump-config", "--log", "debug"]).accepted();
        let table: toml::Table = dumped.parse().unwrap();
        assert_eq!(table["log"]["filter"].as_str(), Some("debug"), "a flag wins");
        assert_eq!(table["provider"]["job_seconds"].as_integer(), Some(600), "defaults are shown");
        let again = desk.path("again.toml");
        fs::write(&again, &dumped).unwrap();
        let second = gpumkt(&[role, "--dump-config", "--config", again.to_str().unwrap()]).go().accepted();
        assert_eq!(second, dumped);
        fs::remove_file(again).unwrap();
    }
    let set = gpumkt(&["relay", "--dump-config", "--config", desk.config_file()]).env("GPUMKT__RELAY__MAX_BATCH", "3").go().accepted();
    assert_eq!(set.parse::<toml::Table>().unwrap()["relay"]["max_batch"].as_integer(), Some(3), "the environment wins over the file");
    desk.run(&["relay", "--dump-config", "--log", "info", "--http-listen", "nowhere"]).misused();
    assert_eq!(desk.files(), before, "showing touches nothing");
}

#[test]
fn a_running_node_reads_its_configuration_again() {
    let desk = Desk::new("relay");
    let good = fs::read_to_string(desk.config_file()).unwrap();
    let process = desk.start("relay");
    let told = |words: &str, times: usize| {
        let log = desk.path("node.log");
        RUNTIME.block_on(async {
            poll::until(format!("{words:?} in the log"), WITHIN, async || {
                fs::read_to_string(&log).unwrap().matches(words).count() >= times
            })
            .await;
        });
        fs::read_to_string(&log).unwrap()
    };
    let reload = |process: &ManagedProcess, text: &str| {
        fs::write(desk.config_file(), text).unwrap();
        process.signal(Signal::SIGHUP).unwrap();
    };
    reload(&process, &good.replace("[http]", "[htp]"));
    assert!(told("E-CONFIG-002", 1).contains("was not read again"), "a broken file changes nothing and is told");
    reload(&process, &format!("{good}\n[log]\nfilter = \"not=a=filter\"\n"));
    told("the log filter cannot be used", 1);
    let changed = good.replace("poll_ms = 100", "poll_ms = 200");
    assert_ne!(changed, good);
    reload(&process, &format!("{changed}\n[log]\nfilter = \"gpumkt=debug\"\n[alerts]\nlow_gas_ethereum_gwei = 7\n"));
    let log = told("these changes need a restart", 1);
    let line = log.lines().find(|line| line.contains("need a restart")).unwrap();
    assert!(line.contains("classic.poll_ms ethereum.poll_ms") && !line.contains("log.filter") && !line.contains("alerts"), "{line}");
    told("the log filter was changed", 1);
    reload(&process, &format!("{good}\n[log]\nfilter = \"gpumkt=info\"\n"));
    told("the configuration was read again", 2);
    stop(process);
}

#[test]
fn systemd_can_hand_the_password_over() {
    let desk = Desk::new("relay").with(|config| drop(config["keys"].as_table_mut().unwrap().remove("password_file")));
    let folder = desk.path("credentials");
    fs::create_dir(&folder).unwrap();
    let run = || gpumkt(&["claim", "--config", desk.config_file()]).env("CREDENTIALS_DIRECTORY", folder.to_str().unwrap()).go();
    run().refused("E-KEY-004");
    fs::write(folder.join("gpumkt-password"), "wrong\n").unwrap();
    run().refused("E-KEY-003");
    fs::write(folder.join("gpumkt-password"), "devnet\n").unwrap();
    // The key opens; what is refused is a claim of nothing.
    run().refused("E-CHAIN-005");
}

#[test]
fn packages_get_pages_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let told = gpumkt(&["manual", pages.to_str().unwrap(), "--json"]).go().accepted();
    let told: Value = serde_json::from_str(&told).unwrap();
    let names: Vec<&str> = told["pages"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in ["gpumkt.1", "gpumkt-rent.1", "gpumkt-keys-new.1", "gpumkt-king-resume.1"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("sandbox")), "hidden commands stay hidden");
    let page = fs::read_to_string(pages.join("gpumkt-rent.1")).unwrap();
    assert!(page.contains(".TH gpumkt-rent 1") && page.contains("max\\-cost"), "{page}");
    let script = gpumkt(&["completions", "bash"]).go().accepted();
    let file = folder.path().join("gpumkt.bash");
    fs::write(&file, script).unwrap();
    let complete = "source \"$1\"; COMP_WORDS=(gpumkt rela); COMP_CWORD=1; _gpumkt gpumkt rela gpumkt; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", complete, "bash"]).arg(&file).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "relay", "{}", String::from_utf8_lossy(&output.stderr));
    gpumkt(&["manual", "/proc/nowhere"]).go().refused("E-CLIENT-011");
}
