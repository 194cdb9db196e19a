//! `audit`: whether the chain's verdicts on a provider follow from the rules.

use std::process::ExitCode;

use super::{
    args::AuditArgs,
    commands::load,
    render::{OperatorError, output, printable, table},
};
use crate::{
    client::{
        Clients,
        audit::{self, Audit, Range},
    },
    telemetry::{LogFormat, init_logs},
};

/// Exit code where the chain and the rules disagree: neither success nor a failure to look.
const DISAGREES: u8 = 3;

pub(super) async fn run(args: &AuditArgs, json: bool) -> Result<ExitCode, OperatorError> {
    init_logs(if json { "off" } else { "warn" }, LogFormat::Text);
    let clients = Clients::reader(&load(&args.node)?).await?;
    let audit = audit::audit(&clients, args.provider, Range { from: args.from, to: args.to }).await?;
    output(json, &audit, render);
    Ok(if audit.disagreements.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DISAGREES) })
}

fn render(audit: &Audit) -> String {
    let rows = audit.challenges.iter().map(|verdict| {
        vec![
            verdict.block.to_string(),
            verdict.device.to_string(),
            verdict.elapsed_ms.map_or_else(|| "-".into(), |elapsed| elapsed.to_string()),
            if verdict.is_proven { "proven" } else { "-" }.into(),
            format!("{:?}", verdict.outcome).to_lowercase(),
            if verdict.agrees { "agrees" } else { "DISAGREES" }.into(),
        ]
    });
    let mut text = table(&["challenge", "device", "median ms", "proof", "outcome", "recomputed"], rows.collect());
    for found in &audit.disagreements {
        let line = format!(
            "\n{} (transaction {}):\n  the chain says   {}\n  the rules say    {}",
            printable(&found.subject),
            found.transaction,
            printable(&found.chain),
            printable(&found.recomputed)
        );
        text.push_str(&line);
    }
    let verdict = match audit.disagreements.len() {
        0 => "everything agrees".to_string(),
        count => format!("{count} disagreements"),
    };
    format!(
        "{text}\n{} devices, {} challenges settled, {} receipts recovered, {} proofs computed again, {} demands and {} missing \
         answers replayed, {} reports added up: {verdict}",
        audit.devices,
        audit.challenges.len(),
        audit.receipts,
        audit.proofs,
        audit.demands,
        audit.missing,
        audit.reports
    )
}
