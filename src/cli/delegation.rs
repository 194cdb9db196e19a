//! `delegate`, `undelegate`, `rewards`: stake behind others, and what stakes earn.

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    args::NodeArgs,
    commands::{Outcome, connect},
    money::{SendArgs, show},
    render::output,
};
use crate::{
    client::delegation::{self, Delegated},
    types::Amount,
};

#[derive(Debug, Args)]
pub struct DelegateArgs {
    #[command(flatten)]
    pub send: SendArgs,
    /// Provider or King whose stake it backs
    #[arg(value_name = "ACCOUNT")]
    pub account: Address,
    /// Amount in GPUTOKEN
    #[arg(value_name = "TOKENS")]
    pub amount: Amount,
}

#[derive(Debug, Args)]
pub struct UndelegateArgs {
    #[command(flatten)]
    pub send: SendArgs,
    /// Amount in GPUTOKEN; all of it where left out
    #[arg(value_name = "TOKENS", conflicts_with = "withdraw")]
    pub amount: Option<Amount>,
    /// Take out what has unbonded instead
    #[arg(long)]
    pub withdraw: bool,
}

#[derive(Debug, Subcommand)]
pub enum RewardsCommand {
    /// Show what an account has earned and delegated
    Show {
        #[command(flatten)]
        node: NodeArgs,
        /// Your own where left out
        #[arg(value_name = "ADDRESS")]
        account: Option<Address>,
    },
    /// Claim rewards of stake and shares of slashes
    Claim {
        #[command(flatten)]
        send: SendArgs,
        /// Receiver; your own account where left out
        #[arg(long, value_name = "ADDRESS")]
        to: Option<Address>,
    },
}

pub(super) async fn delegate(args: &DelegateArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.send.node).await?;
    let facts = json!({ "account": args.account, "amount_wei": args.amount });
    match delegation::delegate(&clients, args.account, args.amount, args.send.mode()).await? {
        Delegated::Done(sent) => show(json, &sent, facts, &format!("{} GPUTOKEN delegated to {}", args.amount, args.account)),
        Delegated::NeedsApproval(sent) => show(json, &sent, facts, "the allowance that comes before the delegation"),
    }
    Ok(())
}

pub(super) async fn undelegate(args: &UndelegateArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.send.node).await?;
    if args.withdraw {
        let (amount, sent) = delegation::withdraw(&clients, args.send.mode()).await?;
        show(json, &sent, json!({ "amount_wei": amount }), &format!("{amount} GPUTOKEN of the delegation withdrawn"));
        return Ok(());
    }
    let sent = delegation::undelegate(&clients, args.amount, args.send.mode()).await?;
    let view = delegation::delegation(&clients, clients.signer.address()).await?;
    let what = format!("the delegation unbonds; `gpumkt undelegate --withdraw` from {} (Unix seconds) on", view.unbonds_at);
    show(json, &sent, json!({ "delegation": view }), if sent.dry_run { "the delegation would unbond" } else { &what });
    Ok(())
}

pub(super) async fn rewards(command: RewardsCommand, json: bool) -> Outcome {
    match command {
        RewardsCommand::Show { node, account } => {
            let (_, clients) = connect(&node).await?;
            let account = account.unwrap_or(clients.signer.address());
            let (found, held) = tokio::try_join!(delegation::rewards(&clients, account), delegation::delegation(&clients, account))?;
            let shown = json!({ "rewards": found, "delegation": held });
            output(json, &shown, |_| {
                format!(
                    "earned {} GPUTOKEN, credited from slashes {}; delegated {} to {}, unbonding {}",
                    found.earned_wei, found.credit_wei, held.delegated_wei, held.account, held.unbonding_wei
                )
            });
        }
        RewardsCommand::Claim { send, to } => {
            let (_, clients) = connect(&send.node).await?;
            let to = to.unwrap_or(clients.signer.address());
            let (found, sent) = delegation::claim(&clients, to, send.mode()).await?;
            let shown = json!({ "to": to, "claimed": found, "transactions": sent });
            output(json, &shown, |_| match sent.last() {
                None => "Nothing to claim.".into(),
                Some(last) if last.dry_run => {
                    format!("dry run, nothing was sent: {} GPUTOKEN and {} would go to {to}", found.earned_wei, found.credit_wei)
                }
                Some(_) => format!("claimed {} GPUTOKEN of rewards and {} of slashes to {to}", found.earned_wei, found.credit_wei),
            });
        }
    }
    Ok(())
}
