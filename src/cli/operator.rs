//! What the operators of Kings and relays run beside their nodes.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    args::{DumpArgs, NodeArgs},
    commands::{Outcome, confirm, load},
    render::{line, output, printable, table},
};
use crate::{
    client::{ClientError, operator},
    types::ChainKind,
};

/// Characters of an error that a table has room for.
const ERROR_WIDTH: usize = 60;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct KingArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(flatten)]
    pub dump: DumpArgs,
    #[command(subcommand)]
    pub action: Option<KingAction>,
}

#[derive(Debug, Subcommand)]
pub enum KingAction {
    /// Show why this King has stopped signing, and let it go on
    Resume {
        #[command(flatten)]
        node: NodeArgs,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RelayArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(flatten)]
    pub dump: DumpArgs,
    #[command(subcommand)]
    pub action: Option<RelayAction>,
}

#[derive(Debug, Subcommand)]
pub enum RelayAction {
    /// List messages that wait, failed or are dead letters, with what they cost
    Messages {
        #[command(flatten)]
        node: NodeArgs,
        /// Also those that this relay has delivered
        #[arg(long)]
        all: bool,
    },
    /// Try messages again now, dead letters too
    Retry {
        #[command(flatten)]
        node: NodeArgs,
        /// Chain that the messages come from
        #[arg(value_enum)]
        origin: ChainName,
        /// All dead letters of that chain
        #[arg(long, conflicts_with = "indices")]
        dead: bool,
        /// Indices of the messages
        #[arg(value_name = "INDEX", required_unless_present = "dead")]
        indices: Vec<u32>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ChainName {
    Ethereum,
    Classic,
}

impl From<ChainName> for ChainKind {
    fn from(name: ChainName) -> Self {
        match name {
            ChainName::Ethereum => ChainKind::Ethereum,
            ChainName::Classic => ChainKind::Classic,
        }
    }
}

pub fn king(action: &KingAction, json: bool) -> Outcome {
    let KingAction::Resume { node, yes } = action;
    let config = load(node)?;
    let halts = operator::halts(&config)?;
    if halts.is_empty() {
        output(json, &json!({ "resumed": [] }), |_| "This King is not halted.".into());
        return Ok(());
    }
    let told: Vec<String> = halts.iter().map(|halt| printable(&halt.describe())).collect();
    if !json {
        told.iter().for_each(line);
        line(
            "Compare the chain's history on several nodes of different operators. Going on never signs a second history in one set epoch:",
        );
        line("if messages that were signed have changed, this King waits for the next epoch of the King set.");
    }
    if !yes && !confirm("Go on signing? [y/N] ")? {
        return Err(ClientError::Cancelled.into());
    }
    for halt in &halts {
        operator::resume(&config, halt)?;
    }
    output(json, &json!({ "resumed": told }), |_| "The King goes on when it next looks, or at its next start.".into());
    Ok(())
}

pub fn relay(action: &RelayAction, json: bool) -> Outcome {
    match action {
        RelayAction::Messages { node, all } => {
            let rows = operator::messages(&load(node)?, *all)?;
            output(json, &rows, |rows| {
                if rows.is_empty() {
                    return "No messages wait.".into();
                }
                let shown = rows
                    .iter()
                    .map(|row| {
                        let error: String = row.last_error.as_deref().unwrap_or_default().chars().take(ERROR_WIDTH).collect();
                        vec![
                            row.origin.name().into(),
                            row.index.to_string(),
                            format!("{:?}", row.stage).to_lowercase(),
                            row.first_seen.to_string(),
                            row.attempts.to_string(),
                            row.not_before.to_string(),
                            row.cost_coin.clone(),
                            printable(&error),
                        ]
                    })
                    .collect();
                table(&["origin", "index", "stage", "seen", "attempts", "not before", "cost", "last error"], shown)
            });
        }
        RelayAction::Retry { node, origin, dead, indices } => {
            let indices = (!dead).then(|| indices.clone());
            operator::retry(&load(node)?, (*origin).into(), indices)?;
            output(json, &json!({ "left": true }), |_| "The relay tries again when it next looks, or at its next start.".into());
        }
    }
    Ok(())
}
