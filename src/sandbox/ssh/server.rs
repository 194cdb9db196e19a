//! One SSH connection from its first byte to its last.

use std::{borrow::Cow, path::Path, sync::Arc, time::Duration};

use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, keys::Algorithm, keys::EcdsaCurve, server};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::broadcast,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    connection::{Connection, Failure, Progress},
    inbox::{Intake, WINDOW_BYTES},
    keys::SshKeyPair,
    transport::Transport,
};
use crate::sandbox::{Agent, SandboxError};

/// From the first byte to the accepted key. Too short and somebody who types the passphrase of a key is turned away.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Refused keys and methods before the connection is closed.
const MAX_LOGIN_ATTEMPTS: usize = 6;
/// Pause after a refused key: there is nothing to guess, so this only keeps a broken client from spinning.
const REFUSAL_PAUSE: Duration = Duration::from_millis(100);
/// A renter that says nothing is asked this often, and given up after so many silent answers.
const KEEPALIVE: Duration = Duration::from_secs(30);
const MAX_KEEPALIVES: usize = 10;
/// Largest packet of data.
const MAX_PACKET_BYTES: u32 = 32 * 1024;
/// Messages between channels and connection. Each may be a packet; more only adds latency when the network is slow.
const MAX_EVENTS: usize = 8;
/// Time for the last words of a connection.
const FAREWELL: Duration = Duration::from_secs(3);

/// Serves renters' SSH connections with one host key.
#[derive(Clone)]
pub struct SshServer {
    config: Arc<server::Config>,
    public_key: Vec<u8>,
}

/// What one connection may do.
pub struct SshAccess {
    /// SSH wire format; whoever holds one of them is let in, under any user name.
    pub authorized_keys: Vec<Vec<u8>>,
    pub agent: Agent,
    /// Environment of every command, before what the renter asks for.
    pub env: Vec<(String, String)>,
    /// Lines that are shown at every open terminal.
    pub notices: broadcast::Receiver<String>,
    /// Ends the connection.
    pub end: CancellationToken,
}

/// What a connection was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSummary {
    /// Fingerprint of the key that logged in.
    pub key: String,
    /// Channels that were opened.
    pub channels: u64,
}

impl SshServer {
    pub fn new(host_key: SshKeyPair) -> Self {
        let public_key = host_key.public_key();
        Self { config: Arc::new(config(host_key)), public_key }
    }

    /// The host key at `path`, made where there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, SandboxError> {
        Ok(Self::new(SshKeyPair::load_or_create(path)?))
    }

    /// SSH wire format.
    pub fn public_host_key(&self) -> Vec<u8> {
        self.public_key.clone()
    }

    /// Serves one connection until either side ends it. Dropping the future cuts it; commands on it are hung up.
    pub async fn serve<S>(&self, stream: S, access: SshAccess) -> Result<SshSummary, SandboxError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let deadline = Instant::now() + LOGIN_TIMEOUT;
        let cut = CancellationToken::new();
        // The library runs the connection in a task of its own; this ends it with us.
        let _guard = cut.clone().drop_guard();
        let intake = Arc::<Intake>::default();
        let progress = Arc::<Progress>::default();
        let transport = Transport::new(stream, intake.clone(), cut.clone());
        let end = access.end.clone();
        let connection = Connection::new(access, intake, progress.clone());
        let running = timeout(LOGIN_TIMEOUT, server::run_stream(self.config.clone(), transport, connection));
        let running = tokio::select! {
            running = running => running.map_err(|_| timed_out())?.map_err(broken)?,
            () = end.cancelled() => return progress.summary(),
        };
        attend(running, &progress, deadline, &end, &cut).await
    }
}

async fn attend(
    mut running: server::RunningSession<Connection>,
    progress: &Progress,
    deadline: Instant,
    end: &CancellationToken,
    cut: &CancellationToken,
) -> Result<SshSummary, SandboxError> {
    let handle = running.handle();
    tokio::select! {
        ended = &mut running => {
            return match (ended, progress.summary()) {
                // A connection that breaks after the login has simply ended.
                (_, Ok(summary)) => Ok(summary),
                (Err(error), Err(_)) => Err(broken(error)),
                (Ok(()), Err(error)) => Err(error),
            };
        }
        () = progress.no_login_by(deadline) => {
            cut.cancel();
            return Err(timed_out());
        }
        () = end.cancelled() => {}
    }
    let farewell = async {
        let said = handle.disconnect(Disconnect::ByApplication, "the provider has ended this session".into(), String::new()).await;
        said.is_ok() && (&mut running).await.is_ok()
    };
    if timeout(FAREWELL, farewell).await.is_err() {
        tracing::debug!("an SSH connection did not end by itself and is cut");
    }
    progress.summary()
}

/// What ended a connection before its login: the other side, or nonsense from it.
fn broken(Failure(error): Failure) -> SandboxError {
    match error {
        russh::Error::IO(_) | russh::Error::HUP | russh::Error::Disconnect => {
            SandboxError::SshLogin { reason: format!("the other side left: {error}") }
        }
        error => SandboxError::SshConnection { reason: error.to_string() },
    }
}

fn timed_out() -> SandboxError {
    SandboxError::SshLogin { reason: format!("no key was accepted within {} s", LOGIN_TIMEOUT.as_secs()) }
}

fn config(host_key: SshKeyPair) -> server::Config {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    server::Config {
        server_id: SshId::Standard("SSH-2.0-gpumkt".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: REFUSAL_PAUSE,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key.private],
        window_size: WINDOW_BYTES,
        maximum_packet_size: MAX_PACKET_BYTES,
        event_buffer_size: MAX_EVENTS,
        max_auth_attempts: MAX_LOGIN_ATTEMPTS,
        // Renters may be silent for as long as they answer.
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: MAX_KEEPALIVES,
        preferred: Preferred {
            kex: Cow::Borrowed(&[
                kex::MLKEM768X25519_SHA256,
                kex::CURVE25519,
                kex::CURVE25519_PRE_RFC_8731,
                kex::EXTENSION_SUPPORT_AS_SERVER,
                kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
            ]),
            key: Cow::Owned(vec![
                Algorithm::Ed25519,
                ecdsa(EcdsaCurve::NistP256),
                ecdsa(EcdsaCurve::NistP384),
                ecdsa(EcdsaCurve::NistP521),
            ]),
            cipher: Cow::Borrowed(&[cipher::CHACHA20_POLY1305, cipher::AES_256_GCM]),
            // What is compressed by strangers is not unpacked here.
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        ..server::Config::default()
    }
}
