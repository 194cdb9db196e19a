//! Turns an [`Exec`] into a running process.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::agent::Exec;
use super::children::{Child, Children};
use super::{pty, sys};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_HOME: &str = "/root";
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];
/// First word of a command that the login shell is to read, as `sshd` treats the command of an exec request.
const BY_SHELL: &[u8] = b"-";

/// A command and its end of the terminal or pipes.
pub struct Running {
    pub child: Child,
    pub input: Option<File>,
    /// Standard output, and standard error where it is a channel of its own.
    pub outputs: [Option<File>; 2],
    pub is_terminal: bool,
}

/// Starts a command on a terminal of its own if it asks for one, on pipes otherwise.
pub fn start(children: &Children, exec: &Exec) -> io::Result<Running> {
    let mut command = prepare(exec)?;
    if let Some(terminal) = &exec.terminal {
        let master = pty::attach(&mut command, terminal)?;
        let child = children.spawn_at_terminal(&mut command)?;
        sys::set_nonblocking(&master)?;
        let input = Some(master.try_clone()?);
        return Ok(Running { child, input, outputs: [Some(master), None], is_terminal: true });
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = children.spawn(&mut command)?;
    let input = child.process.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let output = child.process.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let errors = child.process.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    for pipe in [&input, &output, &errors].into_iter().flatten() {
        sys::set_nonblocking(pipe)?;
    }
    Ok(Running { child, input, outputs: [output, errors], is_terminal: false })
}

/// The command without its channels: program, arguments, environment, folder.
pub fn prepare(exec: &Exec) -> io::Result<Command> {
    let variable = |name: &str| {
        let given = exec.env.iter().rev().find(|(given, _)| given == name.as_bytes());
        given.map(|(_, value)| OsStr::from_bytes(value).to_owned()).or_else(|| std::env::var_os(name))
    };
    let shell = login_shell(variable("SHELL"));
    let words: Vec<&OsStr> = exec.argv.iter().map(|word| OsStr::from_bytes(word)).collect();
    let mut command = match words.as_slice() {
        [] => {
            let mut command = Command::new(&shell);
            let name = Path::new(&shell).file_name().unwrap_or(&shell);
            let mut login_name = OsString::from("-");
            login_name.push(name);
            command.arg0(login_name);
            command
        }
        [first, text] if first.as_bytes() == BY_SHELL => {
            let mut command = Command::new(&shell);
            command.arg("-c").arg(text);
            command
        }
        [first, ..] if first.as_bytes() == BY_SHELL || first.is_empty() => return Err(io::ErrorKind::InvalidInput.into()),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
    };
    let home = variable("HOME").unwrap_or_else(|| DEFAULT_HOME.into());
    command.current_dir(if Path::new(&home).is_dir() { Path::new(&home) } else { Path::new("/") });
    command.env("HOME", &home).env("SHELL", &shell);
    command.env("PATH", variable("PATH").unwrap_or_else(|| DEFAULT_PATH.into()));
    for name in ["USER", "LOGNAME"] {
        command.env(name, variable(name).unwrap_or_else(|| "root".into()));
    }
    for (name, value) in &exec.env {
        // Such a name has no meaning and std refuses it only when the command is started.
        if !name.is_empty() && !name.contains(&b'=') {
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    Ok(command)
}

fn login_shell(wanted: Option<OsString>) -> OsString {
    let candidates = wanted.into_iter().chain(SHELLS.map(OsString::from));
    let found = candidates.into_iter().find(|shell| Path::new(shell).is_absolute() && Path::new(shell).is_file());
    found.unwrap_or_else(|| SHELLS[1].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(argv: &[&str]) -> io::Result<Vec<String>> {
        let exec = Exec { argv: argv.iter().map(|word| word.as_bytes().to_vec()).collect(), ..Exec::default() };
        let command = prepare(&exec)?;
        let all = std::iter::once(command.get_program()).chain(command.get_args());
        Ok(all.map(|word| word.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_dash_means_the_login_shell_and_anything_else_itself() {
        assert_eq!(words(&["printf", "%s", "-"]).unwrap(), ["printf", "%s", "-"]);
        let by_shell = words(&["-", "a | b"]).unwrap();
        assert_eq!(by_shell[1..], ["-c", "a | b"]);
        assert!(Path::new(&by_shell[0]).is_absolute());
        assert_eq!(words(&[]).unwrap().len(), 1);
        for refused in [&["-"][..], &["-", "a", "b"], &[""]] {
            assert_eq!(words(refused).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{refused:?}");
        }
    }

    #[test]
    fn an_unusable_shell_is_passed_over() {
        assert_eq!(login_shell(Some("relative/sh".into())), login_shell(None));
        assert_eq!(login_shell(Some("/nowhere/sh".into())), login_shell(None));
    }
}
