//! The byte stream below a connection: reads no more than there is room for, and can be cut.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::inbox::Intake;

/// Reads between two pauses while some channel is slow, and the pause: a renter that may send two bytes at a time sends them as fast as it
/// is told so, and each costs a packet.
const READS_PER_PAUSE: u32 = 8;
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Transport<S> {
    stream: S,
    intake: Arc<Intake>,
    reads: u32,
    pause: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> Transport<S> {
    /// Once `cut` is cancelled, the stream is at its end.
    pub(super) fn new(stream: S, intake: Arc<Intake>, cut: CancellationToken) -> Self {
        Self { stream, intake, reads: 0, pause: None, cut: Box::pin(cut.cancelled_owned()) }
    }

    fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        self.cut.as_mut().poll(context).is_ready()
    }

    fn poll_may_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.intake.poll_room(context).is_pending() {
            return Poll::Pending;
        }
        if self.intake.is_slow() && self.reads >= READS_PER_PAUSE && self.pause.is_none() {
            self.reads = 0;
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_cut(context) {
            return Poll::Ready(Ok(()));
        }
        if self.poll_may_read(context).is_pending() {
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.reads = self.reads.saturating_add(1);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_cut(context) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
