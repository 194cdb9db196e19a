//! Command line: arguments, rendering, exit codes. Nothing here decides; every command calls one function below.

mod args;
mod bench;
mod commands;
mod earnings;
mod launch;
mod render;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};
pub use self::render::OperatorError;

/// Runs the program and returns its exit code: 0 success, 1 failure with a coded error, 2 wrong usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::SandboxExec = cli.command {
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
    match runtime.block_on(commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            render::error(&error, json);
            ExitCode::FAILURE
        }
    }
}
