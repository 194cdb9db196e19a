//! A renter that stays: a published port, a secret, time that is bought by itself, and another device when the provider dies.

use std::{
    fs,
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use alloy::{
    hex,
    signers::local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English},
};
use gpumkt::devnet::chains::MNEMONIC;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Network, PROGRAM, UP_WITHIN};

const SECRET: &str = "a-password-that-no-log-may-hold";
/// In the container; published under another number.
const PORT: &str = "8000";
/// Of the public mnemonic; nobody on a devnet has them.
const OPERATOR: u32 = 15;
const WORKER: u32 = 16;

/// Another provider on the same machine: its own account, device, node and public ports.
struct Second<'a> {
    network: &'a Network,
    config: PathBuf,
    node: Option<Child>,
}

impl<'a> Second<'a> {
    fn join(network: &'a Network) -> Self {
        let folder = network.run_folder();
        let mut config: toml::Table = fs::read_to_string(network.config("provider")).unwrap().parse().unwrap();
        let password = config["keys"]["password_file"].as_str().unwrap().to_owned();
        for (part, index) in [("operator", OPERATOR), ("worker", WORKER)] {
            let path = folder.join(format!("second-{part}.json"));
            import(&path, &password, &key(index));
            config["keys"].as_table_mut().unwrap().insert(part.into(), path.to_str().unwrap().into());
        }
        config.insert("data_dir".into(), folder.join("second").to_str().unwrap().into());
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let containers = toml::toml! { public_listen = "127.0.0.1" public_host = "127.0.0.1" };
        let mut provider = toml::Table::from_iter([("containers".to_owned(), containers.into())]);
        provider["containers"].as_table_mut().unwrap().insert("public_ports".into(), vec![i64::from(free), i64::from(free)].into());
        config.insert("provider".into(), provider.into());
        let path = folder.join("second.toml");
        fs::write(&path, config.to_string()).unwrap();
        let second = Self { network, config: path, node: None };

        let to = key(OPERATOR).address().to_string();
        ok(&network.config("renter"), &["token", "transfer", &to, "6000"]);
        ok(&second.config, &["stake", "provider", "5000"]);
        second
    }

    fn offer(&mut self) -> String {
        let offered: Value = serde_json::from_str(&ok(&self.config, &["offer", "--class", "1", "--price", "3.6", "--json"])).unwrap();
        let log = fs::File::create(self.network.run_folder().join("logs").join("second.log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["provider", "--config"]).arg(&self.config).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.node = Some(command.spawn().unwrap());
        offered["offer"].to_string()
    }
}

impl Drop for Second<'_> {
    fn drop(&mut self) {
        if let Some(mut node) = self.node.take() {
            let _ = node.kill();
            let _ = node.wait();
        }
        // Containers of killed nodes live on, for the nodes that start again. These do not.
        let data = self.network.run_folder().to_str().unwrap().to_owned();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&data)
                && let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

fn key(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index).unwrap().build().unwrap()
}

fn import(path: &Path, password: &str, key: &PrivateKeySigner) {
    let mut command = Command::new(PROGRAM);
    command.args(["keys", "import", "--password-file", password]).arg(path).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(hex::encode(key.to_bytes()).as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Words with the configuration after them, as commands of two words want it.
fn ok(config: &Path, words: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(words).arg("--config").arg(config).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `gpumkt rent … --json` that stays with its rental, and what it has said.
struct Staying {
    child: Child,
    said: Arc<Mutex<Vec<Value>>>,
}

impl Staying {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let said = Arc::<Mutex<Vec<Value>>>::default();
        let kept = said.clone();
        thread::spawn(move || {
            for value in serde_json::Deserializer::from_reader(output).into_iter::<Value>().map_while(Result::ok) {
                println!("renter: {value}");
                kept.lock().unwrap().push(value);
            }
        });
        Self { child, said }
    }

    fn find(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        self.said.lock().unwrap().iter().find(|said| fits(said)).cloned()
    }

    fn event(&self, name: &str) -> Option<Value> {
        self.find(|said| said["event"] == name)
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn logs_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        // A provider's database holds what it has to start again.
        if path.ends_with("db") {
            continue;
        }
        if path.is_dir() {
            found.extend(logs_with(&path, text));
        } else if path.extension().is_some_and(|extension| extension == "log")
            && String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(text)
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_renter_keeps_its_work_through_renewals_and_the_death_of_its_provider() {
    let _alone = crate::WHOLE_NETWORK.blocking_lock();
    let network = Network::start();
    let mut second = Second::join(&network);
    let offer = second.offer();
    let on_offer = |network: &Network| -> Vec<String> {
        network.json("renter", &["market"]).as_array().unwrap().iter().map(|view| view["offer"].to_string()).collect()
    };
    network.until_within(UP_WITHIN, "both providers are proven", |network| {
        let offers = on_offer(network);
        offers.contains(&offer) && offers.contains(&"1".to_owned())
    });

    let secrets = network.run_folder().join("secrets.env");
    fs::write(&secrets, format!("# of the server\nTOKEN={SECRET}\n")).unwrap();
    // Serves what it was given, and counts its starts on the disk that stays.
    let server = r#"echo start >> /root/starts
        exec perl -MIO::Socket::INET -e '$SIG{PIPE}="IGNORE";
            $s=IO::Socket::INET->new(LocalAddr=>"0.0.0.0",LocalPort=>8000,Listen=>5,ReuseAddr=>1) or die;
            while($c=$s->accept){ while(<$c>){ last if /^\r?\n$/ } print $c "HTTP/1.0 200 OK\r\n\r\nserved with $ENV{TOKEN}\n"; close $c }'"#;
    let start = ["--", "sh", "-c", server];
    let secret = ["--env-file", secrets.to_str().unwrap(), "--yes", "--json"];
    let is_ready = |renter: &Staying| renter.find(|said| said["rentals"].is_array()).map(|ready| ready["rental"].to_string());

    // Everybody reaches the port at the provider that opens some.
    let open = [&["rent", &offer, "--duration", "5m", "--publish", PORT], &secret[..], &start].concat();
    let published = Staying::start(network.command("renter", &open));
    network.until("the rental with a port is ready", |_| is_ready(&published).is_some());
    let rental = is_ready(&published).unwrap();
    network.until("the published port answers", |network| {
        let status = network.json("renter", &["status", &rental]);
        let address = status["provider"]["public_address"].as_str().and_then(|text| text.parse().ok());
        address.and_then(ask).is_some_and(|answer| answer.ends_with(&format!("served with {SECRET}\n")))
    });
    network.ok("renter", &["end", &rental]);
    network.until("its device is free again", |network| on_offer(network).contains(&offer));

    let limits = ["rent", "1", "--duration", "2m", "--auto-renew", "2m", "--spend-limit", "4", "--failover", "--silence", "20s"];
    let renter = Staying::start(network.command("renter", &[&limits[..], &secret, &start].concat()));
    network.until("the rental is ready", |_| is_ready(&renter).is_some());
    let first = is_ready(&renter).unwrap();
    network.until("time is bought", |_| renter.event("extended").is_some());
    assert_eq!(network.ok("renter", &["run", &first, "--", "cat", "/root/starts"]), "start\n", "nothing was started anew for it");
    network.signal(&[" provider --config"], Signal::SIGKILL);
    network.until("another device takes over", |_| renter.event("failed_over").is_some());
    let moved = renter.event("failed_over").unwrap();
    assert_eq!(moved["from"].to_string(), first);
    let next = moved["to"].to_string();
    network.until("the same is running there", |network| {
        String::from_utf8_lossy(&network.run("renter", &["run", &next, "--", "cat", "/root/starts"]).stdout) == "start\n"
    });
    assert_eq!(logs_with(network.folder.path(), SECRET), Vec::<PathBuf>::new());
}
