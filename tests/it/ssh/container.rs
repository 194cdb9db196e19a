//! A container with the agent as its first process, by bubblewrap alone.

use std::{path::Path, process::Stdio, time::Duration};

use gpumkt::sandbox::{Agent, install_agent};
use tokio::process::{Child, Command};

pub struct Container {
    pub agent: Agent,
    _process: Child,
}

impl Container {
    pub async fn start(folder: &Path) -> Self {
        let (socket, home) = (folder.join("agent"), folder.join("home"));
        std::fs::create_dir_all(&home).unwrap();
        let agent = Agent::listen(&socket).unwrap();
        let program = install_agent(&folder.join("program")).unwrap();
        let mut command = Command::new("bwrap");
        command.args(["--unshare-all", "--die-with-parent", "--as-pid-1", "--clearenv", "--hostname", "gpumkt-7"]);
        for bound in ["/usr", "/etc"] {
            command.args(["--ro-bind", bound, bound]);
        }
        for (target, link) in [("usr/bin", "/bin"), ("usr/sbin", "/sbin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64")] {
            command.args(["--symlink", target, link]);
        }
        command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
        command.arg("--ro-bind").arg(&socket).arg("/run/gpumkt");
        command.arg("--bind").arg(&home).arg("/root");
        command.arg("--ro-bind").arg(&program).arg("/.gpumkt-guest");
        command.args(["/.gpumkt-guest", "init"]).stdin(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().unwrap();
        agent.wait_ready(Duration::from_secs(30)).await.unwrap();
        Self { agent, _process: process }
    }
}
