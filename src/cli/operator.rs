//! What the operators of Kings and relays run beside their nodes.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    args::{DumpArgs, NodeArgs},
    commands::{Outcome, confirm, connect, load},
    money::{SendArgs, show},
    render::{line, output, printable, table, when},
};
use crate::{
    client::{
        ClientError, directory,
        operator::{self, Order},
    },
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
    /// Sign a new epoch of the King set, after a reorganisation below what was signed; takes effect once a quorum was ordered the same
    Recover {
        #[command(flatten)]
        node: NodeArgs,
        /// Chain that was reorganised
        #[arg(value_enum, default_value = "classic")]
        origin: ChainName,
        /// Messages that both branches share; found by the King, which refuses another number
        #[arg(long, value_name = "COUNT")]
        fork_count: Option<u32>,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Sign a pause: of the bridge by a quorum of Kings, or of withdrawals by a third; it ends by itself
    Pause {
        #[command(flatten)]
        node: NodeArgs,
        /// Chain whose messages are held
        #[arg(long, value_enum, default_value = "classic")]
        origin: ChainName,
        /// Hold the credits that reports created on Ethereum, instead of messages
        #[arg(long, conflicts_with = "origin")]
        withdrawals: bool,
        /// Unix time at which it ends; all Kings must be ordered the same
        #[arg(long, value_name = "SECONDS")]
        until: u64,
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Say on chain where this King can be reached: nodes whose configuration names nobody join by it
    Announce {
        #[command(flatten)]
        send: SendArgs,
        /// Addresses such as /dns4/king.example/tcp/7700; those of network.external where left out
        #[arg(value_name = "ADDRESS")]
        addresses: Vec<String>,
        /// Take back what was announced
        #[arg(long, conflicts_with = "addresses")]
        withdraw: bool,
    },
    /// List the rotations, recoveries and pauses that this King has signed
    Statements {
        #[command(flatten)]
        node: NodeArgs,
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

pub async fn king(action: &KingAction, json: bool) -> Outcome {
    match action {
        KingAction::Resume { node, yes } => resume(node, *yes, json),
        KingAction::Recover { node, origin, fork_count, yes } => {
            let question = format!(
                "Sign a recovery of {}? What the Kings have signed beyond the messages that both branches share becomes void. [y/N] ",
                ChainKind::from(*origin)
            );
            order(node, Order::Recover { origin: (*origin).into(), fork_count: *fork_count }, &question, *yes, json)
        }
        KingAction::Pause { node, origin, withdrawals, until, yes } => {
            let (order_, what) = if *withdrawals {
                (Order::Withdrawals { until: *until }, "withdrawals of credits".to_string())
            } else {
                (Order::Pause { origin: (*origin).into(), until: *until }, format!("messages of {}", ChainKind::from(*origin)))
            };
            order(node, order_, &format!("Sign a pause of {what} until {}? [y/N] ", when(*until)), *yes, json)
        }
        KingAction::Announce { send, addresses, withdraw } => announce(send, addresses, *withdraw, json).await,
        KingAction::Statements { node } => {
            output(json, &operator::statements(&load(node)?)?, |signed| {
                if signed.is_empty() {
                    return "This King has signed no rotation, recovery or pause.".into();
                }
                signed.iter().map(|signed| format!("{:?}", signed.statement)).collect::<Vec<_>>().join("\n")
            });
            Ok(())
        }
    }
}

async fn announce(send: &SendArgs, addresses: &[String], withdraw: bool, json: bool) -> Outcome {
    let (config, clients) = connect(&send.node).await?;
    let sent = if withdraw {
        directory::withdraw(&clients, send.mode()).await?
    } else {
        directory::announce(&clients, send.mode(), &config, addresses).await?
    };
    let what = if withdraw { "nobody joins by this King any more" } else { "nodes that name nobody join by this King" };
    show(json, &sent, json!({ "operator": clients.signer.address() }), what);
    Ok(())
}

fn order(node: &NodeArgs, order: Order, question: &str, yes: bool, json: bool) -> Outcome {
    let config = load(node)?;
    if !yes && !confirm(question)? {
        return Err(ClientError::Cancelled.into());
    }
    operator::order(&config, order)?;
    output(json, &json!({ "ordered": order }), |_| {
        "The King signs it when it next looks, or at its next start. It takes effect once enough Kings were ordered the same.".into()
    });
    Ok(())
}

fn resume(node: &NodeArgs, yes: bool, json: bool) -> Outcome {
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
