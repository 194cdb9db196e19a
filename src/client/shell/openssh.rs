//! Command lines and configuration of OpenSSH.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::ShellFiles;
use crate::{client::ClientError, types::RentalId};

/// Login name in the container, where everybody is root of a user namespace.
const USER: &str = "root";

/// How OpenSSH reaches one rental.
#[derive(Debug, Clone)]
pub struct OpenSsh {
    files: ShellFiles,
    proxy_command: String,
}

impl OpenSsh {
    /// `program` is this binary; `options` are those of the proxy that come before its rental.
    pub fn new(files: ShellFiles, program: &Path, options: &[OsString]) -> Self {
        let mut words = vec![program.as_os_str().to_owned(), "proxy".into(), files.rental().to_string().into()];
        words.extend_from_slice(options);
        if let Some(path) = files.own_key() {
            words.extend(["--ssh-key".into(), path.as_os_str().to_owned()]);
        }
        let words: Vec<String> = words.iter().map(|word| quote(&word.to_string_lossy())).collect();
        // OpenSSH replaces %-sequences before its shell sees the command.
        let proxy_command = words.join(" ").replace('%', "%%");
        Self { files, proxy_command }
    }

    pub fn files(&self) -> &ShellFiles {
        &self.files
    }

    /// Keys and values as in `ssh_config`.
    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("User", USER.into()),
            ("ProxyCommand", self.proxy_command.clone()),
            ("IdentityFile", path_value(&self.files.identity())),
            ("IdentitiesOnly", "yes".into()),
            ("UserKnownHostsFile", path_value(&self.files.known_hosts())),
            ("GlobalKnownHostsFile", "/dev/null".into()),
            ("HostKeyAlias", self.files.host()),
            ("StrictHostKeyChecking", "yes".into()),
            ("CheckHostIP", "no".into()),
            ("UpdateHostKeys", "no".into()),
            ("ForwardAgent", "no".into()),
            ("ServerAliveInterval", "15".into()),
            ("ServerAliveCountMax", "4".into()),
        ]
    }

    /// Arguments that ssh and scp share. The user's own configuration still applies to what they leave open.
    pub fn options(&self) -> Vec<String> {
        self.settings().into_iter().flat_map(|(key, value)| ["-o".to_string(), format!("{key}={value}")]).collect()
    }

    /// A section for `~/.ssh/config`.
    pub fn config(&self) -> String {
        let mut text = format!("Host {}\n", self.files.host());
        for (key, value) in self.settings() {
            text.push_str(&format!("    {key} {value}\n"));
        }
        // Not by default: OpenSSH then drops what the proxy says when it fails.
        text.push_str("    # For many short commands: commands that follow each other share a connection.\n");
        text.push_str(&format!(
            "    # ControlMaster auto\n    # ControlPersist 60\n    # ControlPath {}\n",
            path_value(&self.files.control())
        ));
        text
    }
}

/// The option by which OpenSSH writes `mark` once it is logged in.
pub fn mark_when_connected(mark: &Path) -> String {
    format!("LocalCommand=: > {}", quote(&mark.display().to_string()).replace('%', "%%"))
}

/// Finds `program` on the PATH, or says how to get it.
pub fn require(program: &'static str) -> Result<PathBuf, ClientError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file());
    found.ok_or(ClientError::NoOpenSsh { program })
}

/// A word for a POSIX shell.
pub fn quote(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn path_value(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    Here(String),
    There { rental: RentalId, path: String },
}

impl FromStr for Side {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let there = text.split_once(':').and_then(|(rental, path)| Some((rental.parse().ok()?, path)));
        Ok(match there {
            Some((rental, path)) => Self::There { rental, path: path.into() },
            None => Self::Here(text.into()),
        })
    }
}

impl Side {
    /// As scp takes it.
    pub fn argument(&self) -> String {
        match self {
            // A colon before the first slash would make it a host.
            Self::Here(path) if path.contains(':') && !path.starts_with(['/', '.']) => format!("./{path}"),
            Self::Here(path) => path.clone(),
            Self::There { rental, path } => format!("gpumkt-{rental}:{path}"),
        }
    }
}

/// A forwarded port: on this machine, and in the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    pub local: u16,
    pub remote: u16,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().ok().filter(|port| *port > 0).ok_or("use a port, or LOCAL:REMOTE, such as 8888 or 9000:80");
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        Ok(Self { local: port(local)?, remote: port(remote)? })
    }
}

impl Forward {
    /// The value of `-L`. Only this machine reaches the local port.
    pub fn argument(self) -> String {
        format!("127.0.0.1:{}:localhost:{}", self.local, self.remote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for word in ["plain", "", "with space", "it's", "$HOME `id` \"x\"", "a\nb", "*", "-n"] {
            let output = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quote(word))]).output().unwrap();
            let shown = if word == "-n" { word } else { std::str::from_utf8(&output.stdout).unwrap() };
            assert_eq!(shown, word);
        }
        assert_eq!(quote("/usr/bin/gpumkt"), "/usr/bin/gpumkt");
    }

    #[test]
    fn sides_and_ports_are_read() {
        let side = |text: &str| text.parse::<Side>().unwrap();
        assert_eq!(side("12:/data"), Side::There { rental: 12, path: "/data".into() });
        assert_eq!(side("12:").argument(), "gpumkt-12:");
        assert_eq!(side("model.bin").argument(), "model.bin");
        assert_eq!(side("a:b").argument(), "./a:b");
        assert_eq!(side("/a:b").argument(), "/a:b");
        assert_eq!("8888".parse(), Ok(Forward { local: 8888, remote: 8888 }));
        assert_eq!("9000:80".parse::<Forward>().unwrap().argument(), "127.0.0.1:9000:localhost:80");
        for wrong in ["", "0", "x", "80:", ":80", "70000", "1:2:3"] {
            assert!(wrong.parse::<Forward>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn openssh_accepts_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("it's 100% odd");
        let files = ShellFiles::prepare(&odd, 12, None).unwrap();
        let openssh = OpenSsh::new(files.clone(), Path::new("/opt/my tools/gpumkt"), &["--config".into(), "/etc/gpu 1.toml".into()]);
        let config = folder.path().join("config");
        std::fs::write(&config, openssh.config()).unwrap();
        let Ok(ssh) = require("ssh") else { return };
        let output = std::process::Command::new(ssh).arg("-F").arg(&config).args(["-G", "gpumkt-12"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let known_hosts = format!("userknownhostsfile {}", files.known_hosts().display());
        assert!(text.contains(&known_hosts), "{text}");
        assert!(text.contains("proxycommand '/opt/my tools/gpumkt' proxy 12 --config '/etc/gpu 1.toml'"), "{text}");
        assert!(text.contains("hostkeyalias gpumkt-12"));
    }
}
