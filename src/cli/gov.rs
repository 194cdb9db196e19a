//! `gov`: propose from a file, list, show, vote, queue, execute, cancel.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    args::NodeArgs,
    commands::{Outcome, connect},
    money::{SendArgs, show},
    render::{output, printable, table},
};
use crate::client::gov::{self, DecodedAction, Proposal, ProposalView, Vote};

#[derive(Debug, Subcommand)]
pub enum GovCommand {
    /// Propose what a file says: TOML or JSON with named parameters
    Propose {
        #[command(flatten)]
        send: SendArgs,
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Do not try each action on the newest block first
        #[arg(long)]
        unchecked: bool,
    },
    /// List proposals, newest first
    List(NodeArgs),
    /// Show a proposal with its actions in words
    Show {
        #[command(flatten)]
        node: NodeArgs,
        /// Id, or the first digits of it
        #[arg(value_name = "PROPOSAL")]
        proposal: String,
    },
    /// Vote on a proposal
    Vote {
        #[command(flatten)]
        send: SendArgs,
        #[arg(value_name = "PROPOSAL")]
        proposal: String,
        #[arg(value_enum)]
        vote: VoteName,
        /// Published with the vote
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Hand a proposal that has succeeded to the timelock
    Queue(ProposalArgs),
    /// Execute a queued proposal whose delay is over
    Execute(ProposalArgs),
    /// Withdraw a proposal of your own before voting begins
    Cancel(ProposalArgs),
}

#[derive(Debug, clap::Args)]
pub struct ProposalArgs {
    #[command(flatten)]
    pub send: SendArgs,
    #[arg(value_name = "PROPOSAL")]
    pub proposal: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VoteName {
    For,
    Against,
    Abstain,
}

pub(super) async fn run(command: GovCommand, json: bool) -> Outcome {
    match command {
        GovCommand::Propose { send, file, unchecked } => {
            let proposal = Proposal::load(&file)?;
            let (_, clients) = connect(&send.node).await?;
            let (id, sent) = gov::propose(&clients, &proposal, unchecked, send.mode()).await?;
            show(json, &sent, json!({ "proposal": id }), &format!("proposal {id} ({})", proposal.title));
        }
        GovCommand::List(node) => {
            let (_, clients) = connect(&node).await?;
            let found = gov::list(&clients).await?;
            output(json, &found, |found| render_list(found));
        }
        GovCommand::Show { node, proposal } => {
            let (_, clients) = connect(&node).await?;
            let found = gov::find(&clients, &proposal).await?;
            output(json, &found, render);
        }
        GovCommand::Vote { send, proposal, vote, reason } => {
            let (_, clients) = connect(&send.node).await?;
            let found = gov::find(&clients, &proposal).await?;
            let support = match vote {
                VoteName::For => Vote::For,
                VoteName::Against => Vote::Against,
                VoteName::Abstain => Vote::Abstain,
            };
            let sent = gov::vote(&clients, &found, support, &reason, send.mode()).await?;
            let word = format!("{vote:?}").to_lowercase();
            show(json, &sent, json!({ "proposal": found.id, "vote": word }), &format!("voted {word} on {:?}", printable(&found.title)));
        }
        GovCommand::Queue(args) => {
            let (_, clients) = connect(&args.send.node).await?;
            let found = gov::find(&clients, &args.proposal).await?;
            let sent = gov::queue(&clients, &found, args.send.mode()).await?;
            show_step(json, &sent, &found, "queued");
        }
        GovCommand::Execute(args) => {
            let (_, clients) = connect(&args.send.node).await?;
            let found = gov::find(&clients, &args.proposal).await?;
            let sent = gov::execute(&clients, &found, args.send.mode()).await?;
            show_step(json, &sent, &found, "executed");
        }
        GovCommand::Cancel(args) => {
            let (_, clients) = connect(&args.send.node).await?;
            let found = gov::find(&clients, &args.proposal).await?;
            let sent = gov::cancel(&clients, &found, args.send.mode()).await?;
            show_step(json, &sent, &found, "cancelled");
        }
    }
    Ok(())
}

fn show_step(json: bool, sent: &crate::client::Submitted, proposal: &ProposalView, done: &str) {
    show(json, sent, json!({ "proposal": proposal.id }), &format!("{:?} {done}", printable(&proposal.title)));
}

fn render_list(found: &[ProposalView]) -> String {
    if found.is_empty() {
        return "No proposals.".into();
    }
    let rows = found.iter().map(|proposal| {
        vec![
            proposal.id.chars().take(10).collect(),
            format!("{:?}", proposal.state).to_lowercase(),
            proposal.for_wei.to_string(),
            proposal.against_wei.to_string(),
            proposal.quorum_wei.to_string(),
            proposal.vote_end.to_string(),
            printable(&proposal.title),
        ]
    });
    table(&["id begins", "state", "for", "against", "quorum", "voting ends", "title"], rows.collect())
}

fn render(proposal: &ProposalView) -> String {
    let mut lines = vec![
        format!("proposal  {}", proposal.id),
        format!("title     {}", printable(&proposal.title)),
        format!("proposer  {}", proposal.proposer),
        format!("state     {}; next: {}", format!("{:?}", proposal.state).to_lowercase(), proposal.state.next()),
        format!(
            "votes     {} for, {} against, {} abstain; quorum {}",
            proposal.for_wei, proposal.against_wei, proposal.abstain_wei, proposal.quorum_wei
        ),
        format!("voting    from {} to {} (Unix seconds)", proposal.vote_start, proposal.vote_end),
    ];
    if proposal.executable_at != 0 {
        lines.push(format!("execution from {} on", proposal.executable_at));
    }
    for (position, action) in proposal.actions.iter().enumerate() {
        lines.push(format!("action {}  {}", position + 1, head_of(action)));
        render_arguments(&action.arguments, 2, &mut lines);
    }
    lines.extend(proposal.description.lines().skip(1).map(printable));
    lines.join("\n")
}

fn head_of(action: &DecodedAction) -> String {
    let contract = action.contract.map_or_else(|| action.target.to_string(), str::to_string);
    match &action.function {
        Some(function) => format!("{contract}.{function}"),
        None => format!("{contract}, a call that this build does not know: {}", action.data),
    }
}

fn render_arguments(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(_) => {
                lines.push(format!("{indent}{name}"));
                render_arguments(value, depth + 1, lines);
            }
            Value::String(text) => lines.push(format!("{indent}{name} = {}", printable(text))),
            other => lines.push(format!("{indent}{name} = {}", printable(&other.to_string()))),
        }
    }
}
