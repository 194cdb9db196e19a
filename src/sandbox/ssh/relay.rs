//! Channels of raw bytes: subsystems and forwarded ports.

use std::{sync::Arc, time::Duration};

use russh::{ChannelOpenFailure, server::ChannelOpenHandle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    time::timeout,
};

use super::{
    command::{Gone, Outlet},
    inbox::{Event, Inbox},
};
use crate::{
    sandbox::{Agent, GuestStream, SandboxError},
    types::agent::Exit,
};

/// Piece in which bytes are read from the container.
const READ_BYTES: usize = 32 * 1024;
/// How long the renter's client has for closing a forwarded connection after both directions have ended.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// What a renter can ask for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subsystem {
    Sftp,
    /// Output of the start command.
    Logs {
        follow: bool,
    },
}

impl Subsystem {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "sftp" => Some(Self::Sftp),
            "gpumkt-logs" => Some(Self::Logs { follow: false }),
            "gpumkt-logs-follow" => Some(Self::Logs { follow: true }),
            _ => None,
        }
    }

    async fn open(self, agent: &Agent) -> Result<GuestStream, SandboxError> {
        match self {
            Self::Sftp => agent.sftp().await,
            Self::Logs { follow } => agent.logs(follow).await,
        }
    }
}

/// Runs until the container's side ends.
pub(super) async fn serve_subsystem(agent: Agent, subsystem: Subsystem, inbox: Arc<Inbox>, outlet: Outlet) {
    let ended = match subsystem.open(&agent).await {
        Ok(stream) => {
            let (reader, writer) = split(stream);
            let sent = tokio::select! {
                sent = send(reader, &outlet) => sent,
                never = async { receive(writer, &inbox).await; std::future::pending().await } => never,
            };
            match sent {
                Ok(()) => outlet.finish(Exit::Code(0)).await,
                Err(gone) => Err(gone),
            }
        }
        Err(error) => outlet.fail(&error).await,
    };
    report(&inbox, &outlet, ended);
}

/// Connects to `port` in the container and only then accepts the channel.
pub(super) async fn forward(agent: Agent, port: u16, reply: ChannelOpenHandle, inbox: Arc<Inbox>, outlet: Outlet) {
    let stream = match agent.connect(port).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(port, %error, "a forwarded port cannot be reached");
            return reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
    };
    reply.accept().await;
    let (reader, writer) = split(stream);
    let send_all = async {
        send(reader, &outlet).await?;
        outlet.eof().await
    };
    let (sent, ()) = tokio::join!(send_all, receive(writer, &inbox));
    let ended = match sent {
        // The client closes a channel whose directions have both ended, which ends this task; one that does not is closed.
        Ok(()) => match timeout(CLOSE_WITHIN, std::future::pending::<()>()).await {
            Ok(()) => Ok(()),
            Err(_) => outlet.close().await,
        },
        Err(gone) => Err(gone),
    };
    report(&inbox, &outlet, ended);
}

async fn send(mut reader: ReadHalf<GuestStream>, outlet: &Outlet) -> Result<(), Gone> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match reader.read(&mut buffer).await {
            // What breaks is as gone as what ends: the renter sees that no more comes.
            Ok(0) | Err(_) => return Ok(()),
            Ok(length) => outlet.stdout(buffer[..length].to_vec()).await?,
        }
    }
}

/// Returns at the end of what the renter sends, or when nobody takes it any more.
async fn receive(mut writer: WriteHalf<GuestStream>, inbox: &Inbox) {
    loop {
        let taken = match inbox.next().await {
            Event::Data(bytes) => writer.write_all(&bytes).await,
            Event::Resize(_) | Event::Signal(_) => Ok(()),
            Event::End => {
                if writer.shutdown().await.is_err() {
                    tracing::trace!("the container closed first");
                }
                return;
            }
        };
        if taken.is_err() {
            inbox.close();
            return;
        }
    }
}

fn report(inbox: &Inbox, outlet: &Outlet, ended: Result<(), Gone>) {
    inbox.close();
    if ended.is_err() {
        tracing::debug!(channel = ?outlet.id(), "the renter left before its channel ended");
    }
}
