//! `gpumkt ssh` and what belongs to it: a renter in its container, by stock OpenSSH.

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    time::{Instant, sleep},
};

use super::{
    args::{NodeArgs, RunArgs},
    render::{OperatorError, line},
};
use crate::{
    client::{
        ClientError, Clients, rent,
        shell::{self, Forward, OpenSsh, ShellFiles, Side, TerminalFilter, mark_when_connected, quote, require},
    },
    config::NodeConfig,
    keys::{HANDED_PASSWORD_VARIABLE, read_password},
    telemetry::{LogFormat, init_logs},
    types::RentalId,
};

/// First and longest pause before a lost tunnel is built again. The longest is how late it is back after an outage.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A tunnel that stood this long was sound: the next pause is the first again.
const SOUND_AFTER: Duration = Duration::from_secs(30);
/// What OpenSSH answers for failures of its own.
const SSH_FAILED: i32 = 255;
/// Taken from OpenSSH's environment, from where a user's `SendEnv` could send it to the provider.
const PASSWORD_VARIABLE: &str = "GPUMKT_PASSWORD";

#[derive(Debug, Subcommand)]
pub enum ShellCommand {
    /// Log in to a rented machine, or run a command there as ssh does
    Ssh(SshArgs),
    /// Copy files from or to a rented machine
    Cp(CpArgs),
    /// Reach ports of a rented machine from this one
    Forward(ForwardArgs),
    /// Show what the start command of a rental has printed
    Logs(LogsArgs),
    /// Print a section for ~/.ssh/config, so that plain ssh, scp, rsync and editors know the rental
    SshConfig(AccessArgs),
    /// Carry SSH between standard input and output and a rental; what ssh runs as its ProxyCommand
    Proxy(AccessArgs),
}

/// Which rental, and how to log in.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// Rental, as `gpumkt rentals` lists it
    #[arg(value_name = "RENTAL")]
    pub rental: RentalId,
    #[command(flatten)]
    pub login: LoginArgs,
}

#[derive(Debug, Clone, Args)]
pub struct LoginArgs {
    /// Public key to log in with instead of the rental's own; its private key may be in an agent
    #[arg(long, value_name = "FILE.pub")]
    pub ssh_key: Option<PathBuf>,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub struct SshArgs {
    #[command(flatten)]
    pub access: AccessArgs,
    /// Command for the shell there; without one a terminal is opened
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct CpArgs {
    /// File or folder here, or RENTAL:PATH
    #[arg(value_name = "SRC")]
    pub source: Side,
    /// File or folder here, or RENTAL:PATH
    #[arg(value_name = "DST")]
    pub destination: Side,
    /// Copy folders with all they contain
    #[arg(long, short)]
    pub recursive: bool,
    #[command(flatten)]
    pub login: LoginArgs,
}

#[derive(Debug, Args)]
pub struct ForwardArgs {
    #[command(flatten)]
    pub access: AccessArgs,
    /// Port here, and in the container where that is another
    #[arg(value_name = "LOCAL[:REMOTE]", required = true)]
    pub ports: Vec<Forward>,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    pub access: AccessArgs,
    /// Go on with what is printed from now on
    #[arg(long, short)]
    pub follow: bool,
}

pub async fn run(command: ShellCommand) -> Result<ExitCode, OperatorError> {
    match command {
        ShellCommand::Ssh(args) => ssh(&args),
        ShellCommand::Cp(args) => copy(&args),
        ShellCommand::Forward(args) => forward(&args).await,
        ShellCommand::Logs(args) => logs(&args).await,
        ShellCommand::SshConfig(args) => {
            let (openssh, _) = prepare(args.rental, &args.login)?;
            line(openssh.config().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        ShellCommand::Proxy(args) => proxy(&args).await,
    }
}

/// `gpumkt run RENTAL -- CMD…`: the words themselves, whatever they contain.
pub fn run_command(args: &RunArgs) -> Result<ExitCode, OperatorError> {
    let login = LoginArgs { ssh_key: args.ssh_key.clone(), node: args.node.clone() };
    let words: Vec<String> = args.command.iter().map(|word| quote(word)).collect();
    let (openssh, config) = prepare(args.rental, &login)?;
    let mut command = program("ssh", &openssh, &config)?;
    command.args(["-T", "--", &openssh.files().host(), &words.join(" ")]);
    become_it(command, "ssh")
}

fn ssh(args: &SshArgs) -> Result<ExitCode, OperatorError> {
    let (openssh, config) = prepare(args.access.rental, &args.access.login)?;
    let mut command = program("ssh", &openssh, &config)?;
    command.arg("--").arg(openssh.files().host()).args(&args.command);
    become_it(command, "ssh")
}

fn copy(args: &CpArgs) -> Result<ExitCode, OperatorError> {
    let rental = match (&args.source, &args.destination) {
        (Side::There { rental, .. }, Side::Here(_)) | (Side::Here(_), Side::There { rental, .. }) => *rental,
        _ => return Err(ClientError::Argument { argument: "SRC DST".into(), reason: "exactly one of them is RENTAL:PATH".into() }.into()),
    };
    let (openssh, config) = prepare(rental, &args.login)?;
    let mut command = program("scp", &openssh, &config)?;
    if args.recursive {
        command.arg("-r");
    }
    command.args(["--", &args.source.argument(), &args.destination.argument()]);
    become_it(command, "scp")
}

async fn forward(args: &ForwardArgs) -> Result<ExitCode, OperatorError> {
    let (openssh, config) = prepare(args.access.rental, &args.access.login)?;
    // OpenSSH would say the same, but only after it has logged in, and again and again.
    for port in &args.ports {
        let free = TcpListener::bind(("127.0.0.1", port.local)).await;
        drop(free.map_err(|source| ClientError::LocalPort { port: port.local, source })?);
    }
    for port in &args.ports {
        line(format!("127.0.0.1:{} -> port {} of rental {}", port.local, port.remote, args.access.rental));
    }
    line("Ctrl-C ends it.");
    let (mut backoff, mut has_stood) = (MIN_BACKOFF, false);
    let mark = openssh.files().mark();
    loop {
        let started = Instant::now();
        // A connection of its own, whose end is the end of the tunnel. The first of two options counts.
        let mut command = Command::new(require("ssh")?);
        command.args(["-o", "ControlPath=none"]);
        finish(&mut command, &openssh, &config)?;
        command.args(["-N", "-T", "-o", "ExitOnForwardFailure=yes", "-o", "PermitLocalCommand=yes"]);
        command.args(["-o", &mark_when_connected(&mark)]);
        command.args(args.ports.iter().flat_map(|port| ["-L".to_string(), port.argument()]));
        command.args(["--", &openssh.files().host()]).stdin(Stdio::null());
        let mut tunnel = start(command, "ssh")?;
        let ended = tokio::select! {
            ended = tunnel.wait() => ended,
            _ = tokio::signal::ctrl_c() => return stop(tunnel, &mark).await,
        };
        has_stood |= std::fs::remove_file(&mark).is_ok();
        if !has_stood {
            // What never worked will not work the next time: OpenSSH has said why.
            return Ok(exit_code(ended.ok().and_then(|status| status.code())));
        }
        require_running(&config, args.access.rental).await?;
        if started.elapsed() > SOUND_AFTER {
            backoff = MIN_BACKOFF;
        }
        eprintln!("The connection is lost; next attempt in {:.1} s.", backoff.as_secs_f32());
        tokio::select! {
            () = sleep(backoff) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

async fn stop(mut tunnel: tokio::process::Child, mark: &Path) -> Result<ExitCode, OperatorError> {
    let stopped = tunnel.kill().await;
    let removed = std::fs::remove_file(mark);
    tracing::debug!(?stopped, ?removed, "the tunnel is closed");
    Ok(ExitCode::SUCCESS)
}

/// Fails once the rental is over. A chain that does not answer ends nothing.
async fn require_running(config: &NodeConfig, rental: RentalId) -> Result<(), OperatorError> {
    let view = async { rent::rental(&Clients::reader(config).await?, rental).await };
    match view.await {
        Ok(view) if view.state != rent::RentalState::Active => {
            Err(ClientError::NotActive { rental, state: format!("{:?}", view.state).to_lowercase() }.into())
        }
        _ => Ok(()),
    }
}

async fn logs(args: &LogsArgs) -> Result<ExitCode, OperatorError> {
    let (openssh, config) = prepare(args.access.rental, &args.access.login)?;
    let mut command = program("ssh", &openssh, &config)?;
    let subsystem = if args.follow { "gpumkt-logs-follow" } else { "gpumkt-logs" };
    command.args(["-T", "-s", "--", &openssh.files().host(), subsystem]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut reading = start(command, "ssh")?;
    let failed = |source| ClientError::File { path: "standard output".into(), source };
    if let Some(output) = reading.stdout.take() {
        // Whoever closed our output wants no more of it.
        if let Err(error) = show(output).await
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(failed(error).into());
        }
    }
    let status = reading.wait().await.map_err(failed)?;
    Ok(exit_code(status.code()))
}

/// A terminal gets text and nothing that steers it; a file or pipe gets the bytes.
async fn show(mut output: tokio::process::ChildStdout) -> std::io::Result<()> {
    let mut filter = std::io::stdout().is_terminal().then(TerminalFilter::default);
    let mut piece = vec![0; 32 * 1024];
    loop {
        let length = output.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        let bytes = &piece[..length];
        let shown = filter.as_mut().map(|filter| filter.filter(bytes));
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(shown.as_deref().unwrap_or(bytes))?;
        stdout.flush()?;
    }
}

async fn proxy(args: &AccessArgs) -> Result<ExitCode, OperatorError> {
    // Standard error is the terminal that OpenSSH runs on.
    init_logs(args.login.node.log.as_deref().unwrap_or("error"), LogFormat::Text);
    let config = NodeConfig::load(&args.login.node.config, &args.login.node.overrides())?;
    let files = ShellFiles::prepare(&config.data_dir, args.rental, args.login.ssh_key.as_deref())?;
    let stream = shell::connect(&config, args.rental, &files).await?;
    stream.pipe(tokio::io::stdin(), tokio::io::stdout()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Files for OpenSSH, and the proxy it runs: this program with the same configuration.
fn prepare(rental: RentalId, login: &LoginArgs) -> Result<(OpenSsh, NodeConfig), OperatorError> {
    let config = NodeConfig::load(&login.node.config, &login.node.overrides())?;
    let files = ShellFiles::prepare(&config.data_dir, rental, login.ssh_key.as_deref())?;
    let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|source| ClientError::File { path: path.clone(), source });
    let mut options: Vec<OsString> = vec!["--config".into(), absolute(&login.node.config)?.into()];
    if let Some(folder) = &login.node.data_dir {
        options.extend(["--data-dir".into(), absolute(folder)?.into()]);
    }
    if let Some(filter) = &login.node.log {
        options.extend(["--log".into(), filter.into()]);
    }
    let program = std::env::current_exe().map_err(|source| ClientError::File { path: "gpumkt".into(), source })?;
    Ok((OpenSsh::new(files, &program, &options), config))
}

/// A program of OpenSSH with all that it needs for this rental. A password is asked for here: the proxy has no terminal of its own.
fn program(name: &'static str, openssh: &OpenSsh, config: &NodeConfig) -> Result<Command, OperatorError> {
    let mut command = Command::new(require(name)?);
    finish(&mut command, openssh, config)?;
    Ok(command)
}

fn finish(command: &mut Command, openssh: &OpenSsh, config: &NodeConfig) -> Result<(), OperatorError> {
    command.args(openssh.options());
    if config.keys.password_file.is_none() {
        let password = read_password(None, &config.data_dir.join("sessions"))?;
        command.env(HANDED_PASSWORD_VARIABLE, password.expose_secret()).env_remove(PASSWORD_VARIABLE);
    }
    Ok(())
}

/// Replaces this process, so that terminal, signals and exit code are those of `command`.
fn become_it(mut command: Command, program: &'static str) -> Result<ExitCode, OperatorError> {
    let source = command.exec();
    Err(ClientError::Start { program, source }.into())
}

fn start(command: Command, program: &'static str) -> Result<tokio::process::Child, ClientError> {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).spawn().map_err(|source| ClientError::Start { program, source })
}

fn exit_code(code: Option<i32>) -> ExitCode {
    ExitCode::from(u8::try_from(code.unwrap_or(SSH_FAILED)).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Command};
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn run_takes_a_command_or_a_kernel_and_never_both() {
        let Command::Run(args) = parse("gpumkt run 7 -- nvidia-smi -L").unwrap() else { panic!() };
        assert_eq!((args.rental, args.command), (7, vec!["nvidia-smi".to_string(), "-L".into()]));
        let Command::Run(args) = parse("gpumkt run 7 k.cl --global 64x2 in=a i32=-4 out=b:8").unwrap() else { panic!() };
        assert_eq!((args.source, args.global, args.arguments.len()), (Some("k.cl".into()), Some([64, 2, 1]), 3));
        assert!(args.command.is_empty());
        for wrong in ["gpumkt run 7", "gpumkt run 7 k.cl", "gpumkt run 7 k.cl --global 4 -- ls", "gpumkt run -- ls"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn access_commands_are_read() {
        let Command::Shell(ShellCommand::Ssh(args)) = parse("gpumkt ssh 7 --ssh-key k.pub -- ls -l /").unwrap() else { panic!() };
        assert_eq!((args.access.rental, args.command.len()), (7, 3));
        let Command::Shell(ShellCommand::Cp(args)) = parse("gpumkt cp -r here 7:/there").unwrap() else { panic!() };
        assert!(args.recursive && args.destination == Side::There { rental: 7, path: "/there".into() });
        let Command::Shell(ShellCommand::Forward(args)) = parse("gpumkt forward 7 8888 9000:80").unwrap() else { panic!() };
        assert_eq!(args.ports, [Forward { local: 8888, remote: 8888 }, Forward { local: 9000, remote: 80 }]);
        for wrong in ["gpumkt ssh", "gpumkt ssh x", "gpumkt forward 7", "gpumkt forward 7 0", "gpumkt cp a", "gpumkt logs"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
