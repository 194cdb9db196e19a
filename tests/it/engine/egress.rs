//! The egress policy, in a network namespace of its own: whatever rules and bridges appear, they go with it.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Stdio},
};

use gpumkt::sandbox::{EngineOptions, EngineRuntime, NetworkPolicy, Runtime};

use super::{
    NO_GRACE,
    harness::{DEADLINE, Podman, Rental, need},
};

/// Set where the test runs inside the namespace that it made.
const INSIDE: &str = "GPUMKT_TEST_NAMESPACE";
/// A public address that answers, on the far side of a link.
const PUBLIC: &str = "9.9.9.9";
/// A neighbour in the provider's own network, also beyond that link.
const NEIGHBOUR: &str = "192.168.77.1";
const METADATA: &str = "169.254.169.254";
/// Public as well, but this machine's own.
const OWN_PUBLIC: &str = "5.5.5.5";
const PORT: u16 = 8_080;

fn sh(line: &str) {
    let status = Command::new("sh").arg("-c").arg(line).status().unwrap();
    assert!(status.success(), "{line}");
}

/// Runs this very test again inside fresh network and mount namespaces.
fn enter(test: &str) {
    need("unshare");
    // /sys has to show the new network; the control groups below it have to stay.
    let prepare = "set -e; d=$(mktemp -d); mount --make-rprivate /; mount --rbind /sys/fs/cgroup $d; mount -t sysfs sysfs /sys; \
                   mount --rbind $d /sys/fs/cgroup; umount -l $d; rmdir $d; ip link set lo up; exec \"$0\" \"$@\"";
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", prepare])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "inside the namespace: {}", String::from_utf8_lossy(&text));
    assert!(String::from_utf8_lossy(&text).contains("1 passed"), "{}", String::from_utf8_lossy(&text));
}

/// The rest of the world: another namespace behind a link, with a public host and a private one.
struct World {
    name: String,
    server: std::process::Child,
}

impl World {
    fn new() -> Self {
        let name = format!("gpumkt-test-{}", std::process::id());
        sh(&format!(
            "set -e; ip netns add {name}; ip link add up0 type veth peer name far0 netns {name}; ip addr add 203.0.113.1/24 dev up0; \
             ip addr add {OWN_PUBLIC}/32 dev up0; ip addr add {METADATA}/32 dev lo; ip link set up0 up; \
             ip -n {name} addr add 203.0.113.2/24 dev far0; ip -n {name} addr add {PUBLIC}/32 dev lo; ip -n {name} addr add {NEIGHBOUR}/32 dev lo; \
             ip -n {name} link set lo up; ip -n {name} link set far0 up; ip route add default via 203.0.113.2; \
             ip -n {name} route add {OWN_PUBLIC}/32 via 203.0.113.1"
        ));
        let port = PORT.to_string();
        let far = ["netns", "exec", &name, "busybox", "httpd", "-f", "-p", &port, "-h", "/proc/self"];
        let server = Command::new("ip").args(far).stdin(Stdio::null()).spawn().unwrap();
        Self { name, server }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

/// Answers on every address of this machine.
fn listen() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = (&stream).write_all(b"HTTP/1.0 200 OK\r\n\r\nnear\n");
        }
    });
}

async fn reaches(rental: &Rental, address: &str) -> bool {
    rental.shell(&format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {PORT} | grep -q HTTP")).await.is_ok()
}

fn rules() -> String {
    let list = |words: &[&str]| String::from_utf8(Command::new(words[0]).args(&words[1..]).output().unwrap().stdout).unwrap();
    [list(&["nft", "list", "ruleset"]), list(&["iptables-save"]), list(&["ip6tables-save"])].concat()
}

async fn policy_holds(podman: &Podman, world: &World, runtime: &EngineRuntime) {
    let facts = runtime.check().await.unwrap();
    assert!(facts.has_egress, "{facts:?}");
    assert!(!rules().to_lowercase().contains("gpumkt"), "a check leaves nothing behind");
    let mut first = podman.rental(runtime, 81).await;
    let mut second = podman.rental(runtime, 82).await;
    for rental in [&mut first, &mut second] {
        rental.spec.network = NetworkPolicy::Egress;
        runtime.start(&rental.spec).await.unwrap();
        rental.agent.wait_ready(DEADLINE).await.unwrap();
    }
    assert!(reaches(&first, PUBLIC).await, "the public internet\n{}", rules());
    let gateway = first.ok("ip route | grep default | head -1").await.split(' ').nth(2).unwrap().to_owned();
    let peer = second.ok("ip -4 addr show eth0 | grep inet").await.split_whitespace().nth(1).unwrap().split('/').next().unwrap().to_owned();
    second.ok(&format!("httpd -p {PORT} -h /tmp")).await;
    assert!(reaches(&second, "127.0.0.1").await, "the peer serves itself");
    for closed in [NEIGHBOUR, METADATA, OWN_PUBLIC, "203.0.113.1", "203.0.113.2", &gateway, &peer] {
        assert!(!reaches(&first, closed).await, "{closed} answered\n{}", rules());
    }
    let six = first.shell("cat /proc/net/if_inet6").await.text;
    assert!(!six.contains("eth0"), "{six}");
    first.refused("ip route add 10.0.0.0/8 dev eth0").await;
    first.refused("ip addr add 192.168.77.9/24 dev eth0").await;
    // Nobody comes in: the container listens, the neighbour has a way to it.
    let ask = format!("ip netns exec {} busybox wget -T 3 -O - http://{peer}:{PORT}/ 2>&1 | grep -q HTTP", world.name);
    sh(&format!("ip -n {} route add {peer}/32 via 203.0.113.1; ! ({ask})", world.name));

    // Rules that somebody removed come back.
    sh("nft flush ruleset 2>/dev/null || true; iptables -t mangle -F");
    runtime.list().await.unwrap();
    assert!(!reaches(&first, NEIGHBOUR).await && !reaches(&first, METADATA).await, "{}", rules());

    runtime.stop(81, NO_GRACE).await.unwrap();
    assert!(rules().to_lowercase().contains("gpumkt"), "the other rental still needs them");
    runtime.release_egress().await.unwrap();
    assert!(rules().to_lowercase().contains("gpumkt"));
    runtime.stop(82, NO_GRACE).await.unwrap();
    assert!(!rules().to_lowercase().contains("gpumkt"), "{}", rules());
    assert!(!podman.run(&["network", "ls"]).contains("gpumkt-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn egress_reaches_the_public_internet_and_nothing_else() {
    if std::env::var_os(INSIDE).is_none() {
        return enter("engine::egress::egress_reaches_the_public_internet_and_nothing_else");
    }
    let podman = Podman::start().await;
    let world = World::new();
    listen();
    policy_holds(&podman, &world, &podman.runtime()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn egress_holds_with_iptables_alone_and_is_refused_without_any_filter() {
    if std::env::var_os(INSIDE).is_none() {
        return enter("engine::egress::egress_holds_with_iptables_alone_and_is_refused_without_any_filter");
    }
    let podman = Podman::start().await;
    let world = World::new();
    listen();
    // A machine without nftables' program: its place is taken by one that fails. Only this process and its children see that.
    let hidden = podman.at("hidden");
    fs::write(&hidden, "#!/bin/sh\necho no nft here >&2\nexit 1\n").unwrap();
    sh(&format!("chmod 755 {0} && mount --bind {0} $(command -v nft || echo /usr/sbin/nft)", hidden.display()));
    policy_holds(&podman, &world, &podman.runtime()).await;

    // And one without iptables: what cannot be enforced is not offered, and asked for it is refused.
    for program in ["iptables-restore", "iptables"] {
        sh(&format!("mount --bind {} $(readlink -f /usr/sbin/{program})", hidden.display()));
    }
    let runtime = podman.runtime();
    assert!(!runtime.check().await.unwrap().has_egress);
    let mut rental = podman.rental(&runtime, 83).await;
    rental.spec.network = NetworkPolicy::Egress;
    let error = runtime.start(&rental.spec).await.unwrap_err();
    assert_eq!(gpumkt::types::Coded::code(&error), "E-SANDBOX-046", "{error}");
    assert_eq!(podman.run(&["ps", "--all", "--quiet"]), "");
    let private = EngineRuntime::new(EngineOptions { dns: vec![Ipv4Addr::new(192, 168, 1, 1).into()], ..podman.options() });
    assert!(!private.check().await.unwrap().has_egress);
}
