//! Everything that happened on the two chains, read back from their blocks.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes};
use serde::Serialize;
use serde_json::{Value, json};

use super::{DevnetError, chains::DevChains};
use crate::types::{
    AddressBook, ChainKind,
    abi::{
        GPURental, GPUToken, Inbox, NodeDirectory, Outbox, RentalCourt, ReputationSystem, StakingManager, TimelockController,
        TokenDistributor, WorkVerification,
    },
};

/// One transaction of the run.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerEntry {
    pub step: String,
    pub chain: ChainKind,
    pub block: u64,
    /// Unix seconds of the block.
    pub timestamp: u64,
    pub tx_hash: B256,
    /// EIP-2718 type; 0 on Ethereum Classic.
    #[serde(rename = "type")]
    pub tx_type: u64,
    pub gas: u64,
    pub from: String,
    pub is_successful: bool,
}

/// All transactions of both chains in the order of their blocks.
pub async fn read_ledger(
    chains: &DevChains,
    book: &AddressBook,
    labels: &BTreeMap<Address, String>,
) -> Result<Vec<LedgerEntry>, DevnetError> {
    let mut entries = Vec::new();
    for kind in ChainKind::BOTH {
        let head = quantity(&chains.of(kind).ask("eth_blockNumber", json!([])).await?);
        for number in 1..=head {
            read_block(chains, kind, number, book, labels, &mut entries).await?;
        }
    }
    entries.sort_by_key(|entry| (entry.timestamp, entry.chain, entry.block));
    Ok(entries)
}

async fn read_block(
    chains: &DevChains,
    kind: ChainKind,
    number: u64,
    book: &AddressBook,
    labels: &BTreeMap<Address, String>,
    entries: &mut Vec<LedgerEntry>,
) -> Result<(), DevnetError> {
    let anvil = chains.of(kind);
    let block = anvil.ask("eth_getBlockByNumber", json!([format!("{number:#x}"), true])).await?;
    let transactions = block["transactions"].as_array().cloned().unwrap_or_default();
    if transactions.is_empty() {
        return Ok(());
    }
    let receipts = anvil.ask("eth_getBlockReceipts", json!([format!("{number:#x}")])).await?;
    let receipts = receipts.as_array().cloned().unwrap_or_default();
    for (transaction, receipt) in transactions.iter().zip(&receipts) {
        let from: Address = parse(&transaction["from"]).unwrap_or_default();
        let to: Option<Address> = parse(&transaction["to"]);
        let input: Bytes = parse(&transaction["input"]).unwrap_or_default();
        entries.push(LedgerEntry {
            step: step_name(book, kind, to, &input),
            chain: kind,
            block: number,
            timestamp: quantity(&block["timestamp"]),
            tx_hash: parse(&transaction["hash"]).unwrap_or_default(),
            tx_type: quantity(&transaction["type"]),
            gas: quantity(&receipt["gasUsed"]),
            from: labels.get(&from).cloned().unwrap_or_else(|| from.to_string()),
            is_successful: quantity(&receipt["status"]) == 1,
        });
    }
    Ok(())
}

fn parse<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

fn quantity(value: &Value) -> u64 {
    value.as_str().and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()).unwrap_or_default()
}

type FunctionName = fn([u8; 4]) -> Option<&'static str>;

fn step_name(book: &AddressBook, kind: ChainKind, to: Option<Address>, input: &[u8]) -> String {
    let Some(to) = to else { return "create contract".into() };
    let Some(selector) = input.first_chunk::<4>() else { return "transfer coins".into() };
    let known = contracts(book, kind).into_iter().find(|(address, _, _)| *address == to);
    match known.map(|(_, contract, name_of)| (contract, name_of(*selector))) {
        Some((contract, Some(function))) => format!("{contract}.{function}"),
        Some((contract, None)) => contract.to_string(),
        None => "unknown contract".into(),
    }
}

fn contracts(book: &AddressBook, kind: ChainKind) -> Vec<(Address, &'static str, FunctionName)> {
    let bridge = book.bridge(kind);
    let mut known: Vec<(Address, &'static str, FunctionName)> = vec![
        (bridge.inbox, "Inbox", Inbox::InboxCalls::name_by_selector),
        (bridge.outbox, "Outbox", Outbox::OutboxCalls::name_by_selector),
    ];
    match kind {
        ChainKind::Ethereum => known.extend([
            (book.ethereum.gpu_token, "GPUToken", GPUToken::GPUTokenCalls::name_by_selector as FunctionName),
            (book.ethereum.staking_manager, "StakingManager", StakingManager::StakingManagerCalls::name_by_selector),
            (book.ethereum.gpu_rental, "GPURental", GPURental::GPURentalCalls::name_by_selector),
            (book.ethereum.token_distributor, "TokenDistributor", TokenDistributor::TokenDistributorCalls::name_by_selector),
            (book.ethereum.rental_court, "RentalCourt", RentalCourt::RentalCourtCalls::name_by_selector),
            (book.ethereum.node_directory, "NodeDirectory", NodeDirectory::NodeDirectoryCalls::name_by_selector),
            (book.ethereum.timelock, "TimelockController", TimelockController::TimelockControllerCalls::name_by_selector),
        ]),
        ChainKind::Classic => known.extend([
            (book.classic.work_verification, "WorkVerification", WorkVerification::WorkVerificationCalls::name_by_selector as FunctionName),
            (book.classic.reputation_system, "ReputationSystem", ReputationSystem::ReputationSystemCalls::name_by_selector),
        ]),
    }
    known
}
