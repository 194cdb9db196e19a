//! A rental on a whole network of processes: several devices, an extension, and outages that are longer than every timeout.

mod keeping;
mod verification;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::poll;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gpumkt");
/// Time for a network to come up and its device to pass a challenge, on a loaded machine.
const UP_WITHIN: Duration = Duration::from_secs(420);
const WITHIN: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(300);
/// Longer than any timeout of a request to a chain (10 s), of a login (30 s) and of a peer's answer.
const OUTAGE: Duration = Duration::from_secs(40);

/// `gpumkt devnet up`, ended with the test; the network ends with it.
struct Network {
    up: Child,
    folder: tempfile::TempDir,
}

impl Network {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join("up.log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["devnet", "up", "--dir"]).arg(folder.path().join("net")).stdin(Stdio::null());
        let up = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut network = Self { up, folder };
        let said = |network: &Network| fs::read_to_string(network.folder.path().join("up.log")).unwrap_or_default();
        poll::until_blocking("a network that is up", UP_WITHIN, LOOK, || {
            let text = said(&network);
            assert!(network.up.try_wait().unwrap().is_none(), "{text}");
            text.contains("The network is running")
        });
        network
    }

    fn run_folder(&self) -> PathBuf {
        self.folder.path().join("net").join(format!("run-{}", self.up.id()))
    }

    fn config(&self, name: &str) -> PathBuf {
        self.run_folder().join(format!("{name}.toml"))
    }

    fn command(&self, name: &str, words: &[&str]) -> Command {
        let (first, rest) = words.split_first().unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg(first).arg("--config").arg(self.config(name)).args(rest).stdin(Stdio::null());
        command
    }

    fn run(&self, name: &str, words: &[&str]) -> Output {
        self.command(name, words).output().unwrap()
    }

    fn ok(&self, name: &str, words: &[&str]) -> String {
        let output = self.run(name, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, name: &str, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(name, &[words, &["--json"]].concat())).unwrap()
    }

    /// Processes of the network whose command line holds one of these words.
    fn processes(&self, words: &[&str]) -> Vec<Pid> {
        let parent = format!("PPid:\t{}\n", self.up.id());
        let is_wanted = |folder: &Path| {
            let line = fs::read(folder.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            fs::read_to_string(folder.join("status")).unwrap_or_default().contains(&parent) && words.iter().any(|word| line.contains(word))
        };
        let pids = fs::read_dir("/proc").unwrap().flatten().filter(|entry| is_wanted(&entry.path()));
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw).collect()
    }

    fn signal(&self, words: &[&str], signal: Signal) {
        let found = self.processes(words);
        assert!(!found.is_empty(), "nothing matches {words:?}");
        for pid in found {
            kill(pid, signal).unwrap();
        }
    }

    fn until(&self, what: &str, done: impl FnMut(&Self) -> bool) {
        self.until_within(WITHIN, what, done);
    }

    fn until_within(&self, limit: Duration, what: &str, mut done: impl FnMut(&Self) -> bool) {
        poll::until_blocking(what, limit, LOOK, || done(self));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.up.id()).unwrap()), Signal::SIGINT);
        let _ = self.up.wait();
    }
}

/// A session that prints for ever, and how often it has printed.
struct Ticking {
    session: Child,
    printed: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Ticking {
    fn start(network: &Network, rental: &str) -> Self {
        let mut command = network.command("renter", &["ssh", rental, "--", "while :; do echo tick; sleep 0.2; done"]);
        let mut session = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = session.stdout.take().unwrap();
        let printed = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let counted = printed.clone();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                counted.fetch_add(length, std::sync::atomic::Ordering::Relaxed);
            }
        });
        Self { session, printed }
    }

    fn count(&self) -> usize {
        self.printed.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// It prints on, in the session that was opened before.
    fn goes_on(&mut self, network: &Network, when: &str) {
        let before = self.count();
        let session = &mut self.session;
        let printed = &self.printed;
        network.until(when, |_| {
            assert!(session.try_wait().unwrap().is_none(), "the session ended: {when}");
            printed.load(std::sync::atomic::Ordering::Relaxed) > before + 20
        });
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        let _ = self.session.kill();
        let _ = self.session.wait();
    }
}

#[test]
fn a_rental_of_two_devices_outlives_queens_relay_and_chains() {
    let _alone = crate::WHOLE_NETWORK.blocking_lock();
    let network = Network::start();
    let offered = network.json("provider", &["offer", "--class", "1", "--price", "3.6", "--new-device"]);
    let second = offered["offer"].to_string();
    let rentable = |offers: &Value, offer: &str| {
        offers.as_array().unwrap().iter().any(|view| view["offer"].as_u64().is_some_and(|id| id.to_string() == offer))
    };
    // The second one crosses the bridge first.
    network.until_within(UP_WITHIN, "both devices are proven", |network| {
        let offers = network.json("renter", &["market"]);
        rentable(&offers, "1") && rentable(&offers, &second)
    });
    let rented = network.json("renter", &["rent", "1", "--gpus", "2", "--duration", "30m", "--yes"]);
    let ids: Vec<String> = rented["rentals"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(ids.len(), 2);
    let (first, other) = (ids[0].as_str(), ids[1].as_str());
    // One container behind both.
    let host = format!("rental-{first}\n");
    for id in [first, other] {
        assert_eq!(network.ok("renter", &["run", id, "--", "hostname"]), host);
    }
    let mut session = Ticking::start(&network, first);
    session.goes_on(&network, "after the login");

    let end = |network: &Network| network.json("renter", &["status", first])["provider"]["end"].as_u64().unwrap_or_default();
    let before = end(&network);
    network.ok("renter", &["extend", first, "--hours", "2", "--yes"]);
    network.until("the provider knows the new end", |network| end(network) >= before + 7_200);
    session.goes_on(&network, "after the extension");

    // All Queens and the relay are gone for good; new sessions still open, at the place that was remembered.
    network.signal(&["queen", "relay"], Signal::SIGKILL);
    network.until("they are gone", |network| network.processes(&[" queen ", " relay "]).is_empty());
    assert_eq!(network.ok("renter", &["run", first, "--", "hostname"]), host);
    // Both chains stand still.
    network.signal(&["anvil"], Signal::SIGSTOP);
    let since = Instant::now();
    while since.elapsed() < OUTAGE {
        session.goes_on(&network, "while the chains are out of reach");
    }
    network.signal(&["anvil"], Signal::SIGCONT);
    session.goes_on(&network, "after the outage");
    let status = network.json("renter", &["status", first]);
    assert_eq!((status["provider"]["phase"].as_str(), status["provider"]["deaths"].as_u64()), (Some("prepared"), Some(0)), "{status}");

    // The renter's end is told on both sides, with its transactions.
    network.ok("renter", &["end", other]);
    session.goes_on(&network, "after the other device's end");
    for name in ["renter", "provider"] {
        let evidence = network.json(name, &["rentals", first]);
        let told: Vec<&str> = evidence["transactions"].as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap()).collect();
        assert!(told.iter().any(|what| what.starts_with("extended by 7200 s")), "{told:?}");
        assert!(told.iter().any(|what| what.contains("session opened")), "{told:?}");
    }
}
