//! Machines with addresses of their own: network namespaces behind routers, on one machine. Needs root.

use std::{
    fs::File,
    io::Write,
    os::fd::AsRawFd,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A home router: translates what leaves, lets in nothing that was not asked for.
const ROUTER: &str = r#"
table ip nat {
 chain leaving {
  type nat hook postrouting priority 100;
  oifname "up0" masquerade;
 }
 chain through {
  type filter hook forward priority 0; policy drop;
  ct state established,related accept;
  iifname "in0" accept;
 }
 chain to_itself {
  type filter hook input priority 0; policy drop;
  ct state established,related accept;
  iifname != "up0" accept;
 }
}
"#;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A public network in which routers and public machines have addresses of 198.51.100.0/24 (for documentation, RFC 5737: nobody's).
/// Nothing leads out of it.
pub struct Lab {
    prefix: String,
    names: Vec<String>,
}

/// One machine of it.
#[derive(Debug, Clone)]
pub struct Machine {
    namespace: String,
}

fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Loads a packet filter.
fn filter(namespace: &str, rules: &str) {
    let mut nft = Command::new("ip").args(["netns", "exec", namespace, "nft", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{rules}");
}

impl Lab {
    pub fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests make network namespaces: run them as root");
        let prefix = format!("gm{}x{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut lab = Self { prefix, names: Vec::new() };
        let public = lab.namespace("net");
        sh(&format!("ip -n {public} link add br0 type bridge; ip -n {public} link set br0 up"));
        lab
    }

    fn namespace(&mut self, name: &str) -> String {
        let full = format!("{}{name}", self.prefix);
        sh(&format!("ip netns add {full}; ip -n {full} link set lo up"));
        self.names.push(full.clone());
        full
    }

    fn public(&self) -> &str {
        &self.names[0]
    }

    /// Gives `namespace` the public address 198.51.100.`host`.
    fn plug(&self, namespace: &str, host: u8) {
        let public = self.public();
        sh(&format!(
            "ip -n {public} link add p{host} type veth peer name up0 netns {namespace}; ip -n {public} link set p{host} master br0 up; \
             ip -n {namespace} addr add 198.51.100.{host}/24 dev up0; ip -n {namespace} link set up0 up"
        ));
    }

    /// Gives this machine a public address as well; nodes find the chains there.
    pub fn plug_this_machine(&mut self, host: u8) {
        let public = self.public().to_string();
        // Names of devices have at most 15 letters.
        let name = format!("gm{}h{host}", std::process::id());
        sh(&format!(
            "ip link add {name} type veth peer name p{host} netns {public}; ip -n {public} link set p{host} master br0 up; \
             ip addr add 198.51.100.{host}/24 dev {name}; ip link set {name} up"
        ));
    }

    /// A machine that everybody reaches.
    pub fn public_machine(&mut self, host: u8) -> Machine {
        let namespace = self.namespace(&format!("m{host}"));
        self.plug(&namespace, host);
        Machine { namespace }
    }

    /// A machine behind a router that translates addresses and lets nothing in that was not asked for.
    pub fn hidden_machine(&mut self, host: u8) -> Machine {
        let router = self.namespace(&format!("r{host}"));
        self.plug(&router, host);
        let namespace = self.namespace(&format!("m{host}"));
        sh(&format!(
            "ip -n {router} link add in0 type veth peer name up0 netns {namespace}; \
             ip -n {router} addr add 10.{host}.0.1/24 dev in0; ip -n {router} link set in0 up; \
             ip -n {namespace} addr add 10.{host}.0.2/24 dev up0; ip -n {namespace} link set up0 up; \
             ip -n {namespace} route add default via 10.{host}.0.1; \
             ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1"
        ));
        filter(&router, ROUTER);
        Machine { namespace }
    }

    /// Lets nothing through from the first to the second of each pair of public addresses. An empty list takes all cuts back.
    pub fn cut(&self, pairs: &[(u8, u8)]) {
        let rules: String = pairs.iter().map(|(from, to)| format!("  iifname \"p{from}\" oifname \"p{to}\" drop;\n")).collect();
        let chain = format!(" chain across {{\n  type filter hook forward priority 0;\n{rules} }}\n");
        filter(self.public(), &format!("add table bridge cut\ndelete table bridge cut\ntable bridge cut {{\n{chain}}}\n"));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

impl Machine {
    /// A program to be started on this machine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }

    /// Runs `work` on a thread of its own inside the namespace; sockets belong to the namespace of the thread that makes them.
    pub fn run<F, T>(&self, work: impl FnOnce() -> F + Send + 'static) -> std::thread::JoinHandle<T>
    where
        F: Future<Output = T>,
        T: Send + 'static,
    {
        let namespace = self.namespace.clone();
        std::thread::spawn(move || {
            let file = File::open(format!("/run/netns/{namespace}")).unwrap();
            // SAFETY: the descriptor is open; only this thread moves, and it touches no socket of another namespace afterwards.
            let entered = unsafe { nix::libc::setns(file.as_raw_fd(), nix::libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "{}", std::io::Error::last_os_error());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work())
        })
    }
}
