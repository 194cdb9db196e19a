//! Raw byte streams between two peers.
//!
//! libp2p drops an inbound stream silently when its acceptor is busy that very moment. So the accepting node says one byte first: taken
//! or busy; the opening node tries again when neither comes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, future::BoxFuture, stream::BoxStream};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::NetError;

const TAKEN: u8 = 1;
const BUSY: u8 = 0;
/// Accepted streams nobody has picked up. More would keep renters waiting for a node that does not serve them.
const MAX_WAITING: usize = 32;
/// Time for one step of opening a stream.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts at opening one stream.
const ATTEMPTS: u32 = 5;

/// A byte stream to one peer, encrypted and authenticated by the connection below it.
#[derive(Debug)]
pub struct NetStream(Compat<Stream>);

impl AsyncRead for NetStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for NetStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A stream that `peer` opened.
#[derive(Debug)]
pub struct IncomingStream {
    pub peer: PeerId,
    pub stream: NetStream,
}

/// Streams of one protocol that peers open. Dropping it stops accepting.
#[derive(Debug)]
pub struct StreamListener {
    receiver: mpsc::Receiver<IncomingStream>,
}

impl StreamListener {
    /// `None` once the network has stopped.
    pub async fn accept(&mut self) -> Option<IncomingStream> {
        self.receiver.recv().await
    }
}

/// A stream on its way to its acceptor.
pub(super) struct Arrival {
    peer: PeerId,
    stream: Stream,
    acceptor: mpsc::Sender<IncomingStream>,
}

/// Registers `protocol`; the event loop polls the arrivals.
pub(super) fn accept(control: &mut Control, protocol: &'static str) -> Result<(StreamListener, BoxStream<'static, Arrival>), NetError> {
    let incoming = control.accept(name(protocol)?).map_err(|_| NetError::ProtocolTaken { protocol: protocol.to_string() })?;
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let acceptor = sender.clone();
    let gone = async move { sender.closed().await };
    let arrivals =
        incoming.take_until(Box::pin(gone)).map(move |(peer, stream)| Arrival { peer, stream, acceptor: acceptor.clone() }).boxed();
    Ok((StreamListener { receiver }, arrivals))
}

/// Tells the opening side and hands the stream over; `false` when it got lost on the way.
pub(super) fn hand_over(arrival: Arrival) -> BoxFuture<'static, bool> {
    let Arrival { peer, mut stream, acceptor } = arrival;
    Box::pin(async move {
        let place = acceptor.try_reserve_owned();
        let word = if place.is_ok() { TAKEN } else { BUSY };
        let said = tokio::time::timeout(STEP_TIMEOUT, async {
            stream.write_all(&[word]).await?;
            stream.flush().await
        });
        match (said.await, place) {
            (Ok(Ok(())), Ok(place)) => {
                place.send(IncomingStream { peer, stream: NetStream(stream.compat()) });
                true
            }
            _ => false,
        }
    })
}

fn name(protocol: &'static str) -> Result<StreamProtocol, NetError> {
    let bad = |error: libp2p::swarm::InvalidProtocol| NetError::Setup { reason: format!("stream protocol {protocol}: {error}") };
    StreamProtocol::try_from_owned(protocol.to_string()).map_err(bad)
}

/// Opens a stream over an existing connection.
pub(super) async fn open(control: &mut Control, peer: PeerId, protocol: &'static str) -> Result<NetStream, NetError> {
    let mut lost = String::new();
    for attempt in 0..ATTEMPTS {
        // Spreads attempts that collide at a busy acceptor.
        tokio::time::sleep(Duration::from_millis(20) * attempt).await;
        let timed_out = |_| NetError::Timeout { peer, what: protocol.to_string() };
        let opened = tokio::time::timeout(STEP_TIMEOUT, control.open_stream(peer, name(protocol)?));
        let mut stream = match opened.await.map_err(timed_out)? {
            Ok(stream) => stream,
            Err(OpenStreamError::UnsupportedProtocol(_)) => {
                return Err(NetError::Unsupported { peer, protocol: protocol.to_string() });
            }
            Err(error) => {
                lost = error.to_string();
                continue;
            }
        };
        let mut word = [BUSY];
        match tokio::time::timeout(STEP_TIMEOUT, stream.read_exact(&mut word)).await.map_err(timed_out)? {
            Ok(()) if word == [TAKEN] => return Ok(NetStream(stream.compat())),
            Ok(()) => {
                let reason = format!("too many open streams of {protocol}");
                return Err(NetError::Refused { peer, code: super::BUSY_CODE.into(), reason: reason.into() });
            }
            Err(error) => lost = error.to_string(),
        }
    }
    Err(NetError::Lost { peer, reason: lost })
}
