//! Where a keystore's password comes from: a file, the environment, a credential of systemd, a prompt. Never a flag.

use std::{
    io::{IsTerminal, Write},
    path::Path,
};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use secrecy::SecretString;

use super::KeyError;

/// Read before any prompt, after the file.
const PASSWORD_VARIABLE: &str = "GPUMKT_PASSWORD";
/// Name of the credential that a unit's LoadCredential= gives the password.
const CREDENTIAL: &str = "gpumkt-password";
/// The same from one gpumkt to another, through programs that may send `GPUMKT_*` to the machines they log in to.
pub const HANDED_PASSWORD_VARIABLE: &str = "_GPUMKT_PASSWORD";

/// The password for `keystore`. A trailing line break in the file is not part of it.
pub fn read_password(file: Option<&Path>, keystore: &Path) -> Result<SecretString, KeyError> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).map_err(|source| KeyError::PasswordFile { path: file.into(), source })?;
        return Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_string()));
    }
    if let Some(text) = [PASSWORD_VARIABLE, HANDED_PASSWORD_VARIABLE].iter().find_map(|name| std::env::var(name).ok()) {
        return Ok(SecretString::from(text));
    }
    // A credential that systemd hands to the unit; its folder is readable by nobody else.
    if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
        let file = Path::new(&folder).join(CREDENTIAL);
        if file.exists() {
            return read_password(Some(&file), keystore);
        }
    }
    if !std::io::stdin().is_terminal() {
        return Err(KeyError::NoPassword { path: keystore.into() });
    }
    prompt(keystore)
}

fn prompt(keystore: &Path) -> Result<SecretString, KeyError> {
    let failed = |source: std::io::Error| KeyError::Unreadable { path: keystore.into(), source };
    eprint!("Password for {}: ", keystore.display());
    std::io::stderr().flush().map_err(failed)?;
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(|error| failed(error.into()))?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&stdin, SetArg::TCSANOW, &hidden).map_err(|error| failed(error.into()))?;
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    tcsetattr(&stdin, SetArg::TCSANOW, &before).map_err(|error| failed(error.into()))?;
    eprintln!();
    read.map_err(failed)?;
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n']).to_string()))
}
