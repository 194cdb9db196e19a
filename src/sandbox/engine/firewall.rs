//! Packet filter rules that keep containers away from this machine and its networks.
//!
//! They match by the name of the bridge, whose beginning belongs to this node, so they hold before a container starts and for every
//! container. They stand in tables or chains of their own ahead of the engine's: whatever the engine accepts later, a packet that was
//! dropped stays dropped.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

/// What is not the public internet, by RFC 6890 and its successors.
const NOT_PUBLIC: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved, broadcast. One range: nftables merges neighbours, and the listing is compared with this table.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];
/// Longest run of a firewall command: they wait for each other's lock.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
/// Before every filter of an engine (priority 0) and after address translation (-100 at the latest for what is forwarded).
const PRIORITY: i64 = -50;

/// Whether an address can belong to a host on the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC.iter().any(|(net, bits)| (u32::from(address) ^ u32::from(*net)) >> (32 - u32::from(*bits)) == 0),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public(mapped.into()),
            // Global unicast, less documentation (2001:db8::/32), Teredo (2001::/32) and 6to4 (2002::/16), which reach IPv4 inside.
            None => {
                let [first, second, ..] = Ipv6Addr::segments(&address);
                first & 0xe000 == 0x2000 && first != 0x2002 && !(first == 0x2001 && (second == 0 || second == 0x0db8))
            }
        },
    }
}

/// The rules of one node.
#[derive(Debug, Clone)]
pub struct Firewall {
    /// Six hexadecimal digits that tell this node's rules from another's.
    tag: String,
    /// How the names of this node's bridges begin.
    bridge: String,
}

/// What the rules were made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Nftables,
    Iptables,
}

impl Firewall {
    pub fn new(tag: &str, bridge: &str) -> Self {
        Self { tag: tag.into(), bridge: bridge.into() }
    }

    fn table(&self) -> String {
        format!("gpumkt_{}", self.tag)
    }

    /// Puts the rules in place, unless they are, and reads them back. An error means that nothing may rely on them.
    pub async fn install(&self) -> Result<Tool, String> {
        let with_nft = self.install_nft().await;
        let Err(nft) = with_nft else { return Ok(Tool::Nftables) };
        self.remove_nft().await;
        match self.install_iptables().await {
            Ok(()) => Ok(Tool::Iptables),
            Err(iptables) => {
                self.remove_iptables().await;
                Err(format!("nftables: {nft}; iptables: {iptables}"))
            }
        }
    }

    /// Takes away whatever of them is there.
    pub async fn remove(&self) {
        self.remove_nft().await;
        self.remove_iptables().await;
    }

    async fn install_nft(&self) -> Result<(), String> {
        if self.verify_nft().await.is_ok() {
            return Ok(());
        }
        // One transaction: `add` first, so that `delete` never fails.
        run("nft", &["-f", "-"], &self.nft_script()).await?;
        self.verify_nft().await
    }

    fn nft_script(&self) -> String {
        let Self { bridge, .. } = self;
        let table = self.table();
        let closed = NOT_PUBLIC.iter().map(|(net, bits)| format!("{net}/{bits}")).collect::<Vec<_>>().join(", ");
        format!(
            r#"add table inet {table}
delete table inet {table}
table inet {table} {{
  chain input {{
    type filter hook input priority {PRIORITY}; policy accept;
    iifname "{bridge}*" meta nfproto ipv6 drop
    iifname "{bridge}*" reject
  }}
  chain forward {{
    type filter hook forward priority {PRIORITY}; policy accept;
    iifname "{bridge}*" meta nfproto ipv6 drop
    oifname "{bridge}*" meta nfproto ipv6 drop
    oifname "{bridge}*" ct state != {{ established, related }} drop
    iifname "{bridge}*" ip daddr {{ {closed} }} reject
  }}
}}
"#
        )
    }

    async fn verify_nft(&self) -> Result<(), String> {
        let listing = run("nft", &["-j", "list", "table", "inet", &self.table()], "").await?;
        let listing: Value = serde_json::from_str(&listing).map_err(|error| format!("its listing is not JSON: {error}"))?;
        check_nft(&listing, &format!("{}*", self.bridge))
    }

    async fn remove_nft(&self) {
        let table = self.table();
        // As in the installation: removing what is not there is no error.
        let script = format!("add table inet {table}\ndelete table inet {table}\n");
        if let Err(reason) = run("nft", &["-f", "-"], &script).await {
            tracing::debug!(reason, "no nftables rules were removed");
        }
    }

    async fn install_iptables(&self) -> Result<(), String> {
        if self.verify_iptables().await.is_ok() {
            return Ok(());
        }
        self.remove_iptables().await;
        run("iptables-restore", &["--noflush", "-w", "10"], &self.iptables_script()).await?;
        for (program, rules) in self.iptables_jumps() {
            for rule in rules {
                let mut arguments = vec!["-w", "10", "-t", "mangle", "-I"];
                arguments.extend(rule.split(' '));
                run(program, &arguments, "").await?;
            }
        }
        self.verify_iptables().await
    }

    /// Chains in `mangle`: it comes before `filter`, where engines put their accepting rules first.
    fn iptables_script(&self) -> String {
        let mut script = String::from("*mangle\n");
        let rules = self.iptables_rules();
        for chain in [self.chain('I'), self.chain('F'), self.chain('O')] {
            script.push_str(&format!(":{chain} - [0:0]\n"));
        }
        rules.iter().for_each(|rule| script.push_str(&format!("-A {rule}\n")));
        script.push_str("COMMIT\n");
        script
    }

    fn chain(&self, kind: char) -> String {
        format!("GPUMKT-{kind}-{}", self.tag)
    }

    fn iptables_rules(&self) -> Vec<String> {
        let mut rules = vec![format!("{} -j DROP", self.chain('I'))];
        rules.extend(NOT_PUBLIC.iter().map(|(net, bits)| format!("{} -d {net}/{bits} -j DROP", self.chain('F'))));
        rules.push(format!("{} -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP", self.chain('O')));
        rules
    }

    fn iptables_jumps(&self) -> [(&'static str, Vec<String>); 2] {
        let Self { bridge, .. } = self;
        let four = vec![
            format!("INPUT -i {bridge}+ -j {}", self.chain('I')),
            format!("FORWARD -i {bridge}+ -j {}", self.chain('F')),
            format!("FORWARD -o {bridge}+ -j {}", self.chain('O')),
        ];
        // These bridges carry no IPv6 at all.
        let six = if std::path::Path::new("/proc/sys/net/ipv6").exists() {
            vec![format!("INPUT -i {bridge}+ -j DROP"), format!("FORWARD -i {bridge}+ -j DROP"), format!("FORWARD -o {bridge}+ -j DROP")]
        } else {
            Vec::new()
        };
        [("iptables", four), ("ip6tables", six)]
    }

    async fn verify_iptables(&self) -> Result<(), String> {
        let jumps = self.iptables_jumps();
        let rules = self.iptables_rules();
        let wanted = [("iptables", &rules), (jumps[0].0, &jumps[0].1), (jumps[1].0, &jumps[1].1)];
        for (program, rules) in wanted {
            for rule in rules {
                let mut arguments = vec!["-w", "10", "-t", "mangle", "-C"];
                arguments.extend(rule.split(' '));
                run(program, &arguments, "").await?;
            }
        }
        Ok(())
    }

    async fn remove_iptables(&self) {
        for (program, rules) in self.iptables_jumps() {
            for rule in rules {
                let mut arguments = vec!["-w", "10", "-t", "mangle", "-D"];
                arguments.extend(rule.split(' '));
                // Until it is not there any more; a rule that was inserted twice is there twice.
                for _ in 0..8 {
                    if run(program, &arguments, "").await.is_err() {
                        break;
                    }
                }
            }
        }
        for kind in ['I', 'F', 'O'] {
            let chain = self.chain(kind);
            for action in ["-F", "-X"] {
                if let Err(reason) = run("iptables", &["-w", "10", "-t", "mangle", action, &chain], "").await {
                    tracing::debug!(reason, "no iptables chain was removed");
                }
            }
        }
    }
}

/// Whether the listing of a table has both chains in their places, with every rule that keeps something closed.
fn check_nft(listing: &Value, bridge: &str) -> Result<(), String> {
    let entries = listing["nftables"].as_array().ok_or("its listing has no entries")?;
    for hook in ["input", "forward"] {
        let placed = entries.iter().any(|entry| {
            let chain = &entry["chain"];
            chain["name"] == hook && chain["hook"] == hook && chain["prio"] == PRIORITY && chain["type"] == "filter"
        });
        if !placed {
            return Err(format!("the chain {hook} is not hooked"));
        }
    }
    let rules = |chain: &'static str| {
        entries.iter().map(|entry| &entry["rule"]).filter(move |rule| rule["chain"] == chain).filter_map(|rule| rule["expr"].as_array())
    };
    let closes = |rule: &[Value]| rule.last().is_some_and(|verdict| verdict.get("drop").is_some() || verdict.get("reject").is_some());
    let on = |rule: &[Value], key: &str| {
        rule.first().is_some_and(|first| {
            first["match"]["left"]["meta"]["key"] == key && first["match"]["right"] == bridge && first["match"]["op"] == "=="
        })
    };
    let matches_counted = |rule: &[Value]| rule.iter().filter(|part| part.get("match").is_some()).count();
    if !rules("input").any(|rule| on(rule, "iifname") && matches_counted(rule) == 1 && closes(rule)) {
        return Err("input is open".into());
    }
    for key in ["iifname", "oifname"] {
        let six = |rule: &&Vec<Value>| {
            rule.len() == 3
                && rule[1]["match"]["left"]["meta"]["key"] == "nfproto"
                && rule[1]["match"]["right"] == "ipv6"
                && on(rule, key)
                && closes(rule)
        };
        if !rules("forward").any(|rule| six(&rule)) {
            return Err("IPv6 is forwarded".into());
        }
    }
    if !rules("forward")
        .any(|rule| on(rule, "oifname") && rule.get(1).is_some_and(|part| part["match"]["left"]["ct"]["key"] == "state") && closes(rule))
    {
        return Err("connections from outside are forwarded".into());
    }
    let closed = rules("forward").filter(|rule| on(rule, "iifname") && closes(rule)).flat_map(|rule| {
        let set = rule.get(1).filter(|part| part["match"]["left"]["payload"]["field"] == "daddr" && part["match"]["op"] == "==");
        set.and_then(|part| part["match"]["right"]["set"].as_array()).cloned().unwrap_or_default()
    });
    let prefix = |entry: Value| Some((entry["prefix"]["addr"].as_str()?.to_owned(), entry["prefix"]["len"].as_u64()?));
    let closed: Vec<(String, u64)> = closed.filter_map(prefix).collect();
    match NOT_PUBLIC.iter().find(|(net, bits)| !closed.contains(&(net.to_string(), u64::from(*bits)))) {
        Some((net, bits)) => Err(format!("{net}/{bits} is forwarded")),
        None => Ok(()),
    }
}

/// Output of a command that succeeded; otherwise what it complained of.
async fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Administrators' programs are not on the path of every user.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")).env("LC_ALL", "C");
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(COMMAND_LIMIT, work)
        .await
        .map_err(|_| format!("{program} did not end within {} s", COMMAND_LIMIT.as_secs()))?
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{program} failed: {}", super::connect::one_line(&String::from_utf8_lossy(&output.stderr))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_told_from_all_others() {
        let is_public = |text: &str| is_public(text.parse().unwrap());
        for text in
            ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "223.255.255.255", "2606:4700::1111"]
        {
            assert!(is_public(text), "{text}");
        }
        for text in [
            "0.0.0.0",
            "10.255.0.1",
            "100.64.0.1",
            "127.0.0.53",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "224.0.0.251",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
        ] {
            assert!(!is_public(text), "{text}");
        }
    }

    #[test]
    fn a_listing_without_one_of_the_rules_is_not_taken_for_closed() {
        let bridge = "gm1*";
        let meta = |key: &str| serde_json::json!({"match": {"op": "==", "left": {"meta": {"key": key}}, "right": bridge}});
        let six = serde_json::json!({"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv6"}});
        let state =
            serde_json::json!({"match": {"op": "!=", "left": {"ct": {"key": "state"}}, "right": {"set": ["established", "related"]}}});
        let nets: Vec<Value> =
            NOT_PUBLIC.iter().map(|(net, bits)| serde_json::json!({"prefix": {"addr": net.to_string(), "len": bits}})).collect();
        let daddr =
            serde_json::json!({"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"set": nets}}});
        let drop = serde_json::json!({"drop": null});
        let chain = |name: &str| serde_json::json!({"chain": {"name": name, "hook": name, "prio": PRIORITY, "type": "filter"}});
        let rule = |chain: &str, expr: Vec<&Value>| serde_json::json!({"rule": {"chain": chain, "expr": expr}});
        let (inner, outer) = (meta("iifname"), meta("oifname"));
        let all = vec![
            chain("input"),
            chain("forward"),
            rule("input", vec![&inner, &drop]),
            rule("forward", vec![&inner, &six, &drop]),
            rule("forward", vec![&outer, &six, &drop]),
            rule("forward", vec![&outer, &state, &drop]),
            rule("forward", vec![&inner, &daddr, &drop]),
        ];
        assert_eq!(check_nft(&serde_json::json!({ "nftables": all }), bridge), Ok(()));
        assert!(check_nft(&serde_json::json!({ "nftables": all }), "gm2*").is_err());
        for left_out in 0..all.len() {
            let mut rest = all.clone();
            rest.remove(left_out);
            assert!(check_nft(&serde_json::json!({ "nftables": rest }), bridge).is_err(), "{left_out}");
        }
    }
}
