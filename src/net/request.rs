//! Requests and responses: one stream each, sizes bounded while reading.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{
    PeerId, StreamProtocol,
    request_response::{Codec, OutboundFailure, ResponseChannel},
};
use tokio::sync::mpsc;

use super::{NetError, UNANSWERED_CODE, handle::Command, limits::OpenRequest};
use crate::types::wire::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, Request, Response, WireError};

/// Reads and writes the canonical encoding; the peer ends a message by closing its side of the stream.
///
/// A request that is no message is handed up like one: libp2p reports nothing about requests it could not read, and their senders would
/// get away with them.
#[derive(Debug, Clone, Default)]
pub(super) struct WireCodec;

async fn read_bounded<T: AsyncRead + Unpin + Send>(io: &mut T, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed is enough for the decoder to refuse.
    io.take(limit as u64 + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn invalid(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The message's own fault in an error of the codec.
pub(super) fn wire_error(error: &io::Error) -> Option<&WireError> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

impl Codec for WireCodec {
    type Protocol = StreamProtocol;
    type Request = Result<Request, WireError>;
    type Response = Response;

    async fn read_request<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Self::Request> {
        Ok(Request::decode(&read_bounded(io, MAX_REQUEST_BYTES).await?))
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Response> {
        let bytes = read_bounded(io, MAX_RESPONSE_BYTES).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Response::decode(&bytes).map_err(invalid)
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Self::Request,
    ) -> io::Result<()> {
        let encoded = request.and_then(|request| request.encode()).map_err(invalid)?;
        io.write_all(&encoded).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T, response: Response) -> io::Result<()> {
        let encoded = match response.encode() {
            Ok(encoded) => encoded,
            // The asking side learns the reason instead of a broken stream.
            Err(error) => Response::refused("E-NET-007", error).encode().map_err(invalid)?,
        };
        io.write_all(&encoded).await
    }
}

/// What an outgoing request died of. `dialled` is the reason of the last failed dial to the peer.
pub(super) fn outbound_error(peer: PeerId, failure: OutboundFailure, what: &str, dialled: Option<String>) -> NetError {
    match failure {
        OutboundFailure::DialFailure => {
            NetError::Dial { peer, reason: dialled.unwrap_or_else(|| "no address of it is known or answers".into()) }
        }
        OutboundFailure::Timeout => NetError::Timeout { peer, what: what.into() },
        OutboundFailure::ConnectionClosed => NetError::Lost { peer, reason: "closed before the answer came".into() },
        OutboundFailure::UnsupportedProtocols => NetError::Unsupported { peer, protocol: crate::types::wire::REQUEST_PROTOCOL.into() },
        OutboundFailure::Io(error) => match wire_error(&error) {
            Some(WireError::Oversize { bytes, limit }) => {
                NetError::Oversize { source: WireError::Oversize { bytes: *bytes, limit: *limit } }
            }
            Some(other) => NetError::Malformed { peer, reason: other.to_string() },
            None => NetError::Lost { peer, reason: error.to_string() },
        },
    }
}

/// The right and the duty to answer one request. Dropping it refuses.
pub struct Responder {
    answer: Option<(ResponseChannel<Response>, OpenRequest)>,
    commands: mpsc::Sender<Command>,
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").field("is_wanted", &self.is_wanted()).finish()
    }
}

impl Responder {
    pub(super) fn new(channel: ResponseChannel<Response>, open: OpenRequest, commands: mpsc::Sender<Command>) -> Self {
        Self { answer: Some((channel, open)), commands }
    }

    /// Sends the answer. A peer that has gone meanwhile is no error: it asks again.
    pub async fn send(mut self, response: Response) -> Result<(), NetError> {
        let Some((channel, open)) = self.answer.take() else { return Ok(()) };
        self.commands.send(Command::Respond { channel, response, open }).await.map_err(|_| NetError::Stopped)
    }

    /// Whether the asking side still waits: worth a look before long work.
    pub fn is_wanted(&self) -> bool {
        self.answer.as_ref().is_some_and(|(channel, _)| channel.is_open())
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some((channel, open)) = self.answer.take() {
            let response = Response::refused(UNANSWERED_CODE, "this node has no answer to that");
            // With a full queue the stream is closed without an answer, which refuses as well.
            let _ = self.commands.try_send(Command::Respond { channel, response, open });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn reading_stops_at_the_limit() {
        let protocol = StreamProtocol::new(crate::types::wire::REQUEST_PROTOCOL);
        let mut endless = futures::io::repeat(1);
        let read = WireCodec.read_request(&protocol, &mut endless).await.unwrap();
        assert_eq!(read, Err(WireError::Oversize { bytes: MAX_REQUEST_BYTES + 1, limit: MAX_REQUEST_BYTES }));
        let error = WireCodec.read_response(&protocol, &mut endless).await.unwrap_err();
        assert!(matches!(wire_error(&error), Some(WireError::Oversize { .. })));
        let error = WireCodec.read_response(&protocol, &mut Cursor::new(Vec::new())).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn an_answer_too_large_becomes_a_refusal() {
        let protocol = StreamProtocol::new(crate::types::wire::REQUEST_PROTOCOL);
        let mut written = Cursor::new(Vec::new());
        WireCodec.write_response(&protocol, &mut written, Response::Openings(vec![0; MAX_RESPONSE_BYTES].into())).await.unwrap();
        let mut read = Cursor::new(written.into_inner());
        let response = WireCodec.read_response(&protocol, &mut read).await.unwrap();
        assert!(matches!(response, Response::Refused { code, .. } if code == "E-NET-007"));
    }
}
