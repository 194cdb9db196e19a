//! Keys, the stake they act for, and the gas they pay with.

use std::{os::unix::fs::PermissionsExt, path::Path};

use alloy::primitives::{Address, B256, U256, keccak256, utils::format_ether};

use super::{Finding, Subject, chains::Seen};
use crate::{
    chain::{BlockId, Chain, ChainError},
    config::NodeConfig,
    keys::{KeyError, keystore_address, open_keystore, read_password},
    net::peer_id_of,
    types::{AddressBook, ChainKind, Role, abi::StakingManager},
};

/// Wei of a gwei.
const GWEI: u64 = 1_000_000_000;
/// Bytes of a node's key.
const IDENTITY_BYTES: usize = 32;

/// Addresses of the keys, also of those that cannot be opened.
pub(super) struct Keys {
    operator: Option<Address>,
    worker: Option<Address>,
}

pub(super) fn keys(config: &NodeConfig, subject: Subject, findings: &mut Vec<Finding>) -> Keys {
    let section = &config.keys;
    let operator = keystore("operator key", config, &section.operator, findings);
    let worker = match &section.worker {
        Some(path) if subject == Subject::Provider => keystore("worker key", config, path, findings),
        _ => operator,
    };
    let private = [Some(section.operator.as_path()), section.worker.as_deref(), section.password_file.as_deref()];
    for path in private.into_iter().flatten() {
        private_file(path, findings);
    }
    private_file(&config.data_dir.join("node.key"), findings);
    Keys { operator, worker }
}

fn keystore(check: &str, config: &NodeConfig, path: &Path, findings: &mut Vec<Finding>) -> Option<Address> {
    let opened: Result<Address, KeyError> = read_password(config.keys.password_file.as_deref(), path)
        .and_then(|password| open_keystore(path, &password))
        .map(|signer| signer.address());
    match opened {
        Ok(address) => {
            findings.push(Finding::ok(check, format!("{address} opens with its password")));
            Some(address)
        }
        Err(error) => {
            findings.push(Finding::error(check, &error));
            keystore_address(path).ok()
        }
    }
}

/// Says nothing of what is well, or not there.
fn private_file(path: &Path, findings: &mut Vec<Finding>) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    if metadata.permissions().mode() & 0o077 != 0 {
        let next = format!("chmod 600 {}", path.display());
        findings.push(Finding::warn("file rights", format!("others of this machine can read {}", path.display()), next));
    }
}

pub(super) async fn stake(
    config: &NodeConfig,
    subject: Subject,
    keys: &Keys,
    seen: &Seen,
    book: &AddressBook,
    findings: &mut Vec<Finding>,
) {
    let (Some(role), Some(chain), Some(operator)) = (subject.stake(), seen.chain(ChainKind::Ethereum), keys.operator) else { return };
    match read_stake(chain, book, operator, role).await {
        Err(error) => findings.push(Finding::error("stake", &error)),
        Ok(None) => {
            let name = format!("{role:?}").to_lowercase();
            let found = format!("{operator} acts for no account with the stake of a {name}");
            findings.push(Finding::fail(
                "stake",
                found,
                format!("`gpumkt stake {name} AMOUNT`, or name this key as the account's operator"),
            ));
        }
        Ok(Some(stake)) => {
            let found = format!("{} GPUTOKEN of account {} as {role:?}", format_ether(stake.wei), stake.account);
            findings.push(Finding::ok("stake", found));
            findings.extend(identity(config, stake.peer_id_hash));
        }
    }
}

struct Stake {
    account: Address,
    wei: U256,
    peer_id_hash: B256,
}

async fn read_stake(chain: &Chain, book: &AddressBook, operator: Address, role: Role) -> Result<Option<Stake>, ChainError> {
    let (staking, latest) = (book.ethereum.staking_manager, BlockId::latest());
    let account = chain.call(staking, StakingManager::accountOfCall { key: operator }, latest).await?;
    let holds = StakingManager::hasRoleCall { account, role: role as u8 };
    if account == Address::ZERO || !chain.call(staking, holds, latest).await? {
        return Ok(None);
    }
    let staker = chain.call(staking, StakingManager::stakerCall { account }, latest).await?;
    Ok(Some(Stake { account, wei: U256::from(staker.staked), peer_id_hash: staker.peerIdHash }))
}

/// Whether the node's key is the one that the stake names; others believe no other.
fn identity(config: &NodeConfig, peer_id_hash: B256) -> Option<Finding> {
    let path = config.data_dir.join("node.key");
    let seed: Option<[u8; IDENTITY_BYTES]> = std::fs::read(&path).ok()?.try_into().ok();
    let Some(peer) = seed.and_then(|seed| peer_id_of(&seed).ok()) else {
        return Some(Finding::fail("node key", format!("{} is damaged", path.display()), "restore it, or make a new one and register it"));
    };
    if peer_id_hash == B256::ZERO || keccak256(peer.to_bytes()) == peer_id_hash {
        return Some(Finding::ok("node key", format!("peer {peer}")));
    }
    let next = "use the data_dir that staked: without its node.key nobody believes this node";
    Some(Finding::fail("node key", format!("peer {peer} is not the one that the stake names"), next))
}

pub(super) async fn gas(config: &NodeConfig, subject: Subject, keys: &Keys, seen: &Seen, findings: &mut Vec<Finding>) {
    let paying: &[(ChainKind, Option<Address>)] = match subject {
        // A King's signatures cost it nothing.
        Subject::King => &[],
        Subject::Queen => &[(ChainKind::Classic, keys.operator)],
        Subject::Provider => &[(ChainKind::Ethereum, keys.operator), (ChainKind::Classic, keys.worker)],
        Subject::Relay => &[(ChainKind::Ethereum, keys.operator), (ChainKind::Classic, keys.operator)],
        Subject::Renter => &[(ChainKind::Ethereum, keys.operator)],
    };
    for (kind, key) in paying {
        if let (Some(chain), Some(key)) = (seen.chain(*kind), key) {
            findings.push(balance(config, *kind, chain, *key).await);
        }
    }
}

async fn balance(config: &NodeConfig, kind: ChainKind, chain: &Chain, key: Address) -> Finding {
    let (low_gwei, coin) = match kind {
        ChainKind::Ethereum => (config.alerts.low_gas_ethereum_gwei, "ETH"),
        ChainKind::Classic => (config.alerts.low_gas_classic_gwei, "ETC"),
    };
    let check = format!("{kind} gas");
    let wei = match chain.balance(key).await {
        Ok(wei) => wei,
        Err(error) => return Finding::error(check, &error),
    };
    let found = format!("{key} holds {} {coin}", format_ether(wei));
    if wei.is_zero() {
        return Finding::fail(check, found, format!("send {coin} to {key}: without it none of its transactions is mined"));
    }
    if wei < U256::from(low_gwei) * U256::from(GWEI) {
        return Finding::warn(check, found, format!("send {coin} to {key} before its transactions stop"));
    }
    Finding::ok(check, found)
}
