//! A renter's way into its container: SSH over a stream of the network.
//!
//! `gpumkt proxy` is what stock OpenSSH runs as its ProxyCommand; everything else here runs stock OpenSSH with it. The provider's host key
//! comes with the login, over a connection that the network has authenticated, so nobody is ever asked to trust a fingerprint.

mod files;
mod filter;
mod openssh;

use std::time::Duration;

use rand::Rng;
use secrecy::zeroize::Zeroizing;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

pub(in crate::client) use self::files::replace;
pub use self::{
    files::{ShellFiles, check_key},
    filter::{TerminalFilter, clean},
    openssh::{Forward, OpenSsh, Side, mark_when_connected, quote, require},
};
use super::{ClientError, Clients, rent, session::RenterNode};
use crate::{config::NodeConfig, keys::Strength, net::NetStream, service::session::SHELL_PROTOCOL, types::RentalId};

/// Piece in which bytes are passed on.
const PIECE_BYTES: usize = 32 * 1024;
/// Time the provider has for its last bytes once the renter's side has ended.
const LAST_BYTES: Duration = Duration::from_secs(10);

/// An open stream to the SSH server of a rental's provider.
pub struct Shell {
    node: RenterNode,
    stream: NetStream,
}

/// Finds the provider, logs in and writes down its host key.
pub async fn connect(config: &NodeConfig, rental: RentalId, files: &ShellFiles) -> Result<Shell, ClientError> {
    // An identity for this one connection: peers limit how many they hold with the same one.
    let mut identity = Zeroizing::new([0u8; 32]);
    rand::rng().fill(&mut identity[..]);
    let started = Instant::now();
    let step = |name: &str| tracing::debug!(elapsed_ms = started.elapsed().as_millis() as u64, "{name}");
    // The network comes up while the chain is asked.
    let node = RenterNode::start(config, *identity).await?;
    let clients = Clients::reader(config).await?;
    let view = rent::rental(&clients, rental).await?;
    step("the chain knows the rental");
    if view.state != rent::RentalState::Active {
        return Err(ClientError::NotActive { rental, state: format!("{:?}", view.state).to_lowercase() });
    }
    let (keys, provider, sessions) = (files.authorized_keys()?, files.provider(), super::session_keys(config, Strength::Standard)?);
    // Both take their time: a key is slow to open on purpose.
    let named = view.clone();
    let opened = tokio::task::spawn_blocking(move || sessions.open(&named));
    let place = node.reach(&clients, view.provider, Some(&provider)).await?;
    step("the provider is reached");
    let key = opened.await.map_err(|error| ClientError::File { path: "the session key".into(), source: error.into() })??;
    step("the session key is open");
    let (stream, host_key) = node.login(&place, &clients, &view, &key, SHELL_PROTOCOL, &keys).await?;
    step("logged in at the provider");
    if host_key.is_empty() {
        return Err(ClientError::NoShell { rental });
    }
    files.write_known_hosts(&host_key)?;
    Ok(Shell { node, stream })
}

impl Shell {
    /// Passes bytes both ways until the provider's side has ended. Each piece is sent at once: it may be a keystroke.
    pub async fn pipe(self, input: impl AsyncRead + Unpin, output: impl AsyncWrite + Unpin) -> Result<(), ClientError> {
        let Self { node, stream } = self;
        let outcome = pipe(stream, input, output).await;
        node.stop().await;
        outcome.map_err(|source| ClientError::File { path: "the SSH stream".into(), source })
    }
}

async fn pipe(stream: impl AsyncRead + AsyncWrite, input: impl AsyncRead + Unpin, output: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let upwards = async {
        copy(input, &mut writer).await?;
        writer.shutdown().await
    };
    let downwards = copy(reader, output);
    tokio::pin!(upwards, downwards);
    tokio::select! {
        ended = &mut downwards => ended,
        sent = &mut upwards => match sent {
            // OpenSSH has closed its side; the provider may still have something to say.
            Ok(()) => timeout(LAST_BYTES, downwards).await.unwrap_or(Ok(())),
            Err(error) => Err(error),
        },
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&piece[..length]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pipe_ends_with_the_provider_and_not_with_the_input() {
        let (near, mut far) = tokio::io::duplex(16);
        let (mut typed, input) = tokio::io::duplex(16);
        let (output, mut shown) = tokio::io::duplex(16);
        let piping = tokio::spawn(pipe(near, input, output));
        typed.write_all(b"question").await.unwrap();
        drop(typed);
        let mut asked = String::new();
        far.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "question");
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut answer = String::new();
        shown.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        piping.await.unwrap().unwrap();
    }
}
