//! What `target/demo/report.json` holds, and how it looks on a terminal.

use std::{collections::BTreeMap, path::Path};

use alloy::primitives::{Address, B256, U256};
use serde::Serialize;

use super::{DevnetError, bridge::MessageTrip, console::Stage, ledger::LedgerEntry};
use crate::{
    client::{audit::Audit, rent::RentalView},
    types::{Amount, ChainKind},
};

/// Grows with every change that a reader could notice.
pub const SCHEMA_VERSION: u32 = 1;

/// Balance of an account in GPUTOKEN.
#[derive(Debug, Clone, Serialize)]
pub struct Balance {
    pub account: Address,
    pub before_wei: Amount,
    pub after_wei: Amount,
}

/// The run in figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub schema_version: u32,
    pub is_completed: bool,
    pub rental: RentalView,
    pub escrowed_wei: Amount,
    pub paid_wei: Amount,
    pub refunded_wei: Amount,
    pub fees_wei: Amount,
    pub challenges_due: u32,
    pub challenges_passed: u32,
    /// The renter's output equals the same program computed here.
    pub output_matches: bool,
    pub output_file: String,
    /// How the provider isolated the renter's program.
    /// What ran the renter's container; `none` where only bare kernels run.
    pub runtime: String,
    /// What a command in the container printed over ssh.
    pub shell_output: Option<String>,
    pub isolation: String,
    /// Kings that signed each accepted checkpoint, by origin and message count.
    pub checkpoint_signers: BTreeMap<String, Vec<String>>,
    /// Bridge messages that were delivered.
    pub message_ids: Vec<B256>,
    /// The same messages with where and when.
    pub messages: Vec<MessageTrip>,
    /// Mean seconds from final at the origin to delivered, over the messages that became final with all nodes up.
    pub relay_latency_s: Option<f64>,
    pub reputation_ppm_before: u32,
    pub reputation_ppm_after: u32,
    /// The provider's verdicts, computed again.
    pub audit: Audit,
    pub balances: BTreeMap<String, Balance>,
    pub stages: Vec<Stage>,
    pub steps: Vec<LedgerEntry>,
    pub wall_s: f64,
}

impl Report {
    /// Everything that must hold; the first thing that does not is the error.
    pub fn check(&self) -> Result<(), DevnetError> {
        let wrong = |reason: String| Err(DevnetError::Wrong { reason });
        let sum = self.paid_wei.wei() + self.refunded_wei.wei() + self.fees_wei.wei();
        if !self.is_completed {
            return wrong(format!("rental {} is {:?}", self.rental.rental, self.rental.state));
        }
        if sum != self.escrowed_wei.wei() {
            return wrong(format!("paid + refunded + fees = {} GPUTOKEN, escrowed were {}", Amount(sum), self.escrowed_wei));
        }
        if self.paid_wei.wei() == U256::ZERO {
            return wrong("the provider was not paid".into());
        }
        if self.challenges_passed == 0 || self.challenges_passed != self.challenges_due {
            return wrong(format!("{} of {} challenges passed", self.challenges_passed, self.challenges_due));
        }
        if let Some(found) = self.audit.disagreements.first() {
            return wrong(format!("{}: the chain says {}, the rules say {}", found.subject, found.chain, found.recomputed));
        }
        if self.audit.proofs == 0 || self.audit.receipts == 0 || self.audit.reports == 0 {
            return wrong("the audit had nothing to compute again".into());
        }
        if !self.output_matches {
            return wrong("the renter's picture differs from the same program computed on the CPU".into());
        }
        if let Some(entry) = self.steps.iter().find(|entry| entry.chain == ChainKind::Classic && entry.tx_type != 0) {
            return wrong(format!("transaction {} on Ethereum Classic has type {}", entry.tx_hash, entry.tx_type));
        }
        let total = |of: fn(&Balance) -> Amount| self.balances.values().fold(U256::ZERO, |sum, balance| sum + of(balance).wei());
        let (before, after) = (total(|balance| balance.before_wei), total(|balance| balance.after_wei));
        if before != after {
            return wrong(format!("balances were {} GPUTOKEN before and are {} after", Amount(before), Amount(after)));
        }
        Ok(())
    }

    pub fn write(&self, path: &Path) -> Result<(), DevnetError> {
        let failed = |reason: String| DevnetError::Setup { what: path.display().to_string(), reason };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.to_string()))?;
        // A reader never sees half a report.
        let partial = path.with_extension("json.part");
        std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path)).map_err(|error| failed(error.to_string()))
    }

    /// The timeline from the first rental step on, and the balances.
    pub fn print(&self) {
        let first = self.steps.first().map_or(0, |entry| entry.timestamp);
        let mut table = plain_table(&["step", "chain", "block", "transaction", "type", "gas", "second", "by"]);
        for entry in self.steps.iter().filter(|entry| entry.step != "create contract" && !entry.step.ends_with(".wire")) {
            table.add_row(vec![
                entry.step.clone(),
                entry.chain.to_string(),
                entry.block.to_string(),
                format!("{:#x}", entry.tx_hash),
                entry.tx_type.to_string(),
                entry.gas.to_string(),
                (entry.timestamp - first).to_string(),
                entry.from.clone(),
            ]);
        }
        println!("\n{table}");
        let mut balances = plain_table(&["account", "before", "after", "change"]);
        for (name, balance) in &self.balances {
            balances.add_row(vec![
                name.clone(),
                balance.before_wei.to_string(),
                balance.after_wei.to_string(),
                change(balance.before_wei, balance.after_wei),
            ]);
        }
        println!("\n{balances}");
        println!(
            "\nescrowed {} = paid {} + refunded {} + fees {} GPUTOKEN; {} of {} challenges passed; reputation {:.2} % -> {:.2} %",
            self.escrowed_wei,
            self.paid_wei,
            self.refunded_wei,
            self.fees_wei,
            self.challenges_passed,
            self.challenges_due,
            f64::from(self.reputation_ppm_before) / 10_000.0,
            f64::from(self.reputation_ppm_after) / 10_000.0,
        );
        let (classic, ethereum): (Vec<_>, Vec<_>) = self.steps.iter().partition(|entry| entry.chain == ChainKind::Classic);
        println!(
            "{} transactions on Ethereum, {} on Ethereum Classic (all type 0); {} bridge messages delivered, on average {:.1} s after they were final",
            ethereum.len(),
            classic.len(),
            self.message_ids.len(),
            self.relay_latency_s.unwrap_or_default()
        );
    }
}

fn plain_table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header.to_vec());
    table
}

fn change(before: Amount, after: Amount) -> String {
    if after >= before { format!("+{}", Amount(after.wei() - before.wei())) } else { format!("-{}", Amount(before.wei() - after.wei())) }
}
