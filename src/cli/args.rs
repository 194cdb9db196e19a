//! The command line's grammar and its help texts.

use std::{net::SocketAddr, path::PathBuf};

use alloy::primitives::Address;
#[cfg(feature = "node")]
use alloy::primitives::B256;
use clap::{Args, Parser, Subcommand};

#[cfg(feature = "node")]
use super::deploy::DeployArgs;
#[cfg(feature = "node")]
use super::operator::{KingArgs, RelayArgs};
use super::{
    court::CourtCommand,
    doctor::DoctorArgs,
    gov::GovCommand,
    money::MoneyCommand,
    network::NetworkArgs,
    provide::ProvideCommand,
    rental::{KeepArgs, RentalCommand},
    shell::ShellCommand,
};
use crate::{
    client::{launch::ImageChoice, templates::Template},
    types::Amount,
};

/// A marketplace for real GPUs: rented on Ethereum, proven by work on Ethereum Classic.
#[derive(Debug, Parser)]
#[command(name = "gpumkt", version, about, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// Print machine-readable JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a King: sign bridge checkpoints of both chains
    #[cfg(feature = "node")]
    King(KingArgs),
    /// Run a Queen: time and check providers, sign their receipts
    #[cfg(feature = "node")]
    Queen(QueenArgs),
    /// Run a provider: prove a GPU and host renters' work on it
    #[cfg(feature = "node")]
    Provider(ProviderArgs),
    /// Run a relay: carry messages over the bridge, both ways
    #[cfg(feature = "node")]
    Relay(RelayArgs),

    /// List the GPUs on offer
    Market(MarketArgs),
    /// Rent a GPU: pay into escrow and wait until it is ready
    Rent(RentArgs),
    /// Launch a rental again, with another image or command, after its first launch failed
    Launch(LaunchRentalArgs),
    /// Show a rental: what the chain says of it, and what its provider does; the latter needs the rental's session key
    Status(RentalArgs),
    /// Run a command, or an OpenCL kernel of your own, on a rented GPU
    Run(RunArgs),
    #[command(flatten)]
    Shell(ShellCommand),
    /// Show rentals, or one of them with every transaction and challenge
    Rentals(RentalsArgs),
    #[command(flatten)]
    Rental(RentalCommand),
    /// End a rental now; the time that is left is refunded
    End(RentalArgs),

    #[command(flatten)]
    Money(MoneyCommand),
    /// Decide together: propose, vote, execute
    #[command(subcommand)]
    Gov(GovCommand),
    /// Register a device and offer it
    Offer(OfferArgs),
    #[command(flatten)]
    Provide(ProvideCommand),
    /// Look at cases about rentals, vote on them, end them
    #[command(subcommand)]
    Court(CourtCommand),
    /// Show what a provider has earned, rental by rental
    Earnings(EarningsArgs),
    /// Repeat every verdict on a provider from the two chains, on the CPU and without a key; exit code 3 where they disagree
    Audit(AuditArgs),
    /// Suggest a price for a class from what others ask and get
    Price(PriceArgs),
    /// Claim what rentals have credited to you
    Claim(super::money::ClaimArgs),

    /// Show the network: peers with their roles and round trips, and the shards
    Network(NetworkArgs),
    /// Look at everything that a role needs, and say what to do about what is missing
    Doctor(DoctorArgs),
    /// Make, import and list keystores
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Deploy all contracts to both chains from a config file, or check a deployment
    #[cfg(feature = "node")]
    Deploy(DeployArgs),
    /// Run the whole network on this machine
    #[cfg(feature = "node")]
    #[command(subcommand)]
    Devnet(DevnetCommand),
    /// Measure a device, or print the roots of both kernels for a seed
    #[cfg(feature = "node")]
    Bench(BenchArgs),
    /// Print the protocol's test vectors
    #[cfg(feature = "node")]
    Vectors,

    /// Print a completion script for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write a manual page per command into a folder
    Manual {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },

    /// Runs a renter's kernel inside the sandbox (started by the provider)
    #[cfg(feature = "node")]
    #[command(hide = true)]
    SandboxExec {
        /// Read by the child itself
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Options of every command that reads a node's configuration.
#[derive(Debug, Clone, Args)]
pub struct NodeArgs {
    /// Configuration file; config/ has a commented example per role
    #[arg(long, short, value_name = "FILE", default_value = "gpumkt.toml", env = "GPUMKT_CONFIG")]
    pub config: PathBuf,
    /// Folder for the database and the node's key
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address for health checks and metrics
    #[arg(long, value_name = "IP:PORT")]
    pub http_listen: Option<SocketAddr>,
    /// Log filter, such as `info,gpumkt=debug`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

impl NodeArgs {
    /// Flags as overrides of configuration keys.
    pub fn overrides(&self) -> Vec<(String, String)> {
        let mut overrides = Vec::new();
        if let Some(folder) = &self.data_dir {
            overrides.push(("data_dir".to_string(), folder.display().to_string()));
        }
        if let Some(listen) = &self.http_listen {
            overrides.push(("http.listen".to_string(), listen.to_string()));
        }
        if let Some(filter) = &self.log {
            overrides.push(("log.filter".to_string(), filter.clone()));
        }
        overrides
    }
}

#[cfg(feature = "node")]
#[derive(Debug, Args)]
pub struct QueenArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(flatten)]
    pub dump: DumpArgs,
}

/// Of every command that runs a node.
#[cfg(feature = "node")]
#[derive(Debug, Clone, Copy, Args)]
pub struct DumpArgs {
    /// Print the configuration that file, environment, flags and defaults give together, and stop; it may hold tokens of endpoints
    #[arg(long)]
    pub dump_config: bool,
}

#[cfg(feature = "node")]
#[derive(Debug, Args)]
pub struct ProviderArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[command(flatten)]
    pub dump: DumpArgs,
    /// OpenCL device, as `gpumkt bench --list` counts them
    #[arg(long, value_name = "INDEX")]
    pub device: Option<usize>,
    /// Check everything that a provider needs, say what it would do, and stop
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct MarketArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Only this class version
    #[arg(long, value_name = "VERSION")]
    pub class: Option<u32>,
    /// Only offers up to this price, GPUTOKEN per hour
    #[arg(long, value_name = "TOKENS")]
    pub max_price: Option<Amount>,
    /// Also offers that cannot be rented right now
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct RentArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Offer to rent, as `gpumkt market` lists them
    #[arg(value_name = "OFFER")]
    pub offer: u64,
    /// How long, such as 45m or 4h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration_seconds)]
    pub duration: u32,
    /// Refuse to pay more than this, GPUTOKEN
    #[arg(long, value_name = "TOKENS")]
    pub max_cost: Option<Amount>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
    /// Simulate the payment and show what it would cost; send nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// So many devices of this offer's provider and class at once, with one container that sees them all
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16), conflicts_with = "failover")]
    pub gpus: u32,
    /// Public key that may log in, instead of one made for this rental
    #[arg(long, value_name = "FILE.pub")]
    pub ssh_key: Option<PathBuf>,
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub launch: LaunchArgs,
}

/// What shall be found running on the rented device.
#[derive(Debug, Clone, Args)]
pub struct LaunchArgs {
    /// Ready-made image and start command; --image and COMMAND still win
    #[arg(long, value_enum)]
    pub template: Option<Template>,
    /// Port of the container that everybody may reach, where the provider allows it
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub publish: Option<u16>,
    /// Image: a registry reference, local:NAME for one that the provider keeps, or `default`
    #[arg(long, value_name = "IMAGE", default_value = "default")]
    pub image: ImageChoice,
    /// Variable of the container's environment; without a value, the one of your own environment
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// File with variables, a NAME=VALUE per line: secrets stay out of the command line and of every log
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// User name of the registry; the password is read from --registry-password-file
    #[arg(long, value_name = "NAME", requires = "registry_password_file")]
    pub registry_user: Option<String>,
    /// File with the password of the registry
    #[arg(long, value_name = "FILE", requires = "registry_user")]
    pub registry_password_file: Option<PathBuf>,
    /// Command to start beside your logins; its output is in `gpumkt logs`
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct LaunchRentalArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(value_name = "RENTAL")]
    pub rental: u64,
    #[command(flatten)]
    pub launch: LaunchArgs,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Rental that holds the GPU
    #[arg(value_name = "RENTAL")]
    pub rental: u64,
    /// OpenCL C source file
    #[arg(value_name = "KERNEL.cl", required_unless_present = "command", conflicts_with = "command")]
    pub source: Option<PathBuf>,
    /// Kernel function in the source
    #[arg(long, value_name = "NAME", default_value = "main_kernel")]
    pub kernel: String,
    /// Work-items per dimension, such as 1024 or 640x480
    #[arg(long, value_name = "N[xN[xN]]", value_parser = parse_size, required_unless_present = "command")]
    pub global: Option<[usize; 3]>,
    /// Kernel arguments in order: in=FILE, out=FILE:BYTES, i32=N, u32=N, i64=N, u64=N, f32=X
    #[arg(value_name = "ARG")]
    pub arguments: Vec<String>,
    /// Public key to log in with instead of the rental's own, for a command
    #[arg(long, value_name = "FILE.pub")]
    pub ssh_key: Option<PathBuf>,
    /// Command to run in the container, word by word, without a terminal; its output and exit code are passed on
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RentalsArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// One rental, with all evidence
    #[arg(value_name = "RENTAL", conflicts_with = "account")]
    pub rental: Option<u64>,
    /// Rentals of this renter or provider; your own where left out
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<Address>,
}

#[derive(Debug, Args)]
pub struct RentalArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    #[arg(value_name = "RENTAL")]
    pub rental: u64,
}

#[derive(Debug, Args)]
pub struct OfferArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Class version of the device; a device is registered where you have none of it
    #[arg(long, value_name = "VERSION")]
    pub class: u32,
    /// Register another device of the class, and offer that
    #[arg(long)]
    pub new_device: bool,
    /// Price in GPUTOKEN per hour; what the market pays for the class where left out
    #[arg(long, value_name = "TOKENS")]
    pub price: Option<Amount>,
    /// Result of `gpumkt bench --json` of this device: refused where it fails the class, and shown with the offer
    #[cfg(feature = "node")]
    #[arg(long, value_name = "FILE")]
    pub bench: Option<PathBuf>,
    /// Shortest rental, such as 1m
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration_seconds)]
    pub min_duration: u32,
    /// Longest rental in total, such as 30d
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = parse_duration_seconds)]
    pub max_duration: u32,
    /// Region, at most 31 characters
    #[arg(long, default_value = "")]
    pub region: String,
}

#[derive(Debug, Args)]
pub struct EarningsArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Earnings of this provider; your own where left out
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<Address>,
    /// Only rentals that ended at or after this time, Unix seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub since: u64,
    /// Print CSV: a line per rental, amounts in wei
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Provider whose devices to look at
    #[arg(value_name = "PROVIDER")]
    pub provider: Address,
    /// First challenge block of Ethereum Classic whose commits and proofs are computed again
    #[arg(long, value_name = "BLOCK", default_value_t = 0)]
    pub from: u64,
    /// Last one
    #[arg(long, value_name = "BLOCK", default_value_t = u64::MAX, hide_default_value = true)]
    pub to: u64,
}

#[derive(Debug, Args)]
pub struct PriceArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Class version
    #[arg(long, value_name = "VERSION")]
    pub class: u32,
}

#[derive(Debug, Args)]
pub struct AccountArgs {
    #[command(flatten)]
    pub node: NodeArgs,
    /// Receiver; your own account where left out
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<Address>,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new random key
    New {
        /// File to write; an existing one is never touched
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// File with the password; GPUMKT_PASSWORD or a prompt where left out
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Encrypt an existing private key, read as hex from standard input
    Import {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List the keystores of a folder
    List {
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
}

#[cfg(feature = "node")]
#[derive(Debug, Subcommand)]
pub enum DevnetCommand {
    /// Run one rental from end to end and report every step
    Demo(DevnetArgs),
    /// Start the network and leave it running
    Up(DevnetArgs),
}

#[cfg(feature = "node")]
#[derive(Debug, Args)]
pub struct DevnetArgs {
    /// Folder for keys, logs, databases and the report
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    pub dir: PathBuf,
    /// Leave the network running afterwards
    #[arg(long)]
    pub keep: bool,
    /// Run the chains on the real clients in this folder (core-geth, geth) instead of anvil; scripts/clients.sh builds them
    #[arg(long, value_name = "DIR")]
    pub clients: Option<PathBuf>,
}

#[cfg(feature = "node")]
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// OpenCL device
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub device: usize,
    /// List the devices and stop
    #[arg(long)]
    pub list: bool,
    /// Device class
    #[arg(long, value_name = "CLASS", default_value = "cpu-test")]
    pub class: String,
    /// Challenge mode: of an idle device, or of a rented one
    #[arg(long, value_enum, default_value_t = ModeName::Full)]
    pub mode: ModeName,
    /// Seed in hex: print the roots of both kernels for it
    #[arg(long, value_name = "HEX")]
    pub seed: Option<B256>,
    /// Runs per kernel
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Also say what the device earns at this price, GPUTOKEN per hour
    #[arg(long, value_name = "TOKENS")]
    pub price: Option<Amount>,
    /// The same at the market's present price, through the chains of this configuration file
    #[arg(long, short, value_name = "FILE", conflicts_with = "price")]
    pub config: Option<PathBuf>,
    /// Measure both modes of the class and print it as a deployment file takes it
    #[arg(long, conflicts_with_all = ["seed", "price", "config"])]
    pub calibrate: bool,
    /// Stake that the printed class requires, GPUTOKEN
    #[arg(long, value_name = "TOKENS", default_value = "1000", requires = "calibrate")]
    pub stake: Amount,
}

#[cfg(feature = "node")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ModeName {
    Full,
    Light,
}

pub(super) fn parse_duration_seconds(text: &str) -> Result<u32, String> {
    let split = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("use a number with s, m, h or d, such as 45m".into()),
    };
    let number: u32 = number.parse().map_err(|_| "use a number with s, m, h or d, such as 45m".to_string())?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(|| "the duration is zero or too long".into())
}

fn parse_size(text: &str) -> Result<[usize; 3], String> {
    let mut size = [1usize; 3];
    let parts: Vec<&str> = text.split('x').collect();
    if parts.len() > 3 {
        return Err("at most three dimensions, such as 640x480x1".into());
    }
    for (slot, part) in size.iter_mut().zip(parts) {
        *slot = part.parse().ok().filter(|value| *value > 0).ok_or("use positive numbers, such as 640x480")?;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_and_sizes_are_read_or_refused() {
        assert_eq!(parse_duration_seconds("45m"), Ok(2_700));
        assert_eq!(parse_duration_seconds("30"), Ok(30));
        for wrong in ["", "h", "1w", "0h", "99999999d", "-1h", "1.5h"] {
            assert!(parse_duration_seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_size("640x480"), Ok([640, 480, 1]));
        for wrong in ["", "0", "1x0", "1x2x3x4", "ax1"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
