//! Two-phase shutdown, started by a signal or by a fatal fault.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::TaskError;

/// Cloned into every service.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled first: take no new work, finish what is committed.
    pub intake: CancellationToken,
    /// Cancelled after the grace period: give up what is still in flight.
    pub drain: CancellationToken,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes SIGINT and SIGTERM from now on; the future waits for one of them, then starts the first phase.
    pub fn on_signal(&self) -> Result<impl Future<Output = ()> + Send + use<>, TaskError> {
        let intake = self.intake.clone();
        let mut interrupt = signal(SignalKind::interrupt()).map_err(TaskError::Signals)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(TaskError::Signals)?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = intake.cancelled() => {}
            }
            intake.cancel();
        })
    }

    /// `None` when the first phase starts before `future` is ready.
    pub async fn or_stop<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.intake.cancelled() => None,
            value = future => Some(value),
        }
    }

    /// Waits for `duration`; `false` when the first phase starts earlier.
    pub async fn pause(&self, duration: std::time::Duration) -> bool {
        self.or_stop(tokio::time::sleep(duration)).await.is_some()
    }
}
