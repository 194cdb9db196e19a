//! The agent: first process of a renter's container.
//!
//! It dials the node's socket and does there what the node asks for: commands, terminals, files, connections, the start command and
//! its output. It is compiled by `build.rs` as one static program without dependencies, so any image can run it. `types/agent.rs`
//! says what the two exchange.
//!
//! `init` is the first process and its connections; `channel` serves one connection; `children` reaps; `command`, `session`, `pty` are
//! commands; `devices` is a look at the rented device; `pump` joins two sockets; `logs` is the start command; `sftp` is files; `sys` is what std lacks.

#[path = "../types/agent.rs"]
// The node's half of the protocol.
#[allow(dead_code)]
mod agent;
mod channel;
mod children;
mod command;
mod devices;
mod init;
mod logs;
mod pty;
mod pump;
mod session;
mod sftp;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(word) if word == "init" => init::run(),
        Some(word) if word == "sftp" => sftp::run(),
        Some(word) if word == "check-devices" => devices::check(std::env::args_os().skip(2)),
        _ => {
            eprintln!(
                "gpumkt-guest: the first process of a container that a gpumkt node runs (`init`), its file server (`sftp`), and a look\n              at its devices (`check-devices PATH...`)"
            );
            ExitCode::from(2)
        }
    }
}
