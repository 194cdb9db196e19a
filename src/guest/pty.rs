//! Pseudo-terminals.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::agent::Terminal;
use super::sys;

/// Gives the command a terminal of its own, as its controlling one; returns the master.
pub fn attach(command: &mut Command, terminal: &Terminal) -> io::Result<File> {
    let (master, slave) = sys::open_terminal()?;
    sys::resize(&master, terminal.size)?;
    let name: &[u8] = if terminal.name.is_empty() { b"dumb" } else { &terminal.name };
    command.env("TERM", OsStr::from_bytes(name));
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    // Descriptor 0 is the slave by then.
    let lead = || sys::setsid().and_then(|()| sys::take_terminal(0));
    // SAFETY: two plain calls of the kernel.
    unsafe { command.pre_exec(lead) };
    Ok(master)
}
