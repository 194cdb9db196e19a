//! What a renter has sent and the container has not taken yet, bounded.
//!
//! The SSH library renews a channel's window when data arrives, not when it is taken. So each channel keeps its own queue; while one is
//! long, [`Intake::window`] renews by next to nothing, and when all queues together are at their limit nothing more is read from the
//! connection. Output never waits for any of that, so a command that reads and writes at once cannot lock up.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use tokio::sync::Notify;

use crate::types::agent::WindowSize;

/// Window of a channel. Below bandwidth times round trip an upload waits for the network.
pub(super) const WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Window while somebody is slow: the library only asks again once a window is used up, so it must not be zero.
const SLOW_WINDOW_BYTES: u32 = 2;
/// Length from which a channel's queue is long.
const LONG_BYTES: usize = 1024 * 1024;
/// All queues of a connection. A renter that ignores its windows gets no further than this.
const MAX_QUEUED_BYTES: usize = 32 * 1024 * 1024;
/// Largest piece handed to the container at once.
const PIECE_BYTES: usize = 32 * 1024;
/// Signals that wait. More are not worth remembering: they are the same few.
const MAX_SIGNALS: usize = 16;

/// What all channels of one connection have queued.
#[derive(Default)]
pub(super) struct Intake {
    queued: AtomicUsize,
    long: AtomicUsize,
    reader: AtomicWaker,
}

impl Intake {
    /// Window that channels get from now on.
    pub(super) fn window(&self) -> u32 {
        if self.is_slow() { SLOW_WINDOW_BYTES } else { WINDOW_BYTES }
    }

    /// Whether some channel takes its data too slowly.
    pub(super) fn is_slow(&self) -> bool {
        self.long.load(Ordering::Acquire) > 0
    }

    /// Ready when there is room for more from the connection.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        self.reader.register(context.waker());
        // Room made in between would have woken nobody.
        if self.has_room() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn has_room(&self) -> bool {
        self.queued.load(Ordering::Acquire) < MAX_QUEUED_BYTES
    }
}

/// What a channel's task is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Data(Vec<u8>),
    Resize(WindowSize),
    Signal(u8),
    /// No more data; said once.
    End,
}

#[derive(Default)]
struct Queue {
    data: VecDeque<u8>,
    size: Option<WindowSize>,
    signals: VecDeque<u8>,
    is_ended: bool,
    is_end_taken: bool,
    is_closed: bool,
}

/// The queue of one channel.
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    arrived: Notify,
    intake: Arc<Intake>,
}

impl Inbox {
    pub(super) fn new(intake: Arc<Intake>) -> Self {
        Self { queue: Mutex::default(), arrived: Notify::new(), intake }
    }

    pub(super) fn push(&self, data: &[u8]) {
        self.change(|queue| {
            if !queue.is_ended && !queue.is_closed {
                queue.data.extend(data);
            }
        });
        self.arrived.notify_one();
    }

    pub(super) fn end(&self) {
        self.change(|queue| queue.is_ended = true);
        self.arrived.notify_one();
    }

    /// Only the newest size matters.
    pub(super) fn resize(&self, size: WindowSize) {
        self.change(|queue| queue.size = Some(size));
        self.arrived.notify_one();
    }

    pub(super) fn signal(&self, number: u8) {
        self.change(|queue| {
            if queue.signals.len() < MAX_SIGNALS {
                queue.signals.push_back(number);
            }
        });
        self.arrived.notify_one();
    }

    /// Drops what is queued and what will come: nobody takes it any more.
    pub(super) fn close(&self) {
        self.change(|queue| {
            queue.is_closed = true;
            queue.data = VecDeque::new();
        });
    }

    /// For one task at a time.
    pub(super) async fn next(&self) -> Event {
        loop {
            if let Some(event) = self.change(Queue::take) {
                return event;
            }
            self.arrived.notified().await;
        }
    }

    /// Keeps the books about the length of the queue.
    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.lock();
        let before = queue.data.len();
        let result = change(&mut queue);
        let after = queue.data.len();
        let intake = &self.intake;
        if after > before {
            intake.queued.fetch_add(after - before, Ordering::AcqRel);
        } else {
            intake.queued.fetch_sub(before - after, Ordering::AcqRel);
        }
        match (before >= LONG_BYTES, after >= LONG_BYTES) {
            (false, true) => drop(intake.long.fetch_add(1, Ordering::AcqRel)),
            (true, false) => drop(intake.long.fetch_sub(1, Ordering::AcqRel)),
            _ => {}
        }
        drop(queue);
        if after < before {
            intake.reader.wake();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    /// Signals and sizes overtake data, which the command may be slow to read.
    fn take(&mut self) -> Option<Event> {
        if let Some(number) = self.signals.pop_front() {
            return Some(Event::Signal(number));
        }
        if let Some(size) = self.size.take() {
            return Some(Event::Resize(size));
        }
        if !self.data.is_empty() {
            let length = self.data.len().min(PIECE_BYTES);
            let piece = self.data.drain(..length).collect();
            if self.data.is_empty() && self.data.capacity() > LONG_BYTES {
                self.data = VecDeque::new();
            }
            return Some(Event::Data(piece));
        }
        (self.is_ended && !std::mem::replace(&mut self.is_end_taken, true)).then_some(Event::End)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn has_room(intake: &Intake) -> bool {
        intake.poll_room(&mut Context::from_waker(futures::task::noop_waker_ref())).is_ready()
    }

    #[tokio::test]
    async fn data_comes_in_order_and_signals_come_first() {
        let inbox = Inbox::new(Arc::default());
        inbox.push(b"one ");
        inbox.push(b"two");
        inbox.end();
        inbox.push(b"too late");
        inbox.resize(WindowSize { columns: 1, ..WindowSize::default() });
        inbox.resize(WindowSize { columns: 2, ..WindowSize::default() });
        inbox.signal(15);
        assert_eq!(inbox.next().await, Event::Signal(15));
        assert_eq!(inbox.next().await, Event::Resize(WindowSize { columns: 2, ..WindowSize::default() }));
        assert_eq!(inbox.next().await, Event::Data(b"one two".to_vec()));
        assert_eq!(inbox.next().await, Event::End);
        assert!(inbox.next().now_or_never().is_none(), "the end is said once");
    }

    #[tokio::test]
    async fn a_long_queue_slows_the_renter_and_a_full_one_stops_it() {
        let intake = Arc::<Intake>::default();
        let (slow, quick) = (Inbox::new(intake.clone()), Inbox::new(intake.clone()));
        quick.push(&[1; LONG_BYTES - 1]);
        assert_eq!(intake.window(), WINDOW_BYTES);
        slow.push(&[2; LONG_BYTES]);
        assert_eq!(intake.window(), SLOW_WINDOW_BYTES);
        assert!(has_room(&intake));
        slow.push(&vec![3; MAX_QUEUED_BYTES - 2 * LONG_BYTES + 1]);
        assert!(!has_room(&intake));
        assert!(matches!(quick.next().await, Event::Data(piece) if piece.len() == PIECE_BYTES));
        assert!(has_room(&intake), "whoever takes makes room");
        drop(slow);
        assert_eq!(intake.window(), WINDOW_BYTES);
        quick.close();
        quick.push(&[4; LONG_BYTES]);
        assert_eq!(intake.queued.load(Ordering::Acquire), 0, "a closed channel queues nothing");
    }
}
