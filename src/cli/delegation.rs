//! `delegate`, `undelegate`, `commission`, `rewards`: stake behind others, and what stakes and rentals earn.

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
    client::{
        delegation,
        emission::{self, EmissionView},
        stake::Staked,
    },
    types::{Amount, RentalId},
};

/// Basis points of a percent.
const BPS_PER_PERCENT: f64 = 100.0;

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

#[derive(Debug, Args)]
pub struct CommissionArgs {
    #[command(flatten)]
    pub send: SendArgs,
    /// Percent of delegators' rewards that you keep, at most 50
    #[arg(value_name = "PERCENT", value_parser = percent)]
    pub commission: u16,
}

/// Basis points of what a person types as percent.
fn percent(text: &str) -> Result<u16, String> {
    let value: f64 = text.trim().trim_end_matches('%').trim().parse().map_err(|_| "not a number of percent".to_string())?;
    let bps = value * BPS_PER_PERCENT;
    if !(0.0..=5_000.0).contains(&bps) || bps.fract() != 0.0 {
        return Err("a commission is 0 to 50 percent, in steps of 0.01".into());
    }
    Ok(bps as u16)
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
    /// Show how much is minted, for whom, and what loyalty earns
    Emission(NodeArgs),
    /// Mint what stakes of all roles have earned until now; anybody may
    Distribute(SendArgs),
    /// Credit the rewards of a closed rental to its provider and its renter; anybody may
    Settle {
        #[command(flatten)]
        send: SendArgs,
        #[arg(value_name = "RENTAL")]
        rental: RentalId,
    },
    /// Claim rewards of stake and rentals, and shares of slashes
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
        Staked::Done(sent) => show(json, &sent, facts, &format!("{} GPUTOKEN delegated to {}", args.amount, args.account)),
        Staked::NeedsApproval(sent) => show(json, &sent, facts, "the allowance that comes before the delegation"),
    }
    Ok(())
}

pub(super) async fn commission(args: &CommissionArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.send.node).await?;
    let (since, sent) = delegation::announce_commission(&clients, args.commission, args.send.mode()).await?;
    let percent = f64::from(args.commission) / BPS_PER_PERCENT;
    let what = match since {
        0 => format!("delegations are open at a commission of {percent} %"),
        since => format!("a commission of {percent} % counts from {since} (Unix seconds) on"),
    };
    show(json, &sent, json!({ "commission_bps": args.commission, "counts_from": since }), &what);
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
                let to = if held.account.is_zero() { String::new() } else { format!(" to {}", held.account) };
                format!(
                    "earned {} GPUTOKEN, credited from slashes {}, from rentals {}; delegated {}{to}, unbonding {}",
                    found.earned_wei, found.credit_wei, found.rentals_wei, held.delegated_wei, held.unbonding_wei
                )
            });
        }
        RewardsCommand::Emission(node) => {
            let (_, clients) = connect(&node).await?;
            output(json, &emission::emission(&clients).await?, render_emission);
        }
        RewardsCommand::Distribute(send) => {
            let (_, clients) = connect(&send.node).await?;
            let sent = emission::distribute(&clients, send.mode()).await?;
            show(json, &sent, json!({}), "rewards of stakes until now");
        }
        RewardsCommand::Settle { send, rental } => {
            let (_, clients) = connect(&send.node).await?;
            let (credited, sent) = emission::settle(&clients, rental, send.mode()).await?;
            let (reward, loyalty) = credited.unwrap_or_default();
            let facts = json!({ "rental": rental, "reward_wei": reward, "loyalty_wei": loyalty });
            show(json, &sent, facts, &format!("rental {rental}: {reward} GPUTOKEN to its provider, {loyalty} to its renter"));
        }
        RewardsCommand::Claim { send, to } => claim(&send, to, json).await?,
    }
    Ok(())
}

async fn claim(send: &SendArgs, to: Option<Address>, json: bool) -> Outcome {
    let (_, clients) = connect(&send.node).await?;
    let to = to.unwrap_or(clients.signer.address());
    let (found, sent) = delegation::claim(&clients, to, send.mode()).await?;
    let shown = json!({ "to": to, "claimed": found, "transactions": sent });
    let sums = format!("{} GPUTOKEN of stake, {} of slashes and {} of rentals", found.earned_wei, found.credit_wei, found.rentals_wei);
    output(json, &shown, |_| match sent.last() {
        None => "Nothing to claim.".into(),
        Some(last) if last.dry_run => format!("dry run, nothing was sent: {sums} would go to {to}"),
        Some(_) => format!("claimed {sums} to {to}"),
    });
    Ok(())
}

fn render_emission(view: &EmissionView) -> String {
    let when = match (view.start, view.epoch) {
        (0, _) => "The emission has no start yet.".to_string(),
        (start, None) => format!("The emission starts at {start} (Unix seconds)."),
        (_, Some(epoch)) => format!("Epoch {epoch}: {} GPUTOKEN, of which at most {} for rentals.", view.budget_wei, view.rentals_wei),
    };
    let percent = |bps: u16| format!("{} %", f64::from(bps) / BPS_PER_PERCENT);
    let tiers = view.loyalty.iter().map(|tier| format!("{} of fees above {} GPUTOKEN", percent(tier.reward_bps), tier.fees_wei));
    format!(
        "{when}\nstakes: providers {}, Queens {}, Kings {}; a rental's provider gets at most {} of its fee\nloyalty: {}; your fees in this epoch: {}\nemitted {} GPUTOKEN, fees {}, of which burned {}",
        percent(view.provider_staking_bps),
        percent(view.queen_staking_bps),
        percent(view.king_staking_bps),
        percent(view.provider_fee_bps),
        tiers.collect::<Vec<_>>().join(", "),
        view.own_fees_wei,
        view.emitted_wei,
        view.fees_wei,
        view.burned_wei
    )
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_commission_is_percent_in_hundredths_up_to_fifty() {
        assert_eq!((percent("7.5"), percent("0"), percent("50 %")), (Ok(750), Ok(0), Ok(5_000)));
        for wrong in ["50.01", "-1", "0.001", "NaN", "five", ""] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
