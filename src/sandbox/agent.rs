//! The node's half of the agent: channels into a running container.
//!
//! The agent dials, so this is a socket that waits. Whatever runs in the container can dial as well and say what it likes: the worst it
//! gets is the channels of the renter whose container it is.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::SandboxError;
use crate::types::agent::{Answer, Exec, Frame, HEADER_BYTES, HELLO, MAX_PAYLOAD, Message, Open, SOCKET, WindowSize, parse_header};

/// Parked connections of one container. The agent keeps four; beyond this they are closed, so that a container cannot use up the node's
/// descriptors.
const MAX_PARKED: usize = 64;
/// Connections that have not said hello yet; more wait in the socket's own queue.
const MAX_GREETING: usize = 16;
/// How long a hello may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a channel may take to open. A paused container answers when it goes on, so this is longer than a challenge takes.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an agent that has not answered yet is asked.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
const PING_PAUSE: Duration = Duration::from_millis(20);
/// Errno of a start command that was started before.
const EALREADY: i32 = 114;

/// Channels into one container. Clones share the socket; with the last one it closes, while open channels go on.
#[derive(Clone)]
pub struct Agent {
    shared: Arc<Shared>,
}

struct Shared {
    parked: Parked,
    acceptor: JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Agent {
    /// Opens the socket in `dir`, which is mounted into the container, and takes the place of an earlier one. Needs a tokio runtime.
    pub fn listen(dir: &Path) -> Result<Self, SandboxError> {
        let listener = bind(dir).map_err(|source| SandboxError::AgentSocket { path: dir.to_owned(), source })?;
        let parked = Parked::default();
        let acceptor = tokio::spawn(accept(listener, parked.clone()));
        Ok(Self { shared: Arc::new(Shared { parked, acceptor }) })
    }

    /// Waits until the agent answers.
    pub async fn wait_ready(&self, within: Duration) -> Result<(), SandboxError> {
        let deadline = Instant::now() + within;
        loop {
            let next = deadline.min(Instant::now() + PING_TIMEOUT);
            if let Ok(Ok(_)) = timeout_at(next, self.open_channel(&Open::Ping)).await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(SandboxError::AgentSilent { waited_ms: millis(within) });
            }
            // A channel that breaks at once is no reason to ask again at once.
            tokio::time::sleep(PING_PAUSE).await;
        }
    }

    /// Runs a command. `argv` is executed directly; empty means the login shell, and `["-", text]` has the login shell read the text.
    pub async fn exec(&self, exec: Exec) -> Result<GuestProcess, SandboxError> {
        Ok(GuestProcess { stream: self.open(&Open::Exec(exec)).await? })
    }

    /// Connects to a TCP port on the container's loopback.
    pub async fn connect(&self, port: u16) -> Result<GuestStream, SandboxError> {
        Ok(GuestStream { stream: self.open(&Open::Connect { port }).await? })
    }

    /// An SFTP server, version 3.
    pub async fn sftp(&self) -> Result<GuestStream, SandboxError> {
        Ok(GuestStream { stream: self.open(&Open::Sftp).await? })
    }

    /// What the start command has printed (the last mebibyte of it), and with `follow` what it prints until it ends.
    pub async fn logs(&self, follow: bool) -> Result<GuestStream, SandboxError> {
        Ok(GuestStream { stream: self.open(&Open::Logs { follow }).await? })
    }

    /// Starts the start command. In the life of a container only the first call does; later ones succeed without effect.
    pub async fn start_command(&self, exec: Exec) -> Result<(), SandboxError> {
        match self.open(&Open::Start(exec)).await {
            Ok(_) | Err(SandboxError::AgentRefused { errno: EALREADY, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn open(&self, open: &Open) -> Result<UnixStream, SandboxError> {
        let opened = timeout(OPEN_TIMEOUT, self.open_channel(open)).await;
        opened.unwrap_or(Err(SandboxError::AgentSilent { waited_ms: millis(OPEN_TIMEOUT) }))
    }

    async fn open_channel(&self, open: &Open) -> Result<UnixStream, SandboxError> {
        let bytes = open.to_bytes();
        if bytes.len() > HEADER_BYTES + MAX_PAYLOAD {
            return Err(SandboxError::TooLarge { what: "bytes of command", asked: bytes.len() as u64, limit: MAX_PAYLOAD as u64 });
        }
        loop {
            let mut stream = self.shared.parked.take().await;
            // Nothing was asked yet, so one that died while it was parked is replaced by another.
            if stream.write_all(&bytes).await.is_err() {
                continue;
            }
            return match read_answer(&mut stream).await? {
                Answer::Opened => Ok(stream),
                Answer::Refused { errno, reason } => Err(SandboxError::AgentRefused { errno, reason: printable(&reason) }),
            };
        }
    }
}

/// A command that runs. Dropping either half hangs up: the command's process group gets SIGHUP.
pub struct GuestProcess {
    stream: UnixStream,
}

impl GuestProcess {
    pub fn split(self) -> (GuestInput, GuestOutput) {
        let (reader, writer) = self.stream.into_split();
        (GuestInput { writer }, GuestOutput { reader, received: Vec::new() })
    }
}

/// What goes to a command. Its calls must not be cancelled half-way: the channel would be out of step.
pub struct GuestInput {
    writer: OwnedWriteHalf,
}

impl GuestInput {
    /// Writes to the command's input or terminal; waits while the command does not read.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        for chunk in bytes.chunks(MAX_PAYLOAD) {
            self.send(&Frame::Stdin(chunk.to_vec())).await?;
        }
        Ok(())
    }

    /// Closes the command's input; at a terminal, types the end of it.
    pub async fn end(&mut self) -> Result<(), SandboxError> {
        self.send(&Frame::Stdin(Vec::new())).await
    }

    pub async fn resize(&mut self, size: WindowSize) -> Result<(), SandboxError> {
        self.send(&Frame::Resize(size)).await
    }

    /// Signals the command's process group.
    pub async fn signal(&mut self, number: u8) -> Result<(), SandboxError> {
        self.send(&Frame::Signal(number)).await
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), SandboxError> {
        self.writer.write_all(&frame.to_bytes()).await.map_err(broken)
    }
}

/// What comes from a command.
pub struct GuestOutput {
    reader: OwnedReadHalf,
    /// Part of a frame.
    received: Vec<u8>,
}

impl GuestOutput {
    /// The next piece of output, and after the last one how the command ended. May be cancelled and called again.
    pub async fn next(&mut self) -> Result<Frame, SandboxError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            if self.reader.read_buf(&mut self.received).await.map_err(broken)? == 0 {
                return Err(broken(ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Frame>, SandboxError> {
        let Some((header, rest)) = self.received.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let (tag, length) = parse_header(*header).map_err(hostile)?;
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let frame = Frame::decode(tag, payload).map_err(hostile)?;
        self.received.drain(..HEADER_BYTES + length);
        match frame {
            Frame::Stdout(_) | Frame::Stderr(_) | Frame::Exited(_) => Ok(Some(frame)),
            Frame::Stdin(_) | Frame::Resize(_) | Frame::Signal(_) => Err(hostile("a frame that only nodes send")),
        }
    }
}

/// Raw bytes to and from something in the container; each direction can be closed on its own.
#[derive(Debug)]
pub struct GuestStream {
    stream: UnixStream,
}

impl AsyncRead for GuestStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Connections that wait for something to do, the oldest first.
#[derive(Clone)]
struct Parked {
    queue: Arc<Mutex<VecDeque<UnixStream>>>,
    /// As many permits as there are connections in the queue.
    count: Arc<Semaphore>,
}

impl Default for Parked {
    fn default() -> Self {
        Self { queue: Arc::default(), count: Arc::new(Semaphore::new(0)) }
    }
}

impl Parked {
    /// Parks a connection, or closes it if there are enough. Dead ones make room.
    fn put(&self, stream: UnixStream) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= MAX_PARKED {
            let before = queue.len();
            queue.retain(is_idle);
            self.count.forget_permits(before - queue.len());
        }
        if queue.len() < MAX_PARKED {
            queue.push_back(stream);
            self.count.add_permits(1);
        }
    }

    /// Waits for a connection that is alive and has not spoken out of turn.
    async fn take(&self) -> UnixStream {
        loop {
            // The semaphore is never closed; if it were, the queue would still say what there is.
            if let Ok(permit) = self.count.acquire().await {
                permit.forget();
            }
            let stream = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            if let Some(stream) = stream.filter(is_idle) {
                return stream;
            }
        }
    }
}

/// A parked connection has nothing to say until it is asked.
fn is_idle(stream: &UnixStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

async fn accept(listener: UnixListener, parked: Parked) {
    let mut greetings = JoinSet::new();
    loop {
        while greetings.len() >= MAX_GREETING {
            greetings.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                greetings.spawn(greet(stream, parked.clone()));
            }
            // Out of descriptors, most likely: others give some back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        while greetings.try_join_next().is_some() {}
    }
}

/// Parks a connection that says hello, and closes any other.
async fn greet(mut stream: UnixStream, parked: Parked) {
    let mut hello = [0; HELLO.len()];
    let greeted = timeout(HELLO_TIMEOUT, stream.read_exact(&mut hello)).await;
    if matches!(greeted, Ok(Ok(_))) && hello == HELLO {
        parked.put(stream);
    }
}

/// Binds under a temporary name and renames, so that there is always a socket: the old one or the new one. The folder is reached by its
/// descriptor, because a socket's path may have no more than 107 bytes.
fn bind(dir: &Path) -> io::Result<UnixListener> {
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    let folder = std::fs::File::open(dir)?;
    let name = format!(".{SOCKET}.new");
    let (temporary, socket) = (dir.join(&name), dir.join(SOCKET));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?;
    // The folder is what keeps strangers on this machine away; the renter has a user id of its own.
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o666))?;
    std::fs::rename(&temporary, &socket)?;
    Ok(listener)
}

async fn read_answer(stream: &mut UnixStream) -> Result<Answer, SandboxError> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await.map_err(broken)?;
    let (tag, length) = parse_header(header).map_err(hostile)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.map_err(broken)?;
    Answer::decode(tag, &payload).map_err(hostile)
}

fn broken(source: io::Error) -> SandboxError {
    SandboxError::AgentChannel { source }
}

fn hostile(reason: impl ToString) -> SandboxError {
    SandboxError::AgentProtocol { reason: reason.to_string() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a container says is shown at a terminal.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The agent's program, compiled by `build.rs`.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gpumkt-guest"));

/// Writes the agent's program into `dir` and returns its path; one that is there already is checked. The name tells its content, so that
/// containers which an earlier version of the node started keep theirs.
pub fn install_agent(dir: &Path) -> Result<PathBuf, SandboxError> {
    let hash = alloy::primitives::keccak256(PROGRAM);
    let path = dir.join(format!("gpumkt-guest-{}", alloy::hex::encode(&hash[..8])));
    install(dir, &path).map_err(|source| SandboxError::AgentProgram { path: path.clone(), source })?;
    Ok(path)
}

fn install(dir: &Path, path: &Path) -> io::Result<()> {
    let mode = std::fs::Permissions::from_mode(0o755);
    if std::fs::read(path).is_ok_and(|content| content == PROGRAM) {
        return std::fs::set_permissions(path, mode);
    }
    std::fs::create_dir_all(dir)?;
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = std::fs::File::create(&temporary)?;
    io::Write::write_all(&mut file, PROGRAM)?;
    file.set_permissions(mode)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
