//! GPUTOKEN in one's own hands: balances, transfers, stakes, vesting.

use alloy::primitives::{Address, utils::format_ether};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{
    args::NodeArgs,
    commands::{Outcome, connect},
    delegation::{self, CommissionArgs, DelegateArgs, RewardsCommand, UndelegateArgs},
    render::{output, table},
};
use crate::{
    client::{
        Clients, Mode, Submitted,
        outlay::{self, Outlay},
        stake::{self, Staked},
        token, vesting,
    },
    types::{Amount, Role},
};

#[derive(Debug, Subcommand)]
pub enum MoneyCommand {
    /// Stake GPUTOKEN for a role
    Stake(StakeArgs),
    /// Add to your stake; role and keys stay as they are
    AddStake(AmountArgs),
    /// Begin to take stake back: it stays slashable until it has unbonded
    Unstake(AmountArgs),
    /// Withdraw stake that has unbonded
    Withdraw(SendArgs),
    /// List devices of an account, or take one out of service
    Devices(DevicesArgs),
    /// Back a provider's or King's stake with your own
    Delegate(DelegateArgs),
    /// Begin to take delegated stake back, or withdraw what has unbonded
    Undelegate(UndelegateArgs),
    /// Let others back your stake for a commission, or change the commission
    Commission(CommissionArgs),
    /// What stake, delegation and rentals have earned
    #[command(subcommand)]
    Rewards(RewardsCommand),
    /// Hold, send and vote with GPUTOKEN
    #[command(subcommand)]
    Token(TokenCommand),
    /// Genesis allocations and what has vested of them
    #[command(subcommand)]
    Vesting(VestingCommand),
}

/// Options of every command that sends a transaction.
#[derive(Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Simulate it and show what it would cost; send nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl SendArgs {
    pub fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Send }
    }
}

#[derive(Debug, Args)]
pub struct ClaimArgs {
    #[command(flatten)]
    pub send: SendArgs,
    /// Receiver; your own account where left out
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<Address>,
}

#[derive(Debug, Args)]
pub struct StakeArgs {
    #[command(flatten)]
    pub send: SendArgs,
    /// Role to stake for
    #[arg(value_enum)]
    pub role: RoleName,
    /// Amount in GPUTOKEN
    #[arg(value_name = "TOKENS")]
    pub amount: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    Provider,
    Queen,
    King,
}

#[derive(Debug, Args)]
pub struct AmountArgs {
    #[command(flatten)]
    pub send: SendArgs,
    /// Amount in GPUTOKEN
    #[arg(value_name = "TOKENS")]
    pub amount: Amount,
}

#[derive(Debug, Args)]
pub struct DevicesArgs {
    #[command(flatten)]
    pub send: SendArgs,
    /// Devices of this account; your own where left out
    #[arg(long, value_name = "ADDRESS", conflicts_with = "remove")]
    pub account: Option<Address>,
    /// Take this device out of service
    #[arg(long, value_name = "DEVICE")]
    pub remove: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Show what an account holds: tokens, votes, stake, coins for gas
    Balance {
        #[command(flatten)]
        node: NodeArgs,
        /// Your own where left out
        #[arg(value_name = "ADDRESS")]
        account: Option<Address>,
    },
    /// Send GPUTOKEN
    Transfer {
        #[command(flatten)]
        send: SendArgs,
        #[arg(value_name = "TO")]
        to: Address,
        #[arg(value_name = "TOKENS")]
        amount: Amount,
    },
    /// Let another account or contract take up to an amount; 0 takes the permission back
    Approve {
        #[command(flatten)]
        send: SendArgs,
        #[arg(value_name = "SPENDER")]
        spender: Address,
        #[arg(value_name = "TOKENS")]
        amount: Amount,
    },
    /// Give the votes of your tokens to an account; your own address makes them count for you
    Delegate {
        #[command(flatten)]
        send: SendArgs,
        #[arg(value_name = "ADDRESS")]
        to: Address,
    },
    /// Get GPUTOKEN for nothing, on a test network
    Faucet(SendArgs),
}

#[derive(Debug, Subcommand)]
pub enum VestingCommand {
    /// List allocations
    List {
        #[command(flatten)]
        node: NodeArgs,
        /// Those of this account; your own where left out
        #[arg(long, value_name = "ADDRESS", conflicts_with = "all")]
        account: Option<Address>,
        /// Those of everybody
        #[arg(long)]
        all: bool,
    },
    /// Pay the beneficiary what has vested
    Release {
        #[command(flatten)]
        send: SendArgs,
        #[arg(value_name = "ID")]
        id: u64,
    },
}

pub(super) async fn run(command: MoneyCommand, json: bool) -> Outcome {
    match command {
        MoneyCommand::Stake(args) => stake_tokens(&args, json).await,
        MoneyCommand::AddStake(args) => add_stake(&args, json).await,
        MoneyCommand::Unstake(args) => unstake(&args, json).await,
        MoneyCommand::Withdraw(args) => withdraw(&args, json).await,
        MoneyCommand::Devices(args) => devices(&args, json).await,
        MoneyCommand::Delegate(args) => delegation::delegate(&args, json).await,
        MoneyCommand::Undelegate(args) => delegation::undelegate(&args, json).await,
        MoneyCommand::Commission(args) => delegation::commission(&args, json).await,
        MoneyCommand::Rewards(command) => delegation::rewards(command, json).await,
        MoneyCommand::Token(command) => run_token(command, json).await,
        MoneyCommand::Vesting(command) => run_vesting(command, json).await,
    }
}

async fn run_token(command: TokenCommand, json: bool) -> Outcome {
    match command {
        TokenCommand::Balance { node, account } => show_balance(&node, account, json).await,
        TokenCommand::Transfer { send, to, amount } => {
            let (_, clients) = connect(&send.node).await?;
            let sent = token::transfer(&clients, to, amount, send.mode()).await?;
            show(json, &sent, json!({ "to": to, "amount_wei": amount }), &format!("{amount} GPUTOKEN to {to}"));
            Ok(())
        }
        TokenCommand::Approve { send, spender, amount } => {
            let (_, clients) = connect(&send.node).await?;
            let sent = token::approve(&clients, spender, amount, send.mode()).await?;
            show(json, &sent, json!({ "spender": spender, "amount_wei": amount }), &format!("{spender} may take up to {amount} GPUTOKEN"));
            Ok(())
        }
        TokenCommand::Delegate { send, to } => {
            let (_, clients) = connect(&send.node).await?;
            let sent = token::delegate(&clients, to, send.mode()).await?;
            show(json, &sent, json!({ "delegate": to }), &format!("the votes of {} go to {to}", clients.signer.address()));
            Ok(())
        }
        TokenCommand::Faucet(send) => {
            let (_, clients) = connect(&send.node).await?;
            let (offer, sent) = token::request_from_faucet(&clients, send.mode()).await?;
            let what = format!("{} GPUTOKEN from the faucet to {}", offer.amount_wei, clients.signer.address());
            show(json, &sent, json!({ "amount_wei": offer.amount_wei, "faucet": offer.faucet }), &what);
            Ok(())
        }
    }
}

async fn run_vesting(command: VestingCommand, json: bool) -> Outcome {
    match command {
        VestingCommand::List { node, account, all } => {
            let (_, clients) = connect(&node).await?;
            let beneficiary = (!all).then(|| account.unwrap_or(clients.signer.address()));
            let found = vesting::list(&clients, beneficiary).await?;
            output(json, &found, |found| render_vesting(found));
            Ok(())
        }
        VestingCommand::Release { send, id } => {
            let (_, clients) = connect(&send.node).await?;
            let (amount, sent) = vesting::release(&clients, id, send.mode()).await?;
            show(json, &sent, json!({ "id": id, "amount_wei": amount }), &format!("{amount} GPUTOKEN of allocation {id} released"));
            Ok(())
        }
    }
}

/// The transaction with what it was for.
pub(super) fn show(json: bool, sent: &Submitted, facts: serde_json::Value, what: &str) {
    let shown = json!({ "transaction": sent, "result": facts });
    output(json, &shown, |_| told(sent, what));
}

fn told(sent: &Submitted, what: &str) -> String {
    match sent.transaction {
        Some(hash) => format!("{what}: {hash}, gas {} ({} ETH)", sent.gas, format_ether(sent.fee_wei)),
        None => format!("dry run, nothing was sent: {what}; it would succeed now for at most {} ETH", format_ether(sent.fee_wei)),
    }
}

async fn show_balance(node: &NodeArgs, account: Option<Address>, json: bool) -> Outcome {
    let (_, clients) = connect(node).await?;
    let account = account.unwrap_or(clients.signer.address());
    let (held, staked) = tokio::try_join!(token::balance(&clients, account), stake::staker(&clients, account))?;
    let shown = json!({ "token": held, "stake": staked });
    output(json, &shown, |_| {
        let delegate = if held.delegate.is_zero() { "nobody: these tokens don't vote".into() } else { held.delegate.to_string() };
        let rows = [
            ("account", held.account.to_string()),
            ("balance", format!("{} GPUTOKEN", held.balance_wei)),
            ("staked", format!("{} GPUTOKEN as {}", staked.staked_wei, staked.role)),
            ("unbonding", format!("{} GPUTOKEN", staked.unbonding_wei)),
            ("votes", format!("{} GPUTOKEN", held.votes_wei)),
            ("votes through", delegate),
            ("Ethereum", format!("{} ETH", format_ether(held.ethereum_wei.wei()))),
            ("Ethereum Classic", format!("{} ETC", format_ether(held.classic_wei.wei()))),
        ];
        rows.map(|(name, value)| format!("{name:<17}{value}")).join("\n")
    });
    Ok(())
}

async fn stake_tokens(args: &StakeArgs, json: bool) -> Outcome {
    let (config, clients) = connect(&args.send.node).await?;
    let peer = Clients::peer_id(&config.data_dir)?;
    let role = match args.role {
        RoleName::Provider => Role::Provider,
        RoleName::Queen => Role::Queen,
        RoleName::King => Role::King,
    };
    let sent = stake::stake(&clients, role, args.amount, clients.signer.address(), &peer, args.send.mode()).await?;
    let needs = if role == Role::Provider { Some(outlay::outlay(&clients, clients.signer.address()).await?) } else { None };
    let facts = json!({ "account": clients.signer.address(), "amount_wei": args.amount, "classic_gas": needs });
    output(json, &json!({ "transaction": sent, "result": facts }), |_| {
        let staked = told(&sent, &format!("{} GPUTOKEN staked", args.amount));
        needs.as_ref().map_or(staked.clone(), |needs| format!("{staked}\n{}", gas_needs(needs)))
    });
    Ok(())
}

/// What a device needs beside its stake.
pub(super) fn gas_needs(needs: &Outlay) -> String {
    let lasts = needs.days().map_or_else(String::new, |days| format!(", enough for {days} days"));
    format!(
        "On Ethereum Classic a device needs about {} ETC a day for gas ({} challenges of {} gas on average); {} holds {} ETC{lasts}.",
        format_ether(needs.per_day_wei.wei()),
        needs.challenges_per_day,
        needs.gas_per_challenge,
        needs.account,
        format_ether(needs.balance_wei.wei()),
    )
}

async fn add_stake(args: &AmountArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.send.node).await?;
    let facts = json!({ "amount_wei": args.amount });
    match stake::add(&clients, args.amount, args.send.mode()).await? {
        Staked::Done(sent) => show(json, &sent, facts, &format!("{} GPUTOKEN added to the stake", args.amount)),
        Staked::NeedsApproval(sent) => show(json, &sent, facts, "the allowance that comes before the stake"),
    }
    Ok(())
}

async fn unstake(args: &AmountArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.send.node).await?;
    let sent = stake::unstake(&clients, args.amount, args.send.mode()).await?;
    let view = stake::staker(&clients, clients.signer.address()).await?;
    let what = format!("{} GPUTOKEN unbonding, to be withdrawn from {} (Unix seconds) on", args.amount, view.unbonds_at);
    let what = if sent.dry_run { format!("{} GPUTOKEN would begin to unbond", args.amount) } else { what };
    show(json, &sent, json!({ "stake": view }), &what);
    Ok(())
}

async fn withdraw(args: &SendArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.node).await?;
    let (amount, sent) = stake::withdraw(&clients, args.mode()).await?;
    show(json, &sent, json!({ "amount_wei": amount }), &format!("{amount} GPUTOKEN withdrawn to {}", clients.signer.address()));
    Ok(())
}

async fn devices(args: &DevicesArgs, json: bool) -> Outcome {
    let (_, clients) = connect(&args.send.node).await?;
    if let Some(device) = args.remove {
        let sent = stake::remove_device(&clients, device, args.send.mode()).await?;
        show(json, &sent, json!({ "device": device }), &format!("device {device} out of service"));
        return Ok(());
    }
    let found = stake::device_views(&clients, args.account.unwrap_or(clients.signer.address())).await?;
    output(json, &found, |found| {
        if found.is_empty() {
            return "No devices. `gpumkt offer` registers one.".into();
        }
        let rows = found.iter().map(|device| {
            vec![
                device.device.to_string(),
                device.class_version.to_string(),
                if device.removed_at == 0 { "in service" } else { "removed" }.into(),
                device.last_full_pass.to_string(),
                format!("{:.1} %", f64::from(device.reputation_ppm) / 10_000.0),
                device.faults.to_string(),
                device.locked_wei.to_string(),
                device.worker.to_string(),
            ]
        });
        table(&["device", "class", "state", "last full pass", "reputation", "faults", "locked", "worker"], rows.collect())
    });
    Ok(())
}

fn render_vesting(found: &[vesting::VestingView]) -> String {
    if found.is_empty() {
        return "No allocations.".into();
    }
    let rows = found.iter().map(|vesting| {
        let state = match () {
            () if vesting.revoked_at != 0 => "revoked",
            () if vesting.released_wei == vesting.amount_wei => "paid",
            () if vesting.vested_wei == vesting.amount_wei => "vested",
            () => "vesting",
        };
        vec![
            vesting.id.to_string(),
            vesting.amount_wei.to_string(),
            vesting.vested_wei.to_string(),
            vesting.released_wei.to_string(),
            vesting.releasable_wei.to_string(),
            state.into(),
            vesting.beneficiary.to_string(),
        ]
    });
    table(&["id", "amount", "vested", "released", "releasable", "state", "beneficiary"], rows.collect())
}
