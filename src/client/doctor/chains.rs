//! Endpoints, their agreement, this machine's clock, and what stands on the chains.

use std::{
    collections::BTreeSet,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use futures::future::join_all;

use super::{Finding, Subject};
use crate::{
    chain::{BlockId, BlockInfo, Chain, ChainConfig, ChainError},
    config::NodeConfig,
    rules::quorum::KingSet,
    types::{AddressBook, ChainKind, abi::KingSet as KingSetContract},
};

/// Blocks that endpoints of one chain may be apart.
const MAX_APART: u64 = 8;
/// Seconds that a block may be ahead of this clock: what Ethereum Classic's nodes allow each other.
const MAX_AHEAD_SECONDS: u64 = 15;
/// A clock that is this far from the newest blocks of both chains is looked at.
const SUSPICIOUS_SECONDS: u64 = 120;

/// Chains that answered.
#[derive(Default)]
pub(super) struct Seen {
    chains: [Option<Chain>; 2],
    heads: [Option<BlockInfo>; 2],
}

impl Seen {
    pub(super) fn chain(&self, kind: ChainKind) -> Option<&Chain> {
        self.chains[kind as usize].as_ref()
    }
}

pub(super) async fn look(config: &NodeConfig, subject: Subject, findings: &mut Vec<Finding>) -> Seen {
    let mut seen = Seen::default();
    for kind in ChainKind::BOTH {
        let (chain, head) = endpoints(config, subject, kind, findings).await;
        if let Some(head) = &head {
            age(config, kind, head, findings);
        }
        (seen.chains[kind as usize], seen.heads[kind as usize]) = (chain, head);
    }
    clock(&seen, findings);
    seen
}

/// Each endpoint by itself, then all of a chain together.
async fn endpoints(
    config: &NodeConfig,
    subject: Subject,
    kind: ChainKind,
    findings: &mut Vec<Finding>,
) -> (Option<Chain>, Option<BlockInfo>) {
    let section = config.chain(kind);
    let tried = join_all(section.rpc.iter().map(|url| endpoint(kind, section.chain_id, url))).await;
    let answering = tried.iter().filter(|outcome| outcome.is_ok()).count();
    let mut reached: Vec<(Chain, BlockInfo)> = Vec::new();
    for (position, outcome) in tried.into_iter().enumerate() {
        let host = section.rpc.get(position).and_then(|url| Chain::host_of(url)).unwrap_or_else(|| "no URL".into());
        let check = format!("{kind} endpoint {} ({host})", position + 1);
        match outcome {
            Ok((chain, head, waited_ms)) => {
                findings.push(Finding::ok(check, format!("chain {}, block {}, answered in {waited_ms} ms", section.chain_id, head.number)));
                reached.push((chain, head));
            }
            // Another one serves meanwhile; one of another chain stops a node.
            Err(error @ ChainError::Unreachable { .. }) if answering > 0 => findings.push(Finding::error(check, &error).only_warn()),
            Err(error) => findings.push(Finding::error(check, &error)),
        }
    }
    findings.push(independence(config, subject, kind));
    if reached.len() > 1 {
        findings.push(agreement(kind, &reached).await);
    }
    let newest = reached.into_iter().max_by_key(|(_, head)| head.number);
    newest.map_or((None, None), |(chain, head)| (Some(chain), Some(head)))
}

async fn endpoint(kind: ChainKind, chain_id: u64, url: &str) -> Result<(Chain, BlockInfo, u128), ChainError> {
    let chain = Chain::connect(ChainConfig::new(kind, chain_id, vec![url.to_string()])).await?;
    let started = Instant::now();
    let head = chain.head().await?;
    Ok((chain, head, started.elapsed().as_millis()))
}

/// Two endpoints, of two operators.
fn independence(config: &NodeConfig, subject: Subject, kind: ChainKind) -> Finding {
    let section = config.chain(kind);
    let check = format!("{kind} endpoints");
    let hosts: BTreeSet<String> = section.rpc.iter().filter_map(|url| Chain::host_of(url)).collect();
    let next = format!("name a second {kind}.rpc that another operator runs");
    let is_private = config.network.local;
    match (section.rpc.len(), hosts.len()) {
        (1, _) if subject == Subject::King && !config.king.single_endpoint => {
            Finding::fail(check, "one: a King signs what two agree on", next)
        }
        (1, _) if is_private => Finding::ok(check, "one, on a private network"),
        (1, _) => Finding::warn(check, "one: when it fails, this node stands still", next),
        (configured, hosts) if hosts < configured && subject == Subject::King && !is_private => {
            Finding::fail(check, "two are on one host: their agreement proves nothing", next)
        }
        (configured, hosts) if hosts < configured && !is_private => Finding::warn(check, "two are on one host, and fail together", next),
        (configured, _) => Finding::ok(check, format!("{configured} are configured")),
    }
}

/// Whether the endpoints tell one history.
async fn agreement(kind: ChainKind, reached: &[(Chain, BlockInfo)]) -> Finding {
    let check = format!("{kind} agreement");
    let (lowest, highest) = (reached.iter().map(|(_, head)| head.number).min(), reached.iter().map(|(_, head)| head.number).max());
    let (Some(lowest), Some(highest)) = (lowest, highest) else { return Finding::ok(check, "nothing to compare") };
    let apart = highest - lowest;
    if apart > MAX_APART {
        let next = "replace the one that lags: its answers are old";
        return Finding::warn(check, format!("the endpoints are {apart} blocks apart"), next);
    }
    // A little below the heads, where honest nodes no longer differ for moments.
    let compared = lowest.saturating_sub(MAX_APART);
    let blocks = join_all(reached.iter().map(|(chain, _)| chain.block(compared))).await;
    let hashes: BTreeSet<_> = blocks.into_iter().filter_map(Result::ok).map(|block| block.hash).collect();
    if hashes.len() > 1 {
        let next = "ask a block explorer which history is right, and replace the other endpoint";
        return Finding::fail(check, format!("the endpoints tell different histories at block {compared}"), next);
    }
    Finding::ok(check, format!("one history, {apart} blocks apart"))
}

fn age(config: &NodeConfig, kind: ChainKind, head: &BlockInfo, findings: &mut Vec<Finding>) {
    let check = format!("{kind} newest block");
    let age = unix_seconds().saturating_sub(head.timestamp);
    findings.push(if age > config.alerts.silent_chain_seconds {
        let next = "the endpoint may still be syncing or have lost its peers: use another one until it has caught up";
        Finding::fail(check, format!("block {} is {age} s old", head.number), next)
    } else {
        Finding::ok(check, format!("block {}, {age} s old", head.number))
    });
}

/// Blocks carry times of others' clocks. One from the future shows that this clock is slow; blocks that are old on both chains at once
/// suggest that it is fast.
fn clock(seen: &Seen, findings: &mut Vec<Finding>) {
    let now = unix_seconds();
    let stamps: Vec<u64> = seen.heads.iter().flatten().map(|head| head.timestamp).collect();
    let Some(newest) = stamps.iter().max() else { return };
    let sync = "set the clock by NTP (`timedatectl set-ntp true`): records, logins and heartbeats expire by it";
    findings.push(if *newest > now + MAX_AHEAD_SECONDS {
        Finding::fail("clock", format!("{} s behind the newest block", newest - now), sync)
    } else if stamps.len() == 2 && stamps.iter().all(|stamp| now.saturating_sub(*stamp) > SUSPICIOUS_SECONDS) {
        let found = format!("{} s ahead of both chains' newest blocks, or both endpoints stand still", now.saturating_sub(*newest));
        Finding::warn("clock", found, sync)
    } else {
        Finding::ok("clock", format!("{} s after the newest block", now.saturating_sub(*newest)))
    });
}

/// Whether the address book belongs to these chains.
pub(super) async fn contracts(config: &NodeConfig, seen: &Seen, findings: &mut Vec<Finding>) -> Option<AddressBook> {
    let book = match config.address_book() {
        Ok(book) => book,
        Err(error) => {
            findings.push(Finding::error("address book", &error));
            return None;
        }
    };
    let kings = KingSet::from_entry(&book.kings);
    for kind in ChainKind::BOTH {
        let Some(chain) = seen.chain(kind) else { continue };
        let check = format!("{kind} contracts");
        let call = KingSetContract::setHashCall { setEpoch: kings.epoch };
        findings.push(match chain.call(book.bridge(kind).king_set, call, BlockId::latest()).await {
            Ok(hash) if hash == kings.hash() => Finding::ok(check, "the King set of the address book"),
            Ok(_) => Finding::fail(check, "another King set than the address book's", "get the current address book of this network"),
            Err(error) => Finding::error(check, &error),
        });
    }
    Some(book)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
