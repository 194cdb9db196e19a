//! Command line: arguments, rendering, exit codes. Nothing here decides; every command calls one function below.

mod args;
mod audit;
#[cfg(feature = "node")]
mod bench;
mod commands;
mod court;
mod delegation;
#[cfg(feature = "node")]
mod deploy;
mod doctor;
#[cfg(feature = "node")]
mod dry_run;
mod earnings;
mod gov;
mod launch;
mod manual;
mod money;
mod network;
#[cfg(feature = "node")]
mod operator;
mod provide;
mod render;
mod rental;
mod shell;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};
pub use self::render::OperatorError;

/// Runs the program and returns its exit code: 0 success, 1 failure with a coded error, 2 wrong usage, 3 an audit that found
/// disagreement; that of the command which it ran for a renter.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    #[cfg(feature = "node")]
    if let Command::SandboxExec { .. } = cli.command {
        return ExitCode::from(u8::try_from(crate::sandbox::child_main()).unwrap_or(1));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let json = cli.json;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Shell(command) => shell::run(command).await,
            Command::Audit(args) => audit::run(&args, json).await,
            Command::Run(args) if !args.command.is_empty() => shell::run_command(&args),
            _ => commands::run(cli).await.map(|()| ExitCode::SUCCESS),
        }
    });
    // A read from a terminal or a pipe cannot be called off: nobody waits for it.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| {
        render::error(&error, json);
        ExitCode::FAILURE
    })
}
