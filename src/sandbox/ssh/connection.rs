//! What a renter may ask for on its connection.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use russh::{
    Channel, ChannelId, ChannelOpenFailure, MethodSet, Pty, Sig,
    keys::PublicKey,
    server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    command::{Command, Outlet, signal_number},
    inbox::{Inbox, Intake},
    keys::fingerprint,
    relay::{Subsystem, forward, serve_subsystem},
    server::{SshAccess, SshSummary},
};
use crate::{
    sandbox::SandboxError,
    types::agent::{Exec, Terminal, WindowSize},
};

/// Channels open at once.
const MAX_CHANNELS: usize = 64;
/// Channels of sessions over the life of a connection. The library remembers each that this side closes first, about 5 KiB.
const MAX_SESSIONS: u64 = 4_096;
/// Variables of one command, and bytes of each.
const MAX_VARIABLES: usize = 64;
const MAX_VARIABLE_BYTES: usize = 4_096;
/// Hosts of a forwarded port: the container itself.
const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "::1", "[::1]"];

/// Why a connection ended by force.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Failure(#[from] pub(super) russh::Error);

/// How far a connection has come; outlives it.
#[derive(Default)]
pub(super) struct Progress {
    key: OnceLock<String>,
    logged_in: CancellationToken,
    channels: AtomicU64,
}

impl Progress {
    pub(super) fn summary(&self) -> Result<SshSummary, SandboxError> {
        let key = self.key.get().ok_or(SandboxError::SshLogin { reason: "no key was accepted".into() })?;
        Ok(SshSummary { key: key.clone(), channels: self.channels.load(Ordering::Relaxed) })
    }

    /// Never ready once a key was accepted.
    pub(super) async fn no_login_by(&self, deadline: Instant) {
        tokio::select! {
            biased;
            () = self.logged_in.cancelled() => std::future::pending().await,
            () = sleep_until(deadline) => {}
        }
    }
}

/// A channel's life.
enum Stage {
    /// Opened; says what it wants next.
    Preparing {
        outlet: Outlet,
        exec: Exec,
    },
    Running {
        inbox: Arc<Inbox>,
        task: AbortHandle,
    },
}

impl Stage {
    fn is_over(&self) -> bool {
        matches!(self, Self::Running { task, .. } if task.is_finished())
    }
}

/// Answers the requests of one connection.
pub(super) struct Connection {
    access: SshAccess,
    intake: Arc<Intake>,
    progress: Arc<Progress>,
    channels: HashMap<ChannelId, Stage>,
    sessions: u64,
    /// Ended with the connection, which hangs up what runs.
    tasks: JoinSet<()>,
}

impl Connection {
    pub(super) fn new(access: SshAccess, intake: Arc<Intake>, progress: Arc<Progress>) -> Self {
        Self { access, intake, progress, channels: HashMap::new(), sessions: 0, tasks: JoinSet::new() }
    }

    fn is_authorized(&self, key: &PublicKey) -> bool {
        key.to_bytes().is_ok_and(|bytes| self.access.authorized_keys.contains(&bytes))
    }

    /// Counts a new channel; false where there are too many.
    fn admit(&mut self) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.channels.retain(|_, stage| !stage.is_over());
        let admitted = self.channels.len() < MAX_CHANNELS;
        if admitted {
            self.progress.channels.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn run(&mut self, id: ChannelId, inbox: Arc<Inbox>, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.channels.insert(id, Stage::Running { inbox, task });
    }

    /// The channel and what it has asked for, if it runs nothing yet.
    fn take_prepared(&mut self, id: ChannelId) -> Option<(Outlet, Exec)> {
        match self.channels.remove(&id)? {
            Stage::Preparing { outlet, exec } => Some((outlet, exec)),
            running => {
                self.channels.insert(id, running);
                None
            }
        }
    }

    fn start_command(&mut self, id: ChannelId, argv: Vec<Vec<u8>>, session: &mut Session) -> Result<(), Failure> {
        let words_are_sound = argv.iter().all(|word| !word.contains(&0));
        let Some((outlet, mut exec)) = self.take_prepared(id).filter(|_| words_are_sound) else {
            return Ok(session.channel_failure(id)?);
        };
        session.channel_success(id)?;
        exec.argv = argv;
        let mut env: Vec<_> = self.access.env.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())).collect();
        env.append(&mut exec.env);
        exec.env = env;
        let inbox = Arc::new(Inbox::new(self.intake.clone()));
        let notices = exec.terminal.is_some().then(|| self.access.notices.resubscribe());
        let command = Command { agent: self.access.agent.clone(), exec, inbox: inbox.clone(), outlet, notices };
        self.run(id, inbox, command.run());
        Ok(())
    }

    fn inbox(&self, id: ChannelId) -> Option<&Inbox> {
        match self.channels.get(&id)? {
            Stage::Running { inbox, .. } => Some(inbox),
            Stage::Preparing { .. } => None,
        }
    }

    fn preparing(&mut self, id: ChannelId) -> Option<&mut Exec> {
        match self.channels.get_mut(&id)? {
            Stage::Preparing { exec, .. } => Some(exec),
            Stage::Running { .. } => None,
        }
    }
}

fn answer(session: &mut Session, id: ChannelId, is_granted: bool) -> Result<(), Failure> {
    let answered = if is_granted { session.channel_success(id) } else { session.channel_failure(id) };
    Ok(answered?)
}

impl Handler for Connection {
    type Error = Failure;

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Failure> {
        Ok(if self.is_authorized(offer.public_key) { Auth::Accept } else { reject() })
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Failure> {
        if !self.is_authorized(key.public_key) {
            return Ok(reject());
        }
        self.progress.key.get_or_init(|| fingerprint(key.public_key));
        self.progress.logged_in.cancel();
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Failure> {
        if !self.admit() || self.sessions >= MAX_SESSIONS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.sessions += 1;
        let (id, outlet) = (channel.id(), Outlet::new(channel, session.handle()));
        self.channels.insert(id, Stage::Preparing { outlet, exec: Exec::default() });
        reply.accept().await;
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the trait's")]
    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Failure> {
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let Some(port) = port.filter(|_| LOOPBACK.contains(&host)) else {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        };
        if !self.admit() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let inbox = Arc::new(Inbox::new(self.intake.clone()));
        let (id, outlet) = (channel.id(), Outlet::new(channel, session.handle()));
        let task = forward(self.access.agent.clone(), port, reply, inbox.clone(), outlet);
        self.run(id, inbox, task);
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width_px: u32,
        height_px: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Failure> {
        let name = if is_terminal_name(term) { term } else { "dumb" };
        let terminal = Terminal { name: name.into(), size: window_size(columns, rows, width_px, height_px) };
        let granted = self.preparing(id).map(|exec| exec.terminal = Some(terminal)).is_some();
        answer(session, id, granted)
    }

    async fn env_request(&mut self, id: ChannelId, name: &str, value: &str, session: &mut Session) -> Result<(), Failure> {
        let sound = is_passed_on(name) && value.len() <= MAX_VARIABLE_BYTES && !value.contains('\0');
        let granted = self.preparing(id).filter(|exec| sound && exec.env.len() < MAX_VARIABLES).map(|exec| {
            exec.env.push((name.into(), value.into()));
        });
        let granted = granted.is_some();
        answer(session, id, granted)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Failure> {
        self.start_command(id, Vec::new(), session)
    }

    async fn exec_request(&mut self, id: ChannelId, command: &[u8], session: &mut Session) -> Result<(), Failure> {
        // The login shell with this text, whatever the login shell is.
        self.start_command(id, vec![b"-".to_vec(), command.to_vec()], session)
    }

    async fn subsystem_request(&mut self, id: ChannelId, name: &str, session: &mut Session) -> Result<(), Failure> {
        let Some(subsystem) = Subsystem::named(name) else { return answer(session, id, false) };
        let Some((outlet, _)) = self.take_prepared(id) else { return answer(session, id, false) };
        session.channel_success(id)?;
        let inbox = Arc::new(Inbox::new(self.intake.clone()));
        let task = serve_subsystem(self.access.agent.clone(), subsystem, inbox.clone(), outlet);
        self.run(id, inbox, task);
        Ok(())
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        width_px: u32,
        height_px: u32,
        session: &mut Session,
    ) -> Result<(), Failure> {
        let size = window_size(columns, rows, width_px, height_px);
        if let Some(inbox) = self.inbox(id) {
            inbox.resize(size);
        } else if let Some(terminal) = self.preparing(id).and_then(|exec| exec.terminal.as_mut()) {
            terminal.size = size;
        }
        answer(session, id, true)
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _session: &mut Session) -> Result<(), Failure> {
        if let (Some(inbox), Some(number)) = (self.inbox(id), signal_number(&signal)) {
            inbox.signal(number);
        }
        Ok(())
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Failure> {
        answer(session, id, false)
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _session: &mut Session) -> Result<(), Failure> {
        if let Some(inbox) = self.inbox(id) {
            inbox.push(data);
        }
        Ok(())
    }

    fn adjust_window(&mut self, _id: ChannelId, _current: u32) -> u32 {
        self.intake.window()
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Failure> {
        if let Some(inbox) = self.inbox(id) {
            inbox.end();
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Failure> {
        if let Some(Stage::Running { task, .. }) = self.channels.remove(&id) {
            task.abort();
        }
        Ok(())
    }
}

fn reject() -> Auth {
    Auth::Reject { proceed_with_methods: Some(MethodSet::from(&[russh::MethodKind::PublicKey][..])), partial_success: false }
}

/// Variables a renter's client may set: language, appearance, and our own.
fn is_passed_on(name: &str) -> bool {
    const NAMES: &[&str] = &["LANG", "LANGUAGE", "TZ", "TERM", "COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "NO_COLOR"];
    let sound = name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    sound && (NAMES.contains(&name) || name.starts_with("LC_") || name.starts_with("GPUMKT_"))
}

fn is_terminal_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
}

fn window_size(columns: u32, rows: u32, width_px: u32, height_px: u32) -> WindowSize {
    let number = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    WindowSize { columns: number(columns), rows: number(rows), width_px: number(width_px), height_px: number(height_px) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_variables_are_passed_on() {
        for name in ["LANG", "LC_ALL", "LC_CTYPE", "COLORTERM", "GPUMKT_JOB"] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in ["", "PATH", "LD_PRELOAD", "HOME", "LC_ALL=x", "GPUMKT_\n", "LC_\0", "BASH_ENV"] {
            assert!(!is_passed_on(name), "{name:?}");
        }
        assert!(is_terminal_name("xterm-256color"));
        assert!(!is_terminal_name("xterm\x1b[2J") && !is_terminal_name("") && !is_terminal_name("../../etc/passwd"));
    }
}
