//! `gpumkt court`: cases about rentals.

use clap::{Args, Subcommand};

use super::{
    args::{AccountArgs, NodeArgs, RentalArgs},
    commands::{Outcome, connect, load, reader},
    render::{output, table, when},
};
use crate::{
    client::{
        Clients,
        court::{self, CaseView},
    },
    types::RentalId,
};

/// Cases that a list shows.
const MAX_LISTED: usize = 50;

#[derive(Debug, Subcommand)]
pub enum CourtCommand {
    /// List the newest cases
    List(ListArgs),
    /// Show one case
    Show(CaseArgs),
    /// Draw the committee of a case, once its block is there; anybody may
    Draw(CaseArgs),
    /// Vote on a complaint, as a Queen of its committee
    Vote(VoteArgs),
    /// End a case whose time for a verdict is over; anybody may
    Expire(CaseArgs),
    /// As the provider of a rental whose renter never came: ask Queens to try its door
    Witness(RentalArgs),
    /// Claim bonds and judges' fees that cases have credited to you
    Claim(AccountArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Only cases about this rental
    #[arg(long, value_name = "RENTAL")]
    pub rental: Option<RentalId>,
}

#[derive(Debug, Args)]
pub struct CaseArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(value_name = "CASE")]
    pub case: u64,
}

#[derive(Debug, Args)]
pub struct VoteArgs {
    #[command(flatten)]
    pub case: CaseArgs,
    /// The complaint is justified
    #[arg(long, required_unless_present = "reject", conflicts_with = "reject")]
    pub uphold: bool,
    /// It is not
    #[arg(long)]
    pub reject: bool,
}

pub(super) async fn run(command: CourtCommand, json: bool) -> Outcome {
    match command {
        CourtCommand::List(args) => {
            let clients = reader(&load(&args.node)?).await?;
            output(json, &court::cases(&clients, args.rental, MAX_LISTED).await?, |cases| list_text(cases));
            Ok(())
        }
        CourtCommand::Show(args) => {
            let clients = reader(&load(&args.node)?).await?;
            output(json, &court::case(&clients, args.case).await?, case_text);
            Ok(())
        }
        CourtCommand::Draw(args) => {
            let (_, clients) = connect(&args.node).await?;
            let receipt = court::draw(&clients, args.case).await?;
            show_after(&clients, args.case, receipt.tx_hash, json).await
        }
        CourtCommand::Vote(args) => {
            let (_, clients) = connect(&args.case.node).await?;
            let receipt = court::vote(&clients, args.case.case, args.uphold).await?;
            show_after(&clients, args.case.case, receipt.tx_hash, json).await
        }
        CourtCommand::Expire(args) => {
            let (_, clients) = connect(&args.node).await?;
            let receipt = court::expire(&clients, args.case).await?;
            show_after(&clients, args.case, receipt.tx_hash, json).await
        }
        CourtCommand::Witness(args) => {
            let (_, clients) = connect(&args.node).await?;
            let (case, receipt) = court::request_witness(&clients, args.rental).await?;
            show_after(&clients, case, receipt.tx_hash, json).await
        }
        CourtCommand::Claim(args) => {
            let (_, clients) = connect(&args.node).await?;
            let to = args.to.unwrap_or(clients.signer.address());
            let receipt = court::claim(&clients, to).await?;
            let shown = serde_json::json!({ "to": to, "transaction": receipt.tx_hash });
            output(json, &shown, |_| format!("claimed to {to} in {}", receipt.tx_hash));
            Ok(())
        }
    }
}

async fn show_after(clients: &Clients, case: u64, transaction: impl ToString, json: bool) -> Outcome {
    let view = court::case(clients, case).await?;
    output(json, &super::rental::Done { result: &view, transaction: transaction.to_string() }, |done| {
        format!("{}\ntransaction {}", case_text(done.result), done.transaction)
    });
    Ok(())
}

fn list_text(cases: &[CaseView]) -> String {
    if cases.is_empty() {
        return "No cases.".into();
    }
    let row = |case: &CaseView| {
        let votes = format!("{} to {} of {}", case.upheld_votes, case.rejected_votes, case.committee.len());
        vec![case.case.to_string(), case.rental.to_string(), case.kind.into(), case.status.into(), votes, when(case.verdict_until)]
    };
    table(&["case", "rental", "kind", "status", "votes", "verdict until"], cases.iter().map(row).collect())
}

fn case_text(case: &CaseView) -> String {
    let mut rows = vec![
        ("case", case.case.to_string()),
        ("rental", case.rental.to_string()),
        ("kind", case.kind.to_string()),
        ("status", case.status.to_string()),
        ("opened", format!("{} by {}", when(case.opened_at), case.opener)),
        ("verdict until", when(case.verdict_until)),
        ("bond, judges' fee", format!("{}, {} GPUTOKEN", case.bond_wei, case.judge_fee_wei)),
        ("evidence", case.evidence.to_string()),
        ("votes", format!("{} to uphold, {} to reject", case.upheld_votes, case.rejected_votes)),
    ];
    if case.committee.is_empty() {
        rows.push(("committee", format!("not drawn yet; block {} draws it", case.draw_block)));
    }
    rows.extend(case.committee.iter().map(|queen| ("committee", queen.to_string())));
    table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_string(), value]).collect())
}
